/* error.h - what every function of this library that can fail returns.
 *
 * 0 or one of the negative numbers below; they never change their meaning. Counts and pointers
 * leave through out-parameters, so "0 bytes" is never confused with "ok", "end" or "try again".
 */
#ifndef TURBOTUNNEL_ERROR_H
#define TURBOTUNNEL_ERROR_H

#include <stdbool.h>

#include <turbotunnel/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Above TT_E_FATAL the object that was called on is sound and may be used on; at or below it that
 * object is dead: dispose of it.
 */
#define TT_ERROR_MAP(X)                                                                            \
    X(TT_E_AGAIN, -1, "nothing to do until there is more input, or room, or time has passed")      \
    X(TT_E_FULL, -2, "a limit is reached; try again when there is room")                           \
    X(TT_E_INVAL, -3, "the caller passed a value outside its documented range")                    \
    X(TT_E_END, -4, "the peer has ended its side of the stream")                                   \
    X(TT_E_SHUT, -5, "this side of the stream was ended already")                                  \
    X(TT_E_RESET, -6, "the peer has reset the stream")                                             \
    X(TT_E_NOMEM, -100, "the allocator returned no memory")                                        \
    X(TT_E_PROTO, -101, "the peer broke the protocol")                                             \
    X(TT_E_TOO_LONG, -102, "the peer announced more bytes than it may send")                       \
    X(TT_E_TIMEOUT, -103, "no carrier brought anything within the session's time limit")           \
    X(TT_E_CLOSED, -104, "the session, stream or listener is closed")                              \
    X(TT_E_VERSION, -105, "the peer speaks another version of smux")                               \
    X(TT_E_UNREACHABLE, -106, "the peer could not be reached")                                     \
    X(TT_E_RESOLVE, -107, "the name could not be resolved")                                        \
    X(TT_E_ADDRESS, -108, "the address could not be listened on")                                  \
    X(TT_E_SYSTEM, -109, "the operating system refused a resource")                                \
    X(TT_E_LOST, -110, "the peer no longer has the session")                                       \
    X(TT_E_TRUNCATED, -111, "the input ended in the middle of a packet")                           \
    X(TT_E_EXHAUSTED, -112, "no stream numbers are left in the session")

enum tt_error {
    TT_OK = 0,
#define X(name, number, text) name = (number),
    TT_ERROR_MAP(X)
#undef X
        TT_E_FATAL = TT_E_NOMEM,
};

/* A static string, never NULL, also for numbers that are none of ours. Any thread. */
TT_EXPORT const char *tt_strerror(int err);

/* The name of the number, "TT_E_AGAIN", for logs and metrics; "TT_E_?" for others. Any thread. */
TT_EXPORT const char *tt_error_name(int err);

static inline bool tt_is_fatal(int err)
{
    return err <= TT_E_FATAL;
}

#ifdef __cplusplus
}
#endif

#endif
