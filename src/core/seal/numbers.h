/* numbers.h - which carrier numbers of a session a server has seen (sealed.md M-8, M-11).
 *
 * Epochs of 64 numbers; the highest that was proven and the one before are remembered, 128 bits;
 * all before is refused.
 */
#ifndef TT_CORE_SEAL_NUMBERS_H
#define TT_CORE_SEAL_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

#define TT_EPOCH_CARRIERS 64u
#define TT_EPOCHS_AHEAD   64u              /* M-8 */
#define TT_CARRIERS_MAX   ((1u << 24) - 1) /* the highest number */

struct tt_numbers {
    uint32_t epoch;   /* the highest */
    uint64_t seen[2]; /* of the epoch before, of the highest; a bit a number */
};

/* Whether a carrier of that number may still appear: not seen, not of an epoch before the two, not
 * more than 64 epochs ahead, not above the highest number.
 */
bool tt_numbers_may(const struct tt_numbers *n, uint32_t number);

/* It has appeared, or is named gone; the caller has asked. The highest epoch may step. */
void tt_numbers_take(struct tt_numbers *n, uint32_t number);

#endif
