/* A client's identity for mutual TLS: a certificate chain and its private key, read from files and
 * read again when these change. Shared by all threads. */
#ifndef PV_NET_IDENTITY_H
#define PV_NET_IDENTITY_H

#include "base/status.h"

struct pv_identity_options {
    const char *owner;           /* for log lines: "upstream corp" */
    const char *cert;            /* PEM, leaf first */
    const char *key;             /* PEM; PKCS#8 or its elders */
    const char *passphrase_file; /* its first line unlocks the key; NULL: none */
};

struct pv_identity;
/* Reads and checks all: the files' modes, that key and certificate belong together, what the
 * certificate is for. One that has expired is taken: the time may be wrong. The error begins with
 * the option at fault: "client_cert: ...", "client_key: ...". */
enum privy_status pv_identity_new(const struct pv_identity_options *, struct pv_identity **ret,
                                  struct privy_error *reterr);
void pv_identity_free(struct pv_identity *);
/* Read again what has changed since. What is no good is refused with a log line, once, and the old
 * one stays. Also warns of its dates. */
void pv_identity_refresh(struct pv_identity *);
/* The same, if that has not been asked for a minute: where no one tells of changes. What is being
 * written just now is left for the next time. */
void pv_identity_refresh_sometimes(struct pv_identity *, uint64_t age_now_s);
/* Counts the changes. */
unsigned pv_identity_generation(const struct pv_identity *);
/* The files to watch. Borrowed. */
const struct pv_identity_options *pv_identity_files(const struct pv_identity *);
/* Whether the server asked for it: what is configured in vain is said, once for each change. */
void pv_identity_was_asked(struct pv_identity *, bool asked);

/* For net/tls: give it to a connection. False: no memory. */
struct ssl_st;
bool pv_identity_use(struct pv_identity *, struct ssl_st *);
/* Has it run out? Also warns ahead of that: 14, 7 and 1 days. */
bool pv_identity_expired(struct pv_identity *);

#endif
