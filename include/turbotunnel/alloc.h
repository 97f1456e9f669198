/* alloc.h - where all memory of the library comes from.
 *
 * An embedder may give its own; a test gives one that refuses.
 */
#ifndef TURBOTUNNEL_ALLOC_H
#define TURBOTUNNEL_ALLOC_H

#include <stddef.h>

#include <turbotunnel/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A loop, and all that lives on it, uses its allocator under its lock: one that serves a single
 * loop need not be thread-safe. One for a listener with several workers must be.
 */
struct tt_alloc {
    /* Returns size bytes (size > 0) aligned for any object, not cleared, or NULL. */
    void *(*get)(void *ctx, size_t size);
    /* Takes back what get returned; mem is never NULL. */
    void (*put)(void *ctx, void *mem);
    void *ctx;
};

/* malloc and free. */
TT_EXPORT extern const struct tt_alloc tt_alloc_malloc;

#ifdef __cplusplus
}
#endif

#endif
