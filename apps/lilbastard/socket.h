/* socket.h - a socket that the event loop watches, and the few things done to sockets.
 *
 * The owner says which events it wants; a change costs a system call, saying the same again
 * nothing.
 */
#ifndef TT_LIL_SOCKET_H
#define TT_LIL_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

/* What has happened: UV_READABLE, UV_WRITABLE, UV_DISCONNECT; after an error all three and this
 * one. The next read or write tells the reason.
 */
#define TT_LIL_SOCKET_FAILED (1 << 16)

typedef void tt_lil_socket_ready(void *ctx, int events);

struct tt_lil_socket {
    uv_poll_t poll;
    int fd; /* owned */
    int wanted_events;
    tt_lil_socket_ready *ready;
    void *ctx; /* borrowed */
};

/* How to close: in order (the kernel sends what is queued), or with a reset. */
enum tt_lil_close { TT_LIL_CLOSE, TT_LIL_RESET };

/* Takes fd over; makes it non-blocking and sends without Nagle's delay.
 * Returns NULL when there is no memory or the loop refuses it; then fd is closed with a reset.
 */
struct tt_lil_socket *tt_lil_socket_new(uv_loop_t *loop, int fd, tt_lil_socket_ready *ready,
                                        void *ctx);

/* Closes it; no event comes after this. The memory goes when the loop is done with it. NULL is
 * allowed.
 */
void tt_lil_socket_free(struct tt_lil_socket *s, enum tt_lil_close how);

/* Sets which events are wanted (UV_*), 0 for none. */
void tt_lil_socket_want(struct tt_lil_socket *s, int events);

/* The error that waits on the socket, and takes it off; 0 if there is none. */
int tt_lil_socket_error(const struct tt_lil_socket *s);

void tt_lil_close_fd(int fd, enum tt_lil_close how);

/* Makes the kernel hold at most about `bytes`, or 64 KiB if that is more, each way for fd. */
void tt_lil_bound_kernel_buffers(int fd, size_t bytes);

#endif
