#include "listener.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Connections accepted in a row before the ones that are there get their turn. */
#define ACCEPTS_PER_EVENT 64

#define RETRY_MS 1000

static int new_bound_socket(const struct sockaddr *address, socklen_t len, size_t buffer_bytes)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    /* Accepted sockets inherit it; set later it would be too late for the window scale. */
    if (buffer_bytes > 0)
        tt_lil_bound_kernel_buffers(fd, buffer_bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0 &&
        bind(fd, address, len) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static const char *advice(int error)
{
    switch (error) {
    case EADDRINUSE:
        return " (another program listens there: choose another port, or 0 for any)";
    case EACCES:
        return " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
    case EADDRNOTAVAIL:
        return " (this machine has no such address: 0.0.0.0 and [::] stand for all it has)";
    default:
        return "";
    }
}

static void accept_waiting(void *ctx, int events);

/* Makes a listening socket of reserved_fd. Returns 0 or -1 with errno; then the fd is closed. */
static int listen_on_reserved(struct tt_lil_listener *l)
{
    int fd = l->reserved_fd;

    l->reserved_fd = -1;
    if (listen(fd, SOMAXCONN) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    l->socket = tt_lil_socket_new(l->loop, fd, accept_waiting, l);
    errno = ENOMEM;
    return l->socket ? 0 : -1;
}

static int open_one(struct tt_lil_listener *l, const struct addrinfo *where)
{
    l->reserved_fd = new_bound_socket(where->ai_addr, where->ai_addrlen, l->kernel_buffer_bytes);
    if (l->reserved_fd < 0 || listen_on_reserved(l) < 0)
        return -1;
    l->address_len = sizeof l->address;
    return getsockname(l->socket->fd, (struct sockaddr *)&l->address, &l->address_len);
}

int tt_lil_listener_open(struct tt_lil_listener *l, uv_loop_t *loop, const struct addrinfo *where,
                         size_t kernel_buffer_bytes, char error[TT_LIL_LISTEN_ERROR_TEXT])
{
    char text[TT_LIL_ADDRESS_TEXT];

    *l = (struct tt_lil_listener){
        .loop = loop,
        .kernel_buffer_bytes = kernel_buffer_bytes,
        .reserved_fd = -1,
        .spare_fd = -1,
    };
    for (; where; where = where->ai_next) {
        if (open_one(l, where) == 0)
            break;
        snprintf(error, TT_LIL_LISTEN_ERROR_TEXT, "cannot listen on %s: %s%s",
                 tt_lil_address_text(where->ai_addr, where->ai_addrlen, text), strerror(errno),
                 advice(errno));
    }
    if (!where)
        return -1;
    uv_timer_init(loop, &l->refuse_timer);
    uv_timer_init(loop, &l->retry_timer);
    l->refuse_timer.data = l->retry_timer.data = l;
    return 0;
}

static void watch(struct tt_lil_listener *l)
{
    if (l->socket)
        tt_lil_socket_want(l->socket, l->paused ? 0 : UV_READABLE);
}

void tt_lil_listener_start(struct tt_lil_listener *l, tt_lil_accepted *accepted, void *ctx)
{
    l->accepted = accepted;
    l->ctx = ctx;
    watch(l);
}

void tt_lil_listener_pause(struct tt_lil_listener *l)
{
    l->paused = true;
    watch(l);
}

void tt_lil_listener_resume(struct tt_lil_listener *l)
{
    uv_timer_stop(&l->retry_timer);
    l->paused = false;
    watch(l);
}

static void retry(uv_timer_t *timer)
{
    tt_lil_listener_resume(timer->data);
}

/* Accept failed, and would fail again at once: the one who waits is still in the queue. */
static void wait_for_resources(struct tt_lil_listener *l, int error)
{
    if (!l->starved)
        tt_lil_log("cannot accept: %s; new connections wait until others end%s", strerror(error),
                   error == EMFILE ? " (raise the limit with ulimit -n)" : "");
    l->starved = true;
    tt_lil_listener_pause(l);
    uv_timer_start(&l->retry_timer, retry, RETRY_MS, 0);
}

/* Keeps one descriptor back, so that whoever is accepted can be connected upstream as well. */
static bool keep_spare_fd(struct tt_lil_listener *l)
{
    if (l->spare_fd < 0)
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return l->spare_fd >= 0;
}

static void give_up_spare_fd(struct tt_lil_listener *l)
{
    if (l->spare_fd >= 0)
        close(l->spare_fd);
    l->spare_fd = -1;
}

/* Other errors concern the one connection that was to be accepted. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Returns 0 when one was accepted, or an errno. */
static int accept_one(struct tt_lil_listener *l)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    char peer[TT_LIL_ADDRESS_TEXT];

    if (!keep_spare_fd(l))
        return errno;
    int fd = accept4(l->socket->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno;
    give_up_spare_fd(l);
    l->accepted(l->ctx, fd, tt_lil_address_text((struct sockaddr *)&from, len, peer));
    return 0;
}

static void accept_waiting(void *ctx, int events)
{
    struct tt_lil_listener *l = ctx;

    (void)events;
    /* Each accepted connection may make the owner pause, refuse or close. */
    for (int i = 0; i < ACCEPTS_PER_EVENT && l->socket && !l->paused; i++) {
        const int error = accept_one(l);
        if (error == EAGAIN) {
            l->starved = false; /* nobody waits any more: a new shortage is news again */
            return;
        }
        if (is_shortage(error))
            wait_for_resources(l, error);
    }
}

static void refuse_timer_fired(uv_timer_t *timer);

static void arm_refuse_timer(struct tt_lil_listener *l)
{
    const uint64_t now = tt_lil_now_us();
    const uint64_t wait_us = l->refuse_until_us > now ? l->refuse_until_us - now : 0;

    uv_update_time(l->loop);
    uv_timer_start(&l->refuse_timer, refuse_timer_fired, (wait_us + 999) / 1000, 0);
}

static void reserve(struct tt_lil_listener *l)
{
    if (l->reserved_fd < 0)
        l->reserved_fd = new_bound_socket((struct sockaddr *)&l->address, l->address_len,
                                          l->kernel_buffer_bytes);
}

static void refuse_timer_fired(uv_timer_t *timer)
{
    struct tt_lil_listener *l = timer->data;

    if (tt_lil_now_us() < l->refuse_until_us) {
        arm_refuse_timer(l);
        return;
    }
    reserve(l);
    if (l->reserved_fd < 0 || listen_on_reserved(l) < 0) {
        tt_lil_log("cannot listen again: %s; trying again in a second", strerror(errno));
        uv_timer_start(&l->refuse_timer, refuse_timer_fired, RETRY_MS, 0);
        return;
    }
    tt_lil_log("accepting new connections again");
    watch(l);
}

void tt_lil_listener_refuse(struct tt_lil_listener *l, uint64_t us)
{
    const uint64_t until_us = tt_lil_now_us() + us;

    if (until_us > l->refuse_until_us)
        l->refuse_until_us = until_us;
    if (!l->socket)
        return; /* the timer runs already, and will see the new time */
    tt_lil_log("refusing new connections for %.3f s", (double)us / 1e6);
    tt_lil_socket_free(l->socket, TT_LIL_CLOSE);
    l->socket = NULL;
    reserve(l);
    arm_refuse_timer(l);
}

void tt_lil_listener_close(struct tt_lil_listener *l)
{
    tt_lil_socket_free(l->socket, TT_LIL_CLOSE);
    l->socket = NULL;
    if (l->reserved_fd >= 0)
        close(l->reserved_fd);
    l->reserved_fd = -1;
    give_up_spare_fd(l);
    uv_close((uv_handle_t *)&l->refuse_timer, NULL);
    uv_close((uv_handle_t *)&l->retry_timer, NULL);
}
