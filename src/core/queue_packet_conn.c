#include <assert.h>
#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/queue_packet_conn.h"
#include "core/session/carriers.h"
#include "core/session/native.h"

#define FIRST_SN_LIMIT 32u              /* */
#define QUIET_US       (30 * TT_SECOND) /* M-17 */
#define TURN_OUT_US    TT_SECOND        /* for the news to get through */
#define LOOKED_AT      4u               /* M-17: sessions that may have to go for a new one */

int tt_queue_packet_conn_init(struct tt_queue_packet_conn *q,
                              const struct tt_queue_packet_conn_config *config)
{
    *q = (struct tt_queue_packet_conn){.config = *config};
    tt_quota_init(&q->own_sessions, config->max_sessions);
    tt_quota_init(&q->own_waiting, config->accept_backlog);
    if (!q->config.sessions_quota)
        q->config.sessions_quota = &q->own_sessions;
    if (!q->config.waiting_quota)
        q->config.waiting_quota = &q->own_waiting;
    tt_remote_map_init(&q->remotes, config->tuning.session_timeout_us, config->hash_key,
                       config->alloc);
    tt_remote_map_init(&q->remembered, config->closed_us, config->hash_key, config->alloc);
    tt_heap_init(&q->timers, config->alloc);
    tt_list_init(&q->dirty);
    tt_list_init(&q->waiting);
    tt_list_init(&q->closed);
    tt_list_init(&q->idle);
    return q->config.sessions_quota->most > 0 && q->config.waiting_quota->most > 0 ? TT_OK
                                                                                   : TT_E_INVAL;
}

/* --- sessions: beginning and end --- */

static struct tt_server_session *of_remote(struct tt_remote *r)
{
    return TT_CONTAINER_OF(r, struct tt_server_session, remote);
}

static struct tt_server_session *of_endpoint(struct tt_endpoint *e)
{
    return TT_CONTAINER_OF(e, struct tt_server_session, endpoint);
}

static void mark_dirty(struct tt_queue_packet_conn *q, struct tt_server_session *s)
{
    if (s->dirty)
        return;
    s->dirty = true;
    tt_list_remove(&s->turn_node); /* not idle until it is flushed: it may have a carrier again */
    tt_list_push_back(&q->dirty, &s->turn_node);
}

static void leave_map(struct tt_queue_packet_conn *q, struct tt_server_session *s)
{
    if (tt_list_linked(&s->remote.node))
        tt_remote_map_remove(&q->remotes, &s->remote);
}

static void free_session(struct tt_queue_packet_conn *q, struct tt_server_session *s)
{
    leave_map(q, s);
    tt_heap_remove(&q->timers, &s->timer);
    tt_list_remove(&s->turn_node);
    tt_list_remove(&s->state_node);
    if (s->state == TT_SERVER_SESSION_WAITING)
        tt_quota_put(q->config.waiting_quota, 1);
    tt_endpoint_dispose(&s->endpoint);
    q->config.alloc->put(q->config.alloc->ctx, s);
    q->sessions--;
    tt_quota_put(q->config.sessions_quota, 1);
}

static int init_endpoint(struct tt_queue_packet_conn *q, struct tt_server_session *s,
                         const struct tt_session_id *id, uint32_t conv, struct tt_seal *seal,
                         uint64_t now_us)
{
    struct tt_endpoint_config c = {
        .tuning = &q->config.tuning,
        .client = false,
        .id = *id,
        .conv = conv,
        .hash_key = q->config.hash_key,
        .slabs = q->config.slabs,
        .alloc = q->config.alloc,
        .seal = seal,
    };
    return tt_endpoint_init(&s->endpoint, &c, now_us);
}

