/* Client keys, and the memory for them. */
#ifndef PV_PROTO_DNSCRYPT_KEYS_H
#define PV_PROTO_DNSCRYPT_KEYS_H

#include "base/addr.h"
#include "base/list.h"
#include "proto/dnscrypt/box.h"

/* A client key and what it makes with the server's: for one local address, for as long as the
 * certificate is not fetched again. Counted: replies are opened with the one the query was sealed
 * with, however long ago. */
struct pv_keys {
    struct pv_list link; /* while it is free */
    struct pv_key_block *block;
    unsigned refs;
    unsigned generation; /* of the certificate */
    struct pv_addr local;
    struct pv_box box;
};

/* They lie in pages that are neither swapped out nor dumped: those cost calls of the kernel, and
 * are for many at a time. */
struct pv_key_store {
    struct pv_list blocks; /* those with room */
};
void pv_key_store_init(struct pv_key_store *);
void pv_key_store_done(struct pv_key_store *);      /* all are back */
struct pv_keys *pv_keys_new(struct pv_key_store *); /* NULL: no memory */
struct pv_keys *pv_keys_ref(struct pv_keys *);
void pv_keys_unref(struct pv_keys *); /* wipes; NULL is fine */

#endif
