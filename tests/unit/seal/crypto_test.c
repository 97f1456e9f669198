#include "core/seal/crypto.h"

#include <stdlib.h>

#include <turbotunnel/error.h>

#include "test.h"
#include "vector_file.h"

static struct tt_crypto *open_crypto(void)
{
    struct tt_crypto *crypto = NULL;
    assert_int_equal(tt_crypto_new(&crypto), TT_OK);
    return crypto;
}

static void check_hash(struct tt_crypto *crypto, struct tt_span data, struct tt_span expected)
{
    uint8_t out[TT_HASH_LEN];
    assert_int_equal(expected.len, sizeof(out));
    for (size_t cut = 0; cut <= data.len; cut += 1 + cut / 4) {
        const struct tt_span parts[] = {
            {NULL, 0}, {data.ptr, cut}, {data.ptr + cut, data.len - cut}};
        assert_int_equal(tt_crypto_hash(crypto, parts, ARRAY_LEN(parts), out), TT_OK);
        assert_memory_equal(out, expected.ptr, sizeof(out));
    }
}

static void check_hmac(struct tt_crypto *crypto, const uint8_t *key, struct tt_span data,
                       struct tt_span expected)
{
    uint8_t out[TT_HASH_LEN];
    const size_t cut = data.len / 3;
    const struct tt_span parts[] = {{data.ptr, cut}, {data.ptr + cut, data.len - cut}};
    assert_int_equal(expected.len, sizeof(out));
    assert_int_equal(tt_crypto_hmac(crypto, key, parts, ARRAY_LEN(parts), out), TT_OK);
    assert_memory_equal(out, expected.ptr, sizeof(out));
}

static void check_dh(struct tt_crypto *crypto, const uint8_t *private_key, struct tt_span peer,
                     struct tt_span expected)
{
    uint8_t out[TT_KEY_LEN];
    assert_int_equal(peer.len, TT_KEY_LEN);
    assert_int_equal(tt_crypto_dh(crypto, private_key, peer.ptr, out), TT_OK);
    assert_memory_equal(out, expected.ptr, sizeof(out));
}

struct sealed_case {
    const uint8_t *key;
    uint64_t nonce;
    struct tt_span ad, plain, sealed;
};

/* What opens opens nothing less: of the key, the nonce, the associated data, the bytes. */
static void check_changed(struct tt_crypto *crypto, const struct sealed_case *c)
{
    uint8_t *buf = malloc(c->sealed.len);
    uint8_t key[TT_KEY_LEN];
    assert_non_null(buf);
    for (size_t i = 0; i < c->sealed.len; i += 1 + i / 8) {
        memcpy(buf, c->sealed.ptr, c->sealed.len);
        buf[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(tt_crypto_open(crypto, c->key, c->nonce, c->ad, buf, c->sealed.len),
                         TT_E_PROTO);
    }
    memcpy(buf, c->sealed.ptr, c->sealed.len);
    assert_int_equal(
        tt_crypto_open(crypto, c->key, c->nonce ^ UINT64_C(1) << 63, c->ad, buf, c->sealed.len),
        TT_E_PROTO);
    memcpy(buf, c->sealed.ptr, c->sealed.len);
    memcpy(key, c->key, sizeof(key));
    key[31] ^= 0x80;
    assert_int_equal(tt_crypto_open(crypto, key, c->nonce, c->ad, buf, c->sealed.len), TT_E_PROTO);
    memcpy(buf, c->sealed.ptr, c->sealed.len);
    assert_int_equal(
        tt_crypto_open(crypto, c->key, c->nonce,
                       c->ad.len > 0 ? tt_span_of(c->ad.ptr, c->ad.len - 1) : tt_span_of("x", 1),
                       buf, c->sealed.len),
        TT_E_PROTO);
    free(buf);
}

static void check_sealed(struct tt_crypto *crypto, const struct sealed_case *c)
{
    uint8_t *buf = malloc(c->plain.len + TT_TAG_LEN); /* of exactly that size */
    assert_non_null(buf);
    assert_int_equal(c->sealed.len, c->plain.len + TT_TAG_LEN);
    memcpy(buf, c->plain.ptr, c->plain.len);
    assert_int_equal(tt_crypto_seal(crypto, c->key, c->nonce, c->ad, buf, c->plain.len), TT_OK);
    assert_memory_equal(buf, c->sealed.ptr, c->sealed.len);
    assert_int_equal(tt_crypto_open(crypto, c->key, c->nonce, c->ad, buf, c->sealed.len), TT_OK);
    assert_memory_equal(buf, c->plain.ptr, c->plain.len);
    check_changed(crypto, c);
    free(buf);
}

static void test_primitives_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct tt_crypto *crypto = open_crypto();
    struct vector_file v;
    struct tt_span data = {NULL, 0};
    struct tt_span peer = {NULL, 0};
    const uint8_t *private_key = NULL;
    struct sealed_case c = {0};
    unsigned hashes = 0;
    unsigned agreed = 0;
    unsigned sealed = 0;
    vector_file_open(&v, "seal/crypto.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "nonce")) {
            c.nonce = strtoull(v.value, NULL, 10);
            continue;
        }
        const struct tt_span value = vector_bytes(&v);
        if (vector_key_is(&v, "data")) {
            data = value;
        } else if (vector_key_is(&v, "hash")) {
            check_hash(crypto, data, value);
        } else if (vector_key_is(&v, "key")) {
            c.key = value.ptr;
        } else if (vector_key_is(&v, "hmac")) {
            check_hmac(crypto, c.key, data, value);
            hashes++;
        } else if (vector_key_is(&v, "private")) {
            private_key = value.ptr;
        } else if (vector_key_is(&v, "public")) {
            uint8_t out[TT_KEY_LEN];
            assert_int_equal(tt_crypto_public(crypto, private_key, out), TT_OK);
            assert_memory_equal(out, value.ptr, sizeof(out));
        } else if (vector_key_is(&v, "peer")) {
            peer = value;
        } else if (vector_key_is(&v, "shared")) {
            check_dh(crypto, private_key, peer, value);
            agreed++;
        } else if (vector_key_is(&v, "ad")) {
            c.ad = value;
        } else if (vector_key_is(&v, "plain")) {
            c.plain = value;
        } else if (vector_key_is(&v, "sealed")) {
            c.sealed = value;
            check_sealed(crypto, &c);
            sealed++;
        }
    }
    vector_file_close(&v);
    tt_crypto_free(crypto);
    assert_int_equal(hashes, 10);
    assert_int_equal(agreed, 8);
    assert_int_equal(sealed, 11);
}

