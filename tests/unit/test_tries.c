/* What follows when a try comes to nothing, or is slow. */
#include "unit.h"

#include "sim.h"

#include <limits.h>

static struct sim_server *a, *b, *c, *d;

static int begin(void **state)
{
    int failed = sim_begin(state);
    a = sim_server("a");
    b = sim_server("b");
    c = sim_server("c");
    d = sim_server("d");
    return failed;
}

/* All of a server's answers: this RCODE, with an EDE that names it. */
static void fails(struct sim_server *s, uint16_t rcode)
{
    s->answer = (struct sim_answer){
        .deed = SIM_FAILS, .us = 10 * MS, .rcode = rcode, .ede = (uint16_t)(100 + s->number)};
}

/* The pool: a and c validate, b and d do not. */
static void start_classes(void)
{
    static const char *const properties[] = {"dnssec", NULL};
    struct privy_upstream_options o = {.size = sizeof o, .properties = properties};
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, &o, NULL);
    sim_add(set, b, NULL, NULL);
    sim_add(set, c, &o, NULL);
    sim_add(set, d, NULL, NULL);
    sim_resolver(set);
}

static void warm_up(unsigned questions)
{
    static unsigned number;
    char name[32];
    for (unsigned i = 0; i < questions; i++) {
        snprintf(name, sizeof name, "warm%u.example", number++);
        assert_answered(sim_answer_to(name), "a");
    }
}

static struct sim_answer slow_names(struct sim_server *s, const struct sim_message *m)
{
    struct sim_answer answer = s->answer;
    if (strncmp(m->name, "warm", 4) == 0)
        answer = (struct sim_answer){.us = 10 * MS, .ttl = 300};
    return answer;
}

/* ---- connections that do not come ---- */

static void refused(void **state)
{
    (void)state;
    a->opening = b->opening = c->opening = SIM_REFUSES;
    a->open_us = 5 * MS;
    b->opening = SIM_UNTRUSTED;
    sim_start(a, b, c, d, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "d");
    assert_took(q, 75 * MS, 80 * MS);
    assert_int_equal(q.facts.attempts, 4);
    assert_int_equal(sim.downs, 3);
    q = sim_answer_to("other.example");
    assert_answered(q, "d");
    assert_int_equal(q.facts.attempts, 1);
}

static void hangs(void **state)
{
    (void)state;
    a->opening = SIM_HANGS;
    sim.options.query.hedge_budget = 0; /* it needs none */
    sim_start(a, b, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "b");
    assert_took(q, 180 * MS, 185 * MS);
    q = sim_answer_to("other.example"); /* is not even given to a, as long as it hangs */
    assert_answered(q, "b");
    assert_took(q, 10 * MS, 12 * MS);
}

static void opens_late_but_before_the_other(void **state)
{
    (void)state;
    a->open_us = 300 * MS;
    b->open_us = 500 * MS;
    sim_start(a, b, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "a");
    assert_took(q, 310 * MS, 315 * MS);
}

/* Sent late, when nobody else was left; then silent: its try timeout still counts. */
static void opens_late_then_silent(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    fails(a, PV_SERVFAIL);
    b->opening = SIM_REFUSES;
    sim_start(a, b, NULL);
    sim.resolver->options.query.try_timeout = 200;
    sim_answer_to("www.example"); /* b is down */
    sim_close_all(a);
    a->open_us = 300 * MS;
    a->answer.deed = SIM_SILENT;
    sim_ask(&q, "other.example");
    sim_run(200 * MS);
    b->opening = SIM_OPENS;
    pv_endpoint_trial(pv_container(sim.resolver->endpoints.prev, struct pv_endpoint, link), true);
    sim_run(10 * S);
    assert_answered(q, "b");
    assert_took(q, 500 * MS, 520 * MS);
}

/* ---- slow ones ---- */

static void try_timeout_asks_the_next_and_ends_nothing(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->choose = b->choose = slow_names;
    sim.options.query.hedge_budget = 0;
    sim_start(a, b, NULL);
    warm_up(10); /* SRTT 10 ms: the try timeout is 500 ms */
    a->answer.us = 1200 * MS;
    b->answer.us = 5 * S;
    sim_ask(&q, "slow.example");
    for (unsigned i = 0; i < 4; i++) { /* the connection is alive */
        sim_run(110 * MS);
        warm_up(1);
    }
    sim_run(100 * MS);
    assert_int_equal(sim_asked(b, "slow.example."), 1);
    sim_run(10 * S);
    assert_answered(q, "a");
    assert_took(q, 1200 * MS, 1205 * MS);
    assert_int_equal(sim_asked(a, "slow.example."), 1);
}

