/* listener.h - a listener, and its sessions on several workers.
 *
 * The sessions of one worker, with their connections, are a shard: it has all that a packet or a
 * call on a session touches, and only its worker touches that. What shards share are quotas and the
 * few things below `lock`, touched once for a connection or a session.
 *
 *     door (accepts, reads 8 bytes) --- hash of the session ID --->  shard 0, shard 1, ...
 *
 * With one worker, the door is on its loop. With several, the door is a shard of its own that has
 * no sessions: whoever is busy with sessions keeps nobody from coming in. (A listening socket for
 * each worker, by SO_REUSEPORT, would spare the door; but a connection would wait at a busy worker
 * for another one's session, and a second server by mistake would share the port unnoticed.)
 *
 * Locks: a worker's, then `lock`, then a worker's post_lock. No thread holds two workers' locks
 * when it was not a callback that called, and shards speak to each other by tt_worker_post.
 */
#ifndef TT_NET_LISTENER_H
#define TT_NET_LISTENER_H

#include <pthread.h>
#include <stdatomic.h>

#include <turbotunnel/session.h>

#include "core/base/quota.h"
#include "net/door.h"
#include "net/listener_packet_conn.h"
#include "net/sealing.h"

#define TT_LISTENER_COUNTERS (sizeof(struct tt_listener_stats) / sizeof(uint64_t))

struct tt_shard {
    struct tt_listener *listener;
    struct tt_loop *worker;
    struct tt_listener_packet_conn conns;
    struct tt_list change_waiters; /* threads that wait for sessions to settle, or for the end */
    struct tt_chore chore;         /* to serve the sessions */
    struct tt_chore summons;       /* posted: to look at what has changed for all */
    struct tt_chore end;           /* to come to an end, in two steps */
    struct tt_timer timer;         /* the earliest deadline of connections and sessions */
    void (*begun)(void *ctx, struct tt_session *session); /* as the listener's */
    void *begun_ctx;
    uint64_t told_begun;  /* sessions begun when accepting threads were last told */
    uint64_t asked_full;  /* sessions refused for max_sessions when others were last asked */
    _Atomic bool waiting; /* there are sessions to accept */
    _Atomic bool asked;   /* by another shard, to make room for a session */
    _Atomic bool review;  /* who is welcome may have changed */
    bool set_up;
    bool quiet; /* it posts nothing to other shards any more */
    bool destroyed;
    _Atomic uint64_t published[TT_LISTENER_COUNTERS]; /* its stats after its last turn */
    char apart[64]; /* what follows in memory is another worker's: not in the same cache line */
};

struct tt_listener {
    struct tt_options options; /* defaults filled in */
    struct tt_door door;       /* at the last shard */
    uint8_t spread_key[16];    /* which session is whose; not the key of the shards' own maps */
    bool owns_loops;
    uint32_t workers;           /* shards that have sessions, the first ones */
    uint32_t shard_count;       /* the door's own, if it has one, included */
    struct tt_chore door_chore; /* to open or close the door: its loop's thread */
    _Atomic bool stopped;       /* set under lock */
    _Atomic bool abandoned;     /* closed by a callback: the last shard frees all */
    _Atomic uint32_t talking;   /* shards that are not quiet ... */
    _Atomic uint32_t standing;  /* ... and not destroyed */
    bool sealed;
    struct tt_server_keys keys; /* of a sealed one; nobody changes them any more */
    uint64_t mute_us;           /* the same */
    struct tt_quota connections, sessions, waiting, half_open, buffers;
    struct tt_origins origins;
    pthread_mutex_t lock; /* of the following */
    pthread_cond_t news;  /* arrivals has changed, or stopped */
    uint64_t arrivals;    /* how often a shard had new sessions to accept */
    void (*begun)(void *ctx, struct tt_session *session);
    void *begun_ctx;
    struct tt_shard shards[];
};

/* --- the whole: src/net/listener.c --- */

/* Zeroes in *o become the defaults. */
void tt_listener_defaults(struct tt_options *o);

/* Options that make no sense: TT_E_INVAL and the reason in *why. */
int tt_listener_check(const struct tt_options *o, struct tt_error_text *why);

/* Of options with the defaults filled in; NULL: no memory. With options->loop, under its lock. */
struct tt_listener *tt_listener_new(const struct tt_options *o);

/* Starts the loops, sets up the shards, and opens the door. What was begun before an error is left
 * for tt_listener_undo. As tt_listen.
 */
int tt_listener_begin(struct tt_listener *l, const char *address, struct tt_error_text *why);

/* Frees a listener that was not begun in full. */
void tt_listener_undo(struct tt_listener *l);

/* Those that were made for it; no shard is on them any more. */
void tt_listener_free_loops(struct tt_listener *l);

/* The listener itself; it has no shards and no loops any more. */
void tt_listener_free(struct tt_listener *l);

/* --- one shard: src/net/shard.c; its worker's lock is held --- */

/* Whether the door is at this one. Any thread. */
bool tt_shard_has_door(const struct tt_shard *sh);

/* listener and worker are set before. 0, TT_E_NOMEM, TT_E_SYSTEM or TT_E_INVAL. */
int tt_shard_set_up(struct tt_shard *sh);

/* Ends its connections and sessions, if it was set up. The loop's thread, or any as long as nothing
 * has come in.
 */
void tt_shard_dispose(struct tt_shard *sh, uint64_t now_us);

/* The session that has waited longest: 0, TT_E_AGAIN or TT_E_NOMEM. */
int tt_shard_accept(struct tt_shard *sh, struct tt_session **session);

/* Looks at what the listener holds for all shards, and at what it was asked for: the callback,
 * whether it was stopped, whether another shard needs room, whether clients are to be reviewed.
 */
void tt_shard_look(struct tt_shard *sh);

/* Every closed session has delivered what it had, or failed. */
bool tt_shard_is_settled(const struct tt_shard *sh);

/* Its part of the listener's numbers; connections_now is the listener's own. */
void tt_shard_collect(const struct tt_shard *sh, struct tt_listener_stats *stats);

#endif
