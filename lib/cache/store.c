/* A shard is a small cache of its own: a table, two lists, one lock. New entries start in
 * probation; what is asked for again is protected. Random names, asked once, push out only each
 * other. */
#include "cache/store.h"

#include "base/status.h"

#include <pthread.h>

#define CACHE_LINE  64
#define SHARD_MIN   ((size_t)256 * 1024) /* octets: less would hold too few large answers */
#define SHARDS_MAX  16
#define STRIPES     8
#define BUCKETS     64 /* of an empty shard */
#define TAIL_LOOKED 4  /* at the end of each list, for an expired one */
/* The table grows at load 1 by doubling: two buckets an entry at most. */
#define ENTRY_SHARE (2 * sizeof(struct pv_map_node *))

enum { PROBATION, PROTECTED, SEGMENTS };

struct shard {
    pthread_mutex_t lock;
    struct pv_map map;
    struct pv_list lists[SEGMENTS]; /* newest first */
    size_t bytes[SEGMENTS], limit;
    uint64_t evictions;
    bool has_lock;
} __attribute__((aligned(CACHE_LINE)));

/* Counters are spread, so that threads do not fight for one cache line on every hit. */
struct stripe {
    _Atomic uint64_t lookups[PV_LOOKUP_STALE + 1];
} __attribute__((aligned(CACHE_LINE)));

struct privy_cache {
    struct stripe stripes[STRIPES];
    _Atomic unsigned refs;
    struct privy_cache_options options;
    size_t shard_count; /* a power of two */
    struct shard shards[];
};

/* ---- one shard; all but shard_init() and shard_done() with its lock held ---- */

static bool shard_init(struct shard *s, size_t limit)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        pv_list_init(&s->lists[i]);
    s->limit = limit;
    s->has_lock = pthread_mutex_init(&s->lock, NULL) == 0;
    return s->has_lock && pv_map_init(&s->map, BUCKETS);
}

static bool node_has_key(const struct pv_map_node *node, const void *key)
{
    return pv_entry_has_key(pv_container(node, const struct pv_entry, node), key);
}

static struct pv_entry *shard_find(const struct shard *s, const struct pv_key *key)
{
    struct pv_map_node *node = pv_map_find(&s->map, key->hash, node_has_key, key);

    return node ? pv_container(node, struct pv_entry, node) : NULL;
}

static size_t cost(const struct pv_entry *e)
{
    return e->size + ENTRY_SHARE;
}

static void shard_list(struct shard *s, struct pv_entry *e, unsigned segment)
{
    e->segment = (uint8_t)segment;
    pv_list_prepend(&s->lists[segment], &e->lru);
    s->bytes[segment] += cost(e);
}

static void shard_unlist(struct shard *s, struct pv_entry *e)
{
    pv_list_remove(&e->lru);
    s->bytes[e->segment] -= cost(e);
}

/* Take it out; its reference goes to victims, to be dropped without the lock. */
static void shard_remove(struct shard *s, struct pv_entry *e, struct pv_list *victims)
{
    pv_map_remove(&s->map, &e->node);
    shard_unlist(s, e);
    pv_list_append(victims, &e->lru);
}

static struct pv_entry *segment_oldest(const struct shard *s, unsigned segment)
{
    const struct pv_list *head = &s->lists[segment];

    return pv_list_empty(head) ? NULL : pv_container(head->prev, struct pv_entry, lru);
}

/* At most four fifths are protected: the longest unasked go back on probation. */
static void shard_demote(struct shard *s)
{
    struct pv_entry *e;

    while (s->bytes[PROTECTED] > s->limit / 5 * 4 && (e = segment_oldest(s, PROTECTED))) {
        shard_unlist(s, e);
        shard_list(s, e, PROBATION);
    }
}

