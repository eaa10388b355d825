/* The memory for client keys of DNSCrypt: guarded, for many at a time, and used again. */
#include "unit.h"

#include <sodium.h>
#include <stdio.h>

#include "proto/dnscrypt/keys.h"

enum { MANY = 2000 };

static unsigned count_mappings(void)
{
    unsigned lines = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;)
        lines += c == '\n';
    fclose(f);
    return lines;
}

/* The kernel has few mappings to give to a process (65530), and a key for each question takes many
 * keys. */
static void many_keys(void **state)
{
    (void)state;
    static struct pv_keys *keys[MANY];
    struct pv_key_store store;
    unsigned before = count_mappings();
    pv_key_store_init(&store);
    for (unsigned i = 0; i < MANY; i++) {
        keys[i] = pv_keys_new(&store);
        assert_non_null(keys[i]);
        memset(&keys[i]->box, (int)(i % 251), sizeof keys[i]->box);
        keys[i]->generation = i;
    }
    assert_true(count_mappings() < before + MANY / 4);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(keys[i]->generation, i); /* none lies where another does */
        assert_int_equal(keys[i]->box.shared[PV_BOX_KEY - 1], i % 251);
    }
    for (unsigned i = 0; i < MANY; i++)
        pv_keys_unref(keys[i * 7 % MANY]); /* in another order */
    assert_true(count_mappings() < before + 10);
    pv_key_store_done(&store);
    assert_true(count_mappings() < before + 10);
}

static void wiped_and_used_again(void **state)
{
    (void)state;
    struct pv_key_store store;
    pv_key_store_init(&store);
    struct pv_keys *stays = pv_keys_new(&store), *k = pv_keys_new(&store);
    memset(&k->box, 0x55, sizeof k->box);
    assert_ptr_equal(pv_keys_ref(k), k);
    pv_keys_unref(k);
    assert_int_equal(k->box.shared[0], 0x55); /* somebody has it yet */
    pv_keys_unref(k);
    assert_true(sodium_is_zero((const uint8_t *)&k->box, sizeof k->box));
    assert_ptr_equal(pv_keys_new(&store), k);
    pv_keys_unref(k);
    pv_keys_unref(stays);
    pv_keys_unref(NULL);
    pv_key_store_done(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys),
        cmocka_unit_test(wiped_and_used_again),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
