/* Round-trip times: RFC 6298's smoothing, and the timeout of kcp.md section 7. */
#include "core/base/clock.h"
#include "core/kcp/rtt.h"
#include "test.h"

static const struct {
    const char *name;
    uint64_t min_rto_ms, min_var_ms;
    uint64_t samples_us[4]; /* up to a 0 behind the first */
    uint64_t smoothed_us, variation_us, least_us, rto_us;
} cases[] = {
    {"the first", 100, 100, {40000}, 40000, 20000, 40000, 140000},
    {"a large variation", 100, 10, {40000}, 40000, 20000, 40000, 120000},
    {"no less than the least", 100, 10, {1000}, 1000, 500, 1000, 100000},
    {"nodelay", 30, 10, {1000}, 1000, 500, 1000, 30000},
    {"nothing at all", 30, 10, {0}, 0, 0, 0, 30000},
    {"a second one, later", 30, 10, {8000, 16000}, 9000, 5000, 8000, 30000},
    {"a second one, sooner", 30, 10, {80000, 16000}, 72000, 46000, 16000, 256000},
    {"steady", 30, 10, {80000, 80000, 80000}, 80000, 22500, 80000, 170000},
    {"no more than a minute", 30, 10, {600000000}, 60000000, 30000000, 60000000, 60000000},
    {"longer than a clock", 30, 10, {UINT64_MAX}, 60000000, 30000000, 60000000, 60000000},
};

static void test_the_timeout_follows_the_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct tt_rtt_config config = {(uint32_t)(cases[i].min_rto_ms * TT_MS),
                                             (uint32_t)(cases[i].min_var_ms * TT_MS)};
        struct tt_rtt rtt;
        tt_rtt_init(&rtt);
        tt_rtt_sample(&rtt, &config, cases[i].samples_us[0]);
        for (size_t n = 1; n < 4 && cases[i].samples_us[n]; n++)
            tt_rtt_sample(&rtt, &config, cases[i].samples_us[n]);
        if (!rtt.sampled || rtt.smoothed_us != cases[i].smoothed_us ||
            rtt.variation_us != cases[i].variation_us || rtt.least_us != cases[i].least_us ||
            rtt.rto_us != cases[i].rto_us)
            fail_msg("%s: smoothed %llu, variation %llu, least %llu, rto %llu", cases[i].name,
                     (unsigned long long)rtt.smoothed_us, (unsigned long long)rtt.variation_us,
                     (unsigned long long)rtt.least_us, (unsigned long long)rtt.rto_us);
    }
}

static void test_before_any_sample_the_timeout_is_200_ms(void **state)
{
    (void)state;
    struct tt_rtt rtt;
    tt_rtt_init(&rtt);
    assert_false(rtt.sampled);
    assert_int_equal(rtt.rto_us, 200 * TT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_timeout_follows_the_samples),
        cmocka_unit_test(test_before_any_sample_the_timeout_is_200_ms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
