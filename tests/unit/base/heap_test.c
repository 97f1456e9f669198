#include "core/base/heap.h"

#include <turbotunnel/error.h>

#include "failing_alloc.h"
#include "test.h"

#define NODES 64

/* What the heap should be: nodes in no order, searched from end to end. */
struct model {
    struct tt_heap heap;
    struct tt_heap_node nodes[NODES];
    bool in[NODES];
    uint64_t keys[NODES];
};

static void check_against_model(const struct model *m)
{
    uint64_t smallest = UINT64_MAX;
    uint32_t count = 0;
    for (size_t i = 0; i < NODES; i++) {
        assert_true(tt_heap_linked(&m->nodes[i]) == m->in[i]);
        if (!m->in[i])
            continue;
        assert_true(m->nodes[i].key == m->keys[i]);
        smallest = m->keys[i] < smallest ? m->keys[i] : smallest;
        count++;
    }
    const struct tt_heap_node *first = tt_heap_peek(&m->heap);
    assert_int_equal(m->heap.count, count);
    assert_true((first != NULL) == (count > 0));
    assert_true(!first || first->key == smallest);
}

/* One operation on one node: in, out, or another key; `key_bits` few makes many equal keys. */
static void random_operation(struct model *m, uint64_t *seed, unsigned key_bits)
{
    const size_t i = test_random_below(seed, NODES);
    const uint64_t key = test_random(seed) >> (64 - key_bits);
    if (!m->in[i]) {
        assert_int_equal(tt_heap_insert(&m->heap, &m->nodes[i], key), TT_OK);
        m->in[i] = true;
        m->keys[i] = key;
    } else if (test_random_below(seed, 2) == 0) {
        tt_heap_remove(&m->heap, &m->nodes[i]);
        m->in[i] = false;
    } else {
        tt_heap_update(&m->heap, &m->nodes[i], key);
        m->keys[i] = key;
    }
}

static void test_random_operations_agree_with_a_plain_search(void **state)
{
    (void)state;
    static const unsigned key_bits[] = {1, 4, 63};
    for (size_t k = 0; k < ARRAY_LEN(key_bits); k++) {
        uint64_t seed = k;
        struct model m;
        memset(&m, 0, sizeof(m));
        tt_heap_init(&m.heap, &tt_alloc_malloc);
        for (int i = 0; i < 20000; i++) {
            random_operation(&m, &seed, key_bits[k]);
            check_against_model(&m);
        }
        tt_heap_dispose(&m.heap);
    }
}

static void test_nodes_come_out_sorted(void **state)
{
    (void)state;
    static struct tt_heap_node nodes[5000];
    uint64_t seed = 7;
    uint64_t last = 0;
    struct tt_heap h;
    tt_heap_init(&h, &tt_alloc_malloc);
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        assert_int_equal(tt_heap_insert(&h, &nodes[i], test_random(&seed)), TT_OK);
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
        struct tt_heap_node *first = tt_heap_peek(&h);
        assert_true(first->key >= last);
        last = first->key;
        tt_heap_remove(&h, first);
    }
    assert_null(tt_heap_peek(&h));
    tt_heap_dispose(&h);
}

static void test_removing_a_node_that_is_in_no_heap_does_nothing(void **state)
{
    (void)state;
    struct tt_heap_node n = {.key = 0};
    struct tt_heap h;
    tt_heap_init(&h, &tt_alloc_malloc);
    tt_heap_remove(&h, &n);
    assert_int_equal(tt_heap_insert(&h, &n, 1), TT_OK);
    tt_heap_remove(&h, &n);
    tt_heap_remove(&h, &n);
    assert_int_equal(h.count, 0);
    tt_heap_dispose(&h);
    tt_heap_dispose(&h);
}

static void test_room_that_was_reserved_is_never_refused(void **state)
{
    (void)state;
    static struct tt_heap_node nodes[100];
    struct failing_alloc memory;
    struct tt_heap h;
    failing_alloc_init(&memory, 1);
    tt_heap_init(&h, &memory.alloc);
    assert_int_equal(tt_heap_reserve(&h, ARRAY_LEN(nodes)), TT_OK);
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++)
        assert_int_equal(tt_heap_insert(&h, &nodes[i], 1000 - i), TT_OK);
    tt_heap_remove(&h, &nodes[50]);
    assert_int_equal(tt_heap_reserve(&h, 10), TT_OK);
    assert_int_equal(tt_heap_reserve(&h, ARRAY_LEN(nodes)), TT_OK);
    assert_int_equal(tt_heap_insert(&h, &nodes[50], 0), TT_OK);
    assert_int_equal(memory.calls, 1);
    tt_heap_dispose(&h);
    assert_int_equal(memory.live, 0);
}

/* As many nodes go in as there is memory for, and the refused one is as if never tried. */
static void test_a_refused_allocation_leaves_the_heap_as_it_was(void **state)
{
    (void)state;
    struct failing_alloc memory = {.refused = true};
    for (size_t n = 0; memory.refused; n++) {
        struct model m;
        memset(&m, 0, sizeof(m));
        failing_alloc_init(&memory, n);
        tt_heap_init(&m.heap, &memory.alloc);
        for (size_t i = 0; i < NODES; i++) {
            m.keys[i] = i * 37 % NODES;
            const int err = tt_heap_insert(&m.heap, &m.nodes[i], m.keys[i]);
            assert_true(err == TT_OK || (err == TT_E_NOMEM && memory.refused));
            m.in[i] = err == TT_OK;
            check_against_model(&m);
        }
        tt_heap_dispose(&m.heap);
        assert_int_equal(memory.live, 0);
    }
}

static void test_a_room_beyond_all_memory_is_refused(void **state)
{
    (void)state;
    struct tt_heap h;
    tt_heap_init(&h, &tt_alloc_malloc);
    assert_int_equal(tt_heap_reserve(&h, UINT32_MAX), TT_E_NOMEM);
    assert_int_equal(h.cap, 0);
    tt_heap_dispose(&h);
}

static void test_an_empty_heap_holds_no_memory(void **state)
{
    (void)state;
    struct failing_alloc memory;
    struct tt_heap h;
    failing_alloc_init(&memory, FAIL_NEVER);
    tt_heap_init(&h, &memory.alloc);
    assert_int_equal(memory.calls, 0);
    tt_heap_dispose(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations_agree_with_a_plain_search),
        cmocka_unit_test(test_nodes_come_out_sorted),
        cmocka_unit_test(test_removing_a_node_that_is_in_no_heap_does_nothing),
        cmocka_unit_test(test_room_that_was_reserved_is_never_refused),
        cmocka_unit_test(test_a_refused_allocation_leaves_the_heap_as_it_was),
        cmocka_unit_test(test_a_room_beyond_all_memory_is_refused),
        cmocka_unit_test(test_an_empty_heap_holds_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
