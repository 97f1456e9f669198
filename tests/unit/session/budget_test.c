/* What deaths of carriers teach about limits on the path (native.md R-26). */
#include "core/session/budget.h"

#include "core/base/clock.h"
#include "test.h"

#define DOWN(bytes) [TT_BUDGET_DOWN] = (bytes)

/* A carrier died after so many bytes up and down, all of which had surely passed. */
static void dies_of(struct tt_budget *b, uint64_t up, uint64_t down, uint64_t age_us)
{
    const struct tt_budget_use use = {{up, down, age_us, up + down}, {up, down, age_us, up + down}};
    tt_budget_died(b, &use);
}

/* So that its age says nothing: each is ten times as old as the one before, and young again. */
static uint64_t some_age_us(unsigned i)
{
    static const uint64_t seconds[] = {1, 10, 100, 1000};
    return seconds[i % 4] * TT_SECOND;
}

static void die_down(struct tt_budget *b, uint64_t bytes, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        dies_of(b, (uint64_t)1000 << 4 * (i % 4), bytes, some_age_us(i));
}

static uint64_t down(const struct tt_budget *b)
{
    return tt_budget_limit(b, TT_BUDGET_DOWN, 0);
}

/* Carriers on which so much passed of every kind. */
static void keep_using(struct tt_budget *b, unsigned times, uint64_t used)
{
    const struct tt_budget_use use = {.reached = {used, used, used, used}};
    for (unsigned i = 0; i < times; i++)
        tt_budget_kept(b, &use);
}

static void keep(struct tt_budget *b, unsigned times)
{
    keep_using(b, times, UINT64_MAX);
}

/* --- learning --- */

/* Three deaths in a row, as bytes down; what is the limit then. */
static const struct {
    const char *name;
    uint64_t reached[3], at_most[3];
    uint64_t limit;
} three_deaths[] = {
    {"all the same", {80000, 80000, 80000}, {80000, 80000, 80000}, 70000},
    {"a third apart", {60000, 70000, 80000}, {60000, 70000, 80000}, 52500},
    {"a byte more than a third apart", {60000, 70000, 80001}, {60000, 70000, 80001}, 0},
    {"the first too large", {80001, 60000, 60000}, {80001, 60000, 60000}, 0},
    {"sent and never answered", {30000, 50000, 80000}, {90000, 120000, 100000}, 70000},
    {"one had less than another surely had", {30000, 80000, 80000}, {60000, 99000, 99000}, 52500},
    {"little known of it: three times", {20000, 30000, 10000}, {90000, 99000, 99000}, 26250},
    {"and a byte more", {20000, 30000, 10000}, {90001, 99000, 99000}, 0},
    {"never below 8 kB", {9000, 9000, 9000}, {9000, 9000, 9000}, 8192},
    {"half of that is a limit yet", {4096, 4096, 4096}, {4096, 4096, 4096}, 8192},
    {"less is no limit", {4095, 4095, 4095}, {4095, 4095, 4095}, 0},
    {"nothing came at all", {0, 0, 0}, {0, 0, 0}, 0},
};

static void test_three_deaths_at_about_the_same_number_are_a_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(three_deaths); i++) {
        struct tt_budget b = {.learned = 0};
        for (unsigned k = 0; k < 3; k++) {
            assert_int_equal(down(&b), 0);
            const struct tt_budget_use use = {{DOWN(three_deaths[i].reached[k])},
                                              {DOWN(three_deaths[i].at_most[k])}};
            tt_budget_died(&b, &use);
        }
        if (down(&b) != three_deaths[i].limit || b.learned != (three_deaths[i].limit > 0))
            fail_msg("%s: %llu", three_deaths[i].name, (unsigned long long)down(&b));
    }
}

static void test_only_the_latest_three_deaths_count(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_down(&b, 900000, 2);
    die_down(&b, 80000, 2);
    assert_int_equal(down(&b), 0);
    die_down(&b, 80000, 1);
    assert_int_equal(down(&b), 70000);
}

