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
        if (takes_us == 0 || plans[i]->bytes < 2000)
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

/* --- connections that are open at one end only --- */

static void ghost(struct sim *sim, uint64_t arg)
{
    struct sim_client *c = &sim->clients[arg];
    if (c->link)
        sim_link_cut(sim, c->link,
                     (struct sim_cut){.client_learns_us = 0, .server_learns_us = TT_NEVER});
}

static void test_ghosts_every_3_seconds_cost_less_than_a_second(void **state)
{
    (void)state;
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        struct sim_profile p = usual(RTT_US);
        p.client.legacy = legacy; /* as a Go client is */
        struct sim *sim = new_sim(&p);
        add_talk(sim, 1000000, 1000000, 30 * TT_SECOND);
        for (unsigned i = 1; i <= 9; i++)
            sim_at(sim, sim->now_us + i * 3 * TT_SECOND, ghost, 0);
        sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
        expect_silence_below(sim, TT_SECOND);
        end_story(sim);
    }
}

/* --- what is slow is not dead --- */

static void expect_few_dials(struct sim *sim, uint64_t most)
{
    if (sim->dials > most)
        sim_describe(sim, stderr);
    assert_in_range(sim->dials, 1, most);
}

static void test_two_seconds_of_round_trip_with_jitter_cause_no_redials(void **state)
{
    (void)state;
    struct sim_profile p = usual(2 * TT_SECOND);
    p.shape.jitter_us = TT_SECOND;
    p.stall_us = 60 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 300000, 300000, 60 * TT_SECOND);
    sim_run_talks(sim, sim->now_us + 3600 * TT_SECOND);
    expect_few_dials(sim, 4);
    end_story(sim);
}

static void test_a_narrow_way_with_a_full_queue_causes_no_redials(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.shape.bytes_per_ms = 20;
    p.stall_us = 60 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000000, 1000000, 0);
    sim_run_talks(sim, sim->now_us + 3600 * TT_SECOND);
    expect_few_dials(sim, 3);
    assert_int_equal(sim->clients[0].endpoint.stats.suspicions, 0);
    assert_true(sim->now_us < 80 * TT_SECOND); /* 1 MB at 20 kB/s: 50 s */
    end_story(sim);
}

/* Every client has a talk of so many bytes each way, with a pause after each write. */
static void all_talk(struct sim *sim, uint64_t bytes, uint64_t pause_us)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        struct sim_talk *t = sim_add_talk(sim, &sim->clients[i]);
        t->client.plan = t->server.plan = (struct sim_speaker_plan){
            .bytes = bytes, .most_a_write = 2000, .most_a_read = 65536, .write_pause_us = pause_us};
    }
}

static void slow_down(struct sim *sim, uint64_t latency_us)
{
    sim->profile.shape.latency_us = latency_us;
}

/* The same network for all: whatever is said arrives two seconds late, for a while. */
static void test_answers_that_are_two_seconds_late_cause_no_storm(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.clients = 1000;
    p.tick_us = 5 * TT_MS;
    p.stall_us = 60 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    all_talk(sim, 30000, 500 * TT_MS);
    sim_at(sim, sim->now_us + 5 * TT_SECOND, slow_down, 2 * TT_SECOND);
    sim_at(sim, sim->now_us + 10 * TT_SECOND, slow_down, RTT_US / 2);
    sim_run_talks(sim, sim->now_us + 3600 * TT_SECOND);
    expect_few_dials(sim, 5u * p.clients);
    end_story(sim);
}

static void add_latency(struct sim *sim, uint64_t us)
{
    sim->profile.shape.latency_us += us;
}

/* Others fill a queue on the path: all takes longer and longer, and nothing is lost. */
static void test_a_queue_that_grows_is_no_silence(void **state)
{
    (void)state;
    const struct sim_profile p = usual(RTT_US);
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000000, 1000000, 10 * TT_SECOND);
    for (unsigned i = 0; i < 150; i++)
        sim_at(sim, sim->now_us + 2 * TT_SECOND + i * 20 * TT_MS, add_latency, 40 * TT_MS);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    assert_int_equal(sim->clients[0].endpoint.stats.suspicions, 0);
    assert_int_equal(sim->clients[0].session->endpoint.stats.suspicions, 0);
    expect_few_dials(sim, 1);
    end_story(sim);
}

