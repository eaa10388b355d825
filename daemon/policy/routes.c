#include "policy/routes.h"

#include "base/list.h"
#include "wire/name.h"

#include <stdlib.h>

struct route_zone {
    struct pv_map_node node;
    const struct config_zone *zone;
    const struct config_pool *pool;
};

struct suffix {
    const uint8_t *name;
    size_t length;
};

static bool zone_equal(const struct pv_map_node *node, const void *key)
{
    const struct route_zone *z = pv_container(node, struct route_zone, node);
    const struct suffix *s = key;
    return z->zone->length == s->length && memcmp(z->zone->name, s->name, s->length) == 0;
}

static struct route_zone *zone_find(const struct routes *r, const uint8_t *name, size_t length)
{
    struct suffix s = {name, length};
    struct pv_map_node *node = pv_map_find(&r->map, pv_hash(name, length), zone_equal, &s);
    return node ? pv_container(node, struct route_zone, node) : NULL;
}

static size_t zone_total(const struct config *config)
{
    size_t total = 0;
    for (size_t i = 0; i < config->route_count; i++)
        total += config->routes[i].zones.count;
    return total;
}

static void zone_add(struct routes *r, const struct config_route *route,
                     const struct config_zone *zone)
{
    if (zone_find(r, zone->name, zone->length))
        return; /* the configuration refuses duplicates; the first would win */
    struct route_zone *z = &r->zones[r->count++];
    *z = (struct route_zone){.zone = zone, .pool = route->pool};
    z->node.hash = pv_hash(zone->name, zone->length);
    pv_map_insert(&r->map, &z->node);
}

bool routes_init(struct routes *r, const struct config *config)
{
    *r = (struct routes){0};
    size_t total = zone_total(config);
    if (!total)
        return true;
    r->zones = calloc(total, sizeof *r->zones);
    if (!r->zones || !pv_map_init(&r->map, 16)) {
        free(r->zones);
        *r = (struct routes){0};
        return false;
    }
    for (size_t i = 0; i < config->route_count; i++)
        for (size_t j = 0; j < config->routes[i].zones.count; j++)
            zone_add(r, &config->routes[i], &config->routes[i].zones.items[j]);
    return true;
}

void routes_done(struct routes *r)
{
    if (r->zones)
        pv_map_done(&r->map);
    free(r->zones);
    *r = (struct routes){0};
}

bool routes_find(const struct routes *r, const uint8_t *name, size_t length,
                 struct route_match *ret)
{
    if (!r->count)
        return false;
    for (size_t at = 0; at < length; at += (size_t)name[at] + 1) {
        struct route_zone *z = zone_find(r, name + at, length - at);
        if (z) {
            *ret = (struct route_match){z->pool, length - at};
            return true;
        }
    }
    return false;
}
