#include "callbacks.h"
#include "bulk_callbacks.h"
#include "handlers.h"
#include "keys.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <turbotunnel/turbotunnel.h>

struct tt_loop *tt_bench_new_loop(void)
{
    struct tt_loop *loop;
    if (tt_loop_new(NULL, &loop))
        tt_bench_fail("make a loop", "no resources");
    return loop;
}

/* --- server: a stream without anything on its way has no memory of ours --- */

/* What has been read and found no room: it goes first. */
struct unsent {
    size_t from, to;
    unsigned char bytes[TT_BENCH_BUFFER_BYTES];
};

/* Returns how many bytes found room. A stream that has failed takes all: nobody waits for them. */
static size_t give_back(struct tt_stream *stream, const unsigned char *bytes, size_t len)
{
    size_t given = 0;
    size_t n;
    int err = TT_OK;
    while (given < len && (err = tt_stream_try_write(stream, bytes + given, len - given, &n)) == 0)
        given += n;
    return err == TT_OK || err == TT_E_FULL ? given : len;
}

static void keep(struct tt_stream *stream, const unsigned char *bytes, size_t len)
{
    struct unsent *u = tt_bench_allocate(sizeof *u);
    u->to = len;
    memcpy(u->bytes, bytes, len);
    tt_stream_set_user(stream, u);
}

static void echo_readable(void *ctx, struct tt_stream *stream)
{
    static _Thread_local unsigned char buf[TT_BENCH_BUFFER_BYTES];
    size_t len;
    int err = TT_E_AGAIN;
    (void)ctx;
    while (!tt_stream_user(stream) &&
           (err = tt_stream_try_read(stream, buf, sizeof buf, &len)) == TT_OK) {
        const size_t given = give_back(stream, buf, len);
        if (given < len)
            keep(stream, buf + given, len - given);
    }
    if (err != TT_OK && err != TT_E_AGAIN)
        tt_stream_close(stream);
}

static void echo_writable(void *ctx, struct tt_stream *stream)
{
    struct unsent *u = tt_stream_user(stream);
    if (!u)
        return;
    u->from += give_back(stream, u->bytes + u->from, u->to - u->from);
    if (u->from < u->to)
        return;
    free(u);
    tt_stream_set_user(stream, NULL);
    echo_readable(ctx, stream);
}

static void opened(void *ctx, struct tt_session *session, struct tt_stream *stream)
{
    static const struct tt_stream_callbacks echo = {echo_readable, echo_writable};
    const char *mode = ctx;
    (void)session;
    if (strcmp(mode, "echo") == 0)
        tt_stream_set_callbacks(stream, &echo, NULL);
    else
        tt_bench_serve_stream(stream, strcmp(mode, "source") == 0);
}

static _Atomic unsigned alive;

unsigned tt_bench_sessions_alive(void)
{
    return alive;
}

static void ended(void *ctx, struct tt_session *session, int err)
{
    (void)ctx;
    (void)err;
    alive--;
    tt_session_close(session);
}

static void begun(void *ctx, struct tt_session *session)
{
    static const struct tt_session_callbacks callbacks = {.stream_opened = opened, .ended = ended};
    alive++;
    tt_session_set_callbacks(session, &callbacks, ctx);
}

void tt_bench_serve_callbacks(const struct tt_bench_job *job)
{
    struct tt_loop *loop = job->workers ? NULL : tt_bench_new_loop();
    const struct tt_options options = {.loop = loop,
                                       .workers = job->workers,
                                       .legacy = job->kind->legacy,
                                       .private_key = tt_bench_private_key(job->kind),
                                       .max_sessions = job->most,
                                       .max_connections = job->most};
    struct tt_listener *listener;
    struct tt_error_text why;

    if (tt_listen(job->address, &options, &listener, &why))
        tt_bench_fail("listen", why.text);
    tt_listener_set_callback(listener, begun, (void *)job->mode);
    fprintf(stderr, "listening on %s\n", tt_listener_address(listener));
    if (loop)
        tt_loop_run(loop);
}