/* All that may fail. The timer's place in the heap is reserved, so that it never fails later. */
static int set_up(struct tt_queue_packet_conn *q, struct tt_server_session *s,
                  const struct tt_session_id *id, uint32_t conv, struct tt_seal *seal,
                  uint64_t now_us)
{
    int err = tt_heap_insert(&q->timers, &s->timer, TT_NEVER);
    if (!err)
        err = tt_remote_map_insert(&q->remotes, &s->remote, id, now_us);
    if (!err)
        err = init_endpoint(q, s, id, conv, seal, now_us);
    else
        tt_seal_free(seal, q->config.alloc);
    return err;
}

/* --- sessions that are over --- */

static void stop_remembering(struct tt_queue_packet_conn *q, struct tt_remote *r)
{
    tt_remote_map_remove(&q->remembered, r);
    q->config.alloc->put(q->config.alloc->ctx, r);
}

static int remember(struct tt_queue_packet_conn *q, const struct tt_session_id *id, uint64_t now_us)
{
    struct tt_remote *r = q->config.alloc->get(q->config.alloc->ctx, sizeof *r);
    if (!r)
        return TT_E_NOMEM;
    const int err = tt_remote_map_insert(&q->remembered, r, id, now_us);
    if (err)
        q->config.alloc->put(q->config.alloc->ctx, r);
    return err;
}

static bool is_remembered(const struct tt_queue_packet_conn *q, const struct tt_session_id *id)
{
    return tt_remote_map_find(&q->remembered, id) != NULL;
}

/* Both ends know that it is over: what is left is its ID, for whom it is to be unknown. */
static void finish(struct tt_queue_packet_conn *q, struct tt_server_session *s)
{
    const struct tt_session_id id = s->remote.id;
    const uint64_t closed_at_us = s->closed_at_us;
    TT_LIST_FOR_EACH(node, &s->endpoint.carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        c->unknown = true;
        c->due = (struct tt_carrier_due){.hello = false};
    }
    free_session(q, s);
    if (q->config.gate) /* a sealed session's ID alone is of no use to anybody */
        return;
    if (remember(q, &id, closed_at_us))
        q->stats.not_remembered++;
    if (tt_remote_map_count(&q->remembered) <= q->config.max_remembered)
        return;
    stop_remembering(q, tt_remote_map_oldest(&q->remembered));
    q->stats.not_remembered++;
}

/* The session is over for its client. The application learns of it, and closes it. */
static void end(struct tt_queue_packet_conn *q, struct tt_server_session *s, int why)
{
    leave_map(q, s);
    if (s->state != TT_SERVER_SESSION_ACCEPTED) {
        free_session(q, s);
        return;
    }
    s->endpoint.error = why;
    mark_dirty(q, s);
}

/* Its client has been silent for the session's time limit. */
static void expire(struct tt_queue_packet_conn *q, struct tt_server_session *s)
{
    q->stats.sessions_expired++;
    end(q, s, TT_E_TIMEOUT);
}

/* M-17: while more than half of the sessions exist that may, one that is without a carrier for
 * longer than it had ever lived goes. The quietest stand first.
 */
static bool is_overdue(const struct tt_server_session *s, uint64_t now_us)
{
    const uint64_t heard_us = s->endpoint.heard_us;
    const uint64_t lived_us = heard_us > s->begun_us ? heard_us - s->begun_us : 0;
    const uint64_t most_us = lived_us > QUIET_US ? lived_us : QUIET_US;
    return tt_list_empty(&s->endpoint.carriers) && now_us > tt_deadline_after(heard_us, most_us);
}

static bool is_crowded(const struct tt_quota *sessions)
{
    return tt_quota_taken(sessions) > sessions->most / 2;
}

/* A few for each newcomer, going on where it stopped: those that may stay, however many stand
 * first, keep nobody else in.
 */
