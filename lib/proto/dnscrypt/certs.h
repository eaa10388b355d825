/* The certificate of an endpoint, and the keys that go with it: fetched before it is needed,
 * renewed ahead of its end, so that no query waits for it. */
#ifndef PV_PROTO_DNSCRYPT_CERTS_H
#define PV_PROTO_DNSCRYPT_CERTS_H

#include "proto/dnscrypt/fetch.h"
#include "proto/dnscrypt/keys.h"

/* up->shared: each thread fetches for itself, and they meet the same. */
struct pv_certs_shared {
    atomic_uint verdict; /* an enum pv_cert_verdict: what was said last */
};

struct pv_certs;
struct pv_certs_events {
    /* A certificate is at hand; changed: another than before. */
    void (*renewed)(struct pv_endpoint *, const struct pv_fetch_result *, bool changed);
    /* None came; is one still usable, that one is kept. */
    void (*missing)(struct pv_endpoint *, enum pv_outcome, const char *reason);
};
struct pv_certs {
    struct pv_endpoint *endpoint;
    const struct pv_certs_events *events;
    struct pv_cert cert;
    bool has;
    uint32_t least_serial;
    unsigned generation; /* how often it was fetched */
    struct pv_fetch *fetch;
    uint64_t due;        /* µs: when to fetch again */
    uint64_t doubt_from; /* not before: failures lead to another fetch */
    unsigned failures;   /* in a row: back-off */
    unsigned relay;
    struct pv_key_store key_store;
};

void pv_certs_init(struct pv_certs *, struct pv_endpoint *, const struct pv_certs_events *);
void pv_certs_done(struct pv_certs *);
/* Is there one that is valid now? */
bool pv_certs_usable(const struct pv_certs *);
/* See to it that there is a fresh one; events follow where there is none. False: no memory. */
bool pv_certs_want(struct pv_certs *);
/* Fetch one, whatever there is. False: no memory. */
bool pv_certs_fetch(struct pv_certs *);
/* The server does not answer what is sealed with this one: perhaps it has another by now. */
void pv_certs_doubt(struct pv_certs *);
/* The moment asked for with pv_endpoint_wake_at(); idle: nobody has a use for it now. */
void pv_certs_wake(struct pv_certs *, bool idle);
/* For queries from this address; as last time (may be NULL) where that is still right. Replaces
 * *keys. False: no memory. */
bool pv_certs_keys(struct pv_certs *, const struct pv_addr *local, struct pv_keys **keys);

#endif
