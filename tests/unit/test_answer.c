#include "unit.h"

#include "serve/answer.h"
#include "vectors.h"

#include <stdlib.h>

static void check_same(const char *id, const uint8_t *got, size_t length, struct bytes expect)
{
    if (length != expect.length || memcmp(got, expect.at, length) != 0)
        fail_msg("%s: %zu octets, expected %zu, or other ones", id, length, expect.length);
}

/* The upstream's answer as the library gives it: the client's id and question. */
static void truncation_vectors_fit(void **state)
{
    (void)state;
    size_t count = sizeof truncation_vectors / sizeof *truncation_vectors;
    assert_int_equal(count, 8);
    for (size_t i = 0; i < count; i++) {
        const struct truncation_vector *v = &truncation_vectors[i];
        uint8_t message[4096];
        struct pv_query_view q;
        pv_query_parse(&q, v->query.at, v->query.length);
        struct asker a = asker_of(&q, false, 1232);
        assert_int_equal(a.limit, v->limit);
        memcpy(message, v->upstream.at, v->upstream.length);
        memcpy(message, v->query.at, 2);
        size_t n = answer_fit(&a, message, v->upstream.length, sizeof message, PV_NOERROR, NULL);
        check_same(v->id, message, n, v->expect);
    }
}

static void limits_of_askers(void **state)
{
    (void)state;
    struct pv_query_view q = {.edns = {.present = true, .udp_size = 4096}};
    assert_int_equal(asker_of(&q, false, 1232).limit, 1232);
    assert_int_equal(asker_of(&q, false, 4096).limit, 4096);
    assert_int_equal(asker_of(&q, true, 1232).limit, PV_MESSAGE_MAX);
    q.edns.udp_size = 0;
    assert_int_equal(asker_of(&q, false, 1232).limit, 512);
    q.edns = (struct pv_edns){0};
    assert_int_equal(asker_of(&q, false, 1232).limit, 512);
    assert_int_equal(asker_of(&q, false, 512).limit, 512);
}

/* ---- messages made by hand: sections of A records ---- */

static size_t make(uint8_t *out, size_t capacity, unsigned an, unsigned ns, unsigned ar)
{
    struct pv_writer w = pv_writer(out, capacity);
    struct pv_header h = {.id = 7,
                          .flags = PV_QR | PV_RD | PV_RA,
                          .qdcount = 1,
                          .ancount = (uint16_t)an,
                          .nscount = (uint16_t)ns,
                          .arcount = (uint16_t)ar};
    pv_header_write(&w, &h);
    pv_write(&w, "\1a\0\0\1\0\1", 7);
    for (unsigned i = 0; i < an + ns + ar; i++)
        pv_write(&w, "\300\14\0\1\0\1\0\0\0\74\0\4\12\0\0\1", 16);
    return pv_written(&w);
}

#define QUESTION 19
#define RECORD   16

struct outcome {
    size_t length;
    struct pv_header h;
    uint8_t message[4096];
};

static struct outcome fit(struct asker a, unsigned an, unsigned ns, unsigned ar, unsigned rcode,
                          const struct answer_edes *edes)
{
    struct outcome o;
    size_t n = make(o.message, sizeof o.message, an, ns, ar);
    o.length = answer_fit(&a, o.message, n, sizeof o.message, rcode, edes);
    struct pv_reader r = pv_reader(o.message, o.length);
    o.h = pv_header_read(&r);
    assert_in_range(o.length, PV_HEADER, a.limit);
    return o;
}

static void additional_goes_first(void **state)
{
    (void)state;
    struct asker a = {.limit = 512, .edns = true, .edns_size = 1232};
    struct outcome o = fit(a, 10, 10, 20, 0, NULL);
    assert_int_equal(o.length, QUESTION + 20 * RECORD + 11);
    assert_int_equal(o.h.ancount, 10);
    assert_int_equal(o.h.nscount, 10);
    assert_int_equal(o.h.arcount, 1);
    assert_false(o.h.flags & PV_TC);
}

