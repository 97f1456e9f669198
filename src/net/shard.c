/* The sessions of a listener at one worker. */
#include <string.h>

#include "net/listener.h"
#include "net/session.h"

/* What a program holds of a session at the server. */
struct accepted {
    struct tt_session session;
    struct tt_shard *shard;
    struct tt_server_session *server;
    struct tt_chore burial; /* when it was closed by a callback, which may be its own */
};

bool tt_shard_has_door(const struct tt_shard *sh)
{
    return sh == &sh->listener->shards[sh->listener->shard_count - 1];
}

static void report(struct tt_listener_packet_conn *conns, enum tt_report_kind kind,
                   const char *session, const char *detail)
{
    const struct tt_listener *l = TT_CONTAINER_OF(conns, struct tt_shard, conns)->listener;
    if (l->options.report)
        l->options.report(l->options.report_ctx,
                          &(struct tt_report){.kind = kind,
                                              .session = session,
                                              .address = l->door.address_text,
                                              .detail = detail});
}

static void changed(struct tt_listener_packet_conn *conns)
{
    struct tt_shard *sh = TT_CONTAINER_OF(conns, struct tt_shard, conns);
    tt_worker_mark(sh->worker, &sh->chore);
}

static struct tt_listener_packet_conn *home(struct tt_listener_packet_conn *conns,
                                            const struct tt_session_id *id)
{
    struct tt_listener *l = TT_CONTAINER_OF(conns, struct tt_shard, conns)->listener;
    const uint64_t hash = tt_siphash_u64(l->spread_key, tt_session_id_key(id));
    return &l->shards[hash % l->workers].conns;
}

/* --- sessions --- */

static struct accepted *of_session(struct tt_session *s)
{
    return TT_CONTAINER_OF(s, struct accepted, session);
}

static void touch(struct tt_session *s, uint64_t now_us)
{
    struct accepted *a = of_session(s);
    tt_queue_packet_conn_touched(&a->shard->conns.queue, now_us, a->server);
    tt_worker_mark(s->worker, &a->shard->chore);
}

static struct tt_chore *chore_of(struct tt_session *s)
{
    return &of_session(s)->shard->chore;
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
    struct tt_shard *sh = a->shard;
    const int err = tt_session_end_result(s);
    tt_queue_packet_conn_close(&sh->conns.queue, tt_worker_now_us(), a->server);
    tt_worker_mark(sh->worker, &sh->chore);
    s->endpoint = NULL;
    a->burial.run = bury;
    if (may_wait)
        bury(&a->burial, 0);
    else
        tt_worker_mark(sh->worker, &a->burial);
    return err;
}

static const struct tt_session_side server_side = {
    .touch = touch, .chore = chore_of, .close = close_session};

static bool any_waits(const struct tt_shard *sh)
{
    return !tt_list_empty(&sh->conns.queue.waiting);
}

int tt_shard_accept(struct tt_shard *sh, struct tt_session **session)
{
    struct tt_queue_packet_conn *q = &sh->conns.queue;
    const struct tt_alloc *alloc = sh->worker->alloc;
    struct tt_server_session *server;
    struct accepted *a;

    if (!any_waits(sh))
        return TT_E_AGAIN;
    a = alloc->get(alloc->ctx, sizeof *a);
    if (!a)
        return TT_E_NOMEM;
    (void)tt_queue_packet_conn_accept(q, &server);
    *a = (struct accepted){.shard = sh, .server = server};
    tt_session_init(&a->session, sh->worker, &server->endpoint, &server_side,
                    sh->listener->options.linger_us);
    a->session.connected = true;
    server->user = a;
    *session = &a->session;
    report(&sh->conns, TT_REPORT_SESSION_BEGUN, a->session.id_text, "");
    sh->waiting = any_waits(sh);
    tt_worker_mark(sh->worker, &sh->chore);
    return TT_OK;
}

/* --- what the others are told --- */

