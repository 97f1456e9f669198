/* NOPs, and the end of a silent peer's session (spec section 10). Time is a number here. */
#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "test.h"
#include "world.h"

#define INTERVAL (10 * TT_SECOND)
#define TIMEOUT  (30 * TT_SECOND)

static void begin(struct world *w, uint64_t interval_us, uint64_t timeout_us)
{
    struct tt_smux_config client = world_config(true, 2);
    client.keepalive_interval_us = interval_us;
    client.keepalive_timeout_us = timeout_us;
    world_begin_with(w, client, world_config(false, 2));
}

/* Lets time pass up to until_us, waking only at deadlines, and sending at once. Returns how often
 * it woke; *err is what the session said last.
 */
static unsigned run_until(struct world *w, uint64_t until_us, int *err)
{
    struct tt_smux *m = &w->client.m;
    unsigned wakes = 0;

    *err = TT_OK;
    for (uint64_t at; !*err && (at = tt_smux_deadline(m)) <= until_us; wakes++) {
        assert_in_range(at, w->now_us, UINT64_MAX);
        w->now_us = at;
        *err = tt_smux_handle_timeout(m, at);
        assert_true(tt_smux_deadline(m) > at); /* what was handled is not due still */
        world_send(w, &w->client, SIZE_MAX);
    }
    if (!*err)
        w->now_us = until_us;
    return wakes;
}

static void peer_lives(struct world *w)
{
    assert_int_equal(world_feed(w, &w->client, make_frame(2, TT_SMUX_NOP, 0, 0)), TT_OK);
}

static void test_without_keepalive_no_deadline_is_set(void **state)
{
    (void)state;
    struct world w;
    begin(&w, 0, 0);
    assert_true(tt_smux_deadline(&w.client.m) == TT_NEVER);
    w.now_us += 1000000 * TT_SECOND;
    assert_int_equal(tt_smux_handle_timeout(&w.client.m, w.now_us), TT_OK);
    assert_false(tt_smux_wants_send(&w.client.m));
    world_end(&w);
}

/* S-4, S-31, R-28: also when there is other traffic. */
static void test_a_nop_leaves_every_interval_whatever_else_is_sent(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    int err;

    begin(&w, INTERVAL, 0);
    world_open(&w, &c, &s);
    for (int i = 0; i < 10; i++) {
        write_pattern(c, 0, 10);
        world_settle(&w);
        assert_int_equal(run_until(&w, w.now_us + INTERVAL, &err), 1);
        assert_int_equal(err, TT_OK);
        assert_string_equal(wire_text(&w.client), "NOP 0");
    }
    world_end(&w);
}

static void test_nops_are_not_answered(void **state)
{
    (void)state;
    struct world w;
    begin(&w, INTERVAL, 0);
    peer_lives(&w);
    assert_false(tt_smux_wants_send(&w.client.m));
    world_end(&w);
}

/* in an outage one NOP waits, no second one, and no timer runs for it. */
static void test_at_most_one_nop_waits(void **state)
{
    (void)state;
    struct world w;
    const uint64_t start_us = 1000000;

    begin(&w, INTERVAL, 0);
    w.now_us = start_us + INTERVAL;
    assert_int_equal(tt_smux_handle_timeout(&w.client.m, w.now_us), TT_OK);
    assert_true(tt_smux_wants_send(&w.client.m));
    assert_true(tt_smux_deadline(&w.client.m) == TT_NEVER);
    w.now_us = start_us + 5 * INTERVAL + INTERVAL / 2;
    assert_int_equal(tt_smux_handle_timeout(&w.client.m, w.now_us), TT_OK);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "NOP 0");
    /* Then in step with the start again. */
    assert_true(tt_smux_deadline(&w.client.m) == start_us + 6 * INTERVAL);
    world_end(&w);
}

/* S-32; the Go versions notice between one and two timeouts after the last frame, ours after one.
 */
static void test_a_silent_peer_ends_the_session_after_the_timeout(void **state)
{
    (void)state;
    struct world w;
    const uint64_t start_us = 1000000;
    int err;

    begin(&w, INTERVAL, TIMEOUT);
    run_until(&w, start_us + 29 * TT_SECOND, &err);
    assert_int_equal(err, TT_OK);
    peer_lives(&w);
    run_until(&w, start_us + 59 * TT_SECOND - 1, &err);
    assert_int_equal(err, TT_OK);
    run_until(&w, start_us + 200 * TT_SECOND, &err);
    assert_int_equal(err, TT_E_TIMEOUT);
    assert_true(w.now_us == start_us + 59 * TT_SECOND);
    assert_true(tt_smux_deadline(&w.client.m) == TT_NEVER);
    assert_int_equal(tt_smux_handle_timeout(&w.client.m, w.now_us), TT_E_TIMEOUT);
    assert_int_equal(world_feed(&w, &w.client, make_frame(2, TT_SMUX_NOP, 0, 0)), TT_E_TIMEOUT);
    world_end(&w);
}

