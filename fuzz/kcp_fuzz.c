/* Arbitrary packets, times, writes, reads and carriers against one end of KCP, beside a model of it
 * that is as simple as can be: arrays by number, lists that are searched from the front.
 *
 * The first bytes are the configuration, then come steps, a byte each with its arguments behind it
 * (make-corpus writes them from the test vectors). What must hold:
 *
 *   - what is read is what came, once, in order;
 *   - acks, una and window in every header are those of the model;
 *   - what leaves are the bytes that were written, the same at each repetition, within every
 *     window, and nothing that was acknowledged;
 *   - what was acknowledged is never forgotten, also without memory;
 *   - a deadline that was handled lies in the future; the window bounds what is held;
 *   - an honest peer gets all that was written, whatever came before; all memory comes back.
 */
#include "fuzz.h"

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/kcp/kcp.h"

#define CONV        UINT32_C(0x11223344) /* that of the vectors */
#define PATHS       2u
#define NUMBERS     (1u << 14) /* sequence numbers of one run, each way */
#define MAX_ACKS    4096u
#define MAX_WINDOW  300u
#define SLAB_LIMIT  ((size_t)1 << 26)
#define MAX_WRITTEN (1u << 20)

enum step {
    STEP_PACKET,  /* u16 length, that many bytes */
    STEP_SEGMENT, /* a header near what is expected: see step_segment */
    STEP_TIME,    /* u16 milliseconds */
    STEP_WRITE,   /* u16 bytes */
    STEP_PULL,    /* u16: path and length */
    STEP_READ,    /* u8 segments */
    STEP_REDIAL,  /* u8: path, ordered, allowance */
    STEP_MEMORY,  /* u8: so many allocations succeed, then none; 0: all */
    STEP_IDLE,    /* frees what is not in use */
    STEPS
};

/* --- the model --- */

struct came {
    uint8_t *data;
    uint32_t len;
    uint32_t ts;
    bool held;
    bool told; /* acknowledged on its own */
};

struct left {
    uint8_t *data;
    uint32_t len;
    bool acked;
};

struct ack {
    uint32_t sn, ts;
    bool in_order, again;
};

struct model {
    uint32_t first; /* number that both directions start with */
    uint32_t read, in_next, in_edge, window, window_most, ahead;
    uint32_t ack_count;
    uint32_t ack_gaps; /* of them, those that are no news of what is in order */
    uint32_t again_at, again_end, again_left; /* still to be repeated, so many at most */
    uint32_t una, out_next, out_edge, out_window;
    uint64_t out_bytes; /* sent for the first time */
};

struct world {
    struct tt_reader in;
    size_t live;
    struct tt_alloc alloc;
    unsigned allocations_left; /* UINT_MAX: any number */
    bool starved;              /* one was refused: the model no longer knows what is held */
    struct tt_slab_pool slabs;
    struct tt_slab_account account;
    struct tt_kcp_config config;
    struct tt_kcp kcp;
    struct tt_kcp_path paths[PATHS];
    struct tt_gather gather;
    uint64_t now_us;
    uint64_t written;
    uint32_t told_una;
    struct model model;
};

static struct world w;
static struct came all_came[NUMBERS];
static struct left all_left[NUMBERS];
static struct ack owed[MAX_ACKS];     /* owed, the oldest first */
static uint32_t came_used, left_used; /* entries that are not all zeroes lie before */

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 7 + i / 253);
}

static struct came *came_at(uint32_t sn)
{
    const uint32_t i = sn - w.model.first;
    FUZZ_REQUIRE(i < NUMBERS, "the model is too small");
    if (i >= came_used)
        came_used = i + 1;
    return &all_came[i];
}

static struct left *left_at(uint32_t sn)
{
    const uint32_t i = sn - w.model.first;
    FUZZ_REQUIRE(i < NUMBERS, "the model is too small");
    if (i >= left_used)
        left_used = i + 1;
    return &all_left[i];
}

