/* origins.h - how many connections each address has: one may not take the places of all.
 *
 * Any thread: the workers of a listener share one.
 */
#ifndef TT_NET_ORIGINS_H
#define TT_NET_ORIGINS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/map.h"

struct tt_origins {
    pthread_mutex_t lock;
    struct tt_map map; /* those that have connections */
    uint32_t most;     /* of each; 0: no limit, and nothing is counted */
};

/* hash_key: as for tt_map_init. */
void tt_origins_init(struct tt_origins *o, uint32_t most, const uint8_t hash_key[TT_SIPHASH_KEY],
                     const struct tt_alloc *alloc);

/* Once all have left. */
void tt_origins_dispose(struct tt_origins *o);

/* One more of that origin (tt_sealing_origin); 0, which is nobody's: always. Returns 0, TT_E_FULL,
 * or TT_E_NOMEM.
 */
int tt_origins_enter(struct tt_origins *o, uint64_t origin);

/* One that had entered goes. */
void tt_origins_leave(struct tt_origins *o, uint64_t origin);

#endif
