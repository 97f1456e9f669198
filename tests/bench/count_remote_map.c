#include <stdlib.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/remote_map.h"
#include "count.h"
#include "require.h"

/* Prime, so that every remote has its turn, in an order that is not the one of their last use. */
#define STRIDE UINT32_C(7919)

struct remotes {
    struct tt_remote_map map;
    struct tt_remote *all;
    uint32_t count;
    uint32_t next;  /* whose turn it is */
    uint32_t drawn; /* IDs so far */
    uint64_t now_us;
};

static void insert(struct remotes *r, uint32_t number)
{
    struct tt_session_id id = {{0}};
    tt_put_be32(id.bytes, r->drawn++);
    require(tt_remote_map_insert(&r->map, &r->all[number], &id, r->now_us) == TT_OK,
            "tt_remote_map_insert");
}

/* One comes every microsecond, and expires when all the others have come after it. No ID comes
 * twice: among few remotes one that always lay in the same slots would stand for itself alone.
 */
static void open_remotes(struct remotes *r, uint32_t count)
{
    static const uint8_t hash_key[TT_SIPHASH_KEY] = "not random here";
    *r = (struct remotes){.count = count, .now_us = TT_SECOND};
    r->all = calloc(count, sizeof(*r->all));
    require(r->all, "no memory");
    tt_remote_map_init(&r->map, count, hash_key, &tt_alloc_malloc);
    for (uint32_t i = 0; i < count; i++, r->now_us++)
        insert(r, i);
}

static void close_remotes(struct remotes *r)
{
    tt_remote_map_dispose(&r->map);
    free(r->all);
}

static void find(void *ctx)
{
    struct remotes *r = ctx;
    struct tt_remote *found = tt_remote_map_find(&r->map, &r->all[r->next].id);
    require(found == &r->all[r->next], "another remote was found");
    tt_remote_map_use(&r->map, found, r->now_us);
}

void count_remote_found(uint32_t remotes, uint32_t times)
{
    struct remotes r;
    open_remotes(&r, remotes);
    for (uint32_t i = 0; i < times; i++) {
        counted(find, &r);
        r.next = (r.next + STRIDE) % remotes;
        r.now_us++;
    }
    close_remotes(&r);
}

static void expire(void *ctx)
{
    struct remotes *r = ctx;
    struct tt_remote *expired = tt_remote_map_expired(&r->map, r->now_us);
    require(expired == &r->all[r->next], "another remote expired, or none");
    tt_remote_map_remove(&r->map, expired);
}

void count_remote_expired(uint32_t remotes, uint32_t times)
{
    struct remotes r;
    open_remotes(&r, remotes);
    for (uint32_t i = 0; i < times; i++) {
        counted(expire, &r);
        insert(&r, r.next);
        r.next = (r.next + 1) % remotes;
        r.now_us++;
    }
    close_remotes(&r);
}
