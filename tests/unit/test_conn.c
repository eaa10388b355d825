/* Connections: when they are suspect, dead, idle, full, replaced; and what their questions see of
 * it. */
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

static const struct pv_health *health(unsigned i)
{
    return &sim.set->members[i]->health;
}

/* Of the first upstream. */
static struct pv_conn *first_conn(void)
{
    struct pv_endpoint *e =
        pv_container(pv_list_first(&sim.resolver->endpoints), struct pv_endpoint, link);
    return pv_container(pv_list_first(&e->conns), struct pv_conn, link);
}

static void warm_up(unsigned questions)
{
    static unsigned number;
    char name[32];
    for (unsigned i = 0; i < questions; i++) {
        snprintf(name, sizeof name, "warm%u.example", number++);
        assert_int_equal(sim_answer_to(name).status, PRIVY_OK);
    }
}

static unsigned slow; /* of the last 80: those that took more than 100 ms */

/* 10 questions a second for 8 s; the longest wait for an answer. */
static uint64_t worst_of_80(unsigned *ret_answered)
{
    static struct sim_asker q[80];
    static unsigned number;
    char name[32];
    uint64_t worst = 0;
    *ret_answered = slow = 0;
    memset(q, 0, sizeof q);
    for (unsigned i = 0; i < 80; i++) {
        snprintf(name, sizeof name, "load%u.example", number++);
        sim_ask(&q[i], name);
        sim_run(100 * MS);
    }
    sim_run(5 * S);
    for (unsigned i = 0; i < 80; i++) {
        assert_int_equal(q[i].calls, 1);
        *ret_answered += q[i].status == PRIVY_OK && q[i].rcode == 0;
        slow += q[i].at - q[i].begun > 100 * MS;
        worst = q[i].at - q[i].begun > worst ? q[i].at - q[i].begun : worst;
    }
    return worst;
}

/* ---- silence ---- */

/* Old connections are silent, new ones work. */
static void silent_connection_of_a_sole_upstream(void **state)
{
    (void)state;
    unsigned answered;
    sim_start(a, NULL);
    warm_up(10);
    sim_silence_all(a);
    assert_true(worst_of_80(&answered) <= 600 * MS);
    assert_int_equal(answered, 80);
    assert_int_equal(sim.downs, 0);
    assert_int_equal(sim_conns(a), 1); /* the silent one was closed after 2 s */
}

static void silent_connection_of_one_of_two(void **state)
{
    (void)state;
    unsigned answered;
    sim_start(a, b, NULL);
    warm_up(10);
    sim_silence_all(a);
    assert_true(worst_of_80(&answered) <= 600 * MS);
    assert_int_equal(answered, 80);
    assert_string_equal(sim_answer_to("after.example").upstream, "a");
}

/* All that are allowed are open, idle and silent. */
static void silent_pool_at_the_limit(void **state)
{
    (void)state;
    static struct sim_asker q[1100];
    char name[32];
    memset(q, 0, sizeof q);
    a->answer.us = 100 * MS;
    sim.options.limits.connections_per_upstream = 3;
    sim_start(a, NULL);
    warm_up(1);
    for (unsigned i = 0; i < 1100; i++) {
        snprintf(name, sizeof name, "many%u.example", i);
        sim_ask(&q[i], name);
        if (i % 256 == 255)
            sim_run(25 * MS);
    }
    sim_run(1 * S);
    assert_int_equal(sim_conns(a), 3);
    sim_silence_all(a);
    struct sim_asker one = sim_answer_to("www.example");
    assert_answered(one, "a");
    assert_took(one, 600 * MS, 1000 * MS);
}

/* A path is gone that the connections of all of them took. More than tries would be needed to find
 * it out of each. limit: connections that one may have. */
