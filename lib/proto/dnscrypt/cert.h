/* Certificates of DNSCrypt v2: out of a TXT reply, checked, and one chosen. Pure. */
#ifndef PV_PROTO_DNSCRYPT_CERT_H
#define PV_PROTO_DNSCRYPT_CERT_H

#include "proto/dnscrypt/box.h"
#include "wire/message.h"

struct pv_cert {
    uint16_t construction;        /* its es-version; not signed, so no proof of anything */
    uint32_t serial, from, until; /* unix time, both ends included */
    uint8_t server[PV_BOX_KEY], magic[PV_BOX_MAGIC];
};
bool pv_cert_equal(const struct pv_cert *, const struct pv_cert *);

/* What is wrong with one, in the order it is looked at. */
enum pv_cert_verdict {
    PV_CERT_NONE, /* there was none */
    PV_CERT_SHORT,
    PV_CERT_MAGIC,
    PV_CERT_UNKNOWN,   /* a construction that is not known here */
    PV_CERT_SIGNATURE, /* not by the provider's key */
    PV_CERT_SPAN,      /* ends before it begins */
    PV_CERT_RESERVED,  /* a client-magic that means something else */
    PV_CERT_WEAK,      /* a key with which nothing is secret */
    PV_CERT_EARLY,
    PV_CERT_LATE,
    PV_CERT_UNWANTED,  /* the older construction, and the user does not want it */
    PV_CERT_BACKWARDS, /* its serial is lower than that of one we have seen */
    PV_CERT_USABLE,
};
/* *ret is set from what is there, whatever the verdict, once the record is long enough. */
enum pv_cert_verdict pv_cert_check(const uint8_t *record, size_t length,
                                   const uint8_t provider_key[PV_BOX_KEY], uint32_t now,
                                   struct pv_cert *ret);

/* Who chooses, and what came of it. */
struct pv_cert_choice {
    const uint8_t *provider_key; /* 32 octets */
    uint32_t now;
    bool allow_xsalsa;
    uint32_t least_serial;         /* none below it */
    const struct pv_cert *current; /* kept where it is among them; NULL: there is none */

    enum pv_cert_verdict verdict; /* the best there was; USABLE: best is the one */
    struct pv_cert best;
    unsigned offered; /* so many, good or not */
};
void pv_cert_offer(struct pv_cert_choice *, const uint8_t *record, size_t length);
/* Every certificate of a reply to that question. */
void pv_cert_offer_all(struct pv_cert_choice *, const uint8_t *message, size_t length,
                       const struct pv_question *);
/* In words, for who waits for it: "certificate expired on 2026-01-31: check the clock". */
void pv_cert_explain(const struct pv_cert_choice *, char *out, size_t capacity);
/* The record after r->at that can hold a certificate: its strings joined, in out
 * (PV_CERT_RECORD_MOST octets). False: no more. Skips what is malformed, or longer. */
enum { PV_CERT_RECORD_MOST = 4096 };
bool pv_cert_next_record(struct pv_reader *r, const uint8_t *message, const struct pv_question *,
                         uint8_t *out, size_t *ret_length);

#endif
