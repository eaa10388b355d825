/* Memory runs out in the cache: what cannot be kept is not, what is there stays there. */
#include "unit.h"

#include "cached.h"
#include "scarce.h"

static void no_cache(void **state)
{
    (void)state;
    unsigned n = 0, count;
    do {
        scarce_begin(++n, 1);
        struct privy_cache *c = cached_new(8 << 20);
        count = scarce_end();
        assert_int_equal(c == NULL, count >= n);
        privy_cache_unref(c);
    } while (count >= n);
    assert_true(n > 10); /* so many places there are */
}

static struct pv_entry *entry(unsigned number)
{
    struct pv_key key;
    cached_key(&key, number, 1);
    return cached_entry(&key, number, 40, 300, 0);
}

static bool has(struct privy_cache *c, unsigned number)
{
    struct pv_key key;
    cached_key(&key, number, 1);
    struct pv_entry *e = pv_cache_get(c, &key);
    bool whole = e && cached_is(e, number, 40);
    pv_entry_unref(e);
    return whole;
}

static void no_entry(void **state)
{
    struct pv_key key;
    (void)state;
    unsigned n = 0, count;
    cached_key(&key, 1, 1);
    do {
        scarce_begin(++n, 1);
        struct pv_entry *answer = entry(1), *failure = pv_entry_new_failure(&key, 5, 0);
        count = scarce_end();
        assert_int_equal(!answer || !failure, count >= n);
        pv_entry_unref(answer);
        pv_entry_unref(failure);
    } while (count >= n);
    assert_int_equal(n, 4); /* a scratch copy, two entries, nothing */
}

/* The table cannot grow: it holds more on less, and loses nothing. */
static void no_larger_table(void **state)
{
    enum { ENTRIES = 5000 };
    static struct pv_entry *entries[ENTRIES];
    struct privy_cache *c = cached_new(8 << 20);
    (void)state;
    assert_non_null(c);
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_non_null(entries[i] = entry(i));
    scarce_begin(1, 1000000);
    for (unsigned i = 0; i < ENTRIES; i++)
        pv_cache_put(c, entries[i]);
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_true(has(c, i));
    assert_true(scarce_end() > 0);
    pv_cache_put(c, entry(ENTRIES));
    for (unsigned i = 0; i <= ENTRIES; i++)
        assert_true(has(c, i));
    privy_cache_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cache),
        cmocka_unit_test(no_entry),
        cmocka_unit_test(no_larger_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
