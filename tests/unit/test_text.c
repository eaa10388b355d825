#include "unit.h"

#include "wire/rrtype.h"
#include "wire/text.h"

/* A message of one owner name, www.example.com at offset 12, before the RDATA given in hex. */
static char text[1024];

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

static const char *show(const char *type, const char *hex)
{
    static uint8_t message[1024] = {[12] = 3, 'w', 'w', 'w', 7,   'e', 'x', 'a', 'm',
                                    'p',      'l', 'e', 3,   'c', 'o', 'm', 0};
    size_t at = 29, length = 0;

    for (const char *p = hex; *p; p++) {
        if (*p == ' ')
            continue;
        message[at + length++] = (uint8_t)(nibble(*p) << 4 | nibble(p[1]));
        p++;
    }
    size_t need = pv_rdata_text(message, at + length, pv_type_parse(type), message + at,
                                (uint16_t)length, text, sizeof text);
    assert_int_equal(need, strlen(text));
    return text;
}

static void addresses_and_names(void **state)
{
    (void)state;
    assert_string_equal(show("A", "C0000201"), "192.0.2.1");
    assert_string_equal(show("AAAA", "20010db8000000000000000000000001"), "2001:db8::1");
    assert_string_equal(show("CNAME", "C00C"), "www.example.com.");
    assert_string_equal(show("NS", "036e7331 C010"), "ns1.example.com.");
    assert_string_equal(show("PTR", "00"), ".");
    assert_string_equal(show("MX", "000A C00C"), "10 www.example.com.");
    assert_string_equal(show("SRV", "0001 0002 0355 C00C"), "1 2 853 www.example.com.");
    assert_string_equal(
        show("SOA", "C00C 02 6869 C010 00000001 00000E10 00000384 00093A80 FFFFFFFF"),
        "www.example.com. hi.example.com. 1 3600 900 604800 4294967295");
}

static void strings(void **state)
{
    (void)state;
    assert_string_equal(show("TXT", "02 6869 00 03 22 5C 07"), "\"hi\" \"\" \"\\\"\\\\\\007\"");
    assert_string_equal(show("SPF", "01 61"), "\"a\"");
    assert_string_equal(show("HINFO", "03 435055 02 4F53"), "\"CPU\" \"OS\"");
    assert_string_equal(show("NAPTR", "0064 000A 01 55 07 4532552B736970 00 C00C"),
                        "100 10 \"U\" \"E2U+sip\" \"\" www.example.com.");
    assert_string_equal(show("CAA", "00 05 6973737565 6C652E6F7267"), "0 issue \"le.org\"");
}

static void dnssec(void **state)
{
    (void)state;
    assert_string_equal(show("DS", "4F66 0D 02 ABCDEF"), "20326 13 2 ABCDEF");
    assert_string_equal(show("DNSKEY", "0101 03 0D 00010203"), "257 3 13 AAECAw==");
    assert_string_equal(show("TLSA", "03 01 01 D2AB"), "3 1 1 D2AB");
    assert_string_equal(show("SSHFP", "04 02 00FF"), "4 2 00FF");
    assert_string_equal(
        show("RRSIG", "0001 0D 02 00000E10 65920080 386D4380 0457 07 6578616D706C65 00 FF"),
        "A 13 2 3600 20240101000000 20000101000000 1111 example. /w==");
    assert_string_equal(show("NSEC", "00 00 06 400000080003"), ". A AAAA RRSIG NSEC");
    assert_string_equal(show("RRSIG", "FF00 0D 02 00000000 00000000 FFFFFFFF 0000 00 00"),
                        "TYPE65280 13 2 0 19700101000000 21060207062815 0 . AA==");
    assert_string_equal(show("RRSIG", "0001 0D 02 00000000 666D2B80 65E19E00 0000 00 00"),
                        "A 13 2 0 20240615054952 20240301092104 0 . AA==");
}

/* 51 octets: base64 in pieces must join without filling between them. */
static void long_base64(void **state)
{
    (void)state;
    char hex[9 + 2 * 51 + 1] = "0101030D ";
    memset(hex + 9, 'F', 2 * 51);
    show("DNSKEY", hex);
    assert_int_equal(strlen(text), strlen("257 3 13 ") + 68);
    assert_int_equal(strspn(text + 9, "/"), 68);
}

