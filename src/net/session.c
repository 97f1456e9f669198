#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "core/encapsulation.h"
#include "net/address.h"
#include "net/conn.h"
#include "net/lead.h"
#include "net/session.h"

#define LEAST_MAX_PACKET 1400u /* one of our segments must go into one */

static void send_answer(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_session *s = TT_CONTAINER_OF(chore, struct tt_session, answer);
    s->side->touch(s, now_us);
}

void tt_session_init(struct tt_session *s, struct tt_loop *w, struct tt_endpoint *e,
                     const struct tt_session_side *side, uint64_t linger_us)
{
    *s = (struct tt_session){.worker = w, .endpoint = e, .side = side, .linger_us = linger_us};
    tt_list_init(&s->streams);
    tt_list_init(&s->accept_waiters);
    tt_list_init(&s->change_waiters);
    s->answer.run = send_answer;
    tt_session_id_format(s->id_text, &e->config.id);
}

int tt_session_check(const struct tt_options *o, bool sealed, struct tt_error_text *why)
{
    const uint32_t least = LEAST_MAX_PACKET + (sealed ? TT_SEALED_OVERHEAD : 0);
    if (sealed && o->legacy) {
        tt_why(why, "a sealed session cannot speak the worked example's protocol (legacy)");
        return TT_E_INVAL;
    }
    if (o->max_packet == 0 || (o->max_packet >= least && o->max_packet <= TT_ENCAP_MAX_PACKET))
        return TT_OK;
    tt_why(why, "packets of up to %" PRIu32 " bytes: it must be %" PRIu32 " to %u", o->max_packet,
           least, TT_ENCAP_MAX_PACKET);
    return TT_E_INVAL;
}

void tt_session_tune(struct tt_endpoint_tuning *t, const struct tt_options *o)
{
    t->legacy = o->legacy;
    if (o->carriers)
        t->carriers = o->carriers;
    t->standby = o->standby;
    if (o->max_streams)
        t->max_streams = o->max_streams;
    t->carrier_max_bytes = o->carrier_max_bytes;
    t->carrier_max_age_us = o->carrier_max_age_us;
    t->carrier_idle_us = o->carrier_idle_us;
    t->learn_limits = !o->no_learning;
    if (o->liveness_floor_us)
        t->liveness_floor_us = o->liveness_floor_us;
    if (o->liveness_ceiling_us)
        t->liveness_ceiling_us = o->liveness_ceiling_us;
}

void tt_session_touch(struct tt_session *s)
{
    s->side->touch(s, tt_worker_now_us());
}

void tt_session_calls_back(struct tt_session *s)
{
    s->side->chore(s)->calls_back = true;
    tt_worker_calls_back(s->worker);
}

int tt_session_error(const struct tt_session *s)
{
    return s->endpoint->error;
}

int tt_session_end_result(const struct tt_session *s)
{
    const int err = s->endpoint->error;
    return err == TT_E_CLOSED && s->all_arrived ? TT_OK : err;
}

/* --- streams --- */

static int wrap(struct tt_session *s, struct tt_smux_stream *smux, struct tt_stream **stream)
{
    const struct tt_alloc *alloc = s->worker->alloc;
    struct tt_stream *st = alloc->get(alloc->ctx, sizeof *st);
    if (!st) {
        tt_smux_close(smux);
        return TT_E_NOMEM;
    }
    *st = (struct tt_stream){.session = s, .smux = smux};
    tt_list_init(&st->readers);
    tt_list_init(&st->writers);
    tt_list_push_back(&s->streams, &st->node);
    tt_smux_stream_set_user(smux, st);
    *stream = st;
    return TT_OK;
}

/* reset: with that code; NULL: in order. */
static void unwrap(struct tt_stream *st, const uint32_t *reset)
{
    const struct tt_alloc *alloc = st->session->worker->alloc;
    if (st->gone)
        st->gone(st);
    assert(tt_list_empty(&st->readers) && tt_list_empty(&st->writers));
    tt_list_remove(&st->node);
    tt_smux_stream_set_user(st->smux, NULL);
    if (reset)
        tt_smux_reset(st->smux, *reset);
    else
        tt_smux_close(st->smux);
    alloc->put(alloc->ctx, st);
}

void tt_session_drop_streams(struct tt_session *s)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(&s->streams)) != NULL)
        unwrap(TT_CONTAINER_OF(node, struct tt_stream, node), NULL);
}

