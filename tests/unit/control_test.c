#include "core/control.h"

#include <stdlib.h>

#include <turbotunnel/error.h>

#include "test.h"
#include "vector_file.h"

/* --- native.md section 1, once more --- */

static const struct {
    const char *name;
    unsigned type;
    size_t len; /* with all of its fields */
} types[] = {
    {"hello", 0x01, 10}, {"ping", 0x02, 9},  {"pong", 0x03, 9},
    {"close", 0x04, 2},  {"state", 0x05, 6}, {"limit", 0x06, 7},
};

#define FIELD(type, name, member, at, width)                                                       \
    {                                                                                              \
        type, name, offsetof(struct tt_control, member), sizeof(((struct tt_control *)0)->member), \
            at, width                                                                              \
    }

static const struct field {
    unsigned type;
    const char *name;
    size_t offset, size; /* in struct tt_control */
    size_t at, width;    /* in the packet */
} fields[] = {
    FIELD(0x01, "version", hello.version, 1, 1), FIELD(0x01, "max_packet", hello.max_packet, 2, 2),
    FIELD(0x01, "flags", hello.flags, 4, 2),     FIELD(0x01, "carrier", hello.carrier, 6, 4),
    FIELD(0x04, "reason", reason, 1, 1),         FIELD(0x05, "carrier", state.carrier, 1, 4),
    FIELD(0x05, "state", state.state, 5, 1),     FIELD(0x06, "bytes", limit.bytes, 1, 4),
    FIELD(0x06, "seconds", limit.seconds, 5, 2),
};

static bool has_token(unsigned type)
{
    return type == 0x02 || type == 0x03;
}

static uint32_t number_in(const struct tt_control *c, const struct field *f)
{
    const uint8_t *at = (const uint8_t *)c + f->offset;
    uint16_t half;
    uint32_t whole;
    if (f->size == 1)
        return *at;
    if (f->size == 2) {
        memcpy(&half, at, sizeof(half));
        return half;
    }
    assert_int_equal(f->size, 4);
    memcpy(&whole, at, sizeof(whole));
    return whole;
}

static uint32_t number_on_the_wire(const uint8_t *packet, const struct field *f)
{
    uint32_t n = 0;
    for (size_t i = 0; i < f->width; i++)
        n = n * 256 + packet[f->at + i];
    return n;
}

/* The length that a packet of the type has, 0: none is defined. */
static size_t length_of(unsigned type)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].type == type)
            return types[i].len;
    return 0;
}

static int verdict(const uint8_t *packet, size_t len)
{
    if (len == 0)
        return TT_E_AGAIN;
    if (packet[0] >= 128)
        return TT_E_PROTO;
    if (length_of(packet[0]) == 0)
        return TT_E_AGAIN;
    return len < length_of(packet[0]) ? TT_E_PROTO : TT_OK;
}

/* --- what is read and written is what the page says --- */

/* Reads from memory of exactly that size, so that a sanitizer sees who reads past it. */
static int read_exactly(struct tt_control *c, const uint8_t *packet, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (!copy)
        abort();
    memcpy(copy, packet, len);
    const int err = tt_control_read(c, tt_span_of(copy, len));
    free(copy);
    return err;
}

/* It is written as those bytes, and nothing is written behind them. */
static void check_written(const struct tt_control *c, const uint8_t *packet, size_t len)
{
    uint8_t out[TT_CONTROL_MAX + 1];
    memset(out, 0xee, sizeof(out));
    assert_int_equal(tt_control_write(out, c), len);
    assert_memory_equal(out, packet, len);
    for (size_t i = len; i < sizeof(out); i++)
        assert_int_equal(out[i], 0xee);
}

static void check_fields(const struct tt_control *c, const uint8_t *packet)
{
    assert_int_equal(c->type, packet[0]);
    if (has_token(packet[0]))
        assert_memory_equal(c->token, packet + 1, 8);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct field *f = &fields[i];
        if (f->type != packet[0])
            continue;
        assert_int_equal(f->size, f->width);
        if (number_in(c, f) != number_on_the_wire(packet, f))
            fail_msg("type %u: %s is %u", packet[0], f->name, number_in(c, f));
    }
}

static void check_read(const uint8_t *packet, size_t len)
{
    struct tt_control c;
    struct tt_control before;
    memset(&c, 0xa5, sizeof(c));
    memset(&before, 0xa5, sizeof(before));
    const int err = read_exactly(&c, packet, len);
    if (err != verdict(packet, len))
        fail_msg("type %u, %u bytes: got %s", len > 0 ? packet[0] : 0u, (unsigned)len,
                 tt_error_name(err));
    if (err) {
        assert_memory_equal(&c, &before, sizeof(c));
        return;
    }
    check_fields(&c, packet);
    check_written(&c, packet, length_of(packet[0]));
}

