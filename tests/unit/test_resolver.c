/* Askers: each is told exactly once, from the loop, or never; whatever its callback does. Equal
 * questions share one attempt. */
#include "unit.h"

#include "sim.h"

enum { MANY = 100 };

static struct sim_server *a, *b;

static int begin_one(void **state)
{
    int failed = sim_begin(state);
    a = sim_server("a");
    sim_start(a, NULL);
    return failed;
}

static int begin_two(void **state)
{
    int failed = sim_begin(state);
    a = sim_server("a");
    b = sim_server("b");
    sim_start(a, b, NULL);
    return failed;
}

static void is_told_once_and_later(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_ask(&q, "www.example");
    assert_int_equal(privy_resolver_pending(sim.resolver), 1);
    sim_run(10 * S);
    assert_answered(q, "a");
    assert_took(q, 30 * MS, 31 * MS); /* 20 to open, 10 to answer */
    assert_int_equal(q.ttl, 300);
    assert_string_equal(q.protocol, "dot");
    assert_int_equal(q.facts.milliseconds, 30);
    assert_int_equal(q.facts.attempts, 1);
    assert_false(q.facts.cached || q.facts.reused || q.facts.coalesced || q.facts.stale);
    assert_true(q.facts.resumed);
    assert_int_equal(privy_resolver_pending(sim.resolver), 0);
}

static void is_told_from_the_cache_later_too(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_answer_to("www.example");
    sim_run(100 * S);
    sim_ask(&q, "www.example");
    assert_int_equal(q.calls, 0);
    sim_turns();
    assert_int_equal(q.calls, 1);
    assert_true(q.facts.cached);
    assert_int_equal(q.ttl, 200);
    assert_int_equal(a->questions, 1);
}

static void R3_equal_questions_share_one_attempt(void **state)
{
    (void)state;
    static struct sim_asker q[MANY];
    uint8_t wire[MANY][512];
    memset(q, 0, sizeof q);
    for (unsigned i = 0; i < MANY; i++) {
        char name[] = "www.example";
        for (unsigned bit = 0; bit < 3; bit++)
            name[bit] = i >> bit & 1 ? 'W' : 'w';
        size_t length = sim_query(wire[i], (uint16_t)(i * 257), name, PV_T_A, PV_RD, false);
        sim_exchange(&q[i], wire[i], length, NULL);
        if (i == MANY / 2)
            sim_run(5 * MS);
    }
    sim_run(1 * S);
    assert_int_equal(a->questions, 1);
    for (unsigned i = 0; i < MANY; i++) {
        assert_answered(q[i], "a");
        assert_int_equal(q[i].id, i * 257);
        assert_memory_equal(q[i].wire + PV_HEADER, wire[i] + PV_HEADER, 13 + 4);
        assert_int_equal(q[i].facts.coalesced, i > 0);
    }
}

