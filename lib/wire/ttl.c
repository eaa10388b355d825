#include "wire/ttl.h"

#include "base/map.h"
#include "wire/message.h"

#define LARGE 0x7fffffffu /* what a TTL with the high bit set means [RFC 8767 §4] */

void pv_ttl_age(uint8_t *message, const uint16_t *offsets, unsigned count, uint32_t age,
                uint32_t cap)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t ttl = pv_get32(message + offsets[i]);
        if (ttl > LARGE)
            ttl = LARGE;
        ttl = ttl > age ? ttl - age : 0;
        pv_put32(message + offsets[i], ttl < cap ? ttl : cap);
    }
}

void pv_ttl_set(uint8_t *message, const uint16_t *offsets, unsigned count, uint32_t ttl)
{
    for (unsigned i = 0; i < count; i++)
        pv_put32(message + offsets[i], ttl);
}

/* Above so many records no RRsets are told apart: all get the smallest TTL, as lowering is always
 * right and a stranger's message must not cost much. */
#define RECORDS_MAX 256

struct member {
    uint64_t set; /* hash of what makes an RRset */
    size_t offset;
    uint32_t ttl;
};

static uint64_t set_of(const uint8_t *message, struct pv_reader at, unsigned section,
                       const struct pv_rr *rr)
{
    uint8_t key[PV_NAME_MAX + 7];
    size_t n = pv_name_read(&at, message, key, NULL);
    struct pv_reader rdata = rr->rdata;
    uint16_t covered =
        rr->type == PV_T_RRSIG ? pv_u16(&rdata) : 0; /* they age with what they sign */
    pv_name_lower(key, n);
    pv_put16(key + n, rr->type);
    pv_put16(key + n + 2, rr->rrclass);
    pv_put16(key + n + 4, covered);
    key[n + 6] = (uint8_t)section;
    return pv_hash(key, n + 7);
}

static void level_all(uint8_t *message, struct pv_reader records, uint32_t count)
{
    uint32_t least = UINT32_MAX;
    struct pv_reader r = records;
    struct pv_rr rr;
    for (uint32_t i = 0; i < count && pv_rr_next(&r, message, &rr); i++)
        if (rr.type != PV_T_OPT && rr.type != PV_T_TSIG && rr.ttl < least)
            least = rr.ttl;
    for (uint32_t i = 0; i < count && pv_rr_next(&records, message, &rr); i++)
        if (rr.type != PV_T_OPT && rr.type != PV_T_TSIG)
            pv_put32(message + rr.ttl_offset, least);
}

static void level_sets(uint8_t *message, struct member *members, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            if (members[i].set == members[j].set) {
                uint32_t *a = &members[i].ttl, *b = &members[j].ttl;
                *a = *b = *a < *b ? *a : *b;
            }
    for (unsigned i = 0; i < count; i++)
        pv_put32(message + members[i].offset, members[i].ttl);
}

void pv_ttl_level(uint8_t *message, size_t length)
{
    struct pv_reader r = pv_reader(message, length);
    struct pv_header h = pv_header_read(&r);
    struct member members[RECORDS_MAX];
    const uint32_t counts[] = {h.ancount, h.nscount, h.arcount};
    unsigned n = 0;
    for (unsigned i = 0; i < h.qdcount; i++) {
        pv_name_skip(&r);
        pv_take(&r, 4);
    }
    if (counts[0] + counts[1] + counts[2] > RECORDS_MAX) {
        level_all(message, r, counts[0] + counts[1] + counts[2]);
        return;
    }
    for (unsigned section = 0; section < 3; section++)
        for (uint32_t i = 0; i < counts[section]; i++) {
            struct pv_reader owner = r;
            struct pv_rr rr;
            if (!pv_rr_next(&r, message, &rr))
                return;
            if (rr.type == PV_T_OPT || rr.type == PV_T_TSIG)
                continue;
            members[n++] = (struct member){.set = set_of(message, owner, section, &rr),
                                           .offset = rr.ttl_offset,
                                           .ttl = rr.ttl};
        }
    level_sets(message, members, n);
}
