/* What a server may answer to a query, right and wrong. A right answer has the query's number in
 * its RDATA: 192.0.2.N for nN.example. */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

#include "world.h"

enum deed {
    PEER_ANSWERS,
    PEER_DENIES,        /* NXDOMAIN, with SOA */
    PEER_FAILS,         /* SERVFAIL */
    PEER_CUTS,          /* TC */
    PEER_OTHER_ID,      /* from here to PEER_ECHOES: not the answer */
    PEER_OTHER_NAME,    /* as question */
    PEER_GARBLES,       /* all but the id */
    PEER_BREAKS_OFF,    /* in the middle */
    PEER_ECHOES,        /* the query itself */
    PEER_REFUSES,       /* without a question */
    PEER_REFERS,        /* lame */
    PEER_CLOSES_SOON,   /* an answer; no idle connections are kept */
    PEER_KEEPS_SHORTLY, /* an answer; idle connections are kept for 1 s */
    PEER_ADDS,          /* an answer, with octets behind it */
    PEER_REPEATS,       /* an answer, twice */
    PEER_REMEMBERS,     /* an answer, and may answer again */
    PEER_DEEDS
};

/* N of nN.example; 0: another name. */
unsigned peer_number(const uint8_t *name);
/* Answer the message, one of s->heard. */
void peer_does(struct pv_sock *s, struct world_message *, enum deed);

#endif
