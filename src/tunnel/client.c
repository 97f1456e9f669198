#include "tunnel/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <turbotunnel/session.h>

#include "net/door.h"
#include "net/session.h"
#include "tunnel/describe.h"
#include "tunnel/metrics.h"
#include "tunnel/open_stream.h"
#include "tunnel/opening.h"
#include "tunnel/remote_ask.h"
#include "tunnel/reset_text.h"
#include "tunnel/socks5.h"
#include "tunnel/socks_guest.h"
#include "tunnel/splice.h"
#include "tunnel/standard_io.h"
#include "tunnel/tunnel.h"

/* Sessions that are lost at once, again and again, are not made faster than this. */
#define ANEW_US TT_SECOND

/* A server answers a connection at once: who does not by then will not. */
#define ANSWER_US (10 * TT_SECOND)

#define STATUS_US TT_SECOND /* between two status lines */

/* A listener. */
struct entry {
    struct tt_door door;
    struct tt_tunnel_client *client;
    const struct tt_forward *forward;
};

struct tt_tunnel_client {
    struct tt_context *context;
    struct tt_metrics metrics;
    struct tt_session *session; /* NULL: lost, and not made anew yet */
    uint64_t anew_us;           /* when one was made last in place of a lost one, or 0 */
    bool connected;             /* its first connection stood */
    struct tt_timer anew;       /* to make a new one */
    struct tt_timer answer;     /* when the server should have answered */
    struct tt_timer status;     /* to show the status line */
    struct tt_list splices;
    struct tt_list openings;     /* the server's streams, of -R */
    struct tt_opening_host host; /* for those */
    struct tt_remote_ask *asks;  /* owned; options->remote_count */
    struct tt_list socks_guests; /* that have not said yet where they lead */
    struct tt_stdio stdio;
    bool over;
    size_t entry_count;
    struct entry entries[]; /* options->forward_count */
};

/* --- streams --- */

