/* The descriptor form: a stream as a connected socket. */
#include "api.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000) /* microseconds */

/* A stream with both of its ends turned into descriptors. */
static void open_descriptors(struct api_pair *p, int *client, int *server)
{
    struct tt_stream *c, *s;
    api_open_stream(p, &c, &s);
    assert_int_equal(tt_stream_into_fd(c, client), TT_OK);
    assert_int_equal(tt_stream_into_fd(s, server), TT_OK);
}

/* --- blocking use; for other threads too: 0, errno, or a negative number for wrong bytes --- */

struct fd_job {
    int fd;
    uint64_t len;
    unsigned seed;
    size_t piece; /* bytes a call */
};

static int fd_write(void *job)
{
    const struct fd_job *j = job;
    uint8_t *buf = malloc(j->piece);
    int err = 0;
    for (uint64_t at = 0; at < j->len && !err;) {
        const size_t n = j->len - at < j->piece ? (size_t)(j->len - at) : j->piece;
        api_pattern(buf, n, at, j->seed);
        const ssize_t taken = send(j->fd, buf, n, MSG_NOSIGNAL);
        if (taken < 0)
            err = errno;
        else
            at += (uint64_t)taken;
    }
    free(buf);
    return err;
}

static int fd_read(void *job)
{
    const struct fd_job *j = job;
    uint8_t *buf = malloc(2 * j->piece);
    int err = 0;
    for (uint64_t at = 0; at < j->len && !err;) {
        const size_t n = j->len - at < j->piece ? (size_t)(j->len - at) : j->piece;
        const ssize_t got = read(j->fd, buf, n);
        if (got <= 0) {
            err = got < 0 ? errno : -2;
            break;
        }
        api_pattern(buf + j->piece, (size_t)got, at, j->seed);
        if (memcmp(buf, buf + j->piece, (size_t)got) != 0)
            err = -1;
        at += (uint64_t)got;
    }
    free(buf);
    return err;
}

static int fd_write_and_shut(void *job)
{
    const int err = fd_write(job);
    return err ? err : shutdown(((const struct fd_job *)job)->fd, SHUT_WR);
}

/* 0 when the end comes, -1 when bytes do. */
static int fd_read_end(int fd)
{
    uint8_t byte;
    const ssize_t n = read(fd, &byte, 1);
    return n < 0 ? errno : n == 0 ? 0 : -1;
}

static int fd_echo(void *job)
{
    const int fd = ((const struct fd_job *)job)->fd;
    uint8_t buf[30000];
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const ssize_t taken = send(fd, buf + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (taken < 0)
                return errno;
            at += taken;
        }
    }
    return n < 0 ? errno : shutdown(fd, SHUT_WR);
}

/* --- tests --- */

static void test_bytes_go_both_ways(void **state)
{
    (void)state;
    struct api_pair p;
    int c, s;
    static const uint64_t lengths[] = {1, 1375, 1376, 1377, 65535, 65536, 65537};
    api_open(&p, NULL, NULL);
    open_descriptors(&p, &c, &s);
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        struct fd_job up = {c, lengths[i], i, 1000}, from = {s, lengths[i], i, 777};
        assert_int_equal(fd_write(&up), 0);
        assert_int_equal(fd_read(&from), 0);
        struct fd_job down = {s, lengths[i], i + 9, 100000}, to = {c, lengths[i], i + 9, 100000};
        assert_int_equal(fd_write(&down), 0);
        assert_int_equal(fd_read(&to), 0);
    }
    close(c);
    close(s);
    api_close(&p);
}

static void test_an_echo_of_much(void **state)
{
    (void)state;
    struct api_pair p;
    struct api_thread writer, echo;
    int c, s;
    api_open(&p, NULL, NULL);
    open_descriptors(&p, &c, &s);
    struct fd_job write_job = {c, 24 * MIB, 1, 50000}, read_job = {c, 24 * MIB, 1, 40000};
    struct fd_job echo_job = {.fd = s};
    api_start(&echo, fd_echo, &echo_job);
    api_start(&writer, fd_write_and_shut, &write_job);
    assert_int_equal(fd_read(&read_job), 0);
    assert_int_equal(fd_read_end(c), 0);
    assert_int_equal(api_join(&writer), 0);
    assert_int_equal(api_join(&echo), 0);
    close(c);
    close(s);
    api_close(&p);
}

