/* Sealed sessions on a listener with several workers: they are spread and found again, clients are
 * reviewed wherever they are, limits hold for all workers together, and a stranger cannot tell from
 * anything where his connection waits.
 */
#include "api.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS      UINT64_C(1000) /* microseconds */
#define WORKERS 3u
#define CLIENTS 48u

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

/* One for all sessions of a test's clients. */
static struct tt_loop *client_loop;

static int start_client_loop(void **state)
{
    (void)state;
    return tt_loop_new(NULL, &client_loop) || tt_loop_start(client_loop);
}

static int free_client_loop(void **state)
{
    (void)state;
    tt_loop_free(client_loop);
    return 0;
}

/* --- a server that echoes, and knows its clients --- */

struct seen {
    pthread_t thread; /* of its begin */
    struct tt_session *session;
    _Atomic unsigned moved; /* callbacks on another thread */
};

struct server {
    struct tt_listener *listener;
    struct keys keys;
    struct keys clients[CLIENTS];
    _Atomic unsigned begun;
    _Atomic bool evens_alone; /* of the clients above */
    _Atomic bool review;      /* the next callback asks for it */
    struct seen seen[CLIENTS];
};

static bool is_welcome(void *ctx, const uint8_t client_key[TT_KEY_BYTES])
{
    const struct server *s = ctx;
    for (unsigned i = 0; i < CLIENTS; i += s->evens_alone ? 2 : 1)
        if (memcmp(s->clients[i].public_key, client_key, TT_KEY_BYTES) == 0)
            return true;
    return false;
}

static struct server server;

static void echo_on(void *ctx, struct tt_stream *st)
{
    struct seen *s = ctx;
    char buf[1000];
    size_t n, given;
    s->moved += !pthread_equal(s->thread, pthread_self());
    if (atomic_exchange(&server.review, false))
        tt_listener_review_clients(server.listener);
    while (tt_stream_try_read(st, buf, sizeof buf, &n) == TT_OK)
        if (tt_stream_try_write(st, buf, n, &given) || given < n)
            tt_stream_reset(st, 0); /* the test waits for each echo: there is room */
}

static void stream_opened(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    static const struct tt_stream_callbacks callbacks = {.readable = echo_on};
    (void)session;
    tt_stream_set_callbacks(st, &callbacks, ctx);
}

static void session_begun(void *ctx, struct tt_session *session)
{
    static const struct tt_session_callbacks callbacks = {.stream_opened = stream_opened};
    struct seen *s = &server.seen[server.begun++];
    (void)ctx;
    s->session = session;
    s->thread = pthread_self();
    tt_session_set_callbacks(session, &callbacks, s);
}

static void serve(void)
{
    memset(&server, 0, sizeof server);
    server.keys = make_keys();
    for (unsigned i = 0; i < CLIENTS; i++)
        server.clients[i] = make_keys();
    uint8_t key[TT_KEY_BYTES];
    memcpy(key, server.keys.private_key, sizeof key);
    server.listener = api_listen(&(struct tt_options){.workers = WORKERS,
                                                      .private_key = key,
                                                      .welcome = is_welcome,
                                                      .welcome_ctx = &server,
                                                      .one_origin = true});
    memset(key, 0, sizeof key); /* it has its own by now */
    tt_listener_set_callback(server.listener, session_begun, NULL);
}

static unsigned threads_that_had_sessions(void)
{
    unsigned different = 0;
    for (unsigned i = 0; i < server.begun; i++) {
        bool known = false;
        for (unsigned j = 0; j < i && !known; j++)
            known = pthread_equal(server.seen[i].thread, server.seen[j].thread);
        different += !known;
    }
    return different;
}

static void stop_serving(void)
{
    tt_listener_set_callback(server.listener, NULL, NULL);
    for (unsigned i = 0; i < server.begun; i++)
        (void)tt_session_close(server.seen[i].session);
    tt_listener_close(server.listener);
}

struct client {
    struct tt_session *session;
    struct tt_stream *stream;
};

/* Each connection carries 4000 bytes; the next one has to find the session, and prove itself. */
static void dial_all(struct client *clients)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct tt_options o = {.loop = client_loop,
                                     .server_key = server.keys.public_key,
                                     .private_key = server.clients[i].private_key,
                                     .linger_us = 30 * MS,
                                     .carrier_max_bytes = 4000};
        clients[i].session = api_dial_and_speak(server.listener, &o, &clients[i].stream);
    }
}

static void ping(struct tt_stream *st, unsigned seed)
{
    assert_int_equal(api_write(st, 500, seed), TT_OK);
    assert_int_equal(api_read(st, 500, seed), TT_OK);
}

static void close_all(struct client *clients)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        (void)tt_session_close(clients[i].session);
}

