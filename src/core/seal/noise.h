/* noise.h - the Noise handshakes of sealed sessions: NK and IK with 25519, ChaChaPoly, BLAKE2s
 * (sealed.md M-1, M-2).
 *
 *   initiator   write_init  -> read_response  -> split
 *   responder   read_init, accept_init -> write_response -> split
 *
 * After an error the object is wiped; begin anew. Nothing is kept between packets but what is here.
 */
#ifndef TT_CORE_SEAL_NOISE_H
#define TT_CORE_SEAL_NOISE_H

#include "core/seal/crypto.h"

enum tt_noise_pattern {
    TT_NOISE_NK = 1, /* the client is anybody who knows the server's key */
    TT_NOISE_IK = 2, /* the client proves a key of its own */
};

/* Longest payload of either message (M-3), and longest message: IK's first. */
#define TT_NOISE_PAYLOAD_MAX 256u
#define TT_NOISE_MESSAGE_MAX                                                                       \
    (TT_KEY_LEN + TT_KEY_LEN + TT_TAG_LEN + TT_NOISE_PAYLOAD_MAX + TT_TAG_LEN)

struct tt_noise {
    enum tt_noise_pattern pattern;
    uint8_t h[TT_HASH_LEN], ck[TT_HASH_LEN], key[TT_KEY_LEN];
    uint64_t nonce;
    uint8_t ephemeral[TT_KEY_LEN];        /* our private one */
    uint8_t static_private[TT_KEY_LEN];   /* ours: IK's initiator, any responder */
    uint8_t remote_ephemeral[TT_KEY_LEN]; /* the other end's */
    uint8_t remote_static[TT_KEY_LEN];    /* the other end's; IK's responder: once read */
};

/* Who we are and whom we expect. All borrowed. */
struct tt_noise_keys {
    enum tt_noise_pattern pattern;
    struct tt_span prologue;
    const uint8_t *server_public;  /* initiator: of the server; responder: our own */
    const uint8_t *static_private; /* initiator: IK alone; responder: our own */
    const uint8_t *static_public;  /* initiator: IK alone, that of static_private */
};

/* Initiator. ephemeral: 32 fresh random bytes. Writes message 1 into out (TT_NOISE_MESSAGE_MAX
 * bytes), its length into *len. Returns 0, TT_E_PROTO (a server key with which nothing can be
 * agreed), TT_E_INVAL (payload too long), TT_E_SYSTEM.
 */
int tt_noise_write_init(struct tt_noise *n, struct tt_crypto *crypto,
                        const struct tt_noise_keys *keys, const uint8_t ephemeral[TT_KEY_LEN],
                        struct tt_span payload, uint8_t *out, size_t *len);

/* Reads message 2; payload (TT_NOISE_PAYLOAD_MAX bytes) and *len: what stood in it. Returns 0,
 * TT_E_PROTO (does not open, too short or too long) or TT_E_SYSTEM. On TT_E_PROTO, unlike
 * elsewhere, n is as it was: the next message may be the right one.
 */
int tt_noise_read_response(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span message,
                           uint8_t *payload, size_t *len);

/* Responder. Reads message 1 up to the client's static key, which (IK) is n->remote_static then,
 * not proven yet. What is left of the message is set in *rest. Returns 0, TT_E_PROTO, TT_E_SYSTEM.
 */
int tt_noise_read_init(struct tt_noise *n, struct tt_crypto *crypto,
                       const struct tt_noise_keys *keys, struct tt_span message,
                       struct tt_span *rest);

/* The rest of it: with this IK's client has proven its key. Returns as tt_noise_read_init. */
int tt_noise_accept_init(struct tt_noise *n, struct tt_crypto *crypto, struct tt_span rest,
                         uint8_t *payload, size_t *len);

/* Writes message 2. ephemeral: 32 fresh random bytes. Returns as tt_noise_write_init. */
int tt_noise_write_response(struct tt_noise *n, struct tt_crypto *crypto,
                            const uint8_t ephemeral[TT_KEY_LEN], struct tt_span payload,
                            uint8_t *out, size_t *len);

/* The two keys, initiator to responder and back, and the hash h of all that was said. n is wiped.
 * Returns 0 or TT_E_SYSTEM.
 */
int tt_noise_split(struct tt_noise *n, struct tt_crypto *crypto, uint8_t up[TT_KEY_LEN],
                   uint8_t down[TT_KEY_LEN], uint8_t h[TT_HASH_LEN]);

#endif
