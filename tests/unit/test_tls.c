/* Whom we trust, and tickets; against real TLS servers. */
#include "unit.h"

#include "client.h"

#include <errno.h>
#include <sodium.h>
#include <unistd.h>

static struct cert root, other_root, leaf;
static char directory[] = "/tmp/pv-test-tls-XXXXXX";
static char root_file[80], other_file[80], empty_file[80];

static int make_certificates(void **state)
{
    if (!mkdtemp(directory))
        return -1;
    snprintf(root_file, sizeof root_file, "%s/root.pem", directory);
    snprintf(other_file, sizeof other_file, "%s/other.pem", directory);
    snprintf(empty_file, sizeof empty_file, "%s/empty.pem", directory);
    root = cert_make(&(struct cert_options){.common_name = "Root", .ca = true});
    other_root = cert_make(&(struct cert_options){.common_name = "Other", .ca = true});
    leaf = cert_make(&(struct cert_options){.common_name = "ignored.example",
                                            .alt = "DNS:dns.example,DNS:*.wild.example,"
                                                   "IP:127.0.0.1",
                                            .issuer = &root});
    cert_write(&root, root_file);
    cert_write(&other_root, other_file);
    fclose(fopen(empty_file, "w"));
    return loop_begin(state);
}

static int drop_certificates(void **state)
{
    cert_done(&root);
    cert_done(&other_root);
    cert_done(&leaf);
    unlink(root_file);
    unlink(other_file);
    unlink(empty_file);
    rmdir(directory);
    return loop_end(state);
}

/* ---- one connection under some trust ---- */

static struct pv_tls_trust *trust_of(const struct pv_tls_trust_options *o)
{
    struct privy_error error = {0};
    struct pv_tls_trust *trust = NULL;
    enum privy_status status = pv_tls_trust_new(o, &trust, &error);
    if (status != PRIVY_OK)
        fail_msg("%s", error.message);
    return trust;
}

/* Connect once and echo a word where that works. */
static void connect_once(struct pv_tls_context *tls, const struct peer *p, struct client *c)
{
    struct pv_addr address = loopback(p->port);
    client_open(c, tls, &address, 1);
    assert_true(pv_stream_write(c->stream, "word", 4));
    run_until(c->lost || c->received == 4);
    if (!c->lost)
        assert_string_equal(c->first, "word");
}

static void attempt(const struct pv_tls_trust_options *o, const struct peer_options *server,
                    struct client *c)
{
    struct peer *p = peer_start(server);
    struct pv_tls_trust *trust = trust_of(o);
    struct pv_tls_context *tls = pv_tls_context_new(loop, trust, "dot", false);
    assert_non_null(tls);
    connect_once(tls, p, c);
    client_close(c);
    pv_tls_context_free(tls);
    pv_tls_trust_free(trust);
    peer_stop(p);
}

static void accepts(const struct pv_tls_trust_options *o, const struct cert *cert)
{
    struct client c = {0};
    attempt(o, &(struct peer_options){.cert = cert}, &c);
    if (c.lost)
        fail_msg("%s", c.reason);
}

static void refuses(const struct pv_tls_trust_options *o, const struct cert *cert,
                    const char *reason)
{
    struct client c = {0};
    attempt(o, &(struct peer_options){.cert = cert}, &c);
    assert_true(c.lost);
    assert_false(c.opened);
    assert_int_equal(c.fault, PV_STREAM_UNTRUSTED);
    assert_string_equal(c.reason, reason);
}

