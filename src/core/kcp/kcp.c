#include <assert.h>
#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/kcp/kcp.h"

#define FIRST_PEER_WINDOW  32u /* before a header said more: kcp-go's default */
#define MIN_INTERVAL_MS    10u
#define MAX_INTERVAL_MS    5000u
#define MIN_RTO_US         (100 * TT_MS)
#define MIN_RTO_NODELAY_US (30 * TT_MS)
#define FIRST_PROBE_US     (500 * TT_MS)
#define MAX_PROBE_US       (120 * TT_SECOND)
/* Added to the echoed time of an ack that is repeated: it lies in the future then, and gives the
 * peer no round-trip sample (K-27).
 */
#define NO_SAMPLE_TS 0x7fffffffu

/* --- making and ending --- */

static uint32_t clamp_interval(uint32_t ms)
{
    if (ms < MIN_INTERVAL_MS)
        return MIN_INTERVAL_MS;
    return ms < MAX_INTERVAL_MS ? ms : MAX_INTERVAL_MS;
}

static bool config_is_sound(const struct tt_kcp_config *c)
{
    return c->mtu > TT_KCP_HEADER && c->mtu <= TT_KCP_MAX_MTU && c->snd_wnd > 0 &&
           c->snd_wnd < INT32_MAX && c->rcv_wnd_first > 0 && c->rcv_wnd >= c->rcv_wnd_first &&
           c->rcv_wnd <= UINT16_MAX && c->resend < INT32_MAX;
}

int tt_kcp_init(struct tt_kcp *k, const struct tt_kcp_config *config)
{
    *k = (struct tt_kcp){.conv = config->conv, .probe_at_us = TT_NEVER};
    if (!config_is_sound(config))
        return TT_E_INVAL;
    const uint32_t mss = config->mtu - TT_KCP_HEADER;
    k->send = (struct tt_kcp_send){
        .alloc = config->alloc,
        .slabs = config->slabs,
        .edge = FIRST_PEER_WINDOW,
        .window = config->snd_wnd,
        .mss = mss,
        .resend = config->resend,
        .nodelay = config->nodelay,
        .stream = config->stream,
        .rtt_config = {.min_rto_us = config->nodelay ? MIN_RTO_NODELAY_US : MIN_RTO_US,
                       .min_var_us = clamp_interval(config->interval_ms) * TT_MS},
    };
    tt_list_init(&k->send.paths);
    tt_kcp_cwnd_init(&k->send.cwnd, !config->nocwnd, mss);
    k->receive = (struct tt_kcp_receive){
        .alloc = config->alloc, .slabs = config->slabs, .account = config->account};
    tt_kcp_receive_init(&k->receive, config->rcv_wnd_first, config->rcv_wnd);
    return TT_OK;
}

void tt_kcp_dispose(struct tt_kcp *k)
{
    tt_kcp_send_dispose(&k->send);
    tt_kcp_receive_dispose(&k->receive);
}

void tt_kcp_shrink(struct tt_kcp *k)
{
    tt_kcp_send_shrink(&k->send);
    tt_kcp_receive_shrink(&k->receive);
}

/* --- window probing (spec 5.2) --- */

/* Only the peer can say that its window is open again; that word may have been lost with a carrier.
 * Asked only when there is something to send and nothing in flight whose ack would tell.
 */
static bool window_is_shut(const struct tt_kcp *k)
{
    const struct tt_kcp_send *s = &k->send;
    return s->nxt != s->end && s->una == s->nxt && tt_seq_diff(s->edge, s->nxt) <= 0;
}

static void review_probe(struct tt_kcp *k, uint64_t now_us)
{
    if (!window_is_shut(k)) {
        k->probe_at_us = TT_NEVER;
        k->probe_wait_us = 0;
    } else if (k->probe_wait_us == 0) {
        k->probe_wait_us = FIRST_PROBE_US;
        k->probe_at_us = tt_deadline_after(now_us, k->probe_wait_us);
    }
}

static void probe_if_due(struct tt_kcp *k, uint64_t now_us)
{
    if (k->probe_at_us > now_us)
        return;
    k->ask = true;
    k->probe_wait_us = tt_min_u64(k->probe_wait_us + k->probe_wait_us / 2, MAX_PROBE_US);
    k->probe_at_us = tt_deadline_after(now_us, k->probe_wait_us);
}

