/* replay.h - which INITs were seen before (sealed.md M-5): the ephemeral keys of 4 hours, bounded.
 *
 * An INIT is taken when the time in it is near ours and its key is not here. Each one that was
 * taken is in the table, or its time is one of those of which nothing is taken any more; so none is
 * taken twice, whatever the clock does.
 *
 * Keys leave only when there is no room. Then those go whose time is no longer near ours; if there
 * is still no room the accepted interval shrinks: the oldest are forgotten, a sixteenth of the room
 * at least, and nothing that old is taken any more. Of those ahead of our time only a quarter of
 * the room may be, so that their sender cannot drive out everybody else's.
 */
#ifndef TT_CORE_SEAL_REPLAY_H
#define TT_CORE_SEAL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/siphash.h"
#include "core/seal/crypto.h"

#define TT_REPLAY_MOST       (UINT32_C(1) << 28)
#define TT_REPLAY_INTERVAL_S (UINT64_C(1) << 32)

/* Times are kept in buckets of so many seconds, and forgotten by the bucket. */
#define TT_REPLAY_BUCKET_S 64u

/* An INIT whose time is in a bucket after the one that is so far ahead of ours is one of the
 * quarter. */
#define TT_REPLAY_AHEAD_S 60u

struct tt_replay_config {
    uint32_t most;       /* keys remembered at once, 1 to TT_REPLAY_MOST; 14 bytes each */
    uint64_t interval_s; /* how far the time of an INIT may be off, at most TT_REPLAY_INTERVAL_S */
    uint8_t hash_key[TT_SIPHASH_KEY];
    const struct tt_alloc *alloc;
};

struct tt_replay_stats {
    uint64_t early, late; /* refused for their time; early: or there are too many ahead already */
    uint64_t again;       /* refused: seen before */
    uint64_t forgotten;   /* keys dropped before their time */
};

/* Buckets are numbered from 1; 0 is none. */
struct tt_replay {
    uint64_t *hashes;  /* owned: the one block of memory, with buckets behind it */
    uint32_t *buckets; /* of each hash; 0: the slot is free */
    uint32_t slots;
    uint32_t count;
    uint32_t most;
    uint32_t ahead;         /* how many of them are ahead of our time, or were when last counted */
    uint32_t ahead_counted; /* our bucket then */
    uint32_t swept;         /* our bucket when last was looked for those no longer near ours */
    uint32_t floor;         /* nothing of this bucket or one before is taken any more, */
    uint32_t gap_first;     /* nor from here to */
    uint32_t gap_last;      /* there (0: no gap): the clock went back, and these were far ahead */
    uint64_t interval_s;
    uint8_t hash_key[TT_SIPHASH_KEY];
    struct tt_replay_stats stats;
    const struct tt_alloc *alloc; /* borrowed; outlives r */
};

/* All its memory is allocated here. Returns 0, TT_E_INVAL (a number outside its range), TT_E_NOMEM;
 * after an error there is nothing to dispose of.
 */
int tt_replay_init(struct tt_replay *r, const struct tt_replay_config *config);
/* Safe on an object of all zeroes, and twice. */
void tt_replay_dispose(struct tt_replay *r);

/* Whether an INIT of that time may be taken, its key not looked at, nor how many there are. now_s:
 * wall clock, seconds since 1970; it may jump. Counts nothing.
 */
bool tt_replay_may(const struct tt_replay *r, uint64_t now_s, uint64_t time_s);

/* The INIT has opened: takes its key into memory. Returns 0 or TT_E_PROTO (seen before, or its time
 * is not near ours). O(1) on average: once in 64 s of the clock, and once in most/16 calls, it goes
 * through the whole table.
 */
int tt_replay_take(struct tt_replay *r, uint64_t now_s, uint64_t time_s,
                   const uint8_t ephemeral[TT_KEY_LEN]);

#endif
