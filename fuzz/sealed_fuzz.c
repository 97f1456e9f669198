/* A sealed client and a server of ours, and somebody between them: he changes, repeats and injects
 * packets on their carriers, and has some of his own. Input: steps (enum step), each with its
 * bytes.
 *
 * Oracles: the server says nothing to him who has no words of the client's; no carrier of his
 * becomes one of the session without them; applications read what was written, byte by byte, and no
 * more; no session ends but for time; no deadline that was handled is still due; what is held is
 * bounded, and everything is given back in the end.
 */
#include "core/queue_packet_conn.h"
#include "core/session/endpoint.h"
#include "core/session/sealed.h"

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "fuzz.h"

#define MAX_INPUT    4000u
#define MAX_STEPS    200u
#define LINKS        2u
#define STRANGERS    2u
#define SEEN         8u
#define MAX_PACKET   2000u
#define MAX_PULLED   32u
#define MAX_SESSIONS 4u
#define MOST_HELD    (8u << 20)

enum step {
    STEP_LINK,     /* dials, or hangs up */
    STEP_TALK,     /* u8: what each end has is carried; one in so many packets is lost */
    STEP_CHANGE,   /* u16, u8: the next packet, one byte of it changed */
    STEP_INJECT,   /* u16 length, bytes: onto a link */
    STEP_REPLAY,   /* u8: something that was seen, onto a link or a connection of his */
    STEP_STRANGER, /* u8: a connection of his, under the client's ID or another one */
    STEP_SAY,      /* u16 length, bytes: on a connection of his */
    STEP_TIME,     /* u16: so many ms pass */
    STEP_APPS,     /* u8: both applications write so much, and read all */
    STEPS,
};

struct seen {
    struct tt_session_id id;
    bool up;
    bool used; /* the server has had it: it must not have an effect once more */
    uint32_t len;
    uint8_t bytes[MAX_PACKET];
};

struct stranger {
    bool open, may_be_answered, may_prove;
    struct tt_carrier carrier;
};

struct link {
    bool open;
    struct tt_session_id id;
    struct tt_carrier near, far;
};

/* One direction of the one stream. */
struct flow {
    uint64_t written, read;
    uint8_t key;
};

struct world {
    struct tt_span in;
    size_t live;
    struct tt_alloc alloc;
    struct tt_slab_pool slabs;
    struct tt_endpoint_tuning tuning;
    struct tt_sealer sealer;
    struct tt_server_keys server_keys;
    struct tt_client_keys client_keys;
    struct tt_gate gate;
    struct tt_endpoint client;
    struct tt_queue_packet_conn server;
    struct tt_smux_stream *near_stream, *far_stream;
    struct tt_server_session *session; /* where far_stream is */
    struct link links[LINKS];
    struct stranger strangers[STRANGERS];
    struct seen seen[SEEN];
    uint32_t seen_count;
    struct flow up, down;
    uint64_t now_us;
    uint32_t dice;
    struct tt_gather gather;
};

static uint8_t take_u8(struct world *w)
{
    if (w->in.len == 0)
        return 0;
    const uint8_t v = w->in.ptr[0];
    tt_span_skip(&w->in, 1);
    return v;
}

static uint16_t take_u16(struct world *w)
{
    const uint8_t low = take_u8(w);
    return (uint16_t)(low | take_u8(w) << 8);
}

static struct tt_span take_bytes(struct world *w)
{
    size_t len = take_u16(w);
    if (len > w->in.len)
        len = w->in.len;
    if (len > MAX_PACKET)
        len = MAX_PACKET;
    const struct tt_span bytes = tt_span_of(w->in.ptr, len);
    tt_span_skip(&w->in, len);
    return bytes;
}

static int fill(void *ctx, void *out, size_t len)
{
    struct world *w = ctx;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++) {
        w->dice = w->dice * UINT32_C(1664525) + UINT32_C(1013904223);
        bytes[i] = (uint8_t)(w->dice >> 24);
    }
    return TT_OK;
}

