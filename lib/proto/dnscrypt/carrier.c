#include "proto/dnscrypt/carrier.h"

#include "base/random.h"
#include "net/sock.h"
#include "proto/dnscrypt/trip.h"

#include <errno.h>

enum {
    FIRST_US = 800000,  /* so long a datagram is waited for, then it is sent again */
    SECOND_US = 400000, /* and so long for that; then TCP */
    LATER_US = 200000,
    SENT_MOST = 1000 * PV_PORTS, /* then other source ports */
    CALLS_MOST = 64,
    READS_A_TURN = 64,
    NONCES = 64,          /* the table's first size */
    SILENCE_US = 5000000, /* three unanswered within are a reason to doubt the certificate */
};

#define TRIP(it) pv_container(it, struct pv_trip, link)

static struct pv_carrier *carrier(const struct pv_conn *c)
{
    return pv_conn_state(c);
}

static uint64_t now_of(const struct pv_carrier *k)
{
    return pv_now(pv_endpoint_loop(pv_conn_endpoint(k->conn)));
}

static bool is_udp(const struct pv_carrier *k)
{
    return pv_conn_kind(k->conn) == PV_DATAGRAM;
}

/* ---- sockets ---- */

static void close_port(struct pv_port *p)
{
    pv_sock_close(p->sock);
    p->sock = NULL;
}

/* An error that was told is gone, and the socket still good; one that stays is the socket's. */
static void port_failed(struct pv_port *p, bool again)
{
    if (again)
        close_port(p);
    pv_carrier_refused(p->carrier);
}

static void port_ready(void *arg, unsigned events)
{
    struct pv_port *p = arg;
    uint8_t *in = pv_loop_in(pv_endpoint_loop(pv_conn_endpoint(p->carrier->conn)));
    bool failed = false;
    (void)events;
    for (unsigned i = 0; i < READS_A_TURN && p->sock; i++) {
        ssize_t n = pv_sock_recv(p->sock, in, PV_LOOP_IN);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n > 0)
            pv_trip_received(p->carrier, in, (size_t)n);
        else if (n < 0)
            port_failed(p, failed);
        else if (p->carrier->way.prefix_length > 0) /* a relay says no with an empty one */
            pv_carrier_refused(p->carrier);
        failed = n < 0;
    }
}

static bool open_port(struct pv_carrier *k, struct pv_port *p)
{
    struct pv_loop *loop = pv_endpoint_loop(pv_conn_endpoint(k->conn));
    p->carrier = k;
    p->sock = pv_sock_open(loop, false, &k->way.peers[0], port_ready, p);
    if (!p->sock)
        return false;
    pv_sock_want(p->sock, PV_SOCK_READ);
    return pv_sock_local(p->sock, &p->local);
}

struct pv_port *pv_carrier_port(struct pv_carrier *k)
{
    struct pv_port *p = &k->ports[pv_random_below(PV_PORTS)];
    if (!p->sock && !open_port(k, p))
        p = &k->ports[0];
    return p->sock ? p : NULL;
}

/* Anybody may say so: no more than a reason to ask again at once, and then over TCP. */
void pv_carrier_refused(struct pv_carrier *k)
{
    k->refused = true;
    pv_conn_wake_at(k->conn, now_of(k));
}

/* ---- opening, closing ---- */

/* A certificate comes first; false: no memory. */
static bool begin(struct pv_carrier *k)
{
    struct pv_dnscrypt *d = k->shared;
    return d->is_gone ? pv_certs_fetch(&d->certs) : pv_certs_want(&d->certs);
}

bool pv_carrier_open(struct pv_conn *c)
{
    struct pv_carrier *k = carrier(c);
    struct pv_dnscrypt *d = pv_endpoint_state(pv_conn_endpoint(c));
    k->conn = c;
    k->shared = d;
    pv_list_append(&d->carriers, &k->link);
    pv_idmap_init(&k->ids);
    pv_list_init(&k->once);
    pv_list_init(&k->twice);
    pv_list_init(&k->rest);
    pv_conn_wake_at(c, now_of(k)); /* it may be at hand: said a moment later */
    return begin(k);
}

