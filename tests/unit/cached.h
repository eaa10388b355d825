/* Cache entries out of nothing: the answer to number N is one TXT record, its octets all N's. */
#ifndef CACHED_H
#define CACHED_H

#include "base/status.h"
#include "cache/store.h"

#define CACHED_MAX 65535

static inline void cached_key(struct pv_key *key, unsigned number, uint64_t pool)
{
    struct pv_question q = {.type = PV_T_TXT, .rrclass = PV_C_IN, .name = {8}};

    snprintf((char *)q.name + 1, 9, "q%07u", number % 10000000);
    memcpy(q.name + 9, "\7example", 9);
    q.name_length = 18;
    pv_key_make(key, &q, 0, pool);
}

static inline uint8_t cached_octet(unsigned number)
{
    return (uint8_t)(number * 31 + 7);
}

/* rdata octets of RDATA. */
static inline struct pv_entry *cached_entry(const struct pv_key *key, unsigned number,
                                            uint16_t rdata, uint32_t ttl, uint64_t now)
{
    static _Thread_local uint8_t message[CACHED_MAX];
    const struct pv_header header = {
        .id = 7, .flags = PV_QR | PV_RD | PV_RA, .qdcount = 1, .ancount = 1};
    struct pv_question q = {
        .type = key->type, .rrclass = key->rrclass, .name_length = key->name_length};
    struct pv_writer w = pv_writer(message, sizeof message);
    struct pv_reply reply;
    const char *why;

    memcpy(q.name, key->name, key->name_length);
    pv_header_write(&w, &header);
    pv_write(&w, key->name, key->name_length);
    pv_write16(&w, key->type);
    pv_write16(&w, key->rrclass);
    pv_write16(&w, 0xC00C);
    pv_write16(&w, key->type);
    pv_write16(&w, key->rrclass);
    pv_write32(&w, ttl);
    pv_write16(&w, rdata);
    uint8_t *p = pv_room(&w, rdata);
    if (!p || PV_BUG_IF(w.full))
        return NULL;
    memset(p, cached_octet(number), rdata);
    if (PV_BUG_IF(!pv_reply_check(message, pv_written(&w), &q, 7, &reply, &why)))
        return NULL;
    return pv_entry_new(key, message, &reply, ttl, now);
}

/* Is it what cached_entry() made of this number? */
static inline bool cached_is(const struct pv_entry *e, unsigned number, uint16_t rdata)
{
    const uint8_t *message = pv_entry_message(e);

    if (e->failure || e->length < rdata || pv_get16(message + e->length - rdata - 2) != rdata)
        return false;
    const uint8_t *octets = message + e->length - rdata;
    return rdata == 0 || (octets[0] == cached_octet(number) &&
                          memcmp(octets, octets + 1, (size_t)rdata - 1) == 0);
}

/* By how much the entry raises the cache's count of octets. */
static inline size_t cached_cost(const struct pv_entry *e)
{
    return e->size + 2 * sizeof(void *);
}

static inline struct privy_cache *cached_new(uint32_t size)
{
    struct privy_cache_options options = {
        .size_of = sizeof options, .size = size, .stale = 86400000};
    return privy_cache_new(&options);
}

#endif
