#include "api.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES 20000u /* no divisor of anything */

/* --- pairs --- */

void api_open(struct api_pair *p, const struct tt_options *client, const struct tt_options *server)
{
    struct tt_stream *st;
    struct tt_error_text why;
    *p = (struct api_pair){NULL, NULL, NULL};
    assert_int_equal(tt_listen("127.0.0.1:0", server, &p->listener, &why), TT_OK);
    assert_int_equal(tt_dial(tt_listener_address(p->listener), client, &p->client, &why), TT_OK);
    assert_int_equal(tt_session_open_stream(p->client, &st), TT_OK);
    tt_stream_close(st);
    assert_int_equal(tt_listener_accept(p->listener, &p->server), TT_OK);
    assert_int_equal(tt_session_accept_stream(p->server, &st), TT_OK);
    tt_stream_close(st);
}

void api_close(struct api_pair *p)
{
    if (p->client)
        assert_int_equal(tt_session_close(p->client), TT_OK);
    if (p->server)
        assert_int_equal(tt_session_close(p->server), TT_OK);
    if (p->listener)
        tt_listener_close(p->listener);
    *p = (struct api_pair){NULL, NULL, NULL};
}

void api_open_stream(struct api_pair *p, struct tt_stream **client, struct tt_stream **server)
{
    assert_int_equal(tt_session_open_stream(p->client, client), TT_OK);
    assert_int_equal(tt_session_accept_stream(p->server, server), TT_OK);
    assert_int_equal(tt_stream_id(*client), tt_stream_id(*server));
}

/* --- bytes --- */

void api_pattern(uint8_t *buf, size_t len, uint64_t offset, unsigned seed)
{
    for (size_t i = 0; i < len; i++, offset++)
        buf[i] = (uint8_t)(offset * 7 + offset / 251 + offset / 65521 + seed * 13);
}

int api_write(struct tt_stream *st, uint64_t len, unsigned seed)
{
    uint8_t piece[PIECE_BYTES];
    for (uint64_t at = 0; at < len;) {
        const size_t n = len - at < sizeof piece ? (size_t)(len - at) : sizeof piece;
        api_pattern(piece, n, at, seed);
        const int err = tt_stream_write(st, piece, n);
        if (err)
            return err;
        at += n;
    }
    return TT_OK;
}

int api_read(struct tt_stream *st, uint64_t len, unsigned seed)
{
    uint8_t got[PIECE_BYTES];
    uint8_t expected[PIECE_BYTES];
    for (uint64_t at = 0; at < len;) {
        size_t n = len - at < sizeof got ? (size_t)(len - at) : sizeof got;
        const int err = tt_stream_read(st, got, n, &n);
        if (err)
            return err;
        api_pattern(expected, n, at, seed);
        if (n == 0 || memcmp(got, expected, n) != 0)
            return API_WRONG_BYTES;
        at += n;
    }
    return TT_OK;
}

int api_read_end(struct tt_stream *st)
{
    uint8_t byte;
    size_t n;
    const int err = tt_stream_read(st, &byte, 1, &n);
    return err ? err : API_WRONG_BYTES;
}

int api_echo(struct tt_stream *st)
{
    uint8_t buf[PIECE_BYTES];
    size_t n;
    int err;
    while ((err = tt_stream_read(st, buf, sizeof buf, &n)) == TT_OK) {
        err = tt_stream_write(st, buf, n);
        if (err)
            return err;
    }
    if (err == TT_E_END)
        err = tt_stream_shutdown(st);
    return err == TT_E_CLOSED ? TT_OK : err; /* the other end has gone, having heard enough */
}

/* --- threads --- */

static void *thread_main(void *arg)
{
    struct api_thread *t = arg;
    t->result = t->run(t->arg);
    return NULL;
}

void api_start(struct api_thread *t, int (*run)(void *arg), void *arg)
{
    *t = (struct api_thread){.run = run, .arg = arg};
    assert_int_equal(pthread_create(&t->thread, NULL, thread_main, t), 0);
}

int api_join(struct api_thread *t)
{
    assert_int_equal(pthread_join(t->thread, NULL), 0);
    return t->result;
}

int api_job_write(void *job)
{
    const struct api_job *j = job;
    return api_write(j->stream, j->len, j->seed);
}

int api_job_read(void *job)
{
    const struct api_job *j = job;
    return api_read(j->stream, j->len, j->seed);
}

int api_job_write_and_shut(void *job)
{
    const struct api_job *j = job;
    const int err = api_write(j->stream, j->len, j->seed);
    return err ? err : tt_stream_shutdown(j->stream);
}

int api_job_write_patiently(void *job)
{
    const struct api_job *j = job;
    uint8_t piece[10000];
    int err;
    for (uint64_t at = 0; at < j->len;) {
        size_t n = j->len - at < sizeof piece ? (size_t)(j->len - at) : sizeof piece;
        api_pattern(piece, n, at, j->seed);
        err = tt_stream_try_write(j->stream, piece, n, &n);
        at += n;
        if (err == TT_E_FULL || err == TT_E_NOMEM)
            (void)sched_yield();
        else if (err)
            return err;
    }
    do {
        err = tt_stream_shutdown(j->stream);
    } while (err == TT_E_NOMEM && sched_yield() == 0);
    return err;
}

int api_job_read_to_end(void *job)
{
    const struct api_job *j = job;
    const int err = api_read(j->stream, j->len, j->seed);
    return err ? err : api_read_end(j->stream);
}

int api_job_echo(void *job)
{
    return api_echo(((const struct api_job *)job)->stream);
}

void api_wait_for(bool (*holds)(void *arg), void *arg)
{
    for (int i = 0; i < 20000; i++) {
        if (holds(arg))
            return;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("what was waited for never came about");
}

/* --- listeners --- */

struct tt_listener *api_listen(const struct tt_options *options)
{
    struct tt_listener *listener;
    assert_int_equal(tt_listen("127.0.0.1:0", options, &listener, NULL), TT_OK);
    return listener;
}

struct tt_listener_stats api_stats(struct tt_listener *listener)
{
    struct tt_listener_stats stats;
    tt_listener_get_stats(listener, &stats);
    return stats;
}

struct awaited {
    struct tt_listener *listener;
    size_t offset; /* of the counter in struct tt_listener_stats */
    uint64_t least;
};

static bool is_reached(void *arg)
{
    const struct awaited *a = arg;
    const struct tt_listener_stats stats = api_stats(a->listener);
    uint64_t value;
    memcpy(&value, (const uint8_t *)&stats + a->offset, sizeof value);
    return value >= a->least;
}

void api_wait_for_counter(struct tt_listener *listener, size_t offset, uint64_t least)
{
    struct awaited a = {listener, offset, least};
    api_wait_for(is_reached, &a);
}

struct tt_session *api_dial_and_speak(struct tt_listener *listener, const struct tt_options *o,
                                      struct tt_stream **st)
{
    struct tt_session *session;
    assert_int_equal(tt_dial(tt_listener_address(listener), o, &session, NULL), TT_OK);
    assert_int_equal(tt_session_open_stream(session, st), TT_OK);
    return session;
}

/* --- sockets --- */

int api_try_to_connect(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_port = htons((uint16_t)strtoul(colon ? colon + 1 : "", NULL, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int api_connect(const char *address)
{
    const int fd = api_try_to_connect(address);
    assert_true(fd >= 0);
    return fd;
}

int api_silent_listener(char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(address, 64, "127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}
