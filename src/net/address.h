/* address.h - "HOST:PORT" and "unix:PATH" as people write them, and socket addresses as text. */
#ifndef TT_NET_ADDRESS_H
#define TT_NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include <turbotunnel/options.h>

#define TT_ADDRESS_TEXT 120 /* "[IPv6%scope]:65535", or "unix:" and any path, and its NUL fit */

struct tt_address {
    char host[256]; /* a name, or a numeric address without brackets; "" : any (listening) */
    char port[6];
    bool is_path; /* host is the path of a socket in the file system, of at most 107 bytes */
};

/* Reads "HOST:PORT", "[IPv6]:PORT", ":PORT", "unix:PATH". The port is 0..65535. 0, or TT_E_INVAL
 * and the reason in *why. */
int tt_address_parse(struct tt_address *a, const char *text, struct tt_error_text *why);

/* "127.0.0.1:80", "[::1]:80", "unix:/run/some.sock" ("unix:": one without a name). */
void tt_address_format(char text[TT_ADDRESS_TEXT], const struct sockaddr *address);

/* Fills in *why, which may be NULL. */
void tt_why(struct tt_error_text *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
