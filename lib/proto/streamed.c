#include "proto/streamed.h"

/* The name given, else the URL's host. Pins without a name: the pin alone decides
 * [RFC 7858 §4.2]. */
enum privy_status pv_streamed_trust(const struct pv_upstream *up, struct pv_tls_trust **ret,
                                    struct privy_error *reterr)
{
    const struct pv_url *url = &up->url;
    const char *name = up->tls_name ? up->tls_name : !url->is_address ? url->host : NULL;
    struct pv_addr address;
    struct pv_tls_trust_options options = {
        .ca_file = up->ca_file,
        .pins = (const char *const *)up->pins,
        .tls13_only = up->tls13_only,
    };
    if (name && pv_addr_parse(name, strlen(name), 0, &address))
        options.address = &address;
    else if (name)
        options.name = name;
    else if (!up->pins)
        options.address = &url->address;
    return pv_tls_trust_new(&options, ret, reterr);
}

struct pv_conn_facts pv_streamed_facts(struct pv_conn *c, const struct pv_tls_facts *tls)
{
    struct pv_upstream *up = pv_endpoint_upstream(pv_conn_endpoint(c));
    return (struct pv_conn_facts){.resumed = tls && tls->resumed,
                                  .client_auth = tls && pv_upstream_has_identity(up)};
}

enum pv_outcome pv_streamed_outcome(enum pv_stream_fault fault)
{
    static const enum pv_outcome outcome[] = {
        [PV_STREAM_CLOSED] = PV_DIED_FRESH,   [PV_STREAM_REFUSED] = PV_UNREACHABLE,
        [PV_STREAM_UNTRUSTED] = PV_UNTRUSTED, [PV_STREAM_TLS] = PV_TLS_FAILED,
        [PV_STREAM_FULL] = PV_TIMED_OUT,      [PV_STREAM_NO_MEMORY] = PV_NO_ROOM,
        [PV_STREAM_BROKEN] = PV_BAD_ANSWER,
    };
    return outcome[fault];
}
