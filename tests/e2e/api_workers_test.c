/* A listener with several workers: sessions are spread over them, each stays with its own whatever
 * its connections do, and what is said of a listener holds for all workers together.
 */
#include "api.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS      UINT64_C(1000) /* microseconds */
#define WORKERS 4u

/* One for all sessions of a test's clients. tt_dial alone would make one for each. */
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

static struct tt_session *dial(struct tt_listener *listener, struct tt_stream **st)
{
    return api_dial_and_speak(listener, &(struct tt_options){.loop = client_loop}, st);
}

/* --- a server by callbacks that sees on which thread they come --- */

#define MOST_SESSIONS 100u

struct seen {
    struct tt_session *session;
    struct tt_stream *stream;
    pthread_t thread;       /* of its begin */
    _Atomic unsigned moved; /* callbacks on another thread */
    _Atomic unsigned calls;
};

struct server {
    struct tt_listener *listener;
    struct seen seen[MOST_SESSIONS];
    _Atomic unsigned count;
};

static void note_thread(struct seen *s)
{
    s->calls++;
    s->moved += !pthread_equal(s->thread, pthread_self());
}

static void echo_on(void *ctx, struct tt_stream *st)
{
    char buf[1000];
    size_t n, given;
    note_thread(ctx);
    while (tt_stream_try_read(st, buf, sizeof buf, &n) == TT_OK)
        if (tt_stream_try_write(st, buf, n, &given) || given < n)
            tt_stream_reset(st, 0); /* the test waits for each echo: there is room */
}

static void stream_opened(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    static const struct tt_stream_callbacks callbacks = {.readable = echo_on};
    struct seen *s = ctx;
    (void)session;
    note_thread(s);
    s->stream = st;
    tt_stream_set_callbacks(st, &callbacks, s);
}

static void session_begun(void *ctx, struct tt_session *session)
{
    static const struct tt_session_callbacks callbacks = {.stream_opened = stream_opened};
    struct server *server = ctx;
    struct seen *s = &server->seen[server->count++];
    s->session = session;
    s->thread = pthread_self();
    tt_session_set_callbacks(session, &callbacks, s);
}

static void serve(struct server *s, const struct tt_options *options)
{
    memset(s, 0, sizeof *s);
    s->listener = api_listen(options);
    tt_listener_set_callback(s->listener, session_begun, s);
}

static void stop_serving(struct server *s)
{
    tt_listener_set_callback(s->listener, NULL, NULL);
    for (unsigned i = 0; i < s->count; i++)
        (void)tt_session_close(s->seen[i].session);
    tt_listener_close(s->listener);
}

/* How many threads had sessions. */
static unsigned threads_of(const struct server *s)
{
    unsigned different = 0;
    for (unsigned i = 0; i < s->count; i++) {
        bool known = false;
        for (unsigned j = 0; j < i && !known; j++)
            known = pthread_equal(s->seen[i].thread, s->seen[j].thread);
        different += !known;
    }
    return different;
}

static void ping(struct tt_stream *st, unsigned seed)
{
    assert_int_equal(api_write(st, 500, seed), TT_OK);
    assert_int_equal(api_read(st, 500, seed), TT_OK);
}

static void test_sessions_are_spread(void **state)
{
    (void)state;
    static struct server server;
    struct tt_session *clients[64];
    struct tt_stream *streams[64];
    serve(&server, &(struct tt_options){.workers = WORKERS});
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
        clients[i] = dial(server.listener, &streams[i]);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
            ping(streams[i], i);
    const struct tt_listener_stats stats = api_stats(server.listener);
    assert_int_equal(stats.sessions_begun, 64);
    assert_int_equal(stats.sessions_now, 64);
    assert_int_equal(stats.connections, 64);
    assert_int_equal(stats.connections_now, 64);
    assert_true(stats.buffer_bytes > 0);
    assert_int_equal(server.count, 64);
    assert_int_equal(threads_of(&server), WORKERS); /* by chance not: once in 25,000,000 */
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
        assert_true(server.seen[i].calls >= 4);
        assert_int_equal(server.seen[i].moved, 0);
        assert_int_equal(tt_session_close(clients[i]), TT_OK);
    }
    stop_serving(&server);
}

/* A connection carries 4000 bytes and is then replaced: each of the next ones tells the ID again.
 */
