/* The sending half: what leaves when, on which path, and what is taken for lost. Numbers K-n and
 * R-n are statements of the specification. All paths are made of the same end.
 */
#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "kcp/fixture.h"

static struct kcp_end end;
static struct tt_kcp_path a, b;

static void open_with(const struct tt_kcp_config *config)
{
    end_open(&end, config);
    end.now_us = 1000 * TT_MS;
}

static void open_path(struct tt_kcp_path *path, bool ordered)
{
    end_open_path(&end, path, ordered);
}

static void open_ends(uint32_t resend, bool ordered)
{
    struct tt_kcp_config c = end_config();
    c.resend = resend;
    open_with(&c);
    open_path(&a, ordered);
    open_path(&b, ordered);
}

static int close_end(void **state)
{
    (void)state;
    while (!tt_list_empty(&end.kcp.send.paths))
        tt_kcp_path_close(&end.kcp, TT_CONTAINER_OF(tt_list_first(&end.kcp.send.paths),
                                                    struct tt_kcp_path, node));
    end_close(&end);
    return 0;
}

/* Queues the letters from 'a' on, one message each. */
static void send_letters(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        end_send(&end, (char[]){(char)('a' + i % 26), '\0'});
}

/* One segment leaves on a path. */
static void one_leaves(struct tt_kcp_path *path, const char *text)
{
    assert_int_equal(end_pull(&end, path, TT_KCP_HEADER + 1), TT_OK);
    assert_string_equal(end_text(&end), text);
}

static void acked_at(uint32_t sn, uint32_t ts, uint32_t una)
{
    assert_int_equal(end_input_segment(&end, end_segment(TT_KCP_ACK, sn, ts, una, 32), NULL),
                     TT_OK);
}

/* An ack that echoes the time of the last transmission. */
static void acked(uint32_t sn, uint32_t una)
{
    acked_at(sn, tt_kcp_send_at(&end.kcp.send, sn)->ts, una);
}

static void una_is(uint32_t una)
{
    assert_int_equal(end_input_segment(&end, end_segment(TT_KCP_WINS, 0, 0, una, 32), NULL), TT_OK);
}

static void wait_ms(uint64_t ms)
{
    end.now_us += ms * TT_MS;
}

static void at_deadline(void)
{
    const uint64_t deadline_us = tt_kcp_deadline(&end.kcp);
    assert_true(deadline_us != TT_NEVER && deadline_us >= end.now_us);
    end.now_us = deadline_us;
    tt_kcp_handle_timeout(&end.kcp, end.now_us);
    assert_true(tt_kcp_deadline(&end.kcp) > end.now_us);
}

/* --- windows --- */

static const struct {
    const char *name;
    uint32_t own, peer, congestion; /* congestion 0: off */
    const char *leaves;
} windows[] = {
    {"own is least", 1, 3, 3, "push 0 \"a\""},
    {"peer's is least", 3, 1, 3, "push 0 \"a\""},
    {"congestion is least", 3, 3, 1, "push 0 \"a\""},
    {"without congestion", 2, 3, 0, "push 0 \"a\", push 1 \"b\""},
    {"peer's is shut", 3, 0, 0, ""},
};

static void test_k25_the_least_window_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
        struct tt_kcp_config c = end_config();
        c.snd_wnd = windows[i].own;
        c.nocwnd = windows[i].congestion == 0;
        open_with(&c);
        open_path(&a, false);
        end.kcp.send.edge = windows[i].peer;
        end.kcp.send.cwnd.segments = windows[i].congestion;
        send_letters(4);
        const char *leaves = end_flush(&end, &a);
        if (strcmp(leaves, windows[i].leaves) != 0)
            fail_msg("%s: sent %s", windows[i].name, leaves);
        close_end(NULL);
    }
    open_ends(0, false);
}

static void test_k34_una_makes_room_for_the_next(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    c.snd_wnd = 2;
    open_with(&c);
    open_path(&a, false);
    send_letters(4);
    assert_string_equal(end_flush(&end, &a), "push 0 \"a\", push 1 \"b\"");
    acked(1, 0); /* marks it, but una has not moved */
    assert_false(tt_kcp_wants_send(&end.kcp, &a));
    una_is(1);
    assert_string_equal(end_flush(&end, &a), "push 2 \"c\"");
    una_is(3);
    assert_string_equal(end_flush(&end, &a), "push 3 \"d\"");
    una_is(4);
    assert_true(tt_kcp_all_acked(&end.kcp));
}

