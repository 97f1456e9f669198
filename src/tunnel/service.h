/* service.h - what a service manager (systemd) tells us and is told: its notification socket, and
 * sockets that it listens on for us. Nothing where there is none.
 */
#ifndef TT_TUNNEL_SERVICE_H
#define TT_TUNNEL_SERVICE_H

#include <stddef.h>

enum tt_service_state {
    TT_SERVICE_READY,
    TT_SERVICE_RELOADING, /* READY follows */
    TT_SERVICE_STOPPING,
};

/* To $NOTIFY_SOCKET, a path or (@) an abstract name. What cannot be told is not. Any thread; waits
 * for a second at most.
 */
void tt_service_notify(enum tt_service_state state);

/* Sockets that were given to this very process ($LISTEN_FDS, $LISTEN_PID): how many of at most
 * `most`, and in addresses[] static strings "fd:3" and so on.
 */
size_t tt_service_sockets(const char **addresses, size_t most);

#endif
