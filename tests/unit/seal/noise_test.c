#include "core/seal/noise.h"

#include <turbotunnel/error.h>

#include "test.h"
#include "vector_file.h"

/* One handshake of the vectors; spans into the file. */
struct story {
    struct tt_noise_keys initiator, responder;
    const uint8_t *client_public;
    const uint8_t *initiator_ephemeral, *responder_ephemeral;
    struct tt_span payload1, message1, h1, payload2, message2, up, down, h;
};

struct fixture {
    struct tt_crypto *crypto;
    struct story story;
    struct vector_file v;
};

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    assert_int_equal(tt_crypto_new(&f->crypto), TT_OK);
    vector_file_open(&f->v, "seal/noise.txt");
}

static void close_fixture(struct fixture *f)
{
    vector_file_close(&f->v);
    tt_crypto_free(f->crypto);
}

static void take_number(struct story *s, const struct vector_file *v)
{
    *s = (struct story){0};
    s->initiator.pattern = (enum tt_noise_pattern)vector_number(v);
    s->responder.pattern = s->initiator.pattern;
}

static void take_bytes(struct story *s, const char *key, struct tt_span value)
{
    const struct {
        const char *key;
        const uint8_t **ptr;
        struct tt_span *span;
    } fields[] = {
        {"prologue", NULL, &s->initiator.prologue},
        {"server_private", &s->responder.static_private, NULL},
        {"server_public", &s->initiator.server_public, NULL},
        {"client_private", &s->initiator.static_private, NULL},
        {"client_public", &s->client_public, NULL},
        {"initiator_ephemeral", &s->initiator_ephemeral, NULL},
        {"responder_ephemeral", &s->responder_ephemeral, NULL},
        {"payload1", NULL, &s->payload1},
        {"message1", NULL, &s->message1},
        {"h1", NULL, &s->h1},
        {"payload2", NULL, &s->payload2},
        {"message2", NULL, &s->message2},
        {"up", NULL, &s->up},
        {"down", NULL, &s->down},
        {"h", NULL, &s->h},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(fields[i].key, key) != 0)
            continue;
        if (fields[i].ptr)
            *fields[i].ptr = value.ptr;
        else
            *fields[i].span = value;
        return;
    }
    fail_msg("no such key: %s", key);
}

/* The next handshake of the file; false: there is none. */
static bool next_story(struct fixture *f)
{
    struct story *s = &f->story;
    while (vector_file_next(&f->v)) {
        if (vector_key_is(&f->v, "handshake"))
            continue;
        if (vector_key_is(&f->v, "pattern"))
            take_number(s, &f->v);
        else
            take_bytes(s, f->v.key, vector_bytes(&f->v));
        if (!vector_key_is(&f->v, "h"))
            continue;
        s->responder.prologue = s->initiator.prologue;
        s->responder.server_public = s->initiator.server_public;
        s->initiator.static_public = s->client_public;
        return true;
    }
    return false;
}

static void must_be(struct tt_span expected, const void *got, size_t len)
{
    assert_int_equal(len, expected.len);
    if (len > 0)
        assert_memory_equal(got, expected.ptr, len);
}

static void must_be_wiped(const struct tt_noise *n)
{
    for (size_t i = 0; i < sizeof(*n); i++)
        assert_int_equal(((const uint8_t *)n)[i], 0);
}

static void write_init(struct fixture *f, struct tt_noise *n)
{
    const struct story *s = &f->story;
    uint8_t out[TT_NOISE_MESSAGE_MAX];
    size_t len = 0;
    assert_int_equal(tt_noise_write_init(n, f->crypto, &s->initiator, s->initiator_ephemeral,
                                         s->payload1, out, &len),
                     TT_OK);
    must_be(s->message1, out, len);
    must_be(s->h1, n->h, sizeof(n->h));
}

/* Reads a message 1 to its end. Returns the error of whichever half failed. */
static int read_message(struct fixture *f, struct tt_noise *n, const struct tt_noise_keys *keys,
                        struct tt_span message, uint8_t *payload, size_t *len)
{
    struct tt_span rest;
    const int err = tt_noise_read_init(n, f->crypto, keys, message, &rest);
    return err ? err : tt_noise_accept_init(n, f->crypto, rest, payload, len);
}

static void read_init(struct fixture *f, struct tt_noise *n)
{
    const struct story *s = &f->story;
    uint8_t payload[TT_NOISE_PAYLOAD_MAX];
    struct tt_span rest;
    size_t len = 0;
    assert_int_equal(tt_noise_read_init(n, f->crypto, &s->responder, s->message1, &rest), TT_OK);
    if (s->client_public)
        assert_memory_equal(n->remote_static, s->client_public, TT_KEY_LEN);
    assert_int_equal(rest.len, s->payload1.len + TT_TAG_LEN);
    assert_int_equal(tt_noise_accept_init(n, f->crypto, rest, payload, &len), TT_OK);
    must_be(s->payload1, payload, len);
    must_be(s->h1, n->h, sizeof(n->h));
}

