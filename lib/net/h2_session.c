#include "net/h2_session.h"

#include <stdarg.h>

enum {
    FRAME_HEAD = 9,
    WINDOW_CONNECTION = 1024 * 1024,
    WINDOW_STREAM = 65535, /* any message */
    STREAMS_MOST = 1000,   /* of one connection, whatever the server allows */
    INFORMATIONAL_MOST = 8,
    SETTINGS_MOST = 16,
    ACKS_MOST = 100,
    CONTINUATIONS_MOST = 8,
    ENCODER_TABLE = 4096,
    CARRIED_TIMES = 4,    /* as many octets as the body has, */
    CARRIED_MORE = 16384, /* and some */
    OVERSIZED_MOST = 3,   /* responses with too many fields: then the connection ends */
};

/* ---- what its parts share ---- */

void pv_h2_stream_become(struct pv_h2_stream *r, enum pv_h2_state state)
{
    r->h2->count[r->state]--;
    r->h2->count[state]++;
    r->state = state;
}

void pv_h2_stream_free(struct pv_h2_stream *r)
{
    r->h2->count[r->state]--;
    pv_list_remove(&r->link);
    pv_h2_response_done(&r->response);
    free(r);
}

void pv_h2_note(struct pv_h2 *h, enum pv_stream_fault fault, const char *format, ...)
{
    va_list args;
    if (h->fault)
        return;
    h->fault = fault;
    va_start(args, format);
    vsnprintf(h->reason, sizeof h->reason, format, args);
    va_end(args);
}

/* ---- in: what nghttp2 tells ---- */

