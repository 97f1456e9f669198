#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/uio.h>
#include <unistd.h>

#include "carrier/tcp.h"

/* A gather's spans are handed to the kernel as they are. */
static_assert(sizeof(struct tt_span) == sizeof(struct iovec) &&
                  offsetof(struct tt_span, ptr) == offsetof(struct iovec, iov_base) &&
                  offsetof(struct tt_span, len) == offsetof(struct iovec, iov_len),
              "struct tt_span is laid out like struct iovec");
static_assert(TT_GATHER_SPANS <= IOV_MAX, "one system call takes a whole gather");

/* Bytes that may lie unsent in the kernel before the socket counts as full: enough to keep the path
 * busy between two turns of the loop, little enough that acks and other streams do not wait behind.
 */
#define NOTSENT_LOWAT_BYTES (256 << 10)

static void tune(int fd)
{
    /* Best effort: a socket without these works, only less well. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){NOTSENT_LOWAT_BYTES}, sizeof(int));
}

static int open_socket(int family, int *fd)
{
    *fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return *fd < 0 ? -errno : 0;
}

int tt_tcp_listen(const struct sockaddr *address, socklen_t len, int *fd)
{
    int err = open_socket(address->sa_family, fd);
    if (err)
        return err;
    if (setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(*fd, address, len) < 0 || listen(*fd, SOMAXCONN) < 0) {
        err = -errno;
        close(*fd);
        *fd = -1;
    }
    return err;
}

int tt_tcp_accept(int listen_fd, int *fd, struct sockaddr_storage *peer)
{
    socklen_t len = sizeof *peer;
    *fd = accept4(listen_fd, (struct sockaddr *)peer, peer ? &len : NULL,
                  SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (*fd < 0)
        return -errno;
    tune(*fd);
    return 0;
}

int tt_tcp_connect_begin(const struct sockaddr *address, socklen_t len, int *fd)
{
    int err = open_socket(address->sa_family, fd);
    if (err)
        return err;
    tune(*fd);
    if (connect(*fd, address, len) < 0 && errno != EINPROGRESS) {
        err = -errno;
        close(*fd);
        *fd = -1;
    }
    return err;
}

int tt_tcp_connect_result(int fd)
{
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    return -err;
}

int tt_tcp_read(int fd, void *buf, size_t cap, size_t *len)
{
    ssize_t n;
    do {
        n = recv(fd, buf, cap, 0);
    } while (n < 0 && errno == EINTR);
    *len = n > 0 ? (size_t)n : 0;
    return n < 0 ? -errno : 0;
}

int tt_tcp_write(int fd, struct tt_gather *g, bool *full)
{
    /* sendmsg, not writev: a connection that the peer has reset must not raise SIGPIPE. */
    struct msghdr message = {.msg_iov = (struct iovec *)(void *)&g->spans[g->first],
                             .msg_iovlen = g->count - g->first};
    ssize_t n;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    *full = false;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        *full = true;
        return 0;
    }
    if (n < 0)
        return -errno;
    *full = (size_t)n < g->bytes;
    tt_gather_advance(g, (size_t)n);
    return 0;
}