/* What is asked is answered behind all that the other end had said before. */
static void test_an_answer_behind_a_full_queue_is_no_silence(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.shape.bytes_per_ms = 8;
    p.stall_us = 60 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1, 400000, 0);
    struct sim_speaker_plan *words = &add_talk(sim, 20, 1, 0)->client.plan;
    words->most_a_write = 2;
    words->write_pause_us = 3 * TT_SECOND;
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    assert_int_equal(sim->clients[0].endpoint.stats.suspicions, 0);
    assert_int_equal(sim->clients[0].session->endpoint.stats.suspicions, 0);
    expect_few_dials(sim, 1);
    end_story(sim);
}

static void cut_newest(struct sim *sim, uint64_t arg)
{
    struct sim_client *c = &sim->clients[arg];
    if (c->link)
        sim_link_cut(sim, c->link, (struct sim_cut){.server_learns_us = TT_MS});
}

/* somebody lets each connection be made, and ends it before a word gets through. */
static void test_connections_that_are_of_no_use_cause_no_storm(void **state)
{
    (void)state;
    const struct sim_profile p = usual(RTT_US);
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000, 1000, 0);
    for (unsigned i = 0; i < 200; i++)
        sim_at(sim, sim->now_us + i * 50 * TT_MS, cut_newest, 0);
    sim_run_until(sim, sim->now_us + 10 * TT_SECOND);
    expect_few_dials(sim, 15);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    end_story(sim);
}

/* --- a path that is gone for long --- */

static void begin_outage(struct sim *sim, uint64_t duration_us)
{
    sim->outage_until_us = sim->now_us + duration_us;
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        sim_link_freeze(sim, TT_CONTAINER_OF(node, struct sim_link, node), true, true);
    }
}

static void test_a_session_resumes_when_its_path_comes_back(void **state)
{
    (void)state;
    for (unsigned black_hole = 0; black_hole < 2; black_hole++) {
        const struct sim_profile p = usual(RTT_US);
        struct sim *sim = new_sim(&p);
        sim->black_hole = black_hole;
        add_talk(sim, 1000000, 1000000, 10 * TT_SECOND);
        sim_at(sim, sim->now_us + 3 * TT_SECOND, begin_outage, 90 * TT_SECOND);
        sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
        expect_silence_below(sim, 93 * TT_SECOND); /* and a backoff of up to 2.4 s, a dial */
        end_story(sim);
    }
}

/* --- budgets and several at once --- */

static void test_a_change_of_carriers_shows_no_gap(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.client.carrier_max_bytes = 100000;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 2000000, 2000000, 20 * TT_SECOND);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    assert_true(sim->next_link > 15);
    expect_silence_below(sim,
                         100 * TT_MS); /* two speak every 10 ms on average: up to 70 ms apart */
    end_story(sim);
}

static uint64_t takes_us(unsigned carriers, bool slow_ones)
{
    struct sim_profile p = usual(RTT_US);
    p.shape.bytes_per_ms = 1000;
    p.client.carriers = carriers;
    if (slow_ones) {
        p.shape.odd_bytes_per_ms = 100;
        p.shape.odd_latency_us = 100 * TT_MS;
    }
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1, 20000000, 0);
    const uint64_t began_us = sim->now_us;
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    const uint64_t took_us = sim->now_us - began_us;
    end_story(sim);
    return took_us;
}

static void test_several_carriers_are_faster_than_one(void **state)
{
    (void)state;
    const uint64_t one_us = takes_us(1, false);
    assert_in_range(takes_us(4, false), one_us / 5, one_us / 2);
    assert_in_range(takes_us(2, true), one_us / 2, one_us * 10 / 9);
}

static void test_the_loss_of_one_of_several_is_no_gap(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.client.carriers = 3;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000000, 1000000, 10 * TT_SECOND);
    for (unsigned i = 1; i <= 4; i++)
        sim_at(sim, sim->now_us + i * 2 * TT_SECOND, ghost, 0);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    expect_silence_below(sim, 400 * TT_MS);
    end_story(sim);
}

/* --- a server that has lost everything --- */

static void cut_all(struct sim *sim, struct sim_cut cut)
{
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        sim_link_cut(sim, TT_CONTAINER_OF(node, struct sim_link, node), cut);
    }
}

