/* The server's sessions: tt_listen and what follows from it. */
#include <string.h>

#include "core/encapsulation.h"
#include "net/door.h"
#include "net/listener_packet_conn.h"
#include "net/session.h"

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0)                                                                          \
            (field) = (value);                                                                     \
    } while (0)

struct tt_listener {
    struct tt_loop *worker;
    struct tt_options options; /* defaults filled in */
    struct tt_door door;
    struct tt_listener_packet_conn conns;
    struct tt_list accept_waiters; /* threads in tt_listener_accept */
    struct tt_list change_waiters; /* threads that wait for the end */
    struct tt_chore chore;         /* to serve the sessions */
    struct tt_chore door_chore; /* to open or close the door, or to end it all: the loop's thread */
    struct tt_timer timer;      /* the earliest deadline of connections and sessions */
    void (*begun)(void *ctx, struct tt_session *session);
    void *begun_ctx;
    bool owns_loop;
    bool stopped;
    bool destroyed;
};

/* What a program holds of a session at the server. */
struct accepted {
    struct tt_session session;
    struct tt_listener *listener;
    struct tt_server_session *server;
    struct tt_chore burial; /* when it was closed by a callback, which may be its own */
};

static void report(struct tt_listener_packet_conn *conns, enum tt_report_kind kind,
                   const char *session, const char *detail)
{
    const struct tt_listener *l = TT_CONTAINER_OF(conns, struct tt_listener, conns);
    if (l->options.report)
        l->options.report(l->options.report_ctx,
                          &(struct tt_report){.kind = kind,
                                              .session = session,
                                              .address = l->door.address_text,
                                              .detail = detail});
}

static void changed(struct tt_listener_packet_conn *conns)
{
    struct tt_listener *l = TT_CONTAINER_OF(conns, struct tt_listener, conns);
    tt_worker_mark(l->worker, &l->chore);
}

/* --- sessions --- */

static struct accepted *of_session(struct tt_session *s)
{
    return TT_CONTAINER_OF(s, struct accepted, session);
}

static void touch(struct tt_session *s, uint64_t now_us)
{
    struct accepted *a = of_session(s);
    tt_queue_packet_conn_touched(&a->listener->conns.queue, now_us, a->server);
    tt_worker_mark(s->worker, &a->listener->chore);
}

static struct tt_chore *chore_of(struct tt_session *s)
{
    return &of_session(s)->listener->chore;
}

static void bury(struct tt_chore *chore, uint64_t now_us)
{
    struct accepted *a = TT_CONTAINER_OF(chore, struct accepted, burial);
    const struct tt_alloc *alloc = a->session.worker->alloc;
    (void)now_us;
    tt_session_dispose(&a->session);
    alloc->put(alloc->ctx, a);
}

/* What is left to deliver lingers in the queue packet conn, always. */
static int close_session(struct tt_session *s, bool may_wait)
{
    struct accepted *a = of_session(s);
    struct tt_listener *l = a->listener;
    const int err = tt_session_end_result(s);
    tt_queue_packet_conn_close(&l->conns.queue, tt_worker_now_us(), a->server);
    tt_worker_mark(l->worker, &l->chore);
    s->endpoint = NULL;
    a->burial.run = bury;
    if (may_wait)
        bury(&a->burial, 0);
    else
        tt_worker_mark(l->worker, &a->burial);
    return err;
}

static const struct tt_session_side server_side = {
    .touch = touch, .chore = chore_of, .close = close_session};

static int accept_session(struct tt_listener *l, struct tt_session **session)
{
    struct tt_server_session *server;
    struct accepted *a;

    if (tt_list_empty(&l->conns.queue.waiting))
        return TT_E_AGAIN;
    a = l->worker->alloc->get(l->worker->alloc->ctx, sizeof *a);
    if (!a)
        return TT_E_NOMEM;
    (void)tt_queue_packet_conn_accept(&l->conns.queue, &server);
    *a = (struct accepted){.listener = l, .server = server};
    tt_session_init(&a->session, l->worker, &server->endpoint, &server_side, l->options.linger_us);
    a->session.connected = true;
    server->user = a;
    *session = &a->session;
    report(&l->conns, TT_REPORT_SESSION_BEGUN, a->session.id_text, "");
    tt_worker_mark(l->worker, &l->chore);
    return TT_OK;
}

