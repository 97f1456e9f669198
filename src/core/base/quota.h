/* quota.h - how much of something there may be, and how much of it is taken.
 *
 * Several may share one, each on a thread of its own: it is the one thing in the core that allows
 * that. So it is for what is taken rarely, once for a session or for a large piece of memory. What
 * is taken for every packet would go from processor to processor with it.
 */
#ifndef TT_CORE_BASE_QUOTA_H
#define TT_CORE_BASE_QUOTA_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct tt_quota {
    size_t most;          /* changed by nobody once it is shared */
    _Atomic size_t taken; /* never more than that */
};

static inline void tt_quota_init(struct tt_quota *q, size_t most)
{
    q->most = most;
    atomic_init(&q->taken, 0);
}

/* At this moment: the others go on. */
static inline size_t tt_quota_taken(const struct tt_quota *q)
{
    return atomic_load_explicit(&q->taken, memory_order_relaxed);
}

/* false: there is not so much left, and nothing was taken. */
static inline bool tt_quota_take(struct tt_quota *q, size_t n)
{
    size_t taken = tt_quota_taken(q);
    do {
        if (taken > q->most || n > q->most - taken)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&q->taken, &taken, taken + n,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Gives back what was taken. */
static inline void tt_quota_put(struct tt_quota *q, size_t n)
{
    const size_t before = atomic_fetch_sub_explicit(&q->taken, n, memory_order_relaxed);
    assert(before >= n);
    (void)before;
}

#endif
