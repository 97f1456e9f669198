/* Every allocation of a session's life refused once: an error comes out, or the session gets over
 * it; nothing crashes, hangs or leaks.
 *
 * The end that runs out of memory has a loop and an allocator of its own; that of the other end is
 * malloc. The allocator counts without locks, so this also shows (under TSan) that it is called
 * under the loop's lock.
 */
#include "api.h"

#include <sched.h>
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

/* --- many who send at once --- */

#define SENDERS    24u
#define SENT_EACH  (160 * KIB)
#define MOST_BYTES MIB /* of them all that the server may hold */

/* A server that drops what comes. The first bytes can hold its loop up. */
struct drain {
    struct server server;
    struct failing_alloc alloc;
    _Atomic unsigned streams;
    _Atomic size_t dropped;
    _Atomic bool hold, held;
};

static void drop_all(void *ctx, struct tt_stream *st)
{
    struct drain *d = ctx;
    static uint8_t bytes[64 * KIB];
    size_t n;
    while (tt_stream_try_read(st, bytes, sizeof bytes, &n) == TT_OK)
        d->dropped += n;
    if (!d->hold)
        return;
    d->alloc.most_bytes = d->alloc.live_bytes;
    d->held = true;
    while (d->hold)
        sched_yield();
}

static void drop_stream(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    static const struct tt_stream_callbacks callbacks = {.readable = drop_all};
    struct drain *d = ctx;
    (void)session;
    tt_stream_set_callbacks(st, &callbacks, d);
    d->streams++;
}

static void drop_session(void *ctx, struct tt_session *session)
{
    static const struct tt_session_callbacks callbacks = {.stream_opened = drop_stream};
    struct drain *d = ctx;
    d->server.sessions[d->server.count++] = session;
    tt_session_set_callbacks(session, &callbacks, d);
}

static bool all_have_come(void *arg)
{
    return ((struct drain *)arg)->streams == SENDERS;
}

static bool is_held(void *arg)
{
    return ((struct drain *)arg)->held;
}

static bool all_is_dropped(void *arg)
{
    return ((struct drain *)arg)->dropped == 1 + SENDERS * SENT_EACH;
}

static void test_many_who_send_at_once_are_served_one_after_the_other(void **state)
{
    (void)state;
    static struct drain d;
    struct tt_session *sessions[SENDERS];
    struct tt_stream *streams[SENDERS];
    failing_alloc_init(&d.alloc, FAIL_NEVER);
    struct tt_options o = hasty(&d.alloc.alloc);
    assert_int_equal(start_server(&d.server, &o), TT_OK);
    tt_listener_set_callback(d.server.listener, drop_session, &d);
    for (size_t i = 0; i < SENDERS; i++) {
        assert_int_equal(tt_dial(tt_listener_address(d.server.listener), NULL, &sessions[i], NULL),
                         TT_OK);
        assert_int_equal(tt_session_open_stream(sessions[i], &streams[i]), TT_OK);
    }
    api_wait_for(all_have_come, &d);
    d.hold = true;
    assert_int_equal(tt_stream_write(streams[0], "x", 1), TT_OK);
    api_wait_for(is_held, &d);
    const size_t before_bytes = d.alloc.live_bytes;
    for (size_t i = 0; i < SENDERS; i++)
        assert_int_equal(api_write(streams[i], SENT_EACH, 0), TT_OK);
    d.hold = false; /* now all of them have something for it in one turn of its loop */
    api_wait_for(all_is_dropped, &d);
    for (size_t i = 0; i < SENDERS; i++) {
        tt_stream_close(streams[i]);
        assert_int_equal(tt_session_close(sessions[i]), TT_OK);
    }
    stop_server(&d.server);
    assert_int_equal(d.alloc.live, 0);
    print_message("%zu KiB held\n", (d.alloc.most_bytes - before_bytes) / KIB);
    assert_true(d.alloc.most_bytes - before_bytes < MOST_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_without_memory),
        cmocka_unit_test(test_a_server_without_memory),
        cmocka_unit_test(test_a_descriptor_without_memory),
        cmocka_unit_test(test_the_end_of_a_session_is_explained_without_memory),
        cmocka_unit_test(test_many_who_send_at_once_are_served_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
