#include "core/encapsulation.h"

#include <stdlib.h>
#include <string.h>

#include <turbotunnel/error.h>

#include "decoding.h"
#include "test.h"
#include "vector_file.h"

#define MAX_PACKET 8

static const struct decoding_case cases[] = {
    {"nothing", BYTES(""), "", TT_OK},
    {"one packet", BYTES("\0\3abc"), "abc|", TT_OK},
    {"an empty packet", BYTES("\0\0"), "|", TT_OK},
    {"empty, then full", BYTES("\0\0\0\1a"), "|a|", TT_OK},
    {"full, then empty", BYTES("\0\1a\0\0"), "a||", TT_OK},
    {"two packets", BYTES("\0\2ab\0\3cde"), "ab|cde|", TT_OK},
    {"three packets", BYTES("\0\2ab\0\3cde\0\4fghi"), "ab|cde|fghi|", TT_OK},
    {"bytes that look like a length", BYTES("\0\4\0\1\0\1\0\1a"), "\\x00\\x01\\x00\\x01|a|", TT_OK},
    {"half a header", BYTES("\0\3abc\0"), "abc|", TT_E_TRUNCATED},
    {"a header alone", BYTES("\0\3"), "", TT_E_TRUNCATED},
    {"half a body", BYTES("\0\3ab"), "", TT_E_TRUNCATED},
    {"a packet, then half a body", BYTES("\0\1a\0\2b"), "a|", TT_E_TRUNCATED},
    {"as long as allowed", BYTES("\0\10abcdefgh"), "abcdefgh|", TT_OK},
    {"one byte too long", BYTES("\0\11abcdefghi"), "", TT_E_TOO_LONG},
    {"a packet, then one too long", BYTES("\0\1a\0\11bcd"), "a|", TT_E_TOO_LONG},
    {"the high byte counts", BYTES("\1\0"), "", TT_E_TOO_LONG},
    {"longest length", BYTES("\377\377"), "", TT_E_TOO_LONG},
};

static void test_the_same_packets_come_out_however_the_stream_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_decoding(&plain_decoder, MAX_PACKET, &cases[i]);
}

static void test_every_refused_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_decoding_without_memory(&plain_decoder, MAX_PACKET, &cases[i]);
}

#define KEPT 3

static int cutting_init(struct decoder *d, size_t max_packet, const struct tt_alloc *alloc)
{
    int err = plain_decoder.init(d, max_packet, alloc);
    tt_decap_cut(&d->as.plain, KEPT);
    return err;
}

static const struct decoding_case cut_cases[] = {
    {"shorter", BYTES("\0\2ab\0\0"), "ab||", TT_OK},
    {"as long", BYTES("\0\3abc\0\1d"), "abc|d|", TT_OK},
    {"one byte longer", BYTES("\0\4abcd\0\1e"), "abc|e|", TT_OK},
    {"longer, twice", BYTES("\0\6abcdef\0\5ghijk"), "abc|ghi|", TT_OK},
    {"what is passed over looks like packets", BYTES("\0\10abc\0\1\0\1x\0\1d"), "abc|d|", TT_OK},
    {"it ends in what is passed over", BYTES("\0\6abcde"), "abc|", TT_E_TRUNCATED},
    {"it ends where that begins", BYTES("\0\4abc"), "abc|", TT_E_TRUNCATED},
    {"too long is too long", BYTES("\0\11abcdefghi"), "", TT_E_TOO_LONG},
};

static void test_of_long_packets_only_the_beginning_is_kept(void **state)
{
    (void)state;
    struct decoder_ops cutting = plain_decoder;
    cutting.init = cutting_init;
    for (size_t i = 0; i < ARRAY_LEN(cut_cases); i++) {
        check_decoding(&cutting, MAX_PACKET, &cut_cases[i]);
        check_decoding_without_memory(&cutting, MAX_PACKET, &cut_cases[i]);
    }
}

static void test_the_vectors_are_decoded(void **state)
{
    (void)state;
    check_decoding_vectors(&plain_decoder, TT_ENCAP_MAX_PACKET, "encap/length16.txt", 7);
}

static void test_headers_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct vector_file v;
    int64_t length = -1;
    size_t checked = 0;
    vector_file_open(&v, "encap/length16.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "length"))
            length = vector_number(&v);
        if (!vector_key_is(&v, "prefix"))
            continue;
        uint8_t header[TT_ENCAP_HEADER];
        const struct tt_span expected = vector_bytes(&v);
        tt_encap_header(header, (uint16_t)length);
        assert_int_equal(expected.len, sizeof(header));
        assert_memory_equal(header, expected.ptr, sizeof(header));
        checked++;
    }
    vector_file_close(&v);
    assert_int_equal(checked, 8);
}

