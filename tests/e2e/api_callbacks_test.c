/* The callback form, and what callbacks may do: anything but wait.
 *
 * Everything here lives on one loop, mostly run by the main thread, so that a test is a chain of
 * callbacks that ends with tt_loop_stop.
 */
#include "api.h"

#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000) /* microseconds */

/* A listener and a client's session on a loop, with what the tests count. */
struct scene {
    struct tt_loop *loop;
    struct tt_listener *listener;
    struct tt_session *client, *server; /* NULL once closed */
    struct tt_stream *c, *s;            /* likewise */
    uint64_t sent, received, total;     /* bytes at the client */
    int error;                          /* the first that was not expected */
    int ended;                          /* why the client's session ended */
    unsigned connected, begun, opened, readable, writable;
    bool shut;
    bool in_place;     /* the server echoes without a copy of its own */
    _Atomic bool over; /* the client has read to the end */
};

static void note(struct scene *x, int err, int expected)
{
    if (err != expected && x->error == TT_OK)
        x->error = err ? err : API_WRONG_BYTES;
}

/* --- the server: echoes --- */

/* What was read and found no room waits in here. */
struct echo {
    size_t from, to;
    uint8_t bytes[10000];
};

static void echo_on(void *ctx, struct tt_stream *st)
{
    struct echo *e = ctx;
    int err = TT_OK;
    while (!err) {
        size_t n;
        if (e->from < e->to) {
            err = tt_stream_try_write(st, e->bytes + e->from, e->to - e->from, &n);
            e->from += n;
        } else {
            e->from = e->to = 0;
            err = tt_stream_try_read(st, e->bytes, sizeof e->bytes, &e->to);
        }
    }
    if (err == TT_E_END)
        (void)tt_stream_shutdown(st);
}

/* The same without a copy of its own: from where it lies to where it leaves. */
static void echo_in_place(void *ctx, struct tt_stream *st)
{
    struct tt_piece pieces[3];
    size_t count = ARRAY_LEN(pieces);
    void *room;
    size_t len;
    int err;
    (void)ctx;
    while ((err = tt_stream_peek(st, pieces, &count)) == TT_OK &&
           (err = tt_stream_room(st, &room, &len)) == TT_OK) {
        size_t n = 0;
        for (size_t i = 0; i < count && n < len; i++) {
            const size_t part = pieces[i].len < len - n ? pieces[i].len : len - n;
            memcpy((uint8_t *)room + n, pieces[i].data, part);
            n += part;
        }
        if (tt_stream_commit(st, n) || tt_stream_consume(st, n))
            tt_stream_reset(st, 0); /* and the client does not get its bytes */
        count = ARRAY_LEN(pieces);
    }
    if (err == TT_E_END)
        (void)tt_stream_shutdown(st);
}

static const struct tt_stream_callbacks echoing = {.readable = echo_on, .writable = echo_on};
static const struct tt_stream_callbacks echoing_in_place = {.readable = echo_in_place,
                                                            .writable = echo_in_place};
static struct echo only_echo;

static void server_stream_opened(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    struct scene *x = ctx;
    (void)session;
    x->opened++;
    x->s = st;
    only_echo.from = only_echo.to = 0;
    tt_stream_set_callbacks(st, x->in_place ? &echoing_in_place : &echoing, &only_echo);
}

static const struct tt_session_callbacks server_callbacks = {.stream_opened = server_stream_opened};

static void session_begun(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    x->begun++;
    x->server = session;
    tt_session_set_callbacks(session, &server_callbacks, x);
}

/* --- the client: sends total bytes, checks what comes back, ends --- */

static void client_send(struct scene *x)
{
    uint8_t piece[5000];
    int err = TT_OK;
    while (x->sent < x->total && !err) {
        size_t n = x->total - x->sent < sizeof piece ? (size_t)(x->total - x->sent) : sizeof piece;
        api_pattern(piece, n, x->sent, 1);
        err = tt_stream_try_write(x->c, piece, n, &n);
        x->sent += n;
    }
    if (err)
        note(x, err, TT_E_FULL);
    else if (!x->shut)
        note(x, tt_stream_shutdown(x->c), TT_OK);
    x->shut = !err;
}

