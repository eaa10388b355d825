#include "conn/dispatch.h"

#include "conn/attempt.h"
#include "conn/health.h"

#define CONN(it) pv_container(it, struct pv_conn, link)

struct pv_endpoint *pv_endpoint_new(struct pv_loop *loop, struct pv_upstream *up,
                                    unsigned max_conns, const struct pv_endpoint_events *events,
                                    void *owner)
{
    const struct pv_proto *proto = up->proto;
    struct pv_endpoint *e = calloc(1, sizeof *e + proto->endpoint_size);
    if (!e)
        return NULL;
    e->loop = loop;
    e->upstream = pv_upstream_ref(up);
    e->proto = proto;
    e->events = events;
    e->owner = owner;
    e->max_conns = max_conns;
    pv_list_init(&e->link);
    pv_list_init(&e->conns);
    pv_list_init(&e->closed);
    pv_list_init(&e->waiting);
    e->probe_ask.question =
        (struct pv_question){.name = {0}, .name_length = 1, .type = PV_T_NS, .rrclass = PV_C_IN};
    e->probe_ask.pad_block = 128;
    if (proto->start && !proto->start(e)) {
        pv_endpoint_free(e);
        return NULL;
    }
    return e;
}

void pv_endpoint_free(struct pv_endpoint *e)
{
    if (!e)
        return;
    pv_list_each_safe (it, &e->conns)
        pv_conn_close(CONN(it));
    pv_list_each_safe (it, &e->closed)
        pv_conn_free(CONN(it));
    pv_list_each_safe (it, &e->waiting)
        pv_list_remove(it);
    if (e->proto->stop)
        e->proto->stop(e);
    pv_timer_clear(e->loop, &e->wake);
    pv_undefer(&e->settle);
    pv_upstream_unref(e->upstream);
    free(e->addresses);
    free(e);
}

/* ---- what connections tell ---- */

void pv_endpoint_turn_from(struct pv_endpoint *e, const struct pv_conn *c)
{
    if (c->address == e->address_first) /* not for each of those opened together */
        e->address_first++;
}

static struct pv_conn *longest_unheard(const struct pv_endpoint *e, enum pv_kind kind)
{
    struct pv_conn *longest = NULL;
    pv_list_each (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        if (c->kind == kind && c->state == PV_CONN_READY &&
            (!longest || c->progress < longest->progress))
            longest = c;
    }
    return longest;
}

/* One that was silent speaks again, and another was opened in its place. */
static void keep_limit(struct pv_endpoint *e, enum pv_kind kind)
{
    while (pv_dispatch_count(e, kind, PV_CONN_READY) > e->max_conns)
        pv_conn_drain(longest_unheard(e, kind));
}

void pv_endpoint_conn_healed(struct pv_endpoint *e, struct pv_conn *c)
{
    keep_limit(e, c->kind);
}

void pv_endpoint_conn_ready(struct pv_endpoint *e, struct pv_conn *c)
{
    pv_list_each_safe (it, &e->conns) {
        struct pv_conn *other = CONN(it);
        if (other->state == PV_CONN_OPENING && other->kind == c->kind)
            pv_conn_close(other);
    }
    keep_limit(e, c->kind);
    pv_endpoint_pump(e);
    bool awaited = e->events->ready(e->owner, e) || c->in_flight > 0;
    /* Nobody has a question for it: only an answer proves that it is up. */
    if (!awaited && c->state == PV_CONN_READY && pv_health_is_down(e->upstream))
        pv_conn_probe(c);
}

void pv_endpoint_answered(struct pv_endpoint *e, uint64_t sent, bool probe)
{
    if (pv_health_good(e->upstream, pv_now(e->loop), sent, probe))
        e->events->recovered(e->owner, e);
}

/* Has another connection shown life since? Then the upstream is not to blame for this one. */
static bool heard_since(const struct pv_endpoint *e, uint64_t when)
{
    pv_list_each (it, &e->conns) {
        if (CONN(it)->progress > when)
            return true;
    }
    return false;
}

