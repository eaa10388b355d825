/* An HTTP/2 connection against a server of nghttp2's, and against frames that no server should
 * send. */
#include "unit.h"

#include "h2_server.h"

#include "net/h2.h"

#include <errno.h>
#include <stdlib.h>

enum { STREAMS_FIRST = 4, REQUESTS = 64 };
enum event { OPENED, RESPONSE, FAILED, ALIVE, ROOM, LEAVING, LOST, EVENTS };

struct asked {
    uint32_t id;
    unsigned ends; /* never more than one */
    unsigned status;
    size_t length;
    char body[64];
    enum pv_h2_fault fault;
    bool failed;
    unsigned rank; /* among those that failed */
};

static struct world world;
static struct server server;
static struct pv_h2 *h2;
static struct asked asked[REQUESTS];
static unsigned seen[EVENTS];
static enum event closes_in; /* this one closes it; EVENTS: none but the loss */
static enum pv_stream_fault fault;
static char reason[128];
static int32_t first_id;      /* other than 1 */
static unsigned asks_in_room; /* this one, once; 0: none */

/* ---- what it tells ---- */

static void close_it(void)
{
    pv_h2_close(h2);
    h2 = NULL;
}

static void tells(enum event e)
{
    assert_non_null(h2); /* nothing after the end */
    seen[e]++;
    if (e == closes_in || e == LOST)
        close_it();
}

static void opened(void *arg)
{
    (void)arg;
    tells(OPENED);
}

static void response(void *arg, void *request, const struct pv_h2_response *r)
{
    struct asked *a = request;
    (void)arg;
    assert_int_equal(a->ends++, 0);
    a->status = r->status;
    a->length = r->length;
    snprintf(a->body, sizeof a->body, "%.*s", (int)r->length, r->body ? (char *)r->body : "");
    tells(RESPONSE);
}

static void failed(void *arg, void *request, enum pv_h2_fault why, const char *text)
{
    struct asked *a = request;
    (void)arg;
    assert_int_equal(a->ends++, 0);
    a->failed = true;
    a->rank = seen[FAILED];
    a->fault = why;
    assert_true(text[0]);
    tells(FAILED);
}

static void alive(void *arg)
{
    (void)arg;
    tells(ALIVE);
}

static void ask(unsigned n, const char *body);

static void room_changed(void *arg)
{
    (void)arg;
    unsigned n = asks_in_room;
    asks_in_room = 0;
    if (n && pv_h2_room(h2, 0) > 0)
        ask(n, NULL);
    tells(ROOM);
}

static void leaving(void *arg)
{
    (void)arg;
    tells(LEAVING);
}

static void lost(void *arg, enum pv_stream_fault why, const char *text)
{
    (void)arg;
    fault = why;
    snprintf(reason, sizeof reason, "%s", text);
    tells(LOST);
}

/* ---- a connection ---- */

int __real_nghttp2_session_client_new2(nghttp2_session **, const nghttp2_session_callbacks *,
                                       void *, const nghttp2_option *);
int __wrap_nghttp2_session_client_new2(nghttp2_session **, const nghttp2_session_callbacks *,
                                       void *, const nghttp2_option *);

int __wrap_nghttp2_session_client_new2(nghttp2_session **ret, const nghttp2_session_callbacks *c,
                                       void *arg, const nghttp2_option *o)
{
    int result = __real_nghttp2_session_client_new2(ret, c, arg, o);
    if (result == 0 && first_id)
        nghttp2_session_set_next_stream_id(*ret, first_id);
    return result;
}

static int begin(void **state)
{
    (void)state;
    world_init(&world);
    world.calm = true;
    memset(asked, 0, sizeof asked);
    memset(seen, 0, sizeof seen);
    asks_in_room = 0;
    closes_in = EVENTS;
    fault = PV_STREAM_FINE;
    reason[0] = '\0';
    first_id = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    close_it();
    world_settle(&world);
    world_done(&world);
    server_end(&server);
    return 0;
}

static void open_it(void)
{
    static const struct pv_h2_events events = {opened,       response, failed, alive,
                                               room_changed, leaving,  lost};
    struct pv_addr address;
    const struct pv_stream_options options = {.addresses = &address, .address_count = 1};
    assert_true(pv_addr_parse("192.0.2.1:443", 13, 0, &address));
    h2 = pv_h2_open(world.loop, &options, STREAMS_FIRST, &events, NULL);
    assert_non_null(h2);
}

