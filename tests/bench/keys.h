/* keys.h - the keys of the sealed sessions that are measured. They are no secret: a benchmark is
 * not what a key is for.
 */
#ifndef TT_BENCH_KEYS_H
#define TT_BENCH_KEYS_H

#include <stdint.h>

struct tt_bench_kind;

/* For struct tt_options: the server's private key, and the public one that belongs to it. NULL when
 * the kind has plain sessions. They live as long as the program.
 */
const uint8_t *tt_bench_private_key(const struct tt_bench_kind *kind);
const uint8_t *tt_bench_server_key(const struct tt_bench_kind *kind);

#endif
