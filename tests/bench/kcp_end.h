/* kcp_end.h - one end of KCP, driven by hand: no network, the peer's packets are made on the spot.
 */
#ifndef TESTS_BENCH_KCP_END_H
#define TESTS_BENCH_KCP_END_H

#include <stdint.h>

#include "core/base/slab.h"
#include "core/gather.h"
#include "core/kcp/kcp.h"

#define KCP_END_PAYLOAD 1376u /* bytes of each segment */

struct kcp_end {
    struct tt_slab_pool slabs;
    struct tt_slab_account account;
    struct tt_kcp kcp;
    struct tt_kcp_path path;
    struct tt_gather gather;
    struct tt_slab *payload; /* what is sent, again and again */
    struct tt_slab *packet;  /* what comes in */
    uint32_t packet_bytes;
    uint32_t window; /* segments, ours and the peer's */
    uint64_t now_us;
};

void kcp_end_open(struct kcp_end *e, uint32_t window);

/* All that came must have been taken. */
void kcp_end_close(struct kcp_end *e);

void kcp_end_open_path(struct kcp_end *e);

/* One segment is queued; one packet leaves, of at least so many bytes. */
void kcp_end_queue(struct kcp_end *e);
void kcp_end_packet_leaves(struct kcp_end *e, uint32_t least_bytes);

/* A packet of one segment is made; and comes in. */
void kcp_end_make_packet(struct kcp_end *e, enum tt_kcp_cmd cmd, uint32_t sn, uint32_t una);
void kcp_end_packet_comes(struct kcp_end *e);

/* Takes all that has come in order. */
void kcp_end_take_all(struct kcp_end *e);

#endif
