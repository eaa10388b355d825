#include "unit.h"

#include "h2_server.h"

static struct server_request *find(struct server *s, int32_t id)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->requests[i].id == id)
            return &s->requests[i];
    return NULL;
}

/* ---- what it got ---- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct server *s = arg;
    (void)session;
    assert_true(s->count < SERVER_REQUESTS);
    s->requests[s->count++] = (struct server_request){.id = frame->hd.stream_id};
    return 0;
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_length, const uint8_t *value, size_t length, uint8_t flags,
                    void *arg)
{
    struct server_request *r = find(arg, frame->hd.stream_id);
    size_t at = strlen(r->fields);
    (void)session;
    int n = snprintf(r->fields + at, sizeof r->fields - at, "%.*s: %.*s\n", (int)name_length,
                     (const char *)name, (int)length, (const char *)value);
    assert_in_range(n, 1, sizeof r->fields - at - 1);
    if (name_length == 5 && memcmp(name, ":path", 5) == 0)
        r->path_hidden = flags & NGHTTP2_NV_FLAG_NO_INDEX;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *arg)
{
    struct server_request *r = find(arg, id);
    (void)session, (void)flags;
    assert_true(n <= sizeof r->body - r->length);
    memcpy(r->body + r->length, bytes, n);
    r->length += n;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct server *s = arg;
    struct server_request *r = find(s, frame->hd.stream_id);
    (void)session;
    if (r && frame->hd.type <= NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        r->whole = true;
    if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        s->pings++;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        s->goaways++;
    if (r && frame->hd.type == NGHTTP2_RST_STREAM) {
        r->was_reset = true;
        r->reset = frame->rst_stream.error_code;
    }
    return 0;
}

/* ---- its life ---- */

void server_begin(struct server *s, struct pv_sock *sock, uint32_t streams)
{
    nghttp2_session_callbacks *c;
    const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams};
    *s = (struct server){.world = sock->world, .sock = sock};
    sock->raw = true;
    assert_int_equal(nghttp2_session_callbacks_new(&c), 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(c, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    assert_int_equal(nghttp2_session_server_new(&s->session, c, s), 0);
    nghttp2_session_callbacks_del(c);
    nghttp2_submit_settings(s->session, NGHTTP2_FLAG_NONE, &entry, streams ? 1 : 0);
}

void server_end(struct server *s)
{
    nghttp2_session_del(s->session);
    s->session = NULL;
}

/* Is the client's side still there? */
static bool lives(const struct server *s)
{
    return world_sock(s->world, 0) == s->sock;
}

/* True: octets went either way. */
static bool moves(struct server *s)
{
    const uint8_t *bytes;
    ssize_t n;
    bool moved = pv_buf_length(&s->sock->out) > 0;
    if (moved) { /* ours is a client that keeps to the rules */
        size_t length = pv_buf_length(&s->sock->out);
        assert_int_equal(nghttp2_session_mem_recv(s->session, pv_buf_front(&s->sock->out), length),
                         length);
        pv_buf_consume(&s->sock->out, length);
    }
    while ((n = nghttp2_session_mem_send(s->session, &bytes)) > 0) {
        world_deliver(s->sock, bytes, (size_t)n);
        moved = true;
    }
    return moved;
}

void server_runs(struct server *s)
{
    do {
        world_settle(s->world);
    } while (lives(s) && moves(s));
}

/* ---- what it says ---- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t capacity,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct server_request *r = source->ptr;
    size_t n = r->out_length < capacity ? r->out_length : capacity;
    (void)session, (void)id, (void)arg;
    memcpy(out, r->out, n);
    r->out += n;
    r->out_length -= n;
    if (r->out_length == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

void server_responds(struct server *s, unsigned request, const char *status,
                     const nghttp2_nv *fields, size_t count, const void *body, size_t length)
{
    struct server_request *r = &s->requests[request];
    nghttp2_nv all[80] = {{(uint8_t *)":status", (uint8_t *)(uintptr_t)status, 7, 3, 0}};
    assert_true(request < s->count && count < 80);
    for (size_t i = 0; i < count; i++)
        all[1 + i] = fields[i];
    r->out = body;
    r->out_length = length;
    const nghttp2_data_provider data = {.source.ptr = r, .read_callback = read_body};
    assert_int_equal(
        nghttp2_submit_response(s->session, r->id, all, 1 + count, body ? &data : NULL), 0);
}

void server_answers(struct server *s, unsigned request, const char *text)
{
    const nghttp2_nv type = {(uint8_t *)"content-type", (uint8_t *)"text/x", 12, 6, 0};
    server_responds(s, request, "200", &type, 1, text, strlen(text));
}

void server_sets(struct server *s, int32_t setting, uint32_t value)
{
    const nghttp2_settings_entry entry = {setting, value};
    nghttp2_submit_settings(s->session, NGHTTP2_FLAG_NONE, &entry, 1);
}

void server_limits(struct server *s, uint32_t streams)
{
    server_sets(s, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams);
}

void server_frame(struct server *s, uint8_t type, uint8_t flags, int32_t stream,
                  const void *payload, size_t length)
{
    uint8_t head[9] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type,
                       flags};
    pv_put32(head + 5, (uint32_t)stream);
    world_deliver(s->sock, head, sizeof head);
    world_deliver(s->sock, payload, length);
}