static void thin_out(struct tt_queue_packet_conn *q, uint64_t now_us)
{
    if (!is_crowded(q->config.sessions_quota))
        return;
    struct tt_remote *r = q->thinning ? tt_remote_map_find(&q->remotes, &q->thinned_to) : NULL;
    struct tt_list_node *node = r ? &r->node : tt_list_first(&q->remotes.by_use);
    for (unsigned i = 0; i < LOOKED_AT && node && is_crowded(q->config.sessions_quota); i++) {
        struct tt_server_session *s = of_remote(TT_CONTAINER_OF(node, struct tt_remote, node));
        node = tt_list_next(&q->remotes.by_use, node);
        if (!is_overdue(s, now_us))
            continue;
        q->stats.expired_crowded++;
        expire(q, s);
    }
    q->thinning = node != NULL;
    if (node)
        q->thinned_to = TT_CONTAINER_OF(node, struct tt_remote, node)->id;
}

/* A closed session of a legacy client stays for the case that our last acks were lost, and one
 * whose client was not heard again stays to tell it of the end. When the choice is between that and
 * a new client, the new one is served: the ID is remembered, so no ghost comes of the old one.
 */
bool tt_queue_packet_conn_make_room(struct tt_queue_packet_conn *q)
{
    struct tt_list_node *node = tt_list_first(&q->idle);
    if (!node)
        return false;
    q->stats.closed_early++;
    finish(q, TT_CONTAINER_OF(node, struct tt_server_session, turn_node));
    return true;
}

/* A place among all sessions and among those that wait. false: there is none, and that was counted.
 */
static bool take_places(struct tt_queue_packet_conn *q)
{
    struct tt_quota *sessions = q->config.sessions_quota;
    if (!tt_quota_take(q->config.waiting_quota, 1)) {
        q->stats.backlog_full++;
        return false;
    }
    if (tt_quota_take(sessions, 1) ||
        (tt_queue_packet_conn_make_room(q) && tt_quota_take(sessions, 1)))
        return true;
    tt_quota_put(q->config.waiting_quota, 1);
    q->stats.sessions_full++;
    return false;
}

/* Memory and the places. NULL: there is none, and that was counted. */
static struct tt_server_session *get_session(struct tt_queue_packet_conn *q)
{
    if (!take_places(q))
        return NULL;
    struct tt_server_session *s = q->config.alloc->get(q->config.alloc->ctx, sizeof *s);
    if (!s) {
        tt_quota_put(q->config.sessions_quota, 1);
        tt_quota_put(q->config.waiting_quota, 1);
        q->stats.no_memory++;
    }
    return s;
}

/* seal: taken over; NULL: a plain session. */
static struct tt_server_session *begin(struct tt_queue_packet_conn *q, uint64_t now_us,
                                       const struct tt_session_id *id, uint32_t conv,
                                       struct tt_seal *seal)
{
    struct tt_server_session *s = get_session(q);
    if (!s) {
        tt_seal_free(seal, q->config.alloc);
        return NULL;
    }
    *s = (struct tt_server_session){
        .state = TT_SERVER_SESSION_WAITING, .begun_us = now_us, .out_us = TT_NEVER};
    q->sessions++;
    if (set_up(q, s, id, conv, seal, now_us)) {
        q->stats.no_memory++;
        free_session(q, s);
        return NULL;
    }
    tt_list_push_back(&q->waiting, &s->state_node);
    q->stats.sessions_begun++;
    return s;
}

void tt_queue_packet_conn_dispose(struct tt_queue_packet_conn *q)
{
    if (!q->config.alloc)
        return;
    struct tt_heap_node *timer;
    while ((timer = tt_heap_peek(&q->timers)) != NULL)
        free_session(q, TT_CONTAINER_OF(timer, struct tt_server_session, timer));
    assert(q->sessions == 0);
    struct tt_remote *r;
    while ((r = tt_remote_map_oldest(&q->remembered)) != NULL)
        stop_remembering(q, r);
    tt_heap_dispose(&q->timers);
    tt_remote_map_dispose(&q->remembered);
    tt_remote_map_dispose(&q->remotes);
    q->config.alloc = NULL;
}

/* --- carriers --- */

static struct tt_server_session *find(const struct tt_queue_packet_conn *q,
                                      const struct tt_session_id *id)
{
    struct tt_remote *r = tt_remote_map_find(&q->remotes, id);
    return r ? of_remote(r) : NULL;
}

