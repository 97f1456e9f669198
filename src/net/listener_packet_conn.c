#include <string.h>
#include <unistd.h>

#include "carrier/tcp.h"
#include "net/listener_packet_conn.h"
#include "net/sealing.h"
#include "net/session.h"

#define CLOSED_SESSION_US (60 * TT_SECOND)  /* */
#define MOST_REMEMBERED   65536u            /* 5 MB; above 1,100 sessions a second for less time */
#define NATIVE_IDLE_US    (100 * TT_SECOND) /* four times what a client lets pass */

static struct tt_listener_packet_conn *of_conn(const struct tt_conn *c)
{
    return c->user;
}

/* --- what a connection brings and takes --- */

/* Nobody has told yet which session it is of; on a sealed listener, shown that he may be here. */
static bool is_unproven(const struct tt_conn *c)
{
    return c->id_wanted || (of_conn(c)->sealed && c->carrier.role == TT_CARRIER_UNBOUND);
}

static void heard(struct tt_conn *c)
{
    struct tt_listener_packet_conn *l = of_conn(c);
    if (is_unproven(c))
        return;
    tt_heap_remove(&l->unproven, &c->unproven);
    tt_list_remove(&c->idle_node);
    tt_list_push_back(c->carrier.native ? &l->idle_native : &l->idle, &c->idle_node);
}

/* The connection is of a session that lives here. */
static void receive(struct tt_conn *c, uint64_t now_us, const struct tt_session_id *id)
{
    const struct tt_carrier_limits limits = {
        .ordered = true, .max_packet = of_conn(c)->options->max_packet, .framing = TT_ENCAP_HEADER};
    tt_queue_packet_conn_attach(&of_conn(c)->queue, now_us, &c->carrier, id, &limits);
    c->carrier.origin = c->origin;
    heard(c);
}

static void conn_packet(struct tt_conn *c, uint64_t now_us, struct tt_span packet,
                        struct tt_slab *slab)
{
    const int err =
        tt_queue_packet_conn_incoming(&of_conn(c)->queue, now_us, &c->carrier, packet, slab);
    if (err && !c->broken) {
        c->broken = err; /* it ends at the end of the turn */
        tt_worker_mark_for_loop(c->worker, &c->arm);
    }
}

static void conn_input_done(struct tt_conn *c, uint64_t now_us, bool much)
{
    struct tt_listener_packet_conn *l = of_conn(c);
    heard(c);
    if (!c->carrier.endpoint && tt_queue_packet_conn_wants_send(&c->carrier))
        tt_conn_flush(c, now_us); /* its HELLO is answered, though it has no session yet */
    l->changed(l);
    if (much)
        l->serve(l, now_us);
}

static int conn_next_packet(struct tt_conn *c, uint64_t now_us, struct tt_gather *g, uint32_t *len)
{
    return tt_queue_packet_conn_outgoing(&of_conn(c)->queue, now_us, &c->carrier, g, len);
}

static bool conn_wants_send(const struct tt_conn *c)
{
    return tt_queue_packet_conn_wants_send(&c->carrier);
}

/* --- the end of a connection --- */

static void give_place_back(struct tt_listener_packet_conn *l, uint64_t origin)
{
    tt_quota_put(l->connections, 1);
    tt_origins_leave(l->origins, origin);
}

static void end_conn(struct tt_conn *c, uint64_t now_us)
{
    struct tt_listener_packet_conn *l = of_conn(c);
    if (!c->id_wanted)
        tt_queue_packet_conn_detach(&l->queue, now_us, &c->carrier);
    tt_heap_remove(&l->unproven, &c->unproven);
    give_place_back(l, c->origin);
    tt_conn_close(c);
    l->changed(l);
}

