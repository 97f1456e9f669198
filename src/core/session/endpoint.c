#include <assert.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/session/endpoint.h"
#include "core/smux/frame.h"

#define CONTROL_PACKET_MAX 11u /* native.md section 1 */

/* A bulk stream's frames, header included, fill whole segments: they need no joining, and none of
 * them lies in two places. 47 of 1376 bytes are what fits below 65,535.
 */
#define FRAME_SEGMENTS 47u

/* How many segments' worth of frames to have queued in KCP, without numbers, before asking smux for
 * no more: one frame. What smux has not given out can still be overtaken.
 */
#define QUEUED_SEGMENTS FRAME_SEGMENTS

#define REPEATED_ACKS ((16u << 10) / TT_KCP_HEADER) /* 16 kB */

/* After a refusal for want of memory nothing else may come that would make us try again. */
#define RETRY_US (50 * TT_MS)

void tt_endpoint_tuning_default(struct tt_endpoint_tuning *t)
{
    *t = (struct tt_endpoint_tuning){
        .mtu = TT_KCP_DEFAULT_MTU,
        .nodelay = true,
        .interval_ms = 10,
        .resend = 2,
        .nocwnd = true,
        .snd_wnd = 4096,
        .rcv_wnd_first = 128,
        .rcv_wnd = 4096,
        .max_frame = FRAME_SEGMENTS * (TT_KCP_DEFAULT_MTU - TT_KCP_HEADER) - TT_SMUX_HEADER,
        .max_receive_buffer = 16u << 20,
        .max_stream_buffer = 4u << 20,
        .max_send_buffer = 256u << 10,
        .accept_backlog = 1024,
        .max_streams = 4096,
        .keepalive_interval_us = 10 * TT_SECOND,
        .session_timeout_us = 600 * TT_SECOND,
        .redial_allowance = 16,
    };
}

static int init_kcp(struct tt_endpoint *e)
{
    const struct tt_endpoint_tuning *t = &e->config.tuning;
    return tt_kcp_init(&e->kcp, &(struct tt_kcp_config){.conv = e->config.conv,
                                                        .mtu = t->mtu,
                                                        .stream = true,
                                                        .nodelay = t->nodelay,
                                                        .interval_ms = t->interval_ms,
                                                        .resend = t->resend,
                                                        .nocwnd = t->nocwnd,
                                                        .snd_wnd = t->snd_wnd,
                                                        .rcv_wnd_first = t->rcv_wnd_first,
                                                        .rcv_wnd = t->rcv_wnd,
                                                        .slabs = e->config.slabs,
                                                        .account = &e->account,
                                                        .alloc = e->config.alloc});
}

static int init_smux(struct tt_endpoint *e, uint64_t now_us)
{
    const struct tt_endpoint_tuning *t = &e->config.tuning;
    struct tt_smux_config c = {
        .client = e->config.client,
        .version = e->config.smux_version,
        .max_frame = t->max_frame,
        .max_receive_buffer = t->max_receive_buffer,
        .max_stream_buffer = t->max_stream_buffer,
        .max_send_buffer = t->max_send_buffer,
        .accept_backlog = t->accept_backlog,
        .max_streams = t->max_streams,
        .keepalive_interval_us = t->keepalive_interval_us,
        .legacy_peer = true,
        .slabs = e->config.slabs,
        .account = &e->account,
        .alloc = e->config.alloc,
    };
    memcpy(c.hash_key, e->config.hash_key, sizeof c.hash_key);
    return tt_smux_init(&e->smux, &c, now_us);
}

int tt_endpoint_init(struct tt_endpoint *e, const struct tt_endpoint_config *config,
                     uint64_t now_us)
{
    *e = (struct tt_endpoint){.config = *config,
                              .heard_us = now_us,
                              .allowance = config->tuning.redial_allowance,
                              .retry_us = TT_NEVER};
    tt_list_init(&e->carriers);
    int err = init_kcp(e);
    if (!err)
        err = init_smux(e, now_us);
    if (err) {
        tt_kcp_dispose(&e->kcp);
        e->config.alloc = NULL;
    }
    return err;
}

