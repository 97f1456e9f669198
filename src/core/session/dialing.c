#include "core/session/dialing.h"

#include "core/base/clock.h"
#include "core/base/siphash.h"

#define OF_USE_US        (10 * TT_SECOND) /* ended sooner without progress, it was no good */
#define REDIALS_A_SECOND 10u
#define REDIAL_PAUSE_US  (100 * TT_MS)
#define JITTER_PERCENT   20u

void tt_dialing_init(struct tt_dialing *d, const struct tt_dialing_config *config)
{
    *d = (struct tt_dialing){.config = *config};
}

/* --- when --- */

static bool is_slow(const struct tt_dialing *d, uint64_t now_us)
{
    return d->config.slow_us > 0 && now_us >= tt_deadline_after(d->begun_us, d->config.slow_us);
}

static uint64_t with_jitter(const struct tt_dialing *d, uint64_t us)
{
    const uint64_t dice = tt_siphash_u64(d->config.jitter_key, d->failed);
    const uint64_t spread_us = us * JITTER_PERCENT / 100;
    return us - spread_us + dice % (2 * spread_us + 1);
}

static uint64_t backoff_us(const struct tt_dialing *d)
{
    uint64_t us = d->config.first_us;
    for (uint32_t i = 1; i < d->failures && us < d->config.most_us; i++)
        us *= 2;
    return us < d->config.most_us ? us : with_jitter(d, d->config.most_us);
}

static void wait_for(struct tt_dialing *d, uint64_t now_us, uint64_t us)
{
    const uint64_t until_us = tt_deadline_after(now_us, us);
    d->wait_us = us;
    if (d->wait_until_us < until_us)
        d->wait_until_us = until_us;
}

static void count_failure(struct tt_dialing *d, uint64_t now_us)
{
    d->failures++;
    d->failed++;
    wait_for(d, now_us, backoff_us(d));
}

static void notice_slow(struct tt_dialing *d, uint64_t now_us)
{
    if (d->under_way == 0 || d->slow_counted || !is_slow(d, now_us))
        return;
    d->slow_counted = true;
    count_failure(d, now_us);
}

bool tt_dialing_is_due(struct tt_dialing *d, const struct tt_endpoint *e, uint64_t now_us)
{
    notice_slow(d, now_us);
    if (d->under_way >= TT_DIALS_AT_ONCE || (d->under_way > 0 && !d->slow_counted))
        return false;
    return now_us >= d->wait_until_us && tt_endpoint_wants_carrier(e);
}

uint64_t tt_dialing_deadline(const struct tt_dialing *d, const struct tt_endpoint *e,
                             uint64_t now_us)
{
    if (d->under_way > 0 && !d->slow_counted)
        return d->config.slow_us > 0 ? tt_deadline_after(d->begun_us, d->config.slow_us) : TT_NEVER;
    if (d->under_way >= TT_DIALS_AT_ONCE || !tt_endpoint_wants_carrier(e))
        return TT_NEVER;
    return d->wait_until_us > now_us ? d->wait_until_us : now_us;
}

/* --- what happens --- */

void tt_dialing_began(struct tt_dialing *d, uint64_t now_us)
{
    d->under_way++;
    d->begun++;
    d->begun_us = now_us;
    d->slow_counted = false;
}

void tt_dialing_up(struct tt_dialing *d)
{
    d->under_way--;
}

void tt_dialing_failed(struct tt_dialing *d, uint64_t now_us)
{
    d->under_way--;
    if (d->slow_counted && d->under_way == 0)
        d->slow_counted = false; /* it was counted when it became slow */
    else
        count_failure(d, now_us);
}

static bool too_many_redials(struct tt_dialing *d, uint64_t now_us)
{
    if (now_us - d->second_began_us > TT_SECOND) {
        d->second_began_us = now_us;
        d->redials_this_second = 0;
    }
    return ++d->redials_this_second > REDIALS_A_SECOND;
}

bool tt_dialing_ended(struct tt_dialing *d, const struct tt_carrier *c, uint64_t now_us)
{
    const bool planned = c->we_drain;
    const bool of_use = tt_carrier_progressed(c) || now_us - c->opened_us >= OF_USE_US;
    if (planned && of_use)
        return true;
    if (!planned && !of_use) {
        count_failure(d, now_us);
        return false;
    }
    if (of_use)
        tt_dialing_forget(d);
    if (too_many_redials(d, now_us))
        wait_for(d, now_us, REDIAL_PAUSE_US);
    return true;
}

void tt_dialing_forget(struct tt_dialing *d)
{
    d->failures = 0;
    d->wait_until_us = 0;
}
