/* What KCP does for a segment, to be counted: tests/bench/kcp-count runs this under valgrind.
 *
 *     kcp_count WORK WINDOW SEGMENTS
 *
 * One end, no network: the peer's packets are made on the spot. The window is full all the time, so
 * that whatever walks over it costs more when it is larger. WORK:
 *
 *   acked      a segment is queued, leaves, and the oldest in flight is acknowledged
 *   singly     a window of segments leaves and is acknowledged one by one, the first one last
 *   timeout    a window of segments leaves, times out and leaves again before it is acknowledged
 *   redial     a window of segments leaves, its path dies, and it leaves again on the next
 *   received   a segment comes in order, is taken, and its ack leaves
 *   gap        a window of segments comes, the first one last; all are taken, their acks leave
 *
 * Exit status: 0, or 2 for wrong arguments, or 1 if something went wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/kcp/kcp.h"

#define CONV    UINT32_C(1)
#define PAYLOAD 1376u

struct bench {
    struct tt_slab_pool slabs;
    struct tt_slab_account account;
    struct tt_kcp kcp;
    struct tt_kcp_path path;
    struct tt_gather gather;
    struct tt_slab *payload; /* what is sent, again and again */
    struct tt_slab *packet;  /* what comes in */
    uint32_t window;
    uint32_t sent; /* segments that came in, or left for the first time */
    uint64_t now_us;
};

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "kcp_count: %s\n", what);
        exit(1);
    }
}

static void open_bench(struct bench *b, uint32_t window)
{
    const struct tt_kcp_config config = {
        .conv = CONV,
        .mtu = PAYLOAD + TT_KCP_HEADER,
        .stream = true,
        .nocwnd = true,
        .resend = 0,
        .snd_wnd = window,
        .rcv_wnd_first = window,
        .rcv_wnd = window,
        .slabs = &b->slabs,
        .account = &b->account,
        .alloc = &tt_alloc_malloc,
    };
    b->window = window;
    b->now_us = TT_SECOND;
    tt_slab_pool_init(&b->slabs, &tt_alloc_malloc, SIZE_MAX);
    require(tt_kcp_init(&b->kcp, &config) == TT_OK, "tt_kcp_init");
    tt_kcp_path_open(&b->kcp, &b->path, b->now_us, false, TT_KCP_UNLIMITED, 0);
    b->kcp.send.edge = window;
    b->payload = tt_slab_get(&b->slabs, TT_SLAB_SMALL);
    b->packet = tt_slab_get(&b->slabs, TT_SLAB_SMALL);
    require(b->payload && b->packet, "no memory");
    memset(b->payload->data, 'x', PAYLOAD);
    memset(b->packet->data, 'x', PAYLOAD + TT_KCP_HEADER);
}

static void close_bench(struct bench *b)
{
    tt_kcp_path_close(&b->kcp, &b->path);
    tt_kcp_dispose(&b->kcp);
    tt_slab_unref(b->payload);
    tt_slab_unref(b->packet);
    tt_slab_pool_dispose(&b->slabs);
}

/* --- one step --- */

static void queue_one(struct bench *b)
{
    require(tt_kcp_send_bytes(&b->kcp, b->payload->data, PAYLOAD, tt_slab_ref(b->payload)) == TT_OK,
            "tt_kcp_send_bytes");
}

static void one_leaves(struct bench *b, uint32_t bytes)
{
    uint32_t len;
    tt_gather_reset(&b->gather);
    require(tt_kcp_next_packet(&b->kcp, b->now_us, &b->path, PAYLOAD + TT_KCP_HEADER, &b->gather,
                               &len) == TT_OK,
            "nothing left");
    require(len >= bytes, "not enough left");
}

static void input(struct bench *b, enum tt_kcp_cmd cmd, uint32_t sn, uint32_t una, uint32_t len)
{
    tt_kcp_header_write(b->packet->data, &(struct tt_kcp_header){.conv = CONV,
                                                                 .cmd = (uint8_t)cmd,
                                                                 .wnd = (uint16_t)b->window,
                                                                 .sn = sn,
                                                                 .una = una,
                                                                 .len = len});
    require(tt_kcp_input(&b->kcp, b->now_us, tt_span_of(b->packet->data, TT_KCP_HEADER + len),
                         b->packet) == TT_OK,
            "tt_kcp_input");
}

