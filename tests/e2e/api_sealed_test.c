/* Sealed sessions, as a program uses them: with the right keys they work, with others nothing does.
 */
#include "api.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define MS     UINT64_C(1000) /* microseconds */
#define SECOND (1000 * MS)

struct keys {
    uint8_t private_key[TT_KEY_BYTES], public_key[TT_KEY_BYTES];
};

static struct keys make_keys(void)
{
    struct keys k;
    assert_int_equal(tt_key_generate(k.private_key), TT_OK);
    assert_int_equal(tt_key_public(k.private_key, k.public_key), TT_OK);
    return k;
}

static struct tt_session_stats session_stats(struct tt_session *s)
{
    struct tt_session_stats stats;
    tt_session_get_stats(s, &stats);
    return stats;
}

static struct tt_listener_stats listener_stats(struct tt_listener *l)
{
    struct tt_listener_stats stats;
    tt_listener_get_stats(l, &stats);
    return stats;
}

static void echo_through(struct api_pair *p, uint64_t bytes)
{
    struct tt_stream *client, *server;
    api_open_stream(p, &client, &server);
    struct api_job write = {.stream = client, .len = bytes, .seed = 1};
    struct api_job echo = {.stream = server};
    struct api_job read = {.stream = client, .len = bytes, .seed = 1};
    struct api_thread writer, echoer;
    api_start(&writer, api_job_write_and_shut, &write);
    api_start(&echoer, api_job_echo, &echo);
    assert_int_equal(api_job_read_to_end(&read), TT_E_END);
    assert_int_equal(api_join(&writer), TT_OK);
    assert_int_equal(api_join(&echoer), TT_OK);
    tt_stream_close(client);
    tt_stream_close(server);
}

static void test_bytes_go_through(void **state)
{
    (void)state;
    const struct keys server = make_keys();
    struct api_pair p;
    api_open(&p, &(struct tt_options){.server_key = server.public_key},
             &(struct tt_options){.private_key = server.private_key});
    echo_through(&p, 20 * MIB);
    const struct tt_session_stats stats = session_stats(p.client);
    assert_true(stats.sealed && stats.confirmed);
    assert_int_equal(stats.handshakes, 1);
    assert_int_equal(stats.packets_not_opened, 0);
    uint8_t key[TT_KEY_BYTES];
    assert_int_equal(tt_session_client_key(p.server, key), TT_E_INVAL);
    api_close(&p);
}

/* --- who may come in --- */

static bool is_this_one(void *ctx, const uint8_t client_key[TT_KEY_BYTES])
{
    return memcmp(ctx, client_key, TT_KEY_BYTES) == 0;
}

static void test_the_server_knows_its_client(void **state)
{
    (void)state;
    const struct keys server = make_keys(), client = make_keys();
    struct api_pair p;
    uint8_t key[TT_KEY_BYTES];
    api_open(
        &p,
        &(struct tt_options){.server_key = server.public_key, .private_key = client.private_key},
        &(struct tt_options){.private_key = server.private_key,
                             .welcome = is_this_one,
                             .welcome_ctx = (void *)(uintptr_t)client.public_key});
    echo_through(&p, MIB);
    assert_int_equal(tt_session_client_key(p.server, key), TT_OK);
    assert_memory_equal(key, client.public_key, sizeof key);
    api_close(&p);
}

/* Dials with these options a server with those, and expects to come to nothing. */
static struct tt_listener_stats fail_to_dial(const struct tt_options *client,
                                             const struct tt_options *server)
{
    struct tt_listener *listener;
    struct tt_session *session;
    struct tt_error_text why;
    assert_int_equal(tt_listen("127.0.0.1:0", server, &listener, &why), TT_OK);
    assert_int_equal(tt_dial(tt_listener_address(listener), client, &session, &why),
                     TT_E_UNREACHABLE);
    assert_null(session);
    assert_non_null(strstr(why.text, "no answer"));
    const struct tt_listener_stats stats = listener_stats(listener);
    assert_int_equal(stats.sessions_begun, 0);
    tt_listener_close(listener);
    return stats;
}

static void test_the_wrong_server_key(void **state)
{
    (void)state;
    const struct keys server = make_keys(), other = make_keys();
    const struct tt_listener_stats stats = fail_to_dial(
        &(struct tt_options){.server_key = other.public_key, .dial_timeout_us = 6 * SECOND},
        &(struct tt_options){.private_key = server.private_key});
    assert_true(stats.refused_not_opened == 2);
    assert_int_equal(stats.handshakes_opened, 0);
}

