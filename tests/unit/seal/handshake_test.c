/* Both handshakes, client and server against each other, and what must not open (sealed.md M-1 to
 * M-3).
 */
#include "core/seal/handshake.h"

#include <turbotunnel/error.h>

#include "test.h"

struct ends {
    struct tt_sealer sealer;
    uint64_t seed;
    uint64_t wall_s;
    bool no_random;
    struct tt_client_keys client;
    struct tt_server_keys server;
    struct tt_session_id id;
    struct tt_noise near, far; /* the client's, the server's */
    uint8_t init[TT_HANDSHAKE_MAX], response[TT_HANDSHAKE_MAX];
    uint32_t init_len, response_len;
    struct tt_parameters heard; /* by the server */
    struct tt_secrets secrets;  /* the server's */
};

static int fill(void *ctx, void *out, size_t len)
{
    struct ends *e = ctx;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)test_random(&e->seed);
    return e->no_random ? TT_E_SYSTEM : TT_OK;
}

static uint64_t wall_s(void *ctx)
{
    const struct ends *e = ctx;
    return e->wall_s;
}

static void make_pair(struct ends *e, uint8_t *private_key, uint8_t *public_key)
{
    (void)fill(e, private_key, TT_KEY_LEN);
    assert_int_equal(tt_crypto_public(e->sealer.crypto, private_key, public_key), TT_OK);
}

static void open_ends(struct ends *e, bool identity)
{
    const struct tt_random random = {.fill = fill, .ctx = e};
    memset(e, 0, sizeof(*e));
    e->wall_s = 1790000000;
    assert_int_equal(tt_sealer_init(&e->sealer, &random, wall_s, e), TT_OK);
    make_pair(e, e->server.private_key, e->server.public_key);
    memcpy(e->client.server_public, e->server.public_key, TT_KEY_LEN);
    make_pair(e, e->client.private_key, e->client.public_key);
    e->client.has_identity = identity;
    memcpy(e->server.instance, "instance", TT_INSTANCE_LEN);
    memcpy(e->id.bytes, "session1", TT_SESSION_ID_LEN);
}

static void close_ends(struct ends *e)
{
    tt_sealer_dispose(&e->sealer);
}

static bool is_wiped(const struct tt_noise *n)
{
    static const struct tt_noise zero;
    return memcmp(n, &zero, sizeof(zero)) == 0;
}

static void write_init(struct ends *e, const uint8_t *resume)
{
    assert_int_equal(
        tt_init_write(&e->near, &e->sealer, &e->client, &e->id, resume, e->init, &e->init_len),
        TT_OK);
}

/* As the server does it. Returns 0 or why it did not open. */
static int hear_init(struct ends *e, const struct tt_session_id *id, struct tt_span packet)
{
    struct tt_span rest;
    const int err = tt_init_read(&e->far, &e->sealer, &e->server, id, packet, &rest);
    return err ? err : tt_init_accept(&e->far, &e->sealer, rest, &e->heard);
}

static struct tt_span init_of(const struct ends *e)
{
    return tt_span_of(e->init, e->init_len);
}

static struct tt_span response_of(const struct ends *e)
{
    return tt_span_of(e->response, e->response_len);
}

static void exchange(struct ends *e, const uint8_t *resume, uint8_t state)
{
    write_init(e, resume);
    assert_int_equal(hear_init(e, &e->id, init_of(e)), TT_OK);
    assert_int_equal(tt_response_write(&e->far, &e->sealer, &e->server, state, e->response,
                                       &e->response_len, &e->secrets),
                     TT_OK);
    assert_true(is_wiped(&e->far));
}