static uint8_t *copy_of(const uint8_t *data, uint32_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    FUZZ_REQUIRE(copy, "the fuzzer itself has no memory");
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

/* Only the newest ack of what is in order counts, and only while nothing came behind it. */
static void model_owe(uint32_t sn, uint32_t ts, bool in_order)
{
    struct model *m = &w.model;
    if (m->ack_count > 0 && owed[m->ack_count - 1].in_order)
        m->ack_count--;
    if (!in_order && m->ack_gaps > m->window_most)
        return; /* more than the window has segments */
    FUZZ_REQUIRE(m->ack_count < MAX_ACKS, "the model is too small");
    owed[m->ack_count++] = (struct ack){.sn = sn, .ts = ts, .in_order = in_order};
    m->ack_gaps += !in_order;
}

/* what is held out of order now, the oldest first, before all else that is owed; instead of
 * what an earlier repetition had left.
 */
static void model_repeat(uint32_t most)
{
    struct model *m = &w.model;
    uint32_t left = m->ahead;
    m->again_at = m->again_end = m->in_next;
    m->again_left = most;
    for (uint32_t sn = m->in_next; left > 0; sn++) {
        left -= came_at(sn)->held;
        m->again_end = sn + 1;
    }
}

/* The next of those, false: none. What has become of it meanwhile counts. */
static bool model_next_repeated(struct ack *a)
{
    struct model *m = &w.model;
    for (; m->again_left > 0 && (int32_t)(m->again_end - m->again_at) > 0; m->again_at++) {
        if ((int32_t)(m->again_at - m->in_next) < 0 || !came_at(m->again_at)->held)
            continue;
        *a = (struct ack){.sn = m->again_at, .ts = came_at(m->again_at)->ts, .again = true};
        m->again_at++;
        m->again_left--;
        return true;
    }
    return false;
}

static void model_push(uint32_t sn, uint32_t ts, const uint8_t *data, uint32_t len)
{
    struct model *m = &w.model;
    if ((int32_t)(sn - m->in_edge) >= 0)
        return;
    if ((int32_t)(sn - m->in_next) < 0) {
        model_owe(sn, ts, true);
        return;
    }
    struct came *c = came_at(sn);
    if (!c->held) {
        free(c->data);
        *c = (struct came){.data = copy_of(data, len), .len = len, .ts = ts, .held = true};
        m->ahead++;
    }
    const bool in_order = sn == m->in_next;
    for (; came_at(m->in_next)->held; m->in_next++, m->ahead--)
        m->window = m->window + 2 < m->window_most ? m->window + 2 : m->window_most;
    model_owe(sn, ts, in_order);
}

static void model_una(uint32_t una, uint32_t wnd)
{
    struct model *m = &w.model;
    if ((int32_t)(una - m->out_next) > 0)
        return;
    if ((int32_t)(una + wnd - m->out_next) > (int32_t)(m->out_edge - m->out_next))
        m->out_edge = una + wnd;
    for (; (int32_t)(una - m->una) > 0; m->una++)
        left_at(m->una)->acked = true;
}

static void model_ack(uint32_t sn)
{
    const struct model *m = &w.model;
    if ((int32_t)(sn - m->una) >= 0 && (int32_t)(sn - m->out_next) < 0)
        left_at(sn)->acked = true;
}

/* K-8 to K-12. */
static int model_packet(struct tt_span p)
{
    if (p.len < TT_KCP_HEADER)
        return TT_E_PROTO;
    while (p.len >= TT_KCP_HEADER) {
        const uint8_t *h = p.ptr;
        const uint32_t len = tt_get_le32(h + 20);
        if (tt_get_le32(h) != CONV || len > p.len - TT_KCP_HEADER || h[4] < 81 || h[4] > 84)
            return TT_E_PROTO;
        if (h[4] == 81)
            model_push(tt_get_le32(h + 12), tt_get_le32(h + 8), h + TT_KCP_HEADER, len);
        if (h[4] == 82)
            model_ack(tt_get_le32(h + 12));
        model_una(tt_get_le32(h + 16), tt_get_le16(h + 6));
        tt_span_skip(&p, TT_KCP_HEADER + len);
    }
    return TT_OK;
}

/* The ack that must leave next. */
static struct ack model_next_ack(void)
{
    struct model *m = &w.model;
    struct ack a;
    if (model_next_repeated(&a))
        return a;
    for (;;) {
        FUZZ_REQUIRE(m->ack_count > 0, "an ack that is not owed");
        a = owed[0];
        memmove(owed, owed + 1, --m->ack_count * sizeof(a));
        m->ack_gaps -= !a.in_order;
        if (m->ack_count == 0 || (int32_t)(a.sn - m->in_next) >= 0)
            return a;
    }
}

/* --- what leaves --- */

static void check_header(const struct tt_kcp_header *h)
{
    const struct model *m = &w.model;
    FUZZ_REQUIRE(h->conv == CONV, "another conv");
    if (w.starved) {
        FUZZ_REQUIRE((int32_t)(h->una - w.told_una) >= 0, "una went back");
    } else {
        FUZZ_REQUIRE(h->una == m->in_next, "another una");
        FUZZ_REQUIRE(h->wnd == m->in_edge - m->in_next, "another window");
    }
    w.told_una = h->una;
}

static void check_push(const struct tt_kcp_header *h, const uint8_t *data)
{
    struct model *m = &w.model;
    struct left *l = left_at(h->sn);
    FUZZ_REQUIRE(h->len > 0 && h->len <= w.kcp.send.mss, "a segment of no good length");
    if (h->sn == m->out_next) {
        FUZZ_REQUIRE((int32_t)(m->out_edge - h->sn) > 0, "beyond the peer's window");
        FUZZ_REQUIRE(h->sn - m->una < m->out_window, "beyond the own window");
        for (uint32_t i = 0; i < h->len; i++)
            FUZZ_REQUIRE(data[i] == byte_at(m->out_bytes + i), "not what was written");
        *l = (struct left){.data = copy_of(data, h->len), .len = h->len};
        m->out_bytes += h->len;
        m->out_next++;
        return;
    }
    FUZZ_REQUIRE(h->sn - m->una < m->out_next - m->una, "a number that was skipped or is done");
    FUZZ_REQUIRE(!l->acked, "sent again though it was acknowledged");
    FUZZ_REQUIRE(l->len == h->len && memcmp(l->data, data, l->len) == 0, "another copy");
}

/* `last`: the last ack of its packet, which alone may carry no real time. */
static void check_ack(const struct tt_kcp_header *h, bool last)
{
    if ((int32_t)(h->sn - w.kcp.receive.nxt) >= 0)
        came_at(h->sn)->told = true;
    if (w.starved)
        return;
    const struct ack a = model_next_ack();
    FUZZ_REQUIRE(h->sn == a.sn, "another ack");
    FUZZ_REQUIRE(h->ts == (last && a.again ? a.ts + 0x7fffffff : a.ts), "another time");
}

static void check_packet(struct tt_span p)
{
    while (p.len > 0) {
        FUZZ_REQUIRE(p.len >= TT_KCP_HEADER, "bytes that are no segment");
        const struct tt_kcp_header h = tt_kcp_header_read(p.ptr);
        tt_span_skip(&p, TT_KCP_HEADER);
        FUZZ_REQUIRE(h.len <= p.len, "a segment that is cut");
        const bool last = p.len < TT_KCP_HEADER || p.ptr[4] != TT_KCP_ACK;
        check_header(&h);
        if (h.cmd == TT_KCP_PUSH)
            check_push(&h, p.ptr);
        else if (h.cmd == TT_KCP_ACK)
            check_ack(&h, last);
        else
            FUZZ_REQUIRE(h.cmd == TT_KCP_WASK || h.cmd == TT_KCP_WINS, "another command");
        tt_span_skip(&p, h.len);
    }
}

static bool pull(unsigned path, uint32_t most)
{
    static uint8_t packet[1 << 16];
    uint32_t len, at = 0;

    if (tt_kcp_wants_send(&w.kcp, &w.paths[path]) && !w.starved)
        w.model.in_edge = w.model.read + w.model.window;
    tt_gather_reset(&w.gather);
    const int err = tt_kcp_next_packet(&w.kcp, w.now_us, &w.paths[path], most, &w.gather, &len);
    FUZZ_REQUIRE(err == TT_OK || err == TT_E_AGAIN, "neither a packet nor nothing");
    FUZZ_REQUIRE(len <= most && (err == TT_OK) == (len > 0), "a packet of no good length");
    for (uint32_t i = 0; i < w.gather.count; i++) {
        memcpy(packet + at, w.gather.spans[i].ptr, w.gather.spans[i].len);
        at += (uint32_t)w.gather.spans[i].len;
    }
    FUZZ_REQUIRE(at == len, "another length");
    check_packet(tt_span_of(packet, len));
    return err == TT_OK;
}

/* --- what comes in, and what is read --- */

static void read_segments(unsigned most)
{
    struct tt_span data;
    struct tt_slab *slab;
    struct model *m = &w.model;

    for (; most > 0 && tt_kcp_peek(&w.kcp, &data, &slab) == TT_OK; most--) {
        const struct came *c = came_at(w.kcp.receive.read);
        if (!w.starved) {
            FUZZ_REQUIRE(m->read != m->in_next, "more is read than came");
            FUZZ_REQUIRE(c->len == data.len &&
                             (data.len == 0 || memcmp(c->data, data.ptr, data.len) == 0),
                         "not what came");
            m->read++;
        }
        tt_kcp_take(&w.kcp);
        if (!w.starved)
            m->in_edge = m->read + m->window;
    }
}

static void check_received(void)
{
    const struct tt_kcp_receive *r = &w.kcp.receive;
    FUZZ_REQUIRE(r->top - r->read <= r->window_max, "the window does not bound what is held");
    FUZZ_REQUIRE((int32_t)(r->nxt - w.told_una) >= 0, "una was told, and is forgotten");
    uint32_t ahead = 0;
    for (uint32_t sn = r->nxt; sn != r->top; sn++) {
        const bool holds = tt_kcp_receive_at(r, sn)->held;
        FUZZ_REQUIRE(holds || !came_at(sn)->told, "an ack was sent, and it is forgotten");
        ahead += holds;
    }
    FUZZ_REQUIRE(r->held_ahead == ahead, "another number ahead than is held");
    const size_t held = r->nxt - r->read + ahead;
    FUZZ_REQUIRE(w.account.bytes <= (held + 1) * TT_SLAB_LARGE_BYTES, "held too much");
    if (w.starved)
        return;
    FUZZ_REQUIRE(r->nxt == w.model.in_next && r->read == w.model.read, "another order");
    FUZZ_REQUIRE(r->held_ahead == w.model.ahead, "another number ahead");
}

static void packet_in(struct tt_span packet)
{
    struct tt_slab *slab = tt_slab_get(&w.slabs, TT_SLAB_LARGE);
    if (!slab || packet.len > slab->capacity) {
        tt_slab_unref(slab);
        return;
    }
    if (packet.len > 0)
        memcpy(slab->data, packet.ptr, packet.len);
    const int wanted = model_packet(packet);
    const int err = tt_kcp_input(&w.kcp, w.now_us, tt_span_of(slab->data, packet.len), slab);
    FUZZ_REQUIRE(err == wanted, "another result");
    if (packet.len % 3 == 0)
        read_segments(2); /* from the packet's own memory */
    const int settled = tt_kcp_settle(&w.kcp);
    FUZZ_REQUIRE(settled == TT_OK || (settled == TT_E_NOMEM && w.starved), "cannot settle");
    memset(slab->data, 0xdd, packet.len);
    FUZZ_REQUIRE(slab->refs == 1, "the read buffer is held");
    tt_slab_unref(slab);
    check_received();
}

/* --- steps --- */

static void step_packet(void)
{
    const uint16_t len = tt_read_le16(&w.in);
    const size_t left = tt_reader_left(&w.in);
    const size_t n = len < left ? len : left;
    const uint8_t *bytes = tt_read_bytes(&w.in, n);
    if (bytes)
        packet_in(tt_span_of(bytes, n));
}

/* u8 command, u8 sn and una relative to what is next, u8 window, u8 time ago, u8 length. */
static void step_segment(void)
{
    uint8_t packet[TT_KCP_HEADER + 255] = {0};
    const uint8_t cmd = tt_read_u8(&w.in);
    const int32_t sn = (int8_t)tt_read_u8(&w.in);
    const int32_t una = (int8_t)tt_read_u8(&w.in);
    const uint8_t wnd = tt_read_u8(&w.in);
    const uint8_t ago = tt_read_u8(&w.in);
    const uint8_t len = tt_read_u8(&w.in);
    const bool is_ack = cmd % 4 == 1;
    const uint32_t base = is_ack ? w.kcp.send.una : w.kcp.receive.nxt;
    const struct tt_kcp_header h = {
        .conv = CONV,
        .cmd = (uint8_t)(TT_KCP_PUSH + cmd % 4),
        .frg = cmd / 4,
        .wnd = wnd,
        .ts = (uint32_t)(w.now_us / TT_MS) - ago,
        .sn = base + (uint32_t)sn,
        .una = w.kcp.send.una + (uint32_t)una,
        .len = len,
    };
    tt_kcp_header_write(packet, &h);
    memset(packet + TT_KCP_HEADER, (uint8_t)(h.sn + ago), len);
    packet_in(tt_span_of(packet, TT_KCP_HEADER + (size_t)len));
}

static void handle_timeout(void)
{
    if (tt_kcp_deadline(&w.kcp) <= w.now_us)
        tt_kcp_handle_timeout(&w.kcp, w.now_us);
    FUZZ_REQUIRE(tt_kcp_deadline(&w.kcp) > w.now_us, "a handled deadline is still due");
}

static void step_write(void)
{
    const uint16_t wanted = tt_read_le16(&w.in);
    static uint8_t bytes[1 << 16];
    const uint32_t most = 32 * w.kcp.send.mss < 4095 ? 32 * w.kcp.send.mss : 4095;
    const uint32_t len = wanted % (most + 1);
    if (w.written + len > MAX_WRITTEN || (w.kcp.send.end - w.model.first) > NUMBERS / 2)
        return;
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = byte_at(w.written + i);
    int err;
    if (w.config.stream && wanted & 0x8000) {
        struct tt_slab *slab = tt_slab_get(&w.slabs, TT_SLAB_MEDIUM);
        if (!slab)
            return;
        memcpy(slab->data, bytes, len);
        slab->used = len;
        err = tt_kcp_send_bytes(&w.kcp, slab->data, len, slab);
    } else {
        err = tt_kcp_send_message(&w.kcp, tt_span_of(bytes, len));
    }
    FUZZ_REQUIRE(err == TT_OK || err == TT_E_INVAL || (err == TT_E_NOMEM && w.starved),
                 "a write that fails");
    if (err == TT_OK)
        w.written += len;
    FUZZ_REQUIRE(w.kcp.send.queued_bytes == w.written, "queued in part");
}

static void open_path(unsigned path, uint8_t how)
{
    const uint32_t acks = how & 8 ? 3 : UINT32_MAX;

    tt_kcp_path_open(&w.kcp, &w.paths[path], w.now_us, how & 2, how & 4 ? 5 : TT_KCP_UNLIMITED,
                     acks);
    if (!w.starved)
        model_repeat(acks);
}

static void step_redial(void)
{
    const uint8_t how = tt_read_u8(&w.in);
    const unsigned path = how % PATHS;
    tt_kcp_path_close(&w.kcp, &w.paths[path]);
    open_path(path, how);
}

static void do_step(void)
{
    switch (tt_read_u8(&w.in) % STEPS) {
    case STEP_PACKET:
        step_packet();
        break;
    case STEP_SEGMENT:
        step_segment();
        break;
    case STEP_TIME:
        w.now_us += tt_read_le16(&w.in) * TT_MS;
        handle_timeout();
        break;
    case STEP_WRITE:
        step_write();
        break;
    case STEP_PULL: {
        const uint16_t how = tt_read_le16(&w.in);
        pull(how % PATHS, how / PATHS);
        break;
    }
    case STEP_READ:
        read_segments(tt_read_u8(&w.in));
        break;
    case STEP_REDIAL:
        step_redial();
        break;
    case STEP_MEMORY: {
        const uint8_t left = tt_read_u8(&w.in);
        w.allocations_left = left ? left - 1u : UINT32_MAX;
        break;
    }
    default:
        tt_kcp_shrink(&w.kcp);
        tt_slab_pool_trim(&w.slabs);
    }
}

/* --- a run --- */

static void *get(void *ctx, size_t size)
{
    if (w.allocations_left == 0) {
        w.starved = true;
        return NULL;
    }
    if (w.allocations_left != UINT32_MAX)
        w.allocations_left--;
    return fuzz_get(ctx, size);
}

/* u8 flags, u8 resend and windows, u8 mtu. */
static void configure(void)
{
    const uint8_t flags = tt_read_u8(&w.in);
    const uint8_t sizes = tt_read_u8(&w.in);
    const uint8_t mtu = tt_read_u8(&w.in);
    w.alloc = (struct tt_alloc){get, fuzz_put, &w.live};
    w.allocations_left = UINT32_MAX;
    tt_slab_pool_init(&w.slabs, &w.alloc, SLAB_LIMIT);
    w.config = (struct tt_kcp_config){
        .conv = CONV,
        .mtu = mtu == 0 ? TT_KCP_DEFAULT_MTU : TT_KCP_HEADER + mtu,
        .stream = flags & 1,
        .nodelay = flags & 2,
        .nocwnd = flags & 4,
        .interval_ms = flags & 8 ? 100 : 10,
        .resend = sizes % 4,
        .snd_wnd = sizes & 4 ? 5 : MAX_WINDOW,
        .rcv_wnd_first = sizes & 8 ? 4 : 32,
        .rcv_wnd = sizes & 16 ? 40 : MAX_WINDOW,
        .slabs = &w.slabs,
        .account = &w.account,
        .alloc = &w.alloc,
    };
    FUZZ_REQUIRE(tt_kcp_init(&w.kcp, &w.config) == TT_OK, "a configuration was refused");
    w.model.first = flags & 16 ? UINT32_MAX - 9 : 0;
    w.now_us = flags & 32 ? UINT64_C(1000) * (UINT32_MAX - 200) : TT_SECOND;
}

/* Both directions begin at model.first. */
static void number(void)
{
    struct tt_kcp_send *s = &w.kcp.send;
    struct tt_kcp_receive *r = &w.kcp.receive;
    struct model *m = &w.model;
    s->una = s->nxt = s->end = m->first;
    s->edge += m->first;
    r->read = r->nxt = r->settled = r->top = m->first;
    r->edge += m->first;
    r->told_edge = r->edge;
    m->una = m->out_next = m->read = m->in_next = w.told_una = m->first;
    m->out_edge = s->edge;
    m->out_window = w.config.snd_wnd;
    m->window = w.config.rcv_wnd_first;
    m->window_most = w.config.rcv_wnd;
    m->in_edge = r->edge;
}

/* From here on nothing is lost: all that was written must leave, and be acknowledged. */
static void honest_end(void)
{
    w.allocations_left = UINT32_MAX;
    for (unsigned i = 0; !tt_kcp_all_acked(&w.kcp); i++) {
        uint8_t packet[TT_KCP_HEADER];
        FUZZ_REQUIRE(i < 2 * NUMBERS, "no progress with an honest peer");
        while (pull(0, 65000))
            ;
        tt_kcp_header_write(
            packet, &(struct tt_kcp_header){
                        .conv = CONV, .cmd = TT_KCP_WINS, .wnd = 1000, .una = w.model.out_next});
        packet_in(tt_span_of(packet, sizeof(packet)));
        w.now_us += TT_SECOND;
        handle_timeout();
    }
    FUZZ_REQUIRE(w.model.out_bytes == w.written, "not all that was written has left");
}

static void end_run(void)
{
    for (unsigned path = 0; path < PATHS; path++)
        tt_kcp_path_close(&w.kcp, &w.paths[path]);
    tt_kcp_dispose(&w.kcp);
    FUZZ_REQUIRE(w.slabs.live_bytes == 0, "a slab is still held");
    FUZZ_REQUIRE(w.account.bytes == 0, "something is still charged");
    tt_slab_pool_dispose(&w.slabs);
    FUZZ_REQUIRE(w.live == 0, "memory is still held");
}

static void free_model(void)
{
    for (uint32_t i = 0; i < came_used; i++)
        free(all_came[i].data);
    for (uint32_t i = 0; i < left_used; i++)
        free(all_left[i].data);
    memset(all_came, 0, came_used * sizeof(all_came[0]));
    memset(all_left, 0, left_used * sizeof(all_left[0]));
    came_used = left_used = 0;
    memset(&w, 0, sizeof(w));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > 1 << 15)
        return 0;
    w.in = tt_reader_over(tt_span_of(data, size));
    configure();
    number();
    for (unsigned path = 0; path < PATHS; path++)
        open_path(path, data[0] >> 6);
    while (tt_reader_left(&w.in) > 0)
        do_step();
    honest_end();
    end_run();
    free_model();
    return 0;
}
