/* smux frames from a stranger. Byte 0 is how the stream is cut, byte 1 the settings, the rest the
 * stream.
 *
 * Oracles: what streams come, what they hold and how it ends is what a much simpler reader of the
 * same bytes says, however they are cut; memory stays within what is stored; and when the
 * application does all it can in between, everything is given back in the end.
 */
#include "core/smux/smux.h"

#include <turbotunnel/error.h>

#include "core/smux/frame.h"
#include "fuzz.h"

#define MAX_WIRE    20000 /* less than the first window, so that no window is ever broken */
#define MAX_STREAMS (MAX_WIRE / TT_SMUX_HEADER + 1)

/* --- the simple reader --- */

struct model_stream {
    uint32_t sid;
    uint64_t hash; /* of its bytes in order */
    size_t bytes;
    bool ended;
};

struct outcome {
    struct model_stream streams[MAX_STREAMS];
    size_t count;
    int err;
};

static void add_bytes(struct model_stream *s, const uint8_t *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++)
        s->hash = (s->hash ^ ptr[i]) * UINT64_C(1099511628211);
    s->bytes += len;
}

static struct model_stream *model_find(struct outcome *o, uint32_t sid)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->streams[i].sid == sid)
            return &o->streams[i];
    return NULL;
}

static bool length_is_good(const struct tt_smux_frame *f)
{
    if (f->cmd == TT_SMUX_UPD)
        return f->version == 2 && f->length == 8;
    return f->cmd == TT_SMUX_PSH || f->length == 0;
}

static void model_read(struct outcome *o, struct tt_span wire, uint8_t version)
{
    while (wire.len >= TT_SMUX_HEADER) {
        const struct tt_smux_frame f = tt_smux_frame_read(wire.ptr);
        tt_span_skip(&wire, TT_SMUX_HEADER);
        if (version == 0 && (f.version == 1 || f.version == 2))
            version = f.version;
        o->err = f.version != version || version == 0         ? TT_E_VERSION
                 : f.cmd > TT_SMUX_UPD || !length_is_good(&f) ? TT_E_PROTO
                                                              : TT_OK;
        if (o->err)
            return;
        struct model_stream *s = model_find(o, f.sid);
        const size_t len = f.length < wire.len ? f.length : wire.len;
        if (f.cmd == TT_SMUX_SYN && !s)
            o->streams[o->count++] = (struct model_stream){.sid = f.sid};
        if (f.cmd == TT_SMUX_FIN && s)
            s->ended = true;
        if (f.cmd == TT_SMUX_PSH && s)
            add_bytes(s, wire.ptr, len);
        tt_span_skip(&wire, len);
    }
}

/* --- ours --- */

struct subject {
    struct tt_smux m;
    struct tt_alloc alloc;
    struct tt_slab_pool slabs;
    struct tt_slab_account account;
    size_t live;
    uint64_t random; /* 0: the application only reads */
    uint64_t now_us;
    uint8_t settings;
    struct outcome *seen;
};

static uint32_t dice(struct subject *t, uint32_t n)
{
    t->random = t->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(t->random >> 33) % n;
}

static void begin(struct subject *t, uint8_t settings)
{
    const bool small = settings & 4;

    *t = (struct subject){.settings = settings, .now_us = 1};
    t->alloc = fuzz_alloc(&t->live);
    tt_slab_pool_init(&t->slabs, &t->alloc, SIZE_MAX);
    static const uint8_t hash_key[TT_SIPHASH_KEY];
    const struct tt_smux_config config = {.version = settings % 4 % 3,
                                          .hash_key = hash_key,
                                          .max_frame = small ? 100 : 65535,
                                          .max_receive_buffer = small ? 500 : 4u << 20,
                                          .max_stream_buffer = small ? 300 : 65536,
                                          .max_send_buffer = 3000,
                                          .accept_backlog = small ? 2 : MAX_STREAMS,
                                          .max_streams = 2 * MAX_STREAMS,
                                          .keepalive_interval_us = 1000,
                                          .keepalive_timeout_us = 1000000000,
                                          .legacy_peer = settings & 8,
                                          .slabs = &t->slabs,
                                          .account = &t->account,
                                          .alloc = &t->alloc};
    FUZZ_REQUIRE(tt_smux_init(&t->m, &config, t->now_us) == TT_OK, "init failed");
}

