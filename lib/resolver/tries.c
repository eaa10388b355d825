#include "resolver/tries.h"

#include "conn/attempt.h"

enum { ATTEMPTS_KEPT = PRIVY_ERROR_ATTEMPTS }; /* of a query, for its error */

#define ATTEMPT(it) pv_container(it, struct pv_attempt, of_query)

bool pv_tries_left(const struct pv_query *q)
{
    return q->tries < q->options.tries;
}

struct pv_attempt *pv_tries_newest(const struct pv_query *q)
{
    for (struct pv_list *it = q->attempts.prev; it != &q->attempts; it = it->prev) {
        if (ATTEMPT(it)->outcome == PV_PENDING)
            return ATTEMPT(it);
    }
    return NULL;
}

bool pv_tries_deciding(const struct pv_query *q)
{
    pv_list_each (it, &q->attempts) {
        if (ATTEMPT(it)->ending.queued)
            return true;
    }
    return false;
}

bool pv_tries_any_sent(const struct pv_query *q)
{
    pv_list_each (it, &q->attempts) {
        if (ATTEMPT(it)->was_sent)
            return true;
    }
    return false;
}

bool pv_tries_any_silent(const struct pv_query *q)
{
    pv_list_each (it, &q->attempts) {
        if (ATTEMPT(it)->overdue)
            return true;
    }
    return false;
}

static void forget(struct pv_query *q, struct pv_attempt *a)
{
    if (q->waited == a)
        q->waited = NULL;
    pv_list_remove(&a->of_query);
    pv_attempt_done(a);
    free(a);
    q->attempt_count--;
}

/* The oldest that never went out is forgotten first. */
static void forget_one(struct pv_query *q)
{
    struct pv_attempt *oldest = NULL;
    pv_list_each (it, &q->attempts) {
        struct pv_attempt *a = ATTEMPT(it);
        if (a->outcome == PV_PENDING || a == q->standing || a->ending.queued)
            continue;
        if (!oldest || (oldest->was_sent && !a->was_sent))
            oldest = a;
    }
    if (oldest)
        forget(q, oldest);
}

void pv_tries_add(struct pv_query *q, struct pv_attempt *a)
{
    if (q->attempt_count >= ATTEMPTS_KEPT)
        forget_one(q);
    pv_list_append(&q->attempts, &a->of_query);
    q->attempt_count++;
}

void pv_tries_trim(struct pv_query *q)
{
    pv_list_each_safe (it, &q->attempts) {
        struct pv_attempt *a = ATTEMPT(it);
        if (a->outcome != PV_PENDING || a->was_sent)
            continue;
        pv_attempt_drop(a, false);
        forget(q, a);
    }
}
