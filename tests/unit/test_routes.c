#include "unit.h"

#include "serve.h"

static const struct config_pool *pool_of(const struct site *s, const char *name)
{
    struct config_zone z;
    struct route_match match;
    site_zone(&z, name);
    if (!routes_find(&s->policy->routes, z.name, z.length, &match))
        return NULL;
    return match.pool;
}

static void the_longest_zone_wins(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, "corp.example", "example"));
    assert_ptr_equal(pool_of(&s, "corp.example"), &s.pools[1]);
    assert_ptr_equal(pool_of(&s, "a.b.corp.example"), &s.pools[1]);
    assert_ptr_equal(pool_of(&s, "example"), &s.pools[2]);
    assert_ptr_equal(pool_of(&s, "xcorp.example"), &s.pools[2]);
    assert_null(pool_of(&s, "corp.example.org"));
    assert_null(pool_of(&s, "."));
    policy_unref(s.policy);
}

static void a_route_of_the_root_takes_all(void **state)
{
    (void)state;
    struct site s;
    struct route_match match;
    assert_non_null(site_init(&s, ".", NULL));
    assert_ptr_equal(pool_of(&s, "a.example"), &s.pools[1]);
    assert_true(routes_find(&s.policy->routes, (const uint8_t *)"", 1, &match));
    assert_int_equal(match.zone_length, 1);
    policy_unref(s.policy);
}

static void no_routes_match_nothing(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, NULL, NULL));
    assert_null(pool_of(&s, "example.com"));
    policy_unref(s.policy);
    assert_int_equal(s.config.refs, 1);
}

/* Two labels are not one with a dot in it. */
static void labels_are_binary(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, "corp.example", NULL));
    assert_null(pool_of(&s, "corp\\.example"));
    policy_unref(s.policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_zone_wins),
        cmocka_unit_test(a_route_of_the_root_takes_all),
        cmocka_unit_test(no_routes_match_nothing),
        cmocka_unit_test(labels_are_binary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
