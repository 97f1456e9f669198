/* Short stories in the simulated world. TT_SEED=n runs them with another seed. */
#include <stdlib.h>

#include "sim.h"
#include "test.h"

#define RTT_US (20 * TT_MS) /* of the default profile, at least */

static uint64_t first_seed(void)
{
    const char *text = getenv("TT_SEED");
    return text ? strtoull(text, NULL, 10) : 1;
}

static struct sim_profile usual(void)
{
    struct sim_profile p;
    sim_profile_default(&p);
    return p;
}

/* A stream of the client, with so many bytes each way. */
static struct sim_talk *add_echo(struct sim *sim, uint64_t up_bytes, uint64_t down_bytes)
{
    struct sim_talk *t = sim_add_talk(sim, &sim->clients[0]);
    t->client.plan.bytes = up_bytes;
    t->server.plan.bytes = down_bytes;
    return t;
}

/* All is said, acknowledged, and nothing is left anywhere. */
static void end_story(struct sim *sim)
{
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    sim_run_settled(sim, sim->now_us + 10 * TT_SECOND);
    /* Past a keepalive, which tidies up. */
    sim_run_until(sim, sim->now_us + sim->profile.client.keepalive_interval_us + TT_SECOND);
    sim_run_settled(sim, sim->now_us + TT_SECOND);
    sim_check_all_done(sim);
    sim_check_nothing_left(sim);
    sim_free(sim);
}

/* --- terminations --- */

static void cut_now(struct sim *sim, uint64_t arg)
{
    const struct sim_cut rst = {.client_learns_us = 0, .server_learns_us = 0};
    if (sim->clients[arg].link)
        sim_link_cut(sim, sim->clients[arg].link, rst);
}

/* The server goes on feeding a connection that nobody empties. */
static void cut_unseen_by_server(struct sim *sim, uint64_t arg)
{
    const struct sim_cut ghost = {.client_learns_us = 0, .server_learns_us = TT_NEVER};
    if (sim->clients[arg].link)
        sim_link_cut(sim, sim->clients[arg].link, ghost);
}

static uint64_t retransmissions(const struct sim *sim, enum tt_kcp_cause cause)
{
    const struct sim_client *c = &sim->clients[0];
    return c->endpoint.kcp.send.retransmissions[cause] +
           c->session->endpoint.kcp.send.retransmissions[cause];
}

/* Runs until both ends have had acknowledged what they had sent when it was called. */
static void run_until_repaired(struct sim *sim, uint64_t limit_us)
{
    const struct sim_client *c = &sim->clients[0];
    const struct tt_kcp_send *up = &c->endpoint.kcp.send;
    const struct tt_kcp_send *down = &c->session->endpoint.kcp.send;
    const uint32_t up_nxt = up->nxt;
    const uint32_t down_nxt = down->nxt;
    const uint64_t until_us = sim->now_us + limit_us;

    assert_true(up->una != up_nxt || down->una != down_nxt);
    while (tt_seq_before(up->una, up_nxt) || tt_seq_before(down->una, down_nxt)) {
        sim_require(sim, sim->now_us < until_us, "what a connection lost was not repaired soon");
        sim_run_until(sim, sim->now_us + TT_MS);
    }
}

static void repair_after(void (*cut)(struct sim *, uint64_t), uint64_t bytes, uint64_t limit_us)
{
    for (uint64_t seed = first_seed(); seed < first_seed() + 20; seed++) {
        struct sim *sim = sim_new(seed, NULL);
        add_echo(sim, bytes, bytes);
        sim_run_until(sim, sim->now_us + sim_between(sim, 80 * TT_MS, 300 * TT_MS));
        cut(sim, 0);
        run_until_repaired(sim, limit_us);
        assert_int_equal(retransmissions(sim, TT_KCP_TIMEOUT), 0);
        sim_free(sim);
    }
}

static void test_after_a_termination_all_is_repaired_in_a_few_round_trips(void **state)
{
    (void)state;
    /* One for the dial; then 16 segments, and three times as many each round trip. */
    repair_after(cut_now, 50u << 20, 10 * RTT_US);
}

static void test_little_in_flight_is_repaired_in_two_round_trips_after_the_dial(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + 20; seed++) {
        struct sim *sim = sim_new(seed, NULL);
        struct sim_talk *t = add_echo(sim, 1000, 1000);
        t->client.plan.most_a_write = t->server.plan.most_a_write = 50;
        t->client.plan.write_pause_us = t->server.plan.write_pause_us = 10 * TT_MS;
        sim_run_until(sim, sim->now_us + 150 * TT_MS);
        cut_now(sim, 0);
        run_until_repaired(sim, 3 * RTT_US + 2 * TT_MS);
        assert_int_equal(retransmissions(sim, TT_KCP_TIMEOUT), 0);
        end_story(sim);
    }
}