static void silence_four(unsigned limit)
{
    struct sim_server *c = sim_server("c"), *d = sim_server("d");
    sim.options.limits.connections_per_upstream = limit;
    sim_start(a, b, c, d, NULL);
    warm_up(5);
    pv_list_each (it, &sim.resolver->endpoints)
        pv_endpoint_warm(pv_container(it, struct pv_endpoint, link));
    sim_run(100 * MS);
    assert_int_equal(sim_conns(a) + sim_conns(b) + sim_conns(c) + sim_conns(d), 4);
    for (unsigned i = 0; i < 4; i++)
        sim_silence_all(&sim.servers[i]);
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "c");
    assert_took(q, 1000 * MS, 1200 * MS);
}

static void silent_connections_of_four(void **state)
{
    (void)state;
    silence_four(4);
}

/* No more may be open: an idle one gives way to the fresh one. */
static void silent_connections_of_four_at_the_limit(void **state)
{
    (void)state;
    silence_four(1);
    assert_int_equal(sim.servers[2].opened, 2);
    assert_int_equal(sim_conns(&sim.servers[2]), 1);
}

/* The path breaks in the middle of a burst, and nothing is asked after it. */
static void silent_in_a_burst(void **state)
{
    (void)state;
    struct sim_asker early = {0}, late[5] = {0};
    char name[32];
    sim_start(a, NULL);
    warm_up(10);
    sim_ask(&early, "early.example");
    sim_run(5 * MS);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&late[i], name);
    }
    sim_run(6 * MS);
    assert_answered(early, "a");
    sim_silence_all(a);
    sim_run(5 * S);
    for (unsigned i = 0; i < 5; i++) {
        assert_answered(late[i], "a");
        assert_true(late[i].at - late[i].begun <= 1100 * MS);
    }
    assert_int_equal(sim.downs, 0);
}

/* Stopped: opens nothing, answers nothing. */
static void frozen(void **state)
{
    (void)state;
    unsigned answered;
    sim_start(a, b, NULL);
    warm_up(10);
    a->answer.deed = a->probe.deed = SIM_SILENT;
    a->opening = SIM_HANGS;
    assert_true(worst_of_80(&answered) <= 600 * MS);
    assert_int_equal(answered, 80);
    assert_true(a->questions <= 10 + 5);
    assert_int_equal(sim.downs, 1);
    assert_int_equal(sim.ups, 2);
    a->answer.deed = SIM_ANSWERS;
    a->probe.deed = SIM_DENIES;
    a->opening = SIM_OPENS;
    worst_of_80(&answered);
    assert_int_equal(answered, 80);
    assert_string_equal(sim_answer_to("after.example").upstream, "a");
    assert_int_equal(sim.ups, 3);
}

/* Reads, answers no question, but proves that the path is there. */
static void answers_only_probes(void **state)
{
    (void)state;
    unsigned answered;
    sim_start(a, b, NULL);
    warm_up(10);
    a->answer.deed = SIM_SILENT;
    worst_of_80(&answered);
    assert_int_equal(answered, 80);
    worst_of_80(&answered);
    assert_int_equal(answered, 80);
    assert_true(slow <= 4);         /* now and then one finds out whether it is good again */
    assert_int_equal(sim.downs, 1); /* said once, though it goes up and down */
    assert_int_equal(sim.ups, 2);
    a->answer.deed = SIM_ANSWERS;
    worst_of_80(&answered);
    assert_int_equal(answered, 80);
    assert_string_equal(sim_answer_to("after.example").upstream, "a");
    assert_int_equal(sim.downs, 1);
    assert_int_equal(sim.ups, 3);
}

static struct sim_answer not_on_the_first(struct sim_server *s, const struct sim_message *m)
{
    struct sim_answer answer = s->answer;
    if (m->conn == 1)
        answer.deed = SIM_SILENT;
    return answer;
}

/* It is the connection that answers nothing but probes; a new one would do. */
static void deaf_connection_gives_way(void **state)
{
    (void)state;
    unsigned answered;
    a->choose = not_on_the_first;
    sim_start(a, b, NULL);
    sim_run(100 * MS);
    worst_of_80(&answered);
    assert_int_equal(answered, 80);
    assert_string_equal(sim_answer_to("after.example").upstream, "a");
    assert_int_equal(a->opened, 2);
    assert_int_equal(sim_conns(a), 1);
}

