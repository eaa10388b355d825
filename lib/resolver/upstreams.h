/* A pool: a named set of upstreams with a strategy, shared by threads. Grows until a resolver uses
 * it, then never changes. */
#ifndef PV_RESOLVER_UPSTREAMS_H
#define PV_RESOLVER_UPSTREAMS_H

#include "upstream/upstream.h"

struct privy_upstreams {
    _Atomic unsigned refs;
    char *pool;
    uint64_t pool_hash;
    char *protocol; /* NULL: any */
    struct privy_pool_options options;
    struct privy_upstreams *previous;  /* while it grows: members to take over */
    struct privy_upstreams *bootstrap; /* or NULL */
    struct pv_upstream **members;
    unsigned count;
    _Atomic bool sealed;
    /* When it last answered after an outage (age seconds): failures noted before are void. */
    _Atomic uint64_t recovered;
};

void pv_upstreams_seal(struct privy_upstreams *);

#endif
