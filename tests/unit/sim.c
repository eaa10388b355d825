#include "unit.h"

#include "sim.h"

#include "base/random.h"
#include "net/sock.h"

#include <stdio.h>

struct sim sim;

#define BEGIN_US (1000 * S)
#define NEVER    UINT64_MAX

/* ---- the machine ---- */

static uint64_t machine_now(void *world)
{
    return ((const struct sim *)world)->now;
}

static uint64_t machine_age(void *world)
{
    const struct sim *s = world;
    return s->now / S + s->slept;
}

static const struct pv_machine machine = {.now = machine_now, .age_now = machine_age};

/* ---- the protocol ---- */

struct held { /* a message a server has not dealt with */
    struct pv_list link;
    struct pv_attempt *attempt; /* NULL: nobody waits any more */
    struct sim_message message;
    struct sim_answer answer;
    uint64_t due;
};

struct conn {
    struct pv_list link; /* server->conns */
    struct pv_conn *conn;
    struct sim_server *server;
    unsigned serial;
    bool open, closed, silent, barred;
    uint64_t due;  /* of opening */
    uint64_t pong; /* due; 0: none */
    struct pv_list held;
};

static struct sim_server *server_of(const struct pv_conn *c)
{
    const char *name = pv_endpoint_upstream(pv_conn_endpoint(c))->name;
    for (unsigned i = 0; i < sim.server_count; i++) {
        if (strcmp(sim.servers[i].name, name) == 0)
            return &sim.servers[i];
    }
    fail_msg("no server %s", name);
    abort();
}

static void wake_when_due(struct conn *s)
{
    uint64_t due = !s->open ? s->due : s->pong && !s->silent ? s->pong : NEVER;
    pv_list_each (it, &s->held) {
        struct held *h = pv_container(it, struct held, link);
        due = !s->silent && h->due < due ? h->due : due;
    }
    if (due != NEVER)
        pv_conn_wake_at(s->conn, due);
}

static bool conn_open(struct pv_conn *c)
{
    struct conn *s = pv_conn_state(c);
    struct sim_server *server = server_of(c);
    struct pv_addr addresses[PV_ADDRESSES_MAX];
    assert_true(pv_endpoint_addresses(pv_conn_endpoint(c), addresses) > 0);
    *s = (struct conn){.conn = c, .server = server, .serial = ++server->opened};
    pv_list_init(&s->held);
    pv_list_append(&server->conns, &s->link);
    if (++server->opening_now > server->opening_most)
        server->opening_most = server->opening_now;
    s->due = server->opening == SIM_HANGS ? NEVER : sim.now + server->open_us;
    if (server->opening == SIM_NO_MEMORY)
        return false;
    wake_when_due(s);
    return true;
}

static unsigned conn_room(const struct pv_conn *c)
{
    const struct conn *s = pv_conn_state(c);
    unsigned used = 0;
    pv_list_each (it, &s->held)
        used += pv_container(it, struct held, link)->attempt != NULL;
    return s->open && !s->barred && used < s->server->room ? s->server->room - used : 0;
}

static void remember(struct sim_server *server, const struct sim_message *m)
{
    enum { STEP = 64 };
    sim.own_memory = true;
    if (server->logged % STEP == 0)
        server->log = realloc(server->log, (server->logged + STEP) * sizeof *m);
    sim.own_memory = false;
    assert_non_null(server->log);
    server->log[server->logged++] = *m;
}

static void note(struct conn *s, struct sim_message *m, const struct pv_attempt *a)
{
    struct pv_reader r;
    uint8_t name[PV_NAME_MAX];
    m->at = sim.now;
    m->conn = s->serial;
    m->kind = pv_conn_kind(s->conn);
    m->id = (uint16_t)a->id;
    m->length = pv_attempt_dress(a, m->id, false, m->bytes, sizeof m->bytes);
    assert_true(m->length > 0);
    r = pv_reader(m->bytes, m->length);
    pv_take(&r, PV_HEADER);
    pv_name_read_plain(&r, name);
    m->type = pv_u16(&r);
    pv_name_to_text(name, m->name);
    remember(s->server, m);
}

