/* What of answers and failures is kept, and what is given from it. */
#include "unit.h"

#include "base/map.h"
#include "sim.h"

static struct sim_server *a, *b;

static int begin(void **state)
{
    int failed = sim_begin(state);
    a = sim_server("a");
    b = sim_server("b");
    return failed;
}

static void fails(struct sim_server *s)
{
    s->answer = (struct sim_answer){.deed = SIM_FAILS, .us = 10 * MS, .rcode = PV_SERVFAIL};
}

static struct privy_cache_stats stats(void)
{
    struct privy_cache_stats s = {.size = sizeof s};
    privy_cache_stats(sim.cache, &s);
    return s;
}

/* ---- answers ---- */

static void ages_and_expires(void **state)
{
    (void)state;
    sim.cache_options.prefetch = 0;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(299 * S);
    struct sim_asker q = sim_answer_to("www.example");
    assert_true(q.facts.cached);
    assert_int_equal(q.ttl, 1);
    sim_run(1 * S);
    assert_answered(sim_answer_to("www.example"), "a");
    assert_int_equal(a->questions, 2);
}

/* Of the one record, as it is written. */
static uint32_t wire_ttl(const struct sim_asker *q)
{
    return pv_get32(q->wire + q->length - 4 - 2 - 4);
}

/* It has lain in an HTTP cache [RFC 8484 §5.1]. */
static void age_on_arrival(void **state)
{
    (void)state;
    sim.cache_options.prefetch = 0;
    sim_start(a, NULL);
    a->answer.age = 100;
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.ttl, 200);
    sim_run(199 * S);
    q = sim_answer_to("www.example");
    assert_true(q.facts.cached);
    assert_int_equal(q.ttl, 1);
    a->answer.age = 301;
    sim_run(1 * S);
    q = sim_answer_to("www.example");
    assert_answered(q, "a");
    assert_int_equal(q.ttl, 0);
    assert_int_equal(wire_ttl(&q), 0);
    assert_int_equal(sim_answer_to("www.example").ttl, 0);
    assert_int_equal(a->questions, 3); /* too old to keep */
    a->answer.age = 0x80000000;        /* older than the machine */
    q = sim_answer_to("old.example");
    assert_int_equal(wire_ttl(&q), 0);
    a->answer.age = 0;
    assert_int_equal(sim_answer_to("old.example").ttl, 300);
}

static void ages_in_sleep(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim.slept += 200;
    assert_int_equal(sim_answer_to("www.example").ttl, 100);
    sim.slept += 200;
    assert_int_equal(sim_answer_to("www.example").ttl, 300);
}

/* Used by all who wait for it, not kept [RFC 1035 §3.2.1]. */
static void R5_ttl_0(void **state)
{
    (void)state;
    struct sim_asker q[2] = {0};
    a->answer.ttl = 0;
    sim_start(a, NULL);
    sim_ask(&q[0], "www.example");
    sim_ask(&q[1], "www.example");
    sim_run(1 * S);
    assert_answered(q[0], "a");
    assert_answered(q[1], "a");
    assert_int_equal(q[0].ttl, 0);
    assert_int_equal(a->questions, 1);
    sim_answer_to("www.example");
    assert_int_equal(a->questions, 2);
    assert_int_equal(stats().entries, 0);
}

static void R5_what_is_never_kept(void **state)
{
    (void)state;
    static const struct {
        enum sim_deed deed;
        uint16_t rcode, type;
    } rows[] = {
        {SIM_CUT, 0, PV_T_A},       {SIM_DENIES_BARE, 0, PV_T_A}, {SIM_FAILS, 6, PV_T_A},
        {SIM_FAILS, 5, PV_T_A},     {SIM_FAILS, 1, PV_T_A},       {SIM_LAME, 0, PV_T_A},
        {SIM_ANSWERS, 0, PV_T_ANY}, {SIM_GARBLES, 0, PV_T_A},     {SIM_MISHEARS, 0, PV_T_A},
    };
    uint8_t wire[512];
    sim_start(a, NULL);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim_asker q = {0};
        a->answer.deed = rows[i].deed;
        a->answer.rcode = rows[i].rcode;
        sim_exchange(&q, wire, sim_query(wire, 1, "www.example", rows[i].type, PV_RD, false), NULL);
        sim_run(20 * S);
        assert_int_equal(q.calls, 1);
        unsigned before = a->questions;
        sim_exchange(&q, wire, sim_query(wire, 1, "www.example", rows[i].type, PV_RD, false), NULL);
        sim_run(20 * S);
        assert_true(a->questions > before);
    }
}