/* --- sending --- */

int tt_kcp_send_bytes(struct tt_kcp *k, const uint8_t *data, uint32_t len, struct tt_slab *slab)
{
    return tt_kcp_send_push(&k->send, data, len, slab);
}

/* That may fly on the path, by its allowance and by its limit in bytes. */
static uint32_t most_segments(const struct tt_kcp_send *s, const struct tt_kcp_path *path)
{
    if (path->max_flying_bytes == UINT64_MAX)
        return path->allowance;
    if (path->flying_bytes >= path->max_flying_bytes)
        return 0;
    const uint64_t more = (path->max_flying_bytes - path->flying_bytes + s->mss - 1) / s->mss;
    return (uint32_t)tt_min_u64(path->allowance, path->flying.count + more);
}

uint32_t tt_kcp_appetite(const struct tt_kcp *k, const struct tt_kcp_path *path)
{
    const struct tt_kcp_send *s = &k->send;
    const uint32_t room = tt_kcp_send_room(s);
    const uint32_t waiting = s->end - s->nxt;
    const uint32_t most = most_segments(s, path);
    if (path->flying.count + s->lost.count + waiting >= most || waiting >= room)
        return 0;
    const uint32_t allowed = most - path->flying.count - s->lost.count - waiting;
    return room - waiting < allowed ? room - waiting : allowed;
}

/* A packet being built. una and wnd are the same in all its headers. */
struct packet {
    struct tt_gather *g;
    uint32_t room; /* bytes that may still be added */
    uint32_t len;
    uint32_t ts; /* now, in the header's milliseconds */
    uint16_t wnd;
    bool full; /* the gather has no room for another segment */
};

static bool fits(struct packet *p, uint32_t bytes)
{
    if (!tt_gather_has_room(p->g, TT_KCP_HEADER))
        p->full = true;
    return !p->full && bytes <= p->room;
}

static uint8_t *add_header(struct tt_kcp *k, struct packet *p, enum tt_kcp_cmd cmd, uint8_t frg,
                           uint32_t ts, uint32_t sn, uint32_t len)
{
    uint8_t *at = tt_gather_header(p->g, TT_KCP_HEADER);
    tt_kcp_header_write(at, &(struct tt_kcp_header){.conv = k->conv,
                                                    .cmd = (uint8_t)cmd,
                                                    .frg = frg,
                                                    .wnd = p->wnd,
                                                    .ts = ts,
                                                    .sn = sn,
                                                    .una = k->receive.nxt,
                                                    .len = len});
    p->room -= TT_KCP_HEADER + len;
    p->len += TT_KCP_HEADER + len;
    k->stats.segments_out++;
    return at;
}

static void add_acks(struct tt_kcp *k, struct packet *p)
{
    struct tt_kcp_owed owed = {.again = false};
    uint8_t *last = NULL;

    while (tt_kcp_receive_owes_ack(&k->receive) && fits(p, TT_KCP_HEADER)) {
        if (!tt_kcp_receive_next_ack(&k->receive, &owed))
            break;
        last = add_header(k, p, TT_KCP_ACK, 0, owed.ts, owed.sn, 0);
    }
    /* kcp-go takes its sample from the last ack of a packet. */
    if (last && owed.again)
        tt_put_le32(last + 8, owed.ts + NO_SAMPLE_TS);
}

static void add_probes(struct tt_kcp *k, struct packet *p)
{
    if (k->ask && fits(p, TT_KCP_HEADER)) {
        add_header(k, p, TT_KCP_WASK, 0, 0, 0, 0);
        k->ask = false;
    }
    if (k->tell && fits(p, TT_KCP_HEADER)) {
        add_header(k, p, TT_KCP_WINS, 0, 0, 0, 0);
        k->tell = false;
    }
}