static struct pv_h2_stream *request_of(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static void fail(struct pv_h2_stream *r, enum pv_h2_fault fault, const char *reason)
{
    struct pv_h2 *h = r->h2;
    enum pv_h2_state before = r->state;
    pv_h2_stream_become(r, PV_H2_ENDED);
    if (before == PV_H2_AWAITED && !h->closed)
        h->events->failed(h->arg, r->owner, fault, reason);
}

void pv_h2_stream_reset(struct pv_h2_stream *r, enum pv_h2_fault fault, const char *reason)
{
    nghttp2_submit_rst_stream(r->h2->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    fail(r, fault, reason);
}

bool pv_h2_is_within_budget(struct pv_h2 *h)
{
    const char *exceeded = pv_h2_budget_exceeded(&h->budget);
    if (exceeded)
        pv_h2_note(h, PV_STREAM_BROKEN, "%s", exceeded);
    return !exceeded;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
    struct pv_h2 *h = arg;
    struct pv_h2_stream *r = request_of(session, hd->stream_id);
    if (h->closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (r && hd->type == NGHTTP2_DATA)
        r->carried += FRAME_HEAD + hd->length;
    if (hd->type == NGHTTP2_HEADERS || (hd->type == NGHTTP2_DATA && hd->length > 0))
        return 0;
    pv_h2_budget_frame(&h->budget);
    return pv_h2_is_within_budget(h) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2 calls the first block of fields the response, an informational one too. */
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct pv_h2_stream *r = request_of(session, frame->hd.stream_id);
    (void)arg;
    if (r && frame->headers.cat != NGHTTP2_HCAT_RESPONSE && !r->response.has_head &&
        ++r->informational > INFORMATIONAL_MOST)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

/* nghttp2 bounds what comes over the wire, not what it decodes to: 16 KiB may become 50 MB. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
                     void *arg)
{
    struct pv_h2 *h = arg;
    struct pv_h2_stream *r = request_of(session, frame->hd.stream_id);
    (void)flags;
    if (h->closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!r || r->state == PV_H2_ENDED ||
        pv_h2_response_field(&r->response, name, name_length, value, value_length))
        return 0;
    fail(r, PV_H2_RESET, "a response with too many header fields");
    if (h->closed || ++h->oversized < OVERSIZED_MOST)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    pv_h2_note(h, PV_STREAM_BROKEN, "responses with too many header fields");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *arg)
{
    struct pv_h2 *h = arg;
    struct pv_h2_stream *r = request_of(session, id);
    (void)flags;
    if (h->closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!r || r->state == PV_H2_ENDED)
        return 0;
    switch (pv_h2_response_add(&r->response, bytes, n)) {
    case PV_H2_TOO_LARGE:
        pv_h2_stream_reset(r, PV_H2_RESET, "a response of more than 65535 octets");
        break;
    case PV_H2_NO_MEMORY:
        pv_h2_stream_reset(r, PV_H2_RESET, "no memory for a response");
        break;
    case PV_H2_ADDED:
        pv_h2_budget_body(&h->budget, n);
        break;
    }
    return 0;
}

/* Padding, or a frame for each octet. */
static bool is_mostly_padding(const struct pv_h2_stream *r)
{
    return r->carried > CARRIED_TIMES * r->response.length + CARRIED_MORE;
}

/* A server may answer before it has read the request: then the rest is not sent any more, or the
 * stream would stay until its window opens. */
static void complete(struct pv_h2 *h, struct pv_h2_stream *r)
{
    enum pv_h2_state before = r->state;
    pv_h2_budget_response(&h->budget);
    if (r->sent < r->length)
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    pv_h2_stream_become(r, PV_H2_ENDED);
    if (before == PV_H2_AWAITED)
        h->events->response(h->arg, r->owner, &r->response);
    else if (before == PV_H2_DROPPED)
        h->events->alive(h->arg);
    pv_h2_response_done(&r->response);
}

static void on_settings(struct pv_h2 *h)
{
    uint32_t most =
        nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    h->streams = most < STREAMS_MOST ? most : STREAMS_MOST;
    h->events->room(h->arg);
}

void pv_h2_leave(struct pv_h2 *h)
{
    if (h->leaving)
        return;
    h->leaving = true;
    h->events->leaving(h->arg);
}

/* In their order: nghttp2 would end them in any, and who has waited longest shall be first again.
 */
static void leave_out(struct pv_h2 *h, int32_t last)
{
    pv_list_each_safe (it, &h->requests) {
        struct pv_h2_stream *r = pv_container(it, struct pv_h2_stream, link);
        if (r->id > last && r->state != PV_H2_ENDED)
            fail(r, PV_H2_UNPROCESSED, "GOAWAY: not processed");
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct pv_h2 *h = arg;
    struct pv_h2_stream *r = request_of(session, frame->hd.stream_id);
    if (h->closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (r)
            pv_h2_response_end_block(&r->response);
        __attribute__((fallthrough));
    case NGHTTP2_DATA:
        if (r && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            complete(h, r);
        else if (r && r->state != PV_H2_ENDED && is_mostly_padding(r))
            pv_h2_stream_reset(r, PV_H2_RESET, "a response that is mostly padding");
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            on_settings(h);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (frame->hd.stream_id == 0)
            h->events->room(h->arg);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            h->events->alive(h->arg);
        break;
    case NGHTTP2_GOAWAY:
        pv_h2_leave(h);
        leave_out(h, frame->goaway.last_stream_id);
        break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct pv_h2 *h = arg;
    struct pv_h2_stream *r = request_of(session, id);
    char reason[64];
    if (!r)
        return 0;
    snprintf(reason, sizeof reason, "the server ended the request: %s",
             nghttp2_http2_strerror(code));
    if (code == NGHTTP2_REFUSED_STREAM)
        fail(r, PV_H2_UNPROCESSED, reason);
    else if (code == NGHTTP2_ENHANCE_YOUR_CALM)
        fail(r, PV_H2_CALM, reason);
    else
        fail(r, PV_H2_RESET, reason);
    pv_h2_stream_free(r);
    if (h->inside && !h->closed) /* else the owner has just dropped it */
        h->events->room(h->arg);
    return 0; /* an error here would leak the item that nghttp2 is sending */
}

/* nghttp2's words for what it does not like; it then says GOAWAY by itself. */
static int on_error(nghttp2_session *session, int code, const char *text, size_t length, void *arg)
{
    (void)session, (void)code;
    pv_debug("HTTP/2: %.*s", (int)length, text);
    (void)arg;
    return 0;
}

/* ---- beginning ---- */

static nghttp2_session_callbacks *new_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_error_callback2(c, on_error);
    return c;
}

static nghttp2_option *new_options(const struct pv_h2 *h)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_peer_max_concurrent_streams(o, h->streams);
    nghttp2_option_set_max_settings(o, SETTINGS_MOST);
    nghttp2_option_set_max_outbound_ack(o, ACKS_MOST);
    nghttp2_option_set_max_continuations(o, CONTINUATIONS_MOST);
    nghttp2_option_set_max_deflate_dynamic_table_size(o, ENCODER_TABLE);
    nghttp2_option_set_no_closed_streams(o, 1);
    return o;
}

bool pv_h2_session_begin(struct pv_h2 *h)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_STREAM},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, PV_H2_FIELD_OCTETS_MOST},
    };
    nghttp2_session_callbacks *callbacks = new_callbacks();
    nghttp2_option *options = new_options(h);
    bool good = callbacks && options &&
                nghttp2_session_client_new2(&h->session, callbacks, h, options) == 0;
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
    return good &&
           nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof *settings) == 0 &&
           nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                 WINDOW_CONNECTION) == 0;
}
