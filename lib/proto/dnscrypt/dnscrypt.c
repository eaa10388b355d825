/* DNSCrypt v2 [DNSCrypt v2; Anonymized DNSCrypt]: certificates (certs, fetch), conns (carrier), and
 * what is on its way (trip, call), sealed (box, keys). */
#include "proto/dnscrypt/carrier.h"

#include <sodium.h>

static struct pv_dnscrypt *dnscrypt(struct pv_endpoint *e)
{
    return pv_endpoint_state(e);
}

#define CARRIER(it) pv_container(it, struct pv_carrier, link)

/* ---- the endpoint ---- */

/* Of a relay that is the server: it would see who asks, and what. */
static enum privy_status check_relays(const struct pv_upstream *up, struct privy_error *reterr)
{
    char text[PV_ADDR_TEXT];
    for (unsigned i = 0; i < up->relay_count; i++) {
        for (unsigned k = 0; k < up->address_count; k++) {
            if (pv_addr_same_host(&up->relays[i], &up->addresses[k]))
                return pv_error(reterr, PRIVY_EINVAL, "relays: %s is the server itself",
                                pv_addr_host(&up->relays[i], text));
        }
    }
    return PRIVY_OK;
}

static enum privy_status check(struct pv_upstream *up, struct privy_error *reterr)
{
    struct pv_question question;
    if (sodium_init() < 0)
        return pv_error(reterr, PRIVY_EUNSUPPORTED, "url: libsodium does not start");
    if (!pv_fetch_question(up, &question))
        return pv_error(reterr, PRIVY_EINVAL, "provider_name: '%s' is no name",
                        up->provider_name ? up->provider_name : "");
    up->shared = calloc(1, sizeof(struct pv_certs_shared));
    up->shared_free = free;
    return up->shared ? check_relays(up, reterr) : pv_error(reterr, PRIVY_ENOMEM, "no memory");
}

static void renewed(struct pv_endpoint *e, const struct pv_fetch_result *r, bool changed)
{
    struct pv_dnscrypt *d = dnscrypt(e);
    d->is_gone = false;
    d->both_ways = r->over_tcp;
    struct pv_list all;
    pv_list_init(&all);
    pv_list_splice(&all, &d->carriers); /* others may be opened now */
    while (!pv_list_empty(&all)) {
        struct pv_carrier *k = CARRIER(pv_list_first(&all));
        pv_list_remove(&k->link);
        pv_list_append(&d->carriers, &k->link);
        if (k->is_ready)
            pv_carrier_fetched(k, changed);
        else
            pv_carrier_ready(k);
    }
}

static void missing(struct pv_endpoint *e, enum pv_outcome outcome, const char *reason)
{
    struct pv_dnscrypt *d = dnscrypt(e);
    struct pv_list all;
    pv_list_init(&all);
    pv_list_splice(&all, &d->carriers);
    while (!pv_list_empty(&all)) {
        struct pv_carrier *k = CARRIER(pv_list_first(&all));
        pv_list_remove(&k->link);
        pv_list_append(&d->carriers, &k->link);
        if (!pv_certs_usable(&d->certs) || (!k->is_ready && d->is_gone))
            pv_conn_lost(k->conn, outcome, reason);
        else if (k->is_ready)
            pv_carrier_fetched(k, false);
    }
}

static bool start(struct pv_endpoint *e)
{
    static const struct pv_certs_events events = {renewed, missing};
    struct pv_dnscrypt *d = dnscrypt(e);
    pv_certs_init(&d->certs, e, &events);
    pv_list_init(&d->carriers);
    d->min_query_len = PV_MIN_QUERY_LEN;
    return true;
}

static void stop(struct pv_endpoint *e)
{
    pv_certs_done(&dnscrypt(e)->certs);
}

static void wake(struct pv_endpoint *e)
{
    struct pv_dnscrypt *d = dnscrypt(e);
    pv_certs_wake(&d->certs, pv_list_empty(&d->carriers));
}

const struct pv_proto pv_proto_dnscrypt[] = {
    {
        .name = "dnscrypt",
        .scheme = "sdns", /* it has no URLs but stamps */
        .port = 443,
        .edns_size = 1232,
        .traits = PV_TRAIT_STREAM | PV_TRAIT_DATAGRAM | PV_TRAIT_PADS_ITSELF | PV_TRAIT_STAMP |
                  PV_TRAIT_PROVIDER,
        .stamp = PV_STAMP_DNSCRYPT,
        .endpoint_size = sizeof(struct pv_dnscrypt),
        .conn_size = sizeof(struct pv_carrier),
        .check = check,
        .start = start,
        .stop = stop,
        .open = pv_carrier_open,
        .room = pv_carrier_room,
        .send = pv_carrier_send,
        .drop = pv_carrier_drop,
        .wake = wake,
        .wake_conn = pv_carrier_wake,
        .close = pv_carrier_close,
    },
    {.name = NULL},
};
