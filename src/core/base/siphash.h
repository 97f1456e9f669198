/* siphash.h - SipHash-2-4 (Aumasson and Bernstein, 2012): a short-input hash under a secret key.
 *
 * For tables whose keys strangers choose: without the 16 secret bytes nobody can make keys that
 * collide. It is not a signature and not for passwords. Same result on every byte order.
 */
#ifndef TT_CORE_BASE_SIPHASH_H
#define TT_CORE_BASE_SIPHASH_H

#include <stdint.h>

#include "core/base/bytes.h"

#define TT_SIPHASH_KEY 16

uint64_t tt_siphash(const uint8_t key[TT_SIPHASH_KEY], struct tt_span in);

/* The same as tt_siphash() over the 8 bytes of v, lowest first. */
uint64_t tt_siphash_u64(const uint8_t key[TT_SIPHASH_KEY], uint64_t v);

#endif
