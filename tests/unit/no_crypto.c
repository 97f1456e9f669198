/* In place of crypto_openssl.c where there is no libcrypto: for scripts/check-portable, which runs
 * the tests of plain sessions on other machines. Nothing can be sealed with it.
 */
#include <string.h>

#include <turbotunnel/error.h>

#include "core/seal/crypto.h"

int tt_crypto_new(struct tt_crypto **crypto)
{
    *crypto = NULL;
    return TT_E_SYSTEM;
}

void tt_crypto_free(struct tt_crypto *crypto)
{
    (void)crypto;
}

void tt_crypto_wipe(void *secret, size_t len)
{
    memset(secret, 0, len);
}

bool tt_crypto_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return memcmp(a, b, len) == 0;
}

int tt_crypto_hash(struct tt_crypto *crypto, const struct tt_span *parts, size_t count,
                   uint8_t out[TT_HASH_LEN])
{
    (void)crypto, (void)parts, (void)count, (void)out;
    return TT_E_SYSTEM;
}

int tt_crypto_hmac(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN],
                   const struct tt_span *parts, size_t count, uint8_t out[TT_HASH_LEN])
{
    (void)crypto, (void)key, (void)parts, (void)count, (void)out;
    return TT_E_SYSTEM;
}

int tt_crypto_public(struct tt_crypto *crypto, const uint8_t private_key[TT_KEY_LEN],
                     uint8_t public_key[TT_KEY_LEN])
{
    (void)crypto, (void)private_key, (void)public_key;
    return TT_E_SYSTEM;
}

int tt_crypto_dh(struct tt_crypto *crypto, const uint8_t private_key[TT_KEY_LEN],
                 const uint8_t public_key[TT_KEY_LEN], uint8_t shared[TT_KEY_LEN])
{
    (void)crypto, (void)private_key, (void)public_key, (void)shared;
    return TT_E_SYSTEM;
}

int tt_crypto_seal(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                   struct tt_span ad, uint8_t *bytes, size_t len)
{
    (void)crypto, (void)key, (void)nonce, (void)ad, (void)bytes, (void)len;
    return TT_E_SYSTEM;
}

int tt_crypto_open(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                   struct tt_span ad, uint8_t *bytes, size_t len)
{
    (void)crypto, (void)key, (void)nonce, (void)ad, (void)bytes, (void)len;
    return TT_E_SYSTEM;
}
