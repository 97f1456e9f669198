/* Streams are found by their numbers, few or many (src/core/smux/table.c). */
#include <turbotunnel/error.h>

#include "core/smux/stream.h"
#include "failing_alloc.h"
#include "test.h"

#define MANY 40u

static const uint8_t key[TT_SIPHASH_KEY] = {1, 2, 3};
static struct failing_alloc memory;
static struct tt_smux_table table;
static struct tt_smux_stream streams[MANY];

static int begin(void **state)
{
    (void)state;
    failing_alloc_init(&memory, FAIL_NEVER);
    tt_smux_table_init(&table);
    for (uint32_t i = 0; i < MANY; i++)
        streams[i] = (struct tt_smux_stream){.sid = 3 + 2 * i};
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        if (tt_list_linked(&streams[i].all_node))
            tt_smux_table_remove(&table, &streams[i], &memory.alloc);
    tt_smux_table_dispose(&table, &memory.alloc);
    return memory.live == 0 ? 0 : -1;
}

static int add(uint32_t i)
{
    return tt_smux_table_add(&table, &streams[i], key, &memory.alloc);
}

/* Exactly those from first to last - 1 are there. */
static void check(uint32_t first, uint32_t last)
{
    assert_int_equal(table.count, last - first);
    for (uint32_t i = 0; i < MANY; i++)
        assert_ptr_equal(tt_smux_table_find(&table, streams[i].sid),
                         i >= first && i < last ? &streams[i] : NULL);
    assert_null(tt_smux_table_find(&table, 4));
}

static void test_each_is_found_however_many_there_are(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < MANY; n++) {
        check(0, n);
        assert_int_equal(add(n), TT_OK);
    }
    for (uint32_t n = 0; n < MANY; n++) {
        check(n, MANY);
        tt_smux_table_remove(&table, &streams[n], &memory.alloc);
    }
    check(MANY, MANY);
}

static void test_few_need_no_memory(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(add(i), TT_OK);
    assert_int_equal(memory.calls, 0);
    for (uint32_t i = 8; i < MANY; i++)
        assert_int_equal(add(i), TT_OK);
    assert_true(memory.live > 0);
    for (uint32_t i = 4; i < MANY; i++)
        tt_smux_table_remove(&table, &streams[i], &memory.alloc);
    assert_int_equal(memory.live, 0);
    check(0, 4);
}

static void test_a_number_is_taken_once(void **state)
{
    (void)state;
    struct tt_smux_stream other = {.sid = streams[0].sid};
    for (uint32_t n = 0; n < MANY; n++) {
        assert_int_equal(add(n), TT_OK);
        assert_int_equal(tt_smux_table_add(&table, &other, key, &memory.alloc), TT_E_INVAL);
        check(0, n + 1);
    }
}

static void test_without_memory_nothing_has_changed(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < MANY; n++) {
        int err = TT_E_NOMEM;
        for (size_t k = 0; err == TT_E_NOMEM; k++) {
            check(0, n);
            memory.fail_at = memory.calls + k;
            err = add(n);
        }
        assert_int_equal(err, TT_OK);
        check(0, n + 1);
    }
    assert_true(memory.refused);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_is_found_however_many_there_are),
        TEST(test_few_need_no_memory),
        TEST(test_a_number_is_taken_once),
        TEST(test_without_memory_nothing_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
