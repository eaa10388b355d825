#include "unit.h"

#include <malloc.h>
#include <pthread.h>

#include "base/random.h"
#include "cached.h"
#include "vectors.h"

enum { POOL = 1, MIB = 1024 * 1024, KIB = 1024 };

static struct privy_cache_stats stats(struct privy_cache *c)
{
    struct privy_cache_stats s = {.size = sizeof s};
    privy_cache_stats(c, &s);
    return s;
}

static void put(struct privy_cache *c, unsigned number, uint16_t rdata, uint32_t ttl, uint64_t now)
{
    struct pv_key key;
    cached_key(&key, number, POOL);
    struct pv_entry *e = cached_entry(&key, number, rdata, ttl, now);
    assert_non_null(e);
    pv_cache_put(c, e);
}

static struct pv_entry *get(struct privy_cache *c, unsigned number)
{
    struct pv_key key;
    cached_key(&key, number, POOL);
    return pv_cache_get(c, &key);
}

/* Is it there, and unharmed? */
static bool has(struct privy_cache *c, unsigned number, uint16_t rdata)
{
    struct pv_entry *e = get(c, number);
    if (e)
        assert_true(cached_is(e, number, rdata));
    pv_entry_unref(e);
    return e != NULL;
}

/* ---- entries ---- */

static struct pv_entry *entry_of(struct bytes message, uint32_t ttl_most, struct pv_key *ret_key)
{
    struct pv_reader r = pv_reader(message.at, message.length);
    struct pv_question q = {.name_length = 0};
    struct pv_reply reply;
    const char *why = "";

    pv_header_read(&r);
    q.name_length = (uint8_t)pv_name_read_plain(&r, q.name);
    pv_name_lower(q.name, q.name_length);
    q.type = pv_u16(&r);
    q.rrclass = pv_u16(&r);
    if (!pv_reply_check(message.at, message.length, &q, -1, &reply, &why))
        fail_msg("%s", why);
    pv_key_make(ret_key, &q, 0, POOL);
    return pv_entry_new(ret_key, message.at, &reply, reply.ttl < ttl_most ? reply.ttl : ttl_most,
                        5000);
}

/* The vectors keep id and OPT (their last 11 octets); entries keep neither. */
static void ttl_to_the_second(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ttl_vectors / sizeof *ttl_vectors; i++) {
        const struct ttl_vector *v = &ttl_vectors[i];
        uint8_t out[512], expect[512];
        struct pv_key key;
        struct pv_entry *e = entry_of(v->stored, 86400, &key);
        uint64_t now = 5000 + v->age;

        assert_int_equal(e->ttl, 300);
        assert_int_equal(pv_entry_fresh(e, now), v->expect.at && !v->stale);
        assert_int_equal(pv_entry_left(e, now), v->age < 300 ? 300 - v->age : 0);
        assert_int_equal(pv_entry_write(e, now, out, e->length - 1u), 0);
        assert_int_equal(pv_entry_write(e, now, out, sizeof out), e->length);
        if (v->expect.at) {
            size_t length = v->expect.length - 11;
            memcpy(expect, v->expect.at, length);
            pv_put16(expect, 0);
            expect[11]--;
            assert_int_equal(e->length, length);
            assert_memory_equal(out, expect, length);
        }
        pv_entry_unref(e);
    }
}

static void ttl_of(uint32_t ttl, uint32_t most, uint32_t age, uint32_t expect)
{
    uint8_t message[] = {0, 7, 0x81, 0xa0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 'A', 0,   0, 1, 0,
                         1, 1, 'a',  0,    0, 1, 0, 1, 0, 0, 0, 0, 0, 4,   192, 0, 2, 1};
    uint8_t out[sizeof message];
    struct pv_key key;

    pv_put32(message + 26, ttl);
    struct pv_entry *e = entry_of((struct bytes){message, sizeof message}, most, &key);
    assert_int_equal(pv_entry_write(e, 5000 + age, out, sizeof out), sizeof message);
    assert_int_equal(pv_get32(out + 26), expect);
    assert_int_equal(pv_get16(out), 0);
    assert_int_equal(out[13], 'a');                    /* the question in lower case */
    assert_int_equal(!(out[3] & PV_AD), expect == 30); /* nobody vouches for stale data */
    assert_memory_equal(pv_entry_name(e), "\1a\0", 3);
    assert_true(pv_entry_has_key(e, &key));
    pv_entry_unref(e);
}

