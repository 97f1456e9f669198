/* sealing.h - what sealed sessions need of the world: keys from the options, random numbers, the
 * wall clock.
 */
#ifndef TT_NET_SEALING_H
#define TT_NET_SEALING_H

#include <turbotunnel/keys.h>
#include <turbotunnel/options.h>

#include "core/gate.h"
#include "net/worker.h"

/* The loop's sealer, made when it is first asked for. 0, TT_E_NOMEM or TT_E_SYSTEM. */
int tt_sealing_get(struct tt_loop *w, struct tt_sealer **sealer);
void tt_sealing_dispose(struct tt_loop *w);

/* The keys of a client, by its options; to be wiped. 0, TT_E_NOMEM or TT_E_SYSTEM. */
int tt_sealing_client_keys(struct tt_loop *w, const struct tt_options *o,
                           struct tt_client_keys *keys);

/* The keys of a server, by its options; to be wiped. 0, TT_E_NOMEM or TT_E_SYSTEM. */
int tt_sealing_server_keys(struct tt_loop *w, const struct tt_options *o,
                           struct tt_server_keys *keys);

/* So many handshakes without a session yet may a listener have. */
uint32_t tt_sealing_max_half_open(const struct tt_options *o);

/* A server's gate at this worker. keys and half_open are borrowed, and may be those of gates at
 * others, too. 0, TT_E_NOMEM or TT_E_SYSTEM.
 */
int tt_sealing_gate(struct tt_loop *w, const struct tt_options *o,
                    const struct tt_server_keys *keys, struct tt_quota *half_open,
                    struct tt_gate *gate);

/* Stands for the address that fd is connected to (IPv6: for its network), and tells nobody which it
 * is; 0: it has none.
 */
uint64_t tt_sealing_origin(const struct tt_loop *w, int fd);

#endif