static uint64_t wall_s(void *ctx)
{
    const struct world *w = ctx;
    return UINT64_C(1790000000) + w->now_us / TT_SECOND;
}

/* --- packets --- */

enum whither { TO_CLIENT, TO_SERVER };

/* In memory of exactly its size: it is opened where it lies. */
static void give(struct world *w, enum whither whither, struct tt_carrier *c, struct tt_span packet)
{
    uint8_t *copy = malloc(packet.len ? packet.len : 1);
    FUZZ_REQUIRE(copy, "the fuzzer itself has no memory");
    if (packet.len)
        memcpy(copy, packet.ptr, packet.len);
    if (whither == TO_SERVER)
        (void)tt_queue_packet_conn_incoming(&w->server, w->now_us, c, tt_span_of(copy, packet.len),
                                            NULL);
    else
        (void)tt_endpoint_receive(&w->client, w->now_us, c, tt_span_of(copy, packet.len), NULL);
    free(copy);
}

static void see(struct world *w, const struct link *l, bool up, struct tt_span packet)
{
    struct seen *s = &w->seen[w->seen_count++ % SEEN];
    s->id = l->id;
    s->up = up;
    s->used = false;
    s->len = (uint32_t)packet.len;
    memcpy(s->bytes, packet.ptr, packet.len);
}

static int pull(struct world *w, struct link *l, bool up, uint8_t *packet, uint32_t *len)
{
    tt_gather_reset(&w->gather);
    const int err =
        up ? tt_endpoint_next_packet(&w->client, w->now_us, &l->near, &w->gather, len)
           : tt_queue_packet_conn_outgoing(&w->server, w->now_us, &l->far, &w->gather, len);
    if (err)
        return err;
    FUZZ_REQUIRE(*len > 0 && *len <= MAX_PACKET && *len == w->gather.bytes,
                 "a packet of a wrong size");
    tt_gather_copy(&w->gather, packet);
    see(w, l, up, tt_span_of(packet, *len));
    return TT_OK;
}

/* The server gets something that was seen, and whatever comes of it cannot come of it again. */
static void give_seen(struct world *w, struct tt_carrier *c, struct seen *s)
{
    const bool heard = !c->muted && !c->endpoint && c->inits_tried < 2;
    give(w, TO_SERVER, c, tt_span_of(s->bytes, s->len));
    if (tt_session_id_equal(&s->id, &c->id))
        s->used |= s->bytes[0] == TT_SEALED_INIT ? heard : c->endpoint != NULL;
}

static void deliver(struct world *w, struct link *l, bool up, struct tt_span packet)
{
    give(w, up ? TO_SERVER : TO_CLIENT, up ? &l->far : &l->near, packet);
}

static void talk(struct world *w, struct link *l, bool up, unsigned losses)
{
    uint8_t packet[MAX_PACKET];
    uint32_t len;
    for (unsigned n = 1; n <= MAX_PULLED && pull(w, l, up, packet, &len) == TT_OK; n++) {
        if (losses != 0 && n % losses == 0)
            continue;
        if (up)
            give_seen(w, &l->far, &w->seen[(w->seen_count - 1) % SEEN]);
        else
            deliver(w, l, up, tt_span_of(packet, len));
    }
}

static void change(struct world *w, struct link *l, bool up)
{
    uint8_t packet[MAX_PACKET];
    uint32_t len;
    const uint16_t at = take_u16(w);
    const uint8_t by = take_u8(w);
    if (pull(w, l, up, packet, &len))
        return;
    packet[at % len] ^= by;
    if (up && by == 0)
        give_seen(w, &l->far, &w->seen[(w->seen_count - 1) % SEEN]);
    else
        deliver(w, l, up, tt_span_of(packet, len));
}

/* --- connections --- */

static const struct tt_carrier_limits limits = {.ordered = true, .max_packet = MAX_PACKET};

static void hang_up(struct world *w, struct link *l)
{
    if (l->near.endpoint)
        tt_endpoint_carrier_close(&w->client, w->now_us, &l->near);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &l->far);
    l->open = false;
}

