/* Which carrier gets what, and what happens when one goes. */
#include <stdio.h>

#include <turbotunnel/error.h>

#include "core/session/endpoint.h"
#include "session/fixture.h"

static uint64_t again(const struct tt_endpoint *e, enum tt_kcp_cause why)
{
    return e->kcp.send.retransmissions[why];
}

/* --- when a connection dies (R-10, R-13, R-17) --- */

static void test_what_flew_on_a_dead_carrier_is_sent_again_at_once(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c;
    open_pair(&s);
    write_bytes(s.stream, 5000);
    lose_up(&s.world, &s.client);
    const uint32_t flying = s.client.path.flying.count;
    assert_int_equal(flying, 4);
    redial(&s, &c);
    assert_int_equal(pull_up(&s.world, &c), TT_OK);
    assert_int_equal(packet_count(&s.world, TT_KCP_PUSH), 0); /* una and window first: R-13 */
    lose_up(&s.world, &c);
    assert_int_equal(c.path.flying.count, flying);
    assert_int_equal(again(&s.world.client, TT_KCP_PATH_DIED), flying);
    assert_int_equal(again(&s.world.client, TT_KCP_TIMEOUT), 0);
    session_world_close(&s.world);
}

static void test_the_oldest_is_sent_again_first(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c;
    open_pair(&s);
    write_bytes(s.stream, 4000);
    const uint32_t first = s.world.client.kcp.send.nxt;
    lose_up(&s.world, &s.client);
    redial(&s, &c);
    for (uint32_t sn = first; sn < first + 3;) {
        assert_int_equal(pull_up(&s.world, &c), TT_OK);
        const struct tt_kcp_header h = tt_kcp_header_read(s.world.packet);
        if (h.cmd == TT_KCP_PUSH)
            assert_int_equal(h.sn, sn++);
    }
    session_world_close(&s.world);
}

static void test_at_most_16_segments_leave_before_the_first_ack_after_a_redial(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    open_pair(&s);
    write_bytes(s.stream, 100000);
    lose_up(&s.world, &s.client);
    assert_true(s.client.path.flying.count > 32);
    redial(&s, &c);
    server_attaches(&s.world, &far);
    while (pull_up(&s.world, &c) == TT_OK)
        give_server(&s.world, &far, tt_span_of(s.world.packet, s.world.packet_len));
    assert_in_range(c.path.flying.count, 1, 16);
    carry_down(&s.world, &far, &c);
    lose_up(&s.world, &c);
    assert_true(c.path.flying.count > 16);
    session_world_close(&s.world);
}

/* How many segments leave on a carrier that follows another, before the first ack. */
static uint32_t segments_at_once(struct session_pair *s, struct tt_carrier *c)
{
    tt_endpoint_carrier_close(&s->world.client, s->world.now_us, c);
    client_opens(&s->world, c);
    lose_up(&s->world, c);
    return c->path.flying.count;
}

static void test_after_fruitless_carriers_less_leaves_at_once(void **state)
{
    (void)state;
    static const uint32_t expected[] = {16, 8, 4, 2, 1, 1};
    struct session_pair s;
    open_pair(&s);
    write_bytes(s.stream, 100000);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_int_equal(segments_at_once(&s, &s.client), expected[i]);
    session_world_close(&s.world);
}

static void test_after_a_useful_carrier_more_leaves_at_once_again(void **state)
{
    (void)state;
    static const uint32_t expected[] = {2, 4, 8, 16, 16};
    struct session_pair s;
    open_pair(&s);
    write_bytes(s.stream, 100000);
    for (unsigned i = 0; i < 6; i++)
        segments_at_once(&s, &s.client);
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &s.client);
    assert_int_equal(s.world.client.allowance, 1);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        tt_queue_packet_conn_detach(&s.world.server, s.world.now_us, &s.server);
        server_attaches(&s.world, &s.server);
        client_opens(&s.world, &s.client);
        write_bytes(s.stream, 1000);
        carry_all(&s.world, &s.client, &s.server);
        tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &s.client);
        assert_int_equal(s.world.client.allowance, expected[i]);
    }
    session_world_close(&s.world);
}

/* The server gets all but the second of the client's packets. */
static void lose_the_second(struct session_pair *s)
{
    assert_int_equal(pull_up(&s->world, &s->client), TT_OK);
    give_server(&s->world, &s->server, tt_span_of(s->world.packet, s->world.packet_len));
    assert_int_equal(pull_up(&s->world, &s->client), TT_OK);
    carry_up(&s->world, &s->client, &s->server);
}

