#include "connection.h"

#include "clock.h"
#include "flow.h"
#include "log.h"
#include "socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* How long, and for how many bytes, a side is drained: a program that sees the end of the stream
 * needs no more, and one that ignores it is not waited for.
 */
#define DRAIN_MS    3000
#define DRAIN_BYTES (1u << 30)

enum state { CONNECTING, FORWARDING, ENDING, GONE };

/* What is done with one socket. LIVE: all that the connection's state needs. */
enum mode { LIVE, DRAINING, SILENT, CLOSED };

enum { CLIENT, SERVER };
enum { UP, DOWN }; /* flows: UP reads from CLIENT, DOWN from SERVER */

struct side {
    struct tt_lil_connection *connection;
    struct tt_lil_socket *socket; /* owned; NULL when CLOSED, or before a connect */
    enum mode mode;
    bool end_heard; /* the peer has ended its direction; it will not be told again */
    uint64_t drained_bytes;
};

struct tt_lil_connection {
    struct tt_lil_world *world;
    struct tt_lil_link link;
    uint64_t number;
    uint64_t opened_us;
    enum state state;
    bool silent_reported;
    struct side sides[2];
    struct tt_lil_flow flows[2];
    uint64_t left_bytes;                  /* before --after-bytes ends it */
    const struct addrinfo *connecting_to; /* borrowed, as the next one */
    const struct addrinfo *next_upstream; /* to try when the current one fails */
    uv_timer_t end_timer;                 /* the age limit; then the end of draining */
    uv_timer_t flow_timer;                /* delay and rate: when something may leave */
    int open_timers;
};

static const char *const side_names[] = {"client", "server"};

static uint64_t ms_rounded_up(uint64_t us)
{
    return us / 1000 + (us % 1000 != 0);
}

uint64_t tt_lil_connection_number(const struct tt_lil_connection *c)
{
    return c->number;
}

bool tt_lil_connection_is_silent(const struct tt_lil_connection *c)
{
    return c->silent_reported;
}

struct tt_lil_link *tt_lil_connection_link(struct tt_lil_connection *c)
{
    return &c->link;
}

/* Reports what became of the connection, with its age and how much it carried. */
static void log_end(const struct tt_lil_connection *c, const char *what, const char *by)
{
    const double age_s = (double)(tt_lil_now_us() - c->opened_us) / 1e6;
    tt_lil_log("#%" PRIu64 " %s%s after %.3f s, %" PRIu64 " bytes up, %" PRIu64 " bytes down",
               c->number, what, by, age_s, c->flows[UP].forwarded_bytes,
               c->flows[DOWN].forwarded_bytes);
}

static void timer_closed(uv_handle_t *handle)
{
    struct tt_lil_connection *c = handle->data;
    if (--c->open_timers == 0)
        free(c);
}

static void close_side(struct side *side, enum tt_lil_close how)
{
    tt_lil_socket_free(side->socket, how);
    side->socket = NULL;
    side->mode = CLOSED;
}

/* The one way out of existence. */
static void finish(struct tt_lil_connection *c, enum tt_lil_close how)
{
    c->state = GONE;
    for (int i = 0; i < 2; i++) {
        close_side(&c->sides[i], how);
        tt_lil_hold_dispose(&c->flows[i].hold);
    }
    c->world->happened(c->world->ctx, c, TT_LIL_GONE);
    uv_close((uv_handle_t *)&c->end_timer, timer_closed);
    uv_close((uv_handle_t *)&c->flow_timer, timer_closed);
}

void tt_lil_connection_drop(struct tt_lil_connection *c)
{
    finish(c, TT_LIL_CLOSE);
}

/* --- ending ---------------------------------------------------------------------------------- */

static void drain_side(struct side *side)
{
    if (!side->socket || shutdown(side->socket->fd, SHUT_WR) < 0) {
        close_side(side, TT_LIL_CLOSE);
        return;
    }
    side->mode = DRAINING;
    tt_lil_socket_want(side->socket, UV_READABLE);
}

/* Leaves a side open and untouched. Keepalive notices a machine that went away without a word, and
 * a program that ends after it has ended its direction.
 */
