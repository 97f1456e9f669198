#include "address.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Finds where the host ends and the port begins. Returns NULL or why not. */
static const char *split(const char *text, const char **host, size_t *host_len, const char **port)
{
    const char *colon = strrchr(text, ':');

    if (!colon)
        return "no port; write HOST:PORT, for example 127.0.0.1:7000";
    *host = text;
    *host_len = (size_t)(colon - text);
    *port = colon + 1;
    if (text[0] == '[') {
        if (colon == text + 1 || colon[-1] != ']')
            return "no port after the brackets; write [ADDRESS]:PORT, for example [::1]:7000";
        *host = text + 1;
        *host_len -= 2;
    } else if (memchr(text, ':', *host_len)) {
        return "an IPv6 address needs brackets, for example [::1]:7000";
    }
    return *host_len > 0 ? NULL : "no host; write HOST:PORT, for example 127.0.0.1:7000";
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && text[digits] == '\0' && strtoul(text, NULL, 10) <= 65535;
}

const char *tt_lil_endpoint_parse(struct tt_lil_endpoint *out, const char *text)
{
    const char *host, *port;
    size_t host_len;
    const char *why = split(text, &host, &host_len, &port);

    if (why)
        return why;
    if (host_len >= sizeof out->host)
        return "the host name is too long; 255 characters are allowed";
    if (!is_port(port))
        return "the port is not a number from 0 to 65535";
    memcpy(out->host, host, host_len);
    out->host[host_len] = '\0';
    snprintf(out->port, sizeof out->port, "%lu", strtoul(port, NULL, 10));
    return NULL;
}

const char *tt_lil_endpoint_resolve(const struct tt_lil_endpoint *endpoint, struct addrinfo **found)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int err = getaddrinfo(endpoint->host, endpoint->port, &hints, found);

    if (err == 0)
        return NULL;
    return err == EAI_SYSTEM ? strerror(errno) : gai_strerror(err);
}

const char *tt_lil_address_text(const struct sockaddr *address, socklen_t len,
                                char text[TT_LIL_ADDRESS_TEXT])
{
    char host[TT_LIL_ADDRESS_TEXT - 8], port[6];

    if (getnameinfo(address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(text, TT_LIL_ADDRESS_TEXT, "(unknown)");
    else
        snprintf(text, TT_LIL_ADDRESS_TEXT, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                 host, port);
    return text;
}
