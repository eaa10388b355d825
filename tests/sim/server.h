/* A server: real TLS, real frames, real HTTP/2, and faults drawn by its mood. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "net.h"
#include "reply.h"

#include <openssl/ssl.h>

/* How an answer is brought. */
enum manner {
    BY_WHOLE,
    BY_PIECES,
    BY_TWICE,   /* the same again */
    BY_UNASKED, /* behind another that nobody asked for */
    BY_DRIPS,
    BY_SILENCE,
    BY_HALF,       /* then nothing: what follows is out of step */
    BY_HALF_CLOSE, /* then the end */
    BY_HALF_RESET,
    BY_CLOSE, /* instead of an answer */
    BY_RESET,
    BY_SHORT_FRAME, /* none at all: of what is on the way in frames */
    STREAM_MANNERS_END,
    /* HTTP/2's own. */
    BY_REFUSED_STREAM = STREAM_MANNERS_END,
    BY_RESET_STREAM,
    BY_GOAWAY, /* before it, or with it */
    BY_STATUS, /* another one than 200 */
    BY_OTHER_TYPE,
    MANNERS
};
#define STREAM_MANNERS ((1U << STREAM_MANNERS_END) - 1)
#define H2_MANNERS     ((1U << MANNERS) - (1U << STREAM_MANNERS_END))

struct mood {
    struct net_path path;
    uint64_t delay_us, delay_more_us; /* before an answer */
    unsigned trouble;                 /* percent of questions that meet one of: */
    uint32_t contents, manners;       /* bits */
    unsigned slams, mutes, cuts;      /* percent of connections: ended at once, never read, cut */
    bool wrong_cert, no_tls, one_by_one, stops_reading;
    unsigned answers_most; /* on one connection, then it is ended; 0: any number */
    uint64_t idle_us;      /* then a connection is ended; 0: never */
    unsigned conns_most;   /* any more are ended at once; 0: any number */
    unsigned keepalives;   /* percent of answers with that option */
    /* HTTP/2's: one stream at once; none; no octet of a request's body; another protocol only. */
    bool narrow, shut, no_window, no_alpn;
    bool wants_stranger; /* a client's certificate that ours is not */
};

/* Clients' certificates, as bits. */
enum { IDENTITY_OLD = 1, IDENTITY_NEW = 2, STRANGER = 4 };
struct protocol;

enum { HOSTS_MOST = 3, NONCES_KEPT = 256 };

struct server {
    char name[8]; /* of its upstream too */
    unsigned number;
    const struct protocol *protocol;
    bool tls12;
    struct net *net;
    struct ledger *ledger;
    struct dice dice;
    struct mood mood;
    uint64_t healthy_since; /* µs; UINT64_MAX: it is not */
    uint64_t disturbed;     /* when its connections were last ended or silenced */
    struct net_host hosts[HOSTS_MOST];
    struct pv_addr addresses[HOSTS_MOST]; /* with their port */
    unsigned host_count;
    SSL_CTX *ctx, *wrong_ctx;
    struct pv_list sessions, datagrams;
    unsigned session_count;
    unsigned accepts;                /* clients' certificates; 0: it asks for none */
    unsigned identity;               /* what its upstream shows; 0: nothing */
    uint64_t renews_until;           /* that has changed, and is noticed by then */
    uint64_t rests_until;            /* it has asked not to be asked before */
    uint8_t nonces[NONCES_KEPT][12]; /* what it was sent with: a real one drops what it has seen */
    unsigned nonce_count;
    uint64_t lied_until; /* connections on which it lied are gone since a moment before */
    /* What invariants remember of its upstream. */
    const void *watched, *tried;
    uint64_t bad_answers, last_trial;
    /* Told of each question, before it is answered. */
    void (*heard)(void *arg, struct server *, const struct pv_query_view *, bool stream);
    /* The addresses that the name has, where it is an upstream's; returns how many. */
    unsigned (*lookup)(void *arg, const struct pv_question *, const struct pv_addr **ret);
    void *arg;
};

void server_init(struct server *, unsigned number, const struct protocol *, bool tls12,
                 struct net *, struct ledger *, struct dice);
void server_done(struct server *);
/* One more address; never: no way leads there. */
void server_add_host(struct server *, const struct pv_addr *, enum net_way always);

struct mood mood_healthy(struct dice *);
/* Does it answer every question truly and soon? */
bool mood_is_healthy(const struct mood *);
void server_set_mood(struct server *, const struct mood *);
/* Which certificates of clients it accepts when all is well, and which its upstream shows. */
void server_set_identities(struct server *, unsigned accepts, unsigned shown);
unsigned server_accepts(const struct server *); /* now */

void server_end_all(struct server *, enum net_end);    /* what is open now */
void server_silence_all(struct server *, bool silent); /* the same */
void server_restart(struct server *);                  /* ends all, forgets its tickets */
/* What it has not answered yet it answers properly. */
void server_relent(struct server *);
/* Ends those that are out of step, in the middle of a message, or never read. */
void server_end_broken(struct server *);
/* Has it given cause to be taken for broken? */
bool server_may_be_doubted(const struct server *);

#endif
