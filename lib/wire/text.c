/* RDATA as text: one table says, type by type, which fields follow each other. Text that cannot be
 * made because the RDATA is not of its type's form is made as \# [RFC 3597 §5], so that something
 * true is always shown. */
#include "wire/text.h"
#include "wire/rrtype.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

/* Where text goes: what does not fit is only counted. */
struct sink {
    char *out;
    size_t capacity, length;
};

static void put(struct sink *s, const char *text, size_t n)
{
    if (s->length < s->capacity) {
        size_t fits = s->capacity - s->length;
        memcpy(s->out + s->length, text, n < fits ? n : fits);
    }
    s->length += n;
}

static void puts_to(struct sink *s, const char *text)
{
    put(s, text, strlen(text));
}

static void __attribute__((format(printf, 2, 3))) putf(struct sink *s, const char *format, ...)
{
    char text[64];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    puts_to(s, text);
}

static void put_hex(struct sink *s, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < n; i++)
        put(s, (char[]){digits[p[i] >> 4], digits[p[i] & 15]}, 2);
}

/* In pieces of a multiple of 3 octets: only the last one is filled up. */
static void put_base64(struct sink *s, const uint8_t *p, size_t n)
{
    char text[65];

    for (size_t piece; n; n -= piece, p += piece) {
        piece = n < 48 ? n : 48;
        puts_to(s, sodium_bin2base64(text, sizeof text, p, piece, sodium_base64_VARIANT_ORIGINAL));
    }
}

static void put_escaped(struct sink *s, uint8_t c)
{
    if (c < ' ' || c > '~')
        putf(s, "\\%03u", (unsigned)c);
    else if (c == '"' || c == '\\')
        put(s, (char[]){'\\', (char)c}, 2);
    else
        put(s, (char[]){(char)c}, 1);
}

static void put_quoted(struct sink *s, const uint8_t *p, size_t n)
{
    puts_to(s, "\"");
    for (size_t i = 0; i < n; i++)
        put_escaped(s, p[i]);
    puts_to(s, "\"");
}

/* All that is left, in one of the ways above. */
static void put_all(struct sink *s, struct pv_reader *r,
                    void (*how)(struct sink *, const uint8_t *, size_t))
{
    size_t n = pv_left(r);
    const uint8_t *p = pv_take(r, n);

    if (p)
        how(s, p, n);
}

static void put_string(struct sink *s, struct pv_reader *r)
{
    struct pv_reader string = pv_sub(r, pv_u8(r));

    if (!string.bad)
        put_quoted(s, string.at, pv_left(&string));
}

static void put_name(struct sink *s, struct pv_reader *r, const uint8_t *message)
{
    uint8_t name[PV_NAME_MAX];
    char text[PV_NAME_TEXT];
    size_t length = message ? pv_name_read(r, message, name, NULL) : pv_name_read_plain(r, name);

    if (length)
        put(s, text, pv_name_to_text(name, text));
}

static void put_address(struct sink *s, struct pv_reader *r, int family)
{
    char text[INET6_ADDRSTRLEN];
    const uint8_t *p = pv_take(r, family == AF_INET ? 4 : 16);

    if (p && inet_ntop(family, p, text, sizeof text))
        puts_to(s, text);
}

/* Not gmtime(): that reads files. */
struct pv_day pv_day_of(uint32_t t)
{
    uint32_t days = t / 86400 + 719468; /* since 0000-03-01 */
    uint32_t era = days / 146097, doe = days % 146097;
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint32_t m = (5 * doy + 2) / 153; /* 0 is March */
    uint32_t month = m < 10 ? m + 3 : m - 9;
    return (struct pv_day){yoe + era * 400 + (month <= 2), month, doy - (153 * m + 2) / 5 + 1};
}

/* Seconds since 1970 as YYYYMMDDHHmmSS [RFC 4034 §3.2]. */
static void put_time(struct sink *s, uint32_t t)
{
    struct pv_day d = pv_day_of(t);
    uint32_t rest = t % 86400;

    putf(s, "%04u%02u%02u%02u%02u%02u", d.year, d.month, d.day, rest / 3600, rest / 60 % 60,
         rest % 60);
}

static void put_type(struct sink *s, uint16_t type)
{
    char text[16];

    puts_to(s, pv_type_text(type, text));
}