static void write_response(struct fixture *f, struct tt_noise *n)
{
    const struct story *s = &f->story;
    uint8_t out[TT_NOISE_MESSAGE_MAX];
    size_t len = 0;
    assert_int_equal(
        tt_noise_write_response(n, f->crypto, s->responder_ephemeral, s->payload2, out, &len),
        TT_OK);
    must_be(s->message2, out, len);
}

static void read_response(struct fixture *f, struct tt_noise *n)
{
    uint8_t payload[TT_NOISE_PAYLOAD_MAX];
    size_t len = 0;
    assert_int_equal(tt_noise_read_response(n, f->crypto, f->story.message2, payload, &len), TT_OK);
    must_be(f->story.payload2, payload, len);
}

static void split(struct fixture *f, struct tt_noise *n)
{
    uint8_t up[TT_KEY_LEN];
    uint8_t down[TT_KEY_LEN];
    uint8_t h[TT_HASH_LEN];
    assert_int_equal(tt_noise_split(n, f->crypto, up, down, h), TT_OK);
    must_be(f->story.up, up, sizeof(up));
    must_be(f->story.down, down, sizeof(down));
    must_be(f->story.h, h, sizeof(h));
    must_be_wiped(n);
}

static void test_both_ends_say_and_agree_on_what_the_vectors_do(void **state)
{
    (void)state;
    struct fixture f;
    unsigned stories = 0;
    for (open_fixture(&f); next_story(&f); stories++) {
        struct tt_noise initiator;
        struct tt_noise responder;
        write_init(&f, &initiator);
        read_init(&f, &responder);
        write_response(&f, &responder);
        read_response(&f, &initiator);
        split(&f, &initiator);
        split(&f, &responder);
    }
    close_fixture(&f);
    assert_int_equal(stories, 6);
}

static void refuse_init(struct fixture *f, const struct tt_noise_keys *keys, struct tt_span message)
{
    struct tt_noise n;
    uint8_t payload[TT_NOISE_PAYLOAD_MAX];
    size_t len;
    assert_int_equal(read_message(f, &n, keys, message, payload, &len), TT_E_PROTO);
    must_be_wiped(&n);
}

static void test_a_changed_message_1_does_not_open(void **state)
{
    (void)state;
    struct fixture f;
    for (open_fixture(&f); next_story(&f);) {
        uint8_t copy[TT_NOISE_MESSAGE_MAX];
        const struct tt_span message = f.story.message1;
        for (size_t i = 0; i < message.len; i++) {
            memcpy(copy, message.ptr, message.len);
            copy[i] ^= (uint8_t)(1 << i % 7); /* not the top bit of a key, which X25519 ignores */
            refuse_init(&f, &f.story.responder, tt_span_of(copy, message.len));
        }
        for (size_t len = 0; len < message.len; len++)
            refuse_init(&f, &f.story.responder, tt_span_of(message.ptr, len));
    }
    close_fixture(&f);
}

/* Though X25519 ignores it, h does not. */
static void test_the_top_bit_of_the_ephemeral_key_counts(void **state)
{
    (void)state;
    struct fixture f;
    for (open_fixture(&f); next_story(&f);) {
        uint8_t copy[TT_NOISE_MESSAGE_MAX];
        memcpy(copy, f.story.message1.ptr, f.story.message1.len);
        copy[31] ^= 0x80;
        refuse_init(&f, &f.story.responder, tt_span_of(copy, f.story.message1.len));
    }
    close_fixture(&f);
}

static void test_another_prologue_key_or_pattern_does_not_open(void **state)
{
    (void)state;
    static const uint8_t other_key[TT_KEY_LEN] = "another server's private key....";
    struct fixture f;
    for (open_fixture(&f); next_story(&f);) {
        struct tt_noise_keys keys = f.story.responder;
        keys.prologue.len--;
        refuse_init(&f, &keys, f.story.message1);
        keys = f.story.responder;
        keys.static_private = other_key;
        refuse_init(&f, &keys, f.story.message1);
        keys = f.story.responder;
        keys.pattern = keys.pattern == TT_NOISE_NK ? TT_NOISE_IK : TT_NOISE_NK;
        refuse_init(&f, &keys, f.story.message1);
    }
    close_fixture(&f);
}