static void client_writable(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    (void)st;
    x->writable++;
    client_send(x);
}

static void client_readable(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    uint8_t got[7000];
    uint8_t expected[7000];
    size_t n;
    int err;
    x->readable++;
    while ((err = tt_stream_try_read(st, got, sizeof got, &n)) == TT_OK) {
        api_pattern(expected, n, x->received, 1);
        note(x, memcmp(got, expected, n), 0);
        x->received += n;
    }
    if (err == TT_E_AGAIN)
        return;
    note(x, err, TT_E_END);
    x->over = true;
    tt_loop_stop(x->loop);
}

static const struct tt_stream_callbacks client_stream_callbacks = {.readable = client_readable,
                                                                   .writable = client_writable};

static void client_connected(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    x->connected++;
    if (x->connected > 1)
        return;
    note(x, tt_session_open_stream(session, &x->c), TT_OK);
    tt_stream_set_callbacks(x->c, &client_stream_callbacks, x);
    client_send(x);
}

static void client_ended(void *ctx, struct tt_session *session, int err)
{
    struct scene *x = ctx;
    (void)session;
    x->ended = err;
    tt_loop_stop(x->loop);
}

static const struct tt_session_callbacks client_callbacks = {.connected = client_connected,
                                                             .ended = client_ended};

/* --- scenes --- */

static void set_up(struct scene *x, uint64_t total)
{
    *x = (struct scene){.total = total};
    assert_int_equal(tt_loop_new(NULL, &x->loop), TT_OK);
    const struct tt_options o = {.loop = x->loop, .linger_us = 100 * MS};
    assert_int_equal(tt_listen("127.0.0.1:0", &o, &x->listener, NULL), TT_OK);
    tt_listener_set_callback(x->listener, session_begun, x);
}

static void begin_with(struct scene *x, const struct tt_session_callbacks *callbacks,
                       const struct tt_options *more)
{
    struct tt_options o = more ? *more : (struct tt_options){0};
    o.loop = x->loop;
    assert_int_equal(
        tt_session_begin(tt_listener_address(x->listener), &o, callbacks, x, &x->client, NULL),
        TT_OK);
}

static void begin(struct scene *x)
{
    begin_with(x, &client_callbacks, NULL);
}

static void tear_down(struct scene *x)
{
    if (x->client)
        (void)tt_session_close(x->client);
    if (x->server)
        (void)tt_session_close(x->server);
    if (x->listener)
        tt_listener_close(x->listener);
    tt_loop_free(x->loop);
    assert_int_equal(x->error, TT_OK);
}

static void check_echoes_on_one_thread(bool in_place)
{
    static const uint64_t totals[] = {0, 1, 65536, 20 * MIB};
    for (size_t i = 0; i < ARRAY_LEN(totals); i++) {
        struct scene x;
        set_up(&x, totals[i]);
        x.in_place = in_place;
        begin(&x);
        assert_int_equal(tt_loop_run(x.loop), TT_OK);
        assert_int_equal(x.received, totals[i]);
        assert_int_equal(x.connected, 1);
        assert_int_equal(x.begun, 1);
        assert_int_equal(x.opened, 1);
        assert_true(totals[i] < MIB || x.writable > 0);
        tear_down(&x);
    }
}

static void test_an_echo_on_one_thread(void **state)
{
    (void)state;
    check_echoes_on_one_thread(false);
}

static void test_an_echo_without_a_copy(void **state)
{
    (void)state;
    check_echoes_on_one_thread(true);
}

/* What the calls without a copy refuse, and what becomes of room that is not used. */
static void use_places_wrongly(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    struct tt_piece piece;
    size_t none = 0, one = 1, len;
    void *room;
    note(x, tt_stream_peek(st, &piece, &none), TT_E_INVAL);
    note(x, tt_stream_consume(st, 1), TT_E_INVAL); /* nothing is there */
    note(x, tt_stream_peek(st, &piece, &one), TT_E_AGAIN);
    note(x, tt_stream_commit(st, 0), TT_E_INVAL);
    note(x, tt_stream_room(st, &room, &len), TT_OK);
    note(x, tt_stream_commit(st, len + 1), TT_E_INVAL);
    note(x, tt_stream_room(st, &room, &len), TT_OK); /* the one before is given back */
    note(x, tt_stream_try_write(st, "a", 1, &len), TT_OK);
    note(x, tt_stream_commit(st, 0), TT_E_INVAL); /* so is this one */
    note(x, tt_stream_room(st, &room, &len), TT_OK);
    memcpy(room, "b", 1);
    note(x, tt_stream_commit(st, 1), TT_OK);
    note(x, tt_stream_room(st, &room, &len), TT_OK);
    note(x, tt_stream_shutdown(st), TT_OK);
    note(x, tt_stream_commit(st, 1), TT_E_INVAL);
    note(x, tt_stream_room(st, &room, &len), TT_E_SHUT);
}

