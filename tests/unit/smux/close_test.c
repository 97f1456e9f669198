/* How streams end: half close, full close, in every order; legacy peers. */
#include <turbotunnel/error.h>

#include "test.h"
#include "world.h"

static struct tt_smux_config legacy(bool client, uint8_t version)
{
    struct tt_smux_config c = world_config(client, version);
    c.legacy_peer = true;
    return c;
}

static void expect_end(struct tt_smux_stream *s)
{
    uint8_t byte;
    size_t len;
    assert_int_equal(tt_smux_read(s, &byte, 1, &len), TT_E_END);
}

static void expect_gone(struct world *w)
{
    assert_int_equal(w->client.m.streams.count, 0);
    assert_int_equal(w->server.m.streams.count, 0);
    assert_true(tt_smux_settled(&w->client.m));
    assert_true(tt_smux_settled(&w->server.m));
    assert_int_equal(w->client.m.lingering_streams, 0);
    assert_int_equal(w->client.slabs.live_bytes, 0);
    assert_int_equal(w->server.slabs.live_bytes, 0);
    assert_int_equal(w->client.m.receive_tokens, w->client.m.config.max_receive_buffer);
    assert_int_equal(w->server.m.receive_tokens, w->server.m.config.max_receive_buffer);
}

/* --- every order --- */

enum action { CLIENT_SHUTS, CLIENT_CLOSES, SERVER_SHUTS, SERVER_CLOSES, ACTIONS };

#define CLIENT_DATA 300000u /* more than the first window */
#define SERVER_DATA 1000u

struct play {
    struct world w;
    struct tt_smux_stream *client, *server; /* NULL: closed */
    uint64_t client_read, server_read;
};

static uint64_t read_all(struct tt_smux_stream *s, uint64_t at)
{
    const size_t n = tt_smux_readable_bytes(s);
    read_pattern(s, at, n);
    return at + n;
}

/* Both applications that still have the stream read until nothing more comes. */
static void play_on(struct play *p)
{
    for (bool more = true; more;) {
        const uint64_t before = p->client_read + p->server_read;
        world_settle(&p->w);
        if (p->client)
            p->client_read = read_all(p->client, p->client_read);
        if (p->server)
            p->server_read = read_all(p->server, p->server_read);
        more = p->client_read + p->server_read > before;
    }
}

static void play_action(struct play *p, enum action action)
{
    struct tt_smux_stream **s =
        action == CLIENT_SHUTS || action == CLIENT_CLOSES ? &p->client : &p->server;
    if (!*s)
        return; /* closed before: nothing is left to be shut down */
    if (action == CLIENT_SHUTS || action == SERVER_SHUTS) {
        assert_int_equal(tt_smux_shutdown(*s), TT_OK);
        assert_int_equal(tt_smux_shutdown(*s), TT_E_SHUT);
        return;
    }
    tt_smux_close(*s);
    *s = NULL;
}

/* One order of the four; bit i of settled: all is delivered and read after action i; bit 4: before
 * the first. */
static void play(const enum action order[ACTIONS], unsigned settled, uint8_t version,
                 bool is_legacy)
{
    struct play p = {.client_read = 0};
    struct tt_smux_stream *s;
    unsigned events;

    world_begin_with(&p.w, is_legacy ? legacy(true, version) : world_config(true, version),
                     is_legacy ? legacy(false, version) : world_config(false, version));
    world_open(&p.w, &p.client, &p.server);
    write_pattern(p.client, 0, CLIENT_DATA);
    write_pattern(p.server, 0, SERVER_DATA);
    if (settled & 1u << ACTIONS)
        play_on(&p);
    bool client_reads = true, server_reads = true;
    for (unsigned i = 0; i < ACTIONS; i++) {
        play_action(&p, order[i]);
        if (settled & 1u << i)
            play_on(&p);
        client_reads = client_reads && (p.client || p.client_read == SERVER_DATA);
        server_reads = server_reads && (p.server || p.server_read == CLIENT_DATA);
    }
    play_on(&p);
    assert_int_equal(p.client_read == SERVER_DATA, client_reads);
    assert_int_equal(p.server_read == CLIENT_DATA, server_reads);
    expect_gone(&p.w);
    assert_false(tt_smux_next_event(&p.w.client.m, &s, &events));
    assert_false(tt_smux_next_event(&p.w.server.m, &s, &events));
    world_end(&p.w);
}

