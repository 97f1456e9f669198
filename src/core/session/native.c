#include "core/session/native.h"

#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/session/carriers.h"
#include "core/session/liveness.h"
#include "core/session/sealed.h"

#define LEAST_MAX_PACKET 576u /* */
#define PONGS_AT_ONCE    8u
#define MOST_HELLOS      3u /* of a client, on a carrier that may lose them */
#define HELLO_AGAIN_US   (500 * TT_MS)

/* --- HELLO --- */

void tt_native_begin(struct tt_endpoint *e, struct tt_carrier *c)
{
    if (!e->config.client || e->config.tuning->legacy)
        return;
    c->due.hello = true;
    c->due.limit = c->limits.max_bytes_down > 0 || c->limits.max_age_us > 0;
    if (e->native)
        c->gone_told = e->gone_known;
}

static uint16_t own_flags(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    uint16_t flags = TT_HELLO_RESET;
    if (c->limits.ordered)
        flags |= TT_HELLO_NO_DROPS;
    if (e && e->config.client && !e->seal && e->kcp.stats.segments_in > 0)
        flags |= TT_HELLO_RESUMED;
    return flags | c->due.hello_flags;
}

static void write_hello(const struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                        struct tt_control *out)
{
    out->type = TT_CONTROL_HELLO;
    out->hello.version = TT_CONTROL_VERSION;
    out->hello.max_packet =
        (uint16_t)(c->limits.max_packet < UINT16_MAX ? c->limits.max_packet : UINT16_MAX);
    out->hello.flags = own_flags(e, c);
    out->hello.carrier = c->number;
    c->due.hello = false;
    c->hellos++;
    c->greeted_us = now_us;
}

int tt_native_greet(struct tt_carrier *c, const struct tt_control *hello, uint16_t answer_flags,
                    uint32_t mtu)
{
    if (hello->hello.max_packet < LEAST_MAX_PACKET || hello->hello.max_packet < mtu)
        return TT_E_PROTO;
    c->native = true;
    c->peer_max_packet = hello->hello.max_packet;
    c->peer_no_drops = hello->hello.flags & TT_HELLO_NO_DROPS;
    c->peer_resets = hello->hello.flags & TT_HELLO_RESET;
    c->number = hello->hello.carrier;
    c->due.hello = true;
    c->due.hello_flags = answer_flags;
    return TT_OK;
}

/* HELLO has a time of its own where it may be lost: this one sets it for the carriers that were
 * taken for legacy ones when their time was over.
 */
static void doubt_silent_ones(struct tt_endpoint *e, uint64_t now_us)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (!c->native && !c->limits.ordered && c->hellos >= MOST_HELLOS)
            c->hello_us = tt_deadline_after(now_us, HELLO_AGAIN_US);
    }
}

void tt_native_hello_unanswered(struct tt_endpoint *e, struct tt_carrier *c)
{
    c->hello_us = TT_NEVER;
    if (c->hellos < MOST_HELLOS)
        c->due.hello = true;
    else if (e->native)
        tt_carriers_doom(e, c);
}

void tt_native_joined(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (!e->native && e->config.client)
        doubt_silent_ones(e, now_us);
    e->native = true;
    tt_smux_peer_is_native(&e->smux);
    if (c->peer_resets) /* what one carrier says of the peer holds for all */
        tt_smux_peer_resets(&e->smux);
    if (c->role == TT_CARRIER_ACTIVE && c->peer_no_drops)
        tt_kcp_path_trust(&c->path, e->allowance);
    tt_liveness_heard(e, c, now_us, false); /* from now on it may be asked */
    tt_carriers_proven(e, c);
    if (c->spent)
        tt_carriers_spent(e, c);
    else
        tt_carriers_review(e);
}

/* anybody could say so on one carrier of a plain session; there it counts when it was said on
 * all that are known to reach the peer.
 */
void tt_native_review_close(struct tt_endpoint *e)
{
    bool said = false;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        said |= c->close_heard;
        if (!e->seal && !c->close_heard && c->proven && !c->doomed && !c->live.suspect)
            return;
    }
    if (said && !e->error)
        e->error = TT_E_CLOSED;
}

/* The server does not have the session, unless an older carrier says otherwise. */
static void hear_unknown(struct tt_endpoint *e, struct tt_carrier *c)
{
    c->unknown = true;
    if (e->heard_us <= c->opened_us)
        e->error = TT_E_LOST;
    else
        tt_carriers_doom(e, c);
    tt_native_review_close(e);
}