static void R3_unequal_questions_do_not(void **state)
{
    (void)state;
    struct sim_asker q[5] = {0};
    uint8_t wire[512];
    sim_exchange(&q[0], wire, sim_query(wire, 1, "www.example", PV_T_A, PV_RD, false), NULL);
    sim_exchange(&q[1], wire, sim_query(wire, 2, "www.example", PV_T_AAAA, PV_RD, false), NULL);
    sim_exchange(&q[2], wire, sim_query(wire, 3, "www.example", PV_T_A, PV_RD, true), NULL);
    sim_exchange(&q[3], wire, sim_query(wire, 4, "www.example", PV_T_A, PV_RD | PV_CD, false),
                 NULL);
    sim_exchange(&q[4], wire, sim_query(wire, 5, "ww.example", PV_T_A, PV_RD, false), NULL);
    sim_run(1 * S);
    assert_int_equal(a->questions, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(q[i].id, i + 1);
}

/* The second one comes late, and waits as long as the first did. */
static void R4_each_asker_has_its_own_deadline(void **state)
{
    (void)state;
    struct sim_asker first = {0}, second = {0}, third = {0};
    struct privy_query_options brief = sim.options.query;
    struct privy_exchange_options o = {.size = sizeof o, .query = &brief};
    uint8_t wire[512];
    size_t length = sim_query(wire, 7, "www.example", PV_T_A, PV_RD, false);
    brief.deadline = 1000;
    a->answer.deed = SIM_SILENT;
    sim_ask(&first, "www.example");
    sim_run(2 * S);
    sim_ask(&second, "www.example");
    sim_exchange(&third, wire, length, &o);
    sim_run(10 * S);
    assert_failed(first, PRIVY_ETIMEOUT);
    assert_took(first, 4500 * MS, 4502 * MS);
    assert_failed(second, PRIVY_ETIMEOUT);
    assert_took(second, 4500 * MS, 4502 * MS);
    assert_failed(third, PRIVY_ETIMEOUT);
    assert_took(third, 1000 * MS, 1002 * MS);
}

static void R4_followers_outlive_the_leader(void **state)
{
    (void)state;
    struct sim_asker first = {0}, second = {0};
    a->answer.us = 400 * MS;
    sim_ask(&first, "www.example");
    sim_run(100 * MS);
    sim_ask(&second, "www.example");
    privy_cancel(first.handle);
    sim_run(10 * S);
    assert_int_equal(first.calls, 0);
    assert_answered(second, "a");
    assert_int_equal(a->questions, 1);
}

static void nobody_is_told_after_cancel(void **state)
{
    (void)state;
    static const uint64_t when[] = {0, 1 * MS, 21 * MS, 29 * MS};
    for (unsigned i = 0; i < 4; i++) {
        struct sim_asker q[3] = {0};
        for (unsigned k = 0; k < 3; k++)
            sim_ask(&q[k], k == 2 ? "other.example" : "www.example");
        sim_run(when[i]);
        for (unsigned k = 0; k < 3; k++)
            privy_cancel(q[k].handle);
        assert_int_equal(privy_resolver_pending(sim.resolver), 0);
        sim_run(60 * S);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(q[k].calls, 0);
    }
    assert_int_equal(pv_cache_options(sim.cache)->size, 33554432);
}

static void nobody_is_told_after_cancel_of_what_is_at_hand(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_answer_to("www.example");
    sim_ask(&q, "www.example");
    privy_cancel(q.handle);
    sim_run(1 * S);
    assert_int_equal(q.calls, 0);
}

/* ---- what a callback may do ---- */

static void free_resolver(struct sim_asker *q)
{
    (void)q;
    privy_resolver_free(sim.resolver);
    sim.resolver = NULL;
}

static void cancel_extra(struct sim_asker *q)
{
    struct sim_asker *other = q->extra;
    if (other->handle)
        privy_cancel(other->handle);
    other->handle = NULL;
}

static void ask_extra(struct sim_asker *q)
{
    sim_ask(q->extra, "www.example");
}

/* Some equal ones and one other; the callback of the first frees the resolver. */
static void free_in_first_of(struct sim_asker q[4])
{
    q[0].then = free_resolver;
    for (unsigned i = 0; i < 4; i++)
        sim_ask(&q[i], i == 3 ? "other.example" : "www.example");
    sim_run(10 * S);
    assert_int_equal(q[0].calls, 1);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(q[i].calls, 0);
    assert_null(sim.resolver);
}

static void free_from_an_answer(void **state)
{
    (void)state;
    struct sim_asker q[4] = {0};
    free_in_first_of(q);
    assert_int_equal(q[0].status, PRIVY_OK);
}

static void free_from_a_cached_answer(void **state)
{
    (void)state;
    struct sim_asker q[4] = {0};
    sim_answer_to("www.example");
    free_in_first_of(q);
    assert_true(q[0].facts.cached);
}

static void free_from_a_failure(void **state)
{
    (void)state;
    struct sim_asker q[4] = {0};
    sim_answer_to("x.example");
    sim.resolver->options.query.tries = 1;
    a->answer.deed = SIM_GARBLES;
    free_in_first_of(q);
    assert_int_equal(q[0].status, PRIVY_EPEER);
}

static void free_from_a_deadline(void **state)
{
    (void)state;
    struct sim_asker q[4] = {0};
    a->answer.deed = SIM_SILENT;
    free_in_first_of(q);
    assert_int_equal(q[0].status, PRIVY_ETIMEOUT);
}

static void free_from_a_stale_answer(void **state)
{
    (void)state;
    struct sim_asker q[4] = {0};
    sim_answer_to("www.example");
    sim_run(400 * S);
    a->answer.deed = SIM_SILENT;
    free_in_first_of(q);
    assert_true(q[0].facts.stale);
}

/* All end in the same turn: answers, a failure, a deadline, one from the cache. */
static void free_with_others_ending_too(void **state)
{
    (void)state;
    struct sim_asker q[6] = {0}, first = {.then = free_resolver};
    char name[16] = "0.example";
    sim_answer_to("cached.example");
    for (unsigned i = 0; i < 6; i++) {
        name[0] = (char)('0' + i);
        sim_ask(&q[i], name);
    }
    sim_run(5 * MS);
    sim_close_all(a); /* free replays begin */
    sim_run(29 * MS);
    sim_ask(&first, "cached.example");
    sim.now += 100 * MS; /* answers, try timeouts */
    sim_turns();
    assert_int_equal(first.calls, 1);
    for (unsigned i = 0; i < 6; i++)
        assert_in_range(q[i].calls, 0, 1);
}

static void cancel_of_the_other_asker_in_a_callback(void **state)
{
    (void)state;
    static const enum sim_deed deeds[] = {SIM_ANSWERS, SIM_FAILS, SIM_SILENT, SIM_GARBLES};
    char name[16] = "0.example";
    for (unsigned i = 0; i < 4; i++) {
        struct sim_asker q[2] = {{.then = cancel_extra, .extra = &q[1]},
                                 {.then = cancel_extra, .extra = &q[0]}};
        a->answer.deed = deeds[i];
        a->answer.rcode = PV_SERVFAIL;
        name[0] = (char)('0' + i);
        sim_ask(&q[0], name);
        sim_ask(&q[1], name);
        sim_run(20 * S);
        assert_int_equal(q[0].calls, 1);
        assert_int_equal(q[1].calls, 0);
    }
}

static void cancel_of_another_query_in_a_callback(void **state)
{
    (void)state;
    struct sim_asker q[2] = {{.then = cancel_extra, .extra = &q[1]},
                             {.then = cancel_extra, .extra = &q[0]}};
    sim_ask(&q[0], "a.example"); /* both answers come in one turn */
    sim_ask(&q[1], "b.example");
    sim_run(20 * S);
    assert_int_equal(q[0].calls + q[1].calls, 1);
    assert_int_equal(a->questions, 2);
}

static void ask_again_in_a_callback(void **state)
{
    (void)state;
    static const enum sim_deed deeds[] = {SIM_ANSWERS, SIM_FAILS, SIM_GARBLES};
    for (unsigned i = 0; i < 3; i++) {
        struct sim_asker again = {0}, q = {.then = ask_extra, .extra = &again};
        struct sim_asker second = {0};
        privy_cache_flush(sim.cache);
        a->answer.deed = deeds[i];
        a->answer.rcode = PV_SERVFAIL;
        sim_ask(&q, "www.example");
        sim_ask(&second, "www.example");
        sim_run(20 * S);
        assert_int_equal(q.calls, 1);
        assert_int_equal(second.calls, 1);
        assert_int_equal(again.calls, 1);
        assert_true(again.facts.cached); /* the answer, or the failure */
    }
}

static void new_set_in_a_callback(struct sim_asker *q)
{
    (void)q;
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, b, NULL, NULL);
    assert_int_equal(privy_resolver_set_upstreams(sim.resolver, set), PRIVY_OK);
    privy_upstreams_unref(set);
}

