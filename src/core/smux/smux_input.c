/* From KCP: frames are taken apart, payload goes to its stream. */
#include "core/smux/frame.h"
#include "core/smux/stream.h"

static int fail(struct tt_smux *m, int err)
{
    m->error = err;
    return err;
}

static struct tt_smux_stream *find_stream(struct tt_smux *m, uint32_t sid)
{
    struct tt_smux_stream *s = tt_smux_table_find(&m->streams, sid);
    if (!s)
        m->stats.ignored_frames++;
    return s;
}

/* The first frame tells a server which version is spoken. Ends of streams waited for that. */
static void learn_version(struct tt_smux *m, uint8_t version)
{
    m->version = version;
    TT_LIST_FOR_EACH(node, &m->streams.all)
    {
        /* Frees nothing: nobody's FIN has been sent yet. */
        tt_smux_stream_advance(TT_CONTAINER_OF(node, struct tt_smux_stream, all_node));
    }
}

static int check_version(struct tt_smux *m, uint8_t version)
{
    if (version != 1 && version != 2)
        return TT_E_VERSION;
    if (m->version == 0)
        learn_version(m, version);
    return version == m->version ? TT_OK : TT_E_VERSION;
}

static int take_syn(struct tt_smux *m, uint32_t sid)
{
    struct tt_smux_stream *s;

    if (tt_smux_table_find(&m->streams, sid))
        return TT_OK; /* S-13 */
    if (m->streams.count >= m->config.max_streams)
        return TT_E_PROTO;
    if (m->accept_waiting >= m->config.accept_backlog) {
        m->in.syn_waits = true;
        m->stats.backlog_full++;
        return TT_E_AGAIN;
    }
    if (tt_smux_stream_new(m, sid, &s) != TT_OK)
        return TT_E_AGAIN;
    tt_list_push_back(&m->accept_list, &s->phase_node);
    m->accept_waiting++;
    return TT_OK;
}

static int take_fin(struct tt_smux *m, uint32_t sid)
{
    struct tt_smux_stream *s = find_stream(m, sid);
    if (s)
        tt_smux_stream_peer_ended(s);
    return TT_OK;
}

static int begin_psh(struct tt_smux *m, struct tt_smux_frame f)
{
    struct tt_smux_stream *s = find_stream(m, f.sid);
    if (s && m->version == 2) {
        int err = tt_smux_receive_window_take(&s->receive_window, f.length);
        if (err)
            return err;
    }
    m->in.stream = s;
    m->in.payload_left = f.length;
    return TT_OK;
}

static int begin_upd(struct tt_smux *m, struct tt_smux_frame f)
{
    if (m->version != 2 || f.length != TT_SMUX_UPD_BODY)
        return TT_E_PROTO;
    m->in.stream = find_stream(m, f.sid);
    m->in.payload_left = f.length;
    return TT_OK;
}

/* Only when a HELLO may have said that we understand it. */
static int begin_rst(struct tt_smux *m, struct tt_smux_frame f)
{
    if (!m->config.accepts_resets || f.length != TT_SMUX_RST_BODY)
        return TT_E_PROTO;
    m->in.stream = find_stream(m, f.sid);
    m->in.payload_left = f.length;
    return TT_OK;
}

/* A whole header has come. TT_E_AGAIN: it must wait, nothing has changed. */
static int begin_frame(struct tt_smux *m)
{
    const struct tt_smux_frame f = tt_smux_frame_read(m->in.bytes);
    int err = check_version(m, f.version);
    if (err)
        return err;
    m->in.cmd = f.cmd;
    switch (f.cmd) {
    case TT_SMUX_SYN:
        return f.length ? TT_E_PROTO : take_syn(m, f.sid);
    case TT_SMUX_FIN:
        return f.length ? TT_E_PROTO : take_fin(m, f.sid);
    case TT_SMUX_PSH:
        return begin_psh(m, f);
    case TT_SMUX_NOP:
        return f.length ? TT_E_PROTO : TT_OK;
    case TT_SMUX_UPD:
        return begin_upd(m, f);
    case TT_SMUX_RST:
        return begin_rst(m, f);
    default:
        return TT_E_PROTO;
    }
}

