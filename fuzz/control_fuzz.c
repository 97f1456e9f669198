/* A control packet: the input, or its first 11 bytes; and each shorter packet that it begins with,
 * from memory of its own size.
 *
 * Oracles: a table of types and lengths says which are read, ignored or refused; what was read,
 * written again, is the packet up to the last field; the bytes behind that change nothing; without
 * a packet nothing is filled in.
 */
#include "core/control.h"

#include <turbotunnel/error.h>

#include "fuzz.h"

/* By type, the length with all fields; 0: to be ignored. From 0x80 up they are refused. */
static const uint8_t whole[0x80] = {
    [0x01] = 1 + 1 + 2 + 2 + 4, /* version, max_packet, flags, carrier */
    [0x02] = 1 + 8,
    [0x03] = 1 + 8,
    [0x04] = 1 + 1,
    [0x05] = 1 + 4 + 1, /* carrier, state */
    [0x06] = 1 + 4 + 2, /* bytes, seconds */
};

static int expected(struct tt_span packet)
{
    if (packet.len == 0)
        return TT_E_AGAIN;
    const uint8_t type = packet.ptr[0];
    if (type >= sizeof(whole))
        return TT_E_PROTO;
    if (whole[type] == 0)
        return TT_E_AGAIN;
    return packet.len >= whole[type] ? TT_OK : TT_E_PROTO;
}

static void check_written(const struct tt_control *c, struct tt_span packet)
{
    uint8_t *out = malloc(TT_CONTROL_MAX);
    FUZZ_REQUIRE(out, "the fuzzer itself has no memory");
    memset(out, 0xee, TT_CONTROL_MAX);
    const uint32_t len = tt_control_write(out, c);
    FUZZ_REQUIRE(len == whole[packet.ptr[0]], "another length is written");
    FUZZ_REQUIRE(memcmp(out, packet.ptr, len) == 0, "other bytes are written");
    for (size_t i = len; i < TT_CONTROL_MAX; i++)
        FUZZ_REQUIRE(out[i] == 0xee, "more is written than its length says");
    free(out);
}

static void check_packet(struct tt_span packet)
{
    struct tt_control c;
    struct tt_control before;
    memset(&c, 0xa5, sizeof(c));
    memset(&before, 0xa5, sizeof(before));
    const int err = tt_control_read(&c, packet);
    FUZZ_REQUIRE(err == expected(packet), "another verdict");
    if (err == TT_OK)
        check_written(&c, packet);
    else
        FUZZ_REQUIRE(memcmp(&c, &before, sizeof(c)) == 0, "filled in, but not read");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t len = 0; len <= size && tt_is_control(len); len++) {
        uint8_t *packet = len > 0 ? malloc(len) : NULL;
        FUZZ_REQUIRE(packet || len == 0, "the fuzzer itself has no memory");
        if (len > 0)
            memcpy(packet, data, len);
        check_packet(tt_span_of(packet, len));
        free(packet);
    }
    return 0;
}
