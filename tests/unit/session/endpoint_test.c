#include "core/session/endpoint.h"

#include <stdio.h>

#include <turbotunnel/error.h>

#include "core/smux/frame.h"
#include "core/smux/stream.h"
#include "session/fixture.h"

/* --- beginning --- */

static void test_a_session_costs_little_before_anything_is_sent(void **state)
{
    (void)state;
    struct session_world w;
    session_world_open(&w, NULL);
    assert_int_equal(w.memory.live, 1); /* the client's notes about limits */
    assert_int_equal(w.slabs.live_bytes, 0);
    assert_true(tt_endpoint_settled(&w.client));
    assert_false(tt_endpoint_peer_spoke(&w.client));
    session_world_close(&w);
}

static void test_values_out_of_range_are_refused(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_endpoint e;
    session_world_open(&w, NULL);
    struct tt_endpoint_config c = w.client.config;
    struct tt_endpoint_tuning bad = *c.tuning;
    bad.mtu = TT_KCP_HEADER;
    c.tuning = &bad;
    assert_int_equal(tt_endpoint_init(&e, &c, 0), TT_E_INVAL);
    tt_endpoint_dispose(&e);
    c = w.client.config;
    c.smux_version = 3;
    assert_int_equal(tt_endpoint_init(&e, &c, 0), TT_E_INVAL);
    tt_endpoint_dispose(&e);
    session_world_close(&w);
}

static void test_bytes_go_both_ways(void **state)
{
    (void)state;
    struct session_pair s;
    bool ended;
    open_pair(&s);
    assert_int_equal(read_bytes(s.far_stream, &ended), 10);
    write_bytes(s.far_stream, 100000);
    write_bytes(s.stream, 50000);
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(read_bytes(s.stream, &ended), 100000);
    assert_int_equal(read_bytes(s.far_stream, &ended), 50000);
    assert_false(ended);
    assert_true(tt_endpoint_peer_spoke(&s.world.client));
    session_world_close(&s.world);
}

/* --- what comes in --- */

static void test_short_packets_are_kept_for_native_sessions_and_prove_nothing(void **state)
{
    (void)state;
    struct session_pair s;
    open_pair(&s);
    const uint64_t heard_us = s.world.client.heard_us;
    s.world.now_us += TT_SECOND;
    for (uint32_t len = 0; len <= 11; len++)
        assert_int_equal(give_client(&s.world, &s.client, tt_span_of("control packet", len)), 0);
    assert_int_equal(s.world.client.stats.control_in, 12);
    assert_int_equal(s.world.client.heard_us, heard_us);
    assert_int_equal(s.world.client.kcp.stats.packets_in, s.client.received_packets - 12);
    session_world_close(&s.world);
}

/* smux takes no more than its buffer: the rest waits in KCP, whose packet's memory is gone by then.
 */
static void test_what_waits_in_kcp_outlives_its_packet(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = usual_setup();
    uint8_t data[5000], back[5000];
    size_t len, have = 0;
    setup.smux_version = 1;
    setup.server.max_receive_buffer = setup.server.max_stream_buffer = 100;
    open_pair_with(&s, &setup);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i % 251);
    assert_int_equal(tt_smux_read(s.far_stream, back, sizeof(back), &len), TT_OK);
    assert_int_equal(tt_smux_write(s.stream, data, sizeof(data), &len), TT_OK);
    assert_int_equal(len, sizeof(data));
    tt_endpoint_touched(s.far, s.world.now_us);
    carry_all(&s.world, &s.client, &s.server);
    while (tt_smux_read(s.far_stream, back + have, sizeof(back) - have, &len) == TT_OK && len > 0) {
        have += len;
        assert_int_equal(tt_endpoint_touched(s.far, s.world.now_us), TT_OK);
    }
    assert_int_equal(have, sizeof(data));
    assert_memory_equal(back, data, sizeof(data));
    session_world_close(&s.world);
}

static void test_garbage_ends_nothing(void **state)
{
    (void)state;
    struct session_pair s;
    uint64_t seed = 1;
    open_pair(&s);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t bytes[200];
        for (size_t k = 0; k < sizeof(bytes); k++)
            bytes[k] = (uint8_t)test_random(&seed);
        const struct tt_span packet = {bytes, test_random_below(&seed, sizeof(bytes))};
        assert_int_equal(give_client(&s.world, &s.client, packet), TT_OK);
    }
    write_bytes(s.stream, 1000);
    carry_all(&s.world, &s.client, &s.server);
    assert_true(tt_endpoint_settled(&s.world.client));
    session_world_close(&s.world);
}

