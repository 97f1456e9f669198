/* Slabs: who holds them, what is kept to be used again, and the limit. */
#include "core/base/slab.h"
#include "failing_alloc.h"
#include "test.h"

static struct failing_alloc memory;
static struct tt_slab_pool pool;

static int open_pool(void **state)
{
    (void)state;
    failing_alloc_init(&memory, FAIL_NEVER);
    tt_slab_pool_init(&pool, &memory.alloc, SIZE_MAX);
    return 0;
}

static int close_pool(void **state)
{
    (void)state;
    tt_slab_pool_dispose(&pool);
    assert_int_equal(memory.live, 0);
    return 0;
}

static const struct {
    enum tt_slab_class class;
    uint32_t bytes, most_spare;
} classes[] = {
    {TT_SLAB_SMALL, TT_SLAB_SMALL_BYTES, 32},
    {TT_SLAB_MEDIUM, TT_SLAB_MEDIUM_BYTES, 16},
    {TT_SLAB_LARGE, TT_SLAB_LARGE_BYTES, 32},
    {TT_SLAB_PACKETS, TT_SLAB_LARGE_BYTES, 5},
};

static void test_a_slab_fills_its_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        struct tt_slab *slab = tt_slab_get(&pool, classes[i].class);
        assert_non_null(slab);
        assert_int_equal(slab->capacity, tt_slab_capacity(classes[i].class));
        assert_int_equal(sizeof(*slab) + slab->capacity, classes[i].bytes);
        assert_int_equal(tt_slab_room(slab), slab->capacity);
        memset(slab->data, 1, slab->capacity);
        slab->used = slab->capacity - 3;
        assert_int_equal(tt_slab_room(slab), 3);
        assert_int_equal(pool.live_bytes, classes[i].bytes);
        tt_slab_unref(slab);
        assert_int_equal(pool.live_bytes, 0);
    }
}

static void test_the_last_reference_gives_it_back(void **state)
{
    (void)state;
    struct tt_slab *slab = tt_slab_get(&pool, TT_SLAB_SMALL);
    assert_ptr_equal(tt_slab_ref(slab), slab);
    tt_slab_unref(slab);
    assert_int_equal(pool.live_bytes, TT_SLAB_SMALL_BYTES);
    tt_slab_unref(slab);
    assert_int_equal(pool.live_bytes, 0);
    tt_slab_unref(NULL);
}

static void test_a_spare_slab_is_used_again_and_is_as_new(void **state)
{
    (void)state;
    struct tt_slab_account account = {0};
    struct tt_slab *slab = tt_slab_get(&pool, TT_SLAB_MEDIUM);
    slab->used = 7;
    slab->transient = true;
    tt_slab_charge(slab, &account);
    tt_slab_unref(slab);
    struct tt_slab *again = tt_slab_get(&pool, TT_SLAB_MEDIUM);
    assert_ptr_equal(again, slab);
    assert_int_equal(again->refs, 1);
    assert_int_equal(again->used, 0);
    assert_false(again->transient);
    assert_null(again->account);
    assert_int_equal(pool.spare_count[TT_SLAB_MEDIUM], 0);
    assert_int_equal(memory.calls, 1);
    tt_slab_unref(again);
}

/* So many at once, and given back. */
static void use(size_t count)
{
    struct tt_slab *slabs[1100];
    assert_true(count <= ARRAY_LEN(slabs));
    for (size_t n = 0; n < count; n++)
        assert_non_null(slabs[n] = tt_slab_get(&pool, TT_SLAB_LARGE));
    for (size_t n = 0; n < count; n++)
        tt_slab_unref(slabs[n]);
}

static void test_a_surplus_goes_when_it_is_not_needed(void **state)
{
    (void)state;
    tt_slab_pool_dispose(&pool);
    tt_slab_pool_init(&pool, &memory.alloc, SIZE_MAX);
    pool.ages = true;
    use(32);
    assert_false(tt_slab_pool_has_surplus(&pool));
    use(1100);
    assert_int_equal(pool.spare_count[TT_SLAB_LARGE], 1024); /* and no more */
    assert_int_equal(memory.live, 1024);
    assert_true(tt_slab_pool_has_surplus(&pool));
    tt_slab_pool_age(&pool); /* from now on it counts */
    use(200);
    tt_slab_pool_age(&pool); /* 824 were not needed */
    assert_int_equal(memory.live, 200);
    const size_t calls = memory.calls;
    use(200);
    assert_int_equal(memory.calls, calls);
    tt_slab_pool_age(&pool);
    assert_int_equal(memory.live, 200);
    tt_slab_pool_age(&pool); /* none was */
    assert_int_equal(memory.live, 32);
    assert_false(tt_slab_pool_has_surplus(&pool));
}

