/* Every limit of the options is reached, counted, and does no harm beyond. */
#include "api.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS UINT64_C(1000) /* microseconds */

/* A client that does not linger. */
static const struct tt_options hasty = {.linger_us = 20 * MS};

/* 0: closed by the other end; 1: it sent something. */
static int read_to_the_end(int fd)
{
    uint8_t byte;
    return read(fd, &byte, 1) > 0;
}

/* --- connections --- */

static void count_refused(void *ctx, const struct tt_report *r)
{
    if (r->kind == TT_REPORT_REFUSED)
        ++*(_Atomic unsigned *)ctx;
}

static void test_connections_at_once(void **state)
{
    (void)state;
    _Atomic unsigned refused = 0;
    const struct tt_options o = {
        .max_connections = 3, .report = count_refused, .report_ctx = &refused};
    struct tt_listener *listener = api_listen(&o);
    int fds[5];
    for (unsigned i = 0; i < 3; i++)
        fds[i] = api_connect(tt_listener_address(listener));
    API_WAIT_FOR(listener, connections_now, 3);
    for (unsigned i = 3; i < 5; i++) {
        fds[i] = api_connect(tt_listener_address(listener));
        assert_int_equal(read_to_the_end(fds[i]), 0);
    }
    API_WAIT_FOR(listener, connections_refused, 2);
    assert_int_equal(api_stats(listener).connections, 3);
    assert_int_equal(api_stats(listener).connections_now, 3);
    assert_int_equal(refused, 2);
    close(fds[0]);
    /* There is room again. */
    struct tt_stream *c;
    struct tt_session *client = NULL, *server;
    while (api_stats(listener).connections_now == 3)
        continue;
    client = api_dial_and_speak(listener, &hasty, &c);
    assert_int_equal(tt_listener_accept(listener, &server), TT_OK);
    (void)tt_session_close(client); /* it lingers so briefly that not all may have arrived */
    (void)tt_session_close(server);
    for (unsigned i = 1; i < 5; i++)
        close(fds[i]);
    tt_listener_close(listener);
}

static void test_connections_that_do_not_say_who_they_are(void **state)
{
    (void)state;
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.handshake_timeout_us = 50 * MS});
    const int silent = api_connect(tt_listener_address(listener));
    const int slow = api_connect(tt_listener_address(listener));
    assert_int_equal(send(slow, "1234567", 7, MSG_NOSIGNAL), 7);
    assert_int_equal(read_to_the_end(silent), 0);
    assert_int_equal(read_to_the_end(slow), 0);
    assert_int_equal(api_stats(listener).handshakes_expired, 2);
    assert_int_equal(api_stats(listener).connections_now, 0);
    close(silent);
    close(slow);
    tt_listener_close(listener);
}

/* The time is for all 8 bytes, not for each. */
static void test_a_connection_that_tells_its_id_byte_by_byte(void **state)
{
    (void)state;
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.handshake_timeout_us = 200 * MS});
    struct pollfd end = {.fd = api_connect(tt_listener_address(listener)), .events = POLLIN};
    unsigned sent = 0;
    do {
        assert_int_equal(send(end.fd, "x", 1, MSG_NOSIGNAL), 1);
        sent++;
    } while (sent < 7 && poll(&end, 1, 100) == 0);
    assert_int_not_equal(end.revents, 0); /* it was ended before the seventh byte's time */
    assert_int_equal(read_to_the_end(end.fd), 0);
    assert_int_equal(api_stats(listener).handshakes_expired, 1);
    close(end.fd);
    tt_listener_close(listener);
}

static void test_connections_that_say_nothing_more(void **state)
{
    (void)state;
    struct tt_listener *listener = api_listen(&(struct tt_options){.session_timeout_us = 50 * MS});
    const int fd = api_connect(tt_listener_address(listener));
    assert_int_equal(send(fd, "12345678", 8, MSG_NOSIGNAL), 8);
    assert_int_equal(read_to_the_end(fd), 0);
    assert_int_equal(api_stats(listener).idle_ended, 1);
    assert_int_equal(api_stats(listener).handshakes_expired, 0);
    close(fd);
    tt_listener_close(listener);
}

static void test_packets_of_no_session(void **state)
{
    (void)state;
    struct tt_listener *listener = api_listen(NULL);
    uint8_t wire[8 + 3 * (2 + 24)] = "12345678";
    for (size_t i = 0; i < 3; i++)
        wire[8 + i * 26 + 1] = 24; /* packets of 24 zeroes */
    const int fd = api_connect(tt_listener_address(listener));
    assert_int_equal(send(fd, wire, sizeof wire, MSG_NOSIGNAL), sizeof wire);
    API_WAIT_FOR(listener, packets_stray, 3);
    assert_int_equal(api_stats(listener).sessions_begun, 0);
    close(fd);
    tt_listener_close(listener);
}

