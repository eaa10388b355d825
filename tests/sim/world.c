#include "world.h"

#include "asker.h"
#include "crypto.h"
#include "invariants.h"
#include "memory.h"
#include "report.h"
#include "session.h"

#include "base/map.h"
#include "base/random.h"

#include <arpa/inet.h>

enum { TURNS_MOST = 5000 };
enum { FEW_IDS = 16 };

/* ---- chance: the library's, with ids that meet again far sooner than they would ---- */

void __real_pv_random(void *, size_t);
void __wrap_pv_random(void *, size_t);

static bool few_ids;

void __wrap_pv_random(void *bytes, size_t length)
{
    __real_pv_random(bytes, length);
    if (few_ids && length == 2) {
        uint8_t *id = bytes;
        id[0] = 0;
        id[1] %= FEW_IDS;
    }
}

/* ---- drawing a world ---- */

static void draw_features(struct world *w)
{
    unsigned likely = roll(&w->dice, 4);
    for (unsigned i = 0; i < FEATURES; i++) {
        if (roll(&w->dice, 5) < likely)
            w->features |= 1U << i;
    }
    /* These cost a world much of its promises, or of our time. */
    if (roll(&w->dice, 4))
        w->features &= ~(uint32_t)(F_MEMORY | F_BURSTS);
    if (roll(&w->dice, 3))
        w->features &= ~(uint32_t)(F_SOCKS | F_OPTIONS | F_CUT_SHORT | F_PAUSES);
}

static void draw_options(struct world *w)
{
    struct dice *d = &w->dice;
    static const uint32_t strategies[] = {PRIVY_ORDERED, PRIVY_FASTEST, PRIVY_SPREAD, PRIVY_SHARD};
    static const uint32_t budgets[] = {0, 5, 5, 100};
    privy_resolver_options_default(&w->options);
    privy_cache_options_default(&w->cache_options);
    w->set_options = (struct privy_upstreams_options){.size = sizeof w->set_options};
    privy_pool_options_default(&w->set_options.pool_options);
    w->set_options.pool_options.strategy = strategies[roll(d, 4)];
    w->set_options.pool_options.plaintext = true;
    w->set_options.pool_options.trust_ad = roll(d, 2);
    w->options.limits.connections_per_upstream = 1 + roll(d, 4);
    w->options.limits.inflight = roll(d, 6) ? 10000 : 5 + roll(d, 50);
    w->options.query.hedge_budget = budgets[roll(d, 4)];
    w->options.query.padding = roll(d, 4) ? 128 : 0;
    w->cache_options.size = roll(d, 8) ? roll(d, 4) ? 1048576 : 20000 : 0;
    w->cache_options.stale = roll(d, 3) ? 86400000 : roll(d, 2) ? 0 : 20000;
    w->cache_options.stale_after = roll(d, 3) ? 1800 : roll(d, 5000);
    w->cache_options.prefetch = roll(d, 4) > 0;
    w->cache_options.max_ttl = roll(d, 4) ? 86400000 : 5000 + roll(d, 100000);
    w->cache_options.min_ttl = roll(d, 8) ? 0 : 2000;
    if (!has(w, F_OPTIONS))
        return;
    w->options.query.tries = 1 + roll(d, 6);
    w->options.query.deadline = 300 + roll(d, 8000);
    w->options.query.try_timeout = roll(d, 2) ? 0 : 50 + roll(d, 2000);
    w->options.query.hedge = roll(d, 2) ? 0 : 20 + roll(d, 1000);
}

static struct pv_addr address(const char *text, uint16_t port)
{
    struct pv_addr a;
    if (!pv_addr_parse(text, strlen(text), port, &a))
        abort();
    return a;
}