static void test_every_connection_reaches_the_worker_of_its_session(void **state)
{
    (void)state;
    static struct server server;
    struct tt_session *clients[8];
    struct tt_stream *streams[8];
    const struct tt_options o = {.loop = client_loop, .carrier_max_bytes = 4000};
    serve(&server, &(struct tt_options){.workers = WORKERS});
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
        clients[i] = api_dial_and_speak(server.listener, &o, &streams[i]);
    for (unsigned round = 0; round < 100; round++)
        for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
            ping(streams[i], i);
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
        struct tt_session_stats stats;
        tt_session_get_stats(clients[i], &stats);
        assert_true(stats.connections >= 10);
        assert_int_equal(server.seen[i].moved, 0);
        assert_int_equal(tt_session_close(clients[i]), TT_OK);
    }
    assert_int_equal(api_stats(server.listener).sessions_begun, 8);
    assert_int_equal(api_stats(server.listener).packets_stray, 0);
    stop_serving(&server);
}

/* --- accepting, by several threads --- */

struct acceptor {
    struct tt_listener *listener;
    unsigned accepted;
};

static int accept_until_stopped(void *arg)
{
    struct acceptor *a = arg;
    struct tt_session *session;
    int err;
    while ((err = tt_listener_accept(a->listener, &session)) == TT_OK) {
        a->accepted++;
        (void)tt_session_close(session);
    }
    return err;
}

static void test_several_threads_accept_until_it_is_stopped(void **state)
{
    (void)state;
    struct tt_listener *listener = api_listen(&(struct tt_options){.workers = WORKERS});
    struct api_thread threads[3];
    struct acceptor acceptors[3];
    struct tt_session *clients[32];
    struct tt_stream *st;
    unsigned accepted = 0;
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++) {
        acceptors[i] = (struct acceptor){listener, 0};
        api_start(&threads[i], accept_until_stopped, &acceptors[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
        clients[i] = dial(listener, &st);
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) /* the server's end of each is closed */
        assert_int_equal(tt_session_accept_stream(clients[i], &st), TT_E_CLOSED);
    tt_listener_stop(listener);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(api_join(&threads[i]), TT_E_CLOSED);
        accepted += acceptors[i].accepted;
    }
    assert_int_equal(accepted, ARRAY_LEN(clients));
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
        (void)tt_session_close(clients[i]);
    tt_listener_close(listener);
}

/* --- connections that take their time --- */

/* The ID of eight bytes, and a packet that begins a session. */
#define PACKET 25u
struct words {
    uint8_t id[8], length[2], packet[PACKET];
};

static struct words words_of(unsigned n)
{
    struct words w = {.id = "number  ", .length = {0, PACKET}};
    w.id[6] = (uint8_t)n;
    w.id[7] = (uint8_t)(n >> 8);
    w.packet[4] = 81; /* PUSH, window 128, one byte */
    w.packet[6] = 128;
    w.packet[20] = 1;
    w.packet[24] = 2; /* the begin of a smux frame */
    return w;
}

static void say(int fd, const void *words, size_t len)
{
    assert_int_equal(send(fd, words, len, MSG_NOSIGNAL), len);
}

static void test_ids_that_come_in_two_parts(void **state)
{
    (void)state;
    struct tt_listener *listener = api_listen(&(struct tt_options){.workers = WORKERS});
    int fds[32];
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        const struct words w = words_of(i);
        fds[i] = api_connect(tt_listener_address(listener));
        say(fds[i], w.id, i % 8);
    }
    API_WAIT_FOR(listener, connections, ARRAY_LEN(fds));
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        const struct words w = words_of(i);
        say(fds[i], (const uint8_t *)&w + i % 8, sizeof w - i % 8);
    }
    API_WAIT_FOR(listener, sessions_begun, ARRAY_LEN(fds));
    assert_int_equal(api_stats(listener).packets_stray, 0);
    assert_int_equal(api_stats(listener).connections_now, ARRAY_LEN(fds));
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    tt_listener_close(listener);
}

static bool no_connection_is_left(void *arg)
{
    return api_stats(arg).connections_now == 0;
}

