/* dialing.h - when a client dials (native.md ). Sans-I/O; the driver does the dialling.
 *
 *   a carrier is missing --> due --> began --> up, or failed --> (backoff) --> due ...
 *
 * A carrier that was of use is replaced at once, beyond 10 in a second 100 ms apart; one that never
 * brought anything, or ended within 10 s without progress, counts as a dial that failed. After
 * failures it waits: 50 ms, doubling to 2 s, then +-20 %. A dial that takes more than 2 s counts as
 * failed, but goes on beside the next one.
 */
#ifndef TT_CORE_SESSION_DIALING_H
#define TT_CORE_SESSION_DIALING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/session/endpoint.h"

#define TT_DIALS_AT_ONCE 4u

struct tt_dialing_config {
    uint64_t first_us, most_us; /* the wait after a failure: the first, and the longest */
    uint64_t slow_us;           /* a dial that takes longer counts as failed; 0: never */
    uint8_t jitter_key[16];     /* random */
};

struct tt_dialing {
    struct tt_dialing_config config;
    uint32_t under_way;
    uint64_t begun_us;        /* when the last one began */
    bool slow_counted;        /* it counts as failed already */
    uint32_t failures;        /* in a row */
    uint64_t wait_until_us;   /* no dial before */
    uint64_t wait_us;         /* how long that was, for logs */
    uint64_t second_began_us; /* for the limit on redials after progress */
    uint32_t redials_this_second;
    uint64_t begun, failed; /* all dials; those that failed, or brought a carrier of no use */
};

void tt_dialing_init(struct tt_dialing *d, const struct tt_dialing_config *config);

/* Whether to dial now, and when to ask again if nothing happens before. */
bool tt_dialing_is_due(struct tt_dialing *d, const struct tt_endpoint *e, uint64_t now_us);
uint64_t tt_dialing_deadline(const struct tt_dialing *d, const struct tt_endpoint *e,
                             uint64_t now_us);

/* What the driver does, and what comes of it. */
void tt_dialing_began(struct tt_dialing *d, uint64_t now_us);
void tt_dialing_up(struct tt_dialing *d);
void tt_dialing_failed(struct tt_dialing *d, uint64_t now_us);

/* A carrier of e is about to be closed, for whatever reason. Returns whether it was of use. */
bool tt_dialing_ended(struct tt_dialing *d, const struct tt_carrier *c, uint64_t now_us);

/* The network has changed: what was learned from failures does not hold any more. */
void tt_dialing_forget(struct tt_dialing *d);

#endif
