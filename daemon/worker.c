#include "worker.h"

#include "process/log.h"
#include "serve/tcp.h"
#include "serve/udp.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define STOP_MS   1000 /* what is in flight has so long to finish */
#define RETIRE_MS 1000 /* beyond the deadline of the last query */
#define AGAIN_MS  1000 /* until an address is tried again that could not be served */

/* A pool's resolver that no new question gets; freed when its last one must have ended. */
struct retired {
    struct pv_list link;
    struct privy_resolver *resolver;
    struct event timer;
};

struct worker {
    unsigned index;
    struct shared *shared;
    struct event_base *base;
    struct mailbox mailbox;
    struct stats stats;
    struct server server;
    struct udp *udp;
    struct tcp *tcp;
    struct privy_resolver **resolvers; /* as server.policy->config->pools */
    struct pv_list retired;
    struct pv_list late;    /* notices with addresses that cannot be served yet */
    uint32_t deadline_most; /* of all configurations so far, ms */
    struct event stop_timer;
    bool stopping, running;
    struct letter stop, ended;
    pthread_t thread;
};

void change_unref(struct change *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    policy_unref(c->policy);
    for (size_t i = 0; i < c->added_count; i++)
        sockets_close(&c->added[i]);
    free(c->added);
    free(c->removed);
    free(c);
}

/* libevent's usual clock is some milliseconds coarse: timers of one would spin until it moves. */
static struct event_base *precise_base(void)
{
    struct event_config *how = event_config_new();
    if (!how)
        return NULL;
    event_config_set_flag(how, EVENT_BASE_FLAG_PRECISE_TIMER);
    struct event_base *base = event_base_new_with_config(how);
    event_config_free(how);
    return base;
}

/* ---- resolvers ---- */

static void free_resolvers(struct privy_resolver **resolvers, size_t count)
{
    for (size_t i = 0; resolvers && i < count; i++)
        privy_resolver_free(resolvers[i]);
    free(resolvers);
}

static struct privy_resolver *resolver_new(struct worker *w, const struct config *config, size_t i,
                                           struct privy_error *reterr)
{
    struct privy_resolver *r = NULL;
    struct privy_resolver_options options;
    privy_resolver_options_default(&options);
    options.query = config->query;
    options.limits = config->limits;
    options.limits.inflight = UINT32_MAX; /* all workers share one count: serve/request */
    if (privy_resolver_new(w->base, config->pools[i].set, w->shared->cache, &options, &r, reterr) !=
        PRIVY_OK)
        return NULL;
    return r;
}

static bool first_resolvers(struct worker *w, const struct config *config,
                            struct privy_error *reterr)
{
    w->resolvers = calloc(config->pool_count, sizeof(struct privy_resolver *));
    for (size_t i = 0; w->resolvers && i < config->pool_count; i++)
        if (!(w->resolvers[i] = resolver_new(w, config, i, reterr)))
            return false;
    w->server.resolvers = w->resolvers;
    return w->resolvers != NULL;
}

static void retired_free(struct retired *r)
{
    event_del(&r->timer);
    privy_resolver_free(r->resolver);
    pv_list_remove(&r->link);
    free(r);
}

static void on_retired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    retired_free(arg);
}

/* No question is lost: each ends by its deadline, answered or not. The deadline is that of the
 * configuration it came under, which may be an earlier one. */
static void retire(struct worker *w, struct privy_resolver *resolver)
{
    struct retired *r = calloc(1, sizeof *r);
    uint32_t ms = w->deadline_most + RETIRE_MS;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    if (!r) {
        privy_resolver_free(resolver);
        return;
    }
    r->resolver = resolver;
    pv_list_append(&w->retired, &r->link);
    event_assign(&r->timer, w->base, -1, 0, on_retired, r);
    event_add(&r->timer, &tv);
}

/* The old resolver of a pool of that name; taken out of the old array. */
static struct privy_resolver *take_old(struct worker *w, const char *name)
{
    const struct config *old = w->server.policy->config;
    struct privy_resolver **at = &w->resolvers[config_find_pool(old, name) - old->pools], *r = *at;
    *at = NULL;
    return r;
}

