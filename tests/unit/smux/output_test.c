/* What a session sends: order, sizes, turns, windows, where written bytes lie. */
#include <turbotunnel/error.h>

#include "core/smux/unsent.h"
#include "test.h"
#include "world.h"

/* Bytes that wait on a wire in PSHs of one stream. */
static uint64_t wire_data(const struct end *e, uint32_t sid)
{
    struct tt_span wire = {e->wire, e->wire_len}, payload;
    uint64_t sum = 0;
    for (struct tt_smux_frame f; next_frame(&wire, &f, &payload);)
        if (f.cmd == TT_SMUX_PSH && f.sid == sid)
            sum += f.length;
    return sum;
}

/* --- order --- */

static void test_control_frames_pass_waiting_data(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s, *c2;
    struct tt_smux_config client = world_config(true, 2);

    client.keepalive_interval_us = 1000;
    world_begin_with(&w, client, world_config(false, 2));
    world_open(&w, &c, &s);
    write_pattern(s, 0, 5);
    world_settle(&w);
    write_pattern(c, 0, 100000);
    read_pattern(c, 0, 5);
    w.now_us += 1000;
    assert_int_equal(tt_smux_handle_timeout(&w.client.m, w.now_us), TT_OK);
    assert_int_equal(tt_smux_open(&w.client.m, &c2), TT_OK);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "NOP 0, UPD 3 5/65536, SYN 5, PSH 3 100000");
    world_end(&w);
}

/* S-34 */
static void test_a_stream_is_opened_before_its_data_and_ended_behind_it(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *a, *b;

    world_begin(&w, 2);
    assert_int_equal(tt_smux_open(&w.client.m, &a), TT_OK);
    assert_int_equal(tt_smux_open(&w.client.m, &b), TT_OK);
    write_pattern(a, 0, 100);
    assert_int_equal(tt_smux_shutdown(a), TT_OK);
    assert_int_equal(tt_smux_shutdown(b), TT_OK);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "SYN 3, SYN 5, FIN 5, PSH 3 100, FIN 3");
    world_end(&w);
}

/* S-2 */
static void test_numbers_count_up_by_two_and_pass_those_in_use(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;

    world_begin(&w, 2);
    world_feed(&w, &w.client, make_frame(2, TT_SMUX_SYN, 0, 5)); /* one of ours (S-14) */
    world_feed(&w, &w.server, make_frame(2, TT_SMUX_SYN, 0, 2));
    assert_int_equal(tt_smux_open(&w.client.m, &s), TT_OK);
    assert_int_equal(tt_smux_stream_id(s), 3);
    assert_int_equal(tt_smux_open(&w.client.m, &s), TT_OK);
    assert_int_equal(tt_smux_stream_id(s), 7);
    assert_int_equal(tt_smux_open(&w.server.m, &s), TT_OK);
    assert_int_equal(tt_smux_stream_id(s), 4);
    world_end(&w);
}

/* Section 3 */
static void test_the_last_number_is_used_and_then_none(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s;

    world_begin(&w, 2);
    w.client.m.next_sid = UINT32_MAX;
    w.server.m.next_sid = UINT32_MAX - 1;
    assert_int_equal(tt_smux_open(&w.client.m, &s), TT_OK);
    assert_int_equal(tt_smux_stream_id(s), UINT32_MAX);
    assert_int_equal(tt_smux_open(&w.client.m, &s), TT_E_EXHAUSTED);
    assert_int_equal(tt_smux_open(&w.client.m, &s), TT_E_EXHAUSTED);
    assert_int_equal(tt_smux_open(&w.server.m, &s), TT_OK);
    assert_int_equal(tt_smux_open(&w.server.m, &s), TT_E_EXHAUSTED);
    world_end(&w);
}

/* --- windows --- */

/* S-23, S-24, S-29: what may be sent of 400,000 bytes after each UPD. */
static void test_no_more_is_sent_than_the_latest_window_allows(void **state)
{
    (void)state;
    static const struct {
        uint32_t consumed, window;
        const char *sent;
    } updates[] = {
        {0, 262145, "PSH 3 1"},
        {262145, 0, ""},
        {262145, 10, "PSH 3 10"},
        {262145, 5, ""}, /* smaller than what is under way */
        {262150, 5, ""},
        {262150, 6, "PSH 3 1"},
        {262156, 65536, "PSH 3 65536"},
        {262156, 1u << 31, "PSH 3 72308"},
    };
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 400000);
    world_send(&w, &w.client, SIZE_MAX);
    assert_string_equal(wire_text(&w.client), "PSH 3 262144");
    for (size_t i = 0; i < ARRAY_LEN(updates); i++) {
        uint8_t body[8];
        tt_put_le32(body, updates[i].consumed);
        tt_put_le32(body + 4, updates[i].window);
        world_feed(&w, &w.client, make_frame(2, TT_SMUX_UPD, 8, 3));
        world_feed(&w, &w.client, tt_span_of(body, 8));
        world_send(&w, &w.client, SIZE_MAX);
        assert_string_equal(wire_text(&w.client), updates[i].sent);
    }
    world_end(&w);
}

