/* session.h - sessions, which outlive the connections that carry them.
 *
 * A client dials one, a server accepts it from a listener; either end opens streams in it. When a
 * connection ends, by whatever cause, the client dials again at once and the session goes on where
 * it was. A dial that fails is repeated, after 50 ms, 100 ms, ... 2 s, until nothing has been heard
 * for the session's time limit.
 *
 * Wire compatible with kcp-go and smux over length-prefixed packets, as in the worked example of
 * the Turbo Tunnel paper (docs/from-the-worked-example.md).
 */
#ifndef TURBOTUNNEL_SESSION_H
#define TURBOTUNNEL_SESSION_H

#include <stdint.h>

#include <turbotunnel/error.h>
#include <turbotunnel/options.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tt_session;
struct tt_stream;
struct tt_listener;

/* --- client --- */

/* Dials address ("HOST:PORT", "[IPv6]:PORT", "unix:PATH") and begins a session. Blocks until the
 * first connection stands, or has failed once: a server that cannot be reached now is an error now.
 *
 *   options  NULL: the defaults; options->loop, if given, must be running on another thread
 *   session  out: yours, until tt_session_close
 *   why      out, may be NULL: for an error, a line for a person
 *
 * Returns 0, TT_E_INVAL (address or options make no sense), TT_E_RESOLVE, TT_E_UNREACHABLE,
 * TT_E_NOMEM, TT_E_SYSTEM.
 */
TT_EXPORT int tt_dial(const char *address, const struct tt_options *options,
                      struct tt_session **session, struct tt_error_text *why);

/* What happens to a session, for programs that do not want to block. Any may be NULL. */
struct tt_session_callbacks {
    void (*connected)(void *ctx, struct tt_session *session); /* its first connection stands */
    void (*stream_opened)(void *ctx, struct tt_session *session,
                          struct tt_stream *stream); /* by the peer; instead of accepting it */
    /* The session is over: err says why. Its streams can be read to their end; close it. */
    void (*ended)(void *ctx, struct tt_session *session, int err);
};

/* As tt_dial, but returns at once; options->loop must be given. The first dial failing is not the
 * end: it is repeated like any other. Returns 0, TT_E_INVAL, TT_E_NOMEM, TT_E_SYSTEM.
 */
TT_EXPORT int tt_session_begin(const char *address, const struct tt_options *options,
                               const struct tt_session_callbacks *callbacks, void *ctx,
                               struct tt_session **session, struct tt_error_text *why);

/* For sessions from a listener or tt_dial: from now on these come, in place of blocking calls. */
TT_EXPORT void tt_session_set_callbacks(struct tt_session *session,
                                        const struct tt_session_callbacks *callbacks, void *ctx);

/* Closes: waits until all that was written is acknowledged, at most options.linger_us, then ends
 * the connections and frees the session. Streams still open are closed first; their pointers and
 * the session's are invalid afterwards. The session at a server stays behind for a minute, to
 * acknowledge what its client repeats. From a callback, it does not wait: the lingering goes on
 * behind your back.
 *
 * Returns 0, also when the peer had closed the session and all our data had arrived; TT_E_TIMEOUT:
 * something was not acknowledged in time; or the error that had ended the session.
 */
TT_EXPORT int tt_session_close(struct tt_session *session);

/* The program knows that the network has changed (a phone has left its Wi-Fi, an address is new):
 * no connection of the client's session is trusted until it has answered, one is dialled at once
 * whatever failed before, and what was learned about limits is forgotten. Nothing at a server's
 * session. Not needed after suspend: that is noticed.
 */
TT_EXPORT void tt_session_network_changed(struct tt_session *session);

/* --- both ends --- */

/* Opens a stream; nothing is awaited. Returns 0, TT_E_FULL (max_streams are open), TT_E_EXHAUSTED,
 * TT_E_NOMEM, or the error that ended the session.
 */
TT_EXPORT int tt_session_open_stream(struct tt_session *session, struct tt_stream **stream);

