#include "unit.h"

#include "base/status.h"

static void errors_are_filled(void **state)
{
    (void)state;
    struct privy_error e = {.attempt_count = 3};
    assert_int_equal(pv_error(&e, PRIVY_EFILE, "%s: %d\nx", "file", 7), PRIVY_EFILE);
    assert_int_equal(e.status, PRIVY_EFILE);
    assert_string_equal(e.message, "file: 7 x"); /* one line */
    assert_int_equal(e.attempt_count, 3);
    assert_int_equal(pv_error(NULL, PRIVY_ENOMEM, "x"), PRIVY_ENOMEM);
}

static void every_status_has_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= PRIVY_ENOTREADY; i++)
        assert_string_not_equal(privy_strerror(i), "unknown status");
    assert_string_equal(privy_strerror(PRIVY_ENOTREADY + 1), "unknown status");
}

static char last_line[2000];
static unsigned line_count;

static void keep_line(void *arg, enum privy_log_level level, const char *line)
{
    (void)level;
    (*(unsigned *)arg)++;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static void log_goes_to_the_callback(void **state)
{
    (void)state;
    pv_log(PRIVY_LOG_ERROR, "to nobody");
    assert_false(pv_log_wants(PRIVY_LOG_ERROR));
    privy_log_set(keep_line, &line_count, PRIVY_LOG_NOTICE);
    pv_log(PRIVY_LOG_NOTICE, "n %d", 1);
    pv_log(PRIVY_LOG_INFO, "not wanted");
    pv_debug("not wanted");
    assert_int_equal(line_count, 1);
    assert_string_equal(last_line, "n 1");
    privy_log_set(NULL, NULL, PRIVY_LOG_DEBUG);
    pv_log(PRIVY_LOG_ERROR, "to nobody");
    assert_int_equal(line_count, 1);
}

static void escape_keeps_a_line_whole(void **state)
{
    (void)state;
    char out[32];
    assert_int_equal(pv_escape(out, sizeof out, "a b\\\n\xff~", 7), 16);
    assert_string_equal(out, "a b\\092\\010\\255~");
    assert_int_equal(pv_escape(out, 5, "abcdefg", 7), 4);
    assert_string_equal(out, "abcd");
    assert_int_equal(pv_escape(out, 5, "a\nb", 3), 1); /* \010 does not fit whole */
    assert_string_equal(out, "a");
    assert_int_equal(pv_escape(out, 0, "a", 1), 0);
    assert_int_equal(pv_escape(out, 1, "a", 1), 0);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_filled),
        cmocka_unit_test(every_status_has_words),
        cmocka_unit_test(log_goes_to_the_callback),
        cmocka_unit_test(escape_keeps_a_line_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
