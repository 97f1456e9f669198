/* Whether a carrier answers, and what follows when it does not (native.md section 4). */
#include "core/session/liveness.h"

#include <turbotunnel/error.h>

#include "core/session/carriers.h"
#include "session/fixture.h"

static uint64_t limit_us(const struct session_pair *s)
{
    return tt_liveness_limit_us(&s->world.client, &s->client);
}

/* Bytes leave on the carrier, and nobody hears of them. */
static void send_into_the_void(struct session_pair *s, struct tt_carrier *c)
{
    write_bytes(s->stream, 10);
    lose_up(&s->world, c);
    assert_int_equal(c->path.flying.count, 1);
}

/* --- how long an answer may take (R-21) --- */

static const struct {
    const char *name;
    uint64_t smoothed_ms, variation_ms, dial_ms, queue_ms;
    bool legacy, unproven;
    uint32_t in_a_row;
    uint64_t expected_ms;
} times[] = {
    {"nothing is known", 0, 0, 0, 0, false, false, 0, 100 + 1000},
    {"a round trip", 50, 10, 0, 0, false, false, 0, 100 + 2 * 90},
    {"a short one", 1, 0, 0, 0, false, false, 0, 102},
    {"it took long to open", 0, 0, 700, 0, false, false, 0, 100 + 1400},
    {"it opened quickly: that says little", 0, 0, 20, 0, false, false, 0, 1100},
    {"it was measured since", 50, 0, 700, 0, false, false, 0, 200},
    {"a queue", 50, 0, 0, 300, false, false, 0, 500},
    {"a legacy peer answers on its tick", 50, 0, 0, 0, true, false, 0, 300},
    {"never more than 30 s", 20000, 0, 0, 0, false, false, 0, 30000},
    {"one before never answered", 50, 0, 0, 0, false, true, 1, 400},
    {"three did not", 50, 0, 0, 0, false, true, 3, 1600},
    {"nor did ten", 50, 0, 0, 0, false, true, 10, 1600},
    {"but this one did", 50, 0, 0, 0, false, false, 10, 200},
};

static void test_an_answer_may_take_so_long(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct session_pair s;
        open_native_pair(&s);
        s.client.path.rtt = (struct tt_rtt){.smoothed_us = times[i].smoothed_ms * TT_MS,
                                            .variation_us = times[i].variation_ms * TT_MS,
                                            .sampled = times[i].smoothed_ms > 0};
        s.client.limits.dial_us = times[i].dial_ms * TT_MS;
        s.client.live.queue_us = times[i].queue_ms * TT_MS;
        s.client.native = !times[i].legacy;
        s.client.proven = !times[i].unproven;
        s.world.client.unproven_in_a_row = times[i].in_a_row;
        if (limit_us(&s) != times[i].expected_ms * TT_MS)
            fail_msg("%s: %d us", times[i].name, (int)limit_us(&s));
        session_world_close(&s.world);
    }
}

static void test_floor_and_ceiling_are_options(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = native_setup();
    setup.client.liveness_floor_us = 3 * TT_SECOND;
    setup.client.liveness_ceiling_us = 5 * TT_SECOND;
    open_pair_with(&s, &setup);
    assert_int_equal(limit_us(&s), 3 * TT_SECOND);
    s.client.path.rtt.smoothed_us = 2 * TT_SECOND;
    assert_int_equal(limit_us(&s), 5 * TT_SECOND);
    session_world_close(&s.world);
}

static void test_the_time_that_a_packet_takes_is_added(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    s.client.live.bytes_per_s = 1000000;
    s.client.path.flying_bytes = 10000;
    assert_int_equal(limit_us(&s), 100 * TT_MS); /* a lower bound is no rate */
    s.client.live.measured = true;
    assert_int_equal(limit_us(&s), 110 * TT_MS);
    s.client.path.flying_bytes = 100000; /* of a packet, not of all that flies */
    assert_int_equal(limit_us(&s), 110 * TT_MS);
    s.client.path.flying_bytes = 5000;
    assert_int_equal(limit_us(&s), 105 * TT_MS);
    s.client.path.flying_bytes = 0;
    session_world_close(&s.world);
}

