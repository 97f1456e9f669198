#include <assert.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/session/carriers.h"
#include "core/session/endpoint.h"
#include "core/session/liveness.h"
#include "core/session/native.h"
#include "core/session/sealed.h"
#include "core/smux/frame.h"

/* A bulk stream's frames, header included, fill whole segments: they need no joining, and none of
 * them lies in two places. 47 of 1376 bytes are what fits below 65,535.
 */
#define FRAME_SEGMENTS 47u
#define FRAME_BYTES    (FRAME_SEGMENTS * (TT_KCP_DEFAULT_MTU - TT_KCP_HEADER) - TT_SMUX_HEADER)

/* How many segments' worth of frames to have queued in KCP, without numbers, before asking smux for
 * no more: one frame. What smux has not given out can still be overtaken.
 */
#define QUEUED_SEGMENTS FRAME_SEGMENTS

#define UNPROVEN_ALLOWANCE 4u /* segments */

#define JUMP_US (5 * TT_SECOND) /* */

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
        .snd_wnd = 16384,
        .rcv_wnd_first = 128,
        .rcv_wnd = 16384,
        .max_frame = FRAME_BYTES,
        .max_receive_buffer = 48u << 20,
        .max_stream_buffer = 16u << 20,
        .max_send_buffer = 4 * FRAME_BYTES, /* 253 KiB, so that all of them are whole */
        .accept_backlog = 1024,
        .max_streams = 4096,
        .keepalive_interval_us = 10 * TT_SECOND,
        .session_timeout_us = 600 * TT_SECOND,
        .redial_allowance = 16,
        .carriers = 1,
        .max_carriers = 16,
        .liveness_floor_us = 100 * TT_MS,
        .liveness_ceiling_us = 30 * TT_SECOND,
        .ping_idle_us = 25 * TT_SECOND,
        .learn_limits = true,
    };
}

static int init_kcp(struct tt_endpoint *e)
{
    const struct tt_endpoint_tuning *t = e->config.tuning;
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
    const struct tt_endpoint_tuning *t = e->config.tuning;
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
        .accepts_resets = !t->legacy,
        .slabs = e->config.slabs,
        .account = &e->account,
        .alloc = e->config.alloc,
        .hash_key = e->config.hash_key,
    };
    return tt_smux_init(&e->smux, &c, now_us);
}

/* A server learns nothing, and has many sessions. */
static int init_budget(struct tt_endpoint *e)
{
    if (!e->config.client)
        return TT_OK;
    e->budget = e->config.alloc->get(e->config.alloc->ctx, sizeof *e->budget);
    if (!e->budget)
        return TT_E_NOMEM;
    *e->budget = (struct tt_budget){0};
    return TT_OK;
}

