/* The library inside a program that has a libuv loop of its own, in one thread. The library's loop
 * is a guest of three handles there: they wait for it and let it turn. See echo.h for what is done
 * in it.
 *
 *     uv server ADDR:PORT        says "listening on ADDR:PORT" on standard error, and echoes
 *     uv client ADDR:PORT        standard input -> server -> standard output
 */
#include "echo.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

/* --- the guest: this is what another program takes over --- */

struct guest {
    struct tt_loop *loop;
    uv_poll_t readable;
    uv_prepare_t before_sleep;
    uv_timer_t timer;
    void (*turned)(uv_loop_t *host); /* after each turn; or NULL */
};

static void turn(struct guest *g)
{
    (void)tt_loop_turn(g->loop);
    if (g->turned)
        g->turned(g->readable.loop);
}

static void became_readable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    turn(handle->data);
}

static void time_is_over(uv_timer_t *handle)
{
    turn(handle->data);
}

/* Each time before the host sleeps: not longer than the guest wants. */
static void limit_sleep(uv_prepare_t *handle)
{
    struct guest *g = handle->data;
    const int timeout_ms = tt_loop_timeout(g->loop);
    if (timeout_ms < 0)
        (void)uv_timer_stop(&g->timer);
    else
        (void)uv_timer_start(&g->timer, time_is_over, (uint64_t)timeout_ms, 0);
}

static void move_in(struct guest *g, uv_loop_t *host)
{
    (void)uv_poll_init(host, &g->readable, tt_loop_fd(g->loop));
    (void)uv_prepare_init(host, &g->before_sleep);
    (void)uv_timer_init(host, &g->timer);
    g->readable.data = g->before_sleep.data = g->timer.data = g;
    (void)uv_poll_start(&g->readable, UV_READABLE, became_readable);
    (void)uv_prepare_start(&g->before_sleep, limit_sleep);
}

/* --- the program --- */

static struct echo_client client;
static uv_fs_t reading; /* standard input, which may be a file, a pipe or a terminal */
static bool reads;

static int fail(const char *why)
{
    fprintf(stderr, "uv: %s\n", why);
    return 1;
}

static int serve(struct guest *g, const char *address, uv_loop_t *host)
{
    struct tt_listener *listener;
    struct tt_error_text why = {""};
    if (echo_serve(g->loop, address, &listener, &why))
        return fail(why.text);
    fprintf(stderr, "listening on %s\n", tt_listener_address(listener));
    return uv_run(host, UV_RUN_DEFAULT);
}

static void read_more(uv_loop_t *host);

static void has_read(uv_fs_t *request)
{
    uv_loop_t *host = request->loop;
    const ssize_t n = request->result;
    uv_fs_req_cleanup(request);
    reads = false;
    echo_input(&client, n > 0 ? (size_t)n : 0);
    read_more(host);
}

/* Reads on when there is room for it; stops the program's loop when all is done. */
static void read_more(uv_loop_t *host)
{
    size_t room;
    void *buf = echo_room(&client, &room);
    if (client.done) {
        uv_stop(host);
    } else if (buf && !reads) {
        const uv_buf_t space = uv_buf_init(buf, (unsigned)room);
        reads = uv_fs_read(host, &reading, 0, &space, 1, -1, has_read) == 0;
    }
}

static int talk(struct guest *g, const char *address, uv_loop_t *host)
{
    struct tt_error_text why = {""};
    if (echo_begin(&client, g->loop, address, &why))
        return fail(why.text);
    g->turned = read_more;
    (void)uv_run(host, UV_RUN_DEFAULT);
    (void)tt_session_close(client.session);
    return client.err ? fail(tt_strerror(client.err)) : 0;
}

int main(int argc, char **argv)
{
    static struct guest guest;
    const bool server = argc == 3 && strcmp(argv[1], "server") == 0;
    if (argc != 3 || (!server && strcmp(argv[1], "client") != 0)) {
        fputs("Usage: uv server|client ADDR:PORT\n", stderr);
        return 2;
    }
    uv_loop_t *host = uv_default_loop();
    if (!host || tt_loop_new(NULL, &guest.loop))
        return fail("cannot make a loop");
    move_in(&guest, host);
    const int status = server ? serve(&guest, argv[2], host) : talk(&guest, argv[2], host);
    tt_loop_free(guest.loop);
    return status;
}
