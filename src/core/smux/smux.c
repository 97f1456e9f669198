#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/smux/frame.h"
#include "core/smux/smux.h"
#include "core/smux/stream.h"

#define MOST_SIGNED UINT32_C(0x7fffffff) /* windows and tokens are signed 32-bit numbers in Go */

static bool in_range(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most;
}

static bool config_is_good(const struct tt_smux_config *c)
{
    return c->version <= 2 && (c->version > 0 || !c->client) &&
           in_range(c->max_frame, 1, TT_SMUX_MAX_PAYLOAD) &&
           in_range(c->max_receive_buffer, 1, MOST_SIGNED) &&
           in_range(c->max_stream_buffer, 1, c->max_receive_buffer) &&
           in_range(c->max_send_buffer, 1, MOST_SIGNED) && c->accept_backlog > 0 &&
           c->max_streams > 0 &&
           (c->keepalive_timeout_us == 0 || c->keepalive_timeout_us >= c->keepalive_interval_us) &&
           c->slabs && c->account && c->alloc;
}

static uint64_t first_deadline(uint64_t now_us, uint64_t delay_us)
{
    return delay_us ? tt_deadline_after(now_us, delay_us) : TT_NEVER;
}

int tt_smux_init(struct tt_smux *m, const struct tt_smux_config *config, uint64_t now_us)
{
    if (!config_is_good(config)) {
        *m = (struct tt_smux){.version = 0};
        return TT_E_INVAL;
    }
    *m = (struct tt_smux){.config = *config,
                          .version = config->version,
                          .next_sid = config->client ? 3 : 2,
                          .receive_tokens = config->max_receive_buffer,
                          .nop_at_us = first_deadline(now_us, config->keepalive_interval_us),
                          .check_at_us = first_deadline(now_us, config->keepalive_timeout_us),
                          .last_frame_us = now_us};
    tt_smux_table_init(&m->streams);
    struct tt_list *lists[] = {&m->accept_list, &m->urgent, &m->sending,
                               &m->ack_wait,    &m->events, &m->lingering};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        tt_list_init(lists[i]);
    return TT_OK;
}

void tt_smux_dispose(struct tt_smux *m)
{
    if (!m->config.alloc)
        return;
    for (struct tt_list_node *n; (n = tt_list_first(&m->streams.all)) != NULL;)
        tt_smux_stream_free(TT_CONTAINER_OF(n, struct tt_smux_stream, all_node));
    tt_smux_table_dispose(&m->streams, m->config.alloc);
    tt_slab_unref(m->compact);
    tt_slab_unref(m->shared);
    tt_slab_unref(m->pending.slab);
    *m = (struct tt_smux){.version = 0};
}

int tt_smux_handle_timeout(struct tt_smux *m, uint64_t now_us)
{
    if (m->error)
        return m->error;
    /* A server that does not know the version yet cannot send; it takes the next occasion. */
    if (now_us >= m->nop_at_us && m->version == 0)
        m->nop_at_us = tt_deadline_after(now_us, m->config.keepalive_interval_us);
    else if (now_us >= m->nop_at_us)
        m->nop_due = true;
    if (now_us < m->check_at_us)
        return TT_OK;
    /* What stops our own reading is no silence of the peer's (S-33). */
    const uint64_t alive_us = tt_smux_input_open(m) ? m->last_frame_us : now_us;
    m->check_at_us = tt_deadline_after(alive_us, m->config.keepalive_timeout_us);
    if (now_us < m->check_at_us)
        return TT_OK;
    m->error = TT_E_TIMEOUT;
    return m->error;
}

void tt_smux_shrink(struct tt_smux *m)
{
    if (m->rests || m->unsent_bytes > 0 || m->receive_tokens < m->config.max_receive_buffer)
        return;
    m->rests = true;
    TT_LIST_FOR_EACH(node, &m->streams.all)
    {
        struct tt_smux_stream *s = TT_CONTAINER_OF(node, struct tt_smux_stream, all_node);
        tt_smux_unsent_shrink(m, &s->unsent);
        tt_smux_received_shrink(m, &s->received);
    }
}

uint64_t tt_smux_deadline(const struct tt_smux *m)
{
    if (m->error)
        return TT_NEVER;
    return m->nop_due ? m->check_at_us : tt_min_u64(m->nop_at_us, m->check_at_us);
}

void tt_smux_peer_is_native(struct tt_smux *m)
{
    m->config.legacy_peer = false;
    m->nop_due = false;
    m->nop_at_us = TT_NEVER;
}

void tt_smux_peer_resets(struct tt_smux *m)
{
    m->config.peer_resets = true;
}

/* The next free number of ours. The peer may have opened a stream with one of them (S-14). */
static int new_stream(struct tt_smux *m, struct tt_smux_stream **stream)
{
    for (;;) {
        if (m->next_sid < 2)
            return TT_E_EXHAUSTED;
        int err = tt_smux_stream_new(m, m->next_sid, stream);
        if (err == TT_E_NOMEM)
            return err;
        /* Wraps to 1 or 0: there are no more (section 3). */
        m->next_sid += 2;
        if (!err)
            return TT_OK;
    }
}

int tt_smux_open(struct tt_smux *m, struct tt_smux_stream **stream)
{
    if (m->error)
        return m->error;
    if (m->streams.count >= m->config.max_streams)
        return TT_E_FULL;
    int err = new_stream(m, stream);
    if (err)
        return err;
    (*stream)->accepted = true;
    tt_smux_stream_make_due(*stream, TT_SMUX_DUE_SYN);
    m->stats.streams_opened++;
    return TT_OK;
}

int tt_smux_accept(struct tt_smux *m, struct tt_smux_stream **stream)
{
    struct tt_list_node *n = tt_list_pop_front(&m->accept_list);
    if (!n)
        return TT_E_AGAIN;
    *stream = TT_CONTAINER_OF(n, struct tt_smux_stream, phase_node);
    m->accept_waiting--;
    (*stream)->accepted = true;
    tt_smux_stream_report(*stream, 0); /* what was noted while nobody could be told */
    m->stats.streams_accepted++;
    return TT_OK;
}

bool tt_smux_next_event(struct tt_smux *m, struct tt_smux_stream **stream, unsigned *events)
{
    struct tt_list_node *n = tt_list_pop_front(&m->events);
    if (!n)
        return false;
    *stream = TT_CONTAINER_OF(n, struct tt_smux_stream, phase_node);
    *events = (*stream)->events;
    (*stream)->events = 0;
    return true;
}

bool tt_smux_settled(const struct tt_smux *m)
{
    return m->unsent_bytes == 0 && m->closing_streams == 0 && !tt_smux_wants_send(m) &&
           m->acked_offset == m->sent_offset;
}
