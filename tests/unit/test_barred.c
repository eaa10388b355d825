/* Connections that carry nothing and take nothing all the same: a limit of no requests, a window of
 * no octets. They give way, and their upstream is to blame where there is no other. */
#include "unit.h"

#include "sim.h"

static struct sim_server *a, *b;

static int begin(void **state)
{
    int failed = sim_begin(state);
    a = sim_server("a");
    b = sim_server("b");
    return failed;
}

static void assert_down(const char *reason)
{
    char text[100];
    pv_health_reason(sim.set->members[0], text, sizeof text);
    assert_string_equal(text, reason);
}

/* Another is opened at once; the old one is no reason to call the upstream down. */
static void gives_way(void **state)
{
    (void)state;
    sim_start(a, NULL);
    assert_answered(sim_answer_to("one.example"), "a");
    sim_bar_all(a);
    struct sim_asker q = sim_answer_to("two.example");
    assert_answered(q, "a");
    assert_took(q, 30 * MS, 35 * MS);
    assert_int_equal(sim_conns(a), 2);
    sim_run(600 * MS);
    assert_int_equal(sim_conns(a), 1);
    assert_int_equal(sim.downs, 0);
    assert_answered(sim_answer_to("three.example"), "a");
    assert_int_equal(a->opened, 2);
}

/* It may change its mind. */
static void has_its_time(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim.options.limits.connections_per_upstream = 1;
    sim_start(a, NULL);
    sim_run(100 * MS);
    sim_bar_all(a);
    sim_ask(&q, "www.example");
    sim_run(490 * MS);
    assert_int_equal(q.calls, 0);
    sim_unbar_all(a);
    sim_run(20 * MS);
    assert_answered(q, "a");
    sim_run(1 * S);
    assert_int_equal(a->opened, 1);
    assert_int_equal(sim.downs, 0);
}

/* Nobody asks: it is closed, and nobody is to blame. */
static void nobody_asks(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_run(100 * MS);
    sim_bar_all(a);
    sim_run(490 * MS);
    assert_int_equal(sim_conns(a), 1);
    sim_run(20 * MS);
    assert_int_equal(sim_conns(a), 0);
    assert_int_equal(sim.downs, 0);
    assert_answered(sim_answer_to("www.example"), "a");
}

static void full_is_not_barred(void **state)
{
    (void)state;
    struct sim_asker q = {0}, next = {0};
    sim.options.limits.connections_per_upstream = 1;
    a->has_ping = true;
    a->room = 1;
    a->answer.us = 2 * S;
    sim_start(a, NULL);
    sim_run(100 * MS);
    sim_ask(&q, "slow.example");
    sim_ask(&next, "next.example");
    sim_run(3 * S);
    assert_answered(q, "a");
    sim_run(2 * S);
    assert_answered(next, "a");
    assert_int_equal(sim.downs, 0);
}

/* In a pool nobody waits for it, and it is asked again as soon as another can be opened. */
static void another_is_asked(void **state)
{
    (void)state;
    sim.options.limits.connections_per_upstream = 1;
    sim_start(a, b, NULL);
    assert_answered(sim_answer_to("one.example"), "a");
    sim_bar_all(a);
    struct sim_asker q = sim_answer_to("two.example");
    assert_answered(q, "b");
    assert_took(q, 30 * MS, 35 * MS);
    assert_string_equal(sim_answer_to("three.example").upstream, "b");
    sim_run(1 * S);
    assert_int_equal(sim_conns(a), 0);
    assert_string_equal(sim_answer_to("four.example").upstream, "a");
    assert_int_equal(sim.downs, 0);
}

/* Was a question given to it before it was known, it waits no longer than for a slow answer. */
static void another_is_asked_in_time(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->room = 0;
    a->open_us = 100 * MS;
    sim_start(a, b, NULL);
    sim_ask(&q, "www.example");
    sim_run(2 * S);
    assert_answered(q, "b");
    assert_took(q, 150 * MS, 200 * MS);
    assert_down("takes no more requests");
}

/* All that are opened are so from the beginning: with the back-off of an outage, and over as soon
 * as one is not. */
static void for_good(void **state)
{
    (void)state;
    struct sim_asker q[10];
    memset(q, 0, sizeof q);
    a->room = 0;
    sim_start(a, NULL);
    for (unsigned i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
        sim_run(1 * S);
    }
    assert_down("takes no more requests");
    assert_failed(q[0], PRIVY_EUNREACHABLE);
    assert_int_equal(sim.downs, 1);
    assert_int_equal(a->questions, 0);
    assert_in_range(a->opened, 4, 4 + 4 * 10);
    a->room = 1000;
    sim_run(1 * S);
    assert_answered(q[9], "a");
    assert_int_equal(sim.ups, 1);
    sim_run(5 * S);
    assert_int_equal(sim_conns(a), 1);
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, sim_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(gives_way),
        T(has_its_time),
        T(nobody_asks),
        T(full_is_not_barred),
        T(another_is_asked_in_time),
        T(another_is_asked),
        T(for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
