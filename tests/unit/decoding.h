/* decoding.h - what the tests of both encapsulations do with their decoders. */
#ifndef TESTS_UNIT_DECODING_H
#define TESTS_UNIT_DECODING_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"
#include "core/encapsulation.h"
#include "core/encapsulation_padded.h"

/* One of the two decoders. */
struct decoder {
    union {
        struct tt_decap plain;
        struct tt_padded_decap padded;
    } as;
    const struct decoder_ops *ops;
};

struct decoder_ops {
    int (*init)(struct decoder *d, size_t max_packet, const struct tt_alloc *alloc);
    int (*next)(struct decoder *d, struct tt_span *in, struct tt_span *packet);
    int (*end)(const struct decoder *d);
    void (*dispose)(struct decoder *d);
};

extern const struct decoder_ops plain_decoder;
extern const struct decoder_ops padded_decoder;

/* What came out, as text: packets, each with a '|' after it. Bytes that do not print, '|' and '\'
 * stand there as \xHH.
 */
struct decoding_output {
    char text[4096];
    size_t len;
};

void decoding_output_packet(struct decoding_output *out, struct tt_span packet);

struct decoding_case {
    const char *name;
    const uint8_t *wire;
    size_t len;
    const char *packets; /* as in struct decoding_output */
    int end;             /* a fatal error, or what the end of the stream is told */
};

/* Cuts the case's stream in every way; each must give these packets and this end, hold memory only
 * while a packet is incomplete, and nothing after dispose.
 */
void check_decoding(const struct decoder_ops *ops, size_t max_packet,
                    const struct decoding_case *c);

/* The case, cut after every byte, with each allocation refused in turn: packets up to there come
 * out, TT_E_NOMEM is reported, nothing leaks.
 */
void check_decoding_without_memory(const struct decoder_ops *ops, size_t max_packet,
                                   const struct decoding_case *c);

/* All cases of a vector file (keys case, stream, packet, end) through check_decoding(); there must
 * be `count` of them.
 */
void check_decoding_vectors(const struct decoder_ops *ops, size_t max_packet, const char *file,
                            size_t count);

/* Memory held while a packet of `want` bytes, announced by `header`, comes in byte by byte: never
 * more than earns it, and the packet is right in the end.
 */
void check_memory_grows_with_what_came(const struct decoder_ops *ops, struct tt_span header,
                                       size_t want);

#endif
