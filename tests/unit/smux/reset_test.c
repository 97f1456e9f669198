/* RST: a stream that is over both ways at once (native.md R-30). */
#include <turbotunnel/error.h>

#include "test.h"
#include "world.h"

struct scene {
    struct world w;
    struct tt_smux_stream *client, *server;
};

static void open_scene(struct scene *x, uint8_t version)
{
    struct tt_smux_config client = world_config(true, version);
    struct tt_smux_config server = world_config(false, version);
    client.accepts_resets = server.accepts_resets = true;
    world_begin_with(&x->w, client, server);
    tt_smux_peer_is_native(&x->w.client.m);
    tt_smux_peer_is_native(&x->w.server.m);
    tt_smux_peer_resets(&x->w.client.m);
    tt_smux_peer_resets(&x->w.server.m);
    assert_int_equal(tt_smux_open(&x->w.client.m, &x->client), TT_OK);
    world_settle(&x->w);
    assert_int_equal(tt_smux_accept(&x->w.server.m, &x->server), TT_OK);
}

static void write_some(struct tt_smux_stream *s, size_t len)
{
    static const uint8_t zeroes[100000];
    size_t taken;
    assert_int_equal(tt_smux_write(s, zeroes, len, &taken), TT_OK);
    assert_int_equal(taken, len);
}

static void expect_reset(struct tt_smux_stream *s, uint32_t code)
{
    uint8_t byte;
    size_t len;
    assert_int_equal(tt_smux_read(s, &byte, 1, &len), TT_E_RESET);
    assert_int_equal(tt_smux_write(s, "x", 1, &len), TT_E_RESET);
    assert_int_equal(tt_smux_shutdown(s), TT_E_RESET);
    assert_int_equal(tt_smux_reset_code(s), code);
}

static void expect_gone(const struct world *w)
{
    assert_int_equal(w->client.m.streams.count, 0);
    assert_int_equal(w->server.m.streams.count, 0);
    assert_true(tt_smux_settled(&w->client.m));
    assert_true(tt_smux_settled(&w->server.m));
    assert_int_equal(w->client.m.unsent_bytes, 0);
    assert_int_equal(w->server.m.unsent_bytes, 0);
}

static void test_the_peer_learns_the_code(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct scene x;
        open_scene(&x, version);
        tt_smux_reset(x.client, 0x04030201);
        world_send(&x.w, &x.w.client, SIZE_MAX);
        static const uint8_t body[] = {4, 0, 3, 0, 0, 0, 1, 2, 3, 4};
        assert_int_equal(x.w.client.wire_len, 12);
        assert_int_equal(x.w.client.wire[0], version);
        assert_int_equal(x.w.client.wire[1], 5);
        assert_memory_equal(x.w.client.wire + 2, body, sizeof body);
        world_settle(&x.w);
        expect_reset(x.server, 0x04030201);
        tt_smux_close(x.server);
        world_settle(&x.w);
        expect_gone(&x.w);
        world_end(&x.w);
    }
}

static void test_what_had_arrived_can_be_read_and_what_was_unsent_is_dropped(void **state)
{
    (void)state;
    struct scene x;
    uint8_t buf[2000];
    size_t len;
    open_scene(&x, 2);
    write_some(x.client, 1000);
    world_settle(&x.w);
    write_some(x.client, 50000);
    write_some(x.server, 50000);
    tt_smux_reset(x.client, 5);
    world_settle(&x.w);
    assert_int_equal(tt_smux_read(x.server, buf, sizeof buf, &len), TT_OK);
    assert_int_equal(len, 1000);
    expect_reset(x.server, 5);
    tt_smux_close(x.server);
    world_settle(&x.w);
    expect_gone(&x.w);
    world_end(&x.w);
}

