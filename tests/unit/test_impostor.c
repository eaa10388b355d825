/* An upstream that is not who it should be stays so when OpenSSL has no memory, at each place in
 * turn; and one that is who it should be is no worse for it the next time. */
#include "unit.h"

#include "client.h"

#include <openssl/crypto.h>
#include <unistd.h>

static struct cert root, leaf;
static char root_file[] = "/tmp/pv-test-impostor-XXXXXX";
static struct peer *peer;

/* ---- OpenSSL's memory, in our thread only: the peer has enough ---- */

static _Thread_local bool playing;
static _Thread_local unsigned count, fatal;

static bool fails(void)
{
    return playing && ++count == fatal;
}

static void *some_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : malloc(n);
}

static void *some_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : realloc(p, n);
}

static void some_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

/* ---- connections ---- */

/* A peer serves so many connections only. */
static void have_peer(void)
{
    static unsigned connections;
    if (connections++ % PEER_CONNECTIONS != 0)
        return;
    if (peer)
        peer_stop(peer);
    peer = peer_start(&(struct peer_options){.cert = &leaf});
}

/* One under this trust, of which the n-th allocation fails. Was it good enough to carry a word? */
static bool is_trusted(const struct pv_tls_trust *trust, unsigned n)
{
    struct client c = {0};
    have_peer();
    struct pv_addr address = loopback(peer->port);
    fatal = n;
    count = 0;
    playing = true;
    struct pv_tls_context *tls = pv_tls_context_new(loop, trust, "dot", false);
    if (tls) {
        client_open(&c, tls, &address, 1);
        pv_stream_write(c.stream, "word", 4);
        run_until(c.lost || c.received == 4);
    }
    playing = false;
    bool trusted = c.opened;
    client_close(&c);
    pv_tls_context_free(tls);
    return trusted;
}

static struct pv_tls_trust *trust_of(const char *name, const struct pv_addr *address)
{
    struct pv_tls_trust_options o = {.ca_file = root_file, .name = name, .address = address};
    struct pv_tls_trust *trust = NULL;
    assert_int_equal(pv_tls_trust_new(&o, &trust, NULL), PRIVY_OK);
    return trust;
}

static void is_never_trusted(struct pv_tls_trust *trust, unsigned step)
{
    unsigned n = 1;
    do {
        if (is_trusted(trust, n))
            fail_msg("trusted when allocation %u failed", n);
        n += step;
    } while (count >= n - step);
    assert_true(n > 200);
    pv_tls_trust_free(trust);
}

static void another_name(void **state)
{
    (void)state;
    is_never_trusted(trust_of("other.example", NULL), 1);
}

static void another_address(void **state)
{
    (void)state;
    struct pv_addr address = loopback6(853);
    is_never_trusted(trust_of(NULL, &address), 3);
}

static void another_authority(void **state)
{
    (void)state;
    struct cert other = cert_make(&(struct cert_options){.common_name = "Other", .ca = true});
    cert_write(&other, root_file);
    is_never_trusted(trust_of("dns.example", NULL), 10);
    cert_write(&root, root_file);
    cert_done(&other);
}

static void the_right_one(void **state)
{
    (void)state;
    struct pv_tls_trust *trust = trust_of("dns.example", NULL);
    unsigned n = 1;
    do {
        is_trusted(trust, n);
        n += 10;
    } while (count >= n - 10);
    assert_true(is_trusted(trust, 0));
    pv_tls_trust_free(trust);
}

static int begin(void **state)
{
    if (!CRYPTO_set_mem_functions(some_malloc, some_realloc, some_free))
        return -1;
    root = cert_make(&(struct cert_options){.common_name = "Root", .ca = true});
    leaf = cert_make(&(struct cert_options){
        .common_name = "x", .alt = "DNS:dns.example,IP:127.0.0.1", .issuer = &root});
    close(mkstemp(root_file));
    cert_write(&root, root_file);
    return loop_begin(state);
}

static int end(void **state)
{
    peer_stop(peer);
    cert_done(&root);
    cert_done(&leaf);
    unlink(root_file);
    return loop_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_name),
        cmocka_unit_test(another_address),
        cmocka_unit_test(another_authority),
        cmocka_unit_test(the_right_one),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
