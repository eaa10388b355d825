#include "story.h"
#include "session.h"

#include "asker.h"
#include "invariants.h"
#include "memory.h"
#include "report.h"
#include "crypto.h"

#include "conn/health.h"

/* ---- faults ---- */

static void draw_path(struct world *w, struct mood *m, struct dice *d)
{
    static const enum net_way ways[] = {NET_REFUSES, NET_DROPS, NET_UNREACHABLE, NET_NO_ROUTE};
    if (has(w, F_WAYS) && roll(d, 3) == 0)
        m->path.way = ways[roll(d, 4)];
    if (has(w, F_LOSS) && roll(d, 2))
        m->path.loss = roll(d, 101);
    if (has(w, F_WINDOWS) && roll(d, 2))
        m->path.window = 1 + roll(d, 3000);
    if (has(w, F_SLOW) && roll(d, 2)) {
        m->path.latency_us = roll(d, 5) ? between(d, 0, 300 * MS) : between(d, 0, 2 * S);
        m->path.jitter_us = between(d, 0, 200 * MS);
    }
    if (has(w, F_SLOW) && roll(d, 2)) {
        m->delay_us = roll(d, 4) ? between(d, 0, 300 * MS) : between(d, 0, 3 * S);
        m->delay_more_us = roll(d, 2) ? 0 : between(d, 0, 3 * S);
    }
}

static void draw_answers(struct world *w, struct mood *m, struct dice *d)
{
    static const uint32_t errors = 1U << SAYS_ERROR | 1U << SAYS_CUT | 1U << SAYS_LAME;
    static const uint32_t lies = ((1U << CONTENTS) - 1) & ~((1U << SAYS_OTHER_ID) - 1);
    if (has(w, F_ERRORS))
        m->contents |= errors;
    if (has(w, F_LIES))
        m->contents |= lies;
    if (has(w, F_MANNERS))
        m->manners |= STREAM_MANNERS;
    if (has(w, F_HTTP))
        m->manners |= H2_MANNERS;
    if (roll(d, 2)) { /* only one kind of them */
        m->contents &= 1U << roll(d, CONTENTS);
        m->manners &= 1U << roll(d, MANNERS);
    }
    if (m->contents || m->manners)
        m->trouble = roll(d, 3) ? roll(d, 101) : 100;
}

static void draw_connections(struct world *w, struct mood *m, struct dice *d)
{
    if (has(w, F_ENDS) && roll(d, 2)) {
        m->slams = roll(d, 3) ? 0 : roll(d, 101);
        m->cuts = roll(d, 3) ? 0 : roll(d, 101);
        m->answers_most = roll(d, 3) ? 0 : 1 + roll(d, 5);
        m->idle_us = roll(d, 3) ? 0 : between(d, 10 * MS, 5 * S);
        m->conns_most = roll(d, 3) ? 0 : 1 + roll(d, 3);
    }
    if (has(w, F_MANNERS) && roll(d, 4) == 0)
        m->mutes = roll(d, 101);
    if (has(w, F_TLS) && roll(d, 3) == 0) {
        m->wrong_cert = roll(d, 2);
        m->no_tls = roll(d, 4) == 0;
        m->no_alpn = roll(d, 4) == 0;
    }
    if (has(w, F_HTTP) && roll(d, 2)) {
        m->narrow = roll(d, 2);
        m->shut = roll(d, 3) == 0;
        m->no_window = roll(d, 3) == 0;
    }
    if (has(w, F_IDENTITY))
        m->wants_stranger = roll(d, 3) == 0;
    if (has(w, F_WINDOWS) && roll(d, 3) == 0)
        m->stops_reading = true;
    if (has(w, F_SLOW) && roll(d, 4) == 0)
        m->one_by_one = true;
    if (has(w, F_KEEPALIVE))
        m->keepalives = roll(d, 101);
}

static void worsen(struct world *w, struct server *s)
{
    struct mood m = mood_healthy(&s->dice);
    draw_path(w, &m, &s->dice);
    draw_answers(w, &m, &s->dice);
    draw_connections(w, &m, &s->dice);
    server_set_mood(s, &m);
}

static void heal(struct server *s)
{
    struct mood m = mood_healthy(&s->dice);
    server_set_mood(s, &m);
}

