#include "proto/streamed.h"

/* The name given, else the URL's host. Pins without a name: the pin alone decides
 * [RFC 7858 §4.2]. */
static enum privy_status find_trust(const struct pv_upstream *up, struct pv_tls_trust **ret,
                                    struct privy_error *reterr)
{
    const struct pv_url *url = &up->url;
    const char *name = up->tls_name ? up->tls_name : !url->is_address ? url->host : NULL;
    struct pv_addr address;
    struct pv_tls_trust_options options = {
        .ca_file = up->ca_file,
        .pins = (const char *const *)up->pins,
        .hashes = (const uint8_t(*)[32])up->hashes,
        .hash_count = up->hash_count,
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

static enum privy_status find_identity(const struct pv_upstream *up, struct pv_identity **ret,
                                       struct privy_error *reterr)
{
    char owner[80];
    const struct pv_identity_options options = {.owner = owner,
                                                .cert = up->client_cert,
                                                .key = up->client_key,
                                                .passphrase_file = up->client_key_passphrase_file};
    if (!pv_upstream_has_identity(up))
        return PRIVY_OK;
    snprintf(owner, sizeof owner, "upstream %s", up->name);
    return pv_identity_new(&options, ret, reterr);
}

enum privy_status pv_credentials_init(struct pv_credentials *c, const struct pv_upstream *up,
                                      struct privy_error *reterr)
{
    *c = (struct pv_credentials){0};
    enum privy_status status = find_trust(up, &c->trust, reterr);
    return status == PRIVY_OK ? find_identity(up, &c->identity, reterr) : status;
}

void pv_credentials_done(struct pv_credentials *c)
{
    pv_tls_trust_free(c->trust);
    pv_identity_free(c->identity);
}

static void renewed(void *arg)
{
    pv_endpoint_renew(arg);
}

bool pv_streamed_start(struct pv_endpoint *e, const struct pv_credentials *c, const char *alpn,
                       bool alpn_required)
{
    struct pv_streamed *s = pv_endpoint_state(e);
    s->tls = pv_tls_context_new(pv_endpoint_loop(e), c->trust, alpn, alpn_required);
    if (s->tls && c->identity)
        pv_tls_context_set_identity(s->tls, c->identity, renewed, e);
    return s->tls != NULL;
}

void pv_streamed_stop(struct pv_endpoint *e)
{
    struct pv_streamed *s = pv_endpoint_state(e);
    pv_tls_context_free(s->tls);
}

void pv_streamed_refresh(struct pv_endpoint *e)
{
    struct pv_streamed *s = pv_endpoint_state(e);
    pv_tls_context_refresh(s->tls);
}

struct pv_conn_facts pv_streamed_facts(const struct pv_tls_facts *tls)
{
    return (struct pv_conn_facts){.resumed = tls && tls->resumed,
                                  .client_auth = tls && tls->client_auth};
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
