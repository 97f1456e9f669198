/* seq.h - numbers modulo 2^32 (sequence numbers, millisecond clocks), compared by difference. */
#ifndef TT_CORE_BASE_SEQ_H
#define TT_CORE_BASE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

/* Positive when a is after b, which is less than 2^31 away (K-21). */
static inline int32_t tt_seq_diff(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

static inline bool tt_seq_before(uint32_t a, uint32_t b)
{
    return tt_seq_diff(a, b) < 0;
}

#endif