static void test_ids_that_never_come(void **state)
{
    (void)state;
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.workers = WORKERS, .handshake_timeout_us = 50 * MS});
    int fds[9];
    uint8_t byte;
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = api_connect(tt_listener_address(listener));
        say(fds[i], "1234567", i % 8);
    }
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        assert_int_equal(read(fds[i], &byte, 1), 0);
        close(fds[i]);
    }
    assert_int_equal(api_stats(listener).handshakes_expired, ARRAY_LEN(fds));
    assert_int_equal(api_stats(listener).connections_now, 0);
    /* Those that end by themselves in the middle of it are no more than gone. */
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        const int fd = api_connect(tt_listener_address(listener));
        say(fd, "1234567", i % 8);
        close(fd);
    }
    API_WAIT_FOR(listener, connections, 2 * ARRAY_LEN(fds));
    api_wait_for(no_connection_is_left, listener);
    tt_listener_close(listener);
}

/* --- limits, of all workers together --- */

static void test_connections_at_once(void **state)
{
    (void)state;
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.workers = WORKERS, .max_connections = 10});
    int fds[15];
    uint8_t byte;
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        const struct words w = words_of(i);
        fds[i] = api_connect(tt_listener_address(listener));
        if (i < 10)
            say(fds[i], &w, i % 2 ? sizeof w : 7); /* half of them have gone to their workers */
        else
            assert_true(read(fds[i], &byte, 1) <= 0);
    }
    API_WAIT_FOR(listener, sessions_begun, 5);
    API_WAIT_FOR(listener, connections_refused, 5);
    assert_int_equal(api_stats(listener).connections, 10);
    assert_int_equal(api_stats(listener).connections_now, 10);
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    api_wait_for(no_connection_is_left, listener); /* each place was given back once */
    tt_listener_close(listener);
}

static void test_sessions_at_once(void **state)
{
    (void)state;
    const struct tt_options hasty = {.loop = client_loop, .linger_us = 20 * MS};
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.workers = WORKERS, .max_sessions = 10});
    struct tt_session *clients[15], *server;
    struct tt_stream *st;
    for (unsigned i = 0; i < 10; i++) {
        clients[i] = api_dial_and_speak(listener, &hasty, &st);
        API_WAIT_FOR(listener, sessions_begun, i + 1);
    }
    for (unsigned i = 10; i < 15; i++) {
        clients[i] = api_dial_and_speak(listener, &hasty, &st);
        API_WAIT_FOR(listener, sessions_refused, i + 1 - 10);
    }
    assert_int_equal(api_stats(listener).sessions_now, 10);
    assert_int_equal(api_stats(listener).sessions_begun, 10);
    for (unsigned i = 0; i < 15; i++)
        (void)tt_session_close(clients[i]);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(tt_listener_accept(listener, &server), TT_OK);
        (void)tt_session_close(server);
    }
    tt_listener_close(listener);
}

/* A Go peer's closed session stays for a minute. It makes room for a new one at another worker. */
static void test_closed_sessions_make_room_at_every_worker(void **state)
{
    (void)state;
    const struct tt_options legacy = {.loop = client_loop, .legacy = true, .linger_us = 20 * MS};
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.workers = WORKERS, .max_sessions = 2});
    for (unsigned i = 0; i < 20; i++) {
        struct tt_session *server;
        struct tt_stream *st;
        struct tt_session *client = api_dial_and_speak(listener, &legacy, &st);
        assert_int_equal(tt_listener_accept(listener, &server), TT_OK);
        (void)tt_session_close(server);
        (void)tt_session_close(client);
        assert_true(api_stats(listener).sessions_now <= 2);
    }
    assert_int_equal(api_stats(listener).sessions_begun, 20);
    tt_listener_close(listener);
}

static void test_sessions_that_wait_to_be_accepted(void **state)
{
    (void)state;
    struct tt_listener *listener = api_listen(
        &(struct tt_options){.workers = WORKERS, .accept_backlog = 5, .linger_us = 20 * MS});
    struct tt_session *clients[8], *servers[8];
    struct tt_stream *st;
    for (unsigned i = 0; i < 8; i++) {
        clients[i] = dial(listener, &st);
        if (i < 5)
            API_WAIT_FOR(listener, sessions_begun, i + 1);
        else
            API_WAIT_FOR(listener, sessions_refused, i + 1 - 5);
    }
    assert_int_equal(api_stats(listener).sessions_now, 5);
    /* They repeat themselves, and are let in when there is room. */
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(tt_listener_accept(listener, &servers[i]), TT_OK);
    assert_int_equal(api_stats(listener).sessions_begun, 8);
    for (unsigned i = 0; i < 8; i++) {
        (void)tt_session_close(clients[i]);
        (void)tt_session_close(servers[i]);
    }
    tt_listener_close(listener);
}