static void test_sessions_are_spread_and_found_again(void **state)
{
    (void)state;
    struct client clients[CLIENTS];
    serve();
    dial_all(clients);
    for (unsigned round = 0; round < 20; round++)
        for (unsigned i = 0; i < CLIENTS; i++)
            ping(clients[i].stream, i);
    const struct tt_listener_stats stats = api_stats(server.listener);
    assert_int_equal(stats.sessions_begun, CLIENTS);
    assert_int_equal(stats.sessions_now, CLIENTS);
    assert_true(stats.handshakes >= CLIENTS);
    assert_int_equal(stats.handshakes_opened, CLIENTS);
    assert_int_equal(stats.refused_not_opened + stats.refused_replayed + stats.refused_rate, 0);
    assert_int_equal(stats.connections_muted, 0);
    assert_int_equal(stats.packets_stray, 0);
    assert_true(stats.connections >= 3 * CLIENTS);
    assert_int_equal(threads_that_had_sessions(), WORKERS); /* by chance not: 1 in 94,000,000 */
    for (unsigned i = 0; i < CLIENTS; i++) {
        uint8_t key[TT_KEY_BYTES];
        assert_int_equal(server.seen[i].moved, 0);
        assert_int_equal(tt_session_client_key(server.seen[i].session, key), TT_OK);
        assert_true(is_welcome(&server, key));
    }
    close_all(clients);
    stop_serving();
}

static void expect_half_of_them(struct client *clients)
{
    API_WAIT_FOR(server.listener, sessions_turned_out, CLIENTS / 2);
    assert_int_equal(api_stats(server.listener).sessions_turned_out, CLIENTS / 2);
    for (unsigned i = 0; i < CLIENTS; i += 2)
        ping(clients[i].stream, i);
    close_all(clients);
    stop_serving();
}

/* M-18, from a thread of the program: it is done when the call returns. */
static void test_clients_are_reviewed_at_all_workers(void **state)
{
    (void)state;
    struct client clients[CLIENTS];
    serve();
    dial_all(clients);
    tt_listener_review_clients(server.listener);
    assert_int_equal(api_stats(server.listener).sessions_turned_out, 0);
    server.evens_alone = true;
    tt_listener_review_clients(server.listener);
    assert_int_equal(api_stats(server.listener).sessions_turned_out, CLIENTS / 2);
    expect_half_of_them(clients);
}

/* In a callback of one worker the others are told. */
static void test_a_callback_lets_clients_be_reviewed(void **state)
{
    (void)state;
    struct client clients[CLIENTS];
    serve();
    dial_all(clients);
    server.evens_alone = true;
    server.review = true;
    ping(clients[0].stream, 0);
    expect_half_of_them(clients);
}

/* --- limits --- */

/* Clients whose answers do not arrive: they dial a door of ours, and what they say there is said
 * again to the server, which hears from none of them a second time.
 */
struct cut_off {
    struct tt_session *session;
    int from_client, to_server;
};

static int tcp_listener(char *address, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(address, size, "127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static void begin_cut_off(struct cut_off *c, int door, const char *door_address,
                          const uint8_t *server_key, struct tt_listener *listener)
{
    const struct tt_options o = {.loop = client_loop, .server_key = server_key};
    uint8_t bytes[2000];
    struct tt_error_text why;
    assert_int_equal(tt_session_begin(door_address, &o, NULL, NULL, &c->session, &why), TT_OK);
    c->from_client = accept(door, NULL, NULL);
    assert_true(c->from_client >= 0);
    (void)poll(NULL, 0, 50); /* its ID and its INIT leave together, or nearly */
    const ssize_t len = read(c->from_client, bytes, sizeof bytes);
    assert_true(len > 10);
    c->to_server = api_connect(tt_listener_address(listener));
    say(c->to_server, bytes, (size_t)len);
}

static uint64_t half_open_and_refused(struct tt_listener *listener)
{
    const struct tt_listener_stats stats = api_stats(listener);
    return stats.handshakes_opened + stats.refused_full;
}

struct handshakes {
    struct tt_listener *listener;
    uint64_t wanted;
};

static bool are_dealt_with(void *arg)
{
    const struct handshakes *h = arg;
    return half_open_and_refused(h->listener) >= h->wanted;
}

static void test_half_open_sessions_at_once(void **state)
{
    (void)state;
    const struct keys keys = make_keys();
    struct tt_listener *listener = api_listen(&(struct tt_options){.workers = WORKERS,
                                                                   .private_key = keys.private_key,
                                                                   .max_half_open = 3,
                                                                   .inits_per_second = 100});
    struct cut_off all[12];
    char address[64];
    const int door = tcp_listener(address, sizeof address);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        begin_cut_off(&all[i], door, address, keys.public_key, listener);
    struct handshakes h = {listener, ARRAY_LEN(all)};
    api_wait_for(are_dealt_with, &h);
    assert_int_equal(api_stats(listener).handshakes_opened, 3);
    assert_int_equal(api_stats(listener).refused_full, ARRAY_LEN(all) - 3);
    assert_int_equal(api_stats(listener).sessions_begun, 0);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        (void)tt_session_close(all[i].session);
        close(all[i].from_client);
        close(all[i].to_server);
    }
    close(door);
    tt_listener_close(listener);
}

/* --- strangers, and time --- */

/* The linker gives us the library's calls of clock_gettime. Its clock goes on by itself, and leaps.
 */
