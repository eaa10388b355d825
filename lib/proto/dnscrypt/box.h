/* The sealed packets of DNSCrypt v2: pure functions over libsodium. A packet is built and opened
 * where it stands: the message lies behind its header, nothing is copied.
 *
 *   query   client-magic 8 | client key 32 | client nonce 12 | tag 16 | sealed: message, padding
 *   reply   "r6fnvWj8" | client nonce 12 | resolver nonce 12 | tag 16 | sealed: message, padding */
#ifndef PV_PROTO_DNSCRYPT_BOX_H
#define PV_PROTO_DNSCRYPT_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PV_BOX_KEY = 32,
    PV_BOX_MAGIC = 8,
    PV_BOX_CLIENT_NONCE = 12,
    PV_BOX_NONCE = 24, /* the client's, then the resolver's; zeros where it is for a query */
    PV_BOX_QUERY = 68, /* octets before the message of a query */
    PV_BOX_REPLY = 48, /* and of a reply */
};

extern const uint8_t pv_box_reply_magic[PV_BOX_MAGIC];

/* How it is sealed: the es-version of a certificate. */
enum pv_construction {
    PV_X25519_XSALSA20 = 1, /* of the older edition */
    PV_X25519_XCHACHA20 = 2,
};

struct pv_key_pair {
    uint8_t public[PV_BOX_KEY], secret[PV_BOX_KEY];
};
void pv_key_pair_new(struct pv_key_pair *);
/* The public key that belongs to the secret one. */
void pv_key_pair_complete(struct pv_key_pair *);
void pv_key_pair_wipe(struct pv_key_pair *);

/* What one client key and one server key make together. */
struct pv_box {
    enum pv_construction construction;
    uint8_t magic[PV_BOX_MAGIC]; /* the server knows its key by it */
    uint8_t client[PV_BOX_KEY];  /* our public key */
    uint8_t shared[PV_BOX_KEY];  /* secret */
};
/* False: the server's key is weak (the shared one would be no secret). */
bool pv_box_init(struct pv_box *, enum pv_construction, const uint8_t magic[PV_BOX_MAGIC],
                 const uint8_t server[PV_BOX_KEY], const struct pv_key_pair *client);
void pv_box_wipe(struct pv_box *);
bool pv_box_key_is_weak(const uint8_t server[PV_BOX_KEY]);

/* Lengths of padded messages. Datagrams: min_query_len (a multiple of 64), or the next multiple of
 * 64 above the message. Streams: a random multiple of 64 above it, by 256 octets at most. */
size_t pv_box_pad_datagram(size_t message, size_t min_query_len);
size_t pv_box_pad_stream(size_t message);

/* The message stands at packet + PV_BOX_QUERY; there must be room for the padded one. Returns the
 * packet's length. A nonce is for one transmission. */
size_t pv_box_seal(const struct pv_box *, const uint8_t nonce[PV_BOX_CLIENT_NONCE], uint8_t *packet,
                   size_t message, size_t padded);
/* The client nonce of a reply; NULL: this is none. Costs nothing: what a forger sends ends
 * here. */
const uint8_t *pv_box_nonce(const uint8_t *packet, size_t length);
/* The reply to the query with that nonce. The message stands in the packet. False: *ret_why says
 * why not; the packet may be spoilt. */
bool pv_box_open(const struct pv_box *, const uint8_t nonce[PV_BOX_CLIENT_NONCE], uint8_t *packet,
                 size_t length, uint8_t **ret_message, size_t *ret_length, const char **ret_why);

#endif
