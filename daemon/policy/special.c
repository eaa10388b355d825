#include "policy/special.h"

#include <string.h>

/* Zones in wire form; the literal's NUL is the root. A row may stand for several zones that differ
 * in their first label only: a decimal number or one hex digit within [low, high]. */
struct row {
    const char *zone;
    uint8_t length;
    uint8_t kind;
    uint8_t base, low, high; /* base 0: the zone is just that */
};

#define ROW(zone, kind)                                                                            \
    {                                                                                              \
        zone, sizeof(zone), kind, 0, 0, 0                                                          \
    }
#define ROWS(base, low, high, zone)                                                                \
    {                                                                                              \
        zone, sizeof(zone), SPECIAL_ZONE, base, low, high                                          \
    }
#define V4      "\007in-addr\004arpa"
#define V6      "\003ip6\004arpa"
#define ZEROS4  "\0010\0010\0010\0010"
#define ZEROS28 ZEROS4 ZEROS4 ZEROS4 ZEROS4 ZEROS4 ZEROS4 ZEROS4
#define ZEROS31 ZEROS28 "\0010\0010\0010"

static const struct row tops[] = {
    ROW("\011localhost", SPECIAL_LOCALHOST), ROW("\007invalid", SPECIAL_NO_NAME),
    ROW("\004test", SPECIAL_NO_NAME),        ROW("\005local", SPECIAL_NO_NAME),
    ROW("\005onion", SPECIAL_NO_NAME),       ROW("\003alt", SPECIAL_NO_NAME),
};

static const struct row under_arpa[] = {
    ROW("\004home\004arpa", SPECIAL_HOME),
    ROW("\010resolver\004arpa", SPECIAL_NO_DATA),
    ROW("\00210" V4, SPECIAL_ZONE),
    ROWS(10, 16, 31, "\003172" V4),
    ROW("\003168\003192" V4, SPECIAL_ZONE),
    ROW("\0010" V4, SPECIAL_ZONE),
    ROW("\003127" V4, SPECIAL_LOOPBACK4),
    ROW("\003254\003169" V4, SPECIAL_ZONE),
    ROW("\0012\0010\003192" V4, SPECIAL_ZONE),
    ROW("\003100\00251\003198" V4, SPECIAL_ZONE),
    ROW("\003113\0010\003203" V4, SPECIAL_ZONE),
    ROW("\003255\003255\003255\003255" V4, SPECIAL_ZONE),
    ROWS(10, 64, 127, "\003100" V4),
    ROW("\0010" ZEROS31 V6, SPECIAL_ZONE),
    ROW("\0011" ZEROS31 V6, SPECIAL_LOOPBACK6),
    ROW("\001d\001f" V6, SPECIAL_ZONE),
    ROWS(16, 8, 11, "\001e\001f" V6),
    ROW("\0018\001b\001d\0010\0011\0010\0010\0012" V6, SPECIAL_ZONE),
};

/* The number a label spells in base, without leading zeros; -1: none. */
static int label_number(const uint8_t *label, unsigned base)
{
    int value = 0;
    if (label[0] > 3 || (label[0] > 1 && label[1] == '0'))
        return -1;
    for (unsigned i = 1; i <= label[0]; i++) {
        int digit = label[i] >= '0' && label[i] <= '9'   ? label[i] - '0'
                    : label[i] >= 'a' && label[i] <= 'f' ? label[i] - 'a' + 10
                                                         : 99;
        if (digit >= (int)base)
            return -1;
        value = value * (int)base + digit;
    }
    return value;
}

/* Where the label before `end` begins. False: end is no boundary of labels, or the name's start. */
static bool label_before(const uint8_t *name, size_t end, size_t *ret_at)
{
    for (size_t at = 0; at < end; at += (size_t)name[at] + 1)
        if (at + name[at] + 1 == end) {
            *ret_at = at;
            return true;
        }
    return false;
}

static bool row_matches(const struct row *row, const uint8_t *name, size_t length,
                        struct special *ret)
{
    if (length < row->length || memcmp(name + length - row->length, row->zone, row->length) != 0)
        return false;
    size_t zone = length - row->length, before = 0;
    bool below = label_before(name, zone, &before);
    if (zone && !below)
        return false;
    if (row->base) {
        int number = below ? label_number(name + before, row->base) : -1;
        if (number < row->low || number > row->high)
            return false;
        zone = before;
    }
    *ret = (struct special){.kind = row->kind, .zone_offset = zone};
    return true;
}

static bool rows_match(const struct row *rows, size_t count, const uint8_t *name, size_t length,
                       struct special *ret)
{
    for (size_t i = 0; i < count; i++)
        if (row_matches(&rows[i], name, length, ret))
            return true;
    return false;
}

bool special_find(const uint8_t *name, size_t length, struct special *ret)
{
    static const uint8_t arpa[] = "\004arpa";
    if (length >= sizeof arpa && memcmp(name + length - sizeof arpa, arpa, sizeof arpa) == 0)
        return rows_match(under_arpa, sizeof under_arpa / sizeof *under_arpa, name, length, ret);
    return rows_match(tops, sizeof tops / sizeof *tops, name, length, ret);
}