static void R5_denied(void **state)
{
    (void)state;
    a->answer.deed = SIM_DENIES;
    sim_start(a, NULL);
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.rcode, PV_NXDOMAIN);
    sim_run(59 * S);
    q = sim_answer_to("www.example");
    assert_int_equal(q.rcode, PV_NXDOMAIN);
    assert_int_equal(q.ttl, 1); /* the SOA's MINIMUM is 60 */
    sim_run(1 * S);
    sim_answer_to("www.example");
    assert_int_equal(a->questions, 2);
}

/* Without a cache there is a TTL all the same. */
static void no_cache(void **state)
{
    (void)state;
    struct privy_upstreams *set = sim_set(NULL);
    sim_add(set, a, NULL, NULL);
    sim.set = set;
    assert_int_equal(pv_resolver_new(sim.loop, set, NULL, &sim.options, &sim.resolver, NULL),
                     PRIVY_OK);
    for (unsigned i = 1; i <= 2; i++) {
        struct sim_asker q = sim_answer_to("www.example");
        assert_answered(q, "a");
        assert_int_equal(q.ttl, 300);
        assert_int_equal(a->questions, i);
    }
    fails(a);
    assert_int_equal(sim_answer_to("www.example").rcode, PV_SERVFAIL);
    a->opening = SIM_REFUSES;
    sim_close_all(a);
    assert_failed(sim_answer_to("www.example"), PRIVY_EUNREACHABLE);
}

/* AD goes to those who ask, if it is from one that may be believed [RFC 6840 §5.8]. */
static void ad_only_from_the_trusted(void **state)
{
    (void)state;
    static const struct {
        bool trust, plain;
        uint16_t flags;
        bool dnssec_ok, ad;
    } rows[] = {
        {false, false, PV_AD, false, false}, {true, false, PV_AD, false, true},
        {true, false, 0, true, true},        {true, false, 0, false, false},
        {true, true, PV_AD, true, false},
    };
    uint8_t wire[512];
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        sim_end(state);
        begin(state);
        sim.pool.pool_options.trust_ad = rows[i].trust;
        a->datagram = rows[i].plain;
        a->answer.ad = true;
        sim_start(a, NULL);
        for (unsigned k = 0; k < 2; k++) { /* from the upstream, from the cache */
            struct sim_asker q = {0};
            sim_exchange(
                &q, wire,
                sim_query(wire, 1, "www.example", PV_T_A, PV_RD | rows[i].flags, rows[i].dnssec_ok),
                NULL);
            sim_run(1 * S);
            assert_int_equal(q.facts.cached, k);
            assert_int_equal((q.flags & PV_AD) != 0, rows[i].ad);
        }
        assert_true(pv_get16(a->log[0].bytes + 2) & PV_AD); /* always asked for */
    }
}

/* ---- whoever reads what is kept leaves it as it is ---- */

static uint64_t sum_of(struct pv_entry *e)
{
    uint64_t sums[2] = {
        pv_hash(e->data, e->ttl_count * sizeof(uint16_t) + e->length),
        pv_hash(&e->stored, offsetof(struct pv_entry, data) - offsetof(struct pv_entry, stored))};
    return pv_hash(sums, sizeof sums);
}

static struct pv_entry *kept(const char *name)
{
    struct pv_question q = {.type = PV_T_A, .rrclass = PV_C_IN};
    struct pv_key key;
    size_t length;
    assert_true(pv_name_from_text(name, strlen(name), q.name, &length));
    q.name_length = (uint8_t)length;
    pv_key_make(&key, &q, 0, pv_pool_hash(sim.set, NULL));
    struct pv_entry *e = pv_cache_get(sim.cache, &key);
    assert_non_null(e);
    return e;
}

