/* One allocation an entry, made whole before anybody else sees it: level TTLs, lower-case question,
 * id 0, so that serving it is a copy and a subtraction. */
#include "cache/entry.h"

#include "base/status.h"
#include "wire/ttl.h"

#include <stddef.h>

/* The largest message holds at most so many records of 11 octets: an offset for each. */
#define RECORDS_MOST ((65535 - 12) / 11)
#define ENTRY_MAX    (sizeof(struct pv_entry) + 65535 + RECORDS_MOST * sizeof(uint16_t))
/* No record is shown with a longer life. */
#define TTL_CAP   86400
#define TTL_STALE 30

void pv_key_make(struct pv_key *key, const struct pv_question *q, uint8_t flags, uint64_t pool)
{
    /* What is hashed lies in one piece, without padding. */
    _Static_assert(offsetof(struct pv_key, name) - offsetof(struct pv_key, pool) == 14,
                   "members of struct pv_key from pool to name must have no gap");
    key->pool = pool;
    key->type = q->type;
    key->rrclass = q->rrclass;
    key->flags = flags;
    key->name_length = q->name_length;
    memcpy(key->name, q->name, q->name_length);
    key->hash = pv_hash(&key->pool, 14 + (size_t)key->name_length);
}

bool pv_key_equal(const struct pv_key *a, const struct pv_key *b)
{
    return a->hash == b->hash && a->pool == b->pool && a->type == b->type &&
           a->rrclass == b->rrclass && a->flags == b->flags && a->name_length == b->name_length &&
           memcmp(a->name, b->name, b->name_length) == 0;
}

/* What malloc really takes: a header of its own, in steps of two pointers. */
static size_t allocated(size_t n)
{
    size_t step = 2 * sizeof(void *);

    return (n + sizeof(size_t) + step - 1) / step * step;
}

static struct pv_entry *entry_alloc(const struct pv_key *key, unsigned ttl_count, size_t length,
                                    uint32_t ttl, uint64_t now)
{
    size_t need = sizeof(struct pv_entry) + ttl_count * sizeof(uint16_t) + length;
    struct pv_entry *e = need <= ENTRY_MAX ? malloc(need) : NULL;

    if (!e)
        return NULL;
    *e = (struct pv_entry){
        .node.hash = key->hash,
        .stored = now,
        .ttl = ttl,
        .pool = key->pool,
        .type = key->type,
        .rrclass = key->rrclass,
        .key_flags = key->flags,
        .name_length = key->name_length,
        .ttl_count = (uint16_t)ttl_count,
        .length = (uint16_t)length,
        .size = allocated(need),
    };
    atomic_init(&e->refs, 1);
    pv_list_init(&e->lru);
    return e;
}

static uint16_t *entry_offsets(struct pv_entry *e)
{
    return (uint16_t *)(void *)e->data;
}

static uint8_t *entry_bytes(struct pv_entry *e)
{
    return e->data + e->ttl_count * sizeof(uint16_t);
}

/* No more than header and question. */
static struct pv_entry *entry_bare(const struct pv_key *key, uint16_t flags, uint32_t ttl,
                                   uint64_t now)
{
    const struct pv_header header = {.flags = flags, .qdcount = 1};
    size_t length = PV_HEADER + (size_t)key->name_length + 4;
    struct pv_entry *e = entry_alloc(key, 0, length, ttl, now);

    if (!e)
        return NULL;
    struct pv_writer w = pv_writer(entry_bytes(e), length);
    pv_header_write(&w, &header);
    pv_write(&w, key->name, key->name_length);
    pv_write16(&w, key->type);
    pv_write16(&w, key->rrclass);
    return e;
}