static void test_both_ends_have_the_same_secrets(void **state)
{
    (void)state;
    for (unsigned identity = 0; identity < 2; identity++) {
        struct ends e;
        struct tt_parameters said;
        struct tt_secrets secrets;
        open_ends(&e, identity);
        write_init(&e, NULL);
        assert_int_equal(tt_init_pattern(init_of(&e)), identity ? TT_NOISE_IK : TT_NOISE_NK);
        assert_memory_equal(tt_init_ephemeral(init_of(&e)), e.init + 4, TT_KEY_LEN);
        struct tt_span rest;
        assert_int_equal(tt_init_read(&e.far, &e.sealer, &e.server, &e.id, init_of(&e), &rest),
                         TT_OK);
        if (identity)
            assert_memory_equal(e.far.remote_static, e.client.public_key, TT_KEY_LEN);
        exchange(&e, NULL, 0);
        assert_true(e.response_len <= e.init_len); /* M-5 */
        assert_int_equal(e.heard.time_s, e.wall_s);
        assert_false(e.heard.has_resume);
        assert_int_equal(tt_response_read(&e.near, &e.sealer, response_of(&e), &said, &secrets),
                         TT_OK);
        assert_true(is_wiped(&e.near));
        assert_memory_equal(said.instance, e.server.instance, TT_INSTANCE_LEN);
        assert_int_equal(said.state, 0);
        assert_memory_equal(&secrets, &e.secrets, sizeof(secrets));
        assert_memory_not_equal(secrets.up, secrets.down, TT_KEY_LEN);
        close_ends(&e);
    }
}

static void test_a_question_and_its_answers(void **state)
{
    (void)state;
    for (uint8_t answer = TT_SEAL_KNOWN; answer <= TT_SEAL_FULL; answer++) {
        struct ends e;
        struct tt_parameters said;
        open_ends(&e, answer == TT_SEAL_KNOWN);
        exchange(&e, (const uint8_t *)"resumeit", answer);
        assert_true(e.response_len <= e.init_len);
        assert_true(e.heard.has_resume);
        assert_memory_equal(e.heard.resume, "resumeit", TT_RESUME_LEN);
        assert_int_equal(tt_response_read(&e.near, &e.sealer, response_of(&e), &said, NULL), TT_OK);
        assert_true(is_wiped(&e.near));
        assert_int_equal(said.state, answer);
        close_ends(&e);
    }
}

/* The ephemeral keys are fresh: so is everything else. */
static void test_no_two_handshakes_are_alike(void **state)
{
    (void)state;
    struct ends e;
    open_ends(&e, true);
    exchange(&e, NULL, 0);
    const struct ends before = e;
    exchange(&e, NULL, 0);
    assert_memory_not_equal(before.init + 4, e.init + 4, TT_KEY_LEN);
    assert_memory_not_equal(before.response + 4, e.response + 4, TT_KEY_LEN);
    assert_memory_not_equal(before.secrets.up, e.secrets.up, TT_KEY_LEN);
    assert_memory_not_equal(before.secrets.down, e.secrets.down, TT_KEY_LEN);
    assert_memory_not_equal(before.secrets.h, e.secrets.h, TT_HASH_LEN);
    close_ends(&e);
}

/* --- what does not open --- */

static void test_any_bit_of_an_init_that_is_turned_round(void **state)
{
    (void)state;
    for (unsigned identity = 0; identity < 2; identity++) {
        struct ends e;
        open_ends(&e, identity);
        write_init(&e, NULL);
        for (uint32_t bit = 0; bit < 8 * e.init_len; bit += bit < 64 ? 1 : 5) {
            uint8_t packet[TT_HANDSHAKE_MAX];
            memcpy(packet, e.init, e.init_len);
            packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (bit == 8 * 35 + 7) /* X25519 does not look at that one, but the hash does */
                assert_int_equal(tt_init_pattern(tt_span_of(packet, e.init_len)),
                                 tt_init_pattern(init_of(&e)));
            assert_int_equal(hear_init(&e, &e.id, tt_span_of(packet, e.init_len)), TT_E_PROTO);
            assert_true(bit < 32 || is_wiped(&e.far)); /* of another header nothing is begun */
        }
        for (uint32_t len = 0; len < e.init_len; len++)
            assert_int_equal(hear_init(&e, &e.id, tt_span_of(e.init, len)), TT_E_PROTO);
        assert_int_equal(hear_init(&e, &e.id, init_of(&e)), TT_OK);
        close_ends(&e);
    }
}

static void test_any_bit_of_a_response_that_is_turned_round(void **state)
{
    (void)state;
    for (unsigned identity = 0; identity < 2; identity++) {
        struct ends e;
        struct tt_parameters said;
        struct tt_secrets secrets;
        open_ends(&e, identity);
        exchange(&e, NULL, 0);
        const struct tt_noise before = e.near;
        for (uint32_t bit = 0; bit < 8 * e.response_len; bit++) {
            uint8_t packet[TT_HANDSHAKE_MAX];
            memcpy(packet, e.response, e.response_len);
            packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(tt_response_read(&e.near, &e.sealer,
                                              tt_span_of(packet, e.response_len), &said, &secrets),
                             TT_E_PROTO);
            assert_memory_equal(&e.near, &before, sizeof(before));
        }
        for (uint32_t len = 0; len < e.response_len; len++)
            assert_int_equal(
                tt_response_read(&e.near, &e.sealer, tt_span_of(e.response, len), &said, &secrets),
                TT_E_PROTO);
        assert_int_equal(tt_response_read(&e.near, &e.sealer, response_of(&e), &said, &secrets),
                         TT_OK);
        close_ends(&e);
    }
}

