#include "unit.h"

#include <arpa/inet.h>

#include "base/addr.h"

static struct pv_addr addr(const char *text)
{
    struct pv_addr a;
    assert_true(pv_addr_parse(text, strlen(text), 53, &a));
    return a;
}

static void text_to_address_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *in, *text, *host;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1:53", "192.0.2.1"},
        {"192.0.2.1:853", "192.0.2.1:853", "192.0.2.1"},
        {"[2001:db8::1]:853", "[2001:db8::1]:853", "2001:db8::1"},
        {"[2001:db8::1]", "[2001:db8::1]:53", "2001:db8::1"},
        {"2001:db8::1", "[2001:db8::1]:53", "2001:db8::1"},
        {"[fe80::1%2]:5353", "[fe80::1%2]:5353", "fe80::1%2"},
        {"fe80::1%4294967295", "[fe80::1%4294967295]:53", "fe80::1%4294967295"},
        {"::", "[::]:53", "::"},
        {"::ffff:192.0.2.1", "[::ffff:192.0.2.1]:53", "::ffff:192.0.2.1"},
        {"127.0.0.1:65535", "127.0.0.1:65535", "127.0.0.1"},
        {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[PV_ADDR_TEXT];
        struct pv_addr a = addr(rows[i].in);
        assert_string_equal(pv_addr_text(&a, out), rows[i].text);
        struct pv_addr again = addr(out);
        assert_true(pv_addr_equal(&a, &again));
        assert_string_equal(pv_addr_host(&a, out), rows[i].host);
    }
}

static void wrong_texts_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:+5",
        "192.0.2.1: 5",
        "[192.0.2.1]:53",
        "[::1",
        "[::1]53",
        "[::1]:",
        "[::1]:x",
        "::1]:53",
        "[]:53",
        "[]",
        "[",
        ":53",
        "fe80::1%eth0",
        "fe80::1%",
        "192.0.2.1%2",
        " 192.0.2.1",
        "192.0.2.1 ",
        "1.2.3.4:00000000053",
        "fe80::1%4294967296",
        "01.2.3.4",
        "[::1]:53:53",
        "::1:2:3:4:5:6:7:8:9",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pv_addr a = {0}, none = {0};
        assert_false(pv_addr_parse(rows[i], strlen(rows[i]), 53, &a));
        assert_memory_equal(&a, &none, sizeof a);
    }
    struct pv_addr a;
    assert_false(pv_addr_parse("1.2.3.4\0", 8, 53, &a)); /* a NUL does not end it */
}

static void addresses_compare(void **state)
{
    (void)state;
    struct pv_addr a = addr("192.0.2.1:53"), b = addr("192.0.2.1:54"), c = addr("192.0.2.2:53");
    struct pv_addr d = addr("fe80::1%1"), e = addr("fe80::1%2");
    assert_true(pv_addr_same_host(&a, &b));
    assert_false(pv_addr_equal(&a, &b));
    assert_false(pv_addr_same_host(&a, &c));
    assert_false(pv_addr_same_host(&a, &d));
    assert_false(pv_addr_same_host(&d, &e));
    struct pv_addr mapped = addr("[::ffff:192.0.2.1]:53"), not_mapped = addr("::192.0.2.1");
    assert_true(pv_addr_same_host(&a, &mapped));
    assert_true(pv_addr_equal(&mapped, &a));
    assert_false(pv_addr_same_host(&c, &mapped));
    assert_false(pv_addr_same_host(&a, &not_mapped));
    assert_false(pv_addr_same_host(&mapped, &not_mapped));
    pv_addr_set_port(&b, 53);
    assert_true(pv_addr_equal(&a, &b));
    assert_int_equal(pv_addr_size(&a), sizeof(struct sockaddr_in));
    assert_int_equal(pv_addr_size(&d), sizeof(struct sockaddr_in6));
}

static void loopback_and_any(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback, any;
    } rows[] = {
        {"127.0.0.1", true, false},        {"127.255.0.9", true, false},
        {"128.0.0.1", false, false},       {"::1", true, false},
        {"::ffff:127.0.0.1", true, false}, {"::2", false, false},
        {"0.0.0.0", false, true},          {"::", false, true},
        {"::ffff:0.0.0.0", false, true},   {"0.0.0.1", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pv_addr a = addr(rows[i].text);
        assert_int_equal(pv_addr_is_loopback(&a), rows[i].loopback);
        assert_int_equal(pv_addr_is_any(&a), rows[i].any);
    }
}

static void prefixes_match(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *address;
        bool has;
    } rows[] = {
        {"127.0.0.0/8", "127.9.9.9", true},
        {"127.0.0.0/8", "128.0.0.1", false},
        {"192.0.2.0/23", "192.0.3.255", true},
        {"192.0.2.0/23", "192.0.4.0", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.0", false},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "::1", false},
        {"127.0.0.0/8", "::ffff:127.0.0.1", true},
        {"::/0", "1.2.3.4", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1/128", "::1", true},
        {"::ffff:0:0/96", "::ffff:1.2.3.4", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pv_prefix p;
        struct pv_addr a = addr(rows[i].address);
        assert_true(pv_prefix_parse(rows[i].prefix, strlen(rows[i].prefix), &p));
        assert_int_equal(pv_prefix_has(&p, &a), rows[i].has);
    }
}

static void prefixes_have_no_host_bits(void **state)
{
    (void)state;
    static const char *const rows[] = {"127.0.0.1/8", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1",
                                       "::1/127",     "::/129",       "/8",         "10.0.0.0:53/8",
                                       "[::]/0",      "0.0.0.1/0"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pv_prefix p;
        assert_false(pv_prefix_parse(rows[i], strlen(rows[i]), &p));
    }
    struct pv_prefix p;
    char out[PV_ADDR_TEXT];
    assert_true(pv_prefix_parse("2001:db8::/32", 13, &p));
    assert_string_equal(pv_prefix_text(&p, out), "2001:db8::/32");
    assert_true(pv_prefix_parse("192.0.2.1", 9, &p));
    assert_string_equal(pv_prefix_text(&p, out), "192.0.2.1/32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_to_address_and_back), cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(addresses_compare),        cmocka_unit_test(loopback_and_any),
        cmocka_unit_test(prefixes_match),           cmocka_unit_test(prefixes_have_no_host_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
