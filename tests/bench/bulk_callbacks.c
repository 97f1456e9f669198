#include "bulk_callbacks.h"
#include "callbacks.h"
#include "handlers.h"
#include "keys.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one direction of one stream --- */

/* Sends while there is room, and makes the bytes there. Returns whether that is over: all were
 * sent, or the stream has failed.
 */
static bool pump(struct tt_stream *stream, uint64_t *left)
{
    while (*left > 0) {
        void *room;
        size_t n;
        int err = tt_stream_room(stream, &room, &n);
        if (err)
            return err != TT_E_FULL;
        if (n > *left)
            n = (size_t)*left;
        memset(room, 'x', n);
        err = tt_stream_commit(stream, n);
        if (err)
            return true;
        *left -= n;
    }
    return true;
}

/* Counts what has come, where it lies. Returns whether no more will. */
static bool swallow(struct tt_stream *stream, uint64_t *got)
{
    struct tt_piece pieces[64];
    size_t count = sizeof pieces / sizeof *pieces;
    int err;
    while ((err = tt_stream_peek(stream, pieces, &count)) == TT_OK) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++)
            n += pieces[i].len;
        if (tt_stream_consume(stream, n))
            return true;
        *got += n;
        count = sizeof pieces / sizeof *pieces;
    }
    return err != TT_E_AGAIN;
}

/* --- the server's end of a stream --- */

struct serving {
    unsigned char request[TT_BENCH_COUNT_BYTES];
    size_t have;
    uint64_t left, got;
};

static void end_serving(struct tt_stream *stream)
{
    free(tt_stream_user(stream));
    tt_stream_close(stream);
}

static void source_writable(void *ctx, struct tt_stream *stream)
{
    struct serving *s = tt_stream_user(stream);
    (void)ctx;
    if (s->have == sizeof s->request && pump(stream, &s->left))
        end_serving(stream);
}

static void source_readable(void *ctx, struct tt_stream *stream)
{
    struct serving *s = tt_stream_user(stream);
    size_t n;
    int err = TT_OK;
    if (s->have == sizeof s->request)
        return;
    while (s->have < sizeof s->request &&
           (err = tt_stream_try_read(stream, s->request + s->have, sizeof s->request - s->have,
                                     &n)) == TT_OK)
        s->have += n;
    if (err == TT_E_AGAIN)
        return;
    if (err) {
        end_serving(stream);
        return;
    }
    s->left = tt_bench_get_count(s->request);
    source_writable(ctx, stream);
}

static void sink_readable(void *ctx, struct tt_stream *stream)
{
    struct serving *s = tt_stream_user(stream);
    size_t n;
    (void)ctx;
    if (!swallow(stream, &s->got))
        return;
    tt_bench_put_count(s->request, s->got);
    (void)tt_stream_try_write(stream, s->request, sizeof s->request, &n);
    end_serving(stream);
}

void tt_bench_serve_stream(struct tt_stream *stream, bool is_source)
{
    static const struct tt_stream_callbacks source = {source_readable, source_writable};
    static const struct tt_stream_callbacks sink = {.readable = sink_readable};
    tt_stream_set_user(stream, tt_bench_allocate(sizeof(struct serving)));
    tt_stream_set_callbacks(stream, is_source ? &source : &sink, NULL);
}

/* --- the client --- */

struct transfer {
    const struct tt_bench_job *job;
    struct tt_loop *loop;
    struct tt_session *session;
    struct flow *flows; /* job->streams of them */
    unsigned running;
    uint64_t begin_ns, end_ns;
    double cpu_seconds; /* before it; then: used by it */
    uint64_t moved;
    double slowest_share;
    uint64_t last_ns, longest_ns; /* between two arrivals */
    uint64_t connections;
};

/* One stream of it. */
struct flow {
    struct transfer *of;
    struct tt_stream *stream; /* NULL: over */
    uint64_t left, moved, answered;
};

static bool is_source(const struct tt_bench_job *job)
{
    return strcmp(job->mode, "source") == 0;
}

static bool time_is_up(const struct transfer *t)
{
    return t->job->limit_ns && tt_bench_now_ns() - t->begin_ns >= t->job->limit_ns;
}

/* How far the slowest is now that one is done. */
static double slowest_share(const struct transfer *t, uint64_t most)
{
    uint64_t least = most;
    for (unsigned i = 0; i < t->job->streams; i++)
        least = t->flows[i].moved < least ? t->flows[i].moved : least;
    return most ? (double)least / (double)most : 0;
}

static void finish(struct transfer *t)
{
    struct tt_session_stats stats;
    t->end_ns = tt_bench_now_ns();
    t->cpu_seconds = tt_bench_cpu_seconds() - t->cpu_seconds;
    tt_session_get_stats(t->session, &stats);
    if (stats.sealed != t->job->kind->sealed)
        tt_bench_fail("transfer", "sealed and not sealed were taken for each other");
    t->connections = stats.connections;
    tt_session_close(t->session);
    tt_loop_stop(t->loop);
}

