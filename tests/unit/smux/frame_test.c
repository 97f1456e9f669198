#include "core/smux/frame.h"

#include "test.h"

static const struct {
    const char *name;
    struct tt_smux_frame frame; /* version, command, length, number */
    const uint8_t *wire;
    size_t len;
} cases[] = {
    {"SYN 3", {2, TT_SMUX_SYN, 0, 3}, BYTES("\2\0\0\0\3\0\0\0")},
    {"PSH 3 of 5 bytes", {2, TT_SMUX_PSH, 5, 3}, BYTES("\2\2\5\0\3\0\0\0")},
    {"UPD 3", {2, TT_SMUX_UPD, 8, 3}, BYTES("\2\4\10\0\3\0\0\0")},
    {"FIN 3", {2, TT_SMUX_FIN, 0, 3}, BYTES("\2\1\0\0\3\0\0\0")},
    {"NOP of version 1", {1, TT_SMUX_NOP, 0, 0}, BYTES("\1\3\0\0\0\0\0\0")},
    {"every byte in its place",
     {0xff, 0xfe, 0xfcfd, 0xf8f9fafb},
     BYTES("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8")},
};

/* S-1, S-3, S-4; the examples of the spec's section 1. */
static void test_headers_are_eight_bytes_in_little_endian(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t wire[TT_SMUX_HEADER];
        tt_smux_frame_write(wire, cases[i].frame);
        assert_int_equal(cases[i].len, sizeof(wire));
        if (memcmp(wire, cases[i].wire, sizeof(wire)) != 0)
            fail_msg("%s is written wrongly", cases[i].name);
    }
}

static void test_headers_are_read_as_they_were_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct tt_smux_frame f = tt_smux_frame_read(cases[i].wire);
        assert_int_equal(f.version, cases[i].frame.version);
        assert_int_equal(f.cmd, cases[i].frame.cmd);
        assert_int_equal(f.length, cases[i].frame.length);
        assert_int_equal(f.sid, cases[i].frame.sid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_are_eight_bytes_in_little_endian),
        cmocka_unit_test(test_headers_are_read_as_they_were_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