static void S1_name_in_the_certificate(void **state)
{
    (void)state;
    accepts(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "dns.example"}, &leaf);
    accepts(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "DNS.example."}, &leaf);
    accepts(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "a.wild.example"}, &leaf);
    refuses(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "evil.example"}, &leaf,
            "certificate is for another name (expected evil.example)");
    refuses(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "a.b.wild.example"}, &leaf,
            "certificate is for another name (expected a.b.wild.example)");
    /* The subject's common name is no name [RFC 8310 §8.1]. */
    refuses(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "ignored.example"}, &leaf,
            "certificate is for another name (expected ignored.example)");
    struct cert bare =
        cert_make(&(struct cert_options){.common_name = "dns.example", .issuer = &root});
    refuses(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "dns.example"}, &bare,
            "certificate is for another name (expected dns.example)");
    struct cert partial = cert_make(
        &(struct cert_options){.common_name = "x", .alt = "DNS:d*.part.example", .issuer = &root});
    refuses(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "dns.part.example"},
            &partial, "certificate is for another name (expected dns.part.example)");
    cert_done(&bare);
    cert_done(&partial);
}

static void S1_address_in_the_certificate(void **state)
{
    (void)state;
    struct pv_addr right = loopback(853), wrong = loopback6(853);
    accepts(&(struct pv_tls_trust_options){.ca_file = root_file, .address = &right}, &leaf);
    accepts(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "127.0.0.1"}, &leaf);
    refuses(&(struct pv_tls_trust_options){.ca_file = root_file, .address = &wrong}, &leaf,
            "certificate is for another name (expected ::1)");
}

static void S1_time_of_the_certificate(void **state)
{
    (void)state;
    const struct pv_tls_trust_options o = {.ca_file = root_file, .name = "dns.example"};
    struct cert old = cert_make(&(struct cert_options){.common_name = "x",
                                                       .alt = "DNS:dns.example",
                                                       .from_day = -20,
                                                       .to_day = -10,
                                                       .issuer = &root});
    struct cert future = cert_make(&(struct cert_options){.common_name = "x",
                                                          .alt = "DNS:dns.example",
                                                          .from_day = 10,
                                                          .to_day = 20,
                                                          .issuer = &root});
    refuses(&o, &old, "certificate has expired");
    refuses(&o, &future, "server certificate is not yet valid: is the clock right?");
    cert_done(&old);
    cert_done(&future);
}

static void S1_signer_of_the_certificate(void **state)
{
    (void)state;
    struct cert own =
        cert_make(&(struct cert_options){.common_name = "x", .alt = "DNS:dns.example"});
    struct cert for_clients = cert_make(&(struct cert_options){
        .common_name = "x", .alt = "DNS:dns.example", .usage = "clientAuth", .issuer = &root});
    const struct pv_tls_trust_options o = {.ca_file = root_file, .name = "dns.example"};
    refuses(&o, &own, "self-signed certificate");
    refuses(&(struct pv_tls_trust_options){.ca_file = other_file, .name = "dns.example"}, &leaf,
            "certificate is signed by an unknown authority");
    refuses(&(struct pv_tls_trust_options){.name = "dns.example"}, &leaf, /* the system's */
            "certificate is signed by an unknown authority");
    struct client c = {0};
    attempt(&(struct pv_tls_trust_options){.ca_file = other_file, .name = "dns.example"},
            &(struct peer_options){.cert = &leaf, .chain = &root}, &c); /* its root sent along */
    assert_string_equal(c.reason, "certificate is signed by an unknown authority");
    refuses(&o, &for_clients, "certificate: unsuitable certificate purpose");
    cert_done(&own);
    cert_done(&for_clients);
}

static void S1_intermediate_certificates(void **state)
{
    (void)state;
    struct cert middle =
        cert_make(&(struct cert_options){.common_name = "Middle", .ca = true, .issuer = &root});
    struct cert below = cert_make(
        &(struct cert_options){.common_name = "x", .alt = "DNS:dns.example", .issuer = &middle});
    const struct pv_tls_trust_options o = {.ca_file = root_file, .name = "dns.example"};
    struct client c = {0};
    attempt(&o, &(struct peer_options){.cert = &below, .chain = &middle}, &c);
    assert_true(c.opened);
    refuses(&o, &below, "certificate is signed by an unknown authority"); /* middle not sent */
    cert_done(&middle);
    cert_done(&below);
}