/* One of the servers that something may happen to. */
static struct server *victim(struct world *w)
{
    unsigned i = roll(&w->dice, w->server_count);
    return (int)i == w->keeper ? NULL : &w->servers[i];
}

static void other_set(struct world *w)
{
    uint32_t which = 1 + roll(&w->dice, (1U << w->pool_count) - 1);
    if (w->keeper >= 0)
        which |= 1U << w->keeper;
    trace("story: another set of upstreams: %x", which);
    struct privy_upstreams *set = world_set(w, roll(&w->dice, 4) ? w->set : NULL, which);
    if (set)
        world_use(w, set);
}

/* From here on our packets have another source: what was sent from the old one never returns. */
static void move(struct world *w)
{
    trace("story: our address is gone");
    w->net.local[0].in.sin_addr.s_addr ^= htonl(1);
    w->net.local[1].in6.sin6_addr.s6_addr[15] ^= 1;
    pv_list_each (it, &w->net.conns)
        net_sever(pv_container(it, struct net_conn, link));
    for (unsigned i = 0; i < w->server_count; i++)
        w->servers[i].disturbed = w->now;
}

static void network_changed(struct world *w)
{
    trace("story: the network changed");
    for (unsigned i = 0; i < w->worker_count; i++) {
        if (w->workers[i].resolver)
            privy_network_changed(w->workers[i].resolver);
    }
}

static struct worker *some_worker(struct world *w)
{
    return &w->workers[roll(&w->dice, w->worker_count)];
}

/* ---- what a caller of the library does: at any time, inside its callbacks too ---- */

static void ask(struct world *w)
{
    unsigned n = has(w, F_BURSTS) && roll(&w->dice, 40) == 0 ? 300 : 1;
    struct worker *k = some_worker(w);
    while (n--)
        asker_draw(w, k);
}

static void call(struct world *w)
{
    switch (roll(&w->dice, 16)) {
    case 0:
    case 1:
        if (has(w, F_CANCELS))
            asker_cancel(w);
        break;
    case 2:
        if (has(w, F_SETS) && roll(&w->dice, 4) == 0)
            other_set(w);
        break;
    case 3:
        if (has(w, F_MOVES) && roll(&w->dice, 4) == 0)
            network_changed(w);
        break;
    case 4:
        if (has(w, F_FLUSHES) && roll(&w->dice, 4) == 0)
            privy_cache_flush(w->cache);
        break;
    case 5:
        asker_try(w, some_worker(w));
        break;
    default:
        ask(w);
        break;
    }
}

static void act(struct world *w)
{
    while (roll(&w->dice, 3) == 0)
        call(w);
    if (has(w, F_CUT_SHORT) && roll(&w->dice, 400) == 0) {
        struct worker *k = some_worker(w);
        trace("story: worker %u ends", k->number);
        world_free_resolver(k);
    }
}

/* ---- what happens to it ---- */

static void befall_connections(struct world *w, struct server *s)
{
    switch (roll(&w->dice, 4)) {
    case 0:
        if (has(w, F_ENDS))
            server_end_all(s, roll(&w->dice, 2) ? NET_RESET : NET_CLOSE);
        break;
    case 1:
        if (has(w, F_SILENT_CONNS))
            server_silence_all(s, true);
        break;
    case 2:
        if (has(w, F_SILENT_CONNS))
            server_silence_all(s, false);
        break;
    case 3:
        if (has(w, F_RESTARTS))
            server_restart(s);
        break;
    }
}

enum { NOTICED_US = 90 * 1000000 }; /* files are looked at once a minute */

/* The files of a client's identity change, the certificate a moment before its key. */
static void renew(struct world *w, struct server *s)
{
    bool new = s->identity == IDENTITY_OLD;
    if (roll(&w->dice, 2)) {
        crypto_identity_set(s->number, new, !new);
        world_reload(w);
    }
    crypto_identity_set(s->number, new, new);
    s->renews_until = w->now + NOTICED_US;
    server_set_identities(s, s->accepts, new ? IDENTITY_NEW : IDENTITY_OLD);
    if (roll(&w->dice, 2))
        world_reload(w);
}

/* To another certificate of its clients: at first the server takes both, then the files change,
 * then it takes the new one only. No question may be lost for it. */
