#include "core/smux/window.h"

#include <turbotunnel/error.h>

#include "core/smux/smux.h"
#include "test.h"

#define TOP 0xfffffff0u

/* One UPD after `written` bytes were sent, and what may be sent then. */
static const struct {
    const char *name;
    uint32_t written, consumed, window;
    int err;
    uint32_t room;
} updates[] = {
    {"nothing was sent", 0, 0, 65536, TT_OK, 65536},
    {"all was consumed", 1000, 1000, 65536, TT_OK, 65536},
    {"a part was consumed", 1000, 400, 65536, TT_OK, 64936},
    {"the window is full", 66000, 464, 65536, TT_OK, 0},
    {"one byte more than the window is under way", 66000, 463, 65536, TT_OK, 0},
    {"one byte is free", 66000, 465, 65536, TT_OK, 1},
    {"S-29: the window shrank below what is under way", 66000, 0, 1000, TT_OK, 0},
    {"S-29: the window shrank to nothing", 5, 5, 0, TT_OK, 0},
    {"S-28: one byte more than was sent", 1000, 1001, 65536, TT_E_PROTO, 261144},
    {"S-28: as much more as a signed number can say", 0, 0x7fffffff, 65536, TT_E_PROTO, 262144},
    {"the counters have wrapped", 5, TOP, 65536, TT_OK, 65536 - 21},
    {"the largest window of a signed number", 0, 0, 0x7fffffff, TT_OK, 0x7fffffff},
    {"a window that Go would take as negative", 0, 0, 0x80000000, TT_OK, 0x7fffffff},
    {"the largest window of all", 1, 0, 0xffffffff, TT_OK, 0x7ffffffe},
};

static void test_a_sender_keeps_to_the_latest_window(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(updates); i++) {
        struct tt_smux_send_window w;
        tt_smux_send_window_init(&w);
        w.written_bytes = updates[i].written;
        int err = tt_smux_send_window_update(&w, updates[i].consumed, updates[i].window);
        const uint32_t room = tt_smux_send_window_room(&w);
        if (err != updates[i].err || room != updates[i].room)
            fail_msg("%s: %s, room %u", updates[i].name, tt_error_name(err), (unsigned)room);
    }
}

/* S-23 */
static void test_a_sender_begins_with_256_kib(void **state)
{
    (void)state;
    struct tt_smux_send_window w;
    tt_smux_send_window_init(&w);
    assert_int_equal(tt_smux_send_window_room(&w), 262144);
    w.written_bytes = 262143;
    assert_int_equal(tt_smux_send_window_room(&w), 1);
    w.written_bytes = 262144;
    assert_int_equal(tt_smux_send_window_room(&w), 0);
}

/* S-25, S-26; consumed is told modulo 2^32 */
static void test_updates_follow_the_first_read_and_every_half_buffer(void **state)
{
    (void)state;
    struct tt_smux_receive_window w;
    tt_smux_receive_window_init(&w, 65536);
    assert_true(tt_smux_receive_window_read(&w, 1, 65536));
    assert_int_equal(tt_smux_receive_window_offer(&w), 1);
    assert_false(tt_smux_receive_window_read(&w, 32767, 65536));
    assert_true(tt_smux_receive_window_read(&w, 1, 65536));
    assert_int_equal(tt_smux_receive_window_offer(&w), 32769);
    assert_true(tt_smux_receive_window_read(&w, UINT32_MAX, 65536));
    assert_int_equal(tt_smux_receive_window_offer(&w), 32768);
}

static void test_discarded_bytes_are_credited_before_the_first_window_is_used_up(void **state)
{
    (void)state;
    static const uint32_t buffers[] = {1000, 65536, 4u << 20};
    for (size_t i = 0; i < ARRAY_LEN(buffers); i++) {
        struct tt_smux_receive_window w;
        tt_smux_receive_window_init(&w, buffers[i]);
        assert_false(tt_smux_receive_window_discard(&w, 1, buffers[i]));
        assert_true(tt_smux_receive_window_discard(&w, 131071, buffers[i]));
    }
}

/* the highest edge ever offered counts, and never less than 262144 from the start. */
static void test_a_peer_may_use_the_highest_edge_that_was_offered(void **state)
{
    (void)state;
    struct tt_smux_receive_window w;
    tt_smux_receive_window_init(&w, 65536);
    assert_int_equal(tt_smux_receive_window_take(&w, 262144), TT_OK);
    assert_int_equal(tt_smux_receive_window_take(&w, 0), TT_OK);
    assert_int_equal(tt_smux_receive_window_take(&w, 1), TT_E_PROTO);

    tt_smux_receive_window_read(&w, 1000, 65536);
    tt_smux_receive_window_offer(&w); /* 66536: less than the edge of the start */
    assert_int_equal(tt_smux_receive_window_take(&w, 1), TT_E_PROTO);

    tt_smux_receive_window_read(&w, 199000, 65536);
    tt_smux_receive_window_offer(&w);
    assert_int_equal(tt_smux_receive_window_take(&w, 3392), TT_OK);
    assert_int_equal(tt_smux_receive_window_take(&w, 1), TT_E_PROTO);
}

