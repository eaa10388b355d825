#include "resolver/coalesce.h"

#include "proto/registry.h"
#include "resolver/answer.h"
#include "resolver/failure.h"
#include "resolver/keep.h"

#define ASKER(it) pv_container(it, struct privy_query, link)

/* ---- telling ---- */

static void asker_free(struct privy_query *a)
{
    struct privy_resolver *r = a->resolver;
    pv_list_remove(&a->link);
    pv_timer_clear(r->loop, &a->deadline);
    pv_timer_clear(r->loop, &a->stale_at);
    pv_undefer(&a->ending);
    pv_entry_unref(a->at_hand);
    r->asking--;
    free(a);
}

static void fail_asker(struct privy_query *a, enum privy_status status, struct privy_error *error)
{
    privy_done *done = a->done;
    void *arg = a->arg;
    error->status = status;
    snprintf(error->message, sizeof error->message, "%s", privy_strerror(status));
    asker_free(a);
    done(arg, status, NULL, error);
}

static void answer_asker(struct privy_query *a, const struct pv_entry *e,
                         const struct pv_attempt *from)
{
    struct pv_loop *loop = a->resolver->loop;
    struct privy_answer *answer = pv_answer_make(e, pv_age_now(loop), &a->view, from);
    struct privy_error error = {0};
    if (!answer) {
        fail_asker(a, PRIVY_ENOMEM, &error);
        return;
    }
    answer->facts.milliseconds = (uint32_t)((pv_now(loop) - a->begun) / 1000);
    answer->facts.coalesced = a->joined;
    answer->facts.stale = a->stale;
    if (a->query)
        answer->facts.attempts = a->query->attempt_count;
    privy_done *done = a->done;
    void *arg = a->arg;
    asker_free(a);
    done(arg, PRIVY_OK, answer, NULL);
    privy_answer_unref(answer);
}

/* A callback may cancel the askers that are left, or free the resolver, which forgets them: both
 * leave the query to us. */
static void begin_telling(struct pv_query *q)
{
    q->telling = true;
    pv_list_append(&q->resolver->ending, &q->link);
}

static void end_telling(struct pv_query *q)
{
    pv_list_remove(&q->link);
    pv_query_release(q);
}

void pv_askers_answer(struct pv_query *q, struct pv_entry *e, const struct pv_attempt *from)
{
    struct pv_list *first;
    begin_telling(q);
    while ((first = pv_list_first(&q->askers)))
        answer_asker(ASKER(first), e, from);
    pv_entry_unref(e);
    end_telling(q);
}

void pv_askers_fail(struct pv_query *q, enum privy_status status, struct privy_error *error)
{
    struct pv_list *first;
    begin_telling(q);
    while ((first = pv_list_first(&q->askers)))
        fail_asker(ASKER(first), status, error);
    end_telling(q);
}

void pv_askers_forget(struct pv_query *q)
{
    pv_list_each_safe (it, &q->askers)
        asker_free(ASKER(it));
}

/* ---- from the cache ---- */

static void run_at_hand(struct pv_deferred *d)
{
    struct privy_query *a = pv_container(d, struct privy_query, ending);
    struct pv_entry *e = a->at_hand;
    a->at_hand = NULL;
    answer_asker(a, e, NULL);
    pv_entry_unref(e);
}

/* It gets this entry at the end of the turn. Takes the reference. */
static void hand(struct privy_query *a, struct pv_entry *e, bool stale)
{
    struct privy_resolver *r = a->resolver;
    pv_list_remove(&a->link);
    pv_list_append(&r->at_hand, &a->link);
    pv_timer_clear(r->loop, &a->deadline);
    pv_timer_clear(r->loop, &a->stale_at);
    a->query = NULL;
    a->at_hand = e;
    a->stale = stale;
    if (r->cache && stale)
        pv_cache_count(r->cache, PV_LOOKUP_STALE);
    pv_defer(r->loop, &a->ending, run_at_hand);
}

void pv_askers_forget_at_hand(struct privy_resolver *r)
{
    pv_list_each_safe (it, &r->at_hand)
        asker_free(ASKER(it));
}

void pv_askers_stale(struct pv_query *q)
{
    uint64_t now = pv_age_now(q->resolver->loop);
    if (pv_list_empty(&q->askers) || !pv_keep_is_stale(q->stale, q->resolver, now))
        return; /* nobody waits, or the machine slept and it is too old by now */
    atomic_store(&q->stale->held, now);
    pv_list_each_safe (it, &q->askers)
        hand(ASKER(it), pv_entry_ref(q->stale), true);
    pv_query_detach(q);
}

/* ---- waiting ---- */

static void stale_fired(struct pv_timer *t)
{
    struct privy_query *a = pv_container(t, struct privy_query, stale_at);
    pv_askers_stale(a->query);
}

static void deadline_fired(struct pv_timer *t)
{
    struct privy_query *a = pv_container(t, struct privy_query, deadline);
    struct pv_query *q = a->query;
    struct privy_error error = {0};
    if (pv_query_settle(q))
        return;
    enum privy_status status = pv_failure(q, &error);
    pv_list_remove(&a->link);
    if (pv_list_empty(&q->askers) && !q->background)
        pv_query_expired(q);
    a->query = NULL;
    fail_asker(a, status, &error);
}

