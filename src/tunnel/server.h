/* server.h - the command `server`: sessions accepted, their streams led to targets. */
#ifndef TT_TUNNEL_SERVER_H
#define TT_TUNNEL_SERVER_H

#include "tunnel/context.h"

struct tt_tunnel_server;

/* Listens; the loop does not run yet. Returns NULL after one line in the log. */
struct tt_tunnel_server *tt_tunnel_server_begin(struct tt_context *c);

/* The loop's thread: no new connections; over when the streams have ended, or after a time. */
void tt_tunnel_server_drain(struct tt_tunnel_server *s);

/* The loop's thread: who may come in may have changed. */
void tt_tunnel_server_review_clients(struct tt_tunnel_server *s);

/* The loop's thread: sessions and listeners in words, into the log. */
void tt_tunnel_server_describe(struct tt_tunnel_server *s);

/* The main thread, when it is over and while the loop runs: closes and frees. */
void tt_tunnel_server_end(struct tt_tunnel_server *s);

#endif
