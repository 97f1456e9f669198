/* door.h - a listening socket on the loop, of TCP or in the file system.
 *
 * Bound at once, watched from the first turn of the loop after tt_door_open. When the system has no
 * descriptor for another connection it waits a little, instead of being told of it again and again.
 *
 * A socket in the file system goes when the door is closed, and one that a dead program left there
 * is replaced.
 */
#ifndef TT_NET_DOOR_H
#define TT_NET_DOOR_H

#include <turbotunnel/options.h>

#include "net/address.h"
#include "net/worker.h"

struct tt_door_watch;

struct tt_door {
    struct tt_loop *worker;
    void (*guest)(struct tt_door *door, int fd); /* a connection; fd is the callee's */
    struct tt_timer pause;                       /* to accept again */
    struct tt_door_watch *watch;                 /* or NULL: closed */
    uint64_t failures;                           /* to accept */
    char address_text[TT_ADDRESS_TEXT];          /* with the port it got */
    char path[TT_ADDRESS_TEXT];                  /* of a socket in the file system, or "" */
    uint64_t device, inode;                      /* of that */
};

/* worker and guest are set by the caller before. Any thread that has the lock. "fd:N" is a
 * listening socket that the process has been given; it is closed with the door, and its path stays.
 * Returns 0, TT_E_INVAL, TT_E_RESOLVE, TT_E_ADDRESS (*why is filled in), TT_E_NOMEM, TT_E_SYSTEM.
 */
int tt_door_bind(struct tt_door *door, const char *address, struct tt_error_text *why);

/* The loop's thread: begin to accept, and: end for good. */
void tt_door_open(struct tt_door *door);
void tt_door_close(struct tt_door *door);

/* After close, or instead of open. Any thread that has the lock, when the loop does not run. */
void tt_door_dispose(struct tt_door *door);

#endif
