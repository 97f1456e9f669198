/* stream.h - one smux stream, inside core/smux: its fields, and how it lives and ends.
 *
 * Owned by the session: in m->streams from tt_smux_stream_new until tt_smux_stream_free.
 */
#ifndef TT_CORE_SMUX_STREAM_H
#define TT_CORE_SMUX_STREAM_H

#include "core/smux/received.h"
#include "core/smux/smux.h"
#include "core/smux/unsent.h"
#include "core/smux/window.h"

/* Control frames that wait to be sent, in the order in which they leave. */
enum tt_smux_due {
    TT_SMUX_DUE_SYN = 1,
    TT_SMUX_DUE_UPD = 2,
    TT_SMUX_DUE_FIN = 4,
    TT_SMUX_DUE_RST = 8, /* in place of UPD and FIN */
};

struct tt_smux_stream {
    struct tt_smux *m;
    void *user;
    uint32_t sid;
    enum tt_smux_stream_state state;
    enum tt_smux_ending ending;
    uint8_t due;         /* enum tt_smux_due bits; in m->urgent while not 0 */
    uint8_t events;      /* enum tt_smux_event bits; in m->events while not 0 and accepted */
    bool accepted;       /* opened by us, or taken by tt_smux_accept */
    bool closed;         /* tt_smux_close: the application has let go */
    bool broken;         /* S-28: nothing more is written */
    bool reset;          /* by the peer */
    bool wants_writable; /* a write met TT_E_FULL */
    bool sends;          /* it is in m->sending */
    uint32_t reset_code; /* its code, or ours while DUE_RST */
    struct tt_smux_send_window send_window;
    int32_t turn_left; /* bytes that it may still send before it goes to the end of m->sending */
    uint64_t promised_bytes; /* counted in m->promised_bytes */
    uint64_t last_offset; /* of m->sent_offset, behind the last SYN, data or FIN of this stream */
    uint64_t wait_offset; /* in m->ack_wait: what must be acknowledged */
    struct tt_smux_receive_window receive_window;
    struct tt_smux_unsent unsent;
    struct tt_smux_received received;
    struct tt_list_node all_node;
    struct tt_list_node urgent_node;
    struct tt_list_node turn_node;  /* in m->sending; later, all given out, in m->ack_wait */
    struct tt_list_node phase_node; /* in m->accept_list; once accepted, in m->events; once closed,
                                       in m->lingering */
};

/* A new stream in the session's tables. Returns 0, TT_E_NOMEM, or TT_E_INVAL (the number is taken).
 */
int tt_smux_stream_new(struct tt_smux *m, uint32_t sid, struct tt_smux_stream **stream);

/* Takes it out of everything and frees it: it was accepted, or the session ends. */
void tt_smux_stream_free(struct tt_smux_stream *s);

/* Puts control frames into the queue (enum tt_smux_due). */
void tt_smux_stream_make_due(struct tt_smux_stream *s, unsigned due);

/* Reports something (enum tt_smux_event), unless the application has let go of the stream. */
void tt_smux_stream_report(struct tt_smux_stream *s, unsigned events);

/* Bytes that could leave as data now: waiting, and allowed by the peer's window. */
uint32_t tt_smux_stream_sendable(const struct tt_smux_stream *s);

/* Counts anew what the peer may still send on it, and what of that came and was not read. */
void tt_smux_stream_count_promise(struct tt_smux_stream *s);

/* A UPD is about to leave: its window grows with a reader that keeps up, and all windows together
 * stay below the session's receive buffer, so that no stream can use up another's.
 */
void tt_smux_stream_tune_window(struct tt_smux_stream *s);

/* How many bytes may wait to be sent on this stream, now that so many others have some to send. */
uint32_t tt_smux_stream_most_unsent(const struct tt_smux_stream *s);

/* Call when what is unsent or the window has changed: puts the stream into m->sending, or takes it
 * out.
 */
void tt_smux_stream_update_sending(struct tt_smux_stream *s);

/* Bytes were read, or thrown away: makes the UPD due that this calls for. */
void tt_smux_stream_consumed(struct tt_smux_stream *s, size_t len);

/* Takes our end of the stream as far as it can go now (enum tt_smux_ending). Frees the stream when
 * it is over: the caller does not touch it afterwards.
 */
void tt_smux_stream_advance(struct tt_smux_stream *s);

/* Its FIN has been given out. */
void tt_smux_stream_fin_sent(struct tt_smux_stream *s);

/* From here on it waits for the acknowledgement of all that was given out so far; it waits for
 * nothing yet.
 */
void tt_smux_stream_await_ack(struct tt_smux_stream *s);

/* That has come. May free the stream. */
void tt_smux_stream_acked(struct tt_smux_stream *s);

/* The peer's FIN. May free the stream. */
void tt_smux_stream_peer_ended(struct tt_smux_stream *s);

/* The peer's RST: over both ways, but what has come can be read. May free the stream. */
void tt_smux_stream_reset_by_peer(struct tt_smux_stream *s, uint32_t code);

/* Its RST has been given out: it is over. Frees it. */
void tt_smux_stream_rst_sent(struct tt_smux_stream *s);

/* What is unsent is not sent any more. */
void tt_smux_stream_drop_unsent(struct tt_smux_stream *s);

/* The peer claims to have consumed more than was sent: what is unsent is dropped (S-28). */
void tt_smux_stream_break(struct tt_smux_stream *s);

static inline bool tt_smux_stream_peer_has_ended(const struct tt_smux_stream *s)
{
    return s->state == TT_SMUX_HALF_REMOTE || s->state == TT_SMUX_ENDED;
}

#endif