void pv_carrier_ready(struct pv_carrier *k)
{
    struct pv_conn *c = k->conn;
    k->relay = k->shared->certs.relay;
    if (!pv_way_find(pv_conn_endpoint(c), k->relay, &k->way))
        pv_conn_lost(c, PV_UNREACHABLE, "no address of it is known");
    else if (!k->nonces.buckets && !pv_map_init(&k->nonces, NONCES))
        pv_conn_lost(c, PV_NO_ROOM, "no memory for a connection");
    else if (is_udp(k) && !open_port(k, &k->ports[0]))
        pv_conn_lost(c, PV_UNREACHABLE, strerror(errno));
    else {
        k->is_ready = true;
        pv_conn_ready(c, &(struct pv_conn_facts){0});
    }
}

/* One that heard nothing: the next relay has a chance. */
void pv_carrier_close(struct pv_conn *c)
{
    struct pv_carrier *k = carrier(c);
    struct pv_list *lists[] = {&k->once, &k->twice, &k->rest};
    k->is_ready = false;
    if (k->sent > 0 && !k->heard && k->shared->certs.relay == k->relay)
        k->shared->certs.relay++;
    for (unsigned i = 0; i < 3; i++) {
        pv_list_each_safe (it, lists[i])
            pv_trip_free(TRIP(it));
    }
    for (unsigned i = 0; i < PV_PORTS; i++)
        close_port(&k->ports[i]);
    for (unsigned i = 0; i < 2; i++) {
        pv_keys_unref(k->keys[i]);
        k->keys[i] = NULL;
    }
    pv_idmap_done(&k->ids);
    pv_map_done(&k->nonces);
    pv_list_remove(&k->link);
}

/* ---- out ---- */

unsigned pv_carrier_room(const struct pv_conn *c)
{
    const struct pv_carrier *k = carrier(c);
    if (!is_udp(k) || k->shared->both_ways)
        return k->calls < CALLS_MOST ? CALLS_MOST - k->calls : 0;
    return k->sent < SENT_MOST ? SENT_MOST - k->sent : 0;
}

static void move(struct pv_trip *t, struct pv_list *to, uint64_t due)
{
    t->due = due;
    pv_list_remove(&t->link);
    pv_list_append(to, &t->link);
}

/* Both lists are in the order of time. */
static void arm(struct pv_carrier *k)
{
    struct pv_list *once = pv_list_first(&k->once), *twice = pv_list_first(&k->twice);
    uint64_t due = once ? TRIP(once)->due : UINT64_MAX;
    if (twice && TRIP(twice)->due < due)
        due = TRIP(twice)->due;
    if (due != UINT64_MAX)
        pv_conn_wake_at(k->conn, due);
}

static bool set_out(struct pv_carrier *k, struct pv_trip *t)
{
    bool was_idle = pv_list_empty(&k->once) && pv_list_empty(&k->twice);
    if (!is_udp(k) || !pv_trip_send(t))
        return pv_trip_call(t);
    if (k->shared->both_ways)
        pv_trip_call(t);
    move(t, &k->once, t->begun + FIRST_US);
    if (was_idle && !k->refused)
        arm(k);
    return true;
}

bool pv_carrier_send(struct pv_conn *c, struct pv_attempt *a)
{
    struct pv_carrier *k = carrier(c);
    struct pv_trip *t = pv_trip_new(k, a);
    if (!t)
        return false;
    if (!pv_certs_usable(&k->shared->certs)) {
        pv_conn_wake_at(c, now_of(k)); /* which sees it, and ends the connection */
        return true;
    }
    if (!set_out(k, t)) {
        pv_trip_free(t);
        return false;
    }
    if (k->sent >= SENT_MOST && is_udp(k))
        pv_conn_replace(c);
    return true;
}

