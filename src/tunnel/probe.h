/* probe.h - a stream that leads nowhere: bytes are taken, then bytes are given, so that a client
 * can see what the way to the server lets through (forward.md F-17).
 *
 * The loop's thread only. A probe frees itself.
 */
#ifndef TT_TUNNEL_PROBE_H
#define TT_TUNNEL_PROBE_H

#include <turbotunnel/stream.h>

#include "core/base/list.h"
#include "net/worker.h"
#include "tunnel/target.h"

#define TT_PROBE_MOST   (16u << 20) /* bytes each way */
#define TT_PROBE_ANSWER 9u          /* bytes: 0, and milliseconds since 1970 (u64) */

/* Takes the stream over, which has no callbacks; it goes into the list, where at most one may be.
 * Returns 0, or an enum tt_reset_code with which it was reset.
 */
uint32_t tt_probe_begin(struct tt_list *probes, struct tt_stream *stream,
                        const struct tt_target *target);

/* Resets all in the list. */
void tt_probe_abort_all(struct tt_list *probes, uint32_t code);

/* Milliseconds since 1970. */
uint64_t tt_probe_wall_ms(void);

#endif
