#include "base/random.h"

#include "base/status.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#define BATCH 512 /* one system call for so many octets */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_uint forks; /* a child must not go on with its parent's batch */

static _Thread_local struct {
    uint8_t bytes[BATCH];
    size_t left;
    unsigned forks;
    uint64_t seed; /* 0: real chance */
} batch;

static void forked(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void start(void)
{
    PV_BUG_IF(sodium_init() < 0);
    pthread_atfork(NULL, NULL, forked);
}

/* splitmix64: good enough for tests, and the same everywhere. */
static uint64_t seeded_next(void)
{
    uint64_t z = batch.seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void seeded_fill(uint8_t *out, size_t length)
{
    for (size_t i = 0; i < length; i += 8) {
        uint64_t v = seeded_next();
        for (size_t j = i; j < length && j < i + 8; j++, v >>= 8)
            out[j] = (uint8_t)v;
    }
}

static void refill_if_needed(size_t length)
{
    pthread_once(&once, start);
    unsigned now = atomic_load_explicit(&forks, memory_order_relaxed);
    if (batch.left >= length && batch.forks == now)
        return;
    randombytes_buf(batch.bytes, BATCH);
    batch.left = BATCH;
    batch.forks = now;
}

void pv_random(void *bytes, size_t length)
{
    if (batch.seed) {
        seeded_fill(bytes, length);
        return;
    }
    if (length > BATCH / 4) {
        pthread_once(&once, start);
        randombytes_buf(bytes, length);
        return;
    }
    refill_if_needed(length);
    batch.left -= length;
    memcpy(bytes, batch.bytes + batch.left, length);
    memset(batch.bytes + batch.left, 0, length); /* what was given out is nowhere else */
}

uint32_t pv_random_below(uint32_t bound)
{
    uint32_t least = (0u - bound) % bound; /* below it the numbers would not be even */
    for (;;) {
        uint32_t v;
        pv_random(&v, sizeof v);
        if (v >= least)
            return v % bound;
    }
}

void pv_random_seed(uint64_t seed)
{
    batch.seed = seed;
}
