/* One HTTP response as it comes in, field by field and piece by piece, within bounds that hold
 * before memory is taken [RFC 9110; RFC 8484]. Pure. */
#ifndef PV_NET_H2_RESPONSE_H
#define PV_NET_H2_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PV_H2_FIELDS_MOST = 64,
    PV_H2_FIELD_OCTETS_MOST = 16384, /* names, values and 32 each [RFC 9113 §6.5.2] */
    PV_H2_BODY_MOST = 65535,
    PV_H2_TYPE_TEXT = 64,
};

struct pv_h2_response {
    unsigned status;            /* 0: none yet */
    char type[PV_H2_TYPE_TEXT]; /* media type, lower case, no parameters, cut; "": not given */
    bool encoded;               /* content-encoding, other than identity */
    bool has_age, has_retry_after;
    uint32_t age, retry_after; /* s; 0 where not given */
    uint8_t *body;
    size_t length;

    size_t room;
    bool unwanted; /* nobody waits: its body is counted only */
    bool has_head; /* what follows are trailers */
    unsigned fields, field_octets;
};

void pv_h2_response_init(struct pv_h2_response *);
void pv_h2_response_done(struct pv_h2_response *);
/* The block of fields has ended. One that was only informational [RFC 9110 §15.2] is forgotten but
 * for the bounds. */
void pv_h2_response_end_block(struct pv_h2_response *);
/* A field, its name in lower case; trailers too, which say nothing. False: more of them than
 * allowed. */
bool pv_h2_response_field(struct pv_h2_response *, const uint8_t *name, size_t name_length,
                          const uint8_t *value, size_t value_length);
/* Nobody waits for it any more: what there is of its body goes, what comes is counted. */
void pv_h2_response_forget(struct pv_h2_response *);
enum pv_h2_add { PV_H2_ADDED, PV_H2_TOO_LARGE, PV_H2_NO_MEMORY };
enum pv_h2_add pv_h2_response_add(struct pv_h2_response *, const uint8_t *bytes, size_t n);

#endif
