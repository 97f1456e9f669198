#include "words.h"
#include "handlers.h"
#include "measure.h"
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EACH_NS UINT64_C(5000000)
#define MOST    4096 /* twenty seconds of them */

struct tt_bench_words {
    struct tt_bench_stream stream;
    pthread_t speaker, listener;
    uint64_t begin_ns;
    _Atomic bool enough;
    unsigned said, heard;
    double times_us[MOST];
};

void tt_bench_choose(struct tt_bench_stream *stream, const char *mode)
{
    const unsigned char choice = tt_bench_choice(mode);
    if (!stream->kind->write(stream, &choice, 1))
        tt_bench_fail("choose", "the stream has failed");
}

/* When a word is due. One that had to wait for those before it has waited. */
static uint64_t due_ns(const struct tt_bench_words *w, unsigned number)
{
    return w->begin_ns + number * EACH_NS;
}

static void sleep_until(uint64_t ns)
{
    const struct timespec at = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        continue;
}

static void *speak(void *arg)
{
    struct tt_bench_words *w = arg;
    static const unsigned char word[TT_BENCH_PING_BYTES];
    for (; w->said < MOST && !w->enough; w->said++) {
        sleep_until(due_ns(w, w->said));
        if (!w->stream.kind->write(&w->stream, word, sizeof word))
            tt_bench_fail("say a word", "the stream has failed");
    }
    w->stream.kind->shutdown(&w->stream);
    return NULL;
}

static void *hear(void *arg)
{
    struct tt_bench_words *w = arg;
    unsigned char word[TT_BENCH_PING_BYTES];
    while (w->heard < MOST && tt_bench_read_all(&w->stream, word, sizeof word)) {
        w->times_us[w->heard] = (double)(tt_bench_now_ns() - due_ns(w, w->heard)) / 1e3;
        w->heard++;
    }
    return NULL;
}

struct tt_bench_words *tt_bench_words_begin(const struct tt_bench_kind *kind,
                                            struct tt_bench_link *link)
{
    struct tt_bench_words *w = tt_bench_allocate(sizeof *w);
    kind->open(link, &w->stream);
    tt_bench_choose(&w->stream, "echo");
    w->begin_ns = tt_bench_now_ns();
    if (pthread_create(&w->speaker, NULL, speak, w) || pthread_create(&w->listener, NULL, hear, w))
        tt_bench_fail("start a thread", "no resources");
    return w;
}

void tt_bench_words_end(struct tt_bench_words *w)
{
    w->enough = true;
    pthread_join(w->speaker, NULL);
    pthread_join(w->listener, NULL);
    if (w->heard < w->said)
        tt_bench_fail("words", "not all that were said have come back");
    w->stream.kind->close(&w->stream);
}

void tt_bench_words_report(struct tt_bench_words *w)
{
    tt_bench_sort(w->times_us, w->heard);
    printf(",\"words\":%u,\"words_p50_us\":%.2f,\"words_p99_us\":%.2f", w->heard,
           tt_bench_percentile(w->times_us, w->heard, 50),
           tt_bench_percentile(w->times_us, w->heard, 99));
}
