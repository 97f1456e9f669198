/* line.h - the slow line of a direction: one packet is being sent, the others wait behind it.
 *
 * Time is an argument, in nanoseconds: at 1 GB/s a packet takes 1500 of them. The rate is one too,
 * for it may change while packets wait; 0 is no limit, and then sending takes no time.
 */
#ifndef TT_BAD_LINE_H
#define TT_BAD_LINE_H

#include "packet.h"

/* All zeroes is an empty line. */
struct tt_bad_line {
    struct tt_bad_packet *first; /* being sent; owned, as all behind it */
    struct tt_bad_packet *last;  /* if there is a first */
    uint64_t waiting_bytes;      /* of all but the first */
    uint64_t started_ns;         /* when the first began to be sent */
};

/* Whether a packet of that length may join: it is sent at once, or fits into the queue. */
bool tt_bad_line_has_room(const struct tt_bad_line *line, size_t len, uint64_t queue_bytes);

/* Takes the packet over. */
void tt_bad_line_push(struct tt_bad_line *line, struct tt_bad_packet *packet, uint64_t now_ns);

/* When the first has been sent; TT_BAD_NEVER if there is none. */
uint64_t tt_bad_line_sent_ns(const struct tt_bad_line *line, uint64_t rate_bytes_s);

/* Gives the first to the caller; the next one, if any, began to be sent at now_ns. NULL if there is
 * none.
 */
struct tt_bad_packet *tt_bad_line_take(struct tt_bad_line *line, uint64_t now_ns);

/* The rate has changed: what is being sent is sent from its beginning. */
void tt_bad_line_restart(struct tt_bad_line *line, uint64_t now_ns);

#endif