/* Was there one of its kind that worked when this one was opened, and does it still? */
static bool works_beside(const struct pv_endpoint *e, const struct pv_conn *c)
{
    uint64_t recent = pv_health_suspect_after(e->upstream);
    pv_list_each (it, &e->conns) {
        const struct pv_conn *other = CONN(it);
        if (other->kind == c->kind && other->state == PV_CONN_READY && other->answered &&
            other->progress + recent > c->opened && !pv_conn_is_barred(other))
            return true;
    }
    return false;
}

static bool blames_upstream(const struct pv_endpoint *e, const struct pv_conn *c,
                            enum pv_outcome outcome)
{
    switch (outcome) {
    case PV_GOOD:
    case PV_NO_ROOM:
        return false;
    case PV_DIED_IDLE:
        return false;
    case PV_TIMED_OUT:
        return !heard_since(e, c->overdue);
    case PV_UNREACHABLE:
    case PV_UNOPENED:
    case PV_DIED_FRESH:
        return !works_beside(e, c);
    default:
        return true;
    }
}

static void run_settle(struct pv_deferred *d)
{
    struct pv_endpoint *e = pv_container(d, struct pv_endpoint, settle);
    if (e->draining && pv_list_empty(&e->conns))
        e->events->drained(e->owner, e);
}

void pv_endpoint_conn_gone(struct pv_endpoint *e, struct pv_conn *c, enum pv_outcome outcome,
                           const char *reason)
{
    bool blamed = blames_upstream(e, c, outcome);
    if (blamed) {
        pv_health_bad(e->upstream, pv_now(e->loop), outcome, reason);
        pv_endpoint_turn_from(e, c);
        if (e->upstream->address_count == 0)
            e->events->lookup(e->owner, e);
    }
    if (!blamed && !c->answered && outcome != PV_GOOD)
        e->alone_until = pv_now(e->loop) + PV_BACKOFF_LAST_US;
    if ((blamed || outcome == PV_NO_ROOM) && !pv_dispatch_find(e, c->kind, PV_CONN_OPENING) &&
        !pv_dispatch_usable(e, c->kind))
        pv_dispatch_fail_waiting(e, c->kind, outcome, reason);
    if (e->draining) {
        pv_undefer(&e->settle); /* behind the ends of what it carried */
        pv_defer(e->loop, &e->settle, run_settle);
    } else {
        pv_endpoint_pump(e);
    }
}

void pv_endpoint_drain(struct pv_endpoint *e)
{
    e->draining = true;
    pv_dispatch_fail_waiting(e, PV_STREAM, PV_UNREACHABLE, "no longer configured");
    pv_dispatch_fail_waiting(e, PV_DATAGRAM, PV_UNREACHABLE, "no longer configured");
    pv_list_each_safe (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        if (c->state == PV_CONN_OPENING)
            pv_conn_close(c);
        else
            pv_conn_drain(c);
    }
    pv_defer(e->loop, &e->settle, run_settle);
}

static bool is_busy(const struct pv_endpoint *e)
{
    pv_list_each (it, &e->conns) {
        if (CONN(it)->in_flight > 0)
            return true;
    }
    return !pv_list_empty(&e->waiting);
}

enum pv_standing pv_endpoint_standing(const struct pv_endpoint *e)
{
    bool silent = false;
    if (e->draining || pv_health_is_down(e->upstream))
        return PV_STANDING_DOWN;
    if (!pv_endpoint_has_addresses(e))
        return PV_STANDING_UNKNOWN;
    if (pv_health_is_doubtful(e->upstream) && is_busy(e))
        return PV_STANDING_SUSPECT;
    uint64_t late = pv_now(e->loop) - pv_health_hedge_after(e->upstream);
    pv_list_each (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        bool barred = pv_conn_is_barred(c);
        if (c->state == PV_CONN_READY && !barred)
            return PV_STANDING_GOOD;
        if (barred || c->state == PV_CONN_SUSPECT ||
            (c->state == PV_CONN_OPENING && c->opened < late))
            silent = true;
    }
    return silent ? PV_STANDING_SUSPECT : PV_STANDING_GOOD;
}

