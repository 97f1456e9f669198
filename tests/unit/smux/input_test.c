/* What a session makes of what comes in: cuts, unknown streams, limits, violations. */
#include <stdio.h>

#include <turbotunnel/error.h>

#include "core/smux/frame.h"
#include "cuts.h"
#include "test.h"
#include "world.h"

/* What a server has after some input, as text: accepted numbers and what can be read from each,
 * with '.' at an end of stream; then the error. "3:hello. 5: PROTO"
 */
static const char *outcome(struct world *w, int err)
{
    static char text[512];
    struct tt_smux_stream *s;
    size_t n = 0, len;

    text[0] = '\0';
    while (tt_smux_accept(&w->server.m, &s) == TT_OK) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%u:", (unsigned)tt_smux_stream_id(s));
        int end;
        while ((end = tt_smux_read(s, text + n, sizeof(text) - n - 32, &len)) == TT_OK)
            n += len;
        assert_int_equal(tt_smux_readable_bytes(s), 0);
        n += (size_t)snprintf(text + n, sizeof(text) - n, end == TT_E_END ? ". " : " ");
    }
    if (err)
        snprintf(text + n, sizeof(text) - n, "%s", tt_error_name(err) + strlen("TT_E_"));
    else if (n > 0)
        text[n - 1] = '\0';
    return text;
}

#define SYN(sid)       "\2\0\0\0" sid "\0\0\0"
#define FIN(sid)       "\2\1\0\0" sid "\0\0\0"
#define PSH(sid, n, s) "\2\2" n "\0" sid "\0\0\0" s
#define UPD(sid)       "\2\4\10\0" sid "\0\0\0\0\0\0\0\0\0\1\0"
#define NOP            "\2\3\0\0\0\0\0\0"

static const struct {
    const char *name;
    const uint8_t *wire;
    size_t len;
    const char *outcome;
} cases[] = {
    {"nothing", BYTES(""), ""},
    {"a stream", BYTES(SYN("\3")), "3:"},
    {"a stream with data", BYTES(SYN("\3") PSH("\3", "\2", "ab")), "3:ab"},
    {"and more", BYTES(SYN("\3") PSH("\3", "\2", "ab") PSH("\3", "\1", "c")), "3:abc"},
    {"and its end (S-19)", BYTES(SYN("\3") PSH("\3", "\2", "ab") FIN("\3")), "3:ab."},
    {"data behind the end (S-18, S-35)", BYTES(SYN("\3") FIN("\3") PSH("\3", "\2", "ab")), "3:ab."},
    {"two ends", BYTES(SYN("\3") FIN("\3") FIN("\3")), "3:."},
    {"two streams in turn",
     BYTES(SYN("\3") SYN("\5") PSH("\3", "\1", "a") PSH("\5", "\1", "A") PSH("\3", "\1", "b")),
     "3:ab 5:A"},
    {"an unknown stream's frames (S-11)",
     BYTES(PSH("\7", "\2", "xy") FIN("\7") UPD("\7") SYN("\3") PSH("\3", "\1", "a")), "3:a"},
    {"an empty PSH (S-12)", BYTES(SYN("\3") PSH("\3", "\0", "") PSH("\3", "\1", "a")), "3:a"},
    {"a stream twice (S-13)", BYTES(SYN("\3") PSH("\3", "\1", "a") SYN("\3")), "3:a"},
    {"a stream again after its end (S-13)", BYTES(SYN("\3") FIN("\3") SYN("\3")), "3:."},
    {"any number (S-14)", BYTES(SYN("\0") SYN("\4") SYN("\1")), "0: 4: 1:"},
    {"NOP", BYTES(NOP SYN("\3") NOP), "3:"},
    {"NOP with a number", BYTES("\2\3\0\0\7\0\0\0" SYN("\3")), "3:"},
    {"version 1 (S-15)", BYTES(SYN("\3") "\1\3\0\0\0\0\0\0" SYN("\5")), "3: VERSION"},
    {"version 0", BYTES("\0\3\0\0\0\0\0\0"), "VERSION"},
    {"command 5 (S-16)", BYTES(SYN("\3") "\2\5\0\0\3\0\0\0" SYN("\5")), "3: PROTO"},
    {"command 255", BYTES("\2\377\0\0\3\0\0\0"), "PROTO"},
    {"SYN with a length (S-17)", BYTES("\2\0\1\0\3\0\0\0"), "PROTO"},
    {"FIN with a length", BYTES(SYN("\3") "\2\1\1\0\3\0\0\0"), "3: PROTO"},
    {"NOP with a length", BYTES("\2\3\0\1\3\0\0\0"), "PROTO"},
    {"UPD with 7 bytes", BYTES(SYN("\3") "\2\4\7\0\3\0\0\0"), "3: PROTO"},
    {"UPD with 9 bytes", BYTES(SYN("\3") "\2\4\11\0\3\0\0\0"), "3: PROTO"},
    {"what came before an error can be read",
     BYTES(SYN("\3") PSH("\3", "\2", "ab") "\2\11\0\0\0\0\0\0"), "3:ab PROTO"},
};