void tt_listener_packet_conn_close_doomed(struct tt_listener_packet_conn *l,
                                          const struct tt_endpoint *e, uint64_t now_us)
{
    struct tt_carrier *carrier;
    (void)l;
    while ((carrier = tt_endpoint_next_doomed(e)) != NULL)
        end_conn(TT_CONTAINER_OF(carrier, struct tt_conn, carrier), now_us);
}

static void conn_ended(struct tt_conn *c, uint64_t now_us, int why)
{
    struct tt_listener_packet_conn *l = of_conn(c);
    char id[TT_SESSION_ID_TEXT] = "";
    if (!c->id_wanted)
        tt_session_id_format(id, &c->id);
    l->report(l, TT_REPORT_CARRIER_ENDED, id, tt_conn_reason(c, why));
    end_conn(c, now_us);
}

/* --- from one worker to another --- */

/* Who has come in, and has a place among the connections. */
struct guest {
    int fd;
    uint64_t begun_us;
    uint64_t origin;
    struct tt_session_id id; /* or as much of it as he has told */
};

struct handover {
    struct tt_chore chore; /* posted to the other */
    struct tt_listener_packet_conn *to;
    struct guest guest;
};

static void settle(struct tt_listener_packet_conn *l, uint64_t now_us, const struct guest *guest);

static void arrive(struct tt_chore *chore, uint64_t now_us)
{
    struct handover *h = TT_CONTAINER_OF(chore, struct handover, chore);
    struct tt_listener_packet_conn *l = h->to;
    settle(l, now_us, &h->guest);
    l->worker->alloc->put(l->worker->alloc->ctx, h);
}

static void hand_over(struct tt_listener_packet_conn *l, struct tt_listener_packet_conn *to,
                      const struct guest *guest)
{
    struct handover *h = l->worker->alloc->get(l->worker->alloc->ctx, sizeof *h);
    if (!h) {
        l->stats.accept_failures++;
        give_place_back(l, guest->origin);
        close(guest->fd);
        return;
    }
    *h = (struct handover){.chore = {.run = arrive}, .to = to, .guest = *guest};
    tt_worker_post(to->worker, &h->chore);
}

/* It took a while to tell its ID. */
static void conn_identified(struct tt_conn *c, uint64_t now_us, const struct tt_session_id *id)
{
    struct tt_listener_packet_conn *l = of_conn(c);
    struct tt_listener_packet_conn *home = l->home(l, id);
    if (home == l) {
        receive(c, now_us, id);
    } else {
        struct guest guest = {.begun_us = c->begun_us, .origin = c->origin, .id = *id};
        tt_heap_remove(&l->unproven, &c->unproven);
        guest.fd = tt_conn_release(c);
        hand_over(l, home, &guest);
    }
    l->changed(l);
}

/* --- the begin of a connection --- */

static const struct tt_conn_owner conn_owner = {
    .identified = conn_identified,
    .packet = conn_packet,
    .input_done = conn_input_done,
    .next_packet = conn_next_packet,
    .wants_send = conn_wants_send,
    .ended = conn_ended,
};

/* Of a descriptor that has its place in the quota, and loses it when this fails: NULL. */
static struct tt_conn *new_conn(struct tt_listener_packet_conn *l, const struct guest *guest)
{
    struct tt_conn *c = NULL;
    l->changed(l);
    int err = tt_conn_new(l->worker, guest->fd, NULL, &conn_owner, l, &c);
    if (!err && l->sealed)
        err = tt_heap_insert(&l->unproven, &c->unproven, guest->begun_us);
    if (err) {
        l->stats.accept_failures++;
        give_place_back(l, guest->origin);
        if (c)
            tt_conn_close(c);
        return NULL;
    }
    c->begun_us = guest->begun_us;
    c->origin = guest->origin;
    c->id = guest->id;
    return c;
}

/* A connection of a session that lives here; what it has sent behind its ID is read at once. */
static void settle(struct tt_listener_packet_conn *l, uint64_t now_us, const struct guest *guest)
{
    struct tt_conn *c = new_conn(l, guest);
    if (!c)
        return;
    c->heard_us = now_us;
    c->id_wanted = false;
    receive(c, now_us, &guest->id);
    tt_conn_read(c, now_us);
}