static void draw_hosts(struct world *w, unsigned i)
{
    static const enum net_way nowhere[] = {NET_DROPS, NET_REFUSES, NET_UNREACHABLE, NET_NO_ROUTE};
    struct server *s = &w->servers[i];
    uint16_t port = s->protocol->port;
    char v4[32], v6[32];
    snprintf(v4, sizeof v4, "192.0.2.%u", 10 + i);
    snprintf(v6, sizeof v6, "2001:db8::%u", 10 + i);
    struct pv_addr good = address(v4, port), other = address(v6, port);
    unsigned others = roll(&w->dice, 4);
    enum net_way way = roll(&w->dice, 2) ? NET_OPEN : nowhere[roll(&w->dice, 4)];
    if (others == 1)
        server_add_host(s, &other, way);
    server_add_host(s, &good, NET_OPEN);
    if (others == 2)
        server_add_host(s, &other, way);
}

static unsigned lookup(void *arg, const struct pv_question *q, const struct pv_addr **ret)
{
    struct world *w = arg;
    char name[PV_NAME_TEXT];
    pv_name_to_text(q->name, name);
    unsigned i = (unsigned)(name[0] - 'a');
    if (strcmp(name + 1, ".sim.test.") != 0 || i >= w->server_count)
        return 0;
    *ret = w->servers[i].addresses;
    return w->servers[i].host_count;
}

/* Its upstream shows a certificate, never over TLS 1.2; it may never ask for one. */
static void draw_identity(struct world *w, unsigned i)
{
    crypto_identity_set(i, false, false);
    server_set_identities(&w->servers[i], roll(&w->dice, 4) ? IDENTITY_OLD : 0, IDENTITY_OLD);
}

static void draw_server(struct world *w, unsigned i)
{
    static const struct {
        const char *scheme;
        const struct protocol *protocol;
    } ways[] = {{"udp", &protocol_do53},      {"tcp", &protocol_do53},     {"tls", &protocol_dot},
                {"tls", &protocol_dot},       {"https", &protocol_doh},    {"https", &protocol_doh},
                {"sdns", &protocol_dnscrypt}, {"sdns", &protocol_dnscrypt}};
    struct server *s = &w->servers[i];
    struct dice *d = &w->dice;
    unsigned way = roll(d, 8);
    w->schemes[i] = ways[way].scheme;
    bool tls12 = has(w, F_TLS) && roll(d, 4) == 0;
    server_init(s, i, ways[way].protocol, tls12, &w->net, &w->ledger, dice_for(w->seed, 100 + i));
    s->heard = asker_heard;
    s->lookup = lookup;
    s->arg = w;
    draw_hosts(w, i);
    w->properties[i] = roll(d, 3) ? 0 : 1 + roll(d, 3);
    w->named[i] = w->boot && roll(d, 2) && !s->protocol->sealed;
    if (s->protocol->tls && !tls12 && has(w, F_IDENTITY) && roll(d, 3))
        draw_identity(w, i);
    struct mood m = mood_healthy(&s->dice);
    if (has(w, F_KEEPALIVE))
        m.keepalives = 20;
    if (roll(d, 4) == 0)
        m.idle_us = between(d, S, 40 * S);
    server_set_mood(s, &m);
}

static void add(struct world *w, struct privy_upstreams *set, unsigned i, unsigned revision);

static void draw_servers(struct world *w)
{
    w->pool_count = 1 + roll(&w->dice, 4);
    w->server_count = w->pool_count;
    w->keeper = roll(&w->dice, 2) ? (int)roll(&w->dice, w->pool_count) : -1;
    if (roll(&w->dice, 4) == 0) {
        unsigned last = w->server_count++;
        draw_server(w, last);
        if (privy_upstreams_new(NULL, &w->set_options, &w->boot, NULL) != PRIVY_OK)
            abort();
        add(w, w->boot, last, 0);
        w->set_options.bootstrap = w->boot;
    }
    for (unsigned i = 0; i < w->pool_count; i++)
        draw_server(w, i);
}

/* ---- sets ---- */