static bool conn_send(struct pv_conn *c, struct pv_attempt *a)
{
    struct conn *s = pv_conn_state(c);
    struct sim_server *server = s->server;
    assert_true(s->open && !s->closed && conn_room(c) > 0);
    assert_false(a->was_sent); /* an attempt is sent once */
    if (server->full)
        return false;
    sim.own_memory = true;
    struct held *h = calloc(1, sizeof *h);
    sim.own_memory = false;
    assert_non_null(h);
    uint16_t id;
    pv_random(&id, sizeof id);
    a->id = id;
    note(s, &h->message, a);
    bool probe = strcmp(h->message.name, ".") == 0;
    ++*(probe ? &server->probes : &server->questions);
    h->answer = probe            ? server->probe
                : server->choose ? server->choose(server, &h->message)
                                 : server->answer;
    h->due = h->answer.deed == SIM_SILENT ? NEVER : sim.now + h->answer.us;
    h->attempt = a;
    server->carried++;
    pv_list_append(&s->held, &h->link);
    wake_when_due(s);
    return true;
}

static void held_free(struct conn *s, struct held *h)
{
    if (h->attempt)
        s->server->carried--;
    pv_list_remove(&h->link);
    free(h);
}

static void conn_drop(struct pv_conn *c, struct pv_attempt *a)
{
    struct conn *s = pv_conn_state(c);
    pv_list_each (it, &s->held) {
        struct held *h = pv_container(it, struct held, link);
        if (h->attempt != a)
            continue;
        h->attempt = NULL;
        s->server->carried--;
        if (s->server->drop_replaces)
            pv_conn_replace(c);
        return;
    }
    fail_msg("an attempt is dropped that is not here");
}

static void conn_close(struct pv_conn *c)
{
    struct conn *s = pv_conn_state(c);
    assert_false(s->closed);
    if (!s->open)
        s->server->opening_now--;
    s->closed = true;
    s->server->closed++;
    pv_list_remove(&s->link);
    pv_list_each_safe (it, &s->held)
        held_free(s, pv_container(it, struct held, link));
}

/* ---- answers ---- */

static void write_record(struct pv_writer *w, uint16_t type, uint32_t ttl, const void *rdata,
                         uint16_t length)
{
    pv_write16(w, 0xc000 | PV_HEADER);
    pv_write16(w, type);
    pv_write16(w, PV_C_IN);
    pv_write32(w, ttl);
    pv_write16(w, length);
    pv_write(w, rdata, length);
}

static uint16_t flags_of(const struct sim_answer *what)
{
    uint16_t flags = PV_QR | PV_RD | (what->ad ? PV_AD : 0);
    flags |= what->deed == SIM_LAME ? 0 : PV_RA;
    if (what->deed == SIM_FAILS)
        flags |= what->rcode & 15;
    if (what->deed == SIM_DENIES || what->deed == SIM_DENIES_BARE)
        flags |= PV_NXDOMAIN;
    if (what->deed == SIM_CUT || what->deed == SIM_CUT_DATAGRAM)
        flags |= PV_TC;
    return flags;
}

static void write_opt(struct pv_writer *w, const struct sim_answer *what)
{
    uint8_t *opt = pv_opt_begin(w, 1232, (uint8_t)(what->rcode >> 4), false);
    uint8_t code[2] = {(uint8_t)(what->ede >> 8), (uint8_t)what->ede};
    if (what->ede)
        pv_opt_add(w, opt, PV_OPT_EDE, code, 2);
}

/* Header and question are the query's. */
static size_t write_answer(struct conn *s, const struct held *h, uint8_t *out, size_t capacity)
{
    static const uint8_t soa[22] = {0, 0, [21] = 60}; /* MINIMUM 60 */
    const struct sim_answer *what = &h->answer;
    const uint8_t address[4] = {192, 0, 2, (uint8_t)s->server->number};
    struct pv_reader r = pv_reader(h->message.bytes, h->message.length);
    pv_take(&r, PV_HEADER);
    pv_name_read_plain(&r, NULL);
    pv_take(&r, 4);
    size_t question = (size_t)(r.at - h->message.bytes);
    struct pv_writer w = pv_writer(out, capacity);
    struct pv_header header = {
        .id = h->message.id, .flags = flags_of(what), .qdcount = 1, .arcount = 1};
    header.ancount = what->deed == SIM_ANSWERS || what->deed == SIM_MISHEARS;
    header.nscount = what->deed == SIM_DENIES || what->deed == SIM_LAME;
    pv_header_write(&w, &header);
    pv_write(&w, h->message.bytes + PV_HEADER, question - PV_HEADER);
    if (what->deed == SIM_MISHEARS)
        out[PV_HEADER + 1] ^= 1;
    if (header.ancount)
        write_record(&w, PV_T_A, what->ttl, address, 4);
    if (what->deed == SIM_DENIES)
        write_record(&w, PV_T_SOA, what->ttl, soa, sizeof soa);
    if (what->deed == SIM_LAME)
        write_record(&w, PV_T_NS, what->ttl, "\0", 1);
    write_opt(&w, what);
    assert_false(w.full);
    if (what->deed == SIM_GARBLES)
        memset(out + 2, 0x5a, pv_written(&w) - 2);
    return pv_written(&w);
}

