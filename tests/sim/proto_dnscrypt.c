/* DNSCrypt [DNSCrypt v2]: certificates for whoever asks for them, and packets sealed for their key;
 * datagrams, and frames as in proto_dot.c. Keys follow from the server's number. */
#include "session.h"

#include "memory.h"
#include "report.h"

#include <sodium.h>

enum {
    MAGIC = 8,
    HALF = 12,
    QUERY_HEAD = MAGIC + 32 + HALF,
    REPLY_HEAD = 8 + 24,
    TAG = 16,
    BLOCK = 64,
    CERTIFICATE = 124,
    SIGNED_AT = 72,
};

struct keys {
    uint8_t provider[32], signing[64], public[32], secret[32];
};

static struct keys keys_of(const struct server *s)
{
    struct keys k;
    uint8_t seed[32];
    memset(seed, (int)s->number + 100, sizeof seed);
    crypto_sign_seed_keypair(k.provider, k.signing, seed);
    memset(k.secret, (int)s->number + 1, sizeof k.secret);
    crypto_scalarmult_base(k.public, k.secret);
    return k;
}

void dnscrypt_provider_key(const struct server *s, char hex[65])
{
    struct keys k = keys_of(s);
    sodium_bin2hex(hex, 65, k.provider, sizeof k.provider);
}

/* Half of them are of the older edition. */
static bool is_older(const struct server *s)
{
    return s->number % 2;
}

/* ---- certificates ---- */

/* Valid at any time: the machine's time of day is not ours. */
static void write_certificate(const struct server *s, uint8_t out[CERTIFICATE])
{
    struct keys k = keys_of(s);
    struct pv_writer w = pv_writer(out, CERTIFICATE);
    pv_write(&w, "DNSC", 4);
    pv_write16(&w, is_older(s) ? 1 : 2);
    pv_write16(&w, 0);
    memset(pv_room(&w, 64), 0, 64);
    pv_write(&w, k.public, 32);
    pv_write(&w, k.public, MAGIC);
    pv_write32(&w, 1);
    pv_write32(&w, 0);
    pv_write32(&w, UINT32_MAX);
    crypto_sign_detached(out + 8, NULL, out + SIGNED_AT, CERTIFICATE - SIGNED_AT, k.signing);
    if (s->mood.wrong_cert)
        out[8] ^= 1;
}

static size_t answer_fetch(const struct server *s, const uint8_t *query, size_t length,
                           uint8_t *out, size_t capacity)
{
    struct pv_query_view view;
    struct pv_writer w = pv_writer(out, capacity);
    uint8_t certificate[CERTIFICATE];
    pv_query_parse(&view, query, length);
    must(view.fault == PV_FINE && view.question.type == PV_T_TXT,
         "server %s: a packet that is neither sealed nor for certificates", s->name);
    const struct pv_question *q = &view.question;
    pv_header_write(
        &w, &(struct pv_header){
                .id = view.header.id, .flags = PV_QR | PV_RD | PV_RA, .qdcount = 1, .ancount = 1});
    for (unsigned i = 0; i < 2; i++) { /* the question, and the record's owner */
        pv_write(&w, q->name, q->name_length);
        pv_write16(&w, PV_T_TXT);
        pv_write16(&w, PV_C_IN);
    }
    pv_write32(&w, 3600);
    pv_write16(&w, CERTIFICATE + 1);
    pv_write8(&w, CERTIFICATE);
    write_certificate(s, certificate);
    pv_write(&w, certificate, sizeof certificate);
    return pv_written(&w);
}

/* ---- sealed packets ---- */

static void share(const struct server *s, const uint8_t client[32], uint8_t key[32])
{
    struct keys k = keys_of(s);
    int bad = is_older(s) ? crypto_box_beforenm(key, client, k.secret)
                          : crypto_box_curve25519xchacha20poly1305_beforenm(key, client, k.secret);
    must(!bad, "server %s: a weak key", s->name);
}

static size_t without_padding(const uint8_t *text, size_t n)
{
    while (n > 0 && text[n - 1] == 0)
        n--;
    return n > 0 && text[n - 1] == 0x80 ? n - 1 : 0;
}

static void note_nonce(struct server *s, const uint8_t half[HALF])
{
    for (unsigned i = 0; i < NONCES_KEPT && i < s->nonce_count; i++)
        must(memcmp(s->nonces[i], half, HALF) != 0, "server %s: a nonce was used twice", s->name);
    memcpy(s->nonces[s->nonce_count++ % NONCES_KEPT], half, HALF);
}

