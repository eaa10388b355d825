/* A response field by field: what is read, and the bounds. */
#include "unit.h"

#include "net/h2_response.h"

#include <stdlib.h>
#include <string.h>

static bool add(struct pv_h2_response *r, const char *name, const char *value)
{
    return pv_h2_response_field(r, (const uint8_t *)name, strlen(name), (const uint8_t *)value,
                                strlen(value));
}

static struct pv_h2_response with(const char *name, const char *value)
{
    struct pv_h2_response r;
    pv_h2_response_init(&r);
    assert_true(add(&r, name, value));
    return r;
}

static void fields(void **state)
{
    (void)state;
    assert_int_equal(with(":status", "200").status, 200);
    assert_string_equal(with("content-type", "Application/DNS-Message; x=\"y\"").type,
                        "application/dns-message");
    assert_string_equal(with("content-type", "text/html;charset=utf-8").type, "text/html");
    assert_string_equal(with("content-type", "").type, "");
    assert_true(with("content-encoding", "gzip").encoded);
    assert_false(with("content-encoding", "Identity").encoded);
    assert_false(with("set-cookie", "a=b").encoded);
}

static void a_long_type_is_cut(void **state)
{
    (void)state;
    char value[200];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_int_equal(strlen(with("content-type", value).type), PV_H2_TYPE_TEXT - 1);
}

/* Digits only, the first of a list; what is none is not there [RFC 9111 §5.1, §1.2.2]. */
static void seconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is;
        uint32_t value;
    } rows[] = {
        {"0", true, 0},
        {"300", true, 300},
        {"300, 20", true, 300},
        {"300,20", true, 300},
        {"2147483647", true, 2147483647},
        {"2147483648", true, 0x80000000},
        {"99999999999999999999999", true, 0x80000000},
        {"", false, 0},
        {"-1", false, 0},
        {"1.5", false, 0},
        {"abc", false, 0},
        {"Fri, 31 Dec 1999 23:59:59 GMT", false, 0},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pv_h2_response r = with("age", rows[i].text);
        assert_int_equal(r.has_age, rows[i].is);
        assert_int_equal(r.age, rows[i].value);
        r = with("retry-after", rows[i].text);
        assert_int_equal(r.has_retry_after, rows[i].is);
        assert_int_equal(r.retry_after, rows[i].value);
    }
    struct pv_h2_response r = with("age", "7");
    assert_true(add(&r, "age", "8"));
    assert_int_equal(r.age, 7);
}

static void informational_then_final_then_trailers(void **state)
{
    (void)state;
    struct pv_h2_response r = with(":status", "103");
    assert_true(add(&r, "content-type", "text/html"));
    assert_true(add(&r, "age", "100"));
    pv_h2_response_end_block(&r);
    assert_int_equal(r.status, 0);
    assert_string_equal(r.type, "");
    assert_false(r.has_age);
    assert_int_equal(r.fields, 3); /* they cost us all the same */
    assert_true(add(&r, ":status", "200"));
    assert_true(add(&r, "content-type", "application/dns-message"));
    pv_h2_response_end_block(&r);
    assert_true(add(&r, "content-type", "text/html"));
    assert_true(add(&r, "age", "100"));
    assert_string_equal(r.type, "application/dns-message");
    assert_false(r.has_age);
}

static void fields_have_bounds(void **state)
{
    (void)state;
    struct pv_h2_response r;
    char value[1000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    pv_h2_response_init(&r);
    for (unsigned i = 0; i < PV_H2_FIELDS_MOST; i++)
        assert_true(add(&r, "a", "b"));
    assert_false(add(&r, "a", "b"));
    pv_h2_response_init(&r);
    for (unsigned i = 0; i < 15; i++) /* of 1 + 999 + 32 octets */
        assert_true(add(&r, "a", value));
    assert_false(add(&r, "a", value));
}

static void body_has_a_bound(void **state)
{
    (void)state;
    struct pv_h2_response r;
    uint8_t *expected = malloc(PV_H2_BODY_MOST);
    assert_non_null(expected);
    pv_h2_response_init(&r);
    for (unsigned i = 0; i < PV_H2_BODY_MOST; i++)
        expected[i] = (uint8_t)(i * 7);
    for (size_t at = 0, n = 1; at < PV_H2_BODY_MOST; at += n, n = n * 3 % 1009) {
        if (n > PV_H2_BODY_MOST - at)
            n = PV_H2_BODY_MOST - at;
        assert_int_equal(pv_h2_response_add(&r, expected + at, n), PV_H2_ADDED);
    }
    assert_int_equal(r.length, PV_H2_BODY_MOST);
    assert_memory_equal(r.body, expected, PV_H2_BODY_MOST);
    assert_int_equal(pv_h2_response_add(&r, expected, 1), PV_H2_TOO_LARGE);
    assert_int_equal(pv_h2_response_add(&r, expected, 0), PV_H2_ADDED);
    pv_h2_response_done(&r);
    free(expected);
}

/* Nobody waits: a server cannot make us keep what it sends, nor send without end. */
static void forgotten(void **state)
{
    (void)state;
    static const uint8_t piece[PV_H2_BODY_MOST];
    struct pv_h2_response r;
    pv_h2_response_init(&r);
    assert_int_equal(pv_h2_response_add(&r, piece, 1000), PV_H2_ADDED);
    pv_h2_response_forget(&r);
    assert_null(r.body);
    assert_true(add(&r, ":status", "103"));
    pv_h2_response_end_block(&r);
    r.length = 1000;
    assert_int_equal(pv_h2_response_add(&r, piece, PV_H2_BODY_MOST - 1000), PV_H2_ADDED);
    assert_null(r.body);
    assert_int_equal(pv_h2_response_add(&r, piece, 1), PV_H2_TOO_LARGE);
    pv_h2_response_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(a_long_type_is_cut),
        cmocka_unit_test(seconds),
        cmocka_unit_test(informational_then_final_then_trailers),
        cmocka_unit_test(fields_have_bounds),
        cmocka_unit_test(body_has_a_bound),
        cmocka_unit_test(forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
