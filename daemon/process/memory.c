#include "process/memory.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static _Thread_local bool ran_out;

static void *watched(void *p, size_t n)
{
    ran_out |= !p && n > 0;
    return p;
}

static void *watched_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return watched(malloc(n), n);
}

static void *watched_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return watched(realloc(p, n), n);
}

static void unwatched_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

void memory_watch(void)
{
    CRYPTO_set_mem_functions(watched_malloc, watched_realloc, unwatched_free);
}

bool memory_ran_out(void)
{
    bool did = ran_out;
    ran_out = false;
    return did;
}