static void test_a_ghost_at_the_server_swallows_nothing_for_long(void **state)
{
    (void)state;
    repair_after(cut_unseen_by_server, 50u << 20, 10 * RTT_US);
}

static void test_a_thousand_terminations_cost_no_more_than_was_in_flight(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    add_echo(sim, 30u << 20, 30u << 20);
    for (unsigned i = 0; i < 1000 && !sim_talks_done(&sim->clients[0]); i++) {
        sim_run_until(sim, sim->now_us + sim_between(sim, 60 * TT_MS, 200 * TT_MS));
        cut_now(sim, 0);
    }
    assert_true(sim->cuts > 10);
    /* checks.c compares the counters at every step. */
    end_story(sim);
}

static void test_a_termination_before_the_first_answer_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t after_us = 0; after_us < 80 * TT_MS; after_us += 5 * TT_MS) {
        struct sim *sim = sim_new(first_seed(), NULL);
        add_echo(sim, 100000, 100000);
        sim_at(sim, sim->now_us + after_us, cut_now, 0);
        end_story(sim);
    }
}

static void test_connections_that_live_no_longer_than_a_round_trip_end_nothing(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.stall_us = 30 * TT_SECOND;
    struct sim *sim = sim_new(first_seed(), &p);
    add_echo(sim, 20000, 20000);
    for (unsigned i = 0; i < 200; i++)
        sim_at(sim, sim->now_us + i * RTT_US, cut_now, 0);
    end_story(sim);
}

static void redial_now(struct sim *sim, uint64_t arg)
{
    sim_client_redial(sim, &sim->clients[arg]);
}

static void test_a_new_connection_beside_the_old_one_takes_over(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.client.legacy = p.server.legacy = true;
    struct sim *sim = sim_new(first_seed(), &p);
    add_echo(sim, 5u << 20, 5u << 20);
    for (unsigned i = 1; i <= 5; i++)
        sim_at(sim, sim->now_us + i * 50 * TT_MS, redial_now, 0);
    sim_run_until(sim, sim->now_us + 300 * TT_MS);
    assert_int_equal(sim->clients[0].link->number, 5);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    assert_true(sim->clients[0].link->at_client.carrier.received_packets > 100);
    end_story(sim);
}

/* --- outages --- */

static void test_a_session_outlives_nine_minutes_without_a_network(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + 20; seed++) {
        struct sim *sim = sim_new(seed, NULL);
        add_echo(sim, 10u << 20, 10u << 20);
        sim_at(sim, sim->now_us + 100 * TT_MS, sim_begin_outage, 540 * TT_SECOND);
        sim_run_until(sim, sim->now_us + 500 * TT_SECOND);
        assert_true(!sim_talks_done(&sim->clients[0]));
        end_story(sim);
    }
}

static void test_an_outage_costs_no_more_than_the_dials(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    add_echo(sim, 10u << 20, 10u << 20);
    sim_at(sim, sim->now_us + 100 * TT_MS, sim_begin_outage, 500 * TT_SECOND);
    sim_run_until(sim, sim->now_us + TT_SECOND);
    const uint64_t steps = sim->steps;
    sim_run_until(sim, sim->now_us + 400 * TT_SECOND);
    /* A dial is two steps, every 1.6 s or less often; and one keepalive each waits unsent. */
    assert_in_range(sim->steps - steps, 1, 2 * 400 * 10 / 16 + 10);
    end_story(sim);
}

static void test_both_ends_give_up_at_their_time_limits_and_free_all(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + 20; seed++) {
        struct sim_profile p = usual();
        p.may_be_lost = true;
        p.may_time_out = true; /* the server goes on sending to a ghost */
        struct sim *sim = sim_new(seed, &p);
        add_echo(sim, 10u << 20, 10u << 20);
        sim_run_until(sim, sim->now_us + 100 * TT_MS);
        cut_unseen_by_server(sim, 0);
        sim_begin_outage(sim, 700 * TT_SECOND);
        sim_run_until(sim, sim->now_us + 590 * TT_SECOND);
        assert_int_equal(sim->lost_at_client + sim->lost_at_server, 0);
        sim_run_until(sim, sim->now_us + 20 * TT_SECOND);
        assert_int_equal(sim->lost_at_client, 1);
        assert_int_equal(sim->lost_at_server, 1);
        assert_int_equal(sim->server.slabs.live_bytes, 0);
        sim_check_nothing_left(sim);
        sim_free(sim);
    }
}

/* --- doing nothing --- */

static void test_an_idle_session_wakes_for_keepalives_alone(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    struct sim_talk *t = add_echo(sim, 100000, 100000);
    t->server.plan.ending = SIM_END_AFTER_PEER;
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    sim_run_until(sim, sim->now_us + 20 * TT_SECOND);
    const uint64_t steps = sim->steps;
    sim_run_until(sim, sim->now_us + 3600 * TT_SECOND);
    /* Each way: it is sent, it arrives, its ack arrives. The same moment may take a second look. */
    assert_in_range(sim->steps - steps, 360, 360 * 8);
    sim_check_idle(sim);
    end_story(sim);
}

