/* loop.h - where sessions live: an event loop with one lock.
 *
 * Most programs need none of this: tt_dial and tt_listen make a loop with a thread of its own. Make
 * one yourself to share it between many sessions, or to run it on a thread of yours, where the
 * callbacks then come.
 *
 * Threads: every function on a session, stream or listener may be called from any thread; the
 * loop's lock serialises them. Callbacks come on the loop's thread, with the lock held: they may
 * call any function but the blocking ones, which return TT_E_INVAL there. A function of an object
 * on another loop waits for that one's lock: two loops whose callbacks do that to each other wait
 * for ever.
 *
 * A loop with a thread of its own is also run, while nobody has set callbacks on what lives there,
 * by threads in tt_stream_read and tt_stream_write: one that waits does what is to be done for all
 * sessions of the loop, until it has what it waited for. So such a thread should not be one that
 * the system seldom lets run; where it is, share no loop with others. When it returns to the
 * program the loop's own thread goes on, within two milliseconds.
 */
#ifndef TURBOTUNNEL_LOOP_H
#define TURBOTUNNEL_LOOP_H

#include <turbotunnel/error.h>
#include <turbotunnel/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes a loop; options (NULL: defaults) gives alloc and max_buffer_bytes, the rest is not looked
 * at. Returns 0, TT_E_NOMEM or TT_E_SYSTEM (no descriptors).
 */
TT_EXPORT int tt_loop_new(const struct tt_options *options, struct tt_loop **loop);

/* Runs the loop on the calling thread until tt_loop_stop. Returns 0, or TT_E_INVAL: it runs
 * already. */
TT_EXPORT int tt_loop_run(struct tt_loop *loop);

/* Runs the loop on a new thread, with all signals blocked, until tt_loop_free.
 * Returns 0, TT_E_INVAL (it runs already) or TT_E_SYSTEM (no thread).
 */
TT_EXPORT int tt_loop_start(struct tt_loop *loop);

/* Makes tt_loop_run return, or the next one if none is under way. A loop on a thread of its own
 * goes on: somebody may wait for it. Any thread, also a callback.
 */
TT_EXPORT void tt_loop_stop(struct tt_loop *loop);

/* --- a loop inside another one ---
 *
 * A program that waits for its own things, in poll, in libuv or in whatever loop it has, waits for
 * the descriptor too, and lets the library do what it can when that is readable or the time is
 * over:
 *
 *     for (;;) {
 *         struct pollfd fds[] = {{.fd = tt_loop_fd(loop), .events = POLLIN}, ...its own...};
 *         poll(fds, count, tt_loop_timeout(loop));
 *         tt_loop_turn(loop);
 *     }
 *
 * The thread that has called tt_loop_turn is the loop's thread, also between the turns: calls that
 * wait return TT_E_INVAL there, and closing does not wait: tt_session_close goes on behind your
 * back while there are turns, tt_listener_close ends at once. Other threads may wait, as long as
 * this one turns. examples/embed/ has whole programs.
 */

/* Readable when there is something to do; nothing else may be done with it. The same for the loop's
 * life. Any thread.
 */
TT_EXPORT int tt_loop_fd(const struct tt_loop *loop);

/* How many milliseconds to wait for that at most: 0: not at all, -1: without a limit. Ask before
 * each wait; whatever was called in between may have changed it. The loop's thread.
 */
TT_EXPORT int tt_loop_timeout(struct tt_loop *loop);

/* Does what can be done without waiting, and calls back. Calling it too often costs time and does
 * no harm; tt_loop_stop does not concern it. Returns 0, or TT_E_INVAL: it runs already, or this is
 * a callback.
 */
TT_EXPORT int tt_loop_turn(struct tt_loop *loop);

/* --- the end --- */

/* Stops the loop's own thread, if any, and frees all. Sessions and listeners on it must have been
 * closed; those that still linger end now. Not from a callback.
 */
TT_EXPORT void tt_loop_free(struct tt_loop *loop);

#ifdef __cplusplus
}
#endif

#endif