static void test_a_stream_without_window_does_not_hold_up_others(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c[2], *s[2];

    world_begin(&w, 2);
    for (int i = 0; i < 2; i++)
        world_open(&w, &c[i], &s[i]);
    write_pattern(c[0], 0, 500000);
    world_settle(&w);
    write_pattern(c[1], 0, 1000);
    world_settle(&w);
    assert_int_equal(tt_smux_readable_bytes(s[0]), 262144);
    read_pattern(s[1], 0, 1000);
    for (uint64_t at = 0; at < 500000; at += 10000) {
        read_pattern(s[0], at, 10000);
        world_settle(&w);
    }
    world_end(&w);
}

/* --- turns --- */

/* Equal streams, asked for differently much each time: when the first is done, the slowest has
 * half. */
static void test_equal_streams_share_equally(void **state)
{
    (void)state;
    static const uint32_t asks[][2] = {{64672, 64672}, {64672, 16}, {64672, 1000}, {16, 16}};
    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        struct world w;
        struct tt_smux_stream *s[4]; /* even, so that each always meets the same of two asks */
        uint64_t least, most;
        unsigned frames = 0;

        world_begin(&w, 1);
        for (size_t k = 0; k < ARRAY_LEN(s); k++) {
            assert_int_equal(tt_smux_open(&w.client.m, &s[k]), TT_OK);
            write_pattern(s[k], 0, 500000);
        }
        do {
            struct tt_smux_piece piece;
            assert_int_equal(tt_smux_next_frame(&w.client.m, 0, asks[i][frames % 2], &piece),
                             TT_OK);
            frames += w.client.m.pending.len == 0;
            tt_slab_unref(piece.slab);
            least = UINT64_MAX, most = 0;
            for (size_t k = 0; k < ARRAY_LEN(s); k++) {
                const uint64_t sent = 500000 - tt_smux_unsent_bytes(s[k]);
                least = sent < least ? sent : least;
                most = sent > most ? sent : most;
            }
        } while (most < 500000);
        if (least < 250000)
            fail_msg("asks %u and %u: the slowest has %llu", (unsigned)asks[i][0],
                     (unsigned)asks[i][1], (unsigned long long)least);
        world_end(&w);
    }
}

/* A writer of little things waits for one turn of each other stream at most. */
static void test_a_little_message_passes_most_of_what_others_have(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *bulk[3], *little;

    world_begin(&w, 1);
    for (size_t k = 0; k < ARRAY_LEN(bulk); k++) {
        assert_int_equal(tt_smux_open(&w.client.m, &bulk[k]), TT_OK);
        write_pattern(bulk[k], 0, 1000000);
    }
    assert_int_equal(tt_smux_open(&w.client.m, &little), TT_OK);
    world_send(&w, &w.client, 300000);
    write_pattern(little, 0, 10);
    world_take_wire(&w.client);
    world_send(&w, &w.client, 4 * 32768);
    assert_int_equal(wire_data(&w.client, tt_smux_stream_id(little)), 10);
    world_end(&w);
}

/* --- pieces --- */

/* Everything arrives whatever is asked for, and nothing is longer than that. */
static void test_any_length_may_be_asked_for(void **state)
{
    (void)state;
    static const size_t lengths[] = {16, 17, 24, 100, 1376, 2048, 13760, 64672, 65535};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        world_begin(&w, 2);
        world_open(&w, &c, &s);
        w.max_len = lengths[i];
        write_pattern(c, 0, 100000);
        world_settle(&w);
        read_pattern(s, 0, 100000);
        world_end(&w);
    }
}

