/* address.h - "127.0.0.1:80", "[::1]:80", "example.org:80": taken apart, looked up, printed.
 *
 * Looking up may block (it asks the system's resolver): only before the event loop runs.
 */
#ifndef TT_LIL_ADDRESS_H
#define TT_LIL_ADDRESS_H

#include <netdb.h>
#include <sys/socket.h>

#define TT_LIL_ADDRESS_TEXT 64 /* bytes; the longest is a scoped IPv6 address with its port */

/* A HOST:PORT as given, not looked up yet. */
struct tt_lil_endpoint {
    char host[256];
    char port[6];
};

/* Takes HOST:PORT apart. Returns NULL, or why it cannot be done (a static string). */
const char *tt_lil_endpoint_parse(struct tt_lil_endpoint *out, const char *text);

/* Looks the host up. *found belongs to the caller, who frees it with freeaddrinfo().
 * Returns NULL, or why it failed (a static string).
 */
const char *tt_lil_endpoint_resolve(const struct tt_lil_endpoint *endpoint,
                                    struct addrinfo **found);

/* Prints a numeric address with its port, IPv6 in brackets. Returns text. */
const char *tt_lil_address_text(const struct sockaddr *address, socklen_t len,
                                char text[TT_LIL_ADDRESS_TEXT]);

#endif
