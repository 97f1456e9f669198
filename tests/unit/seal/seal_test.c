/* DATA packets (sealed.md M-9, M-14, M-15). */
#include "core/seal/seal.h"

#include <turbotunnel/error.h>

#include "core/seal/keys.h"
#include "seal/data_packets.h"
#include "test.h"

#define MOST 2048u

static const uint8_t key[TT_KEY_LEN] = "a carrier's key, of 32 bytes ...";

static int fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    memset(out, 7, len);
    return TT_OK;
}

static uint64_t wall_s(void *ctx)
{
    (void)ctx;
    return 0;
}

static struct tt_sealer open_sealer(void)
{
    struct tt_sealer s;
    const struct tt_random random = {.fill = fill};
    assert_int_equal(tt_sealer_init(&s, &random, wall_s, NULL), TT_OK);
    return s;
}

/* A packet with that plaintext, whatever it is; returns its length. */
static size_t seal_plain(struct tt_sealer *s, const struct tt_sealed_header *h,
                         struct tt_span plain, uint8_t out[MOST])
{
    tt_put_be32(out, UINT32_C(3) << 24 | h->carrier);
    tt_put_be32(out + 4, h->counter);
    if (plain.len > 0)
        memcpy(out + 8, plain.ptr, plain.len);
    assert_int_equal(
        tt_crypto_seal(s->crypto, key, h->counter, tt_span_of(out, 8), out + 8, plain.len), TT_OK);
    return 8 + plain.len + TT_TAG_LEN;
}

static void test_what_was_sealed_opens(void **state)
{
    (void)state;
    struct tt_sealer s = open_sealer();
    const struct tt_sealed_header h = {.carrier = 0x123456, .counter = UINT32_MAX - 1};
    for (uint32_t len = 0; len < 1500; len += len < 40 ? 1 : 97) {
        uint8_t packet[MOST];
        struct tt_sealed_header read;
        struct tt_span plain;
        for (uint32_t i = 0; i < len; i++)
            packet[9 + i] = (uint8_t)i;
        assert_int_equal(tt_sealed_data_write(&s, key, &h, 0x45, packet, len), TT_OK);
        const struct tt_span sealed = tt_span_of(packet, len + TT_SEALED_OVERHEAD);
        assert_true(tt_sealed_header_read(&read, sealed));
        assert_int_equal(read.carrier, h.carrier);
        assert_int_equal(read.counter, h.counter);
        assert_int_equal(tt_sealed_data_read(&s, key, &read, sealed, &plain), TT_OK);
        assert_int_equal(plain.len, len + 1);
        assert_int_equal(plain.ptr[0], 0x45);
        for (uint32_t i = 0; i < len; i++)
            assert_int_equal(plain.ptr[1 + i], (uint8_t)i);
    }
    tt_sealer_dispose(&s);
}

static void test_no_bit_can_be_turned_round(void **state)
{
    (void)state;
    struct tt_sealer s = open_sealer();
    const struct tt_sealed_header h = {.carrier = 1, .counter = 2};
    uint8_t sealed[MOST];
    const size_t len = seal_plain(&s, &h, tt_span_of(BYTES("\2token678")), sealed);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        uint8_t packet[MOST];
        struct tt_sealed_header read;
        struct tt_span plain;
        memcpy(packet, sealed, len);
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (tt_sealed_header_read(&read, tt_span_of(packet, len)))
            assert_int_equal(tt_sealed_data_read(&s, key, &read, tt_span_of(packet, len), &plain),
                             TT_E_PROTO);
        else
            assert_true(bit < 8);
    }
    tt_sealer_dispose(&s);
}

static void test_what_is_no_data_packet(void **state)
{
    (void)state;
    uint8_t packet[TT_SEALED_OVERHEAD] = {0};
    struct tt_sealed_header h;
    for (unsigned type = 0; type < 256; type++) {
        packet[0] = (uint8_t)type;
        for (size_t len = 0; len <= sizeof(packet); len++)
            assert_int_equal(tt_sealed_header_read(&h, tt_span_of(packet, len)),
                             type == TT_SEALED_DATA && len == sizeof(packet));
    }
}

/* --- padding (M-14) --- */

