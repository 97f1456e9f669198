#include "dice.h"

#define PURPOSES 8 /* room for all of enum tt_bad_purpose */

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit moves every output bit. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t tt_bad_draw(uint64_t seed, uint64_t packet, enum tt_bad_purpose purpose)
{
    return mix(mix(seed + 0x9e3779b97f4a7c15u) + packet * PURPOSES + (uint64_t)purpose);
}

bool tt_bad_chance(uint64_t seed, uint64_t packet, enum tt_bad_purpose purpose, uint64_t permille)
{
    return tt_bad_draw(seed, packet, purpose) % 1000 < permille;
}
