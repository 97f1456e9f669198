/* by_key.h - the sessions of each client, by the public key that it has proven: one client may not
 * take the places of all.
 *
 * Clients without a key are nobody here. The loop's thread only.
 */
#ifndef TT_TUNNEL_BY_KEY_H
#define TT_TUNNEL_BY_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/keys.h>

#include "core/base/list.h"
#include "core/base/map.h"

struct tt_key_sessions;

/* A session's part; lies inside its owner's object. All zeroes: of no client. */
struct tt_by_key_node {
    struct tt_list_node node;
    struct tt_key_sessions *of;
};

struct tt_by_key {
    struct tt_map map; /* the first 8 bytes of a key -> its sessions */
};

void tt_by_key_init(struct tt_by_key *b, const uint8_t hash_key[TT_SIPHASH_KEY]);

/* Once it is empty. */
void tt_by_key_dispose(struct tt_by_key *b);

/* The sessions of that client, oldest first, and how many; NULL, 0: none. */
struct tt_list *tt_by_key_sessions(const struct tt_by_key *b, const uint8_t key[TT_KEY_BYTES],
                                   uint32_t *count);

/* One more. 0 or TT_E_NOMEM. */
int tt_by_key_add(struct tt_by_key *b, const uint8_t key[TT_KEY_BYTES],
                  struct tt_by_key_node *node);
void tt_by_key_remove(struct tt_by_key *b, struct tt_by_key_node *node);

#endif
