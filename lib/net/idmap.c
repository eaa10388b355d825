#include "net/idmap.h"

#include "base/random.h"
#include "base/status.h"

enum { FREE, LIVE, RESERVED };
enum { IDS = 65536, LEAST = 16, GUESSES = 8 };

void pv_idmap_init(struct pv_idmap *m)
{
    *m = (struct pv_idmap){0};
}

void pv_idmap_done(struct pv_idmap *m)
{
    free(m->slots);
    pv_idmap_init(m);
}

/* Where id is, or the free slot where it would be. The table is never full but at its greatest,
 * where each id has a slot of its own. */
static struct pv_idmap_slot *probe(const struct pv_idmap *m, uint16_t id)
{
    unsigned at = id & (m->capacity - 1);
    while (m->slots[at].used != FREE && m->slots[at].id != id)
        at = (at + 1) & (m->capacity - 1);
    return &m->slots[at];
}

static bool grow(struct pv_idmap *m)
{
    if (m->capacity == IDS || (m->live + m->reserved) * 2 < m->capacity)
        return true;
    struct pv_idmap bigger = {.capacity = m->capacity ? m->capacity * 2 : LEAST};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (unsigned i = 0; i < m->capacity; i++)
        if (m->slots[i].used != FREE)
            *probe(&bigger, m->slots[i].id) = m->slots[i];
    free(m->slots);
    m->slots = bigger.slots;
    m->capacity = bigger.capacity;
    return true;
}

static uint16_t random_free_id(const struct pv_idmap *m)
{
    uint16_t id = 0;
    for (unsigned guess = 0; guess < GUESSES; guess++) {
        pv_random(&id, sizeof id);
        if (probe(m, id)->used == FREE)
            return id;
    }
    while (probe(m, id)->used != FREE) /* crowded: the next one that is free */
        id++;
    return id;
}

bool pv_idmap_add(struct pv_idmap *m, void *value, uint16_t *ret_id)
{
    if (PV_BUG_IF(!value) || m->live + m->reserved == IDS || !grow(m))
        return false;
    uint16_t id = random_free_id(m);
    *probe(m, id) = (struct pv_idmap_slot){.value = value, .id = id, .used = LIVE};
    m->live++;
    *ret_id = id;
    return true;
}

/* Free a slot and move those up that had to stand behind it, so that no search ends at the gap. */
static void release(struct pv_idmap *m, struct pv_idmap_slot *slot)
{
    unsigned mask = m->capacity - 1, gap = (unsigned)(slot - m->slots);
    m->slots[gap] = (struct pv_idmap_slot){0};
    if (m->capacity == IDS)
        return;
    for (unsigned at = (gap + 1) & mask; m->slots[at].used != FREE; at = (at + 1) & mask) {
        unsigned home = m->slots[at].id & mask;
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        m->slots[gap] = m->slots[at];
        m->slots[at] = (struct pv_idmap_slot){0};
        gap = at;
    }
}

void *pv_idmap_take(struct pv_idmap *m, uint16_t id, bool *ret_reserved)
{
    if (ret_reserved)
        *ret_reserved = false;
    struct pv_idmap_slot *slot = m->capacity ? probe(m, id) : NULL;
    if (!slot || slot->used == FREE)
        return NULL;
    void *value = slot->value;
    if (slot->used == LIVE)
        m->live--;
    else
        m->reserved--;
    if (ret_reserved)
        *ret_reserved = slot->used == RESERVED;
    release(m, slot);
    return value;
}

void *pv_idmap_find(const struct pv_idmap *m, uint16_t id)
{
    return m->capacity ? probe(m, id)->value : NULL;
}

void pv_idmap_reserve(struct pv_idmap *m, uint16_t id)
{
    struct pv_idmap_slot *slot = m->capacity ? probe(m, id) : NULL;
    if (PV_BUG_IF(!slot || slot->used != LIVE))
        return;
    slot->value = NULL;
    slot->used = RESERVED;
    m->live--;
    m->reserved++;
}
