/* A protocol that the build option alone added (tests/proto/toy.c) answers through the public API.
 */
#include "unit.h"

#include <event2/event.h>
#include <privydns/privydns.h>

struct seen {
    struct event_base *base;
    enum privy_status status;
    unsigned rcode;
    char text[64];
    char protocol[16];
    unsigned calls;
};

static void done(void *arg, enum privy_status status, const struct privy_answer *answer,
                 const struct privy_error *error)
{
    struct seen *s = arg;
    struct privy_record record;
    size_t cursor = 0;
    s->status = status;
    s->calls++;
    event_base_loopbreak(s->base);
    if (error || !privy_answer_record(answer, &cursor, &record))
        return;
    s->rcode = privy_answer_rcode(answer);
    privy_record_text(answer, &record, s->text, sizeof s->text);
    strncpy(s->protocol, privy_answer_facts(answer)->protocol, sizeof s->protocol - 1);
}

static struct privy_upstreams *toy_upstreams(void)
{
    struct privy_upstreams_options options = {.size = sizeof options};
    struct privy_upstreams *set = NULL;
    struct privy_error error;
    privy_pool_options_default(&options.pool_options);
    assert_int_equal(privy_upstreams_new(NULL, &options, &set, &error), PRIVY_OK);
    assert_int_equal(privy_upstreams_add(set, "toy://192.0.2.53", NULL, &error), PRIVY_OK);
    return set;
}

static void ask(const char *protocol, struct seen *s)
{
    struct privy_upstreams *set = toy_upstreams();
    struct privy_resolver *resolver = NULL;
    struct privy_error error;
    s->base = event_base_new();
    assert_non_null(s->base);
    assert_int_equal(privy_resolver_new(s->base, set, NULL, NULL, &resolver, &error), PRIVY_OK);
    assert_int_equal(privy_query(resolver, "www.example", 1, protocol, NULL, done, s, NULL),
                     PRIVY_OK);
    assert_int_equal(s->calls, 0);
    event_base_dispatch(s->base);
    privy_resolver_free(resolver);
    privy_upstreams_unref(set);
    event_base_free(s->base);
}

static void answers_through_the_public_api(void **state)
{
    (void)state;
    static const char *const protocols[] = {NULL, "toy"};
    for (unsigned i = 0; i < 2; i++) {
        struct seen s = {0};
        ask(protocols[i], &s);
        assert_int_equal(s.calls, 1);
        assert_int_equal(s.status, PRIVY_OK);
        assert_int_equal(s.rcode, 0);
        assert_string_equal(s.text, "192.0.2.53");
        assert_string_equal(s.protocol, "toy");
    }
}

static void is_listed(void **state)
{
    (void)state;
    bool found = false;
    for (unsigned i = 0; privy_protocols(i); i++)
        found |= strcmp(privy_protocols(i), "toy") == 0;
    assert_true(found);
}

static void blocking_lookup(void **state)
{
    (void)state;
    struct privy_client_options options = {.size = sizeof options, .upstreams = toy_upstreams()};
    struct privy_client *client = NULL;
    struct privy_answer *found = NULL;
    struct privy_error error;
    assert_int_equal(privy_client_new(&options, &client, &error), PRIVY_OK);
    assert_int_equal(privy_lookup(client, "www.example", 1, "toy", &found, &error), PRIVY_OK);
    assert_int_equal(privy_answer_rcode(found), 0);
    privy_answer_unref(found);
    privy_client_free(client);
    privy_upstreams_unref(options.upstreams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_through_the_public_api),
        cmocka_unit_test(is_listed),
        cmocka_unit_test(blocking_lookup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
