/* The conversation as a whole: what may come in, how packets are put together, and when a shut
 * window is probed. Numbers K-n and R-n are statements of the specification.
 */
#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "kcp/fixture.h"

static struct kcp_end end;
static struct tt_kcp_path path;

static void open_with(const struct tt_kcp_config *config)
{
    end_open(&end, config);
    end.now_us = 1000 * TT_MS;
    end_open_path(&end, &path, false);
}

static void open_end(void)
{
    const struct tt_kcp_config c = end_config();
    open_with(&c);
}

static int close_end(void **state)
{
    (void)state;
    tt_kcp_path_close(&end.kcp, &path);
    end_close(&end);
    return 0;
}

static const char *flush(void)
{
    return end_flush(&end, &path);
}

static void header_in(enum tt_kcp_cmd cmd, uint32_t sn, uint32_t ts, uint32_t una, uint16_t wnd)
{
    assert_int_equal(end_input_segment(&end, end_segment(cmd, sn, ts, una, wnd), NULL), TT_OK);
}

static void at_deadline(uint64_t expected_ms)
{
    assert_int_equal(tt_kcp_deadline(&end.kcp), expected_ms * TT_MS);
    end.now_us = expected_ms * TT_MS;
    tt_kcp_handle_timeout(&end.kcp, end.now_us);
    assert_true(tt_kcp_deadline(&end.kcp) > end.now_us);
}

/* --- configuration --- */

static const struct {
    const char *name;
    uint32_t mtu, snd_wnd, rcv_wnd_first, rcv_wnd;
    int err;
} configs[] = {
    {"the usual", 1400, 32, 32, 128, TT_OK},
    {"least", 25, 1, 1, 1, TT_OK},
    {"most", TT_KCP_MAX_MTU, INT32_MAX - 1, 65535, 65535, TT_OK},
    {"no room for data", 24, 32, 32, 32, TT_E_INVAL},
    {"no slab holds a segment", TT_KCP_MAX_MTU + 1, 32, 32, 32, TT_E_INVAL},
    {"nothing may be sent", 1400, 0, 32, 32, TT_E_INVAL},
    {"too much may be sent", 1400, INT32_MAX, 32, 32, TT_E_INVAL},
    {"nothing may come", 1400, 32, 0, 32, TT_E_INVAL},
    {"a window that shrinks", 1400, 32, 33, 32, TT_E_INVAL},
    {"K-47", 1400, 32, 32, 65536, TT_E_INVAL},
};

static void test_what_cannot_be_configured_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
        struct tt_kcp_config c = end_config();
        struct tt_kcp k;
        c.alloc = &tt_alloc_malloc;
        c.mtu = configs[i].mtu;
        c.snd_wnd = configs[i].snd_wnd;
        c.rcv_wnd_first = configs[i].rcv_wnd_first;
        c.rcv_wnd = configs[i].rcv_wnd;
        if (tt_kcp_init(&k, &c) != configs[i].err)
            fail_msg("%s", configs[i].name);
        tt_kcp_dispose(&k);
    }
    open_end();
}

static void test_k37_the_interval_is_clamped(void **state)
{
    (void)state;
    static const uint32_t intervals[][2] = {{0, 10},      {9, 10},      {11, 11},
                                            {5000, 5000}, {5001, 5000}, {UINT32_MAX, 5000}};
    for (size_t i = 0; i < ARRAY_LEN(intervals); i++) {
        struct tt_kcp_config c = end_config();
        c.interval_ms = intervals[i][0];
        open_with(&c);
        assert_int_equal(end.kcp.send.rtt_config.min_var_us, intervals[i][1] * TT_MS);
        close_end(NULL);
    }
    open_end();
}

static void test_all_zeroes_can_be_disposed_of(void **state)
{
    (void)state;
    struct tt_kcp k;
    memset(&k, 0, sizeof(k));
    tt_kcp_dispose(&k);
    tt_kcp_dispose(&k);
    open_end();
}

/* --- packets that are wrong --- */

