#include "tunnel/allow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define V4_BITS 96 /* of the prefix ::ffff:0:0 */

struct range {
    struct tt_ip first;
    unsigned bits;
};

#define V4(a, b, c, bits)                                                                          \
    {                                                                                              \
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c}, true}, V4_BITS + (bits)              \
    }
#define V6(a, b, c, d, bits)                                                                       \
    {                                                                                              \
        {{a, b, c, d}, false}, bits                                                                \
    }

/* What is no place of the public internet. */
static const struct range special[] = {
    V4(0, 0, 0, 8),           /* this machine */
    V4(10, 0, 0, 8),          /* private */
    V4(100, 64, 0, 10),       /* a provider's own */
    V4(127, 0, 0, 8),         /* loopback */
    V4(169, 254, 0, 16),      /* link-local, and where clouds keep their secrets */
    V4(172, 16, 0, 12),       /* private */
    V4(192, 0, 0, 24),        /* protocols */
    V4(192, 88, 99, 24),      /* relays of 6to4 */
    V4(192, 168, 0, 16),      /* private */
    V4(198, 18, 0, 15),       /* measurements */
    V4(224, 0, 0, 4),         /* multicast */
    V4(240, 0, 0, 4),         /* reserved, broadcast */
    V6(0, 0, 0, 0, 8),        /* ::, ::1, IPv4 in disguise, NAT64's first half */
    V6(1, 0, 0, 0, 8),        /* discard */
    V6(0x20, 1, 0, 0, 32),    /* Teredo */
    V6(0x20, 2, 0, 0, 16),    /* 6to4 */
    V6(0xfc, 0, 0, 0, 7),     /* private */
    V6(0xfe, 0x80, 0, 0, 10), /* link-local */
    V6(0xfe, 0xc0, 0, 0, 10), /* site-local, of old */
    V6(0xff, 0, 0, 0, 8),     /* multicast */
};

/* Of these the IPv4 address inside decides: translation makes it one of the public internet. */
static const struct range nat64 = {{{0, 0x64, 0xff, 0x9b}, false}, 96};

/* --- addresses --- */

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    const unsigned mask = 0xff00u >> bits % 8 & 0xff;
    return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

static bool holds(const struct range *r, const struct tt_ip *ip)
{
    return r->first.is_v4 == ip->is_v4 && same_bits(r->first.bytes, ip->bytes, r->bits);
}

static struct tt_ip of_v4(const uint8_t *four)
{
    struct tt_ip ip = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, true};
    memcpy(ip.bytes + 12, four, 4);
    return ip;
}

static struct tt_ip of_v6(const uint8_t *sixteen)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct tt_ip ip = {.is_v4 = memcmp(sixteen, mapped, sizeof mapped) == 0};
    memcpy(ip.bytes, sixteen, sizeof ip.bytes);
    return ip;
}

bool tt_ip_of_sockaddr(struct tt_ip *ip, const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        *ip =
            of_v4((const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    else if (address->sa_family == AF_INET6)
        *ip = of_v6(
            (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    else
        return false;
    return true;
}

bool tt_ip_of_text(struct tt_ip *ip, const char *text)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        *ip = of_v4(bytes);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        *ip = of_v6(bytes);
    else
        return false;
    return true;
}

/* The range of special addresses that it lies in, or NULL. */
static const struct range *special_range(const struct tt_ip *ip)
{
    if (holds(&nat64, ip)) {
        const struct tt_ip inside = of_v4(ip->bytes + 12);
        return tt_ip_is_special(&inside) ? &nat64 : NULL;
    }
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (holds(&special[i], ip))
            return &special[i];
    return NULL;
}

bool tt_ip_is_special(const struct tt_ip *ip)
{
    return special_range(ip) != NULL;
}

/* --- rules as text --- */

static bool take_number(unsigned *out, const char *text, size_t len, unsigned max)
{
    *out = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        *out = *out * 10 + (unsigned)(text[i] - '0');
    }
    return *out <= max;
}

static bool take_ports(struct tt_rule *r, const char *text)
{
    const char *dash = strchr(text, '-');
    unsigned first = 1;
    unsigned last = UINT16_MAX;
    if (strcmp(text, "*") != 0) {
        const size_t len = dash ? (size_t)(dash - text) : strlen(text);
        if (!take_number(&first, text, len, UINT16_MAX))
            return false;
        last = first;
        if (dash && !take_number(&last, dash + 1, strlen(dash + 1), UINT16_MAX))
            return false;
    }
    r->first_port = (uint16_t)first;
    r->last_port = (uint16_t)last;
    return first <= last;
}

/* An address, perhaps with the bits of its network. false: it is none; *why: it is a bad one. */
static bool take_network(struct tt_rule *r, char *host, const char **why)
{
    char *slash = strchr(host, '/');
    unsigned bits;
    if (slash)
        *slash = '\0';
    if (!tt_ip_of_text(&r->network, host)) {
        *why = slash ? "what is in front of / is no address" : NULL;
        return false;
    }
    const unsigned most = strchr(host, ':') ? 128 : 32;
    bits = most;
    if (slash && !take_number(&bits, slash + 1, strlen(slash + 1), most))
        *why = "what is behind / is not a number of bits";
    r->bits = bits + 128 - most;
    return true;
}

static const char *take_name(struct tt_rule *r, const char *host)
{
    size_t len = strlen(host);
    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len == 0 || len >= sizeof r->name || strcspn(host, "*[]: \t") < len)
        return "it is not HOST:PORTS, ADDRESS/BITS:PORTS, [IPv6/BITS]:PORTS or *:PORTS";
    r->by_name = true;
    for (size_t i = 0; i < len; i++)
        r->name[i] = (char)tolower((unsigned char)host[i]);
    r->name[len] = '\0';
    return NULL;
}

static const char *take_host(struct tt_rule *r, char *host)
{
    const char *why = NULL;
    const size_t len = strlen(host);
    r->any = strcmp(host, "*") == 0;
    if (r->any)
        return NULL;
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        if (!take_network(r, host + 1, &why) || !strchr(host + 1, ':'))
            return why ? why : "what is in brackets is not an IPv6 address";
        return why;
    }
    if (!strchr(host, ':') && take_network(r, host, &why))
        return why;
    return why ? why : take_name(r, host);
}