int tt_endpoint_init(struct tt_endpoint *e, const struct tt_endpoint_config *config,
                     uint64_t now_us)
{
    *e = (struct tt_endpoint){.config = *config,
                              .seal = config->seal,
                              .heard_us = now_us,
                              .allowance = config->tuning->redial_allowance,
                              .best_rank = TT_RANK_NONE,
                              .retry_us = TT_NEVER};
    tt_list_init(&e->carriers);
    int err = init_kcp(e);
    if (!err)
        err = init_smux(e, now_us);
    if (!err)
        err = init_budget(e);
    if (err)
        tt_endpoint_dispose(e);
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

/* Most segments on a carrier before an ack has come. On one that nothing has come back on yet, few:
 * what is sent in one go might be all that somebody on the path lets pass.
 */
static uint32_t first_allowance(const struct tt_endpoint *e)
{
    if (e->config.tuning->legacy && e->next_carrier == 1)
        return TT_KCP_UNLIMITED;
    return e->native && e->allowance > UNPROVEN_ALLOWANCE ? UNPROVEN_ALLOWANCE : e->allowance;
}

static void activate(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c)
{
    c->role = TT_CARRIER_ACTIVE;
    tt_kcp_path_open(&e->kcp, &c->path, now_us, c->limits.ordered, first_allowance(e),
                     tt_carriers_most_acks(e, c));
    c->path.elsewhere = e->native;
    if (3 * c->limits.dial_us > c->path.rtt.rto_us)
        c->path.rtt.rto_us = 3 * c->limits.dial_us;
    tt_liveness_begin(e, c, now_us);
}

/* Where every connection ends after a few kB, what is sent at its start can use all of them up
 * before the other end gets a word in: then the same would be sent for ever. So one that died
 * before anything was acknowledged halves what the next begins with, down to a segment.
 */
static void learn_allowance(struct tt_endpoint *e, const struct tt_carrier *c)
{
    const uint32_t most = e->config.tuning->redial_allowance;
    if (c->path.arrivals > 0)
        e->allowance = e->allowance > most / 2 ? most : e->allowance * 2;
    else if (c->path.next_tx > 0 && e->allowance > 1)
        e->allowance /= 2;
}

static void deactivate(struct tt_endpoint *e, struct tt_carrier *c, enum tt_carrier_role role)
{
    if (c->role == TT_CARRIER_ACTIVE) {
        learn_allowance(e, c);
        tt_kcp_path_close(&e->kcp, &c->path);
    }
    if (e->data_carrier == c)
        e->data_carrier = NULL;
    c->role = role;
}

static void replace_all(struct tt_endpoint *e)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        deactivate(e, c, TT_CARRIER_REPLACED);
        if (e->config.client && !e->config.tuning->legacy)
            tt_carriers_doom(e, c); /* the server may be a native one, and would go on feeding it */
    }
}

/* What a server learned of the carrier before it had a session stays. One of a sealed session has
 * its number from who opened its first packet, or gets it when it has keys (sealed.c).
 */
static void set_up_carrier(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                           const struct tt_carrier_limits *limits)
{
    const struct tt_carrier was = *c;
    *c = (struct tt_carrier){.endpoint = e,
                             .id = e->config.id,
                             .number = e->seal ? was.number : e->next_carrier++,
                             .attached = was.attached,
                             .seal = was.seal,
                             .origin = was.origin,
                             .limits = *limits,
                             .opened_us = now_us,
                             .rank = TT_RANK_NONE,
                             .hello_us = TT_NEVER,
                             .peer_until_us = TT_NEVER,
                             .taken_bytes = limits->prefix,
                             .progress_mark = progress(e)};
    if (was.native) {
        c->native = true;
        c->number = was.number;
        c->peer_max_packet = was.peer_max_packet;
        c->peer_no_drops = was.peer_no_drops;
        c->peer_resets = was.peer_resets;
        c->peer_max_bytes = was.peer_max_bytes;
        c->peer_until_us = was.peer_until_us;
        c->due = was.due;
        c->hellos = was.hellos;
    }
    e->carrier_count++;
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

/* So that nobody can make a session of many thousands: the one that is worth least goes. */
static void make_place(struct tt_endpoint *e, const struct tt_carrier *newest)
{
    struct tt_carrier *worst = NULL;
    if (e->carrier_count - e->doomed <= e->config.tuning->max_carriers)
        return;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c != newest && !c->doomed && (!worst || c->rank > worst->rank))
            worst = c;
    }
    e->stats.carriers_full++;
    tt_carriers_doom(e, worst);
}

/* A legacy server answers a window probe, once it knows the session. */
static void probe_legacy(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c)
{
    if (e->config.client && !e->native && e->kcp.stats.segments_in > 0)
        tt_liveness_want_answer(e, c, now_us);
}

/* Its carriers have proven that they are the client's before they are opened. */
static bool is_sealed_server(const struct tt_endpoint *e)
{
    return e->seal && !e->config.client;
}

int tt_endpoint_dial_id(struct tt_endpoint *e, struct tt_session_id *id)
{
    const int err = tt_sealed_new_id(e);
    *id = e->config.id;
    return err;
}

