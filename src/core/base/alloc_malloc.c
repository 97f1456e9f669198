/* The default allocator: the one place of the core that calls malloc and free. */
#include <stdlib.h>

#include <turbotunnel/alloc.h>

static void *malloc_get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void malloc_put(void *ctx, void *mem)
{
    (void)ctx;
    free(mem);
}

const struct tt_alloc tt_alloc_malloc = {malloc_get, malloc_put, NULL};
