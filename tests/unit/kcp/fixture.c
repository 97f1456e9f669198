#include "kcp/fixture.h"

#include <stdio.h>

#include <turbotunnel/error.h>

#define SLAB_LIMIT ((size_t)1 << 28)

struct tt_kcp_config end_config(void)
{
    return (struct tt_kcp_config){
        .conv = END_CONV,
        .mtu = TT_KCP_DEFAULT_MTU,
        .interval_ms = 100,
        .nocwnd = true,
        .snd_wnd = 32,
        .rcv_wnd_first = 32,
        .rcv_wnd = 32,
    };
}

void end_open(struct kcp_end *e, const struct tt_kcp_config *config)
{
    memset(e, 0, sizeof(*e));
    e->config = *config;
    failing_alloc_init(&e->memory, FAIL_NEVER);
    tt_slab_pool_init(&e->slabs, &e->memory.alloc, SLAB_LIMIT);
    e->config.slabs = &e->slabs;
    e->config.account = &e->account;
    e->config.alloc = &e->memory.alloc;
    assert_int_equal(tt_kcp_init(&e->kcp, &e->config), TT_OK);
}

void end_close(struct kcp_end *e)
{
    tt_kcp_dispose(&e->kcp);
    tt_kcp_dispose(&e->kcp); /* twice is safe */
    assert_int_equal(e->slabs.live_bytes, 0);
    assert_int_equal(e->account.bytes, 0);
    tt_slab_pool_dispose(&e->slabs);
    assert_int_equal(e->memory.live, 0);
}

void end_open_path(struct kcp_end *e, struct tt_kcp_path *path, bool ordered)
{
    tt_kcp_path_open(&e->kcp, path, e->now_us, ordered, TT_KCP_UNLIMITED, UINT32_MAX);
}

int end_pull(struct kcp_end *e, struct tt_kcp_path *path, uint32_t max_packet)
{
    uint32_t len;

    tt_gather_reset(&e->gather);
    int err = tt_kcp_next_packet(&e->kcp, e->now_us, path, max_packet, &e->gather, &len);
    assert_int_equal(err == TT_OK, len > 0);
    assert_int_equal(e->gather.bytes, len);
    if (err)
        return err;
    e->packet_len = 0;
    for (uint32_t i = 0; i < e->gather.count; i++) {
        const struct tt_span s = e->gather.spans[i];
        assert_true(s.len <= sizeof(e->packet) - e->packet_len);
        memcpy(e->packet + e->packet_len, s.ptr, s.len);
        e->packet_len += (uint32_t)s.len;
    }
    assert_int_equal(e->packet_len, len);
    assert_true(len <= max_packet);
    return TT_OK;
}

/* --- packets as text --- */

struct text {
    char *at;
    size_t left;
};

static void put(struct text *t, const char *word)
{
    const size_t len = strlen(word);
    assert_true(len < t->left);
    memcpy(t->at, word, len + 1);
    t->at += len;
    t->left -= len;
}

static void put_data(struct text *t, const uint8_t *data, uint32_t len)
{
    put(t, " \"");
    for (uint32_t i = 0; i < len; i++) {
        char word[8];
        const bool plain = data[i] >= ' ' && data[i] < 0x7f && data[i] != '"';
        snprintf(word, sizeof(word), plain ? "%c" : "\\%02x", data[i]);
        put(t, word);
    }
    put(t, "\"");
}

static void put_segment(struct text *t, const struct tt_kcp_header *h, const uint8_t *data)
{
    char word[64];

    switch (h->cmd) {
    case TT_KCP_PUSH:
        snprintf(word, sizeof(word), h->frg ? "push %u/%u" : "push %u", (unsigned)h->sn, h->frg);
        put(t, word);
        put_data(t, data, h->len);
        break;
    case TT_KCP_ACK:
        snprintf(word, sizeof(word), "ack %u @%u", (unsigned)h->sn, (unsigned)h->ts);
        put(t, word);
        break;
    default:
        put(t, h->cmd == TT_KCP_WASK ? "wask" : h->cmd == TT_KCP_WINS ? "wins" : "?");
    }
}

