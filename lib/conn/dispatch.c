#include "conn/dispatch.h"

#include "conn/attempt.h"
#include "conn/health.h"

/* Trials that may be opening at the same time: one each 250 ms, none longer than 2 s. */
enum { TRIALS_MOST = PV_OPEN_LIMIT_US / PV_BACKOFF_FIRST_US };

enum {
    IN_USE_US = 1000000,
    LONG_US = 500000,
};

#define CONN(it) pv_container(it, struct pv_conn, link)

static enum pv_kind first_kind(const struct pv_endpoint *e)
{
    return e->proto->traits & PV_TRAIT_DATAGRAM ? PV_DATAGRAM : PV_STREAM;
}

/* ---- what there is ---- */

struct pv_conn *pv_dispatch_find(const struct pv_endpoint *e, enum pv_kind kind,
                                 enum pv_conn_state state)
{
    pv_list_each (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        if (c->kind == kind && c->state == state)
            return c;
    }
    return NULL;
}

struct pv_conn *pv_dispatch_usable(const struct pv_endpoint *e, enum pv_kind kind)
{
    pv_list_each (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        if (c->kind == kind && c->state == PV_CONN_READY && !pv_conn_is_barred(c))
            return c;
    }
    return NULL;
}

unsigned pv_dispatch_count(const struct pv_endpoint *e, enum pv_kind kind, enum pv_conn_state state)
{
    unsigned n = 0;
    pv_list_each (it, &e->conns)
        n += CONN(it)->kind == kind && CONN(it)->state == state;
    return n;
}

bool pv_endpoint_has_ready(const struct pv_endpoint *e, uint64_t since_us)
{
    pv_list_each (it, &e->conns) {
        const struct pv_conn *c = CONN(it);
        if (c->kind == first_kind(e) && c->state == PV_CONN_READY && c->opened >= since_us &&
            !pv_conn_is_barred(c))
            return true;
    }
    return false;
}

bool pv_endpoint_has_another(const struct pv_endpoint *e, enum pv_kind kind)
{
    return pv_dispatch_usable(e, kind) || pv_dispatch_find(e, kind, PV_CONN_OPENING);
}

/* Have them looked up where there are none, or where they are old (then the old ones still serve).
 */
static bool addresses_at_hand(struct pv_endpoint *e)
{
    bool old = e->address_count > 0 && pv_age_now(e->loop) >= e->addresses_until;
    if (!pv_endpoint_has_addresses(e) || old)
        e->events->lookup(e->owner, e);
    return pv_endpoint_has_addresses(e);
}

/* Idle longer than its limit on the clock that also counts sleep: the peer has closed it long ago.
 */
static bool overslept(const struct pv_conn *c, uint64_t age_now)
{
    return c->state == PV_CONN_READY && c->in_flight == 0 &&
           (age_now - c->last_used) * 1000 > c->idle_ms + 1000ULL;
}

static void close_overslept(struct pv_endpoint *e)
{
    uint64_t now = pv_age_now(e->loop);
    pv_list_each_safe (it, &e->conns) {
        if (overslept(CONN(it), now))
            pv_conn_close(CONN(it));
    }
}

static bool wants_one_more(const struct pv_endpoint *e, enum pv_kind kind)
{
    unsigned ready = pv_dispatch_count(e, kind, PV_CONN_READY);
    return ready == 0 || (ready < e->max_conns && pv_now(e->loop) >= e->alone_until);
}

/* Can a new connection be had? */
static bool may_open(const struct pv_endpoint *e, enum pv_kind kind)
{
    if (pv_dispatch_find(e, kind, PV_CONN_OPENING))
        return true;
    return !pv_health_is_down(e->upstream) && wants_one_more(e, kind);
}

static bool is_crowded(const struct pv_conn *c)
{
    return c->in_flight >= PV_CONN_CROWDED;
}

/* Rather one that has answered since it was last doubted, rather one that is not crowded. */
static bool better(const struct pv_conn *a, const struct pv_conn *b)
{
    if (a->probed != b->probed)
        return !a->probed;
    return is_crowded(b) && a->in_flight < b->in_flight;
}

static struct pv_conn *pick_since(const struct pv_endpoint *e, enum pv_kind kind, uint64_t opened)
{
    struct pv_conn *best = NULL;
    pv_list_each (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        if (c->kind == kind && c->opened >= opened && pv_conn_takes(c) &&
            (!best || better(c, best)))
            best = c;
    }
    return best;
}

/* At the limit idle ones, as old as the one that fell silent, give way to a fresh one; those opened
 * since are fresh, even if they take nothing. */
static bool make_room(struct pv_endpoint *e, const struct pv_attempt *a)
{
    enum pv_kind kind = a->kind;
    pv_list_each_safe (it, &e->conns) {
        struct pv_conn *c = CONN(it);
        bool idle = c->kind == kind && c->state == PV_CONN_READY && c->in_flight == 0;
        if (idle && c->opened < a->begun && c->progress < a->begun && !may_open(e, kind) &&
            pv_dispatch_count(e, kind, PV_CONN_READY) >= e->max_conns)
            pv_conn_close(c);
    }
    return may_open(e, kind);
}

/* The connection for this attempt. One that wants a fresh one takes any where none can be had. */
static struct pv_conn *pick(struct pv_endpoint *e, const struct pv_attempt *a)
{
    struct pv_conn *c = pick_since(e, a->kind, a->fresh ? a->begun : 0);
    return c || !a->fresh || make_room(e, a) ? c : pick_since(e, a->kind, 0);
}