static void toggle_link(struct world *w, struct link *l)
{
    if (l->open) {
        hang_up(w, l);
    } else if (!w->client.error) {
        FUZZ_REQUIRE(tt_endpoint_dial_id(&w->client, &l->id) == TT_OK, "no ID");
        l->near = (struct tt_carrier){.role = TT_CARRIER_UNBOUND};
        tt_endpoint_carrier_open(&w->client, w->now_us, &l->near, &limits);
        tt_queue_packet_conn_attach(&w->server, w->now_us, &l->far, &l->id, &limits);
        l->open = true;
    }
}

static void toggle_stranger(struct world *w, struct stranger *s, uint8_t how)
{
    struct tt_session_id id = w->client.config.id;
    if (s->open) {
        tt_queue_packet_conn_detach(&w->server, w->now_us, &s->carrier);
        s->open = false;
        return;
    }
    id.bytes[0] ^= how & 1;
    *s = (struct stranger){.open = true};
    tt_queue_packet_conn_attach(&w->server, w->now_us, &s->carrier, &id, &limits);
}

static void replay(struct world *w, uint8_t what)
{
    if (w->seen_count == 0)
        return;
    struct seen *s = &w->seen[what % (w->seen_count < SEEN ? w->seen_count : SEEN)];
    const struct tt_span packet = tt_span_of(s->bytes, s->len);
    const unsigned where = what / SEEN;
    struct link *l = &w->links[where % LINKS];
    struct stranger *x = &w->strangers[where % STRANGERS];
    if (where & 4) {
        if (l->open)
            deliver(w, l, where & 8, packet);
    } else if (x->open) {
        const bool his = s->up && !s->used && tt_session_id_equal(&s->id, &x->carrier.id);
        x->may_be_answered |= his && s->bytes[0] == TT_SEALED_INIT;
        x->may_prove |= his && s->bytes[0] == TT_SEALED_DATA;
        give_seen(w, &x->carrier, s);
    }
}

static void check_stranger(struct world *w, struct stranger *s)
{
    uint32_t len;
    if (!s->open)
        return;
    FUZZ_REQUIRE(s->may_prove || !s->carrier.endpoint, "a stranger is taken for the client");
    tt_gather_reset(&w->gather);
    const int err =
        tt_queue_packet_conn_outgoing(&w->server, w->now_us, &s->carrier, &w->gather, &len);
    FUZZ_REQUIRE(err || s->may_be_answered || s->may_prove, "a stranger was answered");
}

/* --- applications --- */

static uint8_t byte_of(const struct flow *f, uint64_t at)
{
    return (uint8_t)((at * 31 + f->key) ^ at >> 8);
}

static void write_some(struct tt_smux_stream *s, struct flow *f, size_t len)
{
    uint8_t bytes[2048];
    size_t taken = 0;
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_of(f, f->written + i);
    (void)tt_smux_write(s, bytes, len, &taken);
    f->written += taken;
}

static void read_all(struct tt_smux_stream *s, struct flow *f)
{
    uint8_t bytes[1000];
    size_t len;
    while (tt_smux_read(s, bytes, sizeof bytes, &len) == TT_OK) {
        for (size_t i = 0; i < len; i++)
            FUZZ_REQUIRE(bytes[i] == byte_of(f, f->read + i), "other bytes than were written");
        f->read += len;
        FUZZ_REQUIRE(f->read <= f->written, "more was read than written");
    }
}

/* What was accepted and has failed is closed; a session of an attempt that came to nothing stays.
 */
static void accept_all(struct world *w)
{
    struct tt_server_session *s;
    while (tt_queue_packet_conn_accept(&w->server, &s) == TT_OK)
        continue;
    TT_LIST_FOR_EACH(node, &w->server.remotes.by_use)
    {
        struct tt_remote *r = TT_CONTAINER_OF(node, struct tt_remote, node);
        s = TT_CONTAINER_OF(r, struct tt_server_session, remote);
        FUZZ_REQUIRE(s->endpoint.error == TT_OK, "a session ended at the server");
        if (!w->far_stream && tt_smux_accept(&s->endpoint.smux, &w->far_stream) == TT_OK)
            w->session = s;
    }
}

