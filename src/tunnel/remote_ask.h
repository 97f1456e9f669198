/* remote_ask.h - the client's side of -R: asks the server to listen, and asks again when that did
 * not work.
 *
 * The loop's thread only.
 */
#ifndef TT_TUNNEL_REMOTE_ASK_H
#define TT_TUNNEL_REMOTE_ASK_H

#include <turbotunnel/session.h>

#include "net/worker.h"
#include "tunnel/forward.h"
#include "tunnel/log.h"

struct tt_remote_ask {
    struct tt_loop *worker;
    struct tt_log *log;
    const struct tt_remote_forward *forward;
    struct tt_session *session; /* NULL: none to ask in */
    struct tt_stream *stream;   /* or NULL: nothing is asked, or it was refused */
    bool answered;
    size_t have;
    uint8_t answer[3];
    struct tt_timer again;
};

/* worker, log and forward are set by the caller before. 0 or TT_E_NOMEM. */
int tt_remote_ask_init(struct tt_remote_ask *a);

/* A new session: asks in it. NULL: the session is gone, and the stream with it. */
void tt_remote_ask_in(struct tt_remote_ask *a, struct tt_session *session);

void tt_remote_ask_dispose(struct tt_remote_ask *a);

#endif