static void start(uint32_t streams)
{
    open_it();
    server_begin(&server, world_sock(&world, 0), streams);
    server_runs(&server);
    assert_int_equal(seen[OPENED], 1);
}

static void ask(unsigned n, const char *body)
{
    const struct pv_h2_request what = {.scheme = "https",
                                       .type = "application/dns-message",
                                       .authority = "dns.example:8443",
                                       .path = body ? "/dns-query" : "/dns-query?dns=AAAB",
                                       .body = (const uint8_t *)body,
                                       .length = body ? strlen(body) : 0};
    assert_true(pv_h2_room(h2, 0) > 0);
    assert_true(pv_h2_send(h2, &what, &asked[n], &asked[n].id));
}

/* All requests, without a turn in between. */
static void ask_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ask(i, "a question");
    server_runs(&server);
    assert_int_equal(server.count, count);
}

static void runs(void)
{
    server_runs(&server);
}

/* ---- requests ---- */

static void post_and_get(void **state)
{
    (void)state;
    start(100);
    ask(0, "a question");
    ask(1, NULL);
    runs();
    assert_int_equal(server.count, 2);
    assert_string_equal(server.requests[0].fields, ":method: POST\n"
                                                   ":scheme: https\n"
                                                   ":authority: dns.example:8443\n"
                                                   ":path: /dns-query\n"
                                                   "accept: application/dns-message\n"
                                                   "content-type: application/dns-message\n"
                                                   "content-length: 10\n");
    assert_int_equal(server.requests[0].length, 10);
    assert_memory_equal(server.requests[0].body, "a question", 10);
    assert_string_equal(server.requests[1].fields, ":method: GET\n"
                                                   ":scheme: https\n"
                                                   ":authority: dns.example:8443\n"
                                                   ":path: /dns-query?dns=AAAB\n"
                                                   "accept: application/dns-message\n");
    assert_true(server.requests[0].whole && server.requests[1].whole);
    assert_false(server.requests[0].path_hidden);
    assert_true(server.requests[1].path_hidden);
    server_answers(&server, 1, "second");
    server_answers(&server, 0, "first");
    runs();
    assert_string_equal(asked[0].body, "first");
    assert_string_equal(asked[1].body, "second");
    assert_int_equal(asked[0].status, 200);
}

static void settings_are_small(void **state)
{
    (void)state;
    start(100);
    nghttp2_session *s = server.session;
    assert_int_equal(nghttp2_session_get_remote_settings(s, NGHTTP2_SETTINGS_ENABLE_PUSH), 0);
    assert_int_equal(nghttp2_session_get_remote_settings(s, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE),
                     65535);
    assert_int_equal(nghttp2_session_get_remote_settings(s, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE),
                     16384);
    assert_int_equal(nghttp2_session_get_remote_window_size(s), 1024 * 1024);
}

/* What one turn asks leaves together. */
static void one_write_for_all(void **state)
{
    (void)state;
    start(100);
    for (unsigned i = 0; i < 10; i++)
        ask(i, "a question");
    assert_int_equal(pv_buf_length(&server.sock->out), 0);
    world_settle(&world);
    assert_true(pv_buf_length(&server.sock->out) > 10 * (9 + 9 + 10));
    runs();
    assert_int_equal(server.count, 10);
}

/* ---- the limit ---- */

static void limit_is_respected(void **state)
{
    (void)state;
    open_it();
    assert_int_equal(pv_h2_room(h2, 0), 0);
    server_begin(&server, world_sock(&world, 0), 3);
    world_settle(&world);
    assert_int_equal(pv_h2_room(h2, 0), STREAMS_FIRST); /* it has not said anything yet */
    runs();
    assert_int_equal(pv_h2_streams(h2), 3);
    assert_int_equal(pv_h2_room(h2, 0), 3);
    ask_all(3);
    assert_int_equal(pv_h2_room(h2, 0), 0);
    server_answers(&server, 1, "x");
    runs();
    assert_int_equal(pv_h2_room(h2, 0), 1);
    unsigned before = seen[ROOM];
    server_limits(&server, 20);
    runs();
    assert_int_equal(seen[ROOM], before + 1);
    assert_int_equal(pv_h2_room(h2, 0), 18);
    server_limits(&server, 0);
    runs();
    assert_int_equal(pv_h2_room(h2, 0), 0);
    server_answers(&server, 0, "x");
    server_answers(&server, 2, "x");
    runs();
    assert_int_equal(seen[RESPONSE], 3);
    assert_int_equal(pv_h2_room(h2, 0), 0);
    server_limits(&server, 1);
    runs();
    assert_int_equal(pv_h2_room(h2, 0), 1);
    server_limits(&server, UINT32_MAX);
    runs();
    assert_in_range(pv_h2_room(h2, 0), 100, 1000);
}