static void read_ab(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    char answer[3];
    size_t n;
    int err;
    while ((err = tt_stream_try_read(st, answer + x->received, sizeof answer - x->received, &n)) ==
           TT_OK)
        x->received += n;
    if (err == TT_E_AGAIN)
        return;
    note(x, err, TT_E_END);
    x->over = true;
    tt_loop_stop(x->loop);
}

static void connected_wrongly(void *ctx, struct tt_session *session)
{
    static const struct tt_stream_callbacks callbacks = {.readable = read_ab};
    struct scene *x = ctx;
    note(x, tt_session_open_stream(session, &x->c), TT_OK);
    tt_stream_set_callbacks(x->c, &callbacks, x);
    use_places_wrongly(x, x->c);
}

static void test_places_are_used_wrongly(void **state)
{
    (void)state;
    static const struct tt_session_callbacks callbacks = {.connected = connected_wrongly,
                                                          .ended = client_ended};
    struct scene x;
    set_up(&x, 0);
    begin_with(&x, &callbacks, NULL);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_true(x.over);
    assert_int_equal(x.received, 2);
    struct tt_piece piece;
    size_t n = 1;
    void *room;
    assert_int_equal(tt_stream_peek(x.c, &piece, &n), TT_E_INVAL); /* no callback */
    assert_int_equal(tt_stream_consume(x.c, 0), TT_E_INVAL);
    assert_int_equal(tt_stream_room(x.c, &room, &n), TT_E_INVAL);
    assert_int_equal(tt_stream_commit(x.c, 0), TT_E_INVAL);
    tear_down(&x);
}

static bool is_over(void *arg)
{
    return ((struct scene *)arg)->over;
}

static void test_the_same_on_a_thread_of_the_loop(void **state)
{
    (void)state;
    struct scene x;
    set_up(&x, 4 * MIB);
    assert_int_equal(tt_loop_start(x.loop), TT_OK);
    begin(&x);
    api_wait_for(is_over, &x);
    assert_int_equal(x.received, x.total);
    (void)tt_session_close(x.client);
    (void)tt_session_close(x.server);
    tt_listener_close(x.listener);
    x.client = x.server = NULL;
    x.listener = NULL;
    tear_down(&x);
}

/* --- callbacks come for what was there before them --- */

static void test_callbacks_learn_of_what_came_before_them(void **state)
{
    (void)state;
    struct scene x = {.total = 100000};
    struct api_pair p;
    struct tt_options o = {0};
    assert_int_equal(tt_loop_new(NULL, &x.loop), TT_OK);
    assert_int_equal(tt_loop_start(x.loop), TT_OK);
    o.loop = x.loop;
    assert_int_equal(tt_listen("127.0.0.1:0", &o, &x.listener, NULL), TT_OK);
    assert_int_equal(tt_dial(tt_listener_address(x.listener), &o, &p.client, NULL), TT_OK);
    assert_int_equal(tt_session_open_stream(p.client, &x.c), TT_OK);
    assert_int_equal(api_write(x.c, x.total, 1), TT_OK);
    assert_int_equal(tt_stream_shutdown(x.c), TT_OK);
    /* The session waits in the listener, the stream in the session, the bytes in the stream. */
    tt_listener_set_callback(x.listener, session_begun, &x);
    assert_int_equal(api_read(x.c, x.total, 1), TT_OK);
    assert_int_equal(api_read_end(x.c), TT_E_END);
    assert_int_equal(x.begun, 1);
    assert_int_equal(x.opened, 1);
    x.client = p.client;
    tear_down(&x);
}

