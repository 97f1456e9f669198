#include "core/seal/handshake.h"

#include <string.h>

#include <turbotunnel/error.h>

static const char PROTOCOL[] = "turbotunnel sealed 1";
#define PROTOCOL_LEN (sizeof PROTOCOL - 1)

/* M-2: what both ends must have seen alike before they begin. */
struct prologue {
    uint8_t bytes[PROTOCOL_LEN + TT_SEALED_HEADER + TT_SESSION_ID_LEN];
};

static struct prologue make_prologue(const uint8_t *header, const struct tt_session_id *id)
{
    struct prologue p;
    memcpy(p.bytes, PROTOCOL, PROTOCOL_LEN);
    memcpy(p.bytes + PROTOCOL_LEN, header, TT_SEALED_HEADER);
    memcpy(p.bytes + PROTOCOL_LEN + TT_SEALED_HEADER, id->bytes, TT_SESSION_ID_LEN);
    return p;
}

static int fresh_key(struct tt_sealer *s, uint8_t key[TT_KEY_LEN])
{
    return s->random.fill(s->random.ctx, key, TT_KEY_LEN);
}

static int split(struct tt_noise *n, struct tt_sealer *s, struct tt_secrets *secrets)
{
    if (secrets)
        return tt_noise_split(n, s->crypto, secrets->up, secrets->down, secrets->h);
    tt_crypto_wipe(n, sizeof *n);
    return TT_OK;
}

/* --- the client --- */

int tt_init_write(struct tt_noise *n, struct tt_sealer *s, const struct tt_client_keys *keys,
                  const struct tt_session_id *id, const uint8_t *resume, uint8_t *out,
                  uint32_t *len)
{
    const uint8_t pattern = keys->has_identity ? TT_NOISE_IK : TT_NOISE_NK;
    struct tt_parameters says = {.time_s = s->wall_s(s->wall_ctx), .has_resume = resume != NULL};
    uint8_t payload[TT_PARAMETERS_MAX], ephemeral[TT_KEY_LEN];
    size_t message_len = 0;

    if (resume)
        memcpy(says.resume, resume, TT_RESUME_LEN);
    memcpy(out, (const uint8_t[]){TT_SEALED_INIT, TT_SEALED_VERSION, pattern, 0}, TT_SEALED_HEADER);
    const struct prologue prologue = make_prologue(out, id);
    const struct tt_noise_keys with = {.pattern = (enum tt_noise_pattern)pattern,
                                       .prologue =
                                           tt_span_of(prologue.bytes, sizeof prologue.bytes),
                                       .server_public = keys->server_public,
                                       .static_private = keys->private_key,
                                       .static_public = keys->public_key};
    int err = fresh_key(s, ephemeral);
    if (!err)
        err = tt_noise_write_init(
            n, s->crypto, &with, ephemeral,
            tt_span_of(payload, tt_parameters_write(payload, &says, TT_INIT_PADDED)),
            out + TT_SEALED_HEADER, &message_len);
    tt_crypto_wipe(ephemeral, sizeof ephemeral);
    *len = TT_SEALED_HEADER + (uint32_t)message_len;
    return err;
}

static bool has_header(struct tt_span packet, const uint8_t header[TT_SEALED_HEADER])
{
    return packet.len > TT_SEALED_HEADER && memcmp(packet.ptr, header, TT_SEALED_HEADER) == 0;
}

int tt_response_read(struct tt_noise *n, struct tt_sealer *s, struct tt_span packet,
                     struct tt_parameters *said, struct tt_secrets *secrets)
{
    static const uint8_t header[TT_SEALED_HEADER] = {TT_SEALED_RESPONSE};
    uint8_t payload[TT_NOISE_PAYLOAD_MAX];
    size_t len = 0;

    if (!has_header(packet, header))
        return TT_E_PROTO;
    tt_span_skip(&packet, TT_SEALED_HEADER);
    struct tt_noise next = *n;
    int err = tt_noise_read_response(&next, s->crypto, packet, payload, &len);
    *said = (struct tt_parameters){.server = true};
    if (!err)
        err = tt_parameters_read(said, tt_span_of(payload, len));
    if (!err)
        err = split(&next, s, secrets);
    if (err != TT_E_PROTO)
        tt_crypto_wipe(n, sizeof *n);
    tt_crypto_wipe(&next, sizeof next);
    return err;
}

/* --- the server --- */

uint8_t tt_init_pattern(struct tt_span packet)
{
    const uint8_t nk[TT_SEALED_HEADER] = {TT_SEALED_INIT, TT_SEALED_VERSION, TT_NOISE_NK};
    const uint8_t ik[TT_SEALED_HEADER] = {TT_SEALED_INIT, TT_SEALED_VERSION, TT_NOISE_IK};
    if (packet.len < TT_SEALED_HEADER + TT_KEY_LEN)
        return 0;
    if (has_header(packet, nk))
        return TT_NOISE_NK;
    return has_header(packet, ik) ? TT_NOISE_IK : 0;
}

const uint8_t *tt_init_ephemeral(struct tt_span packet)
{
    return packet.ptr + TT_SEALED_HEADER;
}

int tt_init_read(struct tt_noise *n, struct tt_sealer *s, const struct tt_server_keys *keys,
                 const struct tt_session_id *id, struct tt_span packet, struct tt_span *rest)
{
    const uint8_t pattern = tt_init_pattern(packet);
    if (pattern == 0)
        return TT_E_PROTO;
    const struct prologue prologue = make_prologue(packet.ptr, id);
    const struct tt_noise_keys with = {.pattern = (enum tt_noise_pattern)pattern,
                                       .prologue =
                                           tt_span_of(prologue.bytes, sizeof prologue.bytes),
                                       .server_public = keys->public_key,
                                       .static_private = keys->private_key,
                                       .static_public = keys->public_key};
    tt_span_skip(&packet, TT_SEALED_HEADER);
    return tt_noise_read_init(n, s->crypto, &with, packet, rest);
}

int tt_init_accept(struct tt_noise *n, struct tt_sealer *s, struct tt_span rest,
                   struct tt_parameters *said)
{
    uint8_t payload[TT_NOISE_PAYLOAD_MAX];
    size_t len = 0;

    int err = tt_noise_accept_init(n, s->crypto, rest, payload, &len);
    if (err)
        return err;
    *said = (struct tt_parameters){.server = false};
    err = tt_parameters_read(said, tt_span_of(payload, len));
    if (err)
        tt_crypto_wipe(n, sizeof *n);
    return err;
}

int tt_response_write(struct tt_noise *n, struct tt_sealer *s, const struct tt_server_keys *keys,
                      uint8_t state, uint8_t *out, uint32_t *len, struct tt_secrets *secrets)
{
    struct tt_parameters says = {.server = true, .state = state};
    uint8_t payload[TT_PARAMETERS_MAX], ephemeral[TT_KEY_LEN];
    size_t message_len = 0;

    memcpy(says.instance, keys->instance, TT_INSTANCE_LEN);
    memcpy(out, (const uint8_t[]){TT_SEALED_RESPONSE, 0, 0, 0}, TT_SEALED_HEADER);
    int err = fresh_key(s, ephemeral);
    if (!err)
        err = tt_noise_write_response(n, s->crypto, ephemeral,
                                      tt_span_of(payload, tt_parameters_write(payload, &says, 0)),
                                      out + TT_SEALED_HEADER, &message_len);
    tt_crypto_wipe(ephemeral, sizeof ephemeral);
    *len = TT_SEALED_HEADER + (uint32_t)message_len;
    return err ? err : split(n, s, secrets);
}
