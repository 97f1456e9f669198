#include "keys.h"
#include "link.h"
#include "process.h"

#include <turbotunnel/keys.h>

static const uint8_t private_key[TT_KEY_BYTES] = "everybody knows this private key";

const uint8_t *tt_bench_private_key(const struct tt_bench_kind *kind)
{
    return kind->sealed ? private_key : NULL;
}

const uint8_t *tt_bench_server_key(const struct tt_bench_kind *kind)
{
    static uint8_t public_key[TT_KEY_BYTES];
    if (!kind->sealed)
        return NULL;
    if (tt_key_public(private_key, public_key))
        tt_bench_fail("make the server's key", "libcrypto does not");
    return public_key;
}
