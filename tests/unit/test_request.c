#include "unit.h"

#include "serve.h"
#include "vectors.h"

struct result {
    enum request_fate fate;
    struct judged judged;
    size_t length;
    uint8_t reply[PV_MESSAGE_MAX];
};

static void judge(const struct site *s, struct arrival a, struct result *ret)
{
    ret->length = 0;
    ret->fate =
        request_judge(s->policy, &a, &ret->judged, ret->reply, sizeof ret->reply, &ret->length);
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void check(const struct site *s, const struct query_vector *v)
{
    static struct result r;
    judge(s, site_arrival(v->message.at, v->message.length, v->tcp), &r);
    enum verdict_kind kind = r.judged.verdict.kind;
    if (is(v->action, "drop") || is(v->action, "close")) {
        if (r.fate != REQUEST_DROP)
            fail_msg("%s: not dropped", v->id);
        return;
    }
    if (is(v->action, "forward") || is(v->action, "forward_opaque")) {
        bool opaque = is(v->action, "forward_opaque");
        if (r.fate != REQUEST_PENDING || kind != (opaque ? VERDICT_OPAQUE : VERDICT_FORWARD))
            fail_msg("%s: fate %d, verdict %d", v->id, r.fate, kind);
        return;
    }
    if (is(v->action, "cache_only")) { /* the cache is empty */
        assert_int_equal(kind, VERDICT_CACHE);
        assert_int_equal(r.fate, REQUEST_PENDING);
        r.length = request_refuse(&r.judged, r.reply, sizeof r.reply);
    } else if (r.fate != REQUEST_REPLIED) {
        fail_msg("%s: no reply", v->id);
    }
    if (r.length != v->response.length || memcmp(r.reply, v->response.at, r.length) != 0)
        fail_msg("%s: another reply, %zu octets", v->id, r.length);
}

static void client_queries(void **state)
{
    (void)state;
    struct site s;
    size_t count = sizeof query_vectors / sizeof *query_vectors;
    assert_int_equal(count, 56);
    assert_non_null(site_init(&s, NULL, NULL));
    for (size_t i = 0; i < count; i++)
        check(&s, &query_vectors[i]);
    policy_unref(s.policy);
}

/* Whatever comes, the reply to it is at most 17 octets longer, unless it is a real question. */
static void replies_to_bad_input_are_short(void **state)
{
    (void)state;
    static struct result r;
    struct site s;
    assert_non_null(site_init(&s, NULL, NULL));
    for (size_t i = 0; i < sizeof query_vectors / sizeof *query_vectors; i++) {
        uint8_t message[512];
        size_t whole = query_vectors[i].message.length;
        memcpy(message, query_vectors[i].message.at, whole);
        for (size_t n = 0; n <= whole; n++) {
            judge(&s, site_arrival(message, n, i & 1), &r);
            if (r.fate == REQUEST_REPLIED && r.judged.verdict.kind == VERDICT_ERROR)
                assert_in_range(r.length, PV_HEADER, n + 17);
        }
    }
    policy_unref(s.policy);
}

static struct result *ask(const struct site *s, const char *peer, const char *name, uint16_t type,
                          uint16_t udp_size, bool dnssec_ok, bool tcp)
{
    static struct result r;
    uint8_t query[400];
    size_t n = site_query(query, sizeof query, name, type, PV_C_IN, udp_size, dnssec_ok);
    struct arrival a = site_arrival(query, n, tcp);
    if (peer)
        assert_true(pv_addr_parse(peer, strlen(peer), 53, &a.peer));
    judge(s, a, &r);
    return &r;
}

static void strangers_are_refused(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, NULL, NULL));
    struct result *r = ask(&s, "192.0.2.1:99", "localhost", PV_T_A, 1232, false, false);
    assert_int_equal(r->fate, REQUEST_REPLIED);
    assert_int_equal(PV_RCODE(pv_get16(r->reply + 2)), PV_REFUSED);
    assert_memory_equal(r->reply + r->length - 6, "\0\17\0\2\0\22", 6);
    r = ask(&s, "[2001:db8::1]:99", "example.com", PV_T_A, 0, false, false);
    assert_int_equal(r->judged.verdict.rcode, PV_REFUSED);
    r = ask(&s, "[::ffff:127.0.0.9]:99", "example.com", PV_T_A, 0, false, false);
    assert_int_equal(r->fate, REQUEST_PENDING);
    policy_unref(s.policy);
}

static void any_as_configured(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, NULL, NULL));
    assert_int_equal(ask(&s, NULL, "example.com", PV_T_ANY, 0, false, false)->fate,
                     REQUEST_PENDING);
    s.config.any = ANY_HINFO;
    struct result *r = ask(&s, NULL, "example.com", PV_T_ANY, 0, false, false);
    assert_int_equal(r->fate, REQUEST_REPLIED);
    assert_int_equal(pv_get16(r->reply + 6), 1);
    assert_memory_equal(r->reply + r->length - 21, "\300\14\0\15\0\1\0\0\16\20\0\11\7RFC8482\0",
                        21);
    assert_int_equal(ask(&s, NULL, "example.com", PV_T_ANY, 0, false, true)->fate, REQUEST_PENDING);
    assert_int_equal(ask(&s, NULL, "example.com", PV_T_ANY, 1232, true, false)->fate,
                     REQUEST_PENDING);
    s.config.any = ANY_REFUSE;
    r = ask(&s, NULL, "example.com", PV_T_ANY, 1232, true, true);
    assert_int_equal(r->fate, REQUEST_REPLIED);
    assert_int_equal(PV_RCODE(pv_get16(r->reply + 2)), PV_REFUSED);
    policy_unref(s.policy);
}

static void the_pool_of_the_route_is_asked(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, "corp.example", NULL));
    assert_ptr_equal(
        ask(&s, NULL, "www.CORP.example", PV_T_A, 0, false, false)->judged.verdict.pool,
        &s.pools[1]);
    assert_ptr_equal(ask(&s, NULL, "www.example", PV_T_A, 0, false, false)->judged.verdict.pool,
                     &s.pools[0]);
    policy_unref(s.policy);
}

/* The client's letters come back, and DO, and nothing of its options. */
static void local_answers_mirror_the_query(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, NULL, NULL));
    struct result *r = ask(&s, NULL, "LocalHost", PV_T_A, 4096, true, false);
    assert_int_equal(r->fate, REQUEST_REPLIED);
    assert_memory_equal(r->reply + PV_HEADER, "\11LocalHost", 11);
    static const uint8_t opt[] = {0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0};
    assert_memory_equal(r->reply + r->length - sizeof opt, opt, sizeof opt);
    policy_unref(s.policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_queries),
        cmocka_unit_test(replies_to_bad_input_are_short),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(any_as_configured),
        cmocka_unit_test(the_pool_of_the_route_is_asked),
        cmocka_unit_test(local_answers_mirror_the_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
