/* What of a query's end is kept in the cache [RFC 2308; RFC 9520]. */
#ifndef PV_RESOLVER_KEEP_H
#define PV_RESOLVER_KEEP_H

#include "resolver/query.h"

/* The answer this attempt brought, as an entry (in the cache too, where it may be); NULL: no
 * memory. The reference is the caller's. */
struct pv_entry *pv_keep_answer(struct pv_query *, struct pv_attempt *);
/* No upstream gave an answer: remember that for a second; what is stale stays stale for a while. */
void pv_keep_failure(struct pv_query *);

/* A stale entry whose refresh failed lately is given at once, without another try. */
bool pv_keep_is_held(const struct pv_entry *, const struct privy_resolver *, uint64_t age_now);
/* May this failure still be given? Not after the pool has recovered. */
bool pv_keep_failure_holds(const struct pv_entry *, const struct privy_resolver *);
/* Seconds for which an entry may be given after its time. */
uint32_t pv_keep_grace(const struct pv_entry *, const struct privy_resolver *);
/* May this expired entry still be given [RFC 8767 §5]? */
bool pv_keep_is_stale(const struct pv_entry *, const struct privy_resolver *, uint64_t age_now);

#endif
