/* peer - one end of what make bench measures: plain TCP, or sessions by the public API.
 *
 * It answers as the Go peers do (tests/interop/go/README.md), and prints the same JSON.
 */
#include "bulk_callbacks.h"
#include "callbacks.h"
#include "crowd.h"
#include "handlers.h"
#include "measure.h"
#include "process.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: peer server [OPTION]... ADDR:PORT\n"
    "       peer client [OPTION]... ADDR:PORT\n"
    "  --kind plain|turbotunnel|turbotunnel-legacy|turbotunnel-sealed\n"
    "                            what carries the streams (default turbotunnel)\n"
    "  --api blocking|callback   by which calls (default blocking); callback is not for\n"
    "                            plain, and for echoes on one stream only\n"
    "  --max-packet N            turbotunnel, blocking: packets of up to N bytes\n"
    "  --carriers N              turbotunnel, blocking client: N connections at once\n"
    "  --mode echo|sink|source   what the server does with a stream (default echo)\n"
    "  --mode choose             server, blocking: what a client with --words asks for\n"
    "client:\n"
    "  --bytes N                 measure N bytes a stream\n"
    "  --duration SECONDS        measure for so long\n"
    "  --streams N               measure with N streams (default 1)\n"
    "  --words                   meanwhile 64 bytes every 5 ms, on another stream (blocking)\n"
    "  --pingpong N              measure up to N round trips of 64 bytes\n"
    "  --idle N                  open N sessions and keep them until standard input ends; each "
    "has\n"
    "                            echoed 64 bytes, or --bytes\n"
    "  --visits N                measure up to N sessions, each with an echo of 64 bytes "
    "(callback)\n"
    "  --visitors K              K of them at once (default 1)\n"
    "server:\n"
    "  --workers N               loops with threads of their own (callback; default 1, on the loop "
    "of\n"
    "                            one thread)\n"
    "  --most N                  sessions and connections at once (callback; default: the "
    "library's)\n"
    "The server prints the CPU time that it used at SIGTERM. At SIGUSR1 it gives memory that it "
    "does\n"
    "not use back to the system, and says on standard error how many sessions it has (callback).\n";

enum {
    KIND = 256,
    API,
    MAX_PACKET,
    CARRIERS,
    MODE,
    BYTES,
    DURATION,
    STREAMS,
    WORDS,
    PINGPONG,
    IDLE,
    VISITS,
    VISITORS,
    WORKERS,
    MOST
};

static const struct option options[] = {{"kind", required_argument, NULL, KIND},
                                        {"api", required_argument, NULL, API},
                                        {"max-packet", required_argument, NULL, MAX_PACKET},
                                        {"carriers", required_argument, NULL, CARRIERS},
                                        {"mode", required_argument, NULL, MODE},
                                        {"bytes", required_argument, NULL, BYTES},
                                        {"duration", required_argument, NULL, DURATION},
                                        {"streams", required_argument, NULL, STREAMS},
                                        {"words", no_argument, NULL, WORDS},
                                        {"pingpong", required_argument, NULL, PINGPONG},
                                        {"idle", required_argument, NULL, IDLE},
                                        {"visits", required_argument, NULL, VISITS},
                                        {"visitors", required_argument, NULL, VISITORS},
                                        {"workers", required_argument, NULL, WORKERS},
                                        {"most", required_argument, NULL, MOST},
                                        {NULL, 0, NULL, 0}};

static _Noreturn void refuse(void)
{
    fputs(usage, stderr);
    exit(2);
}

static double parse_number(const char *text, double least, double most)
{
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end || !(number >= least && number <= most))
        refuse();
    return number;
}

static const struct tt_bench_kind *parse_kind(const char *name)
{
    static const struct tt_bench_kind *const kinds[] = {&tt_bench_plain, &tt_bench_turbotunnel,
                                                        &tt_bench_turbotunnel_legacy,
                                                        &tt_bench_turbotunnel_sealed, NULL};
    for (const struct tt_bench_kind *const *kind = kinds; *kind; kind++)
        if (strcmp(name, (*kind)->name) == 0)
            return *kind;
    refuse();
}

