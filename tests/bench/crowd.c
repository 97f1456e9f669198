#include "crowd.h"
#include "callbacks.h"
#include "handlers.h"
#include "process.h"
#include "visit.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <turbotunnel/turbotunnel.h>

/* Of sessions that will be idle. No more may wait to be accepted at a server. */
#define OPEN_AT_ONCE 64

/* All visits of one client, whose loop is one thread. */
struct crowd {
    const struct tt_bench_job *job;
    struct tt_loop *loop;
    struct tt_bench_visit *visits;
    unsigned begun, done; /* sessions so far */
    uint64_t begin_ns, end_ns;
    double *first_echo_us;       /* since the session was begun, for each that is done */
    struct tt_bench_visit *last; /* still open when all are done ... */
    sem_t over;                  /* ... which is told here */
};

static struct crowd make_crowd(const struct tt_bench_job *job, unsigned visits, uint64_t bytes,
                               void (*echoed)(struct tt_bench_visit *v))
{
    struct crowd c = {.job = job, .loop = tt_bench_new_loop()};
    c.visits = tt_bench_allocate(visits * sizeof *c.visits);
    for (unsigned i = 0; i < visits; i++)
        c.visits[i] =
            (struct tt_bench_visit){.job = job, .loop = c.loop, .bytes = bytes, .echoed = echoed};
    return c;
}

/* Begins those of the first count that have not begun. The visits know the crowd by its address
 * from now on.
 */
static void begin_until(struct crowd *c, unsigned count)
{
    while (c->begun < count) {
        struct tt_bench_visit *v = &c->visits[c->begun++];
        v->owner = c;
        tt_bench_visit_begin(v);
    }
}

/* --- who comes and stays --- */

static void stay(struct tt_bench_visit *v)
{
    struct crowd *c = v->owner;
    if (++c->done == c->job->idle)
        fprintf(stderr, "%u sessions are open\n", c->done);
    if (c->begun < c->job->idle)
        begin_until(c, c->begun + 1);
}

void tt_bench_sit_idle_callbacks(const struct tt_bench_job *job)
{
    struct crowd c =
        make_crowd(job, job->idle, job->bytes ? job->bytes : TT_BENCH_PING_BYTES, stay);
    begin_until(&c, job->idle < OPEN_AT_ONCE ? job->idle : OPEN_AT_ONCE);
    if (tt_loop_start(c.loop))
        tt_bench_fail("run a loop", "no resources");
    tt_bench_wait_for_end_of_input();
    exit(0); /* ends them all */
}

/* --- who comes and goes --- */

static bool is_late(const struct crowd *c)
{
    return c->job->limit_ns && c->end_ns - c->begin_ns >= c->job->limit_ns;
}

static void come_and_go(struct tt_bench_visit *v)
{
    struct crowd *c = v->owner;
    c->end_ns = tt_bench_now_ns();
    c->first_echo_us[c->done++] = (double)(c->end_ns - v->begun_ns) / 1e3;
    const bool another = c->begun < c->job->visits && !is_late(c);
    if (!another && c->done == c->begun) {
        c->last = v;
        (void)sem_post(&c->over);
        return;
    }
    tt_bench_visit_end(v);
    if (another) {
        c->begun++;
        tt_bench_visit_begin(v);
    }
}

static void report(const struct crowd *c, double cpu_seconds)
{
    const double seconds = (double)(c->end_ns - c->begin_ns) / 1e9;
    tt_bench_sort(c->first_echo_us, c->done);
    printf("{\"mode\":\"visits\",\"sessions\":%u,\"seconds\":%.6f,\"sessions_per_s\":%.1f,"
           "\"p50_us\":%.2f,\"p99_us\":%.2f,\"cpu_seconds\":%.6f}\n",
           c->done, seconds, c->done / seconds, tt_bench_percentile(c->first_echo_us, c->done, 50),
           tt_bench_percentile(c->first_echo_us, c->done, 99), cpu_seconds);
}

void tt_bench_come_and_go(const struct tt_bench_job *job)
{
    const unsigned visitors = job->visitors < job->visits ? job->visitors : job->visits;
    struct crowd c = make_crowd(job, visitors, TT_BENCH_PING_BYTES, come_and_go);
    c.first_echo_us = tt_bench_allocate(job->visits * sizeof *c.first_echo_us);
    const double cpu_before = tt_bench_cpu_seconds();
    (void)sem_init(&c.over, 0, 0);
    c.begin_ns = tt_bench_now_ns();
    begin_until(&c, visitors);
    if (tt_loop_start(c.loop))
        tt_bench_fail("run a loop", "no resources");
    while (sem_wait(&c.over)) {
    }
    tt_bench_visit_end(c.last); /* not from a callback: so that the server hears of it */
    report(&c, tt_bench_cpu_seconds() - cpu_before);
    tt_loop_free(c.loop);
    (void)sem_destroy(&c.over);
    free(c.visits);
    free(c.first_echo_us);
}
