#include "unit.h"

#include "base/buf.h"

static void reader_reads_and_stays_bad(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct pv_reader r = pv_reader(bytes, sizeof bytes);
    assert_int_equal(pv_u8(&r), 1);
    assert_int_equal(pv_u16(&r), 0x0203);
    assert_int_equal(pv_u32(&r), 0x04050607);
    assert_int_equal(pv_u16(&r), 0); /* one octet is left */
    assert_true(r.bad);
    assert_int_equal(pv_u8(&r), 0);
    assert_null(pv_take(&r, 0));
}

static void sub_reader_cannot_be_left(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    struct pv_reader r = pv_reader(bytes, sizeof bytes);
    struct pv_reader sub = pv_sub(&r, 2);
    assert_int_equal(pv_u16(&sub), 0x0102);
    assert_int_equal(pv_u8(&sub), 0);
    assert_true(sub.bad);
    assert_int_equal(pv_u8(&r), 3);
    assert_true(pv_sub(&r, 1).bad);
    assert_true(r.bad);
}

static void writer_is_full_once_and_for_all(void **state)
{
    (void)state;
    uint8_t out[6] = {0};
    struct pv_writer w = pv_writer(out, 5);
    pv_write16(&w, 0x0102);
    pv_write32(&w, 0x03040506);
    assert_true(w.full);
    pv_write8(&w, 9);
    assert_int_equal(pv_written(&w), 2);
    assert_int_equal(out[2], 0);
}

static void buf_is_a_queue(void **state)
{
    (void)state;
    struct pv_buf b;
    uint8_t next_in = 0, next_out = 0;
    pv_buf_init(&b, 3000);
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t chunk[97];
        size_t n = 1 + round * 31 % 97;
        for (size_t i = 0; i < n; i++)
            chunk[i] = next_in++;
        if (!pv_buf_append(&b, chunk, n)) {
            assert_true(pv_buf_length(&b) + n > 3000);
            next_in = (uint8_t)(next_in - n);
        }
        assert_true(b.capacity <= 3000);
        size_t drop = round * 17 % (pv_buf_length(&b) + 1);
        for (size_t i = 0; i < drop; i++)
            assert_int_equal(pv_buf_front(&b)[i], next_out++);
        pv_buf_consume(&b, drop);
    }
    pv_buf_done(&b);
}

static void buf_refuses_more_than_its_limit(void **state)
{
    (void)state;
    struct pv_buf b;
    pv_buf_init(&b, 10);
    assert_true(pv_buf_append(&b, "0123456789", 10));
    assert_null(pv_buf_reserve(&b, 1));
    assert_int_equal(pv_buf_length(&b), 10);
    assert_memory_equal(pv_buf_front(&b), "0123456789", 10);
    pv_buf_consume(&b, 4);
    assert_null(pv_buf_reserve(&b, 5));
    assert_null(pv_buf_reserve(&b, SIZE_MAX));
    assert_true(pv_buf_append(&b, "abcd", 4));
    assert_memory_equal(pv_buf_front(&b), "456789abcd", 10);
    pv_buf_done(&b);
}

static void empty_buf_gives_memory_back(void **state)
{
    (void)state;
    struct pv_buf b;
    pv_buf_init(&b, 100000);
    assert_non_null(pv_buf_reserve(&b, 50000));
    memset(pv_buf_front(&b), 7, 50000);
    pv_buf_grew(&b, 50000);
    pv_buf_consume(&b, 49999);
    assert_non_null(b.bytes);
    pv_buf_consume(&b, 1);
    assert_null(b.bytes);
    assert_int_equal(b.capacity, 0);
    assert_true(pv_buf_append(&b, "x", 1));
    pv_buf_consume(&b, 1);
    assert_non_null(b.bytes); /* a small one is kept */
    pv_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_reads_and_stays_bad),
        cmocka_unit_test(sub_reader_cannot_be_left),
        cmocka_unit_test(writer_is_full_once_and_for_all),
        cmocka_unit_test(buf_is_a_queue),
        cmocka_unit_test(buf_refuses_more_than_its_limit),
        cmocka_unit_test(empty_buf_gives_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
