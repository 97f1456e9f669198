/* listener.h - the listening socket: accepts, pauses, and refuses for a while.
 *
 * While it refuses nobody listens: a connect is answered with a reset (ECONNREFUSED). The port
 * stays bound meanwhile, so that no other program can take it.
 */
#ifndef TT_LIL_LISTENER_H
#define TT_LIL_LISTENER_H

#include "address.h"
#include "socket.h"

#include <uv.h>

/* Takes fd over. */
typedef void tt_lil_accepted(void *ctx, int fd, const char *peer);

struct tt_lil_listener {
    uv_loop_t *loop;
    struct sockaddr_storage address;
    socklen_t address_len;
    size_t kernel_buffer_bytes;   /* for accepted sockets; 0: as the kernel likes */
    struct tt_lil_socket *socket; /* owned; NULL while it refuses, and when closed */
    int reserved_fd;              /* owned; bound but not listening, or -1 */
    int spare_fd;                 /* owned; for the upstream side of the next one, or -1 */
    bool paused;
    bool starved; /* out of descriptors or memory, and that was printed */
    uv_timer_t refuse_timer;
    uint64_t refuse_until_us;
    uv_timer_t retry_timer; /* runs only after accept has failed */
    tt_lil_accepted *accepted;
    void *ctx;
};

#define TT_LIL_LISTEN_ERROR_TEXT 512

/* Listens, and prints nothing. Returns 0, or -1 and the reason, one line, in error; then there is
 * nothing to close. kernel_buffer_bytes as above.
 */
int tt_lil_listener_open(struct tt_lil_listener *l, uv_loop_t *loop, const struct addrinfo *where,
                         size_t kernel_buffer_bytes, char error[TT_LIL_LISTEN_ERROR_TEXT]);

/* Starts accepting. */
void tt_lil_listener_start(struct tt_lil_listener *l, tt_lil_accepted *accepted, void *ctx);

/* Accepts nothing until resumed; the kernel keeps those who come in its queue. */
void tt_lil_listener_pause(struct tt_lil_listener *l);
void tt_lil_listener_resume(struct tt_lil_listener *l);

/* Refuses from now on for that long; called again while it does, it goes on from then. */
void tt_lil_listener_refuse(struct tt_lil_listener *l, uint64_t us);

/* Closes it; the loop must run once more before l's memory goes. */
void tt_lil_listener_close(struct tt_lil_listener *l);

#endif
