/* Quotas: what is taken, refused and given back. */
#include "core/base/quota.h"
#include "test.h"

#include <stdint.h>

static void test_no_more_is_taken_than_there_is(void **state)
{
    static const struct {
        size_t most, take;
        bool taken;
    } cases[] = {
        {0, 0, true},
        {0, 1, false},
        {3, 3, true},
        {3, 4, false},
        {SIZE_MAX, SIZE_MAX, true},
        {3, SIZE_MAX, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tt_quota q;
        tt_quota_init(&q, cases[i].most);
        assert_int_equal(tt_quota_take(&q, cases[i].take), cases[i].taken);
        assert_int_equal(tt_quota_taken(&q), cases[i].taken ? cases[i].take : 0);
    }
}

static void test_what_was_refused_was_not_taken(void **state)
{
    (void)state;
    struct tt_quota q;
    tt_quota_init(&q, 10);
    assert_true(tt_quota_take(&q, 8));
    assert_false(tt_quota_take(&q, 3));
    assert_false(tt_quota_take(&q, SIZE_MAX)); /* a sum that wraps */
    assert_int_equal(tt_quota_taken(&q), 8);
    assert_true(tt_quota_take(&q, 2));
    assert_false(tt_quota_take(&q, 1));
}

static void test_what_was_given_back_can_be_taken_again(void **state)
{
    (void)state;
    struct tt_quota q;
    tt_quota_init(&q, 2);
    assert_true(tt_quota_take(&q, 2));
    tt_quota_put(&q, 1);
    assert_true(tt_quota_take(&q, 1));
    assert_false(tt_quota_take(&q, 1));
    tt_quota_put(&q, 2);
    assert_int_equal(tt_quota_taken(&q), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_more_is_taken_than_there_is),
        cmocka_unit_test(test_what_was_refused_was_not_taken),
        cmocka_unit_test(test_what_was_given_back_can_be_taken_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