/* RFC 7693, appendix B: "abc". Against all vectors having been made with one mistake. */
static void test_the_hash_is_blake2s(void **state)
{
    (void)state;
    static const uint8_t expected[] =
        "\x50\x8c\x5e\x8c\x32\x7c\x14\xe2\xe1\xa7\x2b\xa3\x4e\xeb\x45\x2f"
        "\x37\x45\x8b\x20\x9e\xd6\x3a\x29\x4d\x99\x9b\x4c\x86\x67\x59\x82";
    struct tt_crypto *crypto = open_crypto();
    check_hash(crypto, tt_span_of("abc", 3), tt_span_of(expected, TT_HASH_LEN));
    tt_crypto_free(crypto);
}

/* Points of small order: with these every private key agrees on zeroes (M-2). */
static void test_a_public_key_that_gives_zeroes_is_refused(void **state)
{
    (void)state;
    static const uint8_t bad[][TT_KEY_LEN] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
        {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
         0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
         0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    };
    static const uint8_t private_key[TT_KEY_LEN] = "any private key will do, 32 byte";
    struct tt_crypto *crypto = open_crypto();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t out[TT_KEY_LEN];
        assert_int_equal(tt_crypto_dh(crypto, private_key, bad[i], out), TT_E_PROTO);
    }
    tt_crypto_free(crypto);
}

static void test_what_is_shorter_than_a_tag_does_not_open(void **state)
{
    (void)state;
    static const uint8_t key[TT_KEY_LEN] = {1};
    struct tt_crypto *crypto = open_crypto();
    for (size_t len = 0; len <= TT_TAG_LEN; len++) {
        uint8_t bytes[TT_TAG_LEN] = {0};
        assert_int_equal(tt_crypto_open(crypto, key, 0, tt_span_of(NULL, 0), bytes, len),
                         TT_E_PROTO);
    }
    tt_crypto_free(crypto);
}

/* After a failure, and with other keys in between, each call stands for itself. */
static void test_calls_leave_nothing_to_the_next(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct tt_crypto *crypto = open_crypto();
    for (unsigned i = 0; i < 500; i++) {
        uint8_t key[TT_KEY_LEN];
        uint8_t bytes[64 + TT_TAG_LEN];
        const uint64_t nonce = test_random(&seed);
        const size_t len = test_random_below(&seed, 65);
        const bool broken = test_random_below(&seed, 2) == 0;
        const struct tt_span ad = tt_span_of("header 8", test_random_below(&seed, 9));
        for (size_t k = 0; k < sizeof(key); k++)
            key[k] = (uint8_t)test_random(&seed);
        memset(bytes, (int)i & 0xff, len);
        assert_int_equal(tt_crypto_seal(crypto, key, nonce, ad, bytes, len), TT_OK);
        bytes[0] ^= broken;
        assert_int_equal(tt_crypto_open(crypto, key, nonce, ad, bytes, len + TT_TAG_LEN),
                         broken ? TT_E_PROTO : TT_OK);
        for (size_t k = 0; !broken && k < len; k++)
            assert_int_equal(bytes[k], i & 0xff);
    }
    tt_crypto_free(crypto);
}

static void test_equal_compares_all_bytes(void **state)
{
    (void)state;
    uint8_t a[40] = "the same bytes in both of these arrays";
    uint8_t b[40];
    memcpy(b, a, sizeof(a));
    for (size_t i = 0; i < sizeof(a); i++) {
        assert_true(tt_crypto_equal(a, b, sizeof(a)));
        b[i] ^= 0x10;
        assert_false(tt_crypto_equal(a, b, sizeof(a)));
        assert_true(tt_crypto_equal(a, b, i));
        b[i] ^= 0x10;
    }
    tt_crypto_wipe(b, sizeof(b));
    for (size_t i = 0; i < sizeof(b); i++)
        assert_int_equal(b[i], 0);
    tt_crypto_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_primitives_are_those_of_the_vectors),
        cmocka_unit_test(test_the_hash_is_blake2s),
        cmocka_unit_test(test_a_public_key_that_gives_zeroes_is_refused),
        cmocka_unit_test(test_what_is_shorter_than_a_tag_does_not_open),
        cmocka_unit_test(test_calls_leave_nothing_to_the_next),
        cmocka_unit_test(test_equal_compares_all_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
