/* Plain TCP: a stream is a connection, as in examples/plain. */
#include "link.h"
#include "process.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS_SIZE 256

/* Splits "HOST:PORT", and resolves it. The caller frees the list. */
static struct addrinfo *resolve(const char *address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char host[ADDRESS_SIZE];

    snprintf(host, sizeof host, "%s", address);
    char *colon = strrchr(host, ':');
    if (!colon)
        tt_bench_fail(address, "an address is HOST:PORT");
    *colon = '\0';
    const int error = getaddrinfo(host, colon + 1, &hints, &found);
    if (error)
        tt_bench_fail(address, gai_strerror(error));
    return found;
}

static int new_socket(const struct addrinfo *to)
{
    const int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        tt_bench_fail("open a socket", strerror(errno));
    return fd;
}

static void set_nodelay(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static int listen_on(const char *address)
{
    struct addrinfo *to = resolve(address);
    const int fd = new_socket(to);
    if (bind(fd, to->ai_addr, to->ai_addrlen) || listen(fd, SOMAXCONN))
        tt_bench_fail(address, strerror(errno));
    freeaddrinfo(to);
    return fd;
}

static void announce(int fd)
{
    struct sockaddr_storage local;
    socklen_t len = sizeof local;
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];

    if (getsockname(fd, (struct sockaddr *)&local, &len) ||
        getnameinfo((struct sockaddr *)&local, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        tt_bench_fail("listen", "no address");
    fprintf(stderr, "listening on %s:%s\n", host, port);
}

struct work {
    struct tt_bench_stream stream;
    void (*handle)(struct tt_bench_stream *stream);
};

static void *handle_one(void *arg)
{
    struct work *w = arg;
    w->handle(&w->stream);
    close(w->stream.fd);
    free(w);
    return NULL;
}

static void plain_serve(const struct tt_bench_kind *kind, const char *address,
                        void (*handle)(struct tt_bench_stream *stream))
{
    (void)kind;
    const int listener = listen_on(address);
    announce(listener);
    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            tt_bench_fail("accept", strerror(errno));
        set_nodelay(fd);
        struct work *w = tt_bench_allocate(sizeof *w);
        *w = (struct work){.stream = {.kind = &tt_bench_plain, .fd = fd}, .handle = handle};
        tt_bench_start_thread(handle_one, w);
    }
}

static void plain_dial(const struct tt_bench_kind *kind, struct tt_bench_link *link,
                       const char *address)
{
    (void)kind;
    *link = (struct tt_bench_link){.address = address};
}

static void plain_open(struct tt_bench_link *link, struct tt_bench_stream *stream)
{
    struct addrinfo *to = resolve(link->address);
    const int fd = new_socket(to);
    if (connect(fd, to->ai_addr, to->ai_addrlen))
        tt_bench_fail(link->address, strerror(errno));
    freeaddrinfo(to);
    set_nodelay(fd);
    *stream = (struct tt_bench_stream){.kind = &tt_bench_plain, .fd = fd};
    link->connections++;
}

static uint64_t plain_connections(const struct tt_bench_link *link)
{
    return link->connections;
}

static void plain_end(struct tt_bench_link *link)
{
    (void)link;
}

static ssize_t plain_read(struct tt_bench_stream *stream, void *buf, size_t cap)
{
    return read(stream->fd, buf, cap);
}

static bool plain_write(struct tt_bench_stream *stream, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        const ssize_t n = write(stream->fd, at, len);
        if (n < 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void plain_shutdown(struct tt_bench_stream *stream)
{
    shutdown(stream->fd, SHUT_WR);
}

static void plain_close(struct tt_bench_stream *stream)
{
    close(stream->fd);
}

const struct tt_bench_kind tt_bench_plain = {
    .name = "plain",
    .serve = plain_serve,
    .dial = plain_dial,
    .open = plain_open,
    .connections = plain_connections,
    .end = plain_end,
    .read = plain_read,
    .write = plain_write,
    .shutdown = plain_shutdown,
    .close = plain_close,
};
