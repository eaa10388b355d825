#include "resolver/resolver.h"

#include "conn/health.h"
#include "proto/registry.h"
#include "resolver/bootstrap.h"
#include "resolver/coalesce.h"
#include "resolver/select.h"

#include <sodium.h>

#define ENDPOINT(it) pv_container(it, struct pv_endpoint, link)
#define QUERY(it)    pv_container(it, struct pv_query, link)

uint64_t pv_pool_hash(const struct privy_upstreams *set, const char *protocol)
{
    uint64_t both[2] = {set->pool_hash};
    if (!protocol)
        return set->pool_hash;
    both[1] = pv_hash(protocol, strlen(protocol));
    return pv_hash(both, sizeof both);
}

/* ---- what endpoints tell ---- */

static bool endpoint_ready(void *owner, struct pv_endpoint *e)
{
    struct privy_resolver *r = owner;
    bool any = false;
    pv_list_each_safe (it, &r->parked) {
        struct pv_query *q = pv_container(it, struct pv_query, parking);
        if (!pv_select_allows(q, e))
            continue;
        any = true;
        pv_query_unpark(q);
    }
    return any;
}

static bool all_down_but(const struct privy_resolver *r, const struct pv_endpoint *but)
{
    pv_list_each (it, &r->endpoints) {
        if (ENDPOINT(it) != but && !pv_health_is_down(ENDPOINT(it)->upstream))
            return false;
    }
    return true;
}

/* The first good answer after an outage of the pool: what was learnt in it is void. */
static void endpoint_recovered(void *owner, struct pv_endpoint *e)
{
    struct privy_resolver *r = owner;
    if (!all_down_but(r, e))
        return;
    atomic_store(&r->set->recovered, pv_age_now(r->loop));
    pv_list_each (it, &r->endpoints)
        pv_health_forgive(ENDPOINT(it)->upstream);
}

static void endpoint_lookup(void *owner, struct pv_endpoint *e)
{
    struct privy_resolver *r = owner;
    if (!r->bootstrap)
        r->bootstrap = pv_bootstrap_new(r);
    pv_bootstrap_lookup(r->bootstrap, e);
}

static void endpoint_drained(void *owner, struct pv_endpoint *e)
{
    struct privy_resolver *r = owner;
    pv_bootstrap_forget(r->bootstrap, e);
    pv_list_remove(&e->link);
    pv_endpoint_free(e);
}

static const struct pv_endpoint_events endpoint_events = {endpoint_ready, endpoint_recovered,
                                                          endpoint_lookup, endpoint_drained};

void pv_resolver_stir(struct privy_resolver *r)
{
    if (!all_down_but(r, NULL))
        return;
    pv_list_each (it, &r->endpoints)
        pv_endpoint_trial(ENDPOINT(it), true);
}

/* ---- the set ---- */

static struct pv_endpoint *take_from(struct pv_list *list, const struct pv_upstream *up)
{
    pv_list_each (it, list) {
        if (ENDPOINT(it)->upstream == up) {
            pv_list_remove(it);
            return ENDPOINT(it);
        }
    }
    return NULL;
}

/* Endpoints for this set, in its order; those of before that are still in it are the same. */
static bool build(struct privy_resolver *r, struct privy_upstreams *set, struct pv_list *ret)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct pv_upstream *up = set->members[i];
        if (set->protocol && !pv_proto_word_matches(set->protocol, up))
            continue;
        struct pv_endpoint *e = take_from(&r->endpoints, up);
        if (!e)
            e = pv_endpoint_new(r->loop, up, r->options.limits.connections_per_upstream,
                                &endpoint_events, r);
        if (!e)
            return false;
        e->rank = i;
        pv_list_append(ret, &e->link);
    }
    return true;
}

/* What was taken over goes on as before, what is new goes. */
static void give_back(struct privy_resolver *r, struct pv_list *fresh)
{
    pv_list_each_safe (it, fresh) {
        struct pv_endpoint *e = ENDPOINT(it);
        bool ours = false;
        for (unsigned i = 0; r->set && i < r->set->count; i++)
            ours |= r->set->members[i] == e->upstream;
        pv_list_remove(it);
        if (ours)
            pv_list_append(&r->endpoints, it);
        else
            pv_endpoint_free(e);
    }
}

/* Upstreams may stay the same while their files change. */
static void refresh_all(struct privy_resolver *r)
{
    pv_list_each (it, &r->endpoints) {
        struct pv_endpoint *e = ENDPOINT(it);
        if (e->proto->refresh)
            e->proto->refresh(e);
    }
}

