#include "tunnel/target.h"

#include <turbotunnel/error.h>

#include "test.h"

#define NAME_253                                                                                   \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc"

struct written {
    const uint8_t *bytes;
    size_t len;
    struct tt_target target;
};

/* Each is read into the target, and the target is written as these bytes. */
static const struct written good[] = {
    {BYTES("\1\0"), {.kind = TT_TARGET_FIXED, .number = 0, .port = 0, .host = ""}},
    {BYTES("\2\3\0\26h"), {.kind = TT_TARGET_HOST_PORT, .number = 0, .port = 22, .host = "h"}},
    {BYTES("\2\13\xff\xff"
           "127.0.0.1"),
     {.kind = TT_TARGET_HOST_PORT, .number = 0, .port = 65535, .host = "127.0.0.1"}},
    {BYTES("\2\5\1\xbb::1"),
     {.kind = TT_TARGET_HOST_PORT, .number = 0, .port = 443, .host = "::1"}},
    {BYTES("\2\xff\0\1" NAME_253),
     {.kind = TT_TARGET_HOST_PORT, .number = 0, .port = 1, .host = NAME_253}},
    {BYTES("\3\4\0\7\0\0"), {.kind = TT_TARGET_LISTEN, .number = 7, .port = 0, .host = ""}},
    {BYTES("\3\7\1\2\x1f\x90::1"),
     {.kind = TT_TARGET_LISTEN, .number = 258, .port = 8080, .host = "::1"}},
    {BYTES("\4\2\xff\xfe"), {.kind = TT_TARGET_ARRIVED, .number = 65534, .port = 0, .host = ""}},
    {BYTES("\5\10\0\20\0\1\xff\xfe\xfd\xfc"),
     {.kind = TT_TARGET_PROBE, .up = 0x100001, .down = 0xfffefdfc}},
};

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint8_t header[TT_TARGET_MAX];
        struct tt_target t;
        const struct written *w = &good[i];
        assert_int_equal(tt_target_write(header, &w->target), w->len);
        assert_memory_equal(header, w->bytes, w->len);
        assert_int_equal(tt_target_parse(&t, tt_span_of(w->bytes, w->len)), TT_OK);
        assert_int_equal(t.kind, w->target.kind);
        assert_int_equal(t.number, w->target.number);
        assert_int_equal(t.port, w->target.port);
        assert_true(t.up == w->target.up && t.down == w->target.down);
        assert_string_equal(t.host, w->target.host);
    }
}

static void test_a_header_is_asked_for_to_the_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        const struct written *w = &good[i];
        for (size_t have = 0; have <= w->len; have++)
            assert_int_equal(tt_target_missing(w->bytes, have), (have < 2 ? 2 : w->len) - have);
    }
}

static const struct {
    const uint8_t *bytes;
    size_t len;
} bad[] = {
    {BYTES("")},
    {BYTES("\1")},
    {BYTES("\0\0")},           /* no such kind */
    {BYTES("\6\0")},           /* nor this */
    {BYTES("\xff\0")},         /* */
    {BYTES("\1\1x")},          /* a body where there is none */
    {BYTES("\2\0")},           /* no port */
    {BYTES("\2\1\0")},         /* half a port */
    {BYTES("\2\2\0\26")},      /* no host */
    {BYTES("\2\3\0\26h?")},    /* more than it says */
    {BYTES("\2\4\0\26h")},     /* less */
    {BYTES("\2\4\0\26h ")},    /* a space */
    {BYTES("\2\4\0\26h\0")},   /* a NUL */
    {BYTES("\2\4\0\26h\x7f")}, /* */
    {BYTES("\2\4\0\26h\xc3")}, /* */
    {BYTES("\3\3\0\0\0")},     /* half a port */
    {BYTES("\3\5\0\0\0\0\n")}, /* */
    {BYTES("\4\1\0")},         /* half a number */
    {BYTES("\4\3\0\0\0")},     /* more than a number */
    {BYTES("\5\7\0\0\0\1\0\0\0")},
    {BYTES("\5\11\0\0\0\1\0\0\0\1\1")},
};

static void test_nonsense_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct tt_target t;
        struct tt_target before;
        memset(&t, 0x5a, sizeof t);
        memset(&before, 0x5a, sizeof before);
        assert_int_equal(tt_target_parse(&t, tt_span_of(bad[i].bytes, bad[i].len)), TT_E_PROTO);
        assert_memory_equal(&t, &before, sizeof t);
    }
}

static void test_what_nobody_would_read_is_not_written(void **state)
{
    (void)state;
    static const struct tt_target wrong[] = {
        {.kind = TT_TARGET_HOST_PORT, .number = 0, .port = 1, .host = ""},
        {.kind = TT_TARGET_HOST_PORT, .number = 0, .port = 1, .host = "a b"},
        {.kind = TT_TARGET_HOST_PORT, .number = 0, .port = 1, .host = "\xc3\xa4"},
        {.kind = TT_TARGET_LISTEN,
         .number = 1,
         .port = 1,
         .host = NAME_253}, /* with the number it is too long */
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        uint8_t header[TT_TARGET_MAX];
        assert_int_equal(tt_target_write(header, &wrong[i]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_a_header_is_asked_for_to_the_byte),
        cmocka_unit_test(test_nonsense_is_refused_and_changes_nothing),
        cmocka_unit_test(test_what_nobody_would_read_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
