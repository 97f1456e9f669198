/* The gather: pieces that leave in order, in any cuts, while somebody holds them. */
#include "core/gather.h"
#include <turbotunnel/error.h>

#include "failing_alloc.h"
#include "test.h"

static struct failing_alloc memory;
static struct tt_slab_pool pool;
static struct tt_gather g;

static int open_gather(void **state)
{
    (void)state;
    failing_alloc_init(&memory, FAIL_NEVER);
    tt_slab_pool_init(&pool, &memory.alloc, SIZE_MAX);
    memset(&g, 0, sizeof(g));
    return 0;
}

static int close_gather(void **state)
{
    (void)state;
    tt_gather_reset(&g);
    assert_int_equal(pool.live_bytes, 0);
    tt_slab_pool_dispose(&pool);
    assert_int_equal(memory.live, 0);
    return 0;
}

static struct tt_slab *slab_with(const char *text)
{
    struct tt_slab *slab = tt_slab_get(&pool, TT_SLAB_SMALL);
    slab->used = (uint32_t)strlen(text);
    memcpy(slab->data, text, slab->used);
    return slab;
}

static void header(const char *text)
{
    const uint32_t n = (uint32_t)strlen(text);
    memcpy(tt_gather_header(&g, n), text, n);
}

static void payload(struct tt_slab *slab)
{
    tt_gather_payload(&g, slab->data, slab->used, slab);
}

/* What is not written yet. */
static const char *content(void)
{
    static char text[TT_GATHER_HEADER_BYTES + 1];
    size_t len = 0;
    for (uint32_t i = g.first; i < g.count; i++) {
        memcpy(text + len, g.spans[i].ptr, g.spans[i].len);
        len += g.spans[i].len;
    }
    text[len] = '\0';
    assert_int_equal(len, g.bytes);
    return text;
}

static void test_headers_and_payload_leave_in_order(void **state)
{
    (void)state;
    struct tt_slab *one = slab_with("one"), *two = slab_with("two");
    header("[1]");
    payload(one);
    header("[2]");
    payload(two);
    assert_string_equal(content(), "[1]one[2]two");
    assert_int_equal(g.count, 4);
    assert_int_equal(one->refs, 1); /* borrowed */
    tt_slab_unref(one);
    tt_slab_unref(two);
    tt_gather_reset(&g);
    assert_string_equal(content(), "");
}

static void test_headers_in_a_row_are_one_piece(void **state)
{
    (void)state;
    struct tt_slab *slab = slab_with("x");
    header("a");
    header("bc");
    assert_int_equal(g.count, 1);
    payload(slab);
    header("d");
    header("e");
    assert_int_equal(g.count, 3);
    assert_string_equal(content(), "abcxde");
    tt_gather_advance(&g, 5); /* the last piece is written in part */
    header("f");
    assert_string_equal(content(), "ef");
    tt_gather_advance(&g, 2);
    header("g"); /* behind a piece that is gone */
    assert_string_equal(content(), "g");
    tt_slab_unref(slab);
}

static void test_any_cut_leaves_the_rest(void **state)
{
    (void)state;
    const char *whole = "[1]one[2]two[3]";
    for (size_t first = 0; first <= strlen(whole); first++) {
        for (size_t second = 0; first + second <= strlen(whole); second++) {
            struct tt_slab *one = slab_with("one"), *two = slab_with("two");
            header("[1]");
            payload(one);
            header("[2]");
            payload(two);
            header("[3]");
            tt_gather_advance(&g, first);
            tt_gather_keep(&g);
            tt_slab_unref(one); /* from here only the gather holds them */
            tt_slab_unref(two);
            tt_gather_advance(&g, second);
            assert_string_equal(content(), whole + first + second);
            tt_gather_reset(&g);
            assert_int_equal(pool.live_bytes, 0);
        }
    }
}

static void test_what_is_kept_is_held_once_and_only_until_it_is_written(void **state)
{
    (void)state;
    struct tt_slab *one = slab_with("one"), *two = slab_with("two");
    payload(one);
    payload(two);
    tt_gather_keep(&g);
    tt_gather_keep(&g);
    assert_int_equal(one->refs, 2);
    tt_gather_advance(&g, 3);
    assert_int_equal(one->refs, 1);
    assert_int_equal(two->refs, 2);
    tt_gather_advance(&g, 2);
    assert_int_equal(two->refs, 2);
    tt_gather_reset(&g);
    assert_int_equal(two->refs, 1);
    tt_slab_unref(one);
    tt_slab_unref(two);
}