/* How an upstream is told of this server; another revision is another upstream. */
static void add(struct world *w, struct privy_upstreams *set, unsigned i, unsigned revision)
{
    const struct server *s = &w->servers[i];
    bool tls = s->protocol->tls;
    const char *texts[HOSTS_MOST + 1] = {NULL};
    char url[64], addresses[HOSTS_MOST][PV_ADDR_TEXT];
    static const char *const words[3][3] = {{"dnssec"}, {"filter"}, {"dnssec", "filter"}};
    static const char *const methods[] = {"post", "get", "auto"};
    const char *pins[] = {crypto_pin(revision == 0), crypto_pin(revision != 0), NULL};
    bool by_name = w->named[i] || (tls && (w->seed + i) % 2);
    struct privy_upstream_options o = {.size = sizeof o, .name = s->name};
    for (unsigned k = 0; k < s->host_count; k++)
        texts[k] = pv_addr_host(&s->addresses[k], addresses[k]);
    o.addresses = w->named[i] ? NULL : texts;
    o.properties = w->properties[i] ? words[w->properties[i] - 1] : NULL;
    o.operator_name = revision ? "other.test" : NULL;
    o.method = s->protocol->alpn ? methods[(w->seed + i) % 3] : NULL;
    if (s->identity)
        crypto_identity_files(i, &o.client_cert, &o.client_key);
    if (by_name)
        o.ca_file = tls ? crypto_ca_file() : NULL;
    else if (tls)
        o.pins = pins + 1 - revision % 2;
    char key[65];
    if (s->protocol->sealed) {
        dnscrypt_provider_key(s, key);
        o.provider_name = "2.dnscrypt-cert.sim.test";
        o.provider_key = key;
        o.allow_xsalsa = true;
        o.ephemeral_keys = revision % 2;
    }
    snprintf(url, sizeof url, "%s://%s%s", w->schemes[i], by_name ? s->name : "192.0.2.1",
             by_name ? ".sim.test" : "");
    struct privy_error error = {0};
    enum privy_status status =
        privy_upstreams_add(set, s->protocol->sealed ? NULL : url, &o, &error);
    must(status == PRIVY_OK || (status == PRIVY_ENOMEM && has(w, F_MEMORY)) ||
             (status == PRIVY_EFILE && has(w, F_MEMORY)),
         "an upstream is not accepted: %s", error.message);
}

struct privy_upstreams *world_set(struct world *w, struct privy_upstreams *previous, uint32_t which)
{
    struct privy_upstreams *set = NULL;
    unsigned first = roll(&w->dice, w->pool_count);
    if (privy_upstreams_new(previous, &w->set_options, &set, NULL) != PRIVY_OK)
        return NULL;
    for (unsigned k = 0; k < w->pool_count; k++) {
        unsigned i = (first + k) % w->pool_count;
        if (which & 1U << i)
            add(w, set, i, previous && roll(&w->dice, 6) == 0);
    }
    if (set->count)
        return set;
    privy_upstreams_unref(set);
    return NULL;
}

static bool holds(const struct privy_upstreams *set, const void *upstream)
{
    bool any = false;
    for (unsigned i = 0; i < set->count; i++)
        any |= set->members[i] == upstream;
    return any;
}

/* While they are still there: another may come to lie where one lay. */
static void forget_others(struct world *w, const struct privy_upstreams *set)
{
    for (unsigned i = 0; i < w->server_count; i++) {
        struct server *s = &w->servers[i];
        s->tried = holds(set, s->tried) ? s->tried : NULL;
        s->watched = holds(set, s->watched) ? s->watched : NULL;
    }
}

static bool use(struct world *w, struct privy_upstreams *set)
{
    bool all = true;
    for (unsigned i = 0; i < w->worker_count; i++) {
        struct privy_resolver *r = w->workers[i].resolver;
        all &= !r || privy_resolver_set_upstreams(r, set) == PRIVY_OK;
    }
    return all;
}

bool world_reload(struct world *w)
{
    return use(w, w->set);
}

