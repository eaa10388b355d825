/* A byte stream to one of an upstream's addresses, with or without TLS. Races the addresses with
 * 250 ms between them [RFC 8305 §5]; the first TCP connection wins and gets the handshake. What is
 * written in one loop turn leaves together at its end. */
#ifndef PV_NET_STREAM_H
#define PV_NET_STREAM_H

#include "base/buf.h"
#include "net/tls.h"

enum pv_stream_fault {
    PV_STREAM_FINE,
    PV_STREAM_CLOSED,    /* the peer closed, cleanly or by reset, after it was open */
    PV_STREAM_REFUSED,   /* no address could be connected: refused, unreachable, timed out */
    PV_STREAM_UNTRUSTED, /* certificate, name or pin */
    PV_STREAM_TLS,       /* another TLS failure */
    PV_STREAM_FULL,      /* more unsent than the limit */
    PV_STREAM_NO_MEMORY,
    PV_STREAM_BROKEN, /* said by who speaks over it: the peer breaks the rules */
};

struct pv_stream;
struct pv_stream_events {
    /* Connected (and authenticated). */
    void (*opened)(void *arg);
    /* Octets have arrived: the handler consumes what it can from `in`. Called at most once per
     * 64 KiB read per wake-up. May close the stream. */
    void (*received)(void *arg, struct pv_buf *in);
    /* It is over; reason in plain words, borrowed. What arrived before was passed to received. The
     * stream is to be freed with pv_stream_close() (here or later). */
    void (*lost)(void *arg, enum pv_stream_fault, const char *reason);
};

struct pv_stream_options {
    const struct pv_addr *addresses; /* tried in this order; copied */
    unsigned address_count;
    struct pv_tls_context *tls; /* NULL: plaintext */
    size_t in_limit, out_limit; /* octets buffered at most */
};

/* Begin to connect; never calls back before it returns. NULL: no memory. */
struct pv_stream *pv_stream_open(struct pv_loop *, const struct pv_stream_options *,
                                 const struct pv_stream_events *, void *arg);
/* Queue octets; they leave at the end of the turn, whole queue in one record where it fits. False:
 * over out_limit or no memory, nothing queued. */
bool pv_stream_write(struct pv_stream *, const void *, size_t);
/* Room to build a message in place, n octets at most, then pv_stream_wrote(); NULL as above. */
uint8_t *pv_stream_reserve(struct pv_stream *, size_t n);
void pv_stream_wrote(struct pv_stream *, size_t n);
/* So many answers are still to come: see to it that what was read is acknowledged, by the next
 * write or else soon (pv_sock_hasten). */
void pv_stream_expect(struct pv_stream *, unsigned answers);
size_t pv_stream_unsent(const struct pv_stream *);                        /* in our buffer */
const struct pv_addr *pv_stream_peer(const struct pv_stream *);           /* NULL until connected */
bool pv_stream_local(const struct pv_stream *, struct pv_addr *ret);      /* ours, once connected */
const struct pv_tls_facts *pv_stream_tls_facts(const struct pv_stream *); /* NULL: plaintext */
/* Sends close_notify where it can, closes, frees (inside its own events: when they return). No
 * event comes after. NULL is fine. */
void pv_stream_close(struct pv_stream *);

#endif
