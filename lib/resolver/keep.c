#include "resolver/keep.h"

enum {
    OUTAGE_TTL_S = 1,    /* all upstreams failed [RFC 9520 §3.2] */
    FAILURE_MOST_S = 60, /* a key that keeps failing */
    STALE_HOLD_S = 30,
};

static const struct privy_cache_options *cache_options(const struct pv_query *q)
{
    return q->resolver->cache ? pv_cache_options(q->resolver->cache) : NULL;
}

static uint64_t age_now(const struct pv_query *q)
{
    return pv_age_now(q->resolver->loop);
}

/* C4, C7, and the user's bounds; min_ttl raises nothing but a TTL that is there. */
static uint32_t bounded_ttl(const struct privy_cache_options *o, const struct pv_reply *reply)
{
    uint32_t most = reply->kind == PV_ANSWER_NEGATIVE ? o->max_negative_ttl : o->max_ttl;
    uint32_t ttl = reply->ttl;
    if (ttl > 0 && ttl < o->min_ttl / 1000)
        ttl = o->min_ttl / 1000;
    return ttl < most / 1000 ? ttl : most / 1000;
}

static struct pv_entry *previous(const struct pv_query *q)
{
    return q->resolver->cache ? pv_cache_get(q->resolver->cache, &q->key) : NULL;
}

/* Is there something better than a failure? Fresh (its prefetch failed: no matter), or stale: then
 * that is held. */
static bool hold_better(const struct pv_query *q, struct pv_entry *old)
{
    uint64_t now = age_now(q);
    if (!old || old->failure)
        return false;
    if (pv_entry_fresh(old, now))
        return true;
    if (!pv_keep_is_stale(old, q->resolver, now))
        return false;
    atomic_store(&old->held, now);
    return true;
}

/* Failures double from failure_ttl to a minute while the key keeps failing; one that has been over
 * for longer than it lasted begins anew. */
static void keep_servfail(const struct pv_query *q)
{
    const struct privy_cache_options *o = cache_options(q);
    struct pv_entry *old = previous(q);
    uint64_t now = age_now(q);
    uint32_t ttl = o->failure_ttl / 1000;
    unsigned failures = 1;
    if (hold_better(q, old)) {
        pv_entry_unref(old);
        return;
    }
    if (old && old->failure && now - old->stored < 2ULL * old->ttl)
        failures = old->failures + 1U;
    pv_entry_unref(old);
    for (unsigned i = 1; i < failures && ttl < FAILURE_MOST_S; i++)
        ttl *= 2;
    struct pv_entry *e =
        pv_entry_new_failure(&q->key, ttl < FAILURE_MOST_S ? ttl : FAILURE_MOST_S, now);
    if (!e)
        return;
    e->failures = failures < 200 ? (uint8_t)failures : 200;
    pv_cache_put(q->resolver->cache, e);
}

/* The AD bit is worth what its giver is. An RCODE of more than 4 bits needs the OPT that is
 * taken off: SERVFAIL stands for it. */
static void settle_flags(const struct pv_query *q, struct pv_attempt *a)
{
    uint16_t flags = pv_get16(a->answer + 2);
    const struct pv_proto *proto = a->upstream->proto; /* its endpoint may be gone */
    bool trusted = q->resolver->set->options.trust_ad && !(proto->traits & PV_TRAIT_PLAINTEXT);
    if (!trusted)
        flags &= (uint16_t)~PV_AD;
    if (a->reply.rcode > 15)
        flags = (uint16_t)((flags & ~15) | PV_SERVFAIL);
    pv_put16(a->answer + 2, flags);
}

struct pv_entry *pv_keep_answer(struct pv_query *q, struct pv_attempt *a)
{
    const struct privy_cache_options *o = cache_options(q);
    bool keep = o && a->outcome == PV_GOOD && a->reply.cacheable;
    uint32_t ttl = keep ? bounded_ttl(o, &a->reply) : 0;
    settle_flags(q, a);
    struct pv_entry *e = pv_entry_new(&q->key, a->answer, &a->reply, ttl, age_now(q));
    if (e && a->age > 0)
        pv_entry_grow_old(e, a->age);
    if (e && keep && e->ttl > 0)
        pv_cache_put(q->resolver->cache, pv_entry_ref(e));
    if (o && a->reply.rcode == PV_SERVFAIL)
        keep_servfail(q);
    return e;
}

void pv_keep_failure(struct pv_query *q)
{
    if (!q->resolver->cache || q->opaque)
        return;
    struct pv_entry *old = previous(q);
    bool better = hold_better(q, old);
    pv_entry_unref(old);
    if (better)
        return;
    struct pv_entry *e = pv_entry_new_failure(&q->key, OUTAGE_TTL_S, age_now(q));
    if (e)
        pv_cache_put(q->resolver->cache, e);
}

bool pv_keep_is_held(const struct pv_entry *e, const struct privy_resolver *r, uint64_t now)
{
    uint64_t held = atomic_load(&e->held);
    return held && now < held + STALE_HOLD_S && held > atomic_load(&r->set->recovered);
}

bool pv_keep_failure_holds(const struct pv_entry *e, const struct privy_resolver *r)
{
    return e->stored > atomic_load(&r->set->recovered);
}

uint32_t pv_keep_grace(const struct pv_entry *e, const struct privy_resolver *r)
{
    return pv_entry_grace(e, pv_cache_options(r->cache)->stale / 1000);
}

bool pv_keep_is_stale(const struct pv_entry *e, const struct privy_resolver *r, uint64_t now)
{
    return now < e->stored + e->ttl + pv_keep_grace(e, r);
}
