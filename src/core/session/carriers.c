#include "core/session/carriers.h"

#include "core/base/clock.h"
#include "core/base/siphash.h"
#include "core/session/liveness.h"
#include "core/session/native.h"
#include "core/session/sealed.h"

#define LEGACY_PACKET 1400u
/* Larger ones save nothing: what lies in two reads of the peer must be copied together. */
#define BEST_PACKET      16384u
#define CAREFUL_PACKET   4096u       /* on a carrier that is not proven, or under a budget */
#define BUDGET_RESERVE   256u        /* of a budget, for control packets and acks */
#define REPEATED_ACKS    (16u << 10) /* bytes */
#define UNANSWERED_BYTES (64u << 10) /* M-12 */

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

/* Bytes that a packet costs beside what KCP puts into it. */
static uint32_t overhead(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->limits.framing + (e->seal ? TT_SEALED_OVERHEAD : 0);
}

static uint32_t segment_bytes(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return e->config.tuning->mtu + overhead(e, c);
}

static bool has_budget(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return budget_left(c) >= segment_bytes(e, c) + BUDGET_RESERVE;
}

/* Half of what it may carry is used, or its time is nearly over: the next one should be ready. */
static bool half_used(uint64_t most, uint64_t used)
{
    return most > 0 && used >= most / 2;
}

static bool is_waning(const struct tt_carrier *c)
{
    return c->retiring || half_used(c->limits.max_bytes, c->taken_bytes) ||
           half_used(c->limits.max_bytes_down, c->received_bytes);
}

static uint64_t with_jitter(struct tt_endpoint *e, uint64_t limit)
{
    return limit - tt_siphash_u64(e->config.hash_key, ++e->tokens) % (limit / 10 + 1);
}

static uint64_t budget_of(struct tt_endpoint *e, enum tt_budget_kind kind, uint64_t given,
                          uint64_t of_carrier)
{
    uint64_t limit = tt_budget_limit(e->budget, kind, given);
    if (limit > 0)
        limit = with_jitter(e, limit);
    return of_carrier > 0 && (limit == 0 || of_carrier < limit) ? of_carrier : limit;
}

void tt_carriers_set_budget(struct tt_endpoint *e, struct tt_carrier *c)
{
    const struct tt_endpoint_tuning *t = e->config.tuning;
    struct tt_carrier_limits *l = &c->limits;
    if (!e->config.client)
        return;
    l->max_bytes = budget_of(e, TT_BUDGET_UP, t->carrier_max_bytes, l->max_bytes);
    l->max_bytes_down = budget_of(e, TT_BUDGET_DOWN, t->carrier_max_bytes, l->max_bytes_down);
    l->max_age_us = budget_of(e, TT_BUDGET_AGE, t->carrier_max_age_us, l->max_age_us);
}

/* Up: an answer says that all before its question has passed, acks say what they acknowledge. */
static uint64_t passed_up(const struct tt_carrier *c)
{
    const struct tt_kcp_path *p = &c->path;
    const uint64_t acked = c->limits.prefix + p->arrived_bytes + p->arrivals * TT_KCP_HEADER;
    return c->confirmed_bytes > acked ? c->confirmed_bytes : acked;
}

/* What is known to have passed, not what was sent into the void; and how much more may have been
 * let pass: of what came, all but the end of one more packet.
 */
static struct tt_budget_use use_of(const struct tt_endpoint *e, const struct tt_carrier *c,
                                   uint64_t now_us)
{
    const uint64_t up = passed_up(c);
    const uint64_t most_down = c->received_bytes + e->longest_received;
    const uint64_t last_us = c->live.suspect || c->doomed ? c->live.heard_us : now_us;
    const uint64_t age_us = last_us - c->opened_us;
    return (struct tt_budget_use){.reached = {[TT_BUDGET_UP] = up,
                                              [TT_BUDGET_DOWN] = c->received_bytes,
                                              [TT_BUDGET_AGE] = age_us,
                                              [TT_BUDGET_SUM] = up + c->received_bytes},
                                  .at_most = {[TT_BUDGET_UP] = c->taken_bytes,
                                              [TT_BUDGET_DOWN] = most_down,
                                              [TT_BUDGET_AGE] = age_us,
                                              [TT_BUDGET_SUM] = c->taken_bytes + most_down}};
}

static void note_fate(struct tt_fates *s, const struct tt_budget_use *use, bool died)
{
    for (int kind = 0; kind < TT_BUDGET_KINDS; kind++) {
        const uint64_t reached = use->reached[kind];
        s->most[kind] = reached > s->most[kind] ? reached : s->most[kind];
        if (died && (s->died == 0 || reached < s->died_least[kind]))
            s->died_least[kind] = reached;
        if (died && reached > s->died_most[kind])
            s->died_most[kind] = reached;
    }
    s->died += died;
}

