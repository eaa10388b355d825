/* What is said to a client's message before anybody is asked. A reply is one: the client's id and
 * question, no octet of its options, and where the message was bad hardly longer than that. The
 * first octet says how it came, the rest is the message. */
#include "../unit/serve.h"

#include "base/status.h"

static struct policy *policy_for(struct site *s, uint8_t how)
{
    struct policy *policy = site_init(s, "corp.example", "example");
    s->config.any = how >> 1 & 3;
    s->config.special = how >> 3 & 1;
    return policy;
}

static void options_are_ours(const uint8_t *reply, size_t length)
{
    struct pv_reader r = pv_reader(reply, length);
    struct pv_header h = pv_header_read(&r);
    struct pv_option option;
    struct pv_rr rr = {0};
    pv_questions_skip(&r, reply, h.qdcount);
    for (unsigned i = h.ancount + h.nscount + h.arcount; i > 0; i--)
        PV_BUG_IF(!pv_rr_next(&r, reply, &rr));
    PV_BUG_IF(r.bad || pv_left(&r));
    while (rr.type == PV_T_OPT && pv_option_read(&rr.rdata, &option)) {
        PV_BUG_IF(option.code != PV_OPT_EDE && option.code != PV_OPT_KEEPALIVE);
        PV_BUG_IF(option.length != 2 || (option.code == PV_OPT_KEEPALIVE && option.data[1] != 100));
    }
}

static void reply_is_right(const struct judged *j, const struct arrival *a, const uint8_t *reply,
                           size_t length)
{
    const struct pv_query_view *q = &j->view;
    struct pv_reader r = pv_reader(reply, length);
    struct pv_header h = pv_header_read(&r);
    PV_BUG_IF(length < PV_HEADER || length > j->asker.limit || h.id != q->header.id);
    PV_BUG_IF(!(h.flags & PV_QR) || PV_OPCODE(h.flags) != PV_OPCODE(q->header.flags));
    PV_BUG_IF(h.qdcount > 1 || (h.qdcount && memcmp(r.at, q->question_bytes, q->question_length)));
    PV_BUG_IF(j->verdict.malformed && length > a->length + 17);
    options_are_ours(reply, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t reply[PV_MESSAGE_MAX];
    struct judged j;
    struct site s;
    size_t length = 0;
    if (size < 1 || size > PV_MESSAGE_MAX)
        return 0;
    struct policy *policy = policy_for(&s, data[0]);
    struct arrival a = site_arrival(data + 1, size - 1, data[0] & 1);
    if (data[0] & 16)
        a.peer.in.sin_addr.s_addr ^= 1; /* not of those who may ask */
    enum request_fate fate = request_judge(policy, &a, &j, reply, sizeof reply, &length);
    if (fate == REQUEST_REPLIED)
        reply_is_right(&j, &a, reply, length);
    if (fate == REQUEST_PENDING) { /* only good questions are asked; with no answer: */
        PV_BUG_IF(j.view.fault != PV_FINE || !j.verdict.pool);
        length = request_refuse(&j, reply, sizeof reply);
        reply_is_right(&j, &a, reply, length);
    }
    policy_unref(policy);
    return 0;
}
