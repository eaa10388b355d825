/* A trip: one attempt on its way. It goes out in a datagram, in a second one where no answer comes,
 * and then over TCP; the answer to any of them ends it. */
#ifndef PV_PROTO_DNSCRYPT_TRIP_H
#define PV_PROTO_DNSCRYPT_TRIP_H

#include "proto/dnscrypt/carrier.h"

enum { PV_TRIP_DATAGRAMS = 4 };

/* One transmission: its nonce, and the keys it was sealed with. */
struct pv_transmission {
    struct pv_map_node node;
    struct pv_trip *trip;
    struct pv_keys *keys;
    uint8_t nonce[PV_BOX_CLIENT_NONCE];
};
struct pv_trip {
    struct pv_list link;
    struct pv_carrier *carrier;
    struct pv_attempt *attempt;
    uint16_t id;
    uint64_t begun; /* µs */
    uint64_t due;   /* µs: so long a datagram is waited for; 0: TCP has the last word */
    struct pv_transmission datagrams[PV_TRIP_DATAGRAMS];
    unsigned datagram_count;
    struct pv_call *call;
    struct pv_transmission over_tcp;
    unsigned relay;          /* of the call */
    struct pv_keys *keys[2]; /* where each has its own; as the carrier's */
};

/* Has no datagram of the server come since it began? */
static inline bool pv_trip_in_silence(const struct pv_trip *t)
{
    return t->carrier->shared->heard <= t->begun;
}
/* NULL: no memory. */
struct pv_trip *pv_trip_new(struct pv_carrier *, struct pv_attempt *);
void pv_trip_free(struct pv_trip *);
/* In a datagram; false: it needs TCP, being long, or there was no memory. */
bool pv_trip_send(struct pv_trip *);
/* Over TCP; false: no memory. */
bool pv_trip_call(struct pv_trip *);
/* A datagram has come. */
void pv_trip_received(struct pv_carrier *, uint8_t *packet, size_t length);

#endif