/* Whatever each end had said before. */
static void test_it_ends_a_stream_in_any_state(void **state)
{
    (void)state;
    for (unsigned before = 0; before < 4; before++) {
        struct scene x;
        open_scene(&x, 2);
        if (before & 1)
            assert_int_equal(tt_smux_shutdown(x.client), TT_OK);
        if (before & 2)
            assert_int_equal(tt_smux_shutdown(x.server), TT_OK);
        world_settle(&x.w);
        tt_smux_reset(x.client, 1);
        world_settle(&x.w);
        if (before != 3) { /* else it was over already, and is not known any more */
            expect_reset(x.server, 1);
        }
        tt_smux_close(x.server);
        world_settle(&x.w);
        expect_gone(&x.w);
        world_end(&x.w);
    }
}

static void test_both_ends_may_reset_at_once(void **state)
{
    (void)state;
    struct scene x;
    open_scene(&x, 2);
    write_some(x.client, 1000);
    tt_smux_reset(x.client, 1);
    tt_smux_reset(x.server, 2);
    world_settle(&x.w);
    expect_gone(&x.w);
    world_end(&x.w);
}

static void test_a_closed_stream_that_is_reset_is_gone(void **state)
{
    (void)state;
    struct scene x;
    open_scene(&x, 2);
    write_some(x.server, 1000);
    tt_smux_close(x.server);
    tt_smux_reset(x.client, 1);
    world_settle(&x.w);
    expect_gone(&x.w);
    world_end(&x.w);
}

static void test_a_stream_is_reset_before_its_peer_has_heard_of_it(void **state)
{
    (void)state;
    struct scene x;
    struct tt_smux_stream *s, *far;
    open_scene(&x, 2);
    assert_int_equal(tt_smux_open(&x.w.client.m, &s), TT_OK);
    tt_smux_reset(s, 3);
    world_settle(&x.w);
    assert_int_equal(tt_smux_accept(&x.w.server.m, &far), TT_OK);
    expect_reset(far, 3);
    tt_smux_close(far);
    tt_smux_close(x.client);
    tt_smux_close(x.server);
    world_settle(&x.w);
    expect_gone(&x.w);
    world_end(&x.w);
}

static void test_a_peer_that_does_not_know_it_is_told_of_an_end(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *client, *server;
    uint8_t byte;
    size_t len;
    world_begin(&w, 2);
    assert_int_equal(tt_smux_open(&w.client.m, &client), TT_OK);
    write_some(client, 10);
    tt_smux_reset(client, 1);
    world_settle(&w);
    assert_int_equal(tt_smux_accept(&w.server.m, &server), TT_OK);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(tt_smux_read(server, &byte, 1, &len), TT_OK);
    assert_int_equal(tt_smux_read(server, &byte, 1, &len), TT_E_END);
    tt_smux_close(server);
    world_settle(&w);
    expect_gone(&w);
    world_end(&w);
}

/* The same bytes end the session when they come from a peer that cannot mean them. */
static void test_what_makes_no_sense_ends_the_session(void **state)
{
    (void)state;
    static const struct {
        bool accepts;
        uint8_t len;
        int expected;
    } cases[] = {{true, 4, TT_OK},
                 {true, 3, TT_E_PROTO},
                 {true, 5, TT_E_PROTO},
                 {true, 0, TT_E_PROTO},
                 {false, 4, TT_E_PROTO}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct tt_smux_config c = world_config(false, 0);
        c.accepts_resets = cases[i].accepts;
        world_begin_with(&w, world_config(true, 2), c);
        const uint8_t frame[] = {2, 5, cases[i].len, 0, 9, 0, 0, 0, 1, 0, 0, 0};
        assert_int_equal(world_feed(&w, &w.server, tt_span_of(frame, sizeof frame)),
                         cases[i].expected);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_peer_learns_the_code),
        cmocka_unit_test(test_what_had_arrived_can_be_read_and_what_was_unsent_is_dropped),
        cmocka_unit_test(test_it_ends_a_stream_in_any_state),
        cmocka_unit_test(test_both_ends_may_reset_at_once),
        cmocka_unit_test(test_a_closed_stream_that_is_reset_is_gone),
        cmocka_unit_test(test_a_stream_is_reset_before_its_peer_has_heard_of_it),
        cmocka_unit_test(test_a_peer_that_does_not_know_it_is_told_of_an_end),
        cmocka_unit_test(test_what_makes_no_sense_ends_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