static void test_lengths_may_change_from_piece_to_piece(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct world w;
        struct tt_smux_stream *c[2], *s[2];
        uint64_t random = seed;

        world_begin(&w, 2);
        for (int k = 0; k < 2; k++) {
            world_open(&w, &c[k], &s[k]);
            write_pattern(c[k], 0, 100000);
        }
        while (tt_smux_wants_send(&w.client.m)) {
            w.max_len = 16 + test_random_below(&random, 1u << test_random_below(&random, 17));
            world_send(&w, &w.client, 1);
        }
        world_settle(&w);
        for (int k = 0; k < 2; k++)
            read_pattern(s[k], 0, 100000);
        world_end(&w);
    }
}

/* The header of what is left of a frame goes alone; the payload follows before anything else. */
static void test_nothing_comes_between_a_header_and_its_payload(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s, *c2;
    struct tt_smux_piece piece;

    world_begin(&w, 2);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 1000);
    w.max_len = 108;
    world_send(&w, &w.client, 1);
    assert_int_equal(w.client.wire_len, 108);
    assert_int_equal(tt_smux_next_frame(&w.client.m, 0, 208, &piece), TT_OK);
    assert_int_equal(piece.len, 8);
    assert_int_equal(tt_smux_frame_read(piece.ptr).length, 200);
    tt_slab_unref(piece.slab);
    assert_int_equal(tt_smux_open(&w.client.m, &c2), TT_OK);
    assert_int_equal(tt_smux_next_frame(&w.client.m, 0, 150, &piece), TT_OK);
    assert_int_equal(piece.len, 150);
    assert_int_equal(piece.ptr[0], pattern(100));
    tt_slab_unref(piece.slab);
    assert_int_equal(tt_smux_next_frame(&w.client.m, 0, 150, &piece), TT_OK);
    assert_int_equal(piece.len, 50);
    assert_int_equal(piece.ptr[49], pattern(299));
    tt_slab_unref(piece.slab);
    world_send(&w, &w.client, 1);
    assert_int_equal(tt_smux_frame_read(w.client.wire + 108).cmd, TT_SMUX_SYN);
    tt_smux_close(c); /* its payload may still be pending when the session ends */
    assert_int_equal(tt_smux_next_frame(&w.client.m, 0, 150, &piece), TT_OK);
    tt_slab_unref(piece.slab);
    world_end(&w);
}

/* --- where written bytes lie --- */

/* 47 segments of 1376 bytes: what KCP packs into one packet. */
static void test_a_bulk_writer_fills_whole_large_slabs(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config client = world_config(true, 1);
    static const uint8_t zeroes[65536];
    struct tt_smux_piece piece;
    size_t n;

    client.max_frame = 64664;
    world_begin_with(&w, client, world_config(false, 1));
    world_open(&w, &c, &s);
    for (int i = 0; i < 15; i++) {
        assert_int_equal(tt_smux_write(c, zeroes, sizeof(zeroes), &n), TT_OK);
        assert_int_equal(n, sizeof(zeroes));
    }
    assert_in_range(w.client.slabs.live_bytes, 15 * 65536, 18 * 65536);
    unsigned whole = 0;
    while (tt_smux_next_frame(&w.client.m, 0, 64672, &piece) == TT_OK) {
        whole += piece.len == 64672;
        tt_slab_unref(piece.slab);
    }
    assert_in_range(whole, 14, 15);
    world_end(&w);
}

static void test_a_writer_that_is_read_at_once_does_not_hold_two_large_slabs(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config client = world_config(true, 1);
    static const uint8_t zeroes[65536];
    size_t n;

    client.max_frame = 64664;
    world_begin_with(&w, client, world_config(false, 1));
    world_open(&w, &c, &s);
    assert_int_equal(tt_smux_write(c, zeroes, sizeof(zeroes), &n), TT_OK);
    assert_int_equal(n, sizeof(zeroes));
    assert_in_range(w.client.slabs.live_bytes, 65536, 65536 + 2048);
    world_end(&w);
}

static void test_writers_of_little_things_share_a_small_slab(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *s[10];

    world_begin(&w, 2);
    for (size_t k = 0; k < ARRAY_LEN(s); k++) {
        assert_int_equal(tt_smux_open(&w.client.m, &s[k]), TT_OK);
        write_pattern(s[k], 0, 64);
    }
    world_send(&w, &w.client, SIZE_MAX);
    assert_int_equal(w.client.slabs.live_bytes, 2048);
    world_end(&w);
}

/* Little writes that pile up are one frame, as far as they lie behind each other. */
static void test_writes_that_wait_are_joined(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 1);
    world_open(&w, &c, &s);
    for (uint64_t i = 0; i < 1000; i++)
        write_pattern(c, i * 64, 64);
    const uint64_t before = w.client.m.stats.frames_out;
    world_settle(&w);
    assert_in_range(w.client.m.stats.frames_out - before, 1, 8);
    read_pattern(s, 0, 64000);
    world_end(&w);
}

