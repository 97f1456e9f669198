#include "tunnel/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES 256

/*   READING -> WRITING -> LEAVING (until the other end has closed, so that no reset overtakes what
 * was written)
 */
enum stage {
    READING,
    WRITING,
    LEAVING,
};

struct guest {
    struct tt_list_node node;
    struct tt_http *http;
    struct tt_loop *worker;
    struct tt_timer timer;
    uv_poll_t poll;
    int fd; /* -1: closed */
    enum stage stage;
    size_t have; /* of the request */
    char *reply; /* owned, or NULL */
    size_t reply_len, written;
    char request[TT_HTTP_REQUEST];
};

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    default:
        return "Bad Request";
    }
}

/* --- a connection --- */

static void free_guest(uv_handle_t *handle)
{
    struct guest *g = handle->data;
    tt_worker_turn(g->worker);
    free(g->reply);
    free(g);
}

static void leave(struct guest *g)
{
    close(g->fd);
    g->fd = -1;
    g->http->guest_count--;
    tt_list_remove(&g->node);
    tt_timer_dispose(g->worker, &g->timer);
    uv_close((uv_handle_t *)&g->poll, free_guest);
}

static void poll_for(struct guest *g, int events);

/* Returns 0 or TT_E_NOMEM. */
static int make_reply(struct guest *g, int status)
{
    char *reply = malloc(HEAD_BYTES + TT_HTTP_PAGE);
    char *body = reply + HEAD_BYTES;
    if (!reply)
        return TT_E_NOMEM;
    size_t len = status == 200 ? g->http->page(g->http, body, TT_HTTP_PAGE) : 0;
    if (status != 200)
        len = (size_t)snprintf(body, TT_HTTP_PAGE, "%d %s\n", status, reason(status));
    const int head = snprintf(reply, HEAD_BYTES,
                              "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
                              "Connection: close\r\n\r\n",
                              status, reason(status), status == 200 ? g->http->type : "text/plain",
                              len, status == 405 ? "Allow: GET\r\n" : "");
    memmove(reply + head, body, len);
    g->reply = reply;
    g->reply_len = (size_t)head + len;
    return TT_OK;
}

static void write_some(struct guest *g)
{
    while (g->written < g->reply_len) {
        const ssize_t n = send(g->fd, g->reply + g->written, g->reply_len - g->written,
                               MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            leave(g);
            return;
        }
        g->written += (size_t)n;
    }
    g->stage = LEAVING;
    (void)shutdown(g->fd, SHUT_WR);
    poll_for(g, UV_READABLE);
}

static void decide(struct guest *g)
{
    const int status = tt_http_judge(g->request, g->have, g->http->path);
    if (status == 0)
        return;
    if (make_reply(g, status)) {
        leave(g);
        return;
    }
    g->stage = WRITING;
    poll_for(g, UV_WRITABLE);
}

static void read_some(struct guest *g)
{
    char thrown_away[1024];
    char *into = g->stage == READING ? g->request + g->have : thrown_away;
    const size_t cap = g->stage == READING ? sizeof g->request - g->have : sizeof thrown_away;
    const ssize_t n = recv(g->fd, into, cap, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        leave(g);
        return;
    }
    if (g->stage != READING)
        return;
    g->have += (size_t)n;
    decide(g);
}

static void ready(uv_poll_t *handle, int status, int events)
{
    struct guest *g = handle->data;
    (void)events;
    tt_worker_turn(g->worker);
    if (g->fd < 0)
        return;
    if (status < 0)
        leave(g);
    else if (g->stage == WRITING)
        write_some(g);
    else
        read_some(g);
}

static void poll_for(struct guest *g, int events)
{
    (void)uv_poll_start(&g->poll, events, ready);
}

static void too_late(struct tt_timer *timer, uint64_t now_us)
{
    (void)now_us;
    leave(TT_CONTAINER_OF(timer, struct guest, timer));
}

static int init(struct guest *g, struct tt_http *http, int fd)
{
    *g = (struct guest){.http = http, .worker = http->worker, .fd = fd};
    if (uv_poll_init(&http->worker->uv, &g->poll, fd))
        return TT_E_SYSTEM;
    g->poll.data = g;
    if (tt_timer_init(http->worker, &g->timer, too_late)) {
        g->fd = -1;
        uv_close((uv_handle_t *)&g->poll, free_guest);
        return TT_E_NOMEM;
    }
    return TT_OK;
}

static void greet(struct tt_door *door, int fd)
{
    struct tt_http *http = TT_CONTAINER_OF(door, struct tt_http, door);
    struct guest *g = NULL;
    if (http->guest_count < TT_HTTP_GUESTS)
        g = malloc(sizeof *g);
    if (!g) {
        http->turned_away++;
        close(fd);
        return;
    }
    const int err = init(g, http, fd);
    if (err) {
        if (err == TT_E_SYSTEM)
            free(g);
        close(fd);
        return;
    }
    http->guest_count++;
    tt_list_push_back(&http->guests, &g->node);
    tt_timer_set(http->worker, &g->timer, tt_deadline_after(tt_worker_now_us(), TT_HTTP_US));
    poll_for(g, UV_READABLE);
}

int tt_http_begin(struct tt_http *http, const char *address, struct tt_error_text *why)
{
    tt_list_init(&http->guests);
    http->door = (struct tt_door){.worker = http->worker, .guest = greet};
    const int err = tt_door_bind(&http->door, address, why);
    if (!err)
        tt_door_open(&http->door);
    return err;
}

void tt_http_end(struct tt_http *http)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(&http->guests)) != NULL)
        leave(TT_CONTAINER_OF(node, struct guest, node));
    tt_door_dispose(&http->door);
}