static void test_a_queue_shows_in_the_times_of_the_peer(void **state)
{
    (void)state;
    static const struct {
        uint64_t after_ms;
        uint32_t ts_ms; /* behind the first */
        uint64_t queue_ms;
    } headers[] = {
        {0, 0, 0},         {100, 100, 0},
        {400, 100, 300},   {500, 550, 0}, /* its clock is what it is: the least is the measure */
        {600, 600, 50},    {30000, 10000, 10000}, /* so long at most */
        {70000, 60000, 0}, /* clocks drift: after a minute the least is another */
    };
    struct session_pair s;
    open_native_pair(&s);
    s.client.live.skew_us = 0;
    const uint64_t start_us = s.world.now_us;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        tt_liveness_heard_time(&s.client, start_us + headers[i].after_ms * TT_MS,
                               UINT32_MAX - 50 + headers[i].ts_ms);
        assert_int_equal(s.client.live.queue_us, headers[i].queue_ms * TT_MS);
    }
    session_world_close(&s.world);
}

/* --- the clock --- */

static void test_the_clock_runs_while_something_is_outstanding(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    assert_int_equal(s.client.live.waiting_us, TT_NEVER);
    write_bytes(s.stream, 10);
    assert_int_equal(s.client.live.waiting_us, TT_NEVER); /* it has not left */
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    assert_int_equal(s.client.live.waiting_us, s.world.now_us);
    give_server(&s.world, &s.server, tt_span_of(s.world.packet, s.world.packet_len));
    s.world.now_us += 20 * TT_MS;
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(s.client.live.waiting_us, TT_NEVER);
    session_world_close(&s.world);
}

static void test_each_answer_starts_the_clock_anew(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    const uint64_t start_us = s.world.now_us;
    for (unsigned i = 0; i < 10; i++) { /* one more leaves before the last is acknowledged */
        write_bytes(s.stream, 10);
        assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
        assert_int_equal(s.client.live.waiting_us, s.world.now_us);
        const struct tt_span packet = tt_span_of(s.world.packet, s.world.packet_len);
        give_server(&s.world, &s.server, packet);
        write_bytes(s.stream, 10);
        lose_up(&s.world, &s.client);
        s.world.now_us += 50 * TT_MS;
        carry_down(&s.world, &s.server, &s.client);
        assert_int_equal(s.client.live.waiting_us, s.world.now_us);
        tt_kcp_path_give_up(&s.world.client.kcp, &s.client.path);
        carry_all(&s.world, &s.client, &s.server);
    }
    assert_true(s.world.now_us - start_us > limit_us(&s));
    assert_int_equal(s.world.client.stats.suspicions, 0);
    session_world_close(&s.world);
}

static void test_a_carrier_is_asked_at_half_of_the_limit_and_suspect_at_the_limit(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    send_into_the_void(&s, &s.client);
    assert_int_equal(limit_us(&s), 100 * TT_MS);
    client_waits(&s.world, 50 * TT_MS - 1);
    assert_false(s.client.due.ping);
    client_waits(&s.world, 1);
    assert_string_equal(words_up(&s.world, &s.client, NULL), "ping");
    client_waits(&s.world, 50 * TT_MS - 1);
    assert_false(s.client.live.suspect);
    client_waits(&s.world, 1);
    assert_true(s.client.live.suspect);
    assert_string_equal(words_up(&s.world, &s.client, NULL), ""); /* one PING at a time */
    assert_int_equal(s.world.client.stats.pings_sent, 1);
    session_world_close(&s.world);
}

/* PONG comes, acks do not: the server's budget for this carrier is spent, say. */
static void test_what_stays_outstanding_is_asked_about_at_half_of_the_limit_each_time(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    s.server.peer_max_bytes = 1;
    send_into_the_void(&s, &s.client);
    client_waits(&s.world, 50 * TT_MS);
    while (*words_up(&s.world, &s.client, &s.server)) /* the server says that it drains */
        words_down(&s.world, &s.server, &s.client);
    const uint64_t asked = s.world.client.stats.pings_sent;
    for (unsigned i = 0; i < 20; i++) {
        client_waits(&s.world, 50 * TT_MS - 1);
        words_up(&s.world, &s.client, &s.server);
        assert_int_equal(s.world.client.stats.pings_sent, asked + i);
        client_waits(&s.world, 1);
        assert_string_equal(words_up(&s.world, &s.client, &s.server), "ping");
        assert_non_null(strstr(words_down(&s.world, &s.server, &s.client), "pong"));
    }
    assert_int_equal(s.world.client.stats.suspicions, 0);
    session_world_close(&s.world);
}

