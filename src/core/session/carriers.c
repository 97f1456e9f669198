#include "core/session/carriers.h"

#include "core/base/clock.h"
#include "core/session/liveness.h"

#define LEGACY_PACKET  1400u
#define CAREFUL_PACKET 4096u /* on a carrier that is not proven, or under a budget */
#define BUDGET_RESERVE 256u  /* of a budget, for control packets and acks */
#define REPEATED_ACKS  ((16u << 10) / TT_KCP_HEADER) /* 16 kB */

/* --- budgets --- */

static uint64_t room_in_budget(uint64_t most, uint64_t taken)
{
    if (most == 0)
        return UINT64_MAX;
    return taken < most ? most - taken : 0;
}

/* Bytes that c may still take, by our own limit and by the peer's. */
static uint64_t budget_left(const struct tt_carrier *c)
{
    return tt_min_u64(room_in_budget(c->limits.max_bytes, c->taken_bytes),
                      room_in_budget(c->peer_max_bytes, c->taken_bytes));
}

static uint32_t segment_bytes(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return e->config.tuning.mtu + c->limits.framing;
}

static bool has_budget(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return budget_left(c) >= segment_bytes(e, c) + BUDGET_RESERVE;
}

static uint32_t careful_max(const struct tt_endpoint *e, const struct tt_carrier *c, uint64_t left)
{
    uint64_t most = tt_min_u64(CAREFUL_PACKET, left / 4);
    if (most < e->config.tuning.mtu)
        most = e->config.tuning.mtu;
    return (uint32_t)tt_min_u64(most, left - c->limits.framing);
}

uint32_t tt_carriers_max_packet(const struct tt_endpoint *e, const struct tt_carrier *c, bool data)
{
    const uint32_t peer = c->native ? c->peer_max_packet : LEGACY_PACKET;
    const uint32_t most = c->limits.max_packet < peer ? c->limits.max_packet : peer;
    const uint64_t left = budget_left(c);
    if (left == UINT64_MAX && c->proven) {
        const uint64_t brisk = tt_liveness_most_packet(c);
        return (uint32_t)tt_min_u64(most, brisk > LEGACY_PACKET ? brisk : LEGACY_PACKET);
    }
    if (data ? !has_budget(e, c) : left < c->limits.framing + TT_KCP_HEADER)
        return 0;
    const uint32_t careful = careful_max(e, c, left);
    return careful < most ? careful : most;
}

/* --- ranks --- */

static bool may_be_fed(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->role == TT_CARRIER_ACTIVE && !c->doomed && !c->we_drain && has_budget(e, c);
}

static enum tt_carrier_rank rank_of(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (!may_be_fed(e, c))
        return TT_RANK_NONE;
    if (!c->proven)
        return TT_RANK_UNPROVEN;
    if (c->live.suspect || c->peer_drains)
        return TT_RANK_LAST;
    return c->standby ? TT_RANK_STANDBY : TT_RANK_GOOD;
}

/* Of two that are suspect, the one that answered last. */
static bool is_better_last(const struct tt_carrier *c, const struct tt_carrier *than)
{
    return !than || c->live.heard_us >= than->live.heard_us;
}

static void rank_all(struct tt_endpoint *e)
{
    e->best_rank = TT_RANK_NONE;
    e->best_last = NULL;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        c->rank = rank_of(e, c);
        if (c->rank < e->best_rank)
            e->best_rank = c->rank;
        if (c->rank == TT_RANK_LAST && is_better_last(c, e->best_last))
            e->best_last = c;
    }
}

static bool is_fed(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->rank != TT_RANK_NONE && c->rank == e->best_rank &&
           (c->rank != TT_RANK_LAST || c == e->best_last);
}

/* While a good carrier lives, what waits on a suspect one goes there, once. */
static void move_off_suspects(struct tt_endpoint *e)
{
    if (e->best_rank > TT_RANK_STANDBY)
        return;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->role != TT_CARRIER_ACTIVE || !c->live.suspect || c->live.moved)
            continue;
        c->live.moved = true;
        tt_kcp_path_give_up(&e->kcp, &c->path);
        tt_kcp_repeat_acks(&e->kcp, REPEATED_ACKS);
    }
}

/* --- where acks leave --- */

static bool takes_acks(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->role == TT_CARRIER_ACTIVE && !c->doomed && !c->blocked &&
           tt_carriers_max_packet(e, c, false) > 0;
}

static struct tt_carrier *ack_carrier(const struct tt_endpoint *e)
{
    struct tt_carrier *last = e->data_carrier;
    struct tt_carrier *other = NULL;
    if (last && takes_acks(e, last) && !(last->live.suspect && e->best_rank < TT_RANK_LAST))
        return last;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (!takes_acks(e, c))
            continue;
        if (is_fed(e, c))
            return c;
        other = c;
    }
    return other; /* rather on one that takes no more data than nowhere */
}

void tt_carriers_route_acks(struct tt_endpoint *e)
{
    const struct tt_carrier *chosen = ack_carrier(e);
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        c->path.leaves_acks = chosen ? c != chosen : !is_fed(e, c);
    }
}

