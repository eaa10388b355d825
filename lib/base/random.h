/* Chance: the only place that asks the machine for it. Tests put a seeded generator here. */
#ifndef PV_BASE_RANDOM_H
#define PV_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void pv_random(void *bytes, size_t length); /* libsodium; batched, per thread; thread-safe */
uint32_t pv_random_below(uint32_t bound);   /* uniform in [0, bound), bound > 0 */
/* For tests: from now on, on this thread, the numbers follow from the seed; 0 = real chance again.
 */
void pv_random_seed(uint64_t seed);

#endif
