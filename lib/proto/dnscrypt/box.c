#include "proto/dnscrypt/box.h"

#include "base/random.h"

#include <sodium.h>
#include <string.h>

enum {
    TAG = 16,
    BLOCK = 64,         /* padded lengths are multiples of it */
    STREAM_BLOCKS = 4,  /* more padding on a stream is not accepted */
    DNS_HEADER = 12,    /* a message is no shorter */
    PADDING_MARK = 0x80 /* ISO/IEC 7816-4: this octet, then zeros */
};

const uint8_t pv_box_reply_magic[PV_BOX_MAGIC] = {'r', '6', 'f', 'n', 'v', 'W', 'j', '8'};

/* ---- keys ---- */

void pv_key_pair_complete(struct pv_key_pair *pair)
{
    crypto_scalarmult_base(pair->public, pair->secret);
}

void pv_key_pair_new(struct pv_key_pair *pair)
{
    pv_random(pair->secret, sizeof pair->secret);
    pv_key_pair_complete(pair);
}

void pv_key_pair_wipe(struct pv_key_pair *pair)
{
    sodium_memzero(pair, sizeof *pair);
}

bool pv_box_init(struct pv_box *box, enum pv_construction construction,
                 const uint8_t magic[PV_BOX_MAGIC], const uint8_t server[PV_BOX_KEY],
                 const struct pv_key_pair *client)
{
    box->construction = construction;
    memcpy(box->magic, magic, PV_BOX_MAGIC);
    memcpy(box->client, client->public, PV_BOX_KEY);
    if (construction == PV_X25519_XSALSA20)
        return crypto_box_beforenm(box->shared, server, client->secret) == 0;
    return crypto_box_curve25519xchacha20poly1305_beforenm(box->shared, server, client->secret) ==
           0;
}

void pv_box_wipe(struct pv_box *box)
{
    sodium_memzero(box, sizeof *box);
}

/* Such a key gives the same shared one, zeros, with every secret one. */
bool pv_box_key_is_weak(const uint8_t server[PV_BOX_KEY])
{
    static const uint8_t any[PV_BOX_KEY] = {1};
    uint8_t shared[PV_BOX_KEY];
    return crypto_scalarmult(shared, any, server) != 0;
}

/* ---- padding ---- */

static size_t above(size_t message)
{
    return (message / BLOCK + 1) * BLOCK;
}

size_t pv_box_pad_datagram(size_t message, size_t min_query_len)
{
    return message < min_query_len ? min_query_len : above(message);
}

size_t pv_box_pad_stream(size_t message)
{
    return above(message) + BLOCK * pv_random_below(STREAM_BLOCKS);
}

static void pad(uint8_t *message, size_t length, size_t padded)
{
    message[length] = PADDING_MARK;
    memset(message + length + 1, 0, padded - length - 1);
}

static bool unpad(const uint8_t *message, size_t *length)
{
    size_t n = *length;
    while (n > 0 && message[n - 1] == 0)
        n--;
    if (n == 0 || message[n - 1] != PADDING_MARK)
        return false;
    *length = n - 1;
    return true;
}

/* ---- packets ---- */

size_t pv_box_seal(const struct pv_box *box, const uint8_t nonce[PV_BOX_CLIENT_NONCE],
                   uint8_t *packet, size_t message, size_t padded)
{
    uint8_t whole[PV_BOX_NONCE] = {0}, *sealed = packet + PV_BOX_QUERY - TAG;
    memcpy(whole, nonce, PV_BOX_CLIENT_NONCE);
    memcpy(packet, box->magic, PV_BOX_MAGIC);
    memcpy(packet + PV_BOX_MAGIC, box->client, PV_BOX_KEY);
    memcpy(packet + PV_BOX_MAGIC + PV_BOX_KEY, nonce, PV_BOX_CLIENT_NONCE);
    pad(sealed + TAG, message, padded);
    if (box->construction == PV_X25519_XSALSA20)
        crypto_box_easy_afternm(sealed, sealed + TAG, padded, whole, box->shared);
    else
        crypto_box_curve25519xchacha20poly1305_easy_afternm(sealed, sealed + TAG, padded, whole,
                                                            box->shared);
    return PV_BOX_QUERY + padded;
}

const uint8_t *pv_box_nonce(const uint8_t *packet, size_t length)
{
    bool is_reply = length >= PV_BOX_REPLY + DNS_HEADER &&
                    memcmp(packet, pv_box_reply_magic, PV_BOX_MAGIC) == 0;
    return is_reply ? packet + PV_BOX_MAGIC : NULL;
}

static bool unseal(const struct pv_box *box, const uint8_t *nonce, uint8_t *sealed, size_t length)
{
    if (box->construction == PV_X25519_XSALSA20)
        return crypto_box_open_easy_afternm(sealed + TAG, sealed, length, nonce, box->shared) == 0;
    return crypto_box_curve25519xchacha20poly1305_open_easy_afternm(sealed + TAG, sealed, length,
                                                                    nonce, box->shared) == 0;
}

bool pv_box_open(const struct pv_box *box, const uint8_t nonce[PV_BOX_CLIENT_NONCE],
                 uint8_t *packet, size_t length, uint8_t **ret_message, size_t *ret_length,
                 const char **ret_why)
{
    const uint8_t *whole = pv_box_nonce(packet, length);
    uint8_t *message = packet + PV_BOX_REPLY;
    size_t n = length - PV_BOX_REPLY;
    if (!whole)
        *ret_why = length < PV_BOX_REPLY + DNS_HEADER ? "too short" : "magic";
    else if (memcmp(whole, nonce, PV_BOX_CLIENT_NONCE) != 0)
        *ret_why = "nonce does not belong to this query";
    else if (!unseal(box, whole, message - TAG, n + TAG))
        *ret_why = "authentication";
    else if (!unpad(message, &n))
        *ret_why = "padding";
    else if (n < DNS_HEADER)
        *ret_why = "DNS message shorter than 12 octets";
    else {
        *ret_message = message;
        *ret_length = n;
        return true;
    }
    return false;
}
