/* THE NECK. Below it bytes, above it questions. A protocol is written against this header alone,
 * and nothing outside lib/proto knows that it exists.
 *
 * Words, one thing each:
 *   upstream   what the user said about one server; immutable, counted, shared by all threads; with
 *              it its health: what we learnt of it
 *   pool       a named set of upstreams with a strategy (struct privy_upstreams)
 *   endpoint   the running side of one upstream on one thread: addresses, connections, the
 *              protocol's state
 *   conn       one connection (or UDP socket) of an endpoint
 *   query      one question until it is answered
 *   attempt    a query given to one endpoint, sent on one conn, at most once; one that fails unsent
 *              is listed and counted, but is not a try
 *   trial      a conn opened to an upstream that is down
 *   suspect    a conn that has fallen silent over what it carries: it takes no more, is asked for a
 *              sign of life, and is given up where none comes
 *   barred     a conn that carries nothing, and has no room all the same; after 0.5 s of it, closed
 *   deaf       a conn of an upstream that is down: barred, or its probe is unanswered. The next
 *              trial opens another instead of asking this one
 *   stream     a byte stream, with or without TLS
 *
 * A handler is one const struct pv_proto. It only classifies failures; what follows from one is a
 * row of resolver/next.c. It makes no retry, picks no upstream, reads no configuration, calls no
 * user. How to add one: write lib/proto/NAME.c with `const struct pv_proto pv_proto_NAME[]`, and
 * put the word into the build's `protocols` option; one of several files has a row in proto_folders
 * of lib/meson.build. */
#ifndef PV_CONN_PROTO_H
#define PV_CONN_PROTO_H

#include "net/loop.h"
#include "upstream/upstream.h"
#include "wire/reply.h"

enum pv_kind { PV_STREAM, PV_DATAGRAM };

/* How an attempt ended. The first group is said by handlers and conn/, the second by
 * resolver/verify, which reads the answer. */
enum pv_outcome {
    PV_PENDING = 0,
    /* The connection or the peer failed. */
    PV_DIED_IDLE,     /* a connection that had served before was closed before any answer to this */
    PV_DIED_FRESH,    /* a new connection was closed before its first answer */
    PV_UNREACHABLE,   /* refused, no route: nothing was sent */
    PV_UNOPENED,      /* no connection within the limit: nothing was sent */
    PV_UNTRUSTED,     /* its certificate, name or pin (nothing was sent); or it does not trust us */
    PV_TLS_FAILED,    /* another TLS failure */
    PV_TIMED_OUT,     /* sent, and the connection was given up without an answer */
    PV_UNPROCESSED,   /* the peer says that it has not looked at it: to be sent again */
    PV_LEFT_OUT,      /* the same, for it goes, and has answered others on this connection */
    PV_SERVER_FAILED, /* it says below DNS that it cannot: an HTTP status, a reset stream */
    PV_BAD_ANSWER,    /* malformed, or to another question */
    PV_TRUNCATED,     /* a datagram answer was cut */
    PV_NO_ROOM,       /* ours: no memory, no descriptor, no id */
    /* An answer came; what kind. */
    PV_GOOD, /* final */
    PV_SERVFAIL_OR_REFUSED,
    PV_NOT_SERVED, /* FORMERR, NOTIMP, NOTAUTH, BADVERS, lame */
    PV_CUT,        /* TC=1 from a stream */
    PV_OUTCOMES
};

struct pv_endpoint;
struct pv_conn;

/* What is asked. Lives as long as its attempts. */
struct pv_ask {
    struct pv_question question;
    bool dnssec_ok, checking_disabled;
    bool ecs_zero;         /* send the ECS option with source prefix 0 */
    unsigned pad_block;    /* the user's; 0: none */
    const uint8_t *opaque; /* a whole message to pass on, only its id changed; or NULL */
    size_t opaque_length;
};

