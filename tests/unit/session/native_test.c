/* What two ends of this project say to each other beside KCP (native.md sections 1 to 4). */
#include "core/session/native.h"

#include <stdio.h>

#include <turbotunnel/error.h>

#include "core/session/liveness.h"
#include "session/fixture.h"

static void client_hears(struct session_world *w, struct tt_carrier *c, struct tt_control said)
{
    (void)give_client(w, c, make_control(w, &said));
}

static void server_hears(struct session_world *w, struct tt_carrier *c, struct tt_control said)
{
    give_server(w, c, make_control(w, &said));
}

static struct tt_control hello(uint32_t carrier, uint16_t max_packet, uint16_t flags)
{
    return (struct tt_control){
        .type = TT_CONTROL_HELLO,
        .hello = {.version = 1, .max_packet = max_packet, .flags = flags, .carrier = carrier}};
}

static struct tt_control state_of(uint32_t carrier, uint8_t state)
{
    return (struct tt_control){.type = TT_CONTROL_STATE,
                               .state = {.carrier = carrier, .state = state}};
}

static const struct tt_control ping = {.type = TT_CONTROL_PING, .token = "question"};
static const struct tt_control close_done = {.type = TT_CONTROL_CLOSE, .reason = TT_CLOSE_DONE};

/* --- HELLO (R-1) --- */

static void test_hello_is_the_first_packet_on_every_carrier(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c, far;
    open_native_world(&w, &c);
    server_attaches(&w, &far);
    client_stream(&w, 10);
    assert_string_equal(words_up(&w, &c, &far), "hello 0 max 65535 flags 17, data");
    assert_string_equal(words_down(&w, &far, &c), "hello 0 max 65535 flags 17, data");
    assert_true(w.client.native && c.native && far.native);
    session_world_close(&w);
}

static void test_later_carriers_say_that_the_session_exists(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    open_native_pair(&s);
    client_opens(&s.world, &c);
    server_attaches(&s.world, &far);
    assert_string_equal(words_up(&s.world, &c, &far), "hello 1 max 65535 flags 21");
    assert_string_equal(words_down(&s.world, &far, &c), "hello 1 max 65535 flags 17");
    assert_true(c.proven && far.proven);
    session_world_close(&s.world);
}

static void test_a_hello_without_a_session_is_answered_and_begins_none(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c, far;
    open_native_world(&w, &c);
    server_attaches(&w, &far);
    words_up(&w, &c, &far);
    assert_int_equal(w.server.sessions, 0);
    assert_true(tt_queue_packet_conn_wants_send(&far));
    assert_string_equal(words_down(&w, &far, &c), "hello 0 max 65535 flags 17");
    assert_false(tt_queue_packet_conn_wants_send(&far));
    tt_queue_packet_conn_detach(&w.server, w.now_us, &far);
    session_world_close(&w);
}

static void test_carriers_are_numbered_in_order_and_no_number_is_used_twice(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c[3], far[3];
    open_native_pair(&s);
    for (uint32_t i = 0; i < 3; i++) {
        client_opens(&s.world, &c[i]);
        server_attaches(&s.world, &far[i]);
        carry_two(&s, &c[i], &far[i]);
        assert_int_equal(c[i].number, i + 1);
        assert_int_equal(far[i].number, i + 1);
        tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &c[i]);
    }
    session_world_close(&s.world);
}

static void test_a_server_says_nothing_on_a_carrier_without_hello(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = native_setup();
    setup.client.legacy = true;
    open_pair_with(&s, &setup);
    const struct tt_control said[] = {ping, close_done, state_of(0, TT_PEER_DRAINING)};
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        server_hears(&s.world, &s.server, said[i]);
    write_bytes(s.far_stream, 5000);
    tt_endpoint_close(s.far);
    assert_null(strstr(words_down(&s.world, &s.server, &s.client), "p"));
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(s.far->stats.control_out, 0);
    assert_int_equal(s.far->stats.control_in, ARRAY_LEN(said));
    assert_false(s.far->native);
    assert_int_equal(s.far->error, 0);
    session_world_close(&s.world);
}

static void test_a_client_says_nothing_but_hello_to_a_legacy_server(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = native_setup();
    setup.server.legacy = true;
    open_pair_with(&s, &setup);
    assert_true(s.client.legacy);
    assert_int_equal(s.world.client.stats.control_out, 1);
    client_hears(&s.world, &s.client, hello(0, 65535, 0)); /* too late */
    client_hears(&s.world, &s.client, ping);
    assert_false(s.client.native || s.world.client.native);
    tt_endpoint_close(&s.world.client);
    assert_string_equal(words_up(&s.world, &s.client, &s.server), "");
    session_world_close(&s.world);
}

/* --- what makes no sense (R-2) --- */

static const struct {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    bool ends;
} strange[] = {
    {"an empty one", BYTES(""), false},
    {"type 0", BYTES("\0\1\2\3"), false},
    {"FRAG", BYTES("\x07\1\2"), false},
    {"the last type that may come later", BYTES("\x7f"), false},
    {"the first that may not", BYTES("\x80"), true},
    {"the last", BYTES("\xff\1\2\3"), true},
    {"half a PING",
     BYTES("\x02"
           "1234567"),
     true},
    {"a PONG for nothing",
     BYTES("\x03"
           "12345678"),
     false},
    {"no reason", BYTES("\x04"), true},
    {"half a STATE", BYTES("\x05\0\0\0\0"), true},
    {"a state that may come later", BYTES("\x05\0\0\0\0\x09"), false},
    {"half a LIMIT", BYTES("\x06\0\0\0\0\0"), true},
    {"no limit, and more", BYTES("\x06\0\0\0\0\0\0\1\2\3\4"), false},
    {"half a HELLO", BYTES("\x01\1\xff\xff\0\0\0\0\0"), true},
    {"a second HELLO", BYTES("\x01\1\xff\xff\0\0\0\0\0\0"), false},
};

static void test_a_control_packet_that_makes_no_sense_ends_its_carrier(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strange); i++) {
        struct session_pair s;
        open_native_pair(&s);
        const struct tt_span packet = tt_span_of(strange[i].bytes, strange[i].len);
        (void)give_client(&s.world, &s.client, packet);
        give_server(&s.world, &s.server, packet);
        const bool ends = tt_endpoint_next_doomed(&s.world.client) == &s.client;
        const bool far_ends = tt_endpoint_next_doomed(s.far) == &s.server;
        if (ends != strange[i].ends || far_ends != ends || s.world.client.error || s.far->error)
            fail_msg("%s: client %d, server %d", strange[i].name, ends, far_ends);
        session_world_close(&s.world);
    }
}