static void put_packet(struct text *t, struct tt_span packet)
{
    const char *separator = "";
    while (packet.len >= TT_KCP_HEADER) {
        const struct tt_kcp_header h = tt_kcp_header_read(packet.ptr);
        tt_span_skip(&packet, TT_KCP_HEADER);
        assert_true(h.len <= packet.len);
        put(t, separator);
        put_segment(t, &h, packet.ptr);
        tt_span_skip(&packet, h.len);
        separator = ", ";
    }
    assert_int_equal(packet.len, 0);
}

const char *end_text_of(struct kcp_end *e, struct tt_span packet)
{
    struct text t = {e->text, sizeof(e->text)};
    put(&t, "");
    put_packet(&t, packet);
    return e->text;
}

const char *end_text(struct kcp_end *e)
{
    return end_text_of(e, tt_span_of(e->packet, e->packet_len));
}

const char *end_flush(struct kcp_end *e, struct tt_kcp_path *path)
{
    struct text t = {e->text, sizeof(e->text)};
    int err;

    put(&t, "");
    while ((err = end_pull(e, path, e->config.mtu)) == TT_OK) {
        put(&t, t.at == e->text ? "" : " | ");
        put_packet(&t, tt_span_of(e->packet, e->packet_len));
    }
    assert_int_equal(err, TT_E_AGAIN);
    return e->text;
}

struct tt_kcp_header end_header(const struct kcp_end *e, unsigned index)
{
    struct tt_span left = tt_span_of(e->packet, e->packet_len);
    for (;; index--) {
        assert_true(left.len >= TT_KCP_HEADER);
        const struct tt_kcp_header h = tt_kcp_header_read(left.ptr);
        if (index == 0)
            return h;
        tt_span_skip(&left, TT_KCP_HEADER + h.len);
    }
}

/* --- in and out --- */

void end_send(struct kcp_end *e, const char *message)
{
    const struct tt_span bytes = tt_span_of(message, strlen(message));
    assert_int_equal(tt_kcp_send_message(&e->kcp, bytes), TT_OK);
}

/* The slab is scribbled over afterwards, as a read buffer would be. */
int end_input(struct kcp_end *e, struct tt_span packet)
{
    struct tt_slab *slab = tt_slab_get(&e->slabs, TT_SLAB_LARGE);

    if (!slab)
        return TT_E_NOMEM;
    assert_true(packet.len <= slab->capacity);
    if (packet.len > 0)
        memcpy(slab->data, packet.ptr, packet.len);
    slab->used = (uint32_t)packet.len;
    slab->transient = true;
    int err = tt_kcp_input(&e->kcp, e->now_us, tt_span_of(slab->data, packet.len), slab);
    e->settled = tt_kcp_settle(&e->kcp);
    assert_true(e->settled == TT_OK || e->settled == TT_E_NOMEM);
    memset(slab->data, 0xdd, packet.len);
    assert_int_equal(slab->refs, 1);
    tt_slab_unref(slab);
    return err;
}

struct tt_kcp_header end_segment(enum tt_kcp_cmd cmd, uint32_t sn, uint32_t ts, uint32_t una,
                                 uint16_t wnd)
{
    return (struct tt_kcp_header){
        .conv = END_CONV, .cmd = (uint8_t)cmd, .wnd = wnd, .ts = ts, .sn = sn, .una = una};
}

size_t end_add_segment(uint8_t *buf, size_t len, struct tt_kcp_header h, const char *data)
{
    h.len = data ? (uint32_t)strlen(data) : 0;
    tt_kcp_header_write(buf + len, &h);
    if (data)
        memcpy(buf + len + TT_KCP_HEADER, data, h.len);
    return len + TT_KCP_HEADER + h.len;
}

int end_input_segment(struct kcp_end *e, struct tt_kcp_header h, const char *data)
{
    uint8_t packet[2048];
    assert_true(!data || strlen(data) < sizeof(packet) - TT_KCP_HEADER);
    return end_input(e, tt_span_of(packet, end_add_segment(packet, 0, h, data)));
}

const char *end_read(struct kcp_end *e)
{
    struct text t = {e->text, sizeof(e->text)};
    struct tt_slab *slab;
    struct tt_span data;

    put(&t, "");
    while (tt_kcp_peek(&e->kcp, &data, &slab) == TT_OK) {
        assert_non_null(slab);
        assert_true(data.len < t.left);
        memcpy(t.at, data.ptr, data.len);
        t.at[data.len] = '\0';
        t.at += data.len;
        t.left -= data.len;
        tt_kcp_take(&e->kcp);
    }
    return e->text;
}
