/* The answer of an upstream, fitted to a client: it is no longer than the client can take, parses,
 * and holds the answer's octets up to some section's end, then our OPT where the client has EDNS.
 * Two octets say what client it is, the rest is the upstream's message. */
#include "serve/answer.h"

#include "base/status.h"
#include "cache/entry.h"

static bool question_of(const uint8_t *data, size_t size, struct pv_question *q)
{
    struct pv_reader r = pv_reader(data, size);
    pv_take(&r, PV_HEADER);
    q->name_length = (uint8_t)pv_name_read_plain(&r, q->name);
    q->type = pv_u16(&r);
    q->rrclass = pv_u16(&r);
    if (!r.bad)
        pv_name_lower(q->name, q->name_length);
    return !r.bad;
}

static void is_ours(const struct pv_reply *reply, const uint8_t *out, const struct asker *a)
{
    struct pv_reader r = pv_reader(out + reply->opt_offset, reply->opt_length);
    struct pv_option option;
    struct pv_rr rr;
    PV_BUG_IF((reply->opt_length > 0) != a->edns);
    if (!a->edns)
        return;
    pv_rr_next(&r, out, &rr);
    PV_BUG_IF(reply->opt_offset + reply->opt_length != reply->length);
    PV_BUG_IF(rr.rrclass != a->edns_size || (rr.ttl & 0xffffff) != (a->dnssec_ok ? 0x8000 : 0));
    while (pv_option_read(&rr.rdata, &option))
        PV_BUG_IF(option.code != PV_OPT_EDE && (option.code != PV_OPT_KEEPALIVE || !a->keepalive));
    for (unsigned i = 0; i < reply->ede_count; i++)
        for (unsigned k = 0; k < reply->ede[i].text_length; k++)
            PV_BUG_IF(reply->ede[i].text[k] < ' ' || reply->ede[i].text[k] == 127);
}

static void fits(const struct asker *a, const struct pv_question *q, const uint8_t *whole,
                 size_t length, const struct answer_edes *edes, unsigned rcode)
{
    static uint8_t out[PV_MESSAGE_MAX];
    struct pv_reply reply;
    const char *why;
    if (!pv_reply_check(whole, length, q, -1, &reply, &why)) /* a name had been made of a TTL */
        return;
    memcpy(out, whole, length);
    size_t n = answer_fit(a, out, length, sizeof out, rcode, edes);
    PV_BUG_IF(n > a->limit || !pv_reply_check(out, n, q, -1, &reply, &why) || reply.trailing);
    PV_BUG_IF(reply.rcode != (a->edns || rcode < 16 ? rcode : PV_SERVFAIL));
    is_ours(&reply, out, a);
    size_t kept = n - reply.opt_length;
    PV_BUG_IF(kept > length || memcmp(out + PV_HEADER, whole + PV_HEADER, kept - PV_HEADER) != 0);
    /* Sections are kept or dropped whole, from the last on; without the answers it says so. */
    bool some_left = kept < length;
    for (unsigned at = 10; at >= 6; at -= 2) {
        unsigned now = pv_get16(out + at) - (at == 10 && a->edns), before = pv_get16(whole + at);
        PV_BUG_IF(now != before && now != 0);
        PV_BUG_IF(now == 0 && before > 0 && !some_left);
        PV_BUG_IF(at == 6 && now != before && !reply.truncated);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t whole[PV_MESSAGE_MAX];
    struct pv_question q = {.name_length = 0};
    struct answer_edes edes = {0};
    struct pv_reply reply;
    struct pv_key key;
    if (size < 2 || size > PV_MESSAGE_MAX)
        return 0;
    const uint8_t *message = data + 2;
    struct asker a = {.tcp = data[0] & 1,
                      .edns = data[0] & 2,
                      .dnssec_ok = data[0] & 4 && data[0] & 2,
                      .keepalive = (data[0] & 3) == 3,
                      .keepalive_value = 100,
                      .edns_size = 1232,
                      .limit = data[0] & 1 ? PV_MESSAGE_MAX : (uint16_t)(512 + 3 * data[1])};
    if (!question_of(message, size - 2, &q) ||
        !pv_reply_check(message, size - 2, &q, -1, &reply, NULL) || pv_get16(message + 4) == 0)
        return 0;
    for (unsigned i = 0; i < reply.ede_count; i++)
        answer_ede_add(&edes, reply.ede[i].code, "upstream", (const char *)reply.ede[i].text,
                       reply.ede[i].text_length);
    pv_key_make(&key, &q, 0, 1);
    struct pv_entry *e = pv_entry_new(&key, message, &reply, reply.ttl, 0);
    if (e)
        fits(&a, &q, whole, pv_entry_write(e, 0, whole, sizeof whole), &edes, reply.rcode);
    pv_entry_unref(e);
    return 0;
}
