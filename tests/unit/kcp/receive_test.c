/* The receiving half, as a peer sees it: what it acknowledges, what it says of its window, and what
 * the reader gets. Numbers K-n and R-n are statements of the specification.
 */
#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "kcp/fixture.h"

static struct kcp_end end;
static struct tt_kcp_path path;

static void open_with(const struct tt_kcp_config *config)
{
    memset(&path, 0, sizeof(path));
    end_open(&end, config);
    end_open_path(&end, &path, false);
}

static void open_window(uint32_t first, uint32_t most)
{
    struct tt_kcp_config c = end_config();
    c.rcv_wnd_first = first;
    c.rcv_wnd = most;
    open_with(&c);
}

static int close_end(void **state)
{
    (void)state;
    tt_kcp_path_close(&end.kcp, &path);
    end_close(&end);
    return 0;
}

static void push_at(uint32_t sn, uint32_t ts, const char *data)
{
    assert_int_equal(end_input_segment(&end, end_segment(TT_KCP_PUSH, sn, ts, 0, 32), data), TT_OK);
}

/* ts is 100 + sn. */
static void push(uint32_t sn, const char *data)
{
    push_at(sn, 100 + sn, data);
}

static const char *flush(void)
{
    return end_flush(&end, &path);
}

/* --- order and acknowledgements --- */

static void test_k15_any_order_of_arrival_is_read_in_order(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", "b", "c", "d", "e"};
    for (unsigned order = 0; order < 5 * 5 * 5 * 5 * 5; order++) {
        unsigned seen = 0;
        for (unsigned i = 0, left = order; i < 5; i++, left /= 5)
            seen |= 1u << left % 5;
        if (seen != 0x1f)
            continue; /* no permutation */
        open_window(32, 32);
        for (unsigned i = 0, left = order; i < 5; i++, left /= 5)
            push(left % 5, letters[left % 5]);
        assert_string_equal(end_read(&end), "abcde");
        close_end(NULL);
    }
    open_window(32, 32); /* for the teardown */
}

static void test_k23_of_acks_that_una_covers_only_the_last_is_sent(void **state)
{
    (void)state;
    open_window(32, 32);
    push(0, "a");
    push(1, "b");
    push(2, "c");
    assert_string_equal(flush(), "ack 2 @102");
    assert_int_equal(end_header(&end, 0).una, 3);
    assert_string_equal(flush(), "");
}

static void test_k22_every_ack_above_a_gap_is_sent_in_order_of_arrival(void **state)
{
    (void)state;
    open_window(32, 32);
    push(4, "e");
    push(2, "c");
    push(0, "a");
    assert_string_equal(flush(), "ack 4 @104, ack 2 @102, ack 0 @100");
    push(1, "b");
    push(5, "f");
    assert_string_equal(flush(), "ack 5 @105");
}

static void test_k13_a_duplicate_is_acked_with_its_own_ts_again(void **state)
{
    (void)state;
    open_window(32, 32);
    push(0, "a");
    push(2, "c");
    assert_string_equal(flush(), "ack 2 @102");
    push_at(2, 777, "c");
    push_at(0, 778, "a");
    assert_string_equal(flush(), "ack 2 @777, ack 0 @778");
    push(1, "b");
    push_at(1, 779, "X");
    push_at(2, 780, "X");
    assert_string_equal(flush(), "ack 2 @780");
    assert_string_equal(end_read(&end), "abc");
    push_at(2, 781, "X");
    assert_string_equal(flush(), "ack 2 @781");
    assert_string_equal(end_read(&end), "");
    assert_int_equal(end.kcp.receive.duplicates, 5);
    assert_int_equal(end.kcp.receive.delivered, 3);
    assert_int_equal(end.kcp.receive.taken_bytes, 3);
}

static void test_k14_a_segment_at_the_edge_is_neither_kept_nor_acked(void **state)
{
    (void)state;
    open_window(4, 4);
    push(4, "e");
    push(4000, "x");
    push(0x80000000u, "x");
    assert_string_equal(flush(), "");
    push(3, "d");
    assert_string_equal(flush(), "ack 3 @103");
    assert_int_equal(end.kcp.receive.beyond_window, 3);
}