/* ---- pins ---- */

static void S14_pins(void **state)
{
    (void)state;
    char good[52], authority[52], reason[128],
        wrong[52] = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    cert_pin(&leaf, good);
    cert_pin(&root, authority);
    snprintf(reason, sizeof reason, "no pin matches (the server has %s)", good);
    const char *right_pin[] = {good, NULL}, *backup[] = {wrong, good, NULL};
    const char *wrong_pin[] = {wrong, NULL}, *root_pin[] = {authority, NULL};
    struct pv_tls_trust_options o = {.ca_file = root_file, .name = "dns.example"};
    o.pins = right_pin;
    accepts(&o, &leaf);
    o.pins = backup;
    accepts(&o, &leaf);
    o.pins = root_pin; /* it is in the verified chain, though not sent */
    accepts(&o, &leaf);
    o.pins = wrong_pin;
    refuses(&o, &leaf, reason);
    o.pins = right_pin; /* name and pin are both needed */
    o.name = "evil.example";
    refuses(&o, &leaf, "certificate is for another name (expected evil.example)");
}

static void pin_only(void **state)
{
    (void)state;
    struct cert own =
        cert_make(&(struct cert_options){.common_name = "x", .from_day = -9, .to_day = -8});
    char good[52], authority[52], reason[128];
    cert_pin(&own, good);
    cert_pin(&root, authority);
    const char *right_pin[] = {good, NULL}, *root_pin[] = {authority, NULL};
    accepts(&(struct pv_tls_trust_options){.pins = right_pin}, &own);
    /* An unverified chain can carry foreign certificates: only the leaf counts. */
    struct client c = {0};
    attempt(&(struct pv_tls_trust_options){.pins = root_pin},
            &(struct peer_options){.cert = &own, .chain = &root}, &c);
    snprintf(reason, sizeof reason, "no pin matches (the server has %s)", good);
    assert_string_equal(c.reason, reason);
    assert_int_equal(c.fault, PV_STREAM_UNTRUSTED);
    cert_done(&own);
}

/* ---- hashes of certificates ---- */

static void signed_hash(const struct cert *c, uint8_t out[32])
{
    unsigned char *der = NULL;
    int length = i2d_re_X509_tbs(c->x509, &der);
    assert_true(length > 0);
    assert_int_equal(crypto_hash_sha256(out, der, (unsigned long long)length), 0);
    OPENSSL_free(der);
}

static void hashes(void **state)
{
    (void)state;
    static const char reason[] = "no certificate in its chain is one that the stamp names";
    uint8_t of_leaf[2][32] = {{1}}, of_root[1][32], wrong[2][32] = {{1}, {2}};
    signed_hash(&leaf, of_leaf[1]);
    signed_hash(&root, of_root[0]);
    struct pv_tls_trust_options o = {.ca_file = root_file, .name = "dns.example"};
    o.hashes = (const uint8_t(*)[32])of_leaf, o.hash_count = 2;
    accepts(&o, &leaf);
    o.hashes = (const uint8_t(*)[32])of_root, o.hash_count = 1;
    accepts(&o, &leaf); /* in the verified chain, though not sent */
    o.hashes = (const uint8_t(*)[32])wrong, o.hash_count = 2;
    refuses(&o, &leaf, reason);
    o.hashes = (const uint8_t(*)[32])of_leaf; /* name and hash are both needed */
    o.name = "evil.example";
    refuses(&o, &leaf, "certificate is for another name (expected evil.example)");
}

/* ---- options that cannot be right ---- */

static void expect_error(const struct pv_tls_trust_options *o, enum privy_status status,
                         const char *message)
{
    struct privy_error error = {0};
    struct pv_tls_trust *trust = NULL;
    assert_int_equal(pv_tls_trust_new(o, &trust, &error), status);
    assert_null(trust);
    assert_string_equal(error.message, message);
    assert_int_equal(error.status, status);
}