/* --- tests --- */

static const struct {
    const char *name;
    struct tt_control c;
    const uint8_t *wire;
    size_t len;
} cases[] = {
    {"HELLO of zeroes", {.type = TT_CONTROL_HELLO}, BYTES("\1\0\0\0\0\0\0\0\0\0")},
    {"HELLO, every byte in its place",
     {.type = TT_CONTROL_HELLO, .hello = {0xf1, 0xf2f3, 0xf4f5, 0xf6f7f8f9}},
     BYTES("\1\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9")},
    {"HELLO, the largest",
     {.type = TT_CONTROL_HELLO, .hello = {UINT8_MAX, UINT16_MAX, UINT16_MAX, UINT32_MAX}},
     BYTES("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"HELLO, no drops",
     {.type = TT_CONTROL_HELLO, .hello = {TT_CONTROL_VERSION, 576, TT_HELLO_NO_DROPS, 0}},
     BYTES("\1\1\2\x40\0\x01\0\0\0\0")},
    {"HELLO, resumed",
     {.type = TT_CONTROL_HELLO, .hello = {TT_CONTROL_VERSION, 576, TT_HELLO_RESUMED, 0}},
     BYTES("\1\1\2\x40\0\x04\0\0\0\0")},
    {"HELLO, unknown",
     {.type = TT_CONTROL_HELLO, .hello = {TT_CONTROL_VERSION, 576, TT_HELLO_UNKNOWN, 0}},
     BYTES("\1\1\2\x40\0\x08\0\0\0\0")},
    {"HELLO, reset",
     {.type = TT_CONTROL_HELLO, .hello = {TT_CONTROL_VERSION, 576, TT_HELLO_RESET, 0}},
     BYTES("\1\1\2\x40\0\x10\0\0\0\0")},
    {"PING",
     {.type = TT_CONTROL_PING, .token = {1, 2, 3, 4, 5, 6, 7, 8}},
     BYTES("\2\1\2\3\4\5\6\7\10")},
    {"PONG",
     {.type = TT_CONTROL_PONG, .token = {0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8}},
     BYTES("\3\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8")},
    {"CLOSE, done", {.type = TT_CONTROL_CLOSE, .reason = TT_CLOSE_DONE}, BYTES("\4\1")},
    {"CLOSE, aborted", {.type = TT_CONTROL_CLOSE, .reason = TT_CLOSE_ABORT}, BYTES("\4\2")},
    {"CLOSE, the largest", {.type = TT_CONTROL_CLOSE, .reason = UINT8_MAX}, BYTES("\4\xff")},
    {"STATE, active",
     {.type = TT_CONTROL_STATE, .state = {0xf1f2f3f4, TT_PEER_ACTIVE}},
     BYTES("\5\xf1\xf2\xf3\xf4\1")},
    {"STATE, standby",
     {.type = TT_CONTROL_STATE, .state = {0, TT_PEER_STANDBY}},
     BYTES("\5\0\0\0\0\2")},
    {"STATE, draining",
     {.type = TT_CONTROL_STATE, .state = {1, TT_PEER_DRAINING}},
     BYTES("\5\0\0\0\1\3")},
    {"STATE, gone",
     {.type = TT_CONTROL_STATE, .state = {UINT32_MAX, TT_PEER_GONE}},
     BYTES("\5\xff\xff\xff\xff\4")},
    {"LIMIT, every byte in its place",
     {.type = TT_CONTROL_LIMIT, .limit = {0xf1f2f3f4, 0xf5f6}},
     BYTES("\6\xf1\xf2\xf3\xf4\xf5\xf6")},
    {"LIMIT, none", {.type = TT_CONTROL_LIMIT}, BYTES("\6\0\0\0\0\0\0")},
};

static void test_every_type_is_written_byte_for_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t out[TT_CONTROL_MAX];
        const size_t len = tt_control_write(out, &cases[i].c);
        if (len != cases[i].len || memcmp(out, cases[i].wire, len) != 0)
            fail_msg("%s is written wrongly", cases[i].name);
        check_written(&cases[i].c, cases[i].wire, cases[i].len);
    }
}

static void test_what_was_written_is_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tt_control c;
        if (read_exactly(&c, cases[i].wire, cases[i].len) != TT_OK)
            fail_msg("%s is not read", cases[i].name);
        check_fields(&c, cases[i].wire);
        check_fields(&cases[i].c, cases[i].wire);
    }
}

