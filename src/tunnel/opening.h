/* opening.h - a stream that the peer has opened: what it asks for is read, decided on, connected,
 * answered and spliced; or the stream is reset with a code that says why not (forward.md).
 *
 * The loop's thread only. An opening frees itself.
 */
#ifndef TT_TUNNEL_OPENING_H
#define TT_TUNNEL_OPENING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <turbotunnel/stream.h>

#include "core/base/list.h"
#include "net/address.h"
#include "net/worker.h"
#include "tunnel/target.h"

/* Who decides, for all streams of a session. */
struct tt_opening_host {
    struct tt_loop *worker;
    struct tt_list *openings; /* those under way */
    struct tt_list *splices;  /* those connected */
    uint64_t timeout_us;      /* for the header, and again for connecting */
    /* Where it shall lead: 0 and the address; or an enum tt_reset_code; or TT_OPENING_TAKEN: the
     * stream is somebody else's now.
     */
    uint32_t (*decide)(struct tt_opening_host *host, struct tt_stream *stream,
                       const struct tt_target *target, struct tt_address *address);
    /* Whether a name that resolved to that may be connected to; NULL: any. */
    bool (*allows)(struct tt_opening_host *host, const struct tt_target *target,
                   const struct sockaddr *address);
    /* How it went, for a log: code 0: connected. NULL: nobody wants to know. */
    void (*report)(struct tt_opening_host *host, const struct tt_target *target, uint32_t code,
                   const char *why);
    void (*spliced_ended)(struct tt_opening_host *host); /* or NULL */
};

#define TT_OPENING_TAKEN UINT32_MAX

/* Takes the stream over. Without memory it is reset (TT_RESET_LIMIT). */
void tt_opening_begin(struct tt_opening_host *host, struct tt_stream *stream);

/* Resets all in the host's list of openings. */
void tt_opening_abort_all(struct tt_opening_host *host, uint32_t code);

#endif
