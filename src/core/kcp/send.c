#include <assert.h>
#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/kcp/send.h"

/* On an ordered carrier only the peer can lose a segment (a full queue inside kcp-go); the acks of
 * what came behind it tell that at once. The timer is for the tail alone, and must not fire because
 * the carrier itself is slow, or the peer's acks wait for its tick of up to 100 ms (K-44).
 */
#define ORDERED_MIN_RTO_US (200 * TT_MS)

#define UNLIMITED UINT32_MAX

/* --- queues of segments --- */

static void queue_append(struct tt_kcp_send *s, struct tt_kcp_queue *q, struct tt_kcp_out *out,
                         uint32_t sn)
{
    out->prev = q->tail;
    if (q->count == 0)
        q->head = sn;
    else
        tt_kcp_send_at(s, q->tail)->next = sn;
    q->tail = sn;
    q->count++;
}

static void queue_remove(struct tt_kcp_send *s, struct tt_kcp_queue *q,
                         const struct tt_kcp_out *out, uint32_t sn)
{
    if (q->head == sn)
        q->head = out->next;
    else
        tt_kcp_send_at(s, out->prev)->next = out->next;
    if (q->tail == sn)
        q->tail = out->prev;
    else
        tt_kcp_send_at(s, out->next)->prev = out->prev;
    q->count--;
}

/* --- queueing --- */

void tt_kcp_send_dispose(struct tt_kcp_send *s)
{
    for (uint32_t sn = s->una; sn != s->end; sn++)
        tt_slab_unref(tt_kcp_send_at(s, sn)->slab);
    s->una = s->nxt = s->end;
    if (s->alloc)
        tt_ring_dispose(&s->ring, s->alloc);
}

void tt_kcp_send_shrink(struct tt_kcp_send *s)
{
    if (s->una == s->end)
        tt_ring_dispose(&s->ring, s->alloc);
}

/* The smallest class of slab that holds a whole segment; TT_SLAB_CLASSES: none does. */
static enum tt_slab_class join_class(const struct tt_kcp_send *s)
{
    unsigned c = TT_SLAB_SMALL;
    while (c < TT_SLAB_CLASSES && tt_slab_capacity(c) < s->mss)
        c++;
    return c;
}

/* Moves the last queued segment into a slab of its own, with room behind it. */
static bool give_last_room(struct tt_kcp_send *s, struct tt_kcp_out *last)
{
    const enum tt_slab_class class = join_class(s);
    struct tt_slab *slab = class == TT_SLAB_CLASSES ? NULL : tt_slab_get(s->slabs, class);
    if (!slab)
        return false;
    memcpy(slab->data, last->data, last->len);
    slab->used = last->len;
    tt_slab_unref(last->slab);
    last->slab = slab;
    last->data = slab->data;
    return true;
}

/* Whether the segment is the last thing in a slab that only it uses. */
static bool can_append(const struct tt_kcp_out *last, uint32_t len)
{
    const struct tt_slab *slab = last->slab;
    return slab->refs == 1 && last->data + last->len == slab->data + slab->used &&
           tt_slab_room(slab) >= len;
}

/* Joins small pieces into the last segment without a number (K-5). Copying them costs less than a
 * header of 24 bytes and a slot in the peer's window. Only what fits whole: a large write keeps its
 * own boundaries, so that its segments stay where they lie.
 */
static bool join_to_last(struct tt_kcp_send *s, const uint8_t *data, uint32_t len,
                         const struct tt_slab *slab)
{
    if (!s->stream || s->end == s->nxt)
        return false;
    struct tt_kcp_out *last = tt_kcp_send_at(s, s->end - 1);
    if (last->len + len > s->mss)
        return false;
    if (last->slab == slab && last->data + last->len == data) {
        last->len = (uint16_t)(last->len + len);
        return true;
    }
    if (!can_append(last, len) && !give_last_room(s, last))
        return false;
    memcpy(last->slab->data + last->slab->used, data, len);
    last->slab->used += len;
    last->len = (uint16_t)(last->len + len);
    return true;
}