static void hedge_only_within_budget(void **state)
{
    (void)state;
    char name[32];
    a->choose = slow_names;
    sim_start(a, b, NULL);
    warm_up(1);
    a->answer.us = 400 * MS;
    struct sim_asker q = sim_answer_to("early.example"); /* no credit yet: 5 % of 2 */
    assert_answered(q, "a");
    assert_took(q, 400 * MS, 405 * MS);
    assert_int_equal(b->questions, 0);
    warm_up(100);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "slow%u.example", i);
        q = sim_answer_to(name);
        if (i == 0) {
            assert_answered(q, "b");
            assert_took(q, 180 * MS, 290 * MS); /* 2 SRTT, 20 to open, 10 */
        }
    }
    assert_in_range(b->questions, 5, 6); /* of 122 */
}

static void what_a_hedge_outlives_has_its_cost(void **state)
{
    (void)state;
    a->choose = slow_names;
    sim_start(a, b, NULL);
    warm_up(30);
    uint64_t before = pv_health_cost(sim.set->members[0]);
    uint64_t srtt = pv_health_srtt(sim.set->members[0]);
    a->answer.us = 450 * MS;
    assert_answered(sim_answer_to("slow.example"), "b");
    assert_true(pv_health_cost(sim.set->members[0]) > before + 10 * MS);
    assert_int_equal(pv_health_srtt(sim.set->members[0]), srtt); /* that of answers */
    assert_int_equal(sim.downs, 0);
}

static void hedge_stays_in_its_class(void **state)
{
    (void)state;
    a->choose = slow_names;
    start_classes();
    warm_up(100);
    a->answer.us = 400 * MS;
    assert_answered(sim_answer_to("slow.example"), "c");
    assert_int_equal(b->questions, 0);
}

static void no_hedge_into_another_class(void **state)
{
    (void)state;
    a->choose = slow_names;
    c->opening = SIM_REFUSES;
    start_classes();
    warm_up(100);
    a->answer.us = 400 * MS;
    sim_answer_to("slow.example"); /* c is tried, and is down from here on */
    assert_answered(sim_answer_to("slower.example"), "a");
    assert_int_equal(b->questions + d->questions, 0);
}

/* ---- how often ---- */

static void no_more_than_three_to_one_server(void **state)
{
    (void)state;
    a->answer.deed = SIM_GARBLES;
    sim_start(a, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_failed(q, PRIVY_EPEER);
    assert_int_equal(a->questions, 3);
    assert_int_equal(q.error.attempt_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(q.error.attempts[i].upstream, "a");
        assert_string_equal(q.error.attempts[i].protocol, "dot");
        assert_memory_equal(q.error.attempts[i].reason, "bad answer: ", 12);
        assert_true(q.error.attempts[i].sent);
    }
}

/* Nor where each of its connections falls silent in turn. */
static void no_more_than_three_to_a_silent_one(void **state)
{
    (void)state;
    a->answer.deed = a->probe.deed = SIM_SILENT;
    sim_start(a, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.calls, 1);
    assert_true(q.status != PRIVY_OK);
    assert_in_range(a->questions, 2, 3);
    assert_took(q, 1 * MS, 4502 * MS);
}

static void no_more_than_four_in_all(void **state)
{
    (void)state;
    a->answer.deed = b->answer.deed = c->answer.deed = d->answer.deed = SIM_CLOSES;
    sim_start(a, b, c, d, NULL);
    sim.resolver->options.query.tries = 3;
    struct sim_asker q = sim_answer_to("www.example");
    assert_failed(q, PRIVY_EUNREACHABLE);
    assert_int_equal(a->questions + b->questions + c->questions, 3);
    assert_int_equal(d->questions, 0);
}

static void what_was_not_sent_is_no_try(void **state)
{
    (void)state;
    a->opening = b->opening = SIM_REFUSES;
    c->opening = SIM_UNTRUSTED;
    sim_start(a, b, c, d, NULL);
    sim.resolver->options.query.tries = 1;
    assert_answered(sim_answer_to("www.example"), "d");
}

/* ---- answers that are none ---- */

/* Neither a hedge nor one whose connection was slow in coming makes more of them. */
static void no_more_than_one_in_all(void **state)
{
    (void)state;
    sim.options.query.tries = 1;
    sim.options.query.hedge_budget = 100;
    a->answer.us = 400 * MS;
    sim_start(a, b, NULL);
    assert_answered(sim_answer_to("hedged.example"), "a");
    assert_int_equal(sim_asked(b, "hedged.example."), 0);
    sim_close_all(a);
    a->open_us = 800 * MS;
    b->answer.us = 1500 * MS;
    assert_answered(sim_answer_to("late.example"), "b");
    assert_int_equal(sim_asked(a, "late.example."), 0);
}

/* ---- the one that is left ---- */

/* Two are silent. The third has no address yet: it is asked before they are asked once more. */
static void a_try_is_kept_for_each(void **state)
{
    (void)state;
    struct privy_upstreams *boot = sim_set(NULL);
    sim_add(boot, d, NULL, NULL);
    sim.pool.bootstrap = boot;
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, NULL, NULL);
    sim_add(set, b, NULL, NULL);
    sim_add(set, c, NULL, "udp://dns.named.example");
    sim.options.query.try_timeout = 5000; /* connections fall silent long before */
    sim_resolver(set);
    warm_up(1);
    a->answer.deed = b->answer.deed = SIM_SILENT;
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "c");
    assert_in_range(sim_asked(a, "www.example.") + sim_asked(b, "www.example."), 2, 3);
    privy_upstreams_unref(boot);
}

