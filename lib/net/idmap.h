/* The 16-bit message ids in use on one connection [RFC 7766 §6.2.1; RFC 5452 §9.2]: random, unique
 * among those unanswered; the id of an abandoned question stays reserved until its late answer. */
#ifndef PV_NET_IDMAP_H
#define PV_NET_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pv_idmap_slot {
    void *value; /* NULL: free, or a tombstone */
    uint16_t id;
    uint8_t used; /* 0 free, 1 live, 2 reserved */
};

struct pv_idmap {
    struct pv_idmap_slot *slots; /* open addressing by id, capacity a power of two */
    unsigned capacity, live, reserved;
};

void pv_idmap_init(struct pv_idmap *);
void pv_idmap_done(struct pv_idmap *);
/* A random id for value (not NULL). False: no memory or no id left. */
bool pv_idmap_add(struct pv_idmap *, void *value, uint16_t *ret_id);
/* The value with this id, which is then free again. NULL: unknown; *ret_reserved (may be NULL)
 * tells whether it was reserved (it is free then too). */
void *pv_idmap_take(struct pv_idmap *, uint16_t id, bool *ret_reserved);
void *pv_idmap_find(const struct pv_idmap *, uint16_t id); /* live ones */
/* Abandon: the id stays reserved. */
void pv_idmap_reserve(struct pv_idmap *, uint16_t id);

#endif
