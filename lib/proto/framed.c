#include "proto/framed.h"

#include "net/frame.h"
#include "proto/streamed.h"

enum {
    IN_LIMIT = 2 * 65536 + 2,
    OUT_LIMIT = 256 * 1024,        /* unsent octets; the peer does not read */
    OUT_CROWDED = 128 * 1024,      /* take no more from here on */
    IDS_MOST = 16384,              /* in use at once */
    RESERVED_MOST = 4096,          /* ids of abandoned questions: then a new connection */
    UNASKED_MOST = 1024 * 1024,    /* octets nobody asked for: a broken or hostile peer */
    KEEPALIVE_EVERY_US = 60000000, /* the option is repeated [RFC 7828 §3.2.1] */
    IDLE_MOST_MS = 600000,
};

static struct pv_framed *framed(const struct pv_conn *c)
{
    return pv_conn_state(c);
}

static void opened(void *arg)
{
    struct pv_framed *f = arg;
    struct pv_conn_facts facts = pv_streamed_facts(pv_stream_tls_facts(f->stream));
    pv_conn_ready(f->conn, &facts);
}

/* [RFC 7828 §3.2.2]: close before the peer does; 0: nothing new. */
static void obey_keepalive(struct pv_conn *c, const struct pv_reply *reply)
{
    uint32_t ms = reply->keepalive * 90U; /* 90 % of units of 100 ms */
    if (!reply->has_keepalive)
        return;
    if (ms == 0)
        pv_conn_drain(c);
    else
        pv_conn_set_idle(c, ms < IDLE_MOST_MS ? ms : IDLE_MOST_MS);
}

/* A message nobody waits for: late, or a lie. */
static void unasked(struct pv_framed *f, size_t length, bool late)
{
    if (late) {
        pv_conn_progress(f->conn);
        return;
    }
    f->unasked += length;
    if (f->unasked > UNASKED_MOST)
        pv_conn_lost(f->conn, PV_BAD_ANSWER, "sends answers nobody asked for");
}

static void message(struct pv_framed *f, const uint8_t *bytes, size_t length)
{
    bool late = false;
    struct pv_attempt *a = pv_idmap_take(&f->ids, pv_get16(bytes), &late);
    if (!a)
        unasked(f, length, late);
    else if (pv_attempt_answered(a, bytes, length))
        obey_keepalive(f->conn, &a->reply);
    else
        pv_conn_lost(f->conn, PV_BAD_ANSWER, a->reason);
}

static void received(void *arg, struct pv_buf *in)
{
    struct pv_framed *f = arg;
    const uint8_t *bytes;
    size_t length;
    while (f->stream) {
        switch (pv_frame_peek(in, &bytes, &length)) {
        case PV_FRAME_NONE:
            if (f->ids.live > 0)
                pv_stream_expect(f->stream, f->ids.live);
            return;
        case PV_FRAME_BAD:
            pv_conn_lost(f->conn, PV_BAD_ANSWER, "bad answer: shorter than a DNS header");
            return;
        case PV_FRAME_MESSAGE:
            message(f, bytes, length);
            pv_frame_next(in);
        }
    }
}

static void lost(void *arg, enum pv_stream_fault fault, const char *reason)
{
    struct pv_framed *f = arg;
    pv_conn_lost(f->conn, pv_streamed_outcome(fault), reason);
}

bool pv_framed_open(struct pv_conn *c, struct pv_tls_context *tls)
{
    static const struct pv_stream_events events = {opened, received, lost};
    struct pv_framed *f = framed(c);
    struct pv_endpoint *e = pv_conn_endpoint(c);
    struct pv_addr addresses[PV_ADDRESSES_MAX];
    struct pv_stream_options options = {
        .addresses = addresses,
        .address_count = pv_endpoint_addresses(e, addresses),
        .tls = tls,
        .in_limit = IN_LIMIT,
        .out_limit = OUT_LIMIT,
    };
    f->conn = c;
    pv_idmap_init(&f->ids);
    f->stream = pv_stream_open(pv_endpoint_loop(e), &options, &events, f);
    return f->stream != NULL;
}

unsigned pv_framed_room(const struct pv_conn *c)
{
    const struct pv_framed *f = framed(c);
    unsigned used = f->ids.live + f->ids.reserved;
    if (!f->stream || used >= IDS_MOST || pv_stream_unsent(f->stream) > OUT_CROWDED)
        return 0;
    return IDS_MOST - used;
}

bool pv_framed_send(struct pv_conn *c, struct pv_attempt *a)
{
    struct pv_framed *f = framed(c);
    uint64_t now = pv_now(pv_endpoint_loop(pv_conn_endpoint(c)));
    bool keepalive = now >= f->keepalive_due;
    size_t most = pv_attempt_dressed_max(a);
    uint8_t *frame = pv_stream_reserve(f->stream, most + 2);
    uint16_t id;
    if (!frame || !pv_idmap_add(&f->ids, a, &id))
        return false;
    size_t length = pv_attempt_dress(a, id, keepalive, frame + 2, most);
    if (length == 0) {
        pv_idmap_take(&f->ids, id, NULL);
        return false;
    }
    a->id = id;
    pv_put16(frame, (uint16_t)length);
    pv_stream_wrote(f->stream, length + 2);
    if (keepalive)
        f->keepalive_due = now + KEEPALIVE_EVERY_US;
    return true;
}

void pv_framed_drop(struct pv_conn *c, struct pv_attempt *a)
{
    struct pv_framed *f = framed(c);
    pv_idmap_reserve(&f->ids, (uint16_t)a->id);
    if (f->ids.reserved == RESERVED_MOST)
        pv_conn_replace(c);
}

void pv_framed_close(struct pv_conn *c)
{
    struct pv_framed *f = framed(c);
    pv_stream_close(f->stream);
    f->stream = NULL;
    pv_idmap_done(&f->ids);
}