static void authority_goes_second_without_do(void **state)
{
    (void)state;
    struct asker a = {.limit = 512};
    struct outcome o = fit(a, 10, 40, 1, 0, NULL);
    assert_int_equal(o.length, QUESTION + 10 * RECORD);
    assert_int_equal(o.h.nscount, 0);
    assert_int_equal(o.h.arcount, 0);
    assert_false(o.h.flags & PV_TC);
    a = (struct asker){.limit = 512, .edns = true, .dnssec_ok = true};
    o = fit(a, 10, 40, 1, 0, NULL);
    assert_int_equal(o.length, QUESTION + 11);
    assert_true(o.h.flags & PV_TC);
    o = fit((struct asker){.limit = 512}, 0, 40, 0, PV_NXDOMAIN, NULL);
    assert_int_equal(o.length, QUESTION); /* a referral's authority is its answer */
    assert_int_equal(o.h.flags, PV_QR | PV_RD | PV_RA | PV_TC | PV_NXDOMAIN);
}

static void every_size_keeps_the_limit(void **state)
{
    (void)state;
    struct answer_edes edes = {0};
    answer_ede_add(&edes, 3, NULL, NULL, 0);
    answer_ede_add(&edes, 22, "upstream", "long words", 10);
    for (uint16_t limit = 512; limit < 700; limit++)
        for (unsigned n = 0; n < 44; n += 3)
            for (unsigned edns = 0; edns < 2; edns++) {
                struct asker a = {.limit = limit, .edns = edns, .edns_size = 1232};
                struct outcome o = fit(a, n, n / 2, n / 3, 0, &edes);
                assert_int_equal(o.h.arcount >= edns, 1);
            }
}

/* ---- OPT ---- */

static void ede_text_goes_before_records(void **state)
{
    (void)state;
    struct asker a = {.limit = 512, .edns = true, .edns_size = 1232};
    struct answer_edes edes = {0};
    answer_ede_add(&edes, 22, "up", "gone", 4);
    struct outcome o = fit(a, 2, 0, 0, 0, &edes);
    assert_int_equal(o.length, QUESTION + 2 * RECORD + 11 + 6 + 8);
    assert_memory_equal(o.message + o.length - 14, "\0\17\0\12\0\26up: gone", 14);
    a.limit = (uint16_t)(o.length - 1);
    o = fit(a, 2, 0, 0, 0, &edes);
    assert_int_equal(o.length, QUESTION + 2 * RECORD + 11 + 6);
    assert_false(o.h.flags & PV_TC);
    a.limit = (uint16_t)(o.length - 1);
    o = fit(a, 2, 0, 0, 0, &edes);
    assert_int_equal(o.length, QUESTION + 2 * RECORD + 11);
    assert_true(o.h.flags & PV_TC); /* the client may come again over TCP for it */
}

static void extended_rcodes_need_opt(void **state)
{
    (void)state;
    struct asker a = {.limit = 512, .edns = true, .edns_size = 1232, .dnssec_ok = true};
    struct outcome o = fit(a, 0, 0, 0, PV_BADVERS, NULL);
    static const uint8_t opt[] = {0, 0, 41, 4, 208, 1, 0, 128, 0, 0, 0};
    assert_int_equal(PV_RCODE(o.h.flags), 0);
    assert_memory_equal(o.message + QUESTION, opt, sizeof opt);
    a.edns = false;
    assert_int_equal(PV_RCODE(fit(a, 0, 0, 0, PV_BADVERS, NULL).h.flags), PV_SERVFAIL);
    assert_int_equal(PV_RCODE(fit(a, 0, 0, 0, PV_REFUSED, NULL).h.flags), PV_REFUSED);
}

