/* Bytes: a bounded reader and a bounded writer with a sticky error, and a growing queue of bytes.
 * All parsers of foreign bytes read through pv_reader. */
#ifndef PV_BASE_BUF_H
#define PV_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t pv_get16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t pv_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void pv_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void pv_put32(uint8_t *p, uint32_t v)
{
    pv_put16(p, (uint16_t)(v >> 16));
    pv_put16(p + 2, (uint16_t)v);
}

/* Reader. After the first read past the end it is bad, and every later read gives 0 or NULL: read
 * all, ask once. */
struct pv_reader {
    const uint8_t *at, *end;
    bool bad;
};

static inline struct pv_reader pv_reader(const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    return (struct pv_reader){.at = p, .end = p + length};
}

static inline size_t pv_left(const struct pv_reader *r)
{
    return (size_t)(r->end - r->at);
}

static inline const uint8_t *pv_take(struct pv_reader *r, size_t n)
{
    if (r->bad || pv_left(r) < n) {
        r->bad = true;
        return NULL;
    }
    r->at += n;
    return r->at - n;
}

static inline uint8_t pv_u8(struct pv_reader *r)
{
    const uint8_t *p = pv_take(r, 1);
    return p ? p[0] : 0;
}

static inline uint16_t pv_u16(struct pv_reader *r)
{
    const uint8_t *p = pv_take(r, 2);
    return p ? pv_get16(p) : 0;
}

static inline uint32_t pv_u32(struct pv_reader *r)
{
    const uint8_t *p = pv_take(r, 4);
    return p ? pv_get32(p) : 0;
}

/* The next n bytes as a reader of their own (bad if there are fewer). */
static inline struct pv_reader pv_sub(struct pv_reader *r, size_t n)
{
    const uint8_t *p = pv_take(r, n);
    if (!p)
        return (struct pv_reader){.bad = true};
    return pv_reader(p, n);
}

/* Writer into a fixed buffer, with the same manners: full once, all later writes do nothing. */
struct pv_writer {
    uint8_t *start, *at, *end;
    bool full;
};

static inline struct pv_writer pv_writer(void *bytes, size_t capacity)
{
    uint8_t *p = bytes;
    return (struct pv_writer){.start = p, .at = p, .end = p + capacity};
}

static inline size_t pv_written(const struct pv_writer *w)
{
    return (size_t)(w->at - w->start);
}

/* Room for n bytes, to be filled by the caller; NULL when they do not fit. */
static inline uint8_t *pv_room(struct pv_writer *w, size_t n)
{
    if (w->full || (size_t)(w->end - w->at) < n) {
        w->full = true;
        return NULL;
    }
    w->at += n;
    return w->at - n;
}

static inline void pv_write(struct pv_writer *w, const void *bytes, size_t n)
{
    uint8_t *p = pv_room(w, n);
    if (p && n)
        memcpy(p, bytes, n);
}

static inline void pv_write8(struct pv_writer *w, uint8_t v)
{
    pv_write(w, &v, 1);
}

static inline void pv_write16(struct pv_writer *w, uint16_t v)
{
    uint8_t *p = pv_room(w, 2);
    if (p)
        pv_put16(p, v);
}

static inline void pv_write32(struct pv_writer *w, uint32_t v)
{
    uint8_t *p = pv_room(w, 4);
    if (p)
        pv_put32(p, v);
}

/* A queue of bytes: append at the end, consume from the front. Grows to `limit` and no further. */
struct pv_buf {
    uint8_t *bytes;    /* the allocation */
    size_t begin, end; /* what is queued: bytes[begin..end) */
    size_t capacity, limit;
};

void pv_buf_init(struct pv_buf *, size_t limit);
void pv_buf_done(struct pv_buf *); /* frees; the buf can be used again */

static inline size_t pv_buf_length(const struct pv_buf *b)
{
    return b->end - b->begin;
}

static inline uint8_t *pv_buf_front(const struct pv_buf *b)
{
    return b->bytes + b->begin;
}

/* Make room for n more bytes and return where they go (then pv_buf_grew). NULL: over the limit, or
 * no memory; what is queued stays. */
uint8_t *pv_buf_reserve(struct pv_buf *, size_t n);
static inline void pv_buf_grew(struct pv_buf *b, size_t n)
{
    b->end += n;
}
bool pv_buf_append(struct pv_buf *, const void *bytes, size_t n);
/* Drop n bytes from the front. An emptied queue larger than 4 KiB gives its memory back. */
void pv_buf_consume(struct pv_buf *, size_t n);

#endif
