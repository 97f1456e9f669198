#include "core/session/liveness.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/siphash.h"
#include "core/session/carriers.h"
#include "core/session/sealed.h"

#define UNKNOWN_RTT_US   (500 * TT_MS)
#define MOST_DOUBLINGS   3u
#define LEGACY_ANSWER_US (100 * TT_MS) /* K-17, K-44: a peer of kcp-go answers on its tick */
#define LEAST_BARRIER_US (100 * TT_MS)
#define QUIET_QUESTIONS  5u /* each after four times the quiet of the one before */

/* how much may be outstanding. The first term fills the path; the second is what a queue in
 * it may add to the round trip of everything behind, a PING included.
 */
#define QUEUE_US        (10 * TT_MS)
#define QUEUE_BYTES     (4u << 20)    /* more than that is out of the caches before it leaves */
#define LEGACY_BYTES    (5632u << 10) /* nothing is measured there: the same */
#define FREE_BYTES      (64u << 10)
#define FREE_PACKET     4096u
#define MOST_PACKET_US  TT_SECOND
#define MOST_QUEUE_US   (10 * TT_SECOND)
#define SKEW_HOLDS_US   (60 * TT_SECOND) /* clocks drift */
#define LEAST_WINDOW_US (5 * TT_MS)      /* shorter ones measure the scheduler */

/* --- how long answers take --- */

static uint64_t smoothed_us(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (c->path.rtt.sampled)
        return c->path.rtt.smoothed_us + 4 * c->path.rtt.variation_us;
    const uint64_t guess_us = e->rtt_us > c->limits.dial_us ? e->rtt_us : c->limits.dial_us;
    return guess_us > UNKNOWN_RTT_US ? guess_us : UNKNOWN_RTT_US;
}

/* A packet counts when its last byte has come. Behind the first one answers come continuously. */
static uint64_t packet_us(const struct tt_carrier *c)
{
    if (!c->live.measured || c->live.bytes_per_s == 0)
        return 0;
    const uint64_t bytes = tt_min_u64(c->path.flying_bytes, tt_liveness_most_packet(c));
    return tt_min_u64(bytes * TT_SECOND / c->live.bytes_per_s, MOST_PACKET_US);
}

/* Each carrier in a row that never answered doubles what the next is given: the path may be slower
 * than anybody thought.
 */
static uint64_t with_patience(const struct tt_endpoint *e, const struct tt_carrier *c, uint64_t us)
{
    if (c->proven)
        return us;
    return us << (e->unproven_in_a_row < MOST_DOUBLINGS ? e->unproven_in_a_row : MOST_DOUBLINGS);
}

uint64_t tt_liveness_limit_us(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    const struct tt_endpoint_tuning *t = e->config.tuning;
    uint64_t us = t->liveness_floor_us + 2 * smoothed_us(e, c) + packet_us(c) + c->live.queue_us;
    if (!c->native)
        us += LEGACY_ANSWER_US;
    us = with_patience(e, c, us);
    return us < t->liveness_ceiling_us ? us : t->liveness_ceiling_us;
}

/* An answer stands behind what the peer had sent before it. How long that takes to come shows in
 * the times that the peer writes into its headers: the difference to our clock grows with the
 * queue.
 */
void tt_liveness_heard_time(struct tt_carrier *c, uint64_t now_us, uint32_t ts_ms)
{
    struct tt_liveness *l = &c->live;
    const uint32_t skew_ms = (uint32_t)(now_us / TT_MS) - ts_ms;
    if (l->skew_us == 0 || tt_seq_diff(skew_ms, l->skew_ms) <= 0 ||
        now_us - l->skew_us > SKEW_HOLDS_US) {
        l->skew_us = now_us;
        l->skew_ms = skew_ms;
    }
    l->queue_us = tt_min_u64((uint64_t)(skew_ms - l->skew_ms) * TT_MS, MOST_QUEUE_US);
}

/* --- how fast it delivers --- */

