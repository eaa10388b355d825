#include "unit.h"

#include <stdlib.h>

#include "vectors.h"
#include "wire/query.h"
#include "wire/reply.h"

static struct pv_question question_of(struct bytes query)
{
    struct pv_query_view q;
    pv_query_parse(&q, query.at, query.length);
    assert_int_equal(q.fault, PV_FINE);
    return q.question;
}

static void check_verdict(const struct reply_vector *v, const struct pv_reply *r)
{
    bool accept = strcmp(v->verdict, "accept") == 0;
    uint32_t cap = r->kind == PV_ANSWER_NEGATIVE ? 3600 : 86400;
    assert_int_equal(r->cacheable, accept);
    if (accept) {
        assert_int_equal(r->kind,
                         strcmp(v->reason, "positive") ? PV_ANSWER_NEGATIVE : PV_ANSWER_POSITIVE);
        assert_int_equal(r->ttl < cap ? r->ttl : cap, v->cache_ttl);
    } else if (strcmp(v->reason, "TTL 0") == 0) {
        assert_int_equal(r->ttl, 0);
    } else if (strcmp(v->reason, "negative without SOA") == 0) {
        assert_int_equal(r->kind, PV_ANSWER_NEGATIVE);
        assert_false(r->has_soa);
    } else if (strcmp(v->reason, "TC set") == 0) {
        assert_true(r->truncated);
    } else {
        assert_string_equal(v->verdict, "upstream_failure");
        assert_int_equal(r->kind, PV_ANSWER_FAILURE);
    }
}

static void check_row(const struct reply_vector *v)
{
    const char *why = "";
    struct pv_reply r;
    struct pv_question question = question_of(v->query);
    bool good = pv_reply_check(v->message.at, v->message.length, &question, pv_get16(v->query.at),
                               &r, &why);
    if (strcmp(v->verdict, "reject") == 0) {
        assert_false(good);
        assert_string_equal(why, v->reason);
        return;
    }
    if (!good)
        fail_msg("%s: rejected: %s", v->id, why);
    check_verdict(v, &r);
    assert_int_equal(r.rcode, v->rcode);
    assert_int_equal(r.trailing, v->trailing);
    assert_int_equal(r.length + r.trailing, v->message.length);
    assert_int_equal(r.ede_count, v->ede_count);
    for (unsigned i = 0; i < r.ede_count; i++)
        assert_int_equal(r.ede[i].code, v->ede[i]);
}

static void all_rows_have_their_verdict(void **state)
{
    (void)state;
    size_t count = sizeof reply_vectors / sizeof *reply_vectors;
    assert_int_equal(count, 56);
    for (size_t i = 0; i < count; i++)
        check_row(&reply_vectors[i]);
}

/* A reply to www.example.com A, built record by record. */
#define QUESTION "\3www\7example\3com\0\0\1\0\1"
static uint8_t message[PV_MESSAGE_MAX], stripped[PV_MESSAGE_MAX];
static struct pv_writer w;

static void begin(uint16_t flags, const uint16_t counts[3])
{
    w = pv_writer(message, sizeof message);
    struct pv_header h = {0x1234, flags, 1, counts[0], counts[1], counts[2]};
    pv_header_write(&w, &h);
    pv_write(&w, QUESTION, 21);
}
#define BEGIN(flags, an, ns, ar) begin(flags, (const uint16_t[]){an, ns, ar})

/* The owner: a pointer, or 0 for the root. */
static void record(uint16_t owner, uint16_t type, uint32_t ttl, const char *rdata, uint16_t n)
{
    if (owner)
        pv_write16(&w, owner);
    else
        pv_write8(&w, 0);
    pv_write16(&w, type);
    pv_write16(&w, PV_C_IN);
    pv_write32(&w, ttl);
    pv_write16(&w, n);
    pv_write(&w, rdata, n);
}

static struct pv_question question(uint16_t type)
{
    struct pv_question q = {.name_length = 17, .type = type, .rrclass = PV_C_IN};
    memcpy(q.name, QUESTION, 17);
    return q;
}