static void restart_server(struct sim *sim, uint64_t arg)
{
    (void)arg;
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        sim->clients[i].session = NULL;
        sim->clients[i].may_be_closed = true;
    }
    cut_all(sim, (struct sim_cut){.client_learns_us = TT_MS, .server_learns_us = TT_NEVER});
    sim_server_stop(sim);
    sim_server_start(sim);
}

static void test_a_client_learns_at_once_that_its_server_lost_the_session(void **state)
{
    (void)state;
    const struct sim_profile p = usual(RTT_US);
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000000, 1000000, 10 * TT_SECOND);
    sim_at(sim, sim->now_us + 3 * TT_SECOND, restart_server, 0);
    sim_run_until(sim, sim->now_us + 3 * TT_SECOND + 200 * TT_MS); /* a dial, a round trip */
    assert_true(sim->clients[0].closed);
    sim_check_nothing_left(sim);
    sim_free(sim);
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
        assert_true(sim->clients[0].endpoint.budget->learned > 0);
        end_story(sim);
    }
}

/* The limit is taken for what it is, and not given away: at least three quarters of it are used. */
static void test_a_limit_of_one_direction_is_learned_well(void **state)
{
    (void)state;
    for (uint64_t limit = 9000; limit <= 90000; limit += 3000) {
        struct sim_profile p = usual(RTT_US);
        p.shape.freeze_down = limit;
        struct sim *sim = new_sim(&p);
        add_talk(sim, 1, 2000000, 0);
        sim_run_until(sim, sim->now_us + 4 * TT_SECOND);
        const struct tt_budget *b = sim->clients[0].endpoint.budget;
        assert_in_range(b->learners[TT_BUDGET_DOWN].limit, limit / 2, limit);
        assert_int_equal(b->learners[TT_BUDGET_SUM].limit, 0);
        sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
        end_story(sim);
    }
}

static void cut_them_all(struct sim *sim, uint64_t arg)
{
    (void)arg;
    cut_all(sim, (struct sim_cut){.client_learns_us = TT_MS, .server_learns_us = TT_MS});
}

/* A proxy that is restarted ends all of them at once: that is one death, and teaches nothing. */
static void test_four_that_die_of_one_blow_are_no_limit(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.client.carriers = 4;
    p.shape.bytes_per_ms = 1000;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1, 20000000, 0);
    sim_at(sim, sim->now_us + 1 * TT_SECOND, cut_them_all, 0);
    sim_at(sim, sim->now_us + 2 * TT_SECOND, cut_them_all, 0);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    assert_int_equal(sim->clients[0].endpoint.budget->learned, 0);
    end_story(sim);
}

/* --- hangs that were found on paper --- */

static void be_busy(struct sim *sim, uint64_t duration_us)
{
    sim->server.busy_until_us = sim->now_us + duration_us;
}

static void test_a_server_that_stands_still_for_two_seconds_causes_no_storm(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.clients = 4;
    struct sim *sim = new_sim(&p);
    all_talk(sim, 200000, 20 * TT_MS);
    sim_at(sim, sim->now_us + TT_SECOND, be_busy, 2 * TT_SECOND);
    sim_run_talks(sim, sim->now_us + 600 * TT_SECOND);
    expect_few_dials(sim, 5u * p.clients);
    expect_silence_below(sim, 3 * TT_SECOND);
    end_story(sim);
}

static void close_carriers_of_server(struct sim *sim, uint64_t arg)
{
    (void)arg;
    cut_all(sim, (struct sim_cut){.client_learns_us = TT_NEVER, .server_learns_us = 0});
}

/* The server has nothing to speak through, and cannot dial: the client's keepalive must find out.
 */
static void test_a_server_that_speaks_after_its_carrier_was_lost_is_heard(void **state)
{
    (void)state;
    const struct sim_profile p = usual(RTT_US);
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000, 1000, 0);
    sim_run_talks(sim, sim->now_us + 10 * TT_SECOND);
    sim_at(sim, sim->now_us + TT_SECOND, close_carriers_of_server, 0);
    struct sim_talk *t = add_talk(sim, 0, 1000, 0);
    t->by_server = true;
    t->open_us = sim->now_us + 2 * TT_SECOND;
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    assert_in_range(sim->dials, 2, 4);
    end_story(sim);
}

static void fall_to_1400(struct sim *sim, uint64_t arg)
{
    sim->profile.shape.max_packet = 1400;
    cut_newest(sim, arg);
}

