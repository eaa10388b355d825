#include "wire/reply.h"

#define TTL_LARGE 0x7fffffffu /* what a TTL with the high bit set means [RFC 8767 §4] */

enum section { ANSWER, AUTHORITY, ADDITIONAL };

struct check {
    const uint8_t *message;
    size_t length;
    const struct pv_question *question;
    struct pv_reply reply;
    struct pv_edns edns;
    struct pv_reader answers; /* where the answer section begins */
    uint32_t least_ttl, least_minimum;
    bool has_ns; /* in authority */
    const char *why;
    struct pv_name_memo memo;
};

static bool reject(struct check *c, const char *why)
{
    c->why = why;
    return false;
}

static uint32_t least(uint32_t a, uint32_t ttl)
{
    if (ttl > TTL_LARGE)
        ttl = TTL_LARGE;
    return a < ttl ? a : ttl;
}

static void note_ede(struct pv_reply *reply, const struct pv_option *option)
{
    if (option->length < 2 || reply->ede_count == sizeof reply->ede / sizeof *reply->ede)
        return;
    reply->ede[reply->ede_count++] = (struct pv_ede){.code = pv_get16(option->data),
                                                     .text = option->data + 2,
                                                     .text_length = (uint16_t)(option->length - 2)};
}

static bool read_opt(struct check *c, enum section section, size_t owner_length,
                     const struct pv_rr *rr)
{
    if (c->edns.present || section != ADDITIONAL || owner_length != 1)
        return reject(c, "bad OPT");
    c->edns = pv_edns_read(rr->rrclass, rr->ttl, rr->rdata);
    c->reply.opt_offset = rr->offset;
    c->reply.opt_length = (size_t)(rr->rdata.end - c->message) - rr->offset;

    struct pv_reader r = rr->rdata;
    struct pv_option option;
    size_t left = pv_left(&r);
    for (; pv_option_read(&r, &option); left = pv_left(&r)) {
        if (option.code == PV_OPT_EDE)
            note_ede(&c->reply, &option);
        if (option.code == PV_OPT_KEEPALIVE && option.length == 2) {
            c->reply.has_keepalive = true;
            c->reply.keepalive = pv_get16(option.data);
        }
    }
    return r.bad ? reject(c, left < 4 ? "option header" : "option overrun") : true;
}

static bool read_record(struct check *c, struct pv_reader *r, enum section section)
{
    size_t owner_length;
    struct pv_rr rr;
    uint32_t minimum = TTL_LARGE;
    if (!pv_rr_check(r, c->message, &c->memo, &owner_length, &rr, &c->why))
        return false;
    c->why = pv_rdata_check_memo(&rr, c->message, c->length, &c->memo, &minimum);
    if (c->why)
        return false;
    if (rr.type == PV_T_OPT)
        return read_opt(c, section, owner_length, &rr);
    if (rr.type == PV_T_TSIG)
        return true;
    c->reply.ttl_count++;
    c->least_ttl = least(c->least_ttl, rr.ttl);
    if (section == AUTHORITY && rr.type == PV_T_SOA) {
        c->reply.has_soa = true;
        c->least_minimum = least(c->least_minimum, minimum);
    }
    c->has_ns |= section == AUTHORITY && rr.type == PV_T_NS;
    return true;
}

static bool read_question(struct check *c, struct pv_reader *r)
{
    const struct pv_question *q = c->question;
    uint8_t name[PV_NAME_MAX];
    size_t n = pv_name_read_plain(r, name);
    if (!n)
        return reject(c,
                      pv_left(r) && *r->at >= 0xc0 ? "pointer not allowed" : "bad question name");
    uint16_t type = pv_u16(r), rrclass = pv_u16(r);
    if (r->bad)
        return reject(c, "question cut");
    if (n != q->name_length || !pv_name_equal(name, q->name, n) || type != q->type ||
        rrclass != q->rrclass)
        return reject(c, "question mismatch");
    return true;
}

