#include "core/base/list.h"

#include "test.h"

struct item {
    char name;
    struct tt_list_node link;
};

/* All zeroes, as C makes static objects: in no list. */
static struct item *new_items(void)
{
    static struct item items[8];
    memset(items, 0, sizeof(items));
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        items[i].name = (char)('a' + i);
    return items;
}

/* The names from front to back, and checks every link on the way. */
static const char *names_of(const struct tt_list *l)
{
    static char text[16];
    size_t n = 0;
    assert_ptr_equal(l->head.next->prev, &l->head);
    TT_LIST_FOR_EACH(node, l)
    {
        assert_ptr_equal(node->next->prev, node);
        assert_true(tt_list_linked(node));
        text[n++] = TT_CONTAINER_OF(node, struct item, link)->name;
    }
    text[n] = '\0';
    return text;
}

static void test_an_empty_list_has_no_nodes(void **state)
{
    (void)state;
    struct tt_list l;
    tt_list_init(&l);
    assert_true(tt_list_empty(&l));
    assert_null(tt_list_first(&l));
    assert_null(tt_list_last(&l));
    assert_null(tt_list_pop_front(&l));
    assert_string_equal(names_of(&l), "");
}

static void test_nodes_stay_in_the_order_they_were_pushed(void **state)
{
    (void)state;
    struct item *items = new_items();
    struct tt_list l;
    tt_list_init(&l);
    tt_list_push_back(&l, &items[0].link);
    tt_list_push_back(&l, &items[1].link);
    tt_list_push_front(&l, &items[2].link);
    tt_list_push_back(&l, &items[3].link);
    assert_false(tt_list_empty(&l));
    assert_string_equal(names_of(&l), "cabd");
    assert_ptr_equal(tt_list_first(&l), &items[2].link);
    assert_ptr_equal(tt_list_last(&l), &items[3].link);
}

static void test_any_node_can_be_removed(void **state)
{
    (void)state;
    static const char *const left[] = {"bcd", "acd", "abd", "abc"};
    for (size_t gone = 0; gone < 4; gone++) {
        struct item *items = new_items();
        struct tt_list l;
        tt_list_init(&l);
        for (size_t i = 0; i < 4; i++)
            tt_list_push_back(&l, &items[i].link);
        tt_list_remove(&items[gone].link);
        assert_string_equal(names_of(&l), left[gone]);
        assert_false(tt_list_linked(&items[gone].link));
    }
}

static void test_a_removed_node_can_be_removed_again_or_linked_again(void **state)
{
    (void)state;
    struct item *items = new_items();
    struct tt_list l;
    tt_list_init(&l);
    assert_false(tt_list_linked(&items[0].link));
    tt_list_remove(&items[0].link);
    tt_list_push_back(&l, &items[0].link);
    assert_true(tt_list_linked(&items[0].link));
    tt_list_remove(&items[0].link);
    tt_list_remove(&items[0].link);
    assert_true(tt_list_empty(&l));
    tt_list_push_front(&l, &items[0].link);
    assert_string_equal(names_of(&l), "a");
}

static void test_popping_takes_the_first(void **state)
{
    (void)state;
    struct item *items = new_items();
    struct tt_list l;
    tt_list_init(&l);
    for (size_t i = 0; i < 3; i++)
        tt_list_push_back(&l, &items[i].link);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(tt_list_pop_front(&l), &items[i].link);
        assert_false(tt_list_linked(&items[i].link));
    }
    assert_true(tt_list_empty(&l));
}

static void test_a_node_can_be_put_before_another(void **state)
{
    (void)state;
    struct item *items = new_items();
    struct tt_list l;
    tt_list_init(&l);
    tt_list_push_back(&l, &items[0].link);
    tt_list_push_back(&l, &items[1].link);
    tt_list_insert_before(&items[1].link, &items[2].link);
    assert_string_equal(names_of(&l), "acb");
}

static void test_appending_all_moves_them_in_order(void **state)
{
    (void)state;
    static const char *const expected[] = {"", "a", "ab", "abc", "abcd"};
    for (size_t split = 0; split <= 4; split++) {
        struct item *items = new_items();
        struct tt_list to;
        struct tt_list from;
        tt_list_init(&to);
        tt_list_init(&from);
        for (size_t i = 0; i < 4; i++)
            tt_list_push_back(i < split ? &to : &from, &items[i].link);
        assert_string_equal(names_of(&to), expected[split]);
        tt_list_append_all(&to, &from);
        assert_string_equal(names_of(&to), "abcd");
        assert_true(tt_list_empty(&from));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_list_has_no_nodes),
        cmocka_unit_test(test_nodes_stay_in_the_order_they_were_pushed),
        cmocka_unit_test(test_any_node_can_be_removed),
        cmocka_unit_test(test_a_removed_node_can_be_removed_again_or_linked_again),
        cmocka_unit_test(test_popping_takes_the_first),
        cmocka_unit_test(test_a_node_can_be_put_before_another),
        cmocka_unit_test(test_appending_all_moves_them_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
