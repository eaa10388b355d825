/* Where packets go: to the server itself, or to a relay that passes them on ("Anonymized
 * DNSCrypt"). With relays configured nothing ever goes to the server directly. */
#ifndef PV_PROTO_DNSCRYPT_WAY_H
#define PV_PROTO_DNSCRYPT_WAY_H

#include "conn/proto.h"

enum { PV_RELAY_PREFIX = 28 };

struct pv_way {
    struct pv_addr peers[PV_ADDRESSES_MAX]; /* a relay, or the server's addresses, best first */
    unsigned peer_count;
    size_t prefix_length; /* 0: there is no relay */
    uint8_t prefix[PV_RELAY_PREFIX];
};
/* relay: counts on from one to the next, without end. False: no address is known. */
bool pv_way_find(const struct pv_endpoint *, unsigned relay, struct pv_way *ret);
/* What a packet begins with that a relay is to pass on to the server. */
void pv_relay_prefix(const struct pv_addr *server, uint8_t out[PV_RELAY_PREFIX]);

#endif