static void add_data(struct tt_kcp *k, struct packet *p, struct tt_kcp_path *path, uint64_t now_us)
{
    struct tt_kcp_out *out;
    uint32_t sn;

    while ((out = tt_kcp_send_peek(&k->send, path, &sn)) != NULL) {
        if (!fits(p, TT_KCP_HEADER + out->len))
            return;
        add_header(k, p, TT_KCP_PUSH, out->frg, p->ts, sn, out->len);
        tt_gather_payload(p->g, out->data, out->len, out->slab);
        tt_kcp_send_sent(&k->send, path, out, sn, now_us);
    }
}

int tt_kcp_next_packet(struct tt_kcp *k, uint64_t now_us, struct tt_kcp_path *path,
                       uint32_t max_packet, struct tt_gather *g, uint32_t *len)
{
    struct packet p = {.g = g, .room = max_packet, .ts = (uint32_t)(now_us / TT_MS)};

    *len = 0;
    if (!tt_kcp_wants_send(k, path)) {
        review_probe(k, now_us);
        return TT_E_AGAIN;
    }
    p.wnd = tt_kcp_receive_wnd(&k->receive);
    if (!path->leaves_acks) {
        add_acks(k, &p);
        add_probes(k, &p);
    }
    add_data(k, &p, path, now_us);
    review_probe(k, now_us);
    *len = p.len;
    if (p.len == 0)
        return p.full ? TT_E_FULL : TT_E_AGAIN;
    k->stats.packets_out++;
    return TT_OK;
}

bool tt_kcp_wants_send(const struct tt_kcp *k, const struct tt_kcp_path *path)
{
    if (!path->leaves_acks && (tt_kcp_receive_owes_ack(&k->receive) || k->ask || k->tell))
        return true;
    return tt_kcp_send_ready(&k->send, path);
}

bool tt_kcp_all_acked(const struct tt_kcp *k)
{
    return k->send.una == k->send.end;
}

/* --- receiving --- */

/* What one packet adds up to. */
struct progress {
    bool una_moved;
    struct tt_kcp_path *sample_path; /* of the last ACK that gave a sample */
    uint64_t sample_us;
};

static void take_ack(struct tt_kcp *k, const struct tt_kcp_header *h, uint64_t now_us,
                     struct progress *made)
{
    struct tt_kcp_path *path;
    uint64_t sample_us;

    if (tt_kcp_send_sample(&k->send, h->sn, h->ts, now_us, &path, &sample_us)) {
        made->sample_path = path;
        made->sample_us = sample_us;
    }
    tt_kcp_send_ack(&k->send, h->sn, h->ts, now_us);
}

static int take_segment(struct tt_kcp *k, const struct tt_kcp_header *h, struct tt_span data,
                        struct tt_slab *slab, uint64_t now_us, struct progress *made)
{
    switch (h->cmd) {
    case TT_KCP_PUSH:
        k->heard_ts = h->ts;
        tt_kcp_receive_push(&k->receive, h->sn, h->ts, h->frg, data, slab);
        break;
    case TT_KCP_ACK:
        take_ack(k, h, now_us, made);
        break;
    case TT_KCP_WASK:
        k->tell = true;
        break;
    case TT_KCP_WINS:
        k->stats.wins_in++;
        break;
    default:
        k->stats.wrong_cmd++;
        return TT_E_PROTO;
    }
    k->heard_una = h->una;
    if (tt_seq_diff(h->una, k->send.nxt) > 0)
        k->stats.wrong_una++;
    made->una_moved |= tt_kcp_send_una(&k->send, h->una, h->wnd, now_us);
    k->stats.segments_in++;
    return TT_OK;
}

static int take_segments(struct tt_kcp *k, struct tt_span packet, struct tt_slab *slab,
                         uint64_t now_us, struct progress *made)
{
    while (packet.len >= TT_KCP_HEADER) {
        const struct tt_kcp_header h = tt_kcp_header_read(packet.ptr);
        tt_span_skip(&packet, TT_KCP_HEADER);
        if (h.conv != k->conv) {
            k->stats.wrong_conv++;
            return TT_E_PROTO;
        }
        if (h.len > packet.len || h.len > tt_slab_capacity(TT_SLAB_LARGE)) {
            k->stats.wrong_len++;
            return TT_E_PROTO;
        }
        int err = take_segment(k, &h, tt_span_of(packet.ptr, h.len), slab, now_us, made);
        if (err)
            return err;
        tt_span_skip(&packet, h.len);
    }
    return TT_OK; /* up to 23 bytes may trail (K-12) */
}