static void test_a_client_that_is_not_welcome(void **state)
{
    (void)state;
    const struct keys server = make_keys(), listed = make_keys(), other = make_keys();
    const struct tt_options by_list = {.private_key = server.private_key,
                                       .welcome = is_this_one,
                                       .welcome_ctx = (void *)(uintptr_t)listed.public_key};
    struct tt_listener_stats stats =
        fail_to_dial(&(struct tt_options){.server_key = server.public_key,
                                          .private_key = other.private_key,
                                          .dial_timeout_us = SECOND},
                     &by_list);
    assert_true(stats.refused_not_welcome == 1);
    stats = fail_to_dial(
        &(struct tt_options){.server_key = server.public_key, .dial_timeout_us = SECOND}, &by_list);
    assert_true(stats.refused_not_welcome == 1);
}

struct list {
    const uint8_t *key;
    _Atomic bool open;
};

static bool is_listed(void *ctx, const uint8_t client_key[TT_KEY_BYTES])
{
    const struct list *l = ctx;
    return l->open && memcmp(l->key, client_key, TT_KEY_BYTES) == 0;
}

/* M-18 */
static void test_a_client_that_is_welcome_no_more(void **state)
{
    (void)state;
    const struct keys server = make_keys(), client = make_keys();
    struct list list = {.key = client.public_key, .open = true};
    struct tt_stream *at_client, *at_server;
    struct api_pair p;
    size_t len;
    uint8_t byte;
    api_open(
        &p,
        &(struct tt_options){.server_key = server.public_key, .private_key = client.private_key},
        &(struct tt_options){
            .private_key = server.private_key, .welcome = is_listed, .welcome_ctx = &list});
    api_open_stream(&p, &at_client, &at_server);
    tt_listener_review_clients(p.listener);
    assert_int_equal(listener_stats(p.listener).sessions_turned_out, 0);
    list.open = false;
    tt_listener_review_clients(p.listener);
    assert_int_equal(listener_stats(p.listener).sessions_turned_out, 1);
    assert_int_equal(tt_stream_read(at_server, &byte, 1, &len), TT_E_CLOSED);
    assert_int_equal(tt_stream_read(at_client, &byte, 1, &len), TT_E_CLOSED); /* it is told */
    tt_listener_review_clients(p.listener);                                   /* once is enough */
    assert_int_equal(listener_stats(p.listener).sessions_turned_out, 1);
    tt_stream_close(at_server);
    tt_stream_close(at_client);
    assert_int_equal(tt_session_close(p.server), TT_OK); /* nothing of ours was lost */
    (void)tt_session_close(p.client);
    tt_listener_close(p.listener);
}

/* --- strangers --- */

/* Whether somebody says something, or hangs up, within that time. */
static bool is_silent(int fd, int for_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, for_ms) == 0;
}

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(write(fd, bytes, len), len);
}

static void test_nobody_is_told_anything(void **state)
{
    (void)state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
    const struct keys server = make_keys();
    struct tt_listener *listener;
    uint8_t bytes[3000];
    assert_int_equal(tt_listen("127.0.0.1:0",
                               &(struct tt_options){.private_key = server.private_key}, &listener,
                               NULL),
                     TT_OK);
    api_pattern(bytes, sizeof bytes, 0, 1);
    const int quiet = api_connect(tt_listener_address(listener));
    const int web = api_connect(tt_listener_address(listener));
    const int short_id = api_connect(tt_listener_address(listener));
    const int garbage = api_connect(tt_listener_address(listener));
    const int init = api_connect(tt_listener_address(listener));
    say(web, http, sizeof http - 1);
    say(short_id, "1234", 4);
    say(garbage, bytes, sizeof bytes);
    say(init, "12345678\0\x40\x01\x01\x01\0", 14);
    say(init, bytes, 60);
    assert_true(is_silent(quiet, 100));
    assert_true(is_silent(web, 50));
    assert_true(is_silent(short_id, 50));
    assert_true(is_silent(garbage, 50));
    assert_true(is_silent(init, 50));
    const struct tt_listener_stats stats = listener_stats(listener);
    assert_int_equal(stats.connections_now, 5);
    assert_int_equal(stats.sessions_begun, 0);
    assert_int_equal(stats.refused_not_opened, 1);
    assert_true(stats.connections_muted >= 1);
    close(quiet);
    close(web);
    close(short_id);
    close(garbage);
    close(init);
    tt_listener_close(listener);
}