void privy_cancel(struct privy_query *a)
{
    struct pv_query *q = a->query;
    asker_free(a);
    if (q && pv_list_empty(&q->askers) && !q->background && !q->telling)
        pv_query_free(q);
}

/* ---- asking ---- */

static bool has_key(const struct pv_map_node *node, const void *key)
{
    return pv_key_equal(&pv_container(node, struct pv_query, node)->key, key);
}

static void join(struct privy_query *a, struct pv_query *q,
                 const struct privy_query_options *options)
{
    struct privy_resolver *r = a->resolver;
    a->query = q;
    pv_list_append(&q->askers, &a->link);
    pv_timer_set(r->loop, &a->deadline, a->begun + (uint64_t)options->deadline * 1000,
                 deadline_fired);
    if (q->stale)
        pv_timer_set(r->loop, &a->stale_at,
                     a->begun + (uint64_t)pv_cache_options(r->cache)->stale_after * 1000,
                     stale_fired);
}

static uint8_t key_flags(const struct pv_query_view *v)
{
    return (uint8_t)((v->edns.dnssec_ok ? PV_KEY_DO : 0) |
                     (v->header.flags & PV_CD ? PV_KEY_CD : 0));
}

static struct pv_ask ask_of(const struct pv_query_view *v, const void *wire, size_t length,
                            const struct privy_query_options *options)
{
    struct pv_ask ask = {
        .question = v->question,
        .dnssec_ok = v->edns.dnssec_ok,
        .checking_disabled = v->header.flags & PV_CD,
        .ecs_zero = options->ecs == PRIVY_ECS_ZERO,
        .pad_block = options->padding,
    };
    if (v->is_signed) {
        ask.opaque = wire;
        ask.opaque_length = length;
    }
    return ask;
}

static void view_of(struct pv_asker_view *out, const struct pv_query_view *v)
{
    out->id = v->header.id;
    out->recursion_desired = v->header.flags & PV_RD;
    out->checking_disabled = v->header.flags & PV_CD;
    out->wants_ad = v->edns.dnssec_ok || v->header.flags & PV_AD;
    out->question_length = (uint16_t)v->question_length;
    memcpy(out->question, v->question_bytes, v->question_length);
}

/* What the cache knows: a hit (fresh, a failure that holds, stale while held back), or only what
 * may be given if all else fails. The reference is the caller's. */
static struct pv_entry *look(struct privy_resolver *r, const struct pv_key *key, bool *ret_stale,
                             bool *ret_hit)
{
    struct pv_entry *e = r->cache ? pv_cache_get(r->cache, key) : NULL;
    uint64_t now = pv_age_now(r->loop);
    *ret_stale = *ret_hit = false;
    if (!e)
        return NULL;
    if (pv_entry_fresh(e, now) && (!e->failure || pv_keep_failure_holds(e, r))) {
        *ret_hit = true;
        return e;
    }
    if (!pv_entry_fresh(e, now) && pv_keep_is_stale(e, r, now)) {
        *ret_stale = true;
        *ret_hit = pv_keep_is_held(e, r, now);
        return e;
    }
    pv_entry_unref(e);
    return NULL;
}

static struct privy_query *asker_new(struct privy_resolver *r, const struct pv_query_view *v,
                                     privy_done *done, void *arg)
{
    struct privy_query *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->resolver = r;
    a->done = done;
    a->arg = arg;
    a->begun = pv_now(r->loop);
    pv_list_init(&a->link);
    view_of(&a->view, v);
    r->asking++;
    return a;
}

/* Join an equal question in flight, or start a new one. Takes stale. */
static bool fly(struct privy_query *a, const struct pv_key *key, const struct pv_ask *ask,
                const struct privy_exchange_options *o, struct pv_entry *stale)
{
    struct privy_resolver *r = a->resolver;
    struct pv_map_node *node =
        ask->opaque ? NULL : pv_map_find(&r->flying, key->hash, has_key, key);
    if (node) {
        pv_entry_unref(stale);
        a->joined = true;
        join(a, pv_container(node, struct pv_query, node), o->query);
        return true;
    }
    struct pv_query *q = pv_query_new(r, key, ask, o->protocol, o->query, stale);
    if (!q)
        return false;
    join(a, q, o->query);
    pv_query_begin(q);
    return true;
}

static bool anyone_speaks(const struct privy_resolver *r, const char *protocol)
{
    pv_list_each (it, &r->endpoints) {
        if (pv_proto_word_matches(protocol, pv_container(it, struct pv_endpoint, link)->upstream))
            return true;
    }
    return false;
}

static bool refresh_due(const struct privy_resolver *r, const struct pv_entry *e)
{
    uint64_t now = pv_age_now(r->loop);
    return !e->failure && e->ttl >= 60 && pv_entry_fresh(e, now) &&
           pv_entry_left(e, now) <= e->ttl / 10 && pv_cache_options(r->cache)->prefetch;
}

/* A hit that is soon due: one of those who see it fetches a new one, for nobody in
 * particular.
 */