static struct pv_reply check(void)
{
    struct pv_question q = question(PV_T_A);
    struct pv_reply r;
    const char *why = "";
    if (!pv_reply_check(message, pv_written(&w), &q, -1, &r, &why))
        fail_msg("rejected: %s", why);
    return r;
}

static void chain_in_any_order_is_an_answer(void **state)
{
    (void)state;
    BEGIN(0x8180, 3, 0, 0);
    pv_write(&w, "\1h", 2);
    record(0xc010, PV_T_A, 60, "\1\2\3\4", 4); /* h.example.com */
    record(0xc00c, PV_T_CNAME, 50, "\1g\xc0\x10", 4);
    pv_write(&w, "\1G", 2);
    record(0xc010, PV_T_CNAME, 40, "\1H\xc0\x10", 4);
    assert_int_equal(check().kind, PV_ANSWER_POSITIVE);
    assert_int_equal(check().ttl, 40);
}

static void other_class_is_no_answer(void **state)
{
    (void)state;
    BEGIN(0x8180, 1, 0, 0);
    record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
    assert_int_equal(check().kind, PV_ANSWER_POSITIVE);
    pv_put16(message + 37, PV_C_CH);
    assert_int_equal(check().kind, PV_ANSWER_NEGATIVE);
}

static void lame_is_told(void **state)
{
    (void)state;
    BEGIN(0x8100, 0, 1, 0);
    record(0xc010, PV_T_NS, 60, "\2ns\xc0\x10", 5);
    assert_true(check().lame);
    pv_put16(message + 2, 0x8180); /* RA */
    assert_false(check().lame);
    pv_put16(message + 2, 0x8103); /* NXDOMAIN */
    assert_false(check().lame);
}

static void any_is_not_cached(void **state)
{
    (void)state;
    BEGIN(0x8180, 1, 0, 0);
    record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
    pv_put16(message + 29, PV_T_ANY);
    struct pv_question q = question(PV_T_ANY);
    struct pv_reply r;
    assert_true(pv_reply_check(message, pv_written(&w), &q, 0x1234, &r, NULL));
    assert_int_equal(r.kind, PV_ANSWER_POSITIVE);
    assert_false(r.cacheable);
}

static void opt_facts_are_read(void **state)
{
    (void)state;
    BEGIN(0x8180, 1, 0, 1);
    record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
    uint8_t *opt = pv_opt_begin(&w, 4096, 0, true);
    pv_opt_add(&w, opt, PV_OPT_KEEPALIVE, "\1\2", 2);
    pv_opt_add(&w, opt, PV_OPT_EDE, "\0\3abc", 5);
    pv_opt_add(&w, opt, PV_OPT_EDE, "\0", 1); /* too short: no code */
    pv_opt_add(&w, opt, PV_OPT_EDE, "\0\x16", 2);
    pv_opt_add(&w, opt, PV_OPT_EDE, "\0\x17", 2); /* a third is not kept */
    struct pv_reply r = check();
    assert_true(r.has_keepalive);
    assert_int_equal(r.keepalive, 0x102);
    assert_int_equal(r.ede_count, 2);
    assert_int_equal(r.ede[0].code, 3);
    assert_int_equal(r.ede[0].text_length, 3);
    assert_memory_equal(r.ede[0].text, "abc", 3);
    assert_int_equal(r.ede[1].code, 22);
    assert_int_equal(r.ttl_count, 1);
}

static void strip_takes_opt_and_trailing_octets(void **state)
{
    (void)state;
    uint16_t offsets[1];
    unsigned count;
    BEGIN(0x8180, 1, 0, 1);
    record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
    size_t before = pv_written(&w);
    pv_opt_begin(&w, 4096, 0, true);
    pv_write32(&w, 0xdeadbeef);
    struct pv_reply r = check();
    assert_int_equal(r.trailing, 4);
    assert_int_equal(pv_reply_strip(message, &r, stripped, offsets, &count), before);
    assert_memory_equal(stripped, message, 10);
    assert_int_equal(pv_get16(stripped + 10), 0);
    assert_memory_equal(stripped + 12, message + 12, before - 12);
    assert_int_equal(count, 1);
    assert_int_equal(offsets[0], 33 + 6);
}

