#include "session/fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include <turbotunnel/error.h>

#define SLAB_LIMIT ((size_t)1 << 28)

const struct tt_carrier_limits ordered_limits = {.ordered = true, .max_packet = 1400};
const struct tt_carrier_limits datagram_limits = {.ordered = false, .max_packet = 1400};
const struct tt_carrier_limits wide_limits = {.ordered = true, .max_packet = 65535};

struct session_setup usual_setup(void)
{
    struct session_setup s = {.smux_version = 2,
                              .max_sessions = 8,
                              .accept_backlog = 4,
                              .closed_us = 60 * TT_SECOND,
                              .limits = &ordered_limits};
    tt_endpoint_tuning_default(&s.client);
    tt_endpoint_tuning_default(&s.server);
    s.client.legacy = s.server.legacy = true; /* the worked example's protocol alone */
    return s;
}

struct session_setup native_setup(void)
{
    struct session_setup s = usual_setup();
    s.client.legacy = s.server.legacy = false;
    s.limits = &wide_limits;
    return s;
}

static void open_client(struct session_world *w, const struct session_setup *s)
{
    static const uint8_t hash_key[TT_SIPHASH_KEY];
    w->client_tuning = s->client;
    const struct tt_endpoint_config c = {
        .tuning = &w->client_tuning,
        .client = true,
        .id = w->id,
        .conv = WORLD_CONV,
        .smux_version = s->smux_version,
        .hash_key = hash_key,
        .slabs = &w->slabs,
        .alloc = &w->memory.alloc,
    };
    assert_int_equal(tt_endpoint_init(&w->client, &c, w->now_us), TT_OK);
}

void session_world_open(struct session_world *w, const struct session_setup *setup)
{
    const struct session_setup usual = usual_setup();
    const struct session_setup *s = setup ? setup : &usual;

    memset(w, 0, sizeof(*w));
    w->now_us = 1000 * TT_SECOND;
    w->limits = s->limits;
    memcpy(w->id.bytes, "session1", TT_SESSION_ID_LEN);
    failing_alloc_init(&w->memory, FAIL_NEVER);
    tt_slab_pool_init(&w->slabs, &w->memory.alloc, SLAB_LIMIT);
    const struct tt_queue_packet_conn_config config = {
        .tuning = s->server,
        .max_sessions = s->max_sessions,
        .accept_backlog = s->accept_backlog,
        .sessions_quota = s->sessions_quota,
        .waiting_quota = s->waiting_quota,
        .closed_us = s->closed_us,
        .max_remembered = 100,
        .slabs = &w->slabs,
        .alloc = &w->memory.alloc,
    };
    assert_int_equal(tt_queue_packet_conn_init(&w->server, &config), TT_OK);
    open_client(w, s);
}

void session_world_close(struct session_world *w)
{
    tt_endpoint_dispose(&w->client);
    tt_endpoint_dispose(&w->client); /* twice is safe */
    tt_queue_packet_conn_dispose(&w->server);
    tt_queue_packet_conn_dispose(&w->server);
    tt_gather_reset(&w->gather);
    assert_int_equal(w->slabs.live_bytes, 0);
    tt_slab_pool_dispose(&w->slabs);
    assert_int_equal(w->memory.live, 0);
}

void client_opens(struct session_world *w, struct tt_carrier *c)
{
    *c = (struct tt_carrier){.role = TT_CARRIER_UNBOUND};
    tt_endpoint_carrier_open(&w->client, w->now_us, c, w->limits);
}

void open_native_world(struct session_world *w, struct tt_carrier *c)
{
    const struct session_setup setup = native_setup();
    session_world_open(w, &setup);
    client_opens(w, c);
}

void server_attaches(struct session_world *w, struct tt_carrier *c)
{
    tt_queue_packet_conn_attach(&w->server, w->now_us, c, &w->id, w->limits);
}

/* --- packets --- */