/* Hundreds of segments are in flight in large packets when only small ones can be carried on. */
static void test_a_session_of_large_packets_goes_on_in_small_ones(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.shape.bytes_per_ms = 20000;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 3000000, 3000000, 0);
    while (sim->clients[0].endpoint.kcp.send.nxt - sim->clients[0].endpoint.kcp.send.una < 200)
        sim_run_until(sim, sim->now_us + TT_MS);
    fall_to_1400(sim, 0);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    assert_true(sim->clients[0].died_in_flight[0] >= 200);
    end_story(sim);
}

static void test_four_carriers_may_come_in_any_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 24; i++) {
        struct sim_profile p = usual(RTT_US);
        p.client.carriers = 4;
        p.shape.jitter_us = 200 * TT_MS;
        p.start_us += i * TT_MS; /* other dice for the same network */
        struct sim *sim = sim_new(i + 1, &p);
        add_talk(sim, 100000, 100000, 0);
        sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
        end_story(sim);
    }
}

/* A middlebox may have forgotten it: the next word does not wait until that has been found out. */
static void test_a_carrier_that_was_idle_for_long_is_not_relied_on(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.client.carrier_idle_us = 5 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000, 1000, 0);
    sim_run_talks(sim, sim->now_us + 10 * TT_SECOND);
    sim_run_until(sim, sim->now_us + 20 * TT_SECOND);
    assert_true(sim->next_link >= 2 || tt_list_empty(&sim->clients[0].endpoint.carriers));
    const uint64_t spoke_us = sim->now_us;
    add_talk(sim, 1000, 1000, 0);
    sim_run_talks(sim, sim->now_us + 10 * TT_SECOND);
    assert_true(sim->next_link >= 2);
    assert_in_range(sim->now_us - spoke_us, 0, 6 * RTT_US);
    end_story(sim);
}

static void write_all(struct sim *sim, struct sim_pipe *pipe, const uint8_t *data, uint32_t len)
{
    for (uint32_t at = 0; at < len;)
        at += sim_pipe_write(sim, pipe, data + at, len - at);
}

static void write_packet(struct sim *sim, struct sim_pipe *pipe, const uint8_t *packet,
                         uint32_t len)
{
    uint8_t header[TT_ENCAP_HEADER];
    tt_encap_header(header, (uint16_t)len);
    write_all(sim, pipe, header, sizeof header);
    write_all(sim, pipe, packet, len);
}

static void write_control(struct sim *sim, struct sim_pipe *pipe, const struct tt_control *says)
{
    uint8_t packet[TT_CONTROL_MAX];
    write_packet(sim, pipe, packet, tt_control_write(packet, says));
}

/* Somebody else opens a connection with the ID of the session ... */
static struct sim_link *stranger_comes(struct sim *sim, struct sim_client *c)
{
    struct sim_link *l = sim_link_new(sim, c);
    write_all(sim, &l->up, c->endpoint.config.id.bytes, TT_SESSION_ID_LEN);
    return l;
}

/* ... and says no more. */
static void stranger_listens(struct sim *sim, struct sim_link *l)
{
    sim_run_until(sim, l->accept_us);
    sim_plug_close(&l->at_client);
    sim_run_until(sim, sim->now_us + TT_SECOND);
}

/* on a carrier of a native session nothing is said before its HELLO has come. */
static void test_a_stranger_who_knows_the_id_is_told_nothing(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.shape.bytes_per_ms = 1000; /* one carrier does not take all that there is */
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000, 10000000, 0);
    sim_run_until(sim, sim->now_us + TT_SECOND);
    uint8_t wask[TT_KCP_HEADER];
    tt_kcp_header_write(wask, &(struct tt_kcp_header){.conv = sim->clients[0].endpoint.config.conv,
                                                      .cmd = TT_KCP_WASK});
    struct sim_link *l = stranger_comes(sim, &sim->clients[0]);
    write_packet(sim, &l->up, wask, sizeof wask);
    stranger_listens(sim, l);
    assert_int_equal(l->at_server.carrier.received_packets, 1);
    assert_int_equal(l->at_server.carrier.taken_packets, 0);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    expect_silence_below(sim, 4 * RTT_US);
    end_story(sim);
}