void world_use(struct world *w, struct privy_upstreams *set)
{
    uint64_t refused = memory_refused();
    if (!use(w, set)) {
        must(memory_refused() > refused, "a set of upstreams is not taken");
        memory_fail(0, 0);
        must(use(w, set), "a set of upstreams is not taken the second time");
    }
    forget_others(w, set);
    privy_upstreams_unref(w->set);
    w->set = set;
    w->set_changed = w->upset = w->now;
}

const struct pv_upstream *world_upstream(const struct world *w, const struct server *s)
{
    for (unsigned i = 0; i < w->set->count; i++) {
        if (strcmp(w->set->members[i]->name, s->name) == 0)
            return w->set->members[i];
    }
    return NULL;
}

bool world_serves(const struct world *w, const struct server *s)
{
    return world_upstream(w, s) != NULL;
}

bool world_sends_datagrams(const struct world *w, unsigned i)
{
    return w->schemes[i][0] == 'u' || w->servers[i].protocol->sealed;
}

/* ---- life ---- */

static void start_worker(struct world *w, unsigned i)
{
    struct worker *k = &w->workers[i];
    k->world = w;
    k->number = i;
    k->loop = pv_loop_new(NULL, &net_machine, &w->net);
    if (!k->loop || pv_resolver_new(k->loop, w->set, w->cache, &w->options, &k->resolver, NULL))
        broken("a resolver cannot be made");
    w->worker_count++;
}

static void tell(const struct world *w)
{
    trace("world: features %x, strategy %u, %u connections each, %u workers, hedges %u%%",
          w->features, w->set_options.pool_options.strategy,
          w->options.limits.connections_per_upstream, w->worker_count,
          w->options.query.hedge_budget);
    for (unsigned i = 0; i < w->server_count; i++)
        trace("world: server %s: %s://, %u addresses, properties %u%s%s%s", w->servers[i].name,
              w->schemes[i], w->servers[i].host_count, w->properties[i],
              w->named[i] ? ", by name" : "", (int)i == w->keeper ? ", safe" : "",
              i >= w->pool_count ? ", the bootstrap's" : "");
}

void world_create(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->memory_before = memory_live();
    w->seed = seed;
    w->refused = memory_refused();
    w->now = 1000 * S;
    w->dice = dice_for(seed, 0);
    crypto_seed(seed);
    pv_random_seed(1);
    pv_hash("", 0); /* its key is the same in every process */
    pv_random_seed(seed + 1);
    net_init(&w->net, &w->agenda, &w->now, dice_for(seed, 2));
    w->net.opening = invariants_opening;
    w->net.arg = w;
    w->net.local[0] = address("198.51.100.1", 0);
    w->net.local[1] = address("2001:db8:1::1", 0);
    draw_features(w);
    few_ids = has(w, F_IDS);
    draw_options(w);
    draw_servers(w);
    w->cache = privy_cache_new(&w->cache_options);
    w->set = world_set(w, NULL, (1U << w->pool_count) - 1);
    unsigned workers = roll(&w->dice, 4) ? 1 : 2;
    for (unsigned i = 0; i < workers; i++)
        start_worker(w, i);
    tell(w);
}

void world_free_resolver(struct worker *k)
{
    privy_resolver_free(k->resolver);
    k->resolver = NULL;
    askers_forget(k);
}

void world_destroy(struct world *w)
{
    for (unsigned i = 0; i < w->worker_count; i++) {
        world_free_resolver(&w->workers[i]);
        invariants_nothing_left(&w->workers[i]);
        pv_loop_free(w->workers[i].loop);
    }
    must(w->net.sock_count == 0, "%u socks are left open", w->net.sock_count);
    askers_free(w);
    privy_cache_unref(w->cache);
    for (unsigned i = 0; i < w->set->count; i++)
        must(w->set->members[i]->health.connections == 0, "connections are still counted");
    privy_upstreams_unref(w->set);
    privy_upstreams_unref(w->boot);
    for (unsigned i = 0; i < w->server_count; i++)
        server_done(&w->servers[i]);
    net_done(&w->net);
    agenda_clear(&w->agenda, &w->memory_back);
    agenda_done(&w->agenda);
    ledger_done(&w->ledger);
    must(memory_live() == w->memory_before, "%ld allocations are left",
         memory_live() - w->memory_before);
}

