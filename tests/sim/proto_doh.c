/* DNS over HTTPS on HTTP/2 [RFC 8484; RFC 9113]: nghttp2's server. */
#include "session.h"

#include "memory.h"
#include "report.h"

#include <nghttp2/nghttp2.h>
#include <sodium.h>

enum { STREAMS = 100, WINDOW = 65535, QUERY_MOST = 2048 };

enum request_field {
    F_METHOD = 1 << 0,
    F_SCHEME = 1 << 1,
    F_AUTHORITY = 1 << 2,
    F_PATH = 1 << 3,
    F_ACCEPT = 1 << 4,
    F_TYPE = 1 << 5,
    F_LENGTH = 1 << 6,
    GET_FIELDS = F_METHOD | F_SCHEME | F_AUTHORITY | F_PATH | F_ACCEPT,
    POST_FIELDS = GET_FIELDS | F_TYPE | F_LENGTH,
};

/* A request, and its response. */
struct stream {
    struct pv_list link; /* h2->streams */
    int32_t id;
    unsigned fields;
    size_t query_length;
    uint8_t query[QUERY_MOST];
    uint8_t *body;
    size_t length, sent, step; /* step: octets a frame; 0: any number */
    size_t stalls_at;          /* no octet beyond; 0: it does not */
};

struct h2 {
    struct session *session;
    nghttp2_session *nghttp2;
    struct pv_list streams;
    uint32_t limit, window; /* as last told */
};

#define STREAM(it) pv_container(it, struct stream, link)

static struct stream *find(struct h2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->nghttp2, id);
}

static void stream_free(struct stream *t)
{
    pv_list_remove(&t->link);
    own_free(t->body);
    own_free(t);
}

/* ---- requests ---- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    struct stream *t = own_alloc(sizeof *t);
    t->id = frame->hd.stream_id;
    pv_list_append(&h->streams, &t->link);
    nghttp2_session_set_stream_user_data(session, t->id, t);
    return 0;
}

/* A GET has its question in the path. */
static void read_path(struct stream *t, const char *path, size_t length)
{
    static const char post[] = "/dns-query", get[] = "/dns-query?dns=";
    size_t skip = sizeof get - 1;
    if (length == sizeof post - 1 && memcmp(path, post, length) == 0)
        return;
    must(length > skip && memcmp(path, get, skip) == 0, "a request for another path");
    must(sodium_base642bin(t->query, QUERY_MOST, path + skip, length - skip, NULL, &t->query_length,
                           NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0,
         "a request without base64url");
}

/* What tells more than the few that are needed tells who asks. */
static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_length, const uint8_t *value, size_t length, uint8_t flags,
                    void *arg)
{
    static const char *const names[] = {":method", ":scheme",      ":authority",    ":path",
                                        "accept",  "content-type", "content-length"};
    struct stream *t = find(arg, frame->hd.stream_id);
    (void)session;
    (void)flags;
    unsigned i = 0;
    while (i < 7 && (strlen(names[i]) != name_length || memcmp(names[i], name, name_length) != 0))
        i++;
    must(i < 7, "a request says %.*s", (int)name_length, (const char *)name);
    t->fields |= 1U << i;
    if (1U << i == F_PATH)
        read_path(t, (const char *)value, length);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t n, void *arg)
{
    struct stream *t = find(arg, id);
    (void)session;
    (void)flags;
    must(n <= QUERY_MOST - t->query_length, "a request with too large a body");
    memcpy(t->query + t->query_length, bytes, n);
    t->query_length += n;
    return 0;
}

static void take_request(struct h2 *h, struct stream *t)
{
    const struct origin from = {.session = h->session, .stream = t->id};
    must(t->fields == GET_FIELDS || t->fields == POST_FIELDS, "a request says %x", t->fields);
    must(t->query_length > PV_HEADER && pv_get16(t->query) == 0, "a request whose id is not 0");
    answer_question(h->session->server, &from, t->query, t->query_length);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    bool request = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    struct stream *t = request ? find(h, frame->hd.stream_id) : NULL;
    (void)session;
    if (t && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        take_request(h, t);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct stream *t = find(arg, id);
    (void)session;
    (void)code;
    if (t)
        stream_free(t);
    return 0;
}

/* More streams than were told of are none: it may not have heard. */
static int on_invalid(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
    (void)session;
    (void)arg;
    must(error == NGHTTP2_ERR_REFUSED_STREAM, "a frame of type %u is against the rules: %s",
         frame->hd.type, nghttp2_strerror(error));
    return 0;
}

/* ---- octets ---- */

static bool is_over(const struct h2 *h)
{
    return !nghttp2_session_want_read(h->nghttp2) && !nghttp2_session_want_write(h->nghttp2);
}

static void flush(struct h2 *h, size_t step, uint64_t gap_us)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(h->nghttp2, &bytes)) > 0)
        session_put(h->session, bytes, (size_t)n, step, gap_us);
}