struct pv_attempt {
    struct pv_list link;          /* among the endpoint's waiting or the conn's sent ones */
    struct pv_list of_query;      /* the owner's list */
    struct pv_endpoint *endpoint; /* while it is pending, and in its events */
    struct pv_upstream *upstream; /* counted: whom the facts are about */
    struct pv_conn *conn;         /* NULL: waits for one */
    const struct pv_ask *ask;
    enum pv_kind kind; /* wanted */
    uint32_t id;       /* the handler's: a message id, a stream's number */
    bool was_sent;
    bool overdue; /* its connection fell silent over it */
    bool fresh;   /* only on a connection opened after it began */

    /* The record of facts. µs of pv_now; 0: not reached. */
    uint64_t begun, sent, done;
    bool reused, resumed, client_auth;

    enum pv_outcome outcome;
    char reason[100];
    uint32_t age;    /* s: what a cache on the way says of its answer [RFC 8484 §5.1] */
    uint8_t *answer; /* a copy, owned, when an answer came */
    size_t answer_length;
    struct pv_reply reply; /* points into the copy */

    /* The owner. on_sent: it went out now (may only note it). on_overdue: its connection is
     * suspect: ask elsewhere too, this one still listens. on_end: outcome is set. The last two are
     * deferred, never inside another call. */
    const struct pv_attempt_events *events;
    void *owner;
    struct pv_deferred ending, warning;
};

struct pv_attempt_events {
    void (*on_sent)(struct pv_attempt *);
    void (*on_overdue)(struct pv_attempt *);
    void (*on_end)(struct pv_attempt *);
};

/* Traits. */
enum {
    PV_TRAIT_STREAM = 1,      /* can open a stream */
    PV_TRAIT_DATAGRAM = 2,    /* can open a datagram socket, and begins with one */
    PV_TRAIT_TLS = 4,         /* authenticated by TLS; a client identity may be set */
    PV_TRAIT_PADS_ITSELF = 8, /* no EDNS padding */
    PV_TRAIT_KEEPALIVE = 16,  /* the keepalive option may be sent on its streams [RFC 7828] */
    PV_TRAIT_ID_ZERO = 32,    /* the transport matches answers: id 0, and any id in the answer */
    PV_TRAIT_PLAINTEXT = 64,  /* only where the pool says so */
    PV_TRAIT_METHOD = 128,    /* there is more than one way to ask: the user may choose */
    PV_TRAIT_STAMP = 256,     /* there are DNS stamps of it, of type `stamp` */
    PV_TRAIT_PROVIDER = 512,  /* authenticated by a provider's key; may be reached through relays */
};

struct pv_proto {
    const char *name;   /* the word in config, API, logs, metrics */
    const char *scheme; /* of its URLs */
    uint16_t port;      /* where the URL has none */
    uint16_t edns_size; /* in its queries */
    unsigned traits;
    uint8_t stamp;        /* the first octet of its DNS stamps */
    size_t endpoint_size; /* its state per upstream and thread: outlives connections */
    size_t conn_size;     /* its state per connection; both start zeroed */

    /* Is this upstream complete? At load, may read files, no network; may set up->shared. The error
     * begins with the option at fault. Optional. */
    enum privy_status (*check)(struct pv_upstream *up, struct privy_error *reterr);
    /* Prepare and release the endpoint's state. start false: no memory; stop comes then too. Both
     * optional. */
    bool (*start)(struct pv_endpoint *);
    void (*stop)(struct pv_endpoint *);
    /* The user wants files to be read again. Optional. */
    void (*refresh)(struct pv_endpoint *);
    /* Begin to connect. Later, once: pv_conn_ready() or pv_conn_lost(), never before returning; or
     * at once false: no memory, and nothing else but close() comes. */
    bool (*open)(struct pv_conn *);
    /* How many more attempts now? Pure: asked at every choice. */
    unsigned (*room)(const struct pv_conn *);
    /* Only while room() > 0. Later, once: pv_attempt_answered() or pv_attempt_failed(); or at once
     * false: it could not be queued (no memory), and nothing else will come. */
    bool (*send)(struct pv_conn *, struct pv_attempt *);
    /* Forget it. Its late answer is no error. Calls nobody, but may say pv_conn_replace() where the
     * connection has no ids to spare: it may be over after this. Optional. */
    void (*drop)(struct pv_conn *, struct pv_attempt *);
    /* Ask the peer for a sign of life, told with pv_conn_progress(). Optional: without it `. NS` is
     * asked, as it is of an upstream that was down. */
    void (*ping)(struct pv_conn *);
    /* The moment asked for with pv_endpoint_wake_at(), pv_conn_wake_at() has come. Optional. */
    void (*wake)(struct pv_endpoint *);
    void (*wake_conn)(struct pv_conn *);
    /* Release what open() took, half-open too. Calls nobody. */
    void (*close)(struct pv_conn *);
};

