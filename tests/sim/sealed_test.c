/* TT_SEED=n runs them with another seed, TT_TRACE=1 shows what happens.
 *
 * Stories of sealed sessions: moments at which nothing may be lost, and somebody who reads all,
 * holds packets back, plays them elsewhere and knocks himself (sealed.md).
 */
#include <stdlib.h>

#include "core/session/carriers.h"
#include "sim.h"
#include "test.h"

#define RTT_US (20 * TT_MS) /* of the default profile */

static struct sim_profile usual(void)
{
    struct sim_profile p;
    sim_profile_default(&p);
    p.sealed = true;
    p.shape.max_packet = 65535;
    p.may_time_out = true; /* connections are suspected here, and rightly so */
    p.stall_us = 30 * TT_SECOND;
    return p;
}

static struct sim *new_sim(const struct sim_profile *p)
{
    const char *seed = getenv("TT_SEED");
    struct sim *sim = sim_new(seed ? strtoull(seed, NULL, 10) : 1, p);
    sim->trace = getenv("TT_TRACE") ? stdout : NULL;
    return sim;
}

static struct sim_talk *add_talk(struct sim *sim, uint64_t up_bytes, uint64_t down_bytes)
{
    struct sim_talk *t = sim_add_talk(sim, &sim->clients[0]);
    t->client.plan.bytes = up_bytes;
    t->server.plan.bytes = down_bytes;
    return t;
}

static void end_story(struct sim *sim)
{
    sim_run_talks(sim, sim->now_us + 3600 * TT_SECOND);
    sim_run_settled(sim, sim->now_us + 60 * TT_SECOND);
    sim_check_all_done(sim);
    sim_check_nothing_left(sim);
    sim_free(sim);
}

static const struct tt_seal *seal_of(const struct sim *sim)
{
    return sim->clients[0].endpoint.seal;
}

static void cut_now(struct sim *sim)
{
    struct sim_client *c = &sim->clients[0];
    while (c->link && !c->link->cut)
        sim_link_cut(sim, c->link, (struct sim_cut){.client_learns_us = 0});
}

static void run_until_keyed(struct sim *sim)
{
    while (seal_of(sim)->phase == TT_SEAL_NEW)
        sim_run_until(sim, sim->now_us + TT_MS / 2);
    assert_int_equal(seal_of(sim)->phase, TT_SEAL_KEYED);
}

/* --- moments --- */

static void outage_of_twelve_seconds(bool everybody_knows)
{
    const struct sim_profile p = usual();
    struct sim *sim = new_sim(&p);
    add_talk(sim, 100000, 100000);
    run_until_keyed(sim);
    if (everybody_knows) {
        cut_now(sim);
    } else {
        sim_link_freeze(sim, sim->clients[0].link, true, true);
    }
    sim->outage_until_us = sim->now_us + 12 * TT_SECOND;
    assert_int_equal(tt_remote_map_count(&sim->server.gate.halves), 1);
    sim_run_until(sim, sim->outage_until_us);
    assert_int_equal(sim->server.gate.stats.expired, 1); /* half open, it lives for ten */
    assert_int_equal(sim->server.conn.sessions, 0);
    sim_run_talks(sim, sim->now_us + 20 * TT_SECOND);
    assert_int_equal(seal_of(sim)->stats.attempts, 2);
    end_story(sim);
}

static void test_an_outage_between_response_and_the_first_data(void **state)
{
    (void)state;
    outage_of_twelve_seconds(true);
    outage_of_twelve_seconds(false);
}

/* The server has a session of which its client never hears: the next attempt is another one. */
static void test_a_cut_between_the_clients_first_data_and_the_servers(void **state)
{
    (void)state;
    const struct sim_profile p = usual();
    struct sim *sim = new_sim(&p);
    add_talk(sim, 100000, 100000);
    run_until_keyed(sim);
    while (sim->server.conn.sessions == 0)
        sim_run_until(sim, sim->now_us + TT_MS / 2);
    cut_now(sim);
    assert_int_equal(seal_of(sim)->phase, TT_SEAL_KEYED);
    sim_run_talks(sim, sim->now_us + 20 * TT_SECOND);
    assert_int_equal(sim->server.conn.stats.sessions_begun, 2);
    assert_int_equal(seal_of(sim)->stats.attempts, 2);
    end_story(sim);
}

