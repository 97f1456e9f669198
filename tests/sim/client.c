#include "sim.h"

#include <string.h>

/* --- carriers --- */

static void close_link(struct sim *sim, struct sim_client *c, struct sim_link *link)
{
    struct tt_carrier *carrier = &link->at_client.carrier;
    if (!tt_dialing_ended(&c->dialing, carrier, sim->now_us))
        sim_note(sim, "backoff", c->number, c->dialing.wait_us);
    sim_count_in_flight(c, &c->endpoint, carrier);
    tt_endpoint_carrier_close(&c->endpoint, sim->now_us, carrier);
    sim_plug_close(&link->at_client);
    sim_note(sim, "client closed", c->number, link->number);
    c->dirty = true;
    if (c->link == link)
        c->link = NULL;
}

/* The session wants it closed: the other end learns of it when what was written has arrived. */
static void close_doomed(struct sim *sim, struct sim_client *c)
{
    struct tt_carrier *carrier;
    while ((carrier = tt_endpoint_next_doomed(&c->endpoint)) != NULL) {
        struct sim_link *link = TT_CONTAINER_OF(carrier, struct sim_link, at_client.carrier);
        sim_link_hang_up(sim, link);
        close_link(sim, c, link);
    }
}

static uint32_t framing_of(const struct sim *sim)
{
    return sim->profile.shape.kind == SIM_BYTES ? TT_ENCAP_HEADER : 0;
}

static struct tt_carrier_limits limits_of(const struct sim *sim)
{
    return (struct tt_carrier_limits){
        .ordered = sim->profile.shape.kind == SIM_BYTES,
        .max_packet = sim->profile.shape.max_packet,
        .framing = framing_of(sim),
        .prefix = sim->profile.shape.kind == SIM_BYTES ? TT_SESSION_ID_LEN : 0,
        .dial_us = 2 * sim->profile.shape.latency_us};
}

static void connected(struct sim *sim, struct sim_client *c)
{
    const struct tt_carrier_limits limits = limits_of(sim);
    struct tt_session_id id;
    c->link = sim_link_new(sim, c);
    sim_require(sim, tt_endpoint_dial_id(&c->endpoint, &id) == TT_OK, "no ID to say");
    c->link->id = id;
    sim_attacker_meets(sim, c->link);
    c->progress_us = sim->now_us;
    if (!c->endpoint.native)
        sim_count_in_flight(c, &c->endpoint, NULL);
    tt_endpoint_carrier_open(&c->endpoint, sim->now_us, &c->link->at_client.carrier, &limits);
    sim_require(sim, c->link->at_client.carrier.number == c->opened++ || sim->profile.sealed,
                "carriers are not counted as they open");
    if (sim->profile.shape.kind == SIM_BYTES)
        sim_plug_write(sim, &c->link->at_client, id.bytes, TT_SESSION_ID_LEN);
    c->dirty = true;
}

static void dial_is_answered(struct sim *sim, struct sim_client *c)
{
    if (sim->outage_until_us > sim->now_us && sim->black_hole) {
        c->dialled_us = sim->outage_until_us; /* the system tries again and again */
        return;
    }
    if (sim->outage_until_us > sim->now_us) {
        tt_dialing_failed(&c->dialing, sim->now_us);
        sim_note(sim, "backoff", c->number, c->dialing.wait_us);
        return;
    }
    tt_dialing_up(&c->dialing);
    connected(sim, c);
}

static void dial_if_due(struct sim *sim, struct sim_client *c)
{
    if (c->dialled_us <= sim->now_us) {
        c->dialled_us = TT_NEVER;
        dial_is_answered(sim, c);
    }
    if (c->dialled_us != TT_NEVER)
        return;
    if (c->redial || tt_dialing_is_due(&c->dialing, &c->endpoint, sim->now_us)) {
        c->redial = false;
        tt_dialing_began(&c->dialing, sim->now_us);
        c->dialled_us = sim->now_us + 2 * sim->profile.shape.latency_us;
        sim->dials++;
    }
}

