/* The sealed packets of DNSCrypt: known answers, and the rules of padding and nonces. */
#include "unit.h"

#include <sodium.h>
#include <stdlib.h>

#include "dnscrypt_vectors.h"
#include "proto/dnscrypt/box.h"
#include "proto/dnscrypt/way.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct bytes key(const char *id)
{
    for (size_t i = 0; i < COUNT(key_vectors); i++) {
        if (strcmp(key_vectors[i].id, id) == 0)
            return key_vectors[i].key;
    }
    fail_msg("no key %s", id);
    return (struct bytes){NULL, 0};
}

static struct pv_key_pair client_pair(void)
{
    struct pv_key_pair pair;
    memcpy(pair.secret, key("client_secret_key").at, sizeof pair.secret);
    pv_key_pair_complete(&pair);
    return pair;
}

static void test_shared_keys(void **state)
{
    (void)state;
    struct pv_key_pair pair = client_pair();
    assert_memory_equal(pair.public, key("client_public_key").at, PV_BOX_KEY);
    const uint8_t magic[PV_BOX_MAGIC] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (unsigned es = 1; es <= 2; es++) {
        struct pv_box box;
        assert_true(pv_box_init(&box, es, magic, key("resolver_public_key").at, &pair));
        assert_memory_equal(box.shared, key(es == 1 ? "shared_1" : "shared_2").at, PV_BOX_KEY);
        assert_memory_equal(box.client, pair.public, PV_BOX_KEY);
        assert_memory_equal(box.magic, magic, PV_BOX_MAGIC);
        assert_false(pv_box_init(&box, es, magic, key("weak").at, &pair));
    }
    assert_true(pv_box_key_is_weak(key("weak").at));
    assert_false(pv_box_key_is_weak(key("resolver_public_key").at));
}

static void test_new_pairs_differ_and_are_wiped(void **state)
{
    (void)state;
    static const struct pv_key_pair zero;
    struct pv_key_pair a, b;
    pv_key_pair_new(&a);
    pv_key_pair_new(&b);
    assert_memory_not_equal(a.secret, b.secret, PV_BOX_KEY);
    assert_memory_not_equal(a.public, b.public, PV_BOX_KEY);
    pv_key_pair_wipe(&a);
    assert_memory_equal(&a, &zero, sizeof a);
    struct pv_box box;
    memset(&box, 1, sizeof box);
    pv_box_wipe(&box);
    assert_memory_equal(box.shared, zero.secret, PV_BOX_KEY);
}

static struct pv_box box_of(unsigned construction, struct bytes shared)
{
    struct pv_box box = {.construction = construction};
    memcpy(box.shared, shared.at, shared.length);
    return box;
}

static void test_sealed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sealed_vectors); i++) {
        const struct sealed_vector *v = &sealed_vectors[i];
        struct pv_box box = box_of(v->construction, v->shared);
        memcpy(box.magic, v->magic.at, PV_BOX_MAGIC);
        memcpy(box.client, v->client.at, PV_BOX_KEY);
        uint8_t *packet = malloc(PV_BOX_QUERY + v->padded); /* exactly: overruns are seen */
        memcpy(packet + PV_BOX_QUERY, v->message.at, v->message.length);
        size_t n = pv_box_seal(&box, v->nonce.at, packet, v->message.length, v->padded);
        assert_int_equal(n, v->packet.length);
        assert_memory_equal(packet, v->packet.at, n);
        free(packet);
    }
}

static void check_opened(const struct opened_vector *v)
{
    struct pv_box box = box_of(v->construction, v->shared);
    uint8_t *packet = malloc(v->packet.length), *message;
    const char *why = NULL;
    size_t n;
    memcpy(packet, v->packet.at, v->packet.length);
    bool good = pv_box_open(&box, v->nonce.at, packet, v->packet.length, &message, &n, &why);
    if (v->reason) {
        assert_false(good);
        assert_string_equal(why, v->reason);
    } else {
        assert_true(good);
        assert_int_equal(n, v->message.length);
        assert_memory_equal(message, v->message.at, n);
    }
    free(packet);
}

static void test_opened(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(opened_vectors); i++)
        check_opened(&opened_vectors[i]);
}

