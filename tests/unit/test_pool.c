/* Which upstream is asked: strategies, the protocol asked for, new sets of upstreams, addresses
 * that must be looked up first. */
#include "unit.h"

#include "sim.h"

#include "base/addr.h"

static struct sim_server *a, *b, *c;

static int begin(void **state)
{
    int failed = sim_begin(state);
    a = sim_server("a");
    b = sim_server("b");
    c = sim_server("c");
    return failed;
}

static struct sim_asker ask_nth(void)
{
    static unsigned number;
    char name[32];
    snprintf(name, sizeof name, "www.n%u.example", number++);
    return sim_answer_to(name);
}

static struct pv_endpoint *endpoint(unsigned i)
{
    struct pv_list *it = sim.resolver->endpoints.next;
    while (i--)
        it = it->next;
    return pv_container(it, struct pv_endpoint, link);
}

/* ---- strategies ---- */

static void ordered(void **state)
{
    (void)state;
    a->answer.us = 80 * MS;
    b->answer.us = 10 * MS;
    sim_start(a, b, c, NULL);
    for (unsigned i = 0; i < 50; i++)
        assert_answered(ask_nth(), "a");
    assert_int_equal(b->opened + c->opened, 0);
}

static void fastest(void **state)
{
    (void)state;
    sim.pool.pool_options.strategy = PRIVY_FASTEST;
    a->answer.us = 80 * MS;
    b->answer.us = 10 * MS;
    c->answer.us = 40 * MS;
    sim_start(a, b, c, NULL);
    for (unsigned i = 0; i < 50; i++)
        ask_nth();
    assert_int_equal(a->questions, 1); /* each is measured once */
    assert_int_equal(c->questions, 1);
    assert_int_equal(b->questions, 48);
}

static void spread(void **state)
{
    (void)state;
    sim.pool.pool_options.strategy = PRIVY_SPREAD;
    sim_start(a, b, c, NULL);
    for (unsigned i = 0; i < 300; i++)
        ask_nth();
    assert_in_range(a->questions, 70, 130);
    assert_in_range(b->questions, 70, 130);
    assert_in_range(c->questions, 70, 130);
}

/* All names of a site meet the same operator, another one only while that one is down. */
static void shard(void **state)
{
    (void)state;
    struct privy_upstream_options o = {.size = sizeof o};
    char name[64], first[30][64];
    sim.pool.pool_options.strategy = PRIVY_SHARD;
    struct privy_upstreams *set = sim_set(NULL);
    o.operator_name = "one";
    sim_add(set, a, &o, NULL);
    o.operator_name = "two";
    sim_add(set, b, &o, NULL);
    sim_resolver(set);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 30; i++) {
            snprintf(name, sizeof name, "host%u.site%u.example", round, i);
            struct sim_asker q = sim_answer_to(name);
            assert_int_equal(q.rcode, 0);
            if (round == 0)
                memcpy(first[i], q.upstream, sizeof first[i]);
            assert_string_equal(q.upstream, first[i]);
        }
    }
    assert_true(a->questions >= 15 && b->questions >= 15);
    a->opening = SIM_REFUSES;
    sim_close_all(a);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "down.site%u.example", i);
        assert_answered(sim_answer_to(name), "b");
    }
}

/* However slow the site's operator is, and whatever it answers. */
static void shard_asks_nobody_else(void **state)
{
    (void)state;
    struct privy_upstream_options o = {.size = sizeof o};
    static const struct sim_answer answers[] = {
        {.us = 400 * MS},  {.us = 1500 * MS},  {.deed = SIM_FAILS, .rcode = PV_SERVFAIL},
        {.deed = SIM_CUT}, {.deed = SIM_LAME}, {.us = 3 * S},
    };
    sim.pool.pool_options.strategy = PRIVY_SHARD;
    sim.options.query.hedge_budget = 100;
    struct privy_upstreams *set = sim_set(NULL);
    o.operator_name = "one";
    sim_add(set, a, &o, NULL);
    o.operator_name = "two";
    sim_add(set, b, &o, NULL);
    sim_resolver(set);
    for (unsigned i = 0; i < 6; i++) {
        a->answer = b->answer = answers[i];
        assert_int_equal(sim_answer_to("www.site.example").status, PRIVY_OK);
        privy_cache_flush(sim.cache);
        sim_run(10 * S);
    }
    assert_true(a->questions == 0 || b->questions == 0);
    struct sim_server *own = a->questions ? a : b, *other = own == a ? b : a;
    own->opening = SIM_HANGS; /* for 2 s: then it is down, and the other is asked */
    other->answer = (struct sim_answer){.us = 10 * MS};
    sim_close_all(own);
    struct sim_asker q = sim_answer_to("www.site.example");
    assert_answered(q, other->name);
    assert_took(q, 2000 * MS, 2100 * MS);
}

