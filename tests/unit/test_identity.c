/* Client certificates: what is taken, what is refused and why, and what happens when files change.
 */
#include "unit.h"

#include "peer.h"

#include "net/identity.h"
#include "net/loop.h"
#include "net/pair.h"
#include "net/sock.h"
#include "net/watch.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <event2/event.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct cert ca, one, two;
static char directory[64];
static char *lines; /* what was logged */
static size_t lines_length;

static void note(void *arg, enum privy_log_level level, const char *line)
{
    size_t n = strlen(line);
    (void)arg, (void)level;
    lines = realloc(lines, lines_length + n + 2);
    assert_non_null(lines);
    memcpy(lines + lines_length, line, n);
    memcpy(lines + lines_length + n, "\n", 2);
    lines_length += n + 1;
}

static unsigned logged(const char *text)
{
    unsigned n = 0;
    for (const char *at = lines; at && (at = strstr(at, text)); at++)
        n++;
    return n;
}

static struct cert make(const char *usage, int from_day, int to_day)
{
    return cert_make(&(struct cert_options){.common_name = "client",
                                            .usage = usage,
                                            .from_day = from_day,
                                            .to_day = to_day,
                                            .issuer = &ca});
}

static const char *path(const char *name)
{
    static char paths[8][128];
    static unsigned turn;
    char *out = paths[turn++ % 8];
    snprintf(out, sizeof paths[0], "%s/%s", directory, name);
    return out;
}

static void write_key(EVP_PKEY *key, const char *name, const char *passphrase, mode_t mode)
{
    FILE *file = fopen(path(name), "w");
    assert_non_null(file);
    assert_true(PEM_write_PKCS8PrivateKey(file, key, passphrase ? EVP_aes_256_cbc() : NULL,
                                          passphrase, passphrase ? (int)strlen(passphrase) : 0,
                                          NULL, NULL));
    fclose(file);
    assert_int_equal(chmod(path(name), mode), 0);
}

static void write_pair(const struct cert *certificate, const struct cert *key)
{
    cert_write(certificate, path("crt"));
    write_key(key->key, "key", NULL, 0600);
}

static int begin(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/test_identity.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    free(lines);
    lines = NULL;
    lines_length = 0;
    privy_log_set(note, NULL, PRIVY_LOG_NOTICE);
    return 0;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    privy_log_set(NULL, NULL, PRIVY_LOG_ERROR);
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

static enum privy_status load(const char *passphrase_file, struct pv_identity **ret,
                              struct privy_error *error)
{
    const struct pv_identity_options options = {.owner = "upstream corp",
                                                .cert = path("crt"),
                                                .key = path("key"),
                                                .passphrase_file = passphrase_file};
    *error = (struct privy_error){0};
    return pv_identity_new(&options, ret, error);
}

static struct pv_identity *must_load(void)
{
    struct privy_error error;
    struct pv_identity *i = NULL;
    if (load(NULL, &i, &error) != PRIVY_OK)
        fail_msg("%s", error.message);
    return i;
}

static void refused(const char *passphrase_file, const char *why)
{
    struct privy_error error;
    struct pv_identity *i = NULL;
    assert_int_not_equal(load(passphrase_file, &i, &error), PRIVY_OK);
    if (!strstr(error.message, why))
        fail_msg("\"%s\" instead of \"%s\"", error.message, why);
}

/* The certificate that a connection would show. */
static bool shows(struct pv_identity *i, const struct cert *expected)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    assert_true(pv_identity_use(i, ssl));
    bool same = X509_cmp(SSL_get_certificate(ssl), expected->x509) == 0;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return same;
}

/* ---- loading ---- */

static void a_pair_is_taken(void **state)
{
    (void)state;
    write_pair(&one, &one);
    struct pv_identity *i = must_load();
    assert_true(shows(i, &one));
    assert_false(pv_identity_expired(i));
    assert_int_equal(pv_identity_generation(i), 0);
    assert_null(lines);
    pv_identity_free(i);
}

