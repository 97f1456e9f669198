#include "core/seal/noise.h"

#include <string.h>

#include <turbotunnel/error.h>

/* What the Noise specification (revision 34) calls a symmetric state is h, ck, key and nonce; its
 * functions keep their names here, and each line of a handshake is one of the pattern's tokens.
 */

static struct tt_span key_span(const uint8_t key[TT_KEY_LEN])
{
    return tt_span_of(key, TT_KEY_LEN);
}

static int mix_hash(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span data)
{
    const struct tt_span parts[] = {tt_span_of(n->h, TT_HASH_LEN), data};
    return tt_crypto_hash(crypto, parts, 2, n->h);
}

/* HKDF with two outputs. `first` may be `chaining`. */
static int hkdf(struct tt_crypto *crypto, const uint8_t chaining[TT_HASH_LEN],
                const struct tt_span *input, uint8_t first[TT_HASH_LEN],
                uint8_t second[TT_HASH_LEN])
{
    static const uint8_t one = 1;
    static const uint8_t two = 2;
    const struct tt_span first_in = tt_span_of(&one, 1);
    const struct tt_span second_in[] = {tt_span_of(first, TT_HASH_LEN), tt_span_of(&two, 1)};
    uint8_t temp[TT_HASH_LEN];
    int err = tt_crypto_hmac(crypto, chaining, input, 1, temp);
    if (!err)
        err = tt_crypto_hmac(crypto, temp, &first_in, 1, first);
    if (!err)
        err = tt_crypto_hmac(crypto, temp, second_in, 2, second);
    tt_crypto_wipe(temp, sizeof(temp));
    return err;
}

/* The tokens es, ee, se, ss: which keys, the caller knows. */
static int mix_dh(struct tt_noise *n, struct tt_crypto *crypto,
                  const uint8_t private_key[TT_KEY_LEN], const uint8_t public_key[TT_KEY_LEN])
{
    uint8_t shared[TT_KEY_LEN] = {0};
    const struct tt_span input = tt_span_of(shared, sizeof(shared));
    int err = tt_crypto_dh(crypto, private_key, public_key, shared);
    if (!err)
        err = hkdf(crypto, n->ck, &input, n->ck, n->key);
    n->nonce = 0;
    tt_crypto_wipe(shared, sizeof(shared));
    return err;
}

/* Writes plain.len + TT_TAG_LEN bytes. */
static int encrypt_and_hash(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span plain,
                            uint8_t *out)
{
    if (plain.len > 0)
        memcpy(out, plain.ptr, plain.len);
    const int err =
        tt_crypto_seal(crypto, n->key, n->nonce++, tt_span_of(n->h, TT_HASH_LEN), out, plain.len);
    return err ? err : mix_hash(n, crypto, tt_span_of(out, plain.len + TT_TAG_LEN));
}

/* Writes sealed.len - TT_TAG_LEN bytes; the caller has seen that there are as many, and at most
 * TT_NOISE_PAYLOAD_MAX.
 */
static int decrypt_and_hash(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span sealed,
                            uint8_t *out)
{
    uint8_t buf[TT_NOISE_PAYLOAD_MAX + TT_TAG_LEN];
    memcpy(buf, sealed.ptr, sealed.len);
    int err =
        tt_crypto_open(crypto, n->key, n->nonce++, tt_span_of(n->h, TT_HASH_LEN), buf, sealed.len);
    if (!err)
        err = mix_hash(n, crypto, sealed);
    if (!err)
        memcpy(out, buf, sealed.len - TT_TAG_LEN);
    tt_crypto_wipe(buf, sizeof(buf));
    return err;
}

static bool is_payload(size_t sealed_len)
{
    return sealed_len >= TT_TAG_LEN && sealed_len <= TT_NOISE_PAYLOAD_MAX + TT_TAG_LEN;
}

static int decrypt_payload(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span sealed,
                           uint8_t *payload, size_t *len)
{
    if (!is_payload(sealed.len))
        return TT_E_PROTO;
    *len = sealed.len - TT_TAG_LEN;
    return decrypt_and_hash(n, crypto, sealed, payload);
}