void tt_endpoint_carrier_open(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                              const struct tt_carrier_limits *limits)
{
    const bool alone = tt_list_empty(&e->carriers);

    if (!e->native && !c->native && !is_sealed_server(e))
        replace_all(e);
    set_up_carrier(e, now_us, c, limits);
    if (e->config.client && alone)
        remember_una(e, c);
    tt_carriers_set_budget(e, c);
    tt_list_push_back(&e->carriers, &c->node);
    activate(e, now_us, c);
    if (e->seal && e->config.client)
        tt_sealed_begin(e, c);
    tt_native_begin(e, c);
    probe_legacy(e, now_us, c);
    if (c->native)
        tt_native_joined(e, c, now_us);
    else if (!e->config.client && !e->native)
        tt_carriers_proven(e, c);
    tt_carriers_review(e);
    make_place(e, c);
}

void tt_endpoint_carrier_open_behind(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                                     const struct tt_carrier_limits *limits,
                                     struct tt_carrier *newer)
{
    assert(newer->endpoint == e);
    set_up_carrier(e, now_us, c, limits);
    tt_list_insert_before(&newer->node, &c->node);
    c->role = TT_CARRIER_REPLACED;
    make_place(e, c);
}

void tt_endpoint_shrink(struct tt_endpoint *e)
{
    tt_kcp_shrink(&e->kcp);
    tt_smux_shrink(&e->smux);
    tt_slab_pool_rest(e->config.slabs);
}

/* The newest of those that were replaced, when no other is left. */
static void promote_newest(struct tt_endpoint *e, uint64_t now_us)
{
    struct tt_list_node *node = tt_list_last(&e->carriers);
    if (!node)
        return;
    struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
    if (c->role != TT_CARRIER_REPLACED || c->doomed)
        return;
    activate(e, now_us, c);
    probe_legacy(e, now_us, c);
    tt_liveness_sent(c, now_us); /* what it owed before it was replaced it still owes */
}

void tt_endpoint_carrier_close(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c)
{
    const bool flew = c->role == TT_CARRIER_ACTIVE;
    assert(c->endpoint == e);
    tt_carriers_learn(e, c, now_us);
    deactivate(e, c, TT_CARRIER_GONE);
    tt_list_remove(&c->node);
    tt_native_note_gone(e, c);
    if (c->doomed)
        e->doomed--;
    else if (e->config.client && !c->proven)
        e->unproven_in_a_row++;
    e->carrier_count--;
    c->endpoint = NULL;
    tt_sealed_end(c, e->config.alloc);
    if (!e->native)
        promote_newest(e, now_us);
    if (flew && !tt_list_empty(&e->carriers)) /* acks of ours may have died with it */
        tt_carriers_repeat_acks(e);
    tt_carriers_review(e);
    tt_native_review_close(e);
    if (tt_list_empty(&e->carriers))
        tt_endpoint_shrink(e);
}

struct tt_carrier *tt_endpoint_next_doomed(const struct tt_endpoint *e)
{
    if (e->doomed == 0)
        return NULL;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->doomed)
            return c;
    }
    return NULL;
}

void tt_endpoint_carrier_blocked(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                                 bool blocked)
{
    if (c->blocked == blocked)
        return;
    c->blocked = blocked;
    tt_liveness_blocked(c, now_us);
    if (e->carrier_count > 1)
        tt_carriers_route_acks(e);
}

static void doubt_carriers(struct tt_endpoint *e, uint64_t now_us)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        tt_liveness_doubt(e, TT_CONTAINER_OF(node, struct tt_carrier, node), now_us);
    }
}

void tt_endpoint_network_changed(struct tt_endpoint *e, uint64_t now_us)
{
    if (e->budget)
        tt_budget_forget(e->budget);
    doubt_carriers(e, now_us);
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
        tt_sealed_end(c, e->config.alloc);
    }
    tt_seal_free(e->seal, e->config.alloc);
    e->seal = NULL;
    if (e->held.len > 0)
        tt_slab_unref(e->held.slab);
    tt_smux_dispose(&e->smux);
    tt_kcp_dispose(&e->kcp);
    tt_slab_account_end(e->config.slabs, &e->account);
    if (e->budget)
        e->config.alloc->put(e->config.alloc->ctx, e->budget);
    e->budget = NULL;
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

