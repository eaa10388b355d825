/* What a server thinks of our certificate, as we tell it; and the identity that changes. */
#include "unit.h"

#include "client.h"

#include <openssl/pem.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cert root, server, one, two;
static char directory[64], root_file[96], cert_file[96], key_file[96];
static struct pv_tls_trust *trust;
static struct pv_identity *identity;
static unsigned renewals;

static void write_pair(const struct cert *c)
{
    FILE *file = fopen(key_file, "w");
    assert_non_null(file);
    assert_true(PEM_write_PrivateKey(file, c->key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    assert_int_equal(chmod(key_file, 0600), 0);
    cert_write(c, cert_file);
}

static int begin(void **state)
{
    struct privy_error error;
    strcpy(directory, "/tmp/test_verdict.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(root_file, sizeof root_file, "%s/root", directory);
    snprintf(cert_file, sizeof cert_file, "%s/crt", directory);
    snprintf(key_file, sizeof key_file, "%s/key", directory);
    cert_write(&root, root_file);
    write_pair(&one);
    renewals = 0;
    struct pv_tls_trust_options t = {.ca_file = root_file, .name = "dns.example"};
    struct pv_identity_options i = {.owner = "upstream corp", .cert = cert_file, .key = key_file};
    if (pv_tls_trust_new(&t, &trust, &error) != PRIVY_OK ||
        pv_identity_new(&i, &identity, &error) != PRIVY_OK)
        return -1;
    return loop_begin(state);
}

static int end(void **state)
{
    pv_tls_trust_free(trust);
    pv_identity_free(identity);
    unlink(root_file);
    unlink(cert_file);
    unlink(key_file);
    rmdir(directory);
    return loop_end(state);
}

static void on_renewed(void *arg)
{
    (void)arg;
    renewals++;
}

static struct pv_tls_context *context(bool with_identity)
{
    struct pv_tls_context *tls = pv_tls_context_new(loop, trust, "dot", false);
    assert_non_null(tls);
    if (with_identity)
        pv_tls_context_set_identity(tls, identity, on_renewed, NULL);
    return tls;
}

/* Says a word; it comes back, or the connection ends. */
static void say(struct pv_tls_context *tls, const struct peer *p, struct client *c)
{
    struct pv_addr address = loopback(p->port);
    client_open(c, tls, &address, 1);
    assert_true(pv_stream_write(c->stream, "word", 4));
    run_until(c->lost || c->received == 4);
}

static void ends_with(const struct peer_options *options, bool with_identity,
                      enum pv_stream_fault fault, const char *reason)
{
    struct client c = {0};
    struct peer *p = peer_start(options);
    struct pv_tls_context *tls = context(with_identity);
    say(tls, p, &c);
    assert_true(c.lost);
    if (strcmp(c.reason, reason) != 0 || c.fault != fault)
        fail_msg("%d \"%s\" instead of %d \"%s\"", c.fault, c.reason, fault, reason);
    client_close(&c);
    pv_tls_context_free(tls);
    peer_stop(p);
}

/* ---- verdicts ---- */

static const struct {
    int verdict;
    const char *reason;
} verdicts[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
     "the server rejected our certificate: unknown CA"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "the server rejected our certificate: certificate expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "the server rejected our certificate: bad certificate"},
    {X509_V_ERR_CERT_REVOKED, "the server rejected our certificate: certificate revoked"},
    {X509_V_ERR_INVALID_PURPOSE, "the server rejected our certificate: unsupported certificate"},
    {X509_V_ERR_APPLICATION_VERIFICATION, "the server rejected our certificate: handshake failure"},
    {X509_V_ERR_INVALID_EXTENSION, "the server rejected our certificate: certificate unknown"},
};

static void S4_each_alert_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
            ends_with(&(struct peer_options){.cert = &server,
                                             .version = version,
                                             .wants_client_cert = true,
                                             .verdict = verdicts[i].verdict},
                      true, PV_STREAM_UNTRUSTED, verdicts[i].reason);
}

static void S4_a_certificate_that_we_lack(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        ends_with(
            &(struct peer_options){.cert = &server, .version = version, .wants_client_cert = true},
            false, PV_STREAM_UNTRUSTED,
            "the server demands a client certificate, none is configured");
}

static void read_and_close(struct peer *p, SSL *ssl, int fd)
{
    char bytes[64];
    (void)p, (void)fd;
    SSL_read(ssl, bytes, sizeof bytes);
}

static void reset(struct peer *p, SSL *ssl, int fd)
{
    const struct linger at_once = {.l_onoff = 1};
    read_and_close(p, ssl, fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* As some servers do, without a word. */
static void S4_a_close_may_be_a_verdict(void **state)
{
    (void)state;
    peer_serve *const ways[] = {read_and_close, reset};
    for (unsigned i = 0; i < 2; i++) {
        ends_with(
            &(struct peer_options){.cert = &server, .wants_client_cert = true, .serve = ways[i]},
            true, PV_STREAM_UNTRUSTED,
            "closed without an answer: does the server accept our certificate?");
        ends_with(&(struct peer_options){.cert = &server, .serve = ways[i]}, true, PV_STREAM_CLOSED,
                  i ? "connection reset by the server" : "closed by the server");
    }
}

static void note_events(void *arg, unsigned events)
{
    *(unsigned *)arg |= events;
}

/* The alert has come, and the end after it: writes fail before anybody reads. */
static void S4_a_verdict_is_read_after_a_failed_write(void **state)
{
    (void)state;
    unsigned events = 0;
    char byte;
    const char *reason;
    struct peer *p = peer_start(&(struct peer_options){.cert = &server,
                                                       .version = TLS1_3_VERSION,
                                                       .wants_client_cert = true,
                                                       .verdict = X509_V_ERR_CERT_REVOKED});
    struct pv_tls_context *tls = context(true);
    struct pv_addr address = loopback(p->port);
    struct pv_sock *sock = pv_sock_open(loop, true, &address, note_events, &events);
    pv_sock_want(sock, PV_SOCK_WRITE);
    run_until(events & PV_SOCK_WRITE);
    struct pv_tls *t = pv_tls_new(tls, sock);
    while (pv_tls_handshake(t) == 0) {
        events = 0;
        pv_sock_want(sock, pv_tls_wants(t));
        run_until(events);
    }
    while (p->ended == 0 || pv_tls_write(t, "word", 4) > 0) /* the first one brings the reset */
        sched_yield();
    assert_int_equal(pv_tls_fault(t, NULL), PV_TLS_NETWORK);
    assert_int_equal(pv_tls_read(t, &byte, 1), -1);
    assert_int_equal(pv_tls_fault(t, &reason), PV_TLS_UNTRUSTED);
    assert_string_equal(reason, "the server rejected our certificate: certificate revoked");
    pv_tls_free(t);
    pv_sock_close(sock);
    pv_tls_context_free(tls);
    peer_stop(p);
}

/* ---- a change ---- */

static bool shown(struct peer *p, const char *name)
{
    pthread_mutex_lock(&p->lock);
    bool same = strcmp(p->client, name) == 0;
    pthread_mutex_unlock(&p->lock);
    return same;
}

static void change_identity(struct pv_tls_context *tls)
{
    unsigned before = renewals;
    write_pair(&two);
    pv_tls_context_refresh(tls);
    assert_int_equal(renewals, before); /* not from in here */
    run_until(renewals == before + 1);
}

static void S6_no_ticket_outlives_its_identity(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct client c = {0};
        struct peer *p = peer_start(
            &(struct peer_options){.cert = &server, .version = version, .wants_client_cert = true});
        struct pv_tls_context *tls = context(true);
        write_pair(&one);
        pv_tls_context_refresh(tls);
        for (unsigned i = 0; i < 3; i++) {
            say(tls, p, &c);
            assert_int_equal(pv_stream_tls_facts(c.stream)->resumed, i > 0);
            assert_true(pv_stream_tls_facts(c.stream)->asked); /* then, if resumed */
            assert_true(pv_stream_tls_facts(c.stream)->client_auth);
            assert_true(shown(p, "one"));
            client_close(&c);
        }
        change_identity(tls);
        for (unsigned i = 0; i < 2; i++) {
            say(tls, p, &c);
            assert_int_equal(pv_stream_tls_facts(c.stream)->resumed, i > 0);
            assert_true(shown(p, "two"));
            client_close(&c);
        }
        pv_tls_context_free(tls);
        peer_stop(p);
    }
}

/* Opened before the change, first heard of after it: what it brings is the old one's. */
static void S6_nor_one_that_comes_late(void **state)
{
    (void)state;
    struct client c = {0};
    struct peer *p = peer_start(&(struct peer_options){
        .cert = &server, .version = TLS1_3_VERSION, .wants_client_cert = true});
    struct pv_tls_context *tls = context(true);
    struct pv_addr address = loopback(p->port);
    client_open(&c, tls, &address, 1);
    run_until(c.opened);
    change_identity(tls);
    assert_true(pv_stream_write(c.stream, "word", 4));
    run_until(c.received == 4);
    client_close(&c);
    say(tls, p, &c);
    assert_false(pv_stream_tls_facts(c.stream)->resumed);
    assert_true(shown(p, "two"));
    client_close(&c);
    assert_int_equal(p->ticket_count, 0);
    pv_tls_context_free(tls);
    peer_stop(p);
}

static void echo_to_strangers(struct peer *p, SSL *ssl, int fd)
{
    if (SSL_session_reused(ssl))
        read_and_close(p, ssl, fd);
    else
        peer_echo(p, ssl, fd);
}

/* The server resumes, but wants to hear no more from whom the session stands for. */
static void a_session_resumed_in_vain_is_the_last(void **state)
{
    (void)state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct client c = {0};
        struct peer *p = peer_start(&(struct peer_options){
            .cert = &server, .version = version, .serve = echo_to_strangers});
        struct pv_tls_context *tls = context(false);
        static const bool lost[] = {false, true, false};
        for (unsigned i = 0; i < 3; i++) {
            say(tls, p, &c);
            assert_int_equal(c.lost, lost[i]);
            client_close(&c);
        }
        pv_tls_context_free(tls);
        peer_stop(p);
    }
}

static int make_certificates(void **state)
{
    (void)state;
    root = cert_make(&(struct cert_options){.common_name = "Root", .ca = true});
    server = cert_make(
        &(struct cert_options){.common_name = "x", .alt = "DNS:dns.example", .issuer = &root});
    one = cert_make(&(struct cert_options){.common_name = "one", .issuer = &root});
    two = cert_make(&(struct cert_options){.common_name = "two", .issuer = &root});
    return 0;
}

static int drop_certificates(void **state)
{
    (void)state;
    cert_done(&root);
    cert_done(&server);
    cert_done(&one);
    cert_done(&two);
    return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(S4_each_alert_is_told),
        T(S4_a_certificate_that_we_lack),
        T(S4_a_close_may_be_a_verdict),
        T(S4_a_verdict_is_read_after_a_failed_write),
        T(S6_no_ticket_outlives_its_identity),
        T(S6_nor_one_that_comes_late),
        T(a_session_resumed_in_vain_is_the_last),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