static void obey_keepalive(struct pv_conn *c, const struct sim_answer *what)
{
    if (!what->keepalive)
        return;
    if (what->idle_ms == 0)
        pv_conn_drain(c);
    else
        pv_conn_set_idle(c, what->idle_ms);
}

static bool is_refusal(enum sim_deed deed)
{
    return deed == SIM_UNPROCESSED || deed == SIM_LEAVES || deed == SIM_CANNOT || deed == SIM_RESTS;
}

/* As proto/doh does. */
static void refuse(struct pv_conn *c, struct pv_attempt *a, enum sim_deed deed)
{
    struct pv_endpoint *e = pv_conn_endpoint(c);
    if (deed == SIM_LEAVES) {
        pv_conn_replace(c);
        pv_attempt_failed(a, PV_LEFT_OUT, "left out");
    } else if (deed == SIM_UNPROCESSED) {
        pv_attempt_failed(a, PV_UNPROCESSED, "not processed");
    } else {
        pv_attempt_failed(a, PV_SERVER_FAILED, "HTTP status 503");
    }
    if (deed == SIM_RESTS)
        pv_endpoint_rest(e, 20 * S, "HTTP status 503");
}

static void answer(struct pv_conn *c, struct pv_attempt *a, const struct sim_answer *what,
                   const uint8_t *message, size_t length)
{
    a->age = what->age;
    if (pv_attempt_answered(a, message, length))
        obey_keepalive(c, what);
    else
        pv_conn_lost(c, PV_BAD_ANSWER, a->reason);
}

/* As proto/framed and proto/do53 do. */
static void deliver(struct conn *s, struct held *h)
{
    struct pv_conn *c = s->conn;
    struct pv_attempt *a = h->attempt;
    struct sim_answer what = h->answer;
    uint8_t out[1232];
    if (what.deed == SIM_CUT_DATAGRAM && pv_conn_kind(c) == PV_STREAM)
        h->answer.deed = SIM_ANSWERS;
    size_t length = write_answer(s, h, out, sizeof out);
    bool bad = what.deed == SIM_GARBLES || what.deed == SIM_MISHEARS;
    if (pv_conn_kind(c) == PV_DATAGRAM && bad) {
        h->due = NEVER; /* not ours: keep waiting for the true one */
        return;
    }
    held_free(s, h);
    if (what.deed == SIM_CLOSES)
        pv_conn_lost(c, PV_DIED_FRESH, "closed by the peer");
    else if (!a)
        pv_conn_progress(c);
    else if (is_refusal(what.deed))
        refuse(c, a, what.deed);
    else
        answer(c, a, &what, out, length);
}

static struct held *next_due(const struct conn *s)
{
    struct held *next = NULL;
    pv_list_each (it, &s->held) {
        struct held *h = pv_container(it, struct held, link);
        if (h->due <= sim.now && (!next || h->due < next->due))
            next = h;
    }
    return next;
}

static unsigned open_conns(const struct sim_server *server)
{
    unsigned n = 0;
    pv_list_each (it, &server->conns)
        n += pv_container(it, struct conn, link)->open;
    return n;
}

static enum sim_opening opening_of(const struct sim_server *server)
{
    bool full = server->allowed && open_conns(server) >= server->allowed;
    return full ? SIM_REFUSES : server->opening;
}

static void finish_opening(struct conn *s)
{
    static const struct pv_conn_facts facts = {.resumed = true};
    switch (opening_of(s->server)) {
    case SIM_OPENS:
        s->open = true;
        s->server->opening_now--;
        s->server->ready++;
        pv_conn_ready(s->conn, &facts);
        break;
    case SIM_REFUSES:
        pv_conn_lost(s->conn, PV_UNREACHABLE, "refused");
        break;
    case SIM_UNTRUSTED:
        pv_conn_lost(s->conn, PV_UNTRUSTED, "wrong certificate");
        break;
    case SIM_HANGS:
    case SIM_NO_MEMORY: /* since it was opened */
        s->due = NEVER;
        break;
    }
}

