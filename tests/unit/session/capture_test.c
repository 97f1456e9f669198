/* Whole sessions of Go programs, replayed into our server (T-28, T-29): the bytes that a client
 * sent on two connections, the first of which was cut.
 */
#include <stdlib.h>

#include <turbotunnel/error.h>

#include "core/encapsulation.h"
#include "session/fixture.h"
#include "vector_file.h"

#define CONNECTIONS  2
#define LARGE_BYTES  10000u
#define FIRST_BYTES  19u
#define LATER_BYTES  14u
#define STREAM_BYTES (FIRST_BYTES + LARGE_BYTES + LATER_BYTES)

struct connection {
    struct tt_carrier carrier;
    struct tt_decap decap;
    struct tt_session_id id;
    size_t id_have;
    bool open;
};

struct replay {
    struct session_world w;
    struct connection connections[CONNECTIONS];
    struct tt_server_session *session;
    struct tt_smux_stream *streams[2];
    size_t step; /* the stream is cut every so many bytes; 0: as it was recorded */
    uint8_t received[2][STREAM_BYTES + 1];
    size_t have[2];
    bool ended[2];
};

/* --- what the server does with each turn --- */

static void read_stream(struct replay *r, unsigned i)
{
    size_t len;
    int err;
    while ((err = tt_smux_read(r->streams[i], r->received[i] + r->have[i],
                               sizeof(r->received[i]) - r->have[i], &len)) == TT_OK &&
           len > 0)
        r->have[i] += len;
    r->ended[i] |= err == TT_E_END;
}

static void end_turn(struct replay *r)
{
    struct tt_smux_stream *s;
    if (!r->session && tt_queue_packet_conn_accept(&r->w.server, &r->session) != TT_OK)
        return;
    while (tt_smux_accept(&r->session->endpoint.smux, &s) == TT_OK) {
        const unsigned i = tt_smux_stream_id(s) == 3 ? 0 : 1;
        assert_int_equal(tt_smux_stream_id(s), i == 0 ? 3 : 5);
        assert_null(r->streams[i]);
        r->streams[i] = s;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (r->streams[i])
            read_stream(r, i);
    }
    tt_queue_packet_conn_touched(&r->w.server, r->w.now_us, r->session);
    flush_dirty(&r->w);
    assert_int_equal(r->session->endpoint.error, 0);
}

/* --- what comes on a connection --- */

static void take_bytes(struct replay *r, struct connection *c, struct tt_span in)
{
    struct tt_span packet;
    int err;

    for (; in.len > 0 && c->id_have < TT_SESSION_ID_LEN; tt_span_skip(&in, 1)) {
        c->id.bytes[c->id_have++] = in.ptr[0];
        if (c->id_have == TT_SESSION_ID_LEN)
            tt_queue_packet_conn_attach(&r->w.server, r->w.now_us, &c->carrier, &c->id,
                                        &ordered_limits);
    }
    while ((err = tt_decap_next(&c->decap, &in, &packet)) == TT_OK)
        give_server(&r->w, &c->carrier, packet);
    assert_int_equal(err, TT_E_AGAIN);
    end_turn(r);
}

static void open_connection(struct replay *r, struct connection *c)
{
    memset(c, 0, sizeof(*c));
    assert_int_equal(tt_decap_init(&c->decap, TT_ENCAP_MAX_PACKET, &r->w.memory.alloc), TT_OK);
    c->open = true;
}

static void close_connection(struct replay *r, struct connection *c)
{
    assert_int_equal(tt_decap_end(&c->decap), TT_OK);
    tt_queue_packet_conn_detach(&r->w.server, r->w.now_us, &c->carrier);
    tt_decap_dispose(&c->decap);
    c->open = false;
}

/* --- the file: "open: MICROSECONDS CONNECTION", "c2s: MICROSECONDS CONNECTION HEX" --- */

static void replay_line(struct replay *r, struct vector_file *v)
{
    char *end;
    const uint64_t at_us = strtoull(v->value, &end, 10);
    const unsigned long number = strtoul(end, &end, 10);

    assert_in_range(number, 1, CONNECTIONS);
    struct connection *c = &r->connections[number - 1];
    r->w.now_us = 1000 * TT_SECOND + at_us;
    if (vector_key_is(v, "open")) {
        open_connection(r, c);
    } else if (vector_key_is(v, "close")) {
        close_connection(r, c);
    } else {
        struct tt_span bytes = vector_bytes_of(v, end + 1);
        while (bytes.len > 0) {
            const size_t n = r->step && r->step < bytes.len ? r->step : bytes.len;
            take_bytes(r, c, tt_span_of(bytes.ptr, n));
            tt_span_skip(&bytes, n);
        }
    }
}

static void replay_file(struct replay *r, const char *name, size_t step)
{
    struct vector_file v;

    memset(r, 0, sizeof(*r));
    r->step = step;
    session_world_open(&r->w, NULL);
    vector_file_open(&v, name);
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "open") || vector_key_is(&v, "c2s") || vector_key_is(&v, "close"))
            replay_line(r, &v);
    }
    vector_file_close(&v);
}

static void end_replay(struct replay *r)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        if (r->connections[i].open)
            tt_decap_dispose(&r->connections[i].decap);
    }
    session_world_close(&r->w);
}

static void check_replay(const struct replay *r)
{
    const struct tt_queue_packet_conn_stats *stats = &r->w.server.stats;
    assert_int_equal(stats->sessions_begun, 1);
    assert_int_equal(stats->strays + stats->wrong_conv + stats->sessions_replaced, 0);
    assert_int_equal(r->session->endpoint.config.conv, 0x5eed1234);
    assert_int_equal(r->session->endpoint.smux.version, 2);
    assert_int_equal(r->have[0], STREAM_BYTES);
    assert_int_equal(r->have[1], LATER_BYTES);
    assert_true(r->ended[0] && r->ended[1]);
    assert_memory_equal(r->received[0], "hello turbo tunnel\n", FIRST_BYTES);
    for (unsigned i = 0; i < LARGE_BYTES; i++)
        assert_int_equal(r->received[0][FIRST_BYTES + i], i % 251);
}

static void replay_however_cut(const char *name)
{
    static const size_t steps[] = {0, 1, 7, 1000};
    static struct replay r;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        replay_file(&r, name, steps[i]);
        check_replay(&r);
        end_replay(&r);
    }
}

static void test_a_recorded_session_in_stream_mode_is_understood(void **state)
{
    (void)state;
    replay_however_cut("capture/capture-tuned.txt");
}

static void test_a_recorded_session_in_message_mode_is_understood(void **state)
{
    (void)state;
    replay_however_cut("capture/capture-default.txt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_recorded_session_in_stream_mode_is_understood),
        cmocka_unit_test(test_a_recorded_session_in_message_mode_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