/* ---- the protocol asked for ---- */

static void protocol_of_a_query(void **state)
{
    (void)state;
    struct privy_exchange_options o = {.size = sizeof o};
    struct sim_asker q = {0};
    uint8_t wire[512];
    size_t length = sim_query(wire, 1, "www.example", PV_T_A, PV_RD, false);
    b->datagram = true;
    b->open_us = 0;
    sim_start(a, b, NULL);
    static const char *const words[] = {"do53", "dot", "any", NULL};
    static const char *const who[] = {"b", "a", "a", "a"};
    for (unsigned i = 0; i < 4; i++) {
        o.protocol = words[i];
        q = (struct sim_asker){0};
        sim_exchange(&q, wire, length, &o);
        sim_run(1 * S);
        assert_int_equal(q.calls, 1);
        if (i < 3)
            assert_answered(q, who[i]); /* the key is another one */
        else
            assert_true(q.facts.cached); /* NULL is "any" */
    }
    o.protocol = "do53";
    q = (struct sim_asker){0};
    sim_exchange(&q, wire, length, &o);
    sim_run(1 * S);
    assert_true(q.facts.cached);
}

static void protocol_nobody_here_has(void **state)
{
    (void)state;
    struct privy_exchange_options o = {.size = sizeof o, .protocol = "do53"};
    uint8_t wire[512];
    sim_start(a, NULL);
    size_t length = sim_query(wire, 1, "www.example", PV_T_A, PV_RD, false);
    assert_int_equal(privy_exchange(sim.resolver, wire, length, &o, NULL, NULL, NULL),
                     PRIVY_EUNSUPPORTED);
    assert_int_equal(privy_resolver_pending(sim.resolver), 0);
}

static void upstream_options_without_a_size(void **state)
{
    (void)state;
    struct privy_upstream_options unset = {.size = 0};
    struct privy_upstreams *set;
    struct privy_error error;
    assert_int_equal(privy_upstreams_new(NULL, NULL, &set, &error), PRIVY_OK);
    assert_int_equal(privy_upstreams_add(set, "tls://9.9.9.9", &unset, &error), PRIVY_EINVAL);
    assert_string_equal(error.message, "size: not set in the upstream's options");
    privy_upstreams_unref(set);
}

/* Those of that protocol are down, another is not: no trial of the other helps. */
static void protocol_of_one_that_is_down(void **state)
{
    (void)state;
    struct privy_exchange_options o = {.size = sizeof o, .protocol = "do53"};
    struct sim_asker q = {0};
    uint8_t wire[512];
    b->datagram = true;
    b->opening = SIM_REFUSES;
    sim_start(a, b, c, NULL);
    sim_exchange(&q, wire, sim_query(wire, 1, "www.example", PV_T_A, PV_RD, false), &o);
    sim_run(2 * S);
    assert_int_equal(q.calls, 0);
    b->opening = SIM_OPENS;
    sim_run(300 * MS);
    assert_answered(q, "b");
    assert_int_equal(a->questions + c->questions, 0);
}

/* The other one's trial gets through, and what waits is not for it: a probe proves it. */
static void trial_of_another_protocol(void **state)
{
    (void)state;
    struct privy_exchange_options o = {.size = sizeof o, .protocol = "do53"};
    struct sim_asker q = {0};
    uint8_t wire[512];
    b->datagram = true;
    a->opening = b->opening = SIM_REFUSES;
    sim_start(a, b, NULL);
    sim_run(100 * MS); /* a is down */
    sim_exchange(&q, wire, sim_query(wire, 1, "www.example", PV_T_A, PV_RD, false), &o);
    sim_run(1 * S);
    a->opening = SIM_OPENS;
    sim_run(500 * MS);
    assert_int_equal(a->probes, 1);
    assert_false(pv_health_is_down(sim.set->members[0]));
    privy_cancel(q.handle);
}