static void push_comes(struct bench *b, uint32_t sn)
{
    input(b, TT_KCP_PUSH, sn, 0, PAYLOAD);
}

static void take_all(struct bench *b)
{
    while (tt_kcp_receive_peek(&b->kcp.receive))
        tt_kcp_take(&b->kcp);
}

static void window_leaves(struct bench *b)
{
    for (uint32_t i = 0; i < b->window; i++) {
        queue_one(b);
        one_leaves(b, PAYLOAD);
    }
    b->sent += b->window;
}

/* --- the work --- */

static void do_acked(struct bench *b)
{
    queue_one(b);
    one_leaves(b, PAYLOAD);
    b->sent++;
    if (b->sent >= b->window)
        input(b, TT_KCP_ACK, b->sent - b->window, b->sent - b->window + 1, 0);
}

static void do_singly(struct bench *b)
{
    const uint32_t first = b->sent;
    window_leaves(b);
    for (uint32_t i = 1; i < b->window; i++)
        input(b, TT_KCP_ACK, first + i, first, 0);
    input(b, TT_KCP_ACK, first, b->sent, 0);
}

static void leave_again(struct bench *b)
{
    for (uint32_t i = 0; i < b->window; i++)
        one_leaves(b, PAYLOAD);
    input(b, TT_KCP_WINS, 0, b->sent, 0);
}

static void do_timeout(struct bench *b)
{
    window_leaves(b);
    b->now_us = tt_kcp_deadline(&b->kcp);
    tt_kcp_handle_timeout(&b->kcp, b->now_us);
    leave_again(b);
}

static void do_redial(struct bench *b)
{
    window_leaves(b);
    tt_kcp_path_close(&b->kcp, &b->path);
    tt_kcp_path_open(&b->kcp, &b->path, b->now_us, false, TT_KCP_UNLIMITED, 0);
    if (b->kcp.tell)
        one_leaves(b, TT_KCP_HEADER); /* */
    leave_again(b);
}

static void do_received(struct bench *b)
{
    push_comes(b, b->sent++);
    take_all(b);
    one_leaves(b, TT_KCP_HEADER);
}

static void do_gap(struct bench *b)
{
    const uint32_t first = b->sent;
    for (uint32_t i = 1; i < b->window; i++) {
        push_comes(b, first + i);
        one_leaves(b, TT_KCP_HEADER);
    }
    push_comes(b, first);
    require(tt_kcp_settle(&b->kcp) == TT_OK, "tt_kcp_settle");
    take_all(b);
    one_leaves(b, TT_KCP_HEADER);
    b->sent += b->window;
}

static const struct {
    const char *name;
    void (*run)(struct bench *b);
} works[] = {
    {"acked", do_acked},   {"singly", do_singly},     {"timeout", do_timeout},
    {"redial", do_redial}, {"received", do_received}, {"gap", do_gap},
};

int main(int argc, char **argv)
{
    static struct bench b;
    void (*run)(struct bench *) = NULL;

    for (size_t i = 0; argc == 4 && i < sizeof(works) / sizeof(works[0]); i++) {
        if (strcmp(argv[1], works[i].name) == 0)
            run = works[i].run;
    }
    const unsigned long window = run ? strtoul(argv[2], NULL, 10) : 0;
    const unsigned long segments = run ? strtoul(argv[3], NULL, 10) : 0;
    if (window == 0 || window > UINT16_MAX || segments == 0 || segments > UINT32_MAX) {
        fprintf(stderr, "usage: kcp_count WORK WINDOW SEGMENTS\n");
        return 2;
    }
    open_bench(&b, (uint32_t)window);
    while (b.sent < segments)
        run(&b);
    require(b.kcp.receive.read == b.kcp.receive.top, "not all was taken");
    close_bench(&b);
    return 0;
}
