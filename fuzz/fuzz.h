/* fuzz.h - what the fuzz targets share. A target is one C file with LLVMFuzzerTestOneInput() in it
 * and an oracle: it aborts when something is not as it must be, not only when something crashes.
 *
 * The same file is run by libFuzzer (scripts/fuzz) and, over fuzz/corpus/TARGET, by replay_main.c
 * in every test run, with any compiler.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The oracle's verdict. */
#define FUZZ_REQUIRE(holds, what)                                                                  \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, what);                              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* An allocator that counts what is out; ctx is a size_t. */
static inline void *fuzz_get(void *ctx, size_t size)
{
    ++*(size_t *)ctx;
    void *mem = malloc(size);
    FUZZ_REQUIRE(mem, "the fuzzer itself has no memory");
    return mem;
}

static inline void fuzz_put(void *ctx, void *mem)
{
    --*(size_t *)ctx;
    free(mem);
}

static inline struct tt_alloc fuzz_alloc(size_t *live)
{
    return (struct tt_alloc){fuzz_get, fuzz_put, live};
}

/* Cuts a stream into pieces of 1 to 32 bytes, by a seed from the input; seed 0: one piece. Each
 * piece is a copy of exactly its size, so that a sanitizer sees who keeps or overruns it.
 */
struct fuzz_cuts {
    struct tt_span left;
    uint32_t seed;
    uint8_t *piece;
};

static inline bool fuzz_next_piece(struct fuzz_cuts *c, struct tt_span *piece)
{
    free(c->piece);
    c->piece = NULL;
    if (c->left.len == 0)
        return false;
    size_t n = c->left.len;
    if (c->seed != 0) {
        c->seed = c->seed * UINT32_C(1664525) + UINT32_C(1013904223);
        const size_t wanted = 1 + (c->seed >> 16) % 32;
        n = wanted < n ? wanted : n;
        c->seed |= 1; /* never turns into "one piece" on the way */
    }
    c->piece = malloc(n);
    FUZZ_REQUIRE(c->piece, "the fuzzer itself has no memory");
    memcpy(c->piece, c->left.ptr, n);
    tt_span_skip(&c->left, n);
    *piece = tt_span_of(c->piece, n);
    return true;
}

#endif
