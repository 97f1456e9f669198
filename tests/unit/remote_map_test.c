#include "core/remote_map.h"

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "failing_alloc.h"
#include "test.h"

#define EXPIRY_US (10 * TT_SECOND)
#define REMOTES   64u

static const uint8_t hash_key[TT_SIPHASH_KEY] = "a key of sixteen";

static struct tt_session_id id_of(uint64_t number)
{
    struct tt_session_id id;
    for (unsigned i = 0; i < TT_SESSION_ID_LEN; i++)
        id.bytes[i] = (uint8_t)(number >> 8 * i);
    return id;
}

struct fixture {
    struct failing_alloc memory;
    struct tt_remote_map map;
    struct tt_remote remotes[REMOTES];
};

static void open_map(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    failing_alloc_init(&f->memory, FAIL_NEVER);
    tt_remote_map_init(&f->map, EXPIRY_US, hash_key, &f->memory.alloc);
}

static void close_map(struct fixture *f)
{
    tt_remote_map_dispose(&f->map);
    tt_remote_map_dispose(&f->map); /* twice is safe */
    assert_int_equal(f->memory.live, 0);
    for (unsigned i = 0; i < REMOTES; i++)
        assert_false(tt_list_linked(&f->remotes[i].node));
}

static void insert(struct fixture *f, unsigned number, uint64_t now_us)
{
    const struct tt_session_id id = id_of(number);
    assert_int_equal(tt_remote_map_insert(&f->map, &f->remotes[number], &id, now_us), TT_OK);
}

static struct tt_remote *find(const struct fixture *f, uint64_t number)
{
    const struct tt_session_id id = id_of(number);
    return tt_remote_map_find(&f->map, &id);
}

static void test_an_empty_map_finds_nothing_and_waits_for_nothing(void **state)
{
    (void)state;
    struct fixture f;
    open_map(&f);
    assert_null(find(&f, 0));
    assert_null(tt_remote_map_expired(&f.map, TT_NEVER - 1));
    assert_int_equal(tt_remote_map_deadline(&f.map), TT_NEVER);
    assert_int_equal(f.memory.live, 0);
    close_map(&f);
}

static void test_each_id_finds_its_own_remote(void **state)
{
    (void)state;
    struct fixture f;
    open_map(&f);
    for (unsigned i = 0; i < REMOTES; i++)
        insert(&f, i, i);
    assert_int_equal(tt_remote_map_count(&f.map), REMOTES);
    for (unsigned i = 0; i < REMOTES; i++)
        assert_ptr_equal(find(&f, i), &f.remotes[i]);
    assert_null(find(&f, REMOTES));
    assert_null(find(&f, UINT64_C(1) << 63)); /* the last byte counts too */
    close_map(&f);
}

static void test_a_removed_remote_is_not_found(void **state)
{
    (void)state;
    struct fixture f;
    open_map(&f);
    insert(&f, 0, 0);
    insert(&f, 1, 0);
    tt_remote_map_remove(&f.map, &f.remotes[0]);
    assert_null(find(&f, 0));
    assert_ptr_equal(find(&f, 1), &f.remotes[1]);
    assert_int_equal(tt_remote_map_count(&f.map), 1);
    insert(&f, 0, 5); /* and its ID is free again */
    assert_ptr_equal(find(&f, 0), &f.remotes[0]);
    close_map(&f);
}

static void test_a_remote_expires_at_its_time_and_not_before(void **state)
{
    (void)state;
    struct fixture f;
    open_map(&f);
    insert(&f, 3, 1000);
    assert_int_equal(tt_remote_map_deadline(&f.map), 1000 + EXPIRY_US);
    assert_null(tt_remote_map_expired(&f.map, 1000 + EXPIRY_US - 1));
    assert_ptr_equal(tt_remote_map_expired(&f.map, 1000 + EXPIRY_US), &f.remotes[3]);
    assert_ptr_equal(find(&f, 3), &f.remotes[3]); /* it stays until it is removed */
    close_map(&f);
}

