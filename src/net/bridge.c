/* The descriptor form of a stream: a pair of connected sockets, one end the program's, the other
 * moved to and from the stream by the loop.
 *
 *   program's end  <-- socketpair -->  our end  <-- bridge -->  stream
 *
 * Bytes are received straight into the stream's memory, and sent straight from where they arrived.
 * Each direction stops when the other side of it takes no more, and goes on when that reports room.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include <turbotunnel/stream.h>

#include "net/session.h"

#define SPANS_A_WRITE 16
#define MOVES_A_TURN  16 /* in each direction, before others get their turn */

/* Nobody tells when there is memory again. */
#define RETRY_US (50 * TT_MS)

struct bridge {
    struct tt_loop *worker;
    struct tt_stream *stream;
    int fd; /* our end */
    uv_poll_t poll;
    struct tt_timer retry;
    struct tt_chore
        chore; /* to start, to change what is polled for, and to end: the loop's thread */
    int events;
    bool program_ended; /* its end of file was seen, and the stream's sending side ended */
    bool stream_ended;  /* the peer's end was seen, and our end's sending side ended */
    bool stream_full;   /* waits for the stream's room */
    bool socket_full;   /* waits for the socket's room */
    bool starved;       /* waits for memory */
    bool over;
};

static void free_bridge(uv_handle_t *handle)
{
    struct bridge *b = handle->data;
    tt_worker_turn(b->worker);
    b->worker->alloc->put(b->worker->alloc->ctx, b);
}

static void bury(struct tt_chore *chore, uint64_t now_us)
{
    struct bridge *b = TT_CONTAINER_OF(chore, struct bridge, chore);
    (void)now_us;
    if (b->poll.data) {
        uv_close((uv_handle_t *)&b->poll, free_bridge);
        close(b->fd);
    } else { /* it never came to be watched */
        close(b->fd);
        b->worker->alloc->put(b->worker->alloc->ctx, b);
    }
}

/* Nothing more will be moved. The stream is closed, or was. */
static void finish(struct bridge *b)
{
    b->over = true;
    (void)shutdown(b->fd, SHUT_RDWR);
    tt_list_remove(&b->chore.node);
    tt_timer_dispose(b->worker, &b->retry);
    b->chore.run = bury;
    tt_worker_mark_for_loop(b->worker, &b->chore);
}

static void stream_gone(struct tt_stream *st)
{
    finish(st->callbacks_ctx);
}

static void close_stream(struct bridge *b)
{
    struct tt_stream *st = b->stream;
    st->gone = NULL;
    finish(b);
    tt_stream_close(st);
}

/* --- from the program to the stream --- */