/* --- carriers --- */

/* Grows with every byte delivered or acknowledged, by whatever carrier. */
static uint64_t progress(const struct tt_endpoint *e)
{
    return e->kcp.receive.delivered + e->kcp.send.acked_bytes;
}

bool tt_carrier_progressed(const struct tt_carrier *c)
{
    return c->endpoint && progress(c->endpoint) != c->progress_mark;
}

static void activate(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c)
{
    c->role = TT_CARRIER_ACTIVE;
    c->acked_mark = e->kcp.send.acked_bytes;
    tt_kcp_path_open(&e->kcp, &c->path, now_us, c->limits.ordered,
                     c->number == 0 ? TT_KCP_UNLIMITED : e->allowance, REPEATED_ACKS);
}

/* Where every connection ends after a few kB, what is sent at its start can use all of them up
 * before the other end gets a word in: then the same would be sent for ever. So one that died
 * before anything was acknowledged halves what the next begins with, down to a segment.
 */
static void learn_allowance(struct tt_endpoint *e, const struct tt_carrier *c)
{
    const uint32_t most = e->config.tuning.redial_allowance;
    if (e->kcp.send.acked_bytes != c->acked_mark)
        e->allowance = e->allowance > most / 2 ? most : e->allowance * 2;
    else if (c->path.flying.count > 0 && e->allowance > 1)
        e->allowance /= 2;
}

static void deactivate(struct tt_endpoint *e, struct tt_carrier *c, enum tt_carrier_role role)
{
    if (c->role == TT_CARRIER_ACTIVE) {
        learn_allowance(e, c);
        tt_kcp_path_close(&e->kcp, &c->path);
    }
    c->role = role;
}

static void replace_all(struct tt_endpoint *e)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        deactivate(e, TT_CONTAINER_OF(node, struct tt_carrier, node), TT_CARRIER_REPLACED);
    }
}

static void set_up_carrier(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                           const struct tt_carrier_limits *limits)
{
    *c = (struct tt_carrier){.endpoint = e,
                             .id = e->config.id,
                             .number = e->next_carrier++,
                             .attached = c->attached,
                             .limits = *limits,
                             .opened_us = now_us,
                             .progress_mark = progress(e)};
}

/* A server sends its packets to one carrier after the other in the order in which it made them:
 * with no older carrier left, none on the new one acknowledges less than we know. So a server that
 * was restarted is found out by its first packet (peer_began_anew).
 */
static void remember_una(const struct tt_endpoint *e, struct tt_carrier *c)
{
    c->heard = true;
    c->heard_una = e->kcp.send.una;
}

void tt_endpoint_carrier_open(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                              const struct tt_carrier_limits *limits)
{
    const bool alone = tt_list_empty(&e->carriers);

    replace_all(e);
    set_up_carrier(e, now_us, c, limits);
    if (e->config.client && alone)
        remember_una(e, c);
    tt_list_push_back(&e->carriers, &c->node);
    activate(e, now_us, c);
}

void tt_endpoint_carrier_open_behind(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                                     const struct tt_carrier_limits *limits,
                                     struct tt_carrier *newer)
{
    assert(newer->endpoint == e);
    set_up_carrier(e, now_us, c, limits);
    tt_list_insert_before(&newer->node, &c->node);
    c->role = TT_CARRIER_REPLACED;
}

/* The newest of those that were replaced, when no other is left. */
static void promote_newest(struct tt_endpoint *e, uint64_t now_us)
{
    struct tt_list_node *node = tt_list_last(&e->carriers);
    if (!node)
        return;
    struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
    if (c->role == TT_CARRIER_REPLACED)
        activate(e, now_us, c);
}

void tt_endpoint_carrier_close(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c)
{
    assert(c->endpoint == e);
    deactivate(e, c, TT_CARRIER_GONE);
    tt_list_remove(&c->node);
    c->endpoint = NULL;
    promote_newest(e, now_us);
}

