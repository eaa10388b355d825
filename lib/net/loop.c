#include "net/loop.h"

#include "net/sock.h"
#include "net/wheel.h"

#include <event2/event.h>

/* At most so many timers are looked at to learn when to wake; with more, waking a little early and
 * spreading them is cheaper. */
enum { LOOK = 64 };

struct pv_loop {
    struct event_base *base;
    const struct pv_machine *machine;
    void *world;
    struct event *timer_event;
    struct event *turn_event; /* made active in a turn, it runs after all that was ready in it */
    bool turn_scheduled;

    bool now_known, age_known; /* in this turn */
    struct timeval turn;       /* libevent's own time of the turn in which we looked */
    uint64_t now_us, age_s;

    struct pv_wheel wheel;
    uint64_t armed; /* the tick timer_event waits for; UINT64_MAX: none */

    struct pv_list deferred, flushes;
    unsigned running; /* calls of others under way: pv_loop_free() waits for them */
    bool draining, dying;
    uint8_t in[PV_LOOP_IN], out[PV_LOOP_OUT];
};

static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_turn(evutil_socket_t fd, short what, void *arg);

static void destroy(struct pv_loop *l)
{
    if (l->timer_event)
        event_free(l->timer_event);
    if (l->turn_event)
        event_free(l->turn_event);
    free(l);
}

struct pv_loop *pv_loop_new(struct event_base *base, const struct pv_machine *machine, void *world)
{
    struct pv_loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->base = base;
    l->machine = machine ? machine : &pv_machine_real;
    l->world = world;
    l->armed = UINT64_MAX;
    pv_list_init(&l->deferred);
    pv_list_init(&l->flushes);
    pv_wheel_init(&l->wheel, l->machine->now(world) / 1000);
    if (!base)
        return l;
    l->timer_event = event_new(base, -1, 0, on_timer, l);
    l->turn_event = event_new(base, -1, 0, on_turn, l);
    if (!l->timer_event || !l->turn_event) {
        destroy(l);
        return NULL;
    }
    return l;
}

/* ---- forgetting: owners may clear and undefer what a gone loop held ---- */

static void forget_deferred(struct pv_list *list)
{
    pv_list_each_safe (it, list) {
        pv_list_remove(it);
        pv_container(it, struct pv_deferred, link)->queued = false;
    }
}

static void forget_timers(struct pv_list *list)
{
    pv_list_each_safe (it, list) {
        pv_list_remove(it);
        pv_container(it, struct pv_timer, link)->due = 0;
    }
}

void pv_loop_free(struct pv_loop *l)
{
    if (!l)
        return;
    forget_deferred(&l->deferred);
    forget_deferred(&l->flushes);
    for (unsigned level = 0; level < PV_WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < PV_WHEEL_SLOTS; slot++)
            forget_timers(&l->wheel.slots[level][slot]);
    l->dying = true;
    if (l->running == 0)
        destroy(l);
}

uint8_t *pv_loop_in(struct pv_loop *l)
{
    return l->in;
}

uint8_t *pv_loop_out(struct pv_loop *l)
{
    return l->out;
}

struct event_base *pv_loop_base(const struct pv_loop *l)
{
    return l->base;
}

const struct pv_machine *pv_loop_machine(const struct pv_loop *l, void **ret_world)
{
    if (ret_world)
        *ret_world = l->world;
    return l->machine;
}

/* ---- time ---- */

static void schedule_turn(struct pv_loop *l)
{
    if (!l->base || l->turn_scheduled || l->draining)
        return;
    l->turn_scheduled = true;
    event_active(l->turn_event, EV_TIMEOUT, 0);
}

/* libevent's own time stands still in a turn; outside the loop it is the clock's. (By chance it may
 * be that in a turn too: then we look at the clock once more than needed.) */
static bool is_in_turn(const struct timeval *cached)
{
    struct timeval now;
    evutil_gettimeofday(&now, NULL);
    int64_t apart =
        (now.tv_sec - cached->tv_sec) * INT64_C(1000000) + now.tv_usec - cached->tv_usec;
    return apart > 2 || apart < 0;
}

/* A time read in a turn is good until its end, of which on_turn() tells. Outside the loop no turn
 * ends, and making an event active would only let the next one spin. */
static bool known_this_turn(struct pv_loop *l, bool *known)
{
    if (!l->base)
        return false; /* a simulated clock costs nothing */
    struct timeval cached;
    event_base_gettimeofday_cached(l->base, &cached);
    if (cached.tv_sec != l->turn.tv_sec || cached.tv_usec != l->turn.tv_usec)
        pv_now_refresh(l);
    l->turn = cached;
    if (*known)
        return true;
    *known = is_in_turn(&cached);
    if (*known)
        schedule_turn(l);
    return false;
}

uint64_t pv_now(struct pv_loop *l)
{
    if (!known_this_turn(l, &l->now_known))
        l->now_us = l->machine->now(l->world);
    return l->now_us;
}

uint64_t pv_age_now(struct pv_loop *l)
{
    if (!known_this_turn(l, &l->age_known))
        l->age_s = l->machine->age_now(l->world);
    return l->age_s;
}

void pv_now_refresh(struct pv_loop *l)
{
    l->now_known = l->age_known = false;
}