static void test_streams_end_whole_in_every_order(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 256; n++) {
        const enum action order[ACTIONS] = {n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3};
        unsigned seen = 0;
        for (unsigned i = 0; i < ACTIONS; i++)
            seen |= 1u << order[i];
        if (seen != (1u << ACTIONS) - 1)
            continue;
        for (unsigned settled = 0; settled < 1u << (ACTIONS + 1); settled++) {
            /* Half of them with legacy peers; version 1 has no window, so one in four is enough. */
            play(order, settled, 2, (settled ^ settled >> 2 ^ n >> 1) & 1);
            if (settled % 4 == n % 4)
                play(order, settled, 1, settled % 8 > 3);
        }
    }
}

/* --- half close --- */

/* S-19, S-20 */
static void test_the_other_direction_goes_on_after_half_close(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        size_t n;

        world_begin(&w, version);
        world_open(&w, &c, &s);
        write_pattern(c, 0, 1000);
        assert_int_equal(tt_smux_shutdown(c), TT_OK);
        assert_int_equal(tt_smux_write(c, "x", 1, &n), TT_E_SHUT);
        world_settle(&w);
        read_pattern(s, 0, 1000);
        expect_end(s);
        expect_end(s);
        for (uint64_t at = 0; at < 1000000; at += 50000) {
            write_pattern(s, at, 50000);
            world_settle(&w);
            read_pattern(c, at, 50000);
            world_settle(&w);
        }
        tt_smux_close(s);
        world_settle(&w);
        expect_end(c);
        assert_true(events_of(c) & TT_SMUX_FINISHED);
        tt_smux_close(c);
        expect_gone(&w);
        world_end(&w);
    }
}

/* S-18, S-35: S1516 lets FIN overtake data. */
static void test_data_behind_an_end_is_reported_and_read(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;

    world_begin(&w, 2);
    world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 3));
    assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
    world_feed(&w, &w.server, make_frame(2, TT_SMUX_FIN, 0, 3));
    assert_int_equal(events_of(s), TT_SMUX_READABLE);
    expect_end(s);
    world_feed(&w, &w.server, make_frame(2, TT_SMUX_PSH, 1, 3));
    world_feed(&w, &w.server, tt_span_of("\0", 1));
    assert_int_equal(events_of(s), TT_SMUX_READABLE);
    read_pattern(s, 0, 1);
    expect_end(s);
    world_end(&w);
}

/* FINISHED comes once: when both have ended and FIN is acknowledged, whichever is last. */
static void test_finished_is_reported_when_both_sides_have_ended(void **state)
{
    (void)state;
    for (int peer_first = 0; peer_first <= 1; peer_first++) {
        struct world w;
        struct tt_smux_stream *c, *s;

        world_begin(&w, 2);
        world_open(&w, &c, &s);
        w.no_acks = true;
        if (peer_first) {
            tt_smux_shutdown(s);
            world_settle(&w);
        }
        tt_smux_shutdown(c);
        world_settle(&w);
        assert_int_equal(events_of(c), peer_first ? TT_SMUX_READABLE : 0);
        tt_smux_acked(&w.client.m, w.client.m.sent_offset);
        assert_int_equal(events_of(c), peer_first ? TT_SMUX_FINISHED : 0);
        assert_true(tt_smux_stream_settled(c));
        if (!peer_first) {
            tt_smux_shutdown(s);
            world_settle(&w);
            assert_int_equal(events_of(c), TT_SMUX_READABLE | TT_SMUX_FINISHED);
        }
        world_feed(&w, &w.client, make_frame(2, TT_SMUX_FIN, 0, 3));
        assert_int_equal(events_of(c), 0);
        world_end(&w);
    }
}

/* --- legacy peers --- */

static void test_a_legacy_version_2_peer_gets_a_wide_window_before_our_end(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin_with(&w, legacy(true, 2), world_config(false, 2));
    world_open(&w, &c, &s);
    write_pattern(c, 0, 10);
    tt_smux_shutdown(c);
    world_send(&w, &w.client, SIZE_MAX);
    assert_int_equal(w.client.wire_len, 18 + 16); /* FIN waits for the acknowledgement */
    w.no_acks = true;
    world_settle(&w);
    const uint64_t sent = w.client.m.sent_offset;
    tt_smux_acked(&w.client.m, sent - 1);
    assert_false(tt_smux_wants_send(&w.client.m));
    tt_smux_acked(&w.client.m, sent);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "FIN 3");

    /* Later updates say no less. */
    write_pattern(s, 0, 100000);
    world_settle(&w);
    read_pattern(c, 0, 100000);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "UPD 3 100000/1073741824");
    world_end(&w);
}

static void test_the_wide_window_is_what_is_told(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin_with(&w, legacy(true, 2), world_config(false, 2));
    world_open(&w, &c, &s);
    write_pattern(s, 0, 300000);
    world_settle(&w);
    read_pattern(c, 0, 1000);
    tt_smux_shutdown(c);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "UPD 3 1000/1073741824");
    world_end(&w);
}

