#include "handlers.h"

#include <string.h>

bool tt_bench_read_all(struct tt_bench_stream *stream, void *buf, size_t len)
{
    unsigned char *at = buf;
    while (len > 0) {
        const ssize_t n = stream->kind->read(stream, at, len);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

void tt_bench_put_count(unsigned char wire[TT_BENCH_COUNT_BYTES], uint64_t count)
{
    for (int i = TT_BENCH_COUNT_BYTES - 1; i >= 0; i--, count >>= 8)
        wire[i] = (unsigned char)count;
}

uint64_t tt_bench_get_count(const unsigned char wire[TT_BENCH_COUNT_BYTES])
{
    uint64_t count = 0;
    for (int i = 0; i < TT_BENCH_COUNT_BYTES; i++)
        count = count << 8 | wire[i];
    return count;
}

static void echo(struct tt_bench_stream *stream)
{
    unsigned char buf[TT_BENCH_BUFFER_BYTES];
    ssize_t n;
    while ((n = stream->kind->read(stream, buf, sizeof buf)) > 0) {
        if (!stream->kind->write(stream, buf, (size_t)n))
            break;
    }
}

static void sink(struct tt_bench_stream *stream)
{
    unsigned char buf[TT_BENCH_BUFFER_BYTES];
    uint64_t got = 0;
    ssize_t n;
    while ((n = stream->kind->read(stream, buf, sizeof buf)) > 0)
        got += (uint64_t)n;
    tt_bench_put_count(buf, got);
    stream->kind->write(stream, buf, TT_BENCH_COUNT_BYTES);
}

static void source(struct tt_bench_stream *stream)
{
    unsigned char buf[TT_BENCH_BUFFER_BYTES] = {0};
    unsigned char request[TT_BENCH_COUNT_BYTES];
    if (!tt_bench_read_all(stream, request, sizeof request))
        return;
    for (uint64_t left = tt_bench_get_count(request); left > 0;) {
        const size_t n = left < sizeof buf ? (size_t)left : sizeof buf;
        if (!stream->kind->write(stream, buf, n))
            return;
        left -= n;
    }
}

static const struct {
    const char *mode;
    tt_bench_handler *handler;
} handlers[] = {{"echo", echo}, {"sink", sink}, {"source", source}};

/* The client chooses, by the first byte. */
static void choose(struct tt_bench_stream *stream)
{
    unsigned char choice;
    if (tt_bench_read_all(stream, &choice, 1) && choice < sizeof handlers / sizeof handlers[0])
        handlers[choice].handler(stream);
}

unsigned char tt_bench_choice(const char *mode)
{
    unsigned char choice = 0;
    while (strcmp(handlers[choice].mode, mode) != 0)
        choice++;
    return choice;
}

tt_bench_handler *tt_bench_handler_for(const char *mode)
{
    if (strcmp(mode, "choose") == 0)
        return choose;
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (strcmp(mode, handlers[i].mode) == 0)
            return handlers[i].handler;
    }
    return NULL;
}
