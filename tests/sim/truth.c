#include "truth.h"

#include "report.h"
#include "session.h"

enum { TTL_STALE = 30, CAP = 86400 };

/* What of an answer is to be checked. */
struct told {
    const struct asker *asker;
    const uint8_t *wire;
    size_t length;
    unsigned rcode;
    const struct privy_facts *facts;
    bool has_note;
    unsigned number;
    uint32_t ttl; /* of the note */
    char name[NOTE_NAME];
};

bool truth_allows(const struct asker *a, const struct server *s)
{
    if (!a->protocol || strcmp(a->protocol, "any") == 0)
        return true;
    if (strcmp(a->protocol, "mtls") == 0)
        return s->identity;
    return strcmp(a->protocol, s->protocol->word) == 0;
}

/* ---- what it says ---- */

/* Find the note among the additional records. */
static void find_note(struct told *t)
{
    struct pv_reader r = pv_reader(t->wire, t->length);
    struct pv_header h = pv_header_read(&r);
    struct pv_rr rr;
    pv_questions_skip(&r, t->wire, h.qdcount);
    for (unsigned i = 0; i < (unsigned)h.ancount + h.nscount + h.arcount; i++) {
        must(pv_rr_read(&r, t->wire, NULL, NULL, &rr, NULL), "query %u: a malformed answer",
             t->asker->number);
        if (i < (unsigned)h.ancount + h.nscount || rr.type != PV_T_TXT)
            continue;
        t->has_note = note_read(rr.rdata.at, pv_left(&rr.rdata), &t->number, t->name);
        t->ttl = rr.ttl;
    }
}

static bool is_silent(const struct told *t)
{
    bool cut = pv_get16(t->wire + 2) & PV_TC;
    return (cut && !t->facts->cached) || (t->facts->failure && t->facts->cached);
}

static void check_frame(const struct told *t)
{
    const struct asker *a = t->asker;
    uint16_t flags = pv_get16(t->wire + 2);
    must(t->length >= PV_HEADER + a->question_length, "query %u: a short answer", a->number);
    must(pv_get16(t->wire) == a->id, "query %u: another id", a->number);
    must(flags & PV_QR, "query %u: no answer but a query", a->number);
    must(a->is_signed || memcmp(t->wire + PV_HEADER, a->wire + PV_HEADER, a->question_length) == 0,
         "query %u: another question came back", a->number);
    must(a->is_signed || !t->facts->cached || !(flags & PV_TC), "query %u: cut, from the cache",
         a->number);
}

static bool is_about_it(const struct told *t, const struct said *said)
{
    char name[PV_NAME_TEXT];
    pv_name_to_text(t->asker->question.name, name);
    return strcmp(name, t->name) == 0 && said->question.type == t->asker->question.type;
}

static void check_source(const struct told *t, const struct said *said)
{
    const struct asker *a = t->asker;
    const struct server *s = &a->world->servers[said->server];
    char name[PV_NAME_TEXT];
    pv_name_to_text(a->question.name, name);
    must(!is_lie(said->content), "query %u was told lie %u of server %s", a->number, t->number,
         s->name);
    must(is_about_it(t, said), "query %u for %s %u was told what belongs to %s %u", a->number, name,
         a->question.type, t->name, said->question.type);
    must(said->dnssec_ok == a->dnssec_ok && said->checking_disabled == a->checking_disabled,
         "query %u was told what was asked with other flags", a->number);
    must(said->is_signed == a->is_signed, "query %u: a signed answer was shared", a->number);
    must(said->server < a->world->pool_count, "query %u was answered by the bootstrap", a->number);
    must(truth_allows(a, s), "query %u was answered by server %s, not over %s", a->number, s->name,
         a->protocol);
    must(!t->facts->upstream || strcmp(t->facts->upstream, s->name) == 0,
         "query %u: answered by %s, it says %s", a->number, s->name, t->facts->upstream);
}

/* ---- how old it is ---- */