static void test_it_can_be_polled(void **state)
{
    (void)state;
    struct api_pair p;
    int c, s;
    api_open(&p, NULL, NULL);
    open_descriptors(&p, &c, &s);
    struct pollfd reading = {.fd = s, .events = POLLIN};
    assert_int_equal(poll(&reading, 1, 0), 0);
    assert_int_equal(write(c, "hello", 5), 5);
    assert_int_equal(poll(&reading, 1, 20000), 1);
    assert_int_equal(reading.revents, POLLIN);
    char buf[10];
    assert_int_equal(read(s, buf, sizeof buf), 5);
    assert_memory_equal(buf, "hello", 5);

    /* Nobody reads at the other end: at last it is not writable any more, and then it is again. */
    static uint8_t much[100000];
    assert_int_equal(fcntl(c, F_SETFL, O_NONBLOCK), 0);
    struct pollfd writing = {.fd = c, .events = POLLOUT};
    uint64_t written = 0;
    while (poll(&writing, 1, 200) == 1) {
        const ssize_t n = write(c, much, sizeof much);
        assert_true(n > 0);
        written += (uint64_t)n;
        assert_true(written < 64 * MIB);
    }
    for (uint64_t left = written; left > 0;) {
        const ssize_t n = read(s, much, left < sizeof much ? (size_t)left : sizeof much);
        assert_true(n > 0);
        left -= (uint64_t)n;
    }
    assert_int_equal(poll(&writing, 1, 20000), 1);
    close(c);
    close(s);
    api_close(&p);
}

static void test_half_close(void **state)
{
    (void)state;
    struct api_pair p;
    int c, s;
    api_open(&p, NULL, NULL);
    open_descriptors(&p, &c, &s);
    assert_int_equal(write(c, "question", 8), 8);
    assert_int_equal(shutdown(c, SHUT_WR), 0);
    char buf[20];
    assert_int_equal(read(s, buf, sizeof buf), 8);
    assert_int_equal(fd_read_end(s), 0);
    assert_int_equal(write(s, "answer", 6), 6);
    assert_int_equal(shutdown(s, SHUT_WR), 0);
    assert_int_equal(read(c, buf, sizeof buf), 6);
    assert_int_equal(fd_read_end(c), 0);
    close(c);
    close(s);
    api_close(&p);
}

static void test_closing_it_closes_the_stream(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    int fd;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    assert_int_equal(tt_stream_into_fd(c, &fd), TT_OK);
    struct fd_job job = {fd, 100000, 1, 100000};
    assert_int_equal(fd_write(&job), 0);
    close(fd); /* behind what was written */
    assert_int_equal(api_read(s, 100000, 1), TT_OK);
    assert_int_equal(api_read_end(s), TT_E_END);
    /* Whatever is sent there now goes nowhere, and holds up nothing. */
    assert_int_equal(api_write(s, 1000, 1), TT_OK);
    tt_stream_close(s);
    /* First the end whose words may still be under way: it waits for them. */
    assert_int_equal(tt_session_close(p.server), TT_OK);
    p.server = NULL;
    api_close(&p);
}

static void test_what_came_before_is_not_lost(void **state)
{
    (void)state;
    struct api_pair p;
    struct tt_stream *c, *s;
    int fd;
    api_open(&p, NULL, NULL);
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 200000, 1), TT_OK);
    assert_int_equal(tt_stream_shutdown(c), TT_OK);
    assert_int_equal(api_read(s, 1, 1),
                     TT_OK); /* so that something is there, and part of it read */
    assert_int_equal(tt_stream_into_fd(s, &fd), TT_OK);
    uint8_t *got = malloc(200000);
    uint8_t *expected = malloc(200000);
    size_t have = 1;
    ssize_t n;
    while ((n = read(fd, got + have, 200000 - have)) > 0)
        have += (size_t)n;
    api_pattern(expected, 200000, 0, 1);
    assert_int_equal(have, 200000);
    assert_memory_equal(got + 1, expected + 1, 199999);
    free(got);
    free(expected);
    close(fd);
    tt_stream_close(c);
    api_close(&p);
}