static void test_what_smux_refuses_ends_the_session(void **state)
{
    (void)state;
    struct session_pair s;
    open_pair(&s);
    const struct tt_kcp_header h = {.conv = WORLD_CONV,
                                    .cmd = TT_KCP_PUSH,
                                    .wnd = 128,
                                    .sn = s.world.client.kcp.receive.nxt,
                                    .una = s.world.client.kcp.send.una,
                                    .len = 8};
    const struct tt_span bad = make_packet(&s.world, h, tt_span_of("\2\11\0\0\3\0\0\0", 8));
    assert_int_equal(give_client(&s.world, &s.client, bad), TT_E_PROTO);
    assert_int_equal(s.world.client.error, TT_E_PROTO);
    assert_int_equal(pull_up(&s.world, &s.client), TT_E_PROTO);
    assert_int_equal(tt_endpoint_touched(&s.world.client, s.world.now_us), TT_E_PROTO);
    assert_int_equal(tt_endpoint_handle_timeout(&s.world.client, TT_NEVER - 1), TT_E_PROTO);
    assert_int_equal(tt_endpoint_deadline(&s.world.client), TT_NEVER);
    session_world_close(&s.world);
}

/* A header that acknowledges less than one before it on the same carrier, and less than we know. */
static int give_una(struct session_pair *s, struct tt_carrier *c, uint32_t una)
{
    const struct tt_kcp_header h = {.conv = WORLD_CONV, .cmd = TT_KCP_WINS, .wnd = 128, .una = una};
    return give_client(&s->world, c, make_packet(&s->world, h, tt_span_of("", 0)));
}

static void test_a_server_that_has_lost_the_session_is_found_out(void **state)
{
    (void)state;
    struct session_pair s;
    open_pair(&s);
    assert_true(s.world.client.kcp.send.una > 0);
    assert_int_equal(give_una(&s, &s.client, 0), TT_E_LOST); /* K-42 */
    assert_int_equal(s.world.client.error, TT_E_LOST);
    session_world_close(&s.world);
}

static void test_a_restarted_server_is_found_out_on_the_next_carrier(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier next = {.role = TT_CARRIER_UNBOUND};
    open_pair(&s);
    const uint32_t known = s.world.client.kcp.send.una;
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &s.client);
    client_opens(&s.world, &next);
    assert_int_equal(give_una(&s, &next, known), TT_OK);
    tt_endpoint_carrier_close(&s.world.client, s.world.now_us, &next);
    client_opens(&s.world, &next);
    assert_int_equal(give_una(&s, &next, 0), TT_E_LOST);
    session_world_close(&s.world);
}

static void test_a_server_that_has_expired_the_session_is_found_out(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c, far;
    struct session_setup setup = usual_setup();
    setup.server.session_timeout_us = 60 * TT_SECOND; /* the client waits longer */
    open_pair_with(&s, &setup);
    s.world.now_us += s.world.server.config.tuning.session_timeout_us;
    tt_queue_packet_conn_handle_timeout(&s.world.server, s.world.now_us);
    flush_dirty(&s.world);
    tt_queue_packet_conn_close(&s.world.server, s.world.now_us,
                               TT_CONTAINER_OF(s.far, struct tt_server_session, endpoint));
    redial(&s, &c);
    server_attaches(&s.world, &far);
    write_bytes(s.stream, 1);
    catch_up(&s.world, &c, &far); /* una and window go first, and begin no session */
    assert_int_equal(s.world.client.error, TT_E_LOST);
    session_world_close(&s.world);
}

/* What was under way on the older carrier comes late: it was made before what the newer one
 * brought.
 */
static void test_a_late_acknowledgement_on_an_older_carrier_is_no_loss(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    const uint32_t una = s.world.client.kcp.send.una;
    write_bytes(s.stream, 1);
    lose_up(&s.world, &s.client);
    client_opens(&s.world, &newer);
    lose_up(&s.world, &newer);
    assert_int_equal(give_una(&s, &newer, una + 1), TT_OK);
    assert_int_equal(give_una(&s, &s.client, una), TT_OK);
    session_world_close(&s.world);
}