static void use_apps(struct world *w, uint8_t what)
{
    if (!w->near_stream)
        (void)tt_smux_open(&w->client.smux, &w->near_stream);
    if (w->near_stream) {
        write_some(w->near_stream, &w->up, what * 8u);
        read_all(w->near_stream, &w->down);
    }
    (void)tt_endpoint_touched(&w->client, w->now_us);
    if (w->far_stream) {
        write_some(w->far_stream, &w->down, what * 8u);
        read_all(w->far_stream, &w->up);
        tt_queue_packet_conn_touched(&w->server, w->now_us, w->session);
    }
}

/* --- time, and what holds after each step --- */

/* Sessions of the server expire when the client's does; so little passes in all. */
static void pass(struct world *w, uint64_t by_us)
{
    w->now_us += by_us;
    (void)tt_endpoint_handle_timeout(&w->client, w->now_us);
    FUZZ_REQUIRE(w->client.error || tt_endpoint_deadline(&w->client) > w->now_us,
                 "the client's deadline is still due");
    tt_queue_packet_conn_handle_timeout(&w->server, w->now_us);
    FUZZ_REQUIRE(tt_queue_packet_conn_deadline(&w->server) > w->now_us,
                 "the server's deadline is still due");
}

static void close_doomed(struct world *w)
{
    struct tt_server_session *s;
    for (unsigned k = 0; k < LINKS; k++)
        if (w->links[k].open && (w->links[k].near.doomed || w->links[k].far.doomed))
            hang_up(w, &w->links[k]);
    for (unsigned k = 0; k < STRANGERS; k++)
        if (w->strangers[k].open && w->strangers[k].carrier.doomed)
            toggle_stranger(w, &w->strangers[k], 0);
    while ((s = tt_queue_packet_conn_next_dirty(&w->server)) != NULL)
        tt_queue_packet_conn_flushed(&w->server, s);
}

static void check(struct world *w)
{
    for (unsigned k = 0; k < STRANGERS; k++)
        check_stranger(w, &w->strangers[k]);
    accept_all(w);
    close_doomed(w);
    FUZZ_REQUIRE(w->client.error == TT_OK, "the client's session ended");
    FUZZ_REQUIRE(w->slabs.live_bytes <= MOST_HELD, "far more memory than bytes");
    FUZZ_REQUIRE(w->server.sessions <= MAX_SESSIONS, "more sessions than the limit");
    FUZZ_REQUIRE(tt_remote_map_count(&w->gate.halves) <= 3, "more half open than the limit");
}

static void step(struct world *w)
{
    const uint8_t what = take_u8(w);
    struct link *l = &w->links[what / STEPS % LINKS];
    struct stranger *s = &w->strangers[what / STEPS % STRANGERS];
    const bool up = what / STEPS / 2 % 2;

    switch ((enum step)(what % STEPS)) {
    case STEP_LINK:
        toggle_link(w, l);
        break;
    case STEP_TALK: {
        const uint8_t losses = take_u8(w);
        for (unsigned n = 0; n < 4 && l->open; n++)
            talk(w, l, n % 2 == 0, losses);
        break;
    }
    case STEP_CHANGE:
        if (l->open)
            change(w, l, up);
        break;
    case STEP_INJECT: {
        const struct tt_span packet = take_bytes(w);
        if (l->open)
            deliver(w, l, up, packet);
        break;
    }
    case STEP_REPLAY:
        replay(w, take_u8(w));
        break;
    case STEP_STRANGER:
        toggle_stranger(w, s, take_u8(w));
        break;
    case STEP_SAY: {
        const struct tt_span packet = take_bytes(w);
        if (s->open)
            give(w, TO_SERVER, &s->carrier, packet);
        break;
    }
    case STEP_TIME:
        pass(w, take_u16(w) % 2000 * TT_MS);
        break;
    case STEP_APPS:
        use_apps(w, take_u8(w));
        break;
    case STEPS:
        break;
    }
}

