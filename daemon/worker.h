/* A worker: a thread with its own loop, sockets, resolvers and counters. */
#ifndef PRIVYDNSD_WORKER_H
#define PRIVYDNSD_WORKER_H

#include "mailbox.h"
#include "process/sockets.h"
#include "serve/request.h"
#include "serve/tcp_limits.h"

struct worker;

/* What all workers share; the main thread's. */
struct shared {
    struct privy_cache *cache;
    struct limits limits;
    struct tcp_limits tcp_limits;
    /* Each worker's last letter; and where it goes to. */
    void (*ended)(struct letter *);
    struct mailbox *mailbox;
};

/* What a reload changes; given to each worker, freed by the last that is done with it. */
struct change {
    _Atomic unsigned refs;
    struct policy *policy; /* counted */
    struct sockets *added; /* each worker takes its own descriptors; the rest are closed */
    size_t added_count;
    struct pv_addr *removed;
    size_t removed_count;
};
void change_unref(struct change *);

/* The word of a change to one worker. */
struct notice;
struct notice *notice_new(struct worker *, struct change *); /* NULL: no memory */
void notice_send(struct notice *);
void notice_free(struct notice *); /* of one that was not sent */

/* Make one, not running yet. NULL with why. */
struct worker *worker_new(unsigned index, struct policy *, struct shared *, char *why,
                          size_t capacity);
/* Before it runs: serve this address with its own pair of the sockets, and own those. False: not,
 * or not both; what it does not serve stays in there. */
bool worker_listen(struct worker *, struct sockets *);
bool worker_start(struct worker *); /* false: no thread */
void worker_stop(struct worker *);  /* from any thread, once */
/* Wait for its thread, free it. */
void worker_free(struct worker *);
const struct stats *worker_stats(const struct worker *);

#endif