void pv_endpoint_network_changed(struct pv_endpoint *e)
{
    pv_health_forgive(e->upstream);
    pv_list_each_safe (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        if (c->in_flight == 0)
            pv_conn_close(c);
        else
            pv_conn_suspect(c);
    }
    pv_endpoint_pump(e); /* some may have waited for one that is gone */
}

/* ---- addresses ---- */

bool pv_endpoint_has_addresses(const struct pv_endpoint *e)
{
    return e->address_count > 0 || e->upstream->address_count > 0;
}

void pv_endpoint_set_addresses(struct pv_endpoint *e, const struct pv_addr *addresses, unsigned n,
                               uint32_t ttl_s)
{
    struct pv_addr *copy = calloc(n ? n : 1, sizeof *copy);
    if (!copy)
        return;
    for (unsigned i = 0; i < n; i++)
        copy[i] = addresses[i];
    free(e->addresses);
    e->addresses = copy;
    e->address_count = n;
    e->addresses_until = pv_age_now(e->loop) + ttl_s;
    pv_endpoint_pump(e);
}

void pv_endpoint_no_addresses(struct pv_endpoint *e, const char *reason)
{
    if (pv_endpoint_has_addresses(e))
        return; /* the old ones still serve */
    pv_health_bad(e->upstream, pv_now(e->loop), PV_UNREACHABLE, reason);
    pv_dispatch_fail_waiting(e, PV_STREAM, PV_UNREACHABLE, reason);
    pv_dispatch_fail_waiting(e, PV_DATAGRAM, PV_UNREACHABLE, reason);
}

/* After a failure of all of them the next race starts with another one. */
unsigned pv_endpoint_addresses(const struct pv_endpoint *e, struct pv_addr out[PV_ADDRESSES_MAX])
{
    bool own = e->upstream->address_count == 0;
    const struct pv_addr *from = own ? e->addresses : e->upstream->addresses;
    unsigned n = own ? e->address_count : e->upstream->address_count, total = n;
    if (n > PV_ADDRESSES_MAX)
        n = PV_ADDRESSES_MAX;
    for (unsigned i = 0; i < n; i++)
        out[i] = from[(e->address_first + i) % total];
    return n;
}

/* ---- for handlers ---- */

/* One that is being opened may still show what was. */
void pv_endpoint_renew(struct pv_endpoint *e)
{
    bool had = !pv_list_empty(&e->conns);
    pv_health_forgive(e->upstream);
    pv_list_each_safe (it, &e->conns) {
        if (CONN(it)->state == PV_CONN_OPENING)
            pv_conn_close(CONN(it));
        else if (CONN(it)->in_flight == 0)
            pv_conn_drain(CONN(it));
    }
    pv_list_each_safe (it, &e->conns)
        pv_endpoint_replace(e, CONN(it));
    if (had && pv_list_empty(&e->conns))
        pv_endpoint_warm(e);
    pv_endpoint_pump(e);
}

void pv_endpoint_rest(struct pv_endpoint *e, uint64_t us, const char *reason)
{
    pv_health_rest(e->upstream, pv_now(e->loop), us, reason);
}

static void wake_fired(struct pv_timer *t)
{
    struct pv_endpoint *e = pv_container(t, struct pv_endpoint, wake);
    e->proto->wake(e);
}

void pv_endpoint_wake_at(struct pv_endpoint *e, uint64_t us)
{
    pv_timer_set(e->loop, &e->wake, us, wake_fired);
}

void *pv_endpoint_state(struct pv_endpoint *e)
{
    return e->state_of_proto;
}

struct pv_upstream *pv_endpoint_upstream(const struct pv_endpoint *e)
{
    return e->upstream;
}

struct pv_loop *pv_endpoint_loop(const struct pv_endpoint *e)
{
    return e->loop;
}
