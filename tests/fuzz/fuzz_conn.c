/* The resolver and all below it (select, endpoint, conn, attempt, dot, doh, do53, idmap, stream)
 * over a machine in memory. The input is a story, a letter for each event with a character or two
 * behind it; what is no letter of these is passed over:
 *
 *   q NAME HOW   a question               x ASKER      it is cancelled
 *   c SOCK       it is connected          d SOCK WHY   it fails: refused, unreachable, reset ...
 *   e SOCK       the peer closes it       g SOCK       all that can go well with it does
 *   r SOCK N     octets may be read       w SOCK N     octets may be written
 *   h SOCK WHAT  the TLS handshake ends   y SOCK       TLS has to write before it reads
 *   a SOCK DEED  its oldest message is answered        A SOCK DEED  its newest
 *   b SOCK N     one octet comes          v            sockets go well from now on, or no more
 *   t N          time passes              z N          the machine sleeps, N times 10 seconds
 *   n            the network changed      s SET        other upstreams
 *   o WHY        no socket opens          f            the cache is flushed
 *   F            the resolver is freed      u SOCK DEED  an HTTP/2 server does more than answer
 *
 * The first two characters are the upstreams and the options. In the end all goes well, and: each
 * asker was told once, in time, what is true; a new question is answered; nothing is left. */
#include "h2_peer.h"
#include "peer.h"

#include "base/status.h"
#include "conn/health.h"
#include "proto/framed.h"
#include "proto/registry.h"
#include "resolver/resolver.h"
#include "wire/query.h"

#include <errno.h>

enum { ASKERS = 60, LATE_US = 4503000, CONNS_MOST = 24 };

struct asker {
    struct privy_query *handle;
    unsigned number, calls, then; /* then: what its callback does */
    bool cancelled, answered;
    uint64_t begun, deadline_us;
};

static struct world world;
static struct privy_resolver *resolver;
static struct privy_cache *cache;
static struct privy_upstreams *bootstrap;
static struct privy_upstreams_options pool;
static struct asker askers[ASKERS];
static unsigned asked;
static bool inside; /* a call that may not call back */

static const uint8_t *at, *end;

/* The next character's number, 0 to 35. */
static unsigned number(void)
{
    if (at == end)
        return 0;
    uint8_t c = *at++;
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'z' ? c - 'a' + 10u : c % 36u;
}

/* ---- upstreams ---- */

static void add(struct privy_upstreams *set, const char *url, const char *const *addresses)
{
    struct privy_upstream_options o = {
        .size = sizeof o, .addresses = addresses, .method = strstr(url, "https") ? "auto" : NULL};
    struct privy_error error;
    PV_BUG_IF(privy_upstreams_add(set, url, &o, &error) != PRIVY_OK);
}

/* Those whose bit is set; with none, the first. */
static struct privy_upstreams *new_set(struct privy_upstreams *previous, unsigned which)
{
    static const char *const two[] = {"192.0.2.1", "2001:db8::1", NULL};
    struct privy_upstreams *set;
    PV_BUG_IF(privy_upstreams_new(previous, &pool, &set, NULL) != PRIVY_OK);
    bool https = which & 32 && pv_proto_by_scheme("https"); /* not each build has it */
    if (which & 1 || (!https && !(which & 14)))
        add(set, "tls://192.0.2.1", two);
    if (which & 2)
        add(set, "udp://192.0.2.2", NULL);
    if (which & 4)
        add(set, "tcp://192.0.2.3", NULL);
    if (which & 8)
        add(set, "tls://n9.example", NULL);
    if (https)
        add(set, "https://192.0.2.4/dns-query", NULL);
    return set;
}

static bool is_tls(const struct pv_sock *s)
{
    return pv_addr_port(&s->peer) == 853 || pv_addr_port(&s->peer) == 443;
}

static void opened(struct pv_sock *s)
{
    if (pv_addr_port(&s->peer) == 443)
        h2_peer_open(s);
}

/* ---- askers ---- */

static void ask(unsigned n, unsigned how);

static void cancel(struct asker *a)
{
    if (!a->handle)
        return;
    privy_cancel(a->handle);
    a->handle = NULL;
    a->cancelled = true;
}

