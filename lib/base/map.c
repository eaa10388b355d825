#include "base/map.h"

#include "base/random.h"
#include "base/status.h"

#include <pthread.h>
#include <sodium.h>

bool pv_map_init(struct pv_map *map, size_t buckets)
{
    size_t n = 8;
    while (n < buckets && n <= SIZE_MAX / 2)
        n *= 2;
    *map = (struct pv_map){.buckets = calloc(n, sizeof *map->buckets), .mask = n - 1};
    return map->buckets;
}

void pv_map_done(struct pv_map *map)
{
    free(map->buckets);
    *map = (struct pv_map){0};
}

struct pv_map_node *pv_map_find(const struct pv_map *map, uint64_t hash, pv_map_equal *equal,
                                const void *key)
{
    if (!map->buckets)
        return NULL;
    for (struct pv_map_node *n = map->buckets[hash & map->mask]; n; n = n->next)
        if (n->hash == hash && equal(n, key))
            return n;
    return NULL;
}

static void link_node(struct pv_map *map, struct pv_map_node *node)
{
    struct pv_map_node **bucket = &map->buckets[node->hash & map->mask];
    node->next = *bucket;
    *bucket = node;
}

static void grow(struct pv_map *map)
{
    struct pv_map old = *map;
    size_t n = (old.mask + 1) * 2;
    struct pv_map_node **buckets = n > old.mask ? calloc(n, sizeof *buckets) : NULL;
    if (!buckets)
        return;
    map->buckets = buckets;
    map->mask = n - 1;
    for (size_t i = 0; i <= old.mask; i++) {
        for (struct pv_map_node *node = old.buckets[i], *next; node; node = next) {
            next = node->next;
            link_node(map, node);
        }
    }
    free(old.buckets);
}

void pv_map_insert(struct pv_map *map, struct pv_map_node *node)
{
    if (PV_BUG_IF(!map->buckets))
        return;
    if (map->count > map->mask)
        grow(map);
    link_node(map, node);
    map->count++;
}

void pv_map_remove(struct pv_map *map, struct pv_map_node *node)
{
    if (PV_BUG_IF(!map->buckets))
        return;
    struct pv_map_node **at = &map->buckets[node->hash & map->mask];
    while (*at && *at != node)
        at = &(*at)->next;
    if (PV_BUG_IF(!*at))
        return;
    *at = node->next;
    node->next = NULL;
    map->count--;
}

static uint8_t hash_key[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
    pv_random(hash_key, sizeof hash_key);
}

uint64_t pv_hash(const void *bytes, size_t length)
{
    uint64_t h;
    _Static_assert(sizeof h == crypto_shorthash_BYTES, "SipHash gives 64 bits");
    pthread_once(&hash_once, draw_key);
    crypto_shorthash((unsigned char *)&h, bytes, length, hash_key);
    return h;
}
