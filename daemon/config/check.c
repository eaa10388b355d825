#include "config/check.h"

#include "config/node.h"
#include "config/schema.h"
#include "config/value.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct place place_of(const struct config *c, const char *path)
{
    const struct node *n = node_path(c->tree, path);
    return n ? n->place : (struct place){0};
}

/* The place of the i-th item of a list, which may have been given as one scalar. */
struct place check_item_place(const struct node *list, size_t i)
{
    const struct node *n = list && list->kind == NODE_LIST ? list->first : list;
    for (; n && i; i--)
        n = n->next;
    return n ? n->place : (struct place){0};
}

struct place check_key_place(const struct node *map, const char *key)
{
    const struct node *n = node_get(map, key);
    return n ? n->place : map->place;
}

/* ---- listeners and clients ---- */

static void check_listen(const struct config *c, struct faults *f)
{
    const struct node *list = node_path(c->tree, "listen");
    char text[PV_ADDR_TEXT];
    if (list && !c->listen.count)
        faults_error(f, &list->place, "listen: no address to answer on");
    for (size_t i = 0; i < c->listen.count; i++) {
        struct place place = check_item_place(list, i);
        for (size_t k = 0; k < i; k++) {
            if (c->listen.items[i].sa.sa_family &&
                pv_addr_equal(&c->listen.items[i], &c->listen.items[k]))
                faults_error(f, &place, "listen: %s is given twice",
                             pv_addr_text(&c->listen.items[i], text));
        }
    }
}

static bool listens_to_others(const struct config *c)
{
    for (size_t i = 0; i < c->listen.count; i++)
        if (!pv_addr_is_loopback(&c->listen.items[i]))
            return true;
    return false;
}

static void check_allow(const struct config *c, struct faults *f)
{
    const struct node *list = node_path(c->tree, "allow");
    if (list && !c->allow.count)
        faults_error(f, &list->place, "allow: nobody could ask");
    for (size_t i = 0; i < c->allow.count; i++) {
        struct place place = check_item_place(list, i);
        if (c->allow.items[i].addr.sa.sa_family && !c->allow.items[i].bits && listens_to_others(c))
            faults_warn(f, &place,
                        "allow: answers the whole world; such resolvers are misused "
                        "for attacks on others");
    }
}

/* ---- values against each other ---- */

static void check_order(const struct config *c, struct faults *f, const char *path, uint32_t value,
                        const char *than, uint32_t limit, const char *so)
{
    struct place place = place_of(c, node_path(c->tree, path) ? path : than);
    char a[VALUE_TEXT], b[VALUE_TEXT];
    if (value && value >= limit)
        faults_warn(f, &place, "%s: %s is not before %s (%s): %s", path,
                    value_text(schema_find(&schema_top, path), value, a), than,
                    value_text(schema_find(&schema_top, than), limit, b), so);
}

static void check_values(const struct config *c, struct faults *f)
{
    struct place place = place_of(c, "cache.min_ttl");
    check_order(c, f, "query.try_timeout", c->query.try_timeout, "query.deadline",
                c->query.deadline, "no second upstream would be asked");
    check_order(c, f, "query.hedge", c->query.hedge, "query.deadline", c->query.deadline,
                "no question would be hedged");
    if (c->cache.stale)
        check_order(c, f, "cache.stale_after", c->cache.stale_after, "query.deadline",
                    c->query.deadline, "no slow answer would be replaced by an expired one");
    if (c->cache.min_ttl > c->cache.max_ttl)
        faults_error(f, &place, "cache.min_ttl: longer than cache.max_ttl");
}

/* ---- parts to come ---- */

static bool set_to_something(const struct schema_row *row, const struct node *n)
{
    uint32_t a, b;
    char complaint[VALUE_TEXT];
    if (n->kind == NODE_LIST)
        return n->first;
    if (row->type >= TYPE_TEXT)
        return strcmp(n->text, row->later) != 0;
    return !value_parse(row, row->later, &a, complaint) ||
           (value_parse(row, n->text, &b, complaint) && a != b);
}

static void check_later(const struct config *c, struct faults *f)
{
    schema_each (row, &schema_top) {
        const struct node *n = row->later ? node_path(c->tree, row->path) : NULL;
        if (n && n->kind == NODE_SCALAR && !n->null && set_to_something(row, n))
            faults_warn(f, &n->place, "%s: not in this version", row->path);
    }
}

/* ---- loops ---- */

bool check_is_stamp(const char *url)
{
    return strncasecmp(url, "sdns://", 7) == 0;
}

static bool stamp_address(const char *url, struct pv_addr *ret)
{
    struct privy_stamp *stamp = NULL;
    bool found = privy_stamp_parse(url, &stamp, NULL) == PRIVY_OK && stamp->address &&
                 pv_addr_parse(stamp->address, strlen(stamp->address), 0, ret);
    privy_stamp_free(stamp);
    return found;
}

