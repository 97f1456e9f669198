#include "tunnel/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BEAT_US TT_SECOND /* between two looks at how late a timer is */

/* Text that grows in a buffer; what does not fit makes it useless, and the page empty. */
struct text {
    char *at;
    size_t len, cap;
    bool too_long;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(t->at + t->len, t->cap - t->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= t->cap - t->len)
        t->too_long = true;
    else
        t->len += (size_t)n;
}

static void head(struct text *t, const char *name, const char *type, const char *help)
{
    put(t, "# HELP turbotunnel_%s %s\n# TYPE turbotunnel_%s %s\n", name, help, name, type);
}

static void gauge(struct text *t, const char *name, uint64_t value, const char *help)
{
    head(t, name, "gauge", help);
    put(t, "turbotunnel_%s %" PRIu64 "\n", name, value);
}

static void counter(struct text *t, const char *name, uint64_t value, const char *help)
{
    head(t, name, "counter", help);
    put(t, "turbotunnel_%s %" PRIu64 "\n", name, value);
}

/* One of a counter's values. */
struct labelled {
    const char *value;
    uint64_t count;
};

static void labelled(struct text *t, const char *name, const char *label, const char *help,
                     const struct labelled *rows, size_t count)
{
    head(t, name, "counter", help);
    for (size_t i = 0; i < count; i++)
        put(t, "turbotunnel_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, rows[i].value,
            rows[i].count);
}

#define LABELLED(t, name, label, help, ...)                                                        \
    do {                                                                                           \
        const struct labelled rows[] = {__VA_ARGS__};                                              \
        labelled(t, name, label, help, rows, sizeof rows / sizeof rows[0]);                        \
    } while (0)

static void histogram(struct text *t, const char *name, const struct tt_histogram *h,
                      const char *help)
{
    uint64_t count = 0;
    head(t, name, "histogram", help);
    for (unsigned i = 0; i < TT_HISTOGRAM_BOUNDS; i++) {
        count += h->counts[i];
        put(t, "turbotunnel_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
            (double)tt_histogram_bounds_us[i] / 1e6, count);
    }
    count += h->counts[TT_HISTOGRAM_BOUNDS];
    put(t, "turbotunnel_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    put(t, "turbotunnel_%s_sum %.6f\nturbotunnel_%s_count %" PRIu64 "\n", name,
        (double)h->sum_us / 1e6, name, count);
}

/* --- parts of the page --- */

static uint64_t resident_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    const bool good =
        file && fscanf(file, "%llu %llu", &size, &resident) == 2; /* NOLINT(cert-err34-c) */
    if (file)
        (void)fclose(file);
    return good ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void put_process(struct text *t, const struct tt_metrics *m)
{
    head(t, "build_info", "gauge", "The program's version.");
    put(t, "turbotunnel_build_info{version=\"" TT_VERSION "\"} 1\n");
    gauge(t, "buffer_bytes", m->context->worker->slabs.live_bytes, "Data held for all sessions.");
    gauge(t, "resident_memory_bytes", resident_bytes(), "Memory of the process.");
    counter(t, "buffer_refusals_total", m->context->worker->slabs.refused,
            "Pieces of memory for data that were refused, by --max-buffer or the system.");
    histogram(t, "loop_lateness_seconds", &m->context->tally.lateness,
              "How late a timer of one second was.");
    counter(t, "metrics_connections_refused_total", m->http.turned_away,
            "Connections to this page beyond those that it serves at once.");
}

static void put_sessions(struct text *t, const struct tt_tally *c, const struct tt_metrics_now *now)
{
    gauge(t, "sessions", now->sessions, "Sessions now.");
    gauge(t, "streams", now->streams, "Forwarded connections now.");
    counter(t, "sessions_begun_total", c->sessions_begun, "Sessions begun.");
    LABELLED(t, "sessions_ended_total", "reason", "Sessions that ended.",
             {"closed", c->sessions_ended[TT_FATE_CLOSED]},
             {"timeout", c->sessions_ended[TT_FATE_TIMEOUT]},
             {"lost", c->sessions_ended[TT_FATE_LOST]},
             {"protocol", c->sessions_ended[TT_FATE_PROTOCOL]},
             {"other", c->sessions_ended[TT_FATE_OTHER]});
    LABELLED(t, "streams_total", "result", "Streams that were to be led somewhere.",
             {"connected", c->streams[0]}, {"refused", c->streams[1]},
             {"unreachable", c->streams[2]}, {"no_such_name", c->streams[3]},
             {"not_allowed", c->streams[4]}, {"ended", c->streams[5]}, {"limit", c->streams[6]},
             {"other", c->streams[7]});
    counter(t, "probes_total", c->probes, "Streams of turbotunnel check.");
    histogram(t, "session_longest_gap_seconds", &c->longest_gap,
              "Of each session that is over, the longest time between two deliveries.");
}