static uint32_t life_of(const struct world *w, const struct said *said)
{
    const struct privy_cache_options *o = &w->cache_options;
    return said_life(said, o->max_ttl / 1000, o->max_negative_ttl / 1000, o->min_ttl / 1000);
}

static void check_cached(const struct told *t, const struct said *said)
{
    const struct asker *a = t->asker;
    const struct world *w = a->world;
    uint64_t now = (w->now + w->net.slept_us) / S, old = now - said->at_age;
    uint64_t life = life_of(w, said), travel = said->travel_us + w->slack;
    travel = (travel + world_slept(w, said->at_us, said->at_us + travel)) / S + 2;
    must(life > 0, "query %u was told number %u from the cache, which must not be in it", a->number,
         t->number);
    if (t->facts->stale) {
        must(t->ttl == TTL_STALE, "query %u: a stale answer with TTL %u", a->number, t->ttl);
        must(old < life + w->cache_options.stale / 1000 + travel, "query %u: a rotten answer",
             a->number);
        return;
    }
    must(old < life + travel,
         "query %u was told number %u, %llu s old, with a life of %llu s, from the cache",
         a->number, t->number, (unsigned long long)old, (unsigned long long)life);
    must(old <= travel || t->ttl + (old - travel) <= life,
         "query %u: TTL %u of an answer %llu s old, with a life of %llu", a->number, t->ttl,
         (unsigned long long)old, (unsigned long long)life);
}

static void check_fresh(const struct told *t, const struct said *said)
{
    const struct asker *a = t->asker;
    must(said->at_us >= a->family, "query %u was told what was said before it was asked",
         a->number);
    must(t->rcode == said->rcode, "query %u: RCODE %u, it was %u", a->number, t->rcode,
         said->rcode);
    must(a->is_signed || t->ttl <= CAP, "query %u: TTL %u", a->number, t->ttl);
}

static void check_ad(const struct told *t, const struct said *said)
{
    const struct asker *a = t->asker;
    const struct world *w = a->world;
    bool wanted = a->dnssec_ok || pv_get16(a->wire + 2) & PV_AD;
    const struct protocol *p = w->servers[said->server].protocol;
    bool trusted = w->set_options.pool_options.trust_ad && (p->tls || p->sealed);
    if (!a->is_signed && pv_get16(t->wire + 2) & PV_AD)
        must(wanted && trusted && !t->facts->stale, "query %u: AD is set", a->number);
}

static void check(struct told *t)
{
    const struct asker *a = t->asker;
    check_frame(t);
    find_note(t);
    if (!t->has_note) {
        must(is_silent(t), "query %u was told what nobody said", a->number);
        return;
    }
    must(t->number < a->world->ledger.count, "query %u: no such number", a->number);
    const struct said *said = &a->world->ledger.all[t->number];
    if (said->content == SAYS_OTHER_ID && is_about_it(t, said))
        return; /* by chance the id of the same question, asked with other flags: who can tell? */
    check_source(t, said);
    if (t->facts->cached)
        check_cached(t, said);
    else
        check_fresh(t, said);
    check_ad(t, said);
}

void truth_check(struct asker *a, const struct privy_answer *answer)
{
    struct told t = {.asker = a, .facts = privy_answer_facts(answer)};
    t.wire = privy_answer_wire(answer, &t.length);
    t.rcode = privy_answer_rcode(answer);
    a->rcode = t.rcode;
    a->facts = *t.facts;
    a->facts.upstream = a->facts.protocol = NULL;
    must(t.facts->cached == !t.facts->upstream, "query %u: from the cache and from %s", a->number,
         t.facts->upstream);
    must(!t.facts->stale || t.facts->cached, "query %u: stale, from an upstream", a->number);
    check(&t);
}

void truth_check_cached(struct asker *a, const uint8_t *wire, size_t length,
                        const struct privy_facts *facts)
{
    struct told t = {.asker = a, .wire = wire, .length = length, .facts = facts};
    struct asker any = *a; /* the cache does not know who asked over which protocol */
    any.protocol = NULL;
    t.asker = &any;
    must(facts->cached && !facts->stale, "a try gave what was not cached");
    check(&t);
}

