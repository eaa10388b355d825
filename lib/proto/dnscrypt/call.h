/* One packet there and one back over a TCP connection of its own, which is what DNSCrypt allows
 * [DNSCrypt v2 §6]. */
#ifndef PV_PROTO_DNSCRYPT_CALL_H
#define PV_PROTO_DNSCRYPT_CALL_H

#include "net/stream.h"
#include "proto/dnscrypt/way.h"

struct pv_call;
/* One of the last two comes, once; the call is freed by pv_call_end() then, or any time before. */
struct pv_call_events {
    /* Connected, from this address of ours: pv_call_say() now. */
    void (*connected)(void *arg, const struct pv_addr *local);
    /* Borrowed, and may be changed. */
    void (*answered)(void *arg, uint8_t *packet, size_t length);
    void (*failed)(void *arg, enum pv_stream_fault, const char *reason);
};
/* Begin; no event before it returns. NULL: no memory. */
struct pv_call *pv_call_begin(struct pv_loop *, const struct pv_way *,
                              const struct pv_call_events *, void *arg);
/* The way's prefix, if there is one, goes before it. False: it does not fit, or no memory. */
bool pv_call_say(struct pv_call *, const uint8_t *packet, size_t length);
void pv_call_end(struct pv_call *); /* NULL is fine */

#endif
