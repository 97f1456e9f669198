#include "core/queue_packet_conn.h"

#include <turbotunnel/error.h>

#include "session/fixture.h"

static struct tt_kcp_header push(uint32_t conv, uint32_t sn, uint32_t len)
{
    return (struct tt_kcp_header){
        .conv = conv, .cmd = TT_KCP_PUSH, .wnd = 128, .sn = sn, .len = len};
}

/* A carrier that has told the ID of the world's client, and one packet of one byte on it. */
static void first_packet(struct session_world *w, struct tt_carrier *c, uint32_t conv, uint32_t sn)
{
    give_server(w, c, make_packet(w, push(conv, sn, 1), tt_span_of("\2", 1)));
}

/* A client's session, begun by its first stream and accepted. */
struct session {
    struct session_world world;
    struct tt_carrier client, server;
    struct tt_server_session *accepted;
    struct tt_smux_stream *stream;
};

static void open_session_with(struct session *s, const struct session_setup *setup)
{
    session_world_open(&s->world, setup);
    client_opens(&s->world, &s->client);
    server_attaches(&s->world, &s->server);
    s->stream = client_stream(&s->world, 100);
    carry_all(&s->world, &s->client, &s->server);
    s->accepted = accept_session(&s->world);
    flush_dirty(&s->world);
}

static void open_session(struct session *s)
{
    open_session_with(s, NULL);
}

/* --- what begins a session (R-18) --- */

static const struct {
    const char *name;
    struct tt_kcp_header h;
    uint32_t len; /* of the packet's data, whatever the header says */
    uint32_t cut; /* the packet is as long; 0: whole */
    bool begins;
} first_packets[] = {
    {"the first segment", {.cmd = TT_KCP_PUSH, .sn = 0, .len = 1}, 1, 0, true},
    {"a segment without data", {.cmd = TT_KCP_PUSH, .sn = 0}, 0, 0, true},
    {"the last that may be first", {.cmd = TT_KCP_PUSH, .sn = 31, .len = 1}, 1, 0, true},
    {"a later segment", {.cmd = TT_KCP_PUSH, .sn = 32, .len = 1}, 1, 0, false},
    {"a segment far away", {.cmd = TT_KCP_PUSH, .sn = UINT32_MAX, .len = 1}, 1, 0, false},
    {"longer than the packet", {.cmd = TT_KCP_PUSH, .sn = 0, .len = 2}, 1, 0, false},
    {"with bytes behind it", {.cmd = TT_KCP_PUSH, .sn = 0, .len = 1}, 9, 0, true},
    {"an ack", {.cmd = TT_KCP_ACK, .sn = 0}, 0, 0, false},
    {"a question for the window", {.cmd = TT_KCP_WASK}, 0, 0, false},
    {"a window", {.cmd = TT_KCP_WINS}, 0, 0, false},
    {"an unknown command", {.cmd = 80, .sn = 0}, 0, 0, false},
    {"most of a header", {.cmd = TT_KCP_PUSH, .sn = 0}, 0, 23, false},
    {"one byte", {.cmd = TT_KCP_PUSH, .sn = 0}, 0, 1, false},
};

static void test_only_a_push_of_the_first_32_begins_a_session(void **state)
{
    (void)state;
    static const uint8_t data[16] = {2};
    for (size_t i = 0; i < ARRAY_LEN(first_packets); i++) {
        struct session_world w;
        struct tt_carrier c;
        session_world_open(&w, NULL);
        server_attaches(&w, &c);
        struct tt_span packet =
            make_packet(&w, first_packets[i].h, tt_span_of(data, first_packets[i].len));
        if (first_packets[i].cut)
            packet.len = first_packets[i].cut;
        const size_t blocks = w.memory.live;
        give_server(&w, &c, packet);
        const bool begun = w.server.stats.sessions_begun == 1;
        if (begun != first_packets[i].begins || (w.server.stats.strays == 1) == begun ||
            (w.memory.live > blocks) != begun)
            fail_msg("%s: begun %d, strays %d", first_packets[i].name, begun,
                     (int)w.server.stats.strays);
        tt_queue_packet_conn_detach(&w.server, w.now_us, &c);
        session_world_close(&w);
    }
}

static void test_an_empty_packet_is_a_stray_and_costs_nothing(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    session_world_open(&w, NULL);
    server_attaches(&w, &c);
    give_server(&w, &c, tt_span_of("", 0));
    assert_int_equal(w.server.stats.strays, 1);
    assert_int_equal(w.server.sessions, 0);
    session_world_close(&w);
}

