/* What the application calls on a stream. */
#include <assert.h>

#include "core/smux/frame.h"
#include "core/smux/stream.h"

/* tt_smux_write_room gives at least so much when the stream may hold it, of a large slab more: what
 * is left behind a whole frame is not worth a call, and a frame of its own, of whoever fills it.
 */
#define LEAST_ROOM       512u
#define LEAST_LARGE_ROOM 1024u

/* Whether bytes can be written now; *room: how many. */
static int check_writable(struct tt_smux_stream *s, uint32_t *room)
{
    if (s->m->error)
        return s->m->error;
    if (s->reset)
        return TT_E_RESET;
    if (s->ending != TT_SMUX_WRITING)
        return TT_E_SHUT;
    if (s->broken)
        return TT_E_PROTO;
    const uint32_t most = tt_smux_stream_most_unsent(s);
    *room = s->unsent.bytes < most ? most - s->unsent.bytes : 0;
    s->wants_writable = *room == 0;
    return *room ? TT_OK : TT_E_FULL;
}

static void added(struct tt_smux_stream *s, uint32_t len)
{
    s->m->unsent_bytes += len;
    tt_smux_stream_update_sending(s);
}

int tt_smux_write(struct tt_smux_stream *s, const void *data, size_t len, size_t *taken)
{
    uint32_t room, done;

    *taken = 0;
    int err = check_writable(s, &room);
    if (err)
        return len == 0 && err == TT_E_FULL ? TT_OK : err;
    if (len == 0)
        return TT_OK;
    err = tt_smux_unsent_append(s->m, &s->unsent, data, len < room ? (uint32_t)len : room, &done);
    if (err)
        return err;
    added(s, done);
    *taken = done;
    return TT_OK;
}

/* Where a frame or the whole buffer fits into a smaller slab, that is enough: else each byte in
 * flight could pin one of 64 KiB.
 */
static enum tt_slab_class class_for_room(const struct tt_smux_stream *s)
{
    const struct tt_smux_config *c = &s->m->config;
    const uint32_t most = c->max_frame < c->max_send_buffer ? c->max_frame : c->max_send_buffer;
    enum tt_slab_class class = s->unsent.room_class;

    while (class > TT_SLAB_SMALL && TT_SMUX_HEADER + most <= tt_slab_capacity(class - 1))
        class --;
    return class;
}

int tt_smux_write_room(struct tt_smux_stream *s, uint8_t **room, size_t *len)
{
    uint32_t most;
    int err = check_writable(s, &most);
    if (err)
        return err;
    const enum tt_slab_class class = class_for_room(s);
    err = tt_smux_unsent_reserve(s->m, &s->unsent, class,
                                 class == TT_SLAB_LARGE ? LEAST_LARGE_ROOM : LEAST_ROOM, most);
    if (err)
        return err;
    *room = s->unsent.room.ptr;
    *len = s->unsent.room.len;
    return TT_OK;
}

/* A writer that fills its room gets a larger one next time, one that hardly uses it a smaller one.
 */
static enum tt_slab_class next_room_class(enum tt_slab_class class, uint32_t room, uint32_t used)
{
    if (used == room)
        return class < TT_SLAB_LARGE ? class + 1 : class;
    return used < room / 4 && class > TT_SLAB_SMALL ? class - 1 : class;
}

size_t tt_smux_room_bytes(const struct tt_smux_stream *s)
{
    return s->unsent.room.slab ? s->unsent.room.len : 0;
}

void tt_smux_write_commit(struct tt_smux_stream *s, size_t len)
{
    struct tt_smux_unsent *u = &s->unsent;

    assert(u->room.slab && len <= u->room.len);
    if (s->broken || s->m->error)
        len = 0;
    u->room_class = next_room_class(u->room_class, u->room.len, (uint32_t)len);
    tt_smux_unsent_commit(u, (uint32_t)len);
    added(s, (uint32_t)len);
}

