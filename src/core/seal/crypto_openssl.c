#include "core/seal/crypto.h"

#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <turbotunnel/error.h>

/* Of BLAKE2s; HMAC is made of it. */
#define BLOCK_LEN 64u

#define NONCE_LEN 12u

struct tt_crypto {
    EVP_CIPHER *cipher;
    EVP_MD *digest;
    /* One each: to turn a context from one direction to the other is slow. */
    EVP_CIPHER_CTX *seal;
    EVP_CIPHER_CTX *open;
    EVP_MD_CTX *hash;
};

/* Between these two libcrypto may fail as it likes: its queue of errors, which belongs to the
 * program around us, is then as it was.
 */
static void errors_begin(void)
{
    ERR_set_mark();
}

static void errors_end(void)
{
    ERR_pop_to_mark();
}

static bool make_contexts(struct tt_crypto *c)
{
    c->cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    c->digest = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
    c->seal = EVP_CIPHER_CTX_new();
    c->open = EVP_CIPHER_CTX_new();
    c->hash = EVP_MD_CTX_new();
    return c->cipher && c->digest && c->seal && c->open && c->hash &&
           EVP_CIPHER_get_iv_length(c->cipher) == NONCE_LEN &&
           EVP_EncryptInit_ex2(c->seal, c->cipher, NULL, NULL, NULL) == 1 &&
           EVP_DecryptInit_ex2(c->open, c->cipher, NULL, NULL, NULL) == 1 &&
           EVP_DigestInit_ex2(c->hash, c->digest, NULL) == 1;
}

int tt_crypto_new(struct tt_crypto **crypto)
{
    errors_begin();
    struct tt_crypto *c = OPENSSL_zalloc(sizeof(*c));
    int err = c ? TT_OK : TT_E_NOMEM;
    if (c && !make_contexts(c)) {
        tt_crypto_free(c);
        err = TT_E_SYSTEM;
    }
    errors_end();
    if (!err)
        *crypto = c;
    return err;
}

void tt_crypto_free(struct tt_crypto *crypto)
{
    if (!crypto)
        return;
    EVP_MD_CTX_free(crypto->hash);
    EVP_CIPHER_CTX_free(crypto->open);
    EVP_CIPHER_CTX_free(crypto->seal);
    EVP_MD_free(crypto->digest);
    EVP_CIPHER_free(crypto->cipher);
    OPENSSL_free(crypto);
}

void tt_crypto_wipe(void *secret, size_t len)
{
    OPENSSL_cleanse(secret, len);
}

bool tt_crypto_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

static bool hash_update(struct tt_crypto *c, const struct tt_span *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].len > 0 && EVP_DigestUpdate(c->hash, parts[i].ptr, parts[i].len) != 1)
            return false;
    return true;
}

/* The hash of the parts, behind a block of their own if there is one. */
static bool hash(struct tt_crypto *c, const uint8_t block[BLOCK_LEN], const struct tt_span *parts,
                 size_t count, uint8_t out[TT_HASH_LEN])
{
    return EVP_DigestInit_ex2(c->hash, NULL, NULL) == 1 &&
           (!block || EVP_DigestUpdate(c->hash, block, BLOCK_LEN) == 1) &&
           hash_update(c, parts, count) && EVP_DigestFinal_ex(c->hash, out, NULL) == 1;
}

int tt_crypto_hash(struct tt_crypto *crypto, const struct tt_span *parts, size_t count,
                   uint8_t out[TT_HASH_LEN])
{
    errors_begin();
    const bool done = hash(crypto, NULL, parts, count, out);
    errors_end();
    return done ? TT_OK : TT_E_SYSTEM;
}

/* RFC 2104: the key, filled up to a block, with every byte changed by 0x36 (inner) or 0x5c (outer).
 */
static void hmac_block(uint8_t block[BLOCK_LEN], const uint8_t key[TT_KEY_LEN], uint8_t with)
{
    for (size_t i = 0; i < BLOCK_LEN; i++)
        block[i] = (uint8_t)((i < TT_KEY_LEN ? key[i] : 0) ^ with);
}

int tt_crypto_hmac(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN],
                   const struct tt_span *parts, size_t count, uint8_t out[TT_HASH_LEN])
{
    uint8_t block[BLOCK_LEN];
    uint8_t inner[TT_HASH_LEN] = {0};
    const struct tt_span inner_part = tt_span_of(inner, sizeof(inner));
    errors_begin();
    hmac_block(block, key, 0x36);
    bool done = hash(crypto, block, parts, count, inner);
    hmac_block(block, key, 0x5c);
    done = done && hash(crypto, block, &inner_part, 1, out);
    errors_end();
    tt_crypto_wipe(block, sizeof(block));
    tt_crypto_wipe(inner, sizeof(inner));
    return done ? TT_OK : TT_E_SYSTEM;
}

