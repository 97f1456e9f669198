/* The server's packet connection when all its sessions are sealed (sealed.md M-13, M-16..M-18). */
#include "core/queue_packet_conn.h"

#include <turbotunnel/error.h>

#include "session/sealed_world.h"

static struct tt_span last_packet(const struct sealed_world *s)
{
    return tt_span_of(s->w.packet, s->w.packet_len);
}

/* A client's attempt of which nobody ever hears again: its session is begun, and that is all. */
static void begin_and_leave(struct sealed_world *s)
{
    struct tt_client_keys keys = s->client_keys;
    struct tt_endpoint_config config = s->w.client.config;
    struct tt_endpoint e;
    struct tt_carrier c = {.role = TT_CARRIER_UNBOUND};
    struct tt_carrier far;
    struct tt_gather *const g = &s->w.gather;
    uint32_t len;
    assert_int_equal(tt_seal_new_client(&config.seal, &s->sealer, &keys, config.alloc), TT_OK);
    assert_int_equal(tt_endpoint_init(&e, &config, s->w.now_us), TT_OK);
    assert_int_equal(tt_endpoint_dial_id(&e, &s->w.id), TT_OK);
    tt_endpoint_carrier_open(&e, s->w.now_us, &c, s->w.limits);
    server_attaches(&s->w, &far);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t packet[2048];
        tt_gather_reset(g);
        assert_int_equal(tt_endpoint_next_packet(&e, s->w.now_us, &c, g, &len), TT_OK);
        tt_gather_copy(g, packet);
        give_server(&s->w, &far, tt_span_of(packet, len));
        if (pull_down(&s->w, &far) == TT_OK)
            (void)tt_endpoint_receive(&e, s->w.now_us, &c, last_packet(s), NULL);
    }
    tt_endpoint_carrier_close(&e, s->w.now_us, &c);
    tt_endpoint_dispose(&e);
    tt_queue_packet_conn_detach(&s->w.server, s->w.now_us, &far);
    flush_dirty(&s->w);
}

static struct tt_server_session *accept_one(struct sealed_world *s)
{
    struct tt_server_session *session = accept_session(&s->w);
    flush_dirty(&s->w);
    return session;
}

