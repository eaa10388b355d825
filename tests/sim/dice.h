/* Chance in the simulated world: every draw follows from the seed. */
#ifndef SIM_DICE_H
#define SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t dice_next(struct dice *d)
{
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Another generator for another purpose: what one part draws does not shift the other's draws. */
static inline struct dice dice_for(uint64_t seed, uint64_t purpose)
{
    struct dice d = {seed * UINT64_C(0xd1342543de82ef95) + purpose};
    dice_next(&d);
    return d;
}

/* 0 .. sides - 1 */
static inline unsigned roll(struct dice *d, unsigned sides)
{
    return (unsigned)((dice_next(d) >> 32) * sides >> 32);
}

static inline bool chance(struct dice *d, unsigned percent)
{
    return roll(d, 100) < percent;
}

static inline uint64_t between(struct dice *d, uint64_t least, uint64_t most)
{
    return least + dice_next(d) % (most - least + 1);
}

#endif
