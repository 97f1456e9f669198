/* window.h - the stream windows of smux version 2, both directions (spec smux.md section 6, S-23 to
 * S-29; native.md R-31). Arithmetic only; version 1 has no windows and does not use this.
 */
#ifndef TT_CORE_SMUX_WINDOW_H
#define TT_CORE_SMUX_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/* What we may send. Counted modulo 2^32, as the peer does. */
struct tt_smux_send_window {
    uint32_t written_bytes;
    uint32_t peer_consumed_bytes;
    uint32_t peer_window_bytes;
};

/* As every stream begins: TT_SMUX_INITIAL_WINDOW, whatever the peer's buffer is (S-23). */
void tt_smux_send_window_init(struct tt_smux_send_window *w);

/* Takes a UPD. The latest counts, also when it is smaller (S-29); a window of 2^31 and more is
 * taken as 2^31 - 1. Returns 0, or TT_E_PROTO: more was consumed than sent (S-28); w has not
 * changed.
 */
int tt_smux_send_window_update(struct tt_smux_send_window *w, uint32_t consumed_bytes,
                               uint32_t window_bytes);

/* Bytes that may be sent now (S-24). */
uint32_t tt_smux_send_window_room(const struct tt_smux_send_window *w);

/* What the peer may send. Counted in 64 bits, so that nothing wraps. */
struct tt_smux_receive_window {
    uint64_t received_bytes;
    uint64_t consumed_bytes;
    uint64_t offered_at_bytes; /* consumed_bytes of the last UPD */
    uint64_t edge_bytes;       /* highest that was ever offered */
    uint32_t window_bytes;     /* what a UPD says */
};

/* What the window may be now: no more than most_bytes, whatever that was when it grew. */
struct tt_smux_window_bounds {
    uint32_t least_bytes, most_bytes;
};

/* window_bytes is below 2^31. */
void tt_smux_receive_window_init(struct tt_smux_receive_window *w, uint32_t window_bytes);

/* Counts len bytes that arrive. TT_E_PROTO: they are beyond the highest edge ever offered.
 */
int tt_smux_receive_window_take(struct tt_smux_receive_window *w, uint32_t len);

/* A UPD is about to leave: a reader that keeps up, so that little lies unread, gets a window twice
 * as large; and the bounds are kept. Whoever does not read is never sent more than it once read.
 */
void tt_smux_receive_window_tune(struct tt_smux_receive_window *w,
                                 struct tt_smux_window_bounds bounds);

/* Counts len > 0 bytes that are read. True: a UPD is due: these are the first (S-25), or half of
 * buffer_bytes was consumed since the last (S-26).
 */
bool tt_smux_receive_window_read(struct tt_smux_receive_window *w, uint64_t len,
                                 uint32_t buffer_bytes);

/* The same for bytes that are thrown away, of a stream that was closed: no UPD for the first of
 * them, but always before the peer, which may know of TT_SMUX_INITIAL_WINDOW alone, has used its
 * window up.
 */
bool tt_smux_receive_window_discard(struct tt_smux_receive_window *w, uint64_t len,
                                    uint32_t buffer_bytes);

/* From now on UPDs say at least window_bytes (below 2^31). */
void tt_smux_receive_window_widen(struct tt_smux_receive_window *w, uint32_t window_bytes);

/* A UPD leaves: what it says about consumption. It always says window_bytes beside it (S-27). */
uint32_t tt_smux_receive_window_offer(struct tt_smux_receive_window *w);

#endif
