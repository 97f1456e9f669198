/* The server of an echo system over plain TCP: what comes on a connection goes back on it.
 *
 * Read it beside ../turbotunnel/server.c:
 *     diff examples/plain/server.c examples/turbotunnel/server.c
 */
#include <arpa/inet.h>
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

static const char usage[] = "Usage: server [OPTION]... ADDR:PORT\n"
                            "Listens on ADDR:PORT (port 0: any; the first line on standard error\n"
                            "says which) and sends back whatever comes.\n"
                            "\n"
                            "      --help       show this\n"
                            "      --version    show the version\n";

static void ended(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static int start_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    const int err = pthread_create(&thread, NULL, run, arg);
    if (err) {
        fprintf(stderr, "server: start a thread: %s (somebody was turned away)\n", strerror(err));
        return -1;
    }
    pthread_detach(thread);
    return 0;
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

struct work {
    int conn;
};

static void *handle_connection(void *arg)
{
    struct work *w = arg;
    const int conn = w->conn;
    char buf[BUFFER_BYTES];
    ssize_t n;

    while ((n = read(conn, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0 && write_all(conn, buf, (size_t)n))
            break;
    }
    close(conn);
    free(w);
    return NULL;
}

static void begin_work(int conn)
{
    struct work *w = malloc(sizeof *w);
    if (w) {
        w->conn = conn;
        if (start_thread(handle_connection, w) == 0)
            return;
    }
    free(w);
    close(conn);
}

static int accept_connections(int listener)
{
    for (;;) {
        const int conn = accept(listener, NULL, NULL);
        if (conn >= 0) {
            begin_work(conn);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            fprintf(stderr, "server: accept: %s\n", strerror(errno));
            return 1;
        }
    }
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

static void print_address(int listener)
{
    struct sockaddr_storage bound = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof bound;
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];

    getsockname(listener, (struct sockaddr *)&bound, &len);
    getnameinfo((struct sockaddr *)&bound, len, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    fprintf(stderr, bound.ss_family == AF_INET6 ? "listening on [%s]:%s\n" : "listening on %s:%s\n",
            host, port);
}

static int listen_on(const char *address)
{
    char copy[256];
    char *host = NULL;
    char *port = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;

    if (snprintf(copy, sizeof copy, "%s", address) >= (int)sizeof copy ||
        split_address(copy, &host, &port)) {
        fprintf(stderr, "server: address '%s': write HOST:PORT, or [IPv6]:PORT\n", address);
        exit(2);
    }
    const int err = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (err) {
        fprintf(stderr, "server: resolve %s: %s (is the name right?)\n", address,
                gai_strerror(err));
        return -1;
    }
    int listener = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) ||
        bind(listener, found->ai_addr, found->ai_addrlen) || listen(listener, SOMAXCONN)) {
        fprintf(stderr, "server: listen on %s: %s (choose another port, or 0 for any)\n", address,
                strerror(errno));
        listener = -1;
    }
    freeaddrinfo(found);
    return listener;
}

static void refuse_option(char **argv)
{
    fprintf(stderr, "server: option '%s': unknown, or its value is wrong (see 'server --help')\n",
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
            puts("plain server " TT_VERSION);
            exit(0);
        default:
            refuse_option(argv);
        }
    }
    if (argc - optind != 1) {
        fputs("server: one address is needed: ADDR:PORT (see 'server --help')\n", stderr);
        exit(2);
    }
    return argv[optind];
}

int main(int argc, char **argv)
{
    const char *address = parse_options(argc, argv);

    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, ended);
    signal(SIGTERM, ended);
    const int listener = listen_on(address);
    if (listener < 0)
        return 1;
    print_address(listener);
    return accept_connections(listener);
}
