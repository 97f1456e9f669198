#include "pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* As much as the system allows without privileges. If it allows less, the pipe just takes less. */
#define PIPE_BYTES (1u << 20)

/* Those that are full of bytes nobody reads do not count; of the others one or two are in use. */
#define MAX_IDLE 4

static void close_pipe(struct tt_lil_pipe *pipe)
{
    close(pipe->read_fd);
    close(pipe->write_fd);
    free(pipe);
}

static struct tt_lil_pipe *new_pipe(void)
{
    struct tt_lil_pipe *pipe = malloc(sizeof *pipe);
    int fds[2];

    if (!pipe || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        free(pipe);
        return NULL;
    }
    fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    *pipe = (struct tt_lil_pipe){.read_fd = fds[0], .write_fd = fds[1]};
    return pipe;
}

struct tt_lil_pipe *tt_lil_pipes_take(struct tt_lil_pipes *pipes)
{
    struct tt_lil_pipe *pipe = pipes->idle;

    if (!pipe)
        return new_pipe();
    pipes->idle = pipe->next;
    pipes->idle_count--;
    return pipe;
}

void tt_lil_pipes_give(struct tt_lil_pipes *pipes, struct tt_lil_pipe *pipe, bool is_empty)
{
    if (!is_empty || pipes->idle_count >= MAX_IDLE) {
        close_pipe(pipe);
        return;
    }
    pipe->next = pipes->idle;
    pipes->idle = pipe;
    pipes->idle_count++;
}

void tt_lil_pipes_dispose(struct tt_lil_pipes *pipes)
{
    while (pipes->idle)
        close_pipe(tt_lil_pipes_take(pipes));
}

ssize_t tt_lil_pipe_receive(struct tt_lil_pipe *pipe, int fd)
{
    const ssize_t n =
        splice(fd, NULL, pipe->write_fd, NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return n < 0 ? -errno : n;
}

ssize_t tt_lil_pipe_send(struct tt_lil_pipe *pipe, int fd, size_t max_bytes)
{
    const ssize_t n =
        splice(pipe->read_fd, NULL, fd, NULL, max_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return n < 0 ? -errno : n;
}
