/* Memory runs out while a configuration is read, at each place in turn: it is refused, with a word
 * about it, or it is whole. */
#include "unit.h"

#include "config_file.h"
#include "scarce.h"

#include <errno.h>

static const char yaml[] = "listen: ['127.0.0.1:5353', '[::1]:5353']\n"
                           "allow: 192.0.2.0/24\n"
                           "pools:\n"
                           "  default:\n"
                           "    strategy: spread\n"
                           "    protocol: dot\n"
                           "    upstreams:\n"
                           "      - tls://9.9.9.9#dns.quad9.net\n"
                           "      - url: tls://dns.example\n"
                           "        name: first\n"
                           "        properties: [nolog, dnssec]\n"
                           "        addresses: [192.0.2.1, '2001:db8::1']\n"
                           "        pins: ['sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']\n"
                           "  office: {upstreams: ['udp://192.0.2.53'], plaintext: true}\n"
                           "routes:\n"
                           "  - {zones: ['corp.example', 2.0.192.in-addr.arpa], pool: office}\n"
                           "bootstrap: tls://192.0.2.9\n"
                           "state_dir: relative\n"
                           "query: {deadline: 4s}\n";

static struct options options = {.listen = {"127.0.0.9:99"},
                                 .listen_count = 1,
                                 .upstreams = {"tls://192.0.2.7", "tls://192.0.2.8"},
                                 .upstream_count = 2,
                                 .verbose = 1};

/* Each source of its own kind: file, drop-in, environment, flags. */
static void write_all(void)
{
    char path[192];
    write_file("privydns.yaml", yaml);
    snprintf(path, sizeof path, "%s.d", file);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    write_file("privydns.yaml.d/1.yaml", "query: {deadline: 3s}\ncache:\n");
    setenv("PRIVYDNS_ALLOW", "10.0.0.0/8, 192.0.2.0/24", 1);
    setenv("PRIVYDNS_LOG_LEVELL", "info", 1);
    options.config = file;
}

/* Loads with less memory; how many allocations it took. */
static unsigned starve(const struct config *previous, const char *whole, unsigned first,
                       unsigned many)
{
    struct faults faults = {0};
    scarce_begin(first, many);
    struct config *c = config_load(&options, previous, &faults);
    unsigned count = scarce_end();
    if (c) {
        char *text = printed(c, config_dump);
        assert_string_equal(text, whole);
        assert_int_equal(faults.errors, 0);
        free(text);
    } else {
        assert_true(faults.errors > 0);
        assert_true(faults.no_memory);
    }
    config_unref(c);
    faults_done(&faults);
    return count;
}

static void refused_or_whole(void **state)
{
    struct faults faults = {0};
    (void)state;
    write_all();
    struct config *previous = config_load(&options, NULL, &faults);
    assert_non_null(previous);
    char *whole = printed(previous, config_dump);
    unsigned n = 0;
    while (starve(NULL, whole, n + 1, 1) > n)
        n++;
    assert_true(n > 40); /* so many places there are */
    for (n = 0; starve(previous, whole, n + 1, 1) > n; n++)
        ;
    for (n = 0; starve(NULL, whole, n + 1, 3) > n; n++)
        ;
    for (n = 0; n < 40; n += 3)
        starve(NULL, whole, n + 1, 1000000);
    free(whole);
    config_unref(previous);
    faults_done(&faults);
}

/* The faults of a file are told as far as memory goes. */
static void faults_are_told_as_far_as_it_goes(void **state)
{
    unsigned n = 0, count;
    (void)state;
    write_all();
    write_file("privydns.yaml", "workers: 99\nquery: {tries: x}\nlisten: x\nbootstrap: [x]\n");
    do {
        struct faults faults = {0};
        char *text = NULL;
        size_t length;
        scarce_begin(++n, 1000000);
        struct config *c = config_load(&options, NULL, &faults);
        count = scarce_end();
        assert_null(c);
        assert_int_equal(faults.no_memory, count >= n);
        FILE *out = open_memstream(&text, &length);
        assert_non_null(out);
        faults_print(&faults, out);
        assert_int_equal(fclose(out), 0);
        assert_true(length > 0);
        free(text);
        faults_done(&faults);
    } while (count >= n);
    assert_true(n > 20); /* so many places there are */
}

/* Text without a file, as the fuzzer has it. */
static void text(void **state)
{
    unsigned n = 0, count;
    (void)state;
    do {
        struct faults faults = {0};
        scarce_begin(++n, 1);
        struct config *c = config_from_text(yaml, sizeof yaml - 1, &faults);
        count = scarce_end();
        assert_int_equal(c == NULL, faults.errors > 0);
        assert_true(c || faults.no_memory); /* a warning may get lost */
        config_unref(c);
        faults_done(&faults);
    } while (count >= n);
    assert_true(n > 5); /* so many places there are */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_or_whole),
        cmocka_unit_test(faults_are_told_as_far_as_it_goes),
        cmocka_unit_test(text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
