/* Answers, kept: one store for all threads, protocols and resolvers. 2^k shards, one mutex each;
 * the lock covers find, LRU bump and reference. Entries are counted. Segmented
 * LRU, so that a flood of random names cannot flush what is asked often. Bounded in octets, each
 * entry counted with all it costs. */
#ifndef PV_CACHE_STORE_H
#define PV_CACHE_STORE_H

#include "cache/entry.h"

#include <privydns/privydns.h>

/* struct privy_cache is this noun (privy_cache_new, _flush, _ref, _unref, _stats stand here). */

/* A reference to the entry with this key, or NULL. Whether that is a hit the caller decides, and
 * says so with pv_cache_count(). */
struct pv_entry *pv_cache_get(struct privy_cache *, const struct pv_key *);
/* Store the entry (replacing one with its key); takes the caller's reference. A failure does not
 * replace an answer that may still be given, fresh or stale. */
void pv_cache_put(struct privy_cache *, struct pv_entry *);
enum pv_lookup { PV_LOOKUP_HIT, PV_LOOKUP_MISS, PV_LOOKUP_STALE };
void pv_cache_count(struct privy_cache *, enum pv_lookup);
const struct privy_cache_options *pv_cache_options(const struct privy_cache *);

#endif
