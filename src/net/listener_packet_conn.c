#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "carrier/tcp.h"
#include "net/listener_packet_conn.h"
#include "net/resolve.h"

#define ACCEPTS_A_TURN    64            /* before those who are here get their turn */
#define ACCEPT_PAUSE_US   (100 * TT_MS) /* when the system has no descriptor for us */
#define CLOSED_SESSION_US (60 * TT_SECOND)

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0)                                                                          \
            (field) = (value);                                                                     \
    } while (0)

/* What a program holds of a session at the server. */
struct accepted {
    struct tt_session session;
    struct tt_listener *listener;
    struct tt_server_session *server;
};

static const struct tt_carrier_limits tcp_limits = {.ordered = true,
                                                    .max_packet = TT_KCP_DEFAULT_MTU};

static void report(struct tt_listener *l, enum tt_report_kind kind, const char *session,
                   const char *detail)
{
    if (l->options.report)
        l->options.report(l->options.report_ctx, &(struct tt_report){.kind = kind,
                                                                     .session = session,
                                                                     .address = l->address_text,
                                                                     .detail = detail});
}

/* --- connections --- */

static struct tt_listener *of_conn(const struct tt_conn *c)
{
    return c->user;
}

static void heard(struct tt_conn *c)
{
    tt_list_remove(&c->idle_node);
    tt_list_push_back(&of_conn(c)->idle, &c->idle_node);
}

static void conn_identified(struct tt_conn *c, uint64_t now_us, const struct tt_session_id *id)
{
    heard(c);
    tt_queue_packet_conn_attach(&of_conn(c)->queue, now_us, &c->carrier, id, &tcp_limits);
}

static void conn_packet(struct tt_conn *c, uint64_t now_us, struct tt_span packet,
                        struct tt_slab *slab)
{
    tt_queue_packet_conn_incoming(&of_conn(c)->queue, now_us, &c->carrier, packet, slab);
}

static void conn_input_done(struct tt_conn *c, uint64_t now_us)
{
    (void)now_us;
    if (!c->id_wanted)
        heard(c);
    tt_worker_mark(c->worker, &of_conn(c)->chore);
}

static int conn_next_packet(struct tt_conn *c, uint64_t now_us, struct tt_gather *g, uint32_t *len)
{
    return tt_queue_packet_conn_outgoing(&of_conn(c)->queue, now_us, &c->carrier, g, len);
}

static bool conn_wants_send(const struct tt_conn *c)
{
    return c->carrier.endpoint && tt_endpoint_wants_send(c->carrier.endpoint, &c->carrier);
}

static void open_door_later(struct tt_listener *l);

static void end_conn(struct tt_conn *c, uint64_t now_us)
{
    struct tt_listener *l = of_conn(c);
    if (!c->id_wanted)
        tt_queue_packet_conn_detach(&l->queue, now_us, &c->carrier);
    tt_conn_close(c);
    l->connections_now--;
    tt_worker_mark(l->worker, &l->chore);
}

static void conn_ended(struct tt_conn *c, uint64_t now_us, int why)
{
    char id[TT_SESSION_ID_TEXT] = "";
    if (!c->id_wanted)
        tt_session_id_format(id, &c->id);
    report(of_conn(c), TT_REPORT_CARRIER_ENDED, id, tt_conn_reason(c, why));
    end_conn(c, now_us);
}

static const struct tt_conn_owner conn_owner = {
    .identified = conn_identified,
    .packet = conn_packet,
    .input_done = conn_input_done,
    .next_packet = conn_next_packet,
    .wants_send = conn_wants_send,
    .ended = conn_ended,
};

static struct tt_conn *first_conn(const struct tt_list *list)
{
    struct tt_list_node *node = tt_list_first(list);
    return node ? TT_CONTAINER_OF(node, struct tt_conn, idle_node) : NULL;
}

static uint64_t expiry(const struct tt_list *list, uint64_t after_us)
{
    const struct tt_conn *c = first_conn(list);
    return c ? tt_deadline_after(c->heard_us, after_us) : TT_NEVER;
}

static void end_expired(struct tt_listener *l, uint64_t now_us)
{
    for (; expiry(&l->unidentified, l->options.handshake_timeout_us) <= now_us;
         l->stats.handshakes_expired++)
        end_conn(first_conn(&l->unidentified), now_us);
    for (; expiry(&l->idle, l->options.session_timeout_us) <= now_us; l->stats.idle_ended++)
        end_conn(first_conn(&l->idle), now_us);
}

