/* How many TCP clients there may be, in all and of one address; shared by the workers. */
#ifndef PRIVYDNSD_TCP_LIMITS_H
#define PRIVYDNSD_TCP_LIMITS_H

#include "base/addr.h"
#include "base/map.h"

#include <pthread.h>
#include <stdatomic.h>

struct tcp_limits {
    _Atomic unsigned clients;
    _Atomic unsigned most; /* what the descriptors suffice for; 0: any number */
    _Atomic size_t unsent; /* octets of replies that wait, of all clients */
    pthread_mutex_t lock;  /* for peers */
    struct pv_map peers;   /* how many connections each address of another machine has */
};
bool tcp_limits_init(struct tcp_limits *);
void tcp_limits_done(struct tcp_limits *);

/* The limit that applies where `configured` was asked for. */
unsigned tcp_limits_most(const struct tcp_limits *, unsigned configured);
/* A place for one more client; false: there is none. */
bool tcp_place_take(struct tcp_limits *, unsigned configured);
void tcp_place_give(struct tcp_limits *);
/* One more of this address; loopback addresses are not counted. */
bool tcp_peer_take(struct tcp_limits *, const struct pv_addr *, unsigned most);
void tcp_peer_give(struct tcp_limits *, const struct pv_addr *);

#endif
