/* Upstreams that are down: trials, waiting, recovery. */
#include "unit.h"

#include "sim.h"

enum { CROWD = 2000 };

static struct sim_server *a, *b;
static struct sim_asker crowd[CROWD];

static int begin(void **state)
{
    int failed = sim_begin(state);
    a = sim_server("a");
    b = sim_server("b");
    memset(crowd, 0, sizeof crowd);
    return failed;
}

static void ask_nth(unsigned i)
{
    static unsigned number;
    char name[32];
    snprintf(name, sizeof name, "n%u.example", number++);
    sim_ask(&crowd[i], name);
}

/* So many questions, one each step. */
static void load(unsigned questions, uint64_t step)
{
    memset(crowd, 0, sizeof crowd);
    for (unsigned i = 0; i < questions; i++) {
        ask_nth(i);
        sim_run(step);
    }
}

static unsigned answered(unsigned questions)
{
    unsigned n = 0;
    for (unsigned i = 0; i < questions; i++)
        n += crowd[i].calls == 1 && crowd[i].status == PRIVY_OK && crowd[i].rcode == 0;
    return n;
}

/* The first success after it has healed, asking every 100 ms. */
static uint64_t recovery(void)
{
    uint64_t begun = sim.now;
    for (unsigned i = 0; i < 100; i++) {
        ask_nth(i);
        sim_run(100 * MS);
        for (unsigned k = 0; k <= i; k++) {
            if (crowd[k].calls && crowd[k].status == PRIVY_OK && crowd[k].rcode == 0)
                return crowd[k].at - begun;
        }
    }
    return UINT64_MAX;
}

/* ---- all down ---- */

