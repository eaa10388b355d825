#include "unit.h"

#include "vectors.h"
#include "wire/message.h"
#include "wire/ttl.h"

/* Where the TTLs of a message stand, the OPT's (its flags) left out. */
static unsigned find(const uint8_t *message, size_t length, uint16_t offsets[], unsigned most)
{
    struct pv_reader r = pv_reader(message, length);
    struct pv_rr rr;
    unsigned n = 0;
    pv_take(&r, PV_HEADER);
    pv_name_skip(&r);
    pv_take(&r, 4);
    while (pv_left(&r) && n < most && pv_rr_next(&r, message, &rr))
        if (rr.type != PV_T_OPT)
            offsets[n++] = (uint16_t)rr.ttl_offset;
    return n;
}

static void check_vector(const struct ttl_vector *v)
{
    uint8_t message[512];
    uint16_t offsets[16];
    assert_true(v->stored.length <= sizeof message);
    memcpy(message, v->stored.at, v->stored.length);
    unsigned count = find(message, v->stored.length, offsets, 16);
    assert_int_equal(count, 3);
    if (v->stale)
        pv_ttl_set(message, offsets, count, 30);
    else
        pv_ttl_age(message, offsets, count, v->age, 86400);
    if (v->expect.at) {
        assert_memory_equal(message, v->expect.at, v->expect.length);
        return;
    }
    uint32_t least = UINT32_MAX; /* expired: nothing is left of the shortest */
    for (unsigned i = 0; i < count; i++)
        if (pv_get32(message + offsets[i]) < least)
            least = pv_get32(message + offsets[i]);
    assert_int_equal(least, 0);
}

static void vectors_age(void **state)
{
    (void)state;
    assert_int_equal(sizeof ttl_vectors / sizeof *ttl_vectors, 4);
    for (size_t i = 0; i < 4; i++)
        check_vector(&ttl_vectors[i]);
}

static void ages_are_held_within_bounds(void **state)
{
    (void)state;
    static const struct {
        uint32_t ttl, age, cap, expect;
    } rows[] = {
        {300, 0, 86400, 300},      {300, 301, 86400, 0},          {100000, 10, 86400, 86400},
        {86401, 10, 86400, 86391}, {0x80000001, 0, 86400, 86400}, {0xffffffff, 0x7ffffffe, 10, 1},
        {5, UINT32_MAX, 10, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t message[8] = {0};
        uint16_t offset = 3;
        pv_put32(message + 3, rows[i].ttl);
        pv_ttl_age(message, &offset, 1, rows[i].age, rows[i].cap);
        assert_int_equal(pv_get32(message + 3), rows[i].expect);
    }
}

static uint8_t message[PV_MESSAGE_MAX];
static struct pv_writer w;

static void begin(uint16_t ancount, uint16_t nscount)
{
    struct pv_header h = {1, 0x8180, 1, ancount, nscount, 0};
    w = pv_writer(message, sizeof message);
    pv_header_write(&w, &h);
    pv_write(&w, "\1a\1b\0\0\1\0\1", 9);
}

static void record(const char *owner, uint16_t n, uint16_t type, uint32_t ttl)
{
    pv_write(&w, owner, n);
    pv_write16(&w, type);
    pv_write16(&w, PV_C_IN);
    pv_write32(&w, ttl);
    pv_write16(&w, 4);
    pv_write16(&w, ttl % 10 ? PV_T_A : PV_T_AAAA); /* an RRSIG covers it */
    pv_write16(&w, 7);
}

static void sets_are_levelled(void **state)
{
    (void)state;
    static const uint32_t expect[] = {20, 20, 50, 20, 90, 41, 40, 60};
    uint16_t offsets[8];
    begin(7, 1);
    record("\xc0\x0c", 2, PV_T_A, 30);
    record("\1A\1b", 5, PV_T_A, 20); /* the same name */
    record("\xc0\x0c", 2, PV_T_TXT, 50);
    record("\1a\xc0\x0e", 4, PV_T_A, 80);
    record("\xc0\x0e", 2, PV_T_A, 90);
    record("\xc0\x0c", 2, PV_T_RRSIG, 41); /* two RRSIGs that cover different types */
    record("\xc0\x0c", 2, PV_T_RRSIG, 40);
    record("\xc0\x0c", 2, PV_T_A, 60); /* another section */
    pv_ttl_level(message, pv_written(&w));
    assert_int_equal(find(message, pv_written(&w), offsets, 8), 8);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(pv_get32(message + offsets[i]), expect[i]);
}

static void many_records_get_the_smallest(void **state)
{
    (void)state;
    uint16_t offsets[300];
    begin(300, 0);
    for (unsigned i = 0; i < 300; i++)
        record("\xc0\x0c", 2, PV_T_A, 1000 - i);
    pv_ttl_level(message, pv_written(&w));
    assert_int_equal(find(message, pv_written(&w), offsets, 300), 300);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(pv_get32(message + offsets[i]), 701);
}

/* An OPT's flags and a TSIG's zero are no lifetimes. */
static void what_has_no_lifetime_is_left_alone(void **state)
{
    (void)state;
    for (unsigned more = 0; more <= 300; more += 300) { /* one by one, and too many for that */
        uint16_t offsets[304];
        begin((uint16_t)(2 + more), 0);
        pv_put16(message + 10, 2);
        record("\xc0\x0c", 2, PV_T_A, 30);
        record("\xc0\x0c", 2, PV_T_A, 20);
        for (unsigned i = 0; i < more; i++)
            record("\xc0\x0c", 2, PV_T_A, 25);
        size_t opt = pv_written(&w);
        record("", 1, PV_T_OPT, 10);
        record("\xc0\x0c", 2, PV_T_TSIG, 0);
        pv_ttl_level(message, pv_written(&w));
        assert_int_equal(find(message, opt, offsets, 304), 2 + more);
        for (unsigned i = 0; i < 2 + more; i++)
            assert_int_equal(pv_get32(message + offsets[i]), 20);
        assert_int_equal(pv_get32(message + opt + 5), 10);
        assert_int_equal(pv_get32(message + opt + 15 + 6), 0);
    }
}

/* What ends before its counts say is left as it is. */
static void cut_messages_are_left_alone(void **state)
{
    (void)state;
    begin(2, 0);
    record("\xc0\x0c", 2, PV_T_A, 30);
    record("\xc0\x0c", 2, PV_T_A, 20);
    uint8_t before[128];
    memcpy(before, message, pv_written(&w));
    pv_ttl_level(message, pv_written(&w) - 8);
    assert_memory_equal(message, before, pv_written(&w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_age),
        cmocka_unit_test(ages_are_held_within_bounds),
        cmocka_unit_test(sets_are_levelled),
        cmocka_unit_test(many_records_get_the_smallest),
        cmocka_unit_test(what_has_no_lifetime_is_left_alone),
        cmocka_unit_test(cut_messages_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