static void test_a_new_carrier_brings_every_ack_that_may_have_been_lost(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier far;
    struct session_setup setup = usual_setup();
    setup.client.max_frame = 1368; /* a frame a segment: sn 0 was SYN and the first bytes */
    open_pair_with(&s, &setup);
    write_bytes(s.stream, 5 * 1368);
    lose_the_second(&s);
    lose_down(&s.world, &s.server);
    server_attaches(&s.world, &far);
    assert_int_equal(pull_down(&s.world, &far), TT_OK);
    const uint32_t una = s.far->kcp.receive.nxt;
    char expected[128];
    snprintf(expected, sizeof(expected), "ack %u wnd %u una %u, ack %u, ack %u, wins", una + 1,
             s.far->kcp.receive.edge - una, una, una + 2, una + 3);
    assert_string_equal(packet_text(&s.world), expected);
    assert_int_equal(pull_down(&s.world, &far), TT_E_AGAIN);
    session_world_close(&s.world);
}

static void test_acks_that_are_repeated_save_what_had_arrived(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    struct session_setup setup = usual_setup();
    setup.client.max_frame = 1368;
    open_pair_with(&s, &setup);
    write_bytes(s.stream, 5 * 1368);
    lose_the_second(&s);
    lose_down(&s.world, &s.server);
    redial(&s, &c);
    server_attaches(&s.world, &far);
    carry_down(&s.world, &far, &c); /* before the client sends anything */
    const uint64_t before = s.world.client.kcp.send.transmissions;
    carry_all(&s.world, &c, &far);
    assert_int_equal(s.world.client.kcp.send.transmissions - before, 1);
    assert_true(tt_endpoint_settled(&s.world.client));
    session_world_close(&s.world);
}

static void test_a_repeated_ack_gives_no_round_trip_time(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    struct session_setup setup = usual_setup();
    setup.client.max_frame = 1368;
    open_pair_with(&s, &setup);
    write_bytes(s.stream, 5 * 1368);
    lose_the_second(&s);
    lose_down(&s.world, &s.server);
    s.world.now_us += 30 * TT_SECOND;
    redial(&s, &c);
    server_attaches(&s.world, &far);
    carry_all(&s.world, &c, &far);
    assert_true(c.path.rtt.sampled);
    assert_in_range(c.path.rtt.smoothed_us, 0, TT_SECOND);
    session_world_close(&s.world);
}

static void test_nothing_leaves_on_a_first_carrier_of_a_session_that_has_not_begun(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    session_world_open(&w, NULL);
    client_opens(&w, &c);
    assert_false(tt_endpoint_wants_send(&w.client, &c));
    assert_int_equal(pull_up(&w, &c), TT_E_AGAIN);
    session_world_close(&w);
}

/* --- several carriers (R-20) --- */

static void test_a_replaced_carrier_is_given_nothing(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    write_bytes(s.stream, 1000);
    client_opens(&s.world, &newer);
    assert_int_equal(s.client.role, TT_CARRIER_REPLACED);
    assert_int_equal(newer.number, 1);
    assert_false(tt_endpoint_wants_send(&s.world.client, &s.client));
    assert_int_equal(pull_up(&s.world, &s.client), TT_E_AGAIN);
    assert_true(tt_endpoint_wants_send(&s.world.client, &newer));
    assert_int_equal(pull_up(&s.world, &newer), TT_OK);
    session_world_close(&s.world);
}

static void test_what_flew_on_a_replaced_carrier_is_sent_again(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    write_bytes(s.stream, 1000);
    lose_up(&s.world, &s.client);
    client_opens(&s.world, &newer);
    lose_up(&s.world, &newer);
    assert_int_equal(newer.path.flying.count, 1);
    assert_int_equal(again(&s.world.client, TT_KCP_PATH_DIED), 1);
    session_world_close(&s.world);
}

static void test_the_older_carrier_is_used_when_the_newer_has_gone(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    client_opens(&s.world, &newer);
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &newer);
    assert_int_equal(s.client.role, TT_CARRIER_ACTIVE);
    write_bytes(s.stream, 1000);
    carry_all(&s.world, &s.client, &s.server);
    assert_true(tt_endpoint_settled(&s.world.client));
    session_world_close(&s.world);
}

static void test_closing_a_replaced_carrier_changes_nothing(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    client_opens(&s.world, &newer);
    write_bytes(s.stream, 1000);
    lose_up(&s.world, &newer);
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &s.client);
    assert_int_equal(newer.role, TT_CARRIER_ACTIVE);
    assert_int_equal(newer.path.flying.count, 1);
    session_world_close(&s.world);
}