/* The first packet on a client's carrier says whether the server is a native one. */
static void note_first_packet(struct tt_endpoint *e, struct tt_carrier *c, bool is_hello)
{
    if (!e->config.client || c->proven)
        return;
    if (c->limits.ordered && !is_hello)
        c->legacy = true;
    if (!is_hello) /* a HELLO may say that the session is unknown there */
        tt_carriers_proven(e, c);
}

/* Data that came, new or not: each is acknowledged, and best where it came. */
static uint64_t pushes(const struct tt_endpoint *e)
{
    return e->kcp.receive.brought + e->kcp.receive.duplicates;
}

static void receive_segments(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                             struct tt_span packet, struct tt_slab *slab)
{
    const uint64_t acked_before = e->kcp.send.acked_bytes;
    const uint64_t brought_before = e->kcp.receive.brought;
    const uint64_t pushes_before = pushes(e);
    const uint32_t duplicates_before = e->kcp.receive.duplicates;
    const uint32_t wins_before = e->kcp.stats.wins_in;

    note_first_packet(e, c, false);
    if (tt_kcp_input(&e->kcp, now_us, packet, slab) == TT_OK && peer_began_anew(e, c)) {
        e->error = TT_E_LOST;
        return;
    }
    if (pushes(e) != pushes_before)
        tt_liveness_heard_time(c, now_us, e->kcp.heard_ts);
    if (pushes(e) != pushes_before && e->data_carrier != c) {
        e->data_carrier = c;
        tt_carriers_route_acks(e);
    }
    tt_carriers_heard_enough(e, c);
    tt_liveness_heard_state(e, c, now_us);
    tt_liveness_heard(e, c, now_us, e->kcp.receive.brought != brought_before);
    tt_liveness_heard_legacy(e, c, now_us, e->kcp.stats.wins_in != wins_before,
                             e->kcp.receive.duplicates != duplicates_before);
    tt_liveness_review_arrivals(e, now_us);
    if (e->kcp.send.acked_bytes != acked_before)
        tt_smux_acked(&e->smux, e->kcp.send.acked_bytes);
    drain(e, now_us);
}

/* what was promised not to be discarded, and could not be kept, dies with its carrier, so
 * that the peer sends it again.
 */
static void settle(struct tt_endpoint *e, struct tt_carrier *c, uint32_t refused_before)
{
    (void)tt_kcp_settle(&e->kcp);
    if (c->native && c->limits.ordered && e->kcp.receive.no_memory != refused_before)
        tt_carriers_doom(e, c);
}

static void note_packet(struct tt_endpoint *e, struct tt_carrier *c, uint32_t bytes)
{
    c->received_packets++;
    c->received_bytes += bytes;
    if (e->longest_received < bytes)
        e->longest_received = bytes;
}

static void receive_datagram(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                             struct tt_span packet, struct tt_slab *slab)
{
    const uint32_t refused_before = e->kcp.receive.no_memory;
    receive_segments(e, now_us, c, packet, slab);
    e->heard_us = now_us;
    settle(e, c, refused_before);
}

/* The first that an ordered carrier brings is a HELLO. */
static bool breaks_order(const struct tt_carrier *c, struct tt_span plain)
{
    return c->limits.ordered && !c->native && plain.ptr[0] != TT_CONTROL_HELLO;
}

int tt_endpoint_receive_opened(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                               struct tt_span plain, struct tt_slab *slab)
{
    if (breaks_order(c, plain)) {
        tt_carriers_doom(e, c);
        return e->error;
    }
    e->heard_us = now_us;
    if (plain.ptr[0] == TT_SEALED_KCP) {
        tt_span_skip(&plain, 1);
        receive_datagram(e, now_us, c, plain, slab);
    } else {
        tt_native_receive(e, c, now_us, plain);
    }
    if (!e->config.client)
        tt_carriers_proven(e, c);
    return e->error;
}

static int receive_sealed(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                          struct tt_span packet, struct tt_slab *slab)
{
    struct tt_span plain;
    if (tt_sealed_receive(e, c, now_us, packet, &plain))
        return e->error;
    return tt_endpoint_receive_opened(e, now_us, c, plain, slab);
}

