/* handshake.h - INIT and RESPONSE: Noise's two messages with their headers and parameters
 * (sealed.md M-1..M-3).
 *
 *   client                                 server
 *   tt_init_write    -- INIT -->           tt_init_read, (is the client welcome?), tt_init_accept
 *   tt_response_read <-- RESPONSE --       tt_response_write
 *
 * Both ends have the same secrets then. All state is in struct tt_noise, and wiped at the end.
 */
#ifndef TT_CORE_SEAL_HANDSHAKE_H
#define TT_CORE_SEAL_HANDSHAKE_H

#include "core/seal/noise.h"
#include "core/seal/parameters.h"
#include "core/seal/seal.h"
#include "core/session_id.h"

#define TT_HANDSHAKE_MAX (TT_SEALED_HEADER + TT_NOISE_MESSAGE_MAX) /* bytes of either packet */
#define TT_INIT_PADDED   48u /* bytes of its parameters: no RESPONSE is longer than its INIT */

/* The client's: whom it expects, and perhaps who it is. */
struct tt_client_keys {
    uint8_t server_public[TT_KEY_LEN];
    bool has_identity;
    uint8_t private_key[TT_KEY_LEN], public_key[TT_KEY_LEN]; /* has_identity */
};

/* The server's. */
struct tt_server_keys {
    uint8_t private_key[TT_KEY_LEN], public_key[TT_KEY_LEN];
    uint8_t instance[TT_INSTANCE_LEN];
};

/* What both ends know after a handshake. To be wiped. */
struct tt_secrets {
    uint8_t up[TT_KEY_LEN], down[TT_KEY_LEN]; /* client to server, and back */
    uint8_t h[TT_HASH_LEN];
};

/* resume: of the session that is asked for (M-16), or NULL: a new one. out: TT_HANDSHAKE_MAX bytes.
 * Returns 0, TT_E_PROTO (no key can be agreed on with such a server key), TT_E_SYSTEM.
 */
int tt_init_write(struct tt_noise *n, struct tt_sealer *s, const struct tt_client_keys *keys,
                  const struct tt_session_id *id, const uint8_t *resume, uint8_t *out,
                  uint32_t *len);

/* Reads the answer. secrets: NULL: not needed. After 0 n is wiped. Returns 0, TT_E_PROTO (it does
 * not open, or its parameters make no sense; n is as it was), TT_E_SYSTEM (n is wiped as well).
 */
int tt_response_read(struct tt_noise *n, struct tt_sealer *s, struct tt_span packet,
                     struct tt_parameters *said, struct tt_secrets *secrets);

/* The pattern of an INIT; 0: it is none that we know. Costs nothing. */
uint8_t tt_init_pattern(struct tt_span packet);

/* The client's ephemeral key in it; the pattern was asked for. */
const uint8_t *tt_init_ephemeral(struct tt_span packet);

/* Reads as far as the client's key, which is n->remote_static then (IK); accept reads the rest, and
 * with it the client has proven it. Return 0, TT_E_PROTO (it does not open; n is wiped),
 * TT_E_SYSTEM.
 */
int tt_init_read(struct tt_noise *n, struct tt_sealer *s, const struct tt_server_keys *keys,
                 const struct tt_session_id *id, struct tt_span packet, struct tt_span *rest);
int tt_init_accept(struct tt_noise *n, struct tt_sealer *s, struct tt_span rest,
                   struct tt_parameters *said);

/* Answers. state: enum tt_seal_state, or 0. secrets: NULL: not needed. n is wiped. 0 or
 * TT_E_SYSTEM.
 */
int tt_response_write(struct tt_noise *n, struct tt_sealer *s, const struct tt_server_keys *keys,
                      uint8_t state, uint8_t *out, uint32_t *len, struct tt_secrets *secrets);

#endif