int tt_session_open_stream(struct tt_session *s, struct tt_stream **stream)
{
    struct tt_smux_stream *smux;
    const bool entered = tt_worker_enter(s->worker);
    int err = tt_session_error(s);
    if (!err)
        err = tt_smux_open(&s->endpoint->smux, &smux);
    if (!err)
        err = wrap(s, smux, stream);
    if (!err)
        tt_session_touch(s);
    tt_worker_leave(s->worker, entered);
    return err;
}

static int accept_one(struct tt_session *s, struct tt_stream **stream)
{
    struct tt_smux_stream *smux;
    int err = tt_smux_accept(&s->endpoint->smux, &smux);
    if (!err)
        err = wrap(s, smux, stream);
    if (!err)
        tt_session_touch(s); /* input may have stopped for the backlog */
    return err;
}

int tt_session_accept_stream(struct tt_session *s, struct tt_stream **stream)
{
    int err;
    if (tt_worker_must_not_wait(s->worker))
        return TT_E_INVAL;
    const bool entered = tt_worker_enter(s->worker);
    while ((err = accept_one(s, stream)) == TT_E_AGAIN && !tt_session_error(s))
        (void)tt_worker_wait(s->worker, &s->accept_waiters, TT_NEVER);
    if (err == TT_E_AGAIN)
        err = tt_session_error(s);
    tt_worker_leave(s->worker, entered);
    return err;
}

/* --- serving ---
 *
 * Any callback may close its stream, the session and others.
 */

static void note_delivery(struct tt_session *s, uint64_t now_us)
{
    if (s->last_delivery_us && now_us - s->last_delivery_us > s->longest_silence_us)
        s->longest_silence_us = now_us - s->last_delivery_us;
    s->last_delivery_us = now_us;
}

/* One callback at a time: it may close the stream. The other waits in smux, where it is forgotten
 * with the stream.
 */
static void call_back(struct tt_stream *st, unsigned events)
{
    if (events & TT_SMUX_WRITABLE && st->callbacks.writable) {
        tt_smux_report_again(st->smux, events & TT_SMUX_READABLE);
        st->callbacks.writable(st->callbacks_ctx, st);
    } else if (events & TT_SMUX_READABLE && st->callbacks.readable) {
        st->callbacks.readable(st->callbacks_ctx, st);
    }
}

static void report_event(struct tt_session *s, struct tt_stream *st, unsigned events,
                         uint64_t now_us)
{
    if (events & TT_SMUX_READABLE) {
        note_delivery(s, now_us);
        tt_worker_wake_all(s->worker, &st->readers);
    }
    if (events & TT_SMUX_WRITABLE)
        tt_worker_wake_all(s->worker, &st->writers);
    call_back(st, events);
}

static void report_events(struct tt_session *s, uint64_t now_us)
{
    struct tt_smux_stream *smux;
    unsigned events;
    while (s->endpoint && tt_smux_next_event(&s->endpoint->smux, &smux, &events)) {
        struct tt_stream *st = tt_smux_stream_user(smux);
        if (st)
            report_event(s, st, events, now_us);
    }
}

static void report_streams_opened(struct tt_session *s)
{
    struct tt_stream *st;
    if (s->endpoint->smux.accept_waiting == 0)
        return;
    tt_worker_wake_all(s->worker, &s->accept_waiters);
    while (s->callbacks.stream_opened && accept_one(s, &st) == TT_OK)
        s->callbacks.stream_opened(s->callbacks_ctx, s, st);
}

static void wake_everybody(struct tt_session *s)
{
    tt_worker_wake_all(s->worker, &s->accept_waiters);
    tt_worker_wake_all(s->worker, &s->change_waiters);
    TT_LIST_FOR_EACH(node, &s->streams)
    {
        struct tt_stream *st = TT_CONTAINER_OF(node, struct tt_stream, node);
        tt_worker_wake_all(s->worker, &st->readers);
        tt_worker_wake_all(s->worker, &st->writers);
    }
}

/* The streams with callbacks learn of the session's end by trying to read. Reported through smux,
 * where a stream that a callback closes is forgotten.
 */
static void call_listeners(struct tt_session *s, uint64_t now_us)
{
    TT_LIST_FOR_EACH(node, &s->streams)
    {
        tt_smux_report_again(TT_CONTAINER_OF(node, struct tt_stream, node)->smux, TT_SMUX_READABLE);
    }
    report_events(s, now_us);
}