/* --- the door --- */

static void free_door(uv_handle_t *handle)
{
    struct tt_door *d = handle->data;
    d->alloc->put(d->alloc->ctx, d);
}

static void close_door(struct tt_listener *l)
{
    struct tt_door *d = l->door;
    if (!d)
        return;
    l->door = NULL;
    uv_close((uv_handle_t *)&d->poll, free_door);
    close(d->fd);
}

static void greet(struct tt_listener *l, int fd)
{
    struct tt_conn *c;
    if (l->connections_now >= l->options.max_connections) {
        l->stats.connections_refused++;
        report(l, TT_REPORT_REFUSED, "", "max_connections");
        close(fd);
        return;
    }
    if (tt_conn_new(l->worker, fd, NULL, &conn_owner, l, &c)) {
        l->stats.accept_failures++;
        return;
    }
    l->connections_now++;
    l->stats.connections++;
    c->heard_us = tt_worker_now_us();
    tt_list_push_back(&l->unidentified, &c->idle_node);
}

static void somebody_knocks(uv_poll_t *handle, int status, int events)
{
    struct tt_door *d = handle->data;
    struct tt_listener *l = d->owner;
    (void)events;
    tt_worker_turn(l->worker);
    int err = 0;
    if (status < 0)
        open_door_later(l); /* libuv has stopped polling */
    for (int i = 0; i < ACCEPTS_A_TURN && !err && l->door; i++) {
        int fd;
        err = tt_tcp_accept(d->fd, &fd, NULL);
        if (!err)
            greet(l, fd);
        else if (err == -ECONNABORTED || err == -EINTR)
            err = 0;
    }
    if (err && err != -EAGAIN) {
        l->stats.accept_failures++;
        open_door_later(l);
    }
    tt_worker_mark(l->worker, &l->chore); /* the handshake's timer */
}

/* No descriptor or memory for another connection: the listening socket stays readable, and would be
 * reported again and again. Wait a little instead.
 */
static void open_door_later(struct tt_listener *l)
{
    if (!l->door)
        return;
    (void)uv_poll_stop(&l->door->poll);
    tt_timer_set(l->worker, &l->door_timer, tt_deadline_after(tt_worker_now_us(), ACCEPT_PAUSE_US));
}

static void watch_door(struct tt_listener *l)
{
    if (l->door)
        (void)uv_poll_start(&l->door->poll, UV_READABLE, somebody_knocks);
}

static void door_timer_due(struct tt_timer *timer, uint64_t now_us)
{
    (void)now_us;
    watch_door(TT_CONTAINER_OF(timer, struct tt_listener, door_timer));
}

/* --- sessions --- */

static struct accepted *of_session(struct tt_session *s)
{
    return TT_CONTAINER_OF(s, struct accepted, session);
}

static void touch(struct tt_session *s, uint64_t now_us)
{
    struct accepted *a = of_session(s);
    tt_queue_packet_conn_touched(&a->listener->queue, now_us, a->server);
    tt_worker_mark(s->worker, &a->listener->chore);
}

static int close_session(struct tt_session *s, bool may_wait)
{
    struct accepted *a = of_session(s);
    struct tt_listener *l = a->listener;
    const int err = tt_session_error(s);
    (void)may_wait; /* it lingers in the queue packet conn, always */
    tt_queue_packet_conn_close(&l->queue, tt_worker_now_us(), a->server);
    tt_worker_mark(l->worker, &l->chore);
    l->worker->alloc->put(l->worker->alloc->ctx, a);
    return err;
}

static const struct tt_session_side server_side = {.touch = touch, .close = close_session};

static int accept_session(struct tt_listener *l, struct tt_session **session)
{
    struct tt_server_session *server;
    struct accepted *a;

    if (tt_list_empty(&l->queue.waiting))
        return TT_E_AGAIN;
    a = l->worker->alloc->get(l->worker->alloc->ctx, sizeof *a);
    if (!a)
        return TT_E_NOMEM;
    (void)tt_queue_packet_conn_accept(&l->queue, &server);
    *a = (struct accepted){.listener = l, .server = server};
    tt_session_init(&a->session, l->worker, &server->endpoint, &server_side, l->options.linger_us);
    a->session.connected = true;
    server->user = a;
    *session = &a->session;
    report(l, TT_REPORT_SESSION_BEGUN, a->session.id_text, "");
    tt_worker_mark(l->worker, &l->chore);
    return TT_OK;
}

