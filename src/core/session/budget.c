#include "core/session/budget.h"

#include "core/base/clock.h"

#define TRY_MORE_AFTER 10u
#define TRY_MORE_MOST  640u
#define SAME_BLOW_US   (250 * TT_MS)

/* Not below: what dies sooner is not limited, it does not work. */
static const uint64_t least[TT_BUDGET_KINDS] = {8192, 8192, 5 * TT_SECOND, 8192};

/* One limit explains them all: the largest that was surely reached is no more than the smallest
 * that was perhaps reached, give or take a third, and the two are near enough to say something.
 */
static bool agree(const struct tt_learner *l, uint64_t *limit)
{
    uint64_t reached = 0;
    uint64_t at_most = UINT64_MAX;
    if (l->count < TT_LEARNED_AFTER)
        return false;
    for (unsigned i = 0; i < TT_LEARNED_AFTER; i++) {
        reached = l->deaths[i] > reached ? l->deaths[i] : reached;
        at_most = l->at_most[i] < at_most ? l->at_most[i] : at_most;
    }
    *limit = reached < at_most ? reached : at_most;
    return reached <= at_most + at_most / 3 && at_most <= 3 * reached;
}

/* It died where only twice as much as before was being tried: that was too much. */
static bool go_back(struct tt_learner *l, uint64_t reached)
{
    if (l->safe == 0 || reached < l->safe - l->safe / 4)
        return false;
    l->limit = l->safe;
    l->safe = 0;
    l->try_after = l->try_after < TRY_MORE_MOST ? 2 * l->try_after : TRY_MORE_MOST;
    l->count = 0;
    return true;
}

static bool learn(struct tt_learner *l, enum tt_budget_kind kind, uint64_t reached,
                  uint64_t at_most)
{
    uint64_t smallest;
    l->good = 0;
    if (go_back(l, reached))
        return false;
    l->deaths[l->count % TT_LEARNED_AFTER] = reached;
    l->at_most[l->count++ % TT_LEARNED_AFTER] = at_most;
    if (!agree(l, &smallest) || smallest < least[kind] / 2)
        return false;
    const uint64_t below = smallest - smallest / 8;
    const uint64_t limit = below > least[kind] ? below : least[kind];
    if (l->limit != 0 && limit >= l->limit)
        return false; /* it died of something else than what we know */
    l->limit = limit;
    l->safe = 0;
    l->try_after = TRY_MORE_AFTER;
    l->count = 0;
    return true;
}

bool tt_budget_is_same_blow(const struct tt_budget *b, uint64_t opened_us, uint64_t now_us)
{
    return b->died_us > 0 && opened_us < b->died_us && now_us - b->died_us < SAME_BLOW_US;
}

void tt_budget_died(struct tt_budget *b, const struct tt_budget_use *use)
{
    bool learned = false;
    for (unsigned kind = 0; kind < TT_BUDGET_SUM; kind++)
        learned |= learn(&b->learners[kind], kind, use->reached[kind], use->at_most[kind]);
    if (!learned)
        learned = learn(&b->learners[TT_BUDGET_SUM], TT_BUDGET_SUM, use->reached[TT_BUDGET_SUM],
                        use->at_most[TT_BUDGET_SUM]);
    else
        b->learners[TT_BUDGET_SUM].count = 0;
    b->learned += learned;
}

/* Only who has used half of a limit, or more, has shown that so much passes. */
static void try_more(struct tt_learner *l, uint64_t used)
{
    if (l->limit == 0 || used < l->limit / 2 || ++l->good < l->try_after)
        return;
    l->good = 0;
    l->safe = l->limit;
    l->limit = l->limit < UINT64_MAX / 2 ? 2 * l->limit : l->limit;
}

void tt_budget_kept(struct tt_budget *b, const struct tt_budget_use *use)
{
    for (unsigned kind = 0; kind < TT_BUDGET_KINDS; kind++) {
        b->learners[kind].count = 0; /* not in a row */
        try_more(&b->learners[kind], use->reached[kind]);
    }
}

/* Of two limits, 0 being none. */
static uint64_t smaller(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

uint64_t tt_budget_limit(const struct tt_budget *b, enum tt_budget_kind kind, uint64_t given)
{
    uint64_t limit = smaller(b->learners[kind].limit, given);
    if (kind == TT_BUDGET_UP || kind == TT_BUDGET_DOWN)
        limit = smaller(limit, b->learners[TT_BUDGET_SUM].limit / 2);
    return limit;
}

void tt_budget_forget(struct tt_budget *b)
{
    *b = (struct tt_budget){.learned = b->learned, .fates = b->fates};
}
