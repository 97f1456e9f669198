#include "net/ways.h"

#include <turbotunnel/error.h>

#include "test.h"

static const char *const three[] = {"b:2", "c:3", "unix:/d"};

static struct tt_ways ways_of(uint32_t also, uint32_t carriers)
{
    const struct tt_options o = {.also = three, .also_count = also, .carriers = carriers};
    struct tt_ways w;
    assert_int_equal(tt_ways_init(&w, "a:1", &o, &tt_alloc_malloc, NULL), TT_OK);
    assert_int_equal(w.count, also + 1);
    return w;
}

static void test_the_first_is_dialled_until_it_is_no_good(void **state)
{
    (void)state;
    struct tt_ways w = ways_of(2, 1);
    assert_int_equal(tt_ways_next(&w), 0);
    assert_int_equal(tt_ways_next(&w), 0);
    tt_ways_failed(&w, 0);
    assert_int_equal(tt_ways_next(&w), 1);
    tt_ways_failed(&w, 0); /* known already */
    assert_int_equal(tt_ways_next(&w), 1);
    tt_ways_failed(&w, 1);
    tt_ways_failed(&w, 2);
    assert_int_equal(tt_ways_next(&w), 0);
    tt_ways_dispose(&w, &tt_alloc_malloc);
}

static void test_several_connections_are_spread(void **state)
{
    (void)state;
    struct tt_ways w = ways_of(3, 2);
    unsigned dialled[4] = {0};
    for (unsigned i = 0; i < 8; i++)
        dialled[tt_ways_next(&w)]++;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(dialled[i], 2);
    assert_string_equal(w.ways[3].text, "unix:/d");
    assert_true(w.ways[3].address.is_path);
    tt_ways_dispose(&w, &tt_alloc_malloc);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"b:2", "nowhere"};
    static const char *const many[16] = {"b:2"};
    const struct tt_options rows[] = {{.also = bad, .also_count = 2},
                                      {.also = many, .also_count = 16}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tt_ways w;
        struct tt_error_text why = {""};
        assert_int_equal(tt_ways_init(&w, "a:1", &rows[i], &tt_alloc_malloc, &why), TT_E_INVAL);
        assert_true(why.text[0] != '\0');
        assert_null(w.ways);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_is_dialled_until_it_is_no_good),
        cmocka_unit_test(test_several_connections_are_spread),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