/* M-2: the session's ID and the header are part of what both have seen. */
static void test_a_prologue_of_another_session(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < TT_SESSION_ID_LEN; byte++) {
        struct ends e;
        open_ends(&e, byte % 2);
        write_init(&e, NULL);
        struct tt_session_id other = e.id;
        other.bytes[byte] ^= 1;
        assert_int_equal(hear_init(&e, &other, init_of(&e)), TT_E_PROTO);
        assert_int_equal(hear_init(&e, &e.id, init_of(&e)), TT_OK);
        close_ends(&e);
    }
}

static void test_keys_of_somebody_else(void **state)
{
    (void)state;
    struct ends e;
    struct tt_parameters said;
    open_ends(&e, false);
    write_init(&e, NULL);
    const struct tt_server_keys right = e.server;
    make_pair(&e, e.server.private_key, e.server.public_key);
    assert_int_equal(hear_init(&e, &e.id, init_of(&e)), TT_E_PROTO);
    e.server = right;
    exchange(&e, NULL, 0);
    struct tt_noise other = e.near; /* another client's question */
    (void)fill(&e, other.ephemeral, TT_KEY_LEN);
    assert_int_equal(tt_response_read(&other, &e.sealer, response_of(&e), &said, NULL), TT_E_PROTO);
    close_ends(&e);
}

/* A key with which everybody gets the same secret. */
static void test_a_key_that_is_zero(void **state)
{
    (void)state;
    struct ends e;
    struct tt_parameters said;
    open_ends(&e, false);
    write_init(&e, NULL);
    memset(e.init + 4, 0, TT_KEY_LEN);
    assert_int_equal(hear_init(&e, &e.id, init_of(&e)), TT_E_PROTO);
    exchange(&e, NULL, 0);
    memset(e.response + 4, 0, TT_KEY_LEN);
    assert_int_equal(tt_response_read(&e.near, &e.sealer, response_of(&e), &said, NULL),
                     TT_E_PROTO);
    memset(e.client.server_public, 0, TT_KEY_LEN);
    assert_int_equal(tt_init_write(&e.near, &e.sealer, &e.client, &e.id, NULL, e.init, &e.init_len),
                     TT_E_PROTO);
    assert_true(is_wiped(&e.near));
    close_ends(&e);
}

/* --- parameters that make no sense, in a message that opens --- */

static const struct {
    const char *name;
    const uint8_t *payload;
    size_t len;
} payloads[] = {
    {"none", BYTES("")},
    {"without what must be there", BYTES("\0\2\0\0")},
    {"cut", BYTES("\4\x8instanc")},
    {"one that must be understood", BYTES("\4\x8instance\x80\0")},
    {"doubled", BYTES("\4\x8instance\4\x8instance")},
};

static void test_parameters_of_a_response_that_make_no_sense(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(payloads); i++) {
        struct ends e;
        struct tt_parameters said;
        struct tt_secrets secrets;
        uint8_t ephemeral[TT_KEY_LEN];
        size_t len;
        open_ends(&e, i % 2);
        exchange(&e, NULL, 0);
        assert_int_equal(hear_init(&e, &e.id, init_of(&e)), TT_OK);
        uint8_t wrong[TT_HANDSHAKE_MAX] = {TT_SEALED_RESPONSE};
        (void)fill(&e, ephemeral, sizeof(ephemeral));
        assert_int_equal(tt_noise_write_response(&e.far, e.sealer.crypto, ephemeral,
                                                 tt_span_of(payloads[i].payload, payloads[i].len),
                                                 wrong + TT_SEALED_HEADER, &len),
                         TT_OK);
        const struct tt_noise before = e.near;
        assert_int_equal(tt_response_read(&e.near, &e.sealer,
                                          tt_span_of(wrong, TT_SEALED_HEADER + len), &said,
                                          &secrets),
                         TT_E_PROTO);
        assert_memory_equal(&e.near, &before, sizeof(before));
        assert_int_equal(tt_response_read(&e.near, &e.sealer, response_of(&e), &said, &secrets),
                         TT_OK);
        close_ends(&e);
    }
}