static void take_hello(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                       const struct tt_control *hello)
{
    const bool client = e->config.client;
    if (c->native || c->legacy || e->config.tuning->legacy) {
        c->due.hello |= c->native && !client && !c->limits.ordered; /* ours was lost */
        return;
    }
    const uint32_t number = c->number;
    if ((e->seal && hello->hello.carrier != number) ||
        tt_native_greet(c, hello, 0, e->config.tuning->mtu + (e->seal ? TT_SEALED_OVERHEAD : 0))) {
        tt_carriers_doom(e, c);
        return;
    }
    c->hello_us = TT_NEVER;
    if (client) {
        c->number = number;
        c->due.hello = false;
        if (hello->hello.flags & TT_HELLO_UNKNOWN && !e->seal) {
            hear_unknown(e, c);
            return;
        }
        if (c->hellos == 1 && c->role == TT_CARRIER_ACTIVE)
            tt_kcp_path_sample(&e->kcp, &c->path, now_us - c->greeted_us);
    }
    tt_native_joined(e, c, now_us);
    if (e->seal && !client)
        tt_liveness_want_answer(e, c, now_us); /* M-12 */
}

/* --- the others --- */

/* so many at once, and then one a millisecond. */
static bool may_pong(struct tt_carrier *c, uint64_t now_us)
{
    const uint64_t full_us = PONGS_AT_ONCE * TT_MS;
    const uint64_t since_us = now_us > full_us ? now_us - full_us : 0;
    if (c->ponged_us < since_us)
        c->ponged_us = since_us;
    if (c->ponged_us + TT_MS > now_us)
        return false;
    c->ponged_us += TT_MS;
    return true;
}

static void take_ping(struct tt_carrier *c, uint64_t now_us, const struct tt_control *ping)
{
    if (!may_pong(c, now_us))
        return;
    c->due.pong = true;
    memcpy(c->due.pong_token, ping->token, sizeof c->due.pong_token);
}

/* A server that asks is one that waits for an answer. Perhaps it comes to nothing, because the
 * other direction is dead, and only a client can dial: it makes sure.
 */
static void ask_back(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (e->config.client && c->native)
        tt_liveness_want_answer(e, c, now_us);
}

static struct tt_carrier *by_number(const struct tt_endpoint *e, uint32_t number)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->native && c->number == number)
            return c;
    }
    return NULL;
}

static void take_state(struct tt_endpoint *e, struct tt_carrier *c, const struct tt_control *said)
{
    struct tt_carrier *other;
    switch (said->state.state) {
    case TT_PEER_ACTIVE:
    case TT_PEER_STANDBY:
        c->standby = said->state.state == TT_PEER_STANDBY;
        if (c->peer_drains) { /* it needs it after all: so do we say */
            c->peer_drains = false;
            c->we_drain = false;
            c->due.state = 0;
        }
        break;
    case TT_PEER_DRAINING:
        c->peer_drains = true;
        break;
    case TT_PEER_GONE:
        if (e->seal && !e->config.client && tt_numbers_may(&e->seal->numbers, said->state.carrier))
            (void)tt_seal_take_number(e->seal, said->state.carrier); /* M-11 */
        other = by_number(e, said->state.carrier);
        if (other && other != c) {
            other->named_gone = true;
            tt_carriers_doom(e, other);
        }
        break;
    default:
        break;
    }
    tt_carriers_review(e);
}

void tt_native_limit(struct tt_carrier *c, const struct tt_control *limit)
{
    c->peer_max_bytes = limit->limit.bytes;
    c->peer_until_us = limit->limit.seconds
                           ? tt_deadline_after(c->opened_us, limit->limit.seconds * TT_SECOND)
                           : TT_NEVER;
}

static void take_close(struct tt_endpoint *e, struct tt_carrier *c)
{
    c->close_heard = true;
    tt_native_review_close(e);
}

static void take(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                 const struct tt_control *said)
{
    switch (said->type) {
    case TT_CONTROL_HELLO:
        take_hello(e, c, now_us, said);
        break;
    case TT_CONTROL_PING:
        take_ping(c, now_us, said);
        ask_back(e, c, now_us);
        tt_endpoint_shrink(e); /* an idle server has no timer of its own */
        break;
    case TT_CONTROL_PONG:
        tt_liveness_pong(e, c, now_us, said->token);
        break;
    case TT_CONTROL_CLOSE:
        take_close(e, c);
        break;
    case TT_CONTROL_STATE:
        take_state(e, c, said);
        break;
    case TT_CONTROL_LIMIT:
        tt_native_limit(c, said);
        tt_carriers_review(e);
        break;
    }
}

