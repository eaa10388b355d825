/* One connection of an endpoint: its state, its clocks, the attempts it carries. */
#ifndef PV_CONN_CONN_H
#define PV_CONN_CONN_H

#include "conn/proto.h"

enum pv_conn_state {
    PV_CONN_OPENING,  /* until the handler says ready; at most 2 s */
    PV_CONN_READY,    /* takes attempts */
    PV_CONN_SUSPECT,  /* silent: takes none, a probe is out */
    PV_CONN_DRAINING, /* takes none, finishes what it carries */
    PV_CONN_CLOSED,   /* gone at the end of the turn */
    PV_CONN_STATES
};

enum {
    PV_OPEN_LIMIT_US = 2000000, /* connect and TLS together */
    PV_DEAD_AFTER_US = 2000000, /* after the overdue attempt was sent, at least */
    PV_IDLE_MS = 30000,         /* where the peer names no limit [RFC 7828] */
    PV_CONN_CROWDED = 256,      /* in flight: then a second connection is opened */
    PV_BARRED_US = 500000,      /* so long may one that carries nothing take nothing */
};

struct pv_conn {
    struct pv_list link; /* endpoint->conns, then ->closed */
    struct pv_endpoint *endpoint;
    enum pv_kind kind;
    enum pv_conn_state state;
    struct pv_list attempts; /* sent and unanswered, oldest first */
    unsigned in_flight;
    unsigned address;          /* endpoint->address_first when it was opened */
    uint64_t opened, progress; /* µs: begun; the last whole message */
    uint64_t overdue;          /* silent: when the unanswered attempt was sent; else 0 */
    uint64_t given_up;         /* when the first was sent that was given up since then; else 0 */
    uint64_t barred;           /* since when it has carried nothing and taken nothing; else 0 */
    uint64_t last_used;        /* age seconds: pooled connections do not survive a long sleep */
    uint32_t idle_ms;
    bool answered; /* has given at least one answer */
    bool missed;   /* somebody was turned away since it is barred */
    bool probed;   /* since its last answer to a question */
    struct pv_conn_facts facts;
    struct pv_timer clock, wake;
    struct pv_attempt *probe;
    struct pv_deferred gone;
    unsigned long long state_of_proto[]; /* conn_size octets, aligned */
};

struct pv_conn *pv_conn_open(struct pv_endpoint *, enum pv_kind); /* NULL: no memory */
bool pv_conn_takes(const struct pv_conn *);                       /* ready and has room */
/* Ready and carries nothing, and takes nothing all the same. */
bool pv_conn_is_barred(const struct pv_conn *);
/* It has PV_BARRED_US to change its mind; missed: somebody is turned away for it. */
void pv_conn_bar(struct pv_conn *, bool missed);
/* Give it an attempt (pv_conn_takes was true). */
void pv_conn_send(struct pv_conn *, struct pv_attempt *);
/* An attempt leaves (answered, failed, dropped): bookkeeping, and the clocks. */
void pv_conn_forget(struct pv_conn *, struct pv_attempt *, bool answered);
/* Silently: attempts are not told. Used when the endpoint itself goes away. */
void pv_conn_close(struct pv_conn *);
/* The memory of a closed one, before its turn ends. */
void pv_conn_free(struct pv_conn *);
/* The network changed or the machine slept: probe before trusting it. */
void pv_conn_suspect(struct pv_conn *);
void pv_conn_probe(struct pv_conn *); /* send `. NS` */

#endif
