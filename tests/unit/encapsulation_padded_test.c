#include "core/encapsulation_padded.h"

#include <stdlib.h>

#include <turbotunnel/error.h>

#include "decoding.h"
#include "test.h"
#include "vector_file.h"

#define MAX_PACKET 8

/* Octal: \200 a packet, \0 padding, of 0 bytes; \3xx and \1xx: more prefix follows. */
static const struct decoding_case cases[] = {
    {"nothing", BYTES(""), "", TT_OK},
    {"one packet", BYTES("\203abc"), "abc|", TT_OK},
    {"an empty packet", BYTES("\200"), "|", TT_OK},
    {"three empty packets", BYTES("\200\200\200"), "|||", TT_OK},
    {"two packets", BYTES("\202ab\203cde"), "ab|cde|", TT_OK},
    {"empty padding alone", BYTES("\0\0\0"), "", TT_OK},
    {"padding alone", BYTES("\3zzz"), "", TT_OK},
    {"padding before", BYTES("\2zz\201a"), "a|", TT_OK},
    {"padding between", BYTES("\201a\2zz\0\201b"), "a|b|", TT_OK},
    {"padding after", BYTES("\201a\2zz"), "a|", TT_OK},
    {"padding that looks like a packet", BYTES("\3\202ab\201c"), "c|", TT_OK},
    {"a packet that looks like padding", BYTES("\203\2zz\201c"), "\\x02zz|c|", TT_OK},
    {"padding longer than any packet", BYTES("\15zzzzzzzzzzzzz\201a"), "a|", TT_OK},
    {"two bytes of prefix", BYTES("\300\2ab\201c"), "ab|c|", TT_OK},
    {"three bytes of prefix", BYTES("\300\200\2ab\201c"), "ab|c|", TT_OK},
    {"two bytes of prefix for nothing", BYTES("\300\0\201c"), "|c|", TT_OK},
    {"three bytes of prefix for padding", BYTES("\100\200\1z\201a"), "a|", TT_OK},
    {"three bytes of prefix for no padding", BYTES("\100\200\0\201a"), "a|", TT_OK},
    {"as long as allowed", BYTES("\210abcdefgh"), "abcdefgh|", TT_OK},
    {"one byte too long", BYTES("\211abcdefghi"), "", TT_E_TOO_LONG},
    {"a packet, then one too long", BYTES("\201a\211bcd"), "a|", TT_E_TOO_LONG},
    {"too long by the second byte", BYTES("\300\11ab"), "", TT_E_TOO_LONG},
    {"too long by the first of two", BYTES("\301\0ab"), "", TT_E_TOO_LONG},
    {"too long by the first of three", BYTES("\301\200\0ab"), "", TT_E_TOO_LONG},
    {"a fourth byte of prefix", BYTES("\300\200\200\1a"), "", TT_E_TOO_LONG},
    {"a fourth byte of padding's prefix", BYTES("\100\200\200\0"), "", TT_E_TOO_LONG},
    {"one byte of a prefix", BYTES("\201a\300"), "a|", TT_E_TRUNCATED},
    {"two bytes of a prefix", BYTES("\201a\300\200"), "a|", TT_E_TRUNCATED},
    {"a prefix alone", BYTES("\203"), "", TT_E_TRUNCATED},
    {"half a packet", BYTES("\203ab"), "", TT_E_TRUNCATED},
    {"half of the padding", BYTES("\201a\3zz"), "a|", TT_E_TRUNCATED},
    {"a prefix of padding alone", BYTES("\201a\3"), "a|", TT_E_TRUNCATED},
};

static void test_the_same_packets_come_out_however_the_stream_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_decoding(&padded_decoder, MAX_PACKET, &cases[i]);
}

static void test_every_refused_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_decoding_without_memory(&padded_decoder, MAX_PACKET, &cases[i]);
}

static void test_the_vectors_are_decoded(void **state)
{
    (void)state;
    check_decoding_vectors(&padded_decoder, TT_PADDED_MAX_PACKET, "encap/varint.txt", 22);
}

static void check_prefix(struct vector_file *v, size_t length)
{
    uint8_t prefix[TT_PADDED_MAX_PREFIX];
    size_t prefix_len = 99;
    const int err = tt_padded_prefix(prefix, &prefix_len, length);
    if (vector_value_is(v, "toolong")) {
        assert_int_equal(err, TT_E_INVAL);
        assert_int_equal(prefix_len, 99);
        return;
    }
    const struct tt_span expected = vector_bytes(v);
    assert_int_equal(err, TT_OK);
    assert_int_equal(prefix_len, expected.len);
    assert_memory_equal(prefix, expected.ptr, expected.len);
}

static void test_prefixes_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct vector_file v;
    size_t length = 0;
    size_t checked = 0;
    vector_file_open(&v, "encap/varint.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "length"))
            length = (size_t)vector_number(&v);
        if (!vector_key_is(&v, "dataprefix"))
            continue;
        check_prefix(&v, length);
        checked++;
    }
    vector_file_close(&v);
    assert_int_equal(checked, 19);
}

static void test_padding_is_that_of_the_vectors(void **state)
{
    (void)state;
    struct vector_file v;
    size_t total = 0;
    size_t checked = 0;
    vector_file_open(&v, "encap/varint.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "padtotal"))
            total = (size_t)vector_number(&v);
        if (!vector_key_is(&v, "padbytes"))
            continue;
        uint8_t padding[4096];
        const struct tt_span expected = vector_bytes(&v);
        assert_int_equal(expected.len, total);
        assert_in_range(total, 0, sizeof(padding));
        tt_padded_padding(padding, total);
        assert_memory_equal(padding, expected.ptr, total);
        checked++;
    }
    vector_file_close(&v);
    assert_int_equal(checked, 15);
}