static void test_k21_numbers_wrap_around(void **state)
{
    (void)state;
    open_window(8, 8);
    struct tt_kcp_receive *r = &end.kcp.receive;
    r->read = r->nxt = r->top = r->settled = (uint32_t)-2;
    r->edge = r->told_edge = 6;
    push(1, "d");
    push((uint32_t)-1, "b");
    push(6, "x");
    push(0, "c");
    push((uint32_t)-3, "x");
    push((uint32_t)-2, "a");
    assert_string_equal(flush(), "ack 4294967294 @98");
    assert_int_equal(end_header(&end, 0).una, 2);
    assert_int_equal(end_header(&end, 0).wnd, 4);
    assert_string_equal(end_read(&end), "abcd");
    assert_int_equal(r->beyond_window, 1);
}

static void test_an_empty_push_is_read_as_nothing(void **state)
{
    (void)state;
    open_window(32, 32);
    push(0, "");
    push(1, "a");
    push(2, "");
    assert_string_equal(end_read(&end), "a");
    assert_string_equal(flush(), "ack 2 @102");
}

/* --- windows --- */

static uint16_t told_window(void)
{
    assert_string_not_equal(flush(), "");
    return end_header(&end, 0).wnd;
}

static void test_k16_the_window_is_what_is_not_read_less(void **state)
{
    (void)state;
    open_window(8, 8);
    push(0, "a");
    push(1, "b");
    assert_int_equal(told_window(), 6);
    push(5, "f"); /* out of order does not count */
    assert_int_equal(told_window(), 6);
    tt_kcp_take(&end.kcp);
    push(2, "c");
    assert_int_equal(told_window(), 6);
}

static void test_k18_reading_from_a_full_queue_is_told(void **state)
{
    (void)state;
    open_window(4, 4);
    for (uint32_t sn = 0; sn < 4; sn++)
        push(sn, "x");
    assert_string_equal(flush(), "ack 3 @103");
    assert_int_equal(end_header(&end, 0).wnd, 0);
    assert_false(tt_kcp_wants_send(&end.kcp, &path));
    tt_kcp_take(&end.kcp);
    assert_true(tt_kcp_wants_send(&end.kcp, &path));
    assert_string_equal(flush(), "wins");
    assert_int_equal(end_header(&end, 0).wnd, 1);
}

static void test_k18_a_window_that_the_peer_has_used_up_counts_as_shut(void **state)
{
    (void)state;
    open_window(4, 4);
    for (uint32_t sn = 0; sn < 4; sn++)
        push(sn, "x");
    tt_kcp_take(&end.kcp); /* before any header said 0 */
    assert_string_equal(flush(), "ack 3 @103, wins");
    assert_int_equal(end_header(&end, 0).wnd, 1);
}

static void test_room_is_told_again_when_it_is_half_of_the_window(void **state)
{
    (void)state;
    open_window(8, 8);
    for (uint32_t sn = 0; sn < 6; sn++)
        push(sn, "x");
    assert_int_equal(told_window(), 2);
    for (unsigned i = 0; i < 3; i++)
        tt_kcp_take(&end.kcp);
    assert_string_equal(flush(), "");
    tt_kcp_take(&end.kcp);
    assert_string_equal(flush(), "wins");
    assert_int_equal(end_header(&end, 0).wnd, 6);
}

static void test_the_window_grows_by_twice_what_arrives_up_to_its_limit(void **state)
{
    (void)state;
    open_window(4, 11);
    static const uint16_t windows[] = {6, 8, 10, 11, 11};
    for (uint32_t sn = 0; sn < ARRAY_LEN(windows); sn++) {
        push(sn, "x");
        assert_string_equal(end_read(&end), "x");
        assert_int_equal(told_window(), windows[sn]);
    }
}

static void test_the_window_grows_before_the_reader_looks(void **state)
{
    (void)state;
    open_window(4, 64);
    push(0, "x");
    assert_int_equal(told_window(), 5);
    push(1, "x");
    assert_int_equal(told_window(), 6);
}

static void test_data_out_of_order_does_not_grow_the_window(void **state)
{
    (void)state;
    open_window(4, 64);
    for (uint32_t sn = 1; sn < 4; sn++)
        push(sn, "x");
    assert_int_equal(told_window(), 4);
}

/* Whatever is read and arrives: una + wnd never moves left, and never promises more than is kept.
 */