/* The oldest of those that came after c, or NULL. A carrier whose first packet was long under way
 * may not push aside the one that the client uses by now.
 */
static struct tt_carrier *newer_than(const struct tt_server_session *s, const struct tt_carrier *c)
{
    TT_LIST_FOR_EACH(node, &s->endpoint.carriers)
    {
        struct tt_carrier *other = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (other->attached > c->attached)
            return other;
    }
    return NULL;
}

static void bind(struct tt_queue_packet_conn *q, uint64_t now_us, struct tt_server_session *s,
                 struct tt_carrier *c)
{
    const struct tt_carrier_limits limits = c->limits;
    struct tt_carrier *newer = newer_than(s, c);

    if (newer && !s->endpoint.native && !s->endpoint.seal)
        tt_endpoint_carrier_open_behind(&s->endpoint, now_us, c, &limits, newer);
    else
        tt_endpoint_carrier_open(&s->endpoint, now_us, c, &limits);
    mark_dirty(q, s);
}

/* A carrier that belongs to no session, but says an ID. */
static struct tt_carrier unbound(const struct tt_session_id *id, uint64_t attached,
                                 const struct tt_carrier_limits *limits, uint64_t opened_us)
{
    return (struct tt_carrier){.id = *id,
                               .attached = attached,
                               .limits = *limits,
                               .opened_us = opened_us,
                               .hello_us = TT_NEVER,
                               .peer_until_us = TT_NEVER};
}

void tt_queue_packet_conn_attach(struct tt_queue_packet_conn *q, uint64_t now_us,
                                 struct tt_carrier *c, const struct tt_session_id *id,
                                 const struct tt_carrier_limits *limits)
{
    struct tt_server_session *s = find(q, id);

    *c = unbound(id, ++q->attached, limits, now_us);
    if (s && !s->endpoint.native && !q->config.gate) /* else its HELLO does it */
        bind(q, now_us, s, c);
}

void tt_queue_packet_conn_detach(struct tt_queue_packet_conn *q, uint64_t now_us,
                                 struct tt_carrier *c)
{
    if (c->endpoint) {
        mark_dirty(q, of_endpoint(c->endpoint));
        tt_endpoint_carrier_close(c->endpoint, now_us, c);
    }
    if (q->config.gate)
        tt_gate_leave(q->config.gate, c);
    c->role = TT_CARRIER_GONE;
}

/* --- packets --- */

static bool is_probe(const struct tt_kcp_header *h)
{
    return (h->cmd == TT_KCP_WASK || h->cmd == TT_KCP_WINS) && h->len == 0;
}

/* The one packet that may begin a session: a PUSH near the start of a conversation, whole. What a
 * client says first on a new carrier may stand before it.
 */
static bool is_first_packet(struct tt_span packet, struct tt_kcp_header *h)
{
    while (packet.len >= TT_KCP_HEADER) {
        *h = tt_kcp_header_read(packet.ptr);
        tt_span_skip(&packet, TT_KCP_HEADER);
        if (!is_probe(h))
            return h->cmd == TT_KCP_PUSH && h->sn < FIRST_SN_LIMIT && h->len <= packet.len;
    }
    return false;
}

/* Its session is over, but it still says the same ID. */
static void unbind(uint64_t now_us, struct tt_carrier *c)
{
    const struct tt_session_id id = c->id;
    const struct tt_carrier_limits limits = c->limits;
    tt_endpoint_carrier_close(c->endpoint, now_us, c);
    *c = unbound(&id, c->attached, &limits, c->opened_us);
}

/* K-39: the client lost its state and begins anew with the same ID. The old session is over; its
 * carriers are the new one's as soon as they bring a packet for it.
 */
