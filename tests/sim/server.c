#include "sim.h"

#include <string.h>

static struct sim_client *client_of(struct sim *sim, const struct tt_session_id *id)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        if (tt_session_id_equal(id, &sim->clients[i].endpoint.config.id))
            return &sim->clients[i];
    }
    sim_require(sim, sim->profile.sealed, "a session of nobody");
    return NULL; /* of an attempt that its client has given up (M-4) */
}

static struct tt_endpoint *endpoint_of(struct sim_client *c)
{
    return c->session ? &c->session->endpoint : NULL;
}

/* --- carriers --- */

static void attach(struct sim *sim, struct sim_plug *p)
{
    const struct tt_carrier_limits limits = {
        .ordered = sim->profile.shape.kind == SIM_BYTES,
        .max_packet = sim->profile.shape.max_packet,
        .framing = sim->profile.shape.kind == SIM_BYTES ? TT_ENCAP_HEADER : 0};
    struct tt_session_id id;

    memcpy(id.bytes, p->id, sizeof id.bytes);
    struct sim_client *c = p->link->client;
    if (p->link->foreign) {
        tt_queue_packet_conn_attach(&sim->server.conn, sim->now_us, &p->carrier, &id, &limits);
        return;
    }
    if (c->session)
        sim_count_in_flight(c, endpoint_of(c), NULL);
    c->crossed |= p->link->number < c->last_attached;
    if (c->last_attached < p->link->number)
        c->last_attached = p->link->number;
    tt_queue_packet_conn_attach(&sim->server.conn, sim->now_us, &p->carrier, &id, &limits);
    sim_note(sim, "attached", c->number, p->link->number);
}

static void accept_link(struct sim *sim, struct sim_link *l)
{
    l->accept_us = TT_NEVER;
    sim_plug_open(sim, &l->at_server, l, &l->up, &l->down);
    if (!l->at_client.open && !l->foreign) /* it has gone already */
        l->at_server.learns_us = sim->now_us + sim->profile.shape.latency_us;
    if (sim->profile.shape.kind == SIM_BYTES)
        return;
    memcpy(l->at_server.id, l->id.bytes, TT_SESSION_ID_LEN);
    l->at_server.id_have = TT_SESSION_ID_LEN;
    attach(sim, &l->at_server);
}

static bool is_attached(const struct sim_plug *p)
{
    return p->id_have == TT_SESSION_ID_LEN;
}

static void close_link(struct sim *sim, struct sim_link *l)
{
    if (is_attached(&l->at_server)) {
        if (l->at_server.carrier.endpoint)
            sim_count_in_flight(l->client, l->at_server.carrier.endpoint, &l->at_server.carrier);
        tt_queue_packet_conn_detach(&sim->server.conn, sim->now_us, &l->at_server.carrier);
    }
    sim_plug_close(&l->at_server);
    sim_note(sim, "server closed", l->client->number, l->number);
}

/* --- a turn --- */

/* The peer of a native session must not do this, and is found out when it does. */
static bool throws_away(struct sim_server *s, struct tt_span packet)
{
    if (s->discards == 0 || packet.len < 500)
        return false;
    s->discards--;
    s->discarded++;
    return true;
}

static void take(struct sim *sim, struct sim_plug *p, struct tt_span packet, struct tt_slab *slab)
{
    if (throws_away(&sim->server, packet))
        return;
    if (p->carrier.limits.max_packet == 0)
        attach(sim, p); /* what follows the ID in one read */
    if (!p->carrier.endpoint && p->link->client->session)
        sim_count_in_flight(p->link->client, endpoint_of(p->link->client), NULL);
    const int err =
        tt_queue_packet_conn_incoming(&sim->server.conn, sim->now_us, &p->carrier, packet, slab);
    if (err && p->learns_us > sim->now_us) { /* a limit: the connection must go */
        sim_link_cut(sim, p->link, (struct sim_cut){.in_flight_arrives = true});
        p->learns_us = sim->now_us;
    }
}