/* S-9 */
static void test_the_outcome_is_the_same_however_the_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cuts c;
        for (cuts_init(&c, tt_span_of(cases[i].wire, cases[i].len)); cuts_next_way(&c);) {
            struct world w;
            world_begin(&w, 2);
            w.server.transient = c.way % 2;
            int err = TT_OK;
            for (struct tt_span piece; cuts_next_piece(&c, &piece);)
                err = world_feed(&w, &w.server, piece);
            const char *got = outcome(&w, err);
            if (strcmp(got, cases[i].outcome) != 0)
                fail_msg("%s, way %zu: got \"%s\"", cases[i].name, c.way, got);
            world_end(&w);
        }
    }
}

static void test_after_an_error_nothing_goes_on(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s, *other;
    size_t n;
    char byte = 'x';

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 10);
    write_pattern(s, 0, 10);
    world_send(&w, &w.client, SIZE_MAX);
    world_deliver(&w, &w.client, SIZE_MAX, SIZE_MAX);
    assert_int_equal(world_feed(&w, &w.server, tt_span_of("\2\7\0\0\0\0\0\0", 8)), TT_E_PROTO);
    assert_int_equal(w.server.m.error, TT_E_PROTO);
    assert_int_equal(world_feed(&w, &w.server, make_frame(2, 0, 0, 9)), TT_E_PROTO);
    assert_false(tt_smux_input_open(&w.server.m));
    assert_false(tt_smux_wants_send(&w.server.m));
    assert_int_equal(tt_smux_open(&w.server.m, &other), TT_E_PROTO);
    assert_int_equal(tt_smux_write(s, &byte, 1, &n), TT_E_PROTO);
    assert_int_equal(tt_smux_shutdown(s), TT_E_PROTO);
    read_pattern(s, 0, 10); /* what had arrived */
    assert_int_equal(tt_smux_read(s, &byte, 1, &n), TT_E_PROTO);
    tt_smux_close(s);
    assert_int_equal(w.server.m.streams.count, 0);
    world_end(&w);
}

/* S-10 */
static void test_frames_of_any_size_are_taken_whatever_our_own_limit(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;
    struct tt_smux_config server = world_config(false, 2);
    static uint8_t zeroes[65535];

    server.max_frame = 1;
    world_begin_with(&w, world_config(true, 2), server);
    world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 3));
    assert_int_equal(world_feed(&w, &w.server, make_frame(2, TT_SMUX_PSH, 65535, 3)), TT_OK);
    assert_int_equal(world_feed(&w, &w.server, tt_span_of(zeroes, sizeof(zeroes))), TT_OK);
    assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
    assert_int_equal(tt_smux_readable_bytes(s), 65535);
    world_end(&w);
}

static void test_version_1_knows_no_updates(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w, 1);
    assert_int_equal(world_feed(&w, &w.server, make_frame(1, TT_SMUX_UPD, 8, 3)), TT_E_PROTO);
    world_end(&w);
}

/* --- a server that does not know the version --- */

static void test_a_server_without_a_version_takes_that_of_the_first_frame(void **state)
{
    (void)state;
    for (uint8_t version = 0; version <= 3; version++) {
        struct world w;
        const bool good = version == 1 || version == 2;
        const uint8_t other = version == 1 ? 2 : 1;
        world_begin_with(&w, world_config(true, 2), world_config(false, 0));
        assert_int_equal(world_feed(&w, &w.server, make_frame(version, TT_SMUX_SYN, 0, 3)),
                         good ? TT_OK : TT_E_VERSION);
        assert_int_equal(w.server.m.version, good ? version : 0);
        if (good)
            assert_int_equal(world_feed(&w, &w.server, make_frame(other, TT_SMUX_SYN, 0, 5)),
                             TT_E_VERSION);
        world_end(&w);
    }
}

