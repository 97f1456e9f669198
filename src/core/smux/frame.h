/* frame.h - the smux frame header (spec smux.md section 1; S-1, S-3, S-4).
 *
 * version u8, cmd u8, length u16, sid u32, all little-endian; then length bytes.
 */
#ifndef TT_CORE_SMUX_FRAME_H
#define TT_CORE_SMUX_FRAME_H

#include <stdint.h>

#include "core/base/bytes.h"

#define TT_SMUX_HEADER      8u
#define TT_SMUX_UPD_BODY    8u
#define TT_SMUX_RST_BODY    4u
#define TT_SMUX_MAX_PAYLOAD 65535u

enum tt_smux_cmd {
    TT_SMUX_SYN = 0,
    TT_SMUX_FIN = 1,
    TT_SMUX_PSH = 2,
    TT_SMUX_NOP = 3,
    TT_SMUX_UPD = 4, /* version 2 only */
    TT_SMUX_RST = 5, /* native.md R-30: between two of our own ends only */
};

struct tt_smux_frame {
    uint8_t version;
    uint8_t cmd;
    uint16_t length;
    uint32_t sid;
};

static inline void tt_smux_frame_write(uint8_t out[TT_SMUX_HEADER], struct tt_smux_frame f)
{
    out[0] = f.version;
    out[1] = f.cmd;
    tt_put_le16(out + 2, f.length);
    tt_put_le32(out + 4, f.sid);
}

static inline struct tt_smux_frame tt_smux_frame_read(const uint8_t in[TT_SMUX_HEADER])
{
    return (struct tt_smux_frame){
        .version = in[0], .cmd = in[1], .length = tt_get_le16(in + 2), .sid = tt_get_le32(in + 4)};
}

#endif
