/* The client of an echo system over a session: standard input goes to the server, what comes back
 * goes to standard output. It outlives any number of TCP connections.
 *
 * Read it beside ../plain/client.c, which is lost with its connection:
 *     diff examples/plain/client.c examples/turbotunnel/client.c
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <turbotunnel/turbotunnel.h>

#define BUFFER_BYTES 262144

static const char usage[] =
    "Usage: client [OPTION]... ADDR:PORT\n"
    "Sends standard input to the echo server at ADDR:PORT and what comes\n"
    "back to standard output, through a session that survives the end of\n"
    "the TCP connections under it.\n"
    "\n"
    "      --smux 1|2                version of smux (default 2)\n"
    "      --session-timeout SECONDS give up after so long without a word\n"
    "                                from the server (default 600)\n"
    "      --carriers N              connections in use at once (default 1)\n"
    "      --standby N               connections kept ready beside them\n"
    "      --carrier-max-bytes N     use none for more, in each direction\n"
    "      --carrier-max-age SECONDS use none for longer\n"
    "      --carrier-idle SECONDS    use none after such a silence\n"
    "      --no-learning             do not learn such limits\n"
    "      --liveness-floor SECONDS  a connection may take so long to answer,\n"
    "      --liveness-ceiling SECONDS  at least and at most (0.1 and 30)\n"
    "      --redial-first SECONDS    the wait after a dial that failed,\n"
    "      --redial-most SECONDS       doubling up to the other (0.05 and 2)\n"
    "      --legacy                  the worked example's protocol alone\n"
    "      --verbose                 say what happens to connections\n"
    "      --help                    show this\n"
    "      --version                 show the version\n"
    "\n"
    "Exit status: 0 all came back, 1 it did not, 2 bad usage.\n";

/* Shared by the two directions. */
struct copying {
    struct tt_stream *stream;
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
        if (tt_stream_write(c->stream, buf, (size_t)n))
            return NULL; /* the receiving side says why */
        c->sent += (unsigned long long)n;
    }
    if (n < 0)
        exit(fail("read standard input", strerror(errno)));
    c->input_ended = 1;
    tt_stream_shutdown(c->stream);
    return NULL;
}

/* The server to standard output, until the server ends its direction. */
static int receive_output(struct copying *c, struct tt_session *session)
{
    static char buf[BUFFER_BYTES];
    size_t n;
    int err;

    while ((err = tt_stream_read(c->stream, buf, sizeof buf, &n)) == TT_OK) {
        if (write_all(STDOUT_FILENO, buf, n))
            return fail("write standard output", strerror(errno));
        c->received += n;
    }
    if (err != TT_E_END) {
        fprintf(stderr, "client: %s\n", tt_session_error_text(session));
        return 1;
    }
    return 0;
}

static int check_complete(const struct copying *c)
{
    if (c->input_ended && c->received == c->sent)
        return 0;
    return fail("stream ended", "not everything that was sent has come back");
}

static int echo(struct tt_session *session, struct tt_stream *stream)
{
    static struct copying c; /* the sender may outlive this function */
    pthread_t sender;

    c.stream = stream;
    if (pthread_create(&sender, NULL, send_input, &c))
        return fail("start a thread", "no resources");
    int status = receive_output(&c, session);
    if (status == 0)
        status = check_complete(&c);
    if (c.input_ended)
        pthread_join(sender, NULL);
    return status;
}

static void report(void *ctx, const struct tt_report *r)
{
    (void)ctx;
    fprintf(stderr, "client: session %s: %s %s", r->session, tt_report_name(r->kind), r->address);
    if (r->kind == TT_REPORT_CONNECTED)
        fprintf(stderr, " (connection %llu)", (unsigned long long)r->number);
    if (r->detail[0])
        fprintf(stderr, ": %s", r->detail);
    if (r->wait_us)
        fprintf(stderr, "; next try in %llu ms", (unsigned long long)r->wait_us / 1000);
    fputc('\n', stderr);
}

static void report_stats(struct tt_session *session)
{
    struct tt_session_stats s;
    tt_session_get_stats(session, &s);
    fprintf(
        stderr,
        "client: connections used %llu, longest silence %llu ms, segments sent %llu, sent again "
        "%llu after a connection ended, %llu fast, %llu by timeout; duplicates received %llu\n",
        (unsigned long long)s.connections, (unsigned long long)s.longest_silence_us / 1000,
        (unsigned long long)s.segments_sent, (unsigned long long)s.retransmits_carrier,
        (unsigned long long)s.retransmits_fast, (unsigned long long)s.retransmits_timeout,
        (unsigned long long)s.duplicates_received);
}

