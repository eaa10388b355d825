/* What servers say: true answers and lies, each with a number in it, and the ledger of what was
 * said under that number. */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H

#include "dice.h"

#include "base/addr.h"
#include "wire/query.h"
#include "wire/reply.h"

#define MS 1000ULL
#define S  1000000ULL

enum content {
    SAYS_ANSWER,
    SAYS_ALIAS, /* a CNAME and what it leads to */
    SAYS_NO_NAME,
    SAYS_NO_DATA,
    SAYS_NO_NAME_BARE, /* without SOA */
    SAYS_ERROR,        /* an RCODE */
    SAYS_CUT,          /* TC=1 */
    SAYS_LAME,         /* a referral */
    /* Lies: no answer to what was asked. */
    SAYS_OTHER_ID,
    SAYS_OTHER_NAME,
    SAYS_OTHER_TYPE,
    SAYS_QUERY,         /* QR=0 */
    SAYS_NO_QUESTION,   /* QDCOUNT=0 */
    SAYS_TWO_QUESTIONS, /* QDCOUNT=2, one there */
    SAYS_OVERRUN,       /* RDATA past the end */
    SAYS_GARBAGE,       /* behind the right id */
    CONTENTS
};

/* How a message is worded; to be drawn. */
struct wording {
    enum content content;
    uint16_t rcode;
    uint32_t ttl;
    uint32_t age;     /* s: as an HTTP cache tells it */
    unsigned padding; /* octets of more records */
    bool other_case, opt_first, ad;
    int keepalive;                   /* 100 ms; -1: no such option */
    const struct pv_addr *addresses; /* of the name, where it is an upstream's */
    unsigned address_count;
};

/* What was said, by number. */
struct said {
    unsigned server;
    enum content content;
    struct pv_question question; /* the one asked */
    bool dnssec_ok, checking_disabled, is_signed, over_stream;
    uint16_t rcode;
    uint32_t ttl, age;
    uint64_t at_us, at_age; /* when it was written; it may travel for */
    uint64_t travel_us;
};

struct ledger {
    struct said *all;
    unsigned count, room;
};

void ledger_done(struct ledger *);
struct said *ledger_add(struct ledger *);
bool is_lie(enum content);
/* May an answer with these words be kept, and for how long at most (s)? 0: not at all. */
uint32_t said_life(const struct said *, uint32_t max_ttl, uint32_t max_negative_ttl,
                   uint32_t min_ttl);

struct wording wording_draw(struct dice *, enum content);
/* Write the answer to this query; number: of the ledger. Returns the length. */
size_t reply_write(uint8_t *out, size_t capacity, const uint8_t *query,
                   const struct pv_query_view *, const struct wording *, unsigned number,
                   struct dice *);

/* Read the number that stands in an answer, and the name beside it (lower case); false: none. */
enum { NOTE_NAME = 80 };
bool note_read(const uint8_t *rdata, size_t length, unsigned *ret_number, char name[NOTE_NAME]);

#endif