static int keep_packet(struct session_world *w, int err, uint32_t len)
{
    w->packet_len = 0;
    if (err)
        return err;
    assert_int_equal(w->gather.bytes, len);
    assert_true(len > 0);
    for (uint32_t i = w->gather.first; i < w->gather.count; i++) {
        const struct tt_span s = w->gather.spans[i];
        memcpy(w->packet + w->packet_len, s.ptr, s.len);
        w->packet_len += (uint32_t)s.len;
    }
    return TT_OK;
}

int pull_up(struct session_world *w, struct tt_carrier *c)
{
    uint32_t len;
    tt_gather_reset(&w->gather);
    int err = tt_endpoint_next_packet(&w->client, w->now_us, c, &w->gather, &len);
    return keep_packet(w, err, len);
}

int pull_down(struct session_world *w, struct tt_carrier *c)
{
    uint32_t len;
    tt_gather_reset(&w->gather);
    int err = tt_queue_packet_conn_outgoing(&w->server, w->now_us, c, &w->gather, &len);
    return keep_packet(w, err, len);
}

/* Where a packet lies while it is handed in. */
struct delivery {
    struct tt_span packet;
    struct tt_slab *slab; /* or NULL: in memory of its own */
    uint8_t *copy;
};

static struct delivery deliver(struct session_world *w, struct tt_span packet)
{
    struct delivery d = {.slab = NULL};
    if (w->given++ % 2 == 1 && packet.len <= tt_slab_capacity(TT_SLAB_MEDIUM))
        d.slab = tt_slab_get(&w->slabs, TT_SLAB_MEDIUM);
    if (d.slab)
        d.slab->transient = true;
    else
        d.copy = malloc(packet.len ? packet.len : 1);
    uint8_t *at = d.slab ? d.slab->data : d.copy;
    if (!at)
        abort();
    if (packet.len)
        memcpy(at, packet.ptr, packet.len);
    d.packet = tt_span_of(at, packet.len);
    return d;
}

static void end_delivery(const struct delivery *d)
{
    if (d->slab)
        memset(d->slab->data, 0xee, d->packet.len);
    tt_slab_unref(d->slab);
    free(d->copy);
}

int give_client(struct session_world *w, struct tt_carrier *c, struct tt_span packet)
{
    const struct delivery d = deliver(w, packet);
    int err = tt_endpoint_receive(&w->client, w->now_us, c, d.packet, d.slab);
    end_delivery(&d);
    return err;
}

void give_server(struct session_world *w, struct tt_carrier *c, struct tt_span packet)
{
    const struct delivery d = deliver(w, packet);
    (void)tt_queue_packet_conn_incoming(&w->server, w->now_us, c, d.packet, d.slab);
    end_delivery(&d);
}

void carry_up(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to)
{
    while (pull_up(w, from) == TT_OK)
        give_server(w, to, tt_span_of(w->packet, w->packet_len));
}

void carry_down(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to)
{
    while (pull_down(w, from) == TT_OK)
        (void)give_client(w, to, tt_span_of(w->packet, w->packet_len));
}

void carry_all(struct session_world *w, struct tt_carrier *client, struct tt_carrier *server)
{
    uint64_t before;
    do {
        before = client->taken_packets + server->taken_packets;
        carry_up(w, client, server);
        carry_down(w, server, client);
    } while (client->taken_packets + server->taken_packets != before);
}

void lose_up(struct session_world *w, struct tt_carrier *c)
{
    while (pull_up(w, c) == TT_OK)
        continue;
}

void lose_down(struct session_world *w, struct tt_carrier *c)
{
    while (pull_down(w, c) == TT_OK)
        continue;
}

/* --- looking at packets --- */

static bool next_segment(struct tt_span *packet, struct tt_kcp_header *h)
{
    if (packet->len == 0)
        return false;
    assert_true(packet->len >= TT_KCP_HEADER);
    *h = tt_kcp_header_read(packet->ptr);
    assert_true(h->len <= packet->len - TT_KCP_HEADER);
    tt_span_skip(packet, TT_KCP_HEADER + h->len);
    return true;
}

