#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include <turbotunnel/error.h>

#include "test.h"

struct tt_smux_config world_config(bool client, uint8_t version)
{
    static const uint8_t hash_key[TT_SIPHASH_KEY];
    return (struct tt_smux_config){.client = client,
                                   .hash_key = hash_key,
                                   .version = version,
                                   .max_frame = 32768,
                                   .max_receive_buffer = 4u << 20,
                                   .max_stream_buffer = 65536,
                                   .max_send_buffer = 1u << 20,
                                   .accept_backlog = 1024,
                                   .max_streams = 4096};
}

static void end_begin(struct world *w, struct end *e, struct tt_smux_config config)
{
    tt_slab_pool_init(&e->slabs, &w->alloc.alloc, SIZE_MAX);
    config.slabs = &e->slabs;
    config.account = &e->account;
    config.alloc = &w->alloc.alloc;
    assert_int_equal(tt_smux_init(&e->m, &config, w->now_us), TT_OK);
}

void world_begin_with(struct world *w, struct tt_smux_config client, struct tt_smux_config server)
{
    *w = (struct world){.now_us = 1000000, .max_len = 64672};
    failing_alloc_init(&w->alloc, FAIL_NEVER);
    end_begin(w, &w->client, client);
    end_begin(w, &w->server, server);
    w->client.peer = &w->server;
    w->server.peer = &w->client;
}

void world_begin(struct world *w, uint8_t version)
{
    world_begin_with(w, world_config(true, version), world_config(false, version));
}

static void end_end(struct end *e)
{
    tt_smux_dispose(&e->m);
    tt_smux_dispose(&e->m); /* a second time is harmless */
    assert_int_equal(e->account.bytes, 0);
    assert_int_equal(e->slabs.live_bytes, 0);
    tt_slab_pool_dispose(&e->slabs);
    free(e->wire);
}

void world_end(struct world *w)
{
    end_end(&w->client);
    end_end(&w->server);
    assert_int_equal(w->alloc.live, 0);
}

static void put_on_wire(struct end *e, const uint8_t *bytes, size_t len)
{
    if (e->wire_cap - e->wire_len < len) {
        e->wire_cap = 2 * (e->wire_len + len);
        e->wire = realloc(e->wire, e->wire_cap);
        assert_non_null(e->wire);
    }
    memcpy(e->wire + e->wire_len, bytes, len);
    e->wire_len += len;
}

size_t world_send(struct world *w, struct end *e, size_t most)
{
    struct tt_smux_piece piece;
    size_t sum = 0;
    int err = TT_OK;

    while (sum < most && !err) {
        const bool wants = tt_smux_wants_send(&e->m);
        err = tt_smux_next_frame(&e->m, w->now_us, (uint32_t)w->max_len, &piece);
        assert_true(err == TT_E_NOMEM || err == (wants ? TT_OK : TT_E_AGAIN));
        if (err)
            break;
        assert_in_range(piece.len, 1, w->max_len);
        put_on_wire(e, piece.ptr, piece.len);
        tt_slab_unref(piece.slab);
        sum += piece.len;
    }
    return sum;
}

/* One call of tt_smux_input, with the bytes in memory of their own. */
static int feed_once(struct world *w, struct end *to, struct tt_span bytes, size_t *used)
{
    *used = 0;
    if (bytes.len > tt_slab_capacity(TT_SLAB_LARGE))
        bytes.len = tt_slab_capacity(TT_SLAB_LARGE);
    enum tt_slab_class class = TT_SLAB_SMALL;
    while (tt_slab_capacity(class) < bytes.len)
        class ++;
    struct tt_slab *slab = tt_slab_get(&to->slabs, class);
    if (!slab)
        return TT_E_AGAIN;
    memcpy(slab->data, bytes.ptr, bytes.len);
    slab->transient = to->transient;
    const struct tt_span in = {slab->data, bytes.len};
    int err = tt_smux_input(&to->m, w->now_us, in, slab, used);
    assert_true(*used <= in.len);
    assert_true(err || *used == in.len);
    assert_true(err != TT_E_AGAIN || *used < in.len);
    if (slab->transient)
        memset(slab->data, 0xee, in.len);
    tt_slab_unref(slab);
    return err;
}

int world_deliver(struct world *w, struct end *e, size_t len, size_t step)
{
    size_t done = 0, used;
    int err = TT_OK;

    if (len > e->wire_len)
        len = e->wire_len;
    while (done < len && !err && tt_smux_input_open(&e->peer->m)) {
        const size_t n = len - done < step ? len - done : step;
        err = feed_once(w, e->peer, tt_span_of(e->wire + done, n), &used);
        done += used;
    }
    if (done > 0)
        memmove(e->wire, e->wire + done, e->wire_len - done);
    e->wire_len -= done;
    e->acked += done;
    if (!w->no_acks)
        tt_smux_acked(&e->m, e->acked);
    return err;
}

int world_feed(struct world *w, struct end *e, struct tt_span bytes)
{
    size_t used;

    for (; bytes.len > 0; tt_span_skip(&bytes, used)) {
        int err = feed_once(w, e, bytes, &used);
        if (err)
            return err;
    }
    return TT_OK;
}