static void what_is_no_pair_is_refused(void **state)
{
    (void)state;
    refused(NULL, "client_cert: ");
    write_pair(&one, &two);
    refused(NULL, "is not the key of");
    cert_write(&one, path("key"));
    assert_int_equal(chmod(path("key"), 0600), 0);
    refused(NULL, "holds no private key (PEM)");
    write_key(one.key, "key", NULL, 0600);
    write_key(one.key, "crt", NULL, 0600);
    refused(NULL, "holds no certificate (PEM)");
    assert_int_equal(unlink(path("key")), 0);
    cert_write(&one, path("crt"));
    refused(NULL, "client_key: ");
}

/* Half written: what comes before it is no chain. */
static void a_broken_chain_is_refused(void **state)
{
    (void)state;
    write_pair(&one, &one);
    FILE *file = fopen(path("crt"), "a");
    assert_non_null(file);
    fputs("-----BEGIN CERTIFICATE-----\nMIIB\n", file);
    fclose(file);
    refused(NULL, "holds a broken certificate");
    write_pair(&one, &one);
    file = fopen(path("crt"), "a");
    assert_non_null(file);
    for (unsigned k = 0; k < 9; k++)
        assert_true(PEM_write_X509(file, ca.x509));
    fclose(file);
    refused(NULL, "more than 9");
}

static void a_key_for_all_to_read_is_refused(void **state)
{
    (void)state;
    static const mode_t bad[] = {0644, 0660, 0604, 0602, 0700};
    write_pair(&one, &one);
    for (unsigned k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_int_equal(chmod(path("key"), bad[k]), 0);
        refused(NULL, "others could read or change it");
    }
    assert_int_equal(chmod(path("key"), 0640), 0);
    pv_identity_free(must_load());
}

static void a_key_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    write_pair(&one, &one);
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(chmod(path("key"), 0640), 0);
    assert_int_equal(chown(path("key"), 1, getegid()), 0);
    pv_identity_free(must_load()); /* root decides for itself */
    assert_int_equal(seteuid(65534), 0);
    refused(NULL, "belongs to uid 1");
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chown(path("key"), 0, getegid()), 0);
    assert_int_equal(seteuid(65534), 0);
    pv_identity_free(must_load());
    assert_int_equal(seteuid(0), 0);
}

static void a_passphrase_comes_from_its_file(void **state)
{
    (void)state;
    struct privy_error error;
    struct pv_identity *i = NULL;
    cert_write(&one, path("crt"));
    write_key(one.key, "key", "a secret", 0600);
    refused(NULL, "is encrypted: give client_key_passphrase_file");
    FILE *file = fopen(path("pass"), "w");
    assert_non_null(file);
    fputs("a secret\r\nanother line\n", file);
    fclose(file);
    assert_int_equal(chmod(path("pass"), 0644), 0);
    refused(path("pass"), "client_key_passphrase_file: ");
    assert_int_equal(chmod(path("pass"), 0600), 0);
    assert_int_equal(load(path("pass"), &i, &error), PRIVY_OK);
    assert_true(shows(i, &one));
    pv_identity_free(i);
    file = fopen(path("pass"), "w");
    assert_non_null(file);
    fputs("wrong\n", file);
    fclose(file);
    refused(path("pass"), "does not unlock");
}

static void a_servers_certificate_is_refused(void **state)
{
    (void)state;
    struct cert server = make("serverAuth", 0, 0), client = make("clientAuth", 0, 0);
    write_pair(&server, &server);
    refused(NULL, "is not for clients");
    write_pair(&client, &client);
    pv_identity_free(must_load());
    cert_done(&server);
    cert_done(&client);
}

static void the_end_is_told_ahead(void **state)
{
    (void)state;
    static const struct {
        int to_day;
        const char *line;
    } rows[] = {{-2, "has expired"},
                {1, "expires in 1 day"},
                {5, "expires in 5 days"},
                {12, "expires in 12 days"},
                {60, NULL}};
    for (unsigned k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct cert c = make(NULL, -10, rows[k].to_day);
        write_pair(&c, &c);
        struct pv_identity *i = must_load();
        assert_int_equal(pv_identity_expired(i), rows[k].to_day < 0);
        pv_identity_expired(i);
        if (rows[k].line)
            assert_int_equal(logged(rows[k].line), 1); /* once */
        else
            assert_null(lines);
        pv_identity_free(i);
        cert_done(&c);
        free(lines);
        lines = NULL;
        lines_length = 0;
    }
}

