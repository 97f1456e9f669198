/* cuts.h - hands a byte stream over in pieces, in every way that matters.
 *
 * A stream of up to CUTS_ALL_BELOW bytes is cut in every possible way; a longer one into pieces of
 * every equal length, and in two at every place. Each piece is a copy of exactly its size that is
 * freed before the next one, so that a sanitizer sees who keeps or overruns one.
 *
 *     struct cuts c;
 *     for (cuts_init(&c, stream); cuts_next_way(&c);)
 *         for (struct tt_span piece; cuts_next_piece(&c, &piece);)
 *             ...
 *
 * Leaving the inner loop early is fine; leaving the outer one early wants cuts_dispose(). A test
 * that fails in between leaks, and says so: it has failed anyway.
 */
#ifndef TESTS_UNIT_CUTS_H
#define TESTS_UNIT_CUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

#define CUTS_ALL_BELOW 11

struct cuts {
    struct tt_span stream; /* borrowed */
    size_t way;            /* which one, counted from 1: for messages */
    size_t at;             /* what was handed over in this way */
    uint8_t *piece;        /* owned */
};

void cuts_init(struct cuts *c, struct tt_span stream);

/* Starts over with the next way; false: there is none, and nothing to dispose of. */
bool cuts_next_way(struct cuts *c);

/* The next piece, of 1 byte or more; false: that was the whole stream. */
bool cuts_next_piece(struct cuts *c, struct tt_span *piece);

void cuts_dispose(struct cuts *c);

#endif