static void ask_in_all_ways(const char *const names[], size_t count)
{
    static const uint16_t flags[] = {PV_RD, 0, PV_RD | PV_AD};
    uint8_t wire[512], reply[512];
    for (size_t i = 0; i < count * 3; i++) {
        struct sim_asker q = {0};
        struct privy_facts facts;
        size_t written = 0;
        size_t length =
            sim_query(wire, (uint16_t)(i + 7), names[i / 3], PV_T_A, flags[i % 3], false);
        sim_exchange(&q, wire, length, NULL);
        sim_run(2 * S);
        assert_int_equal(q.calls, 1);
        if (privy_try(sim.resolver, wire, length, reply, sizeof reply, &written, &facts) ==
            PRIVY_OK)
            memset(reply, 0xff, sizeof reply);
    }
}

static void R12_nothing_of_it_changes(void **state)
{
    (void)state;
    static const char *const names[] = {"www.example", "WWW.example", "wWw.ExAmPlE"};
    a->answer.ad = true;
    sim.pool.pool_options.trust_ad = true;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    struct pv_entry *e = kept("www.example");
    uint64_t sum = sum_of(e);
    ask_in_all_ways(names, 3); /* fresh */
    assert_true(sum == sum_of(e));
    a->answer.deed = SIM_SILENT;
    sim_run(310 * S);
    ask_in_all_ways(names, 3); /* stale */
    assert_true(stats().stale > 0);
    assert_true(sum == sum_of(e));
    pv_entry_unref(e);
}

static void spoil(void *arg, enum privy_status status, const struct privy_answer *answer,
                  const struct privy_error *error)
{
    size_t length;
    (void)error;
    assert_int_equal(status, PRIVY_OK);
    const void *wire = privy_answer_wire(answer, &length);
    memset((void *)(uintptr_t)wire, 0xff, length);
    ++*(unsigned *)arg;
}

/* Two who asked at once, then one from the cache: the others spoil their copies. */
static void R12_each_asker_has_a_copy(void **state)
{
    (void)state;
    unsigned spoilt = 0;
    struct sim_asker q = {0};
    sim_start(a, NULL);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            privy_query(sim.resolver, "www.example", PV_T_A, NULL, NULL, spoil, &spoilt, NULL),
            PRIVY_OK);
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    assert_answered(q, "a");
    assert_int_equal(q.ttl, 300);
    assert_int_equal(
        privy_query(sim.resolver, "www.example", PV_T_A, NULL, NULL, spoil, &spoilt, NULL),
        PRIVY_OK);
    sim_run(1 * S);
    assert_int_equal(spoilt, 3);
    q = sim_answer_to("www.example");
    assert_true(q.facts.cached);
    assert_int_equal(q.rcode, 0);
    assert_int_equal(pv_get32(q.wire + q.length - 4), 0xC0000201);
}

/* ---- failures [RFC 9520] ---- */

static void R5_outage_is_kept_for_a_second(void **state)
{
    (void)state;
    a->opening = SIM_REFUSES;
    sim_start(a, NULL);
    for (unsigned i = 0; i < 4; i++) { /* it does not grow */
        assert_failed(sim_answer_to("www.example"), PRIVY_EUNREACHABLE);
        struct sim_asker q = sim_answer_to("www.example");
        assert_int_equal(q.status, PRIVY_OK);
        assert_int_equal(q.rcode, PV_SERVFAIL);
        assert_true(q.facts.failure && q.facts.cached);
        assert_took(q, 0, 1 * MS);
        sim_run(1010 * MS);
    }
}

static void R5_servfail_is_kept_and_doubles(void **state)
{
    (void)state;
    static const unsigned seconds[] = {5, 10, 20, 40, 60, 60};
    sim_start(a, NULL);
    fails(a);
    for (unsigned i = 0; i < 6; i++) {
        struct sim_asker q = sim_answer_to("www.example");
        assert_string_equal(q.upstream, "a");
        assert_int_equal(a->questions, i + 1);
        sim.now = (sim.now / S + seconds[i]) * S - 1 * MS;
        q = sim_answer_to("www.example");
        assert_true(q.facts.failure);
        assert_int_equal(a->questions, i + 1);
        sim_run(1 * MS);
    }
    a->answer.deed = SIM_ANSWERS;
    a->answer.ttl = 1;
    a->answer.rcode = 0;
    assert_answered(sim_answer_to("www.example"), "a");
    privy_cache_flush(sim.cache);
    fails(a);
    sim_answer_to("www.example");
    sim_run(5 * S);
    assert_false(sim_answer_to("www.example").facts.cached); /* from 5 s on again */
}