static void suspect_is_probed_and_heals(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, b, NULL);
    warm_up(10);
    sim_silence_all(a);
    sim_ask(&q, "www.example");
    sim_run(499 * MS);
    assert_int_equal(a->probes, 0);
    sim_run(3 * MS);
    assert_int_equal(a->probes, 1);
    assert_int_equal(a->log[a->logged - 1].type, PV_T_NS);
    sim_run(100 * MS);
    assert_int_equal(sim_asked(b, "www.example."), 1);
    assert_string_equal(sim_answer_to("b.example").upstream, "b");
    sim_run(700 * MS);
    sim_unsilence_all(a); /* what it held back comes now */
    sim_run(20 * MS);
    assert_string_equal(sim_answer_to("a.example").upstream, "a");
    sim_run(5 * S);
    assert_int_equal(sim_conns(a), 1);
    assert_int_equal(a->opened, 1);
    assert_int_equal(sim.downs, 0);
}

/* Another answer heals it; the probe's never comes, and nothing waits for it. */
static void lost_probe(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->answer.us = 600 * MS;
    a->probe.deed = SIM_SILENT;
    sim_start(a, NULL);
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_int_equal(a->probes, 1);
    sim_run(32 * S);
    assert_int_equal(sim_conns(a), 0);
    assert_int_equal(pv_loop_next_due(sim.loop), UINT64_MAX);
}

/* The peer says that it goes: another is opened only where somebody will want it. */
static void a_replaced_one_nobody_uses(void **state)
{
    (void)state;
    sim_start(a, NULL);
    assert_answered(sim_answer_to("one.example"), "a");
    sim_run(2 * S);
    sim_replace_all(a);
    sim_run(5 * S);
    assert_int_equal(sim_conns(a), 0);
    assert_answered(sim_answer_to("two.example"), "a");
    sim_replace_all(a);
    sim_run(100 * MS);
    assert_int_equal(sim_conns(a), 1);
    assert_int_equal(a->opened, 3);
}

/* A protocol with a ping of its own: one slow name costs nobody anything. */
static void suspect_is_pinged(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->has_ping = true;
    sim_start(a, NULL);
    sim_run(100 * MS);
    a->answer.us = 2800 * MS;
    sim_ask(&q, "slow.example");
    sim_run(3 * S);
    assert_answered(q, "a");
    assert_took(q, 2800 * MS, 2810 * MS);
    assert_in_range(q.facts.attempts, 1, 3);
    assert_true(a->pings >= 1);
    assert_int_equal(a->probes, 0);
    assert_int_equal(sim.downs, 0);
}

static void suspect_answers_no_ping(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->has_ping = a->mute = true;
    sim_start(a, NULL);
    sim_run(100 * MS);
    assert_answered(sim_answer_to("www.example"), "a");
    sim_silence_all(a);
    sim_ask(&q, "silent.example");
    sim_run(1 * S);
    assert_answered(q, "a"); /* over a second connection */
    assert_int_equal(a->pings, 1);
    assert_int_equal(sim_conns(a), 2);
    sim_run(2 * S);
    assert_int_equal(sim_conns(a), 1);
}

static void suspect_dies_after_two_seconds(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, NULL);
    warm_up(10);
    sim_silence_all(a);
    a->opening = SIM_HANGS;
    sim_ask(&q, "www.example");
    sim_run(1990 * MS);
    assert_int_equal(sim_conns(a), 2);
    sim_run(20 * MS);
    assert_int_equal(sim_conns(a), 1); /* the new one, still opening */
    assert_int_equal(health(0)->state, 2);
    sim_run(10 * S);
    assert_failed(q, PRIVY_EUNREACHABLE);
    assert_took(q, 4500 * MS, 4502 * MS);
    assert_in_range(q.error.attempt_count, 2, 16);
}