void sim_client_redial(struct sim *sim, struct sim_client *c)
{
    const struct tt_endpoint *e = &c->endpoint;
    (void)sim;
    c->redial = c->dialled_us == TT_NEVER &&
                (e->seal ? tt_sealed_is_confirmed(e)
                         : e->config.tuning->legacy || e->kcp.stats.segments_in > 0); /* */
}

void sim_client_moves(struct sim *sim, struct sim_client *c)
{
    sim_note(sim, "client moves", c->number, 0);
    TT_LIST_FOR_EACH(node, &c->links)
    {
        sim_link_freeze(sim, TT_CONTAINER_OF(node, struct sim_link, of_client), true, true);
    }
    tt_endpoint_network_changed(&c->endpoint, sim->now_us);
    tt_dialing_forget(&c->dialing);
    c->dirty = true;
}

/* --- a turn --- */

/* Where CLOSE was lost with its carrier, the next one is told that the session is unknown. */
static bool is_end(int err)
{
    return err == TT_E_CLOSED || err == TT_E_LOST;
}

static void take(struct sim *sim, struct sim_plug *p, struct tt_span packet, struct tt_slab *slab)
{
    struct sim_client *c = p->link->client;
    int err = tt_endpoint_receive(&c->endpoint, sim->now_us, &p->carrier, packet, slab);
    sim_require(sim,
                err == TT_OK || (is_end(err) && c->may_be_closed) ||
                    (err == TT_E_LOST && sim->profile.may_be_lost),
                "the client's session ended while receiving");
}

static int next_packet(struct sim *sim, struct sim_plug *p, struct tt_gather *g, uint32_t *len)
{
    struct sim_client *c = p->link->client;
    int err = tt_endpoint_next_packet(&c->endpoint, sim->now_us, &p->carrier, g, len);
    sim_require(sim, !tt_is_fatal(err) || (is_end(err) && c->may_be_closed),
                "the client's session ended while sending");
    return err;
}

static void receive(struct sim *sim, struct sim_client *c)
{
    TT_LIST_FOR_EACH(node, &c->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, of_client);
        if (!l->at_client.open)
            continue;
        c->dirty |= sim_plug_receive(sim, &l->at_client, &c->slabs, take);
        if (l->at_client.learns_us <= sim->now_us)
            close_link(sim, c, l);
    }
}

/* Its connections are closed like any other: the server learns of it. */
static void end_session(struct sim *sim, struct sim_client *c, const char *how)
{
    sim_note(sim, how, c->number, 0);
    TT_LIST_FOR_EACH(node, &c->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, of_client);
        if (l->at_client.open)
            sim_link_hang_up(sim, l);
    }
    c->closed = true;
    sim_client_stop(sim, c);
}

void sim_client_close(struct sim *sim, struct sim_client *c)
{
    (void)sim;
    c->closing = true;
    c->dirty = true;
    tt_endpoint_close(&c->endpoint);
}

static void lose_session(struct sim *sim, struct sim_client *c)
{
    sim_require(sim, sim->profile.may_be_lost, "the client's session timed out");
    sim_note(sim, "client lost", c->number, 0);
    sim->lost_at_client++;
    sim_client_stop(sim, c);
}

static void handle_timeout(struct sim *sim, struct sim_client *c)
{
    if (tt_endpoint_deadline(&c->endpoint) > sim->now_us)
        return;
    sim_note(sim, "client timeout", c->number, 0);
    const int err = tt_endpoint_handle_timeout(&c->endpoint, sim->now_us);
    sim_check_client_deadline(sim, c);
    c->dirty = true;
    if (err)
        lose_session(sim, c);
}

static void flush(struct sim *sim, struct sim_client *c)
{
    TT_LIST_FOR_EACH(node, &c->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, of_client);
        if (c->dirty || sim_plug_can_go_on(sim, &l->at_client))
            sim_plug_flush(sim, &l->at_client, next_packet);
    }
    c->dirty = false;
}

