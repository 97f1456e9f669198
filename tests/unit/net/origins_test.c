#include "net/origins.h"

#include <turbotunnel/error.h>

#include "failing_alloc.h"
#include "test.h"

static const uint8_t hash_key[TT_SIPHASH_KEY] = "0123456789abcde";

static void test_so_many_of_each(void **state)
{
    (void)state;
    struct tt_origins o;
    tt_origins_init(&o, 2, hash_key, &tt_alloc_malloc);
    for (uint64_t origin = 1; origin <= 1000; origin++)
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(tt_origins_enter(&o, origin), i < 2 ? TT_OK : TT_E_FULL);
    for (unsigned i = 0; i < 100; i++) /* nobody's in particular */
        assert_int_equal(tt_origins_enter(&o, 0), TT_OK);
    tt_origins_leave(&o, 7);
    assert_int_equal(tt_origins_enter(&o, 7), TT_OK);
    assert_int_equal(tt_origins_enter(&o, 7), TT_E_FULL);
    tt_origins_leave(&o, 0);
    for (uint64_t origin = 1; origin <= 1000; origin++)
        for (unsigned i = 0; i < 2; i++)
            tt_origins_leave(&o, origin);
    assert_int_equal(tt_map_count(&o.map), 0);
    tt_origins_dispose(&o);
}

static void test_without_a_limit_nothing_is_held(void **state)
{
    (void)state;
    struct tt_origins o;
    tt_origins_init(&o, 0, hash_key, &tt_alloc_malloc);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(tt_origins_enter(&o, 1), TT_OK);
    assert_int_equal(tt_map_count(&o.map), 0);
    tt_origins_leave(&o, 1);
    tt_origins_dispose(&o);
}

static void test_without_memory_nobody_enters(void **state)
{
    (void)state;
    for (size_t n = 0; n < 2; n++) {
        struct failing_alloc failing;
        struct tt_origins o;
        failing_alloc_init(&failing, n);
        tt_origins_init(&o, 2, hash_key, &failing.alloc);
        assert_int_equal(tt_origins_enter(&o, 1), TT_E_NOMEM);
        assert_int_equal(tt_map_count(&o.map), 0);
        tt_origins_dispose(&o);
        assert_int_equal(failing.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_so_many_of_each),
        cmocka_unit_test(test_without_a_limit_nothing_is_held),
        cmocka_unit_test(test_without_memory_nobody_enters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
