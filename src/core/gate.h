/* gate.h - a sealed server's carriers that have proven nothing yet (sealed.md M-1, M-5, M-6, M-16).
 *
 *   INIT that opens  -- half open (10 s) --> first valid DATA: a session (queue_packet_conn.h)
 *        anything else: mute
 *
 * Whoever has not made a fresh handshake with the server's key gets no answer, whatever he sends: a
 * carrier on which something is wrong is mute from then on, it is read and nothing more. What a
 * stranger costs is bounded: one handshake's arithmetic for each INIT that is tried, two INITs on a
 * carrier, so many a second from an address; a half-open session only for who has the right key.
 *
 * Sans-I/O. One thread at a time.
 */
#ifndef TT_CORE_GATE_H
#define TT_CORE_GATE_H

#include "core/base/quota.h"
#include "core/remote_map.h"
#include "core/seal/replay.h"
#include "core/session/sealed.h"

struct tt_gate_config {
    struct tt_sealer *sealer;          /* borrowed, as what follows */
    const struct tt_server_keys *keys; /* may change between two calls: for handshakes to come */
    /* Whether the client with this public key may come in; NULL: anybody may, and need have none.
     */
    bool (*welcome)(void *ctx, const uint8_t client_key[TT_KEY_LEN]);
    void *welcome_ctx;
    uint32_t max_half_open;           /* at once */
    struct tt_quota *half_open_quota; /* instead, when several share it: borrowed; or NULL */
    uint32_t inits_per_second;        /* tried, from one address; 0: no limit */
    uint32_t max_seen;                /* ephemeral keys remembered */
    uint64_t interval_s;              /* how far a client's clock may be off */
    uint8_t hash_key[TT_SIPHASH_KEY];
    const struct tt_alloc *alloc;
};

struct tt_gate_stats {
    uint64_t inits;       /* that were tried */
    uint64_t half_opened; /* of them, that began a session */
    uint64_t questions;   /* of them, that asked for one (M-16) */
    uint64_t not_opened;  /* of them, that did not open, or made no sense */
    uint64_t wrong_time;  /* of them, whose clock was off too far */
    uint64_t replayed;    /* of them, that had come before */
    uint64_t not_welcome; /* clients without a key, or with one that is not listed */
    uint64_t too_many; /* INITs that were not tried: a third on its carrier, or too many a second */
    uint64_t refused_full;      /* clients that were told that the server is full ... */
    uint64_t refused_half_open; /* ... of them, for max_half_open alone */
    uint64_t expired;           /* half-open sessions that nothing came of */
    uint64_t data_refused;      /* DATA on unproven carriers that did not open, or was not tried */
    uint64_t muted;             /* carriers on which something was wrong */
    uint64_t no_memory;
};

#define TT_GATE_ORIGINS 1024u

/* How many INITs of one address were tried in this second. */
struct tt_gate_origin {
    uint64_t origin;
    uint64_t second;
    uint32_t count;
};

/* A session whose client has shown that it knows the server's key, and nothing else yet. */
struct tt_half_open {
    struct tt_remote remote;
    struct tt_secrets secrets;
    bool client_known;
    uint8_t client_key[TT_KEY_LEN];
};

struct tt_gate {
    struct tt_gate_config config;
    struct tt_remote_map halves;
    struct tt_quota own_half_open; /* when none is shared */
    struct tt_replay replay;
    struct tt_gate_origin *origins; /* TT_GATE_ORIGINS of them */
    struct tt_gate_stats stats;
};

/* 0, TT_E_INVAL (a number outside its range, replay.h) or TT_E_NOMEM. Dispose is safe after an
 * error, and twice.
 */
int tt_gate_init(struct tt_gate *g, const struct tt_gate_config *config);
void tt_gate_dispose(struct tt_gate *g);

/* INIT came on c, which has no session. open: the seal of the session that has its ID, or NULL.
 * full: a new session would be one too many. A reply may be due on c afterwards.
 */
void tt_gate_hear_init(struct tt_gate *g, uint64_t now_us, struct tt_carrier *c,
                       struct tt_span packet, const struct tt_seal *open, bool full);

/* The half-open session of that ID, or NULL; and its end, whatever came of it. */
struct tt_half_open *tt_gate_find(const struct tt_gate *g, const struct tt_session_id *id);
void tt_gate_forget(struct tt_gate *g, struct tt_half_open *half);

/* Something is wrong on c, which has no session. */
void tt_gate_mute(struct tt_gate *g, struct tt_carrier *c);

/* The first DATA of a carrier, opened with the keys of that session. Returns 0: the carrier's
 * number is taken, c->seal is made, plain is what stood in it; or TT_E_PROTO, TT_E_NOMEM: nothing
 * has changed.
 */
int tt_gate_open_data(struct tt_gate *g, struct tt_carrier *c, struct tt_seal *seal,
                      struct tt_span packet, struct tt_span *plain);

/* RESPONSE on c, if one is due: gathered into out. 0, TT_E_AGAIN, TT_E_FULL. */
int tt_gate_next_reply(struct tt_gate *g, struct tt_carrier *c, struct tt_gather *out,
                       uint32_t *len);

/* c is over: a reply that has not left goes. */
void tt_gate_leave(struct tt_gate *g, struct tt_carrier *c);

uint64_t tt_gate_deadline(const struct tt_gate *g);
void tt_gate_handle_timeout(struct tt_gate *g, uint64_t now_us);

#endif
