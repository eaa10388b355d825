/* A client's certificate and its key, as read from files: for net/identity. Knows OpenSSL. */
#ifndef PV_NET_PAIR_H
#define PV_NET_PAIR_H

#include "base/status.h"

#include <openssl/x509.h>
#include <sys/types.h>
#include <time.h>

enum pv_pair_file { PV_PAIR_CERT, PV_PAIR_KEY, PV_PAIR_PASSPHRASE, PV_PAIR_FILES };

/* What a file was when it was read. */
struct pv_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written, changed;
};
bool pv_stamp_same(const struct pv_stamp *, const struct pv_stamp *);

struct pv_pair {
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};
/* All files (the last one may be NULL) as they are now, checked: modes, owners, that they belong
 * together, what the certificate is for. stamps: of those that were read, also where others could
 * not be. The error begins with the option at fault. */
enum privy_status pv_pair_load(char *const paths[PV_PAIR_FILES], struct pv_pair *ret,
                               struct pv_stamp stamps[PV_PAIR_FILES], struct privy_error *reterr);
void pv_pair_done(struct pv_pair *);
bool pv_pair_same(const struct pv_pair *, const struct pv_pair *);
bool pv_pair_is_changed(char *const paths[PV_PAIR_FILES],
                        const struct pv_stamp stamps[PV_PAIR_FILES]);
/* Changed just now, or missing: somebody may be in the middle of it. */
bool pv_pair_is_changing(char *const paths[PV_PAIR_FILES]);

#endif
