#include "serve/answer.h"

#define OPT_FIXED       11
#define UDP_PLAIN_LIMIT 512

struct asker asker_of(const struct pv_query_view *q, bool tcp, uint16_t edns_size)
{
    struct asker a = {.tcp = tcp,
                      .edns = q->edns.present,
                      .dnssec_ok = q->edns.dnssec_ok,
                      .keepalive = tcp && q->has_keepalive,
                      .opaque = q->is_signed,
                      .edns_size = edns_size,
                      .limit = PV_MESSAGE_MAX};
    if (tcp)
        return a;
    uint16_t size =
        a.edns && q->edns.udp_size > UDP_PLAIN_LIMIT ? q->edns.udp_size : UDP_PLAIN_LIMIT;
    a.limit = size < edns_size || !a.edns ? size : edns_size;
    return a;
}

/* ---- Extended DNS Errors ---- */

/* Octets of the UTF-8 character at p; 0: it is none [RFC 3629 §4], or a control character. */
static size_t utf8_character(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {0, ' ', 0x80 + ' ', 0x800, 0x10000};
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = length == 1 ? p[0] : p[0] & (0x7fU >> length);
    if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || length > n)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    bool surrogate = c >= 0xd800 && c < 0xe000;
    return c < least[length] || c == 127 || surrogate || c > 0x10ffff ? 0 : length;
}

/* As far as there is room for whole characters. Others than text, an upstream's for instance, are
 * shown as '?': there are clients that refuse the whole answer for them. */
static void ede_append(struct answer_ede *e, const char *text, size_t length)
{
    const uint8_t *p = (const uint8_t *)text;
    while (length) {
        size_t n = utf8_character(p, length), taken = n ? n : 1;
        if (e->text_length + taken > ANSWER_EDE_TEXT)
            return;
        memcpy(e->text + e->text_length, n ? (const void *)p : "?", taken);
        e->text_length = (uint8_t)(e->text_length + taken);
        p += taken;
        length -= taken;
    }
}

void answer_ede_add(struct answer_edes *edes, uint16_t code, const char *who, const char *what,
                    size_t what_length)
{
    if (edes->count == ANSWER_EDES)
        return;
    struct answer_ede *e = &edes->items[edes->count++];
    *e = (struct answer_ede){.code = code};
    if (who)
        ede_append(e, who, strlen(who));
    if (who && *who && what_length)
        ede_append(e, ": ", 2);
    if (what_length)
        ede_append(e, what, what_length);
}

/* ---- replies made here ---- */

size_t answer_empty(const struct pv_header *query, const uint8_t *question, size_t question_length,
                    unsigned rcode, uint8_t *out, size_t capacity)
{
    struct pv_writer w = pv_writer(out, capacity);
    uint16_t keep = PV_OPCODE(query->flags) ? 0x7800 | PV_RD : PV_RD | PV_CD;
    uint16_t set = PV_OPCODE(query->flags) ? PV_QR : PV_QR | PV_RA;
    struct pv_header h = {
        .id = query->id,
        .flags = (uint16_t)((query->flags & keep) | set | (rcode & 15)),
        .qdcount = question ? 1 : 0,
    };
    pv_header_write(&w, &h);
    if (question)
        pv_write(&w, question, question_length);
    return w.full ? 0 : pv_written(&w);
}

size_t answer_hinfo(const struct pv_query_view *q, uint8_t *out, size_t capacity)
{
    static const uint8_t rdata[] = {7, 'R', 'F', 'C', '8', '4', '8', '2', 0};
    size_t length =
        answer_empty(&q->header, q->question_bytes, q->question_length, PV_NOERROR, out, capacity);
    if (!length)
        return 0;
    struct pv_writer w = pv_writer(out + length, capacity - length);
    pv_write16(&w, 0xc000 | PV_HEADER);
    pv_write16(&w, PV_T_HINFO);
    pv_write16(&w, q->question.rrclass);
    pv_write32(&w, 3600);
    pv_write16(&w, sizeof rdata);
    pv_write(&w, rdata, sizeof rdata);
    pv_put16(out + 6, 1);
    return w.full ? 0 : length + pv_written(&w);
}

/* ---- fitting ---- */

/* How much of the EDEs is said. */
enum ede_level { EDE_NONE, EDE_CODES, EDE_TEXTS };

static size_t opt_size(const struct asker *a, const struct answer_edes *edes, enum ede_level level)
{
    if (!a->edns)
        return 0;
    size_t size = OPT_FIXED + (a->keepalive ? 6 : 0);
    for (unsigned i = 0; edes && level != EDE_NONE && i < edes->count; i++)
        size += 6 + (level == EDE_TEXTS ? (size_t)edes->items[i].text_length : 0);
    return size;
}

