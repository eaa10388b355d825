#include "net/wheel.h"

enum { LAST_TICK_BITS = PV_WHEEL_BITS * PV_WHEEL_LEVELS };

void pv_wheel_init(struct pv_wheel *w, uint64_t tick)
{
    *w = (struct pv_wheel){.tick = tick};
    for (unsigned level = 0; level < PV_WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < PV_WHEEL_SLOTS; slot++)
            pv_list_init(&w->slots[level][slot]);
}

uint64_t pv_wheel_tick(const struct pv_timer *t)
{
    const uint64_t last = (UINT64_C(1) << LAST_TICK_BITS) - 1; /* 139 years */
    uint64_t tick = t->due / 1000 + (t->due % 1000 != 0);
    return tick < last ? tick : last;
}

/* The level is that of the highest digit (base 64) in which the timer's tick differs from now. So
 * all timers of a level come before those of the level above. */
void pv_wheel_add(struct pv_wheel *w, struct pv_timer *t)
{
    uint64_t tick = pv_wheel_tick(t);
    if (tick < w->tick)
        tick = w->tick;
    unsigned level = 0;
    for (uint64_t differs = (tick ^ w->tick) >> PV_WHEEL_BITS; differs; differs >>= PV_WHEEL_BITS)
        level++;
    if (level >= PV_WHEEL_LEVELS)
        level = PV_WHEEL_LEVELS - 1;
    unsigned slot = tick >> (level * PV_WHEEL_BITS) & (PV_WHEEL_SLOTS - 1);
    w->occupied[level] |= UINT64_C(1) << slot;
    pv_list_append(&w->slots[level][slot], &t->link);
}

/* The earliest slot with a timer in it, and the first tick it stands for. */
static const struct pv_list *first_slot(const struct pv_wheel *w, unsigned *ret_level,
                                        uint64_t *ret_start)
{
    for (unsigned level = 0; level < PV_WHEEL_LEVELS; level++) {
        unsigned shift = level * PV_WHEEL_BITS;
        unsigned here = w->tick >> shift & (PV_WHEEL_SLOTS - 1);
        uint64_t ahead = w->occupied[level] & UINT64_MAX << here;
        for (; ahead; ahead &= ahead - 1) {
            unsigned slot = (unsigned)__builtin_ctzll(ahead);
            if (pv_list_empty(&w->slots[level][slot]))
                continue;
            *ret_level = level;
            *ret_start = ((w->tick >> shift & ~(uint64_t)(PV_WHEEL_SLOTS - 1)) | slot) << shift;
            return &w->slots[level][slot];
        }
    }
    return NULL;
}

static void spread(struct pv_wheel *w, struct pv_list *timers)
{
    pv_list_each_safe (it, timers) {
        pv_list_remove(it);
        pv_wheel_add(w, pv_container(it, struct pv_timer, link));
    }
}

void pv_wheel_expire(struct pv_wheel *w, uint64_t tick, struct pv_list *due)
{
    unsigned level;
    uint64_t start;
    const struct pv_list *first;
    while ((first = first_slot(w, &level, &start)) && start <= tick) {
        struct pv_list *slot = &w->slots[level][first - w->slots[level]];
        w->occupied[level] &= ~(UINT64_C(1) << (first - w->slots[level]));
        if (w->tick < start)
            w->tick = start;
        if (level == 0)
            pv_list_splice(due, slot);
        else
            spread(w, slot);
    }
    if (w->tick < tick)
        w->tick = tick;
}

uint64_t pv_wheel_next(const struct pv_wheel *w, size_t look)
{
    unsigned level;
    uint64_t start;
    const struct pv_list *slot = first_slot(w, &level, &start);
    if (!slot)
        return UINT64_MAX;
    if (level == 0)
        return start;
    uint64_t next = UINT64_MAX;
    pv_list_each (it, slot) {
        if (look-- == 0)
            return start;
        uint64_t tick = pv_wheel_tick(pv_container(it, struct pv_timer, link));
        next = tick < next ? tick : next;
    }
    return next;
}
