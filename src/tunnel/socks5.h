/* socks5.h - the server's side of SOCKS5 (RFC 1928, CONNECT alone) with user names (RFC 1929), any
 * of which is taken: it keeps programs apart, not people out.
 *
 * Pure functions over bytes. A message is asked for to the byte, so that what follows the request
 * stays in the socket.
 */
#ifndef TT_TUNNEL_SOCKS5_H
#define TT_TUNNEL_SOCKS5_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/target.h"

#define TT_SOCKS_MESSAGE 513 /* bytes of the longest: user name and password */
#define TT_SOCKS_REPLY   10  /* bytes of the longest that we send */

enum tt_socks_stage {
    TT_SOCKS_GREETING,
    TT_SOCKS_USER,
    TT_SOCKS_REQUEST,
    TT_SOCKS_DONE,   /* target says where to */
    TT_SOCKS_FAILED, /* the reply is to be sent, if there is one; then it is over */
};

struct tt_socks {
    enum tt_socks_stage stage;
    size_t have;
    uint8_t message[TT_SOCKS_MESSAGE];
    struct tt_target target;
    uint8_t reply[TT_SOCKS_REPLY]; /* to send now */
    size_t reply_len;
};

/* How many bytes to read next, behind message + have; 0 when DONE or FAILED. */
size_t tt_socks_missing(const struct tt_socks *s);

/* So many of those have come. May change the stage, and leave a reply. */
void tt_socks_came(struct tt_socks *s, size_t len);

/* The last reply: an enum tt_reset_code as SOCKS says it. Fills in reply. */
void tt_socks_answer(uint8_t reply[TT_SOCKS_REPLY], uint32_t code);
void tt_socks_success(uint8_t reply[TT_SOCKS_REPLY]);

#endif
