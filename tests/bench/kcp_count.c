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

#include "kcp_end.h"
#include "require.h"

struct bench {
    struct kcp_end end;
    uint32_t sent; /* segments that came in, or left for the first time */
};

static void comes(struct bench *b, enum tt_kcp_cmd cmd, uint32_t sn, uint32_t una)
{
    kcp_end_make_packet(&b->end, cmd, sn, una);
    kcp_end_packet_comes(&b->end);
}

static void push_comes(struct bench *b, uint32_t sn)
{
    comes(b, TT_KCP_PUSH, sn, 0);
}

static void window_leaves(struct bench *b)
{
    for (uint32_t i = 0; i < b->end.window; i++) {
        kcp_end_queue(&b->end);
        kcp_end_packet_leaves(&b->end, KCP_END_PAYLOAD);
    }
    b->sent += b->end.window;
}

static void do_acked(struct bench *b)
{
    kcp_end_queue(&b->end);
    kcp_end_packet_leaves(&b->end, KCP_END_PAYLOAD);
    b->sent++;
    if (b->sent >= b->end.window)
        comes(b, TT_KCP_ACK, b->sent - b->end.window, b->sent - b->end.window + 1);
}

static void do_singly(struct bench *b)
{
    const uint32_t first = b->sent;
    window_leaves(b);
    for (uint32_t i = 1; i < b->end.window; i++)
        comes(b, TT_KCP_ACK, first + i, first);
    comes(b, TT_KCP_ACK, first, b->sent);
}

static void leave_again(struct bench *b)
{
    for (uint32_t i = 0; i < b->end.window; i++)
        kcp_end_packet_leaves(&b->end, KCP_END_PAYLOAD);
    comes(b, TT_KCP_WINS, 0, b->sent);
}

static void do_timeout(struct bench *b)
{
    window_leaves(b);
    b->end.now_us = tt_kcp_deadline(&b->end.kcp);
    tt_kcp_handle_timeout(&b->end.kcp, b->end.now_us);
    leave_again(b);
}

static void do_redial(struct bench *b)
{
    window_leaves(b);
    tt_kcp_path_close(&b->end.kcp, &b->end.path);
    kcp_end_open_path(&b->end);
    if (b->end.kcp.tell)
        kcp_end_packet_leaves(&b->end, TT_KCP_HEADER); /* */
    leave_again(b);
}

static void do_received(struct bench *b)
{
    push_comes(b, b->sent++);
    kcp_end_take_all(&b->end);
    kcp_end_packet_leaves(&b->end, TT_KCP_HEADER);
}

static void do_gap(struct bench *b)
{
    const uint32_t first = b->sent;
    for (uint32_t i = 1; i < b->end.window; i++) {
        push_comes(b, first + i);
        kcp_end_packet_leaves(&b->end, TT_KCP_HEADER);
    }
    push_comes(b, first);
    require(tt_kcp_settle(&b->end.kcp) == TT_OK, "tt_kcp_settle");
    kcp_end_take_all(&b->end);
    kcp_end_packet_leaves(&b->end, TT_KCP_HEADER);
    b->sent += b->end.window;
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
    kcp_end_open(&b.end, (uint32_t)window);
    while (b.sent < segments)
        run(&b);
    kcp_end_close(&b.end);
    return 0;
}