/* Waits for a stream that the peer opens. Returns 0, TT_E_NOMEM, TT_E_INVAL (from a callback), or
 * the error that ended the session: TT_E_CLOSED (the peer has closed it), TT_E_TIMEOUT (nothing
 * came from it for too long).
 */
TT_EXPORT int tt_session_accept_stream(struct tt_session *session, struct tt_stream **stream);

/* The session ID as 16 hexadecimal digits; lives as long as the session. */
TT_EXPORT const char *tt_session_id(const struct tt_session *session);

/* Server: the public key that the session's client has proven to have. Returns 0 or TT_E_INVAL: it
 * has proven none, or the session is a plain one.
 */
TT_EXPORT int tt_session_client_key(struct tt_session *session, uint8_t key[32]);

/* A line for a person about the error that ended the session, or ""; lives as long as the session.
 */
TT_EXPORT const char *tt_session_error_text(struct tt_session *session);

struct tt_session_stats {
    uint64_t connections; /* carriers that stood, the present one included */
    uint64_t dials_failed;
    uint64_t packets_sent, packets_received;
    uint64_t bytes_sent, bytes_received; /* of streams, smux headers included */
    uint64_t segments_sent;              /* KCP segments of data, repeated ones included */
    uint64_t retransmits_carrier;        /* sent again because the connection died */
    uint64_t retransmits_fast;           /* because later ones arrived */
    uint64_t retransmits_timeout;        /* because a timer ran out */
    uint64_t duplicates_received;
    uint64_t
        longest_silence_us; /* between two deliveries, while data was arriving before and after */
    uint64_t srtt_us;       /* smoothed round-trip time of the present carrier, 0: unknown */
    bool sealed, confirmed; /* confirmed: the server is known to have the (sealed) session */
    uint64_t handshakes; /* sealed client: handshakes begun, for a new session or to ask for it */
    uint64_t handshakes_unanswered;
    uint64_t server_full;        /* sealed client: the server said that it is at a limit */
    uint64_t packets_not_opened; /* sealed: what came and was not from the other end */
    /* Client: what one connection reached at most, and what those had reached that ended, or fell
     * silent, though nobody here had meant it. 0: none did.
     */
    uint64_t most_bytes_up, most_bytes_down, longest_age_us;
    uint64_t connections_died;
    uint64_t died_least_bytes_up, died_most_bytes_up;
    uint64_t died_least_bytes_down, died_most_bytes_down;
    uint64_t died_least_age_us, died_most_age_us;
    /* What was learned from that: no connection is used for more. 0: nothing. */
    uint64_t learned_bytes_up, learned_bytes_down, learned_age_us;
};

TT_EXPORT void tt_session_get_stats(struct tt_session *session, struct tt_session_stats *stats);

/* --- server --- */

/* Listens on address ("HOST:PORT", "[IPv6]:PORT", "unix:PATH"; port 0: any), or on descriptor N
 * ("fd:N"), a stream socket that listens already, which is the listener's from then on. TT_E_INVAL,
 * TT_E_RESOLVE, TT_E_ADDRESS (in use, not permitted, not of this machine, no such socket),
 * TT_E_NOMEM, TT_E_SYSTEM.
 *
 * options->workers, 2 to 256, spreads the sessions over as many loops, each with its lock and a
 * thread of its own; one more thread accepts. A session belongs to one of them for its life, by a
 * keyed hash of its ID, whichever connection its packets come on. Then
 *
 * - callbacks of a session, and the listener's `begun` for it, come on its worker's thread; those
 *   of different sessions at the same time. report comes on any of these threads.
 * - in a callback, call only functions of sessions and streams of the same worker: the callback's
 *   own session, that is. Another worker's lock may be held by a callback that waits for yours, for
 *   ever. Functions of the listener itself may be called from all callbacks.
 * - max_connections, max_sessions, accept_backlog and max_buffer_bytes hold for all together. When
 *   the place for a session has to come from a closed one at another worker, the client finds it
 *   when it asks again. Of max_buffer_bytes, which must be 1 MiB for each worker at least, a worker
 *   takes pieces of a 32nd of its share, at most 1 MiB: the others find less than two of those
 *   fewer.
 * - of sealed sessions, max_half_open holds for all together too, and inits_per_second for each
 *   worker: it bounds how much of one processor an address can use. options->welcome may be called
 *   by several threads at once.
 * - options->loop must be NULL, and options->alloc must be for several threads.
 */