static void test_the_same_before_there_is_a_session(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strange); i++) {
        struct session_world w;
        struct tt_carrier c;
        const struct session_setup setup = native_setup();
        session_world_open(&w, &setup);
        server_attaches(&w, &c);
        const int err = tt_queue_packet_conn_incoming(
            &w.server, w.now_us, &c, tt_span_of(strange[i].bytes, strange[i].len), NULL);
        if (err != (strange[i].ends ? TT_E_PROTO : TT_OK))
            fail_msg("%s: %d", strange[i].name, err);
        session_world_close(&w);
    }
}

static void test_a_second_hello_is_answered_on_datagrams_only(void **state)
{
    (void)state;
    const struct tt_carrier_limits *const limits[] = {&wide_limits, &datagram_limits};
    for (unsigned i = 0; i < 2; i++) {
        struct session_pair s;
        struct session_setup setup = native_setup();
        setup.limits = limits[i];
        open_pair_with(&s, &setup);
        server_hears(&s.world, &s.server, hello(0, 1400, 0));
        assert_string_equal(words_down(&s.world, &s.server, &s.client),
                            limits[i]->ordered ? "" : "hello 0 max 1400 flags 16");
        client_hears(&s.world, &s.client, hello(0, 1400, 0)); /* no ping-pong of them */
        assert_string_equal(words_up(&s.world, &s.client, NULL), "");
        session_world_close(&s.world);
    }
}

static void test_a_hello_that_may_be_lost_is_sent_3_times(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    struct session_setup setup = native_setup();
    setup.limits = &datagram_limits;
    session_world_open(&w, &setup);
    client_opens(&w, &c);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(words_up(&w, &c, NULL), "hello 0 max 1400 flags 16");
        client_waits(&w, 500 * TT_MS - 1);
        assert_string_equal(words_up(&w, &c, NULL), "");
        client_waits(&w, 1);
    }
    client_waits(&w, 5 * TT_SECOND);
    assert_string_equal(words_up(&w, &c, NULL), "");
    session_world_close(&w);
}

static void test_a_hello_that_was_answered_is_not_sent_again(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = native_setup();
    setup.limits = &datagram_limits;
    open_pair_with(&s, &setup);
    client_waits(&s.world, 2 * TT_SECOND);
    assert_int_equal(s.client.hellos, 1);
    session_world_close(&s.world);
}

/* Nobody could ask there whether it still lives: no control packet goes before the answer. */
static void test_a_carrier_of_a_native_session_whose_hello_stays_unanswered_is_closed(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = native_setup();
    setup.limits = &datagram_limits;
    open_pair_with(&s, &setup);
    struct tt_carrier silent;
    client_opens(&s.world, &silent);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(silent.doomed);
        lose_up(&s.world, &silent);
        client_waits(&s.world, 500 * TT_MS);
    }
    assert_int_equal(silent.hellos, 3);
    assert_true(silent.doomed);
    assert_false(s.client.doomed);
    session_world_close(&s.world);
}

static void test_it_is_also_closed_when_the_session_proves_native_later(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier silent, c;
    struct session_setup setup = native_setup();
    setup.limits = &datagram_limits;
    session_world_open(&w, &setup);
    client_opens(&w, &silent);
    for (unsigned i = 0; i < 3; i++) {
        lose_up(&w, &silent);
        client_waits(&w, 500 * TT_MS);
    }
    assert_false(silent.doomed); /* a legacy server it may be */
    client_opens(&w, &c);
    client_hears(&w, &c, hello(1, 1400, 0));
    client_waits(&w, 500 * TT_MS);
    assert_true(silent.doomed);
    session_world_close(&w);
}

/* --- how long packets are (R-3) --- */

static const struct {
    uint32_t mtu;
    uint16_t max_packet;
    bool ends;
} sizes[] = {{1400, 1399, true}, {1400, 1400, false}, {500, 575, true}, {500, 576, false}};

static void test_a_carrier_that_is_too_small_for_a_segment_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct session_world w;
        struct tt_carrier c, far;
        struct session_setup setup = native_setup();
        setup.client.mtu = setup.server.mtu = sizes[i].mtu;
        session_world_open(&w, &setup);
        client_opens(&w, &c);
        server_attaches(&w, &far);
        words_up(&w, &c, NULL);
        const struct tt_control said = hello(0, sizes[i].max_packet, 0);
        client_hears(&w, &c, said);
        const int err =
            tt_queue_packet_conn_incoming(&w.server, w.now_us, &far, make_control(&w, &said), NULL);
        assert_int_equal(c.doomed, sizes[i].ends);
        assert_int_equal(err, sizes[i].ends ? TT_E_PROTO : TT_OK);
        session_world_close(&w);
    }
}

/* The longest packet that a client's carrier gives when there is much to send. */
static uint32_t longest_packet(struct session_pair *s)
{
    uint32_t longest = 0;
    write_bytes(s->stream, 60000);
    while (pull_up(&s->world, &s->client) == TT_OK) {
        longest = s->world.packet_len > longest ? s->world.packet_len : longest;
        give_server(&s->world, &s->server, tt_span_of(s->world.packet, s->world.packet_len));
    }
    return longest;
}

static void test_packets_are_as_long_as_the_peer_takes(void **state)
{
    (void)state;
    static const struct {
        uint32_t server_max, least, most;
        bool legacy;
    } peers[] = {{65535, 2801, 65535, false},
                 {65535, 1400, 1400, true},
                 {3000, 2800, 3000, false},
                 {1400, 1400, 1400, false}};
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        struct session_pair s;
        struct session_setup setup = native_setup();
        setup.server.legacy = peers[i].legacy;
        open_pair_with(&s, &setup);
        s.client.peer_max_packet = peers[i].server_max;
        assert_in_range(longest_packet(&s), peers[i].least, peers[i].most);
        session_world_close(&s.world);
    }
}

static void test_what_a_hello_says_of_packets_is_kept(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    open_native_world(&w, &c);
    words_up(&w, &c, NULL);
    client_hears(&w, &c, hello(7, 2345, TT_HELLO_NO_DROPS));
    assert_int_equal(c.peer_max_packet, 2345);
    assert_true(c.peer_no_drops && c.path.reliable);
    assert_int_equal(c.number, 0); /* the client counts, not the server */
    session_world_close(&w);
}

static void test_without_the_promise_timers_stay(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    open_native_world(&w, &c);
    words_up(&w, &c, NULL);
    client_hears(&w, &c, hello(0, 2345, 0));
    assert_true(c.native);
    assert_false(c.path.reliable);
    session_world_close(&w);
}

