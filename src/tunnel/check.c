#include "tunnel/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <turbotunnel/session.h>
#include <turbotunnel/stream.h>

#include "core/base/bytes.h"
#include "tunnel/open_stream.h"
#include "tunnel/probe.h"
#include "tunnel/tunnel.h"

#define ANSWER_US (10 * TT_SECOND) /* a server that can be reached answers at once */
#define BEAT_US   TT_SECOND        /* between two small probes while connections grow old */
#define BEAT      64u              /* bytes of those, each way */

/*   CONNECTING -> UP -> DOWN -> AGE -> (over)
 * UP and DOWN: --bytes in that direction, while nothing else goes on. AGE: small probes, until a
 * connection is --seconds old. None of the three takes longer than --seconds.
 */
enum step {
    CONNECTING,
    UP,
    DOWN,
    AGE,
};

struct tt_tunnel_check {
    struct tt_context *context;
    struct tt_session *session;
    struct tt_timer timer; /* the end of the step's time; in AGE, the next beat */
    enum step step;
    bool reachable;
    bool failed;          /* something is not well */
    uint64_t dialling_us; /* since when */
    uint64_t step_us;     /* when the step began */
    struct tt_stream *stream;
    uint32_t up_left, down_left; /* of the probe on it */
    size_t have;                 /* bytes of its answer */
    uint8_t answer[TT_PROBE_ANSWER];
    uint64_t answered_ms; /* our clock when that was whole */
};

static const uint8_t filler[16384];