/* ---- what was promised ---- */

enum {
    SETTLED_US = 1000000, /* after all faults, that is promised */
    NOTICED_US = 7000000, /* that connections are lost, by then at the latest if any are used */
    TRIES_A_FAULT = 2,    /* a server's fault costs: on an old connection, and on a new one */
};

static bool is_healthy_for(const struct asker *a, const struct server *s)
{
    return s->healthy_since != UINT64_MAX && s->healthy_since + SETTLED_US <= a->family &&
           s->disturbed < a->family && s->rests_until <= a->family;
}

static bool serves_well(const struct asker *a, unsigned i)
{
    const struct world *w = a->world;
    return is_healthy_for(a, &w->servers[i]) &&
           (!w->named[i] || is_healthy_for(a, &w->servers[w->server_count - 1]));
}

static bool all_serve_well(const struct asker *a)
{
    const struct world *w = a->world;
    bool all = true;
    for (unsigned i = 0; i < w->pool_count; i++)
        all &= !world_serves(w, &w->servers[i]) || serves_well(a, i);
    return all;
}

/* Has it no connections that fell silent a moment ago, and none of its addresses led nowhere? Of
 * datagrams nobody knows that at once. */
static bool is_at_hand(const struct asker *a, unsigned i)
{
    const struct world *w = a->world;
    const struct server *s = &w->servers[i];
    bool all = s->disturbed + NOTICED_US < a->family;
    for (unsigned k = 0; k < s->host_count; k++)
        all &= s->hosts[k].always == NET_OPEN || !world_sends_datagrams(w, i);
    return all;
}

/* The tries it may take until all has been found out. */
static unsigned tries_lost(const struct asker *a)
{
    const struct world *w = a->world;
    unsigned n = 0;
    for (unsigned i = 0; i < w->pool_count; i++) {
        if (world_serves(w, &w->servers[i]) && truth_allows(a, &w->servers[i]))
            n += !serves_well(a, i) ? TRIES_A_FAULT : !is_at_hand(a, i);
    }
    return n;
}

static bool is_promised_by(const struct asker *a, unsigned i)
{
    const struct world *w = a->world;
    const struct server *s = &w->servers[i];
    if (!world_serves(w, s) || !truth_allows(a, s) || !serves_well(a, i))
        return false;
    return is_at_hand(a, i) || all_serve_well(a) || tries_lost(a) < a->tries;
}

/* Sharded names stay with one operator, however slow, as long as it is not down. */
static bool is_held_back(const struct asker *a)
{
    return a->world->set_options.pool_options.strategy == PRIVY_SHARD && !all_serve_well(a);
}

/* Did a server itself refuse this question? */
static bool was_denied(const struct asker *a)
{
    const struct ledger *l = &a->world->ledger;
    for (unsigned i = l->count; i-- > 0;) {
        const struct said *said = &l->all[i];
        bool error = said->content >= SAYS_ERROR && said->content <= SAYS_LAME;
        if (error && said->question.name_length == a->question.name_length &&
            pv_name_equal(said->question.name, a->question.name, a->question.name_length))
            return true;
    }
    return false;
}

static bool has_failed(const struct asker *a)
{
    return a->status != PRIVY_OK || (a->rcode != PV_NOERROR && a->rcode != PV_NXDOMAIN);
}

void truth_promise(const struct asker *a)
{
    struct world *w = a->world;
    world_note_upsets(w);
    if (!has_failed(a) || a->own_options || has(w, F_OPTIONS) || a->is_signed)
        return;
    if (w->upset >= a->family || was_denied(a) || (a->status == PRIVY_OK && a->facts.failure))
        return;
    if (is_held_back(a))
        return;
    for (unsigned i = 0; i < w->pool_count; i++)
        must(!is_promised_by(a, i), "query %u failed, and server %s is healthy", a->number,
             w->servers[i].name);
}
