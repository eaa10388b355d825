/* Certificates of DNSCrypt: which are good, which one is taken, and what is said of the others. */
#include "unit.h"

#include <sodium.h>
#include <stdlib.h>

#include "dnscrypt_vectors.h"
#include "proto/dnscrypt/cert.h"
#include "wire/query.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { NOW = 1700040000, FROM = 1700000000, UNTIL = 1700086400 };

static uint8_t provider_public[32], provider_secret[64];

static const uint8_t *vector_key(const char *id)
{
    for (size_t i = 0; i < COUNT(key_vectors); i++) {
        if (strcmp(key_vectors[i].id, id) == 0)
            return key_vectors[i].key.at;
    }
    fail_msg("no key %s", id);
    return NULL;
}

static int make_provider(void **state)
{
    (void)state;
    assert_int_equal(
        crypto_sign_seed_keypair(provider_public, provider_secret, vector_key("provider_seed")), 0);
    return 0;
}

/* ---- known answers ---- */

static const char *word(enum pv_cert_verdict verdict)
{
    static const char *const words[] = {
        [PV_CERT_SHORT] = "too short",
        [PV_CERT_MAGIC] = "bad magic",
        [PV_CERT_UNKNOWN] = "unsupported es-version",
        [PV_CERT_SIGNATURE] = "bad signature",
        [PV_CERT_SPAN] = "start not before end",
        [PV_CERT_RESERVED] = "reserved client magic",
        [PV_CERT_EARLY] = "outside validity",
        [PV_CERT_LATE] = "outside validity",
    };
    return verdict < COUNT(words) && words[verdict] ? words[verdict] : "?";
}

static void test_vectors(void **state)
{
    (void)state;
    assert_memory_equal(provider_public, vector_key("provider_public_key"), 32);
    for (size_t i = 0; i < COUNT(certificate_vectors); i++) {
        const struct certificate_vector *v = &certificate_vectors[i];
        struct pv_cert cert;
        enum pv_cert_verdict verdict =
            pv_cert_check(v->record.at, v->record.length, provider_public, v->now, &cert);
        if (v->reason)
            assert_string_equal(word(verdict), v->reason);
        else
            assert_int_equal(verdict, PV_CERT_USABLE);
    }
}

static struct pv_cert_choice choice_at(uint32_t now)
{
    return (struct pv_cert_choice){
        .provider_key = provider_public, .now = now, .allow_xsalsa = true};
}

static void test_choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(choice_vectors); i++) {
        const struct choice_vector *v = &choice_vectors[i];
        struct pv_cert_choice choice = choice_at(v->now);
        struct pv_cert expected;
        choice.allow_xsalsa = v->allow_xsalsa;
        for (unsigned k = 0; k < 2 && v->record[k].at; k++)
            pv_cert_offer(&choice, v->record[k].at, v->record[k].length);
        assert_int_equal(choice.verdict == PV_CERT_USABLE, v->expect >= 0);
        if (v->expect < 0)
            continue;
        struct bytes record = v->record[v->expect];
        pv_cert_check(record.at, record.length, provider_public, v->now, &expected);
        assert_true(pv_cert_equal(&choice.best, &expected));
    }
}

static struct pv_question question_of(const uint8_t *message, size_t length)
{
    struct pv_reader r = pv_reader(message, length);
    struct pv_question q = {.type = PV_T_TXT, .rrclass = PV_C_IN};
    pv_take(&r, PV_HEADER);
    q.name_length = (uint8_t)pv_name_read_plain(&r, q.name);
    assert_true(q.name_length > 0);
    return q;
}

static void test_records_of_a_reply(void **state)
{
    (void)state;
    static uint8_t out[PV_MESSAGE_MAX];
    for (size_t i = 0; i < COUNT(txt_vectors); i++) {
        const struct txt_vector *v = &txt_vectors[i];
        struct pv_question q = question_of(v->message.at, v->message.length);
        struct pv_reader r = pv_reader(v->message.at, v->message.length);
        size_t n;
        pv_take(&r, PV_HEADER);
        pv_questions_skip(&r, v->message.at, 1);
        for (unsigned k = 0; k < 2 && v->record[k].at; k++) {
            assert_true(pv_cert_next_record(&r, v->message.at, &q, out, &n));
            assert_int_equal(n, v->record[k].length);
            assert_memory_equal(out, v->record[k].at, n);
        }
        assert_false(pv_cert_next_record(&r, v->message.at, &q, out, &n));
    }
}