static void test_a_connection_without_a_session_has_nothing_to_send(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    session_world_open(&w, NULL);
    server_attaches(&w, &c);
    assert_int_equal(pull_down(&w, &c), TT_E_AGAIN);
    tt_queue_packet_conn_detach(&w.server, w.now_us, &c);
    assert_int_equal(c.role, TT_CARRIER_GONE);
    session_world_close(&w);
}

/* --- limits --- */

/* As many carriers of as many IDs, each with a packet that begins a session. */
static void begin_sessions(struct session_world *w, struct tt_carrier *carriers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        w->id.bytes[0] = (uint8_t)i;
        server_attaches(w, &carriers[i]);
        first_packet(w, &carriers[i], WORLD_CONV + i, 0);
    }
}

static void test_no_more_sessions_wait_than_the_backlog(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier carriers[6];
    session_world_open(&w, NULL);
    begin_sessions(&w, carriers, 6);
    assert_int_equal(w.server.stats.sessions_begun, 4);
    assert_int_equal(w.server.stats.backlog_full, 2);

    /* There is room again: KCP sends its first segment again. */
    accept_session(&w);
    first_packet(&w, &carriers[5], WORLD_CONV + 5, 0);
    assert_int_equal(w.server.stats.sessions_begun, 5);
    session_world_close(&w);
}

