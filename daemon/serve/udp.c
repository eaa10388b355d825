#include "serve/udp.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH   32
#define SLOT    65536 /* of addresses; only pages that are used cost memory */
#define BATCHES 4     /* read in one go before the loop's other events have their turn */
#define CONTROL (CMSG_SPACE(sizeof(struct in6_pktinfo)))

struct listener {
    struct pv_list link;
    struct udp *udp;
    struct pv_addr addr;
    int fd;
    unsigned refs; /* itself while it listens, and its requests */
    bool wildcard; /* tells the address asked */
    struct event readable;
};

struct control {
    alignas(struct cmsghdr) uint8_t bytes[CONTROL];
};

/* Datagrams in or out. */
struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    struct pv_addr peers[BATCH];
    struct control control[BATCH];
    uint8_t *bytes; /* BATCH slots */
};

struct udp {
    struct event_base *base;
    struct server *server;
    struct pv_list listeners;
    struct batch in, out;
    unsigned out_count;
    struct listener *out_listener; /* whose socket the batch leaves by */
    struct event flush;            /* at the end of the loop's turn */
};

/* ---- buffers ---- */

static uint8_t *pages_new(void)
{
    void *p = mmap(NULL, BATCH * (size_t)SLOT, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, BATCH * (size_t)SLOT, MADV_NOHUGEPAGE); /* else a touched page may cost 2 MiB */
    return p;
}

static bool batch_init(struct batch *b)
{
    b->bytes = pages_new();
    if (!b->bytes)
        return false;
    for (unsigned i = 0; i < BATCH; i++) {
        b->iov[i] = (struct iovec){b->bytes + i * (size_t)SLOT, SLOT};
        b->messages[i].msg_hdr =
            (struct msghdr){.msg_name = &b->peers[i], .msg_iov = &b->iov[i], .msg_iovlen = 1};
    }
    return true;
}

static void batch_done(struct batch *b)
{
    if (b->bytes)
        munmap(b->bytes, BATCH * (size_t)SLOT);
}

/* ---- listeners ---- */

static void listener_unref(struct listener *l)
{
    if (--l->refs)
        return;
    pv_list_remove(&l->link);
    close(l->fd);
    free(l);
}

/* ---- out ---- */

/* Send what is queued. What the kernel refuses is lost, as datagrams may be: never tried again. */
static void flush(struct udp *u)
{
    struct listener *l = u->out_listener;
    unsigned at = 0;
    while (at < u->out_count) {
        int n = sendmmsg(l->fd, u->out.messages + at, u->out_count - at, MSG_DONTWAIT);
        if (n > 0) {
            at += (unsigned)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        unsigned lost = errno == EAGAIN ? u->out_count - at : 1;
        stats_count(&u->server->stats->send_failed, lost);
        at += lost;
    }
    u->out_count = 0;
    u->out_listener = NULL;
    if (l)
        listener_unref(l);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    flush(arg);
}

/* The next free slot of the batch that leaves by l. */
static uint8_t *out_slot(struct udp *u, struct listener *l)
{
    if (u->out_count == BATCH || (u->out_count && u->out_listener != l))
        flush(u);
    return u->out.iov[u->out_count].iov_base;
}

/* Say from where a reply of a wildcard socket goes. */
static void put_source(struct msghdr *h, struct control *c, const struct pv_addr *local,
                       uint32_t interface)
{
    h->msg_control = NULL;
    h->msg_controllen = 0;
    if (local->sa.sa_family == AF_UNSPEC)
        return;
    bool v6 = local->sa.sa_family == AF_INET6;
    struct cmsghdr *cmsg = (void *)c->bytes;
    h->msg_control = c;
    h->msg_controllen =
        v6 ? CMSG_SPACE(sizeof(struct in6_pktinfo)) : CMSG_SPACE(sizeof(struct in_pktinfo));
    memset(c, 0, sizeof *c);
    if (v6) {
        struct in6_pktinfo info = {.ipi6_addr = local->in6.sin6_addr, .ipi6_ifindex = interface};
        cmsg->cmsg_level = IPPROTO_IPV6;
        cmsg->cmsg_type = IPV6_PKTINFO;
        cmsg->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(cmsg), &info, sizeof info);
    } else {
        struct in_pktinfo info = {.ipi_spec_dst = local->in.sin_addr};
        cmsg->cmsg_level = IPPROTO_IP;
        cmsg->cmsg_type = IP_PKTINFO;
        cmsg->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(cmsg), &info, sizeof info);
    }
}

/* Queue the reply that stands in the slot. */
static void out_commit(struct udp *u, struct listener *l, size_t length, const struct pv_addr *peer,
                       const struct pv_addr *local, uint32_t interface)
{
    unsigned i = u->out_count++;
    struct msghdr *h = &u->out.messages[i].msg_hdr;
    u->out.peers[i] = *peer;
    u->out.iov[i].iov_len = length;
    h->msg_namelen = pv_addr_size(peer);
    put_source(h, &u->out.control[i], local, interface);
    if (u->out_listener)
        return;
    u->out_listener = l;
    l->refs++;
}

