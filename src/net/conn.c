#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "carrier/tcp.h"
#include "core/kcp/segment.h"
#include "core/session/endpoint.h"
#include "net/conn.h"

/* A read of less than this is copied when it must be kept: a large slab is not held for little. A
 * connection that brought more is served before the next one is read. Else forty of them would
 * leave ten megabytes for the end of the turn, when most is in the processor's cache no more.
 */
#define WORTH_KEEPING_BYTES 16384u

/* More than anybody sends in a packet before both ends have said what they take: kcp-go cuts at
 * 1500. Half a packet of 65,535 bytes, on each of many connections, would cost a lot of memory.
 */
#define KEPT_OF_PACKET 4096u

#define DRAINED_READS  64           /* of a connection that ends: a megabyte */
#define READS_A_TURN   4            /* of one connection, before the others get theirs */
#define BATCHES_A_TURN 8            /* written by one connection, the same */
#define BATCH_BYTES    (272u << 10) /* all that one stream may have written, with its headers */

/* --- the life of a connection --- */

static void free_conn(uv_handle_t *handle)
{
    struct tt_conn *c = handle->data;
    tt_worker_turn(c->worker); /* the allocator is used under the lock */
    tt_objects_put(c);
}

static void close_poll(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_conn *c = TT_CONTAINER_OF(chore, struct tt_conn, arm);
    (void)now_us;
    uv_close((uv_handle_t *)&c->poll, free_conn);
    close(c->fd); /* not before: epoll must forget it first */
}

/* All but the descriptor. */
static void let_go(struct tt_conn *c)
{
    c->open = false;
    if (c->rest)
        tt_worker_put_gather(c->worker, c->rest);
    c->rest = NULL;
    tt_decap_dispose(&c->decap);
    tt_list_remove(&c->arm.node);
    tt_list_remove(&c->idle_node);
}

void tt_conn_close(struct tt_conn *c)
{
    if (!c->open)
        return;
    let_go(c);
    /* The peer learns of the end now, though the handle is closed by the loop's thread. */
    (void)shutdown(c->fd, SHUT_RDWR);
    c->arm.run = close_poll;
    tt_worker_mark_for_loop(c->worker, &c->arm);
}

int tt_conn_release(struct tt_conn *c)
{
    assert(c->open);
    let_go(c);
    uv_close((uv_handle_t *)&c->poll, free_conn); /* epoll forgets the descriptor at once */
    return c->fd;
}

const char *tt_conn_reason(const struct tt_conn *c, int why)
{
    if (why == TT_E_SYSTEM)
        return strerror(c->os_error);
    return why == TT_OK || why == TT_E_TRUNCATED ? "closed by the other end" : tt_strerror(why);
}

static int os_failure(struct tt_conn *c, int negative_errno)
{
    c->os_error = -negative_errno;
    return TT_E_SYSTEM;
}

static void end(struct tt_conn *c, uint64_t now_us, int why)
{
    c->owner->ended(c, now_us, why);
}

static void poll_ready(uv_poll_t *handle, int status, int events);

static void poll_for(struct tt_conn *c, int events)
{
    if (c->events == events)
        return;
    c->events = events;
    (void)uv_poll_start(&c->poll, events, poll_ready);
}

/* A peer that takes nothing more may have said why: its CLOSE is read before its connection ends.
 */
static void end_broken(struct tt_conn *c, uint64_t now_us)
{
    const int why = c->broken;
    if (why == TT_E_SYSTEM)
        tt_conn_read(c, now_us);
    if (c->open)
        end(c, now_us, why);
}

/* What the socket should wake us for; by the loop's thread, since a thread of the program cannot.
 */
static void rearm(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_conn *c = TT_CONTAINER_OF(chore, struct tt_conn, arm);
    if (c->broken)
        end_broken(c, now_us);
    else
        poll_for(c, UV_READABLE | (c->rest || c->more ? UV_WRITABLE : 0));
}

int tt_conn_new(struct tt_loop *w, int fd, const struct tt_session_id *id,
                const struct tt_conn_owner *owner, void *user, struct tt_conn **conn)
{
    struct tt_conn *c = tt_objects_get(&w->conns);
    if (!c) {
        close(fd);
        return TT_E_NOMEM;
    }
    *c = (struct tt_conn){.worker = w,
                          .owner = owner,
                          .user = user,
                          .fd = fd,
                          .open = true,
                          .begun_us = tt_worker_now_us()};
    c->arm.run = rearm;
    (void)tt_decap_init(&c->decap, TT_ENCAP_MAX_PACKET, w->alloc);
    tt_decap_cut(&c->decap, KEPT_OF_PACKET);
    if (uv_poll_init(&w->uv, &c->poll, fd)) {
        close(fd);
        tt_objects_put(c);
        return TT_E_SYSTEM;
    }
    c->poll.data = c;
    poll_for(c, UV_READABLE);
    if (id) {
        c->rest = tt_worker_get_gather(w);
        if (!c->rest) {
            tt_conn_close(c);
            return TT_E_NOMEM;
        }
        memcpy(tt_gather_header(c->rest, TT_SESSION_ID_LEN), id->bytes, TT_SESSION_ID_LEN);
    } else {
        c->id_wanted = true;
    }
    *conn = c;
    return TT_OK;
}

