#include "net/h2.h"

#include "net/h2_budget.h"

#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <string.h>

enum {
    IN_LIMIT = 256 * 1024,
    OUT_LIMIT = 256 * 1024,   /* unsent octets; the peer does not read */
    OUT_CROWDED = 128 * 1024, /* take no more from here on */
    WINDOW_CONNECTION = 1024 * 1024,
    WINDOW_STREAM = 65535, /* any message [W8] */
    STREAMS_MOST = 1000,   /* of one connection, whatever the server allows */
    INFORMATIONAL_MOST = 8,
    SETTINGS_MOST = 16,
    ACKS_MOST = 100,
    CONTINUATIONS_MOST = 8,
    ENCODER_TABLE = 4096,
    OVERSIZED_MOST = 3, /* responses with too many fields: then the connection ends */
};

enum state {
    AWAITED,
    DROPPED, /* nobody waits, but the server may answer yet */
    ENDED,   /* and told; until nghttp2 has closed the stream */
};

struct request {
    struct pv_list link;
    struct pv_h2 *h2;
    int32_t id;
    enum state state;
    void *owner;
    unsigned informational;
    struct pv_h2_response response;
    size_t length, sent;
    uint8_t body[];
};

struct pv_h2 {
    struct pv_loop *loop;
    struct pv_stream *stream;
    nghttp2_session *session; /* NULL: not connected yet */
    const struct pv_h2_events *events;
    void *arg;
    struct pv_list requests;
    unsigned count[3]; /* of requests, by state: each is a stream of its own */
    unsigned streams;  /* at once, as the server allows */
    bool leaving;
    unsigned oversized;
    struct pv_h2_budget budget;
    bool inside, closed; /* nghttp2 is running: freed when it returns */
    struct pv_deferred failing;
    enum pv_stream_fault fault;
    char reason[128];
};

/* ---- the end ---- */

static void become(struct request *r, enum state state)
{
    r->h2->count[r->state]--;
    r->h2->count[state]++;
    r->state = state;
}

static void request_free(struct request *r)
{
    r->h2->count[r->state]--;
    pv_list_remove(&r->link);
    pv_h2_response_done(&r->response);
    free(r);
}

static void destroy(struct pv_h2 *h)
{
    nghttp2_session_del(h->session); /* calls nothing of ours */
    pv_list_each_safe (it, &h->requests)
        request_free(pv_container(it, struct request, link));
    pv_undefer(&h->failing);
    free(h);
}

static void note(struct pv_h2 *h, enum pv_stream_fault fault, const char *format, ...)
    PV_PRINTF(3, 4);

/* The first reason stands. */
static void note(struct pv_h2 *h, enum pv_stream_fault fault, const char *format, ...)
{
    va_list args;
    if (h->fault)
        return;
    h->fault = fault;
    va_start(args, format);
    vsnprintf(h->reason, sizeof h->reason, format, args);
    va_end(args);
}

static void lost(struct pv_h2 *h, enum pv_stream_fault fault, const char *reason)
{
    note(h, fault, "%s", reason);
    pv_undefer(&h->failing);
    if (!h->closed)
        h->events->lost(h->arg, h->fault, h->reason); /* closes it */
}

static void run_failing(struct pv_deferred *d)
{
    struct pv_h2 *h = pv_container(d, struct pv_h2, failing);
    lost(h, h->fault, h->reason);
}

/* ---- out ---- */

/* What nghttp2 has to say goes to the stream's queue. It may call back meanwhile, and what it tells
 * may close the connection. False, with a note: it cannot. */
static bool write_out(struct pv_h2 *h)
{
    const uint8_t *bytes;
    ssize_t n;
    bool outer = h->inside;
    h->inside = true;
    while ((n = nghttp2_session_mem_send(h->session, &bytes)) > 0) {
        if (pv_stream_write(h->stream, bytes, (size_t)n))
            continue;
        if (!h->closed)
            note(h, PV_STREAM_FULL, "the server does not read");
        break;
    }
    h->inside = outer;
    if (h->closed)
        return true;
    if (n < 0)
        note(h, PV_STREAM_NO_MEMORY, "%s", nghttp2_strerror((int)n));
    return n == 0;
}

/* From a call of the owner, who may not be called back now. */
static void write_or_fail_later(struct pv_h2 *h)
{
    if (h->inside) /* written when it returns */
        return;
    bool good = write_out(h);
    if (h->closed)
        destroy(h);
    else if (!good)
        pv_defer(h->loop, &h->failing, run_failing);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t capacity,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    (void)session, (void)id, (void)arg;
    struct request *r = source->ptr;
    size_t n = r->length - r->sent < capacity ? r->length - r->sent : capacity;
    memcpy(out, r->body + r->sent, n);
    r->sent += n;
    if (r->sent == r->length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv field(const char *name, const char *value, uint8_t flags)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .namelen = strlen(name),
        .value = (uint8_t *)(uintptr_t)value,
        .valuelen = strlen(value),
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | flags,
    };
}

