/* The blocking calls: dial, listen, accept, open, read, write, shut down, close. */
#include "api.h"

#include <unistd.h>

#define MS UINT64_C(1000) /* microseconds */

/* --- streams --- */

static int accept_stream(void *session)
{
    struct tt_stream *st;
    return tt_session_accept_stream(session, &st);
}

static void test_bytes_go_both_ways(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    static const uint64_t lengths[] = {1, 2, 1375, 1376, 1377, 65535, 65536, 65537};
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        assert_int_equal(api_write(c, lengths[i], i), TT_OK);
        assert_int_equal(api_read(s, lengths[i], i), TT_OK);
        assert_int_equal(api_write(s, lengths[i], i + 100), TT_OK);
        assert_int_equal(api_read(c, lengths[i], i + 100), TT_OK);
    }
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

static void test_writing_nothing_is_no_event(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    uint8_t byte;
    size_t len = 7;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    assert_int_equal(tt_stream_write(c, "", 0), TT_OK);
    assert_int_equal(tt_stream_try_read(s, &byte, 1, &len), TT_E_AGAIN);
    assert_int_equal(len, 0);
    assert_int_equal(tt_stream_read(s, &byte, 0, &len), TT_E_INVAL);
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

static void test_both_directions_at_once(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    struct api_thread threads[4];
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    struct api_job up_in = {c, 24 * MIB, 1}, up_out = {s, 24 * MIB, 1};
    struct api_job down_in = {s, 24 * MIB, 2}, down_out = {c, 24 * MIB, 2};
    api_start(&threads[0], api_job_write_and_shut, &up_in);
    api_start(&threads[1], api_job_read_to_end, &up_out);
    api_start(&threads[2], api_job_write_and_shut, &down_in);
    api_start(&threads[3], api_job_read_to_end, &down_out);
    assert_int_equal(api_join(&threads[0]), TT_OK);
    assert_int_equal(api_join(&threads[1]), TT_E_END);
    assert_int_equal(api_join(&threads[2]), TT_OK);
    assert_int_equal(api_join(&threads[3]), TT_E_END);
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

#define STREAMS 200

static void test_many_streams_in_one_session(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c[STREAMS], *s[STREAMS];
    api_open(&p, NULL, NULL);
    for (unsigned i = 0; i < STREAMS; i++)
        api_open_stream(&p, &c[i], &s[i]);
    for (unsigned i = 0; i < STREAMS; i++) {
        assert_int_equal(api_write(c[i], 10000 + i, i), TT_OK);
        assert_int_equal(api_write(s[i], 5000 + i, i + STREAMS), TT_OK);
    }
    for (unsigned i = STREAMS; i-- > 0;) {
        assert_int_equal(api_read(s[i], 10000 + i, i), TT_OK);
        assert_int_equal(api_read(c[i], 5000 + i, i + STREAMS), TT_OK);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        tt_stream_close(c[i]);
        assert_int_equal(api_read_end(s[i]), TT_E_END);
        tt_stream_close(s[i]);
    }
    api_close(&p);
}

static void test_the_server_opens_streams_too(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, NULL, NULL);
    assert_int_equal(tt_session_open_stream(p.server, &s), TT_OK);
    assert_int_equal(tt_session_accept_stream(p.client, &c), TT_OK);
    assert_int_equal(api_write(s, 1000, 1), TT_OK);
    assert_int_equal(api_read(c, 1000, 1), TT_OK);
    tt_stream_close(s);
    assert_int_equal(api_read_end(c), TT_E_END);
    tt_stream_close(c);
    api_close(&p);
}

static void test_both_versions_of_smux(void **state)
{
    (void)state;
    for (unsigned version = 1; version <= 2; version++) {
        struct api_pair p;
        struct tt_stream *c, *s;
        struct api_thread echo;
        api_open(&p, &(struct tt_options){.smux_version = version}, NULL);
        api_open_stream(&p, &c, &s);
        api_start(&echo, api_job_echo, &(struct api_job){.stream = s});
        assert_int_equal(api_write(c, 100000, version), TT_OK);
        assert_int_equal(tt_stream_shutdown(c), TT_OK);
        assert_int_equal(api_read(c, 100000, version), TT_OK);
        assert_int_equal(api_read_end(c), TT_E_END);
        assert_int_equal(api_join(&echo), TT_OK);
        tt_stream_close(c);
        tt_stream_close(s);
        api_close(&p);
    }
}

/* --- ends of streams --- */

static void test_half_close(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 3000, 1), TT_OK);
    assert_int_equal(tt_stream_shutdown(c), TT_OK);
    assert_int_equal(tt_stream_shutdown(c), TT_E_SHUT);
    assert_int_equal(tt_stream_write(c, "x", 1), TT_E_SHUT);
    assert_int_equal(api_read(s, 3000, 1), TT_OK);
    assert_int_equal(api_read_end(s), TT_E_END);
    assert_int_equal(api_read_end(s), TT_E_END);

    struct api_thread writer;
    struct api_job job = {s, 6 * MIB, 2};
    api_start(&writer, api_job_write_and_shut, &job);
    assert_int_equal(api_read(c, 6 * MIB, 2), TT_OK);
    assert_int_equal(api_read_end(c), TT_E_END);
    assert_int_equal(api_join(&writer), TT_OK);
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