/* unknown, reserved, cut, too long. */
static void test_any_type_of_any_length_is_read_ignored_or_refused(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (unsigned type = 0; type < 256; type++) {
        for (size_t len = 0; len <= TT_CONTROL_MAX; len++) {
            uint8_t packet[TT_CONTROL_MAX] = {(uint8_t)type};
            check_read(packet, len);
            for (size_t i = 1; i < len; i++)
                packet[i] = (uint8_t)test_random(&seed);
            check_read(packet, len);
        }
    }
}

static void test_bytes_behind_the_fields_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t longer[2 * TT_CONTROL_MAX];
        memset(longer, 0xff, sizeof(longer));
        memcpy(longer, cases[i].wire, cases[i].len);
        for (size_t len = cases[i].len; len <= sizeof(longer); len++)
            check_read(longer, len);
    }
}

static void test_an_empty_packet_needs_no_memory(void **state)
{
    (void)state;
    struct tt_control c;
    assert_int_equal(tt_control_read(&c, tt_span_of(NULL, 0)), TT_E_AGAIN);
}

static void test_eleven_bytes_are_a_control_packet_and_twelve_are_not(void **state)
{
    (void)state;
    assert_true(tt_is_control(0));
    assert_true(tt_is_control(11));
    assert_false(tt_is_control(12));
    assert_false(tt_is_control(SIZE_MAX));
}

/* --- the vectors --- */

struct vector {
    struct tt_span packet;
    size_t rest;
    int err;
    struct tt_control c;
    size_t checked; /* bytes of the packet that a line spoke of */
};

static int meant(const struct vector_file *v, unsigned *type)
{
    *type = 0;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (vector_value_is(v, types[i].name))
            *type = types[i].type;
    if (*type != 0)
        return TT_OK;
    if (vector_value_is(v, "ignored"))
        return TT_E_AGAIN;
    if (!vector_value_is(v, "ends"))
        fail_msg("%s:%u: no such meaning", v->name, v->line);
    return TT_E_PROTO;
}

static void check_meaning(struct vector *of, const struct vector_file *v)
{
    unsigned type;
    const int wanted = meant(v, &type);
    of->err = tt_control_read(&of->c, of->packet);
    if (of->err != wanted || (of->err == TT_OK && (unsigned)of->c.type != type))
        fail_msg("%s:%u: got %s", v->name, v->line, tt_error_name(of->err));
    if (of->err == TT_OK)
        check_written(&of->c, of->packet.ptr, of->packet.len - of->rest);
    of->checked = of->err == TT_OK ? 1 : of->packet.len;
}

static void check_line(struct vector *of, struct vector_file *v)
{
    if (of->err != TT_OK)
        fail_msg("%s:%u: there is nothing to be read", v->name, v->line);
    if (vector_key_is(v, "token") && has_token(of->c.type)) {
        const struct tt_span token = vector_bytes(v);
        assert_int_equal(token.len, sizeof(of->c.token));
        assert_memory_equal(of->c.token, token.ptr, token.len);
        of->checked += token.len;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (fields[i].type != (unsigned)of->c.type || !vector_key_is(v, fields[i].name))
            continue;
        if (number_in(&of->c, &fields[i]) != vector_number(v))
            fail_msg("%s:%u: got %u", v->name, v->line, number_in(&of->c, &fields[i]));
        of->checked += fields[i].width;
        return;
    }
    fail_msg("%s:%u: no such field", v->name, v->line);
}

static void test_the_vectors_are_read_and_written(void **state)
{
    (void)state;
    struct vector_file v;
    struct vector of = {.rest = 0};
    size_t packets = 0;
    vector_file_open(&v, "control/control.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "case")) {
            assert_int_equal(of.checked + of.rest, of.packet.len);
            of = (struct vector){.rest = 0};
        } else if (vector_key_is(&v, "packet")) {
            of.packet = vector_bytes(&v);
            packets++;
        } else if (vector_key_is(&v, "rest")) {
            of.rest = (size_t)vector_number(&v);
        } else if (vector_key_is(&v, "means")) {
            check_meaning(&of, &v);
        } else {
            check_line(&of, &v);
        }
    }
    assert_int_equal(of.checked + of.rest, of.packet.len);
    vector_file_close(&v);
    assert_int_equal(packets, 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_is_written_byte_for_byte),
        cmocka_unit_test(test_what_was_written_is_read_back),
        cmocka_unit_test(test_any_type_of_any_length_is_read_ignored_or_refused),
        cmocka_unit_test(test_bytes_behind_the_fields_change_nothing),
        cmocka_unit_test(test_an_empty_packet_needs_no_memory),
        cmocka_unit_test(test_eleven_bytes_are_a_control_packet_and_twelve_are_not),
        cmocka_unit_test(test_the_vectors_are_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