static bool read_header(struct check *c, const struct pv_header *h, int id)
{
    if (c->length < PV_HEADER)
        return reject(c, "short");
    if (!(h->flags & PV_QR))
        return reject(c, "QR clear");
    if (id >= 0 && h->id != id)
        return reject(c, "id mismatch");
    if (PV_OPCODE(h->flags) != 0)
        return reject(c, "opcode mismatch");
    if (h->qdcount > 1)
        return reject(c, "QDCOUNT>1");
    c->reply.flags = h->flags;
    c->reply.truncated = h->flags & PV_TC;
    return true;
}

static bool read_message(struct check *c, int id, struct pv_header *h)
{
    struct pv_reader r = pv_reader(c->message, c->length);
    *h = pv_header_read(&r);
    if (!read_header(c, h, id) || (h->qdcount && !read_question(c, &r)))
        return false;
    pv_name_memo_init(&c->memo, c->length);
    c->answers = r;
    const uint16_t counts[] = {h->ancount, h->nscount, h->arcount};
    for (enum section section = ANSWER; section <= ADDITIONAL; section++)
        for (unsigned i = 0; i < counts[section]; i++)
            if (!read_record(c, &r, section))
                return false;
    c->reply.rcode = (uint16_t)(c->edns.extended_rcode << 4 | PV_RCODE(h->flags));
    if (!h->qdcount && (c->reply.rcode == PV_NOERROR || c->reply.rcode == PV_NXDOMAIN))
        return reject(c, "question missing");
    c->reply.trailing = pv_left(&r);
    c->reply.length = c->length - c->reply.trailing;
    return true;
}

/* Enough for every honest answer: they begin with the chain and what it leads to. */
#define VISITS_MAX 512

/* Does the answer section hold the type, at the end of the CNAME chain? The chain may stand in any
 * order, and may be a loop. */
static bool is_answered(const struct check *c, unsigned count)
{
    const struct pv_question *q = c->question;
    uint8_t want[PV_NAME_MAX], owner[PV_NAME_MAX];
    size_t want_length = q->name_length, owner_length;
    unsigned visits = 0;
    struct pv_rr rr;
    memcpy(want, q->name, want_length);
    for (bool moved = true; moved;) {
        struct pv_reader r = c->answers;
        moved = false;
        for (unsigned i = 0; i < count; i++) {
            if (++visits > VISITS_MAX ||
                !pv_rr_read(&r, c->message, owner, &owner_length, &rr, NULL))
                return false;
            if (owner_length != want_length || !pv_name_equal(owner, want, want_length) ||
                (rr.rrclass != q->rrclass && q->rrclass != PV_C_ANY))
                continue;
            if (rr.type == q->type || q->type == PV_T_ANY)
                return true;
            if (rr.type == PV_T_CNAME) {
                want_length = pv_name_read(&rr.rdata, c->message, want, NULL);
                moved = true;
            }
        }
    }
    return false;
}

static void classify(struct check *c, const struct pv_header *h)
{
    struct pv_reply *reply = &c->reply;
    if (reply->rcode != PV_NOERROR && reply->rcode != PV_NXDOMAIN) {
        reply->kind = PV_ANSWER_FAILURE;
        return;
    }
    bool positive = reply->rcode == PV_NOERROR && is_answered(c, h->ancount);
    reply->kind = positive ? PV_ANSWER_POSITIVE : PV_ANSWER_NEGATIVE;
    reply->lame = reply->rcode == PV_NOERROR && !(h->flags & PV_RA) && h->ancount == 0 &&
                  c->has_ns && !reply->has_soa;
    if (positive)
        reply->ttl = reply->ttl_count ? c->least_ttl : 0;
    else if (reply->has_soa)
        reply->ttl = least(c->least_ttl, c->least_minimum);
    reply->cacheable = reply->ttl > 0 && !reply->truncated && c->question->type != PV_T_ANY &&
                       c->question->rrclass != PV_C_ANY;
}