/* --- reading --- */

static bool lies_in(const struct tt_slab *slab, struct tt_span span)
{
    return slab && span.ptr >= slab->data && span.ptr < slab->data + slab->capacity;
}

/* The begin of a packet at the end of what was read: the next read goes behind it. */
struct left_over {
    struct tt_slab *slab; /* owned: a reference */
    struct tt_span bytes;
};

static void drop_left_over(struct left_over *left)
{
    tt_slab_unref(left->slab);
    *left = (struct left_over){NULL, {NULL, 0}};
}

/* Nothing of it is kept. */
static void throw_away(struct tt_conn *c, struct tt_span *in)
{
    tt_decap_dispose(&c->decap);
    tt_span_skip(in, in->len);
}

void tt_conn_drain(struct tt_conn *c)
{
    size_t len = 1;
    for (int i = 0; i < DRAINED_READS && len > 0; i++) {
        if (tt_tcp_read(c->fd, c->worker->spare_read, sizeof c->worker->spare_read, &len))
            return;
    }
}

/* room: how much can be read at once, when there is more to read; 0: nothing of *in may be left.
 * Returns 0, or why the connection must end.
 */
static int take_packets(struct tt_conn *c, struct tt_span *in, size_t room, struct tt_slab *slab,
                        uint64_t now_us)
{
    struct tt_span packet;
    int err = TT_OK;

    if (c->carrier.muted)
        throw_away(c, in);
    while (c->open && (err = tt_decap_next_whole(&c->decap, in, room, &packet)) == TT_OK) {
        c->owner->packet(c, now_us, packet, lies_in(slab, packet) ? slab : NULL);
        if (c->carrier.native && c->carrier.endpoint)
            tt_decap_cut(&c->decap,
                         c->carrier.limits.max_packet); /* as we told the peer in our HELLO */
    }
    return err == TT_E_AGAIN ? TT_OK : err;
}

/* The slab to read into: the one of last time, unless somebody kept bytes of it. */
static struct tt_slab *read_slab(struct tt_loop *w)
{
    if (w->slabs.reading && w->slabs.reading->refs > 1) {
        tt_slab_unref(w->slabs.reading);
        w->slabs.reading = NULL;
    }
    if (!w->slabs.reading)
        w->slabs.reading = tt_slab_get(&w->slabs, TT_SLAB_LARGE);
    if (w->slabs.reading && w->slabs.reading->account) {
        /* Charged for bytes that were taken meanwhile: a fresh one, so that accounts stay right. */
        tt_slab_unref(w->slabs.reading);
        w->slabs.reading = tt_slab_get(&w->slabs, TT_SLAB_LARGE);
    }
    return w->slabs.reading;
}

/* What was left over lies in front of what will be read. Returns its length. */
static size_t put_in_front(struct left_over *left, uint8_t *buf)
{
    const size_t len = left->bytes.len;
    if (len > 0)
        memcpy(buf, left->bytes.ptr, len);
    drop_left_over(left);
    return len;
}

/* How the stream goes on behind `len` bytes read where `cap` would have fitted. */
static int after_read(struct tt_conn *c, int err, size_t len, size_t cap)
{
    if (err == -EAGAIN)
        return TT_E_AGAIN;
    if (err)
        return os_failure(c, err);
    if (len == 0)
        return c->id_wanted || tt_decap_end(&c->decap) ? TT_E_TRUNCATED : TT_E_END;
    return len < cap ? TT_E_AGAIN : TT_OK;
}

/* One read, behind what is left over of the one before. is_last: nothing may be left over. Adds to
 * *total what came.
 * 0: there may be more; TT_E_AGAIN: not now; else why the connection ended.
 */
static int read_once(struct tt_conn *c, uint64_t now_us, struct left_over *left, bool is_last,
                     size_t *total)
{
    struct tt_slab *slab = read_slab(c->worker);
    uint8_t *const buf = slab ? slab->data : c->worker->spare_read;
    const size_t cap = slab ? slab->capacity : sizeof c->worker->spare_read;
    if (!slab && left->bytes.len > 0) { /* what is left over may be longer than there is room */
        const int early = take_packets(c, &left->bytes, 0, left->slab, now_us);
        if (early || !c->open)
            return early;
    }
    const size_t front = put_in_front(left, buf);
    size_t len;
    const int os_err = tt_tcp_read(c->fd, buf + front, cap - front, &len);
    const bool goes_on = !os_err && len == cap - front && !is_last && slab;
    struct tt_span in = tt_span_of(buf, front + len);
    if (slab)
        slab->transient = in.len < WORTH_KEEPING_BYTES;
    if (len > 0)
        c->heard_us = now_us;
    *total += len;
    const int err = take_packets(c, &in, goes_on ? cap : 0, slab, now_us);
    if (err)
        return err;
    if (c->open && slab && in.len > 0)
        *left = (struct left_over){tt_slab_ref(slab), in};
    return after_read(c, os_err, len, cap - front);
}

