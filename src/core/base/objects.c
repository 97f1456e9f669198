#include <assert.h>

#include "core/base/objects.h"

#define BLOCK_BYTES 65536u

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ALONE 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define ALONE 1
#endif

/* Stands in front of each object; 8 bytes on every machine, so that the object is aligned to 8. */
union head {
    struct block *block; /* in use: whose it is */
    union head *next;    /* given back: the next such one of the block */
    uint64_t aligned;
};

struct block {
    struct tt_list_node node; /* in objects->open, while it has room */
    struct tt_objects *owner;
    union head *given_back;
    uint32_t used;
    uint32_t begun; /* objects that were ever given out: memory behind them was not touched yet */
    union head heads[];
};

static size_t most_objects(size_t step_bytes)
{
#ifdef ALONE
    (void)step_bytes;
    return 1;
#else
    return (BLOCK_BYTES - sizeof(struct block)) / step_bytes;
#endif
}

void tt_objects_init(struct tt_objects *o, size_t object_bytes, const struct tt_alloc *alloc)
{
    const size_t words = (object_bytes + sizeof(union head) - 1) / sizeof(union head);
    *o = (struct tt_objects){.alloc = alloc, .step_bytes = (1 + words) * sizeof(union head)};
    assert(object_bytes <= BLOCK_BYTES / 2);
    o->per_block = (uint32_t)most_objects(o->step_bytes);
    tt_list_init(&o->open);
}

void tt_objects_dispose(struct tt_objects *o)
{
    assert(o->blocks == 0);
    o->alloc = NULL;
}

static struct block *new_block(struct tt_objects *o)
{
    struct block *b =
        o->alloc->get(o->alloc->ctx, sizeof(struct block) + o->per_block * o->step_bytes);
    if (!b)
        return NULL;
    *b = (struct block){.owner = o};
    tt_list_push_back(&o->open, &b->node);
    o->blocks++;
    return b;
}

static union head *take(const struct tt_objects *o, struct block *b)
{
    union head *head = b->given_back;
    b->used++;
    if (head)
        b->given_back = head->next;
    else
        head = &b->heads[b->begun++ * (o->step_bytes / sizeof(union head))];
    return head;
}

void *tt_objects_get(struct tt_objects *o)
{
    struct tt_list_node *node = tt_list_first(&o->open);
    struct block *b = node ? TT_CONTAINER_OF(node, struct block, node) : new_block(o);
    if (!b)
        return NULL;
    union head *head = take(o, b);
    if (b->used == o->per_block)
        tt_list_remove(&b->node);
    head->block = b;
    return head + 1;
}

void tt_objects_put(void *object)
{
    union head *head = (union head *)object - 1;
    struct block *b = head->block;
    struct tt_objects *o = b->owner;

    assert(b->used > 0);
    head->next = b->given_back;
    b->given_back = head;
    if (b->used-- == o->per_block)
        tt_list_push_back(&o->open, &b->node);
    if (b->used > 0)
        return;
    tt_list_remove(&b->node);
    o->alloc->put(o->alloc->ctx, b);
    o->blocks--;
}
