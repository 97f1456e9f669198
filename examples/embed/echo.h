/* echo.h - an echo client and server in callbacks: what a program does, without the loop it does it
 * in. poll.c and uv.c put it into two different ones; one reads those.
 *
 * All of it on the loop's thread.
 */
#ifndef EMBED_ECHO_H
#define EMBED_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/turbotunnel.h>

/* --- server --- */

/* Sends back what comes, on every stream of every session, until the listener is closed. Returns as
 * tt_listen does.
 */
int echo_serve(struct tt_loop *loop, const char *address, struct tt_listener **listener,
               struct tt_error_text *why);

/* --- client --- */

struct echo_client {
    struct tt_session *session; /* owned; close it */
    struct tt_stream *stream;   /* of that session */
    uint8_t input[65536];
    size_t input_from, input_to; /* of it the bytes that found no room yet */
    bool input_ended;
    bool done; /* the echo has ended, or nothing more will come */
    int err;   /* why, or TT_OK: all came back */
};

/* Begins a session and a stream in it; returns as tt_session_begin does. What comes back goes to
 * standard output. c stays where it is until the session is closed.
 */
int echo_begin(struct echo_client *c, struct tt_loop *loop, const char *address,
               struct tt_error_text *why);

/* Whether it takes input now: where to put up to *room bytes of it, or NULL. */
void *echo_room(struct echo_client *c, size_t *room);

/* So many bytes were put there; 0: that was all. */
void echo_input(struct echo_client *c, size_t len);

#endif