static void silence_side(struct side *side)
{
    if (!side->socket) {
        close_side(side, TT_LIL_CLOSE);
        return;
    }
    side->mode = SILENT;
    setsockopt(side->socket->fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
    tt_lil_socket_want(side->socket, side->end_heard ? UV_PRIORITIZED : UV_DISCONNECT);
}

static bool has_side_in(const struct tt_lil_connection *c, enum mode mode)
{
    return c->sides[CLIENT].mode == mode || c->sides[SERVER].mode == mode;
}

/* Called when a side's mode changed. */
static void check_ending(struct tt_lil_connection *c)
{
    if (has_side_in(c, DRAINING))
        return;
    if (!has_side_in(c, SILENT)) {
        finish(c, TT_LIL_CLOSE);
    } else if (!c->silent_reported) {
        c->silent_reported = true;
        uv_timer_stop(&c->end_timer);
        c->world->happened(c->world->ctx, c, TT_LIL_SILENT);
    }
}

static void drain_timed_out(uv_timer_t *timer)
{
    struct tt_lil_connection *c = timer->data;
    for (int i = 0; i < 2; i++) {
        if (c->sides[i].mode == DRAINING)
            close_side(&c->sides[i], TT_LIL_CLOSE);
    }
    check_ending(c);
}

/* Ends the connection on purpose, in the way that --how says. */
static void terminate(struct tt_lil_connection *c)
{
    const enum tt_lil_how how = c->world->options->how;
    char what[32];

    snprintf(what, sizeof what, "terminated (%s)", tt_lil_how_text(how));
    log_end(c, what, "");
    c->state = ENDING;
    /* Before anybody can notice: who dials again at once shall already be refused. */
    c->world->happened(c->world->ctx, c, TT_LIL_TERMINATED);
    if (how == TT_LIL_RST) {
        finish(c, TT_LIL_RESET);
        return;
    }
    uv_timer_stop(&c->flow_timer);
    uv_timer_start(&c->end_timer, drain_timed_out, DRAIN_MS, 0);
    for (int i = 0; i < 2; i++) {
        tt_lil_hold_dispose(&c->flows[i].hold);
        if (how == TT_LIL_FREEZE || (how == TT_LIL_GHOST && i == SERVER))
            silence_side(&c->sides[i]);
        else
            drain_side(&c->sides[i]);
    }
    check_ending(c);
}

static void lifetime_is_over(uv_timer_t *timer)
{
    terminate(timer->data);
}

/* Reads what comes and throws it away (MSG_TRUNC: without even copying it). */
static void drain(struct side *side)
{
    ssize_t n = recv(side->socket->fd, NULL, 1u << 20, MSG_TRUNC);

    if (n > 0)
        side->drained_bytes += (uint64_t)n;
    if (n > 0 && side->drained_bytes < DRAIN_BYTES)
        return;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close_side(side, TT_LIL_CLOSE);
    check_ending(side->connection);
}

/* The peer of a silent side has gone: nothing is left to be silent for. */
static void end_silence(struct side *side)
{
    struct tt_lil_connection *c = side->connection;
    log_end(c, "left by the ", side_names[side == &c->sides[SERVER]]);
    finish(c, tt_lil_socket_error(side->socket) ? TT_LIL_RESET : TT_LIL_CLOSE);
}

/* --- forwarding ------------------------------------------------------------------------------ */

static int wanted_events(const struct tt_lil_connection *c, int side)
{
    const struct tt_lil_flow *from = &c->flows[side];
    const struct tt_lil_flow *to = &c->flows[!side];
    int events = c->sides[side].end_heard ? 0 : UV_DISCONNECT;

    if (tt_lil_flow_wants_source(from))
        events |= UV_READABLE;
    if (tt_lil_flow_wants_sink(to))
        events |= UV_WRITABLE;
    return events;
}

static void flow_timer_fired(uv_timer_t *timer);

/* Tells the loop what this connection waits for. */
static void wait_for_more(struct tt_lil_connection *c, uint64_t now)
{
    uint64_t deadline_us = UINT64_MAX;

    for (int i = 0; i < 2; i++) {
        tt_lil_socket_want(c->sides[i].socket, wanted_events(c, i));
        const uint64_t flow_us = tt_lil_flow_deadline_us(&c->flows[i], now);
        deadline_us = flow_us < deadline_us ? flow_us : deadline_us;
    }
    if (deadline_us == UINT64_MAX) {
        uv_timer_stop(&c->flow_timer);
        return;
    }
    uv_update_time(c->world->loop);
    const uint64_t wait_us = deadline_us > now ? deadline_us - now : 0;
    uv_timer_start(&c->flow_timer, flow_timer_fired, ms_rounded_up(wait_us), 0);
}

static enum tt_lil_flow_result pump(struct tt_lil_connection *c, int flow, uint64_t now)
{
    return tt_lil_flow_pump(&c->flows[flow], c->sides[flow].socket->fd, c->sides[!flow].socket->fd,
                            now);
}

/* One program reset its side: so do we with the other. */
static void pass_on_reset(struct tt_lil_connection *c, int side)
{
    log_end(c, "reset by the ", side_names[side]);
    finish(c, TT_LIL_RESET);
}

/* A write to `side` failed. What it had sent before is still readable, and the other program would
 * have got it without us: an error message before the reset, mostly.
 */
static void sink_failed(struct tt_lil_connection *c, int side, uint64_t now)
{
    c->flows[side].source_ready = true;
    if (pump(c, side, now) == TT_LIL_FLOW_USED_UP)
        terminate(c);
    else
        pass_on_reset(c, side);
}

/* Moves what can be moved in both directions, then waits for more. */
static void step(struct tt_lil_connection *c)
{
    const uint64_t now = tt_lil_now_us();

    for (int i = 0; i < 2; i++) {
        switch (pump(c, i, now)) {
        case TT_LIL_FLOW_GOES_ON:
            break;
        case TT_LIL_FLOW_USED_UP:
            terminate(c);
            return;
        case TT_LIL_FLOW_SOURCE_FAILED:
            pass_on_reset(c, i);
            return;
        case TT_LIL_FLOW_SINK_FAILED:
            sink_failed(c, !i, now);
            return;
        }
    }
    if (c->flows[UP].end_passed && c->flows[DOWN].end_passed) {
        log_end(c, "closed by both programs", "");
        finish(c, TT_LIL_CLOSE);
        return;
    }
    wait_for_more(c, now);
}

static void flow_timer_fired(uv_timer_t *timer)
{
    step(timer->data);
}

static void forward(struct side *side, int events)
{
    struct tt_lil_connection *c = side->connection;
    const int at = side == &c->sides[SERVER];

    if (events & (UV_READABLE | UV_DISCONNECT))
        c->flows[at].source_ready = true;
    if (events & UV_WRITABLE)
        c->flows[!at].sink_blocked = false;
    step(c);
    /* No room to read, nothing to write, and still the socket has an error to tell. */
    if (events & TT_LIL_SOCKET_FAILED && c->state == FORWARDING &&
        tt_lil_socket_error(side->socket) != 0)
        pass_on_reset(c, at);
}

/* --- connecting ------------------------------------------------------------------------------ */

static void side_ready(void *ctx, int events);

static int start_connect(struct tt_lil_connection *c, const struct addrinfo *to)
{
    const struct tt_lil_options *options = c->world->options;
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    if (options->buffer_bytes > 0)
        tt_lil_bound_kernel_buffers(fd, options->buffer_bytes);
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return error;
    }
    struct side *server = &c->sides[SERVER];
    server->socket = tt_lil_socket_new(c->world->loop, fd, side_ready, server);
    if (!server->socket)
        return ENOMEM;
    tt_lil_socket_want(server->socket, UV_WRITABLE);
    return 0;
}