static int next_packet(struct sim *sim, struct sim_plug *p, struct tt_gather *g, uint32_t *len)
{
    return tt_queue_packet_conn_outgoing(&sim->server.conn, sim->now_us, &p->carrier, g, len);
}

static void receive(struct sim *sim)
{
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        if (l->accept_us <= sim->now_us)
            accept_link(sim, l);
        if (!l->at_server.open)
            continue;
        sim_plug_receive(sim, &l->at_server, &sim->server.slabs, take);
        if (is_attached(&l->at_server) && l->at_server.carrier.limits.max_packet == 0)
            attach(sim, &l->at_server);
        if (l->at_server.learns_us <= sim->now_us)
            close_link(sim, l);
    }
}

static void handle_timeout(struct sim *sim)
{
    struct tt_queue_packet_conn *q = &sim->server.conn;
    if (tt_queue_packet_conn_deadline(q) > sim->now_us)
        return;
    sim_note(sim, "server timeout", 0, 0);
    tt_queue_packet_conn_handle_timeout(q, sim->now_us);
    sim_check_server_deadline(sim);
}

static void accept_sessions(struct sim *sim)
{
    struct tt_server_session *s;
    while (tt_queue_packet_conn_accept(&sim->server.conn, &s) == TT_OK) {
        struct sim_client *c = client_of(sim, &s->endpoint.config.id);
        if (!c)
            continue;
        if (c->session && sim->profile.sealed) /* the same: nothing can have been said there */
            c->session->user = NULL;
        else
            sim_require(sim, c->session == NULL || c->session->endpoint.error == TT_E_LOST,
                        "a second session for one client");
        c->session = s;
        s->user = c;
        sim_note(sim, "accepted", c->number, 0);
    }
}

/* What a server says in a session that its client may give up again, nobody hears. */
static bool is_confirmed(const struct sim_client *c)
{
    const struct tt_endpoint *e = &c->endpoint;
    if (!c->session || !e->seal)
        return c->session;
    return tt_sealed_is_confirmed(e) &&
           tt_session_id_equal(&e->config.id, &c->session->endpoint.config.id);
}

static void talk(struct sim *sim)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        struct sim_client *c = &sim->clients[i];
        const struct sim_side side = {.client = c, .endpoint = endpoint_of(c), .is_server = true};
        if (is_confirmed(c) && sim_talk_turn(sim, &side))
            tt_queue_packet_conn_touched(&sim->server.conn, sim->now_us, c->session);
    }
}

static void lose_session(struct sim *sim, struct tt_server_session *s)
{
    struct sim_client *c = s->user;
    sim_require(sim,
                ((s->endpoint.error == TT_E_TIMEOUT || s->endpoint.error == TT_E_LOST) &&
                 sim->profile.may_be_lost) ||
                    (s->endpoint.error == TT_E_CLOSED && c->closing),
                "a session ended at the server");
    sim_note(sim, "server lost", c->number, 0);
    sim->lost_at_server += s->endpoint.error != TT_E_CLOSED;
    if (c->session == s) /* else its client has begun another one */
        c->session = NULL;
    tt_queue_packet_conn_close(&sim->server.conn, sim->now_us, s);
}

/* The client learns of it when what was written has arrived. */
static void close_doomed(struct sim *sim, struct tt_server_session *s)
{
    struct tt_carrier *carrier;
    while ((carrier = tt_endpoint_next_doomed(&s->endpoint)) != NULL) {
        struct sim_link *l = TT_CONTAINER_OF(carrier, struct sim_link, at_server.carrier);
        sim_link_cut(sim, l,
                     (struct sim_cut){.client_learns_us =
                                          l->down.dead ? TT_NEVER : sim->profile.shape.latency_us,
                                      .server_learns_us = TT_NEVER,
                                      .in_flight_arrives = true});
        close_link(sim, l);
    }
}