static void test_a_carrier_that_was_used_up_in_between_breaks_the_row(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_down(&b, 80000, 2);
    keep(&b, 1);
    die_down(&b, 80000, 2);
    assert_int_equal(down(&b), 0);
    die_down(&b, 80000, 1);
    assert_int_equal(down(&b), 70000);
}

static void test_each_kind_is_learned_for_itself(void **state)
{
    (void)state;
    static const uint64_t of_kind[TT_BUDGET_KINDS] = {80000, 80000, 40 * TT_SECOND, 80000};
    for (unsigned kind = 0; kind < TT_BUDGET_SUM; kind++) {
        struct tt_budget b = {.learned = 0};
        for (unsigned i = 0; i < 3; i++) {
            uint64_t use[TT_BUDGET_AGE + 1];
            for (unsigned k = 0; k < ARRAY_LEN(use); k++)
                use[k] = k == kind ? of_kind[k] : (of_kind[k] << 2 * i);
            dies_of(&b, use[TT_BUDGET_UP], use[TT_BUDGET_DOWN], use[TT_BUDGET_AGE]);
        }
        for (unsigned k = 0; k < TT_BUDGET_KINDS; k++)
            assert_int_equal(tt_budget_limit(&b, k, 0),
                             k == kind ? of_kind[k] - of_kind[k] / 8 : 0);
        assert_int_equal(b.learned, 1);
    }
}

static void test_an_age_is_never_below_5_seconds(void **state)
{
    (void)state;
    static const struct {
        uint64_t died_us, limit_us;
    } ages[] = {
        {40 * TT_SECOND, 35 * TT_SECOND},
        {5 * TT_SECOND, 5 * TT_SECOND},
        {2500 * TT_MS, 5 * TT_SECOND},
        {2500 * TT_MS - 1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(ages); i++) {
        struct tt_budget b = {.learned = 0};
        for (unsigned k = 0; k < 3; k++)
            dies_of(&b, 0, 0, ages[i].died_us);
        assert_int_equal(tt_budget_limit(&b, TT_BUDGET_AGE, 0), ages[i].limit_us);
    }
}

/* The one direction varies as much as the other, so neither has a limit of its own. */
static void die_of_the_sum(struct tt_budget *b, uint64_t sum)
{
    for (unsigned i = 0; i < 3; i++)
        dies_of(b, sum * (1 + 3 * i) / 8, sum - sum * (1 + 3 * i) / 8, some_age_us(i));
}

static void test_a_sum_that_explains_what_neither_direction_does_halves_each(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_of_the_sum(&b, 160000);
    assert_int_equal(b.learned, 1);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_SUM, 0), 140000);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_UP, 0), 70000);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_DOWN, 0), 70000);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_DOWN, 50000), 50000);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_AGE, 0), 0);
}

static void test_a_limit_of_one_direction_is_none_of_the_sum(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    for (unsigned i = 0; i < 5; i++) /* the sum is always about the same, too */
        dies_of(&b, 10 + i, 80000, some_age_us(i));
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_SUM, 0), 0);
    assert_int_equal(down(&b), 70000);
}

static void test_deaths_at_random_teach_nothing(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    uint64_t seed = 1;
    uint64_t last = 0;
    for (unsigned i = 0; i < 10000;) {
        const uint64_t bytes = (uint64_t)10000 << test_random_below(&seed, 12);
        if (bytes == last)
            continue;
        dies_of(&b, bytes, bytes, bytes * 1000);
        last = bytes;
        i++;
    }
    assert_int_equal(b.learned, 0);
}

/* --- what is known already --- */

static void test_a_lower_limit_takes_the_place_of_a_higher_one_only(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_down(&b, 80000, 3);
    die_down(&b, 160000, 3); /* of something else: there is no such limit to try */
    assert_int_equal(down(&b), 70000);
    die_down(&b, 80000, 3);
    assert_int_equal(down(&b), 70000);
    assert_int_equal(b.learned, 1);
    die_down(&b, 40000, 3);
    assert_int_equal(down(&b), 35000);
    assert_int_equal(b.learned, 2);
}

static void test_the_smaller_of_the_limit_given_and_the_one_learned_holds(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_DOWN, 50000), 50000);
    die_down(&b, 80000, 3);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_DOWN, 50000), 50000);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_DOWN, 90000), 70000);
    assert_int_equal(tt_budget_limit(&b, TT_BUDGET_UP, 90000), 90000);
}

