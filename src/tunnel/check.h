/* check.h - the command `check`: whether the server can be reached and has the key that it should,
 * and what the network on the way does to connections.
 */
#ifndef TT_TUNNEL_CHECK_H
#define TT_TUNNEL_CHECK_H

#include "tunnel/context.h"

struct tt_tunnel_check;

/* Begins; the loop does not run yet. What is found goes to standard output, a line each, and the
 * context is over when all is. Returns NULL after one line in the log.
 */
struct tt_tunnel_check *tt_tunnel_check_begin(struct tt_context *c);

/* The main thread, when it is over and while the loop runs: closes and frees. */
void tt_tunnel_check_end(struct tt_tunnel_check *check);

#endif