/* --- sessions --- */

static void test_sessions_at_once(void **state)
{
    (void)state;
    struct tt_listener *listener = api_listen(&(struct tt_options){.max_sessions = 2});
    struct tt_session *clients[3], *servers[2];
    struct tt_stream *st;
    for (unsigned i = 0; i < 2; i++) {
        clients[i] = api_dial_and_speak(listener, &hasty, &st);
        assert_int_equal(tt_listener_accept(listener, &servers[i]), TT_OK);
    }
    clients[2] = api_dial_and_speak(listener, &hasty, &st);
    API_WAIT_FOR(listener, sessions_refused, 1);
    assert_int_equal(api_stats(listener).sessions_now, 2);
    assert_int_equal(api_stats(listener).sessions_begun, 2);
    /* Those who were there first do not notice. */
    struct api_pair p = {listener, clients[0], servers[0]};
    struct tt_stream *c, *s;
    assert_int_equal(tt_session_accept_stream(servers[0], &st), TT_OK);
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 10000, 1), TT_OK);
    assert_int_equal(api_read(s, 10000, 1), TT_OK);
    assert_int_equal(tt_session_close(clients[2]), TT_E_TIMEOUT); /* nobody took its words */
    for (unsigned i = 0; i < 2; i++) {
        (void)tt_session_close(clients[i]);
        (void)tt_session_close(servers[i]);
    }
    tt_listener_close(listener);
}

/* Their IDs are remembered, but they keep nobody out. */
static void test_sessions_that_are_over_do_not_count(void **state)
{
    (void)state;
    struct tt_listener *listener = api_listen(&(struct tt_options){.max_sessions = 2});
    for (unsigned i = 0; i < 20; i++) {
        struct tt_session *server;
        struct tt_stream *st;
        struct tt_session *client = api_dial_and_speak(listener, &hasty, &st);
        assert_int_equal(tt_listener_accept(listener, &server), TT_OK);
        (void)tt_session_close(client);
        (void)tt_session_close(server);
    }
    assert_int_equal(api_stats(listener).sessions_begun, 20);
    assert_int_equal(api_stats(listener).sessions_refused, 0);
    tt_listener_close(listener);
}

static void test_sessions_that_wait_to_be_accepted(void **state)
{
    (void)state;
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.accept_backlog = 2, .linger_us = 20 * MS});
    struct tt_session *clients[3], *servers[3];
    struct tt_stream *streams[3];
    for (unsigned i = 0; i < 2; i++) {
        clients[i] = api_dial_and_speak(listener, &hasty, &streams[i]);
        API_WAIT_FOR(listener, sessions_begun, i + 1);
    }
    clients[2] = api_dial_and_speak(listener, &hasty, &streams[2]);
    API_WAIT_FOR(listener, sessions_refused, 1);
    assert_int_equal(api_stats(listener).sessions_begun, 2);
    /* It repeats itself, and is let in when there is room. */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tt_listener_accept(listener, &servers[i]), TT_OK);
    assert_int_equal(api_stats(listener).sessions_begun, 3);
    assert_string_equal(tt_session_id(servers[2]), tt_session_id(clients[2]));
    for (unsigned i = 0; i < 3; i++) {
        (void)tt_session_close(clients[i]);
        (void)tt_session_close(servers[i]);
    }
    tt_listener_close(listener);
}

/* K-39: a client that has lost its memory begins anew under its old ID. What the slab that both lie
 * in is charged for must not be remembered with the first of them.
 */
