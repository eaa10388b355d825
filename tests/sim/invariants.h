/* What must be so, whatever happens. */
#ifndef SIM_INVARIANTS_H
#define SIM_INVARIANTS_H

#include "world.h"

/* After each turn of a loop. */
void invariants_check(struct world *);
/* The resolver opens a sock. */
void invariants_opening(void *world, struct net_host *, bool tcp);
/* Nothing is asked, nothing is open, no timer runs: of a resolver that has had time for it. */
void invariants_idle(struct worker *);
/* The same of a loop whose resolver is gone. */
void invariants_nothing_left(const struct worker *);

#endif