static void test_what_was_known_when_a_carrier_opened_counts_and_not_what_is_known_now(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    const uint32_t una = s.world.client.kcp.send.una;
    write_bytes(s.stream, 1);
    lose_up(&s.world, &s.client);
    client_opens(&s.world, &newer);
    assert_int_equal(give_una(&s, &s.client, una + 1), TT_OK);
    assert_int_equal(give_una(&s, &newer, una), TT_OK);
    session_world_close(&s.world);
}

static void test_una_that_falls_back_on_one_carrier_is_a_loss_on_any_carrier(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    client_opens(&s.world, &newer);
    assert_int_equal(give_una(&s, &newer, s.world.client.kcp.send.una), TT_OK);
    assert_int_equal(give_una(&s, &newer, 0), TT_E_LOST);
    session_world_close(&s.world);
}

static void test_datagrams_out_of_order_are_no_loss(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier c = {.role = TT_CARRIER_UNBOUND};
    open_pair(&s);
    tt_endpoint_carrier_open(&s.world.client, s.world.now_us, &c, &datagram_limits);
    assert_int_equal(give_una(&s, &c, s.world.client.kcp.send.una), TT_OK);
    assert_int_equal(give_una(&s, &c, 0), TT_OK);
    session_world_close(&s.world);
}

/* --- time --- */

static void test_a_client_gives_up_at_its_time_limit_and_not_before(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_endpoint *e = &s.world.client;
    open_pair(&s);
    tt_endpoint_carrier_close(e, s.world.now_us, &s.client);
    const uint64_t due_us = e->heard_us + e->config.tuning->session_timeout_us;
    while (tt_endpoint_deadline(e) < due_us) {
        const uint64_t now_us = tt_endpoint_deadline(e);
        assert_int_equal(tt_endpoint_handle_timeout(e, now_us), TT_OK);
        assert_true(tt_endpoint_deadline(e) > now_us);
    }
    assert_int_equal(tt_endpoint_deadline(e), due_us);
    assert_int_equal(tt_endpoint_handle_timeout(e, due_us - 1), TT_OK);
    assert_int_equal(tt_endpoint_handle_timeout(e, due_us), TT_E_TIMEOUT);
    assert_int_equal(tt_endpoint_deadline(e), TT_NEVER);
    session_world_close(&s.world);
}

static void test_any_packet_puts_the_time_limit_off(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_endpoint *e = &s.world.client;
    open_pair(&s);
    const uint64_t due_us = e->heard_us + e->config.tuning->session_timeout_us;
    s.world.now_us += TT_SECOND;
    give_una(&s, &s.client, e->kcp.send.una);
    assert_int_equal(tt_endpoint_handle_timeout(e, due_us), TT_OK);
    assert_int_equal(tt_endpoint_handle_timeout(e, due_us + TT_SECOND), TT_E_TIMEOUT);
    session_world_close(&s.world);
}

static void test_without_a_time_limit_a_session_waits_for_ever(void **state)
{
    (void)state;
    struct session_pair s;
    struct session_setup setup = usual_setup();
    setup.client.session_timeout_us = 0;
    setup.client.keepalive_interval_us = 0;
    open_pair_with(&s, &setup);
    assert_int_equal(tt_endpoint_deadline(&s.world.client), TT_NEVER);
    session_world_close(&s.world);
}

static void test_in_an_outage_at_most_one_keepalive_waits(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_endpoint *e = &s.world.client;
    struct tt_carrier c;
    open_pair(&s);
    tt_endpoint_carrier_close(e, s.world.now_us, &s.client);
    s.world.now_us += 300 * TT_SECOND;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tt_endpoint_handle_timeout(e, s.world.now_us), TT_OK);
    client_opens(&s.world, &c);
    const uint64_t frames = e->smux.stats.frames_out;
    lose_up(&s.world, &c);
    assert_int_equal(e->smux.stats.frames_out, frames + 1);
    session_world_close(&s.world);
}

