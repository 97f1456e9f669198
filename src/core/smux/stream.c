#include <assert.h>

#include "core/smux/stream.h"

/* Closed streams that cannot send what is left, because the window of a peer that has ended its own
 * side is closed. S1516 programs always close fully, so most such peers are gone and would never be
 * missed; of one that has only ended its writing the oldest may lose data when there are so many.
 */
#define MOST_LINGERING 64u

/* What many streams hold together is out of the processor's caches before it leaves: so many full
 * buffers are shared by all that have something to send, and each may have so much at least.
 */
#define SHARED_BUFFERS 4u
#define LEAST_SHARE    (64u << 10)

enum ender { WE_END, PEER_ENDS };

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* The one place where state changes. */
static void step(struct tt_smux_stream *s, enum ender who)
{
    switch (s->state) {
    case TT_SMUX_OPEN:
        s->state = who == WE_END ? TT_SMUX_HALF_LOCAL : TT_SMUX_HALF_REMOTE;
        return;
    case TT_SMUX_HALF_LOCAL:
        assert(who == PEER_ENDS);
        s->state = TT_SMUX_ENDED;
        return;
    case TT_SMUX_HALF_REMOTE:
        assert(who == WE_END);
        s->state = TT_SMUX_ENDED;
        return;
    case TT_SMUX_ENDED:
        break;
    }
    assert(s->state != TT_SMUX_ENDED); /* each side ends once */
}

int tt_smux_stream_new(struct tt_smux *m, uint32_t sid, struct tt_smux_stream **stream)
{
    struct tt_smux_stream *s = m->config.alloc->get(m->config.alloc->ctx, sizeof(*s));
    if (!s)
        return TT_E_NOMEM;
    *s = (struct tt_smux_stream){.m = m, .sid = sid};
    tt_smux_send_window_init(&s->send_window);
    tt_smux_receive_window_init(&s->receive_window,
                                tt_min_u32(m->config.max_stream_buffer, TT_SMUX_INITIAL_WINDOW));
    int err = tt_smux_table_add(&m->streams, s, m->config.hash_key, m->config.alloc);
    if (err) {
        m->config.alloc->put(m->config.alloc->ctx, s);
        return err;
    }
    tt_smux_stream_count_promise(s);
    *stream = s;
    return TT_OK;
}

static void forget_lingering(struct tt_smux_stream *s)
{
    if (!s->closed || !tt_list_linked(&s->phase_node))
        return;
    tt_list_remove(&s->phase_node);
    s->m->lingering_streams--;
}

static void stop_sending(struct tt_smux_stream *s)
{
    if (!s->sends)
        return;
    s->sends = false;
    tt_list_remove(&s->turn_node);
    s->m->sending_streams--;
}

static void start_sending(struct tt_smux_stream *s)
{
    if (s->sends)
        return;
    s->sends = true;
    tt_list_push_back(&s->m->sending, &s->turn_node);
    s->m->sending_streams++;
}

static void drop_unsent(struct tt_smux_stream *s)
{
    s->m->unsent_bytes -= s->unsent.bytes;
    tt_smux_unsent_clear(s->m, &s->unsent);
}

void tt_smux_stream_free(struct tt_smux_stream *s)
{
    struct tt_smux *m = s->m;

    tt_smux_table_remove(&m->streams, s, m->config.alloc);
    if (m->in.stream == s)
        m->in.stream = NULL;
    if (s->closed)
        m->closing_streams--;
    forget_lingering(s);
    tt_list_remove(&s->phase_node);
    tt_list_remove(&s->urgent_node);
    stop_sending(s);
    tt_list_remove(&s->turn_node);
    m->promised_bytes -= s->promised_bytes;
    drop_unsent(s);
    if (s->unsent.room.slab)
        tt_smux_unsent_commit(&s->unsent, 0);
    tt_smux_received_clear(m, &s->received);
    m->config.alloc->put(m->config.alloc->ctx, s);
}

void tt_smux_stream_make_due(struct tt_smux_stream *s, unsigned due)
{
    s->due |= (uint8_t)due;
    if (!tt_list_linked(&s->urgent_node))
        tt_list_push_back(&s->m->urgent, &s->urgent_node);
}

void tt_smux_stream_report(struct tt_smux_stream *s, unsigned events)
{
    if (s->closed)
        return;
    s->events |= (uint8_t)events;
    if (s->accepted && s->events && !tt_list_linked(&s->phase_node))
        tt_list_push_back(&s->m->events, &s->phase_node);
}

uint32_t tt_smux_stream_sendable(const struct tt_smux_stream *s)
{
    if (s->m->version == 1)
        return s->unsent.bytes;
    const uint32_t room = tt_smux_send_window_room(&s->send_window);
    return s->unsent.bytes < room ? s->unsent.bytes : room;
}