static const struct {
    uint32_t una;
    uint16_t wnd;
    uint32_t edge;
} edges[] = {
    {0, 10, 100},          /* before any header: the first guess, here 100 */
    {50, 60, 110},         /* una + wnd */
    {50, 20, 110},         /* never left */
    {40, 75, 115},         /* an older header, with more */
    {0x80000051u, 1, 115}, /* as old as can be */
    {0x80000052u, 65535, 115},
    {81, 65535, 115}, /* una beyond what was sent: ignored */
    {80, 65535, 65615},
};

static void test_r14_the_edge_is_the_rightmost_ever_seen(void **state)
{
    (void)state;
    open_ends(0, false);
    send_letters(100);
    end.kcp.send.edge = 100;
    end.kcp.send.window = 80;
    end_flush(&end, &a);
    assert_int_equal(end.kcp.send.nxt, 80);
    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        end_input_segment(&end, end_segment(TT_KCP_WINS, 0, 0, edges[i].una, edges[i].wnd), NULL);
        if (end.kcp.send.edge != edges[i].edge)
            fail_msg("row %zu: the edge is %u", i, (unsigned)end.kcp.send.edge);
    }
    assert_int_equal(end.kcp.stats.wrong_una, 1);
}

static void test_k20_una_counts_in_every_command(void **state)
{
    (void)state;
    static const enum tt_kcp_cmd cmds[] = {TT_KCP_PUSH, TT_KCP_ACK, TT_KCP_WASK, TT_KCP_WINS};
    open_ends(0, false);
    send_letters(4);
    end_flush(&end, &a);
    for (uint32_t i = 0; i < ARRAY_LEN(cmds); i++) {
        end_input_segment(&end, end_segment(cmds[i], 5000, 0, i + 1, 32), NULL);
        assert_int_equal(end.kcp.send.una, i + 1);
        assert_int_equal(end.kcp.heard_una, i + 1);
    }
}

static void test_k21_numbers_wrap_around(void **state)
{
    (void)state;
    open_ends(2, false);
    struct tt_kcp_send *s = &end.kcp.send;
    s->una = s->nxt = s->end = (uint32_t)-3;
    s->edge = 29;
    end.now_us = UINT64_C(1000) * 0xfffffff0u; /* the clock in the headers wraps soon */
    send_letters(6);
    assert_string_equal(end_flush(&end, &a),
                        "push 4294967293 \"a\", push 4294967294 \"b\", push 4294967295 \"c\", "
                        "push 0 \"d\", push 1 \"e\", push 2 \"f\"");
    wait_ms(0x20);
    acked(1, (uint32_t)-3);
    assert_string_equal(end_flush(&end, &a),
                        "push 4294967293 \"a\", push 4294967294 \"b\", push 4294967295 \"c\"");
    assert_int_equal(end_header(&end, 0).ts, 0x10);
    acked((uint32_t)-2, 0);
    assert_int_equal(s->una, 0);
    una_is(3);
    assert_true(tt_kcp_all_acked(&end.kcp));
    assert_int_equal(s->edge, 35);
}

/* --- stream mode --- */

static void open_stream(void)
{
    struct tt_kcp_config c = end_config();
    c.stream = true;
    c.mtu = TT_KCP_HEADER + 8;
    open_with(&c);
    open_path(&a, false);
}

static struct tt_slab *slab_with(const char *text)
{
    struct tt_slab *slab = tt_slab_get(&end.slabs, TT_SLAB_SMALL);
    assert_non_null(slab);
    slab->used = (uint32_t)strlen(text);
    memcpy(slab->data, text, slab->used);
    return slab;
}

static void write_text(const char *text)
{
    struct tt_slab *slab = slab_with(text);
    assert_int_equal(tt_kcp_send_bytes(&end.kcp, slab->data, slab->used, slab), TT_OK);
}

static void test_k5_small_writes_are_joined_until_they_have_a_number(void **state)
{
    (void)state;
    open_stream();
    write_text("ab");
    write_text("cd");
    write_text("efg");
    assert_string_equal(end_flush(&end, &a), "push 0 \"abcdefg\"");
    write_text("h");
    assert_string_equal(end_flush(&end, &a), "push 1 \"h\"");
}

