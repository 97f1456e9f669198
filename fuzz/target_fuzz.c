/* The beginning of a stream: the input as a header, and each shorter one that it begins with, from
 * memory of its own size.
 *
 * Oracles: what is missing plus what is there is always one and the same length once two bytes are
 * there; only a whole header is read; what was read, written again, is the same bytes; without a
 * header nothing is filled in.
 */
#include "tunnel/target.h"

#include <turbotunnel/error.h>

#include "fuzz.h"

static void check_written(const struct tt_target *t, struct tt_span header)
{
    uint8_t out[TT_TARGET_MAX];
    const size_t len = tt_target_write(out, t);
    FUZZ_REQUIRE(len == header.len, "another length is written");
    FUZZ_REQUIRE(memcmp(out, header.ptr, len) == 0, "other bytes are written");
}

static void check_header(struct tt_span header)
{
    struct tt_target t;
    struct tt_target before;
    memset(&t, 0xa5, sizeof t);
    memset(&before, 0xa5, sizeof before);
    const int err = tt_target_parse(&t, header);
    if (err == TT_OK) {
        FUZZ_REQUIRE(tt_target_missing(header.ptr, header.len) == 0, "read before it was whole");
        FUZZ_REQUIRE(memchr(t.host, '\0', sizeof t.host), "a host without an end");
        check_written(&t, header);
    } else {
        FUZZ_REQUIRE(err == TT_E_PROTO, "another error");
        FUZZ_REQUIRE(memcmp(&t, &before, sizeof t) == 0, "filled in, but not read");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t whole = size < 2 ? 2 : 2 + (size_t)data[1];
    for (size_t len = 0; len <= size && len <= whole + 1; len++) {
        uint8_t *header = malloc(len + (len == 0));
        FUZZ_REQUIRE(header, "the fuzzer itself has no memory");
        memcpy(header, data, len);
        if (len <= whole)
            FUZZ_REQUIRE(len + tt_target_missing(header, len) == (len < 2 ? 2 : whole),
                         "more or less is asked for than belongs to it");
        check_header(tt_span_of(header, len));
        free(header);
    }
    return 0;
}
