/* Objects in blocks of their own (src/core/base/objects.c). */
#include <string.h>

#include "core/base/objects.h"
#include "failing_alloc.h"
#include "test.h"

#define MANY 1000u

static struct failing_alloc memory;
static struct tt_objects objects;
static uint8_t *got[MANY];

static int begin(void **state)
{
    (void)state;
    failing_alloc_init(&memory, FAIL_NEVER);
    tt_objects_init(&objects, 123, &memory.alloc);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tt_objects_dispose(&objects);
    tt_objects_dispose(&objects);
    return memory.live == 0 ? 0 : -1;
}

static void get(uint32_t i)
{
    got[i] = tt_objects_get(&objects);
    assert_non_null(got[i]);
    assert_int_equal((uintptr_t)got[i] % 8, 0);
    memset(got[i], (int)i, 123);
}

/* It holds what was written there, whatever happened to others. */
static void put(uint32_t i)
{
    for (unsigned k = 0; k < 123; k++)
        assert_int_equal(got[i][k], (uint8_t)i);
    tt_objects_put(got[i]);
    got[i] = NULL;
}

static void test_objects_do_not_overlap_in_whatever_order_they_go(void **state)
{
    (void)state;
    static const uint32_t steps[] = {1, MANY - 1, 187}; /* have no divisor with MANY */
    for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
        for (uint32_t i = 0; i < MANY; i++)
            get(i);
        for (uint32_t i = 0; i < MANY; i += 3) {
            put(i);
            get(i);
        }
        for (uint32_t i = 0; i < MANY; i++)
            put(i * steps[s] % MANY);
        assert_int_equal(memory.live, 0);
    }
}

static void test_a_block_is_filled_before_another_is_taken(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        get(i);
        assert_int_equal(memory.live, (i + objects.per_block) / objects.per_block);
        assert_int_equal(objects.blocks, memory.live);
    }
    for (uint32_t i = 0; i < MANY; i++)
        put(i);
}

static void test_a_place_in_a_full_block_is_used_again(void **state)
{
    (void)state;
    const uint32_t two_blocks = 2 * objects.per_block;
    for (uint32_t i = 0; i < two_blocks; i++)
        get(i);
    put(0);
    get(0);
    assert_int_equal(memory.live, 2);
    for (uint32_t i = 0; i < two_blocks; i++)
        put(i);
}

static void test_a_block_goes_with_its_last_object(void **state)
{
    (void)state;
    const uint32_t two_blocks = 2 * objects.per_block;
    assert_in_range(two_blocks, 2, MANY);
    for (uint32_t i = 0; i < two_blocks; i++)
        get(i);
    for (uint32_t i = 0; i < objects.per_block; i++) {
        assert_int_equal(memory.live, 2);
        put(i);
    }
    assert_int_equal(memory.live, 1);
    for (uint32_t i = objects.per_block; i < two_blocks; i++)
        put(i);
    assert_int_equal(memory.live, 0);
}

static void test_without_memory_there_is_no_object(void **state)
{
    (void)state;
    memory.fail_at = 0;
    assert_null(tt_objects_get(&objects));
    get(0); /* the next time there is */
    put(0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_objects_do_not_overlap_in_whatever_order_they_go),
        TEST(test_a_block_is_filled_before_another_is_taken),
        TEST(test_a_place_in_a_full_block_is_used_again),
        TEST(test_a_block_goes_with_its_last_object),
        TEST(test_without_memory_there_is_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