static void wait_for_id(struct tt_listener_packet_conn *l, const struct guest *guest, size_t have)
{
    struct tt_conn *c = new_conn(l, guest);
    if (!c)
        return;
    c->id_have = (uint8_t)have;
    if (!l->sealed)
        tt_list_push_back(&l->unidentified, &c->idle_node);
}

/* 0: nobody's in particular. */
static uint64_t origin_of(const struct tt_listener_packet_conn *l, int fd)
{
    const bool matters = l->sealed || l->options->max_connections_per_address > 0;
    return matters && !l->options->one_origin ? tt_sealing_origin(l->worker, fd) : 0;
}

static void refuse(struct tt_listener_packet_conn *l, int fd, uint64_t *counter, const char *limit)
{
    ++*counter;
    l->report(l, TT_REPORT_REFUSED, "", limit);
    close(fd);
}

/* Among all connections, and among those of its address. false: there is none, and it was ended. */
static bool take_place(struct tt_listener_packet_conn *l, const struct guest *guest)
{
    if (!tt_quota_take(l->connections, 1)) {
        refuse(l, guest->fd, &l->stats.connections_refused, "max_connections");
        return false;
    }
    const int err = tt_origins_enter(l->origins, guest->origin);
    if (!err)
        return true;
    tt_quota_put(l->connections, 1);
    if (err == TT_E_FULL)
        refuse(l, guest->fd, &l->stats.connections_crowded, "max_connections_per_address");
    else
        refuse(l, guest->fd, &l->stats.accept_failures, "memory");
    return false;
}

/* Nearly always the ID is there already: a client has sent it before we came to accept. So nothing
 * is made of the connection where it does not stay: libuv needs five system calls to begin and end
 * to watch a descriptor.
 */
void tt_listener_packet_conn_greet(struct tt_listener_packet_conn *l, int fd)
{
    struct guest guest = {
        .fd = fd, .begun_us = tt_worker_now_us(), .origin = origin_of(l, fd), .id = {{0}}};
    size_t have;
    if (!take_place(l, &guest))
        return;
    l->stats.connections++;
    (void)tt_tcp_read(fd, guest.id.bytes, sizeof guest.id.bytes, &have); /* an error comes again */
    if (have < sizeof guest.id.bytes) {
        wait_for_id(l, &guest, have);
        return;
    }
    struct tt_listener_packet_conn *home = l->home(l, &guest.id);
    if (home == l)
        settle(l, guest.begun_us, &guest);
    else
        hand_over(l, home, &guest);
}

uint64_t tt_listener_packet_conn_unproven(const struct tt_listener_packet_conn *l)
{
    uint64_t n = l->unproven.count;
    TT_LIST_FOR_EACH(node, &l->unidentified)
    {
        n++;
    }
    return n;
}

/* --- time --- */

static struct tt_conn *first_conn(const struct tt_list *list)
{
    struct tt_list_node *node = tt_list_first(list);
    return node ? TT_CONTAINER_OF(node, struct tt_conn, idle_node) : NULL;
}

static uint64_t expiry(const struct tt_list *list, uint64_t after_us)
{
    const struct tt_conn *c = first_conn(list);
    return c ? tt_deadline_after(c->heard_us, after_us) : TT_NEVER;
}

/* Of a plain listener's connections that have not told their ID; of a sealed one's that have not
 * proven anything. NULL: there is none.
 */
static struct tt_conn *oldest_stranger(const struct tt_listener_packet_conn *l)
{
    if (!l->sealed)
        return first_conn(&l->unidentified);
    struct tt_heap_node *node = tt_heap_peek(&l->unproven);
    return node ? TT_CONTAINER_OF(node, struct tt_conn, unproven) : NULL;
}

