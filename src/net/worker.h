/* worker.h - one event loop, its lock, its timers, and all that is done once at the end of a turn.
 *
 * A turn: libuv's callbacks change state and mark what may have something to say; the end of the
 * turn (just before the loop sleeps) reports events, flushes each marked thing once, arms one
 * timer, wakes the threads that wait, and lets go of the lock. A thread of the program that calls
 * in does the same for what it touched, without the loop: its writes leave at once.
 *
 * Locking: tt_worker_enter takes the lock, or does nothing when this thread has it already (it is
 * in a callback of the library); it returns what tt_worker_leave wants to know.
 */
#ifndef TT_NET_WORKER_H
#define TT_NET_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include <turbotunnel/loop.h>

#include "core/base/clock.h"
#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/objects.h"
#include "core/base/random.h"
#include "core/base/slab.h"
#include "core/gather.h"

#define TT_DEFAULT_MAX_BUFFER_BYTES ((size_t)1 << 30)

/* Something that must be looked at once at the end of the turn. */
struct tt_chore {
    struct tt_list_node node;
    void (*run)(struct tt_chore *chore, uint64_t now_us);
    bool calls_back; /* it may call the program back, which is for the loop's thread alone */
};

/* A deadline with a function. */
struct tt_timer {
    struct tt_heap_node node;
    void (*due)(struct tt_timer *timer, uint64_t now_us);
};

/* A thread that waits; on its stack. */
struct tt_waiter {
    struct tt_list_node node;
    pthread_cond_t cond;
    bool woken;
    bool prompt; /* it may lead, and was soon back when it left the last time (lead.h) */
};

/* Who takes the turns of a loop with a thread of its own: see lead.h. */
struct tt_leadership {
    _Atomic bool taken; /* somebody does; set under the lock */
    bool by_program;    /* it is a thread of the program, in a blocking call */
    bool expected;      /* a thread that was just woken will soon be back to do it */
    bool vacant;        /* whoever did it will not be back soon */
    bool unwatched;     /* the loop's own thread sleeps until it is told */
    bool answering;     /* the leader has what it waited for, and will soon call again */
    const struct tt_waiter *leader; /* by_program: how it waits */
    struct tt_list answers;         /* of struct tt_chore: what can leave with its next call */
    uint64_t stints;                /* so many times a thread of the program has begun to */
    pthread_cond_t change;          /* for the loop's own thread */
};

struct tt_sealer;

struct tt_loop { /* the public name of a worker */
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_timer_t timer;
    pthread_mutex_t lock;
    pthread_mutex_t post_lock;   /* of posted alone; nothing else is locked under it */
    struct tt_list posted;       /* of struct tt_chore, from other threads */
    _Atomic(const void *) owner; /* the thread that has the lock: the address of a thread-local */
    pthread_t thread;
    bool running;
    bool turned_again;            /* in tt_loop_turn libuv called back behind the end of the turn */
    _Atomic(const void *) turner; /* the thread that last called tt_loop_turn, or NULL */
    bool threaded;                /* on a thread of our own */
    bool stopping;
    bool orphan;     /* nobody will free it: it does so itself when nothing is left to do */
    bool in_turn;    /* whoever takes the turns took the lock in this one */
    bool calls_back; /* the program has callbacks here: turns are for the loop's own thread */
    struct tt_leadership lead;
    const struct tt_alloc *alloc;
    struct tt_slab_pool slabs;
    struct tt_objects conns;        /* memory of struct tt_conn */
    struct tt_gather *spare_gather; /* or NULL */
    struct tt_sealer *sealer;       /* of the sealed sessions here, or NULL */
    uint8_t spare_read[16384];      /* to read into when the pool has no slab: acks free some */
    struct tt_heap timers;          /* of struct tt_timer */
    struct tt_timer spares;         /* to let go of memory that is not needed any more */
    struct tt_list chores;          /* of struct tt_chore: marked in this turn */
    struct tt_list loop_chores; /* those that only the loop's own thread may do (libuv handles) */
    struct tt_list leftovers;   /* of struct tt_chore: what lingers, to be ended with the loop */
    struct tt_list woken;       /* waiters to signal before the lock is let go */
    uint64_t armed_us;          /* what uv's timer is set to, or TT_NEVER */
    uint8_t hash_key[16];
};

