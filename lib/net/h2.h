/* An HTTP/2 client connection [RFC 9113] over a TLS stream: requests out, whole responses in, all
 * within bounds. Knows nghttp2; nobody above does, and it knows nothing of DNS. */
#ifndef PV_NET_H2_H
#define PV_NET_H2_H

#include "net/h2_response.h"
#include "net/stream.h"

enum pv_h2_fault {
    PV_H2_UNPROCESSED, /* not looked at: may be sent again, elsewhere */
    PV_H2_HELD,        /* taken back before it was out */
    PV_H2_CALM,        /* the server has too much of us */
    PV_H2_RESET,       /* otherwise ended by the server, or out of bounds */
};

struct pv_h2;
/* Each may close the connection; none is called once it is closed. What nghttp2 held back may end
 * from inside a call that makes it write. */
struct pv_h2_events {
    void (*opened)(void *arg);
    /* The response to a request, borrowed. */
    void (*response)(void *arg, void *request, const struct pv_h2_response *);
    void (*failed)(void *arg, void *request, enum pv_h2_fault, const char *reason);
    /* A sign of life: a pong, or the response to a request that was dropped. */
    void (*alive)(void *arg);
    /* pv_h2_room() may have grown though no request ended, or pv_h2_streams() changed. */
    void (*room)(void *arg);
    /* It takes no more requests (GOAWAY, or its stream ids are used up); those it has go on. */
    void (*leaving)(void *arg);
    /* It is over, for all of its requests. */
    void (*lost)(void *arg, enum pv_stream_fault, const char *reason);
};

/* What each request says: never more than these fields [RFC 8484 §4.1, §8.2]. */
struct pv_h2_request {
    const char *scheme, *type;    /* literals; type: of what is sent and accepted */
    const char *authority, *path; /* while pv_h2_send() runs */
    const uint8_t *body;          /* copied; NULL: GET */
    size_t length;
};

/* Begin to connect; never calls back before it returns. streams: at most so many requests until
 * the server has told its limit. NULL: no memory. */
struct pv_h2 *pv_h2_open(struct pv_loop *, const struct pv_stream_options *, unsigned streams,
                         const struct pv_h2_events *, void *arg);
/* How many more requests now, each with a body of so many octets: as many as the connection's
 * window lets out. A stream's own may open when the server has seen its head. */
unsigned pv_h2_room(const struct pv_h2 *, size_t body);
unsigned pv_h2_streams(const struct pv_h2 *); /* the server's limit, or what was assumed */
unsigned pv_h2_awaited(const struct pv_h2 *); /* requests whose end is still to be told */
/* owner comes back with the end; ret_id is for pv_h2_drop(). Leaves with all else of the turn.
 * False: no memory. */
bool pv_h2_send(struct pv_h2 *, const struct pv_h2_request *, void *owner, uint32_t *ret_id);
/* Nobody waits for this one any more. It is left to end by itself: a server may take many resets
 * for an attack. Only where many are left is the stream reset. */
void pv_h2_drop(struct pv_h2 *, uint32_t id);
/* When the oldest request was sent whose body the server's windows hold back; 0: there is none. To
 * the server it has not been asked, however alive the connection is. */
uint64_t pv_h2_held_since(const struct pv_h2 *);
bool pv_h2_is_held(const struct pv_h2 *, uint32_t id);
/* They fail. */
void pv_h2_take_back_held(struct pv_h2 *);
void pv_h2_ping(struct pv_h2 *);
const struct pv_tls_facts *pv_h2_tls_facts(const struct pv_h2 *);
/* Says GOAWAY where it can, closes, frees (inside its own events: when they return). NULL is fine.
 */
void pv_h2_close(struct pv_h2 *);

#endif