static void test_k5_a_write_that_does_not_fit_whole_begins_a_segment(void **state)
{
    (void)state;
    open_stream();
    write_text("abcdefgh");
    write_text("i");
    write_text("0123456789abcdefXY");
    write_text("Z");
    assert_string_equal(end_flush(&end, &a),
                        "push 0 \"abcdefgh\" | push 1 \"i\" | push 2 \"01234567\" | "
                        "push 3 \"89abcdef\" | push 4 \"XYZ\"");
    assert_int_equal(end.kcp.send.queued_bytes, 28);
}

static void test_pieces_of_one_slab_are_joined_where_they_lie(void **state)
{
    (void)state;
    open_stream();
    struct tt_slab *slab = slab_with("abcdef");
    tt_kcp_send_bytes(&end.kcp, slab->data, 2, tt_slab_ref(slab));
    tt_kcp_send_bytes(&end.kcp, slab->data + 2, 3, tt_slab_ref(slab));
    assert_int_equal(slab->refs, 2);
    assert_ptr_equal(tt_kcp_send_at(&end.kcp.send, 0)->data, slab->data);
    tt_kcp_send_bytes(&end.kcp, slab->data + 4, 2, slab); /* not behind what is queued */
    assert_string_equal(end_flush(&end, &a), "push 0 \"abcdeef\"");
}

static void test_joining_never_writes_into_memory_of_others(void **state)
{
    (void)state;
    open_stream();
    struct tt_slab *shared = slab_with("abXX");
    tt_kcp_send_bytes(&end.kcp, shared->data, 2, tt_slab_ref(shared));
    write_text("cd");
    assert_memory_equal(shared->data, "abXX", 4);
    tt_slab_unref(shared);
    struct tt_slab *longer = slab_with("efYY");
    tt_kcp_send_bytes(&end.kcp, longer->data, 2, longer); /* ours alone, but not to its end */
    write_text("gh");
    assert_string_equal(end_flush(&end, &a), "push 0 \"abcdefgh\"");
}

static void test_without_memory_to_join_small_writes_stay_apart(void **state)
{
    (void)state;
    open_stream();
    struct tt_slab *shared = slab_with("ab");
    struct tt_slab *next = slab_with("c");
    tt_kcp_send_bytes(&end.kcp, shared->data, 2, tt_slab_ref(shared));
    end.slabs.limit_bytes = end.slabs.live_bytes;
    assert_int_equal(tt_kcp_send_bytes(&end.kcp, next->data, 1, next), TT_OK);
    assert_string_equal(end_flush(&end, &a), "push 0 \"ab\" | push 1 \"c\"");
    tt_slab_unref(shared);
}

static void test_segments_of_any_size_are_joined(void **state)
{
    (void)state;
    static const uint32_t mtus[] = {1400, 2000, 2100, 9000, 16500, TT_KCP_MAX_MTU};
    for (size_t i = 0; i < ARRAY_LEN(mtus); i++) {
        struct tt_kcp_config c = end_config();
        c.stream = true;
        c.mtu = mtus[i];
        open_with(&c);
        open_path(&a, false);
        static uint8_t bytes[TT_SLAB_LARGE_BYTES];
        const uint32_t mss = mtus[i] - TT_KCP_HEADER;
        assert_int_equal(tt_kcp_send_message(&end.kcp, tt_span_of(bytes, mss - 1)), TT_OK);
        struct tt_slab *shared = tt_slab_ref(tt_kcp_send_at(&end.kcp.send, 0)->slab);
        end_send(&end, "x");
        assert_int_equal(end.kcp.send.end, 1);
        tt_slab_unref(shared);
        end_send(&end, "y");
        assert_int_equal(end_pull(&end, &a, mtus[i]), TT_OK);
        assert_int_equal(end.packet_len, mtus[i]);
        assert_int_equal(end.packet[mtus[i] - 1], 'x');
        close_end(NULL);
    }
    open_ends(0, false);
}

static void test_k7_no_bytes_are_no_segment(void **state)
{
    (void)state;
    open_stream();
    write_text("");
    assert_false(tt_kcp_wants_send(&end.kcp, &a));
    assert_true(tt_kcp_all_acked(&end.kcp));
    assert_int_equal(end.slabs.live_bytes, 0);
}

