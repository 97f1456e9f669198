/* proxy.h - the whole of it: the loop, the listener, all connections and their limits. */
#ifndef TT_LIL_PROXY_H
#define TT_LIL_PROXY_H

#include "options.h"

/* Serves until SIGINT or SIGTERM. Prints what it does, and why it cannot start.
 * Returns 0 after a signal, or -1 when it could not start.
 */
int tt_lil_proxy_run(const struct tt_lil_options *options);

#endif