/* What both ends know before the first message. */
static int begin(struct tt_noise *n, struct tt_crypto *crypto, const struct tt_noise_keys *keys)
{
    const char *name = keys->pattern == TT_NOISE_IK ? "Noise_IK_25519_ChaChaPoly_BLAKE2s"
                                                    : "Noise_NK_25519_ChaChaPoly_BLAKE2s";
    const struct tt_span part = tt_span_of(name, strlen(name));
    memset(n, 0, sizeof(*n));
    n->pattern = keys->pattern;
    if (keys->static_private)
        memcpy(n->static_private, keys->static_private, TT_KEY_LEN);
    int err = tt_crypto_hash(crypto, &part, 1, n->h);
    memcpy(n->ck, n->h, TT_HASH_LEN);
    if (!err)
        err = mix_hash(n, crypto, keys->prologue);
    return err ? err : mix_hash(n, crypto, key_span(keys->server_public));
}

static int write_ephemeral(struct tt_noise *n, struct tt_crypto *crypto,
                           const uint8_t ephemeral[TT_KEY_LEN], uint8_t *out)
{
    memcpy(n->ephemeral, ephemeral, TT_KEY_LEN);
    const int err = tt_crypto_public(crypto, ephemeral, out);
    return err ? err : mix_hash(n, crypto, key_span(out));
}

static int read_ephemeral(struct tt_noise *n, struct tt_crypto *crypto, const uint8_t *in)
{
    memcpy(n->remote_ephemeral, in, TT_KEY_LEN);
    return mix_hash(n, crypto, key_span(in));
}

static int end(struct tt_noise *n, int err)
{
    if (err)
        tt_crypto_wipe(n, sizeof(*n));
    return err;
}

/* IK: -> e, es, s, ss    NK: -> e, es */
static int write_init(struct tt_noise *n, struct tt_crypto *crypto,
                      const struct tt_noise_keys *keys, const uint8_t ephemeral[TT_KEY_LEN],
                      struct tt_span payload, uint8_t *out, size_t *len)
{
    uint8_t *at = out + TT_KEY_LEN;
    int err = begin(n, crypto, keys);
    memcpy(n->remote_static, keys->server_public, TT_KEY_LEN);
    if (!err)
        err = write_ephemeral(n, crypto, ephemeral, out);
    if (!err)
        err = mix_dh(n, crypto, n->ephemeral, n->remote_static);
    if (!err && n->pattern == TT_NOISE_IK) {
        err = encrypt_and_hash(n, crypto, key_span(keys->static_public), at);
        at += TT_KEY_LEN + TT_TAG_LEN;
        if (!err)
            err = mix_dh(n, crypto, n->static_private, n->remote_static);
    }
    *len = (size_t)(at - out) + payload.len + TT_TAG_LEN;
    return err ? err : encrypt_and_hash(n, crypto, payload, at);
}

int tt_noise_write_init(struct tt_noise *n, struct tt_crypto *crypto,
                        const struct tt_noise_keys *keys, const uint8_t ephemeral[TT_KEY_LEN],
                        struct tt_span payload, uint8_t *out, size_t *len)
{
    if (payload.len > TT_NOISE_PAYLOAD_MAX)
        return end(n, TT_E_INVAL);
    return end(n, write_init(n, crypto, keys, ephemeral, payload, out, len));
}

/* A wiped state has keys that everybody knows: nothing may open with it. */
static bool has_begun(const struct tt_noise *n)
{
    return n->pattern == TT_NOISE_NK || n->pattern == TT_NOISE_IK;
}

/* The initiator's view. IK: <- e, ee, se    NK: <- e, ee */
static int read_response(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span message,
                         uint8_t *payload, size_t *len)
{
    if (!has_begun(n) || message.len < TT_KEY_LEN || !is_payload(message.len - TT_KEY_LEN))
        return TT_E_PROTO;
    int err = read_ephemeral(n, crypto, message.ptr);
    if (!err)
        err = mix_dh(n, crypto, n->ephemeral, n->remote_ephemeral);
    if (!err && n->pattern == TT_NOISE_IK)
        err = mix_dh(n, crypto, n->static_private, n->remote_ephemeral);
    tt_span_skip(&message, TT_KEY_LEN);
    return err ? err : decrypt_payload(n, crypto, message, payload, len);
}

