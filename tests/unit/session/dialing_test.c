/* When a client dials, and when it waits (native.md R-23). */
#include "core/session/dialing.h"

#include "session/fixture.h"

#define FIRST_US (50 * TT_MS)
#define MOST_US  (2 * TT_SECOND)
#define SLOW_US  (2 * TT_SECOND)

/* A client without a carrier, and so one that wants one. */
struct dialing_world {
    struct session_world world;
    struct tt_dialing dialing;
    uint64_t now_us;
};

static const struct tt_dialing_config usual = {
    .first_us = FIRST_US, .most_us = MOST_US, .slow_us = SLOW_US, .jitter_key = {1}};

static void open_world(struct dialing_world *w)
{
    session_world_open(&w->world, NULL);
    tt_dialing_init(&w->dialing, &usual);
    w->now_us = w->world.now_us;
}

static bool is_due(struct dialing_world *w)
{
    return tt_dialing_is_due(&w->dialing, &w->world.client, w->now_us);
}

static uint64_t deadline(const struct dialing_world *w)
{
    return tt_dialing_deadline(&w->dialing, &w->world.client, w->now_us);
}

static void begin(struct dialing_world *w)
{
    assert_true(is_due(w));
    tt_dialing_began(&w->dialing, w->now_us);
}

static void dial_and_fail(struct dialing_world *w)
{
    begin(w);
    tt_dialing_failed(&w->dialing, w->now_us);
}

/* How long it is until a dial is due, to the microsecond. */
static uint64_t wait_until_due(struct dialing_world *w)
{
    const uint64_t since_us = w->now_us;
    const uint64_t at_us = deadline(w);
    assert_true(at_us != TT_NEVER);
    if (at_us > w->now_us) {
        w->now_us = at_us - 1;
        assert_false(is_due(w));
        assert_int_equal(deadline(w), at_us);
    }
    w->now_us = at_us;
    assert_true(is_due(w));
    return at_us - since_us;
}

/* A carrier that lived for so long; did it bring anything? */
static bool carrier_ends(struct dialing_world *w, uint64_t age_us, bool progress)
{
    const struct tt_carrier c = {.endpoint = &w->world.client,
                                 .opened_us = w->now_us - age_us,
                                 .progress_mark = progress ? UINT64_MAX : 0};
    return tt_dialing_ended(&w->dialing, &c, w->now_us);
}

/* A dial that comes up, and ends after it was of use. */
static void dial_of_use(struct dialing_world *w)
{
    begin(w);
    tt_dialing_up(&w->dialing);
    assert_true(carrier_ends(w, 0, true));
}

/* --- when --- */

static void test_the_first_dial_is_due_at_once(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    assert_int_equal(wait_until_due(&w), 0);
    session_world_close(&w.world);
}

static void test_nothing_is_due_when_no_carrier_is_wanted(void **state)
{
    (void)state;
    struct dialing_world w;
    struct tt_carrier c;
    open_world(&w);
    client_opens(&w.world, &c);
    assert_false(is_due(&w));
    assert_int_equal(deadline(&w), TT_NEVER);
    tt_endpoint_carrier_close(&w.world.client, w.now_us, &c);
    assert_int_equal(wait_until_due(&w), 0);
    session_world_close(&w.world);
}

static void test_a_session_that_is_over_dials_no_more(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    w.world.client.error = TT_E_LOST;
    assert_false(is_due(&w));
    assert_int_equal(deadline(&w), TT_NEVER);
    session_world_close(&w.world);
}

static void test_waits_double_from_50_ms_to_2_s(void **state)
{
    (void)state;
    static const uint64_t waits_ms[] = {50, 100, 200, 400, 800, 1600};
    struct dialing_world w;
    open_world(&w);
    for (size_t i = 0; i < ARRAY_LEN(waits_ms); i++) {
        dial_and_fail(&w);
        assert_int_equal(wait_until_due(&w), waits_ms[i] * TT_MS);
        assert_int_equal(w.dialing.wait_us, waits_ms[i] * TT_MS);
    }
    assert_int_equal(w.dialing.failed, ARRAY_LEN(waits_ms));
    assert_int_equal(w.dialing.begun, ARRAY_LEN(waits_ms));
    session_world_close(&w.world);
}