/* Cuts at any moment of the first second, whatever was just under way. */
static void test_a_cut_at_any_moment_of_the_beginning(void **state)
{
    (void)state;
    for (uint64_t at_us = TT_MS; at_us < 150 * TT_MS; at_us += 3 * TT_MS) {
        const struct sim_profile p = usual();
        struct sim *sim = new_sim(&p);
        add_talk(sim, 20000, 20000);
        sim_run_until(sim, sim->now_us + at_us);
        cut_now(sim);
        end_story(sim);
    }
}

static void test_a_server_that_began_anew_has_lost_what_was_said(void **state)
{
    (void)state;
    for (unsigned said = 0; said < 2; said++) {
        struct sim_profile p = usual();
        p.may_be_lost = true;
        struct sim *sim = new_sim(&p);
        if (said)
            add_talk(sim, 100000, 100u << 20);
        sim_run_until(sim, sim->now_us + TT_SECOND);
        assert_int_equal(seal_of(sim)->phase, TT_SEAL_CONFIRMED);
        const struct tt_session_id id = sim->clients[0].endpoint.config.id;
        cut_now(sim);
        sim_server_stop(sim);
        sim->clients[0].session = NULL;
        sim_server_start(sim);
        if (!said)
            add_talk(sim, 1000, 1000)->open_us = sim->now_us;
        struct sim_link *rival = sim_attacker_dials(sim, &sim->clients[0], &id);
        sim_attacker_knocks(sim, rival); /* under its ID, and he was first */
        sim_run_until(sim, sim->now_us + 5 * TT_SECOND);
        assert_int_equal(sim->lost_at_client, said);
        sim_link_hang_up(sim, rival);
        if (said) {
            sim_check_nothing_left(sim);
            sim_free(sim);
            continue;
        }
        assert_int_equal(seal_of(sim)->stats.begun_anew, 1);
        end_story(sim);
    }
}

/* --- many carriers --- */

/* Each byte of the way is used: the slow one is not waited for. */
static void test_a_striped_session_one_of_whose_carriers_is_slow(void **state)
{
    (void)state;
    enum { BYTES_PER_MS = 2000, MOST = 20 << 20 };
    uint64_t took_us[2];
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        struct sim_profile p = usual();
        p.sealed = sealed;
        p.client.carriers = 2;
        p.shape.bytes_per_ms = BYTES_PER_MS;
        p.shape.odd_bytes_per_ms = BYTES_PER_MS;
        p.shape.odd_latency_us = 60 * TT_MS; /* the other's is 10 ms */
        p.shape.buffer_bytes = 1u << 20;
        struct sim *sim = new_sim(&p);
        add_talk(sim, 0, MOST);
        const uint64_t began_us = sim->now_us;
        sim_run_talks(sim, sim->now_us + 60 * TT_SECOND);
        took_us[sealed] = sim->now_us - began_us;
        assert_int_equal(sim->clients[0].endpoint.carrier_count, 2);
        end_story(sim);
    }
    /* One alone would take twice as long; what sealing adds is a round trip and a few bytes. */
    assert_in_range(took_us[1], 0, UINT64_C(13) * MOST / (2 * BYTES_PER_MS) * TT_MS / 10);
    assert_in_range(took_us[1], 0, took_us[0] + took_us[0] / 10);
}