static void log_connect_failure(const struct tt_lil_connection *c, const struct addrinfo *to,
                                int error)
{
    char where[TT_LIL_ADDRESS_TEXT];
    tt_lil_log("#%" PRIu64 " upstream connect failed: %s: %s", c->number,
               tt_lil_address_text(to->ai_addr, to->ai_addrlen, where), strerror(error));
}

/* Tries the addresses that are left. When there are no more, c is gone. */
static void connect_next(struct tt_lil_connection *c)
{
    while (c->next_upstream) {
        c->connecting_to = c->next_upstream;
        c->next_upstream = c->next_upstream->ai_next;
        int error = start_connect(c, c->connecting_to);
        if (error == 0)
            return;
        log_connect_failure(c, c->connecting_to, error);
    }
    finish(c, TT_LIL_RESET); /* the nearest to a refused connect that the client can still see */
}

/* The connect has succeeded or failed. */
static void connected(struct tt_lil_connection *c)
{
    struct side *server = &c->sides[SERVER];
    const int error = tt_lil_socket_error(server->socket);

    if (error == 0) {
        c->state = FORWARDING;
        c->flows[UP].source_ready = true; /* the client may have been waiting */
        step(c);
        return;
    }
    log_connect_failure(c, c->connecting_to, error);
    tt_lil_socket_free(server->socket, TT_LIL_CLOSE);
    server->socket = NULL;
    connect_next(c);
}