static void put_opt(struct pv_writer *w, const struct asker *a, unsigned rcode,
                    const struct answer_edes *edes, enum ede_level level)
{
    uint8_t *rdlength = pv_opt_begin(w, a->edns_size, (uint8_t)(rcode >> 4), a->dnssec_ok);
    uint8_t data[2 + ANSWER_EDE_TEXT];
    if (a->keepalive) {
        pv_put16(data, a->keepalive_value);
        pv_opt_add(w, rdlength, PV_OPT_KEEPALIVE, data, 2);
    }
    for (unsigned i = 0; edes && level != EDE_NONE && i < edes->count; i++) {
        const struct answer_ede *e = &edes->items[i];
        size_t text = level == EDE_TEXTS ? e->text_length : 0;
        pv_put16(data, e->code);
        memcpy(data + 2, e->text, text);
        pv_opt_add(w, rdlength, PV_OPT_EDE, data, (uint16_t)(2 + text));
    }
}

/* Where the question, the answer and the authority section end. */
struct sections {
    size_t question, answer, authority;
};

static bool find_sections(const uint8_t *message, size_t length, struct sections *ret)
{
    struct pv_reader r = pv_reader(message, length);
    struct pv_header h = pv_header_read(&r);
    struct pv_rr rr;
    pv_questions_skip(&r, message, h.qdcount);
    ret->question = (size_t)(r.at - message);
    for (unsigned i = 0; i < h.ancount && !r.bad; i++)
        pv_rr_next(&r, message, &rr);
    ret->answer = (size_t)(r.at - message);
    for (unsigned i = 0; i < h.nscount && !r.bad; i++)
        pv_rr_next(&r, message, &rr);
    ret->authority = (size_t)(r.at - message);
    return !r.bad && h.qdcount == 1;
}

static size_t cut_to_question(uint8_t *message, size_t length, size_t question_end)
{
    pv_put16(message + 2, pv_get16(message + 2) | PV_TC);
    memset(message + 6, 0, 6);
    if (question_end < PV_HEADER || question_end > length) {
        pv_put16(message + 4, 0);
        return PV_HEADER;
    }
    return question_end;
}

/* Drop what S2 says until the message has at most `most` octets. */
static size_t shrink(const struct asker *a, uint8_t *message, size_t length, size_t most)
{
    struct sections s = {0};
    if (!find_sections(message, length, &s))
        return cut_to_question(message, length, s.question);
    if (s.authority <= most) {
        pv_put16(message + 10, 0);
        return s.authority;
    }
    if (!a->dnssec_ok && pv_get16(message + 6) && s.answer <= most) {
        pv_put16(message + 8, 0);
        pv_put16(message + 10, 0);
        return s.answer;
    }
    return cut_to_question(message, length, s.question);
}

/* An extended RCODE can only be told in OPT. */
static unsigned without_opt(unsigned rcode)
{
    return rcode > 15 ? PV_SERVFAIL : rcode;
}

static size_t fit_opaque(const struct asker *a, uint8_t *message, size_t length)
{
    struct sections s = {0};
    if (length <= a->limit)
        return length;
    find_sections(message, length, &s);
    return cut_to_question(message, length, s.question);
}

size_t answer_fit(const struct asker *a, uint8_t *message, size_t length, size_t capacity,
                  unsigned rcode, const struct answer_edes *edes)
{
    if (a->opaque)
        return fit_opaque(a, message, length);
    if (!a->edns)
        rcode = without_opt(rcode);
    pv_put16(message + 2, (uint16_t)((pv_get16(message + 2) & ~15u) | (rcode & 15)));
    enum ede_level level = EDE_TEXTS;
    while (level != EDE_NONE && length + opt_size(a, edes, level) > a->limit)
        level--;
    if (a->edns && edes && edes->count && level == EDE_NONE)
        pv_put16(message + 2, pv_get16(message + 2) | PV_TC);
    size_t opt = opt_size(a, edes, level);
    if (length + opt > a->limit)
        length = shrink(a, message, length, (size_t)a->limit - opt);
    if (!a->edns || length + opt > capacity)
        return length;
    struct pv_writer w = pv_writer(message + length, capacity - length);
    put_opt(&w, a, rcode, edes, level);
    pv_put16(message + 10, (uint16_t)(pv_get16(message + 10) + 1));
    return length + pv_written(&w);
}
