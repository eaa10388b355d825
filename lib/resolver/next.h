/* What follows from a failed attempt: a pure table. */
#ifndef PV_RESOLVER_NEXT_H
#define PV_RESOLVER_NEXT_H

#include "conn/proto.h"

enum pv_step {
    PV_STEP_FINISH,       /* this is the answer */
    PV_STEP_AGAIN,        /* the same upstream, on any connection */
    PV_STEP_AGAIN_FRESH,  /* the same upstream, on a new connection */
    PV_STEP_AGAIN_STREAM, /* the same upstream, over a stream */
    PV_STEP_NEXT,         /* another upstream, any of the pool */
    PV_STEP_LATER,        /* the same, else the same one again, in a moment */
    PV_STEP_NEXT_ALIKE,   /* another upstream of the same class (PV_PROP_CLASS) */
    PV_STEP_ONE_ALIKE,    /* the same, but only one; if it does no better, this answer stands */
};

struct pv_next {
    enum pv_step step;
    bool free;        /* what was sent does not count as a try */
    unsigned replays; /* so many of them for each query: then it is PV_STEP_NEXT; 0: no matter */
};

const struct pv_next *pv_next(enum pv_outcome);

#endif
