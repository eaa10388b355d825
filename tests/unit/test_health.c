/* What is learnt of an upstream, and what is said of it. */
#include "unit.h"

#include "base/status.h"
#include "conn/health.h"

#define MS 1000ULL
#define S  1000000ULL

static struct pv_upstream *up;
static unsigned lines, told;
static char line[200];

static void log_line(void *arg, enum privy_log_level level, const char *text)
{
    (void)arg, (void)level;
    lines++;
    snprintf(line, sizeof line, "%s", text);
}

static void watch(void *arg, const char *upstream, bool is_up, const char *reason)
{
    (void)arg, (void)upstream, (void)is_up, (void)reason;
    told++;
}

static int begin(void **state)
{
    (void)state;
    struct privy_upstream_options o = {.size = sizeof o, .name = "a"};
    struct privy_error error;
    lines = told = 0;
    privy_log_set(log_line, NULL, PRIVY_LOG_NOTICE);
    if (pv_upstream_new("tls://192.0.2.1", NULL, &o, 853, &up, &error) != PRIVY_OK)
        return -1;
    pv_health_set_watch(up, watch, NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    privy_log_set(NULL, NULL, PRIVY_LOG_NOTICE);
    pv_upstream_unref(up);
    return 0;
}

static void bad(uint64_t at)
{
    pv_health_bad(up, at, PV_SERVER_FAILED, "HTTP status 503");
}

static void good(uint64_t at)
{
    pv_health_good(up, at, at, false);
}

static void each_outage_is_said(void **state)
{
    (void)state;
    uint64_t at = 1000 * S;
    good(at);
    assert_string_equal(line, "upstream a: unknown -> up");
    for (unsigned i = 1; i <= 10; i++) {
        at += 61 * S;
        bad(at);
        assert_string_equal(line, "upstream a: up -> down: HTTP status 503");
        bad(at + 1 * S);
        good(at + 2 * S);
        assert_string_equal(line, "upstream a: down -> up");
        assert_int_equal(lines, 1 + 2 * i);
    }
}

/* It goes up and down 100 times a second. */
static void flapping_is_said_once_a_minute(void **state)
{
    (void)state;
    uint64_t at = 1000 * S;
    for (unsigned i = 0; i < 100 * 300; i++) {
        bad(at += 5 * MS);
        good(at += 5 * MS);
    }
    assert_int_equal(told, 2 * 100 * 300); /* the program is told of each */
    assert_int_equal(lines, 4 + 4);
    assert_non_null(strstr(line, ", after 11999 changes that were not logged"));
    unsigned before = lines;
    for (unsigned i = 0; i < 100; i++) /* it has come to rest: that is said too */
        good(at += 1 * S);
    assert_int_equal(lines, before + 1);
    assert_non_null(strstr(line, "upstream a: up, after "));
    bad(at + 100 * S);
    good(at + 101 * S);
    assert_int_equal(lines, before + 3);
    assert_string_equal(line, "upstream a: down -> up");
}

/* The last line says what is so. */
static void down_after_flapping_is_said(void **state)
{
    (void)state;
    uint64_t at = 1000 * S;
    for (unsigned i = 0; i < 100; i++) {
        good(at += 5 * MS);
        bad(at += 5 * MS);
    }
    for (unsigned i = 0; i < 70; i++)
        bad(at += 1 * S);
    assert_int_equal(lines, 5);
    assert_string_equal(
        line, "upstream a: down: HTTP status 503, after 196 changes that were not logged");
}

/* What was sent before it asked to be left alone does not end its rest; what was sent since does.
 */
static void rest_stands(void **state)
{
    (void)state;
    good(1000 * S);
    pv_health_rest(up, 1001 * S, 20 * S, "HTTP status 429");
    assert_false(pv_health_good(up, 1002 * S, 1000 * S, false));
    assert_false(pv_health_good(up, 1002 * S, 1001 * S, true));
    assert_true(pv_health_is_down(up));
    assert_false(pv_health_take_trial(up, 1020 * S, false));
    assert_true(pv_health_take_trial(up, 1021 * S, false));
    assert_true(pv_health_good(up, 1022 * S, 1021 * S, false));
    assert_false(pv_health_is_down(up));
    pv_health_rest(up, 1030 * S, 20 * S, "HTTP status 429");
    pv_health_forgive(up);
    assert_true(pv_health_good(up, 1031 * S, 1029 * S, false));
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_outage_is_said),
        T(flapping_is_said_once_a_minute),
        T(down_after_flapping_is_said),
        T(rest_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