static void tell_limits(struct session *s)
{
    const struct mood *m = &s->server->mood;
    struct h2 *h = s->state;
    uint32_t limit = m->shut ? 0 : m->narrow ? 1 : STREAMS, window = m->no_window ? 0 : WINDOW;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limit},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
    };
    if (h->limit == limit && h->window == window)
        return;
    h->limit = limit;
    h->window = window;
    nghttp2_submit_settings(h->nghttp2, NGHTTP2_FLAG_NONE, entries, 2);
}

static void mood_changed(struct session *s)
{
    tell_limits(s);
    if (s->ssl && SSL_is_init_finished(s->ssl))
        flush(s->state, 0, 0);
}

static bool take(struct session *s, const uint8_t *bytes, size_t n)
{
    struct h2 *h = s->state;
    ssize_t taken = nghttp2_session_mem_recv(h->nghttp2, bytes, n);
    must(taken == (ssize_t)n, "HTTP/2 is broken: %s", nghttp2_strerror((int)taken));
    flush(h, 0, 0);
    return !is_over(h);
}

static void begin(struct session *s)
{
    struct h2 *h = s->state;
    nghttp2_session_callbacks *c;
    h->session = s;
    h->limit = UINT32_MAX;
    pv_list_init(&h->streams);
    if (nghttp2_session_callbacks_new(&c) != 0)
        broken("no memory for HTTP/2");
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(c, on_field);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid);
    if (nghttp2_session_server_new(&h->nghttp2, c, h) != 0)
        broken("no memory for HTTP/2");
    nghttp2_session_callbacks_del(c);
    tell_limits(s);
}

static void end(struct session *s)
{
    struct h2 *h = s->state;
    nghttp2_session_del(h->nghttp2);
    pv_list_each_safe (it, &h->streams)
        stream_free(STREAM(it));
}

static void say_goodbye(struct session *s)
{
    struct h2 *h = s->state;
    nghttp2_session_terminate_session(h->nghttp2, NGHTTP2_NO_ERROR);
    flush(h, 0, 0);
}

/* ---- responses ---- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t capacity,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct stream *t = source->ptr;
    size_t most = t->stalls_at ? t->stalls_at : t->length, n = most - t->sent;
    (void)session;
    (void)id;
    (void)arg;
    if (n == 0 && t->stalls_at)
        return NGHTTP2_ERR_DEFERRED;
    n = n < capacity ? n : capacity;
    n = t->step && n > t->step ? t->step : n;
    if (n)
        memcpy(out, t->body + t->sent, n);
    t->sent += n;
    if (t->sent == t->length)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* more: NULL, or a field with a number. */
static void respond(struct h2 *h, struct stream *t, const char *status, const char *type,
                    const char *more, unsigned number, const void *body, size_t length)
{
    char text[16];
    snprintf(text, sizeof text, "%u", number);
    const nghttp2_nv fields[] = {field(":status", status), field("content-type", type),
                                 field(more ? more : "", text)};
    const nghttp2_data_provider data = {.source.ptr = t, .read_callback = read_body};
    t->body = own_alloc(length);
    memcpy(t->body, body, length);
    t->length = length;
    nghttp2_submit_response(h->nghttp2, t->id, fields, more ? 3 : 2, &data);
}

static void answer(struct h2 *h, struct stream *t, const struct reply *r, const uint8_t *message,
                   size_t n)
{
    const uint32_t age = r->wording.age;
    respond(h, t, "200", "application/dns-message", age ? "age" : NULL, age, message, n);
}

/* In the middle of a frame: what follows is taken for its rest. */
static void put_half_frame(struct session *s, const struct stream *t, const uint8_t *message)
{
    uint8_t bytes[9 + 4] = {0, 1, 0, NGHTTP2_DATA};
    pv_put32(bytes + 5, (uint32_t)t->id);
    memcpy(bytes + 9, message, 4);
    s->out_of_step = true;
    session_put(s, bytes, 9 + roll(&s->server->dice, 5), 0, 0);
}

static bool bring_half(struct reply *r, struct stream *t, const uint8_t *message, size_t n)
{
    struct session *s = r->from.session;
    struct h2 *h = s->state;
    if (roll(&r->server->dice, 2)) {
        put_half_frame(s, t, message);
    } else {
        t->stalls_at = 1 + roll(&r->server->dice, (unsigned)n - 1);
        answer(h, t, r, message, n);
        flush(h, 0, 0);
    }
    if (r->manner == BY_HALF)
        return true;
    session_end(s, r->manner == BY_HALF_RESET ? NET_RESET : NET_CLOSE);
    return false;
}