static bool program_has_closed(const struct bridge *b)
{
    struct pollfd p = {.fd = b->fd};
    return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

static void end_sending(struct bridge *b)
{
    b->program_ended = true;
    (void)tt_stream_shutdown(b->stream);
    if (program_has_closed(b))
        close_stream(b);
}

/* Returns false when there is nothing more to move now. */
static bool move_in(struct bridge *b)
{
    uint8_t *room;
    size_t len;
    int err = tt_smux_write_room(b->stream->smux, &room, &len);
    b->stream_full = err == TT_E_FULL;
    b->starved = err == TT_E_NOMEM;
    if (err) {
        if (err != TT_E_FULL && err != TT_E_NOMEM)
            b->program_ended = true; /* nobody will read it; see what the peer still sends */
        return false;
    }
    const ssize_t n = recv(b->fd, room, len, MSG_DONTWAIT);
    tt_smux_write_commit(b->stream->smux, n > 0 ? (size_t)n : 0);
    if (n > 0)
        return true;
    if (n == 0)
        end_sending(b);
    else if (errno != EAGAIN && errno != EINTR)
        close_stream(b);
    return false;
}

/* --- from the stream to the program --- */

static void end_receiving(struct bridge *b)
{
    b->stream_ended = true;
    (void)shutdown(b->fd, SHUT_WR);
}

static ssize_t send_spans(const struct bridge *b, struct tt_span *spans, size_t count)
{
    /* A span is laid out like struct iovec: see carrier/tcp.c. */
    struct msghdr message = {.msg_iov = (struct iovec *)(void *)spans, .msg_iovlen = count};
    return sendmsg(b->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool move_out(struct bridge *b)
{
    struct tt_span spans[SPANS_A_WRITE];
    size_t count = SPANS_A_WRITE;
    int err = tt_stream_peek_spans(b->stream, spans, &count);
    if (err == TT_E_END || tt_is_fatal(err))
        end_receiving(b);
    else if (err == TT_E_RESET)
        close_stream(b); /* the program reads an early end, and cannot write any more */
    if (err)
        return false;
    const ssize_t n = send_spans(b, spans, count);
    b->socket_full = n < 0 && errno == EAGAIN;
    if (n > 0)
        tt_smux_consume(b->stream->smux, (size_t)n);
    else if (!b->socket_full && errno != EINTR)
        close_stream(b); /* the program has closed its end */
    return n > 0 || errno == EINTR;
}

/* --- turns --- */

static void poll_ready(uv_poll_t *handle, int status, int events);

static void update_events(struct bridge *b)
{
    const int events = (b->program_ended || b->stream_full || b->starved ? 0 : UV_READABLE) |
                       (b->socket_full && !b->stream_ended ? UV_WRITABLE : 0);
    if (events == b->events)
        return;
    b->events = events;
    if (events)
        (void)uv_poll_start(&b->poll, events, poll_ready);
    else
        (void)uv_poll_stop(&b->poll);
}

/* Returns whether there may be more to move: bytes, or the end behind them. */
static bool move_out_for_a_turn(struct bridge *b)
{
    for (int i = 0; i < MOVES_A_TURN; i++)
        if (b->over || b->stream_ended || !move_out(b))
            return false;
    return true;
}

static void move(struct tt_chore *chore, uint64_t now_us)
{
    struct bridge *b = TT_CONTAINER_OF(chore, struct bridge, chore);
    b->starved = false;
    const bool more_to_come = move_out_for_a_turn(b);
    for (int i = 0; i < MOVES_A_TURN && !b->over && !b->program_ended && move_in(b); i++)
        continue;
    if (!b->over && b->stream_ended && (b->program_ended || tt_session_error(b->stream->session)))
        close_stream(b);
    if (b->over)
        return;
    update_events(b);
    tt_timer_set(b->worker, &b->retry, b->starved ? tt_deadline_after(now_us, RETRY_US) : TT_NEVER);
    tt_session_touch(b->stream->session);
    if (more_to_come)
        tt_smux_report_again(b->stream->smux, TT_SMUX_READABLE);
}

static void poll_ready(uv_poll_t *handle, int status, int events)
{
    struct bridge *b = handle->data;
    tt_worker_turn(b->worker);
    if (b->over)
        return;
    if (status < 0)
        b->events = 0; /* libuv has stopped polling */
    if (events & UV_WRITABLE)
        b->socket_full = false;
    tt_worker_mark_for_loop(b->worker, &b->chore);
}

static void stream_ready(void *ctx, struct tt_stream *st)
{
    struct bridge *b = ctx;
    (void)st;
    if (b->over)
        return;
    b->stream_full = false;
    tt_worker_mark_for_loop(b->worker, &b->chore);
}

static void memory_again(struct tt_timer *timer, uint64_t now_us)
{
    struct bridge *b = TT_CONTAINER_OF(timer, struct bridge, retry);
    (void)now_us;
    tt_worker_mark_for_loop(b->worker, &b->chore);
}

static void start(struct tt_chore *chore, uint64_t now_us)
{
    struct bridge *b = TT_CONTAINER_OF(chore, struct bridge, chore);
    if (uv_poll_init(&b->worker->uv, &b->poll, b->fd)) {
        close_stream(b);
        return;
    }
    b->poll.data = b;
    b->chore.run = move;
    move(chore, now_us);
}

static int make_bridge(struct tt_stream *st, int fd)
{
    struct tt_loop *w = st->session->worker;
    struct bridge *b = w->alloc->get(w->alloc->ctx, sizeof *b);
    if (!b)
        return TT_E_NOMEM;
    *b = (struct bridge){.worker = w, .stream = st, .fd = fd, .chore = {.run = start}};
    if (tt_timer_init(w, &b->retry, memory_again)) {
        w->alloc->put(w->alloc->ctx, b);
        return TT_E_NOMEM;
    }
    st->callbacks =
        (struct tt_stream_callbacks){.readable = stream_ready, .writable = stream_ready};
    st->callbacks_ctx = b;
    st->gone = stream_gone;
    tt_worker_mark_for_loop(w, &b->chore);
    return TT_OK;
}

int tt_stream_into_fd(struct tt_stream *st, int *fd)
{
    struct tt_loop *w = st->session->worker;
    int pair[2];

    *fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return TT_E_SYSTEM;
    const bool entered = tt_worker_enter(w);
    int err = make_bridge(st, pair[1]);
    tt_worker_leave(w, entered);
    if (err) {
        close(pair[0]);
        close(pair[1]);
        return err;
    }
    *fd = pair[0];
    return TT_OK;
}
