#include "resolver/select.h"

#include "base/random.h"
#include "conn/health.h"
#include "proto/registry.h"

enum { SENDS_A_SERVER = 3 }; /* transmissions of one query to one server, at most [RFC 9520 §3.1] */

#define ENDPOINT(it) pv_container(it, struct pv_endpoint, link)

/* Lower is better, compared member by member. */
struct score {
    unsigned given; /* how often this query was given to it */
    unsigned standing;
    uint64_t order; /* the strategy's */
};

bool pv_select_allows(const struct pv_query *q, const struct pv_endpoint *e)
{
    return !q->protocol || pv_proto_word_matches(q->protocol, e->upstream);
}

int pv_class_of(const struct pv_endpoint *e)
{
    return (int)(e->upstream->properties & PV_PROP_CLASS);
}

/* How often the query was given to this endpoint, how often it was really sent (and looked at, as
 * far as the server says), and whether it is free of it: waits there on no connection that is
 * alive, was not answered, and has not failed for want of something of ours, which would fail at
 * once again. */
static unsigned given(const struct pv_query *q, const struct pv_endpoint *e, unsigned *ret_sent,
                      bool *ret_free)
{
    unsigned n = 0;
    *ret_sent = 0;
    *ret_free = true;
    pv_list_each (it, &q->attempts) {
        const struct pv_attempt *a = pv_container(it, struct pv_attempt, of_query);
        if (a->upstream != e->upstream) /* the endpoint of an ended one may be gone */
            continue;
        n++;
        *ret_sent += a->was_sent && a->outcome != PV_UNPROCESSED && a->outcome != PV_LEFT_OUT;
        *ret_free &= (a->outcome != PV_PENDING || a->overdue) && a->outcome != PV_NO_ROOM;
        *ret_free &= !a->answer;
    }
    return n;
}

/* When the query last failed there; 0: it has not. */
static uint64_t failed_at(const struct pv_query *q, const struct pv_endpoint *e)
{
    uint64_t latest = 0;
    pv_list_each (it, &q->attempts) {
        const struct pv_attempt *a = pv_container(it, struct pv_attempt, of_query);
        if (a->upstream == e->upstream && a->done > latest)
            latest = a->done;
    }
    return latest;
}

/* Down, unless a trial has got through since: then its answer will tell. */
static bool is_out(const struct pv_query *q, const struct pv_endpoint *e)
{
    return pv_endpoint_standing(e) == PV_STANDING_DOWN &&
           !pv_endpoint_has_ready(e, failed_at(q, e));
}

/* Rendezvous: the site always meets the same operator; the least is it. */
static uint64_t shard_order(const struct pv_query *q, const struct pv_endpoint *e)
{
    uint8_t bytes[PV_NAME_MAX + 64];
    struct pv_writer w = pv_writer(bytes, sizeof bytes);
    const uint8_t *site = pv_name_tail(q->ask.question.name, 2);
    pv_write(&w, site, pv_name_length(site));
    size_t n = strlen(e->upstream->operator_name);
    pv_write(&w, e->upstream->operator_name, n < 64 ? n : 64);
    return pv_hash(bytes, pv_written(&w));
}

static uint64_t strategy_order(const struct privy_resolver *r, const struct pv_query *q,
                               const struct pv_endpoint *e)
{
    switch ((enum privy_strategy)r->set->options.strategy) {
    case PRIVY_FASTEST:
        return pv_health_cost(e->upstream);
    case PRIVY_SPREAD:
        return pv_random_below(UINT32_MAX);
    case PRIVY_SHARD:
        return q ? shard_order(q, e) : e->rank;
    case PRIVY_ORDERED:
        break;
    }
    return e->rank;
}

static bool better(const struct score *a, const struct score *b)
{
    if (a->given != b->given)
        return a->given < b->given;
    if (a->standing != b->standing)
        return a->standing < b->standing;
    return a->order < b->order;
}

static bool scored(const struct pv_query *q, const struct pv_endpoint *e, unsigned flags, int class,
                   struct score *ret)
{
    unsigned sent;
    bool is_free;
    unsigned n = given(q, e, &sent, &is_free);
    enum pv_standing standing = pv_endpoint_standing(e);
    if (!pv_select_allows(q, e) || sent >= SENDS_A_SERVER)
        return false;
    if (class != PV_ANY_CLASS && pv_class_of(e) != class)
        return false;
    if ((flags & PV_SELECT_OTHER && n > 0) || (flags & PV_SELECT_FREE && !is_free))
        return false;
    if (flags & PV_SELECT_LIVE && standing != PV_STANDING_GOOD)
        return false;
    if (is_out(q, e))
        return false;
    *ret = (struct score){n, standing, strategy_order(q->resolver, q, e)};
    return true;
}

/* With `shard` another operator sees a site's names only while its own is down, however slow that
 * is: the order up to which endpoints are asked. */
static uint64_t shard_limit(const struct pv_query *q)
{
    uint64_t least = UINT64_MAX;
    if (q->resolver->set->options.strategy != PRIVY_SHARD)
        return least;
    pv_list_each (it, &q->resolver->endpoints) {
        uint64_t order = shard_order(q, ENDPOINT(it));
        if (order < least && pv_select_allows(q, ENDPOINT(it)) && !is_out(q, ENDPOINT(it)))
            least = order;
    }
    return least;
}

struct pv_endpoint *pv_select(const struct pv_query *q, unsigned flags, int class)
{
    struct pv_endpoint *best = NULL;
    struct score best_score = {0};
    uint64_t limit = shard_limit(q);
    pv_list_each (it, &q->resolver->endpoints) {
        struct score score;
        if (limit != UINT64_MAX && shard_order(q, ENDPOINT(it)) > limit)
            continue;
        if (scored(q, ENDPOINT(it), flags, class, &score) &&
            (!best || better(&score, &best_score))) {
            best = ENDPOINT(it);
            best_score = score;
        }
    }
    return best;
}

unsigned pv_select_untried(const struct pv_query *q, int class)
{
    unsigned n = 0;
    uint64_t limit = shard_limit(q);
    pv_list_each (it, &q->resolver->endpoints) {
        struct score score;
        if (limit != UINT64_MAX && shard_order(q, ENDPOINT(it)) > limit)
            continue;
        n += scored(q, ENDPOINT(it), PV_SELECT_OTHER, class, &score);
    }
    return n;
}

bool pv_select_again(const struct pv_query *q, const struct pv_endpoint *e)
{
    unsigned sent;
    bool is_free;
    given(q, e, &sent, &is_free);
    return sent < SENDS_A_SERVER && pv_endpoint_standing(e) != PV_STANDING_DOWN;
}

bool pv_select_left(const struct pv_query *q)
{
    pv_list_each (it, &q->resolver->endpoints) {
        unsigned sent;
        bool is_free;
        given(q, ENDPOINT(it), &sent, &is_free);
        if (pv_select_allows(q, ENDPOINT(it)) && sent < SENDS_A_SERVER)
            return true;
    }
    return false;
}

struct pv_endpoint *pv_select_first(const struct privy_resolver *r)
{
    struct pv_endpoint *best = NULL;
    uint64_t least = UINT64_MAX;
    pv_list_each (it, &r->endpoints) {
        uint64_t order = strategy_order(r, NULL, ENDPOINT(it));
        if (!best || order < least) {
            best = ENDPOINT(it);
            least = order;
        }
    }
    return best;
}