/* Nobody waits long enough to see it fall silent: it is noticed all the same. */
static void silent_over_questions_given_up(void **state)
{
    (void)state;
    struct sim_asker q[4] = {0};
    sim.options.query.deadline = 300;
    sim_start(a, NULL);
    warm_up(10);
    sim_silence_all(a);
    for (unsigned i = 0; i < 4; i++) {
        char name[] = "given-up0.example";
        name[8] = (char)('0' + i);
        sim_ask(&q[i], name);
        sim_run(310 * MS);
    }
    assert_failed(q[0], PRIVY_ETIMEOUT);
    assert_answered(q[3], "a");
    assert_int_equal(sim_conns(a), 2);
}

/* T21: a name that takes 3 s is answered on its connection; the upstream stays up. */
static struct sim_answer slow_name(struct sim_server *s, const struct sim_message *m)
{
    struct sim_answer answer = s->answer;
    if (strcmp(m->name, "slow.example.") == 0)
        answer.us = 3 * S;
    return answer;
}

static void slow_name_at_a_healthy_sole_upstream(void **state)
{
    (void)state;
    a->choose = slow_name;
    for (unsigned round = 0; round < 2; round++) {
        privy_cache_flush(sim.resolver ? sim.cache : (sim_start(a, NULL), sim.cache));
        unsigned before = a->logged;
        struct sim_asker q = sim_answer_to("slow.example");
        assert_answered(q, "a");
        assert_took(q, 3000 * MS, 3050 * MS);
        assert_int_equal(a->log[before].conn, 1);
        assert_string_equal(a->log[before].name, "slow.example.");
        assert_string_equal(sim_answer_to(round ? "y.example" : "x.example").upstream, "a");
        assert_int_equal(a->log[a->logged - 1].conn, 1);
    }
    assert_int_equal(sim.downs, 0);
}

static void slow_datagrams(void **state)
{
    (void)state;
    a->datagram = true;
    a->open_us = 0;
    a->choose = slow_name;
    sim_start(a, NULL);
    struct sim_asker q = sim_answer_to("slow.example");
    assert_answered(q, "a");
    assert_took(q, 3000 * MS, 3050 * MS);
    assert_in_range(sim_asked(a, "slow.example."), 1, 3);
    assert_int_equal(sim.downs, 0);
}

/* With all connections allowed in use, a fresh one cannot be had: any live one will do. */
static void suspect_at_the_limit_of_connections(void **state)
{
    (void)state;
    struct sim_asker q = {0}, other = {0};
    sim.options.limits.connections_per_upstream = 2;
    a->choose = slow_name;
    a->answer.us = 100 * MS;
    sim_start(a, NULL);
    warm_up(3);
    sim_silence_all(a);
    sim_ask(&q, "one.example"); /* the first connection is suspect, a second one opens */
    sim_run(700 * MS);
    assert_answered(q, "a");
    sim_silence_all(a);
    sim_unsilence_all(a);
    sim_run(200 * MS); /* the first one has healed: two are ready */
    assert_int_equal(sim_conns(a), 2);
    sim_ask(&other, "slow.example");
    sim_run(10 * S);
    assert_answered(other, "a");
    assert_in_range(sim_asked(a, "slow.example."), 2, 3);
}

/* What was silent speaks again when another is there in its place, or on its way: one of them goes.
 */
static void healed_beside_another(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim.options.limits.connections_per_upstream = 1;
    sim_start(a, NULL);
    warm_up(3);
    for (unsigned late = 0; late < 2; late++) {
        a->open_us = late ? 300 * MS : 20 * MS;
        sim_silence_all(a);
        sim_ask(&q, late ? "late.example" : "www.example");
        sim_run(late ? 600 * MS : 700 * MS); /* suspect after 500 */
        sim_unsilence_all(a);
        sim_run(400 * MS);
        assert_answered(q, "a");
        assert_int_equal(a->opened, 2 + late);
        assert_int_equal(sim_conns(a), 1);
        q = (struct sim_asker){0};
    }
}

/* ---- addresses ---- */

static struct pv_endpoint *first_endpoint(void)
{
    return pv_container(pv_list_first(&sim.resolver->endpoints), struct pv_endpoint, link);
}