static void announce_sessions(struct tt_listener *l)
{
    struct tt_session *s;
    if (tt_list_empty(&l->queue.waiting))
        return;
    tt_worker_wake_all(l->worker, &l->accept_waiters);
    while (l->begun && accept_session(l, &s) == TT_OK)
        l->begun(l->begun_ctx, s);
}

static void rearm(struct tt_listener *l)
{
    uint64_t deadline_us = tt_queue_packet_conn_deadline(&l->queue);
    deadline_us =
        tt_min_u64(deadline_us, expiry(&l->unidentified, l->options.handshake_timeout_us));
    deadline_us = tt_min_u64(deadline_us, expiry(&l->idle, l->options.session_timeout_us));
    tt_timer_set(l->worker, &l->timer, deadline_us);
}

static void serve_one(struct tt_listener *l, struct tt_server_session *s, uint64_t now_us)
{
    struct accepted *a = s->user;
    if (a && s->endpoint.error && !a->session.ended_told)
        report(l, TT_REPORT_SESSION_ENDED, a->session.id_text, tt_strerror(s->endpoint.error));
    tt_queue_packet_conn_flushed(&l->queue, s); /* serving may free it: its deadline until then */
    if (a) {
        tt_session_serve(&a->session, now_us);
        return;
    }
    tt_session_flush(&s->endpoint, now_us);
    tt_queue_packet_conn_flushed(&l->queue, s);
}

static bool all_settled(const struct tt_listener *l)
{
    TT_LIST_FOR_EACH(node, &l->queue.closed)
    {
        const struct tt_server_session *s =
            TT_CONTAINER_OF(node, struct tt_server_session, state_node);
        if (!s->endpoint.error && !tt_endpoint_settled(&s->endpoint))
            return false;
    }
    return true;
}

static void serve(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, chore);
    struct tt_server_session *s;

    announce_sessions(l);
    while ((s = tt_queue_packet_conn_next_dirty(&l->queue)) != NULL)
        serve_one(l, s, now_us);
    rearm(l);
    if (l->stopped)
        tt_worker_wake_all(l->worker, &l->change_waiters);
}

static void timer_due(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(timer, struct tt_listener, timer);
    tt_queue_packet_conn_handle_timeout(&l->queue, now_us);
    end_expired(l, now_us);
    tt_worker_mark(l->worker, &l->chore);
}

/* --- listening --- */

static void fill_in_defaults(struct tt_options *o)
{
    DEFAULT(o->session_timeout_us, 600 * TT_SECOND);
    DEFAULT(o->linger_us, 5 * TT_SECOND);
    DEFAULT(o->handshake_timeout_us, 10 * TT_SECOND);
    DEFAULT(o->max_connections, 10000);
    DEFAULT(o->max_sessions, 10000);
    DEFAULT(o->accept_backlog, 128);
}

static int init_queue(struct tt_listener *l)
{
    struct tt_queue_packet_conn_config c = {.max_sessions = l->options.max_sessions,
                                            .accept_backlog = l->options.accept_backlog,
                                            .closed_us = CLOSED_SESSION_US,
                                            .slabs = &l->worker->slabs,
                                            .alloc = l->worker->alloc};
    tt_endpoint_tuning_default(&c.tuning);
    c.tuning.session_timeout_us = l->options.session_timeout_us;
    if (l->options.max_streams)
        c.tuning.max_streams = l->options.max_streams;
    memcpy(c.hash_key, l->worker->hash_key, sizeof c.hash_key);
    return tt_queue_packet_conn_init(&l->queue, &c);
}

static const char *advice(int err)
{
    switch (err) {
    case -EADDRINUSE:
        return " (another program listens there; choose another port, or 0 for any)";
    case -EACCES:
        return " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
    case -EADDRNOTAVAIL:
        return " (this machine does not have that address)";
    default:
        return "";
    }
}

static int bind_door(struct tt_listener *l, const char *address, int *fd, struct tt_error_text *why)
{
    struct tt_address a;
    struct addrinfo *found;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;

    int err = tt_address_parse(&a, address, why);
    if (err)
        return err;
    int gai = tt_resolve_blocking(&a, true, &found);
    if (gai) {
        tt_why(why, "resolve %.100s: %s (is the name right?)", address, gai_strerror(gai));
        return TT_E_RESOLVE;
    }
    err = tt_tcp_listen(found->ai_addr, found->ai_addrlen, fd);
    freeaddrinfo(found);
    if (err) {
        tt_why(why, "listen on %.100s: %s%s", address, strerror(-err), advice(err));
        return TT_E_ADDRESS;
    }
    (void)getsockname(*fd, (struct sockaddr *)&bound, &len);
    tt_address_format(l->address_text, (struct sockaddr *)&bound);
    return TT_OK;
}

