/* words.h - how long a word takes beside a bulk stream: 64 bytes that are echoed, on a stream of
 * their own, one every 5 ms, whether the one before has come back or not.
 */
#ifndef TT_BENCH_WORDS_H
#define TT_BENCH_WORDS_H

#include "link.h"

struct tt_bench_words;

/* Tells a server in the mode choose what it shall do with this stream. */
void tt_bench_choose(struct tt_bench_stream *stream, const char *mode);

/* Opens a stream and speaks. The caller frees what it returns. */
struct tt_bench_words *tt_bench_words_begin(const struct tt_bench_kind *kind,
                                            struct tt_bench_link *link);

/* Says no more, and waits until the last word has come back. */
void tt_bench_words_end(struct tt_bench_words *words);

/* Prints their number and times, as the rest of a line of JSON. */
void tt_bench_words_report(struct tt_bench_words *words);

#endif
