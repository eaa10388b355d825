#include "unit.h"

#include "base/random.h"
#include "net/frame.h"

static const uint8_t *message;
static size_t length;

static void whole_message_is_found_at_every_cut(void **state)
{
    (void)state;
    uint8_t bytes[2 + 40 + 2 + 12];
    memset(bytes, 'm', sizeof bytes);
    pv_put16(bytes, 40);
    pv_put16(bytes + 42, 12);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        struct pv_buf in;
        pv_buf_init(&in, 1000);
        assert_true(pv_buf_append(&in, bytes, cut));
        assert_int_equal(pv_frame_peek(&in, &message, &length),
                         cut < 42 ? PV_FRAME_NONE : PV_FRAME_MESSAGE);
        assert_true(pv_buf_append(&in, bytes + cut, sizeof bytes - cut));
        assert_int_equal(pv_frame_peek(&in, &message, &length), PV_FRAME_MESSAGE);
        assert_int_equal(length, 40);
        assert_memory_equal(message, bytes + 2, 40);
        pv_frame_next(&in);
        assert_int_equal(pv_frame_peek(&in, &message, &length), PV_FRAME_MESSAGE);
        assert_int_equal(length, 12);
        pv_frame_next(&in);
        assert_int_equal(pv_frame_peek(&in, &message, &length), PV_FRAME_NONE);
        assert_int_equal(pv_buf_length(&in), 0);
        pv_buf_done(&in);
    }
}

static void lengths_below_a_header_are_bad(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 14; n++) {
        struct pv_buf in;
        pv_buf_init(&in, 100);
        uint8_t bytes[2 + 14] = {0};
        pv_put16(bytes, (uint16_t)n);
        assert_true(pv_buf_append(&in, bytes, 2)); /* told before the body comes */
        assert_int_equal(pv_frame_peek(&in, &message, &length),
                         n < 12 ? PV_FRAME_BAD : PV_FRAME_NONE);
        assert_true(pv_buf_append(&in, bytes + 2, 14));
        assert_int_equal(pv_frame_peek(&in, &message, &length),
                         n < 12 ? PV_FRAME_BAD : PV_FRAME_MESSAGE);
        pv_buf_done(&in);
    }
}

static void greatest_message(void **state)
{
    (void)state;
    struct pv_buf in;
    pv_buf_init(&in, 2 + 65535);
    uint8_t *p = pv_buf_reserve(&in, 2 + 65535);
    assert_non_null(p);
    memset(p, 0xff, 2 + 65535);
    pv_buf_grew(&in, 2 + 65534);
    assert_int_equal(pv_frame_peek(&in, &message, &length), PV_FRAME_NONE);
    pv_buf_grew(&in, 1);
    assert_int_equal(pv_frame_peek(&in, &message, &length), PV_FRAME_MESSAGE);
    assert_int_equal(length, 65535);
    pv_buf_done(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_message_is_found_at_every_cut),
        cmocka_unit_test(lengths_below_a_header_are_bad),
        cmocka_unit_test(greatest_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
