#include "session/sealed_world.h"

#include <turbotunnel/error.h>

struct sealed_setup sealed_setup(void)
{
    return (struct sealed_setup){.session = native_setup(), .max_half_open = 4, .max_seen = 100};
}

struct sealed_setup sealed_datagrams(void)
{
    struct sealed_setup s = sealed_setup();
    s.session.limits = &datagram_limits;
    s.session.client.mtu = s.session.server.mtu = 1375;
    return s;
}

static int fill(void *ctx, void *out, size_t len)
{
    struct sealed_world *s = ctx;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)test_random(&s->seed);
    return s->no_random ? TT_E_SYSTEM : TT_OK;
}

static uint64_t wall_s(void *ctx)
{
    const struct sealed_world *s = ctx;
    return s->wall_s;
}

static bool is_welcome(void *ctx, const uint8_t client_key[TT_KEY_LEN])
{
    const struct sealed_world *s = ctx;
    return s->welcome && memcmp(client_key, s->client_keys.public_key, TT_KEY_LEN) == 0;
}

static void make_keys(struct sealed_world *s, uint8_t *private_key, uint8_t *public_key)
{
    (void)fill(s, private_key, TT_KEY_LEN);
    assert_int_equal(tt_crypto_public(s->sealer.crypto, private_key, public_key), TT_OK);
}

static void open_gate(struct sealed_world *s, const struct sealed_setup *setup)
{
    const struct tt_gate_config config = {.sealer = &s->sealer,
                                          .keys = &s->server_keys,
                                          .welcome = setup->by_list ? is_welcome : NULL,
                                          .welcome_ctx = s,
                                          .max_half_open = setup->max_half_open,
                                          .inits_per_second = setup->inits_per_second,
                                          .max_seen = setup->max_seen,
                                          .interval_s = 7200,
                                          .alloc = &s->w.memory.alloc};
    assert_int_equal(tt_gate_init(&s->gate, &config), TT_OK);
}

/* fixture.c has made plain ones. */
static void make_client(struct sealed_world *s)
{
    struct tt_endpoint_config config = s->w.client.config;
    tt_endpoint_dispose(&s->w.client);
    config.alloc = &s->w.memory.alloc;
    config.conv = 0;
    assert_int_equal(tt_seal_new_client(&config.seal, &s->sealer, &s->client_keys, config.alloc),
                     TT_OK);
    assert_int_equal(tt_endpoint_init(&s->w.client, &config, s->w.now_us), TT_OK);
}

static void make_server(struct sealed_world *s)
{
    struct tt_queue_packet_conn_config config = s->w.server.config;
    const struct tt_quota *own_sessions = &s->w.server.own_sessions;
    tt_queue_packet_conn_dispose(&s->w.server);
    config.alloc = &s->w.memory.alloc;
    config.gate = &s->gate;
    if (config.sessions_quota == own_sessions)
        config.sessions_quota = config.waiting_quota = NULL;
    assert_int_equal(tt_queue_packet_conn_init(&s->w.server, &config), TT_OK);
}

void sealed_world_open(struct sealed_world *s, const struct sealed_setup *setup)
{
    const struct sealed_setup usual = sealed_setup();
    const struct tt_random random = {.fill = fill, .ctx = s};
    if (!setup)
        setup = &usual;
    memset(s, 0, sizeof(*s));
    s->seed = 1;
    s->wall_s = SEALED_WALL_S;
    s->welcome = true;
    session_world_open(&s->w, &setup->session);
    assert_int_equal(tt_sealer_init(&s->sealer, &random, wall_s, s), TT_OK);
    make_keys(s, s->server_keys.private_key, s->server_keys.public_key);
    (void)fill(s, s->server_keys.instance, TT_INSTANCE_LEN);
    memcpy(s->client_keys.server_public, s->server_keys.public_key, TT_KEY_LEN);
    s->client_keys.has_identity = setup->identity;
    make_keys(s, s->client_keys.private_key, s->client_keys.public_key);
    open_gate(s, setup);
    make_client(s);
    make_server(s);
}

void sealed_world_close(struct sealed_world *s)
{
    tt_endpoint_dispose(&s->w.client);
    tt_queue_packet_conn_dispose(&s->w.server);
    tt_gate_dispose(&s->gate);
    tt_gather_reset(&s->w.gather);
    tt_gather_reset(&s->w.gather);
    tt_sealer_dispose(&s->sealer);
    session_world_close(&s->w);
}

void sealed_server_restarts(struct sealed_world *s)
{
    const struct tt_gate_config config = s->gate.config;
    make_server(s);
    tt_gate_dispose(&s->gate);
    assert_int_equal(tt_gate_init(&s->gate, &config), TT_OK);
}

void sealed_dials(struct sealed_world *s, struct tt_carrier *client, struct tt_carrier *server)
{
    assert_int_equal(tt_endpoint_dial_id(&s->w.client, &s->w.id), TT_OK);
    client_opens(&s->w, client);
    if (server)
        server_attaches(&s->w, server);
}

void sealed_hangs_up(struct sealed_world *s, struct tt_carrier *client, struct tt_carrier *server)
{
    if (client && client->endpoint)
        tt_endpoint_carrier_close(&s->w.client, s->w.now_us, client);
    if (server && server->role != TT_CARRIER_GONE)
        tt_queue_packet_conn_detach(&s->w.server, s->w.now_us, server);
}

void sealed_waits(struct sealed_world *s, uint64_t us)
{
    const uint64_t until_us = s->w.now_us + us;
    uint64_t at_us;
    while ((at_us = tt_min_u64(tt_endpoint_deadline(&s->w.client),
                               tt_queue_packet_conn_deadline(&s->w.server))) <= until_us) {
        if (at_us > s->w.now_us)
            s->w.now_us = at_us;
        (void)tt_endpoint_handle_timeout(&s->w.client, s->w.now_us);
        tt_queue_packet_conn_handle_timeout(&s->w.server, s->w.now_us);
        flush_dirty(&s->w);
    }
    s->w.now_us = until_us;
}

void open_unused_pair(struct sealed_pair *p, const struct sealed_setup *setup)
{
    memset(p, 0, sizeof(*p));
    sealed_world_open(&p->s, setup);
    sealed_dials(&p->s, &p->client, &p->server);
    carry_all(&p->s.w, &p->client, &p->server);
    assert_int_equal(p->s.w.client.seal->phase, TT_SEAL_CONFIRMED);
    p->session = accept_session(&p->s.w);
    p->far = &p->session->endpoint;
}

void open_sealed_pair(struct sealed_pair *p, const struct sealed_setup *setup)
{
    open_unused_pair(p, setup);
    p->stream = client_stream(&p->s.w, 10);
    carry_all(&p->s.w, &p->client, &p->server);
    assert_int_equal(tt_smux_accept(&p->far->smux, &p->far_stream), TT_OK);
    flush_dirty(&p->s.w);
}

void close_sealed_pair(struct sealed_pair *p)
{
    sealed_hangs_up(&p->s, &p->client, &p->server);
    sealed_world_close(&p->s);
}
