/* allow.h - where clients may ask to be led (--allow), and what they may ask to be listened for
 * (--allow-remote). Nothing is allowed that no rule allows.
 *
 * Addresses that are this machine's or a private network's own (loopback, private, link-local,
 * multicast, ...) are reached only by a rule that names them: by an address or network which lies
 * inside that range, or by host and one port exactly. A rule for everything does not reach them.
 *
 * Pure functions: no sockets, no look-ups.
 */
#ifndef TT_TUNNEL_ALLOW_H
#define TT_TUNNEL_ALLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tunnel/target.h"

/* An address as 16 bytes; IPv4 as ::ffff:a.b.c.d, which is also what such an IPv6 address means. */
struct tt_ip {
    uint8_t bytes[16];
    bool is_v4;
};

struct tt_rule {
    bool by_name;
    char name[TT_TARGET_HOST]; /* by_name: lower case, without a dot at its end */
    bool any;                  /* "*": each address, of either kind */
    struct tt_ip network;      /* otherwise */
    unsigned bits;             /* of 128 */
    uint16_t first_port, last_port;
};

#define TT_MOST_RULES 1000

struct tt_rules {
    struct tt_rule *at; /* owned */
    size_t count;
};

/* "HOST:PORTS", "ADDRESS[/BITS]:PORTS", "[IPv6[/BITS]]:PORTS", "*:PORTS"; PORTS: N, N-M or "*".
 * Adds the rule. Returns NULL, or why the text is no good (a static string).
 */
const char *tt_rules_add(struct tt_rules *rules, const char *text);

/* "[BIND:]PORTS" of --allow-remote; BIND: an address, 127.0.0.1 if not there, "*" for any. */
const char *tt_rules_add_bind(struct tt_rules *rules, const char *text);

void tt_rules_dispose(struct tt_rules *rules);

/* Whether a look-up of the name can lead to anything that is allowed. */
bool tt_rules_may(const struct tt_rules *rules, const char *host, uint16_t port);

/* Whether that address, which host resolved to (or is), may be connected to. */
bool tt_rules_allow(const struct tt_rules *rules, const char *host, uint16_t port,
                    const struct tt_ip *ip);

/* Whether may be listened at; ip of all zeroes: at any address. */
bool tt_rules_allow_bind(const struct tt_rules *rules, const struct tt_ip *ip, uint16_t port);

/* false: neither IPv4 nor IPv6. */
bool tt_ip_of_sockaddr(struct tt_ip *ip, const struct sockaddr *address);
bool tt_ip_of_text(struct tt_ip *ip, const char *text);

/* Whether an address is of those that are reached only by name. */
bool tt_ip_is_special(const struct tt_ip *ip);

#endif
