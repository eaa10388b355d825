/* What is to happen, in the order of its time: a heap of tasks embedded in their owners. */
#ifndef SIM_AGENDA_H
#define SIM_AGENDA_H

#include <stdint.h>

struct task {
    uint64_t at, order;
    unsigned place; /* in the heap, from 1; 0: not on the agenda */
    void (*run)(struct task *);
};

struct agenda {
    struct task **heap;
    unsigned count, room;
    uint64_t orders;
};

void agenda_done(struct agenda *);
/* Set again moves it. Of those due at the same time the one set first runs first. */
void agenda_set(struct agenda *, struct task *, uint64_t at, void (*run)(struct task *));
void agenda_clear(struct agenda *, struct task *);
uint64_t agenda_next(const struct agenda *); /* UINT64_MAX: nothing */
/* Run what is due; it may set and clear. */
void agenda_run(struct agenda *, uint64_t now);

#endif
