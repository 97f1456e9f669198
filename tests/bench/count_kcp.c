#include "count.h"
#include "kcp_end.h"

/* --- sending: the window is full all the time --- */

static void send_one(void *ctx)
{
    struct kcp_end *e = ctx;
    kcp_end_queue(e);
    kcp_end_packet_leaves(e, KCP_END_PAYLOAD);
}

static void packet_comes(void *ctx)
{
    kcp_end_packet_comes(ctx);
}

static void make_ack(struct kcp_end *e, uint32_t sn)
{
    kcp_end_make_packet(e, TT_KCP_ACK, sn, sn + 1);
}

static void fill_window(struct kcp_end *e, uint32_t window)
{
    kcp_end_open(e, window);
    for (uint32_t i = 0; i < window; i++)
        send_one(e);
}

void count_kcp_sent(uint32_t window, uint32_t times)
{
    static struct kcp_end e;
    fill_window(&e, window);
    for (uint32_t sn = 0; sn < times; sn++) {
        make_ack(&e, sn);
        packet_comes(&e);
        counted(send_one, &e);
    }
    kcp_end_close(&e);
}

void count_kcp_acked(uint32_t window, uint32_t times)
{
    static struct kcp_end e;
    fill_window(&e, window);
    for (uint32_t sn = 0; sn < times; sn++) {
        make_ack(&e, sn);
        counted(packet_comes, &e);
        send_one(&e);
    }
    kcp_end_close(&e);
}

/* --- receiving --- */

static void receive_one(void *ctx)
{
    kcp_end_packet_comes(ctx);
    kcp_end_take_all(ctx);
    kcp_end_packet_leaves(ctx, TT_KCP_HEADER);
}

void count_kcp_received(uint32_t window, uint32_t times)
{
    static struct kcp_end e;
    kcp_end_open(&e, window);
    for (uint32_t sn = 0; sn < times; sn++) {
        kcp_end_make_packet(&e, TT_KCP_PUSH, sn, 0);
        counted(receive_one, &e);
    }
    kcp_end_close(&e);
}
