/* dialer.h - one connection to "HOST:PORT" or "unix:PATH": name, addresses in turn, a time limit.
 *
 * tt_dialer_begin is answered by exactly one call of connected or failed, perhaps before it
 * returns, unless tt_dialer_stop comes first. The loop's thread only.
 */
#ifndef TT_NET_DIALER_H
#define TT_NET_DIALER_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "net/address.h"
#include "net/resolve.h"
#include "net/worker.h"

struct tt_attempt;

struct tt_dialer {
    struct tt_loop *worker;
    struct tt_address address;
    uint64_t timeout_us;                                             /* of one address */
    void (*connected)(struct tt_dialer *d, uint64_t now_us, int fd); /* fd is the callee's */
    /* err: TT_E_UNREACHABLE, TT_E_RESOLVE or TT_E_NOMEM; what was tried, and why it failed. */
    void (*failed)(struct tt_dialer *d, uint64_t now_us, int err, const char *what,
                   const char *why);
    /* Whether an address may be tried; NULL: any. */
    bool (*allows)(struct tt_dialer *d, const struct sockaddr *address);
    void *user;        /* the caller's */
    int os_error;      /* errno behind TT_E_UNREACHABLE; EPERM: no address was allowed */
    bool busy;         /* begun, and not answered yet */
    uint64_t begun_us; /* when the present address was tried first */
    uint64_t took_us;  /* how long the connection took that connected() was given */
    struct tt_timer timer;
    uv_getaddrinfo_t *resolving; /* or NULL */
    struct addrinfo *found;      /* of the last resolution, or NULL */
    struct addrinfo *next;       /* the address to try */
    bool found_by_uv;
    struct tt_path_address path; /* or this was found */
    struct tt_attempt *attempt;  /* a socket that connects, or NULL */
};

/* address, timeout_us, connected and failed are set by the caller before. 0 or TT_E_NOMEM. */
int tt_dialer_init(struct tt_dialer *d, struct tt_loop *w);
void tt_dialer_dispose(struct tt_dialer *d);

/* Another address, from the next dial on; not while it is busy. */
void tt_dialer_set_address(struct tt_dialer *d, const struct tt_address *address);

/* anew: a name is looked up again, since the network may have changed. */
void tt_dialer_begin(struct tt_dialer *d, uint64_t now_us, bool anew);
void tt_dialer_stop(struct tt_dialer *d);

#endif