/* It is down for what it did to this very question: another connection that it had before is no
 * reason to ask it again at once. */
static void not_again_while_it_is_down(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, NULL);
    warm_up(1);
    pv_conn_open(pv_container(pv_list_first(&sim.resolver->endpoints), struct pv_endpoint, link),
                 PV_STREAM);
    sim_run(100 * MS);
    assert_int_equal(sim_conns(a), 2);
    a->answer.deed = SIM_GARBLES;
    sim_ask(&q, "www.example");
    sim_run(100 * MS);
    assert_int_equal(sim_asked(a, "www.example."), 1);
    a->answer.deed = SIM_ANSWERS;
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_int_equal(sim_asked(a, "www.example."), 2);
}

/* One refuses and is up again soon; the other takes questions and answers none. */
static void one_that_failed_is_up_again(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, b, NULL);
    warm_up(1);
    sim_close_all(a);
    a->opening = SIM_REFUSES;
    b->answer.deed = SIM_SILENT; /* but probes are answered: its connection lives */
    sim_ask(&q, "www.example");
    sim_run(600 * MS);
    a->opening = SIM_OPENS;
    assert_answered(sim_answer_to("other.example"), "a");
    sim_run(2 * S);
    assert_answered(q, "a");
}

static void broken_answers_go_to_the_next(void **state)
{
    (void)state;
    a->answer.deed = SIM_MISHEARS;
    b->answer.deed = SIM_GARBLES;
    c->answer.deed = SIM_CLOSES;
    sim_start(a, b, c, d, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "d");
    assert_int_equal(q.facts.attempts, 4);
    assert_int_equal(sim_conns(a) + sim_conns(b) + sim_conns(c), 0);
    assert_int_equal(sim.downs, 3);
}

/* The questions that a broken peer's connection carried are asked elsewhere. */
static void a_broken_connection_takes_nobody_along(void **state)
{
    (void)state;
    struct sim_asker q[3] = {0};
    a->choose = slow_names;
    a->answer = (struct sim_answer){.deed = SIM_MISHEARS, .us = 5 * MS};
    sim_start(a, b, NULL);
    sim_ask(&q[0], "warm0.example");
    sim_ask(&q[1], "bad.example");
    sim_ask(&q[2], "warm1.example");
    sim_run(1 * S);
    for (unsigned i = 0; i < 3; i++)
        assert_answered(q[i], "b");
}

