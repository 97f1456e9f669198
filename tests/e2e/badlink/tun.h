/* tun.h - a TUN device in a network namespace: what is sent to it is read here, and what is written
 * here it receives. One IP packet a read or write.
 */
#ifndef TT_BAD_TUN_H
#define TT_BAD_TUN_H

#include <stddef.h>

#define TT_BAD_DEVICE "badlink" /* its name, in either namespace */

/* Packets that the kernel keeps for us while we do not get to run. It drops those beyond, without
 * our knowledge: many enough for what a busy machine does to us.
 */
#define TT_BAD_TUN_QUEUE 4096

#define TT_BAD_ERROR_TEXT 512

/* Makes the device, without addresses and down, in a namespace as `ip netns add` makes them. It
 * goes away when the descriptor is closed. The process stays in that namespace.
 *
 * Returns a descriptor that does not block, the caller's; or -1, and one line in error that says
 * what is wrong and what to do.
 */
int tt_bad_tun_open(const char *net, char error[TT_BAD_ERROR_TEXT]);

#endif
