#include "core/base/heap.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include <turbotunnel/error.h>

#define FIRST_CAP UINT32_C(16)

/* More nodes than this do not fit an index, or the array not a size_t. */
#define MAX_NODES (UINT32_MAX / sizeof(void *))

/* `at` counts from 0; what a node stores counts from 1. */
static void place(struct tt_heap *h, uint32_t at, struct tt_heap_node *n)
{
    h->nodes[at] = n;
    n->index = at + 1;
}

/* Puts n at `at` or nearer to the root, where its key belongs. */
static void sift_up(struct tt_heap *h, uint32_t at, struct tt_heap_node *n)
{
    while (at > 0) {
        const uint32_t parent = (at - 1) / 2;
        if (h->nodes[parent]->key <= n->key)
            break;
        place(h, at, h->nodes[parent]);
        at = parent;
    }
    place(h, at, n);
}

/* Puts n at `at` or further from the root, where its key belongs. */
static void sift_down(struct tt_heap *h, uint32_t at, struct tt_heap_node *n)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (n->key <= h->nodes[child]->key)
            break;
        place(h, at, h->nodes[child]);
        at = child;
    }
    place(h, at, n);
}

/* Puts n, for which there is a gap at `at`, where its key belongs. */
static void settle(struct tt_heap *h, uint32_t at, struct tt_heap_node *n)
{
    if (at > 0 && n->key < h->nodes[(at - 1) / 2]->key)
        sift_up(h, at, n);
    else
        sift_down(h, at, n);
}

void tt_heap_init(struct tt_heap *h, const struct tt_alloc *alloc)
{
    *h = (struct tt_heap){.alloc = alloc};
}

void tt_heap_dispose(struct tt_heap *h)
{
    if (h->nodes)
        h->alloc->put(h->alloc->ctx, h->nodes);
    *h = (struct tt_heap){.alloc = h->alloc};
}

int tt_heap_reserve(struct tt_heap *h, uint32_t total)
{
    if (total <= h->cap)
        return TT_OK;
    if (total > MAX_NODES)
        return TT_E_NOMEM;
    struct tt_heap_node **nodes =
        h->alloc->get(h->alloc->ctx, total * sizeof(struct tt_heap_node *));
    if (!nodes)
        return TT_E_NOMEM;
    if (h->nodes) {
        memcpy(nodes, h->nodes, h->count * sizeof(struct tt_heap_node *));
        h->alloc->put(h->alloc->ctx, h->nodes);
    }
    h->nodes = nodes;
    h->cap = total;
    return TT_OK;
}

int tt_heap_insert(struct tt_heap *h, struct tt_heap_node *n, uint64_t key)
{
    assert(!tt_heap_linked(n));
    if (h->count == h->cap) {
        int err = tt_heap_reserve(h, h->cap ? 2 * h->cap : FIRST_CAP);
        if (err)
            return err;
    }
    n->key = key;
    h->count++;
    sift_up(h, h->count - 1, n);
    return TT_OK;
}

void tt_heap_remove(struct tt_heap *h, struct tt_heap_node *n)
{
    if (!tt_heap_linked(n))
        return;
    const uint32_t at = n->index - 1;
    assert(at < h->count && h->nodes[at] == n);
    n->index = 0;
    h->count--;
    if (at < h->count)
        settle(h, at, h->nodes[h->count]);
}

void tt_heap_update(struct tt_heap *h, struct tt_heap_node *n, uint64_t key)
{
    assert(tt_heap_linked(n) && h->nodes[n->index - 1] == n);
    n->key = key;
    settle(h, n->index - 1, n);
}