static void test_parameters_of_an_init_that_make_no_sense(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(payloads); i++) {
        struct ends e;
        uint8_t prologue[20 + 4 + 8] = "turbotunnel sealed 1\1\1\1";
        uint8_t ephemeral[TT_KEY_LEN];
        size_t len;
        open_ends(&e, false);
        memcpy(prologue + 24, e.id.bytes, TT_SESSION_ID_LEN);
        memcpy(e.init, prologue + 20, 4);
        (void)fill(&e, ephemeral, sizeof(ephemeral));
        const struct tt_noise_keys keys = {.pattern = TT_NOISE_NK,
                                           .prologue = tt_span_of(prologue, sizeof(prologue)),
                                           .server_public = e.server.public_key};
        assert_int_equal(tt_noise_write_init(&e.near, e.sealer.crypto, &keys, ephemeral,
                                             tt_span_of(payloads[i].payload, payloads[i].len),
                                             e.init + TT_SEALED_HEADER, &len),
                         TT_OK);
        assert_int_equal(hear_init(&e, &e.id, tt_span_of(e.init, TT_SEALED_HEADER + len)),
                         TT_E_PROTO);
        assert_true(is_wiped(&e.far));
        close_ends(&e);
    }
}

/* Everybody knows the keys of a state that was wiped: with it nothing opens. */
static void test_a_state_that_was_wiped_opens_nothing(void **state)
{
    (void)state;
    struct ends e;
    struct tt_noise zero = {.nonce = 0}, forger = {.nonce = 0};
    struct tt_parameters said;
    struct tt_secrets secrets;
    uint8_t ephemeral[TT_KEY_LEN];
    size_t len;
    open_ends(&e, false);
    static const uint8_t no_key[TT_KEY_LEN];
    assert_int_equal(tt_crypto_public(e.sealer.crypto, no_key, forger.remote_ephemeral), TT_OK);
    (void)fill(&e, ephemeral, sizeof(ephemeral));
    uint8_t packet[TT_HANDSHAKE_MAX] = {TT_SEALED_RESPONSE};
    assert_int_equal(tt_noise_write_response(&forger, e.sealer.crypto, ephemeral,
                                             tt_span_of(BYTES("\4\x8instance")),
                                             packet + TT_SEALED_HEADER, &len),
                     TT_OK);
    assert_int_equal(tt_response_read(&zero, &e.sealer, tt_span_of(packet, TT_SEALED_HEADER + len),
                                      &said, &secrets),
                     TT_E_PROTO);
    close_ends(&e);
}

static void test_without_random_bytes_there_is_no_handshake(void **state)
{
    (void)state;
    struct ends e;
    open_ends(&e, false);
    write_init(&e, NULL);
    assert_int_equal(hear_init(&e, &e.id, init_of(&e)), TT_OK);
    e.no_random = true;
    assert_int_equal(
        tt_response_write(&e.far, &e.sealer, &e.server, 0, e.response, &e.response_len, NULL),
        TT_E_SYSTEM);
    assert_int_equal(tt_init_write(&e.near, &e.sealer, &e.client, &e.id, NULL, e.init, &e.init_len),
                     TT_E_SYSTEM);
    close_ends(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ends_have_the_same_secrets),
        cmocka_unit_test(test_a_question_and_its_answers),
        cmocka_unit_test(test_no_two_handshakes_are_alike),
        cmocka_unit_test(test_any_bit_of_an_init_that_is_turned_round),
        cmocka_unit_test(test_any_bit_of_a_response_that_is_turned_round),
        cmocka_unit_test(test_a_prologue_of_another_session),
        cmocka_unit_test(test_keys_of_somebody_else),
        cmocka_unit_test(test_a_key_that_is_zero),
        cmocka_unit_test(test_parameters_of_a_response_that_make_no_sense),
        cmocka_unit_test(test_parameters_of_an_init_that_make_no_sense),
        cmocka_unit_test(test_a_state_that_was_wiped_opens_nothing),
        cmocka_unit_test(test_without_random_bytes_there_is_no_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