bool check_host_address(const char *url, struct pv_addr *ret)
{
    if (check_is_stamp(url))
        return stamp_address(url, ret);
    const char *host = strstr(url, "://");
    if (!host)
        return false;
    host += 3;
    return pv_addr_parse(host, strcspn(host, "/?#"), 0, ret);
}

static bool is_ours(const struct pv_addr *addr)
{
    struct ifaddrs *all = NULL;
    bool found = pv_addr_is_loopback(addr) || pv_addr_is_any(addr);
    if (!found && getifaddrs(&all))
        return false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct pv_addr own = {0};
        if (!i->ifa_addr || i->ifa_addr->sa_family != addr->sa.sa_family)
            continue;
        memcpy(&own, i->ifa_addr, pv_addr_size(addr));
        found = pv_addr_same_host(&own, addr);
    }
    if (all)
        freeifaddrs(all);
    return found;
}

static bool is_listener(const struct config *c, const struct pv_addr *addr)
{
    for (size_t i = 0; i < c->listen.count; i++) {
        const struct pv_addr *own = &c->listen.items[i];
        bool alike = own->sa.sa_family == addr->sa.sa_family;
        if (pv_addr_port(own) != pv_addr_port(addr))
            continue;
        if (pv_addr_same_host(own, addr) || (alike && pv_addr_is_any(own) && is_ours(addr)) ||
            (alike && pv_addr_is_any(addr) && is_ours(own)))
            return true;
    }
    return false;
}

/* A plaintext URL without a port means 53, and only a port that was written can be ours else. */
static void check_loop(const struct config *c, const char *url, const struct config_strings *given,
                       const struct node *n, struct faults *f)
{
    bool plain = url && (!strncasecmp(url, "udp:", 4) || !strncasecmp(url, "tcp:", 4));
    struct place place = n->kind == NODE_MAP ? check_key_place(n, "url") : n->place;
    struct pv_addr addr;
    char text[PV_ADDR_TEXT];
    size_t count = given ? given->count : 0;
    for (size_t i = 0; i <= count; i++) {
        if (i && !pv_addr_parse(given->items[i - 1], strlen(given->items[i - 1]), 0, &addr))
            continue;
        if (!i && !(url && check_host_address(url, &addr)))
            continue;
        if (!pv_addr_port(&addr) && plain)
            pv_addr_set_port(&addr, 53);
        if (i)
            place = check_item_place(node_get(n, "addresses"), i - 1);
        if (is_listener(c, &addr))
            faults_error(f, &place, "%s: %s is where this daemon listens: a loop",
                         i ? "addresses" : "url", pv_addr_text(&addr, text));
    }
}

/* ---- pools ---- */

/* Names as given; derived ones the library keeps apart. */
static void check_name(const struct config *c, const struct config_pool *last,
                       const struct config_upstream *up, struct faults *f)
{
    char text[PLACE_TEXT];
    for (const struct config_pool *p = c->pools; p <= last; p++) {
        for (size_t i = 0; i < p->upstream_count && &p->upstreams[i] != up; i++) {
            const struct config_upstream *other = &p->upstreams[i];
            struct place place = check_key_place(up->node, "name");
            if (!other->name || strcmp(other->name, up->name))
                continue;
            struct place first = check_key_place(other->node, "name");
            faults_error(f, &place, "name: '%s' is already the name of the upstream at %s",
                         up->name, place_text(&first, text));
            return;
        }
    }
}

static void check_upstream(const struct config *c, const struct config_pool *pool,
                           const struct config_upstream *up, struct faults *f)
{
    if (up->name)
        check_name(c, pool, up, f);
    check_loop(c, up->url, &up->addresses, up->node, f);
    if (!up->url && !up->provider_name && !node_get(up->node, "url") && up->node->kind == NODE_MAP)
        faults_error(f, &up->node->place, "url: missing; an upstream needs one");
}

static unsigned class_of_stamp(const char *url)
{
    struct privy_stamp *stamp = NULL;
    unsigned class = 0;
    if (privy_stamp_parse(url, &stamp, NULL) == PRIVY_OK)
        class = (stamp->dnssec ? 1U : 0) | (stamp->nofilter ? 0 : 2U);
    privy_stamp_free(stamp);
    return class;
}

static unsigned class_of(const struct config_upstream *up)
{
    unsigned class = 0;
    if (up->properties.count == 0 && up->url)
        return class_of_stamp(up->url);
    for (size_t i = 0; i < up->properties.count; i++) {
        class |= !strcmp(up->properties.items[i], "dnssec") ? 1U : 0;
        class |= !strcmp(up->properties.items[i], "filter") ? 2U : 0;
    }
    return class;
}