static void rotate(struct world *w, struct server *s)
{
    if (!s->identity)
        return;
    if (s->accepts && s->accepts != s->identity) {
        while (w->now < s->renews_until && !world_reload(w))
            memory_fail(0, 0);
        server_set_identities(s, s->identity, s->identity);
        return;
    }
    if (s->accepts)
        server_set_identities(s, IDENTITY_OLD | IDENTITY_NEW, s->identity);
    renew(w, s);
}

static void befall_machine(struct world *w)
{
    switch (roll(&w->dice, 6)) {
    case 0:
        if (has(w, F_SLEEPS))
            world_sleep(w, roll(&w->dice, 3) ? between(&w->dice, 0, 100 * S)
                                             : between(&w->dice, 0, 100000 * S));
        break;
    case 1:
        if (has(w, F_PAUSES))
            world_pause(w, roll(&w->dice, 3) ? roll(&w->dice, 100 * MS) : roll(&w->dice, 5 * S));
        break;
    case 2:
        if (has(w, F_MEMORY) && roll(&w->dice, 3) == 0)
            world_starve(w, between(&w->dice, MS, 3 * S));
        else if (has(w, F_MEMORY))
            memory_fail(roll(&w->dice, 50), 1 + roll(&w->dice, roll(&w->dice, 2) ? 3 : 300));
        break;
    case 3:
        w->net.refuses = has(w, F_SOCKS) && roll(&w->dice, 2) ? roll(&w->dice, 101) : 0;
        break;
    case 4:
        if (has(w, F_MOVES))
            move(w);
        break;
    case 5:
        w->net.short_of_buffers = has(w, F_WINDOWS) && roll(&w->dice, 2);
        break;
    }
}

static void befall(struct world *w)
{
    struct server *s = victim(w);
    unsigned kind = roll(&w->dice, 11);
    if (kind == 0)
        befall_machine(w);
    else if (kind == 1) /* that is no fault */
        rotate(w, &w->servers[roll(&w->dice, w->server_count)]);
    else if (!s)
        return;
    else if (kind < 4)
        worsen(w, s);
    else if (kind < 6)
        heal(s);
    else if (kind < 8)
        befall_connections(w, s);
}

static void play(struct world *w)
{
    struct dice *d = &w->dice;
    unsigned steps = roll(d, 8) ? 20 + roll(d, 300) : 300 + roll(d, 700), pace = 1 + roll(d, 300),
             events = roll(d, 4);
    for (unsigned i = 0; i < steps; i++) {
        for (unsigned n = roll(d, 4); n > 0; n--)
            call(w);
        if (roll(d, 4) < events)
            befall(w);
        world_run(w, roll(d, 6) ? between(d, 0, pace * MS) : between(d, 0, 2 * S));
    }
    memory_fail(0, 0);
}

/* ---- the end ---- */

/* All goes wrong at once, for a while: what is learnt then is unlearnt within a second. */
static void darken(struct world *w)
{
    struct dice *d = &w->dice;
    trace("story: an outage");
    for (unsigned i = 0; i < w->server_count; i++) {
        if ((int)i != w->keeper)
            worsen(w, &w->servers[i]);
    }
    for (unsigned i = roll(d, 40); i > 0; i--) {
        ask(w);
        world_run(w, roll(d, 4) ? between(d, 0, 300 * MS) : between(d, 0, 3 * S));
    }
}

/* What is to become of connections that were broken: they are whole again or ended, or else they
 * stay as they are. */
static bool heal_connections(struct world *w)
{
    unsigned fate = roll(&w->dice, 4);
    for (unsigned i = 0; i < w->server_count && fate < 3; i++) {
        if (fate == 0)
            server_end_all(&w->servers[i], NET_RESET);
        server_silence_all(&w->servers[i], false);
        server_end_broken(&w->servers[i]);
    }
    if (fate < 3)
        net_reset_broken(&w->net);
    return fate < 3;
}

static uint64_t slowest_notice(const struct world *w)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < w->set->count; i++) {
        uint64_t us = pv_health_suspect_after(w->set->members[i]);
        most = us > most ? us : most;
    }
    return most > PV_OPEN_LIMIT_US ? most : PV_OPEN_LIMIT_US;
}

