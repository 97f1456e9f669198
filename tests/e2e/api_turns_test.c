/* The loop under a loop of the program's own: tt_loop_fd, tt_loop_timeout, tt_loop_turn.
 *
 * A whole echo, listener and client, on one loop that this thread turns. Nothing here knows how
 * often it must: what the library forgets to say hangs, and the test's time limit ends it.
 */
#include "api.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define MS           UINT64_C(1000) /* microseconds */
#define MANY_WAKINGS 1000           /* of a loop with nothing to do: far above what it needs */
#define ECHO_BYTES   (3 * MIB)
#define PIECE_BYTES  5000u

struct scene {
    struct tt_loop *loop;
    struct tt_listener *listener;
    struct tt_session *client, *server;
    struct tt_stream *c;
    uint64_t sent, received;
    int error; /* the first that was not expected */
    int ended;
    int turned_in_callback; /* what tt_loop_turn said there */
    bool done;
};

static void note(struct scene *x, int err, int expected)
{
    if (err != expected && x->error == TT_OK)
        x->error = err ? err : API_WRONG_BYTES;
}

/* Waits as a program does, once, and does what is to be done. Returns whether it had to wait. */
static bool wait_and_turn(struct tt_loop *loop)
{
    struct pollfd fd = {.fd = tt_loop_fd(loop), .events = POLLIN};
    const int timeout_ms = tt_loop_timeout(loop);
    const bool waited = poll(&fd, 1, timeout_ms) == 0 && timeout_ms != 0;
    assert_int_equal(tt_loop_turn(loop), TT_OK);
    return waited;
}

/* --- the server: echoes what there is room for, a piece at a time --- */

static void echo(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    struct tt_piece piece;
    size_t count = 1;
    size_t n;
    int err;
    while ((err = tt_stream_peek(st, &piece, &count)) == TT_OK &&
           (err = tt_stream_try_write(st, piece.data, piece.len, &n)) == TT_OK) {
        note(x, tt_stream_consume(st, n), TT_OK);
        count = 1;
    }
    if (err == TT_E_END) {
        note(x, tt_stream_shutdown(st), TT_OK);
        tt_stream_set_callbacks(st, NULL, NULL);
    } else if (err != TT_E_AGAIN) {
        note(x, err, TT_E_FULL);
    }
}

static const struct tt_stream_callbacks echoing = {.readable = echo, .writable = echo};

static void server_stream_opened(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    (void)session;
    tt_stream_set_callbacks(st, &echoing, ctx);
}

static const struct tt_session_callbacks server_callbacks = {.stream_opened = server_stream_opened};

static void session_begun(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    x->server = session;
    x->turned_in_callback = tt_loop_turn(x->loop);
    tt_session_set_callbacks(session, &server_callbacks, x);
}

/* --- the client --- */

static void client_write(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    uint8_t piece[PIECE_BYTES];
    int err = TT_OK;
    while (!err && x->sent < ECHO_BYTES) {
        const uint64_t left = ECHO_BYTES - x->sent;
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        api_pattern(piece, n, x->sent, 1);
        err = tt_stream_try_write(st, piece, n, &n);
        if (!err)
            x->sent += n;
    }
    if (!err)
        (void)tt_stream_shutdown(st);
}

static void client_read(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    uint8_t got[PIECE_BYTES], expected[PIECE_BYTES];
    size_t n;
    int err;
    while ((err = tt_stream_try_read(st, got, sizeof got, &n)) == TT_OK) {
        api_pattern(expected, n, x->received, 1);
        note(x, memcmp(got, expected, n) == 0 ? TT_OK : API_WRONG_BYTES, TT_OK);
        x->received += n;
    }
    x->done |= err != TT_E_AGAIN;
    if (x->done)
        note(x, err, TT_E_END);
}

static void client_ended(void *ctx, struct tt_session *session, int err)
{
    struct scene *x = ctx;
    (void)session;
    x->ended = err;
    x->done = true;
}

static const struct tt_stream_callbacks client_stream = {.readable = client_read,
                                                         .writable = client_write};
static const struct tt_session_callbacks client_callbacks = {.ended = client_ended};

/* --- the scene --- */

