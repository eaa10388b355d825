/* Inside of struct pv_tls_trust, for net/tls: whom to believe, and how OpenSSL is told. */
#ifndef PV_NET_TRUST_H
#define PV_NET_TRUST_H

#include "net/ca.h"
#include "net/tls.h"

#include <openssl/ssl.h>

enum { PV_PIN_SIZE = 32, PV_PIN_TEXT = 52 }; /* "sha256/" and 44 characters, NUL */

struct pv_tls_trust {
    struct pv_ca_set *cas; /* NULL: pin only */
    char *name;            /* without final dot; NULL: none */
    struct pv_addr address;
    bool has_address, tls13_only;
    uint8_t (*pins)[PV_PIN_SIZE];
    unsigned pin_count;
    uint8_t (*hashes)[PV_PIN_SIZE];
    unsigned hash_count;
};

/* Before anything else of OpenSSL: its configuration file is not ours. False: no memory, and
 * OpenSSL does not try twice. */
bool pv_openssl_init(void);
/* Tell OpenSSL what decides in a handshake. The trust must outlive the context. */
bool pv_tls_trust_apply(const struct pv_tls_trust *, SSL_CTX *);
/* Whom the certificate should name. */
/* Is the server's certificate for the one we want? OpenSSL has looked already, but without memory
 * for the name it forgets to. */
bool pv_tls_trust_names(const struct pv_tls_trust *, SSL *);
const char *pv_tls_trust_expected(const struct pv_tls_trust *, char out[PV_ADDR_TEXT]);
/* After a full handshake: does a pin match [RFC 7858 §4.2], or is there none? Looks at the verified
 * chain, where there is one, else at the leaf; server: the leaf's pin. */
bool pv_tls_trust_pins_match(const struct pv_tls_trust *, SSL *, char server[PV_PIN_TEXT]);
/* The same for the hashes of certificates. */
bool pv_tls_trust_hashes_match(const struct pv_tls_trust *, SSL *);

#endif