static void free_resolver(void)
{
    for (unsigned i = 0; i < asked; i++) {
        askers[i].cancelled |= askers[i].handle != NULL;
        askers[i].handle = NULL;
    }
    struct privy_resolver *gone = resolver;
    resolver = NULL;
    privy_resolver_free(gone);
}

static void is_true(const struct privy_answer *answer, unsigned n)
{
    struct privy_record record;
    size_t cursor = 0;
    if (privy_answer_rcode(answer) != 0)
        return;
    while (privy_answer_record(answer, &cursor, &record))
        PV_BUG_IF(record.section == 1 && (record.rdata_length != 4 || record.rdata[3] != n));
}

static void done(void *arg, enum privy_status status, const struct privy_answer *answer,
                 const struct privy_error *error)
{
    struct asker *a = arg;
    PV_BUG_IF(inside || a->cancelled || a->calls++ > 0);
    PV_BUG_IF((status == PRIVY_OK) != (answer != NULL) || !answer == !error);
    PV_BUG_IF(world.now > a->begun + a->deadline_us);
    a->handle = NULL;
    a->answered = answer && privy_answer_rcode(answer) == 0;
    if (answer)
        is_true(answer, a->number);
    if (a->then == 1)
        ask(a->number + 1, 0);
    if (a->then == 2)
        cancel(&askers[a->number % asked]);
    if (a->then == 3)
        free_resolver();
}

static size_t write_query(uint8_t *out, unsigned n, bool signed_one)
{
    char name[32];
    uint8_t owner[PV_NAME_MAX];
    size_t length;
    struct pv_writer w = pv_writer(out, 512);
    snprintf(name, sizeof name, "n%u.example", n);
    PV_BUG_IF(!pv_name_from_text(name, strlen(name), owner, &length));
    pv_header_write(
        &w, &(struct pv_header){.id = 7, .flags = PV_RD, .qdcount = 1, .arcount = signed_one});
    pv_write(&w, owner, length);
    pv_write16(&w, PV_T_A);
    pv_write16(&w, PV_C_IN);
    if (signed_one) /* enough of a TSIG to be told as one */
        pv_write(&w, "\0\0\372\0\377\0\0\0\0\0\0", 11);
    return pv_written(&w);
}

static void ask(unsigned n, unsigned how)
{
    static const char *const words[] = {NULL, NULL, "dot", "do53"};
    uint8_t wire[512];
    if (!resolver || asked == ASKERS)
        return;
    struct asker *a = &askers[asked];
    struct privy_query_options query = resolver->options.query;
    struct privy_exchange_options o = {sizeof o, words[how >> 2 & 3], &query};
    if (how & 16)
        query.deadline = 300;
    *a = (struct asker){.number = n % 100 + 1,
                        .then = how & 3,
                        .begun = world.now,
                        .deadline_us = query.deadline * MS + 3 * MS};
    size_t length = write_query(wire, a->number, how & 32);
    inside = true;
    enum privy_status status = privy_exchange(resolver, wire, length, &o, done, a, &a->handle);
    inside = false;
    PV_BUG_IF(status != PRIVY_OK && status != PRIVY_EUNSUPPORTED);
    asked += status == PRIVY_OK;
}

/* ---- what must be so ---- */

static void message_is_right(const struct pv_sock *s, const struct world_message *m)
{
    struct pv_query_view q;
    struct pv_option option;
    pv_query_parse(&q, m->bytes, m->length);
    PV_BUG_IF(q.fault != PV_FINE || q.header.qdcount != 1);
    PV_BUG_IF(!peer_number(q.question.name) && q.question.name_length != 1);
    PV_BUG_IF(!q.is_signed && (!q.edns.present || q.header.arcount != 1));
    PV_BUG_IF(!q.is_signed && is_tls(s) && m->length % 128 != 0);
    while (pv_option_read(&q.edns.options, &option))
        PV_BUG_IF(option.code != PV_OPT_PADDING && option.code != PV_OPT_KEEPALIVE);
}