static void replace(struct tt_queue_packet_conn *q, uint64_t now_us, struct tt_server_session *old)
{
    struct tt_list_node *node;

    q->stats.sessions_replaced++;
    leave_map(q, old);
    while ((node = tt_list_first(&old->endpoint.carriers)) != NULL)
        unbind(now_us, TT_CONTAINER_OF(node, struct tt_carrier, node));
    old->endpoint.error = TT_E_LOST;
    if (old->state == TT_SERVER_SESSION_ACCEPTED)
        mark_dirty(q, old); /* the application learns of it, and closes it */
    else
        free_session(q, old);
}

static bool is_for(const struct tt_server_session *s, struct tt_span packet)
{
    return packet.len < TT_KCP_HEADER || tt_get_le32(packet.ptr) == s->endpoint.config.conv;
}

/* The session that the packet on c is for, NULL: none, it is dropped. */
static struct tt_server_session *route(struct tt_queue_packet_conn *q, uint64_t now_us,
                                       struct tt_carrier *c, struct tt_span packet)
{
    struct tt_server_session *s = c->endpoint ? of_endpoint(c->endpoint) : find(q, &c->id);
    struct tt_kcp_header h;

    if (!s && is_remembered(q, &c->id)) {
        q->stats.strays++;
        return NULL;
    }
    if (s && is_for(s, packet)) {
        if (!c->endpoint)
            bind(q, now_us, s, c);
        return s;
    }
    const bool is_first = is_first_packet(packet, &h);
    if (s && (s->endpoint.native || !(is_first && h.sn == 0))) {
        q->stats.wrong_conv++;
        return NULL;
    }
    if (!is_first) {
        q->stats.strays++;
        return NULL;
    }
    if (s)
        replace(q, now_us, s);
    s = begin(q, now_us, &c->id, h.conv, NULL);
    if (s)
        bind(q, now_us, s, c);
    return s;
}

/* a session that exists at the client only is lost, and the client is told so. */
static uint16_t answer_to(const struct tt_queue_packet_conn *q, const struct tt_carrier *c,
                          const struct tt_control *hello)
{
    if (find(q, &c->id))
        return 0;
    const bool was_here = is_remembered(q, &c->id) || hello->hello.flags & TT_HELLO_RESUMED;
    return was_here ? TT_HELLO_UNKNOWN : 0;
}

/* On a carrier without a session only HELLO says something, and begins none, and the LIMIT
 * that stands behind it.
 */
static int greet(struct tt_queue_packet_conn *q, uint64_t now_us, struct tt_carrier *c,
                 struct tt_span packet)
{
    struct tt_server_session *s = find(q, &c->id);
    struct tt_control said;
    const int err = tt_control_read(&said, packet);

    q->stats.control_unbound++;
    if (err)
        return err == TT_E_AGAIN ? TT_OK : err;
    if (said.type == TT_CONTROL_LIMIT && c->native)
        tt_native_limit(c, &said);
    if (said.type != TT_CONTROL_HELLO || c->native)
        return TT_OK;
    const uint16_t answer = answer_to(q, c, &said);
    const int refused = tt_native_greet(c, &said, answer, q->config.tuning.mtu);
    if (refused)
        return refused;
    c->unknown = answer & TT_HELLO_UNKNOWN;
    q->stats.unknown += c->unknown;
    if (s && !c->unknown)
        bind(q, now_us, s, c);
    return TT_OK;
}

/* --- packets of sealed sessions --- */

static bool is_used_up(const struct tt_quota *quota)
{
    return tt_quota_taken(quota) >= quota->most;
}

static void hear_init(struct tt_queue_packet_conn *q, uint64_t now_us, struct tt_carrier *c,
                      struct tt_span packet)
{
    thin_out(q, now_us);
    const struct tt_server_session *s = find(q, &c->id);
    const bool is_open = s && !s->endpoint.error; /* else nothing will ever come of it */
    const bool full = is_used_up(q->config.waiting_quota) ||
                      (is_used_up(q->config.sessions_quota) && tt_list_empty(&q->idle));
    tt_gate_hear_init(q->config.gate, now_us, c, packet, is_open ? s->endpoint.seal : NULL, full);
}

