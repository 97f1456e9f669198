/* direction.h - one direction of the link: which packets get through, and when.
 *
 *   taken > blackhole, loss, duplicate > line: queue, rate > flight: delay, jitter, reorder > out
 *
 * No I/O: packets and time come in as arguments, and what has arrived goes out through a callback.
 * The time is monotonic, in nanoseconds.
 */
#ifndef TT_BAD_DIRECTION_H
#define TT_BAD_DIRECTION_H

#include "counters.h"
#include "flight.h"
#include "line.h"
#include "settings.h"

/* A packet has arrived. Returns false if the receiver does not take it. */
typedef bool tt_bad_deliver(void *ctx, const uint8_t *bytes, size_t len);

struct tt_bad_direction {
    struct tt_bad_settings settings;
    struct tt_bad_counters counters;
    uint64_t seed;
    struct tt_bad_line line;
    struct tt_bad_flight flight;
    tt_bad_deliver *deliver;
    void *ctx; /* borrowed */
};

void tt_bad_direction_init(struct tt_bad_direction *d, const struct tt_bad_settings *settings,
                           uint64_t seed, tt_bad_deliver *deliver, void *ctx);

/* Frees all that is held. */
void tt_bad_direction_dispose(struct tt_bad_direction *d);

/* Takes a packet from the sender; the bytes are borrowed for the call. */
void tt_bad_direction_take(struct tt_bad_direction *d, const uint8_t *bytes, size_t len,
                           uint64_t now_ns);

/* Delivers what has arrived by now. */
void tt_bad_direction_run(struct tt_bad_direction *d, uint64_t now_ns);

/* When to call tt_bad_direction_run() next, or TT_BAD_NEVER. */
uint64_t tt_bad_direction_deadline_ns(const struct tt_bad_direction *d);

/* What is under way keeps its time of arrival, unless a blackhole begins: then it is gone. */
void tt_bad_direction_change(struct tt_bad_direction *d, const struct tt_bad_settings *settings,
                             uint64_t now_ns);

#endif