static void fails_at_the_deadline_and_says_why(void **state)
{
    (void)state;
    a->opening = SIM_REFUSES;
    b->opening = SIM_UNTRUSTED;
    sim_start(a, b, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_failed(q, PRIVY_EPEER);
    assert_took(q, 4500 * MS, 4502 * MS);
    assert_true(q.error.attempt_count >= 2);
    assert_string_equal(q.error.attempts[0].upstream, "a");
    assert_string_equal(q.error.attempts[0].reason, "refused");
    assert_false(q.error.attempts[0].sent);
    assert_string_equal(q.error.attempts[1].upstream, "b");
    assert_string_equal(q.error.attempts[1].reason, "wrong certificate");
    assert_int_equal(sim.downs, 2);
    assert_int_equal(sim.ups, 0);
    sim_run(3 * S);
    q = sim_answer_to("other.example"); /* none is even tried, by a back-off: all the same */
    assert_failed(q, PRIVY_EPEER);
    assert_int_equal(q.error.attempt_count, 2);
    assert_int_equal(sim.downs, 2);
}

/* Its time is up in the middle of a trial: that it was just asked again is not why. */
static void fails_in_a_trial_and_says_why(void **state)
{
    (void)state;
    sim_start(a, NULL);
    a->answer.deed = a->probe.deed = SIM_GARBLES;
    assert_failed(sim_answer_to("www.example"), PRIVY_EPEER);
    a->answer.deed = a->probe.deed = SIM_SILENT;
    sim.resolver->options.query.deadline = 1000;
    struct sim_asker q = sim_answer_to("other.example");
    assert_failed(q, PRIVY_EPEER);
    assert_true(q.error.attempts[0].sent);
    assert_memory_equal(q.error.attempts[0].reason, "bad answer: ", 12);
}

static void only_unreachable_ones(void **state)
{
    (void)state;
    a->opening = b->opening = SIM_REFUSES;
    sim_start(a, b, NULL);
    assert_failed(sim_answer_to("www.example"), PRIVY_EUNREACHABLE);
}

static void four_trials_a_second(void **state)
{
    (void)state;
    a->opening = b->opening = SIM_REFUSES;
    a->open_us = 1 * MS;
    sim_start(a, b, NULL);
    load(400, 10 * MS);
    assert_in_range(a->opened, 12, 4 * 4 + 2);
    assert_in_range(b->opened, 12, 4 * 4 + 2);
    sim_run(10 * S);
    assert_int_equal(answered(400), 0);
    for (unsigned i = 0; i < 400; i++)
        assert_true(crowd[i].at - crowd[i].begun <= 4502 * MS);
}

/* Each new one beside those that still open; the first one ready closes the rest. */
static void trials_do_not_wait_for_each_other(void **state)
{
    (void)state;
    a->opening = SIM_HANGS;
    sim_start(a, NULL);
    load(40, 100 * MS);
    assert_in_range(a->opening_most, 5, 8);
    assert_true(a->opened <= 4 * 4 + 1);
    a->opening = SIM_OPENS;
    assert_true(recovery() <= 300 * MS);
    assert_int_equal(a->opening_now, 0);
    assert_int_equal(sim_conns(a), 1);
}

static void the_waiting_go_out_in_one_burst(void **state)
{
    (void)state;
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    for (unsigned i = 0; i < CROWD / 10; i++)
        ask_nth(i);
    sim_run(3 * S);
    unsigned before = a->opened;
    a->opening = SIM_OPENS;
    sim_run(300 * MS);
    assert_int_equal(answered(CROWD / 10), CROWD / 10);
    assert_true(a->opened - before <= 4);
    assert_int_equal(a->questions, CROWD / 10);
    assert_int_equal(a->probes, 0);
}

static void cancelled_while_waiting(void **state)
{
    (void)state;
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    for (unsigned i = 0; i < 10; i++)
        ask_nth(i);
    sim_run(1 * S);
    for (unsigned i = 0; i < 10; i++)
        privy_cancel(crowd[i].handle);
    unsigned before = a->opened;
    sim_run(5 * S);
    assert_true(a->opened <= before + 1); /* nobody waits: no trials */
}

/* ---- one of two ---- */

static void few_handshakes_beside_a_healthy_one(void **state)
{
    (void)state;
    static const enum sim_opening openings[] = {SIM_REFUSES, SIM_UNTRUSTED, SIM_HANGS};
    sim_start(a, b, NULL);
    for (unsigned i = 0; i < 3; i++) {
        a->opening = openings[i];
        sim_close_all(a);
        unsigned before = a->opened;
        load(600, 100 * MS);
        assert_int_equal(answered(600), 600);
        assert_true(a->opened - before <= 20);
        a->opening = SIM_OPENS;
        sim_run(10 * S);
        load(60, 100 * MS);
        assert_false(pv_health_is_down(sim.set->members[0]));
        assert_int_equal(sim.downs, i + 1);
    }
}

static void few_handshakes_where_the_answer_never_comes(void **state)
{
    (void)state;
    a->answer.deed = a->probe.deed = SIM_CLOSES;
    sim_start(a, b, NULL);
    load(600, 100 * MS);
    assert_int_equal(answered(600), 600);
    assert_true(a->opened <= 25);
}

/* However many wait for it: the hedges that come to nothing do not prolong the wait of the others.
 */
static void a_busy_one_falls_silent(void **state)
{
    (void)state;
    a->answer.us = a->probe.us = 20 * MS;
    sim_start(a, b, NULL);
    load(500, 1 * MS);
    sim_run(100 * MS);
    a->answer.deed = a->probe.deed = SIM_SILENT;
    a->opening = SIM_HANGS;
    load(1500, 1 * MS);
    sim_run(600 * MS);
    assert_int_equal(answered(1500), 1500);
    for (unsigned i = 0; i < 1500; i++)
        assert_true(crowd[i].at - crowd[i].begun <= 600 * MS);
}

/* ---- the only one, and it comes back ---- */

static void sole_upstream_closes_on_each_question(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    a->answer.deed = a->probe.deed = SIM_CLOSES;
    load(80, 100 * MS);
    assert_true(a->opened <= 42);
    a->answer.deed = SIM_ANSWERS;
    a->probe.deed = SIM_DENIES;
    assert_true(recovery() <= 1 * S);
}

static void sole_upstream_sends_garbage(void **state)
{
    (void)state;
    static const enum sim_deed deeds[] = {SIM_GARBLES, SIM_MISHEARS};
    sim_start(a, NULL);
    for (unsigned i = 0; i < 2; i++) {
        a->answer.deed = a->probe.deed = deeds[i];
        load(80, 100 * MS);
        assert_int_equal(answered(80), 0);
        a->answer.deed = SIM_ANSWERS;
        a->probe.deed = SIM_DENIES;
        assert_true(recovery() <= 1 * S);
    }
}

static void sole_upstream_stopped(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    a->answer.deed = a->probe.deed = SIM_SILENT;
    a->opening = SIM_HANGS;
    load(80, 100 * MS);
    a->answer.deed = SIM_ANSWERS;
    a->probe.deed = SIM_DENIES;
    a->opening = SIM_OPENS;
    assert_true(recovery() <= 1 * S);
    sim_run(5 * S);
    for (unsigned i = 0; i < 80; i++)
        assert_int_equal(sim_conns(a), 1);
}

static void long_outage(void **state)
{
    (void)state;
    a->opening = SIM_HANGS;
    b->opening = SIM_REFUSES;
    sim_start(a, b, NULL);
    for (unsigned hour = 0; hour < 12; hour++) {
        load(3, 500 * MS);
        sim_run(300 * S);
    }
    a->opening = SIM_OPENS;
    assert_true(recovery() <= 1 * S);
    assert_in_range(sim.downs, 2, 2);
}

/* ---- what recovery clears ---- */

static void failures_are_void_after_recovery(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    q = sim_answer_to("www.example");
    assert_failed(q, PRIVY_EUNREACHABLE);
    q = sim_answer_to("www.example");
    assert_int_equal(q.rcode, PV_SERVFAIL); /* cached */
    assert_true(q.facts.failure && q.facts.cached);
    a->opening = SIM_OPENS;
    sim_answer_to("other.example");
    assert_answered(sim_answer_to("www.example"), "a");
}

/* Who asks for a cached failure has nothing waiting; the trial sends a probe, and that is good. */
static void a_probe_proves_recovery(void **state)
{
    (void)state;
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    a->opening = SIM_OPENS;
    sim_run(250 * MS);
    assert_true(sim_answer_to("www.example").facts.failure);
    sim_run(35 * MS);
    assert_int_equal(a->probes, 1);
    assert_false(pv_health_is_down(sim.set->members[0]));
    assert_answered(sim_answer_to("www.example"), "a");
}

static void recovery_of_one_forgives_the_other(void **state)
{
    (void)state;
    a->opening = b->opening = SIM_REFUSES;
    sim_start(a, b, NULL);
    for (unsigned i = 0; i < 10; i++) { /* back-offs of 5 s */
        load(1, 6 * S);
    }
    a->opening = b->opening = SIM_OPENS;
    assert_true(recovery() <= 500 * MS);
    load(5, 100 * MS);
    assert_false(pv_health_is_down(sim.set->members[1]));
}

/* The way out may open by other means than a trial: another thread found that it is up. */
static void another_thread_sees_it_up(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    a->opening = SIM_OPENS;
    pv_health_good(sim.set->members[0], sim.now, sim.now, false);
    sim_run(400 * MS);
    assert_answered(q, "a");
}

/* Each of its connections goes as soon as it is there: none replaces it but a trial. */
static void goes_as_soon_as_it_is_there(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    sim_run(1 * S);
    assert_int_equal(sim.downs, 1);
    a->opening = SIM_OPENS;
    a->answer.deed = a->probe.deed = SIM_SILENT;
    sim_ask(&q, "www.example");
    unsigned before = a->opened;
    for (unsigned i = 0; i < 100; i++) {
        sim_replace_all(a);
        sim_run(10 * MS);
    }
    assert_in_range(a->opened - before, 0, 4);
    a->answer.deed = SIM_ANSWERS;
    sim_run(1500 * MS);
    assert_answered(q, "a");
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, sim_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fails_at_the_deadline_and_says_why),
        T(fails_in_a_trial_and_says_why),
        T(only_unreachable_ones),
        T(four_trials_a_second),
        T(goes_as_soon_as_it_is_there),
        T(trials_do_not_wait_for_each_other),
        T(the_waiting_go_out_in_one_burst),
        T(cancelled_while_waiting),
        T(few_handshakes_beside_a_healthy_one),
        T(few_handshakes_where_the_answer_never_comes),
        T(a_busy_one_falls_silent),
        T(sole_upstream_closes_on_each_question),
        T(sole_upstream_sends_garbage),
        T(sole_upstream_stopped),
        T(long_outage),
        T(failures_are_void_after_recovery),
        T(a_probe_proves_recovery),
        T(recovery_of_one_forgives_the_other),
        T(another_thread_sees_it_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
