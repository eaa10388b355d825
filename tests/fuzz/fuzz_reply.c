/* A reply that was checked stays the same reply: without its OPT, with its TTLs levelled, and aged;
 * and what a cache keeps of it has no octet that is not the reply's, but for the id and TTLs. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cache/entry.h"
#include "wire/ttl.h"

/* The question of the message itself, or else a fixed one. */
static struct pv_question question_of(const uint8_t *data, size_t size)
{
    struct pv_question q = {
        .name = "\3www\7example\3com", .name_length = 17, .type = 1, .rrclass = 1};
    struct pv_reader r = pv_reader(data, size);
    uint8_t name[PV_NAME_MAX];
    pv_take(&r, PV_HEADER);
    size_t n = pv_name_read_plain(&r, name);
    uint16_t type = pv_u16(&r), rrclass = pv_u16(&r);
    if (r.bad)
        return q;
    memcpy(q.name, name, n);
    q.name_length = (uint8_t)n;
    q.type = type;
    q.rrclass = rrclass;
    return q;
}

/* Does the name at `at` read an octet that is marked? */
static bool touches(const uint8_t *data, size_t at, const bool *marked)
{
    for (;;) {
        uint8_t n = data[at];
        size_t octets = n >= 0xc0 ? 2 : n + 1u;
        for (size_t i = 0; i < octets; i++)
            if (marked[at + i])
                return true;
        if (n == 0)
            return false;
        at = n >= 0xc0 ? pv_get16(data + at) & 0x3fff : at + octets;
    }
}

static bool names_touch(const uint8_t *data, const struct pv_rr *rr, const bool *marked)
{
    struct pv_reader r = rr->rdata;
    if (touches(data, rr->offset, marked))
        return true;
    switch (rr->type) {
    case PV_T_SOA:
        pv_name_skip(&r);
        if (touches(data, (size_t)(r.at - data), marked))
            return true;
        r = rr->rdata;
        break;
    case PV_T_MX:
        pv_take(&r, 2);
        break;
    case PV_T_SRV:
        pv_take(&r, 6);
        break;
    case PV_T_NS:
    case PV_T_CNAME:
    case PV_T_PTR:
    case PV_T_DNAME:
        break;
    default:
        return false;
    }
    return touches(data, (size_t)(r.at - data), marked);
}

/* Is no name made of what changes or moves: fixed fields (a TTL), the OPT, trailing octets? */
static bool is_honest(const uint8_t *data, size_t size, const struct pv_reply *reply)
{
    bool *marked = calloc(size, sizeof *marked), good = true;
    struct pv_reader r = pv_reader(data, reply->length), records;
    struct pv_rr rr;
    memset(marked + reply->opt_offset, true, reply->opt_length);
    memset(marked + reply->length, true, reply->trailing);
    if (pv_header_read(&r).qdcount) {
        pv_name_skip(&r);
        pv_take(&r, 4);
    }
    records = r;
    while (pv_left(&r) && pv_rr_next(&r, data, &rr))
        memset(marked + rr.ttl_offset - 4, true, 10);
    while (pv_left(&records) && pv_rr_next(&records, data, &rr))
        good &= rr.type == PV_T_OPT || !names_touch(data, &rr, marked);
    free(marked);
    return good;
}

static void stays(const uint8_t *message, size_t length, const struct pv_question *q,
                  const struct pv_reply *before, bool all_kept)
{
    struct pv_reply after;
    const char *why;
    PV_BUG_IF(!pv_reply_check(message, length, q, -1, &after, &why));
    PV_BUG_IF(after.opt_length || after.trailing || after.has_soa != before->has_soa);
    PV_BUG_IF(after.kind != before->kind || after.lame != before->lame);
    PV_BUG_IF(after.ttl < before->ttl);
    PV_BUG_IF(all_kept && (after.ttl != before->ttl || after.cacheable != before->cacheable ||
                           after.ttl_count != before->ttl_count));
}

