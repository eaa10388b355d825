#include "conn/conn.h"

#include "conn/attempt.h"
#include "conn/endpoint.h"
#include "conn/health.h"

static const char *const state_name[] = {"opening", "ready", "suspect", "draining", "closed"};

#define TO(s) (1U << (s))
static const unsigned allowed[PV_CONN_STATES] = {
    [PV_CONN_OPENING] = TO(PV_CONN_READY) | TO(PV_CONN_CLOSED),
    [PV_CONN_READY] = TO(PV_CONN_SUSPECT) | TO(PV_CONN_DRAINING) | TO(PV_CONN_CLOSED),
    [PV_CONN_SUSPECT] = TO(PV_CONN_READY) | TO(PV_CONN_DRAINING) | TO(PV_CONN_CLOSED),
    [PV_CONN_DRAINING] = TO(PV_CONN_CLOSED),
};

static void clock_fired(struct pv_timer *);

static void become(struct pv_conn *c, enum pv_conn_state next)
{
    if (PV_BUG_IF(!(allowed[c->state] & TO(next))))
        return;
    pv_debug("upstream %s: connection %s -> %s", c->endpoint->upstream->name, state_name[c->state],
             state_name[next]);
    c->state = next;
}

static struct pv_loop *loop_of(const struct pv_conn *c)
{
    return c->endpoint->loop;
}

bool pv_conn_takes(const struct pv_conn *c)
{
    return c->state == PV_CONN_READY && c->endpoint->proto->room(c) > 0;
}

bool pv_conn_is_barred(const struct pv_conn *c)
{
    return c->state == PV_CONN_READY && c->in_flight == 0 && c->endpoint->proto->room(c) == 0;
}

static void open_failed(struct pv_timer *t)
{
    pv_conn_lost(pv_container(t, struct pv_conn, wake), PV_NO_ROOM, "no memory for a connection");
}

struct pv_conn *pv_conn_open(struct pv_endpoint *e, enum pv_kind kind)
{
    struct pv_conn *c = calloc(1, sizeof *c + e->proto->conn_size);
    if (!c)
        return NULL;
    c->endpoint = e;
    c->kind = kind;
    c->state = PV_CONN_OPENING;
    c->address = e->address_first;
    c->opened = pv_now(e->loop);
    c->last_used = pv_age_now(e->loop);
    c->idle_ms = PV_IDLE_MS;
    pv_list_init(&c->attempts);
    pv_list_append(&e->conns, &c->link);
    atomic_fetch_add(&e->upstream->health.connections, 1);
    pv_timer_set(e->loop, &c->clock, c->opened + PV_OPEN_LIMIT_US, clock_fired);
    if (!e->proto->open(c)) /* nothing ends while it is being opened */
        pv_timer_set(e->loop, &c->wake, c->opened, open_failed);
    return c;
}

/* ---- the end ---- */

static void free_probe(struct pv_conn *c)
{
    if (!c->probe)
        return;
    pv_attempt_done(c->probe);
    free(c->probe);
    c->probe = NULL;
}

void pv_conn_free(struct pv_conn *c)
{
    pv_list_remove(&c->link);
    pv_undefer(&c->gone);
    free_probe(c);
    free(c);
}

static void run_gone(struct pv_deferred *d)
{
    pv_conn_free(pv_container(d, struct pv_conn, gone));
}

/* The attempts have left already. Memory, the probe's too, goes at the end of the turn: callers
 * further up the stack may still hold it. */
static void shut(struct pv_conn *c)
{
    struct pv_endpoint *e = c->endpoint;
    become(c, PV_CONN_CLOSED);
    pv_timer_clear(e->loop, &c->clock);
    pv_timer_clear(e->loop, &c->wake);
    e->proto->close(c);
    pv_list_remove(&c->link);
    pv_list_append(&e->closed, &c->link);
    atomic_fetch_sub(&e->upstream->health.connections, 1);
    pv_defer(e->loop, &c->gone, run_gone);
}

void pv_conn_close(struct pv_conn *c)
{
    if (c->state == PV_CONN_CLOSED)
        return;
    pv_list_each_safe (it, &c->attempts) {
        struct pv_attempt *a = pv_container(it, struct pv_attempt, link);
        pv_list_remove(&a->link);
        a->conn = NULL;
    }
    c->in_flight = 0;
    shut(c);
}

