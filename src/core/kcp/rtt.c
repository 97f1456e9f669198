#include "core/kcp/rtt.h"

#define FIRST_RTO_US UINT64_C(200000)
#define MAX_RTO_US   UINT64_C(60000000)

void tt_rtt_init(struct tt_rtt *rtt)
{
    *rtt = (struct tt_rtt){.rto_us = FIRST_RTO_US};
}

static void smooth(struct tt_rtt *rtt, uint64_t sample_us)
{
    const uint64_t off_us =
        sample_us > rtt->smoothed_us ? sample_us - rtt->smoothed_us : rtt->smoothed_us - sample_us;
    rtt->variation_us = (3 * rtt->variation_us + off_us) / 4;
    rtt->smoothed_us = (7 * rtt->smoothed_us + sample_us) / 8;
    if (sample_us < rtt->least_us)
        rtt->least_us = sample_us;
}

void tt_rtt_sample(struct tt_rtt *rtt, const struct tt_rtt_config *config, uint64_t sample_us)
{
    if (sample_us > MAX_RTO_US)
        sample_us = MAX_RTO_US;
    if (rtt->sampled) {
        smooth(rtt, sample_us);
    } else {
        rtt->sampled = true;
        rtt->smoothed_us = sample_us;
        rtt->variation_us = sample_us / 2;
        rtt->least_us = sample_us;
    }
    const uint64_t spread_us = 4 * rtt->variation_us;
    uint64_t rto_us =
        rtt->smoothed_us + (spread_us > config->min_var_us ? spread_us : config->min_var_us);
    if (rto_us < config->min_rto_us)
        rto_us = config->min_rto_us;
    rtt->rto_us = rto_us < MAX_RTO_US ? rto_us : MAX_RTO_US;
}
