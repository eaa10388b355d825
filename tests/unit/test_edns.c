#include "unit.h"

#include "vectors.h"
#include "wire/edns.h"
#include "wire/message.h"

static void check_padding(const struct padding_vector *v)
{
    uint8_t out[512], name[PV_NAME_MAX];
    size_t name_length;
    struct pv_writer w = pv_writer(out, sizeof out);
    struct pv_header h = {0, PV_RD | PV_AD, 1, 0, 0, 1};
    pv_header_write(&w, &h);
    assert_true(pv_name_from_text(v->qname, strlen(v->qname), name, &name_length));
    pv_write(&w, name, name_length);
    pv_write16(&w, v->qtype);
    pv_write16(&w, PV_C_IN);
    uint8_t *opt = pv_opt_begin(&w, 4096, 0, v->dnssec_ok);
    pv_opt_pad(&w, opt, 128);
    assert_int_equal(pv_written(&w), v->message.length);
    assert_memory_equal(out, v->message.at, v->message.length);
}

static void padding_vectors_are_met(void **state)
{
    (void)state;
    assert_int_equal(sizeof padding_vectors / sizeof *padding_vectors, 5);
    for (size_t i = 0; i < 5; i++)
        check_padding(&padding_vectors[i]);
}

static void no_block_is_no_padding(void **state)
{
    (void)state;
    uint8_t out[64];
    struct pv_writer w = pv_writer(out, sizeof out);
    uint8_t *opt = pv_opt_begin(&w, 1232, 0, false);
    pv_opt_pad(&w, opt, 0);
    assert_int_equal(pv_written(&w), 11);
}

static void written_options_are_read(void **state)
{
    (void)state;
    uint8_t out[64];
    struct pv_writer w = pv_writer(out, sizeof out);
    uint8_t *opt = pv_opt_begin(&w, 1232, 1, true);
    pv_opt_add(&w, opt, PV_OPT_KEEPALIVE, NULL, 0);
    pv_opt_add(&w, opt, PV_OPT_EDE, "\0\x16no", 4);

    struct pv_reader r = pv_reader(out, pv_written(&w));
    struct pv_rr rr;
    assert_true(pv_rr_next(&r, out, &rr));
    struct pv_edns e = pv_edns_read(rr.rrclass, rr.ttl, rr.rdata);
    assert_int_equal(e.udp_size, 1232);
    assert_int_equal(e.extended_rcode, 1);
    assert_int_equal(e.version, 0);
    assert_true(e.dnssec_ok);
    struct pv_option o;
    assert_true(pv_option_read(&e.options, &o));
    assert_int_equal(o.code, PV_OPT_KEEPALIVE);
    assert_int_equal(o.length, 0);
    assert_true(pv_option_read(&e.options, &o));
    assert_int_equal(o.code, PV_OPT_EDE);
    assert_memory_equal(o.data, "\0\x16no", 4);
    assert_false(pv_option_read(&e.options, &o));
    assert_false(e.options.bad);
}

static void overruns_are_bad(void **state)
{
    (void)state;
    struct pv_option o;
    struct pv_reader cut = pv_reader("\0\x0a\0", 3), over = pv_reader("\0\x0a\0\2x", 5);
    assert_false(pv_option_read(&cut, &o));
    assert_true(cut.bad);
    assert_false(pv_option_read(&over, &o));
    assert_true(over.bad);
    assert_false(pv_option_read(&over, &o));
}

static void what_does_not_fit_is_not_written(void **state)
{
    (void)state;
    uint8_t out[20];
    struct pv_writer w = pv_writer(out, 16);
    uint8_t *opt = pv_opt_begin(&w, 1232, 0, false);
    pv_opt_add(&w, opt, PV_OPT_EDE, "\0\x16", 2);
    assert_true(w.full);
    assert_int_equal(pv_get16(opt), 0);
    assert_int_equal(pv_written(&w), 11);
    struct pv_writer tiny = pv_writer(out, 10);
    opt = pv_opt_begin(&tiny, 1232, 0, false);
    assert_null(opt);
    pv_opt_add(&tiny, opt, PV_OPT_EDE, "\0\x16", 2);
    assert_int_equal(pv_written(&tiny), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_vectors_are_met),
        cmocka_unit_test(no_block_is_no_padding),
        cmocka_unit_test(written_options_are_read),
        cmocka_unit_test(overruns_are_bad),
        cmocka_unit_test(what_does_not_fit_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