/* The word that it is open again may be lost in a full queue of the peer's. */
static void test_a_shut_window_is_asked_about_when_smux_has_something(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_endpoint *e = &s.world.client;
    open_pair(&s);
    e->kcp.send.edge = e->kcp.send.nxt;
    write_bytes(s.stream, 5000);
    assert_int_equal(pull_up(&s.world, &s.client), TT_E_AGAIN);
    const uint64_t due_us = tt_endpoint_deadline(e);
    assert_int_equal(due_us, s.world.now_us + 500 * TT_MS);
    s.world.now_us = due_us;
    assert_int_equal(tt_endpoint_handle_timeout(e, due_us), TT_OK);
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    assert_int_equal(packet_count(&s.world, TT_KCP_WASK), 1);
    assert_int_equal(packet_count(&s.world, TT_KCP_PUSH), 0);
    give_server(&s.world, &s.server, tt_span_of(s.world.packet, s.world.packet_len));
    carry_down(&s.world, &s.server, &s.client);
    carry_all(&s.world, &s.client, &s.server);
    assert_true(tt_endpoint_settled(e));
    session_world_close(&s.world);
}

/* --- half close with a legacy peer --- */

/* The command of the smux frame that is first in the next packet's first PUSH; 255: none comes. */
static unsigned next_frame(struct session_pair *s)
{
    while (pull_up(&s->world, &s->client) == TT_OK) {
        const struct tt_kcp_header h = tt_kcp_header_read(s->world.packet);
        if (h.cmd == TT_KCP_PUSH && h.len >= TT_SMUX_HEADER)
            return tt_smux_frame_read(s->world.packet + TT_KCP_HEADER).cmd;
    }
    return 255;
}

static void test_fin_to_a_legacy_peer_waits_until_its_writer_cannot_block(void **state)
{
    (void)state;
    struct session_pair s;
    bool ended;
    open_pair(&s);
    carry_all(&s.world, &s.client, &s.server);
    assert_int_equal(tt_smux_shutdown(s.stream), TT_OK);

    assert_int_equal(next_frame(&s), TT_SMUX_UPD);
    const uint8_t *body = s.world.packet + TT_KCP_HEADER + TT_SMUX_HEADER;
    assert_true(tt_get_le32(body + 4) >= 4u << 20);
    const struct tt_span upd = {s.world.packet, s.world.packet_len};
    give_server(&s.world, &s.server, upd);
    assert_int_equal(next_frame(&s), 255); /* not before it is acknowledged */

    carry_down(&s.world, &s.server, &s.client);
    assert_int_equal(next_frame(&s), TT_SMUX_FIN);
    give_server(&s.world, &s.server, tt_span_of(s.world.packet, s.world.packet_len));
    assert_int_equal(read_bytes(s.far_stream, &ended), 10);
    assert_true(ended);

    /* The other direction goes on, however much it is. */
    for (unsigned i = 0; i < 40; i++) {
        write_bytes(s.far_stream, 200000);
        carry_all(&s.world, &s.client, &s.server);
        assert_int_equal(read_bytes(s.stream, &ended), 200000);
        tt_endpoint_touched(&s.world.client, s.world.now_us);
    }
    session_world_close(&s.world);
}

/* --- the end --- */

static void test_a_session_is_settled_when_all_is_acknowledged(void **state)
{
    (void)state;
    struct session_pair s;
    open_pair(&s);
    carry_all(&s.world, &s.client, &s.server);
    assert_true(tt_endpoint_settled(&s.world.client));
    write_bytes(s.stream, 1);
    assert_false(tt_endpoint_settled(&s.world.client));
    carry_up(&s.world, &s.client, &s.server);
    assert_false(tt_endpoint_settled(&s.world.client));
    carry_down(&s.world, &s.server, &s.client);
    assert_true(tt_endpoint_settled(&s.world.client));
    session_world_close(&s.world);
}

static void test_a_session_is_not_settled_before_its_fins_are(void **state)
{
    (void)state;
    struct session_pair s;
    open_pair(&s);
    carry_all(&s.world, &s.client, &s.server);
    tt_smux_close(s.stream);
    tt_endpoint_close(&s.world.client);
    assert_false(tt_endpoint_settled(&s.world.client));
    carry_all(&s.world, &s.client, &s.server);
    assert_true(tt_endpoint_settled(&s.world.client));
    session_world_close(&s.world);
}