static void shard_touch(struct shard *s, struct pv_entry *e)
{
    if (e->segment == PROTECTED && s->lists[PROTECTED].next == &e->lru)
        return;
    shard_unlist(s, e);
    shard_list(s, e, PROTECTED);
    shard_demote(s);
}

static struct pv_entry *segment_expired(const struct shard *s, unsigned segment, uint64_t now)
{
    const struct pv_list *head = &s->lists[segment], *at = head->prev;

    for (unsigned i = 0; i < TAIL_LOOKED && at != head; i++, at = at->prev) {
        const struct pv_entry *e = pv_container(at, const struct pv_entry, lru);
        if (!pv_entry_fresh(e, now))
            return pv_container(at, struct pv_entry, lru);
    }
    return NULL;
}

static struct pv_entry *shard_victim(const struct shard *s, uint64_t now)
{
    struct pv_entry *e = segment_expired(s, PROBATION, now);

    if (!e)
        e = segment_expired(s, PROTECTED, now);
    if (!e)
        e = segment_oldest(s, PROBATION);
    return e ? e : segment_oldest(s, PROTECTED);
}

static void shard_shrink(struct shard *s, uint64_t now, struct pv_list *victims)
{
    struct pv_entry *e;

    while (s->bytes[PROBATION] + s->bytes[PROTECTED] > s->limit && (e = shard_victim(s, now))) {
        shard_remove(s, e, victims);
        s->evictions++;
    }
}

static void victims_free(struct pv_list *victims)
{
    pv_list_each_safe (at, victims) {
        pv_list_remove(at);
        pv_entry_unref(pv_container(at, struct pv_entry, lru));
    }
}

static void shard_flush(struct shard *s)
{
    struct pv_list victims;

    pv_list_init(&victims);
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < SEGMENTS; i++)
        pv_list_each_safe (at, &s->lists[i])
            shard_remove(s, pv_container(at, struct pv_entry, lru), &victims);
    pthread_mutex_unlock(&s->lock);
    victims_free(&victims);
}

static void shard_done(struct shard *s)
{
    if (!s->has_lock)
        return;
    shard_flush(s);
    pv_map_done(&s->map);
    pthread_mutex_destroy(&s->lock);
}

/* ---- the cache ---- */

static void options_copy(struct privy_cache_options *to, const struct privy_cache_options *from)
{
#define DEFAULT(name, unit, least, most, def, meaning) .name = def,
    *to = (struct privy_cache_options){PRIVY_CACHE_OPTIONS(DEFAULT)};
#undef DEFAULT
    /* A program compiled with an older header has fewer options: the others keep their defaults. */
    if (from)
        memcpy(to, from, from->size_of < sizeof *to ? from->size_of : sizeof *to);
    to->size_of = sizeof *to;
}

static size_t shards_for(size_t size)
{
    size_t n = 1;

    while (n < SHARDS_MAX && size / (n * 2) >= SHARD_MIN)
        n *= 2;
    return n;
}

static void cache_free(struct privy_cache *c)
{
    for (size_t i = 0; i < c->shard_count; i++)
        shard_done(&c->shards[i]);
    free(c);
}

struct privy_cache *privy_cache_new(const struct privy_cache_options *given)
{
    struct privy_cache_options options;
    bool ok = true;

    options_copy(&options, given);
    size_t n = shards_for(options.size);
    size_t size = sizeof(struct privy_cache) + n * sizeof(struct shard);
    struct privy_cache *c = aligned_alloc(CACHE_LINE, size);
    if (!c)
        return NULL;
    memset(c, 0, size);
    atomic_init(&c->refs, 1);
    c->options = options;
    c->shard_count = n;
    for (size_t i = 0; i < n; i++)
        ok = shard_init(&c->shards[i], options.size / n) && ok;
    if (ok)
        return c;
    cache_free(c);
    return NULL;
}

