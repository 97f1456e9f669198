/* Message mode: boundaries that survive, and how long a message may be (K-3, K-24, section 4). */
#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "kcp/fixture.h"

static struct kcp_end end;
static struct tt_kcp_path path;

/* Segments of 4 bytes. */
static void open_end(bool stream)
{
    struct tt_kcp_config c = end_config();
    c.mtu = TT_KCP_HEADER + 4;
    c.stream = stream;
    c.rcv_wnd = c.rcv_wnd_first = 300;
    end_open(&end, &c);
    end_open_path(&end, &path, false);
    end.kcp.send.edge = 300;
    end.kcp.send.window = 300;
}

static int close_end(void **state)
{
    (void)state;
    tt_kcp_path_close(&end.kcp, &path);
    end_close(&end);
    return 0;
}

static const char *flush_in_one(void)
{
    return end_pull(&end, &path, 65535) == TT_OK ? end_text(&end) : "";
}

static void fragment(uint32_t sn, uint8_t frg, const char *data)
{
    struct tt_kcp_header h = end_segment(TT_KCP_PUSH, sn, 0, 0, 32);
    h.frg = frg;
    assert_int_equal(end_input_segment(&end, h, data), TT_OK);
}

/* The next message as text, or why there is none. */
static const char *message(size_t cap)
{
    static char buf[64];
    size_t len;
    assert_true(cap < sizeof(buf));
    const int err = tt_kcp_receive_message(&end.kcp, buf, cap, &len);
    buf[len] = '\0';
    return err ? tt_error_name(err) : buf;
}

static void test_k3_frg_counts_down_within_a_message(void **state)
{
    (void)state;
    open_end(false);
    end_send(&end, "abcdefghi");
    end_send(&end, "jklm");
    end_send(&end, "n");
    assert_string_equal(flush_in_one(), "push 0/2 \"abcd\", push 1/1 \"efgh\", push 2 \"i\", "
                                        "push 3 \"jklm\", push 4 \"n\"");
}

static void test_k3_bytes_in_a_slab_are_one_message_too(void **state)
{
    (void)state;
    open_end(false);
    struct tt_slab *slab = tt_slab_get(&end.slabs, TT_SLAB_SMALL);
    memcpy(slab->data, "abcdefghij", 10);
    assert_int_equal(tt_kcp_send_bytes(&end.kcp, slab->data, 9, tt_slab_ref(slab)), TT_OK);
    assert_int_equal(tt_kcp_send_bytes(&end.kcp, slab->data + 9, 1, slab), TT_OK);
    assert_string_equal(flush_in_one(),
                        "push 0/2 \"abcd\", push 1/1 \"efgh\", push 2 \"i\", push 3 \"j\"");
}

static void test_k3_frg_is_0_in_stream_mode(void **state)
{
    (void)state;
    open_end(true);
    end_send(&end, "abcdefghi");
    end_send(&end, "jk");
    end_send(&end, "lmnop");
    assert_string_equal(flush_in_one(), "push 0 \"abcd\", push 1 \"efgh\", push 2 \"ijkl\", "
                                        "push 3 \"mnop\"");
}

static const struct {
    bool stream;
    size_t len;
    int err;
} lengths[] = {
    {false, 0, TT_E_INVAL},       {false, 1, TT_OK},
    {false, 255 * 4, TT_OK},      {false, 255 * 4 + 1, TT_E_INVAL},
    {false, 256 * 4, TT_E_INVAL}, {true, 0, TT_E_INVAL},
    {true, 256 * 4, TT_OK},       {true, 299 * 4, TT_OK},
};

static void test_a_message_has_up_to_255_segments(void **state)
{
    (void)state;
    static uint8_t bytes[300 * 4];
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        open_end(lengths[i].stream);
        const int err = tt_kcp_send_message(&end.kcp, tt_span_of(bytes, lengths[i].len));
        if (err != lengths[i].err)
            fail_msg("%zu bytes: %s", lengths[i].len, tt_error_name(err));
        assert_int_equal(end.kcp.send.queued_bytes, err ? 0 : lengths[i].len);
        if (!err && !lengths[i].stream) {
            assert_int_equal(tt_kcp_send_at(&end.kcp.send, 0)->frg, (lengths[i].len - 1) / 4);
        }
        close_end(NULL);
    }
    open_end(false);
}

