/* signals.h - what SIGTERM, SIGINT, SIGHUP and SIGUSR1 do. */
#ifndef TT_TUNNEL_SIGNALS_H
#define TT_TUNNEL_SIGNALS_H

#include <stdbool.h>
#include <uv.h>

#include "tunnel/client.h"
#include "tunnel/server.h"

#define TT_SIGNALS 4

struct tt_signals {
    struct tt_context *context;
    struct tt_tunnel_server *server; /* one of these two, or (check) neither */
    struct tt_tunnel_client *client;
    uv_signal_t handles[TT_SIGNALS];
    int ends;  /* how often it was asked to end */
    bool over; /* server and client are being freed */
};

/* Before the loop runs; s lives as long as the loop. 0 or TT_E_SYSTEM. */
int tt_signals_begin(struct tt_signals *s);

/* The main thread, before it frees the server or the client: from now on a signal to end does so at
 * once, and others do nothing.
 */
void tt_signals_over(struct tt_signals *s);

#endif
