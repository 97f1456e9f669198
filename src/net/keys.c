#include <turbotunnel/keys.h>

#include "core/seal/crypto.h"
#include "net/worker.h"

int tt_key_generate(uint8_t private_key[TT_KEY_BYTES])
{
    return tt_worker_random.fill(NULL, private_key, TT_KEY_BYTES);
}

int tt_key_public(const uint8_t private_key[TT_KEY_BYTES], uint8_t public_key[TT_KEY_BYTES])
{
    struct tt_crypto *crypto;
    int err = tt_crypto_new(&crypto);
    if (err)
        return err;
    err = tt_crypto_public(crypto, private_key, public_key);
    tt_crypto_free(crypto);
    return err;
}

void tt_key_wipe(void *secret, size_t len)
{
    tt_crypto_wipe(secret, len);
}
