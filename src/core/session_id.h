/* session_id.h - the 8 random bytes that name a session and play the part of its address.
 *
 * The client draws them once and sends them first on every carrier (T-1). Any 8 bytes are an ID,
 * all zeroes too (T-15); IDs are compared bytewise (T-16). An ID is no secret: it goes over the
 * wire in the clear.
 */
#ifndef TT_CORE_SESSION_ID_H
#define TT_CORE_SESSION_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/random.h"

#define TT_SESSION_ID_LEN 8

/* As text: two lower-case hexadecimal digits a byte, in order, and a NUL. */
#define TT_SESSION_ID_TEXT (2 * TT_SESSION_ID_LEN + 1)

struct tt_session_id {
    uint8_t bytes[TT_SESSION_ID_LEN];
};

/* Returns 0, or what random->fill returned; *id is written only when 0 is returned. */
int tt_session_id_generate(struct tt_session_id *id, const struct tt_random *random);

static inline bool tt_session_id_equal(const struct tt_session_id *a, const struct tt_session_id *b)
{
    return memcmp(a->bytes, b->bytes, TT_SESSION_ID_LEN) == 0;
}

/* For tt_map: different IDs have different keys, and they are the same on every machine. */
static inline uint64_t tt_session_id_key(const struct tt_session_id *id)
{
    return tt_get_le64(id->bytes);
}

void tt_session_id_format(char text[TT_SESSION_ID_TEXT], const struct tt_session_id *id);

/* Reads exactly 16 hexadecimal digits of either case and the end of the string.
 *
 * Returns 0, or TT_E_INVAL: text is anything else; *id is as it was.
 */
int tt_session_id_parse(struct tt_session_id *id, const char *text);

#endif
