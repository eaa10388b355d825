#include "net/sock.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <time.h>
#include <unistd.h>

struct pv_sock {
    struct pv_sock_head head;
    int fd;
    bool tcp;
    bool broken; /* what is wanted cannot be watched */
    unsigned wanted;
    struct event *readable, *writable;
    pv_sock_ready *ready;
    void *arg;
};

/* ---- the real machine ---- */

static uint64_t real_now(void *world)
{
    (void)world;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t real_age_now(void *world)
{
    (void)world;
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct pv_sock *s = arg;
    unsigned events = (what & EV_READ ? PV_SOCK_READ : 0) | (what & EV_WRITE ? PV_SOCK_WRITE : 0);
    s->ready(s->arg, events); /* s may be gone */
}

static void real_close(struct pv_sock *s)
{
    if (s->readable)
        event_free(s->readable);
    if (s->writable)
        event_free(s->writable);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value); /* each only helps */
}

/* A dead path shows in seconds, not in the kernel's quarter of an hour. */
static void set_tcp_options(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 3);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000);
}

static bool connect_to(struct pv_sock *s, const struct pv_addr *peer)
{
    int type = (s->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
    s->fd = socket(peer->sa.sa_family, type, 0);
    if (s->fd < 0)
        return false;
    if (s->tcp)
        set_tcp_options(s->fd);
    return connect(s->fd, &peer->sa, pv_addr_size(peer)) == 0 || errno == EINPROGRESS;
}

static bool watch(struct pv_sock *s, struct event_base *base)
{
    s->readable = event_new(base, s->fd, EV_READ | EV_PERSIST, on_ready, s);
    s->writable = event_new(base, s->fd, EV_WRITE | EV_PERSIST, on_ready, s);
    if (s->readable && s->writable)
        return true;
    errno = ENOMEM;
    return false;
}

static struct pv_sock *real_open(struct pv_loop *l, bool tcp, const struct pv_addr *peer,
                                 pv_sock_ready *ready, void *arg)
{
    struct pv_sock *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->head.machine = &pv_machine_real;
    s->fd = -1;
    s->tcp = tcp;
    s->ready = ready;
    s->arg = arg;
    if (connect_to(s, peer) && watch(s, pv_loop_base(l)))
        return s;
    int why = errno;
    real_close(s);
    errno = why;
    return NULL;
}

/* What nothing would ever wake is woken now, and meets an error. */
static void watch_for(struct pv_sock *s, unsigned one, struct event *event, unsigned wanted)
{
    if (wanted & ~s->wanted & one && event_add(event, NULL) != 0) {
        s->broken = true;
        event_active(event, one == PV_SOCK_READ ? EV_READ : EV_WRITE, 0);
    } else if (~wanted & s->wanted & one) {
        event_del(event);
    }
}

static void real_want(struct pv_sock *s, unsigned events)
{
    watch_for(s, PV_SOCK_READ, s->readable, events);
    watch_for(s, PV_SOCK_WRITE, s->writable, events);
    s->wanted = events;
}

static bool is_broken(const struct pv_sock *s)
{
    if (s->broken)
        errno = ENOMEM;
    return s->broken;
}

static int real_error(struct pv_sock *s)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (is_broken(s))
        return ENOMEM;
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

static ssize_t real_send(struct pv_sock *s, const void *bytes, size_t n)
{
    return is_broken(s) ? -1 : send(s->fd, bytes, n, MSG_NOSIGNAL);
}

static ssize_t real_recv(struct pv_sock *s, void *bytes, size_t n)
{
    return is_broken(s) ? -1 : recv(s->fd, bytes, n, 0);
}

/* The kernel forgets the option by itself. */
static void real_hasten(struct pv_sock *s)
{
    set_option(s->fd, IPPROTO_TCP, TCP_QUICKACK, 1);
}

static bool real_local(struct pv_sock *s, struct pv_addr *ret)
{
    socklen_t size = sizeof *ret;
    return getsockname(s->fd, &ret->sa, &size) == 0;
}

const struct pv_machine pv_machine_real = {
    .now = real_now,
    .age_now = real_age_now,
    .open = real_open,
    .want = real_want,
    .error = real_error,
    .send = real_send,
    .recv = real_recv,
    .hasten = real_hasten,
    .local = real_local,
    .close = real_close,
};

/* ---- whichever machine it is ---- */

static const struct pv_machine *machine(const struct pv_sock *s)
{
    return ((const struct pv_sock_head *)(const void *)s)->machine;
}

struct pv_sock *pv_sock_open(struct pv_loop *l, bool tcp, const struct pv_addr *peer,
                             pv_sock_ready *ready, void *arg)
{
    return pv_loop_machine(l, NULL)->open(l, tcp, peer, ready, arg);
}

void pv_sock_want(struct pv_sock *s, unsigned events)
{
    machine(s)->want(s, events);
}

int pv_sock_error(struct pv_sock *s)
{
    return machine(s)->error(s);
}

ssize_t pv_sock_send(struct pv_sock *s, const void *bytes, size_t n)
{
    return machine(s)->send(s, bytes, n);
}

ssize_t pv_sock_recv(struct pv_sock *s, void *bytes, size_t n)
{
    return machine(s)->recv(s, bytes, n);
}

void pv_sock_hasten(struct pv_sock *s)
{
    if (machine(s)->hasten)
        machine(s)->hasten(s);
}

bool pv_sock_local(struct pv_sock *s, struct pv_addr *ret)
{
    return machine(s)->local(s, ret);
}

void pv_sock_close(struct pv_sock *s)
{
    if (s)
        machine(s)->close(s);
}