static void test_after_10_good_carriers_twice_as_much_is_tried(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    keep(&b, 100); /* without a limit there is nothing to double */
    die_down(&b, 80000, 3);
    keep(&b, 9);
    assert_int_equal(down(&b), 70000);
    keep(&b, 1);
    assert_int_equal(down(&b), 140000);
    keep(&b, 10);
    assert_int_equal(down(&b), 280000);
}

/* The other direction may have spent them. */
static void test_carriers_that_used_little_of_a_limit_say_nothing_about_it(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_down(&b, 80000, 3);
    keep_using(&b, 100, 34999);
    assert_int_equal(down(&b), 70000);
    keep_using(&b, 10, 35000);
    assert_int_equal(down(&b), 140000);
}

static void test_a_death_in_between_makes_them_count_from_the_start(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_down(&b, 80000, 3);
    keep(&b, 9);
    die_down(&b, 20000, 1);
    keep(&b, 9);
    assert_int_equal(down(&b), 70000);
    keep(&b, 1);
    assert_int_equal(down(&b), 140000);
}

static void test_one_death_is_enough_to_go_back_from_a_trial(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_down(&b, 80000, 3);
    keep(&b, 10);
    die_down(&b, 52499, 1); /* three quarters of what was safe: not of being too much */
    assert_int_equal(down(&b), 140000);
    die_down(&b, 52500, 1);
    assert_int_equal(down(&b), 70000);
    assert_int_equal(b.learned, 1);
    die_down(&b, 80000, 2); /* it is not being tried any more, and these are but two */
    assert_int_equal(down(&b), 70000);
}

static void test_it_is_tried_ever_less_often_up_to_640_carriers(void **state)
{
    (void)state;
    static const unsigned after[] = {10, 20, 40, 80, 160, 320, 640, 640};
    struct tt_budget b = {.learned = 0};
    die_down(&b, 80000, 3);
    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        keep(&b, after[i] - 1);
        assert_int_equal(down(&b), 70000);
        keep(&b, 1);
        assert_int_equal(down(&b), 140000);
        die_down(&b, 80000, 1);
        assert_int_equal(down(&b), 70000);
    }
}

static void test_on_another_network_nothing_is_known(void **state)
{
    (void)state;
    struct tt_budget b = {.learned = 0};
    die_down(&b, 80000, 3);
    die_down(&b, 40000, 2);
    tt_budget_forget(&b);
    assert_int_equal(down(&b), 0);
    assert_int_equal(b.learned, 1); /* a count of what has happened */
    die_down(&b, 40000, 1);
    assert_int_equal(down(&b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_deaths_at_about_the_same_number_are_a_limit),
        cmocka_unit_test(test_only_the_latest_three_deaths_count),
        cmocka_unit_test(test_a_carrier_that_was_used_up_in_between_breaks_the_row),
        cmocka_unit_test(test_each_kind_is_learned_for_itself),
        cmocka_unit_test(test_an_age_is_never_below_5_seconds),
        cmocka_unit_test(test_a_sum_that_explains_what_neither_direction_does_halves_each),
        cmocka_unit_test(test_a_limit_of_one_direction_is_none_of_the_sum),
        cmocka_unit_test(test_deaths_at_random_teach_nothing),
        cmocka_unit_test(test_a_lower_limit_takes_the_place_of_a_higher_one_only),
        cmocka_unit_test(test_the_smaller_of_the_limit_given_and_the_one_learned_holds),
        cmocka_unit_test(test_after_10_good_carriers_twice_as_much_is_tried),
        cmocka_unit_test(test_carriers_that_used_little_of_a_limit_say_nothing_about_it),
        cmocka_unit_test(test_a_death_in_between_makes_them_count_from_the_start),
        cmocka_unit_test(test_one_death_is_enough_to_go_back_from_a_trial),
        cmocka_unit_test(test_it_is_tried_ever_less_often_up_to_640_carriers),
        cmocka_unit_test(test_on_another_network_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