/* The program waits for a reply of its protocol, into a socket that is still empty. */
static void reply_to_socks(int fd, const uint8_t reply[TT_SOCKS_REPLY])
{
    (void)!send(fd, reply, TT_SOCKS_REPLY, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void refuse_socks(int fd, uint32_t code)
{
    uint8_t reply[TT_SOCKS_REPLY];
    tt_socks_answer(reply, code);
    reply_to_socks(fd, reply);
}

static void splice_answered(void *ctx, int out_fd)
{
    const struct entry *e = ctx;
    uint8_t reply[TT_SOCKS_REPLY];
    tt_tally_stream(&e->client->context->tally, 0);
    if (!e->forward->socks)
        return;
    tt_socks_success(reply);
    reply_to_socks(out_fd, reply);
}

static void splice_ended(void *ctx, struct tt_splice_end *end)
{
    struct entry *e = ctx;
    if (end->answered)
        return;
    tt_tally_stream(&e->client->context->tally, end->code);
    tt_log(&e->client->context->log, TT_LOG_NOTICE, "refused", "%s: %s", e->door.address_text,
           tt_reset_text(end->code));
    if (e->forward->socks) {
        refuse_socks(end->fd, end->code);
        end->resets_socket = false;
    }
}

static void turn_away(const struct entry *e, int fd)
{
    if (!e->forward->socks) {
        tt_close_with_reset(fd);
        return;
    }
    refuse_socks(fd, TT_RESET_LIMIT);
    close(fd);
}

static void lead(struct entry *e, int fd, const struct tt_target *target)
{
    struct tt_tunnel_client *c = e->client;
    struct tt_stream *stream;
    const int err = tt_open_stream(c->session, target, &stream);
    if (err) {
        tt_log(&c->context->log, TT_LOG_NOTICE, "refused", "%s: open a stream: %s",
               e->door.address_text, tt_strerror(err));
        turn_away(e, fd);
        return;
    }
    (void)tt_splice_begin(&(struct tt_splice_config){.worker = c->context->worker,
                                                     .list = &c->splices,
                                                     .stream = stream,
                                                     .in_fd = fd,
                                                     .out_fd = fd,
                                                     .awaits_status = true,
                                                     .answered = splice_answered,
                                                     .ended = splice_ended,
                                                     .ctx = e});
}

static void socks_asked(void *ctx, int fd, const struct tt_target *target)
{
    lead(ctx, fd, target);
}

static void guest(struct tt_door *door, int fd)
{
    struct entry *e = TT_CONTAINER_OF(door, struct entry, door);
    struct tt_tunnel_client *c = e->client;
    if (e->forward->socks)
        tt_socks_guest_begin(&(struct tt_socks_host){.worker = c->context->worker,
                                                     .guests = &c->socks_guests,
                                                     .asked = socks_asked,
                                                     .ctx = e},
                             fd);
    else
        lead(e, fd, &e->forward->target);
}

/* --- standard input and output --- */

static void stdio_ended(void *ctx, struct tt_splice_end *end)
{
    struct tt_tunnel_client *c = ctx;
    if (!end->in_order)
        tt_log(&c->context->log, TT_LOG_ERROR, "stdio", "%s", tt_reset_text(end->code));
    tt_tunnel_client_stop(c, end->in_order ? TT_EXIT_DONE : TT_EXIT_FAILED);
}

static int begin_stdio(struct tt_tunnel_client *c)
{
    struct tt_stream *stream;
    int err = tt_open_stream(c->session, &c->context->options->stdio_target, &stream);
    if (err)
        return err;
    err = tt_stdio_open(&c->stdio);
    if (err) {
        tt_stream_reset(stream, TT_RESET_NONE);
        return err;
    }
    return tt_splice_begin(&(struct tt_splice_config){.worker = c->context->worker,
                                                      .list = &c->splices,
                                                      .stream = stream,
                                                      .in_fd = c->stdio.in_fd,
                                                      .out_fd = c->stdio.out_fd,
                                                      .awaits_status = true,
                                                      .ends_with_output = true,
                                                      .ended = stdio_ended,
                                                      .ctx = c});
}

/* --- streams that the server opens --- */

static uint32_t decide(struct tt_opening_host *host, struct tt_stream *stream,
                       const struct tt_target *target, struct tt_address *address)
{
    const struct tt_tunnel_client *c = TT_CONTAINER_OF(host, struct tt_tunnel_client, host);
    const struct tt_tunnel_options *o = c->context->options;
    (void)stream;
    if (target->kind != TT_TARGET_ARRIVED || target->number >= o->remote_count)
        return TT_RESET_NOT_ALLOWED;
    tt_target_address(address, &o->remotes[target->number].target);
    return TT_RESET_NONE;
}

static void stream_opened(void *ctx, struct tt_session *session, struct tt_stream *stream)
{
    struct tt_tunnel_client *c = ctx;
    (void)session;
    if (c->over) /* what would be joined to it now would find nothing left of it */
        tt_stream_reset(stream, TT_RESET_REFUSED);
    else
        tt_opening_begin(&c->host, stream);
}

static void ask_in(struct tt_tunnel_client *c, struct tt_session *session)
{
    for (size_t i = 0; i < c->context->options->remote_count; i++)
        tt_remote_ask_in(&c->asks[i], session);
}

/* --- the session --- */

static void begin_session(struct tt_tunnel_client *c, uint64_t now_us);

/* With the session go its streams, and what was connected to them. */
static void drop_session(struct tt_tunnel_client *c)
{
    struct tt_session *session = c->session;
    c->session = NULL;
    ask_in(c, NULL);
    tt_opening_abort_all(&c->host, TT_RESET_NONE);
    tt_splice_abort_all(&c->splices, TT_RESET_NONE);
    tt_timer_set(c->context->worker, &c->answer, TT_NEVER);
    if (session) {
        tt_tally_session_over(&c->context->tally, session);
        (void)tt_session_close(session);
    }
}

static void begin_anew(struct tt_tunnel_client *c, uint64_t now_us)
{
    c->anew_us = now_us;
    begin_session(c, now_us);
}

static void session_ended(void *ctx, struct tt_session *session, int err)
{
    struct tt_tunnel_client *c = ctx;
    const uint64_t now_us = tt_worker_now_us();
    const bool is_stdio = c->context->options->stdio;
    c->context->tally.sessions_ended[tt_session_fate_of(err)]++;
    tt_log(&c->context->log, is_stdio ? TT_LOG_ERROR : TT_LOG_NOTICE, "session_lost", "%s%s",
           tt_session_error_text(session), is_stdio ? "" : "; making a new one");
    drop_session(c);
    if (is_stdio)
        tt_tunnel_client_stop(c, TT_EXIT_FAILED);
    else if (c->anew_us == 0 || now_us - c->anew_us > ANEW_US)
        begin_anew(c, now_us);
    else
        tt_timer_set(c->context->worker, &c->anew, tt_deadline_after(now_us, ANEW_US));
}

static void session_connected(void *ctx, struct tt_session *session)
{
    struct tt_tunnel_client *c = ctx;
    c->connected = true;
    c->context->tally.sessions_begun++;
    tt_log(&c->context->log, TT_LOG_NOTICE, "connected", "session %s: connected to %s",
           tt_session_id(session), c->context->peer);
    if (c->context->options->insecure)
        tt_timer_set(c->context->worker, &c->answer,
                     tt_deadline_after(tt_worker_now_us(), ANSWER_US));
    else
        tt_timer_set(c->context->worker, &c->answer, TT_NEVER);
}

/* A sealed server says nothing at all to who has not its key. */
static bool has_answered(const struct tt_endpoint *e)
{
    return e->seal ? tt_sealed_is_confirmed(e) : tt_endpoint_peer_spoke(e);
}

static void no_answer(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_tunnel_client *c = TT_CONTAINER_OF(timer, struct tt_tunnel_client, answer);
    (void)now_us;
    if (c->session && !has_answered(c->session->endpoint))
        tt_log(&c->context->log, TT_LOG_ERROR, "no_answer",
               "%s: no answer: wrong --server-key, a clock off by hours, or not a turbotunnel "
               "server",
               c->context->options->urls[0]);
}

static const struct tt_session_callbacks session_callbacks = {
    .connected = session_connected, .stream_opened = stream_opened, .ended = session_ended};

static void begin_session(struct tt_tunnel_client *c, uint64_t now_us)
{
    struct tt_options library = tt_context_library(c->context);
    struct tt_error_text why;
    library.also = c->context->options->urls + 1;
    library.also_count = (uint32_t)c->context->options->url_count - 1;
    c->connected = false;
    const int err = tt_session_begin(c->context->options->urls[0], &library, &session_callbacks, c,
                                     &c->session, &why);
    if (!err) {
        ask_in(c, c->session);
        if (!c->context->options->insecure)
            tt_timer_set(c->context->worker, &c->answer, tt_deadline_after(now_us, ANSWER_US));
        return;
    }
    tt_log(&c->context->log, TT_LOG_ERROR, "failed", "%s", why.text);
    tt_timer_set(c->context->worker, &c->anew, tt_deadline_after(now_us, ANEW_US));
}

static void anew(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_tunnel_client *c = TT_CONTAINER_OF(timer, struct tt_tunnel_client, anew);
    if (!c->over)
        begin_anew(c, now_us);
}

/* --- in words --- */

static void describe(struct tt_tunnel_client *c, char text[TT_DESCRIPTION])
{
    if (c->session)
        tt_describe_session(text, c->session, &c->splices);
    else
        (void)snprintf(text, TT_DESCRIPTION, "no session now");
}

void tt_tunnel_client_describe(struct tt_tunnel_client *c)
{
    char text[TT_DESCRIPTION];
    describe(c, text);
    tt_log(&c->context->log, TT_LOG_ANSWER, "session", "%s", text);
}

static void show_status(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_tunnel_client *c = TT_CONTAINER_OF(timer, struct tt_tunnel_client, status);
    char text[TT_DESCRIPTION];
    if (c->over)
        return;
    describe(c, text);
    tt_log_status(&c->context->log, text);
    tt_timer_set(c->context->worker, &c->status, tt_deadline_after(now_us, STATUS_US));
}

/* --- for --metrics --- */

static void look(void *owner, struct tt_metrics_now *now)
{
    struct tt_tunnel_client *c = owner;
    TT_LIST_FOR_EACH(node, &c->splices)
    {
        now->streams++;
    }
    if (!c->session)
        return;
    now->sessions = c->connected;
    now->carriers = c->session->endpoint->carrier_count;
    tt_session_totals_add(&now->live, c->session);
}

/* --- the end --- */

void tt_tunnel_client_stop(struct tt_tunnel_client *c, int status)
{
    if (c->over)
        return;
    c->over = true;
    for (size_t i = 0; i < c->entry_count; i++)
        tt_door_close(&c->entries[i].door);
    tt_socks_guest_abort_all(&c->socks_guests);
    ask_in(c, NULL);
    tt_metrics_end(&c->metrics);
    tt_opening_abort_all(&c->host, TT_RESET_BY_PROGRAM);
    tt_splice_abort_all(&c->splices, TT_RESET_BY_PROGRAM);
    tt_timer_set(c->context->worker, &c->anew, TT_NEVER);
    tt_timer_set(c->context->worker, &c->answer, TT_NEVER);
    tt_context_over(c->context, status);
}

static void dispose(struct tt_tunnel_client *c)
{
    struct tt_loop *w = c->context->worker;
    const bool entered = tt_worker_enter(w);
    tt_metrics_end(&c->metrics);
    for (size_t i = 0; i < c->entry_count; i++)
        tt_door_dispose(&c->entries[i].door);
    for (size_t i = 0; c->asks && i < c->context->options->remote_count; i++)
        tt_remote_ask_dispose(&c->asks[i]);
    tt_timer_dispose(w, &c->anew);
    tt_timer_dispose(w, &c->answer);
    tt_timer_dispose(w, &c->status);
    tt_worker_leave(w, entered);
    tt_stdio_close(&c->stdio);
    free(c->asks);
    tt_alloc_malloc.put(NULL, c);
}

void tt_tunnel_client_end(struct tt_tunnel_client *c)
{
    if (c->session)
        (void)tt_session_close(c->session);
    dispose(c);
}

/* --- the beginning --- */

static int listen_at(struct tt_tunnel_client *c, const struct tt_forward *forward)
{
    struct entry *e = &c->entries[c->entry_count];
    struct tt_error_text why = {""};
    *e = (struct entry){
        .client = c, .forward = forward, .door = {.worker = c->context->worker, .guest = guest}};
    const int err = tt_door_bind(&e->door, forward->bind, &why);
    if (err) {
        tt_log(&c->context->log, TT_LOG_ERROR, "listen_failed", "%s",
               why.text[0] ? why.text : tt_strerror(err));
        return err;
    }
    c->entry_count++;
    tt_door_open(&e->door);
    tt_log(&c->context->log, TT_LOG_NOTICE, "listening", "listening on %s", e->door.address_text);
    return TT_OK;
}

static int begin_all(struct tt_tunnel_client *c)
{
    const struct tt_tunnel_options *o = c->context->options;
    int err = TT_OK;
    for (size_t i = 0; i < o->forward_count && !err; i++)
        err = listen_at(c, &o->forwards[i]);
    if (err)
        return err;
    err = tt_metrics_begin(&c->metrics);
    if (err)
        return err;
    begin_session(c, tt_worker_now_us());
    if (o->stdio) {
        err = begin_stdio(c);
        if (err)
            tt_log(&c->context->log, TT_LOG_ERROR, "failed", "standard input: %s",
                   tt_strerror(err));
    }
    return err;
}

static int init_asks(struct tt_tunnel_client *c)
{
    const struct tt_tunnel_options *o = c->context->options;
    int err = TT_OK;
    if (o->remote_count == 0)
        return TT_OK;
    c->asks = calloc(o->remote_count, sizeof *c->asks);
    if (!c->asks)
        return TT_E_NOMEM;
    for (size_t i = 0; i < o->remote_count && !err; i++) {
        c->asks[i] = (struct tt_remote_ask){
            .worker = c->context->worker, .log = &c->context->log, .forward = &o->remotes[i]};
        err = tt_remote_ask_init(&c->asks[i]);
    }
    return err;
}

static int init(struct tt_tunnel_client *c)
{
    struct tt_loop *w = c->context->worker;
    tt_list_init(&c->splices);
    tt_list_init(&c->openings);
    tt_list_init(&c->socks_guests);
    c->host = (struct tt_opening_host){.worker = w,
                                       .openings = &c->openings,
                                       .splices = &c->splices,
                                       .timeout_us = c->context->options->connect_timeout_us,
                                       .decide = decide};
    int err = tt_timer_init(w, &c->anew, anew);
    if (!err)
        err = tt_timer_init(w, &c->answer, no_answer);
    if (!err)
        err = tt_timer_init(w, &c->status, show_status);
    if (!err)
        err = init_asks(c);
    return err;
}

struct tt_tunnel_client *tt_tunnel_client_begin(struct tt_context *context)
{
    const size_t size =
        sizeof(struct tt_tunnel_client) + context->options->forward_count * sizeof(struct entry);
    struct tt_tunnel_client *c = tt_alloc_malloc.get(NULL, size);
    int err = c ? TT_OK : TT_E_NOMEM;
    if (!err) {
        *c = (struct tt_tunnel_client){.context = context};
        c->metrics = (struct tt_metrics){.context = context, .look = look, .owner = c};
        err = init(c);
    }
    if (err) { /* the process ends: what was made goes with it */
        tt_log(&context->log, TT_LOG_ERROR, "failed", "begin: %s", tt_strerror(err));
        return NULL;
    }
    const bool entered = tt_worker_enter(context->worker);
    err = begin_all(c);
    if (!err && context->log.live)
        tt_timer_set(context->worker, &c->status, tt_worker_now_us());
    tt_worker_leave(context->worker, entered);
    if (err) {
        tt_tunnel_client_end(c);
        return NULL;
    }
    return c;
}