static void test_five_thousand_carriers_of_sixteen_kilobytes(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.client.carriers = 8;
    p.client.carrier_max_bytes = 16384;
    p.client.learn_limits = false;
    struct sim *sim = new_sim(&p);
    const struct sim_client *c = &sim->clients[0];
    add_talk(sim, 40u << 20, 0);
    while (!sim_talks_done(c)) {
        sim_run_until(sim, sim->now_us + TT_SECOND);
        if (!c->session)
            continue;
        const struct tt_seal *far = c->session->endpoint.seal;
        assert_in_range(c->endpoint.carrier_count, 1, 16 + 1);
        /* Secrets are those of the carriers there are, and no older ones. */
        assert_in_range(far->send.epoch, 0, c->endpoint.next_carrier / TT_EPOCH_CARRIERS);
        assert_in_range(c->endpoint.next_carrier - far->send.epoch * TT_EPOCH_CARRIERS, 0,
                        2 * TT_EPOCH_CARRIERS);
    }
    assert_in_range(c->endpoint.next_carrier, 3000, 8000);
    assert_int_equal(sim->server.gate.stats.data_refused, 0);
    assert_int_equal(seal_of(sim)->stats.questions, 0);
    end_story(sim);
}

/* --- somebody who does what he can --- */

static struct sim_profile attacked(void)
{
    struct sim_profile p = usual();
    p.attacked = true;
    return p;
}

/* How much the server has put on connections of his that have not answered. */
static void check_strangers(struct sim *sim)
{
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        const struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        const struct tt_carrier *c = &l->at_server.carrier;
        if (l->foreign && c->seal && !c->seal->answered)
            sim_require(sim, c->taken_bytes <= 70u << 10, "much was put on a stolen carrier");
    }
}

/* M-12. The client's own is held back all the while. */
static void test_a_stolen_proof_is_worth_little(void **state)
{
    (void)state;
    struct sim_profile p = attacked();
    p.client.carriers = 2;
    struct sim *sim = new_sim(&p);
    add_talk(sim, 1u << 20, 300u << 20);
    sim_run_until(sim, sim->now_us + TT_SECOND);
    for (unsigned i = 0; i < 40 || (i < 200 && sim->attacker.stolen_count < 4); i++) {
        sim->attacker.active = true;
        cut_now(sim);
        for (unsigned ms = 0; ms < 500; ms += 2) {
            sim_run_until(sim, sim->now_us + 2 * TT_MS);
            check_strangers(sim);
        }
    }
    assert_true(sim->attacker.stolen_count >= 4);
    sim->attacker.active = false;
    sim_attack_ends(sim, 0);
    end_story(sim);
}

/* Before the victim's INIT has come, with it, and when its session is long there. */
static void test_rivals_under_an_observed_id(void **state)
{
    (void)state;
    for (uint64_t after_us = 0; after_us < 100 * TT_MS; after_us += 5 * TT_MS) {
        const struct sim_profile p = attacked();
        struct sim *sim = new_sim(&p);
        struct sim_client *c = &sim->clients[0];
        struct sim_link *rivals[8];
        add_talk(sim, 100000, 100000);
        while (!c->link)
            sim_run_until(sim, sim->now_us + TT_MS);
        sim_run_until(sim, sim->now_us + after_us);
        for (unsigned i = 0; i < ARRAY_LEN(rivals); i++) {
            rivals[i] = sim_attacker_dials(sim, c, &c->endpoint.config.id);
            sim_attacker_knocks(sim, rivals[i]);
            sim_run_until(sim, sim->now_us + TT_MS);
        }
        sim_run_talks(sim, sim->now_us + 20 * TT_SECOND);
        assert_int_equal(sim->server.conn.sessions, 1);
        if (after_us >= 50 * TT_MS) /* the victim's is there, and is the only one */
            assert_int_equal(sim->server.gate.stats.half_opened, 1);
        for (unsigned i = 0; i < ARRAY_LEN(rivals); i++)
            sim_link_hang_up(sim, rivals[i]);
        end_story(sim);
    }
}

