/* tt_listen and the other public functions of a listener. */
#include <assert.h>
#include <string.h>

#include "net/lead.h"
#include "net/listener.h"
#include "net/session.h"

static bool is_callback(const struct tt_listener *l)
{
    for (uint32_t i = 0; i < l->shard_count; i++)
        if (tt_worker_is_callback(l->shards[i].worker))
            return true;
    return false;
}

/* All shards look at what has changed for them: now, or, those whose lock a callback of another one
 * may not wait for, soon.
 */
static void tell_all(struct tt_listener *l)
{
    const bool may_wait = !is_callback(l);
    for (uint32_t i = 0; i < l->shard_count; i++) {
        struct tt_shard *sh = &l->shards[i];
        if (may_wait || tt_worker_is_callback(sh->worker)) {
            const bool entered = tt_worker_enter(sh->worker);
            tt_shard_look(sh);
            tt_worker_leave(sh->worker, entered);
        } else {
            tt_worker_post(sh->worker, &sh->summons);
        }
    }
}

int tt_listen(const char *address, const struct tt_options *options, struct tt_listener **listener,
              struct tt_error_text *why)
{
    struct tt_options o = options ? *options : (struct tt_options){0};
    struct tt_loop *loop = o.loop;

    *listener = NULL;
    tt_why(why, "%s", "");
    tt_listener_defaults(&o);
    int err = tt_listener_check(&o, why);
    if (err)
        return err;
    const bool entered = loop && tt_worker_enter(loop);
    struct tt_listener *l = tt_listener_new(&o);
    err = l ? tt_listener_begin(l, address, why) : TT_E_NOMEM;
    if (err && l)
        tt_listener_undo(l);
    if (loop)
        tt_worker_leave(loop, entered);
    if (err && why && why->text[0] == '\0')
        tt_why(why, "listen on %.100s: %s", address, tt_strerror(err));
    if (!err)
        *listener = l;
    return err;
}

const char *tt_listener_address(const struct tt_listener *l)
{
    return l->door.address_text;
}

/* --- accepting --- */

static bool must_not_wait(const struct tt_listener *l)
{
    for (uint32_t i = 0; i < l->shard_count; i++)
        if (tt_worker_must_not_wait(l->shards[i].worker))
            return true;
    return false;
}

static uint64_t arrivals_until_now(struct tt_listener *l)
{
    (void)pthread_mutex_lock(&l->lock);
    const uint64_t arrivals = l->arrivals;
    (void)pthread_mutex_unlock(&l->lock);
    return arrivals;
}

/* Who waits here does not lead (lead.h). It is mostly the thread that has just left a loop that
 * knows of one that nobody leads: others are not disturbed.
 */
static void let_loops_go_on(struct tt_listener *l)
{
    for (uint32_t i = 0; i < l->shard_count; i++) {
        struct tt_loop *w = l->shards[i].worker;
        if (tt_lead_is_taken(w))
            continue;
        const bool entered = tt_worker_enter(w);
        tt_lead_go_on(w);
        tt_worker_leave(w, entered);
    }
}

static void wait_for_news(struct tt_listener *l, uint64_t seen)
{
    (void)pthread_mutex_lock(&l->lock);
    while (l->arrivals == seen && !l->stopped)
        (void)pthread_cond_wait(&l->news, &l->lock);
    (void)pthread_mutex_unlock(&l->lock);
}

/* Shards take turns to be asked first. One that has nobody is not disturbed. */
static int accept_any(struct tt_listener *l, uint64_t first, struct tt_session **session)
{
    int err = TT_E_AGAIN;
    for (uint32_t i = 0; i < l->workers && err == TT_E_AGAIN; i++) {
        struct tt_shard *sh = &l->shards[(first + i) % l->workers];
        if (!sh->waiting)
            continue;
        const bool entered = tt_worker_enter(sh->worker);
        err = tt_shard_accept(sh, session);
        tt_worker_leave(sh->worker, entered);
    }
    return err;
}

int tt_listener_accept(struct tt_listener *l, struct tt_session **session)
{
    *session = NULL;
    if (must_not_wait(l))
        return TT_E_INVAL;
    while (!l->stopped) {
        const uint64_t seen = arrivals_until_now(l);
        const int err = accept_any(l, seen, session);
        if (err != TT_E_AGAIN)
            return err;
        let_loops_go_on(l);
        wait_for_news(l, seen);
    }
    return TT_E_CLOSED;
}

void tt_listener_set_callback(struct tt_listener *l,
                              void (*begun)(void *ctx, struct tt_session *session), void *ctx)
{
    (void)pthread_mutex_lock(&l->lock);
    l->begun = begun;
    l->begun_ctx = ctx;
    (void)pthread_mutex_unlock(&l->lock);
    tell_all(l);
}

void tt_listener_stop(struct tt_listener *l)
{
    (void)pthread_mutex_lock(&l->lock);
    l->stopped = true;
    (void)pthread_cond_broadcast(&l->news);
    (void)pthread_mutex_unlock(&l->lock);
    tell_all(l);
}

void tt_listener_review_clients(struct tt_listener *l)
{
    for (uint32_t i = 0; i < l->workers; i++)
        l->shards[i].review = true;
    tell_all(l);
}

/* --- numbers --- */

