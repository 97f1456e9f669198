/* The ring: items by number, while its range slides, grows and wraps around. */
#include <turbotunnel/error.h>

#include "core/base/ring.h"
#include "failing_alloc.h"
#include "test.h"

struct item {
    uint32_t number;
    uint8_t odd[3]; /* a size that is no power of two */
};

static struct failing_alloc memory;
static struct tt_ring ring;

static int open_ring(void **state)
{
    (void)state;
    failing_alloc_init(&memory, FAIL_NEVER);
    ring = (struct tt_ring){.items = NULL};
    return 0;
}

static int close_ring(void **state)
{
    (void)state;
    tt_ring_dispose(&ring, &memory.alloc);
    tt_ring_dispose(&ring, &memory.alloc);
    assert_int_equal(memory.live, 0);
    return 0;
}

static struct item *at(uint32_t number)
{
    return tt_ring_at(&ring, sizeof(struct item), number);
}

static int reserve(uint32_t first, uint32_t count, uint32_t want)
{
    return tt_ring_reserve(&ring, &memory.alloc, sizeof(struct item), first, count, want);
}

/* A range that slides, grows and shrinks: each item is where it was put. */
static void slide(uint64_t seed, uint32_t first)
{
    uint32_t count = 0;
    for (unsigned step = 0; step < 3000; step++) {
        const uint32_t more = (uint32_t)test_random_below(&seed, 1 + step / 20);
        assert_int_equal(reserve(first, count, count + more), TT_OK);
        for (uint32_t i = 0; i < more; i++, count++)
            at(first + count)->number = first + count;
        const uint32_t less = (uint32_t)test_random_below(&seed, 1 + 2 * (more + 1));
        for (uint32_t i = 0; i < less && count > 0; i++, count--, first++)
            assert_int_equal(at(first)->number, first);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(at(first + i)->number, first + i);
}

static void test_items_stay_where_they_were_put(void **state)
{
    (void)state;
    static const uint32_t starts[] = {0, 7, UINT32_MAX - 3, UINT32_MAX - 2000, 0x7fffff00};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        slide(i, starts[i]);
        tt_ring_dispose(&ring, &memory.alloc);
    }
}

static void test_new_numbers_are_zeroes(void **state)
{
    (void)state;
    static const struct item zero;
    assert_int_equal(reserve(5, 0, 3), TT_OK);
    memset(at(5), 0xff, sizeof(struct item));
    assert_int_equal(reserve(5, 1, 100), TT_OK);
    assert_int_equal(at(5)->number, UINT32_MAX);
    for (uint32_t i = 6; i < 105; i++)
        assert_memory_equal(at(i), &zero, sizeof(zero));
}

static void test_memory_follows_what_is_reserved(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{0, 0}, {1, 1},  {2, 2},      {3, 4},
                                        {8, 8}, {9, 16}, {1000, 1024}};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(reserve(0, 0, sizes[i][0]), TT_OK);
        assert_int_equal(ring.capacity, sizes[i][1]);
        assert_int_equal(memory.live_bytes, sizes[i][1] * sizeof(struct item));
    }
}

static void test_without_memory_nothing_has_changed(void **state)
{
    (void)state;
    assert_int_equal(reserve(0, 0, 8), TT_OK);
    for (uint32_t i = 0; i < 8; i++)
        at(i)->number = i;
    memory.fail_at = memory.calls;
    assert_int_equal(reserve(0, 8, 9), TT_E_NOMEM);
    assert_int_equal(ring.capacity, 8);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(at(i)->number, i);
}

static void test_what_memory_can_never_hold_is_refused(void **state)
{
    (void)state;
    assert_int_equal(tt_ring_grow(&ring, &memory.alloc, SIZE_MAX / 8, 0, 0, 16), TT_E_NOMEM);
    assert_int_equal(memory.calls, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_ring, close_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_items_stay_where_they_were_put),
        TEST(test_new_numbers_are_zeroes),
        TEST(test_memory_follows_what_is_reserved),
        TEST(test_without_memory_nothing_has_changed),
        TEST(test_what_memory_can_never_hold_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