static inline uint64_t tt_worker_now_us(void)
{
    /* Counts through suspend, where the system has such a clock. */
    struct timespec t;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * TT_SECOND + (uint64_t)t.tv_nsec / 1000;
}

/* getrandom as the core wants it. */
extern const struct tt_random tt_worker_random;

/* Takes the lock; false: this thread had it. */
bool tt_worker_enter(struct tt_loop *w);

/* Ends what enter began: does the chores, wakes, lets go. Only when entered is true. */
void tt_worker_leave(struct tt_loop *w, bool entered);

/* At the top of every libuv callback: the loop's thread takes the lock for this turn. */
void tt_worker_turn(struct tt_loop *w);

/* The chore will be run once, at the end of the turn or call; one that calls back at the end of a
 * turn.
 */
void tt_worker_mark(struct tt_loop *w, struct tt_chore *chore);

/* The same, by the loop's own thread: it may touch libuv's handles. */
void tt_worker_mark_for_loop(struct tt_loop *w, struct tt_chore *chore);

/* The chore will be run by the loop's own thread, soon, in the order of posting; nothing is done
 * when it is posted already. Any thread, whatever locks it has: this is how workers talk to each
 * other. The chore is posted only, never marked, and the loop must not have been freed.
 */
void tt_worker_post(struct tt_loop *w, struct tt_chore *chore);

/* Sets (TT_NEVER: unsets) a timer that was made with tt_timer_init. Never fails. */
int tt_timer_init(struct tt_loop *w, struct tt_timer *t,
                  void (*due)(struct tt_timer *timer, uint64_t now_us));
void tt_timer_set(struct tt_loop *w, struct tt_timer *t, uint64_t deadline_us);
void tt_timer_dispose(struct tt_loop *w, struct tt_timer *t);

/* Waits, without the lock, until woken or until the deadline. false: the deadline came first.
 * Chores are done first. The thread must have entered; whatever was true before may not be any
 * more.
 */
bool tt_worker_wait(struct tt_loop *w, struct tt_list *waiters, uint64_t deadline_us);

/* What a thread that does not take the turns does before it lets go of the lock: chores, wakes. */
void tt_worker_hand_over(struct tt_loop *w);

/* Takes the lock without asking, or gives it away. */
void tt_worker_take_lock(struct tt_loop *w);
void tt_worker_release_lock(struct tt_loop *w);

/* pthread_cond_wait with the lock, which the thread has. false: the deadline (TT_NEVER: none) came.
 */
bool tt_worker_sleep(struct tt_loop *w, pthread_cond_t *cond, uint64_t deadline_us);

/* Does all that is due, with the lock, as at the end of a turn. */
void tt_worker_finish_turn(struct tt_loop *w);

/* One turn: sleeps without the lock until something happens, and deals with it. With the lock, by
 * the one thread that leads.
 */
void tt_worker_take_turn(struct tt_loop *w);

/* It was stopped, or is nobody's any more. */
bool tt_worker_is_over(const struct tt_loop *w);

/* From now on the program may be called back by what lives on the loop. */
void tt_worker_calls_back(struct tt_loop *w);

/* A condition that is waited for by the monotonic clock. */
int tt_worker_init_cond(pthread_cond_t *cond);

/* For tt_loop_free, from a callback of a loop with a thread of its own: the loop goes on until
 * nothing lingers any more, and then frees itself.
 */
void tt_worker_orphan(struct tt_loop *w);

/* Wakes all that wait in the list. */
void tt_worker_wake_all(struct tt_loop *w, struct tt_list *waiters);

/* Whether this is a callback: the lock is held for the whole of it. */
bool tt_worker_is_callback(const struct tt_loop *w);

/* Whether the loop's own thread, where callbacks come, takes this turn. With the lock. */
bool tt_worker_is_own_turn(const struct tt_loop *w);

/* Whether this is the loop's thread, so far as one can know: waiting would wait for ever. */
bool tt_worker_must_not_wait(const struct tt_loop *w);

/* Whether another thread runs the loop, now or in the next turn: only that may touch libuv's
 * handles. */
bool tt_worker_runs_elsewhere(const struct tt_loop *w);

/* A gather, empty, or NULL: no memory; and back. */
struct tt_gather *tt_worker_get_gather(struct tt_loop *w);
void tt_worker_put_gather(struct tt_loop *w, struct tt_gather *g);

#endif