void tt_endpoint_dispose(struct tt_endpoint *e)
{
    if (!e->config.alloc)
        return;
    struct tt_list_node *node;
    while ((node = tt_list_pop_front(&e->carriers)) != NULL) {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        deactivate(e, c, TT_CARRIER_GONE);
        c->endpoint = NULL;
    }
    if (e->held.len > 0)
        tt_slab_unref(e->held.slab);
    tt_smux_dispose(&e->smux);
    tt_kcp_dispose(&e->kcp);
    tt_slab_account_end(e->config.slabs, &e->account);
    e->config.alloc = NULL;
}

/* --- receiving --- */

static void retry_later(struct tt_endpoint *e, uint64_t now_us)
{
    if (e->retry_us == TT_NEVER)
        e->retry_us = tt_deadline_after(now_us, RETRY_US);
}

/* What KCP has put in order goes up, as long as smux takes it. */
static int drain(struct tt_endpoint *e, uint64_t now_us)
{
    struct tt_span data;
    struct tt_slab *slab;

    while (!e->error && tt_kcp_peek(&e->kcp, &data, &slab) == TT_OK) {
        size_t used = 0;
        if (data.len < e->drain_offset) {
            /* Half of it was taken, the rest forgotten for want of memory, and sent again shorter.
             */
            e->error = TT_E_PROTO;
            break;
        }
        tt_span_skip(&data, e->drain_offset);
        int err = data.len > 0 ? tt_smux_input(&e->smux, now_us, data, slab, &used) : TT_OK;
        e->drain_offset += used;
        if (err == TT_E_AGAIN) {
            if (tt_smux_input_open(&e->smux)) /* no limit of its own has stopped it */
                retry_later(e, now_us);
            break;
        }
        if (err) {
            e->error = err;
            break;
        }
        tt_kcp_take(&e->kcp);
        e->drain_offset = 0;
    }
    return e->error;
}

/* On an ordered carrier una only grows. One that falls back comes from a peer that has closed the
 * session and made a new one of our packets (K-42): nothing will ever be delivered there.
 */
static bool peer_began_anew(const struct tt_endpoint *e, struct tt_carrier *c)
{
    const uint32_t una = e->kcp.heard_una;
    const bool back = c->heard && c->limits.ordered && tt_seq_before(una, c->heard_una);
    c->heard = true;
    c->heard_una = una;
    return back && tt_seq_before(una, e->kcp.send.una);
}

int tt_endpoint_receive(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                        struct tt_span packet, struct tt_slab *slab)
{
    const uint64_t acked_before = e->kcp.send.acked_bytes;

    c->received_packets++;
    c->received_bytes += packet.len;
    if (e->error)
        return e->error;
    if (packet.len <= CONTROL_PACKET_MAX) {
        e->control_packets++;
        return TT_OK;
    }
    e->heard_us = now_us;
    if (tt_kcp_input(&e->kcp, now_us, packet, slab) == TT_OK && peer_began_anew(e, c)) {
        e->error = TT_E_LOST;
        return e->error;
    }
    if (e->kcp.send.acked_bytes != acked_before)
        tt_smux_acked(&e->smux, e->kcp.send.acked_bytes);
    drain(e, now_us);
    /* No memory: as if the packet had been lost; KCP has counted it. */
    (void)tt_kcp_settle(&e->kcp);
    return e->error;
}

int tt_endpoint_touched(struct tt_endpoint *e, uint64_t now_us)
{
    return e->error ? e->error : drain(e, now_us);
}

/* --- sending --- */

/* A frame that smux gave out is part of the stream: when KCP has no memory for it, it waits here.
 */
static int queue_held(struct tt_endpoint *e)
{
    if (e->held.len == 0)
        return TT_OK;
    tt_slab_ref(e->held.slab);
    int err = tt_kcp_send_bytes(&e->kcp, e->held.ptr, e->held.len, e->held.slab);
    if (err)
        return err;
    tt_slab_unref(e->held.slab);
    e->held.len = 0;
    return TT_OK;
}

/* Segments' worth of frames that KCP can use. When nothing is in flight and the peer's window is
 * shut, one: KCP asks for the window again only while it has something to send.
 */
