#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "base/random.h"

struct item {
    struct pv_map_node node;
    unsigned key;
};

static bool item_equal(const struct pv_map_node *node, const void *key)
{
    return ((const struct item *)(const void *)node)->key == *(const unsigned *)key;
}

static struct pv_map_node *find(const struct pv_map *map, unsigned key)
{
    return pv_map_find(map, pv_hash(&key, sizeof key), item_equal, &key);
}

static void finds_what_was_inserted(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct item *items = calloc(N, sizeof *items);
    struct pv_map map;
    assert_true(pv_map_init(&map, 0));
    for (unsigned i = 0; i < N; i++) {
        items[i].key = i;
        items[i].node.hash = pv_hash(&i, sizeof i);
        assert_null(find(&map, i));
        pv_map_insert(&map, &items[i].node);
    }
    assert_int_equal(map.count, N);
    assert_true(map.mask + 1 >= N); /* it grew */
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(find(&map, i), &items[i].node);
    for (unsigned i = 0; i < N; i += 2)
        pv_map_remove(&map, &items[i].node);
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(find(&map, i), i % 2 ? &items[i].node : NULL);
    assert_int_equal(map.count, N / 2);
    pv_map_done(&map);
    assert_null(find(&map, 1));
    free(items);
}

static void equal_hashes_are_told_apart(void **state)
{
    (void)state;
    struct item a = {.node.hash = 1, .key = 10}, b = {.node.hash = 1, .key = 20};
    struct pv_map map;
    assert_true(pv_map_init(&map, 16));
    pv_map_insert(&map, &a.node);
    pv_map_insert(&map, &b.node);
    assert_ptr_equal(pv_map_find(&map, 1, item_equal, &a.key), &a.node);
    assert_ptr_equal(pv_map_find(&map, 1, item_equal, &b.key), &b.node);
    pv_map_remove(&map, &a.node);
    assert_null(pv_map_find(&map, 1, item_equal, &a.key));
    assert_ptr_equal(pv_map_find(&map, 1, item_equal, &b.key), &b.node);
    pv_map_done(&map);
}

static void hash_depends_on_all_octets(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    uint64_t h = pv_hash(bytes, sizeof bytes);
    assert_true(h == pv_hash(bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = 1;
        assert_true(h != pv_hash(bytes, sizeof bytes));
        bytes[i] = 0;
    }
    assert_true(h != pv_hash(bytes, sizeof bytes - 1));
}

static const char *program;

/* This program again, to print what it makes of the same octets. (The wrapper runs the programs of
 * another machine, in a cross build.) */
static uint64_t hash_of_another_process(void)
{
    char command[600], text[32] = "";
    const char *wrapper = getenv("MESON_EXE_WRAPPER");
    snprintf(command, sizeof command, "%s %s hash", wrapper ? wrapper : "", program);
    FILE *other = popen(command, "r");
    assert_non_null(other);
    assert_non_null(fgets(text, sizeof text, other));
    assert_int_equal(pclose(other), 0);
    return strtoull(text, NULL, 16);
}

/* Who knows where names fall in one process knows nothing of another. */
static void R2_each_process_has_its_own_key(void **state)
{
    (void)state;
    uint64_t h = pv_hash("www.example", 11), other = hash_of_another_process();
    assert_true(h != 0 && other != 0);
    assert_true(h != other);
}

static void seeded_chance_repeats(void **state)
{
    (void)state;
    uint8_t a[100], b[100], c[100];
    pv_random_seed(7);
    pv_random(a, sizeof a);
    pv_random_seed(7);
    pv_random(b, sizeof b);
    assert_memory_equal(a, b, sizeof a);
    pv_random_seed(0);
    pv_random(b, sizeof b);
    pv_random(c, sizeof c);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(b, c, sizeof b);
}

static void below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    unsigned seen[7] = {0};
    for (unsigned i = 0; i < 7000; i++) {
        uint32_t v = pv_random_below(7);
        assert_true(v < 7);
        seen[v]++;
    }
    for (unsigned i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(pv_random_below(1), 0);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "hash") == 0)
        return printf("%" PRIx64 "\n", pv_hash("www.example", 11)) < 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_inserted),
        cmocka_unit_test(equal_hashes_are_told_apart),
        cmocka_unit_test(hash_depends_on_all_octets),
        cmocka_unit_test(R2_each_process_has_its_own_key),
        cmocka_unit_test(seeded_chance_repeats),
        cmocka_unit_test(below_stays_below_and_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