/* The reason for all this: an echo that is 4 MB behind when our input ends, and is not read
 * meanwhile. */
static void test_a_legacy_peer_far_behind_never_waits_after_our_end(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config client = legacy(true, 2), server = world_config(false, 2);

    client.max_receive_buffer = 8u << 20;
    server.max_send_buffer = 5u << 20;
    world_begin_with(&w, client, server);
    world_open(&w, &c, &s);
    write_pattern(s, 0, 5000000);
    world_settle(&w);
    assert_int_equal(tt_smux_unsent_bytes(s), 5000000 - 262144);
    tt_smux_shutdown(c);
    world_settle(&w);
    assert_int_equal(tt_smux_unsent_bytes(s), 0);
    expect_end(s);
    read_pattern(c, 0, 5000000);
    world_end(&w);
}

static void test_a_legacy_version_1_peer_gets_our_end_at_once(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin_with(&w, legacy(true, 1), world_config(false, 1));
    world_open(&w, &c, &s);
    write_pattern(c, 0, 10);
    tt_smux_shutdown(c);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "PSH 3 10, FIN 3");
    world_end(&w);
}

/* Scur loses what its reader has not taken when our FIN meets its own. */
static void test_to_a_legacy_peer_that_has_ended_our_end_waits_for_our_data(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        for (int full = 0; full <= 1; full++) {
            struct world w;
            struct tt_smux_stream *c, *s;

            world_begin_with(&w, legacy(true, version), world_config(false, version));
            world_open(&w, &c, &s);
            tt_smux_shutdown(s);
            world_settle(&w);
            write_pattern(c, 0, 10);
            if (full)
                tt_smux_close(c);
            else
                tt_smux_shutdown(c);
            world_send(&w, &w.client, SIZE_MAX);
            assert_string_equal(wire_text(&w.client), "PSH 3 10");
            tt_smux_acked(&w.client.m, w.client.m.sent_offset);
            world_send(&w, &w.client, SIZE_MAX);
            assert_string_equal(wire_text(&w.client), "FIN 3");
            assert_int_equal(w.client.m.streams.count, full ? 0 : 1);
            world_end(&w);
        }
    }
}

static void test_our_end_does_not_wait_for_what_was_acknowledged_before(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s, *c2, *s2;

    world_begin_with(&w, legacy(true, 2), world_config(false, 2));
    world_open(&w, &c, &s);
    world_open(&w, &c2, &s2);
    tt_smux_shutdown(s);
    write_pattern(c, 0, 10);
    world_settle(&w);
    write_pattern(c2, 0, 10); /* another stream's data is under way */
    world_send(&w, &w.client, SIZE_MAX);
    tt_smux_shutdown(c);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "PSH 5 10, FIN 3");
    world_end(&w);
}

/* Data of later streams that wait for acknowledgement does not come before that of earlier ones. */
static void test_many_streams_wait_for_their_acknowledgements_in_order(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c[20], *s;

    world_begin_with(&w, legacy(true, 2), world_config(false, 2));
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        world_open(&w, &c[i], &s);
        if (i % 3 == 0) {
            tt_smux_close(s); /* the peer has ended this one */
            world_settle(&w);
        }
        write_pattern(c[i], 0, 100);
    }
    w.no_acks = true;
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        tt_smux_shutdown(c[ARRAY_LEN(c) - 1 - i]);
    uint64_t acked = w.client.m.acked_offset;
    while (!tt_smux_settled(&w.client.m)) {
        world_settle(&w);
        assert_in_range(acked, 0, w.client.m.sent_offset - 1);
        tt_smux_acked(&w.client.m, ++acked);
    }
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        assert_true(tt_smux_stream_settled(c[i]));
    world_end(&w);
}

/* --- full close --- */

