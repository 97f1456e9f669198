/* Sessions, by the blocking calls of the public API, as in examples/turbotunnel. */
#include "keys.h"
#include "link.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>

#include <turbotunnel/turbotunnel.h>

/* A session and how many use it: the thread that accepts its streams, and one for each stream. */
struct served {
    struct tt_session *session;
    _Atomic unsigned users;
    void (*handle)(struct tt_bench_stream *stream);
};

struct work {
    struct served *served;
    struct tt_bench_stream stream;
};

static void leave(struct served *s)
{
    if (--s->users > 0)
        return;
    tt_session_close(s->session);
    free(s);
}

static void *handle_one(void *arg)
{
    struct work *w = arg;
    w->served->handle(&w->stream);
    tt_stream_close(w->stream.stream);
    leave(w->served);
    free(w);
    return NULL;
}

static void *accept_streams(void *arg)
{
    struct served *s = arg;
    struct tt_stream *stream;

    while (tt_session_accept_stream(s->session, &stream) == TT_OK) {
        struct work *w = tt_bench_allocate(sizeof *w);
        *w = (struct work){s, {.kind = &tt_bench_turbotunnel, .stream = stream}};
        s->users++;
        tt_bench_start_thread(handle_one, w);
    }
    leave(s);
    return NULL;
}

static void tunnel_serve(const struct tt_bench_kind *kind, const char *address,
                         void (*handle)(struct tt_bench_stream *stream))
{
    const struct tt_options options = {.legacy = kind->legacy,
                                       .max_packet = kind->max_packet,
                                       .private_key = tt_bench_private_key(kind)};
    struct tt_listener *listener;
    struct tt_session *session;
    struct tt_error_text why;
    int err;

    if (tt_listen(address, &options, &listener, &why))
        tt_bench_fail("listen", why.text);
    fprintf(stderr, "listening on %s\n", tt_listener_address(listener));
    while ((err = tt_listener_accept(listener, &session)) == TT_OK) {
        struct served *s = tt_bench_allocate(sizeof *s);
        s->session = session;
        s->users = 1;
        s->handle = handle;
        tt_bench_start_thread(accept_streams, s);
    }
    tt_bench_fail("accept", tt_strerror(err));
}

/* One for all sessions of a client. tt_dial alone would make one for each. */
static struct tt_loop *shared_loop(void)
{
    static struct tt_loop *loop;
    if (!loop && (tt_loop_new(NULL, &loop) || tt_loop_start(loop)))
        tt_bench_fail("make a loop", "no resources");
    return loop;
}

static void tunnel_dial(const struct tt_bench_kind *kind, struct tt_bench_link *link,
                        const char *address)
{
    const struct tt_options options = {.loop = shared_loop(),
                                       .legacy = kind->legacy,
                                       .max_packet = kind->max_packet,
                                       .carriers = kind->carriers,
                                       .server_key = tt_bench_server_key(kind)};
    struct tt_error_text why;

    if (tt_dial(address, &options, &link->session, &why))
        tt_bench_fail("dial", why.text);
}

static void tunnel_open(struct tt_bench_link *link, struct tt_bench_stream *stream)
{
    *stream = (struct tt_bench_stream){.kind = &tt_bench_turbotunnel};
    const int err = tt_session_open_stream(link->session, &stream->stream);
    if (err)
        tt_bench_fail("open a stream", tt_strerror(err));
}

static uint64_t tunnel_connections(const struct tt_bench_link *link)
{
    struct tt_session_stats stats;
    tt_session_get_stats(link->session, &stats);
    return stats.connections;
}

static void tunnel_end(struct tt_bench_link *link)
{
    const int err = tt_session_close(link->session);
    if (err)
        tt_bench_fail("close the session", tt_strerror(err));
}

static ssize_t tunnel_read(struct tt_bench_stream *stream, void *buf, size_t cap)
{
    size_t len = 0;
    const int err = tt_stream_read(stream->stream, buf, cap, &len);
    if (err == TT_E_END)
        return 0;
    return err ? -1 : (ssize_t)len;
}

static bool tunnel_write(struct tt_bench_stream *stream, const void *data, size_t len)
{
    return tt_stream_write(stream->stream, data, len) == TT_OK;
}

static void tunnel_shutdown(struct tt_bench_stream *stream)
{
    tt_stream_shutdown(stream->stream);
}

static void tunnel_close(struct tt_bench_stream *stream)
{
    tt_stream_close(stream->stream);
}

#define TUNNEL(its_name, is_legacy, is_sealed)                                                     \
    {                                                                                              \
        .name = (its_name), .legacy = (is_legacy), .sealed = (is_sealed), .serve = tunnel_serve,   \
        .dial = tunnel_dial, .open = tunnel_open, .connections = tunnel_connections,               \
        .end = tunnel_end, .read = tunnel_read, .write = tunnel_write,                             \
        .shutdown = tunnel_shutdown, .close = tunnel_close                                         \
    }

const struct tt_bench_kind tt_bench_turbotunnel = TUNNEL("turbotunnel", false, false);
const struct tt_bench_kind tt_bench_turbotunnel_legacy = TUNNEL("turbotunnel-legacy", true, false);
const struct tt_bench_kind tt_bench_turbotunnel_sealed = TUNNEL("turbotunnel-sealed", false, true);
