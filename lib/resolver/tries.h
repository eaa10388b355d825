/* The attempts of a query: those that are made, those that may still be, and the record of those
 * that have ended. */
#ifndef PV_RESOLVER_TRIES_H
#define PV_RESOLVER_TRIES_H

#include "resolver/query.h"

/* May one more be sent? */
bool pv_tries_left(const struct pv_query *);
/* The newest that has not ended, or NULL. */
struct pv_attempt *pv_tries_newest(const struct pv_query *);
/* One has ended, and what follows from that is decided at the end of this turn. */
bool pv_tries_deciding(const struct pv_query *);
bool pv_tries_any_sent(const struct pv_query *);
/* Has a connection fallen silent over one? */
bool pv_tries_any_silent(const struct pv_query *);
/* Take a new one into the record, which is bounded. */
void pv_tries_add(struct pv_query *, struct pv_attempt *);
/* The last one is out: whoever still waits for a connection is not sent any more. */
void pv_tries_trim(struct pv_query *);

#endif