static void set_up(struct scene *x)
{
    *x = (struct scene){.turned_in_callback = TT_OK};
    assert_int_equal(tt_loop_new(NULL, &x->loop), TT_OK);
    const struct tt_options options = {.loop = x->loop};
    assert_int_equal(tt_listen("127.0.0.1:0", &options, &x->listener, NULL), TT_OK);
    tt_listener_set_callback(x->listener, session_begun, x);
}

static void begin_client(struct scene *x, const char *address, uint64_t timeout_us)
{
    const struct tt_options options = {.loop = x->loop, .session_timeout_us = timeout_us};
    assert_int_equal(tt_session_begin(address, &options, &client_callbacks, x, &x->client, NULL),
                     TT_OK);
}

static void echo_all(struct scene *x)
{
    begin_client(x, tt_listener_address(x->listener), 0);
    assert_int_equal(tt_session_open_stream(x->client, &x->c), TT_OK);
    tt_stream_set_callbacks(x->c, &client_stream, x);
    client_write(x, x->c);
    while (!x->done)
        (void)wait_and_turn(x->loop);
    assert_int_equal(x->error, TT_OK);
    assert_int_equal(x->received, ECHO_BYTES);
}

static void tear_down(struct scene *x)
{
    if (x->client)
        (void)tt_session_close(x->client);
    if (x->server)
        (void)tt_session_close(x->server);
    tt_listener_close(x->listener);
    tt_loop_free(x->loop);
}

static void test_an_echo_under_a_poll_loop(void **state)
{
    struct scene x;
    (void)state;
    set_up(&x);
    echo_all(&x);
    tear_down(&x);
}

static void test_the_descriptor_stays_the_same(void **state)
{
    struct scene x;
    (void)state;
    set_up(&x);
    const int fd = tt_loop_fd(x.loop);
    assert_true(fd >= 0);
    echo_all(&x);
    assert_int_equal(tt_loop_fd(x.loop), fd);
    tear_down(&x);
}

/* It says that there is nothing to do, and then there is nothing: no loop that never sleeps. */
static void test_with_nothing_to_do_it_sleeps(void **state)
{
    struct scene x;
    unsigned wakings = 0;
    (void)state;
    set_up(&x);
    echo_all(&x);
    struct pollfd fd = {.fd = tt_loop_fd(x.loop), .events = POLLIN};
    while (tt_loop_timeout(x.loop) == 0 || poll(&fd, 1, 0) > 0) {
        assert_int_equal(tt_loop_turn(x.loop), TT_OK);
        assert_true(++wakings < MANY_WAKINGS);
    }
    /* What is left is a timer: an acknowledgement's, then the client's keepalive in 25 s. */
    while (tt_loop_timeout(x.loop) < 1000) {
        (void)wait_and_turn(x.loop);
        assert_true(++wakings < MANY_WAKINGS);
    }
    tear_down(&x);
}

static void test_a_loop_without_anything_waits_for_ever(void **state)
{
    struct tt_loop *loop;
    unsigned turns = 0;
    (void)state;
    assert_int_equal(tt_loop_new(NULL, &loop), TT_OK);
    while (tt_loop_timeout(loop) == 0) {
        assert_int_equal(tt_loop_turn(loop), TT_OK);
        assert_true(++turns < MANY_WAKINGS);
    }
    assert_int_equal(tt_loop_timeout(loop), -1);
    tt_loop_free(loop);
}

/* Nobody answers: all that ends the session is the timeout that the loop asked for. */
static void test_deadlines_are_in_the_timeout(void **state)
{
    char address[64];
    struct scene x;
    unsigned waits = 0;
    (void)state;
    const int silent = api_silent_listener(address);
    set_up(&x);
    begin_client(&x, address, 200 * MS);
    assert_int_equal(tt_session_open_stream(x.client, &x.c), TT_OK);
    while (!x.done)
        waits += wait_and_turn(x.loop);
    assert_int_equal(x.ended, TT_E_TIMEOUT);
    assert_true(waits > 0);
    tear_down(&x);
    (void)close(silent);
}

static void test_turning_is_refused_in_a_callback(void **state)
{
    struct scene x;
    (void)state;
    set_up(&x);
    echo_all(&x);
    assert_int_equal(x.turned_in_callback, TT_E_INVAL);
    tear_down(&x);
}