static void test_r14_the_told_edge_never_moves_left(void **state)
{
    (void)state;
    uint64_t random = 7;
    open_window(3, 40);
    struct tt_kcp_receive *r = &end.kcp.receive;
    r->read = r->nxt = r->top = r->settled = (uint32_t)-300;
    r->edge = r->told_edge = (uint32_t)-297;
    uint32_t edge = r->edge;
    for (unsigned i = 0; i < 20000; i++) {
        const uint32_t sn = r->read + (uint32_t)test_random_below(&random, 60);
        push(sn, (char[]){(char)('a' + sn % 26), '\0'});
        if (test_random_below(&random, 3) == 0 && tt_kcp_receive_peek(r)) {
            assert_int_equal(tt_kcp_receive_peek(r)->data[0], 'a' + r->read % 26);
            tt_kcp_take(&end.kcp);
        }
        while (end_pull(&end, &path, 1400) == TT_OK) {
            const struct tt_kcp_header h = end_header(&end, 0);
            assert_true(tt_seq_diff(h.una + h.wnd, edge) >= 0);
            edge = h.una + h.wnd;
            assert_true(edge - r->read <= 40);
        }
        assert_true(r->top - r->read <= 40);
    }
    assert_true(tt_seq_diff(r->read, 1000) > 0); /* it did get on */
}

/* --- memory --- */

static void test_a_read_buffer_is_not_kept(void **state)
{
    (void)state;
    open_window(32, 32);
    push(0, "read at once");
    push(3, "out of order");
    assert_int_equal(end.slabs.live_bytes, TT_SLAB_SMALL_BYTES); /* end_input checks the buffer */
    assert_int_equal(end.account.bytes, tt_slab_capacity(TT_SLAB_SMALL));
}

static void test_without_settle_data_lies_where_it_was_read(void **state)
{
    (void)state;
    uint8_t packet[64];
    struct tt_slab *slab, *where;
    struct tt_span data;
    open_window(32, 32);
    slab = tt_slab_get(&end.slabs, TT_SLAB_SMALL);
    assert_non_null(slab);
    const size_t len = end_add_segment(packet, 0, end_segment(TT_KCP_PUSH, 0, 0, 0, 32), "no copy");
    memcpy(slab->data, packet, len);
    assert_int_equal(tt_kcp_input(&end.kcp, 0, tt_span_of(slab->data, len), slab), TT_OK);
    assert_int_equal(tt_kcp_peek(&end.kcp, &data, &where), TT_OK);
    assert_ptr_equal(data.ptr, slab->data + TT_KCP_HEADER);
    assert_ptr_equal(where, slab);
    assert_int_equal(slab->refs, 2);
    tt_kcp_take(&end.kcp);
    assert_int_equal(slab->refs, 1);
    tt_slab_unref(slab);
}

static void test_a_packet_without_a_slab_is_copied(void **state)
{
    (void)state;
    uint8_t packet[64];
    open_window(32, 32);
    const size_t len = end_add_segment(packet, 0, end_segment(TT_KCP_PUSH, 0, 0, 0, 32), "copied");
    assert_int_equal(tt_kcp_input(&end.kcp, 0, tt_span_of(packet, len), NULL), TT_OK);
    memset(packet, 0xdd, sizeof(packet));
    assert_string_equal(end_read(&end), "copied");
}

/* It fits into no small slab of which a byte is used. */
static const char *as_long_as_a_slab(void)
{
    static char text[TT_SLAB_SMALL_BYTES];
    memset(text, 'L', tt_slab_capacity(TT_SLAB_SMALL));
    return text;
}

/* What was acknowledged on its own is never sent again: to forget it is to hang. */
static void test_no_memory_while_settling_forgets_nothing_that_was_acked(void **state)
{
    (void)state;
    const char *long_text = as_long_as_a_slab();
    open_window(32, 32);
    push(1, long_text);
    assert_string_equal(flush(), "ack 1 @101");

    end.slabs.limit_bytes = end.slabs.live_bytes + TT_SLAB_LARGE_BYTES; /* the read buffer only */
    push(0, long_text);
    assert_int_equal(end.settled, TT_E_NOMEM);
    assert_int_equal(end.kcp.receive.no_memory, 1);
    assert_int_equal(end.kcp.receive.nxt, 0);
    assert_int_equal(end.kcp.receive.delivered, 0);
    assert_string_equal(flush(), ""); /* as if it had never come */
    assert_string_equal(end_read(&end), "");

    end.slabs.limit_bytes = SIZE_MAX;
    push(0, "");
    assert_string_equal(flush(), "ack 0 @100");
    assert_int_equal(end_header(&end, 0).una, 2);
    assert_string_equal(end_read(&end), long_text);
}

