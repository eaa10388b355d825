#include "base/list.h"
#include "base/status.h"

#include <privydns/privydns.h>

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A resolver without a loop of its owner's: the threads that wait drive it. One of them at a time
 * runs the loop, for all; it hands over when its own answer has come. */
struct privy_client {
    struct event_base *base;
    struct privy_resolver *resolver;
    struct event *bell; /* somebody has left a question in `incoming` */
    int bell_fd;
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;
    bool driven;
    struct pv_list incoming;
};

/* One privy_lookup(), on its caller's stack. */
struct waiter {
    struct pv_list link; /* client->incoming */
    struct privy_client *client;
    const char *name, *protocol;
    uint16_t type;
    bool done;
    enum privy_status status;
    struct privy_answer *answer;
    struct privy_error *reterr;
};

static void bell_rang(evutil_socket_t fd, short events, void *arg)
{
    uint64_t count;
    (void)events;
    (void)arg;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        pv_log(PRIVY_LOG_ERROR, "eventfd: %s", strerror(errno));
}

enum privy_status privy_client_new(const struct privy_client_options *o,
                                   struct privy_client **ret_client, struct privy_error *reterr)
{
    struct privy_client *c = calloc(1, sizeof *c);
    if (!c)
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->changed, NULL);
    pv_list_init(&c->incoming);
    c->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->base = event_base_new();
    if (c->base && c->bell_fd >= 0)
        c->bell = event_new(c->base, c->bell_fd, EV_READ | EV_PERSIST, bell_rang, c);
    if (!c->bell || event_add(c->bell, NULL) != 0) {
        privy_client_free(c);
        return pv_error(reterr, PRIVY_ENOMEM, "no event loop: %s", strerror(errno));
    }
    enum privy_status status =
        privy_resolver_new(c->base, o->upstreams, o->cache, o->resolver, &c->resolver, reterr);
    if (status != PRIVY_OK) {
        privy_client_free(c);
        return status;
    }
    *ret_client = c;
    return PRIVY_OK;
}

void privy_client_free(struct privy_client *c)
{
    if (!c)
        return;
    privy_resolver_free(c->resolver);
    if (c->bell)
        event_free(c->bell);
    if (c->bell_fd >= 0)
        close(c->bell_fd);
    if (c->base)
        event_base_free(c->base);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

static void settle(struct waiter *w, enum privy_status status, const struct privy_answer *answer,
                   const struct privy_error *error)
{
    struct privy_client *c = w->client;
    pthread_mutex_lock(&c->mutex);
    w->status = status;
    w->answer = answer ? privy_answer_ref(answer) : NULL;
    if (error && w->reterr)
        *w->reterr = *error;
    w->done = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static void answered(void *arg, enum privy_status status, const struct privy_answer *answer,
                     const struct privy_error *error)
{
    settle(arg, status, answer, error);
}

static void begin(struct waiter *w)
{
    struct privy_error error = {0};
    enum privy_status status =
        privy_query(w->client->resolver, w->name, w->type, w->protocol, NULL, answered, w, NULL);
    if (status == PRIVY_OK)
        return;
    pv_error(&error, status, "%s", privy_strerror(status));
    settle(w, status, NULL, &error);
}

/* Called and returns with the mutex held. */
static void drive(struct privy_client *c, const struct waiter *w)
{
    c->driven = true;
    while (!w->done) {
        struct pv_list *first;
        while ((first = pv_list_first(&c->incoming))) {
            pv_list_remove(first);
            pthread_mutex_unlock(&c->mutex);
            begin(pv_container(first, struct waiter, link));
            pthread_mutex_lock(&c->mutex);
        }
        if (w->done)
            break;
        pthread_mutex_unlock(&c->mutex);
        event_base_loop(c->base, EVLOOP_ONCE);
        pthread_mutex_lock(&c->mutex);
    }
    c->driven = false;
    pthread_cond_broadcast(&c->changed);
}

enum privy_status privy_lookup(struct privy_client *c, const char *name, uint16_t type,
                               const char *protocol, struct privy_answer **ret_answer,
                               struct privy_error *reterr)
{
    static const uint64_t one = 1;
    struct waiter w = {
        .client = c, .name = name, .type = type, .protocol = protocol, .reterr = reterr};
    pthread_mutex_lock(&c->mutex);
    pv_list_append(&c->incoming, &w.link);
    if (c->driven && write(c->bell_fd, &one, sizeof one) < 0)
        pv_log(PRIVY_LOG_ERROR, "eventfd: %s", strerror(errno));
    while (!w.done) {
        if (c->driven)
            pthread_cond_wait(&c->changed, &c->mutex);
        else
            drive(c, &w);
    }
    pthread_mutex_unlock(&c->mutex);
    if (w.status == PRIVY_OK)
        *ret_answer = w.answer;
    return w.status;
}
