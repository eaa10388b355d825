/* Why a query failed, attempt by attempt. */
#ifndef PV_RESOLVER_FAILURE_H
#define PV_RESOLVER_FAILURE_H

#include "resolver/query.h"

/* The status of a query that ends now without an answer; its attempts go to ret (may be NULL). */
enum privy_status pv_failure(const struct pv_query *, struct privy_error *ret);

#endif