static _Atomic uint64_t leapt_s;

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    const int err = __real_clock_gettime(clock, t);
    if (clock == CLOCK_BOOTTIME)
        t->tv_sec += (time_t)leapt_s;
    return err;
}

#define STRANGERS 48u

struct strangers {
    struct tt_listener *listener;
    int fds[STRANGERS];
    bool gone[STRANGERS];
};

/* What somebody may say who has no business here. */
static void come(struct strangers *s, unsigned i)
{
    char words[300] = "number  ";
    const size_t lens[] = {0, 7, 8, 10, 100, sizeof words};
    words[7] = (char)i;
    words[8] = i % 2 ? '\x7f' : '\0'; /* a longer packet than comes, or one of a few bytes */
    words[9] = 40;
    s->fds[i] = api_connect(tt_listener_address(s->listener));
    const size_t len = lens[i % ARRAY_LEN(lens)];
    if (len > 0)
        say(s->fds[i], words, len);
}

/* How many of the first so many have been hung up on. Nobody may be told anything, nor hear by a
 * reset that what he said was not read.
 */
static unsigned gone(struct strangers *s, unsigned first, unsigned end)
{
    unsigned n = 0;
    for (unsigned i = first; i < end; i++) {
        char byte;
        const ssize_t len = s->gone[i] ? 0 : recv(s->fds[i], &byte, 1, MSG_DONTWAIT);
        assert_true(len == 0 || (len < 0 && errno == EAGAIN));
        s->gone[i] = len == 0;
        n += s->gone[i];
    }
    return n;
}

#define OLD   (STRANGERS / 2) /* they come first ... */
#define LATE  (STRANGERS / 4) /* ... and of them, these are slow to tell an ID */
#define LATER 26u             /* seconds, for the others */

static bool the_old_are_gone(void *arg)
{
    return gone(arg, 0, OLD) == OLD;
}

static bool all_are_gone(void *arg)
{
    return gone(arg, 0, STRANGERS) == STRANGERS;
}

static void ignore(void *ctx, struct tt_session *session)
{
    (void)ctx;
    (void)tt_session_close(session);
}

/* With a callback set, the loops wake up for this, and look at their clock. */
static void leap(struct strangers *s, uint64_t seconds)
{
    leapt_s += seconds;
    tt_listener_review_clients(s->listener);
    (void)poll(NULL, 0, 10);
}

static void come_all(struct strangers *s)
{
    for (unsigned i = 0; i < LATE; i++)
        s->fds[i] = api_connect(tt_listener_address(s->listener));
    for (unsigned i = LATE; i < OLD; i++)
        come(s, i);
    API_WAIT_FOR(s->listener, connections, OLD);
    leap(s, LATER);
    for (unsigned i = OLD; i < STRANGERS; i++)
        come(s, i);
    API_WAIT_FOR(s->listener, connections, STRANGERS);
    for (unsigned i = 0; i < LATE; i++)
        say(s->fds[i], "slow words, and no more", 8 + i);
    (void)poll(NULL, 0, 100);
}

/* M-6: each is left alone for the same time, from accept on, at whichever worker it has come to
 * wait and behind whom.
 */
static void test_strangers_cannot_tell_where_they_wait(void **state)
{
    (void)state;
    const struct keys keys = make_keys();
    struct strangers s = {.listener = api_listen(&(struct tt_options){
                              .workers = WORKERS, .private_key = keys.private_key})};
    unsigned seconds = LATER;
    tt_listener_set_callback(s.listener, ignore, NULL);
    come_all(&s);
    assert_int_equal(gone(&s, 0, STRANGERS), 0);
    assert_int_equal(api_stats(s.listener).connections_now, STRANGERS);
    assert_int_equal(api_stats(s.listener).connections_unproven_now, STRANGERS);
    while (gone(&s, 0, STRANGERS) == 0 && seconds < 121) {
        leap(&s, 1);
        seconds++;
    }
    assert_true(seconds >= 29 && seconds <= 120);
    api_wait_for(the_old_are_gone, &s); /* within the time that it took them to come */
    assert_int_equal(gone(&s, OLD, STRANGERS), 0);
    assert_int_equal(api_stats(s.listener).handshakes_expired, OLD);
    leap(&s, LATER - 10);
    assert_int_equal(gone(&s, OLD, STRANGERS), 0);
    leap(&s, 10);
    api_wait_for(all_are_gone, &s);
    const struct tt_listener_stats stats = api_stats(s.listener);
    assert_int_equal(stats.handshakes_expired, STRANGERS);
    assert_int_equal(stats.connections_now + stats.connections_unproven_now, 0);
    assert_int_equal(stats.sessions_begun, 0);
    for (unsigned i = 0; i < STRANGERS; i++)
        close(s.fds[i]);
    tt_listener_close(s.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_are_spread_and_found_again),
        cmocka_unit_test(test_clients_are_reviewed_at_all_workers),
        cmocka_unit_test(test_a_callback_lets_clients_be_reviewed),
        cmocka_unit_test(test_half_open_sessions_at_once),
        cmocka_unit_test(test_strangers_cannot_tell_where_they_wait),
    };
    return cmocka_run_group_tests(tests, start_client_loop, free_client_loop);
}
