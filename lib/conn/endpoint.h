/* Endpoint: the running side of one upstream on one thread. Holds its connections, opens them when
 * they are needed, keeps attempts waiting until one is ready. */
#ifndef PV_CONN_ENDPOINT_H
#define PV_CONN_ENDPOINT_H

#include "conn/conn.h"

struct pv_endpoint_events {
    /* It has a new connection that takes attempts; true: some will come in this turn. */
    bool (*ready)(void *owner, struct pv_endpoint *);
    /* It answered, after it was down. */
    void (*recovered)(void *owner, struct pv_endpoint *);
    /* It has no address (or they are old, or none of them could be connected): look them up, then
     * pv_endpoint_set_addresses(). May be called again any time. */
    void (*lookup)(void *owner, struct pv_endpoint *);
    /* Draining has ended: nothing is left on it. */
    void (*drained)(void *owner, struct pv_endpoint *);
};

struct pv_endpoint {
    struct pv_list link; /* the resolver's list */
    struct pv_loop *loop;
    struct pv_upstream *upstream;
    const struct pv_proto *proto;
    const struct pv_endpoint_events *events;
    void *owner;
    unsigned max_conns;
    struct pv_list conns, closed; /* closed ones live until their turn ends */
    struct pv_list waiting;
    struct pv_addr *addresses; /* looked-up ones; configured ones stay with the upstream */
    unsigned address_count, address_first;
    uint64_t addresses_until; /* age seconds; 0: for good */
    uint64_t alone_until;     /* µs: the peer wants no more connections than there are */
    bool draining, pumping;
    unsigned rank; /* resolver/select's */
    struct pv_timer wake;
    struct pv_deferred settle; /* end of turn: draining may be over */
    struct pv_ask probe_ask;
    unsigned long long state_of_proto[]; /* endpoint_size octets, aligned */
};

struct pv_endpoint *pv_endpoint_new(struct pv_loop *, struct pv_upstream *, unsigned max_conns,
                                    const struct pv_endpoint_events *, void *owner);
/* Closes its connections; its attempts are forgotten without a word. */
void pv_endpoint_free(struct pv_endpoint *);
/* Take nothing new; events->drained when what it carries is done. */
void pv_endpoint_drain(struct pv_endpoint *);

/* Best first. */
enum pv_standing {
    PV_STANDING_GOOD,    /* up; has a connection, or may open one */
    PV_STANDING_SUSPECT, /* up, but all its connections are silent, or take nothing, and no new one
                            is ready; or it was down, and its first question since is under way */
    PV_STANDING_UNKNOWN, /* no address known yet */
    PV_STANDING_DOWN,
};
enum pv_standing pv_endpoint_standing(const struct pv_endpoint *);

bool pv_endpoint_has_addresses(const struct pv_endpoint *);
void pv_endpoint_set_addresses(struct pv_endpoint *, const struct pv_addr *, unsigned count,
                               uint32_t ttl_s);
/* The lookup failed: the upstream is down for that reason. */
void pv_endpoint_no_addresses(struct pv_endpoint *, const char *reason);
void pv_endpoint_network_changed(struct pv_endpoint *);

/* For conn.c and attempt.c. */
void pv_endpoint_conn_ready(struct pv_endpoint *, struct pv_conn *);
/* The next one begins with another address than this one did. */
void pv_endpoint_turn_from(struct pv_endpoint *, const struct pv_conn *);
/* It was silent and speaks again. */
void pv_endpoint_conn_healed(struct pv_endpoint *, struct pv_conn *);
void pv_endpoint_conn_gone(struct pv_endpoint *, struct pv_conn *, enum pv_outcome,
                           const char *reason);
/* What was sent then: the upstream is good. */
void pv_endpoint_answered(struct pv_endpoint *, uint64_t sent, bool probe);

/* ---- dispatch.c ---- */

/* Take an attempt: it goes out on a ready connection at once, or waits for one that is opened. */
void pv_endpoint_submit(struct pv_endpoint *, struct pv_attempt *);
void pv_endpoint_pump(struct pv_endpoint *); /* a connection has room again */
/* A connection of the kind that its attempts begin with, opened then or later. */
bool pv_endpoint_has_ready(const struct pv_endpoint *, uint64_t since_us);
/* Is there one that takes attempts, or may soon? */
bool pv_endpoint_has_another(const struct pv_endpoint *, enum pv_kind);
/* Open a connection if there is none (start-up, the one before is closing). */
void pv_endpoint_warm(struct pv_endpoint *);
void pv_endpoint_replace(struct pv_endpoint *, struct pv_conn *);
/* A trial, if one is due: a connection is opened beside what is there and probed. */
void pv_endpoint_trial(struct pv_endpoint *, bool last_way_out);

#endif
