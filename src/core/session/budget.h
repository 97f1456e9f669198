/* budget.h - how much a carrier may be used, and what is learned of it (native.md ).
 *
 * Somebody on the path may end or freeze each connection after so many bytes, or so long. Whoever
 * knows the limit sets a budget below it; who does not, learns it: when three carriers in a row
 * died at about the same number of bytes in a direction, or at the same age, the client stays below
 * that from then on. After every 10 carriers that kept to it without harm it tries twice as much;
 * if that goes wrong it goes back at once, and tries ever less often.
 *
 *   fresh --(half used)--> WANING, the next one is dialled --(no room for a segment)--> SPENT
 */
#ifndef TT_CORE_SESSION_BUDGET_H
#define TT_CORE_SESSION_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/session/carrier.h"

#define TT_LEARNED_AFTER 3u

/* What may be limited. */
enum tt_budget_kind {
    TT_BUDGET_UP,
    TT_BUDGET_DOWN,
    TT_BUDGET_AGE,
    TT_BUDGET_SUM, /* of both directions: learned only when neither alone explains it */
    TT_BUDGET_KINDS
};

struct tt_learner {
    uint64_t
        deaths[TT_LEARNED_AFTER]; /* what carriers had reached that died, one after the other */
    uint64_t at_most[TT_LEARNED_AFTER]; /* and had perhaps reached */
    uint32_t count;
    uint64_t limit;     /* learned; 0: none */
    uint64_t safe;      /* the limit before it was doubled, while that is being tried; else 0 */
    uint32_t good;      /* carriers in a row that kept to it */
    uint32_t try_after; /* of so many */
};

/* What carriers reached, by enum tt_budget_kind: for whoever wants to know, learned from or not. */
struct tt_fates {
    uint64_t most[TT_BUDGET_KINDS]; /* of any that has gone */
    uint32_t died;                  /* that ended though nobody here meant it; and what they had: */
    uint64_t died_least[TT_BUDGET_KINDS], died_most[TT_BUDGET_KINDS];
};

struct tt_budget {
    struct tt_fates fates;
    struct tt_learner learners[TT_BUDGET_KINDS];
    uint64_t learned; /* how often a limit was learned, for whoever reports it */
    uint64_t died_us; /* when a carrier last died, of those that counted; 0: none */
};

/* What a carrier had reached when it died, bytes by direction, and microseconds: so much surely,
 * and no more than that. What was sent and never answered lies between the two.
 */
struct tt_budget_use {
    uint64_t reached[TT_BUDGET_KINDS];
    uint64_t at_most[TT_BUDGET_KINDS];
};

/* Whether a carrier that opened then and dies now dies of the same blow as the one before: it was
 * there already, and goes at about the same time. Then it says nothing more about limits.
 */
bool tt_budget_is_same_blow(const struct tt_budget *b, uint64_t opened_us, uint64_t now_us);

/* A carrier died that nobody had meant to end. */
void tt_budget_died(struct tt_budget *b, const struct tt_budget_use *use);

/* One was used until its budget was spent, and did not die. Of its limits, those of which half was
 * used have been kept; the others were not put to the test.
 */
void tt_budget_kept(struct tt_budget *b, const struct tt_budget_use *use);

/* The learned limit, or the one given, whichever is smaller; 0: none. A limit on the sum leaves
 * half to each direction.
 */
uint64_t tt_budget_limit(const struct tt_budget *b, enum tt_budget_kind kind, uint64_t given);

/* The network has changed: what was learned was about another. */
void tt_budget_forget(struct tt_budget *b);

#endif
