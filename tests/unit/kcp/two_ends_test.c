/* Two ends and a network between them that is as bad as its kind may be: whatever it does, all
 * bytes arrive once and in order, and then both ends are idle.
 */
#include <stdio.h>
#include <stdlib.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "kcp/fixture.h"

#define SIDES       2u
#define MAX_PATHS   3u
#define MAX_FLYING  4096u
#define MAX_SENDS   4096u
#define LIMIT_US    (3600 * TT_SECOND)
#define CALM_US     (40 * TT_SECOND) /* from then on nothing is lost, nothing dies */
#define READ_BUFFER (256u * 1376u)

/* A packet on its way. */
struct flying {
    uint8_t *bytes;
    uint32_t len;
    uint64_t arrives_us;
    uint64_t order; /* among those that arrive at the same time */
    unsigned to;
    unsigned path;
};

struct world {
    uint64_t seed;
    uint64_t random;
    uint64_t now_us, start_us;
    struct kcp_end *ends[SIDES];
    struct tt_kcp_path paths[SIDES][MAX_PATHS];
    bool path_open[MAX_PATHS];
    uint64_t path_changes_us[MAX_PATHS];        /* when it opens or dies */
    uint64_t last_arrival_us[SIDES][MAX_PATHS]; /* ordered paths keep it */
    unsigned path_count;
    bool ordered;
    unsigned loss_percent, twice_percent;
    uint64_t delay_us, jitter_us;
    struct flying flying[MAX_FLYING];
    size_t flying_count;
    uint64_t order;

    size_t total[SIDES];     /* bytes that side writes */
    size_t written[SIDES];   /* by that side */
    size_t delivered[SIDES]; /* to that side */
    uint64_t write_at_us[SIDES];
    uint64_t read_at_us[SIDES]; /* a slow reader looks only now and then; 0: at once */
    bool slow_reader;
    size_t sizes[SIDES][MAX_SENDS]; /* of the messages that side wrote */
    size_t size_count[SIDES], size_read[SIDES];
};

static void require(const struct world *w, bool holds, const char *what)
{
    if (!holds)
        fail_msg("seed %llu at %llu us: %s", (unsigned long long)w->seed,
                 (unsigned long long)w->now_us, what);
}

static size_t below(struct world *w, size_t n)
{
    return test_random_below(&w->random, n);
}

static bool chance(struct world *w, unsigned percent)
{
    return w->now_us < w->start_us + CALM_US && below(w, 100) < percent;
}

/* Byte number i that a side writes. */
static uint8_t byte_at(unsigned side, size_t i)
{
    return (uint8_t)((i * 31 + i / 251 + side * 97) & 0xff);
}

/* --- the network --- */

static void fly(struct world *w, unsigned from, unsigned path)
{
    const struct kcp_end *e = w->ends[from];
    const unsigned to = 1 - from;
    uint64_t at_us = w->now_us + w->delay_us + below(w, (size_t)w->jitter_us + 1);

    if (w->ordered) {
        if (at_us < w->last_arrival_us[to][path])
            at_us = w->last_arrival_us[to][path];
        w->last_arrival_us[to][path] = at_us;
    }
    require(w, w->flying_count < MAX_FLYING, "more packets in flight than windows allow");
    uint8_t *bytes = malloc(e->packet_len);
    assert_non_null(bytes);
    memcpy(bytes, e->packet, e->packet_len);
    w->flying[w->flying_count++] = (struct flying){
        .bytes = bytes,
        .len = e->packet_len,
        .arrives_us = at_us,
        .order = w->order++,
        .to = to,
        .path = path,
    };
}

static void remove_flying(struct world *w, size_t i)
{
    free(w->flying[i].bytes);
    w->flying[i] = w->flying[--w->flying_count];
}

/* The packet that arrives next, or MAX_FLYING. */
static size_t next_flying(const struct world *w)
{
    size_t best = MAX_FLYING;
    for (size_t i = 0; i < w->flying_count; i++) {
        const struct flying *a = &w->flying[i];
        const struct flying *b = &w->flying[best];
        if (best == MAX_FLYING || a->arrives_us < b->arrives_us ||
            (a->arrives_us == b->arrives_us && a->order < b->order))
            best = i;
    }
    return best;
}

/* --- the two applications --- */

static void check_bytes(struct world *w, unsigned side, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        require(w, data[i] == byte_at(1 - side, w->delivered[side] + i), "wrong byte delivered");
    w->delivered[side] += len;
    require(w, w->delivered[side] <= w->written[1 - side], "delivered more than was written");
}

static void read_stream(struct world *w, unsigned side)
{
    struct kcp_end *e = w->ends[side];
    struct tt_span data;
    struct tt_slab *slab;

    while (tt_kcp_peek(&e->kcp, &data, &slab) == TT_OK) {
        check_bytes(w, side, data.ptr, data.len);
        tt_kcp_take(&e->kcp);
        if (w->slow_reader && below(w, 4) == 0)
            return;
    }
}