static void ttl_is_cut_to_the_cap(void **state)
{
    (void)state;
    ttl_of(300, 86400, 0, 300);
    ttl_of(300, 60, 0, 60);
    ttl_of(300, 60, 59, 1);
    ttl_of(604801, 86400, 1, 86399);
    ttl_of(0x80000001, 86400, 0, 86400);
    ttl_of(604800, 604800, 0, 604800);
    ttl_of(300, 86400, 300, 30);
    ttl_of(300, 0, 0, 300); /* not to be stored: for those who ask now */
    ttl_of(0, 86400, 0, 0);
}

static void R5_every_part_of_the_key_counts(void **state)
{
    (void)state;
    struct pv_question q = {.name = "\1a", .name_length = 3, .type = 1, .rrclass = 1};
    struct pv_question other[] = {q, q, q, q};
    struct pv_key key, keys[7];

    other[0].name[1] = 'b';
    other[1].type = 28;
    other[2].rrclass = 3;
    memcpy(other[3].name, "\1a\1b", 5);
    other[3].name_length = 5;
    pv_key_make(&key, &q, 0, POOL);
    for (unsigned i = 0; i < 4; i++)
        pv_key_make(&keys[i], &other[i], 0, POOL);
    pv_key_make(&keys[4], &q, PV_KEY_DO, POOL);
    pv_key_make(&keys[5], &q, PV_KEY_CD, POOL);
    pv_key_make(&keys[6], &q, 0, POOL + 1);

    struct pv_entry *e = pv_entry_new_failure(&key, 1, 0);
    assert_true(pv_entry_has_key(e, &key));
    assert_true(pv_key_equal(&key, &key));
    for (unsigned i = 0; i < 7; i++) {
        assert_false(pv_entry_has_key(e, &keys[i]));
        assert_true(keys[i].hash != key.hash);
        assert_false(pv_key_equal(&keys[i], &key));
        keys[i].hash = key.hash; /* as it may happen once in the life of the universe */
        assert_false(pv_key_equal(&keys[i], &key));
    }
    pv_entry_unref(e);
}

/* ---- the store ---- */

static void keeps_replaces_flushes(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(MIB);

    assert_false(has(c, 1, 10));
    put(c, 1, 10, 300, 0);
    put(c, 2, 20, 300, 0);
    assert_true(has(c, 1, 10));
    struct pv_entry *old = get(c, 1);
    put(c, 1, 30, 300, 1);
    assert_true(has(c, 1, 30));
    assert_true(cached_is(old, 1, 10)); /* who holds it still has it, unchanged */
    assert_int_equal(stats(c).entries, 2);
    privy_cache_flush(c);
    assert_false(has(c, 1, 30));
    assert_int_equal(stats(c).entries, 0);
    assert_int_equal(stats(c).bytes, 0);
    assert_true(cached_is(old, 1, 10));
    put(c, 3, 10, 300, 2);
    privy_cache_unref(privy_cache_ref(c));
    assert_true(has(c, 3, 10));
    privy_cache_unref(c);
    pv_entry_unref(old);
}

static void counts(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(MIB);

    pv_cache_count(c, PV_LOOKUP_HIT);
    pv_cache_count(c, PV_LOOKUP_HIT);
    pv_cache_count(c, PV_LOOKUP_MISS);
    pv_cache_count(c, PV_LOOKUP_STALE);
    assert_int_equal(stats(c).hits, 2);
    assert_int_equal(stats(c).misses, 1);
    assert_int_equal(stats(c).stale, 1);
    assert_int_equal(pv_cache_options(c)->size, MIB);
    privy_cache_unref(c);

    c = privy_cache_new(NULL);
    assert_int_equal(pv_cache_options(c)->size, 32 * MIB);
    assert_int_equal(pv_cache_options(c)->failure_ttl, 5000);
    privy_cache_unref(c);
}

/* What is counted is what the process grows by. (malloc itself keeps a little for
 * each size of its own; under sanitizers mallinfo2 tells nothing.) */
static void R1_bounded_in_octets(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {64 * KIB, 256 * KIB, MIB, 8 * MIB};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t before = mallinfo2().uordblks;
        struct privy_cache *c = cached_new(sizes[i]);
        for (unsigned n = 0; n < 40000; n++)
            put(c, n, (uint16_t)pv_random_below(n % 100 ? 400 : 20000), 300, 0);
        struct privy_cache_stats s = stats(c);
        assert_true(s.bytes <= sizes[i]);
        assert_true(s.bytes >= sizes[i] / 10 * 8); /* and it is used */
        assert_true(s.evictions > 0);
        size_t grown = mallinfo2().uordblks - before;
        assert_true(grown <= sizes[i] + sizes[i] / 20 + 128 * KIB);
        privy_cache_unref(c);
    }
}

