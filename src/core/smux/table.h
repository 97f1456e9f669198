/* table.h - a session's streams, and which of them has a number.
 *
 * Most sessions have one stream, or few: these are looked through. Where there are more, a hash map
 * finds them.
 */
#ifndef TT_CORE_SMUX_TABLE_H
#define TT_CORE_SMUX_TABLE_H

#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/list.h"
#include "core/base/map.h"

struct tt_smux_stream;

struct tt_smux_table {
    struct tt_list all;    /* the streams, in the order in which they came */
    struct tt_map *by_sid; /* owned; all of them by their numbers, or NULL: they are few */
    uint32_t count;
};

void tt_smux_table_init(struct tt_smux_table *t);

/* All streams must have been removed. Safe on all zeroes, and twice. */
void tt_smux_table_dispose(struct tt_smux_table *t, const struct tt_alloc *alloc);

/* The stream of that number, or NULL. */
struct tt_smux_stream *tt_smux_table_find(const struct tt_smux_table *t, uint32_t sid);

/* s, with its number set, is in no table. hash_key: TT_SIPHASH_KEY random bytes, the same in every
 * call. Returns 0, TT_E_INVAL (the number is taken) or TT_E_NOMEM; then nothing has changed.
 */
int tt_smux_table_add(struct tt_smux_table *t, struct tt_smux_stream *s, const uint8_t *hash_key,
                      const struct tt_alloc *alloc);

void tt_smux_table_remove(struct tt_smux_table *t, struct tt_smux_stream *s,
                          const struct tt_alloc *alloc);

#endif