static void refresh(struct privy_resolver *r, struct pv_entry *e, const struct pv_key *key,
                    const struct pv_query_view *v, const char *protocol)
{
    struct pv_ask what = ask_of(v, NULL, 0, &r->options.query);
    if (!refresh_due(r, e) || pv_map_find(&r->flying, key->hash, has_key, key) ||
        atomic_exchange(&e->refreshing, true))
        return;
    struct pv_entry *stale = pv_keep_grace(e, r) ? pv_entry_ref(e) : NULL;
    struct pv_query *q = pv_query_new(r, key, &what, protocol, &r->options.query, stale);
    if (!q) {
        atomic_store(&e->refreshing, false);
        return;
    }
    q->background = true;
    pv_query_begin(q);
}

static enum privy_status ask(struct privy_resolver *r, const void *wire, size_t length,
                             const struct privy_exchange_options *o, privy_done *done, void *arg,
                             struct privy_query **ret_query)
{
    struct pv_query_view v;
    struct pv_key key;
    bool is_stale = false, hit = false;
    pv_query_parse(&v, wire, length);
    if (v.fault != PV_FINE)
        return PRIVY_EFORMAT;
    if (o->protocol && !anyone_speaks(r, o->protocol))
        return PRIVY_EUNSUPPORTED;
    if (r->asking >= r->options.limits.inflight)
        return PRIVY_EBUSY;
    struct pv_ask what = ask_of(&v, wire, length, o->query);
    pv_key_make(&key, &v.question, key_flags(&v), pv_pool_hash(r->set, o->protocol));
    struct privy_query *a = asker_new(r, &v, done, arg);
    if (!a)
        return PRIVY_ENOMEM;
    struct pv_entry *e = what.opaque ? NULL : look(r, &key, &is_stale, &hit);
    if (hit) {
        refresh(r, e, &key, &v, o->protocol);
        hand(a, e, is_stale);
        pv_resolver_stir(r);
    } else if (!fly(a, &key, &what, o, e)) {
        asker_free(a);
        return PRIVY_ENOMEM;
    }
    if (ret_query)
        *ret_query = a;
    return PRIVY_OK;
}

enum privy_status privy_exchange(struct privy_resolver *r, const void *wire, size_t length,
                                 const struct privy_exchange_options *options, privy_done *done,
                                 void *arg, struct privy_query **ret_query)
{
    struct privy_exchange_options o = {.size = sizeof o};
    if (options)
        o = *options;
    if (o.protocol && strcmp(o.protocol, "any") == 0)
        o.protocol = NULL;
    if (!o.query)
        o.query = &r->options.query;
    return ask(r, wire, length, &o, done, arg, ret_query);
}

enum privy_status privy_query(struct privy_resolver *r, const char *name, uint16_t type,
                              const char *protocol, const struct privy_query_options *options,
                              privy_done *done, void *arg, struct privy_query **ret_query)
{
    uint8_t wire[PV_HEADER + PV_NAME_MAX + 4], owner[PV_NAME_MAX];
    size_t owner_length;
    struct privy_exchange_options o = {sizeof o, protocol, options};
    if (!name || !pv_name_from_text(name, strlen(name), owner, &owner_length))
        return PRIVY_EINVAL;
    struct pv_writer w = pv_writer(wire, sizeof wire);
    pv_header_write(&w, &(struct pv_header){.flags = PV_RD | PV_AD, .qdcount = 1});
    pv_write(&w, owner, owner_length);
    pv_write16(&w, type);
    pv_write16(&w, PV_C_IN);
    return privy_exchange(r, wire, pv_written(&w), &o, done, arg, ret_query);
}

/* ---- now or never ---- */

enum privy_status privy_try(struct privy_resolver *r, const void *wire, size_t length, void *reply,
                            size_t capacity, size_t *ret_written, struct privy_facts *ret_facts)
{
    struct pv_query_view v;
    struct pv_key key;
    struct pv_asker_view view;
    bool stale, hit;
    pv_query_parse(&v, wire, length);
    if (v.fault != PV_FINE)
        return PRIVY_EFORMAT;
    if (v.is_signed || !r->cache)
        return PRIVY_EMISS;
    pv_key_make(&key, &v.question, key_flags(&v), pv_pool_hash(r->set, NULL));
    struct pv_entry *e = look(r, &key, &stale, &hit);
    uint64_t now = pv_age_now(r->loop);
    size_t n = hit && !stale ? pv_entry_write(e, now, reply, capacity) : 0;
    pv_cache_count(r->cache, n ? PV_LOOKUP_HIT : PV_LOOKUP_MISS);
    if (n == 0) {
        pv_entry_unref(e);
        return PRIVY_EMISS;
    }
    view_of(&view, &v);
    pv_answer_fit(reply, n, &view);
    if (ret_facts)
        *ret_facts = (struct privy_facts){.cached = true, .failure = e->failure};
    if (e->failure)
        pv_resolver_stir(r);
    refresh(r, e, &key, &v, NULL);
    pv_entry_unref(e);
    *ret_written = n;
    return PRIVY_OK;
}
