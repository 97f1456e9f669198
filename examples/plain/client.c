/* The client of an echo system over plain TCP: standard input goes to the server, what comes back
 * goes to standard output. It lives as long as its one TCP connection.
 *
 * Read it beside ../turbotunnel/client.c, which survives the end of connections:
 *     diff examples/plain/client.c examples/turbotunnel/client.c
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 262144

static const char usage[] = "Usage: client [OPTION]... ADDR:PORT\n"
                            "Sends standard input to the echo server at ADDR:PORT and what comes\n"
                            "back to standard output.\n"
                            "\n"
                            "      --help       show this\n"
                            "      --version    show the version\n"
                            "\n"
                            "Exit status: 0 all came back, 1 it did not, 2 bad usage.\n";

/* Shared by the two directions. */
struct copying {
    int conn;
    unsigned long long sent;     /* bytes; final once input_ended */
    unsigned long long received; /* bytes */
    _Atomic int input_ended;
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "client: %s: %s\n", what, why);
    return 1;
}

static void interrupted(int signal_number)
{
    static const char text[] = "client: interrupted\n";
    (void)signal_number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Standard input to the server; then its direction is ended. */
static void *send_input(void *arg)
{
    struct copying *c = arg;
    static char buf[BUFFER_BYTES];
    ssize_t n;

    while ((n = read(STDIN_FILENO, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        if (write_all(c->conn, buf, (size_t)n))
            return NULL; /* the receiving side says why */
        c->sent += (unsigned long long)n;
    }
    if (n < 0)
        exit(fail("read standard input", strerror(errno)));
    c->input_ended = 1;
    shutdown(c->conn, SHUT_WR);
    return NULL;
}

/* The server to standard output, until the server ends its direction. */
static int receive_output(struct copying *c)
{
    static char buf[BUFFER_BYTES];
    ssize_t n;

    while ((n = read(c->conn, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        if (write_all(STDOUT_FILENO, buf, (size_t)n))
            return fail("write standard output", strerror(errno));
        c->received += (unsigned long long)n;
    }
    if (n < 0)
        return fail("connection lost", strerror(errno));
    return 0;
}

static int check_complete(const struct copying *c)
{
    if (c->input_ended && c->received == c->sent)
        return 0;
    return fail("connection ended", "not everything that was sent has come back");
}

static int echo(int conn)
{
    static struct copying c; /* the sender may outlive this function */
    pthread_t sender;

    c.conn = conn;
    if (pthread_create(&sender, NULL, send_input, &c))
        return fail("start a thread", "no resources");
    int status = receive_output(&c);
    if (status == 0)
        status = check_complete(&c);
    if (c.input_ended)
        pthread_join(sender, NULL);
    return status;
}

/* "127.0.0.1:80", "[::1]:80", "name:80": splits it at the last colon, in place. */
static int split_address(char *address, char **host, char **port)
{
    char *colon = strrchr(address, ':');
    char *end;
    if (!colon || colon[1] == '\0' || strtoul(colon + 1, &end, 10) > UINT16_MAX || *end)
        return -1;
    *colon = '\0';
    *host = address;
    *port = colon + 1;
    if (address[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        *host = address + 1;
    }
    return 0;
}

static int dial(const char *address)
{
    char copy[256];
    char *host = NULL;
    char *port = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int conn = -1;

    if (snprintf(copy, sizeof copy, "%s", address) >= (int)sizeof copy ||
        split_address(copy, &host, &port)) {
        fprintf(stderr, "client: address '%s': write HOST:PORT, or [IPv6]:PORT\n", address);
        exit(2);
    }
    const int err = getaddrinfo(host, port, &hints, &found);
    if (err) {
        fprintf(stderr, "client: resolve %s: %s (is the name right?)\n", address,
                gai_strerror(err));
        return -1;
    }
    for (const struct addrinfo *a = found; a && conn < 0; a = a->ai_next) {
        conn = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
        if (conn >= 0 && connect(conn, a->ai_addr, a->ai_addrlen)) {
            close(conn);
            conn = -1;
        }
    }
    if (conn < 0)
        fprintf(stderr, "client: connect to %s: %s (is the server running there?)\n", address,
                strerror(errno));
    freeaddrinfo(found);
    return conn;
}

static void refuse_option(char **argv)
{
    fprintf(stderr, "client: option '%s': unknown, or its value is wrong (see 'client --help')\n",
            argv[optind > 1 ? optind - 1 : 1]);
    exit(2);
}

static const char *parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'h':
            fputs(usage, stdout);
            exit(0);
        case 'V':
            puts("plain client " TT_VERSION);
            exit(0);
        default:
            refuse_option(argv);
        }
    }
    if (argc - optind != 1) {
        fputs("client: one address is needed: ADDR:PORT (see 'client --help')\n", stderr);
        exit(2);
    }
    return argv[optind];
}

int main(int argc, char **argv)
{
    const char *address = parse_options(argc, argv);

    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
    const int conn = dial(address);
    if (conn < 0)
        return 1;
    const int status = echo(conn);
    if (status)
        exit(status); /* the other thread may still use the connection */
    close(conn);
    return status;
}