static struct tt_session *dial(const char *address, const struct tt_options *options)
{
    struct tt_session *session;
    struct tt_error_text why;

    const int err = tt_dial(address, options, &session, &why);
    if (err) {
        fprintf(stderr, "client: %s\n", why.text);
        if (err == TT_E_INVAL)
            exit(2);
        return NULL;
    }
    return session;
}

static double parse_number(const char *option, const char *text, const char *what, double least)
{
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end || !(number >= least && number <= 1e9)) {
        fprintf(stderr, "client: --%s '%s': %s\n", option, text, what);
        exit(2);
    }
    return number;
}

static uint64_t parse_seconds(const char *option, const char *text)
{
    return (uint64_t)(1e6 * parse_number(option, text, "seconds are needed, above 0", 0.001));
}

static uint32_t parse_count(const char *option, const char *text)
{
    return (uint32_t)parse_number(option, text, "a number is needed", 0);
}

/* The options that say how connections are to be used. */
static void parse_carrier_option(const char *name, const char *value, struct tt_options *o)
{
    if (strcmp(name, "carriers") == 0)
        o->carriers = parse_count(name, value);
    else if (strcmp(name, "standby") == 0)
        o->standby = parse_count(name, value);
    else if (strcmp(name, "carrier-max-bytes") == 0)
        o->carrier_max_bytes =
            (uint64_t)parse_number(name, value, "bytes are needed, 4096 or more", 4096);
    else if (strcmp(name, "carrier-max-age") == 0)
        o->carrier_max_age_us = parse_seconds(name, value);
    else if (strcmp(name, "carrier-idle") == 0)
        o->carrier_idle_us = parse_seconds(name, value);
    else if (strcmp(name, "no-learning") == 0)
        o->no_learning = true;
    else if (strcmp(name, "liveness-floor") == 0)
        o->liveness_floor_us = parse_seconds(name, value);
    else if (strcmp(name, "liveness-ceiling") == 0)
        o->liveness_ceiling_us = parse_seconds(name, value);
    else if (strcmp(name, "redial-first") == 0)
        o->redial_first_us = parse_seconds(name, value);
    else if (strcmp(name, "redial-most") == 0)
        o->redial_most_us = parse_seconds(name, value);
    else if (strcmp(name, "legacy") == 0)
        o->legacy = true;
}

static void refuse_option(char **argv)
{
    fprintf(stderr, "client: option '%s': unknown, or its value is wrong (see 'client --help')\n",
            argv[optind > 1 ? optind - 1 : 1]);
    exit(2);
}

static const char *parse_options(int argc, char **argv, struct tt_options *o)
{
    static const struct option options[] = {{"smux", required_argument, NULL, 's'},
                                            {"session-timeout", required_argument, NULL, 't'},
                                            {"carriers", required_argument, NULL, 'c'},
                                            {"standby", required_argument, NULL, 'c'},
                                            {"carrier-max-bytes", required_argument, NULL, 'c'},
                                            {"carrier-max-age", required_argument, NULL, 'c'},
                                            {"carrier-idle", required_argument, NULL, 'c'},
                                            {"no-learning", no_argument, NULL, 'c'},
                                            {"liveness-floor", required_argument, NULL, 'c'},
                                            {"liveness-ceiling", required_argument, NULL, 'c'},
                                            {"redial-first", required_argument, NULL, 'c'},
                                            {"redial-most", required_argument, NULL, 'c'},
                                            {"legacy", no_argument, NULL, 'c'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    int option, which;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "hv", options, &which)) != -1) {
        switch (option) {
        case 's':
            if (strcmp(optarg, "1") != 0 && strcmp(optarg, "2") != 0) {
                fprintf(stderr, "client: --smux '%s': only 1 and 2 exist\n", optarg);
                exit(2);
            }
            o->smux_version = (unsigned)(optarg[0] - '0');
            break;
        case 't':
            o->session_timeout_us = parse_seconds("session-timeout", optarg);
            break;
        case 'c':
            parse_carrier_option(options[which].name, optarg, o);
            break;
        case 'v':
            o->report = report;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        case 'V':
            printf("turbotunnel client %s\n", tt_version());
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
    struct tt_options options = {0};
    const char *address = parse_options(argc, argv, &options);
    struct tt_stream *stream;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
    struct tt_session *session = dial(address, &options);
    if (!session)
        return 1;
    const int err = tt_session_open_stream(session, &stream);
    if (err)
        return fail("open a stream", tt_strerror(err));
    const int status = echo(session, stream);
    if (options.report)
        report_stats(session);
    if (status)
        exit(status); /* the other thread may still use the stream */
    tt_stream_close(stream);
    tt_session_close(session);
    return status;
}
