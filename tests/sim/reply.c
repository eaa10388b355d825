#include "reply.h"

#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the ledger ---- */

void ledger_done(struct ledger *l)
{
    own_free(l->all);
    *l = (struct ledger){0};
}

struct said *ledger_add(struct ledger *l)
{
    if (l->count == l->room) {
        unsigned room = l->room ? l->room * 2 : 256;
        struct said *all = own_alloc(room * sizeof *all);
        if (l->count)
            memcpy(all, l->all, l->count * sizeof *all);
        own_free(l->all);
        l->all = all;
        l->room = room;
    }
    return &l->all[l->count++];
}

bool is_lie(enum content c)
{
    return c >= SAYS_OTHER_ID;
}

uint32_t said_life(const struct said *a, uint32_t max_ttl, uint32_t max_negative_ttl,
                   uint32_t min_ttl)
{
    bool positive = a->content == SAYS_ANSWER || a->content == SAYS_ALIAS;
    bool negative = a->content == SAYS_NO_NAME || a->content == SAYS_NO_DATA;
    uint32_t ttl = a->ttl & 0x80000000 ? 0x7fffffff : a->ttl;
    uint32_t most = positive ? max_ttl : max_negative_ttl;
    if ((!positive && !negative) || ttl == 0 || a->is_signed || a->question.type == PV_T_ANY)
        return 0;
    ttl = ttl < min_ttl ? min_ttl : ttl;
    ttl = ttl < most ? ttl : most;
    return ttl > a->age ? ttl - a->age : 0;
}

/* ---- drawing ---- */

struct wording wording_draw(struct dice *d, enum content content)
{
    static const uint32_t ttls[] = {0, 1, 3, 10, 60, 61, 300, 3600, 100000, 0x80000005};
    static const uint16_t rcodes[] = {2, 2, 5, 1, 4, 9, 16, 6, 11, 23};
    struct wording w = {.content = content, .keepalive = -1};
    w.rcode = rcodes[roll(d, 10)];
    if (content != SAYS_ERROR)
        w.rcode = content == SAYS_NO_NAME || content == SAYS_NO_NAME_BARE ? PV_NXDOMAIN : 0;
    w.ttl = ttls[roll(d, 10)];
    w.padding = roll(d, 12) ? 0 : roll(d, 30) ? roll(d, 2000) : roll(d, 60000);
    w.other_case = roll(d, 4) == 0;
    w.opt_first = roll(d, 4) == 0;
    w.ad = roll(d, 2);
    return w;
}

/* ---- writing ---- */

static void write_record(struct pv_writer *w, uint16_t type, uint32_t ttl, const void *rdata,
                         size_t length)
{
    pv_write16(w, 0xc000 | PV_HEADER);
    pv_write16(w, type);
    pv_write16(w, PV_C_IN);
    pv_write32(w, ttl);
    pv_write16(w, (uint16_t)length);
    pv_write(w, rdata, length);
}

static unsigned write_addresses(struct pv_writer *w, uint16_t type, const struct wording *what)
{
    unsigned n = 0;
    for (unsigned i = 0; i < what->address_count; i++) {
        const struct pv_addr *a = &what->addresses[i];
        bool v6 = a->sa.sa_family == AF_INET6;
        if (type != (v6 ? PV_T_AAAA : PV_T_A))
            continue;
        write_record(w, type, what->ttl, v6 ? (const void *)&a->in6.sin6_addr : &a->in.sin_addr,
                     v6 ? 16 : 4);
        n++;
    }
    return n;
}

/* Records of the type that was asked for. */
static unsigned write_answers(struct pv_writer *w, uint16_t type, const struct wording *what)
{
    static const uint8_t rdata[16] = {3, 's', 'i', 'm'};
    unsigned n = 1;
    if (what->address_count)
        return write_addresses(w, type, what);
    write_record(w, type == PV_T_ANY ? PV_T_TXT : type, what->ttl, rdata + (type == PV_T_NS) * 4,
                 type == PV_T_NS     ? 1
                 : type == PV_T_AAAA ? 16
                                     : 4);
    for (unsigned left = what->padding; left >= 100; left -= 100, n++) {
        uint8_t more[88] = {87};
        write_record(w, PV_T_TXT, what->ttl, more, sizeof more);
    }
    return n;
}

static unsigned write_alias(struct pv_writer *w, uint16_t type, const struct wording *what)
{
    static const uint8_t target[] = {5, 'a', 'l', 'i', 'a', 's', 0}, address[16] = {1};
    write_record(w, PV_T_CNAME, what->ttl, target, sizeof target);
    pv_write(w, target, sizeof target);
    pv_write16(w, type);
    pv_write16(w, PV_C_IN);
    pv_write32(w, what->ttl);
    pv_write16(w, type == PV_T_A ? 4 : 16);
    pv_write(w, address, type == PV_T_A ? 4 : 16);
    return 2;
}

static unsigned write_authority(struct pv_writer *w, const struct wording *what)
{
    uint8_t soa[22] = {0};
    switch (what->content) {
    case SAYS_NO_NAME:
    case SAYS_NO_DATA:
        pv_put32(soa + 18, what->ttl);
        write_record(w, PV_T_SOA, what->ttl, soa, sizeof soa);
        return 1;
    case SAYS_LAME:
        write_record(w, PV_T_NS, what->ttl, soa, 1);
        return 1;
    default:
        return 0;
    }
}

