/* cwnd.h - KCP's congestion window (spec kcp.md section 9; K-35), used when `nc` is 0. */
#ifndef TT_CORE_KCP_CWND_H
#define TT_CORE_KCP_CWND_H

#include <stdbool.h>
#include <stdint.h>

struct tt_kcp_cwnd {
    bool enabled;
    uint32_t segments; /* the window; starts at 1: kcp-go's 0 becomes 1 with its first flush */
    uint32_t threshold;
    uint32_t bytes; /* counter between two steps of growth */
};

void tt_kcp_cwnd_init(struct tt_kcp_cwnd *c, bool enabled, uint32_t mss);

/* una advanced: grows by at most one segment, whatever was acknowledged. */
void tt_kcp_cwnd_acked(struct tt_kcp_cwnd *c, uint32_t mss, uint32_t peer_window);

/* A fast retransmission while in_flight segments were unacknowledged. */
void tt_kcp_cwnd_fast(struct tt_kcp_cwnd *c, uint32_t mss, uint32_t in_flight, uint32_t resend);

/* A timeout while the effective window was `window`. */
void tt_kcp_cwnd_timeout(struct tt_kcp_cwnd *c, uint32_t mss, uint32_t window);

#endif
