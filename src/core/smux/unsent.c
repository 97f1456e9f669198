#include <assert.h>

#include "core/smux/frame.h"
#include "core/smux/smux.h"
#include "core/smux/unsent.h"

#define FRAME_BYTES sizeof(struct tt_smux_unsent_frame)

/* A frame is not begun at the end of a slab for less than this, when more is to be written. */
#define LEAST_FRAME 1024u

/* An empty ring of more items is freed at once, a smaller one when the session rests. */
#define MOST_IDLE_ITEMS 16u

static struct tt_smux_unsent_frame *frame_at(const struct tt_smux_unsent *u, uint32_t number)
{
    return tt_ring_at(&u->frames, FRAME_BYTES, number);
}

struct tt_smux_unsent_frame *tt_smux_unsent_first(const struct tt_smux_unsent *u)
{
    return frame_at(u, u->first);
}

static struct tt_smux_unsent_frame *last_frame(const struct tt_smux_unsent *u)
{
    return u->count ? frame_at(u, u->first + u->count - 1) : NULL;
}

void tt_smux_unsent_shrink(struct tt_smux *m, struct tt_smux_unsent *u)
{
    if (u->count == 0 && !u->room.slab)
        tt_ring_dispose(&u->frames, m->config.alloc);
}

void tt_smux_unsent_clear(struct tt_smux *m, struct tt_smux_unsent *u)
{
    for (; u->count > 0; u->first++, u->count--)
        tt_slab_unref(tt_smux_unsent_first(u)->slab);
    tt_ring_dispose(&u->frames, m->config.alloc);
    u->bytes = 0;
}

void tt_smux_release_shared(struct tt_smux *m)
{
    if (m->acked_offset != m->sent_offset)
        return;
    tt_slab_unref(m->shared);
    m->shared = NULL;
}

struct tt_slab *tt_smux_shared_slab(struct tt_smux *m, uint32_t len)
{
    if (m->shared && tt_slab_room(m->shared) >= len)
        return m->shared;
    struct tt_slab *fresh = tt_slab_get(m->config.slabs, TT_SLAB_SMALL);
    if (!fresh)
        return NULL;
    tt_slab_unref(m->shared);
    m->shared = fresh;
    return fresh;
}

/* How many bytes the last frame can grow by where it lies. */
static uint32_t growth(const struct tt_smux *m, const struct tt_smux_unsent_frame *last)
{
    if (!last || last->ptr + last->len != last->slab->data + last->slab->used)
        return 0;
    const uint32_t left = last->len < m->config.max_frame ? m->config.max_frame - last->len : 0;
    return tt_min_u32(left, tt_slab_room(last->slab));
}

/* A slab with room for a header and at least `least` bytes. One reference goes to the caller. */
static struct tt_slab *slab_for_frame(struct tt_smux *m, const struct tt_smux_unsent_frame *last,
                                      enum tt_slab_class class, uint32_t least)
{
    if (last && last->slab->class != TT_SLAB_SMALL &&
        tt_slab_room(last->slab) >= TT_SMUX_HEADER + least)
        return tt_slab_ref(last->slab);
    if (!tt_slab_may_write(m->config.slabs, class))
        return NULL;
    if (class != TT_SLAB_SMALL)
        return tt_slab_get(m->config.slabs, class);
    struct tt_slab *shared = tt_smux_shared_slab(m, TT_SMUX_HEADER + least);
    return shared ? tt_slab_ref(shared) : NULL;
}

