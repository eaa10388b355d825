/* Streams against real servers: races, records, ends of all kinds. */
#include "unit.h"

#include "client.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static struct cert cert;
static struct pv_tls_trust *trust;
static struct pv_tls_context *tls;

static int begin(void **state)
{
    static char pin[52];
    static const char *pins[] = {pin, NULL};
    cert = cert_make(&(struct cert_options){.common_name = "x"});
    cert_pin(&cert, pin);
    if (loop_begin(state) != 0 ||
        pv_tls_trust_new(&(struct pv_tls_trust_options){.pins = pins}, &trust, NULL) != PRIVY_OK)
        return -1;
    tls = pv_tls_context_new(loop, trust, "dot", false);
    return tls ? 0 : -1;
}

static int end(void **state)
{
    pv_tls_context_free(tls);
    pv_tls_trust_free(trust);
    cert_done(&cert);
    return loop_end(state);
}

static struct peer *serve(peer_serve *function)
{
    return peer_start(&(struct peer_options){.cert = &cert, .serve = function});
}

static struct peer *serve_plain(peer_serve *function)
{
    return peer_start(&(struct peer_options){.serve = function});
}

/* Connect, over TLS where the peer speaks it. */
static void connect_to(struct client *c, const struct peer *p)
{
    struct pv_addr address = loopback(p->port);
    client_open(c, p->ctx ? tls : NULL, &address, 1);
}

/* ---- one turn, one record ---- */

static void writes_of_one_turn_are_one_record(void **state)
{
    (void)state;
    struct peer *p = serve(NULL);
    struct client c = {0};
    connect_to(&c, p);
    run_until(c.opened);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 40; i++)
            assert_true(pv_stream_write(c.stream, "a small query of 32 octets .....", 32));
        assert_int_equal(pv_stream_unsent(c.stream), 40 * 32);
        run_until(c.received == round * 40 * 32);
        assert_int_equal(pv_stream_unsent(c.stream), 0);
        assert_int_equal(p->data_records, round);
    }
    client_close(&c);
    peer_stop(p);
}

static void what_is_written_before_it_opens_is_one_record(void **state)
{
    (void)state;
    struct peer *p = serve(NULL);
    struct client c = {0};
    connect_to(&c, p);
    for (unsigned i = 0; i < 40; i++) {
        uint8_t *room = pv_stream_reserve(c.stream, 64);
        assert_non_null(room);
        memset(room, 'q', 32);
        pv_stream_wrote(c.stream, 32);
    }
    run_until(c.received == 40 * 32);
    assert_int_equal(p->data_records, 1);
    client_close(&c);
    peer_stop(p);
}

/* ---- much data ---- */

static void echo_much(struct peer *p)
{
    enum { PIECE = 100000, PIECES = 20 };
    static uint8_t bytes[PIECE];
    struct client c = {0};
    connect_to(&c, p);
    size_t sent = 0;
    while (sent < PIECE * PIECES) {
        assert_true(pv_stream_write(c.stream, bytes, PIECE));
        sent += PIECE;
        run_until(c.received >= sent - PIECE / 2);
    }
    run_until(c.received == sent);
    assert_true(c.most_at_once <= 128 * 1024);
    client_close(&c);
    peer_stop(p);
}

static void much_goes_to_and_fro(void **state)
{
    (void)state;
    echo_much(serve(NULL));
    echo_much(serve_plain(NULL));
}