static void test_a_stream_is_reset_and_the_other_end_knows_why(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    uint8_t buf[16];
    size_t len;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    assert_int_equal(tt_stream_write(c, "hello", 5), TT_OK);
    assert_int_equal(tt_stream_read(s, buf, sizeof buf, &len), TT_OK);
    /* Once something has come, the client knows that its server understands a reset. */
    assert_int_equal(tt_stream_write(s, "hello", 5), TT_OK);
    assert_int_equal(tt_stream_read(c, buf, sizeof buf, &len), TT_OK);
    tt_stream_reset(c, TT_RESET_REFUSED);
    assert_int_equal(tt_stream_read(s, buf, sizeof buf, &len), TT_E_RESET);
    assert_int_equal(tt_stream_reset_code(s), TT_RESET_REFUSED);
    assert_int_equal(tt_stream_write(s, "x", 1), TT_E_RESET);
    assert_int_equal(tt_stream_shutdown(s), TT_E_RESET);
    tt_stream_close(s);
    /* The session is as it was. */
    api_open_stream(&p, &c, &s);
    assert_int_equal(tt_stream_write(c, "hello", 5), TT_OK);
    assert_int_equal(tt_stream_read(s, buf, sizeof buf, &len), TT_OK);
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

/* To a peer that does not know of it, it is an end like any other. */
static void test_a_reset_closes_to_a_legacy_peer(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, NULL, &(struct tt_options){.legacy = true});
    api_open_stream(&p, &c, &s);
    tt_stream_reset(c, TT_RESET_REFUSED);
    assert_int_equal(api_read_end(s), TT_E_END);
    tt_stream_close(s);
    api_close(&p);
}

static void test_what_was_written_before_closing_arrives(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 200 * KIB, 1), TT_OK);
    tt_stream_close(c);
    assert_int_equal(api_read(s, 200 * KIB, 1), TT_OK);
    assert_int_equal(api_read_end(s), TT_E_END);
    tt_stream_close(s);
    api_close(&p);
}

static void test_closing_a_session_waits_for_what_was_written(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    struct api_thread reader;
    /* The server's end of the stream has nobody left who could acknowledge it. */
    api_open(&p, NULL, &(struct tt_options){.linger_us = 50 * MS});
    api_open_stream(&p, &c, &s);
    struct api_job job = {s, 8 * MIB, 1};
    api_start(&reader, api_job_read_to_end, &job);
    assert_int_equal(api_write(c, 8 * MIB, 1), TT_OK);
    assert_int_equal(tt_session_close(p.client), TT_OK); /* the stream with it */
    p.client = NULL;
    assert_int_equal(api_join(&reader), TT_E_END);
    tt_stream_close(s);
    api_close(&p);
}

