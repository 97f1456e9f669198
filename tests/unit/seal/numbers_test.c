#include "core/seal/numbers.h"

#include "test.h"

/* M-11: once each, in the highest epoch and the one before; M-8: at most 64 epochs ahead. */
static void test_each_number_appears_once(void **state)
{
    (void)state;
    static const struct {
        uint32_t number;
        bool may;
    } steps[] = {
        {0, true},
        {0, false},
        {63, true},
        {63, false},
        {64, true}, /* epoch 1 */
        {0, false},
        {1, true},
        {63, false},
        {127, true},
        {64, false},
        {128, true}, /* epoch 2: 0 is over */
        {2, false},
        {64, false},
        {65, true},
        {127, false},
        {128, false},
        {300, true}, /* epoch 4: 2 is over, nothing came in 3 */
        {128, false},
        {191, false},
        {192, true},
        {255, true},
        {300, false},
        {64 * 69, false}, /* 65 epochs ahead */
        {64 * 69 - 1, true},
        {300, false},
        {64 * 66, false},
        {64 * 67, true},
        {64 * 67, false},
        {UINT32_MAX, false},
        {TT_CARRIERS_MAX, false},
    };
    struct tt_numbers n = {0};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        const struct tt_numbers before = n;
        if (tt_numbers_may(&n, steps[i].number) != steps[i].may)
            fail_msg("step %zu: %u", i, steps[i].number);
        assert_memory_equal(&n, &before, sizeof(n));
        if (steps[i].may)
            tt_numbers_take(&n, steps[i].number);
    }
}

static void test_the_highest_number_is_the_last(void **state)
{
    (void)state;
    struct tt_numbers n = {.epoch = TT_CARRIERS_MAX / TT_EPOCH_CARRIERS};
    assert_true(tt_numbers_may(&n, TT_CARRIERS_MAX));
    assert_true(tt_numbers_may(&n, TT_CARRIERS_MAX - 64)); /* the epoch before */
    assert_false(tt_numbers_may(&n, TT_CARRIERS_MAX - 128));
    tt_numbers_take(&n, TT_CARRIERS_MAX);
    assert_false(tt_numbers_may(&n, TT_CARRIERS_MAX));
    assert_false(tt_numbers_may(&n, TT_CARRIERS_MAX + 1));
}

/* Against a list of all that appeared. */
static void test_any_order_gives_what_a_list_would(void **state)
{
    (void)state;
    enum { N = 20000 };
    static bool seen[N];
    struct tt_numbers n = {0};
    uint64_t seed = 5;
    uint32_t epoch = 0;
    for (unsigned i = 0; i < 40000; i++) {
        const size_t low = epoch > 2 ? (epoch - 2) * 64 : 0;
        const size_t range = i % 1000 == 0 ? 70 * 64 : 4 * 64 + 2;
        const uint32_t number = (uint32_t)(low + test_random_below(&seed, range));
        if (number >= N)
            continue;
        const uint32_t of = number / 64;
        const bool may = !seen[number] && of + 1 >= epoch && of <= epoch + 64;
        assert_int_equal(tt_numbers_may(&n, number), may);
        if (!may)
            continue;
        tt_numbers_take(&n, number);
        seen[number] = true;
        epoch = of > epoch ? of : epoch;
        assert_int_equal(n.epoch, epoch);
    }
    assert_in_range(epoch, 100, N / 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_number_appears_once),
        cmocka_unit_test(test_the_highest_number_is_the_last),
        cmocka_unit_test(test_any_order_gives_what_a_list_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
