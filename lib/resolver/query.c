#include "resolver/query.h"

#include "base/random.h"
#include "conn/attempt.h"
#include "conn/health.h"
#include "resolver/coalesce.h"
#include "resolver/failure.h"
#include "resolver/keep.h"
#include "resolver/next.h"
#include "resolver/select.h"
#include "resolver/tries.h"
#include "resolver/verify.h"

enum {
    TRIAL_TICK_US = PV_BACKOFF_FIRST_US,
    HEDGE_COST = 100, /* in the units of hedge_budget: percent of a query */
    HEDGE_SAVED = 10 * HEDGE_COST,
};

#define ATTEMPT(it) pv_container(it, struct pv_attempt, of_query)

static void go_on(struct pv_query *);
static void arm(struct pv_query *);

/* ---- birth and death ---- */

static bool copy_opaque(struct pv_query *q)
{
    if (!q->ask.opaque)
        return true;
    q->opaque = malloc(q->ask.opaque_length);
    if (!q->opaque)
        return false;
    memcpy(q->opaque, q->ask.opaque, q->ask.opaque_length);
    q->ask.opaque = q->opaque;
    return true;
}

struct pv_query *pv_query_new(struct privy_resolver *r, const struct pv_key *key,
                              const struct pv_ask *ask, const char *protocol,
                              const struct privy_query_options *options, struct pv_entry *stale)
{
    struct pv_query *q = calloc(1, sizeof *q);
    if (!q) {
        pv_entry_unref(stale);
        return NULL;
    }
    q->resolver = r;
    q->key = *key;
    q->ask = *ask;
    q->options = *options;
    q->class = PV_ANY_CLASS;
    q->stale = stale;
    q->begun = pv_now(r->loop);
    q->until = q->begun + (uint64_t)options->deadline * 1000;
    pv_list_init(&q->parking);
    pv_list_init(&q->askers);
    pv_list_init(&q->attempts);
    pv_list_append(&r->queries, &q->link);
    q->protocol = protocol ? strdup(protocol) : NULL;
    if (!copy_opaque(q) || (protocol && !q->protocol)) {
        pv_query_free(q);
        return NULL;
    }
    if (!q->opaque) {
        q->node.hash = key->hash;
        pv_map_insert(&r->flying, &q->node);
        q->shared = true;
    }
    return q;
}

/* Out of the resolver's tables, all that still runs is dropped: it was slower than the winner
 * (NULL: nobody won), whose upstream is not measured twice. What has ended stays: facts. */
static void retire(struct pv_query *q, const struct pv_attempt *winner)
{
    struct privy_resolver *r = q->resolver;
    if (q->shared)
        pv_map_remove(&r->flying, &q->node);
    q->shared = false;
    pv_list_remove(&q->parking);
    pv_list_each (it, &q->attempts) {
        if (ATTEMPT(it)->outcome == PV_PENDING)
            pv_attempt_drop(ATTEMPT(it), !winner || ATTEMPT(it)->upstream != winner->upstream);
        pv_undefer(&ATTEMPT(it)->ending);
    }
    pv_timer_clear(r->loop, &q->step); /* now: one that leaves may let another of them out */
    pv_timer_clear(r->loop, &q->life);
    pv_undefer(&q->trim);
    pv_list_remove(&q->link);
}

void pv_query_release(struct pv_query *q)
{
    pv_list_each_safe (it, &q->attempts) {
        pv_attempt_done(ATTEMPT(it));
        free(ATTEMPT(it));
    }
    pv_entry_unref(q->stale);
    free(q->protocol);
    free(q->opaque);
    free(q);
}

void pv_query_free(struct pv_query *q)
{
    retire(q, NULL);
    pv_query_release(q);
}

/* ---- ends ---- */

/* PRIVY_OK: the status follows from what was tried. What failed is noted before it is dropped. */
static void fail_with(struct pv_query *q, enum privy_status status)
{
    struct privy_error error = {0};
    enum privy_status of_attempts = pv_failure(q, &error);
    retire(q, NULL);
    pv_askers_fail(q, status == PRIVY_OK ? of_attempts : status, &error);
}

