#include "core/seal/numbers.h"

static uint64_t bit_of(uint32_t number)
{
    return UINT64_C(1) << number % TT_EPOCH_CARRIERS;
}

bool tt_numbers_may(const struct tt_numbers *n, uint32_t number)
{
    const uint32_t epoch = number / TT_EPOCH_CARRIERS;
    if (number > TT_CARRIERS_MAX || epoch > n->epoch + TT_EPOCHS_AHEAD || epoch + 1 < n->epoch)
        return false;
    return epoch > n->epoch || (n->seen[epoch == n->epoch] & bit_of(number)) == 0;
}

void tt_numbers_take(struct tt_numbers *n, uint32_t number)
{
    const uint32_t epoch = number / TT_EPOCH_CARRIERS;
    if (epoch > n->epoch) {
        n->seen[0] = epoch == n->epoch + 1 ? n->seen[1] : 0;
        n->seen[1] = 0;
        n->epoch = epoch;
    }
    n->seen[epoch == n->epoch] |= bit_of(number);
}
