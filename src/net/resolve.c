#include <string.h>
#include <sys/socket.h>

#include "net/resolve.h"

static int look_up(const struct tt_address *a, int flags, struct addrinfo **found)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    *found = NULL;
    return getaddrinfo(a->host[0] ? a->host : NULL, a->port, &hints, found);
}

int tt_resolve_numeric(const struct tt_address *a, bool to_listen, struct addrinfo **found)
{
    return look_up(a, AI_NUMERICHOST | (to_listen ? AI_PASSIVE : 0), found);
}

int tt_resolve_blocking(const struct tt_address *a, bool to_listen, struct addrinfo **found)
{
    return look_up(a, to_listen ? AI_PASSIVE : 0, found);
}

void tt_resolve_path(const struct tt_address *a, struct tt_path_address *found)
{
    *found = (struct tt_path_address){.name.sun_family = AF_UNIX};
    memcpy(found->name.sun_path, a->host, strlen(a->host) + 1);
    found->info = (struct addrinfo){.ai_family = AF_UNIX,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_addr = (struct sockaddr *)(void *)&found->name,
                                    .ai_addrlen = sizeof found->name};
}
