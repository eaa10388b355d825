/* Hash table, links embedded in the members, keyed SipHash (a stranger cannot choose collisions).
 * The table finds by hash and asks `equal`; it owns nothing. */
#ifndef PV_BASE_MAP_H
#define PV_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pv_map_node {
    struct pv_map_node *next;
    uint64_t hash;
};

struct pv_map {
    struct pv_map_node **buckets;
    size_t mask; /* buckets - 1; a power of two */
    size_t count;
};

typedef bool pv_map_equal(const struct pv_map_node *node, const void *key);

bool pv_map_init(struct pv_map *, size_t buckets); /* false: no memory */
void pv_map_done(struct pv_map *);                 /* the members are the caller's */
struct pv_map_node *pv_map_find(const struct pv_map *, uint64_t hash, pv_map_equal *equal,
                                const void *key);
/* node->hash must be set. Grows at load 1; where that fails for want of memory it only gets slower.
 */
void pv_map_insert(struct pv_map *, struct pv_map_node *);
void pv_map_remove(struct pv_map *, struct pv_map_node *);

/* SipHash-2-4 (libsodium crypto_shorthash) under a key drawn once per process. Thread-safe. */
uint64_t pv_hash(const void *bytes, size_t length);

#endif