static const char *add(struct tt_rules *rules, const struct tt_rule *rule)
{
    if (rules->count == TT_MOST_RULES)
        return "there are more than 1000 rules";
    struct tt_rule *more = realloc(rules->at, (rules->count + 1) * sizeof *more);
    if (!more)
        return "there is no memory for it";
    more[rules->count++] = *rule;
    rules->at = more;
    return NULL;
}

const char *tt_rules_add(struct tt_rules *rules, const char *text)
{
    struct tt_rule r = {.by_name = false};
    char host[TT_TARGET_HOST + 8];
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof host)
        return "it is not HOST:PORTS";
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (!take_ports(&r, colon + 1))
        return "the ports are not N, N-M or *";
    const char *why = take_host(&r, host);
    return why ? why : add(rules, &r);
}

const char *tt_rules_add_bind(struct tt_rules *rules, const char *text)
{
    struct tt_rules one = {NULL, 0};
    char whole[TT_TARGET_HOST + 32];
    const int n =
        snprintf(whole, sizeof whole, "%s%s", strrchr(text, ':') ? "" : "127.0.0.1:", text);
    if (n < 0 || (size_t)n >= sizeof whole)
        return "it is too long";
    const char *why = tt_rules_add(&one, whole);
    if (!why && one.at[0].by_name)
        why = "the address to listen at is not an address";
    if (!why)
        why = add(rules, &one.at[0]);
    tt_rules_dispose(&one);
    return why;
}

void tt_rules_dispose(struct tt_rules *rules)
{
    free(rules->at);
    *rules = (struct tt_rules){NULL, 0};
}

/* --- asking them --- */

static bool fits_port(const struct tt_rule *r, uint16_t port)
{
    return port >= r->first_port && port <= r->last_port;
}

/* Port 0, one of the system's choice, is as much as all of them. */
static bool fits_bind_port(const struct tt_rule *r, uint16_t port)
{
    return port == 0 ? r->first_port == 1 && r->last_port == UINT16_MAX : fits_port(r, port);
}

static bool fits_name(const struct tt_rule *r, const char *host)
{
    const size_t len = strlen(r->name);
    return r->by_name && strncasecmp(r->name, host, len) == 0 &&
           (host[len] == '\0' || strcmp(host + len, ".") == 0);
}

static bool fits_network(const struct tt_rule *r, const struct tt_ip *ip)
{
    return !r->by_name && (r->any || holds(&(struct range){r->network, r->bits}, ip));
}

/* Whether the rule lies inside a range of special addresses, so that it means them. */
static bool means(const struct tt_rule *r, const struct range *range)
{
    return !r->any && r->bits >= range->bits && holds(range, &r->network);
}

static bool rule_allows(const struct tt_rule *r, const char *host, const struct tt_ip *ip,
                        const struct range *range)
{
    if (fits_name(r, host))
        return !range || r->first_port == r->last_port;
    return fits_network(r, ip) && (!range || means(r, range));
}

bool tt_rules_may(const struct tt_rules *rules, const char *host, uint16_t port)
{
    for (size_t i = 0; i < rules->count; i++)
        if (fits_port(&rules->at[i], port) &&
            (!rules->at[i].by_name || fits_name(&rules->at[i], host)))
            return true;
    return false;
}

bool tt_rules_allow(const struct tt_rules *rules, const char *host, uint16_t port,
                    const struct tt_ip *ip)
{
    const struct range *range = special_range(ip);
    for (size_t i = 0; i < rules->count; i++)
        if (fits_port(&rules->at[i], port) && rule_allows(&rules->at[i], host, ip, range))
            return true;
    return false;
}

bool tt_rules_allow_bind(const struct tt_rules *rules, const struct tt_ip *ip, uint16_t port)
{
    for (size_t i = 0; i < rules->count; i++)
        if (fits_bind_port(&rules->at[i], port) && fits_network(&rules->at[i], ip))
            return true;
    return false;
}