static const char *control_text(const struct session_world *w)
{
    static char text[64];
    struct tt_control c;
    text[0] = '\0';
    if (tt_control_read(&c, tt_span_of(w->packet, w->packet_len)))
        return "?";
    switch (c.type) {
    case TT_CONTROL_HELLO:
        sprintf(text, "hello %u max %u flags %u", (unsigned)c.hello.carrier, c.hello.max_packet,
                c.hello.flags);
        break;
    case TT_CONTROL_PING:
        return "ping";
    case TT_CONTROL_PONG:
        return "pong";
    case TT_CONTROL_CLOSE:
        sprintf(text, "close %u", c.reason);
        break;
    case TT_CONTROL_STATE:
        sprintf(text, "state %u of %u", c.state.state, (unsigned)c.state.carrier);
        break;
    case TT_CONTROL_LIMIT:
        sprintf(text, "limit %u bytes %u s", (unsigned)c.limit.bytes, c.limit.seconds);
        break;
    }
    return text;
}

const char *packet_text(const struct session_world *w)
{
    static const char *const names[] = {"push", "ack", "wask", "wins"};
    static char text[8192];
    struct tt_span left = tt_span_of(w->packet, w->packet_len);
    struct tt_kcp_header h;
    int at = 0;

    if (tt_is_control(w->packet_len))
        return control_text(w);
    text[0] = '\0';
    for (bool first = true; at < 8000 && next_segment(&left, &h); first = false) {
        assert_in_range(h.cmd, TT_KCP_PUSH, TT_KCP_WINS);
        at += sprintf(text + at, "%s%s", first ? "" : ", ", names[h.cmd - TT_KCP_PUSH]);
        if (h.cmd == TT_KCP_PUSH)
            at += sprintf(text + at, " %u [%u]", (unsigned)h.sn, (unsigned)h.len);
        else if (h.cmd == TT_KCP_ACK)
            at += sprintf(text + at, " %u", (unsigned)h.sn);
        if (first)
            at += sprintf(text + at, " wnd %u una %u", (unsigned)h.wnd, (unsigned)h.una);
    }
    return text;
}

unsigned packet_count(const struct session_world *w, enum tt_kcp_cmd cmd)
{
    struct tt_span left = tt_span_of(w->packet, w->packet_len);
    struct tt_kcp_header h;
    unsigned n = 0;
    if (tt_is_control(w->packet_len))
        return 0;
    while (next_segment(&left, &h))
        n += h.cmd == cmd;
    return n;
}

struct tt_span make_packet(struct session_world *w, struct tt_kcp_header h, struct tt_span data)
{
    tt_kcp_header_write(w->packet, &h);
    if (data.len)
        memcpy(w->packet + TT_KCP_HEADER, data.ptr, data.len);
    w->packet_len = TT_KCP_HEADER + (uint32_t)data.len;
    return tt_span_of(w->packet, w->packet_len);
}

struct tt_span make_control(struct session_world *w, const struct tt_control *c)
{
    w->packet_len = tt_control_write(w->packet, c);
    return tt_span_of(w->packet, w->packet_len);
}

/* What one packet adds to the words about all of them. */
static void add_words(const struct session_world *w, char *text, size_t cap)
{
    const size_t at = strlen(text);
    snprintf(text + at, cap - at, "%s%s", at ? ", " : "",
             tt_is_control(w->packet_len) ? packet_text(w) : "data");
}

const char *words_up(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to)
{
    static char text[1024];
    text[0] = '\0';
    while (pull_up(w, from) == TT_OK) {
        add_words(w, text, sizeof(text));
        if (to)
            give_server(w, to, tt_span_of(w->packet, w->packet_len));
    }
    return text;
}

const char *words_down(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to)
{
    static char text[1024];
    text[0] = '\0';
    while (pull_down(w, from) == TT_OK) {
        add_words(w, text, sizeof(text));
        if (to)
            (void)give_client(w, to, tt_span_of(w->packet, w->packet_len));
    }
    return text;
}

/* --- sessions and streams --- */

struct tt_server_session *accept_session(struct session_world *w)
{
    struct tt_server_session *s = NULL;
    assert_int_equal(tt_queue_packet_conn_accept(&w->server, &s), TT_OK);
    return s;
}

