#include "core/seal/replay.h"

#include <string.h>

#include <turbotunnel/error.h>

/* Slots for each 7 keys: with that many free, a key that is not there is found missing after some
 * 30 slots in a row.
 */
#define SLOTS_FOR_7 8u

/* What one forgetting frees at least: most / that. Each costs a walk through the table. */
#define FORGET_SHARE 16u

#define AHEAD_SHARE 4u

/* Later times than its are all in it, and refused: thousands of years from now. */
#define LAST_BUCKET (UINT32_MAX - 1)

static uint32_t bucket_of(uint64_t time_s)
{
    const uint64_t bucket = time_s / TT_REPLAY_BUCKET_S;
    return bucket < LAST_BUCKET ? (uint32_t)bucket + 1 : LAST_BUCKET;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a < UINT64_MAX - b ? a + b : UINT64_MAX;
}

int tt_replay_init(struct tt_replay *r, const struct tt_replay_config *config)
{
    if (config->most == 0 || config->most > TT_REPLAY_MOST ||
        config->interval_s > TT_REPLAY_INTERVAL_S)
        return TT_E_INVAL;
    const uint32_t slots = config->most / (SLOTS_FOR_7 - 1) + config->most + 1;
    const size_t size = slots * (sizeof(uint64_t) + sizeof(uint32_t));
    uint64_t *hashes = config->alloc->get(config->alloc->ctx, size);
    if (!hashes)
        return TT_E_NOMEM;
    memset(hashes, 0, size);
    *r = (struct tt_replay){
        .hashes = hashes,
        .buckets = (uint32_t *)(hashes + slots),
        .slots = slots,
        .most = config->most,
        .interval_s = config->interval_s,
        .alloc = config->alloc,
    };
    memcpy(r->hash_key, config->hash_key, TT_SIPHASH_KEY);
    return TT_OK;
}

void tt_replay_dispose(struct tt_replay *r)
{
    if (r->hashes)
        r->alloc->put(r->alloc->ctx, r->hashes);
    memset(r, 0, sizeof(*r));
}

/* A hash's first choice: its high half, scaled down. */
static uint32_t home_of(const struct tt_replay *r, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * r->slots >> 32);
}

static uint32_t after(const struct tt_replay *r, uint32_t slot)
{
    return slot + 1 < r->slots ? slot + 1 : 0;
}

/* The slot where the hash is, or the free one where it would be. There are always free ones. */
static uint32_t find(const struct tt_replay *r, uint64_t hash)
{
    uint32_t slot = home_of(r, hash);
    while (r->buckets[slot] != 0 && r->hashes[slot] != hash)
        slot = after(r, slot);
    return slot;
}

/* Fills the hole that a key leaves with a later one that may stand there, and so on: lookups end at
 * the first free slot.
 */
static void remove_at(struct tt_replay *r, uint32_t hole)
{
    for (uint32_t slot = after(r, hole); r->buckets[slot] != 0; slot = after(r, slot)) {
        const uint32_t home = home_of(r, r->hashes[slot]);
        const bool stays = hole <= slot ? hole < home && home <= slot : hole < home || home <= slot;
        if (stays)
            continue;
        r->hashes[hole] = r->hashes[slot];
        r->buckets[hole] = r->buckets[slot];
        hole = slot;
    }
    r->buckets[hole] = 0;
    r->count--;
}

/* Removes those outside first to last. Nothing of their times will be taken again: floor and gap
 * grow, but only as far as there was something, so that a clock that was far ahead for a while does
 * not shut everybody out for as long.
 */
static void keep_only(struct tt_replay *r, uint32_t first, uint32_t last)
{
    for (uint32_t slot = 0; slot < r->slots; slot++)
        while (r->buckets[slot] != 0 && (r->buckets[slot] < first || r->buckets[slot] > last)) {
            const uint32_t bucket = r->buckets[slot];
            if (bucket < first) {
                r->floor = bucket > r->floor ? bucket : r->floor;
            } else {
                r->gap_first = r->gap_last == 0 || bucket < r->gap_first ? bucket : r->gap_first;
                r->gap_last = bucket > r->gap_last ? bucket : r->gap_last;
            }
            remove_at(r, slot);
        }
}