/* Where nothing stale may be given, an old answer does not keep a failure out. */
static void R5_failures_without_stale(void **state)
{
    (void)state;
    sim.cache_options.stale = 0;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(301 * S);
    fails(a);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(sim_answer_to("www.example").rcode, PV_SERVFAIL);
    assert_int_equal(a->questions, 2);
    a->opening = SIM_REFUSES;
    sim_close_all(a);
    sim_run(10 * S);
    assert_failed(sim_answer_to("www.example"), PRIVY_EUNREACHABLE);
    assert_true(sim_answer_to("www.example").facts.failure);
}

/* ---- stale [RFC 8767] ---- */

static void R10_stale_after_1800_ms(void **state)
{
    (void)state;
    a->answer.ad = true;
    sim.pool.pool_options.trust_ad = true;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(301 * S);
    a->answer.us = 3 * S;
    uint8_t wire[512];
    struct sim_asker q = {0};
    sim_exchange(&q, wire, sim_query(wire, 1, "www.example", PV_T_A, PV_RD | PV_AD, false), NULL);
    sim_run(1790 * MS);
    assert_int_equal(q.calls, 0);
    sim_run(20 * MS);
    assert_int_equal(q.calls, 1);
    assert_int_equal(q.rcode, 0);
    assert_true(q.facts.stale && q.facts.cached);
    assert_int_equal(q.flags & PV_AD, 0);
    assert_int_equal(pv_get32(q.wire + q.length - 10), 30); /* the record's TTL */
    assert_int_equal(privy_resolver_pending(sim.resolver), 0);
    sim_run(1500 * MS); /* the refresh went on */
    struct sim_asker next = sim_answer_to("www.example");
    assert_false(next.facts.stale);
    assert_true(next.facts.cached);
    assert_int_equal(stats().stale, 1);
}

static void R10_fresh_before_that(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(301 * S);
    a->answer.us = 400 * MS;
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "a");
    assert_false(q.facts.stale);
}

static void R10_stale_at_once_when_all_are_down(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_answer_to("R5_denied.example");
    a->opening = SIM_REFUSES;
    sim_close_all(a);
    sim_answer_to("down.example");
    sim_run(301 * S);
    struct sim_asker q = sim_answer_to("www.example");
    assert_true(q.facts.stale);
    assert_took(q, 0, 300 * MS); /* one trial may be under way */
    sim_run(31 * S);
    q = sim_answer_to("www.example");
    assert_true(q.facts.stale);
    assert_took(q, 0, 2 * MS);
}

/* Held for 30 s: given at once, and not asked for. */
static void R10_stale_is_held(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(301 * S);
    a->answer.deed = SIM_SILENT;
    assert_true(sim_answer_to("www.example").facts.stale);
    sim_run(5 * S);
    unsigned before = sim_asked(a, "www.example.");
    for (unsigned i = 0; i < 20; i++) {
        struct sim_asker q = sim_answer_to("www.example");
        assert_true(q.facts.stale);
        assert_took(q, 0, 2 * MS);
        sim_run(1 * S);
    }
    assert_int_equal(sim_asked(a, "www.example."), before);
    sim_run(11 * S);
    sim_answer_to("www.example");
    assert_true(sim_asked(a, "www.example.") > before);
}

static void R10_hold_ends_with_the_outage(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    a->opening = SIM_REFUSES;
    sim_close_all(a);
    sim_run(301 * S);
    assert_true(sim_answer_to("www.example").facts.stale);
    sim_run(2 * S);
    a->opening = SIM_OPENS;
    assert_answered(sim_answer_to("other.example"), "a");
    assert_false(sim_answer_to("www.example").facts.stale);
}