void pv_carrier_drop(struct pv_conn *c, struct pv_attempt *a)
{
    struct pv_trip *t = pv_idmap_find(&carrier(c)->ids, (uint16_t)a->id);
    if (!PV_BUG_IF(!t || t->attempt != a))
        pv_trip_free(t);
}

/* ---- silence ---- */

/* The server may have forgotten its key. */
static void note_silence(struct pv_carrier *k, const struct pv_trip *t)
{
    struct pv_dnscrypt *d = k->shared;
    uint64_t now = now_of(k);
    bool third = d->silence[1] && now < d->silence[1] + SILENCE_US;
    d->silence[1] = d->silence[0];
    d->silence[0] = now;
    if (third || pv_trip_in_silence(t))
        pv_certs_doubt(&d->certs);
}

static void fail(struct pv_trip *t)
{
    struct pv_attempt *a = t->attempt;
    pv_trip_free(t);
    pv_attempt_failed(a, PV_TIMED_OUT, "no answer over UDP, nor over TCP");
}

/* And in one more datagram: of both the first serves. */
static void try_tcp(struct pv_carrier *k, struct pv_trip *t)
{
    if (!t->call && k->calls >= CALLS_MOST) {
        move(t, &k->twice, now_of(k) + LATER_US);
        return;
    }
    if (!k->hasten)
        note_silence(k, t);
    move(t, &k->rest, 0);
    pv_trip_send(t);
    if (!t->call && !pv_trip_call(t))
        fail(t);
}

static void try_again(struct pv_carrier *k, struct pv_trip *t)
{
    if (!pv_trip_send(t)) {
        try_tcp(k, t);
        return;
    }
    if (!k->hasten)
        note_silence(k, t);
    move(t, &k->twice, now_of(k) + SECOND_US);
}

/* Those of a list that are due, or all. It may be closed on the way. */
static void each_due(struct pv_carrier *k, struct pv_list *list,
                     void (*act)(struct pv_carrier *, struct pv_trip *))
{
    uint64_t now = now_of(k);
    for (unsigned most = k->ids.live; k->is_ready && most > 0; most--) {
        struct pv_list *first = pv_list_first(list);
        if (!first || (TRIP(first)->due > now && !k->hasten))
            return;
        act(k, TRIP(first));
    }
}

void pv_carrier_wake(struct pv_conn *c)
{
    struct pv_carrier *k = carrier(c);
    bool usable = pv_certs_usable(&k->shared->certs);
    if (!k->is_ready && usable && !k->shared->is_gone)
        pv_carrier_ready(k);
    else if (!k->is_ready) /* it was at hand, and is no longer; without memory the limit for */
        begin(k);          /* opening ends it */
    if (!k->is_ready)
        return;
    if (!usable) {
        pv_conn_lost(c, PV_DIED_FRESH, "its certificate is out of date");
        return;
    }
    k->hasten = k->refused;
    k->refused = false;
    each_due(k, &k->twice, try_tcp);
    each_due(k, &k->once, try_again);
    if (k->is_ready && !k->refused) /* again: then this is to come back at once */
        arm(k);
}

/* One that TCP has been asked for, without success, while there was hope for another key. */
static struct pv_trip *find_stranded(const struct pv_carrier *k)
{
    pv_list_each (it, &k->rest) {
        if (!TRIP(it)->call)
            return TRIP(it);
    }
    return NULL;
}

static void send_again(struct pv_carrier *k)
{
    pv_list_each (it, &k->twice)
        pv_trip_send(TRIP(it));
    pv_list_each_safe (it, &k->once) {
        pv_trip_send(TRIP(it));
        move(TRIP(it), &k->twice, now_of(k) + SECOND_US);
    }
    arm(k);
}

void pv_carrier_fetched(struct pv_carrier *k, bool changed)
{
    struct pv_trip *t;
    if (!is_udp(k))
        return;
    if (changed)
        send_again(k);
    while (k->is_ready && (t = find_stranded(k))) {
        if (!changed || !pv_trip_call(t))
            fail(t);
    }
}