static void bytes_are_the_sum_of_the_entries(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(256 * KIB);
    uint64_t sum = 0, count = 0;

    for (unsigned n = 0; n < 3000; n++)
        put(c, n, (uint16_t)(n % 700), 300, 0);
    for (unsigned n = 0; n < 3000; n++) {
        struct pv_entry *e = get(c, n);
        sum += e ? cached_cost(e) : 0;
        count += e != NULL;
        pv_entry_unref(e);
    }
    assert_int_equal(stats(c).bytes, sum);
    assert_int_equal(stats(c).entries, count);
    privy_cache_unref(c);
}

static void large_answers(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(32 * MIB), *small = cached_new(64 * KIB),
                       *none = cached_new(0);

    put(c, 1, 65000, 300, 0);
    assert_true(has(c, 1, 65000));
    put(small, 1, 10, 300, 0);
    put(small, 2, 60000, 300, 0);
    assert_false(has(small, 2, 60000)); /* it would be nearly all there is */
    assert_true(has(small, 1, 10));
    put(small, 1, 60000, 300, 0);
    assert_false(has(small, 1, 10)); /* the old answer is not right any more */
    put(none, 1, 10, 300, 0);
    assert_false(has(none, 1, 10));
    assert_int_equal(stats(none).bytes, 0);
    privy_cache_unref(c);
    privy_cache_unref(small);
    privy_cache_unref(none);
}

/* Random names, each asked once, a hundred for each question that matters. */
static void R1_a_flood_does_not_flush_the_hot_set(void **state)
{
    (void)state;
    enum { HOT = 1000, ROUNDS = 20, FLOOD = 20 };
    struct privy_cache *c = cached_new(MIB);
    unsigned asked = 0, hit = 0, flood = 10000;

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned n = 0; n < HOT; n++) {
            bool found = has(c, n, 60);
            if (!found)
                put(c, n, 60, 300, 0);
            asked += round > 1;
            hit += round > 1 && found;
            /* the hot set is asked twice before the flood comes */
            for (unsigned i = 0; round > 1 && i < FLOOD; i++)
                put(c, flood++, 60, 300, 0);
        }
    assert_true(stats(c).evictions > 100000);
    assert_true(hit * 10 >= asked * 9);
    privy_cache_unref(c);
}

/* And a hot set that comes while the flood is on gets in, too. */
static void R1_a_flood_does_not_keep_the_hot_set_out(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(MIB);
    unsigned flood = 10000, hit = 0;

    for (unsigned round = 0; round < 50; round++)
        for (unsigned n = 0; n < 100; n++) {
            bool found = has(c, n, 60);
            if (!found)
                put(c, n, 60, 300, 0);
            hit += round >= 5 && found;
            for (unsigned i = 0; i < 20; i++)
                put(c, flood++, 60, 300, 0);
        }
    assert_true(hit * 10 >= 45 * 100 * 9);
    privy_cache_unref(c);
}

static void expired_ones_go_first(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(64 * KIB);

    put(c, 0, 100, 300, 0);
    put(c, 1, 100, 10, 0);
    for (unsigned n = 2; stats(c).evictions == 0; n++)
        put(c, n, 100, 300, 20);
    assert_true(has(c, 0, 100)); /* older, but still good */
    assert_false(has(c, 1, 100));
    privy_cache_unref(c);
}

/* ---- names chosen by a stranger ---- */

static uint32_t crc32_of(uint32_t state, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        state ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? 0xEDB88320 : 0);
    }
    return state;
}

static uint32_t fnv1a_of(uint32_t state, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        state = (state ^ bytes[i]) * 16777619;
    return state;
}

enum { LABEL = 17, LABELS = 10, COLLIDING = 1 << LABELS, TRIED = 1 << 17 };

/* CRCs are linear: two of few labels in order never collide, two of many at random do. */
static void label_of(uint32_t number, uint8_t label[LABEL])
{
    uint64_t z = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z ^= z >> 27;
    label[0] = LABEL - 1;
    for (unsigned i = 1; i < LABEL; i++, z >>= 4)
        label[i] = (uint8_t)('a' + (z & 15));
}

struct guess {
    uint32_t state, number;
};

static int by_state(const void *a, const void *b)
{
    const struct guess *x = a, *y = b;
    return (x->state > y->state) - (x->state < y->state);
}