/* CLOSE frees what there is to free, and nothing that was received. */
static void test_what_came_before_the_peer_closed_its_session_is_still_read(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 200 * KIB, 1), TT_OK);
    assert_int_equal(tt_session_close(p.client), TT_OK);
    p.client = NULL;
    assert_int_equal(accept_stream(p.server), TT_E_CLOSED); /* it has come */
    assert_int_equal(api_read(s, 200 * KIB, 1), TT_OK);
    assert_int_equal(api_read_end(s), TT_E_END);
    tt_stream_close(s);
    api_close(&p);
}

static void test_a_server_that_closes_at_once_loses_nothing(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    struct api_thread reader;
    api_open(&p, &(struct tt_options){.linger_us = 50 * MS}, NULL);
    api_open_stream(&p, &c, &s);
    struct api_job job = {c, 8 * MIB, 1};
    api_start(&reader, api_job_read_to_end, &job);
    assert_int_equal(api_write(s, 8 * MIB, 1), TT_OK);
    assert_int_equal(tt_session_close(p.server), TT_OK);
    tt_listener_close(p.listener); /* waits until it is acknowledged */
    assert_int_equal(api_join(&reader), TT_E_END);
    /* The server's program is done: nobody waits for the end of our own side. */
    assert_int_equal(tt_session_close(p.client), TT_OK);
}

static void test_a_writer_waits_for_its_reader(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s, *other_c, *other_s;
    struct api_thread writer;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    api_open_stream(&p, &other_c, &other_s);
    struct api_job job = {c, 24 * MIB, 1}; /* more than all windows */
    api_start(&writer, api_job_write, &job);
    /* A stream that nobody reads does not hold up another. */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(api_write(other_c, 30000, i), TT_OK);
        assert_int_equal(api_read(other_s, 30000, i), TT_OK);
    }
    assert_int_equal(api_read(s, 24 * MIB, 1), TT_OK);
    assert_int_equal(api_join(&writer), TT_OK);
    tt_stream_close(c);
    tt_stream_close(s);
    tt_stream_close(other_c);
    tt_stream_close(other_s);
    api_close(&p);
}

/* --- ends of sessions --- */

static void test_everybody_who_waits_learns_of_the_end_of_a_session(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *reading, *writing, *unread, *unwritten;
    struct api_thread threads[3];
    /* Not for want of packets: it would be another error. */
    const struct tt_options patient = {.session_timeout_us = 20000 * MS};
    api_open(&p, &patient, NULL);
    api_open_stream(&p, &reading, &unwritten);
    api_open_stream(&p, &writing, &unread);
    struct api_job read = {reading, 1, 0}, write = {writing, 24 * MIB, 0};
    api_start(&threads[0], api_job_read, &read);
    api_start(&threads[1], api_job_write, &write);
    api_start(&threads[2], accept_stream, p.client);
    tt_stream_close(unread);
    tt_stream_close(unwritten);
    tt_session_close(p.server);
    tt_listener_close(p.listener);
    for (unsigned i = 0; i < 3; i++) {
        const int err = api_join(&threads[i]);
        /* The first stream ended in order, before the session did. */
        assert_true(err == TT_E_CLOSED || (i == 0 && err == TT_E_END));
    }
    struct tt_stream *st;
    size_t taken;
    assert_int_equal(tt_session_open_stream(p.client, &st), TT_E_CLOSED);
    assert_int_equal(tt_stream_try_write(writing, "x", 1, &taken), TT_E_CLOSED);
    assert_int_equal(tt_stream_shutdown(writing), TT_E_CLOSED);
    assert_string_not_equal(tt_session_error_text(p.client), "");
    const int err = tt_session_close(p.client);
    assert_true(err == TT_E_CLOSED || err == TT_OK); /* OK: all had been acknowledged before */
}

static void test_a_server_learns_that_its_client_has_gone(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    struct tt_listener_stats stats;
    const struct tt_options patient = {.session_timeout_us = 20000 * MS}; /* it learns at once */
    api_open(&p, NULL, &patient);
    api_open_stream(&p, &c, &s);
    tt_session_close(p.client);
    p.client = NULL;
    assert_int_equal(api_read_end(s), TT_E_END);
    struct tt_stream *none;
    assert_int_equal(tt_session_accept_stream(p.server, &none), TT_E_CLOSED);
    assert_int_equal(tt_session_close(p.server), TT_OK);
    p.server = NULL;
    tt_listener_get_stats(p.listener, &stats);
    assert_int_equal(stats.sessions_expired, 0);
    api_close(&p);
}