static void test_a_packet_that_lies_whole_is_not_copied(void **state)
{
    (void)state;
    static const uint8_t wire[] = "\0\3abc\0\2de";
    struct tt_span in = tt_span_of(wire, sizeof(wire) - 1);
    struct tt_span packet;
    struct tt_decap d;
    assert_int_equal(tt_decap_init(&d, MAX_PACKET, &tt_alloc_malloc), TT_OK);
    assert_int_equal(tt_decap_next(&d, &in, &packet), TT_OK);
    assert_ptr_equal(packet.ptr, wire + 2);
    assert_int_equal(tt_decap_next(&d, &in, &packet), TT_OK);
    assert_ptr_equal(packet.ptr, wire + 7);
    tt_decap_dispose(&d);
}

#define ROOM 12

/* As a connection reads: `step` bytes at a time, behind what was left over. */
static int read_on(struct tt_decap *d, const struct decoding_case *c, size_t step,
                   struct decoding_output *out)
{
    uint8_t buf[ROOM];
    size_t front = 0, at = 0;
    while (at < c->len) {
        size_t n = c->len - at < step ? c->len - at : step;
        if (n > ROOM - front)
            n = ROOM - front;
        memcpy(buf + front, c->wire + at, n);
        at += n;
        struct tt_span in = tt_span_of(buf, front + n);
        struct tt_span packet;
        int err;
        while ((err = at < c->len ? tt_decap_next_whole(d, &in, ROOM, &packet)
                                  : tt_decap_next(d, &in, &packet)) == TT_OK)
            decoding_output_packet(out, packet);
        if (err != TT_E_AGAIN)
            return err;
        assert_true(in.len < ROOM); /* there is room to read on */
        front = in.len;
        memmove(buf, in.ptr, front);
    }
    return tt_decap_end(d);
}

static void test_what_is_not_whole_may_be_left_and_offered_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step <= ROOM; step++) {
            struct decoding_output out = {.len = 0};
            struct tt_decap d;
            assert_int_equal(tt_decap_init(&d, MAX_PACKET, &tt_alloc_malloc), TT_OK);
            const int end = read_on(&d, &cases[i], step, &out);
            if (end != cases[i].end || strcmp(out.text, cases[i].packets) != 0)
                fail_msg("%s, %zu at a time: %d, %s", cases[i].name, step, end, out.text);
            tt_decap_dispose(&d);
        }
    }
}

/* It needs no memory but the caller's, unless it does not fit there. */
static void test_a_packet_is_left_where_the_rest_of_it_has_room(void **state)
{
    (void)state;
    static const uint8_t wire[] = "\0\5abcde";
    for (size_t have = 1; have < sizeof(wire) - 1; have++) {
        struct tt_span in = tt_span_of(wire, have);
        struct tt_span packet;
        struct tt_decap d;
        assert_int_equal(tt_decap_init(&d, MAX_PACKET, &tt_alloc_malloc), TT_OK);
        assert_int_equal(tt_decap_next_whole(&d, &in, 7, &packet), TT_E_AGAIN);
        assert_int_equal(in.len, have);
        assert_int_equal(tt_decap_end(&d), TT_OK);
        if (have >= 2) {
            assert_int_equal(tt_decap_next_whole(&d, &in, 6, &packet), TT_E_AGAIN);
            assert_int_equal(in.len, 0);
        }
        tt_decap_dispose(&d);
    }
}

static void test_an_announcement_buys_no_memory(void **state)
{
    (void)state;
    const uint8_t header[] = {0xff, 0xff};
    check_memory_grows_with_what_came(&plain_decoder, tt_span_of(header, sizeof(header)), 65535);
    const uint8_t small[] = {0x05, 0x78};
    check_memory_grows_with_what_came(&plain_decoder, tt_span_of(small, sizeof(small)), 1400);
}

static void test_limits_outside_the_length_field_are_refused(void **state)
{
    (void)state;
    struct tt_decap d;
    assert_int_equal(tt_decap_init(&d, 0, &tt_alloc_malloc), TT_E_INVAL);
    assert_int_equal(tt_decap_init(&d, 65536, &tt_alloc_malloc), TT_E_INVAL);
    assert_int_equal(tt_decap_init(&d, 1, &tt_alloc_malloc), TT_OK);
    assert_int_equal(tt_decap_init(&d, 65535, &tt_alloc_malloc), TT_OK);
    tt_decap_dispose(&d);
}

static void test_dispose_of_all_zeroes_does_nothing(void **state)
{
    (void)state;
    struct tt_decap d;
    memset(&d, 0, sizeof(d));
    tt_decap_dispose(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_packets_come_out_however_the_stream_is_cut),
        cmocka_unit_test(test_every_refused_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(test_of_long_packets_only_the_beginning_is_kept),
        cmocka_unit_test(test_the_vectors_are_decoded),
        cmocka_unit_test(test_headers_are_those_of_the_vectors),
        cmocka_unit_test(test_a_packet_that_lies_whole_is_not_copied),
        cmocka_unit_test(test_what_is_not_whole_may_be_left_and_offered_again),
        cmocka_unit_test(test_a_packet_is_left_where_the_rest_of_it_has_room),
        cmocka_unit_test(test_an_announcement_buys_no_memory),
        cmocka_unit_test(test_limits_outside_the_length_field_are_refused),
        cmocka_unit_test(test_dispose_of_all_zeroes_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
