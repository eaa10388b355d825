/* What handlers over a stream share: whom to trust, what an opened stream turned out to be, what
 * the loss of one means. */
#ifndef PV_PROTO_STREAMED_H
#define PV_PROTO_STREAMED_H

#include "conn/proto.h"
#include "net/stream.h"

/* For check(): who must be in the certificate, and signed by whom. */
enum privy_status pv_streamed_trust(const struct pv_upstream *, struct pv_tls_trust **ret,
                                    struct privy_error *reterr);
struct pv_conn_facts pv_streamed_facts(struct pv_conn *, const struct pv_tls_facts *tls_or_null);
enum pv_outcome pv_streamed_outcome(enum pv_stream_fault);

#endif
