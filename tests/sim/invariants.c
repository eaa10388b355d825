#include "invariants.h"

#include "asker.h"
#include "report.h"
#include "session.h"

#include "conn/health.h"
#include "resolver/query.h"

enum { LATE_US = 5 * MS, SENDS_A_SERVER = 3, TRIALS_MOST = 8, TRIAL_SPACING_US = 250000 };

#define ENDPOINT(it) pv_container(it, struct pv_endpoint, link)
#define CONN(it)     pv_container(it, struct pv_conn, link)
#define QUERY(it)    pv_container(it, struct pv_query, link)
#define ATTEMPT(it)  pv_container(it, struct pv_attempt, of_query)

static unsigned length_of(const struct pv_list *list)
{
    unsigned n = 0;
    pv_list_each (it, list)
        n++;
    return n;
}

/* ---- askers ---- */

static void check_askers(const struct world *w)
{
    unsigned open[WORKERS_MOST] = {0};
    for (unsigned i = 0; i < w->asker_count; i++) {
        const struct asker *a = w->askers[i];
        if (!a->open || !a->worker->resolver)
            continue;
        open[a->worker->number]++;
        must(w->now <= a->begun + a->limit + (w->slack - a->grace) + LATE_US,
             "query %u has not ended, %llu us after its deadline", i,
             (unsigned long long)(w->now - a->begun - a->limit));
    }
    for (unsigned i = 0; i < w->worker_count; i++) {
        const struct privy_resolver *r = w->workers[i].resolver;
        must(!r || privy_resolver_pending(r) == open[i], "%u askers wait, the resolver knows %u",
             open[i], r ? privy_resolver_pending(r) : 0);
        must(!r || r->asking <= r->options.limits.inflight, "more than limits.inflight wait");
    }
}

/* ---- queries ---- */

static void check_sends(const struct pv_query *q, const struct pv_attempt *a)
{
    unsigned sent[2] = {0};
    pv_list_each (it, &q->attempts) {
        const struct pv_attempt *b = ATTEMPT(it);
        bool read = b->outcome != PV_UNPROCESSED && b->outcome != PV_LEFT_OUT;
        if (b->upstream == a->upstream && b->was_sent && read)
            sent[b->kind]++;
    }
    must(sent[PV_STREAM] <= SENDS_A_SERVER && sent[PV_DATAGRAM] <= SENDS_A_SERVER,
         "a query was sent to upstream %s more than 3 times", a->upstream->name);
}

static bool has_ending(const struct pv_query *q)
{
    pv_list_each (it, &q->attempts) {
        if (ATTEMPT(it)->ending.queued)
            return true;
    }
    return false;
}

static void check_query(const struct privy_resolver *r, const struct pv_query *q)
{
    unsigned pending = 0;
    pv_list_each (it, &q->attempts) {
        const struct pv_attempt *a = ATTEMPT(it);
        pending += a->outcome == PV_PENDING;
        check_sends(q, a);
    }
    must(q->tries <= q->options.tries, "a query was tried %u times of %u", q->tries,
         q->options.tries);
    must(q->attempt_count == length_of(&q->attempts), "attempts are miscounted");
    must(q->attempt_count <= PRIVY_ERROR_ATTEMPTS + pending, "%u attempts are kept",
         q->attempt_count);
    must(q->background || !pv_list_empty(&q->askers), "a query lives on for nobody");
    must(pending || q->step.due || has_ending(q) || (!pv_list_empty(&q->parking) && r->trials.due),
         "a query waits for nothing");
}

/* ---- connections ---- */

