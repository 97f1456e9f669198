/* stream.h - one bidirectional stream of bytes inside a session, as reliable as TCP wants to be.
 *
 * Three ways to use it: blocking calls, which go straight to the stream's buffers; callbacks with
 * the try_ calls; or a descriptor that poll, read and write understand. Reading and writing may go
 * on in two threads at once. A thread that waits runs the loop meanwhile (loop.h).
 */
#ifndef TURBOTUNNEL_STREAM_H
#define TURBOTUNNEL_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/error.h>
#include <turbotunnel/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- blocking --- */

/* Waits until something has arrived, and copies out up to cap bytes (cap > 0).
 * Returns 0 (*len > 0); TT_E_END (the peer has ended its side and all was read); TT_E_RESET (the
 * peer has reset the stream); TT_E_INVAL (cap is 0, or from a callback); or the error that ended
 * the session, once all that had arrived was read.
 */
TT_EXPORT int tt_stream_read(struct tt_stream *stream, void *buf, size_t cap, size_t *len);

/* Waits until all of data is taken over (not: has arrived). Returns 0; TT_E_SHUT (after
 * tt_stream_shutdown); TT_E_RESET; TT_E_NOMEM; TT_E_INVAL (from a callback); or the error that
 * ended the session.
 */
TT_EXPORT int tt_stream_write(struct tt_stream *stream, const void *data, size_t len);

/* Ends our side behind what was written: the peer's read returns the end. Reading goes on.
 * Returns 0, TT_E_SHUT (done before), TT_E_RESET, or the error that ended the session.
 */
TT_EXPORT int tt_stream_shutdown(struct tt_stream *stream);

/* Closes: shutdown, if that was not done; what has arrived and still arrives is thrown away, what
 * was written is still delivered. The pointer is invalid afterwards. Calls that wait on it in other
 * threads must have returned.
 */
TT_EXPORT void tt_stream_close(struct tt_stream *stream);

/* Why a stream was reset: numbers on the wire (native.md R-30); others may be used among programs
 * that agree on them.
 */
enum tt_reset_code {
    TT_RESET_NONE = 0,
    TT_RESET_REFUSED = 1,
    TT_RESET_UNREACHABLE = 2,
    TT_RESET_NO_SUCH_NAME = 3,
    TT_RESET_NOT_ALLOWED = 4,
    TT_RESET_BY_PROGRAM = 5,
    TT_RESET_LIMIT = 6,
};

/* Closes as tt_stream_close does, but ends both directions at once: what was not sent yet is
 * dropped, and the peer's reads, once it has read what had arrived, and writes return TT_E_RESET. A
 * legacy peer does not know of this: to it, it is tt_stream_close.
 */
TT_EXPORT void tt_stream_reset(struct tt_stream *stream, uint32_t code);

/* After TT_E_RESET: the peer's code (enum tt_reset_code, perhaps another). */
TT_EXPORT uint32_t tt_stream_reset_code(const struct tt_stream *stream);

/* --- callbacks --- */

struct tt_stream_callbacks {
    /* Something, or the end, can be read: read until TT_E_AGAIN. */
    void (*readable)(void *ctx, struct tt_stream *stream);
    /* After TT_E_FULL: there is room again. */
    void (*writable)(void *ctx, struct tt_stream *stream);
};

/* Sets or (NULL) unsets them. What can be read already is reported at the end of the turn. */
TT_EXPORT void tt_stream_set_callbacks(struct tt_stream *stream,
                                       const struct tt_stream_callbacks *callbacks, void *ctx);

/* As tt_stream_read, but TT_E_AGAIN where that would wait. */
TT_EXPORT int tt_stream_try_read(struct tt_stream *stream, void *buf, size_t cap, size_t *len);

/* Takes over what there is room for. Returns 0 (*taken > 0), TT_E_FULL where tt_stream_write would
 * wait, TT_E_SHUT, TT_E_RESET, TT_E_NOMEM, or the error that ended the session.
 */
TT_EXPORT int tt_stream_try_write(struct tt_stream *stream, const void *data, size_t len,
                                  size_t *taken);

/* The same without a copy, in callbacks of the loop alone: TT_E_INVAL elsewhere. */

/* What lies somewhere in the library's memory. */
struct tt_piece {
    const void *data;
    size_t len;
};

/* Gives up to *count pieces of what has arrived, in order, and says in *count how many; they are
 * valid until the callback returns or calls anything else for this stream or its session. Returns 0
 * (*count > 0), and else as tt_stream_try_read.
 */
TT_EXPORT int tt_stream_peek(struct tt_stream *stream, struct tt_piece *pieces, size_t *count);

/* That many bytes of what can be read are done with: the peer may send more instead. Returns 0, or
 * TT_E_INVAL: there are not so many.
 */
TT_EXPORT int tt_stream_consume(struct tt_stream *stream, size_t len);

/* Gives room to write into, *len bytes of it, which grows with writers that fill it. It is valid
 * until the callback returns; writing, shutting down and closing give it back. Returns as
 * tt_stream_try_write.
 */
TT_EXPORT int tt_stream_room(struct tt_stream *stream, void **room, size_t *len);

/* So much of the room was filled and is to be sent; 0: none. Returns 0, or TT_E_INVAL: there was
 * less room, or none.
 */
TT_EXPORT int tt_stream_commit(struct tt_stream *stream, size_t len);

/* The program's own pointer; NULL at first. */
TT_EXPORT void tt_stream_set_user(struct tt_stream *stream, void *user);
TT_EXPORT void *tt_stream_user(const struct tt_stream *stream);

/* --- descriptor --- */

/* Turns the stream into a connected socket for poll, read, write, shutdown(SHUT_WR) and close. The
 * stream pointer is invalid afterwards; the descriptor is the caller's, and closing it closes the
 * stream. Costs two more copies than the calls above. When the session ends with an error, reading
 * and writing give ECONNRESET or EPIPE, or an early end. Returns 0, TT_E_NOMEM or TT_E_SYSTEM (the
 * stream is as it was).
 */
TT_EXPORT int tt_stream_into_fd(struct tt_stream *stream, int *fd);

/* Its number in the session, for logs. */
TT_EXPORT uint32_t tt_stream_id(const struct tt_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
