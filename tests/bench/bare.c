/* bare - what bytes cost between two processes when nobody does anything with them: writev, read,
 * and copies where a library would make some.
 *
 *     bare WRITE_BYTES PIECE_BYTES READ_BYTES COPIES SECONDS
 *
 * WRITE_BYTES a call, gathered from pieces of PIECE_BYTES, each behind a header of 24 bytes that
 * counts as well, as a session's segments are (0: one piece); reads into READ_BYTES; every byte is
 * copied COPIES times at each end. One line of JSON, with the names of the other peers.
 */
#include "process.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEADER_BYTES 24u
#define MOST_BYTES   (1u << 20)
#define MOST_PIECES  1024   /* IOV_MAX */
#define PROGRAM      65536u /* bytes: what a program reads and writes at a time */

struct plan {
    size_t write_bytes, piece_bytes, read_bytes;
    unsigned copies;
    double seconds;
};

/* What one end did. */
struct work {
    uint64_t bytes, calls;
    double cpu_seconds, seconds;
};

/* Between the program's buffer and ours. The compiler cannot know that nobody looks. */
static void copy(unsigned char *ours, size_t len, unsigned times, int out)
{
    static unsigned char program[PROGRAM];
    for (; times > 0; times--) {
        for (size_t at = 0; at < len; at += PROGRAM) {
            const size_t n = len - at < PROGRAM ? len - at : PROGRAM;
            memcpy(out ? ours + at : program, out ? program : ours + at, n);
            __asm__ volatile("" : : "r"(program), "r"(ours) : "memory");
        }
    }
}

/* Fills in what writev is given, of at most len bytes in all. Returns how many pieces. An iovec's
 * bytes are not const.
 */
/* NOLINTNEXTLINE(readability-non-const-parameter) */
static int gather(struct iovec *pieces, unsigned char *data, size_t len, size_t piece_bytes)
{
    static unsigned char headers[MOST_PIECES][HEADER_BYTES];
    int count = 0;
    if (piece_bytes == 0) {
        pieces[0] = (struct iovec){data, len};
        return 1;
    }
    while (len > HEADER_BYTES && count + 2 <= MOST_PIECES) {
        const size_t n = len - HEADER_BYTES < piece_bytes ? len - HEADER_BYTES : piece_bytes;
        pieces[count] = (struct iovec){headers[count], HEADER_BYTES};
        pieces[count + 1] = (struct iovec){data, n};
        count += 2;
        data += n;
        len -= HEADER_BYTES + n;
    }
    return count;
}

static double now_s(void)
{
    return (double)tt_bench_now_ns() / 1e9;
}

static void send_for_a_while(int fd, const struct plan *p, struct work *w)
{
    static unsigned char data[MOST_BYTES];
    struct iovec pieces[MOST_PIECES];
    const int count = gather(pieces, data, p->write_bytes, p->piece_bytes);
    const double begin_s = now_s();
    while ((w->seconds = now_s() - begin_s) < p->seconds) {
        copy(data, p->write_bytes, p->copies, 1);
        const ssize_t n =
            writev(fd, pieces, count); /* a short one is not finished: all are zeros */
        if (n < 0)
            tt_bench_fail("writev", strerror(errno));
        w->bytes += (uint64_t)n;
        w->calls++;
    }
    shutdown(fd, SHUT_WR);
    w->cpu_seconds = tt_bench_cpu_seconds();
}

static void receive_all(int fd, const struct plan *p, struct work *w)
{
    static unsigned char data[MOST_BYTES];
    const double begin_s = now_s();
    ssize_t n;
    while ((n = read(fd, data, p->read_bytes)) > 0) {
        w->bytes += (uint64_t)n;
        w->calls++;
        copy(data, (size_t)n, p->copies, 0);
    }
    if (n < 0)
        tt_bench_fail("read", strerror(errno));
    w->seconds = now_s() - begin_s;
    w->cpu_seconds = tt_bench_cpu_seconds();
}

static int new_socket(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        tt_bench_fail("open a socket", strerror(errno));
    return fd;
}

static int listen_on_loopback(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    const int fd = new_socket();
    *at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    if (bind(fd, (struct sockaddr *)at, len) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)at, &len))
        tt_bench_fail("listen", strerror(errno));
    return fd;
}

/* The other process: sends. What it did comes through the pipe. */
static void be_the_sender(const struct sockaddr_in *to, const struct plan *p, int pipe_fd)
{
    struct work w = {0};
    const int fd = new_socket();
    if (connect(fd, (const struct sockaddr *)to, sizeof *to))
        tt_bench_fail("connect", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    send_for_a_while(fd, p, &w);
    if (write(pipe_fd, &w, sizeof w) != sizeof w)
        tt_bench_fail("report", strerror(errno));
    exit(0);
}

static void report(const struct work *sent, const struct work *received)
{
    const double mb = (double)received->bytes / 1e6;
    printf("{\"bytes\":%llu,\"seconds\":%.6f,\"mb_per_s\":%.3f,\"sender_s_per_gb\":%.6f,"
           "\"receiver_s_per_gb\":%.6f,\"writes_per_mb\":%.3f,\"reads_per_mb\":%.3f}\n",
           (unsigned long long)received->bytes, received->seconds, mb / received->seconds,
           sent->cpu_seconds * 1e3 / mb, received->cpu_seconds * 1e3 / mb, (double)sent->calls / mb,
           (double)received->calls / mb);
}

static size_t parse_bytes(const char *text)
{
    const unsigned long long n = strtoull(text, NULL, 10);
    if (n > MOST_BYTES)
        tt_bench_fail(text, "too many bytes");
    return (size_t)n;
}

static struct plan parse(int argc, char **argv)
{
    if (argc != 6)
        tt_bench_fail("usage", "bare WRITE_BYTES PIECE_BYTES READ_BYTES COPIES SECONDS");
    const struct plan p = {parse_bytes(argv[1]), parse_bytes(argv[2]), parse_bytes(argv[3]),
                           (unsigned)parse_bytes(argv[4]), strtod(argv[5], NULL)};
    if (p.write_bytes <= HEADER_BYTES || p.read_bytes == 0 || !(p.seconds > 0))
        tt_bench_fail("usage", "bytes and seconds must be more");
    return p;
}

int main(int argc, char **argv)
{
    const struct plan p = parse(argc, argv);
    struct sockaddr_in at;
    struct work sent, received = {0};
    int ends[2];
    const int listener = listen_on_loopback(&at);
    if (pipe(ends))
        tt_bench_fail("open a pipe", strerror(errno));
    const pid_t child = fork();
    if (child < 0)
        tt_bench_fail("fork", strerror(errno));
    if (child == 0)
        be_the_sender(&at, &p, ends[1]);
    close(ends[1]); /* so that its end is noticed */
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        tt_bench_fail("accept", strerror(errno));
    receive_all(fd, &p, &received);
    if (read(ends[0], &sent, sizeof sent) != sizeof sent)
        tt_bench_fail("bare", "the sender has failed");
    waitpid(child, NULL, 0);
    if (sent.bytes != received.bytes)
        tt_bench_fail("bare", "not all that was sent has come");
    report(&sent, &received);
    return 0;
}
