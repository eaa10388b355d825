/* The other side of the tests of streams and TLS: certificates made on the spot, and servers in
 * threads, on loopback ports the kernel chooses. */
#ifndef PEER_H
#define PEER_H

#include "base/addr.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct cert_options {
    const char *common_name;
    const char
        *alt; /* subjectAltName as OpenSSL writes it ("DNS:a.example,IP:127.0.0.1") or NULL */
    const char *usage;         /* extendedKeyUsage, or NULL */
    int from_day, to_day;      /* relative to today; both 0: valid */
    const struct cert *issuer; /* NULL: itself */
    bool ca;
};
struct cert cert_make(const struct cert_options *);
void cert_done(struct cert *);
void cert_pin(const struct cert *, char out[52]);
void cert_write(const struct cert *, const char *path); /* PEM, the certificate only */

enum { PEER_CONNECTIONS = 64, PEER_TICKETS = 64 };

struct peer;
/* What the server does with a connection once the handshake succeeded; ssl is NULL where the server
 * speaks no TLS. It closes neither. */
typedef void peer_serve(struct peer *, SSL *ssl, int fd);

struct peer_options {
    const struct cert *cert;  /* NULL: no TLS */
    const struct cert *chain; /* an issuer to send along, or NULL */
    int version;              /* TLS1_2_VERSION, TLS1_3_VERSION; 0: any */
    const char *alpn;         /* choose this, whatever is offered; "": refuse; NULL: none */
    bool wants_client_cert;
    int verdict;       /* on it: an X509_V_ERR_...; 0: any will do */
    bool early_data;   /* its tickets permit it */
    peer_serve *serve; /* NULL: echo */
};

struct peer {
    struct peer_options options;
    int listener;
    uint16_t port;
    SSL_CTX *ctx;
    pthread_t thread, threads[PEER_CONNECTIONS];
    atomic_uint accepted, handshakes, resumed, failed, ended;
    atomic_uint data_records;  /* TLS 1.3 records with application data received */
    atomic_bool unclean;       /* some connection ended without the client's close_notify */
    atomic_uint hellos, early; /* ClientHellos; those that announce early data */
    /* Tickets offered by clients: none may come twice. */
    atomic_uint ticket_count, tickets_again;
    pthread_mutex_t lock; /* of what follows */
    uint64_t tickets[PEER_TICKETS];
    char sni[256];   /* of the last client */
    char client[64]; /* the common name in its certificate; "": none */
};

struct peer *peer_start(const struct peer_options *);
void peer_stop(struct peer *); /* the clients must be gone */
void peer_echo(struct peer *, SSL *ssl, int fd);

struct pv_addr loopback(uint16_t port);
struct pv_addr loopback6(uint16_t port);
uint16_t closed_port(void); /* nobody listens there */

#endif
