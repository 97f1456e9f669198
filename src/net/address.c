#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <turbotunnel/error.h>

#include "net/address.h"

static const char local[] = "unix:";

void tt_why(struct tt_error_text *why, const char *format, ...)
{
    if (!why)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
}

static int refuse(struct tt_error_text *why, const char *text, const char *problem)
{
    tt_why(why, "address '%.100s': %s (write HOST:PORT, [IPv6]:PORT or unix:PATH)", text, problem);
    return TT_E_INVAL;
}

static int take_port(struct tt_address *a, const char *port)
{
    if (strspn(port, "0123456789") != strlen(port) || strlen(port) < 1 || strlen(port) > 5 ||
        strtol(port, NULL, 10) > UINT16_MAX)
        return TT_E_INVAL;
    memcpy(a->port, port, strlen(port) + 1);
    return TT_OK;
}

static int take_path(struct tt_address *a, const char *text, const char *path,
                     struct tt_error_text *why)
{
    const size_t len = strlen(path);
    if (len == 0)
        return refuse(why, text, "the path is missing");
    if (len >= sizeof((struct sockaddr_un *)0)->sun_path)
        return refuse(why, text, "the path is longer than 107 bytes");
    *a = (struct tt_address){.is_path = true};
    memcpy(a->host, path, len + 1);
    return TT_OK;
}

int tt_address_parse(struct tt_address *a, const char *text, struct tt_error_text *why)
{
    if (strncmp(text, local, sizeof local - 1) == 0)
        return take_path(a, text, text + sizeof local - 1, why);
    const char *host = text;
    const char *colon = strrchr(text, ':');
    if (!colon)
        return refuse(why, text, "the port is missing");
    size_t host_len = (size_t)(colon - text);
    if (text[0] == '[') {
        if (host_len < 2 || text[host_len - 1] != ']')
            return refuse(why, text, "the bracket is not closed before the port");
        host++;
        host_len -= 2;
    } else if (memchr(text, ':', host_len)) {
        return refuse(why, text, "an IPv6 address needs brackets");
    }
    if (host_len >= sizeof a->host)
        return refuse(why, text, "the host name is too long");
    a->is_path = false;
    memcpy(a->host, host, host_len);
    a->host[host_len] = '\0';
    if (take_port(a, colon + 1))
        return refuse(why, text, "the port is not a number from 0 to 65535");
    return TT_OK;
}

void tt_address_format(char text[TT_ADDRESS_TEXT], const struct sockaddr *address)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void)snprintf(text, TT_ADDRESS_TEXT, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        (void)snprintf(text, TT_ADDRESS_TEXT, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else if (address->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)address;
        (void)snprintf(text, TT_ADDRESS_TEXT, "%s%.*s", local, (int)sizeof un->sun_path,
                       un->sun_path);
    } else {
        (void)snprintf(text, TT_ADDRESS_TEXT, "an address of family %d", address->sa_family);
    }
}