static EVP_PKEY *load_private(const uint8_t key[TT_KEY_LEN])
{
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key, TT_KEY_LEN);
}

int tt_crypto_public(struct tt_crypto *crypto, const uint8_t private_key[TT_KEY_LEN],
                     uint8_t public_key[TT_KEY_LEN])
{
    (void)crypto;
    size_t len = TT_KEY_LEN;
    errors_begin();
    EVP_PKEY *pair = load_private(private_key);
    const bool done =
        pair && EVP_PKEY_get_raw_public_key(pair, public_key, &len) == 1 && len == TT_KEY_LEN;
    EVP_PKEY_free(pair);
    errors_end();
    return done ? TT_OK : TT_E_SYSTEM;
}

/* libcrypto itself refuses an all-zero result, and has no other reason to fail here. */
static int derive(EVP_PKEY_CTX *ctx, EVP_PKEY *peer, uint8_t shared[TT_KEY_LEN])
{
    static const uint8_t zeroes[TT_KEY_LEN];
    size_t len = TT_KEY_LEN;
    if (EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, peer) != 1)
        return TT_E_SYSTEM;
    if (EVP_PKEY_derive(ctx, shared, &len) != 1 || len != TT_KEY_LEN)
        return TT_E_PROTO;
    return tt_crypto_equal(shared, zeroes, TT_KEY_LEN) ? TT_E_PROTO : TT_OK;
}

int tt_crypto_dh(struct tt_crypto *crypto, const uint8_t private_key[TT_KEY_LEN],
                 const uint8_t public_key[TT_KEY_LEN], uint8_t shared[TT_KEY_LEN])
{
    (void)crypto;
    errors_begin();
    EVP_PKEY *pair = load_private(private_key);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_key, TT_KEY_LEN);
    EVP_PKEY_CTX *ctx = pair ? EVP_PKEY_CTX_new(pair, NULL) : NULL;
    const int err = ctx && peer ? derive(ctx, peer, shared) : TT_E_SYSTEM;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(pair);
    errors_end();
    return err;
}

static void write_nonce(uint8_t out[NONCE_LEN], uint64_t nonce)
{
    memset(out, 0, 4);
    tt_put_le64(out + 4, nonce);
}

/* Key and nonce into a context that is ready, the associated data through it, and the bytes where
 * they lie. A new key on the same context allocates nothing.
 */
static bool run(EVP_CIPHER_CTX *ctx, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                struct tt_span ad, uint8_t *bytes, size_t len)
{
    uint8_t iv[NONCE_LEN];
    int n;
    if (ad.len > INT_MAX || len > INT_MAX)
        return false;
    write_nonce(iv, nonce);
    return EVP_CipherInit_ex2(ctx, NULL, key, iv, -1, NULL) == 1 &&
           (ad.len == 0 || EVP_CipherUpdate(ctx, NULL, &n, ad.ptr, (int)ad.len) == 1) &&
           (len == 0 || EVP_CipherUpdate(ctx, bytes, &n, bytes, (int)len) == 1);
}

static bool seal(EVP_CIPHER_CTX *ctx, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                 struct tt_span ad, uint8_t *bytes, size_t len)
{
    OSSL_PARAM tag[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, bytes + len, TT_TAG_LEN),
        OSSL_PARAM_construct_end(),
    };
    int n;
    return run(ctx, key, nonce, ad, bytes, len) && EVP_EncryptFinal_ex(ctx, bytes + len, &n) == 1 &&
           EVP_CIPHER_CTX_get_params(ctx, tag) == 1;
}

int tt_crypto_seal(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                   struct tt_span ad, uint8_t *bytes, size_t len)
{
    errors_begin();
    const bool done = seal(crypto->seal, key, nonce, ad, bytes, len);
    errors_end();
    return done ? TT_OK : TT_E_SYSTEM;
}

/* len: without the tag behind the bytes. */
static int open_tagged(EVP_CIPHER_CTX *ctx, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                       struct tt_span ad, uint8_t *bytes, size_t len)
{
    const OSSL_PARAM tag[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, bytes + len, TT_TAG_LEN),
        OSSL_PARAM_construct_end(),
    };
    int n;
    if (!run(ctx, key, nonce, ad, bytes, len) || EVP_CIPHER_CTX_set_params(ctx, tag) != 1)
        return TT_E_SYSTEM;
    return EVP_DecryptFinal_ex(ctx, bytes + len, &n) == 1 ? TT_OK : TT_E_PROTO;
}

int tt_crypto_open(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                   struct tt_span ad, uint8_t *bytes, size_t len)
{
    if (len < TT_TAG_LEN)
        return TT_E_PROTO;
    errors_begin();
    const int err = open_tagged(crypto->open, key, nonce, ad, bytes, len - TT_TAG_LEN);
    errors_end();
    return err;
}