TT_EXPORT int tt_listen(const char *address, const struct tt_options *options,
                        struct tt_listener **listener, struct tt_error_text *why);

/* The address it listens on, with the port it got. Lives as long as the listener. */
TT_EXPORT const char *tt_listener_address(const struct tt_listener *listener);

/* Waits for a session that a client begins. Returns 0, TT_E_CLOSED (tt_listener_stop), TT_E_NOMEM,
 * TT_E_INVAL (from a callback).
 */
TT_EXPORT int tt_listener_accept(struct tt_listener *listener, struct tt_session **session);

/* Instead of accepting: begun comes for each session, those that wait already included. From a
 * callback, other workers learn of it a little later; otherwise no older one runs any more when
 * this returns.
 */
TT_EXPORT void tt_listener_set_callback(struct tt_listener *listener,
                                        void (*begun)(void *ctx, struct tt_session *session),
                                        void *ctx);

/* No new connections or sessions; tt_listener_accept returns TT_E_CLOSED. Any thread. When a
 * callback stops it, `begun` may be under way at other workers still.
 */
TT_EXPORT void tt_listener_stop(struct tt_listener *listener);

/* Stops, waits until closed sessions have delivered what they had (at most options.linger_us), ends
 * all connections and frees the listener. All its sessions must have been closed. From a callback
 * it does not wait: what they had not delivered is lost. A callback of a listener with several
 * workers must know that no session begins at another one meanwhile: close it from a thread.
 */
TT_EXPORT void tt_listener_close(struct tt_listener *listener);

struct tt_listener_stats {
    uint64_t connections;         /* ever accepted */
    uint64_t connections_now;     /* open */
    uint64_t connections_refused; /* by max_connections */
    uint64_t connections_crowded; /* refused by max_connections_per_address */
    uint64_t accept_failures;     /* no descriptors or memory */
    uint64_t handshakes_expired;  /* connections ended for want of their 8 bytes in time */
    uint64_t idle_ended;          /* connections ended since nothing came for the session timeout */
    uint64_t sessions_begun, sessions_expired, sessions_replaced, sessions_now;
    uint64_t sessions_refused; /* by max_sessions, accept_backlog or memory */
    uint64_t packets_stray;    /* of no session, and unfit to begin one */
    uint64_t buffer_bytes;     /* held for all sessions now */
    /* Sealed: handshakes that were tried, and what became of them. */
    uint64_t handshakes, handshakes_opened;  /* opened: a session may follow */
    uint64_t handshakes_asked;               /* for a session that their client has (M-16) */
    uint64_t refused_not_opened;             /* by somebody who has not the key, or changed */
    uint64_t refused_time, refused_replayed; /* clocks that are off; handshakes seen before */
    uint64_t refused_not_welcome, refused_rate;
    uint64_t refused_full;      /* clients that were told so, for max_sessions, accept_backlog
                                   or max_half_open ... */
    uint64_t refused_half_open; /* ... of them, for the last */
    uint64_t half_open_expired; /* handshakes that nothing came of */
    uint64_t connections_muted; /* on which something was wrong */
    uint64_t connections_unproven_now; /* open, and nothing is proven yet */
    uint64_t sessions_turned_out;      /* by tt_listener_review_clients */
};

/* What options.welcome says may have changed: ends the sessions of those that are not welcome any
 * more: at once; in a callback, at other workers than the callback's soon. Any thread.
 */
TT_EXPORT void tt_listener_review_clients(struct tt_listener *listener);

/* Summed over all workers. From a callback, those of other workers are as of their last turn. */
TT_EXPORT void tt_listener_get_stats(struct tt_listener *listener, struct tt_listener_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