int tt_kcp_send_push(struct tt_kcp_send *s, const uint8_t *data, uint32_t len, struct tt_slab *slab)
{
    const uint32_t pieces = (len + s->mss - 1) / s->mss;
    int err = TT_OK;

    if (len > 0 && join_to_last(s, data, len, slab)) {
        s->queued_bytes += len;
        goto out;
    }
    err = tt_ring_reserve(&s->ring, s->alloc, sizeof(struct tt_kcp_out), s->una, s->end - s->una,
                          s->end - s->una + pieces);
    if (err)
        goto out;
    s->queued_bytes += len;
    for (uint32_t left = pieces; left > 0; left--) {
        const uint32_t n = len < s->mss ? len : s->mss;
        *tt_kcp_send_at(s, s->end++) = (struct tt_kcp_out){
            .data = data,
            .len = (uint16_t)n,
            .slab = tt_slab_ref(slab),
            .frg = s->stream ? 0 : (uint8_t)(left - 1),
            .state = TT_KCP_QUEUED,
        };
        data += n;
        len -= n;
    }
out:
    tt_slab_unref(slab);
    return err;
}

/* --- sending --- */

/* Segments that may be in flight, by every window (K-25). */
static uint32_t effective_window(const struct tt_kcp_send *s)
{
    uint32_t window = s->edge - s->una;
    if (s->window < window)
        window = s->window;
    if (s->cwnd.enabled && s->cwnd.segments < window)
        window = s->cwnd.segments;
    return window;
}

uint32_t tt_kcp_send_room(const struct tt_kcp_send *s)
{
    const uint32_t in_flight = s->nxt - s->una;
    const uint32_t window = effective_window(s);
    return in_flight < window ? window - in_flight : 0;
}

static bool path_is_full(const struct tt_kcp_path *path)
{
    return path->flying.count >= path->allowance || path->flying_bytes >= path->max_flying_bytes;
}

bool tt_kcp_send_ready(const struct tt_kcp_send *s, const struct tt_kcp_path *path)
{
    if (path_is_full(path))
        return false;
    return s->lost.count > 0 || (s->nxt != s->end && tt_kcp_send_room(s) > 0);
}

struct tt_kcp_out *tt_kcp_send_peek(struct tt_kcp_send *s, const struct tt_kcp_path *path,
                                    uint32_t *sn)
{
    if (!tt_kcp_send_ready(s, path))
        return NULL;
    *sn = s->lost.count > 0 ? s->lost.head : s->nxt;
    return tt_kcp_send_at(s, *sn);
}

void tt_kcp_send_sent(struct tt_kcp_send *s, struct tt_kcp_path *path, struct tt_kcp_out *out,
                      uint32_t sn, uint64_t now_us)
{
    if (out->state == TT_KCP_LOST)
        queue_remove(s, &s->lost, out, sn);
    else
        s->nxt++;
    out->state = TT_KCP_FLYING;
    out->path = path;
    out->sent_us = now_us;
    out->same_ts = out->sent_before && out->ts == (uint32_t)(now_us / TT_MS);
    out->ts = (uint32_t)(now_us / TT_MS);
    out->tx = path->next_tx++;
    out->sent_again = out->sent_before;
    out->sent_before = true;
    if (path->flying.count == 0)
        path->progress_us = now_us; /* the timer runs only while something is outstanding */
    queue_append(s, &path->flying, out, sn);
    path->flying_bytes += out->len;
    s->transmissions++;
}

/* --- acknowledgements --- */

/* Something sent on the path has arrived: all that R-17 and the timer want to know. Only if it was
 * surely the last copy does it say that what left before it is late: an earlier copy, or one that
 * took another path, would make losses of all that is in flight (K-31).
 */
static void note_arrival(struct tt_kcp_path *path, const struct tt_kcp_out *out, bool last_copy,
                         uint64_t now_us)
{
    if (last_copy && (!path->any_acked || tt_seq_before(path->acked_tx, out->tx))) {
        path->acked_tx = out->tx;
        path->any_acked = true;
    }
    path->progress_us = now_us;
    path->backoff = 0;
    path->arrivals++;
    path->arrived_bytes += out->len;
    if (path->allowance != UNLIMITED)
        path->allowance = path->allowance < UINT16_MAX ? path->allowance + 2 : UNLIMITED;
}

static void take_off_path(struct tt_kcp_send *s, struct tt_kcp_out *out, uint32_t sn)
{
    queue_remove(s, &out->path->flying, out, sn);
    out->path->flying_bytes -= out->len;
}

