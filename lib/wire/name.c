#include "wire/name.h"

#define HEADER   12
#define HOPS_MAX 128

/* A name being read: runs of labels joined by pointers. */
struct walk {
    const uint8_t *message;
    size_t at, end; /* offsets in message */
    size_t begin;   /* of the run of labels we are in */
    size_t after;   /* where the reader goes on: behind the first pointer */
    size_t length;  /* so far, uncompressed */
    unsigned hops;
    bool rooted; /* the root was reached: all is read */
    const char *why;
};

static inline struct walk walk_begin(const struct pv_reader *r, const uint8_t *message)
{
    size_t at = (size_t)(r->at - message), end = r->bad ? at : (size_t)(r->end - message);
    return (struct walk){.message = message, .at = at, .begin = at, .end = end};
}

static inline bool walk_bad(struct walk *w, const char *why)
{
    w->why = why;
    return false;
}

/* Labels up to the next pointer or the root. */
static inline bool walk_labels(struct walk *w, uint8_t *out)
{
    while (w->at < w->end) {
        size_t n = w->message[w->at];
        if (n >= 0xc0)
            return true;
        if (n >= 0x40)
            return walk_bad(w, "reserved label type");
        if (w->end - w->at <= n)
            break;
        if (w->length + n + 1 > PV_NAME_MAX)
            return walk_bad(w, "name too long");
        if (out)
            memcpy(out + w->length, w->message + w->at, n + 1);
        w->length += n + 1;
        w->at += n + 1;
        w->rooted = n == 0;
        if (w->rooted)
            return true;
    }
    return walk_bad(w, "name runs past end");
}

/* Follow a pointer, strictly backwards: to before the labels it ends. So no name can loop. */
static inline bool walk_pointer(struct walk *w)
{
    if (w->end - w->at < 2)
        return walk_bad(w, "pointer cut");
    size_t target = pv_get16(w->message + w->at) & 0x3fff;
    if (target >= w->begin)
        return walk_bad(w, "pointer not backwards");
    if (target < HEADER)
        return walk_bad(w, "pointer into header");
    if (++w->hops > HOPS_MAX)
        return walk_bad(w, "too many pointer hops");
    if (!w->after)
        w->after = w->at + 2;
    w->at = w->begin = target;
    return true;
}

static inline size_t walk_end(const struct walk *w, struct pv_reader *r, const char **ret_why)
{
    if (w->why) {
        r->bad = true;
        if (ret_why)
            *ret_why = w->why;
        return 0;
    }
    r->at = w->message + (w->after ? w->after : w->at);
    return w->length;
}

size_t pv_name_read(struct pv_reader *r, const uint8_t *message, uint8_t out[PV_NAME_MAX],
                    const char **ret_why)
{
    struct walk w = walk_begin(r, message);
    while (walk_labels(&w, out) && !w.rooted && walk_pointer(&w))
        ;
    return walk_end(&w, r, ret_why);
}

size_t pv_name_read_plain(struct pv_reader *r, uint8_t out[PV_NAME_MAX])
{
    struct walk w = walk_begin(r, r->at);
    if (walk_labels(&w, out) && !w.rooted)
        walk_bad(&w, "pointer not allowed");
    r->at += w.why ? w.at : 0; /* the reader stays at what was wrong */
    return walk_end(&w, r, NULL);
}

void pv_name_skip(struct pv_reader *r)
{
    uint8_t n;
    while ((n = pv_u8(r)) != 0) {
        if (n >= 0xc0) {
            pv_take(r, 1);
            return;
        }
        pv_take(r, n);
    }
}

void pv_name_memo_init(struct pv_name_memo *memo, size_t message_length)
{
    size_t n = message_length < PV_NAME_MEMO ? message_length : PV_NAME_MEMO;
    memset(memo->at, 0, n * sizeof *memo->at);
}

/* Where the runs of the name just read began, and how much of it stood before each. */
struct run {
    size_t begin, before;
};

static void remember(struct pv_name_memo *memo, const struct run *runs, unsigned count,
                     const struct walk *w)
{
    for (unsigned i = 0; i < count; i++) {
        if (runs[i].begin >= PV_NAME_MEMO)
            continue;
        memo->at[runs[i].begin].length = (uint8_t)(w->length - runs[i].before);
        memo->at[runs[i].begin].hops = (uint8_t)(w->hops - i);
    }
}