/* sim_check_mute() looks at what he hears. */
static void replay_now(struct sim *sim, const struct tt_session_id *id)
{
    struct sim_link *l = sim_attacker_dials(sim, &sim->clients[0], id);
    assert_in_range(sim_attacker_replays(sim, l, TT_SEALED_INIT), 1, 2);
    sim_run_until(sim, sim->now_us + 10 * RTT_US);
    sim_link_hang_up(sim, l);
}

static void test_inits_that_are_replayed_are_not_answered(void **state)
{
    (void)state;
    const struct sim_profile p = attacked();
    struct sim *sim = new_sim(&p);
    struct sim_client *c = &sim->clients[0];
    add_talk(sim, 100, 100);
    sim_run_until(sim, sim->now_us + 3 * RTT_US);
    const struct tt_session_id id = c->endpoint.config.id;
    struct tt_session_id other = id;
    other.bytes[0] ^= 1;
    replay_now(sim, &id);
    replay_now(sim, &other);
    assert_true(sim->server.gate.stats.replayed > 0);
    sim_run_talks(sim, sim->now_us + 20 * TT_SECOND);
    sim_client_close(sim, c);
    sim_run_until(sim, sim->now_us + 5 * TT_SECOND);
    assert_int_equal(sim->server.conn.sessions, 0);
    replay_now(sim, &id);
    sim_run_until(sim, sim->now_us + 3600 * TT_SECOND);
    replay_now(sim, &id);
    assert_int_equal(tt_remote_map_count(&sim->server.gate.halves), 0);
    assert_int_equal(sim->server.gate.stats.half_opened, 1);
    sim_run_until(sim, sim->now_us + TT_SECOND);
    sim_check_nothing_left(sim);
    sim_free(sim);
}

/* What came on a connection comes there once more. */
static void test_what_is_played_again_on_its_own_connection(void **state)
{
    (void)state;
    for (unsigned kind = SIM_BYTES; kind <= SIM_DATAGRAMS; kind++) {
        struct sim_profile p = attacked();
        p.shape.kind = (enum sim_kind)kind;
        if (kind == SIM_DATAGRAMS) {
            p.shape.max_packet = 1400;
            p.client.mtu = p.server.mtu = 1375;
        }
        struct sim *sim = new_sim(&p);
        struct sim_client *c = &sim->clients[0];
        struct sim_talk *t = add_talk(sim, 20000, 20000);
        t->client.plan.most_a_write = t->server.plan.most_a_write = 200;
        t->client.plan.write_pause_us = t->server.plan.write_pause_us = 30 * TT_MS;
        sim_run_until(sim, sim->now_us + 500 * TT_MS);
        const uint32_t number = c->link->number;
        const uint32_t duplicates = c->session->endpoint.kcp.receive.duplicates;
        assert_int_equal(c->link->at_client.unsent_len, 0);
        const unsigned played = sim_attacker_replays(sim, c->link, TT_SEALED_DATA);
        assert_in_range(played, 2, SIM_SEEN);
        sim_run_until(sim, sim->now_us + 500 * TT_MS);
        const struct tt_endpoint *far = &c->session->endpoint;
        assert_int_equal(far->kcp.receive.duplicates, duplicates); /* KCP has heard of none */
        if (kind == SIM_BYTES) {
            assert_true(c->link->number > number);
            assert_int_equal(far->seal->stats.not_opened, 1);
        } else {
            assert_int_equal(c->link->number, number);
            assert_int_equal(far->seal->stats.again, played);
        }
        end_story(sim);
    }
}

