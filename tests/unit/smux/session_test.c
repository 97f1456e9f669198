/* Two of our own sessions talk, over wires that cut, without memory, at random. */
#include <stdio.h>

#include <turbotunnel/error.h>

#include "test.h"
#include "world.h"

/* --- cuts --- */

/* S-9: what one session sends the other takes, whatever pieces it comes in. */
static void test_a_session_arrives_whole_however_the_wire_cuts(void **state)
{
    (void)state;
    for (size_t step = 1; step <= 200; step++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        uint8_t byte;
        size_t len;

        world_begin(&w, 1 + step % 2);
        w.server.transient = step % 3 == 0;
        assert_int_equal(tt_smux_open(&w.client.m, &c), TT_OK);
        for (uint64_t i = 0; i < 30; i++)
            write_pattern(c, i * i * 4, (size_t)(((i + 1) * (i + 1) - i * i) * 4));
        tt_smux_shutdown(c);
        world_send(&w, &w.client, SIZE_MAX);
        assert_int_equal(world_deliver(&w, &w.client, SIZE_MAX, step), TT_OK);
        assert_int_equal(w.client.wire_len, 0);
        assert_int_equal(tt_smux_accept(&w.server.m, &s), TT_OK);
        read_pattern(s, 0, 3600);
        assert_int_equal(tt_smux_read(s, &byte, 1, &len), TT_E_END);
        world_end(&w);
    }
}

static void test_reads_may_be_of_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 100, 4096};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        uint8_t buf[4096];

        world_begin(&w, 2);
        world_open(&w, &c, &s);
        write_pattern(c, 0, 50000);
        world_settle(&w);
        size_t len;
        assert_int_equal(tt_smux_read(s, buf, 0, &len), TT_OK);
        assert_int_equal(len, 0);
        for (uint64_t at = 0; at < 50000; at += len) {
            assert_int_equal(tt_smux_read(s, buf, sizes[i], &len), TT_OK);
            assert_in_range(len, 1, sizes[i]);
            for (size_t k = 0; k < len; k++)
                assert_int_equal(buf[k], pattern(at + k));
        }
        assert_int_equal(tt_smux_read(s, buf, 1, &len), TT_E_AGAIN);
        world_end(&w);
    }
}

/* --- rest --- */

/* The blocks of all that is there, spare slabs not counted. */
static size_t blocks_at_rest(struct world *w)
{
    tt_smux_shrink(&w->client.m);
    tt_smux_shrink(&w->server.m);
    tt_slab_pool_trim(&w->client.slabs);
    tt_slab_pool_trim(&w->server.slabs);
    return w->alloc.live;
}

static void talk_and_rest(struct world *w, struct tt_smux_stream *from, struct tt_smux_stream *to)
{
    const size_t before = blocks_at_rest(w);
    write_pattern(from, 0, 100);
    assert_true(blocks_at_rest(w) > before); /* the bytes, and who remembers where they are */
    world_settle(w);
    assert_true(blocks_at_rest(w) > before);
    read_pattern(to, 0, 100);
    world_settle(w);
    assert_int_equal(blocks_at_rest(w), before);
    assert_true(w->client.m.rests && w->server.m.rests); /* nobody looks at the streams again */
}

static void test_a_session_at_rest_holds_its_streams_alone(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    world_begin(&w, 2);
    world_open(&w, &c, &s);
    for (unsigned i = 0; i < 3; i++) {
        talk_and_rest(&w, c, s);
        talk_and_rest(&w, s, c);
    }
    world_end(&w);
}

/* Somebody writes there meanwhile. */
static void test_room_that_was_asked_for_outlives_a_rest(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c, *s;
    uint8_t *room;
    size_t len;
    world_begin(&w, 2);
    world_open(&w, &c, &s);
    assert_int_equal(tt_smux_write_room(c, &room, &len), TT_OK);
    tt_smux_shrink(&w.client.m);
    room[0] = pattern(0);
    tt_smux_write_commit(c, 1);
    world_settle(&w);
    read_pattern(s, 0, 1);
    world_end(&w);
}

/* --- back-pressure --- */