static void test_only_so_many_spare_slabs_are_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        struct tt_slab *slabs[40];
        for (size_t n = 0; n < ARRAY_LEN(slabs); n++)
            slabs[n] = tt_slab_get(&pool, classes[i].class);
        for (size_t n = 0; n < ARRAY_LEN(slabs); n++)
            tt_slab_unref(slabs[n]);
        assert_int_equal(pool.spare_count[classes[i].class], classes[i].most_spare);
        assert_int_equal(memory.live, classes[i].most_spare);
        tt_slab_pool_trim(&pool);
        assert_int_equal(memory.live, 0);
        assert_int_equal(pool.spare_count[classes[i].class], 0);
    }
}

static void test_spare_slabs_go_when_only_one_is_in_use(void **state)
{
    (void)state;
    struct tt_slab *reading = tt_slab_get(&pool, TT_SLAB_LARGE);
    struct tt_slab *held = tt_slab_get(&pool, TT_SLAB_SMALL);
    tt_slab_unref(tt_slab_get(&pool, TT_SLAB_LARGE));
    tt_slab_pool_rest(&pool);
    assert_int_equal(pool.spare_count[TT_SLAB_LARGE], 1); /* somebody holds data */
    tt_slab_unref(held);
    tt_slab_pool_rest(&pool);
    assert_int_equal(memory.live, 1);
    tt_slab_unref(reading);
}

static void test_live_bytes_never_pass_the_limit(void **state)
{
    (void)state;
    pool.limit_bytes = TT_SLAB_MEDIUM_BYTES + TT_SLAB_SMALL_BYTES;
    assert_null(tt_slab_get(&pool, TT_SLAB_LARGE));
    struct tt_slab *medium = tt_slab_get(&pool, TT_SLAB_MEDIUM);
    struct tt_slab *small = tt_slab_get(&pool, TT_SLAB_SMALL);
    assert_non_null(medium);
    assert_non_null(small);
    assert_null(tt_slab_get(&pool, TT_SLAB_SMALL));
    assert_int_equal(pool.refused, 2);
    tt_slab_unref(medium); /* a spare one does not count */
    medium = tt_slab_get(&pool, TT_SLAB_MEDIUM);
    assert_non_null(medium);
    tt_slab_unref(medium);
    tt_slab_unref(small);
    pool.limit_bytes = 0;
    assert_null(tt_slab_get(&pool, TT_SLAB_SMALL));
}

static void test_writers_leave_an_eighth_of_the_limit(void **state)
{
    (void)state;
    struct tt_slab *slabs[7];
    pool.limit_bytes = 8u * TT_SLAB_SMALL_BYTES;
    assert_false(tt_slab_may_write(&pool, TT_SLAB_MEDIUM));
    for (size_t i = 0; i < ARRAY_LEN(slabs); i++) {
        assert_true(tt_slab_may_write(&pool, TT_SLAB_SMALL));
        slabs[i] = tt_slab_get(&pool, TT_SLAB_SMALL);
    }
    assert_false(tt_slab_may_write(&pool, TT_SLAB_SMALL));
    struct tt_slab *last = tt_slab_get(&pool, TT_SLAB_SMALL);
    assert_non_null(last);
    tt_slab_unref(last);
    for (size_t i = 0; i < ARRAY_LEN(slabs); i++)
        tt_slab_unref(slabs[i]);
}

/* --- a limit that is shared --- */

#define PIECE (2u * TT_SLAB_LARGE_BYTES)

static void test_two_pools_take_a_shared_limit_in_pieces(void **state)
{
    (void)state;
    struct tt_quota quota;
    struct tt_slab_pool other;
    struct tt_slab *slabs[6];
    tt_slab_pool_init(&other, &memory.alloc, SIZE_MAX);
    tt_quota_init(&quota, 3 * PIECE + 1);
    tt_slab_pool_share(&pool, &quota, PIECE);
    tt_slab_pool_share(&other, &quota, PIECE);
    assert_int_equal(tt_quota_taken(&quota), 0);
    for (size_t i = 0; i < 5; i++) {
        slabs[i] = tt_slab_get(i < 3 ? &pool : &other, TT_SLAB_LARGE);
        assert_non_null(slabs[i]);
    }
    assert_int_equal(tt_quota_taken(&quota), 3 * PIECE);
    slabs[5] = tt_slab_get(&pool, TT_SLAB_LARGE); /* the half of a piece that it has left */
    assert_non_null(slabs[5]);
    assert_null(tt_slab_get(&pool, TT_SLAB_SMALL));
    assert_null(tt_slab_get(&other, TT_SLAB_LARGE));
    assert_int_equal(pool.refused, 1);
    assert_int_equal(other.refused, 1);
    for (size_t i = 0; i < ARRAY_LEN(slabs); i++)
        tt_slab_unref(slabs[i]);
    assert_int_equal(tt_quota_taken(&quota), 2 * PIECE); /* less than two pieces are kept by each */
    tt_slab_pool_unshare(&pool);
    tt_slab_pool_unshare(&pool); /* twice is safe */
    tt_slab_pool_unshare(&other);
    assert_int_equal(tt_quota_taken(&quota), 0);
    assert_null(tt_slab_get(&pool, TT_SLAB_SMALL));
    tt_slab_pool_dispose(&other);
}

