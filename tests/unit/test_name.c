#include "unit.h"

#include "wire/message.h"

static uint8_t wire[PV_NAME_MAX];
static size_t wire_length;

static const uint8_t *name(const char *text)
{
    if (!pv_name_from_text(text, strlen(text), wire, &wire_length))
        fail_msg("refused: %s", text);
    return wire;
}

static void text_to_wire_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        size_t length;
    } rows[] = {
        {".", ".", 1},
        {"a", "a.", 3},
        {"example.org", "example.org.", 13},
        {"Example.Org.", "Example.Org.", 13},
        {"a\\.b.c", "a\\.b.c.", 7},
        {"\\097.b", "a.b.", 5},
        {"a\\000\\255.b", "a\\000\\255.b.", 7},
        {"a b.c", "a\\032b.c.", 7},
        {"\\@\\$\\(\\)\\;\\\".x", "\\@\\$\\(\\)\\;\\\".x.", 10},
        {"a\\\\b", "a\\\\b.", 5},
        {"_dns.resolver.arpa", "_dns.resolver.arpa.", 20},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[PV_NAME_TEXT];
        name(rows[i].in);
        assert_int_equal(wire_length, rows[i].length);
        assert_int_equal(pv_name_length(wire), rows[i].length);
        assert_int_equal(pv_name_to_text(wire, out), strlen(rows[i].out));
        assert_string_equal(out, rows[i].out);
    }
}

static void wrong_texts_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"",        "..",     ".a",     "a..b",
                                       "a..",     "a\\",    "a\\1",   "a\\12x",
                                       "a\\256b", "a\\1/2", "a\\12:", "\xc3\xa4.example",
                                       "\\\xc3.x"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(pv_name_from_text(rows[i], strlen(rows[i]), wire, &wire_length));
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof text);
    assert_true(pv_name_from_text(text, 63, wire, &wire_length));
    assert_false(pv_name_from_text(text, 64, wire, &wire_length));
    for (size_t i = 63; i < sizeof text; i += 64)
        text[i] = '.';
    assert_true(pv_name_from_text(text, 253, wire, &wire_length)); /* 63.63.63.61: 255 octets */
    assert_int_equal(wire_length, 255);
    assert_int_equal(pv_name_length(wire), 255);
    assert_false(pv_name_from_text(text, 254, wire, &wire_length));
    text[253] = '.';
    assert_true(pv_name_from_text(text, 254, wire, &wire_length));
    assert_int_equal(wire_length, 255);

    char worst[PV_NAME_TEXT]; /* all octets escaped fit */
    for (uint8_t *p = wire; *p; p += *p + 1)
        memset(p + 1, 0xff, *p);
    assert_true(pv_name_to_text(wire, worst) < PV_NAME_TEXT);
}

static void names_compare_without_case(void **state)
{
    (void)state;
    static const uint8_t a[] = "\3wWw\7ExAmPlE", b[] = "\3WwW\7eXaMpLe";
    assert_true(pv_name_equal(a, b, sizeof a));
    assert_false(pv_name_equal((const uint8_t *)"\1@", (const uint8_t *)"\1`", 3));
    assert_false(pv_name_equal((const uint8_t *)"\1[", (const uint8_t *)"\1{", 3));
    assert_false(pv_name_equal((const uint8_t *)"\1\xc4", (const uint8_t *)"\1\xe4", 3));
    uint8_t c[] = "\4AZ@[\2z\xc4";
    pv_name_lower(c, sizeof c);
    assert_memory_equal(c, "\4az@[\2z\xc4", sizeof c);
}

