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

/* else nothing could be delivered before all has come. */
static void test_after_a_termination_the_oldest_comes_first(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    add_echo(sim, 200u << 20, 200u << 20);
    sim_run_until(sim, sim->now_us + 300 * TT_MS);
    const struct sim_client *c = &sim->clients[0];
    const uint32_t up = c->session->endpoint.kcp.receive.nxt;
    const uint32_t down = c->endpoint.kcp.receive.nxt;
    cut_now(sim, 0);
    /* One for the dial, one to learn what had arrived, half of one to bring the next. */
    sim_run_until(sim, sim->now_us + 5 * RTT_US / 2 + TT_MS);
    assert_true(tt_seq_before(up, c->session->endpoint.kcp.receive.nxt));
    assert_true(tt_seq_before(down, c->endpoint.kcp.receive.nxt));
    sim_free(sim);
}

/* the client's window and una leave with the ID. */
static void test_a_server_that_is_redialled_sends_nothing_twice(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    add_echo(sim, 0, 50u << 20);
    sim_run_until(sim, sim->now_us + 300 * TT_MS);
    cut_now(sim, 0);
    sim_run_until(sim, sim->now_us + 5 * RTT_US);
    assert_int_equal(sim->clients[0].endpoint.kcp.receive.duplicates, 0);
    sim_free(sim);
}

/* Of so many segments that came behind a hole, and whose acks died with the connection, so many are
 * sent again all the same.
 */
static void count_sent_again(uint64_t seed, uint64_t *ahead, uint64_t *again)
{
    struct sim_profile p = usual();
    p.shape.kind = SIM_DATAGRAMS;
    p.shape.lost_permille = 20;
    p.may_time_out = true;
    p.client.snd_wnd = 150; /* fits into the buffer */
    struct sim *sim = sim_new(seed, &p);
    const struct sim_client *c = &sim->clients[0];
    add_echo(sim, 50u << 20, 0);
    sim_run_until(sim, sim->now_us + 500 * TT_MS);
    c->link->down.dead = true; /* what is in flight arrives, but no ack comes back */
    sim_run_until(sim, sim->now_us + RTT_US);
    const struct tt_kcp_receive *server = &c->session->endpoint.kcp.receive;
    const uint64_t duplicates = server->duplicates;
    *ahead += server->held_ahead;
    cut_now(sim, 0);
    sim_run_until(sim, sim->now_us + 6 * RTT_US);
    *again += server->duplicates - duplicates;
    sim_free(sim);
}

/* the acks are repeated. What leaves before they come, and what its timer had sent again
 * before the cut, is a third of all here; without them it would be three quarters.
 */