static void tell_accepting_threads(struct tt_shard *sh)
{
    struct tt_listener *l = sh->listener;
    const uint64_t begun = sh->conns.queue.stats.sessions_begun;
    if (begun == sh->told_begun)
        return;
    sh->told_begun = begun;
    sh->waiting = any_waits(sh);
    (void)pthread_mutex_lock(&l->lock);
    l->arrivals++;
    (void)pthread_cond_broadcast(&l->news);
    (void)pthread_mutex_unlock(&l->lock);
}

/* A session was refused for max_sessions, and none of ours could make room. If another shard has
 * one that can, the client finds room when it asks again.
 */
static void ask_for_room(struct tt_shard *sh)
{
    struct tt_listener *l = sh->listener;
    const uint64_t full = sh->conns.queue.stats.sessions_full;
    if (full == sh->asked_full || sh->quiet)
        return;
    sh->asked_full = full;
    for (uint32_t i = 0; i < l->workers; i++) {
        struct tt_shard *other = &l->shards[i];
        if (other != sh && !atomic_exchange(&other->asked, true))
            tt_worker_post(other->worker, &other->summons);
    }
}

static void make_room_if_asked(struct tt_shard *sh)
{
    const struct tt_quota *sessions = &sh->listener->sessions;
    if (atomic_exchange(&sh->asked, false) && tt_quota_taken(sessions) == sessions->most)
        (void)tt_queue_packet_conn_make_room(&sh->conns.queue);
}

/* A number may be a turn old, and two of them of different turns. */
static void publish(struct tt_shard *sh)
{
    struct tt_listener_stats stats;
    uint64_t values[TT_LISTENER_COUNTERS];
    tt_shard_collect(sh, &stats);
    memcpy(values, &stats, sizeof values);
    for (size_t i = 0; i < TT_LISTENER_COUNTERS; i++)
        atomic_store_explicit(&sh->published[i], values[i], memory_order_relaxed);
}

/* --- serving --- */

static void announce_sessions(struct tt_shard *sh)
{
    struct tt_session *s;
    while (sh->begun && !sh->listener->stopped && tt_shard_accept(sh, &s) == TT_OK)
        sh->begun(sh->begun_ctx, s);
    tell_accepting_threads(sh);
}

static void serve_one(struct tt_shard *sh, struct tt_server_session *s, uint64_t now_us)
{
    struct accepted *a = s->user;
    tt_listener_packet_conn_close_doomed(&sh->conns, &s->endpoint, now_us);
    if (a && s->endpoint.error && !a->session.ended_told)
        report(&sh->conns, TT_REPORT_SESSION_ENDED, a->session.id_text,
               tt_strerror(s->endpoint.error));
    if (a) {
        tt_queue_packet_conn_flushed(&sh->conns.queue,
                                     s); /* serving may free it: its deadline until then */
        tt_session_serve(&a->session, now_us);
        return;
    }
    tt_session_flush(&s->endpoint, now_us);
    tt_queue_packet_conn_flushed(&sh->conns.queue, s);
}

static void serve(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_shard *sh = TT_CONTAINER_OF(chore, struct tt_shard, chore);
    struct tt_server_session *s;

    announce_sessions(sh);
    while ((s = tt_queue_packet_conn_next_dirty(&sh->conns.queue)) != NULL)
        serve_one(sh, s, now_us);
    ask_for_room(sh);
    tt_timer_set(sh->worker, &sh->timer, tt_listener_packet_conn_deadline(&sh->conns));
    publish(sh);
    if (sh->listener->stopped)
        tt_worker_wake_all(sh->worker, &sh->change_waiters);
}

/* For callbacks alone: threads can read only when the loop sleeps, and what is acknowledged before
 * makes their clients send more than they read.
 */
static void serve_now(struct tt_listener_packet_conn *conns, uint64_t now_us)
{
    struct tt_shard *sh = TT_CONTAINER_OF(conns, struct tt_shard, conns);
    if (!sh->chore.calls_back || !tt_worker_is_own_turn(sh->worker))
        return;
    tt_list_remove(&sh->chore.node);
    serve(&sh->chore, now_us);
}

static void timer_due(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_shard *sh = TT_CONTAINER_OF(timer, struct tt_shard, timer);
    tt_listener_packet_conn_handle_timeout(&sh->conns, now_us);
    tt_worker_mark(sh->worker, &sh->chore);
}

