/* counters.h - which packets have come on a carrier that may disorder them (sealed.md M-10): a
 * window of 1,024 counters.
 */
#ifndef TT_CORE_SEAL_COUNTERS_H
#define TT_CORE_SEAL_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#define TT_COUNTERS_WINDOW 1024u

struct tt_counters {
    uint64_t next; /* one more than the highest; 0: none came */
    uint64_t bits[TT_COUNTERS_WINDOW / 64];
};

/* Whether a packet of that counter may still come: neither seen nor too old. */
bool tt_counters_may(const struct tt_counters *c, uint32_t counter);

/* It has come, and was valid; the caller has asked. */
void tt_counters_take(struct tt_counters *c, uint32_t counter);

#endif