/* Is an address still to be found, by asking another upstream? */
static bool some_are_named(const struct world *w)
{
    bool any = false;
    for (unsigned i = 0; i < w->pool_count; i++)
        any |= w->named[i] && world_serves(w, &w->servers[i]);
    return any;
}

/* Does one of its addresses lead nowhere? Over DNSCrypt that is seen when TCP answers, after 1.2 s.
 */
static bool some_lead_nowhere(const struct world *w)
{
    bool any = false;
    for (unsigned i = 0; i < w->pool_count; i++) {
        const struct server *s = &w->servers[i];
        for (unsigned k = 0; k < s->host_count; k++)
            any |= s->protocol->sealed && s->hosts[k].always != NET_OPEN && world_serves(w, s);
    }
    return any;
}

/* Returns how long it may take to be right again: a second, and where connections stay broken, or
 * lookups are under way, until that is noticed. */
static uint64_t heal_all(struct world *w)
{
    uint64_t within = S;
    trace("story: the faults are over");
    w->net.refuses = 0;
    w->net.short_of_buffers = false;
    for (unsigned i = 0; i < w->server_count; i++) {
        heal(&w->servers[i]);
        server_relent(&w->servers[i]);
    }
    net_hurry(&w->net, 100 * MS);
    if (!heal_connections(w) || some_lead_nowhere(w))
        within += slowest_notice(w);
    if (some_are_named(w)) /* a lookup under way may fail first */
        within = w->options.query.deadline * MS + 2 * S;
    w->upset = w->now;
    w->healed = true;
    return within;
}

static bool is_good(const struct asker *a)
{
    return a->ended && a->status == PRIVY_OK && !a->facts.failure;
}

enum { RECOVERIES = 150, RECOVERY_EVERY_US = 50 * MS };

/* Those turned away are no failure: some take long, and a world may allow few at once. */
static void check_recovery(struct asker **asked, uint64_t healed, uint64_t within)
{
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < RECOVERIES; i++) {
        const struct asker *a = asked[i];
        if (!a)
            return;
        if (is_good(a) && a->ended_at < first)
            first = a->ended_at;
        if (a->begun >= healed + within && a->status != PRIVY_EBUSY)
            must(is_good(a), "query %u failed, %llu ms after all had healed", a->number,
                 (unsigned long long)(a->begun - healed) / MS);
    }
    must(first <= healed + within, "right again after %llu ms only, of %llu",
         (unsigned long long)(first - healed) / MS, (unsigned long long)within / MS);
}

/* Asked again and again: the first good answer comes within that time; who asks after it is
 * answered. */
static void recover(struct world *w, uint64_t within)
{
    struct asker *asked[WORKERS_MOST][RECOVERIES] = {{NULL}};
    uint64_t healed = w->now;
    char name[40];
    for (unsigned i = 0; i < RECOVERIES; i++) {
        for (unsigned k = 0; k < w->worker_count; k++) {
            snprintf(name, sizeof name, "r%u.n%u.w%u.example", i, i % 7, k);
            if (w->workers[k].resolver)
                asked[k][i] = asker_ask(w, &w->workers[k], name, PV_T_A);
        }
        world_run(w, RECOVERY_EVERY_US);
    }
    world_run(w, w->options.query.deadline * MS);
    for (unsigned k = 0; k < w->worker_count; k++)
        check_recovery(asked[k], healed, within);
}

static void end(struct world *w)
{
    for (unsigned i = 0; i < w->asker_count; i += 3)
        asker_try(w, some_worker(w));
    world_run(w, 700 * S); /* the longest that a connection may idle */
    for (unsigned i = 0; i < w->worker_count; i++)
        invariants_idle(&w->workers[i]);
    for (unsigned i = 0; i < w->asker_count; i++) {
        const struct asker *a = w->askers[i];
        must(a->ended || a->cancelled || !a->worker->resolver, "query %u never ended", i);
    }
}

void story_run(struct world *w)
{
    asker_acts = act;
    play(w);
    if (roll(&w->dice, 2))
        darken(w);
    uint64_t within = heal_all(w);
    if (!has(w, F_OPTIONS))
        recover(w, within);
    end(w);
}
