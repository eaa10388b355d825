#include "unit.h"

#include "serve.h"
#include "vectors.h"
#include "wire/rrtype.h"
#include "wire/text.h"

#include <stdio.h>

/* "owner TTL IN TYPE rdata" of the next record. */
static void record_text(struct pv_reader *r, const uint8_t *message, size_t length, char *out,
                        size_t capacity)
{
    uint8_t owner[PV_NAME_MAX];
    size_t owner_length;
    struct pv_rr rr;
    char name[PV_NAME_TEXT], type[16], rdata[512];
    assert_true(pv_rr_read(r, message, owner, &owner_length, &rr, NULL));
    assert_null(pv_rdata_check(&rr, message, length, NULL));
    assert_int_equal(rr.rrclass, PV_C_IN);
    pv_name_to_text(owner, name);
    pv_rdata_text(message, length, rr.type, rr.rdata.at, (uint16_t)pv_left(&rr.rdata), rdata,
                  sizeof rdata);
    snprintf(out, capacity, "%s %u IN %s %s", name, rr.ttl, pv_type_text(rr.type, type), rdata);
}

static void check_section(const char *id, struct pv_reader *r, const uint8_t *reply, size_t length,
                          unsigned count, const char *expect)
{
    char text[2048] = "";
    assert_in_range(count, 0, 1);
    if (count)
        record_text(r, reply, length, text, sizeof text);
    if (strcmp(text, expect) != 0)
        fail_msg("%s: '%s', expected '%s'", id, text, expect);
}

static void check_reply(const struct local_vector *v, const uint8_t *reply, size_t length)
{
    struct pv_reader r = pv_reader(reply, length);
    struct pv_header h = pv_header_read(&r);
    uint16_t rcode = (uint16_t)v->rcode;
    assert_int_equal(h.id, 0x1234);
    assert_int_equal(h.flags, PV_QR | PV_AA | PV_RD | PV_RA | rcode);
    assert_int_equal(h.qdcount, 1);
    pv_name_read(&r, reply, NULL, NULL);
    pv_take(&r, 4);
    check_section(v->id, &r, reply, length, h.ancount, v->answer);
    check_section(v->id, &r, reply, length, h.nscount, v->authority);
}

static void local_zones_answer(void **state)
{
    (void)state;
    struct site s;
    size_t count = sizeof local_vectors / sizeof *local_vectors;
    assert_int_equal(count, 21);
    assert_non_null(site_init(&s, NULL, NULL));
    for (size_t i = 0; i < count; i++) {
        const struct local_vector *v = &local_vectors[i];
        struct arrival a = site_arrival(v->message.at, v->message.length, false);
        uint8_t reply[PV_MESSAGE_MAX];
        struct judged j;
        size_t length;
        enum request_fate fate = request_judge(s.policy, &a, &j, reply, sizeof reply, &length);
        bool forward = strcmp(v->action, "forward") == 0;
        if (fate != (forward ? REQUEST_PENDING : REQUEST_REPLIED))
            fail_msg("%s: fate %d", v->id, fate);
        if (!forward)
            check_reply(v, reply, length);
    }
    policy_unref(s.policy);
}

static bool is_special(const char *name, struct special *ret)
{
    struct config_zone z;
    site_zone(&z, name);
    return special_find(z.name, z.length, ret);
}