bool pv_reply_check(const uint8_t *message, size_t length, const struct pv_question *question,
                    int id, struct pv_reply *ret, const char **ret_why)
{
    struct check c;
    struct pv_header h;
    c.message = message;
    c.length = length;
    c.question = question;
    c.reply = (struct pv_reply){0};
    c.edns = (struct pv_edns){0};
    c.least_ttl = c.least_minimum = TTL_LARGE;
    c.has_ns = false;
    if (!read_message(&c, id, &h)) {
        if (ret_why)
            *ret_why = c.why;
        return false;
    }
    classify(&c, &h);
    *ret = c.reply;
    return true;
}

/* Does the name lead nowhere at or behind `limit`? */
static bool name_stays(struct pv_reader *r, size_t limit)
{
    for (;;) {
        uint8_t n = pv_u8(r);
        if (n >= 0xc0)
            return ((unsigned)(n & 0x3f) << 8 | pv_u8(r)) < limit;
        if (n == 0)
            return true;
        pv_take(r, n);
    }
}

/* May the record move to another offset? Only where no name in it points behind the OPT. RDATA of
 * old types that we do not know may hold compressed names [RFC 3597 §4]: those may not. */
static bool record_stays(const uint8_t *message, const struct pv_rr *rr, size_t limit)
{
    struct pv_reader owner = {.at = message + rr->offset, .end = rr->rdata.at}, rdata = rr->rdata;
    if (!name_stays(&owner, limit))
        return false;
    switch (rr->type) {
    case PV_T_SOA:
        return name_stays(&rdata, limit) && name_stays(&rdata, limit);
    case PV_T_MX:
        pv_take(&rdata, 2);
        return name_stays(&rdata, limit);
    case PV_T_SRV:
        pv_take(&rdata, 6);
        return name_stays(&rdata, limit);
    case PV_T_NS:
    case PV_T_CNAME:
    case PV_T_PTR:
    case PV_T_DNAME:
        return name_stays(&rdata, limit);
    case PV_T_A:
    case PV_T_HINFO:
    case PV_T_TXT:
    case PV_T_AAAA:
        return true;
    default:
        return rr->type > 36; /* KX, the last whose RDATA was ever compressed */
    }
}

/* The records behind the OPT: how many, and may they move up? */
static bool tail_stays(const uint8_t *message, const struct pv_reply *reply, uint16_t *ret_count)
{
    size_t begin = reply->opt_offset + reply->opt_length;
    struct pv_reader r = pv_reader(message + begin, reply->length - begin);
    struct pv_rr rr;
    bool stays = true;
    uint16_t count = 0;
    for (; pv_left(&r) && pv_rr_next(&r, message, &rr); count++)
        stays &= record_stays(message, &rr, reply->opt_offset);
    *ret_count = count;
    return stays;
}

static unsigned find_ttls(const uint8_t *message, size_t length, uint16_t *offsets, unsigned most)
{
    struct pv_reader r = pv_reader(message, length);
    struct pv_header h = pv_header_read(&r);
    unsigned n = 0;
    struct pv_rr rr;
    if (h.qdcount) {
        pv_name_skip(&r);
        pv_take(&r, 4);
    }
    while (pv_left(&r) && pv_rr_next(&r, message, &rr))
        if (rr.type != PV_T_TSIG && n < most)
            offsets[n++] = (uint16_t)rr.ttl_offset;
    return n;
}

size_t pv_reply_strip(const uint8_t *message, const struct pv_reply *reply, uint8_t *out,
                      uint16_t *ttl_offsets, unsigned *ret_count)
{
    size_t n = reply->length;
    if (reply->opt_length) {
        size_t behind = reply->opt_offset + reply->opt_length;
        uint16_t count, gone = 1;
        n = reply->opt_offset;
        memcpy(out, message, n);
        if (tail_stays(message, reply, &count)) {
            memcpy(out + n, message + behind, reply->length - behind);
            n += reply->length - behind;
        } else {
            gone = (uint16_t)(gone + count);
        }
        pv_put16(out + 10, (uint16_t)(pv_get16(out + 10) - gone));
    } else {
        memcpy(out, message, n);
    }
    *ret_count = find_ttls(out, n, ttl_offsets, reply->ttl_count);
    return n;
}
