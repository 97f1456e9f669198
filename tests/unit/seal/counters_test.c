#include "core/seal/counters.h"

#include "test.h"

static void test_each_counter_comes_once(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter;
        bool may;
    } steps[] = {
        {0, true},
        {0, false},
        {1, true},
        {5, true},
        {3, true},
        {3, false},
        {5, false},
        {1, false},
        {2, true},
        {1023, true},
        {1024, true},
        {0, false},
        {4, true},
        {1030, true},
        {6, false}, /* too old */
        {7, true},
        {2100, true},
        {1076, false},
        {1077, true},
        {1077, false},
        {5000, true},
        {3976, false},
        {3977, true},
        {4999, true},
        {2100, false},
        {UINT32_MAX, true},
        {UINT32_MAX, false},
        {UINT32_MAX - 1, true},
        {UINT32_MAX - 1024, false},
        {UINT32_MAX - 1023, true},
        {0, false},
    };
    struct tt_counters c = {0};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (tt_counters_may(&c, steps[i].counter) != steps[i].may)
            fail_msg("step %zu: %u", i, steps[i].counter);
        if (steps[i].may)
            tt_counters_take(&c, steps[i].counter);
    }
}

/* Against a list of all that came. */
static void test_any_order_gives_what_a_list_would(void **state)
{
    (void)state;
    enum { N = 6000 };
    static bool seen[N];
    struct tt_counters c = {0};
    uint64_t seed = 3;
    uint32_t next = 0;
    unsigned taken = 0;
    for (unsigned i = 0; i < 20000; i++) {
        const size_t ahead = i % 50 == 0 ? 1500 : 4;
        const size_t low = next > 1100 ? next - 1100 : 0;
        const uint32_t n = (uint32_t)(low + test_random_below(&seed, next - low + ahead));
        if (n >= N)
            continue;
        const bool may = !seen[n] && n + TT_COUNTERS_WINDOW >= next;
        assert_int_equal(tt_counters_may(&c, n), may);
        if (!may)
            continue;
        tt_counters_take(&c, n);
        seen[n] = true;
        next = n >= next ? n + 1 : next;
        taken++;
    }
    assert_in_range(taken, 1000, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_counter_comes_once),
        cmocka_unit_test(test_any_order_gives_what_a_list_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