static void test_sessions_are_accepted_in_the_order_of_their_beginning(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier carriers[4];
    session_world_open(&w, NULL);
    begin_sessions(&w, carriers, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(accept_session(&w)->endpoint.config.conv, WORLD_CONV + i);
    struct tt_server_session *s;
    assert_int_equal(tt_queue_packet_conn_accept(&w.server, &s), TT_E_AGAIN);
    session_world_close(&w);
}

static void test_there_are_no_more_sessions_than_the_limit(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier carriers[10];
    session_world_open(&w, NULL);
    for (unsigned i = 0; i < 10; i++) {
        w.id.bytes[0] = (uint8_t)i;
        server_attaches(&w, &carriers[i]);
        first_packet(&w, &carriers[i], WORLD_CONV, 0);
        if (i < 8)
            accept_session(&w);
    }
    assert_int_equal(w.server.sessions, 8);
    assert_int_equal(w.server.stats.sessions_full, 2);
    assert_int_equal(w.server.stats.backlog_full, 0);
    session_world_close(&w);
}

static void test_every_refused_allocation_begins_no_session_and_leaks_nothing(void **state)
{
    (void)state;
    bool refused = true;
    for (size_t n = 0; refused; n++) {
        struct session_world w;
        struct tt_carrier c;
        session_world_open(&w, NULL);
        server_attaches(&w, &c);
        w.memory.calls = 0;
        w.memory.fail_at = n;
        first_packet(&w, &c, WORLD_CONV, 0);
        refused = w.memory.refused;
        /* A session without memory for its first segment is one all the same. */
        assert_int_equal(w.server.sessions + w.server.stats.no_memory, 1);
        first_packet(&w, &c, WORLD_CONV, 0);
        assert_int_equal(w.server.sessions, 1);
        assert_int_equal(tt_quota_taken(&w.server.own_waiting), 1);
        session_world_close(&w);
    }
}

/* --- another conversation under the same ID (K-39) --- */

static void test_a_new_conversation_replaces_an_accepted_session(void **state)
{
    (void)state;
    struct session s;
    open_session(&s);
    first_packet(&s.world, &s.server, WORLD_CONV + 1, 0);
    assert_int_equal(s.world.server.stats.sessions_replaced, 1);
    assert_int_equal(s.accepted->endpoint.error, TT_E_LOST);
    assert_ptr_equal(tt_queue_packet_conn_next_dirty(&s.world.server), s.accepted);
    struct tt_server_session *fresh = accept_session(&s.world);
    assert_int_equal(fresh->endpoint.config.conv, WORLD_CONV + 1);
    assert_ptr_equal(s.server.endpoint, &fresh->endpoint);
    tt_queue_packet_conn_close(&s.world.server, s.world.now_us, s.accepted);
    assert_int_equal(s.world.server.sessions, 1); /* nobody can reach it, so it goes at once */
    session_world_close(&s.world);
}

static void test_a_new_conversation_replaces_one_that_nobody_has_accepted(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    session_world_open(&w, NULL);
    server_attaches(&w, &c);
    first_packet(&w, &c, WORLD_CONV, 0);
    first_packet(&w, &c, WORLD_CONV + 1, 0);
    assert_int_equal(w.server.sessions, 1);
    assert_int_equal(tt_quota_taken(&w.server.own_waiting), 1);
    assert_int_equal(accept_session(&w)->endpoint.config.conv, WORLD_CONV + 1);
    session_world_close(&w);
}

static void test_only_the_first_segment_of_another_conversation_replaces(void **state)
{
    (void)state;
    struct session s;
    open_session(&s);
    first_packet(&s.world, &s.server, WORLD_CONV + 1, 1);
    assert_int_equal(s.world.server.stats.wrong_conv, 1);
    assert_int_equal(s.world.server.stats.sessions_replaced, 0);
    assert_int_equal(s.accepted->endpoint.error, 0);
    session_world_close(&s.world);
}

static void test_every_carrier_of_the_id_follows_to_the_new_conversation(void **state)
{
    (void)state;
    struct session s;
    struct tt_carrier other;
    open_session(&s);
    server_attaches(&s.world, &other);
    first_packet(&s.world, &other, WORLD_CONV + 1, 0);
    struct tt_server_session *fresh = accept_session(&s.world);
    first_packet(&s.world, &s.server, WORLD_CONV + 1, 0); /* a repetition, on the older one */
    assert_int_equal(s.world.server.stats.sessions_replaced, 1);
    assert_int_equal(s.world.server.stats.no_memory, 0);
    assert_ptr_equal(s.server.endpoint, &fresh->endpoint);
    assert_int_equal(s.server.role, TT_CARRIER_REPLACED);
    assert_int_equal(other.role, TT_CARRIER_ACTIVE);
    session_world_close(&s.world);
}

/* --- carriers (R-19, R-20) --- */

static void test_a_new_carrier_replaces_the_older_one(void **state)
{
    (void)state;
    struct session s;
    struct tt_carrier newer;
    open_session(&s);
    s.world.now_us += TT_SECOND;
    server_attaches(&s.world, &newer);
    assert_int_equal(s.server.role, TT_CARRIER_REPLACED);
    assert_int_equal(newer.role, TT_CARRIER_ACTIVE);
    assert_int_equal(flush_dirty(&s.world), 1);
    assert_int_equal(pull_down(&s.world, &s.server), TT_E_AGAIN);
    assert_int_equal(pull_down(&s.world, &newer), TT_OK);
    session_world_close(&s.world);
}

static void test_a_replaced_carrier_is_still_read(void **state)
{
    (void)state;
    struct session s;
    struct tt_carrier newer;
    open_session(&s);
    server_attaches(&s.world, &newer);
    const uint64_t before = s.accepted->endpoint.kcp.receive.delivered;
    write_bytes(s.stream, 100);
    carry_up(&s.world, &s.client, &s.server);
    assert_int_equal(s.accepted->endpoint.kcp.receive.delivered, before + 1);
    session_world_close(&s.world);
}

static void test_when_the_newest_goes_the_one_before_it_is_used_again(void **state)
{
    (void)state;
    struct session s;
    struct tt_carrier newer;
    open_session(&s);
    server_attaches(&s.world, &newer);
    flush_dirty(&s.world);
    tt_queue_packet_conn_detach(&s.world.server, s.world.now_us, &newer);
    assert_int_equal(newer.role, TT_CARRIER_GONE);
    assert_int_equal(s.server.role, TT_CARRIER_ACTIVE);
    assert_int_equal(flush_dirty(&s.world), 1);
    assert_int_equal(pull_down(&s.world, &s.server), TT_OK);
    session_world_close(&s.world);
}

static void test_a_late_first_packet_pushes_no_newer_carrier_aside(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier older, newer;
    session_world_open(&w, NULL);
    server_attaches(&w, &older);
    server_attaches(&w, &newer);
    first_packet(&w, &newer, WORLD_CONV, 0);
    first_packet(&w, &older, WORLD_CONV, 0);
    assert_int_equal(newer.role, TT_CARRIER_ACTIVE);
    assert_int_equal(older.role, TT_CARRIER_REPLACED);
    tt_queue_packet_conn_detach(&w.server, w.now_us, &newer);
    assert_int_equal(older.role, TT_CARRIER_ACTIVE);
    session_world_close(&w);
}

static void test_a_carrier_outlives_its_session(void **state)
{
    (void)state;
    struct session s;
    open_session(&s);
    tt_queue_packet_conn_close(&s.world.server, s.world.now_us, s.accepted);
    s.world.now_us += 61 * TT_SECOND;
    tt_queue_packet_conn_handle_timeout(&s.world.server, s.world.now_us);
    assert_int_equal(s.world.server.sessions, 0);
    assert_int_equal(s.server.role, TT_CARRIER_GONE);
    assert_int_equal(pull_down(&s.world, &s.server), TT_E_AGAIN);
    give_server(&s.world, &s.server, tt_span_of("garbage", 7));
    tt_queue_packet_conn_detach(&s.world.server, s.world.now_us, &s.server);
    session_world_close(&s.world);
}

/* --- expiry --- */

static void test_a_silent_session_expires_at_its_time_and_not_before(void **state)
{
    (void)state;
    struct session s;
    struct tt_queue_packet_conn *q = &s.world.server;
    open_session(&s);
    const uint64_t due_us = s.world.now_us + q->config.tuning.session_timeout_us;
    while (tt_queue_packet_conn_deadline(q) < due_us) {
        s.world.now_us = tt_queue_packet_conn_deadline(q);
        tt_queue_packet_conn_handle_timeout(q, s.world.now_us);
        flush_dirty(&s.world);
    }
    assert_int_equal(s.accepted->endpoint.error, 0);
    assert_int_equal(tt_queue_packet_conn_deadline(q), due_us);
    tt_queue_packet_conn_handle_timeout(q, due_us);
    assert_int_equal(q->stats.sessions_expired, 1);
    assert_int_equal(s.accepted->endpoint.error, TT_E_TIMEOUT);
    assert_ptr_equal(tt_queue_packet_conn_next_dirty(q), s.accepted);
    tt_queue_packet_conn_close(q, due_us, s.accepted);
    assert_int_equal(q->sessions, 0);
    session_world_close(&s.world);
}

static void test_a_packet_puts_expiry_off(void **state)
{
    (void)state;
    struct session s;
    struct tt_queue_packet_conn *q = &s.world.server;
    open_session(&s);
    const uint64_t due_us = s.world.now_us + q->config.tuning.session_timeout_us;
    s.world.now_us += 5 * TT_SECOND;
    write_bytes(s.stream, 1);
    carry_up(&s.world, &s.client, &s.server);
    flush_dirty(&s.world);
    assert_int_equal(s.accepted->remote.used_us, s.world.now_us);
    s.world.now_us += TT_SECOND;
    write_bytes(s.stream, 1);
    carry_up(&s.world, &s.client, &s.server);
    /* Even when nobody has looked at the session since. */
    tt_queue_packet_conn_handle_timeout(q, due_us);
    assert_int_equal(q->stats.sessions_expired, 0);
    flush_dirty(&s.world);
    assert_int_equal(s.accepted->remote.used_us, s.world.now_us);
    session_world_close(&s.world);
}

static void test_a_session_that_nobody_accepted_expires_without_a_trace(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    session_world_open(&w, NULL);
    server_attaches(&w, &c);
    first_packet(&w, &c, WORLD_CONV, 0);
    w.now_us += w.server.config.tuning.session_timeout_us;
    tt_queue_packet_conn_handle_timeout(&w.server, w.now_us);
    assert_int_equal(w.server.sessions, 0);
    assert_int_equal(tt_quota_taken(&w.server.own_waiting), 0);
    assert_null(tt_queue_packet_conn_next_dirty(&w.server));
    session_world_close(&w);
}

static void test_sessions_expire_in_the_order_of_their_silence(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier carriers[3];
    session_world_open(&w, NULL);
    for (unsigned i = 0; i < 3; i++) {
        w.id.bytes[0] = (uint8_t)i;
        server_attaches(&w, &carriers[i]);
        first_packet(&w, &carriers[i], WORLD_CONV + i, 0);
        accept_session(&w);
        w.now_us += TT_SECOND;
    }
    first_packet(&w, &carriers[0], WORLD_CONV, 0);
    flush_dirty(&w);
    w.now_us += w.server.config.tuning.session_timeout_us - TT_SECOND;
    tt_queue_packet_conn_handle_timeout(&w.server, w.now_us);
    assert_int_equal(w.server.stats.sessions_expired, 2);
    assert_int_equal(carriers[0].endpoint->error, 0);
    assert_int_equal(carriers[1].endpoint->error, TT_E_TIMEOUT);
    assert_int_equal(carriers[2].endpoint->error, TT_E_TIMEOUT);
    session_world_close(&w);
}

/* What is left of a session with a stream when its client has gone: that is what decides how many a
 * server can hold. Whoever adds to it raises the limit here, and knows it.
 */
static void test_a_session_at_rest_costs_little(void **state)
{
    (void)state;
    struct session s;
    struct tt_smux_stream *stream;
    bool ended;
    open_session(&s);
    struct tt_queue_packet_conn *q = &s.world.server;
    assert_int_equal(tt_smux_accept(&s.accepted->endpoint.smux, &stream), TT_OK);
    assert_int_equal(read_bytes(stream, &ended), 100);
    write_bytes(stream, 100000);
    tt_queue_packet_conn_touched(q, s.world.now_us, s.accepted);
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(read_bytes(s.stream, &ended), 100000);
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &s.client);
    tt_queue_packet_conn_detach(q, s.world.now_us, &s.server);
    flush_dirty(&s.world);
    const size_t before = s.world.memory.live_bytes;
    tt_queue_packet_conn_dispose(q);
    assert_in_range(before - s.world.memory.live_bytes, 1, 1720);
    session_world_close(&s.world);
}

