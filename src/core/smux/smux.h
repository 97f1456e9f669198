/* smux.h - many streams on one reliable byte stream (spec smux.md, native.md section 5).
 *
 * Sans-I/O and pull: bytes that came in order from KCP go into tt_smux_input; when KCP can send, it
 * takes the next frame with tt_smux_next_frame. Frames are made at that moment and no earlier, so
 * that control frames pass waiting data and streams share fairly: round robin, max_frame bytes a
 * turn, however much is asked for at a time.
 *
 * No copy but one on each side: what the application writes is copied into slabs, where room was
 * left in front for the frame header, and leaves from there (unsent.h); what arrives stays in the
 * slab that the carrier read it into (unless that is transient) until the application takes it
 * (received.h).
 *
 * What happened to streams is not called back but collected: tt_smux_next_event.
 *
 * One thread at a time. Errors: TT_E_PROTO and TT_E_VERSION from tt_smux_input and TT_E_TIMEOUT are
 * fatal for the session: nothing more is sent or taken, what had arrived can be read, streams can
 * be closed; dispose.
 *
 * Beyond Go: exact keepalive, windows enforced, strict lengths. Against what Go does (S-5) a
 * frame may be shorter than max_frame because its slab ends there. RST is a command 5 in
 * smux_input.c, a bit of enum tt_smux_due and a way to TT_SMUX_FIN_ACKED: it is not there yet.
 */
#ifndef TT_CORE_SMUX_SMUX_H
#define TT_CORE_SMUX_SMUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>
#include <turbotunnel/error.h>

#include "core/base/bytes.h"
#include "core/base/list.h"
#include "core/base/ring.h"
#include "core/base/slab.h"
#include "core/smux/table.h"

/* Bytes that any v2 sender may send on a stream before the first UPD (S-23). */
#define TT_SMUX_INITIAL_WINDOW 262144u

/* What a UPD says before our FIN to a legacy peer: more than a program is ever behind by. */
#define TT_SMUX_HALF_CLOSE_WINDOW (1u << 30)

struct tt_smux_config {
    bool client;                 /* odd stream numbers from 3; server: even from 2 (S-2) */
    uint8_t version;             /* 1, 2, or 0 (server only): what the first frame says */
    bool peer_resets;            /* the peer understands RST */
    bool accepts_resets;         /* the peer may have been told that we do */
    bool legacy_peer;            /* the peer is Go smux: apply */
    uint32_t max_frame;          /* most payload of a PSH that we send, 1..65535 */
    uint32_t max_receive_buffer; /* receive tokens of the session (S-22), below 2^31 */
    uint32_t max_stream_buffer;  /* the largest v2 window that we offer, <= max_receive_buffer */
    uint32_t max_send_buffer;    /* bytes that a stream holds before they are made into frames; less
                                    when many do: see tt_smux_write */
    uint32_t accept_backlog;     /* streams waiting to be accepted before input stops */
    uint32_t max_streams;        /* open at once; a SYN beyond ends the session (TT_E_PROTO) */
    uint64_t keepalive_interval_us; /* 0: send no NOP (S-31) */
    uint64_t keepalive_timeout_us;  /* 0: never; else no frame for so long: TT_E_TIMEOUT (S-32) */
    const uint8_t *hash_key;        /* borrowed, random: stream numbers come from outside */
    struct tt_slab_pool *slabs;     /* borrowed; outlives the session */

    /* Borrowed: is charged for the slabs in which received bytes of streams lie. Others may charge
     * what they hold for the same session to it.
     */
    struct tt_slab_account *account;
    const struct tt_alloc *alloc; /* borrowed */
};

/* What a stream can report; collected in struct tt_smux_stream.events until taken. */
enum tt_smux_event {
    TT_SMUX_READABLE = 1, /* bytes, or the end of the peer's side, wait to be read */
    TT_SMUX_WRITABLE = 2, /* there is room again after TT_E_FULL */
    TT_SMUX_FINISHED = 4, /* both sides ended and all that we sent is acknowledged */
};

/*             we end             the peer ends
 *   OPEN ---------------> HALF_LOCAL --------.
 *     |                                       v
 *     '-- the peer ends --> HALF_REMOTE --> ENDED
 *                              we end
 *   "we end" is the FIN of tt_smux_shutdown being sent; see ending below for the time until then.
 */
enum tt_smux_stream_state {
    TT_SMUX_OPEN,
    TT_SMUX_HALF_LOCAL,
    TT_SMUX_HALF_REMOTE,
    TT_SMUX_ENDED,
};

