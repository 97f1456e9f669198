/* counters.h - what became of the packets of a direction.
 *
 * arrived + duplicated =
 *     forwarded + lost + queue_dropped + blackholed + overflowed + refused + held
 */
#ifndef TT_BAD_COUNTERS_H
#define TT_BAD_COUNTERS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TT_BAD_COUNTERS(X)                                                                         \
    X(arrived)       /* out of the sender's device */                                              \
    X(duplicated)    /* second ones that were made */                                              \
    X(reordered)     /* were held up, so that others overtake them */                              \
    X(forwarded)     /* into the receiver's device */                                              \
    X(lost)          /* by chance */                                                               \
    X(queue_dropped) /* the queue before the line was full */                                      \
    X(blackholed)    /* a blackhole was there, or began while it was under way */                  \
    X(overflowed)    /* more was under way than may be held, or there was no memory */             \
    X(refused)       /* by the receiver's device: it is down, or the packet is malformed */        \
    X(ignored)       /* multicast; counts nowhere else */                                          \
    X(held)          /* at this moment: on the line or under way */

struct tt_bad_tally {
    uint64_t packets, bytes;
};

struct tt_bad_counters {
#define X(name) struct tt_bad_tally name;
    TT_BAD_COUNTERS(X)
#undef X
};

static inline void tt_bad_count(struct tt_bad_tally *tally, size_t bytes)
{
    tally->packets++;
    tally->bytes += bytes;
}

/* Prints them as one JSON object: {"arrived": {"packets": 1, "bytes": 84}, ...} */
void tt_bad_counters_print(const struct tt_bad_counters *counters, FILE *out);

#endif
