#include <string.h>

#include "net/address.h"
#include "tunnel/url.h"

static const char tcp[] = "tcp://";
static const char local[] = "unix:";

const char *tt_url_parse(const char *url, const char **address)
{
    struct tt_address parsed;
    if (strncmp(url, tcp, sizeof tcp - 1) == 0)
        *address = url + sizeof tcp - 1;
    else if (strncmp(url, local, sizeof local - 1) == 0)
        *address = url;
    else
        return "not supported by this build; supported: tcp://, unix:";
    if (strncmp(*address, local, sizeof local - 1) == 0 && *address != url)
        return "it is not tcp://HOST:PORT, tcp://[IPv6]:PORT or unix:PATH";
    if (tt_address_parse(&parsed, *address, NULL))
        return "it is not tcp://HOST:PORT, tcp://[IPv6]:PORT or unix:PATH";
    return NULL;
}
