/* A machine in memory: time stands until it is told to pass, and the other end of each socket is
 * the fuzzer's, which says how many octets may be read and written, and when it ends. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "base/buf.h"
#include "net/sock.h"

#define MS 1000ULL
#define S  1000000ULL

struct pv_sock;

/* The world itself allocates: no failure is to be played on it. */
extern volatile bool world_own_memory;

struct world {
    uint64_t now;   /* µs */
    uint64_t slept; /* s: ages are ahead of now by so much */
    struct pv_loop *loop;
    struct pv_list socks; /* oldest first */
    unsigned count;
    int refusal;      /* why no socket can be opened; 0: they can */
    bool calm;        /* sockets opened now are at ease, see world_ease() */
    const char *here; /* our own address */
    /* Each may be NULL. peers: does in each turn what the other ends do. */
    void (*peers)(struct world *);
    void (*opened)(struct pv_sock *);
    void (*closing)(struct pv_sock *);
};

/* What the library sent: a datagram, or a message off a stream. */
struct world_message {
    struct pv_list link;
    bool checked, answered; /* the fuzzer's */
    int32_t stream;         /* of HTTP/2 */
    size_t length;
    uint8_t bytes[];
};

struct pv_sock {
    struct pv_sock_head head;
    struct pv_list link;
    struct world *world;
    bool tcp, connected;
    bool ended; /* by the peer; what is in `in` is read first */
    int error;  /* it failed, or was never connected */
    unsigned wanted;
    struct pv_addr peer;
    pv_sock_ready *ready;
    void *arg;
    struct pv_buf in;      /* to the library; datagrams behind their length */
    struct pv_buf out;     /* from it; less than a message */
    struct pv_list heard;  /* messages from it, oldest first */
    size_t readable, room; /* octets that may be read, written now */
    bool rekeys;           /* TLS has to write before it reads again */
    bool greeted;          /* the fuzzer's: the TLS verdict was sent */
    bool raw;              /* `out` keeps all there is: no messages are heard */
    void *state;           /* the fuzzer's */
};

void world_init(struct world *);
void world_done(struct world *); /* nothing may be left in it */

/* The k-th socket there is, counted round; NULL: there is none. */
struct pv_sock *world_sock(struct world *, unsigned k);
/* Connected, all there is may be read, any number written; only where nothing has gone wrong. */
void world_ease(struct pv_sock *);
/* The peer sends octets on a stream, or a datagram. */
void world_deliver(struct pv_sock *, const void *, size_t);
/* It sends a message. */
void world_answer(struct pv_sock *, const uint8_t *message, size_t length);
void world_forget(struct world_message *);
/* As if the library had sent this message. */
struct world_message *world_hear(struct pv_sock *, const void *, size_t);

/* Tell the library what is ready, and run what is due now, until all is quiet. */
void world_settle(struct world *);
/* So much time passes, timer by timer. */
void world_pass(struct world *, uint64_t us);

#endif
