#include "failing_alloc.h"

#include <stdlib.h>

/* In front of each block, to know its size when it comes back; as large as alignment wants. */
union block {
    size_t size;
    max_align_t align;
};

static void *failing_get(void *ctx, size_t size)
{
    struct failing_alloc *f = ctx;
    if (f->calls++ == f->fail_at) {
        f->refused = true;
        return NULL;
    }
    if (size == 0 || size > SIZE_MAX - sizeof(union block))
        abort(); /* alloc.h promises size > 0; the other is an overflow in the caller */
    union block *b = malloc(sizeof(union block) + size);
    if (!b)
        abort();
    b->size = size;
    f->live++;
    f->live_bytes += size;
    if (f->live_bytes > f->most_bytes)
        f->most_bytes = f->live_bytes;
    return b + 1;
}

static void failing_put(void *ctx, void *mem)
{
    struct failing_alloc *f = ctx;
    union block *b = (union block *)mem - 1;
    f->live--;
    f->live_bytes -= b->size;
    free(b);
}

void failing_alloc_init(struct failing_alloc *f, size_t fail_at)
{
    *f = (struct failing_alloc){
        .alloc = {.get = failing_get, .put = failing_put, .ctx = f},
        .fail_at = fail_at,
    };
}