static void settle(struct tt_kcp_send *s, struct tt_kcp_out *out, uint32_t sn, bool last_copy,
                   uint64_t now_us)
{
    if (out->state == TT_KCP_FLYING) {
        note_arrival(out->path, out, last_copy, now_us);
        take_off_path(s, out, sn);
    } else if (out->state == TT_KCP_LOST) {
        queue_remove(s, &s->lost, out, sn);
    }
    out->state = TT_KCP_ACKED;
    out->path = NULL;
    tt_slab_unref(out->slab);
    out->slab = NULL;
}

bool tt_kcp_send_una(struct tt_kcp_send *s, uint32_t una, uint16_t wnd, uint64_t now_us)
{
    /* Beyond what was sent: no honest peer says that. kcp-go forgets its data then; we ignore it.
     */
    if (tt_seq_diff(una, s->nxt) > 0)
        return false;
    /* Both as seen from nxt, which lies between them: a header may be of any age. */
    if (tt_seq_diff(una + wnd, s->nxt) > tt_seq_diff(s->edge, s->nxt))
        s->edge = una + wnd;
    if (tt_seq_diff(una, s->una) <= 0)
        return false;
    while (s->una != una) {
        struct tt_kcp_out *out = tt_kcp_send_at(s, s->una);
        if (out->state != TT_KCP_ACKED)
            settle(s, out, s->una, !out->sent_again, now_us);
        s->acked_bytes += out->len;
        s->una++;
    }
    return true;
}

static struct tt_kcp_out *find_unacked(const struct tt_kcp_send *s, uint32_t sn)
{
    if (tt_seq_before(sn, s->una) || !tt_seq_before(sn, s->nxt))
        return NULL;
    struct tt_kcp_out *out = tt_kcp_send_at(s, sn);
    return out->state == TT_KCP_ACKED ? NULL : out;
}

/* Only the ack of the last transmission says how long the path takes: one that was repeated after a
 * redial carries the time of a carrier that is gone.
 */
bool tt_kcp_send_sample(const struct tt_kcp_send *s, uint32_t sn, uint32_t ts, uint64_t now_us,
                        struct tt_kcp_path **path, uint64_t *sample_us)
{
    const struct tt_kcp_out *out = find_unacked(s, sn);
    if (!out || out->state != TT_KCP_FLYING || out->ts != ts || out->same_ts)
        return false;
    *path = out->path;
    *sample_us = now_us - out->sent_us;
    return true;
}

void tt_kcp_send_ack(struct tt_kcp_send *s, uint32_t sn, uint32_t ts, uint64_t now_us)
{
    struct tt_kcp_out *out = find_unacked(s, sn);
    if (out)
        settle(s, out, sn, !out->sent_again || (out->ts == ts && !out->same_ts), now_us);
}

/* --- losses --- */

static void lose(struct tt_kcp_send *s, struct tt_kcp_out *out, uint32_t sn, enum tt_kcp_cause why)
{
    take_off_path(s, out, sn);
    out->path = NULL;
    out->state = TT_KCP_LOST;
    queue_append(s, &s->lost, out, sn);
    s->retransmissions[why]++;
}

static bool overtaken(const struct tt_kcp_send *s, const struct tt_kcp_path *path)
{
    if (path->reliable || path->elsewhere || path->flying.count == 0 || !path->any_acked)
        return false;
    const uint32_t needed = path->ordered ? 1 : s->resend;
    const struct tt_kcp_out *oldest = tt_kcp_send_at(s, path->flying.head);
    return tt_seq_diff(path->acked_tx, oldest->tx) >= (int32_t)needed;
}

void tt_kcp_send_detect_losses(struct tt_kcp_send *s)
{
    bool any = false;

    if (s->resend == 0)
        return;
    TT_LIST_FOR_EACH(node, &s->paths)
    {
        struct tt_kcp_path *path = TT_CONTAINER_OF(node, struct tt_kcp_path, node);
        for (; overtaken(s, path); any = true)
            lose(s, tt_kcp_send_at(s, path->flying.head), path->flying.head, TT_KCP_FAST);
    }
    if (any)
        tt_kcp_cwnd_fast(&s->cwnd, s->mss, s->nxt - s->una, s->resend);
}

