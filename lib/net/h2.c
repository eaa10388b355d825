#include "net/h2_session.h"

#include <string.h>

enum {
    IN_LIMIT = 256 * 1024,
    OUT_LIMIT = 256 * 1024,   /* unsent octets; the peer does not read */
    OUT_CROWDED = 128 * 1024, /* take no more from here on */
};

/* ---- the end ---- */

static void destroy(struct pv_h2 *h)
{
    nghttp2_session_del(h->session); /* calls nothing of ours */
    pv_list_each_safe (it, &h->requests)
        pv_h2_stream_free(pv_container(it, struct pv_h2_stream, link));
    pv_undefer(&h->failing);
    free(h);
}

static void lost(struct pv_h2 *h, enum pv_stream_fault fault, const char *reason)
{
    pv_h2_note(h, fault, "%s", reason);
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
            pv_h2_note(h, PV_STREAM_FULL, "the server does not read");
        break;
    }
    h->inside = outer;
    if (h->closed)
        return true;
    if (n < 0)
        pv_h2_note(h, PV_STREAM_NO_MEMORY, "%s", nghttp2_strerror((int)n));
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
    struct pv_h2_stream *r = source->ptr;
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

static int32_t submit(struct pv_h2 *h, struct pv_h2_stream *r, const struct pv_h2_request *what)
{
    const nghttp2_data_provider body = {.source.ptr = r, .read_callback = read_body};
    bool get = !what->body;
    char length[16];
    snprintf(length, sizeof length, "%zu", what->length);
    /* The question stands in the path of a GET: never in a table that outlives it. */
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
    struct pv_h2_stream *r = calloc(1, sizeof *r + length);
    if (!r)
        return false;
    r->h2 = h;
    r->owner = owner;
    r->begun = pv_now(h->loop);
    r->length = length;
    pv_h2_response_init(&r->response);
    if (length)
        memcpy(r->body, what->body, length);
    pv_list_append(&h->requests, &r->link);
    h->count[r->state]++;
    r->id = submit(h, r, what);
    if (r->id < 0) {
        pv_h2_stream_free(r);
        return false;
    }
    *ret_id = (uint32_t)r->id;
    write_or_fail_later(h);
    return true;
}

/* Where nghttp2 has not sent it yet, it does not know it yet. */
static struct pv_h2_stream *find(const struct pv_h2 *h, int32_t id)
{
    struct pv_h2_stream *r = nghttp2_session_get_stream_user_data(h->session, id);
    pv_list_each (it, &h->requests) {
        if (r)
            break;
        if (pv_container(it, struct pv_h2_stream, link)->id == id)
            r = pv_container(it, struct pv_h2_stream, link);
    }
    return r;
}

void pv_h2_drop(struct pv_h2 *h, uint32_t id)
{
    struct pv_h2_stream *r = find(h, (int32_t)id);
    if (PV_BUG_IF(!r) || r->state != PV_H2_AWAITED)
        return;
    pv_h2_stream_become(r, PV_H2_DROPPED);
    pv_h2_response_forget(&r->response);
    if (h->count[PV_H2_DROPPED] <= h->streams / 2)
        return;
    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    write_or_fail_later(h);
}

static bool is_held(const struct pv_h2_stream *r)
{
    return r->state != PV_H2_ENDED && r->sent < r->length;
}

uint64_t pv_h2_held_since(const struct pv_h2 *h)
{
    pv_list_each (it, &h->requests) {
        const struct pv_h2_stream *r = pv_container(it, struct pv_h2_stream, link);
        if (is_held(r))
            return r->begun;
    }
    return 0;
}

bool pv_h2_is_held(const struct pv_h2 *h, uint32_t id)
{
    const struct pv_h2_stream *r = find(h, (int32_t)id);
    return r && is_held(r);
}

void pv_h2_take_back_held(struct pv_h2 *h)
{
    h->inside = true; /* what is told in here may close it */
    pv_list_each_safe (it, &h->requests) {
        struct pv_h2_stream *r = pv_container(it, struct pv_h2_stream, link);
        if (is_held(r) && !h->closed)
            pv_h2_stream_reset(r, PV_H2_HELD, "held back by the server's limits");
    }
    h->inside = false;
    if (h->closed)
        destroy(h);
    else
        write_or_fail_later(h);
}

void pv_h2_ping(struct pv_h2 *h)
{
    if (nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) == 0)
        write_or_fail_later(h);
}

unsigned pv_h2_room(const struct pv_h2 *h, size_t body)
{
    unsigned used = h->count[PV_H2_AWAITED] + h->count[PV_H2_DROPPED] + h->count[PV_H2_ENDED];
    if (!h->session || h->leaving || used >= h->streams ||
        !nghttp2_session_check_request_allowed(h->session) ||
        pv_stream_unsent(h->stream) > OUT_CROWDED)
        return 0;
    int32_t window = nghttp2_session_get_remote_window_size(h->session);
    size_t bodies = window < 0 ? 0 : (size_t)window / (body ? body : 1);
    unsigned most = h->streams - used;
    return body && bodies < most ? (unsigned)bodies : most;
}

unsigned pv_h2_streams(const struct pv_h2 *h)
{
    return h->streams;
}

unsigned pv_h2_awaited(const struct pv_h2 *h)
{
    return h->count[PV_H2_AWAITED];
}

const struct pv_tls_facts *pv_h2_tls_facts(const struct pv_h2 *h)
{
    return pv_stream_tls_facts(h->stream);
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
        pv_h2_note(h, fault_of((int)taken), "%s", nghttp2_strerror((int)taken));
    pv_buf_consume(in, n);
    return pv_h2_is_within_budget(h) && !h->fault;
}

static void received(void *arg, struct pv_buf *in)
{
    struct pv_h2 *h = arg;
    h->inside = true; /* what is told in here may close it */
    bool good = feed(h, in) && write_out(h);
    if (good && !h->closed && nghttp2_session_get_next_stream_id(h->session) > INT32_MAX)
        pv_h2_leave(h);
    h->inside = false;
    if (h->closed)
        destroy(h);
    else if (!good)
        lost(h, h->fault, h->reason);
    else if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session))
        lost(h, h->leaving ? PV_STREAM_CLOSED : PV_STREAM_BROKEN,
             h->leaving ? "closed by the server" : "HTTP/2 protocol error");
    else if (h->count[PV_H2_AWAITED] > 0)
        pv_stream_expect(h->stream, h->count[PV_H2_AWAITED]);
}

static void stream_lost(void *arg, enum pv_stream_fault fault, const char *reason)
{
    lost(arg, fault, reason);
}

/* ---- beginning ---- */

static void opened(void *arg)
{
    struct pv_h2 *h = arg;
    if (!pv_h2_session_begin(h) || !write_out(h))
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