/* The room grows with a writer that fills it, up to a whole frame, and shrinks with one that does
 * not. */
static void test_the_room_for_a_writer_follows_his_use_of_it(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    uint8_t *room;
    size_t first, len = 0;

    world_begin(&w, 1);
    world_open(&w, &c, &s);
    assert_int_equal(tt_smux_write_room(c, &room, &first), TT_OK);
    assert_in_range(first, 512, TT_SLAB_SMALL_BYTES);
    memset(room, 0, first);
    tt_smux_write_commit(c, first);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(tt_smux_write_room(c, &room, &len), TT_OK);
        memset(room, 0, len);
        tt_smux_write_commit(c, len);
    }
    assert_in_range(len, 32700, 32768);
    world_settle(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tt_smux_write_room(c, &room, &len), TT_OK);
        tt_smux_write_commit(c, i == 0 ? 0 : 10);
        world_settle(&w);
    }
    assert_in_range(len, 512, TT_SLAB_SMALL_BYTES);
    world_end(&w);
}

/* A room that the limits keep small is full each time: that is no reason for a large slab. */
static void test_small_limits_do_not_make_large_slabs(void **state)
{
    (void)state;
    static const struct {
        uint32_t frame, buffer;
        size_t most_bytes;
    } limits[] = {
        {1, 65536, TT_SLAB_SMALL_BYTES},
        {65535, 1, TT_SLAB_SMALL_BYTES},
        {65535, 1000, TT_SLAB_SMALL_BYTES},
        {8192, 65536, TT_SLAB_MEDIUM_BYTES},
    };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        struct tt_smux_config client = world_config(true, 1);
        uint8_t *room;
        size_t len;

        client.max_frame = limits[i].frame;
        client.max_send_buffer = limits[i].buffer;
        world_begin_with(&w, client, world_config(false, 1));
        world_open(&w, &c, &s);
        for (int k = 0; k < 5; k++) {
            assert_int_equal(tt_smux_write_room(c, &room, &len), TT_OK);
            memset(room, 0, len);
            assert_in_range(w.client.slabs.live_bytes, 1, limits[i].most_bytes);
            tt_smux_write_commit(c, len);
            world_settle(&w);
        }
        world_end(&w);
    }
}

/* In between the stream may send, other streams may write, and the room stays the writer's own. */
static void test_a_room_is_kept_while_the_session_goes_on(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct world w;
        struct tt_smux_stream *c[3], *s[3];
        uint64_t at[3] = {0}, random = seed;
        uint8_t *room[3];
        size_t len[3];

        world_begin(&w, 1);
        for (int k = 0; k < 3; k++)
            world_open(&w, &c[k], &s[k]);
        for (int round = 0; round < 20; round++) {
            for (int k = 0; k < 3; k++)
                assert_int_equal(tt_smux_write_room(c[k], &room[k], &len[k]), TT_OK);
            w.max_len = 16 + test_random_below(&random, 2000);
            world_send(&w, &w.client, test_random_below(&random, 3000));
            for (int k = 0; k < 3; k++) {
                const size_t n = test_random_below(&random, len[k] + 1);
                for (size_t i = 0; i < n; i++)
                    room[k][i] = pattern(at[k] + i);
                memset(room[k] + n, 0xee, len[k] - n);
                tt_smux_write_commit(c[k], n);
                at[k] += n;
                if (test_random_below(&random, 2)) {
                    write_pattern(c[k], at[k], 100);
                    at[k] += 100;
                }
            }
        }
        world_settle(&w);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(tt_smux_readable_bytes(s[k]), at[k]);
            read_pattern(s[k], 0, (size_t)at[k]);
        }
        assert_int_equal(w.client.slabs.live_bytes, 0);
        world_end(&w);
    }
}

/* All that waits may leave meanwhile: the queue is kept for what comes. */
static void test_a_room_outlives_the_queue_before_it(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c[2], *s[2];
    uint8_t *room;
    size_t len;

    world_begin(&w, 1);
    for (int k = 0; k < 2; k++)
        world_open(&w, &c[k], &s[k]);
    for (uint64_t i = 0; i < 40; i++)
        for (int k = 0; k < 2; k++)
            write_pattern(c[k], i * 10, 10); /* in turn: each is a frame of its own */
    assert_in_range(c[0]->unsent.count, 17, 40);
    assert_int_equal(tt_smux_write_room(c[0], &room, &len), TT_OK);
    world_send(&w, &w.client, SIZE_MAX);
    assert_int_equal(tt_smux_unsent_bytes(c[0]), 0);
    room[0] = pattern(400);
    tt_smux_write_commit(c[0], 1);
    world_settle(&w);
    read_pattern(s[0], 0, 401);
    world_end(&w);
}