/* Why there is nothing to read. */
static int nothing_to_read(const struct tt_smux_stream *s)
{
    if (s->reset)
        return TT_E_RESET;
    if (tt_smux_stream_peer_has_ended(s))
        return TT_E_END;
    return s->m->error ? s->m->error : TT_E_AGAIN;
}

int tt_smux_read(struct tt_smux_stream *s, void *buf, size_t cap, size_t *len)
{
    uint8_t *out = buf;

    *len = 0;
    if (cap == 0)
        return TT_OK;
    for (struct tt_span span; *len < cap && tt_smux_received_peek(&s->received, &span, 1) > 0;) {
        const size_t n = span.len < cap - *len ? span.len : cap - *len;
        memcpy(out + *len, span.ptr, n);
        *len += n;
        tt_smux_received_drop(s->m, &s->received, n);
    }
    tt_smux_stream_consumed(s, *len);
    return *len ? TT_OK : nothing_to_read(s);
}

int tt_smux_peek(struct tt_smux_stream *s, struct tt_span *spans, size_t *count)
{
    *count = tt_smux_received_peek(&s->received, spans, *count);
    return *count ? TT_OK : nothing_to_read(s);
}

void tt_smux_consume(struct tt_smux_stream *s, size_t len)
{
    assert(len <= s->received.bytes);
    tt_smux_received_drop(s->m, &s->received, len);
    tt_smux_stream_consumed(s, len);
}

size_t tt_smux_readable_bytes(const struct tt_smux_stream *s)
{
    return s->received.bytes;
}

int tt_smux_shutdown(struct tt_smux_stream *s)
{
    if (s->m->error)
        return s->m->error;
    if (s->reset)
        return TT_E_RESET;
    if (s->ending != TT_SMUX_WRITING)
        return TT_E_SHUT;
    s->ending = TT_SMUX_DRAINING;
    tt_smux_stream_advance(s);
    return TT_OK;
}

void tt_smux_close(struct tt_smux_stream *s)
{
    assert(!s->closed && s->accepted);
    if (s->m->error) {
        tt_smux_stream_free(s);
        return;
    }
    tt_list_remove(&s->phase_node);
    s->closed = true;
    s->m->closing_streams++;
    const size_t unread = s->received.bytes;
    tt_smux_received_clear(s->m, &s->received);
    tt_smux_stream_consumed(s, unread);
    if (s->ending == TT_SMUX_WRITING)
        s->ending = TT_SMUX_DRAINING;
    tt_smux_stream_update_sending(s);
    tt_smux_stream_advance(s);
}

void tt_smux_reset(struct tt_smux_stream *s, uint32_t code)
{
    struct tt_smux *m = s->m;
    if (m->error || s->reset || !m->config.peer_resets) {
        tt_smux_close(s);
        return;
    }
    assert(!s->closed && s->accepted);
    tt_list_remove(&s->phase_node);
    s->closed = true;
    m->closing_streams++;
    tt_smux_received_clear(m, &s->received);
    s->reset_code = code;
    tt_smux_stream_drop_unsent(s);
    s->due &= TT_SMUX_DUE_SYN; /* the peer must know the stream before it is reset */
    tt_smux_stream_make_due(s, TT_SMUX_DUE_RST);
}

uint32_t tt_smux_reset_code(const struct tt_smux_stream *s)
{
    return s->reset_code;
}

uint32_t tt_smux_stream_id(const struct tt_smux_stream *s)
{
    return s->sid;
}

void *tt_smux_stream_user(const struct tt_smux_stream *s)
{
    return s->user;
}

void tt_smux_stream_set_user(struct tt_smux_stream *s, void *user)
{
    s->user = user;
}

bool tt_smux_stream_settled(const struct tt_smux_stream *s)
{
    return s->unsent.bytes == 0 && s->last_offset <= s->m->acked_offset &&
           (s->ending == TT_SMUX_WRITING || s->ending == TT_SMUX_FIN_ACKED);
}

size_t tt_smux_unsent_bytes(const struct tt_smux_stream *s)
{
    return s->unsent.bytes;
}

void tt_smux_report_again(struct tt_smux_stream *s, unsigned events)
{
    tt_smux_stream_report(s, events);
}