static void set_of_one_protocol(void **state)
{
    (void)state;
    b->datagram = true;
    sim.pool.protocol = "do53";
    sim_start(a, b, NULL);
    assert_answered(sim_answer_to("www.example"), "b");
    assert_int_equal(a->opened, 0);
}

/* ---- another set ---- */

static void use(struct privy_upstreams *set)
{
    assert_int_equal(privy_resolver_set_upstreams(sim.resolver, set), PRIVY_OK);
    privy_upstreams_unref(set);
}

static void equal_upstreams_keep_their_connections(void **state)
{
    (void)state;
    sim_start(a, b, NULL);
    ask_nth();
    uint64_t srtt = pv_health_srtt(sim.set->members[0]);
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, b, NULL, NULL);
    sim_add(next, a, NULL, NULL);
    sim_add(next, c, NULL, NULL);
    assert_ptr_equal(next->members[1], sim.set->members[0]);
    use(next);
    b->opening = SIM_REFUSES;
    assert_answered(ask_nth(), "a");
    assert_int_equal(a->opened, 1);
    assert_int_equal(pv_health_srtt(endpoint(1)->upstream), srtt);
}

static void changed_ones_do_not(void **state)
{
    (void)state;
    static const char *const properties[] = {"nolog", NULL};
    struct privy_upstream_options o = {.size = sizeof o, .properties = properties};
    sim_start(a, NULL);
    ask_nth();
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, a, &o, NULL);
    use(next);
    assert_int_equal(sim_conns(a), 0); /* idle: gone at once */
    assert_answered(ask_nth(), "a");
    assert_int_equal(a->opened, 2);
}

/* The old ones finish what they carry; what waits for them is asked of the new ones. */
static void swapped_under_load(void **state)
{
    (void)state;
    struct sim_asker sent = {0}, waits[3] = {0}, after = {0};
    a->answer.us = 400 * MS;
    sim_start(a, b, NULL);
    sim_run(100 * MS);
    sim_ask(&sent, "sent.example");
    sim_run(5 * MS);
    a->room = 1;
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%u.example", i);
        sim_ask(&waits[i], name);
    }
    sim_run(1 * MS);
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, c, NULL, NULL);
    use(next);
    sim_ask(&after, "after.example");
    sim_run(100 * MS);
    assert_answered(after, "c");
    for (unsigned i = 0; i < 3; i++)
        assert_answered(waits[i], "c");
    assert_int_equal(sim_conns(a), 1);
    sim_run(1 * S);
    assert_answered(sent, "a");
    assert_took(sent, 400 * MS, 405 * MS);
    assert_int_equal(sim_conns(a), 0);
    assert_true(pv_list_empty(&sim.resolver->retiring));
}

/* The last answer of a draining upstream comes in the very turn in which it was drained. */
static void last_answer_in_the_turn_of_the_swap(void **state)
{
    (void)state;
    static const enum sim_deed deeds[] = {SIM_ANSWERS, SIM_FAILS, SIM_CLOSES, SIM_GARBLES};
    sim_start(a, NULL);
    for (unsigned i = 0; i < 8; i++) {
        struct sim_asker q = {0};
        struct sim_server *from = i % 2 ? b : a, *to = i % 2 ? a : b;
        privy_cache_flush(sim.cache);
        from->answer.deed = deeds[i / 2];
        from->answer.rcode = PV_SERVFAIL;
        to->answer.deed = SIM_ANSWERS;
        to->answer.rcode = 0;
        sim_ask(&q, "www.example");
        while (!from->carried)
            sim_run(1 * MS);
        struct privy_upstreams *next = sim_set(NULL);
        sim_add(next, to, NULL, NULL);
        use(next);
        sim.now += 10 * MS;
        sim_run(1 * S);
        assert_int_equal(q.calls, 1);
        assert_int_equal(q.status, PRIVY_OK);
        assert_int_equal(q.rcode, 0);
    }
}

/* An answer that stands is from one that is gone by the time it is given. */
static void standing_answer_of_a_gone_upstream(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->answer = (struct sim_answer){.deed = SIM_FAILS, .us = 10 * MS, .rcode = PV_SERVFAIL};
    b->answer = a->answer;
    b->answer.us = 300 * MS;
    sim_start(a, b, NULL);
    sim_ask(&q, "www.example");
    sim_run(100 * MS);
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, b, NULL, NULL);
    use(next);
    sim_run(1 * S);
    assert_int_equal(q.rcode, PV_SERVFAIL);
    assert_string_equal(q.upstream, "a");
}