/* S-21, and where the number is free again: when FIN is acknowledged, or both have ended. */
static void test_a_closed_stream_is_forgotten_when_its_end_is_known(void **state)
{
    (void)state;
    for (int peer_ends = 0; peer_ends <= 1; peer_ends++) {
        struct world w;
        struct tt_smux_stream *c, *s;

        world_begin(&w, 2);
        world_open(&w, &c, &s);
        w.no_acks = true;
        tt_smux_close(s);
        assert_int_equal(w.server.m.streams.count, 1);
        world_send(&w, &w.server, SIZE_MAX);
        assert_int_equal(w.server.m.streams.count, 1);
        world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 3)); /* still the old one */
        assert_int_equal(w.server.m.accept_waiting, 0);
        if (peer_ends)
            world_feed(&w, &w.server, make_frame(2, TT_SMUX_FIN, 0, 3));
        else
            tt_smux_acked(&w.server.m, w.server.m.sent_offset);
        assert_int_equal(w.server.m.streams.count, 0);
        world_feed(&w, &w.server, make_frame(2, TT_SMUX_PSH, 2, 3));
        world_feed(&w, &w.server, tt_span_of("ab", 2));
        world_feed(&w, &w.server, make_frame(2, TT_SMUX_FIN, 0, 3));
        assert_int_equal(w.server.m.stats.ignored_frames, 2);
        world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 3)); /* a new one */
        assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
        assert_int_equal(tt_smux_readable_bytes(s), 0);
        world_end(&w);
    }
}

/* The stream may go while one of its frames is coming in. */
static void test_a_stream_may_be_forgotten_in_the_middle_of_a_frame(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    world_feed(&w, &w.server, make_frame(2, TT_SMUX_PSH, 4, 3));
    world_feed(&w, &w.server, tt_span_of("ab", 2));
    tt_smux_close(s);
    world_send(&w, &w.server, SIZE_MAX);
    tt_smux_acked(&w.server.m, w.server.m.sent_offset);
    assert_int_equal(w.server.m.streams.count, 0);
    assert_int_equal(world_feed(&w, &w.server, tt_span_of("cd", 2)), TT_OK);
    assert_int_equal(world_feed(&w, &w.server, make_frame(2, TT_SMUX_NOP, 0, 0)), TT_OK);
    world_end(&w);
}

static void test_what_is_unsent_at_close_is_still_sent(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 900000);
    tt_smux_close(c);
    for (uint64_t at = 0; at < 900000; world_settle(&w))
        at = read_all(s, at);
    expect_end(s);
    tt_smux_close(s);
    world_settle(&w);
    expect_gone(&w);
    world_end(&w);
}

/* A peer that sends much before it looks for our end is not stuck: what we throw away is credited.
 */
static void test_a_closed_stream_keeps_its_peer_sending_until_the_end_is_known(void **state)
{
    (void)state;
    for (int large = 0; large <= 1; large++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        struct tt_smux_config client = world_config(true, 2);

        if (large)
            client.max_stream_buffer = client.max_receive_buffer = 4u << 20;
        world_begin_with(&w, client, world_config(false, 2));
        world_open(&w, &c, &s);
        write_pattern(s, 0, 100000);
        world_settle(&w);
        w.no_acks = true; /* our FIN is under way for long */
        write_pattern(c, 0, 1000000);
        tt_smux_close(c);
        for (uint64_t at = 100000; at < 3000000; at += 100000) {
            write_pattern(s, at, 100000);
            world_settle(&w);
            assert_int_equal(tt_smux_unsent_bytes(s), 0);
        }
        assert_int_equal(w.client.m.receive_tokens, client.max_receive_buffer);
        world_end(&w);
    }
}

/* Everything that could be reported happens to it, while it is still there. */
static void test_a_closed_stream_reports_nothing(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s, *other;
    struct tt_smux_config client = world_config(true, 2);
    unsigned events;
    size_t n;

    client.max_send_buffer = 300000;
    world_begin_with(&w, client, world_config(false, 2));
    world_open(&w, &c, &s);
    write_pattern(c, 0, 300000);
    assert_int_equal(tt_smux_write(c, "x", 1, &n), TT_E_FULL);
    write_pattern(s, 0, 10);
    world_settle(&w); /* READABLE and WRITABLE were not taken */
    tt_smux_close(c);
    assert_false(tt_smux_next_event(&w.client.m, &other, &events));
    write_pattern(s, 10, 10);
    tt_smux_shutdown(s);
    world_settle(&w);
    assert_int_equal(w.client.m.streams.count, 1);
    assert_int_equal(w.client.m.receive_tokens, client.max_receive_buffer);
    read_pattern(s, 0, 262144);
    w.no_acks = true;
    world_send(&w, &w.server, SIZE_MAX);
    world_deliver(&w, &w.server, SIZE_MAX, SIZE_MAX);
    w.max_len = 1000;
    world_send(&w, &w.client, 30000);
    assert_int_equal(w.client.m.streams.count, 1);
    assert_false(tt_smux_next_event(&w.client.m, &other, &events));
    world_end(&w);
}

static void test_a_peer_that_has_ended_gets_no_updates(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 200000);
    tt_smux_shutdown(c);
    world_settle(&w);
    read_pattern(s, 0, 200000);
    assert_false(tt_smux_wants_send(&w.server.m));
    world_end(&w);
}