/* ---- certificates of our own ---- */

struct wish {
    uint16_t construction;
    uint32_t serial, from, until;
    uint8_t magic; /* each octet of it */
};

static void sign(const struct wish *w, uint8_t record[124])
{
    struct pv_writer out = pv_writer(record, 124);
    pv_write(&out, "DNSC", 4);
    pv_write16(&out, w->construction);
    pv_write16(&out, 0);
    memset(pv_room(&out, 64), 0, 64);
    pv_write(&out, vector_key("resolver_public_key"), 32);
    memset(pv_room(&out, 8), w->magic, 8);
    pv_write32(&out, w->serial);
    pv_write32(&out, w->from);
    pv_write32(&out, w->until);
    assert_int_equal(crypto_sign_detached(record + 8, NULL, record + 72, 124 - 72, provider_secret),
                     0);
}

static void offer(struct pv_cert_choice *choice, struct wish w)
{
    uint8_t record[124];
    sign(&w, record);
    pv_cert_offer(choice, record, sizeof record);
}

static void assert_explained(const struct pv_cert_choice *choice, const char *expected)
{
    char text[100];
    pv_cert_explain(choice, text, sizeof text);
    assert_string_equal(text, expected);
}

static void test_a_lower_serial_is_refused(void **state)
{
    (void)state;
    struct pv_cert_choice choice = choice_at(NOW);
    choice.least_serial = 7;
    offer(&choice, (struct wish){2, 6, FROM, UNTIL, 1});
    assert_int_equal(choice.verdict, PV_CERT_BACKWARDS);
    assert_explained(&choice, "certificate serial goes backwards: 6 after 7");
    offer(&choice, (struct wish){2, 7, FROM, UNTIL, 1});
    assert_int_equal(choice.verdict, PV_CERT_USABLE);
    assert_explained(&choice, "");
}

/* The one in use stays, in whatever order they come, until there is a higher serial. */
static void test_the_current_one_is_kept(void **state)
{
    (void)state;
    struct wish old = {2, 1, FROM, UNTIL, 1}, new = {2, 1, FROM + 60, UNTIL, 2},
                next = {2, 2, FROM, UNTIL, 3};
    struct pv_cert_choice first = choice_at(NOW);
    offer(&first, old);
    for (unsigned order = 0; order < 2; order++) {
        struct pv_cert_choice choice = choice_at(NOW);
        choice.current = &first.best;
        offer(&choice, order ? old : new);
        offer(&choice, order ? new : old);
        assert_true(pv_cert_equal(&choice.best, &first.best));
        offer(&choice, next);
        assert_int_equal(choice.best.serial, 2);
    }
    struct pv_cert_choice gone = choice_at(NOW);
    gone.current = &first.best;
    offer(&gone, new);
    assert_int_equal(gone.verdict, PV_CERT_USABLE);
    assert_false(pv_cert_equal(&gone.best, &first.best));
}

static void test_what_is_said_of_none(void **state)
{
    (void)state;
    struct pv_cert_choice choice = choice_at(NOW);
    assert_explained(&choice, "the server has no certificate for this provider name");
    offer(&choice, (struct wish){9, 1, FROM, UNTIL, 1});
    assert_explained(&choice, "no certificate with a construction that is known here");
    choice.provider_key = vector_key("client_public_key");
    offer(&choice, (struct wish){2, 1, FROM, UNTIL, 1});
    assert_explained(&choice, "no certificate signed by the provider key");
    choice.provider_key = provider_public;
    offer(&choice, (struct wish){2, 1, UNTIL, UNTIL + 10, 1});
    assert_explained(&choice, "certificate not valid before 2023-11-15: check the clock");
    offer(&choice, (struct wish){2, 1, FROM - 10, FROM, 1});
    assert_explained(&choice, "certificate expired on 2023-11-14: check the clock");
    choice.allow_xsalsa = false;
    offer(&choice, (struct wish){1, 1, FROM, UNTIL, 1});
    assert_explained(&choice, "no certificate but for XSalsa20, and allow_xsalsa is off");
}

/* A key with which the shared one is no secret, however well it is signed. */
static void test_a_weak_key_is_refused(void **state)
{
    (void)state;
    uint8_t record[124];
    struct pv_cert cert;
    sign(&(struct wish){2, 1, FROM, UNTIL, 1}, record);
    memcpy(record + 72, vector_key("weak"), 32);
    crypto_sign_detached(record + 8, NULL, record + 72, 124 - 72, provider_secret);
    assert_int_equal(pv_cert_check(record, sizeof record, provider_public, NOW, &cert),
                     PV_CERT_WEAK);
}