static void errors_name_the_option(void **state)
{
    (void)state;
    char text[256];
    struct pv_tls_trust_options o = {.name = "dns.example", .ca_file = "/nowhere/ca.pem"};
    expect_error(&o, PRIVY_EFILE, "ca_file: /nowhere/ca.pem: No such file or directory");
    o.ca_file = empty_file;
    snprintf(text, sizeof text, "ca_file: %s: holds no certificate (PEM)", empty_file);
    expect_error(&o, PRIVY_EFILE, text);
    o.ca_file = directory;
    snprintf(text, sizeof text, "ca_file: %s: Is a directory", directory);
    expect_error(&o, PRIVY_EFILE, text);
    FILE *file = fopen(empty_file, "w");
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", file);
    fclose(file);
    o.ca_file = empty_file;
    snprintf(text, sizeof text, "ca_file: %s: holds a broken certificate", empty_file);
    expect_error(&o, PRIVY_EFILE, text);
    const char *bad_pin[] = {"sha256/abc", NULL};
    o = (struct pv_tls_trust_options){.pins = bad_pin};
    expect_error(&o, PRIVY_EINVAL,
                 "pins: \"sha256/abc\" is not sha256/ and 44 characters of base64");
    expect_error(&(struct pv_tls_trust_options){0}, PRIVY_EINVAL,
                 "tls_name: no name, no address and no pin to know the server by");
}

/* ---- S2_versions, ALPN, SNI ---- */

static void S2_versions(void **state)
{
    (void)state;
    struct pv_tls_trust_options o = {.ca_file = root_file, .name = "dns.example"};
    struct client c = {0};
    attempt(&o, &(struct peer_options){.cert = &leaf, .version = TLS1_2_VERSION}, &c);
    assert_true(c.opened);
    attempt(&o, &(struct peer_options){.cert = &leaf, .version = TLS1_3_VERSION}, &c);
    assert_true(c.opened);
    o.tls13_only = true;
    attempt(&o, &(struct peer_options){.cert = &leaf, .version = TLS1_2_VERSION}, &c);
    assert_false(c.opened);
    assert_int_equal(c.fault, PV_STREAM_TLS);
    assert_string_equal(c.reason, "the server speaks no TLS 1.3, which is asked of it");
}

static void S3_alpn(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *theirs, *reason;
        bool required;
    } rows[] = {
        {"dot", "dot", "", false},
        {"dot", NULL, "", false},   /* choosing none is fine for DoT */
        {"dot", "h2", NULL, false}, /* OpenSSL's word or ours, as its version is */
        {"dot", "http/1.1", NULL, false},
        {"dot", "", "TLS alert: no application protocol", false},
        {"h2", "h2", "", true},
        {"h2", NULL, "the server does not offer h2 (ALPN)", true},
        {"h2", "http/1.1", NULL, true},
    };
    struct pv_tls_trust *trust =
        trust_of(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "dns.example"});
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct peer *p = peer_start(&(struct peer_options){.cert = &leaf, .alpn = rows[i].theirs});
        struct pv_tls_context *tls =
            pv_tls_context_new(loop, trust, rows[i].ours, rows[i].required);
        struct client c = {0};
        connect_once(tls, p, &c);
        if (rows[i].reason)
            assert_string_equal(c.reason, rows[i].reason);
        assert_int_equal(c.opened, rows[i].reason && !*rows[i].reason);
        if (c.opened) {
            assert_string_equal(pv_stream_tls_facts(c.stream)->alpn,
                                rows[i].theirs ? rows[i].theirs : "");
            assert_string_equal(pv_stream_tls_facts(c.stream)->version, "TLSv1.3");
        } else {
            assert_int_equal(p->data_records, 0);
        }
        client_close(&c);
        pv_tls_context_free(tls);
        peer_stop(p);
    }
    pv_tls_trust_free(trust);
}