/* Moves up to want bytes from the front of *in to buf. */
static uint8_t gather(uint8_t *buf, size_t want, struct tt_span *in)
{
    const size_t n = want < in->len ? want : in->len;
    memcpy(buf, in->ptr, n);
    tt_span_skip(in, n);
    return (uint8_t)n;
}

static int take_header(struct tt_smux *m, struct tt_span *in)
{
    if (m->receive_tokens <= 0) { /* S-22; only payload takes them, so no header is half read */
        m->stats.tokens_exhausted++;
        return TT_E_AGAIN;
    }
    m->in.have =
        (uint8_t)(m->in.have + gather(m->in.bytes + m->in.have, TT_SMUX_HEADER - m->in.have, in));
    if (m->in.have < TT_SMUX_HEADER)
        return TT_OK;
    m->in.syn_waits = false;
    int err = begin_frame(m);
    if (err == TT_E_AGAIN) {
        /* The last byte is put back, so that whoever offers the rest again has something to offer.
         */
        m->in.have--;
        in->ptr--;
        in->len++;
        return err;
    }
    m->in.have = 0;
    m->stats.frames_in++;
    return err;
}

static void upd_came(struct tt_smux *m, struct tt_smux_stream *s)
{
    if (tt_smux_send_window_update(&s->send_window, tt_get_le32(m->in.bytes),
                                   tt_get_le32(m->in.bytes + 4)))
        tt_smux_stream_break(s);
    else
        tt_smux_stream_update_sending(s);
}

/* The body of an UPD or RST. */
static int take_body(struct tt_smux *m, struct tt_span *in)
{
    const uint8_t n = gather(m->in.bytes + m->in.have, m->in.payload_left, in);
    struct tt_smux_stream *s = m->in.stream;

    m->in.have = (uint8_t)(m->in.have + n);
    m->in.payload_left -= n;
    if (m->in.payload_left > 0)
        return TT_OK;
    m->in.have = 0;
    if (!s)
        return TT_OK;
    if (m->in.cmd == TT_SMUX_RST)
        tt_smux_stream_reset_by_peer(s, tt_get_le32(m->in.bytes));
    else
        upd_came(m, s);
    return TT_OK;
}

static int take_payload(struct tt_smux *m, struct tt_span *in, struct tt_slab *slab)
{
    struct tt_smux_stream *s = m->in.stream;
    size_t n = m->in.payload_left < in->len ? m->in.payload_left : in->len;
    int err = TT_OK;

    if (s && s->closed) {
        tt_smux_stream_consumed(s, n);
    } else if (s) {
        err = tt_smux_received_add(m, &s->received, tt_span_of(in->ptr, n), slab, &n);
        if (n > 0)
            tt_smux_stream_report(s, TT_SMUX_READABLE);
    }
    tt_span_skip(in, n);
    m->in.payload_left -= (uint32_t)n;
    return err ? TT_E_AGAIN : TT_OK;
}

static int take_some(struct tt_smux *m, struct tt_span *in, struct tt_slab *slab)
{
    if (m->in.payload_left == 0)
        return take_header(m, in);
    if (m->in.cmd == TT_SMUX_UPD || m->in.cmd == TT_SMUX_RST)
        return take_body(m, in);
    return take_payload(m, in, slab);
}

int tt_smux_input(struct tt_smux *m, uint64_t now_us, struct tt_span span, struct tt_slab *slab,
                  size_t *used)
{
    const size_t len = span.len;
    const uint64_t frames = m->stats.frames_in;
    int err = m->error;

    while (span.len > 0 && !err)
        err = take_some(m, &span, slab);
    *used = len - span.len;
    if (m->stats.frames_in != frames)
        m->last_frame_us = now_us;
    return err && err != TT_E_AGAIN ? fail(m, err) : err;
}

bool tt_smux_input_open(const struct tt_smux *m)
{
    if (m->error || (m->in.syn_waits && m->accept_waiting >= m->config.accept_backlog))
        return false;
    return m->in.payload_left > 0 || m->receive_tokens > 0;
}
