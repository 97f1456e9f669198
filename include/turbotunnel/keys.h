/* keys.h - the keys of sealed sessions: X25519, 32 bytes each (docs/spec/sealed.md).
 *
 * A server has a private key, and its clients know the public one; a client may have a pair of its
 * own, by which the server knows it. Keep private keys out of arguments, the environment and logs.
 */
#ifndef TURBOTUNNEL_KEYS_H
#define TURBOTUNNEL_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TT_KEY_BYTES      32
#define TT_INSTANCE_BYTES 8

/* A fresh private key, of the system's random numbers. 0 or TT_E_SYSTEM. Any thread. */
TT_EXPORT int tt_key_generate(uint8_t private_key[TT_KEY_BYTES]);

/* The public key that belongs to it. 0, TT_E_NOMEM or TT_E_SYSTEM. Any thread. */
TT_EXPORT int tt_key_public(const uint8_t private_key[TT_KEY_BYTES],
                            uint8_t public_key[TT_KEY_BYTES]);

/* Overwrites a secret, also where the compiler sees that nobody reads it afterwards. Any thread. */
TT_EXPORT void tt_key_wipe(void *secret, size_t len);

#ifdef __cplusplus
}
#endif

#endif