/* Counted from accept, whatever came. */
static uint64_t handshake_expiry(const struct tt_listener_packet_conn *l)
{
    const struct tt_conn *c = oldest_stranger(l);
    if (!c)
        return TT_NEVER;
    return tt_deadline_after(c->begun_us,
                             l->sealed ? l->mute_us : l->options->handshake_timeout_us);
}

uint64_t tt_listener_packet_conn_deadline(const struct tt_listener_packet_conn *l)
{
    const uint64_t queue_us = tt_queue_packet_conn_deadline(&l->queue);
    const uint64_t handshake_us = handshake_expiry(l);
    const uint64_t idle_us = tt_min_u64(expiry(&l->idle, l->options->session_timeout_us),
                                        expiry(&l->idle_native, NATIVE_IDLE_US));
    return tt_min_u64(tt_min_u64(queue_us, handshake_us), idle_us);
}

void tt_listener_packet_conn_handle_timeout(struct tt_listener_packet_conn *l, uint64_t now_us)
{
    tt_queue_packet_conn_handle_timeout(&l->queue, now_us);
    for (; handshake_expiry(l) <= now_us; l->stats.handshakes_expired++) {
        struct tt_conn *c = oldest_stranger(l);
        tt_conn_drain(c);
        end_conn(c, now_us);
    }
    for (; expiry(&l->idle, l->options->session_timeout_us) <= now_us; l->stats.idle_ended++)
        end_conn(first_conn(&l->idle), now_us);
    for (; expiry(&l->idle_native, NATIVE_IDLE_US) <= now_us; l->stats.idle_ended++)
        end_conn(first_conn(&l->idle_native), now_us);
}

/* --- the whole --- */

static int init_gate(struct tt_listener_packet_conn *l)
{
    return l->keys ? tt_sealing_gate(l->worker, l->options, l->keys, l->half_open, &l->gate)
                   : TT_OK;
}

int tt_listener_packet_conn_init(struct tt_listener_packet_conn *l)
{
    struct tt_queue_packet_conn_config c = {.sessions_quota = l->sessions,
                                            .waiting_quota = l->waiting,
                                            .closed_us = CLOSED_SESSION_US,
                                            .max_remembered = MOST_REMEMBERED,
                                            .slabs = &l->worker->slabs,
                                            .alloc = l->worker->alloc,
                                            .gate = l->keys ? &l->gate : NULL};
    int err = init_gate(l);
    if (err)
        return err;
    tt_heap_init(&l->unproven, l->worker->alloc);
    tt_list_init(&l->unidentified);
    tt_list_init(&l->idle);
    tt_list_init(&l->idle_native);
    tt_endpoint_tuning_default(&c.tuning);
    c.tuning.session_timeout_us = l->options->session_timeout_us;
    tt_session_tune(&c.tuning, l->options);
    memcpy(c.hash_key, l->worker->hash_key, sizeof c.hash_key);
    err = tt_queue_packet_conn_init(&l->queue, &c);
    if (err)
        tt_gate_dispose(&l->gate);
    return err;
}

static void end_all(struct tt_list *conns, uint64_t now_us)
{
    struct tt_conn *c;
    while ((c = first_conn(conns)) != NULL)
        end_conn(c, now_us);
}

void tt_listener_packet_conn_end_strangers(struct tt_listener_packet_conn *l, uint64_t now_us)
{
    struct tt_conn *c;
    while ((c = oldest_stranger(l)) != NULL)
        end_conn(c, now_us);
}

void tt_listener_packet_conn_dispose(struct tt_listener_packet_conn *l, uint64_t now_us)
{
    tt_listener_packet_conn_end_strangers(l, now_us);
    end_all(&l->idle, now_us);
    end_all(&l->idle_native, now_us);
    tt_queue_packet_conn_dispose(&l->queue);
    tt_gate_dispose(&l->gate);
    tt_heap_dispose(&l->unproven);
}