/* What an idle session gives back costs no data: the stream goes on where it was. */
static void test_an_idle_session_holds_little_and_its_stream_resumes(void **state)
{
    (void)state;
    struct session s;
    struct tt_queue_packet_conn *q = &s.world.server;
    struct tt_smux_stream *stream;
    bool ended;
    open_session(&s);
    write_bytes(s.stream, 200000);
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(tt_smux_accept(&s.accepted->endpoint.smux, &stream), TT_OK);
    assert_int_equal(read_bytes(stream, &ended), 200100);
    tt_queue_packet_conn_touched(q, s.world.now_us, s.accepted);
    carry_all(&s.world, &s.client, &s.server);
    const size_t busy_bytes = s.world.memory.live_bytes;

    s.world.now_us += 20 * TT_SECOND;
    tt_queue_packet_conn_handle_timeout(q, s.world.now_us);
    assert_int_equal(tt_endpoint_handle_timeout(&s.world.client, s.world.now_us), TT_OK);
    tt_slab_pool_trim(&s.world.slabs);
    assert_true(s.world.memory.live_bytes < busy_bytes / 4);
    assert_int_equal(s.accepted->endpoint.kcp.receive.ring.capacity, 0);
    assert_int_equal(s.world.client.kcp.send.ring.capacity, 0);
    const size_t idle_blocks = s.world.memory.live;

    write_bytes(s.stream, 1000);
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(read_bytes(stream, &ended), 1000);
    tt_queue_packet_conn_touched(q, s.world.now_us, s.accepted);
    carry_all(&s.world, &s.client, &s.server);
    assert_true(s.world.memory.live > idle_blocks);
    tt_queue_packet_conn_detach(q, s.world.now_us,
                                &s.server); /* nothing will call it: it rests at once */
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &s.client);
    assert_int_equal(s.world.memory.live, idle_blocks);
    session_world_close(&s.world);
}