/* ---- timers ---- */

/* Wake at this tick. Left alone while it is early enough: setting and clearing a timer for each
 * query costs no event_add(). Where that fails for want of memory, the end of a turn tries again.
 */
static void arm(struct pv_loop *l, uint64_t tick)
{
    if (tick >= l->armed)
        return;
    l->armed = tick;
    if (!l->base) {
        if (l->machine->arm)
            l->machine->arm(l);
        return;
    }
    uint64_t now = pv_now(l), wait = tick * 1000 > now ? tick * 1000 - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000000),
                         .tv_usec = (suseconds_t)(wait % 1000000)};
    if (event_add(l->timer_event, &tv) != 0)
        l->armed = UINT64_MAX;
}

void pv_timer_set(struct pv_loop *l, struct pv_timer *t, uint64_t due_us,
                  void (*fire)(struct pv_timer *))
{
    pv_timer_clear(l, t);
    if (l->dying)
        return;
    if (l->wheel.count++ == 0) {
        uint64_t tick = pv_now(l) / 1000;
        l->wheel.tick = tick > l->wheel.tick ? tick : l->wheel.tick;
    }
    t->due = due_us ? due_us : 1;
    t->fire = fire;
    pv_wheel_add(&l->wheel, t);
    arm(l, pv_wheel_tick(t));
}

void pv_timer_clear(struct pv_loop *l, struct pv_timer *t)
{
    if (!t->due)
        return;
    pv_list_remove(&t->link);
    t->due = 0;
    l->wheel.count--;
}

static void fire_due(struct pv_loop *l)
{
    struct pv_list due;
    pv_list_init(&due);
    l->armed = 0; /* armed anew below, not by each timer set meanwhile */
    pv_wheel_expire(&l->wheel, pv_now(l) / 1000, &due);
    struct pv_list *first;
    while (!l->dying && (first = pv_list_first(&due))) {
        struct pv_timer *t = pv_container(first, struct pv_timer, link);
        pv_timer_clear(l, t);
        t->fire(t);
    }
    forget_timers(&due);
    if (l->dying)
        return;
    l->armed = UINT64_MAX;
    arm(l, pv_wheel_next(&l->wheel, LOOK));
}

static void finish_running(struct pv_loop *l)
{
    if (--l->running == 0 && l->dying)
        destroy(l);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pv_loop *l = arg;
    l->running++;
    l->now_known = false;
    fire_due(l);
    finish_running(l);
}

/* ---- deferral ---- */

static void defer_on(struct pv_loop *l, struct pv_list *list, struct pv_deferred *d,
                     void (*run)(struct pv_deferred *))
{
    if (d->queued || l->dying)
        return;
    d->queued = true;
    d->run = run;
    pv_list_append(list, &d->link);
    schedule_turn(l);
}

void pv_defer(struct pv_loop *l, struct pv_deferred *d, void (*run)(struct pv_deferred *))
{
    defer_on(l, &l->deferred, d, run);
}

void pv_defer_flush(struct pv_loop *l, struct pv_deferred *d, void (*run)(struct pv_deferred *))
{
    defer_on(l, &l->flushes, d, run);
}

void pv_undefer(struct pv_deferred *d)
{
    if (!d->queued)
        return;
    pv_list_remove(&d->link);
    d->queued = false;
}

static void run_list(struct pv_loop *l, struct pv_list *list)
{
    struct pv_list batch; /* what is deferred from now on is the next turn's */
    pv_list_init(&batch);
    pv_list_splice(&batch, list);
    struct pv_list *first;
    while (!l->dying && (first = pv_list_first(&batch))) {
        struct pv_deferred *d = pv_container(first, struct pv_deferred, link);
        pv_undefer(d);
        d->run(d);
    }
    forget_deferred(&batch);
}

/* The end of a turn. */
static void drain(struct pv_loop *l)
{
    l->draining = true;
    run_list(l, &l->deferred);
    run_list(l, &l->flushes);
    if (l->armed == UINT64_MAX && l->wheel.count && !l->dying)
        arm(l, pv_wheel_next(&l->wheel, LOOK));
    l->draining = l->turn_scheduled = false;
    pv_now_refresh(l);
    if (l->dying || !l->base || !pv_loop_busy(l))
        return;
    /* An event made active now would run in this same turn and starve the descriptors: better that
     * than never to run. */
    l->turn_scheduled = true;
    if (event_add(l->turn_event, &(struct timeval){0}) != 0)
        event_active(l->turn_event, EV_TIMEOUT, 0);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct pv_loop *l = arg;
    l->running++;
    drain(l);
    finish_running(l);
}

bool pv_loop_busy(const struct pv_loop *l)
{
    return !pv_list_empty(&l->deferred) || !pv_list_empty(&l->flushes);
}

uint64_t pv_loop_next_due(const struct pv_loop *l)
{
    uint64_t tick = pv_wheel_next(&l->wheel, SIZE_MAX);
    return tick == UINT64_MAX ? tick : tick * 1000;
}

void pv_loop_turn(struct pv_loop *l)
{
    l->running++;
    fire_due(l);
    if (!l->dying)
        drain(l);
    finish_running(l);
}