static void the_beginning_is_told(void **state)
{
    (void)state;
    struct cert c = make(NULL, 2, 60);
    write_pair(&c, &c);
    struct pv_identity *i = must_load();
    pv_identity_refresh(i);
    pv_identity_refresh(i);
    assert_int_equal(logged("is not yet valid: is the clock right?"), 1);
    pv_identity_free(i);
    cert_done(&c);
}

/* ---- changes ---- */

static void a_changed_pair_is_read(void **state)
{
    (void)state;
    write_pair(&one, &one);
    struct pv_identity *i = must_load();
    pv_identity_refresh(i);
    assert_int_equal(pv_identity_generation(i), 0);
    write_pair(&two, &two);
    pv_identity_refresh(i);
    assert_int_equal(pv_identity_generation(i), 1);
    assert_true(shows(i, &two));
    assert_int_equal(logged("was read again"), 1);
    pv_identity_free(i);
}

static void a_bad_change_leaves_the_old(void **state)
{
    (void)state;
    write_pair(&one, &one);
    struct pv_identity *i = must_load();
    write_pair(&two, &one);
    for (unsigned k = 0; k < 3; k++)
        pv_identity_refresh(i);
    assert_true(shows(i, &one));
    assert_int_equal(pv_identity_generation(i), 0);
    assert_int_equal(logged("upstream corp: client_key: "), 1);
    assert_int_equal(logged("stays in use"), 1);
    assert_int_equal(unlink(path("crt")), 0);
    for (unsigned k = 0; k < 3; k++)
        pv_identity_refresh(i);
    assert_true(shows(i, &one));
    assert_int_equal(logged("stays in use"), 2);
    write_pair(&two, &two);
    pv_identity_refresh(i);
    assert_true(shows(i, &two));
    pv_identity_free(i);
}

static void an_expired_pair_does_not_replace_a_good_one(void **state)
{
    (void)state;
    struct cert old = make(NULL, -10, -2);
    write_pair(&one, &one);
    struct pv_identity *i = must_load();
    write_pair(&old, &old);
    for (unsigned k = 0; k < 3; k++)
        pv_identity_refresh(i);
    assert_true(shows(i, &one));
    assert_int_equal(logged("has expired; the identity before it stays in use"), 1);
    pv_identity_free(i);
    i = must_load(); /* where there is no better one it is taken: the clock may be wrong */
    assert_true(pv_identity_expired(i));
    write_pair(&two, &two);
    pv_identity_refresh(i);
    assert_false(pv_identity_expired(i));
    pv_identity_free(i);
    cert_done(&old);
}

static void the_same_pair_again_changes_nothing(void **state)
{
    (void)state;
    write_pair(&one, &one);
    struct pv_identity *i = must_load();
    assert_int_equal(unlink(path("crt")), 0);
    pv_identity_refresh(i);
    write_pair(&one, &one);
    pv_identity_refresh(i);
    assert_int_equal(logged("was read again, and is the same"), 1);
    assert_int_equal(pv_identity_generation(i), 0);
    assert_true(shows(i, &one));
    pv_identity_free(i);
}

/* As Kubernetes does it: the name is a link through a link that is replaced. */
static void a_link_that_is_switched(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path("1"), 0700), 0);
    assert_int_equal(mkdir(path("2"), 0700), 0);
    cert_write(&one, path("1/crt"));
    write_key(one.key, "1/key", NULL, 0600);
    cert_write(&two, path("2/crt"));
    write_key(two.key, "2/key", NULL, 0600);
    assert_int_equal(symlink("1", path("..data")), 0);
    assert_int_equal(symlink("..data/crt", path("crt")), 0);
    assert_int_equal(symlink("..data/key", path("key")), 0);
    struct pv_identity *i = must_load();
    assert_true(shows(i, &one));
    assert_int_equal(symlink("2", path("..new")), 0);
    assert_int_equal(rename(path("..new"), path("..data")), 0);
    pv_identity_refresh(i);
    assert_true(shows(i, &two));
    pv_identity_free(i);
}