/* Bodies that may not leave look like slow answers: which they are is known here only. */
static void held_by_a_window(void **state)
{
    (void)state;
    start(10);
    server_sets(&server, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    runs();
    ask(0, NULL);
    runs();
    assert_int_equal(pv_h2_held_since(h2), 0); /* without a body it is asked */
    uint64_t since = pv_now(world.loop);
    ask(1, "held");
    ask(2, "dropped");
    pv_h2_drop(h2, asked[2].id);
    runs();
    assert_int_equal(pv_h2_held_since(h2), since);
    assert_true(pv_h2_is_held(h2, asked[1].id));
    assert_false(pv_h2_is_held(h2, asked[0].id));
    pv_h2_take_back_held(h2);
    runs();
    assert_true(asked[1].failed);
    assert_int_equal(asked[1].fault, PV_H2_HELD);
    assert_int_equal(asked[2].ends, 0);
    assert_true(server.requests[1].was_reset && server.requests[2].was_reset);
    assert_int_equal(pv_h2_held_since(h2), 0);
    assert_int_equal(pv_h2_room(h2, 0), 9);
    server_answers(&server, 0, "x");
    runs();
    assert_int_equal(asked[0].status, 200);
}

/* The owner closes it when it is told of the first. */
static void taken_back_and_closed(void **state)
{
    (void)state;
    start(10);
    server_sets(&server, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    runs();
    ask(0, "held");
    ask(1, "held");
    closes_in = FAILED;
    pv_h2_take_back_held(h2);
    assert_null(h2);
    assert_int_equal(seen[FAILED], 1);
    runs();
}

/* What the connection's window lets out, a body each. */
static void window_is_room(void **state)
{
    (void)state;
    static const uint8_t more[4] = {0, 1, 0, 0};
    start(10);
    assert_int_equal(pv_h2_room(h2, 512), 10);
    assert_int_equal(pv_h2_room(h2, 30000), 2);
    assert_int_equal(pv_h2_room(h2, 65536), 0);
    assert_int_equal(pv_h2_room(h2, 0), 10);
    unsigned before = seen[ROOM];
    server_frame(&server, NGHTTP2_WINDOW_UPDATE, 0, 0, more, sizeof more);
    runs();
    assert_int_equal(seen[ROOM], before + 1);
    assert_int_equal(pv_h2_room(h2, 65536), 1);
}

/* It answers before it lets us send the question: that is no stream for ever, and nothing waits
 * behind it where nobody can take it back. */
static void answered_before_it_was_asked(void **state)
{
    (void)state;
    start(1);
    server_sets(&server, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    runs();
    ask_all(1);
    assert_false(server.requests[0].whole);
    server_answers(&server, 0, "early");
    runs();
    assert_string_equal(asked[0].body, "early");
    assert_true(server.requests[0].was_reset);
    assert_int_equal(pv_h2_room(h2, 0), 1);
    ask(1, NULL);
    pv_h2_drop(h2, asked[1].id); /* before it has left */
    runs();
    assert_int_equal(asked[1].ends, 0);
    assert_int_equal(pv_h2_room(h2, 0), 1);
}

/* In one piece: room for another, then none, and goodbye. What was asked in between is held back by
 * nghttp2, and fails when something else makes it write; that closes the connection. */
static void held_back_then_closed(void **state)
{
    (void)state;
    start(2);
    ask_all(2);
    asks_in_room = 2;
    nghttp2_submit_rst_stream(server.session, NGHTTP2_FLAG_NONE, server.requests[0].id,
                              NGHTTP2_REFUSED_STREAM);
    server_limits(&server, 1);
    nghttp2_submit_goaway(server.session, NGHTTP2_FLAG_NONE, server.requests[1].id,
                          NGHTTP2_NO_ERROR, NULL, 0);
    runs();
    assert_int_equal(asked[0].ends, 1);
    assert_int_equal(seen[LEAVING], 1);
    closes_in = FAILED;
    if (h2)
        pv_h2_drop(h2, asked[1].id);
    runs();
    assert_int_equal(asked[1].ends, 0);
}

/* ---- nobody waits any more ---- */

static void dropped_is_left_to_end(void **state)
{
    (void)state;
    start(8);
    ask_all(6);
    for (unsigned i = 0; i < 4; i++)
        pv_h2_drop(h2, asked[i].id);
    runs();
    for (unsigned i = 0; i < 4; i++)
        assert_false(server.requests[i].was_reset);
    assert_int_equal(pv_h2_room(h2, 0), 2);
    pv_h2_drop(h2, asked[4].id); /* more than half of what may be */
    runs();
    assert_true(server.requests[4].was_reset);
    assert_int_equal(server.requests[4].reset, NGHTTP2_CANCEL);
    assert_int_equal(pv_h2_room(h2, 0), 3);
    unsigned before = seen[ROOM];
    server_answers(&server, 0, "late");
    runs();
    assert_int_equal(seen[ALIVE], 1);
    assert_int_equal(seen[ROOM], before + 1);
    assert_int_equal(pv_h2_room(h2, 0), 4);
    server_answers(&server, 5, "awaited");
    runs();
    assert_int_equal(seen[RESPONSE], 1);
    assert_string_equal(asked[5].body, "awaited");
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(asked[i].ends, 0);
}

/* ---- the server ends something ---- */

static void goaway(void **state)
{
    (void)state;
    start(100);
    ask_all(3);
    nghttp2_submit_goaway(server.session, NGHTTP2_FLAG_NONE, server.requests[1].id,
                          NGHTTP2_NO_ERROR, NULL, 0);
    runs();
    assert_int_equal(seen[LEAVING], 1);
    assert_int_equal(pv_h2_room(h2, 0), 0);
    assert_int_equal(seen[FAILED], 1);
    assert_true(asked[2].failed);
    assert_int_equal(asked[2].fault, PV_H2_UNPROCESSED);
    server_answers(&server, 0, "x");
    runs();
    assert_int_equal(seen[RESPONSE], 1);
    assert_int_equal(seen[LOST], 0);
    server_answers(&server, 1, "x");
    runs();
    assert_int_equal(seen[RESPONSE], 2);
    assert_int_equal(seen[LEAVING], 1);
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_CLOSED);
}

/* Those that are left out are told in their order, so that the oldest may be the first again. */
static void left_out_in_order(void **state)
{
    (void)state;
    start(100);
    ask_all(50);
    nghttp2_submit_goaway(server.session, NGHTTP2_FLAG_NONE, server.requests[9].id,
                          NGHTTP2_NO_ERROR, NULL, 0);
    runs();
    assert_int_equal(seen[FAILED], 40);
    for (unsigned i = 10; i < 50; i++) {
        assert_int_equal(asked[i].fault, PV_H2_UNPROCESSED);
        assert_int_equal(asked[i].rank, i - 10);
    }
    assert_int_equal(pv_h2_awaited(h2), 10);
}

static void resets_have_their_faults(void **state)
{
    static const struct {
        uint32_t code;
        enum pv_h2_fault fault;
    } rows[] = {
        {NGHTTP2_REFUSED_STREAM, PV_H2_UNPROCESSED},
        {NGHTTP2_ENHANCE_YOUR_CALM, PV_H2_CALM},
        {NGHTTP2_NO_ERROR, PV_H2_RESET},
        {NGHTTP2_CANCEL, PV_H2_RESET},
        {NGHTTP2_INTERNAL_ERROR, PV_H2_RESET},
        {NGHTTP2_HTTP_1_1_REQUIRED, PV_H2_RESET},
        {0x77777777, PV_H2_RESET},
    };
    (void)state;
    start(100);
    unsigned count = sizeof rows / sizeof *rows;
    ask_all(count + 1);
    for (unsigned i = 0; i < count; i++)
        nghttp2_submit_rst_stream(server.session, NGHTTP2_FLAG_NONE, server.requests[i].id,
                                  rows[i].code);
    server_answers(&server, count, "the last");
    runs();
    for (unsigned i = 0; i < count; i++) {
        assert_true(asked[i].failed);
        assert_int_equal(asked[i].fault, rows[i].fault);
    }
    assert_string_equal(asked[count].body, "the last");
    assert_int_equal(pv_h2_room(h2, 0), 100);
}

static void closed_in_the_middle(void **state)
{
    (void)state;
    start(100);
    ask_all(2);
    server_answers(&server, 0, "x");
    runs();
    server.sock->ended = true;
    runs();
    assert_int_equal(seen[RESPONSE], 1);
    assert_int_equal(seen[FAILED], 0); /* lost is for all of them */
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_CLOSED);
}

static void nobody_there(void **state)
{
    (void)state;
    world.calm = false;
    open_it();
    world_sock(&world, 0)->error = ECONNREFUSED;
    world_settle(&world);
    assert_int_equal(seen[OPENED], 0);
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_REFUSED);
}

