#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define MOST_PACKET 4096u /* longer ones are not remembered */

/* What he saw, of everybody's packets. */
struct sim_seen {
    struct tt_session_id id;
    bool up;
    uint32_t len;
    uint8_t bytes[MOST_PACKET];
};

/* --- what he sees --- */

static struct sim_link *link_of_number(struct sim *sim, uint32_t number)
{
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        if (l->number == number)
            return l;
    }
    return NULL;
}

/* All that a connection brings after the event is his: he passes it on where he likes. */
static void pass_on(struct sim *sim, const struct sim_link *link, struct tt_span packet)
{
    for (unsigned i = 0; i < SIM_STOLEN; i++) {
        const struct sim_stolen *s = &sim->attacker.stolen[i];
        struct sim_link *to = s->to && s->from == link->number ? link_of_number(sim, s->to) : NULL;
        if (to)
            sim_attacker_write(sim, to, packet);
    }
}

void sim_attacker_sees(struct sim *sim, const struct sim_plug *p, struct tt_span packet)
{
    struct sim_attacker *a = &sim->attacker;
    const bool up = p == &p->link->at_client;
    if (!sim->profile.attacked || packet.len > MOST_PACKET || packet.len == 0)
        return;
    struct sim_seen **at = &a->seen[a->seen_count++ % SIM_SEEN];
    if (!*at)
        *at = malloc(sizeof **at);
    if (!*at)
        abort();
    (*at)->id = p->link->id;
    (*at)->up = up;
    (*at)->len = (uint32_t)packet.len;
    memcpy((*at)->bytes, packet.ptr, packet.len);
    if (up)
        pass_on(sim, p->link, packet);
}

void sim_attacker_stop(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_SEEN; i++) {
        free(sim->attacker.seen[i]);
        sim->attacker.seen[i] = NULL;
    }
}

/* --- connections of his own --- */

void sim_attacker_write(struct sim *sim, struct sim_link *l, struct tt_span packet)
{
    uint8_t frame[TT_ENCAP_HEADER + MOST_PACKET];
    uint32_t len = 0;
    if (sim->profile.shape.kind == SIM_BYTES && sim->profile.shape.padded) {
        size_t prefix_len;
        sim_require(sim, tt_padded_prefix(frame, &prefix_len, packet.len) == TT_OK, "no prefix");
        len = (uint32_t)prefix_len;
    } else if (sim->profile.shape.kind == SIM_BYTES) {
        tt_encap_header(frame, (uint16_t)packet.len);
        len = TT_ENCAP_HEADER;
    }
    memcpy(frame + len, packet.ptr, packet.len);
    len += (uint32_t)packet.len;
    for (uint32_t at = 0, n = 1; at < len && n > 0; at += n)
        n = sim_pipe_write(sim, &l->up, frame + at, len - at);
}

struct sim_link *sim_attacker_dials(struct sim *sim, struct sim_client *c,
                                    const struct tt_session_id *id)
{
    struct sim_link *l = sim_link_new(sim, c);
    l->foreign = true;
    l->id = *id;
    tt_list_remove(&l->of_client);
    sim_plug_close(&l->at_client);
    if (sim->profile.shape.kind == SIM_BYTES) {
        for (uint32_t at = 0, n = 1; at < TT_SESSION_ID_LEN && n > 0; at += n)
            n = sim_pipe_write(sim, &l->up, id->bytes + at, TT_SESSION_ID_LEN - at);
    }
    return l;
}

/* He hears nothing unless he passed on a client's own words, or has made a handshake. */
void sim_check_mute(struct sim *sim, const struct sim_plug *p)
{
    if (!p->link->foreign)
        return;
    sim_require(sim, p->link->may_be_answered || p->carrier.endpoint,
                "the server has answered a stranger");
    sim_require(sim, p->link->may_prove || !p->carrier.endpoint,
                "the server has taken a stranger's connection for a client's");
}

static struct tt_span garbage(struct sim *sim, uint8_t *out, uint32_t cap)
{
    const uint32_t len = 1 + (uint32_t)sim_below(sim, cap);
    for (uint32_t i = 0; i < len; i++)
        out[i] = (uint8_t)sim_below(sim, 256);
    if (sim_chance(sim, 80)) /* it looks like something */
        out[0] = (uint8_t)(1 + sim_below(sim, 3));
    return tt_span_of(out, len);
}

static void own_identity(struct sim *sim, struct tt_client_keys *keys)
{
    keys->has_identity = sim_chance(sim, 50);
    for (unsigned i = 0; i < TT_KEY_LEN; i++)
        keys->private_key[i] = (uint8_t)sim_below(sim, 256);
    sim_require(sim,
                tt_crypto_public(sim->sealing.sealer.crypto, keys->private_key, keys->public_key) ==
                    TT_OK,
                "a key has no public half");
}

/* A handshake of his own, with the server's public key. */
static struct tt_span own_init(struct sim *sim, struct sim_link *l, uint8_t *out)
{
    struct tt_client_keys keys = {.has_identity = false};
    struct tt_noise n;
    uint32_t len = 0;
    memcpy(keys.server_public, sim->sealing.client.server_public, TT_KEY_LEN);
    if (sim->profile.by_list) /* his own key, which is not on it */
        own_identity(sim, &keys);
    sim_require(sim,
                tt_init_write(&n, &sim->sealing.sealer, &keys, &l->id, NULL, out, &len) == TT_OK,
                "an INIT could not be written");
    l->may_be_answered |= !sim->profile.by_list;
    return tt_span_of(out, len);
}