static void test_two_conversations_in_one_breath(void **state)
{
    (void)state;
    enum { PUSHES = 40, LEN = 1024, PACKET = 2 + 24 + LEN };
    static uint8_t wire[8 + (PUSHES + 1) * PACKET] = "12345678";
    struct tt_listener *listener = api_listen(NULL);
    for (uint8_t i = 0; i <= PUSHES; i++) {
        uint8_t *at = wire + 8 + (size_t)i * PACKET;
        const uint8_t conv = i < PUSHES ? 1 : 2;
        const uint8_t sn = i < PUSHES ? i : 0;
        const uint8_t header[] = {(24 + LEN) >> 8,
                                  (24 + LEN) & 0xff,
                                  conv,
                                  0,
                                  0,
                                  0,
                                  81,
                                  0,
                                  128,
                                  0, /* PUSH, window 128 */
                                  0,
                                  0,
                                  0,
                                  0,
                                  sn,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  0,
                                  LEN & 0xff,
                                  LEN >> 8};
        memcpy(at, header, sizeof header);
        at[2 + 24] = 2; /* a smux frame: version 2, NOP; the rest of zeroes is one of version 0 */
        at[2 + 24 + 1] = 3;
    }
    for (unsigned i = 0; i < 20; i++) {
        wire[7] = (uint8_t)i; /* another session */
        const int fd = api_connect(tt_listener_address(listener));
        assert_int_equal(send(fd, wire, sizeof wire, MSG_NOSIGNAL), sizeof wire);
        API_WAIT_FOR(listener, sessions_replaced, i + 1);
        close(fd);
    }
    tt_listener_close(listener);
}

/* --- streams --- */

static void test_streams_at_once(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c[3], *s[3], *more;
    int err;
    api_open(&p, &(struct tt_options){.max_streams = 3}, NULL);
    for (unsigned i = 0; i < 3; i++) {
        while ((err = tt_session_open_stream(p.client, &c[i])) == TT_E_FULL)
            continue; /* the one that api_open closed may still be on its way out */
        assert_int_equal(err, TT_OK);
        assert_int_equal(tt_session_accept_stream(p.server, &s[i]), TT_OK);
    }
    assert_int_equal(tt_session_open_stream(p.client, &more), TT_E_FULL);
    tt_stream_close(c[1]);
    tt_stream_close(s[1]);
    while ((err = tt_session_open_stream(p.client, &c[1])) == TT_E_FULL)
        continue; /* until the last of it was acknowledged */
    assert_int_equal(err, TT_OK);
    assert_int_equal(tt_session_accept_stream(p.server, &s[1]), TT_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(api_write(c[i], 1000, i), TT_OK);
        assert_int_equal(api_read(s[i], 1000, i), TT_OK);
        tt_stream_close(c[i]);
        tt_stream_close(s[i]);
    }
    api_close(&p);
}

static void test_a_client_that_opens_more_streams_than_it_may(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    int err;
    api_open(&p, &(struct tt_options){.linger_us = 20 * MS},
             &(struct tt_options){.max_streams = 3, .linger_us = 20 * MS});
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(tt_session_open_stream(p.client, &c), TT_OK);
    while ((err = tt_session_accept_stream(p.server, &s)) == TT_OK)
        continue;
    assert_int_equal(err, TT_E_PROTO);
    assert_int_equal(tt_session_close(p.server), TT_E_PROTO);
    (void)tt_session_close(p.client);
    tt_listener_close(p.listener);
}

/* --- memory --- */

static void test_little_memory_for_all_sessions(void **state)
{
    (void)state;
    struct api_pair p;
    struct api_thread writers[4], readers[4];
    struct api_job write[4], read[4];
    struct tt_stream *c[4], *s[4];
    const struct tt_options modest = {.max_buffer_bytes = MIB};
    api_open(&p, &modest, &modest);
    for (unsigned i = 0; i < 4; i++) {
        api_open_stream(&p, &c[i], &s[i]);
        write[i] = (struct api_job){c[i], 2 * MIB, i};
        read[i] = (struct api_job){s[i], 2 * MIB, i};
        api_start(&writers[i], api_job_write_patiently, &write[i]);
        api_start(&readers[i], api_job_read_to_end, &read[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(api_join(&writers[i]), TT_OK);
        assert_int_equal(api_join(&readers[i]), TT_E_END);
        assert_true(api_stats(p.listener).buffer_bytes <= MIB);
    }
    for (unsigned i = 0; i < 4; i++) {
        tt_stream_close(c[i]);
        tt_stream_close(s[i]);
    }
    api_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_at_once),
        cmocka_unit_test(test_connections_that_do_not_say_who_they_are),
        cmocka_unit_test(test_a_connection_that_tells_its_id_byte_by_byte),
        cmocka_unit_test(test_connections_that_say_nothing_more),
        cmocka_unit_test(test_packets_of_no_session),
        cmocka_unit_test(test_sessions_at_once),
        cmocka_unit_test(test_sessions_that_are_over_do_not_count),
        cmocka_unit_test(test_sessions_that_wait_to_be_accepted),
        cmocka_unit_test(test_two_conversations_in_one_breath),
        cmocka_unit_test(test_streams_at_once),
        cmocka_unit_test(test_a_client_that_opens_more_streams_than_it_may),
        cmocka_unit_test(test_little_memory_for_all_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
