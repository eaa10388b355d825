#include "asker.h"

#include "memory.h"
#include "report.h"
#include "session.h"
#include "truth.h"

enum { LATE_US = 5 * MS, REPLAYS_MOST = 16, SHOTS_MOST = 5 };

void (*asker_acts)(struct world *);

/* ---- being told ---- */

static void check_time(const struct asker *a)
{
    const struct world *w = a->world;
    must(w->now <= a->begun + a->limit + (w->slack - a->grace) + LATE_US,
         "query %u ended %llu us after its deadline", a->number,
         (unsigned long long)(w->now - a->begun - a->limit));
}

static void check_status(const struct asker *a)
{
    switch (a->status) {
    case PRIVY_OK:
    case PRIVY_EUNREACHABLE:
    case PRIVY_EPEER:
    case PRIVY_ETIMEOUT:
    case PRIVY_ENOTREADY:
        return;
    case PRIVY_ENOMEM:
        must(memory_refused() > 0, "query %u: no memory, with memory there", a->number);
        return;
    default:
        broken("query %u ended with status %d", a->number, a->status);
    }
}

static void done(void *arg, enum privy_status status, const struct privy_answer *answer,
                 const struct privy_error *error)
{
    struct asker *a = arg;
    struct world *w = a->world;
    must(!a->inside, "query %u was told inside the call that asked", a->number);
    must(!a->cancelled, "query %u was told after it was cancelled", a->number);
    must(a->calls++ == 0, "query %u ended twice", a->number);
    must(a->worker->resolver, "query %u was told after its resolver was freed", a->number);
    must((status == PRIVY_OK) == (answer != NULL) && (answer == NULL) == (error != NULL),
         "query %u: answer and error do not fit", a->number);
    a->open = false;
    a->ended = true;
    a->ended_at = w->now;
    a->handle = NULL;
    a->status = status;
    trace("query %u: ends with %s", a->number, answer ? "an answer" : error->message);
    report_mix(w->now ^ (uint64_t)a->number << 40 ^ (uint64_t)status << 60);
    check_time(a);
    check_status(a);
    if (answer)
        truth_check(a, answer);
    truth_promise(a);
    if (has(w, F_CALLBACKS) && !w->healed && asker_acts)
        asker_acts(w);
}

/* ---- asking ---- */

static bool same_question(const struct asker *a, const struct asker *b)
{
    return a->worker == b->worker && a->question.type == b->question.type &&
           a->dnssec_ok == b->dnssec_ok && a->checking_disabled == b->checking_disabled &&
           a->question.name_length == b->question.name_length &&
           pv_name_equal(a->question.name, b->question.name, a->question.name_length);
}

/* It may share the fate of those who have asked the same, and whose refresh may still go on. */
static void find_family(struct asker *a)
{
    struct world *w = a->world;
    a->family = a->begun;
    for (unsigned i = 0; i < w->asker_count; i++) {
        const struct asker *b = w->askers[i];
        if (b == a || !same_question(a, b) || (!b->open && b->ended_at + 30 * S < w->now))
            continue;
        a->family = b->family < a->family ? b->family : a->family;
        a->own_options |= b->own_options;
    }
}

static void write_query(struct asker *a, const char *name, uint16_t type, uint16_t flags)
{
    static const uint8_t tsig[] = {0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 4, 'm', 'a', 'c', '!'};
    struct pv_writer w = pv_writer(a->wire, sizeof a->wire);
    uint8_t owner[PV_NAME_MAX];
    size_t length;
    must(pv_name_from_text(name, strlen(name), owner, &length), "a bad name: %s", name);
    struct pv_header h = {.id = a->id, .flags = flags, .qdcount = 1};
    h.arcount = (uint16_t)(a->dnssec_ok + a->is_signed);
    pv_header_write(&w, &h);
    pv_write(&w, owner, length);
    pv_write16(&w, type);
    pv_write16(&w, PV_C_IN);
    a->question_length = pv_written(&w) - PV_HEADER;
    if (a->dnssec_ok)
        pv_opt_begin(&w, 1232, 0, true);
    if (a->is_signed)
        pv_write(&w, tsig, sizeof tsig);
    a->length = pv_written(&w);
    memcpy(a->question.name, owner, length);
    pv_name_lower(a->question.name, length);
    a->question.name_length = (uint8_t)length;
    a->question.type = type;
    a->question.rrclass = PV_C_IN;
}