static void conn_wake(struct pv_conn *c)
{
    struct conn *s = pv_conn_state(c);
    struct held *h;
    if (!s->open)
        finish_opening(s);
    if (s->pong && s->pong <= sim.now && !s->silent) {
        s->pong = 0;
        pv_conn_progress(c);
    }
    while (!s->closed && !s->silent && (h = next_due(s)))
        deliver(s, h);
    if (!s->closed)
        wake_when_due(s);
}

static void conn_ping(struct pv_conn *c)
{
    struct conn *s = pv_conn_state(c);
    assert_true(s->open && !s->closed);
    s->server->pings++;
    s->pong = s->server->mute ? 0 : sim.now + 10 * MS;
    wake_when_due(s);
}

#define HANDLER(name_, edns_size_, traits_, ping_)                                                 \
    {                                                                                              \
        .name = (name_), .scheme = "sim", .port = 53, .edns_size = (edns_size_),                   \
        .traits = PV_TRAIT_STREAM | (traits_), .conn_size = sizeof(struct conn),                   \
        .open = conn_open, .room = conn_room, .send = conn_send, .drop = conn_drop,                \
        .ping = (ping_), .wake_conn = conn_wake, .close = conn_close,                              \
    }
/* Words that every build knows, so that a query may ask for them. */
static const struct pv_proto stream_proto = HANDLER("dot", 4096, PV_TRAIT_TLS, NULL);
static const struct pv_proto ping_proto =
    HANDLER("dot", 4096, PV_TRAIT_TLS | PV_TRAIT_ID_ZERO, conn_ping);
static const struct pv_proto datagram_proto =
    HANDLER("do53", 1232, PV_TRAIT_DATAGRAM | PV_TRAIT_PLAINTEXT, NULL);

/* ---- connections, from outside ---- */

static struct conn *first_open(const struct sim_server *server, unsigned last)
{
    pv_list_each (it, &server->conns) {
        struct conn *s = pv_container(it, struct conn, link);
        if (s->open && s->serial <= last)
            return s;
    }
    return NULL;
}

/* One by one: the end of one may end or open others. */
void sim_close_all(struct sim_server *server)
{
    unsigned last = server->opened;
    struct conn *s;
    while ((s = first_open(server, last)))
        pv_conn_lost(s->conn, PV_DIED_FRESH, "closed by the peer");
}

void sim_replace_all(struct sim_server *server)
{
    unsigned last = server->opened;
    pv_list_each_safe (it, &server->conns) {
        struct conn *s = pv_container(it, struct conn, link);
        if (s->open && s->serial <= last)
            pv_conn_replace(s->conn);
    }
}

static void set_silent(struct sim_server *server, bool silent)
{
    pv_list_each (it, &server->conns) {
        struct conn *s = pv_container(it, struct conn, link);
        s->silent = silent;
        wake_when_due(s);
    }
}

void sim_silence_all(struct sim_server *server)
{
    set_silent(server, true);
}

void sim_unsilence_all(struct sim_server *server)
{
    set_silent(server, false);
}

static void set_barred(struct sim_server *server, bool barred)
{
    pv_list_each_safe (it, &server->conns) {
        struct conn *s = pv_container(it, struct conn, link);
        s->barred = barred;
        pv_conn_widened(s->conn);
    }
}

void sim_bar_all(struct sim_server *server)
{
    set_barred(server, true);
}

void sim_unbar_all(struct sim_server *server)
{
    set_barred(server, false);
}

unsigned sim_conns(const struct sim_server *server)
{
    return server->opened - server->closed;
}

unsigned sim_asked(const struct sim_server *server, const char *name)
{
    unsigned n = 0;
    for (unsigned i = 0; i < server->logged; i++)
        n += strcmp(server->log[i].name, name) == 0;
    return n;
}

/* ---- the world ---- */

/* SIM_LOG=1: the library's own lines. */
static void say(void *arg, enum privy_log_level level, const char *line)
{
    (void)arg, (void)level;
    print_message("%9.3f %s\n", (double)(sim.now - BEGIN_US) / 1e6, line);
}

static void sim_say(void)
{
    if (getenv("SIM_LOG"))
        privy_log_set(say, NULL, PRIVY_LOG_DEBUG);
}

