#include "unit.h"

#include "vectors.h"
#include "wire/query.h"

/* What the parser alone has to find in a row; the rest is the daemon's to decide. */
static enum pv_fault fault_of(const struct query_vector *v)
{
    static const struct {
        const char *reason;
        enum pv_fault fault;
    } rows[] = {
        {"short header", PV_FAULT_SHORT},
        {"QR set", PV_FAULT_RESPONSE},
        {"opcode", PV_FAULT_OPCODE},
        {"QDCOUNT>1", PV_FAULT_HEADER},
        {"QDCOUNT=0", PV_FAULT_NO_QUESTION},
        {"question cut", PV_FAULT_HEADER},
        {"reserved label type", PV_FAULT_HEADER},
        {"pointer not allowed", PV_FAULT_HEADER},
        {"name too long", PV_FAULT_HEADER},
        {"rdata past end", PV_FAULT_RECORD},
        {"bad OPT", PV_FAULT_OPT},
        {"EDNS version", PV_FAULT_VERSION},
        {"option overrun", PV_FAULT_OPTION},
        {"option header", PV_FAULT_OPTION},
    };
    if (strcmp(v->reason, "name runs past end") == 0) /* in the question, or behind it */
        return v->response.length == PV_HEADER ? PV_FAULT_HEADER : PV_FAULT_RECORD;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(v->reason, rows[i].reason) == 0)
            return rows[i].fault;
    return PV_FINE;
}

static void row_has_its_fault(const struct query_vector *v)
{
    struct pv_query_view q;
    pv_query_parse(&q, v->message.at, v->message.length);
    if (q.fault != fault_of(v))
        fail_msg("%s: fault %d, expected %d", v->id, q.fault, fault_of(v));
    if (!v->response.at || q.fault == PV_FAULT_OPCODE)
        return;
    /* The reply echoes exactly the question and the OPT that the parser saw. */
    assert_int_equal(pv_get16(v->response.at + 4), q.question_length ? 1 : 0);
    assert_int_equal(pv_get16(v->response.at + 10), q.edns.present ? 1 : 0);
    if (q.question_length)
        assert_memory_equal(v->response.at + PV_HEADER, q.question_bytes, q.question_length);
}

static void all_rows_have_their_fault(void **state)
{
    (void)state;
    size_t count = sizeof query_vectors / sizeof *query_vectors;
    assert_int_equal(count, 56);
    for (size_t i = 0; i < count; i++)
        row_has_its_fault(&query_vectors[i]);
}

static struct pv_query_view parse(const char *id)
{
    struct pv_query_view q = {.fault = PV_FAULT_SHORT};
    for (size_t i = 0; i < sizeof query_vectors / sizeof *query_vectors; i++)
        if (strcmp(query_vectors[i].id, id) == 0)
            pv_query_parse(&q, query_vectors[i].message.at, query_vectors[i].message.length);
    return q;
}

static void question_is_lowered_and_kept(void **state)
{
    (void)state;
    struct pv_query_view q = parse("q23");
    assert_memory_equal(q.question.name, "\3www\7example\3com", 17);
    assert_memory_equal(q.question_bytes, "\3wWw\7ExAmPlE\3cOm\0\0\1\0\1", 21);
    assert_int_equal(q.question.name_length, 17);
    assert_int_equal(q.question_length, 21);
    assert_int_equal(q.question.type, PV_T_A);
    assert_int_equal(q.question.rrclass, PV_C_IN);
    assert_int_equal(parse("q18").question.name_length, 255);
    assert_int_equal(parse("q22").question.name_length, 1);
}

static void edns_is_read(void **state)
{
    (void)state;
    assert_false(parse("q01").edns.present);
    struct pv_query_view q = parse("q02");
    assert_true(q.edns.present && q.edns.dnssec_ok);
    assert_int_equal(q.edns.udp_size, 1232);
    assert_int_equal(parse("q35").edns.udp_size, 0);
    assert_int_equal(parse("q32").edns.version, 1);
    assert_false(parse("q26").edns.present);
    assert_true(parse("q27").edns.present);
    assert_true(parse("q10").edns.present);
    assert_false(parse("q09").edns.present);
}

static void options_are_noted(void **state)
{
    (void)state;
    struct pv_query_view q = parse("q38");
    assert_true(q.has_keepalive);
    assert_int_equal(q.keepalive_length, 2);
    assert_false(q.has_ecs);
    assert_true(parse("q53").has_ecs);
    assert_false(parse("q54").has_keepalive);
    assert_true(parse("q51").is_signed);
    assert_false(parse("q02").is_signed);
}

/* Header, question www.example.com A, then `tail`. */
static struct pv_query_view parse_with(const char *counts, const char *tail, size_t n)
{
    uint8_t message[200] = "\x12\x34\1\0\0\1";
    struct pv_query_view q;
    memcpy(message + 6, counts, 6);
    memcpy(message + 12, "\3www\7example\3com\0\0\1\0\1", 21);
    memcpy(message + 33, tail, n);
    pv_query_parse(&q, message, 33 + n);
    return q;
}

static void first_fault_wins(void **state)
{
    (void)state;
    static const char opts[] = "\0\0\x29\4\xd0\0\1\x80\0\0\0\0\0\x29\4\xd0\0\1\x80\0\0\0";
    assert_int_equal(parse_with("\0\0\0\0\0\1", opts, 11).fault, PV_FAULT_VERSION);
    assert_int_equal(parse_with("\0\0\0\0\0\2", opts, 22).fault, PV_FAULT_OPT);
    assert_int_equal(parse_with("\0\0\0\0\0\3", opts, 22).fault, PV_FAULT_RECORD);
    assert_int_equal(parse_with("\0\0\0\1\0\0", opts, 11).fault, PV_FAULT_OPT); /* in authority */
    assert_false(parse_with("\0\0\0\0\0\2", opts, 22).edns.dnssec_ok);
    assert_int_equal(parse_with("\0\0\0\0\0\0", opts, 22).fault, PV_FINE); /* trailing octets */
}

static void sig0_is_a_signature_only_last(void **state)
{
    (void)state;
    static const char sig_opt[] = "\0\0\x18\0\1\0\0\0\0\0\2\0\0"
                                  "\0\0\x29\4\xd0\0\0\0\0\0\0"
                                  "\0\0\x18\0\1\0\0\0\0\0\2\0\0"
                                  "\0\0\x18\0\1\0\0\0\0\0\2\0\1";
    assert_true(parse_with("\0\0\0\0\0\1", sig_opt, 13).is_signed);
    assert_false(parse_with("\0\0\0\0\0\2", sig_opt, 24).is_signed);
    assert_true(parse_with("\0\0\0\0\0\3", sig_opt, 37).is_signed);
    assert_false(parse_with("\0\0\0\0\0\4", sig_opt, 50).is_signed); /* it covers a type */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rows_have_their_fault),
        cmocka_unit_test(question_is_lowered_and_kept),
        cmocka_unit_test(edns_is_read),
        cmocka_unit_test(options_are_noted),
        cmocka_unit_test(first_fault_wins),
        cmocka_unit_test(sig0_is_a_signature_only_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
