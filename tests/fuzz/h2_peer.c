#include "h2_peer.h"

#include "base/status.h"

#include <nghttp2/nghttp2.h>
#include <sodium.h>

enum { MESSAGE = 2048, STREAMS = 64 };

struct stream { /* a request, and its response */
    int32_t id;
    size_t length, sent;
    uint8_t bytes[MESSAGE];
};

struct h2_peer {
    struct pv_sock *sock;
    nghttp2_session *session;
    struct stream streams[STREAMS]; /* the oldest makes room */
    unsigned next;
};

static struct stream *find(struct h2_peer *p, int32_t id)
{
    for (unsigned i = 0; i < STREAMS; i++)
        if (p->streams[i].id == id)
            return &p->streams[i];
    return NULL;
}

/* ---- what nghttp2 tells ---- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_peer *p = arg;
    (void)session;
    p->streams[p->next++ % STREAMS] = (struct stream){.id = frame->hd.stream_id};
    return 0;
}

/* A GET has its question in the path. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t length, uint8_t flags,
                     void *arg)
{
    static const char before[] = "/dns-query?dns=";
    struct stream *s = find(arg, frame->hd.stream_id);
    size_t skip = sizeof before - 1;
    (void)session, (void)flags;
    if (s && name_length == 5 && memcmp(name, ":path", 5) == 0 && length > skip)
        PV_BUG_IF(memcmp(value, before, skip) != 0 ||
                  sodium_base642bin(s->bytes, MESSAGE, (const char *)value + skip, length - skip,
                                    NULL, &s->length, NULL,
                                    sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *arg)
{
    struct stream *s = find(arg, id);
    (void)session, (void)flags;
    if (s) {
        PV_BUG_IF(n > MESSAGE - s->length);
        memcpy(s->bytes + s->length, bytes, n);
        s->length += n;
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2_peer *p = arg;
    struct stream *s = find(p, frame->hd.stream_id);
    (void)session;
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (s && ended && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA))
        world_hear(p->sock, s->bytes, s->length)->stream = s->id;
    return 0;
}

/* ---- the connection ---- */

void h2_peer_open(struct pv_sock *s)
{
    struct h2_peer *p = calloc(1, sizeof *p);
    nghttp2_session_callbacks *callbacks;
    PV_BUG_IF(!p || nghttp2_session_callbacks_new(&callbacks) != 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    PV_BUG_IF(nghttp2_session_server_new(&p->session, callbacks, p) != 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, NULL, 0);
    p->sock = s;
    s->state = p;
    s->raw = true;
}

void h2_peer_close(struct pv_sock *s)
{
    struct h2_peer *p = s->state;
    if (!p)
        return;
    nghttp2_session_del(p->session);
    free(p);
    s->state = NULL;
}

bool h2_peer_is_on(const struct pv_sock *s)
{
    return s->state != NULL;
}

void h2_peer_runs(struct pv_sock *s)
{
    struct h2_peer *p = s->state;
    const uint8_t *bytes;
    size_t n = pv_buf_length(&s->out);
    ssize_t length;
    if (n > 0) { /* ours is a client that keeps to the rules */
        PV_BUG_IF(nghttp2_session_mem_recv(p->session, pv_buf_front(&s->out), n) != (ssize_t)n);
        pv_buf_consume(&s->out, n);
    }
    while (s->greeted && (length = nghttp2_session_mem_send(p->session, &bytes)) > 0)
        world_deliver(s, bytes, (size_t)length);
}

/* ---- what it does ---- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t capacity,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct stream *s = find(arg, id);
    (void)session, (void)source;
    size_t n = s ? s->length - s->sent : 0;
    n = n < capacity ? n : capacity;
    if (n > 0)
        memcpy(out, s->bytes + s->sent, n);
    if (s)
        s->sent += n;
    if (!s || s->sent == s->length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void respond(struct h2_peer *p, int32_t id, const char *status, const char *type,
                    const void *body, size_t length)
{
    const nghttp2_nv fields[] = {
        {(uint8_t *)":status", (uint8_t *)status, 7, 3, 0},
        {(uint8_t *)"content-type", (uint8_t *)type, 12, strlen(type), 0},
        {(uint8_t *)"retry-after", (uint8_t *)"2", 11, 1, 0},
    };
    const nghttp2_data_provider provider = {.read_callback = read_body};
    struct stream *s = find(p, id);
    if (!s || s->sent)
        return;
    memcpy(s->bytes, body, length);
    s->length = length;
    nghttp2_submit_response(p->session, id, fields, status[0] == '5' ? 3 : 2, &provider);
}

void h2_peer_answers(struct pv_sock *s, const struct world_message *m, const uint8_t *answer,
                     size_t length)
{
    respond(s->state, m->stream, "200", "application/dns-message", answer, length);
    h2_peer_runs(s);
}

static void set_streams(struct h2_peer *p, uint32_t n)
{
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, n};
    nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, &entry, 1);
}

/* One that has to do with a request. */
static void does_to(struct h2_peer *p, int32_t id, enum h2_deed deed)
{
    static const char *const status[H2_DEEDS] = {
        [H2_SENDS_HTML] = "200", [H2_SENDS_NOTHING] = "200", [H2_UNAVAILABLE] = "503",
        [H2_NOT_FOUND] = "404",  [H2_WRONG_TYPE] = "415",    [H2_MOVED] = "301"};
    if (status[deed])
        respond(p, id, status[deed],
                deed == H2_SENDS_NOTHING ? "application/dns-message" : "text/html", "<html>",
                deed == H2_SENDS_NOTHING ? 0 : 6);
    else
        nghttp2_submit_rst_stream(p->session, NGHTTP2_FLAG_NONE, id,
                                  deed == H2_REFUSES ? NGHTTP2_REFUSED_STREAM
                                                     : NGHTTP2_INTERNAL_ERROR);
}

void h2_peer_does(struct pv_sock *s, enum h2_deed deed)
{
    struct h2_peer *p = s->state;
    struct pv_list *first = pv_list_first(&s->heard);
    if (deed == H2_LEAVES)
        nghttp2_submit_goaway(p->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(p->session), 0, NULL, 0);
    else if (deed == H2_NARROWS || deed == H2_WIDENS)
        set_streams(p, deed == H2_NARROWS ? 1 : 100);
    else if (deed == H2_PINGS)
        nghttp2_submit_ping(p->session, NGHTTP2_FLAG_NONE, NULL);
    else if (first) {
        struct world_message *m = pv_container(first, struct world_message, link);
        does_to(p, m->stream, deed);
        world_forget(m);
    }
    h2_peer_runs(s);
}