static void test_bytes_without_memory_for_the_ring_are_refused_whole(void **state)
{
    (void)state;
    open_stream();
    struct tt_slab *slab = slab_with("0123456789");
    end.memory.fail_at = end.memory.calls;
    assert_int_equal(tt_kcp_send_bytes(&end.kcp, slab->data, 10, slab), TT_E_NOMEM);
    assert_int_equal(end.slabs.live_bytes, 0);
    assert_int_equal(end.kcp.send.queued_bytes, 0);
    assert_true(tt_kcp_all_acked(&end.kcp));
}

/* --- timeouts --- */

static const struct {
    const char *name;
    bool nodelay, ordered;
    unsigned least_ms;    /* of the first timeout, after a sample of 1 ms */
    unsigned after_ms[4]; /* each timeout after the one before, no sample */
} timeouts[] = {
    {"unordered", false, false, 101, {200, 400, 600, 800}},
    {"unordered, nodelay", true, false, 101, {200, 300, 400, 500}},
    {"ordered", false, true, 200, {200, 400, 600, 800}},
    {"ordered, nodelay", true, true, 200, {200, 300, 400, 500}},
};

static void test_k28_timeouts_grow_by_the_same_amount_each_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        struct tt_kcp_config c = end_config();
        c.nodelay = timeouts[i].nodelay;
        open_with(&c);
        open_path(&a, timeouts[i].ordered);
        send_letters(1);
        one_leaves(&a, "push 0 \"a\"");
        for (size_t n = 0; n < ARRAY_LEN(timeouts[i].after_ms); n++) {
            const uint64_t before_us = end.now_us;
            at_deadline();
            if (end.now_us - before_us != timeouts[i].after_ms[n] * TT_MS)
                fail_msg("%s, timeout %zu: after %u us", timeouts[i].name, n,
                         (unsigned)(end.now_us - before_us));
            one_leaves(&a, "push 0 \"a\"");
            assert_int_equal(end_header(&end, 0).ts, end.now_us / TT_MS); /* K-6 */
        }
        assert_int_equal(end.kcp.send.retransmissions[TT_KCP_TIMEOUT], 4);
        close_end(NULL);
    }
    open_ends(0, false);
}

static void test_k28_an_ack_ends_the_backoff(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        struct tt_kcp_config c = end_config();
        c.nodelay = timeouts[i].nodelay;
        open_with(&c);
        open_path(&a, timeouts[i].ordered);
        send_letters(1);
        one_leaves(&a, "push 0 \"a\"");
        at_deadline();
        one_leaves(&a, "push 0 \"a\"");
        wait_ms(1);
        acked(0, 1);
        assert_true(tt_kcp_deadline(&end.kcp) == TT_NEVER);
        send_letters(1);
        one_leaves(&a, "push 1 \"a\"");
        assert_int_equal(tt_kcp_deadline(&end.kcp) - end.now_us, timeouts[i].least_ms * TT_MS);
        close_end(NULL);
    }
    open_ends(0, false);
}

static void test_unordered_all_that_is_due_is_lost_at_once(void **state)
{
    (void)state;
    open_ends(0, false);
    send_letters(3);
    one_leaves(&a, "push 0 \"a\"");
    one_leaves(&a, "push 1 \"b\"");
    wait_ms(50);
    one_leaves(&a, "push 2 \"c\"");
    at_deadline();
    assert_string_equal(end_flush(&end, &a), "push 0 \"a\", push 1 \"b\"");
}

static void test_ordered_one_segment_asks_for_all(void **state)
{
    (void)state;
    open_ends(2, true);
    send_letters(4);
    assert_string_equal(end_flush(&end, &a),
                        "push 0 \"a\", push 1 \"b\", push 2 \"c\", push 3 \"d\"");
    at_deadline();
    assert_string_equal(end_flush(&end, &a), "push 0 \"a\"");
    wait_ms(10);
    acked(0, 1); /* the second copy: what left before it is lost */
    assert_string_equal(end_flush(&end, &a), "push 1 \"b\", push 2 \"c\", push 3 \"d\"");
}

static void test_ordered_any_ack_is_progress(void **state)
{
    (void)state;
    open_ends(2, true);
    send_letters(3);
    one_leaves(&a, "push 0 \"a\"");
    one_leaves(&a, "push 1 \"b\"");
    one_leaves(&a, "push 2 \"c\"");
    wait_ms(150);
    una_is(1);
    assert_true(tt_kcp_deadline(&end.kcp) == end.now_us + 200 * TT_MS);
    wait_ms(150);
    una_is(2);
    assert_true(tt_kcp_deadline(&end.kcp) == end.now_us + 200 * TT_MS);
}