/* The memory has exactly n bytes: under a sanitizer one byte too many is seen as well. */
static void check_padding_of(size_t n)
{
    struct tt_padded_decap d;
    struct tt_span packet;
    uint8_t *padding = malloc(n > 0 ? n : 1);
    assert_non_null(padding);
    memset(padding, 0xff, n);
    tt_padded_padding(padding, n);
    struct tt_span in = tt_span_of(padding, n);
    assert_int_equal(tt_padded_decap_init(&d, MAX_PACKET, &tt_alloc_malloc), TT_OK);
    assert_int_equal(tt_padded_decap_next(&d, &in, &packet), TT_E_AGAIN);
    if (tt_padded_decap_end(&d) != TT_OK)
        fail_msg("padding of %zu bytes is not whole", n);
    tt_padded_decap_dispose(&d);
    free(padding);
}

static void test_padding_of_every_total_is_skipped_to_its_end(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 4200; n++)
        check_padding_of(n);
    check_padding_of(1048576 + 65);
}

/* Does a packet of len bytes fit into n with its prefix? */
static bool fits(size_t len, size_t n)
{
    uint8_t prefix[TT_PADDED_MAX_PREFIX];
    size_t prefix_len;
    return tt_padded_prefix(prefix, &prefix_len, len) == TT_OK && prefix_len + len <= n;
}

static void test_the_room_for_a_packet_is_exact(void **state)
{
    (void)state;
    static const size_t from[] = {1, 8000, 1048570};
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        for (size_t n = from[i]; n < from[i] + 300; n++) {
            const size_t room = tt_padded_packet_room(n);
            if (!fits(room, n) || fits(room + 1, n))
                fail_msg("the room in %zu bytes is not %zu", n, room);
        }
    }
    assert_int_equal(tt_padded_packet_room(0), 0);
    assert_int_equal(tt_padded_packet_room(64), 63);
    assert_int_equal(tt_padded_packet_room(8192), 8190);
    assert_int_equal(tt_padded_packet_room(SIZE_MAX), TT_PADDED_MAX_PACKET);
}

/* Each length around the places where the prefix grows, and how it must come out again. */
static void test_a_packet_of_every_prefix_length_survives_the_round_trip(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 63, 64, 65, 8191, 8192, 65535, 1048575};
    uint8_t *wire = malloc(TT_PADDED_MAX_PREFIX + TT_PADDED_MAX_PACKET);
    assert_non_null(wire);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct tt_padded_decap d;
        struct tt_span packet;
        size_t prefix_len;
        assert_int_equal(tt_padded_prefix(wire, &prefix_len, lengths[i]), TT_OK);
        struct tt_span in = tt_span_of(wire, prefix_len + lengths[i]);
        memset(wire + prefix_len, 'x', lengths[i]);
        assert_int_equal(tt_padded_decap_init(&d, TT_PADDED_MAX_PACKET, &tt_alloc_malloc), TT_OK);
        assert_int_equal(tt_padded_decap_next(&d, &in, &packet), TT_OK);
        assert_int_equal(packet.len, lengths[i]);
        assert_ptr_equal(packet.ptr, wire + prefix_len);
        assert_int_equal(in.len, 0);
        tt_padded_decap_dispose(&d);
    }
    free(wire);
}

static void test_an_announcement_buys_no_memory(void **state)
{
    (void)state;
    const uint8_t header[] = {0xc3, 0xff, 0x7f};
    check_memory_grows_with_what_came(&padded_decoder, tt_span_of(header, sizeof(header)), 65535);
    const uint8_t small[] = {0xca, 0x78};
    check_memory_grows_with_what_came(&padded_decoder, tt_span_of(small, sizeof(small)), 1400);
}

static void test_a_broken_prefix_is_never_forgiven(void **state)
{
    (void)state;
    static const uint8_t wire[] = "\300\200\200\1a";
    struct tt_span in = tt_span_of(wire, sizeof(wire) - 1);
    struct tt_span packet;
    struct tt_padded_decap d;
    assert_int_equal(tt_padded_decap_init(&d, MAX_PACKET, &tt_alloc_malloc), TT_OK);
    assert_int_equal(tt_padded_decap_next(&d, &in, &packet), TT_E_TOO_LONG);
    assert_int_equal(tt_padded_decap_next(&d, &in, &packet), TT_E_TOO_LONG);
    tt_padded_decap_dispose(&d);
}

static void test_limits_outside_the_length_field_are_refused(void **state)
{
    (void)state;
    struct tt_padded_decap d;
    assert_int_equal(tt_padded_decap_init(&d, 0, &tt_alloc_malloc), TT_E_INVAL);
    assert_int_equal(tt_padded_decap_init(&d, 1048576, &tt_alloc_malloc), TT_E_INVAL);
    assert_int_equal(tt_padded_decap_init(&d, 1048575, &tt_alloc_malloc), TT_OK);
    tt_padded_decap_dispose(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_packets_come_out_however_the_stream_is_cut),
        cmocka_unit_test(test_every_refused_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(test_the_vectors_are_decoded),
        cmocka_unit_test(test_prefixes_are_those_of_the_vectors),
        cmocka_unit_test(test_padding_is_that_of_the_vectors),
        cmocka_unit_test(test_padding_of_every_total_is_skipped_to_its_end),
        cmocka_unit_test(test_the_room_for_a_packet_is_exact),
        cmocka_unit_test(test_a_packet_of_every_prefix_length_survives_the_round_trip),
        cmocka_unit_test(test_an_announcement_buys_no_memory),
        cmocka_unit_test(test_a_broken_prefix_is_never_forgiven),
        cmocka_unit_test(test_limits_outside_the_length_field_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
