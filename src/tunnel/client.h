/* client.h - the command `client`: local connections led through a session, which is made anew when
 * it is lost. */
#ifndef TT_TUNNEL_CLIENT_H
#define TT_TUNNEL_CLIENT_H

#include "tunnel/context.h"

struct tt_tunnel_client;

/* Listens, and begins to dial; the loop does not run yet. Returns NULL after one line in the log.
 */
struct tt_tunnel_client *tt_tunnel_client_begin(struct tt_context *c);

/* The loop's thread: ends all, with that exit status. */
void tt_tunnel_client_stop(struct tt_tunnel_client *client, int status);

/* The loop's thread: the session in words, into the log. */
void tt_tunnel_client_describe(struct tt_tunnel_client *client);

/* The main thread, when it is over and while the loop runs: closes and frees. */
void tt_tunnel_client_end(struct tt_tunnel_client *client);

#endif