enum privy_status privy_resolver_set_upstreams(struct privy_resolver *r,
                                               struct privy_upstreams *set)
{
    struct pv_list fresh;
    pv_list_init(&fresh);
    bool complete = build(r, set, &fresh);
    if (!complete) {
        give_back(r, &fresh);
        return PRIVY_ENOMEM;
    }
    pv_list_each_safe (it, &r->endpoints) {
        struct pv_endpoint *e = ENDPOINT(it);
        pv_list_remove(it);
        pv_list_append(&r->retiring, it);
        pv_endpoint_drain(e);
    }
    pv_list_splice(&r->endpoints, &fresh);
    refresh_all(r);
    pv_upstreams_seal(set);
    privy_upstreams_ref(set);
    privy_upstreams_unref(r->set);
    r->set = set;
    pv_bootstrap_set_upstreams(r->bootstrap, set->bootstrap);
    return PRIVY_OK;
}

/* ---- life ---- */

enum privy_status pv_resolver_new(struct pv_loop *loop, struct privy_upstreams *set,
                                  struct privy_cache *cache,
                                  const struct privy_resolver_options *options,
                                  struct privy_resolver **ret, struct privy_error *reterr)
{
    struct privy_resolver *r = calloc(1, sizeof *r);
    if (!r)
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    r->loop = loop;
    pv_list_init(&r->endpoints);
    pv_list_init(&r->retiring);
    pv_list_init(&r->queries);
    pv_list_init(&r->parked);
    pv_list_init(&r->ending);
    pv_list_init(&r->at_hand);
    if (options)
        r->options = *options;
    else
        privy_resolver_options_default(&r->options);
    r->cache = cache ? privy_cache_ref(cache) : NULL;
    if (!pv_map_init(&r->flying, 64) || privy_resolver_set_upstreams(r, set) != PRIVY_OK) {
        privy_resolver_free(r);
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    }
    struct pv_endpoint *first = pv_select_first(r);
    if (!first) {
        privy_resolver_free(r);
        return pv_error(reterr, PRIVY_EINVAL, "no upstream to ask");
    }
    pv_endpoint_warm(first);
    *ret = r;
    return PRIVY_OK;
}

enum privy_status privy_resolver_new(struct event_base *base, struct privy_upstreams *set,
                                     struct privy_cache *cache,
                                     const struct privy_resolver_options *options,
                                     struct privy_resolver **ret, struct privy_error *reterr)
{
    if (sodium_init() < 0)
        return pv_error(reterr, PRIVY_ENOMEM, "libsodium cannot start");
    struct pv_loop *loop = pv_loop_new(base, NULL, NULL);
    if (!loop)
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    enum privy_status status = pv_resolver_new(loop, set, cache, options, ret, reterr);
    if (status != PRIVY_OK)
        pv_loop_free(loop);
    else
        (*ret)->owns_loop = true;
    return status;
}

/* May run inside a callback: a query whose askers are just being told stays on that caller's stack,
 * which frees it (see pv_askers_answer). */
void privy_resolver_free(struct privy_resolver *r)
{
    if (!r)
        return;
    pv_list_each_safe (it, &r->ending) {
        pv_askers_forget(QUERY(it));
        pv_list_remove(it);
    }
    pv_askers_forget_at_hand(r);
    pv_list_each_safe (it, &r->queries) {
        pv_askers_forget(QUERY(it));
        pv_query_free(QUERY(it));
    }
    pv_bootstrap_free(r->bootstrap);
    pv_list_splice(&r->endpoints, &r->retiring);
    pv_list_each_safe (it, &r->endpoints)
        pv_endpoint_free(ENDPOINT(it));
    pv_timer_clear(r->loop, &r->trials);
    pv_map_done(&r->flying);
    privy_cache_unref(r->cache);
    privy_upstreams_unref(r->set);
    if (r->owns_loop)
        pv_loop_free(r->loop);
    free(r);
}

void privy_network_changed(struct privy_resolver *r)
{
    atomic_store(&r->set->recovered, pv_age_now(r->loop));
    pv_list_each (it, &r->endpoints)
        pv_endpoint_network_changed(ENDPOINT(it));
    pv_bootstrap_network_changed(r->bootstrap);
}

unsigned privy_resolver_pending(const struct privy_resolver *r)
{
    return r->asking;
}
