#include "core/seal/parameters.h"

#include <stdlib.h>

#include <turbotunnel/error.h>

#include "test.h"

#define TIME     "\x03\x08\x00\x00\x00\x00\x6a\x2b\x3c\x4d"
#define INSTANCE "\x04\x08instance"
#define RESUME   "\x05\x08resume-h"
#define KNOWN    "\x06\x01\x01"

static const uint64_t time_s = 0x6a2b3c4d;

struct reading {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    bool server;
    bool opens;
};

static const struct reading readings[] = {
    {"an INIT's", BYTES(TIME), false, true},
    {"with resume", BYTES(TIME RESUME), false, true},
    {"in another order", BYTES(RESUME TIME), false, true},
    {"padded", BYTES("\0\0" TIME "\0\3xyz\0\1\0"), false, true},
    {"reserved types are skipped", BYTES("\1\0\2\4abcd\1\1x" TIME), false, true},
    {"unknown types are skipped, twice as well", BYTES("\7\0\177\2ab\177\0" TIME), false, true},
    {"a RESPONSE's are skipped in an INIT", BYTES(TIME INSTANCE KNOWN), false, true},
    {"from 128 up they are not", BYTES(TIME "\200\0"), false, false},
    {"nor the last", BYTES(TIME "\377\0"), false, false},
    {"nothing at all", BYTES(""), false, false},
    {"no time", BYTES(RESUME), false, false},
    {"time twice", BYTES(TIME TIME), false, false},
    {"resume twice", BYTES(TIME RESUME RESUME), false, false},
    {"time of 7 bytes", BYTES("\3\7\0\0\0\0\0\0\1"), false, false},
    {"time of 9 bytes", BYTES("\3\11\0\0\0\0\0\0\0\0\1"), false, false},
    {"time without a value", BYTES("\3\0"), false, false},
    {"resume of 9 bytes", BYTES(TIME "\5\11resume-h!"), false, false},
    {"an instance of 7 bytes, in an INIT too", BYTES(TIME "\4\7instanc"), false, false},
    {"an instance twice, in an INIT too", BYTES(TIME INSTANCE INSTANCE), false, false},
    {"cut in a value", BYTES("\3\10\0\0\0\0\x6a\x2b\x3c"), false, false},
    {"cut behind a type", BYTES(TIME "\5"), false, false},
    {"cut padding", BYTES(TIME "\0\2x"), false, false},
    {"a RESPONSE's", BYTES(INSTANCE), true, true},
    {"with state", BYTES(INSTANCE "\6\1\3"), true, true},
    {"padded", BYTES(INSTANCE "\0\0"), true, true},
    {"an INIT's are skipped in a RESPONSE", BYTES(RESUME TIME INSTANCE), true, true},
    {"no instance", BYTES(TIME), true, false},
    {"only state", BYTES(KNOWN), true, false},
    {"state twice", BYTES(INSTANCE KNOWN KNOWN), true, false},
    {"state 0", BYTES(INSTANCE "\6\1\0"), true, false},
    {"state 4", BYTES(INSTANCE "\6\1\4"), true, false},
    {"state of 2 bytes", BYTES(INSTANCE "\6\2\1\1"), true, false},
    {"time twice, in a RESPONSE too", BYTES(INSTANCE TIME TIME), true, false},
    {"an instance of 9 bytes", BYTES("\4\11instance!"), true, false},
};

/* From memory of its own size. On failure p must be as it was. */
static int read_copy(struct tt_parameters *p, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    const struct tt_parameters before = *p;
    const int err = tt_parameters_read(p, tt_span_of(copy, len));
    if (err)
        assert_memory_equal(p, &before, sizeof(before));
    free(copy);
    return err;
}