int sim_begin(void **state)
{
    (void)state;
    memset(&sim, 0, sizeof sim);
    pv_random_seed(1);
    pv_hash("", 0); /* its key is drawn now, so that worlds do not depend on each other */
    sim_say();
    sim.now = BEGIN_US;
    sim.loop = pv_loop_new(NULL, &machine, &sim);
    privy_resolver_options_default(&sim.options);
    privy_cache_options_default(&sim.cache_options);
    sim.pool = (struct privy_upstreams_options){.size = sizeof sim.pool};
    privy_pool_options_default(&sim.pool.pool_options);
    sim.pool.pool_options.strategy = PRIVY_ORDERED;
    sim.pool.pool_options.plaintext = true;
    return sim.loop ? 0 : -1;
}

static void nothing_asked(const struct privy_resolver *r)
{
    assert_int_equal(privy_resolver_pending(r), 0);
    assert_int_equal(r->flying.count, 0);
    assert_true(pv_list_empty(&r->queries));
    assert_true(pv_list_empty(&r->parked));
    assert_true(pv_list_empty(&r->ending));
    assert_true(pv_list_empty(&r->at_hand));
    assert_true(pv_list_empty(&r->retiring));
}

static void nothing_open(void)
{
    for (unsigned i = 0; i < sim.server_count; i++) {
        assert_int_equal(sim_conns(&sim.servers[i]), 0);
        assert_int_equal(sim.servers[i].carried, 0);
        assert_int_equal(sim.servers[i].opening_now, 0);
    }
    assert_false(pv_loop_busy(sim.loop));
    assert_int_equal(pv_loop_next_due(sim.loop), UINT64_MAX);
}

int sim_end(void **state)
{
    (void)state;
    if (sim.resolver) {
        sim_run(60 * S); /* the last question's deadline, idle limits */
        nothing_asked(sim.resolver);
        nothing_open();
    }
    privy_resolver_free(sim.resolver);
    nothing_open();
    privy_cache_unref(sim.cache);
    for (unsigned i = 0; sim.set && i < sim.set->count; i++)
        assert_int_equal(sim.set->members[i]->health.connections, 0);
    privy_upstreams_unref(sim.set);
    pv_loop_free(sim.loop);
    for (unsigned i = 0; i < sim.server_count; i++)
        free(sim.servers[i].log);
    pv_random_seed(0);
    return 0;
}

struct sim_server *sim_server(const char *name)
{
    struct sim_server *s = &sim.servers[sim.server_count];
    const struct sim_answer usual = {.us = 10 * MS, .ttl = 300};
    assert_true(sim.server_count < SIM_SERVERS);
    s->name = name;
    s->number = ++sim.server_count;
    s->open_us = 20 * MS;
    s->answer = s->probe = usual;
    s->probe.deed = SIM_DENIES;
    s->room = 1000;
    pv_list_init(&s->conns);
    return s;
}

struct privy_upstreams *sim_set(struct privy_upstreams *previous)
{
    struct privy_upstreams *set = NULL;
    assert_int_equal(privy_upstreams_new(previous, &sim.pool, &set, NULL), PRIVY_OK);
    return set;
}

static void told(void *arg, const char *upstream, bool up, const char *reason)
{
    (void)arg, (void)upstream, (void)reason;
    ++*(up ? &sim.ups : &sim.downs);
}

/* The scheme is one that any build has; the handler is ours. */
void sim_add(struct privy_upstreams *set, struct sim_server *s,
             const struct privy_upstream_options *options, const char *url)
{
    struct privy_upstream_options o = {.size = sizeof o};
    char own[64];
    struct privy_error error = {0};
    if (options)
        o = *options;
    o.name = s->name;
    snprintf(own, sizeof own, "udp://192.0.2.%u", s->number);
    if (privy_upstreams_add(set, url ? url : own, &o, &error) != PRIVY_OK)
        fail_msg("%s", error.message);
    set->members[set->count - 1]->proto = s->datagram   ? &datagram_proto
                                          : s->has_ping ? &ping_proto
                                                        : &stream_proto;
}

void sim_resolver(struct privy_upstreams *set)
{
    sim.set = set;
    if (!sim.cache)
        sim.cache = privy_cache_new(&sim.cache_options);
    privy_event_set(set, told, NULL);
    assert_int_equal(pv_resolver_new(sim.loop, set, sim.cache, &sim.options, &sim.resolver, NULL),
                     PRIVY_OK);
}