static void test_a_server_without_a_version_sends_nothing_before_it_has_one(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct world w;
        struct tt_smux_stream *s, *closed;
        struct tt_smux_config server = world_config(false, 0);

        server.keepalive_interval_us = 1000;
        server.legacy_peer = true; /* what comes before FIN depends on the version */
        world_begin_with(&w, world_config(true, version), server);
        assert_int_equal(tt_smux_open(&w.server.m, &s), TT_OK);
        assert_int_equal(tt_smux_open(&w.server.m, &closed), TT_OK);
        write_pattern(s, 0, 300000);
        assert_int_equal(tt_smux_shutdown(s), TT_OK);
        tt_smux_close(closed);
        w.now_us += 1500;
        assert_int_equal(tt_smux_handle_timeout(&w.server.m, w.now_us), TT_OK);
        assert_int_equal(tt_smux_deadline(&w.server.m), w.now_us + 1000);
        assert_false(tt_smux_wants_send(&w.server.m));
        assert_int_equal(world_send(&w, &w.server, SIZE_MAX), 0);

        assert_int_equal(world_feed(&w, &w.server, make_frame(version, TT_SMUX_NOP, 0, 0)), TT_OK);
        w.max_len = 65535;
        world_send(&w, &w.server, SIZE_MAX);
        assert_string_equal(wire_text(&w.server), version == 1
                                                      ? "SYN 2, SYN 4, FIN 4, PSH 2 300000, FIN 2"
                                                      : "SYN 2, SYN 4, FIN 4, PSH 2 262144");
        world_end(&w);
    }
}

static void test_a_stream_closed_before_the_version_is_known_is_not_settled(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;

    world_begin_with(&w, world_config(true, 2), world_config(false, 0));
    assert_int_equal(tt_smux_open(&w.server.m, &s), TT_OK);
    tt_smux_close(s);
    assert_false(tt_smux_settled(&w.server.m));
    world_feed(&w, &w.server, make_frame(2, TT_SMUX_NOP, 0, 0));
    world_settle(&w);
    assert_true(tt_smux_settled(&w.server.m));
    world_end(&w);
}

/* --- limits --- */

static void test_more_streams_than_allowed_end_the_session(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;
    struct tt_smux_config server = world_config(false, 2);

    server.max_streams = 3;
    world_begin_with(&w, world_config(true, 2), server);
    assert_int_equal(tt_smux_open(&w.server.m, &s), TT_OK);
    assert_int_equal(world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 3)), TT_OK);
    assert_int_equal(world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 5)), TT_OK);
    assert_int_equal(tt_smux_open(&w.server.m, &s), TT_E_FULL);
    assert_int_equal(world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 7)), TT_E_PROTO);
    world_end(&w);
}

/* Section 4; the frames before the SYN are handled, and nothing of it is lost. */
static void test_input_stops_at_the_stream_that_the_backlog_cannot_take(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;
    struct tt_smux_config server = world_config(false, 2);
    size_t used;
    static const uint8_t wire[] = SYN("\3") SYN("\5") PSH("\3", "\1", "a") SYN("\7") NOP;
    const struct tt_span all = {wire, sizeof(wire) - 1};

    server.accept_backlog = 2;
    for (size_t cut = 0; cut <= all.len; cut++) {
        world_begin_with(&w, world_config(true, 2), server);
        int err = tt_smux_input(&w.server.m, 0, tt_span_of(wire, cut), NULL, &used);
        size_t at = used;
        if (!err)
            err = tt_smux_input(&w.server.m, 0, tt_span_of(wire + at, all.len - at), NULL, &used);
        at += err && used < all.len - at ? used : 0;
        assert_int_equal(err, TT_E_AGAIN);
        assert_false(tt_smux_input_open(&w.server.m));
        assert_int_equal(w.server.m.accept_waiting, 2);
        assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
        read_pattern(s, 0, 0);
        assert_int_equal(tt_smux_readable_bytes(s), 1);
        assert_true(tt_smux_input_open(&w.server.m));
        /* What was not taken is the SYN's last byte at least. */
        assert_in_range(at, 32, 32);
        assert_int_equal(
            tt_smux_input(&w.server.m, 0, tt_span_of(wire + at, all.len - at), NULL, &used), TT_OK);
        assert_int_equal(w.server.m.accept_waiting, 2);
        assert_true(tt_smux_input_open(&w.server.m)); /* a full backlog stops SYNs only */
        assert_int_equal(w.server.m.stats.frames_in, 5);
        world_end(&w);
    }
}