static void test_sending_more_is_no_progress(void **state)
{
    (void)state;
    for (unsigned ordered = 0; ordered < 2; ordered++) {
        open_ends(2, ordered);
        send_letters(2);
        wait_ms(500);
        one_leaves(&a, "push 0 \"a\"");
        assert_true(a.progress_us == 1500 * TT_MS); /* from here on an answer is due */
        wait_ms(150);
        one_leaves(&a, "push 1 \"b\"");
        assert_true(a.progress_us == 1500 * TT_MS);
        assert_true(tt_kcp_deadline(&end.kcp) == 1700 * TT_MS);
        close_end(NULL);
    }
    open_ends(0, false);
}

static void test_each_path_has_its_own_timer(void **state)
{
    (void)state;
    open_ends(0, false);
    send_letters(2);
    one_leaves(&a, "push 0 \"a\"");
    wait_ms(100);
    one_leaves(&b, "push 1 \"b\"");
    at_deadline();
    assert_int_equal(end.now_us, 1200 * TT_MS);
    one_leaves(&b, "push 0 \"a\"");
    at_deadline();
    assert_int_equal(end.now_us, 1300 * TT_MS);
    assert_int_equal(a.backoff, 1);
    assert_int_equal(b.backoff, 1);
}

static void test_nothing_is_due_when_nothing_is_outstanding(void **state)
{
    (void)state;
    open_ends(0, false);
    assert_true(tt_kcp_deadline(&end.kcp) == TT_NEVER);
    send_letters(1);
    assert_true(tt_kcp_deadline(&end.kcp) == TT_NEVER); /* it may leave; that is no timer */
    one_leaves(&a, "push 0 \"a\"");
    assert_true(tt_kcp_deadline(&end.kcp) == 1200 * TT_MS);
    at_deadline();
    assert_true(tt_kcp_deadline(&end.kcp) == TT_NEVER); /* lost, and waiting for a path */
    one_leaves(&b, "push 0 \"a\"");
    una_is(1);
    assert_true(tt_kcp_deadline(&end.kcp) == TT_NEVER);
}

/* --- losses by order --- */

static const struct {
    uint32_t resend;
    bool ordered;
    uint32_t acked; /* of five segments: this one alone */
    const char *lost;
} overtaken[] = {
    {0, false, 4, ""},
    {1, false, 0, ""},
    {1, false, 2, "push 0 \"a\", push 1 \"b\""},
    {2, false, 1, ""},
    {2, false, 2, "push 0 \"a\""},
    {2, false, 4, "push 0 \"a\", push 1 \"b\", push 2 \"c\""},
    {3, false, 2, ""},
    {3, false, 3, "push 0 \"a\""},
    {3, true, 1, "push 0 \"a\""},
    {3, true, 0, ""},
    {3, true, 4, "push 0 \"a\", push 1 \"b\", push 2 \"c\", push 3 \"d\""},
};

static void test_k29_what_was_overtaken_is_lost(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(overtaken); i++) {
        open_ends(overtaken[i].resend, overtaken[i].ordered);
        send_letters(5);
        end_flush(&end, &a);
        wait_ms(10);
        acked(overtaken[i].acked, 0);
        const char *lost = end_flush(&end, &a);
        if (strcmp(lost, overtaken[i].lost) != 0)
            fail_msg("row %zu: sent %s", i, lost);
        close_end(NULL);
    }
    open_ends(0, false);
}

static void test_r10_overtaking_on_another_path_is_no_loss(void **state)
{
    (void)state;
    open_ends(1, true);
    send_letters(6);
    one_leaves(&a, "push 0 \"a\"");
    one_leaves(&b, "push 1 \"b\"");
    one_leaves(&a, "push 2 \"c\"");
    one_leaves(&b, "push 3 \"d\"");
    acked(1, 0);
    acked(3, 0);
    one_leaves(&a, "push 4 \"e\""); /* nothing is sent again */
    acked(4, 0);
    assert_string_equal(end_flush(&end, &b), "push 0 \"a\", push 2 \"c\", push 5 \"f\"");
}

/* 0 has timed out and left again behind 1, which is still on its way. */
static void second_copy_behind_another(bool ordered)
{
    open_ends(1, ordered);
    send_letters(3);
    one_leaves(&a, "push 0 \"a\"");
    wait_ms(150);
    one_leaves(&a, "push 1 \"b\"");
    at_deadline();
    one_leaves(&a, "push 0 \"a\"");
}

