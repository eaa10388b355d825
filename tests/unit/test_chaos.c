/* Random worlds: upstreams that break and heal, questions, cancels, new sets, changes of network,
 * and callbacks that do the same. Whatever happens, each asker is told once, in time, what is true;
 * and nothing is left. CHAOS_SEED=N begins with world N (and ends with it), CHAOS_SEEDS=N
 * runs so many. */
#include "unit.h"

#include "sim.h"

#include "base/random.h"

enum { ASKERS = 400, STEPS = 300, SERVERS = 4, LATE_US = 4503000 };

static struct sim_asker askers[ASKERS];
static bool cancelled[ASKERS];
static unsigned asked;
static struct sim_server *servers[SERVERS];
static struct privy_upstreams *boot;
static uint64_t dice;

static unsigned roll(unsigned sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice >> 33) % sides;
}

/* ---- what may happen ---- */

static struct sim_answer random_answer(struct sim_server *s, const struct sim_message *m)
{
    static const enum sim_deed bad[] = {SIM_SILENT,   SIM_CLOSES, SIM_GARBLES,
                                        SIM_MISHEARS, SIM_FAILS,  SIM_CUT,
                                        SIM_LAME,     SIM_DENIES, SIM_CUT_DATAGRAM};
    static const uint16_t rcodes[] = {1, 2, 4, 5, 9, 16, 11};
    struct sim_answer answer = s->answer;
    (void)m;
    if (roll(100) < answer.rcode) { /* how bad it is, in percent */
        answer.deed = bad[roll(9)];
        answer.us = roll(8) ? roll(200) * MS : roll(4000) * MS;
    }
    answer.rcode = answer.deed == SIM_FAILS ? rcodes[roll(7)] : 0;
    answer.keepalive = roll(20) == 0;
    answer.idle_ms = roll(2) ? 0 : 1000;
    answer.ttl = roll(4) ? 300 : roll(3);
    return answer;
}

static void worsen(struct sim_server *s)
{
    s->opening = roll(2) ? SIM_OPENS : (enum sim_opening)roll(4);
    s->open_us = roll(5) ? roll(50) * MS : roll(2500) * MS;
    s->answer.us = roll(5) ? roll(50) * MS : roll(1500) * MS;
    s->answer.rcode = roll(2) ? 0 : (uint16_t)roll(101);
    s->probe.deed = roll(4) ? SIM_DENIES : SIM_SILENT;
    s->room = roll(3) ? 1000 : 1 + roll(3);
    s->drop_replaces = roll(4) == 0;
    s->full = roll(20) == 0;
}

static void heal(struct sim_server *s)
{
    s->opening = SIM_OPENS;
    s->open_us = 20 * MS;
    s->answer = (struct sim_answer){.us = 10 * MS, .ttl = 300};
    s->probe.deed = SIM_DENIES;
    s->room = 1000;
    s->drop_replaces = s->full = false;
}

static void swap_set(void)
{
    struct privy_upstreams *set = sim_set(roll(4) ? sim.resolver->set : NULL);
    unsigned first = roll(SERVERS);
    for (unsigned i = 0; i < SERVERS - 1; i++) {
        unsigned k = (first + i) % (SERVERS - 1); /* the last one is the bootstrap's */
        if (i == 0 || roll(2))
            sim_add(set, servers[k], NULL, k == 0 ? "udp://dns.named.example" : NULL);
    }
    assert_int_equal(privy_resolver_set_upstreams(sim.resolver, set), PRIVY_OK);
    privy_upstreams_unref(set);
}

static void callback(struct sim_asker *q);

static void ask_one(void)
{
    static const char *const words[] = {NULL, NULL, "any", "dot"};
    struct privy_exchange_options o = {.size = sizeof o};
    uint8_t wire[512];
    char name[32];
    if (asked == ASKERS || !sim.resolver)
        return;
    struct sim_asker *q = &askers[asked++];
    snprintf(name, sizeof name, "%s%u.n%u.example", roll(2) ? "w" : "W", roll(3), roll(12));
    o.protocol = words[roll(4)];
    size_t length = sim_query(wire, (uint16_t)roll(65536), name, roll(8) ? PV_T_A : PV_T_TXT, PV_RD,
                              roll(4) == 0);
    q->then = callback;
    q->begun = sim.now;
    q->extra = NULL;
    /* A new set may have nobody who speaks it. */
    if (o.protocol && strcmp(o.protocol, "dot") == 0)
        o.protocol = servers[1]->datagram ? NULL : o.protocol;
    if (o.protocol && o.protocol[0] == 'd')
        o.protocol = NULL;
    sim_exchange(q, wire, length, &o);
}

static void cancel_one(void)
{
    if (asked == 0)
        return;
    unsigned i = roll(asked);
    if (!askers[i].handle)
        return;
    privy_cancel(askers[i].handle);
    askers[i].handle = NULL;
    cancelled[i] = true;
}

