/* remote.h - the server's side of -R: a listener that a client asked for, whose connections become
 * streams to that client (forward.md, section 4).
 *
 * It lives as long as the stream that asked for it. The loop's thread only.
 */
#ifndef TT_TUNNEL_REMOTE_H
#define TT_TUNNEL_REMOTE_H

#include <stdint.h>

#include <turbotunnel/session.h>

#include "core/base/list.h"
#include "net/worker.h"
#include "tunnel/splice.h"
#include "tunnel/target.h"

#define TT_MOST_REMOTES 64 /* of a session */

struct tt_remote_host {
    struct tt_loop *worker;
    struct tt_session *session;
    struct tt_list *remotes;
    struct tt_list *splices;
    void (*splice_ended)(void *ctx, struct tt_splice_end *end);
    void *ctx;
};

/* Takes the stream over, listens and answers, or resets it. What may be listened for was decided.
 * Returns 0, or the enum tt_reset_code that it was reset with. host is copied.
 */
uint32_t tt_remote_begin(const struct tt_remote_host *host, struct tt_stream *stream,
                         const struct tt_target *target);

/* Ends all in a list; their streams are reset. */
void tt_remote_abort_all(struct tt_list *remotes, uint32_t code);

#endif