static void finish(struct pv_query *q, struct pv_attempt *a)
{
    struct pv_entry *entry = q->opaque ? NULL : pv_keep_answer(q, a);
    if (!entry && !q->opaque) {
        fail_with(q, PRIVY_ENOMEM);
        return;
    }
    /* An error is no refresh: what is stale is better [RFC 8767 §4]. */
    if (q->stale && pv_verify_worth(a->outcome) && a->outcome != PV_CUT)
        pv_askers_stale(q);
    retire(q, a);
    pv_askers_answer(q, entry, a);
}

static void fail(struct pv_query *q)
{
    pv_keep_failure(q);
    if (q->stale)
        pv_askers_stale(q);
    fail_with(q, PRIVY_OK);
}

bool pv_query_settle(struct pv_query *q)
{
    if (!q->standing)
        return false;
    finish(q, q->standing);
    return true;
}

void pv_query_expired(struct pv_query *q)
{
    pv_keep_failure(q);
    pv_query_free(q);
}

/* The refresh has had its time; who has joined it since has his own. */
static void life_fired(struct pv_timer *t)
{
    struct pv_query *q = pv_container(t, struct pv_query, life);
    q->background = false;
    if (pv_list_empty(&q->askers))
        pv_query_expired(q);
}

void pv_query_detach(struct pv_query *q)
{
    q->background = true;
    pv_timer_set(q->resolver->loop, &q->life, q->until, life_fired);
}

/* ---- attempts ---- */

static void run_trim(struct pv_deferred *d)
{
    struct pv_query *q = pv_container(d, struct pv_query, trim);
    if (pv_tries_left(q))
        return;
    pv_tries_trim(q);
    arm(q);
}

static void on_sent(struct pv_attempt *a)
{
    struct pv_query *q = a->owner;
    q->tries++;
    if (!pv_tries_left(q))
        pv_defer(q->resolver->loop, &q->trim, run_trim);
    if (q->waited == a)
        q->waited = NULL; /* for a connection; now for its answer */
    arm(q);
}

static void on_end(struct pv_attempt *);
static void on_overdue(struct pv_attempt *);
static const struct pv_attempt_events events = {on_sent, on_overdue, on_end};

static bool give(struct pv_query *q, struct pv_endpoint *e, enum pv_kind kind, bool fresh)
{
    struct pv_attempt *a = calloc(1, sizeof *a);
    if (!a)
        return false;
    pv_attempt_init(a, &q->ask, kind, &events, q);
    a->fresh = fresh;
    pv_tries_add(q, a);
    pv_endpoint_submit(e, a);
    arm(q);
    return true;
}

/* The protocol's first way: datagrams where it has them. */
static bool give_first(struct pv_query *q, struct pv_endpoint *e)
{
    return give(q, e, PV_DATAGRAM, false);
}

/* ---- waiting ---- */

static uint64_t try_timeout(const struct pv_query *q, const struct pv_attempt *a)
{
    return q->options.try_timeout ? q->options.try_timeout * 1000ULL
                                  : pv_health_try_timeout(a->endpoint->upstream);
}

static uint64_t hedge_after(const struct pv_query *q, const struct pv_attempt *a)
{
    return q->options.hedge ? q->options.hedge * 1000ULL
                            : pv_health_hedge_after(a->endpoint->upstream);
}

static void step_fired(struct pv_timer *);

/* When is the next one asked, should the newest stay silent? */
static void arm(struct pv_query *q)
{
    struct pv_attempt *a = pv_tries_newest(q);
    struct pv_loop *loop = q->resolver->loop;
    if (!a || a == q->waited) {
        pv_timer_clear(loop, &q->step);
        return;
    }
    uint64_t due = a->was_sent ? a->sent + try_timeout(q, a) : a->begun + hedge_after(q, a);
    if (a->was_sent && !q->hedged && a->sent + hedge_after(q, a) < due)
        due = a->sent + hedge_after(q, a);
    pv_timer_set(loop, &q->step, due, step_fired);
}

/* A second opinion, before the first is overdue: from the same class, within the budget. */
static struct pv_endpoint *hedge_with(struct pv_query *q, const struct pv_attempt *a)
{
    struct privy_resolver *r = q->resolver;
    q->hedged = true;
    if (r->hedge_credit < HEDGE_COST || q->opaque || !pv_tries_left(q))
        return NULL;
    struct pv_endpoint *e =
        pv_select(q, PV_SELECT_OTHER | PV_SELECT_LIVE, pv_class_of(a->endpoint));
    if (e)
        r->hedge_credit -= HEDGE_COST;
    return e;
}