static void test_the_longest_wait_is_spread_by_a_fifth_both_ways(void **state)
{
    (void)state;
    struct dialing_world w;
    uint64_t shortest_us = TT_NEVER;
    uint64_t longest_us = 0;
    open_world(&w);
    for (unsigned i = 0; i < 6; i++) {
        dial_and_fail(&w);
        wait_until_due(&w);
    }
    for (unsigned i = 0; i < 200; i++) {
        dial_and_fail(&w);
        const uint64_t us = wait_until_due(&w);
        shortest_us = tt_min_u64(shortest_us, us);
        longest_us = us > longest_us ? us : longest_us;
    }
    assert_in_range(shortest_us, MOST_US * 80 / 100, MOST_US * 82 / 100);
    assert_in_range(longest_us, MOST_US * 118 / 100, MOST_US * 120 / 100);
    session_world_close(&w.world);
}

static void test_two_clients_do_not_wait_alike(void **state)
{
    (void)state;
    struct dialing_world w[2];
    for (unsigned i = 0; i < 2; i++) {
        open_world(&w[i]);
        w[i].dialing.config.jitter_key[0] = (uint8_t)i;
        w[i].dialing.failures = 20;
        dial_and_fail(&w[i]);
    }
    assert_true(deadline(&w[0]) != deadline(&w[1]));
    for (unsigned i = 0; i < 2; i++)
        session_world_close(&w[i].world);
}

/* --- dials that take long --- */

static void test_there_is_one_dial_at_a_time_until_it_is_slow(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    begin(&w);
    assert_false(is_due(&w));
    assert_int_equal(deadline(&w), w.now_us + SLOW_US);
    w.now_us += SLOW_US - 1;
    assert_false(is_due(&w));
    assert_int_equal(w.dialing.failed, 0);
    w.now_us++;
    assert_false(is_due(&w)); /* it counts as failed: the wait after a failure begins */
    assert_int_equal(w.dialing.failed, 1);
    assert_int_equal(w.dialing.under_way, 1);
    assert_int_equal(wait_until_due(&w), FIRST_US);
    session_world_close(&w.world);
}

static void test_a_slow_dial_that_fails_in_the_end_is_not_counted_twice(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    begin(&w);
    w.now_us += SLOW_US;
    is_due(&w);
    w.now_us += 8 * TT_SECOND;
    tt_dialing_failed(&w.dialing, w.now_us);
    assert_int_equal(w.dialing.failed, 1);
    assert_int_equal(wait_until_due(&w), 0);
    session_world_close(&w.world);
}

static void test_slow_dials_go_on_beside_each_other_but_no_more_than_4(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    for (unsigned i = 0; i < TT_DIALS_AT_ONCE; i++) {
        wait_until_due(&w);
        begin(&w);
        w.now_us += SLOW_US;
        is_due(&w);
    }
    w.now_us += 100 * TT_SECOND;
    assert_false(is_due(&w));
    assert_int_equal(deadline(&w), TT_NEVER);
    assert_int_equal(w.dialing.failed, TT_DIALS_AT_ONCE);
    tt_dialing_up(&w.dialing);
    assert_int_equal(wait_until_due(&w), 0);
    session_world_close(&w.world);
}

static void test_without_a_limit_no_dial_is_slow(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    w.dialing.config.slow_us = 0;
    begin(&w);
    w.now_us += 1000 * TT_SECOND;
    assert_false(is_due(&w));
    assert_int_equal(deadline(&w), TT_NEVER);
    assert_int_equal(w.dialing.failed, 0);
    session_world_close(&w.world);
}

/* --- what a carrier was good for --- */

static const struct {
    const char *name;
    uint64_t age_us;
    bool progress, of_use;
} ends[] = {
    {"it brought something", 0, true, true},
    {"it brought nothing in 10 s", 10 * TT_SECOND - 1, false, false},
    {"it had nothing to bring for 10 s", 10 * TT_SECOND, false, true},
    {"it ended at once", 0, false, false},
};

static void test_a_carrier_was_of_use_or_counts_as_a_dial_that_failed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct dialing_world w;
        open_world(&w);
        begin(&w);
        tt_dialing_up(&w.dialing);
        const bool of_use = carrier_ends(&w, ends[i].age_us, ends[i].progress);
        const uint64_t wait_us = wait_until_due(&w);
        if (of_use != ends[i].of_use || wait_us != (of_use ? 0 : FIRST_US) ||
            w.dialing.failed != !of_use)
            fail_msg("%s: %d, %d us", ends[i].name, of_use, (int)wait_us);
        session_world_close(&w.world);
    }
}

