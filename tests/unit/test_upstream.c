#include "unit.h"

#include "base/status.h"
#include "upstream/upstream.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PIN_A     "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B     "sha256/AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static struct pv_upstream *make(const char *url, struct privy_upstream_options o)
{
    struct pv_upstream *u = NULL;
    struct privy_error error;

    o.size = sizeof o;
    if (pv_upstream_new(url, NULL, &o, 853, &u, &error) != PRIVY_OK)
        fail_msg("%s", error.message);
    return u;
}

static void refused(const char *url, struct privy_upstream_options o, const char *begin,
                    const char *why)
{
    struct pv_upstream *u = NULL;
    struct privy_error error = {.status = PRIVY_OK};

    o.size = sizeof o;
    assert_int_equal(pv_upstream_new(url, NULL, &o, 853, &u, &error), PRIVY_EINVAL);
    assert_null(u);
    if (strstr(error.message, begin) != error.message || !strstr(error.message, why))
        fail_msg("expected '%s ... %s', got '%s'", begin, why, error.message);
}

static void an_address_with_a_name(void **state)
{
    (void)state;
    char text[PV_ADDR_TEXT];
    struct pv_upstream *u = make("tls://9.9.9.9#dns.quad9.net", (struct privy_upstream_options){0});

    assert_string_equal(u->name, "9.9.9.9");
    assert_string_equal(u->operator_name, "quad9.net");
    assert_string_equal(u->tls_name, "dns.quad9.net");
    assert_string_equal(u->url_text, "tls://9.9.9.9#dns.quad9.net");
    assert_int_equal(u->address_count, 1);
    assert_string_equal(pv_addr_text(&u->addresses[0], text), "9.9.9.9:853");
    assert_false(u->tls13_only);
    assert_false(pv_upstream_has_identity(u));
    pv_upstream_unref(pv_upstream_ref(u));
    pv_upstream_unref(u);
}

static void a_name_alone(void **state)
{
    (void)state;
    struct pv_upstream *u = make("tls://dns.example.net", (struct privy_upstream_options){0});

    assert_string_equal(u->name, "dns.example.net");
    assert_string_equal(u->operator_name, "example.net");
    assert_null(u->tls_name);
    assert_int_equal(u->address_count, 0);
    pv_upstream_unref(u);
}

static void everything_said(void **state)
{
    (void)state;
    char text[PV_ADDR_TEXT];
    struct pv_upstream *u =
        make("tls://dns.corp.example:8853", (struct privy_upstream_options){
                                                .name = "corp",
                                                .operator_name = "we",
                                                .properties = LIST("dnssec", "nolog"),
                                                .addresses = LIST("192.0.2.1", "[2001:db8::1]:443"),
                                                .pins = LIST(PIN_A, PIN_B),
                                                .tls_name = "Resolver.Corp.example",
                                                .ca_file = "/ca.pem",
                                                .client_cert = "/c.pem",
                                                .client_key = "/k.pem",
                                            });

    assert_string_equal(u->name, "corp");
    assert_string_equal(u->operator_name, "we");
    assert_int_equal(u->properties, PV_PROP_DNSSEC | PV_PROP_NOLOG);
    assert_int_equal(u->address_count, 2);
    assert_string_equal(pv_addr_text(&u->addresses[0], text), "192.0.2.1:8853");
    assert_string_equal(pv_addr_text(&u->addresses[1], text), "[2001:db8::1]:443");
    assert_string_equal(u->pins[1], PIN_B);
    assert_null(u->pins[2]);
    assert_string_equal(u->tls_name, "resolver.corp.example");
    assert_true(u->tls13_only); /* a certificate of ours is not shown in the clear */
    assert_true(pv_upstream_has_identity(u));
    pv_upstream_unref(u);
}