static time_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static void now_and_then_is_once_a_minute(void **state)
{
    (void)state;
    write_pair(&one, &one);
    struct pv_identity *i = must_load();
    pv_identity_refresh_sometimes(i, 1000);
    time_t written = seconds();
    write_pair(&two, &two);
    pv_identity_refresh_sometimes(i, 1059);
    assert_true(shows(i, &one));
    pv_identity_refresh_sometimes(i, 1060);
    /* It was written just now: perhaps not all of it. (Unless the machine stood still.) */
    assert_true(shows(i, &one) || seconds() > written + 1);
    const struct timespec pause = {.tv_nsec = 20000000};
    for (unsigned k = 0; k < 500 && pv_identity_generation(i) == 0; k++) {
        nanosleep(&pause, NULL);
        pv_identity_refresh_sometimes(i, 1060);
    }
    assert_true(shows(i, &two));
    pv_identity_free(i);
}

static bool time_is_behind(void)
{
    time_t coarse = time(NULL);
    return coarse < seconds();
}

/* time() is behind the stamps of files by up to a tick. What is written meanwhile has a stamp in
 * its future, and is written now all the same. */
static void a_change_at_the_turn_of_a_second(void **state)
{
    (void)state;
    char *const paths[PV_PAIR_FILES] = {(char *)path("crt")};
    time_t begun = seconds();
    cert_write(&one, paths[0]);
    do {
        while (!time_is_behind() && seconds() < begun + 5)
            ;
        for (unsigned k = 0; k < 4; k++) { /* a stamp that was seen is followed by an exact one */
            assert_int_equal(chmod(paths[0], 0600), 0);
            assert_true(pv_pair_is_changing(paths));
        }
    } while (!time_is_behind() && seconds() < begun + 5); /* all of it while it was */
}

static void not_asked_for_is_told_once(void **state)
{
    (void)state;
    write_pair(&one, &one);
    struct pv_identity *i = must_load();
    pv_identity_was_asked(i, true);
    assert_null(lines);
    pv_identity_was_asked(i, false);
    pv_identity_was_asked(i, false);
    assert_int_equal(logged("does not ask"), 1);
    pv_identity_was_asked(i, true);
    pv_identity_was_asked(i, false);
    assert_int_equal(logged("does not ask"), 1);
    write_pair(&two, &two);
    pv_identity_refresh(i);
    pv_identity_was_asked(i, false);
    assert_int_equal(logged("does not ask"), 2);
    pv_identity_free(i);
}

/* ---- watching ---- */

static struct event_base *base;
static struct pv_loop *loop;

static void end_loop(void *arg)
{
    event_base_loopbreak(arg);
}

static struct pv_watch *watch(const char *name)
{
    const char *const paths[] = {path(name), NULL};
    base = event_base_new();
    loop = pv_loop_new(base, NULL, NULL);
    struct pv_watch *w = pv_watch_new(loop, paths, end_loop, base);
    assert_non_null(w);
    return w;
}

static void end_watch(struct pv_watch *w)
{
    pv_watch_free(w);
    pv_loop_free(loop);
    event_base_free(base);
}

static bool is_told(void)
{
    struct timeval most = {.tv_sec = 10};
    event_base_loopexit(base, &most);
    assert_int_equal(event_base_dispatch(base), 0);
    return event_base_got_break(base);
}

static void link_to(const char *target, const char *name)
{
    assert_int_equal(symlink(target, path("new")), 0);
    assert_int_equal(rename(path("new"), path(name)), 0);
}

static void make_two_directories(void)
{
    assert_int_equal(mkdir(path("1"), 0700), 0);
    assert_int_equal(mkdir(path("2"), 0700), 0);
    write_key(one.key, "1/key", NULL, 0600);
    write_key(two.key, "2/key", NULL, 0600);
}

