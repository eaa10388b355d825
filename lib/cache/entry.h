/* One cached answer: a whole message in one allocation with the offsets of its TTLs. Once stored,
 * what it says never changes; beside it are refs, two notes of resolver/ (refreshing, held), and
 * what the shard's lock guards (node, lru, segment). */
#ifndef PV_CACHE_ENTRY_H
#define PV_CACHE_ENTRY_H

#include "base/list.h"
#include "base/map.h"
#include "wire/reply.h"

#include <stdatomic.h>

/* What an answer is kept under: question, DO, CD, pool, and the protocol where one was asked
 * for. Fill with pv_key_make() only. */
struct pv_key {
    uint64_t hash;
    uint64_t pool; /* hash of the pool's name and, where asked for, the protocol's word */
    uint16_t type, rrclass;
    uint8_t flags; /* 1 DO, 2 CD */
    uint8_t name_length;
    uint8_t name[PV_NAME_MAX]; /* lower case; only name_length octets count */
};
enum { PV_KEY_DO = 1, PV_KEY_CD = 2 };
bool pv_key_equal(const struct pv_key *, const struct pv_key *);
void pv_key_make(struct pv_key *, const struct pv_question *, uint8_t flags, uint64_t pool);

struct pv_entry {
    struct pv_map_node node;
    struct pv_list lru;
    _Atomic unsigned refs;
    _Atomic bool refreshing; /* somebody fetches a new one (prefetch, stale): at most one does */
    _Atomic uint64_t held;   /* s: a refresh failed then; stale until 30 s later without another */
    uint8_t segment;         /* of the LRU: probation or protected; the shard's lock */
    bool failure;            /* SERVFAIL to be repeated; message: header and question */
    uint8_t failures;        /* in a row, for doubling */
    uint64_t stored;         /* s, CLOCK_BOOTTIME */
    uint32_t ttl;            /* s: fresh while now - stored < ttl */
    uint64_t pool;
    uint16_t type, rrclass;
    uint8_t key_flags, name_length;
    uint16_t ttl_count;
    uint16_t length; /* of the message */
    size_t size;     /* of the allocation, as counted */
    /* uint16_t ttl_offsets[ttl_count] and the message follow; the name is the message's */
    unsigned char data[];
};

/* From a checked reply (see pv_reply_strip). ttl: seconds, already capped; 0: only for those who
 * ask now, never to be stored: its TTLs stay as received. now: CLOCK_BOOTTIME, s. The message is
 * kept with id 0 and the question in lower case. NULL: no memory, or larger than an entry may be
 * (64 KiB and a little). */
struct pv_entry *pv_entry_new(const struct pv_key *, const uint8_t *message,
                              const struct pv_reply *, uint32_t ttl, uint64_t now);
/* One just made has lain elsewhere for so long, s: its TTLs are that much lower. */
void pv_entry_grow_old(struct pv_entry *, uint32_t age);
/* A failure: SERVFAIL to this question. */
struct pv_entry *pv_entry_new_failure(const struct pv_key *, uint32_t ttl, uint64_t now);
struct pv_entry *pv_entry_ref(struct pv_entry *);
void pv_entry_unref(struct pv_entry *);
bool pv_entry_has_key(const struct pv_entry *, const struct pv_key *);
const uint8_t *pv_entry_name(const struct pv_entry *);
const uint8_t *pv_entry_message(const struct pv_entry *);

bool pv_entry_fresh(const struct pv_entry *, uint64_t now);
/* Seconds of life left; 0 when expired. */
uint32_t pv_entry_left(const struct pv_entry *, uint64_t now);
/* Seconds for which it may be given after its time, of these: none where it is a failure, or where
 * the asker wanted the data unchecked (CD): what is wrong with that ends with its TTL. */
uint32_t pv_entry_grace(const struct pv_entry *, uint32_t stale);
/* Write the message as it is now: id 0, TTLs less the age (stale: 30, AD cleared). Returns
 * its length, 0 when capacity is too small. */
size_t pv_entry_write(const struct pv_entry *, uint64_t now, uint8_t *out, size_t capacity);

#endif