/* S-22 */
static void test_input_stops_before_the_header_when_the_receive_buffer_is_used_up(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config server = world_config(false, 1);

    server.max_receive_buffer = 1000;
    server.max_stream_buffer = 1000;
    world_begin_with(&w, world_config(true, 1), server);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 999);
    world_settle(&w);
    assert_true(tt_smux_input_open(&w.server.m));
    write_pattern(c, 999, 5000); /* one frame may overdraw */
    world_settle(&w);
    assert_int_equal(tt_smux_readable_bytes(s), 5999);
    assert_false(tt_smux_input_open(&w.server.m));
    write_pattern(c, 5999, 1);
    world_settle(&w);
    assert_int_equal(w.client.wire_len, 9);
    read_pattern(s, 0, 4999);
    assert_false(tt_smux_input_open(&w.server.m)); /* the balance is 0 */
    read_pattern(s, 4999, 1);
    assert_true(tt_smux_input_open(&w.server.m));
    world_settle(&w);
    read_pattern(s, 5000, 1000);
    assert_int_equal(w.server.m.receive_tokens, 1000);
    world_end(&w);
}

static void test_closing_a_stream_gives_its_receive_tokens_back(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config server = world_config(false, 1);

    server.max_receive_buffer = 1000;
    server.max_stream_buffer = 1000;
    world_begin_with(&w, world_config(true, 1), server);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 3000);
    world_settle(&w);
    assert_false(tt_smux_input_open(&w.server.m));
    tt_smux_close(s);
    assert_true(tt_smux_input_open(&w.server.m));
    assert_int_equal(w.server.m.receive_tokens, 1000);
    world_end(&w);
}

/* */
static void test_a_peer_that_ignores_the_window_ends_the_session(void **state)
{
    (void)state;
    static uint8_t zeroes[65535];
    for (uint8_t version = 1; version <= 2; version++) {
        struct world w;
        struct tt_smux_stream *s;
        world_begin(&w, version);
        world_feed(&w, &w.server, make_frame(version, TT_SMUX_SYN, 0, 3));
        for (int i = 0; i < 4; i++) {
            assert_int_equal(world_feed(&w, &w.server, make_frame(version, TT_SMUX_PSH, 65535, 3)),
                             TT_OK);
            assert_int_equal(world_feed(&w, &w.server, tt_span_of(zeroes, 65535)), TT_OK);
        }
        assert_int_equal(world_feed(&w, &w.server, make_frame(version, TT_SMUX_PSH, 5, 3)),
                         version == 1 ? TT_OK : TT_E_PROTO);
        assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
        world_end(&w);
    }
}

/* S-28 */
static void test_a_peer_that_claims_more_than_was_sent_breaks_that_stream_only(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s, *c2, *s2;
    size_t n;
    uint8_t *room;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    world_open(&w, &c2, &s2);
    write_pattern(c, 0, 300000);
    world_settle(&w);
    assert_int_equal(tt_smux_unsent_bytes(c), 300000 - 262144);
    assert_int_equal(tt_smux_write_room(c, &room, &n), TT_OK); /* somebody is writing there now */
    assert_int_equal(world_feed(&w, &w.client, make_frame(2, TT_SMUX_UPD, 8, 3)), TT_OK);
    assert_int_equal(world_feed(&w, &w.client, tt_span_of("\1\0\4\0\0\0\1\0", 8)), TT_OK);
    memset(room, 1, n);
    tt_smux_write_commit(c, n);
    assert_int_equal(tt_smux_unsent_bytes(c), 0);
    assert_int_equal(tt_smux_write(c, "x", 1, &n), TT_E_PROTO);
    assert_int_equal(tt_smux_write_room(c, &room, &n), TT_E_PROTO);
    write_pattern(c2, 0, 10);
    write_pattern(s, 0, 10);
    world_settle(&w);
    read_pattern(s2, 0, 10);
    read_pattern(c, 0, 10);
    assert_int_equal(tt_smux_shutdown(c), TT_OK);
    world_settle(&w);
    read_pattern(s, 0, 262144);
    assert_int_equal(tt_smux_read(s, &n, 1, &n), TT_E_END);
    world_end(&w);
}

