/* Health: what all threads learn of one upstream. Atomics; whoever wins a change of state writes
 * the log line, so it is said once per process; of one that changes all the time only some lines
 * are written, and how many are not. */
#ifndef PV_CONN_HEALTH_H
#define PV_CONN_HEALTH_H

#include "conn/proto.h"

/* Back-off: 250 ms x 2, at most 5 s, +-25 %. */
enum { PV_BACKOFF_FIRST_US = 250000, PV_BACKOFF_LAST_US = 5000000 };

/* Told when an upstream goes up or down, once per change in the process. NULL: nobody. */
void pv_health_set_watch(struct pv_upstream *, privy_event_callback *watch, void *arg);

/* An answer took so long. */
void pv_health_sample(struct pv_upstream *, uint64_t us);
/* None came in so long, and it was given up. */
void pv_health_outlived(struct pv_upstream *, uint64_t us);
/* It answered what was sent then: up. True: it was down before. A probe's answer proves the path
 * only: what went wrong before is remembered, so that the next failure finds the back-off where it
 * was. What was sent before it asked to be left alone proves nothing. */
bool pv_health_good(struct pv_upstream *, uint64_t now, uint64_t sent, bool probe);
/* It failed as an upstream: down, next trial after the back-off. */
void pv_health_bad(struct pv_upstream *, uint64_t now, enum pv_outcome, const char *reason);
/* A question to it went unanswered for longer than the try timeout; many in a row are a failure. */
void pv_health_timeout(struct pv_upstream *, uint64_t now, uint64_t waited_us);
/* What it said to a question was no answer; the same holds. */
void pv_health_useless(struct pv_upstream *, uint64_t now, enum pv_outcome, const char *reason);
/* It asks to be left alone for so long: down, but for trials where there is no other way out. */
void pv_health_rest(struct pv_upstream *, uint64_t now, uint64_t us, const char *reason);
/* Everything it did may be void (network, clock, keys changed): no back-off. */
void pv_health_forgive(struct pv_upstream *);
bool pv_health_is_down(const struct pv_upstream *);
/* Up again, but it has answered nothing but probes since. */
bool pv_health_is_doubtful(const struct pv_upstream *);
enum pv_outcome pv_health_outcome(const struct pv_upstream *); /* what took it down last */
void pv_health_reason(struct pv_upstream *, char *out, size_t capacity); /* "" when up */
/* May a trial begin now? Takes the permission: one caller in the process wins it. last_way_out: no
 * upstream of the pool is up, so the back-off does not count, only 4 trials a second. */
bool pv_health_take_trial(struct pv_upstream *, uint64_t now, bool last_way_out);
void pv_health_count(struct pv_upstream *, enum pv_result);

/* Learnt times, µs. */
uint64_t pv_health_srtt(const struct pv_upstream *); /* 0: none yet */
uint64_t pv_health_cost(const struct pv_upstream *); /* to choose by; 0: none yet */
uint64_t pv_health_try_timeout(
    const struct pv_upstream *); /* SRTT + 4 RTTVAR in [500 ms, 2 s]; 1 s */
uint64_t pv_health_hedge_after(
    const struct pv_upstream *); /* max(150 ms, 2 SRTT), at most 600 ms */
/* max(500 ms, 3 SRTT), at most 1.5 s: later there is no time left for another connection */
uint64_t pv_health_suspect_after(const struct pv_upstream *);

#endif