void pv_conn_lost(struct pv_conn *c, enum pv_outcome outcome, const char *reason)
{
    if (c->state == PV_CONN_CLOSED)
        return;
    struct pv_endpoint *e = c->endpoint;
    char why[100]; /* reason may live in what close() frees */
    snprintf(why, sizeof why, "%s", reason);
    bool idle = c->answered || (c->state != PV_CONN_OPENING && c->in_flight == 0);
    if (outcome == PV_DIED_FRESH && idle)
        outcome = PV_DIED_IDLE;
    struct pv_list carried;
    pv_list_init(&carried);
    pv_list_splice(&carried, &c->attempts);
    c->in_flight = 0;
    pv_list_each_safe (it, &carried) {
        struct pv_attempt *a = pv_container(it, struct pv_attempt, link);
        a->conn = NULL; /* nothing to tell the handler any more */
        if (a == c->probe)
            pv_list_remove(&a->link);
        else
            pv_attempt_failed(a, outcome, why);
    }
    shut(c);
    pv_endpoint_conn_gone(e, c, outcome, why);
}

/* Nothing is carried and nothing more is wanted. */
static void retire(struct pv_conn *c)
{
    struct pv_endpoint *e = c->endpoint;
    shut(c);
    pv_endpoint_conn_gone(e, c, PV_GOOD, "");
}

/* ---- clocks ---- */

static uint64_t idle_due(const struct pv_conn *c)
{
    uint64_t since = c->progress > c->opened ? c->progress : c->opened;
    return since + (uint64_t)c->idle_ms * 1000;
}

/* When the oldest attempt was sent after the last sign of life: one that was given up meanwhile is
 * no excuse, or short deadlines would keep a dead connection for good. 0: none. */
static uint64_t unheard_since(const struct pv_conn *c)
{
    pv_list_each (it, &c->attempts) {
        struct pv_attempt *a = pv_container(it, struct pv_attempt, link);
        if (a->sent >= c->progress)
            return c->given_up && c->given_up < a->sent ? c->given_up : a->sent;
    }
    return c->given_up;
}

static void run_overdue(struct pv_deferred *d)
{
    struct pv_attempt *a = pv_container(d, struct pv_attempt, warning);
    if (a->outcome == PV_PENDING)
        a->events->on_overdue(a);
}

/* Silent since then: what it carries is asked elsewhere, and it has 2 s to show life; a slow peer
 * as long as it was waited for. */
static void fall_silent(struct pv_conn *c, uint64_t since)
{
    uint64_t dead = since + PV_DEAD_AFTER_US;
    uint64_t least = pv_now(loop_of(c)) + pv_health_suspect_after(c->endpoint->upstream);
    c->overdue = since;
    pv_timer_set(loop_of(c), &c->clock, dead > least ? dead : least, clock_fired);
    pv_list_each (it, &c->attempts) {
        struct pv_attempt *a = pv_container(it, struct pv_attempt, link);
        a->overdue = true;
        if (a->events->on_overdue)
            pv_defer(loop_of(c), &a->warning, run_overdue);
    }
}

static void ask_for_life(struct pv_conn *c)
{
    if (!c->endpoint->proto->ping) {
        pv_conn_probe(c);
        return;
    }
    c->probed = true;
    c->endpoint->proto->ping(c);
}

static void clock_unused(struct pv_conn *c)
{
    uint64_t now = pv_now(loop_of(c)), due = idle_due(c);
    if (!pv_conn_is_barred(c))
        c->barred = 0;
    else if (!c->barred)
        c->barred = now;
    bool barred = c->barred && now >= c->barred + PV_BARRED_US;
    if (barred && c->missed && !pv_endpoint_has_another(c->endpoint, c->kind))
        pv_conn_lost(c, PV_UNOPENED, "takes no more requests");
    else if (barred || now >= due)
        retire(c);
    else if (c->barred && c->barred + PV_BARRED_US < due)
        pv_timer_set(loop_of(c), &c->clock, c->barred + PV_BARRED_US, clock_fired);
    else
        pv_timer_set(loop_of(c), &c->clock, due, clock_fired);
}