/* The oldest of too many lingering streams gives up what it cannot send. */
static void limit_lingering(struct tt_smux *m)
{
    if (m->lingering_streams <= MOST_LINGERING)
        return;
    struct tt_smux_stream *oldest =
        TT_CONTAINER_OF(tt_list_first(&m->lingering), struct tt_smux_stream, phase_node);
    m->stats.abandoned_bytes += oldest->unsent.bytes;
    forget_lingering(oldest);
    drop_unsent(oldest);
    tt_smux_stream_advance(oldest);
}

static void update_lingering(struct tt_smux_stream *s, bool stuck)
{
    if (!stuck || !s->closed || !tt_smux_stream_peer_has_ended(s)) {
        forget_lingering(s);
        return;
    }
    if (tt_list_linked(&s->phase_node))
        return;
    tt_list_push_back(&s->m->lingering, &s->phase_node);
    s->m->lingering_streams++;
    limit_lingering(s->m);
}

uint32_t tt_smux_stream_most_unsent(const struct tt_smux_stream *s)
{
    const struct tt_smux *m = s->m;
    const uint32_t most = m->config.max_send_buffer;
    if (m->sending_streams <= SHARED_BUFFERS)
        return most;
    const uint32_t share = (uint32_t)(SHARED_BUFFERS * (uint64_t)most / m->sending_streams);
    const uint32_t least = tt_min_u32(most, LEAST_SHARE);
    return share > least ? share : least;
}

void tt_smux_stream_update_sending(struct tt_smux_stream *s)
{
    const bool sendable = tt_smux_stream_sendable(s) > 0;

    if (sendable)
        start_sending(s);
    else
        stop_sending(s);
    update_lingering(s, !sendable && s->unsent.bytes > 0);
}

/* it was opened for good. */
static bool is_wide_open(const struct tt_smux_stream *s)
{
    return s->receive_window.window_bytes > s->m->config.max_stream_buffer;
}

/* A window that was opened for good promises more than there is: it counts as a first one. */
static uint64_t may_come_bytes(const struct tt_smux_stream *s)
{
    const struct tt_smux_receive_window *w = &s->receive_window;
    const uint64_t unread_bytes = w->received_bytes - w->consumed_bytes;
    if (s->m->version != 2)
        return 0;
    if (tt_smux_stream_peer_has_ended(s))
        return unread_bytes;
    return is_wide_open(s) ? unread_bytes + TT_SMUX_INITIAL_WINDOW
                           : w->edge_bytes - w->consumed_bytes;
}

void tt_smux_stream_count_promise(struct tt_smux_stream *s)
{
    s->m->promised_bytes -= s->promised_bytes;
    s->promised_bytes = may_come_bytes(s);
    s->m->promised_bytes += s->promised_bytes;
}

/* Each takes half of what is left; a quarter of all is kept for streams that come, whose first
 * window the peer takes without asking.
 */
void tt_smux_stream_tune_window(struct tt_smux_stream *s)
{
    const struct tt_smux_config *c = &s->m->config;
    if (is_wide_open(s))
        return;
    const uint64_t others = s->m->promised_bytes - s->promised_bytes;
    const uint64_t to_promise = c->max_receive_buffer - c->max_receive_buffer / 4;
    const uint64_t left = others < to_promise ? to_promise - others : 0;
    tt_smux_receive_window_tune(
        &s->receive_window,
        (struct tt_smux_window_bounds){
            .least_bytes = tt_min_u32(c->max_stream_buffer, TT_SMUX_INITIAL_WINDOW),
            .most_bytes = tt_min_u32(c->max_stream_buffer, (uint32_t)(left / 2)),
        });
}

/* A UPD is due each time that half of the window was read, of a large one a quarter: what the peer
 * does not know of yet it cannot use.
 */
static uint32_t buffer_to_read(const struct tt_smux_stream *s)
{
    const uint32_t window =
        tt_min_u32(s->receive_window.window_bytes, s->m->config.max_stream_buffer);
    return window <= TT_SMUX_INITIAL_WINDOW ? window : max_u32(window / 2, TT_SMUX_INITIAL_WINDOW);
}

void tt_smux_stream_consumed(struct tt_smux_stream *s, size_t len)
{
    const uint32_t buffer_bytes = buffer_to_read(s);

    if (len == 0 || s->m->version != 2)
        return;
    const bool due = s->closed
                         ? tt_smux_receive_window_discard(&s->receive_window, len, buffer_bytes)
                         : tt_smux_receive_window_read(&s->receive_window, len, buffer_bytes);
    tt_smux_stream_count_promise(s);
    if (due && !tt_smux_stream_peer_has_ended(s))
        tt_smux_stream_make_due(s, TT_SMUX_DUE_UPD);
}