static void test_what_is_read_and_what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(readings); i++) {
        const struct reading *c = &readings[i];
        struct tt_parameters p;
        memset(&p, 0x5a, sizeof(p));
        p.server = c->server;
        p.has_resume = true;
        const int err = read_copy(&p, c->bytes, c->len);
        if (err != (c->opens ? TT_OK : TT_E_PROTO))
            fail_msg("%s: %s", c->name, tt_error_name(err));
        if (!c->opens)
            continue;
        if (c->server)
            assert_memory_equal(p.instance, "instance", TT_INSTANCE_LEN);
        else
            assert_true(p.time_s == time_s);
        assert_int_equal(p.state, c->server && c->len > 10 && c->bytes[10] == 6 ? 3 : 0);
        assert_int_equal(p.has_resume, !c->server && memchr(c->bytes, 'r', c->len) != NULL);
        if (p.has_resume)
            assert_memory_equal(p.resume, "resume-h", TT_RESUME_LEN);
    }
}

static void test_more_than_256_bytes_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[TT_PARAMETERS_MAX + 2] = TIME;
    struct tt_parameters p = {.server = false};
    assert_int_equal(tt_parameters_read(&p, tt_span_of(NULL, 0)), TT_E_PROTO);
    assert_int_equal(read_copy(&p, bytes, TT_PARAMETERS_MAX), TT_OK);
    assert_int_equal(read_copy(&p, bytes, TT_PARAMETERS_MAX + 2), TT_E_PROTO);
}

static void test_written_byte_for_byte(void **state)
{
    (void)state;
    static const struct {
        struct tt_parameters p;
        uint32_t padded;
        const uint8_t *bytes;
        size_t len;
    } cases[] = {
        {{.time_s = 0x6a2b3c4d, .state = 1, .instance = "ignored"}, 0, BYTES(TIME)},
        {{.time_s = 0x6a2b3c4d, .has_resume = true, .resume = "resume-"},
         0,
         BYTES(TIME "\x05\x08resume-\0")},
        {{.time_s = UINT64_C(0x0102030405060708)}, 10, BYTES("\3\10\1\2\3\4\5\6\7\10")},
        {{.time_s = 0x6a2b3c4d}, 11, BYTES(TIME "\0\0")}, /* one too many */
        {{.time_s = 0x6a2b3c4d}, 12, BYTES(TIME "\0\0")},
        {{.time_s = 0x6a2b3c4d}, 15, BYTES(TIME "\0\3\0\0\0")},
        {{.server = true, .instance = "instanc", .has_resume = true}, 0, BYTES("\4\10instanc\0")},
        {{.server = true, .instance = "instanc", .state = 2}, 0, BYTES("\4\10instanc\0\6\1\2")},
        {{.server = true, .instance = "instanc", .state = 3},
         17,
         BYTES("\4\10instanc\0\6\1\3\0\2\0\0")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t out[TT_PARAMETERS_MAX];
        assert_int_equal(tt_parameters_write(out, &cases[i].p, cases[i].padded), cases[i].len);
        assert_memory_equal(out, cases[i].bytes, cases[i].len);
    }
}

static void test_what_was_written_is_read_whatever_its_padding(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        const struct tt_parameters p = {
            .server = kind & 1,
            .has_resume = kind == 2,
            .time_s = kind & 1 ? 0 : time_s,
            .instance = {kind & 1},
            .resume = {kind & 2 && !(kind & 1)},
            .state = kind == 3 ? TT_SEAL_UNKNOWN : 0,
        };
        for (uint32_t padded = 0; padded <= TT_PARAMETERS_MAX; padded++) {
            uint8_t out[TT_PARAMETERS_MAX];
            struct tt_parameters q = {.server = p.server};
            const uint32_t shortest = tt_parameters_write(out, &p, 0);
            const uint32_t len = tt_parameters_write(out, &p, padded);
            const uint32_t wanted = padded > shortest ? padded : shortest;
            assert_int_equal(len, wanted + (padded == shortest + 1));
            assert_int_equal(read_copy(&q, out, len), TT_OK);
            assert_memory_equal(&q, &p, sizeof(p));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read_and_what_is_refused),
        cmocka_unit_test(test_more_than_256_bytes_are_refused),
        cmocka_unit_test(test_written_byte_for_byte),
        cmocka_unit_test(test_what_was_written_is_read_whatever_its_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