static void put_traffic(struct text *t, const struct tt_session_totals *a,
                        const struct tt_session_totals *b)
{
    LABELLED(t, "bytes_total", "direction", "Bytes of streams.",
             {"sent", a->bytes_sent + b->bytes_sent},
             {"received", a->bytes_received + b->bytes_received});
    LABELLED(t, "packets_total", "direction", "Packets.",
             {"sent", a->packets_sent + b->packets_sent},
             {"received", a->packets_received + b->packets_received});
    counter(t, "segments_sent_total", a->segments_sent + b->segments_sent,
            "Segments of data, repeated ones included.");
    LABELLED(t, "retransmissions_total", "cause", "Segments sent again.",
             {"carrier_died", a->retransmits_carrier + b->retransmits_carrier},
             {"fast", a->retransmits_fast + b->retransmits_fast},
             {"timeout", a->retransmits_timeout + b->retransmits_timeout});
}

static void put_carriers(struct text *t, const struct tt_tally *c)
{
    LABELLED(t, "carriers_ended_total", "fate", "Connections between client and server that ended.",
             {"by_peer", c->carriers_ended_by_peer}, {"error", c->carriers_broken});
    counter(t, "carriers_suspect_total", c->carriers_suspect,
            "Connections that gave no answer in time.");
}

static void put_client(struct text *t, const struct tt_tally *c, const struct tt_metrics_now *now)
{
    const struct tt_session_totals *a = &c->ended, *b = &now->live;
    const uint64_t connections = a->connections + b->connections;
    const uint64_t sessions = c->sessions_begun;
    gauge(t, "carriers", now->carriers, "Connections to the server now.");
    counter(t, "carriers_opened_total", connections, "Connections to the server that stood.");
    counter(t, "redials_total", connections > sessions ? connections - sessions : 0,
            "Connections beyond the first of each session.");
    counter(t, "dials_failed_total", a->dials_failed + b->dials_failed, "Dials that failed.");
    counter(t, "carriers_died_total", a->connections_died + b->connections_died,
            "Connections that ended or fell silent though nobody here had meant it.");
    counter(t, "limits_learned_total", c->limits_learned,
            "Limits of the network on connections that were learned.");
    histogram(t, "redial_seconds", &c->redial, "From a connection's end to the next one.");
    counter(t, "handshakes_total", a->handshakes + b->handshakes, "Handshakes begun.");
    counter(t, "handshakes_unanswered_total", a->handshakes_unanswered + b->handshakes_unanswered,
            "Handshakes without an answer.");
    counter(t, "server_full_total", a->server_full + b->server_full,
            "Times that the server said it is at a limit.");
}

static void put_listeners(struct text *t, const struct tt_tally *c,
                          const struct tt_listener_stats *s)
{
    gauge(t, "carriers", s->connections_now, "Connections of clients now.");
    gauge(t, "carriers_unproven", s->connections_unproven_now,
          "Of them, those that have not shown yet that they may be here.");
    counter(t, "carriers_opened_total", s->connections, "Connections of clients.");
    LABELLED(t, "carriers_refused_total", "reason", "Connections refused.",
             {"max_connections", s->connections_refused},
             {"max_connections_per_address", s->connections_crowded},
             {"system", s->accept_failures});
    LABELLED(t, "carriers_given_up_total", "reason", "Connections ended by us.",
             {"no_proof_in_time", s->handshakes_expired}, {"idle", s->idle_ended});
    counter(t, "carriers_muted_total", s->connections_muted,
            "Connections on which something was wrong, and nothing is answered.");
    LABELLED(t, "handshakes_total", "result", "Handshakes that were tried.",
             {"session", s->handshakes_opened}, {"question", s->handshakes_asked},
             {"not_opened", s->refused_not_opened}, {"time", s->refused_time},
             {"replayed", s->refused_replayed}, {"not_welcome", s->refused_not_welcome},
             {"full", s->refused_full});
    counter(t, "handshakes_expired_total", s->half_open_expired,
            "Handshakes that opened, and of which nothing came.");
    LABELLED(t, "limit_reached_total", "limit", "Times that a limit refused somebody.",
             {"max_connections", s->connections_refused},
             {"max_connections_per_address", s->connections_crowded},
             {"max_half_open", s->refused_half_open},
             {"max_sessions", s->refused_full - s->refused_half_open + s->sessions_refused},
             {"max_sessions_per_client", c->sessions_of_client_refused},
             {"max_streams", c->max_streams_met}, {"new_sessions_per_second", s->refused_rate});
    counter(t, "sessions_of_client_ended_total", c->sessions_of_client_ended,
            "Sessions without a connection that went for a newer one of the same client.");
    counter(t, "sessions_turned_out_total", s->sessions_turned_out,
            "Sessions ended since their client is not listed any more.");
}

