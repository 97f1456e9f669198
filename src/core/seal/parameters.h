/* parameters.h - the payload of both handshake messages (sealed.md M-3): type u8, length u8, value,
 * in a row.
 */
#ifndef TT_CORE_SEAL_PARAMETERS_H
#define TT_CORE_SEAL_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"

#define TT_INSTANCE_LEN   8u
#define TT_RESUME_LEN     8u
#define TT_PARAMETERS_MAX 256u

enum tt_seal_state { TT_SEAL_KNOWN = 1, TT_SEAL_UNKNOWN = 2, TT_SEAL_FULL = 3 };

/* A RESPONSE's when server is set, else an INIT's: which ones must be there depends on it. */
struct tt_parameters {
    bool server;
    bool has_resume;
    uint64_t time_s;                   /* INIT */
    uint8_t instance[TT_INSTANCE_LEN]; /* RESPONSE */
    uint8_t resume[TT_RESUME_LEN];     /* INIT: with has_resume; the first bytes of h */
    uint8_t state;                     /* RESPONSE: enum tt_seal_state, or 0: none */
};

/* Writes them, and pads to `padded` bytes (0: not at all) where that is more; padding has 2 bytes
 * at least, so where a single one is missing it gets one too many. Returns the length: at most
 * TT_PARAMETERS_MAX; padded is at most that.
 */
uint32_t tt_parameters_write(uint8_t out[TT_PARAMETERS_MAX], const struct tt_parameters *p,
                             uint32_t padded);

/* Reads an INIT's or (p->server, set by the caller) a RESPONSE's. Returns 0, or TT_E_PROTO: a
 * message with them counts as one that does not open, and p is as it was. Known ones that belong
 * into the other message must be of the right length, and are skipped. A state is one of the
 * enum's. Whether it must be there is the caller's to know.
 */
int tt_parameters_read(struct tt_parameters *p, struct tt_span payload);

#endif