/* Each after a good "push 0 'ok'"; what follows it in the packet. */
static const struct {
    const char *name;
    size_t len; /* bytes of the header that are there */
    struct tt_kcp_header header;
    uint32_t wrong_conv, wrong_len, wrong_cmd;
    int err;
} wrong[] = {
    {"K-12: trailing bytes", 23, {.conv = 1, .cmd = 99}, 0, 0, 0, TT_OK},
    {"K-9: another conv",
     24,
     {.conv = END_CONV + 1, .cmd = TT_KCP_ACK, .una = 1},
     1,
     0,
     0,
     TT_E_PROTO},
    {"K-10: one byte too long",
     24,
     {.conv = END_CONV, .cmd = TT_KCP_PUSH, .una = 1, .len = 1},
     0,
     1,
     0,
     TT_E_PROTO},
    {"K-10: as long as can be",
     24,
     {.conv = END_CONV, .cmd = TT_KCP_PUSH, .una = 1, .len = UINT32_MAX},
     0,
     1,
     0,
     TT_E_PROTO},
    {"K-11: unknown command", 24, {.conv = END_CONV, .cmd = 85, .una = 1}, 0, 0, 1, TT_E_PROTO},
    {"K-11: but len is looked at first",
     24,
     {.conv = END_CONV, .cmd = 85, .una = 1, .len = 7},
     0,
     1,
     0,
     TT_E_PROTO},
    {"cmd 0", 24, {.conv = END_CONV, .cmd = 0, .una = 1}, 0, 0, 1, TT_E_PROTO},
    {"cmd 80", 24, {.conv = END_CONV, .cmd = 80, .una = 1}, 0, 0, 1, TT_E_PROTO},
};

static void test_a_wrong_segment_ends_the_packet_but_not_what_stood_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        uint8_t packet[128];
        open_end();
        end_send(&end, "x");
        flush();
        size_t len = end_add_segment(packet, 0, end_segment(TT_KCP_PUSH, 0, 7, 0, 32), "ok");
        tt_kcp_header_write(packet + len, &wrong[i].header);
        const int err = end_input(&end, tt_span_of(packet, len + wrong[i].len));
        const struct tt_kcp_stats *s = &end.kcp.stats;
        if (err != wrong[i].err || s->wrong_conv != wrong[i].wrong_conv ||
            s->wrong_len != wrong[i].wrong_len || s->wrong_cmd != wrong[i].wrong_cmd)
            fail_msg("%s", wrong[i].name);
        assert_int_equal(s->packets_in, 1);
        assert_int_equal(s->segments_in, 1);
        assert_int_equal(end.kcp.send.una, 0); /* the una of a wrong segment does not count */
        assert_string_equal(flush(), "ack 0 @7");
        assert_string_equal(end_read(&end), "ok");
        close_end(NULL);
    }
    open_end();
}

static void test_k8_short_packets_have_no_effect(void **state)
{
    (void)state;
    uint8_t packet[TT_KCP_HEADER];
    open_end();
    const struct tt_kcp_header h = end_segment(TT_KCP_WASK, 0, 0, 0, 32);
    tt_kcp_header_write(packet, &h);
    for (size_t len = 0; len < TT_KCP_HEADER; len++) {
        assert_int_equal(end_input(&end, tt_span_of(packet, len)), TT_E_PROTO);
        assert_string_equal(flush(), "");
    }
    assert_int_equal(end.kcp.stats.short_packets, TT_KCP_HEADER);
    assert_int_equal(end_input(&end, tt_span_of(packet, TT_KCP_HEADER)), TT_OK);
    assert_string_equal(flush(), "wins");
}

static void test_a_segment_that_no_slab_could_hold_is_refused(void **state)
{
    (void)state;
    static uint8_t packet[70000];
    const uint32_t most = tt_slab_capacity(TT_SLAB_LARGE);
    open_end();
    struct tt_kcp_header h = end_segment(TT_KCP_PUSH, 1, 0, 0, 32);
    h.len = most + 1;
    tt_kcp_header_write(packet, &h);
    assert_int_equal(tt_kcp_input(&end.kcp, 0, tt_span_of(packet, sizeof(packet)), NULL),
                     TT_E_PROTO);
    h.len = most;
    tt_kcp_header_write(packet, &h);
    assert_int_equal(tt_kcp_input(&end.kcp, 0, tt_span_of(packet, TT_KCP_HEADER + most), NULL),
                     TT_OK);
    assert_int_equal(end.kcp.receive.held_ahead, 1);
}

/* --- packets that leave --- */

static void test_k1_the_header_is_24_bytes_little_endian(void **state)
{
    (void)state;
    static const uint8_t wanted[] = "\x44\x33\x22\x11\x51\x00\x20\x00\xe8\x03\x00\x00\x00\x00\x00"
                                    "\x00\x00\x00\x00\x00\x03\x00\x00\x00hey";
    open_end();
    end_send(&end, "hey");
    flush();
    assert_int_equal(end.packet_len, 27);
    assert_memory_equal(end.packet, wanted, 27);
}

