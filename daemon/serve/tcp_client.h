/* One TCP client: frames in, frames out, and the clocks that end it. */
#ifndef PRIVYDNSD_TCP_CLIENT_H
#define PRIVYDNSD_TCP_CLIENT_H

#include "serve/request.h"
#include "serve/tcp_limits.h"

struct event_base;

/* What the clients of one worker have in common. */
struct clients {
    struct event_base *base;
    struct server *server;
    struct tcp_limits *limits;
    struct pv_list list; /* the first has been silent the longest */
    uint8_t *reply;      /* PV_MESSAGE_MAX octets, for the reply just made */
    /* Told after a client has gone: its descriptor is free. */
    void (*gone)(void *arg);
    void *arg;
};

/* Serve a connection; the caller has taken its places from the limits. False: no memory, all is
 * closed and given back. */
bool client_new(struct clients *, int fd, const struct pv_addr *peer);
/* Read no more, answer what is pending, then close; of all clients. */
void clients_finish(struct clients *);
/* Close all of them now. Their questions run on, and fill the cache. */
void clients_close(struct clients *);
/* Close the client that has been silent the longest, of this address (NULL: of any). False: all
 * are waiting for answers. */
bool clients_make_room(struct clients *, const struct pv_addr *peer);

#endif