static void check_conns(const struct world *w, const struct pv_endpoint *e, enum pv_kind kind)
{
    unsigned n[PV_CONN_STATES] = {0};
    pv_list_each (it, &e->conns) {
        const struct pv_conn *c = CONN(it);
        must(c->in_flight == length_of(&c->attempts), "attempts on a connection are miscounted");
        must(c->state != PV_CONN_CLOSED, "a closed connection is used");
        must(c->state != PV_CONN_OPENING ||
                 w->now <= c->opened + PV_OPEN_LIMIT_US + w->slack + LATE_US,
             "a connection opens for ever");
        n[c->state] += c->kind == kind;
    }
    must(n[PV_CONN_READY] <= e->max_conns, "upstream %s: %u connections of %u", e->upstream->name,
         n[PV_CONN_READY], e->max_conns);
    must(n[PV_CONN_OPENING] <= TRIALS_MOST, "upstream %s: %u connections are opening",
         e->upstream->name, n[PV_CONN_OPENING]);
}

static void check_endpoints(const struct world *w, const struct pv_list *list)
{
    pv_list_each (it, list) {
        check_conns(w, ENDPOINT(it), PV_STREAM);
        check_conns(w, ENDPOINT(it), PV_DATAGRAM);
    }
}

/* No upstream is blamed for what its server has not done. */
static void check_blame(struct world *w)
{
    for (unsigned i = 0; i < w->pool_count; i++) {
        struct server *s = &w->servers[i];
        const struct pv_upstream *up = world_upstream(w, s);
        uint64_t bad = up ? up->health.results[PV_RESULT_BAD_ANSWER] : 0;
        must(!up || up != s->watched || bad == s->bad_answers || server_may_be_doubted(s),
             "upstream %s is blamed for a bad answer it did not give", s->name);
        s->watched = up;
        s->bad_answers = bad;
    }
}

void invariants_check(struct world *w)
{
    check_askers(w);
    check_blame(w);
    for (unsigned i = 0; i < w->worker_count; i++) {
        const struct privy_resolver *r = w->workers[i].resolver;
        if (!r)
            continue;
        pv_list_each (it, &r->queries)
            check_query(r, QUERY(it));
        check_endpoints(w, &r->endpoints);
        check_endpoints(w, &r->retiring);
    }
}

/* 4 trials a second of an upstream that is down, whoever asks for them; another identity is tried
 * at once. */
void invariants_opening(void *arg, struct net_host *h, bool tcp)
{
    struct world *w = arg;
    struct server *s = h->server;
    const struct pv_upstream *up = world_upstream(w, s);
    (void)tcp;
    if (!up || !pv_health_is_down(up) || s->host_count > 1 || w->now <= s->renews_until ||
        s->protocol->sealed) /* which takes several socks for one trial */
        return;
    must(up != s->tried || w->now >= s->last_trial + TRIAL_SPACING_US,
         "upstream %s is down and tried again after %llu us", s->name,
         (unsigned long long)(w->now - s->last_trial));
    s->tried = up;
    s->last_trial = w->now;
}

/* ---- the end ---- */

void invariants_idle(struct worker *k)
{
    const struct privy_resolver *r = k->resolver;
    if (!r)
        return;
    must(r->asking == 0 && pv_list_empty(&r->queries) && r->flying.count == 0, "queries are left");
    must(pv_list_empty(&r->parked) && pv_list_empty(&r->ending) && pv_list_empty(&r->at_hand),
         "askers are left");
    must(pv_list_empty(&r->retiring), "an endpoint of a former set is left");
    pv_list_each (it, &r->endpoints)
        must(pv_list_empty(&ENDPOINT(it)->conns), "a connection is left open for ever");
    bool watches = false; /* files, once a minute; certificates, once an hour */
    for (unsigned i = 0; i < k->world->server_count; i++)
        watches |= k->world->servers[i].identity > 0 || k->world->servers[i].protocol->sealed;
    must(!pv_loop_busy(k->loop), "something is deferred, by nobody");
    must(watches || pv_loop_next_due(k->loop) == UINT64_MAX, "a timer runs, of nobody");
}

void invariants_nothing_left(const struct worker *k)
{
    must(!pv_loop_busy(k->loop), "something is deferred, by nobody");
    must(pv_loop_next_due(k->loop) == UINT64_MAX, "a timer runs, of nobody");
}
