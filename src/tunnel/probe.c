#include "tunnel/probe.h"

#include <string.h>
#include <time.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"

struct probe {
    struct tt_list_node node;
    struct tt_stream *stream;
    uint32_t up_left, down_left;
};

static const uint8_t filler[16384];

uint64_t tt_probe_wall_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void dispose(struct probe *p)
{
    tt_list_remove(&p->node);
    tt_alloc_malloc.put(NULL, p);
}

static void refuse(struct probe *p, uint32_t code)
{
    tt_stream_reset(p->stream, code);
    dispose(p);
}

void tt_probe_abort_all(struct tt_list *probes, uint32_t code)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(probes)) != NULL)
        refuse(TT_CONTAINER_OF(node, struct probe, node), code);
}

/* Once all has come that was announced. */
static void give(struct probe *p)
{
    int err = TT_OK;
    while (!err && p->down_left > 0) {
        size_t taken = 0;
        const size_t len = p->down_left < sizeof filler ? p->down_left : sizeof filler;
        err = tt_stream_try_write(p->stream, filler, len, &taken);
        p->down_left -= err ? 0 : (uint32_t)taken;
    }
    if (!err) {
        tt_stream_close(p->stream); /* what was written is still delivered */
        dispose(p);
    } else if (err != TT_E_FULL) {
        refuse(p, TT_RESET_NONE);
    }
}

static void writable(void *ctx, struct tt_stream *st)
{
    struct probe *p = ctx;
    (void)st;
    if (p->up_left == 0)
        give(p);
}

static void readable(void *ctx, struct tt_stream *st)
{
    struct probe *p = ctx;
    uint8_t thrown_away[16384];
    int err = TT_OK;
    while (!err && p->up_left > 0) {
        size_t n = 0;
        const size_t cap = p->up_left < sizeof thrown_away ? p->up_left : sizeof thrown_away;
        err = tt_stream_try_read(st, thrown_away, cap, &n);
        p->up_left -= err ? 0 : (uint32_t)n;
    }
    if (!err)
        give(p);
    else if (err != TT_E_AGAIN) /* it ended before all had come */
        refuse(p, TT_RESET_NONE);
}

static const struct tt_stream_callbacks callbacks = {.readable = readable, .writable = writable};

static int answer(struct tt_stream *st)
{
    uint8_t bytes[TT_PROBE_ANSWER] = {TT_TARGET_CONNECTED};
    const uint64_t now_ms = tt_probe_wall_ms();
    size_t taken;
    tt_put_be32(bytes + 1, (uint32_t)(now_ms >> 32));
    tt_put_be32(bytes + 5, (uint32_t)now_ms);
    return tt_stream_try_write(st, bytes, sizeof bytes, &taken); /* it is empty: all or nothing */
}

uint32_t tt_probe_begin(struct tt_list *probes, struct tt_stream *stream,
                        const struct tt_target *target)
{
    struct probe *p = NULL;
    if (target->up <= TT_PROBE_MOST && target->down <= TT_PROBE_MOST && tt_list_empty(probes))
        p = tt_alloc_malloc.get(NULL, sizeof *p);
    if (!p || answer(stream)) {
        if (p)
            tt_alloc_malloc.put(NULL, p);
        tt_stream_reset(stream, TT_RESET_LIMIT);
        return TT_RESET_LIMIT;
    }
    *p = (struct probe){.stream = stream, .up_left = target->up, .down_left = target->down};
    tt_list_push_back(probes, &p->node);
    tt_stream_set_callbacks(stream, &callbacks, p); /* what has come is told at the turn's end */
    if (p->up_left == 0)
        give(p);
    return TT_RESET_NONE;
}
