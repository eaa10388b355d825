/* What the user said of an HTTPS resolver, made ready [RFC 8484 §4.1]: whom to ask, where, how. */
#ifndef PV_PROTO_DOH_SITE_H
#define PV_PROTO_DOH_SITE_H

#include "proto/streamed.h"

enum pv_doh_method { PV_DOH_POST, PV_DOH_GET, PV_DOH_AUTO };

/* Shared by all threads. */
struct pv_doh_site {
    struct pv_credentials credentials;
    enum pv_doh_method method;
    char authority[256 + 8];
    char path[512];       /* for POST */
    char get_prefix[520]; /* the question follows, in base64url */
};

/* The protocol's check(): into up->shared. */
enum privy_status pv_doh_site_check(struct pv_upstream *up, struct privy_error *reterr);

#endif
