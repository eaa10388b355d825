/* What a run tells: its trace where asked for, and the one line that replays a failure. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "base/status.h"

#include <stdint.h>

/* expected: a text that tells one failure from the others, or NULL. */
void report_begin(uint64_t seed, bool verbose, const char *expected, const uint64_t *now_us);
bool report_verbose(void);
/* A line of the trace: with its time, where it was asked for. */
void report_trace(const char *format, ...) PV_PRINTF(1, 2);
#define trace(...) (report_verbose() ? report_trace(__VA_ARGS__) : (void)0)

/* The run's fingerprint: equal for two runs of one seed, or the simulation is not deterministic. */
void report_mix(uint64_t);
uint64_t report_digest(void);

/* How the process ends where an invariant does not hold: with the expected text, or another. */
enum { REPORT_BROKEN = 1, REPORT_EXPECTED = 3 };
/* An invariant does not hold: says so and ends the process. */
void broken(const char *format, ...) PV_PRINTF(1, 2) __attribute__((noreturn));
#define must(cond, ...) ((cond) ? (void)0 : broken(__VA_ARGS__))

#endif
