/* control.h - control packets: what two ends of this project say to each other beside KCP
 * (native.md section 1).
 *
 * A packet of 0..11 bytes is one; kcp-go drops such a packet without a word. Here they are read and
 * written, and nothing more: a field may hold any number. Integers are big-endian.
 */
#ifndef TT_CORE_CONTROL_H
#define TT_CORE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"

#define TT_CONTROL_MAX     11u /* longest packet that is a control packet */
#define TT_CONTROL_VERSION 1u
#define TT_CONTROL_TOKEN   8u

enum tt_control_type {
    TT_CONTROL_HELLO = 0x01,
    TT_CONTROL_PING = 0x02,
    TT_CONTROL_PONG = 0x03,
    TT_CONTROL_CLOSE = 0x04,
    TT_CONTROL_STATE = 0x05,
    TT_CONTROL_LIMIT = 0x06,
};

enum tt_hello_flags {
    TT_HELLO_NO_DROPS = 1u << 0, /* what this carrier delivers is never discarded */
    TT_HELLO_RESUMED = 1u << 2,  /* the session exists already */
    TT_HELLO_UNKNOWN = 1u << 3,  /* an answer: not here */
    TT_HELLO_RESET = 1u << 4,    /* smux RST is understood */
};

enum tt_close_reason { TT_CLOSE_DONE = 1, TT_CLOSE_ABORT = 2 };

/* ACTIVE, STANDBY and DRAINING are about the carrier that they come on, GONE about another. */
enum tt_peer_state {
    TT_PEER_ACTIVE = 1,
    TT_PEER_STANDBY = 2,
    TT_PEER_DRAINING = 3,
    TT_PEER_GONE = 4,
};

struct tt_control {
    enum tt_control_type type;
    union {
        struct {
            uint8_t version;
            uint16_t max_packet; /* longest that its sender takes on this carrier */
            uint16_t flags;      /* enum tt_hello_flags */
            uint32_t carrier;    /* its number */
        } hello;
        uint8_t token[TT_CONTROL_TOKEN]; /* PING, PONG */
        uint8_t reason;                  /* CLOSE: enum tt_close_reason, or a later one */
        struct {
            uint32_t carrier;
            uint8_t state; /* enum tt_peer_state, or a later one */
        } state;
        struct {
            uint32_t bytes;   /* 0: no limit */
            uint16_t seconds; /* 0: no limit */
        } limit;
    };
};

/* Whether a packet of that length is a control packet. */
static inline bool tt_is_control(size_t len)
{
    return len <= TT_CONTROL_MAX;
}

/* Writes one into out; returns its length. What lies behind that in out is left alone. */
uint32_t tt_control_write(uint8_t out[TT_CONTROL_MAX], const struct tt_control *c);

/* Reads one; packet is what tt_is_control() says yes to, or a longer one of the same kind.
 *
 * Returns 0          c is filled in; what stands behind the known fields is ignored
 *         TT_E_AGAIN to be ignored: empty, or of a type below 0x80 that is reserved or came later
 *         TT_E_PROTO cut short, or of a type from 0x80 up: the carrier must end
 * After an error c is as it was.
 */
int tt_control_read(struct tt_control *c, struct tt_span packet);

#endif