int tt_smux_unsent_reserve(struct tt_smux *m, struct tt_smux_unsent *u, enum tt_slab_class class,
                           uint32_t least, uint32_t most)
{
    assert(!u->room.slab);
    m->rests = false;
    int err =
        tt_ring_reserve(&u->frames, m->config.alloc, FRAME_BYTES, u->first, u->count, u->count + 1);
    if (err)
        return err;
    const struct tt_smux_unsent_frame *last = last_frame(u);
    const uint32_t more = growth(m, last);
    least = tt_min_u32(tt_min_u32(least, most), m->config.max_frame);
    struct tt_smux_room room = {.grows = more >= least};
    if (room.grows) {
        room.slab = tt_slab_ref(last->slab);
        room.len = tt_min_u32(more, most);
    } else {
        room.slab = slab_for_frame(m, last, class, least);
        if (!room.slab)
            return TT_E_NOMEM;
        room.slab->used += TT_SMUX_HEADER;
        room.len = tt_min_u32(tt_min_u32(tt_slab_room(room.slab), m->config.max_frame), most);
    }
    room.ptr = room.slab->data + room.slab->used;
    room.slab->used += room.len;
    u->room = room;
    return TT_OK;
}

/* Gives back what was reserved behind ptr[len], unless somebody has reserved behind it since. */
static void give_back(const struct tt_smux_room *room, uint32_t len)
{
    struct tt_slab *slab = room->slab;
    if (slab->data + slab->used != room->ptr + room->len)
        return;
    slab->used -= room->len - len;
    if (len == 0 && !room->grows)
        slab->used -= TT_SMUX_HEADER;
}

void tt_smux_unsent_commit(struct tt_smux_unsent *u, uint32_t len)
{
    const struct tt_smux_room room = u->room;
    struct tt_smux_unsent_frame *last = last_frame(u);

    assert(room.slab && len <= room.len);
    u->room.slab = NULL;
    give_back(&room, len);
    u->bytes += len;
    if (len > 0 && room.grows && last) {
        last->len += len;
        len = 0;
    }
    if (len == 0) {
        tt_slab_unref(room.slab);
        return;
    }
    /* Also bytes that were to make the last frame longer, but that has been given out meanwhile. */
    *frame_at(u, u->first + u->count++) = (struct tt_smux_unsent_frame){
        .ptr = room.ptr, .slab = room.slab, .len = len, .bare = room.grows};
}

static enum tt_slab_class class_for(uint32_t bytes)
{
    if (bytes <= tt_slab_capacity(TT_SLAB_SMALL) / 2)
        return TT_SLAB_SMALL;
    return bytes <= tt_slab_capacity(TT_SLAB_MEDIUM) - TT_SMUX_HEADER ? TT_SLAB_MEDIUM
                                                                      : TT_SLAB_LARGE;
}

int tt_smux_unsent_append(struct tt_smux *m, struct tt_smux_unsent *u, const uint8_t *data,
                          uint32_t len, uint32_t *taken)
{
    /* What was waiting before this call tells a writer that is ahead of the network from one whose
     * every write leaves at once: the end of a write of the latter needs no large slab.
     */
    const uint32_t waiting = u->bytes;
    uint32_t done = 0;
    while (done < len) {
        const uint32_t left = len - done;
        /* The last frame takes whatever goes in: it may be 64672 bytes of a KCP packet exactly. */
        const uint32_t least = growth(m, last_frame(u)) > 0 ? 1 : LEAST_FRAME;
        if (tt_smux_unsent_reserve(m, u, class_for(waiting + left), least, left) != TT_OK)
            break;
        const uint32_t n = u->room.len;
        memcpy(u->room.ptr, data + done, n);
        tt_smux_unsent_commit(u, n);
        done += n;
    }
    *taken = done;
    return done > 0 ? TT_OK : TT_E_NOMEM;
}

struct tt_slab *tt_smux_unsent_take(struct tt_smux *m, struct tt_smux_unsent *u, uint32_t len)
{
    struct tt_smux_unsent_frame *f = tt_smux_unsent_first(u);
    struct tt_slab *slab = f->slab;

    assert(u->count > 0 && len > 0 && len <= f->len);
    u->bytes -= len;
    if (len < f->len) {
        f->ptr += len;
        f->len -= len;
        f->bare = true;
        return tt_slab_ref(slab);
    }
    u->first++;
    u->count--;
    if (u->frames.capacity > MOST_IDLE_ITEMS)
        tt_smux_unsent_shrink(m, u);
    return slab;
}