/* ---- life ---- */

static void ping(void **state)
{
    (void)state;
    start(100);
    pv_h2_ping(h2);
    runs();
    assert_int_equal(server.pings, 1);
    assert_int_equal(seen[ALIVE], 1);
    nghttp2_submit_ping(server.session, NGHTTP2_FLAG_NONE, NULL);
    runs();
    assert_int_equal(seen[ALIVE], 1);
    assert_int_equal(seen[LOST], 0);
}

static uint8_t last_frame[9 + 8];

static void closing(struct pv_sock *s)
{
    size_t n = pv_buf_length(&s->out);
    assert_true(n >= sizeof last_frame);
    memcpy(last_frame, pv_buf_front(&s->out) + n - sizeof last_frame, sizeof last_frame);
}

static void says_goodbye(void **state)
{
    static const uint8_t wanted[] = {0, 0, 8, NGHTTP2_GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                     0, 0, 0};
    (void)state;
    start(100);
    world.closing = closing;
    ask(0, "a question");
    close_it();
    assert_int_equal(world.count, 0);
    assert_memory_equal(last_frame, wanted, sizeof wanted);
}

/* ---- H1: fields ---- */

static void fields_at_the_limit(unsigned request, unsigned count)
{
    nghttp2_nv fields[80];
    for (unsigned i = 0; i < count; i++)
        fields[i] = (nghttp2_nv){(uint8_t *)"x", (uint8_t *)"y", 1, 1, 0};
    server_responds(&server, request, "200", fields, count, "x", 1);
}

