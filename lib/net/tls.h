/* TLS for streams, client side, strict: whom we trust, one session on a sock, tickets
 * [RFC 8310 §8.1; RFC 9325]. Knows OpenSSL; nobody above does. */
#ifndef PV_NET_TLS_H
#define PV_NET_TLS_H

#include "net/identity.h"
#include "net/sock.h"

/* Trust: what decides that a peer is the right one. Made at load from files, immutable, shared by
 * all threads. */
struct pv_tls_trust_options {
    const char *ca_file; /* PEM; NULL: the system's hashed directory, its bundle as fallback */
    const char *name;    /* the certificate's dNSName, NULL: none */
    const struct pv_addr *address; /* else its iPAddress; NULL: none */
    const char *const *pins; /* NULL-ended "sha256/BASE64"; with no name and address: pin only */
    /* SHA-256 of signed parts (TBSCertificate): one is that of a certificate in the verified chain.
     */
    const uint8_t (*hashes)[32];
    unsigned hash_count;
    bool tls13_only;
};
struct pv_tls_trust;
/* The error begins with the option at fault: "ca_file: ...", "pins: ...". */
enum privy_status pv_tls_trust_new(const struct pv_tls_trust_options *, struct pv_tls_trust **ret,
                                   struct privy_error *reterr);
void pv_tls_trust_free(struct pv_tls_trust *);

/* Context: one per endpoint (thread): SSL_CTX, and the tickets: at most 8, at most 24 h, used
 * once, bound to the local address. */
struct pv_tls_context;
struct pv_tls_context *pv_tls_context_new(struct pv_loop *, const struct pv_tls_trust *,
                                          const char *alpn, bool alpn_required);
void pv_tls_context_free(struct pv_tls_context *);
/* Show this identity to servers that ask for one. It outlives the context, and its files are
 * watched. renewed runs from the loop when they have changed: sessions begun before show the old
 * one. */
void pv_tls_context_set_identity(struct pv_tls_context *, struct pv_identity *,
                                 void (*renewed)(void *arg), void *arg);
/* Read the identity again if its files have changed. */
void pv_tls_context_refresh(struct pv_tls_context *);
void pv_tls_tickets_drop(struct pv_tls_context *);

/* Why it failed, for next.c and the log. */
enum pv_tls_fault {
    PV_TLS_FINE,
    PV_TLS_CLOSED,
    PV_TLS_NETWORK,
    PV_TLS_UNTRUSTED,
    PV_TLS_PROTOCOL,
    PV_TLS_NO_MEMORY
};

/* What is known once the handshake is done. */
struct pv_tls_facts {
    bool resumed, pinned;
    bool asked;       /* the server wants to see a client's certificate (did, if resumed) */
    bool client_auth; /* and has seen ours */
    char version[12]; /* "TLSv1.3" */
    char alpn[16];
};

struct pv_tls;
struct pv_tls *pv_tls_new(struct pv_tls_context *, struct pv_sock *); /* borrows the sock */
void pv_tls_free(struct pv_tls *);                                    /* no close_notify */
/* Go on with the handshake: 1 done and authenticated, 0 wait for pv_tls_wants(), -1 failed. */
int pv_tls_handshake(struct pv_tls *);
/* Octets moved; 0: wait for pv_tls_wants(); -1: closed or failed (pv_tls_fault). One call of write
 * is at most one record where n <= 16384. */
ssize_t pv_tls_read(struct pv_tls *, void *, size_t);
ssize_t pv_tls_write(struct pv_tls *, const void *, size_t);
unsigned pv_tls_wants(
    const struct pv_tls *);            /* PV_SOCK_READ | PV_SOCK_WRITE the last call waits for */
void pv_tls_shutdown(struct pv_tls *); /* send close_notify if it can be sent now */
const struct pv_tls_facts *pv_tls_facts(const struct pv_tls *);
enum pv_tls_fault pv_tls_fault(const struct pv_tls *, const char **ret_reason); /* plain words */

#endif