static void test_dispose_lets_go_of_carriers_that_are_still_there(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_carrier newer;
    open_pair(&s);
    write_bytes(s.stream, 100000);
    lose_up(&s.world, &s.client);
    client_opens(&s.world, &newer);
    lose_up(&s.world, &newer);
    tt_endpoint_dispose(&s.world.client);
    assert_int_equal(s.client.role, TT_CARRIER_GONE);
    assert_int_equal(newer.role, TT_CARRIER_GONE);
    assert_null(newer.endpoint);
    session_world_close(&s.world);
}

/* --- memory --- */

/* A stream, and bytes both ways on it, as far as memory allows. */
static void exchange(struct session_world *w, struct tt_carrier *c, struct tt_carrier *far,
                     struct tt_smux_stream **stream)
{
    static const uint8_t data[3000];
    struct tt_server_session *s;
    struct tt_smux_stream *far_stream;
    size_t len;

    if (!*stream && tt_smux_open(&w->client.smux, stream) != TT_OK)
        return;
    (void)tt_smux_write(*stream, data, sizeof(data), &len);
    carry_all(w, c, far);
    if (tt_queue_packet_conn_accept(&w->server, &s) == TT_OK)
        s->user = s;
    while ((s = tt_queue_packet_conn_next_dirty(&w->server)) != NULL) {
        while (tt_smux_accept(&s->endpoint.smux, &far_stream) == TT_OK)
            (void)tt_smux_write(far_stream, data, sizeof(data), &len);
        tt_queue_packet_conn_touched(&w->server, w->now_us, s);
        (void)tt_queue_packet_conn_next_dirty(&w->server);
        tt_queue_packet_conn_flushed(&w->server, s);
    }
    carry_all(w, c, far);
}

static void test_every_refused_allocation_corrupts_nothing_and_leaks_nothing(void **state)
{
    (void)state;
    bool refused = true;
    for (size_t n = 0; refused; n++) {
        struct session_world w;
        struct tt_carrier c[3], far[3];
        struct tt_smux_stream *stream = NULL;
        session_world_open(&w, NULL);
        w.memory.fail_at = n;
        for (unsigned i = 0; i < 3; i++) {
            client_opens(&w, &c[i]);
            server_attaches(&w, &far[i]);
            exchange(&w, &c[i], &far[i], &stream);
        }
        refused = w.memory.refused;
        catch_up(&w, &c[2], &far[2]);
        assert_int_equal(w.client.error, 0);
        assert_true(stream && tt_endpoint_settled(&w.client));
        session_world_close(&w);
    }
}

static void test_a_frame_that_kcp_has_no_memory_for_is_not_lost(void **state)
{
    (void)state;
    struct session_pair s;
    bool ended;
    open_pair(&s);
    assert_int_equal(read_bytes(s.far_stream, &ended), 10);
    write_bytes(s.stream, 100000);
    /* Whatever is refused from here on, the stream of frames has no hole. */
    for (size_t n = 0; n < 20; n++) {
        s.world.memory.fail_at = s.world.memory.calls + n % 3;
        carry_all(&s.world, &s.client, &s.server);
    }
    s.world.memory.fail_at = FAIL_NEVER;
    catch_up(&s.world, &s.client, &s.server);
    assert_int_equal(read_bytes(s.far_stream, &ended), 100000);
    session_world_close(&s.world);
}

static void test_dispose_frees_a_frame_that_kcp_had_no_memory_for(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    struct tt_smux_stream *stream;
    session_world_open(&w, NULL);
    client_opens(&w, &c);
    assert_int_equal(tt_smux_open(&w.client.smux, &stream), TT_OK);
    w.memory.fail_at = w.memory.calls + 1; /* not its slab, but KCP's ring */
    assert_int_equal(pull_up(&w, &c), TT_E_AGAIN);
    assert_true(w.client.held.len > 0);
    session_world_close(&w);
}