void tt_kcp_send_path_open(struct tt_kcp_send *s, struct tt_kcp_path *path, uint64_t now_us,
                           bool ordered, uint32_t allowance)
{
    *path = (struct tt_kcp_path){.progress_us = now_us,
                                 .ordered = ordered,
                                 .allowance = allowance,
                                 .max_flying_bytes = UINT64_MAX};
    tt_rtt_init(&path->rtt);
    tt_list_push_back(&s->paths, &path->node);
}

static void lose_all(struct tt_kcp_send *s, struct tt_kcp_path *path, enum tt_kcp_cause why)
{
    /* By number, not in the order of the path: R-10 wants the oldest first. */
    for (uint32_t sn = s->una; sn != s->nxt && path->flying.count > 0; sn++) {
        struct tt_kcp_out *out = tt_kcp_send_at(s, sn);
        if (out->state == TT_KCP_FLYING && out->path == path)
            lose(s, out, sn, why);
    }
}

void tt_kcp_send_path_give_up(struct tt_kcp_send *s, struct tt_kcp_path *path)
{
    lose_all(s, path, TT_KCP_PATH_LEFT);
}

void tt_kcp_send_path_close(struct tt_kcp_send *s, struct tt_kcp_path *path)
{
    lose_all(s, path, TT_KCP_PATH_DIED);
    tt_list_remove(&path->node);
}

void tt_kcp_send_path_discarded(struct tt_kcp_send *s, struct tt_kcp_path *path, uint32_t tx)
{
    while (path->flying.count > 0) {
        struct tt_kcp_out *oldest = tt_kcp_send_at(s, path->flying.head);
        if (!tt_seq_before(oldest->tx, tx))
            return;
        lose(s, oldest, path->flying.head, TT_KCP_DISCARDED);
    }
}

/* --- timeouts --- */

/* Linear, as kcp-go has it: R, 2R, 3R ..., or R, 1.5R, 2R ... with nodelay (K-28). */
static uint64_t timeout_after_us(const struct tt_kcp_send *s, const struct tt_kcp_path *path)
{
    uint64_t rto_us = path->rtt.rto_us;
    if (path->ordered && rto_us < ORDERED_MIN_RTO_US)
        rto_us = ORDERED_MIN_RTO_US;
    return rto_us + path->backoff * (s->nodelay ? rto_us / 2 : rto_us);
}

static uint64_t path_deadline(const struct tt_kcp_send *s, const struct tt_kcp_path *path)
{
    if (path->flying.count == 0 || path->reliable)
        return TT_NEVER;
    /* On an ordered path everything waits behind everything: as long as acks come it works. */
    uint64_t since_us = tt_kcp_send_at(s, path->flying.head)->sent_us;
    if (path->ordered && path->progress_us > since_us)
        since_us = path->progress_us;
    return tt_deadline_after(since_us, timeout_after_us(s, path));
}

uint64_t tt_kcp_send_deadline(const struct tt_kcp_send *s)
{
    uint64_t deadline_us = TT_NEVER;
    TT_LIST_FOR_EACH(node, &s->paths)
    {
        const struct tt_kcp_path *path = TT_CONTAINER_OF(node, struct tt_kcp_path, node);
        deadline_us = tt_min_u64(deadline_us, path_deadline(s, path));
    }
    return deadline_us;
}

/* On an ordered path one segment is enough: the ack of its repetition shows what else is missing.
 */
static bool path_timeout(struct tt_kcp_send *s, struct tt_kcp_path *path, uint64_t now_us)
{
    bool any = false;
    while (path_deadline(s, path) <= now_us) {
        lose(s, tt_kcp_send_at(s, path->flying.head), path->flying.head, TT_KCP_TIMEOUT);
        any = true;
        if (path->ordered) {
            path->progress_us = now_us;
            break;
        }
    }
    if (any)
        path->backoff++;
    return any;
}

void tt_kcp_send_handle_timeout(struct tt_kcp_send *s, uint64_t now_us)
{
    bool any = false;
    TT_LIST_FOR_EACH(node, &s->paths)
    {
        any |= path_timeout(s, TT_CONTAINER_OF(node, struct tt_kcp_path, node), now_us);
    }
    if (any)
        tt_kcp_cwnd_timeout(&s->cwnd, s->mss, effective_window(s));
}