void sim_start(struct sim_server *first, ...)
{
    struct privy_upstreams *set = sim_set(NULL);
    va_list more;
    va_start(more, first);
    for (struct sim_server *s = first; s; s = va_arg(more, struct sim_server *))
        sim_add(set, s, NULL, NULL);
    va_end(more);
    sim_resolver(set);
}

void sim_turns(void)
{
    unsigned turns = 0;
    do {
        pv_loop_turn(sim.loop);
        assert_true(++turns < 1000); /* it spins */
    } while (pv_loop_busy(sim.loop) || pv_loop_next_due(sim.loop) <= sim.now);
}

void sim_run(uint64_t us)
{
    uint64_t end = sim.now + us;
    for (;;) {
        sim_turns();
        uint64_t due = pv_loop_next_due(sim.loop);
        if (due > end)
            break;
        sim.now = due > sim.now ? due : sim.now;
    }
    sim.now = end;
    sim_turns();
}

/* ---- asking ---- */

static void copy_answer(struct sim_asker *a, const struct privy_answer *answer)
{
    const uint8_t *wire = privy_answer_wire(answer, &a->length);
    const char *text;
    size_t length;
    a->rcode = privy_answer_rcode(answer);
    a->ttl = privy_answer_ttl(answer);
    a->facts = *privy_answer_facts(answer);
    snprintf(a->upstream, sizeof a->upstream, "%s", a->facts.upstream ? a->facts.upstream : "");
    snprintf(a->protocol, sizeof a->protocol, "%s", a->facts.protocol ? a->facts.protocol : "");
    a->facts.upstream = a->facts.protocol = NULL;
    assert_true(a->length <= sizeof a->wire);
    memcpy(a->wire, wire, a->length);
    a->id = pv_get16(wire);
    a->flags = pv_get16(wire + 2);
    if (!privy_answer_ede(answer, 0, &a->ede, &text, &length))
        a->ede = 0;
}

static void done(void *arg, enum privy_status status, const struct privy_answer *answer,
                 const struct privy_error *error)
{
    struct sim_asker *a = arg;
    assert_true(a->ready); /* never inside privy_query() */
    a->handle = NULL;
    a->calls++;
    a->at = sim.now;
    a->status = status;
    assert_true((status == PRIVY_OK) == (answer != NULL));
    assert_true((answer != NULL) == (error == NULL));
    if (answer)
        copy_answer(a, answer);
    else
        a->error = *error;
    if (a->then)
        a->then(a);
}

enum privy_status sim_try_exchange(struct sim_asker *a, const uint8_t *wire, size_t length,
                                   const struct privy_exchange_options *options)
{
    a->begun = sim.now;
    a->ready = false;
    enum privy_status status =
        privy_exchange(sim.resolver, wire, length, options, done, a, &a->handle);
    a->ready = true;
    return status;
}

void sim_exchange(struct sim_asker *a, const uint8_t *wire, size_t length,
                  const struct privy_exchange_options *options)
{
    assert_int_equal(sim_try_exchange(a, wire, length, options), PRIVY_OK);
}

size_t sim_query(uint8_t *out, uint16_t id, const char *name, uint16_t type, uint16_t flags,
                 bool dnssec_ok)
{
    uint8_t owner[PV_NAME_MAX];
    size_t length;
    struct pv_writer w = pv_writer(out, 512);
    assert_true(pv_name_from_text(name, strlen(name), owner, &length));
    pv_header_write(
        &w, &(struct pv_header){.id = id, .flags = flags, .qdcount = 1, .arcount = dnssec_ok});
    pv_write(&w, owner, length);
    pv_write16(&w, type);
    pv_write16(&w, PV_C_IN);
    if (dnssec_ok)
        pv_opt_begin(&w, 1232, 0, true);
    return pv_written(&w);
}

void sim_ask(struct sim_asker *a, const char *name)
{
    uint8_t wire[512];
    uint16_t id;
    pv_random(&id, sizeof id);
    size_t length = sim_query(wire, id, name, PV_T_A, PV_RD, false);
    sim_exchange(a, wire, length, NULL);
}

struct sim_asker sim_answer_to(const char *name)
{
    struct sim_asker a = {0};
    sim_ask(&a, name);
    for (unsigned i = 0; i < 6000 && !a.calls; i++)
        sim_run(1 * MS);
    assert_int_equal(a.calls, 1);
    return a;
}
