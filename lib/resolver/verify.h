/* Read an answer that is one (conn/ has checked that it belongs to the question): is it final? */
#ifndef PV_RESOLVER_VERIFY_H
#define PV_RESOLVER_VERIFY_H

#include "conn/proto.h"

/* PV_GOOD, or the kind of answer another upstream might better. */
enum pv_outcome pv_verify(const struct pv_reply *);
/* How good an answer that is not final is, to choose what stands in the end: higher is better. */
unsigned pv_verify_worth(enum pv_outcome);

#endif