static int hang_door(struct tt_listener *l, int fd)
{
    struct tt_loop *w = l->worker;
    struct tt_door *d = w->alloc->get(w->alloc->ctx, sizeof *d);
    if (!d)
        return TT_E_NOMEM;
    *d = (struct tt_door){.owner = l, .alloc = w->alloc, .fd = fd};
    if (uv_poll_init(&w->uv, &d->poll, fd)) {
        w->alloc->put(w->alloc->ctx, d);
        return TT_E_SYSTEM;
    }
    d->poll.data = d;
    l->door = d;
    return TT_OK;
}

/* The loop's thread opens the door, and closes it when the listener is stopped. */
static void door_chore(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, door_chore);
    (void)now_us;
    if (l->stopped)
        close_door(l);
    else
        watch_door(l);
}

static int make(struct tt_loop *w, const char *address, const struct tt_options *options,
                struct tt_listener **listener, struct tt_error_text *why)
{
    int fd = -1;
    struct tt_listener *l = w->alloc->get(w->alloc->ctx, sizeof *l);
    if (!l)
        return TT_E_NOMEM;
    *l = (struct tt_listener){.worker = w, .options = *options, .chore = {.run = serve}};
    l->door_chore.run = door_chore;
    fill_in_defaults(&l->options);
    tt_list_init(&l->unidentified);
    tt_list_init(&l->idle);
    tt_list_init(&l->accept_waiters);
    tt_list_init(&l->change_waiters);
    int err = bind_door(l, address, &fd, why);
    if (!err)
        err = init_queue(l);
    if (!err)
        err = tt_timer_init(w, &l->timer, timer_due);
    if (!err)
        err = tt_timer_init(w, &l->door_timer, door_timer_due);
    if (!err)
        err = hang_door(l, fd);
    if (err) {
        if (fd >= 0)
            close(fd);
        tt_timer_dispose(w, &l->timer);
        tt_timer_dispose(w, &l->door_timer);
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
    int err = TT_OK;

    *listener = NULL;
    tt_why(why, "%s", "");
    if (owns_loop)
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
    return l->address_text;
}

int tt_listener_accept(struct tt_listener *l, struct tt_session **session)
{
    int err;
    *session = NULL;
    if (tt_worker_is_callback(l->worker))
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

static void end_all(struct tt_list *conns, uint64_t now_us)
{
    struct tt_conn *c;
    while ((c = first_conn(conns)) != NULL)
        end_conn(c, now_us);
}

static void destroy(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, door_chore);
    end_all(&l->unidentified, now_us);
    end_all(&l->idle, now_us);
    close_door(l);
    tt_timer_dispose(l->worker, &l->timer);
    tt_timer_dispose(l->worker, &l->door_timer);
    tt_list_remove(&l->chore.node);
    tt_queue_packet_conn_dispose(&l->queue);
    l->destroyed = true;
    tt_worker_wake_all(l->worker, &l->change_waiters);
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
    const bool entered = tt_worker_enter(w);
    if (w->running && !tt_worker_is_callback(w))
        await_settled(l);
    tt_list_remove(&l->door_chore.node);
    if (w->running && !tt_worker_is_callback(w)) {
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

void tt_listener_get_stats(struct tt_listener *l, struct tt_listener_stats *stats)
{
    const bool entered = tt_worker_enter(l->worker);
    const struct tt_queue_packet_conn_stats *q = &l->queue.stats;
    *stats = l->stats;
    stats->connections_now = l->connections_now;
    stats->sessions_begun = q->sessions_begun;
    stats->sessions_expired = q->sessions_expired;
    stats->sessions_replaced = q->sessions_replaced;
    stats->sessions_now = l->queue.sessions;
    stats->sessions_refused = q->backlog_full + q->sessions_full + q->no_memory;
    stats->packets_stray = q->strays + q->wrong_conv;
    stats->buffer_bytes = l->worker->slabs.live_bytes;
    tt_worker_leave(l->worker, entered);
}
