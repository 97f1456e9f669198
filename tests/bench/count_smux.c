#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/smux/frame.h"
#include "core/smux/smux.h"
#include "count.h"
#include "require.h"

#define MOST_PAYLOAD 60000u
#define MOST_PIECES  8u

struct smux_end {
    struct tt_smux smux;
    struct tt_slab_account account;
    struct tt_smux_stream *stream;
};

/* Two ends of a session, and what is on its way between them. */
struct smux_pair {
    struct tt_slab_pool slabs;
    struct smux_end sender, receiver;
    struct tt_smux_piece pieces[MOST_PIECES]; /* as the sender gave them out */
    unsigned piece_count;
    struct tt_slab *wire; /* their bytes; the receiver keeps them there */
    uint32_t payload_bytes;
    uint8_t memory[MOST_PAYLOAD]; /* the application's */
};

static void open_end(struct smux_pair *p, struct smux_end *e, bool client)
{
    static const uint8_t hash_key[TT_SIPHASH_KEY];
    const struct tt_smux_config config = {.client = client,
                                          .hash_key = hash_key,
                                          .version = 2,
                                          .max_frame = 64664,
                                          .max_receive_buffer = 16u << 20,
                                          .max_stream_buffer = 4u << 20,
                                          .max_send_buffer = 256u << 10,
                                          .accept_backlog = 1,
                                          .max_streams = 1,
                                          .slabs = &p->slabs,
                                          .account = &e->account,
                                          .alloc = &tt_alloc_malloc};
    require(tt_smux_init(&e->smux, &config, TT_SECOND) == TT_OK, "tt_smux_init");
}

static void give_out(struct smux_pair *p, struct smux_end *e)
{
    int err = TT_OK;
    for (p->piece_count = 0; p->piece_count < MOST_PIECES && !err;) {
        err = tt_smux_next_frame(&e->smux, TT_SECOND, TT_SLAB_LARGE_BYTES,
                                 &p->pieces[p->piece_count]);
        p->piece_count += !err;
    }
    require(err == TT_E_AGAIN, "tt_smux_next_frame");
}

static void put_on_wire(struct smux_pair *p, struct smux_end *from)
{
    p->wire = tt_slab_get(&p->slabs, TT_SLAB_LARGE);
    require(p->wire, "no memory");
    for (unsigned i = 0; i < p->piece_count; i++) {
        const struct tt_smux_piece *piece = &p->pieces[i];
        require(piece->len <= tt_slab_room(p->wire), "more than a slab");
        memcpy(p->wire->data + p->wire->used, piece->ptr, piece->len);
        p->wire->used += piece->len;
        tt_slab_unref(piece->slab);
    }
    tt_smux_acked(&from->smux, from->smux.sent_offset);
}

static void take_in(struct smux_pair *p, struct smux_end *e)
{
    size_t used;
    require(tt_smux_input(&e->smux, TT_SECOND, tt_span_of(p->wire->data, p->wire->used), p->wire,
                          &used) == TT_OK,
            "tt_smux_input");
}

static void carry(struct smux_pair *p, struct smux_end *from, struct smux_end *to)
{
    give_out(p, from);
    put_on_wire(p, from);
    take_in(p, to);
    tt_slab_unref(p->wire);
}

static struct smux_pair *open_pair(uint32_t payload_bytes)
{
    static struct smux_pair p;
    require(payload_bytes > 0 && payload_bytes <= sizeof(p.memory), "no such size");
    p.payload_bytes = payload_bytes;
    tt_slab_pool_init(&p.slabs, &tt_alloc_malloc, SIZE_MAX);
    open_end(&p, &p.sender, true);
    open_end(&p, &p.receiver, false);
    require(tt_smux_open(&p.sender.smux, &p.sender.stream) == TT_OK, "tt_smux_open");
    carry(&p, &p.sender, &p.receiver);
    require(tt_smux_accept(&p.receiver.smux, &p.receiver.stream) == TT_OK, "tt_smux_accept");
    return &p;
}

static void close_pair(struct smux_pair *p)
{
    tt_smux_dispose(&p->sender.smux);
    tt_smux_dispose(&p->receiver.smux);
    tt_slab_pool_dispose(&p->slabs);
}

/* --- the work --- */

static void send_frame(void *ctx)
{
    struct smux_pair *p = ctx;
    size_t taken;
    require(tt_smux_write(p->sender.stream, p->memory, p->payload_bytes, &taken) == TT_OK &&
                taken == p->payload_bytes,
            "tt_smux_write");
    give_out(p, &p->sender);
}

static void receive_frame(void *ctx)
{
    struct smux_pair *p = ctx;
    size_t len;
    take_in(p, &p->receiver);
    require(tt_smux_read(p->receiver.stream, p->memory, sizeof(p->memory), &len) == TT_OK &&
                len == p->payload_bytes,
            "tt_smux_read");
}

static void run(struct smux_pair *p, void (*step)(void *ctx), bool is_counted)
{
    if (is_counted)
        counted(step, p);
    else
        step(p);
}

/* A frame goes over, and then what opens the window again. */
static void one_frame(struct smux_pair *p, bool count_sender)
{
    run(p, send_frame, count_sender);
    put_on_wire(p, &p->sender);
    require(p->wire->used == TT_SMUX_HEADER + p->payload_bytes, "more than one frame");
    run(p, receive_frame, !count_sender);
    tt_slab_unref(p->wire);
    carry(p, &p->receiver, &p->sender);
}

static void count_frames(uint32_t payload_bytes, uint32_t times, bool count_sender)
{
    struct smux_pair *p = open_pair(payload_bytes);
    for (uint32_t i = 0; i < times; i++)
        one_frame(p, count_sender);
    close_pair(p);
}

void count_smux_sent(uint32_t payload_bytes, uint32_t times)
{
    count_frames(payload_bytes, times, true);
}

void count_smux_received(uint32_t payload_bytes, uint32_t times)
{
    count_frames(payload_bytes, times, false);
}