/* What was given out is read, and sent again, until it is acknowledged: nobody writes there any
 * more. */
static void test_what_was_given_out_does_not_change(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_piece pieces[40];
    uint8_t copies[40][600], *room;
    size_t n = 0, len;

    world_begin(&w, 1);
    world_open(&w, &c, &s);
    for (uint64_t i = 0; n < ARRAY_LEN(pieces); i++) {
        write_pattern(c, i * 300, 200);
        assert_int_equal(tt_smux_write_room(c, &room, &len), TT_OK);
        /* Now all, or a part, of what the room would make longer leaves. */
        const uint32_t most = i % 2 ? 600 : 116;
        if (tt_smux_next_frame(&w.client.m, 0, most, &pieces[n]) == TT_OK) {
            assert_in_range(pieces[n].len, 1, sizeof(copies[n]));
            memcpy(copies[n], pieces[n].ptr, pieces[n].len);
            n++;
        }
        for (size_t k = 0; k < 100; k++)
            room[k] = pattern(i * 300 + 200 + k);
        tt_smux_write_commit(c, 100);
    }
    world_send(&w, &w.client, SIZE_MAX);
    for (size_t i = 0; i < n; i++) {
        assert_memory_equal(pieces[i].ptr, copies[i], pieces[i].len);
        tt_slab_unref(pieces[i].slab);
    }
    world_end(&w);
}

/* Rooms in one slab, given back in every order; what was reserved behind one stays untouched. */
static void test_rooms_behind_each_other_do_not_overlap(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 8; order++) {
        struct world w;
        struct tt_smux_stream *c[3], *s[3];
        struct tt_smux_config client = world_config(true, 1);
        uint8_t *room[3];
        size_t len;

        client.max_send_buffer = 600;
        world_begin_with(&w, client, world_config(false, 1));
        for (int k = 0; k < 3; k++)
            world_open(&w, &c[k], &s[k]);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(tt_smux_write_room(c[k], &room[k], &len), TT_OK);
            for (size_t i = 0; i < 300; i++)
                room[k][i] = pattern(1000 * (uint64_t)k + i);
        }
        assert_int_equal(w.client.slabs.live_bytes, 2048); /* they do lie in one */
        for (unsigned i = 0; i < 3; i++) {
            const unsigned k = order & 4 ? 2 - (i + order) % 3 : (i + order) % 3;
            tt_smux_write_commit(c[k], order & 1 && k == 1 ? 0 : 300);
            write_pattern(c[k], 1000 * k + (tt_smux_unsent_bytes(c[k]) ? 300 : 0), 200);
        }
        world_settle(&w);
        for (unsigned k = 0; k < 3; k++)
            read_pattern(s[k], 1000 * k, tt_smux_readable_bytes(s[k]));
        world_end(&w);
    }
}

static void test_a_room_that_is_never_used_is_given_back_at_the_end(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    uint8_t *room;
    size_t len;

    world_begin(&w, 1);
    world_open(&w, &c, &s);
    assert_int_equal(tt_smux_write_room(c, &room, &len), TT_OK);
    tt_smux_write_commit(c, 0);
    assert_int_equal(w.client.m.shared->used, 0);
    assert_int_equal(tt_smux_write_room(c, &room, &len), TT_OK);
    world_end(&w);
}

/* --- the writer's limit --- */