/* --- PING and PONG (R-4) --- */

static void test_control_packets_pass_data_that_waits(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    write_bytes(s.stream, 100000);
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    client_hears(&s.world, &s.client, ping);
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    assert_string_equal(packet_text(&s.world), "pong");
    assert_memory_equal(s.world.packet + 1, "question", 8);
    session_world_close(&s.world);
}

/* How many of so many PINGs, one after the other, are answered. */
static unsigned pongs(struct session_pair *s, unsigned pings)
{
    unsigned n = 0;
    for (unsigned i = 0; i < pings; i++) {
        server_hears(&s->world, &s->server, ping);
        n += strstr(words_down(&s->world, &s->server, NULL), "pong") != NULL;
    }
    return n;
}

static void test_there_is_one_answer_a_millisecond(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    assert_int_equal(pongs(&s, 100), 8); /* since none was for long */
    assert_int_equal(pongs(&s, 1), 0);
    for (unsigned i = 0; i < 20; i++) {
        s.world.now_us += TT_MS;
        assert_int_equal(pongs(&s, 5), 1);
    }
    s.world.now_us += TT_SECOND;
    assert_int_equal(pongs(&s, 100), 8);
    session_world_close(&s.world);
}

static void test_a_pong_goes_where_its_ping_came(void **state)
{
    (void)state;
    struct two_carriers t;
    open_two(&t, NULL);
    server_hears(&t.pair.world, &t.server, ping);
    assert_null(strstr(words_down(&t.pair.world, &t.pair.server, NULL), "pong"));
    assert_non_null(strstr(words_down(&t.pair.world, &t.server, NULL), "pong"));
    session_world_close(&t.pair.world);
}

/* --- a session that is not there (R-5) --- */

/* The server has forgotten all about its sessions. */
static void restart_server(struct session_world *w)
{
    const struct tt_queue_packet_conn_config config = w->server.config;
    const struct tt_alloc *alloc = config.alloc;
    tt_queue_packet_conn_dispose(&w->server);
    assert_int_equal(tt_queue_packet_conn_init(&w->server, &config), TT_OK);
    assert_ptr_equal(w->server.config.alloc, alloc);
}

static void test_a_session_that_the_server_does_not_know_is_lost(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    open_native_pair(&s);
    restart_server(&s.world);
    s.world.now_us += TT_SECOND;
    redial(&s, &c);
    write_bytes(s.stream, 10);
    server_attaches(&s.world, &far);
    assert_string_equal(words_up(&s.world, &c, &far),
                        "hello 1 max 65535 flags 21, state 4 of 0, data");
    assert_int_equal(s.world.server.sessions, 0); /* what follows is dropped */
    assert_int_equal(s.world.server.stats.unknown, 1);
    assert_string_equal(words_down(&s.world, &far, &c), "hello 1 max 65535 flags 25");
    assert_false(c.proven);
    assert_int_equal(s.world.client.error, TT_E_LOST);
    session_world_close(&s.world);
}

static void test_it_is_not_lost_when_another_carrier_brought_something(void **state)
{
    (void)state;
    struct two_carriers t;
    struct tt_carrier c;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    w->now_us += TT_SECOND;
    client_opens(w, &c);
    words_up(w, &c, NULL);
    w->now_us += TT_SECOND;
    write_bytes(t.pair.stream, 10);
    carry_both(&t);
    client_hears(w, &c, hello(2, 65535, TT_HELLO_UNKNOWN));
    assert_int_equal(w->client.error, 0);
    assert_ptr_equal(tt_endpoint_next_doomed(&w->client), &c);
    session_world_close(w);
}

/* --- how many (R-6) --- */

static void test_a_second_carrier_is_wanted_once_the_server_has_the_session(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c, far;
    struct session_setup setup = native_setup();
    setup.client.carriers = 2;
    session_world_open(&w, &setup);
    assert_true(tt_endpoint_wants_carrier(&w.client));
    client_opens(&w, &c);
    server_attaches(&w, &far);
    client_stream(&w, 10);
    words_up(&w, &c, &far);
    assert_int_equal(pull_down(&w, &far), TT_OK); /* HELLO */
    (void)give_client(&w, &c, tt_span_of(w.packet, w.packet_len));
    assert_true(c.proven);
    assert_false(tt_endpoint_wants_carrier(&w.client));
    words_down(&w, &far, &c);
    assert_true(tt_endpoint_wants_carrier(&w.client));
    session_world_close(&w);
}

static void test_when_none_is_left_they_come_one_at_a_time(void **state)
{
    (void)state;
    struct two_carriers t;
    struct tt_carrier c, far;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    assert_false(tt_endpoint_wants_carrier(&w->client));
    tt_endpoint_carrier_close(&w->client, w->now_us, &t.client);
    tt_endpoint_carrier_close(&w->client, w->now_us, &t.pair.client);
    assert_true(tt_endpoint_wants_carrier(&w->client));
    client_opens(w, &c);
    assert_false(tt_endpoint_wants_carrier(&w->client));
    server_attaches(w, &far);
    carry_all(w, &c, &far);
    assert_true(tt_endpoint_wants_carrier(&w->client));
    session_world_close(w);
}

/* --- the end (R-7) --- */

static void test_close_is_sent_when_all_is_acknowledged(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    write_bytes(t.pair.stream, 10);
    tt_endpoint_close(&w->client);
    assert_string_equal(words_up(w, &t.pair.client, &t.pair.server), "data");
    words_down(w, &t.pair.server, &t.pair.client);
    words_down(w, &t.server, &t.client);
    assert_true(tt_endpoint_settled(&w->client));
    assert_false(tt_endpoint_is_over(&w->client));
    assert_string_equal(words_up(w, &t.client, NULL), "close 1");
    assert_false(tt_endpoint_is_over(&w->client)); /* not on each carrier yet */
    assert_string_equal(words_up(w, &t.pair.client, NULL), "close 1");
    assert_true(tt_endpoint_is_over(&w->client));
    session_world_close(w);
}

static void test_close_counts_when_it_came_on_every_carrier(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    bool ended;
    open_two(&t, NULL);
    write_bytes(t.pair.stream, 100);
    carry_both(&t);
    server_hears(w, &t.server, close_done);
    server_hears(w, &t.server, close_done);
    assert_int_equal(t.pair.far->error, 0);
    server_hears(w, &t.pair.server, close_done);
    assert_int_equal(t.pair.far->error, TT_E_CLOSED);
    assert_int_equal(read_bytes(t.pair.far_stream, &ended), 110); /* stays readable */
    session_world_close(w);
}

