#include <assert.h>

#include "core/base/slab.h"

static const struct {
    uint32_t bytes;
    uint32_t most_spare; /* kept: at most 64 KiB, 256 KiB, 2 MiB, 320 KiB a pool */
} classes[TT_SLAB_CLASSES] = {
    [TT_SLAB_SMALL] = {TT_SLAB_SMALL_BYTES, 32},
    [TT_SLAB_MEDIUM] = {TT_SLAB_MEDIUM_BYTES, 16},
    [TT_SLAB_LARGE] = {TT_SLAB_LARGE_BYTES, 32},
    [TT_SLAB_PACKETS] = {TT_SLAB_LARGE_BYTES, 5},
};

/* Large ones, 64 MiB, in a pool that ages. */
#define MOST_WITH_SURPLUS 1024u

static uint32_t most_spare(const struct tt_slab_pool *pool, enum tt_slab_class class)
{
    return class == TT_SLAB_LARGE && pool->ages ? MOST_WITH_SURPLUS : classes[class].most_spare;
}

uint32_t tt_slab_capacity(enum tt_slab_class class)
{
    return classes[class].bytes - (uint32_t)sizeof(struct tt_slab);
}

void tt_slab_pool_init(struct tt_slab_pool *pool, const struct tt_alloc *alloc, size_t limit_bytes)
{
    *pool = (struct tt_slab_pool){.alloc = alloc, .limit_bytes = limit_bytes};
}

void tt_slab_pool_share(struct tt_slab_pool *pool, struct tt_quota *quota, size_t piece_bytes)
{
    assert(pool->live_bytes == 0 && piece_bytes >= TT_SLAB_LARGE_BYTES);
    pool->quota = quota;
    pool->piece_bytes = piece_bytes;
    pool->limit_bytes = 0;
}

void tt_slab_pool_unshare(struct tt_slab_pool *pool)
{
    if (!pool->quota)
        return;
    tt_quota_put(pool->quota, pool->limit_bytes);
    pool->quota = NULL;
    pool->limit_bytes = 0;
}

void tt_slab_pool_trim(struct tt_slab_pool *pool)
{
    for (unsigned c = 0; c < TT_SLAB_CLASSES; c++) {
        struct tt_slab *slab = pool->spare[c];
        while (slab) {
            struct tt_slab *next = slab->next_spare;
            pool->alloc->put(pool->alloc->ctx, slab);
            slab = next;
        }
        pool->spare[c] = NULL;
        pool->spare_count[c] = 0;
    }
}

void tt_slab_pool_rest(struct tt_slab_pool *pool)
{
    if (pool->live_bytes <= TT_SLAB_LARGE_BYTES)
        tt_slab_pool_trim(pool);
}

void tt_slab_pool_dispose(struct tt_slab_pool *pool)
{
    if (!pool->alloc)
        return;
    assert(pool->live_bytes == 0);
    tt_slab_pool_trim(pool);
}

static struct tt_slab *take_spare(struct tt_slab_pool *pool, enum tt_slab_class class)
{
    struct tt_slab *slab = pool->spare[class];
    if (slab) {
        pool->spare[class] = slab->next_spare;
        pool->spare_count[class]--;
    }
    if (class == TT_SLAB_LARGE && pool->spare_count[class] < pool->least_spare)
        pool->least_spare = pool->spare_count[class];
    return slab;
}

bool tt_slab_pool_has_surplus(const struct tt_slab_pool *pool)
{
    return pool->spare_count[TT_SLAB_LARGE] > classes[TT_SLAB_LARGE].most_spare;
}

void tt_slab_pool_age(struct tt_slab_pool *pool)
{
    for (; pool->least_spare > 0 && tt_slab_pool_has_surplus(pool); pool->least_spare--) {
        struct tt_slab *slab = pool->spare[TT_SLAB_LARGE];
        pool->spare[TT_SLAB_LARGE] = slab->next_spare;
        pool->spare_count[TT_SLAB_LARGE]--;
        pool->alloc->put(pool->alloc->ctx, slab);
    }
    pool->least_spare = pool->spare_count[TT_SLAB_LARGE];
}

static bool fits(const struct tt_slab_pool *pool, enum tt_slab_class class, size_t limit_bytes)
{
    const uint32_t bytes = classes[class].bytes;
    return bytes <= limit_bytes && pool->live_bytes <= limit_bytes - bytes;
}

/* Another piece of the shared limit. false: there is none, or the limit is fixed. */
static bool take_piece(struct tt_slab_pool *pool)
{
    if (!pool->quota || !tt_quota_take(pool->quota, pool->piece_bytes))
        return false;
    pool->limit_bytes += pool->piece_bytes;
    return true;
}

static void put_spare_piece(struct tt_slab_pool *pool)
{
    if (!pool->quota || pool->limit_bytes - pool->live_bytes < 2 * pool->piece_bytes)
        return;
    pool->limit_bytes -= pool->piece_bytes;
    tt_quota_put(pool->quota, pool->piece_bytes);
}

/* Where the limit is shared, what others have taken counts as full. */
static bool may_write_shared(const struct tt_slab_pool *pool, enum tt_slab_class class)
{
    const size_t most = pool->quota->most;
    const size_t more = fits(pool, class, pool->limit_bytes) ? 0 : pool->piece_bytes;
    return tt_quota_taken(pool->quota) + more <= most - most / 8;
}

bool tt_slab_may_write(const struct tt_slab_pool *pool, enum tt_slab_class class)
{
    if (pool->quota)
        return may_write_shared(pool, class);
    return fits(pool, class, pool->limit_bytes - pool->limit_bytes / 8);
}

struct tt_slab *tt_slab_get(struct tt_slab_pool *pool, enum tt_slab_class class)
{
    const uint32_t bytes = classes[class].bytes;
    struct tt_slab *slab = NULL;

    if (fits(pool, class, pool->limit_bytes) || take_piece(pool)) {
        slab = take_spare(pool, class);
        if (!slab)
            slab = pool->alloc->get(pool->alloc->ctx, bytes);
    }
    if (!slab) {
        pool->refused++;
        return NULL;
    }
    *slab = (struct tt_slab){
        .pool = pool, .refs = 1, .capacity = tt_slab_capacity(class), .class = (uint8_t) class};
    pool->live_bytes += bytes;
    return slab;
}

void tt_slab_release(struct tt_slab *slab)
{
    struct tt_slab_pool *pool = slab->pool;
    const uint8_t class = slab->class;

    if (slab->account)
        slab->account->bytes -= slab->capacity;
    pool->live_bytes -= classes[class].bytes;
    put_spare_piece(pool);
    if (pool->spare_count[class] >= most_spare(pool, class)) {
        pool->alloc->put(pool->alloc->ctx, slab);
        return;
    }
    slab->next_spare = pool->spare[class];
    pool->spare[class] = slab;
    pool->spare_count[class]++;
}
