/* resolve.h - names to addresses, without holding up the loop. */
#ifndef TT_NET_RESOLVE_H
#define TT_NET_RESOLVE_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/un.h>

#include "net/address.h"

/* Numeric addresses only, at once: 0, or a getaddrinfo error (EAI_NONAME: it is a name). Free the
 * result with freeaddrinfo.
 */
int tt_resolve_numeric(const struct tt_address *a, bool to_listen, struct addrinfo **found);

/* Names too: waits for the answer. For listening, at start. */
int tt_resolve_blocking(const struct tt_address *a, bool to_listen, struct addrinfo **found);

/* An address that needs no look-up, laid out as those that were looked up; not to be freed. */
struct tt_path_address {
    struct addrinfo info;
    struct sockaddr_un name;
};

/* a->is_path. *found points into itself: it must stay where it is. */
void tt_resolve_path(const struct tt_address *a, struct tt_path_address *found);

#endif