/* What one validates or filters, another must not let through: they cannot stand in for it. */
static void check_classes(const struct config_pool *pool, struct faults *f)
{
    for (size_t i = 1; i < pool->upstream_count; i++) {
        if (class_of(&pool->upstreams[i]) == class_of(&pool->upstreams[0]))
            continue;
        const struct node *n = pool->upstreams[i].node;
        struct place place = check_key_place(n, "properties");
        faults_warn(f, &place,
                    "pool '%s' mixes upstreams with and without dnssec or filter; when one says "
                    "SERVFAIL or REFUSED only those with the same are asked instead",
                    pool->name);
        return;
    }
}

static const char *next_protocol(void *arg, size_t i)
{
    (void)arg;
    return i ? privy_protocols((unsigned)i - 1) : "any";
}

static void check_protocol(const struct config_pool *pool, struct faults *f)
{
    struct place place = check_key_place(pool->node, "protocol");
    char allowed[256] = "", out[NEAREST_TEXT];
    const char *word, *near = nearest_word(pool->protocol, next_protocol, NULL, out);
    for (size_t i = 0; (word = next_protocol(NULL, i)); i++) {
        size_t used = strlen(allowed);
        if (!strcmp(pool->protocol, word))
            return;
        snprintf(allowed + used, sizeof allowed - used, "%s%s", i ? ", " : "", word);
    }
    faults_error(f, &place, "protocol: this build has no '%.40s'; allowed: %s%s%s%s",
                 pool->protocol, allowed, near ? "; did you mean '" : "", near ? near : "",
                 near ? "'?" : "");
}

static void check_pool(const struct config *c, const struct config_pool *pool, struct faults *f)
{
    const struct node *list = node_get(pool->node, "upstreams");
    if (pool->protocol)
        check_protocol(pool, f);
    if (pool->node->kind == NODE_MAP && !list)
        faults_error(f, &pool->node->key_place, "upstreams: missing; pool '%s' needs some",
                     pool->name);
    else if (list && list->kind == NODE_LIST && !list->first)
        faults_error(f, &list->place, "upstreams: empty; pool '%s' needs some", pool->name);
    for (size_t i = 0; i < pool->upstream_count; i++)
        check_upstream(c, pool, &pool->upstreams[i], f);
    check_classes(pool, f);
}

/* ---- routes ---- */

static const char *next_pool(void *arg, size_t i)
{
    const struct config *c = arg;
    return i < c->pool_count ? c->pools[i].name : NULL;
}

static void check_route_pool(struct config *c, struct config_route *route, struct faults *f)
{
    struct place place = check_key_place(route->node, "pool");
    char out[NEAREST_TEXT];
    if (!route->pool_name) {
        if (!node_get(route->node, "pool"))
            faults_error(f, &place, "pool: missing; a route needs one");
        return;
    }
    route->pool = config_find_pool(c, route->pool_name);
    if (route->pool)
        return;
    const char *near = nearest_word(route->pool_name, next_pool, c, out);
    faults_error(f, &place, "pool: there is no pool '%.63s'%s%s%s", route->pool_name,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Is the zone, of the route and place given, in a route before it? */
static bool zone_before(const struct config *c, size_t route, size_t zone)
{
    const struct config_zone *z = &c->routes[route].zones.items[zone];
    for (size_t r = 0; r <= route; r++) {
        const struct config_zones *zones = &c->routes[r].zones;
        for (size_t i = 0; i < zones->count && (r < route || i < zone); i++)
            if (zones->items[i].length == z->length &&
                !memcmp(zones->items[i].name, z->name, z->length))
                return true;
    }
    return false;
}

static void check_route(struct config *c, size_t i, struct faults *f)
{
    struct config_route *route = &c->routes[i];
    const struct node *list = node_get(route->node, "zones");
    char name[PV_NAME_TEXT];
    check_route_pool(c, route, f);
    if (!list || (list->kind == NODE_LIST && !list->first))
        faults_error(f, list ? &list->place : &route->node->place, "zones: a route needs some");
    for (size_t k = 0; k < route->zones.count; k++) {
        struct place place = check_item_place(list, k);
        if (!route->zones.items[k].length || !zone_before(c, i, k))
            continue;
        pv_name_to_text(route->zones.items[k].name, name);
        faults_error(f, &place, "zones: '%.255s' is routed already", name);
    }
}

void check_config(struct config *c, struct faults *f)
{
    check_listen(c, f);
    check_allow(c, f);
    check_values(c, f);
    check_later(c, f);
    for (size_t i = 0; i < c->pool_count; i++)
        check_pool(c, &c->pools[i], f);
    for (size_t i = 0; i < c->route_count; i++)
        check_route(c, i, f);
    c->default_pool = config_find_pool(c, "default");
}