/* A reader that does not read stops its writer, and memory stays bounded. */
static void test_a_reader_that_does_not_read_stops_its_writer(void **state)
{
    (void)state;
    for (uint8_t version = 1; version <= 2; version++) {
        struct world w;
        struct tt_smux_stream *c, *s;
        struct tt_smux_config client = world_config(true, version),
                              server = world_config(false, version);
        static const uint8_t zeroes[65536];
        size_t n, sum = 0;
        int err;

        client.max_send_buffer = 200000;
        server.max_receive_buffer = 500000;
        world_begin_with(&w, client, server);
        world_open(&w, &c, &s);
        while ((err = tt_smux_write(c, zeroes, sizeof(zeroes), &n)) == TT_OK) {
            sum += n;
            world_send(&w, &w.client, 100000 - w.client.wire_len);
            world_deliver(&w, &w.client, SIZE_MAX, 8192);
            if (w.client.wire_len >= 100000)
                break;
        }
        assert_true(err == TT_E_FULL || w.client.wire_len >= 100000);
        assert_in_range(sum, 400000, 1000000);
        assert_in_range(tt_smux_readable_bytes(s), 262144, 500000 + 32768);
        world_end(&w);
    }
}

/* --- no memory --- */

/* A short session with a bit of everything; returns whether all was done. Allocations may be
 * refused anywhere: then the step is tried again, as its caller would.
 */
/* As much as the other end takes of it now. */
static void pour(struct world *w, struct tt_smux_stream *s)
{
    static const uint8_t zeroes[65536];
    size_t n;
    do {
        while (tt_smux_write(s, zeroes, sizeof zeroes, &n) == TT_OK)
            continue;
        world_settle(w);
    } while (tt_smux_unsent_bytes(s) < 65536);
}

static size_t read_all(struct tt_smux_stream *s)
{
    static uint8_t buf[65536];
    size_t n, sum = 0;
    while (tt_smux_read(s, buf, sizeof buf, &n) == TT_OK)
        sum += n;
    return sum;
}

/* Their windows had grown as they read; now they stand still, and all that they were promised lies
 * there. Together they could use up the session's buffer, several times.
 */
static void test_readers_that_stop_leave_room_for_one_that_goes_on(void **state)
{
    (void)state;
    struct world w;
    struct tt_smux_stream *c[8], *s[8];
    struct tt_smux_config server = world_config(false, 2);
    server.max_receive_buffer = server.max_stream_buffer = 8u << 20;
    world_begin_with(&w, world_config(true, 2), server);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        world_open(&w, &c[i], &s[i]);
        for (unsigned j = 0; j < 20; j++) {
            pour(&w, c[i]);
            (void)read_all(s[i]);
            world_settle(&w);
        }
        if (i + 1 < ARRAY_LEN(c))
            pour(&w, c[i]);
    }
    assert_in_range(w.server.m.promised_bytes, 1u << 20, 8u << 20);
    size_t sum = 0;
    for (unsigned j = 0; j < 100; j++) {
        pour(&w, c[7]);
        sum += read_all(s[7]);
        world_settle(&w);
    }
    assert_true(sum > 100u * 32768);
    assert_int_equal(w.server.m.stats.tokens_exhausted, 0);
    world_end(&w);
}

struct story {
    struct world w;
    unsigned refusals;
};

static bool again(struct story *t, int err)
{
    assert_true(err == TT_OK || err == TT_E_NOMEM);
    t->refusals += err != TT_OK;
    return err != TT_OK;
}

static void story_write(struct story *t, struct tt_smux_stream *s, uint64_t at, size_t len)
{
    uint8_t buf[20000];
    for (size_t i = 0; i < len; i++)
        buf[i] = pattern(at + i);
    for (size_t done = 0, n; done < len; done += n)
        while (again(t, tt_smux_write(s, buf + done, len - done, &n)))
            assert_int_equal(n, 0);
}

static void story_room(struct story *t, struct tt_smux_stream *s, uint64_t at)
{
    uint8_t *room;
    size_t len;
    while (again(t, tt_smux_write_room(s, &room, &len)))
        ;
    for (size_t i = 0; i < 100; i++)
        room[i] = pattern(at + i);
    tt_smux_write_commit(s, 100);
}

/* What was refused while bytes moved is tried again. */
static void story_settle(struct story *t)
{
    do
        world_settle(&t->w);
    while (tt_smux_wants_send(&t->w.client.m) || tt_smux_wants_send(&t->w.server.m) ||
           t->w.client.wire_len > 0 || t->w.server.wire_len > 0);
}