/* M-13: the first valid DATA of a half-open session makes it a session. */
static struct tt_server_session *begin_sealed(struct tt_queue_packet_conn *q, uint64_t now_us,
                                              struct tt_carrier *c, struct tt_span packet,
                                              struct tt_span *plain)
{
    struct tt_gate *g = q->config.gate;
    struct tt_half_open *half = tt_gate_find(g, &c->id);
    struct tt_seal *seal;

    if (!half || tt_seal_new_server(&seal, g->config.sealer, &half->secrets,
                                    half->client_known ? half->client_key : NULL, q->config.alloc))
        return NULL;
    if (tt_gate_open_data(g, c, seal, packet, plain)) {
        tt_seal_free(seal, q->config.alloc);
        return NULL;
    }
    tt_gate_forget(g, half);
    struct tt_server_session *s = begin(q, now_us, &c->id, 0, seal);
    if (!s)
        tt_sealed_end(c, q->config.alloc);
    return s;
}

/* The first packet of a carrier that says it belongs to a session: it does when it opens. */
static void hear_data(struct tt_queue_packet_conn *q, uint64_t now_us, struct tt_carrier *c,
                      struct tt_span packet, struct tt_slab *slab)
{
    struct tt_gate *g = q->config.gate;
    struct tt_server_session *s = find(q, &c->id);
    struct tt_span plain;

    if (s && (c->data_tried || tt_gate_open_data(g, c, s->endpoint.seal, packet, &plain)))
        s = NULL;
    else if (!s && !c->data_tried)
        s = begin_sealed(q, now_us, c, packet, &plain);
    c->data_tried = c->limits.ordered; /* a datagram may be another's */
    if (!s) {
        g->stats.data_refused++;
        return;
    }
    tt_gate_leave(g, c);
    bind(q, now_us, s, c);
    (void)tt_endpoint_receive_opened(&s->endpoint, now_us, c, plain, slab);
}

static void incoming_sealed(struct tt_queue_packet_conn *q, uint64_t now_us, struct tt_carrier *c,
                            struct tt_span packet, struct tt_slab *slab)
{
    const uint8_t type = packet.len > 0 ? packet.ptr[0] : 0;
    const bool fits = packet.len <= TT_SEALED_UNPROVEN_MAX; /* M-6 */
    if (c->endpoint) {
        (void)tt_endpoint_receive(c->endpoint, now_us, c, packet, slab);
        mark_dirty(q, of_endpoint(c->endpoint));
    } else if (c->muted) {
        return;
    } else if (fits && type == TT_SEALED_INIT) {
        hear_init(q, now_us, c, packet);
    } else if (fits && type == TT_SEALED_DATA) {
        hear_data(q, now_us, c, packet, slab);
    } else {
        tt_gate_mute(q->config.gate, c);
    }
}

int tt_queue_packet_conn_incoming(struct tt_queue_packet_conn *q, uint64_t now_us,
                                  struct tt_carrier *c, struct tt_span packet, struct tt_slab *slab)
{
    if (c->unknown)
        return TT_OK;
    if (q->config.gate) {
        incoming_sealed(q, now_us, c, packet, slab);
        return TT_OK;
    }
    if (!c->endpoint && tt_is_control(packet.len) && !q->config.tuning.legacy)
        return greet(q, now_us, c, packet);
    struct tt_server_session *s = route(q, now_us, c, packet);
    if (!s) /* promised not to be discarded: the carrier goes with it */
        return c->native && !c->unknown ? TT_E_FULL : TT_OK;
    (void)tt_endpoint_receive(&s->endpoint, now_us, c, packet, slab);
    mark_dirty(q, s);
    return TT_OK;
}

int tt_queue_packet_conn_outgoing(struct tt_queue_packet_conn *q, uint64_t now_us,
                                  struct tt_carrier *c, struct tt_gather *g, uint32_t *len)
{
    *len = 0;
    if (c->endpoint)
        return tt_endpoint_next_packet(c->endpoint, now_us, c, g, len);
    if (q->config.gate)
        return tt_gate_next_reply(q->config.gate, c, g, len);
    return tt_native_next_packet(NULL, c, now_us, g, len);
}

