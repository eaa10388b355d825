#include "wire/query.h"

static bool is_signature(const struct pv_rr *rr)
{
    struct pv_reader r = rr->rdata;
    return rr->type == PV_T_TSIG || (rr->type == PV_T_SIG && pv_u16(&r) == 0 && !r.bad);
}

static enum pv_fault read_options(struct pv_query_view *q)
{
    struct pv_reader r = q->edns.options;
    struct pv_option option;
    while (pv_option_read(&r, &option)) {
        if (option.code == PV_OPT_KEEPALIVE) {
            q->has_keepalive = true;
            if (q->keepalive_length < option.length)
                q->keepalive_length = option.length;
        }
        q->has_ecs |= option.code == PV_OPT_ECS;
    }
    return r.bad ? PV_FAULT_OPTION : PV_FINE;
}

/* All that follows the question. A record that does not parse comes before any fault of the OPT. */
static enum pv_fault read_records(struct pv_query_view *q, const uint8_t *message,
                                  struct pv_reader *r, struct pv_name_memo *memo)
{
    const uint32_t elsewhere = (uint32_t)q->header.ancount + q->header.nscount;
    const uint32_t count = elsewhere + q->header.arcount;
    struct pv_edns edns = {0};
    struct pv_rr rr = {0};
    bool bad_opt = false;
    for (uint32_t i = 0; i < count; i++) {
        size_t owner_length;
        if (!pv_rr_check(r, message, memo, &owner_length, &rr, NULL))
            return PV_FAULT_RECORD;
        if (rr.type != PV_T_OPT)
            continue;
        bad_opt |= edns.present || i < elsewhere || owner_length != 1;
        if (!edns.present)
            edns = pv_edns_read(rr.rrclass, rr.ttl, rr.rdata);
    }
    q->is_signed = q->header.arcount && is_signature(&rr);
    q->edns = edns;
    if (bad_opt)
        return PV_FAULT_OPT;
    return edns.version ? PV_FAULT_VERSION : read_options(q);
}

/* More records than an honest query has: see that they cost no more than they are long. */
static __attribute__((noinline)) enum pv_fault read_many_records(struct pv_query_view *q,
                                                                 const uint8_t *message,
                                                                 struct pv_reader *r)
{
    struct pv_name_memo memo;
    pv_name_memo_init(&memo, (size_t)(r->end - message));
    return read_records(q, message, r, &memo);
}

static enum pv_fault read_question(struct pv_query_view *q, struct pv_reader *r)
{
    const uint8_t *start = r->at;
    size_t n = pv_name_read_plain(r, q->question.name);
    uint16_t type = pv_u16(r), rrclass = pv_u16(r);
    if (r->bad) {
        q->question = (struct pv_question){0};
        return PV_FAULT_HEADER;
    }
    pv_name_lower(q->question.name, n);
    q->question.name_length = (uint8_t)n;
    q->question.type = type;
    q->question.rrclass = rrclass;
    q->question_bytes = start;
    q->question_length = (size_t)(r->at - start);
    return PV_FINE;
}

static enum pv_fault parse(struct pv_query_view *q, const uint8_t *message, size_t length)
{
    struct pv_reader r = pv_reader(message, length);
    if (length < PV_HEADER)
        return PV_FAULT_SHORT;
    q->header = pv_header_read(&r);
    if (q->header.flags & PV_QR)
        return PV_FAULT_RESPONSE;
    if (PV_OPCODE(q->header.flags) != 0)
        return PV_FAULT_OPCODE;
    if (q->header.qdcount > 1)
        return PV_FAULT_HEADER;
    enum pv_fault fault = q->header.qdcount ? read_question(q, &r) : PV_FINE;
    if (fault != PV_FINE)
        return fault;
    if (q->header.ancount + q->header.nscount + q->header.arcount > 4)
        fault = read_many_records(q, message, &r);
    else
        fault = read_records(q, message, &r, NULL);
    if (fault != PV_FINE)
        q->edns.dnssec_ok = false; /* not to be believed, and not echoed */
    if (q->header.qdcount)
        return fault;
    if (fault != PV_FINE && fault != PV_FAULT_VERSION)
        q->edns = (struct pv_edns){0};
    return PV_FAULT_NO_QUESTION;
}

void pv_query_parse(struct pv_query_view *ret, const uint8_t *message, size_t length)
{
    *ret = (struct pv_query_view){0};
    ret->fault = parse(ret, message, length);
}