/* SERVFAIL is a failed refresh [RFC 8767 §4]. */
static void R10_stale_rather_than_servfail(void **state)
{
    (void)state;
    sim_start(a, b, NULL);
    sim_answer_to("www.example");
    sim_run(301 * S);
    fails(a);
    fails(b);
    for (unsigned i = 0; i < 3; i++) {
        struct sim_asker q = sim_answer_to("www.example");
        assert_int_equal(q.rcode, 0);
        assert_true(q.facts.stale);
        sim_run(1 * S);
    }
    assert_int_equal(sim_asked(a, "www.example."), 2);
    b->answer.deed = SIM_DENIES; /* final: replaces what was positive */
    b->answer.ttl = 60;
    sim_run(31 * S);
    assert_int_equal(sim_answer_to("www.example").rcode, PV_NXDOMAIN);
    assert_true(sim_answer_to("www.example").facts.cached);
}

static void R10_stale_denial(void **state)
{
    (void)state;
    a->answer.deed = SIM_DENIES;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(100 * S);
    a->answer.deed = SIM_SILENT;
    struct sim_asker q = sim_answer_to("www.example");
    assert_int_equal(q.rcode, PV_NXDOMAIN);
    assert_true(q.facts.stale);
}

static void R10_too_old_to_be_stale(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(86400 * S + 301 * S);
    a->opening = SIM_REFUSES;
    assert_failed(sim_answer_to("www.example"), PRIVY_EUNREACHABLE);
}

/* What the asker wanted unchecked may be false: it ends with its TTL. */
/* The machine sleeps while the question is open. */
static void too_old_by_the_time_it_is_given(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    sim.cache_options.stale = 60000;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(310 * S);
    a->answer.deed = SIM_SILENT;
    sim_ask(&q, "www.example");
    sim_run(1 * S);
    sim.slept += 100;
    sim_run(5 * S);
    assert_failed(q, PRIVY_ETIMEOUT);
}

static void R10_never_stale_where_cd_is_set(void **state)
{
    (void)state;
    uint8_t wire[512];
    struct sim_asker q[3] = {0};
    sim_start(a, NULL);
    size_t length = sim_query(wire, 1, "www.example", PV_T_A, PV_RD | PV_CD, false);
    sim_exchange(&q[0], wire, length, NULL);
    sim_run(301 * S);
    assert_answered(q[0], "a");
    a->opening = SIM_REFUSES;
    sim_close_all(a);
    for (unsigned i = 1; i < 3; i++) {
        sim_exchange(&q[i], wire, length, NULL);
        sim_run(i == 1 ? 4600 * MS : 1 * MS);
        assert_true(q[i].status != PRIVY_OK || q[i].rcode == PV_SERVFAIL);
        assert_false(q[i].facts.stale);
    }
    assert_true(q[2].facts.failure); /* kept, as for any other question */
}

/* Who joins a refresh that goes on for nobody waits for his own deadline, not for its end. */
static void joining_a_refresh(void **state)
{
    (void)state;
    struct sim_asker q = {0}, late = {0};
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(301 * S);
    a->answer.deed = SIM_SILENT;
    sim_ask(&q, "www.example");
    sim_run(4 * S);
    assert_true(q.facts.stale);
    privy_cache_flush(sim.cache);
    sim_ask(&late, "www.example");
    sim_run(600 * MS); /* the refresh's time is up */
    assert_int_equal(late.calls, 0);
    a->answer.deed = SIM_ANSWERS;
    sim_run(20 * S);
    assert_int_equal(late.calls, 1);
    assert_took(late, 500 * MS, 4502 * MS);
}

/* ---- prefetch ---- */

static enum privy_status try_now(const char *name, uint32_t *ret_ttl)
{
    uint8_t wire[512], reply[512];
    size_t length = sim_query(wire, 77, name, PV_T_A, PV_RD, false), written = 0;
    struct privy_facts facts = {0};
    enum privy_status status =
        privy_try(sim.resolver, wire, length, reply, sizeof reply, &written, &facts);
    if (status != PRIVY_OK)
        return status;
    assert_int_equal(pv_get16(reply), 77);
    *ret_ttl = pv_get32(reply + written - 10);
    return status;
}