static void test_bytes_consumed_but_not_offered_again_widen_nothing(void **state)
{
    (void)state;
    struct tt_smux_receive_window w;
    tt_smux_receive_window_init(&w, 4u << 20);
    assert_int_equal(tt_smux_receive_window_take(&w, 262144), TT_OK);
    tt_smux_receive_window_read(&w, 262144, 4u << 20);
    assert_int_equal(tt_smux_receive_window_take(&w, 1), TT_E_PROTO);
    tt_smux_receive_window_offer(&w);
    assert_int_equal(tt_smux_receive_window_take(&w, 4u << 20), TT_OK);
    assert_int_equal(tt_smux_receive_window_take(&w, 1), TT_E_PROTO);
}

/* More than 2^32 bytes on one stream. */
static void test_the_edge_does_not_wrap(void **state)
{
    (void)state;
    struct tt_smux_receive_window w;
    tt_smux_receive_window_init(&w, 65536);
    for (uint64_t sum = 0; sum < UINT64_C(5) << 30; sum += 65535) {
        assert_int_equal(tt_smux_receive_window_take(&w, 65535), TT_OK);
        tt_smux_receive_window_read(&w, 65535, 65536);
        tt_smux_receive_window_offer(&w);
    }
    assert_int_equal(tt_smux_receive_window_take(&w, 65536), TT_OK);
    assert_int_equal(tt_smux_receive_window_take(&w, 1), TT_E_PROTO);
}

/* a window that was opened wide stays so. */
static void test_a_widened_window_is_what_later_updates_say(void **state)
{
    (void)state;
    struct tt_smux_receive_window w;
    tt_smux_receive_window_init(&w, 65536);
    tt_smux_receive_window_widen(&w, TT_SMUX_HALF_CLOSE_WINDOW);
    assert_int_equal(w.window_bytes, 1u << 30);
    tt_smux_receive_window_offer(&w);
    assert_int_equal(tt_smux_receive_window_take(&w, 1u << 30), TT_OK);
    tt_smux_receive_window_widen(&w, 65536);
    assert_int_equal(w.window_bytes, 1u << 30);
}

/* A UPD when so much has come and been read, and the window that it offers. */
static const struct {
    const char *name;
    uint32_t window, received, consumed, least, most, offered;
} tunings[] = {
    {"all was read", 262144, 1000, 1000, 65536, 16777216, 524288},
    {"a quarter of the window lies unread", 262144, 65536, 0, 65536, 16777216, 524288},
    {"a byte more lies unread", 262144, 65537, 0, 65536, 16777216, 262144},
    {"it is as large as it may be", 16777216, 5, 5, 65536, 16777216, 16777216},
    {"others need more now", 16777216, 5, 5, 65536, 1000000, 1000000},
    {"others need all", 16777216, 5, 5, 65536, 0, 65536},
    {"a window cannot be twice as large", 0x7fffffff, 5, 5, 65536, 0x7fffffff, 0x7fffffff},
};

static void test_a_window_grows_with_its_reader_within_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tunings); i++) {
        struct tt_smux_receive_window w;
        tt_smux_receive_window_init(&w, tunings[i].window);
        w.received_bytes = tunings[i].received;
        w.consumed_bytes = tunings[i].consumed;
        tt_smux_receive_window_tune(
            &w, (struct tt_smux_window_bounds){tunings[i].least, tunings[i].most});
        if (w.window_bytes != tunings[i].offered)
            fail_msg("%s: %u", tunings[i].name, (unsigned)w.window_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sender_keeps_to_the_latest_window),
        cmocka_unit_test(test_a_sender_begins_with_256_kib),
        cmocka_unit_test(test_updates_follow_the_first_read_and_every_half_buffer),
        cmocka_unit_test(test_discarded_bytes_are_credited_before_the_first_window_is_used_up),
        cmocka_unit_test(test_a_peer_may_use_the_highest_edge_that_was_offered),
        cmocka_unit_test(test_bytes_consumed_but_not_offered_again_widen_nothing),
        cmocka_unit_test(test_the_edge_does_not_wrap),
        cmocka_unit_test(test_a_window_grows_with_its_reader_within_bounds),
        cmocka_unit_test(test_a_widened_window_is_what_later_updates_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