/* --- serving --- */

static void announce_sessions(struct tt_listener *l)
{
    struct tt_session *s;
    if (tt_list_empty(&l->conns.queue.waiting))
        return;
    tt_worker_wake_all(l->worker, &l->accept_waiters);
    while (l->begun && accept_session(l, &s) == TT_OK)
        l->begun(l->begun_ctx, s);
}

static void serve_one(struct tt_listener *l, struct tt_server_session *s, uint64_t now_us)
{
    struct accepted *a = s->user;
    tt_listener_packet_conn_close_doomed(&l->conns, &s->endpoint, now_us);
    if (a && s->endpoint.error && !a->session.ended_told)
        report(&l->conns, TT_REPORT_SESSION_ENDED, a->session.id_text,
               tt_strerror(s->endpoint.error));
    if (a) {
        tt_queue_packet_conn_flushed(&l->conns.queue,
                                     s); /* serving may free it: its deadline until then */
        tt_session_serve(&a->session, now_us);
        return;
    }
    tt_session_flush(&s->endpoint, now_us);
    tt_queue_packet_conn_flushed(&l->conns.queue, s);
}

static bool all_settled(const struct tt_listener *l)
{
    TT_LIST_FOR_EACH(node, &l->conns.queue.closed)
    {
        const struct tt_server_session *s =
            TT_CONTAINER_OF(node, struct tt_server_session, state_node);
        if (!s->endpoint.error && !tt_endpoint_is_over(&s->endpoint))
            return false;
    }
    return true;
}

static void serve(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, chore);
    struct tt_server_session *s;

    announce_sessions(l);
    while ((s = tt_queue_packet_conn_next_dirty(&l->conns.queue)) != NULL)
        serve_one(l, s, now_us);
    tt_timer_set(l->worker, &l->timer, tt_listener_packet_conn_deadline(&l->conns));
    if (l->stopped)
        tt_worker_wake_all(l->worker, &l->change_waiters);
}

/* For callbacks alone: threads can read only when the loop sleeps, and what is acknowledged before
 * makes their clients send more than they read.
 */
static void serve_now(struct tt_listener_packet_conn *conns, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(conns, struct tt_listener, conns);
    if (!l->chore.calls_back)
        return;
    tt_list_remove(&l->chore.node);
    serve(&l->chore, now_us);
}

static void timer_due(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(timer, struct tt_listener, timer);
    tt_listener_packet_conn_handle_timeout(&l->conns, now_us);
    tt_worker_mark(l->worker, &l->chore);
}

/* --- listening --- */

static void fill_in_defaults(struct tt_options *o)
{
    DEFAULT(o->session_timeout_us, 600 * TT_SECOND);
    DEFAULT(o->linger_us, 5 * TT_SECOND);
    DEFAULT(o->handshake_timeout_us, 10 * TT_SECOND);
    DEFAULT(o->max_packet, TT_ENCAP_MAX_PACKET);
    DEFAULT(o->max_connections, 10000);
    DEFAULT(o->max_sessions, 10000);
    DEFAULT(o->accept_backlog, 128);
}

static void guest(struct tt_door *door, int fd)
{
    tt_listener_packet_conn_greet(&TT_CONTAINER_OF(door, struct tt_listener, door)->conns, fd);
}

/* The loop's thread opens the door, and closes it when the listener is stopped. */
static void door_chore(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, door_chore);
    (void)now_us;
    if (l->stopped)
        tt_door_close(&l->door);
    else
        tt_door_open(&l->door);
}