static void test_close_counts_when_the_carrier_without_it_has_gone(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    server_hears(w, &t.server, close_done);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &t.pair.server);
    assert_int_equal(t.pair.far->error, TT_E_CLOSED);
    session_world_close(w);
}

/* The server's program is done with the session as well. */
static void close_at_server(struct session_world *w)
{
    struct tt_server_session *s = tt_queue_packet_conn_next_dirty(&w->server);
    assert_non_null(s);
    tt_queue_packet_conn_close(&w->server, w->now_us, s);
}

static void test_a_server_keeps_but_the_id_of_a_session_that_is_over(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier far;
    open_native_pair(&s);
    write_bytes(s.stream, 10);
    carry_all(&s.world, &s.client, &s.server);
    server_hears(&s.world, &s.server, close_done);
    const size_t whole = s.world.memory.live_bytes;
    close_at_server(&s.world);
    assert_int_equal(s.world.server.sessions, 0);
    assert_in_range(whole - s.world.memory.live_bytes, 1000, whole);
    assert_null(s.server.endpoint);
    write_bytes(s.stream, 10);
    assert_string_equal(words_up(&s.world, &s.client, &s.server), "data");
    assert_string_equal(words_down(&s.world, &s.server, NULL), "");
    /* Whoever comes with its ID is told, whether it says that the session exists or not. */
    server_attaches(&s.world, &far);
    server_hears(&s.world, &far, hello(3, 65535, 0));
    assert_string_equal(words_down(&s.world, &far, NULL), "hello 3 max 65535 flags 25");
    s.world.now_us += 60 * TT_SECOND;
    tt_queue_packet_conn_handle_timeout(&s.world.server, s.world.now_us);
    assert_int_equal(tt_remote_map_count(&s.world.server.remembered), 0);
    session_world_close(&s.world);
}

static void finish_session(struct session_pair *s)
{
    close_at_server(&s->world);
    assert_string_equal(words_down(&s->world, &s->server, &s->client), "close 1");
    flush_dirty(&s->world);
    assert_int_equal(s->world.server.sessions, 0);
}

static void test_an_id_too_many_is_not_remembered(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    s.world.server.config.max_remembered = 0;
    finish_session(&s);
    assert_int_equal(tt_remote_map_count(&s.world.server.remembered), 0);
    assert_int_equal(s.world.server.stats.not_remembered, 1);
    session_world_close(&s.world);
}

static void test_a_session_is_over_though_there_is_no_memory_for_its_id(void **state)
{
    (void)state;
    for (size_t fail_at = 0; fail_at < 2; fail_at++) { /* the remote, and the map's table */
        struct session_pair s;
        open_native_pair(&s);
        close_at_server(&s.world);
        assert_string_equal(words_down(&s.world, &s.server, &s.client), "close 1");
        s.world.memory.fail_at = s.world.memory.calls + fail_at;
        flush_dirty(&s.world);
        s.world.memory.fail_at = FAIL_NEVER;
        assert_int_equal(s.world.server.sessions, 0);
        assert_int_equal(tt_remote_map_count(&s.world.server.remembered), 0);
        assert_int_equal(s.world.server.stats.not_remembered, 1);
        session_world_close(&s.world);
    }
}

/* A session of the client with that number, that both ends are done with at once. */
static void live_and_die(struct session_world *w, struct tt_carrier *c, uint32_t number)
{
    struct tt_server_session *session;
    tt_put_le32(w->id.bytes, number);
    server_attaches(w, c);
    server_hears(w, c, hello(0, 65535, 0));
    const struct tt_kcp_header h = {.conv = WORLD_CONV, .cmd = TT_KCP_PUSH, .wnd = 128, .len = 1};
    give_server(w, c, make_packet(w, h, tt_span_of("\2", 1)));
    assert_int_equal(tt_queue_packet_conn_accept(&w->server, &session), TT_OK);
    server_hears(w, c, close_done);
    tt_queue_packet_conn_close(&w->server, w->now_us, session);
    assert_int_equal(w->server.sessions, 0);
}

/* What the server says to a new carrier with that client's ID. */
static const char *answer_to(struct session_world *w, uint32_t number)
{
    struct tt_carrier c;
    tt_put_le32(w->id.bytes, number);
    server_attaches(w, &c);
    server_hears(w, &c, hello(1, 65535, 0));
    const char *words = words_down(w, &c, NULL);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &c);
    return words;
}

#define GREETED "hello 1 max 65535 flags 17"
#define UNKNOWN "hello 1 max 65535 flags 25"

static void test_of_too_many_ids_the_oldest_is_forgotten(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c[4];
    const struct session_setup setup = native_setup();
    session_world_open(&w, &setup);
    w.server.config.max_remembered = 3;
    for (uint32_t i = 0; i < 4; i++)
        live_and_die(&w, &c[i], i);
    assert_int_equal(tt_remote_map_count(&w.server.remembered), 3);
    assert_int_equal(w.server.stats.not_remembered, 1);
    assert_string_equal(answer_to(&w, 0), GREETED);
    for (uint32_t i = 1; i < 4; i++)
        assert_string_equal(answer_to(&w, i), UNKNOWN);
    session_world_close(&w);
}

static void test_an_id_takes_less_than_a_hundred_bytes(void **state)
{
    (void)state;
    enum { IDS = 1000 };
    struct session_world w;
    struct tt_carrier c;
    const struct session_setup setup = native_setup();
    session_world_open(&w, &setup);
    w.server.config.max_remembered = IDS;
    live_and_die(&w, &c, 0);
    live_and_die(&w, &c, 1); /* the slabs that the pool keeps are there now */
    const size_t bytes = w.memory.live_bytes;
    for (uint32_t i = 2; i < IDS; i++)
        live_and_die(&w, &c, i);
    assert_int_equal(tt_remote_map_count(&w.server.remembered), IDS);
    assert_in_range(w.memory.live_bytes - bytes, 1, 100 * IDS);
    w.now_us += 60 * TT_SECOND;
    tt_queue_packet_conn_handle_timeout(&w.server, w.now_us);
    assert_in_range(w.memory.live_bytes, 0, bytes); /* the table, too */
    session_world_close(&w);
}

