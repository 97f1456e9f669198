/* test.h - what every unit test includes: cmocka, or its stand-in where there is none, and a few
 * words of our own.
 *
 * scripts/check-portable builds the tests for machines that Debian has no cmocka for; it defines
 * TT_MINIMAL_CMOCKA.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef TT_MINIMAL_CMOCKA
#include "minimal_cmocka.h"
#else
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Two initialisers, pointer and length, from a string literal that may hold NULs. */
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

/* The next number of a repeatable sequence; *seed is its state (SplitMix64). */
static inline uint64_t test_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* One in [0, n). */
static inline size_t test_random_below(uint64_t *seed, size_t n)
{
    return (size_t)(test_random(seed) % n);
}

#endif