void tt_endpoint_most_reached(const struct tt_endpoint *e, uint64_t now_us,
                              uint64_t most[TT_BUDGET_KINDS])
{
    memcpy(most, e->budget->fates.most, sizeof e->budget->fates.most);
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_budget_use use =
            use_of(e, TT_CONTAINER_OF(node, struct tt_carrier, node), now_us);
        for (int kind = 0; kind < TT_BUDGET_KINDS; kind++)
            most[kind] = use.reached[kind] > most[kind] ? use.reached[kind] : most[kind];
    }
}

void tt_carriers_learn(struct tt_endpoint *e, const struct tt_carrier *c, uint64_t now_us)
{
    if (!e->config.client || !c->proven || e->error || e->closing || c->role != TT_CARRIER_ACTIVE)
        return;
    const struct tt_budget_use use = use_of(e, c, now_us);
    note_fate(&e->budget->fates, &use, !c->spent && !c->we_drain);
    if (!e->config.tuning->learn_limits)
        return;
    if (c->spent)
        tt_budget_kept(e->budget, &use);
    else if (!c->we_drain && !tt_budget_is_same_blow(e->budget, c->opened_us, now_us)) {
        tt_budget_died(e->budget, &use);
        e->budget->died_us = now_us;
    }
}

/* the next is dialled 10 s before the time is over, at most half of it. */
static uint64_t waning_at_us(const struct tt_carrier *c)
{
    const uint64_t most_us = c->limits.max_age_us;
    const uint64_t before_us = tt_min_u64(10 * TT_SECOND, most_us / 2);
    return most_us ? tt_deadline_after(c->opened_us, most_us - before_us) : TT_NEVER;
}

static uint64_t over_at_us(const struct tt_carrier *c)
{
    const uint64_t ours_us =
        c->limits.max_age_us ? tt_deadline_after(c->opened_us, c->limits.max_age_us) : TT_NEVER;
    return tt_min_u64(ours_us, c->peer_until_us);
}

bool tt_carriers_too_old(const struct tt_carrier *c, uint64_t now_us)
{
    return !c->spent && over_at_us(c) <= now_us;
}

static uint32_t careful_max(const struct tt_endpoint *e, const struct tt_carrier *c, uint64_t left)
{
    uint64_t most = tt_min_u64(CAREFUL_PACKET, left / 4);
    if (most < e->config.tuning->mtu)
        most = e->config.tuning->mtu;
    return (uint32_t)tt_min_u64(most, left - overhead(e, c));
}

/* Longest packet that both ends take on c, without what sealing adds. */
static uint32_t agreed_max(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    const uint32_t unknown = e->seal ? TT_SEALED_UNPROVEN_MAX : LEGACY_PACKET;
    const uint32_t peer = c->native ? c->peer_max_packet : unknown;
    const uint32_t most = c->limits.max_packet < peer ? c->limits.max_packet : peer;
    return e->seal ? most - TT_SEALED_OVERHEAD : most;
}

uint32_t tt_carriers_max_packet(const struct tt_endpoint *e, const struct tt_carrier *c, bool data)
{
    const uint32_t most = agreed_max(e, c);
    const uint64_t left = budget_left(c);
    if (left == UINT64_MAX && c->proven) {
        const uint64_t brisk = tt_min_u64(BEST_PACKET, tt_liveness_most_packet(c));
        return (uint32_t)tt_min_u64(most, brisk > LEGACY_PACKET ? brisk : LEGACY_PACKET);
    }
    if (data ? !has_budget(e, c) : left < overhead(e, c) + TT_KCP_HEADER)
        return 0;
    const uint32_t careful = careful_max(e, c, left);
    return careful < most ? careful : most;
}

/* --- ranks --- */

static bool may_be_fed(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->role == TT_CARRIER_ACTIVE && !c->doomed && !c->we_drain && !c->spent &&
           has_budget(e, c);
}

/* At a server, one whose HELLO has not come though the client is known to send it: it was
 * overtaken by data, lost, or the carrier has died since.
 */
static bool is_stranger(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return !e->config.client && e->native && !c->native;
}

