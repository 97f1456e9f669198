/* signals.h - what SIGTERM, SIGINT, SIGHUP and SIGUSR1 do. */
#ifndef TT_TUNNEL_SIGNALS_H
#define TT_TUNNEL_SIGNALS_H

#include <uv.h>

#include "tunnel/client.h"
#include "tunnel/server.h"

#define TT_SIGNALS 4

struct tt_signals {
    struct tt_context *context;
    struct tt_tunnel_server *server; /* one of these two */
    struct tt_tunnel_client *client;
    uv_signal_t handles[TT_SIGNALS];
    int ends; /* how often it was asked to end */
};

/* Before the loop runs; s lives as long as the loop. 0 or TT_E_SYSTEM. */
int tt_signals_begin(struct tt_signals *s);

#endif
