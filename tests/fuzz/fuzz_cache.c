/* Operations on a small cache, beside a model that forgets nothing: what is got is what was put
 * last, as old as it is; an error never took the place of an answer that could still be given; and
 * entries and octets counted are those of what can be got. Four octets are one operation. */
#include "../unit/cached.h"

enum { KEYS = 48, SIZE = 16 * 1024, TTL = 300, STALE = 600, OPERATIONS = 150 };

/* What was put last under a key. */
static struct {
    bool answer, failure; /* both: the failure came later */
    uint16_t rdata;
    uint64_t stored;
} model[KEYS];

static bool last_was_failure; /* what get() found */

static struct pv_key *key_of(unsigned n)
{
    static struct pv_key key;
    cached_key(&key, n, n % 2);
    return &key;
}

static void put(struct privy_cache *c, unsigned n, uint16_t rdata, uint64_t now)
{
    struct pv_entry *e = cached_entry(key_of(n), n, rdata, TTL, now);
    model[n].answer =
        cached_cost(e) <= SIZE / 2; /* else it takes the old one's place with nothing */
    model[n].failure = false;
    model[n].rdata = rdata;
    model[n].stored = now;
    pv_cache_put(c, e);
}

/* What a client would get of it now. */
static void reads_right(const struct pv_entry *e, unsigned n, uint64_t now)
{
    static uint8_t out[65535];
    size_t length = pv_entry_write(e, now, out, sizeof out);
    uint64_t age = now - model[n].stored;
    uint32_t ttl = age < TTL ? TTL - (uint32_t)age : 30;
    PV_BUG_IF(length != e->length || pv_entry_write(e, now, out, length - 1) != 0);
    PV_BUG_IF(!cached_is(e, n, model[n].rdata) || pv_entry_fresh(e, now) != (age < TTL));
    PV_BUG_IF(pv_entry_left(e, now) != (age < TTL ? ttl : 0));
    PV_BUG_IF(pv_get32(out + length - model[n].rdata - 6) != ttl);
}

/* Returns what it costs; 0: it is not there. */
static size_t get(struct privy_cache *c, unsigned n, uint64_t now)
{
    struct pv_entry *e = pv_cache_get(c, key_of(n));
    size_t cost = e ? cached_cost(e) : 0;
    last_was_failure = e && e->failure;
    PV_BUG_IF(e && e->failure ? !model[n].failure : e && !model[n].answer);
    if (e && !e->failure)
        reads_right(e, n, now);
    pv_entry_unref(e);
    return cost;
}

static void fail(struct privy_cache *c, unsigned n, uint64_t now)
{
    bool alive = model[n].answer && now < model[n].stored + TTL + STALE;
    bool there = n % 2 && alive && get(c, n, now) > 0; /* to ask makes it younger: not for all */
    there = there && !last_was_failure;
    model[n].answer = alive;
    model[n].failure = true;
    pv_cache_put(c, pv_entry_new_failure(key_of(n), 5, now));
    get(c, n, now);
    PV_BUG_IF(there && last_was_failure);
}

static void step(struct privy_cache *c, uint8_t op, uint8_t n, uint8_t size, uint64_t now)
{
    n %= KEYS;
    if (op < 100)
        put(c, n, (uint16_t)(op < 94 ? size * 4 : size * 64), now);
    else if (op < 220)
        get(c, n, now);
    else if (op < 252)
        fail(c, n, now);
    else
        privy_cache_flush(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct privy_cache_options options = {
        .size_of = sizeof options, .size = SIZE, .stale = STALE * 1000};
    struct privy_cache *c = privy_cache_new(&options);
    struct privy_cache_stats stats = {.size = sizeof stats};
    uint64_t now = 0, bytes = 0, entries = 0;

    memset(model, 0, sizeof model);
    for (size_t i = 0; i + 4 <= size && i < 4 * OPERATIONS; i += 4) {
        now += data[i + 3] < 200 ? data[i + 3] % 4 : data[i + 3];
        step(c, data[i], data[i + 1], data[i + 2], now);
    }
    for (unsigned n = 0; n < KEYS; n++) {
        size_t cost = get(c, n, now);
        bytes += cost;
        entries += cost > 0;
    }
    privy_cache_stats(c, &stats);
    PV_BUG_IF(stats.bytes != bytes || stats.bytes > SIZE || stats.entries != entries);
    privy_cache_unref(c);
    return 0;
}
