/* A server: real TLS, real frames, and faults drawn by its mood. */
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
    BY_SHORT_FRAME,
    MANNERS
};

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
};

enum { HOSTS_MOST = 3 };

struct server {
    char name[8]; /* of its upstream too */
    unsigned number;
    bool tls, tls12;
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
    unsigned session_count, accepted;
    uint64_t lied_until; /* connections on which it lied are gone since a moment before */
    unsigned questions, probes;
    /* What invariants remember of its upstream. */
    const void *watched, *tried;
    uint64_t bad_answers, last_trial;
    /* Told of each question, before it is answered. */
    void (*heard)(void *arg, struct server *, const struct pv_query_view *, bool stream);
    /* The addresses that the name has, where it is an upstream's; returns how many. */
    unsigned (*lookup)(void *arg, const struct pv_question *, const struct pv_addr **ret);
    void *arg;
};

void server_init(struct server *, unsigned number, bool tls, bool tls12, struct net *,
                 struct ledger *, struct dice);
void server_done(struct server *);
/* One more address; never: no way leads there. */
void server_add_host(struct server *, const struct pv_addr *, enum net_way always);

struct mood mood_healthy(struct dice *);
/* Does it answer every question truly and soon? */
bool mood_is_healthy(const struct mood *);
void server_set_mood(struct server *, const struct mood *);

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
