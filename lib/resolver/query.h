/* A query: one question until it is answered. Shared by all who ask the same at the same time. */
#ifndef PV_RESOLVER_QUERY_H
#define PV_RESOLVER_QUERY_H

#include "resolver/resolver.h"

enum { PV_ANY_CLASS = -1 };

struct pv_query {
    struct pv_map_node node; /* resolver->flying */
    struct pv_list link;     /* resolver->queries, then ->ending */
    struct pv_list parking;  /* resolver->parked */
    struct privy_resolver *resolver;
    struct pv_key key;
    struct pv_ask ask;
    struct privy_query_options options;
    char *protocol; /* asked for; NULL: any */
    struct pv_list askers;
    struct pv_list attempts; /* oldest first, ended ones too: the record of facts */
    unsigned attempt_count, tries;
    uint64_t begun, until; /* µs; a query without askers (a refresh) ends at until */
    struct pv_timer step, life;
    struct pv_deferred trim;
    struct pv_attempt *waited; /* for this one's slowness nobody else is left to ask */
    bool shared;               /* in flying */
    bool background;           /* a refresh: nobody may be waiting */
    bool telling;              /* it is over, its askers are being told: see coalesce */
    unsigned replays;          /* free ones, of what the peer did not process */
    bool asked_another;        /* the one other upstream of PV_STEP_ONE_ALIKE is spent */
    bool hedged;
    int class;                   /* only upstreams of this class from here on; PV_ANY_CLASS */
    struct pv_attempt *standing; /* an answer that stands if none is better */
    struct pv_entry *stale;      /* what may be given when no upstream answers; or NULL */
    uint8_t *opaque;             /* owned copy */
};

/* Start. NULL: no memory. protocol is copied; stale is taken. */
struct pv_query *pv_query_new(struct privy_resolver *, const struct pv_key *, const struct pv_ask *,
                              const char *protocol, const struct privy_query_options *,
                              struct pv_entry *stale);
void pv_query_begin(struct pv_query *);
/* Nobody waits any more: forget it. */
void pv_query_free(struct pv_query *);
/* The same for one that has left the resolver's tables already: only its memory. */
void pv_query_release(struct pv_query *);
/* No more time: give the answer that stands, if one does; true: the query is over. */
bool pv_query_settle(struct pv_query *);
/* One asker's deadline has come and it was the last: note the failure, forget the query. */
void pv_query_expired(struct pv_query *);
/* A way out may have opened: choose again, in a moment. */
void pv_query_unpark(struct pv_query *);
/* Its askers have the stale answer; go on without them, to refresh it. */
void pv_query_detach(struct pv_query *);

#endif
