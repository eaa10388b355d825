/* The network between the resolver and the servers, in memory: TCP connections that can be cut at
 * any octet, fall silent and come back, datagrams that are lost, repeated, overtaken. The
 * resolver's end is a struct pv_machine; the servers' is below. */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "agenda.h"
#include "dice.h"

#include "net/sock.h"

#include <string.h>

enum net_way {
    NET_OPEN,
    NET_REFUSES,     /* TCP: reset; datagrams: an ICMP error */
    NET_DROPS,       /* a black hole */
    NET_UNREACHABLE, /* a router says so, a moment later */
    NET_NO_ROUTE,    /* our own machine says so, at once */
};

/* How a server can be reached; owned by the server, may change at any time (net_changed). */
struct net_path {
    enum net_way way;
    uint64_t latency_us, jitter_us; /* one way */
    unsigned loss;                  /* percent of datagrams */
    size_t window;                  /* octets that the server's end holds unread */
};

struct net_conn;
struct net_host;

/* What a server does; never called from inside the resolver. */
struct net_service {
    void *(*accepted)(void *server, struct net_conn *); /* its session */
    void (*received)(void *session, const uint8_t *, size_t);
    /* The other end has closed or reset it: the session ends, the connection is gone. */
    void (*closed)(void *session);
    void (*datagram)(struct net_host *, uint64_t sock, const uint8_t *, size_t);
};

/* One address of a server. */
struct net_host {
    struct pv_list link;
    struct pv_addr address;
    const struct net_path *path;
    enum net_way always; /* NET_OPEN: as the path says */
    const struct net_service *service;
    void *server;
};

struct chunk;
struct flow { /* one direction; in order */
    struct chunk *first, **last;
    size_t bytes;
    uint64_t latest;
    bool held; /* the first one waits for the path to come back */
    struct task task;
};

enum net_end { NET_CLOSE, NET_RESET, NET_SILENCE };

struct net_conn {
    struct pv_list link;
    struct net *net;
    struct net_host *host;
    struct pv_sock *sock; /* the resolver's end; NULL: closed */
    void *session;        /* the server's end; NULL: none (yet, or any more) */
    uint64_t serial, begun;
    unsigned syns, busy;
    bool silent;  /* nothing passes */
    bool severed; /* nor ever will */
    bool lost;    /* nor ever will: octets were left out */
    bool unread;  /* the server does not read */
    bool cuts;    /* after so many octets more to the resolver: */
    size_t cut_after;
    enum net_end cut_how;
    struct task opening, timeout, cutting;
    struct flow up, down; /* to the server, to the resolver */
};

struct net {
    struct agenda *agenda;
    const uint64_t *now; /* µs */
    uint64_t slept_us;   /* ages are ahead by so much */
    struct dice dice;
    struct pv_list socks, conns, hosts, datagrams;
    uint64_t serials;
    unsigned sock_count, passes;
    struct pv_addr local[2]; /* IPv4, IPv6 */
    unsigned refuses;        /* percent of socks that cannot be had: descriptors, memory, ports */
    bool short_of_buffers;   /* the kernel takes part of what is sent */
    /* Told when the resolver opens a sock or is about to send; may assert. */
    void (*opening)(void *arg, struct net_host *, bool tcp);
    void *arg;
};

void net_init(struct net *, struct agenda *, const uint64_t *now, struct dice);
void net_done(struct net *);
void net_add(struct net *, struct net_host *);
/* The resolver's side: calls whoever is ready, once each. False: nobody was. */
bool net_poll(struct net *, struct pv_loop *);
bool net_ready(const struct net *, const struct pv_loop *);
extern const struct pv_machine net_machine; /* its clocks are the world's */

/* ---- for servers ---- */

void net_send(struct net_conn *, const void *, size_t);
/* In pieces of `step` octets, `gap_us` between them. */
void net_drip(struct net_conn *, const void *, size_t, size_t step, uint64_t gap_us);
void net_end(struct net_conn *, enum net_end how); /* the session is over (not for silence) */
void net_cut(struct net_conn *, size_t after, enum net_end how);
void net_read(struct net_conn *, bool reads);
void net_reply(struct net *, struct net_host *, uint64_t sock, const void *, size_t);

/* ---- for the story ---- */

void net_silence(struct net_conn *, bool silent);
void net_sever(struct net_conn *);         /* for good, without a word */
void net_hurry(struct net *, uint64_t us); /* what is on the way arrives within that */
void net_reset_broken(struct net *);       /* those that are silent are gone, and that is told */
void net_changed(struct net *);            /* a path has */

/* ---- between the files of the network ---- */

struct pv_sock {
    struct pv_sock_head head;
    struct pv_list link;
    struct net *net;
    struct pv_loop *loop;
    bool tcp, connected, eof, reset;
    uint64_t serial;
    pv_sock_ready *ready;
    void *arg;
    unsigned wanted, pass;
    int error;
    struct pv_addr local;
    struct net_host *host;
    struct net_conn *conn;
    uint8_t *in; /* octets that have arrived */
    size_t in_length, in_room;
    struct pv_list datagrams; /* that have arrived */
    unsigned datagram_count;
};

enum net_way net_way(const struct net_host *);
int net_take_error(struct pv_sock *);
uint64_t net_delay(struct net *, const struct net_host *);
void tcp_open(struct pv_sock *);
void tcp_close(struct pv_sock *);
ssize_t tcp_send(struct pv_sock *, const void *, size_t);
ssize_t tcp_recv(struct pv_sock *, void *, size_t);
size_t tcp_room(const struct pv_sock *);
void tcp_free(struct net_conn *);
void udp_close(struct pv_sock *);
ssize_t udp_send(struct pv_sock *, const void *, size_t);
ssize_t udp_recv(struct pv_sock *, void *, size_t);
void udp_done(struct net *);

#endif
