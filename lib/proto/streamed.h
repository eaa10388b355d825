/* What handlers over a stream share: whom to trust, what an opened stream turned out to be, what
 * the loss of one means. */
#ifndef PV_PROTO_STREAMED_H
#define PV_PROTO_STREAMED_H

#include "conn/proto.h"
#include "net/stream.h"

/* Whom we trust, and who we are to the server. Shared by all threads. */
struct pv_credentials {
    struct pv_tls_trust *trust;
    struct pv_identity *identity; /* NULL: none */
};
/* For check(): reads the files that the user named. Whatever it returns, pv_credentials_done(). */
enum privy_status pv_credentials_init(struct pv_credentials *, const struct pv_upstream *,
                                      struct privy_error *reterr);
void pv_credentials_done(struct pv_credentials *);
/* What an endpoint's state begins with. */
struct pv_streamed {
    struct pv_tls_context *tls; /* with the tickets */
};
/* For start(). Connections are replaced when the identity changes. */
bool pv_streamed_start(struct pv_endpoint *, const struct pv_credentials *, const char *alpn,
                       bool alpn_required);
void pv_streamed_stop(struct pv_endpoint *);
void pv_streamed_refresh(struct pv_endpoint *);

struct pv_conn_facts pv_streamed_facts(const struct pv_tls_facts *tls_or_null);
enum pv_outcome pv_streamed_outcome(enum pv_stream_fault);

#endif
