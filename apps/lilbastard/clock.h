/* clock.h - the time of all of lilbastard: microseconds, monotonic. */
#ifndef TT_LIL_CLOCK_H
#define TT_LIL_CLOCK_H

#include <uv.h>

static inline uint64_t tt_lil_now_us(void)
{
    return uv_hrtime() / 1000;
}

#endif
