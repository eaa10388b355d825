/* What becomes of a query: the table of bad input, the allow list, special names, routes. One row
 * after the other, the first that fits wins. Pure. */
#ifndef PRIVYDNSD_VERDICT_H
#define PRIVYDNSD_VERDICT_H

#include "policy/routes.h"
#include "policy/special.h"

/* What the verdicts are made of; immutable, counted, shared by the workers. */
struct policy {
    _Atomic unsigned refs;
    struct config *config;
    struct routes routes;
};
struct policy *policy_new(struct config *); /* takes its own reference; NULL: no memory */
struct policy *policy_ref(struct policy *);
void policy_unref(struct policy *);

enum verdict_kind {
    VERDICT_DROP,    /* no answer; over TCP: close */
    VERDICT_ERROR,   /* an empty reply with rcode */
    VERDICT_SPECIAL, /* special_answer() */
    VERDICT_HINFO,   /* the minimal answer to ANY [RFC 8482 §4.2] */
    VERDICT_CACHE,   /* from the cache, or an error: RD=0 */
    VERDICT_FORWARD,
    VERDICT_OPAQUE, /* signed: forward unchanged, never from the cache */
};

struct verdict {
    enum verdict_kind kind;
    const char *why; /* of drops and errors, for the log */
    bool malformed;
    /* VERDICT_ERROR, and VERDICT_CACHE on a miss: */
    uint16_t rcode;
    int ede; /* -1: none */
    bool with_question, with_opt, opt_at_fault;
    struct special special;
    const struct config_pool *pool; /* VERDICT_CACHE, _FORWARD, _OPAQUE */
};

struct verdict verdict_of(const struct policy *, const struct pv_query_view *, bool tcp,
                          const struct pv_addr *source);

#endif