/* Windows of up to 32 octets, ascending; none is empty [RFC 4034 §4.1.2]. */
static void put_bitmap(struct sink *s, struct pv_reader *r)
{
    for (int last = -1; !r->bad && pv_left(r);) {
        uint8_t window = pv_u8(r), length = pv_u8(r);
        const uint8_t *p = pv_take(r, length);
        if (!p || length < 1 || length > 32 || window <= last) {
            r->bad = true;
            return;
        }
        last = window;
        for (unsigned bit = 0; bit < length * 8u; bit++)
            if (p[bit / 8] & 0x80 >> bit % 8) {
                puts_to(s, " ");
                put_type(s, (uint16_t)(window << 8 | bit));
            }
    }
}

/* Tag and value [RFC 8659 §4.1]. */
static void put_caa(struct sink *s, struct pv_reader *r)
{
    struct pv_reader tag = pv_sub(r, pv_u8(r));

    r->bad |= pv_left(&tag) == 0;
    for (const uint8_t *p = tag.at; p != tag.end; p++)
        r->bad |=
            !((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9'));
    if (r->bad)
        return;
    put(s, (const char *)tag.at, pv_left(&tag));
    puts_to(s, " ");
    put_all(s, r, put_quoted);
}

/* ---- service parameters [RFC 9460 §2.1, §7, appendix A] ---- */

enum {
    SVC_MANDATORY,
    SVC_ALPN,
    SVC_NO_DEFAULT_ALPN,
    SVC_PORT,
    SVC_IPV4HINT,
    SVC_ECH,
    SVC_IPV6HINT,
    SVC_DOHPATH,
    SVC_KNOWN
};

static void put_svc_key(struct sink *s, uint16_t key)
{
    static const char names[SVC_KNOWN][16] = {"mandatory", "alpn", "no-default-alpn", "port",
                                              "ipv4hint",  "ech",  "ipv6hint",        "dohpath"};

    if (key < SVC_KNOWN)
        puts_to(s, names[key]);
    else
        putf(s, "key%u", (unsigned)key);
}

/* One item of a list; a comma and a backslash inside it are escaped once for the list and once for
 * the string. */
static void put_alpn(struct sink *s, struct pv_reader *v)
{
    struct pv_reader id = pv_sub(v, pv_u8(v));

    v->bad |= pv_left(&id) == 0;
    for (; !v->bad && pv_left(&id); id.at++) {
        if (*id.at == ',' || *id.at == '\\')
            puts_to(s, "\\\\");
        put_escaped(s, *id.at);
    }
}

static void put_svc_list(struct sink *s, uint16_t key, struct pv_reader *v)
{
    const char *quote = key == SVC_ALPN ? "\"" : "";

    v->bad |= pv_left(v) == 0;
    puts_to(s, quote);
    for (bool first = true; !v->bad && pv_left(v); first = false) {
        puts_to(s, first ? "" : ",");
        if (key == SVC_ALPN)
            put_alpn(s, v);
        else if (key == SVC_MANDATORY)
            put_svc_key(s, pv_u16(v));
        else
            put_address(s, v, key == SVC_IPV4HINT ? AF_INET : AF_INET6);
    }
    puts_to(s, quote);
}

static void put_svc_value(struct sink *s, uint16_t key, struct pv_reader *v)
{
    if (key == SVC_NO_DEFAULT_ALPN || (key >= SVC_DOHPATH && pv_left(v) == 0))
        return;
    puts_to(s, "=");
    if (key == SVC_PORT) {
        putf(s, "%u", (unsigned)pv_u16(v));
    } else if (key == SVC_ECH) {
        v->bad |= pv_left(v) == 0;
        put_all(s, v, put_base64);
    } else if (key < SVC_DOHPATH) {
        put_svc_list(s, key, v);
    } else {
        put_all(s, v, put_quoted);
    }
}

static void put_svc_params(struct sink *s, struct pv_reader *r)
{
    for (int last = -1; !r->bad && pv_left(r);) {
        uint16_t key = pv_u16(r);
        struct pv_reader value = pv_sub(r, pv_u16(r));
        puts_to(s, " ");
        put_svc_key(s, key);
        if (!value.bad)
            put_svc_value(s, key, &value);
        r->bad |= value.bad || pv_left(&value) || key <= last;
        last = key;
    }
}

/* ---- the table ---- */

/* One letter a field:
 *   a A  IPv4, IPv6 address        1 2 4  unsigned number of so many octets
 *   n N  name, name without pointer   t T    type, time
 *   s S  string, strings to the end   x b    hexadecimal, base64 to the end
 *   B C P  type bitmap, CAA tag and value, service parameters: to the end */
static const struct {
    uint16_t type;
    char fields[12];
} forms[] = {
    {PV_T_A, "a"},         {PV_T_NS, "n"},      {PV_T_CNAME, "n"}, {PV_T_SOA, "nn44444"},
    {PV_T_PTR, "n"},       {PV_T_HINFO, "ss"},  {PV_T_MX, "2n"},   {PV_T_TXT, "S"},
    {PV_T_AAAA, "A"},      {PV_T_SRV, "222n"},  {35, "22sssn"},    {PV_T_DNAME, "n"},
    {PV_T_DS, "211x"},     {44, "11x"},         {PV_T_NSEC, "NB"}, {PV_T_RRSIG, "t114TT2Nb"},
    {PV_T_DNSKEY, "211b"}, {52, "111x"},        {59, "211x"},      {60, "211b"},
    {PV_T_SVCB, "2NP"},    {PV_T_HTTPS, "2NP"}, {99, "S"},         {257, "1C"},
};

static const char *form_of(uint16_t type)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].type == type)
            return forms[i].fields;
    return NULL;
}