static void test_a_client_may_begin_anew_when_its_id_is_forgotten(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c, again;
    const struct session_setup setup = native_setup();
    const struct tt_kcp_header h = {.conv = WORLD_CONV, .cmd = TT_KCP_PUSH, .wnd = 128, .len = 1};
    session_world_open(&w, &setup);
    live_and_die(&w, &c, 0);
    for (unsigned begun = 1; begun <= 2; begun++) {
        assert_int_equal(tt_queue_packet_conn_deadline(&w.server), 1060 * TT_SECOND);
        w.now_us = 1060 * TT_SECOND - (begun == 1);
        tt_queue_packet_conn_handle_timeout(&w.server, w.now_us);
        server_attaches(&w, &again);
        give_server(&w, &again, make_packet(&w, h, tt_span_of("\2", 1)));
        assert_int_equal(w.server.stats.sessions_begun, begun);
        assert_int_equal(w.server.stats.strays, 1);
    }
    session_world_close(&w);
}

static void test_every_refused_allocation_leaves_a_session_that_is_over(void **state)
{
    (void)state;
    bool refused = true;
    for (size_t n = 0; refused; n++) {
        struct session_pair s;
        open_native_pair(&s);
        close_at_server(&s.world);
        s.world.memory.calls = 0;
        s.world.memory.fail_at = n;
        server_hears(&s.world, &s.server, close_done);
        flush_dirty(&s.world);
        refused = s.world.memory.refused;
        s.world.memory.fail_at = FAIL_NEVER;
        assert_int_equal(s.world.server.sessions, 0);
        assert_int_equal(tt_remote_map_count(&s.world.server.remembered) +
                             s.world.server.stats.not_remembered,
                         1);
        assert_null(s.server.endpoint);
        session_world_close(&s.world);
    }
}

static void test_both_ends_may_close(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    close_at_server(&s.world);
    assert_string_equal(words_down(&s.world, &s.server, &s.client), "close 1");
    assert_int_equal(s.world.client.error, TT_E_CLOSED);
    assert_int_equal(s.world.server.sessions, 1);
    flush_dirty(&s.world);
    assert_int_equal(s.world.server.sessions, 0);
    assert_int_equal(tt_remote_map_count(&s.world.server.remembered), 1);
    session_world_close(&s.world);
}

static void test_an_abort_waits_for_nothing(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    write_bytes(s.stream, 100000);
    lose_up(&s.world, &s.client);
    tt_endpoint_close(&s.world.client);
    assert_string_equal(words_up(&s.world, &s.client, NULL), "");
    tt_endpoint_abort(&s.world.client);
    assert_true(tt_endpoint_wants_send(&s.world.client, &s.client));
    assert_string_equal(words_up(&s.world, &s.client, &s.server), "close 2");
    assert_int_equal(s.far->error, TT_E_CLOSED);
    session_world_close(&s.world);
}

/* --- what the peer threw away (R-12) --- */

static uint64_t again(const struct tt_endpoint *e, enum tt_kcp_cause why)
{
    return e->kcp.send.retransmissions[why];
}

/* Three segments leave on the client's carrier, and the one in the middle is forgotten there. */
static void lose_one_of_three(struct session_pair *s)
{
    for (unsigned i = 0; i < 3; i++) {
        write_bytes(s->stream, 1000);
        assert_int_equal(pull_up(&s->world, &s->client), TT_OK);
        if (i != 1)
            give_server(&s->world, &s->server, tt_span_of(s->world.packet, s->world.packet_len));
    }
    words_down(&s->world, &s->server, &s->client);
    assert_int_equal(s->client.path.flying.count, 1);
}

/* Time passes until the client asks; its question is answered at once. */
static void ask_and_answer(struct session_pair *s)
{
    while (!s->client.due.ping)
        client_waits(&s->world, 10 * TT_MS);
    assert_non_null(strstr(words_up(&s->world, &s->client, &s->server), "ping"));
    assert_non_null(strstr(words_down(&s->world, &s->server, &s->client), "pong, data"));
}

static void test_what_the_peer_threw_away_is_sent_again_and_counted(void **state)
{
    (void)state;
    struct session_pair s;
    bool ended;
    open_native_pair(&s);
    lose_one_of_three(&s);
    ask_and_answer(&s);
    client_waits(&s.world, 100 * TT_MS - 1);
    assert_int_equal(again(&s.world.client, TT_KCP_DISCARDED), 0);
    client_waits(&s.world, 1);
    assert_int_equal(again(&s.world.client, TT_KCP_DISCARDED), 1);
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(read_bytes(s.far_stream, &ended), 3010);
    assert_int_equal(again(&s.world.client, TT_KCP_TIMEOUT), 0);
    assert_int_equal(again(&s.world.client, TT_KCP_FAST), 0);
    session_world_close(&s.world);
}

static void test_the_barrier_waits_for_the_slowest_carrier(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    for (unsigned i = 0; i < 50; i++)
        tt_kcp_path_sample(&s.world.client.kcp, &s.client.path, 300 * TT_MS);
    lose_one_of_three(&s);
    ask_and_answer(&s);
    client_waits(&s.world, 250 * TT_MS);
    assert_int_equal(again(&s.world.client, TT_KCP_DISCARDED), 0);
    client_waits(&s.world, TT_SECOND);
    assert_int_equal(again(&s.world.client, TT_KCP_DISCARDED), 1);
    session_world_close(&s.world);
}

static void test_what_left_behind_the_question_is_not_thrown_away(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    tt_liveness_want_answer(&s.world.client, &s.client, s.world.now_us);
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    assert_string_equal(packet_text(&s.world), "ping");
    give_server(&s.world, &s.server, tt_span_of(s.world.packet, s.world.packet_len));
    write_bytes(s.stream, 1000);
    lose_up(&s.world, &s.client); /* it is still under way */
    assert_non_null(strstr(words_down(&s.world, &s.server, &s.client), "pong, data"));
    client_waits(&s.world, 400 * TT_MS);
    assert_int_equal(again(&s.world.client, TT_KCP_DISCARDED), 0);
    session_world_close(&s.world);
}

/* --- acks (R-13, R-16) --- */

static void test_acks_leave_where_the_data_came(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    struct tt_carrier *const up[] = {&t.pair.client, &t.client};
    struct tt_carrier *const down[] = {&t.pair.server, &t.server};
    open_two(&t, NULL);
    for (unsigned i = 0; i < 6; i++) {
        write_bytes(t.pair.stream, 10);
        assert_string_equal(words_up(w, up[i % 2], down[i % 2]), "data");
        assert_string_equal(words_down(w, down[(i + 1) % 2], NULL), "");
        assert_string_equal(words_down(w, down[i % 2], up[i % 2]), "data");
    }
    session_world_close(w);
}

