/* A reply that was checked stays the same reply: without its OPT, with its TTLs levelled, and aged.
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "wire/reply.h"
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

static void stays(const uint8_t *message, size_t length, const struct pv_question *q,
                  const struct pv_reply *before, bool all_kept)
{
    struct pv_reply after;
    const char *why;
    PV_BUG_IF(!pv_reply_check(message, length, q, -1, &after, &why));
    PV_BUG_IF(after.opt_length || after.trailing || after.has_soa != before->has_soa);
    if (before->rcode > 15)
        return; /* its upper bits were in the OPT */
    PV_BUG_IF(after.kind != before->kind || after.lame != before->lame);
    PV_BUG_IF(after.ttl < before->ttl);
    PV_BUG_IF(all_kept && (after.ttl != before->ttl || after.cacheable != before->cacheable ||
                           after.ttl_count != before->ttl_count));
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
    PV_BUG_IF(all_kept && reply.kind == PV_ANSWER_POSITIVE && reply.rcode < 16 && reply.ttl > 0 &&
              aged.ttl != reply.ttl - 1);
    free(offsets);
    free(out);
    return 0;
}