static void test_a_broken_stream_tells_a_writer_that_waits(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config client = world_config(true, 2);
    size_t n;

    client.max_send_buffer = 10;
    world_begin_with(&w, client, world_config(false, 2));
    world_open(&w, &c, &s);
    write_pattern(c, 0, 10);
    assert_int_equal(tt_smux_write(c, "x", 1, &n), TT_E_FULL);
    world_feed(&w, &w.client, make_frame(2, TT_SMUX_UPD, 8, 3));
    world_feed(&w, &w.client, tt_span_of("\1\0\0\0\0\0\1\0", 8));
    assert_int_equal(events_of(c), TT_SMUX_WRITABLE);
    assert_int_equal(tt_smux_write(c, "x", 1, &n), TT_E_PROTO);
    tt_smux_close(c);
    world_settle(&w);
    world_end(&w);
}

/* --- what is kept of what arrived --- */

/* One-byte frames for two streams in turn: a receive buffer's worth must not cost far more memory.
 */
static void test_little_frames_cost_little_memory(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s[2];
    const unsigned frames = 200000;

    world_begin(&w, 1);
    for (uint32_t i = 0; i < 2; i++) {
        world_feed(&w, &w.server, make_frame(1, TT_SMUX_SYN, 0, 3 + i));
        assert_int_equal(tt_smux_accept(&w.server.m, &s[i]), TT_OK);
    }
    for (unsigned i = 0; i < frames; i++) {
        uint8_t frame[TT_SMUX_HEADER + 1] = {1, TT_SMUX_PSH, 1, 0, (uint8_t)(3 + i % 2)};
        frame[TT_SMUX_HEADER] = pattern(i / 2);
        assert_int_equal(world_feed(&w, &w.server, tt_span_of(frame, sizeof(frame))), TT_OK);
    }
    assert_in_range(w.alloc.most_bytes, frames, 5 * frames + 400000);
    for (int i = 0; i < 2; i++)
        read_pattern(s[i], 0, frames / 2);
    world_end(&w);
}

/* Frames just large enough not to be copied for being small, each alone in a large slab. */
static void test_pieces_that_keep_whole_slabs_are_copied_when_there_are_many(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;
    uint8_t body[300];
    const unsigned frames = 1000;

    world_begin(&w, 1);
    world_feed(&w, &w.server, make_frame(1, TT_SMUX_SYN, 0, 3));
    assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
    for (unsigned i = 0; i < frames; i++) {
        struct tt_slab *slab = tt_slab_get(&w.server.slabs, TT_SLAB_LARGE);
        size_t used;
        for (size_t k = 0; k < sizeof(body); k++)
            slab->data[8 + k] = pattern(i * sizeof(body) + k);
        memcpy(slab->data, make_frame(1, TT_SMUX_PSH, sizeof(body), 3).ptr, 8);
        assert_int_equal(
            tt_smux_input(&w.server.m, 0, tt_span_of(slab->data, 8 + sizeof(body)), slab, &used),
            TT_OK);
        tt_slab_unref(slab);
        assert_true(w.server.account.bytes <=
                    4 * tt_smux_readable_bytes(s) + 262144 + 2 * TT_SLAB_LARGE_BYTES);
    }
    assert_in_range(w.server.slabs.live_bytes, 300 * frames,
                    4 * 300 * frames + 262144 + 3 * TT_SLAB_LARGE_BYTES);
    assert_true(w.server.m.stats.copied_bytes > 0);
    read_pattern(s, 0, frames * sizeof(body));
    assert_int_equal(w.server.slabs.live_bytes, 0);
    world_end(&w);
}

static void test_what_arrives_in_lasting_memory_is_not_copied(void **state)
{
    (void)state;
    for (unsigned transient = 0; transient <= 1; transient++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        struct tt_span spans[100];
        size_t count = ARRAY_LEN(spans);

        world_begin(&w, 2);
        w.server.transient = transient;
        world_open(&w, &c, &s);
        write_pattern(c, 0, 200000);
        world_send(&w, &w.client, SIZE_MAX);
        world_deliver(&w, &w.client, SIZE_MAX, 10000);
        if (transient)
            assert_int_equal(w.server.m.stats.copied_bytes, 200000);
        else
            assert_in_range(w.server.m.stats.copied_bytes, 0, 255); /* a little last piece */
        assert_int_equal(tt_smux_peek(s, spans, &count), TT_OK);
        /* Pieces that lie behind each other are one. */
        if (transient)
            assert_in_range(count, 200000 / 65536, 20);
        else
            assert_in_range(count, 20, 30);
        read_pattern(s, 0, 200000);
        world_end(&w);
    }
}