static struct asker *asker_new(struct world *w, struct worker *k)
{
    struct asker *a = own_alloc(sizeof *a);
    a->world = w;
    a->worker = k;
    a->number = w->asker_count;
    w->askers[w->asker_count++] = a;
    return a;
}

static bool anyone_speaks(const struct asker *a)
{
    for (unsigned i = 0; i < a->world->pool_count; i++) {
        const struct server *s = &a->world->servers[i];
        if (world_serves(a->world, s) && truth_allows(a, s))
            return true;
    }
    return false;
}

static void check_refusal(const struct asker *a, enum privy_status status, uint64_t refused)
{
    const struct world *w = a->world;
    switch (status) {
    case PRIVY_EBUSY:
        must(privy_resolver_pending(a->worker->resolver) >= w->options.limits.inflight,
             "query %u: busy with %u", a->number, privy_resolver_pending(a->worker->resolver));
        return;
    case PRIVY_EUNSUPPORTED:
        must(!anyone_speaks(a), "query %u: some speak %s", a->number, a->protocol);
        return;
    case PRIVY_ENOMEM:
        must(memory_refused() > refused, "query %u: no memory, with memory there", a->number);
        return;
    default:
        broken("query %u was refused with status %d", a->number, status);
    }
}

static void begin(struct asker *a, const struct privy_query_options *options)
{
    struct world *w = a->world;
    struct privy_exchange_options o = {.size = sizeof o, .protocol = a->protocol, .query = options};
    uint64_t refused = memory_refused();
    a->begun = w->now;
    a->grace = w->slack;
    a->limit = (options ? options : &w->options.query)->deadline * MS;
    a->tries = (options ? options : &w->options.query)->tries;
    a->own_options = options != NULL;
    find_family(a);
    a->inside = a->open = true;
    enum privy_status status =
        privy_exchange(a->worker->resolver, a->wire, a->length, &o, done, a, &a->handle);
    a->inside = false;
    trace("query %u: asked, status %d, type %u%s%s", a->number, status, a->question.type,
          a->protocol ? ", over " : "", a->protocol ? a->protocol : "");
    if (status == PRIVY_OK)
        return;
    a->open = false;
    a->ended = true;
    a->ended_at = w->now;
    a->status = status;
    check_refusal(a, status, refused);
}