uint64_t tt_liveness_most_bytes(const struct tt_carrier *c)
{
    const struct tt_rtt *rtt = &c->path.rtt;
    if (!c->native)
        return LEGACY_BYTES;
    const uint64_t least_us = rtt->sampled ? rtt->least_us : 0;
    const uint64_t queue = tt_min_u64(c->live.bytes_per_s * QUEUE_US / TT_SECOND, QUEUE_BYTES);
    return c->live.bytes_per_s * 2 * least_us / TT_SECOND +
           (queue > FREE_BYTES ? queue : FREE_BYTES);
}

uint64_t tt_liveness_most_packet(const struct tt_carrier *c)
{
    const uint64_t in_time = c->live.bytes_per_s * QUEUE_US / TT_SECOND;
    return c->live.measured ? in_time : FREE_PACKET + in_time;
}

/* Once a round trip. Less than before counts only when it was the carrier that held us up. */
static void measure_rate(struct tt_carrier *c, uint64_t now_us)
{
    struct tt_liveness *l = &c->live;
    const uint64_t took_us = now_us - l->window_us;
    if (took_us < LEAST_WINDOW_US || took_us < c->path.rtt.smoothed_us)
        return;
    const uint64_t rate = (c->path.arrived_bytes - l->window_bytes) * TT_SECOND / took_us;
    if (rate > l->bytes_per_s)
        l->bytes_per_s = rate;
    else if (l->busy)
        l->bytes_per_s -= (l->bytes_per_s - rate) / 4;
    l->measured |= l->busy;
    l->window_us = now_us;
    l->window_bytes = c->path.arrived_bytes;
    l->busy = false;
}

/* --- the clock --- */

/* A HELLO is answered by a peer that is known to understand it. */
static bool answer_is_due(const struct tt_carrier *c)
{
    return c->path.flying.count > 0 || c->blocked || c->live.asked_us != TT_NEVER ||
           (!c->proven &&
            (c->spent || (c->hellos > 0 && (c->endpoint->native || c->endpoint->seal))));
}

static void restart_clock(struct tt_carrier *c, uint64_t now_us)
{
    c->live.waiting_us = answer_is_due(c) ? now_us : TT_NEVER;
}

static uint64_t keepalive_at(const struct tt_endpoint *e, const struct tt_carrier *c,
                             uint64_t now_us)
{
    const struct tt_endpoint_tuning *t = e->config.tuning;
    if (!e->config.client || !c->native || t->ping_idle_us == 0)
        return TT_NEVER;
    const uint64_t spread_us = t->ping_idle_us / 5;
    const uint64_t dice = tt_siphash_u64(e->config.hash_key, c->opened_us + c->number);
    return tt_deadline_after(now_us, t->ping_idle_us - spread_us + dice % (2 * spread_us + 1));
}

void tt_liveness_begin(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    c->live = (struct tt_liveness){.heard_us = now_us,
                                   .waiting_us = TT_NEVER,
                                   .asked_us = TT_NEVER,
                                   .quiet_us = TT_NEVER,
                                   .keepalive_us = keepalive_at(e, c, now_us),
                                   .barrier_us = TT_NEVER,
                                   .window_us = now_us};
}

/* It has answered. */
static void progress(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    restart_clock(c, now_us);
    if (!c->live.suspect)
        return;
    c->live.suspect = false;
    c->live.moved = false;
    e->stats.taken_back++;
    tt_carriers_review(e);
}

static uint64_t slowest_rtt_us(const struct tt_endpoint *e)
{
    uint64_t slowest_us = LEAST_BARRIER_US;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        const uint64_t us = c->path.rtt.smoothed_us + 4 * c->path.rtt.variation_us;
        if (c->role == TT_CARRIER_ACTIVE && us > slowest_us)
            slowest_us = us;
    }
    return slowest_us;
}

/* Behind PONG the peer has said what it has: what left before our PING and is not acknowledged soon
 * was thrown away. Soon, since some of the acks may take another way.
 */
void tt_liveness_heard_state(const struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (!c->live.answered)
        return;
    c->live.answered = false;
    if (c->path.flying.count > 0 && !c->we_drain && !c->peer_drains)
        c->live.barrier_us = tt_deadline_after(now_us, slowest_rtt_us(e));
}

void tt_liveness_heard(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us, bool data)
{
    c->live.heard_us = now_us;
    c->live.keepalive_us = keepalive_at(e, c, now_us);
    if (data && e->config.client)
        c->live.quiet_asked = 0;
    if ((data && e->config.client) || c->live.quiet_us != TT_NEVER)
        c->live.quiet_us = now_us;
}

