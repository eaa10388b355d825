/* An attempt: a query given to one endpoint, dressed for it, sent at most once. */
#ifndef PV_CONN_ATTEMPT_H
#define PV_CONN_ATTEMPT_H

#include "conn/proto.h"

/* Fill a zeroed attempt. */
void pv_attempt_init(struct pv_attempt *, const struct pv_ask *, enum pv_kind,
                     const struct pv_attempt_events *, void *owner);
/* Nobody wants it any more: it leaves its endpoint and connection, and no event comes. A sent one
 * counts as a sample of slowness of its upstream where slow is true. */
void pv_attempt_drop(struct pv_attempt *, bool slow);
/* Free what the result holds. */
void pv_attempt_done(struct pv_attempt *);

#endif