static void servfail_one_other_of_the_class(void **state)
{
    (void)state;
    fails(a, PV_SERVFAIL);
    fails(c, PV_SERVFAIL);
    start_classes();
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.status, PRIVY_OK);
    assert_int_equal(q.rcode, PV_SERVFAIL);
    assert_string_equal(q.upstream, "a");
    assert_int_equal(q.ede, 101);
    assert_int_equal(a->questions, 1);
    assert_int_equal(c->questions, 1);
    assert_int_equal(b->questions + d->questions, 0);
    assert_int_equal(sim.downs, 0);
}

static void servfail_the_other_is_better(void **state)
{
    (void)state;
    fails(a, PV_SERVFAIL);
    start_classes();
    assert_answered(sim_answer_to("www.example"), "c");
    fails(a, PV_REFUSED);
    assert_answered(sim_answer_to("other.example"), "c");
    c->answer.deed = SIM_DENIES;
    struct sim_asker q = sim_answer_to("denied.example");
    assert_int_equal(q.rcode, PV_NXDOMAIN);
    assert_string_equal(q.upstream, "c");
}

static void servfail_one_other_not_two(void **state)
{
    (void)state;
    fails(a, PV_SERVFAIL);
    fails(b, PV_SERVFAIL);
    sim_start(a, b, c, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.rcode, PV_SERVFAIL);
    assert_int_equal(c->questions, 0);
}

static void servfail_of_a_sole_upstream(void **state)
{
    (void)state;
    fails(a, PV_SERVFAIL);
    sim_start(a, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.rcode, PV_SERVFAIL);
    assert_took(q, 30 * MS, 31 * MS);
    assert_int_equal(a->questions, 1);
}

/* The other gives no answer: the first one's stands, and is not kept back until the deadline. */
static void servfail_and_the_other_is_silent(void **state)
{
    (void)state;
    fails(a, PV_SERVFAIL);
    b->answer.deed = SIM_SILENT;
    sim_start(a, b, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.status, PRIVY_OK);
    assert_int_equal(q.rcode, PV_SERVFAIL);
    assert_took(q, 30 * MS, 2100 * MS);
    b->opening = SIM_HANGS;
    sim_run(60 * S);
    q = sim_answer_to("other.example");
    assert_int_equal(q.rcode, PV_SERVFAIL);
    assert_took(q, 30 * MS, 2100 * MS);
}

static void not_served_by_any(void **state)
{
    (void)state;
    static const uint16_t rcodes[] = {PV_FORMERR, PV_NOTIMP, PV_NOTAUTH, PV_BADVERS};
    char name[16] = "0.example";
    sim_start(a, b, c, d, NULL);
    for (unsigned i = 0; i < 4; i++) {
        fails(a, rcodes[i]);
        fails(b, rcodes[i]);
        fails(c, rcodes[i]);
        fails(d, rcodes[i]);
        name[0] = (char)('0' + i);
        struct sim_asker q = sim_answer_to(name);
        assert_int_equal(q.rcode, rcodes[i]);
        assert_string_equal(q.upstream, "a");
        assert_int_equal(PV_RCODE(q.flags), rcodes[i] > 15 ? PV_SERVFAIL : rcodes[i]);
        assert_int_equal(d->questions, i + 1);
    }
}

static void not_served_by_one(void **state)
{
    (void)state;
    fails(a, PV_FORMERR);
    b->answer.deed = SIM_LAME;
    sim_start(a, b, c, NULL);
    assert_answered(sim_answer_to("www.example"), "c");
}

/* FORMERR and lame do not use up the one other chance. */
static void not_served_then_servfail(void **state)
{
    (void)state;
    fails(a, PV_FORMERR);
    fails(b, PV_SERVFAIL);
    sim_start(a, b, c, NULL);
    assert_answered(sim_answer_to("www.example"), "c");
}

static void cut_then_better(void **state)
{
    (void)state;
    a->answer.deed = SIM_CUT;
    sim_start(a, b, c, NULL);
    assert_answered(sim_answer_to("www.example"), "b");
}

static void cut_by_both_is_passed_on(void **state)
{
    (void)state;
    a->answer.deed = b->answer.deed = SIM_CUT;
    sim_start(a, b, c, NULL);
    for (unsigned i = 1; i <= 2; i++) {
        struct sim_asker q = sim_answer_to("www.example");
        assert_answered(q, "a");
        assert_true(q.flags & PV_TC);
        assert_int_equal(a->questions, i); /* not from the cache */
        assert_int_equal(b->questions, i);
    }
    assert_int_equal(c->questions, 0);
}

