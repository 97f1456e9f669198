#include "measure.h"
#include "handlers.h"
#include "process.h"
#include "words.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest time between two arrivals of data, on whichever stream. */
static struct {
    _Atomic uint64_t last_ns; /* 0: nothing has arrived */
    _Atomic uint64_t longest_ns;
} silence;

static void note_arrival(void)
{
    const uint64_t now = tt_bench_now_ns();
    const uint64_t last = atomic_exchange(&silence.last_ns, now);
    uint64_t longest = silence.longest_ns;
    while (last && now > last && now - last > longest &&
           !atomic_compare_exchange_weak(&silence.longest_ns, &longest, now - last)) {
    }
}

static double longest_silence_ms(void)
{
    return (double)silence.longest_ns / 1e6;
}

struct transfer {
    const struct tt_bench_job *job;
    struct tt_bench_stream stream;
    struct group *group;
    uint64_t ends_ns;       /* 0: by bytes */
    _Atomic uint64_t moved; /* payload so far, in one direction */
    uint64_t sent;          /* final once the sending side is done */
    pthread_t thread;
};

/* The streams that are measured together. */
struct group {
    struct transfer *transfers;
    unsigned count;
    atomic_flag one_is_done;
    double slowest_share;
};

static bool time_is_up(const struct transfer *t)
{
    return t->ends_ns && tt_bench_now_ns() >= t->ends_ns;
}

/* Sends as much as is asked for, and ends our direction. */
static void send_all(struct transfer *t, _Atomic uint64_t *moved)
{
    static const unsigned char zeros[TT_BENCH_BUFFER_BYTES];
    while (t->sent < t->job->bytes && !time_is_up(t)) {
        const uint64_t left = t->job->bytes - t->sent;
        const size_t n = left < sizeof zeros ? (size_t)left : sizeof zeros;
        if (!t->stream.kind->write(&t->stream, zeros, n))
            tt_bench_fail("send", "the stream has failed");
        t->sent += n;
        if (moved)
            *moved = t->sent;
    }
    t->stream.kind->shutdown(&t->stream);
}

/* Receives until the end, or enough, or time is up. */
static void receive(struct transfer *t, uint64_t enough)
{
    unsigned char buf[TT_BENCH_BUFFER_BYTES];
    ssize_t n;
    while (t->moved < enough && (n = t->stream.kind->read(&t->stream, buf, sizeof buf)) != 0) {
        if (n < 0)
            tt_bench_fail("receive", "the stream has failed");
        note_arrival();
        t->moved += (uint64_t)n;
    }
}

static void *send_for_echo(void *arg)
{
    send_all(arg, NULL);
    return NULL;
}

static void run_echo(struct transfer *t)
{
    pthread_t sender;
    if (pthread_create(&sender, NULL, send_for_echo, t))
        tt_bench_fail("start a thread", "no resources");
    receive(t, UINT64_MAX);
    pthread_join(sender, NULL);
    if (t->moved != t->sent)
        tt_bench_fail("echo", "not all that was sent has come back");
}

static void run_sink(struct transfer *t)
{
    unsigned char answer[TT_BENCH_COUNT_BYTES];
    send_all(t, &t->moved);
    if (!tt_bench_read_all(&t->stream, answer, sizeof answer))
        tt_bench_fail("sink", "no answer");
    if (tt_bench_get_count(answer) != t->sent)
        tt_bench_fail("sink", "the server has counted another number of bytes");
}

/* By time, the reading ends in the middle: what still comes is thrown away. */
static void run_source(struct transfer *t)
{
    unsigned char request[TT_BENCH_COUNT_BYTES];
    tt_bench_put_count(request, t->job->bytes);
    if (!t->stream.kind->write(&t->stream, request, sizeof request))
        tt_bench_fail("ask", "the stream has failed");
    if (!t->ends_ns)
        receive(t, t->job->bytes);
    while (t->ends_ns && !time_is_up(t))
        receive(t, t->moved + 1);
    if (!t->ends_ns && t->moved != t->job->bytes)
        tt_bench_fail("source", "the stream has ended too early");
}

