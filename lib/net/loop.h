/* One loop turn: time, timers, deferral. With net/sock and base/random the only door to the
 * machine; a test may put its own clock and packets behind it (struct pv_machine). */
#ifndef PV_NET_LOOP_H
#define PV_NET_LOOP_H

#include "base/list.h"
#include "base/status.h"

struct event_base;
struct pv_loop;
struct pv_machine;

/* base NULL (tests): a loop nobody drives but pv_loop_turn(). machine NULL: the real one (needs a
 * base). Not counted: the caller keeps it longer than everything on it. */
struct pv_loop *pv_loop_new(struct event_base *base, const struct pv_machine *machine, void *world);
void pv_loop_free(struct pv_loop *); /* timers and deferrals still in it are forgotten */
struct event_base *pv_loop_base(const struct pv_loop *);
const struct pv_machine *pv_loop_machine(const struct pv_loop *, void **ret_world);

/* Microseconds. Cached for the turn: asking costs nothing. */
uint64_t pv_now(struct pv_loop *);
/* Ages (TTLs, tickets, idle) also grow while the machine sleeps: CLOCK_BOOTTIME, seconds. */
uint64_t pv_age_now(struct pv_loop *);
/* Make the next pv_now() read the clock (after the program did something long). */
void pv_now_refresh(struct pv_loop *);

/* Timers: a hierarchical wheel, 1 ms. Embedded in their owner; zeroed memory is an idle timer. Set
 * again moves it, clearing an idle one does nothing; its function runs from the loop with the timer
 * idle. An idle process is not woken. */
struct pv_timer {
    struct pv_list link;
    uint64_t due; /* µs; 0: idle */
    void (*fire)(struct pv_timer *);
};
void pv_timer_set(struct pv_loop *, struct pv_timer *, uint64_t due_us,
                  void (*fire)(struct pv_timer *));
void pv_timer_clear(struct pv_loop *, struct pv_timer *);

/* Run a function at the end of this loop turn, after all I/O of it: the one place from which user
 * callbacks run and memory of living objects is freed (law 1). Embedded; zeroed memory is idle;
 * deferring twice runs once. What is deferred while they run waits for the next turn. */
struct pv_deferred {
    struct pv_list link;
    bool queued;
    void (*run)(struct pv_deferred *);
};
void pv_defer(struct pv_loop *, struct pv_deferred *, void (*run)(struct pv_deferred *));
/* The same, but after every pv_defer() of the turn: what the turn wrote goes to the kernel here, in
 * one piece. */
void pv_defer_flush(struct pv_loop *, struct pv_deferred *, void (*run)(struct pv_deferred *));
void pv_undefer(struct pv_deferred *);

/* Two places that all on the loop share, so that no thread has one for each protocol: `in` for what
 * is read and looked at before the next read, `out` for what is written and sent at once. */
enum { PV_LOOP_IN = 65535, PV_LOOP_OUT = 65535 + 1024 /* and what stands around a message */ };
uint8_t *pv_loop_in(struct pv_loop *);
uint8_t *pv_loop_out(struct pv_loop *);

/* Is anything deferred, or which timer is next (UINT64_MAX: none)? For simulations. */
bool pv_loop_busy(const struct pv_loop *);
uint64_t pv_loop_next_due(const struct pv_loop *);
/* Run due timers and what is deferred now: one turn, as the event would. */
void pv_loop_turn(struct pv_loop *);

#endif
