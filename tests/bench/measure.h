/* measure.h - what a client measures. Each prints one line of JSON, with the names that the Go
 * client uses, so that one reader reads both.
 */
#ifndef TT_BENCH_MEASURE_H
#define TT_BENCH_MEASURE_H

#include "link.h"

struct tt_bench_words;

struct tt_bench_job {
    const struct tt_bench_kind *kind;
    const char *address;
    const char *mode;  /* echo, sink or source, as the server's */
    uint64_t bytes;    /* of each stream */
    uint64_t limit_ns; /* 0: none; otherwise the streams end after so long */
    unsigned streams;  /* of one session, or as many connections */
    unsigned round_trips;
    unsigned idle;       /* sessions */
    unsigned visits;     /* sessions one after the other, ... */
    unsigned visitors;   /* ... so many at once */
    unsigned most;       /* a server by callbacks: sessions and connections; 0: the default */
    bool words;          /* beside the streams: what words takes (words.h) */
    unsigned workers;    /* a server by callbacks: of the listener; 0: one loop that we run */
    uint32_t max_packet; /* bytes; 0: the library's default */
    uint32_t carriers;   /* connections of one session at once; 0: one */
    bool callbacks;      /* by the callback API, not the blocking one */
};

void tt_bench_measure_streams(const struct tt_bench_job *job);
void tt_bench_measure_pingpong(const struct tt_bench_job *job);

/* Opens sessions with one echo each, of 64 bytes if job->bytes is 0, says so on standard error, and
 * keeps them until standard input ends.
 */
void tt_bench_sit_idle(const struct tt_bench_job *job);

/* --- for those who measure --- */

struct tt_bench_result {
    uint64_t bytes;
    double seconds, cpu_seconds;
    uint64_t connections;
    double longest_silence_ms;
    double slowest_share;         /* how far the slowest stream was when the first was done */
    struct tt_bench_words *words; /* said meanwhile, or NULL */
};

/* Prints the line. */
void tt_bench_report_streams(const struct tt_bench_job *job, const struct tt_bench_result *result);

void tt_bench_sort(double *values, unsigned count);

/* Of values in rising order, at least one. */
double tt_bench_percentile(const double *values, unsigned count, unsigned percent);

/* Sorts them, and prints the line. */
void tt_bench_report_pingpong(double *round_trips_us, unsigned count, double seconds,
                              double cpu_seconds, uint64_t connections);

#endif