static void test_a_server_asks_and_suspects_as_well(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    write_bytes(s.far_stream, 10);
    lose_down(&s.world, &s.server);
    for (unsigned i = 0; i < 2; i++) {
        flush_dirty(&s.world);
        s.world.now_us = tt_queue_packet_conn_deadline(&s.world.server);
        tt_queue_packet_conn_handle_timeout(&s.world.server, s.world.now_us);
        assert_int_equal(s.far->stats.suspicions, i);
        assert_string_equal(words_down(&s.world, &s.server, NULL), i ? "" : "ping");
    }
    assert_false(s.server.doomed); /* only a client can dial */
    session_world_close(&s.world);
}

static void test_a_suspect_carrier_that_answers_is_taken_back(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    send_into_the_void(&s, &s.client);
    client_waits(&s.world, 100 * TT_MS);
    assert_true(s.client.live.suspect);
    assert_int_equal(s.client.rank, TT_RANK_LAST);
    words_up(&s.world, &s.client, &s.server);
    words_down(&s.world, &s.server, &s.client);
    assert_false(s.client.live.suspect);
    assert_int_equal(s.client.rank, TT_RANK_GOOD);
    assert_int_equal(s.world.client.stats.taken_back, 1);
    session_world_close(&s.world);
}

static void test_a_pong_counts_on_its_carrier_and_for_its_question_only(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    uint8_t pong[9];
    open_two(&t, NULL);
    tt_liveness_want_answer(&w->client, &t.client, w->now_us);
    assert_int_equal(pull_up(w, &t.client), TT_OK);
    memcpy(pong, w->packet, sizeof(pong));
    pong[0] = TT_CONTROL_PONG;
    (void)give_client(w, &t.pair.client, tt_span_of(pong, sizeof(pong)));
    pong[8] ^= 1;
    (void)give_client(w, &t.client, tt_span_of(pong, sizeof(pong)));
    assert_int_equal(w->client.stats.stray_pongs, 2);
    assert_true(t.client.live.asked_us != TT_NEVER);
    pong[8] ^= 1;
    (void)give_client(w, &t.client, tt_span_of(pong, sizeof(pong)));
    assert_int_equal(t.client.live.asked_us, TT_NEVER);
    (void)give_client(w, &t.client, tt_span_of(pong, sizeof(pong)));
    assert_int_equal(w->client.stats.stray_pongs, 3);
    session_world_close(w);
}

static void test_a_blocked_connection_waits_for_an_answer(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    tt_endpoint_carrier_blocked(&s.world.client, s.world.now_us, &s.client, true);
    assert_int_equal(s.client.live.waiting_us, s.world.now_us);
    client_waits(&s.world, 60 * TT_MS);
    tt_endpoint_carrier_blocked(&s.world.client, s.world.now_us, &s.client, false);
    assert_int_equal(s.client.live.waiting_us, TT_NEVER); /* it took something */
    tt_endpoint_carrier_blocked(&s.world.client, s.world.now_us, &s.client, true);
    client_waits(&s.world, 100 * TT_MS - 1);
    assert_false(s.client.live.suspect);
    client_waits(&s.world, 1);
    assert_true(s.client.live.suspect);
    session_world_close(&s.world);
}

/* --- what follows (R-11, R-23) --- */

static uint64_t moved(const struct session_world *w)
{
    return w->client.kcp.send.retransmissions[TT_KCP_PATH_LEFT];
}

static void test_what_waits_on_a_suspect_carrier_goes_to_another_once(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    send_into_the_void(&t.pair, &t.client);
    client_waits(w, 100 * TT_MS - 1);
    assert_int_equal(moved(w), 0);
    client_waits(w, 1);
    assert_int_equal(moved(w), 1);
    assert_string_equal(words_up(w, &t.client, NULL), "ping"); /* and no data */
    words_up(w, &t.pair.client, &t.pair.server);
    words_down(w, &t.pair.server, &t.pair.client);
    assert_true(tt_endpoint_settled(&w->client));
    client_waits(w, 100 * TT_MS - 1);
    assert_int_equal(moved(w), 1);
    assert_null(tt_endpoint_next_doomed(&w->client));
    client_waits(w, 1);
    assert_ptr_equal(tt_endpoint_next_doomed(&w->client), &t.client);
    session_world_close(w);
}