static void every_zone_of_the_registry(void **state)
{
    (void)state;
    struct special s;
    static const char *const yes[] = {
        "alt",
        "x.alt",
        "16.172.in-addr.arpa",
        "31.172.in-addr.arpa",
        "1.2.31.172.in-addr.arpa",
        "64.100.in-addr.arpa",
        "127.100.in-addr.arpa",
        "0.in-addr.arpa",
        "10.in-addr.arpa",
        "254.169.in-addr.arpa",
        "2.0.192.in-addr.arpa",
        "100.51.198.in-addr.arpa",
        "113.0.203.in-addr.arpa",
        "255.255.255.255.in-addr.arpa",
        "d.f.ip6.arpa",
        "8.e.f.ip6.arpa",
        "b.e.f.ip6.arpa",
        "8.b.d.0.1.0.0.2.ip6.arpa",
        "a.localhost",
    };
    static const char *const no[] = {
        ".",
        "com",
        "arpa",
        "in-addr.arpa",
        "15.172.in-addr.arpa",
        "32.172.in-addr.arpa",
        "016.172.in-addr.arpa",
        "172.in-addr.arpa",
        "63.100.in-addr.arpa",
        "128.100.in-addr.arpa",
        "7.e.f.ip6.arpa",
        "c.e.f.ip6.arpa",
        "e.f.ip6.arpa",
        "254.255.255.255.in-addr.arpa",
        "localhost.example",
        "notest",
        "xlocal",
        "example",
        "ip6.arpa",
        "x5local",
        "a\\004test",
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!is_special(yes[i], &s))
            fail_msg("%s is not special", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (is_special(no[i], &s))
            fail_msg("%s is special", no[i]);
}

/* The zone of a range begins with the number. */
static void a_zone_of_a_range(void **state)
{
    (void)state;
    struct special s;
    assert_true(is_special("4.3.20.172.in-addr.arpa", &s));
    assert_int_equal(s.zone_offset, 4);
    assert_true(is_special("x.9.e.f.ip6.arpa", &s));
    assert_int_equal(s.zone_offset, 2);
}

static unsigned rcode_of(const char *name, uint16_t type, uint16_t rrclass)
{
    uint8_t query[300], reply[600];
    struct pv_query_view q;
    struct special s;
    size_t n = site_query(query, sizeof query, name, type, rrclass, 0, false);
    pv_query_parse(&q, query, n);
    assert_true(special_find(q.question.name, q.question.name_length, &s));
    assert_true(special_answer(&s, &q, reply, sizeof reply) > 0);
    return PV_RCODE(pv_get16(reply + 2));
}

static void names_between_exist(void **state)
{
    (void)state;
    assert_int_equal(rcode_of("0.0.127.in-addr.arpa", PV_T_PTR, PV_C_IN), PV_NOERROR);
    assert_int_equal(rcode_of("0.127.in-addr.arpa", PV_T_PTR, PV_C_IN), PV_NOERROR);
    assert_int_equal(rcode_of("1.0.127.in-addr.arpa", PV_T_PTR, PV_C_IN), PV_NXDOMAIN);
    assert_int_equal(rcode_of("5.1.0.0.127.in-addr.arpa", PV_T_PTR, PV_C_IN), PV_NXDOMAIN);
}

/* Such names leave the host in no class. */
static void other_classes_stay_here(void **state)
{
    (void)state;
    assert_int_equal(rcode_of("x.onion", PV_T_A, 4), PV_NXDOMAIN);
    assert_int_equal(rcode_of("localhost", PV_T_A, 4), PV_NOERROR);
}

static void a_full_buffer_is_told(void **state)
{
    (void)state;
    uint8_t query[300], reply[600];
    struct pv_query_view q;
    struct special s;
    size_t n = site_query(query, sizeof query, "a.test", PV_T_A, PV_C_IN, 0, false);
    pv_query_parse(&q, query, n);
    assert_true(special_find(q.question.name, q.question.name_length, &s));
    size_t whole = special_answer(&s, &q, reply, sizeof reply);
    for (size_t i = 0; i < whole; i++)
        assert_int_equal(special_answer(&s, &q, reply, i), 0);
}

static enum verdict_kind kind_of(struct site *s, const char *name)
{
    uint8_t query[300];
    struct pv_query_view q;
    struct arrival a = site_arrival(NULL, 0, false);
    size_t n = site_query(query, sizeof query, name, PV_T_A, PV_C_IN, 0, false);
    pv_query_parse(&q, query, n);
    return verdict_of(s->policy, &q, false, &a.peer).kind;
}

static void routes_win_over_special_names(void **state)
{
    (void)state;
    struct site s;
    assert_non_null(site_init(&s, "168.192.in-addr.arpa", "home.arpa"));
    assert_int_equal(kind_of(&s, "1.1.168.192.in-addr.arpa"), VERDICT_FORWARD);
    assert_int_equal(kind_of(&s, "nas.home.arpa"), VERDICT_FORWARD);
    assert_int_equal(kind_of(&s, "1.10.in-addr.arpa"), VERDICT_SPECIAL);
    policy_unref(s.policy);
    assert_non_null(site_init(&s, "in-addr.arpa", "."));
    assert_int_equal(kind_of(&s, "1.10.in-addr.arpa"), VERDICT_FORWARD);
    assert_int_equal(kind_of(&s, "x.onion"), VERDICT_SPECIAL); /* the root's route does not win */
    s.config.special = 0;
    assert_int_equal(kind_of(&s, "x.onion"), VERDICT_FORWARD);
    policy_unref(s.policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_zones_answer),
        cmocka_unit_test(every_zone_of_the_registry),
        cmocka_unit_test(a_zone_of_a_range),
        cmocka_unit_test(names_between_exist),
        cmocka_unit_test(other_classes_stay_here),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(routes_win_over_special_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
