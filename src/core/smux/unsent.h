/* unsent.h - what the application wrote to a stream and is not made into frames yet.
 *
 * A queue of future frames. Each lies in one slab, mostly with TT_SMUX_HEADER bytes left free in
 * front for its header; a *bare* one has none: it is the rest of a frame that had to be cut, or was
 * added behind one that had just been given out.
 *
 * Where bytes go: behind the last frame while it may grow; little things into the session's shared
 * small slab; into a medium or large slab of the stream's own when more is written at once or has
 * piled up. So a writer of 64 bytes holds 2 KiB together with all the others, and a bulk writer
 * fills whole large slabs. All bookkeeping of who writes where is slab->used: whoever wants to
 * write moves it first.
 */
#ifndef TT_CORE_SMUX_UNSENT_H
#define TT_CORE_SMUX_UNSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/ring.h"
#include "core/base/slab.h"

struct tt_smux;

struct tt_smux_unsent_frame {
    uint8_t *ptr; /* payload */
    struct tt_slab *slab;
    uint32_t len;
    bool bare; /* no room for the header in front */
};

struct tt_smux_unsent {
    struct tt_ring frames; /* of struct tt_smux_unsent_frame */
    uint32_t first, count;
    uint32_t bytes;                /* payload of all */
    enum tt_slab_class room_class; /* how large a slab the next tt_smux_write_room takes */
    struct tt_smux_room {
        uint8_t *ptr;
        struct tt_slab *slab; /* one reference; NULL: nothing is reserved */
        uint32_t len;
        bool grows; /* lies directly behind a frame: no room for a header */
    } room;
};

/* Drops all frames; u may be used on. What is reserved stays so, since somebody may be writing
 * there; but only nothing of it may be committed.
 */
void tt_smux_unsent_clear(struct tt_smux *m, struct tt_smux_unsent *u);

/* Reserves contiguous room for the next bytes: u->room, 1..most bytes, at least `least` of them
 * when that is possible. Nothing must be reserved. Returns 0 or TT_E_NOMEM (nothing has changed).
 */
int tt_smux_unsent_reserve(struct tt_smux *m, struct tt_smux_unsent *u, enum tt_slab_class class,
                           uint32_t least, uint32_t most);

/* The first len bytes of the room are written; the rest is given back. */
void tt_smux_unsent_commit(struct tt_smux_unsent *u, uint32_t len);

/* Copies up to len bytes in. Returns 0 (*taken > 0) or TT_E_NOMEM (nothing taken). len > 0. */
int tt_smux_unsent_append(struct tt_smux *m, struct tt_smux_unsent *u, const uint8_t *data,
                          uint32_t len, uint32_t *taken);

/* The oldest frame; there must be one. */
struct tt_smux_unsent_frame *tt_smux_unsent_first(const struct tt_smux_unsent *u);

/* Takes len bytes (1..first->len) from the front of the first frame; what is left of it is bare.
 * Returns the slab reference that goes with them.
 */
struct tt_slab *tt_smux_unsent_take(struct tt_smux *m, struct tt_smux_unsent *u, uint32_t len);

/* Frees the memory for frames, when there are none. */
void tt_smux_unsent_shrink(struct tt_smux *m, struct tt_smux_unsent *u);

/* Room for len bytes (at most 256) in the session's shared small slab, at m->shared->data +
 * m->shared->used; NULL: no memory.
 */
struct tt_slab *tt_smux_shared_slab(struct tt_smux *m, uint32_t len);

/* Lets go of that slab when nothing is under way: an idle session holds none. */
void tt_smux_release_shared(struct tt_smux *m);

#endif