static void changes_are_told(void **state)
{
    (void)state;
    make_two_directories();
    link_to("1", "..data");
    link_to("..data/key", "key");
    struct pv_watch *w = watch("key");
    write_key(two.key, "1/key", NULL, 0600); /* the file itself */
    assert_true(is_told());
    link_to("2", "..data");
    assert_true(is_told());
    write_key(one.key, "2/key", NULL, 0600); /* where it leads now */
    assert_true(is_told());
    end_watch(w);
}

/* The link is a directory in the middle of the name, and absolute. */
static void a_directory_that_is_a_link(void **state)
{
    (void)state;
    make_two_directories();
    link_to(path("1"), "current");
    struct pv_watch *w = watch("current/../current//key");
    link_to(path("2"), "current");
    assert_true(is_told());
    write_key(one.key, "2/key", NULL, 0600);
    assert_true(is_told());
    end_watch(w);
}

static void a_directory_that_comes_back(void **state)
{
    (void)state;
    make_two_directories();
    struct pv_watch *w = watch("1/key");
    assert_int_equal(rename(path("1"), path("gone")), 0);
    assert_true(is_told());
    assert_int_equal(mkdir(path("1"), 0700), 0);
    assert_true(is_told());
    write_key(two.key, "1/key", NULL, 0600);
    assert_true(is_told());
    end_watch(w);
}

static void touch(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    write_key(one.key, "key", NULL, 0600);
}

/* Somebody writes there every 100 ms. */
static void no_change_waits_for_ever(void **state)
{
    (void)state;
    touch(-1, 0, NULL);
    struct pv_watch *w = watch("key");
    const struct timeval pause = {.tv_usec = 100000};
    struct event *again = event_new(base, -1, EV_PERSIST, touch, NULL);
    event_add(again, &pause);
    assert_true(is_told());
    event_free(again);
    end_watch(w);
}

/* ---- where nobody tells ---- */

static uint64_t clock_us = 1000;

static uint64_t now(void *world)
{
    (void)world;
    return clock_us;
}

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void without_watches_once_a_minute(void **state)
{
    (void)state;
    static const struct pv_machine machine = {.now = now};
    const char *const paths[] = {path("key"), NULL};
    unsigned told = 0;
    struct pv_loop *still = pv_loop_new(NULL, &machine, NULL);
    struct pv_watch *w = pv_watch_new(still, paths, count, &told);
    assert_non_null(w);
    for (unsigned s = 1; s <= 185; s++) {
        clock_us += 1000000;
        pv_now_refresh(still);
        pv_loop_turn(still);
        assert_int_equal(told, s / 60);
    }
    pv_watch_free(w);
    pv_loop_free(still);
}

static int make_certificates(void **state)
{
    (void)state;
    ca = cert_make(&(struct cert_options){.common_name = "authority", .ca = true});
    one = make(NULL, 0, 0);
    two = make(NULL, 0, 0);
    return 0;
}

static int drop_certificates(void **state)
{
    (void)state;
    cert_done(&one);
    cert_done(&two);
    cert_done(&ca);
    free(lines);
    return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_pair_is_taken),
        T(what_is_no_pair_is_refused),
        T(a_broken_chain_is_refused),
        T(a_key_for_all_to_read_is_refused),
        T(a_key_of_somebody_else_is_refused),
        T(a_passphrase_comes_from_its_file),
        T(a_servers_certificate_is_refused),
        T(the_end_is_told_ahead),
        T(the_beginning_is_told),
        T(a_changed_pair_is_read),
        T(a_bad_change_leaves_the_old),
        T(an_expired_pair_does_not_replace_a_good_one),
        T(the_same_pair_again_changes_nothing),
        T(a_link_that_is_switched),
        T(now_and_then_is_once_a_minute),
        T(a_change_at_the_turn_of_a_second),
        T(not_asked_for_is_told_once),
        T(changes_are_told),
        T(a_directory_that_is_a_link),
        T(a_directory_that_comes_back),
        T(no_change_waits_for_ever),
        T(without_watches_once_a_minute),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