static void test_an_idle_session_holds_neither_slabs_nor_rings(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    add_echo(sim, 10u << 20, 10u << 20);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    sim_run_until(sim, sim->now_us + 60 * TT_SECOND);
    sim_run_settled(sim, sim->now_us + TT_SECOND);
    tt_slab_pool_trim(&sim->server.slabs);
    tt_slab_pool_trim(&sim->clients[0].slabs);
    /* The server's session object, its places in map and heap, and a ring for one keepalive. */
    assert_in_range(sim->live_bytes, 1, 16384);
    end_story(sim);
}

/* --- streams --- */

static void test_each_end_can_end_first(void **state)
{
    (void)state;
    static const enum sim_ending endings[][2] = {
        {SIM_END_WHEN_SENT, SIM_END_WHEN_SENT},
        {SIM_END_WHEN_SENT, SIM_END_AFTER_PEER},
        {SIM_END_AFTER_PEER, SIM_END_WHEN_SENT},
    };
    for (unsigned i = 0; i < 2 * ARRAY_LEN(endings); i++) {
        struct sim_profile p = usual();
        p.smux_version = (uint8_t)(1 + i % 2);
        struct sim *sim = sim_new(first_seed(), &p);
        struct sim_talk *t = add_echo(sim, 1000000, 1000000);
        t->client.plan.ending = endings[i / 2][0];
        t->server.plan.ending = endings[i / 2][1];
        sim_at(sim, sim->now_us + 60 * TT_MS, cut_now, 0);
        end_story(sim);
    }
}

static void test_a_slow_reader_holds_its_stream_back_and_no_other(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    struct sim_talk *slow = add_echo(sim, 0, 8u << 20);
    struct sim_talk *fast = add_echo(sim, 0, 8u << 20);
    slow->client.plan.most_a_read = 1000;
    slow->client.plan.read_pause_us = 20 * TT_MS;
    sim_run_until(sim, sim->now_us + 5 * TT_SECOND);
    assert_true(fast->client.closed);
    assert_in_range(slow->client.received, 1, 1u << 20);
    assert_in_range(sim->clients[0].slabs.live_bytes, 1, 4 * (4u << 20) + (1u << 20));
    sim_free(sim);
}

static void test_sixty_streams_from_both_ends_share_one_session(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct sim_profile p = usual();
        p.smux_version = version;
        struct sim *sim = sim_new(first_seed(), &p);
        for (unsigned i = 0; i < 60; i++) {
            struct sim_talk *t = add_echo(sim, 50000, 50000);
            t->by_server = i % 2 == 1;
            t->open_us = sim->now_us + i * TT_MS;
        }
        for (unsigned i = 1; i <= 5; i++)
            sim_at(sim, sim->now_us + i * 100 * TT_MS, cut_now, 0);
        end_story(sim);
    }
}

/* Version 1 has no windows for streams: only KCP's own holds the sender back. */
static struct sim_profile with_small_windows(void)
{
    struct sim_profile p = usual();
    p.smux_version = 1;
    p.client.rcv_wnd_first = p.client.rcv_wnd = 32;
    p.client.max_receive_buffer = p.client.max_stream_buffer = 4096;
    return p;
}

static void test_a_window_that_was_shut_opens_without_being_asked_for(void **state)
{
    (void)state;
    const struct sim_profile p = with_small_windows();
    struct sim *sim = sim_new(first_seed(), &p);
    struct sim_talk *t = add_echo(sim, 0, 1u << 20);
    t->client.plan.most_a_read = 60000;
    t->client.plan.read_pause_us = 10 * TT_MS;
    sim_run_until(sim, sim->now_us + 100 * TT_MS);
    const struct tt_kcp *server = &sim->clients[0].session->endpoint.kcp;
    bool was_shut = false;
    while (!sim_talks_done(&sim->clients[0])) {
        sim_run_until(sim, sim->now_us + 5 * TT_MS);
        was_shut |= server->send.edge == server->send.nxt;
        sim_require(sim, server->probe_wait_us <= 500 * TT_MS, "the window was asked for");
    }
    assert_true(was_shut);
    end_story(sim);
}

static void test_a_word_of_an_open_window_that_is_lost_is_asked_for_again(void **state)
{
    (void)state;
    struct sim_profile p = with_small_windows();
    p.shape.kind = SIM_DATAGRAMS;
    p.shape.lost_permille = 300;
    p.may_time_out = true;
    p.stall_us = 60 * TT_SECOND;
    /* A keepalive would tell too. */
    p.client.keepalive_interval_us = p.server.keepalive_interval_us = 300 * TT_SECOND;
    struct sim *sim = sim_new(first_seed(), &p);
    struct sim_talk *t = add_echo(sim, 0, 1u << 20);
    t->client.plan.most_a_read = 60000;
    t->client.plan.read_pause_us = 100 * TT_MS;
    end_story(sim);
}