/* How far our own end has come:
 *   WRITING -> DRAINING (shutdown: data is still unsent) -> [OPENING -> (v2 legacy: the UPD that
 * opens the window is sent, and acknowledged; R-29: or our data is)] -> FIN_DUE -> FIN_SENT ->
 * FIN_ACKED
 */
enum tt_smux_ending {
    TT_SMUX_WRITING,
    TT_SMUX_DRAINING,
    TT_SMUX_OPENING,
    TT_SMUX_FIN_DUE,
    TT_SMUX_FIN_SENT,
    TT_SMUX_FIN_ACKED,
};

/* A piece of received or unsent bytes, lying in a slab to which one reference is held. */
struct tt_smux_piece {
    const uint8_t *ptr;
    struct tt_slab *slab;
    uint32_t len;
};

struct tt_smux_stream; /* stream.h; its user goes through the functions below */

/* Read stats and, where this header says so, fields; change nothing. */
struct tt_smux {
    struct tt_smux_config config;
    uint8_t version; /* in use; 0 until learned */
    bool nop_due;    /* one NOP waits to be sent; never two */
    bool rests;      /* nothing was written or came since tt_smux_shrink */
    int error;       /* 0, or the fatal error that ended it */
    uint32_t next_sid;
    struct tt_smux_table streams; /* all of them, closed ones until their end is known */
    struct tt_list accept_list;   /* opened by the peer, not accepted yet */
    struct tt_list urgent;        /* streams with SYN, UPD or FIN to send */
    struct tt_list sending;       /* streams with data and window, in turn */
    uint32_t accept_waiting;
    uint32_t sending_streams;
    uint64_t promised_bytes;  /* by windows, to the peer, and what came of that and was not read */
    struct tt_list ack_wait;  /* streams waiting for tt_smux_acked, in order of their offset */
    struct tt_list events;    /* streams with events not taken yet */
    struct tt_list lingering; /* closed streams that the window of a peer that has ended holds up */
    uint32_t lingering_streams;
    uint32_t closing_streams; /* closed by the application, but still there */
    size_t unsent_bytes;      /* of all streams */
    int64_t receive_tokens;   /* S-22; may go below 0 by one frame */
    struct tt_smux_frame_input {
        uint8_t bytes[8];      /* of a header, and then of the body of an UPD or RST */
        uint8_t have;          /* so many of them */
        uint8_t cmd;           /* of the current frame */
        bool syn_waits;        /* the last byte of a SYN was not taken: the backlog is full */
        uint32_t payload_left; /* of the current frame */
        struct tt_smux_stream *stream; /* of a PSH or UPD; NULL: payload is thrown away */
    } in;
    struct tt_slab *compact;      /* where small received pieces are copied together, or NULL */
    struct tt_slab *shared;       /* where control frames and small writes are put, or NULL */
    struct tt_smux_piece pending; /* payload whose header has been given out; len 0: none */
    uint64_t sent_offset;         /* bytes given out by tt_smux_next_frame so far */
    uint64_t data_offset;         /* the same, behind the last byte of any stream's data */
    uint64_t acked_offset;        /* bytes acknowledged, from tt_smux_acked */
    uint64_t nop_at_us;           /* next NOP, or TT_NEVER */
    uint64_t check_at_us;         /* keepalive timeout check, or TT_NEVER */
    uint64_t last_frame_us;       /* when the last frame header came */
    struct {
        uint64_t frames_in, frames_out;
        uint32_t ignored_frames; /* for streams that are not there (S-11) */
        uint32_t streams_opened, streams_accepted;
        uint32_t backlog_full;     /* times that input stopped for the accept backlog */
        uint32_t tokens_exhausted; /* times that input stopped for the receive buffer */
        uint64_t copied_bytes;     /* received bytes that were copied into compact slabs */
        uint64_t abandoned_bytes;  /* unsent bytes dropped: too many closed streams were stuck */
    } stats;
};

/* Returns 0, or TT_E_INVAL (a value outside its range): then there is nothing to dispose of. now_us
 * starts the keepalive. Allocates nothing.
 */
int tt_smux_init(struct tt_smux *m, const struct tt_smux_config *config, uint64_t now_us);

/* Frees all, streams too: no stream pointer is valid afterwards. Safe on all zeroes, and twice. */
void tt_smux_dispose(struct tt_smux *m);

/* --- towards KCP --- */