static void new_upstreams_in_a_callback(void **state)
{
    (void)state;
    struct sim_asker q[2] = {{.then = new_set_in_a_callback}, {0}};
    sim_ask(&q[0], "a.example"); /* both answers come in one turn */
    sim_ask(&q[1], "b.example");
    sim_run(20 * S);
    assert_answered(q[0], "a");
    assert_answered(q[1], "a");
    assert_string_equal(sim_answer_to("c.example").upstream, "b");
}

/* ---- bounds ---- */

static void too_many_questions(void **state)
{
    (void)state;
    static struct sim_asker q[MANY];
    uint8_t wire[512];
    char name[16];
    memset(q, 0, sizeof q);
    sim.resolver->options.limits.inflight = MANY;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
    }
    size_t length = sim_query(wire, 7, "n1.example", PV_T_A, PV_RD, false);
    assert_int_equal(privy_exchange(sim.resolver, wire, length, NULL, NULL, NULL, NULL),
                     PRIVY_EBUSY);
    sim_run(1 * S);
    for (unsigned i = 0; i < MANY; i++)
        assert_answered(q[i], "a");
    assert_int_equal(a->opened, 1);
    assert_answered(sim_answer_to("more.example"), "a");
}

static void no_queries_are_refused(void **state)
{
    (void)state;
    uint8_t wire[512];
    size_t length = sim_query(wire, 7, "n1.example", PV_T_A, PV_RD | PV_QR, false);
    struct privy_exchange_options o = {.size = sizeof o, .protocol = "smtp"};
    assert_int_equal(privy_exchange(sim.resolver, wire, length, NULL, NULL, NULL, NULL),
                     PRIVY_EFORMAT);
    assert_int_equal(privy_exchange(sim.resolver, wire, 11, NULL, NULL, NULL, NULL), PRIVY_EFORMAT);
    assert_int_equal(privy_query(sim.resolver, "a..b", PV_T_A, NULL, NULL, NULL, NULL, NULL),
                     PRIVY_EINVAL);
    length = sim_query(wire, 7, "n1.example", PV_T_A, PV_RD, false);
    assert_int_equal(privy_exchange(sim.resolver, wire, length, &o, NULL, NULL, NULL),
                     PRIVY_EUNSUPPORTED);
}