unsigned flush_dirty(struct session_world *w)
{
    struct tt_server_session *s;
    unsigned n = 0;
    for (; (s = tt_queue_packet_conn_next_dirty(&w->server)) != NULL; n++)
        tt_queue_packet_conn_flushed(&w->server, s);
    return n;
}

struct tt_smux_stream *client_stream(struct session_world *w, size_t len)
{
    struct tt_smux_stream *s = NULL;
    assert_int_equal(tt_smux_open(&w->client.smux, &s), TT_OK);
    write_bytes(s, len);
    return s;
}

void write_bytes(struct tt_smux_stream *s, size_t len)
{
    static const uint8_t zeroes[4096];
    while (len > 0) {
        size_t taken;
        assert_int_equal(
            tt_smux_write(s, zeroes, len < sizeof(zeroes) ? len : sizeof(zeroes), &taken), TT_OK);
        len -= taken;
    }
}

size_t read_bytes(struct tt_smux_stream *s, bool *ended)
{
    uint8_t buf[4096];
    size_t total = 0;
    size_t len;
    int err;

    while ((err = tt_smux_read(s, buf, sizeof(buf), &len)) == TT_OK)
        total += len;
    assert_true(err == TT_E_AGAIN || err == TT_E_END);
    *ended = err == TT_E_END;
    return total;
}

void catch_up(struct session_world *w, struct tt_carrier *c, struct tt_carrier *far)
{
    for (unsigned i = 0; i < 10; i++) {
        w->now_us += TT_SECOND;
        (void)tt_endpoint_handle_timeout(&w->client, w->now_us);
        tt_queue_packet_conn_handle_timeout(&w->server, w->now_us);
        flush_dirty(w);
        carry_all(w, c, far);
    }
}

void open_pair_with(struct session_pair *s, const struct session_setup *setup)
{
    session_world_open(&s->world, setup);
    client_opens(&s->world, &s->client);
    server_attaches(&s->world, &s->server);
    s->stream = client_stream(&s->world, 10);
    carry_all(&s->world, &s->client, &s->server);
    s->far = &accept_session(&s->world)->endpoint;
    assert_int_equal(tt_smux_accept(&s->far->smux, &s->far_stream), TT_OK);
}

void open_pair(struct session_pair *s)
{
    open_pair_with(s, NULL);
}

void open_native_pair(struct session_pair *s)
{
    const struct session_setup setup = native_setup();
    open_pair_with(s, &setup);
}

void add_carrier(struct session_pair *s, struct tt_carrier *c, struct tt_carrier *far)
{
    client_opens(&s->world, c);
    server_attaches(&s->world, far);
    carry_two(s, c, far);
}

void carry_two(struct session_pair *s, struct tt_carrier *c, struct tt_carrier *far)
{
    uint64_t before;
    do {
        before = c->taken_packets + far->taken_packets;
        carry_all(&s->world, &s->client, &s->server);
        carry_all(&s->world, c, far);
    } while (c->taken_packets + far->taken_packets != before);
}

void open_two(struct two_carriers *t, const struct session_setup *setup)
{
    struct session_setup usual = native_setup();
    usual.client.carriers = 2;
    open_pair_with(&t->pair, setup ? setup : &usual);
    add_carrier(&t->pair, &t->client, &t->server);
}

void carry_both(struct two_carriers *t)
{
    carry_two(&t->pair, &t->client, &t->server);
}

void client_waits(struct session_world *w, uint64_t us)
{
    const uint64_t until_us = w->now_us + us;
    uint64_t at_us;
    while ((at_us = tt_endpoint_deadline(&w->client)) <= until_us) {
        if (at_us > w->now_us)
            w->now_us = at_us;
        (void)tt_endpoint_handle_timeout(&w->client, w->now_us);
    }
    w->now_us = until_us;
}

void redial(struct session_pair *s, struct tt_carrier *c)
{
    tt_endpoint_carrier_close(&s->world.client, s->world.now_us, &s->client);
    client_opens(&s->world, c);
}
