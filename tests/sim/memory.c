#include "memory.h"

#include <stdbool.h>
#include <stdlib.h>

/* The linker's names for ours, and for the real ones. */
void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_aligned_alloc(size_t, size_t);
char *__real_strdup(const char *);
void __real_free(void *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_aligned_alloc(size_t, size_t);
char *__wrap_strdup(const char *);
void __wrap_free(void *);

static uint64_t to_spare, to_refuse, refused;
static long live;

static bool refuses(void)
{
    if (to_spare > 0) {
        to_spare--;
        return false;
    }
    if (to_refuse == 0)
        return false;
    to_refuse--;
    refused++;
    return true;
}

static void *counted(void *p)
{
    live += p != NULL;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return refuses() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuses() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (refuses())
        return NULL;
    return p ? __real_realloc(p, n) : counted(__real_realloc(p, n));
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return refuses() ? NULL : counted(__real_aligned_alloc(alignment, n));
}

char *__wrap_strdup(const char *s)
{
    return refuses() ? NULL : counted(__real_strdup(s));
}

void __wrap_free(void *p)
{
    live -= p != NULL;
    __real_free(p);
}

void *own_alloc(size_t n)
{
    void *p = __real_calloc(1, n ? n : 1);
    if (!p)
        abort();
    return counted(p);
}

void own_free(void *p)
{
    __wrap_free(p);
}

void memory_fail(uint64_t spared, uint64_t many)
{
    to_spare = many ? spared : 0;
    to_refuse = many;
}

uint64_t memory_refused(void)
{
    return refused;
}

long memory_live(void)
{
    return live;
}