void tt_liveness_heard_legacy(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                              bool window, bool again)
{
    if (c->native || !e->config.client)
        return;
    if (window && c->live.asked_us != TT_NEVER) { /* */
        c->live.asked_us = TT_NEVER;
        progress(e, c, now_us);
    }
    if (again)
        tt_liveness_want_answer(e, c, now_us);
}

void tt_liveness_blocked(struct tt_carrier *c, uint64_t now_us)
{
    if (!c->blocked)
        restart_clock(c, now_us); /* it took something */
    else if (c->live.waiting_us == TT_NEVER)
        c->live.waiting_us = now_us;
}

void tt_liveness_before_sending(const struct tt_endpoint *e, struct tt_carrier *c)
{
    if (!answer_is_due(c) && e->kcp.send.lost.count == 0)
        c->live.waiting_us = TT_NEVER; /* what was due was sent again elsewhere, and has arrived */
}

void tt_liveness_sent(struct tt_carrier *c, uint64_t now_us)
{
    if (c->live.waiting_us == TT_NEVER && answer_is_due(c))
        c->live.waiting_us = now_us;
    if (!c->marked && c->path.flying.count > 0) {
        c->marked = true;
        c->mark_tx = c->path.next_tx - 1;
        c->mark_bytes = c->taken_bytes;
    }
    c->live.busy |= c->path.flying_bytes >= c->path.max_flying_bytes;
}

/* One transmission at a time: when it is acknowledged, all that the carrier had taken by then has
 * passed.
 */
static void note_confirmed(struct tt_carrier *c)
{
    if (!c->marked || !c->path.any_acked || tt_seq_before(c->path.acked_tx, c->mark_tx))
        return;
    c->confirmed_bytes = c->mark_bytes;
    c->marked = false;
}

void tt_liveness_review_arrivals(struct tt_endpoint *e, uint64_t now_us)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->role != TT_CARRIER_ACTIVE || c->path.arrivals == c->live.arrivals)
            continue;
        c->live.arrivals = c->path.arrivals;
        note_confirmed(c);
        measure_rate(c, now_us);
        if (c->path.rtt.sampled)
            e->rtt_us = c->path.rtt.smoothed_us;
        progress(e, c, now_us);
        tt_carriers_set_room(e, c);
    }
}

/* --- asking --- */

static void make_token(struct tt_endpoint *e, struct tt_carrier *c)
{
    const uint64_t token = tt_siphash_u64(e->config.hash_key, ++e->tokens);
    memcpy(c->live.token, &token, sizeof c->live.token);
}

/* A legacy server answers once it has the session, and only a client asks it. */
static bool can_be_asked(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->native || (e->config.client && e->kcp.stats.segments_in > 0);
}

void tt_liveness_want_answer(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (c->live.asked_us != TT_NEVER || c->due.ping)
        return;
    if (c->native) {
        c->due.ping = true;
    } else if (can_be_asked(e, c)) {
        tt_kcp_ask_window(&e->kcp);
        c->live.asked_us = c->live.last_asked_us = now_us;
        tt_liveness_sent(c, now_us);
    }
}

void tt_liveness_ask(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    make_token(e, c);
    c->due.ping = false;
    c->live.asked_us = c->live.last_asked_us = now_us;
    c->live.asked_tx = c->path.next_tx;
    if (++c->live.quiet_asked >= QUIET_QUESTIONS)
        c->live.quiet_us = TT_NEVER;
    e->stats.pings_sent++;
    tt_liveness_sent(c, now_us);
}

void tt_liveness_pong(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                      const uint8_t *token)
{
    struct tt_liveness *l = &c->live;
    if (l->asked_us == TT_NEVER || memcmp(token, l->token, sizeof l->token) != 0) {
        e->stats.stray_pongs++;
        return;
    }
    if (c->seal && !c->seal->answered) {
        c->seal->answered = true;
        tt_carriers_review(e);
    }
    tt_kcp_path_sample(&e->kcp, &c->path, now_us - l->asked_us);
    e->rtt_us = c->path.rtt.smoothed_us;
    l->asked_us = TT_NEVER;
    if (c->path.reliable && l->barrier_us == TT_NEVER) {
        l->answered = true;
        l->barrier_tx = l->asked_tx;
    }
    progress(e, c, now_us);
}