/* Some of the session ID, and nothing behind it: that may be for another worker. As read_once. */
static int read_id(struct tt_conn *c, uint64_t now_us)
{
    const size_t wanted = TT_SESSION_ID_LEN - c->id_have;
    size_t len;
    const int os_err = tt_tcp_read(c->fd, c->id.bytes + c->id_have, wanted, &len);
    c->id_have = (uint8_t)(c->id_have + len);
    if (len == wanted) {
        c->id_wanted = false;
        c->heard_us = now_us;
        c->owner->identified(c, now_us, &c->id);
        return TT_OK;
    }
    return after_read(c, os_err, len, wanted);
}

void tt_conn_read(struct tt_conn *c, uint64_t now_us)
{
    struct left_over left = {NULL, {NULL, 0}};
    size_t total = 0;
    int err = TT_OK;
    for (int i = 1; i <= READS_A_TURN && c->open && !err; i++)
        err = c->id_wanted ? read_id(c, now_us)
                           : read_once(c, now_us, &left, i == READS_A_TURN, &total);
    drop_left_over(&left);
    if (!c->open)
        return;
    c->owner->input_done(c, now_us, total >= WORTH_KEEPING_BYTES);
    if (c->open && err && err != TT_E_AGAIN)
        end(c, now_us, err == TT_E_END ? TT_OK : err);
}

/* --- writing --- */

static int write_batch(struct tt_conn *c, struct tt_gather *g, bool *full)
{
    int err = tt_tcp_write(c->fd, g, full);
    if (err || g->bytes == 0) {
        tt_worker_put_gather(c->worker, g);
        return err ? os_failure(c, err) : TT_OK;
    }
    tt_gather_keep(g);
    c->rest = g;
    return TT_OK;
}

/* Adds one packet with its length in front. false: there is none, or no room. */
static bool add_packet(struct tt_conn *c, struct tt_gather *g, uint64_t now_us)
{
    uint32_t len;
    if (!c->owner->wants_send(c) || !tt_gather_has_room(g, TT_ENCAP_HEADER + TT_KCP_HEADER))
        return false;
    const struct tt_gather_mark mark = tt_gather_mark(g);
    uint8_t *prefix = tt_gather_header(g, TT_ENCAP_HEADER);
    if (c->owner->next_packet(c, now_us, g, &len)) {
        tt_gather_rewind(g, &mark);
        return false;
    }
    tt_encap_header(prefix, (uint16_t)len);
    return true;
}

static int flush_batch(struct tt_conn *c, uint64_t now_us, bool *done)
{
    struct tt_gather *g = tt_worker_get_gather(c->worker);
    bool full = false;
    if (!g)
        return TT_E_NOMEM;
    while (g->bytes < BATCH_BYTES && add_packet(c, g, now_us))
        continue;
    if (g->bytes == 0) {
        tt_worker_put_gather(c->worker, g);
        *done = true;
        return TT_OK;
    }
    int err = write_batch(c, g, &full);
    *done = full || c->rest;
    return err;
}

static int flush_rest(struct tt_conn *c, bool *full)
{
    struct tt_gather *g = c->rest;
    c->rest = NULL;
    return write_batch(c, g, full);
}

void tt_conn_flush(struct tt_conn *c, uint64_t now_us)
{
    bool done = false;
    int err = TT_OK;

    if (!c->open || c->broken || c->events & UV_WRITABLE)
        return; /* or the socket will say when it takes more */
    if (c->rest)
        err = flush_rest(c, &done);
    for (int i = 0; i < BATCHES_A_TURN && !err && !done && !c->rest; i++)
        err = flush_batch(c, now_us, &done);
    c->broken = err;
    c->more = !err && !done && !c->rest;
    if (c->carrier.endpoint)
        tt_endpoint_carrier_blocked(c->carrier.endpoint, now_us, &c->carrier, c->rest != NULL);
    if (err || c->rest || c->more)
        tt_worker_mark_for_loop(c->worker, &c->arm);
}

static void poll_ready(uv_poll_t *handle, int status, int events)
{
    struct tt_conn *c = handle->data;
    tt_worker_turn(c->worker);
    const uint64_t now_us = tt_worker_now_us();
    if (status < 0) {
        /* libuv has stopped polling. What came before the error is still there to be read, perhaps
         * more than one turn's worth; then the read says what it was.
         */
        events |= UV_READABLE;
        c->events = 0;
        tt_worker_mark_for_loop(c->worker, &c->arm);
    }
    if (c->open && events & UV_WRITABLE) {
        poll_for(c, UV_READABLE);
        tt_conn_flush(c, now_us);
    }
    if (c->open && events & UV_READABLE)
        tt_conn_read(c, now_us);
}
