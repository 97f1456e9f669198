#include "tunnel/splice.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#include "tunnel/target.h"

static_assert(sizeof(struct tt_piece) == sizeof(struct iovec) &&
                  offsetof(struct tt_piece, data) == offsetof(struct iovec, iov_base) &&
                  offsetof(struct tt_piece, len) == offsetof(struct iovec, iov_len),
              "struct tt_piece is laid out like struct iovec");

#define PIECES_A_WRITE 192 /* of 1,376 bytes: what four reads of a carrier bring */
#define MOVES_A_TURN   16  /* in each direction, before others get their turn */

/* Nobody tells when there is memory again. */
#define RETRY_US (50 * TT_MS)

/* A descriptor that libuv watches. */
struct watch {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_idle_t none; /* never started: a file is always ready */
    } uv;
    struct joint *joint;
    int fd;
    int events;
    bool is_socket;
    bool always_ready; /* a file: nothing to watch for */
    bool deaf;         /* it has hung up: watching it idly would never be quiet again */
};

struct joint {
    struct tt_splice pub;
    struct watch watches[2]; /* the second only where there are two descriptors */
    unsigned handles;        /* that libuv has not closed yet */
    struct tt_chore chore;   /* to move bytes */
    struct tt_timer again;   /* to move on without an event */
    bool in_ended;           /* no more from the descriptor; the stream's sending side ended */
    bool out_ended;          /* no more from the stream; the descriptor was told */
    bool stream_full;        /* waits for the stream's room */
    bool output_full;        /* waits for the descriptor's room */
    bool input_empty;        /* waits for the descriptor's bytes */
    bool starved;            /* waits for memory */
    bool answered;
    bool over;
};

static struct watch *input(struct joint *j)
{
    return &j->watches[0];
}

static struct watch *output(struct joint *j)
{
    return &j->watches[j->pub.config.in_fd == j->pub.config.out_fd ? 0 : 1];
}

void tt_close_with_reset(int fd)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
}

/* --- the end --- */

static void free_watch(uv_handle_t *handle)
{
    struct joint *j = ((struct watch *)handle->data)->joint;
    tt_worker_turn(j->pub.config.worker);
    if (--j->handles == 0)
        tt_alloc_malloc.put(NULL, j);
}

static void close_watch(struct watch *w, bool with_reset)
{
    uv_close(&w->uv.handle, free_watch);
    if (with_reset)
        tt_close_with_reset(w->fd);
    else
        close(w->fd);
}

static void bury(struct joint *j, bool with_reset)
{
    struct watch *out = output(j);
    j->over = true;
    tt_list_remove(&j->pub.node);
    tt_list_remove(&j->chore.node);
    tt_timer_dispose(j->pub.config.worker, &j->again);
    if (out != input(j))
        close_watch(out, with_reset);
    close_watch(input(j), with_reset);
}

static void end_with(struct joint *j, struct tt_splice_end end)
{
    j->over = true;
    tt_list_remove(&j->pub.node); /* the callee may abort the others */
    end.answered = j->answered;
    end.fd = output(j)->fd;
    end.resets_socket = !end.in_order;
    if (j->pub.config.ended)
        j->pub.config.ended(j->pub.config.ctx, &end);
    bury(j, end.resets_socket);
}

static void end_in_order(struct joint *j)
{
    tt_stream_close(j->pub.config.stream);
    end_with(j, (struct tt_splice_end){.in_order = true});
}

/* The descriptor is broken: the far side learns of it. */
static void reset_stream(struct joint *j)
{
    tt_stream_reset(j->pub.config.stream, TT_RESET_BY_PROGRAM);
    end_with(j, (struct tt_splice_end){.code = TT_RESET_BY_PROGRAM});
}

/* The stream is broken: the program learns of it. */
static void stream_broke(struct joint *j, int err)
{
    struct tt_stream *st = j->pub.config.stream;
    const uint32_t code = err == TT_E_RESET ? tt_stream_reset_code(st) : TT_RESET_NONE;
    tt_stream_reset(st, TT_RESET_NONE);
    end_with(j, (struct tt_splice_end){.code = code});
}

void tt_splice_abort_all(struct tt_list *list, uint32_t code)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(list)) != NULL) {
        struct joint *j = TT_CONTAINER_OF(node, struct joint, pub.node);
        tt_stream_reset(j->pub.config.stream, code);
        bury(j, true);
    }
}

/* --- from the descriptor to the stream --- */

static void end_input(struct joint *j)
{
    j->in_ended = true;
    (void)tt_stream_shutdown(j->pub.config.stream);
}

/* false: nothing more can be moved now. */
static bool no_room(struct joint *j, int err)
{
    j->stream_full = err == TT_E_FULL;
    j->starved = err == TT_E_NOMEM;
    if (err == TT_E_RESET && j->output_full)
        stream_broke(j, err); /* who reads nothing is told, too */
    else if (!j->stream_full && !j->starved)
        j->in_ended = true; /* the stream takes no more: reading it says why */
    return false;
}