/* ---- died idle [RFC 7766 §6.2.4] ---- */

static void died_idle_is_replayed_free(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, b, NULL);
    sim.resolver->options.query.tries = 1;
    warm_up(1);
    a->answer.us = 300 * MS;
    sim_ask(&q, "www.example");
    sim_run(1 * MS);
    sim_close_all(a);
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_took(q, 320 * MS, 325 * MS);
    assert_int_equal(q.facts.attempts, 2);
    assert_int_equal(sim.downs, 0);
    assert_int_equal(b->opened, 0);
}

static void died_idle_many(void **state)
{
    (void)state;
    static struct sim_asker q[50];
    char name[32];
    memset(q, 0, sizeof q);
    sim_start(a, NULL);
    warm_up(1);
    a->answer.us = 100 * MS;
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
    }
    sim_run(1 * MS);
    sim_close_all(a);
    sim_run(1 * S);
    for (unsigned i = 0; i < 50; i++)
        assert_answered(q[i], "a");
    assert_int_equal(a->opened, 2);
}

/* A connection that has served, and is closed on the same question again: that costs, and is the
 * upstream's fault no more than the first. */
static void replayed_once_only(void **state)
{
    (void)state;
    struct sim_asker q = {0}, other = {0};
    sim_start(a, b, NULL);
    warm_up(1);
    a->choose = slow_names;
    a->answer.us = 300 * MS;
    sim_ask(&q, "www.example");
    sim_run(1 * MS);
    sim_close_all(a);
    sim_ask(&other, "warm9.example");
    sim_run(100 * MS);
    assert_answered(other, "a"); /* so the second connection has served too */
    sim_close_all(a);
    sim_run(1 * S);
    assert_answered(q, "b");
    assert_int_equal(q.facts.attempts, 3);
    assert_int_equal(sim.downs, 0);
}

/* ---- servers that say so ---- */

static struct sim_answer unprocessed_once(struct sim_server *s, const struct sim_message *m)
{
    struct sim_answer answer = s->answer;
    if (sim_asked(s, m->name) == 1)
        answer.deed = SIM_UNPROCESSED;
    return answer;
}

static void unprocessed_is_asked_again(void **state)
{
    (void)state;
    sim_start(a, b, NULL);
    warm_up(1);
    a->answer = (struct sim_answer){.deed = SIM_UNPROCESSED, .us = 10 * MS};
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "b");
    assert_int_equal(sim_asked(a, "www.example."), 3); /* and twice again */
    assert_int_equal(sim.downs, 0);
}

/* It costs no try, wherever it happens. */
static void unprocessed_is_free(void **state)
{
    (void)state;
    sim.options.query.tries = 1;
    sim_start(a, NULL);
    warm_up(1);
    a->choose = unprocessed_once;
    a->answer = (struct sim_answer){.us = 10 * MS, .ttl = 300};
    assert_answered(sim_answer_to("www.example"), "a");
    assert_int_equal(sim_asked(a, "www.example."), 2);
}

static unsigned left_unprocessed;
static bool left_out; /* with the others that a connection did not get to */

static struct sim_answer unprocessed_often(struct sim_server *s, const struct sim_message *m)
{
    (void)m;
    struct sim_answer what = s->answer;
    if (left_unprocessed > 0) {
        left_unprocessed--;
        what.deed = left_out ? SIM_LEAVES : SIM_UNPROCESSED;
    }
    return what;
}

/* Many wait for a server whose connections take ten each: no server has seen them thrice. */
static void unprocessed_is_not_seen(void **state)
{
    (void)state;
    sim_start(a, NULL);
    warm_up(1);
    left_unprocessed = 5;
    a->choose = unprocessed_often;
    a->answer = (struct sim_answer){.us = 10 * MS, .ttl = 300};
    assert_answered(sim_answer_to("www.example"), "a");
    assert_int_equal(sim_asked(a, "www.example."), 6);
    left_unprocessed = UINT_MAX;
    assert_failed(sim_answer_to("never.example"), PRIVY_EUNREACHABLE);
    assert_int_equal(sim_asked(a, "never.example."), 6);
}