static void test_acks_leave_elsewhere_while_that_carrier_is_blocked(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    write_bytes(t.pair.stream, 10);
    words_up(w, &t.client, &t.server);
    tt_endpoint_carrier_blocked(t.pair.far, w->now_us, &t.server, true);
    assert_false(tt_endpoint_wants_send(t.pair.far, &t.server));
    assert_string_equal(words_down(w, &t.pair.server, &t.pair.client), "data");
    write_bytes(t.pair.stream, 10);
    words_up(w, &t.client, &t.server);
    tt_endpoint_carrier_blocked(t.pair.far, w->now_us, &t.server, false);
    assert_string_equal(words_down(w, &t.pair.server, NULL), "");
    assert_string_equal(words_down(w, &t.server, &t.client), "data");
    session_world_close(w);
}

static void test_acks_that_may_have_died_with_a_carrier_are_repeated_on_another(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    write_bytes(t.pair.stream, 10);
    words_up(w, &t.client, &t.server);
    lose_down(w, &t.server);
    assert_string_equal(words_down(w, &t.pair.server, NULL), "");
    tt_queue_packet_conn_detach(&w->server, w->now_us, &t.server);
    assert_false(tt_endpoint_settled(&w->client));
    words_down(w, &t.pair.server, &t.pair.client);
    assert_true(tt_endpoint_settled(&w->client));
    session_world_close(w);
}

static void test_behind_pong_comes_what_has_arrived_though_the_carrier_was_blocked(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    write_bytes(t.pair.stream, 10);
    words_up(w, &t.client, &t.server);
    tt_endpoint_carrier_blocked(t.pair.far, w->now_us, &t.server, true);
    assert_string_equal(words_down(w, &t.pair.server, NULL), "data"); /* the ack is lost */
    tt_liveness_want_answer(&w->client, &t.client, w->now_us);
    assert_string_equal(words_up(w, &t.client, &t.server), "ping");
    assert_string_equal(words_down(w, &t.pair.server, NULL), "");
    assert_false(tt_endpoint_settled(&w->client));
    assert_string_equal(words_down(w, &t.server, &t.client), "pong, data");
    assert_true(tt_endpoint_settled(&w->client));
    session_world_close(w);
}

/* --- from when on a carrier counts (R-19) --- */

static void test_at_the_server_a_carrier_counts_from_its_own_hello_on(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    open_native_pair(&s);
    client_opens(&s.world, &c);
    server_attaches(&s.world, &far);
    assert_null(far.endpoint);
    write_bytes(s.far_stream, 1000);
    assert_string_equal(words_down(&s.world, &far, NULL), "");
    assert_int_equal(s.server.role, TT_CARRIER_ACTIVE); /* nothing was replaced */
    words_up(&s.world, &c, &far);
    assert_true(far.proven);
    assert_string_equal(words_down(&s.world, &far, &c), "hello 1 max 65535 flags 17, data");
    session_world_close(&s.world);
}

static void test_data_without_hello_gives_a_carrier_nothing(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier far;
    open_native_pair(&s);
    write_bytes(s.stream, 10);
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    server_attaches(&s.world, &far);
    give_server(&s.world, &far, tt_span_of(s.world.packet, s.world.packet_len));
    write_bytes(s.far_stream, 10000);
    assert_null(strstr(words_down(&s.world, &far, NULL), "hello"));
    assert_false(far.proven || far.native);
    assert_int_equal(far.path.flying.count, 0);
    session_world_close(&s.world);
}

/* --- STATE (R-32) --- */

static void test_a_new_carrier_names_those_that_died(void **state)
{
    (void)state;
    struct two_carriers t;
    struct tt_carrier c, far;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    tt_endpoint_carrier_close(&w->client, w->now_us, &t.client);
    tt_endpoint_carrier_close(&w->client, w->now_us, &t.pair.client);
    client_opens(w, &c);
    server_attaches(w, &far);
    assert_string_equal(words_up(w, &c, &far),
                        "hello 2 max 65535 flags 21, state 4 of 1, state 4 of 0, data");
    assert_true(t.server.doomed && t.pair.server.doomed);
    assert_false(far.doomed);
    words_down(w, &far, &c);
    /* They are known now: the next does not name them again. */
    client_opens(w, &t.client);
    assert_string_equal(words_up(w, &t.client, NULL), "hello 3 max 65535 flags 21");
    session_world_close(w);
}

static void test_no_more_than_8_are_named(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c;
    open_native_pair(&s);
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &s.client);
    for (unsigned i = 1; i < 12; i++) {
        client_opens(&s.world, &c);
        words_up(&s.world, &c, NULL);
        tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &c);
    }
    client_opens(&s.world, &c);
    assert_string_equal(words_up(&s.world, &c, NULL),
                        "hello 12 max 65535 flags 21, state 4 of 4, state 4 of 5, state 4 of 6, "
                        "state 4 of 7, state 4 of 8, state 4 of 9, state 4 of 10, state 4 of 11, "
                        "data");
    session_world_close(&s.world);
}

static void test_a_server_names_a_carrier_that_it_saw_die(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    write_bytes(t.pair.stream, 10);
    lose_up(w, &t.client);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &t.server);
    words_down(w, &t.pair.server, &t.pair.client);
    assert_ptr_equal(tt_endpoint_next_doomed(&w->client), &t.client);
    tt_endpoint_carrier_close(&w->client, w->now_us, &t.client);
    /* The server knows: it is not told in return. */
    assert_string_equal(words_up(w, &t.pair.client, &t.pair.server), "data");
    session_world_close(w);
}

static void test_nobody_can_be_told_that_his_own_carrier_is_gone(void **state)
{
    (void)state;
    struct two_carriers t;
    open_two(&t, NULL);
    client_hears(&t.pair.world, &t.client, state_of(1, TT_PEER_GONE));
    client_hears(&t.pair.world, &t.client, state_of(77, TT_PEER_GONE));
    assert_null(tt_endpoint_next_doomed(&t.pair.world.client));
    session_world_close(&t.pair.world);
}

static void test_what_the_peer_drains_is_drained_and_then_closed_by_the_client(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    open_two(&t, NULL);
    client_hears(w, &t.client, state_of(1, TT_PEER_DRAINING));
    assert_true(t.client.we_drain);
    write_bytes(t.pair.stream, 10);
    const char *said = words_up(w, &t.client, &t.server);
    assert_string_equal(said, "ping, state 3 of 1"); /* nor is data sent there */
    assert_ptr_equal(tt_endpoint_next_doomed(&w->client), &t.client);
    assert_null(tt_endpoint_next_doomed(t.pair.far)); /* it waits for the client */
    assert_true(t.server.peer_drains);
    session_world_close(w);
}

