/* A server and a client of ours, and a stranger who is both at once: packets of any bytes, and
 * well-formed segments with any numbers, to either end, on carriers that come and go; in between
 * the two ends also talk to each other. Byte 0 is the settings, the rest is steps (enum step).
 *
 * Oracles: no deadline that was handled is still due; what is held stays below a bound that follows
 * from what came, from the number of sessions and from what the applications wrote; applications
 * read no more bytes than came; there are no more sessions than allowed; and everything is given
 * back in the end.
 */
#include "core/queue_packet_conn.h"
#include "core/session/endpoint.h"

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "fuzz.h"

#define MAX_INPUT    20000u
#define MAX_STEPS    400u
#define CARRIERS     3u
#define CONV         UINT32_C(0x5eed1234) /* of the recorded sessions in the corpus */
#define MAX_SESSIONS 4u
#define MAX_PULLED   64u

enum step {
    STEP_PACKET_UP,      /* u16 length, bytes: a packet for the server */
    STEP_PACKET_DOWN,    /* the same for the client */
    STEP_SEGMENT_UP,     /* a segment: cmd, frg, u16 sn, u16 una, u16 wnd, u8 length, data */
    STEP_SEGMENT_DOWN,   /* the same for the client */
    STEP_SERVER_CARRIER, /* comes, or goes if it is there */
    STEP_CLIENT_CARRIER,
    STEP_TALK,   /* what both ends have for their carriers is carried; u8: and lost so often */
    STEP_TIME,   /* u16: so many ms pass */
    STEP_SERVER, /* u8: what its application does */
    STEP_CLIENT, /* the same */
    STEPS,
};

