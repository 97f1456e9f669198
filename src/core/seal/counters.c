#include "core/seal/counters.h"

#include <string.h>

static uint64_t bit_of(uint64_t counter)
{
    return UINT64_C(1) << counter % 64;
}

static unsigned word_of(uint64_t counter)
{
    return counter / 64 % (TT_COUNTERS_WINDOW / 64);
}

bool tt_counters_may(const struct tt_counters *c, uint32_t counter)
{
    if (counter >= c->next)
        return true;
    return c->next - counter <= TT_COUNTERS_WINDOW &&
           (c->bits[word_of(counter)] & bit_of(counter)) == 0;
}

/* The window moves: those that it passes over have not come. */
static void move_to(struct tt_counters *c, uint64_t next)
{
    if (next - c->next >= TT_COUNTERS_WINDOW)
        memset(c->bits, 0, sizeof(c->bits));
    else
        for (uint64_t n = c->next; n < next; n++)
            c->bits[word_of(n)] &= ~bit_of(n);
    c->next = next;
}

void tt_counters_take(struct tt_counters *c, uint32_t counter)
{
    if (counter >= c->next)
        move_to(c, (uint64_t)counter + 1);
    c->bits[word_of(counter)] |= bit_of(counter);
}