bool special_forwards(const struct special *s, const struct pv_query_view *q)
{
    return s->kind == SPECIAL_HOME && s->zone_offset == 0 && q->question.type == PV_T_DS &&
           q->edns.dnssec_ok;
}

/* ---- the reply ---- */

#define TTL 10800

static void put_record(struct pv_writer *w, size_t owner_offset, uint16_t type, const void *rdata,
                       uint16_t length)
{
    pv_write16(w, (uint16_t)(0xc000 | (PV_HEADER + owner_offset)));
    pv_write16(w, type);
    pv_write16(w, PV_C_IN);
    pv_write32(w, TTL);
    pv_write16(w, length);
    pv_write(w, rdata, length);
}

/* zone IN SOA zone nobody.invalid. 1 3600 1200 604800 10800 */
static void put_soa(struct pv_writer *w, size_t zone_offset)
{
    uint8_t rdata[64];
    struct pv_writer r = pv_writer(rdata, sizeof rdata);
    pv_write16(&r, (uint16_t)(0xc000 | (PV_HEADER + zone_offset)));
    pv_write(&r, "\006nobody\007invalid", 16);
    static const uint32_t numbers[] = {1, 3600, 1200, 604800, TTL};
    for (size_t i = 0; i < 5; i++)
        pv_write32(&r, numbers[i]);
    put_record(w, zone_offset, PV_T_SOA, rdata, (uint16_t)pv_written(&r));
}

static void put_ns(struct pv_writer *w, size_t zone_offset)
{
    uint8_t rdata[2];
    pv_put16(rdata, (uint16_t)(0xc000 | (PV_HEADER + zone_offset)));
    put_record(w, zone_offset, PV_T_NS, rdata, sizeof rdata);
}

/* 127.in-addr.arpa holds 1.0.0.127.in-addr.arpa, so the names between exist, empty. */
static bool is_above_loopback4(const uint8_t *name, size_t length)
{
    static const uint8_t ptr[] = "\0011\0010\0010\003127" V4;
    return length < sizeof ptr && pv_name_under(ptr, sizeof ptr, name, length);
}

static bool is_loopback_ptr(const struct special *s, const struct pv_question *q)
{
    static const uint8_t ptr[] = "\0011\0010\0010\003127" V4;
    if (s->kind == SPECIAL_LOOPBACK6)
        return s->zone_offset == 0;
    return s->kind == SPECIAL_LOOPBACK4 && q->name_length == sizeof ptr &&
           memcmp(q->name, ptr, sizeof ptr) == 0;
}

/* Records of the answer section. */
static unsigned put_answer(struct pv_writer *w, const struct special *s,
                           const struct pv_question *q)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1}, loopback6[16] = {[15] = 1};
    bool zone =
        s->kind != SPECIAL_LOCALHOST && s->kind != SPECIAL_NO_NAME && s->kind != SPECIAL_NO_DATA;
    if (s->kind == SPECIAL_LOCALHOST && q->type == PV_T_A)
        put_record(w, 0, PV_T_A, loopback4, sizeof loopback4);
    else if (s->kind == SPECIAL_LOCALHOST && q->type == PV_T_AAAA)
        put_record(w, 0, PV_T_AAAA, loopback6, sizeof loopback6);
    else if (q->type == PV_T_PTR && is_loopback_ptr(s, q))
        put_record(w, 0, PV_T_PTR, "\011localhost", 11);
    else if (zone && s->zone_offset == 0 && q->type == PV_T_SOA)
        put_soa(w, 0);
    else if (zone && s->zone_offset == 0 && q->type == PV_T_NS)
        put_ns(w, 0);
    else
        return 0;
    return 1;
}

static bool name_exists(const struct special *s, const struct pv_question *q)
{
    switch (s->kind) {
    case SPECIAL_LOCALHOST:
    case SPECIAL_NO_DATA:
        return true;
    case SPECIAL_NO_NAME:
        return false;
    case SPECIAL_LOOPBACK4:
        return s->zone_offset == 0 || is_loopback_ptr(s, q) ||
               is_above_loopback4(q->name, q->name_length);
    case SPECIAL_ZONE:
    case SPECIAL_LOOPBACK6:
    case SPECIAL_HOME:
        break;
    }
    return s->zone_offset == 0;
}

size_t special_answer(const struct special *s, const struct pv_query_view *q, uint8_t *out,
                      size_t capacity)
{
    struct pv_writer w = pv_writer(out, capacity);
    unsigned rcode = name_exists(s, &q->question) ? PV_NOERROR : PV_NXDOMAIN;
    bool in = q->question.rrclass == PV_C_IN || q->question.rrclass == PV_C_ANY;
    struct pv_header h = {
        .id = q->header.id,
        .flags = (uint16_t)(PV_QR | PV_AA | PV_RA | (q->header.flags & (PV_RD | PV_CD)) | rcode),
        .qdcount = 1,
    };
    pv_header_write(&w, &h);
    pv_write(&w, q->question_bytes, q->question_length);
    h.ancount = in ? (uint16_t)put_answer(&w, s, &q->question) : 0;
    if (!h.ancount) {
        put_soa(&w, s->zone_offset);
        h.nscount = 1;
    }
    if (w.full)
        return 0;
    struct pv_writer again = pv_writer(out, PV_HEADER);
    pv_header_write(&again, &h);
    return pv_written(&w);
}
