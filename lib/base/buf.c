#include "base/buf.h"

#include "base/status.h"

#define KEEP_AT_MOST 4096 /* an empty queue holds on to no more */
#define LEAST        512

void pv_buf_init(struct pv_buf *b, size_t limit)
{
    *b = (struct pv_buf){.limit = limit};
}

void pv_buf_done(struct pv_buf *b)
{
    free(b->bytes);
    pv_buf_init(b, b->limit);
}

static void move_to_front(struct pv_buf *b)
{
    size_t length = pv_buf_length(b);
    if (b->begin && length)
        memmove(b->bytes, b->bytes + b->begin, length);
    b->begin = 0;
    b->end = length;
}

static bool grow(struct pv_buf *b, size_t needed)
{
    size_t capacity = b->capacity < LEAST / 2 ? LEAST : b->capacity * 2;
    if (capacity < needed)
        capacity = needed;
    if (capacity > b->limit)
        capacity = b->limit;
    uint8_t *bytes = realloc(b->bytes, capacity);
    if (!bytes)
        return false;
    b->bytes = bytes;
    b->capacity = capacity;
    return true;
}

uint8_t *pv_buf_reserve(struct pv_buf *b, size_t n)
{
    size_t length = pv_buf_length(b);
    if (n > b->limit || length > b->limit - n)
        return NULL;
    if (b->bytes && n <= b->capacity - b->end)
        return b->bytes + b->end;
    /* Moving alone is enough where it moves less than it wins, and has to do at the limit. */
    bool roomy = length + n <= b->capacity && (b->begin >= length || b->capacity == b->limit);
    if ((!b->bytes || !roomy) && !grow(b, length + n))
        return NULL;
    move_to_front(b);
    return b->bytes + b->end;
}

bool pv_buf_append(struct pv_buf *b, const void *bytes, size_t n)
{
    uint8_t *room = pv_buf_reserve(b, n);
    if (!room)
        return false;
    if (n)
        memcpy(room, bytes, n);
    pv_buf_grew(b, n);
    return true;
}

void pv_buf_consume(struct pv_buf *b, size_t n)
{
    if (PV_BUG_IF(n > pv_buf_length(b)))
        n = pv_buf_length(b);
    b->begin += n;
    if (b->begin < b->end)
        return;
    b->begin = b->end = 0;
    if (b->capacity > KEEP_AT_MOST)
        pv_buf_done(b);
}