/* --- the end --- */

static void test_a_closed_session_still_acknowledges_for_a_while(void **state)
{
    (void)state;
    struct session s;
    struct tt_queue_packet_conn *q = &s.world.server;
    struct tt_carrier again;
    open_session(&s);
    tt_queue_packet_conn_close(q, s.world.now_us, s.accepted);
    s.world.now_us += 59 * TT_SECOND;
    tt_queue_packet_conn_handle_timeout(q, s.world.now_us);
    assert_int_equal(q->sessions, 1);

    /* The client has lost our last acks with its connection, and asks again. */
    server_attaches(&s.world, &again);
    first_packet(&s.world, &again, WORLD_CONV, 0);
    assert_int_equal(pull_down(&s.world, &again), TT_OK);
    assert_int_equal(packet_count(&s.world, TT_KCP_ACK), 1);

    s.world.now_us += TT_SECOND;
    assert_true(tt_queue_packet_conn_deadline(q) <= s.world.now_us);
    tt_queue_packet_conn_handle_timeout(q, s.world.now_us);
    assert_int_equal(q->sessions, 0);
    assert_int_equal(again.role, TT_CARRIER_GONE);

    /* And then its ID is forgotten. */
    server_attaches(&s.world, &again);
    first_packet(&s.world, &again, WORLD_CONV, 0);
    assert_int_equal(q->stats.sessions_begun, 2);
    session_world_close(&s.world);
}

static void test_no_new_session_comes_of_a_closed_one_in_the_middle(void **state)
{
    (void)state;
    struct session s;
    struct tt_queue_packet_conn *q = &s.world.server;
    open_session(&s);
    tt_queue_packet_conn_close(q, s.world.now_us, s.accepted);
    first_packet(&s.world, &s.server, WORLD_CONV, 0);
    struct tt_server_session *other;
    assert_int_equal(tt_queue_packet_conn_accept(q, &other), TT_E_AGAIN);
    assert_int_equal(q->stats.sessions_begun, 1);
    session_world_close(&s.world);
}

/* --- closed sessions at the limit of sessions --- */

/* A world with room for two sessions: one closed, and one more that is accepted. */
struct full {
    struct session first;
    struct tt_carrier second, third;
};

static void fill(struct full *f)
{
    open_session(&f->first);
    struct session_world *w = &f->first.world;
    w->server.own_sessions.most = 2;
    tt_queue_packet_conn_close(&w->server, w->now_us, f->first.accepted);
    w->id.bytes[0] = 2;
    server_attaches(w, &f->second);
    first_packet(w, &f->second, WORLD_CONV, 0);
    accept_session(w);
    carry_down(w, &f->first.server, &f->first.client);
    flush_dirty(w);
    assert_int_equal(w->server.sessions, 2);
}

