/* Replies as one client gets them: error replies, and an answer fitted to what the client can take
 * (EDNS, size, truncation). Pure. */
#ifndef PRIVYDNSD_ANSWER_H
#define PRIVYDNSD_ANSWER_H

#include "wire/query.h"

/* What of the query decides about the form of the reply. */
struct asker {
    bool tcp;
    bool edns, dnssec_ok; /* the reply has OPT, its DO */
    bool keepalive;       /* tell it keepalive_value (100 ms units) */
    bool opaque;          /* signed: the answer goes through unchanged, or cut */
    uint16_t keepalive_value;
    uint16_t limit;     /* the largest reply */
    uint16_t edns_size; /* what we say we can take */
};
/* edns_size faces clients: it also bounds UDP replies [RFC 6891 §6.2.3]. */
struct asker asker_of(const struct pv_query_view *, bool tcp, uint16_t edns_size);

#define ANSWER_EDES     2
#define ANSWER_EDE_TEXT 64

/* Extended DNS Errors for the reply. */
struct answer_edes {
    unsigned count;
    struct answer_ede {
        uint16_t code;
        uint8_t text_length;
        char text[ANSWER_EDE_TEXT];
    } items[ANSWER_EDES];
};
/* Add one, while there is room. Text "<who>: <what>", each may be empty or NULL; what need not be
 * NUL-ended, is cut at 64 octets, never inside a UTF-8 character. */
void answer_ede_add(struct answer_edes *, uint16_t code, const char *who, const char *what,
                    size_t what_length);

/* An empty reply to the query of this header and question (NULL: header only), without OPT. Returns
 * its length, 0 when it does not fit. */
size_t answer_empty(const struct pv_header *query, const uint8_t *question, size_t question_length,
                    unsigned rcode, uint8_t *out, size_t capacity);

/* The minimal answer to ANY: HINFO "RFC8482" "" [RFC 8482 §4.2], without OPT. */
size_t answer_hinfo(const struct pv_query_view *, uint8_t *out, size_t capacity);

/* Fit the message (without OPT; whole, checked) to the asker in place: add OPT, and drop what
 * is too large. rcode: extended, 12 bits. Returns the new length, at most asker->limit. */
size_t answer_fit(const struct asker *, uint8_t *message, size_t length, size_t capacity,
                  unsigned rcode, const struct answer_edes *);

#endif
