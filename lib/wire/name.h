/* Domain names in wire form: length-prefixed labels, at most 255 octets with the root
 * [RFC 1035 §3.1]. Comparison ignores ASCII case; labels are binary [RFC 4343 §3]. */
#ifndef PV_WIRE_NAME_H
#define PV_WIRE_NAME_H

#include "base/buf.h"

#define PV_NAME_MAX  255
#define PV_NAME_TEXT 1025 /* 255 octets, each as \DDD, final dot, NUL */

/* Read the name that starts at r->at inside message (for compression pointers, which must go
 * strictly backwards, to offset >= 12, at most 128 hops). Writes it uncompressed, case kept,
 * to out (NULL: only skip), advances r past it. Returns its uncompressed length, 0 with r bad when
 * it is malformed; then *ret_why (if not NULL) says how: "reserved label type",
 * "pointer not backwards", "pointer into header", "pointer cut", "name runs past end",
 * "name too long", "too many pointer hops". */
size_t pv_name_read(struct pv_reader *r, const uint8_t *message, uint8_t out[PV_NAME_MAX],
                    const char **ret_why);
/* The same where no pointer is allowed (a question). When bad, r stays at what was wrong. */
size_t pv_name_read_plain(struct pv_reader *r, uint8_t out[PV_NAME_MAX]);
/* Go past a name that is known to be good; pointers are not followed. */
void pv_name_skip(struct pv_reader *r);

/* What is known of the names of one message, by where they begin. With it, checking all of them
 * takes linear time, however they point at each other. 32 KiB: on the stack, for one pass. */
#define PV_NAME_MEMO 0x4000 /* no pointer reaches further */
struct pv_name_memo {
    struct {
        uint8_t length, hops; /* length 0: not known */
    } at[PV_NAME_MEMO];
};
void pv_name_memo_init(struct pv_name_memo *, size_t message_length);
/* pv_name_read without output. r must end where the message ends, for all names of a memo. Without
 * a memo nothing is remembered. */
size_t pv_name_check(struct pv_reader *r, const uint8_t *message, struct pv_name_memo *,
                     const char **ret_why);

void pv_name_lower(uint8_t *name, size_t length); /* in place; length octets are left alone */
bool pv_name_equal(const uint8_t *a, const uint8_t *b, size_t length); /* same length given */
size_t pv_name_length(const uint8_t *name); /* of a valid uncompressed name */
/* Is name equal to zone or below it? Both valid, uncompressed. */
bool pv_name_under(const uint8_t *name, size_t length, const uint8_t *zone, size_t zone_length);
/* The last `labels` labels of name (with the root): a pointer into it; the whole name if it has
 * fewer. */
const uint8_t *pv_name_tail(const uint8_t *name, unsigned labels);
unsigned pv_name_labels(const uint8_t *name); /* without the root */

/* Text to wire. "" and names with empty or overlong labels, non-ASCII octets: false. */
bool pv_name_from_text(const char *text, size_t length, uint8_t out[PV_NAME_MAX],
                       size_t *ret_length);
/* Wire to text with a final dot; specials as \X, octets outside 33..126 as \DDD. */
size_t pv_name_to_text(const uint8_t *name, char out[PV_NAME_TEXT]);

#endif
