/* A query message as received: parsed once, in place, for the daemon's checks and the resolver.
 * Follows the table of bad input row by row; the first fault wins. */
#ifndef PV_WIRE_QUERY_H
#define PV_WIRE_QUERY_H

#include "wire/edns.h"
#include "wire/message.h"

enum pv_fault {
    PV_FINE = 0,
    PV_FAULT_SHORT,       /* under 12 octets: drop, TCP: close */
    PV_FAULT_RESPONSE,    /* QR=1: the same */
    PV_FAULT_OPCODE,      /* NOTIMP, header only */
    PV_FAULT_HEADER,      /* FORMERR, header only: QDCOUNT > 1, the question does not parse */
    PV_FAULT_NO_QUESTION, /* QDCOUNT = 0: FORMERR, with OPT if there was one (see edns.present) */
    PV_FAULT_RECORD,      /* FORMERR + question, no OPT: a later record does not parse */
    PV_FAULT_OPT,         /* FORMERR + question + OPT: twice, owner not root, not in additional */
    PV_FAULT_VERSION,     /* BADVERS + question + OPT */
    PV_FAULT_OPTION,      /* FORMERR + question + OPT: an option overruns */
};

struct pv_query_view {
    enum pv_fault fault;
    struct pv_header header;
    struct pv_question question;   /* lower case */
    const uint8_t *question_bytes; /* as received, case kept: name, type, class */
    size_t question_length;
    struct pv_edns edns;
    bool has_keepalive, has_ecs;
    uint16_t keepalive_length;
    bool is_signed; /* the last additional record is TSIG or SIG(0) */
};
/* Never fails: ret->fault tells. Members behind the fault's place are zero. */
void pv_query_parse(struct pv_query_view *ret, const uint8_t *message, size_t length);

#endif
