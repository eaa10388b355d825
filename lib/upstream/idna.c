#include "upstream/idna.h"

#include <stdint.h>
#include <string.h>

enum { LABEL_MOST = 63 };

/* The next code point, or -1: overlong, a surrogate, beyond Unicode, cut. */
static int32_t next_code(const char **at, const char *end)
{
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t) * (*at)++;
    unsigned more = first < 0x80 ? 0 : first < 0xC0 ? 4 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    if (more == 0)
        return first;
    if (more == 4 || first > 0xF4 || (size_t)(end - *at) < more)
        return -1;
    int32_t code = first & (0x3F >> more);
    for (unsigned i = 0; i < more; i++) {
        uint8_t next = (uint8_t) * (*at)++;
        if ((next & 0xC0) != 0x80)
            return -1;
        code = code << 6 | (next & 0x3F);
    }
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code < least[more] || code > 0x10FFFF || surrogate ? -1 : code;
}

bool pv_is_utf8(const char *text, size_t length)
{
    for (const char *at = text, *end = text + length; at < end;)
        if (next_code(&at, end) < 0)
            return false;
    return true;
}

/* ---- Punycode [RFC 3492 §6] ---- */

static int32_t adapt(int32_t delta, int32_t points, bool first)
{
    int32_t k = 0;
    delta = first ? delta / 700 : delta / 2;
    delta += delta / points;
    for (; delta > 455; k += 36)
        delta /= 35;
    return k + 36 * delta / (delta + 38);
}

struct out {
    char *at, *end;
    bool full;
};

static void put(struct out *o, char c)
{
    o->full |= o->at == o->end;
    if (!o->full)
        *o->at++ = c;
}

static void put_number(struct out *o, int32_t q, int32_t bias)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (int32_t k = 36;; k += 36) {
        int32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        if (q < t)
            break;
        put(o, digits[t + (q - t) % (36 - t)]);
        q = (q - t) / (36 - t);
    }
    put(o, digits[q]);
}

static void put_label(struct out *o, const int32_t *codes, int32_t count, int32_t basic)
{
    int32_t n = 0x80, delta = 0, bias = 72;
    for (int32_t done = basic; done < count; delta++, n++) {
        int32_t least = 0x10FFFF;
        for (int32_t i = 0; i < count; i++)
            least = codes[i] >= n && codes[i] < least ? codes[i] : least;
        delta += (least - n) * (done + 1);
        n = least;
        for (int32_t i = 0; i < count; i++) {
            delta += codes[i] < n;
            if (codes[i] != n)
                continue;
            put_number(o, delta, bias);
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
}

/* ---- labels ---- */

static char lower(int32_t c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : (char)c;
}

static void convert(struct out *o, const char *text, size_t length)
{
    int32_t codes[LABEL_MOST], count = 0, basic = 0;
    for (const char *at = text, *end = text + length; at < end;) {
        if (count == LABEL_MOST) {
            o->full = true;
            return;
        }
        codes[count] = next_code(&at, end);
        basic += codes[count++] < 0x80;
    }
    if (basic < count)
        for (const char *prefix = "xn--"; *prefix; prefix++)
            put(o, *prefix);
    for (int32_t i = 0; i < count; i++)
        if (codes[i] < 0x80)
            put(o, lower(codes[i]));
    if (basic == count)
        return;
    if (basic > 0)
        put(o, '-');
    put_label(o, codes, count, basic);
}

bool pv_idna_to_ascii(const char *text, size_t length, char *out, size_t capacity)
{
    struct out o = {.at = out, .end = out + capacity - 1};
    for (const char *end = text + length;;) {
        const char *dot = memchr(text, '.', (size_t)(end - text));
        convert(&o, text, (size_t)((dot ? dot : end) - text));
        if (!dot)
            break;
        put(&o, '.');
        text = dot + 1;
    }
    *o.at = 0;
    return !o.full;
}