static void H1_fields_are_counted(void **state)
{
    (void)state;
    start(100);
    ask_all(6);
    fields_at_the_limit(0, PV_H2_FIELDS_MOST - 1);
    runs();
    assert_int_equal(seen[RESPONSE], 1);
    for (unsigned i = 1; i <= 2; i++) {
        fields_at_the_limit(i, PV_H2_FIELDS_MOST);
        runs();
        assert_int_equal(seen[FAILED], i);
        assert_int_equal(asked[i].fault, PV_H2_RESET);
        assert_int_equal(seen[LOST], 0);
    }
    assert_true(server.requests[1].was_reset);
    server_answers(&server, 4, "still there");
    runs();
    assert_string_equal(asked[4].body, "still there");
    fields_at_the_limit(3, PV_H2_FIELDS_MOST);
    runs();
    assert_int_equal(seen[FAILED], 3);
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_BROKEN);
    assert_string_equal(reason, "responses with too many header fields");
}

/* One field in the table, then an octet for each time it is meant. */
static void H1_bomb(void **state)
{
    static uint8_t block[16000];
    (void)state;
    start(100);
    ask_all(1);
    memset(block, 0xbe, sizeof block);
    block[0] = 0x88; /* :status 200 */
    memcpy(block + 1, "\x40\1x\x7f\xa1\x1e", 6);
    memset(block + 7, 'v', 4000);
    server_frame(&server, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block, sizeof block);
    runs();
    assert_int_equal(seen[FAILED], 1);
    assert_int_equal(asked[0].fault, PV_H2_RESET);
    assert_true(server.requests[0].was_reset);
    assert_int_equal(seen[LOST], 0);
}

/* ---- H2a, H3: floods ---- */

static void H2a_continuations(void **state)
{
    (void)state;
    start(100);
    ask_all(1);
    server_frame(&server, NGHTTP2_HEADERS, 0, 1, "\x88", 1);
    for (unsigned i = 0; i < 100; i++)
        server_frame(&server, NGHTTP2_CONTINUATION, 0, 1, "\x0f\x10\1x", 4);
    runs();
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_BROKEN);
}

static bool flooded(uint8_t type, uint8_t flags, int32_t stream, const char *payload, size_t n,
                    unsigned count)
{
    for (unsigned i = 0; i < count && seen[LOST] == 0; i++) {
        server_frame(&server, type, flags, stream, payload, n);
        world_settle(&world);
        if (h2) /* what it wants to say is read */
            pv_buf_consume(&server.sock->out, pv_buf_length(&server.sock->out));
    }
    return seen[LOST] > 0;
}