static const struct {
    const char *mode;
    void (*run)(struct transfer *t);
} works[] = {{"echo", run_echo}, {"sink", run_sink}, {"source", run_source}};

/* How far the slowest is when the first is done; 1: all are even. */
static double slowest_share(const struct group *g, uint64_t most)
{
    uint64_t least = most;
    for (unsigned i = 0; i < g->count; i++) {
        const uint64_t moved = g->transfers[i].moved;
        least = moved < least ? moved : least;
    }
    return most ? (double)least / (double)most : 0;
}

static void *run_transfer(void *arg)
{
    struct transfer *t = arg;
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].mode, t->job->mode) == 0)
            works[i].run(t);
    }
    if (!atomic_flag_test_and_set(&t->group->one_is_done))
        t->group->slowest_share = slowest_share(t->group, t->moved);
    return NULL;
}

static struct group open_group(const struct tt_bench_job *job, struct tt_bench_link *link)
{
    struct group g = {.count = job->streams, .one_is_done = ATOMIC_FLAG_INIT};
    g.transfers = tt_bench_allocate(job->streams * sizeof *g.transfers);
    for (unsigned i = 0; i < g.count; i++) {
        g.transfers[i].job = job;
        job->kind->open(link, &g.transfers[i].stream);
        if (job->words)
            tt_bench_choose(&g.transfers[i].stream, job->mode);
    }
    return g;
}

static uint64_t run_group(struct group *g, uint64_t ends_ns)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < g->count; i++) {
        struct transfer *t = &g->transfers[i];
        t->group = g;
        t->ends_ns = ends_ns;
        if (pthread_create(&t->thread, NULL, run_transfer, t))
            tt_bench_fail("start a thread", "no resources");
    }
    for (unsigned i = 0; i < g->count; i++) {
        pthread_join(g->transfers[i].thread, NULL);
        bytes += g->transfers[i].moved;
    }
    return bytes;
}

void tt_bench_report_streams(const struct tt_bench_job *job, const struct tt_bench_result *r)
{
    printf("{\"mode\":\"%s\",\"streams\":%u,\"bytes\":%llu,\"seconds\":%.6f,\"mb_per_s\":%.3f,"
           "\"connections\":%llu,\"longest_silence_ms\":%.3f,\"cpu_seconds\":%.6f,"
           "\"slowest_share\":%.3f",
           job->mode, job->streams, (unsigned long long)r->bytes, r->seconds,
           (double)r->bytes / 1e6 / r->seconds, (unsigned long long)r->connections,
           r->longest_silence_ms, r->cpu_seconds, r->slowest_share);
    if (r->words)
        tt_bench_words_report(r->words);
    puts("}");
}