/* One that does not say goodbye: it is waited for. */
static void test_a_server_learns_that_its_legacy_client_has_gone(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    struct tt_listener_stats stats;
    api_open(&p, &(struct tt_options){.legacy = true},
             &(struct tt_options){.session_timeout_us = 300 * MS});
    api_open_stream(&p, &c, &s);
    tt_session_close(p.client);
    p.client = NULL;
    assert_int_equal(api_read_end(s), TT_E_END);
    struct tt_stream *none;
    assert_int_equal(tt_session_accept_stream(p.server, &none), TT_E_TIMEOUT);
    assert_int_equal(tt_session_close(p.server), TT_E_TIMEOUT);
    p.server = NULL;
    tt_listener_get_stats(p.listener, &stats);
    assert_int_equal(stats.sessions_expired, 1);
    api_close(&p);
}

static void test_closing_a_session_gives_up_in_the_end(void **state)
{
    (void)state;
    char address[64];
    struct tt_session *session;
    struct tt_stream *st;
    const int silent = api_silent_listener(address);
    const struct tt_options hasty = {.linger_us = 50 * MS};
    assert_int_equal(tt_dial(address, &hasty, &session, NULL), TT_OK);
    assert_int_equal(tt_session_open_stream(session, &st), TT_OK);
    assert_int_equal(tt_stream_write(st, "hello", 5), TT_OK);
    assert_int_equal(tt_session_close(session), TT_E_TIMEOUT);
    close(silent);
}

/* --- listeners and dials --- */

static int accept_session(void *listener)
{
    struct tt_session *session;
    return tt_listener_accept(listener, &session);
}

static void test_stopping_a_listener_ends_its_accept(void **state)
{
    (void)state;
    struct tt_listener *listener;
    struct tt_session *session;
    struct api_thread threads[3];
    char address[64];
    assert_int_equal(tt_listen("127.0.0.1:0", NULL, &listener, NULL), TT_OK);
    for (unsigned i = 0; i < 3; i++)
        api_start(&threads[i], accept_session, listener);
    (void)strncpy(address, tt_listener_address(listener), sizeof address - 1);
    address[sizeof address - 1] = '\0';
    tt_listener_stop(listener);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(api_join(&threads[i]), TT_E_CLOSED);
    assert_int_equal(tt_listener_accept(listener, &session), TT_E_CLOSED);
    assert_null(session);
    tt_listener_stop(listener); /* twice does no harm */
    tt_listener_close(listener);
    assert_int_equal(tt_dial(address, NULL, &session, NULL), TT_E_UNREACHABLE);
}

static void test_sessions_go_on_when_their_listener_has_stopped(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, NULL, NULL);
    tt_listener_stop(p.listener);
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 100000, 1), TT_OK);
    assert_int_equal(api_read(s, 100000, 1), TT_OK);
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

static uint64_t packets_sent(struct tt_session *s)
{
    struct tt_session_stats stats;
    tt_session_get_stats(s, &stats);
    return stats.packets_sent;
}