static unsigned first_address(void)
{
    struct pv_addr addresses[PV_ADDRESSES_MAX];
    assert_int_equal(pv_endpoint_addresses(first_endpoint(), addresses), 2);
    return pv_addr_port(&addresses[0]);
}

static void start_with_two_addresses(void)
{
    static const char *const addresses[] = {"192.0.2.1:1", "192.0.2.1:2", NULL};
    struct privy_upstream_options o = {.size = sizeof o, .addresses = addresses};
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, &o, NULL);
    sim_resolver(set);
}

/* No race of addresses finds out that datagrams go nowhere: where a socket is silent the next one
 * takes the other address. */
static void silence_turns_to_the_other_address(void **state)
{
    (void)state;
    start_with_two_addresses();
    warm_up(3);
    assert_int_equal(first_address(), 1);
    struct sim_asker q = {0};
    sim_silence_all(a);
    sim_ask(&q, "www.example");
    sim_run(510 * MS);
    assert_int_equal(first_address(), 2);
    sim_run(3 * S); /* it is dead: no reason to turn once more */
    assert_int_equal(first_address(), 2);
    assert_answered(q, "a");
}

/* Two that were opened to the same address count as one. */
static void turns_once_from_an_address(void **state)
{
    (void)state;
    start_with_two_addresses();
    warm_up(1);
    struct pv_endpoint *e = first_endpoint();
    struct pv_conn *first = first_conn(), *second = pv_conn_open(e, PV_STREAM);
    sim_run(100 * MS);
    assert_int_equal(sim_conns(a), 2);
    pv_endpoint_turn_from(e, first);
    pv_endpoint_turn_from(e, second);
    assert_int_equal(first_address(), 2);
}

/* Looking them up again finds the same ones: the dead one must not be first again. */
static void a_lookup_does_not_turn_back(void **state)
{
    (void)state;
    struct privy_upstreams *boot = sim_set(NULL);
    sim_add(boot, b, NULL, NULL);
    sim.pool.bootstrap = boot;
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, NULL, "udp://dns.named.example");
    sim_resolver(set);
    warm_up(1);
    sim_run(2 * S); /* a moment ago it would not be looked up again */
    unsigned lookups = b->questions;
    struct sim_asker q = {0};
    sim_close_all(a);
    a->opening = SIM_REFUSES;
    sim_ask(&q, "www.example");
    sim_run(150 * MS);
    assert_int_equal(b->questions, lookups + 2);
    assert_true(first_endpoint()->address_first > 0);
    sim_run(5 * S);
    privy_upstreams_unref(boot);
}

/* ---- trials ---- */

static void take_down_and_try(void)
{
    struct pv_endpoint *e = first_endpoint();
    pv_health_bad(e->upstream, sim.now, PV_TIMED_OUT, "a test says so");
    pv_endpoint_trial(e, true);
}

/* The next trial comes before the answer to this one's probe. */
static void trial_waits_for_its_probe(void **state)
{
    (void)state;
    a->probe.us = 400 * MS;
    sim_start(a, b, NULL);
    warm_up(1);
    take_down_and_try();
    sim_run(300 * MS);
    pv_endpoint_trial(first_endpoint(), true);
    sim_run(200 * MS);
    assert_int_equal(a->probes, 1);
    assert_int_equal(a->opened, 1);
    assert_string_equal(sim_answer_to("next.example").upstream, "a");
}

/* It has answered a probe and no question since, but may yet. */
static void trial_beside_a_question(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, b, NULL);
    warm_up(1);
    pv_conn_probe(first_conn());
    sim_run(50 * MS);
    a->answer.us = 100 * MS;
    sim_ask(&q, "www.example");
    take_down_and_try();
    sim_run(200 * MS);
    assert_answered(q, "a");
    assert_int_equal(a->probes, 2);
    assert_int_equal(a->opened, 1);
}

/* Not even a probe: another connection is tried at once. */
static void trial_of_one_that_takes_nothing(void **state)
{
    (void)state;
    sim_start(a, b, NULL);
    warm_up(1);
    sim_bar_all(a);
    take_down_and_try();
    sim_run(50 * MS);
    assert_int_equal(a->opened, 2);
    assert_int_equal(sim_conns(a), 1);
    assert_string_equal(sim_answer_to("next.example").upstream, "a");
}