static void take_option(struct tt_bench_job *job, int option)
{
    switch (option) {
    case KIND:
        job->kind = parse_kind(optarg);
        break;
    case API:
        job->callbacks = strcmp(optarg, "callback") == 0;
        if (!job->callbacks && strcmp(optarg, "blocking") != 0)
            refuse();
        break;
    case MAX_PACKET:
        job->max_packet = (uint32_t)parse_number(optarg, 1, UINT32_MAX);
        break;
    case CARRIERS:
        job->carriers = (uint32_t)parse_number(optarg, 1, 16);
        break;
    case MODE:
        job->mode = optarg;
        break;
    case BYTES:
        job->bytes = (uint64_t)parse_number(optarg, 1, 1e15);
        break;
    case DURATION:
        job->limit_ns = (uint64_t)(parse_number(optarg, 0.001, 1e6) * 1e9);
        break;
    case STREAMS:
        job->streams = (unsigned)parse_number(optarg, 1, 4096);
        break;
    case WORDS:
        job->words = true;
        break;
    case PINGPONG:
        job->round_trips = (unsigned)parse_number(optarg, 1, 1e7);
        break;
    case IDLE:
        job->idle = (unsigned)parse_number(optarg, 1, 1e6);
        break;
    case VISITS:
        job->visits = (unsigned)parse_number(optarg, 1, 1e7);
        break;
    case VISITORS:
        job->visitors = (unsigned)parse_number(optarg, 1, 1e4);
        break;
    case WORKERS:
        job->workers = (unsigned)parse_number(optarg, 1, 256);
        break;
    case MOST:
        job->most = (unsigned)parse_number(optarg, 1, 1e7);
        break;
    default:
        refuse();
    }
}

/* The same kind, with shorter packets or more connections. */
static void set_up_kind(struct tt_bench_job *job)
{
    static struct tt_bench_kind other;
    if (job->kind != &tt_bench_turbotunnel || job->callbacks)
        refuse();
    other = *job->kind;
    other.max_packet = job->max_packet;
    other.carriers = job->carriers;
    job->kind = &other;
}

static bool chooses(const struct tt_bench_job *job)
{
    return strcmp(job->mode, "choose") == 0;
}

static void parse(struct tt_bench_job *job, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(job, option);
    if (argc - optind != 1 || !tt_bench_handler_for(job->mode))
        refuse();
    if (job->callbacks && (job->kind == &tt_bench_plain || chooses(job)))
        refuse();
    if (job->workers && !job->callbacks)
        refuse();
    if (job->max_packet || job->carriers)
        set_up_kind(job);
    job->address = argv[optind];
    if (job->limit_ns && !job->bytes)
        job->bytes = UINT64_MAX / 4;
}

static void *run_server(void *arg)
{
    const struct tt_bench_job *job = arg;
    if (job->callbacks)
        tt_bench_serve_callbacks(job);
    else
        job->kind->serve(job->kind, job->address, tt_bench_handler_for(job->mode));
    return NULL;
}

static void tell_state(unsigned times)
{
    tt_bench_give_memory_back();
    fprintf(stderr, "state %u {\"sessions\":%u}\n", times, tt_bench_sessions_alive());
}

/* The main thread waits for the signals that all others have blocked. */
static int serve(struct tt_bench_job *job)
{
    sigset_t signals;
    int number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    tt_bench_start_thread(run_server, job);
    for (unsigned times = 1; sigwait(&signals, &number) == 0 && number == SIGUSR1; times++)
        tell_state(times);
    printf("{\"cpu_seconds\":%.6f}\n", tt_bench_cpu_seconds());
    fflush(stdout);
    _exit(0);
}

static int measure(const struct tt_bench_job *job)
{
    if (chooses(job) || (job->words && (job->callbacks || !job->bytes)))
        refuse();
    if (job->visits && job->callbacks)
        tt_bench_come_and_go(job);
    else if (job->idle && job->callbacks)
        tt_bench_sit_idle_callbacks(job);
    else if (job->idle)
        tt_bench_sit_idle(job);
    else if (job->round_trips && job->callbacks)
        tt_bench_pingpong_callbacks(job);
    else if (job->round_trips)
        tt_bench_measure_pingpong(job);
    else if (job->bytes && !job->callbacks)
        tt_bench_measure_streams(job);
    else if (job->bytes && strcmp(job->mode, "echo") != 0)
        tt_bench_transfer_callbacks(job);
    else
        refuse();
    return 0;
}

int main(int argc, char **argv)
{
    struct tt_bench_job job = {
        .kind = &tt_bench_turbotunnel, .mode = "echo", .streams = 1, .visitors = 1};
    if (argc < 2)
        refuse();
    parse(&job, argc - 1, argv + 1);
    signal(SIGPIPE, SIG_IGN);
    tt_bench_raise_descriptor_limit();
    if (strcmp(argv[1], "server") == 0)
        return serve(&job);
    if (strcmp(argv[1], "client") == 0)
        return measure(&job);
    refuse();
}
