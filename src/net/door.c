#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "carrier/tcp.h"
#include "net/door.h"
#include "net/resolve.h"

#define ACCEPTS_A_TURN  64            /* before those who are here get their turn */
#define ACCEPT_PAUSE_US (100 * TT_MS) /* when the system has no descriptor for us */

static const char inherited[] = "fd:";

/* What libuv holds on to until it has closed it. */
struct tt_door_watch {
    uv_poll_t poll;
    struct tt_door *door; /* NULL: closed */
    struct tt_loop *worker;
    int fd;
};

/* --- binding --- */

static const char *advice(int err, bool is_path)
{
    if (is_path)
        return err == -EADDRINUSE ? " (another program listens there; choose another path)"
                                  : " (is the directory there, and may we write to it?)";
    switch (err) {
    case -EADDRINUSE:
        return " (another program listens there; choose another port, or 0 for any)";
    case -EACCES:
        return " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
    case -EADDRNOTAVAIL:
        return " (this machine does not have that address)";
    default:
        return "";
    }
}

/* Whether it is a socket that nobody listens on any more. */
static bool is_left_behind(const char *path, const struct addrinfo *at)
{
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false; /* connecting to a file is refused as well */
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const bool refused =
        fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

static int listen_at_path(struct tt_door *door, const struct tt_address *a, int *fd)
{
    struct tt_path_address at;
    struct stat st;
    tt_resolve_path(a, &at);
    int err = tt_tcp_listen(at.info.ai_addr, at.info.ai_addrlen, fd);
    if (err == -EADDRINUSE && is_left_behind(a->host, &at.info) && unlink(a->host) == 0)
        err = tt_tcp_listen(at.info.ai_addr, at.info.ai_addrlen, fd);
    if (err || stat(a->host, &st) < 0)
        return err;
    memcpy(door->path, a->host, strlen(a->host) + 1);
    door->device = st.st_dev;
    door->inode = st.st_ino;
    return 0;
}

/* A socket that somebody else has bound and listens on, and given to us. */
static int take_inherited(const char *digits, int *fd)
{
    int type = 0;
    int listens = 0;
    socklen_t len = sizeof type;
    char *end;
    const long n = strtol(digits, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || *end != '\0' || n > INT_MAX)
        return -EBADF;
    if (getsockopt((int)n, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    len = sizeof listens;
    if (getsockopt((int)n, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
        return -errno;
    if (type != SOCK_STREAM || !listens)
        return -EINVAL;
    if (fcntl((int)n, F_SETFL, fcntl((int)n, F_GETFL) | O_NONBLOCK) < 0 ||
        fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    *fd = (int)n;
    return 0;
}

/* 0, a negative errno, or TT_E_RESOLVE with the reason in *why. */
static int listen_at_name(const struct tt_address *a, const char *address, int *fd,
                          struct tt_error_text *why)
{
    struct addrinfo *found;
    const int gai = tt_resolve_blocking(a, true, &found);
    if (gai) {
        tt_why(why, "resolve %.100s: %s (is the name right?)", address, gai_strerror(gai));
        return TT_E_RESOLVE;
    }
    const int err = tt_tcp_listen(found->ai_addr, found->ai_addrlen, fd);
    freeaddrinfo(found);
    return err;
}

static int bind_socket(struct tt_door *door, const char *address, int *fd,
                       struct tt_error_text *why)
{
    struct tt_address a;
    struct sockaddr_storage bound = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof bound;

    const bool is_inherited = strncmp(address, inherited, sizeof inherited - 1) == 0;
    int err = is_inherited ? TT_OK : tt_address_parse(&a, address, why);
    if (err)
        return err;
    if (is_inherited)
        err = take_inherited(address + sizeof inherited - 1, fd);
    else
        err = a.is_path ? listen_at_path(door, &a, fd) : listen_at_name(&a, address, fd, why);
    if (err && is_inherited) {
        tt_why(why, "listen on %.20s: %s (it must be a stream socket that listens)", address,
               strerror(-err));
        return TT_E_ADDRESS;
    }
    if (err == TT_E_RESOLVE) /* as an errno this would be ENOTCONN, which nobody returns here */
        return err;
    if (err) {
        tt_why(why, "listen on %.110s: %s%s", address, strerror(-err), advice(err, a.is_path));
        return TT_E_ADDRESS;
    }
    (void)getsockname(*fd, (struct sockaddr *)&bound, &len);
    tt_address_format(door->address_text, (struct sockaddr *)&bound);
    return TT_OK;
}

static int make_watch(struct tt_door *door, int fd)
{
    const struct tt_alloc *alloc = door->worker->alloc;
    struct tt_door_watch *w = alloc->get(alloc->ctx, sizeof *w);
    if (!w)
        return TT_E_NOMEM;
    *w = (struct tt_door_watch){.door = door, .worker = door->worker, .fd = fd};
    if (uv_poll_init(&door->worker->uv, &w->poll, fd)) {
        alloc->put(alloc->ctx, w);
        return TT_E_SYSTEM;
    }
    w->poll.data = w;
    door->watch = w;
    return TT_OK;
}

static void pause_is_over(struct tt_timer *timer, uint64_t now_us)
{
    (void)now_us;
    tt_door_open(TT_CONTAINER_OF(timer, struct tt_door, pause));
}

int tt_door_bind(struct tt_door *door, const char *address, struct tt_error_text *why)
{
    int fd = -1;
    int err = tt_timer_init(door->worker, &door->pause, pause_is_over);
    if (err)
        return err;
    err = bind_socket(door, address, &fd, why);
    if (!err)
        err = make_watch(door, fd);
    if (err) {
        if (fd >= 0)
            close(fd);
        tt_timer_dispose(door->worker, &door->pause);
    }
    return err;
}

/* --- accepting --- */

static void wait_a_little(struct tt_door *door)
{
    (void)uv_poll_stop(&door->watch->poll);
    tt_timer_set(door->worker, &door->pause,
                 tt_deadline_after(tt_worker_now_us(), ACCEPT_PAUSE_US));
}

/* 0: somebody came in, or went before he was in; -EAGAIN: nobody is there. */
static int let_one_in(struct tt_door *door)
{
    int fd;
    const int err = tt_tcp_accept(door->watch->fd, &fd, NULL);
    if (!err)
        door->guest(door, fd);
    return err == -ECONNABORTED || err == -EINTR ? 0 : err;
}

static void somebody_knocks(uv_poll_t *handle, int status, int events)
{
    struct tt_door_watch *watch = handle->data;
    struct tt_door *door = watch->door;
    int err = status; /* libuv has stopped polling when there is one */
    (void)events;
    if (!door)
        return;
    tt_worker_turn(door->worker);
    for (int i = 0; i < ACCEPTS_A_TURN && !err && door->watch; i++)
        err = let_one_in(door);
    if (err && err != -EAGAIN && door->watch) {
        door->failures++;
        wait_a_little(door);
    }
}

void tt_door_open(struct tt_door *door)
{
    if (door->watch)
        (void)uv_poll_start(&door->watch->poll, UV_READABLE, somebody_knocks);
}

/* --- the end --- */

static void free_watch(uv_handle_t *handle)
{
    struct tt_door_watch *w = handle->data;
    tt_worker_turn(w->worker);
    w->worker->alloc->put(w->worker->alloc->ctx, w);
}

/* Unless somebody has put another one there meanwhile. */
static void remove_path(const struct tt_door *door)
{
    struct stat st;
    if (door->path[0] && stat(door->path, &st) == 0 && st.st_dev == door->device &&
        st.st_ino == door->inode)
        (void)unlink(door->path);
}

void tt_door_close(struct tt_door *door)
{
    struct tt_door_watch *w = door->watch;
    if (!w)
        return;
    door->watch = NULL;
    w->door = NULL;
    tt_timer_set(door->worker, &door->pause, TT_NEVER);
    uv_close((uv_handle_t *)&w->poll, free_watch);
    close(w->fd);
    remove_path(door);
}

void tt_door_dispose(struct tt_door *door)
{
    tt_door_close(door);
    tt_timer_dispose(door->worker, &door->pause);
}