/* --- what callbacks may not do --- */

static void blocking_calls(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    struct tt_session *session;
    struct tt_stream *other;
    uint8_t byte;
    size_t n;
    const struct tt_options o = {.loop = x->loop};
    note(x, tt_stream_read(st, &byte, 1, &n), TT_E_INVAL);
    note(x, tt_stream_write(st, "x", 1), TT_E_INVAL);
    note(x, tt_session_accept_stream(x->client, &other), TT_E_INVAL);
    note(x, tt_listener_accept(x->listener, &session), TT_E_INVAL);
    note(x, tt_dial(tt_listener_address(x->listener), &o, &session, NULL), TT_E_INVAL);
    x->readable++;
    tt_loop_stop(x->loop);
}

static void open_and_block(void *ctx, struct tt_session *session)
{
    static const struct tt_stream_callbacks callbacks = {.readable = blocking_calls};
    struct scene *x = ctx;
    size_t n;
    note(x, tt_session_open_stream(session, &x->c), TT_OK);
    tt_stream_set_callbacks(x->c, &callbacks, x);
    note(x, tt_stream_try_write(x->c, "hello", 5, &n), TT_OK);
}

static void test_blocking_calls_are_refused_in_callbacks(void **state)
{
    (void)state;
    struct scene x;
    set_up(&x, 0);
    begin_with(&x, &(struct tt_session_callbacks){.connected = open_and_block}, NULL);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.readable, 1);
    tear_down(&x);
}

/* --- callbacks that close what they are about --- */

/* Right after they are set, callbacks may come for nothing. */
static bool nothing_came(struct tt_stream *st)
{
    uint8_t byte;
    size_t n;
    return tt_stream_try_read(st, &byte, 1, &n) == TT_E_AGAIN;
}

static void close_stream(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    if (nothing_came(st))
        return;
    x->readable++;
    tt_stream_close(st);
    x->c = NULL;
    tt_loop_stop(x->loop);
}

static void close_session_of_stream(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    if (nothing_came(st))
        return;
    x->readable++;
    note(x, tt_session_close(x->client), TT_OK); /* and the stream with it */
    x->client = NULL;
    x->c = NULL;
    tt_loop_stop(x->loop);
}

static void close_everything(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    close_session_of_stream(ctx, st);
    if (x->client)
        return;
    (void)tt_session_close(x->server);
    x->server = NULL;
    tt_listener_close(x->listener);
    x->listener = NULL;
}

static void run_readable(void (*readable)(void *ctx, struct tt_stream *st))
{
    const struct tt_stream_callbacks callbacks = {.readable = readable};
    struct scene x;
    struct tt_error_text why;
    set_up(&x, 0);
    const struct tt_options o = {.loop = x.loop};
    assert_int_equal(
        tt_session_begin(tt_listener_address(x.listener), &o, NULL, NULL, &x.client, &why), TT_OK);
    /* Streams may be opened, and written to, before there is a connection. */
    size_t n;
    struct tt_stream *others[3];
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(tt_session_open_stream(x.client, &others[i]), TT_OK);
    assert_int_equal(tt_session_open_stream(x.client, &x.c), TT_OK);
    assert_int_equal(tt_stream_try_write(x.c, "hello", 5, &n), TT_OK);
    tt_stream_set_callbacks(x.c, &callbacks, &x);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.readable, 1);
    tear_down(&x);
}

static void test_a_stream_is_closed_in_its_callback(void **state)
{
    (void)state;
    run_readable(close_stream);
}

static void test_a_session_is_closed_in_a_callback_of_its_stream(void **state)
{
    (void)state;
    run_readable(close_session_of_stream);
}

static void test_all_is_closed_in_a_callback(void **state)
{
    (void)state;
    run_readable(close_everything);
}

static void close_in_connected(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    x->connected++;
    note(x, tt_session_close(session), TT_OK);
    x->client = NULL;
    tt_loop_stop(x->loop);
}

static void test_a_session_is_closed_when_it_connects(void **state)
{
    (void)state;
    struct scene x;
    set_up(&x, 0);
    begin_with(&x, &(struct tt_session_callbacks){.connected = close_in_connected}, NULL);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.connected, 1);
    tear_down(&x);
}

