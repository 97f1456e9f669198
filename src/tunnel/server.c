#include "tunnel/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <turbotunnel/session.h>

#include "net/session.h"
#include "tunnel/by_key.h"
#include "tunnel/describe.h"
#include "tunnel/metrics.h"
#include "tunnel/open_stream.h"
#include "tunnel/opening.h"
#include "tunnel/probe.h"
#include "tunnel/remote.h"
#include "tunnel/reset_text.h"
#include "tunnel/splice.h"
#include "tunnel/tunnel.h"

struct tt_tunnel_server {
    struct tt_context *context;
    struct tt_metrics metrics;
    struct tt_by_key by_key;
    struct tt_listener *listeners[TT_MOST_URLS];
    size_t listener_count;
    struct tt_list peers;
    struct tt_address forward;
    bool draining;
    struct tt_timer drain_timer;
    struct tt_chore drain_chore; /* to see whether all streams have ended */
};

/* A client's session. */
struct peer {
    struct tt_list_node node;
    struct tt_by_key_node by_key;
    struct tt_tunnel_server *server;
    struct tt_session *session;
    struct tt_list openings;
    struct tt_list splices;
    struct tt_list remotes; /* listeners of -R */
    struct tt_list probes;
    struct tt_opening_host host;
};

/* --- streams --- */

static struct peer *of_host(struct tt_opening_host *host)
{
    return TT_CONTAINER_OF(host, struct peer, host);
}

static void look_whether_drained(struct tt_tunnel_server *s)
{
    if (s->draining)
        tt_worker_mark_for_loop(s->context->worker, &s->drain_chore);
}

static void remote_ended(void *ctx, struct tt_splice_end *end)
{
    const struct peer *p = ctx;
    (void)end;
    look_whether_drained(p->server);
}

/* -R */
static uint32_t listen_for(struct peer *p, struct tt_stream *stream, const struct tt_target *target)
{
    struct tt_log *log = &p->server->context->log;
    struct tt_ip ip;
    if (!tt_ip_of_text(&ip, target->host[0] ? target->host : "0.0.0.0") ||
        !tt_rules_allow_bind(&p->server->context->lists->allow_remote, &ip, target->port))
        return TT_RESET_NOT_ALLOWED;
    const uint32_t code = tt_remote_begin(&(struct tt_remote_host){.worker = p->host.worker,
                                                                   .session = p->session,
                                                                   .remotes = &p->remotes,
                                                                   .splices = &p->splices,
                                                                   .splice_ended = remote_ended,
                                                                   .ctx = p},
                                          stream, target);
    tt_log(log, TT_LOG_NOTICE, code ? "remote_refused" : "remote",
           "session %s: listen on %s port %u%s%s", tt_session_id(p->session),
           target->host[0] ? target->host : "any address", target->port, code ? ": " : "",
           code ? tt_reset_text(code) : "");
    return TT_OPENING_TAKEN;
}

static uint32_t probe(struct peer *p, struct tt_stream *stream, const struct tt_target *target)
{
    const uint32_t code = tt_probe_begin(&p->probes, stream, target);
    p->server->context->tally.probes++;
    tt_log(&p->server->context->log, TT_LOG_DETAIL, code ? "stream_refused" : "probe",
           "session %s: probe of %u bytes up, %u down%s%s", tt_session_id(p->session), target->up,
           target->down, code ? ": " : "", code ? tt_reset_text(code) : "");
    return TT_OPENING_TAKEN;
}

static uint32_t decide(struct tt_opening_host *host, struct tt_stream *stream,
                       const struct tt_target *target, struct tt_address *address)
{
    struct peer *p = of_host(host);
    const struct tt_tunnel_server *s = p->server;
    if (target->kind == TT_TARGET_LISTEN)
        return listen_for(p, stream, target);
    if (target->kind == TT_TARGET_PROBE)
        return probe(p, stream, target);
    if (target->kind == TT_TARGET_FIXED && s->context->options->forward) {
        *address = s->forward;
        return TT_RESET_NONE;
    }
    if (target->kind != TT_TARGET_HOST_PORT ||
        !tt_rules_may(&s->context->lists->allow, target->host, target->port))
        return TT_RESET_NOT_ALLOWED;
    tt_target_address(address, target);
    return TT_RESET_NONE;
}