/* No two unanswered ones may have the same id. */
static void messages_are_right(const struct pv_sock *s)
{
    pv_list_each (it, &s->heard) {
        struct world_message *m = pv_container(it, struct world_message, link);
        if (m->checked)
            continue;
        message_is_right(s, m);
        m->checked = true;
        pv_list_each (other, &s->heard) {
            const struct world_message *o = pv_container(other, struct world_message, link);
            PV_BUG_IF(!s->raw && o != m && !o->answered && memcmp(o->bytes, m->bytes, 2) == 0);
        }
    }
}

static unsigned conn_is_right(const struct pv_conn *c)
{
    const struct pv_framed *f = pv_conn_state(c);
    unsigned sent = 0;
    pv_list_each (it, &c->attempts)
        sent++;
    PV_BUG_IF(sent != c->in_flight);
    if (c->kind == PV_STREAM && strcmp(c->endpoint->proto->name, "doh") != 0 && f->stream)
        PV_BUG_IF(f->ids.live != sent || pv_stream_unsent(f->stream) > 256 * 1024);
    return 1;
}

static void endpoints_are_right(const struct pv_list *list)
{
    pv_list_each (it, list) {
        const struct pv_endpoint *e = pv_container(it, struct pv_endpoint, link);
        unsigned conns = 0;
        pv_list_each (at_conn, &e->conns)
            conns += conn_is_right(pv_container(at_conn, struct pv_conn, link));
        PV_BUG_IF(conns != e->upstream->health.connections || conns > CONNS_MOST);
        PV_BUG_IF(!pv_list_empty(&e->closed)); /* the turn is over */
    }
}

static void all_is_right(void)
{
    pv_list_each (it, &world.socks)
        messages_are_right(pv_container(it, struct pv_sock, link));
    for (unsigned i = 0; i < asked; i++)
        PV_BUG_IF(askers[i].handle && world.now > askers[i].begun + askers[i].deadline_us);
    if (!resolver)
        return;
    endpoints_are_right(&resolver->endpoints);
    endpoints_are_right(&resolver->retiring);
}

/* ---- events ---- */

static void answer(struct pv_sock *s, bool newest, enum deed deed)
{
    if (s && !pv_list_empty(&s->heard)) {
        struct pv_list *first = newest ? s->heard.prev : s->heard.next;
        peer_does(s, pv_container(first, struct world_message, link), deed);
    }
}

static void fail(struct pv_sock *s, unsigned why)
{
    static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, ECONNRESET, ETIMEDOUT};
    if (s)
        s->error = errors[why % 4];
}

static void shake_hands(struct pv_sock *s, unsigned what)
{
    if (!s || !is_tls(s) || s->greeted)
        return;
    s->greeted = true;
    world_deliver(s, &"hru?"[what % 4], 1);
}

static void pass_time(unsigned n)
{
    static const uint64_t ms[] = {0,   1,   3,    10,   30,   100,  151,   249,
                                  251, 500, 1000, 1500, 2001, 4500, 10000, 31000};
    world_pass(&world, ms[n % 16] * MS);
}

static void replace_set(unsigned which)
{
    struct privy_upstreams *set = new_set(which & 16 ? NULL : resolver->set, which);
    PV_BUG_IF(privy_resolver_set_upstreams(resolver, set) != PRIVY_OK);
    privy_upstreams_unref(set);
}

static void peers(struct world *w)
{
    pv_list_each (it, &w->socks) {
        struct pv_sock *s = pv_container(it, struct pv_sock, link);
        if (h2_peer_is_on(s))
            h2_peer_runs(s);
    }
}

static void happens_to(struct pv_sock *s, char event)
{
    unsigned n = strchr("ceyg", event) ? 0 : number();
    uint8_t octet = (uint8_t)n;
    if (!s)
        return;
    if (event == 'c' && !s->error)
        s->connected = true;
    if (event == 'd')
        fail(s, n);
    if (event == 'e' && s->connected && s->tcp)
        s->ended = true;
    if (event == 'g')
        world_ease(s);
    if (event == 'r')
        s->readable += n;
    if (event == 'w')
        s->room += n * 16;
    if (event == 'h')
        shake_hands(s, n);
    if (event == 'y')
        s->rekeys = true;
    if (event == 'a' || event == 'A')
        answer(s, event == 'A', n % PEER_DEEDS);
    if (event == 'u' && h2_peer_is_on(s))
        h2_peer_does(s, n % H2_DEEDS);
    if (event == 'b')
        world_deliver(s, &octet, 1);
}

