/* The timer wheel: seven levels of 64 slots, 1 ms the finest; set, clear and fire cost the same
 * however many timers there are. A level's slot is spread over the level below when its time comes.
 * Pure: knows no clock. */
#ifndef PV_NET_WHEEL_H
#define PV_NET_WHEEL_H

#include "net/loop.h"

enum { PV_WHEEL_BITS = 6, PV_WHEEL_SLOTS = 64, PV_WHEEL_LEVELS = 7 };

struct pv_wheel {
    uint64_t tick; /* every timer due before it was handed out */
    size_t count; /* timers set, those handed out and not yet run included: loop counts them down */
    uint64_t occupied[PV_WHEEL_LEVELS]; /* a bit each slot; may outlast the slot's last timer */
    struct pv_list slots[PV_WHEEL_LEVELS][PV_WHEEL_SLOTS];
};

void pv_wheel_init(struct pv_wheel *, uint64_t tick);
/* The millisecond at which a timer runs: never before it is due. */
uint64_t pv_wheel_tick(const struct pv_timer *);
void pv_wheel_add(struct pv_wheel *, struct pv_timer *);
/* Move all timers due at `tick` or before to the list, in order. */
void pv_wheel_expire(struct pv_wheel *, uint64_t tick, struct pv_list *due);
/* The tick of the next timer, UINT64_MAX: none. Where it would have to look at more than `look`
 * timers it may answer a tick before. */
uint64_t pv_wheel_next(const struct pv_wheel *, size_t look);

#endif