/* --- client --- */

struct pingpong {
    const struct tt_bench_job *job;
    struct tt_loop *loop;
    struct tt_session *session;
    double *round_trips_us;
    unsigned count;
    size_t missing; /* bytes of the answer */
    uint64_t begin_ns, sent_ns, end_ns;
    double cpu_seconds; /* before it; then: used by it */
    uint64_t connections;
};

static void send_ping(struct pingpong *p, struct tt_stream *stream)
{
    static const unsigned char message[TT_BENCH_PING_BYTES];
    p->missing = sizeof message;
    p->sent_ns = tt_bench_now_ns();
    if (give_back(stream, message, sizeof message) < sizeof message)
        tt_bench_fail("ping-pong", "no room for a ping");
}

static bool is_over(const struct pingpong *p, uint64_t now_ns)
{
    return p->count == p->job->round_trips ||
           (p->job->limit_ns && now_ns - p->begin_ns >= p->job->limit_ns);
}

static void finish(struct pingpong *p, struct tt_stream *stream, uint64_t now_ns)
{
    struct tt_session_stats stats;
    p->end_ns = now_ns;
    p->cpu_seconds = tt_bench_cpu_seconds() - p->cpu_seconds;
    tt_session_get_stats(p->session, &stats);
    p->connections = stats.connections;
    tt_stream_close(stream);
    tt_session_close(p->session);
    tt_loop_stop(p->loop);
}

static void pong(void *ctx, struct tt_stream *stream)
{
    struct pingpong *p = ctx;
    unsigned char buf[TT_BENCH_PING_BYTES];
    size_t len;
    while (p->missing > 0 && tt_stream_try_read(stream, buf, p->missing, &len) == TT_OK)
        p->missing -= len;
    if (p->missing > 0)
        return;
    const uint64_t now_ns = tt_bench_now_ns();
    p->round_trips_us[p->count++] = (double)(now_ns - p->sent_ns) / 1e3;
    if (is_over(p, now_ns))
        finish(p, stream, now_ns);
    else
        send_ping(p, stream);
}

static void begin_pingpong(void *ctx, struct tt_session *session)
{
    static const struct tt_stream_callbacks callbacks = {.readable = pong};
    struct pingpong *p = ctx;
    struct tt_stream *stream;
    if (tt_session_open_stream(session, &stream))
        tt_bench_fail("open a stream", "no resources");
    tt_stream_set_callbacks(stream, &callbacks, p);
    p->cpu_seconds = tt_bench_cpu_seconds();
    p->begin_ns = tt_bench_now_ns();
    send_ping(p, stream);
}

static void lost(void *ctx, struct tt_session *session, int err)
{
    (void)ctx;
    (void)session;
    tt_bench_fail("ping-pong", tt_strerror(err));
}

void tt_bench_pingpong_callbacks(const struct tt_bench_job *job)
{
    static const struct tt_session_callbacks callbacks = {.connected = begin_pingpong,
                                                          .ended = lost};
    struct pingpong p = {.job = job, .loop = tt_bench_new_loop()};
    const struct tt_options options = {
        .loop = p.loop, .legacy = job->kind->legacy, .server_key = tt_bench_server_key(job->kind)};
    struct tt_error_text why;

    p.round_trips_us = tt_bench_allocate(job->round_trips * sizeof *p.round_trips_us);
    if (tt_session_begin(job->address, &options, &callbacks, &p, &p.session, &why))
        tt_bench_fail("dial", why.text);
    tt_loop_run(p.loop);
    tt_loop_free(p.loop);
    tt_bench_report_pingpong(p.round_trips_us, p.count, (double)(p.end_ns - p.begin_ns) / 1e9,
                             p.cpu_seconds, p.connections);
    free(p.round_trips_us);
}
