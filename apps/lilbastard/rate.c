#include "rate.h"

#define UNITS_PER_BYTE 1000000u

/* The bucket holds 20 ms worth: timers tick in milliseconds, and a late one must not cost speed. */
#define BUCKET_US 20000u

static uint64_t bucket_units(const struct tt_lil_rate *rate)
{
    uint64_t units = rate->bytes_per_s * BUCKET_US;
    return units > UNITS_PER_BYTE ? units : UNITS_PER_BYTE;
}

size_t tt_lil_rate_allows(struct tt_lil_rate *rate, uint64_t now_us)
{
    if (rate->bytes_per_s == 0)
        return SIZE_MAX;
    const uint64_t bucket = bucket_units(rate);
    const uint64_t elapsed_us = now_us - rate->filled_us;
    /* Divided, not multiplied: a long silence must not overflow. */
    if (elapsed_us > (bucket - rate->credit) / rate->bytes_per_s)
        rate->credit = bucket;
    else
        rate->credit += elapsed_us * rate->bytes_per_s;
    rate->filled_us = now_us;
    return (size_t)(rate->credit / UNITS_PER_BYTE);
}

void tt_lil_rate_spend(struct tt_lil_rate *rate, size_t bytes)
{
    if (rate->bytes_per_s > 0)
        rate->credit -= bytes * UNITS_PER_BYTE;
}

uint64_t tt_lil_rate_wait_us(const struct tt_lil_rate *rate, size_t wanted_bytes)
{
    uint64_t goal = bucket_units(rate) / 2;
    if (wanted_bytes < goal / UNITS_PER_BYTE)
        goal = wanted_bytes * UNITS_PER_BYTE;
    if (goal < UNITS_PER_BYTE)
        goal = UNITS_PER_BYTE;
    if (goal <= rate->credit || rate->bytes_per_s == 0)
        return 1;
    return (goal - rate->credit + rate->bytes_per_s - 1) / rate->bytes_per_s;
}
