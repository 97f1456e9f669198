/* The u16 length prefix. Byte 0 of the input is how the stream is cut, byte 1 which packets are too
 * long, the rest the stream.
 *
 * Oracles: the decoder gives the same however the stream is cut; what it gave, encoded again, is
 * the stream up to where it ended; it holds no memory between packets nor after dispose.
 */
#include "core/encapsulation.h"

#include <turbotunnel/error.h>

#include "fuzz.h"

#define MAX_WIRE 70000

/* The decoded packets, encoded again. */
struct output {
    uint8_t wire[MAX_WIRE];
    size_t len;
    int end;
};

static void encode(struct output *out, struct tt_span packet)
{
    FUZZ_REQUIRE(packet.len <= TT_ENCAP_MAX_PACKET,
                 "a packet longer than its length field can say");
    FUZZ_REQUIRE(out->len + TT_ENCAP_HEADER + packet.len <= sizeof(out->wire),
                 "more bytes of packets than of stream");
    tt_encap_header(out->wire + out->len, (uint16_t)packet.len);
    out->len += TT_ENCAP_HEADER;
    if (packet.len > 0)
        memcpy(out->wire + out->len, packet.ptr, packet.len);
    out->len += packet.len;
}

static void decode(struct output *out, struct tt_span wire, uint32_t cut_seed, size_t max_packet)
{
    size_t live = 0;
    const struct tt_alloc alloc = fuzz_alloc(&live);
    struct fuzz_cuts cuts = {.left = wire, .seed = cut_seed};
    struct tt_span in;
    struct tt_span packet;
    struct tt_decap d;

    FUZZ_REQUIRE(tt_decap_init(&d, max_packet, &alloc) == TT_OK, "init failed");
    out->len = 0;
    out->end = TT_E_AGAIN;
    while (!tt_is_fatal(out->end) && fuzz_next_piece(&cuts, &in)) {
        while ((out->end = tt_decap_next(&d, &in, &packet)) == TT_OK)
            encode(out, packet);
        FUZZ_REQUIRE(tt_is_fatal(out->end) || in.len == 0, "it left input lying");
        FUZZ_REQUIRE(tt_decap_end(&d) != TT_OK || live == 0, "memory held between packets");
    }
    if (!tt_is_fatal(out->end))
        out->end = tt_decap_end(&d);
    free(cuts.piece);
    tt_decap_dispose(&d);
    FUZZ_REQUIRE(live == 0, "memory held after dispose");
}

/* How a stream must end whose first bytes were packets: by what is left of it alone. */
static int expected_end(struct tt_span left, size_t max_packet)
{
    if (left.len >= TT_ENCAP_HEADER && tt_get_be16(left.ptr) > max_packet)
        return TT_E_TOO_LONG;
    if (left.len >= TT_ENCAP_HEADER)
        FUZZ_REQUIRE(left.len - TT_ENCAP_HEADER < tt_get_be16(left.ptr), "a packet was not given");
    return left.len > 0 ? TT_E_TRUNCATED : TT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct output whole;
    static struct output cut;
    if (size < 2 || size > MAX_WIRE)
        return 0;
    struct tt_span wire = tt_span_of(data + 2, size - 2);
    const size_t max_packet = data[1] == 0 ? TT_ENCAP_MAX_PACKET : data[1];

    decode(&whole, wire, 0, max_packet);
    decode(&cut, wire, 1 + (uint32_t)data[0], max_packet);
    FUZZ_REQUIRE(whole.end == cut.end && whole.len == cut.len &&
                     memcmp(whole.wire, cut.wire, cut.len) == 0,
                 "cut and whole are not the same");
    FUZZ_REQUIRE(whole.len <= wire.len && memcmp(whole.wire, data + 2, whole.len) == 0,
                 "the packets are not those of the stream");
    tt_span_skip(&wire, whole.len);
    FUZZ_REQUIRE(whole.end == expected_end(wire, max_packet), "it ended in another way");
    return 0;
}