/* What begins so is a QUIC packet, is for a relay, or is a reply: no query may. */
static void test_reserved_magics_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char magic[9];
        enum pv_cert_verdict verdict;
    } rows[] = {
        {"\0\0\0\0\0\0\0\1", PV_CERT_RESERVED},
        {"\0\0\0\0\0\0\1\1", PV_CERT_USABLE},
        {"\xff\xff\xff\xff\xff\xff\xff\xff", PV_CERT_RESERVED},
        {"\xff\xff\xff\xff\xff\xff\xff\xfe", PV_CERT_USABLE},
        {"r6fnvWj8", PV_CERT_RESERVED},
        {"r6fnvWj9", PV_CERT_USABLE},
    };
    for (unsigned i = 0; i < COUNT(rows); i++) {
        uint8_t record[124];
        struct pv_cert cert;
        sign(&(struct wish){2, 1, FROM, UNTIL, 1}, record);
        memcpy(record + 104, rows[i].magic, 8);
        crypto_sign_detached(record + 8, NULL, record + 72, 124 - 72, provider_secret);
        assert_int_equal(pv_cert_check(record, sizeof record, provider_public, NOW, &cert),
                         rows[i].verdict);
    }
}

static void test_every_altered_octet_is_seen(void **state)
{
    (void)state;
    uint8_t record[124];
    struct pv_cert cert;
    sign(&(struct wish){2, 1, FROM, UNTIL, 1}, record);
    assert_int_equal(pv_cert_check(record, sizeof record, provider_public, NOW, &cert),
                     PV_CERT_USABLE);
    for (size_t i = 8; i < sizeof record; i++) { /* what stands before is not signed */
        record[i] ^= 1;
        assert_int_not_equal(pv_cert_check(record, sizeof record, provider_public, NOW, &cert),
                             PV_CERT_USABLE);
        record[i] ^= 1;
    }
}

/* Fifty in one reply, among them one that is good; names that are not ours are passed over. */
static void test_many_in_one_reply(void **state)
{
    (void)state;
    static uint8_t message[PV_MESSAGE_MAX];
    static const uint8_t name[] = "\1a\1b", other[] = "\1a\1c";
    struct pv_writer w = pv_writer(message, sizeof message);
    struct pv_question q = {.name_length = sizeof name, .type = PV_T_TXT, .rrclass = PV_C_IN};
    memcpy(q.name, name, sizeof name);
    pv_header_write(&w, &(struct pv_header){.flags = PV_QR, .qdcount = 1, .ancount = 50});
    pv_write(&w, name, sizeof name);
    pv_write16(&w, PV_T_TXT);
    pv_write16(&w, PV_C_IN);
    for (uint32_t i = 0; i < 50; i++) {
        uint8_t record[124];
        bool is_other = i == 49;
        sign(&(struct wish){i == 30 ? 2 : 9, is_other ? 99 : i, FROM, UNTIL, 1}, record);
        if (is_other)
            sign(&(struct wish){2, 99, FROM, UNTIL, 1}, record);
        pv_write(&w, is_other ? other : name, sizeof name);
        pv_write16(&w, PV_T_TXT);
        pv_write16(&w, PV_C_IN);
        pv_write32(&w, 60);
        pv_write16(&w, 125);
        pv_write8(&w, 124);
        pv_write(&w, record, sizeof record);
    }
    struct pv_cert_choice choice = choice_at(NOW);
    pv_cert_offer_all(&choice, message, pv_written(&w), &q);
    assert_int_equal(choice.verdict, PV_CERT_USABLE);
    assert_int_equal(choice.best.serial, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_records_of_a_reply),
        cmocka_unit_test(test_a_lower_serial_is_refused),
        cmocka_unit_test(test_the_current_one_is_kept),
        cmocka_unit_test(test_what_is_said_of_none),
        cmocka_unit_test(test_a_weak_key_is_refused),
        cmocka_unit_test(test_reserved_magics_are_refused),
        cmocka_unit_test(test_every_altered_octet_is_seen),
        cmocka_unit_test(test_many_in_one_reply),
    };
    return cmocka_run_group_tests(tests, make_provider, NULL);
}