static enum tt_carrier_rank rank_of(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (!may_be_fed(e, c))
        return TT_RANK_NONE;
    if (!c->proven || is_stranger(e, c))
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

/* A new carrier may die of little: acks take no more of it than a quarter of what data may. */
uint32_t tt_carriers_most_acks(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    uint64_t bytes = tt_min_u64(REPEATED_ACKS, budget_left(c) / 4);
    if (!c->proven)
        bytes = tt_min_u64(bytes, (uint64_t)e->allowance * e->config.tuning->mtu / 4);
    return (uint32_t)(bytes / TT_KCP_HEADER);
}

/* On whichever carrier takes them; what is more than it can pay for is not worth it. */
void tt_carriers_repeat_acks(struct tt_endpoint *e)
{
    uint32_t most = REPEATED_ACKS / TT_KCP_HEADER;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        const uint32_t of_carrier = tt_carriers_most_acks(e, c);
        if (is_fed(e, c) && of_carrier < most)
            most = of_carrier;
    }
    tt_kcp_repeat_acks(&e->kcp, most);
}

/* While a good carrier lives, what waits on a suspect one goes there, once. What waits on
 * one that is over has nothing to wait for in any case.
 */
static void move_off_suspects(struct tt_endpoint *e)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->role != TT_CARRIER_ACTIVE || c->live.moved ||
            !(c->live.suspect || is_stranger(e, c)))
            continue;
        if (e->best_rank > TT_RANK_STANDBY && c->rank != TT_RANK_NONE)
            continue;
        c->live.moved = true;
        tt_kcp_path_give_up(&e->kcp, &c->path);
        tt_carriers_repeat_acks(e);
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
        if (c->proven && !c->live.suspect)
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

void tt_carriers_account_on(struct tt_endpoint *e, struct tt_carrier *c)
{
    c->due.account = false;
    e->data_carrier = c;
    tt_kcp_repeat_acks(&e->kcp, tt_carriers_most_acks(e, c));
    tt_carriers_route_acks(e);
    c->path.leaves_acks = false; /* whatever is known of it otherwise: it takes a packet now */
}

/* --- the review --- */

/* M-12: somebody may have stolen the packet that proved a carrier. Until it has answered itself, a
 * server that has one which did puts little on it.
 */
static uint64_t trusted(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (!e->seal || e->config.client || !c->seal || c->seal->answered)
        return UINT64_MAX;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *other = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (other->seal && other->seal->answered && !other->doomed)
            return room_in_budget(UNANSWERED_BYTES, c->taken_bytes);
    }
    return UINT64_MAX;
}

void tt_carriers_set_room(struct tt_endpoint *e, struct tt_carrier *c)
{
    const bool fed = is_fed(e, c);
    c->path.max_flying_bytes = fed ? tt_min_u64(tt_liveness_most_bytes(c), trusted(e, c)) : 0;
    if (fed)
        c->live.moved = false; /* for want of a better one, what it is given now may move again */
}

/* one at a time until the server is known to hold the session. */
static bool may_have_several(const struct tt_endpoint *e)
{
    return e->native && (e->seal ? tt_sealed_is_confirmed(e) : e->kcp.stats.segments_in > 0);
}

/* Proven, and to be used for a while yet. */
static bool is_lasting(const struct tt_carrier *c)
{
    return c->rank <= TT_RANK_STANDBY && !is_waning(c);
}

/* Goodbye. Asked as well: if the other end says nothing more, it is given up like any other. */
static void drain(struct tt_carrier *c)
{
    c->we_drain = true;
    c->due.state = TT_PEER_DRAINING;
    c->due.ping = c->live.asked_us == TT_NEVER;
}

static void set_standby(struct tt_endpoint *e, struct tt_carrier *c, bool standby)
{
    c->standby = standby;
    c->due.state = standby ? TT_PEER_STANDBY : TT_PEER_ACTIVE;
    rank_all(e);
}

/* What is to be done with the carriers that are proven, by the client that opened them. */
struct census {
    uint32_t good;              /* in use */
    uint32_t lasting;           /* in use or spare, and not waning */
    struct tt_carrier *slowest; /* of those that last */
    struct tt_carrier *newest;  /* the same, in use */
    struct tt_carrier *spare;   /* the oldest that is spare */
    struct tt_carrier *retiring;
};

static struct census count_proven(const struct tt_endpoint *e)
{
    struct census n = {.good = 0};
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->rank > TT_RANK_STANDBY)
            continue;
        n.good += c->rank == TT_RANK_GOOD;
        if (c->rank == TT_RANK_STANDBY && !n.spare)
            n.spare = c;
        if (c->retiring)
            n.retiring = c;
        if (!is_lasting(c))
            continue;
        n.lasting++;
        if (c->rank == TT_RANK_GOOD)
            n.newest = c;
        if (!n.slowest || c->path.rtt.smoothed_us > n.slowest->path.rtt.smoothed_us)
            n.slowest = c;
    }
    return n;
}