static void test_a_session_that_closes_ends_its_descriptors(void **state)
{
    (void)state;
    struct api_pair p;
    int c[5], s[5];
    api_open(&p, NULL, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        open_descriptors(&p, &c[i], &s[i]);
    assert_int_equal(tt_session_close(p.client), TT_OK);
    p.client = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        assert_int_equal(fd_read_end(c[i]), 0);
        assert_int_equal(send(c[i], "x", 1, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE);
        assert_int_equal(fd_read_end(s[i]), 0);
        close(c[i]);
        close(s[i]);
    }
    api_close(&p);
}

static void test_a_lost_session_ends_its_descriptors(void **state)
{
    (void)state;
    char address[64];
    struct tt_session *session;
    struct tt_stream *st;
    int fd;
    const int silent = api_silent_listener(address);
    const struct tt_options impatient = {.session_timeout_us = 200 * MS};
    assert_int_equal(tt_dial(address, &impatient, &session, NULL), TT_OK);
    assert_int_equal(tt_session_open_stream(session, &st), TT_OK);
    assert_int_equal(tt_stream_into_fd(st, &fd), TT_OK);
    const int end = fd_read_end(fd);
    assert_true(end == 0 || end == ECONNRESET);
    close(fd);
    assert_int_equal(tt_session_close(session), TT_E_TIMEOUT);
    close(silent);
}

#define MANY 100

static void test_many_at_once(void **state)
{
    (void)state;
    struct api_pair p;
    int c[MANY], s[MANY];
    struct api_thread echoes[MANY];
    struct fd_job jobs[MANY];
    api_open(&p, NULL, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        open_descriptors(&p, &c[i], &s[i]);
        jobs[i] = (struct fd_job){.fd = s[i]};
        api_start(&echoes[i], fd_echo, &jobs[i]);
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct fd_job job = {c[i], 30000 + i, i, 10000};
        assert_int_equal(fd_write_and_shut(&job), 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct fd_job job = {c[i], 30000 + i, i, 9999};
        assert_int_equal(fd_read(&job), 0);
        assert_int_equal(fd_read_end(c[i]), 0);
        assert_int_equal(api_join(&echoes[i]), 0);
        close(c[i]);
        close(s[i]);
    }
    api_close(&p);
}

static void test_closing_at_any_moment_does_no_harm(void **state)
{
    (void)state;
    struct api_pair p;
    static uint8_t bytes[70000];
    api_open(&p, NULL, NULL);
    for (unsigned i = 0; i < 60; i++) {
        int c, s;
        open_descriptors(&p, &c, &s);
        if (i % 2)
            (void)!send(c, bytes, 1 + i * 1000, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (i % 3)
            (void)!send(s, bytes, 1 + i * 1000, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (i % 5 == 0)
            (void)shutdown(c, SHUT_RDWR);
        close(i % 7 ? c : s);
        close(i % 7 ? s : c);
    }
    /* The session itself goes on. */
    struct tt_stream *c, *s;
    api_open_stream(&p, &c, &s);
    assert_int_equal(api_write(c, 100000, 1), TT_OK);
    assert_int_equal(api_read(s, 100000, 1), TT_OK);
    tt_stream_close(c);
    tt_stream_close(s);
    /* What was still on its way to descriptors that are closed may be cut off by the other end. */
    (void)tt_session_close(p.client);
    (void)tt_session_close(p.server);
    p.client = p.server = NULL;
    api_close(&p);
}

/* Whether the process did hardly anything for a while. */
static bool is_quiet(void *arg)
{
    struct timespec before, after;
    (void)arg;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    (void)poll(NULL, 0, 200);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    return (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec < 50000000;
}

static int read_all(void *job)
{
    const int err = fd_read(job);
    return err ? err : fd_read_end(((const struct fd_job *)job)->fd);
}

#define HUNGRY 32

static void test_without_memory_they_wait_and_do_no_work(void **state)
{
    (void)state;
    struct api_pair p;
    struct api_thread writers[HUNGRY], readers[HUNGRY];
    struct fd_job up[HUNGRY], down[HUNGRY];
    const struct tt_options little = {.max_buffer_bytes = MIB};
    api_open(&p, &little, NULL);
    for (unsigned i = 0; i < HUNGRY; i++) {
        up[i] = down[i] = (struct fd_job){.len = MIB, .seed = i, .piece = 100000};
        open_descriptors(&p, &up[i].fd, &down[i].fd);
        api_start(&writers[i], fd_write_and_shut, &up[i]);
    }
    api_wait_for(is_quiet, NULL); /* nobody reads: all memory is in use, and more would come */
    for (unsigned i = 0; i < HUNGRY; i++)
        api_start(&readers[i], read_all, &down[i]);
    for (unsigned i = 0; i < HUNGRY; i++) {
        assert_int_equal(api_join(&readers[i]), 0);
        assert_int_equal(api_join(&writers[i]), 0);
        close(up[i].fd);
        close(down[i].fd);
    }
    api_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_go_both_ways),
        cmocka_unit_test(test_an_echo_of_much),
        cmocka_unit_test(test_it_can_be_polled),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_closing_it_closes_the_stream),
        cmocka_unit_test(test_what_came_before_is_not_lost),
        cmocka_unit_test(test_a_session_that_closes_ends_its_descriptors),
        cmocka_unit_test(test_a_lost_session_ends_its_descriptors),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_without_memory_they_wait_and_do_no_work),
        cmocka_unit_test(test_closing_at_any_moment_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