/* F-10: after the look-up, for each address. */
static bool allows(struct tt_opening_host *host, const struct tt_target *target,
                   const struct sockaddr *address)
{
    const struct tt_tunnel_server *s = of_host(host)->server;
    struct tt_ip ip;
    return target->kind == TT_TARGET_FIXED ||
           (tt_ip_of_sockaddr(&ip, address) &&
            tt_rules_allow(&s->context->lists->allow, target->host, target->port, &ip));
}

static void report(struct tt_opening_host *host, const struct tt_target *target, uint32_t code,
                   const char *why)
{
    struct peer *p = of_host(host);
    char name[TT_TARGET_HOST + 16] = "the fixed target";
    tt_tally_stream(&p->server->context->tally, code);
    if (target && target->kind != TT_TARGET_FIXED)
        (void)snprintf(name, sizeof name, "%s port %u", target->host, target->port);
    if (code)
        tt_log(&p->server->context->log, TT_LOG_DETAIL, "stream_refused",
               "session %s: stream to %s: %s (%s)", tt_session_id(p->session), name,
               tt_reset_text(code), why);
    else
        tt_log(&p->server->context->log, TT_LOG_DETAIL, "stream", "session %s: stream to %s",
               tt_session_id(p->session), name);
}

static void splice_ended(struct tt_opening_host *host)
{
    look_whether_drained(of_host(host)->server);
}

/* --- sessions --- */

static void abort_streams(struct peer *p, uint32_t code)
{
    tt_remote_abort_all(&p->remotes, code);
    tt_probe_abort_all(&p->probes, code);
    tt_opening_abort_all(&p->host, code);
    tt_splice_abort_all(&p->splices, code);
}

static void close_peer(struct peer *p)
{
    abort_streams(p, TT_RESET_BY_PROGRAM);
    tt_tally_session_over(&p->server->context->tally, p->session);
    (void)tt_session_close(p->session);
    tt_list_remove(&p->node);
    tt_by_key_remove(&p->server->by_key, &p->by_key);
    tt_alloc_malloc.put(NULL, p);
}

static void stream_opened(void *ctx, struct tt_session *session, struct tt_stream *stream)
{
    struct peer *p = ctx;
    struct tt_context *c = p->server->context;
    if (p->server->draining) {
        tt_stream_reset(stream, TT_RESET_REFUSED);
    } else if (session->endpoint->smux.streams.count > c->options->max_streams) {
        tt_tally_stream(&c->tally, TT_RESET_LIMIT);
        c->tally.max_streams_met++;
        tt_stream_reset(stream, TT_RESET_LIMIT);
    } else {
        tt_opening_begin(&p->host, stream);
    }
}

static void session_ended(void *ctx, struct tt_session *session, int err)
{
    struct peer *p = ctx;
    struct tt_tunnel_server *s = p->server;
    s->context->tally.sessions_ended[tt_session_fate_of(err)]++;
    tt_log(&s->context->log, TT_LOG_NOTICE, "session_ended", "session %s ended: %s",
           tt_session_id(session), tt_strerror(err));
    close_peer(p);
    look_whether_drained(s);
}

static const struct tt_session_callbacks session_callbacks = {.stream_opened = stream_opened,
                                                              .ended = session_ended};

/* Of this client's, the oldest that has no carrier, or NULL. */
static struct peer *without_carrier(const struct tt_list *sessions)
{
    TT_LIST_FOR_EACH(node, sessions)
    {
        struct tt_by_key_node *by_key = TT_CONTAINER_OF(node, struct tt_by_key_node, node);
        struct peer *p = TT_CONTAINER_OF(by_key, struct peer, by_key);
        if (tt_list_empty(&p->session->endpoint->carriers))
            return p;
    }
    return NULL;
}

/* --max-sessions-per-client. false: the session is one too many. */
static bool has_place(struct tt_tunnel_server *s, struct peer *p)
{
    struct tt_tally *tally = &s->context->tally;
    uint8_t key[TT_KEY_BYTES];
    uint32_t count;
    if (tt_session_client_key(p->session, key)) /* it has none */
        return true;
    const struct tt_list *sessions = tt_by_key_sessions(&s->by_key, key, &count);
    if (count >= s->context->options->max_sessions_per_client) {
        struct peer *left = without_carrier(sessions);
        if (!left)
            return false;
        tally->sessions_of_client_ended++;
        tt_log(&s->context->log, TT_LOG_NOTICE, "session_ended",
               "session %s ended: its client has begun too many others",
               tt_session_id(left->session));
        close_peer(left);
    }
    return tt_by_key_add(&s->by_key, key, &p->by_key) == TT_OK;
}