/* M-2: an ephemeral key with which every secret is zero. */
static void test_all_zero_agreements_do_not_open(void **state)
{
    (void)state;
    static const uint8_t zeroes[TT_NOISE_MESSAGE_MAX];
    struct fixture f;
    for (open_fixture(&f); next_story(&f);) {
        struct tt_noise n;
        struct tt_noise_keys keys = f.story.initiator;
        uint8_t out[TT_NOISE_MESSAGE_MAX];
        size_t len;
        refuse_init(&f, &f.story.responder, tt_span_of(zeroes, f.story.message1.len));
        keys.server_public = zeroes;
        assert_int_equal(tt_noise_write_init(&n, f.crypto, &keys, f.story.initiator_ephemeral,
                                             f.story.payload1, out, &len),
                         TT_E_PROTO);
        must_be_wiped(&n);
        write_init(&f, &n);
        assert_int_equal(tt_noise_read_response(
                             &n, f.crypto, tt_span_of(zeroes, f.story.message2.len), out, &len),
                         TT_E_PROTO);
        read_response(&f, &n);
    }
    close_fixture(&f);
}

static void test_after_a_wrong_message_2_the_right_one_is_read(void **state)
{
    (void)state;
    struct fixture f;
    for (open_fixture(&f); next_story(&f);) {
        struct tt_noise n;
        uint8_t copy[TT_NOISE_MESSAGE_MAX];
        uint8_t payload[TT_NOISE_PAYLOAD_MAX];
        size_t len;
        const struct tt_span message = f.story.message2;
        write_init(&f, &n);
        const struct tt_noise before = n;
        for (size_t i = 0; i < message.len; i++) {
            memcpy(copy, message.ptr, message.len);
            copy[i] ^= (uint8_t)(1 << i % 8);
            assert_int_equal(
                tt_noise_read_response(&n, f.crypto, tt_span_of(copy, message.len), payload, &len),
                TT_E_PROTO);
            assert_int_equal(
                tt_noise_read_response(&n, f.crypto, tt_span_of(message.ptr, i), payload, &len),
                TT_E_PROTO);
            assert_memory_equal(&n, &before, sizeof(n));
        }
        read_response(&f, &n);
        split(&f, &n);
    }
    close_fixture(&f);
}

static void test_more_payload_than_there_may_be(void **state)
{
    (void)state;
    static const uint8_t bytes[TT_NOISE_MESSAGE_MAX + 1];
    const struct tt_span long_payload = tt_span_of(bytes, TT_NOISE_PAYLOAD_MAX + 1);
    struct fixture f;
    for (open_fixture(&f); next_story(&f);) {
        struct tt_noise n;
        uint8_t out[TT_NOISE_MESSAGE_MAX];
        size_t len;
        assert_int_equal(tt_noise_write_init(&n, f.crypto, &f.story.initiator,
                                             f.story.initiator_ephemeral, long_payload, out, &len),
                         TT_E_INVAL);
        must_be_wiped(&n);
        read_init(&f, &n);
        assert_int_equal(tt_noise_write_response(&n, f.crypto, f.story.responder_ephemeral,
                                                 long_payload, out, &len),
                         TT_E_INVAL);
        must_be_wiped(&n);
        refuse_init(&f, &f.story.responder, tt_span_of(bytes, sizeof(bytes)));
        write_init(&f, &n);
        assert_int_equal(
            tt_noise_read_response(&n, f.crypto, tt_span_of(bytes, sizeof(bytes)), out, &len),
            TT_E_PROTO);
    }
    close_fixture(&f);
}

/* IK: somebody who has the public key of a listed client, and not the private one. */
static void test_a_client_that_has_not_its_private_key_is_found_out(void **state)
{
    (void)state;
    static const uint8_t other_key[TT_KEY_LEN] = "not the private key of that one.";
    struct fixture f;
    for (open_fixture(&f); next_story(&f);) {
        struct tt_noise n;
        struct tt_noise_keys keys = f.story.initiator;
        struct tt_span rest;
        uint8_t out[TT_NOISE_MESSAGE_MAX];
        uint8_t payload[TT_NOISE_PAYLOAD_MAX];
        size_t len;
        if (keys.pattern != TT_NOISE_IK)
            continue;
        keys.static_private = other_key;
        assert_int_equal(tt_noise_write_init(&n, f.crypto, &keys, f.story.initiator_ephemeral,
                                             f.story.payload1, out, &len),
                         TT_OK);
        assert_int_equal(
            tt_noise_read_init(&n, f.crypto, &f.story.responder, tt_span_of(out, len), &rest),
            TT_OK);
        assert_memory_equal(n.remote_static, f.story.client_public, TT_KEY_LEN);
        assert_int_equal(tt_noise_accept_init(&n, f.crypto, rest, payload, &len), TT_E_PROTO);
        must_be_wiped(&n);
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ends_say_and_agree_on_what_the_vectors_do),
        cmocka_unit_test(test_a_changed_message_1_does_not_open),
        cmocka_unit_test(test_the_top_bit_of_the_ephemeral_key_counts),
        cmocka_unit_test(test_another_prologue_key_or_pattern_does_not_open),
        cmocka_unit_test(test_all_zero_agreements_do_not_open),
        cmocka_unit_test(test_after_a_wrong_message_2_the_right_one_is_read),
        cmocka_unit_test(test_more_payload_than_there_may_be),
        cmocka_unit_test(test_a_client_that_has_not_its_private_key_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
