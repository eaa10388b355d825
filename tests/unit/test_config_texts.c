/* Texts in the configuration of privydnsd: what is one, how it is printed, quoted and told. */
#include "unit.h"

#include "config/node.h"
#include "config_file.h"

static void utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "",
        "a",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
    };
    static const char *const bad[] = {
        "\x80",             /* only a follower */
        "\xff",             /* nothing at all */
        "\xc2",             /* cut */
        "\xe2\x82",         /* cut */
        "\xf0\x9f\x98",     /* cut */
        "\xc2 ",            /* followed by none */
        "\xe2\x28\xa1",     /* followed by none */
        "\xc1\xbf",         /* longer than need be */
        "\xe0\x9f\xbf",     /* longer than need be */
        "\xf0\x8f\xbf\xbf", /* longer than need be */
        "\xed\xa0\x80",     /* half of a pair */
        "\xed\xbf\xbf",     /* half of a pair */
        "\xf4\x90\x80\x80", /* behind the last */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

/* Whatever a text holds, it is the same when what is printed is read. */
static void printed_and_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null",
        "Null",
        "NULL",
        "~",
        "true",
        "/plain",
        "/a b",
        "/ends:",
        "/has: it",
        "/#",
        "/\"q\"",
        "/back\\slash",
        "-x",
        "/x #y",
        "/\xc3\xbc",
        "/\xe2\x82\xac",
        "/\xf0\x9f\x98\x80",
        "*x",
        "&x",
        "!x",
        "[a]",
        "{a}",
        "'a'",
        "%a",
        "@a",
        "`a",
        "0x10",
        "1.5",
    };
    const struct options options = {.config = file};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char expected[256];
        struct faults faults = {0};
        write_file("privydns.yaml", "");
        setenv("PRIVYDNS_STATE_DIR", texts[i], 1);
        struct config *c = config_load(&options, NULL, &faults);
        assert_non_null(c);
        unsetenv("PRIVYDNS_STATE_DIR");
        snprintf(expected, sizeof expected, "%s", c->state_dir);
        FILE *out = fopen(file, "w");
        assert_non_null(out);
        config_dump(c, out);
        assert_int_equal(fclose(out), 0);
        config_unref(c);
        faults_done(&faults);

        c = must_load(NULL);
        assert_string_equal(c->state_dir, expected);
        config_unref(c);
    }
}

static void not_texts(void **state)
{
    (void)state;
    expect_faults("state_dir: \"a\\x7f\"\n",
                  "privydns.yaml:1:12: state_dir: control characters are not allowed\n");
    expect_faults("user: \"a\\tb\\x7f\"\n",
                  "privydns.yaml:1:7: user: control characters are not allowed\n");
    expect_faults("\"a\\tb\\x7f\": 1\n",
                  "privydns.yaml:1:1: unknown key 'a?b?' in configuration\n");
    expect_faults("log: {level: "
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n",
                  "privydns.yaml:1:14: log.level: "
                  "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is not error, "
                  "warning, notice, info or debug\n");
    expect_faults(
        "query: {aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: 1}\n"
        "'': 1\n",
        "privydns.yaml:1:9: unknown key "
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' in query\n"
        "privydns.yaml:2:1: unknown key '' in configuration\n");
}

/* Brackets that are an address, and brackets that are none. */
static void brackets(void **state)
{
    (void)state;
    expect_faults("listen: [::1\n", "privydns.yaml:1:10: did not find expected node content while "
                                    "parsing a flow node\n");
    expect_faults("listen: '[::1]:53', [::1]:54\n",
                  "privydns.yaml:1:21: [::1]:54 is a list to YAML; quote it: \"[::1]:54\"\n");
    expect_faults("listen: {a: tls://[fe80::1%25]:853}",
                  "privydns.yaml:1:13: tls://[fe80::1%25]:853 is a list to YAML; quote it: "
                  "\"tls://[fe80::1%25]:853\"\n");
    expect_faults("a: [b]: c\n", "privydns.yaml:1:7: mapping values are not allowed in this "
                                 "context\n");
}

/* The screen is not flooded. */
static void many(void **state)
{
    static char yaml[64 * 1024], text[256 * 1024];
    struct faults faults = {0};
    char *told = NULL;
    size_t length, used = 0;
    (void)state;
    for (unsigned i = 0; i < FAULTS_MAX + 50; i++)
        used += (size_t)snprintf(yaml + used, sizeof yaml - used, "x%u: 1\n", i);
    write_file("privydns.yaml", yaml);
    assert_null(load(NULL, &faults));
    assert_true(strlen(faults_text(&faults, text, sizeof text)) > 0);
    FILE *out = open_memstream(&told, &length);
    assert_non_null(out);
    faults_print(&faults, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(told + length - 9, "and more\n");
    free(told);
    faults_done(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8),      cmocka_unit_test(printed_and_read),
        cmocka_unit_test(not_texts), cmocka_unit_test(brackets),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
