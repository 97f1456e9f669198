#include "core/seal/keys.h"

#include <turbotunnel/error.h>

#include "core/seal/numbers.h"
#include "seal/data_packets.h"
#include "test.h"
#include "vector_file.h"

static struct tt_crypto *open_crypto(void)
{
    struct tt_crypto *crypto = NULL;
    assert_int_equal(tt_crypto_new(&crypto), TT_OK);
    return crypto;
}

static void check_secret(struct tt_crypto *crypto, const struct tt_keys *first, uint32_t epoch,
                         struct tt_span expected)
{
    struct tt_keys k = *first;
    struct tt_keys one_by_one = *first;
    assert_int_equal(tt_keys_step(&k, crypto, epoch), TT_OK);
    assert_int_equal(k.epoch, epoch);
    assert_memory_equal(k.secret[1], expected.ptr, TT_KEY_LEN);
    for (uint32_t e = 1; e <= epoch; e++)
        assert_int_equal(tt_keys_step(&one_by_one, crypto, e), TT_OK);
    assert_memory_equal(&one_by_one, &k, sizeof(k));
}

/* The key of a carrier, from wherever it may be asked: its own epoch, the next one, and before. */
static void check_key(struct tt_crypto *crypto, const struct tt_keys *first, uint32_t carrier,
                      struct tt_span expected)
{
    const uint32_t epoch = carrier / TT_EPOCH_CARRIERS;
    for (uint32_t at = 0; at <= epoch + 2; at += at + 3 < epoch ? epoch - 2 : 1) {
        struct tt_keys k = *first;
        uint8_t key[TT_KEY_LEN] = {0};
        assert_int_equal(tt_keys_step(&k, crypto, at), TT_OK);
        const struct tt_keys before = k;
        const int err = tt_keys_of_carrier(&k, crypto, carrier, key);
        assert_int_equal(err, at == epoch + 2 ? TT_E_INVAL : TT_OK);
        assert_memory_equal(&k, &before, sizeof(k));
        if (!err)
            assert_memory_equal(key, expected.ptr, TT_KEY_LEN);
    }
}

static void test_secrets_and_keys_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct tt_crypto *crypto = open_crypto();
    struct tt_keys k = {0};
    struct vector_file v;
    uint32_t number = 0;
    unsigned secrets = 0;
    unsigned keys = 0;
    vector_file_open(&v, "seal/keys.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "secret")) {
            tt_keys_begin(&k, vector_bytes(&v).ptr);
        } else if (vector_key_is(&v, "epoch") || vector_key_is(&v, "carrier")) {
            number = (uint32_t)vector_number(&v);
        } else if (vector_key_is(&v, "epoch_secret")) {
            check_secret(crypto, &k, number, vector_bytes(&v));
            secrets++;
        } else if (vector_key_is(&v, "key")) {
            check_key(crypto, &k, number, vector_bytes(&v));
            keys++;
        }
    }
    vector_file_close(&v);
    tt_crypto_free(crypto);
    assert_int_equal(secrets, 7);
    assert_int_equal(keys, 13);
}

/* M-14: kind, body, padding and its length. */
static void check_plain(const struct data_packet *p)
{
    const uint8_t *at = p->plain.ptr;
    assert_int_equal(at[0], p->kind | (p->padding > 0 ? 0x80 : 0));
    assert_int_equal(p->plain.len, 1 + p->body.len + (p->padding > 0 ? p->padding + 2 : 0));
    if (p->body.len > 0)
        assert_memory_equal(at + 1, p->body.ptr, p->body.len);
    if (p->padding > 0)
        assert_int_equal(tt_get_be16(at + p->plain.len - 2), p->padding);
}

/* M-9: the header, which is authenticated, the ciphertext, the tag. */
static void check_packet(void *env, const struct tt_keys *k, const struct data_packet *p)
{
    struct tt_crypto *crypto = env;
    uint8_t out[2048];
    uint8_t key[TT_KEY_LEN];
    const struct tt_span header = tt_span_of(out, 8);
    check_plain(p);
    assert_int_equal(p->packet.len, header.len + p->plain.len + TT_TAG_LEN);
    tt_put_be32(out, UINT32_C(3) << 24 | p->carrier);
    tt_put_be32(out + 4, p->counter);
    memcpy(out + header.len, p->plain.ptr, p->plain.len);
    assert_int_equal(tt_keys_of_carrier(k, crypto, p->carrier, key), TT_OK);
    assert_int_equal(
        tt_crypto_seal(crypto, key, p->counter, header, out + header.len, p->plain.len), TT_OK);
    assert_memory_equal(out, p->packet.ptr, p->packet.len);
    assert_int_equal(tt_crypto_open(crypto, key, p->counter, header, out + header.len,
                                    p->plain.len + TT_TAG_LEN),
                     TT_OK);
    assert_memory_equal(out + header.len, p->plain.ptr, p->plain.len);
}

static void test_data_packets_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct tt_crypto *crypto = open_crypto();
    assert_int_equal(check_data_packets(check_packet, crypto), 9);
    tt_crypto_free(crypto);
}

static void test_there_is_no_step_back(void **state)
{
    (void)state;
    static const uint8_t secret[TT_KEY_LEN] = "the secret of a direction, 32 by";
    struct tt_crypto *crypto = open_crypto();
    struct tt_keys k;
    tt_keys_begin(&k, secret);
    assert_int_equal(tt_keys_step(&k, crypto, 7), TT_OK);
    const struct tt_keys before = k;
    for (uint32_t epoch = 0; epoch <= 7; epoch++)
        assert_int_equal(tt_keys_step(&k, crypto, epoch), TT_OK);
    assert_memory_equal(&k, &before, sizeof(k));
    tt_crypto_free(crypto);
}

static void test_carriers_that_have_no_key(void **state)
{
    (void)state;
    static const uint8_t secret[TT_KEY_LEN] = "the secret of a direction, 32 by";
    struct tt_crypto *crypto = open_crypto();
    struct tt_keys k;
    uint8_t key[TT_KEY_LEN];
    tt_keys_begin(&k, secret);
    assert_int_equal(tt_keys_of_carrier(&k, crypto, TT_CARRIERS_MAX + 1, key), TT_E_INVAL);
    assert_int_equal(tt_keys_step(&k, crypto, 2), TT_OK);
    assert_int_equal(tt_keys_of_carrier(&k, crypto, 63, key), TT_E_INVAL);
    assert_int_equal(tt_keys_of_carrier(&k, crypto, 64, key), TT_OK);
    tt_keys_wipe(&k);
    for (size_t i = 0; i < sizeof(k); i++)
        assert_int_equal(((const uint8_t *)&k)[i], 0);
    tt_crypto_free(crypto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secrets_and_keys_are_those_of_the_vectors),
        cmocka_unit_test(test_data_packets_are_those_of_the_vectors),
        cmocka_unit_test(test_there_is_no_step_back),
        cmocka_unit_test(test_carriers_that_have_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