static void end(struct subject *t)
{
    tt_smux_dispose(&t->m);
    FUZZ_REQUIRE(t->account.bytes == 0, "the account is still charged after dispose");
    FUZZ_REQUIRE(t->slabs.live_bytes == 0, "slabs held after dispose");
    tt_slab_pool_dispose(&t->slabs);
    FUZZ_REQUIRE(t->live == 0, "memory held after dispose");
}

static size_t stored(const struct subject *t)
{
    return (size_t)((int64_t)t->m.config.max_receive_buffer - t->m.receive_tokens);
}

/* A stream of its own slab and two large ones beyond what the header promises. */
static void check_memory(const struct subject *t)
{
    const size_t most =
        4 * stored(t) + 262144 + 4 * TT_SLAB_LARGE_BYTES + t->m.streams.count * TT_SLAB_SMALL_BYTES;
    if (!t->random)
        FUZZ_REQUIRE(t->slabs.live_bytes <= most, "far more memory than bytes");
    FUZZ_REQUIRE(t->m.receive_tokens <= (int64_t)t->m.config.max_receive_buffer,
                 "more receive tokens than there were");
}

static void accept_all(struct subject *t)
{
    struct tt_smux_stream *s;
    while (tt_smux_accept(&t->m, &s) == TT_OK) {
        struct model_stream *seen = &t->seen->streams[t->seen->count++];
        *seen = (struct model_stream){.sid = tt_smux_stream_id(s)};
        tt_smux_stream_set_user(s, seen);
    }
}

/* Reads all that the streams report. */
static void read_all(struct subject *t)
{
    struct tt_smux_stream *s;
    uint8_t buf[512];
    unsigned events;
    size_t len;

    accept_all(t);
    while (tt_smux_next_event(&t->m, &s, &events)) {
        struct model_stream *seen = tt_smux_stream_user(s);
        int err;
        while ((err = tt_smux_read(s, buf, sizeof(buf), &len)) == TT_OK)
            add_bytes(seen, buf, len);
        seen->ended = err == TT_E_END;
    }
}

static void send_some(struct subject *t)
{
    struct tt_smux_piece piece;
    while (tt_smux_next_frame(&t->m, t->now_us, 16 + dice(t, 2000), &piece) == TT_OK) {
        FUZZ_REQUIRE(piece.len > 0, "an empty piece");
        tt_slab_unref(piece.slab);
    }
    if (dice(t, 2))
        tt_smux_acked(&t->m, t->m.sent_offset);
}

/* One of the things that an application may do to a stream; false: it is closed. */
static bool use(struct subject *t, struct tt_smux_stream *s)
{
    static const uint8_t data[2000];
    uint8_t buf[100], *room;
    size_t len;

    switch (dice(t, 6)) {
    case 0:
        tt_smux_write(s, data, dice(t, sizeof(data)), &len);
        break;
    case 1:
        tt_smux_read(s, buf, dice(t, sizeof(buf)), &len);
        break;
    case 2:
        if (tt_smux_write_room(s, &room, &len) == TT_OK) {
            send_some(t);
            memset(room, 1, len);
            tt_smux_write_commit(s, dice(t, (uint32_t)len + 1));
        }
        break;
    case 3:
        tt_smux_shutdown(s);
        break;
    case 4:
        tt_smux_consume(s, tt_smux_readable_bytes(s));
        break;
    default:
        tt_smux_close(s);
        return false;
    }
    return true;
}