/* S1516 closes fully at its FIN and sends no more updates: what cannot be sent is not kept for
 * ever. */
static void test_closed_streams_that_are_stuck_do_not_pile_up(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c[100], *s;
    const size_t most = 64;

    world_begin_with(&w, legacy(true, 2), world_config(false, 2));
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_int_equal(tt_smux_open(&w.client.m, &c[i]), TT_OK);
        write_pattern(c[i], 0, 262144 + 10);
        world_settle(&w);
        assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
        read_pattern(s, 0, 0);
        tt_smux_received_clear(&w.server.m, &s->received); /* gone without an update */
        const uint32_t sid = tt_smux_stream_id(c[i]);
        tt_smux_close(c[i]);
        assert_int_equal(w.client.m.lingering_streams, i < most ? i : most); /* it may still read */
        world_feed(&w, &w.client, make_frame(2, TT_SMUX_FIN, 0, sid));
        world_settle(&w);
        assert_in_range(w.client.m.lingering_streams, 0, most);
        assert_in_range(w.client.m.streams.count, 0, most);
    }
    assert_int_equal(w.client.m.stats.abandoned_bytes, (ARRAY_LEN(c) - most) * 10);
    assert_int_equal(w.client.m.unsent_bytes, most * 10);
    world_end(&w);
}

/* A peer that has only ended its writing reads on, and gets all. */
static void test_a_stuck_stream_goes_on_when_its_window_opens(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 300000);
    tt_smux_shutdown(s);
    world_settle(&w);
    tt_smux_close(c);
    world_settle(&w);
    assert_int_equal(w.client.m.lingering_streams, 1);
    read_pattern(s, 0, 262144);
    world_settle(&w);
    assert_int_equal(w.client.m.lingering_streams, 0);
    read_pattern(s, 262144, 300000 - 262144);
    expect_end(s);
    tt_smux_close(s);
    world_settle(&w);
    expect_gone(&w);
    world_end(&w);
}

/* Streams of every kind are there when the session goes. */
static void test_a_session_may_end_with_streams_in_every_state(void **state)
{
    (void)state;
    for (int step = 0; step < 8; step++) {
        struct world w;
        struct tt_smux_stream *c, *s, *other;

        world_begin_with(&w, legacy(true, 2), legacy(false, 2));
        world_open(&w, &c, &s);
        assert_int_equal(tt_smux_open(&w.client.m, &other), TT_OK);
        write_pattern(c, 0, 300000);
        write_pattern(s, 0, 300000);
        if (step > 0)
            world_settle(&w);
        if (step > 1)
            tt_smux_shutdown(c);
        if (step > 2)
            world_send(&w, &w.client, 1);
        if (step > 3)
            tt_smux_close(s);
        if (step > 4)
            world_settle(&w);
        if (step > 5)
            tt_smux_close(c);
        if (step > 6)
            world_settle(&w);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_end_whole_in_every_order),
        cmocka_unit_test(test_the_other_direction_goes_on_after_half_close),
        cmocka_unit_test(test_data_behind_an_end_is_reported_and_read),
        cmocka_unit_test(test_finished_is_reported_when_both_sides_have_ended),
        cmocka_unit_test(test_a_legacy_version_2_peer_gets_a_wide_window_before_our_end),
        cmocka_unit_test(test_the_wide_window_is_what_is_told),
        cmocka_unit_test(test_a_legacy_peer_far_behind_never_waits_after_our_end),
        cmocka_unit_test(test_a_legacy_version_1_peer_gets_our_end_at_once),
        cmocka_unit_test(test_to_a_legacy_peer_that_has_ended_our_end_waits_for_our_data),
        cmocka_unit_test(test_our_end_does_not_wait_for_what_was_acknowledged_before),
        cmocka_unit_test(test_many_streams_wait_for_their_acknowledgements_in_order),
        cmocka_unit_test(test_a_closed_stream_is_forgotten_when_its_end_is_known),
        cmocka_unit_test(test_a_stream_may_be_forgotten_in_the_middle_of_a_frame),
        cmocka_unit_test(test_what_is_unsent_at_close_is_still_sent),
        cmocka_unit_test(test_a_closed_stream_keeps_its_peer_sending_until_the_end_is_known),
        cmocka_unit_test(test_a_closed_stream_reports_nothing),
        cmocka_unit_test(test_a_peer_that_has_ended_gets_no_updates),
        cmocka_unit_test(test_closed_streams_that_are_stuck_do_not_pile_up),
        cmocka_unit_test(test_a_stuck_stream_goes_on_when_its_window_opens),
        cmocka_unit_test(test_a_session_may_end_with_streams_in_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
