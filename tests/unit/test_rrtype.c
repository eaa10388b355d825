#include "unit.h"

#include <privydns/privydns.h>

#include "wire/rrtype.h"

static void names_and_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t type;
    } known[] = {{"A", 1},       {"NS", 2},       {"SOA", 6},          {"MX", 15},
                 {"AAAA", 28},   {"SRV", 33},     {"NAPTR", 35},       {"DS", 43},
                 {"SVCB", 64},   {"HTTPS", 65},   {"ANY", 255},        {"CAA", 257},
                 {"DLV", 32769}, {"NXNAME", 128}, {"TYPE65280", 65280}};
    char out[16];

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(pv_type_parse(known[i].text), known[i].type);
        assert_string_equal(pv_type_text(known[i].type, out), known[i].text);
    }
    assert_int_equal(pv_type_parse("aaaa"), 28);
    assert_int_equal(pv_type_parse("type28"), 28);
    assert_int_equal(privy_type_parse("https"), 65);
    assert_string_equal(privy_type_text(65, out), "HTTPS");
}

static void every_number_comes_back(void **state)
{
    (void)state;
    char out[16];

    for (unsigned type = 1; type <= 65535; type++)
        assert_int_equal(pv_type_parse(pv_type_text((uint16_t)type, out)), type);
}

static void what_is_no_type(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",       "AAAAA",    "TYPE",       "TYPE0", "TYPE65536",
                                        "TYPE-1", "TYPE 1",   "TYPE1x",     "A ",    "TYPE000001",
                                        "28",     "TYPE+028", "example.org"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(pv_type_parse(wrong[i]), 0);
    assert_int_equal(privy_type_parse(NULL), 0);
}

static void rcodes(void **state)
{
    (void)state;
    char out[16];

    assert_string_equal(privy_rcode_text(0, out), "NOERROR");
    assert_string_equal(privy_rcode_text(3, out), "NXDOMAIN");
    assert_string_equal(privy_rcode_text(16, out), "BADVERS");
    assert_string_equal(privy_rcode_text(15, out), "RCODE15");
    assert_string_equal(privy_rcode_text(23, out), "RCODE23");
    assert_string_equal(privy_rcode_text(4095, out), "RCODE4095");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(every_number_comes_back),
        cmocka_unit_test(what_is_no_type),
        cmocka_unit_test(rcodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
