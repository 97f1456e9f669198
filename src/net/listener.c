/* What a listener is made of, and how that is made and unmade. */
#include <string.h>

#include "core/encapsulation.h"
#include "net/listener.h"
#include "net/session.h"

#define MOST_WORKERS  256u
#define LEAST_MUTE_US (30 * TT_SECOND) /* M-6 ... */
#define MOST_MUTE_US  (120 * TT_SECOND)

/* Of the shared limit of buffers, what one worker takes at a time; it has less than two to spare.
 */
#define MOST_PIECE_BYTES ((size_t)1 << 20)
#define PIECES_A_WORKER  32u
#define LEAST_BYTES_OF_WORKERS                                                                     \
    ((size_t)1 << 20) /* of the limit, for each, when there are several */

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0)                                                                          \
            (field) = (value);                                                                     \
    } while (0)

static struct tt_shard *door_shard(struct tt_listener *l)
{
    return &l->shards[l->shard_count - 1];
}

int tt_listener_check(const struct tt_options *o, struct tt_error_text *why)
{
    if (o->workers > MOST_WORKERS)
        tt_why(why, "%u workers: at most %u", o->workers, MOST_WORKERS);
    else if (o->workers > 1 && o->loop)
        tt_why(why, "%u workers: each has a loop of its own, so none can be given", o->workers);
    else if (o->workers > 1 && o->max_buffer_bytes / o->workers < LEAST_BYTES_OF_WORKERS)
        tt_why(why, "max_buffer_bytes: at least 1 MiB is needed for each of %u workers",
               o->workers);
    else
        return tt_session_check(o, o->private_key != NULL, why);
    return TT_E_INVAL;
}

void tt_listener_defaults(struct tt_options *o)
{
    DEFAULT(o->session_timeout_us, 600 * TT_SECOND);
    DEFAULT(o->linger_us, 5 * TT_SECOND);
    DEFAULT(o->handshake_timeout_us, 10 * TT_SECOND);
    DEFAULT(o->max_packet, TT_ENCAP_MAX_PACKET);
    DEFAULT(o->max_connections, 10000);
    DEFAULT(o->max_sessions, 10000);
    DEFAULT(o->accept_backlog, 128);
    DEFAULT(o->workers, 1);
    DEFAULT(o->max_buffer_bytes, TT_DEFAULT_MAX_BUFFER_BYTES);
    DEFAULT(o->alloc, &tt_alloc_malloc);
    if (o->loop)
        o->alloc = o->loop->alloc;
}

static void guest(struct tt_door *door, int fd)
{
    struct tt_listener *l = TT_CONTAINER_OF(door, struct tt_listener, door);
    tt_listener_packet_conn_greet(&door_shard(l)->conns, fd);
}

static void open_or_close_door(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_listener *l = TT_CONTAINER_OF(chore, struct tt_listener, door_chore);
    (void)now_us;
    if (l->stopped)
        tt_door_close(&l->door);
    else
        tt_door_open(&l->door);
}

struct tt_listener *tt_listener_new(const struct tt_options *o)
{
    const uint32_t count = o->workers == 1 ? 1 : o->workers + 1;
    const size_t size = sizeof(struct tt_listener) + count * sizeof(struct tt_shard);
    struct tt_listener *l = o->alloc->get(o->alloc->ctx, size);
    if (!l)
        return NULL;
    memset(l, 0, size);
    l->options = *o;
    l->sealed = o->private_key != NULL;
    l->workers = o->workers;
    l->shard_count = count;
    l->talking = count;
    l->standing = count;
    l->owns_loops = !o->loop;
    l->door.guest = guest;
    l->door_chore.run = open_or_close_door;
    tt_quota_init(&l->connections, o->max_connections);
    tt_quota_init(&l->sessions, o->max_sessions);
    tt_quota_init(&l->waiting, o->accept_backlog);
    tt_quota_init(&l->half_open, tt_sealing_max_half_open(o));
    tt_quota_init(&l->buffers, o->max_buffer_bytes);
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->news, NULL);
    for (uint32_t i = 0; i < count; i++)
        l->shards[i].listener = l;
    return l;
}

void tt_listener_free(struct tt_listener *l)
{
    const struct tt_alloc *alloc = l->options.alloc;
    (void)pthread_cond_destroy(&l->news);
    (void)pthread_mutex_destroy(&l->lock);
    if (l->origins.map.alloc)
        tt_origins_dispose(&l->origins);
    tt_crypto_wipe(&l->keys, sizeof l->keys);
    alloc->put(alloc->ctx, l);
}