static void test_a_writer_is_stopped_at_the_limit_and_told_of_room(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config client = world_config(true, 1);
    static const uint8_t zeroes[2000];
    uint8_t *room;
    size_t n;

    client.max_send_buffer = 1000;
    world_begin_with(&w, client, world_config(false, 1));
    world_open(&w, &c, &s);
    assert_int_equal(tt_smux_write(c, zeroes, 600, &n), TT_OK);
    assert_int_equal(n, 600);
    assert_int_equal(tt_smux_write(c, zeroes, 2000, &n), TT_OK);
    assert_int_equal(n, 400);
    assert_int_equal(events_of(c), 0);
    assert_int_equal(tt_smux_write(c, zeroes, 1, &n), TT_E_FULL);
    assert_int_equal(n, 0);
    assert_int_equal(tt_smux_write(c, zeroes, 0, &n), TT_OK);
    assert_int_equal(tt_smux_write_room(c, &room, &n), TT_E_FULL);
    w.max_len = 16;
    world_send(&w, &w.client, 16);
    assert_int_equal(events_of(c), 0); /* half of it must be free */
    w.max_len = 64672;
    world_send(&w, &w.client, SIZE_MAX);
    assert_int_equal(events_of(c), TT_SMUX_WRITABLE);
    assert_int_equal(tt_smux_write(c, zeroes, 2000, &n), TT_OK);
    assert_int_equal(n, 1000);
    world_send(&w, &w.client, SIZE_MAX);
    assert_int_equal(events_of(c), 0); /* nobody was told to wait */
    world_end(&w);
}

/* Writes until it is full; returns how many bytes that were. */
static size_t fill(struct tt_smux_stream *s)
{
    static const uint8_t zeroes[65536];
    size_t n, sum = 0;
    while (tt_smux_write(s, zeroes, sizeof zeroes, &n) == TT_OK)
        sum += n;
    return sum;
}

/* A bulk writer that fills its rooms gets whole frames, not what is left behind one in a slab. */
static void test_a_bulk_writers_rooms_are_whole_frames(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config client = world_config(true, 1);
    uint8_t *room;
    size_t len;
    unsigned whole = 0;

    client.max_frame = 64664;
    client.max_send_buffer = 4 * client.max_frame;
    world_begin_with(&w, client, world_config(false, 1));
    world_open(&w, &c, &s);
    for (int turn = 0; turn < 3; turn++) {
        while (tt_smux_write_room(c, &room, &len) == TT_OK) {
            memset(room, 0, len);
            tt_smux_write_commit(c, len);
            whole += len == client.max_frame;
            assert_true(len == client.max_frame || turn == 0); /* rooms grow in the first */
        }
        world_send(&w, &w.client, SIZE_MAX);
    }
    assert_in_range(whole, 8 + 3, 12);
    world_end(&w);
}

/* Four have a whole buffer each; more share what four would have, but each has 64 KiB at least. */
static void test_many_writers_share_their_buffers(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c[100], *s;
    struct tt_smux_config client = world_config(true, 1);
    const size_t whole = 256u << 10;

    client.max_send_buffer = (uint32_t)whole;
    world_begin_with(&w, client, world_config(false, 1));
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        world_open(&w, &c[i], &s);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        const size_t share = i < 4 ? whole : 4 * whole / (i + 1);
        assert_in_range(fill(c[i]), share > 65536 ? share : 65536, whole);
    }
    assert_in_range(w.client.m.unsent_bytes, 0, 10u << 20); /* of 25 MiB */
    world_send(&w, &w.client, SIZE_MAX);
    assert_int_equal(w.client.m.sending_streams, 0);
    assert_int_equal(fill(c[7]), whole); /* alone again */
    world_end(&w);
}

/* What the streams hold fills the memory, and can only leave with a header for each piece, once
 * the reader's windows come in: both need memory too.
 */
static void test_writers_that_have_filled_the_memory_can_still_send(void **state)
{
    (void)state;
    enum { STREAMS = 4 };
    static const uint8_t data[10000];
    static uint8_t buf[1u << 16];
    struct world w;
    struct tt_smux_stream *c[STREAMS], *s[STREAMS];
    uint64_t written = 0, read = 0;
    size_t n;

    world_begin(&w, 2);
    w.client.slabs.limit_bytes = 1u << 20;
    for (unsigned i = 0; i < STREAMS; i++)
        world_open(&w, &c[i], &s[i]);
    for (unsigned i = 0; i < STREAMS; i++)
        while (tt_smux_write(c[i], data, sizeof data, &n) == TT_OK) {
            written += n;
            world_settle(&w); /* up to the window */
        }
    assert_int_equal(tt_smux_write(c[0], data, sizeof data, &n), TT_E_NOMEM);
    for (uint64_t before = UINT64_MAX; read != before;) {
        before = read;
        for (unsigned i = 0; i < STREAMS; i++)
            while (tt_smux_read(s[i], buf, sizeof buf, &n) == TT_OK)
                read += n;
        world_settle(&w);
    }
    assert_int_equal(read, written);
    world_end(&w);
}

