/* segment.h - the KCP segment header (spec kcp.md section 1; K-1, K-2).
 *
 * 24 bytes, little-endian: conv u32, cmd u8, frg u8, wnd u16, ts u32, sn u32, una u32, len u32;
 * then len bytes of data. A packet is one or more segments.
 */
#ifndef TT_CORE_KCP_SEGMENT_H
#define TT_CORE_KCP_SEGMENT_H

#include <stdint.h>

#include "core/base/bytes.h"

#define TT_KCP_HEADER 24u

enum tt_kcp_cmd {
    TT_KCP_PUSH = 81,
    TT_KCP_ACK = 82,
    TT_KCP_WASK = 83, /* what is your window? */
    TT_KCP_WINS = 84, /* this is my window */
};

struct tt_kcp_header {
    uint32_t conv;
    uint8_t cmd;
    uint8_t frg;
    uint16_t wnd; /* segments */
    uint32_t ts;  /* milliseconds of the sender's clock */
    uint32_t sn;
    uint32_t una;
    uint32_t len; /* bytes */
};

static inline void tt_kcp_header_write(uint8_t out[TT_KCP_HEADER], const struct tt_kcp_header *h)
{
    tt_put_le32(out, h->conv);
    out[4] = h->cmd;
    out[5] = h->frg;
    tt_put_le16(out + 6, h->wnd);
    tt_put_le32(out + 8, h->ts);
    tt_put_le32(out + 12, h->sn);
    tt_put_le32(out + 16, h->una);
    tt_put_le32(out + 20, h->len);
}

static inline struct tt_kcp_header tt_kcp_header_read(const uint8_t in[TT_KCP_HEADER])
{
    return (struct tt_kcp_header){
        .conv = tt_get_le32(in),
        .cmd = in[4],
        .frg = in[5],
        .wnd = tt_get_le16(in + 6),
        .ts = tt_get_le32(in + 8),
        .sn = tt_get_le32(in + 12),
        .una = tt_get_le32(in + 16),
        .len = tt_get_le32(in + 20),
    };
}

#endif