static void read_messages(struct world *w, unsigned side)
{
    static uint8_t buf[READ_BUFFER];
    struct kcp_end *e = w->ends[side];
    size_t size, len;

    while (tt_kcp_peek_message(&e->kcp, &size) == TT_OK) {
        require(w, w->size_read[side] < w->size_count[1 - side], "a message that was not written");
        require(w, size == w->sizes[1 - side][w->size_read[side]++], "another size of message");
        require(w, tt_kcp_receive_message(&e->kcp, buf, sizeof(buf), &len) == TT_OK, "no message");
        require(w, len == size, "peeked another size");
        check_bytes(w, side, buf, len);
    }
}

static void read_some(struct world *w, unsigned side)
{
    if (w->ends[side]->config.stream)
        read_stream(w, side);
    else
        read_messages(w, side);
    if (w->slow_reader)
        w->read_at_us[side] = w->now_us + 1 + below(w, 300 * TT_MS);
}

static size_t most_in_a_message(const struct world *w)
{
    const struct kcp_end *e = w->ends[0];
    size_t segments = e->config.rcv_wnd_first < 8 ? e->config.rcv_wnd_first : 8;
    return segments * e->kcp.send.mss;
}

/* Bytes in a slab of their own, as smux hands them over. */
static void write_stream(struct world *w, unsigned side, size_t len)
{
    struct kcp_end *e = w->ends[side];
    struct tt_slab *slab = tt_slab_get(&e->slabs, TT_SLAB_LARGE);
    assert_non_null(slab);
    if (len > tt_slab_room(slab))
        len = tt_slab_room(slab);
    for (size_t i = 0; i < len; i++)
        slab->data[i] = byte_at(side, w->written[side] + i);
    slab->used = (uint32_t)len;
    assert_int_equal(tt_kcp_send_bytes(&e->kcp, slab->data, (uint32_t)len, slab), TT_OK);
    w->written[side] += len;
}

static void write_message(struct world *w, unsigned side, size_t len)
{
    static uint8_t buf[READ_BUFFER];
    for (size_t i = 0; i < len; i++)
        buf[i] = byte_at(side, w->written[side] + i);
    require(w, tt_kcp_send_message(&w->ends[side]->kcp, tt_span_of(buf, len)) == TT_OK, "refused");
    require(w, w->size_count[side] < MAX_SENDS, "too many messages");
    w->sizes[side][w->size_count[side]++] = len;
    w->written[side] += len;
}

static void write_some(struct world *w, unsigned side)
{
    const size_t left = w->total[side] - w->written[side];
    if (left == 0) {
        w->write_at_us[side] = TT_NEVER;
        return;
    }
    size_t len = 1 + below(w, most_in_a_message(w));
    if (len > left || w->size_count[side] == MAX_SENDS - 1)
        len = left < most_in_a_message(w) ? left : most_in_a_message(w);
    if (below(w, 3) == 0 && len > 10)
        len = 1 + below(w, 10);
    if (w->ends[side]->config.stream)
        write_stream(w, side, len);
    else
        write_message(w, side, len);
    w->write_at_us[side] = below(w, 2) ? w->now_us : w->now_us + below(w, 200 * TT_MS);
}

/* --- time --- */

static void check_end(struct world *w, unsigned side)
{
    const struct tt_kcp *k = &w->ends[side]->kcp;
    const struct tt_kcp_send *s = &k->send;
    const struct tt_kcp_receive *r = &k->receive;
    require(w, tt_seq_diff(s->edge, s->nxt) >= 0, "sent beyond the peer's window");
    require(w, s->nxt - s->una <= s->window, "more in flight than the own window");
    require(w, r->top - r->read <= r->window_max, "holds more than its window");
    uint32_t flying = 0;
    for (unsigned p = 0; p < w->path_count; p++)
        flying += w->path_open[p] ? w->paths[side][p].flying.count : 0;
    require(w, flying + s->lost.count <= s->nxt - s->una, "lists hold more than was sent");
}

static void open_path(struct world *w, unsigned p)
{
    w->path_open[p] = true;
    for (unsigned side = 0; side < SIDES; side++) {
        w->last_arrival_us[side][p] = 0;
        tt_kcp_path_open(&w->ends[side]->kcp, &w->paths[side][p], w->now_us, w->ordered,
                         below(w, 3) == 0 ? 1 + (uint32_t)below(w, 16) : TT_KCP_UNLIMITED,
                         1 + (uint32_t)below(w, 64));
    }
}

