/* rtt.h - round-trip time and retransmission timeout of one path (spec kcp.md section 7).
 *
 * Microseconds, since we know when each segment left; kcp-go has whole milliseconds. The smoothing
 * is that of RFC 6298 (as in the C original), not kcp-go's, whose shifts round to nothing on fast
 * paths; nothing of it shows on the wire.
 */
#ifndef TT_CORE_KCP_RTT_H
#define TT_CORE_KCP_RTT_H

#include <stdbool.h>
#include <stdint.h>

struct tt_rtt_config {
    uint32_t min_rto_us;
    uint32_t min_var_us; /* least that is added to the smoothed time: the peer's ack delay */
};

struct tt_rtt {
    uint64_t smoothed_us; /* 0 and !sampled: no sample yet */
    uint64_t variation_us;
    uint64_t least_us;
    uint64_t rto_us;
    bool sampled;
};

/* Before any sample the timeout is 200 ms. */
void tt_rtt_init(struct tt_rtt *rtt);

void tt_rtt_sample(struct tt_rtt *rtt, const struct tt_rtt_config *config, uint64_t sample_us);

#endif
