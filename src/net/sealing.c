#include "net/sealing.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "core/base/siphash.h"

#define MAX_HALF_OPEN    1000u
#define INITS_PER_SECOND 20u
#define MAX_SEEN         (1u << 18) /* handshakes of four hours: 18 a second */
#define CLOCK_OFF_S      7200u      /* M-5 */

/* For handshakes alone: it may be set, and jump. */
static uint64_t wall_s(void *ctx)
{
    (void)ctx;
    return (uint64_t)time(NULL);
}

int tt_sealing_get(struct tt_loop *w, struct tt_sealer **sealer)
{
    *sealer = w->sealer;
    if (w->sealer)
        return TT_OK;
    struct tt_sealer *s = w->alloc->get(w->alloc->ctx, sizeof *s);
    if (!s)
        return TT_E_NOMEM;
    const int err = tt_sealer_init(s, &tt_worker_random, wall_s, NULL);
    if (err) {
        w->alloc->put(w->alloc->ctx, s);
        return err;
    }
    *sealer = w->sealer = s;
    return TT_OK;
}

void tt_sealing_dispose(struct tt_loop *w)
{
    if (!w->sealer)
        return;
    tt_sealer_dispose(w->sealer);
    w->alloc->put(w->alloc->ctx, w->sealer);
    w->sealer = NULL;
}

int tt_sealing_client_keys(struct tt_loop *w, const struct tt_options *o,
                           struct tt_client_keys *keys)
{
    struct tt_sealer *sealer;
    const int err = tt_sealing_get(w, &sealer);
    if (err)
        return err;
    memcpy(keys->server_public, o->server_key, TT_KEY_LEN);
    keys->has_identity = o->private_key != NULL;
    if (!o->private_key)
        return TT_OK;
    memcpy(keys->private_key, o->private_key, TT_KEY_LEN);
    return tt_crypto_public(sealer->crypto, keys->private_key, keys->public_key);
}

int tt_sealing_server_keys(struct tt_loop *w, const struct tt_options *o,
                           struct tt_server_keys *keys)
{
    struct tt_sealer *sealer;
    int err = tt_sealing_get(w, &sealer);
    if (err)
        return err;
    memcpy(keys->private_key, o->private_key, TT_KEY_LEN);
    err = tt_crypto_public(sealer->crypto, keys->private_key, keys->public_key);
    if (err)
        return err;
    if (!o->instance)
        return tt_worker_random.fill(NULL, keys->instance, sizeof keys->instance);
    memcpy(keys->instance, o->instance, sizeof keys->instance);
    return TT_OK;
}

uint32_t tt_sealing_max_half_open(const struct tt_options *o)
{
    return o->max_half_open ? o->max_half_open : MAX_HALF_OPEN;
}

int tt_sealing_gate(struct tt_loop *w, const struct tt_options *o,
                    const struct tt_server_keys *keys, struct tt_quota *half_open,
                    struct tt_gate *gate)
{
    struct tt_gate_config config = {.keys = keys,
                                    .welcome = o->welcome,
                                    .welcome_ctx = o->welcome_ctx,
                                    .half_open_quota = half_open,
                                    .inits_per_second = o->inits_per_second ? o->inits_per_second
                                                                            : INITS_PER_SECOND,
                                    .max_seen = MAX_SEEN,
                                    .interval_s = o->clock_off_s ? o->clock_off_s : CLOCK_OFF_S,
                                    .alloc = w->alloc};
    const int err = tt_sealing_get(w, &config.sealer);
    if (err)
        return err;
    memcpy(config.hash_key, w->hash_key, sizeof config.hash_key);
    return tt_gate_init(gate, &config);
}

/* Whoever has one address of IPv6 has the 2^64 of its network; one of IPv4 may look like it. */
static uint64_t network_of(const struct in6_addr *a)
{
    uint64_t network = 0;
    if (IN6_IS_ADDR_V4MAPPED(a))
        memcpy(&network, a->s6_addr + 12, 4);
    else
        memcpy(&network, a->s6_addr, sizeof network);
    return network;
}

uint64_t tt_sealing_origin(const struct tt_loop *w, int fd)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof peer;
    uint64_t network = 0;

    if (getpeername(fd, (struct sockaddr *)&peer, &len))
        return 0;
    if (peer.ss_family == AF_INET)
        memcpy(&network, &((const struct sockaddr_in *)&peer)->sin_addr, 4);
    else if (peer.ss_family == AF_INET6)
        network = network_of(&((const struct sockaddr_in6 *)&peer)->sin6_addr);
    else
        return 0;
    const uint64_t origin = tt_siphash_u64(w->hash_key, network);
    return origin ? origin : 1;
}