/* Two labels after which a hash that is in this state is in the same one again; returns that. */
static uint32_t find_pair(uint32_t (*hash)(uint32_t, const uint8_t *, size_t), uint32_t state,
                          uint8_t pair[2][LABEL])
{
    struct guess *guesses = malloc(TRIED * sizeof *guesses);
    unsigned found = 0;

    for (uint32_t first = 0; !found; first += TRIED) {
        for (unsigned i = 0; i < TRIED; i++) {
            label_of(first + i, pair[0]);
            guesses[i] = (struct guess){hash(state, pair[0], LABEL), first + i};
        }
        qsort(guesses, TRIED, sizeof *guesses, by_state);
        for (unsigned i = 1; i < TRIED && !found; i++)
            found = guesses[i].state == guesses[i - 1].state ? i : 0;
    }
    label_of(guesses[found - 1].number, pair[0]);
    label_of(guesses[found].number, pair[1]);
    state = guesses[found].state;
    free(guesses);
    return state;
}

static size_t longest_chain(const struct pv_map *map)
{
    size_t longest = 0;

    for (size_t i = 0; i <= map->mask; i++) {
        size_t n = 0;
        for (const struct pv_map_node *node = map->buckets[i]; node; node = node->next)
            n++;
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Either label of each pair: 1024 names, one hash, whatever stands behind them. */
static void insert_colliding(struct pv_map *map, struct pv_map_node *nodes,
                             uint32_t (*hash)(uint32_t, const uint8_t *, size_t), uint32_t begin)
{
    uint8_t pairs[LABELS][2][LABEL];
    uint32_t end = begin;

    for (unsigned i = 0; i < LABELS; i++)
        end = find_pair(hash, end, pairs[i]);
    for (unsigned n = 0; n < COLLIDING; n++) {
        struct pv_question q = {.type = PV_T_A, .rrclass = PV_C_IN};
        struct pv_key key;
        for (unsigned i = 0; i < LABELS; i++)
            memcpy(q.name + i * LABEL, pairs[i][n >> i & 1], LABEL);
        q.name_length = LABELS * LABEL + 1;
        assert_int_equal(hash(begin, q.name, LABELS * LABEL), end);
        pv_key_make(&key, &q, 0, POOL);
        nodes[n].hash = key.hash;
        pv_map_insert(map, &nodes[n]);
    }
}

/* Names that collide under the hashes others have used find no long chain here. */
static void R2_colliding_names(void **state)
{
    (void)state;
    static struct pv_map_node nodes[2][COLLIDING];
    struct pv_map map;

    assert_true(pv_map_init(&map, 0));
    insert_colliding(&map, nodes[0], crc32_of, 0xFFFFFFFF);
    insert_colliding(&map, nodes[1], fnv1a_of, 2166136261);
    assert_in_range(longest_chain(&map), 1, 16);
    pv_map_done(&map);
}

static void R2_a_million_names(void **state)
{
    (void)state;
    enum { NAMES = 1000000 };
    struct pv_map_node *nodes = malloc(NAMES * sizeof *nodes);
    struct pv_map map;

    assert_true(pv_map_init(&map, 0));
    for (unsigned n = 0; n < NAMES; n++) {
        struct pv_key key;
        cached_key(&key, n, POOL);
        nodes[n].hash = key.hash;
        pv_map_insert(&map, &nodes[n]);
    }
    assert_in_range(longest_chain(&map), 1, 16);
    pv_map_done(&map);
    free(nodes);
}

/* A server may refuse with no more than a header. */
static void an_error_without_its_question(void **state)
{
    (void)state;
    static const uint8_t message[] = {0x12, 0x34, 0x81, 0x05, 0, 0, 0, 0, 0, 0, 0, 0};
    uint8_t out[64];
    struct pv_key key;
    struct pv_reply reply;
    const char *why;

    cached_key(&key, 1, POOL);
    struct pv_question q = {.type = key.type, .rrclass = key.rrclass};
    q.name_length = key.name_length;
    memcpy(q.name, key.name, key.name_length);
    assert_true(pv_reply_check(message, sizeof message, &q, 0x1234, &reply, &why));
    struct pv_entry *e = pv_entry_new(&key, message, &reply, 0, 100);
    assert_non_null(e);
    assert_int_equal(pv_entry_write(e, 100, out, sizeof out), PV_HEADER + key.name_length + 4);
    assert_memory_equal(out, "\0\0\x81\x05\0\1\0\0\0\0\0\0", PV_HEADER);
    assert_memory_equal(out + PV_HEADER, key.name, key.name_length);
    pv_entry_unref(e);
}

/* ---- failures ---- */

static void put_failure(struct privy_cache *c, unsigned number, uint64_t pool, uint64_t now)
{
    struct pv_key key;
    cached_key(&key, number, pool);
    pv_cache_put(c, pv_entry_new_failure(&key, 5, now));
}

static bool is_failure(struct privy_cache *c, unsigned number, uint64_t pool)
{
    struct pv_key key;
    cached_key(&key, number, pool);
    struct pv_entry *e = pv_cache_get(c, &key);
    assert_non_null(e);
    bool failure = e->failure;
    pv_entry_unref(e);
    return failure;
}

static void a_failure_is_a_servfail(void **state)
{
    (void)state;
    struct pv_key key;
    uint8_t out[64];

    cached_key(&key, 1, POOL);
    struct pv_entry *e = pv_entry_new_failure(&key, 5, 100);
    size_t length = pv_entry_write(e, 101, out, sizeof out);
    assert_int_equal(length, PV_HEADER + key.name_length + 4);
    struct pv_reader r = pv_reader(out, length);
    struct pv_header h = pv_header_read(&r);
    assert_int_equal(h.flags, PV_QR | PV_RD | PV_RA | PV_SERVFAIL);
    assert_int_equal(h.qdcount, 1);
    assert_int_equal(h.ancount + h.nscount + h.arcount, 0);
    assert_memory_equal(out + PV_HEADER, key.name, key.name_length);
    assert_int_equal(pv_get16(out + length - 4), PV_T_TXT);
    assert_int_equal(pv_get16(out + length - 2), PV_C_IN);
    assert_true(pv_entry_fresh(e, 104));
    assert_false(pv_entry_fresh(e, 105));
    pv_entry_unref(e);
}

static void failures_and_answers(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(MIB);

    put(c, 1, 10, 300, 1000);
    put_failure(c, 1, POOL, 1400);
    assert_true(has(c, 1, 10)); /* stale, it is still worth more than a failure */
    put_failure(c, 1, POOL, 1000 + 300 + 86400);
    assert_true(is_failure(c, 1, POOL)); /* too old to be given */
    put(c, 1, 20, 300, 100000);
    assert_true(has(c, 1, 20)); /* a good answer replaces a failure */
    privy_cache_unref(c);
}

/* ---- threads ---- */

static void *hammer(void *cache)
{
    struct privy_cache *c = cache;
    size_t harmed = 0;

    for (unsigned i = 0; i < 20000; i++) {
        unsigned n = pv_random_below(800);
        struct pv_key key;
        cached_key(&key, n, POOL);
        struct pv_entry *e = pv_cache_get(c, &key);
        if (e)
            harmed += !cached_is(e, n, (uint16_t)(n % 300));
        else
            pv_cache_put(c, cached_entry(&key, n, (uint16_t)(n % 300), 300, 0));
        pv_entry_unref(e);
        pv_cache_count(c, e ? PV_LOOKUP_HIT : PV_LOOKUP_MISS);
        if (i % 5000 == 4999)
            privy_cache_flush(c);
    }
    return (void *)harmed;
}

static void R11_many_threads(void **state)
{
    (void)state;
    struct privy_cache *c = cached_new(64 * KIB);
    pthread_t threads[4];

    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, c), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *harmed;
        pthread_join(threads[i], &harmed);
        assert_null(harmed);
    }
    assert_int_equal(stats(c).hits + stats(c).misses, 80000);
    assert_true(stats(c).bytes <= 64 * KIB);
    privy_cache_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ttl_to_the_second),
        cmocka_unit_test(ttl_is_cut_to_the_cap),
        cmocka_unit_test(R5_every_part_of_the_key_counts),
        cmocka_unit_test(keeps_replaces_flushes),
        cmocka_unit_test(counts),
        cmocka_unit_test(R1_bounded_in_octets),
        cmocka_unit_test(bytes_are_the_sum_of_the_entries),
        cmocka_unit_test(large_answers),
        cmocka_unit_test(R1_a_flood_does_not_flush_the_hot_set),
        cmocka_unit_test(R1_a_flood_does_not_keep_the_hot_set_out),
        cmocka_unit_test(expired_ones_go_first),
        cmocka_unit_test(R2_colliding_names),
        cmocka_unit_test(R2_a_million_names),
        cmocka_unit_test(an_error_without_its_question),
        cmocka_unit_test(a_failure_is_a_servfail),
        cmocka_unit_test(failures_and_answers),
        cmocka_unit_test(R11_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
