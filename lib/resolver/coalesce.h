/* Askers: who waits for a query. Equal questions share one query; each asker keeps its own deadline
 * and gets the answer with its own id and letter case. */
#ifndef PV_RESOLVER_COALESCE_H
#define PV_RESOLVER_COALESCE_H

#include "resolver/query.h"
#include "wire/query.h"

/* What of the asker's message its answer needs. */
struct pv_asker_view {
    uint16_t id;
    bool recursion_desired, checking_disabled, wants_ad;
    uint16_t question_length;
    uint8_t question[PV_NAME_MAX + 4]; /* as it wrote it */
};

struct privy_query {
    struct pv_list link; /* query->askers */
    struct privy_resolver *resolver;
    struct pv_query *query;   /* NULL: its answer is at hand (cache) */
    struct pv_entry *at_hand; /* that answer */
    bool stale, joined;
    privy_done *done;
    void *arg;
    uint64_t begun;
    struct pv_asker_view view;
    struct pv_timer deadline, stale_at;
    struct pv_deferred ending;
};

/* Everything of the query has left the resolver's tables; tell all its askers: the answer in entry
 * (from attempt, or a stale one: NULL), or the failure. Frees the query. The last thing to do with
 * it: a callback may free the resolver. */
void pv_askers_answer(struct pv_query *, struct pv_entry *entry, const struct pv_attempt *from);
void pv_askers_fail(struct pv_query *, enum privy_status, struct privy_error *);
/* Give them the stale entry; the query goes on without them. */
void pv_askers_stale(struct pv_query *);
/* Forget them without a word (the resolver goes). */
void pv_askers_forget(struct pv_query *);
/* Those answered from the cache and not told yet. */
void pv_askers_forget_at_hand(struct privy_resolver *);

#endif