static void test_only_what_is_in_it_now_is_held(void **state)
{
    (void)state;
    struct tt_slab *one = slab_with("one"), *two = slab_with("two");
    payload(one);
    payload(two);
    tt_gather_keep(&g);
    tt_gather_reset(&g);
    payload(one);
    assert_int_equal(one->refs, 1); /* borrowed again */
    tt_gather_keep(&g);
    assert_int_equal(one->refs, 2);
    assert_int_equal(two->refs, 1); /* of the batch before */
    tt_gather_reset(&g);
    tt_slab_unref(one);
    tt_slab_unref(two);
}

static void test_payload_added_after_keep_is_held_too(void **state)
{
    (void)state;
    struct tt_slab *one = slab_with("one"), *two = slab_with("two");
    payload(one);
    tt_gather_keep(&g);
    header("h");
    payload(two);
    tt_slab_unref(one);
    tt_slab_unref(two);
    assert_string_equal(content(), "onehtwo");
    tt_gather_advance(&g, 7);
    assert_int_equal(pool.live_bytes, 0);
}

static void test_it_has_room_up_to_its_limits(void **state)
{
    (void)state;
    struct tt_slab *slab = slab_with("x");
    assert_true(tt_gather_has_room(&g, TT_GATHER_HEADER_BYTES));
    assert_false(tt_gather_has_room(&g, TT_GATHER_HEADER_BYTES + 1));
    tt_gather_header(&g, TT_GATHER_HEADER_BYTES);
    assert_true(tt_gather_has_room(&g, 0));
    assert_false(tt_gather_has_room(&g, 1));
    tt_gather_reset(&g);
    unsigned segments = 0;
    for (; tt_gather_has_room(&g, 24); segments++) {
        tt_gather_header(&g, 24);
        payload(slab);
    }
    assert_int_equal(segments, TT_GATHER_SPANS / 2);
    assert_int_equal(g.bytes, segments * 25);
    tt_slab_unref(slab);
}

static void test_rewind_takes_back_what_was_added_since_the_mark(void **state)
{
    (void)state;
    struct tt_slab *slab = slab_with("x");
    const struct tt_gather_mark empty = tt_gather_mark(&g);
    header("ab");
    const struct tt_gather_mark behind_header = tt_gather_mark(&g);
    header("cd"); /* joined to the one before */
    payload(slab);
    const struct tt_gather_mark behind_payload = tt_gather_mark(&g);
    header("ef");
    tt_gather_rewind(&g, &behind_payload);
    assert_string_equal(content(), "abcdx");
    tt_gather_rewind(&g, &behind_header);
    assert_string_equal(content(), "ab");
    header("gh");
    assert_string_equal(content(), "abgh");
    assert_int_equal(g.count, 1);
    tt_gather_rewind(&g, &empty);
    assert_string_equal(content(), "");
    assert_int_equal(g.headers_used, 0);
    tt_slab_unref(slab);
}

/* --- packets that are built here --- */

/* One of n bytes, all c. Returns what tt_gather_build does. */
static int build(uint32_t n, char c)
{
    uint8_t *room = NULL;
    const int err = tt_gather_build(&g, &pool, n, &room);
    if (err)
        return err;
    memset(room, c, n);
    tt_gather_built(&g, room, n);
    return TT_OK;
}

static char *copy_of(void)
{
    static char text[TT_GATHER_SLABS * 65536u + 1];
    assert_in_range(g.bytes, 0, sizeof(text) - 1);
    tt_gather_copy(&g, (uint8_t *)text);
    text[g.bytes] = '\0';
    return text;
}

static void test_what_is_built_stands_where_it_was_added(void **state)
{
    (void)state;
    struct tt_slab *slab = slab_with("slab");
    header("h");
    assert_int_equal(build(3, 's'), TT_OK); /* small: among the headers */
    assert_int_equal(g.count, 1);
    assert_int_equal(g.built_count, 0);
    payload(slab);
    assert_int_equal(build(TT_GATHER_SMALL + 1, 'L'), TT_OK);
    header("t");
    char *text = copy_of();
    assert_int_equal(strlen(text), 1 + 3 + 4 + TT_GATHER_SMALL + 1 + 1);
    assert_memory_equal(text, "hsssslabLLLL", 12);
    assert_string_equal(text + 8 + TT_GATHER_SMALL, "Lt");
    tt_gather_advance(&g, 6); /* of what is left */
    assert_memory_equal(copy_of(), "abLL", 4);
    tt_slab_unref(slab);
}