static void test_a_session_that_never_received_anything_ends_after_the_timeout(void **state)
{
    (void)state;
    struct world w;
    int err;
    begin(&w, 0, TIMEOUT);
    run_until(&w, 1000000 + TIMEOUT - 1, &err);
    assert_int_equal(err, TT_OK);
    run_until(&w, 1000000 + TIMEOUT, &err);
    assert_int_equal(err, TT_E_TIMEOUT);
    world_end(&w);
}

/* A frame moves no timer: a thousand frames cost as many wakes as one. */
static void test_frames_put_the_check_off_without_touching_the_deadline(void **state)
{
    (void)state;
    struct world w;
    int err;

    begin(&w, 0, TIMEOUT);
    const uint64_t first = tt_smux_deadline(&w.client.m);
    for (int i = 0; i < 1000; i++) {
        w.now_us += 20 * TT_MS;
        peer_lives(&w);
        assert_true(tt_smux_deadline(&w.client.m) == first);
    }
    assert_int_equal(run_until(&w, 1000000 + 49 * TT_SECOND, &err), 1);
    assert_int_equal(err, TT_OK);
    world_end(&w);
}

/* Half a header is no frame. */
static void test_less_than_a_header_is_no_sign_of_life(void **state)
{
    (void)state;
    struct world w;
    int err;
    begin(&w, 0, TIMEOUT);
    w.now_us += TIMEOUT - 1;
    assert_int_equal(world_feed(&w, &w.client, tt_span_of("\2\3\0\0\0\0\0", 7)), TT_OK);
    run_until(&w, 1000000 + TIMEOUT, &err);
    assert_int_equal(err, TT_E_TIMEOUT);
    world_end(&w);
}

/* S-33: it is we who do not read. */
static void test_a_session_whose_receive_buffer_is_full_does_not_time_out(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    int err;

    begin(&w, 0, TIMEOUT);
    w.client.m.config.max_receive_buffer = 100;
    w.client.m.receive_tokens = 100;
    world_open(&w, &c, &s);
    write_pattern(s, 0, 100);
    world_settle(&w);
    assert_false(tt_smux_input_open(&w.client.m));
    run_until(&w, w.now_us + 10 * TIMEOUT, &err);
    assert_int_equal(err, TT_OK);
    read_pattern(c, 0, 100);
    run_until(&w, w.now_us + TIMEOUT, &err);
    assert_int_equal(err, TT_E_TIMEOUT);
    world_end(&w);
}

static void test_a_session_whose_backlog_is_full_does_not_time_out(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;
    size_t used;
    int err;

    begin(&w, 0, TIMEOUT);
    w.client.m.config.accept_backlog = 1;
    world_feed(&w, &w.client, make_frame(2, TT_SMUX_SYN, 0, 2));
    assert_int_equal(
        tt_smux_input(&w.client.m, w.now_us, make_frame(2, TT_SMUX_SYN, 0, 4), NULL, &used),
        TT_E_AGAIN);
    run_until(&w, w.now_us + 10 * TIMEOUT, &err);
    assert_int_equal(err, TT_OK);
    assert_int_equal(tt_smux_accept(&w.client.m, &s), TT_OK);
    run_until(&w, w.now_us + TIMEOUT, &err);
    assert_int_equal(err, TT_E_TIMEOUT);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_keepalive_no_deadline_is_set),
        cmocka_unit_test(test_a_nop_leaves_every_interval_whatever_else_is_sent),
        cmocka_unit_test(test_nops_are_not_answered),
        cmocka_unit_test(test_at_most_one_nop_waits),
        cmocka_unit_test(test_a_silent_peer_ends_the_session_after_the_timeout),
        cmocka_unit_test(test_a_session_that_never_received_anything_ends_after_the_timeout),
        cmocka_unit_test(test_frames_put_the_check_off_without_touching_the_deadline),
        cmocka_unit_test(test_less_than_a_header_is_no_sign_of_life),
        cmocka_unit_test(test_a_session_whose_receive_buffer_is_full_does_not_time_out),
        cmocka_unit_test(test_a_session_whose_backlog_is_full_does_not_time_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