static void strip_moves_records_behind_the_opt(void **state)
{
    (void)state;
    uint16_t offsets[3];
    unsigned count;
    BEGIN(0x8180, 1, 0, 3);
    record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
    pv_opt_begin(&w, 4096, 0, true);
    record(0xc010, PV_T_NS, 61, "\2ns\xc0\x10", 5);
    record(0xc010, PV_T_AAAA, 62, "0123456789abcdef", 16);
    struct pv_reply r = check();
    size_t n = pv_reply_strip(message, &r, stripped, offsets, &count);
    assert_int_equal(n, pv_written(&w) - 11);
    assert_int_equal(pv_get16(stripped + 10), 2);
    assert_int_equal(count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pv_get32(stripped + offsets[i]), 60 + i);
}

static void strip_drops_what_cannot_move(void **state)
{
    (void)state;
    uint16_t offsets[3];
    unsigned count;
    static const struct {
        uint16_t type;
        const char *rdata;
        uint16_t length;
    } rows[] = {
        {PV_T_NS, "\2ns\xc0\x41", 5}, /* points behind the OPT */
        {18, "\0\1\xc0\x0c", 4},      /* AFSDB: may hold a compressed name */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BEGIN(0x8180, 1, 0, 3);
        record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
        size_t before = pv_written(&w);
        pv_opt_begin(&w, 4096, 0, true);
        assert_int_equal(pv_written(&w), 0x3c);
        pv_write(&w, "\4abcd\1x", 7); /* its second label is at 0x41 */
        record(0xc010, PV_T_A, 61, "\1\2\3\4", 4);
        record(0xc010, rows[i].type, 62, rows[i].rdata, rows[i].length);
        struct pv_reply r = check();
        assert_int_equal(pv_reply_strip(message, &r, stripped, offsets, &count), before);
        assert_int_equal(pv_get16(stripped + 10), 0);
        assert_int_equal(count, 1);
    }
}

/* A record behind the OPT moves up where every name in it, of its type, stands before the OPT. */
static void strip_knows_the_names_in_each_type(void **state)
{
    (void)state;
    static const struct {
        uint16_t type;
        const char *rdata;
        uint16_t length;
        bool stays;
    } rows[] = {
        {PV_T_MX, "\0\1\xc0\x10", 4, true},
        {PV_T_MX, "\0\1\xc0\x41", 4, false},
        {PV_T_SRV, "\0\1\0\1\0\1\1x\xc0\x10", 10, true},
        {PV_T_SRV, "\0\1\0\1\0\1\1x\xc0\x41", 10, false},
        {PV_T_SOA,
         "\xc0\x10\xc0\x10"
         "00001111222233334444",
         24, true},
        {PV_T_SOA,
         "\xc0\x10\xc0\x41"
         "00001111222233334444",
         24, false},
        {PV_T_SOA,
         "\xc0\x41\xc0\x10"
         "00001111222233334444",
         24, false},
        {PV_T_CNAME, "\1x\0", 3, true},
        {PV_T_PTR, "\xc0\x41", 2, false},
        {PV_T_DNAME, "\xc0\x10", 2, true},
        {PV_T_HINFO, "\1a\1b", 4, true},
        {PV_T_TXT, "\1a", 2, true},
        {257, "\0\1ab", 4, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint16_t offsets[3];
        unsigned count;
        BEGIN(0x8180, 1, 0, 3);
        record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
        size_t before = pv_written(&w);
        pv_opt_begin(&w, 4096, 0, true);
        pv_write(&w, "\4abcd\1x", 7); /* its second label is at 0x41 */
        record(0xc010, PV_T_A, 61, "\1\2\3\4", 4);
        record(0xc010, rows[i].type, 62, rows[i].rdata, rows[i].length);
        struct pv_reply r = check();
        size_t n = pv_reply_strip(message, &r, stripped, offsets, &count);
        assert_int_equal(n, rows[i].stays ? pv_written(&w) - 11 : before);
        assert_int_equal(count, rows[i].stays ? 3 : 1);
    }
}

/* The OPT stands once, at the root, in the additional section. */
static void opt_stands_in_its_place(void **state)
{
    (void)state;
    struct pv_question q = question(PV_T_A);
    struct pv_reply r;
    const char *why;
    for (unsigned i = 0; i < 3; i++) {
        BEGIN(0x8180, i == 0, i == 1, i == 2);
        record(i == 2 ? 0xc00c : 0, PV_T_OPT, 0, "", 0);
        assert_false(pv_reply_check(message, pv_written(&w), &q, -1, &r, &why));
        assert_string_equal(why, "bad OPT");
        assert_false(pv_reply_check(message, pv_written(&w), &q, -1, &r, NULL));
    }
}

static void the_question_is_compared_whole(void **state)
{
    (void)state;
    static const struct {
        unsigned at;
        uint8_t octet;
        const char *why;
    } rows[] = {
        {13, 'x', "question mismatch"},    {16, 0, "question mismatch"},
        {30, 2, "question mismatch"},      {32, 3, "question mismatch"},
        {12, 0xc0, "pointer not allowed"}, {12, 0x40, "bad question name"},
        {12, 63, "bad question name"},
    };
    struct pv_question q = question(PV_T_A);
    struct pv_reply r;
    const char *why;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BEGIN(0x8180, 0, 0, 0);
        message[rows[i].at] = rows[i].octet;
        assert_false(pv_reply_check(message, pv_written(&w), &q, -1, &r, &why));
        assert_string_equal(why, rows[i].why);
    }
    BEGIN(0x8180, 0, 0, 0);
    assert_false(pv_reply_check(message, pv_written(&w) - 3, &q, -1, &r, &why));
    assert_string_equal(why, "question cut");
}