/* Whom to ask beside those that are asked now: rather one that has not had it, and each of those is
 * kept a try; else one that has failed it and is up again, or has a connection now that it was not
 * sent on. From the second silent one on, a path may be gone that all old connections took: then
 * only a fresh one tells. */
static struct pv_endpoint *another(const struct pv_query *q, unsigned flags, bool *ret_fresh)
{
    struct pv_endpoint *e = pv_select(q, PV_SELECT_OTHER | flags, q->class);
    *ret_fresh = q->tries > 1 && pv_tries_any_silent(q);
    if (!e && q->options.tries - q->tries <= pv_select_untried(q, q->class))
        e = pv_select(q, PV_SELECT_OTHER, q->class);
    if (e || q->standing)
        return e;
    *ret_fresh = true;
    return pv_select(q, PV_SELECT_FREE | PV_SELECT_LIVE, q->class);
}

/* The newest attempt is slow: in connecting, for a hedge, or for its try timeout. */
static void step_fired(struct pv_timer *t)
{
    struct pv_query *q = pv_container(t, struct pv_query, step);
    struct pv_attempt *a = pv_tries_newest(q);
    if (pv_tries_deciding(q))
        return;
    if (!a) {
        go_on(q);
        return;
    }
    uint64_t now = pv_now(q->resolver->loop);
    bool overdue = a->was_sent && now >= a->sent + try_timeout(q, a), fresh = false;
    struct pv_endpoint *e = NULL;
    if (a->was_sent && !overdue)
        e = hedge_with(q, a);
    else if (pv_tries_left(q) && !q->opaque)
        e = another(q, a->was_sent ? 0 : PV_SELECT_LIVE, &fresh);
    bool nobody = !e && (overdue || !a->was_sent);
    if (nobody && q->standing) {
        finish(q, q->standing); /* the one other had its time */
        return;
    }
    if (nobody)
        q->waited = a;
    if (!e)
        arm(q);
    else if (!give(q, e, PV_DATAGRAM, fresh)) /* no memory, and there will be none at once */
        pv_timer_set(q->resolver->loop, &q->step, now + TRIAL_TICK_US, step_fired);
}

/* Its connection is silent: ask at once elsewhere, else over a fresh one. */
static void on_overdue(struct pv_attempt *a)
{
    struct pv_query *q = a->owner;
    bool fresh;
    if (pv_tries_newest(q) != a || !pv_tries_left(q) || q->opaque)
        return;
    struct pv_endpoint *e = another(q, PV_SELECT_LIVE, &fresh);
    if (!e) {
        fresh = true;
        e = pv_select(q, PV_SELECT_FREE, q->class);
    }
    if (!e)
        return;
    pv_debug("retry: upstream %s is silent, next: %s%s", a->upstream->name, e->upstream->name,
             fresh ? ", on a new connection" : "");
    give(q, e, e == a->endpoint ? a->kind : PV_DATAGRAM, fresh);
}

/* ---- what follows ---- */

static void trials_fired(struct pv_timer *t)
{
    struct privy_resolver *r = pv_container(t, struct privy_resolver, trials);
    if (pv_list_empty(&r->parked))
        return;
    pv_list_each (it, &r->endpoints)
        pv_endpoint_trial(pv_container(it, struct pv_endpoint, link), true);
    pv_timer_set(r->loop, &r->trials, pv_now(r->loop) + TRIAL_TICK_US, trials_fired);
    /* A way out that no trial opened: another thread's, an old connection that has healed, a new
     * set of upstreams. */
    pv_list_each_safe (it, &r->parked) {
        struct pv_query *q = pv_container(it, struct pv_query, parking);
        if (pv_select(q, 0, q->class))
            pv_query_unpark(q);
    }
}

/* No way out now: wait for a trial to get through, until the deadline. */
static void park(struct pv_query *q)
{
    struct privy_resolver *r = q->resolver;
    pv_list_remove(&q->parking);
    pv_list_append(&r->parked, &q->parking);
    if (!r->trials.due)
        pv_timer_set(r->loop, &r->trials, pv_now(r->loop), trials_fired);
    if (q->stale)
        pv_askers_stale(q);
}

void pv_query_unpark(struct pv_query *q)
{
    pv_list_remove(&q->parking);
    pv_timer_set(q->resolver->loop, &q->step, pv_now(q->resolver->loop), step_fired);
}