static void happens(char event)
{
    static const int refusals[] = {0, EMFILE, ENETUNREACH, ENOMEM};
    unsigned n;
    if (strchr("cdegrwhyaAbu", event)) {
        happens_to(world_sock(&world, number()), event);
        return;
    }
    switch (event) {
    case 'q':
        n = number();
        ask(n, number() + 32 * (n / 20));
        break;
    case 'x':
        if (asked)
            cancel(&askers[number() % asked]);
        break;
    case 't':
        pass_time(number());
        break;
    case 'z':
        world.slept += number() * 10;
        break;
    case 'v':
        world.calm = !world.calm;
        break;
    case 'o':
        world.refusal = refusals[number() % 4];
        break;
    case 'n':
        if (resolver)
            privy_network_changed(resolver);
        break;
    case 's':
        if (resolver)
            replace_set(number());
        break;
    case 'f':
        privy_cache_flush(cache);
        break;
    case 'F':
        free_resolver();
        break;
    default:
        return;
    }
}

/* ---- the story ---- */

static void begin(void)
{
    struct privy_resolver_options options;
    struct privy_cache_options cache_options;
    unsigned which = number(), how = number();
    world_init(&world);
    world.peers = peers;
    world.opened = opened;
    world.closing = h2_peer_close;
    privy_resolver_options_default(&options);
    privy_cache_options_default(&cache_options);
    options.limits.connections_per_upstream = 1 + how % 3;
    options.query.hedge_budget = 100;
    cache_options.size = 64 * 1024;
    pool = (struct privy_upstreams_options){.size = sizeof pool};
    privy_pool_options_default(&pool.pool_options);
    pool.pool_options.strategy = how / 3 % 4;
    pool.pool_options.plaintext = true;
    PV_BUG_IF(privy_upstreams_new(NULL, &pool, &bootstrap, NULL) != PRIVY_OK);
    add(bootstrap, "udp://192.0.2.9", NULL);
    pool.bootstrap = bootstrap;
    cache = privy_cache_new(&cache_options);
    struct privy_upstreams *set = new_set(NULL, which);
    PV_BUG_IF(pv_resolver_new(world.loop, set, cache, &options, &resolver, NULL) != PRIVY_OK);
    privy_upstreams_unref(set);
    asked = 0;
}

static void good_peers(struct world *w)
{
    for (unsigned k = 0; k < w->count; k++) {
        struct pv_sock *s = world_sock(w, k);
        world_ease(s);
        shake_hands(s, 0);
        if (h2_peer_is_on(s))
            h2_peer_runs(s);
        while (!pv_list_empty(&s->heard))
            answer(s, false, PEER_ANSWERS);
    }
}

/* From now on all is well. */
static void heal(void)
{
    world.refusal = 0;
    world.calm = true;
    world.peers = good_peers;
    world_pass(&world, 6 * S);
    all_is_right();
    if (!resolver)
        return;
    privy_cache_flush(cache);
    asked = asked < ASKERS ? asked : ASKERS - 1; /* all were told by now */
    struct asker *a = &askers[asked];
    ask(98, 0);
    world_pass(&world, 6 * S);
    PV_BUG_IF(!a->answered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    at = data;
    end = data + (size < 2000 ? size : 2000);
    begin();
    while (at < end) {
        happens((char)*at++);
        world_settle(&world);
        all_is_right();
    }
    heal();
    for (unsigned i = 0; i < asked; i++)
        PV_BUG_IF(askers[i].calls + askers[i].cancelled != 1);
    world_pass(&world, 60 * S); /* idle connections are closed */
    PV_BUG_IF(world.count != 0);
    if (resolver)
        free_resolver();
    world_done(&world);
    privy_cache_unref(cache);
    privy_upstreams_unref(bootstrap);
    return 0;
}
