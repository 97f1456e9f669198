#include "socket.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* Below this a receive buffer holds a handful of packets: small ones fill it with the kernel's
 * bookkeeping alone, it closes its window or drops them, and the sender's timers back off for
 * seconds, or minutes.
 */
#define MIN_KERNEL_BUFFER_BYTES (64u << 10)

void tt_lil_close_fd(int fd, enum tt_lil_close how)
{
    const struct linger no_linger = {.l_onoff = 1, .l_linger = 0};

    if (how == TT_LIL_RESET)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof no_linger);
    close(fd);
}

void tt_lil_bound_kernel_buffers(int fd, size_t bytes)
{
    if (bytes < MIN_KERNEL_BUFFER_BYTES)
        bytes = MIN_KERNEL_BUFFER_BYTES;
    /* The kernel doubles what it is given, to have room for its own bookkeeping. */
    const int half = bytes / 2 > INT_MAX ? INT_MAX : (int)(bytes / 2);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof half);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof half);
}

static void polled(uv_poll_t *poll, int status, int events)
{
    struct tt_lil_socket *s = poll->data;

    if (status < 0) {
        /* libuv has stopped watching. */
        s->wanted_events = 0;
        events = UV_READABLE | UV_WRITABLE | UV_DISCONNECT | TT_LIL_SOCKET_FAILED;
    }
    s->ready(s->ctx, events);
}

struct tt_lil_socket *tt_lil_socket_new(uv_loop_t *loop, int fd, tt_lil_socket_ready *ready,
                                        void *ctx)
{
    struct tt_lil_socket *s = calloc(1, sizeof *s);

    if (!s || uv_poll_init(loop, &s->poll, fd) != 0) {
        free(s);
        tt_lil_close_fd(fd, TT_LIL_RESET);
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    s->poll.data = s;
    s->fd = fd;
    s->ready = ready;
    s->ctx = ctx;
    return s;
}

static void forget(uv_handle_t *handle)
{
    free(handle->data);
}

void tt_lil_socket_free(struct tt_lil_socket *s, enum tt_lil_close how)
{
    if (!s)
        return;
    uv_close((uv_handle_t *)&s->poll, forget); /* first: it takes fd out of the poll set */
    tt_lil_close_fd(s->fd, how);
}

void tt_lil_socket_want(struct tt_lil_socket *s, int events)
{
    if (events == s->wanted_events)
        return;
    s->wanted_events = events;
    if (events)
        uv_poll_start(&s->poll, events, polled);
    else
        uv_poll_stop(&s->poll);
}

int tt_lil_socket_error(const struct tt_lil_socket *s)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}