/* One step towards as many in use and spare as are wanted; false: there is none to take. */
static bool arrange_one(struct tt_endpoint *e)
{
    const struct census n = count_proven(e);
    if (n.lasting > tt_endpoint_wanted_carriers(e)) { /* a suspect one came back */
        drain(n.slowest);
        e->stats.drained++;
        rank_all(e);
    } else if (n.retiring && n.lasting >= tt_endpoint_wanted_carriers(e)) {
        drain(n.retiring);
        rank_all(e);
    } else if (n.good > e->config.tuning->carriers && n.newest) {
        set_standby(e, n.newest, true);
    } else if (n.good < e->config.tuning->carriers && n.spare) {
        set_standby(e, n.spare, false);
    } else {
        return false;
    }
    return true;
}

static void arrange(struct tt_endpoint *e)
{
    if (!e->config.client || !may_have_several(e))
        return;
    while (arrange_one(e))
        continue;
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
        if (c->role == TT_CARRIER_ACTIVE && c->we_drain && !c->doomed && !c->spent &&
            has_budget(e, c))
            take_back(c);
    }
    rank_all(e);
}

void tt_carriers_review(struct tt_endpoint *e)
{
    rank_all(e);
    undrain_for_want_of_others(e);
    drain_what_the_peer_drains(e);
    arrange(e);
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
    if (e->config.client && (!c->proven || !c->native || !may_have_several(e)))
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

/* Both ends have said that they are done; a legacy peer says nothing, and there is no other carrier
 * beside this one.
 */
static bool is_drained(const struct tt_carrier *c)
{
    if (c->path.flying.count > 0 || c->due.state)
        return false;
    return c->native ? c->we_drain && c->peer_drains : c->spent;
}

bool tt_carriers_is_drained(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return e->config.client && !c->doomed && is_drained(c);
}

void tt_carriers_drained(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (!tt_carriers_is_drained(e, c))
        return;
    c->we_drain = true;
    tt_carriers_doom(e, c);
}

void tt_carriers_spent(struct tt_endpoint *e, struct tt_carrier *c)
{
    c->spent = true;
    if (c->native && !c->we_drain)
        drain(c);
    tt_carriers_review(e);
}

void tt_carriers_heard_enough(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (e->config.client && !c->native && c->proven && !c->spent && c->limits.max_bytes_down > 0 &&
        c->received_bytes >= c->limits.max_bytes_down)
        tt_carriers_spent(e, c);
}

/* --- time --- */

/* Client: when c is to be replaced for its age, or for want of use. */
static uint64_t retire_at_us(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (c->retiring || !e->config.client)
        return TT_NEVER;
    const uint64_t idle_us = e->config.tuning->carrier_idle_us;
    const uint64_t spread_us = idle_us / 10;
    const uint64_t dice = tt_siphash_u64(e->config.hash_key, c->opened_us + c->number);
    const uint64_t idle_at_us =
        idle_us ? tt_deadline_after(c->live.heard_us, idle_us - dice % (spread_us + 1)) : TT_NEVER;
    return tt_min_u64(waning_at_us(c), idle_at_us);
}

static uint64_t spent_at_us(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return e->config.client && !c->spent ? over_at_us(c) : TT_NEVER;
}

uint64_t tt_carriers_deadline(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (c->doomed)
        return TT_NEVER;
    if (c->role != TT_CARRIER_ACTIVE)
        return TT_NEVER;
    return tt_min_u64(
        tt_min_u64(tt_min_u64(tt_liveness_deadline(e, c), c->hello_us), tt_sealed_deadline(c)),
        tt_min_u64(retire_at_us(e, c), spent_at_us(e, c)));
}

void tt_carriers_handle_timeout(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (c->hello_us <= now_us)
        tt_native_hello_unanswered(e, c);
    if (c->role == TT_CARRIER_ACTIVE && retire_at_us(e, c) <= now_us) {
        c->retiring = true;
        tt_carriers_review(e);
    }
    if (c->role == TT_CARRIER_ACTIVE && spent_at_us(e, c) <= now_us)
        tt_carriers_spent(e, c);
    tt_sealed_handle_timeout(e, c, now_us);
    tt_liveness_handle_timeout(e, c, now_us);
}

/* --- how many are wanted --- */

uint32_t tt_endpoint_wanted_carriers(const struct tt_endpoint *e)
{
    return e->config.tuning->carriers + e->config.tuning->standby;
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
        if (is_lasting(c))
            lasting++;
    }
    if (alive == 0)
        return true;
    return may_have_several(e) && lasting < tt_endpoint_wanted_carriers(e);
}