size_t pv_name_check(struct pv_reader *r, const uint8_t *message, struct pv_name_memo *memo,
                     const char **ret_why)
{
    if (!memo)
        return pv_name_read(r, message, NULL, ret_why);
    struct walk w = walk_begin(r, message);
    struct run runs[HOPS_MAX + 1];
    unsigned count = 1;
    runs[0] = (struct run){.begin = w.begin};
    while (walk_labels(&w, NULL) && !w.rooted && walk_pointer(&w)) {
        if (memo->at[w.begin].length) {
            w.length += memo->at[w.begin].length;
            w.hops += memo->at[w.begin].hops;
            if (w.length > PV_NAME_MAX)
                walk_bad(&w, "name too long");
            else if (w.hops > HOPS_MAX)
                walk_bad(&w, "too many pointer hops");
            break;
        }
        runs[count++] = (struct run){.begin = w.begin, .before = w.length};
    }
    if (!w.why)
        remember(memo, runs, count, &w);
    return walk_end(&w, r, ret_why);
}

/* Length octets are below 'A': they need not be told from letters. */
static inline uint8_t lower(uint8_t c)
{
    unsigned is_upper = (unsigned)c - 'A' < 26;
    return (uint8_t)(c | is_upper << 5);
}

void pv_name_lower(uint8_t *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        name[i] = lower(name[i]);
}

bool pv_name_equal(const uint8_t *a, const uint8_t *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i] && lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

size_t pv_name_length(const uint8_t *name)
{
    size_t n = 0;
    while (name[n])
        n += name[n] + 1u;
    return n + 1;
}

bool pv_name_under(const uint8_t *name, size_t length, const uint8_t *zone, size_t zone_length)
{
    while (length > zone_length) {
        length -= *name + 1u;
        name += *name + 1u;
    }
    return length == zone_length && pv_name_equal(name, zone, length);
}

unsigned pv_name_labels(const uint8_t *name)
{
    unsigned count = 0;
    for (; *name; name += *name + 1u)
        count++;
    return count;
}

const uint8_t *pv_name_tail(const uint8_t *name, unsigned labels)
{
    for (unsigned have = pv_name_labels(name); have > labels; have--)
        name += *name + 1u;
    return name;
}

/* One octet of a label: plain, \X or \DDD. Advances *at; false: none of them. */
static bool text_octet(const char **at, const char *end, uint8_t *ret)
{
    const char *p = *at;
    if ((uint8_t)*p >= 0x80)
        return false;
    *ret = (uint8_t)*p;
    *at = p + 1;
    if (*p != '\\')
        return true;
    if (++p == end || (uint8_t)*p >= 0x80)
        return false;
    *ret = (uint8_t)*p;
    *at = p + 1;
    if (*p < '0' || *p > '9')
        return true;
    unsigned v = 0;
    for (unsigned i = 0; i < 3; i++, p++) {
        if (p == end || *p < '0' || *p > '9')
            return false;
        v = v * 10 + (unsigned)(*p - '0');
    }
    *ret = (uint8_t)v;
    *at = p;
    return v <= 255;
}

bool pv_name_from_text(const char *text, size_t length, uint8_t out[PV_NAME_MAX],
                       size_t *ret_length)
{
    const char *at = text, *end = text + length;
    uint8_t name[PV_NAME_MAX];
    size_t label = 0, n = 1; /* n: where the next octet goes; the last one is for the root */
    if (length == 0)
        return false;
    if (length == 1 && *text == '.')
        at = end;
    while (at < end) {
        if (*at == '.') {
            if (n == label + 1 || n >= PV_NAME_MAX)
                return false;
            name[label] = (uint8_t)(n - label - 1);
            label = n++;
            at++;
            continue;
        }
        if (n - label > 63 || n >= PV_NAME_MAX - 1 || !text_octet(&at, end, &name[n++]))
            return false;
    }
    if (n > label + 1) { /* no dot at the end */
        name[label] = (uint8_t)(n - label - 1);
        label = n++;
    }
    name[label] = 0;
    memcpy(out, name, n);
    *ret_length = n;
    return true;
}

static size_t octet_to_text(uint8_t c, char *out)
{
    if (c < 33 || c > 126) {
        out[0] = '\\';
        out[1] = (char)('0' + c / 100);
        out[2] = (char)('0' + c / 10 % 10);
        out[3] = (char)('0' + c % 10);
        return 4;
    }
    size_t n = 0;
    if (strchr("\".;\\()@$", c))
        out[n++] = '\\';
    out[n++] = (char)c;
    return n;
}

size_t pv_name_to_text(const uint8_t *name, char out[PV_NAME_TEXT])
{
    size_t n = 0;
    if (*name == 0)
        out[n++] = '.';
    for (; *name; name += *name + 1u) {
        for (unsigned i = 1; i <= *name; i++)
            n += octet_to_text(name[i], out + n);
        out[n++] = '.';
    }
    out[n] = '\0';
    return n;
}
