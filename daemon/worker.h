/* A worker: a thread with its own loop, sockets, resolvers and counters. */
#ifndef PRIVYDNSD_WORKER_H
#define PRIVYDNSD_WORKER_H

#include "process/sockets.h"
#include "serve/request.h"
#include "serve/tcp_limits.h"

struct worker;

/* What all workers share; the main thread's. */
struct shared {
    struct privy_cache *cache;
    struct limits limits;
    struct tcp_limits tcp_limits;
    /* Called on a worker's thread when it has ended, as the last thing it does. */
    void (*ended)(void *arg);
    void *arg;
};

/* What a reload changes; given to each worker, freed by the last that is done with it. */
struct change {
    _Atomic unsigned refs;
    struct policy *policy; /* counted */
    struct sockets *added; /* each worker takes its own descriptors */
    size_t added_count;
    struct pv_addr *removed;
    size_t removed_count;
};
void change_unref(struct change *); /* closes no descriptor */

/* Make one, not running yet. NULL with why. */
struct worker *worker_new(unsigned index, struct policy *, struct shared *, char *why,
                          size_t capacity);
/* Before it runs: serve this address with its own pair of the sockets. */
bool worker_listen(struct worker *, struct sockets *);
bool worker_start(struct worker *); /* false: no thread */
/* From any thread. False: no memory, nothing happens. */
bool worker_change(struct worker *, struct change *);
bool worker_stop(struct worker *);
/* Wait for its thread, free it. */
void worker_free(struct worker *);
const struct stats *worker_stats(const struct worker *);

#endif
