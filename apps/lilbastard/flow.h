/* flow.h - one direction of a connection: reads here, holds, writes there, and passes on the end.
 *
 * It neither waits nor sets timers: it says what it waits for, and its connection does the rest.
 * Time is an argument, in microseconds.
 */
#ifndef TT_LIL_FLOW_H
#define TT_LIL_FLOW_H

#include "dump.h"
#include "hold.h"
#include "rate.h"

/* Where what is read is written down, and under which name. */
struct tt_lil_record {
    struct tt_lil_dump *dump; /* borrowed */
    uint64_t number;
    const char *direction;
};

struct tt_lil_flow {
    struct tt_lil_hold hold;
    struct tt_lil_rate rate;
    struct tt_lil_record record;
    uint64_t *left_bytes; /* borrowed; how many may still be forwarded. NULL: no limit */
    uint64_t forwarded_bytes;
    uint64_t end_due_us; /* when the end that was read may be passed on */
    bool source_ready;   /* set by the owner when the source has something to read */
    bool sink_blocked;   /* cleared by the owner when the sink takes bytes again */
    bool end_read;       /* the source has ended its direction */
    bool end_passed;     /* and the sink was told: this flow is done */
};

enum tt_lil_flow_result {
    TT_LIL_FLOW_GOES_ON,
    TT_LIL_FLOW_USED_UP, /* *left_bytes reached 0 */
    TT_LIL_FLOW_SOURCE_FAILED,
    TT_LIL_FLOW_SINK_FAILED,
};

/* Moves what can be moved now, at most a few buffers full so that others get their turn. */
enum tt_lil_flow_result tt_lil_flow_pump(struct tt_lil_flow *flow, int source_fd, int sink_fd,
                                         uint64_t now_us);

/* Whether it wants to hear that the source is readable. */
bool tt_lil_flow_wants_source(const struct tt_lil_flow *flow);

/* Whether it wants to hear that the sink is writable. */
bool tt_lil_flow_wants_sink(const struct tt_lil_flow *flow);

/* When it can go on without either, or UINT64_MAX. */
uint64_t tt_lil_flow_deadline_us(struct tt_lil_flow *flow, uint64_t now_us);

#endif
