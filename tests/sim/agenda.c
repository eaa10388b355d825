#include "agenda.h"

#include "memory.h"

#include <stdbool.h>
#include <string.h>

void agenda_done(struct agenda *a)
{
    own_free(a->heap);
    memset(a, 0, sizeof *a);
}

static bool before(const struct task *a, const struct task *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void put(struct agenda *a, unsigned place, struct task *t)
{
    a->heap[place - 1] = t;
    t->place = place;
}

static void settle(struct agenda *a, unsigned place, struct task *t)
{
    while (place > 1 && before(t, a->heap[place / 2 - 1])) {
        put(a, place, a->heap[place / 2 - 1]);
        place /= 2;
    }
    for (unsigned child = place * 2; child <= a->count; child = place * 2) {
        if (child < a->count && before(a->heap[child], a->heap[child - 1]))
            child++;
        if (!before(a->heap[child - 1], t))
            break;
        put(a, place, a->heap[child - 1]);
        place = child;
    }
    put(a, place, t);
}

static void grow(struct agenda *a)
{
    unsigned room = a->room ? a->room * 2 : 64;
    struct task **heap = own_alloc(room * sizeof(struct task *));
    if (a->count)
        memcpy(heap, a->heap, a->count * sizeof(struct task *));
    own_free(a->heap);
    a->heap = heap;
    a->room = room;
}

void agenda_set(struct agenda *a, struct task *t, uint64_t at, void (*run)(struct task *))
{
    agenda_clear(a, t);
    if (a->count == a->room)
        grow(a);
    t->at = at;
    t->order = ++a->orders;
    t->run = run;
    a->count++;
    settle(a, a->count, t);
}

void agenda_clear(struct agenda *a, struct task *t)
{
    unsigned place = t->place;
    if (!place)
        return;
    struct task *last = a->heap[--a->count];
    t->place = 0;
    if (last != t)
        settle(a, place, last);
}

uint64_t agenda_next(const struct agenda *a)
{
    return a->count ? a->heap[0]->at : UINT64_MAX;
}

void agenda_run(struct agenda *a, uint64_t now)
{
    while (agenda_next(a) <= now) {
        struct task *t = a->heap[0];
        agenda_clear(a, t);
        t->run(t);
    }
}