static int start_loop(struct tt_listener *l, struct tt_shard *sh)
{
    if (!l->owns_loops) {
        sh->worker = l->options.loop;
        return TT_OK;
    }
    int err = tt_loop_new(&l->options, &sh->worker);
    if (err)
        return err;
    err = tt_loop_start(sh->worker);
    if (err) {
        tt_loop_free(sh->worker);
        sh->worker = NULL;
    }
    return err;
}

static int start_loops(struct tt_listener *l)
{
    int err = TT_OK;
    for (uint32_t i = 0; i < l->shard_count && !err; i++)
        err = start_loop(l, &l->shards[i]);
    return err;
}

void tt_listener_free_loops(struct tt_listener *l)
{
    for (uint32_t i = 0; i < l->shard_count && l->owns_loops; i++)
        if (l->shards[i].worker)
            tt_loop_free(l->shards[i].worker);
}

static void share_buffers(struct tt_listener *l, struct tt_shard *sh)
{
    const size_t part = l->options.max_buffer_bytes / PIECES_A_WORKER / l->workers;
    const size_t piece = part < MOST_PIECE_BYTES ? part : MOST_PIECE_BYTES;
    tt_slab_pool_share(&sh->worker->slabs, &l->buffers,
                       piece > TT_SLAB_LARGE_BYTES ? piece : TT_SLAB_LARGE_BYTES);
}

/* M-6: the same for all, so that nobody can tell why a connection ends; and another for each start.
 */
static int choose_mute_time(struct tt_listener *l)
{
    uint32_t dice;
    const int err = tt_worker_random.fill(tt_worker_random.ctx, &dice, sizeof dice);
    l->mute_us = LEAST_MUTE_US + dice % (MOST_MUTE_US - LEAST_MUTE_US);
    return err;
}

/* The program's keys are copied, for all shards: it may wipe its own. */
static int take_keys(struct tt_listener *l)
{
    struct tt_loop *w = l->shards[0].worker;
    if (!l->sealed)
        return TT_OK;
    int err = choose_mute_time(l);
    const bool entered = tt_worker_enter(w);
    if (!err)
        err = tt_sealing_server_keys(w, &l->options, &l->keys);
    tt_worker_leave(w, entered);
    l->options.private_key = l->options.instance = NULL;
    return err;
}

static int set_up_shards(struct tt_listener *l)
{
    int err = TT_OK;
    for (uint32_t i = 0; i < l->shard_count && !err; i++) {
        struct tt_shard *sh = &l->shards[i];
        const bool entered = tt_worker_enter(sh->worker);
        if (l->workers > 1)
            share_buffers(l, sh);
        err = tt_shard_set_up(sh);
        tt_worker_leave(sh->worker, entered);
    }
    return err;
}

static int open_door(struct tt_listener *l, const char *address, struct tt_error_text *why)
{
    struct tt_loop *w = door_shard(l)->worker;
    const bool entered = tt_worker_enter(w);
    l->door.worker = w;
    const int err = tt_door_bind(&l->door, address, why);
    if (!err)
        tt_worker_mark_for_loop(w, &l->door_chore);
    tt_worker_leave(w, entered);
    return err;
}

/* All that may fail. */
int tt_listener_begin(struct tt_listener *l, const char *address, struct tt_error_text *why)
{
    int err = tt_worker_random.fill(tt_worker_random.ctx, l->spread_key, sizeof l->spread_key);
    tt_origins_init(&l->origins, l->options.max_connections_per_address, l->spread_key,
                    l->options.alloc);
    if (!err)
        err = start_loops(l);
    if (!err)
        err = take_keys(l);
    if (!err)
        err = set_up_shards(l);
    if (!err)
        err = open_door(l, address, why);
    return err;
}

void tt_listener_undo(struct tt_listener *l)
{
    for (uint32_t i = 0; i < l->shard_count && l->shards[i].worker; i++) {
        struct tt_shard *sh = &l->shards[i];
        const bool entered = tt_worker_enter(sh->worker);
        tt_shard_dispose(sh, tt_worker_now_us());
        tt_worker_leave(sh->worker, entered);
    }
    tt_listener_free_loops(l);
    tt_listener_free(l);
}