/* Passes on what is in it. */
static void open_query(struct server *s, struct origin *from, const uint8_t *packet, size_t n)
{
    uint8_t nonce[24] = {0};
    must(n >= QUERY_HEAD + TAG + PV_HEADER, "server %s: a short packet", s->name);
    size_t sealed = n - QUERY_HEAD;
    uint8_t *text = own_alloc(sealed);
    struct seal *seal = &from->seal;
    share(s, packet + MAGIC, seal->key);
    memcpy(seal->half, packet + MAGIC + 32, HALF);
    memcpy(nonce, seal->half, HALF);
    note_nonce(s, seal->half);
    const uint8_t *in = packet + QUERY_HEAD;
    int bad = is_older(s) ? crypto_box_open_easy_afternm(text, in, sealed, nonce, seal->key)
                          : crypto_box_curve25519xchacha20poly1305_open_easy_afternm(
                                text, in, sealed, nonce, seal->key);
    must(!bad, "server %s: a packet that cannot be opened", s->name);
    seal->room = sealed - TAG;
    size_t length = without_padding(text, seal->room), padding = seal->room - length;
    must(seal->room % BLOCK == 0 && (from->session ? padding <= 256 : seal->room >= 256),
         "server %s: a query of %zu octets padded to %zu", s->name, length, seal->room);
    answer_question(s, from, text, length);
    own_free(text);
}

/* Into a buffer with two octets before it. Returns its length. */
static size_t seal_reply(struct reply *r, const uint8_t *message, size_t n, uint8_t *out)
{
    static uint8_t text[MESSAGE_MOST + BLOCK];
    struct server *s = r->server;
    const struct seal *seal = &r->from.seal;
    size_t padded = (n / BLOCK + 1) * BLOCK;
    memcpy(text, message, n);
    memset(text + n, 0, padded - n);
    text[n] = 0x80;
    memcpy(out, "r6fnvWj8", 8);
    memcpy(out + 8, seal->half, HALF);
    for (unsigned i = 0; i < HALF; i++)
        out[8 + HALF + i] = (uint8_t)roll(&s->dice, 256);
    if (is_older(s))
        crypto_box_easy_afternm(out + REPLY_HEAD, text, padded, out + 8, seal->key);
    else
        crypto_box_curve25519xchacha20poly1305_easy_afternm(out + REPLY_HEAD, text, padded, out + 8,
                                                            seal->key);
    return REPLY_HEAD + TAG + padded;
}

/* ---- in and out ---- */

static uint8_t *out_buffer(void)
{
    static uint8_t out[2 + REPLY_HEAD + TAG + MESSAGE_MOST + BLOCK];
    return out + 2;
}

static bool is_sealed(const struct server *s, const uint8_t *packet, size_t n)
{
    struct keys k = keys_of(s);
    return n >= MAGIC && memcmp(packet, k.public, MAGIC) == 0;
}

static void take_packet(struct session *c, const uint8_t *packet, size_t n)
{
    struct server *s = c->server;
    uint8_t *out = out_buffer();
    if (is_sealed(s, packet, n)) {
        open_query(s, &(struct origin){.session = c}, packet, n);
        return;
    }
    size_t length = answer_fetch(s, packet, n, out, 512);
    pv_put16(out - 2, (uint16_t)length);
    session_put(c, out - 2, length + 2, 0, 0);
}

static void take_datagram(struct net_host *h, uint64_t sock, const uint8_t *packet, size_t n)
{
    struct server *s = h->server;
    uint8_t *out = out_buffer();
    if (is_sealed(s, packet, n)) {
        open_query(s, &(struct origin){.host = h, .sock = sock}, packet, n);
        return;
    }
    net_reply(s->net, h, sock, out, answer_fetch(s, packet, n, out, 512));
}

static bool bring(struct reply *r, uint8_t *message, size_t n)
{
    uint8_t *out = out_buffer();
    return frames_bring(r, out, seal_reply(r, message, n, out));
}

static void bring_datagram(struct reply *r, uint8_t *message, size_t n)
{
    uint8_t *out = out_buffer();
    protocol_do53.bring_datagram(r, out, seal_reply(r, message, n, out));
}

const struct protocol protocol_dnscrypt = {
    .word = "dnscrypt",
    .port = 443,
    .sealed = true,
    .overhead = REPLY_HEAD + TAG + BLOCK,
    .manners = STREAM_MANNERS,
    .state_size = sizeof(struct frames),
    .end = frames_end,
    .take = frames_take,
    .take_message = take_packet,
    .bring = bring,
    .take_datagram = take_datagram,
    .bring_datagram = bring_datagram,
};