static const struct {
    const char *name;
    const uint8_t *plain;
    size_t len;
    const uint8_t *opened; /* NULL: it does not open */
    size_t opened_len;
} padded[] = {
    {"a kind alone", BYTES("\5"), BYTES("\5")},
    {"the bit alone", BYTES("\x85"), NULL, 0},
    {"half a length", BYTES("\x85\0"), NULL, 0},
    {"no padding, and its length", BYTES("\x85\0\0"), BYTES("\5")},
    {"more than there is, by one", BYTES("\x85\0\1"), NULL, 0},
    {"as much as there is",
     BYTES("\x85"
           "x\0\1"),
     BYTES("\5")},
    {"less",
     BYTES("\x85"
           "ax\0\1"),
     BYTES("\5"
           "a")},
    {"none behind a body",
     BYTES("\x85"
           "abc\0\0"),
     BYTES("\5"
           "abc")},
    {"the most that there could be",
     BYTES("\x85"
           "abc\xff\xff"),
     NULL, 0},
    {"of a KCP datagram",
     BYTES("\x80"
           "abcxx\0\2"),
     BYTES("\0"
           "abc")},
    {"the highest kind",
     BYTES("\xff"
           "x\0\1"),
     BYTES("\x7f")},
    {"the kind into it",
     BYTES("\x85"
           "ab\0\3"),
     NULL, 0},
    {"without the bit",
     BYTES("\5"
           "x\0\1"),
     BYTES("\5"
           "x\0\1")},
};

static void test_padding_is_taken_off(void **state)
{
    (void)state;
    struct tt_sealer s = open_sealer();
    const struct tt_sealed_header h = {.carrier = 9, .counter = 1};
    for (unsigned i = 0; i < ARRAY_LEN(padded); i++) {
        uint8_t packet[MOST];
        struct tt_span plain;
        const size_t len = seal_plain(&s, &h, tt_span_of(padded[i].plain, padded[i].len), packet);
        const int err = tt_sealed_data_read(&s, key, &h, tt_span_of(packet, len), &plain);
        assert_int_equal(err, padded[i].opened ? TT_OK : TT_E_PROTO);
        if (err)
            continue;
        assert_int_equal(plain.len, padded[i].opened_len);
        assert_memory_equal(plain.ptr, padded[i].opened, plain.len);
    }
    tt_sealer_dispose(&s);
}

/* --- bytes of another implementation --- */

static void check_packet(void *env, const struct tt_keys *k, const struct data_packet *p)
{
    struct tt_sealer *s = env;
    uint8_t packet[MOST];
    uint8_t carrier_key[TT_KEY_LEN];
    struct tt_sealed_header h;
    struct tt_span plain;
    assert_int_equal(tt_keys_of_carrier(k, s->crypto, p->carrier, carrier_key), TT_OK);
    if (p->padding == 0) { /* we write none */
        if (p->body.len > 0)
            memcpy(packet + 9, p->body.ptr, p->body.len);
        h = (struct tt_sealed_header){.carrier = p->carrier, .counter = p->counter};
        assert_int_equal(
            tt_sealed_data_write(s, carrier_key, &h, p->kind, packet, (uint32_t)p->body.len),
            TT_OK);
        assert_int_equal(p->packet.len, p->body.len + TT_SEALED_OVERHEAD);
        assert_memory_equal(packet, p->packet.ptr, p->packet.len);
    }
    memcpy(packet, p->packet.ptr, p->packet.len);
    const struct tt_span sealed = tt_span_of(packet, p->packet.len);
    assert_true(tt_sealed_header_read(&h, sealed));
    assert_int_equal(h.carrier, p->carrier);
    assert_int_equal(h.counter, p->counter);
    assert_int_equal(tt_sealed_data_read(s, carrier_key, &h, sealed, &plain), TT_OK);
    assert_int_equal(plain.len, 1 + p->body.len);
    assert_int_equal(plain.ptr[0], p->kind);
    if (p->body.len > 0)
        assert_memory_equal(plain.ptr + 1, p->body.ptr, p->body.len);
}

static void test_packets_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct tt_sealer s = open_sealer();
    assert_int_equal(check_data_packets(check_packet, &s), 9);
    tt_sealer_dispose(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_sealed_opens),
        cmocka_unit_test(test_no_bit_can_be_turned_round),
        cmocka_unit_test(test_what_is_no_data_packet),
        cmocka_unit_test(test_padding_is_taken_off),
        cmocka_unit_test(test_packets_are_those_of_the_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
