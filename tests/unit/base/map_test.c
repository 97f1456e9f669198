#include "core/base/map.h"

#include <turbotunnel/error.h>

#include "failing_alloc.h"
#include "test.h"

#define KEYS 300

static const uint8_t hash_key[TT_SIPHASH_KEY] = "sixteen bytes...";

/* What the map should be: one flag a key. A value is the address of its key's flag. */
struct model {
    struct tt_map map;
    bool in[KEYS];
    size_t count;
};

static void model_init(struct model *m, const struct tt_alloc *alloc)
{
    memset(m, 0, sizeof(*m));
    tt_map_init(&m->map, hash_key, alloc);
}

static void model_insert(struct model *m, size_t key)
{
    const int err = tt_map_insert(&m->map, key, &m->in[key]);
    if (err == TT_E_NOMEM)
        return;
    assert_int_equal(err, m->in[key] ? TT_E_INVAL : TT_OK);
    m->count += !m->in[key];
    m->in[key] = true;
}

static void model_remove(struct model *m, size_t key)
{
    void *value = tt_map_remove(&m->map, key);
    assert_ptr_equal(value, m->in[key] ? &m->in[key] : NULL);
    m->count -= m->in[key];
    m->in[key] = false;
}

static void check_against_model(const struct model *m)
{
    for (size_t key = 0; key < KEYS; key++)
        assert_ptr_equal(tt_map_find(&m->map, key), m->in[key] ? &m->in[key] : NULL);
    assert_int_equal(tt_map_count(&m->map), m->count);
    assert_true((m->map.slots == NULL) == (m->count == 0));
}

/* Goes over the map once; takes out one in `one_in` on the way (0: none). */
static void check_iteration(struct model *m, uint64_t *seed, size_t one_in)
{
    bool seen[KEYS] = {false};
    size_t expected = m->count;
    uint64_t key;
    struct tt_map_iter it = tt_map_iter_over(&m->map);
    for (void *value; (value = tt_map_iter_next(&it, &key)) != NULL; expected--) {
        assert_true(key < KEYS && m->in[key] && !seen[key]);
        assert_ptr_equal(value, &m->in[key]);
        seen[key] = true;
        if (one_in == 0 || test_random_below(seed, one_in) != 0)
            continue;
        tt_map_iter_remove(&it);
        m->in[key] = false;
        m->count--;
    }
    assert_int_equal(expected, 0);
}

/* Fuller and emptier in turn, so that the table grows and shrinks over all its sizes. */
static void random_operation(struct model *m, uint64_t *seed, int i)
{
    const size_t key = test_random_below(seed, KEYS);
    const size_t in_ten = i / 1000 % 2 == 0 ? 8 : 2;
    if (test_random_below(seed, 10) < in_ten)
        model_insert(m, key);
    else
        model_remove(m, key);
}

static void test_random_operations_agree_with_a_table_of_flags(void **state)
{
    (void)state;
    uint64_t seed = 1;
    struct model m;
    model_init(&m, &tt_alloc_malloc);
    for (int i = 0; i < 100000; i++) {
        random_operation(&m, &seed, i);
        assert_int_equal(tt_map_count(&m.map), m.count);
        if (i % 20 == 0)
            check_against_model(&m);
    }
    tt_map_dispose(&m.map);
}

static void test_an_iteration_visits_every_entry_once(void **state)
{
    (void)state;
    uint64_t seed = 2;
    struct model m;
    model_init(&m, &tt_alloc_malloc);
    for (int i = 0; i < 20000; i++) {
        random_operation(&m, &seed, i);
        if (i % 10 == 0)
            check_iteration(&m, &seed, 0);
    }
    tt_map_dispose(&m.map);
}

static void test_entries_can_be_taken_out_during_an_iteration(void **state)
{
    (void)state;
    uint64_t seed = 3;
    struct model m;
    model_init(&m, &tt_alloc_malloc);
    for (int i = 0; i < 20000; i++) {
        random_operation(&m, &seed, i);
        if (i % 100 != 0)
            continue;
        check_iteration(&m, &seed, 1 + test_random_below(&seed, 4));
        check_against_model(&m);
    }
    tt_map_dispose(&m.map);
}

static void test_an_empty_map_holds_no_memory(void **state)
{
    (void)state;
    struct failing_alloc memory;
    struct model m;
    uint64_t seed = 4;
    failing_alloc_init(&memory, FAIL_NEVER);
    model_init(&m, &memory.alloc);
    check_iteration(&m, &seed, 0);
    assert_int_equal(memory.calls, 0);
    for (size_t key = 0; key < KEYS; key++)
        model_insert(&m, key);
    assert_int_equal(memory.live, 1);
    for (size_t key = 0; key < KEYS; key++)
        model_remove(&m, key);
    assert_int_equal(memory.live, 0);
    model_insert(&m, 7);
    check_iteration(&m, &seed, 1);
    assert_int_equal(memory.live, 0);
    tt_map_dispose(&m.map);
}

static void test_memory_follows_the_number_of_entries(void **state)
{
    (void)state;
    struct failing_alloc memory;
    struct tt_map m;
    failing_alloc_init(&memory, FAIL_NEVER);
    tt_map_init(&m, hash_key, &memory.alloc);
    for (uint64_t key = 0; key < 100000; key++)
        assert_int_equal(tt_map_insert(&m, key, &m), TT_OK);
    for (uint64_t key = 100000; key-- > 0;) {
        assert_non_null(tt_map_remove(&m, key));
        assert_in_range(memory.live_bytes, 0, (8 * key + 8) * sizeof(struct tt_map_slot));
    }
    tt_map_dispose(&m);
}

