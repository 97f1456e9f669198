#include "flow.h"

#include <errno.h>
#include <sys/socket.h>

/* Reads and writes before other connections get their turn. */
#define ROUNDS 4

/* Once a buffer is full, reading waits until so much is free: not a system call for every few bytes
 * that the sink takes.
 */
#define RESUME_AT_BYTES (64u << 10)

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool has_room(const struct tt_lil_flow *flow)
{
    const size_t size = flow->hold.pool->buffer_bytes;
    const size_t room = tt_lil_hold_room(&flow->hold);
    return room > 0 && room >= min_size(size / 2, RESUME_AT_BYTES);
}

bool tt_lil_flow_wants_source(const struct tt_lil_flow *flow)
{
    return !flow->end_read && has_room(flow);
}

bool tt_lil_flow_wants_sink(const struct tt_lil_flow *flow)
{
    return flow->sink_blocked && flow->hold.due_bytes > 0;
}

/* How many of the due bytes the budget lets go, whatever the rate says. */
static size_t due_within_budget(struct tt_lil_flow *flow, uint64_t now_us)
{
    const size_t due = tt_lil_hold_due_bytes(&flow->hold, now_us);
    if (flow->left_bytes && *flow->left_bytes < due)
        return (size_t)*flow->left_bytes;
    return due;
}

uint64_t tt_lil_flow_deadline_us(struct tt_lil_flow *flow, uint64_t now_us)
{
    if (flow->end_passed || flow->sink_blocked)
        return UINT64_MAX;
    const size_t due = due_within_budget(flow, now_us);
    if (due > 0)
        return now_us + tt_lil_rate_wait_us(&flow->rate, due);
    if (flow->hold.held_bytes > 0)
        return tt_lil_hold_next_due_us(&flow->hold);
    return flow->end_read ? flow->end_due_us : UINT64_MAX;
}

static enum tt_lil_flow_result send_due(struct tt_lil_flow *flow, int sink_fd, uint64_t now_us)
{
    if (flow->sink_blocked)
        return TT_LIL_FLOW_GOES_ON;
    const size_t due = due_within_budget(flow, now_us);
    const size_t bytes = due > 0 ? min_size(due, tt_lil_rate_allows(&flow->rate, now_us)) : 0;
    if (bytes == 0)
        return TT_LIL_FLOW_GOES_ON;
    const ssize_t n = tt_lil_hold_send(&flow->hold, sink_fd, bytes);
    if (n < 0 && n != -EAGAIN && n != -EINTR)
        return TT_LIL_FLOW_SINK_FAILED;
    flow->sink_blocked = n < (ssize_t)bytes;
    if (n <= 0)
        return TT_LIL_FLOW_GOES_ON;
    tt_lil_rate_spend(&flow->rate, (size_t)n);
    flow->forwarded_bytes += (uint64_t)n;
    if (flow->left_bytes)
        *flow->left_bytes -= (uint64_t)n;
    return flow->left_bytes && *flow->left_bytes == 0 ? TT_LIL_FLOW_USED_UP : TT_LIL_FLOW_GOES_ON;
}

static void write_down(struct tt_lil_flow *flow, size_t bytes)
{
    const struct tt_lil_record *r = &flow->record;
    struct iovec pieces[2];
    const int count = tt_lil_hold_newest(&flow->hold, bytes, pieces);
    tt_lil_dump_record(r->dump, r->number, r->direction, pieces, count);
}

static enum tt_lil_flow_result receive(struct tt_lil_flow *flow, int source_fd)
{
    const size_t room = tt_lil_hold_room(&flow->hold);
    const ssize_t n = tt_lil_hold_receive(&flow->hold, source_fd);

    if (n > 0) {
        write_down(flow, (size_t)n);
    } else if (n == 0) {
        flow->end_read = true;
        flow->end_due_us = tt_lil_hold_arrival_due_us(&flow->hold);
    } else if (n != -EAGAIN && n != -EINTR) {
        return TT_LIL_FLOW_SOURCE_FAILED;
    }
    /* Less than asked for: there is no more now, and trying would only cost a system call. */
    if (n < (ssize_t)room)
        flow->source_ready = false;
    return TT_LIL_FLOW_GOES_ON;
}

static void pass_on_end(struct tt_lil_flow *flow, int sink_fd, uint64_t now_us)
{
    if (!flow->end_read || flow->end_passed || flow->hold.held_bytes > 0 ||
        flow->end_due_us > now_us)
        return;
    shutdown(sink_fd, SHUT_WR); /* fails only if the sink is gone, which its own reads tell */
    flow->end_passed = true;
}

enum tt_lil_flow_result tt_lil_flow_pump(struct tt_lil_flow *flow, int source_fd, int sink_fd,
                                         uint64_t now_us)
{
    enum tt_lil_flow_result result = send_due(flow, sink_fd, now_us);

    for (int i = 0; i < ROUNDS && result == TT_LIL_FLOW_GOES_ON; i++) {
        if (!flow->source_ready || !tt_lil_flow_wants_source(flow))
            break;
        result = receive(flow, source_fd);
        if (result == TT_LIL_FLOW_GOES_ON)
            result = send_due(flow, sink_fd, now_us);
    }
    if (result == TT_LIL_FLOW_GOES_ON)
        pass_on_end(flow, sink_fd, now_us);
    return result;
}
