/* To KCP: frames are made at the moment when they can leave. */
#include <assert.h>

#include "core/base/clock.h"
#include "core/smux/frame.h"
#include "core/smux/stream.h"

#define LARGEST_CONTROL (TT_SMUX_HEADER + TT_SMUX_UPD_BODY)

/* Counts what is given out. */
static void gave(struct tt_smux *m, uint32_t len, uint32_t frames)
{
    m->sent_offset += len;
    m->stats.frames_out += frames;
}

static void write_header(const struct tt_smux *m, uint8_t *out, enum tt_smux_cmd cmd,
                         uint32_t length, uint32_t sid)
{
    tt_smux_frame_write(out, (struct tt_smux_frame){.version = m->version,
                                                    .cmd = (uint8_t)cmd,
                                                    .length = (uint16_t)length,
                                                    .sid = sid});
}

/* --- control frames: all that wait and fit, joined into one piece --- */

/* A piece that is being written at the end of the shared slab. */
struct control_piece {
    struct tt_slab *slab;
    uint32_t start; /* in slab->data */
    uint32_t end;   /* most that slab->used may become */
};

static bool has_room(const struct control_piece *c)
{
    return c->end - c->slab->used >= LARGEST_CONTROL;
}

static void add_frame(struct tt_smux *m, struct control_piece *c, enum tt_smux_cmd cmd,
                      uint32_t length, uint32_t sid)
{
    write_header(m, c->slab->data + c->slab->used, cmd, length, sid);
    c->slab->used += TT_SMUX_HEADER;
    gave(m, TT_SMUX_HEADER, 1);
}

static void add_nop(struct tt_smux *m, struct control_piece *c, uint64_t now_us)
{
    const uint64_t interval_us = m->config.keepalive_interval_us;

    add_frame(m, c, TT_SMUX_NOP, 0, 0);
    m->nop_due = false;
    /* In step with the session's start, however late this one was. */
    const uint64_t late_us = now_us > m->nop_at_us ? now_us - m->nop_at_us : 0;
    m->nop_at_us = tt_deadline_after(now_us, interval_us - late_us % interval_us);
}

static void add_rst(struct tt_smux_stream *s, struct control_piece *c)
{
    add_frame(s->m, c, TT_SMUX_RST, TT_SMUX_RST_BODY, s->sid);
    tt_put_le32(c->slab->data + c->slab->used, s->reset_code);
    c->slab->used += TT_SMUX_RST_BODY;
    gave(s->m, TT_SMUX_RST_BODY, 0);
}

static void add_upd(struct tt_smux_stream *s, struct control_piece *c)
{
    add_frame(s->m, c, TT_SMUX_UPD, TT_SMUX_UPD_BODY, s->sid);
    tt_smux_stream_tune_window(s);
    uint8_t *body = c->slab->data + c->slab->used;
    tt_put_le32(body, tt_smux_receive_window_offer(&s->receive_window));
    tt_put_le32(body + 4, s->receive_window.window_bytes);
    tt_smux_stream_count_promise(s);
    c->slab->used += TT_SMUX_UPD_BODY;
    gave(s->m, TT_SMUX_UPD_BODY, 0);
    /* This may be the UPD that opens the window before FIN. */
    if (s->ending == TT_SMUX_OPENING && !tt_list_linked(&s->turn_node))
        tt_smux_stream_await_ack(s);
}

/* Writes the first of the stream's control frames that are due. */
static void add_due(struct tt_smux_stream *s, struct control_piece *c)
{
    struct tt_smux *m = s->m;
    const unsigned first = s->due & -(unsigned)s->due;

    s->due &= (uint8_t)~first;
    if (s->due == 0)
        tt_list_remove(&s->urgent_node);
    switch ((enum tt_smux_due)first) {
    case TT_SMUX_DUE_SYN:
        add_frame(m, c, TT_SMUX_SYN, 0, s->sid);
        s->last_offset = m->sent_offset;
        return;
    case TT_SMUX_DUE_UPD:
        add_upd(s, c);
        return;
    case TT_SMUX_DUE_FIN:
        add_frame(m, c, TT_SMUX_FIN, 0, s->sid);
        s->last_offset = m->sent_offset;
        tt_smux_stream_fin_sent(s); /* may free it */
        return;
    case TT_SMUX_DUE_RST:
        add_rst(s, c);
        tt_smux_stream_rst_sent(s); /* frees it */
        return;
    }
}

static int give_control(struct tt_smux *m, uint64_t now_us, uint32_t max_len,
                        struct tt_smux_piece *piece)
{
    struct tt_slab *slab = tt_smux_shared_slab(m, LARGEST_CONTROL);
    if (!slab)
        return TT_E_NOMEM;
    const uint32_t room = tt_slab_room(slab);
    struct control_piece c = {
        .slab = slab, .start = slab->used, .end = slab->used + (max_len < room ? max_len : room)};
    if (m->nop_due)
        add_nop(m, &c, now_us);
    for (struct tt_list_node *n; has_room(&c) && (n = tt_list_first(&m->urgent)) != NULL;)
        add_due(TT_CONTAINER_OF(n, struct tt_smux_stream, urgent_node), &c);
    *piece = (struct tt_smux_piece){
        .ptr = slab->data + c.start, .slab = tt_slab_ref(slab), .len = slab->used - c.start};
    return TT_OK;
}

/* --- data --- */

