#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define EPOCH_S UINT64_C(1790000000) /* what the wall clock says when ours begins */

static int fill(void *ctx, void *out, size_t len)
{
    struct sim *sim = ctx;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)sim_below(sim, 256);
    return TT_OK;
}

static uint64_t wall_s(void *ctx)
{
    const struct sim *sim = ctx;
    return EPOCH_S + sim->now_us / TT_SECOND;
}

static void make_pair(struct sim *sim, uint8_t *private_key, uint8_t *public_key)
{
    (void)fill(sim, private_key, TT_KEY_LEN);
    sim_require(sim, tt_crypto_public(sim->sealing.sealer.crypto, private_key, public_key) == TT_OK,
                "a key has no public half");
}

void sim_sealing_start(struct sim *sim)
{
    struct sim_sealing *s = &sim->sealing;
    const struct tt_random random = {.fill = fill, .ctx = sim};
    if (!sim->profile.sealed)
        return;
    sim_require(sim, tt_sealer_init(&s->sealer, &random, wall_s, sim) == TT_OK, "no libcrypto");
    make_pair(sim, s->server.private_key, s->server.public_key);
    (void)fill(sim, s->server.instance, sizeof s->server.instance);
    memcpy(s->client.server_public, s->server.public_key, TT_KEY_LEN);
    s->client.has_identity = sim->profile.by_list;
    make_pair(sim, s->client.private_key, s->client.public_key);
}

void sim_sealing_stop(struct sim *sim)
{
    if (sim->profile.sealed)
        tt_sealer_dispose(&sim->sealing.sealer);
    free(sim->sealing.keys);
    sim->sealing.keys = NULL;
}

/* So many fit; they double, and few are enough for nearly all runs. */
static uint32_t room_for_keys(uint32_t count)
{
    uint32_t room = 64;
    while (room < count)
        room *= 2;
    return room;
}

static void note_key(struct sim *sim, const uint8_t key[TT_KEY_LEN])
{
    struct sim_sealing *s = &sim->sealing;
    const uint64_t hash = tt_get_le64(key);
    for (uint32_t i = 0; i < s->key_count; i++)
        sim_require(sim, s->keys[i] != hash, "a key was used on two connections");
    if (!s->keys || s->key_count == room_for_keys(s->key_count))
        s->keys = realloc(s->keys, room_for_keys(s->key_count + 1) * sizeof *s->keys);
    if (!s->keys)
        abort();
    s->keys[s->key_count++] = hash;
}

void sim_check_nonce(struct sim *sim, struct sim_plug *p, struct tt_span packet)
{
    struct tt_sealed_header h;
    if (!sim->profile.sealed || !p->carrier.seal || !tt_sealed_header_read(&h, packet))
        return;
    if (p->sealed == 0)
        note_key(sim, p->carrier.seal->send_key);
    sim_require(sim, h.counter == p->sealed++, "a counter was left out, or used again");
}

struct tt_seal *sim_client_seal(struct sim *sim)
{
    struct tt_seal *seal = NULL;
    if (sim->profile.sealed)
        sim_require(sim,
                    tt_seal_new_client(&seal, &sim->sealing.sealer, &sim->sealing.client,
                                       &sim->alloc) == TT_OK,
                    "a client could not be made");
    return seal;
}

static bool is_ours(void *ctx, const uint8_t client_key[TT_KEY_LEN])
{
    const struct sim *sim = ctx;
    return memcmp(client_key, sim->sealing.client.public_key, TT_KEY_LEN) == 0;
}

void sim_gate_start(struct sim *sim)
{
    struct tt_gate_config config = {.sealer = &sim->sealing.sealer,
                                    .keys = &sim->sealing.server,
                                    .welcome = sim->profile.by_list ? is_ours : NULL,
                                    .welcome_ctx = sim,
                                    .max_half_open = 16,
                                    .max_seen = 1024,
                                    .interval_s = 7200,
                                    .alloc = &sim->alloc};
    (void)fill(sim, config.hash_key, sizeof config.hash_key);
    sim_require(sim, tt_gate_init(&sim->server.gate, &config) == TT_OK,
                "the server's gate could not be made");
}