static void test_a_carrier_takes_no_more_than_its_budget(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c = {.role = TT_CARRIER_UNBOUND};
    const struct tt_carrier_limits limits = {
        .ordered = true, .max_packet = 1400, .max_bytes = 10000};
    open_pair(&s);
    write_bytes(s.stream, 100000);
    tt_endpoint_carrier_open(&s.world.client, s.world.now_us, &c, &limits);
    lose_up(&s.world, &c);
    /* A segment and what is kept for acks and control packets no longer fit. */
    assert_in_range(c.taken_bytes, 10000 - 1400 - 256 - 1400, 10000 - 256);
    assert_false(tt_endpoint_wants_send(&s.world.client, &c));
    session_world_close(&s.world);
}

/* Nothing flies there, and nothing more may: it would never be acknowledged, nor suspected. */
static void test_a_legacy_carrier_that_is_too_old_is_closed_though_it_never_answered(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    struct session_setup setup = usual_setup();
    setup.client.carrier_max_age_us = 6 * TT_SECOND;
    session_world_open(&w, &setup);
    client_opens(&w, &c);
    client_waits(&w, 8 * TT_SECOND);
    assert_true(c.spent);
    assert_int_equal(pull_up(&w, &c), TT_E_AGAIN);
    assert_true(c.doomed);
    session_world_close(&w);
}

static void test_a_packet_is_no_longer_than_its_carrier_takes(void **state)
{
    (void)state;
    static const uint32_t most[] = {1400, 1401, 65535};
    for (size_t i = 0; i < ARRAY_LEN(most); i++) {
        struct session_pair s;
        struct tt_carrier c = {.role = TT_CARRIER_UNBOUND};
        const struct tt_carrier_limits limits = {.ordered = true, .max_packet = most[i]};
        open_pair(&s);
        tt_endpoint_carrier_open(&s.world.client, s.world.now_us, &c, &limits);
        lose_up(&s.world, &c);
        write_bytes(s.stream, 200000);
        c.path.allowance = TT_KCP_UNLIMITED;
        assert_int_equal(pull_up(&s.world, &c), TT_OK);
        assert_int_equal(s.world.packet_len, 1400); /* what a legacy peer takes */
        session_world_close(&s.world);
    }
}

static void test_progress_is_a_new_byte_delivered_or_acknowledged(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    open_pair(&s);
    redial(&s, &c);
    server_attaches(&s.world, &far);
    carry_all(&s.world, &c, &far);
    assert_false(tt_carrier_progressed(&c)); /* una and window alone are none */
    assert_false(tt_carrier_progressed(&far));
    write_bytes(s.stream, 1);
    carry_up(&s.world, &c, &far);
    assert_true(tt_carrier_progressed(&far));
    assert_false(tt_carrier_progressed(&c));
    carry_down(&s.world, &far, &c);
    assert_true(tt_carrier_progressed(&c));
    assert_int_equal(c.received_bytes, far.taken_bytes);
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &c);
    assert_false(tt_carrier_progressed(&c)); /* ask before closing */
    session_world_close(&s.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_flew_on_a_dead_carrier_is_sent_again_at_once),
        cmocka_unit_test(test_the_oldest_is_sent_again_first),
        cmocka_unit_test(test_at_most_16_segments_leave_before_the_first_ack_after_a_redial),
        cmocka_unit_test(test_after_fruitless_carriers_less_leaves_at_once),
        cmocka_unit_test(test_after_a_useful_carrier_more_leaves_at_once_again),
        cmocka_unit_test(test_a_new_carrier_brings_every_ack_that_may_have_been_lost),
        cmocka_unit_test(test_acks_that_are_repeated_save_what_had_arrived),
        cmocka_unit_test(test_a_repeated_ack_gives_no_round_trip_time),
        cmocka_unit_test(test_nothing_leaves_on_a_first_carrier_of_a_session_that_has_not_begun),
        cmocka_unit_test(test_a_replaced_carrier_is_given_nothing),
        cmocka_unit_test(test_what_flew_on_a_replaced_carrier_is_sent_again),
        cmocka_unit_test(test_the_older_carrier_is_used_when_the_newer_has_gone),
        cmocka_unit_test(test_closing_a_replaced_carrier_changes_nothing),
        cmocka_unit_test(test_a_carrier_takes_no_more_than_its_budget),
        cmocka_unit_test(test_a_legacy_carrier_that_is_too_old_is_closed_though_it_never_answered),
        cmocka_unit_test(test_a_packet_is_no_longer_than_its_carrier_takes),
        cmocka_unit_test(test_progress_is_a_new_byte_delivered_or_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