/* Takes received bytes, in order, cut anywhere (S-9). span is borrowed for the call; payload is
 * kept by reference to slab (NULL, or slab->transient: it is copied).
 *
 *   used   out: how many bytes were taken
 *
 * Returns 0             all were taken
 *         TT_E_AGAIN    stopped before the last byte: no receive tokens are left (S-22), a SYN does
 *                       not fit into the accept backlog, or there is no memory. Offer the rest
 *                       again once tt_smux_input_open says so; after a stop for memory it says so
 *                       at once: try later.
 *         TT_E_PROTO    (fatal) an unknown command (S-16); a length in SYN, FIN or NOP, or one
 *                       other than 8 in UPD (S-17: S1516 would go on inside the payload); UPD in
 *                       version 1; more than the window ever offered; too many streams
 *         TT_E_VERSION  (fatal) a version byte that is not ours (S-15)
 *
 * No errors are frames for streams that are not there, a second SYN, a second FIN, and empty PSHs
 * (S-11, S-12, S-13).
 */
int tt_smux_input(struct tt_smux *m, uint64_t now_us, struct tt_span span, struct tt_slab *slab,
                  size_t *used);

/* Whether tt_smux_input would take at least one more byte. O(1). */
bool tt_smux_input_open(const struct tt_smux *m);

/* Gives out the next bytes of the stream of frames as one contiguous piece, whose slab reference
 * moves to the caller. max_len (at least 16) bounds its length, header included. A piece is
 *
 *   - control frames, as many as fit: NOP; SYN, UPD and FIN of streams; or, when there are none,
 *   - one data frame, cut to what max_len and the stream's window allow; or
 *   - the header alone of such a frame, when there is no room for it in front of its payload,
 *     which is the rest of a frame that was cut: the next calls give it before anything else.
 *
 * Returns 0, TT_E_AGAIN (nothing to send) or TT_E_NOMEM (nothing has changed; try again later).
 */
int tt_smux_next_frame(struct tt_smux *m, uint64_t now_us, uint32_t max_len,
                       struct tt_smux_piece *piece);

/* Whether tt_smux_next_frame has something. O(1). */
bool tt_smux_wants_send(const struct tt_smux *m);

/* KCP has had acknowledged the first offset bytes of all that next_frame gave out. */
void tt_smux_acked(struct tt_smux *m, uint64_t offset);

/* Whether all is done that was begun: nothing unsent on any stream, every closed stream at its end,
 * and everything given out acknowledged. O(1). Before that a program that ends loses something.
 */
bool tt_smux_settled(const struct tt_smux *m);

/* Does what is due. A NOP every keepalive_interval_us from the start on, whatever else is sent
 * (S-31); while one waits to leave there is no other. When no frame has come for
 * keepalive_timeout_us, the session is over (S-32; the Go versions look once a timeout and notice
 * later), unless it was we who had stopped reading (S-33).
 * Returns 0 or TT_E_TIMEOUT (fatal).
 */
int tt_smux_handle_timeout(struct tt_smux *m, uint64_t now_us);

/* Lets go of the stream as tt_smux_close does, but ends it both ways at once and tells the peer
 * why: what is unsent is dropped. To a peer that does not understand it, it closes.
 */
void tt_smux_reset(struct tt_smux_stream *s, uint32_t code);

/* After TT_E_RESET: the code that the peer gave. */
uint32_t tt_smux_reset_code(const struct tt_smux_stream *s);

/* The peer understands RST. */
void tt_smux_peer_resets(struct tt_smux *m);

/* The peer is one of ours: what do for Go's smux is not needed from now on. */
void tt_smux_peer_is_native(struct tt_smux *m);

/* Frees what streams keep for their next bytes, when none has any: O(streams), but only once for
 * each time that something was written or came in between.
 */
void tt_smux_shrink(struct tt_smux *m);

/* When to call tt_smux_handle_timeout, or TT_NEVER. O(1). */
uint64_t tt_smux_deadline(const struct tt_smux *m);

/* --- towards the application --- */

/* Opens a stream; its SYN leaves with the next frames, no answer is awaited (S-7).
 * Returns 0, TT_E_NOMEM, TT_E_FULL (max_streams), TT_E_EXHAUSTED (no numbers left), or m->error.
 */
int tt_smux_open(struct tt_smux *m, struct tt_smux_stream **stream);

/* The next stream that the peer opened: 0 or TT_E_AGAIN. */
int tt_smux_accept(struct tt_smux *m, struct tt_smux_stream **stream);