static void test_the_only_carrier_is_kept_until_another_is_proven(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    open_native_pair(&s);
    send_into_the_void(&s, &s.client);
    client_waits(&s.world, TT_SECOND);
    assert_true(s.client.live.suspect);
    assert_false(s.client.doomed);
    assert_true(tt_endpoint_wants_carrier(&s.world.client));
    client_opens(&s.world, &c);
    assert_false(tt_endpoint_wants_carrier(&s.world.client)); /* one extra, no more */
    assert_int_equal(moved(&s.world), 0);
    server_attaches(&s.world, &far);
    carry_all(&s.world, &c, &far);
    assert_int_equal(moved(&s.world), 1);
    assert_true(tt_endpoint_settled(&s.world.client));
    client_waits(&s.world, 0);
    assert_true(s.client.doomed && !c.doomed);
    session_world_close(&s.world);
}

static void test_above_the_number_wanted_the_slower_is_drained(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    open_native_pair(&s);
    send_into_the_void(&s, &s.client);
    client_waits(&s.world, 100 * TT_MS);
    words_up(&s.world, &s.client, &s.server); /* its PING */
    client_opens(&s.world, &c);
    server_attaches(&s.world, &far);
    carry_all(&s.world, &c, &far);
    assert_false(s.client.we_drain);
    s.world.now_us += 20 * TT_MS;
    words_down(&s.world, &s.server, &s.client);
    assert_true(s.client.we_drain && !c.we_drain);
    assert_int_equal(s.world.client.stats.drained, 1);
    session_world_close(&s.world);
}

/* --- nothing is going on (R-24, R-33) --- */

static void test_an_idle_client_asks_after_25_s_give_or_take_a_fifth(void **state)
{
    (void)state;
    uint64_t shortest_us = TT_NEVER;
    uint64_t longest_us = 0;
    struct session_pair s;
    open_native_pair(&s);
    for (unsigned i = 0; i < 100; i++) {
        s.client.opened_us++; /* each carrier has a time of its own */
        tt_liveness_heard(&s.world.client, &s.client, s.world.now_us, false);
        const uint64_t at_us = tt_endpoint_deadline(&s.world.client);
        client_waits(&s.world, at_us - 1 - s.world.now_us);
        assert_false(s.client.due.ping);
        shortest_us = tt_min_u64(shortest_us, at_us - s.client.live.heard_us);
        longest_us = at_us - s.client.live.heard_us > longest_us ? at_us - s.client.live.heard_us
                                                                 : longest_us;
        client_waits(&s.world, 1);
        assert_true(s.client.due.ping);
        carry_all(&s.world, &s.client, &s.server);
    }
    assert_in_range(shortest_us, 20 * TT_SECOND, 21 * TT_SECOND);
    assert_in_range(longest_us, 29 * TT_SECOND, 30 * TT_SECOND);
    session_world_close(&s.world);
}

static void test_an_idle_client_has_one_deadline_and_an_idle_server_none(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    write_bytes(t.pair.stream, 100);
    write_bytes(t.pair.far_stream, 100);
    carry_both(&t);
    while (t.client.live.quiet_us != TT_NEVER || t.pair.client.live.quiet_us != TT_NEVER) {
        client_waits(w, tt_endpoint_deadline(&w->client) - w->now_us); /* */
        carry_both(&t);
    }
    assert_int_equal(tt_endpoint_deadline(t.pair.far), TT_NEVER);
    assert_int_equal(tt_endpoint_deadline(&w->client),
                     tt_min_u64(t.client.live.keepalive_us, t.pair.client.live.keepalive_us));
    assert_true(tt_endpoint_deadline(&w->client) > w->now_us + TT_SECOND);
    session_world_close(w);
}