static void test_a_send_buffer_of_one_byte_works(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    struct tt_smux_config client = world_config(true, 2);
    uint8_t byte;
    size_t n;

    client.max_send_buffer = 1;
    world_begin_with(&w, client, world_config(false, 2));
    world_open(&w, &c, &s);
    for (uint64_t i = 0; i < 100; i++) {
        byte = pattern(i);
        assert_int_equal(tt_smux_write(c, &byte, 1, &n), TT_OK);
        assert_int_equal(tt_smux_write(c, &byte, 1, &n), TT_E_FULL);
        world_settle(&w);
        assert_int_equal(events_of(c), TT_SMUX_WRITABLE);
    }
    read_pattern(s, 0, 100);
    world_end(&w);
}

/* S-5, S-6; the end of a slab may make a frame shorter, never longer. */
static void test_frames_are_never_longer_than_the_limit(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1, 2, 100, 32768, 65535};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct world w;
        struct tt_smux_stream *s;
        struct tt_smux_config client = world_config(true, 1);
        struct tt_smux_frame f;
        struct tt_span payload;

        client.max_frame = limits[i];
        world_begin_with(&w, client, world_config(false, 1));
        assert_int_equal(tt_smux_open(&w.client.m, &s), TT_OK);
        write_pattern(s, 0, 200000);
        w.max_len = 70000;
        world_send(&w, &w.client, SIZE_MAX);
        uint64_t at = 0;
        for (struct tt_span wire = world_take_wire(&w.client); next_frame(&wire, &f, &payload);) {
            assert_in_range(f.length, f.cmd == TT_SMUX_PSH, limits[i]);
            for (size_t k = 0; k < payload.len; k++)
                assert_int_equal(payload.ptr[k], pattern(at++));
        }
        assert_int_equal(at, 200000);
        world_end(&w);
    }
}

/* --- events and settling --- */

static void test_streams_that_are_not_accepted_report_nothing_yet(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s, *other;
    unsigned events;

    world_begin(&w, 2);
    assert_int_equal(tt_smux_open(&w.client.m, &c), TT_OK);
    write_pattern(c, 0, 10);
    world_settle(&w);
    assert_false(tt_smux_next_event(&w.server.m, &other, &events));
    assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
    assert_true(tt_smux_next_event(&w.server.m, &other, &events));
    assert_ptr_equal(other, s);
    assert_int_equal(events, TT_SMUX_READABLE);
    assert_false(tt_smux_next_event(&w.server.m, &other, &events));
    assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_E_AGAIN);
    world_end(&w);
}

static void test_settled_means_that_nothing_is_lost_by_ending_now(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 2);
    assert_true(tt_smux_settled(&w.client.m));
    world_open(&w, &c, &s);
    assert_true(tt_smux_settled(&w.client.m));
    assert_true(tt_smux_stream_settled(c));
    write_pattern(c, 0, 300000);
    assert_false(tt_smux_stream_settled(c));
    world_settle(&w);
    assert_false(tt_smux_settled(&w.client.m)); /* the window holds the rest up */
    read_pattern(s, 0, 262144);
    world_send(&w, &w.server, SIZE_MAX);
    world_deliver(&w, &w.server, SIZE_MAX, SIZE_MAX);
    w.no_acks = true;
    world_settle(&w);
    assert_false(tt_smux_settled(&w.client.m)); /* not acknowledged */
    assert_false(tt_smux_stream_settled(c));
    tt_smux_acked(&w.client.m, w.client.m.sent_offset);
    assert_true(tt_smux_settled(&w.client.m));
    assert_true(tt_smux_stream_settled(c));
    w.no_acks = false;
    tt_smux_shutdown(c);
    assert_false(tt_smux_stream_settled(c));
    world_settle(&w);
    assert_true(tt_smux_stream_settled(c));
    tt_smux_close(c);
    assert_int_equal(w.client.m.streams.count, 0);
    assert_true(tt_smux_settled(&w.client.m));
    world_end(&w);
}

static void test_a_stream_is_not_settled_while_its_last_payload_is_pending(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;

    world_begin(&w, 1);
    world_open(&w, &c, &s);
    write_pattern(c, 0, 100);
    w.max_len = 58;
    world_send(&w, &w.client, 58 + 1); /* the first half, and a header alone */
    assert_int_equal(w.client.wire_len, 58 + 8);
    world_deliver(&w, &w.client, SIZE_MAX, SIZE_MAX);
    assert_int_equal(w.client.m.acked_offset, w.client.m.sent_offset);
    assert_int_equal(tt_smux_unsent_bytes(c), 0);
    assert_false(tt_smux_stream_settled(c));
    assert_false(tt_smux_settled(&w.client.m));
    world_settle(&w);
    assert_true(tt_smux_stream_settled(c));
    world_end(&w);
}

