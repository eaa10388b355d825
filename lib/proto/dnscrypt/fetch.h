/* One fetch of a server's certificates: over UDP, and over TCP where that fails, is cut or brings
 * none that is good [DNSCrypt v2 §12]. */
#ifndef PV_PROTO_DNSCRYPT_FETCH_H
#define PV_PROTO_DNSCRYPT_FETCH_H

#include "proto/dnscrypt/call.h"
#include "proto/dnscrypt/cert.h"

struct pv_fetch;
struct pv_fetch_result {
    struct pv_cert_choice choice;
    bool heard;       /* something came that answers the question */
    bool over_tcp;    /* only there */
    unsigned relay;   /* of which it came; where none did, the one to try next */
    char reason[100]; /* where nothing came */
};
/* choice: who chooses, copied. done runs from the loop, never before this returns; the fetch is
 * freed after it. NULL: no memory. */
struct pv_fetch *pv_fetch_begin(struct pv_endpoint *, const struct pv_cert_choice *choice,
                                unsigned relay,
                                void (*done)(void *arg, const struct pv_fetch_result *), void *arg);
void pv_fetch_cancel(struct pv_fetch *); /* silently; NULL is fine */
/* The question that is asked. False: the provider name is none. */
bool pv_fetch_question(const struct pv_upstream *, struct pv_question *ret);

#endif