/* How many keys are of a bucket from first to last. */
static uint32_t count_between(const struct tt_replay *r, uint32_t first, uint32_t last)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < r->slots; slot++)
        count += r->buckets[slot] >= first && r->buckets[slot] <= last;
    return count;
}

/* Whoever is not near our time now could not be taken again anyhow, unless the clock goes back. */
static void drop_expired(struct tt_replay *r, uint64_t now_s)
{
    const uint32_t ours = bucket_of(now_s);
    const uint32_t before = r->count;
    const uint32_t last = bucket_of(plus(now_s, r->interval_s));
    if (r->swept == ours)
        return;
    r->swept = ours;
    r->stats.forgotten += count_between(r, last + 1, LAST_BUCKET);
    keep_only(r, bucket_of(minus(now_s, r->interval_s)), last);
    if (r->count < before)
        r->ahead_counted = 0;
}

/* Looks by halves for the first bucket up to which enough can go. */
static void forget_oldest(struct tt_replay *r)
{
    const uint32_t enough = r->most / FORGET_SHARE + 1;
    uint32_t low = 1;
    uint32_t high = LAST_BUCKET;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (count_between(r, 1, middle) >= enough)
            high = middle;
        else
            low = middle + 1;
    }
    const uint32_t before = r->count;
    keep_only(r, high + 1, LAST_BUCKET);
    r->stats.forgotten += before - r->count;
    r->ahead_counted = 0;
}

static void make_room(struct tt_replay *r, uint64_t now_s)
{
    if (r->count == r->most)
        drop_expired(r, now_s);
    if (r->count == r->most)
        forget_oldest(r);
}

static uint32_t last_not_ahead(uint64_t now_s)
{
    return bucket_of(plus(now_s, TT_REPLAY_AHEAD_S));
}

/* Counts anew only when it matters, and our time has moved since. */
static bool too_many_ahead(struct tt_replay *r, uint64_t now_s)
{
    const uint32_t most = r->most / AHEAD_SHARE;
    const uint32_t ours = bucket_of(now_s);
    if (r->ahead >= most && r->ahead_counted != ours) {
        r->ahead = count_between(r, last_not_ahead(now_s) + 1, LAST_BUCKET);
        r->ahead_counted = ours;
    }
    return r->ahead >= most;
}

static bool is_late(const struct tt_replay *r, uint64_t now_s, uint64_t time_s)
{
    return time_s < minus(now_s, r->interval_s) || bucket_of(time_s) <= r->floor;
}

static bool is_early(const struct tt_replay *r, uint64_t now_s, uint64_t time_s)
{
    const uint32_t bucket = bucket_of(time_s);
    return time_s > plus(now_s, r->interval_s) || bucket == LAST_BUCKET ||
           (bucket >= r->gap_first && bucket <= r->gap_last);
}

bool tt_replay_may(const struct tt_replay *r, uint64_t now_s, uint64_t time_s)
{
    return !is_late(r, now_s, time_s) && !is_early(r, now_s, time_s);
}

static void insert(struct tt_replay *r, uint64_t hash, uint32_t bucket)
{
    const uint32_t slot = find(r, hash);
    r->hashes[slot] = hash;
    r->buckets[slot] = bucket;
    r->count++;
}

static int refuse(uint64_t *counter)
{
    ++*counter;
    return TT_E_PROTO;
}

int tt_replay_take(struct tt_replay *r, uint64_t now_s, uint64_t time_s,
                   const uint8_t ephemeral[TT_KEY_LEN])
{
    const uint64_t hash = tt_siphash(r->hash_key, tt_span_of(ephemeral, TT_KEY_LEN));
    const bool ahead = bucket_of(time_s) > last_not_ahead(now_s);
    if (is_late(r, now_s, time_s))
        return refuse(&r->stats.late);
    if (is_early(r, now_s, time_s))
        return refuse(&r->stats.early);
    if (r->buckets[find(r, hash)] != 0)
        return refuse(&r->stats.again);
    if (ahead && too_many_ahead(r, now_s))
        return refuse(&r->stats.early);
    make_room(r, now_s);
    /* Making room may have shrunk the interval until this one is outside. */
    if (is_late(r, now_s, time_s))
        return refuse(&r->stats.late);
    if (is_early(r, now_s, time_s))
        return refuse(&r->stats.early);
    insert(r, hash, bucket_of(time_s));
    r->ahead += ahead;
    return TT_OK;
}
