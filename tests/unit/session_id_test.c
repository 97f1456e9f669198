#include "core/session_id.h"

#include <turbotunnel/error.h>

#include "test.h"

static const struct tt_session_id some_id = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}};

/* Gives out the bytes 0, 1, 2, ... across calls; ctx counts them. */
static int count_up(void *ctx, void *out, size_t len)
{
    uint8_t *next = ctx;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (*next)++;
    return TT_OK;
}

static int refuse(void *ctx, void *out, size_t len)
{
    (void)ctx;
    memset(out, 0xee, len);
    return TT_E_SYSTEM;
}

static void test_an_id_is_eight_bytes_from_the_source(void **state)
{
    (void)state;
    uint8_t next = 0;
    const struct tt_random random = {count_up, &next};
    struct tt_session_id first;
    struct tt_session_id second;
    assert_int_equal(tt_session_id_generate(&first, &random), TT_OK);
    assert_int_equal(tt_session_id_generate(&second, &random), TT_OK);
    assert_memory_equal(first.bytes, "\0\1\2\3\4\5\6\7", 8);
    assert_memory_equal(second.bytes, "\10\11\12\13\14\15\16\17", 8);
}

static void test_without_randomness_there_is_no_id(void **state)
{
    (void)state;
    const struct tt_random random = {refuse, NULL};
    struct tt_session_id id = some_id;
    assert_int_equal(tt_session_id_generate(&id, &random), TT_E_SYSTEM);
    assert_true(tt_session_id_equal(&id, &some_id));
}

static void test_every_byte_counts_in_a_comparison(void **state)
{
    (void)state;
    struct tt_session_id id = some_id;
    assert_true(tt_session_id_equal(&id, &some_id));
    for (int i = 0; i < TT_SESSION_ID_LEN; i++) {
        id = some_id;
        id.bytes[i] ^= 0x80;
        assert_false(tt_session_id_equal(&id, &some_id));
        assert_int_not_equal(tt_session_id_key(&id), tt_session_id_key(&some_id));
    }
}

static void test_the_key_is_the_same_on_every_machine(void **state)
{
    (void)state;
    assert_true(tt_session_id_key(&some_id) == UINT64_C(0xefcdab8967452301));
}

static void test_text_is_sixteen_lower_case_digits(void **state)
{
    (void)state;
    char text[TT_SESSION_ID_TEXT];
    memset(text, 'x', sizeof(text));
    tt_session_id_format(text, &some_id);
    assert_string_equal(text, "0123456789abcdef");
}

static const struct {
    const char *name;
    const char *text;
    int err;
} parse_cases[] = {
    {"lower case", "0123456789abcdef", TT_OK},
    {"upper case", "0123456789ABCDEF", TT_OK},
    {"empty", "", TT_E_INVAL},
    {"one digit", "0", TT_E_INVAL},
    {"one digit less", "0123456789abcde", TT_E_INVAL},
    {"one digit more", "0123456789abcdef0", TT_E_INVAL},
    {"a blank in front", " 123456789abcdef", TT_E_INVAL},
    {"a blank behind", "0123456789abcdef ", TT_E_INVAL},
    {"a prefix", "0x0123456789abcd", TT_E_INVAL},
    {"a sign", "-123456789abcdef", TT_E_INVAL},
    {"below 0", "/123456789abcdef", TT_E_INVAL},
    {"above 9", "0:23456789abcdef", TT_E_INVAL},
    {"below A", "@123456789abcdef", TT_E_INVAL},
    {"above F", "0G23456789abcdef", TT_E_INVAL},
    {"below a", "`123456789abcdef", TT_E_INVAL},
    {"above f", "0123456789abcdeg", TT_E_INVAL},
    {"not ASCII", "0123456789abcde\xc3", TT_E_INVAL},
};

static void test_only_sixteen_hexadecimal_digits_are_an_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parse_cases); i++) {
        const struct tt_session_id before = {{1, 2, 3, 4, 5, 6, 7, 8}};
        struct tt_session_id id = before;
        const int err = tt_session_id_parse(&id, parse_cases[i].text);
        const struct tt_session_id *expected = err ? &before : &some_id;
        if (err != parse_cases[i].err || !tt_session_id_equal(&id, expected))
            fail_msg("%s: got %s", parse_cases[i].name, tt_error_name(err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_is_eight_bytes_from_the_source),
        cmocka_unit_test(test_without_randomness_there_is_no_id),
        cmocka_unit_test(test_every_byte_counts_in_a_comparison),
        cmocka_unit_test(test_the_key_is_the_same_on_every_machine),
        cmocka_unit_test(test_text_is_sixteen_lower_case_digits),
        cmocka_unit_test(test_only_sixteen_hexadecimal_digits_are_an_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
