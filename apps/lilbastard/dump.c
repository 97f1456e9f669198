#include "dump.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HEAD, PIECES, MOST_PARTS = PIECES + 2 + 1 }; /* head, one piece or two, newline */

int tt_lil_dump_open(struct tt_lil_dump *d, const char *path, uint64_t max_bytes)
{
    d->left_bytes = max_bytes;
    d->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return d->fd < 0 ? -errno : 0;
}

void tt_lil_dump_close(struct tt_lil_dump *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

static void give_up(struct tt_lil_dump *d, const char *why)
{
    tt_lil_log("dump ended: %s", why);
    tt_lil_dump_close(d);
}

/* Moves the parts past what was written. */
static void advance(struct iovec *parts, int count, size_t written)
{
    for (int i = 0; i < count && written > 0; i++) {
        const size_t n = written < parts[i].iov_len ? written : parts[i].iov_len;
        parts[i].iov_base = (char *)parts[i].iov_base + n;
        parts[i].iov_len -= n;
        written -= n;
    }
}

static void write_all(struct tt_lil_dump *d, struct iovec *parts, int count, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = writev(d->fd, parts, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            give_up(d, n < 0 ? strerror(errno) : "nothing more can be written");
            return;
        }
        advance(parts, count, (size_t)n);
        bytes -= (size_t)n;
    }
}

void tt_lil_dump_record(struct tt_lil_dump *d, uint64_t number, const char *direction,
                        const struct iovec *pieces, int count)
{
    char head[64], newline = '\n';
    struct iovec parts[MOST_PARTS];
    size_t payload_bytes = 0;

    if (d->fd < 0)
        return;
    for (int i = 0; i < count; i++) {
        parts[PIECES + i] = pieces[i];
        payload_bytes += pieces[i].iov_len;
    }
    const int n =
        snprintf(head, sizeof head, "#%" PRIu64 " %s %zu\n", number, direction, payload_bytes);
    const size_t bytes = (size_t)n + payload_bytes + 1;
    if (bytes > d->left_bytes) {
        give_up(d, "it is as large as --dump-max allows");
        return;
    }
    d->left_bytes -= bytes;
    parts[HEAD] = (struct iovec){head, (size_t)n};
    parts[PIECES + count] = (struct iovec){&newline, 1};
    write_all(d, parts, PIECES + count + 1, bytes);
}