/* --- beginning and end --- */

static void make_pair(struct world *w, uint8_t *private_key, uint8_t *public_key)
{
    (void)fill(w, private_key, TT_KEY_LEN);
    FUZZ_REQUIRE(tt_crypto_public(w->sealer.crypto, private_key, public_key) == TT_OK, "no key");
}

static void begin_sealing(struct world *w)
{
    const struct tt_random random = {.fill = fill, .ctx = w};
    const struct tt_gate_config gate = {.sealer = &w->sealer,
                                        .keys = &w->server_keys,
                                        .max_half_open = 3,
                                        .max_seen = 32,
                                        .interval_s = 7200,
                                        .alloc = &w->alloc};
    FUZZ_REQUIRE(tt_sealer_init(&w->sealer, &random, wall_s, w) == TT_OK, "no libcrypto");
    make_pair(w, w->server_keys.private_key, w->server_keys.public_key);
    memcpy(w->client_keys.server_public, w->server_keys.public_key, TT_KEY_LEN);
    make_pair(w, w->client_keys.private_key, w->client_keys.public_key);
    FUZZ_REQUIRE(tt_gate_init(&w->gate, &gate) == TT_OK, "init failed");
}

static void begin(struct world *w, uint8_t settings)
{
    static const uint8_t hash_key[TT_SIPHASH_KEY];
    struct tt_endpoint_config client = {
        .tuning = &w->tuning, .client = true, .smux_version = 2, .hash_key = hash_key};
    struct tt_queue_packet_conn_config server = {.max_sessions = MAX_SESSIONS,
                                                 .accept_backlog = MAX_SESSIONS,
                                                 .closed_us = 60 * TT_SECOND,
                                                 .gate = &w->gate};
    w->alloc = fuzz_alloc(&w->live);
    w->now_us = TT_SECOND;
    w->dice = settings;
    w->up.key = 1;
    w->down.key = 2;
    tt_slab_pool_init(&w->slabs, &w->alloc, SIZE_MAX);
    tt_endpoint_tuning_default(&w->tuning);
    w->tuning.carriers = settings & 1 ? 2 : 1;
    w->tuning.session_timeout_us = 3600 * TT_SECOND;
    begin_sealing(w);
    w->client_keys.has_identity = settings & 2;
    client.slabs = server.slabs = &w->slabs;
    client.alloc = server.alloc = &w->alloc;
    server.tuning = w->tuning;
    FUZZ_REQUIRE(tt_seal_new_client(&client.seal, &w->sealer, &w->client_keys, &w->alloc) == TT_OK,
                 "init failed");
    FUZZ_REQUIRE(tt_endpoint_init(&w->client, &client, w->now_us) == TT_OK, "init failed");
    FUZZ_REQUIRE(tt_queue_packet_conn_init(&w->server, &server) == TT_OK, "init failed");
    toggle_link(w, &w->links[0]);
}

static void end(struct world *w)
{
    for (unsigned k = 0; k < LINKS; k++)
        if (w->links[k].open)
            hang_up(w, &w->links[k]);
    for (unsigned k = 0; k < STRANGERS; k++)
        if (w->strangers[k].open)
            toggle_stranger(w, &w->strangers[k], 0);
    tt_endpoint_dispose(&w->client);
    tt_queue_packet_conn_dispose(&w->server);
    tt_gate_dispose(&w->gate);
    tt_gather_reset(&w->gather);
    tt_sealer_dispose(&w->sealer);
    FUZZ_REQUIRE(w->slabs.live_bytes == 0, "slabs held after dispose");
    tt_slab_pool_dispose(&w->slabs);
    FUZZ_REQUIRE(w->live == 0, "memory held after dispose");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    if (size < 1 || size > MAX_INPUT)
        return 0;
    memset(&w, 0, sizeof w);
    w.in = tt_span_of(data + 1, size - 1);
    begin(&w, data[0]);
    for (unsigned n = 0; n < MAX_STEPS && w.in.len > 0; n++) {
        step(&w);
        check(&w);
    }
    end(&w);
    return 0;
}
