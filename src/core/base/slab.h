/* slab.h - reference-counted blocks of bytes, so that data stays where it was put until it leaves.
 *
 * What a carrier read, and what the application wrote, lies in slabs; KCP segments, smux frames and
 * streams hold references to pieces of them. Three sizes, each with a short list of spare ones kept
 * by the pool: a session at work allocates nothing, an idle one holds nothing. Where much comes and
 * goes a short list is not enough: memory that the allocator gives back to the system has to be
 * cleared by it when it is wanted again. So a pool that somebody ages keeps more, a surplus, which
 * goes when it was not needed for a while.
 *
 * Not thread-safe: one pool serves the sessions of one worker. Counts are plain integers. Several
 * pools may share a limit, of which each takes pieces, large ones and rarely.
 */
#ifndef TT_CORE_BASE_SLAB_H
#define TT_CORE_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"
#include "core/base/quota.h"

/* Sizes in bytes, the slab's own header included. Packets are built in slabs of their own class, as
 * large as large ones: they are done with at once, and the same few, which the processor's cache
 * still has, are used for the next ones. Of the large ones another is taken each time, since those
 * that hold data come back late.
 */
enum tt_slab_class {
    TT_SLAB_SMALL,
    TT_SLAB_MEDIUM,
    TT_SLAB_LARGE,
    TT_SLAB_PACKETS,
    TT_SLAB_CLASSES
};
#define TT_SLAB_SMALL_BYTES  2048u
#define TT_SLAB_MEDIUM_BYTES 16384u
#define TT_SLAB_LARGE_BYTES  65536u

struct tt_slab_pool;

/* Somebody who is charged for the slabs that hold his data; see tt_slab_charge. */
struct tt_slab_account {
    size_t bytes;
};

struct tt_slab {
    struct tt_slab_pool *pool;
    struct tt_slab *next_spare;
    struct tt_slab_account *account; /* who pays for it, or NULL */
    uint32_t refs;
    uint32_t capacity; /* bytes that fit into data */
    uint32_t used;     /* bytes of data that are given out; the owner of the tail moves it */
    uint8_t class;
    bool transient; /* soon read over: whoever wants to keep bytes of it must copy them */
    uint8_t data[];
};

struct tt_slab_pool {
    struct tt_slab *reading; /* what somebody reads into, and keeps from read to read; or NULL. The
                                reader sets it and owns the reference. */
    const struct tt_alloc *alloc; /* borrowed; outlives the pool */
    size_t limit_bytes;           /* most that may be live at once */
    struct tt_quota *quota;       /* whence the limit comes, piece by piece; or NULL: it is fixed */
    size_t piece_bytes;
    size_t live_bytes; /* in use, spare ones not counted */
    uint64_t refused;  /* gets that met the limit or an allocator without memory */
    struct tt_slab *spare[TT_SLAB_CLASSES];
    uint32_t spare_count[TT_SLAB_CLASSES];
    uint32_t least_spare; /* large ones, since tt_slab_pool_age was called */
    bool ages;            /* the owner calls tt_slab_pool_age: set after init */
};

void tt_slab_pool_init(struct tt_slab_pool *pool, const struct tt_alloc *alloc, size_t limit_bytes);

/* From now on the limit is that of the quota, in bytes, for all pools that share it. This one takes
 * a piece (at least TT_SLAB_LARGE_BYTES) when it has nothing left, and gives one back when it has
 * two to spare: less than that of the quota is idle in each pool. Nothing must be live. The quota
 * outlives the pool, or the call of tt_slab_pool_unshare.
 */
void tt_slab_pool_share(struct tt_slab_pool *pool, struct tt_quota *quota, size_t piece_bytes);

/* Gives back all that was taken of a quota, if any; what is live may stay, and nothing is added. */
void tt_slab_pool_unshare(struct tt_slab_pool *pool);

/* Frees the spare slabs. All others must have been given back (live_bytes is 0: asserted). */
void tt_slab_pool_dispose(struct tt_slab_pool *pool);

/* Frees the spare slabs. */
void tt_slab_pool_trim(struct tt_slab_pool *pool);

/* Whether there is a surplus: then tt_slab_pool_age must be called, now and again. */
bool tt_slab_pool_has_surplus(const struct tt_slab_pool *pool);

/* Frees what of the surplus was not needed since the last call. */
void tt_slab_pool_age(struct tt_slab_pool *pool);
/* The same, when no more is in use than the slab that is read into: for who finds that a session
 * rests. As long as others have something under way their spare slabs are kept.
 */
void tt_slab_pool_rest(struct tt_slab_pool *pool);

/* A slab with one reference, used = 0, or NULL: limit or allocator. */
struct tt_slab *tt_slab_get(struct tt_slab_pool *pool, enum tt_slab_class class);

/* Whether one more slab of this class may be filled with what the application writes: an eighth of
 * the limit is left for the headers and control frames without which nothing leaves again, and for
 * what comes in and opens windows.
 */
bool tt_slab_may_write(const struct tt_slab_pool *pool, enum tt_slab_class class);

/* The bytes that fit into a slab of this class. */
uint32_t tt_slab_capacity(enum tt_slab_class class);

static inline struct tt_slab *tt_slab_ref(struct tt_slab *slab)
{
    slab->refs++;
    return slab;
}

/* The last reference is gone: back to the pool. Use tt_slab_unref. */
void tt_slab_release(struct tt_slab *slab);

/* NULL is allowed and does nothing. */
static inline void tt_slab_unref(struct tt_slab *slab)
{
    if (slab && --slab->refs == 0)
        tt_slab_release(slab);
}

static inline uint32_t tt_slab_room(const struct tt_slab *slab)
{
    return slab->capacity - slab->used;
}

/* Charges the whole slab to an account, once; it is uncharged when the slab is released. A slab
 * charged to somebody else stays there. The account must live until then: its holder gives back all
 * that he holds, and calls tt_slab_account_end.
 */
static inline void tt_slab_charge(struct tt_slab *slab, struct tt_slab_account *account)
{
    if (slab->account)
        return;
    slab->account = account;
    account->bytes += slab->capacity;
}

/* The account's holder goes. The one slab that may still be charged to it is the one being read
 * into: nobody pays for that now.
 */
static inline void tt_slab_account_end(struct tt_slab_pool *pool,
                                       const struct tt_slab_account *account)
{
    if (pool->reading && pool->reading->account == account)
        pool->reading->account = NULL;
}

#endif