static void read_published(const struct tt_shard *sh, struct tt_listener_stats *stats)
{
    uint64_t values[TT_LISTENER_COUNTERS];
    for (size_t i = 0; i < TT_LISTENER_COUNTERS; i++)
        values[i] = atomic_load_explicit(&sh->published[i], memory_order_relaxed);
    memcpy(stats, values, sizeof values);
}

static void add(struct tt_listener_stats *sum, const struct tt_listener_stats *part)
{
    uint64_t sums[TT_LISTENER_COUNTERS];
    uint64_t values[TT_LISTENER_COUNTERS];
    memcpy(sums, sum, sizeof sums);
    memcpy(values, part, sizeof values);
    for (size_t i = 0; i < TT_LISTENER_COUNTERS; i++)
        sums[i] += values[i];
    memcpy(sum, sums, sizeof sums);
}

void tt_listener_get_stats(struct tt_listener *l, struct tt_listener_stats *stats)
{
    const bool may_wait = !is_callback(l);
    *stats = (struct tt_listener_stats){0};
    for (uint32_t i = 0; i < l->shard_count; i++) {
        struct tt_shard *sh = &l->shards[i];
        struct tt_listener_stats part;
        if (may_wait || tt_worker_is_callback(sh->worker)) {
            const bool entered = tt_worker_enter(sh->worker);
            tt_shard_collect(sh, &part);
            tt_worker_leave(sh->worker, entered);
        } else {
            read_published(sh, &part);
        }
        add(stats, &part);
    }
    stats->connections_now = tt_quota_taken(&l->connections);
}

/* --- the end ---
 *
 * In two steps when there are several shards. First each falls silent: it ends what it might hand
 * over to others, and posts nothing more. When all are silent the last one posts to all that they
 * shall go; that comes behind whatever was posted before. So none is gone to which somebody hands
 * something over, and what is handed over has somebody to end it.
 */

static void destroy(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_shard *sh = TT_CONTAINER_OF(chore, struct tt_shard, end);
    struct tt_listener *l = sh->listener;
    if (tt_shard_has_door(sh)) {
        tt_list_remove(&l->door_chore.node);
        tt_door_dispose(&l->door);
    }
    tt_shard_dispose(sh, now_us);
    sh->destroyed = true;
    tt_worker_wake_all(sh->worker, &sh->change_waiters);
    if (!l->abandoned)
        return;
    if (l->owns_loops)
        tt_worker_orphan(sh->worker);
    if (atomic_fetch_sub(&l->standing, 1) == 1)
        tt_listener_free(l);
}

static void fall_silent(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_shard *sh = TT_CONTAINER_OF(chore, struct tt_shard, end);
    struct tt_listener *l = sh->listener;
    if (tt_shard_has_door(sh))
        tt_door_close(&l->door);
    tt_listener_packet_conn_end_strangers(&sh->conns, now_us);
    sh->quiet = true;
    if (atomic_fetch_sub(&l->talking, 1) > 1)
        return;
    for (uint32_t i = 0; i < l->shard_count; i++) {
        l->shards[i].end.run = destroy;
        tt_worker_post(l->shards[i].worker, &l->shards[i].end);
    }
}

/* The only shard goes at the end of the turn: the callback that wants it may be one of its own
 * sessions'.
 */
static void end_only_shard(struct tt_shard *sh)
{
    const bool entered = tt_worker_enter(sh->worker);
    sh->end.run = destroy;
    if (tt_worker_is_callback(sh->worker) || tt_worker_runs_elsewhere(sh->worker))
        tt_worker_mark_for_loop(sh->worker, &sh->end);
    else
        destroy(&sh->end, tt_worker_now_us());
    tt_worker_leave(sh->worker, entered);
}

static void end_shards(struct tt_listener *l)
{
    if (l->shard_count == 1) {
        end_only_shard(&l->shards[0]);
        return;
    }
    for (uint32_t i = 0; i < l->shard_count; i++) {
        l->shards[i].end.run = fall_silent;
        tt_worker_post(l->shards[i].worker, &l->shards[i].end);
    }
}

static void await_settled(struct tt_shard *sh, uint64_t until_us)
{
    const bool entered = tt_worker_enter(sh->worker);
    while (tt_worker_runs_elsewhere(sh->worker) && !tt_shard_is_settled(sh) &&
           tt_worker_now_us() < until_us)
        (void)tt_worker_wait(sh->worker, &sh->change_waiters, until_us);
    tt_worker_leave(sh->worker, entered);
}

static void await_destroyed(struct tt_shard *sh)
{
    const bool entered = tt_worker_enter(sh->worker);
    while (!sh->destroyed)
        (void)tt_worker_wait(sh->worker, &sh->change_waiters, TT_NEVER);
    tt_worker_leave(sh->worker, entered);
}

void tt_listener_close(struct tt_listener *l)
{
    tt_listener_stop(l);
    if (is_callback(l)) {
        l->abandoned = true;
        end_shards(l);
        return;
    }
    const uint64_t until_us = tt_deadline_after(tt_worker_now_us(), l->options.linger_us);
    for (uint32_t i = 0; i < l->workers; i++)
        await_settled(&l->shards[i], until_us);
    end_shards(l);
    for (uint32_t i = 0; i < l->shard_count; i++)
        await_destroyed(&l->shards[i]);
    tt_listener_free_loops(l);
    struct tt_loop *loop = l->options.loop;
    const bool entered = loop && tt_worker_enter(loop);
    tt_listener_free(l);
    if (loop)
        tt_worker_leave(loop, entered);
}