int tt_endpoint_receive(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                        struct tt_span packet, struct tt_slab *slab)
{
    note_packet(e, c, (uint32_t)packet.len + c->limits.framing);
    if (e->error)
        return e->error;
    if (c->doomed)
        return TT_OK;
    if (e->seal) {
        receive_sealed(e, now_us, c, packet, slab);
    } else if (!tt_is_control(packet.len)) {
        receive_datagram(e, now_us, c, packet, slab);
    } else if (e->config.tuning->legacy) {
        e->stats.control_in++; /* dropped, and proves nothing */
    } else {
        tt_native_receive(e, c, now_us, packet);
        if (c->native)
            e->heard_us = now_us;
    }
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

static int next_segments(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                         struct tt_gather *g, uint32_t *len)
{
    const bool data = c->path.max_flying_bytes > 0;
    const uint32_t most = tt_carriers_max_packet(e, c, data);

    if (most == 0)
        return TT_E_AGAIN;
    if (c->due.account)
        tt_carriers_account_on(e, c);
    if (data)
        take_frames(e, now_us, c);
    tt_liveness_before_sending(e, c);
    return tt_kcp_next_packet(&e->kcp, now_us, &c->path, most, g, len);
}

static int next_plain(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                      struct tt_gather *g, uint32_t *len)
{
    const int err = tt_native_next_packet(e, c, now_us, g, len);
    return err == TT_E_AGAIN ? next_segments(e, now_us, c, g, len) : err;
}

/* Room for it is there before there is a packet: KCP does not take one back. */
static int next_sealed(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                       struct tt_gather *g, uint32_t *len)
{
    struct tt_gather *const plain = &e->seal->sealer->plain;
    const bool is_control = tt_native_wants_send(e, c);
    const uint32_t most =
        is_control ? TT_CONTROL_MAX : tt_carriers_max_packet(e, c, c->path.max_flying_bytes > 0);
    uint8_t *room;

    if (tt_sealed_init_due(c))
        return tt_sealed_next_init(e, c, now_us, g, len);
    if (!tt_sealed_can_speak(c) || most == 0 || (!is_control && !tt_sealed_may_carry(e, c)))
        return TT_E_AGAIN;
    int err = tt_gather_build(g, e->config.slabs, most + TT_SEALED_OVERHEAD, &room);
    if (err == TT_E_NOMEM) {
        retry_later(e, now_us);
        return TT_E_AGAIN;
    }
    if (err)
        return err;
    tt_gather_reset(plain);
    err = is_control ? tt_native_next_packet(e, c, now_us, plain, len)
                     : next_segments(e, now_us, c, plain, len);
    if (!err)
        err = tt_sealed_write(e, c, now_us, is_control, g, room, len);
    return err;
}

int tt_endpoint_next_packet(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                            struct tt_gather *g, uint32_t *len)
{
    *len = 0;
    if (e->error)
        return e->error;
    if (c->role != TT_CARRIER_ACTIVE || c->doomed)
        return TT_E_AGAIN;
    if (tt_carriers_too_old(c, now_us))
        tt_carriers_spent(e, c);
    int err = e->seal ? next_sealed(e, now_us, c, g, len) : next_plain(e, now_us, c, g, len);
    if (err == TT_E_AGAIN)
        tt_carriers_drained(e, c);
    if (err)
        return err;
    c->taken_packets++;
    c->taken_bytes += *len + c->limits.framing;
    if (!c->spent && tt_carriers_max_packet(e, c, true) == 0)
        tt_carriers_spent(e, c);
    if (c->spent && !c->path.leaves_acks && tt_carriers_max_packet(e, c, false) == 0)
        tt_carriers_route_acks(e); /* what was kept for them is used up as well */
    tt_liveness_sent(c, now_us);
    return TT_OK;
}

bool tt_endpoint_wants_send(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (e->error || c->role != TT_CARRIER_ACTIVE || c->doomed)
        return false;
    if (e->seal && tt_sealed_init_due(c))
        return true;
    if (e->seal && !tt_sealed_can_speak(c))
        return false;
    if (tt_native_wants_send(e, c))
        return true;
    if (e->seal && !tt_sealed_may_carry(e, c))
        return false;
    if (tt_carriers_is_drained(e, c))
        return true; /* tt_endpoint_next_packet finds its end */
    if (tt_carriers_max_packet(e, c, c->path.max_flying_bytes > 0) == 0)
        return false;
    return c->due.account || tt_kcp_wants_send(&e->kcp, &c->path) ||
           (c->path.max_flying_bytes > 0 && tt_smux_wants_send(&e->smux) && appetite(e, c) > 0);
}

bool tt_endpoint_owes_acks_alone(const struct tt_endpoint *e)
{
    if (e->error || e->kcp.ask || e->kcp.tell || tt_smux_wants_send(&e->smux))
        return false;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->due.account || tt_native_wants_send(e, c) || tt_carriers_is_drained(e, c) ||
            tt_kcp_send_ready(&e->kcp.send, &c->path))
            return false;
    }
    return true;
}