/* Fields that run to the end. */
static void put_rest(struct sink *s, char field, struct pv_reader *r)
{
    if (field == 'B') {
        put_bitmap(s, r);
    } else if (field == 'P') {
        put_svc_params(s, r);
    } else if (field == 'C') {
        put_caa(s, r);
    } else if (field == 'S') {
        do {
            put_string(s, r);
            puts_to(s, !r->bad && pv_left(r) ? " " : "");
        } while (!r->bad && pv_left(r));
    } else {
        r->bad |= pv_left(r) == 0;
        put_all(s, r, field == 'x' ? put_hex : put_base64);
    }
}

static void put_field(struct sink *s, char field, struct pv_reader *r, const uint8_t *message)
{
    switch (field) {
    case '1':
        putf(s, "%u", (unsigned)pv_u8(r));
        break;
    case '2':
        putf(s, "%u", (unsigned)pv_u16(r));
        break;
    case '4':
        putf(s, "%u", (unsigned)pv_u32(r));
        break;
    case 'a':
    case 'A':
        put_address(s, r, field == 'a' ? AF_INET : AF_INET6);
        break;
    case 'n':
    case 'N':
        put_name(s, r, field == 'n' ? message : NULL);
        break;
    case 't':
        put_type(s, pv_u16(r));
        break;
    case 'T':
        put_time(s, pv_u32(r));
        break;
    case 's':
        put_string(s, r);
        break;
    default:
        put_rest(s, field, r);
    }
}

static bool put_form(struct sink *s, const char *fields, struct pv_reader *r,
                     const uint8_t *message)
{
    for (const char *f = fields; *f && !r->bad; f++) {
        /* These two write their own separators: they may be empty. */
        if (f != fields && *f != 'B' && *f != 'P')
            puts_to(s, " ");
        put_field(s, *f, r, message);
    }
    return !r->bad && pv_left(r) == 0;
}

size_t pv_rdata_text(const uint8_t *message, size_t message_length, uint16_t type,
                     const uint8_t *rdata, uint16_t rdata_length, char *out, size_t capacity)
{
    struct sink s = {.out = out, .capacity = capacity};
    struct pv_reader r = pv_reader(rdata, rdata_length);
    const char *fields = form_of(type);
    bool inside = rdata >= message && rdata_length <= message_length &&
                  (size_t)(rdata - message) <= message_length - rdata_length;

    if (!fields || !inside || !put_form(&s, fields, &r, message)) {
        s.length = 0;
        putf(&s, "\\# %u%s", (unsigned)rdata_length, rdata_length ? " " : "");
        put_hex(&s, rdata, rdata_length);
    }
    if (capacity)
        out[s.length < capacity ? s.length : capacity - 1] = 0;
    return s.length;
}