static void test_no_memory_for_the_first_of_a_packet_keeps_the_others(void **state)
{
    (void)state;
    uint8_t packet[4096];
    const char *long_text = as_long_as_a_slab();
    open_window(32, 32);
    push(5, "f"); /* its slab has room for a few more bytes */
    size_t len = end_add_segment(packet, 0, end_segment(TT_KCP_PUSH, 0, 1, 0, 32), long_text);
    len = end_add_segment(packet, len, end_segment(TT_KCP_PUSH, 1, 2, 0, 32), "b");
    end.slabs.limit_bytes = end.slabs.live_bytes + TT_SLAB_LARGE_BYTES;
    assert_int_equal(end_input(&end, tt_span_of(packet, len)), TT_OK);
    end.slabs.limit_bytes = SIZE_MAX;
    assert_int_equal(end.kcp.receive.nxt, 0);
    assert_int_equal(end.kcp.receive.held_ahead, 2);
    push(0, "a");
    assert_string_equal(end_read(&end), "ab");
}

static void test_without_memory_for_the_ring_a_segment_never_came(void **state)
{
    (void)state;
    open_window(32, 32);
    tt_slab_unref(tt_slab_get(&end.slabs, TT_SLAB_LARGE)); /* a spare read buffer */
    end.memory.fail_at = end.memory.calls;
    push(0, "a");
    assert_string_equal(flush(), "");
    assert_int_equal(end.kcp.receive.no_memory, 1);
    push(0, "a");
    assert_string_equal(end_read(&end), "a");
}

static void test_what_cannot_be_kept_out_of_order_is_not_acked(void **state)
{
    (void)state;
    open_window(32, 32);
    end.slabs.limit_bytes = TT_SLAB_LARGE_BYTES;
    push(1, "b");
    assert_string_equal(flush(), "");
    assert_int_equal(end.kcp.receive.no_memory, 1);
    assert_int_equal(end.kcp.receive.top, 0);
    end.slabs.limit_bytes = SIZE_MAX;
    push(1, "b");
    push(0, "a");
    assert_string_equal(end_read(&end), "ab");
}

/* Each allocation of a conversation refused once: the segment comes again and all is well. */
static void test_every_refused_allocation_costs_a_repetition(void **state)
{
    (void)state;
    for (size_t n = 0;; n++) {
        open_window(32, 32);
        end.memory.fail_at = n;
        for (unsigned round = 0; round < 3; round++) {
            static const char *const letters[] = {"a", "b", "c", "d"};
            for (uint32_t sn = 4; sn-- > 0;)
                end_input_segment(&end, end_segment(TT_KCP_PUSH, sn, 0, 0, 32), letters[sn]);
            tt_slab_pool_trim(&end.slabs);
            flush();
        }
        assert_string_equal(end_read(&end), "abcd");
        if (!end.memory.refused)
            break;
        close_end(NULL);
    }
}

static void test_an_idle_end_holds_no_memory_after_shrink(void **state)
{
    (void)state;
    open_window(32, 32);
    push(1, "b");
    push(0, "a");
    tt_kcp_shrink(&end.kcp);
    assert_string_equal(end_read(&end), "ab"); /* nothing was in use */
    flush();
    tt_kcp_shrink(&end.kcp);
    tt_slab_pool_trim(&end.slabs);
    assert_int_equal(end.memory.live, 0);
    push(3, "d");
    push(2, "c");
    assert_string_equal(end_read(&end), "cd");
}

static void test_acks_that_no_window_could_owe_are_dropped_and_counted(void **state)
{
    (void)state;
    open_window(4, 4);
    for (unsigned i = 0; i < 10; i++)
        push_at(1, i, "b");
    assert_string_equal(flush(), "ack 1 @0, ack 1 @1, ack 1 @2, ack 1 @3, ack 1 @4");
    assert_int_equal(end.kcp.receive.acks_dropped, 5);
}

/* --- R-13 --- */

static void reopen(uint32_t acks)
{
    tt_kcp_path_close(&end.kcp, &path);
    tt_kcp_path_open(&end.kcp, &path, end.now_us, true, TT_KCP_UNLIMITED, acks);
}

static void test_r13_a_new_carrier_begins_with_what_is_held(void **state)
{
    (void)state;
    open_window(32, 32);
    push(0, "a");
    push(4, "e");
    push(2, "c");
    push(7, "h");
    flush();
    reopen(UINT32_MAX);
    /* The last ts lies in the future for whoever reads it: no round-trip sample (K-27). */
    assert_string_equal(flush(), "ack 2 @102, ack 4 @104, ack 7 @2147483754, wins");
    assert_int_equal(end_header(&end, 0).una, 1);
    assert_string_equal(flush(), "");
}