static void test_less_may_be_built_than_there_is_room_for(void **state)
{
    (void)state;
    uint8_t *room, *next;
    assert_int_equal(tt_gather_build(&g, &pool, 4000, &room), TT_OK);
    memcpy(room, "abc", 3);
    tt_gather_built(&g, room, 3);
    assert_int_equal(tt_gather_build(&g, &pool, 4000, &next), TT_OK);
    assert_ptr_equal(next, room + 3); /* nothing is left free in between */
    assert_string_equal(copy_of(), "abc");
    assert_int_equal(tt_gather_build(&g, &pool, 4000, &next), TT_OK); /* not used: given again */
    assert_ptr_equal(next, room + 3);
    assert_int_equal(g.built_count, 1);
}

static void test_slabs_are_added_up_to_their_limit(void **state)
{
    (void)state;
    unsigned packets = 0;
    while (build(16384, 'x') == TT_OK)
        packets++;
    assert_int_equal(packets, TT_GATHER_SLABS * (tt_slab_capacity(TT_SLAB_LARGE) / 16384));
    assert_int_equal(build(16384, 'x'), TT_E_FULL);
    assert_int_equal(build(TT_GATHER_SMALL, 's'), TT_OK); /* that needs none */
    tt_gather_reset(&g);
    assert_int_equal(g.built_count, 0); /* they are the pool's again */
    assert_int_equal(pool.live_bytes, 0);
    assert_int_equal(build((uint32_t)tt_slab_capacity(TT_SLAB_LARGE), 'x'), TT_OK);
    assert_int_equal(g.built_count, 1);
}

static void test_one_that_fits_into_no_slab_is_not_built(void **state)
{
    (void)state;
    uint8_t *room;
    const uint32_t most = (uint32_t)tt_slab_capacity(TT_SLAB_LARGE);
    assert_int_equal(tt_gather_build(&g, &pool, most, &room), TT_OK);
    assert_int_equal(tt_gather_build(&g, &pool, most + 1, &room), TT_E_FULL);
}

static void test_without_memory_what_is_there_is_written_first(void **state)
{
    (void)state;
    memory.fail_at = memory.calls;
    assert_int_equal(build(1000, 'x'), TT_E_NOMEM);
    header("h");
    memory.fail_at = memory.calls;
    assert_int_equal(build(1000, 'x'), TT_E_FULL);
    assert_string_equal(content(), "h");
    assert_int_equal(build(1000, 'x'), TT_OK);
}

/* The socket took a part: what is left outlives the gather's own use of the slab. */
static void test_what_is_kept_of_what_was_built_stays(void **state)
{
    (void)state;
    assert_int_equal(build(1000, 'a'), TT_OK);
    assert_int_equal(build(1000, 'b'), TT_OK);
    tt_gather_advance(&g, 1500);
    tt_gather_keep(&g);
    struct tt_slab *slab = g.built[0];
    assert_int_equal(slab->refs, 2);
    assert_int_equal(build(1000, 'c'), TT_OK);
    assert_int_equal(slab->refs, 3);
    assert_int_equal(strspn(copy_of(), "b"), 500);
    assert_int_equal(strlen(copy_of()), 1500);
    tt_slab_ref(slab); /* somebody else keeps bytes of it */
    tt_gather_reset(&g);
    assert_int_equal(g.built_count, 0);
    assert_int_equal(slab->refs, 1);
    tt_slab_unref(slab);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_gather, close_gather)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_headers_and_payload_leave_in_order),
        TEST(test_headers_in_a_row_are_one_piece),
        TEST(test_any_cut_leaves_the_rest),
        TEST(test_what_is_kept_is_held_once_and_only_until_it_is_written),
        TEST(test_only_what_is_in_it_now_is_held),
        TEST(test_payload_added_after_keep_is_held_too),
        TEST(test_it_has_room_up_to_its_limits),
        TEST(test_rewind_takes_back_what_was_added_since_the_mark),
        TEST(test_what_is_built_stands_where_it_was_added),
        TEST(test_less_may_be_built_than_there_is_room_for),
        TEST(test_slabs_are_added_up_to_their_limit),
        TEST(test_one_that_fits_into_no_slab_is_not_built),
        TEST(test_without_memory_what_is_there_is_written_first),
        TEST(test_what_is_kept_of_what_was_built_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
