#include "serve/stats.h"

#include <stddef.h>

const uint32_t stats_bucket_us[STATS_BUCKETS - 1] = {
    100,    250,    500,    1000,    2500,    5000,    10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 1800000, 2500000, 4500000, 5000000,
};

static size_t bucket_of(uint32_t microseconds)
{
    size_t i = 0;
    while (i < STATS_BUCKETS - 1 && microseconds > stats_bucket_us[i])
        i++;
    return i;
}

void stats_answer(struct stats *s, unsigned rcode, enum stats_source source, uint32_t microseconds)
{
    stats_count(&s->answers[rcode < STATS_RCODES - 1 ? rcode : STATS_RCODES - 1], 1);
    stats_count(&s->durations[source][bucket_of(microseconds)], 1);
    stats_count(&s->duration_sum_us[source], microseconds);
}

static void add(_Atomic uint64_t *total, const _Atomic uint64_t *one)
{
    stats_count(total, atomic_load_explicit(one, memory_order_relaxed));
}

#define STATS_ADD(name) add(&total->name, &one->name);

void stats_add(struct stats *total, const struct stats *one)
{
    STATS_COUNTERS(STATS_ADD)
    for (size_t i = 0; i < STATS_RCODES; i++)
        add(&total->answers[i], &one->answers[i]);
    for (size_t i = 0; i < STATS_SOURCES; i++) {
        for (size_t j = 0; j < STATS_BUCKETS; j++)
            add(&total->durations[i][j], &one->durations[i][j]);
        add(&total->duration_sum_us[i], &one->duration_sum_us[i]);
    }
}
