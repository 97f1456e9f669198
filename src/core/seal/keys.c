#include "core/seal/keys.h"

#include <string.h>

#include <turbotunnel/error.h>

#include "core/seal/numbers.h"

#define LABEL_NEXT    0x01
#define LABEL_CARRIER 0x02

void tt_keys_begin(struct tt_keys *k, const uint8_t secret[TT_KEY_LEN])
{
    memset(k, 0, sizeof(*k));
    memcpy(k->secret[1], secret, TT_KEY_LEN);
}

void tt_keys_wipe(struct tt_keys *k)
{
    tt_crypto_wipe(k, sizeof(*k));
}

/* One epoch on: what was the secret of the last one is that of the one before. */
static int step_once(struct tt_keys *k, struct tt_crypto *crypto)
{
    static const uint8_t label = LABEL_NEXT;
    const struct tt_span part = tt_span_of(&label, 1);
    uint8_t next[TT_KEY_LEN];
    const int err = tt_crypto_hmac(crypto, k->secret[1], &part, 1, next);
    if (!err) {
        memcpy(k->secret[0], k->secret[1], TT_KEY_LEN);
        memcpy(k->secret[1], next, TT_KEY_LEN);
        k->epoch++;
    }
    tt_crypto_wipe(next, sizeof(next));
    return err;
}

int tt_keys_step(struct tt_keys *k, struct tt_crypto *crypto, uint32_t epoch)
{
    struct tt_keys ahead = *k;
    int err = TT_OK;
    while (!err && ahead.epoch < epoch)
        err = step_once(&ahead, crypto);
    if (!err)
        *k = ahead;
    tt_keys_wipe(&ahead);
    return err;
}

int tt_keys_of_carrier(const struct tt_keys *k, struct tt_crypto *crypto, uint32_t carrier,
                       uint8_t key[TT_KEY_LEN])
{
    const uint32_t epoch = carrier / TT_EPOCH_CARRIERS;
    const uint8_t part[4] = {LABEL_CARRIER, (uint8_t)(carrier >> 16), (uint8_t)(carrier >> 8),
                             (uint8_t)carrier};
    const struct tt_span parts = tt_span_of(part, sizeof(part));
    struct tt_keys at = *k;
    if (carrier > TT_CARRIERS_MAX || epoch + 1 < k->epoch) {
        tt_keys_wipe(&at);
        return TT_E_INVAL;
    }
    int err = tt_keys_step(&at, crypto, epoch);
    if (!err)
        err = tt_crypto_hmac(crypto, at.secret[epoch == at.epoch], &parts, 1, key);
    tt_keys_wipe(&at);
    return err;
}