#define LITTLE ((size_t)2 * MIB)

/* What all workers hold does not change any more. A sum of numbers that do is of no moment. */
struct steady {
    struct tt_listener *listener;
    uint64_t least, bytes;
    unsigned times;
};

static bool is_steady(void *arg)
{
    struct steady *s = arg;
    const uint64_t bytes = api_stats(s->listener).buffer_bytes;
    s->times = bytes == s->bytes && bytes >= s->least ? s->times + 1 : 0;
    s->bytes = bytes;
    return s->times == 50;
}

/* The server has more to send to each session than all may hold. */
static void test_little_memory_for_all_workers(void **state)
{
    (void)state;
    enum { SESSIONS = 16 };
    const struct tt_options modest = {.workers = 2, .max_buffer_bytes = LITTLE};
    struct tt_listener *listener = api_listen(&modest);
    struct steady held = {.listener = listener, .least = MIB};
    struct tt_session *clients[SESSIONS], *servers[SESSIONS];
    struct api_thread writers[SESSIONS], readers[SESSIONS];
    struct api_job write[SESSIONS], read[SESSIONS];
    for (unsigned i = 0; i < SESSIONS; i++) {
        struct tt_stream *c, *s;
        clients[i] = dial(listener, &c);
        assert_int_equal(tt_listener_accept(listener, &servers[i]), TT_OK);
        assert_int_equal(tt_session_accept_stream(servers[i], &s), TT_OK);
        write[i] = (struct api_job){s, 3 * LITTLE / 2, i};
        read[i] = (struct api_job){c, 3 * LITTLE / 2, i};
        api_start(&writers[i], api_job_write_patiently, &write[i]);
    }
    api_wait_for(is_steady, &held); /* nobody reads */
    assert_true(held.bytes <= LITTLE);
    for (unsigned i = 0; i < SESSIONS; i++)
        api_start(&readers[i], api_job_read_to_end, &read[i]);
    for (unsigned i = 0; i < SESSIONS; i++) {
        assert_int_equal(api_join(&writers[i]), TT_OK);
        assert_int_equal(api_join(&readers[i]), TT_E_END);
    }
    for (unsigned i = 0; i < SESSIONS; i++) {
        assert_int_equal(tt_session_close(clients[i]), TT_OK);
        assert_int_equal(tt_session_close(servers[i]), TT_OK);
    }
    tt_listener_close(listener);
}

/* --- the end --- */

static void test_what_lingers_at_each_worker_is_delivered(void **state)
{
    (void)state;
    enum { SESSIONS = 12, LEN = 200 * KIB };
    struct tt_listener *listener = api_listen(&(struct tt_options){.workers = WORKERS});
    struct tt_session *clients[SESSIONS], *server;
    struct tt_stream *c, *s;
    struct api_thread readers[SESSIONS];
    struct api_job read[SESSIONS];
    for (unsigned i = 0; i < SESSIONS; i++) {
        clients[i] = dial(listener, &c);
        assert_int_equal(tt_listener_accept(listener, &server), TT_OK);
        assert_int_equal(tt_session_accept_stream(server, &s), TT_OK);
        assert_int_equal(api_write(s, LEN, i), TT_OK); /* as much as waits at most */
        (void)tt_session_close(server);
        read[i] = (struct api_job){c, LEN, i};
    }
    for (unsigned i = 0; i < SESSIONS; i++)
        api_start(&readers[i], api_job_read, &read[i]);
    tt_listener_close(listener);
    for (unsigned i = 0; i < SESSIONS; i++) {
        assert_int_equal(api_join(&readers[i]), TT_OK);
        (void)tt_session_close(clients[i]);
    }
}

/* Holds the clients' loop when the first bytes have come. */
static void hold(void *ctx, struct tt_stream *st)
{
    tt_stream_set_callbacks(st, NULL, NULL);
    while (sem_wait(ctx))
        continue;
}

struct holder {
    struct tt_listener *listener;
    sem_t release;
};