/* At the edge between two pieces a slab that comes and goes moves no piece. */
static void test_a_piece_is_given_back_only_when_two_are_to_spare(void **state)
{
    (void)state;
    struct tt_quota quota;
    struct tt_slab *slabs[4];
    tt_quota_init(&quota, 10 * PIECE);
    tt_slab_pool_share(&pool, &quota, PIECE);
    for (size_t i = 0; i < ARRAY_LEN(slabs); i++)
        slabs[i] = tt_slab_get(&pool, TT_SLAB_LARGE);
    assert_int_equal(tt_quota_taken(&quota), 2 * PIECE);
    for (size_t i = ARRAY_LEN(slabs); i-- > 1;) {
        tt_slab_unref(slabs[i]);
        assert_int_equal(tt_quota_taken(&quota), 2 * PIECE);
    }
    tt_slab_unref(slabs[0]);
    assert_int_equal(tt_quota_taken(&quota), PIECE);
    tt_slab_pool_unshare(&pool);
}

static void test_writers_leave_an_eighth_of_a_shared_limit(void **state)
{
    (void)state;
    struct tt_quota quota;
    struct tt_slab_pool other;
    struct tt_slab *slabs[14];
    tt_slab_pool_init(&other, &memory.alloc, SIZE_MAX);
    tt_quota_init(&quota, 8 * PIECE);
    tt_slab_pool_share(&pool, &quota, PIECE);
    tt_slab_pool_share(&other, &quota, PIECE);
    for (size_t i = 0; i < ARRAY_LEN(slabs); i++) { /* seven pieces */
        assert_true(tt_slab_may_write(&other, TT_SLAB_LARGE));
        slabs[i] = tt_slab_get(&other, TT_SLAB_LARGE);
    }
    assert_false(tt_slab_may_write(&other, TT_SLAB_SMALL));
    assert_false(tt_slab_may_write(&pool, TT_SLAB_SMALL)); /* which has nothing yet */
    struct tt_slab *last = tt_slab_get(&pool, TT_SLAB_LARGE);
    assert_non_null(last);
    tt_slab_unref(last);
    for (size_t i = 0; i < ARRAY_LEN(slabs); i++)
        tt_slab_unref(slabs[i]);
    assert_true(tt_slab_may_write(&pool, TT_SLAB_LARGE));
    tt_slab_pool_unshare(&other);
    tt_slab_pool_dispose(&other);
    tt_slab_pool_unshare(&pool);
}

static void test_a_refused_allocation_is_counted(void **state)
{
    (void)state;
    memory.fail_at = 0;
    assert_null(tt_slab_get(&pool, TT_SLAB_SMALL));
    assert_int_equal(pool.refused, 1);
    assert_int_equal(pool.live_bytes, 0);
}

static void test_a_slab_is_charged_once_and_to_one_account(void **state)
{
    (void)state;
    struct tt_slab_account first = {0}, second = {0};
    struct tt_slab *slab = tt_slab_get(&pool, TT_SLAB_SMALL);
    tt_slab_charge(slab, &first);
    tt_slab_charge(slab, &first);
    tt_slab_charge(slab, &second);
    assert_int_equal(first.bytes, slab->capacity);
    assert_int_equal(second.bytes, 0);
    tt_slab_ref(slab);
    tt_slab_unref(slab);
    assert_int_equal(first.bytes, slab->capacity);
    tt_slab_unref(slab);
    assert_int_equal(first.bytes, 0);
}

static void test_a_pool_of_zeroes_can_be_disposed_of(void **state)
{
    (void)state;
    struct tt_slab_pool zero;
    memset(&zero, 0, sizeof(zero));
    tt_slab_pool_dispose(&zero);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_pool, close_pool)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_slab_fills_its_size),
        TEST(test_the_last_reference_gives_it_back),
        TEST(test_a_spare_slab_is_used_again_and_is_as_new),
        TEST(test_a_surplus_goes_when_it_is_not_needed),
        TEST(test_only_so_many_spare_slabs_are_kept),
        TEST(test_spare_slabs_go_when_only_one_is_in_use),
        TEST(test_live_bytes_never_pass_the_limit),
        TEST(test_writers_leave_an_eighth_of_the_limit),
        TEST(test_two_pools_take_a_shared_limit_in_pieces),
        TEST(test_a_piece_is_given_back_only_when_two_are_to_spare),
        TEST(test_writers_leave_an_eighth_of_a_shared_limit),
        TEST(test_a_refused_allocation_is_counted),
        TEST(test_a_slab_is_charged_once_and_to_one_account),
        TEST(test_a_pool_of_zeroes_can_be_disposed_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
