/* The parameters of a sealed handshake: the first byte's lowest bit says of which message, the rest
 * is read, from memory of its own size.
 *
 * Oracles: a second decoder, which looks each type up from the front, says whether they are read,
 * and what they mean; on failure nothing is filled in; what was read, written again and padded, is
 * read as the same.
 */
#include "core/seal/parameters.h"

#include <turbotunnel/error.h>

#include "fuzz.h"

/* Where the n-th value of that type is, or NULL. Only for what is whole(). */
static const uint8_t *find(struct tt_span in, uint8_t type, unsigned n, size_t *len)
{
    for (size_t at = 0; at < in.len; at += 2u + in.ptr[at + 1]) {
        *len = in.ptr[at + 1];
        if (in.ptr[at] == type && n-- == 0)
            return in.ptr + at + 2;
    }
    return NULL;
}

/* Cut nowhere, not too long, and nothing in it that must be understood. */
static bool is_whole(struct tt_span in)
{
    size_t at = 0;
    while (at + 2 <= in.len) {
        if (in.ptr[at] >= 128)
            return false;
        at += 2u + in.ptr[at + 1];
    }
    return at == in.len && in.len <= TT_PARAMETERS_MAX;
}

/* Not there, or once and of that length. */
static bool is_good(struct tt_span in, uint8_t type, size_t wanted)
{
    size_t len;
    return !find(in, type, 0, &len) || (len == wanted && !find(in, type, 1, &len));
}

static bool is_readable(struct tt_span in, bool server)
{
    size_t len;
    if (!is_whole(in) || !is_good(in, 3, 8) || !is_good(in, 4, 8) || !is_good(in, 5, 8) ||
        !is_good(in, 6, 1) || !find(in, server ? 4 : 3, 0, &len))
        return false;
    const uint8_t *state = find(in, 6, 0, &len);
    return !server || !state || (state[0] >= 1 && state[0] <= 3);
}

static void check_read(const struct tt_parameters *p, struct tt_span in)
{
    size_t len;
    const uint8_t *resume = p->server ? NULL : find(in, 5, 0, &len);
    const uint8_t *state = p->server ? find(in, 6, 0, &len) : NULL;
    uint64_t time = 0;
    FUZZ_REQUIRE(p->state == (state ? state[0] : 0), "another state");
    FUZZ_REQUIRE(p->has_resume == (resume != NULL), "a resume out of nothing, or none");
    FUZZ_REQUIRE(!resume || memcmp(p->resume, resume, TT_RESUME_LEN) == 0, "another resume");
    if (p->server) {
        FUZZ_REQUIRE(memcmp(p->instance, find(in, 4, 0, &len), TT_INSTANCE_LEN) == 0,
                     "another instance");
        return;
    }
    for (size_t i = 0; i < 8; i++)
        time = time << 8 | find(in, 3, 0, &len)[i];
    FUZZ_REQUIRE(p->time_s == time, "another time");
}

static void check_written(const struct tt_parameters *p, uint32_t padded)
{
    struct tt_parameters q = {.server = p->server};
    uint8_t *out = malloc(TT_PARAMETERS_MAX);
    FUZZ_REQUIRE(out, "the fuzzer itself has no memory");
    const uint32_t len = tt_parameters_write(out, p, padded);
    FUZZ_REQUIRE(len >= padded && len <= TT_PARAMETERS_MAX, "another length is written");
    FUZZ_REQUIRE(tt_parameters_read(&q, tt_span_of(out, len)) == TT_OK, "written, but not read");
    FUZZ_REQUIRE(q.time_s == p->time_s && q.has_resume == p->has_resume && q.state == p->state &&
                     memcmp(q.instance, p->instance, TT_INSTANCE_LEN) == 0 &&
                     memcmp(q.resume, p->resume, TT_RESUME_LEN) == 0,
                 "read as something else");
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_parameters p;
    struct tt_parameters before;
    if (size == 0)
        return 0;
    memset(&p, 0xa5, sizeof(p));
    p.server = data[0] & 1;
    p.has_resume = false;
    memcpy(&before, &p, sizeof(p));
    uint8_t *copy = size > 1 ? malloc(size - 1) : NULL;
    FUZZ_REQUIRE(copy || size == 1, "the fuzzer itself has no memory");
    if (copy)
        memcpy(copy, data + 1, size - 1);
    const struct tt_span in = tt_span_of(copy, size - 1);
    const int err = tt_parameters_read(&p, in);
    FUZZ_REQUIRE(err == (is_readable(in, before.server) ? TT_OK : TT_E_PROTO), "another verdict");
    if (err) {
        FUZZ_REQUIRE(memcmp(&p, &before, sizeof(p)) == 0, "filled in, but not read");
    } else {
        check_read(&p, in);
        check_written(&p, data[0]);
    }
    free(copy);
    return 0;
}
