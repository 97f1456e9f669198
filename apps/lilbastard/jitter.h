/* jitter.h - reproducible randomness: the same seed, connection and purpose give the same value.
 *
 * A draw depends on nothing else, so runs with one seed agree whatever the timing was and whichever
 * other options were given.
 */
#ifndef TT_LIL_JITTER_H
#define TT_LIL_JITTER_H

#include <stdint.h>

enum tt_lil_draw { TT_LIL_DRAW_LIFETIME, TT_LIL_DRAW_BYTES, TT_LIL_DRAW_DELAY };

struct tt_lil_jitter {
    uint64_t seed;
    double percent; /* 0..100 */
};

/* value +- percent, for the connection of that number (1 is the first). Never 0 unless value is. */
uint64_t tt_lil_jitter(const struct tt_lil_jitter *jitter, uint64_t connection,
                       enum tt_lil_draw purpose, uint64_t value);

#endif