static void test_a_session_begins_with_the_first_data_and_not_before(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_carrier c, far;
    sealed_world_open(&s, NULL);
    sealed_dials(&s, &c, &far);
    carry_up(&s.w, &c, &far);
    carry_down(&s.w, &far, &c);
    assert_int_equal(s.w.server.sessions, 0);
    assert_non_null(tt_gate_find(&s.gate, &s.w.id));
    struct tt_server_session *session;
    assert_int_equal(tt_queue_packet_conn_accept(&s.w.server, &session), TT_E_AGAIN);
    carry_up(&s.w, &c, &far);
    assert_int_equal(s.w.server.sessions, 1);
    assert_null(tt_gate_find(&s.gate, &s.w.id)); /* and its secrets are in one place */
    session = accept_one(&s);
    assert_int_equal(session->endpoint.kcp.conv, 0);
    assert_false(session->endpoint.seal->peer_known);
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

static void test_the_application_learns_who_the_client_is(void **state)
{
    (void)state;
    struct sealed_setup setup = sealed_setup();
    struct sealed_pair p;
    setup.identity = true;
    for (unsigned by_list = 0; by_list < 2; by_list++) {
        setup.by_list = by_list;
        open_sealed_pair(&p, &setup);
        assert_true(p.far->seal->peer_known);
        assert_memory_equal(p.far->seal->peer_key, p.s.client_keys.public_key, TT_KEY_LEN);
        close_sealed_pair(&p);
    }
}

/* It may come on another connection than the INIT did. */
static void test_data_that_is_wrong_ends_no_half_open_session(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_carrier c, far, rival;
    static const uint8_t wrong[40] = {TT_SEALED_DATA};
    sealed_world_open(&s, NULL);
    sealed_dials(&s, &c, &far);
    carry_up(&s.w, &c, &far);
    carry_down(&s.w, &far, &c);
    server_attaches(&s.w, &rival);
    give_server(&s.w, &rival, tt_span_of(wrong, sizeof(wrong)));
    assert_int_equal(s.gate.stats.data_refused, 1);
    assert_int_equal(s.w.server.sessions, 0);
    assert_int_equal(pull_down(&s.w, &rival), TT_E_AGAIN);
    carry_all(&s.w, &c, &far);
    assert_int_equal(s.w.server.sessions, 1);
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_CONFIRMED);
    tt_queue_packet_conn_detach(&s.w.server, s.w.now_us, &rival);
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

/* M-6: the second one is not even tried. */
static void test_one_data_of_a_connection_is_tried(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_carrier c, far, other;
    static const uint8_t wrong[40] = {TT_SEALED_DATA};
    sealed_world_open(&s, NULL);
    sealed_dials(&s, &c, &far);
    carry_up(&s.w, &c, &far);
    carry_down(&s.w, &far, &c);
    give_server(&s.w, &far, tt_span_of(wrong, sizeof(wrong)));
    assert_int_equal(pull_up(&s.w, &c), TT_OK);
    server_attaches(&s.w, &other);
    give_server(&s.w, &far, last_packet(&s));
    assert_int_equal(s.w.server.sessions, 0);
    assert_int_equal(s.gate.stats.data_refused, 2);
    assert_false(far.muted); /* an INIT behind it is heard */
    give_server(&s.w, &other, last_packet(&s));
    assert_int_equal(s.w.server.sessions, 1);
    sealed_hangs_up(&s, &c, &far);
    tt_queue_packet_conn_detach(&s.w.server, s.w.now_us, &other);
    sealed_world_close(&s);
}

/* M-16: lost is what will never answer. */
static void test_a_session_that_has_failed_is_unknown(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c, far;
    open_sealed_pair(&p, NULL);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    p.far->error = TT_E_PROTO;
    sealed_dials(&p.s, &c, &far);
    lose_up(&p.s.w, &c);
    client_waits(&p.s.w, TT_SECOND / 4);
    carry_all(&p.s.w, &c, &far);
    assert_int_equal(p.s.gate.stats.questions, 1);
    assert_int_equal(p.s.w.client.error, TT_E_LOST);
    sealed_hangs_up(&p.s, &c, &far);
    close_sealed_pair(&p);
}

/* --- many that lead nowhere (M-17) --- */

static struct sealed_setup crowded(uint32_t sessions)
{
    struct sealed_setup s = sealed_setup();
    s.session.max_sessions = s.session.accept_backlog = sessions;
    s.max_half_open = 100;
    s.max_seen = 10000;
    return s;
}

static uint32_t sessions_of(const struct sealed_world *s)
{
    return (uint32_t)tt_remote_map_count(&s->w.server.remotes);
}

static void test_where_few_exist_each_is_kept_for_the_session_timeout(void **state)
{
    (void)state;
    const struct sealed_setup setup = crowded(8);
    struct sealed_world s;
    sealed_world_open(&s, &setup);
    for (unsigned i = 0; i < 4; i++)
        begin_and_leave(&s);
    sealed_waits(&s, 120 * TT_SECOND);
    begin_and_leave(&s); /* at that time there were no more than half */
    assert_int_equal(sessions_of(&s), 5);
    assert_int_equal(s.w.server.stats.expired_crowded, 0);
    sealed_world_close(&s);
}

static void test_where_many_exist_the_short_lived_go_after_thirty_seconds(void **state)
{
    (void)state;
    const struct sealed_setup setup = crowded(8);
    struct sealed_world s;
    sealed_world_open(&s, &setup);
    for (unsigned i = 0; i < 8; i++)
        begin_and_leave(&s);
    sealed_waits(&s, 30 * TT_SECOND);
    assert_int_equal(sessions_of(&s), 8);
    struct tt_carrier c, far;
    sealed_dials(&s, &c, &far);
    carry_all(&s.w, &c, &far);
    assert_int_equal(s.w.server.sessions, 8); /* full: not yet */
    assert_int_equal(s.gate.stats.refused_full, 1);
    sealed_hangs_up(&s, &c, &far);
    sealed_waits(&s, 1);
    begin_and_leave(&s);
    assert_int_equal(s.w.server.stats.expired_crowded, 4);
    sealed_world_close(&s);
}

/* However many old sessions without a carrier stand first: they stay, and those behind them go. */
static void test_long_lived_sessions_stay_and_hide_nobody(void **state)
{
    (void)state;
    enum { OLD = 12, MOST = 40 };
    const struct sealed_setup setup = crowded(MOST);
    struct sealed_world s;
    sealed_world_open(&s, &setup);
    for (unsigned i = 0; i < OLD; i++) {
        begin_and_leave(&s);
        struct tt_server_session *old = accept_one(&s);
        old->begun_us = s.w.now_us - 540 * TT_SECOND; /* it has lived for so long */
    }
    for (unsigned i = 0; i < 250; i++) { /* 8 minutes; 15 in 30 s */
        sealed_waits(&s, 2 * TT_SECOND);
        begin_and_leave(&s);
        assert_in_range(sessions_of(&s), 1, MOST);
    }
    assert_int_equal(s.gate.stats.refused_full, 0);
    unsigned old = 0;
    TT_LIST_FOR_EACH(node, &s.w.server.remotes.by_use)
    {
        const struct tt_remote *r = TT_CONTAINER_OF(node, struct tt_remote, node);
        old += TT_CONTAINER_OF(r, struct tt_server_session, remote)->state ==
               TT_SERVER_SESSION_ACCEPTED;
    }
    assert_int_equal(old, OLD);
    sealed_world_close(&s);
}

/* --- the list of clients (M-18) --- */

static void test_who_is_taken_off_the_list_is_turned_out(void **state)
{
    (void)state;
    struct sealed_setup setup = sealed_setup();
    struct sealed_pair p;
    struct tt_carrier c, far;
    setup.identity = setup.by_list = true;
    open_sealed_pair(&p, &setup);
    tt_queue_packet_conn_review_clients(&p.s.w.server, p.s.w.now_us);
    assert_int_equal(p.far->error, 0);
    p.s.welcome = false;
    tt_queue_packet_conn_review_clients(&p.s.w.server, p.s.w.now_us);
    assert_int_equal(p.s.w.server.stats.turned_out, 1);
    assert_int_equal(p.far->error, 0); /* it is told first */
    assert_true(tt_endpoint_wants_send(p.far, &p.server));
    tt_queue_packet_conn_flushed(&p.s.w.server, tt_queue_packet_conn_next_dirty(&p.s.w.server));
    p.s.w.now_us += TT_SECOND;
    tt_queue_packet_conn_handle_timeout(&p.s.w.server, p.s.w.now_us);
    assert_int_equal(p.far->error, TT_E_CLOSED);
    assert_true(p.server.doomed);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    tt_queue_packet_conn_close(&p.s.w.server, p.s.w.now_us, p.session);
    assert_int_equal(sessions_of(&p.s), 0);
    sealed_dials(&p.s, &c, &far);
    carry_all(&p.s.w, &c, &far);
    assert_null(far.endpoint);
    sealed_hangs_up(&p.s, &c, &far);
    sealed_world_close(&p.s);
}

/* --- the end --- */

static void test_close_is_heard_on_one_carrier(void **state)
{
    (void)state;
    struct sealed_setup setup = sealed_setup();
    struct sealed_pair p;
    struct tt_carrier c, far;
    setup.session.client.carriers = 2;
    open_sealed_pair(&p, &setup);
    sealed_dials(&p.s, &c, &far);
    carry_all(&p.s.w, &c, &far);
    tt_smux_close(p.stream);
    tt_smux_close(p.far_stream);
    for (unsigned i = 0; i < 3; i++) {
        carry_all(&p.s.w, &p.client, &p.server);
        carry_all(&p.s.w, &c, &far);
    }
    tt_endpoint_close(&p.s.w.client);
    carry_up(&p.s.w, &c, &far); /* the other one's is held back */
    assert_int_equal(p.far->error, TT_E_CLOSED);
    tt_queue_packet_conn_close(&p.s.w.server, p.s.w.now_us, p.session);
    assert_int_equal(p.s.w.server.sessions, 0);
    assert_int_equal(tt_remote_map_count(&p.s.w.server.remembered), 0);
    sealed_hangs_up(&p.s, &c, &far);
    close_sealed_pair(&p);
}

/* A rival who has the ID, and the server's key, and was there first. */
static void test_a_rival_under_the_id_keeps_nobody_out(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_carrier rival, c, far;
    struct tt_client_keys keys;
    struct tt_noise n;
    uint8_t init[TT_HANDSHAKE_MAX];
    uint32_t len;
    sealed_world_open(&s, NULL);
    keys = s.client_keys;
    sealed_dials(&s, &c, &far);
    assert_int_equal(tt_init_write(&n, &s.sealer, &keys, &s.w.id, NULL, init, &len), TT_OK);
    server_attaches(&s.w, &rival);
    give_server(&s.w, &rival, tt_span_of(init, len));
    assert_int_equal(pull_down(&s.w, &rival), TT_OK);
    carry_all(&s.w, &c, &far); /* no answer: an INIT for a half-open session is none (M-5) */
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_NEW);
    assert_true(far.muted);
    sealed_hangs_up(&s, &c, &far);
    sealed_dials(&s, &c, &far); /* the next attempt has another ID */
    carry_all(&s.w, &c, &far);
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_CONFIRMED);

    assert_int_equal(tt_init_write(&n, &s.sealer, &keys, &s.w.id, NULL, init, &len), TT_OK);
    tt_queue_packet_conn_detach(&s.w.server, s.w.now_us, &rival);
    server_attaches(&s.w, &rival); /* and behind it */
    give_server(&s.w, &rival, tt_span_of(init, len));
    assert_int_equal(pull_down(&s.w, &rival), TT_E_AGAIN);
    assert_true(rival.muted);
    assert_int_equal(s.w.server.sessions, 1);
    tt_queue_packet_conn_detach(&s.w.server, s.w.now_us, &rival);
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_begins_with_the_first_data_and_not_before),
        cmocka_unit_test(test_the_application_learns_who_the_client_is),
        cmocka_unit_test(test_data_that_is_wrong_ends_no_half_open_session),
        cmocka_unit_test(test_one_data_of_a_connection_is_tried),
        cmocka_unit_test(test_a_session_that_has_failed_is_unknown),
        cmocka_unit_test(test_where_few_exist_each_is_kept_for_the_session_timeout),
        cmocka_unit_test(test_where_many_exist_the_short_lived_go_after_thirty_seconds),
        cmocka_unit_test(test_long_lived_sessions_stay_and_hide_nobody),
        cmocka_unit_test(test_who_is_taken_off_the_list_is_turned_out),
        cmocka_unit_test(test_close_is_heard_on_one_carrier),
        cmocka_unit_test(test_a_rival_under_the_id_keeps_nobody_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
