/* tcp.h - the sockets of the TCP carrier: non-blocking, and nothing of the protocol.
 *
 * All functions return 0 (or a descriptor through an out-parameter) or a negative errno.
 */
#ifndef TT_CARRIER_TCP_H
#define TT_CARRIER_TCP_H

#include <stddef.h>
#include <sys/socket.h>

#include "core/gather.h"

/* A listening socket. */
int tt_tcp_listen(const struct sockaddr *address, socklen_t len, int *fd);

/* A connection from a listening socket; -EAGAIN: none waits. peer may be NULL. */
int tt_tcp_accept(int listen_fd, int *fd, struct sockaddr_storage *peer);

/* Begins to connect: the socket becomes writable when that has succeeded or failed. */
int tt_tcp_connect_begin(const struct sockaddr *address, socklen_t len, int *fd);

/* How it ended: 0 or -errno. */
int tt_tcp_connect_result(int fd);

/* Reads up to cap bytes; *len 0 after 0: the end of the stream. -EAGAIN: nothing there. */
int tt_tcp_read(int fd, void *buf, size_t cap, size_t *len);

/* Writes as much as the socket takes, with one system call, and takes it off the gather. *full: the
 * socket takes no more now.
 */
int tt_tcp_write(int fd, struct tt_gather *g, bool *full);

#endif
