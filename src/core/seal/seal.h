/* seal.h - sealed packets: DATA, sealed and opened (sealed.md M-9, M-14, M-15).
 *
 *   0x03, carrier u24, counter u32 | kind u8, what it carries, padding | tag
 *
 * The first eight bytes are authenticated, what follows is encrypted as well.
 */
#ifndef TT_CORE_SEAL_SEAL_H
#define TT_CORE_SEAL_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/random.h"
#include "core/gather.h"
#include "core/seal/crypto.h"

/* Packets, by their first byte. */
enum tt_sealed_type {
    TT_SEALED_INIT = 0x01,
    TT_SEALED_RESPONSE = 0x02,
    TT_SEALED_DATA = 0x03,
};

#define TT_SEALED_VERSION       1u
#define TT_SEALED_HEADER        4u /* of INIT and RESPONSE */
#define TT_SEALED_DATA_HEADER   8u
#define TT_SEALED_OVERHEAD      (TT_SEALED_DATA_HEADER + 1u + TT_TAG_LEN) /* 25 */
#define TT_SEALED_UNPROVEN_MAX  1500u                                     /* M-6 */
#define TT_SEALED_COUNTER_LIMIT UINT32_MAX                                /* M-9 */
#define TT_SEALED_KCP           0u   /* kind of a KCP datagram; others are control packets' types */
#define TT_SEALED_PADDED        0x80 /* set in the kind */

/* What the sealed sessions of one loop share. The wall clock is for handshakes alone. */
struct tt_sealer {
    struct tt_crypto *crypto;
    struct tt_random random;
    uint64_t (*wall_s)(void *ctx); /* seconds since 1970 */
    void *wall_ctx;
    struct tt_gather plain; /* a packet before it is sealed */
};

/* 0, TT_E_NOMEM or TT_E_SYSTEM. The functions are borrowed. */
int tt_sealer_init(struct tt_sealer *s, const struct tt_random *random,
                   uint64_t (*wall_s)(void *ctx), void *wall_ctx);
void tt_sealer_dispose(struct tt_sealer *s);

/* What the header of a DATA packet says. */
struct tt_sealed_header {
    uint32_t carrier;
    uint32_t counter;
};

/* Reads it. false: the packet is no DATA, or too short for one. */
bool tt_sealed_header_read(struct tt_sealed_header *h, struct tt_span packet);

/* Seals what lies in room behind TT_SEALED_DATA_HEADER + 1 bytes, len bytes, where it lies: room
 * has len + TT_SEALED_OVERHEAD bytes, all of which are the packet then. 0 or TT_E_SYSTEM.
 */
int tt_sealed_data_write(struct tt_sealer *s, const uint8_t key[TT_KEY_LEN],
                         const struct tt_sealed_header *h, uint8_t kind, uint8_t *room,
                         uint32_t len);

/* Opens a DATA packet where it lies: its bytes are overwritten, whether it opens or not.
 *
 *   plain  out: kind u8 (without the bit for padding), then what it carries; in packet's memory
 *
 * Returns 0, or TT_E_PROTO: it does not open, and has no effect.
 */
int tt_sealed_data_read(struct tt_sealer *s, const uint8_t key[TT_KEY_LEN],
                        const struct tt_sealed_header *h, struct tt_span packet,
                        struct tt_span *plain);

#endif
