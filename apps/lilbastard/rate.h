/* rate.h - a token bucket: how many bytes may leave now, and when the next ones may.
 *
 * Time is an argument, in microseconds. An object of all zeroes but bytes_per_s is ready for use.
 */
#ifndef TT_LIL_RATE_H
#define TT_LIL_RATE_H

#include <stddef.h>
#include <stdint.h>

struct tt_lil_rate {
    uint64_t bytes_per_s; /* 0: no limit */
    uint64_t filled_us;   /* when credit was last brought up to date */
    uint64_t credit;      /* in millionths of a byte */
};

/* Bytes that may leave at now_us; SIZE_MAX without a limit. */
size_t tt_lil_rate_allows(struct tt_lil_rate *rate, uint64_t now_us);

/* Takes bytes that have left; at most what tt_lil_rate_allows() said. */
void tt_lil_rate_spend(struct tt_lil_rate *rate, size_t bytes);

/* Microseconds from the last tt_lil_rate_allows() until it is worth while to send again: until
 * wanted_bytes may leave, or the bucket is half full, whichever is sooner. At least 1.
 */
uint64_t tt_lil_rate_wait_us(const struct tt_lil_rate *rate, size_t wanted_bytes);

#endif
