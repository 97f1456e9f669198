/* random.h - where the core's random bytes come from: a function that the caller hands in.
 *
 * A program gives the system's generator; a simulation gives a seeded one, and its runs repeat to
 * the byte.
 */
#ifndef TT_CORE_BASE_RANDOM_H
#define TT_CORE_BASE_RANDOM_H

#include <stddef.h>

struct tt_random {
    /* Fills out with len unpredictable bytes. Returns 0, or TT_E_SYSTEM: out means nothing. */
    int (*fill)(void *ctx, void *out, size_t len);
    void *ctx;
};

#endif