static void test_a_packet_is_acks_then_probes_then_lost_then_new(void **state)
{
    (void)state;
    open_end();
    end_send(&end, "x");
    end_send(&end, "y");
    assert_int_equal(end_pull(&end, &path, TT_KCP_HEADER + 1), TT_OK);
    end.kcp.ask = true;
    header_in(TT_KCP_WASK, 0, 0, 0, 32);
    end_input_segment(&end, end_segment(TT_KCP_PUSH, 0, 5, 0, 32), "in");
    end.now_us = tt_kcp_deadline(&end.kcp);
    tt_kcp_handle_timeout(&end.kcp, end.now_us);
    assert_string_equal(flush(), "ack 0 @5, wask, wins, push 0 \"x\", push 1 \"y\"");
}

static void test_k4_a_packet_is_never_longer_than_asked(void **state)
{
    (void)state;
    open_end();
    for (uint32_t sn = 2; sn < 12; sn++)
        end_input_segment(&end, end_segment(TT_KCP_PUSH, sn, sn, 0, 32), "in");
    for (unsigned i = 0; i < 20; i++)
        end_send(&end, "0123456789");
    static const uint32_t lens[] = {24, 47, 48, 71, 72, 100, 133, 134, 135, 200};
    for (size_t i = 0; i < ARRAY_LEN(lens); i++)
        assert_int_equal(end_pull(&end, &path, lens[i]), TT_OK); /* end_pull looks at the length */
    assert_int_equal(end_pull(&end, &path, 33), TT_E_AGAIN);     /* no segment fits */
}

static void test_k2_a_packet_has_nothing_but_segments(void **state)
{
    (void)state;
    open_end();
    for (unsigned i = 0; i < 5; i++)
        end_send(&end, "abc");
    assert_int_equal(end_pull(&end, &path, 1400), TT_OK);
    assert_int_equal(end.packet_len, 5 * 27);
    assert_string_equal(end_text(&end), "push 0 \"abc\", push 1 \"abc\", push 2 \"abc\", "
                                        "push 3 \"abc\", push 4 \"abc\"");
}

/* many segments of one size; packed anew when sent again. */
static void test_r8_a_large_packet_is_many_segments(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    c.snd_wnd = 1000;
    open_with(&c);
    end.kcp.send.edge = 1000;
    static uint8_t message[100 * 1376];
    assert_int_equal(tt_kcp_send_message(&end.kcp, tt_span_of(message, sizeof(message))), TT_OK);
    assert_int_equal(end_pull(&end, &path, 65535), TT_OK);
    assert_int_equal(end.packet_len, 46 * 1400);
    assert_int_equal(end_pull(&end, &path, 65535), TT_OK);
    assert_int_equal(end_pull(&end, &path, 65535), TT_OK);
    assert_int_equal(end.packet_len, 8 * 1400);
    assert_int_equal(end_pull(&end, &path, 65535), TT_E_AGAIN);
    tt_kcp_path_close(&end.kcp, &path);
    end_open_path(&end, &path, false);
    unsigned packets = 0;
    while (end_pull(&end, &path, 1400) == TT_OK) {
        assert_int_equal(end_header(&end, 0).sn, packets++);
        assert_int_equal(end.packet_len, 1400);
    }
    assert_int_equal(packets, 100);
    assert_int_equal(end.kcp.stats.packets_out, 103);
    assert_int_equal(end.kcp.stats.segments_out, 200);
}

static void test_a_full_gather_is_told_from_nothing_to_send(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    uint32_t len;
    c.snd_wnd = 1000;
    open_with(&c);
    end.kcp.send.edge = 1000;
    for (unsigned i = 0; i < 300; i++)
        end_send(&end, "x");
    tt_gather_reset(&end.gather);
    assert_int_equal(tt_kcp_next_packet(&end.kcp, 0, &path, 65535, &end.gather, &len), TT_OK);
    assert_int_equal(len, TT_GATHER_SPANS / 2 * 25);
    assert_int_equal(tt_kcp_next_packet(&end.kcp, 0, &path, 65535, &end.gather, &len), TT_E_FULL);
    assert_int_equal(len, 0);
    assert_int_equal(end.gather.bytes, TT_GATHER_SPANS / 2 * 25);
    tt_gather_reset(&end.gather);
    assert_int_equal(tt_kcp_next_packet(&end.kcp, 0, &path, 65535, &end.gather, &len), TT_OK);
    assert_int_equal(len, (300 - TT_GATHER_SPANS / 2) * 25);
}

static void test_k6_every_header_says_the_present_una(void **state)
{
    (void)state;
    open_end();
    end_send(&end, "x");
    flush();
    end_input_segment(&end, end_segment(TT_KCP_PUSH, 0, 5, 0, 32), "in");
    end.now_us += 200 * TT_MS;
    tt_kcp_handle_timeout(&end.kcp, end.now_us);
    assert_string_equal(flush(), "ack 0 @5, push 0 \"x\"");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(end_header(&end, i).una, 1);
        assert_int_equal(end_header(&end, i).wnd, 31);
    }
    assert_int_equal(end_header(&end, 1).ts, 1200);
}