static const char *hint(const struct tt_session *s, int err)
{
    if (!s->endpoint->config.client || tt_endpoint_peer_spoke(s->endpoint))
        return "";
    if (err != TT_E_VERSION && err != TT_E_LOST && err != TT_E_TIMEOUT)
        return "";
    return s->endpoint->config.smux_version == 1 ? "; the server may speak smux 2: try --smux 2"
                                                 : "; the server may speak smux 1: try --smux 1";
}

static void say_why(struct tt_session *s, int err)
{
    const struct tt_alloc *alloc = s->worker->alloc;
    s->why = alloc->get(alloc->ctx, sizeof *s->why);
    if (s->why)
        tt_why(s->why, "session lost: %s%s", tt_strerror(err), hint(s, err));
}

void tt_session_dispose(struct tt_session *s)
{
    if (s->why)
        s->worker->alloc->put(s->worker->alloc->ctx, s->why);
    s->why = NULL;
}

static void report_end(struct tt_session *s, uint64_t now_us)
{
    const int err = tt_session_error(s);
    if (!err || s->ended_told)
        return;
    s->ended_told = true;
    say_why(s, err);
    wake_everybody(s);
    call_listeners(s, now_us);
    if (s->callbacks.ended)
        s->callbacks.ended(s->callbacks_ctx, s, err);
}

void tt_session_flush(struct tt_endpoint *e, uint64_t now_us)
{
    struct tt_list_node *next;
    for (struct tt_list_node *node = tt_list_first(&e->carriers); node; node = next) {
        next = tt_list_next(&e->carriers, node);
        struct tt_carrier *carrier = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (tt_endpoint_wants_send(e, carrier))
            tt_conn_flush(TT_CONTAINER_OF(carrier, struct tt_conn, carrier), now_us);
    }
}

void tt_session_serve(struct tt_session *s, uint64_t now_us)
{
    report_streams_opened(s);
    report_events(s, now_us);
    if (!s->endpoint)
        return; /* a callback has closed it */
    if (!tt_endpoint_owes_acks_alone(s->endpoint) ||
        !tt_lead_leave_for_answer(s->worker, &s->answer))
        tt_session_flush(s->endpoint, now_us);
    if (s->closing && (s->endpoint->error || tt_endpoint_is_over(s->endpoint)))
        tt_worker_wake_all(s->worker, &s->change_waiters);
    report_end(s, now_us); /* last: the callback may close the session */
}

/* --- the rest of the public functions --- */

void tt_session_set_callbacks(struct tt_session *s, const struct tt_session_callbacks *callbacks,
                              void *ctx)
{
    const bool entered = tt_worker_enter(s->worker);
    s->callbacks = callbacks ? *callbacks : (struct tt_session_callbacks){NULL, NULL, NULL};
    s->callbacks_ctx = ctx;
    tt_session_calls_back(s);
    tt_session_touch(s);
    tt_worker_leave(s->worker, entered);
}

int tt_session_close(struct tt_session *s)
{
    struct tt_loop *w = s->worker;
    const bool may_wait = !tt_worker_must_not_wait(w);
    const bool owns_loop = s->owns_loop;
    const bool entered = tt_worker_enter(w);
    s->closing = true;
    tt_list_remove(&s->answer.node);
    s->callbacks = (struct tt_session_callbacks){NULL, NULL, NULL};
    s->all_arrived = tt_endpoint_data_arrived(s->endpoint);
    tt_session_drop_streams(s);
    tt_endpoint_close(s->endpoint);
    int err = s->side->close(s, may_wait);
    if (owns_loop && !may_wait)
        tt_worker_orphan(w);
    tt_worker_leave(w, entered);
    if (owns_loop && may_wait)
        tt_loop_free(w);
    return err;
}

void tt_session_network_changed(struct tt_session *s)
{
    const bool entered = tt_worker_enter(s->worker);
    if (s->side->network_changed)
        s->side->network_changed(s, tt_worker_now_us());
    tt_worker_leave(s->worker, entered);
}

const char *tt_session_id(const struct tt_session *s)
{
    return s->id_text;
}

const char *tt_session_error_text(struct tt_session *s)
{
    const bool entered = tt_worker_enter(s->worker);
    const char *text = s->ended_told ? tt_strerror(tt_session_error(s)) : "";
    if (s->why)
        text = s->why->text;
    tt_worker_leave(s->worker, entered);
    return text;
}