/* ---- idle, keepalive, drain ---- */

static void idle_connections_close(void **state)
{
    (void)state;
    sim_start(a, NULL);
    warm_up(1);
    sim_run(29 * S);
    assert_int_equal(sim_conns(a), 1);
    sim_run(2 * S);
    assert_int_equal(sim_conns(a), 0);
    assert_int_equal(pv_loop_next_due(sim.loop), UINT64_MAX); /* nothing wakes us */
    assert_int_equal(sim.downs, 0);
    assert_answered(sim_answer_to("www.example"), "a");
    assert_int_equal(a->opened, 2);
}

static void never_used_connections_close(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_run(29 * S);
    assert_int_equal(sim_conns(a), 1);
    sim_run(2 * S);
    assert_int_equal(sim_conns(a), 0);
}

static void use_keeps_them_open(void **state)
{
    (void)state;
    sim_start(a, NULL);
    for (unsigned i = 0; i < 10; i++) {
        warm_up(1);
        sim_run(25 * S);
    }
    assert_int_equal(a->opened, 1);
}

static void peer_names_the_idle_limit(void **state)
{
    (void)state;
    a->answer.keepalive = true;
    a->answer.idle_ms = 5000;
    sim_start(a, NULL);
    warm_up(1);
    sim_run(4900 * MS);
    assert_int_equal(sim_conns(a), 1);
    sim_run(200 * MS);
    assert_int_equal(sim_conns(a), 0);
    a->answer.idle_ms = 100 * 1000;
    warm_up(1);
    sim_run(90 * S);
    assert_int_equal(sim_conns(a), 1);
    sim_run(11 * S);
    assert_int_equal(sim_conns(a), 0);
}

/* Keepalive 0: nothing new, but what is carried is finished. */
static struct sim_answer first_says_goodbye(struct sim_server *s, const struct sim_message *m)
{
    struct sim_answer answer = s->answer;
    answer.us = strcmp(m->name, "late.example.") == 0 ? 400 * MS : 10 * MS;
    answer.keepalive = strcmp(m->name, "bye.example.") == 0;
    return answer;
}

static void peer_wants_no_more(void **state)
{
    (void)state;
    struct sim_asker bye = {0}, late = {0}, next = {0};
    a->choose = first_says_goodbye;
    sim_start(a, NULL);
    sim_run(100 * MS);
    sim_ask(&bye, "bye.example");
    sim_ask(&late, "late.example");
    sim_run(50 * MS);
    assert_answered(bye, "a");
    sim_ask(&next, "next.example");
    sim_run(300 * MS);
    assert_answered(next, "a");
    assert_int_equal(sim_conns(a), 2);
    sim_run(100 * MS);
    assert_answered(late, "a");
    assert_took(late, 400 * MS, 405 * MS);
    assert_int_equal(sim_conns(a), 1);
    assert_int_equal(late.facts.attempts, 1);
    assert_int_equal(sim.downs, 0);
    sim_answer_to("bye.example"); /* nothing else is carried: gone inside its own answer */
    assert_int_equal(sim_conns(a), 1);
    privy_cache_flush(sim.cache);
    sim_answer_to("bye.example");
    assert_int_equal(sim_conns(a), 0);
}

/* What is carried does not wait for a draining connection that has fallen silent. */
static void draining_and_silent(void **state)
{
    (void)state;
    struct sim_asker bye = {0}, late = {0};
    a->choose = first_says_goodbye;
    sim_start(a, NULL);
    sim_run(100 * MS);
    sim_ask(&bye, "bye.example");
    sim_ask(&late, "late.example");
    sim_run(50 * MS);
    assert_answered(bye, "a");
    sim_silence_all(a);
    sim_run(3 * S);
    assert_answered(late, "a");
    assert_took(late, 500 * MS, 1000 * MS);
    assert_int_equal(sim_conns(a), 1);
    assert_int_equal(sim.downs, 0);
}

