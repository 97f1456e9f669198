/* Every allocation of a session's life refused once: an error comes out, or the session gets over
 * it; nothing crashes, hangs or leaks.
 *
 * The end that runs out of memory has a loop and an allocator of its own; that of the other end is
 * malloc. The allocator counts without locks, so this also shows (under TSan) that it is called
 * under the loop's lock.
 */
#include "api.h"

#include <unistd.h>

#include "failing_alloc.h" /* of tests/unit */

#define MS         UINT64_C(1000) /* microseconds */
#define DATA_BYTES 40000u

/* What a whole life may need at most: a check that the counting ends. */
#define MOST_ALLOCATIONS 2000u

/* Shorter than the defaults: a session that lost its words for want of memory is not waited for. */
static struct tt_options hasty(const struct tt_alloc *alloc)
{
    return (struct tt_options){.alloc = alloc,
                               .session_timeout_us = 3000 * MS,
                               .linger_us = 500 * MS,
                               .redial_first_us = 5 * MS};
}

/* A stream there and back, at the client. 0 or the error that came out. */
static int talk(struct tt_session *session)
{
    struct tt_stream *st;
    int err = tt_session_open_stream(session, &st);
    if (err)
        return err;
    err = api_write(st, DATA_BYTES, 1);
    if (!err)
        err = tt_stream_shutdown(st);
    if (!err)
        err = api_read(st, DATA_BYTES, 1);
    if (!err)
        err = api_read_end(st) == TT_E_END ? TT_OK : API_WRONG_BYTES;
    tt_stream_close(st);
    return err;
}

static int dial_and_talk(const char *address, const struct tt_options *o)
{
    struct tt_session *session;
    struct tt_error_text why;
    int err = tt_dial(address, o, &session, &why);
    if (err)
        return err;
    err = talk(session);
    const int close_err = tt_session_close(session);
    return err ? err : close_err;
}

/* An echo server by callbacks: its sessions can be closed at any time. One stream a session. */

#define MOST_SESSIONS 100

struct echo {
    struct tt_stream *stream;
    size_t from, to; /* of bytes: what was read and found no room */
    uint8_t bytes[10000];
};

struct server {
    struct tt_loop *loop;
    struct tt_listener *listener;
    struct tt_session *sessions[MOST_SESSIONS];
    struct echo echoes[MOST_SESSIONS];
    size_t count;
};

static int echo_some(struct echo *e)
{
    size_t n = 0;
    int err;
    if (e->from == e->to) {
        e->from = 0;
        return tt_stream_try_read(e->stream, e->bytes, sizeof e->bytes, &e->to);
    }
    err = tt_stream_try_write(e->stream, e->bytes + e->from, e->to - e->from, &n);
    e->from += n;
    return err;
}

static void echo_on(void *ctx, struct tt_stream *st)
{
    struct echo *e = ctx;
    int err;
    do {
        err = echo_some(e);
    } while (!err);
    if (err != TT_E_AGAIN && err != TT_E_FULL)
        tt_stream_close(st); /* the end, or no memory */
}

static void stream_opened(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    static const struct tt_stream_callbacks callbacks = {.readable = echo_on, .writable = echo_on};
    struct echo *e = ctx;
    (void)session;
    e->stream = st;
    e->from = e->to = 0;
    tt_stream_set_callbacks(st, &callbacks, e);
}

static void session_begun(void *ctx, struct tt_session *session)
{
    static const struct tt_session_callbacks callbacks = {.stream_opened = stream_opened};
    struct server *s = ctx;
    if (s->count == MOST_SESSIONS) {
        (void)tt_session_close(session);
        return;
    }
    s->sessions[s->count] = session;
    tt_session_set_callbacks(session, &callbacks, &s->echoes[s->count]);
    s->count++;
}

static int start_server(struct server *s, struct tt_options *o)
{
    s->count = 0;
    int err = tt_loop_new(o, &s->loop);
    if (err)
        return err;
    o->loop = s->loop;
    err = tt_loop_start(s->loop);
    if (!err)
        err = tt_listen("127.0.0.1:0", o, &s->listener, NULL);
    if (err) {
        tt_loop_free(s->loop);
        return err;
    }
    tt_listener_set_callback(s->listener, session_begun, s);
    return TT_OK;
}

static void stop_server(struct server *s)
{
    tt_listener_stop(s->listener);
    tt_listener_set_callback(s->listener, NULL, NULL);
    for (size_t i = 0; i < s->count; i++)
        (void)tt_session_close(s->sessions[i]);
    tt_listener_close(s->listener);
    tt_loop_free(s->loop);
}

/* At the end without memory. A dial that there is no memory for has failed like any other. */
static bool is_own_error(int err)
{
    return err == TT_OK || err == TT_E_NOMEM || err == TT_E_UNREACHABLE;
}

/* At the other end, too: the server has given the echo up. */
static bool is_others_error(int err)
{
    return is_own_error(err) || err == TT_E_END;
}