static void floods(void **state)
{
    static const struct {
        uint8_t type, flags;
        int32_t stream;
        const char *payload;
        size_t length;
        unsigned count; /* bring the end */
    } rows[] = {
        {NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\1", 5, 1100},
        {NGHTTP2_PING, 0, 0, "12345678", 8, 1100},
        {NGHTTP2_PING, 1, 0, "12345678", 8, 1100},
        {NGHTTP2_SETTINGS, 0, 0, NULL, 0, 1100},
        {NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4, 1100},
        {NGHTTP2_DATA, 0, 1, NULL, 0, 1100},
        {0xbe, 0, 0, NULL, 0, 120000},
        {0xbe, 0, 0, "0123456789abcdef0123456789abcdef", 32, 30000},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        end(NULL);
        begin(NULL);
        start(100);
        ask_all(1);
        server_frame(&server, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\x88", 1);
        bool over = flooded(rows[i].type, rows[i].flags, rows[i].stream, rows[i].payload,
                            rows[i].length, rows[i].count);
        if (!over)
            fail_msg("row %u is without end", i);
        assert_int_equal(fault, PV_STREAM_BROKEN);
    }
}

/* A response may be padded, and come in small pieces; not so that most of what is read is neither.
 */
static void H14_padding(void **state)
{
    (void)state;
    static const uint8_t padded[257] = {255, 'x'}; /* one octet of body */
    start(100);
    ask_all(2);
    for (int32_t id = 1; id <= 3; id += 2) {
        server_frame(&server, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, "\x88", 1);
        for (unsigned i = 0; i < 50; i++)
            server_frame(&server, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, id, padded, sizeof padded);
    }
    runs();
    assert_int_equal(seen[FAILED], 0);
    server_frame(&server, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "y", 1);
    for (unsigned i = 0; i < 20; i++)
        server_frame(&server, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 3, padded, sizeof padded);
    runs();
    assert_int_equal(asked[0].length, 51);
    assert_true(asked[1].failed);
    assert_int_equal(asked[1].fault, PV_H2_RESET);
    assert_int_equal(seen[LOST], 0); /* its windows were given back: others go on */
    assert_int_equal(pv_h2_room(h2, 0), 100);
}

/* So many at once want an answer that they would wait in our memory. */
static void H3_too_many_answers_to_give(void **state)
{
    (void)state;
    start(100);
    for (unsigned i = 0; i < 90; i++)
        server_frame(&server, NGHTTP2_PING, 0, 0, "12345678", 8);
    runs();
    assert_int_equal(seen[LOST], 0);
    for (unsigned i = 0; i < 150; i++)
        server_frame(&server, NGHTTP2_PING, 0, 0, "12345678", 8);
    runs();
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_BROKEN);
}

/* Some of each is fine, for as long as there are answers. */
static void not_every_frame_is_a_flood(void **state)
{
    (void)state;
    start(100);
    for (unsigned n = 0; n < 50; n++) {
        ask(n, "a question");
        runs();
        for (unsigned i = 0; i < 20; i++) {
            server_frame(&server, NGHTTP2_PING, 1, 0, "12345678", 8);
            server_frame(&server, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
            world_settle(&world);
        }
        server_answers(&server, n, "x");
        runs();
        world_pass(&world, 1 * S);
    }
    assert_int_equal(seen[RESPONSE], 50);
    assert_int_equal(seen[LOST], 0);
}

/* ---- H9 ---- */

static void H9_the_last_stream_id(void **state)
{
    (void)state;
    first_id = INT32_MAX - 2;
    start(100);
    ask(0, "a question");
    assert_int_equal(pv_h2_room(h2, 0), 99);
    ask(1, "a question");
    assert_int_equal(asked[1].id, INT32_MAX);
    assert_int_equal(pv_h2_room(h2, 0), 0);
    runs();
    server_answers(&server, 0, "x");
    runs();
    assert_int_equal(seen[LEAVING], 1); /* another connection takes its place */
    server_answers(&server, 1, "x");
    runs();
    assert_int_equal(seen[RESPONSE], 2);
    assert_int_equal(seen[LEAVING], 1);
}

/* ---- H10, H12: odd responses ---- */

static void H10_informational(void **state)
{
    (void)state;
    start(100);
    ask_all(2);
    for (unsigned n = 0; n < 2; n++)
        for (unsigned i = 0; i < 8 + 2 * n; i++)
            server_frame(&server, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, server.requests[n].id,
                         "\x08\3"
                         "103",
                         5);
    runs();
    assert_int_equal(asked[0].ends, 0);
    assert_true(asked[1].failed);
    server_frame(&server, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                 "\x88", 1);
    runs();
    assert_int_equal(asked[0].status, 200);
}

static void H10_push(void **state)
{
    (void)state;
    start(100);
    ask_all(1);
    server_frame(&server, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x82", 5);
    runs();
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_BROKEN);
}

static void H12_body_too_large(void **state)
{
    static uint8_t body[PV_H2_BODY_MOST + 1];
    (void)state;
    start(100);
    ask_all(3);
    server_responds(&server, 0, "200", NULL, 0, body, PV_H2_BODY_MOST);
    runs();
    assert_int_equal(asked[0].length, PV_H2_BODY_MOST);
    server_responds(&server, 1, "200", NULL, 0, body, sizeof body);
    runs();
    assert_true(asked[1].failed);
    assert_int_equal(asked[1].fault, PV_H2_RESET);
    assert_true(server.requests[1].was_reset);
    assert_int_equal(server.requests[1].reset, NGHTTP2_CANCEL);
    server_answers(&server, 2, "still there");
    runs();
    assert_string_equal(asked[2].body, "still there");
}

/* ---- H13: after the end ---- */

static void H13_nothing_is_read_after_the_end(void **state)
{
    (void)state;
    start(100);
    ask_all(1);
    server_frame(&server, NGHTTP2_SETTINGS, 0, 0, "12345", 5);
    server_frame(&server, 10, 0, 0, "\0\0h2=\":1\"", 9); /* ALTSVC */
    server_frame(&server, 16, 0, 0, "\0\0\0\1u=1", 7);   /* PRIORITY_UPDATE */
    server_frame(&server, NGHTTP2_HEADERS, 5, 1, "\x88", 1);
    runs();
    assert_int_equal(seen[RESPONSE], 0);
    assert_int_equal(seen[LOST], 1);
    assert_int_equal(fault, PV_STREAM_BROKEN);
}

/* ---- H15: closed from within ---- */

static void H15_closed_in_each_event(void **state)
{
    (void)state;
    for (enum event which = OPENED; which < EVENTS; which++) {
        end(NULL);
        begin(NULL);
        closes_in = which;
        open_it();
        server_begin(&server, world_sock(&world, 0), 10);
        server_runs(&server);
        if (h2) {
            for (unsigned i = 0; i < 7; i++)
                ask(i, "a question");
            runs();
        }
        if (h2) {
            pv_h2_drop(h2, asked[6].id);
            nghttp2_submit_rst_stream(server.session, NGHTTP2_FLAG_NONE, server.requests[0].id, 2);
            server_answers(&server, 1, "x");
            server_answers(&server, 6, "late");
            server_limits(&server, 20);
            nghttp2_submit_goaway(server.session, NGHTTP2_FLAG_NONE, server.requests[6].id, 0, NULL,
                                  0);
            server_answers(&server, 2, "x");
            runs();
        }
        if (h2) {
            server.sock->ended = true;
            runs();
        }
        assert_null(h2);
        assert_int_equal(seen[which], 1);
        assert_int_equal(world.count, 0);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(post_and_get),
        T(settings_are_small),
        T(one_write_for_all),
        T(limit_is_respected),
        T(held_by_a_window),
        T(taken_back_and_closed),
        T(window_is_room),
        T(answered_before_it_was_asked),
        T(held_back_then_closed),
        T(dropped_is_left_to_end),
        T(goaway),
        T(left_out_in_order),
        T(resets_have_their_faults),
        T(closed_in_the_middle),
        T(nobody_there),
        T(ping),
        T(says_goodbye),
        T(H1_fields_are_counted),
        T(H1_bomb),
        T(H2a_continuations),
        T(floods),
        T(H14_padding),
        T(H3_too_many_answers_to_give),
        T(not_every_frame_is_a_flood),
        T(H9_the_last_stream_id),
        T(H10_informational),
        T(H10_push),
        T(H12_body_too_large),
        T(H13_nothing_is_read_after_the_end),
        T(H15_closed_in_each_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
