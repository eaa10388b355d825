/* What the parts of net/tls share, and nobody else. */
#ifndef PV_NET_TLS_SESSION_H
#define PV_NET_TLS_SESSION_H

#include "net/ticket.h"
#include "net/tls.h"

struct pv_tls_context {
    unsigned refs; /* the owner and each session */
    struct pv_loop *loop;
    const struct pv_tls_trust *trust;
    SSL_CTX *ssl_ctx;
    char alpn[16];
    bool alpn_required;
    struct pv_tickets tickets;

    struct pv_identity *identity; /* NULL: none */
    unsigned generation;          /* of it, when the tickets were given */
    struct pv_watch *watch;
    struct pv_deferred renewal;
    void (*renewed)(void *arg);
    void *renewed_arg;
};

struct pv_tls {
    struct pv_tls_context *context;
    struct pv_sock *sock;
    SSL *ssl;
    struct pv_addr local;
    bool done;           /* handshake over, peer authenticated */
    SSL_SESSION *early;  /* a session that came before both sides are content */
    unsigned generation; /* of our identity, or an older one */
    unsigned wants, messages;
    bool flooded, at_end; /* what the BIO met */
    bool offered;         /* a session to resume */
    bool asked_before;    /* when that began, the server wanted to see a certificate */
    bool wrote, heard;    /* data, since the handshake */
    uint64_t since;       /* µs: its end */
    int sock_error;
    struct pv_tls_facts facts;
    enum pv_tls_fault fault;
    char reason[128];
};

/* net/tls_bio: its octets go through the sock, so that the seam of net/sock holds for TLS too. */
bool pv_tls_attach(struct pv_tls *);

/* net/tls_fault: note what went wrong, in plain words. Returns -1. */
int pv_tls_fail(struct pv_tls *, enum pv_tls_fault, const char *format, ...) PV_PRINTF(3, 4);
int pv_tls_fail_untrusted(struct pv_tls *, long verdict); /* an X509_V_ERR_... */
/* What a call of SSL_... that moved nothing means: 0 wait, -1 over. */
int pv_tls_classify(struct pv_tls *, int result);
/* The same for a read: it may be the server's verdict on us. */
int pv_tls_read_failed(struct pv_tls *, int result);

#endif