/* The client does something while the server is not there yet. */
static void client_is_early(struct side *client, int events)
{
    if (events & TT_LIL_SOCKET_FAILED)
        pass_on_reset(client->connection, CLIENT);
    else
        tt_lil_socket_want(client->socket, 0);
}

static void side_ready(void *ctx, int events)
{
    struct side *side = ctx;
    struct tt_lil_connection *c = side->connection;

    if (events & UV_DISCONNECT)
        side->end_heard = true;
    if (side->mode == DRAINING) {
        drain(side);
    } else if (side->mode == SILENT) {
        end_silence(side);
    } else if (c->state == FORWARDING) {
        forward(side, events);
    } else if (side == &c->sides[SERVER]) {
        connected(c);
    } else {
        client_is_early(side, events);
    }
}

/* --- opening --------------------------------------------------------------------------------- */

static int init_flows(struct tt_lil_connection *c)
{
    static const enum tt_lil_count counted[] = {[UP] = TT_LIL_COUNT_UP, [DOWN] = TT_LIL_COUNT_DOWN};
    struct tt_lil_world *w = c->world;
    const struct tt_lil_options *o = w->options;
    const uint64_t delay_us = tt_lil_jitter(&w->jitter, c->number, TT_LIL_DRAW_DELAY, o->delay_us);

    c->left_bytes = tt_lil_jitter(&w->jitter, c->number, TT_LIL_DRAW_BYTES, o->after_bytes);
    for (int i = 0; i < 2; i++) {
        c->flows[i].record = (struct tt_lil_record){w->dump, c->number, i == UP ? "up" : "down"};
        c->flows[i].rate.bytes_per_s = o->rate_bytes_s;
        if (o->after_bytes > 0 && (o->count == TT_LIL_COUNT_TOTAL || o->count == counted[i]))
            c->flows[i].left_bytes = &c->left_bytes;
        if (tt_lil_hold_init(&c->flows[i].hold, &w->pool, delay_us) < 0)
            return -1;
    }
    return 0;
}

static void init_timers(struct tt_lil_connection *c)
{
    uv_timer_init(c->world->loop, &c->end_timer);
    uv_timer_init(c->world->loop, &c->flow_timer);
    c->end_timer.data = c->flow_timer.data = c;
    c->open_timers = 2;
}

static void start_lifetime(struct tt_lil_connection *c)
{
    const uint64_t us = tt_lil_jitter(&c->world->jitter, c->number, TT_LIL_DRAW_LIFETIME,
                                      c->world->options->lifetime_us);
    if (us == 0)
        return;
    /* The loop's clock counts whole milliseconds and may lag: one more, or it would be early. */
    uv_update_time(c->world->loop);
    uv_timer_start(&c->end_timer, lifetime_is_over, ms_rounded_up(us) + 1, 0);
}

void tt_lil_connection_start(struct tt_lil_world *world, int fd, uint64_t number, const char *peer)
{
    struct tt_lil_connection *c = calloc(1, sizeof *c);

    if (!c) {
        tt_lil_log("#%" PRIu64 " refused: no memory", number);
        tt_lil_close_fd(fd, TT_LIL_RESET);
        return;
    }
    c->world = world;
    c->number = number;
    c->opened_us = tt_lil_now_us();
    c->next_upstream = world->upstream;
    c->sides[CLIENT].connection = c->sides[SERVER].connection = c;
    init_timers(c);
    tt_lil_log("#%" PRIu64 " opened from %s", number, peer);
    world->happened(world->ctx, c, TT_LIL_OPENED);
    c->sides[CLIENT].socket = tt_lil_socket_new(world->loop, fd, side_ready, &c->sides[CLIENT]);
    if (!c->sides[CLIENT].socket || init_flows(c) < 0) {
        tt_lil_log("#%" PRIu64 " dropped: no memory", number);
        finish(c, TT_LIL_RESET);
        return;
    }
    tt_lil_socket_want(c->sides[CLIENT].socket, UV_DISCONNECT);
    start_lifetime(c);
    connect_next(c);
}