static int release_when_it_is_stopped(void *arg)
{
    struct holder *h = arg;
    struct tt_session *session;
    const int err = tt_listener_accept(h->listener, &session);
    (void)sem_post(&h->release);
    return err;
}

/* The client takes nothing before the listener is being closed, so some must be waited for: more
 * than a KCP window. Which worker that is depends on chance: so it is done often.
 */
static void test_it_waits_for_a_session_at_any_worker(void **state)
{
    (void)state;
    static const struct tt_stream_callbacks holding = {.readable = hold};
    for (unsigned i = 0; i < 12; i++) {
        struct holder h = {.listener = api_listen(&(struct tt_options){.workers = WORKERS})};
        struct tt_session *server;
        struct tt_stream *c, *s;
        struct api_thread reader, releaser;
        const struct tt_options o = {.loop = client_loop, .session_timeout_us = 5000 * MS};
        struct tt_session *client = api_dial_and_speak(h.listener, &o, &c);
        struct api_job read = {c, 200 * KIB, i};
        assert_int_equal(sem_init(&h.release, 0, 0), 0);
        assert_int_equal(tt_listener_accept(h.listener, &server), TT_OK);
        assert_int_equal(tt_session_accept_stream(server, &s), TT_OK);
        tt_stream_set_callbacks(c, &holding, &h.release);
        assert_int_equal(api_write(s, 200 * KIB, i), TT_OK);
        (void)tt_session_close(server);
        api_start(&reader, api_job_read, &read);
        api_start(&releaser, release_when_it_is_stopped, &h);
        tt_listener_close(h.listener);
        assert_int_equal(api_join(&releaser), TT_E_CLOSED);
        assert_int_equal(api_join(&reader), TT_OK);
        (void)tt_session_close(client);
        (void)sem_destroy(&h.release);
    }
}

/* Comes again and again with another ID, until nobody is there any more. */
static int knock(void *arg)
{
    const char *address = arg;
    for (unsigned n = 0;; n++) {
        const struct words w = words_of(n);
        const int fd = api_try_to_connect(address);
        if (fd < 0)
            return TT_OK;
        (void)send(fd, &w, n % 3 ? sizeof w : 5, MSG_NOSIGNAL);
        close(fd);
    }
}

static void test_it_is_closed_while_connections_are_handed_over(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct tt_listener *listener = api_listen(&(struct tt_options){
            .workers = WORKERS, .accept_backlog = 1 + i, .linger_us = 20 * MS});
        char address[64];
        struct api_thread knockers[2];
        (void)snprintf(address, sizeof address, "%s", tt_listener_address(listener));
        for (unsigned k = 0; k < ARRAY_LEN(knockers); k++)
            api_start(&knockers[k], knock, address);
        API_WAIT_FOR(listener, connections, 10 + 5 * i);
        tt_listener_close(listener);
        for (unsigned k = 0; k < ARRAY_LEN(knockers); k++)
            assert_int_equal(api_join(&knockers[k]), TT_OK);
    }
}

/* An allocator for several threads: it counts, and refuses one chosen allocation. */
struct counting {
    struct tt_alloc alloc;
    _Atomic size_t calls, live, fail_at;
};

static void *counting_get(void *ctx, size_t size)
{
    struct counting *c = ctx;
    if (c->calls++ == c->fail_at)
        return NULL;
    c->live++;
    return malloc(size);
}

static void counting_put(void *ctx, void *mem)
{
    struct counting *c = ctx;
    free(mem);
    c->live--;
}

static void count_all(struct counting *c, size_t fail_at)
{
    *c = (struct counting){.fail_at = fail_at};
    c->alloc = (struct tt_alloc){counting_get, counting_put, c};
}

static bool nothing_is_held(void *arg)
{
    return ((struct counting *)arg)->live == 0;
}

static void close_everything(void *ctx, struct tt_session *session, struct tt_stream *st)
{
    (void)st;
    (void)tt_session_close(session);
    tt_listener_close(ctx);
}

static void begin_to_close(void *ctx, struct tt_session *session)
{
    static const struct tt_session_callbacks callbacks = {.stream_opened = close_everything};
    tt_session_set_callbacks(session, &callbacks, ctx);
}