void sim_client_turn(struct sim *sim, struct sim_client *c)
{
    const struct sim_side side = {.client = c, .endpoint = &c->endpoint};

    if (!c->running)
        return;
    dial_if_due(sim, c);
    receive(sim, c);
    if (is_end(c->endpoint.error) && c->may_be_closed) {
        end_session(sim, c, "the server closed the session");
        return;
    }
    if (c->endpoint.error)
        lose_session(sim, c);
    else
        handle_timeout(sim, c);
    if (!c->running)
        return;
    close_doomed(sim, c);
    if (sim_talk_turn(sim, &side)) {
        sim_require(sim, tt_endpoint_touched(&c->endpoint, sim->now_us) == TT_OK,
                    "the client's session ended");
        c->dirty = true;
    }
    flush(sim, c);
    close_doomed(sim, c);
    if (c->closing && tt_endpoint_is_over(&c->endpoint))
        end_session(sim, c, "client closed the session");
}

uint64_t sim_client_next_us(const struct sim *sim, const struct sim_client *c)
{
    if (!c->running)
        return TT_NEVER;
    if (c->endpoint.error) /* it came of a connection that was closed last */
        return sim->now_us;
    const uint64_t dial_us = c->dialled_us == TT_NEVER
                                 ? tt_dialing_deadline(&c->dialing, &c->endpoint, sim->now_us)
                                 : c->dialled_us;
    return tt_min_u64(dial_us,
                      tt_min_u64(tt_endpoint_deadline(&c->endpoint), sim_talk_next_us(c, false)));
}

/* --- beginning and end --- */

void sim_client_start(struct sim *sim, struct sim_client *c)
{
    struct tt_endpoint_config config = {
        .tuning = &sim->profile.client,
        .client = true,
        .conv = (uint32_t)sim_below(sim, UINT32_MAX),
        .smux_version = sim->profile.smux_version,
        .hash_key = c->hash_key,
        .slabs = &c->slabs,
        .alloc = &sim->alloc,
        .seal = sim_client_seal(sim),
    };
    if (sim->profile.sealed) /* as the server's, which learns of no other */
        config.conv = 0;
    for (unsigned i = 0; i < TT_SESSION_ID_LEN; i++)
        config.id.bytes[i] = (uint8_t)sim_below(sim, 256);
    for (unsigned i = 0; i < sizeof c->hash_key; i++)
        c->hash_key[i] = (uint8_t)sim_below(sim, 256);
    tt_list_init(&c->links);
    tt_slab_pool_init(&c->slabs, &sim->alloc, sim->profile.pool_bytes);
    sim_require(sim, tt_endpoint_init(&c->endpoint, &config, sim->now_us) == TT_OK,
                "a client could not be made");
    struct tt_dialing_config dialing = {
        .first_us = 50 * TT_MS, .most_us = 2 * TT_SECOND, .slow_us = 2 * TT_SECOND};
    memcpy(dialing.jitter_key, c->hash_key, sizeof dialing.jitter_key);
    tt_dialing_init(&c->dialing, &dialing);
    c->running = true;
    c->opened = 0;
    c->dialled_us = TT_NEVER;
    c->progress_us = sim->now_us;
}

void sim_client_stop(struct sim *sim, struct sim_client *c)
{
    if (!c->running)
        return;
    TT_LIST_FOR_EACH(node, &c->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, of_client);
        if (!l->at_client.open)
            continue;
        tt_endpoint_carrier_close(&c->endpoint, sim->now_us, &l->at_client.carrier);
        sim_plug_close(&l->at_client);
        l->accept_us = TT_NEVER;
    }
    c->link = NULL;
    tt_endpoint_dispose(&c->endpoint);
    tt_slab_pool_dispose(&c->slabs);
    c->running = false;
}