struct privy_cache *privy_cache_ref(struct privy_cache *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void privy_cache_unref(struct privy_cache *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        cache_free(c);
}

void privy_cache_flush(struct privy_cache *c)
{
    for (size_t i = 0; i < c->shard_count; i++)
        shard_flush(&c->shards[i]);
}

const struct privy_cache_options *pv_cache_options(const struct privy_cache *c)
{
    return &c->options;
}

/* The table inside a shard uses the lower bits. */
static struct shard *shard_of(struct privy_cache *c, uint64_t hash)
{
    return &c->shards[(hash >> 56) & (c->shard_count - 1)];
}

struct pv_entry *pv_cache_get(struct privy_cache *c, const struct pv_key *key)
{
    struct shard *s = shard_of(c, key->hash);

    pthread_mutex_lock(&s->lock);
    struct pv_entry *e = pv_entry_ref(shard_find(s, key));
    if (e)
        shard_touch(s, e);
    pthread_mutex_unlock(&s->lock);
    return e;
}

static void key_of(const struct pv_entry *e, struct pv_key *key)
{
    key->hash = e->node.hash;
    key->pool = e->pool;
    key->type = e->type;
    key->rrclass = e->rrclass;
    key->flags = e->key_flags;
    key->name_length = e->name_length;
    memcpy(key->name, pv_entry_name(e), e->name_length);
}

/* A failure must not take the place of an answer that may still be given, fresh or stale. */
static bool may_replace(const struct privy_cache *c, const struct pv_entry *old,
                        const struct pv_entry *e)
{
    return !e->failure || old->failure ||
           e->stored >= old->stored + old->ttl + pv_entry_grace(old, c->options.stale / 1000);
}

void pv_cache_put(struct privy_cache *c, struct pv_entry *e)
{
    struct shard *s = shard_of(c, e->node.hash);
    /* One answer may not sweep out half a shard. */
    bool fits = cost(e) <= s->limit / 2;
    unsigned segment = PROBATION;
    struct pv_list victims;
    struct pv_key key;

    key_of(e, &key);
    pv_list_init(&victims);
    pthread_mutex_lock(&s->lock);
    struct pv_entry *old = shard_find(s, &key);
    bool store = !old || may_replace(c, old, e);
    if (old && store) {
        segment = old->segment;
        shard_remove(s, old, &victims);
    }
    store = store && fits;
    if (store) {
        pv_map_insert(&s->map, &e->node);
        shard_list(s, e, segment);
        shard_demote(s);
        shard_shrink(s, e->stored, &victims);
    }
    pthread_mutex_unlock(&s->lock);
    victims_free(&victims);
    if (!store)
        pv_entry_unref(e);
}

static struct stripe *stripe_of_thread(struct privy_cache *c)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned number; /* 0: none yet */

    if (!number)
        number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % STRIPES + 1;
    return &c->stripes[number - 1];
}

void pv_cache_count(struct privy_cache *c, enum pv_lookup what)
{
    atomic_fetch_add_explicit(&stripe_of_thread(c)->lookups[what], 1, memory_order_relaxed);
}

static uint64_t counted(const struct privy_cache *c, enum pv_lookup what)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < STRIPES; i++)
        sum += atomic_load_explicit(&c->stripes[i].lookups[what], memory_order_relaxed);
    return sum;
}

void privy_cache_stats(struct privy_cache *c, struct privy_cache_stats *ret)
{
    struct privy_cache_stats stats = {.size = ret->size,
                                      .hits = counted(c, PV_LOOKUP_HIT),
                                      .misses = counted(c, PV_LOOKUP_MISS),
                                      .stale = counted(c, PV_LOOKUP_STALE)};

    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        stats.evictions += s->evictions;
        stats.entries += s->map.count;
        stats.bytes += s->bytes[PROBATION] + s->bytes[PROTECTED];
        pthread_mutex_unlock(&s->lock);
    }
    memcpy(ret, &stats, ret->size < sizeof stats ? ret->size : sizeof stats);
}