/* --- the review --- */

void tt_carriers_set_room(struct tt_endpoint *e, struct tt_carrier *c)
{
    const bool fed = is_fed(e, c);
    c->path.max_flying_bytes = fed ? tt_liveness_most_bytes(c) : 0;
    if (fed)
        c->live.moved = false; /* for want of a better one, what it is given now may move again */
}

/* one at a time until the server is known to hold the session. */
static bool may_have_several(const struct tt_endpoint *e)
{
    return e->native && e->kcp.stats.segments_in > 0;
}

/* More are proven than are wanted: the slower ones are said goodbye to. */
static struct tt_carrier *slowest_good(const struct tt_endpoint *e, uint32_t *count)
{
    struct tt_carrier *slowest = NULL;
    *count = 0;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->rank > TT_RANK_STANDBY)
            continue;
        ++*count;
        if (!slowest || c->path.rtt.smoothed_us > slowest->path.rtt.smoothed_us)
            slowest = c;
    }
    return slowest;
}

static void drain(struct tt_carrier *c)
{
    c->we_drain = true;
    c->due.state = TT_PEER_DRAINING;
}

static void drain_what_is_too_many(struct tt_endpoint *e)
{
    uint32_t count;
    struct tt_carrier *c = slowest_good(e, &count);
    if (!e->config.client || !may_have_several(e) || count <= tt_endpoint_wanted_carriers(e))
        return;
    drain(c);
    e->stats.drained++;
    rank_all(e);
}

/* The other end sends no more data here: neither do we, as soon as there is another. */
static void drain_what_the_peer_drains(struct tt_endpoint *e)
{
    if (e->best_rank > TT_RANK_STANDBY)
        return;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->peer_drains && !c->we_drain && c->native)
            drain(c);
    }
    rank_all(e);
}

static void take_back(struct tt_carrier *c)
{
    c->we_drain = false;
    c->due.state = TT_PEER_ACTIVE;
}

/* What was said goodbye to is taken back when no other is left. */
static void undrain_for_want_of_others(struct tt_endpoint *e)
{
    if (e->best_rank != TT_RANK_NONE)
        return;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->role == TT_CARRIER_ACTIVE && c->we_drain && !c->doomed && has_budget(e, c))
            take_back(c);
    }
    rank_all(e);
}

void tt_carriers_review(struct tt_endpoint *e)
{
    rank_all(e);
    undrain_for_want_of_others(e);
    drain_what_is_too_many(e);
    drain_what_the_peer_drains(e);
    move_off_suspects(e);
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        tt_carriers_set_room(e, TT_CONTAINER_OF(node, struct tt_carrier, node));
    }
    tt_carriers_route_acks(e);
}

void tt_carriers_proven(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (c->proven)
        return;
    c->proven = true;
    e->unproven_in_a_row = 0;
    if (c->gone_told > e->gone_known)
        e->gone_known = c->gone_told;
    tt_carriers_review(e);
}

/* --- the end of a carrier --- */

void tt_carriers_doom(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (c->doomed)
        return;
    c->doomed = true;
    e->doomed++;
    if (!c->proven && e->config.client)
        e->unproven_in_a_row++;
    tt_carriers_review(e);
}

/* A client that may have but one gives it up before it dials the next. */
void tt_carriers_suspected(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (e->config.client && (!c->proven || !c->native))
        tt_carriers_doom(e, c);
    else
        tt_carriers_review(e);
}

uint64_t tt_carriers_give_up_at(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (!c->live.suspect || !c->live.moved || !e->config.client || c->doomed)
        return TT_NEVER;
    return tt_deadline_after(c->live.suspect_us, tt_liveness_limit_us(e, c));
}

void tt_carriers_drained(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (e->config.client && c->we_drain && c->peer_drains && c->path.flying.count == 0 &&
        !c->due.state)
        tt_carriers_doom(e, c);
}

void tt_carriers_spent(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (c->native && !c->we_drain)
        drain(c);
    tt_carriers_review(e);
}

/* --- time --- */

uint64_t tt_carriers_deadline(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (c->doomed)
        return TT_NEVER;
    return tt_min_u64(tt_liveness_deadline(e, c), c->hello_us);
}

void tt_carriers_handle_timeout(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (c->hello_us <= now_us) {
        c->hello_us = TT_NEVER;
        c->due.hello = true;
    }
    tt_liveness_handle_timeout(e, c, now_us);
}

/* --- how many are wanted --- */

uint32_t tt_endpoint_wanted_carriers(const struct tt_endpoint *e)
{
    return e->config.tuning.carriers + e->config.tuning.standby;
}

bool tt_endpoint_wants_carrier(const struct tt_endpoint *e)
{
    uint32_t lasting = 0;
    uint32_t alive = 0;
    if (e->error)
        return false;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->role != TT_CARRIER_ACTIVE || c->doomed)
            continue;
        alive++;
        if (!c->proven)
            return false; /* one opens already */
        if (c->rank <= TT_RANK_STANDBY)
            lasting++;
    }
    if (alive == 0)
        return true;
    return may_have_several(e) && lasting < tt_endpoint_wanted_carriers(e);
}