static void something(void)
{
    switch (roll(14)) {
    case 0:
    case 1:
        cancel_one();
        break;
    case 2:
        if (roll(3) == 0)
            swap_set();
        break;
    case 3:
        if (roll(3) == 0)
            privy_network_changed(sim.resolver);
        break;
    case 4:
        if (roll(5) == 0)
            privy_cache_flush(sim.cache);
        break;
    default:
        ask_one();
        break;
    }
}

static void callback(struct sim_asker *q)
{
    (void)q;
    while (sim.resolver && roll(3) == 0)
        something();
}

/* Not from a callback: the connections may be in the middle of something there. */
static void something_outside(void)
{
    struct sim_server *s = servers[roll(SERVERS)];
    switch (roll(12)) {
    case 0:
        worsen(s);
        break;
    case 1:
        heal(s);
        break;
    case 2:
        sim_close_all(s);
        break;
    case 3:
        sim_silence_all(s);
        break;
    case 4:
        sim_unsilence_all(s);
        break;
    case 5:
        if (roll(4) == 0)
            sim.slept += roll(100);
        break;
    default:
        something();
        break;
    }
}

/* ---- what must be so ---- */

/* An answer is the one to its question, by whom it says. */
static void check_truth(const struct sim_asker *q)
{
    if (q->status != PRIVY_OK || q->rcode != 0 || q->flags & PV_TC || q->length < 28)
        return;
    unsigned by = q->wire[q->length - 1];
    if (pv_get16(q->wire + 6) == 0)
        return;
    assert_in_range(by, 1, SERVERS - 1); /* never the bootstrap's */
    if (q->upstream[0])
        assert_int_equal(q->upstream[0], 'a' + (int)by - 1);
}

static void check_all(bool at_the_end)
{
    for (unsigned i = 0; i < asked; i++) {
        const struct sim_asker *q = &askers[i];
        assert_true(q->calls <= 1);
        if (cancelled[i])
            assert_int_equal(q->calls, 0);
        else if (q->calls == 0)
            assert_true(!at_the_end && sim.now <= q->begun + LATE_US);
        else
            assert_true(q->at <= q->begun + LATE_US);
        if (q->calls)
            check_truth(q);
    }
}

/* ---- a world ---- */

static void create(uint64_t seed)
{
    static const char *const names[SERVERS] = {"a", "b", "c", "d"};
    static const uint32_t strategies[] = {PRIVY_ORDERED, PRIVY_FASTEST, PRIVY_SPREAD, PRIVY_SHARD};
    pv_random_seed(seed + 1);
    dice = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    memset(askers, 0, sizeof askers);
    memset(cancelled, 0, sizeof cancelled);
    asked = 0;
    for (unsigned i = 0; i < SERVERS; i++) {
        servers[i] = sim_server(names[i]);
        servers[i]->choose = random_answer;
        servers[i]->datagram = roll(4) == 0;
    }
    sim.options.limits.connections_per_upstream = 1 + roll(4);
    sim.options.query.hedge_budget = roll(2) ? 5 : 100;
    sim.pool.pool_options.strategy = strategies[roll(4)];
    boot = sim_set(NULL);
    sim_add(boot, servers[SERVERS - 1], NULL, NULL);
    sim.pool.bootstrap = boot;
    struct privy_upstreams *set = sim_set(NULL);
    for (unsigned i = 0; i < SERVERS - 1; i++)
        sim_add(set, servers[i], NULL, i == 0 ? "udp://dns.named.example" : NULL);
    sim_resolver(set);
}

static void run_world(uint64_t seed)
{
    create(seed);
    for (unsigned step = 0; step < STEPS; step++) {
        for (unsigned n = roll(6); n > 0; n--)
            something_outside();
        sim_run(roll(4) ? roll(30) * MS : roll(1200) * MS);
        check_all(false);
    }
    unsigned before = asked;
    for (unsigned i = 0; i < SERVERS; i++)
        heal(servers[i]);
    sim_run(6 * S);
    check_all(asked == before); /* callbacks may have asked */
    sim_run(6 * S);
    privy_cache_flush(sim.cache);
    struct sim_asker q = sim_answer_to("healed.example");
    assert_int_equal(q.status, PRIVY_OK);
    assert_int_equal(q.rcode, 0);
    assert_took(q, 0, 3100 * MS); /* its connection may be silent still, after slow times */
}

static void world(uint64_t seed, bool cut_short)
{
    void *state = NULL;
    assert_int_equal(sim_begin(&state), 0);
    if (cut_short) { /* freed in the middle of it */
        create(seed);
        for (unsigned step = roll(100); step > 0; step--) {
            something_outside();
            sim_run(roll(300) * MS);
        }
        privy_resolver_free(sim.resolver);
        sim.resolver = NULL;
    } else {
        run_world(seed);
    }
    privy_upstreams_unref(boot);
    sim_end(&state);
}

static unsigned long number(const char *variable, unsigned long otherwise)
{
    const char *text = getenv(variable);
    return text ? strtoul(text, NULL, 10) : otherwise;
}

static void chaos(void **state)
{
    (void)state;
    unsigned long first = number("CHAOS_SEED", 1);
    unsigned long count = number("CHAOS_SEEDS", getenv("CHAOS_SEED") ? 1 : 60);
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        world(seed, false);
        world(seed, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chaos)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