static void session_begun(void *ctx, struct tt_session *session)
{
    struct tt_tunnel_server *s = ctx;
    struct peer *p = tt_alloc_malloc.get(NULL, sizeof *p);
    if (!p || s->draining) {
        if (p)
            tt_alloc_malloc.put(NULL, p);
        (void)tt_session_close(session);
        return;
    }
    *p = (struct peer){.server = s, .session = session};
    tt_list_init(&p->openings);
    tt_list_init(&p->splices);
    tt_list_init(&p->remotes);
    tt_list_init(&p->probes);
    p->host = (struct tt_opening_host){.worker = s->context->worker,
                                       .openings = &p->openings,
                                       .splices = &p->splices,
                                       .timeout_us = s->context->options->connect_timeout_us,
                                       .decide = decide,
                                       .allows = allows,
                                       .report = report,
                                       .spliced_ended = splice_ended};
    if (!has_place(s, p)) {
        s->context->tally.sessions_of_client_refused++;
        tt_log(&s->context->log, TT_LOG_NOTICE, "session_refused",
               "session %s refused: its client has %u (--max-sessions-per-client)",
               tt_session_id(session), s->context->options->max_sessions_per_client);
        (void)tt_session_close(session);
        tt_alloc_malloc.put(NULL, p);
        return;
    }
    s->context->tally.sessions_begun++;
    tt_list_push_back(&s->peers, &p->node);
    tt_log(&s->context->log, TT_LOG_NOTICE, "session_begun", "session %s begun",
           tt_session_id(session));
    tt_session_set_callbacks(session, &session_callbacks, p);
}

/* --- the end --- */

static void close_all(struct tt_tunnel_server *s)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(&s->peers)) != NULL)
        close_peer(TT_CONTAINER_OF(node, struct peer, node));
    tt_timer_set(s->context->worker, &s->drain_timer, TT_NEVER);
    tt_metrics_end(&s->metrics); /* here: the loop's thread may close what it watches */
    tt_context_over(s->context, TT_EXIT_DONE);
}

static bool has_streams(const struct tt_tunnel_server *s)
{
    TT_LIST_FOR_EACH(node, &s->peers)
    {
        const struct peer *p = TT_CONTAINER_OF(node, struct peer, node);
        if (!tt_list_empty(&p->openings) || !tt_list_empty(&p->splices))
            return true;
    }
    return false;
}

static void close_if_drained(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_tunnel_server *s = TT_CONTAINER_OF(chore, struct tt_tunnel_server, drain_chore);
    (void)now_us;
    if (!has_streams(s))
        close_all(s);
}

static void drained_long_enough(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_tunnel_server *s = TT_CONTAINER_OF(timer, struct tt_tunnel_server, drain_timer);
    (void)now_us;
    tt_log(&s->context->log, TT_LOG_NOTICE, "drained", "ending the streams that still went on");
    close_all(s);
}

void tt_tunnel_server_drain(struct tt_tunnel_server *s)
{
    if (s->draining)
        return;
    s->draining = true;
    for (size_t i = 0; i < s->listener_count; i++)
        tt_listener_stop(s->listeners[i]);
    TT_LIST_FOR_EACH(node, &s->peers)
    {
        tt_remote_abort_all(&TT_CONTAINER_OF(node, struct peer, node)->remotes, TT_RESET_REFUSED);
    }
    tt_log(&s->context->log, TT_LOG_NOTICE, "draining",
           "no new connections; streams may go on for %.0f s (a second signal ends them)",
           (double)s->context->options->drain_us / TT_SECOND);
    tt_timer_set(s->context->worker, &s->drain_timer,
                 tt_deadline_after(tt_worker_now_us(), s->context->options->drain_us));
    look_whether_drained(s);
}

void tt_tunnel_server_end(struct tt_tunnel_server *s)
{
    for (size_t i = 0; i < s->listener_count; i++)
        tt_listener_close(s->listeners[i]);
    const bool entered = tt_worker_enter(s->context->worker);
    tt_metrics_end(&s->metrics);
    tt_by_key_dispose(&s->by_key);
    tt_timer_dispose(s->context->worker, &s->drain_timer);
    tt_worker_leave(s->context->worker, entered);
    tt_alloc_malloc.put(NULL, s);
}

/* --- for --metrics --- */

