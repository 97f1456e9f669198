#include "visit.h"
#include "handlers.h"
#include "keys.h"
#include "process.h"

static void writable(void *ctx, struct tt_stream *stream)
{
    static const unsigned char zeros[TT_BENCH_BUFFER_BYTES];
    struct tt_bench_visit *v = ctx;
    while (v->sent < v->bytes) {
        const uint64_t left = v->bytes - v->sent;
        size_t n;
        const int err = tt_stream_try_write(stream, zeros,
                                            left < sizeof zeros ? (size_t)left : sizeof zeros, &n);
        if (err == TT_E_FULL)
            return;
        if (err)
            tt_bench_fail("send", tt_strerror(err));
        v->sent += n;
    }
}

static void readable(void *ctx, struct tt_stream *stream)
{
    static unsigned char buf[TT_BENCH_BUFFER_BYTES]; /* one thread */
    struct tt_bench_visit *v = ctx;
    size_t n;
    if (v->came == v->bytes)
        return;
    while (v->came < v->bytes && tt_stream_try_read(stream, buf, sizeof buf, &n) == TT_OK)
        v->came += n;
    if (v->came > v->bytes)
        tt_bench_fail("echo", "more has come back than was sent");
    if (v->came == v->bytes)
        v->echoed(v);
}

static void connected(void *ctx, struct tt_session *session)
{
    static const struct tt_stream_callbacks callbacks = {readable, writable};
    struct tt_bench_visit *v = ctx;
    const int err = tt_session_open_stream(session, &v->stream);
    if (err)
        tt_bench_fail("open a stream", tt_strerror(err));
    tt_stream_set_callbacks(v->stream, &callbacks, v);
    writable(v, v->stream);
}

static void ended(void *ctx, struct tt_session *session, int err)
{
    (void)ctx;
    (void)err;
    tt_bench_fail("visit", tt_session_error_text(session));
}

void tt_bench_visit_begin(struct tt_bench_visit *v)
{
    static const struct tt_session_callbacks callbacks = {.connected = connected, .ended = ended};
    const struct tt_options options = {.loop = v->loop,
                                       .legacy = v->job->kind->legacy,
                                       .server_key = tt_bench_server_key(v->job->kind)};
    struct tt_error_text why;
    v->sent = v->came = 0;
    v->begun_ns = tt_bench_now_ns();
    if (tt_session_begin(v->job->address, &options, &callbacks, v, &v->session, &why))
        tt_bench_fail("dial", why.text);
}

void tt_bench_visit_end(struct tt_bench_visit *v)
{
    tt_stream_close(v->stream);
    (void)tt_session_close(v->session);
}