/* Whichever allocation fails: all of a message is queued, or nothing of it. */
static void refuse_each_allocation(bool stream, const char *before, const char *after)
{
    for (size_t n = 0;; n++) {
        open_end(stream);
        end_send(&end, "ab");
        end.memory.fail_at = end.memory.calls + n;
        const int err =
            tt_kcp_send_message(&end.kcp, tt_span_of("cdefghijklmnopqrstuvwxyz0123456789"
                                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                                     60));
        assert_int_equal(err, end.memory.refused ? TT_E_NOMEM : TT_OK);
        assert_int_equal(end.kcp.send.queued_bytes, err ? 2 : 62);
        end.memory.fail_at = FAIL_NEVER;
        end_send(&end, "yz"); /* the queue is sound */
        assert_string_equal(flush_in_one(), err ? before : after);
        if (!err)
            return;
        close_end(NULL);
    }
}

static void test_without_memory_nothing_of_a_message_is_queued(void **state)
{
    (void)state;
    refuse_each_allocation(
        false, "push 0 \"ab\", push 1 \"yz\"",
        "push 0 \"ab\", push 1/14 \"cdef\", push 2/13 \"ghij\", push 3/12 \"klmn\", push 4/11 "
        "\"opqr\", push 5/10 \"stuv\", push 6/9 \"wxyz\", push 7/8 \"0123\", push 8/7 \"4567\", "
        "push 9/6 \"89AB\", push 10/5 \"CDEF\", push 11/4 \"GHIJ\", push 12/3 \"KLMN\", push 13/2 "
        "\"OPQR\", push 14/1 \"STUV\", push 15 \"WXYZ\", push 16 \"yz\"");
}

static void test_without_memory_nothing_is_joined_to_a_stream(void **state)
{
    (void)state;
    refuse_each_allocation(
        true, "push 0 \"abyz\"",
        "push 0 \"abcd\", push 1 \"efgh\", push 2 \"ijkl\", push 3 \"mnop\", push 4 \"qrst\", "
        "push 5 \"uvwx\", push 6 \"yz01\", push 7 \"2345\", push 8 \"6789\", push 9 \"ABCD\", "
        "push 10 \"EFGH\", push 11 \"IJKL\", push 12 \"MNOP\", push 13 \"QRST\", push 14 \"UVWX\", "
        "push 15 \"YZyz\"");
}

static void test_k24_a_message_comes_whole_or_not_yet(void **state)
{
    (void)state;
    size_t size;
    open_end(false);
    assert_string_equal(message(9), "TT_E_AGAIN");
    fragment(2, 0, "CC");
    fragment(0, 2, "AA");
    assert_string_equal(message(9), "TT_E_AGAIN");
    fragment(1, 1, "BB");
    fragment(3, 0, "next");
    assert_int_equal(tt_kcp_peek_message(&end.kcp, &size), TT_OK);
    assert_int_equal(size, 6);
    assert_string_equal(message(9), "AABBCC");
    assert_string_equal(message(9), "next");
    assert_string_equal(message(9), "TT_E_AGAIN");
}

static void test_k24_a_small_buffer_loses_nothing(void **state)
{
    (void)state;
    open_end(false);
    fragment(0, 1, "AA");
    fragment(1, 0, "BB");
    assert_string_equal(message(3), "TT_E_INVAL");
    assert_string_equal(message(4), "AABB");
}

/* kcp-go ends such a message at the first 0, or with the queue. */
static void test_fragments_that_do_not_count_down_are_read_as_kcp_go_does(void **state)
{
    (void)state;
    open_end(false);
    fragment(0, 3, "a");
    fragment(1, 0, "b");
    assert_string_equal(message(9), "TT_E_AGAIN"); /* three more must follow */
    fragment(2, 7, "c");
    fragment(3, 0, "d");
    assert_string_equal(message(9), "ab");
    assert_string_equal(message(9), "TT_E_AGAIN");
    for (uint32_t sn = 4; sn < 10; sn++)
        fragment(sn, 9, "e");
    assert_string_equal(message(9), "cd");
    for (uint32_t sn = 10; sn < 14; sn++)
        fragment(sn, 9, "f");
    assert_string_equal(message(20), "eeeeeeffff");
}

static void test_an_empty_message_jams_nothing(void **state)
{
    (void)state;
    open_end(false);
    fragment(0, 0, "");
    fragment(1, 0, "a");
    assert_string_equal(message(9), "");
    assert_string_equal(message(9), "a");
}

#define TEST(f) cmocka_unit_test_teardown(f, close_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_k3_frg_counts_down_within_a_message),
        TEST(test_k3_bytes_in_a_slab_are_one_message_too),
        TEST(test_k3_frg_is_0_in_stream_mode),
        TEST(test_a_message_has_up_to_255_segments),
        TEST(test_without_memory_nothing_of_a_message_is_queued),
        TEST(test_without_memory_nothing_is_joined_to_a_stream),
        TEST(test_k24_a_message_comes_whole_or_not_yet),
        TEST(test_k24_a_small_buffer_loses_nothing),
        TEST(test_fragments_that_do_not_count_down_are_read_as_kcp_go_does),
        TEST(test_an_empty_message_jams_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