static void test_an_idle_client_that_shall_not_ask_is_silent(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = native_setup();
    setup.client.ping_idle_us = 0;
    open_pair_with(&s, &setup);
    client_waits(&s.world, 300 * TT_SECOND);
    assert_string_equal(words_up(&s.world, &s.client, NULL), "");
    session_world_close(&s.world);
}

/* The next piece of a slow download may freeze, whatever was asked in the pause before it. */
static void test_when_data_stops_the_client_asks_ever_less_often(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    for (unsigned i = 0; i < 3; i++) {
        write_bytes(s.far_stream, 10);
        carry_all(&s.world, &s.client, &s.server);
        for (unsigned asked = 0; asked < 5; asked++) {
            client_waits(&s.world, (limit_us(&s) / 2 << 2 * asked) - 1);
            assert_string_equal(words_up(&s.world, &s.client, NULL), "");
            client_waits(&s.world, 1);
            assert_string_equal(words_up(&s.world, &s.client, &s.server), "ping");
            carry_all(&s.world, &s.client, &s.server);
        }
        client_waits(&s.world, 15 * TT_SECOND);
        assert_string_equal(words_up(&s.world, &s.client, NULL), "");
    }
    session_world_close(&s.world);
}

static void test_data_that_froze_makes_the_carrier_suspect(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    write_bytes(s.far_stream, 10);
    carry_all(&s.world, &s.client, &s.server);
    client_waits(&s.world, 50 * TT_MS);
    assert_string_equal(words_up(&s.world, &s.client, NULL), "ping");
    client_waits(&s.world, 100 * TT_MS);
    assert_true(s.client.live.suspect);
    session_world_close(&s.world);
}

/* --- a clock that jumps (R-25) --- */

static void test_after_a_jump_of_more_than_5_s_no_carrier_is_trusted(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        struct two_carriers t;
        struct session_world *w = &t.pair.world;
        open_two(&t, NULL);
        w->now_us = tt_endpoint_deadline(&w->client) + 5 * TT_SECOND + late;
        assert_int_equal(tt_endpoint_handle_timeout(&w->client, w->now_us), TT_OK);
        assert_int_equal(t.client.live.suspect + t.pair.client.live.suspect, late ? 2 : 0);
        assert_true(!late || (t.client.due.ping && t.pair.client.due.ping));
        carry_both(&t);
        assert_int_equal(t.client.live.suspect + t.pair.client.live.suspect, 0);
        session_world_close(w);
    }
}

/* --- legacy servers (R-27) --- */

static void open_half_legacy(struct session_pair *s)
{
    struct session_setup setup = native_setup();
    setup.server.legacy = true;
    open_pair_with(s, &setup);
    assert_int_equal(limit_us(s), 200 * TT_MS);
    send_into_the_void(s, &s->client);
}

static void test_a_legacy_server_is_asked_for_its_window(void **state)
{
    (void)state;
    struct session_pair s;
    open_half_legacy(&s);
    client_waits(&s.world, 100 * TT_MS - 1);
    assert_int_equal(pull_up(&s.world, &s.client), TT_E_AGAIN);
    client_waits(&s.world, 1);
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    assert_int_equal(packet_count(&s.world, TT_KCP_WASK), 1);
    give_server(&s.world, &s.server, tt_span_of(s.world.packet, s.world.packet_len));
    assert_int_equal(pull_down(&s.world, &s.server), TT_OK);
    assert_int_equal(packet_count(&s.world, TT_KCP_WINS), 1);
    client_waits(&s.world, 90 * TT_MS);
    (void)give_client(&s.world, &s.client, tt_span_of(s.world.packet, s.world.packet_len));
    assert_int_equal(s.client.live.asked_us, TT_NEVER);
    client_waits(&s.world, 150 * TT_MS); /* the clock began anew */
    assert_false(s.client.doomed);
    session_world_close(&s.world);
}

static void test_a_suspect_one_of_a_legacy_server_is_given_up_before_the_next(void **state)
{
    (void)state;
    struct session_pair s;
    open_half_legacy(&s);
    client_waits(&s.world, 200 * TT_MS - 1);
    assert_false(s.client.doomed || tt_endpoint_wants_carrier(&s.world.client));
    client_waits(&s.world, 1);
    assert_true(s.client.doomed);
    assert_true(tt_endpoint_wants_carrier(&s.world.client));
    session_world_close(&s.world);
}