static void check_packets(const struct tt_options *client, const struct tt_options *server)
{
    enum { BYTES = 1000000, PACKET = 1400 };
    struct api_pair p;
    struct tt_stream *c, *s;
    api_open(&p, client, server);
    api_open_stream(&p, &c, &s);
    for (unsigned from_server = 0; from_server < 2; from_server++) {
        struct tt_session *sender = from_server ? p.server : p.client;
        struct api_job job = {.stream = from_server ? s : c, .len = BYTES, .seed = 1};
        struct api_thread writer;
        const uint64_t before = packets_sent(sender);
        api_start(&writer, api_job_write, &job);
        assert_int_equal(api_read(from_server ? c : s, BYTES, 1), TT_OK);
        assert_int_equal(api_join(&writer), TT_OK);
        assert_true(packets_sent(sender) - before >= BYTES / PACKET);
    }
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

static void test_packets_are_no_longer_than_either_end_takes(void **state)
{
    (void)state;
    const struct tt_options small = {.max_packet = 1400};
    check_packets(&small, NULL);
    check_packets(NULL, &small);
}

static void test_errors_are_told_apart_and_explained(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        struct tt_options options;
        int dial, listen;
    } cases[] = {
        {"127.0.0.1", {0}, TT_E_INVAL, TT_E_INVAL},
        {"127.0.0.1:", {0}, TT_E_INVAL, TT_E_INVAL},
        {"::1:80", {0}, TT_E_INVAL, TT_E_INVAL},
        {"127.0.0.1:65536", {0}, TT_E_INVAL, TT_E_INVAL},
        {"127.0.0.1:1", {.smux_version = 3}, TT_E_INVAL, -1},
        {"127.0.0.1:1", {.max_packet = 1399}, TT_E_INVAL, TT_E_INVAL},
        {"127.0.0.1:1", {.max_packet = 65536}, TT_E_INVAL, TT_E_INVAL},
        {"no..such.name:1", {0}, TT_E_RESOLVE, TT_E_RESOLVE},
        {"192.0.2.1:0", {0}, TT_E_UNREACHABLE, TT_E_ADDRESS},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tt_options options = cases[i].options;
        struct tt_session *session = (struct tt_session *)&options; /* must become NULL */
        struct tt_listener *listener = (struct tt_listener *)&options;
        struct tt_error_text why = {""};
        options.dial_timeout_us = 100 * MS;
        assert_int_equal(tt_dial(cases[i].address, &options, &session, &why), cases[i].dial);
        assert_null(session);
        assert_string_not_equal(why.text, "");
        if (cases[i].listen == -1)
            continue;
        why.text[0] = '\0';
        assert_int_equal(tt_listen(cases[i].address, &options, &listener, &why), cases[i].listen);
        assert_null(listener);
        assert_string_not_equal(why.text, "");
    }
}

static void test_a_session_says_who_it_is_and_what_it_did(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    struct tt_session_stats stats;
    api_open(&p, NULL, NULL);
    assert_int_equal(strlen(tt_session_id(p.client)), 16);
    assert_string_equal(tt_session_id(p.client), tt_session_id(p.server));
    assert_string_equal(tt_session_error_text(p.client), "");
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 100000, 1), TT_OK);
    assert_int_equal(api_read(s, 100000, 1), TT_OK);
    tt_session_get_stats(p.client, &stats);
    assert_int_equal(stats.connections, 1);
    assert_int_equal(stats.retransmits_carrier, 0);
    assert_true(stats.bytes_sent >= 100000 && stats.segments_sent >= 100000 / 1376);
    tt_session_get_stats(p.server, &stats);
    assert_true(stats.bytes_received >= 100000 && stats.bytes_received < 110000);
    tt_stream_close(c);
    tt_stream_close(s);
    api_close(&p);
}

/* --- loops --- */

static void test_one_loop_carries_both_ends_of_many_sessions(void **state)
{
    (void)state;
    struct tt_loop *loop;
    struct api_pair p[5];
    assert_int_equal(tt_loop_new(NULL, &loop), TT_OK);
    assert_int_equal(tt_loop_start(loop), TT_OK);
    assert_int_equal(tt_loop_start(loop), TT_E_INVAL);
    assert_int_equal(tt_loop_run(loop), TT_E_INVAL);
    const struct tt_options shared = {.loop = loop};
    for (unsigned i = 0; i < ARRAY_LEN(p); i++)
        api_open(&p[i], &shared, &shared);
    for (unsigned i = 0; i < ARRAY_LEN(p); i++) {
        struct tt_stream *c, *s;
        struct api_thread echo;
        api_open_stream(&p[i], &c, &s);
        struct api_job job = {.stream = s};
        api_start(&echo, api_job_echo, &job);
        assert_int_equal(api_write(c, 100000, i), TT_OK);
        assert_int_equal(api_read(c, 100000, i), TT_OK);
        assert_int_equal(tt_stream_shutdown(c), TT_OK);
        assert_int_equal(api_join(&echo), TT_OK);
        tt_stream_close(c);
        tt_stream_close(s);
    }
    for (unsigned i = 0; i < ARRAY_LEN(p); i++)
        api_close(&p[i]);
    tt_loop_free(loop);
}