/* Its connections go after some answers each: those behind them have their turn, not for ever. */
static void left_out_is_asked_until_its_turn(void **state)
{
    (void)state;
    sim_start(a, NULL);
    warm_up(1);
    left_out = true;
    left_unprocessed = 16;
    a->choose = unprocessed_often;
    a->answer = (struct sim_answer){.us = 10 * MS, .ttl = 300};
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "a");
    assert_took(q, 480 * MS, 520 * MS);
    assert_int_equal(sim_asked(a, "www.example."), 17);
    left_unprocessed = UINT_MAX;
    assert_failed(sim_answer_to("never.example"), PRIVY_EUNREACHABLE);
    assert_int_equal(sim_asked(a, "never.example."), 20);
    assert_int_equal(sim.downs, 0);
    left_out = false;
}

static void server_cannot(void **state)
{
    (void)state;
    sim_start(a, b, NULL);
    warm_up(1);
    a->answer = (struct sim_answer){.deed = SIM_CANNOT, .us = 10 * MS};
    struct sim_asker q = sim_answer_to("one.example");
    assert_answered(q, "b");
    assert_int_equal(q.facts.attempts, 2);
    assert_int_equal(sim.downs, 0); /* one question is no proof */
    for (unsigned i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "more%u.example", i);
        assert_answered(sim_answer_to(name), "b");
    }
    assert_int_equal(sim.downs, 1);
}

/* It was there and gave no answer: that is another error than nobody there. */
static void only_server_cannot(void **state)
{
    (void)state;
    a->answer = (struct sim_answer){.deed = SIM_CANNOT, .us = 10 * MS};
    sim_start(a, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_failed(q, PRIVY_EPEER);
    assert_true(q.error.attempts[0].misbehaved);
}

static void server_that_wants_rest(void **state)
{
    (void)state;
    sim_start(a, b, NULL);
    warm_up(1);
    a->answer = a->probe = (struct sim_answer){.deed = SIM_RESTS, .us = 10 * MS};
    assert_answered(sim_answer_to("one.example"), "b");
    assert_int_equal(sim.downs, 1);
    unsigned asked = a->questions + a->probes;
    for (unsigned i = 0; i < 19; i++) {
        char name[32];
        sim_run(1 * S);
        snprintf(name, sizeof name, "more%u.example", i);
        assert_answered(sim_answer_to(name), "b");
    }
    assert_int_equal(a->questions + a->probes, asked); /* left alone for 20 s */
    a->answer = a->probe = (struct sim_answer){.us = 10 * MS, .ttl = 300};
    sim_run(2 * S);
    sim_answer_to("trial.example");
    sim_run(1 * S);
    assert_answered(sim_answer_to("back.example"), "a");
}

static void died_fresh_goes_to_the_next(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->answer.deed = SIM_CLOSES;
    sim_start(a, b, NULL);
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    assert_answered(q, "b");
    assert_int_equal(a->questions, 1);
    assert_int_equal(sim.downs, 1);
}

/* ---- ours ---- */

static void no_memory_to_send(void **state)
{
    (void)state;
    a->full = true;
    sim_start(a, b, NULL);
    assert_answered(sim_answer_to("www.example"), "b");
    assert_int_equal(sim.downs, 0);
}

static void no_memory_to_open(void **state)
{
    (void)state;
    a->opening = SIM_NO_MEMORY;
    sim_start(a, b, NULL);
    assert_answered(sim_answer_to("www.example"), "b");
    assert_int_equal(a->questions, 0);
    assert_true(a->closed > 0 && a->closed == a->opened);
    assert_int_equal(sim.downs, 0);
}

static void no_memory_to_open_for_a_while(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->opening = SIM_NO_MEMORY;
    sim_start(a, NULL);
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    assert_int_equal(q.calls, 0);
    assert_in_range(a->opened, 2, 12);
    a->opening = SIM_OPENS;
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_int_equal(sim.downs, 0);
}

/* Nobody else to ask: again in a moment, not again and again. */
static void no_memory_for_a_while(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->full = true;
    sim_start(a, NULL);
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    assert_in_range(a->logged, 0, 0);
    a->full = false;
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_took(q, 1010 * MS, 1300 * MS);
    assert_int_equal(a->opened, 1);
}

/* More than a connection takes at once: the rest waits, no second handshake is needed. */
static void room_runs_out(void **state)
{
    (void)state;
    static struct sim_asker q[60];
    char name[32];
    memset(q, 0, sizeof q);
    a->room = 1;
    sim_start(a, NULL);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
    }
    sim_run(2 * S);
    for (unsigned i = 0; i < 60; i++)
        assert_answered(q[i], "a");
    assert_int_equal(a->questions, 60);
    assert_in_range(a->opened, 1, 4);
}

