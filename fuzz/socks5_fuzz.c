/* A program that speaks SOCKS5, or something else: the first byte says how it is cut.
 *
 * Oracles: never is more asked for than a message holds; each stage ends; what is DONE has a target
 * that can be written as a header; replies begin with a version; the same bytes in other pieces
 * lead to the same end.
 */
#include "tunnel/socks5.h"

#include "fuzz.h"

static void check_end(const struct tt_socks *s)
{
    uint8_t header[TT_TARGET_MAX];
    FUZZ_REQUIRE(s->reply_len <= sizeof s->reply, "a reply that is too long");
    if (s->stage != TT_SOCKS_DONE)
        return;
    FUZZ_REQUIRE(s->target.kind == TT_TARGET_HOST_PORT && s->target.port != 0, "no target");
    FUZZ_REQUIRE(tt_target_write(header, &s->target) > 0, "a target that cannot be written");
}

/* Returns how many bytes were taken. */
static size_t talk(struct tt_socks *s, const uint8_t *data, size_t size, size_t most)
{
    size_t at = 0;
    size_t missing;
    *s = (struct tt_socks){.stage = TT_SOCKS_GREETING};
    while ((missing = tt_socks_missing(s)) > 0 && at < size) {
        FUZZ_REQUIRE(missing <= sizeof s->message - s->have, "more is asked for than fits");
        FUZZ_REQUIRE(s->stage != TT_SOCKS_DONE && s->stage != TT_SOCKS_FAILED, "it goes on");
        size_t n = missing < most ? missing : most;
        n = n < size - at ? n : size - at;
        memcpy(s->message + s->have, data + at, n);
        at += n;
        tt_socks_came(s, n);
        FUZZ_REQUIRE(s->reply_len == 0 || s->reply[0] == 5 || s->reply[0] == 1, "a bad reply");
    }
    check_end(s);
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_socks whole;
    struct tt_socks cut;
    if (size == 0)
        return 0;
    const size_t taken = talk(&whole, data + 1, size - 1, SIZE_MAX);
    const size_t taken_cut = talk(&cut, data + 1, size - 1, 1 + data[0] % 8);
    FUZZ_REQUIRE(whole.stage == cut.stage, "another end in other pieces");
    FUZZ_REQUIRE(taken_cut <= taken, "more is taken in pieces");
    if (whole.stage == TT_SOCKS_DONE)
        FUZZ_REQUIRE(taken == taken_cut && whole.target.port == cut.target.port &&
                         strcmp(whole.target.host, cut.target.host) == 0,
                     "another target in other pieces");
    return 0;
}