static void clock_ready(struct pv_conn *c)
{
    uint64_t now = pv_now(loop_of(c)), since = unheard_since(c);
    uint64_t limit = pv_health_suspect_after(c->endpoint->upstream);
    if (c->in_flight == 0) {
        clock_unused(c);
        return;
    }
    if (since && now >= since + limit) {
        pv_conn_suspect(c);
        return;
    }
    /* All it carries was sent before the last sign of life: is it slow, or did the path break in
     * the middle of a burst? */
    bool quiet = !since && now >= c->progress + limit;
    if (quiet && !c->probed)
        ask_for_life(c);
    if (!since)
        since = quiet ? now : c->progress;
    pv_timer_set(loop_of(c), &c->clock, since + limit, clock_fired);
}

/* It falls silent while it finishes what it carries: it cannot be probed any more. */
static void clock_draining(struct pv_conn *c)
{
    uint64_t limit = pv_health_suspect_after(c->endpoint->upstream);
    uint64_t unheard = unheard_since(c), since = unheard ? unheard : c->progress;
    if (c->overdue)
        pv_conn_lost(c, PV_TIMED_OUT, "no answer for 2 s");
    else if (pv_now(loop_of(c)) >= since + limit)
        fall_silent(c, since);
    else
        pv_timer_set(loop_of(c), &c->clock, since + limit, clock_fired);
}

/* One timer for all clocks, set early rather than moved: it looks what is due when it fires. */
static void clock_fired(struct pv_timer *t)
{
    struct pv_conn *c = pv_container(t, struct pv_conn, clock);
    switch (c->state) {
    case PV_CONN_OPENING:
        pv_conn_lost(c, PV_UNOPENED, "no connection within 2 s");
        break;
    case PV_CONN_READY:
        clock_ready(c);
        break;
    case PV_CONN_SUSPECT:
        pv_conn_lost(c, PV_TIMED_OUT, "no answer for 2 s");
        break;
    case PV_CONN_DRAINING:
        clock_draining(c);
        break;
    default:
        break;
    }
}

/* ---- life ---- */

void pv_conn_suspect(struct pv_conn *c)
{
    if (c->state != PV_CONN_READY)
        return;
    uint64_t unheard = unheard_since(c);
    become(c, PV_CONN_SUSPECT);
    pv_endpoint_turn_from(c->endpoint, c);
    fall_silent(c, unheard ? unheard : pv_now(loop_of(c)));
    ask_for_life(c);
}

void pv_conn_bar(struct pv_conn *c, bool missed)
{
    uint64_t now = pv_now(loop_of(c));
    c->missed = missed || (c->barred && c->missed);
    c->barred = c->barred ? c->barred : now;
    if (c->clock.due > c->barred + PV_BARRED_US)
        pv_timer_set(loop_of(c), &c->clock, c->barred + PV_BARRED_US, clock_fired);
}

static void probe_ended(struct pv_attempt *a)
{
    free_probe(a->owner);
}

void pv_conn_probe(struct pv_conn *c)
{
    static const struct pv_attempt_events events = {.on_end = probe_ended};
    struct pv_endpoint *e = c->endpoint;
    if (c->probe || c->endpoint->proto->room(c) == 0)
        return;
    struct pv_attempt *a = calloc(1, sizeof *a);
    if (!a)
        return;
    pv_attempt_init(a, &e->probe_ask, c->kind, &events, c);
    a->endpoint = e;
    a->upstream = pv_upstream_ref(e->upstream);
    a->begun = pv_now(e->loop);
    c->probe = a;
    c->probed = true;
    pv_conn_send(c, a);
}

void pv_conn_send(struct pv_conn *c, struct pv_attempt *a)
{
    struct pv_loop *loop = loop_of(c);
    a->conn = c;
    c->barred = 0;
    a->sent = pv_now(loop);
    a->reused = c->answered;
    a->resumed = c->facts.resumed;
    a->client_auth = c->facts.client_auth;
    pv_list_append(&c->attempts, &a->link);
    c->in_flight++;
    if (!c->endpoint->proto->send(c, a)) {
        pv_attempt_failed(a, PV_NO_ROOM, "no memory for it");
        return;
    }
    a->was_sent = true;
    uint64_t since = c->given_up ? c->given_up : a->sent;
    uint64_t due = since + pv_health_suspect_after(c->endpoint->upstream);
    if (c->state == PV_CONN_READY && (!c->clock.due || c->clock.due > due))
        pv_timer_set(loop, &c->clock, due, clock_fired);
    if (a->events->on_sent)
        a->events->on_sent(a);
}