static void test_r13_the_oldest_are_repeated_first(void **state)
{
    (void)state;
    open_window(32, 32);
    for (uint32_t sn = 9; sn > 0; sn--)
        push(sn, "x");
    flush();
    reopen(3);
    assert_string_equal(flush(), "ack 1 @101, ack 2 @102, ack 3 @2147483750, wins");
}

static void test_r13_an_ack_that_is_new_keeps_its_time(void **state)
{
    (void)state;
    open_window(32, 32);
    push(2, "c");
    flush();
    reopen(UINT32_MAX);
    push(3, "d");
    assert_string_equal(flush(), "ack 2 @102, ack 3 @103, wins");
}

static void test_r13_a_repetition_takes_the_place_of_the_one_before(void **state)
{
    (void)state;
    open_window(32, 32);
    for (uint32_t sn = 1; sn < 6; sn++)
        push(sn, "x");
    flush();
    reopen(UINT32_MAX);
    reopen(2);
    assert_string_equal(flush(), "ack 1 @101, ack 2 @2147483749, wins");
}

static void test_r13_what_has_come_in_order_is_not_repeated(void **state)
{
    (void)state;
    open_window(32, 32);
    push(1, "b");
    push(3, "d");
    flush();
    reopen(UINT32_MAX);
    push(0, "a");
    assert_string_equal(flush(), "ack 3 @103, ack 0 @100, wins");
    reopen(UINT32_MAX);
    push(2, "c");
    assert_string_equal(flush(), "ack 2 @102, wins");
}

static void test_r13_nothing_is_said_before_a_conversation_began(void **state)
{
    (void)state;
    open_window(32, 32);
    assert_string_equal(flush(), "");
    reopen(UINT32_MAX);
    assert_string_equal(flush(), "");
    push(1, "b");
    flush();
    reopen(0);
    assert_string_equal(flush(), "wins");
}

#define TEST(f) cmocka_unit_test_teardown(f, close_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_k15_any_order_of_arrival_is_read_in_order),
        TEST(test_k23_of_acks_that_una_covers_only_the_last_is_sent),
        TEST(test_k22_every_ack_above_a_gap_is_sent_in_order_of_arrival),
        TEST(test_k13_a_duplicate_is_acked_with_its_own_ts_again),
        TEST(test_k14_a_segment_at_the_edge_is_neither_kept_nor_acked),
        TEST(test_k21_numbers_wrap_around),
        TEST(test_an_empty_push_is_read_as_nothing),
        TEST(test_k16_the_window_is_what_is_not_read_less),
        TEST(test_k18_reading_from_a_full_queue_is_told),
        TEST(test_k18_a_window_that_the_peer_has_used_up_counts_as_shut),
        TEST(test_room_is_told_again_when_it_is_half_of_the_window),
        TEST(test_the_window_grows_by_twice_what_arrives_up_to_its_limit),
        TEST(test_the_window_grows_before_the_reader_looks),
        TEST(test_data_out_of_order_does_not_grow_the_window),
        TEST(test_r14_the_told_edge_never_moves_left),
        TEST(test_a_read_buffer_is_not_kept),
        TEST(test_without_settle_data_lies_where_it_was_read),
        TEST(test_a_packet_without_a_slab_is_copied),
        TEST(test_no_memory_while_settling_forgets_nothing_that_was_acked),
        TEST(test_no_memory_for_the_first_of_a_packet_keeps_the_others),
        TEST(test_without_memory_for_the_ring_a_segment_never_came),
        TEST(test_what_cannot_be_kept_out_of_order_is_not_acked),
        TEST(test_every_refused_allocation_costs_a_repetition),
        TEST(test_an_idle_end_holds_no_memory_after_shrink),
        TEST(test_acks_that_no_window_could_owe_are_dropped_and_counted),
        TEST(test_r13_a_new_carrier_begins_with_what_is_held),
        TEST(test_r13_the_oldest_are_repeated_first),
        TEST(test_r13_an_ack_that_is_new_keeps_its_time),
        TEST(test_r13_a_repetition_takes_the_place_of_the_one_before),
        TEST(test_r13_what_has_come_in_order_is_not_repeated),
        TEST(test_r13_nothing_is_said_before_a_conversation_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
