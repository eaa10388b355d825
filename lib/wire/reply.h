/* A reply from an upstream: is it a reply to that question, and what kind (U4 to U7, C3 to C8). */
#ifndef PV_WIRE_REPLY_H
#define PV_WIRE_REPLY_H

#include "wire/edns.h"
#include "wire/message.h"

enum pv_answer_kind {
    PV_ANSWER_POSITIVE,
    PV_ANSWER_NEGATIVE, /* NXDOMAIN, or NOERROR without the type at the end of the CNAME chain */
    PV_ANSWER_FAILURE,  /* another RCODE */
};

struct pv_ede {
    uint16_t code;
    uint16_t text_length;
    const uint8_t *text; /* in the message */
};

struct pv_reply {
    enum pv_answer_kind kind;
    uint16_t rcode; /* extended, 12 bits */
    uint16_t flags;
    bool truncated;
    bool lame;      /* NOERROR, RA=0, empty answer, NS but no SOA (U11) */
    bool has_soa;   /* in authority */
    bool cacheable; /* C3, C5, C8: may be stored for `ttl` seconds */
    uint32_t ttl;   /* C4 / C7, before the caps; "large" (high bit set) is 0x7fffffff */
    size_t length;  /* without trailing octets */
    size_t trailing;
    size_t opt_offset, opt_length; /* of the whole OPT record; length 0: none */
    bool has_keepalive;
    uint16_t keepalive; /* 100 ms units */
    unsigned ede_count;
    struct pv_ede ede[2];
    unsigned ttl_count; /* records whose TTL ages (all but OPT, TSIG) */
};

/* Check message against the question (name, type, class; any letter case). id < 0: any id.
 * False: not a reply to it, or malformed; *ret_why says why ("id mismatch", "question mismatch",
 * "not a response", "bad OPT" ...: the words of the vectors). */
bool pv_reply_check(const uint8_t *message, size_t length, const struct pv_question *, int id,
                    struct pv_reply *ret, const char **ret_why);

/* Copy the checked reply to out (at least ret->length octets) without OPT and trailing octets,
 * ARCOUNT lowered; returns the length. Records after the OPT stay if no pointer reaches past it,
 * else they are dropped. ttl_offsets (room for ttl_count) gets where TTLs stand, *ret_count how
 * many. */
size_t pv_reply_strip(const uint8_t *message, const struct pv_reply *, uint8_t *out,
                      uint16_t *ttl_offsets, unsigned *ret_count);

#endif
