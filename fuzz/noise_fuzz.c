/* Both messages of a sealed handshake, as they come from somebody who has no key.
 *
 * The first byte: IK and not NK (1), the second message and not the first (2), the right message
 * with changes and not the input itself (4). Changes: a length of two bytes, then three bytes each:
 * where, and what to flip there.
 *
 * Oracles: it opens when every byte is the right message's, and never else; then its payload is the
 * right one. An initiator is unchanged by what did not open, and opens the right one afterwards; a
 * responder is wiped.
 */
#include "core/seal/noise.h"

#include <turbotunnel/error.h>

#include "fuzz.h"

#define PROLOGUE "turbotunnel sealed 1, and then some"

static const uint8_t server_private[TT_KEY_LEN] = "the server's private key, 32 by.";
static const uint8_t client_private[TT_KEY_LEN] = "the client's private key, 32 by.";
static const uint8_t initiators[TT_KEY_LEN] = "an ephemeral key, of 32 bytes ..";
static const uint8_t responders[TT_KEY_LEN] = "and another one that is as long.";
static const uint8_t payload[] = "what is said";

struct message {
    uint8_t bytes[TT_NOISE_MESSAGE_MAX + 1]; /* room for one that is too long */
    size_t len;
};

/* Made once, by both ends. */
static struct world {
    struct tt_crypto *crypto;
    uint8_t server_public[TT_KEY_LEN], client_public[TT_KEY_LEN];
    struct tt_noise initiator[2]; /* by pattern; having said the first message */
    struct message right[2][2];   /* by pattern and number */
} world;

static struct tt_noise_keys keys_of(bool ik, bool initiator)
{
    return (struct tt_noise_keys){
        .pattern = ik ? TT_NOISE_IK : TT_NOISE_NK,
        .prologue = tt_span_of(PROLOGUE, sizeof(PROLOGUE) - 1),
        .server_public = world.server_public,
        .static_private = initiator ? client_private : server_private,
        .static_public = world.client_public,
    };
}

static int read_first(struct tt_noise *n, bool ik, struct tt_span message, uint8_t *out,
                      size_t *len)
{
    const struct tt_noise_keys keys = keys_of(ik, false);
    struct tt_span rest;
    const int err = tt_noise_read_init(n, world.crypto, &keys, message, &rest);
    if (err)
        return err;
    FUZZ_REQUIRE(rest.ptr + rest.len == message.ptr + message.len, "the rest is not the rest");
    return tt_noise_accept_init(n, world.crypto, rest, out, len);
}

static void make_messages(bool ik)
{
    const struct tt_noise_keys keys = keys_of(ik, true);
    const struct tt_span said = tt_span_of(payload, sizeof(payload));
    struct message *first = &world.right[ik][0];
    struct message *second = &world.right[ik][1];
    struct tt_noise responder;
    uint8_t out[TT_NOISE_PAYLOAD_MAX];
    size_t len;
    FUZZ_REQUIRE(tt_noise_write_init(&world.initiator[ik], world.crypto, &keys, initiators, said,
                                     first->bytes, &first->len) == TT_OK,
                 "no first message");
    FUZZ_REQUIRE(read_first(&responder, ik, tt_span_of(first->bytes, first->len), out, &len) ==
                     TT_OK,
                 "the right one does not open");
    FUZZ_REQUIRE(tt_noise_write_response(&responder, world.crypto, responders, said, second->bytes,
                                         &second->len) == TT_OK,
                 "no second message");
}

static void make_world(void)
{
    FUZZ_REQUIRE(tt_crypto_new(&world.crypto) == TT_OK, "no libcrypto");
    FUZZ_REQUIRE(tt_crypto_public(world.crypto, server_private, world.server_public) == TT_OK &&
                     tt_crypto_public(world.crypto, client_private, world.client_public) == TT_OK,
                 "no public keys");
    make_messages(false);
    make_messages(true);
}

static void change(struct message *m, struct tt_span how)
{
    struct tt_reader r = tt_reader_over(how);
    m->len = tt_read_be16(&r);
    m->len = m->len < sizeof(m->bytes) ? m->len : sizeof(m->bytes);
    while (tt_reader_left(&r) >= 3) {
        const size_t at = tt_read_be16(&r);
        m->bytes[at % sizeof(m->bytes)] ^= tt_read_u8(&r);
    }
}

static void check_payload(const uint8_t *out, size_t len)
{
    FUZZ_REQUIRE(len == sizeof(payload) && memcmp(out, payload, len) == 0, "another payload");
}

static bool first_opens(bool ik, struct tt_span message)
{
    static const struct tt_noise wiped;
    struct tt_noise n;
    uint8_t out[TT_NOISE_PAYLOAD_MAX];
    size_t len = 0;
    const int err = read_first(&n, ik, message, out, &len);
    FUZZ_REQUIRE(err == TT_OK || err == TT_E_PROTO, "another error");
    if (err)
        FUZZ_REQUIRE(memcmp(&n, &wiped, sizeof(n)) == 0, "keys are left behind");
    else
        check_payload(out, len);
    return err == TT_OK;
}

static bool second_opens(bool ik, struct tt_span message)
{
    const struct message *right = &world.right[ik][1];
    struct tt_noise n = world.initiator[ik];
    uint8_t out[TT_NOISE_PAYLOAD_MAX];
    size_t len = 0;
    const int err = tt_noise_read_response(&n, world.crypto, message, out, &len);
    FUZZ_REQUIRE(err == TT_OK || err == TT_E_PROTO, "another error");
    if (err) {
        FUZZ_REQUIRE(memcmp(&n, &world.initiator[ik], sizeof(n)) == 0, "not as it was");
        FUZZ_REQUIRE(tt_noise_read_response(&n, world.crypto, tt_span_of(right->bytes, right->len),
                                            out, &len) == TT_OK,
                     "the right one does not open any more");
    }
    check_payload(out, len);
    return err == TT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (!world.crypto)
        make_world();
    const bool ik = data[0] & 1;
    const bool second = data[0] & 2;
    const struct message *right = &world.right[ik][second];
    struct message changed = *right;
    struct tt_span message = tt_span_of(data + 1, size - 1);
    if (data[0] & 4) {
        change(&changed, message);
        message = tt_span_of(changed.bytes, changed.len);
    }
    const bool same =
        message.len == right->len && memcmp(message.ptr, right->bytes, right->len) == 0;
    const bool opens = second ? second_opens(ik, message) : first_opens(ik, message);
    FUZZ_REQUIRE(opens == same, same ? "the right one does not open" : "a wrong one opens");
    return 0;
}
