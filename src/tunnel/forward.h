/* forward.h - what a client shall listen for, as people write it: -L, -D, --listen, -W.
 *
 * Pure functions. They return NULL, or why the text is no good (a static string).
 */
#ifndef TT_TUNNEL_FORWARD_H
#define TT_TUNNEL_FORWARD_H

#include <stdbool.h>

#include "tunnel/target.h"

#define TT_BIND_TEXT 272 /* "unix:PATH" or "[HOST]:PORT" and its NUL */

/* A listener of the client's, and where its connections lead. */
struct tt_forward {
    char bind[TT_BIND_TEXT]; /* as the library takes it: "HOST:PORT", "unix:PATH" */
    bool socks;              /* each connection says itself where it leads */
    struct tt_target target; /* otherwise */
};

/* What the server shall listen for (-R), and where its connections lead from here. */
struct tt_remote_forward {
    const char *text;        /* as it was written */
    struct tt_target listen; /* TT_TARGET_LISTEN */
    struct tt_target target; /* TT_TARGET_HOST_PORT */
};

/* "[BIND:]PORT:HOST:PORT", BIND an address, 127.0.0.1 if not there, any if "*". text is kept. */
const char *tt_remote_parse(struct tt_remote_forward *r, uint16_t number, const char *text);

/* "[BIND:]PORT:HOST:PORT", "unix:PATH:HOST:PORT"; IPv6 in brackets; BIND is 127.0.0.1 if not there,
 * and any address if it is "*" or empty.
 */
const char *tt_forward_parse(struct tt_forward *f, const char *text);

/* "[ADDR:]PORT" or "unix:PATH". */
const char *tt_bind_parse(char bind[TT_BIND_TEXT], const char *text);

/* "HOST:PORT", not port 0. */
const char *tt_host_port_parse(struct tt_target *t, const char *text);

#endif
