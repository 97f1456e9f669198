#include "tunnel/socks_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/socks5.h"

#define TIME_US (30 * TT_SECOND) /* for all it has to say; people may type a password */

struct guest {
    struct tt_list_node node;
    struct tt_socks_host host;
    struct tt_socks socks;
    struct tt_timer timer;
    uv_poll_t poll;
    int fd; /* -1: given away, or closed */
};

static void free_guest(uv_handle_t *handle)
{
    struct guest *g = handle->data;
    tt_worker_turn(g->host.worker);
    free(g);
}

/* Returns the descriptor, which is the caller's. */
static int leave(struct guest *g)
{
    const int fd = g->fd;
    g->fd = -1;
    tt_list_remove(&g->node);
    tt_timer_dispose(g->host.worker, &g->timer);
    uv_close((uv_handle_t *)&g->poll, free_guest);
    return fd;
}

void tt_socks_guest_abort_all(struct tt_list *guests)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(guests)) != NULL)
        close(leave(TT_CONTAINER_OF(node, struct guest, node)));
}

/* A few bytes into an empty socket: it takes them, or is broken. */
static void send_reply(const struct guest *g)
{
    if (g->socks.reply_len > 0)
        (void)!send(g->fd, g->socks.reply, g->socks.reply_len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool is_under_way(const struct guest *g)
{
    return g->socks.stage != TT_SOCKS_DONE && g->socks.stage != TT_SOCKS_FAILED;
}

/* false: nothing more can be read now; *gone: or ever. */
static bool read_some(struct guest *g, bool *gone)
{
    struct tt_socks *s = &g->socks;
    const ssize_t n = recv(g->fd, s->message + s->have, tt_socks_missing(s), MSG_DONTWAIT);
    if (n <= 0) {
        *gone = n == 0 || (errno != EAGAIN && errno != EINTR);
        return false;
    }
    tt_socks_came(s, (size_t)n);
    send_reply(g);
    return is_under_way(g);
}

static void ready(uv_poll_t *handle, int status, int events)
{
    struct guest *g = handle->data;
    bool gone = status < 0;
    (void)events;
    tt_worker_turn(g->host.worker);
    if (g->fd < 0)
        return;
    while (!gone && read_some(g, &gone))
        continue;
    if (g->socks.stage == TT_SOCKS_DONE) {
        const int fd = leave(g);
        g->host.asked(g->host.ctx, fd, &g->socks.target); /* g is freed after this turn */
    } else if (gone || g->socks.stage == TT_SOCKS_FAILED) {
        close(leave(g));
    }
}

static void too_late(struct tt_timer *timer, uint64_t now_us)
{
    (void)now_us;
    close(leave(TT_CONTAINER_OF(timer, struct guest, timer)));
}

void tt_socks_guest_begin(const struct tt_socks_host *host, int fd)
{
    struct guest *g = calloc(1, sizeof *g);
    if (!g || uv_poll_init(&host->worker->uv, &g->poll, fd)) {
        free(g);
        close(fd);
        return;
    }
    g->poll.data = g;
    g->host = *host;
    g->socks = (struct tt_socks){.stage = TT_SOCKS_GREETING};
    g->fd = fd;
    if (tt_timer_init(host->worker, &g->timer, too_late)) {
        g->fd = -1;
        uv_close((uv_handle_t *)&g->poll, free_guest);
        close(fd);
        return;
    }
    tt_list_push_back(host->guests, &g->node);
    tt_timer_set(host->worker, &g->timer, tt_deadline_after(tt_worker_now_us(), TIME_US));
    (void)uv_poll_start(&g->poll, UV_READABLE, ready);
}