/* The next stream with something to report, and what (enum tt_smux_event bits; they are cleared).
 * false: none. Streams not accepted yet report nothing; what they hold is reported after accept.
 * READABLE is reported for each arrival since the last report, not for what was left unread.
 */
bool tt_smux_next_event(struct tt_smux *m, struct tt_smux_stream **stream, unsigned *events);

/* Copies as much of data as there is room for into the stream: max_send_buffer bytes may wait
 * there, of a stream beside n > 4 others that have something to send 4/n of that, but at least 32
 * KiB. Returns 0 (*taken > 0, or len was 0); TT_E_FULL (nothing taken; TT_SMUX_WRITABLE will come);
 * TT_E_SHUT (after shutdown); TT_E_NOMEM (nothing taken; recoverable); TT_E_PROTO: the peer claimed
 * more of this stream than was sent (S-28: its writes fail for good, what was unsent is dropped; it
 * can be read and shut down, and the session goes on); or m->error.
 */
int tt_smux_write(struct tt_smux_stream *s, const void *data, size_t len, size_t *taken);

/* The same without the copy: room to be written into directly; then commit what was (0: nothing).
 * *len is at least 1 after 0 and at most max_send_buffer; it grows with writers that fill it.
 * In between, the session may be used in every way but for writes, shutdown and close of this
 * stream.
 *
 * Returns as tt_smux_write.
 */
int tt_smux_write_room(struct tt_smux_stream *s, uint8_t **room, size_t *len);
void tt_smux_write_commit(struct tt_smux_stream *s, size_t len);
/* Of the room that was given and not committed; 0: there is none (any more: the stream was reset).
 */
size_t tt_smux_room_bytes(const struct tt_smux_stream *s);

/* Copies out up to cap bytes that have arrived.
 * Returns 0 (*len > 0, or cap was 0); TT_E_AGAIN (nothing there; TT_SMUX_READABLE will come);
 * TT_E_END (the peer has ended its side and all was read); or m->error once all was read.
 */
int tt_smux_read(struct tt_smux_stream *s, void *buf, size_t cap, size_t *len);

/* The same without the copy: up to *count spans of what has arrived, in order; valid until the next
 * call on this session. Returns as tt_smux_read, *count > 0 after 0.
 */
int tt_smux_peek(struct tt_smux_stream *s, struct tt_span *spans, size_t *count);

/* len bytes of what was peeked are done with; len is at most what is there. */
void tt_smux_consume(struct tt_smux_stream *s, size_t len);

/* Reports events (enum tt_smux_event bits) as if they happened now: for who began to listen late,
 * or did not read all.
 */
void tt_smux_report_again(struct tt_smux_stream *s, unsigned events);

/* Bytes that wait to be read. */
size_t tt_smux_readable_bytes(const struct tt_smux_stream *s);

/* Ends our side, after what is unsent: FIN, our half of the close (S-19, S-20, R-29). To a legacy
 * v2 peer the stream's window is opened wide first (UPD with TT_SMUX_HALF_CLOSE_WINDOW, and all
 * later ones with no less), since S1516's writer fails when it must wait after our FIN; FIN leaves
 * when that UPD is acknowledged. When a legacy peer has ended its side already, FIN waits until our
 * data is acknowledged (Scur loses what is unread). In all other cases FIN follows the data at
 * once.
 *
 * Returns 0, TT_E_SHUT (done before), or m->error.
 */
int tt_smux_shutdown(struct tt_smux_stream *s);

/* The application is done with the stream: shutdown if that was not done (without opening the
 * window), what arrived and arrives is thrown away (and its window kept moving, so that a peer
 * still sending is not stuck before it sees FIN), no more events. The pointer is invalid
 * afterwards; what is unsent is still sent, then FIN. The stream's number is free again when that
 * is acknowledged or the peer has ended too (S-21). Not to be called on streams that were not
 * accepted.
 */
void tt_smux_close(struct tt_smux_stream *s);

/* Its number, and a pointer for the application's own use (NULL at first). */
uint32_t tt_smux_stream_id(const struct tt_smux_stream *s);
void *tt_smux_stream_user(const struct tt_smux_stream *s);
void tt_smux_stream_set_user(struct tt_smux_stream *s, void *user);

/* Whether all that was written, and FIN after tt_smux_shutdown, is sent and acknowledged. */
bool tt_smux_stream_settled(const struct tt_smux_stream *s);

/* Bytes written that are not made into frames yet. */
size_t tt_smux_unsent_bytes(const struct tt_smux_stream *s);

#endif