static void third_client(struct full *f)
{
    struct session_world *w = &f->first.world;
    w->id.bytes[0] = 3;
    server_attaches(w, &f->third);
    first_packet(w, &f->third, WORLD_CONV, 0);
}

static void assert_room(const struct full *f, bool room)
{
    const struct tt_queue_packet_conn *q = &f->first.world.server;
    assert_int_equal(q->stats.sessions_begun, room ? 3 : 2);
    assert_int_equal(q->stats.sessions_full, room ? 0 : 1);
    assert_int_equal(q->stats.closed_early, room ? 1 : 0);
    assert_int_equal(q->sessions, 2);
}

static void test_a_closed_session_without_carriers_makes_room(void **state)
{
    (void)state;
    struct full f;
    struct session_world *w = &f.first.world;
    struct tt_carrier again;
    fill(&f);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &f.first.server);
    flush_dirty(w);
    third_client(&f);
    assert_room(&f, true);

    /* No ghost comes of the one that went. */
    w->id.bytes[0] = 's';
    server_attaches(w, &again);
    first_packet(w, &again, WORLD_CONV, 0);
    assert_int_equal(w->server.stats.strays, 1);
    assert_room(&f, true);
    session_world_close(w);
}

static void test_a_closed_session_with_a_carrier_makes_no_room(void **state)
{
    (void)state;
    struct full f;
    fill(&f);
    third_client(&f);
    assert_room(&f, false);
    session_world_close(&f.first.world);
}

static void test_a_closed_session_whose_client_has_come_again_makes_no_room(void **state)
{
    (void)state;
    struct full f;
    struct session_world *w = &f.first.world;
    struct tt_carrier again;
    fill(&f);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &f.first.server);
    flush_dirty(w);
    w->id.bytes[0] = 's';
    server_attaches(w, &again);
    third_client(&f); /* before anything was flushed */
    assert_room(&f, false);
    session_world_close(w);
}

static void test_a_session_that_is_not_closed_makes_no_room(void **state)
{
    (void)state;
    struct full f;
    struct session_world *w = &f.first.world;
    fill(&f);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &f.second); /* an accepted one's */
    flush_dirty(w);
    third_client(&f);
    assert_room(&f, false);
    session_world_close(w);
}

static void test_a_closed_session_with_data_to_deliver_makes_no_room(void **state)
{
    (void)state;
    struct full f;
    struct session_world *w = &f.first.world;
    fill(&f);
    struct tt_smux_stream *stream;
    assert_int_equal(tt_smux_accept(&f.first.accepted->endpoint.smux, &stream), TT_OK);
    write_bytes(stream, 1000);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &f.first.server);
    flush_dirty(w);
    third_client(&f);
    assert_room(&f, false);
    session_world_close(w);
}

/* --- limits that several share --- */

/* Two servers, each with clients of its own. */
struct sharing {
    struct tt_quota sessions, waiting;
    struct session first;
    struct session_world second;
    struct tt_carrier carriers[3];
};

static void share(struct sharing *sh, size_t sessions, size_t waiting)
{
    tt_quota_init(&sh->sessions, sessions);
    tt_quota_init(&sh->waiting, waiting);
    struct session_setup setup = usual_setup();
    setup.sessions_quota = &sh->sessions;
    setup.waiting_quota = &sh->waiting;
    open_session_with(&sh->first, &setup);
    session_world_open(&sh->second, &setup);
}

static void stop_sharing(struct sharing *sh)
{
    session_world_close(&sh->first.world);
    session_world_close(&sh->second);
    assert_int_equal(tt_quota_taken(&sh->sessions), 0);
    assert_int_equal(tt_quota_taken(&sh->waiting), 0);
}

static void another_client(struct session_world *w, struct tt_carrier *c, uint8_t name)
{
    w->id.bytes[0] = name;
    server_attaches(w, c);
    first_packet(w, c, WORLD_CONV, 0);
}

static void test_a_shared_limit_of_sessions_is_one_for_all(void **state)
{
    (void)state;
    struct sharing sh;
    share(&sh, 2, 10);
    another_client(&sh.second, &sh.carriers[0], 1);
    another_client(&sh.second, &sh.carriers[1], 2);
    another_client(&sh.first.world, &sh.carriers[2], 3);
    assert_int_equal(sh.second.server.sessions, 1);
    assert_int_equal(sh.second.server.stats.sessions_full, 1);
    assert_int_equal(sh.first.world.server.sessions, 1);
    assert_int_equal(sh.first.world.server.stats.sessions_full, 1);
    assert_int_equal(tt_quota_taken(&sh.sessions), 2);
    assert_int_equal(tt_quota_taken(&sh.waiting), 1); /* the refused have left their places */
    stop_sharing(&sh);
}