static void test_wants_send_says_what_next_packet_will(void **state)
{
    (void)state;
    open_end();
    assert_false(tt_kcp_wants_send(&end.kcp, &path));
    assert_int_equal(end_pull(&end, &path, 1400), TT_E_AGAIN);
    end_send(&end, "x");
    assert_true(tt_kcp_wants_send(&end.kcp, &path));
    flush();
    assert_false(tt_kcp_wants_send(&end.kcp, &path));
    assert_false(tt_kcp_all_acked(&end.kcp));
    header_in(TT_KCP_WINS, 0, 0, 1, 32);
    assert_true(tt_kcp_all_acked(&end.kcp));
}

/* --- windows and probes --- */

static void test_k17_a_question_is_answered_once(void **state)
{
    (void)state;
    open_end();
    header_in(TT_KCP_WASK, 0, 0, 0, 32);
    header_in(TT_KCP_WASK, 0, 0, 0, 32);
    assert_string_equal(flush(), "wins");
    assert_string_equal(flush(), "");
}

static void test_k19_ts_and_sn_of_wask_and_wins_mean_nothing(void **state)
{
    (void)state;
    open_end();
    end_send(&end, "x");
    flush();
    header_in(TT_KCP_WASK, 0, 1000, 0, 32);
    header_in(TT_KCP_WINS, 0, 1000, 0, 32);
    assert_string_equal(flush(), "wins");
    assert_int_equal(end.kcp.send.una, 0);
    assert_int_equal(path.flying.count, 1);
    assert_false(path.rtt.sampled);
}

/* Everything that the peer's window allows is acked, and it is shut now. */
static void shut_window(void)
{
    open_end();
    end.kcp.send.edge = 1;
    end_send(&end, "x");
    assert_string_equal(flush(), "push 0 \"x\"");
    header_in(TT_KCP_ACK, 0, 1000, 1, 0);
}

static void test_k32_a_shut_window_is_probed_at_growing_intervals(void **state)
{
    (void)state;
    static const uint64_t after_us[] = {500000,   750000,   1125000,   1687500,  2531250,  3796875,
                                        5695312,  8542968,  12814452,  19221678, 28832517, 43248775,
                                        64873162, 97309743, 120000000, 120000000};
    shut_window();
    assert_true(tt_kcp_deadline(&end.kcp) == TT_NEVER); /* nothing to send: nothing to ask */
    end_send(&end, "y");
    assert_string_equal(flush(), "");
    for (size_t i = 0; i < ARRAY_LEN(after_us); i++) {
        const uint64_t deadline_us = tt_kcp_deadline(&end.kcp);
        if (deadline_us != end.now_us + after_us[i])
            fail_msg("probe %zu after %llu us", i, (unsigned long long)(deadline_us - end.now_us));
        end.now_us = deadline_us - 1;
        tt_kcp_handle_timeout(&end.kcp, end.now_us);
        assert_string_equal(flush(), "");
        end.now_us = deadline_us;
        tt_kcp_handle_timeout(&end.kcp, end.now_us);
        assert_string_equal(flush(), "wask");
    }
}

static void test_k32_an_open_window_ends_the_probing(void **state)
{
    (void)state;
    shut_window();
    end_send(&end, "y");
    flush();
    at_deadline(1500);
    assert_string_equal(flush(), "wask");
    header_in(TT_KCP_WINS, 0, 0, 1, 0);
    assert_string_equal(flush(), "");
    at_deadline(2250);
    assert_string_equal(flush(), "wask");
    header_in(TT_KCP_WINS, 0, 0, 1, 1);
    assert_string_equal(flush(), "push 1 \"y\"");
    at_deadline(2250 + 100); /* its timeout, after a sample of 0 ms: no probe */
    header_in(TT_KCP_ACK, 1, 2250, 2, 0);
    assert_true(tt_kcp_deadline(&end.kcp) == TT_NEVER);
    end_send(&end, "z");
    flush();
    at_deadline(2850); /* from the start again */
}

/* The window was shut while nothing waited, and its opening was lost on the way. */
static void test_k32_data_behind_a_shut_window_is_probed_for_whoever_asks_first(void **state)
{
    (void)state;
    shut_window();
    end_send(&end, "y");
    assert_false(tt_kcp_wants_send(&end.kcp, &path)); /* so nobody may ask for a packet */
    assert_int_equal(tt_kcp_deadline(&end.kcp), 0);
    tt_kcp_handle_timeout(&end.kcp, end.now_us);
    at_deadline(1500);
    assert_string_equal(flush(), "wask");
}