/* whoever knows the ID can open a connection; ending the session takes all that there are. */
static void test_a_stranger_who_knows_the_id_cannot_close_the_session(void **state)
{
    (void)state;
    const struct sim_profile p = usual(RTT_US);
    struct sim *sim = new_sim(&p);
    add_talk(sim, 100000, 100000, 5 * TT_SECOND);
    sim_run_until(sim, sim->now_us + TT_SECOND);
    struct sim_link *l = stranger_comes(sim, &sim->clients[0]);
    write_control(sim, &l->up,
                  &(struct tt_control){.type = TT_CONTROL_HELLO,
                                       .hello = {1, 65535, TT_HELLO_NO_DROPS, 1000}});
    write_control(sim, &l->up,
                  &(struct tt_control){.type = TT_CONTROL_CLOSE, .reason = TT_CLOSE_DONE});
    stranger_listens(sim, l);
    assert_true(l->at_server.carrier.close_heard);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    expect_silence_below(sim, TT_SECOND);
    end_story(sim);
}

/* Its budget is spent at one end, and there is no other: PONG is all that can come. */
static void test_a_spent_connection_is_not_asked_again_and_again(void **state)
{
    (void)state;
    struct sim_profile p = usual(2 * TT_MS);
    p.client.carrier_max_bytes = 20000;
    p.stall_us = 10 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1, 50000, 0);
    struct sim_speaker_plan *typing = &add_talk(sim, 10000, 1, 0)->client.plan;
    typing->most_a_write = 20;
    typing->write_pause_us = 5 * TT_MS;
    sim_run_until(sim, sim->now_us + 3 * TT_MS);
    sim->outage_until_us = sim->now_us + 6 * TT_SECOND; /* what is connected stays so */
    sim_run_until(sim, sim->outage_until_us);
    assert_in_range(sim->clients[0].endpoint.stats.pings_sent, 0, 6000 / 50);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    end_story(sim);
}

static void discard_one(struct sim *sim, uint64_t arg)
{
    (void)arg;
    sim->server.discards = 1;
}

/* A server that breaks its promise, or loses what it took, is found out by the next answer. */
static void test_what_the_peer_throws_away_is_missed_for_a_few_round_trips(void **state)
{
    (void)state;
    const struct sim_profile p = usual(RTT_US);
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1000000, 1, 10 * TT_SECOND);
    sim_at(sim, sim->now_us + 3 * TT_SECOND, discard_one, 0);
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    assert_int_equal(sim->server.discarded, 1);
    assert_true(sim->clients[0].endpoint.kcp.send.retransmissions[TT_KCP_DISCARDED] >= 1);
    assert_int_equal(sim->dials, 1);
    assert_in_range(sim->clients[0].longest_silence_us[1], 0, TT_SECOND);
    end_story(sim);
}

/* The reader stops and goes on: the news of a shut window leaves on the slow carrier or on the fast
 * one, and comes before or after that of the open one.
 */
static void test_a_shut_window_that_overtakes_an_open_one_stops_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct sim_profile p = usual(RTT_US);
        p.client.carriers = 2;
        p.shape.odd_latency_us = 100 * TT_MS;
        p.server.rcv_wnd_first = p.server.rcv_wnd = 32;
        p.server.max_receive_buffer = p.server.max_stream_buffer = 65536;
        p.start_us += i * TT_MS;
        struct sim *sim = sim_new(i + 1, &p);
        struct sim_talk *t = add_talk(sim, 500000, 500000, 0);
        t->server.plan.most_a_read = 50000;
        t->server.plan.read_pause_us = 50 * TT_MS;
        sim_run_talks(sim, sim->now_us + 120 * TT_SECOND);
        assert_in_range(sim->clients[0].longest_silence_us[1], 0, TT_SECOND);
        end_story(sim);
    }
}

/* A connection on which the server waits for an ack, or NULL. */
static struct sim_link *one_that_waits_for_acks(struct sim *sim)
{
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        if (l->at_server.carrier.path.flying.count > 0)
            return l;
    }
    return NULL;
}

/* of two connections one dies, and nothing was on it but acks; the client learns of it at
 * once, the server later, and no other can be dialled. They leave again on the one that is left,
 * before the server can think that what they acknowledge was lost.
 */
