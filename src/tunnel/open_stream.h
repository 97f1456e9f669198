/* open_stream.h - a new stream that says where it leads. */
#ifndef TT_TUNNEL_OPEN_STREAM_H
#define TT_TUNNEL_OPEN_STREAM_H

#include <turbotunnel/session.h>

#include "net/address.h"
#include "tunnel/target.h"

/* Nothing is awaited. Returns as tt_session_open_stream and tt_stream_try_write; on error there is
 * no stream. session may be NULL: TT_E_CLOSED.
 */
int tt_open_stream(struct tt_session *session, const struct tt_target *target,
                   struct tt_stream **stream);

/* A target's host and port as an address to connect to. */
void tt_target_address(struct tt_address *address, const struct tt_target *target);

#endif