void sim_attacker_knocks(struct sim *sim, struct sim_link *l)
{
    uint8_t bytes[TT_HANDSHAKE_MAX];
    sim_attacker_write(sim, l, own_init(sim, l, bytes));
}

unsigned sim_attacker_replays(struct sim *sim, struct sim_link *l, uint8_t type)
{
    const struct sim_attacker *a = &sim->attacker;
    unsigned count = 0;
    for (uint32_t i = 0; i < SIM_SEEN && i < a->seen_count; i++) {
        const struct sim_seen *seen = a->seen[i];
        if (!seen->up || seen->bytes[0] != type)
            continue;
        sim_attacker_write(sim, l, tt_span_of(seen->bytes, seen->len));
        count++;
    }
    return count;
}

static const struct sim_seen *something_seen(struct sim *sim)
{
    const struct sim_attacker *a = &sim->attacker;
    const uint32_t count = a->seen_count < SIM_SEEN ? a->seen_count : SIM_SEEN;
    return count > 0 ? a->seen[sim_below(sim, count)] : NULL;
}

static void say_something(struct sim *sim, struct sim_link *l)
{
    uint8_t bytes[MOST_PACKET];
    const struct sim_seen *seen = something_seen(sim);
    struct tt_span packet;
    const uint64_t what = sim_below(sim, 10);

    if (what < 2 || !seen) {
        packet = garbage(sim, bytes, 1600);
    } else if (what == 2) {
        packet = own_init(sim, l, bytes);
    } else {
        memcpy(bytes, seen->bytes, seen->len);
        packet = tt_span_of(bytes, seen->len);
        if (what < 5)
            bytes[sim_below(sim, seen->len)] ^= (uint8_t)(1u << sim_below(sim, 8));
        else if (bytes[0] == TT_SEALED_INIT && tt_session_id_equal(&seen->id, &l->id))
            l->may_be_answered = true; /* it may never have come to the server */
        else if (bytes[0] == TT_SEALED_DATA && tt_session_id_equal(&seen->id, &l->id))
            l->may_prove |= seen->up; /* the same */
    }
    sim_attacker_write(sim, l, packet);
}

static struct sim_client *somebody(struct sim *sim)
{
    return &sim->clients[sim_below(sim, sim->profile.clients)];
}

static void dial(struct sim *sim)
{
    struct sim_client *c = somebody(sim);
    struct tt_session_id id = c->endpoint.config.id;
    if (!c->running)
        return;
    if (sim_chance(sim, 20))
        id.bytes[0] ^= 1;
    struct sim_link *l = sim_attacker_dials(sim, c, &id);
    sim_note(sim, "stranger", c->number, l->number);
    for (uint64_t n = 1 + sim_below(sim, 4); n > 0; n--)
        say_something(sim, l);
}

static void hang_up(struct sim *sim)
{
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        if (l->foreign && !l->cut && sim_chance(sim, 30)) {
            sim_link_hang_up(sim, l);
            return;
        }
    }
}

/* --- connections of others --- */

void sim_attacker_meets(struct sim *sim, struct sim_link *link)
{
    struct sim_attacker *a = &sim->attacker;
    if (!sim->profile.attacked || !a->active || !sim_chance(sim, 20))
        return;
    sim_note(sim, "stolen", link->client->number, link->number);
    sim_link_freeze(sim, link, true, false);
    struct sim_link *own = sim_attacker_dials(sim, link->client, &link->id);
    own->may_be_answered = own->may_prove = true;
    a->stolen[a->stolen_count++ % SIM_STOLEN] =
        (struct sim_stolen){.from = link->number, .to = own->number};
}

static struct sim_link *link_of(const struct sim_client *c)
{
    return c->running && c->link && !c->link->cut ? c->link : NULL;
}

static void flip(struct sim *sim)
{
    struct sim_link *l = link_of(somebody(sim));
    if (l && sim_pipe_flip(sim, sim_chance(sim, 50) ? &l->up : &l->down)) {
        l->frozen |= sim->profile.shape.kind == SIM_BYTES;
        sim_note(sim, "flipped", l->client->number, l->number);
    }
}

static void inject(struct sim *sim)
{
    struct sim_link *l = link_of(somebody(sim));
    uint8_t bytes[MOST_PACKET + TT_ENCAP_HEADER];
    const struct sim_seen *seen = something_seen(sim);
    struct tt_span packet;
    if (!l)
        return;
    if (seen && sim_chance(sim, 70)) {
        memcpy(bytes, seen->bytes, seen->len);
        packet = tt_span_of(bytes, seen->len);
    } else {
        packet = garbage(sim, bytes, 200);
    }
    struct sim_pipe *pipe = sim_chance(sim, 50) ? &l->up : &l->down;
    (void)sim_pipe_write(sim, pipe, packet.ptr, (uint32_t)packet.len);
    l->frozen |= sim->profile.shape.kind == SIM_BYTES;
    sim_note(sim, "injected", l->client->number, l->number);
}

void sim_attack(struct sim *sim, uint64_t arg)
{
    (void)arg;
    sim->attacker.active = true;
    switch (sim_below(sim, 5)) {
    case 0:
        flip(sim);
        break;
    case 1:
        inject(sim);
        break;
    case 2:
        hang_up(sim);
        break;
    default:
        dial(sim);
        break;
    }
}

void sim_attack_ends(struct sim *sim, uint64_t arg)
{
    (void)arg;
    sim->attacker.active = false;
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        if (l->foreign && !l->cut)
            sim_link_hang_up(sim, l);
    }
}