static void test_what_came_before_a_termination_is_mostly_not_sent_again(void **state)
{
    (void)state;
    uint64_t ahead = 0, again = 0;
    for (uint64_t seed = first_seed(); seed < first_seed() + 20; seed++)
        count_sent_again(seed, &ahead, &again);
    assert_in_range(again, 0, ahead / 2);
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

static void cut_after(struct sim *sim, uint64_t life_us)
{
    const struct sim_link *l = sim->clients[0].link;
    if (l && sim->now_us - l->at_client.carrier.opened_us >= life_us)
        cut_now(sim, 0);
}

/* What is sent at once would take longer than each of them lives, and the acks wait behind it. */
static void test_connections_that_carry_a_few_kilobytes_end_nothing(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.shape.latency_us = TT_MS;
    p.shape.bytes_per_ms = 100;
    struct sim *sim = sim_new(first_seed(), &p);
    const struct sim_client *c = &sim->clients[0];
    add_echo(sim, 50000, 50000);
    for (unsigned ms = 0; ms < 300000 && !sim_talks_done(c); ms++) {
        sim_run_until(sim, sim->now_us + TT_MS);
        cut_after(sim, 60 * TT_MS);
    }
    assert_true(sim_talks_done(c));
    assert_true(sim->cuts > 10);

    sim->profile.shape.bytes_per_ms = 0; /* where they live, the caution is soon forgotten */
    add_echo(sim, 200u << 20, 200u << 20);
    while (!c->link)
        sim_run_until(sim, sim->now_us + TT_MS);
    for (unsigned i = 0; i < 6; i++) {
        sim_run_until(sim, sim->now_us + 200 * TT_MS);
        cut_now(sim, 0);
    }
    assert_int_equal(c->endpoint.allowance, p.client.redial_allowance);
    assert_int_equal(c->session->endpoint.allowance, p.server.redial_allowance);
    sim_free(sim);
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

/* where connections overtake each other, the server answers on the one that came last, and
 * goes on there when the first word comes on an older one.
 */
static void test_a_legacy_connection_whose_first_word_comes_late_does_not_push_in(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct sim_profile p;
        sim_profile_default(&p);
        p.client.legacy = p.server.legacy = true;
        p.shape.jitter_us = 200 * TT_MS;
        p.may_time_out = true;
        struct sim *sim = sim_new(first_seed() + i, &p);
        add_echo(sim, 100000, 100000);
        for (unsigned n = 0; n < 5; n++)
            sim_at(sim, sim->now_us + 100 * TT_MS + n * 30 * TT_MS, redial_now, 0);
        sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
        sim_check_nothing_left(sim);
        sim_free(sim);
    }
}

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

/* --- sessions --- */

/* K-39: the same ID, but nothing that it knew; the old connection is still there at the server. */
static void test_a_client_that_lost_its_state_begins_anew(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.may_be_lost = true;
    p.client.legacy = p.server.legacy = true; /* K-39 holds for such sessions alone */
    struct sim *sim = sim_new(first_seed(), &p);
    struct sim_client *c = &sim->clients[0];
    struct sim_talk *old = add_echo(sim, 100000, 100000);
    sim_run_talks(sim, sim->now_us + 10 * TT_SECOND);
    old->sid = 0; /* the number is given out again */
    const struct tt_session_id id = c->endpoint.config.id;
    sim_client_stop(sim, c);
    sim_client_start(sim, c);
    c->endpoint.config.id = id;
    add_echo(sim, 100000, 100000);
    sim_run_talks(sim, sim->now_us + 10 * TT_SECOND);
    assert_int_equal(sim->lost_at_server, 1);
    assert_int_equal(sim->server.conn.sessions, 1);
    assert_true(c->session->endpoint.config.conv == c->endpoint.config.conv);
    end_story(sim);
}

/* K-42: it takes the next packets for a session of which it missed the beginning. */
static void test_a_server_that_lost_its_state_is_found_out(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.may_be_lost = true;
    p.client.legacy = p.server.legacy = true; /* a native server says so: survival_test.c */
    struct sim *sim = sim_new(first_seed(), &p);
    add_echo(sim, 1000, 1000);
    sim_run_talks(sim, sim->now_us + 10 * TT_SECOND);
    cut_now(sim, 0);
    sim_server_stop(sim);
    sim->clients[0].session = NULL;
    sim_server_start(sim);
    sim_run_until(sim, sim->now_us + TT_SECOND);
    assert_int_equal(sim->lost_at_client, 0);
    add_echo(sim, 1000, 1000);
    sim_run_until(sim, sim->now_us + 3 * RTT_US);
    assert_int_equal(sim->lost_at_client, 1);
    sim_check_nothing_left(sim);
    sim_free(sim);
}

static void test_a_session_that_was_closed_is_freed_after_its_time(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    struct sim_client *c = &sim->clients[0];
    const uint64_t closed_us = sim->server.conn.config.closed_us;
    add_echo(sim, 100000, 100000);
    sim_run_talks(sim, sim->now_us + 10 * TT_SECOND);
    tt_queue_packet_conn_close(&sim->server.conn, sim->now_us, c->session);
    c->session = NULL;
    sim_begin_outage(sim, 2 * closed_us); /* nobody speaks to it any more */
    sim_run_until(sim, sim->now_us + closed_us - TT_SECOND);
    assert_int_equal(sim->server.conn.sessions, 1);
    sim_run_until(sim, sim->now_us + 2 * TT_SECOND);
    assert_int_equal(sim->server.conn.sessions, 0);
    sim_check_nothing_left(sim);
    sim_free(sim);
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

static void test_two_streams_in_bulk_get_the_same_share(void **state)
{
    (void)state;
    struct sim *sim = sim_new(first_seed(), NULL);
    const struct sim_talk *a = add_echo(sim, 0, 8u << 20);
    const struct sim_talk *b = add_echo(sim, 0, 8u << 20);
    while (!a->client.closed && !b->client.closed)
        sim_run_until(sim, sim->now_us + TT_MS);
    assert_in_range(a->client.received, 7u << 20, 8u << 20);
    assert_in_range(b->client.received, 7u << 20, 8u << 20);
    sim_free(sim);
}

/* They come in one packet, and nothing behind it: accepting one is what lets the next one up. */
static void test_streams_that_wait_to_be_accepted_wait_for_nothing_else(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.server.accept_backlog = 1;
    struct sim *sim = sim_new(first_seed(), &p);
    for (unsigned i = 0; i < 20; i++)
        add_echo(sim, 0, 0);
    sim_run_talks(sim, sim->now_us + 5 * RTT_US);
    end_story(sim);
}

static void test_a_small_window_is_used_up_and_never_overrun(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.client.max_stream_buffer = 65536;
    struct sim *sim = sim_new(first_seed(), &p);
    struct sim_talk *t = add_echo(sim, 0, 2u << 20);
    t->client.plan.read_pause_us = 5 * TT_MS;
    t->client.plan.ending = SIM_END_AFTER_PEER; /* half-closing would widen it */
    end_story(sim);
}

/* The client closes while it still has something to send, and a full window of unread bytes. */
static void test_a_stream_that_was_closed_renews_its_window_until_its_end(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.client.max_stream_buffer = p.server.max_stream_buffer = 65536;
    struct sim *sim = sim_new(first_seed(), &p);
    struct sim_talk *t = add_echo(sim, 600000, 2u << 20);
    t->client.plan.most_a_read = 10;
    t->client.plan.read_pause_us = 10 * TT_MS;
    t->client.plan.ending = SIM_CLOSE_WHEN_SENT;
    t->server.plan.most_a_read = 2000;
    t->server.plan.read_pause_us = 5 * TT_MS;
    end_story(sim);
}

static void test_the_window_grows_with_what_is_delivered(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.shape.buffer_bytes = 16u << 20;
    struct sim *sim = sim_new(first_seed(), &p);
    add_echo(sim, 0, 20u << 20);
    /* 128 segments a round trip would take two seconds and a half. */
    sim_run_talks(sim, sim->now_us + TT_SECOND);
    end_story(sim);
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
    p.client.legacy = p.server.legacy = true;    /* PONG would be followed by it ... */
    p.client.liveness_floor_us = 30 * TT_SECOND; /* ... and who doubts the connection asks */
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
    sim_run_talks(sim, sim->now_us + 3600 * TT_SECOND);
    assert_in_range(sim->clients[0].longest_silence_us[0], 0, 25 * TT_SECOND);
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

/* One small word at a time: nothing behind it tells that it was lost, only the timer, whose waits
 * begin anew with each answer (K-28).
 */
static void test_lost_datagrams_do_not_make_the_timer_wait_longer_and_longer(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.client.legacy = p.server.legacy = true;
    p.shape.kind = SIM_DATAGRAMS;
    p.shape.lost_permille = 200;
    p.client.liveness_floor_us = 30 * TT_SECOND; /* no redial, which begins anew with all */
    p.may_time_out = true;
    p.stall_us = 60 * TT_SECOND;
    struct sim *sim = sim_new(first_seed(), &p);
    struct sim_talk *t = add_echo(sim, 4000, 1);
    t->client.plan.most_a_write = 20;
    t->client.plan.write_pause_us = 400 * TT_MS;
    sim_run_talks(sim, sim->now_us + 3600 * TT_SECOND);
    assert_true(sim->clients[0].endpoint.kcp.send.retransmissions[TT_KCP_TIMEOUT] > 50);
    assert_in_range(sim->clients[0].longest_silence_us[1], 0, 2500 * TT_MS);
    end_story(sim);
}

static void test_a_lost_datagram_is_told_by_those_behind_it(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.shape.kind = SIM_DATAGRAMS;
    p.shape.buffer_bytes = 16u << 20;
    p.shape.lost_permille = 10;
    p.may_time_out = true;
    struct sim *sim = sim_new(first_seed(), &p);
    add_echo(sim, 10u << 20, 0);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    const uint32_t *again = sim->clients[0].endpoint.kcp.send.retransmissions;
    assert_true(again[TT_KCP_FAST] > again[TT_KCP_TIMEOUT]);
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

/* Returns whether there were so many allocations. */
static bool refuse_one(struct sim_profile p, uint64_t n, uint64_t bytes, bool cut)
{
    p.may_time_out = true;
    p.refused_alloc = n;
    p.most_refused = 1;
    struct sim *sim = sim_new(first_seed(), &p);
    sim->refusing = true;
    struct sim_talk *t = add_echo(sim, bytes, bytes);
    t->client.plan.read_pause_us = 10 * TT_MS;
    if (cut)
        sim_at(sim, sim->now_us + 70 * TT_MS, cut_now, 0);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    const bool refused = sim->refused_allocs > 0;
    end_story(sim);
    return refused;
}

static void refuse_each(struct sim_profile p, uint64_t bytes, bool cut)
{
    for (uint64_t n = 1; refuse_one(p, n, bytes, cut); n++)
        continue;
}

static void test_any_single_allocation_may_fail(void **state)
{
    (void)state;
    refuse_each(usual(), 100000, true);
    refuse_each(usual(), 100000, false); /* no new connection makes up for it */
    refuse_each(usual(), 10, false);     /* nor does a next packet */
    refuse_each(with_small_windows(), 100000, false);
}

static void test_a_session_that_ends_without_memory_leaves_none_behind(void **state)
{
    (void)state;
    bool refused = true;
    for (uint64_t n = 1; refused; n++) {
        struct sim_profile p = usual();
        p.may_time_out = true;
        p.refused_alloc = n;
        p.refused_alloc_step = 1; /* that one, and all behind it */
        p.most_refused = UINT64_MAX;
        struct sim *sim = sim_new(first_seed(), &p);
        sim->refusing = true;
        add_echo(sim, 1u << 20, 1u << 20);
        sim_run_until(sim, sim->now_us + 100 * TT_MS);
        refused = sim->refused_allocs > 0;
        sim_check_nothing_left(sim);
        sim_free(sim);
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
        cmocka_unit_test(test_after_a_termination_the_oldest_comes_first),
        cmocka_unit_test(test_a_server_that_is_redialled_sends_nothing_twice),
        cmocka_unit_test(test_what_came_before_a_termination_is_mostly_not_sent_again),
        cmocka_unit_test(test_little_in_flight_is_repaired_in_two_round_trips_after_the_dial),
        cmocka_unit_test(test_a_ghost_at_the_server_swallows_nothing_for_long),
        cmocka_unit_test(test_a_thousand_terminations_cost_no_more_than_was_in_flight),
        cmocka_unit_test(test_a_termination_before_the_first_answer_loses_nothing),
        cmocka_unit_test(test_connections_that_live_no_longer_than_a_round_trip_end_nothing),
        cmocka_unit_test(test_connections_that_carry_a_few_kilobytes_end_nothing),
        cmocka_unit_test(test_a_new_connection_beside_the_old_one_takes_over),
        cmocka_unit_test(test_a_legacy_connection_whose_first_word_comes_late_does_not_push_in),
        cmocka_unit_test(test_a_session_outlives_nine_minutes_without_a_network),
        cmocka_unit_test(test_an_outage_costs_no_more_than_the_dials),
        cmocka_unit_test(test_both_ends_give_up_at_their_time_limits_and_free_all),
        cmocka_unit_test(test_a_client_that_lost_its_state_begins_anew),
        cmocka_unit_test(test_a_server_that_lost_its_state_is_found_out),
        cmocka_unit_test(test_a_session_that_was_closed_is_freed_after_its_time),
        cmocka_unit_test(test_an_idle_session_wakes_for_keepalives_alone),
        cmocka_unit_test(test_an_idle_session_holds_neither_slabs_nor_rings),
        cmocka_unit_test(test_each_end_can_end_first),
        cmocka_unit_test(test_a_slow_reader_holds_its_stream_back_and_no_other),
        cmocka_unit_test(test_two_streams_in_bulk_get_the_same_share),
        cmocka_unit_test(test_streams_that_wait_to_be_accepted_wait_for_nothing_else),
        cmocka_unit_test(test_a_small_window_is_used_up_and_never_overrun),
        cmocka_unit_test(test_a_stream_that_was_closed_renews_its_window_until_its_end),
        cmocka_unit_test(test_the_window_grows_with_what_is_delivered),
        cmocka_unit_test(test_sixty_streams_from_both_ends_share_one_session),
        cmocka_unit_test(test_a_window_that_was_shut_opens_without_being_asked_for),
        cmocka_unit_test(test_a_word_of_an_open_window_that_is_lost_is_asked_for_again),
        cmocka_unit_test(test_datagrams_that_are_lost_repeated_and_out_of_order_deliver_all),
        cmocka_unit_test(test_lost_datagrams_do_not_make_the_timer_wait_longer_and_longer),
        cmocka_unit_test(test_a_lost_datagram_is_told_by_those_behind_it),
        cmocka_unit_test(test_a_connection_that_takes_one_byte_at_a_time_delivers_all),
        cmocka_unit_test(test_a_pool_much_smaller_than_the_windows_loses_nothing),
        cmocka_unit_test(test_any_single_allocation_may_fail),
        cmocka_unit_test(test_a_session_that_ends_without_memory_leaves_none_behind),
        cmocka_unit_test(test_one_seed_is_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
