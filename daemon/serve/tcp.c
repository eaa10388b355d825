#include "serve/tcp.h"

#include "serve/tcp_client.h"
#include "base/status.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ACCEPT_MOST 32  /* in one go */
#define PAUSE_MS    500 /* without a descriptor; ends at once when a client goes */
#define LOG_EVERY_S 60

struct acceptor {
    struct pv_list link;
    struct tcp *tcp;
    struct pv_addr addr;
    int fd;
    struct event readable;
};

struct tcp {
    struct clients clients;
    struct pv_list acceptors;
    bool paused, stopping;
    struct event pause;
    time_t logged_at;
    void (*idle)(void *arg);
    void *idle_arg;
};

/* ---- out of descriptors ---- */

static void resume(struct tcp *t)
{
    struct timeval tv = {.tv_usec = PAUSE_MS * 1000};
    if (!t->paused)
        return;
    t->paused = false;
    event_del(&t->pause);
    pv_list_each (it, &t->acceptors)
        if (event_add(&pv_container(it, struct acceptor, link)->readable, NULL) != 0)
            t->paused = true;
    if (t->paused)
        event_add(&t->pause, &tv);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    resume(arg);
}

static void pause_accepting(struct tcp *t, int error)
{
    struct timeval tv = {.tv_usec = PAUSE_MS * 1000};
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!t->logged_at || now.tv_sec - t->logged_at >= LOG_EVERY_S) {
        pv_log(PRIVY_LOG_WARNING, "new TCP connections have to wait: %s", strerror(error));
        t->logged_at = now.tv_sec;
    }
    if (event_add(&t->pause, &tv) != 0)
        return;
    t->paused = true;
    pv_list_each (it, &t->acceptors)
        event_del(&pv_container(it, struct acceptor, link)->readable);
}

static void on_client_gone(void *arg)
{
    struct tcp *t = arg;
    resume(t);
    if (t->stopping && t->idle && pv_list_empty(&t->clients.list))
        t->idle(t->idle_arg);
}

/* ---- accepting ---- */

static bool take_places(struct tcp *t, const struct pv_addr *peer)
{
    const struct config *config = t->clients.server->policy->config;
    struct tcp_limits *limits = t->clients.limits;
    if (!tcp_place_take(limits, config->tcp_clients) &&
        (!clients_make_room(&t->clients, NULL) || !tcp_place_take(limits, config->tcp_clients)))
        return false;
    if (tcp_peer_take(limits, peer, config->tcp_per_client) ||
        (clients_make_room(&t->clients, peer) &&
         tcp_peer_take(limits, peer, config->tcp_per_client)))
        return true;
    tcp_place_give(limits);
    return false;
}

static void welcome(struct tcp *t, int fd, const struct pv_addr *peer)
{
    int on = 1;
    struct stats *stats = t->clients.server->stats;
    if (!take_places(t, peer)) {
        stats_count(&stats->tcp_refused, 1);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (client_new(&t->clients, fd, peer))
        stats_count(&stats->tcp_accepted, 1);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Of the connection that was next, or of nothing; the others go on. */
static bool is_passing(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO: /* [accept(2): what Linux passes on of the new socket] */
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;
    struct tcp *t = a->tcp;
    (void)what;
    for (int i = 0; i < ACCEPT_MOST; i++) {
        struct pv_addr peer = {0};
        socklen_t size = sizeof peer;
        int client = accept4(fd, &peer.sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            welcome(t, client, &peer);
            continue;
        }
        int error = errno;
        if (is_passing(error))
            continue;
        if (error != EAGAIN && !(is_shortage(error) && clients_make_room(&t->clients, NULL)))
            pause_accepting(t, error);
        return;
    }
}

/* ---- all of it ---- */

struct tcp *tcp_new(struct event_base *base, struct server *server, struct tcp_limits *limits)
{
    struct tcp *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->clients = (struct clients){
        .base = base, .server = server, .limits = limits, .gone = on_client_gone, .arg = t};
    pv_list_init(&t->clients.list);
    pv_list_init(&t->acceptors);
    event_assign(&t->pause, base, -1, 0, on_pause_over, t);
    t->clients.reply = malloc(PV_MESSAGE_MAX);
    if (!t->clients.reply) {
        tcp_free(t);
        return NULL;
    }
    return t;
}

static void acceptor_free(struct acceptor *a)
{
    event_del(&a->readable);
    pv_list_remove(&a->link);
    close(a->fd);
    free(a);
}

void tcp_free(struct tcp *t)
{
    if (!t)
        return;
    t->clients.gone = NULL;
    pv_list_each_safe (it, &t->acceptors)
        acceptor_free(pv_container(it, struct acceptor, link));
    clients_close(&t->clients);
    event_del(&t->pause);
    free(t->clients.reply);
    free(t);
}

bool tcp_listen(struct tcp *t, int fd, const struct pv_addr *addr)
{
    struct acceptor *a = calloc(1, sizeof *a);
    if (!a)
        return false;
    a->tcp = t;
    a->addr = *addr;
    a->fd = fd;
    event_assign(&a->readable, t->clients.base, fd, EV_READ | EV_PERSIST, on_acceptable, a);
    if (!t->paused && event_add(&a->readable, NULL) != 0) {
        free(a);
        return false;
    }
    pv_list_append(&t->acceptors, &a->link);
    return true;
}

void tcp_unlisten(struct tcp *t, const struct pv_addr *addr)
{
    pv_list_each_safe (it, &t->acceptors) {
        struct acceptor *a = pv_container(it, struct acceptor, link);
        if (pv_addr_equal(&a->addr, addr))
            acceptor_free(a);
    }
}

void tcp_stop(struct tcp *t, void (*idle)(void *arg), void *arg)
{
    pv_list_each_safe (it, &t->acceptors)
        acceptor_free(pv_container(it, struct acceptor, link));
    t->stopping = true;
    t->idle = idle;
    t->idle_arg = arg;
    clients_finish(&t->clients);
}

bool tcp_is_empty(const struct tcp *t)
{
    return pv_list_empty(&t->clients.list);
}
