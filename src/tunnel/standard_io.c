#include "tunnel/standard_io.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <turbotunnel/error.h>

/* A description of its own, if the kernel gives one; else a second descriptor for the same. */
static int open_again(int fd, int mode)
{
    char path[32];
    struct stat st;
    if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        const int again = open(path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (again >= 0)
            return again;
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int tt_stdio_open(struct tt_stdio *s)
{
    s->in_flags = fcntl(STDIN_FILENO, F_GETFL);
    s->out_flags = fcntl(STDOUT_FILENO, F_GETFL);
    s->in_fd = open_again(STDIN_FILENO, O_RDONLY);
    s->out_fd = open_again(STDOUT_FILENO, O_WRONLY);
    if (s->in_fd < 0 || s->out_fd < 0) {
        if (s->in_fd >= 0)
            close(s->in_fd);
        if (s->out_fd >= 0)
            close(s->out_fd);
        return TT_E_SYSTEM;
    }
    /* The end of input must be seen by who reads our output: only the new descriptor is left. */
    s->open = true;
    return TT_OK;
}

void tt_stdio_close(struct tt_stdio *s)
{
    if (!s->open)
        return;
    s->open = false;
    if (s->in_flags >= 0)
        (void)fcntl(STDIN_FILENO, F_SETFL, s->in_flags);
    if (s->out_flags >= 0)
        (void)fcntl(STDOUT_FILENO, F_SETFL, s->out_flags);
}