static void close_in_begun(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    x->begun++;
    (void)tt_session_close(session);
    tt_loop_stop(x->loop);
}

static void test_a_session_is_closed_as_it_begins(void **state)
{
    (void)state;
    struct scene x;
    set_up(&x, 1000);
    tt_listener_set_callback(x.listener, close_in_begun, &x);
    begin(&x);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.begun, 1);
    /* The client may have learned of it, and then could not write any more. */
    assert_true(x.error == TT_OK || x.error == TT_E_CLOSED);
    x.error = TT_OK;
    tear_down(&x);
}

static void close_in_opened(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    struct scene *x = ctx;
    (void)st;
    x->opened++;
    (void)tt_session_close(session);
    x->server = NULL;
    tt_loop_stop(x->loop);
}

static void begun_to_close_in_opened(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    x->server = session;
    tt_session_set_callbacks(session,
                             &(struct tt_session_callbacks){.stream_opened = close_in_opened}, x);
}

static void test_a_session_is_closed_when_a_stream_opens(void **state)
{
    (void)state;
    struct scene x;
    set_up(&x, 1000);
    tt_listener_set_callback(x.listener, begun_to_close_in_opened, &x);
    begin(&x);
    struct tt_stream *second;
    assert_int_equal(tt_session_open_stream(x.client, &second), TT_OK);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.opened, 1);
    tear_down(&x);
}

static void close_in_ended(void *ctx, struct tt_session *session, int err)
{
    struct scene *x = ctx;
    x->ended = err;
    (void)tt_session_close(session);
    x->client = NULL;
    tt_loop_stop(x->loop);
}

static void test_a_session_is_closed_when_it_ends(void **state)
{
    (void)state;
    struct scene x = {0};
    char silent[64];
    const int fd = api_silent_listener(silent);
    assert_int_equal(tt_loop_new(NULL, &x.loop), TT_OK);
    const struct tt_options o = {.loop = x.loop, .session_timeout_us = 100 * MS};
    assert_int_equal(tt_session_begin(silent, &o,
                                      &(struct tt_session_callbacks){.ended = close_in_ended}, &x,
                                      &x.client, NULL),
                     TT_OK);
    assert_int_equal(tt_session_open_stream(x.client, &x.c), TT_OK);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.ended, TT_E_TIMEOUT);
    assert_null(x.client);
    tear_down(&x);
    close(fd);
}

/* At the server, callbacks of a session come while its listener is being served. */
static void close_all_at_the_server(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    if (nothing_came(st))
        return;
    (void)tt_session_close(x->server);
    x->server = NULL;
    tt_listener_close(x->listener);
    x->listener = NULL;
    tt_loop_stop(x->loop);
}

static void begin_to_close_all(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    static const struct tt_stream_callbacks callbacks = {.readable = close_all_at_the_server};
    (void)session;
    tt_stream_set_callbacks(st, &callbacks, ctx);
}

static void begun_to_close_all(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    x->server = session;
    tt_session_set_callbacks(
        session, &(struct tt_session_callbacks){.stream_opened = begin_to_close_all}, x);
}

static void test_a_listener_is_closed_in_a_callback_of_its_session(void **state)
{
    (void)state;
    struct scene x;
    set_up(&x, 100000);
    tt_listener_set_callback(x.listener, begun_to_close_all, &x);
    begin(&x);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_null(x.listener);
    tear_down(&x);
}

/* --- loops that belong to what is closed --- */

static void close_own(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    struct tt_session *session = x->client;
    if (nothing_came(st))
        return;
    x->client = NULL;
    note(x, tt_session_close(session), TT_OK);
    x->over = true; /* afterwards x may be gone */
}

static int echo_one(void *listener)
{
    struct tt_session *session;
    struct tt_stream *st;
    int err = tt_listener_accept(listener, &session);
    if (!err)
        err = tt_session_accept_stream(session, &st);
    if (!err)
        err = api_echo(st);
    if (!err)
        err = tt_session_close(session);
    return err;
}

/* A session that was dialled has a loop and a thread of its own. Closed by a callback, which is on
 * that thread, all of it frees itself.
 */