static void test_the_only_carrier_is_not_drained(void **state)
{
    (void)state;
    struct session_pair s;
    open_native_pair(&s);
    client_hears(&s.world, &s.client, state_of(0, TT_PEER_DRAINING));
    assert_false(s.client.we_drain);
    write_bytes(s.stream, 10);
    assert_string_equal(words_up(&s.world, &s.client, NULL), "data");
    session_world_close(&s.world);
}

static void test_a_spare_carrier_is_fed_nothing_until_it_is_the_last(void **state)
{
    (void)state;
    struct two_carriers t;
    struct session_world *w = &t.pair.world;
    struct session_setup setup = native_setup();
    setup.client.standby = 1;
    open_two(&t, &setup);
    assert_true(t.client.standby && t.server.standby);
    write_bytes(t.pair.stream, 10);
    assert_string_equal(words_up(w, &t.client, NULL), "");
    assert_string_equal(words_up(w, &t.pair.client, NULL), "data");
    tt_endpoint_carrier_close(&w->client, w->now_us, &t.pair.client);
    assert_string_equal(words_up(w, &t.client, &t.server), "state 4 of 0, state 1 of 1, data");
    assert_false(t.client.standby || t.server.standby);
    session_world_close(w);
}

/* --- LIMIT (R-26) --- */

static const struct tt_carrier_limits limited = {
    .ordered = true, .max_packet = 65535, .max_bytes_down = 20000, .max_age_us = 7 * TT_SECOND - 1};

/* The limit is the client's, the server has none of its own. */
static void open_limited(struct session_pair *s)
{
    struct session_setup setup = native_setup();
    setup.limits = &limited;
    session_world_open(&s->world, &setup);
    client_opens(&s->world, &s->client);
    s->world.limits = &wide_limits;
    server_attaches(&s->world, &s->server);
    s->stream = client_stream(&s->world, 10);
    carry_all(&s->world, &s->client, &s->server);
    s->far = &accept_session(&s->world)->endpoint;
    assert_int_equal(tt_smux_accept(&s->far->smux, &s->far_stream), TT_OK);
}

static void test_the_limit_stands_behind_hello(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    struct session_setup setup = native_setup();
    setup.limits = &limited;
    session_world_open(&w, &setup);
    client_opens(&w, &c);
    assert_string_equal(words_up(&w, &c, NULL),
                        "hello 0 max 65535 flags 17, limit 20000 bytes 7 s");
    session_world_close(&w);
}

static void test_a_server_sends_no_more_than_the_limit_and_says_so(void **state)
{
    (void)state;
    struct session_pair s;
    open_limited(&s);
    assert_int_equal(s.server.peer_max_bytes, 20000);
    write_bytes(s.far_stream, 100000);
    const char *said = words_down(&s.world, &s.server, &s.client);
    assert_non_null(strstr(said, "state 3 of 0"));
    assert_true(s.server.spent);
    assert_in_range(s.server.taken_bytes, 20000 - 1400 - 256 - 1400, 20000);
    session_world_close(&s.world);
}

static void test_a_server_sends_no_longer_than_the_limit(void **state)
{
    (void)state;
    struct session_pair s;
    open_limited(&s);
    s.world.now_us += 7 * TT_SECOND - 1;
    write_bytes(s.far_stream, 10);
    assert_string_equal(words_down(&s.world, &s.server, NULL), "data");
    s.world.now_us += 1;
    write_bytes(s.far_stream, 10);
    const char *said = words_down(&s.world, &s.server, NULL);
    assert_non_null(strstr(said, "state 3 of 0"));
    assert_null(strstr(said, "data"));
    session_world_close(&s.world);
}

static void test_the_last_limit_counts(void **state)
{
    (void)state;
    struct session_pair s;
    open_limited(&s);
    server_hears(&s.world, &s.server, (struct tt_control){.type = TT_CONTROL_LIMIT});
    assert_int_equal(s.server.peer_max_bytes, 0);
    assert_int_equal(s.server.peer_until_us, TT_NEVER);
    session_world_close(&s.world);
}

/* --- the option to be a legacy end --- */

static void test_a_legacy_end_sends_no_control_packet_and_understands_none(void **state)
{
    (void)state;
    const struct tt_control said[] = {hello(0, 65535, TT_HELLO_UNKNOWN),
                                      ping,
                                      close_done,
                                      state_of(1, TT_PEER_GONE),
                                      {.type = TT_CONTROL_LIMIT, .limit = {.bytes = 1}}};
    struct session_pair s;
    open_pair(&s);
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        client_hears(&s.world, &s.client, said[i]);
        server_hears(&s.world, &s.server, said[i]);
    }
    (void)give_client(&s.world, &s.client, tt_span_of("\xff", 1));
    give_server(&s.world, &s.server, tt_span_of("\xff", 1));
    write_bytes(s.stream, 10000);
    write_bytes(s.far_stream, 10000);
    carry_all(&s.world, &s.client, &s.server);
    assert_true(tt_endpoint_settled(&s.world.client) && tt_endpoint_settled(s.far));
    assert_false(s.client.native || s.server.native || s.client.doomed || s.server.doomed);
    assert_int_equal(s.world.client.stats.control_out + s.far->stats.control_out, 0);
    session_world_close(&s.world);
}

/* --- memory --- */

/* Doomed carriers are closed at both ends, and others take their place. */
static void renew_doomed(struct session_world *w, struct tt_carrier *c, struct tt_carrier *far)
{
    if (!c->doomed && !far->doomed && c->endpoint && far->endpoint)
        return;
    if (c->endpoint)
        tt_endpoint_carrier_close(&w->client, w->now_us, c);
    tt_queue_packet_conn_detach(&w->server, w->now_us, far);
    client_opens(w, c);
    server_attaches(w, far);
}

/* What a program at the server does: it takes what there is, and answers each stream once. */
static void serve(struct session_world *w)
{
    static const uint8_t data[3000];
    struct tt_server_session *s;
    struct tt_smux_stream *stream;
    size_t len;
    if (tt_queue_packet_conn_accept(&w->server, &s) == TT_OK)
        s->user = s;
    while ((s = tt_queue_packet_conn_next_dirty(&w->server)) != NULL) {
        while (tt_smux_accept(&s->endpoint.smux, &stream) == TT_OK)
            (void)tt_smux_write(stream, data, sizeof(data), &len);
        tt_queue_packet_conn_touched(&w->server, w->now_us, s);
        (void)tt_queue_packet_conn_next_dirty(&w->server);
        tt_queue_packet_conn_flushed(&w->server, s);
    }
}

