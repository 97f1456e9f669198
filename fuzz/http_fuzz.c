/* A request for the page of counters: the input, and each shorter one that it begins with, from
 * memory of its own size.
 *
 * Oracles: once there is a verdict, more bytes do not change it; there is none before an empty line
 * or the most bytes that may come; and only what begins as a request for the page is one.
 */
#include "tunnel/http_request.h"

#include "fuzz.h"

static const char path[] = "/metrics";
static const char begins[] = "GET /metrics";

static int judge(const uint8_t *data, size_t len)
{
    char *copy = malloc(len + (len == 0));
    FUZZ_REQUIRE(copy, "the fuzzer itself has no memory");
    memcpy(copy, data, len);
    const int status = tt_http_judge(copy, len, path);
    free(copy);
    return status;
}

static void check_verdict(const uint8_t *data, size_t len, int status)
{
    FUZZ_REQUIRE(status == 0 || status == 200 || status == 400 || status == 404 || status == 405 ||
                     status == 431,
                 "another status");
    FUZZ_REQUIRE(status != 431 || len >= TT_HTTP_REQUEST, "too long, and it is not");
    FUZZ_REQUIRE(status != 0 || len < TT_HTTP_REQUEST, "it is waited for without an end");
    FUZZ_REQUIRE(status == 0 || status == 431 || (len >= 4 && memchr(data, '\n', len)),
                 "judged before it was whole");
    FUZZ_REQUIRE(status != 200 || (len > sizeof begins && memcmp(data, begins, 12) == 0),
                 "not a request for the page");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t step = size > 512 ? size / 64 : 1;
    int before = 0;
    for (size_t len = 0; len <= size; len += step) {
        const int status = judge(data, len);
        check_verdict(data, len, status);
        FUZZ_REQUIRE(before == 0 || status == before, "another verdict with more bytes");
        before = status;
    }
    return 0;
}
