/* Datagrams: lost, late, overtaken; errors that routers send back. */
#include "net.h"

#include "memory.h"
#include "report.h"

#include <errno.h>

enum { QUEUE_MOST = 64 };

struct datagram {
    struct pv_list link; /* net->datagrams while it travels, then its sock's */
    struct task task;
    struct net *net;
    struct net_host *host;
    uint64_t sock; /* the resolver's, by serial: it may be gone */
    int error;     /* a router's word, no octets */
    size_t length;
    uint8_t bytes[];
};

#define DATAGRAM(it) pv_container(it, struct datagram, link)

static void datagram_free(struct datagram *d)
{
    agenda_clear(d->net->agenda, &d->task);
    pv_list_remove(&d->link);
    own_free(d);
}

static struct datagram *datagram_new(struct net *n, struct net_host *h, uint64_t sock,
                                     const void *bytes, size_t length)
{
    struct datagram *d = own_alloc(sizeof *d + length);
    d->net = n;
    d->host = h;
    d->sock = sock;
    d->length = length;
    if (length)
        memcpy(d->bytes, bytes, length);
    pv_list_append(&n->datagrams, &d->link);
    return d;
}

static struct pv_sock *sock_of(const struct datagram *d)
{
    pv_list_each (it, &d->net->socks) {
        struct pv_sock *s = pv_container(it, struct pv_sock, link);
        if (s->serial == d->sock)
            return s;
    }
    return NULL;
}

static void arrives_at_resolver(struct task *t)
{
    struct datagram *d = pv_container(t, struct datagram, task);
    struct pv_sock *s = sock_of(d);
    report_mix(*d->net->now << 16 ^ d->length);
    if (s && d->error) {
        s->error = d->error;
    } else if (s && s->datagram_count < QUEUE_MOST) {
        trace("net: sock %llu: a datagram of %zu octets to the resolver",
              (unsigned long long)s->serial, d->length);
        pv_list_remove(&d->link);
        pv_list_append(&s->datagrams, &d->link);
        s->datagram_count++;
        return;
    }
    datagram_free(d);
}

static void travel(struct datagram *d, void (*arrives)(struct task *))
{
    uint64_t at = *d->net->now + net_delay(d->net, d->host);
    agenda_set(d->net->agenda, &d->task, at, arrives);
}

static void arrives_at_server(struct task *t)
{
    struct datagram *d = pv_container(t, struct datagram, task);
    enum net_way way = net_way(d->host);
    report_mix(*d->net->now << 16 ^ d->length << 1);
    if (way == NET_REFUSES || way == NET_UNREACHABLE) {
        d->error = way == NET_REFUSES ? ECONNREFUSED : EHOSTUNREACH;
        travel(d, arrives_at_resolver);
        return;
    }
    if (way == NET_OPEN)
        d->host->service->datagram(d->host, d->sock, d->bytes, d->length);
    datagram_free(d);
}

ssize_t udp_send(struct pv_sock *s, const void *bytes, size_t n)
{
    errno = s->error ? net_take_error(s) : net_way(s->host) == NET_NO_ROUTE ? ENETUNREACH : 0;
    if (errno)
        return -1;
    if (!chance(&s->net->dice, s->host->path->loss))
        travel(datagram_new(s->net, s->host, s->serial, bytes, n), arrives_at_server);
    return (ssize_t)n;
}

ssize_t udp_recv(struct pv_sock *s, void *bytes, size_t n)
{
    errno = s->error ? net_take_error(s) : pv_list_empty(&s->datagrams) ? EAGAIN : 0;
    if (errno)
        return -1;
    struct datagram *d = DATAGRAM(pv_list_first(&s->datagrams));
    n = n < d->length ? n : d->length;
    memcpy(bytes, d->bytes, n);
    s->datagram_count--;
    datagram_free(d);
    return (ssize_t)n;
}

void udp_close(struct pv_sock *s)
{
    pv_list_each_safe (it, &s->datagrams)
        datagram_free(DATAGRAM(it));
}

void net_reply(struct net *n, struct net_host *h, uint64_t sock, const void *bytes, size_t length)
{
    if (net_way(h) == NET_OPEN && !chance(&n->dice, h->path->loss))
        travel(datagram_new(n, h, sock, bytes, length), arrives_at_resolver);
}

void udp_done(struct net *n)
{
    pv_list_each_safe (it, &n->datagrams)
        datagram_free(DATAGRAM(it));
}