/* Does this and that with whatever has something to report. */
static void live(struct subject *t)
{
    struct tt_smux_stream *s;
    unsigned events;

    if (dice(t, 2) && tt_smux_accept(&t->m, &s) == TT_OK)
        use(t, s);
    if (dice(t, 8) == 0 && tt_smux_open(&t->m, &s) == TT_OK)
        use(t, s);
    while (tt_smux_next_event(&t->m, &s, &events))
        while (use(t, s) && dice(t, 3))
            ;
    t->now_us += dice(t, 1000);
    tt_smux_handle_timeout(&t->m, t->now_us);
    send_some(t);
}

/* Hands one piece in, until it is taken or the session is over. */
static int hand_in(struct subject *t, struct tt_span piece)
{
    int err = TT_OK;

    while (piece.len > 0 && (!err || err == TT_E_AGAIN)) {
        struct tt_slab *slab =
            tt_slab_get(&t->slabs, piece.len < 1000 ? TT_SLAB_SMALL : TT_SLAB_LARGE);
        size_t n = piece.len < tt_slab_room(slab) ? piece.len : tt_slab_room(slab), used;
        memcpy(slab->data, piece.ptr, n);
        slab->transient = t->settings & 16;
        err = tt_smux_input(&t->m, t->now_us, tt_span_of(slab->data, n), slab, &used);
        tt_slab_unref(slab);
        FUZZ_REQUIRE(used <= n && (err || used == n), "took more, or less, than there was");
        FUZZ_REQUIRE(err != TT_E_AGAIN || used < n, "stopped behind the last byte");
        tt_span_skip(&piece, used);
        check_memory(t);
        if (err == TT_E_AGAIN && t->random) {
            live(t);
            if (!tt_smux_input_open(&t->m))
                return err;
        } else if (err == TT_E_AGAIN) {
            FUZZ_REQUIRE(!tt_smux_input_open(&t->m), "stopped, but open");
            read_all(t);
            FUZZ_REQUIRE(tt_smux_input_open(&t->m), "all was read, but input is not open");
        }
    }
    return err;
}

static void run(struct outcome *o, struct tt_span wire, uint32_t cut_seed, uint8_t settings,
                uint64_t random)
{
    struct fuzz_cuts cuts = {.left = wire, .seed = cut_seed};
    struct tt_span piece;
    struct subject t;

    begin(&t, settings);
    t.random = random;
    t.seen = o;
    o->count = 0;
    o->err = TT_OK;
    while (!o->err && fuzz_next_piece(&cuts, &piece)) {
        o->err = hand_in(&t, piece);
        if (t.random)
            live(&t);
    }
    free(cuts.piece);
    if (!t.random)
        read_all(&t);
    end(&t);
}

static void compare(const struct outcome *ours, const struct outcome *model)
{
    FUZZ_REQUIRE(ours->err == model->err, "another end");
    FUZZ_REQUIRE(ours->count == model->count, "not the same streams");
    for (size_t i = 0; i < model->count; i++) {
        const struct model_stream *a = &ours->streams[i], *b = &model->streams[i];
        FUZZ_REQUIRE(a->sid == b->sid, "another stream");
        FUZZ_REQUIRE(a->bytes == b->bytes && a->hash == b->hash, "other bytes");
        FUZZ_REQUIRE(a->ended == b->ended, "another end of a stream");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome model, whole, cut;
    if (size < 2 || size > MAX_WIRE)
        return 0;
    const struct tt_span wire = tt_span_of(data + 2, size - 2);
    const uint8_t settings = data[1];

    model.count = 0;
    model.err = TT_OK;
    model_read(&model, wire, settings % 4 % 3);
    run(&whole, wire, 0, settings, 0);
    compare(&whole, &model);
    run(&cut, wire, 1 + (uint32_t)data[0], settings, 0);
    compare(&cut, &model);
    run(&cut, wire, 1 + (uint32_t)data[0], settings, 1 + (uint64_t)data[0]);
    return 0;
}
