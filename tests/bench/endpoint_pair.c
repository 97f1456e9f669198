#include "endpoint_pair.h"

#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "count.h"
#include "require.h"

/* Smaller reads are copied by whoever keeps bytes of them, as in net/conn.c. */
#define WORTH_KEEPING_BYTES 16384u

#define ONE_WAY_US 100u

static void open_end(struct endpoint_pair *p, struct pair_end *e, bool client)
{
    static const uint8_t hash_key[TT_SIPHASH_KEY];
    const struct tt_endpoint_config config = {.tuning = &e->tuning,
                                              .client = client,
                                              .hash_key = hash_key,
                                              .id = {"session1"},
                                              .conv = 1,
                                              .smux_version = client ? 2 : 0,
                                              .slabs = &p->slabs,
                                              .alloc = &tt_alloc_malloc};
    const struct tt_carrier_limits limits = {.ordered = true, .max_packet = p->max_packet_bytes};
    tt_endpoint_tuning_default(&e->tuning);
    require(tt_endpoint_init(&e->endpoint, &config, p->now_us) == TT_OK, "tt_endpoint_init");
    tt_endpoint_carrier_open(&e->endpoint, p->now_us, &e->carrier, &limits);
}

void endpoint_pair_open(struct endpoint_pair *p, uint32_t max_packet_bytes)
{
    p->now_us = TT_SECOND;
    p->max_packet_bytes = max_packet_bytes;
    tt_slab_pool_init(&p->slabs, &tt_alloc_malloc, SIZE_MAX);
    open_end(p, &p->client, true);
    open_end(p, &p->server, false);
    require(tt_smux_open(&p->client.endpoint.smux, &p->client.stream) == TT_OK, "tt_smux_open");
    endpoint_pair_carry(p);
    require(tt_smux_accept(&p->server.endpoint.smux, &p->server.stream) == TT_OK, "tt_smux_accept");
    require(p->client.endpoint.native && p->server.endpoint.native, "they did not greet");
}

void endpoint_pair_close(struct endpoint_pair *p)
{
    tt_endpoint_dispose(&p->client.endpoint);
    tt_endpoint_dispose(&p->server.endpoint);
    tt_slab_pool_dispose(&p->slabs);
}

/* --- the sender --- */

static void next_packet(void *ctx)
{
    struct endpoint_pair *p = ctx;
    struct pair_end *e = p->from;
    uint32_t len;
    tt_gather_reset(&p->gather);
    int err = tt_endpoint_next_packet(&e->endpoint, p->now_us, &e->carrier, &p->gather, &len);
    require(err == TT_OK || err == TT_E_AGAIN, "tt_endpoint_next_packet");
}

/* What is in the gather arrives. */
static void cross(struct endpoint_pair *p)
{
    uint8_t *const packet = p->arrived->data + p->arrived->used;
    require(p->gather.bytes <= tt_slab_room(p->arrived), "more than one read takes");
    for (uint32_t i = p->gather.first; i < p->gather.count; i++) {
        const struct tt_span s = p->gather.spans[i];
        memcpy(p->arrived->data + p->arrived->used, s.ptr, s.len);
        p->arrived->used += (uint32_t)s.len;
    }
    p->packets[p->packet_count++] = tt_span_of(packet, p->gather.bytes);
}

static bool has_room(const struct endpoint_pair *p)
{
    const bool fits = tt_slab_room(p->arrived) >= p->max_packet_bytes || p->packet_count == 0;
    return fits && p->packet_count < PAIR_MOST_PACKETS;
}

static void fill_read(struct endpoint_pair *p)
{
    p->arrived = tt_slab_get(&p->slabs, TT_SLAB_LARGE);
    require(p->arrived, "no memory");
    p->packet_count = 0;
    while (has_room(p)) {
        counted(next_packet, p);
        if (p->gather.bytes == 0)
            break;
        cross(p);
    }
    p->arrived->transient = p->arrived->used < WORTH_KEEPING_BYTES;
}

unsigned endpoint_pair_pull(struct endpoint_pair *p, struct pair_end *from)
{
    unsigned packets = 0;
    p->from = from;
    for (next_packet(p); p->gather.bytes > 0; next_packet(p))
        packets++;
    return packets;
}

/* --- the receiver --- */

static void read_stream(struct endpoint_pair *p, struct pair_end *e)
{
    struct tt_smux_stream *readable;
    unsigned events;
    size_t len;
    while (tt_smux_next_event(&e->endpoint.smux, &readable, &events)) {
        while (tt_smux_read(readable, p->memory, sizeof(p->memory), &len) == TT_OK)
            e->read_bytes += len;
    }
    require(tt_endpoint_touched(&e->endpoint, p->now_us) == TT_OK, "tt_endpoint_touched");
}

static void receive(void *ctx)
{
    struct endpoint_pair *p = ctx;
    struct pair_end *e = p->to;
    for (uint32_t i = 0; i < p->packet_count; i++)
        require(tt_endpoint_receive(&e->endpoint, p->now_us, &e->carrier, p->packets[i],
                                    p->arrived) == TT_OK,
                "tt_endpoint_receive");
    read_stream(p, e);
    if (tt_endpoint_deadline(&e->endpoint) <= p->now_us)
        require(tt_endpoint_handle_timeout(&e->endpoint, p->now_us) == TT_OK,
                "tt_endpoint_handle_timeout");
}

/* One read at `to`. Returns whether anything came. */
static bool carry_read(struct endpoint_pair *p, struct pair_end *from, struct pair_end *to)
{
    p->from = from;
    p->to = to;
    fill_read(p);
    p->now_us += ONE_WAY_US;
    if (p->packet_count > 0)
        counted(receive, p);
    tt_slab_unref(p->arrived);
    return p->packet_count > 0;
}

void endpoint_pair_carry(struct endpoint_pair *p)
{
    for (bool moved = true; moved;) {
        moved = carry_read(p, &p->client, &p->server);
        moved |= carry_read(p, &p->server, &p->client);
    }
}