static uint64_t smoothed_rtt_us(const struct tt_endpoint *e)
{
    const struct tt_list_node *node = tt_list_last(&e->carriers);
    return node ? TT_CONTAINER_OF(node, struct tt_carrier, node)->path.rtt.smoothed_us : 0;
}

static void add_seal_stats(const struct tt_seal *seal, struct tt_session_stats *stats)
{
    if (!seal)
        return;
    stats->sealed = true;
    stats->confirmed = seal->phase == TT_SEAL_CONFIRMED;
    stats->handshakes = seal->stats.attempts + seal->stats.questions;
    stats->handshakes_unanswered = seal->stats.unanswered;
    stats->server_full = seal->stats.server_full;
    stats->packets_not_opened = seal->stats.not_opened;
}

int tt_session_client_key(struct tt_session *s, uint8_t key[32])
{
    const bool entered = tt_worker_enter(s->worker);
    const struct tt_seal *seal = s->endpoint->seal;
    const bool known = seal && seal->peer_known;
    if (known)
        memcpy(key, seal->peer_key, TT_KEY_LEN);
    tt_worker_leave(s->worker, entered);
    return known ? TT_OK : TT_E_INVAL;
}

static void add_fates(const struct tt_endpoint *e, struct tt_session_stats *stats)
{
    uint64_t most[TT_BUDGET_KINDS];
    if (!e->config.client)
        return;
    const struct tt_fates *s = &e->budget->fates;
    tt_endpoint_most_reached(e, tt_worker_now_us(), most);
    stats->most_bytes_up = most[TT_BUDGET_UP];
    stats->most_bytes_down = most[TT_BUDGET_DOWN];
    stats->longest_age_us = most[TT_BUDGET_AGE];
    stats->connections_died = s->died;
    stats->died_least_bytes_up = s->died_least[TT_BUDGET_UP];
    stats->died_most_bytes_up = s->died_most[TT_BUDGET_UP];
    stats->died_least_bytes_down = s->died_least[TT_BUDGET_DOWN];
    stats->died_most_bytes_down = s->died_most[TT_BUDGET_DOWN];
    stats->died_least_age_us = s->died_least[TT_BUDGET_AGE];
    stats->died_most_age_us = s->died_most[TT_BUDGET_AGE];
    stats->learned_bytes_up = tt_budget_limit(e->budget, TT_BUDGET_UP, 0);
    stats->learned_bytes_down = tt_budget_limit(e->budget, TT_BUDGET_DOWN, 0);
    stats->learned_age_us = tt_budget_limit(e->budget, TT_BUDGET_AGE, 0);
}

void tt_session_get_stats(struct tt_session *s, struct tt_session_stats *stats)
{
    const bool entered = tt_worker_enter(s->worker);
    const struct tt_kcp *k = &s->endpoint->kcp;
    *stats = (struct tt_session_stats){
        .connections = s->connections,
        .dials_failed = s->dials_failed,
        .packets_sent = k->stats.packets_out,
        .packets_received = k->stats.packets_in,
        .bytes_sent = k->send.queued_bytes,
        .bytes_received = k->receive.taken_bytes,
        .segments_sent = k->send.transmissions,
        .retransmits_carrier = k->send.retransmissions[TT_KCP_PATH_DIED],
        .retransmits_fast = k->send.retransmissions[TT_KCP_FAST],
        .retransmits_timeout = k->send.retransmissions[TT_KCP_TIMEOUT],
        .duplicates_received = k->receive.duplicates,
        .longest_silence_us = s->longest_silence_us,
        .srtt_us = smoothed_rtt_us(s->endpoint),
    };
    add_seal_stats(s->endpoint->seal, stats);
    add_fates(s->endpoint, stats);
    tt_worker_leave(s->worker, entered);
}

/* These are here since they need to know how a stream is wrapped. */

static void let_go(struct tt_stream *st, const uint32_t *reset)
{
    struct tt_session *s = st->session;
    struct tt_loop *w = s->worker;
    const bool entered = tt_worker_enter(w);
    unwrap(st, reset);
    tt_session_touch(s);
    tt_worker_leave(w, entered);
}

void tt_stream_close(struct tt_stream *st)
{
    let_go(st, NULL);
}

void tt_stream_reset(struct tt_stream *st, uint32_t code)
{
    let_go(st, &code);
}

uint32_t tt_stream_reset_code(const struct tt_stream *st)
{
    const bool entered = tt_worker_enter(st->session->worker);
    const uint32_t code = tt_smux_reset_code(st->smux);
    tt_worker_leave(st->session->worker, entered);
    return code;
}
