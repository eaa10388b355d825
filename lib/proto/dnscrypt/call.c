#include "proto/dnscrypt/call.h"

#include "net/frame.h"

#include <stdlib.h>

enum { FRAME_MOST = 2 + 65535 };

struct pv_call {
    struct pv_stream *stream;
    const struct pv_call_events *events;
    void *arg;
    size_t prefix_length;
    uint8_t prefix[PV_RELAY_PREFIX];
};

static void opened(void *arg)
{
    struct pv_call *call = arg;
    struct pv_addr local;
    if (pv_stream_local(call->stream, &local))
        call->events->connected(call->arg, &local);
    else
        call->events->failed(call->arg, PV_STREAM_CLOSED, "it has no address of ours");
}

static void received(void *arg, struct pv_buf *in)
{
    struct pv_call *call = arg;
    const uint8_t *packet;
    size_t length;
    switch (pv_frame_peek(in, &packet, &length)) {
    case PV_FRAME_NONE:
        break;
    case PV_FRAME_BAD: /* a relay says no with an empty one */
        call->events->failed(call->arg, PV_STREAM_CLOSED, "an empty reply");
        break;
    case PV_FRAME_MESSAGE:
        call->events->answered(call->arg, pv_buf_front(in) + 2, length);
    }
}

static void lost(void *arg, enum pv_stream_fault fault, const char *reason)
{
    struct pv_call *call = arg;
    call->events->failed(call->arg, fault, reason);
}

struct pv_call *pv_call_begin(struct pv_loop *loop, const struct pv_way *way,
                              const struct pv_call_events *events, void *arg)
{
    static const struct pv_stream_events on = {opened, received, lost};
    const struct pv_stream_options options = {
        .addresses = way->peers,
        .address_count = way->peer_count,
        .in_limit = FRAME_MOST,
        .out_limit = FRAME_MOST,
    };
    struct pv_call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->events = events;
    call->arg = arg;
    call->prefix_length = way->prefix_length;
    memcpy(call->prefix, way->prefix, way->prefix_length);
    call->stream = pv_stream_open(loop, &options, &on, call);
    if (!call->stream) {
        free(call);
        return NULL;
    }
    return call;
}

bool pv_call_say(struct pv_call *call, const uint8_t *packet, size_t length)
{
    size_t total = call->prefix_length + length;
    uint8_t *frame = total <= 65535 ? pv_stream_reserve(call->stream, 2 + total) : NULL;
    if (!frame)
        return false;
    pv_put16(frame, (uint16_t)total);
    memcpy(frame + 2, call->prefix, call->prefix_length);
    memcpy(frame + 2 + call->prefix_length, packet, length);
    pv_stream_wrote(call->stream, 2 + total);
    return true;
}

/* Inside an event of its stream too: that one goes when the event returns, and knows us no more. */
void pv_call_end(struct pv_call *call)
{
    if (!call)
        return;
    pv_stream_close(call->stream);
    free(call);
}