static void test_turning_is_refused_while_it_runs(void **state)
{
    struct tt_loop *loop;
    (void)state;
    assert_int_equal(tt_loop_new(NULL, &loop), TT_OK);
    assert_int_equal(tt_loop_turn(loop), TT_OK);
    assert_int_equal(tt_loop_start(loop), TT_OK);
    assert_int_equal(tt_loop_turn(loop), TT_E_INVAL);
    tt_loop_free(loop);
}

static void test_a_loop_that_was_turned_can_be_run(void **state)
{
    struct tt_loop *loop;
    (void)state;
    assert_int_equal(tt_loop_new(NULL, &loop), TT_OK);
    assert_int_equal(tt_loop_turn(loop), TT_OK);
    tt_loop_stop(loop);
    assert_int_equal(tt_loop_turn(loop), TT_OK);
    assert_int_equal(tt_loop_run(loop), TT_OK); /* which the stop ends */
    tt_loop_free(loop);
}

static void test_the_thread_that_turns_is_not_made_to_wait(void **state)
{
    struct tt_session *session;
    struct tt_stream *stream;
    struct scene x;
    uint8_t byte = 0;
    size_t n;
    (void)state;
    set_up(&x);
    echo_all(&x);
    const struct tt_options options = {.loop = x.loop};
    const char *address = tt_listener_address(x.listener);
    assert_int_equal(tt_dial(address, &options, &session, NULL), TT_E_INVAL);
    assert_int_equal(tt_listener_accept(x.listener, &session), TT_E_INVAL);
    assert_int_equal(tt_session_accept_stream(x.client, &stream), TT_E_INVAL);
    assert_int_equal(tt_stream_read(x.c, &byte, 1, &n), TT_E_INVAL);
    assert_int_equal(tt_stream_write(x.c, &byte, 1), TT_E_INVAL);
    tear_down(&x);
}

/* --- other threads wait, this one turns --- */

struct visitor {
    struct scene *scene;
    _Atomic bool over;
};

static int visit(void *arg)
{
    struct visitor *v = arg;
    const struct tt_options options = {.loop = v->scene->loop};
    struct tt_session *session;
    struct tt_stream *stream;
    int err = tt_dial(tt_listener_address(v->scene->listener), &options, &session, NULL);
    if (!err) {
        err = tt_session_open_stream(session, &stream);
        if (!err)
            err = api_write(stream, 100000, 2);
        if (!err)
            err = tt_stream_shutdown(stream);
        if (!err)
            err = api_read(stream, 100000, 2);
        if (!err && api_read_end(stream) != TT_E_END)
            err = API_WRONG_BYTES;
        const int closed = tt_session_close(session);
        err = err ? err : closed;
    }
    v->over = true;
    /* Nothing else would wake the turning thread from a wait that has begun. */
    tt_loop_stop(v->scene->loop);
    return err;
}

static void test_other_threads_may_wait_while_this_one_turns(void **state)
{
    struct scene x;
    struct api_thread thread;
    (void)state;
    set_up(&x);
    struct visitor v = {.scene = &x};
    assert_int_equal(tt_loop_turn(x.loop), TT_OK);
    api_start(&thread, visit, &v);
    while (!v.over)
        (void)wait_and_turn(x.loop);
    assert_int_equal(api_join(&thread), TT_OK);
    assert_int_equal(x.error, TT_OK);
    tear_down(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_echo_under_a_poll_loop),
        cmocka_unit_test(test_the_descriptor_stays_the_same),
        cmocka_unit_test(test_with_nothing_to_do_it_sleeps),
        cmocka_unit_test(test_a_loop_without_anything_waits_for_ever),
        cmocka_unit_test(test_deadlines_are_in_the_timeout),
        cmocka_unit_test(test_turning_is_refused_in_a_callback),
        cmocka_unit_test(test_turning_is_refused_while_it_runs),
        cmocka_unit_test(test_a_loop_that_was_turned_can_be_run),
        cmocka_unit_test(test_the_thread_that_turns_is_not_made_to_wait),
        cmocka_unit_test(test_other_threads_may_wait_while_this_one_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