void tt_native_receive(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                       struct tt_span packet)
{
    struct tt_control said;
    const int err = tt_control_read(&said, packet);

    e->stats.control_in++;
    if (err == TT_E_AGAIN || (err == TT_OK && !c->native && said.type != TT_CONTROL_HELLO))
        return;
    if (err) {
        tt_carriers_doom(e, c);
        return;
    }
    if (said.type != TT_CONTROL_HELLO)
        tt_liveness_heard(e, c, now_us, false);
    take(e, c, now_us, &said);
}

/* --- sending --- */

static bool close_due_on(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return e->closing && c->native && !c->close_sent && c->role == TT_CARRIER_ACTIVE &&
           !c->doomed && (e->aborting || tt_endpoint_settled(e));
}

bool tt_native_close_is_due(const struct tt_endpoint *e)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        if (close_due_on(e, TT_CONTAINER_OF(node, struct tt_carrier, node)))
            return true;
    }
    return false;
}

/* The next of those that have gone and were not named on c; false: none. */
static bool next_gone(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return e->native && c->gone_told < e->gone_count && (c->native || e->config.client);
}

static bool may_speak(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return c->native && !(c->live.suspect && e->best_rank < TT_RANK_LAST && !c->due.ping);
}

bool tt_native_wants_send(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (!e)
        return c->due.hello; /* nothing else is said without a session */
    if (c->due.hello || c->due.limit || next_gone(e, c))
        return true;
    return (may_speak(e, c) && (c->due.pong || c->due.ping || c->due.state)) || close_due_on(e, c);
}

static bool write_next(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                       struct tt_control *out)
{
    if (c->due.hello) {
        write_hello(e, c, now_us, out);
        if (!c->limits.ordered && e && e->config.client && (c->hellos < MOST_HELLOS || e->native))
            c->hello_us = tt_deadline_after(now_us, HELLO_AGAIN_US);
        return true;
    }
    if (c->due.limit) {
        const uint64_t seconds = (c->limits.max_age_us + TT_SECOND - 1) / TT_SECOND;
        const uint64_t bytes = c->limits.max_bytes_down;
        out->type = TT_CONTROL_LIMIT;
        out->limit.bytes = (uint32_t)tt_min_u64(bytes, UINT32_MAX);
        out->limit.seconds = (uint16_t)tt_min_u64(seconds, UINT16_MAX);
        c->due.limit = false;
        return true;
    }
    if (next_gone(e, c)) {
        if (e->gone_count - c->gone_told > TT_GONE_REMEMBERED)
            c->gone_told = e->gone_count - TT_GONE_REMEMBERED;
        out->type = TT_CONTROL_STATE;
        out->state.carrier = e->gone[c->gone_told++ % TT_GONE_REMEMBERED];
        out->state.state = TT_PEER_GONE;
        return true;
    }
    if (close_due_on(e, c)) {
        out->type = TT_CONTROL_CLOSE;
        out->reason = e->aborting ? TT_CLOSE_ABORT : TT_CLOSE_DONE;
        c->close_sent = e->close_told = true;
        return true;
    }
    if (!may_speak(e, c))
        return false;
    if (c->due.pong) {
        out->type = TT_CONTROL_PONG;
        memcpy(out->token, c->due.pong_token, sizeof out->token);
        c->due.pong = false;
        c->due.account = true;
    } else if (c->due.ping) {
        tt_liveness_ask(e, c, now_us);
        out->type = TT_CONTROL_PING;
        memcpy(out->token, c->live.token, sizeof out->token);
    } else if (c->due.state) {
        out->type = TT_CONTROL_STATE;
        out->state.carrier = c->number;
        out->state.state = c->due.state;
        c->due.state = 0;
    } else {
        return false;
    }
    return true;
}

int tt_native_next_packet(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                          struct tt_gather *g, uint32_t *len)
{
    struct tt_control said;
    uint8_t bytes[TT_CONTROL_MAX];
    if (!tt_native_wants_send(e, c))
        return TT_E_AGAIN;
    if (!tt_gather_has_room(g, TT_CONTROL_MAX))
        return TT_E_FULL;
    if (!write_next(e, c, now_us, &said))
        return TT_E_AGAIN;
    *len = tt_control_write(bytes, &said);
    memcpy(tt_gather_header(g, *len), bytes, *len);
    if (e) {
        e->stats.control_out++;
    }
    return TT_OK;
}

void tt_native_note_gone(struct tt_endpoint *e, const struct tt_carrier *c)
{
    if (c->named_gone || (!c->native && !(e->config.client && c->hellos > 0)))
        return;
    e->gone[e->gone_count++ % TT_GONE_REMEMBERED] = c->number;
}
