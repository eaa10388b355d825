/* A world: clocks, network, servers, and the resolvers under test with their askers. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "server.h"

#include "resolver/resolver.h"

enum { SERVERS_MOST = 5, WORKERS_MOST = 2, ASKERS_MOST = 2000, SLEEPS_MOST = 200 };

/* What may go wrong in this world; each seed draws some of it. */
enum feature {
    F_SLOW = 1 << 0,
    F_LOSS = 1 << 1,
    F_SILENT_CONNS = 1 << 2,
    F_MANNERS = 1 << 3,
    F_LIES = 1 << 4,
    F_ERRORS = 1 << 5,
    F_ENDS = 1 << 6, /* connections end */
    F_WAYS = 1 << 7, /* refused, black holes, no route */
    F_RESTARTS = 1 << 8,
    F_MOVES = 1 << 9,   /* our address is gone */
    F_SLEEPS = 1 << 10, /* ages run ahead */
    F_PAUSES = 1 << 11, /* the process stands still */
    F_MEMORY = 1 << 12,
    F_SOCKS = 1 << 13, /* no descriptors */
    F_SETS = 1 << 14,  /* other sets of upstreams */
    F_FLUSHES = 1 << 15,
    F_CANCELS = 1 << 16,
    F_CALLBACKS = 1 << 17, /* askers act when they are told */
    F_WINDOWS = 1 << 18,
    F_TLS = 1 << 19, /* wrong certificates, no TLS, TLS 1.2 */
    F_KEEPALIVE = 1 << 20,
    F_IDS = 1 << 21, /* few ids */
    F_BURSTS = 1 << 22,
    F_OPTIONS = 1 << 23,   /* askers' own options */
    F_CUT_SHORT = 1 << 24, /* the resolver is freed in the middle of it */
    F_HTTP = 1 << 25,      /* GOAWAY, resets, statuses, limits, windows */
    F_IDENTITY = 1 << 26,  /* clients' certificates are asked for, and change */
    FEATURES = 27
};

struct worker {
    struct world *world;
    unsigned number;
    struct pv_loop *loop;
    struct privy_resolver *resolver; /* NULL: freed */
    struct pv_timer io;              /* when the network is looked at */
};

struct asker;

struct world {
    struct net net; /* first: what net_machine knows of the world */
    struct agenda agenda;
    uint64_t seed, now;
    struct dice dice;
    uint32_t features;
    struct ledger ledger;
    struct server servers[SERVERS_MOST]; /* the last one is only the bootstrap's, if there is one */
    unsigned server_count, pool_count;   /* with and without it */
    const char *schemes[SERVERS_MOST];
    unsigned properties[SERVERS_MOST];
    bool named[SERVERS_MOST]; /* its address is to be looked up */
    int keeper;               /* the server that nothing ever happens to; -1: none */
    struct worker workers[WORKERS_MOST];
    unsigned worker_count;
    struct privy_upstreams *set, *boot;
    struct privy_upstreams_options set_options;
    struct privy_resolver_options options;
    struct privy_cache_options cache_options;
    struct privy_cache *cache;
    struct asker *askers[ASKERS_MOST];
    unsigned asker_count;
    struct {
        uint64_t at, us;
    } sleeps[SLEEPS_MOST];
    unsigned sleep_count;
    uint64_t set_changed;
    struct task memory_back; /* until then there is none */
    uint64_t refused;        /* allocations, as counted after the last turn */
    uint64_t upset;          /* µs: when something last happened that no promise covers */
    uint64_t slack;          /* µs: for so long the process stood still */
    bool healed;             /* the faults are over */
    long memory_before;
};

void world_create(struct world *, uint64_t seed);
/* Everything must be gone by then; says so if not. */
void world_destroy(struct world *);
/* Time passes; things happen when they are due. */
void world_run(struct world *, uint64_t us);
/* The resolver does nothing for so long. */
void world_pause(struct world *, uint64_t us);
/* The machine sleeps: ages grow, the clock stands still. */
void world_sleep(struct world *, uint64_t us);
/* Has something just happened that no promise covers? */
void world_note_upsets(struct world *);
/* Nothing can be allocated for so long. */
void world_starve(struct world *, uint64_t us);
/* How much of that was in this span of the clock. */
uint64_t world_slept(const struct world *, uint64_t from, uint64_t to);
/* A set of upstreams with this many of the servers, the others of `previous` taken over; NULL: no
 * memory. */
struct privy_upstreams *world_set(struct world *, struct privy_upstreams *previous, uint32_t which);
void world_use(struct world *, struct privy_upstreams *); /* takes it */
bool world_reload(struct world *); /* the same set again: files are read; false: no memory */
bool world_serves(const struct world *, const struct server *); /* is it in the set? */
const struct pv_upstream *world_upstream(const struct world *, const struct server *);
void world_free_resolver(struct worker *);
/* Is this server asked in datagrams? */
bool world_sends_datagrams(const struct world *, unsigned i);

static inline bool has(const struct world *w, enum feature f)
{
    return w->features & f;
}

#endif