/* More than one wake-up may read, then silence: TLS holds octets the socket does not tell of. */
static void send_burst(struct peer *p, SSL *ssl, int fd)
{
    static char bytes[400000];
    for (size_t sent = 0; sent < sizeof bytes;) {
        long n = ssl ? SSL_write(ssl, bytes + sent, (int)(sizeof bytes - sent))
                     : write(fd, bytes + sent, sizeof bytes - sent);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
    peer_echo(p, ssl, fd);
}

static void nothing_of_a_burst_is_stuck(void **state)
{
    (void)state;
    for (unsigned plain = 0; plain < 2; plain++) {
        struct peer *p = plain ? serve_plain(send_burst) : serve(send_burst);
        struct client c = {0};
        connect_to(&c, p);
        run_until(c.received == 400000);
        assert_true(c.most_at_once <= 65536 + 16384);
        client_close(&c);
        peer_stop(p);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    static uint8_t bytes[256 * 1024 + 1];
    struct peer *p = serve(send_burst);
    struct client c = {.hoards = true};
    connect_to(&c, p);
    assert_false(pv_stream_write(c.stream, bytes, sizeof bytes));
    assert_null(pv_stream_reserve(c.stream, sizeof bytes));
    assert_int_equal(pv_stream_unsent(c.stream), 0);
    run_until(c.lost);
    assert_int_equal(c.fault, PV_STREAM_FULL);
    assert_int_equal(c.most_at_once, 128 * 1024);
    client_close(&c);
    peer_stop(p);
}

/* ---- the race ---- */

static void refused_then_the_next_at_once(void **state)
{
    (void)state;
    struct peer *p = serve(NULL);
    struct pv_addr addresses[] = {loopback(closed_port()), loopback(p->port)};
    struct client c = {0};
    uint64_t begun = pv_now(loop);
    client_open(&c, tls, addresses, 2);
    assert_null(pv_stream_peer(c.stream));
    run_until(c.opened);
    assert_true(pv_now(loop) - begun < 240000); /* not after the stagger */
    assert_true(pv_addr_equal(pv_stream_peer(c.stream), &addresses[1]));
    client_close(&c);
    peer_stop(p);
}

static void all_refused(void **state)
{
    (void)state;
    struct pv_addr addresses[] = {loopback(closed_port()), loopback(closed_port())};
    char text[PV_ADDR_TEXT], reason[128];
    struct client c = {0};
    client_open(&c, tls, addresses, 2);
    run_until(c.lost);
    assert_int_equal(c.fault, PV_STREAM_REFUSED);
    snprintf(reason, sizeof reason, "cannot connect to %s: Connection refused",
             pv_addr_text(&addresses[1], text));
    assert_string_equal(c.reason, reason);
    client_close(&c);

    client_open(&c, NULL, NULL, 0);
    run_until(c.lost);
    assert_string_equal(c.reason, "no address to connect to");
    client_close(&c);

    struct pv_addr broadcast = loopback(853); /* connect() itself refuses this one */
    broadcast.in.sin_addr.s_addr = INADDR_BROADCAST;
    client_open(&c, NULL, &broadcast, 1);
    run_until(c.lost);
    assert_int_equal(c.fault, PV_STREAM_REFUSED);
    client_close(&c);
}

/* A listener whose queue is full drops what comes: a connection that stays silent. */
struct silent {
    int listener, fillers[8];
    struct pv_addr address;
};

static struct silent silent_begin(void)
{
    struct silent s = {.listener = socket(AF_INET, SOCK_STREAM, 0), .address = loopback(0)};
    socklen_t size = sizeof s.address;
    assert_int_equal(bind(s.listener, &s.address.sa, sizeof s.address.in), 0);
    assert_int_equal(listen(s.listener, 0), 0);
    assert_int_equal(getsockname(s.listener, &s.address.sa, &size), 0);
    for (unsigned i = 0; i < 8; i++) {
        s.fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(s.fillers[i], &s.address.sa, sizeof s.address.in);
    }
    return s;
}

static void silent_end(struct silent *s)
{
    for (unsigned i = 0; i < 8; i++)
        close(s->fillers[i]);
    close(s->listener);
}

static void silent_address_is_overtaken(void **state)
{
    (void)state;
    struct silent s = silent_begin();
    struct peer *p = serve(NULL);
    struct pv_addr addresses[] = {s.address, loopback(p->port)};
    struct client c = {0};
    uint64_t begun = pv_now(loop);
    client_open(&c, tls, addresses, 2);
    run_until(c.opened);
    uint64_t took = pv_now(loop) - begun;
    assert_true(took >= 250000);
    assert_true(took < 1000000);
    assert_true(pv_addr_equal(pv_stream_peer(c.stream), &addresses[1]));
    client_close(&c);
    client_open(&c, tls, addresses, 2);
    client_close(&c); /* while the race is on */
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_false(c.opened || c.lost);
    peer_stop(p);
    silent_end(&s);
}

/* ---- ends ---- */

static void send_last_words(struct peer *p, SSL *ssl, int fd)
{
    (void)p;
    if (ssl)
        SSL_write(ssl, "last words", 10);
    else
        (void)!write(fd, "last words", 10);
}

static void send_last_words_and_notify(struct peer *p, SSL *ssl, int fd)
{
    send_last_words(p, ssl, fd);
    SSL_shutdown(ssl);
}

static void last_words_count(void **state)
{
    (void)state;
    struct peer *peers[] = {serve(send_last_words), serve(send_last_words_and_notify),
                            serve_plain(send_last_words)};
    for (unsigned i = 0; i < 3; i++) {
        struct client c = {0};
        connect_to(&c, peers[i]);
        run_until(c.lost);
        assert_string_equal(c.first, "last words");
        assert_int_equal(c.fault, PV_STREAM_CLOSED);
        assert_string_equal(c.reason, "closed by the server");
        assert_false(pv_stream_write(c.stream, "too late", 8));
        client_close(&c);
        peer_stop(peers[i]);
    }
}

static void send_last_words_and_reset(struct peer *p, SSL *ssl, int fd)
{
    send_last_words(p, ssl, fd);
    char byte; /* until the client has them */
    if (ssl)
        SSL_read(ssl, &byte, 1);
    else
        (void)!read(fd, &byte, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
}

static void reset_is_an_end(void **state)
{
    (void)state;
    for (unsigned plain = 0; plain < 2; plain++) {
        struct peer *p =
            plain ? serve_plain(send_last_words_and_reset) : serve(send_last_words_and_reset);
        struct client c = {0};
        connect_to(&c, p);
        run_until(c.received == 10);
        pv_stream_write(c.stream, "x", 1);
        run_until(c.lost);
        assert_int_equal(c.fault, PV_STREAM_CLOSED);
        assert_string_equal(c.reason, "connection reset by the server");
        client_close(&c);
        peer_stop(p);
    }
}

static void send_garbage(struct peer *p, SSL *ssl, int fd)
{
    static const char text[] = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
    (void)p, (void)ssl;
    char bytes[2048];
    (void)!write(fd, text, sizeof text - 1);
    while (read(fd, bytes, sizeof bytes) > 0)
        continue;
}

static void hang_up(struct peer *p, SSL *ssl, int fd)
{
    (void)p, (void)ssl, (void)fd;
}

static void connect_tls_to_plain(struct client *c, struct peer *p)
{
    struct pv_addr address = loopback(p->port);
    client_open(c, tls, &address, 1);
    assert_true(pv_stream_write(c->stream, "secret", 6));
    run_until(c->lost);
    assert_false(c->opened);
    assert_int_equal(c->fault, PV_STREAM_TLS);
}

static void no_tls_at_the_other_side(void **state)
{
    (void)state;
    struct peer *p = serve_plain(send_garbage);
    struct client c = {0};
    connect_tls_to_plain(&c, p);
    assert_string_equal(c.reason, "no TLS: the server talks something else");
    client_close(&c);
    peer_stop(p);

    p = serve_plain(hang_up);
    connect_tls_to_plain(&c, p);
    assert_non_null(strstr(c.reason, "during the TLS handshake"));
    client_close(&c);
    peer_stop(p);
}

static void alert_after_the_handshake(void **state)
{
    (void)state;
    struct peer *p = peer_start(&(struct peer_options){
        .cert = &cert, .version = TLS1_3_VERSION, .wants_client_cert = true});
    struct client c = {0};
    connect_to(&c, p);
    run_until(c.lost);
    assert_true(c.opened); /* TLS 1.3: the server's verdict comes after it */
    assert_int_equal(c.fault, PV_STREAM_UNTRUSTED);
    assert_string_equal(c.reason, "the server demands a client certificate, none is configured");
    client_close(&c);
    peer_stop(p);
}

static void send_key_updates(struct peer *p, SSL *ssl, int fd)
{
    for (unsigned i = 0; i < 1000; i++)
        if (!SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) || SSL_do_handshake(ssl) != 1)
            return;
    peer_echo(p, ssl, fd);
}

static void send_tickets(struct peer *p, SSL *ssl, int fd)
{
    for (unsigned i = 0; i < 1000; i++)
        if (!SSL_new_session_ticket(ssl) || SSL_do_handshake(ssl) != 1)
            return;
    peer_echo(p, ssl, fd);
}

static void S9_messages_without_end(void **state)
{
    (void)state;
    peer_serve *const floods[] = {send_key_updates, send_tickets};
    for (unsigned i = 0; i < 2; i++) {
        struct peer *p = peer_start(
            &(struct peer_options){.cert = &cert, .version = TLS1_3_VERSION, .serve = floods[i]});
        struct client c = {0};
        connect_to(&c, p);
        run_until(c.lost);
        assert_int_equal(c.fault, PV_STREAM_TLS);
        assert_string_equal(c.reason, "TLS: handshake messages without end");
        client_close(&c);
        peer_stop(p);
    }
}

static void ask_for_another_handshake(struct peer *p, SSL *ssl, int fd)
{
    SSL_renegotiate(ssl);
    SSL_do_handshake(ssl); /* sends the request only */
    peer_echo(p, ssl, fd);
}

/* Whether the server then goes on or not: there is no second handshake. */
static void S9_no_renegotiation(void **state)
{
    (void)state;
    struct peer *p = peer_start(&(struct peer_options){
        .cert = &cert, .version = TLS1_2_VERSION, .serve = ask_for_another_handshake});
    struct client c = {0};
    connect_to(&c, p);
    assert_true(pv_stream_write(c.stream, "word", 4));
    run_until(c.lost || c.received == 4);
    client_close(&c);
    run_until(p->ended == 1);
    assert_int_equal(p->handshakes, 1);
    assert_int_equal(p->hellos, 1);
    peer_stop(p);
}

/* ---- closing ---- */

static void close_inside(char event, struct peer *p, bool writes)
{
    struct client c = {.close_in = event};
    connect_to(&c, p);
    if (writes)
        pv_stream_write(c.stream, "word", 4);
    run_until(c.closed);
    for (unsigned turn = 0; turn < 5; turn++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(c.events_after_close, 0);
    peer_stop(p);
}

static void close_inside_any_event(void **state)
{
    (void)state;
    close_inside('o', serve(NULL), true);
    close_inside('r', serve(NULL), true);
    close_inside('l', serve(send_last_words), false);
    close_inside('o', serve_plain(NULL), true);
    close_inside('r', serve_plain(NULL), true);
    close_inside('l', serve_plain(send_last_words), false);
}

static void close_notify_is_sent(void **state)
{
    (void)state;
    struct peer *p = serve(NULL);
    struct client c = {0};
    connect_to(&c, p);
    assert_true(pv_stream_write(c.stream, "word", 4));
    run_until(c.received == 4);
    client_close(&c);
    run_until(p->ended == 1);
    assert_false(p->unclean);
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_of_one_turn_are_one_record),
        cmocka_unit_test(what_is_written_before_it_opens_is_one_record),
        cmocka_unit_test(much_goes_to_and_fro),
        cmocka_unit_test(nothing_of_a_burst_is_stuck),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(refused_then_the_next_at_once),
        cmocka_unit_test(all_refused),
        cmocka_unit_test(silent_address_is_overtaken),
        cmocka_unit_test(last_words_count),
        cmocka_unit_test(reset_is_an_end),
        cmocka_unit_test(no_tls_at_the_other_side),
        cmocka_unit_test(alert_after_the_handshake),
        cmocka_unit_test(S9_messages_without_end),
        cmocka_unit_test(S9_no_renegotiation),
        cmocka_unit_test(close_inside_any_event),
        cmocka_unit_test(close_notify_is_sent),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
