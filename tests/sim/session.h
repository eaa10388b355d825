/* Between the files of a server: its connections, the questions it has not answered yet, and the
 * protocols it may speak. A protocol is one file, proto_*.c, with one struct protocol. */
#ifndef SIM_SESSION_H
#define SIM_SESSION_H

#include "server.h"

enum { MESSAGE_MOST = 65535 };

struct session;
struct reply;

struct protocol {
    const char *word; /* the resolver's for it */
    uint16_t port;
    bool tls;
    bool sealed;      /* without TLS, and nobody else can answer for it */
    size_t overhead;  /* of an answer, on the way */
    const char *alpn; /* that its clients must offer; NULL: none */
    uint32_t manners; /* bits: those it knows how to bring an answer in */
    size_t state_size;
    /* A connection is there: nothing has come yet. Optional. */
    void (*begin)(struct session *);
    /* Release the state. Optional. */
    void (*end)(struct session *);
    /* Octets, out of their TLS. False: they make no sense to it, or it is over. */
    bool (*take)(struct session *, const uint8_t *, size_t);
    /* A frame is complete, of those that keep frames; NULL: it is a question. */
    void (*take_message)(struct session *, const uint8_t *, size_t);
    /* The answer, of n octets; two more before it are free. False: the session is gone. */
    bool (*bring)(struct reply *, uint8_t *message, size_t n);
    /* The mood has changed. Optional. */
    void (*mood_changed)(struct session *);
    /* It is about to be closed. Optional. */
    void (*say_goodbye)(struct session *);
    /* NULL: it knows none. */
    void (*take_datagram)(struct net_host *, uint64_t sock, const uint8_t *, size_t);
    void (*bring_datagram)(struct reply *, uint8_t *message, size_t n);
};

extern const struct protocol protocol_do53, protocol_dot, protocol_doh, protocol_dnscrypt;
void dnscrypt_provider_key(const struct server *, char hex[65]);

/* One connection, the server's end. */
struct session {
    struct pv_list link; /* server->sessions */
    struct server *server;
    struct net_conn *conn;
    SSL *ssl;
    unsigned answered;
    bool mute, lied, out_of_step;
    uint64_t busy_until;
    struct task idle;
    struct pv_list replies; /* questions not answered yet */
    void *state;            /* the protocol's */
};

/* What a question was sealed with, and so is its answer. */
struct seal {
    uint8_t key[32], half[12];
    size_t room; /* for an answer in a datagram; 0: nothing is sealed */
};

/* How a question came. */
struct origin {
    struct session *session; /* NULL: a datagram came */
    int32_t stream;          /* of the session, where it has any */
    struct net_host *host;   /* else */
    uint64_t sock;
    struct seal seal;
};

/* A question, until it is answered. */
struct reply {
    struct pv_list link; /* session->replies, or server->datagrams */
    struct task task;
    struct server *server;
    struct origin from;
    enum manner manner;
    struct wording wording;
    struct pv_query_view view;
    size_t length;
    uint8_t query[];
};

#define SESSION(it) pv_container(it, struct session, link)
#define REPLY(it)   pv_container(it, struct reply, link)

static inline struct agenda *agenda_of(const struct server *s)
{
    return s->net->agenda;
}

static inline uint64_t now_of(const struct server *s)
{
    return *s->net->now;
}

/* ---- session.c ---- */

extern const struct net_service session_service;
void session_make_contexts(struct server *);
void session_free(struct session *);
void session_end(struct session *, enum net_end);
void session_start_idle(struct session *);
/* Over TLS one record. In pieces of `step` octets, `gap_us` between them; 0: whole. */
void session_put(struct session *, const uint8_t *, size_t, size_t step, uint64_t gap_us);

/* ---- answer.c ---- */

/* Somebody asks. */
void answer_question(struct server *, const struct origin *, const uint8_t *, size_t);
void answer_free(struct reply *);
/* Properly, whatever was intended. */
void answer_relent(struct reply *);

/* ---- frames: in proto_dot.c, for whoever speaks DNS on a plain stream ---- */

struct frames {
    size_t length; /* of what has come of one */
    uint8_t *in;
};
void frames_end(struct session *);
bool frames_take(struct session *, const uint8_t *, size_t);
bool frames_bring(struct reply *, uint8_t *message, size_t n);

#endif