static void test_acks_that_die_with_one_of_two_are_not_missed(void **state)
{
    (void)state;
    struct sim_profile p = usual(RTT_US);
    p.client.carriers = 2;
    p.stall_us = 60 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    struct sim_speaker_plan *words = &add_talk(sim, 1, 4000, 0)->server.plan;
    words->most_a_write = 1000;
    words->write_pause_us = 2 * TT_SECOND;
    for (unsigned word = 1; word <= 2; word++) { /* the first is answered with a window, too */
        sim_run_until(sim, sim->now_us + TT_SECOND);
        while (!one_that_waits_for_acks(sim))
            sim_run_until(sim, sim->now_us + TT_MS);
    }
    sim_run_until(sim, sim->now_us + RTT_US / 2 + 5 * TT_MS);
    sim_link_cut(sim, one_that_waits_for_acks(sim),
                 (struct sim_cut){.server_learns_us = 4 * RTT_US});
    sim->outage_until_us = sim->now_us + TT_SECOND;
    sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
    const struct tt_kcp_send *send = &sim->clients[0].session->endpoint.kcp.send;
    for (unsigned cause = 0; cause < TT_KCP_CAUSES; cause++)
        assert_int_equal(send->retransmissions[cause], 0);
    end_story(sim);
}

static void move(struct sim *sim, uint64_t arg)
{
    sim_client_moves(sim, &sim->clients[arg]);
}

/* Told of it, a client does not wait for silence to show it; its server, when it spreads what it
 * sends over several connections, has to.
 */
static void test_a_client_with_a_new_address_goes_on_soon(void **state)
{
    (void)state;
    for (unsigned carriers = 1; carriers <= 3; carriers++) {
        struct sim_profile p = usual(RTT_US);
        p.client.carriers = carriers;
        struct sim *sim = new_sim(&p);
        add_talk(sim, 1000000, 1000000, 10 * TT_SECOND);
        for (unsigned i = 1; i <= 3; i++)
            sim_at(sim, sim->now_us + i * 2 * TT_SECOND, move, 0);
        sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
        expect_silence_below(sim, (carriers == 1 ? 6 : 10) * RTT_US);
        end_story(sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_freeze_costs_less_than_a_second_at_50_ms),
        cmocka_unit_test(test_a_freeze_costs_less_than_300_ms_at_1_ms),
        cmocka_unit_test(test_ghosts_every_3_seconds_cost_less_than_a_second),
        cmocka_unit_test(test_two_seconds_of_round_trip_with_jitter_cause_no_redials),
        cmocka_unit_test(test_a_narrow_way_with_a_full_queue_causes_no_redials),
        cmocka_unit_test(test_answers_that_are_two_seconds_late_cause_no_storm),
        cmocka_unit_test(test_a_queue_that_grows_is_no_silence),
        cmocka_unit_test(test_an_answer_behind_a_full_queue_is_no_silence),
        cmocka_unit_test(test_connections_that_are_of_no_use_cause_no_storm),
        cmocka_unit_test(test_a_session_resumes_when_its_path_comes_back),
        cmocka_unit_test(test_a_change_of_carriers_shows_no_gap),
        cmocka_unit_test(test_several_carriers_are_faster_than_one),
        cmocka_unit_test(test_the_loss_of_one_of_several_is_no_gap),
        cmocka_unit_test(test_a_client_learns_at_once_that_its_server_lost_the_session),
        cmocka_unit_test(test_10_mb_arrive_though_each_connection_freezes_after_a_few_kb),
        cmocka_unit_test(test_a_limit_of_one_direction_is_learned_well),
        cmocka_unit_test(test_four_that_die_of_one_blow_are_no_limit),
        cmocka_unit_test(test_a_server_that_stands_still_for_two_seconds_causes_no_storm),
        cmocka_unit_test(test_a_server_that_speaks_after_its_carrier_was_lost_is_heard),
        cmocka_unit_test(test_a_session_of_large_packets_goes_on_in_small_ones),
        cmocka_unit_test(test_four_carriers_may_come_in_any_order),
        cmocka_unit_test(test_a_carrier_that_was_idle_for_long_is_not_relied_on),
        cmocka_unit_test(test_a_stranger_who_knows_the_id_is_told_nothing),
        cmocka_unit_test(test_a_stranger_who_knows_the_id_cannot_close_the_session),
        cmocka_unit_test(test_acks_that_die_with_one_of_two_are_not_missed),
        cmocka_unit_test(test_a_spent_connection_is_not_asked_again_and_again),
        cmocka_unit_test(test_what_the_peer_throws_away_is_missed_for_a_few_round_trips),
        cmocka_unit_test(test_a_shut_window_that_overtakes_an_open_one_stops_nothing),
        cmocka_unit_test(test_a_client_with_a_new_address_goes_on_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
