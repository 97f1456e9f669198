#include "kcp_end.h"

#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "require.h"

#define CONV UINT32_C(1)

void kcp_end_open_path(struct kcp_end *e)
{
    tt_kcp_path_open(&e->kcp, &e->path, e->now_us, false, TT_KCP_UNLIMITED, 0);
}

void kcp_end_open(struct kcp_end *e, uint32_t window)
{
    const struct tt_kcp_config config = {
        .conv = CONV,
        .mtu = KCP_END_PAYLOAD + TT_KCP_HEADER,
        .stream = true,
        .nocwnd = true,
        .resend = 0,
        .snd_wnd = window,
        .rcv_wnd_first = window,
        .rcv_wnd = window,
        .slabs = &e->slabs,
        .account = &e->account,
        .alloc = &tt_alloc_malloc,
    };
    e->window = window;
    e->now_us = TT_SECOND;
    tt_slab_pool_init(&e->slabs, &tt_alloc_malloc, SIZE_MAX);
    require(tt_kcp_init(&e->kcp, &config) == TT_OK, "tt_kcp_init");
    kcp_end_open_path(e);
    e->kcp.send.edge = window;
    e->payload = tt_slab_get(&e->slabs, TT_SLAB_SMALL);
    e->packet = tt_slab_get(&e->slabs, TT_SLAB_SMALL);
    require(e->payload && e->packet, "no memory");
    memset(e->payload->data, 'x', KCP_END_PAYLOAD);
    memset(e->packet->data, 'x', KCP_END_PAYLOAD + TT_KCP_HEADER);
}

void kcp_end_close(struct kcp_end *e)
{
    require(e->kcp.receive.read == e->kcp.receive.top, "not all was taken");
    tt_kcp_path_close(&e->kcp, &e->path);
    tt_kcp_dispose(&e->kcp);
    tt_slab_unref(e->payload);
    tt_slab_unref(e->packet);
    tt_slab_pool_dispose(&e->slabs);
}

void kcp_end_queue(struct kcp_end *e)
{
    require(tt_kcp_send_bytes(&e->kcp, e->payload->data, KCP_END_PAYLOAD,
                              tt_slab_ref(e->payload)) == TT_OK,
            "tt_kcp_send_bytes");
}

void kcp_end_packet_leaves(struct kcp_end *e, uint32_t least_bytes)
{
    uint32_t len;
    tt_gather_reset(&e->gather);
    require(tt_kcp_next_packet(&e->kcp, e->now_us, &e->path, KCP_END_PAYLOAD + TT_KCP_HEADER,
                               &e->gather, &len) == TT_OK,
            "nothing left");
    require(len >= least_bytes, "not enough left");
}

void kcp_end_make_packet(struct kcp_end *e, enum tt_kcp_cmd cmd, uint32_t sn, uint32_t una)
{
    const uint32_t payload_bytes = cmd == TT_KCP_PUSH ? KCP_END_PAYLOAD : 0;
    tt_kcp_header_write(e->packet->data, &(struct tt_kcp_header){.conv = CONV,
                                                                 .cmd = (uint8_t)cmd,
                                                                 .wnd = (uint16_t)e->window,
                                                                 .sn = sn,
                                                                 .una = una,
                                                                 .len = payload_bytes});
    e->packet_bytes = TT_KCP_HEADER + payload_bytes;
}

void kcp_end_packet_comes(struct kcp_end *e)
{
    require(tt_kcp_input(&e->kcp, e->now_us, tt_span_of(e->packet->data, e->packet_bytes),
                         e->packet) == TT_OK,
            "tt_kcp_input");
}

void kcp_end_take_all(struct kcp_end *e)
{
    while (tt_kcp_receive_peek(&e->kcp.receive))
        tt_kcp_take(&e->kcp);
}