int tt_noise_read_response(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span message,
                           uint8_t *payload, size_t *len)
{
    struct tt_noise next = *n;
    const int err = read_response(&next, crypto, message, payload, len);
    if (!err)
        *n = next;
    tt_crypto_wipe(&next, sizeof(next));
    return err == TT_E_PROTO ? err : end(n, err);
}

/* Everything in front of the payload's ciphertext. */
static size_t init_head(enum tt_noise_pattern pattern)
{
    return pattern == TT_NOISE_IK ? TT_KEY_LEN + TT_KEY_LEN + TT_TAG_LEN : TT_KEY_LEN;
}

static int read_init(struct tt_noise *n, struct tt_crypto *crypto, const struct tt_noise_keys *keys,
                     struct tt_span message, struct tt_span *rest)
{
    const size_t head = init_head(keys->pattern);
    /* Before anything that costs time. */
    if (message.len < head || !is_payload(message.len - head))
        return TT_E_PROTO;
    int err = begin(n, crypto, keys);
    if (!err)
        err = read_ephemeral(n, crypto, message.ptr);
    if (!err)
        err = mix_dh(n, crypto, n->static_private, n->remote_ephemeral);
    if (!err && n->pattern == TT_NOISE_IK)
        err = decrypt_and_hash(n, crypto,
                               tt_span_of(message.ptr + TT_KEY_LEN, TT_KEY_LEN + TT_TAG_LEN),
                               n->remote_static);
    tt_span_skip(&message, head);
    *rest = message;
    return err;
}

int tt_noise_read_init(struct tt_noise *n, struct tt_crypto *crypto,
                       const struct tt_noise_keys *keys, struct tt_span message,
                       struct tt_span *rest)
{
    return end(n, read_init(n, crypto, keys, message, rest));
}

int tt_noise_accept_init(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span rest,
                         uint8_t *payload, size_t *len)
{
    int err = TT_OK;
    if (n->pattern == TT_NOISE_IK)
        err = mix_dh(n, crypto, n->static_private, n->remote_static);
    return end(n, err ? err : decrypt_payload(n, crypto, rest, payload, len));
}

static int write_response(struct tt_noise *n, struct tt_crypto *crypto,
                          const uint8_t ephemeral[TT_KEY_LEN], struct tt_span payload, uint8_t *out,
                          size_t *len)
{
    int err = write_ephemeral(n, crypto, ephemeral, out);
    if (!err)
        err = mix_dh(n, crypto, n->ephemeral, n->remote_ephemeral);
    if (!err && n->pattern == TT_NOISE_IK)
        err = mix_dh(n, crypto, n->ephemeral, n->remote_static);
    *len = TT_KEY_LEN + payload.len + TT_TAG_LEN;
    return err ? err : encrypt_and_hash(n, crypto, payload, out + TT_KEY_LEN);
}

int tt_noise_write_response(struct tt_noise *n, struct tt_crypto *crypto,
                            const uint8_t ephemeral[TT_KEY_LEN], struct tt_span payload,
                            uint8_t *out, size_t *len)
{
    if (payload.len > TT_NOISE_PAYLOAD_MAX)
        return end(n, TT_E_INVAL);
    return end(n, write_response(n, crypto, ephemeral, payload, out, len));
}

int tt_noise_split(struct tt_noise *n, struct tt_crypto *crypto, uint8_t up[TT_KEY_LEN],
                   uint8_t down[TT_KEY_LEN], uint8_t h[TT_HASH_LEN])
{
    const struct tt_span nothing = {NULL, 0};
    const int err = hkdf(crypto, n->ck, &nothing, up, down);
    memcpy(h, n->h, TT_HASH_LEN);
    tt_crypto_wipe(n, sizeof(*n));
    return err;
}
