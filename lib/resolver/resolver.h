/* Resolver: asks the upstreams of one set, on one loop. Holds the endpoints and the queries. */
#ifndef PV_RESOLVER_RESOLVER_H
#define PV_RESOLVER_RESOLVER_H

#include "cache/store.h"
#include "conn/endpoint.h"
#include "resolver/upstreams.h"

struct pv_bootstrap;

struct privy_resolver {
    struct pv_loop *loop;
    bool owns_loop;
    struct privy_upstreams *set;
    struct privy_cache *cache; /* or NULL */
    struct privy_resolver_options options;
    struct pv_list endpoints; /* in the order of the set */
    struct pv_list retiring;  /* of former sets: finish what they carry */
    struct pv_map flying;     /* queries by key: equal questions join [RFC 5452 §5] */
    struct pv_list queries;   /* all of them */
    struct pv_list parked;    /* those with no way out: wait for a trial */
    struct pv_list ending;    /* those whose askers are being told */
    struct pv_list at_hand;   /* askers whose answer is in the cache, not told yet */
    struct pv_timer trials;   /* while some are parked */
    unsigned asking;          /* askers, bounded by limits.inflight */
    uint32_t hedge_credit;    /* in 1/100 of a hedge */
    struct pv_bootstrap *bootstrap;
};

/* On an existing loop (a bootstrap resolver lives on its master's). */
enum privy_status pv_resolver_new(struct pv_loop *, struct privy_upstreams *, struct privy_cache *,
                                  const struct privy_resolver_options *,
                                  struct privy_resolver **ret, struct privy_error *reterr);
/* No upstream of the pool is up: keep their trials going. */
void pv_resolver_stir(struct privy_resolver *);
/* Cache keys of this set, and of this protocol where one is asked for. */
uint64_t pv_pool_hash(const struct privy_upstreams *, const char *protocol);

#endif