/* ---- datagrams ---- */

static int begin_datagrams(void **state)
{
    int failed = begin(state);
    a->datagram = b->datagram = true;
    a->open_us = b->open_us = 0;
    return failed;
}

static struct pv_conn *first_conn(enum pv_kind kind)
{
    struct pv_endpoint *e =
        pv_container(pv_list_first(&sim.resolver->endpoints), struct pv_endpoint, link);
    pv_list_each (it, &e->conns) {
        if (pv_container(it, struct pv_conn, link)->kind == kind)
            return pv_container(it, struct pv_conn, link);
    }
    return NULL;
}

static void cut_datagrams_go_over_a_stream(void **state)
{
    (void)state;
    char name[32];
    a->answer.deed = SIM_CUT_DATAGRAM;
    sim.options.limits.connections_per_upstream = 1; /* of each kind */
    sim_start(a, NULL);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        struct sim_asker q = sim_answer_to(name);
        assert_answered(q, "a");
        assert_int_equal(q.facts.attempts, 2);
        assert_took(q, 20 * MS, 25 * MS);
    }
    assert_int_equal(a->questions, 40);
    assert_int_equal(a->opened, 2); /* a socket, a stream */
    pv_conn_lost(first_conn(PV_DATAGRAM), PV_UNREACHABLE, "gone");
    sim_run(1 * S);
    assert_answered(sim_answer_to("www.example"), "a");
}

/* Down, with a stream that is still open: no use for a question that begins with a datagram. */
static void down_with_a_stream(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->answer.deed = SIM_CUT_DATAGRAM;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    a->opening = SIM_REFUSES;
    pv_conn_lost(first_conn(PV_DATAGRAM), PV_UNREACHABLE, "gone");
    pv_health_bad(sim.set->members[0], sim.now, PV_UNREACHABLE, "gone");
    sim_ask(&q, "other.example");
    sim_run(1 * S);
    assert_int_equal(q.calls, 0);
    a->opening = SIM_OPENS;
    sim_run(1 * S);
    assert_answered(q, "a");
}

static void false_datagrams_are_ignored(void **state)
{
    (void)state;
    a->answer.deed = SIM_MISHEARS;
    sim_start(a, b, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "b");
    assert_int_equal(sim.downs, 0);
}

/* ---- signed messages [RFC 8945 §5.5] ---- */

static size_t signed_query(uint8_t *out, const char *name)
{
    static const uint8_t tsig[] = {0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 4, 'm', 'a', 'c', '!'};
    size_t length = sim_query(out, 0x1234, name, PV_T_A, PV_RD, false);
    memcpy(out + length, tsig, sizeof tsig);
    out[11] = 1;
    return length + sizeof tsig;
}

static void signed_messages_pass_unchanged(void **state)
{
    (void)state;
    struct sim_asker q[2] = {0};
    uint8_t wire[512];
    size_t length = signed_query(wire, "wWw.example");
    sim_start(a, b, NULL);
    sim_exchange(&q[0], wire, length, NULL);
    sim_exchange(&q[1], wire, length, NULL); /* not shared */
    sim_run(1 * S);
    assert_answered(q[0], "a");
    assert_answered(q[1], "a");
    assert_int_equal(q[0].id, 0x1234);
    assert_int_equal(a->questions, 2);
    assert_int_equal(a->log[0].length, length);
    assert_memory_equal(a->log[0].bytes + 2, wire + 2, length - 2);
    struct sim_asker third = {0};
    sim_exchange(&third, wire, length, NULL); /* not cached */
    sim_run(1 * S);
    assert_int_equal(a->questions, 3);
}

