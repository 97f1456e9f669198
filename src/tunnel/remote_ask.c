#include "tunnel/remote_ask.h"

#include <turbotunnel/stream.h>

#include "tunnel/open_stream.h"
#include "tunnel/reset_text.h"

/* The port may be held by our session of before, which the server keeps for a while. */
#define AGAIN_US (5 * TT_SECOND)

static void forget_stream(struct tt_remote_ask *a, uint32_t code)
{
    struct tt_stream *st = a->stream;
    a->stream = NULL;
    if (st)
        tt_stream_reset(st, code);
}

static void refused(struct tt_remote_ask *a, int err)
{
    const uint32_t code = err == TT_E_RESET ? tt_stream_reset_code(a->stream) : TT_RESET_NONE;
    const bool final = code == TT_RESET_NOT_ALLOWED;
    const char *why = code == TT_RESET_REFUSED ? "the server cannot listen there (is it in use?)"
                                               : tt_reset_text(code);
    tt_log(a->log, TT_LOG_ERROR, "remote_refused", "-R %s: %s%s", a->forward->text, why,
           final ? "" : "; asking again in 5 s");
    forget_stream(a, TT_RESET_NONE);
    if (!final)
        tt_timer_set(a->worker, &a->again, tt_deadline_after(tt_worker_now_us(), AGAIN_US));
}

static int read_answer(struct tt_remote_ask *a)
{
    size_t n;
    int err = TT_OK;
    while (!err && a->have < sizeof a->answer) {
        err = tt_stream_try_read(a->stream, a->answer + a->have, sizeof a->answer - a->have, &n);
        a->have += err ? 0 : n;
    }
    if (!err && a->answer[0] != TT_TARGET_CONNECTED)
        err = TT_E_PROTO;
    return err;
}

/* The answer, and later the end. */
static void readable(void *ctx, struct tt_stream *st)
{
    struct tt_remote_ask *a = ctx;
    uint8_t byte;
    size_t len;
    int err = a->answered ? tt_stream_try_read(st, &byte, 1, &len) : read_answer(a);
    if (err == TT_OK && !a->answered) {
        a->answered = true;
        tt_log(a->log, TT_LOG_NOTICE, "remote_listening", "the server listens on port %u for -R %s",
               tt_get_be16(a->answer + 1), a->forward->text);
    } else if (err != TT_E_AGAIN) {
        refused(a, err);
    }
}

static const struct tt_stream_callbacks callbacks = {.readable = readable};

static void ask(struct tt_remote_ask *a)
{
    a->answered = false;
    a->have = 0;
    if (tt_open_stream(a->session, &a->forward->listen, &a->stream)) {
        a->stream = NULL;
        tt_timer_set(a->worker, &a->again, tt_deadline_after(tt_worker_now_us(), AGAIN_US));
        return;
    }
    tt_stream_set_callbacks(a->stream, &callbacks, a);
}

static void ask_again(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_remote_ask *a = TT_CONTAINER_OF(timer, struct tt_remote_ask, again);
    (void)now_us;
    if (a->session && !a->stream)
        ask(a);
}

int tt_remote_ask_init(struct tt_remote_ask *a)
{
    return tt_timer_init(a->worker, &a->again, ask_again);
}

void tt_remote_ask_in(struct tt_remote_ask *a, struct tt_session *session)
{
    forget_stream(a, TT_RESET_NONE);
    tt_timer_set(a->worker, &a->again, TT_NEVER);
    a->session = session;
    if (session)
        ask(a);
}

void tt_remote_ask_dispose(struct tt_remote_ask *a)
{
    tt_timer_dispose(a->worker, &a->again);
}