static void write_opt(struct pv_writer *w, const struct wording *what)
{
    uint8_t *opt = pv_opt_begin(w, 1232, (uint8_t)(what->rcode >> 4), false);
    uint8_t keepalive[2] = {(uint8_t)(what->keepalive >> 8), (uint8_t)what->keepalive};
    static const uint8_t why[] = {0, 22, 'n', 'o', 0xff};
    if (what->keepalive >= 0)
        pv_opt_add(w, opt, PV_OPT_KEEPALIVE, keepalive, sizeof keepalive);
    if (what->content == SAYS_ERROR)
        pv_opt_add(w, opt, PV_OPT_EDE, why, sizeof why);
}

static void write_note(struct pv_writer *w, const struct pv_question *q, uint32_t ttl,
                       unsigned number)
{
    char text[PV_NAME_TEXT], rdata[1 + 8 + NOTE_NAME];
    pv_name_to_text(q->name, text);
    int n = snprintf(rdata + 1, sizeof rdata - 1, "%08x%.60s", number, text);
    rdata[0] = (char)n;
    write_record(w, PV_T_TXT, ttl, rdata, (size_t)n + 1);
}

bool note_read(const uint8_t *rdata, size_t length, unsigned *ret_number, char name[NOTE_NAME])
{
    char text[9] = "", *end;
    if (length < 10 || length >= NOTE_NAME || rdata[0] != length - 1)
        return false;
    memcpy(text, rdata + 1, 8);
    *ret_number = (unsigned)strtoul(text, &end, 16);
    memcpy(name, rdata + 9, length - 9);
    name[length - 9] = '\0';
    return *end == '\0';
}

static uint16_t flags_of(const struct pv_query_view *v, const struct wording *what)
{
    unsigned flags = PV_QR | PV_RA | (v->header.flags & (PV_RD | PV_CD)) | (what->ad ? PV_AD : 0);
    switch (what->content) {
    case SAYS_NO_NAME:
    case SAYS_NO_NAME_BARE:
        flags |= PV_NXDOMAIN;
        break;
    case SAYS_ERROR:
        flags |= what->rcode & 15U;
        break;
    case SAYS_CUT:
        flags |= PV_TC;
        break;
    case SAYS_LAME:
        flags &= ~(unsigned)PV_RA;
        break;
    case SAYS_QUERY:
        flags &= ~(unsigned)PV_QR;
        break;
    default:
        break;
    }
    return (uint16_t)flags;
}

/* The question, as this wording repeats it. */
static void write_question(struct pv_writer *w, const struct pv_query_view *v,
                           const struct wording *what)
{
    uint8_t *q = pv_room(w, v->question_length);
    memcpy(q, v->question_bytes, v->question_length);
    for (size_t i = 1; what->other_case && i + 5 < v->question_length; i++) {
        if (q[i] >= 'a' && q[i] <= 'z' && i % 3 == 0)
            q[i] = (uint8_t)(q[i] - 32);
    }
    if (what->content == SAYS_OTHER_NAME && q[0])
        q[1] ^= 1;
    if (what->content == SAYS_OTHER_TYPE || (what->content == SAYS_OTHER_NAME && !q[0]))
        q[v->question_length - 3] ^= 2;
}

static unsigned write_body(struct pv_writer *w, const struct pv_query_view *v,
                           const struct wording *what, struct pv_header *h)
{
    bool address = v->question.type == PV_T_A || v->question.type == PV_T_AAAA;
    if (what->content == SAYS_ALIAS && address && !what->address_count)
        h->ancount = (uint16_t)write_alias(w, v->question.type, what);
    else if (what->content == SAYS_ANSWER || what->content == SAYS_ALIAS || is_lie(what->content))
        h->ancount = (uint16_t)write_answers(w, v->question.type, what);
    h->nscount = (uint16_t)write_authority(w, what);
    return h->ancount;
}

static void spoil(uint8_t *out, struct pv_header *h, enum content content, size_t length,
                  struct dice *d)
{
    if (content == SAYS_OTHER_ID)
        h->id ^= (uint16_t)(1 + roll(d, 7));
    else if (content == SAYS_NO_QUESTION)
        h->qdcount = 0;
    else if (content == SAYS_TWO_QUESTIONS)
        h->qdcount = 2;
    else if (content == SAYS_OVERRUN)
        h->arcount++;
    else if (content == SAYS_GARBAGE)
        for (size_t i = 2; i < length; i++)
            out[i] = (uint8_t)dice_next(d);
}

size_t reply_write(uint8_t *out, size_t capacity, const uint8_t *query,
                   const struct pv_query_view *v, const struct wording *what, unsigned number,
                   struct dice *d)
{
    struct pv_writer w = pv_writer(out, capacity), head = pv_writer(out, PV_HEADER);
    struct pv_header h = {.id = pv_get16(query), .flags = flags_of(v, what), .qdcount = 1};
    pv_room(&w, PV_HEADER);
    if (what->content != SAYS_NO_QUESTION)
        write_question(&w, v, what);
    if (what->content != SAYS_CUT)
        write_body(&w, v, what, &h);
    if (what->opt_first)
        write_opt(&w, what);
    if (what->content != SAYS_CUT)
        write_note(&w, &v->question, what->ttl, number);
    if (!what->opt_first)
        write_opt(&w, what);
    h.arcount = what->content == SAYS_CUT ? 1 : 2;
    spoil(out, &h, what->content, pv_written(&w), d);
    if (what->content != SAYS_GARBAGE)
        pv_header_write(&head, &h);
    return w.full ? 0 : pv_written(&w);
}
