#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define READ_BYTES   16384u
#define UNSENT_BYTES (4 * 65537u)
#define STOP_TAKING  65536u /* packets are taken while fewer bytes than this wait */

void sim_plug_open(struct sim *sim, struct sim_plug *p, struct sim_link *link, struct sim_pipe *in,
                   struct sim_pipe *out)
{
    *p = (struct sim_plug){.open = true, .learns_us = TT_NEVER, .link = link, .in = in, .out = out};
    p->unsent = malloc(UNSENT_BYTES);
    if (!p->unsent)
        abort();
    sim_require(sim, tt_decap_init(&p->decap, TT_ENCAP_MAX_PACKET, &sim->alloc) == TT_OK,
                "a decapsulator was refused");
    sim_require(sim,
                tt_padded_decap_init(&p->padded_decap, TT_ENCAP_MAX_PACKET, &sim->alloc) == TT_OK,
                "a decapsulator for padding was refused");
}

void sim_plug_close(struct sim_plug *p)
{
    tt_decap_dispose(&p->decap);
    tt_padded_decap_dispose(&p->padded_decap);
    free(p->unsent);
    p->unsent = NULL;
    p->unsent_len = p->unsent_at = 0;
    p->learns_us = TT_NEVER;
    p->open = false;
}

/* --- receiving --- */

static uint32_t take_id(struct sim_plug *p, const uint8_t *data, uint32_t len)
{
    uint32_t n = TT_SESSION_ID_LEN - p->id_have;
    if (n > len)
        n = len;
    memcpy(p->id + p->id_have, data, n);
    p->id_have += n;
    return n;
}

static bool lies_in(const struct tt_slab *slab, struct tt_span packet)
{
    return slab && packet.ptr >= slab->data && packet.ptr <= slab->data + slab->capacity;
}

static int next_in(const struct sim *sim, struct sim_plug *p, struct tt_span *in,
                   struct tt_span *packet)
{
    return sim->profile.shape.padded ? tt_padded_decap_next(&p->padded_decap, in, packet)
                                     : tt_decap_next(&p->decap, in, packet);
}

/* Returns 0, or why the connection must end. */
static int take_bytes(struct sim *sim, struct sim_plug *p, struct tt_span in, struct tt_slab *slab,
                      sim_take_packet *take)
{
    struct tt_span packet;
    int err;

    if (sim->profile.shape.kind == SIM_DATAGRAMS) {
        take(sim, p, in, slab);
        return TT_OK;
    }
    while (p->open && (err = next_in(sim, p, &in, &packet)) == TT_OK)
        take(sim, p, packet, lies_in(slab, packet) ? slab : NULL);
    return !p->open || err == TT_E_AGAIN ? TT_OK : err;
}

/* A real driver reads into a slab of the pool, or, when there is none, into memory of its own. */
static uint8_t *room_to_read(struct sim *sim, struct tt_slab **slab, struct tt_slab_pool *slabs,
                             uint8_t *own)
{
    *slab = sim_chance(sim, 90) ? tt_slab_get(slabs, TT_SLAB_MEDIUM) : NULL;
    if (*slab)
        (*slab)->transient = sim_chance(sim, 20);
    return *slab ? (*slab)->data : own;
}

static int read_once(struct sim *sim, struct sim_plug *p, struct tt_slab_pool *slabs,
                     sim_take_packet *take, bool *any)
{
    static uint8_t own[READ_BYTES];
    struct tt_slab *slab;
    int err = TT_OK;
    uint8_t *buf = room_to_read(sim, &slab, slabs, own);
    const uint32_t cap = slab ? slab->capacity : READ_BYTES;
    const uint32_t len = sim_pipe_read(sim, p->in, buf, cap);

    *any = len > 0;
    if (len > 0) {
        uint32_t skip = 0;
        if (slab)
            slab->used = len;
        if (p->id_have < TT_SESSION_ID_LEN && p == &p->link->at_server)
            skip = take_id(p, buf, len);
        err = take_bytes(sim, p, tt_span_of(buf + skip, len - skip), slab, take);
        if (slab && slab->transient)
            memset(buf, 0xee, cap); /* it is read over: nobody may have kept it */
        memset(own, 0xee, sizeof own);
    }
    tt_slab_unref(slab);
    return err;
}

bool sim_plug_receive(struct sim *sim, struct sim_plug *p, struct tt_slab_pool *slabs,
                      sim_take_packet *take)
{
    bool any = false;
    while (p->open && sim_pipe_next_us(p->in) <= sim->now_us) {
        bool now;
        int err = read_once(sim, p, slabs, take, &now);
        any |= now;
        if (!err)
            continue;
        sim_require(sim, (err == TT_E_NOMEM && sim->refused_allocs > 0) || sim->profile.attacked,
                    "a connection was refused");
        sim_link_cut(sim, p->link, (struct sim_cut){.server_learns_us = TT_MS});
        p->learns_us = sim->now_us;
        break;
    }
    return any;
}