static void draw_name(struct asker *a, char *out, size_t capacity)
{
    struct dice *d = &a->world->dice;
    a->unique = roll(d, 2);
    if (a->unique)
        snprintf(out, capacity, "u%u.n%u.example", a->number, roll(d, 8));
    else
        snprintf(out, capacity, "w%u.n%u.example", roll(d, 5), roll(d, 4));
    for (char *p = out; roll(d, 2) && *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' && roll(d, 2) ? *p - 32 : *p);
}

static void draw_own_options(struct world *w, struct privy_query_options *o)
{
    struct dice *d = &w->dice;
    *o = w->options.query;
    o->tries = 1 + roll(d, 5);
    o->deadline = 200 + roll(d, 9000);
    o->try_timeout = roll(d, 2) ? 0 : 50 + roll(d, 1000);
}

void asker_draw(struct world *w, struct worker *k)
{
    static const uint16_t types[] = {PV_T_A,   PV_T_A,   PV_T_A,    PV_T_AAAA,
                                     PV_T_TXT, PV_T_ANY, PV_T_HTTPS};
    static const char *const words[] = {"any", "dot", "do53", "doh", "mtls"};
    struct dice *d = &w->dice;
    struct privy_query_options own;
    char name[64];
    if (w->asker_count == ASKERS_MOST || !k->resolver)
        return;
    struct asker *a = asker_new(w, k);
    draw_name(a, name, sizeof name);
    a->id = (uint16_t)dice_next(d);
    a->dnssec_ok = roll(d, 4) == 0;
    a->checking_disabled = roll(d, 10) == 0;
    a->is_signed = roll(d, 40) == 0;
    a->protocol = roll(d, 8) ? NULL : words[roll(d, 5)];
    unsigned flags = PV_RD | (a->checking_disabled ? PV_CD : 0) | (roll(d, 4) ? 0 : PV_AD);
    write_query(a, name, types[roll(d, 7)], (uint16_t)flags);
    bool given = has(w, F_OPTIONS) && roll(d, 3) == 0;
    if (given)
        draw_own_options(w, &own);
    begin(a, given ? &own : NULL);
}

struct asker *asker_ask(struct world *w, struct worker *k, const char *name, uint16_t type)
{
    if (w->asker_count == ASKERS_MOST)
        return NULL;
    struct asker *a = asker_new(w, k);
    write_query(a, name, type, PV_RD);
    begin(a, NULL);
    return a;
}

void asker_cancel(struct world *w)
{
    struct asker *open[ASKERS_MOST];
    unsigned n = 0;
    for (unsigned i = 0; i < w->asker_count; i++) {
        if (w->askers[i]->open && !w->askers[i]->inside)
            open[n++] = w->askers[i];
    }
    if (n == 0)
        return;
    struct asker *a = open[roll(&w->dice, n)];
    trace("query %u: cancelled", a->number);
    privy_cancel(a->handle);
    a->open = false;
    a->cancelled = true;
    a->ended_at = w->now;
}

void asker_try(struct world *w, struct worker *k)
{
    static uint8_t reply[65535];
    size_t length;
    struct privy_facts facts;
    if (w->asker_count == 0 || !k->resolver)
        return;
    struct asker *a = w->askers[roll(&w->dice, w->asker_count)];
    enum privy_status status =
        privy_try(k->resolver, a->wire, a->length, reply, sizeof reply, &length, &facts);
    must(status == PRIVY_OK || status == PRIVY_EMISS, "a try ended with status %d", status);
    if (status != PRIVY_OK)
        return;
    truth_check_cached(a, reply, length, &facts);
    a->unique = false; /* it may have begun a refresh */
    if (a->worker == k)
        a->ended_at = w->now;
}

/* ---- servers tell ---- */

/* How often one try may send a question. */
static unsigned shots(const struct server *s)
{
    return s->protocol->sealed ? SHOTS_MOST : 1;
}

static void heard_unique(struct world *w, struct asker *a, struct server *s, bool stream)
{
    unsigned n = ++a->heard[s->number][stream], all = 0, servers = 0;
    /* What was refused unread may be sent again. A new set may name the same server as another
     * upstream. */
    unsigned more = has(w, F_HTTP) ? REPLAYS_MOST : 0, most = 1;
    must(n <= 3 * shots(s) + more || w->set_changed >= a->begun,
         "query %u was sent to server %s %u times", a->number, s->name, n);
    for (unsigned i = 0; i < w->server_count; i++) {
        all += a->heard[i][0] + a->heard[i][1];
        servers += a->heard[i][0] + a->heard[i][1] > 0;
        most = shots(&w->servers[i]) > most ? shots(&w->servers[i]) : most;
    }
    must(all <= (a->tries * 2 + 1) * most + more, "query %u was sent %u times", a->number, all);
    must(!a->is_signed || servers == 1, "signed query %u was sent to another server", a->number);
    must(truth_allows(a, s), "query %u was sent to server %s, not over %s", a->number, s->name,
         a->protocol);
}

void asker_heard(void *arg, struct server *s, const struct pv_query_view *v, bool stream)
{
    struct world *w = arg;
    char name[PV_NAME_TEXT];
    unsigned number;
    pv_name_to_text(v->question.name, name);
    bool of_pool = s->number < w->pool_count;
    must(of_pool || strstr(name, ".sim.test.") || name[0] == '.', "the bootstrap is asked for %s",
         name);
    must((stream && !s->protocol->alpn) || !v->has_keepalive, "keepalive in a datagram or request");
    if (sscanf(name, "u%u.", &number) == 1 && number < w->asker_count && w->askers[number]->unique)
        heard_unique(w, w->askers[number], s, stream);
}

void askers_forget(struct worker *k)
{
    const struct world *w = k->world;
    for (unsigned i = 0; i < w->asker_count; i++) {
        struct asker *a = w->askers[i];
        if (a->worker != k || !a->open)
            continue;
        a->open = false;
        a->cancelled = true;
    }
}

void askers_free(struct world *w)
{
    for (unsigned i = 0; i < w->asker_count; i++)
        own_free(w->askers[i]);
    w->asker_count = 0;
}