/* One that drains before it has answered anything has its time all the same. */
static void drained_before_its_first_answer(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->answer.us = 400 * MS;
    sim_start(a, b, NULL);
    sim_ask(&q, "www.example");
    sim_run(25 * MS);
    pv_conn_drain(first_conn());
    sim_run(2 * S);
    assert_answered(q, "a");
    assert_int_equal(a->questions, 1);
    assert_int_equal(b->questions, 0);
}

/* A probe is out, then the peer says that it goes: the probe is not waited for. */
static void drained_while_suspect(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, b, NULL);
    warm_up(10);
    sim_silence_all(a);
    sim_ask(&q, "www.example");
    sim_run(550 * MS);
    assert_answered(q, "b");
    assert_true((first_conn()->state == PV_CONN_SUSPECT));
    pv_conn_drain(first_conn());
    assert_int_equal(sim_conns(a), 0);
    sim_run(1 * S);
    assert_string_equal(sim_answer_to("next.example").upstream, "a");
}

/* A handler may ask for another connection when an attempt is dropped, be it the probe. */
static void replaced_when_an_attempt_is_dropped(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->drop_replaces = true;
    sim_start(a, b, NULL);
    warm_up(10);
    sim_silence_all(a);
    sim_ask(&q, "www.example");
    sim_run(450 * MS);
    privy_cancel(q.handle);
    q.handle = NULL;
    assert_int_equal(sim_conns(a), 1); /* the old one was idle and is gone */
    sim_run(100 * MS);
    sim_silence_all(a);
    sim_ask(&q, "www.example");
    sim_run(510 * MS); /* suspect, with a probe; the question goes to b, then leaves a */
    sim_run(1 * S);
    assert_answered(q, "b");
    sim_run(20 * S);
    assert_string_equal(sim_answer_to("next.example").upstream, "a");
}

/* ---- crowds ---- */

static void second_connection_at_256(void **state)
{
    (void)state;
    static struct sim_asker q[400];
    char name[32];
    memset(q, 0, sizeof q);
    a->answer.us = 200 * MS;
    sim_start(a, NULL);
    sim_run(100 * MS);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
        if (i == 255)
            assert_int_equal(a->opened, 1);
    }
    sim_run(1 * S);
    for (unsigned i = 0; i < 400; i++)
        assert_answered(q[i], "a");
    assert_int_equal(a->opened, 2);
}

/* The peer allows no second one: that is learnt, and it is not down for it (T14). */
static void second_connection_is_refused(void **state)
{
    (void)state;
    static struct sim_asker q[2000];
    char name[32];
    memset(q, 0, sizeof q);
    a->answer.us = 300 * MS;
    a->allowed = 1;
    sim_start(a, NULL);
    warm_up(1);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
        sim_run(1 * MS);
    }
    sim_run(1 * S);
    for (unsigned i = 0; i < 2000; i++)
        assert_answered(q[i], "a");
    assert_true(a->opened <= 4);
    assert_int_equal(sim.downs, 0);
}

/* It accepts a second one and closes it at once. */
static struct sim_answer only_on_the_first(struct sim_server *s, const struct sim_message *m)
{
    struct sim_answer answer = s->answer;
    if (m->conn > 1)
        answer = (struct sim_answer){.deed = SIM_CLOSES};
    return answer;
}

static void second_connection_is_closed(void **state)
{
    (void)state;
    static struct sim_asker q[1000];
    char name[32];
    memset(q, 0, sizeof q);
    a->answer.us = 300 * MS;
    a->choose = only_on_the_first;
    sim_start(a, NULL);
    warm_up(1);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
        sim_run(1 * MS);
    }
    sim_run(1 * S);
    for (unsigned i = 0; i < 1000; i++)
        assert_answered(q[i], "a");
    assert_true(a->opened <= 4);
    assert_int_equal(sim.downs, 0);
}