static void second_passes(struct session_world *w, struct tt_carrier *c, struct tt_carrier *far)
{
    w->now_us += TT_SECOND;
    (void)tt_endpoint_handle_timeout(&w->client, w->now_us);
    tt_queue_packet_conn_handle_timeout(&w->server, w->now_us);
    for (unsigned i = 0; i < 2; i++)
        renew_doomed(w, &c[i], &far[i]);
    for (unsigned i = 0; i < 4; i++) {
        carry_all(w, &c[i % 2], &far[i % 2]);
        serve(w);
    }
}

static void test_every_refused_allocation_of_two_carriers_is_survived(void **state)
{
    (void)state;
    bool refused = true;
    for (size_t n = 0; refused; n++) {
        struct session_world w;
        struct tt_carrier c[2], far[2];
        struct tt_smux_stream *stream = NULL;
        size_t len;
        struct session_setup setup = native_setup();
        static const uint8_t data[20000];
        setup.client.carriers = 2;
        session_world_open(&w, &setup);
        w.memory.fail_at = n;
        for (unsigned i = 0; i < 2; i++) {
            client_opens(&w, &c[i]);
            server_attaches(&w, &far[i]);
        }
        for (unsigned i = 0; i < 12; i++) {
            if (stream || tt_smux_open(&w.client.smux, &stream) == TT_OK)
                (void)tt_smux_write(stream, data, i < 4 ? sizeof(data) : 0, &len);
            second_passes(&w, c, far);
        }
        refused = w.memory.refused;
        assert_int_equal(w.client.error, 0);
        assert_true(w.client.native && stream && tt_endpoint_settled(&w.client));
        session_world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_is_the_first_packet_on_every_carrier),
        cmocka_unit_test(test_later_carriers_say_that_the_session_exists),
        cmocka_unit_test(test_a_hello_without_a_session_is_answered_and_begins_none),
        cmocka_unit_test(test_carriers_are_numbered_in_order_and_no_number_is_used_twice),
        cmocka_unit_test(test_a_server_says_nothing_on_a_carrier_without_hello),
        cmocka_unit_test(test_a_client_says_nothing_but_hello_to_a_legacy_server),
        cmocka_unit_test(test_a_control_packet_that_makes_no_sense_ends_its_carrier),
        cmocka_unit_test(test_the_same_before_there_is_a_session),
        cmocka_unit_test(test_a_second_hello_is_answered_on_datagrams_only),
        cmocka_unit_test(test_a_hello_that_may_be_lost_is_sent_3_times),
        cmocka_unit_test(test_a_hello_that_was_answered_is_not_sent_again),
        cmocka_unit_test(test_a_carrier_of_a_native_session_whose_hello_stays_unanswered_is_closed),
        cmocka_unit_test(test_it_is_also_closed_when_the_session_proves_native_later),
        cmocka_unit_test(test_a_carrier_that_is_too_small_for_a_segment_ends),
        cmocka_unit_test(test_packets_are_as_long_as_the_peer_takes),
        cmocka_unit_test(test_what_a_hello_says_of_packets_is_kept),
        cmocka_unit_test(test_without_the_promise_timers_stay),
        cmocka_unit_test(test_control_packets_pass_data_that_waits),
        cmocka_unit_test(test_there_is_one_answer_a_millisecond),
        cmocka_unit_test(test_a_pong_goes_where_its_ping_came),
        cmocka_unit_test(test_a_session_that_the_server_does_not_know_is_lost),
        cmocka_unit_test(test_it_is_not_lost_when_another_carrier_brought_something),
        cmocka_unit_test(test_a_second_carrier_is_wanted_once_the_server_has_the_session),
        cmocka_unit_test(test_when_none_is_left_they_come_one_at_a_time),
        cmocka_unit_test(test_close_is_sent_when_all_is_acknowledged),
        cmocka_unit_test(test_close_counts_when_it_came_on_every_carrier),
        cmocka_unit_test(test_close_counts_when_the_carrier_without_it_has_gone),
        cmocka_unit_test(test_a_server_keeps_but_the_id_of_a_session_that_is_over),
        cmocka_unit_test(test_both_ends_may_close),
        cmocka_unit_test(test_an_id_too_many_is_not_remembered),
        cmocka_unit_test(test_of_too_many_ids_the_oldest_is_forgotten),
        cmocka_unit_test(test_an_id_takes_less_than_a_hundred_bytes),
        cmocka_unit_test(test_a_client_may_begin_anew_when_its_id_is_forgotten),
        cmocka_unit_test(test_every_refused_allocation_leaves_a_session_that_is_over),
        cmocka_unit_test(test_a_session_is_over_though_there_is_no_memory_for_its_id),
        cmocka_unit_test(test_an_abort_waits_for_nothing),
        cmocka_unit_test(test_what_the_peer_threw_away_is_sent_again_and_counted),
        cmocka_unit_test(test_the_barrier_waits_for_the_slowest_carrier),
        cmocka_unit_test(test_what_left_behind_the_question_is_not_thrown_away),
        cmocka_unit_test(test_acks_leave_where_the_data_came),
        cmocka_unit_test(test_acks_leave_elsewhere_while_that_carrier_is_blocked),
        cmocka_unit_test(test_acks_that_may_have_died_with_a_carrier_are_repeated_on_another),
        cmocka_unit_test(test_behind_pong_comes_what_has_arrived_though_the_carrier_was_blocked),
        cmocka_unit_test(test_at_the_server_a_carrier_counts_from_its_own_hello_on),
        cmocka_unit_test(test_data_without_hello_gives_a_carrier_nothing),
        cmocka_unit_test(test_a_new_carrier_names_those_that_died),
        cmocka_unit_test(test_no_more_than_8_are_named),
        cmocka_unit_test(test_a_server_names_a_carrier_that_it_saw_die),
        cmocka_unit_test(test_nobody_can_be_told_that_his_own_carrier_is_gone),
        cmocka_unit_test(test_what_the_peer_drains_is_drained_and_then_closed_by_the_client),
        cmocka_unit_test(test_the_only_carrier_is_not_drained),
        cmocka_unit_test(test_a_spare_carrier_is_fed_nothing_until_it_is_the_last),
        cmocka_unit_test(test_the_limit_stands_behind_hello),
        cmocka_unit_test(test_a_server_sends_no_more_than_the_limit_and_says_so),
        cmocka_unit_test(test_a_server_sends_no_longer_than_the_limit),
        cmocka_unit_test(test_the_last_limit_counts),
        cmocka_unit_test(test_a_legacy_end_sends_no_control_packet_and_understands_none),
        cmocka_unit_test(test_every_refused_allocation_of_two_carriers_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