/* ---- what a handler may say, upward ---- */

/* What the opened connection turned out to be. */
struct pv_conn_facts {
    bool resumed, client_auth;
    uint32_t idle_ms; /* close when idle for so long; 0: the default */
};

void pv_conn_ready(struct pv_conn *, const struct pv_conn_facts *);
/* It is over: its attempts fail with outcome (DIED_IDLE or DIED_FRESH is chosen here where outcome
 * is PV_DIED_FRESH), close() is called, and the conn is gone at the end of the turn. */
void pv_conn_lost(struct pv_conn *, enum pv_outcome, const char *reason);
/* Take no more, finish what is carried (the peer said so). */
void pv_conn_drain(struct pv_conn *);
/* Open the next one first, where it is in use, then drain this. */
void pv_conn_replace(struct pv_conn *);
/* A sign of life: a whole message that belongs to this connection came, though not an answer to a
 * living attempt. */
void pv_conn_progress(struct pv_conn *);
/* It takes more attempts than it did, or fewer. */
void pv_conn_widened(struct pv_conn *);
/* The peer's idle limit [RFC 7828]: close before it runs out. */
void pv_conn_set_idle(struct pv_conn *, uint32_t ms);

/* Here is the answer: checked against the question, copied (a->age is set before, where the
 * transport has caches). False: it is none (malformed, another
 * question): the attempt has failed with PV_BAD_ANSWER, and a stream peer that does so is broken.
 */
bool pv_attempt_answered(struct pv_attempt *, const uint8_t *message, size_t length);
void pv_attempt_failed(struct pv_attempt *, enum pv_outcome, const char *reason);

/* Write the query of this attempt as this handler's traits want it: header, question, OPT with
 * padding. keepalive: add that option. Returns the length, 0 when it does not fit. PV_DRESSED_MAX
 * always suffices for one that is not opaque. */
#define PV_DRESSED_MAX 1024
static inline size_t pv_attempt_dressed_max(const struct pv_attempt *a)
{
    return a->ask->opaque ? a->ask->opaque_length : PV_DRESSED_MAX;
}
size_t pv_attempt_dress(const struct pv_attempt *, uint16_t id, bool keepalive, uint8_t *out,
                        size_t capacity);

/* What its connections were opened with is out of date: others take their place. */
void pv_endpoint_renew(struct pv_endpoint *);
/* The server asks to be left alone for so long: the upstream is down for that reason. */
void pv_endpoint_rest(struct pv_endpoint *, uint64_t us, const char *reason);

void pv_endpoint_wake_at(struct pv_endpoint *, uint64_t us);
void pv_conn_wake_at(struct pv_conn *, uint64_t us);

/* ---- what a handler may ask ---- */

void *pv_endpoint_state(struct pv_endpoint *);
struct pv_upstream *pv_endpoint_upstream(const struct pv_endpoint *);
struct pv_loop *pv_endpoint_loop(const struct pv_endpoint *);
/* The addresses to try, best first, with their ports; returns how many. */
enum { PV_ADDRESSES_MAX = 16 };
unsigned pv_endpoint_addresses(const struct pv_endpoint *, struct pv_addr out[PV_ADDRESSES_MAX]);
void *pv_conn_state(const struct pv_conn *);
struct pv_endpoint *pv_conn_endpoint(const struct pv_conn *);
enum pv_kind pv_conn_kind(const struct pv_conn *);

#endif
