#include "echo.h"

#include <errno.h>
#include <unistd.h>

/* --- server --- */

/* Writes from where it lies; what finds no room stays there, and the peer feels it. */
static void echo_back(void *ctx, struct tt_stream *stream)
{
    struct tt_piece piece;
    size_t count = 1;
    size_t taken;
    int err;
    (void)ctx;
    while ((err = tt_stream_peek(stream, &piece, &count)) == TT_OK &&
           (err = tt_stream_try_write(stream, piece.data, piece.len, &taken)) == TT_OK) {
        (void)tt_stream_consume(stream, taken);
        count = 1;
    }
    if (err != TT_E_AGAIN && err != TT_E_FULL)
        tt_stream_close(stream); /* after what was written, which is still delivered */
}

static void stream_opened(void *ctx, struct tt_session *session, struct tt_stream *stream)
{
    static const struct tt_stream_callbacks callbacks = {.readable = echo_back,
                                                         .writable = echo_back};
    (void)ctx;
    (void)session;
    tt_stream_set_callbacks(stream, &callbacks, NULL);
}

static void session_ended(void *ctx, struct tt_session *session, int err)
{
    (void)ctx;
    (void)err;
    (void)tt_session_close(session);
}

static void session_begun(void *ctx, struct tt_session *session)
{
    static const struct tt_session_callbacks callbacks = {.stream_opened = stream_opened,
                                                          .ended = session_ended};
    (void)ctx;
    tt_session_set_callbacks(session, &callbacks, NULL);
}

int echo_serve(struct tt_loop *loop, const char *address, struct tt_listener **listener,
               struct tt_error_text *why)
{
    const struct tt_options options = {.loop = loop};
    const int err = tt_listen(address, &options, listener, why);
    if (!err)
        tt_listener_set_callback(*listener, session_begun, NULL);
    return err;
}

/* --- client --- */

static void end(struct echo_client *c, int err)
{
    if (!c->done)
        c->err = err;
    c->done = true;
}

static void push(void *ctx, struct tt_stream *stream)
{
    struct echo_client *c = ctx;
    int err = TT_OK;
    while (c->input_from < c->input_to && !err) {
        size_t taken;
        err = tt_stream_try_write(stream, c->input + c->input_from, c->input_to - c->input_from,
                                  &taken);
        if (!err)
            c->input_from += taken;
    }
    if (!err && c->input_ended)
        err = tt_stream_shutdown(stream);
    if (err && err != TT_E_FULL && err != TT_E_SHUT)
        end(c, err);
}

static bool print(const uint8_t *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void pull(void *ctx, struct tt_stream *stream)
{
    struct echo_client *c = ctx;
    uint8_t buf[65536];
    size_t len;
    int err;
    while ((err = tt_stream_try_read(stream, buf, sizeof buf, &len)) == TT_OK) {
        if (!print(buf, len)) {
            end(c, TT_E_SYSTEM);
            return;
        }
    }
    if (err == TT_E_END)
        end(c, c->input_ended && c->input_from == c->input_to ? TT_OK : TT_E_CLOSED);
    else if (err != TT_E_AGAIN)
        end(c, err);
}

static void client_ended(void *ctx, struct tt_session *session, int err)
{
    (void)session;
    end(ctx, err);
}

int echo_begin(struct echo_client *c, struct tt_loop *loop, const char *address,
               struct tt_error_text *why)
{
    static const struct tt_session_callbacks of_session = {.ended = client_ended};
    static const struct tt_stream_callbacks of_stream = {.readable = pull, .writable = push};
    const struct tt_options options = {.loop = loop};
    int err = tt_session_begin(address, &options, &of_session, c, &c->session, why);
    if (err)
        return err;
    err = tt_session_open_stream(c->session, &c->stream);
    if (err) {
        (void)tt_session_close(c->session);
        return err;
    }
    tt_stream_set_callbacks(c->stream, &of_stream, c);
    return TT_OK;
}

void *echo_room(struct echo_client *c, size_t *room)
{
    *room = sizeof c->input;
    return c->done || c->input_ended || c->input_from < c->input_to ? NULL : c->input;
}

void echo_input(struct echo_client *c, size_t len)
{
    c->input_from = 0;
    c->input_to = len;
    c->input_ended = len == 0;
    push(c, c->stream);
}