static bool move(struct world *w, struct end *e)
{
    const size_t sent = world_send(w, e, SIZE_MAX);
    const uint64_t before = e->acked;
    world_deliver(w, e, SIZE_MAX, 8192);
    return sent > 0 || e->acked > before;
}

void world_settle(struct world *w)
{
    for (bool moved = true; moved;) {
        moved = move(w, &w->client);
        moved = move(w, &w->server) || moved;
    }
}

struct tt_span world_take_wire(struct end *e)
{
    const struct tt_span all = {e->wire, e->wire_len};
    e->acked += e->wire_len;
    e->wire_len = 0;
    return all;
}

void world_open(struct world *w, struct tt_smux_stream **client, struct tt_smux_stream **server)
{
    assert_int_equal(tt_smux_open(&w->client.m, client), TT_OK);
    world_settle(w);
    assert_int_equal(tt_smux_accept(&w->server.m, server), TT_OK);
    assert_int_equal(tt_smux_stream_id(*server), tt_smux_stream_id(*client));
}

uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 8) * 13 + (at >> 16) * 31);
}

void write_pattern(struct tt_smux_stream *s, uint64_t at, size_t len)
{
    uint8_t buf[4096];
    size_t taken;

    for (size_t n; len > 0; len -= n, at += n) {
        n = len < sizeof(buf) ? len : sizeof(buf);
        for (size_t i = 0; i < n; i++)
            buf[i] = pattern(at + i);
        assert_int_equal(tt_smux_write(s, buf, n, &taken), TT_OK);
        assert_int_equal(taken, n);
    }
}

void read_pattern(struct tt_smux_stream *s, uint64_t at, size_t len)
{
    uint8_t buf[4096], expected[4096];

    for (size_t n; len > 0; len -= n, at += n) {
        assert_int_equal(tt_smux_read(s, buf, len < sizeof(buf) ? len : sizeof(buf), &n), TT_OK);
        for (size_t i = 0; i < n; i++)
            expected[i] = pattern(at + i);
        if (memcmp(buf, expected, n) != 0)
            fail_msg("bytes from %llu on are wrong", (unsigned long long)at);
    }
}

unsigned events_of(struct tt_smux_stream *s)
{
    struct tt_smux_stream *other;
    unsigned events, all = 0;

    while (tt_smux_next_event(s->m, &other, &events)) {
        assert_int_not_equal(events, 0);
        if (other == s)
            all |= events;
    }
    return all;
}

struct tt_span make_frame(uint8_t version, uint8_t cmd, uint16_t length, uint32_t sid)
{
    static uint8_t bytes[TT_SMUX_HEADER];
    tt_smux_frame_write(bytes, (struct tt_smux_frame){version, cmd, length, sid});
    return tt_span_of(bytes, sizeof(bytes));
}

bool next_frame(struct tt_span *wire, struct tt_smux_frame *f, struct tt_span *payload)
{
    if (wire->len == 0)
        return false;
    assert_in_range(wire->len, TT_SMUX_HEADER, SIZE_MAX);
    *f = tt_smux_frame_read(wire->ptr);
    tt_span_skip(wire, TT_SMUX_HEADER);
    assert_in_range(f->cmd, TT_SMUX_SYN, TT_SMUX_UPD);
    assert_in_range(f->length, 0, wire->len);
    *payload = tt_span_of(wire->ptr, f->length);
    tt_span_skip(wire, f->length);
    return true;
}

/* The bytes of this PSH and of those that follow it directly on the same stream. */
static uint64_t data_bytes(struct tt_span *wire, struct tt_smux_frame psh)
{
    uint64_t sum = psh.length;
    struct tt_span after = *wire, payload;
    for (struct tt_smux_frame f; next_frame(&after, &f, &payload); *wire = after) {
        if (f.cmd != TT_SMUX_PSH || f.sid != psh.sid)
            break;
        sum += f.length;
    }
    return sum;
}

const char *wire_text(struct end *e)
{
    static const char *const names[] = {"SYN", "FIN", "PSH", "NOP", "UPD"};
    static char text[4096];
    struct tt_span wire = world_take_wire(e), payload;
    int n = 0;

    text[0] = '\0';
    for (struct tt_smux_frame f; next_frame(&wire, &f, &payload);) {
        const size_t cap = sizeof(text) - (size_t)n;
        const char *comma = n ? ", " : "";
        if (f.cmd == TT_SMUX_UPD)
            n += snprintf(text + n, cap, "%sUPD %u %u/%u", comma, (unsigned)f.sid,
                          (unsigned)tt_get_le32(payload.ptr),
                          (unsigned)tt_get_le32(payload.ptr + 4));
        else if (f.cmd == TT_SMUX_PSH)
            n += snprintf(text + n, cap, "%sPSH %u %llu", comma, (unsigned)f.sid,
                          (unsigned long long)data_bytes(&wire, f));
        else
            n += snprintf(text + n, cap, "%s%s %u", comma, names[f.cmd], (unsigned)f.sid);
        assert_in_range(n, 0, sizeof(text) - 64);
    }
    return text;
}