static void tell_story(struct failing_alloc *f, size_t fail_at)
{
    struct story t = {.refusals = 0};
    struct tt_smux_stream *c, *s;

    world_begin(&t.w, 2);
    t.w.server.transient = 1;
    t.w.alloc.fail_at = fail_at;
    while (again(&t, tt_smux_open(&t.w.client.m, &c)))
        ;
    story_write(&t, c, 0, 20000);
    story_write(&t, c, 20000, 100);
    story_settle(&t);
    assert_int_equal(tt_smux_accept(&t.w.server.m, &s), TT_OK);
    story_room(&t, c, 20100);
    story_write(&t, s, 0, 100);
    t.w.max_len = 100; /* cut frames need a header of their own */
    story_settle(&t);
    read_pattern(s, 0, 20200);
    read_pattern(c, 0, 100);
    assert_int_equal(tt_smux_shutdown(c), TT_OK);
    story_settle(&t);
    tt_smux_close(s);
    tt_smux_close(c);
    story_settle(&t);
    assert_int_equal(t.w.client.m.streams.count, 0);
    assert_int_equal(t.w.server.m.streams.count, 0);
    *f = t.w.alloc;
    world_end(&t.w);
}

static void test_every_refused_allocation_is_survived_without_loss(void **state)
{
    (void)state;
    struct failing_alloc f = {.refused = true};
    size_t n;
    for (n = 0; f.refused; n++)
        tell_story(&f, n);
    assert_in_range(n, 10, 1000); /* there was something to refuse */
}

static void test_a_refused_allocation_stops_input_and_loses_nothing(void **state)
{
    (void)state;
    struct world w;
    size_t used;

    world_begin(&w, 2);
    w.alloc.fail_at = w.alloc.calls;
    assert_int_equal(tt_smux_input(&w.server.m, 0, make_frame(2, TT_SMUX_SYN, 0, 3), NULL, &used),
                     TT_E_AGAIN);
    assert_int_equal(used, 7);
    assert_true(tt_smux_input_open(&w.server.m));
    assert_int_equal(tt_smux_input(&w.server.m, 0, tt_span_of("\0", 1), NULL, &used), TT_OK);
    assert_int_equal(w.server.m.accept_waiting, 1);
    world_end(&w);
}

/* --- at random --- */

#define STREAMS 6

struct side {
    struct end *end;
    struct tt_smux_stream
        *streams[STREAMS]; /* by who opened it and when; NULL: not there, or closed */
    uint64_t written[STREAMS], read[STREAMS];
    bool shut[STREAMS], closed[STREAMS];
};

struct chaos {
    struct world w;
    struct side side[2];
    uint64_t random;
};

static size_t below(struct chaos *t, size_t n)
{
    return test_random_below(&t->random, n);
}

/* Streams are known by number: 3, 5, 7 are 0 to 2; 2, 4, 6 are 3 to 5. */
static size_t slot_of(const struct tt_smux_stream *s)
{
    const uint32_t sid = tt_smux_stream_id(s);
    return sid % 2 ? (sid - 3) / 2 : 3 + (sid - 2) / 2;
}

static void chaos_open(struct chaos *t, struct side *a)
{
    const bool client = a == &t->side[0];
    struct tt_smux_stream *s;
    if (a->end->m.next_sid >= (client ? 9u : 8u))
        return;
    assert_int_equal(tt_smux_open(&a->end->m, &s), TT_OK);
    a->streams[slot_of(s)] = s;
}

static void chaos_accept(struct side *a)
{
    struct tt_smux_stream *s;
    while (tt_smux_accept(&a->end->m, &s) == TT_OK)
        a->streams[slot_of(s)] = s;
}

static void chaos_write(struct chaos *t, struct side *a, size_t i)
{
    uint8_t buf[3000], *to = buf;
    size_t len = below(t, sizeof(buf)), taken;
    const bool room = below(t, 2);

    if (a->shut[i])
        return;
    if (room && tt_smux_write_room(a->streams[i], &to, &len) != TT_OK)
        return;
    if (room)
        len = below(t, len + 1);
    for (size_t k = 0; k < len; k++)
        to[k] = pattern(a->written[i] + k);
    taken = len;
    if (room)
        tt_smux_write_commit(a->streams[i], len);
    else if (tt_smux_write(a->streams[i], buf, len, &taken) != TT_OK)
        taken = 0;
    a->written[i] += taken;
}

static void chaos_read(struct chaos *t, struct side *a, size_t i)
{
    const size_t there = tt_smux_readable_bytes(a->streams[i]);
    const size_t len = below(t, 4) ? there : below(t, there + 1);
    read_pattern(a->streams[i], a->read[i], len);
    a->read[i] += len;
}

