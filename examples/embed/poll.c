/* The library inside a program that waits in poll(), in one thread: its loop has a descriptor and a
 * time limit, beside those that the program has anyway. See echo.h for what is done in it.
 *
 *     poll server ADDR:PORT        says "listening on ADDR:PORT" on standard error, and echoes
 *     poll client ADDR:PORT        standard input -> server -> standard output
 */
#include "echo.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *why)
{
    fprintf(stderr, "poll: %s\n", why);
    return 1;
}

static int serve(struct tt_loop *loop, const char *address)
{
    struct tt_listener *listener;
    struct tt_error_text why = {""};
    if (echo_serve(loop, address, &listener, &why))
        return fail(why.text);
    fprintf(stderr, "listening on %s\n", tt_listener_address(listener));
    struct pollfd fd = {.fd = tt_loop_fd(loop), .events = POLLIN};
    for (;;) {
        (void)poll(&fd, 1, tt_loop_timeout(loop));
        (void)tt_loop_turn(loop);
    }
}

/* Standard input is readable, or at its end. */
static void read_input(struct echo_client *client)
{
    size_t room;
    void *buf = echo_room(client, &room);
    const ssize_t n = read(STDIN_FILENO, buf, room);
    echo_input(client, n > 0 ? (size_t)n : 0);
}

static int talk(struct tt_loop *loop, const char *address)
{
    static struct echo_client client;
    struct tt_error_text why = {""};
    if (echo_begin(&client, loop, address, &why))
        return fail(why.text);
    while (!client.done) {
        size_t room;
        struct pollfd fds[] = {
            {.fd = tt_loop_fd(loop), .events = POLLIN},
            /* A negative descriptor is not looked at: there is no room for more input now. */
            {.fd = echo_room(&client, &room) ? STDIN_FILENO : -1, .events = POLLIN}};
        (void)poll(fds, 2, tt_loop_timeout(loop));
        if (fds[1].revents)
            read_input(&client);
        (void)tt_loop_turn(loop);
    }
    (void)tt_session_close(client.session);
    return client.err ? fail(tt_strerror(client.err)) : 0;
}

int main(int argc, char **argv)
{
    struct tt_loop *loop;
    const bool server = argc == 3 && strcmp(argv[1], "server") == 0;
    if (argc != 3 || (!server && strcmp(argv[1], "client") != 0)) {
        fputs("Usage: poll server|client ADDR:PORT\n", stderr);
        return 2;
    }
    if (tt_loop_new(NULL, &loop))
        return fail("cannot make a loop");
    const int status = server ? serve(loop, argv[2]) : talk(loop, argv[2]);
    tt_loop_free(loop);
    return status;
}
