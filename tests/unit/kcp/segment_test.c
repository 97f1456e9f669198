/* The segment header, byte by byte (K-1). */
#include "core/kcp/segment.h"
#include "test.h"

static const struct {
    const char *name;
    struct tt_kcp_header header;
    const char *bytes;
} cases[] = {
    {"all zeroes", {0}, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"},
    {"the example of section 1",
     {.conv = 0x11223344, .cmd = TT_KCP_PUSH, .wnd = 32, .ts = 1000, .len = 3},
     "\x44\x33\x22\x11\x51\x00\x20\x00\xe8\x03\x00\x00\0\0\0\0\0\0\0\0\x03\0\0\0"},
    {"every byte another",
     {.conv = 0x04030201,
      .cmd = 5,
      .frg = 6,
      .wnd = 0x0807,
      .ts = 0x0c0b0a09,
      .sn = 0x100f0e0d,
      .una = 0x14131211,
      .len = 0x18171615},
     "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16"
     "\x17\x18"},
    {"all ones",
     {.conv = UINT32_MAX,
      .cmd = UINT8_MAX,
      .frg = UINT8_MAX,
      .wnd = UINT16_MAX,
      .ts = UINT32_MAX,
      .sn = UINT32_MAX,
      .una = UINT32_MAX,
      .len = UINT32_MAX},
     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
     "\xff\xff"},
};

static void test_k1_headers_are_written_as_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t out[TT_KCP_HEADER];
        tt_kcp_header_write(out, &cases[i].header);
        if (memcmp(out, cases[i].bytes, sizeof(out)) != 0)
            fail_msg("%s", cases[i].name);
    }
}

static void test_k1_headers_are_read_from_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct tt_kcp_header *want = &cases[i].header;
        const struct tt_kcp_header h = tt_kcp_header_read((const uint8_t *)cases[i].bytes);
        if (h.conv != want->conv || h.cmd != want->cmd || h.frg != want->frg ||
            h.wnd != want->wnd || h.ts != want->ts || h.sn != want->sn || h.una != want->una ||
            h.len != want->len)
            fail_msg("%s", cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_k1_headers_are_written_as_bytes),
        cmocka_unit_test(test_k1_headers_are_read_from_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