static void end_flow(struct flow *f)
{
    struct transfer *t = f->of;
    if (t->running == t->job->streams)
        t->slowest_share = slowest_share(t, f->moved);
    t->moved += f->moved;
    tt_stream_close(f->stream);
    f->stream = NULL;
    if (--t->running == 0)
        finish(t);
}

static void note_arrival(struct transfer *t)
{
    const uint64_t now_ns = tt_bench_now_ns();
    if (t->last_ns && now_ns - t->last_ns > t->longest_ns)
        t->longest_ns = now_ns - t->last_ns;
    t->last_ns = now_ns;
}

static void download_readable(void *ctx, struct tt_stream *stream)
{
    struct flow *f = ctx;
    if (!f->stream)
        return;
    const bool ended = swallow(stream, &f->moved);
    note_arrival(f->of);
    if (!f->of->job->limit_ns && ended && f->moved != f->of->job->bytes)
        tt_bench_fail("source", "the stream has ended too early");
    if (ended || f->moved == f->of->job->bytes || time_is_up(f->of))
        end_flow(f);
}

static void upload_writable(void *ctx, struct tt_stream *stream)
{
    struct flow *f = ctx;
    if (!f->stream || f->answered || f->left == 0)
        return;
    const uint64_t before = f->left;
    const bool sent = pump(stream, &f->left);
    f->moved += before - f->left;
    if (time_is_up(f->of))
        f->left = 0;
    if (sent || f->left == 0) {
        f->left = 0;
        tt_stream_shutdown(stream);
    }
}

/* The server's count, which ends it. */
static void upload_readable(void *ctx, struct tt_stream *stream)
{
    struct flow *f = ctx;
    unsigned char answer[TT_BENCH_COUNT_BYTES];
    size_t n;
    if (!f->stream)
        return;
    while (tt_stream_try_read(stream, answer, sizeof answer, &n) == TT_OK)
        f->answered += n;
    if (f->answered < sizeof answer)
        return;
    if (f->answered > sizeof answer || f->left > 0 || tt_bench_get_count(answer) != f->moved)
        tt_bench_fail("sink", "the server has counted another number of bytes");
    end_flow(f);
}

static void begin_flow(struct flow *f)
{
    static const struct tt_stream_callbacks download = {.readable = download_readable};
    static const struct tt_stream_callbacks upload = {upload_readable, upload_writable};
    const struct tt_bench_job *job = f->of->job;
    unsigned char request[TT_BENCH_COUNT_BYTES];
    size_t n;
    tt_stream_set_callbacks(f->stream, is_source(job) ? &download : &upload, f);
    if (!is_source(job)) {
        upload_writable(f, f->stream);
        return;
    }
    tt_bench_put_count(request, job->bytes);
    if (tt_stream_try_write(f->stream, request, sizeof request, &n) || n < sizeof request)
        tt_bench_fail("ask", "no room for a request");
}

static void begin(void *ctx, struct tt_session *session)
{
    struct transfer *t = ctx;
    t->running = t->job->streams;
    for (unsigned i = 0; i < t->job->streams; i++) {
        t->flows[i] = (struct flow){.of = t, .left = t->job->bytes};
        if (tt_session_open_stream(session, &t->flows[i].stream))
            tt_bench_fail("open a stream", "no resources");
    }
    t->cpu_seconds = tt_bench_cpu_seconds();
    t->begin_ns = tt_bench_now_ns();
    for (unsigned i = 0; i < t->job->streams; i++)
        begin_flow(&t->flows[i]);
}

static void lost(void *ctx, struct tt_session *session, int err)
{
    (void)ctx;
    (void)session;
    tt_bench_fail("transfer", tt_strerror(err));
}

void tt_bench_transfer_callbacks(const struct tt_bench_job *job)
{
    static const struct tt_session_callbacks callbacks = {.connected = begin, .ended = lost};
    struct transfer t = {.job = job, .loop = tt_bench_new_loop()};
    struct tt_error_text why;
    const struct tt_options options = {
        .loop = t.loop, .legacy = job->kind->legacy, .server_key = tt_bench_server_key(job->kind)};
    t.flows = tt_bench_allocate(job->streams * sizeof *t.flows);
    if (tt_session_begin(job->address, &options, &callbacks, &t, &t.session, &why))
        tt_bench_fail("dial", why.text);
    tt_loop_run(t.loop);
    tt_loop_free(t.loop);
    free(t.flows);
    const struct tt_bench_result result = {.bytes = t.moved,
                                           .seconds = (double)(t.end_ns - t.begin_ns) / 1e9,
                                           .cpu_seconds = t.cpu_seconds,
                                           .connections = t.connections,
                                           .longest_silence_ms = (double)t.longest_ns / 1e6,
                                           .slowest_share = t.slowest_share};
    tt_bench_report_streams(job, &result);
}