struct world {
    struct tt_span in;
    size_t live;
    struct tt_alloc alloc;
    struct tt_slab_pool slabs;
    struct tt_endpoint_tuning tuning;
    struct tt_endpoint client;
    struct tt_queue_packet_conn server;
    struct tt_server_session *session;              /* accepted, or NULL */
    struct tt_smux_stream *stream;                  /* the client's, or NULL */
    struct tt_carrier up[CARRIERS], down[CARRIERS]; /* the client's ends, the server's */
    bool up_open[CARRIERS], down_open[CARRIERS];
    uint64_t now_us;
    size_t writes, read_bytes, came_bytes;
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

/* --- packets --- */

/* In a slab of exactly its size where that is possible, so that a sanitizer sees who overruns it.
 */
static void give(struct world *w, struct tt_span packet, bool up, unsigned k)
{
    uint8_t *copy = malloc(packet.len ? packet.len : 1);
    FUZZ_REQUIRE(copy, "the fuzzer itself has no memory");
    if (packet.len)
        memcpy(copy, packet.ptr, packet.len);
    w->came_bytes += packet.len;
    const struct tt_span span = tt_span_of(copy, packet.len);
    if (up && w->down_open[k])
        tt_queue_packet_conn_incoming(&w->server, w->now_us, &w->down[k], span, NULL);
    if (!up && w->up_open[k])
        (void)tt_endpoint_receive(&w->client, w->now_us, &w->up[k], span, NULL);
    free(copy);
}

static void give_packet(struct world *w, bool up, unsigned k)
{
    size_t len = take_u16(w);
    if (len > w->in.len)
        len = w->in.len;
    const struct tt_span packet = tt_span_of(w->in.ptr, len);
    tt_span_skip(&w->in, len);
    give(w, packet, up, k);
}

static void give_segment(struct world *w, bool up, unsigned k)
{
    uint8_t buf[TT_KCP_HEADER + 255];
    struct tt_kcp_header h = {.conv = CONV};
    h.cmd = (uint8_t)(TT_KCP_PUSH + take_u8(w) % 5);
    h.frg = take_u8(w);
    h.sn = (uint32_t)(int16_t)take_u16(w);
    h.una = (uint32_t)(int16_t)take_u16(w);
    h.wnd = take_u16(w);
    h.len = take_u8(w);
    if (h.len > w->in.len)
        h.len = (uint32_t)w->in.len;
    h.ts = (uint32_t)(w->now_us / TT_MS);
    tt_kcp_header_write(buf, &h);
    if (h.len)
        memcpy(buf + TT_KCP_HEADER, w->in.ptr, h.len);
    tt_span_skip(&w->in, h.len);
    give(w, tt_span_of(buf, TT_KCP_HEADER + h.len), up, k);
}

static int pull(struct world *w, bool up, unsigned k, uint8_t *packet, uint32_t *len)
{
    uint32_t at = 0;
    tt_gather_reset(&w->gather);
    int err =
        up ? tt_endpoint_next_packet(&w->client, w->now_us, &w->up[k], &w->gather, len)
           : tt_queue_packet_conn_outgoing(&w->server, w->now_us, &w->down[k], &w->gather, len);
    if (err)
        return err;
    FUZZ_REQUIRE(*len > 0 && *len <= 1400 && *len == w->gather.bytes, "a packet of a wrong size");
    for (uint32_t i = w->gather.first; i < w->gather.count; i++) {
        memcpy(packet + at, w->gather.spans[i].ptr, w->gather.spans[i].len);
        at += (uint32_t)w->gather.spans[i].len;
    }
    return TT_OK;
}

/* losses: one in so many packets is lost; 0: none. */
static void talk(struct world *w, bool up, unsigned k, unsigned losses)
{
    uint8_t packet[1400];
    uint32_t len;
    if (!(up ? w->up_open[k] : w->down_open[k]))
        return;
    for (unsigned n = 1; n <= MAX_PULLED && pull(w, up, k, packet, &len) == TT_OK; n++) {
        if (losses == 0 || n % losses != 0)
            give(w, tt_span_of(packet, len), up, k);
    }
}

/* --- carriers --- */

static const struct tt_carrier_limits limits = {.ordered = true, .max_packet = 1400};

static void toggle_server_carrier(struct world *w, unsigned k)
{
    w->down_open[k] = !w->down_open[k];
    if (w->down_open[k])
        tt_queue_packet_conn_attach(&w->server, w->now_us, &w->down[k], &w->client.config.id,
                                    &limits);
    else
        tt_queue_packet_conn_detach(&w->server, w->now_us, &w->down[k]);
}

static void toggle_client_carrier(struct world *w, unsigned k)
{
    w->up_open[k] = !w->up_open[k];
    if (w->up_open[k])
        tt_endpoint_carrier_open(&w->client, w->now_us, &w->up[k], &limits);
    else
        tt_endpoint_carrier_close(&w->client, w->now_us, &w->up[k]);
}

/* --- applications --- */

static void read_all(struct world *w, struct tt_smux_stream *s)
{
    uint8_t buf[1000];
    size_t len;
    while (tt_smux_read(s, buf, sizeof buf, &len) == TT_OK)
        w->read_bytes += len;
}

static void use_stream(struct world *w, struct tt_smux_stream **s, uint8_t what)
{
    static const uint8_t data[2000];
    size_t len = 0;
    if (!*s)
        return;
    if (what & 1)
        read_all(w, *s);
    if (what & 2)
        (void)tt_smux_write(*s, data, (size_t)(what & 0xf0) * 8 + 1, &len);
    if (what & 4)
        (void)tt_smux_shutdown(*s);
    if ((what & 8) && *s) {
        tt_smux_close(*s);
        *s = NULL;
    }
    w->writes += len > 0;
}

static void use_server(struct world *w, uint8_t what)
{
    struct tt_smux_stream *s;
    unsigned events;

    if (!w->session && tt_queue_packet_conn_accept(&w->server, &w->session) != TT_OK)
        return;
    struct tt_smux *m = &w->session->endpoint.smux;
    while (tt_smux_accept(m, &s) == TT_OK)
        use_stream(w, &s, what);
    while (tt_smux_next_event(m, &s, &events))
        use_stream(w, &s, what);
    tt_queue_packet_conn_touched(&w->server, w->now_us, w->session);
    if (w->session->endpoint.error || what == 0xff) {
        tt_queue_packet_conn_close(&w->server, w->now_us, w->session);
        w->session = NULL;
    }
}

static void use_client(struct world *w, uint8_t what)
{
    struct tt_smux_stream *s;
    if (!w->stream)
        (void)tt_smux_open(&w->client.smux, &w->stream);
    use_stream(w, &w->stream, what);
    while (tt_smux_accept(&w->client.smux, &s) == TT_OK)
        use_stream(w, &s, what | 8);
    (void)tt_endpoint_touched(&w->client, w->now_us);
}

/* --- time, and what holds after each step --- */

static void flush_dirty(struct world *w)
{
    struct tt_server_session *s;
    while ((s = tt_queue_packet_conn_next_dirty(&w->server)) != NULL)
        tt_queue_packet_conn_flushed(&w->server, s);
}

static void pass(struct world *w, uint64_t by_us)
{
    w->now_us += by_us;
    (void)tt_endpoint_handle_timeout(&w->client, w->now_us);
    FUZZ_REQUIRE(tt_endpoint_deadline(&w->client) > w->now_us,
                 "the client's deadline is still due");
    tt_queue_packet_conn_handle_timeout(&w->server, w->now_us);
    FUZZ_REQUIRE(tt_queue_packet_conn_deadline(&w->server) > w->now_us,
                 "the server's deadline is still due");
    if (w->session && w->session->endpoint.error)
        use_server(w, 0);
}

/* A session may be charged for 256 KiB more than it stores (received.c), and has some slabs to copy
 * into. What its application writes is its own affair: up to a medium slab a write.
 */
static void check(const struct world *w)
{
    const size_t most = (w->server.sessions + 1) * (262144 + 4 * TT_SLAB_MEDIUM_BYTES) +
                        4 * w->came_bytes + TT_SLAB_MEDIUM_BYTES * w->writes;
    FUZZ_REQUIRE(w->slabs.live_bytes <= most, "far more memory than bytes");
    FUZZ_REQUIRE(w->read_bytes <= w->came_bytes, "more was read than came");
    FUZZ_REQUIRE(w->server.sessions <= MAX_SESSIONS, "more sessions than the limit");
}

static void step(struct world *w)
{
    const uint8_t what = take_u8(w);
    const unsigned k = what / STEPS % CARRIERS;

    switch ((enum step)(what % STEPS)) {
    case STEP_PACKET_UP:
    case STEP_PACKET_DOWN:
        give_packet(w, what % STEPS == STEP_PACKET_UP, k);
        break;
    case STEP_SEGMENT_UP:
    case STEP_SEGMENT_DOWN:
        give_segment(w, what % STEPS == STEP_SEGMENT_UP, k);
        break;
    case STEP_SERVER_CARRIER:
        toggle_server_carrier(w, k);
        break;
    case STEP_CLIENT_CARRIER:
        toggle_client_carrier(w, k);
        break;
    case STEP_TALK: {
        const uint8_t losses = take_u8(w);
        talk(w, true, k, losses);
        talk(w, false, k, losses);
        break;
    }
    case STEP_TIME:
        pass(w, take_u16(w) * TT_MS);
        break;
    case STEP_SERVER:
        use_server(w, take_u8(w));
        break;
    case STEP_CLIENT:
        use_client(w, take_u8(w));
        break;
    case STEPS:
        break;
    }
    flush_dirty(w);
}

/* --- beginning and end --- */

static void begin(struct world *w, uint8_t settings)
{
    static const uint8_t hash_key[TT_SIPHASH_KEY];
    struct tt_endpoint_tuning *tuning = &w->tuning;
    struct tt_endpoint_config client = {
        .tuning = tuning, .client = true, .conv = CONV, .hash_key = hash_key};
    struct tt_queue_packet_conn_config server = {.max_sessions = MAX_SESSIONS,
                                                 .accept_backlog = 2,
                                                 .closed_us = 60 * TT_SECOND,
                                                 .max_remembered = 2};

    w->alloc = fuzz_alloc(&w->live);
    w->now_us = TT_SECOND;
    tt_slab_pool_init(&w->slabs, &w->alloc, SIZE_MAX);
    tt_endpoint_tuning_default(tuning);
    tuning->max_stream_buffer = settings & 1 ? 1000 : 65536;
    tuning->max_receive_buffer = settings & 2 ? 2000 : 1u << 20;
    tuning->accept_backlog = settings & 4 ? 1 : 100;
    tuning->max_streams = settings & 8 ? 3 : 100;
    if (tuning->max_stream_buffer > tuning->max_receive_buffer)
        tuning->max_stream_buffer = tuning->max_receive_buffer;
    client.smux_version = settings & 16 ? 1 : 2;
    client.slabs = server.slabs = &w->slabs;
    client.alloc = server.alloc = &w->alloc;
    server.tuning = *tuning;
    FUZZ_REQUIRE(tt_endpoint_init(&w->client, &client, w->now_us) == TT_OK, "init failed");
    FUZZ_REQUIRE(tt_queue_packet_conn_init(&w->server, &server) == TT_OK, "init failed");
    toggle_client_carrier(w, 0);
    toggle_server_carrier(w, 0);
}

static void end(struct world *w)
{
    for (unsigned k = 0; k < CARRIERS; k++) {
        if (w->up_open[k])
            toggle_client_carrier(w, k);
        if (w->down_open[k])
            toggle_server_carrier(w, k);
    }
    tt_endpoint_dispose(&w->client);
    tt_queue_packet_conn_dispose(&w->server);
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