/* Resolvers for the pools that are new; the others' places stay empty. */
static struct privy_resolver **new_resolvers(struct worker *w, const struct config *config)
{
    struct privy_error error;
    struct privy_resolver **fresh = calloc(config->pool_count, sizeof(struct privy_resolver *));
    for (size_t i = 0; fresh && i < config->pool_count; i++) {
        if (config_find_pool(w->server.policy->config, config->pools[i].name) ||
            (fresh[i] = resolver_new(w, config, i, &error)))
            continue;
        log_error("worker %u cannot use pool %s: %s", w->index, config->pools[i].name,
                  error.message);
        free_resolvers(fresh, config->pool_count);
        return NULL;
    }
    return fresh;
}

static void adopt_policy(struct worker *w, struct policy *policy)
{
    const struct config *config = policy->config, *old = w->server.policy->config;
    struct privy_resolver **fresh = new_resolvers(w, config);
    if (!fresh)
        return; /* goes on as before */
    for (size_t i = 0; i < config->pool_count; i++) {
        if (fresh[i])
            continue;
        fresh[i] = take_old(w, config->pools[i].name);
        if (privy_resolver_set_upstreams(fresh[i], config->pools[i].set) != PRIVY_OK)
            log_error("worker %u: pool %s keeps its old upstreams: no memory", w->index,
                      config->pools[i].name);
    }
    if (w->deadline_most < old->query.deadline)
        w->deadline_most = old->query.deadline;
    for (size_t i = 0; i < old->pool_count; i++)
        if (w->resolvers[i])
            retire(w, w->resolvers[i]);
    free(w->resolvers);
    w->resolvers = w->server.resolvers = fresh;
    server_set_policy(&w->server, policy);
}

/* ---- letters ---- */

struct notice {
    struct letter letter;
    struct pv_list late;
    struct worker *worker;
    struct change *change;
    struct event again;
};

static void on_again(evutil_socket_t fd, short what, void *arg);

struct notice *notice_new(struct worker *w, struct change *c)
{
    struct notice *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->worker = w;
    n->change = c;
    pv_list_init(&n->late);
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    event_assign(&n->again, w->base, -1, 0, on_again, n);
    return n;
}

void notice_free(struct notice *n)
{
    pv_list_remove(&n->late);
    change_unref(n->change);
    free(n);
}

/* Serve the new addresses; of those that cannot be served now, try again. */
static void serve_added(struct notice *n)
{
    struct worker *w = n->worker;
    struct timeval tv = {.tv_sec = AGAIN_MS / 1000};
    bool all = true;
    for (size_t i = 0; i < n->change->added_count; i++)
        all = worker_listen(w, &n->change->added[i]) && all;
    if (all) {
        notice_free(n);
        return;
    }
    log_error("worker %u cannot serve a new address yet: no memory", w->index);
    pv_list_append(&w->late, &n->late);
    event_add(&n->again, &tv);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct notice *n = arg;
    (void)fd, (void)what;
    pv_list_remove(&n->late);
    serve_added(n);
}

static void close_pair(struct sockets *s, unsigned index)
{
    if (s->udp[index] >= 0)
        close(s->udp[index]);
    if (s->tcp[index] >= 0)
        close(s->tcp[index]);
    s->udp[index] = s->tcp[index] = -1;
}

static void unlisten(struct worker *w, const struct pv_addr *addr)
{
    udp_unlisten(w->udp, addr);
    tcp_unlisten(w->tcp, addr);
    pv_list_each (it, &w->late) {
        struct change *c = pv_container(it, struct notice, late)->change;
        for (size_t i = 0; i < c->added_count; i++)
            if (pv_addr_equal(&c->added[i].addr, addr))
                close_pair(&c->added[i], w->index);
    }
}

static void drop_late(struct worker *w)
{
    pv_list_each_safe (it, &w->late) {
        struct notice *n = pv_container(it, struct notice, late);
        event_del(&n->again);
        notice_free(n);
    }
}

