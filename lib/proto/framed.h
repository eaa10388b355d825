/* DNS messages, each behind its length, on a stream: what DNS over TLS and DNS over TCP share
 * [RFC 7766; RFC 7858 §3.3]. A handler's conn state is a struct pv_framed, its functions are these.
 */
#ifndef PV_PROTO_FRAMED_H
#define PV_PROTO_FRAMED_H

#include "conn/proto.h"
#include "net/idmap.h"
#include "net/stream.h"

struct pv_framed {
    struct pv_conn *conn;
    struct pv_stream *stream; /* NULL: not open, or closed */
    struct pv_idmap ids;
    uint64_t keepalive_due; /* µs: when the option is sent again */
    size_t unasked;         /* octets of answers to nothing we know */
};

bool pv_framed_open(struct pv_conn *, struct pv_tls_context *tls_or_null);
unsigned pv_framed_room(const struct pv_conn *);
bool pv_framed_send(struct pv_conn *, struct pv_attempt *);
void pv_framed_drop(struct pv_conn *, struct pv_attempt *);
void pv_framed_close(struct pv_conn *);

#endif