static void test_a_plain_client_gets_no_answer(void **state)
{
    (void)state;
    const struct keys server = make_keys();
    struct tt_listener *listener;
    struct tt_session *session;
    struct tt_stream *st;
    assert_int_equal(tt_listen("127.0.0.1:0",
                               &(struct tt_options){.private_key = server.private_key}, &listener,
                               NULL),
                     TT_OK);
    assert_int_equal(tt_dial(tt_listener_address(listener),
                             &(struct tt_options){.linger_us = 100 * MS}, &session, NULL),
                     TT_OK);
    assert_int_equal(tt_session_open_stream(session, &st), TT_OK);
    assert_int_equal(tt_stream_write(st, "hello", 5), TT_OK);
    tt_stream_close(st);
    assert_int_equal(tt_session_close(session), TT_E_TIMEOUT);
    assert_int_equal(listener_stats(listener).sessions_begun, 0);
    tt_listener_close(listener);
}

/* --- limits --- */

static void test_a_full_server_says_so(void **state)
{
    (void)state;
    const struct keys server = make_keys();
    const struct tt_options client = {.server_key = server.public_key};
    struct tt_session *second;
    struct tt_error_text why;
    struct api_pair p;
    api_open(&p, &client,
             &(struct tt_options){.private_key = server.private_key, .max_sessions = 1});
    struct tt_loop *loop;
    assert_int_equal(tt_loop_new(NULL, &loop), TT_OK);
    assert_int_equal(tt_loop_start(loop), TT_OK);
    struct tt_options begin = client;
    begin.loop = loop;
    assert_int_equal(
        tt_session_begin(tt_listener_address(p.listener), &begin, NULL, NULL, &second, &why),
        TT_OK);
    while (session_stats(second).server_full == 0)
        (void)poll(NULL, 0, 5);
    assert_true(listener_stats(p.listener).refused_full >= 1);
    assert_false(session_stats(second).confirmed);
    echo_through(&p, MIB); /* those inside do not notice */
    (void)tt_session_close(second);
    tt_loop_free(loop);
    api_close(&p);
}

static void test_so_many_handshakes_a_second(void **state)
{
    (void)state;
    const struct keys server = make_keys();
    const struct tt_options o = {.private_key = server.private_key, .inits_per_second = 2};
    struct tt_listener *listener;
    assert_int_equal(tt_listen("127.0.0.1:0", &o, &listener, NULL), TT_OK);
    for (int i = 0; i < 20; i++) {
        const int fd = api_connect(tt_listener_address(listener));
        uint8_t bytes[60] = {0};
        say(fd, "12345678\0\x40\x01\x01\x01\0", 14);
        say(fd, bytes, sizeof bytes);
        while (listener_stats(listener).refused_not_opened + listener_stats(listener).refused_rate <
               (uint64_t)i + 1)
            (void)poll(NULL, 0, 1);
        close(fd);
    }
    assert_true(listener_stats(listener).refused_rate >= 10); /* of 20, in very few seconds */
    tt_listener_close(listener);
}

/* --- options that make no sense --- */

static void test_options(void **state)
{
    (void)state;
    const struct keys k = make_keys();
    const struct tt_options wrong[] = {
        {.server_key = k.public_key, .legacy = true},
        {.server_key = k.public_key, .max_packet = 1400},
        {.private_key = k.private_key},
    };
    struct tt_session *session;
    struct tt_listener *listener;
    struct tt_error_text why;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(tt_dial("127.0.0.1:1", &wrong[i], &session, &why), TT_E_INVAL);
        assert_true(why.text[0] != '\0');
    }
    assert_int_equal(tt_listen("127.0.0.1:0",
                               &(struct tt_options){.private_key = k.private_key, .legacy = true},
                               &listener, &why),
                     TT_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_through),
        cmocka_unit_test(test_the_server_knows_its_client),
        cmocka_unit_test(test_the_wrong_server_key),
        cmocka_unit_test(test_a_client_that_is_not_welcome),
        cmocka_unit_test(test_a_client_that_is_welcome_no_more),
        cmocka_unit_test(test_nobody_is_told_anything),
        cmocka_unit_test(test_a_plain_client_gets_no_answer),
        cmocka_unit_test(test_a_full_server_says_so),
        cmocka_unit_test(test_so_many_handshakes_a_second),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
