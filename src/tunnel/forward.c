#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"
#include "tunnel/allow.h"
#include "tunnel/forward.h"

static const char local[] = "unix:";

static bool is_local(const char *text)
{
    return strncmp(text, local, sizeof local - 1) == 0;
}

static bool is_port(const char *text)
{
    const size_t len = strlen(text);
    return len >= 1 && len <= 5 && strspn(text, "0123456789") == len;
}

const char *tt_bind_parse(char bind[TT_BIND_TEXT], const char *text)
{
    static const char wrong[] = "it is not PORT, ADDR:PORT, [IPv6]:PORT or unix:PATH";
    struct tt_address parsed;
    const char *before = is_port(text) ? "127.0.0.1:" : "";
    if (strncmp(text, "*:", 2) == 0)
        text++;
    const int n = snprintf(bind, TT_BIND_TEXT, "%s%s", before, text);
    if (n < 0 || n >= TT_BIND_TEXT || tt_address_parse(&parsed, bind, NULL))
        return wrong;
    return NULL;
}

const char *tt_host_port_parse(struct tt_target *t, const char *text)
{
    uint8_t header[TT_TARGET_MAX];
    struct tt_address parsed;
    if (is_local(text) || tt_address_parse(&parsed, text, NULL) || parsed.host[0] == '\0' ||
        strlen(parsed.host) >= sizeof t->host)
        return "it is not HOST:PORT or [IPv6]:PORT";
    *t = (struct tt_target){.kind = TT_TARGET_HOST_PORT,
                            .port = (uint16_t)strtoul(parsed.port, NULL, 10)};
    memcpy(t->host, parsed.host, strlen(parsed.host) + 1);
    if (t->port == 0)
        return "nobody can be connected to at port 0";
    return tt_target_write(header, t) ? NULL : "the host name has characters that none has";
}

/* The last colon before `end` that stands outside brackets, or NULL. */
static const char *colon_before(const char *text, const char *end)
{
    bool inside = false;
    while (end > text) {
        end--;
        if (*end == ']')
            inside = true;
        else if (*end == '[')
            inside = false;
        else if (*end == ':' && !inside)
            return end;
    }
    return NULL;
}

const char *tt_forward_parse(struct tt_forward *f, const char *text)
{
    char bind[TT_BIND_TEXT];
    const char *port = colon_before(text, text + strlen(text));
    const char *host = port ? colon_before(text, port) : NULL;

    *f = (struct tt_forward){.socks = false};
    if (!host || host - text >= TT_BIND_TEXT)
        return "it is not [BIND:]PORT:HOST:PORT (IPv6 in brackets)";
    memcpy(bind, text, (size_t)(host - text));
    bind[host - text] = '\0';
    const char *why = tt_bind_parse(f->bind, bind);
    if (why)
        return "what is in front of HOST:PORT is not [BIND:]PORT";
    return tt_host_port_parse(&f->target, host + 1);
}

const char *tt_remote_parse(struct tt_remote_forward *r, uint16_t number, const char *text)
{
    struct tt_forward f;
    struct tt_address bind;
    struct tt_ip ip;
    const char *why = tt_forward_parse(&f, text);
    if (why)
        return why;
    (void)tt_address_parse(&bind, f.bind, NULL);
    if (bind.is_path || (bind.host[0] && !tt_ip_of_text(&ip, bind.host)))
        return "the server listens at addresses alone: [ADDRESS:]PORT:HOST:PORT";
    *r = (struct tt_remote_forward){.text = text, .target = f.target};
    r->listen = (struct tt_target){
        .kind = TT_TARGET_LISTEN, .number = number, .port = (uint16_t)strtoul(bind.port, NULL, 10)};
    memcpy(r->listen.host, bind.host, strlen(bind.host) + 1);
    return NULL;
}
