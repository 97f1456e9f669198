/* The public functions of a stream: straight to its buffers in smux. */
#include <turbotunnel/stream.h>

#include <assert.h>
#include <stddef.h>

#include "net/lead.h"
#include "net/session.h"

/* --- reading --- */

/* Where nothing is there any more, the session's error comes instead. */
static int nothing_or_error(const struct tt_stream *st, int err)
{
    const int session_err = tt_session_error(st->session);
    return err == TT_E_AGAIN && session_err ? session_err : err;
}

static int read_some(struct tt_stream *st, void *buf, size_t cap, size_t *len)
{
    int err = tt_smux_read(st->smux, buf, cap, len);
    if (!err)
        tt_session_touch(st->session); /* a window may have opened */
    return nothing_or_error(st, err);
}

int tt_stream_try_read(struct tt_stream *st, void *buf, size_t cap, size_t *len)
{
    *len = 0;
    if (cap == 0)
        return TT_E_INVAL;
    const bool entered = tt_worker_enter(st->session->worker);
    int err = read_some(st, buf, cap, len);
    tt_worker_leave(st->session->worker, entered);
    return err;
}

int tt_stream_read(struct tt_stream *st, void *buf, size_t cap, size_t *len)
{
    struct tt_loop *w = st->session->worker;
    int err;

    *len = 0;
    if (cap == 0 || tt_worker_must_not_wait(w))
        return TT_E_INVAL;
    const bool entered = tt_worker_enter(w);
    while ((err = read_some(st, buf, cap, len)) == TT_E_AGAIN)
        tt_lead_until_woken(w, &st->readers, &st->reader_left_us);
    tt_worker_leave(w, entered);
    return err;
}

/* --- writing --- */

/* Room that was asked for and not filled. */
static void give_room_back(struct tt_stream *st)
{
    if (tt_smux_room_bytes(st->smux) > 0)
        tt_smux_write_commit(st->smux, 0);
}

static int write_some(struct tt_stream *st, const void *data, size_t len, size_t *taken)
{
    give_room_back(st);
    int err = tt_session_error(st->session);
    *taken = 0;
    if (!err)
        err = tt_smux_write(st->smux, data, len, taken);
    if (!err)
        tt_session_touch(st->session);
    return err;
}

int tt_stream_try_write(struct tt_stream *st, const void *data, size_t len, size_t *taken)
{
    const bool entered = tt_worker_enter(st->session->worker);
    int err = write_some(st, data, len, taken);
    tt_worker_leave(st->session->worker, entered);
    return err;
}

int tt_stream_write(struct tt_stream *st, const void *data, size_t len)
{
    struct tt_loop *w = st->session->worker;
    const uint8_t *at = data;
    int err = TT_OK;

    if (tt_worker_must_not_wait(w))
        return TT_E_INVAL;
    const bool entered = tt_worker_enter(w);
    while (len > 0 && !err) {
        size_t taken;
        err = write_some(st, at, len, &taken);
        at += taken;
        len -= taken;
        if (err == TT_E_FULL) {
            tt_lead_until_woken(w, &st->writers, &st->writer_left_us);
            err = TT_OK;
        }
    }
    tt_worker_leave(w, entered);
    return err;
}

int tt_stream_shutdown(struct tt_stream *st)
{
    const bool entered = tt_worker_enter(st->session->worker);
    int err = tt_session_error(st->session);
    give_room_back(st);
    if (!err)
        err = tt_smux_shutdown(st->smux);
    if (!err)
        tt_session_touch(st->session);
    tt_worker_leave(st->session->worker, entered);
    return err;
}

/* --- without a copy --- */

static_assert(sizeof(struct tt_span) == sizeof(struct tt_piece) &&
                  offsetof(struct tt_span, ptr) == offsetof(struct tt_piece, data) &&
                  offsetof(struct tt_span, len) == offsetof(struct tt_piece, len),
              "struct tt_span is laid out like struct tt_piece");

static bool in_callback(const struct tt_stream *st)
{
    return tt_worker_is_callback(st->session->worker);
}

int tt_stream_peek_spans(const struct tt_stream *st, struct tt_span *spans, size_t *count)
{
    return nothing_or_error(st, tt_smux_peek(st->smux, spans, count));
}

int tt_stream_peek(struct tt_stream *st, struct tt_piece *pieces, size_t *count)
{
    if (!in_callback(st) || *count == 0)
        return TT_E_INVAL;
    return tt_stream_peek_spans(st, (struct tt_span *)(void *)pieces, count);
}

int tt_stream_consume(struct tt_stream *st, size_t len)
{
    if (!in_callback(st) || len > tt_smux_readable_bytes(st->smux))
        return TT_E_INVAL;
    tt_smux_consume(st->smux, len);
    tt_session_touch(st->session); /* a window may have opened */
    return TT_OK;
}

int tt_stream_room(struct tt_stream *st, void **room, size_t *len)
{
    uint8_t *bytes;
    if (!in_callback(st))
        return TT_E_INVAL;
    give_room_back(st);
    int err = tt_session_error(st->session);
    if (!err)
        err = tt_smux_write_room(st->smux, &bytes, len);
    if (err)
        return err;
    *room = bytes;
    return TT_OK;
}

int tt_stream_commit(struct tt_stream *st, size_t len)
{
    const size_t room = in_callback(st) ? tt_smux_room_bytes(st->smux) : 0;
    if (room == 0 || len > room)
        return TT_E_INVAL;
    tt_smux_write_commit(st->smux, len);
    if (len > 0)
        tt_session_touch(st->session);
    return TT_OK;
}

/* --- callbacks and the rest --- */

void tt_stream_set_callbacks(struct tt_stream *st, const struct tt_stream_callbacks *callbacks,
                             void *ctx)
{
    const bool entered = tt_worker_enter(st->session->worker);
    st->callbacks = callbacks ? *callbacks : (struct tt_stream_callbacks){NULL, NULL};
    st->callbacks_ctx = ctx;
    tt_session_calls_back(st->session);
    tt_smux_report_again(st->smux, TT_SMUX_READABLE);
    tt_session_touch(st->session);
    tt_worker_leave(st->session->worker, entered);
}

void tt_stream_set_user(struct tt_stream *st, void *user)
{
    st->user = user;
}

void *tt_stream_user(const struct tt_stream *st)
{
    return st->user;
}

uint32_t tt_stream_id(const struct tt_stream *st)
{
    return tt_smux_stream_id(st->smux);
}