static void S15_only_a_name_is_sent_as_a_name(void **state)
{
    (void)state;
    struct peer *p = peer_start(&(struct peer_options){.cert = &leaf});
    static const char *const names[] = {"dns.example", "127.0.0.1"};
    for (unsigned i = 0; i < 2; i++) {
        struct pv_tls_trust *trust =
            trust_of(&(struct pv_tls_trust_options){.ca_file = root_file, .name = names[i]});
        struct pv_tls_context *tls = pv_tls_context_new(loop, trust, "dot", false);
        struct client c = {0};
        connect_once(tls, p, &c);
        assert_true(c.opened);
        pthread_mutex_lock(&p->lock);
        bool right = strcmp(p->sni, i == 0 ? "dns.example" : "") == 0;
        pthread_mutex_unlock(&p->lock);
        assert_true(right);
        client_close(&c);
        pv_tls_context_free(tls);
        pv_tls_trust_free(trust);
    }
    peer_stop(p);
}

/* ---- tickets ---- */

struct resuming {
    struct peer *peer;
    struct pv_tls_trust *trust;
    struct pv_tls_context *tls;
};

static struct resuming resuming_begin(int version, const char *const *pin_list)
{
    struct resuming r;
    r.peer =
        peer_start(&(struct peer_options){.cert = &leaf, .version = version, .early_data = true});
    r.trust = trust_of(&(struct pv_tls_trust_options){
        .ca_file = root_file, .name = "dns.example", .pins = pin_list});
    r.tls = pv_tls_context_new(loop, r.trust, "dot", false);
    assert_non_null(r.tls);
    return r;
}

static void resuming_end(struct resuming *r)
{
    pv_tls_context_free(r->tls);
    pv_tls_trust_free(r->trust);
    peer_stop(r->peer);
}

static void reconnects_resume(int version)
{
    char good[52];
    cert_pin(&leaf, good);
    const char *pin_list[] = {good, NULL};
    struct resuming r = resuming_begin(version, pin_list);
    struct client c = {0};
    for (unsigned i = 0; i < 21; i++) {
        connect_once(r.tls, r.peer, &c);
        assert_true(c.opened && !c.lost);
        assert_int_equal(pv_stream_tls_facts(c.stream)->resumed, i > 0);
        assert_true(pv_stream_tls_facts(c.stream)->pinned);
        client_close(&c);
    }
    run_until(r.peer->handshakes == 21);
    assert_int_equal(r.peer->resumed, 20);
    assert_int_equal(r.peer->tickets_again, 0);
    assert_int_equal(r.peer->ticket_count, version == TLS1_3_VERSION ? 20 : 0);
    assert_int_equal(r.peer->early, 0);
    resuming_end(&r);
}

/* The tickets permit early data: none is sent. */
static void S11_twenty_reconnects_resume(void **state)
{
    (void)state;
    reconnects_resume(TLS1_3_VERSION);
    reconnects_resume(TLS1_2_VERSION);
}

static void tickets_of_connections_at_once_are_used_once(void **state)
{
    (void)state;
    struct resuming r = resuming_begin(TLS1_3_VERSION, NULL);
    struct client c[5] = {0};
    connect_once(r.tls, r.peer, &c[0]);
    for (unsigned i = 1; i < 5; i++)
        connect_once(r.tls, r.peer, &c[i]);
    for (unsigned i = 0; i < 5; i++)
        client_close(&c[i]);
    assert_int_equal(r.peer->tickets_again, 0);
    assert_true(r.peer->resumed >= 2);
    resuming_end(&r);
}

static void dropped_tickets_are_not_used(void **state)
{
    (void)state;
    struct resuming r = resuming_begin(TLS1_3_VERSION, NULL);
    struct client c = {0};
    for (unsigned i = 0; i < 3; i++) {
        connect_once(r.tls, r.peer, &c);
        assert_false(pv_stream_tls_facts(c.stream)->resumed);
        client_close(&c);
        pv_tls_tickets_drop(r.tls);
    }
    assert_int_equal(r.peer->ticket_count, 0);
    resuming_end(&r);
}