/* Of a kind that a server never sends: so much for the connection. */
static void put_unasked(struct session *s, int32_t stream)
{
    uint8_t frame[9] = {0, 0, 0, NGHTTP2_DATA};
    pv_put32(frame + 5, (uint32_t)stream);
    s->lied = true;
    session_put(s, frame, sizeof frame, 0, 0);
}

static void bring_status(struct reply *r, struct stream *t)
{
    static const char *const statuses[] = {"503", "503", "500", "502", "429", "404", "400",
                                           "403", "301", "415", "413", "405", "204"};
    struct server *server = r->server;
    const char *status = statuses[roll(&server->dice, 13)];
    unsigned wait = roll(&server->dice, 3);
    bool says = (status[0] == '5' || status[2] == '9') && roll(&server->dice, 2);
    if (says) /* on the way for some time */
        server->rests_until = now_of(server) + (wait + 3) * S;
    r->from.session->lied |= status[0] == '2';
    respond(r->from.session->state, t, status, "text/plain", says ? "retry-after" : NULL, wait,
            "no", 2);
}

static void bring_goodbye(struct reply *r, struct stream *t, const uint8_t *message, size_t n)
{
    struct h2 *h = r->from.session->state;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->nghttp2);
    bool before = roll(&r->server->dice, 2);
    /* Closes those above by itself. */
    nghttp2_submit_goaway(h->nghttp2, NGHTTP2_FLAG_NONE, before ? t->id - 1 : last,
                          NGHTTP2_NO_ERROR, NULL, 0);
    if (!before)
        answer(h, t, r, message, n);
}

/* False: the session is gone. */
static bool bring_on(struct reply *r, struct stream *t, uint8_t *message, size_t n)
{
    struct session *s = r->from.session;
    struct h2 *h = s->state;
    struct dice *d = &r->server->dice;
    switch (r->manner) {
    case BY_PIECES:
        t->step = 1 + roll(d, 100);
        answer(h, t, r, message, n);
        break;
    case BY_DRIPS:
        s->out_of_step = true; /* what follows waits for its end */
        answer(h, t, r, message, n);
        flush(h, 1 + roll(d, 3), 100 * MS + roll(d, 400 * MS));
        break;
    case BY_HALF:
    case BY_HALF_CLOSE:
    case BY_HALF_RESET:
        return bring_half(r, t, message, n);
    case BY_CLOSE:
    case BY_RESET:
        session_end(s, r->manner == BY_RESET ? NET_RESET : NET_CLOSE);
        return false;
    case BY_TWICE: /* the second without the first */
    case BY_UNASKED:
    case BY_SHORT_FRAME:
        put_unasked(s, r->manner == BY_UNASKED ? t->id + 1000 : 0);
        break;
    case BY_REFUSED_STREAM:
    case BY_RESET_STREAM:
        nghttp2_submit_rst_stream(h->nghttp2, NGHTTP2_FLAG_NONE, t->id,
                                  r->manner == BY_RESET_STREAM ? NGHTTP2_INTERNAL_ERROR
                                                               : NGHTTP2_REFUSED_STREAM);
        break;
    case BY_GOAWAY:
        bring_goodbye(r, t, message, n);
        break;
    case BY_STATUS:
        bring_status(r, t);
        break;
    case BY_OTHER_TYPE:
        s->lied = true;
        respond(h, t, "200", "text/html", NULL, 0, "<html>", 6);
        break;
    default:
        answer(h, t, r, message, n);
        break;
    }
    return true;
}

static bool bring(struct reply *r, uint8_t *message, size_t n)
{
    struct session *s = r->from.session;
    struct h2 *h = s->state;
    struct stream *t = find(h, r->from.stream);
    if (!t)
        return true; /* reset meanwhile */
    if (!bring_on(r, t, message, n))
        return false;
    flush(h, 0, 0);
    if (!is_over(h))
        return true;
    session_end(s, NET_CLOSE);
    return false;
}

const struct protocol protocol_doh = {
    .word = "doh",
    .port = 443,
    .tls = true,
    .alpn = "h2",
    .manners = STREAM_MANNERS | H2_MANNERS,
    .state_size = sizeof(struct h2),
    .begin = begin,
    .end = end,
    .take = take,
    .bring = bring,
    .mood_changed = mood_changed,
    .say_goodbye = say_goodbye,
};
