#include <string.h>

#include <turbotunnel/error.h>

#include "core/encapsulation.h"
#include "core/gather.h"
#include "count.h"
#include "require.h"

struct carrier {
    struct tt_decap decap;
    struct tt_gather gather;
    uint8_t wire[TT_ENCAP_HEADER + TT_ENCAP_MAX_PACKET];
    uint32_t packet_bytes;
};

static struct carrier *open_carrier(uint32_t packet_bytes)
{
    static struct carrier c;
    c.packet_bytes = packet_bytes;
    memset(c.wire, 'x', sizeof(c.wire));
    tt_encap_header(c.wire, (uint16_t)packet_bytes);
    require(tt_decap_init(&c.decap, TT_ENCAP_MAX_PACKET, &tt_alloc_malloc) == TT_OK,
            "tt_decap_init");
    return &c;
}

static void encapsulate(void *ctx)
{
    struct carrier *c = ctx;
    uint8_t *header = tt_gather_header(&c->gather, TT_ENCAP_HEADER);
    tt_gather_payload(&c->gather, c->wire, c->packet_bytes, NULL);
    tt_encap_header(header, (uint16_t)c->packet_bytes);
}

void count_encapsulated(uint32_t packet_bytes, uint32_t times)
{
    struct carrier *c = open_carrier(packet_bytes);
    for (uint32_t i = 0; i < times; i++) {
        tt_gather_reset(&c->gather);
        counted(encapsulate, c);
        require(c->gather.bytes == TT_ENCAP_HEADER + packet_bytes, "not all is there");
    }
    tt_decap_dispose(&c->decap);
}

/* Bytes were read: all packets in them, as a carrier takes them out. Returns their number. */
static unsigned read_bytes(struct carrier *c, struct tt_span in)
{
    struct tt_span packet;
    unsigned packets = 0;
    int err;
    while ((err = tt_decap_next(&c->decap, &in, &packet)) == TT_OK) {
        require(packet.len == c->packet_bytes, "a packet of another length");
        packets++;
    }
    require(err == TT_E_AGAIN, "tt_decap_next");
    return packets;
}

static void decapsulate(void *ctx)
{
    struct carrier *c = ctx;
    require(read_bytes(c, tt_span_of(c->wire, TT_ENCAP_HEADER + c->packet_bytes)) == 1,
            "no packet");
}

static void decapsulate_halves(void *ctx)
{
    struct carrier *c = ctx;
    const uint32_t first_bytes = TT_ENCAP_HEADER + c->packet_bytes / 2;
    const uint32_t rest_bytes = TT_ENCAP_HEADER + c->packet_bytes - first_bytes;
    require(read_bytes(c, tt_span_of(c->wire, first_bytes)) == 0, "a packet too early");
    require(read_bytes(c, tt_span_of(c->wire + first_bytes, rest_bytes)) == 1, "no packet");
}

static void count_reads(void (*step)(void *ctx), uint32_t packet_bytes, uint32_t times)
{
    struct carrier *c = open_carrier(packet_bytes);
    for (uint32_t i = 0; i < times; i++)
        counted(step, c);
    tt_decap_dispose(&c->decap);
}

void count_decapsulated(uint32_t packet_bytes, uint32_t times)
{
    count_reads(decapsulate, packet_bytes, times);
}

void count_decapsulated_halves(uint32_t packet_bytes, uint32_t times)
{
    count_reads(decapsulate_halves, packet_bytes, times);
}
