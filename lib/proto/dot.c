/* DNS over TLS [RFC 7858; RFC 8310]: a TLS stream, frames, ids. */
#include "proto/framed.h"
#include "proto/streamed.h"

static void credentials_free(void *arg)
{
    pv_credentials_done(arg);
    free(arg);
}

static enum privy_status check(struct pv_upstream *up, struct privy_error *reterr)
{
    if (up->url.path[0])
        return pv_error(reterr, PRIVY_EINVAL, "url: '%s': tls:// has no path", up->url_text);
    up->shared = calloc(1, sizeof(struct pv_credentials));
    up->shared_free = credentials_free;
    return up->shared ? pv_credentials_init(up->shared, up, reterr)
                      : pv_error(reterr, PRIVY_ENOMEM, "no memory");
}

static bool start(struct pv_endpoint *e)
{
    return pv_streamed_start(e, pv_endpoint_upstream(e)->shared, "dot", false);
}

static bool open(struct pv_conn *c)
{
    struct pv_streamed *s = pv_endpoint_state(pv_conn_endpoint(c));
    return pv_framed_open(c, s->tls);
}

const struct pv_proto pv_proto_dot[] = {
    {
        .name = "dot",
        .scheme = "tls",
        .port = 853,
        .edns_size = 4096,
        .traits = PV_TRAIT_STREAM | PV_TRAIT_TLS | PV_TRAIT_KEEPALIVE | PV_TRAIT_STAMP,
        .stamp = PV_STAMP_DOT,
        .endpoint_size = sizeof(struct pv_streamed),
        .conn_size = sizeof(struct pv_framed),
        .check = check,
        .start = start,
        .stop = pv_streamed_stop,
        .refresh = pv_streamed_refresh,
        .open = open,
        .room = pv_framed_room,
        .send = pv_framed_send,
        .drop = pv_framed_drop,
        .close = pv_framed_close,
    },
    {.name = NULL},
};
