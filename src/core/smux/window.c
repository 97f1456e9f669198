#include <turbotunnel/error.h>

#include "core/base/seq.h"
#include "core/smux/smux.h"
#include "core/smux/window.h"

void tt_smux_send_window_init(struct tt_smux_send_window *w)
{
    *w = (struct tt_smux_send_window){.peer_window_bytes = TT_SMUX_INITIAL_WINDOW};
}

int tt_smux_send_window_update(struct tt_smux_send_window *w, uint32_t consumed_bytes,
                               uint32_t window_bytes)
{
    if (tt_seq_before(w->written_bytes, consumed_bytes))
        return TT_E_PROTO;
    w->peer_consumed_bytes = consumed_bytes;
    w->peer_window_bytes = window_bytes < INT32_MAX ? window_bytes : INT32_MAX;
    return TT_OK;
}

uint32_t tt_smux_send_window_room(const struct tt_smux_send_window *w)
{
    const uint32_t unread_bytes = w->written_bytes - w->peer_consumed_bytes;
    return unread_bytes < w->peer_window_bytes ? w->peer_window_bytes - unread_bytes : 0;
}

void tt_smux_receive_window_init(struct tt_smux_receive_window *w, uint32_t window_bytes)
{
    *w = (struct tt_smux_receive_window){.edge_bytes = TT_SMUX_INITIAL_WINDOW,
                                         .window_bytes = window_bytes};
}

int tt_smux_receive_window_take(struct tt_smux_receive_window *w, uint32_t len)
{
    if (len > w->edge_bytes - w->received_bytes)
        return TT_E_PROTO;
    w->received_bytes += len;
    return TT_OK;
}

static uint64_t since_offer_bytes(const struct tt_smux_receive_window *w)
{
    return w->consumed_bytes - w->offered_at_bytes;
}

bool tt_smux_receive_window_read(struct tt_smux_receive_window *w, uint64_t len,
                                 uint32_t buffer_bytes)
{
    const bool first = w->consumed_bytes == 0;
    w->consumed_bytes += len;
    return first || since_offer_bytes(w) >= buffer_bytes / 2;
}

bool tt_smux_receive_window_discard(struct tt_smux_receive_window *w, uint64_t len,
                                    uint32_t buffer_bytes)
{
    w->consumed_bytes += len;
    return since_offer_bytes(w) >=
           (buffer_bytes < TT_SMUX_INITIAL_WINDOW ? buffer_bytes : TT_SMUX_INITIAL_WINDOW) / 2;
}

void tt_smux_receive_window_tune(struct tt_smux_receive_window *w,
                                 struct tt_smux_window_bounds bounds)
{
    const uint64_t unread_bytes = w->received_bytes - w->consumed_bytes;
    uint64_t bytes = w->window_bytes;
    if (unread_bytes <= bytes / 4)
        bytes *= 2;
    if (bytes > bounds.most_bytes)
        bytes = bounds.most_bytes;
    if (bytes < bounds.least_bytes)
        bytes = bounds.least_bytes;
    w->window_bytes = (uint32_t)bytes;
}

void tt_smux_receive_window_widen(struct tt_smux_receive_window *w, uint32_t window_bytes)
{
    if (w->window_bytes < window_bytes)
        w->window_bytes = window_bytes;
}

uint32_t tt_smux_receive_window_offer(struct tt_smux_receive_window *w)
{
    const uint64_t edge_bytes = w->consumed_bytes + w->window_bytes;
    if (w->edge_bytes < edge_bytes)
        w->edge_bytes = edge_bytes;
    w->offered_at_bytes = w->consumed_bytes;
    return (uint32_t)w->consumed_bytes;
}