/* --- time --- */

static uint64_t lost_at_us(const struct tt_endpoint *e)
{
    const uint64_t timeout_us = e->config.tuning->session_timeout_us;
    return e->config.client && timeout_us ? tt_deadline_after(e->heard_us, timeout_us) : TT_NEVER;
}

uint64_t tt_endpoint_deadline(const struct tt_endpoint *e)
{
    if (e->error)
        return TT_NEVER;
    uint64_t deadline_us = tt_min_u64(tt_kcp_deadline(&e->kcp), tt_smux_deadline(&e->smux));
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        deadline_us = tt_min_u64(deadline_us, tt_carriers_deadline(e, c));
    }
    return tt_min_u64(deadline_us, tt_min_u64(e->retry_us, lost_at_us(e)));
}

/* We were called much later than we asked for: the machine slept. */
static void notice_jump(struct tt_endpoint *e, uint64_t now_us)
{
    const uint64_t deadline_us = tt_endpoint_deadline(e);
    if (e->config.client && deadline_us > 0 && now_us > tt_deadline_after(deadline_us, JUMP_US))
        doubt_carriers(e, now_us);
}

int tt_endpoint_handle_timeout(struct tt_endpoint *e, uint64_t now_us)
{
    if (e->error)
        return e->error;
    if (lost_at_us(e) <= now_us) {
        e->error = TT_E_TIMEOUT;
        return e->error;
    }
    notice_jump(e, now_us);
    if (tt_kcp_deadline(&e->kcp) <= now_us)
        tt_kcp_handle_timeout(&e->kcp, now_us);
    if (tt_smux_deadline(&e->smux) <= now_us) {
        e->error = tt_smux_handle_timeout(&e->smux, now_us);
        tt_endpoint_shrink(e); /* the keepalive is the one timer of an idle session */
    }
    if (e->retry_us <= now_us) {
        e->retry_us = TT_NEVER;
        drain(e, now_us); /* what waits to be sent is asked for behind this call */
    }
    /* Last: how long an answer may take depends on what is in flight. */
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        tt_carriers_handle_timeout(e, TT_CONTAINER_OF(node, struct tt_carrier, node), now_us);
    }
    return e->error;
}

/* --- the end --- */

void tt_endpoint_close(struct tt_endpoint *e)
{
    e->closing = true;
}

void tt_endpoint_abort(struct tt_endpoint *e)
{
    e->closing = e->aborting = true;
}

bool tt_endpoint_is_over(const struct tt_endpoint *e)
{
    if (!tt_endpoint_settled(e))
        return false;
    return !e->native || (e->close_told && !tt_native_close_is_due(e));
}

bool tt_endpoint_data_arrived(const struct tt_endpoint *e)
{
    return e->smux.unsent_bytes == 0 && e->smux.data_offset <= e->kcp.send.acked_bytes;
}

bool tt_endpoint_settled(const struct tt_endpoint *e)
{
    return e->held.len == 0 && tt_kcp_all_acked(&e->kcp) && e->smux.unsent_bytes == 0 &&
           e->smux.closing_streams == 0 && !tt_smux_wants_send(&e->smux);
}
