/* UDP: batches in, batches out. Takes bound sockets; opens none. */
#ifndef PRIVYDNSD_UDP_H
#define PRIVYDNSD_UDP_H

#include "serve/request.h"

struct event_base;
struct udp;

/* One worker's UDP side. NULL: no memory. */
struct udp *udp_new(struct event_base *, struct server *);
void udp_free(struct udp *); /* closes the sockets; the server's requests must be gone */

/* Serve this socket, and own it. False: no memory, it stays the caller's. */
bool udp_listen(struct udp *, int fd, const struct pv_addr *);
/* Serve it no longer; replies still owed leave from it. */
void udp_unlisten(struct udp *, const struct pv_addr *);
/* Read what has come already, then take no more; replies still owed are sent. */
void udp_stop(struct udp *);

#endif