/* All that is on its way on the path is gone. */
static void end_path(struct world *w, unsigned p)
{
    w->path_open[p] = false;
    for (size_t i = w->flying_count; i-- > 0;) {
        if (w->flying[i].path == p)
            remove_flying(w, i);
    }
    for (unsigned side = 0; side < SIDES; side++)
        tt_kcp_path_close(&w->ends[side]->kcp, &w->paths[side][p]);
}

static void change_paths(struct world *w)
{
    for (unsigned p = 0; p < w->path_count; p++) {
        if (w->path_changes_us[p] > w->now_us)
            continue;
        if (w->path_open[p] && w->now_us < w->start_us + CALM_US) {
            end_path(w, p);
            w->path_changes_us[p] = w->now_us + below(w, 500 * TT_MS);
        } else if (!w->path_open[p]) {
            open_path(w, p);
            w->path_changes_us[p] = w->now_us + 1 + below(w, 3 * TT_SECOND);
        } else {
            w->path_changes_us[p] = TT_NEVER;
        }
    }
}

static void deliver(struct world *w)
{
    size_t i;
    while ((i = next_flying(w)) != MAX_FLYING && w->flying[i].arrives_us <= w->now_us) {
        struct flying f = w->flying[i];
        w->flying[i] = w->flying[--w->flying_count];
        require(w, end_input(w->ends[f.to], tt_span_of(f.bytes, f.len)) == TT_OK, "bad packet");
        free(f.bytes);
        if (!w->slow_reader)
            read_some(w, f.to);
        check_end(w, f.to);
    }
}

static void pull(struct world *w, unsigned side)
{
    struct kcp_end *e = w->ends[side];
    const unsigned start = (unsigned)below(w, w->path_count);
    const uint32_t most = below(w, 2) ? e->config.mtu : e->config.mtu + (uint32_t)below(w, 4000);

    for (unsigned n = 0; n < w->path_count; n++) {
        const unsigned p = (start + n) % w->path_count;
        unsigned packets = 0;
        int err = TT_OK;
        while (w->path_open[p] && packets++ < 3 &&
               (err = end_pull(e, &w->paths[side][p], most)) == TT_OK) {
            if (!chance(w, w->loss_percent))
                fly(w, side, p);
            if (!w->ordered && chance(w, w->twice_percent))
                fly(w, side, p);
        }
        require(w, err == TT_OK || err == TT_E_AGAIN, "pull failed");
    }
}

static bool wants(const struct world *w, unsigned side)
{
    for (unsigned p = 0; p < w->path_count; p++) {
        if (w->path_open[p] && tt_kcp_wants_send(&w->ends[side]->kcp, &w->paths[side][p]))
            return true;
    }
    return false;
}

static void turn(struct world *w, unsigned side)
{
    struct kcp_end *e = w->ends[side];
    e->now_us = w->now_us;
    if (w->slow_reader && w->read_at_us[side] <= w->now_us)
        read_some(w, side);
    if (w->write_at_us[side] <= w->now_us)
        write_some(w, side);
    if (tt_kcp_deadline(&e->kcp) <= w->now_us) {
        tt_kcp_handle_timeout(&e->kcp, w->now_us);
        require(w, tt_kcp_deadline(&e->kcp) > w->now_us, "a handled deadline is still due");
    }
    while (wants(w, side))
        pull(w, side);
    check_end(w, side);
}

static uint64_t next_event_us(const struct world *w)
{
    uint64_t next_us = TT_NEVER;
    const size_t i = next_flying(w);
    if (i != MAX_FLYING)
        next_us = w->flying[i].arrives_us;
    for (unsigned p = 0; p < w->path_count; p++)
        next_us = tt_min_u64(next_us, w->path_changes_us[p]);
    for (unsigned side = 0; side < SIDES; side++) {
        next_us = tt_min_u64(next_us, w->write_at_us[side]);
        next_us = tt_min_u64(next_us, tt_kcp_deadline(&w->ends[side]->kcp));
        if (w->slow_reader && tt_kcp_receive_peek(&w->ends[side]->kcp.receive))
            next_us = tt_min_u64(next_us, w->read_at_us[side]);
    }
    return next_us;
}

static bool done(const struct world *w)
{
    for (unsigned side = 0; side < SIDES; side++) {
        if (w->delivered[side] != w->total[1 - side] || !tt_kcp_all_acked(&w->ends[side]->kcp))
            return false;
    }
    return w->flying_count == 0;
}

static void run(struct world *w)
{
    while (!done(w)) {
        change_paths(w);
        for (unsigned side = 0; side < SIDES; side++)
            w->ends[side]->now_us = w->now_us;
        deliver(w);
        for (unsigned side = 0; side < SIDES; side++)
            turn(w, side);
        const uint64_t next_us = next_event_us(w);
        if (done(w))
            break;
        require(w, next_us != TT_NEVER, "not done, and nothing will ever happen again");
        require(w, next_us < w->start_us + LIMIT_US, "no progress");
        w->now_us = next_us > w->now_us ? next_us : w->now_us + 1;
    }
    for (unsigned side = 0; side < SIDES; side++)
        require(w, tt_kcp_deadline(&w->ends[side]->kcp) == TT_NEVER, "idle, but with a timer");
}