static void deliver(struct request *r, const uint8_t *reply, size_t length)
{
    struct listener *l = r->owner;
    struct udp *u = l->udp;
    uint8_t *slot = out_slot(u, l);
    memcpy(slot, reply, length);
    out_commit(u, l, length, &r->peer, &r->local, r->interface);
    event_active(&u->flush, EV_TIMEOUT, 0);
    listener_unref(l);
}

/* ---- in ---- */

/* The address a query was sent to; AF_UNSPEC where the socket has just one. */
static void get_destination(const struct msghdr *h, struct pv_addr *ret, uint32_t *ret_interface)
{
    *ret = (struct pv_addr){.sa.sa_family = AF_UNSPEC};
    *ret_interface = 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    if (!c)
        return;
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        ret->in.sin_family = AF_INET;
        ret->in.sin_addr = info.ipi_spec_dst;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_addr = info.ipi6_addr;
        *ret_interface = info.ipi6_ifindex;
    }
}

static void handle(struct listener *l, unsigned i)
{
    struct udp *u = l->udp;
    const struct msghdr *h = &u->in.messages[i].msg_hdr;
    struct arrival a = {.bytes = u->in.iov[i].iov_base, .length = u->in.messages[i].msg_len};
    struct pv_addr local;
    uint32_t interface;
    struct request *r;
    size_t length;
    a.peer = u->in.peers[i];
    if (pv_addr_port(&a.peer) == 0)
        return; /* nobody can be there */
    get_destination(h, &local, &interface);
    uint8_t *slot = out_slot(u, l);
    switch (request_handle(u->server, &a, slot, &length, &r)) {
    case REQUEST_DROP:
        break;
    case REQUEST_REPLIED:
        out_commit(u, l, length, &a.peer, &local, interface);
        break;
    case REQUEST_PENDING:
        r->deliver = deliver;
        r->owner = l;
        r->peer = a.peer;
        r->local = local;
        r->interface = interface;
        l->refs++;
        break;
    }
}

static int receive(struct listener *l)
{
    struct batch *b = &l->udp->in;
    for (unsigned i = 0; i < BATCH; i++) {
        struct msghdr *h = &b->messages[i].msg_hdr;
        h->msg_namelen = sizeof b->peers[i];
        h->msg_control = l->wildcard ? &b->control[i] : NULL;
        h->msg_controllen = l->wildcard ? CONTROL : 0;
    }
    return recvmmsg(l->fd, b->messages, BATCH, MSG_DONTWAIT, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    (void)fd, (void)what;
    for (int round = 0; round < BATCHES; round++) {
        int n = receive(l);
        for (int i = 0; i < n; i++)
            handle(l, (unsigned)i);
        if (l->udp->out_count)
            flush(l->udp);
        if (n < BATCH)
            return;
    }
}

/* ---- all of it ---- */

struct udp *udp_new(struct event_base *base, struct server *server)
{
    struct udp *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->base = base;
    u->server = server;
    pv_list_init(&u->listeners);
    event_assign(&u->flush, base, -1, 0, on_flush, u);
    if (!batch_init(&u->in) || !batch_init(&u->out)) {
        udp_free(u);
        return NULL;
    }
    return u;
}

bool udp_listen(struct udp *u, int fd, const struct pv_addr *addr)
{
    struct listener *l = calloc(1, sizeof *l);
    if (!l)
        return false;
    l->udp = u;
    l->addr = *addr;
    l->fd = fd;
    l->refs = 1;
    l->wildcard = pv_addr_is_any(addr);
    event_assign(&l->readable, u->base, fd, EV_READ | EV_PERSIST, on_readable, l);
    if (event_add(&l->readable, NULL) != 0) {
        free(l);
        return false;
    }
    pv_list_append(&u->listeners, &l->link);
    return true;
}

/* Read what lies in the socket, then no more. */
static void stop(struct listener *l)
{
    if (!event_pending(&l->readable, EV_READ, NULL))
        return;
    event_del(&l->readable);
    on_readable(-1, 0, l);
    listener_unref(l);
}

void udp_unlisten(struct udp *u, const struct pv_addr *addr)
{
    pv_list_each_safe (it, &u->listeners) {
        struct listener *l = pv_container(it, struct listener, link);
        if (pv_addr_equal(&l->addr, addr))
            stop(l);
    }
}

void udp_stop(struct udp *u)
{
    pv_list_each_safe (it, &u->listeners)
        stop(pv_container(it, struct listener, link));
}

void udp_free(struct udp *u)
{
    if (!u)
        return;
    if (u->out_count)
        flush(u);
    event_del(&u->flush);
    pv_list_each_safe (it, &u->listeners) {
        struct listener *l = pv_container(it, struct listener, link);
        event_del(&l->readable);
        pv_list_remove(&l->link);
        close(l->fd);
        free(l);
    }
    batch_done(&u->in);
    batch_done(&u->out);
    free(u);
}