/* At the edge of every size: in and out again must not move the table each time. */
static void test_going_up_and_down_by_one_moves_nothing(void **state)
{
    (void)state;
    struct failing_alloc memory;
    struct model m;
    failing_alloc_init(&memory, FAIL_NEVER);
    model_init(&m, &memory.alloc);
    model_insert(&m, 0);
    for (size_t key = 1; key < KEYS; key++) {
        model_insert(&m, key);
        const size_t calls = memory.calls;
        for (int i = 0; i < 3; i++) {
            model_remove(&m, key);
            model_insert(&m, key);
        }
        assert_int_equal(memory.calls, calls);
    }
    tt_map_dispose(&m.map);
}

/* The longest row of taken slots, which is the longest look-up. */
static size_t longest_cluster(const struct tt_map *m)
{
    size_t longest = 0;
    size_t run = 0;
    for (size_t i = 0; i < 2 * m->cap; i++) {
        run = m->slots[i % m->cap].value ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Keys that a table without a secret would put into one place or one row. */
static void test_hostile_keys_do_not_pile_up(void **state)
{
    (void)state;
    static const unsigned shifts[] = {0, 8, 16, 32, 47};
    for (size_t s = 0; s < ARRAY_LEN(shifts); s++) {
        struct tt_map m;
        tt_map_init(&m, hash_key, &tt_alloc_malloc);
        for (uint64_t i = 0; i < 49000; i++)
            assert_int_equal(tt_map_insert(&m, i << shifts[s], &m), TT_OK);
        /* Three quarters full; random places give about 300, a bad hash gives 49000. */
        assert_int_equal(m.cap, 65536);
        assert_in_range(longest_cluster(&m), 1, 1000);
        tt_map_dispose(&m);
    }
}

static void test_another_secret_is_another_order(void **state)
{
    (void)state;
    static const uint8_t other_key[TT_SIPHASH_KEY] = "another sixteen.";
    struct tt_map a;
    struct tt_map b;
    tt_map_init(&a, hash_key, &tt_alloc_malloc);
    tt_map_init(&b, other_key, &tt_alloc_malloc);
    size_t same = 0;
    for (uint64_t i = 0; i < 700; i++) {
        assert_int_equal(tt_map_insert(&a, i, &a), TT_OK);
        assert_int_equal(tt_map_insert(&b, i, &b), TT_OK);
    }
    for (size_t i = 0; i < a.cap; i++)
        same += a.slots[i].value && b.slots[i].value && a.slots[i].key == b.slots[i].key;
    assert_in_range(same, 0, 70);
    tt_map_dispose(&a);
    tt_map_dispose(&b);
}

static void test_a_value_of_null_is_refused(void **state)
{
    (void)state;
    struct tt_map m;
    tt_map_init(&m, hash_key, &tt_alloc_malloc);
    assert_int_equal(tt_map_insert(&m, 1, NULL), TT_E_INVAL);
    assert_int_equal(tt_map_count(&m), 0);
    tt_map_dispose(&m);
}

static void test_every_key_is_a_key(void **state)
{
    (void)state;
    static const uint64_t keys[] = {0, 1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    struct tt_map m;
    tt_map_init(&m, hash_key, &tt_alloc_malloc);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        assert_null(tt_map_find(&m, keys[i]));
        assert_int_equal(tt_map_insert(&m, keys[i], &m), TT_OK);
        assert_ptr_equal(tt_map_find(&m, keys[i]), &m);
    }
    tt_map_dispose(&m);
    tt_map_dispose(&m);
    assert_null(tt_map_find(&m, 0));
    assert_null(tt_map_remove(&m, 0));
}

static void test_every_refused_allocation_does_no_damage(void **state)
{
    (void)state;
    struct failing_alloc memory = {.refused = true};
    for (size_t n = 0; memory.refused; n++) {
        struct model m;
        failing_alloc_init(&memory, n);
        model_init(&m, &memory.alloc);
        for (size_t key = 0; key < KEYS; key++) {
            const size_t before = m.count;
            const bool refused = memory.refused;
            model_insert(&m, key);
            /* Only the insertion that met the refusal may have failed. */
            assert_true(m.count == before + 1 || (memory.refused && !refused));
        }
        check_against_model(&m);
        for (size_t key = 0; key < KEYS; key++) {
            model_remove(&m, key);
            assert_int_equal(tt_map_count(&m.map), m.count);
        }
        check_against_model(&m);
        tt_map_dispose(&m.map);
        assert_int_equal(memory.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations_agree_with_a_table_of_flags),
        cmocka_unit_test(test_an_iteration_visits_every_entry_once),
        cmocka_unit_test(test_entries_can_be_taken_out_during_an_iteration),
        cmocka_unit_test(test_an_empty_map_holds_no_memory),
        cmocka_unit_test(test_memory_follows_the_number_of_entries),
        cmocka_unit_test(test_going_up_and_down_by_one_moves_nothing),
        cmocka_unit_test(test_hostile_keys_do_not_pile_up),
        cmocka_unit_test(test_another_secret_is_another_order),
        cmocka_unit_test(test_a_value_of_null_is_refused),
        cmocka_unit_test(test_every_key_is_a_key),
        cmocka_unit_test(test_every_refused_allocation_does_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