/* One finding. */
static void say(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const char *what, const char *format, ...)
{
    va_list args;
    (void)printf("%-14s", what);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static const struct tt_tunnel_options *options_of(const struct tt_tunnel_check *k)
{
    return k->context->options;
}

static double seconds(uint64_t us)
{
    return (double)us / TT_SECOND;
}

static void over(struct tt_tunnel_check *k)
{
    tt_timer_set(k->context->worker, &k->timer, TT_NEVER);
    tt_context_over(k->context, k->failed ? TT_EXIT_FAILED : TT_EXIT_DONE);
}

static void drop_stream(struct tt_tunnel_check *k)
{
    if (k->stream)
        tt_stream_reset(k->stream, TT_RESET_NONE);
    k->stream = NULL;
}

/* --- what is said --- */

static void say_time_here(void)
{
    const time_t now = time(NULL);
    struct tm utc;
    char text[32] = "unknown";
    if (gmtime_r(&now, &utc))
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
    say("clock", "here it is %s; the server's may be off by two hours at most, and is not known",
        text);
}

static void say_no_answer(struct tt_tunnel_check *k)
{
    k->failed = true;
    if (!k->reachable) {
        say("reachable", "NO: no connection within %.0f s", seconds(ANSWER_US));
    } else if (options_of(k)->insecure) {
        say("server", "NO ANSWER: is it a turbotunnel server, and without keys (--insecure)?");
    } else {
        say("server key", "NO ANSWER: wrong --server-key, a --key that is not listed there, a "
                          "clock off by hours, or "
                          "not a turbotunnel server");
        say_time_here();
    }
    over(k);
}

static void say_clock(const struct tt_tunnel_check *k)
{
    struct tt_session_stats s;
    tt_session_get_stats(k->session, &s);
    const uint64_t there_ms =
        (uint64_t)tt_get_be32(k->answer + 1) << 32 | tt_get_be32(k->answer + 5);
    const double off_s =
        (double)there_ms / 1000 + seconds(s.srtt_us) / 2 - (double)k->answered_ms / 1000;
    say("clock", "the server's is %.1f s %s ours%s", off_s < 0 ? -off_s : off_s,
        off_s < 0 ? "behind" : "ahead of",
        off_s > 600 || off_s < -600 ? "; two hours would be too much" : "");
}

/* What connections came to, and what was learned of those that ended. */
struct finding {
    const char *what;
    const char *unit;
    double most, died_most, learned;
};

static void say_finding(const struct finding *f)
{
    if (f->learned > 0)
        say(f->what, "LIMIT: those that end come to %.4g %s at most; sessions keep below %.4g %s",
            f->died_most, f->unit, f->learned, f->unit);
    else
        say(f->what, "no limit found: one connection came to %.4g %s", f->most, f->unit);
}

static void say_findings(struct tt_tunnel_check *k)
{
    struct tt_session_stats s;
    tt_session_get_stats(k->session, &s);
    const struct finding findings[] = {
        {"bytes up", "kB", (double)s.most_bytes_up / 1e3, (double)s.died_most_bytes_up / 1e3,
         (double)s.learned_bytes_up / 1e3},
        {"bytes down", "kB", (double)s.most_bytes_down / 1e3, (double)s.died_most_bytes_down / 1e3,
         (double)s.learned_bytes_down / 1e3},
        {"age", "s", seconds(s.longest_age_us), seconds(s.died_most_age_us),
         seconds(s.learned_age_us)},
    };
    if (s.srtt_us > 0)
        say("round trip", "%.1f ms", (double)s.srtt_us / 1000);
    if (s.connections_died > 0)
        say("connections",
            "%" PRIu64 " of %" PRIu64
            " ended or fell silent, though nobody here meant it, when %.4g to "
            "%.4g s old",
            s.connections_died, s.connections, seconds(s.died_least_age_us),
            seconds(s.died_most_age_us));
    else
        say("connections", "none of %" PRIu64 " ended or fell silent", s.connections);
    for (size_t i = 0; i < sizeof findings / sizeof findings[0]; i++)
        say_finding(&findings[i]);
    say("not measured",
        "more than %" PRIu64 " bytes, more than %.0f s, idle connections, other ports",
        options_of(k)->check_bytes, seconds(options_of(k)->check_us));
}

/* --- steps --- */

static void begin_step(struct tt_tunnel_check *k, enum step step, uint64_t now_us);

static const char *name_of(enum step step)
{
    return step == UP ? "bytes up" : step == DOWN ? "bytes down" : "age";
}

static void finish(struct tt_tunnel_check *k)
{
    drop_stream(k);
    say_findings(k);
    over(k);
}

/* A connection is old enough, or it was tried long enough. */
static bool is_old_enough(const struct tt_tunnel_check *k, uint64_t now_us)
{
    struct tt_session_stats s;
    tt_session_get_stats(k->session, &s);
    return s.longest_age_us >= options_of(k)->check_us ||
           now_us - k->step_us >= options_of(k)->check_us;
}

static void next_step(struct tt_tunnel_check *k, uint64_t now_us)
{
    if (k->step != AGE) {
        begin_step(k, k->step + 1, now_us);
    } else {
        tt_timer_set(k->context->worker, &k->timer, tt_deadline_after(now_us, BEAT_US));
    }
}

static void too_late(struct tt_tunnel_check *k, uint64_t now_us)
{
    k->failed = true;
    say(name_of(k->step), "STUCK: %u bytes up and %u down were left after %.0f s", k->up_left,
        k->down_left, seconds(options_of(k)->check_us));
    drop_stream(k);
    next_step(k, now_us);
}

/* --- a probe --- */

/* The far end has refused it, or the session is over (which is told elsewhere). */
static void refused(struct tt_tunnel_check *k, int err)
{
    k->failed = true;
    if (err == TT_E_RESET && tt_stream_reset_code(k->stream) == TT_RESET_NOT_ALLOWED)
        say("probe", "NOT ANSWERED: the server is of an older version; limits are not measured");
    else if (err != TT_E_CLOSED && err != TT_E_LOST && err != TT_E_TIMEOUT)
        say("probe", "FAILED: %s",
            err == TT_E_RESET ? "the server is at a limit" : tt_strerror(err));
    drop_stream(k);
    over(k);
}

static void came_back(struct tt_tunnel_check *k)
{
    tt_stream_close(k->stream);
    k->stream = NULL;
    if (k->step == UP)
        say_clock(k);
    next_step(k, tt_worker_now_us());
}

static int take(struct tt_tunnel_check *k, const uint8_t *bytes, size_t n)
{
    for (; n > 0 && k->have < sizeof k->answer; n--)
        k->answer[k->have++] = *bytes++;
    if (k->answered_ms == 0)
        k->answered_ms = tt_probe_wall_ms();
    if (n > k->down_left || (k->have > 0 && k->answer[0] != TT_TARGET_CONNECTED))
        return TT_E_PROTO;
    k->down_left -= (uint32_t)n;
    return TT_OK;
}

static void readable(void *ctx, struct tt_stream *st)
{
    struct tt_tunnel_check *k = ctx;
    uint8_t bytes[16384];
    int err = TT_OK;
    while (!err) {
        size_t n;
        err = tt_stream_try_read(st, bytes, sizeof bytes, &n);
        if (!err)
            err = take(k, bytes, n);
    }
    if (err == TT_E_END && k->have == sizeof k->answer && k->up_left + k->down_left == 0)
        came_back(k);
    else if (err != TT_E_AGAIN)
        refused(k, err == TT_E_END ? TT_E_PROTO : err);
}

static void writable(void *ctx, struct tt_stream *st)
{
    struct tt_tunnel_check *k = ctx;
    int err = TT_OK;
    while (!err && k->up_left > 0) {
        size_t taken;
        const size_t len = k->up_left < sizeof filler ? k->up_left : sizeof filler;
        err = tt_stream_try_write(st, filler, len, &taken);
        k->up_left -= err ? 0 : (uint32_t)taken;
    }
}

static const struct tt_stream_callbacks probe_callbacks = {.readable = readable,
                                                           .writable = writable};

static void probe(struct tt_tunnel_check *k, uint32_t up, uint32_t down)
{
    const struct tt_target target = {.kind = TT_TARGET_PROBE, .up = up, .down = down};
    const int err = tt_open_stream(k->session, &target, &k->stream);
    if (err) {
        k->stream = NULL;
        k->failed = true;
        say("probe", "FAILED: %s", tt_strerror(err));
        over(k);
        return;
    }
    k->up_left = up;
    k->down_left = down;
    k->have = 0;
    k->answered_ms = 0;
    tt_stream_set_callbacks(k->stream, &probe_callbacks, k);
    writable(k, k->stream);
}

static void begin_step(struct tt_tunnel_check *k, enum step step, uint64_t now_us)
{
    const uint32_t bytes = (uint32_t)options_of(k)->check_bytes;
    k->step = step;
    k->step_us = now_us;
    tt_timer_set(k->context->worker, &k->timer, tt_deadline_after(now_us, options_of(k)->check_us));
    probe(k, step == UP ? bytes : BEAT, step == DOWN ? bytes : BEAT);
}

static void time_is_up(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_tunnel_check *k = TT_CONTAINER_OF(timer, struct tt_tunnel_check, timer);
    if (k->step == CONNECTING) {
        say_no_answer(k);
    } else if (k->step != AGE) {
        too_late(k, now_us);
    } else if (k->stream) {
        k->failed = true;
        say("age", "STUCK: a small probe has not come back in time");
        finish(k);
    } else if (is_old_enough(k, now_us)) {
        finish(k);
    } else {
        tt_timer_set(k->context->worker, &k->timer,
                     tt_deadline_after(now_us, options_of(k)->check_us));
        probe(k, BEAT, BEAT);
    }
}

/* --- the session --- */

static void connected(void *ctx, struct tt_session *session)
{
    struct tt_tunnel_check *k = ctx;
    const struct tt_tunnel_options *o = options_of(k);
    (void)session;
    if (!o->insecure)
        say("server key", "right");
    if (o->key)
        say("client key", "accepted");
    begin_step(k, UP, tt_worker_now_us());
}

static void ended(void *ctx, struct tt_session *session, int err)
{
    struct tt_tunnel_check *k = ctx;
    (void)err;
    k->failed = true;
    say("session", "ENDED: %s", tt_session_error_text(session));
    drop_stream(k);
    over(k);
}

static const struct tt_session_callbacks session_callbacks = {.connected = connected,
                                                              .ended = ended};

/* In the middle of the library's work: notes alone. */
static void heard_report(void *ctx, const struct tt_report *r)
{
    struct tt_tunnel_check *k = ctx;
    if (r->kind == TT_REPORT_CONNECTED && !k->reachable) {
        k->reachable = true;
        say("reachable", "yes: %s, after %.1f ms", r->address,
            (double)(tt_worker_now_us() - k->dialling_us) / 1000);
    } else if (r->kind == TT_REPORT_DIAL_FAILED && !k->reachable && !k->failed) {
        k->failed = true;
        say("reachable", "NO: %s: %s", r->address, r->detail);
        over(k);
    }
    if (r->kind != TT_REPORT_DIAL_FAILED)
        tt_context_report(k->context, r);
}

static int begin(struct tt_tunnel_check *k, struct tt_error_text *why)
{
    struct tt_options library = tt_context_library(k->context);
    const uint64_t now_us = tt_worker_now_us();
    int err = tt_timer_init(k->context->worker, &k->timer, time_is_up);
    if (err)
        return err;
    library.report = heard_report;
    library.report_ctx = k;
    k->dialling_us = now_us;
    tt_timer_set(k->context->worker, &k->timer, tt_deadline_after(now_us, ANSWER_US));
    err =
        tt_session_begin(options_of(k)->urls[0], &library, &session_callbacks, k, &k->session, why);
    if (err)
        tt_timer_dispose(k->context->worker, &k->timer);
    return err;
}

struct tt_tunnel_check *tt_tunnel_check_begin(struct tt_context *c)
{
    struct tt_error_text why = {""};
    struct tt_tunnel_check *k = tt_alloc_malloc.get(NULL, sizeof *k);
    int err = TT_E_NOMEM;
    if (k) {
        *k = (struct tt_tunnel_check){.context = c};
        const bool entered = tt_worker_enter(c->worker);
        err = begin(k, &why);
        tt_worker_leave(c->worker, entered);
    }
    if (!err)
        return k;
    tt_log(&c->log, TT_LOG_ERROR, "failed", "%s", why.text[0] ? why.text : tt_strerror(err));
    if (k)
        tt_alloc_malloc.put(NULL, k);
    return NULL;
}

void tt_tunnel_check_end(struct tt_tunnel_check *k)
{
    const bool entered = tt_worker_enter(k->context->worker);
    drop_stream(k);
    tt_timer_dispose(k->context->worker, &k->timer);
    tt_worker_leave(k->context->worker, entered);
    (void)tt_session_close(k->session);
    tt_alloc_malloc.put(NULL, k);
}
