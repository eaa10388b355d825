/* Which upstream is asked next. */
#ifndef PV_RESOLVER_SELECT_H
#define PV_RESOLVER_SELECT_H

#include "resolver/query.h"

enum {
    PV_SELECT_OTHER = 1, /* not one this query has been given to already */
    PV_SELECT_LIVE = 2,  /* not one that is suspect */
    PV_SELECT_FREE = 4,  /* not one that has answered it, or has it now and is not silent over it */
};

/* The best endpoint of this class (or PV_ANY_CLASS) that may be given the query now, or NULL: none
 * is up, or all are taken. */
struct pv_endpoint *pv_select(const struct pv_query *, unsigned flags, int class);
/* How many of them it has not been given to, and could be. */
unsigned pv_select_untried(const struct pv_query *, int class);
/* May it be given to this one once more, which had it already? */
bool pv_select_again(const struct pv_query *, const struct pv_endpoint *);
/* Might any of them still be given it, were it up? */
bool pv_select_left(const struct pv_query *);
/* The first choice of the pool for no question in particular (to connect at start). */
struct pv_endpoint *pv_select_first(const struct privy_resolver *);
/* May this query use that endpoint at all (the protocol asked for)? */
bool pv_select_allows(const struct pv_query *, const struct pv_endpoint *);
/* Its class, as far as answers stand in for each other. */
int pv_class_of(const struct pv_endpoint *);

#endif
