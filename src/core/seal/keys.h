/* keys.h - the keys of one direction of a session, epoch after epoch (sealed.md M-8).
 *
 *   secret of the next epoch = HMAC(secret, 0x01)
 *   key of a carrier         = HMAC(secret of its epoch, 0x02, carrier u24)
 *
 * Secrets that are not needed any more are wiped: who takes the state later cannot open what was
 * recorded before.
 */
#ifndef TT_CORE_SEAL_KEYS_H
#define TT_CORE_SEAL_KEYS_H

#include "core/seal/crypto.h"

struct tt_keys {
    uint32_t epoch;                /* of secret[1] */
    uint8_t secret[2][TT_KEY_LEN]; /* of the epoch before (all zeroes in epoch 0), of epoch */
};

/* secret: Noise's key of this direction. It is the caller's to wipe. */
void tt_keys_begin(struct tt_keys *k, const uint8_t secret[TT_KEY_LEN]);

/* The key of a carrier whose epoch is not before k's last but one; k stays as it is, however far
 * ahead it lies. Returns 0, TT_E_INVAL (an epoch that was wiped) or TT_E_SYSTEM.
 */
int tt_keys_of_carrier(const struct tt_keys *k, struct tt_crypto *crypto, uint32_t carrier,
                       uint8_t key[TT_KEY_LEN]);

/* Epochs before `epoch` - 1 are over: their secrets are wiped. No step back. 0 or TT_E_SYSTEM. */
int tt_keys_step(struct tt_keys *k, struct tt_crypto *crypto, uint32_t epoch);

void tt_keys_wipe(struct tt_keys *k);

#endif