/* From another local address nobody learns that it is us. */
static void S15_tickets_are_bound_to_the_local_address(void **state)
{
    (void)state;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    struct pv_addr six = loopback6(9);
    if (fd < 0 || connect(fd, &six.sa, sizeof six.in6) != 0)
        skip();
    close(fd);
    struct resuming r = resuming_begin(TLS1_3_VERSION, NULL);
    struct client c = {0};
    connect_once(r.tls, r.peer, &c);
    client_close(&c);
    six = loopback6(r.peer->port);
    client_open(&c, r.tls, &six, 1);
    run_until(c.opened);
    assert_false(pv_stream_tls_facts(c.stream)->resumed);
    client_close(&c);
    assert_int_equal(r.peer->ticket_count, 0);
    connect_once(r.tls, r.peer, &c);
    assert_true(pv_stream_tls_facts(c.stream)->resumed);
    client_close(&c);
    resuming_end(&r);
}

/* A connection that failed its pin leaves nothing behind, in TLS 1.2 either, where the ticket comes
 * within the handshake. */
static void no_ticket_from_whom_we_do_not_trust(void **state)
{
    (void)state;
    const char *pin_list[] = {"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", NULL};
    struct resuming r = resuming_begin(TLS1_2_VERSION, pin_list);
    struct client c = {0};
    for (unsigned i = 0; i < 3; i++) {
        connect_once(r.tls, r.peer, &c);
        assert_int_equal(c.fault, PV_STREAM_UNTRUSTED);
        client_close(&c);
    }
    assert_int_equal(r.peer->resumed, 0);
    resuming_end(&r);
}

/* A connection that merely broke leaves its tickets good. */
static void cut_after_echo(struct peer *p, SSL *ssl, int fd)
{
    (void)p;
    char bytes[64];
    int n = SSL_read(ssl, bytes, sizeof bytes);
    if (n > 0)
        SSL_write(ssl, bytes, n);
    shutdown(fd, SHUT_RDWR);
}

static void tickets_survive_a_broken_connection(void **state)
{
    (void)state;
    struct peer *p = peer_start(&(struct peer_options){.cert = &leaf, .serve = cut_after_echo});
    struct pv_tls_trust *trust =
        trust_of(&(struct pv_tls_trust_options){.ca_file = root_file, .name = "dns.example"});
    struct pv_tls_context *tls = pv_tls_context_new(loop, trust, "dot", false);
    struct client c = {0};
    for (unsigned i = 0; i < 5; i++) {
        connect_once(tls, p, &c);
        run_until(c.lost);
        assert_int_equal(c.fault, PV_STREAM_CLOSED);
        assert_int_equal(pv_stream_tls_facts(c.stream)->resumed, i > 0);
        client_close(&c);
    }
    pv_tls_context_free(tls);
    pv_tls_trust_free(trust);
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(S1_name_in_the_certificate),
        cmocka_unit_test(S1_address_in_the_certificate),
        cmocka_unit_test(S1_time_of_the_certificate),
        cmocka_unit_test(S1_signer_of_the_certificate),
        cmocka_unit_test(S1_intermediate_certificates),
        cmocka_unit_test(S14_pins),
        cmocka_unit_test(pin_only),
        cmocka_unit_test(hashes),
        cmocka_unit_test(errors_name_the_option),
        cmocka_unit_test(S2_versions),
        cmocka_unit_test(S3_alpn),
        cmocka_unit_test(S15_only_a_name_is_sent_as_a_name),
        cmocka_unit_test(S11_twenty_reconnects_resume),
        cmocka_unit_test(tickets_of_connections_at_once_are_used_once),
        cmocka_unit_test(dropped_tickets_are_not_used),
        cmocka_unit_test(S15_tickets_are_bound_to_the_local_address),
        cmocka_unit_test(no_ticket_from_whom_we_do_not_trust),
        cmocka_unit_test(tickets_survive_a_broken_connection),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
