/* The server of an echo system over sessions: what comes on a stream goes back on it. Between the
 * listener and the streams there is one level more than in plain TCP: a client's session, which can
 * have many streams, and outlives the client's connections.
 *
 * Read it beside ../plain/server.c:
 *     diff examples/plain/server.c examples/turbotunnel/server.c
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <turbotunnel/turbotunnel.h>

#define BUFFER_BYTES 262144

static const char usage[] =
    "Usage: server [OPTION]... ADDR:PORT\n"
    "Listens on ADDR:PORT (port 0: any; the first line on standard error\n"
    "says which) and sends back whatever comes, on sessions that survive\n"
    "the end of the TCP connections under them.\n"
    "\n"
    "      --session-timeout SECONDS forget a session after so long without\n"
    "                                a word from its client (default 600)\n"
    "      --workers N               spread the sessions over N threads of the\n"
    "                                library, 1 to 256 (default 1)\n"
    "      --legacy                  the worked example's protocol alone\n"
    "      --verbose                 say what happens to connections\n"
    "      --help                    show this\n"
    "      --version                 show the version\n";

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

/* A session and how many use it: the thread that accepts its streams, and one for each stream. */
struct shared_session {
    struct tt_session *session;
    _Atomic int users;
};

struct work {
    struct shared_session *shared;
    struct tt_stream *stream;
};

static void leave(struct shared_session *shared)
{
    if (--shared->users > 0)
        return;
    tt_session_close(shared->session);
    free(shared);
}

static void finish(struct work *w)
{
    tt_stream_close(w->stream);
    leave(w->shared);
    free(w);
}

static void *handle_stream(void *arg)
{
    struct work *w = arg;
    char buf[BUFFER_BYTES];
    size_t n;

    while (tt_stream_read(w->stream, buf, sizeof buf, &n) == TT_OK) {
        if (tt_stream_write(w->stream, buf, n))
            break;
    }
    finish(w);
    return NULL;
}

static void *accept_streams(void *arg)
{
    struct shared_session *shared = arg;
    struct tt_stream *stream;

    while (tt_session_accept_stream(shared->session, &stream) == TT_OK) {
        struct work *w = malloc(sizeof *w);
        if (!w) {
            tt_stream_close(stream);
            continue;
        }
        *w = (struct work){.shared = shared, .stream = stream};
        shared->users++;
        if (start_thread(handle_stream, w))
            finish(w);
    }
    leave(shared);
    return NULL;
}

static int accept_sessions(struct tt_listener *listener)
{
    struct tt_session *session;
    int err;

    while ((err = tt_listener_accept(listener, &session)) == TT_OK) {
        struct shared_session *shared = malloc(sizeof *shared);
        if (!shared) {
            tt_session_close(session);
            continue;
        }
        shared->session = session;
        shared->users = 1;
        if (start_thread(accept_streams, shared))
            leave(shared);
    }
    fprintf(stderr, "server: accept: %s\n", tt_strerror(err));
    return 1;
}

static void report(void *ctx, const struct tt_report *r)
{
    (void)ctx;
    fprintf(stderr, "server: session %s: %s", r->session, tt_report_name(r->kind));
    if (r->detail[0])
        fprintf(stderr, ": %s", r->detail);
    fputc('\n', stderr);
}

static struct tt_listener *listen_on(const char *address, const struct tt_options *options)
{
    struct tt_listener *listener;
    struct tt_error_text why;

    const int err = tt_listen(address, options, &listener, &why);
    if (err) {
        fprintf(stderr, "server: %s\n", why.text);
        if (err == TT_E_INVAL)
            exit(2);
        return NULL;
    }
    return listener;
}

static uint64_t parse_seconds(const char *text)
{
    char *end;
    const double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0.001 && seconds <= 1e9)) {
        fprintf(stderr, "server: --session-timeout '%s': seconds are needed, above 0\n", text);
        exit(2);
    }
    return (uint64_t)(seconds * 1e6);
}

static uint32_t parse_workers(const char *text)
{
    char *end;
    const unsigned long count = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || count < 1 || count > 256) {
        fprintf(stderr, "server: --workers '%s': a number is needed, 1 to 256\n", text);
        exit(2);
    }
    return (uint32_t)count;
}

static void refuse_option(char **argv)
{
    fprintf(stderr, "server: option '%s': unknown, or its value is wrong (see 'server --help')\n",
            argv[optind > 1 ? optind - 1 : 1]);
    exit(2);
}

static const char *parse_options(int argc, char **argv, struct tt_options *o)
{
    static const struct option options[] = {{"session-timeout", required_argument, NULL, 't'},
                                            {"workers", required_argument, NULL, 'w'},
                                            {"legacy", no_argument, NULL, 'l'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "hv", options, NULL)) != -1) {
        switch (option) {
        case 't':
            o->session_timeout_us = parse_seconds(optarg);
            break;
        case 'w':
            o->workers = parse_workers(optarg);
            break;
        case 'l':
            o->legacy = true;
            break;
        case 'v':
            o->report = report;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        case 'V':
            printf("turbotunnel server %s\n", tt_version());
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
    struct tt_options options = {0};
    const char *address = parse_options(argc, argv, &options);

    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, ended);
    signal(SIGTERM, ended);
    struct tt_listener *listener = listen_on(address, &options);
    if (!listener)
        return 1;
    fprintf(stderr, "listening on %s\n", tt_listener_address(listener));
    return accept_sessions(listener);
}
