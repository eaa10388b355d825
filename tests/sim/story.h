/* The story of a world: its load and its faults, drawn from the seed; and its good end. */
#ifndef SIM_STORY_H
#define SIM_STORY_H

#include "world.h"

void story_run(struct world *);

#endif
