/* Memory runs out, at each place in turn: every question that was taken is told its end all the
 * same, nothing is lost, and once there is memory again all is well. */
#include "unit.h"

#include "scarce.h"
#include "sim.h"

#include <limits.h>

enum { ASKERS = 24 };

static struct sim_asker askers[ASKERS];
static bool taken[ASKERS];
static struct sim_server *a, *b, *c;

static void ask(unsigned i, const char *name, const char *protocol, bool signed_one)
{
    static const uint8_t tsig[] = {0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 4, 'm', 'a', 'c', '!'};
    struct privy_exchange_options o = {.size = sizeof o, .protocol = protocol};
    uint8_t wire[512];
    size_t length = sim_query(wire, (uint16_t)i, name, PV_T_A, PV_RD, false);
    if (signed_one) {
        memcpy(wire + length, tsig, sizeof tsig);
        length += sizeof tsig;
        wire[11] = 1;
    }
    enum privy_status status = sim_try_exchange(&askers[i], wire, length, &o);
    taken[i] = status == PRIVY_OK;
    if (!taken[i])
        assert_int_equal(status, PRIVY_ENOMEM);
}

static struct sim_answer by_name(struct sim_server *s, const struct sim_message *m)
{
    static const enum sim_deed deeds[] = {SIM_ANSWERS, SIM_FAILS, SIM_GARBLES, SIM_CLOSES, SIM_CUT};
    struct sim_answer answer = s->answer;
    answer.deed = s == a ? deeds[(unsigned)m->name[0] % 5] : SIM_ANSWERS;
    answer.rcode = answer.deed == SIM_FAILS ? PV_SERVFAIL : 0;
    answer.ttl = 60;
    return answer;
}

static void play(struct privy_upstreams *next)
{
    for (unsigned i = 0; i < 5; i++)
        ask(i, (const char *[]){"a.example", "b.example", "c.example", "d.example", "e.example"}[i],
            NULL, false);
    ask(5, "a.example", NULL, false);
    ask(6, "a.example", "dot", false);
    ask(7, "signed.example", NULL, true);
    sim_run(1 * S);
    ask(8, "a.example", NULL, false); /* from the cache */
    sim_run(58 * S);
    sim_close_all(a);
    sim_silence_all(b);
    ask(9, "a.example", NULL, false); /* stale, soon */
    ask(10, "f.example", NULL, false);
    sim_run(3 * S);
    privy_network_changed(sim.resolver);
    ask(11, "g.example", NULL, false);
    sim_run(5 * MS);
    privy_resolver_set_upstreams(sim.resolver, next);
    ask(12, "h.example", NULL, false);
    sim_run(6 * S);
}

static unsigned world(unsigned first, unsigned failing)
{
    void *state = NULL;
    struct privy_upstreams *next, *boot;
    scarce_spares = &sim.own_memory;
    sim_begin(&state);
    memset(askers, 0, sizeof askers);
    memset(taken, 0, sizeof taken);
    a = sim_server("a");
    b = sim_server("b");
    c = sim_server("c");
    a->choose = by_name;
    sim.pool.bootstrap = boot = sim_set(NULL);
    sim_add(boot, c, NULL, NULL);
    sim_start(a, b, NULL);
    next = sim_set(sim.set);
    sim_add(next, b, NULL, NULL);
    sim_add(next, a, NULL, "udp://dns.named.example");
    scarce_begin(first, failing);
    play(next);
    unsigned count = scarce_end();
    sim_run(6 * S);
    for (unsigned i = 0; i < ASKERS; i++)
        assert_int_equal(askers[i].calls, taken[i]);
    privy_cache_flush(sim.cache);
    struct sim_asker q = sim_answer_to("after.example");
    assert_int_equal(q.status, PRIVY_OK);
    sim_end(&state);
    privy_upstreams_unref(next);
    privy_upstreams_unref(boot);
    return count;
}

static void one_is_refused(void **state)
{
    (void)state;
    unsigned n = 1;
    while (world(n, 1) >= n)
        n++;
    assert_true(n > 60); /* so many places there are */
}

static void some_are_refused(void **state)
{
    (void)state;
    for (unsigned n = 1; world(n, 10) >= n; n += 3)
        ;
}

static void all_are_refused_for_a_while(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 200; n += 17)
        world(n, 300);
}

/* Not even where there was no memory for its answer is it sent to a second server. */
static unsigned signed_world(unsigned first)
{
    sim_begin(&(void *){NULL});
    a = sim_server("a");
    b = sim_server("b");
    sim_start(a, b, NULL);
    sim_answer_to("warm.example");
    scarce_begin(first, 1);
    ask(0, "signed.example", NULL, true);
    sim_run(1 * S);
    unsigned count = scarce_end();
    assert_true(!sim_asked(a, "signed.example.") || !sim_asked(b, "signed.example."));
    sim_run(5 * S);
    assert_int_equal(askers[0].calls, taken[0]);
    sim_end(&(void *){NULL});
    return count;
}

static void signed_messages(void **state)
{
    (void)state;
    unsigned n = 0, count;
    scarce_spares = &sim.own_memory;
    do {
        memset(askers, 0, sizeof askers);
        count = signed_world(++n);
    } while (count >= n);
}

/* Who cannot be asked for want of memory is not asked for again and again, in no time. */
static void none_for_a_second(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    scarce_spares = &sim.own_memory;
    sim_begin(&(void *){NULL});
    a = sim_server("a");
    b = sim_server("b");
    sim_start(a, b, NULL);
    sim_answer_to("warm.example");
    a->answer.deed = SIM_SILENT;
    sim_ask(&q, "www.example");
    scarce_begin(1, UINT_MAX);
    sim_run(1 * S); /* asserts that the loop does not spin */
    scarce_end();
    sim_run(2 * S);
    assert_answered(q, "b");
    sim_end(&(void *){NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_refused),
        cmocka_unit_test(some_are_refused),
        cmocka_unit_test(all_are_refused_for_a_while),
        cmocka_unit_test(signed_messages),
        cmocka_unit_test(none_for_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