static void test_a_dialled_session_is_closed_by_its_callback(void **state)
{
    (void)state;
    static const struct tt_stream_callbacks callbacks = {.readable = close_own};
    struct scene x = {0};
    struct api_thread server;
    assert_int_equal(
        tt_listen("127.0.0.1:0", &(struct tt_options){.linger_us = MS}, &x.listener, NULL), TT_OK);
    api_start(&server, echo_one, x.listener);
    assert_int_equal(tt_dial(tt_listener_address(x.listener), NULL, &x.client, NULL), TT_OK);
    assert_int_equal(tt_session_open_stream(x.client, &x.c), TT_OK);
    tt_stream_set_callbacks(x.c, &callbacks, &x);
    assert_int_equal(tt_stream_write(x.c, "hello", 5), TT_OK);
    api_wait_for(is_over, &x);
    assert_int_equal(api_join(&server),
                     TT_OK); /* the end of the stream came, behind the callback */
    tt_listener_close(x.listener);
    assert_int_equal(x.error, TT_OK);
}

static void close_own_listener(void *ctx, struct tt_session *session)
{
    struct scene *x = ctx;
    (void)tt_session_close(session);
    tt_listener_close(x->listener);
    x->over = true;
}

static void test_a_listener_is_closed_by_its_callback(void **state)
{
    (void)state;
    struct scene x = {0};
    struct tt_session *session;
    struct tt_stream *st;
    assert_int_equal(tt_listen("127.0.0.1:0", NULL, &x.listener, NULL), TT_OK);
    assert_int_equal(tt_dial(tt_listener_address(x.listener), &(struct tt_options){.linger_us = MS},
                             &session, NULL),
                     TT_OK);
    tt_listener_set_callback(x.listener, close_own_listener, &x);
    assert_int_equal(tt_session_open_stream(session, &st), TT_OK);
    api_wait_for(is_over, &x);
    (void)tt_session_close(session);
}

/* --- the thread that callbacks come on --- */

struct thread_check {
    pthread_t caller;
    _Atomic unsigned elsewhere, here;
};

static void count_thread(void *ctx, struct tt_stream *st)
{
    struct thread_check *t = ctx;
    uint8_t buf[1000];
    size_t n;
    if (pthread_equal(t->caller, pthread_self()))
        t->here++;
    else
        t->elsewhere++;
    while (tt_stream_try_read(st, buf, sizeof buf, &n) == TT_OK)
        continue;
}

static bool called_often(void *arg)
{
    return ((struct thread_check *)arg)->elsewhere > 20;
}

static void test_callbacks_come_on_the_thread_of_the_loop_alone(void **state)
{
    (void)state;
    static const struct tt_stream_callbacks callbacks = {.readable = count_thread,
                                                         .writable = count_thread};
    struct thread_check t = {.caller = pthread_self()};
    struct api_pair p;
    struct tt_stream *c, *s;
    struct api_thread echo;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    api_start(&echo, api_job_echo, &(struct api_job){.stream = s});
    tt_stream_set_callbacks(c, &callbacks, &t);
    do { /* we write, so our calls have the session served, too */
        assert_int_equal(tt_stream_write(c, "hello", 5), TT_OK);
    } while (!called_often(&t));
    assert_int_equal(t.here, 0);
    tt_stream_close(c);
    (void)api_join(&echo);
    tt_stream_close(s);
    assert_int_equal(tt_session_close(p.client), TT_OK);
    (void)tt_session_close(p.server); /* not all of the echo had arrived, perhaps */
    p.client = p.server = NULL;
    api_close(&p);
}

/* --- the end of a session, told to its streams --- */

static void read_the_error(void *ctx, struct tt_stream *st)
{
    struct scene *x = ctx;
    uint8_t byte;
    size_t n;
    x->readable++;
    const int err = tt_stream_try_read(st, &byte, 1, &n);
    if (err != TT_E_AGAIN)
        note(x, err, TT_E_TIMEOUT);
    if (err == TT_E_TIMEOUT)
        tt_stream_close(st);
}