static void test_after_one_that_was_of_use_waits_begin_anew(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    for (unsigned i = 0; i < 5; i++) {
        dial_and_fail(&w);
        wait_until_due(&w);
    }
    dial_of_use(&w);
    assert_int_equal(wait_until_due(&w), 0);
    dial_and_fail(&w);
    assert_int_equal(wait_until_due(&w), FIRST_US);
    session_world_close(&w.world);
}

static void test_one_that_comes_up_and_is_of_no_use_lengthens_the_waits(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    for (uint64_t wait_us = FIRST_US; wait_us < MOST_US; wait_us *= 2) {
        begin(&w);
        tt_dialing_up(&w.dialing);
        assert_false(carrier_ends(&w, 0, false));
        assert_int_equal(wait_until_due(&w), wait_us);
    }
    session_world_close(&w.world);
}

static void test_a_planned_end_counts_as_nothing(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    const struct tt_carrier planned = {.we_drain = true, .opened_us = w.now_us - 10 * TT_SECOND};
    dial_and_fail(&w);
    for (unsigned i = 0; i < 100; i++)
        assert_true(tt_dialing_ended(&w.dialing, &planned, w.now_us));
    assert_int_equal(w.dialing.failed, 1);
    assert_int_equal(wait_until_due(&w), FIRST_US);
    session_world_close(&w.world);
}

/* Small budgets that are used up by what brings nothing on: not as fast as carriers open. */
static void test_planned_ends_of_no_use_are_no_failures_but_no_storm_either(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    for (unsigned i = 0; i < 15; i++) {
        const struct tt_carrier planned = {.we_drain = true, .opened_us = w.now_us};
        assert_true(tt_dialing_ended(&w.dialing, &planned, w.now_us));
        assert_int_equal(wait_until_due(&w), i < 10 ? 0 : 100 * TT_MS);
    }
    assert_int_equal(w.dialing.failed, 0);
    session_world_close(&w.world);
}

static void test_beyond_10_in_a_second_redials_are_100_ms_apart(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    for (unsigned i = 0; i < 10; i++) {
        dial_of_use(&w);
        assert_int_equal(wait_until_due(&w), 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        dial_of_use(&w);
        assert_int_equal(wait_until_due(&w), 100 * TT_MS);
    }
    w.now_us += 500 * TT_MS + 1; /* a second after the first */
    for (unsigned i = 0; i < 10; i++) {
        dial_of_use(&w);
        assert_int_equal(wait_until_due(&w), 0);
    }
    dial_of_use(&w);
    assert_int_equal(wait_until_due(&w), 100 * TT_MS);
    session_world_close(&w.world);
}

static void test_on_another_network_there_is_nothing_to_wait_for(void **state)
{
    (void)state;
    struct dialing_world w;
    open_world(&w);
    for (unsigned i = 0; i < 5; i++) {
        dial_and_fail(&w);
        wait_until_due(&w);
    }
    dial_and_fail(&w);
    tt_dialing_forget(&w.dialing);
    assert_int_equal(wait_until_due(&w), 0);
    dial_and_fail(&w);
    assert_int_equal(wait_until_due(&w), FIRST_US);
    session_world_close(&w.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_dial_is_due_at_once),
        cmocka_unit_test(test_nothing_is_due_when_no_carrier_is_wanted),
        cmocka_unit_test(test_a_session_that_is_over_dials_no_more),
        cmocka_unit_test(test_waits_double_from_50_ms_to_2_s),
        cmocka_unit_test(test_the_longest_wait_is_spread_by_a_fifth_both_ways),
        cmocka_unit_test(test_two_clients_do_not_wait_alike),
        cmocka_unit_test(test_there_is_one_dial_at_a_time_until_it_is_slow),
        cmocka_unit_test(test_a_slow_dial_that_fails_in_the_end_is_not_counted_twice),
        cmocka_unit_test(test_slow_dials_go_on_beside_each_other_but_no_more_than_4),
        cmocka_unit_test(test_without_a_limit_no_dial_is_slow),
        cmocka_unit_test(test_a_carrier_was_of_use_or_counts_as_a_dial_that_failed),
        cmocka_unit_test(test_after_one_that_was_of_use_waits_begin_anew),
        cmocka_unit_test(test_one_that_comes_up_and_is_of_no_use_lengthens_the_waits),
        cmocka_unit_test(test_a_planned_end_counts_as_nothing),
        cmocka_unit_test(test_planned_ends_of_no_use_are_no_failures_but_no_storm_either),
        cmocka_unit_test(test_beyond_10_in_a_second_redials_are_100_ms_apart),
        cmocka_unit_test(test_on_another_network_there_is_nothing_to_wait_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