static void services(void **state)
{
    (void)state;
    assert_string_equal(show("HTTPS", "0000 C0"), "\\# 3 0000C0"); /* no pointers here */
    assert_string_equal(show("HTTPS", "0001 00"), "1 .");
    assert_string_equal(show("HTTPS", "0001 00 0001 0006 02 6832 02 6833"), "1 . alpn=\"h2,h3\"");
    assert_string_equal(
        show("SVCB", "0001 00 0000 0004 0001 0003 0001 0003 02 6832 0003 0002 0355"),
        "1 . mandatory=alpn,port alpn=\"h2\" port=853");
    assert_string_equal(show("SVCB", "0001 00 0002 0000 0004 0008 C0000201 C0000202"),
                        "1 . no-default-alpn ipv4hint=192.0.2.1,192.0.2.2");
    assert_string_equal(
        show("SVCB", "0001 00 0005 0002 FF00 0006 0010 20010db8000000000000000000000001"),
        "1 . ech=/wA= ipv6hint=2001:db8::1");
    assert_string_equal(show("SVCB", "0001 00 029B 0005 68656C6C6F"), "1 . key667=\"hello\"");
    assert_string_equal(show("SVCB", "0001 00 029B 0000"), "1 . key667");
    assert_string_equal(show("SVCB", "0001 00 0007 0002 2F71"), "1 . dohpath=\"/q\"");
    /* RFC 9460, figure 10: an alpn id with a comma and a backslash. */
    assert_string_equal(show("SVCB", "0010 00 0001 000C 08 665C6F6F2C626172 02 6832"),
                        "16 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\"");
}

/* Not of its type's form: shown as it is [RFC 3597 §5]. */
static void unknown_and_malformed(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"TYPE65280", "0A000001"},
        {"OPENPGPKEY", "99"},
        {"A", "C00002"},
        {"A", "C000020100"},
        {"AAAA", "C0000201"},
        {"CNAME", "C00C00"},
        {"CNAME", "C0FF"},
        {"CNAME", "40"},
        {"MX", "00"},
        {"TXT", "0261"},
        {"HINFO", "0161"},
        {"DS", "4F660D02"},
        {"CAA", "0000"},
        {"CAA", "00012D61"},
        {"NSEC", "000000"},
        {"NSEC", "0001017F000180"},
        {"NSEC", "00000180000180"}, /* the same window twice */
        {"NSEC", "000021000000000000000000000000000000000000000000000000000000000000000001"},
        {"CAA", "00025F61"},
        {"SVCB", "0001000003000100"},
        {"SVCB", "00010000040000"},
        {"SVCB", "000100000100020061"},
        {"SVCB", "00010000030002035500010003026832"},
        {"SVCB", "0001000002000100"},
        {"RRSIG", "0001"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (strncmp(show(bad[i][0], bad[i][1]), "\\# ", 3) != 0)
            fail_msg("%s %s: %s", bad[i][0], bad[i][1], text);
    assert_string_equal(show("TYPE65280", "0A000001"), "\\# 4 0A000001");
    assert_string_equal(show("A", ""), "\\# 0");
    assert_string_equal(show("TXT", ""), "\\# 0");
}

static void like_snprintf(void **state)
{
    (void)state;
    const uint8_t message[4] = {192, 0, 2, 1};
    char out[8] = "xxxxxxx";

    assert_int_equal(pv_rdata_text(message, 4, 1, message, 4, NULL, 0), 9);
    assert_int_equal(pv_rdata_text(message, 4, 1, message, 4, out, 5), 9);
    assert_string_equal(out, "192.");
    assert_int_equal(out[5], 'x');
    assert_int_equal(pv_rdata_text(message, 4, 1, message, 4, out, 1), 9);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_and_names),
        cmocka_unit_test(strings),
        cmocka_unit_test(dnssec),
        cmocka_unit_test(long_base64),
        cmocka_unit_test(services),
        cmocka_unit_test(unknown_and_malformed),
        cmocka_unit_test(like_snprintf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