static int use_a_loop_of_the_main_thread(void *loop)
{
    const struct tt_options shared = {.loop = loop};
    struct tt_listener *listener;
    struct tt_session *client, *server;
    struct tt_stream *c, *s;
    int err = tt_listen("127.0.0.1:0", &shared, &listener, NULL);
    if (!err)
        err = tt_dial(tt_listener_address(listener), &shared, &client, NULL);
    if (!err)
        err = tt_session_open_stream(client, &c);
    if (!err)
        err = tt_listener_accept(listener, &server);
    if (!err)
        err = tt_session_accept_stream(server, &s);
    if (!err)
        err = api_write(c, 100000, 1);
    if (!err)
        err = api_read(s, 100000, 1);
    if (!err) {
        tt_stream_close(c);
        err = api_read_end(s) == TT_E_END ? TT_OK : API_WRONG_BYTES;
    }
    if (!err) {
        tt_stream_close(s);
        err = tt_session_close(client);
    }
    if (!err) {
        tt_session_close(server);
        tt_listener_close(listener);
    }
    tt_loop_stop(loop);
    return err;
}

static void test_a_loop_on_the_main_thread(void **state)
{
    (void)state;
    struct tt_loop *loop;
    struct api_thread user;
    assert_int_equal(tt_loop_new(NULL, &loop), TT_OK);
    for (unsigned i = 0; i < 2; i++) { /* it can be run again */
        api_start(&user, use_a_loop_of_the_main_thread, loop);
        assert_int_equal(tt_loop_run(loop), TT_OK);
        assert_int_equal(api_join(&user), TT_OK);
    }
    tt_loop_free(loop);
}

static void test_a_loop_that_was_never_run_is_freed(void **state)
{
    (void)state;
    struct tt_loop *loop;
    assert_int_equal(tt_loop_new(&(struct tt_options){.max_buffer_bytes = 1}, &loop), TT_OK);
    tt_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_both_ways),
        cmocka_unit_test(test_writing_nothing_is_no_event),
        cmocka_unit_test(test_both_directions_at_once),
        cmocka_unit_test(test_many_streams_in_one_session),
        cmocka_unit_test(test_the_server_opens_streams_too),
        cmocka_unit_test(test_both_versions_of_smux),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_a_stream_is_reset_and_the_other_end_knows_why),
        cmocka_unit_test(test_a_reset_closes_to_a_legacy_peer),
        cmocka_unit_test(test_what_was_written_before_closing_arrives),
        cmocka_unit_test(test_closing_a_session_waits_for_what_was_written),
        cmocka_unit_test(test_what_came_before_the_peer_closed_its_session_is_still_read),
        cmocka_unit_test(test_a_server_that_closes_at_once_loses_nothing),
        cmocka_unit_test(test_a_writer_waits_for_its_reader),
        cmocka_unit_test(test_everybody_who_waits_learns_of_the_end_of_a_session),
        cmocka_unit_test(test_a_server_learns_that_its_client_has_gone),
        cmocka_unit_test(test_a_server_learns_that_its_legacy_client_has_gone),
        cmocka_unit_test(test_closing_a_session_gives_up_in_the_end),
        cmocka_unit_test(test_stopping_a_listener_ends_its_accept),
        cmocka_unit_test(test_sessions_go_on_when_their_listener_has_stopped),
        cmocka_unit_test(test_packets_are_no_longer_than_either_end_takes),
        cmocka_unit_test(test_errors_are_told_apart_and_explained),
        cmocka_unit_test(test_a_session_says_who_it_is_and_what_it_did),
        cmocka_unit_test(test_one_loop_carries_both_ends_of_many_sessions),
        cmocka_unit_test(test_a_loop_on_the_main_thread),
        cmocka_unit_test(test_a_loop_that_was_never_run_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
