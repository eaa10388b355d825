#include "unit.h"

#include "upstream/url.h"

static struct pv_url parse(const char *text)
{
    struct pv_url url;
    struct privy_error error;

    if (pv_url_parse(text, &url, &error) != PRIVY_OK)
        fail_msg("%s", error.message);
    return url;
}

static void tls_urls(void **state)
{
    (void)state;
    char text[PV_ADDR_TEXT];
    struct pv_url u = parse("tls://9.9.9.9#dns.quad9.net");
    assert_string_equal(u.scheme, "tls");
    assert_string_equal(u.host, "9.9.9.9");
    assert_true(u.is_address);
    assert_int_equal(u.port, 0);
    assert_string_equal(u.path, "");
    assert_string_equal(u.fragment, "dns.quad9.net");

    u = parse("TLS://DNS.Example.NET.:8853");
    assert_string_equal(u.scheme, "tls");
    assert_string_equal(u.host, "dns.example.net");
    assert_false(u.is_address);
    assert_int_equal(u.port, 8853);

    u = parse("tls://[2620:FE::fe]:853#[2620:fe::FE]");
    assert_string_equal(u.host, "2620:fe::fe");
    assert_true(u.is_address);
    assert_string_equal(pv_addr_text(&u.address, text), "[2620:fe::fe]:853");
    assert_string_equal(u.fragment, "2620:fe::fe");

    u = parse("udp://[::1]");
    assert_string_equal(u.host, "::1");
    assert_int_equal(pv_addr_port(&u.address), 0);
}

static void https_urls(void **state)
{
    (void)state;
    struct pv_url u = parse("https://9.9.9.9/dns-query#dns.quad9.net");
    assert_string_equal(u.path, "/dns-query");
    assert_string_equal(u.fragment, "dns.quad9.net");
    u = parse("https://dns.example.net:443/dns-query{?dns}");
    assert_string_equal(u.host, "dns.example.net");
    assert_int_equal(u.port, 443);
    assert_string_equal(u.path, "/dns-query{?dns}");
    assert_string_equal(parse("https://a.example/x%2Fy?z=/").path, "/x%2Fy?z=/");
    assert_string_equal(parse("https://a.example").path, "");
}

/* Every refusal names the option, shows what was typed and says why. */
static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *url, *why;
    } wrong[] = {
        {"", "missing"},
        {"9.9.9.9", "does not begin with a scheme"},
        {"tls:/x", "does not begin with a scheme"},
        {"://x", "does not begin with a scheme"},
        {"t ls://x", "does not begin with a scheme"},
        {"tls://", "no host"},
        {"tls://#name", "no host"},
        {"tls://:853", "no host"},
        {"tls://a.example:", "port"},
        {"tls://a.example:0", "port"},
        {"tls://a.example:65536", "port"},
        {"tls://a.example:+853", "port"},
        {"tls://a.example:853x", "port"},
        {"tls://a.example:000853", "port"},
        {"tls://9.9.9", "looks like an IPv4 address"},
        {"tls://9.9.9.256", "looks like an IPv4 address"},
        {"tls://a..example", "neither a name nor an address"},
        {"tls://a b.example", "neither a name nor an address"},
        {"tls://user@a.example", "user name"},
        {"tls://m\xc3\xbcnchen.example", "xn--"},
        {"tls://::1", "did you mean tls://[::1]"},
        {"tls://::1:853", "did you mean tls://[::1]:853"},
        {"https://2620:fe::fe/dns-query", "did you mean https://[2620:fe::fe]"},
        {"tls://a:b:c", "more than one ':'"},
        {"tls://[::1", "'[' without ']'"},
        {"tls://[::1]853", "after ']'"},
        {"tls://[9.9.9.9]", "not an IPv6 address"},
        {"tls://[a.example]", "not an IPv6 address"},
        {"tls://9.9.9.9#", "missing"},
        {"tls://9.9.9.9#a b", "after '#'"},
        {"tls://9.9.9.9#9.9.9.9:853", "after '#'"},
        {"https://a.example?dns=x", "before its path"},
        {"https://a.example/a b", "path"},
        {"https://a.example/%zz", "'%'"},
        {"https://a.example/%2", "'%'"},
        {"abcdefghijklmnopq://a.example", "scheme"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct pv_url url;
        struct privy_error error = {.status = PRIVY_OK};
        if (pv_url_parse(wrong[i].url, &url, &error) != PRIVY_EINVAL)
            fail_msg("accepted: %s", wrong[i].url);
        assert_int_equal(error.status, PRIVY_EINVAL);
        assert_ptr_equal(strstr(error.message, "url: "), error.message);
        if (!strstr(error.message, wrong[i].why))
            fail_msg("%s: %s", wrong[i].url, error.message);
    }
}

static void long_parts(void **state)
{
    (void)state;
    char text[1200] = "https://a.example/";
    struct pv_url url;

    memset(text + 18, 'p', 510);
    assert_int_equal(strlen(parse(text).path), 511);
    text[18 + 510] = 'p';
    assert_int_equal(pv_url_parse(text, &url, NULL), PRIVY_EINVAL);

    char label[65] = "";
    memset(label, 'l', 63);
    assert_true(pv_host_is_name(label));
    label[63] = 'l';
    assert_false(pv_host_is_name(label));
}

static void names(void **state)
{
    (void)state;
    assert_true(pv_host_is_name("a"));
    assert_true(pv_host_is_name("_dns.resolver.example-1.ORG"));
    assert_false(pv_host_is_name(""));
    assert_false(pv_host_is_name("."));
    assert_false(pv_host_is_name("a."));
    assert_false(pv_host_is_name(".a"));
    assert_false(pv_host_is_name("a/b"));
    char name[260];
    for (size_t i = 0; i < 253; i++)
        name[i] = i % 2 ? '.' : 'a';
    name[253] = 0;
    assert_true(pv_host_is_name(name));
    strcpy(name + 253, "aa");
    assert_false(pv_host_is_name(name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_urls),   cmocka_unit_test(https_urls), cmocka_unit_test(refusals),
        cmocka_unit_test(long_parts), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