/* Nothing has come of what was tried: choose again. */
static void go_on(struct pv_query *q)
{
    struct pv_endpoint *e = NULL;
    if (pv_tries_deciding(q))
        return;
    if (pv_tries_newest(q)) {
        arm(q);
        return;
    }
    if (pv_tries_left(q) && !(q->standing && q->asked_another))
        e = pv_select(q, q->standing ? PV_SELECT_OTHER : 0, q->class);
    if (e && give_first(q, e))
        return;
    if (q->standing)
        finish(q, q->standing);
    else if (e || !pv_tries_left(q) || !pv_select_left(q))
        fail(q);
    else
        park(q);
}

/* The fault is ours, and will still be there if the same is done again at once. */
static void go_on_later(struct pv_query *q)
{
    struct privy_resolver *r = q->resolver;
    struct pv_endpoint *e = NULL;
    if (pv_tries_newest(q)) {
        arm(q);
        return;
    }
    if (pv_tries_left(q) && !q->standing)
        e = pv_select(q, PV_SELECT_OTHER, q->class);
    if (!e || !give_first(q, e))
        pv_timer_set(r->loop, &q->step, pv_now(r->loop) + TRIAL_TICK_US, step_fired);
}

/* An answer, but another upstream of its class may have a better one. */
static void stand(struct pv_query *q, struct pv_attempt *a)
{
    if (!q->standing || pv_verify_worth(a->outcome) > pv_verify_worth(q->standing->outcome))
        q->standing = a;
    q->class = pv_class_of(a->endpoint);
}

/* Opaque messages are signed for one exchange: never given to a second server once sent. */
static bool is_spent(const struct pv_query *q)
{
    return q->opaque && pv_tries_any_sent(q);
}

static bool chance_is_spent(const struct pv_query *q)
{
    return q->standing && pv_next(q->standing->outcome)->step == PV_STEP_ONE_ALIKE;
}

static void take_step(struct pv_query *q, struct pv_attempt *a, enum pv_step step)
{
    bool stream = step == PV_STEP_AGAIN_STREAM;
    switch (step) {
    case PV_STEP_FINISH:
        finish(q, a);
        return;
    case PV_STEP_AGAIN:
    case PV_STEP_AGAIN_FRESH:
    case PV_STEP_AGAIN_STREAM:
        if (!pv_tries_newest(q) && pv_select_again(q, a->endpoint) &&
            give(q, a->endpoint, stream ? PV_STREAM : a->kind, step == PV_STEP_AGAIN_FRESH))
            return;
        break;
    case PV_STEP_ONE_ALIKE:
        q->asked_another |= chance_is_spent(q);
        stand(q, a);
        break;
    case PV_STEP_NEXT_ALIKE:
        stand(q, a);
        break;
    case PV_STEP_LATER:
        if (is_spent(q))
            break;
        go_on_later(q);
        return;
    case PV_STEP_NEXT:
        break;
    }
    if (is_spent(q))
        fail(q);
    else
        go_on(q);
}

static void on_end(struct pv_attempt *a)
{
    struct pv_query *q = a->owner;
    if (a->outcome == PV_GOOD)
        a->outcome = q->opaque ? PV_GOOD : pv_verify(&a->reply);
    const struct pv_next *next = pv_next(a->outcome);
    enum pv_step step = next->step;
    if (next->replays > 0 && q->replays++ >= next->replays)
        step = PV_STEP_NEXT;
    else if (next->free && a->was_sent)
        q->tries--;
    if (step != PV_STEP_FINISH)
        pv_debug("retry: upstream %s: %s", a->upstream->name,
                 a->answer && a->reason[0] == '\0' ? "its answer is an error" : a->reason);
    take_step(q, a, step);
}

void pv_query_begin(struct pv_query *q)
{
    struct privy_resolver *r = q->resolver;
    if (r->hedge_credit < HEDGE_SAVED)
        r->hedge_credit += q->options.hedge_budget;
    pv_list_each (it, &r->endpoints)
        pv_endpoint_trial(pv_container(it, struct pv_endpoint, link), false);
    if (q->background)
        pv_query_detach(q);
    struct pv_endpoint *e = pv_select(q, 0, q->class);
    /* Nobody is up: all that follows may call back, which must not happen in here. */
    if (!e || !give_first(q, e))
        pv_timer_set(r->loop, &q->step, pv_now(r->loop), step_fired);
}