void tt_smux_stream_await_ack(struct tt_smux_stream *s)
{
    assert(!s->sends);
    s->wait_offset = s->m->sent_offset;
    tt_list_push_back(&s->m->ack_wait, &s->turn_node);
}

/* All data has been given out: what must happen before FIN? */
static void drained(struct tt_smux_stream *s)
{
    struct tt_smux *m = s->m;
    const bool peer_ended = tt_smux_stream_peer_has_ended(s);

    s->ending = TT_SMUX_FIN_DUE;
    if (m->config.legacy_peer && peer_ended && s->last_offset > m->acked_offset) {
        s->ending = TT_SMUX_OPENING;
        tt_smux_stream_await_ack(s);
    } else if (m->config.legacy_peer && !peer_ended && !s->closed && m->version != 1) {
        s->ending = TT_SMUX_OPENING;
        tt_smux_receive_window_widen(&s->receive_window, TT_SMUX_HALF_CLOSE_WINDOW);
        tt_smux_stream_make_due(s, TT_SMUX_DUE_UPD);
    } else {
        tt_smux_stream_make_due(s, TT_SMUX_DUE_FIN);
    }
}

static bool is_over(const struct tt_smux_stream *s)
{
    return s->closed && (s->ending == TT_SMUX_FIN_ACKED ||
                         (s->ending == TT_SMUX_FIN_SENT && tt_smux_stream_peer_has_ended(s)));
}

void tt_smux_stream_advance(struct tt_smux_stream *s)
{
    /* Which frames come before FIN depends on the version. */
    if (s->ending == TT_SMUX_DRAINING && s->unsent.bytes == 0 && s->m->version != 0)
        drained(s);
    if (is_over(s))
        tt_smux_stream_free(s);
    else if (s->ending == TT_SMUX_FIN_ACKED && tt_smux_stream_peer_has_ended(s))
        tt_smux_stream_report(s, TT_SMUX_FINISHED);
}

void tt_smux_stream_fin_sent(struct tt_smux_stream *s)
{
    s->ending = TT_SMUX_FIN_SENT;
    step(s, WE_END);
    tt_smux_stream_await_ack(s);
    tt_smux_stream_advance(s);
}

void tt_smux_stream_acked(struct tt_smux_stream *s)
{
    if (s->ending == TT_SMUX_OPENING) {
        s->ending = TT_SMUX_FIN_DUE;
        tt_smux_stream_make_due(s, TT_SMUX_DUE_FIN);
    } else if (s->ending == TT_SMUX_FIN_SENT) {
        s->ending = TT_SMUX_FIN_ACKED;
        tt_smux_stream_advance(s);
    }
}

void tt_smux_stream_peer_ended(struct tt_smux_stream *s)
{
    if (tt_smux_stream_peer_has_ended(s))
        return;
    step(s, PEER_ENDS);
    tt_smux_stream_count_promise(s);
    tt_smux_stream_report(s, TT_SMUX_READABLE);
    tt_smux_stream_update_sending(s);
    tt_smux_stream_advance(s);
}

void tt_smux_stream_drop_unsent(struct tt_smux_stream *s)
{
    drop_unsent(s);
    tt_smux_release_shared(s->m);
    tt_smux_stream_update_sending(s);
}

/* Nothing more is to be said on it by either end. */
static void end_both_ways(struct tt_smux_stream *s)
{
    if (s->state == TT_SMUX_OPEN || s->state == TT_SMUX_HALF_REMOTE)
        step(s, WE_END);
    if (!tt_smux_stream_peer_has_ended(s))
        step(s, PEER_ENDS);
    tt_smux_stream_count_promise(s);
    tt_list_remove(&s->turn_node);
    s->due = 0;
    tt_list_remove(&s->urgent_node);
    s->ending = TT_SMUX_FIN_ACKED;
}

void tt_smux_stream_rst_sent(struct tt_smux_stream *s)
{
    end_both_ways(s);
    tt_smux_stream_free(s);
}

void tt_smux_stream_reset_by_peer(struct tt_smux_stream *s, uint32_t code)
{
    if (s->closed && s->due & TT_SMUX_DUE_RST)
        return;                  /* both at once: ours is under way */
    s->reset = s->broken = true; /* also what is still written in place */
    s->reset_code = code;
    tt_smux_stream_drop_unsent(s);
    end_both_ways(s);
    tt_smux_stream_report(s, TT_SMUX_READABLE | TT_SMUX_WRITABLE);
    tt_smux_stream_advance(s);
}

void tt_smux_stream_break(struct tt_smux_stream *s)
{
    s->broken = true;
    drop_unsent(s);
    tt_smux_stream_update_sending(s);
    if (s->wants_writable) {
        s->wants_writable = false;
        tt_smux_stream_report(s, TT_SMUX_WRITABLE);
    }
    tt_smux_stream_advance(s);
}