static void now_or_never(void **state)
{
    (void)state;
    uint32_t ttl;
    sim_start(a, NULL);
    assert_int_equal(try_now("www.example", &ttl), PRIVY_EMISS);
    sim_answer_to("www.example");
    sim_run(100 * S);
    assert_int_equal(try_now("WWW.example", &ttl), PRIVY_OK);
    assert_int_equal(ttl, 200);
    sim_run(201 * S);
    assert_int_equal(try_now("www.example", &ttl), PRIVY_EMISS);
    assert_int_equal(a->questions, 1);
}

static void prefetched_once(void **state)
{
    (void)state;
    uint32_t ttl;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(269 * S);
    assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    sim_run(1 * S);
    assert_int_equal(a->questions, 1);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    assert_int_equal(ttl, 30);
    sim_run(1 * S);
    assert_int_equal(a->questions, 2);
    assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    assert_true(ttl >= 299);
}

static void prefetched_by_privy_query_too(void **state)
{
    (void)state;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(275 * S);
    assert_true(sim_answer_to("www.example").facts.cached);
    sim_run(1 * S);
    assert_int_equal(a->questions, 2);
}

static void short_lives_are_not_prefetched(void **state)
{
    (void)state;
    uint32_t ttl;
    a->answer.ttl = 59;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(57 * S);
    assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    sim_run(1 * S);
    assert_int_equal(a->questions, 1);
}

static void failed_prefetch_is_silent(void **state)
{
    (void)state;
    uint32_t ttl;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(280 * S);
    fails(a);
    assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    sim_run(1 * S);
    assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    sim_run(25 * S);
    a->answer = b->answer;
    struct sim_asker q = sim_answer_to("www.example");
    assert_answered(q, "a"); /* not held as stale for that */
    assert_false(q.facts.stale);
}

/* Expired while it is prefetched: who asks then has the stale answer to fall back on, and his own
 * time. */
static void joining_a_prefetch(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    uint32_t ttl;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(299 * S);
    a->answer.deed = SIM_SILENT;
    assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    sim_run(1100 * MS);
    sim_ask(&q, "www.example");
    sim_run(20 * S);
    assert_int_equal(q.calls, 1);
    assert_true(q.facts.stale);
    assert_took(q, 1700 * MS, 1900 * MS);
}

static void joining_a_prefetch_without_stale(void **state)
{
    (void)state;
    struct sim_asker q = {0};
    uint32_t ttl;
    sim.cache_options.stale = 0;
    sim_start(a, NULL);
    sim_answer_to("www.example");
    sim_run(299 * S);
    a->answer.deed = SIM_SILENT;
    assert_int_equal(try_now("www.example", &ttl), PRIVY_OK);
    sim_run(1100 * MS);
    sim_ask(&q, "www.example");
    sim_run(20 * S);
    assert_failed(q, PRIVY_ETIMEOUT);
    assert_took(q, 4490 * MS, 4502 * MS);
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, sim_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ages_and_expires),
        T(age_on_arrival),
        T(ages_in_sleep),
        T(R5_ttl_0),
        T(R5_what_is_never_kept),
        T(R5_denied),
        T(no_cache),
        T(ad_only_from_the_trusted),
        T(R12_nothing_of_it_changes),
        T(R12_each_asker_has_a_copy),
        T(R5_outage_is_kept_for_a_second),
        T(R5_servfail_is_kept_and_doubles),
        T(R5_failures_without_stale),
        T(R10_stale_after_1800_ms),
        T(R10_fresh_before_that),
        T(R10_stale_at_once_when_all_are_down),
        T(R10_stale_is_held),
        T(R10_hold_ends_with_the_outage),
        T(R10_stale_rather_than_servfail),
        T(R10_stale_denial),
        T(R10_too_old_to_be_stale),
        T(too_old_by_the_time_it_is_given),
        T(R10_never_stale_where_cd_is_set),
        T(joining_a_refresh),
        T(now_or_never),
        T(prefetched_once),
        T(prefetched_by_privy_query_too),
        T(short_lives_are_not_prefetched),
        T(failed_prefetch_is_silent),
        T(joining_a_prefetch),
        T(joining_a_prefetch_without_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