static bool is_ttl(size_t i, const uint16_t *offsets, unsigned count)
{
    for (unsigned k = 0; k < count; k++)
        if (i >= offsets[k] && i < offsets[k] + 4u)
            return true;
    return false;
}

/* The entry's octets are the reply's from header to OPT, and those behind it; the name in lower
 * case, the flags untouched. */
static void is_made_of(const struct pv_entry *e, const uint8_t *data, const struct pv_reply *reply)
{
    const uint8_t *out = pv_entry_message(e);
    const uint16_t *offsets = (const uint16_t *)(const void *)e->data;
    size_t fixed = PV_HEADER + e->name_length;
    PV_BUG_IF(pv_get16(out) != 0 || memcmp(out + 2, data + 2, 8) != 0);
    PV_BUG_IF(!pv_name_equal(out + PV_HEADER, data + PV_HEADER, e->name_length));
    PV_BUG_IF(e->length > reply->length - reply->opt_length);
    for (size_t i = fixed; i < e->length; i++) {
        bool behind = reply->opt_length && i >= reply->opt_offset;
        uint8_t octet = data[behind ? i + reply->opt_length : i];
        PV_BUG_IF(out[i] != octet && !is_ttl(i, offsets, e->ttl_count));
    }
}

/* When its time is over, all its records may be kept for so long. */
static void is_stale_in_time(const struct pv_entry *e, uint32_t ttl)
{
    static uint8_t out[65535];
    const uint16_t *offsets = (const uint16_t *)(const void *)e->data;
    PV_BUG_IF(pv_entry_write(e, ttl, out, sizeof out) != e->length || out[3] & PV_AD);
    for (unsigned i = 0; i < e->ttl_count; i++)
        PV_BUG_IF(pv_get32(out + offsets[i]) != 30);
}

static void is_kept(const uint8_t *data, const struct pv_question *q, const struct pv_reply *reply)
{
    struct pv_question lower = *q;
    struct pv_key key;
    pv_name_lower(lower.name, lower.name_length);
    pv_key_make(&key, &lower, 0, 1);
    struct pv_entry *e = pv_entry_new(&key, data, reply, reply->ttl, 0);
    PV_BUG_IF(e && !pv_entry_has_key(e, &key));
    if (e && pv_get16(data + 4) == 1)
        is_made_of(e, data, reply);
    if (e && reply->ttl)
        is_stale_in_time(e, reply->ttl);
    pv_entry_unref(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pv_question q = question_of(data, size);
    struct pv_reply reply;
    const char *why = NULL;
    if (size > PV_MESSAGE_MAX)
        return 0;
    if (!pv_reply_check(data, size, &q, -1, &reply, &why)) {
        PV_BUG_IF(!why);
        return 0;
    }
    is_kept(data, &q, &reply);
    if (reply.rcode > 15 || !is_honest(data, size, &reply)) /* upper bits are lost with the OPT */
        return 0;
    uint8_t *out = malloc(reply.length);
    uint16_t *offsets = malloc((reply.ttl_count + 1) * sizeof *offsets);
    unsigned count;
    size_t n = pv_reply_strip(data, &reply, out, offsets, &count);
    bool all_kept = n + reply.opt_length == reply.length;
    PV_BUG_IF(all_kept && count != reply.ttl_count);
    stays(out, n, &q, &reply, all_kept);
    pv_ttl_level(out, n);
    stays(out, n, &q, &reply, all_kept);
    pv_ttl_age(out, offsets, count, 0, UINT32_MAX);
    stays(out, n, &q, &reply, all_kept);

    pv_ttl_age(out, offsets, count, 1, UINT32_MAX);
    struct pv_reply aged;
    PV_BUG_IF(!pv_reply_check(out, n, &q, -1, &aged, &why));
    PV_BUG_IF(all_kept && reply.kind == PV_ANSWER_POSITIVE && reply.ttl > 0 &&
              aged.ttl != reply.ttl - 1);
    free(offsets);
    free(out);
    return 0;
}