/* --- time --- */

/* When the oldest thing that waits for an answer was sent: acks of what came behind it are no
 * answer to it.
 */
static uint64_t oldest_us(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    uint64_t us = answer_is_due(c) ? c->live.waiting_us : TT_NEVER;
    if (c->path.flying.count > 0)
        us = tt_min_u64(us, tt_kcp_send_at(&e->kcp.send, c->path.flying.head)->sent_us);
    return us;
}

/* the next piece of a slow download may be the one that freezes, however often it was asked
 * about the pause before it.
 */
static uint64_t quiet_for_too_long_us(const struct tt_carrier *c, uint64_t wait_us)
{
    if (c->live.quiet_us == TT_NEVER)
        return TT_NEVER;
    return tt_deadline_after(c->live.quiet_us, wait_us << 2 * c->live.quiet_asked);
}

static uint64_t ask_at_us(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (c->due.ping || c->live.asked_us != TT_NEVER || !c->proven || !can_be_asked(e, c))
        return TT_NEVER;
    uint64_t since_us = oldest_us(e, c);
    if (c->live.barrier_us != TT_NEVER) /* that question was answered; what follows is on its way */
        since_us = c->live.waiting_us;
    if (since_us < c->live.last_asked_us) /* it answered, and that is all it can do for now */
        since_us = c->live.last_asked_us;
    const uint64_t wait_us = tt_liveness_limit_us(e, c) / 2;
    const uint64_t at_us = since_us == TT_NEVER ? TT_NEVER : tt_deadline_after(since_us, wait_us);
    return tt_min_u64(tt_min_u64(at_us, quiet_for_too_long_us(c, wait_us)), c->live.keepalive_us);
}

/* A server's end of a legacy carrier: nobody there can be asked, and nothing would follow. */
static bool is_watched(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->role == TT_CARRIER_ACTIVE && !c->doomed && (c->native || e->config.client);
}

static uint64_t suspect_at_us(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (c->live.waiting_us == TT_NEVER || c->live.suspect || !answer_is_due(c))
        return TT_NEVER;
    return tt_deadline_after(c->live.waiting_us, tt_liveness_limit_us(e, c));
}

uint64_t tt_liveness_deadline(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (!is_watched(e, c))
        return TT_NEVER;
    return tt_min_u64(tt_min_u64(ask_at_us(e, c), suspect_at_us(e, c)),
                      tt_min_u64(c->live.barrier_us, tt_carriers_give_up_at(e, c)));
}

static void suspect(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (tt_sealed_asks(e, c, now_us)) /* its server answers that, or is not there (M-16) */
        return;
    c->live.suspect = true;
    c->live.suspect_us = now_us;
    e->stats.suspicions++;
    tt_liveness_want_answer(e, c, now_us);
    tt_carriers_suspected(e, c);
}

void tt_liveness_doubt(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (!is_watched(e, c) || !c->proven || c->live.suspect)
        return;
    if (c->native)
        suspect(e, c, now_us);
    else /* a suspect one would be given up at once */
        tt_liveness_want_answer(e, c, now_us);
}

void tt_liveness_handle_timeout(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (!is_watched(e, c))
        return;
    if (c->live.barrier_us <= now_us) {
        c->live.barrier_us = TT_NEVER;
        tt_kcp_path_discarded(&e->kcp, &c->path, c->live.barrier_tx);
        restart_clock(c, now_us);
    }
    if (ask_at_us(e, c) <= now_us) {
        if (!c->native)
            c->live.quiet_us = TT_NEVER;
        c->live.keepalive_us = keepalive_at(e, c, now_us);
        tt_liveness_want_answer(e, c, now_us);
        tt_endpoint_shrink(e); /* the one timer of an idle client */
    }
    if (suspect_at_us(e, c) <= now_us)
        suspect(e, c, now_us);
    if (tt_carriers_give_up_at(e, c) <= now_us)
        tt_carriers_doom(e, c);
}