static void test_a_client_without_memory(void **state)
{
    (void)state;
    struct failing_alloc f = {.refused = true};
    static struct server server;
    struct tt_options o = hasty(NULL);
    size_t failed = 0;
    size_t n;
    assert_int_equal(start_server(&server, &o), TT_OK);
    for (n = 0; f.refused && n < MOST_ALLOCATIONS; n++) {
        failing_alloc_init(&f, n);
        o = hasty(&f.alloc);
        const int err = dial_and_talk(tt_listener_address(server.listener), &o);
        assert_true(is_own_error(err));
        assert_int_equal(f.live, 0);
        failed += err != TT_OK;
    }
    stop_server(&server);
    assert_true(n < MOST_ALLOCATIONS);
    assert_true(failed >= 5); /* the loop, the session, and all that is made before it is used */
    print_message("%zu allocations, %zu of them indispensable\n", n - 1, failed);
}

static void test_a_server_without_memory(void **state)
{
    (void)state;
    struct failing_alloc f = {.refused = true};
    size_t failed = 0;
    size_t n;
    for (n = 0; f.refused && n < MOST_ALLOCATIONS; n++) {
        failing_alloc_init(&f, n);
        struct tt_options o = hasty(&f.alloc);
        const struct tt_options other = hasty(NULL);
        static struct server server;
        int err = start_server(&server, &o);
        if (!err) {
            err = dial_and_talk(tt_listener_address(server.listener), &other);
            stop_server(&server);
        }
        assert_true(is_others_error(err));
        assert_int_equal(f.live, 0);
        failed += err != TT_OK;
    }
    assert_true(n < MOST_ALLOCATIONS);
    assert_true(failed >= 3); /* the loop and the listener */
    print_message("%zu allocations, %zu of them indispensable\n", n - 1, failed);
}

/* Waits for the session's end, which there may be no memory to say much about. */
static void assert_end_is_explained(struct tt_session *session)
{
    struct tt_stream *st;
    assert_int_not_equal(tt_session_accept_stream(session, &st), TT_OK);
    assert_string_not_equal(tt_session_error_text(session), "");
}

static void test_the_end_of_a_session_is_explained_without_memory(void **state)
{
    (void)state;
    struct failing_alloc f = {.refused = true};
    static struct server server;
    struct tt_session *session;
    size_t n;
    for (n = 0; f.refused && n < MOST_ALLOCATIONS; n++) {
        struct tt_options o = hasty(NULL);
        failing_alloc_init(&f, n);
        assert_int_equal(start_server(&server, &o), TT_OK);
        o = hasty(&f.alloc);
        if (tt_dial(tt_listener_address(server.listener), &o, &session, NULL) == TT_OK) {
            const int err = talk(session);
            stop_server(&server);
            if (!err)
                assert_end_is_explained(session);
            (void)tt_session_close(session);
        } else {
            stop_server(&server);
        }
        assert_int_equal(f.live, 0);
    }
    assert_true(n < MOST_ALLOCATIONS);
}

/* In a callback, where nobody else can ask for memory in between. */
struct conversion {
    struct failing_alloc *alloc;
    int refused, fd_of_refused, accepted, fd;
    _Atomic bool done;
};

static void convert(void *ctx, struct tt_stream *st)
{
    struct conversion *c = ctx;
    tt_stream_set_callbacks(st, NULL, NULL);
    c->alloc->fail_at = c->alloc->calls;
    c->refused = tt_stream_into_fd(st, &c->fd_of_refused);
    c->accepted = tt_stream_into_fd(st, &c->fd); /* the stream is as it was */
    c->done = true;
}

static bool is_done(void *arg)
{
    return ((struct conversion *)arg)->done;
}

static void test_a_descriptor_without_memory(void **state)
{
    (void)state;
    static const struct tt_stream_callbacks callbacks = {.readable = convert};
    static struct server server;
    struct failing_alloc f;
    struct conversion c = {.alloc = &f};
    struct tt_session *session;
    struct tt_stream *st;
    char buf[5];
    struct tt_options o = hasty(NULL);
    assert_int_equal(start_server(&server, &o), TT_OK);
    failing_alloc_init(&f, FAIL_NEVER);
    o = hasty(&f.alloc);
    assert_int_equal(tt_dial(tt_listener_address(server.listener), &o, &session, NULL), TT_OK);
    assert_int_equal(tt_session_open_stream(session, &st), TT_OK);
    tt_stream_set_callbacks(st, &callbacks, &c);
    api_wait_for(is_done, &c);
    assert_int_equal(c.refused, TT_E_NOMEM);
    assert_int_equal(c.fd_of_refused, -1);
    assert_int_equal(c.accepted, TT_OK);
    assert_int_equal(write(c.fd, "hello", 5), 5);
    assert_int_equal(read(c.fd, buf, 5), 5);
    assert_memory_equal(buf, "hello", 5);
    close(c.fd);
    assert_int_equal(tt_session_close(session), TT_OK);
    assert_int_equal(f.live, 0);
    stop_server(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_without_memory),
        cmocka_unit_test(test_a_server_without_memory),
        cmocka_unit_test(test_a_descriptor_without_memory),
        cmocka_unit_test(test_the_end_of_a_session_is_explained_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