bool tt_queue_packet_conn_wants_send(const struct tt_carrier *c)
{
    if (c->endpoint)
        return tt_endpoint_wants_send(c->endpoint, c);
    return c->reply || tt_native_wants_send(NULL, c);
}

/* --- the application's side --- */

int tt_queue_packet_conn_accept(struct tt_queue_packet_conn *q, struct tt_server_session **s)
{
    struct tt_list_node *node = tt_list_pop_front(&q->waiting);
    if (!node)
        return TT_E_AGAIN;
    *s = TT_CONTAINER_OF(node, struct tt_server_session, state_node);
    (*s)->state = TT_SERVER_SESSION_ACCEPTED;
    tt_quota_put(q->config.waiting_quota, 1);
    mark_dirty(q, *s); /* what it holds already is to be reported */
    return TT_OK;
}

void tt_queue_packet_conn_touched(struct tt_queue_packet_conn *q, uint64_t now_us,
                                  struct tt_server_session *s)
{
    (void)tt_endpoint_touched(&s->endpoint, now_us);
    mark_dirty(q, s);
}

static bool is_told(const struct tt_server_session *s)
{
    return s->state == TT_SERVER_SESSION_CLOSED &&
           (s->endpoint.error == TT_E_CLOSED ||
            (s->endpoint.native && tt_endpoint_is_over(&s->endpoint)));
}

void tt_queue_packet_conn_close(struct tt_queue_packet_conn *q, uint64_t now_us,
                                struct tt_server_session *s)
{
    assert(s->state == TT_SERVER_SESSION_ACCEPTED);
    if (!tt_list_linked(&s->remote.node)) { /* replaced: nobody can reach it any more */
        free_session(q, s);
        return;
    }
    s->state = TT_SERVER_SESSION_CLOSED;
    s->closed_at_us = now_us;
    s->user = NULL;
    tt_endpoint_close(&s->endpoint);
    tt_list_push_back(&q->closed, &s->state_node);
    if (s->endpoint.error == TT_E_CLOSED)
        finish(q, s);
    else
        mark_dirty(q, s);
}

static bool is_welcome(const struct tt_gate_config *gate, const struct tt_seal *seal)
{
    return seal->peer_known && gate->welcome(gate->welcome_ctx, seal->peer_key);
}

/* First it is told: a carrier may be full of data, before which that does not go out. */
static void turn_out(struct tt_queue_packet_conn *q, uint64_t now_us, struct tt_server_session *s)
{
    q->stats.turned_out++;
    s->out_us = tt_deadline_after(now_us, TURN_OUT_US);
    tt_endpoint_abort(&s->endpoint);
    mark_dirty(q, s);
}

static void end_turned_out(struct tt_queue_packet_conn *q, struct tt_server_session *s)
{
    s->out_us = TT_NEVER;
    if (s->endpoint.error)
        return;
    TT_LIST_FOR_EACH(node, &s->endpoint.carriers)
    {
        tt_carriers_doom(&s->endpoint, TT_CONTAINER_OF(node, struct tt_carrier, node));
    }
    s->endpoint.error = TT_E_CLOSED;
    mark_dirty(q, s);
}

void tt_queue_packet_conn_review_clients(struct tt_queue_packet_conn *q, uint64_t now_us)
{
    struct tt_list_node *node = tt_list_first(&q->remotes.by_use);
    if (!q->config.gate || !q->config.gate->config.welcome)
        return;
    while (node) {
        struct tt_server_session *s = of_remote(TT_CONTAINER_OF(node, struct tt_remote, node));
        node = tt_list_next(&q->remotes.by_use, node);
        if (s->out_us == TT_NEVER && !s->endpoint.error &&
            !is_welcome(&q->config.gate->config, s->endpoint.seal))
            turn_out(q, now_us, s);
    }
}

