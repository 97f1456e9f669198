#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/random.h>
#include <time.h>

#include "net/conn.h"
#include "net/lead.h"
#include "net/sealing.h"
#include "net/worker.h"

/* Slabs that were not needed for so long go back to the allocator: it would not be worth it sooner.
 */
#define SPARES_AGE_US (1 * TT_SECOND)

/* Its address names the thread. */
static _Thread_local char this_thread;

static int fill_random(void *ctx, void *out, size_t len)
{
    (void)ctx;
    while (len > 0) {
        const ssize_t n = getrandom(out, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return TT_E_SYSTEM;
        out = (uint8_t *)out + n;
        len -= (size_t)n;
    }
    return TT_OK;
}

const struct tt_random tt_worker_random = {fill_random, NULL};

/* --- the lock --- */

static bool has_lock(const struct tt_loop *w)
{
    return atomic_load_explicit(&w->owner, memory_order_relaxed) == &this_thread;
}

void tt_worker_take_lock(struct tt_loop *w)
{
    (void)pthread_mutex_lock(&w->lock);
    atomic_store_explicit(&w->owner, &this_thread, memory_order_relaxed);
}

void tt_worker_release_lock(struct tt_loop *w)
{
    atomic_store_explicit(&w->owner, NULL, memory_order_relaxed);
    (void)pthread_mutex_unlock(&w->lock);
}

/* --- chores and timers --- */

bool tt_worker_is_own_turn(const struct tt_loop *w)
{
    return w->in_turn && !w->lead.by_program;
}

void tt_worker_mark(struct tt_loop *w, struct tt_chore *chore)
{
    const bool left_to_loop = chore->calls_back && !tt_worker_is_own_turn(w);
    if (!tt_list_linked(&chore->node))
        tt_list_push_back(left_to_loop ? &w->loop_chores : &w->chores, &chore->node);
}

void tt_worker_mark_for_loop(struct tt_loop *w, struct tt_chore *chore)
{
    if (!tt_list_linked(&chore->node))
        tt_list_push_back(&w->loop_chores, &chore->node);
}

static void do_chores(struct tt_list *chores, uint64_t now_us)
{
    struct tt_list_node *node;
    while ((node = tt_list_pop_front(chores)) != NULL) {
        struct tt_chore *chore = TT_CONTAINER_OF(node, struct tt_chore, node);
        chore->run(chore, now_us);
    }
}

int tt_timer_init(struct tt_loop *w, struct tt_timer *t,
                  void (*due)(struct tt_timer *timer, uint64_t now_us))
{
    t->due = due;
    return tt_heap_insert(&w->timers, &t->node, TT_NEVER);
}

void tt_timer_set(struct tt_loop *w, struct tt_timer *t, uint64_t deadline_us)
{
    if (t->node.key != deadline_us)
        tt_heap_update(&w->timers, &t->node, deadline_us);
}

void tt_timer_dispose(struct tt_loop *w, struct tt_timer *t)
{
    tt_heap_remove(&w->timers, &t->node);
}

static uint64_t next_deadline(const struct tt_loop *w)
{
    const struct tt_heap_node *first = tt_heap_peek(&w->timers);
    return first ? first->key : TT_NEVER;
}

static void run_due_timers(struct tt_loop *w, uint64_t now_us)
{
    while (next_deadline(w) <= now_us) {
        struct tt_timer *t = TT_CONTAINER_OF(tt_heap_peek(&w->timers), struct tt_timer, node);
        tt_heap_update(&w->timers, &t->node, TT_NEVER);
        t->due(t, now_us);
    }
}

static void timer_fired(uv_timer_t *handle)
{
    struct tt_loop *w = handle->data;
    tt_worker_turn(w);
    w->armed_us = TT_NEVER;
}

/* One uv timer for all. It is moved earlier at once, later only when it fires: deadlines are mostly
 * put off, again and again.
 */
static void arm_timer(struct tt_loop *w, uint64_t now_us)
{
    const uint64_t deadline_us = next_deadline(w);
    if (deadline_us >= w->armed_us)
        return;
    const uint64_t wait_us = deadline_us > now_us ? deadline_us - now_us : 0;
    w->armed_us = deadline_us;
    uv_update_time(&w->uv);
    (void)uv_timer_start(&w->timer, timer_fired, (wait_us + TT_MS - 1) / TT_MS, 0);
}

static void spares_age(struct tt_timer *timer, uint64_t now_us)
{
    (void)now_us; /* set anew at the end of the turn, while there is a surplus */
    tt_slab_pool_age(&TT_CONTAINER_OF(timer, struct tt_loop, spares)->slabs);
}

static void watch_spares(struct tt_loop *w, uint64_t now_us)
{
    if (w->spares.node.key == TT_NEVER && tt_slab_pool_has_surplus(&w->slabs))
        tt_timer_set(w, &w->spares, tt_deadline_after(now_us, SPARES_AGE_US));
}

/* --- waiting --- */

static void signal_woken(struct tt_loop *w)
{
    struct tt_list_node *node;
    while ((node = tt_list_pop_front(&w->woken)) != NULL)
        (void)pthread_cond_signal(&TT_CONTAINER_OF(node, struct tt_waiter, node)->cond);
}

void tt_worker_wake_all(struct tt_loop *w, struct tt_list *waiters)
{
    TT_LIST_FOR_EACH(node, waiters)
    {
        struct tt_waiter *waiter = TT_CONTAINER_OF(node, struct tt_waiter, node);
        waiter->woken = true;
        tt_lead_woke(w, waiter);
    }
    tt_list_append_all(&w->woken, waiters);
}

bool tt_worker_is_callback(const struct tt_loop *w)
{
    return has_lock(w) && w->in_turn;
}

static bool is_turner(const struct tt_loop *w)
{
    return atomic_load_explicit(&w->turner, memory_order_relaxed) == &this_thread;
}

bool tt_worker_must_not_wait(const struct tt_loop *w)
{
    return tt_worker_is_callback(w) || is_turner(w);
}

bool tt_worker_runs_elsewhere(const struct tt_loop *w)
{
    return w->running ||
           (atomic_load_explicit(&w->turner, memory_order_relaxed) != NULL && !is_turner(w));
}

/* What a thread of the program leaves to the loop: its handles, and an earlier deadline. When
 * nobody sleeps in it, somebody soon will (lead.h).
 */
void tt_worker_hand_over(struct tt_loop *w)
{
    if (!w->lead.answering)
        tt_list_append_all(&w->chores, &w->lead.answers);
    const uint64_t now_us = tt_worker_now_us();
    do_chores(&w->chores, now_us);
    watch_spares(w, now_us);
    if (w->lead.taken && (!tt_list_empty(&w->loop_chores) || next_deadline(w) < w->armed_us))
        (void)uv_async_send(&w->wake);
    signal_woken(w);
}

static struct timespec to_timespec(uint64_t wait_us)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(wait_us / TT_SECOND);
    t.tv_nsec += (long)(wait_us % TT_SECOND * 1000);
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

int tt_worker_init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int err = pthread_cond_init(cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return err;
}

bool tt_worker_sleep(struct tt_loop *w, pthread_cond_t *cond, uint64_t deadline_us)
{
    const uint64_t now_us = deadline_us == TT_NEVER ? 0 : tt_worker_now_us();
    int err;
    atomic_store_explicit(&w->owner, NULL, memory_order_relaxed);
    if (deadline_us == TT_NEVER) {
        err = pthread_cond_wait(cond, &w->lock);
    } else {
        const struct timespec until = to_timespec(deadline_us > now_us ? deadline_us - now_us : 0);
        err = pthread_cond_timedwait(cond, &w->lock, &until);
    }
    atomic_store_explicit(&w->owner, &this_thread, memory_order_relaxed);
    return err == 0;
}

bool tt_worker_wait(struct tt_loop *w, struct tt_list *waiters, uint64_t deadline_us)
{
    struct tt_waiter self = {.woken = false};

    assert(has_lock(w) && !w->in_turn);
    (void)tt_worker_init_cond(&self.cond);
    tt_list_push_back(waiters, &self.node);
    tt_lead_go_on(w);
    tt_worker_hand_over(w);
    while (!self.woken && tt_worker_sleep(w, &self.cond, deadline_us))
        continue;
    tt_list_remove(&self.node);
    (void)pthread_cond_destroy(&self.cond);
    return self.woken;
}

/* --- entering and leaving --- */

bool tt_worker_enter(struct tt_loop *w)
{
    if (has_lock(w))
        return false;
    tt_worker_take_lock(w);
    return true;
}

void tt_worker_leave(struct tt_loop *w, bool entered)
{
    if (!entered)
        return;
    tt_worker_hand_over(w);
    w->lead.answering = false;
    tt_worker_release_lock(w);
}

void tt_worker_turn(struct tt_loop *w)
{
    if (w->in_turn && has_lock(w))
        return;
    tt_worker_take_lock(w);
    w->in_turn = true;
}

/* The loop's own chores, which may call back, only where that is promised. */
static void do_all_chores(struct tt_loop *w, uint64_t now_us)
{
    do {
        do_chores(&w->chores, now_us);
        if (!w->lead.by_program || !w->calls_back)
            do_chores(&w->loop_chores, now_us);
    } while (!tt_list_empty(&w->chores));
}

void tt_worker_finish_turn(struct tt_loop *w)
{
    const uint64_t now_us = tt_worker_now_us();
    w->in_turn = true;
    tt_list_append_all(&w->chores, &w->lead.answers);
    run_due_timers(w, now_us);
    do_all_chores(w, now_us);
    watch_spares(w, now_us);
    arm_timer(w, now_us);
    signal_woken(w);
    w->in_turn = false;
}

void tt_worker_take_turn(struct tt_loop *w)
{
    tt_worker_release_lock(w);
    (void)uv_run(&w->uv, UV_RUN_ONCE);
    tt_worker_turn(w);
    tt_worker_finish_turn(w);
}

/* libuv runs this just before it sleeps. A timer may have been due before that, and have taken the
 * lock.
 */
static void before_sleep(uv_prepare_t *handle)
{
    struct tt_loop *w = handle->data;
    if (!w->in_turn)
        return;
    tt_worker_finish_turn(w);
    uv_stop(&w->uv); /* no sleep: what this brought about may end the sleeper's wait */
    tt_worker_release_lock(w);
}

void tt_worker_calls_back(struct tt_loop *w)
{
    w->calls_back = true;
    if (w->lead.by_program)
        (void)uv_async_send(&w->wake); /* it leads no longer */
}

/* The loop is woken under the lock: a chore that ends with the loop's end does not begin before. */
void tt_worker_post(struct tt_loop *w, struct tt_chore *chore)
{
    (void)pthread_mutex_lock(&w->post_lock);
    if (!tt_list_linked(&chore->node)) {
        tt_list_push_back(&w->posted, &chore->node);
        (void)uv_async_send(&w->wake);
    }
    (void)pthread_mutex_unlock(&w->post_lock);
}

static struct tt_chore *next_posted(struct tt_loop *w)
{
    (void)pthread_mutex_lock(&w->post_lock);
    struct tt_list_node *node = tt_list_pop_front(&w->posted);
    (void)pthread_mutex_unlock(&w->post_lock);
    return node ? TT_CONTAINER_OF(node, struct tt_chore, node) : NULL;
}

static void woken_up(uv_async_t *handle)
{
    struct tt_loop *w = handle->data;
    struct tt_chore *chore;
    tt_worker_turn(w);
    const uint64_t now_us = tt_worker_now_us();
    while ((chore = next_posted(w)) != NULL)
        chore->run(chore, now_us);
}

/* --- memory --- */

struct tt_gather *tt_worker_get_gather(struct tt_loop *w)
{
    struct tt_gather *g = w->spare_gather;
    w->spare_gather = NULL;
    if (g)
        return g;
    g = w->alloc->get(w->alloc->ctx, sizeof *g);
    if (!g)
        return NULL;
    g->kept = false;
    g->built_count = 0;
    tt_gather_reset(g);
    return g;
}

void tt_worker_put_gather(struct tt_loop *w, struct tt_gather *g)
{
    tt_gather_reset(g);
    if (w->spare_gather)
        w->alloc->put(w->alloc->ctx, g);
    else
        w->spare_gather = g;
}

/* --- the loop itself --- */

static int init_handles(struct tt_loop *w)
{
    if (uv_loop_init(&w->uv))
        return TT_E_SYSTEM;
    /* These cannot fail once the loop stands, except async, which wants a descriptor. */
    if (uv_async_init(&w->uv, &w->wake, woken_up)) {
        (void)uv_loop_close(&w->uv);
        return TT_E_SYSTEM;
    }
    (void)uv_prepare_init(&w->uv, &w->prepare);
    (void)uv_timer_init(&w->uv, &w->timer);
    w->wake.data = w->prepare.data = w->timer.data = w;
    (void)uv_prepare_start(&w->prepare, before_sleep);
    return TT_OK;
}

int tt_loop_new(const struct tt_options *options, struct tt_loop **loop)
{
    const struct tt_alloc *alloc = options && options->alloc ? options->alloc : &tt_alloc_malloc;
    struct tt_loop *w = alloc->get(alloc->ctx, sizeof *w);

    *loop = NULL;
    if (!w)
        return TT_E_NOMEM;
    *w = (struct tt_loop){.alloc = alloc, .armed_us = TT_NEVER, .turned_again = true};
    int err = fill_random(NULL, w->hash_key, sizeof w->hash_key);
    if (!err)
        err = init_handles(w);
    if (err) {
        alloc->put(alloc->ctx, w);
        return err;
    }
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_mutex_init(&w->post_lock, NULL);
    (void)tt_worker_init_cond(&w->lead.change);
    tt_slab_pool_init(&w->slabs, alloc,
                      options && options->max_buffer_bytes ? options->max_buffer_bytes
                                                           : TT_DEFAULT_MAX_BUFFER_BYTES);
    tt_objects_init(&w->conns, sizeof(struct tt_conn), alloc);
    tt_heap_init(&w->timers, alloc);
    w->slabs.ages = tt_timer_init(w, &w->spares, spares_age) == TT_OK;
    tt_list_init(&w->posted);
    tt_list_init(&w->chores);
    tt_list_init(&w->loop_chores);
    tt_list_init(&w->leftovers);
    tt_list_init(&w->woken);
    tt_list_init(&w->lead.answers);
    *loop = w;
    return TT_OK;
}

bool tt_worker_is_over(const struct tt_loop *w)
{
    return w->stopping || (w->orphan && tt_list_empty(&w->leftovers));
}

static int begin_running(struct tt_loop *w, bool threaded)
{
    const bool entered = tt_worker_enter(w);
    const bool was = w->running;
    if (!was) {
        w->running = true;
        atomic_store_explicit(&w->turner, NULL, memory_order_relaxed);
        w->threaded = threaded;
        w->lead.taken = !threaded;
    }
    tt_worker_leave(w, entered);
    return was ? TT_E_INVAL : TT_OK;
}

int tt_loop_fd(const struct tt_loop *w)
{
    return uv_backend_fd(&w->uv);
}

int tt_loop_timeout(struct tt_loop *w)
{
    /* What was begun by the last callbacks is not in the descriptor's set before the next turn, and
     * older versions of libuv do not say so. */
    if (w->turned_again)
        return 0;
    uv_update_time(&w->uv);
    return uv_backend_timeout(&w->uv);
}

int tt_loop_turn(struct tt_loop *w)
{
    if (tt_worker_is_callback(w))
        return TT_E_INVAL;
    const bool entered = tt_worker_enter(w);
    const bool runs = w->running;
    atomic_store_explicit(&w->turner, runs ? NULL : &this_thread, memory_order_relaxed);
    if (!runs)
        w->lead.taken = true; /* others wake it, for its descriptor may be waited for */
    tt_worker_leave(w, entered);
    if (runs)
        return TT_E_INVAL;
    /* The turn's end comes before libuv looks for events, since it does not sleep. */
    (void)uv_run(&w->uv, UV_RUN_NOWAIT);
    w->turned_again = w->in_turn;
    tt_worker_turn(w);
    w->turned_again |= !tt_list_empty(&w->chores) || !tt_list_empty(&w->loop_chores);
    tt_worker_finish_turn(w);
    tt_worker_release_lock(w);
    return TT_OK;
}

int tt_loop_run(struct tt_loop *w)
{
    int err = begin_running(w, false);
    if (err)
        return err;
    const bool entered = tt_worker_enter(w);
    tt_worker_finish_turn(w);
    while (!tt_worker_is_over(w))
        tt_worker_take_turn(w);
    w->running = false;
    w->stopping = false;
    w->lead.taken = false;
    tt_worker_leave(w, entered);
    return TT_OK;
}

static void dispose(struct tt_loop *w);

static void *thread_main(void *arg)
{
    struct tt_loop *w = arg;
    tt_worker_take_lock(w);
    tt_lead_by_default(w);
    tt_worker_release_lock(w);
    if (w->orphan) {
        (void)pthread_detach(pthread_self());
        dispose(w);
    }
    return NULL;
}

void tt_worker_orphan(struct tt_loop *w)
{
    assert(w->threaded && tt_worker_is_callback(w));
    w->orphan = true;
}

int tt_loop_start(struct tt_loop *w)
{
    sigset_t all;
    sigset_t before;
    int err = begin_running(w, true);
    if (err)
        return err;
    /* Signals are the program's: they find its threads, not ours. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&w->thread, NULL, thread_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        w->running = false;
        w->threaded = false;
        return TT_E_SYSTEM;
    }
    return TT_OK;
}

static void stop(struct tt_loop *w)
{
    w->stopping = true;
    (void)uv_async_send(&w->wake);
    (void)pthread_cond_signal(&w->lead.change);
}

void tt_loop_stop(struct tt_loop *w)
{
    const bool entered = tt_worker_enter(w);
    if (!w->threaded)
        stop(w);
    tt_worker_leave(w, entered);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void dispose(struct tt_loop *w)
{
    tt_worker_take_lock(w);
    do_chores(&w->leftovers, tt_worker_now_us());
    tt_worker_finish_turn(w); /* the chores that only the loop may do: handles to be closed */
    uv_walk(&w->uv, close_handle, NULL);
    w->in_turn = true; /* for the functions that libuv calls about handles that it has closed */
    (void)uv_run(&w->uv, UV_RUN_DEFAULT);
    tt_worker_release_lock(w);
    (void)uv_loop_close(&w->uv);
    tt_slab_unref(w->slabs.reading);
    if (w->spare_gather)
        w->alloc->put(w->alloc->ctx, w->spare_gather);
    tt_sealing_dispose(w);
    tt_slab_pool_dispose(&w->slabs);
    if (w->slabs.ages)
        tt_timer_dispose(w, &w->spares);
    tt_objects_dispose(&w->conns);
    tt_heap_dispose(&w->timers);
    (void)pthread_cond_destroy(&w->lead.change);
    (void)pthread_mutex_destroy(&w->post_lock);
    (void)pthread_mutex_destroy(&w->lock);
    w->alloc->put(w->alloc->ctx, w);
}

void tt_loop_free(struct tt_loop *w)
{
    if (w->threaded) {
        const bool entered = tt_worker_enter(w);
        stop(w);
        tt_worker_leave(w, entered);
        (void)pthread_join(w->thread, NULL);
    }
    dispose(w);
}