static void test_a_shared_backlog_is_one_for_all(void **state)
{
    (void)state;
    struct sharing sh;
    share(&sh, 10, 1);
    another_client(&sh.second, &sh.carriers[0], 1);
    another_client(&sh.first.world, &sh.carriers[1], 2);
    assert_int_equal(sh.first.world.server.stats.backlog_full, 1);
    assert_int_equal(tt_quota_taken(&sh.sessions), 2);
    accept_session(&sh.second);
    first_packet(&sh.first.world, &sh.carriers[1], WORLD_CONV, 0);
    assert_int_equal(sh.first.world.server.stats.sessions_begun, 2);
    stop_sharing(&sh);
}

static void test_room_is_made_for_another_one(void **state)
{
    (void)state;
    struct sharing sh;
    share(&sh, 1, 1);
    struct session_world *w = &sh.first.world;
    assert_false(tt_queue_packet_conn_make_room(&w->server)); /* it is not closed */
    tt_queue_packet_conn_close(&w->server, w->now_us, sh.first.accepted);
    carry_down(w, &sh.first.server, &sh.first.client);
    tt_queue_packet_conn_detach(&w->server, w->now_us, &sh.first.server);
    flush_dirty(w);
    another_client(&sh.second, &sh.carriers[0], 1);
    assert_int_equal(sh.second.server.stats.sessions_full, 1);
    assert_true(tt_queue_packet_conn_make_room(&w->server));
    assert_false(tt_queue_packet_conn_make_room(&w->server));
    assert_int_equal(w->server.stats.closed_early, 1);
    first_packet(&sh.second, &sh.carriers[0], WORLD_CONV, 0);
    assert_int_equal(sh.second.server.stats.sessions_begun, 1);
    stop_sharing(&sh);
}

static void test_what_has_something_to_say_is_listed_once_a_turn(void **state)
{
    (void)state;
    struct session s;
    open_session(&s);
    for (unsigned i = 0; i < 3; i++) {
        write_bytes(s.stream, 1);
        carry_up(&s.world, &s.client, &s.server);
    }
    tt_queue_packet_conn_touched(&s.world.server, s.world.now_us, s.accepted);
    assert_int_equal(flush_dirty(&s.world), 1);
    assert_int_equal(flush_dirty(&s.world), 0);
    session_world_close(&s.world);
}

static void test_a_packet_and_the_application_each_put_a_session_on_the_list(void **state)
{
    (void)state;
    struct session s;
    open_session(&s);
    write_bytes(s.stream, 1);
    carry_up(&s.world, &s.client, &s.server);
    assert_int_equal(flush_dirty(&s.world), 1);
    tt_queue_packet_conn_touched(&s.world.server, s.world.now_us, s.accepted);
    assert_int_equal(flush_dirty(&s.world), 1);
    tt_queue_packet_conn_close(&s.world.server, s.world.now_us, s.accepted);
    assert_int_equal(flush_dirty(&s.world), 1);
    session_world_close(&s.world);
}

static void test_a_closed_session_is_no_business_of_its_application_any_more(void **state)
{
    (void)state;
    struct session s;
    open_session(&s);
    s.accepted->user = &s;
    tt_queue_packet_conn_close(&s.world.server, s.world.now_us, s.accepted);
    assert_int_equal(s.accepted->state, TT_SERVER_SESSION_CLOSED);
    assert_null(s.accepted->user);
    assert_true(s.accepted->endpoint.closing);
    session_world_close(&s.world);
}

/* What smux did not take while the application was slow moves up when it has read. */
static void test_after_the_application_has_read_more_moves_up(void **state)
{
    (void)state;
    struct session s;
    struct session_setup setup = usual_setup();
    struct tt_smux_stream *stream;
    bool ended;
    setup.server.accept_backlog = 1;
    session_world_open(&s.world, &setup);
    client_opens(&s.world, &s.client);
    server_attaches(&s.world, &s.server);
    client_stream(&s.world, 10);
    client_stream(&s.world, 20);
    carry_all(&s.world, &s.client, &s.server);
    s.accepted = accept_session(&s.world);
    struct tt_smux *smux = &s.accepted->endpoint.smux;
    assert_int_equal(tt_smux_accept(smux, &stream), TT_OK);
    assert_int_equal(tt_smux_accept(smux, &stream), TT_E_AGAIN);
    tt_queue_packet_conn_touched(&s.world.server, s.world.now_us, s.accepted);
    assert_int_equal(tt_smux_accept(smux, &stream), TT_OK);
    assert_int_equal(read_bytes(stream, &ended), 20);
    session_world_close(&s.world);
}