static void test_nothing_is_probed_while_an_ack_is_outstanding(void **state)
{
    (void)state;
    open_end();
    end.kcp.send.edge = 2;
    end_send(&end, "x");
    end_send(&end, "y");
    end_send(&end, "z");
    flush();
    header_in(TT_KCP_ACK, 0, 1000, 1, 0);
    at_deadline(1100);
    assert_string_equal(flush(), "push 1 \"y\"");
}

static void test_a_new_carrier_asks_for_a_shut_window_at_once(void **state)
{
    (void)state;
    shut_window();
    end_send(&end, "y");
    flush();
    tt_kcp_path_close(&end.kcp, &path);
    end_open_path(&end, &path, true);
    assert_string_equal(flush(), "wask, wins");
}

/* --- hostile --- */

/* Any header at all, many times, with every field drawn from what is near a limit. */
static void test_hostile_headers_neither_break_nor_stop_a_conversation(void **state)
{
    (void)state;
    uint64_t random = 99;
    open_end();
    for (unsigned i = 0; i < 200000; i++) {
        const struct tt_kcp *k = &end.kcp;
        const uint32_t near[] = {0,
                                 k->send.una,
                                 k->send.nxt,
                                 k->send.edge,
                                 k->receive.nxt,
                                 k->receive.edge,
                                 (uint32_t)test_random(&random)};
        struct tt_kcp_header h =
            end_segment(TT_KCP_PUSH + (enum tt_kcp_cmd)test_random_below(&random, 4),
                        near[test_random_below(&random, ARRAY_LEN(near))] + (uint32_t)(i % 7) - 3,
                        (uint32_t)test_random(&random),
                        near[test_random_below(&random, ARRAY_LEN(near))] + (uint32_t)(i % 5) - 2,
                        (uint16_t)(test_random_below(&random, 2) ? test_random(&random) : 3));
        h.frg = (uint8_t)test_random(&random);
        end_input_segment(&end, h, test_random_below(&random, 2) ? "data" : NULL);
        if (i % 3 == 0)
            end_send(&end, "mine");
        if (i % 5 == 0)
            end_read(&end);
        if (i % 11 == 0)
            end.now_us += test_random_below(&random, 500 * TT_MS);
        if (tt_kcp_deadline(k) <= end.now_us)
            tt_kcp_handle_timeout(&end.kcp, end.now_us);
        assert_true(tt_kcp_deadline(k) > end.now_us);
        while (i % 2 && end_pull(&end, &path, 1400) == TT_OK)
            ;
        assert_true(tt_seq_diff(k->send.edge, k->send.nxt) >= 0);
        assert_true(k->receive.top - k->receive.read <= 32);
    }
    assert_true(end.account.bytes <= 32 * TT_SLAB_MEDIUM_BYTES);
}

#define TEST(f) cmocka_unit_test_teardown(f, close_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_cannot_be_configured_is_refused),
        TEST(test_k37_the_interval_is_clamped),
        TEST(test_all_zeroes_can_be_disposed_of),
        TEST(test_a_wrong_segment_ends_the_packet_but_not_what_stood_before),
        TEST(test_k8_short_packets_have_no_effect),
        TEST(test_a_segment_that_no_slab_could_hold_is_refused),
        TEST(test_k1_the_header_is_24_bytes_little_endian),
        TEST(test_a_packet_is_acks_then_probes_then_lost_then_new),
        TEST(test_k4_a_packet_is_never_longer_than_asked),
        TEST(test_k2_a_packet_has_nothing_but_segments),
        TEST(test_r8_a_large_packet_is_many_segments),
        TEST(test_a_full_gather_is_told_from_nothing_to_send),
        TEST(test_k6_every_header_says_the_present_una),
        TEST(test_wants_send_says_what_next_packet_will),
        TEST(test_k17_a_question_is_answered_once),
        TEST(test_k19_ts_and_sn_of_wask_and_wins_mean_nothing),
        TEST(test_k32_a_shut_window_is_probed_at_growing_intervals),
        TEST(test_k32_an_open_window_ends_the_probing),
        TEST(test_k32_data_behind_a_shut_window_is_probed_for_whoever_asks_first),
        TEST(test_nothing_is_probed_while_an_ack_is_outstanding),
        TEST(test_a_new_carrier_asks_for_a_shut_window_at_once),
        TEST(test_hostile_headers_neither_break_nor_stop_a_conversation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