struct pv_entry *pv_entry_new(const struct pv_key *key, const uint8_t *message,
                              const struct pv_reply *reply, uint32_t ttl, uint64_t now)
{
    /* Errors may come without the question; then nothing else of them counts. */
    if (pv_get16(message + 4) == 0)
        return entry_bare(key, pv_get16(message + 2), ttl, now);
    /* Only after stripping is it known how much is kept: into a scratch copy first. */
    size_t offsets_size = reply->ttl_count * sizeof(uint16_t);
    uint16_t *offsets = malloc(offsets_size + reply->length);
    uint8_t *scratch = (uint8_t *)offsets + offsets_size;
    struct pv_entry *e = NULL;
    unsigned kept = 0;

    if (!offsets)
        return NULL;
    size_t length = pv_reply_strip(message, reply, scratch, offsets, &kept);
    if (!PV_BUG_IF(length < PV_HEADER + (size_t)key->name_length + 4 || kept > reply->ttl_count))
        e = entry_alloc(key, kept, length, ttl, now);
    if (e) {
        memcpy(entry_offsets(e), offsets, kept * sizeof(uint16_t));
        memcpy(entry_bytes(e), scratch, length);
        pv_put16(entry_bytes(e), 0);
        memcpy(entry_bytes(e) + PV_HEADER, key->name, key->name_length);
        pv_ttl_level(entry_bytes(e), length);
        /* Where our cap made the life shorter than the records', they are cut to it too. */
        bool cut = ttl > 0 && (ttl < reply->ttl || ttl > TTL_CAP);
        pv_ttl_age(entry_bytes(e), entry_offsets(e), kept, 0, cut ? ttl : TTL_CAP);
    }
    free(offsets);
    return e;
}

void pv_entry_grow_old(struct pv_entry *e, uint32_t age)
{
    pv_ttl_age(entry_bytes(e), entry_offsets(e), e->ttl_count, age, UINT32_MAX);
    e->ttl = e->ttl > age ? e->ttl - age : 0;
}

struct pv_entry *pv_entry_new_failure(const struct pv_key *key, uint32_t ttl, uint64_t now)
{
    struct pv_entry *e = entry_bare(key, PV_QR | PV_RD | PV_RA | PV_SERVFAIL, ttl, now);

    if (e)
        e->failure = true;
    return e;
}

struct pv_entry *pv_entry_ref(struct pv_entry *e)
{
    if (e)
        atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void pv_entry_unref(struct pv_entry *e)
{
    if (e && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        free(e);
}

const uint8_t *pv_entry_message(const struct pv_entry *e)
{
    return e->data + e->ttl_count * sizeof(uint16_t);
}

/* The question stands uncompressed behind the header. */
const uint8_t *pv_entry_name(const struct pv_entry *e)
{
    return pv_entry_message(e) + PV_HEADER;
}

bool pv_entry_has_key(const struct pv_entry *e, const struct pv_key *key)
{
    return e->pool == key->pool && e->type == key->type && e->rrclass == key->rrclass &&
           e->key_flags == key->flags && e->name_length == key->name_length &&
           memcmp(pv_entry_name(e), key->name, key->name_length) == 0;
}

static uint64_t entry_age(const struct pv_entry *e, uint64_t now)
{
    return now > e->stored ? now - e->stored : 0;
}

bool pv_entry_fresh(const struct pv_entry *e, uint64_t now)
{
    return entry_age(e, now) < e->ttl;
}

uint32_t pv_entry_left(const struct pv_entry *e, uint64_t now)
{
    return pv_entry_fresh(e, now) ? e->ttl - (uint32_t)entry_age(e, now) : 0;
}

uint32_t pv_entry_grace(const struct pv_entry *e, uint32_t stale)
{
    return e->failure || e->key_flags & PV_KEY_CD ? 0 : stale;
}

size_t pv_entry_write(const struct pv_entry *e, uint64_t now, uint8_t *out, size_t capacity)
{
    const uint16_t *offsets = (const uint16_t *)(const void *)e->data;

    if (capacity < e->length)
        return 0;
    memcpy(out, pv_entry_message(e), e->length);
    if (pv_entry_fresh(e, now) || e->ttl == 0) {
        pv_ttl_age(out, offsets, e->ttl_count, (uint32_t)entry_age(e, now), UINT32_MAX);
    } else {
        pv_ttl_set(out, offsets, e->ttl_count, TTL_STALE);
        out[3] = (uint8_t)(out[3] & ~PV_AD);
    }
    return e->length;
}