/* Nothing else is under way that would make the session try again. */
static void test_what_could_not_be_sent_for_want_of_memory_is_tried_again_soon(void **state)
{
    (void)state;
    struct session_world w;
    struct tt_carrier c;
    struct tt_smux_stream *stream;
    session_world_open(&w, NULL);
    client_opens(&w, &c);
    assert_int_equal(tt_smux_open(&w.client.smux, &stream), TT_OK);
    w.memory.fail_at = w.memory.calls; /* the slab for its SYN */
    assert_int_equal(pull_up(&w, &c), TT_E_AGAIN);
    assert_true(w.memory.refused);
    const uint64_t due_us = tt_endpoint_deadline(&w.client);
    assert_in_range(due_us, w.now_us + 1, w.now_us + 100 * TT_MS);
    assert_int_equal(tt_endpoint_handle_timeout(&w.client, due_us), TT_OK);
    assert_true(tt_endpoint_deadline(&w.client) > due_us);
    assert_int_equal(pull_up(&w, &c), TT_OK);
    session_world_close(&w);
}

static void test_what_could_not_be_handed_up_for_want_of_memory_is_tried_again_soon(void **state)
{
    (void)state;
    struct session_pair s;
    struct tt_smux_stream *second;
    open_pair(&s);
    client_stream(&s.world, 0);
    assert_int_equal(pull_up(&s.world, &s.client), TT_OK);
    s.world.memory.fail_at = s.world.memory.calls; /* the stream for the SYN that comes */
    give_server(&s.world, &s.server, tt_span_of(s.world.packet, s.world.packet_len));
    assert_true(s.world.memory.refused);
    assert_int_equal(tt_smux_accept(&s.far->smux, &second), TT_E_AGAIN);
    flush_dirty(&s.world);
    const uint64_t due_us = tt_queue_packet_conn_deadline(&s.world.server);
    assert_in_range(due_us, s.world.now_us + 1, s.world.now_us + 100 * TT_MS);
    tt_queue_packet_conn_handle_timeout(&s.world.server, due_us);
    assert_int_equal(tt_smux_accept(&s.far->smux, &second), TT_OK);
    assert_int_equal(flush_dirty(&s.world), 1);
    session_world_close(&s.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_costs_little_before_anything_is_sent),
        cmocka_unit_test(test_values_out_of_range_are_refused),
        cmocka_unit_test(test_bytes_go_both_ways),
        cmocka_unit_test(test_short_packets_are_kept_for_native_sessions_and_prove_nothing),
        cmocka_unit_test(test_what_waits_in_kcp_outlives_its_packet),
        cmocka_unit_test(test_garbage_ends_nothing),
        cmocka_unit_test(test_what_smux_refuses_ends_the_session),
        cmocka_unit_test(test_a_server_that_has_lost_the_session_is_found_out),
        cmocka_unit_test(test_a_restarted_server_is_found_out_on_the_next_carrier),
        cmocka_unit_test(test_a_server_that_has_expired_the_session_is_found_out),
        cmocka_unit_test(test_a_late_acknowledgement_on_an_older_carrier_is_no_loss),
        cmocka_unit_test(
            test_what_was_known_when_a_carrier_opened_counts_and_not_what_is_known_now),
        cmocka_unit_test(test_una_that_falls_back_on_one_carrier_is_a_loss_on_any_carrier),
        cmocka_unit_test(test_datagrams_out_of_order_are_no_loss),
        cmocka_unit_test(test_a_client_gives_up_at_its_time_limit_and_not_before),
        cmocka_unit_test(test_any_packet_puts_the_time_limit_off),
        cmocka_unit_test(test_without_a_time_limit_a_session_waits_for_ever),
        cmocka_unit_test(test_in_an_outage_at_most_one_keepalive_waits),
        cmocka_unit_test(test_a_shut_window_is_asked_about_when_smux_has_something),
        cmocka_unit_test(test_fin_to_a_legacy_peer_waits_until_its_writer_cannot_block),
        cmocka_unit_test(test_a_session_is_settled_when_all_is_acknowledged),
        cmocka_unit_test(test_a_session_is_not_settled_before_its_fins_are),
        cmocka_unit_test(test_dispose_lets_go_of_carriers_that_are_still_there),
        cmocka_unit_test(test_every_refused_allocation_corrupts_nothing_and_leaks_nothing),
        cmocka_unit_test(test_a_frame_that_kcp_has_no_memory_for_is_not_lost),
        cmocka_unit_test(test_dispose_frees_a_frame_that_kcp_had_no_memory_for),
        cmocka_unit_test(test_what_could_not_be_sent_for_want_of_memory_is_tried_again_soon),
        cmocka_unit_test(test_what_could_not_be_handed_up_for_want_of_memory_is_tried_again_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
