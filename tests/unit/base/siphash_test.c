#include "core/base/siphash.h"

#include "test.h"
#include "vector_file.h"

static uint64_t number_of(struct tt_span most_significant_first)
{
    uint64_t n = 0;
    assert_int_equal(most_significant_first.len, 8);
    for (size_t i = 0; i < 8; i++)
        n = n << 8 | most_significant_first.ptr[i];
    return n;
}

static void test_hashes_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct vector_file v;
    struct tt_span key = {NULL, 0};
    uint8_t input[64];
    size_t length = 0;
    size_t checked = 0;
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (uint8_t)i;
    vector_file_open(&v, "siphash/siphash24.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "key"))
            key = vector_bytes(&v);
        if (vector_key_is(&v, "length"))
            length = (size_t)vector_number(&v);
        if (!vector_key_is(&v, "hash"))
            continue;
        assert_int_equal(key.len, TT_SIPHASH_KEY);
        assert_true(tt_siphash(key.ptr, tt_span_of(input, length)) == number_of(vector_bytes(&v)));
        checked++;
    }
    vector_file_close(&v);
    assert_int_equal(checked, 64);
}

static void test_a_number_hashes_like_its_bytes_lowest_first(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 1000; i++) {
        const uint64_t v = test_random(&seed);
        uint8_t key[TT_SIPHASH_KEY];
        uint8_t bytes[8];
        for (size_t k = 0; k < sizeof(key); k++)
            key[k] = (uint8_t)test_random(&seed);
        for (size_t b = 0; b < sizeof(bytes); b++)
            bytes[b] = (uint8_t)(v >> (8 * b));
        assert_true(tt_siphash_u64(key, v) == tt_siphash(key, tt_span_of(bytes, sizeof(bytes))));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes_are_those_of_the_vectors),
        cmocka_unit_test(test_a_number_hashes_like_its_bytes_lowest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
