/* Names answered here, whatever the upstreams would say: localhost, .onion, private reverse zones
 * and the like [RFC 6761, 6303, 7686, 7793, 8375, 9462, 9476]. Pure. */
#ifndef PRIVYDNSD_SPECIAL_H
#define PRIVYDNSD_SPECIAL_H

#include "wire/query.h"

enum special_kind {
    SPECIAL_LOCALHOST, /* A 127.0.0.1, AAAA ::1, else no data */
    SPECIAL_NO_NAME,   /* no such name, itself included */
    SPECIAL_NO_DATA,   /* every name exists and has nothing */
    SPECIAL_ZONE,      /* an empty zone: SOA and NS, nothing below */
    SPECIAL_LOOPBACK4, /* the same with the PTR of 127.0.0.1 */
    SPECIAL_LOOPBACK6, /* the same with the PTR of ::1 */
    SPECIAL_HOME,      /* an empty zone whose DS is asked upstream [RFC 8375 §4] */
};

struct special {
    enum special_kind kind;
    size_t zone_offset; /* where the zone begins in the name */
};

/* Is name (lower case) one of them? */
bool special_find(const uint8_t *name, size_t length, struct special *ret);
/* Must this question go upstream all the same? */
bool special_forwards(const struct special *, const struct pv_query_view *);
/* Write the whole reply, but for OPT. Returns its length, 0 when it does not fit. */
size_t special_answer(const struct special *, const struct pv_query_view *, uint8_t *out,
                      size_t capacity);

#endif