static void test_settings_out_of_range_are_refused(void **state)
{
    (void)state;
    struct tt_slab_pool slabs;
    struct tt_slab_account account = {0};
    struct tt_smux_config bad[16];
    struct tt_smux m;
    size_t n;

    tt_slab_pool_init(&slabs, &tt_alloc_malloc, SIZE_MAX);
    for (n = 0; n < ARRAY_LEN(bad); n++) {
        bad[n] = world_config(true, 2);
        bad[n].slabs = &slabs;
        bad[n].account = &account;
        bad[n].alloc = &tt_alloc_malloc;
    }
    assert_int_equal(tt_smux_init(&m, &bad[0], 0), TT_OK);
    tt_smux_dispose(&m);
    bad[0].version = 0; /* a client must know */
    bad[1].version = 3;
    bad[2].max_frame = 0;
    bad[3].max_frame = 65536;
    bad[4].max_receive_buffer = 0;
    bad[5].max_receive_buffer = 1u << 31;
    bad[6].max_stream_buffer = 0;
    bad[7].max_stream_buffer = bad[7].max_receive_buffer + 1;
    bad[8].max_send_buffer = 0;
    bad[9].accept_backlog = 0;
    bad[10].max_streams = 0;
    bad[11].keepalive_interval_us = 2, bad[11].keepalive_timeout_us = 1;
    bad[12].slabs = NULL;
    bad[13].account = NULL;
    bad[14].alloc = NULL;
    bad[15].max_send_buffer = 1u << 31;
    for (n = 0; n < ARRAY_LEN(bad); n++) {
        if (tt_smux_init(&m, &bad[n], 0) != TT_E_INVAL)
            fail_msg("settings %zu were taken", n);
        tt_smux_dispose(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_frames_pass_waiting_data),
        cmocka_unit_test(test_a_stream_is_opened_before_its_data_and_ended_behind_it),
        cmocka_unit_test(test_numbers_count_up_by_two_and_pass_those_in_use),
        cmocka_unit_test(test_the_last_number_is_used_and_then_none),
        cmocka_unit_test(test_no_more_is_sent_than_the_latest_window_allows),
        cmocka_unit_test(test_a_stream_without_window_does_not_hold_up_others),
        cmocka_unit_test(test_equal_streams_share_equally),
        cmocka_unit_test(test_a_little_message_passes_most_of_what_others_have),
        cmocka_unit_test(test_any_length_may_be_asked_for),
        cmocka_unit_test(test_lengths_may_change_from_piece_to_piece),
        cmocka_unit_test(test_nothing_comes_between_a_header_and_its_payload),
        cmocka_unit_test(test_a_bulk_writer_fills_whole_large_slabs),
        cmocka_unit_test(test_a_writer_that_is_read_at_once_does_not_hold_two_large_slabs),
        cmocka_unit_test(test_writers_of_little_things_share_a_small_slab),
        cmocka_unit_test(test_writes_that_wait_are_joined),
        cmocka_unit_test(test_the_room_for_a_writer_follows_his_use_of_it),
        cmocka_unit_test(test_small_limits_do_not_make_large_slabs),
        cmocka_unit_test(test_a_room_is_kept_while_the_session_goes_on),
        cmocka_unit_test(test_a_room_outlives_the_queue_before_it),
        cmocka_unit_test(test_what_was_given_out_does_not_change),
        cmocka_unit_test(test_rooms_behind_each_other_do_not_overlap),
        cmocka_unit_test(test_a_room_that_is_never_used_is_given_back_at_the_end),
        cmocka_unit_test(test_a_bulk_writers_rooms_are_whole_frames),
        cmocka_unit_test(test_many_writers_share_their_buffers),
        cmocka_unit_test(test_a_writer_is_stopped_at_the_limit_and_told_of_room),
        cmocka_unit_test(test_writers_that_have_filled_the_memory_can_still_send),
        cmocka_unit_test(test_a_send_buffer_of_one_byte_works),
        cmocka_unit_test(test_frames_are_never_longer_than_the_limit),
        cmocka_unit_test(test_streams_that_are_not_accepted_report_nothing_yet),
        cmocka_unit_test(test_settled_means_that_nothing_is_lost_by_ending_now),
        cmocka_unit_test(test_a_stream_is_not_settled_while_its_last_payload_is_pending),
        cmocka_unit_test(test_settings_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
