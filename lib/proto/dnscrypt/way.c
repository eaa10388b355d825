#include "proto/dnscrypt/way.h"

#include <string.h>

void pv_relay_prefix(const struct pv_addr *server, uint8_t out[PV_RELAY_PREFIX])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:192.0.2.1 */
    memset(out, 0xff, 8);
    memset(out + 8, 0, 2);
    if (server->sa.sa_family == AF_INET) {
        memcpy(out + 10, mapped, sizeof mapped);
        memcpy(out + 22, &server->in.sin_addr, 4);
    } else {
        memcpy(out + 10, &server->in6.sin6_addr, 16);
    }
    pv_put16(out + 26, pv_addr_port(server));
}

bool pv_way_find(const struct pv_endpoint *e, unsigned relay, struct pv_way *ret)
{
    const struct pv_upstream *up = pv_endpoint_upstream(e);
    ret->peer_count = pv_endpoint_addresses(e, ret->peers);
    ret->prefix_length = 0;
    if (ret->peer_count > 0 && up->relay_count > 0) {
        pv_relay_prefix(&ret->peers[0], ret->prefix);
        ret->prefix_length = sizeof ret->prefix;
        ret->peers[0] = up->relays[relay % up->relay_count];
        ret->peer_count = 1;
    }
    return ret->peer_count > 0;
}