static int32_t submit(struct pv_h2 *h, struct request *r, const struct pv_h2_request *what)
{
    const nghttp2_data_provider body = {.source.ptr = r, .read_callback = read_body};
    bool get = !what->body;
    char length[16];
    snprintf(length, sizeof length, "%zu", what->length);
    /* The question stands in the path of a GET: never in a table that outlives it [W4]. */
    const nghttp2_nv fields[] = {
        field(":method", get ? "GET" : "POST", NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        field(":scheme", what->scheme, NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        field(":authority", what->authority, 0),
        field(":path", what->path, get ? NGHTTP2_NV_FLAG_NO_INDEX : 0),
        field("accept", what->type, NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        field("content-type", what->type, NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        field("content-length", length, 0),
    };
    size_t count = sizeof fields / sizeof *fields;
    return nghttp2_submit_request(h->session, NULL, fields, get ? count - 2 : count,
                                  get ? NULL : &body, r);
}

bool pv_h2_send(struct pv_h2 *h, const struct pv_h2_request *what, void *owner, uint32_t *ret_id)
{
    size_t length = what->body ? what->length : 0;
    struct request *r = calloc(1, sizeof *r + length);
    if (!r)
        return false;
    r->h2 = h;
    r->owner = owner;
    r->length = length;
    pv_h2_response_init(&r->response);
    if (length)
        memcpy(r->body, what->body, length);
    pv_list_append(&h->requests, &r->link);
    h->count[r->state]++;
    r->id = submit(h, r, what);
    if (r->id < 0) {
        request_free(r);
        return false;
    }
    *ret_id = (uint32_t)r->id;
    write_or_fail_later(h);
    return true;
}

/* Where nghttp2 has not sent it yet, it does not know it yet. */
static struct request *find(const struct pv_h2 *h, int32_t id)
{
    struct request *r = nghttp2_session_get_stream_user_data(h->session, id);
    pv_list_each (it, &h->requests) {
        if (r)
            break;
        if (pv_container(it, struct request, link)->id == id)
            r = pv_container(it, struct request, link);
    }
    return r;
}

void pv_h2_drop(struct pv_h2 *h, uint32_t id)
{
    struct request *r = find(h, (int32_t)id);
    if (PV_BUG_IF(!r) || r->state != AWAITED)
        return;
    become(r, DROPPED);
    if (h->count[DROPPED] <= h->streams / 2)
        return;
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    write_or_fail_later(h);
}

void pv_h2_ping(struct pv_h2 *h)
{
    if (nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) == 0)
        write_or_fail_later(h);
}

unsigned pv_h2_room(const struct pv_h2 *h)
{
    unsigned used = h->count[AWAITED] + h->count[DROPPED] + h->count[ENDED];
    if (!h->session || h->leaving || used >= h->streams ||
        !nghttp2_session_check_request_allowed(h->session) ||
        pv_stream_unsent(h->stream) > OUT_CROWDED)
        return 0;
    return h->streams - used;
}

unsigned pv_h2_streams(const struct pv_h2 *h)
{
    return h->streams;
}

unsigned pv_h2_awaited(const struct pv_h2 *h)
{
    return h->count[AWAITED];
}

const struct pv_tls_facts *pv_h2_tls_facts(const struct pv_h2 *h)
{
    return pv_stream_tls_facts(h->stream);
}

/* ---- in: what nghttp2 tells ---- */

static struct request *request_of(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static void fail(struct request *r, enum pv_h2_fault fault, const char *reason)
{
    struct pv_h2 *h = r->h2;
    enum state before = r->state;
    become(r, ENDED);
    if (before == AWAITED && !h->closed)
        h->events->failed(h->arg, r->owner, fault, reason);
}

/* Our own end of a stream: it stays until nghttp2 has closed it. */
static void reset(struct request *r, const char *reason)
{
    nghttp2_submit_rst_stream(r->h2->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    fail(r, PV_H2_RESET, reason);
}

static bool is_within_budget(struct pv_h2 *h)
{
    const char *exceeded = pv_h2_budget_exceeded(&h->budget);
    if (exceeded)
        note(h, PV_STREAM_BROKEN, "%s", exceeded);
    return !exceeded;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
    struct pv_h2 *h = arg;
    (void)session;
    if (h->closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (hd->type == NGHTTP2_HEADERS || (hd->type == NGHTTP2_DATA && hd->length > 0))
        return 0;
    pv_h2_budget_frame(&h->budget);
    return is_within_budget(h) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2 calls the first block of fields the response, an informational one too. */
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct request *r = request_of(session, frame->hd.stream_id);
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
    struct request *r = request_of(session, frame->hd.stream_id);
    (void)flags;
    if (h->closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!r || r->state == ENDED ||
        pv_h2_response_field(&r->response, name, name_length, value, value_length))
        return 0;
    fail(r, PV_H2_RESET, "a response with too many header fields");
    if (h->closed || ++h->oversized < OVERSIZED_MOST)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    note(h, PV_STREAM_BROKEN, "responses with too many header fields");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *arg)
{
    struct pv_h2 *h = arg;
    struct request *r = request_of(session, id);
    (void)flags;
    if (h->closed)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!r || r->state == ENDED)
        return 0;
    switch (pv_h2_response_add(&r->response, bytes, n)) {
    case PV_H2_TOO_LARGE:
        reset(r, "a response of more than 65535 octets");
        break;
    case PV_H2_NO_MEMORY:
        reset(r, "no memory for a response");
        break;
    case PV_H2_ADDED:
        pv_h2_budget_body(&h->budget, n);
        break;
    }
    return 0;
}

/* A server may answer before it has read the request: then the rest is not sent any more, or the
 * stream would stay until its window opens. */
static void complete(struct pv_h2 *h, struct request *r)
{
    enum state before = r->state;
    pv_h2_budget_response(&h->budget);
    if (r->sent < r->length)
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    become(r, ENDED);
    if (before == AWAITED)
        h->events->response(h->arg, r->owner, &r->response);
    else if (before == DROPPED)
        h->events->alive(h->arg);
    pv_h2_response_done(&r->response);
}

static void on_settings(struct pv_h2 *h)
{
    uint32_t most =
        nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    unsigned before = h->streams;
    h->streams = most < STREAMS_MOST ? most : STREAMS_MOST;
    if (h->streams != before)
        h->events->room(h->arg);
}

static void leave(struct pv_h2 *h)
{
    if (h->leaving)
        return;
    h->leaving = true;
    h->events->leaving(h->arg);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct pv_h2 *h = arg;
    struct request *r = request_of(session, frame->hd.stream_id);
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
        break;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            on_settings(h);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            h->events->alive(h->arg);
        break;
    case NGHTTP2_GOAWAY:
        leave(h);
        break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct pv_h2 *h = arg;
    struct request *r = request_of(session, id);
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
    request_free(r);
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

/* ---- in: from the stream ---- */

static enum pv_stream_fault fault_of(int error)
{
    return error == NGHTTP2_ERR_NOMEM ? PV_STREAM_NO_MEMORY : PV_STREAM_BROKEN;
}

/* False, with a note: it is over; the session is never fed again. */
static bool feed(struct pv_h2 *h, struct pv_buf *in)
{
    size_t n = pv_buf_length(in);
    pv_h2_budget_octets(&h->budget, pv_now(h->loop), n);
    ssize_t taken = nghttp2_session_mem_recv(h->session, pv_buf_front(in), n);
    if (taken < 0)
        note(h, fault_of((int)taken), "%s", nghttp2_strerror((int)taken));
    pv_buf_consume(in, n);
    return is_within_budget(h) && !h->fault;
}

static void received(void *arg, struct pv_buf *in)
{
    struct pv_h2 *h = arg;
    h->inside = true; /* what is told in here may close it */
    bool good = feed(h, in) && write_out(h);
    if (good && !h->closed && nghttp2_session_get_next_stream_id(h->session) > INT32_MAX)
        leave(h);
    h->inside = false;
    if (h->closed)
        destroy(h);
    else if (!good)
        lost(h, h->fault, h->reason);
    else if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
        lost(h, h->leaving ? PV_STREAM_CLOSED : PV_STREAM_BROKEN,
             h->leaving ? "closed by the server" : "HTTP/2 protocol error");
    else if (h->count[AWAITED] > 0)
        pv_stream_expect(h->stream, h->count[AWAITED]);
}

static void stream_lost(void *arg, enum pv_stream_fault fault, const char *reason)
{
    lost(arg, fault, reason);
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

static bool begin_session(struct pv_h2 *h)
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

static void opened(void *arg)
{
    struct pv_h2 *h = arg;
    if (!begin_session(h) || !write_out(h))
        lost(h, PV_STREAM_NO_MEMORY, "no memory");
    else
        h->events->opened(h->arg);
}

struct pv_h2 *pv_h2_open(struct pv_loop *loop, const struct pv_stream_options *options,
                         unsigned streams, const struct pv_h2_events *events, void *arg)
{
    static const struct pv_stream_events stream_events = {opened, received, stream_lost};
    struct pv_stream_options o = *options;
    struct pv_h2 *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->loop = loop;
    h->events = events;
    h->arg = arg;
    h->streams = streams;
    pv_list_init(&h->requests);
    o.in_limit = IN_LIMIT;
    o.out_limit = OUT_LIMIT;
    h->stream = pv_stream_open(loop, &o, &stream_events, h);
    if (!h->stream) {
        free(h);
        return NULL;
    }
    return h;
}

void pv_h2_close(struct pv_h2 *h)
{
    if (!h || h->closed)
        return;
    h->closed = true;
    if (h->session && !h->inside && !h->fault) {
        nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
        write_out(h);
    }
    pv_stream_close(h->stream);
    if (!h->inside)
        destroy(h);
}
