/* Counters of one worker. Only its thread writes them; anybody may read. */
#ifndef PRIVYDNSD_STATS_H
#define PRIVYDNSD_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* Upper bounds of the buckets of the durations, in microseconds; one more for all above. */
#define STATS_BUCKETS 18
extern const uint32_t stats_bucket_us[STATS_BUCKETS - 1];

enum stats_source { STATS_CACHE, STATS_UPSTREAM, STATS_LOCAL, STATS_SOURCES };
enum stats_rcode { STATS_RCODES = 7 }; /* NOERROR .. REFUSED, the last: other */

#define STATS_COUNTERS(X)                                                                          \
    X(queries_udp)                                                                                 \
    X(queries_tcp)                                                                                 \
    X(malformed)                                                                                   \
    X(refused_overload)                                                                            \
    X(send_failed)                                                                                 \
    X(tcp_accepted)                                                                                \
    X(tcp_refused)

#define STATS_MEMBER(name) _Atomic uint64_t name;

struct stats {
    STATS_COUNTERS(STATS_MEMBER)
    _Atomic uint64_t answers[STATS_RCODES];
    _Atomic uint64_t durations[STATS_SOURCES][STATS_BUCKETS];
    _Atomic uint64_t duration_sum_us[STATS_SOURCES];
};

/* One writer: no locked instruction is needed. */
static inline void stats_count(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

void stats_answer(struct stats *, unsigned rcode, enum stats_source, uint32_t microseconds);
/* Add one worker's counters to a total that nobody else sees. */
void stats_add(struct stats *total, const struct stats *);

#endif
