/* A small world: time moves only when the test says so, and upstreams do what a script says. Below
 * the neck (conn/proto.h) all is played, above it all is real. Include unit.h first. */
#ifndef SIM_H
#define SIM_H

#include "conn/health.h"
#include "resolver/resolver.h"
#include "resolver/query.h"

#define MS 1000ULL
#define S  1000000ULL

/* What a server does with one message. */
enum sim_deed {
    SIM_ANSWERS,      /* one A record, 192.0.2.<its number> */
    SIM_DENIES,       /* NXDOMAIN with SOA */
    SIM_DENIES_BARE,  /* NXDOMAIN without SOA */
    SIM_FAILS,        /* RCODE `rcode` */
    SIM_CUT,          /* TC=1, no records */
    SIM_CUT_DATAGRAM, /* the same over a datagram; SIM_ANSWERS over a stream */
    SIM_LAME,         /* a referral */
    SIM_SILENT,
    SIM_CLOSES,      /* the connection */
    SIM_UNPROCESSED, /* says that it has not looked at it */
    SIM_LEAVES,      /* the same, and that the connection goes */
    SIM_CANNOT,      /* says, below DNS, that it cannot answer */
    SIM_RESTS,       /* the same, and not to be asked for 20 s */
    SIM_GARBLES,     /* 60 octets, the right id */
    SIM_MISHEARS,    /* answers another question */
};

struct sim_answer {
    enum sim_deed deed;
    uint64_t us; /* after so long */
    uint32_t ttl;
    uint16_t rcode, ede;
    uint32_t age; /* s, as a cache on the way tells it */
    bool ad;
    bool keepalive; /* with that option, in ms: */
    uint32_t idle_ms;
};

enum sim_opening { SIM_OPENS, SIM_REFUSES, SIM_HANGS, SIM_UNTRUSTED, SIM_NO_MEMORY };

struct sim_message {
    uint64_t at;
    unsigned conn; /* its serial number at this server, from 1 */
    enum pv_kind kind;
    char name[PV_NAME_TEXT];
    uint16_t type, id;
    size_t length;
    uint8_t bytes[1024];
};

enum { SIM_SERVERS = 6 };

struct sim_server {
    const char *name; /* of its upstream too */
    unsigned number;
    bool datagram;
    bool has_ping; /* its protocol has a ping of its own */
    bool mute;     /* it answers none */
    enum sim_opening opening;
    uint64_t open_us;
    struct sim_answer answer, probe; /* to questions; to `. NS` */
    /* Instead of answer, where it is set. */
    struct sim_answer (*choose)(struct sim_server *, const struct sim_message *);
    unsigned allowed;   /* connections at once; 0: any number */
    unsigned room;      /* attempts a connection takes at once */
    bool drop_replaces; /* forgetting an attempt makes it ask for another connection */
    bool full;          /* send() fails */
    /* What it saw. */
    unsigned opened, ready, closed, opening_now, opening_most, carried;
    unsigned questions, probes, pings;
    struct sim_message *log; /* of both */
    unsigned logged;
    struct pv_list conns;
};

/* One asker: what its callback saw. */
struct sim_asker {
    struct privy_query *handle;
    unsigned calls;
    uint64_t begun, at; /* µs: asked; called */
    enum privy_status status;
    unsigned rcode;
    uint32_t ttl;
    struct privy_facts facts; /* without its pointers */
    char upstream[64], protocol[12];
    uint16_t id, flags;
    size_t length;
    uint8_t wire[1024];
    uint16_t ede;
    struct privy_error error;
    void (*then)(struct sim_asker *); /* runs inside the callback */
    void *extra;
    bool ready; /* may be called back: privy_query() has returned */
};

struct sim {
    uint64_t now;   /* µs */
    uint64_t slept; /* s: ages are ahead of now by so much */
    struct pv_loop *loop;
    struct sim_server servers[SIM_SERVERS];
    unsigned server_count;
    struct privy_upstreams *set;
    struct privy_cache *cache;
    struct privy_resolver *resolver;
    struct privy_resolver_options options;
    struct privy_upstreams_options pool;
    struct privy_cache_options cache_options;
    unsigned ups, downs; /* changes of state told */
    /* The world itself allocates: no failure is played on it. To the compiler calloc() reads no
     * variable of ours. */
    volatile bool own_memory;
};
extern struct sim sim;

/* cmocka's setup and teardown. The teardown lets a minute pass and asserts that nothing is left
 * behind: no query, attempt, connection, timer. */
int sim_begin(void **state);
int sim_end(void **state);

struct sim_server *sim_server(const char *name);
struct privy_upstreams *sim_set(struct privy_upstreams *previous); /* empty, of sim.pool */
void sim_add(struct privy_upstreams *, struct sim_server *, const struct privy_upstream_options *,
             const char *url_or_null);
/* A resolver for these servers (NULL-ended), in this order; its first choice connects. */
void sim_start(struct sim_server *, ...);
void sim_resolver(struct privy_upstreams *set); /* the same for a set; takes it */

/* Let so much time pass; run what is due now. */
void sim_run(uint64_t us);
void sim_turns(void);

/* Ask; the asker must live until it is told. */
void sim_ask(struct sim_asker *, const char *name);
enum privy_status sim_try_exchange(struct sim_asker *, const uint8_t *wire, size_t length,
                                   const struct privy_exchange_options *);
void sim_exchange(struct sim_asker *, const uint8_t *wire, size_t length,
                  const struct privy_exchange_options *);
/* A query as a client writes it. flags: of the header. */
size_t sim_query(uint8_t *out, uint16_t id, const char *name, uint16_t type, uint16_t flags,
                 bool dnssec_ok);
/* Ask and wait for the answer: nothing else may be expected to stay as it is. */
struct sim_asker sim_answer_to(const char *name);

/* Things that happen to connections there are now. */
void sim_close_all(struct sim_server *);     /* the server closes them */
void sim_replace_all(struct sim_server *);   /* the server says that it will close them */
void sim_silence_all(struct sim_server *);   /* nothing comes from them any more */
void sim_unsilence_all(struct sim_server *); /* it does again, what was held back first */
/* They take nothing more; what they have goes on. */
void sim_bar_all(struct sim_server *);
void sim_unbar_all(struct sim_server *);
unsigned sim_conns(const struct sim_server *);

unsigned sim_asked(const struct sim_server *, const char *name); /* questions for this name */

#define assert_answered(a, upstream_)                                                              \
    do {                                                                                           \
        const struct sim_asker asker_ = (a);                                                       \
        assert_int_equal(asker_.calls, 1);                                                         \
        assert_int_equal(asker_.status, PRIVY_OK);                                                 \
        assert_int_equal(asker_.rcode, 0);                                                         \
        assert_string_equal(asker_.upstream, (upstream_));                                         \
    } while (0)
#define assert_failed(a, status_)                                                                  \
    do {                                                                                           \
        const struct sim_asker asker_ = (a);                                                       \
        assert_int_equal(asker_.calls, 1);                                                         \
        assert_int_equal(asker_.status, (status_));                                                \
    } while (0)
/* It took between so many and so many µs. */
#define assert_took(a, least, most) assert_in_range((a).at - (a).begun, (least), (most))

#endif