/* All that may fail. */
static int set_up(struct tt_listener *l, const char *address, struct tt_error_text *why)
{
    int err = tt_timer_init(l->worker, &l->timer, timer_due);
    if (err)
        return err;
    err = tt_listener_packet_conn_init(&l->conns);
    l->options.private_key = l->options.instance = NULL; /* they were copied */
    if (!err) {
        err = tt_door_bind(&l->door, address, why);
        if (err)
            tt_listener_packet_conn_dispose(&l->conns, tt_worker_now_us());
    }
    if (err)
        tt_timer_dispose(l->worker, &l->timer);
    return err;
}

static int make(struct tt_loop *w, const char *address, const struct tt_options *options,
                struct tt_listener **listener, struct tt_error_text *why)
{
    struct tt_listener *l = w->alloc->get(w->alloc->ctx, sizeof *l);
    if (!l)
        return TT_E_NOMEM;
    *l = (struct tt_listener){.worker = w,
                              .options = *options,
                              .door = {.worker = w, .guest = guest},
                              .chore = {.run = serve},
                              .door_chore = {.run = door_chore}};
    l->conns = (struct tt_listener_packet_conn){.worker = w,
                                                .options = &l->options,
                                                .changed = changed,
                                                .serve = serve_now,
                                                .report = report};
    fill_in_defaults(&l->options);
    tt_list_init(&l->accept_waiters);
    tt_list_init(&l->change_waiters);
    int err = set_up(l, address, why);
    if (err) {
        w->alloc->put(w->alloc->ctx, l);
        return err;
    }
    tt_worker_mark_for_loop(w, &l->door_chore);
    *listener = l;
    return TT_OK;
}

int tt_listen(const char *address, const struct tt_options *options, struct tt_listener **listener,
              struct tt_error_text *why)
{
    struct tt_options o = options ? *options : (struct tt_options){0};
    const bool owns_loop = !o.loop;
    int err;

    *listener = NULL;
    tt_why(why, "%s", "");
    err = tt_session_check(&o, o.private_key != NULL, why);
    if (!err && owns_loop)
        err = tt_loop_new(&o, &o.loop);
    if (!err) {
        const bool entered = tt_worker_enter(o.loop);
        err = make(o.loop, address, &o, listener, why);
        tt_worker_leave(o.loop, entered);
        if (!err && owns_loop)
            err = tt_loop_start(o.loop);
        if (err && owns_loop)
            tt_loop_free(o.loop);
    }
    if (err) {
        if (why && why->text[0] == '\0')
            tt_why(why, "listen on %.100s: %s", address, tt_strerror(err));
        *listener = NULL;
        return err;
    }
    (*listener)->owns_loop = owns_loop;
    return TT_OK;
}

const char *tt_listener_address(const struct tt_listener *l)
{
    return l->door.address_text;
}

int tt_listener_accept(struct tt_listener *l, struct tt_session **session)
{
    int err;
    *session = NULL;
    if (tt_worker_must_not_wait(l->worker))
        return TT_E_INVAL;
    const bool entered = tt_worker_enter(l->worker);
    while ((err = l->stopped ? TT_E_CLOSED : accept_session(l, session)) == TT_E_AGAIN)
        (void)tt_worker_wait(l->worker, &l->accept_waiters, TT_NEVER);
    tt_worker_leave(l->worker, entered);
    return err;
}

void tt_listener_set_callback(struct tt_listener *l,
                              void (*begun)(void *ctx, struct tt_session *session), void *ctx)
{
    const bool entered = tt_worker_enter(l->worker);
    l->begun = begun;
    l->begun_ctx = ctx;
    l->chore.calls_back = true;
    tt_worker_calls_back(l->worker);
    tt_worker_mark(l->worker, &l->chore);
    tt_worker_leave(l->worker, entered);
}

void tt_listener_stop(struct tt_listener *l)
{
    const bool entered = tt_worker_enter(l->worker);
    l->stopped = true;
    tt_worker_mark_for_loop(l->worker, &l->door_chore);
    tt_worker_wake_all(l->worker, &l->accept_waiters);
    tt_worker_leave(l->worker, entered);
}

/* --- the end --- */