/* The peer shuts down: it finishes what it has, and takes nothing new. */
static void drains_and_refuses(void **state)
{
    (void)state;
    struct sim_asker bye = {0}, late = {0}, next = {0};
    a->choose = first_says_goodbye;
    a->answer.ttl = 0;
    sim_start(a, b, NULL);
    warm_up(1);
    sim_ask(&bye, "bye.example");
    sim_ask(&late, "late.example");
    a->opening = SIM_REFUSES;
    a->open_us = 0;
    sim_run(50 * MS);
    assert_answered(bye, "a");
    sim_ask(&next, "next.example");
    sim_run(500 * MS);
    assert_answered(next, "b");
    assert_answered(late, "a");
    assert_true(a->opened <= 3);
}

/* ---- sleep, another network ---- */

static void slept_too_long_for_its_connections(void **state)
{
    (void)state;
    sim_start(a, NULL);
    warm_up(1);
    sim_silence_all(a); /* as the world has forgotten them */
    sim.slept += 3600;
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "a");
    assert_took(q, 30 * MS, 35 * MS);
    assert_int_equal(sim_conns(a), 1);
}

static void network_changes_while_opening(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, NULL);
    a->opening = SIM_HANGS;
    sim_ask(&q, "www.example");
    sim_run(5 * MS);
    a->opening = SIM_OPENS;
    privy_network_changed(sim.resolver);
    sim_run(5 * S);
    assert_answered(q, "a");
    assert_took(q, 35 * MS, 40 * MS);
}

static void network_changes_while_asking(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim_start(a, NULL);
    warm_up(5);
    sim_silence_all(a);
    sim_ask(&q, "www.example");
    sim_run(5 * MS);
    privy_network_changed(sim.resolver);
    sim_run(5 * S);
    assert_answered(q, "a"); /* at once on a new connection */
    assert_took(q, 35 * MS, 40 * MS);
    assert_int_equal(sim_conns(a), 1);
    assert_int_equal(sim.downs, 0);
}

static void network_changes_while_down(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->opening = SIM_REFUSES;
    sim_start(a, b, NULL);
    warm_up(1);
    for (unsigned i = 0; i < 50; i++) { /* the back-off grows to 5 s */
        warm_up(1);
        sim_run(1 * S);
    }
    a->opening = SIM_OPENS;
    privy_network_changed(sim.resolver);
    sim_ask(&q, "www.example");
    sim_run(100 * MS);
    assert_string_equal(sim_answer_to("next.example").upstream, "a");
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, sim_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(silent_connection_of_a_sole_upstream),
        T(silent_connection_of_one_of_two),
        T(silent_pool_at_the_limit),
        T(silent_connections_of_four),
        T(silent_connections_of_four_at_the_limit),
        T(silent_in_a_burst),
        T(frozen),
        T(answers_only_probes),
        T(deaf_connection_gives_way),
        T(suspect_is_probed_and_heals),
        T(lost_probe),
        T(a_replaced_one_nobody_uses),
        T(suspect_is_pinged),
        T(suspect_answers_no_ping),
        T(suspect_dies_after_two_seconds),
        T(silent_over_questions_given_up),
        T(slow_name_at_a_healthy_sole_upstream),
        T(slow_datagrams),
        T(suspect_at_the_limit_of_connections),
        T(healed_beside_another),
        T(silence_turns_to_the_other_address),
        T(turns_once_from_an_address),
        T(a_lookup_does_not_turn_back),
        T(trial_waits_for_its_probe),
        T(trial_beside_a_question),
        T(trial_of_one_that_takes_nothing),
        T(idle_connections_close),
        T(never_used_connections_close),
        T(use_keeps_them_open),
        T(peer_names_the_idle_limit),
        T(peer_wants_no_more),
        T(draining_and_silent),
        T(drained_before_its_first_answer),
        T(drained_while_suspect),
        T(replaced_when_an_attempt_is_dropped),
        T(second_connection_at_256),
        T(second_connection_is_refused),
        T(second_connection_is_closed),
        T(drains_and_refuses),
        T(slept_too_long_for_its_connections),
        T(network_changes_while_opening),
        T(network_changes_while_asking),
        T(network_changes_while_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