static void keepalive_where_asked(void **state)
{
    (void)state;
    struct asker a = {.tcp = true,
                      .limit = PV_MESSAGE_MAX,
                      .edns = true,
                      .keepalive = true,
                      .keepalive_value = 100,
                      .edns_size = 1232};
    struct outcome o = fit(a, 0, 0, 0, 0, NULL);
    assert_int_equal(o.length, QUESTION + 17);
    assert_memory_equal(o.message + QUESTION + 11, "\0\13\0\2\0\144", 6);
}

static void ede_texts_are_cut_between_characters(void **state)
{
    (void)state;
    struct answer_edes edes = {0};
    char text[80];
    for (size_t i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "\303\244", 2);
    answer_ede_add(&edes, 23, "a", text, sizeof text);
    assert_int_equal(edes.items[0].text_length, 63); /* "a: " and 30 of two octets */
    answer_ede_add(&edes, 23, NULL, "x", 1);
    assert_int_equal(edes.items[1].text_length, 1);
    answer_ede_add(&edes, 23, NULL, "y", 1);
    assert_int_equal(edes.count, 2);
}

/* What is no text does not become one: a client that decodes strictly must not choke. */
static void ede_texts_are_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
         "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\nb\x1b[2J\x7f", "a?b?[2J?"},
        {"\xff\xfe\x80", "???"},
        {"\xc0\x80 \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????"}, /* overlong */
        {"\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????"},             /* surrogate, too large */
        {"\xc2\x85", "??"},                                        /* control */
        {"cut \xe2\x82", "cut ??"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer_edes edes = {0};
        answer_ede_add(&edes, 22, NULL, rows[i].in, strlen(rows[i].in));
        assert_int_equal(edes.items[0].text_length, strlen(rows[i].out));
        assert_memory_equal(edes.items[0].text, rows[i].out, strlen(rows[i].out));
    }
}

/* ---- signed answers ---- */

static void signed_answers_are_not_touched(void **state)
{
    (void)state;
    struct asker a = {.limit = 512, .edns = true, .edns_size = 1232, .opaque = true};
    uint8_t before[4096];
    size_t n = make(before, sizeof before, 3, 0, 0);
    struct outcome o = fit(a, 3, 0, 0, 0, NULL);
    assert_int_equal(o.length, n);
    assert_memory_equal(o.message, before, n);
    o = fit(a, 60, 0, 0, 0, NULL);
    assert_int_equal(o.length, QUESTION);
    assert_true(o.h.flags & PV_TC);
    assert_int_equal(o.h.ancount, 0);
}

static void empty_replies(void **state)
{
    (void)state;
    uint8_t out[64];
    struct pv_header q = {.id = 0xabcd, .flags = PV_RD | PV_CD | PV_AD | PV_Z | PV_TC | PV_AA | 3};
    assert_int_equal(answer_empty(&q, NULL, 0, PV_FORMERR, out, sizeof out), PV_HEADER);
    assert_memory_equal(out, "\xab\xcd\x81\x91\0\0\0\0\0\0\0\0", 12);
    q.flags = 5 << 11 | PV_RD | PV_CD;
    answer_empty(&q, NULL, 0, PV_NOTIMP, out, sizeof out);
    assert_memory_equal(out, "\xab\xcd\xa9\x04\0\0\0\0\0\0\0\0", 12);
    assert_int_equal(answer_empty(&q, out, 20, 0, out + 20, 31), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncation_vectors_fit),
        cmocka_unit_test(limits_of_askers),
        cmocka_unit_test(additional_goes_first),
        cmocka_unit_test(authority_goes_second_without_do),
        cmocka_unit_test(every_size_keeps_the_limit),
        cmocka_unit_test(ede_text_goes_before_records),
        cmocka_unit_test(extended_rcodes_need_opt),
        cmocka_unit_test(keepalive_where_asked),
        cmocka_unit_test(ede_texts_are_cut_between_characters),
        cmocka_unit_test(ede_texts_are_utf8),
        cmocka_unit_test(signed_answers_are_not_touched),
        cmocka_unit_test(empty_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
