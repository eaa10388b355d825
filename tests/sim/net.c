/* Hosts, socks, and who is ready. */
#include "net.h"

#include "memory.h"
#include "report.h"

#include <arpa/inet.h>
#include <errno.h>

#define SOCK(it) pv_container(it, struct pv_sock, link)

void net_init(struct net *n, struct agenda *agenda, const uint64_t *now, struct dice dice)
{
    *n = (struct net){.agenda = agenda, .now = now, .dice = dice};
    pv_list_init(&n->socks);
    pv_list_init(&n->conns);
    pv_list_init(&n->hosts);
    pv_list_init(&n->datagrams);
}

void net_done(struct net *n)
{
    pv_list_each_safe (it, &n->conns)
        tcp_free(pv_container(it, struct net_conn, link));
    udp_done(n);
}

void net_add(struct net *n, struct net_host *h)
{
    pv_list_append(&n->hosts, &h->link);
}

static struct net_host *find_host(struct net *n, const struct pv_addr *address)
{
    pv_list_each (it, &n->hosts) {
        struct net_host *h = pv_container(it, struct net_host, link);
        if (pv_addr_equal(&h->address, address))
            return h;
    }
    return NULL;
}

enum net_way net_way(const struct net_host *h)
{
    return h->always != NET_OPEN ? h->always : h->path->way;
}

uint64_t net_delay(struct net *n, const struct net_host *h)
{
    return h->path->latency_us + roll(&n->dice, (unsigned)h->path->jitter_us + 1);
}

/* ---- the machine ---- */

static int cannot_open(struct net *n, const struct net_host *h)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL};
    if (chance(&n->dice, n->refuses))
        return errors[roll(&n->dice, 5)];
    return net_way(h) == NET_NO_ROUTE ? ENETUNREACH : 0;
}

static struct pv_addr local_address(struct net *n, const struct pv_addr *peer)
{
    struct pv_addr a = n->local[peer->sa.sa_family == AF_INET6];
    pv_addr_set_port(&a, (uint16_t)(1024 + roll(&n->dice, 60000)));
    return a;
}

static struct pv_sock *machine_open(struct pv_loop *loop, bool tcp, const struct pv_addr *peer,
                                    pv_sock_ready *ready, void *arg)
{
    void *world;
    pv_loop_machine(loop, &world);
    struct net *n = world; /* what the world begins with */
    struct net_host *h = find_host(n, peer);
    char text[PV_ADDR_TEXT];
    must(h, "%s is nobody's address", pv_addr_text(peer, text));
    n->opening(n->arg, h, tcp);
    errno = cannot_open(n, h);
    if (errno) {
        trace("net: %s cannot be opened: %s", pv_addr_text(peer, text), strerror(errno));
        return NULL;
    }
    struct pv_sock *s = own_alloc(sizeof *s);
    s->head.machine = &net_machine;
    s->net = n;
    s->loop = loop;
    s->tcp = tcp;
    s->serial = ++n->serials;
    s->ready = ready;
    s->arg = arg;
    s->host = h;
    s->local = local_address(n, peer);
    pv_list_init(&s->datagrams);
    if (roll(&n->dice, 2))
        pv_list_append(&n->socks, &s->link);
    else
        pv_list_prepend(&n->socks, &s->link);
    n->sock_count++;
    trace("net: %s %llu to %s", tcp ? "connection" : "sock", (unsigned long long)s->serial,
          pv_addr_text(peer, text));
    if (tcp)
        tcp_open(s);
    return s;
}

static void machine_want(struct pv_sock *s, unsigned events)
{
    s->wanted = events;
}

int net_take_error(struct pv_sock *s)
{
    int error = s->error;
    s->error = 0;
    return error;
}

static ssize_t machine_send(struct pv_sock *s, const void *bytes, size_t n)
{
    return s->tcp ? tcp_send(s, bytes, n) : udp_send(s, bytes, n);
}

static ssize_t machine_recv(struct pv_sock *s, void *bytes, size_t n)
{
    return s->tcp ? tcp_recv(s, bytes, n) : udp_recv(s, bytes, n);
}

static bool machine_local(struct pv_sock *s, struct pv_addr *ret)
{
    *ret = s->local;
    return true;
}

static void machine_close(struct pv_sock *s)
{
    pv_list_remove(&s->link);
    s->net->sock_count--;
    if (s->tcp)
        tcp_close(s);
    else
        udp_close(s);
    own_free(s->in);
    own_free(s);
}

static uint64_t machine_now(void *world)
{
    return *((const struct net *)world)->now;
}

static uint64_t machine_age_now(void *world)
{
    const struct net *n = world;
    return (*n->now + n->slept_us) / 1000000;
}

const struct pv_machine net_machine = {
    .now = machine_now,
    .age_now = machine_age_now,
    .open = machine_open,
    .want = machine_want,
    .error = net_take_error,
    .send = machine_send,
    .recv = machine_recv,
    .local = machine_local,
    .close = machine_close,
};

/* ---- readiness: as libevent tells it, level by level ---- */

static unsigned readiness(const struct pv_sock *s)
{
    unsigned events = 0;
    if (s->tcp && !s->connected)
        return s->error ? s->wanted & PV_SOCK_WRITE : 0;
    if (s->in_length || s->eof || s->error || !pv_list_empty(&s->datagrams))
        events |= PV_SOCK_READ;
    if (!s->tcp || s->error || s->reset || tcp_room(s) > 0)
        events |= PV_SOCK_WRITE;
    return events & s->wanted;
}

static struct pv_sock *next_ready(const struct net *n, const struct pv_loop *loop)
{
    pv_list_each (it, &n->socks) {
        struct pv_sock *s = SOCK(it);
        if (s->loop == loop && s->pass != n->passes && readiness(s))
            return s;
    }
    return NULL;
}

static bool is_there(const struct net *n, const struct pv_sock *s, uint64_t serial)
{
    pv_list_each (it, &n->socks) {
        if (SOCK(it) == s)
            return s->serial == serial;
    }
    return false;
}

/* Both events were found by the same wait: the second comes even if the first has taken what it was
 * about, but not to a sock that is gone. */
static void tell(struct net *n, struct pv_sock *s)
{
    static const unsigned orders[2][2] = {{PV_SOCK_READ, PV_SOCK_WRITE},
                                          {PV_SOCK_WRITE, PV_SOCK_READ}};
    const unsigned *order = orders[roll(&n->dice, 2)];
    unsigned events = readiness(s);
    uint64_t serial = s->serial;
    for (unsigned i = 0; i < 2; i++) {
        if (events & order[i] && is_there(n, s, serial) && s->wanted & order[i])
            s->ready(s->arg, order[i]);
    }
}

bool net_ready(const struct net *n, const struct pv_loop *loop)
{
    pv_list_each (it, &n->socks) {
        if (SOCK(it)->loop == loop && readiness(SOCK(it)))
            return true;
    }
    return false;
}

bool net_poll(struct net *n, struct pv_loop *loop)
{
    struct pv_sock *s;
    bool any = false;
    n->passes++;
    while ((s = next_ready(n, loop))) {
        s->pass = n->passes;
        any = true;
        tell(n, s);
    }
    return any;
}