/* --- a world of each kind --- */

static struct tt_kcp_config random_config(struct world *w, bool stream)
{
    static const uint32_t mtus[] = {25, 30, 124, 1400};
    struct tt_kcp_config c = end_config();
    c.mtu = mtus[below(w, ARRAY_LEN(mtus))];
    c.stream = stream;
    c.nodelay = below(w, 2);
    c.interval_ms = (uint32_t)below(w, 100);
    c.resend = (uint32_t)below(w, 4);
    c.nocwnd = below(w, 2);
    c.snd_wnd = 1 + (uint32_t)below(w, 64);
    c.rcv_wnd_first = 1 + (uint32_t)below(w, 40);
    c.rcv_wnd = c.rcv_wnd_first + (uint32_t)below(w, 100);
    return c;
}

/* Numbers start anywhere, near the wrap-around above all. */
static void shift_numbers(struct kcp_end *from, struct kcp_end *to, uint32_t start)
{
    struct tt_kcp_send *s = &from->kcp.send;
    struct tt_kcp_receive *r = &to->kcp.receive;
    s->una = s->nxt = s->end = start;
    s->edge += start;
    r->read = r->nxt = r->settled = r->top = start;
    r->edge += start;
    r->told_edge += start;
}

static struct world *world_new(uint64_t seed, bool ordered)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->seed = w->random = seed;
    w->ordered = ordered;
    w->path_count = 1 + (unsigned)below(w, MAX_PATHS);
    w->loss_percent = ordered ? (unsigned)below(w, 3) : (unsigned)below(w, 30);
    w->twice_percent = (unsigned)below(w, 20);
    w->delay_us = below(w, 80 * TT_MS);
    w->jitter_us = ordered ? below(w, 3 * TT_MS) : below(w, 60 * TT_MS);
    w->slow_reader = below(w, 3) == 0;
    w->now_us = below(w, 2) ? UINT64_C(1000) * 0xffffff00u : below(w, TT_SECOND);
    w->start_us = w->now_us;
    return w;
}

static struct world *world_open(uint64_t seed, bool ordered)
{
    struct world *w = world_new(seed, ordered);
    const bool stream = below(w, 2);
    const struct tt_kcp_config config = random_config(w, stream);
    for (unsigned side = 0; side < SIDES; side++) {
        w->ends[side] = calloc(1, sizeof(*w->ends[side]));
        assert_non_null(w->ends[side]);
        end_open(w->ends[side], &config);
        w->total[side] = below(w, 4) == 0 ? below(w, 10) : below(w, 100 * w->ends[0]->kcp.send.mss);
        w->write_at_us[side] = w->now_us;
    }
    if (below(w, 2)) {
        shift_numbers(w->ends[0], w->ends[1], (uint32_t)-20);
        shift_numbers(w->ends[1], w->ends[0], (uint32_t)test_random(&w->random));
    }
    for (unsigned p = 0; p < w->path_count; p++)
        w->path_changes_us[p] = w->now_us + below(w, 50 * TT_MS);
    return w;
}

static void world_free(struct world *w)
{
    while (w->flying_count > 0)
        remove_flying(w, 0);
    for (unsigned p = 0; p < w->path_count; p++) {
        if (w->path_open[p])
            end_path(w, p);
    }
    for (unsigned side = 0; side < SIDES; side++) {
        end_close(w->ends[side]);
        free(w->ends[side]);
    }
    free(w);
}

/* TT_SEED=N runs that seed alone, TT_TWO_ENDS_SEEDS=N that many. */
static void run_seeds(bool ordered, uint64_t count)
{
    const char *one = getenv("TT_SEED");
    const char *many = getenv("TT_TWO_ENDS_SEEDS");
    const uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    if (many)
        count = strtoull(many, NULL, 10);
    for (uint64_t seed = first; seed < first + (one ? 1 : count); seed++) {
        struct world *w = world_open(seed, ordered);
        run(w);
        world_free(w);
    }
}

static void test_all_arrives_once_in_order_over_paths_that_lose_and_reorder(void **state)
{
    (void)state;
    run_seeds(false, 300);
}

static void test_all_arrives_once_in_order_over_ordered_paths_that_die(void **state)
{
    (void)state;
    run_seeds(true, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_arrives_once_in_order_over_paths_that_lose_and_reorder),
        cmocka_unit_test(test_all_arrives_once_in_order_over_ordered_paths_that_die),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
