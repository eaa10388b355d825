/* Sets of CA certificates: one X509_STORE for each in the process, however many upstreams trust it.
 * Counted, thread-safe. */
#ifndef PV_NET_CA_H
#define PV_NET_CA_H

#include "base/status.h"

#include <openssl/x509_vfy.h>

struct pv_ca_set;
/* The certificates of a PEM file; file NULL: the system's. What the file says now: one that has
 * changed since is another set. The error begins with "ca_file: ". */
enum privy_status pv_ca_set_get(const char *file, struct pv_ca_set **ret,
                                struct privy_error *reterr);
void pv_ca_set_unref(struct pv_ca_set *); /* NULL is fine */
X509_STORE *pv_ca_set_store(const struct pv_ca_set *);

#endif
