/* Every option of the library, one row each. The structs, their defaults and bounds, the daemon's
 * YAML keys, `privydnsd -p`, conf/privydns.yaml and the manual's tables all expand from these rows.
 * A new option is a new row at the end (the order is the ABI) and its use.
 *
 * X(name, unit, least, most, default, meaning) */
#ifndef PRIVYDNS_OPTIONS_H
#define PRIVYDNS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum privy_unit {
    PRIVY_UNIT_COUNT,
    PRIVY_UNIT_BOOL,
    PRIVY_UNIT_MS,      /* a duration, in milliseconds */
    PRIVY_UNIT_MS_AUTO, /* the same; 0 is `auto`: learnt while running */
    PRIVY_UNIT_BYTES,
    PRIVY_UNIT_PERCENT,
    PRIVY_UNIT_STRATEGY, /* enum privy_strategy */
    PRIVY_UNIT_ECS,      /* enum privy_ecs */
};

/* In which order the upstreams of a set are asked. */
enum privy_strategy {
    PRIVY_FASTEST, /* lowest measured round trip first */
    PRIVY_ORDERED, /* as added */
    PRIVY_SPREAD,  /* evenly, at random */
    PRIVY_SHARD,   /* each site always by the same operator */
};

/* What becomes of a client's EDNS Client Subnet option [RFC 7871 §7.1.2]; it never goes out. */
enum privy_ecs {
    PRIVY_ECS_STRIP, /* no option is sent */
    PRIVY_ECS_ZERO,  /* source prefix 0 is sent: asks the upstream to use none */
};

#define PRIVY_QUERY_OPTIONS(X)                                                                     \
    X(deadline, PRIVY_UNIT_MS, 100, 30000, 4500, "whole life of a question")                       \
    X(tries, PRIVY_UNIT_COUNT, 1, 16, 4, "attempts really sent, at most")                          \
    X(try_timeout, PRIVY_UNIT_MS_AUTO, 0, 10000, 0,                                                \
      "without an answer for so long, the next upstream is asked too")                             \
    X(hedge, PRIVY_UNIT_MS_AUTO, 0, 10000, 0,                                                      \
      "without an answer for so long, another upstream is asked too, within hedge_budget")         \
    X(hedge_budget, PRIVY_UNIT_PERCENT, 0, 100, 5, "share of questions that may be hedged")        \
    X(padding, PRIVY_UNIT_COUNT, 0, 512, 128,                                                      \
      "encrypted questions are padded to a multiple of this; 0 is none")                           \
    X(ecs, PRIVY_UNIT_ECS, 0, 1, PRIVY_ECS_STRIP, "what becomes of a client's subnet option")

#define PRIVY_CACHE_OPTIONS(X)                                                                     \
    X(size, PRIVY_UNIT_BYTES, 0, 2147483647, 33554432, "memory for answers, at most; 0 is none")   \
    X(min_ttl, PRIVY_UNIT_MS, 0, 3600000, 0, "shorter TTLs are kept this long, all the same")      \
    X(max_ttl, PRIVY_UNIT_MS, 1000, 604800000, 86400000, "longer TTLs are cut")                    \
    X(max_negative_ttl, PRIVY_UNIT_MS, 1000, 86400000, 3600000,                                    \
      "the same for 'no such name' and 'no data'")                                                 \
    X(failure_ttl, PRIVY_UNIT_MS, 1000, 300000, 5000,                                              \
      "an upstream's SERVFAIL is remembered this long, doubling to 60s")                           \
    X(stale, PRIVY_UNIT_MS, 0, 604800000, 86400000,                                                \
      "expired answers are kept this long for when no upstream answers; 0 is never")               \
    X(stale_after, PRIVY_UNIT_MS, 0, 10000, 1800,                                                  \
      "without an answer for so long, an expired one is given")                                    \
    X(prefetch, PRIVY_UNIT_BOOL, 0, 1, 1, "refresh an answer that is asked for and soon expires")

#define PRIVY_LIMIT_OPTIONS(X)                                                                     \
    X(inflight, PRIVY_UNIT_COUNT, 1, 1000000, 10000, "unanswered questions, at most")              \
    X(connections_per_upstream, PRIVY_UNIT_COUNT, 1, 64, 4,                                        \
      "connections to one upstream, at most (each worker)")

#define PRIVY_POOL_OPTIONS(X)                                                                      \
    X(strategy, PRIVY_UNIT_STRATEGY, 0, 3, PRIVY_FASTEST, "which upstream is asked first")         \
    X(trust_ad, PRIVY_UNIT_BOOL, 0, 1, 0, "pass on the AD bit of these upstreams")                 \
    X(plaintext, PRIVY_UNIT_BOOL, 0, 1, 0, "allow unencrypted upstreams")

#define PRIVY_OPTION_MEMBER(name, unit, least, most, def, meaning) uint32_t name;

struct privy_query_options {
    size_t size; /* sizeof, as compiled: set by the _default function */
    PRIVY_QUERY_OPTIONS(PRIVY_OPTION_MEMBER)
};

struct privy_cache_options {
    size_t size_of; /* as above; `size` is the cache's */
    PRIVY_CACHE_OPTIONS(PRIVY_OPTION_MEMBER)
};

struct privy_limit_options {
    size_t size;
    PRIVY_LIMIT_OPTIONS(PRIVY_OPTION_MEMBER)
};

struct privy_pool_options {
    size_t size;
    PRIVY_POOL_OPTIONS(PRIVY_OPTION_MEMBER)
};

#endif