int tt_kcp_input(struct tt_kcp *k, uint64_t now_us, struct tt_span packet, struct tt_slab *slab)
{
    struct progress made = {.una_moved = false};

    k->stats.packets_in++;
    if (packet.len < TT_KCP_HEADER) {
        k->stats.short_packets++;
        return TT_E_PROTO;
    }
    int err = take_segments(k, packet, slab, now_us, &made);
    if (made.sample_path)
        tt_rtt_sample(&made.sample_path->rtt, &k->send.rtt_config, made.sample_us);
    if (made.una_moved)
        tt_kcp_cwnd_acked(&k->send.cwnd, k->send.mss,
                          (uint32_t)tt_seq_diff(k->send.edge, k->send.una));
    tt_kcp_send_detect_losses(&k->send);
    review_probe(k, now_us);
    return err;
}

int tt_kcp_peek(const struct tt_kcp *k, struct tt_span *data, struct tt_slab **slab)
{
    const struct tt_kcp_in *in = tt_kcp_receive_peek(&k->receive);
    if (!in)
        return TT_E_AGAIN;
    *data = tt_span_of(in->data, in->len);
    *slab = in->slab;
    return TT_OK;
}

void tt_kcp_take(struct tt_kcp *k)
{
    tt_slab_unref(tt_kcp_receive_take(&k->receive));
    if (tt_kcp_receive_must_tell(&k->receive))
        k->tell = true;
}

int tt_kcp_settle(struct tt_kcp *k)
{
    return tt_kcp_receive_settle(&k->receive);
}

/* --- carriers --- */

void tt_kcp_path_open(struct tt_kcp *k, struct tt_kcp_path *path, uint64_t now_us, bool ordered,
                      uint32_t allowance, uint32_t acks)
{
    tt_kcp_send_path_open(&k->send, path, now_us, ordered, allowance);
    tt_kcp_repeat_acks(k, acks);
    if (window_is_shut(k))
        k->ask = true;
}

void tt_kcp_repeat_acks(struct tt_kcp *k, uint32_t most)
{
    if (k->receive.nxt == 0 && k->receive.held_ahead == 0 && k->send.una == 0)
        return; /* the conversation has not begun */
    k->tell = true;
    tt_kcp_receive_owe_all(&k->receive, most);
}

void tt_kcp_ask_window(struct tt_kcp *k)
{
    k->ask = true;
}

void tt_kcp_path_trust(struct tt_kcp_path *path, uint32_t allowance)
{
    path->reliable = path->ordered;
    if (path->allowance < allowance)
        path->allowance = allowance;
}

void tt_kcp_path_sample(struct tt_kcp *k, struct tt_kcp_path *path, uint64_t sample_us)
{
    tt_rtt_sample(&path->rtt, &k->send.rtt_config, sample_us);
}

void tt_kcp_path_give_up(struct tt_kcp *k, struct tt_kcp_path *path)
{
    tt_kcp_send_path_give_up(&k->send, path);
}

void tt_kcp_path_discarded(struct tt_kcp *k, struct tt_kcp_path *path, uint32_t tx)
{
    tt_kcp_send_path_discarded(&k->send, path, tx);
}

void tt_kcp_path_close(struct tt_kcp *k, struct tt_kcp_path *path)
{
    tt_kcp_send_path_close(&k->send, path);
}

/* --- time --- */

uint64_t tt_kcp_deadline(const struct tt_kcp *k)
{
    /* Data queued behind a shut window while no clock was at hand: handle_timeout arms the timer.
     */
    if (k->probe_wait_us == 0 && window_is_shut(k))
        return 0;
    return tt_min_u64(tt_kcp_send_deadline(&k->send), k->probe_at_us);
}

void tt_kcp_handle_timeout(struct tt_kcp *k, uint64_t now_us)
{
    tt_kcp_send_handle_timeout(&k->send, now_us);
    review_probe(k, now_us);
    probe_if_due(k, now_us);
}