static void destroy(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, door_chore);
    tt_door_dispose(&l->door);
    tt_listener_packet_conn_dispose(&l->conns, now_us);
    tt_timer_dispose(l->worker, &l->timer);
    tt_list_remove(&l->chore.node);
    l->destroyed = true;
    tt_worker_wake_all(l->worker, &l->change_waiters);
}

static void free_destroyed(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, door_chore);
    const struct tt_alloc *alloc = l->worker->alloc;
    destroy(chore, now_us);
    alloc->put(alloc->ctx, l);
}

/* The callback may be one of its own sessions': it goes at the end of the turn. */
static void close_in_callback(struct tt_listener *l)
{
    l->begun = NULL;
    tt_list_remove(&l->door_chore.node);
    l->door_chore.run = free_destroyed;
    tt_worker_mark_for_loop(l->worker, &l->door_chore);
    if (l->owns_loop)
        tt_worker_orphan(l->worker);
}

static void await_settled(struct tt_listener *l)
{
    const uint64_t until_us = tt_deadline_after(tt_worker_now_us(), l->options.linger_us);
    while (!all_settled(l) && tt_worker_now_us() < until_us)
        (void)tt_worker_wait(l->worker, &l->change_waiters, until_us);
}

void tt_listener_close(struct tt_listener *l)
{
    struct tt_loop *w = l->worker;
    const bool owns_loop = l->owns_loop;

    tt_listener_stop(l);
    if (tt_worker_is_callback(w)) {
        close_in_callback(l);
        return;
    }
    const bool entered = tt_worker_enter(w);
    if (tt_worker_runs_elsewhere(w))
        await_settled(l);
    tt_list_remove(&l->door_chore.node);
    if (tt_worker_runs_elsewhere(w)) {
        l->door_chore.run = destroy;
        tt_worker_mark_for_loop(w, &l->door_chore);
        while (!l->destroyed)
            (void)tt_worker_wait(w, &l->change_waiters, TT_NEVER);
    } else {
        destroy(&l->door_chore, tt_worker_now_us());
    }
    w->alloc->put(w->alloc->ctx, l);
    tt_worker_leave(w, entered);
    if (owns_loop)
        tt_loop_free(w);
}

void tt_listener_review_clients(struct tt_listener *l)
{
    const bool entered = tt_worker_enter(l->worker);
    tt_queue_packet_conn_review_clients(&l->conns.queue, tt_worker_now_us());
    tt_worker_mark(l->worker, &l->chore);
    tt_worker_leave(l->worker, entered);
}

static void add_gate_stats(const struct tt_gate_stats *g, struct tt_listener_stats *stats)
{
    stats->handshakes = g->inits;
    stats->handshakes_opened = g->half_opened;
    stats->handshakes_asked = g->questions;
    stats->refused_not_opened = g->not_opened;
    stats->refused_time = g->wrong_time;
    stats->refused_replayed = g->replayed;
    stats->refused_not_welcome = g->not_welcome;
    stats->refused_rate = g->too_many;
    stats->refused_full = g->refused_full;
    stats->half_open_expired = g->expired;
    stats->connections_muted = g->muted;
}

void tt_listener_get_stats(struct tt_listener *l, struct tt_listener_stats *stats)
{
    const bool entered = tt_worker_enter(l->worker);
    const struct tt_queue_packet_conn_stats *q = &l->conns.queue.stats;
    *stats = l->conns.stats;
    stats->accept_failures += l->door.failures;
    stats->sessions_begun = q->sessions_begun;
    stats->sessions_expired = q->sessions_expired;
    stats->sessions_replaced = q->sessions_replaced;
    stats->sessions_now = l->conns.queue.sessions;
    stats->sessions_refused = q->backlog_full + q->sessions_full + q->no_memory;
    stats->packets_stray = q->strays + q->wrong_conv;
    stats->buffer_bytes = l->worker->slabs.live_bytes;
    stats->sessions_turned_out = q->turned_out;
    add_gate_stats(&l->conns.gate.stats, stats);
    tt_worker_leave(l->worker, entered);
}
