#include "core/gate.h"

#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"

#define HALF_OPEN_US     (10 * TT_SECOND) /* M-5 */
#define INITS_OF_CARRIER 2u               /* M-6 */

/* A packet that waits for its carrier to take it. */
struct tt_gate_reply {
    uint32_t len;
    uint8_t bytes[TT_HANDSHAKE_MAX];
};

static void *get(const struct tt_gate *g, size_t size)
{
    return g->config.alloc->get(g->config.alloc->ctx, size);
}

static void put(const struct tt_gate *g, void *mem)
{
    g->config.alloc->put(g->config.alloc->ctx, mem);
}

int tt_gate_init(struct tt_gate *g, const struct tt_gate_config *config)
{
    struct tt_replay_config replay = {
        .most = config->max_seen, .interval_s = config->interval_s, .alloc = config->alloc};
    *g = (struct tt_gate){.config = *config};
    tt_quota_init(&g->own_half_open, config->max_half_open);
    if (!g->config.half_open_quota)
        g->config.half_open_quota = &g->own_half_open;
    memcpy(replay.hash_key, config->hash_key, sizeof replay.hash_key);
    tt_remote_map_init(&g->halves, HALF_OPEN_US, config->hash_key, config->alloc);
    int err = tt_replay_init(&g->replay, &replay);
    if (!err) {
        g->origins = get(g, TT_GATE_ORIGINS * sizeof *g->origins);
        err = g->origins ? TT_OK : TT_E_NOMEM;
    }
    if (err) {
        tt_replay_dispose(&g->replay);
        g->config.alloc = NULL;
        return err;
    }
    memset(g->origins, 0, TT_GATE_ORIGINS * sizeof *g->origins);
    return TT_OK;
}

void tt_gate_forget(struct tt_gate *g, struct tt_half_open *half)
{
    tt_remote_map_remove(&g->halves, &half->remote);
    tt_crypto_wipe(half, sizeof *half);
    put(g, half);
    tt_quota_put(g->config.half_open_quota, 1);
}

static struct tt_half_open *of_remote(struct tt_remote *r)
{
    return TT_CONTAINER_OF(r, struct tt_half_open, remote);
}

void tt_gate_dispose(struct tt_gate *g)
{
    struct tt_remote *r;
    if (!g->config.alloc)
        return;
    while ((r = tt_remote_map_oldest(&g->halves)) != NULL)
        tt_gate_forget(g, of_remote(r));
    tt_remote_map_dispose(&g->halves);
    tt_replay_dispose(&g->replay);
    put(g, g->origins);
    g->config.alloc = NULL;
}

struct tt_half_open *tt_gate_find(const struct tt_gate *g, const struct tt_session_id *id)
{
    struct tt_remote *r = tt_remote_map_find(&g->halves, id);
    return r ? of_remote(r) : NULL;
}

/* Of datagrams anybody could send one: there is no carrier to be mute on. */
void tt_gate_mute(struct tt_gate *g, struct tt_carrier *c)
{
    if (c->muted || !c->limits.ordered)
        return;
    c->muted = true;
    g->stats.muted++;
}

/* --- INIT --- */

/* Two addresses that share a place push each other out: neither is refused for the other. */
static bool may_try(struct tt_gate *g, uint64_t now_us, uint64_t origin)
{
    struct tt_gate_origin *o = &g->origins[origin % TT_GATE_ORIGINS];
    const uint64_t second = now_us / TT_SECOND;
    if (origin == 0 || g->config.inits_per_second == 0)
        return true;
    if (o->origin != origin || o->second != second)
        *o = (struct tt_gate_origin){.origin = origin, .second = second};
    return o->count++ < g->config.inits_per_second;
}

/* Returns 0, or why there is no answer. */
static int read_init(struct tt_gate *g, struct tt_carrier *c, struct tt_span packet,
                     struct tt_noise *n, struct tt_parameters *said)
{
    struct tt_span rest;
    const bool by_list = g->config.welcome != NULL;
    if (by_list && tt_init_pattern(packet) == TT_NOISE_NK) {
        g->stats.not_welcome++;
        return TT_E_PROTO;
    }
    g->stats.inits++;
    int err = tt_init_read(n, g->config.sealer, g->config.keys, &c->id, packet, &rest);
    if (!err && by_list && !g->config.welcome(g->config.welcome_ctx, n->remote_static)) {
        g->stats.not_welcome++;
        tt_crypto_wipe(n, sizeof *n);
        return TT_E_PROTO;
    }
    if (!err)
        err = tt_init_accept(n, g->config.sealer, rest, said);
    g->stats.not_opened += err != TT_OK;
    return err;
}

static bool is_fresh(struct tt_gate *g, struct tt_span packet, const struct tt_parameters *said)
{
    struct tt_sealer *s = g->config.sealer;
    const uint64_t now_s = s->wall_s(s->wall_ctx);
    if (!tt_replay_may(&g->replay, now_s, said->time_s)) {
        g->stats.wrong_time++;
        return false;
    }
    if (tt_replay_take(&g->replay, now_s, said->time_s, tt_init_ephemeral(packet))) {
        g->stats.replayed++;
        return false;
    }
    return true;
}

/* Returns 0, or TT_E_NOMEM, TT_E_SYSTEM: there is no answer then. n is wiped. */
static int reply(struct tt_gate *g, struct tt_carrier *c, struct tt_noise *n, uint8_t state,
                 struct tt_secrets *secrets)
{
    struct tt_gate_reply *r = c->reply ? c->reply : get(g, sizeof *r);
    int err = TT_E_NOMEM;
    if (r) {
        c->reply = r;
        err = tt_response_write(n, g->config.sealer, g->config.keys, state, r->bytes, &r->len,
                                secrets);
    }
    if (err) {
        g->stats.no_memory++;
        tt_crypto_wipe(n, sizeof *n);
        tt_gate_leave(g, c);
    }
    return err;
}

