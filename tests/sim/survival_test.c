/* TT_SEED=n runs them with another seed, TT_TRACE=1 shows what happens.
 *
 * Stories of connections that die without a word: what the application notices of it (native.md
 * sections 3 and 4).
 */
#include <stdlib.h>

#include "sim.h"
#include "test.h"

#define RTT_US (50 * TT_MS)

static struct sim_profile usual(uint64_t rtt_us)
{
    struct sim_profile p;
    sim_profile_default(&p);
    p.shape.latency_us = rtt_us / 2;
    p.shape.max_packet = 65535;
    p.may_time_out = true; /* connections are suspected here, and rightly so */
    p.stall_us = 5 * TT_SECOND;
    return p;
}

static struct sim *new_sim(const struct sim_profile *p)
{
    const char *seed = getenv("TT_SEED");
    struct sim *sim = sim_new(seed ? strtoull(seed, NULL, 10) : 1, p);
    sim->trace = getenv("TT_TRACE") ? stdout : NULL;
    return sim;
}

/* A stream on which so much is said each way, paced so that it takes about that long. */
static struct sim_talk *add_talk(struct sim *sim, uint64_t up_bytes, uint64_t down_bytes,
                                 uint64_t takes_us)
{
    struct sim_talk *t = sim_add_talk(sim, &sim->clients[0]);
    struct sim_speaker_plan *plans[] = {&t->client.plan, &t->server.plan};
    t->client.plan.bytes = up_bytes;
    t->server.plan.bytes = down_bytes;
    for (unsigned i = 0; i < 2; i++) {
        if (takes_us == 0 || plans[i]->bytes == 0)
            continue;
        plans[i]->most_a_write = 2000; /* 1000 on average */
        plans[i]->write_pause_us = takes_us * 1000 / plans[i]->bytes;
    }
    return t;
}

static void end_story(struct sim *sim)
{
    sim_run_settled(sim, sim->now_us + 60 * TT_SECOND);
    sim_check_all_done(sim);
    sim_check_nothing_left(sim);
    sim_free(sim);
}

static void freeze(struct sim *sim, uint64_t which)
{
    if (sim->clients[0].link)
        sim_link_freeze(sim, sim->clients[0].link, which & 1, which & 2);
}

static void expect_silence_below(struct sim *sim, uint64_t most_us)
{
    for (unsigned i = 0; i < 2; i++) {
        if (sim->clients[0].longest_silence_us[i] > most_us)
            sim_describe(sim, stderr);
        assert_in_range(sim->clients[0].longest_silence_us[i], 0, most_us);
    }
}

/* --- a connection freezes --- */

static void expect_freezes_cost_less_than(uint64_t rtt_us, uint64_t most_us, uint64_t up_bytes,
                                          uint64_t down_bytes, uint64_t which)
{
    const struct sim_profile p = usual(rtt_us);
    struct sim *sim = new_sim(&p);
    add_talk(sim, up_bytes, down_bytes, 10 * TT_SECOND);
    for (unsigned i = 1; i <= 4; i++)
        sim_at(sim, sim->now_us + i * 2 * TT_SECOND, freeze, which);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    expect_silence_below(sim, most_us);
    end_story(sim);
}

static void test_a_freeze_costs_less_than_a_second_at_50_ms(void **state)
{
    (void)state;
    for (uint64_t which = 1; which <= 3; which++) {
        expect_freezes_cost_less_than(RTT_US, TT_SECOND, 1000000, 1000000, which);
        expect_freezes_cost_less_than(RTT_US, TT_SECOND, 1000000, 0, which);
        expect_freezes_cost_less_than(RTT_US, TT_SECOND, 1, 1000000, which);
    }
}

static void test_a_freeze_costs_less_than_300_ms_at_1_ms(void **state)
{
    (void)state;
    for (uint64_t which = 1; which <= 3; which++) {
        expect_freezes_cost_less_than(TT_MS, 300 * TT_MS, 1000000, 1000000, which);
        expect_freezes_cost_less_than(TT_MS, 300 * TT_MS, 1000000, 0, which);
        expect_freezes_cost_less_than(TT_MS, 300 * TT_MS, 1, 1000000, which);
    }
}

/* --- every connection freezes after a few kB --- */

static void test_10_mb_arrive_though_each_connection_freezes_after_a_few_kb(void **state)
{
    (void)state;
    static const uint64_t limits[] = {9000, 15000, 20000};
    for (unsigned i = 0; i < 9; i++) {
        struct sim_profile p = usual(RTT_US);
        const uint64_t limit = limits[i % 3];
        p.shape.freeze_up = i / 3 == 0 ? limit : 0;
        p.shape.freeze_down = i / 3 == 1 ? limit : 0;
        p.shape.freeze_sum = i / 3 == 2 ? limit : 0;
        p.stall_us = 60 * TT_SECOND;
        struct sim *sim = new_sim(&p);
        add_talk(sim, 10000000, 10000000, 0);
        sim_run_talks(sim, sim->now_us + 36000 * TT_SECOND);
        end_story(sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_freeze_costs_less_than_a_second_at_50_ms),
        cmocka_unit_test(test_a_freeze_costs_less_than_300_ms_at_1_ms),
        cmocka_unit_test(test_10_mb_arrive_though_each_connection_freezes_after_a_few_kb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