/* Those who wait with no way out see the new ones. */
static void swapped_while_all_are_down(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, b, NULL, NULL);
    use(next);
    sim_run(400 * MS);
    assert_answered(q, "b");
}

static void swapped_many_times(void **state)
{
    (void)state;
    static struct sim_asker q[100];
    char name[32];
    struct sim_server *all[3] = {a, b, c};
    memset(q, 0, sizeof q);
    sim_start(a, b, c, NULL);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "n%u.example", i);
        sim_ask(&q[i], name);
        struct privy_upstreams *next = sim_set(sim.resolver->set);
        for (unsigned k = 0; k < 3; k++) {
            if ((i >> k) % 3)
                sim_add(next, all[(i + k) % 3], NULL, NULL);
        }
        if (next->count == 0)
            sim_add(next, a, NULL, NULL);
        use(next);
        sim_run(i % 7 * MS);
    }
    sim_run(5 * S);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(q[i].calls, 1);
        assert_int_equal(q[i].status, PRIVY_OK);
    }
}

static void freed_while_some_drain(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    a->answer.deed = SIM_SILENT;
    sim_start(a, NULL);
    sim_ask(&q, "www.example");
    sim_run(50 * MS);
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, b, NULL, NULL);
    use(next);
    sim_run(1 * MS);
    assert_int_equal(sim_conns(a), 1);
    privy_resolver_free(sim.resolver);
    sim.resolver = NULL;
    assert_int_equal(sim_conns(a), 0);
}

/* ---- addresses by bootstrap ---- */

/* a is known by name only; c knows its address. */
static void start_named(void)
{
    struct privy_upstreams *boot = sim_set(NULL);
    sim_add(boot, c, NULL, NULL);
    sim.pool.bootstrap = boot;
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, NULL, "udp://dns.named.example");
    sim_resolver(set);
    privy_upstreams_unref(boot);
}

static struct sim_answer only_a(struct sim_server *s, const struct sim_message *m)
{
    struct sim_answer answer = s->answer;
    if (m->type == PV_T_AAAA) {
        answer.deed = SIM_DENIES;
        answer.us = 30 * MS;
    }
    return answer;
}

static void looked_up(void **state)
{
    (void)state;
    struct pv_addr found[PV_ADDRESSES_MAX];
    c->choose = only_a;
    start_named();
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "a");
    assert_took(q, 80 * MS, 90 * MS); /* c: 20 + 30, a: 20 + 10 */
    assert_int_equal(sim_asked(c, "dns.named.example."), 2);
    assert_int_equal(sim_asked(c, "www.example."), 0); /* no client's name goes there */
    assert_int_equal(pv_endpoint_addresses(endpoint(0), found), 1);
    assert_int_equal(found[0].sa.sa_family, AF_INET);
    assert_int_equal(pv_get32((const uint8_t *)&found[0].in.sin_addr), 0xc0000203);
    assert_int_equal(pv_addr_port(&found[0]), 53);
}

static void looked_up_again_when_old(void **state)
{
    (void)state;
    c->choose = only_a;
    start_named();
    sim_answer_to("www.example");
    sim_run(290 * S);
    sim_answer_to("new.example");
    assert_int_equal(c->questions, 2);
    sim_run(70 * S);
    struct sim_asker q = sim_answer_to("newer.example"); /* the old address still serves */
    assert_answered(q, "a");
    assert_took(q, 30 * MS, 35 * MS);
    sim_run(1 * S);
    assert_int_equal(c->questions, 4);
}

static void lookup_fails(void **state)
{
    (void)state;
    c->answer.deed = SIM_DENIES;
    start_named();
    struct sim_asker q = sim_answer_to("www.example");
    assert_failed(q, PRIVY_EUNREACHABLE);
    assert_took(q, 4490 * MS, 4502 * MS);
    assert_memory_equal(q.error.attempts[0].reason, "its address cannot be looked up", 31);
    assert_in_range(c->questions, 4, 14); /* not more than twice a second */
    c->answer.deed = SIM_ANSWERS;
    sim_run(2 * S);
    q = sim_answer_to("other.example");
    assert_answered(q, "a");
    assert_took(q, 0, 1500 * MS);
}