static void test_k31_the_ack_of_an_earlier_copy_makes_no_losses(void **state)
{
    (void)state;
    second_copy_behind_another(false);
    acked_at(0, 1000, 0);
    assert_string_equal(end_flush(&end, &a), "push 2 \"c\"");
    assert_false(a.rtt.sampled);
}

static void test_k31_una_over_a_second_copy_makes_no_losses(void **state)
{
    (void)state;
    second_copy_behind_another(true);
    una_is(1); /* by which copy? */
    assert_string_equal(end_flush(&end, &a), "push 2 \"c\"");
}

static void test_k31_the_ack_of_the_second_copy_makes_losses(void **state)
{
    (void)state;
    second_copy_behind_another(false);
    acked_at(0, 1200, 0);
    assert_string_equal(end_flush(&end, &a), "push 1 \"b\", push 2 \"c\"");
}

/* A redial within a millisecond: ts does not say which copy an ack is for. */
static void test_k31_the_ack_of_either_copy_of_one_millisecond_makes_no_losses(void **state)
{
    (void)state;
    open_ends(1, true);
    send_letters(2);
    one_leaves(&a, "push 0 \"a\"");
    one_leaves(&b, "push 1 \"b\"");
    tt_kcp_path_close(&end.kcp, &a);
    one_leaves(&b, "push 0 \"a\"");
    wait_ms(1);
    acked_at(0, 1000, 0);
    assert_string_equal(end_flush(&end, &b), "");
    assert_false(b.rtt.sampled);
}

/* --- paths that die --- */

static void test_r10_what_flew_on_a_dead_path_leaves_at_once_oldest_first(void **state)
{
    (void)state;
    open_ends(2, true);
    send_letters(8);
    one_leaves(&a, "push 0 \"a\"");
    one_leaves(&b, "push 1 \"b\"");
    one_leaves(&a, "push 2 \"c\"");
    one_leaves(&a, "push 3 \"d\"");
    one_leaves(&b, "push 4 \"e\"");
    acked(3, 0);                    /* acked on its own: not again; 0 and 2 are lost */
    one_leaves(&a, "push 0 \"a\""); /* now 0 is behind 3 in the order of the path */
    one_leaves(&b, "push 2 \"c\"");
    one_leaves(&a, "push 5 \"f\"");
    tt_kcp_path_close(&end.kcp, &a);
    assert_string_equal(end_flush(&end, &b),
                        "push 0 \"a\", push 5 \"f\", push 6 \"g\", push 7 \"h\"");
    assert_int_equal(end.kcp.send.retransmissions[TT_KCP_PATH_DIED], 2);
    assert_int_equal(end.kcp.send.retransmissions[TT_KCP_FAST], 2);
    assert_int_equal(b.flying.count, 7);
    assert_int_equal(b.flying_bytes, 7);
}

static void test_r10_the_order_is_that_of_numbers_whatever_left_first(void **state)
{
    (void)state;
    open_ends(0, false);
    send_letters(3);
    end_flush(&end, &a);
    at_deadline();
    one_leaves(&a, "push 0 \"a\"");
    tt_kcp_path_close(&end.kcp, &a);
    assert_string_equal(end_flush(&end, &b), "push 1 \"b\", push 2 \"c\", push 0 \"a\"");
    open_path(&a, false);
    tt_kcp_path_close(&end.kcp, &b);
    assert_string_equal(end_flush(&end, &a), "push 0 \"a\", push 1 \"b\", push 2 \"c\"");
}

static void test_an_ack_for_what_is_waiting_to_be_sent_again_counts(void **state)
{
    (void)state;
    open_ends(0, false);
    send_letters(3);
    end_flush(&end, &a);
    tt_kcp_path_close(&end.kcp, &a);
    acked(1, 0);
    assert_string_equal(end_flush(&end, &b), "push 0 \"a\", push 2 \"c\"");
    una_is(3);
    assert_true(tt_kcp_all_acked(&end.kcp));
    assert_int_equal(end.kcp.send.acked_bytes, 3);
}

