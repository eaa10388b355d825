/* What the parts of net/h2 share, and nobody else. */
#ifndef PV_NET_H2_SESSION_H
#define PV_NET_H2_SESSION_H

#include "net/h2.h"
#include "net/h2_budget.h"

#include <nghttp2/nghttp2.h>

enum pv_h2_state {
    PV_H2_AWAITED,
    PV_H2_DROPPED, /* nobody waits, but the server may answer yet */
    PV_H2_ENDED,   /* and told; until nghttp2 has closed the stream */
};

struct pv_h2_stream {
    struct pv_list link;
    struct pv_h2 *h2;
    int32_t id;
    enum pv_h2_state state;
    void *owner;
    uint64_t begun; /* µs */
    unsigned informational;
    struct pv_h2_response response;
    size_t carried; /* octets of its DATA frames, all that is no body too */
    size_t length, sent;
    uint8_t body[];
};

struct pv_h2 {
    struct pv_loop *loop;
    struct pv_stream *stream;
    nghttp2_session *session; /* NULL: not connected yet */
    const struct pv_h2_events *events;
    void *arg;
    struct pv_list requests;
    unsigned count[3]; /* of requests, by state: each is a stream of its own */
    unsigned streams;  /* at once, as the server allows */
    bool leaving;
    unsigned oversized;
    struct pv_h2_budget budget;
    bool inside, closed; /* nghttp2 is running: freed when it returns */
    struct pv_deferred failing;
    enum pv_stream_fault fault;
    char reason[128];
};

void pv_h2_stream_become(struct pv_h2_stream *, enum pv_h2_state);
void pv_h2_stream_free(struct pv_h2_stream *);
/* Our own end of it: it stays until nghttp2 has closed it. */
void pv_h2_stream_reset(struct pv_h2_stream *, enum pv_h2_fault, const char *reason);
/* Why it is over; the first reason stands. */
void pv_h2_note(struct pv_h2 *, enum pv_stream_fault, const char *format, ...) PV_PRINTF(3, 4);
/* False, with a note: the server sends too much that is no part of a response. */
bool pv_h2_is_within_budget(struct pv_h2 *);
/* It takes no more requests. */
void pv_h2_leave(struct pv_h2 *);
/* With our settings in its queue. False: no memory. */
bool pv_h2_session_begin(struct pv_h2 *);

#endif