/* ---- time ---- */

static void look(struct pv_timer *t)
{
    struct worker *k = pv_container(t, struct worker, io);
    net_poll(&k->world->net, k->loop);
}

/* No memory, no descriptors. */
void world_note_upsets(struct world *w)
{
    if (w->net.refuses || memory_refused() != w->refused)
        w->upset = w->now;
    w->refused = memory_refused();
}

/* One turn of a loop. What the network brought is seen before its timers, or among them. */
static void turn(struct worker *k)
{
    struct world *w = k->world;
    if (roll(&w->dice, 2))
        net_poll(&w->net, k->loop);
    else
        pv_timer_set(k->loop, &k->io, w->now / MS * MS, look);
    pv_loop_turn(k->loop);
    pv_timer_clear(k->loop, &k->io);
    world_note_upsets(w);
    w->now += roll(&w->dice, 20);
    invariants_check(w);
}

static bool has_work(const struct worker *k)
{
    return pv_loop_busy(k->loop) || pv_loop_next_due(k->loop) <= k->world->now ||
           net_ready(&k->world->net, k->loop);
}

static void settle(struct world *w)
{
    unsigned turns = 0;
    for (bool any = true; any;) {
        any = false;
        agenda_run(&w->agenda, w->now);
        for (unsigned i = 0; i < w->worker_count; i++) {
            if (!has_work(&w->workers[i]))
                continue;
            turn(&w->workers[i]);
            any = true;
        }
        must(++turns < TURNS_MOST, "the loop spins");
    }
}

static uint64_t next_event(const struct world *w)
{
    uint64_t next = agenda_next(&w->agenda);
    for (unsigned i = 0; i < w->worker_count; i++) {
        uint64_t due = pv_loop_next_due(w->workers[i].loop);
        next = due < next ? due : next;
    }
    return next;
}

void world_run(struct world *w, uint64_t us)
{
    uint64_t end = w->now + us;
    for (;;) {
        settle(w);
        uint64_t next = next_event(w);
        if (next > end)
            break;
        w->now = next > w->now ? next : w->now;
    }
    w->now = end > w->now ? end : w->now;
    settle(w);
}

void world_pause(struct world *w, uint64_t us)
{
    settle(w); /* not between a hit and its telling */
    uint64_t end = w->now + us;
    while (agenda_next(&w->agenda) <= end) { /* the network goes on */
        w->now = agenda_next(&w->agenda) > w->now ? agenda_next(&w->agenda) : w->now;
        agenda_run(&w->agenda, w->now);
    }
    w->now = end;
    for (unsigned i = 0; i < w->server_count; i++)
        w->servers[i].lied_until += us; /* what it said is heard that much later */
    w->slack += us;
    w->upset = end;
}

void world_sleep(struct world *w, uint64_t us)
{
    if (w->sleep_count == SLEEPS_MOST)
        return;
    settle(w); /* not between a hit and its telling */
    trace("world: the machine sleeps %llu s", (unsigned long long)(us / S));
    w->sleeps[w->sleep_count].at = w->now;
    w->sleeps[w->sleep_count++].us = us;
    w->net.slept_us += us;
}

uint64_t world_slept(const struct world *w, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < w->sleep_count; i++) {
        if (w->sleeps[i].at >= from && w->sleeps[i].at <= to)
            sum += w->sleeps[i].us;
    }
    return sum;
}

static void memory_back(struct task *t)
{
    (void)t;
    memory_fail(0, 0);
}

void world_starve(struct world *w, uint64_t us)
{
    trace("world: no memory for %llu ms", (unsigned long long)(us / MS));
    memory_fail(0, UINT64_MAX);
    agenda_set(&w->agenda, &w->memory_back, w->now + us, memory_back);
}