static uint64_t length(const struct tt_list *list)
{
    uint64_t n = 0;
    TT_LIST_FOR_EACH(node, list)
    {
        n++;
    }
    return n;
}

static void look(void *owner, struct tt_metrics_now *now)
{
    struct tt_tunnel_server *s = owner;
    now->is_server = true;
    for (size_t i = 0; i < s->listener_count; i++) {
        struct tt_listener_stats t;
        tt_listener_get_stats(s->listeners[i], &t);
        tt_metrics_add_listener(&now->listener, &t);
    }
    TT_LIST_FOR_EACH(node, &s->peers)
    {
        const struct peer *p = TT_CONTAINER_OF(node, struct peer, node);
        now->sessions++;
        now->streams += length(&p->splices);
        tt_session_totals_add(&now->live, p->session);
    }
}

/* --- the beginning --- */

static int listen_at(struct tt_tunnel_server *s, const char *address)
{
    const struct tt_options library = tt_context_library(s->context);
    struct tt_error_text why;
    struct tt_listener *l;
    const int err = tt_listen(address, &library, &l, &why);
    if (err) {
        tt_log(&s->context->log, TT_LOG_ERROR, "listen_failed", "%s", why.text);
        return err;
    }
    s->listeners[s->listener_count++] = l;
    tt_listener_set_callback(l, session_begun, s);
    const bool is_local = strncmp(tt_listener_address(l), "unix:", 5) == 0;
    tt_log(&s->context->log, TT_LOG_NOTICE, "listening", "listening on %s%s",
           is_local ? "" : "tcp://", tt_listener_address(l));
    return TT_OK;
}

struct tt_tunnel_server *tt_tunnel_server_begin(struct tt_context *c)
{
    struct tt_tunnel_server *s = tt_alloc_malloc.get(NULL, sizeof *s);
    int err = s ? TT_OK : TT_E_NOMEM;
    if (!err) {
        *s = (struct tt_tunnel_server){.context = c, .drain_chore = {.run = close_if_drained}};
        tt_list_init(&s->peers);
        tt_by_key_init(&s->by_key, c->worker->hash_key);
        s->metrics = (struct tt_metrics){.context = c, .look = look, .owner = s};
        if (c->options->forward)
            (void)tt_address_parse(&s->forward, c->options->forward, NULL);
        err = tt_timer_init(c->worker, &s->drain_timer, drained_long_enough);
    }
    if (err) {
        tt_log(&c->log, TT_LOG_ERROR, "failed", "begin: %s", tt_strerror(err));
        if (s)
            tt_alloc_malloc.put(NULL, s);
        return NULL;
    }
    for (size_t i = 0; i < c->options->url_count && !err; i++)
        err = listen_at(s, c->options->urls[i]);
    if (!err) {
        const bool entered = tt_worker_enter(c->worker);
        err = tt_metrics_begin(&s->metrics);
        tt_worker_leave(c->worker, entered);
    }
    if (err) {
        tt_tunnel_server_end(s);
        return NULL;
    }
    return s;
}

void tt_tunnel_server_review_clients(struct tt_tunnel_server *s)
{
    for (size_t i = 0; i < s->listener_count; i++)
        tt_listener_review_clients(s->listeners[i]);
}

/* --- in words --- */

static void describe_listener(struct tt_tunnel_server *s, struct tt_listener *l)
{
    struct tt_listener_stats t;
    tt_listener_get_stats(l, &t);
    tt_log(&s->context->log, TT_LOG_ANSWER, "listener",
           "%s: %" PRIu64 " carriers now, %" PRIu64 " ever, %" PRIu64 " refused; %" PRIu64
           " sessions now, %" PRIu64 " ever, %" PRIu64 " refused; %" PRIu64 " bytes held",
           tt_listener_address(l), t.connections_now, t.connections, t.connections_refused,
           t.sessions_now, t.sessions_begun, t.sessions_refused, t.buffer_bytes);
}

void tt_tunnel_server_describe(struct tt_tunnel_server *s)
{
    char text[TT_DESCRIPTION];
    for (size_t i = 0; i < s->listener_count; i++)
        describe_listener(s, s->listeners[i]);
    TT_LIST_FOR_EACH(node, &s->peers)
    {
        struct peer *p = TT_CONTAINER_OF(node, struct peer, node);
        tt_describe_session(text, p->session, &p->splices);
        tt_log(&s->context->log, TT_LOG_ANSWER, "session", "%s", text);
    }
}
