/* Operations on a small cache, beside a model: what is got is what was put last, and the octets
 * counted are those of what can be got. */
#include "../unit/cached.h"

enum { KEYS = 64 };

static uint16_t model[KEYS]; /* octets of RDATA put last; what is got may not differ */
static bool failed[KEYS];

static void put(struct privy_cache *c, unsigned n, uint16_t rdata, uint64_t now)
{
    struct pv_key key;

    cached_key(&key, n, n % 2);
    model[n] = rdata;
    pv_cache_put(c, cached_entry(&key, n, rdata, 300, now));
}

/* It does not replace an answer: get, to know. */
static void fail(struct privy_cache *c, unsigned n, uint64_t now)
{
    struct pv_key key;

    cached_key(&key, n, n % 2);
    pv_cache_put(c, pv_entry_new_failure(&key, 5, now));
    struct pv_entry *e = pv_cache_get(c, &key);
    failed[n] = e && e->failure;
    pv_entry_unref(e);
}

static size_t get(struct privy_cache *c, unsigned n)
{
    struct pv_key key;

    cached_key(&key, n, n % 2);
    struct pv_entry *e = pv_cache_get(c, &key);
    size_t cost = e ? cached_cost(e) : 0;
    if (e && !(e->failure ? failed[n] : cached_is(e, n, model[n])))
        abort();
    pv_entry_unref(e);
    return cost;
}

static void step(struct privy_cache *c, uint8_t op, uint8_t n, uint8_t size, uint64_t now)
{
    if (op < 100)
        put(c, n % KEYS, (uint16_t)(op < 90 ? size * 8 : size * 256), now);
    else if (op < 220)
        get(c, n % KEYS);
    else if (op < 250)
        fail(c, n % KEYS, now);
    else
        privy_cache_flush(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct privy_cache *c = cached_new(16 * 1024);
    struct privy_cache_stats stats = {.size = sizeof stats};
    uint64_t now = 0, sum = 0;

    for (size_t i = 0; c && i + 4 <= size; i += 4) {
        now += data[i + 3];
        step(c, data[i], data[i + 1], data[i + 2], now);
    }
    for (unsigned n = 0; c && n < KEYS; n++)
        sum += get(c, n);
    if (c)
        privy_cache_stats(c, &stats);
    if (stats.bytes != sum || stats.bytes > 16 * 1024)
        abort();
    privy_cache_unref(c);
    return 0;
}