static void test_use_counts_and_not_age(void **state)
{
    (void)state;
    struct fixture f;
    open_map(&f);
    insert(&f, 0, 0);
    insert(&f, 1, 1);
    tt_remote_map_use(&f.map, &f.remotes[0], 2);
    assert_int_equal(tt_remote_map_deadline(&f.map), 1 + EXPIRY_US);
    assert_ptr_equal(tt_remote_map_expired(&f.map, 2 + EXPIRY_US), &f.remotes[1]);
    tt_remote_map_remove(&f.map, &f.remotes[1]);
    assert_ptr_equal(tt_remote_map_expired(&f.map, 2 + EXPIRY_US), &f.remotes[0]);
    close_map(&f);
}

static void test_a_time_far_away_is_a_deadline_all_the_same(void **state)
{
    (void)state;
    struct fixture f;
    open_map(&f);
    insert(&f, 0, TT_NEVER - 10);
    assert_int_equal(tt_remote_map_deadline(&f.map), TT_NEVER - 1);
    close_map(&f);
}

static void test_without_memory_nothing_changes(void **state)
{
    (void)state;
    struct fixture f;
    open_map(&f);
    const struct tt_session_id id = id_of(7);
    f.memory.fail_at = 0;
    assert_int_equal(tt_remote_map_insert(&f.map, &f.remotes[7], &id, 0), TT_E_NOMEM);
    assert_false(tt_list_linked(&f.remotes[7].node));
    assert_null(find(&f, 7));
    assert_int_equal(tt_remote_map_count(&f.map), 0);
    insert(&f, 7, 0);
    close_map(&f);
}

/* --- against a model that looks at all of them each time --- */

static unsigned oldest_of(const uint64_t *used_us)
{
    unsigned oldest = REMOTES;
    for (unsigned i = 0; i < REMOTES; i++) {
        if (used_us[i] && (oldest == REMOTES || used_us[i] < used_us[oldest]))
            oldest = i;
    }
    return oldest;
}

static void test_it_agrees_with_a_model_that_scans(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t used_us[REMOTES] = {0}; /* 0: not in the map */
    uint64_t seed = 1;
    open_map(&f);
    for (uint64_t now_us = 1; now_us < 20000; now_us++) {
        const unsigned i = (unsigned)test_random_below(&seed, REMOTES);
        if (!used_us[i]) {
            insert(&f, i, now_us);
            used_us[i] = now_us;
        } else if (test_random_below(&seed, 4) == 0) {
            tt_remote_map_remove(&f.map, &f.remotes[i]);
            used_us[i] = 0;
        } else {
            tt_remote_map_use(&f.map, &f.remotes[i], now_us);
            used_us[i] = now_us;
        }
        const unsigned oldest = oldest_of(used_us);
        if (oldest == REMOTES) {
            assert_int_equal(tt_remote_map_deadline(&f.map), TT_NEVER);
            continue;
        }
        const uint64_t due_us = used_us[oldest] + EXPIRY_US;
        assert_int_equal(tt_remote_map_deadline(&f.map), due_us);
        assert_null(tt_remote_map_expired(&f.map, due_us - 1));
        assert_ptr_equal(tt_remote_map_expired(&f.map, due_us), &f.remotes[oldest]);
    }
    close_map(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_map_finds_nothing_and_waits_for_nothing),
        cmocka_unit_test(test_each_id_finds_its_own_remote),
        cmocka_unit_test(test_a_removed_remote_is_not_found),
        cmocka_unit_test(test_a_remote_expires_at_its_time_and_not_before),
        cmocka_unit_test(test_use_counts_and_not_age),
        cmocka_unit_test(test_a_time_far_away_is_a_deadline_all_the_same),
        cmocka_unit_test(test_without_memory_nothing_changes),
        cmocka_unit_test(test_it_agrees_with_a_model_that_scans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