bool tt_shard_is_settled(const struct tt_shard *sh)
{
    TT_LIST_FOR_EACH(node, &sh->conns.queue.closed)
    {
        const struct tt_server_session *s =
            TT_CONTAINER_OF(node, struct tt_server_session, state_node);
        if (!s->endpoint.error && !tt_endpoint_is_over(&s->endpoint))
            return false;
    }
    return true;
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
    stats->refused_half_open = g->refused_half_open;
    stats->half_open_expired = g->expired;
    stats->connections_muted = g->muted;
}

void tt_shard_collect(const struct tt_shard *sh, struct tt_listener_stats *stats)
{
    const struct tt_queue_packet_conn_stats *q = &sh->conns.queue.stats;
    *stats = sh->conns.stats;
    if (tt_shard_has_door(sh))
        stats->accept_failures += sh->listener->door.failures;
    stats->connections_unproven_now = tt_listener_packet_conn_unproven(&sh->conns);
    stats->sessions_begun = q->sessions_begun;
    stats->sessions_expired = q->sessions_expired;
    stats->sessions_replaced = q->sessions_replaced;
    stats->sessions_now = sh->conns.queue.sessions;
    stats->sessions_refused = q->backlog_full + q->sessions_full + q->no_memory;
    stats->packets_stray = q->strays + q->wrong_conv;
    stats->buffer_bytes = sh->worker->slabs.live_bytes;
    stats->sessions_turned_out = q->turned_out;
    stats->connections_unproven_now = sh->conns.unproven.count;
    add_gate_stats(&sh->conns.gate.stats, stats);
}

/* --- being told --- */

void tt_shard_look(struct tt_shard *sh)
{
    struct tt_listener *l = sh->listener;
    (void)pthread_mutex_lock(&l->lock);
    sh->begun = l->begun;
    sh->begun_ctx = l->begun_ctx;
    (void)pthread_mutex_unlock(&l->lock);
    if (sh->begun) {
        sh->chore.calls_back = true;
        tt_worker_calls_back(sh->worker);
    }
    make_room_if_asked(sh);
    if (atomic_exchange(&sh->review, false))
        tt_queue_packet_conn_review_clients(&sh->conns.queue, tt_worker_now_us());
    if (l->stopped && tt_shard_has_door(sh))
        tt_worker_mark_for_loop(sh->worker, &l->door_chore);
    tt_worker_mark(sh->worker, &sh->chore);
}

static void summoned(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_shard *sh = TT_CONTAINER_OF(chore, struct tt_shard, summons);
    (void)now_us;
    tt_shard_look(sh);
}

/* --- begin and end --- */

int tt_shard_set_up(struct tt_shard *sh)
{
    struct tt_listener *l = sh->listener;
    sh->conns = (struct tt_listener_packet_conn){.worker = sh->worker,
                                                 .options = &l->options,
                                                 .changed = changed,
                                                 .serve = serve_now,
                                                 .report = report,
                                                 .home = home,
                                                 .connections = &l->connections,
                                                 .origins = &l->origins,
                                                 .sessions = &l->sessions,
                                                 .waiting = &l->waiting,
                                                 .sealed = l->sealed,
                                                 .mute_us = l->mute_us,
                                                 .half_open = &l->half_open};
    if (l->sealed && sh < &l->shards[l->workers])
        sh->conns.keys = &l->keys;
    sh->chore.run = serve;
    sh->summons.run = summoned;
    tt_list_init(&sh->change_waiters);
    int err = tt_timer_init(sh->worker, &sh->timer, timer_due);
    if (err)
        return err;
    err = tt_listener_packet_conn_init(&sh->conns);
    if (err)
        tt_timer_dispose(sh->worker, &sh->timer);
    sh->set_up = !err;
    return err;
}

void tt_shard_dispose(struct tt_shard *sh, uint64_t now_us)
{
    if (!sh->set_up)
        return;
    sh->set_up = false;
    tt_listener_packet_conn_dispose(&sh->conns, now_us);
    tt_timer_dispose(sh->worker, &sh->timer);
    tt_list_remove(&sh->chore.node);
    tt_slab_pool_unshare(&sh->worker->slabs);
}