static uint32_t appetite(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    const uint32_t segments = tt_kcp_appetite(&e->kcp, &c->path);
    return segments == 0 && tt_kcp_all_acked(&e->kcp) ? 1 : segments;
}

/* Frames are asked for when their segments can leave at once, and no earlier. Returns 0, TT_E_AGAIN
 * or TT_E_NOMEM.
 */
static int take_frame(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c)
{
    const struct tt_kcp_send *send = &e->kcp.send;
    int err = queue_held(e);

    if (err)
        return err;
    if (send->end - send->nxt >= QUEUED_SEGMENTS || !tt_smux_wants_send(&e->smux))
        return TT_E_AGAIN;
    const uint32_t wanted = appetite(e, c);
    if (wanted == 0)
        return TT_E_AGAIN;
    const uint32_t segments = wanted < FRAME_SEGMENTS ? wanted : FRAME_SEGMENTS;
    return tt_smux_next_frame(&e->smux, now_us, segments * send->mss, &e->held);
}

static void take_frames(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c)
{
    int err;
    while ((err = take_frame(e, now_us, c)) == TT_OK)
        continue;
    if (err == TT_E_NOMEM)
        retry_later(e, now_us);
}

static bool has_budget(const struct tt_carrier *c)
{
    return c->limits.max_bytes == 0 || c->taken_bytes + c->limits.max_packet <= c->limits.max_bytes;
}

int tt_endpoint_next_packet(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                            struct tt_gather *g, uint32_t *len)
{
    *len = 0;
    if (e->error)
        return e->error;
    if (c->role != TT_CARRIER_ACTIVE || !has_budget(c))
        return TT_E_AGAIN;
    take_frames(e, now_us, c);
    int err = tt_kcp_next_packet(&e->kcp, now_us, &c->path, c->limits.max_packet, g, len);
    if (err)
        return err;
    c->taken_packets++;
    c->taken_bytes += *len;
    return TT_OK;
}

bool tt_endpoint_wants_send(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (e->error || c->role != TT_CARRIER_ACTIVE || !has_budget(c))
        return false;
    return tt_kcp_wants_send(&e->kcp, &c->path) ||
           (tt_smux_wants_send(&e->smux) && appetite(e, c) > 0);
}

/* --- time --- */

static uint64_t lost_at_us(const struct tt_endpoint *e)
{
    const uint64_t timeout_us = e->config.tuning.session_timeout_us;
    return timeout_us ? tt_deadline_after(e->heard_us, timeout_us) : TT_NEVER;
}

uint64_t tt_endpoint_deadline(const struct tt_endpoint *e)
{
    if (e->error)
        return TT_NEVER;
    return tt_min_u64(tt_min_u64(tt_kcp_deadline(&e->kcp), tt_smux_deadline(&e->smux)),
                      tt_min_u64(e->retry_us, lost_at_us(e)));
}

int tt_endpoint_handle_timeout(struct tt_endpoint *e, uint64_t now_us)
{
    if (e->error)
        return e->error;
    if (lost_at_us(e) <= now_us) {
        e->error = TT_E_TIMEOUT;
        return e->error;
    }
    if (tt_kcp_deadline(&e->kcp) <= now_us)
        tt_kcp_handle_timeout(&e->kcp, now_us);
    if (tt_smux_deadline(&e->smux) <= now_us) {
        e->error = tt_smux_handle_timeout(&e->smux, now_us);
        tt_kcp_shrink(&e->kcp); /* the keepalive is the one timer of an idle session */
    }
    if (e->retry_us <= now_us) {
        e->retry_us = TT_NEVER;
        drain(e, now_us); /* what waits to be sent is asked for behind this call */
    }
    return e->error;
}

/* --- the end --- */

void tt_endpoint_close(struct tt_endpoint *e)
{
    e->closing = true;
}

bool tt_endpoint_settled(const struct tt_endpoint *e)
{
    return e->held.len == 0 && tt_kcp_all_acked(&e->kcp) && e->smux.unsent_bytes == 0 &&
           e->smux.closing_streams == 0 && !tt_smux_wants_send(&e->smux);
}