static void test_streams_learn_of_the_end_of_their_session(void **state)
{
    (void)state;
    static const struct tt_stream_callbacks callbacks = {.readable = read_the_error};
    struct scene x = {0};
    char silent[64];
    const int fd = api_silent_listener(silent);
    assert_int_equal(tt_loop_new(NULL, &x.loop), TT_OK);
    const struct tt_options o = {.loop = x.loop, .session_timeout_us = 100 * MS};
    assert_int_equal(tt_session_begin(silent, &o,
                                      &(struct tt_session_callbacks){.ended = client_ended}, &x,
                                      &x.client, NULL),
                     TT_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(tt_session_open_stream(x.client, &x.c), TT_OK);
        tt_stream_set_callbacks(x.c, &callbacks, &x);
    }
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.ended, TT_E_TIMEOUT);
    assert_true(x.readable >= 10);
    assert_int_equal(tt_session_close(x.client), TT_OK); /* from no running loop: not waited for */
    x.client = NULL;
    tear_down(&x);
    close(fd);
}

/* --- without a server --- */

static void ended_unreached(void *ctx, struct tt_session *session, int err)
{
    struct scene *x = ctx;
    (void)session;
    x->ended = err;
    tt_loop_stop(x->loop);
}

static void test_a_session_that_is_never_reached_ends_in_time(void **state)
{
    (void)state;
    struct scene x = {0};
    char silent[64];
    close(api_silent_listener(silent)); /* nobody listens there any more */
    assert_int_equal(tt_loop_new(NULL, &x.loop), TT_OK);
    const struct tt_options o = {
        .loop = x.loop, .session_timeout_us = 200 * MS, .redial_first_us = MS};
    struct tt_session_stats stats;
    assert_int_equal(tt_session_begin(silent, &o,
                                      &(struct tt_session_callbacks){.ended = ended_unreached}, &x,
                                      &x.client, NULL),
                     TT_OK);
    assert_int_equal(tt_loop_run(x.loop), TT_OK);
    assert_int_equal(x.ended, TT_E_TIMEOUT);
    tt_session_get_stats(x.client, &stats);
    assert_int_equal(stats.connections, 0);
    assert_true(stats.dials_failed > 2);
    tear_down(&x);
}

static void test_a_session_that_still_dials_is_closed(void **state)
{
    (void)state;
    struct scene x = {0};
    assert_int_equal(tt_loop_new(NULL, &x.loop), TT_OK);
    const struct tt_options o = {.loop = x.loop};
    static const char *const addresses[] = {"127.0.0.1:1", "localhost:1", "no..such.name:1"};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        assert_int_equal(tt_session_begin(addresses[i], &o, NULL, NULL, &x.client, NULL), TT_OK);
        assert_int_equal(tt_session_close(x.client), TT_OK);
    }
    x.client = NULL;
    tear_down(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_echo_on_one_thread),
        cmocka_unit_test(test_an_echo_without_a_copy),
        cmocka_unit_test(test_places_are_used_wrongly),
        cmocka_unit_test(test_the_same_on_a_thread_of_the_loop),
        cmocka_unit_test(test_callbacks_learn_of_what_came_before_them),
        cmocka_unit_test(test_blocking_calls_are_refused_in_callbacks),
        cmocka_unit_test(test_a_stream_is_closed_in_its_callback),
        cmocka_unit_test(test_a_session_is_closed_in_a_callback_of_its_stream),
        cmocka_unit_test(test_all_is_closed_in_a_callback),
        cmocka_unit_test(test_a_session_is_closed_when_it_connects),
        cmocka_unit_test(test_a_session_is_closed_as_it_begins),
        cmocka_unit_test(test_a_session_is_closed_when_a_stream_opens),
        cmocka_unit_test(test_a_session_is_closed_when_it_ends),
        cmocka_unit_test(test_a_listener_is_closed_in_a_callback_of_its_session),
        cmocka_unit_test(test_a_dialled_session_is_closed_by_its_callback),
        cmocka_unit_test(test_a_listener_is_closed_by_its_callback),
        cmocka_unit_test(test_callbacks_come_on_the_thread_of_the_loop_alone),
        cmocka_unit_test(test_streams_learn_of_the_end_of_their_session),
        cmocka_unit_test(test_a_session_that_is_never_reached_ends_in_time),
        cmocka_unit_test(test_a_session_that_still_dials_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