/* Any class is a class of its own to nobody: the answer counts, and is not kept. */
static void any_class_is_not_cached(void **state)
{
    (void)state;
    struct pv_question q = question(PV_T_A);
    struct pv_reply r;
    BEGIN(0x8180, 1, 0, 0);
    record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
    pv_put16(message + 31, PV_C_ANY);
    q.rrclass = PV_C_ANY;
    assert_true(pv_reply_check(message, pv_written(&w), &q, -1, &r, NULL));
    assert_int_equal(r.kind, PV_ANSWER_POSITIVE);
    assert_false(r.cacheable);
}

static void tsig_does_not_age(void **state)
{
    (void)state;
    uint16_t offsets[1];
    unsigned count;
    BEGIN(0x8180, 1, 0, 1);
    record(0xc00c, PV_T_A, 60, "\1\2\3\4", 4);
    record(0xc00c, PV_T_TSIG, 0, "xx", 2);
    struct pv_reply r = check();
    assert_int_equal(r.ttl, 60);
    assert_int_equal(r.ttl_count, 1);
    pv_reply_strip(message, &r, stripped, offsets, &count);
    assert_int_equal(count, 1);
}

static void id_is_compared_only_where_asked(void **state)
{
    (void)state;
    struct pv_question q = question(PV_T_A);
    struct pv_reply r;
    const char *why;
    BEGIN(0x8180, 0, 0, 0);
    assert_true(pv_reply_check(message, pv_written(&w), &q, -1, &r, &why));
    assert_true(pv_reply_check(message, pv_written(&w), &q, 0x1234, &r, &why));
    assert_false(pv_reply_check(message, pv_written(&w), &q, 0x1235, &r, &why));
    assert_string_equal(why, "id mismatch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rows_have_their_verdict),
        cmocka_unit_test(chain_in_any_order_is_an_answer),
        cmocka_unit_test(other_class_is_no_answer),
        cmocka_unit_test(lame_is_told),
        cmocka_unit_test(any_is_not_cached),
        cmocka_unit_test(opt_facts_are_read),
        cmocka_unit_test(strip_takes_opt_and_trailing_octets),
        cmocka_unit_test(strip_moves_records_behind_the_opt),
        cmocka_unit_test(strip_drops_what_cannot_move),
        cmocka_unit_test(strip_knows_the_names_in_each_type),
        cmocka_unit_test(opt_stands_in_its_place),
        cmocka_unit_test(the_question_is_compared_whole),
        cmocka_unit_test(any_class_is_not_cached),
        cmocka_unit_test(tsig_does_not_age),
        cmocka_unit_test(id_is_compared_only_where_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