void tt_bench_measure_streams(const struct tt_bench_job *job)
{
    struct tt_bench_link link = {0};
    job->kind->dial(job->kind, &link, job->address);
    struct group g = open_group(job, &link);
    struct tt_bench_words *words = job->words ? tt_bench_words_begin(job->kind, &link) : NULL;

    const double cpu_before = tt_bench_cpu_seconds();
    const uint64_t begin_ns = tt_bench_now_ns();
    struct tt_bench_result r = {.bytes =
                                    run_group(&g, job->limit_ns ? begin_ns + job->limit_ns : 0)};
    r.seconds = (double)(tt_bench_now_ns() - begin_ns) / 1e9;
    r.cpu_seconds = tt_bench_cpu_seconds() - cpu_before;
    r.connections = job->kind->connections(&link);
    r.longest_silence_ms = longest_silence_ms();
    r.slowest_share = g.slowest_share;
    r.words = words;
    if (words)
        tt_bench_words_end(words);
    for (unsigned i = 0; i < g.count; i++)
        job->kind->close(&g.transfers[i].stream);
    free(g.transfers);
    job->kind->end(&link);
    tt_bench_report_streams(job, &r);
    free(words);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

void tt_bench_sort(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
}

double tt_bench_percentile(const double *values, unsigned count, unsigned percent)
{
    return values[(count - 1) * (uint64_t)percent / 100];
}

void tt_bench_report_pingpong(double *round_trips_us, unsigned count, double seconds,
                              double cpu_seconds, uint64_t connections)
{
    if (count == 0)
        tt_bench_fail("ping-pong", "no round trip was made");
    tt_bench_sort(round_trips_us, count);
    printf("{\"mode\":\"pingpong\",\"round_trips\":%u,\"seconds\":%.6f,\"p50_us\":%.2f,"
           "\"p99_us\":%.2f,\"connections\":%llu,\"longest_silence_ms\":%.3f,"
           "\"cpu_seconds\":%.6f}\n",
           count, seconds, tt_bench_percentile(round_trips_us, count, 50),
           tt_bench_percentile(round_trips_us, count, 99), (unsigned long long)connections,
           round_trips_us[count - 1] / 1e3, cpu_seconds);
}

static void echo_once(struct tt_bench_stream *stream, size_t len)
{
    unsigned char message[TT_BENCH_BUFFER_BYTES] = {0};
    if (!stream->kind->write(stream, message, len) || !tt_bench_read_all(stream, message, len))
        tt_bench_fail("echo", "the stream has failed");
}

static unsigned count_round_trips(const struct tt_bench_job *job, struct tt_bench_stream *stream,
                                  double *round_trips_us)
{
    const uint64_t begin_ns = tt_bench_now_ns();
    uint64_t before_ns = begin_ns;
    unsigned count = 0;
    while (count < job->round_trips && (!job->limit_ns || before_ns - begin_ns < job->limit_ns)) {
        echo_once(stream, TT_BENCH_PING_BYTES);
        const uint64_t now_ns = tt_bench_now_ns();
        round_trips_us[count++] = (double)(now_ns - before_ns) / 1e3;
        before_ns = now_ns;
    }
    return count;
}

void tt_bench_measure_pingpong(const struct tt_bench_job *job)
{
    double *round_trips_us = tt_bench_allocate(job->round_trips * sizeof *round_trips_us);
    struct tt_bench_link link = {0};
    struct tt_bench_stream stream;
    job->kind->dial(job->kind, &link, job->address);
    job->kind->open(&link, &stream);

    const double cpu_before = tt_bench_cpu_seconds();
    const uint64_t begin_ns = tt_bench_now_ns();
    const unsigned count = count_round_trips(job, &stream, round_trips_us);
    const double seconds = (double)(tt_bench_now_ns() - begin_ns) / 1e9;
    const double cpu_seconds = tt_bench_cpu_seconds() - cpu_before;

    const uint64_t connections = job->kind->connections(&link);
    job->kind->close(&stream);
    job->kind->end(&link);
    tt_bench_report_pingpong(round_trips_us, count, seconds, cpu_seconds, connections);
    free(round_trips_us);
}

static void echo_all(struct tt_bench_stream *stream, uint64_t bytes)
{
    for (uint64_t left = bytes; left > 0;) {
        const size_t n = left < TT_BENCH_BUFFER_BYTES ? (size_t)left : TT_BENCH_BUFFER_BYTES;
        echo_once(stream, n);
        left -= n;
    }
}

void tt_bench_sit_idle(const struct tt_bench_job *job)
{
    struct tt_bench_link *links = tt_bench_allocate(job->idle * sizeof *links);
    struct tt_bench_stream *streams = tt_bench_allocate(job->idle * sizeof *streams);

    for (unsigned i = 0; i < job->idle; i++) {
        job->kind->dial(job->kind, &links[i], job->address);
        job->kind->open(&links[i], &streams[i]);
        echo_all(&streams[i], job->bytes ? job->bytes : TT_BENCH_PING_BYTES);
    }
    fprintf(stderr, "%u sessions are open\n", job->idle);
    tt_bench_wait_for_end_of_input();
    exit(0); /* ends them all; whoever measures memory is done */
}