/* Its place in the quota is taken. */
static void half_open(struct tt_gate *g, uint64_t now_us, struct tt_carrier *c, struct tt_noise *n,
                      bool client_known)
{
    struct tt_half_open *half = get(g, sizeof *half);
    if (half)
        *half = (struct tt_half_open){.client_known = client_known};
    if (!half || tt_remote_map_insert(&g->halves, &half->remote, &c->id, now_us)) {
        if (half)
            put(g, half);
        tt_quota_put(g->config.half_open_quota, 1);
        tt_crypto_wipe(n, sizeof *n);
        g->stats.no_memory++;
        return;
    }
    memcpy(half->client_key, n->remote_static, sizeof half->client_key);
    g->stats.half_opened++;
    if (reply(g, c, n, 0, &half->secrets))
        tt_gate_forget(g, half);
}

static bool is_known(const struct tt_seal *open, const struct tt_parameters *said)
{
    return open && tt_crypto_equal(open->resume, said->resume, sizeof open->resume);
}

void tt_gate_hear_init(struct tt_gate *g, uint64_t now_us, struct tt_carrier *c,
                       struct tt_span packet, const struct tt_seal *open, bool full)
{
    const uint8_t pattern = tt_init_pattern(packet);
    struct tt_noise n;
    struct tt_parameters said;

    if (c->inits_tried >= INITS_OF_CARRIER || !may_try(g, now_us, c->origin)) {
        g->stats.too_many++;
        return;
    }
    c->inits_tried += c->limits.ordered; /* a datagram may come twice */
    if (pattern == 0 || packet.len > TT_SEALED_UNPROVEN_MAX) {
        g->stats.not_opened++;
        tt_gate_mute(g, c);
    } else if (read_init(g, c, packet, &n, &said)) {
        tt_gate_mute(g, c);
    } else if (!is_fresh(g, packet, &said)) {
        tt_crypto_wipe(&n, sizeof n);
        tt_gate_mute(g, c);
    } else if (said.has_resume) {
        g->stats.questions++;
        (void)reply(g, c, &n, is_known(open, &said) ? TT_SEAL_KNOWN : TT_SEAL_UNKNOWN, NULL);
    } else if (open || tt_gate_find(g, &c->id)) {
        g->stats.not_opened++;
        tt_crypto_wipe(&n, sizeof n);
        tt_gate_mute(g, c);
    } else if (full || !tt_quota_take(g->config.half_open_quota, 1)) {
        g->stats.refused_full++;
        g->stats.refused_half_open += !full;
        (void)reply(g, c, &n, TT_SEAL_FULL, NULL);
    } else {
        half_open(g, now_us, c, &n, pattern == TT_NOISE_IK);
    }
}

/* --- DATA --- */

static bool may_come(const struct tt_carrier *c, const struct tt_seal *seal,
                     const struct tt_sealed_header *h)
{
    return tt_numbers_may(&seal->numbers, h->carrier) && (h->counter == 0 || !c->limits.ordered);
}

static int open_with(struct tt_carrier_seal *cs, struct tt_seal *seal,
                     const struct tt_sealed_header *h, struct tt_span packet, struct tt_span *plain)
{
    int err = tt_carrier_seal_keys(cs, seal, h->carrier);
    if (!err)
        err = tt_sealed_data_read(seal->sealer, cs->receive_key, h, packet, plain);
    if (!err)
        err = tt_seal_take_number(seal, h->carrier);
    if (err)
        return err;
    if (cs->window)
        tt_counters_take(cs->window, h->counter);
    else
        cs->received = 1;
    return TT_OK;
}

int tt_gate_open_data(struct tt_gate *g, struct tt_carrier *c, struct tt_seal *seal,
                      struct tt_span packet, struct tt_span *plain)
{
    struct tt_sealed_header h;
    struct tt_carrier_seal *cs;
    if (packet.len > TT_SEALED_UNPROVEN_MAX || !tt_sealed_header_read(&h, packet) ||
        !may_come(c, seal, &h))
        return TT_E_PROTO;
    if (tt_carrier_seal_new(&cs, &c->limits, g->config.alloc)) {
        g->stats.no_memory++;
        return TT_E_NOMEM;
    }
    const int err = open_with(cs, seal, &h, packet, plain);
    if (err) {
        tt_carrier_seal_free(cs, g->config.alloc);
        return err;
    }
    c->seal = cs;
    c->number = h.carrier;
    return TT_OK;
}

/* --- what leaves --- */

int tt_gate_next_reply(struct tt_gate *g, struct tt_carrier *c, struct tt_gather *out,
                       uint32_t *len)
{
    if (!c->reply)
        return TT_E_AGAIN;
    *len = c->reply->len;
    if (!tt_gather_has_room(out, *len))
        return TT_E_FULL;
    memcpy(tt_gather_header(out, *len), c->reply->bytes, *len);
    tt_gate_leave(g, c);
    return TT_OK;
}

void tt_gate_leave(struct tt_gate *g, struct tt_carrier *c)
{
    if (c->reply)
        put(g, c->reply);
    c->reply = NULL;
}

/* --- time --- */

uint64_t tt_gate_deadline(const struct tt_gate *g)
{
    return tt_remote_map_deadline(&g->halves);
}

void tt_gate_handle_timeout(struct tt_gate *g, uint64_t now_us)
{
    struct tt_remote *r;
    while ((r = tt_remote_map_expired(&g->halves, now_us)) != NULL) {
        g->stats.expired++;
        tt_gate_forget(g, of_remote(r));
    }
}