void sim_server_close(struct sim *sim, struct sim_client *c)
{
    struct tt_server_session *s = c->session;
    c->session = NULL;
    c->may_be_closed = true;
    tt_queue_packet_conn_close(&sim->server.conn, sim->now_us, s);
}

static void flush_session(struct sim *sim, struct tt_server_session *s)
{
    if (s->endpoint.error && s->user) {
        lose_session(sim, s);
        return;
    }
    if (s->endpoint.error && s->state == TT_SERVER_SESSION_ACCEPTED) {
        tt_queue_packet_conn_close(&sim->server.conn, sim->now_us, s);
        return;
    }
    close_doomed(sim, s);
    TT_LIST_FOR_EACH(node, &s->endpoint.carriers)
    {
        struct tt_carrier *carrier = TT_CONTAINER_OF(node, struct tt_carrier, node);
        sim_plug_flush(sim, TT_CONTAINER_OF(carrier, struct sim_plug, carrier), next_packet);
    }
    tt_queue_packet_conn_flushed(&sim->server.conn, s);
}

/* Only what said that it has something to send, and what can be written again, is looked at. */
static void flush(struct sim *sim)
{
    struct tt_server_session *s;
    while ((s = tt_queue_packet_conn_next_dirty(&sim->server.conn)) != NULL)
        flush_session(sim, s);
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        const bool greets = l->at_server.open && !l->at_server.carrier.endpoint &&
                            tt_queue_packet_conn_wants_send(&l->at_server.carrier);
        if (!greets && !sim_plug_can_go_on(sim, &l->at_server))
            continue;
        sim_plug_flush(sim, &l->at_server, next_packet);
        if (l->at_server.carrier.endpoint)
            tt_queue_packet_conn_flushed(
                &sim->server.conn,
                TT_CONTAINER_OF(l->at_server.carrier.endpoint, struct tt_server_session, endpoint));
    }
}

void sim_server_turn(struct sim *sim)
{
    if (!sim->server.running || sim->server.busy_until_us > sim->now_us)
        return;
    receive(sim);
    handle_timeout(sim);
    accept_sessions(sim);
    talk(sim);
    flush(sim);
}

uint64_t sim_server_next_us(const struct sim *sim)
{
    uint64_t next_us = TT_NEVER;
    if (!sim->server.running)
        return next_us;
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        if (is_confirmed(&sim->clients[i]))
            next_us = tt_min_u64(next_us, sim_talk_next_us(&sim->clients[i], true));
    }
    return tt_min_u64(next_us, tt_queue_packet_conn_deadline(&sim->server.conn));
}

/* --- beginning and end --- */

void sim_server_start(struct sim *sim)
{
    struct tt_queue_packet_conn_config config = {
        .tuning = sim->profile.server,
        .max_sessions = 64 + 2 * sim->profile.clients,
        .accept_backlog = 16 + sim->profile.clients,
        .closed_us = 60 * TT_SECOND,
        .max_remembered = 1000,
        .slabs = &sim->server.slabs,
        .alloc = &sim->alloc,
        .gate = sim->profile.sealed ? &sim->server.gate : NULL,
    };
    for (unsigned i = 0; i < sizeof config.hash_key; i++)
        config.hash_key[i] = (uint8_t)sim_below(sim, 256);
    if (sim->profile.sealed)
        sim_gate_start(sim);
    tt_slab_pool_init(&sim->server.slabs, &sim->alloc, sim->profile.pool_bytes);
    sim_require(sim, tt_queue_packet_conn_init(&sim->server.conn, &config) == TT_OK,
                "the server could not be made");
    sim->server.running = true;
}

void sim_server_stop(struct sim *sim)
{
    if (!sim->server.running)
        return;
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        l->accept_us = TT_NEVER;
        if (l->at_server.open)
            close_link(sim, l);
    }
    tt_queue_packet_conn_dispose(&sim->server.conn);
    if (sim->profile.sealed)
        tt_gate_dispose(&sim->server.gate);
    tt_slab_pool_dispose(&sim->server.slabs);
    sim->server.running = false;
}