/* Once sent it is not given to another; nor is SERVFAIL bettered. */
static void signed_messages_go_to_one_server(void **state)
{
    (void)state;
    static const enum sim_deed deeds[] = {SIM_CLOSES, SIM_GARBLES, SIM_SILENT, SIM_FAILS};
    uint8_t wire[512];
    sim_start(a, b, NULL);
    warm_up(1);
    for (unsigned i = 0; i < 4; i++) {
        struct sim_asker q = {0};
        fails(a, PV_SERVFAIL);
        a->answer.deed = deeds[i];
        sim_exchange(&q, wire, signed_query(wire, "www.example"), NULL);
        sim_run(20 * S);
        assert_int_equal(q.calls, 1);
        assert_int_equal(q.status == PRIVY_OK, deeds[i] == SIM_FAILS);
        assert_int_equal(sim_asked(b, "www.example."), 0);
        a->answer = b->answer;
        privy_cache_flush(sim.cache);
        sim_answer_to("up.example"); /* begins a trial */
        sim_run(20 * S);
        assert_false(pv_health_is_down(sim.set->members[0]));
    }
}

/* Its connection dies in the very moment in which the try timeout runs out. */
static void signed_messages_and_two_clocks(void **state)
{
    (void)state;
    uint8_t wire[512];
    struct sim_asker q = {0};
    sim.options.query.try_timeout = 300;
    sim.options.query.hedge = 5000;
    a->answer = (struct sim_answer){.deed = SIM_CLOSES, .us = 300 * MS};
    sim_start(a, b, NULL);
    pv_endpoint_warm(pv_container(sim.resolver->endpoints.prev, struct pv_endpoint, link));
    sim_run(100 * MS);
    sim_exchange(&q, wire, signed_query(wire, "www.example"), NULL);
    sim_run(2 * S);
    assert_failed(q, PRIVY_EUNREACHABLE);
    assert_int_equal(sim_asked(b, "www.example."), 0);
}

static void signed_messages_are_replayed_at_the_same_server(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    uint8_t wire[512];
    sim_start(a, b, NULL);
    warm_up(1);
    sim_exchange(&q, wire, signed_query(wire, "www.example"), NULL);
    sim_close_all(a);
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_int_equal(b->questions, 0);
}

static void signed_datagrams_cut(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    uint8_t wire[512];
    a->answer.deed = SIM_CUT_DATAGRAM;
    sim_start(a, b, NULL);
    sim_exchange(&q, wire, signed_query(wire, "www.example"), NULL);
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_int_equal(q.flags & PV_TC, 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, sim_end)
#define D(test) cmocka_unit_test_setup_teardown(test, begin_datagrams, sim_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(refused),
        T(hangs),
        T(opens_late_but_before_the_other),
        T(opens_late_then_silent),
        T(try_timeout_asks_the_next_and_ends_nothing),
        T(hedge_only_within_budget),
        T(what_a_hedge_outlives_has_its_cost),
        T(hedge_stays_in_its_class),
        T(no_hedge_into_another_class),
        T(no_more_than_three_to_one_server),
        T(no_more_than_three_to_a_silent_one),
        T(no_more_than_four_in_all),
        T(what_was_not_sent_is_no_try),
        T(no_more_than_one_in_all),
        T(a_try_is_kept_for_each),
        T(not_again_while_it_is_down),
        T(one_that_failed_is_up_again),
        T(broken_answers_go_to_the_next),
        T(a_broken_connection_takes_nobody_along),
        T(servfail_one_other_of_the_class),
        T(servfail_the_other_is_better),
        T(servfail_one_other_not_two),
        T(servfail_of_a_sole_upstream),
        T(servfail_and_the_other_is_silent),
        T(not_served_by_any),
        T(not_served_by_one),
        T(not_served_then_servfail),
        T(cut_then_better),
        T(cut_by_both_is_passed_on),
        T(died_idle_is_replayed_free),
        T(died_idle_many),
        T(replayed_once_only),
        T(unprocessed_is_asked_again),
        T(unprocessed_is_free),
        T(unprocessed_is_not_seen),
        T(left_out_is_asked_until_its_turn),
        T(server_cannot),
        T(only_server_cannot),
        T(server_that_wants_rest),
        T(died_fresh_goes_to_the_next),
        T(no_memory_to_send),
        T(no_memory_to_open),
        T(no_memory_to_open_for_a_while),
        T(no_memory_for_a_while),
        T(room_runs_out),
        D(cut_datagrams_go_over_a_stream),
        D(down_with_a_stream),
        D(false_datagrams_are_ignored),
        T(signed_messages_pass_unchanged),
        T(signed_messages_go_to_one_server),
        T(signed_messages_and_two_clocks),
        T(signed_messages_are_replayed_at_the_same_server),
        D(signed_datagrams_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
