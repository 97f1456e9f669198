/* dice.h - reproducible randomness: the same seed, packet and purpose fall the same way.
 *
 * A draw depends on nothing else, so runs with one seed decide alike whatever the timing was and
 * whichever other settings were made.
 */
#ifndef TT_BAD_DICE_H
#define TT_BAD_DICE_H

#include <stdbool.h>
#include <stdint.h>

enum tt_bad_purpose {
    TT_BAD_LOSS,
    TT_BAD_REORDER,
    TT_BAD_DUPLICATE,
    TT_BAD_JITTER,
    TT_BAD_JITTER_OF_COPY,
    TT_BAD_DIRECTION, /* the seed of a direction, out of the seed of all */
};

uint64_t tt_bad_draw(uint64_t seed, uint64_t packet, enum tt_bad_purpose purpose);

/* True in so many of a thousand cases. */
bool tt_bad_chance(uint64_t seed, uint64_t packet, enum tt_bad_purpose purpose, uint64_t permille);

#endif
