/* A conn of DNSCrypt. One for datagrams holds some UDP sockets, and asks over TCP what is lost on
 * them; one for streams asks over TCP only. Each question over TCP has a connection of its own, so
 * the carrier itself is open as soon as there is a certificate. */
#ifndef PV_PROTO_DNSCRYPT_CARRIER_H
#define PV_PROTO_DNSCRYPT_CARRIER_H

#include "net/idmap.h"
#include "proto/dnscrypt/certs.h"
#include "base/map.h"

enum {
    PV_PORTS = 4,
    /* Lengths that queries are padded to, without what stands before them. */
    PV_MIN_QUERY_LEN = 512,
    PV_MIN_QUERY_LEN_MOST = 1152, /* a datagram of 1220, or 1248 to a relay, is not taken apart */
    PV_RELAYED_MOST = 3968,
};

/* The endpoint's state: what its carriers share. */
struct pv_dnscrypt {
    struct pv_certs certs;
    struct pv_list carriers;
    size_t min_query_len; /* of datagrams, as they are padded; grows where answers are cut */
    unsigned whole;       /* answers that were not, since the last that was */
    uint64_t heard;       /* µs: the last good datagram; 0: none yet */
    bool both_ways;       /* it seems that none gets through: asked over TCP too, at once */
    uint64_t silence[2];  /* µs: when questions went unanswered last */
    bool is_gone;         /* nobody listened: a certificate comes before anything is sent again */
};

struct pv_carrier;
struct pv_port {
    struct pv_carrier *carrier;
    struct pv_sock *sock;
    struct pv_addr local;
};
struct pv_carrier {
    struct pv_list link; /* among the endpoint's */
    struct pv_conn *conn;
    struct pv_dnscrypt *shared;
    struct pv_way way;
    unsigned relay;
    bool is_ready;
    bool refused; /* datagrams are, so it is said */
    bool hasten;  /* for that reason: all is asked again now */
    bool heard;   /* a good datagram */
    struct pv_port ports[PV_PORTS];
    unsigned sent, calls;
    struct pv_keys *keys[2]; /* for its relay, and for the next one */
    struct pv_idmap ids;
    struct pv_map nonces;
    struct pv_list once, twice, rest; /* trips: sent once, twice; those that wait for TCP */
};

/* For trips: a socket to send from, another each time; NULL: none can be opened. */
struct pv_port *pv_carrier_port(struct pv_carrier *);
/* Datagrams are refused, so somebody says. */
void pv_carrier_refused(struct pv_carrier *);

bool pv_carrier_open(struct pv_conn *);
/* It was opened, and a certificate is at hand. */
void pv_carrier_ready(struct pv_carrier *);
/* It is ready, and a fetch has ended. changed: the server has another certificate, and what is
 * unanswered is asked again with that. */
void pv_carrier_fetched(struct pv_carrier *, bool changed);
unsigned pv_carrier_room(const struct pv_conn *);
bool pv_carrier_send(struct pv_conn *, struct pv_attempt *);
void pv_carrier_drop(struct pv_conn *, struct pv_attempt *);
void pv_carrier_wake(struct pv_conn *);
void pv_carrier_close(struct pv_conn *);

#endif