/* It cannot even be asked for: the limit of questions is reached. */
static void lookup_is_not_possible(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim.options.limits.inflight = 1;
    c->answer.deed = SIM_SILENT;
    struct privy_upstreams *boot = sim_set(NULL);
    sim_add(boot, c, NULL, NULL);
    sim.pool.bootstrap = boot;
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, NULL, "udp://dns.named.example");
    sim_add(set, b, NULL, "udp://other.named.example");
    sim_resolver(set);
    privy_upstreams_unref(boot);
    sim_ask(&q, "www.example"); /* a's address is being looked up, b's cannot be */
    endpoint(1)->events->lookup(endpoint(1)->owner, endpoint(1));
    sim_run(200 * MS);
    assert_false(pv_health_is_down(sim.set->members[0]));
    assert_true(pv_health_is_down(sim.set->members[1]));
    c->answer.deed = SIM_ANSWERS;
    sim_run(10 * S);
    assert_int_equal(q.calls, 1);
}

static void lookup_is_slow(void **state)
{
    (void)state;
    c->opening = SIM_REFUSES;
    start_named();
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.calls, 1);
    assert_int_equal(q.status, PRIVY_EUNREACHABLE);
    assert_took(q, 4490 * MS, 4502 * MS);
    c->opening = SIM_OPENS;
    q = sim_answer_to("other.example");
    assert_answered(q, "a");
    assert_took(q, 0, 1500 * MS);
}

static void another_serves_meanwhile(void **state)
{
    (void)state;
    c->opening = SIM_HANGS;
    struct privy_upstreams *boot = sim_set(NULL);
    sim_add(boot, c, NULL, NULL);
    sim.pool.bootstrap = boot;
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, NULL, "udp://dns.named.example");
    sim_add(set, b, NULL, NULL);
    sim_resolver(set);
    privy_upstreams_unref(boot);
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "b");
    assert_took(q, 30 * MS, 185 * MS);
}

static void freed_while_looking_up(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    c->answer.deed = SIM_SILENT;
    start_named();
    sim_ask(&q, "www.example");
    sim_run(100 * MS);
    privy_resolver_free(sim.resolver);
    sim.resolver = NULL;
    sim_run(5 * S);
    assert_int_equal(q.calls, 0);
}

/* The new set's bootstrap is asked, not the old one's. */
static void swapped_with_another_bootstrap(void **state)
{
    (void)state;
    c->choose = b->choose = only_a;
    start_named();
    assert_answered(ask_nth(), "a");
    struct privy_upstreams *boot = sim_set(NULL);
    sim_add(boot, b, NULL, NULL);
    sim.pool.bootstrap = boot;
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, a, NULL, "udp://other.named.example");
    use(next);
    privy_upstreams_unref(boot);
    assert_answered(ask_nth(), "a");
    assert_int_equal(sim_asked(b, "other.named.example."), 2);
    assert_int_equal(sim_asked(c, "other.named.example."), 0);
}

static void swapped_while_looking_up(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    c->answer.deed = SIM_SILENT;
    start_named();
    sim_ask(&q, "www.example");
    sim_run(100 * MS);
    struct privy_upstreams *next = sim_set(sim.set);
    sim_add(next, b, NULL, NULL);
    use(next);
    sim_run(1 * S);
    assert_answered(q, "b");
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, sim_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ordered),
        T(fastest),
        T(spread),
        T(shard),
        T(shard_asks_nobody_else),
        T(protocol_of_a_query),
        T(protocol_nobody_here_has),
        T(upstream_options_without_a_size),
        T(protocol_of_one_that_is_down),
        T(trial_of_another_protocol),
        T(set_of_one_protocol),
        T(equal_upstreams_keep_their_connections),
        T(changed_ones_do_not),
        T(swapped_under_load),
        T(last_answer_in_the_turn_of_the_swap),
        T(standing_answer_of_a_gone_upstream),
        T(swapped_while_all_are_down),
        T(swapped_many_times),
        T(freed_while_some_drain),
        T(looked_up),
        T(looked_up_again_when_old),
        T(lookup_fails),
        T(lookup_is_not_possible),
        T(lookup_is_slow),
        T(another_serves_meanwhile),
        T(freed_while_looking_up),
        T(swapped_with_another_bootstrap),
        T(swapped_while_looking_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
