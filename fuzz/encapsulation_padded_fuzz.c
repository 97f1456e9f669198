/* Data and padding chunks. Byte 0 of the input is how the stream is cut, byte 1 which packets are
 * too long, the rest the stream.
 *
 * Oracles: the decoder agrees with a simple one that sees the whole stream at once, however the
 * stream is cut; the packets survive being encoded again, with padding between them; no memory is
 * held between packets nor after dispose.
 */
#include "core/encapsulation_padded.h"

#include <turbotunnel/error.h>

#include "fuzz.h"

#define MAX_WIRE 70000

/* Encoded again, a packet takes no more than before (its prefix is the shortest now), and has up to
 * MAX_PADDING bytes of padding after it; even an empty one took a byte.
 */
#define MAX_PADDING 3
#define MAX_AGAIN   ((1 + MAX_PADDING) * MAX_WIRE + TT_PADDED_MAX_PREFIX)

/* The packets in a row, each behind its length in 4 bytes. */
struct output {
    uint8_t bytes[5 * MAX_WIRE];
    size_t len;
    int end;
};

static void put_packet(struct output *out, struct tt_span packet)
{
    FUZZ_REQUIRE(out->len + 4 + packet.len <= sizeof(out->bytes), "more packets than there can be");
    tt_put_le32(out->bytes + out->len, (uint32_t)packet.len);
    if (packet.len > 0)
        memcpy(out->bytes + out->len + 4, packet.ptr, packet.len);
    out->len += 4 + packet.len;
}

static void decode(struct output *out, struct tt_span wire, uint32_t cut_seed, size_t max_packet)
{
    size_t live = 0;
    const struct tt_alloc alloc = fuzz_alloc(&live);
    struct fuzz_cuts cuts = {.left = wire, .seed = cut_seed};
    struct tt_span in;
    struct tt_span packet;
    struct tt_padded_decap d;

    FUZZ_REQUIRE(tt_padded_decap_init(&d, max_packet, &alloc) == TT_OK, "init failed");
    out->len = 0;
    out->end = TT_E_AGAIN;
    while (!tt_is_fatal(out->end) && fuzz_next_piece(&cuts, &in)) {
        while ((out->end = tt_padded_decap_next(&d, &in, &packet)) == TT_OK)
            put_packet(out, packet);
        FUZZ_REQUIRE(tt_is_fatal(out->end) || in.len == 0, "it left input lying");
        FUZZ_REQUIRE(tt_padded_decap_end(&d) != TT_OK || live == 0, "memory held between packets");
    }
    if (!tt_is_fatal(out->end))
        out->end = tt_padded_decap_end(&d);
    free(cuts.piece);
    tt_padded_decap_dispose(&d);
    FUZZ_REQUIRE(live == 0, "memory held after dispose");
}

/* One chunk from the front of the whole rest of a stream; the words of the specification. */
static int model_chunk(struct output *out, struct tt_reader *r, size_t max_packet)
{
    const uint8_t first = tt_read_u8(r);
    size_t len = first & 0x3f;
    bool more = (first & 0x40) != 0;
    for (int prefix = 1; more && !r->failed; prefix++) {
        if (prefix == 3)
            return TT_E_TOO_LONG;
        const uint8_t later = tt_read_u8(r);
        len = len << 7 | (later & 0x7f);
        more = (later & 0x80) != 0;
    }
    if (r->failed)
        return TT_E_TRUNCATED;
    const bool is_packet = (first & 0x80) != 0;
    if (is_packet && len > max_packet)
        return TT_E_TOO_LONG;
    const uint8_t *body = tt_read_bytes(r, len);
    if (!body)
        return TT_E_TRUNCATED;
    if (is_packet)
        put_packet(out, tt_span_of(body, len));
    return TT_OK;
}

static void model(struct output *out, struct tt_span wire, size_t max_packet)
{
    struct tt_reader r = tt_reader_over(wire);
    out->len = 0;
    out->end = TT_OK;
    while (out->end == TT_OK && tt_reader_left(&r) > 0)
        out->end = model_chunk(out, &r, max_packet);
}

/* The packets of `from` as a stream, with 0 to MAX_PADDING bytes of padding after each. */
static struct tt_span encode(const struct output *from)
{
    static uint8_t wire[MAX_AGAIN];
    struct tt_reader r = tt_reader_over(tt_span_of(from->bytes, from->len));
    size_t at = 0;
    for (size_t i = 0; tt_reader_left(&r) > 0; i++) {
        const size_t len = tt_read_le32(&r);
        const uint8_t *packet = tt_read_bytes(&r, len);
        const size_t padding = i % (MAX_PADDING + 1);
        size_t prefix;
        FUZZ_REQUIRE(sizeof(wire) - at >= TT_PADDED_MAX_PREFIX + len + padding, "it grew too much");
        FUZZ_REQUIRE(tt_padded_prefix(wire + at, &prefix, len) == TT_OK, "no prefix");
        memcpy(wire + at + prefix, packet, len);
        at += prefix + len;
        tt_padded_padding(wire + at, padding);
        at += padding;
    }
    return tt_span_of(wire, at);
}

static bool same_packets(const struct output *a, const struct output *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct output expected;
    static struct output got;
    if (size < 2 || size > MAX_WIRE)
        return 0;
    const struct tt_span wire = tt_span_of(data + 2, size - 2);
    const size_t max_packet = data[1] == 0 ? TT_PADDED_MAX_PACKET : data[1];
    const uint32_t cut_seed = 1 + (uint32_t)data[0];

    model(&expected, wire, max_packet);
    decode(&got, wire, 0, max_packet);
    FUZZ_REQUIRE(got.end == expected.end && same_packets(&got, &expected), "whole, it differs");
    decode(&got, wire, cut_seed, max_packet);
    FUZZ_REQUIRE(got.end == expected.end && same_packets(&got, &expected), "cut, it differs");
    decode(&got, encode(&expected), cut_seed, max_packet);
    FUZZ_REQUIRE(got.end == TT_OK && same_packets(&got, &expected), "encoded again, it differs");
    return 0;
}
