/* carriers.h - which of a session's carriers is fed, which is over, and whether one is missing
 * (native.md ).
 *
 * Data goes to all carriers of the best rank that is there; of suspect or draining ones, to the one
 * that answered last. Acks leave where the data came, when that carrier can take them.
 */
#ifndef TT_CORE_SESSION_CARRIERS_H
#define TT_CORE_SESSION_CARRIERS_H

#include <stdint.h>

#include "core/session/endpoint.h"

/* Something about a carrier has changed: ranks them all anew, and does what follows. */
void tt_carriers_review(struct tt_endpoint *e);

/* How much may fly on c, and whether acks leave there. Part of the above. */
void tt_carriers_set_room(struct tt_endpoint *e, struct tt_carrier *c);
void tt_carriers_route_acks(struct tt_endpoint *e);

/* una, window and acks are due again; how many of them c may carry. */
void tt_carriers_repeat_acks(struct tt_endpoint *e);
uint32_t tt_carriers_most_acks(const struct tt_endpoint *e, const struct tt_carrier *c);

/* The next packet of c acknowledges all that we have received once more: earlier acks may be on a
 * carrier that is dead without our knowing.
 */
void tt_carriers_account_on(struct tt_endpoint *e, struct tt_carrier *c);

/* A packet came on c for the first time, or it may be used from now on. */
void tt_carriers_proven(struct tt_endpoint *e, struct tt_carrier *c);

/* c owes an answer for too long. */
void tt_carriers_suspected(struct tt_endpoint *e, struct tt_carrier *c);

/* When a suspect c is to be given up, or TT_NEVER. */
uint64_t tt_carriers_give_up_at(const struct tt_endpoint *e, const struct tt_carrier *c);

/* Its owner is to close it. */
void tt_carriers_doom(struct tt_endpoint *e, struct tt_carrier *c);

/* Client: the budget of a new carrier, by the options and by what was learned. */
void tt_carriers_set_budget(struct tt_endpoint *e, struct tt_carrier *c);

/* Client: c is about to be closed; what that says about limits on the path is remembered. */
void tt_carriers_learn(struct tt_endpoint *e, const struct tt_carrier *c, uint64_t now_us);

/* Whether the time is over for which c may be used, by us or by the peer. */
bool tt_carriers_too_old(const struct tt_carrier *c, uint64_t now_us);

/* The budget of c leaves no room for a segment: nothing more is sent there. */
void tt_carriers_spent(struct tt_endpoint *e, struct tt_carrier *c);

/* Client: a legacy server knows of no limit; when it has sent enough on c, the next one is due. */
void tt_carriers_heard_enough(struct tt_endpoint *e, struct tt_carrier *c);

/* What c waits for: its answer, its budget's end, a HELLO. */
uint64_t tt_carriers_deadline(const struct tt_endpoint *e, const struct tt_carrier *c);
void tt_carriers_handle_timeout(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* Longest packet that may leave on c now; 0: none. data: not only acks. */
uint32_t tt_carriers_max_packet(const struct tt_endpoint *e, const struct tt_carrier *c, bool data);

/* Nothing more is to be sent on a draining carrier: it is over once both ends have said so. */
bool tt_carriers_is_drained(const struct tt_endpoint *e, const struct tt_carrier *c);
void tt_carriers_drained(struct tt_endpoint *e, struct tt_carrier *c);

#endif