static void test_a_callback_closes_it(void **state)
{
    (void)state;
    static struct counting c;
    const struct tt_options hasty = {.loop = client_loop, .linger_us = 20 * MS};
    for (unsigned i = 0; i < 10; i++) {
        count_all(&c, SIZE_MAX);
        struct tt_stream *st;
        struct tt_listener *listener =
            api_listen(&(struct tt_options){.workers = WORKERS, .alloc = &c.alloc});
        const int idle = api_connect(tt_listener_address(listener));
        API_WAIT_FOR(listener, connections, 1);
        tt_listener_set_callback(listener, begin_to_close, listener);
        struct tt_session *client = api_dial_and_speak(listener, &hasty, &st);
        api_wait_for(nothing_is_held, &c); /* all workers have ended by themselves */
        (void)tt_session_close(client);
        close(idle);
    }
}

/* --- what callbacks may ask of the listener --- */

struct asking {
    struct tt_listener *listener;
    _Atomic unsigned present, first, second, too_many;
};

/* Each worker's first callback waits for those of the others: then all have their locks. */
static void meet(struct asking *a)
{
    static _Thread_local bool was_here;
    if (was_here)
        return;
    was_here = true;
    a->present++;
    while (a->present < WORKERS)
        (void)sched_yield();
}

static void begin_of_a_later_one(void *ctx, struct tt_session *session)
{
    struct asking *a = ctx;
    (void)tt_session_close(session);
    a->second++;
}

static void begin_and_ask(void *ctx, struct tt_session *session)
{
    struct asking *a = ctx;
    struct tt_session *none;
    (void)tt_session_close(session);
    meet(a);
    for (unsigned i = 0; i < 1000; i++) {
        const struct tt_listener_stats stats = api_stats(a->listener);
        a->too_many += stats.sessions_begun > 40 || stats.connections_now > 40;
    }
    a->too_many += tt_listener_accept(a->listener, &none) != TT_E_INVAL;
    if (++a->first == 20)
        tt_listener_set_callback(a->listener, begin_of_a_later_one, a);
}

static bool all_have_begun(void *arg)
{
    const struct asking *a = arg;
    return a->first + a->second == 40;
}

static void test_callbacks_of_all_workers_ask_at_once(void **state)
{
    (void)state;
    struct asking a = {.listener = api_listen(&(struct tt_options){.workers = WORKERS})};
    int fds[40];
    tt_listener_set_callback(a.listener, begin_and_ask, &a);
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        const struct words w = words_of(i);
        fds[i] = api_connect(tt_listener_address(a.listener));
        say(fds[i], &w, sizeof w);
    }
    api_wait_for(all_have_begun, &a);
    assert_int_equal(a.too_many, 0);
    assert_int_equal(api_stats(a.listener).sessions_begun, 40);
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    tt_listener_close(a.listener);
}

/* --- what is refused --- */

static void test_options_that_make_no_sense(void **state)
{
    (void)state;
    const struct {
        struct tt_options o;
        const char *word; /* of the reason */
    } cases[] = {
        {{.workers = 2, .loop = client_loop}, "loop"},
        {{.workers = 257}, "256"},
        {{.workers = UINT32_MAX}, "256"},
        {{.workers = 4, .max_buffer_bytes = 4 * MIB - 1}, "max_buffer_bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tt_listener *listener;
        struct tt_error_text why;
        assert_int_equal(tt_listen("127.0.0.1:0", &cases[i].o, &listener, &why), TT_E_INVAL);
        assert_non_null(strstr(why.text, cases[i].word));
        assert_null(listener);
    }
    struct tt_listener *one =
        api_listen(&(struct tt_options){.workers = 1, .loop = client_loop, .max_buffer_bytes = 1});
    tt_listener_close(one);
}

/* The linker gives us the library's calls of pthread_create. */
static unsigned threads_allowed;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    if (threads_allowed == 0)
        return EAGAIN;
    threads_allowed--;
    return __real_pthread_create(thread, attributes, run, arg);
}

static void test_threads_that_cannot_be_had(void **state)
{
    (void)state;
    static struct counting c;
    struct tt_listener *listener = NULL;
    unsigned threads;
    int err = TT_E_SYSTEM;
    for (threads = 0; err == TT_E_SYSTEM && threads < 2 * WORKERS; threads++) {
        struct tt_error_text why;
        count_all(&c, SIZE_MAX);
        threads_allowed = threads;
        err = tt_listen("127.0.0.1:0", &(struct tt_options){.workers = WORKERS, .alloc = &c.alloc},
                        &listener, &why);
        assert_int_equal(err != TT_OK, c.live == 0);
        assert_int_equal(err != TT_OK, why.text[0] != '\0');
    }
    threads_allowed = UINT32_MAX;
    assert_int_equal(err, TT_OK);
    assert_int_equal(threads - 1, WORKERS + 1);
    tt_listener_close(listener);
    assert_int_equal(c.live, 0);
}