static void zones_hold_what_is_below(void **state)
{
    (void)state;
    static const struct {
        const char *name, *zone;
        bool under;
    } rows[] = {
        {"a.example.org", "example.org", true},
        {"example.org", "EXAMPLE.org", true},
        {"example.org", "a.example.org", false},
        {"badexample.org", "example.org", false},
        {"x\\.example.org", "example.org", false},
        {"a.b", ".", true},
        {".", ".", true},
        {".", "org", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t zone[PV_NAME_MAX];
        memcpy(zone, name(rows[i].zone), sizeof zone);
        size_t zone_length = wire_length;
        name(rows[i].name);
        assert_int_equal(pv_name_under(wire, wire_length, zone, zone_length), rows[i].under);
    }
}

static void tails_and_labels(void **state)
{
    (void)state;
    char out[PV_NAME_TEXT];
    name("a.b.c");
    assert_int_equal(pv_name_labels(wire), 3);
    pv_name_to_text(pv_name_tail(wire, 2), out);
    assert_string_equal(out, "b.c.");
    assert_ptr_equal(pv_name_tail(wire, 3), wire);
    assert_ptr_equal(pv_name_tail(wire, 9), wire);
    assert_int_equal(*pv_name_tail(wire, 0), 0);
    assert_int_equal(pv_name_labels(name(".")), 0);
}

/* Read the name at `at` both ways: written out, and checked with what is remembered. */
static const char *read_at(const uint8_t *message, size_t length, size_t at, uint8_t *out,
                           size_t *ret_length)
{
    static struct pv_name_memo memo;
    const char *why = NULL, *again = NULL;
    struct pv_reader r = {.at = message + at, .end = message + length}, s = r;
    pv_name_memo_init(&memo, length);
    *ret_length = pv_name_read(&r, message, out, &why);
    assert_int_equal(pv_name_check(&s, message, &memo, &again), *ret_length);
    assert_int_equal(r.bad, s.bad);
    assert_int_equal(r.bad, why != NULL);
    assert_ptr_equal(r.at, s.at);
    if (why)
        assert_string_equal(why, again);
    return why;
}

static void pointers_are_followed_backwards_only(void **state)
{
    (void)state;
    static const uint8_t m[] =
        "............\1a\1b\0\1c\xc0\x0e\xc0\x11\xc0\x15\xc0\x80\xc0\x04\x40\x80\xc0";
    static const struct {
        size_t at;
        const char *text, *why;
    } rows[] = {
        {12, "a.b.", NULL},
        {14, "b.", NULL},
        {17, "c.b.", NULL},
        {21, "c.b.", NULL},
        {23, "c.b.", NULL},
        {25, NULL, "pointer not backwards"},
        {27, NULL, "pointer into header"},
        {29, NULL, "reserved label type"},
        {30, NULL, "reserved label type"},
        {31, NULL, "pointer cut"},
        {32, NULL, "name runs past end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t out[PV_NAME_MAX];
        char text[PV_NAME_TEXT];
        size_t n;
        const char *why = read_at(m, 32, rows[i].at, out, &n);
        if (rows[i].why) {
            assert_non_null(why);
            assert_string_equal(why, rows[i].why);
            continue;
        }
        assert_null(why);
        pv_name_to_text(out, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void hops_are_counted(void **state)
{
    (void)state;
    uint8_t m[600] = {0}, out[PV_NAME_MAX];
    size_t n;
    for (size_t i = 0; i < 200;
         i++) /* at 12 the root; from 13 on pointers, each to the one before */
        pv_put16(m + 13 + 2 * i, (uint16_t)(0xc000 | (i ? 11 + 2 * i : 12)));
    assert_null(read_at(m, 413, 13 + 2 * 127, out, &n));
    assert_int_equal(n, 1);
    assert_string_equal(read_at(m, 413, 13 + 2 * 128, out, &n), "too many pointer hops");

    static struct pv_name_memo memo; /* the same when all before it are remembered */
    pv_name_memo_init(&memo, 413);
    for (size_t i = 0; i < 200; i++) {
        struct pv_reader r = {.at = m + 13 + 2 * i, .end = m + 413};
        const char *why = NULL;
        assert_int_equal(pv_name_check(&r, m, &memo, &why), i < 128 ? 1 : 0);
    }
}

static void remembered_lengths_add_up(void **state)
{
    (void)state;
    uint8_t m[600] = {0};
    static struct pv_name_memo memo;
    size_t at = 12, previous = 0;
    unsigned good = 0;
    pv_name_memo_init(&memo, sizeof m);
    for (unsigned i = 0; i < 40; i++) { /* each name is 9 octets longer than the one before */
        struct pv_reader r = {.at = m + at, .end = m + sizeof m};
        m[at] = 8;
        if (previous)
            pv_put16(m + at + 9, (uint16_t)(0xc000 | previous));
        const char *why = NULL;
        size_t n = pv_name_check(&r, m, &memo, &why);
        if (n) {
            good++;
            assert_int_equal(n, 9 * good + 1);
        } else {
            assert_string_equal(why, previous && good == 28 ? "name too long" : "");
            break;
        }
        previous = at;
        at += 11;
    }
    assert_int_equal(good, 28);
}

static void plain_names_have_no_pointers(void **state)
{
    (void)state;
    uint8_t out[PV_NAME_MAX];
    struct pv_reader good = pv_reader("\1a\0x", 4), bad = pv_reader("\1a\xc0\x0c", 4);
    assert_int_equal(pv_name_read_plain(&good, out), 3);
    assert_int_equal(pv_left(&good), 1);
    assert_int_equal(pv_name_read_plain(&bad, out), 0);
    assert_true(bad.bad);
    assert_int_equal(*bad.at, 0xc0);
}

static void rdata_forms_are_checked(void **state)
{
    (void)state;
    static const struct {
        uint16_t type, length;
        const char *rdata, *why;
    } rows[] = {
        {PV_T_A, 4, "1234", NULL},
        {PV_T_A, 5, "12345", "A rdlength"},
        {PV_T_AAAA, 4, "1234", "AAAA rdlength"},
        {PV_T_NS, 0, "", "name rdata length"},
        {PV_T_NS, 1, "\0", NULL},
        {PV_T_PTR, 2, "\0x", "name rdata length"},
        {PV_T_SRV, 7, "123456\0", NULL},
        {PV_T_SRV, 6, "123456", "SRV rdata"},
        {PV_T_MX, 3, "12\0", NULL},
        {PV_T_DNAME, 1, "\1", "rdata name past rdlength"},
        {PV_T_SOA, 22, "\0\0ssssrrrrtttteeee\0\0\1\1", NULL},
        {PV_T_SOA, 21, "\0\0ssssrrrrtttteeee\0\0\1", "SOA rdata"},
        {PV_T_TXT, 0, "", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t m[64] = {0};
        uint32_t minimum = 0;
        memcpy(m + 12, rows[i].rdata, rows[i].length);
        struct pv_rr rr = {.type = rows[i].type, .rdata = pv_reader(m + 12, rows[i].length)};
        const char *why = pv_rdata_check(&rr, m, sizeof m, &minimum);
        if (rows[i].why)
            assert_string_equal(why, rows[i].why);
        else
            assert_null(why);
        if (rows[i].type == PV_T_SOA && !why)
            assert_int_equal(minimum, 0x101);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_to_wire_and_back),
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(names_compare_without_case),
        cmocka_unit_test(zones_hold_what_is_below),
        cmocka_unit_test(tails_and_labels),
        cmocka_unit_test(pointers_are_followed_backwards_only),
        cmocka_unit_test(hops_are_counted),
        cmocka_unit_test(remembered_lengths_add_up),
        cmocka_unit_test(plain_names_have_no_pointers),
        cmocka_unit_test(rdata_forms_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