static void put_drops(struct text *t, const struct tt_tally *c, const struct tt_metrics_now *now)
{
    LABELLED(t, "packets_dropped_total", "reason", "Packets that were of no use.",
             {"stray", now->listener.packets_stray},
             {"not_opened", c->ended.packets_not_opened + now->live.packets_not_opened},
             {"duplicate", c->ended.duplicates_received + now->live.duplicates_received});
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written to, through t */
static size_t page(struct tt_http *http, char *out, size_t cap)
{
    struct tt_metrics *m = TT_CONTAINER_OF(http, struct tt_metrics, http);
    const struct tt_tally *c = &m->context->tally;
    struct text t = {.at = out, .cap = cap};
    struct tt_metrics_now now = {.sessions = 0};
    m->look(m->owner, &now);
    put_process(&t, m);
    put_sessions(&t, c, &now);
    put_traffic(&t, &c->ended, &now.live);
    put_carriers(&t, c);
    if (now.is_server)
        put_listeners(&t, c, &now.listener);
    else
        put_client(&t, c, &now);
    put_drops(&t, c, &now);
    return t.too_long ? 0 : t.len;
}

/* --- lateness --- */

static void set_timer(struct tt_metrics *m, uint64_t now_us)
{
    m->due_us = tt_deadline_after(now_us, BEAT_US);
    tt_timer_set(m->context->worker, &m->timer, m->due_us);
}

static void beat(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_metrics *m = TT_CONTAINER_OF(timer, struct tt_metrics, timer);
    const uint64_t really_us = tt_worker_now_us(); /* the turn may have begun long ago */
    tt_histogram_observe(&m->context->tally.lateness, really_us - m->due_us);
    set_timer(m, now_us > really_us ? now_us : really_us);
}

/* --- the whole --- */

int tt_metrics_begin(struct tt_metrics *m)
{
    struct tt_context *c = m->context;
    struct tt_error_text why = {""};
    if (!c->options->metrics[0])
        return TT_OK;
    m->http.worker = c->worker;
    m->http.path = "/metrics";
    m->http.type = "text/plain; version=0.0.4; charset=utf-8";
    m->http.page = page;
    int err = tt_timer_init(c->worker, &m->timer, beat);
    if (!err) {
        err = tt_http_begin(&m->http, c->options->metrics, &why);
        if (err)
            tt_timer_dispose(c->worker, &m->timer);
    }
    if (err) {
        tt_log(&c->log, TT_LOG_ERROR, "listen_failed", "metrics: %s",
               why.text[0] ? why.text : tt_strerror(err));
        return err;
    }
    m->begun = true;
    set_timer(m, tt_worker_now_us());
    tt_log(&c->log, TT_LOG_NOTICE, "metrics", "metrics at http://%s/metrics",
           m->http.door.address_text);
    return TT_OK;
}

void tt_metrics_end(struct tt_metrics *m)
{
    if (!m->begun)
        return;
    m->begun = false;
    tt_http_end(&m->http);
    tt_timer_dispose(m->context->worker, &m->timer);
}

void tt_metrics_add_listener(struct tt_listener_stats *sum, const struct tt_listener_stats *s)
{
    sum->connections += s->connections;
    sum->connections_now += s->connections_now;
    sum->connections_refused += s->connections_refused;
    sum->connections_crowded += s->connections_crowded;
    sum->accept_failures += s->accept_failures;
    sum->handshakes_expired += s->handshakes_expired;
    sum->idle_ended += s->idle_ended;
    sum->sessions_refused += s->sessions_refused;
    sum->packets_stray += s->packets_stray;
    sum->handshakes_opened += s->handshakes_opened;
    sum->handshakes_asked += s->handshakes_asked;
    sum->refused_not_opened += s->refused_not_opened;
    sum->refused_time += s->refused_time;
    sum->refused_replayed += s->refused_replayed;
    sum->refused_not_welcome += s->refused_not_welcome;
    sum->refused_rate += s->refused_rate;
    sum->refused_full += s->refused_full;
    sum->refused_half_open += s->refused_half_open;
    sum->half_open_expired += s->half_open_expired;
    sum->connections_muted += s->connections_muted;
    sum->connections_unproven_now += s->connections_unproven_now;
    sum->sessions_turned_out += s->sessions_turned_out;
}