static void resolver_freed_at_any_moment(void **state)
{
    for (uint64_t ms = 0; ms < 2600; ms += ms < 60 ? 1 : 97) {
        struct sim_asker q[4] = {0};
        a->answer.deed = ms % 2 ? SIM_SILENT : SIM_CLOSES;
        b->open_us = 500 * MS;
        for (unsigned i = 0; i < 4; i++)
            sim_ask(&q[i], i % 2 ? "a.example" : "b.example");
        sim_run(ms * MS);
        privy_resolver_free(sim.resolver);
        sim.resolver = NULL;
        sim_run(10 * S);
        for (unsigned i = 0; i < 4; i++)
            assert_in_range(q[i].calls, 0, 1);
        sim_end(state);
        begin_two(state);
    }
}

#define ONE(test) cmocka_unit_test_setup_teardown(test, begin_one, sim_end)
#define TWO(test) cmocka_unit_test_setup_teardown(test, begin_two, sim_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(is_told_once_and_later),
        ONE(is_told_from_the_cache_later_too),
        ONE(R3_equal_questions_share_one_attempt),
        ONE(R3_unequal_questions_do_not),
        ONE(R4_each_asker_has_its_own_deadline),
        ONE(R4_followers_outlive_the_leader),
        ONE(nobody_is_told_after_cancel),
        ONE(nobody_is_told_after_cancel_of_what_is_at_hand),
        ONE(free_from_an_answer),
        ONE(free_from_a_cached_answer),
        ONE(free_from_a_failure),
        ONE(free_from_a_deadline),
        ONE(free_from_a_stale_answer),
        ONE(free_with_others_ending_too),
        ONE(cancel_of_the_other_asker_in_a_callback),
        ONE(cancel_of_another_query_in_a_callback),
        ONE(ask_again_in_a_callback),
        TWO(new_upstreams_in_a_callback),
        ONE(too_many_questions),
        ONE(no_queries_are_refused),
        TWO(resolver_freed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
