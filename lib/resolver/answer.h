/* An answer as an asker gets it: wire bytes of its own, and the facts. */
#ifndef PV_RESOLVER_ANSWER_H
#define PV_RESOLVER_ANSWER_H

#include "resolver/coalesce.h"

#include <stdatomic.h>

struct privy_answer {
    _Atomic unsigned refs;
    struct privy_facts facts;
    uint16_t rcode;
    uint32_t ttl;
    unsigned ede_count;
    struct {
        uint16_t code, length;
        char text[64];
    } ede[2];
    char upstream[64], protocol[12]; /* what facts points to */
    size_t length;
    uint8_t wire[];
};

/* Room for capacity octets of wire; NULL: no memory. */
struct privy_answer *pv_answer_new(size_t capacity);
/* From a stored message at this age, fitted to the asker. from: the attempt that brought it, or
 * NULL. */
struct privy_answer *pv_answer_make(const struct pv_entry *, uint64_t age_now,
                                    const struct pv_asker_view *, const struct pv_attempt *from);
/* Header and question of a stored message become the asker's: id, RD, CD, AD where it may see it,
 * the question's letter case. */
void pv_answer_fit(uint8_t *wire, size_t length, const struct pv_asker_view *);

#endif
