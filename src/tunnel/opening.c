#include "tunnel/opening.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net/dialer.h"
#include "tunnel/splice.h"

struct opening {
    struct tt_list_node node;
    struct tt_opening_host *host;
    struct tt_stream *stream;
    struct tt_timer timer; /* the end of its time */
    struct tt_dialer dialer;
    bool has_target;
    size_t have; /* bytes of the header */
    uint8_t header[TT_TARGET_MAX];
    struct tt_target target;
};

static void dispose(struct opening *o)
{
    tt_list_remove(&o->node);
    tt_timer_dispose(o->host->worker, &o->timer);
    tt_dialer_dispose(&o->dialer);
    tt_alloc_malloc.put(NULL, o);
}

static void report(const struct opening *o, uint32_t code, const char *why)
{
    if (o->host->report)
        o->host->report(o->host, o->has_target ? &o->target : NULL, code, why);
}

static void refuse(struct opening *o, uint32_t code, const char *why)
{
    report(o, code, why);
    tt_stream_reset(o->stream, code);
    dispose(o);
}

void tt_opening_abort_all(struct tt_opening_host *host, uint32_t code)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(host->openings)) != NULL) {
        struct opening *o = TT_CONTAINER_OF(node, struct opening, node);
        tt_stream_reset(o->stream, code);
        dispose(o);
    }
}

/* --- connecting --- */

static void splice_ended(void *ctx, struct tt_splice_end *end)
{
    struct tt_opening_host *host = ctx;
    (void)end;
    if (host->spliced_ended)
        host->spliced_ended(host);
}

/* The answer first: it is before all that comes from the target. */
static int answer(struct tt_stream *st)
{
    size_t taken;
    return tt_stream_try_write(st, &(uint8_t){TT_TARGET_CONNECTED}, 1, &taken);
}

static void connected(struct tt_dialer *d, uint64_t now_us, int fd)
{
    struct opening *o = TT_CONTAINER_OF(d, struct opening, dialer);
    struct tt_opening_host *host = o->host;
    (void)now_us;
    if (answer(o->stream)) {
        close(fd);
        refuse(o, TT_RESET_LIMIT, "no memory to answer");
        return;
    }
    report(o, TT_RESET_NONE, "");
    const struct tt_splice_config config = {.worker = host->worker,
                                            .list = host->splices,
                                            .stream = o->stream,
                                            .in_fd = fd,
                                            .out_fd = fd,
                                            .ended = splice_ended,
                                            .ctx = host};
    dispose(o);
    if (tt_splice_begin(&config) && host->spliced_ended)
        host->spliced_ended(host);
}

static uint32_t code_of(const struct tt_dialer *d, int err)
{
    if (err == TT_E_RESOLVE)
        return TT_RESET_NO_SUCH_NAME;
    if (err == TT_E_NOMEM)
        return TT_RESET_LIMIT;
    switch (d->os_error) {
    case EPERM:
        return TT_RESET_NOT_ALLOWED;
    case ECONNREFUSED:
    case ENOENT: /* of a socket in the file system */
        return TT_RESET_REFUSED;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return TT_RESET_LIMIT;
    default:
        return TT_RESET_UNREACHABLE;
    }
}

static void failed(struct tt_dialer *d, uint64_t now_us, int err, const char *what, const char *why)
{
    struct opening *o = TT_CONTAINER_OF(d, struct opening, dialer);
    const uint32_t code = code_of(d, err);
    (void)now_us;
    (void)what;
    refuse(o, code, code == TT_RESET_NOT_ALLOWED ? "no rule allows that address" : why);
}

static bool allows(struct tt_dialer *d, const struct sockaddr *address)
{
    struct opening *o = TT_CONTAINER_OF(d, struct opening, dialer);
    return !o->host->allows || o->host->allows(o->host, &o->target, address);
}

/* --- deciding --- */

static void decide(struct opening *o, uint64_t now_us)
{
    struct tt_opening_host *host = o->host;
    if (tt_target_parse(&o->target, tt_span_of(o->header, o->have))) {
        refuse(o, TT_RESET_NOT_ALLOWED, "the stream does not begin as it must");
        return;
    }
    o->has_target = true;
    tt_stream_set_callbacks(o->stream, NULL, NULL);
    const uint32_t code = host->decide(host, o->stream, &o->target, &o->dialer.address);
    if (code == TT_OPENING_TAKEN) {
        dispose(o);
    } else if (code) {
        refuse(o, code, "no rule allows it");
    } else {
        tt_timer_set(host->worker, &o->timer, tt_deadline_after(now_us, host->timeout_us));
        tt_dialer_begin(&o->dialer, now_us, true);
    }
}

/* Takes exactly the header: what is behind it stays in the stream, for the splice. */
static void header_readable(void *ctx, struct tt_stream *st)
{
    struct opening *o = ctx;
    size_t missing;
    int err = TT_OK;
    while (!err && (missing = tt_target_missing(o->header, o->have)) > 0) {
        size_t n;
        err = tt_stream_try_read(st, o->header + o->have, missing, &n);
        o->have += err ? 0 : n;
    }
    if (!err)
        decide(o, tt_worker_now_us());
    else if (err != TT_E_AGAIN)
        refuse(o, TT_RESET_NONE, "the stream ended before it said where it leads");
}

static void too_late(struct tt_timer *timer, uint64_t now_us)
{
    struct opening *o = TT_CONTAINER_OF(timer, struct opening, timer);
    (void)now_us;
    if (o->has_target)
        refuse(o, TT_RESET_UNREACHABLE, "no answer in time");
    else
        refuse(o, TT_RESET_LIMIT, "the stream did not say in time where it leads");
}

static const struct tt_stream_callbacks header_callbacks = {.readable = header_readable};

static int init(struct opening *o)
{
    struct tt_loop *w = o->host->worker;
    int err = tt_timer_init(w, &o->timer, too_late);
    if (err)
        return err;
    o->dialer.timeout_us = o->host->timeout_us;
    o->dialer.connected = connected;
    o->dialer.failed = failed;
    o->dialer.allows = allows;
    err = tt_dialer_init(&o->dialer, w);
    if (err)
        tt_timer_dispose(w, &o->timer);
    return err;
}

void tt_opening_begin(struct tt_opening_host *host, struct tt_stream *stream)
{
    struct opening *o = tt_alloc_malloc.get(NULL, sizeof *o);
    if (!o) {
        tt_stream_reset(stream, TT_RESET_LIMIT);
        return;
    }
    memset(o, 0, sizeof *o);
    o->host = host;
    o->stream = stream;
    if (init(o)) {
        tt_alloc_malloc.put(NULL, o);
        tt_stream_reset(stream, TT_RESET_LIMIT);
        return;
    }
    tt_list_push_back(host->openings, &o->node);
    tt_timer_set(host->worker, &o->timer, tt_deadline_after(tt_worker_now_us(), host->timeout_us));
    tt_stream_set_callbacks(stream, &header_callbacks, o);
}