static void test_peeked_bytes_stay_until_they_are_consumed(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_span spans[2];
    size_t count = 2;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    assert_int_equal(tt_smux_peek(s, spans, &count), TT_E_AGAIN);
    assert_int_equal(count, 0);
    write_pattern(c, 0, 30);
    world_settle(&w);
    count = 2;
    assert_int_equal(tt_smux_peek(s, spans, &count), TT_OK);
    assert_int_equal(count, 1);
    assert_int_equal(spans[0].len, 30);
    tt_smux_consume(s, 10);
    write_pattern(c, 30, 5);
    world_settle(&w);
    count = 2;
    assert_int_equal(tt_smux_peek(s, spans, &count), TT_OK);
    assert_int_equal(count, 2);
    assert_int_equal(spans[0].len, 20);
    assert_int_equal(spans[1].len, 5);
    read_pattern(s, 10, 25);
    tt_smux_close(c);
    world_settle(&w);
    count = 2;
    assert_int_equal(tt_smux_peek(s, spans, &count), TT_E_END);
    world_end(&w);
}

static void test_an_idle_session_holds_no_slab_and_no_large_ring(void **state)
{
    (void)state;
    for (unsigned transient = 0; transient <= 1; transient++) {
        struct world w;
        struct tt_smux_stream *c, *s;

        world_begin(&w, 1);
        w.server.transient = transient;
        world_open(&w, &c, &s);
        for (uint64_t at = 0; at < 300000; at += 100000) {
            write_pattern(c, at, 100000);
            world_send(&w, &w.client, SIZE_MAX);
            world_deliver(&w, &w.client, SIZE_MAX, 300);
            if (!transient)
                assert_in_range(s->received.count, 100, 400);
            read_pattern(s, at, 100000);
        }
        world_settle(&w);
        assert_int_equal(w.client.slabs.live_bytes, 0);
        assert_int_equal(w.server.slabs.live_bytes, 0);
        tt_slab_pool_trim(&w.client.slabs);
        tt_slab_pool_trim(&w.server.slabs);
        assert_in_range(w.alloc.live_bytes, 1, 4096); /* both ends: stream, tables */
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_outcome_is_the_same_however_the_bytes_are_cut),
        cmocka_unit_test(test_after_an_error_nothing_goes_on),
        cmocka_unit_test(test_frames_of_any_size_are_taken_whatever_our_own_limit),
        cmocka_unit_test(test_version_1_knows_no_updates),
        cmocka_unit_test(test_a_server_without_a_version_takes_that_of_the_first_frame),
        cmocka_unit_test(test_a_server_without_a_version_sends_nothing_before_it_has_one),
        cmocka_unit_test(test_a_stream_closed_before_the_version_is_known_is_not_settled),
        cmocka_unit_test(test_more_streams_than_allowed_end_the_session),
        cmocka_unit_test(test_input_stops_at_the_stream_that_the_backlog_cannot_take),
        cmocka_unit_test(test_input_stops_before_the_header_when_the_receive_buffer_is_used_up),
        cmocka_unit_test(test_closing_a_stream_gives_its_receive_tokens_back),
        cmocka_unit_test(test_a_peer_that_ignores_the_window_ends_the_session),
        cmocka_unit_test(test_a_peer_that_claims_more_than_was_sent_breaks_that_stream_only),
        cmocka_unit_test(test_a_broken_stream_tells_a_writer_that_waits),
        cmocka_unit_test(test_little_frames_cost_little_memory),
        cmocka_unit_test(test_pieces_that_keep_whole_slabs_are_copied_when_there_are_many),
        cmocka_unit_test(test_what_arrives_in_lasting_memory_is_not_copied),
        cmocka_unit_test(test_peeked_bytes_stay_until_they_are_consumed),
        cmocka_unit_test(test_an_idle_session_holds_no_slab_and_no_large_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
