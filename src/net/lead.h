/* lead.h - which thread takes the turns of a loop that has a thread of its own.
 *
 * Bytes that the loop's thread has read for a thread in tt_stream_read cost two more switches and
 * go through the caches of two cores. So a thread that waits for a stream *leads*: it takes the
 * loop's turns itself, for all that live there, until it has what it waited for, and goes on with
 * its own bytes in its hands. One thread leads at a time; others that wait are woken by it.
 *
 * The loop's own thread leads while nobody else does, and keeps watch: when a leader leaves, it
 * does not wake up for that, for a leader is mostly back at once. It looks a little later, in
 * TT_LEAD_GRACE_US, and when none has led since then it leads itself, until it has woken a thread
 * that will be back soon. Whether that is so is told by the last time: a thread that came back
 * later than that has its turn taken over at once.
 *
 * A leader that is woken leaves its acknowledgements for its next call, when there may be data for
 * them to leave with: a question and its answer are then one packet each way, not two.
 *
 * A loop with callbacks is led by its own thread alone, for that is where they come; so is one
 * that a program runs itself with tt_loop_run.
 */
#ifndef TT_NET_LEAD_H
#define TT_NET_LEAD_H

#include "net/worker.h"

#define TT_LEAD_GRACE_US (1 * TT_MS)

/* As tt_worker_wait without a deadline, and leads meanwhile, if nobody else does.
 *
 *   left_us  in and out: when a thread last stopped waiting for this; 0: never
 */
void tt_lead_until_woken(struct tt_loop *w, struct tt_list *waiters, uint64_t *left_us);

/* Whether somebody leads; any thread, whatever locks it has: it may be so no more. */
bool tt_lead_is_taken(const struct tt_loop *w);

/* Somebody waits who does not lead: the loop's own thread does not wait for others to. */
void tt_lead_go_on(struct tt_loop *w);

/* A waiter was woken. */
void tt_lead_woke(struct tt_loop *w, const struct tt_waiter *waiter);

/* What a session has to send can leave with what its program says next: the leader has been woken,
 * and will soon call again, as it did the last time. The chore is run at the next call, or when
 * the grace is over. false: send it now.
 */
bool tt_lead_leave_for_answer(struct tt_loop *w, struct tt_chore *chore);

/* What the loop's own thread does, with the lock, until the loop is over. */
void tt_lead_by_default(struct tt_loop *w);

#endif
