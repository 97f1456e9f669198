/* clock.h - time as the core sees it: microseconds that only grow, handed in by the caller. */
#ifndef TT_CORE_BASE_CLOCK_H
#define TT_CORE_BASE_CLOCK_H

#include <stdint.h>

/* No deadline. Arithmetic never produces it by accident. */
#define TT_NEVER UINT64_MAX

#define TT_MS     UINT64_C(1000)
#define TT_SECOND UINT64_C(1000000)

/* now + delay, but never past TT_NEVER - 1: a deadline that was set is not "no deadline". */
static inline uint64_t tt_deadline_after(uint64_t now_us, uint64_t delay_us)
{
    return delay_us < TT_NEVER - 1 - now_us ? now_us + delay_us : TT_NEVER - 1;
}

static inline uint64_t tt_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
