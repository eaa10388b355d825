/* TCP: many queries on one connection, answered in any order [RFC 7766]. Takes listening sockets.
 */
#ifndef PRIVYDNSD_TCP_H
#define PRIVYDNSD_TCP_H

#include "serve/request.h"
#include "serve/tcp_limits.h"

struct event_base;
struct tcp;

/* One worker's TCP side. NULL: no memory. */
struct tcp *tcp_new(struct event_base *, struct server *, struct tcp_limits *);
void tcp_free(struct tcp *); /* closes everything */

/* Accept from this socket, and own it. False: no memory, it stays the caller's. */
bool tcp_listen(struct tcp *, int fd, const struct pv_addr *);
void tcp_unlisten(struct tcp *, const struct pv_addr *); /* connections go on */
/* Accept and read no more; replies still owed are sent. idle (may be NULL) is told, now or later,
 * when the last client has gone. */
void tcp_stop(struct tcp *, void (*idle)(void *arg), void *arg);
bool tcp_is_empty(const struct tcp *); /* no clients */

#endif