/* It may be over when this returns: the handler may want another connection instead. */
static void drop_probe(struct pv_conn *c)
{
    struct pv_attempt *probe = c->probe;
    if (!probe || probe->outcome != PV_PENDING)
        return;
    c->probe = NULL;
    pv_attempt_drop(probe, false);
    free(probe);
}

void pv_conn_progress(struct pv_conn *c)
{
    bool silent = c->overdue > 0, healed = c->state == PV_CONN_SUSPECT;
    c->progress = pv_now(loop_of(c));
    c->last_used = pv_age_now(loop_of(c));
    c->overdue = 0;
    if (healed)
        become(c, PV_CONN_READY);
    drop_probe(c); /* there is no need for its answer any more */
    c->given_up = 0;
    if (healed)
        pv_endpoint_conn_healed(c->endpoint, c);
    if (silent && c->state != PV_CONN_CLOSED)
        pv_timer_set(loop_of(c), &c->clock, c->progress, clock_fired);
}

void pv_conn_forget(struct pv_conn *c, struct pv_attempt *a, bool answered)
{
    if (c->state == PV_CONN_CLOSED)
        return;
    c->in_flight--;
    if (answered) {
        c->answered = true;
        if (a != c->probe)
            c->probed = false;
        pv_conn_progress(c);
    } else if (a->outcome == PV_PENDING && a->was_sent && a->sent >= c->progress && !c->given_up) {
        c->given_up = a->sent;
    }
    if (c->state == PV_CONN_DRAINING && c->in_flight == 0)
        retire(c);
    else if (c->state == PV_CONN_READY)
        pv_endpoint_pump(c->endpoint);
}

void pv_conn_ready(struct pv_conn *c, const struct pv_conn_facts *facts)
{
    struct pv_health *h = &c->endpoint->upstream->health;
    if (PV_BUG_IF(c->state != PV_CONN_OPENING))
        return;
    c->facts = *facts;
    if (facts->idle_ms)
        c->idle_ms = facts->idle_ms;
    atomic_fetch_add(&h->handshakes, 1);
    if (facts->resumed)
        atomic_fetch_add(&h->handshakes_resumed, 1);
    become(c, PV_CONN_READY);
    pv_debug("upstream %s: %s", c->endpoint->upstream->name,
             facts->resumed ? "session resumed" : "new session");
    pv_timer_set(loop_of(c), &c->clock, pv_now(loop_of(c)) + (uint64_t)c->idle_ms * 1000,
                 clock_fired);
    pv_endpoint_conn_ready(c->endpoint, c);
}

void pv_conn_drain(struct pv_conn *c)
{
    if (c->state != PV_CONN_READY && c->state != PV_CONN_SUSPECT)
        return;
    bool silent = c->state == PV_CONN_SUSPECT;
    become(c, PV_CONN_DRAINING);
    drop_probe(c);
    if (c->state == PV_CONN_CLOSED)
        return;
    if (c->in_flight == 0)
        retire(c);
    else if (!silent)
        pv_timer_set(loop_of(c), &c->clock, pv_now(loop_of(c)), clock_fired);
}

void pv_conn_replace(struct pv_conn *c)
{
    pv_endpoint_replace(c->endpoint, c);
}

void pv_conn_widened(struct pv_conn *c)
{
    if (pv_conn_is_barred(c))
        pv_conn_bar(c, false);
    else
        c->barred = 0;
    if (c->state == PV_CONN_READY)
        pv_endpoint_pump(c->endpoint);
}

void pv_conn_set_idle(struct pv_conn *c, uint32_t ms)
{
    c->idle_ms = ms;
    if (c->state == PV_CONN_READY && c->clock.due > idle_due(c))
        pv_timer_set(loop_of(c), &c->clock, idle_due(c), clock_fired);
}

/* ---- for handlers ---- */

static void conn_wake_fired(struct pv_timer *t)
{
    struct pv_conn *c = pv_container(t, struct pv_conn, wake);
    c->endpoint->proto->wake_conn(c);
}

void pv_conn_wake_at(struct pv_conn *c, uint64_t us)
{
    pv_timer_set(loop_of(c), &c->wake, us, conn_wake_fired);
}

void *pv_conn_state(const struct pv_conn *c)
{
    return (void *)(uintptr_t)c->state_of_proto;
}

struct pv_endpoint *pv_conn_endpoint(const struct pv_conn *c)
{
    return c->endpoint;
}

enum pv_kind pv_conn_kind(const struct pv_conn *c)
{
    return c->kind;
}
