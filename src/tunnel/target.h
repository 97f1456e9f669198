/* target.h - the first bytes of a stream, which name where it shall lead (forward.md).
 *
 * Pure functions over bytes: no sockets, no memory of their own.
 */
#ifndef TT_TUNNEL_TARGET_H
#define TT_TUNNEL_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

#define TT_TARGET_MAX  257 /* bytes of the longest header */
#define TT_TARGET_HOST 254 /* a host name and its NUL */

/* What a stream's opener wants. */
enum tt_target_kind {
    TT_TARGET_FIXED = 1, /* what the other end was told to lead all streams to */
    TT_TARGET_HOST_PORT, /* host, port */
    TT_TARGET_LISTEN,    /* client: listen for me at host, port; number: how I call that */
    TT_TARGET_ARRIVED,   /* server: a connection came to the listener of that number */
    TT_TARGET_PROBE,     /* client: take so many bytes, and give so many back */
};

struct tt_target {
    enum tt_target_kind kind;
    uint16_t number; /* of a listener */
    uint16_t port;
    uint32_t up, down;         /* bytes of a probe, each way */
    char host[TT_TARGET_HOST]; /* "": any (to listen at) */
};

/* The answer's first byte, when it is not a reset. */
#define TT_TARGET_CONNECTED 0

/* How many more bytes a header needs of which `have` bytes are there: never more than belong to it.
 * 0: it is whole.
 */
size_t tt_target_missing(const uint8_t *header, size_t have);

/* Reads a whole header. Returns 0, or TT_E_PROTO: nobody who keeps to the page sends this. */
int tt_target_parse(struct tt_target *t, struct tt_span header);

/* Writes a header and returns its length; 0: the host is not one that can be written. */
size_t tt_target_write(uint8_t header[TT_TARGET_MAX], const struct tt_target *t);

#endif