static void test_memory_that_cannot_be_had(void **state)
{
    (void)state;
    static struct counting c;
    struct tt_listener *listener = NULL;
    size_t n, refused = 0;
    bool was_refused = true;
    for (n = 0; was_refused && n < 200; n++) {
        count_all(&c, n);
        const int err =
            tt_listen("127.0.0.1:0", &(struct tt_options){.workers = WORKERS, .alloc = &c.alloc},
                      &listener, NULL);
        was_refused = c.calls > n;
        refused += err == TT_E_NOMEM;
        assert_true(err == TT_OK || err == TT_E_NOMEM);
        if (!err) /* nothing was refused, or what one can do without */
            tt_listener_close(listener);
        assert_int_equal(c.live, 0);
    }
    assert_false(was_refused);
    assert_true(refused > WORKERS); /* the listener, and a loop of each worker at least */
}

static uint64_t what_came_of_connections(struct tt_listener *listener)
{
    const struct tt_listener_stats stats = api_stats(listener);
    return stats.accept_failures + stats.sessions_begun + stats.sessions_refused;
}

struct outcomes {
    struct tt_listener *listener;
    uint64_t wanted;
};

static bool has_come(void *arg)
{
    const struct outcomes *o = arg;
    return what_came_of_connections(o->listener) >= o->wanted;
}

/* Each allocation between the door and the session is refused, and more than once. A connection
 * that there is no memory for, or none to hand it over, is ended, and gives its place back.
 */
static void test_no_memory_to_hand_over(void **state)
{
    (void)state;
    static struct counting c;
    count_all(&c, SIZE_MAX);
    struct tt_listener *listener =
        api_listen(&(struct tt_options){.workers = WORKERS, .alloc = &c.alloc});
    for (unsigned n = 0; n < 60; n++) { /* which one is the session's: each worker has its pools */
        const struct words w = words_of(n);
        struct outcomes o = {listener, n + 1};
        c.fail_at = c.calls + n % 6;
        const int fd = api_connect(tt_listener_address(listener));
        say(fd, &w, sizeof w);
        api_wait_for(has_come, &o);
        close(fd);
        api_wait_for(no_connection_is_left, listener);
    }
    assert_true(api_stats(listener).accept_failures >= 2); /* the handover, the connection */
    assert_true(api_stats(listener).sessions_refused >= 1);
    assert_true(api_stats(listener).sessions_begun >= 1);
    tt_listener_close(listener);
    assert_int_equal(c.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_are_spread),
        cmocka_unit_test(test_every_connection_reaches_the_worker_of_its_session),
        cmocka_unit_test(test_several_threads_accept_until_it_is_stopped),
        cmocka_unit_test(test_ids_that_come_in_two_parts),
        cmocka_unit_test(test_ids_that_never_come),
        cmocka_unit_test(test_connections_at_once),
        cmocka_unit_test(test_sessions_at_once),
        cmocka_unit_test(test_closed_sessions_make_room_at_every_worker),
        cmocka_unit_test(test_sessions_that_wait_to_be_accepted),
        cmocka_unit_test(test_little_memory_for_all_workers),
        cmocka_unit_test(test_what_lingers_at_each_worker_is_delivered),
        cmocka_unit_test(test_it_waits_for_a_session_at_any_worker),
        cmocka_unit_test(test_it_is_closed_while_connections_are_handed_over),
        cmocka_unit_test(test_a_callback_closes_it),
        cmocka_unit_test(test_callbacks_of_all_workers_ask_at_once),
        cmocka_unit_test(test_options_that_make_no_sense),
        cmocka_unit_test(test_threads_that_cannot_be_had),
        cmocka_unit_test(test_memory_that_cannot_be_had),
        cmocka_unit_test(test_no_memory_to_hand_over),
    };
    threads_allowed = UINT32_MAX;
    return cmocka_run_group_tests(tests, start_client_loop, free_client_loop);
}