static void test_a_legacy_session_is_not_watched_by_its_server(void **state)
{
    (void)state;
    struct session_pair s;
    open_pair(&s);
    write_bytes(s.far_stream, 10);
    lose_down(&s.world, &s.server);
    s.world.now_us += 100 * TT_SECOND;
    (void)tt_endpoint_handle_timeout(s.far, s.world.now_us);
    assert_int_equal(s.far->stats.suspicions, 0);
    session_world_close(&s.world);
}

static void test_one_that_never_answers_is_given_up(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    open_native_world(&w, &c);
    client_stream(&w, 10);
    for (unsigned i = 0; i < 24; i++) { /* KCP sends it again; it may be a legacy server */
        lose_up(&w, &c);
        assert_false(c.doomed);
        client_waits(&w, 50 * TT_MS);
    }
    assert_true(c.doomed);
    session_world_close(&w);
}

/* --- how much may be outstanding (R-22) --- */

static void test_little_is_outstanding_on_a_slow_carrier(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    s.client.live.bytes_per_s = 0;
    assert_int_equal(tt_liveness_most_bytes(&s.client), 65536);
    s.client.live.bytes_per_s = 1000000;
    s.client.path.rtt.sampled = true;
    s.client.path.rtt.least_us = 100 * TT_MS;
    assert_int_equal(tt_liveness_most_bytes(&s.client), 200000 + 65536);
    s.client.live.bytes_per_s = 10000000;
    assert_int_equal(tt_liveness_most_bytes(&s.client), 2000000 + 100000);
    s.client.live.bytes_per_s = 1000000000;
    assert_int_equal(tt_liveness_most_bytes(&s.client), 200000000 + (4u << 20));
    s.client.native = false;
    assert_int_equal(tt_liveness_most_bytes(&s.client), 5632u << 10);
    session_world_close(&s.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_may_take_so_long),
        cmocka_unit_test(test_floor_and_ceiling_are_options),
        cmocka_unit_test(test_the_time_that_a_packet_takes_is_added),
        cmocka_unit_test(test_a_queue_shows_in_the_times_of_the_peer),
        cmocka_unit_test(test_the_clock_runs_while_something_is_outstanding),
        cmocka_unit_test(test_each_answer_starts_the_clock_anew),
        cmocka_unit_test(test_a_carrier_is_asked_at_half_of_the_limit_and_suspect_at_the_limit),
        cmocka_unit_test(test_what_stays_outstanding_is_asked_about_at_half_of_the_limit_each_time),
        cmocka_unit_test(test_a_server_asks_and_suspects_as_well),
        cmocka_unit_test(test_a_suspect_carrier_that_answers_is_taken_back),
        cmocka_unit_test(test_a_pong_counts_on_its_carrier_and_for_its_question_only),
        cmocka_unit_test(test_a_blocked_connection_waits_for_an_answer),
        cmocka_unit_test(test_what_waits_on_a_suspect_carrier_goes_to_another_once),
        cmocka_unit_test(test_the_only_carrier_is_kept_until_another_is_proven),
        cmocka_unit_test(test_above_the_number_wanted_the_slower_is_drained),
        cmocka_unit_test(test_an_idle_client_asks_after_25_s_give_or_take_a_fifth),
        cmocka_unit_test(test_an_idle_client_has_one_deadline_and_an_idle_server_none),
        cmocka_unit_test(test_an_idle_client_that_shall_not_ask_is_silent),
        cmocka_unit_test(test_when_data_stops_the_client_asks_ever_less_often),
        cmocka_unit_test(test_data_that_froze_makes_the_carrier_suspect),
        cmocka_unit_test(test_after_a_jump_of_more_than_5_s_no_carrier_is_trusted),
        cmocka_unit_test(test_a_legacy_server_is_asked_for_its_window),
        cmocka_unit_test(test_a_suspect_one_of_a_legacy_server_is_given_up_before_the_next),
        cmocka_unit_test(test_a_legacy_session_is_not_watched_by_its_server),
        cmocka_unit_test(test_one_that_never_answers_is_given_up),
        cmocka_unit_test(test_little_is_outstanding_on_a_slow_carrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