static void refusals(void **state)
{
    (void)state;
#define O(...) ((struct privy_upstream_options){__VA_ARGS__})
    const char *url = "tls://9.9.9.9#dns.quad9.net";

    refused("tls:/x", O(.name = NULL), "url: 'tls:/x' ", "scheme");
    refused("tls://0.0.0.0", O(.name = NULL), "url: ", "host");
    refused(url, O(.name = ""), "name: ", "printable");
    refused(url, O(.name = "a b"), "name: 'a b' ", "spaces");
    refused(url, O(.operator_name = "\n"), "operator: ", "printable");
    refused(url, O(.properties = LIST("dnssec", "fast")), "properties: 'fast' ", "dnssec");
    refused(url, O(.addresses = LIST("dns.quad9.net")), "addresses: ", "192.0.2.1");
    refused(url, O(.addresses = LIST("9.9.9.9:0")), "addresses: ", "not an address");
    refused(url, O(.addresses = LIST("::")), "addresses: ", "host");
    refused(url, O(.pins = LIST(PIN_A, "AAAA")), "pins: 'AAAA' ", "sha256/");
    refused(url, O(.pins = LIST("sha256/AAAA")), "pins: ", "32 octets");
    refused(url,
            O(.pins = LIST("sha1/"
                           "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
            "pins: ", "sha256/");
    refused(url, O(.pins = LIST(PIN_A "x")), "pins: ", "32 octets");
    refused(url, O(.tls_name = "dns9.quad9.net"), "tls_name: ", "differs");
    refused("tls://9.9.9.9", O(.tls_name = "a b"), "tls_name: ", "name");
    refused("tls://9.9.9.9", O(.tls_name = "9.9.9.9:853"), "tls_name: ", "name");
    refused(url, O(.tls_min = "1.1"), "tls_min: '1.1' ", "1.2");
    refused(url, O(.ca_file = ""), "ca_file: ", "file");
    refused(url, O(.client_cert = "/c"), "client_key: ", "missing");
    refused(url, O(.client_key = "/k"), "client_cert: ", "missing");
    refused(url, O(.client_key_passphrase_file = "/p"), "client_key_passphrase_file: ", "no");
}

static void the_same_name_twice_is_no_fault(void **state)
{
    (void)state;
    struct pv_upstream *u = make("tls://9.9.9.9#dns.quad9.net", O(.tls_name = "DNS.quad9.net"));
    assert_string_equal(u->tls_name, "dns.quad9.net");
    pv_upstream_unref(u);
    u = make("tls://dns.quad9.net", O(.tls_name = "2620:FE::fe", .tls_min = "1.3"));
    assert_string_equal(u->tls_name, "2620:fe::fe");
    assert_true(u->tls13_only);
    pv_upstream_unref(u);
}

/* Reload: one change in anything said is another upstream. */
static void equality(void **state)
{
    (void)state;
    const struct privy_upstream_options said = {.pins = LIST(PIN_A), .ca_file = "/ca.pem"};
    const struct privy_upstream_options changed[] = {
        {.pins = LIST(PIN_B), .ca_file = "/ca.pem"},
        {.pins = LIST(PIN_A, PIN_B), .ca_file = "/ca.pem"},
        {.ca_file = "/ca.pem"},
        {.pins = LIST(PIN_A), .ca_file = "/other.pem"},
        {.pins = LIST(PIN_A)},
        {.pins = LIST(PIN_A), .ca_file = "/ca.pem", .name = "n"},
        {.pins = LIST(PIN_A), .ca_file = "/ca.pem", .operator_name = "o"},
        {.pins = LIST(PIN_A), .ca_file = "/ca.pem", .properties = LIST("filter")},
        {.pins = LIST(PIN_A), .ca_file = "/ca.pem", .addresses = LIST("192.0.2.1")},
        {.pins = LIST(PIN_A), .ca_file = "/ca.pem", .tls_min = "1.3"},
        {.pins = LIST(PIN_A),
         .ca_file = "/ca.pem",
         .client_cert = "/c",
         .client_key = "/k",
         .tls_min = "1.2"},
    };
    static const char *const urls[] = {"tls://dns.example.net:854", "tls://dns1.example.net",
                                       "tls://dns.example.net#x.example", "https://dns.example.net",
                                       "tls://dns.example.net/x"};
    struct pv_upstream *u = make("tls://dns.example.net", said);
    struct pv_upstream *v = make("TLS://DNS.example.net.", said);

    assert_true(pv_upstream_equal(u, v));
    pv_upstream_unref(v);
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        v = make("tls://dns.example.net", changed[i]);
        assert_false(pv_upstream_equal(u, v));
        assert_false(pv_upstream_equal(v, u));
        pv_upstream_unref(v);
    }
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        v = make(urls[i], said);
        assert_false(pv_upstream_equal(u, v));
        pv_upstream_unref(v);
    }
    pv_upstream_unref(u);
}

static void sites(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"dns.quad9.net", "quad9.net"}, {"a.b.c.example", "c.example"},
        {"example.org", "example.org"}, {"localhost", "localhost"},
        {"192.0.2.1", "192.0.2.1"},     {"2001:db8::1", "2001:db8::1"}};
    char out[256];

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        pv_site(pairs[i][0], out);
        assert_string_equal(out, pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_with_a_name),
        cmocka_unit_test(a_name_alone),
        cmocka_unit_test(everything_said),
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_same_name_twice_is_no_fault),
        cmocka_unit_test(equality),
        cmocka_unit_test(sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