static void test_r17_after_a_redial_as_much_as_is_allowed_then_as_acks_come(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    open_with(&c);
    tt_kcp_path_open(&end.kcp, &a, end.now_us, false, 3, 0);
    send_letters(9);
    assert_int_equal(tt_kcp_appetite(&end.kcp, &a), 0);
    assert_string_equal(end_flush(&end, &a), "push 0 \"a\", push 1 \"b\", push 2 \"c\"");
    acked(0, 1);
    assert_string_equal(end_flush(&end, &a), "push 3 \"d\", push 4 \"e\", push 5 \"f\"");
    una_is(3);
    assert_string_equal(end_flush(&end, &a), "push 6 \"g\", push 7 \"h\", push 8 \"i\"");
    assert_int_equal(a.allowance, 9);
    assert_int_equal(tt_kcp_appetite(&end.kcp, &a), 3);
}

static void test_appetite_is_what_new_data_could_leave(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    c.snd_wnd = 10;
    open_with(&c);
    open_path(&a, false);
    assert_int_equal(tt_kcp_appetite(&end.kcp, &a), 10);
    send_letters(4);
    assert_int_equal(tt_kcp_appetite(&end.kcp, &a), 6);
    end_flush(&end, &a);
    assert_int_equal(tt_kcp_appetite(&end.kcp, &a), 6);
    send_letters(7);
    assert_int_equal(tt_kcp_appetite(&end.kcp, &a), 0);
}

/* --- round-trip times --- */

static void test_k26_a_sample_belongs_to_the_path_of_the_segment(void **state)
{
    (void)state;
    open_ends(0, false);
    send_letters(2);
    one_leaves(&a, "push 0 \"a\"");
    one_leaves(&b, "push 1 \"b\"");
    wait_ms(30);
    acked(1, 0);
    assert_false(a.rtt.sampled);
    assert_int_equal(b.rtt.smoothed_us, 30 * TT_MS);
    wait_ms(30);
    acked(0, 1);
    assert_int_equal(a.rtt.smoothed_us, 60 * TT_MS);
}

static void test_k26_the_last_ack_of_a_packet_gives_the_sample(void **state)
{
    (void)state;
    uint8_t packet[64];
    open_ends(0, false);
    send_letters(2);
    one_leaves(&a, "push 0 \"a\"");
    wait_ms(100);
    one_leaves(&a, "push 1 \"b\"");
    wait_ms(50);
    size_t len = end_add_segment(packet, 0, end_segment(TT_KCP_ACK, 1, 1100, 0, 32), NULL);
    len = end_add_segment(packet, len, end_segment(TT_KCP_ACK, 0, 1000, 2, 32), NULL);
    end_input(&end, tt_span_of(packet, len));
    assert_int_equal(a.rtt.smoothed_us, 150 * TT_MS);
}

static const struct {
    const char *name;
    uint32_t sn, ts;
} no_samples[] = {
    {"a time in the future", 0, 1050},     {"an older copy", 0, 999},
    {"beyond what was sent", 2, 1000},     {"far off", 0x80000000u, 1000},
    {"not the time of that one", 1, 1000},
};

static void test_k27_only_the_time_of_the_last_copy_is_a_sample(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(no_samples); i++) {
        open_ends(0, false);
        send_letters(2);
        one_leaves(&a, "push 0 \"a\"");
        wait_ms(10);
        one_leaves(&a, "push 1 \"b\"");
        wait_ms(30);
        acked_at(no_samples[i].sn, no_samples[i].ts, 0);
        if (a.rtt.sampled || b.rtt.sampled)
            fail_msg("%s", no_samples[i].name);
        close_end(NULL);
    }
    open_ends(0, false);
}

/* --- the congestion window --- */

static void test_k35_a_timeout_halves_the_effective_window(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    c.nocwnd = false;
    open_with(&c);
    open_path(&a, false);
    end.kcp.send.cwnd.segments = 24;
    end.kcp.send.window = 12;
    send_letters(1);
    end_flush(&end, &a);
    at_deadline();
    assert_int_equal(end.kcp.send.cwnd.segments, 1);
    assert_int_equal(end.kcp.send.cwnd.threshold, 6);
}

static void test_k35_without_news_the_window_stays(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    c.nocwnd = false;
    open_with(&c);
    open_path(&a, false);
    end.kcp.send.cwnd.segments = 8;
    end.kcp.send.cwnd.threshold = 20;
    send_letters(2);
    end_flush(&end, &a);
    wait_ms(1);
    tt_kcp_handle_timeout(&end.kcp, end.now_us); /* nothing is due */
    una_is(0);                                   /* nothing is new */
    acked(1, 0);
    assert_int_equal(end.kcp.send.cwnd.segments, 8);
    assert_int_equal(end.kcp.send.cwnd.threshold, 20);
    una_is(1);
    assert_int_equal(end.kcp.send.cwnd.segments, 9);
}

