/* remote_map.h - session ID -> what is known of that remote end, with expiry and no scan.
 *
 * The RemoteMap of the worked example: there it held the send queues, here the session itself.
 * Every use moves a remote to the end of a list in order of last use, so that what has expired is
 * always at its front: lookup and expiry cost the same however many remotes there are.
 *
 * Sans-I/O; one thread at a time.
 */
#ifndef TT_CORE_REMOTE_MAP_H
#define TT_CORE_REMOTE_MAP_H

#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/list.h"
#include "core/base/map.h"
#include "core/session_id.h"

/* One remote; lies inside its owner's object. */
struct tt_remote {
    struct tt_list_node node; /* in the map's list, least recently used first */
    struct tt_session_id id;
    uint64_t used_us; /* last use */
};

struct tt_remote_map {
    struct tt_map map; /* id -> struct tt_remote */
    struct tt_list by_use;
    uint64_t expiry_us; /* how long after its last use a remote expires */
};

/* hash_key: 16 random bytes; strangers choose the IDs. */
void tt_remote_map_init(struct tt_remote_map *m, uint64_t expiry_us,
                        const uint8_t hash_key[TT_SIPHASH_KEY], const struct tt_alloc *alloc);

/* Forgets all; the remotes are the caller's as before. */
void tt_remote_map_dispose(struct tt_remote_map *m);

struct tt_remote *tt_remote_map_find(const struct tt_remote_map *m, const struct tt_session_id *id);

/* r is the caller's memory, in no map; no remote of that ID is in the map. 0 or TT_E_NOMEM. */
int tt_remote_map_insert(struct tt_remote_map *m, struct tt_remote *r,
                         const struct tt_session_id *id, uint64_t now_us);

void tt_remote_map_remove(struct tt_remote_map *m, struct tt_remote *r);

/* r was used now. now_us never runs backwards. */
void tt_remote_map_use(struct tt_remote_map *m, struct tt_remote *r, uint64_t now_us);

/* The least recently used remote, or NULL. It stays in the map. */
struct tt_remote *tt_remote_map_oldest(const struct tt_remote_map *m);

/* The same, when it has expired, or NULL. */
struct tt_remote *tt_remote_map_expired(const struct tt_remote_map *m, uint64_t now_us);

/* When the next one expires, or TT_NEVER. */
uint64_t tt_remote_map_deadline(const struct tt_remote_map *m);

static inline size_t tt_remote_map_count(const struct tt_remote_map *m)
{
    return tt_map_count(&m->map);
}

#endif