static bool is_idle(const struct tt_server_session *s)
{
    return s->state == TT_SERVER_SESSION_CLOSED && tt_list_empty(&s->endpoint.carriers) &&
           tt_endpoint_settled(&s->endpoint);
}

/* --- time --- */

struct tt_server_session *tt_queue_packet_conn_next_dirty(struct tt_queue_packet_conn *q)
{
    struct tt_list_node *node = tt_list_pop_front(&q->dirty);
    if (!node)
        return NULL;
    struct tt_server_session *s = TT_CONTAINER_OF(node, struct tt_server_session, turn_node);
    s->dirty = false;
    if (tt_list_linked(&s->remote.node) && s->endpoint.heard_us > s->remote.used_us)
        tt_remote_map_use(&q->remotes, &s->remote, s->endpoint.heard_us);
    return s;
}

void tt_queue_packet_conn_flushed(struct tt_queue_packet_conn *q, struct tt_server_session *s)
{
    if (is_told(s)) {
        finish(q, s);
        return;
    }
    if (s->out_us != TT_NEVER && tt_list_empty(&s->endpoint.carriers)) {
        end_turned_out(q, s);
        return;
    }
    if (is_idle(s) && !tt_list_linked(&s->turn_node))
        tt_list_push_back(&q->idle, &s->turn_node);
    const uint64_t deadline_us = tt_min_u64(tt_endpoint_deadline(&s->endpoint), s->out_us);
    if (deadline_us != s->timer.key)
        tt_heap_update(&q->timers, &s->timer, deadline_us);
}

static uint64_t closed_deadline(const struct tt_queue_packet_conn *q)
{
    struct tt_list_node *node = tt_list_first(&q->closed);
    if (!node)
        return TT_NEVER;
    return tt_deadline_after(
        TT_CONTAINER_OF(node, struct tt_server_session, state_node)->closed_at_us,
        q->config.closed_us);
}

uint64_t tt_queue_packet_conn_deadline(const struct tt_queue_packet_conn *q)
{
    const struct tt_heap_node *first = tt_heap_peek(&q->timers);
    const uint64_t timer_us = first ? first->key : TT_NEVER;
    const uint64_t gate_us = q->config.gate ? tt_gate_deadline(q->config.gate) : TT_NEVER;
    return tt_min_u64(
        tt_min_u64(tt_min_u64(timer_us, gate_us), closed_deadline(q)),
        tt_min_u64(tt_remote_map_deadline(&q->remotes), tt_remote_map_deadline(&q->remembered)));
}

void tt_queue_packet_conn_handle_timeout(struct tt_queue_packet_conn *q, uint64_t now_us)
{
    struct tt_heap_node *first;
    while ((first = tt_heap_peek(&q->timers)) != NULL && first->key <= now_us) {
        struct tt_server_session *s = TT_CONTAINER_OF(first, struct tt_server_session, timer);
        (void)tt_endpoint_handle_timeout(&s->endpoint, now_us);
        mark_dirty(q, s);
        if (s->out_us <= now_us) {
            end_turned_out(q, s);
            tt_heap_update(&q->timers, &s->timer, TT_NEVER); /* its carriers are closed first */
        } else {
            tt_queue_packet_conn_flushed(q, s);
        }
    }
    if (q->config.gate)
        tt_gate_handle_timeout(q->config.gate, now_us);
    struct tt_remote *r;
    while ((r = tt_remote_map_expired(&q->remotes, now_us)) != NULL) {
        struct tt_server_session *s = of_remote(r);
        if (s->endpoint.heard_us > r->used_us)
            tt_remote_map_use(&q->remotes, r, s->endpoint.heard_us);
        else
            expire(q, s);
    }
    while ((r = tt_remote_map_expired(&q->remembered, now_us)) != NULL)
        stop_remembering(q, r);
    while (closed_deadline(q) <= now_us)
        free_session(
            q, TT_CONTAINER_OF(tt_list_first(&q->closed), struct tt_server_session, state_node));
}