/* A reply that comes from a forger is known without any cryptography. */
static void test_nonce_of_a_reply(void **state)
{
    (void)state;
    const struct bytes *packet = &opened_vectors[0].packet;
    assert_memory_equal(pv_box_nonce(packet->at, packet->length), opened_vectors[0].nonce.at,
                        PV_BOX_CLIENT_NONCE);
    for (size_t n = 0; n < PV_BOX_REPLY + 12; n++)
        assert_null(pv_box_nonce(packet->at, n));
    for (unsigned bit = 0; bit < 8 * PV_BOX_MAGIC; bit++) {
        uint8_t other[PV_BOX_REPLY + 12];
        memcpy(other, packet->at, sizeof other);
        other[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_null(pv_box_nonce(other, sizeof other));
    }
}

/* Each octet of a packet counts. */
static void test_every_altered_octet_is_seen(void **state)
{
    (void)state;
    const struct opened_vector *v = &opened_vectors[0];
    struct pv_box box = box_of(v->construction, v->shared);
    for (size_t i = 0; i < v->packet.length; i++) {
        uint8_t packet[1024], *message;
        const char *why = NULL;
        size_t n;
        memcpy(packet, v->packet.at, v->packet.length);
        packet[i] ^= 0x10;
        assert_false(pv_box_open(&box, v->nonce.at, packet, v->packet.length, &message, &n, &why));
        assert_non_null(why);
    }
}

static void test_padding(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pad_datagram_vectors); i++) {
        const struct pad_datagram_vector *v = &pad_datagram_vectors[i];
        assert_int_equal(pv_box_pad_datagram(v->message, v->least), v->padded);
    }
    for (size_t i = 0; i < COUNT(pad_stream_vectors); i++) {
        const struct pad_stream_vector *v = &pad_stream_vectors[i];
        unsigned seen = 0;
        for (unsigned k = 0; k < 400; k++) {
            size_t padded = pv_box_pad_stream(v->message);
            unsigned which = 0;
            while (which < 4 && v->allowed[which] != padded)
                which++;
            assert_in_range(which, 0, 3);
            seen |= 1U << which;
        }
        assert_int_equal(seen, 15); /* all of them come up: one is missed once in 10^49 */
    }
}

/* ---- padding of replies ---- */

static const uint8_t any_message[] = "\0\1\x81\x80\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";
enum { ANY_MESSAGE = sizeof any_message - 1 };

/* Sealed as a server does it, of these octets. Returns what is wrong with it; "": nothing. */
static const char *open_reply_of(unsigned construction, const uint8_t *content, size_t n)
{
    static const uint8_t nonce[24] = {1, 2, 3};
    struct pv_box box = box_of(construction, key(construction == 1 ? "shared_1" : "shared_2"));
    uint8_t *packet = malloc(PV_BOX_REPLY + n), *sealed = packet + PV_BOX_REPLY - 16, *message;
    const char *why = NULL;
    size_t length;
    memcpy(packet, "r6fnvWj8", 8);
    memcpy(packet + 8, nonce, sizeof nonce);
    if (construction == 1)
        crypto_box_easy_afternm(sealed, content, n, nonce, box.shared);
    else
        crypto_box_curve25519xchacha20poly1305_easy_afternm(sealed, content, n, nonce, box.shared);
    bool good = pv_box_open(&box, nonce, packet, PV_BOX_REPLY + n, &message, &length, &why);
    assert_int_equal(good, why == NULL);
    if (good) {
        assert_int_equal(length, ANY_MESSAGE);
        assert_memory_equal(message, any_message, length);
    }
    free(packet);
    return good ? "" : why;
}

/* A message, an octet, so many zeros and an octet more. */
static const char *open_padded(unsigned construction, const uint8_t *mark, unsigned zeros,
                               const uint8_t *last)
{
    uint8_t content[ANY_MESSAGE + 1100];
    size_t n = ANY_MESSAGE;
    memcpy(content, any_message, n);
    if (mark)
        content[n++] = *mark;
    memset(content + n, 0, zeros);
    n += zeros;
    if (last)
        content[n++] = *last;
    return open_reply_of(construction, content, n);
}

static void test_padding_of_replies(void **state)
{
    (void)state;
    static const uint8_t mark = 0x80, one = 1;
    uint8_t other = 0, zeros[256] = {0};
    for (unsigned es = 1; es <= 2; es++) {
        assert_string_equal(open_padded(es, &mark, 0, NULL), "");
        assert_string_equal(open_padded(es, &mark, 1000, NULL), "");
        assert_string_equal(open_padded(es, NULL, 0, NULL), "padding");
        assert_string_equal(open_padded(es, NULL, 64, NULL), "padding");
        assert_string_equal(open_padded(es, &mark, 63, &one), "padding");
        assert_string_equal(open_reply_of(es, zeros, sizeof zeros), "padding");
        zeros[0] = mark;
        assert_string_equal(open_reply_of(es, zeros, sizeof zeros),
                            "DNS message shorter than 12 octets");
        zeros[0] = 0;
        do {
            if (other != mark)
                assert_string_equal(open_padded(es, &other, 63, NULL), "padding");
        } while (++other);
    }
}

static void test_relay_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(relay_vectors); i++) {
        const struct relay_vector *v = &relay_vectors[i];
        struct pv_addr server;
        uint8_t prefix[PV_RELAY_PREFIX];
        assert_true(pv_addr_parse(v->server, strlen(v->server), 0, &server));
        pv_relay_prefix(&server, prefix);
        assert_int_equal(v->prefix.length, sizeof prefix);
        assert_memory_equal(prefix, v->prefix.at, sizeof prefix);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_keys),
        cmocka_unit_test(test_new_pairs_differ_and_are_wiped),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_opened),
        cmocka_unit_test(test_nonce_of_a_reply),
        cmocka_unit_test(test_every_altered_octet_is_seen),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_padding_of_replies),
        cmocka_unit_test(test_relay_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