/* --- sending --- */

static void push_unsent(struct sim *sim, struct sim_plug *p)
{
    while (p->unsent_at < p->unsent_len) {
        const uint32_t len = sim_link_let_pass(sim, p->link, p->out, p->unsent_len - p->unsent_at);
        const uint32_t n = sim_pipe_write(sim, p->out, p->unsent + p->unsent_at, len);
        if (n == 0)
            break;
        p->unsent_at += n;
    }
    if (p->unsent_at == p->unsent_len)
        p->unsent_at = p->unsent_len = 0;
}

static void add_unsent(struct sim *sim, struct sim_plug *p, const uint8_t *data, size_t len)
{
    sim_require(sim, p->unsent_len + len <= UNSENT_BYTES, "a packet longer than any");
    memcpy(p->unsent + p->unsent_len, data, len);
    p->unsent_len += (uint32_t)len;
}

static void add_gathered(struct sim *sim, struct sim_plug *p, const struct tt_gather *g)
{
    const uint32_t start = p->unsent_len;
    for (uint32_t i = g->first; i < g->count; i++)
        add_unsent(sim, p, g->spans[i].ptr, g->spans[i].len);
    sim_note_bytes(sim, p == &p->link->at_client ? "up" : "down", p->link->number,
                   tt_span_of(p->unsent + start, p->unsent_len - start));
}

void sim_plug_write(struct sim *sim, struct sim_plug *p, const uint8_t *data, uint32_t len)
{
    add_unsent(sim, p, data, len);
    push_unsent(sim, p);
}

static void add_padded_frame(struct sim *sim, struct sim_plug *p, uint32_t len)
{
    uint8_t prefix[TT_PADDED_MAX_PREFIX], padding[200];
    size_t prefix_len;

    if (sim_chance(sim, 20)) {
        const size_t n = (size_t)sim_below(sim, sizeof padding + 1);
        tt_padded_padding(padding, n);
        add_unsent(sim, p, padding, n);
    }
    sim_require(sim, tt_padded_prefix(prefix, &prefix_len, len) == TT_OK, "a packet has no prefix");
    add_unsent(sim, p, prefix, prefix_len);
}

static void add_frame(struct sim *sim, struct sim_plug *p, uint32_t len)
{
    uint8_t header[TT_ENCAP_HEADER];

    if (sim->profile.shape.padded) {
        add_padded_frame(sim, p, len);
        return;
    }
    tt_encap_header(header, (uint16_t)len);
    add_unsent(sim, p, header, sizeof header);
}

/* One packet. Returns what the core said. */
static int take_packet(struct sim *sim, struct sim_plug *p, sim_next_packet *next)
{
    static struct tt_gather g;
    const bool bytes = sim->profile.shape.kind == SIM_BYTES;
    uint32_t len;

    g.built_count = 0; /* a run that failed may have left something, which is not there any more */
    tt_gather_reset(&g);
    int err = next(sim, p, &g, &len);
    if (err) {
        tt_gather_reset(&g);
        return err;
    }
    sim_require(sim, len > 0 && len == g.bytes, "a packet is not as long as it says");
    sim_require(sim, len <= sim->profile.shape.max_packet, "a packet is too long for its carrier");
    if (bytes)
        add_frame(sim, p, len);
    const uint32_t start = p->unsent_len;
    add_gathered(sim, p, &g);
    sim_attacker_sees(sim, p, tt_span_of(p->unsent + start, len));
    sim_check_nonce(sim, p, tt_span_of(p->unsent + start, len));
    if (p == &p->link->at_server)
        sim_check_mute(sim, p);
    tt_gather_reset(&g);
    if (!bytes)
        push_unsent(sim, p);
    return TT_OK;
}

static void flush_plug(struct sim *sim, struct sim_plug *p, sim_next_packet *next)
{
    push_unsent(sim, p);
    while (p->unsent_len == 0) {
        int err = TT_OK;
        while (!err && p->unsent_len < STOP_TAKING)
            err = take_packet(sim, p, next);
        push_unsent(sim, p);
        if (err)
            return;
    }
}

void sim_plug_flush(struct sim *sim, struct sim_plug *p, sim_next_packet *next)
{
    if (!p->open)
        return;
    flush_plug(sim, p, next);
    if (p->carrier.endpoint)
        tt_endpoint_carrier_blocked(p->carrier.endpoint, sim->now_us, &p->carrier,
                                    p->unsent_len > 0);
}

bool sim_plug_can_go_on(const struct sim *sim, const struct sim_plug *p)
{
    return p->open && p->unsent_len > 0 && sim_pipe_room(sim, p->out) > 0;
}
