/* The congestion window, against section 9 of kcp.md written down a second time, with wide numbers.
 */
#include "core/kcp/cwnd.h"
#include "test.h"

struct model {
    uint64_t cwnd, ssthresh, incr;
};

static uint64_t at_least(uint64_t n, uint64_t least)
{
    return n > least ? n : least;
}

static void model_acked(struct model *m, uint64_t mss, uint64_t rmt_wnd)
{
    if (m->cwnd >= rmt_wnd)
        return;
    if (m->cwnd < m->ssthresh) {
        m->cwnd++;
        m->incr += mss;
    } else {
        m->incr = at_least(m->incr, mss);
        m->incr += mss * mss / m->incr + mss / 16;
        if ((m->cwnd + 1) * mss <= m->incr)
            m->cwnd = (m->incr + mss - 1) / mss;
    }
    if (m->cwnd > rmt_wnd) {
        m->cwnd = rmt_wnd;
        m->incr = rmt_wnd * mss;
    }
}

static void compare(const struct tt_kcp_cwnd *c, const struct model *m, unsigned step)
{
    if (c->segments != m->cwnd || c->threshold != m->ssthresh || c->bytes != m->incr)
        fail_msg("step %u: cwnd %u, ssthresh %u, incr %u", step, (unsigned)c->segments,
                 (unsigned)c->threshold, (unsigned)c->bytes);
}

static void run_against_model(uint64_t seed, uint32_t mss)
{
    struct tt_kcp_cwnd c;
    struct model m = {1, 2, mss};
    tt_kcp_cwnd_init(&c, true, mss);
    for (unsigned step = 0; step < 5000; step++) {
        const uint32_t window = 1 + (uint32_t)test_random_below(&seed, 65535);
        const uint32_t resend = (uint32_t)test_random_below(&seed, 4);
        switch (test_random_below(&seed, 200)) {
        case 0:
            tt_kcp_cwnd_timeout(&c, mss, window);
            m = (struct model){1, at_least(window / 2, 2), mss};
            break;
        case 1:
            tt_kcp_cwnd_fast(&c, mss, window, resend);
            m.ssthresh = at_least(window / 2, 2);
            m.cwnd = m.ssthresh + resend - (resend == 0);
            m.incr = m.cwnd * mss;
            break;
        default:
            tt_kcp_cwnd_acked(&c, mss, window);
            model_acked(&m, mss, window);
        }
        compare(&c, &m, step);
    }
}

static void test_k35_the_window_is_that_of_the_specification(void **state)
{
    (void)state;
    static const uint32_t mss[] = {1, 15, 16, 26, 1376, 65511};
    for (size_t i = 0; i < ARRAY_LEN(mss); i++) {
        for (uint64_t seed = 0; seed < 20; seed++)
            run_against_model(seed, mss[i]);
    }
}

static void test_k35_a_window_that_is_off_does_not_grow(void **state)
{
    (void)state;
    struct tt_kcp_cwnd c;
    tt_kcp_cwnd_init(&c, false, 1376);
    for (unsigned i = 0; i < 100; i++)
        tt_kcp_cwnd_acked(&c, 1376, 65535);
    assert_int_equal(c.segments, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_k35_the_window_is_that_of_the_specification),
        cmocka_unit_test(test_k35_a_window_that_is_off_does_not_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