static void test_dispose_frees_sessions_of_every_kind(void **state)
{
    (void)state;
    struct session s;
    struct tt_carrier carriers[2];
    open_session(&s);
    tt_queue_packet_conn_close(&s.world.server, s.world.now_us, s.accepted);
    begin_sessions(&s.world, carriers, 2);
    accept_session(&s.world);
    assert_int_equal(s.world.server.sessions, 3);
    session_world_close(&s.world);
    assert_int_equal(s.server.role, TT_CARRIER_GONE);
    assert_int_equal(carriers[1].role, TT_CARRIER_GONE);
}

static void test_a_server_without_room_for_a_session_is_refused(void **state)
{
    (void)state;
    struct tt_queue_packet_conn q;
    struct tt_queue_packet_conn_config config = {.accept_backlog = 1, .alloc = &tt_alloc_malloc};
    assert_int_equal(tt_queue_packet_conn_init(&q, &config), TT_E_INVAL);
    config.max_sessions = 1;
    config.accept_backlog = 0;
    assert_int_equal(tt_queue_packet_conn_init(&q, &config), TT_E_INVAL);
    tt_queue_packet_conn_dispose(&q);
    q = (struct tt_queue_packet_conn){.sessions = 0};
    tt_queue_packet_conn_dispose(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_a_push_of_the_first_32_begins_a_session),
        cmocka_unit_test(test_an_empty_packet_is_a_stray_and_costs_nothing),
        cmocka_unit_test(test_a_connection_without_a_session_has_nothing_to_send),
        cmocka_unit_test(test_no_more_sessions_wait_than_the_backlog),
        cmocka_unit_test(test_sessions_are_accepted_in_the_order_of_their_beginning),
        cmocka_unit_test(test_there_are_no_more_sessions_than_the_limit),
        cmocka_unit_test(test_every_refused_allocation_begins_no_session_and_leaks_nothing),
        cmocka_unit_test(test_a_new_conversation_replaces_an_accepted_session),
        cmocka_unit_test(test_a_new_conversation_replaces_one_that_nobody_has_accepted),
        cmocka_unit_test(test_only_the_first_segment_of_another_conversation_replaces),
        cmocka_unit_test(test_every_carrier_of_the_id_follows_to_the_new_conversation),
        cmocka_unit_test(test_a_new_carrier_replaces_the_older_one),
        cmocka_unit_test(test_a_replaced_carrier_is_still_read),
        cmocka_unit_test(test_when_the_newest_goes_the_one_before_it_is_used_again),
        cmocka_unit_test(test_a_late_first_packet_pushes_no_newer_carrier_aside),
        cmocka_unit_test(test_a_carrier_outlives_its_session),
        cmocka_unit_test(test_a_silent_session_expires_at_its_time_and_not_before),
        cmocka_unit_test(test_a_packet_puts_expiry_off),
        cmocka_unit_test(test_a_session_that_nobody_accepted_expires_without_a_trace),
        cmocka_unit_test(test_sessions_expire_in_the_order_of_their_silence),
        cmocka_unit_test(test_a_session_at_rest_costs_little),
        cmocka_unit_test(test_an_idle_session_holds_little_and_its_stream_resumes),
        cmocka_unit_test(test_a_closed_session_still_acknowledges_for_a_while),
        cmocka_unit_test(test_no_new_session_comes_of_a_closed_one_in_the_middle),
        cmocka_unit_test(test_a_closed_session_without_carriers_makes_room),
        cmocka_unit_test(test_a_closed_session_with_a_carrier_makes_no_room),
        cmocka_unit_test(test_a_closed_session_whose_client_has_come_again_makes_no_room),
        cmocka_unit_test(test_a_session_that_is_not_closed_makes_no_room),
        cmocka_unit_test(test_a_closed_session_with_data_to_deliver_makes_no_room),
        cmocka_unit_test(test_a_shared_limit_of_sessions_is_one_for_all),
        cmocka_unit_test(test_a_shared_backlog_is_one_for_all),
        cmocka_unit_test(test_room_is_made_for_another_one),
        cmocka_unit_test(test_what_has_something_to_say_is_listed_once_a_turn),
        cmocka_unit_test(test_a_packet_and_the_application_each_put_a_session_on_the_list),
        cmocka_unit_test(test_a_closed_session_is_no_business_of_its_application_any_more),
        cmocka_unit_test(test_after_the_application_has_read_more_moves_up),
        cmocka_unit_test(test_dispose_frees_sessions_of_every_kind),
        cmocka_unit_test(test_a_server_without_room_for_a_session_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
