/* flight.h - the packets under way in a direction, in a heap: what arrives first is on top. */
#ifndef TT_BAD_FLIGHT_H
#define TT_BAD_FLIGHT_H

#include "packet.h"

/* All zeroes is an empty one. */
struct tt_bad_flight {
    struct tt_bad_packet **heap; /* owned, and the packets in it */
    size_t count, capacity;
};

/* Takes the packet over, whose due_ns is set. Those that are due together arrive by their numbers.
 * Returns false without memory: then it is still the caller's.
 */
bool tt_bad_flight_add(struct tt_bad_flight *flight, struct tt_bad_packet *packet);

/* When the first one arrives; TT_BAD_NEVER if there is none. */
uint64_t tt_bad_flight_next_ns(const struct tt_bad_flight *flight);

/* Gives the first one to the caller; NULL if there is none. */
struct tt_bad_packet *tt_bad_flight_take(struct tt_bad_flight *flight);

/* Frees everything; an empty one is left. */
void tt_bad_flight_dispose(struct tt_bad_flight *flight);

#endif
