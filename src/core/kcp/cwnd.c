#include "core/kcp/cwnd.h"

#define MIN_THRESHOLD 2u

void tt_kcp_cwnd_init(struct tt_kcp_cwnd *c, bool enabled, uint32_t mss)
{
    *c = (struct tt_kcp_cwnd){
        .enabled = enabled, .segments = 1, .threshold = MIN_THRESHOLD, .bytes = mss};
}

static void grow_slowly(struct tt_kcp_cwnd *c, uint32_t mss)
{
    if (c->bytes < mss)
        c->bytes = mss;
    c->bytes += mss * mss / c->bytes + mss / 16;
    if ((c->segments + 1) * mss <= c->bytes)
        c->segments = (c->bytes + mss - 1) / mss;
}

void tt_kcp_cwnd_acked(struct tt_kcp_cwnd *c, uint32_t mss, uint32_t peer_window)
{
    if (!c->enabled || c->segments >= peer_window)
        return;
    if (c->segments < c->threshold) {
        c->segments++;
        c->bytes += mss;
    } else {
        grow_slowly(c, mss);
    }
    if (c->segments > peer_window) {
        c->segments = peer_window;
        c->bytes = peer_window * mss;
    }
}

static uint32_t half_at_least_2(uint32_t n)
{
    return n / 2 > MIN_THRESHOLD ? n / 2 : MIN_THRESHOLD;
}

void tt_kcp_cwnd_fast(struct tt_kcp_cwnd *c, uint32_t mss, uint32_t in_flight, uint32_t resend)
{
    c->threshold = half_at_least_2(in_flight);
    /* kcp-go adds 2^32-1 when fast retransmission is off, which is to say -1. */
    c->segments = resend ? c->threshold + resend : c->threshold - 1;
    c->bytes = c->segments * mss;
}

void tt_kcp_cwnd_timeout(struct tt_kcp_cwnd *c, uint32_t mss, uint32_t window)
{
    c->threshold = half_at_least_2(window);
    c->segments = 1;
    c->bytes = mss;
}
