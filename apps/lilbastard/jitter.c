#include "jitter.h"

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit moves every output bit. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Uniform in [0, 1). */
static double draw(uint64_t seed, uint64_t connection, enum tt_lil_draw purpose)
{
    uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15u) + connection * 4 + (uint64_t)purpose);
    return (double)(bits >> 11) * 0x1p-53;
}

uint64_t tt_lil_jitter(const struct tt_lil_jitter *jitter, uint64_t connection,
                       enum tt_lil_draw purpose, uint64_t value)
{
    if (value == 0 || jitter->percent <= 0)
        return value;
    double spread = (2 * draw(jitter->seed, connection, purpose) - 1) * jitter->percent / 100;
    double result = (double)value * (1 + spread);
    return result < 1 ? 1 : (uint64_t)result;
}