/* --- hostile networks --- */

static void test_datagrams_that_are_lost_repeated_and_out_of_order_deliver_all(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.shape.kind = SIM_DATAGRAMS;
    p.shape.jitter_us = 5 * TT_MS;
    p.shape.lost_permille = 50;
    p.shape.repeated_permille = 50;
    p.may_time_out = true;
    struct sim *sim = sim_new(first_seed(), &p);
    add_echo(sim, 2u << 20, 2u << 20);
    end_story(sim);
}

static void test_a_connection_that_takes_one_byte_at_a_time_delivers_all(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.shape.most_a_write = 1;
    p.shape.most_a_read = 1;
    p.shape.latency_us = 100;
    struct sim *sim = sim_new(first_seed(), &p);
    add_echo(sim, 30000, 30000);
    sim_at(sim, sim->now_us + TT_MS, cut_now, 0);
    end_story(sim);
}

static void test_a_pool_much_smaller_than_the_windows_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + 20; seed++) {
        struct sim_profile p = usual();
        p.pool_bytes = 1u << 20;
        p.may_time_out = true;
        p.stall_us = 15 * TT_SECOND;
        struct sim *sim = sim_new(seed, &p);
        add_echo(sim, 1u << 20, 1u << 20);
        sim_at(sim, sim->now_us + 100 * TT_MS, cut_now, 0);
        end_story(sim);
    }
}

/* --- memory --- */

static void test_any_single_allocation_may_fail(void **state)
{
    (void)state;
    bool refused = true;
    for (uint64_t n = 1; refused; n++) {
        struct sim_profile p = usual();
        p.may_time_out = true;
        p.stall_us = 12 * TT_SECOND;
        p.refused_alloc = n;
        p.most_refused = 1;
        struct sim *sim = sim_new(first_seed(), &p);
        sim->refusing = true;
        add_echo(sim, 100000, 100000);
        sim_at(sim, sim->now_us + 70 * TT_MS, cut_now, 0);
        sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
        refused = sim->refused_allocs > 0;
        end_story(sim);
    }
}

/* --- the simulator itself --- */

static void test_one_seed_is_one_run(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + 20; seed++) {
        uint64_t digest[2] = {0, 1};
        assert_true(sim_run_seed(seed, NULL, &digest[0]));
        void *shift = malloc(seed * 1000); /* other addresses, the same run */
        assert_true(sim_run_seed(seed, NULL, &digest[1]));
        free(shift);
        assert_int_equal(digest[0], digest[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_termination_all_is_repaired_in_a_few_round_trips),
        cmocka_unit_test(test_little_in_flight_is_repaired_in_two_round_trips_after_the_dial),
        cmocka_unit_test(test_a_ghost_at_the_server_swallows_nothing_for_long),
        cmocka_unit_test(test_a_thousand_terminations_cost_no_more_than_was_in_flight),
        cmocka_unit_test(test_a_termination_before_the_first_answer_loses_nothing),
        cmocka_unit_test(test_connections_that_live_no_longer_than_a_round_trip_end_nothing),
        cmocka_unit_test(test_a_new_connection_beside_the_old_one_takes_over),
        cmocka_unit_test(test_a_session_outlives_nine_minutes_without_a_network),
        cmocka_unit_test(test_an_outage_costs_no_more_than_the_dials),
        cmocka_unit_test(test_both_ends_give_up_at_their_time_limits_and_free_all),
        cmocka_unit_test(test_an_idle_session_wakes_for_keepalives_alone),
        cmocka_unit_test(test_an_idle_session_holds_neither_slabs_nor_rings),
        cmocka_unit_test(test_each_end_can_end_first),
        cmocka_unit_test(test_a_slow_reader_holds_its_stream_back_and_no_other),
        cmocka_unit_test(test_sixty_streams_from_both_ends_share_one_session),
        cmocka_unit_test(test_a_window_that_was_shut_opens_without_being_asked_for),
        cmocka_unit_test(test_a_word_of_an_open_window_that_is_lost_is_asked_for_again),
        cmocka_unit_test(test_datagrams_that_are_lost_repeated_and_out_of_order_deliver_all),
        cmocka_unit_test(test_a_connection_that_takes_one_byte_at_a_time_delivers_all),
        cmocka_unit_test(test_a_pool_much_smaller_than_the_windows_loses_nothing),
        cmocka_unit_test(test_any_single_allocation_may_fail),
        cmocka_unit_test(test_one_seed_is_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