static void give_pending(struct tt_smux *m, uint32_t max_len, struct tt_smux_piece *piece)
{
    *piece = m->pending;
    if (m->pending.len > max_len) {
        piece->len = max_len;
        tt_slab_ref(piece->slab);
        m->pending.ptr += max_len;
        m->pending.len -= max_len;
    } else {
        m->pending = (struct tt_smux_piece){.len = 0};
    }
    gave(m, piece->len, 0);
}

/* After len bytes of the stream's data: its turn may be over, and there may be room again. */
static void data_given(struct tt_smux_stream *s, uint32_t len)
{
    struct tt_smux *m = s->m;

    m->unsent_bytes -= len;
    s->last_offset = m->sent_offset + m->pending.len;
    m->data_offset = s->last_offset;
    s->send_window.written_bytes += len;
    if (s->turn_left <= 0)
        s->turn_left += (int32_t)m->config.max_frame; /* its turn begins */
    s->turn_left -= (int32_t)len;
    if (s->turn_left <= 0) {
        tt_list_remove(&s->turn_node);
        tt_list_push_back(&m->sending, &s->turn_node);
    }
    tt_smux_stream_update_sending(s);
    if (s->wants_writable && s->unsent.bytes <= tt_smux_stream_most_unsent(s) / 2) {
        s->wants_writable = false;
        tt_smux_stream_report(s, TT_SMUX_WRITABLE);
    }
    tt_smux_stream_advance(s);
}

/* How much of a stream's first frame leaves now. */
static uint32_t data_len(const struct tt_smux_stream *s, const struct tt_smux_unsent_frame *f,
                         uint32_t max_len)
{
    const uint32_t room = max_len - TT_SMUX_HEADER;
    const uint32_t most = f->len < room ? f->len : room;
    const uint32_t sendable = tt_smux_stream_sendable(s);
    return sendable < most ? sendable : most;
}

/* Header and payload lie behind each other. */
static void give_whole(struct tt_smux *m, struct tt_smux_stream *s, uint32_t len,
                       struct tt_smux_piece *piece)
{
    uint8_t *header = tt_smux_unsent_first(&s->unsent)->ptr - TT_SMUX_HEADER;

    write_header(m, header, TT_SMUX_PSH, len, s->sid);
    *piece = (struct tt_smux_piece){.ptr = header,
                                    .slab = tt_smux_unsent_take(m, &s->unsent, len),
                                    .len = TT_SMUX_HEADER + len};
}

/* No room in front of the payload: the header goes alone, and the payload is what comes next. */
static int give_header(struct tt_smux *m, struct tt_smux_stream *s, uint32_t len,
                       struct tt_smux_piece *piece)
{
    struct tt_slab *shared = tt_smux_shared_slab(m, TT_SMUX_HEADER);
    if (!shared)
        return TT_E_NOMEM;
    uint8_t *header = shared->data + shared->used;
    write_header(m, header, TT_SMUX_PSH, len, s->sid);
    shared->used += TT_SMUX_HEADER;
    m->pending.ptr = tt_smux_unsent_first(&s->unsent)->ptr;
    m->pending.slab = tt_smux_unsent_take(m, &s->unsent, len);
    m->pending.len = len;
    *piece =
        (struct tt_smux_piece){.ptr = header, .slab = tt_slab_ref(shared), .len = TT_SMUX_HEADER};
    return TT_OK;
}

static int give_data(struct tt_smux *m, struct tt_smux_stream *s, uint32_t max_len,
                     struct tt_smux_piece *piece)
{
    const struct tt_smux_unsent_frame *f = tt_smux_unsent_first(&s->unsent);
    const uint32_t len = data_len(s, f, max_len);

    if (!f->bare) {
        give_whole(m, s, len, piece);
    } else {
        int err = give_header(m, s, len, piece);
        if (err)
            return err;
    }
    gave(m, piece->len, 1);
    data_given(s, len);
    return TT_OK;
}

int tt_smux_next_frame(struct tt_smux *m, uint64_t now_us, uint32_t max_len,
                       struct tt_smux_piece *piece)
{
    assert(max_len >= LARGEST_CONTROL);
    if (!tt_smux_wants_send(m))
        return TT_E_AGAIN;
    if (m->pending.len > 0) {
        give_pending(m, max_len, piece);
        return TT_OK;
    }
    if (m->nop_due || !tt_list_empty(&m->urgent))
        return give_control(m, now_us, max_len, piece);
    struct tt_list_node *n = tt_list_first(&m->sending);
    return give_data(m, TT_CONTAINER_OF(n, struct tt_smux_stream, turn_node), max_len, piece);
}

bool tt_smux_wants_send(const struct tt_smux *m)
{
    if (m->error || m->version == 0)
        return false;
    return m->pending.len > 0 || m->nop_due || !tt_list_empty(&m->urgent) ||
           !tt_list_empty(&m->sending);
}

void tt_smux_acked(struct tt_smux *m, uint64_t offset)
{
    if (offset <= m->acked_offset)
        return;
    assert(offset <= m->sent_offset);
    m->acked_offset = offset;
    for (struct tt_list_node *n; (n = tt_list_first(&m->ack_wait)) != NULL;) {
        struct tt_smux_stream *s = TT_CONTAINER_OF(n, struct tt_smux_stream, turn_node);
        if (s->wait_offset > offset)
            break;
        tt_list_remove(n);
        tt_smux_stream_acked(s);
    }
    tt_smux_release_shared(m);
}