static void chaos_step(struct chaos *t, struct side *a)
{
    const size_t i = below(t, STREAMS);
    const size_t what = below(t, 200);

    t->w.max_len = 16 + below(t, 1u << below(t, 17));
    if (what < 5)
        chaos_open(t, a);
    else if (what < 50)
        world_send(&t->w, a->end, below(t, 20000));
    else if (what < 100)
        world_deliver(&t->w, a->end, below(t, 20000), 1 + below(t, 1u << below(t, 14)));
    else if (what < 105)
        chaos_accept(a);
    else if (!a->streams[i])
        return;
    else if (what < 150)
        chaos_write(t, a, i);
    else if (what < 190)
        chaos_read(t, a, i);
    else if (what < 192 && !a->shut[i])
        a->shut[i] = tt_smux_shutdown(a->streams[i]) == TT_OK;
    else if (what == 199) {
        tt_smux_close(a->streams[i]);
        a->streams[i] = NULL;
        a->closed[i] = true;
    }
}

/* But for streams whose peer closed fully, and so will never open its window again. */
static void expect_nothing_left(struct tt_smux *m)
{
    assert_int_equal(m->error, TT_OK);
    assert_int_equal(m->streams.count, m->lingering_streams);
    assert_true(m->version == 2 || m->lingering_streams == 0);
    if (m->lingering_streams > 0)
        return;
    assert_true(tt_smux_settled(m));
    assert_int_equal(m->promised_bytes, 0);
    assert_int_equal(m->sending_streams, 0);
    assert_int_equal(m->config.slabs->live_bytes, 0);
}

/* Everybody reads all, ends and closes; then nothing may be left. */
static void chaos_end(struct chaos *t)
{
    for (uint64_t before = UINT64_MAX, now = 0; before != now;) {
        before = now;
        now = 0;
        world_settle(&t->w);
        for (size_t k = 0; k < 2 * STREAMS; k++) {
            struct side *a = &t->side[k / STREAMS];
            chaos_accept(a);
            if (!a->streams[k % STREAMS])
                continue;
            const size_t len = tt_smux_readable_bytes(a->streams[k % STREAMS]);
            read_pattern(a->streams[k % STREAMS], a->read[k % STREAMS], len);
            a->read[k % STREAMS] += len;
            now += a->read[k % STREAMS] + 1;
        }
    }
    for (size_t i = 0; i < STREAMS; i++)
        for (int k = 0; k < 2; k++)
            if (t->side[k].streams[i] && !t->side[!k].closed[i] && !t->side[k].closed[i])
                assert_int_equal(t->side[k].read[i], t->side[!k].written[i]);
    for (size_t k = 0; k < 2 * STREAMS; k++)
        if (t->side[k / STREAMS].streams[k % STREAMS])
            tt_smux_close(t->side[k / STREAMS].streams[k % STREAMS]);
    world_settle(&t->w);
    for (int k = 0; k < 2; k++)
        expect_nothing_left(&t->side[k].end->m);
}

/* What was written arrives once, in order, unchanged, whatever both do meanwhile. */
static void test_two_sessions_at_random_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct chaos t = {.random = seed};
        struct tt_smux_config client = world_config(true, 1 + seed % 2), server;

        client.max_receive_buffer = 20000;
        client.max_stream_buffer = 5000;
        client.max_send_buffer = 10000;
        client.max_frame = 1 + (uint32_t)below(&t, 65535);
        client.legacy_peer = seed % 3 == 0;
        server = client;
        server.client = false;
        server.version = seed % 5 ? server.version : 0;
        world_begin_with(&t.w, client, server);
        t.w.server.transient = seed % 7 == 0;
        t.side[0].end = &t.w.client;
        t.side[1].end = &t.w.server;
        for (int i = 0; i < 3000; i++)
            chaos_step(&t, &t.side[below(&t, 2)]);
        chaos_end(&t);
        world_end(&t.w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_arrives_whole_however_the_wire_cuts),
        cmocka_unit_test(test_reads_may_be_of_any_size),
        cmocka_unit_test(test_a_session_at_rest_holds_its_streams_alone),
        cmocka_unit_test(test_room_that_was_asked_for_outlives_a_rest),
        cmocka_unit_test(test_readers_that_stop_leave_room_for_one_that_goes_on),
        cmocka_unit_test(test_a_reader_that_does_not_read_stops_its_writer),
        cmocka_unit_test(test_every_refused_allocation_is_survived_without_loss),
        cmocka_unit_test(test_a_refused_allocation_stops_input_and_loses_nothing),
        cmocka_unit_test(test_two_sessions_at_random_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
