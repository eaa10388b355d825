#include "unit.h"

#include <stdlib.h>

#include "base/random.h"
#include "net/idmap.h"

enum { IDS = 65536 };

/* The model: what stands at each id. 0 free, else live with that number, RESERVED. */
enum { MODEL_RESERVED = -1 };
static int model[IDS];
static int values[IDS];

static uint16_t id_in_use(void)
{
    uint16_t id = (uint16_t)pv_random_below(IDS);
    for (unsigned i = 0; i < IDS; i++, id++)
        if (model[id] != 0)
            break;
    return id;
}

static void model_add(struct pv_idmap *m)
{
    uint16_t id;
    int number = 1 + (int)pv_random_below(IDS - 1);
    assert_true(pv_idmap_add(m, &values[number], &id));
    assert_int_equal(model[id], 0); /* unique among all in use */
    model[id] = number;
}

static void model_take(struct pv_idmap *m, uint16_t id)
{
    bool reserved;
    void *value = pv_idmap_take(m, id, &reserved);
    assert_int_equal(reserved, model[id] == MODEL_RESERVED);
    assert_ptr_equal(value, model[id] > 0 ? &values[model[id]] : NULL);
    model[id] = 0;
    assert_null(pv_idmap_take(m, id, NULL));
}

static void check(const struct pv_idmap *m)
{
    unsigned live = 0, reserved = 0;
    for (unsigned id = 0; id < IDS; id++) {
        live += model[id] > 0;
        reserved += model[id] == MODEL_RESERVED;
        assert_ptr_equal(pv_idmap_find(m, (uint16_t)id), model[id] > 0 ? &values[model[id]] : NULL);
    }
    assert_int_equal(m->live, live);
    assert_int_equal(m->reserved, reserved);
}

static void random_walk(struct pv_idmap *m, unsigned steps, unsigned adds_of_ten)
{
    for (unsigned step = 0; step < steps; step++) {
        uint16_t id = id_in_use();
        if (pv_random_below(10) < adds_of_ten && m->live + m->reserved < IDS)
            model_add(m);
        else if (pv_random_below(4) == 0 && model[id] > 0) {
            pv_idmap_reserve(m, id);
            model[id] = MODEL_RESERVED;
        } else
            model_take(m, pv_random_below(2) ? id : (uint16_t)pv_random_below(IDS));
    }
    check(m);
}

static void behaves_like_the_model(void **state)
{
    (void)state;
    struct pv_idmap m;
    pv_idmap_init(&m);
    memset(model, 0, sizeof model);
    assert_null(pv_idmap_take(&m, 7, NULL));
    assert_null(pv_idmap_find(&m, 7));
    for (unsigned seed = 1; seed <= 20; seed++) {
        pv_random_seed(seed);
        random_walk(&m, 300, 8);
        random_walk(&m, 300, 3);
    }
    pv_random_seed(0);
    pv_idmap_done(&m);
}

static void holds_every_id_and_no_more(void **state)
{
    (void)state;
    struct pv_idmap m;
    pv_idmap_init(&m);
    memset(model, 0, sizeof model);
    for (unsigned i = 0; i < IDS; i++)
        model_add(&m);
    uint16_t id;
    assert_false(pv_idmap_add(&m, &values[1], &id));
    check(&m);
    for (unsigned i = 0; i < IDS; i += 2) {
        pv_idmap_reserve(&m, (uint16_t)i);
        model[i] = MODEL_RESERVED;
    }
    assert_false(pv_idmap_add(&m, &values[1], &id)); /* a reserved id is not given out */
    check(&m);
    model_take(&m, 40000);
    model_take(&m, 40001);
    model_add(&m);
    model_add(&m);
    assert_true(model[40000] > 0 && model[40001] > 0);
    for (unsigned i = 0; i < IDS; i++)
        model_take(&m, (uint16_t)i);
    check(&m);
    pv_idmap_done(&m);
}

static void ids_are_spread(void **state)
{
    (void)state;
    struct pv_idmap m;
    pv_idmap_init(&m);
    unsigned quarter[4] = {0};
    for (unsigned i = 0; i < 4000; i++) {
        uint16_t id;
        assert_true(pv_idmap_add(&m, &values[1], &id));
        quarter[id >> 14]++;
        assert_ptr_equal(pv_idmap_take(&m, id, NULL), &values[1]);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(quarter[i], 800, 1200);
    pv_idmap_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_the_model),
        cmocka_unit_test(holds_every_id_and_no_more),
        cmocka_unit_test(ids_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
