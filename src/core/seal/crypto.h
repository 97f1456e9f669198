/* crypto.h - the primitives that sealed sessions are made of (sealed.md).
 *
 * crypto_openssl.c is the one file that knows libcrypto. One object a thread: it keeps the
 * library's contexts, which are made once and used over and over, so that nothing is allocated for
 * a packet.
 */
#ifndef TT_CORE_SEAL_CRYPTO_H
#define TT_CORE_SEAL_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

#define TT_KEY_LEN  32u /* X25519 and ChaCha20-Poly1305 keys */
#define TT_HASH_LEN 32u /* BLAKE2s */
#define TT_TAG_LEN  16u /* Poly1305 */

struct tt_crypto;

/* Returns 0, TT_E_NOMEM, or TT_E_SYSTEM: this libcrypto has not what is needed. */
int tt_crypto_new(struct tt_crypto **crypto);

/* NULL: nothing. What its contexts knew of keys is wiped. */
void tt_crypto_free(struct tt_crypto *crypto);

/* Overwrites secrets, also where the compiler sees that nobody reads them afterwards. */
void tt_crypto_wipe(void *secret, size_t len);

/* Takes the same time whatever the bytes are. */
bool tt_crypto_equal(const uint8_t *a, const uint8_t *b, size_t len);

/* BLAKE2s of the parts in a row. Returns 0 or TT_E_SYSTEM. */
int tt_crypto_hash(struct tt_crypto *crypto, const struct tt_span *parts, size_t count,
                   uint8_t out[TT_HASH_LEN]);

/* HMAC with it (block size 64) of the parts in a row. Returns 0 or TT_E_SYSTEM. */
int tt_crypto_hmac(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN],
                   const struct tt_span *parts, size_t count, uint8_t out[TT_HASH_LEN]);

/* X25519: the public key of a private one. Returns 0 or TT_E_SYSTEM. */
int tt_crypto_public(struct tt_crypto *crypto, const uint8_t private_key[TT_KEY_LEN],
                     uint8_t public_key[TT_KEY_LEN]);

/* X25519: the shared secret. Returns 0, TT_E_PROTO (it is all zeroes: the public key is a bad one),
 * or TT_E_SYSTEM.
 */
int tt_crypto_dh(struct tt_crypto *crypto, const uint8_t private_key[TT_KEY_LEN],
                 const uint8_t public_key[TT_KEY_LEN], uint8_t shared[TT_KEY_LEN]);

/* ChaCha20-Poly1305: encrypts len bytes where they lie and writes the tag behind them, so there
 * must be room for it. The nonce is Noise's: 4 zero bytes, then the number, little-endian. ad:
 * bytes that are authenticated only. Returns 0 or TT_E_SYSTEM.
 */
int tt_crypto_seal(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                   struct tt_span ad, uint8_t *bytes, size_t len);

/* The reverse: len counts the tag. Returns 0, TT_E_PROTO (it does not open; bytes mean nothing any
 * more), or TT_E_SYSTEM.
 */
int tt_crypto_open(struct tt_crypto *crypto, const uint8_t key[TT_KEY_LEN], uint64_t nonce,
                   struct tt_span ad, uint8_t *bytes, size_t len);

#endif