/* Connections open, and not a byte passes: numbers must not run away from the server (M-11). */
static void test_hours_of_connections_on_which_nothing_passes(void **state)
{
    (void)state;
    struct sim_profile p = usual();
    p.client.session_timeout_us = p.server.session_timeout_us = 6 * 3600 * TT_SECOND;
    p.client.learn_limits = false;
    struct sim *sim = new_sim(&p);
    const struct sim_client *c = &sim->clients[0];
    struct sim_talk *t = add_talk(sim, 1000000, 1000000);
    t->client.plan.most_a_write = t->server.plan.most_a_write = 20000;
    t->client.plan.write_pause_us = t->server.plan.write_pause_us = 100 * TT_MS;
    sim_run_until(sim, sim->now_us + TT_SECOND);
    sim->profile.shape.freeze_sum = 1;
    cut_now(sim);
    sim->profile.stall_us = TT_NEVER;
    sim_run_until(sim, sim->now_us + 5 * 3600 * TT_SECOND);
    assert_true(sim->dials > 1000);
    assert_in_range(c->endpoint.next_carrier, 17, 20);
    sim->profile.shape.freeze_sum = 0;
    sim_run_talks(sim, sim->now_us + 120 * TT_SECOND);
    end_story(sim);
}

/* A few hold the server's key and knock every second, others say nothing that makes sense. The
 * session's time limit is three hours, so nothing here goes for that.
 */
static void test_two_hours_of_connections_that_lead_nowhere(void **state)
{
    (void)state;
    struct sim_profile p = attacked();
    p.client.session_timeout_us = p.server.session_timeout_us = 3 * 3600 * TT_SECOND;
    struct sim *sim = new_sim(&p);
    struct sim_client *c = &sim->clients[0];
    struct sim_talk *t = add_talk(sim, 500000, 500000);
    struct sim_speaker_plan *const plans[] = {&t->client.plan, &t->server.plan};
    for (unsigned i = 0; i < 2; i++) {
        plans[i]->most_a_write = 200; /* 100 on average: it takes most of the time */
        plans[i]->write_pause_us = TT_SECOND;
    }
    sim_run_until(sim, sim->now_us + 10 * TT_SECOND);
    const size_t held_bytes = sim->live_bytes;
    size_t most_bytes = 0;
    struct sim_link *last[16] = {NULL};
    for (unsigned second = 0; second < 7200; second++) {
        struct sim_link **l = &last[second % ARRAY_LEN(last)];
        struct tt_session_id id = c->endpoint.config.id;
        if (*l)
            sim_link_hang_up(sim, *l);
        id.bytes[7] ^= (uint8_t)second;
        id.bytes[6] ^= (uint8_t)(second >> 8);
        *l = sim_attacker_dials(sim, c, &id);
        if (second % 2 == 0)
            sim_attacker_knocks(sim, *l);
        else
            (void)sim_attacker_replays(sim, *l, TT_SEALED_DATA);
        sim_run_until(sim, sim->now_us + TT_SECOND);
        most_bytes = sim->live_bytes > most_bytes ? sim->live_bytes : most_bytes;
        assert_in_range(tt_remote_map_count(&sim->server.gate.halves), 0, 16);
    }
    assert_int_equal(sim->server.conn.sessions, 1);
    assert_in_range(most_bytes, 1, held_bytes + (1u << 20)); /* sixteen connections, and a window */
    assert_true(sim->server.gate.stats.expired > 3000);
    for (unsigned i = 0; i < ARRAY_LEN(last); i++)
        sim_link_hang_up(sim, last[i]);
    end_story(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_outage_between_response_and_the_first_data),
        cmocka_unit_test(test_a_cut_between_the_clients_first_data_and_the_servers),
        cmocka_unit_test(test_a_cut_at_any_moment_of_the_beginning),
        cmocka_unit_test(test_a_server_that_began_anew_has_lost_what_was_said),
        cmocka_unit_test(test_a_striped_session_one_of_whose_carriers_is_slow),
        cmocka_unit_test(test_five_thousand_carriers_of_sixteen_kilobytes),
        cmocka_unit_test(test_a_stolen_proof_is_worth_little),
        cmocka_unit_test(test_rivals_under_an_observed_id),
        cmocka_unit_test(test_inits_that_are_replayed_are_not_answered),
        cmocka_unit_test(test_what_is_played_again_on_its_own_connection),
        cmocka_unit_test(test_hours_of_connections_on_which_nothing_passes),
        cmocka_unit_test(test_two_hours_of_connections_that_lead_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