static void on_change(struct letter *l)
{
    struct notice *n = pv_container(l, struct notice, letter);
    struct change *c = n->change;
    adopt_policy(n->worker, c->policy);
    for (size_t i = 0; i < c->removed_count; i++)
        unlisten(n->worker, &c->removed[i]);
    serve_added(n);
}

void notice_send(struct notice *n)
{
    mailbox_post(&n->worker->mailbox, &n->letter, on_change);
}

static void leave(struct worker *w)
{
    event_base_loopexit(w->base, NULL);
}

static void leave_when_quiet(void *arg)
{
    struct worker *w = arg;
    if (!w->server.pending_count && tcp_is_empty(w->tcp))
        leave(w);
}

static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    leave(arg);
}

static void on_stop(struct letter *l)
{
    struct worker *w = pv_container(l, struct worker, stop);
    struct timeval tv = {.tv_sec = STOP_MS / 1000};
    w->stopping = true;
    drop_late(w);
    w->server.idle = leave_when_quiet;
    w->server.idle_arg = w;
    udp_stop(w->udp);
    tcp_stop(w->tcp, leave_when_quiet, w);
    event_add(&w->stop_timer, &tv);
    leave_when_quiet(w);
}

void worker_stop(struct worker *w)
{
    mailbox_post(&w->mailbox, &w->stop, on_stop);
}

/* ---- life ---- */

/* Free everything but the worker itself; half-built is fine. */
static void take_down(struct worker *w)
{
    if (!w->base)
        return;
    event_del(&w->stop_timer);
    drop_late(w);
    if (w->server.policy)
        free_resolvers(w->resolvers, w->server.policy->config->pool_count);
    pv_list_each_safe (it, &w->retired)
        retired_free(pv_container(it, struct retired, link));
    tcp_free(w->tcp);
    server_done(&w->server);
    udp_free(w->udp);
    mailbox_done(&w->mailbox);
    event_base_free(w->base);
    w->base = NULL;
}

static bool build(struct worker *w, struct policy *policy, struct privy_error *reterr)
{
    w->base = precise_base();
    if (!w->base)
        return false;
    event_assign(&w->stop_timer, w->base, -1, 0, on_stop_timer, w);
    if (!mailbox_init(&w->mailbox, w->base) ||
        !server_init(&w->server, policy, &w->shared->limits, &w->stats))
        return false;
    w->udp = udp_new(w->base, &w->server);
    w->tcp = tcp_new(w->base, &w->server, &w->shared->tcp_limits);
    return w->udp && w->tcp && first_resolvers(w, policy->config, reterr);
}

struct worker *worker_new(unsigned index, struct policy *policy, struct shared *shared, char *why,
                          size_t capacity)
{
    struct privy_error error = {.message = "no memory or no descriptors"};
    struct worker *w = calloc(1, sizeof *w);
    if (w) {
        w->index = index;
        w->shared = shared;
        w->mailbox.fd = -1;
        pv_list_init(&w->retired);
        pv_list_init(&w->late);
        if (build(w, policy, &error))
            return w;
    }
    snprintf(why, capacity, "cannot start worker %u: %s", index, error.message);
    worker_free(w);
    return NULL;
}

bool worker_listen(struct worker *w, struct sockets *s)
{
    int *udp = &s->udp[w->index], *tcp = &s->tcp[w->index];
    if (*udp >= 0 && udp_listen(w->udp, *udp, &s->addr))
        *udp = -1;
    if (*tcp >= 0 && tcp_listen(w->tcp, *tcp, &s->addr))
        *tcp = -1;
    return *udp < 0 && *tcp < 0;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    event_base_dispatch(w->base);
    take_down(w);
    mailbox_post(w->shared->mailbox, &w->ended, w->shared->ended);
    return NULL;
}

bool worker_start(struct worker *w)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->running = pthread_create(&w->thread, NULL, run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w->running;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    if (w->running)
        pthread_join(w->thread, NULL);
    else
        take_down(w);
    free(w);
}

const struct stats *worker_stats(const struct worker *w)
{
    return &w->stats;
}