void pv_dispatch_fail_waiting(struct pv_endpoint *e, enum pv_kind kind, enum pv_outcome outcome,
                              const char *reason)
{
    pv_list_each_safe (it, &e->waiting) {
        struct pv_attempt *a = pv_container(it, struct pv_attempt, link);
        if (a->kind == kind)
            pv_attempt_failed(a, outcome, reason);
    }
}

/* One handshake at a time; nothing to an upstream that is down (trials see to that). */
static void open_one(struct pv_endpoint *e, enum pv_kind kind)
{
    if (!addresses_at_hand(e) || pv_dispatch_find(e, kind, PV_CONN_OPENING))
        return;
    if (pv_health_is_down(e->upstream)) {
        char reason[100];
        pv_health_reason(e->upstream, reason, sizeof reason);
        if (!pv_dispatch_usable(e, kind))
            pv_dispatch_fail_waiting(e, kind, PV_UNREACHABLE, reason);
        return;
    }
    if (wants_one_more(e, kind) && !pv_conn_open(e, kind))
        pv_dispatch_fail_waiting(e, kind, PV_NO_ROOM, "no memory for a connection");
}

/* Those that take nothing, though they could, do not stay for ever. */
static void bar(struct pv_endpoint *e, enum pv_kind kind)
{
    pv_list_each (it, &e->conns) {
        if (CONN(it)->kind == kind && pv_conn_is_barred(CONN(it)))
            pv_conn_bar(CONN(it), true);
    }
}

/* Those of the waiting that began before `until`, or since. */
static void give(struct pv_endpoint *e, uint64_t until, bool since, bool wanted[2])
{
    bool full[2] = {false, false}; /* but for who wants a fresh connection */
    pv_list_each_safe (it, &e->waiting) {
        struct pv_attempt *a = pv_container(it, struct pv_attempt, link);
        if ((a->begun >= until) != since || (full[a->kind] && !a->fresh))
            continue;
        struct pv_conn *c = pick(e, a);
        if (!c || is_crowded(c))
            wanted[a->kind] = true;
        if (!c) {
            full[a->kind] |= !a->fresh;
            continue;
        }
        pv_list_remove(&a->link);
        pv_conn_send(c, a);
    }
}

/* Give waiting attempts to connections; open one more where some are left, or all are crowded. Who
 * has waited for long comes last: with more questions than the server answers each would be sent
 * shortly before it is given up, and none would be answered in time. */
void pv_endpoint_pump(struct pv_endpoint *e)
{
    bool wanted[2] = {false, false};
    if (e->pumping || pv_list_empty(&e->waiting))
        return;
    e->pumping = true;
    close_overslept(e);
    uint64_t now = pv_now(e->loop), until = now > LONG_US ? now - LONG_US : 0;
    give(e, until, true, wanted);
    give(e, until, false, wanted);
    for (unsigned kind = 0; kind < 2; kind++) {
        if (wanted[kind]) {
            bar(e, kind);
            open_one(e, kind);
        }
    }
    e->pumping = false;
}

void pv_endpoint_submit(struct pv_endpoint *e, struct pv_attempt *a)
{
    a->endpoint = e;
    a->upstream = pv_upstream_ref(e->upstream);
    a->begun = pv_now(e->loop);
    if (a->kind == PV_DATAGRAM && !(e->proto->traits & PV_TRAIT_DATAGRAM))
        a->kind = PV_STREAM;
    pv_list_append(&e->waiting, &a->link);
    pv_endpoint_pump(e);
}

void pv_endpoint_warm(struct pv_endpoint *e)
{
    if (pv_list_empty(&e->conns) && !e->draining)
        open_one(e, first_kind(e));
}

/* Will another be wanted at once? */
static bool is_in_use(const struct pv_endpoint *e, const struct pv_conn *c)
{
    return c->in_flight > 0 || (c->answered && pv_now(e->loop) < c->progress + IN_USE_US);
}

void pv_endpoint_replace(struct pv_endpoint *e, struct pv_conn *old)
{
    if (old->state != PV_CONN_READY && old->state != PV_CONN_SUSPECT)
        return; /* it has been already */
    bool wanted = is_in_use(e, old) && !e->draining;
    /* One that is down is tried as often as trials are, however alive its connections are. */
    if (wanted && !pv_health_is_down(e->upstream) &&
        !pv_dispatch_find(e, old->kind, PV_CONN_OPENING))
        pv_conn_open(e, old->kind);
    pv_conn_drain(old);
}

/* Has it left its probe, and nothing else, without an answer? Or takes nothing? */
static bool is_deaf(const struct pv_conn *c)
{
    const struct pv_endpoint *e = c->endpoint;
    bool waited =
        !c->probe || pv_now(e->loop) >= c->probe->sent + pv_health_suspect_after(e->upstream);
    return (c->probed && waited && c->in_flight <= (c->probe != NULL)) || pv_conn_is_barred(c);
}

void pv_endpoint_trial(struct pv_endpoint *e, bool last_way_out)
{
    enum pv_kind kind = first_kind(e);
    if (e->draining || !pv_health_is_down(e->upstream))
        return;
    struct pv_conn *ready = pv_dispatch_usable(e, kind);
    if (!ready)
        ready = pv_dispatch_find(e, kind, PV_CONN_READY);
    bool deaf = ready && is_deaf(ready);
    if ((!ready || deaf) && !addresses_at_hand(e))
        return;
    if (pv_dispatch_count(e, kind, PV_CONN_OPENING) >= (last_way_out ? TRIALS_MOST : 1))
        return;
    if (!pv_health_take_trial(e->upstream, pv_now(e->loop), last_way_out))
        return;
    if (ready && !deaf) {
        pv_conn_probe(ready);
        return;
    }
    pv_conn_open(e, kind);
    if (deaf) /* it shows life, and answers nothing: a new one may */
        pv_conn_drain(ready);
}