static ssize_t receive(const struct watch *w, void *room, size_t len)
{
    ssize_t n;
    do {
        n = w->is_socket ? recv(w->fd, room, len, MSG_DONTWAIT) : read(w->fd, room, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

static bool move_in(struct joint *j)
{
    struct tt_stream *st = j->pub.config.stream;
    void *room;
    size_t len;
    const int err = tt_stream_room(st, &room, &len);
    if (err)
        return no_room(j, err);
    const ssize_t n = receive(input(j), room, len);
    const int os_err = errno;
    (void)tt_stream_commit(st, n > 0 ? (size_t)n : 0);
    j->input_empty = n > 0 ? input(j)->is_socket && (size_t)n < len : n < 0 && os_err == EAGAIN;
    if (n > 0)
        return !j->input_empty;
    if (n == 0)
        end_input(j);
    else if (os_err != EAGAIN)
        reset_stream(j);
    return false;
}

/* --- from the stream to the descriptor --- */

static void end_output(struct joint *j)
{
    j->out_ended = true;
    if (output(j)->is_socket)
        (void)shutdown(output(j)->fd, SHUT_WR);
}

static bool take_status(struct joint *j, const struct tt_piece *piece)
{
    const uint8_t status = *(const uint8_t *)piece->data;
    if (status != TT_TARGET_CONNECTED) {
        stream_broke(j, TT_E_PROTO);
        return false;
    }
    (void)tt_stream_consume(j->pub.config.stream, 1);
    j->answered = true;
    if (j->pub.config.answered)
        j->pub.config.answered(j->pub.config.ctx, output(j)->fd);
    return true;
}

static ssize_t send_pieces(const struct watch *w, struct tt_piece *pieces, size_t count)
{
    struct iovec *spans = (struct iovec *)(void *)pieces;
    struct msghdr message = {.msg_iov = spans, .msg_iovlen = count};
    ssize_t n;
    do {
        n = w->is_socket ? sendmsg(w->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
                         : writev(w->fd, spans, (int)count);
    } while (n < 0 && errno == EINTR);
    return n;
}

static bool nothing_to_send(struct joint *j, int err)
{
    if (err == TT_E_END && j->answered)
        end_output(j);
    else if (err != TT_E_AGAIN)
        stream_broke(j, err);
    return false;
}

/* false: nothing more can be moved now. */
static bool move_out(struct joint *j)
{
    struct tt_piece pieces[PIECES_A_WRITE];
    size_t count = PIECES_A_WRITE;
    const int err = tt_stream_peek(j->pub.config.stream, pieces, &count);
    if (err)
        return nothing_to_send(j, err);
    if (!j->answered)
        return take_status(j, &pieces[0]);
    const ssize_t n = send_pieces(output(j), pieces, count);
    j->output_full = n < 0 && errno == EAGAIN;
    if (n > 0)
        (void)tt_stream_consume(j->pub.config.stream, (size_t)n);
    else if (!j->output_full)
        reset_stream(j);
    return n > 0;
}

/* --- turns --- */

static void ready(uv_poll_t *handle, int status, int events);

/* A socket from which nothing is wanted is still watched for a reset: a program that has gone must
 * not be kept for as long as the other side takes nothing.
 */
static void watch_for(struct watch *w, int events)
{
    if (events == 0 && !w->deaf)
        events = UV_PRIORITIZED;
    if (w->always_ready || events == w->events)
        return;
    w->events = events;
    if (events)
        (void)uv_poll_start(&w->uv.poll, events, ready);
    else
        (void)uv_poll_stop(&w->uv.poll);
}

static bool wants_input(const struct joint *j)
{
    return !j->in_ended && !j->stream_full && !j->starved;
}

/* Nothing is read that is known not to be there. But where output waits as well, it is the stream's
 * room by which a reset is learned.
 */
static bool may_move_in(const struct joint *j)
{
    return wants_input(j) && (!j->input_empty || j->output_full);
}

static void update_events(struct joint *j)
{
    struct watch *in = input(j);
    struct watch *out = output(j);
    const int read = wants_input(j) ? UV_READABLE : 0;
    const int write = j->output_full ? UV_WRITABLE : 0;
    if (in == out) {
        watch_for(in, read | write);
        return;
    }
    watch_for(in, read);
    watch_for(out, write);
}

static void set_again(struct joint *j, uint64_t now_us)
{
    uint64_t when_us = TT_NEVER;
    if (j->starved)
        when_us = tt_deadline_after(now_us, RETRY_US);
    else if (input(j)->always_ready && wants_input(j))
        when_us = now_us;
    tt_timer_set(j->pub.config.worker, &j->again, when_us);
}

static bool is_done(const struct joint *j)
{
    return j->out_ended && (j->in_ended || j->pub.config.ends_with_output);
}

/* Returns whether there may be more to move. */
static bool move_out_for_a_turn(struct joint *j)
{
    for (int i = 0; i < MOVES_A_TURN; i++)
        if (j->over || j->out_ended || j->output_full || !move_out(j))
            return false;
    return true;
}

static void move(struct tt_chore *chore, uint64_t now_us)
{
    struct joint *j = TT_CONTAINER_OF(chore, struct joint, chore);
    const bool more = move_out_for_a_turn(j);
    for (int i = 0; i < MOVES_A_TURN && !j->over && may_move_in(j) && move_in(j); i++)
        continue;
    if (!j->over && is_done(j))
        end_in_order(j);
    if (j->over)
        return;
    update_events(j);
    set_again(j, now_us);
    if (more)
        tt_worker_mark_for_loop(j->pub.config.worker, &j->chore);
}

static void mark(struct joint *j)
{
    tt_worker_mark_for_loop(j->pub.config.worker, &j->chore);
}

/* Nothing was wanted of it, and yet it has something to say. */
static void heard_idly(struct watch *w)
{
    int err = 0;
    socklen_t len = sizeof err;
    w->deaf = true;
    if (w->is_socket)
        (void)getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err || (!w->is_socket && w == output(w->joint)))
        reset_stream(w->joint);
}

static void ready(uv_poll_t *handle, int status, int events)
{
    struct watch *w = handle->data;
    struct joint *j = w->joint;
    const bool idle = w->events == UV_PRIORITIZED;
    tt_worker_turn(j->pub.config.worker);
    if (j->over)
        return;
    if (status < 0)
        w->events = 0; /* libuv has stopped polling; reading or writing says why */
    if (w == output(j) && (events & UV_WRITABLE || status < 0))
        j->output_full = false;
    if (w == input(j) && (events & UV_READABLE || status < 0))
        j->input_empty = false;
    if (idle)
        heard_idly(w);
    if (!j->over)
        mark(j);
}

static void stream_readable(void *ctx, struct tt_stream *st)
{
    (void)st;
    mark(ctx);
}

static void stream_writable(void *ctx, struct tt_stream *st)
{
    struct joint *j = ctx;
    (void)st;
    j->stream_full = false;
    mark(j);
}

static void again(struct tt_timer *timer, uint64_t now_us)
{
    struct joint *j = TT_CONTAINER_OF(timer, struct joint, again);
    (void)now_us;
    j->starved = false;
    mark(j);
}

/* --- the beginning --- */

static int init_watch(struct joint *j, struct watch *w, int fd)
{
    struct stat st;
    *w = (struct watch){.joint = j, .fd = fd};
    w->is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
    int err = uv_poll_init(&j->pub.config.worker->uv, &w->uv.poll, fd);
    if (err == UV_EPERM) { /* a file */
        w->always_ready = true;
        err = uv_idle_init(&j->pub.config.worker->uv, &w->uv.none);
    }
    if (err)
        return TT_E_SYSTEM;
    w->uv.handle.data = w;
    j->handles++;
    return TT_OK;
}

static int init_watches(struct joint *j)
{
    const struct tt_splice_config *c = &j->pub.config;
    int err = init_watch(j, &j->watches[0], c->in_fd);
    if (!err && c->out_fd != c->in_fd)
        err = init_watch(j, &j->watches[1], c->out_fd);
    return err;
}

static void refuse(const struct tt_splice_config *c)
{
    tt_stream_reset(c->stream, TT_RESET_LIMIT);
    if (c->out_fd != c->in_fd)
        close(c->out_fd);
    tt_close_with_reset(c->in_fd);
}

static const struct tt_stream_callbacks callbacks = {.readable = stream_readable,
                                                     .writable = stream_writable};

int tt_splice_begin(const struct tt_splice_config *config)
{
    struct joint *j = tt_alloc_malloc.get(NULL, sizeof *j);
    int err = j ? TT_OK : TT_E_NOMEM;
    if (!err) {
        *j = (struct joint){.pub.config = *config, .chore.run = move};
        j->answered = !config->awaits_status;
        err = tt_timer_init(config->worker, &j->again, again);
    }
    if (err) {
        if (j)
            tt_alloc_malloc.put(NULL, j);
        refuse(config);
        return err;
    }
    err = init_watches(j);
    if (err) {
        tt_timer_dispose(config->worker, &j->again);
        if (j->handles > 0)
            uv_close(&j->watches[0].uv.handle, free_watch);
        else
            tt_alloc_malloc.put(NULL, j);
        refuse(config);
        return err;
    }
    tt_list_push_back(config->list, &j->pub.node);
    tt_stream_set_callbacks(config->stream, &callbacks, j);
    mark(j);
    return TT_OK;
}