static void test_k35_losses_of_one_packet_count_once(void **state)
{
    (void)state;
    struct tt_kcp_config c = end_config();
    c.nocwnd = false;
    c.resend = 2;
    open_with(&c);
    open_path(&a, false);
    end.kcp.send.cwnd.segments = 12;
    send_letters(12);
    end_flush(&end, &a);
    wait_ms(10);
    acked(8, 0);
    assert_int_equal(end.kcp.send.lost.count, 7);
    assert_int_equal(end.kcp.send.cwnd.threshold, 6);
    assert_int_equal(end.kcp.send.cwnd.segments, 8);
}

static void test_shrink_frees_what_an_idle_end_does_not_need(void **state)
{
    (void)state;
    open_ends(0, false);
    send_letters(1);
    tt_kcp_shrink(&end.kcp);
    end_flush(&end, &a);
    tt_kcp_shrink(&end.kcp);
    una_is(1);
    tt_kcp_shrink(&end.kcp);
    tt_slab_pool_trim(&end.slabs);
    assert_int_equal(end.memory.live, 0);
    send_letters(1);
    assert_string_equal(end_flush(&end, &a), "push 1 \"a\"");
}

#define TEST(f) cmocka_unit_test_teardown(f, close_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_k25_the_least_window_counts),
        TEST(test_k34_una_makes_room_for_the_next),
        TEST(test_r14_the_edge_is_the_rightmost_ever_seen),
        TEST(test_k20_una_counts_in_every_command),
        TEST(test_k21_numbers_wrap_around),
        TEST(test_k5_small_writes_are_joined_until_they_have_a_number),
        TEST(test_k5_a_write_that_does_not_fit_whole_begins_a_segment),
        TEST(test_pieces_of_one_slab_are_joined_where_they_lie),
        TEST(test_joining_never_writes_into_memory_of_others),
        TEST(test_without_memory_to_join_small_writes_stay_apart),
        TEST(test_segments_of_any_size_are_joined),
        TEST(test_k7_no_bytes_are_no_segment),
        TEST(test_bytes_without_memory_for_the_ring_are_refused_whole),
        TEST(test_k28_timeouts_grow_by_the_same_amount_each_time),
        TEST(test_k28_an_ack_ends_the_backoff),
        TEST(test_unordered_all_that_is_due_is_lost_at_once),
        TEST(test_ordered_one_segment_asks_for_all),
        TEST(test_ordered_any_ack_is_progress),
        TEST(test_sending_more_is_no_progress),
        TEST(test_each_path_has_its_own_timer),
        TEST(test_nothing_is_due_when_nothing_is_outstanding),
        TEST(test_k29_what_was_overtaken_is_lost),
        TEST(test_r10_overtaking_on_another_path_is_no_loss),
        TEST(test_k31_the_ack_of_an_earlier_copy_makes_no_losses),
        TEST(test_k31_una_over_a_second_copy_makes_no_losses),
        TEST(test_k31_the_ack_of_the_second_copy_makes_losses),
        TEST(test_k31_the_ack_of_either_copy_of_one_millisecond_makes_no_losses),
        TEST(test_r10_what_flew_on_a_dead_path_leaves_at_once_oldest_first),
        TEST(test_r10_the_order_is_that_of_numbers_whatever_left_first),
        TEST(test_an_ack_for_what_is_waiting_to_be_sent_again_counts),
        TEST(test_r17_after_a_redial_as_much_as_is_allowed_then_as_acks_come),
        TEST(test_appetite_is_what_new_data_could_leave),
        TEST(test_k26_a_sample_belongs_to_the_path_of_the_segment),
        TEST(test_k26_the_last_ack_of_a_packet_gives_the_sample),
        TEST(test_k27_only_the_time_of_the_last_copy_is_a_sample),
        TEST(test_k35_a_timeout_halves_the_effective_window),
        TEST(test_k35_without_news_the_window_stays),
        TEST(test_k35_losses_of_one_packet_count_once),
        TEST(test_shrink_frees_what_an_idle_end_does_not_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
