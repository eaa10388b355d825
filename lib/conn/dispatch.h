/* Attempts to connections: which one takes it, when another is opened, which gives way. What others
 * call is in conn/endpoint.h; this is for endpoint.c, and nobody else. */
#ifndef PV_CONN_DISPATCH_H
#define PV_CONN_DISPATCH_H

#include "conn/endpoint.h"

struct pv_conn *pv_dispatch_find(const struct pv_endpoint *, enum pv_kind, enum pv_conn_state);
/* Ready, and not barred. */
struct pv_conn *pv_dispatch_usable(const struct pv_endpoint *, enum pv_kind);
/* Limits are for each kind: a stream is no help to who waits for a datagram socket. */
unsigned pv_dispatch_count(const struct pv_endpoint *, enum pv_kind, enum pv_conn_state);
void pv_dispatch_fail_waiting(struct pv_endpoint *, enum pv_kind, enum pv_outcome,
                              const char *reason);

#endif
