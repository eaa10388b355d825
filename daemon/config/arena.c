#include "config/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 8192 };

struct chunk {
    struct chunk *next;
    size_t used, capacity;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct chunk *chunks;
};

struct arena *arena_new(void)
{
    return calloc(1, sizeof(struct arena));
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    while (a->chunks) {
        struct chunk *c = a->chunks;
        a->chunks = c->next;
        free(c);
    }
    free(a);
}

static struct chunk *chunk_add(struct arena *a, size_t least)
{
    size_t capacity = least > CHUNK ? least : CHUNK;
    struct chunk *c = calloc(1, sizeof *c + capacity);
    if (!c)
        return NULL;
    c->capacity = capacity;
    c->next = a->chunks;
    a->chunks = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + align - 1) / align * align;
    struct chunk *c = a->chunks;
    if (!c || c->capacity - c->used < size)
        c = chunk_add(a, size);
    if (!c)
        return NULL;
    c->used += size;
    return c->bytes + c->used - size;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    return count > SIZE_MAX / 4 / size ? NULL : arena_alloc(a, count * size);
}

char *arena_copy(struct arena *a, const char *text, size_t length)
{
    char *copy = arena_alloc(a, length + 1);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : arena_alloc(a, (size_t)length + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}
