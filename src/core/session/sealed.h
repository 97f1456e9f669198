/* sealed.h - what is sealed about a session: its keys, and what a client says before it has any
 * (sealed.md M-4, M-8..M-12, M-15, M-16). The server's side of handshakes is in core/gate.h.
 *
 * A client's session:
 *
 *   NEW -- RESPONSE --> KEYED -- first valid DATA --> CONFIRMED
 *    ^                    |
 *    '---- next dial -----'
 *
 * Until it is CONFIRMED nothing of KCP leaves, so that each dial may begin with a new session. A
 * server's is CONFIRMED from the start: it is made of the first valid DATA.
 *
 * A carrier of a client: an INIT is due (a new session, or a question, M-16), or it has keys. One
 * of a server has keys: others are not the session's yet.
 */
#ifndef TT_CORE_SESSION_SEALED_H
#define TT_CORE_SESSION_SEALED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/seal/counters.h"
#include "core/seal/handshake.h"
#include "core/seal/keys.h"
#include "core/seal/numbers.h"
#include "core/session/endpoint.h"

enum tt_seal_phase { TT_SEAL_NEW, TT_SEAL_KEYED, TT_SEAL_CONFIRMED };

struct tt_seal_stats {
    uint64_t not_opened;  /* packets that did not open, or made no sense where they came */
    uint64_t again;       /* datagrams that came twice, or too late */
    uint64_t attempts;    /* client: INITs for a new session */
    uint64_t questions;   /* client: INITs that asked for the session that it has (M-16) */
    uint64_t unanswered;  /* client: INITs that brought nothing in time */
    uint64_t server_full; /* client: answers that the server is at a limit */
    uint64_t misroutes;   /* client: answers of servers that have never had the session */
    uint64_t begun_anew;  /* client: lost before anything was said in it */
};

struct tt_seal {
    struct tt_sealer *sealer;            /* borrowed; outlives the session */
    const struct tt_client_keys *client; /* the same; NULL: a server's */
    enum tt_seal_phase phase;
    struct tt_keys send, receive;
    struct tt_numbers numbers;         /* server: which carriers have been */
    uint8_t resume[TT_RESUME_LEN];     /* names the session in questions: of h */
    uint8_t instance[TT_INSTANCE_LEN]; /* client: of the server that has the session */
    uint8_t peer_key[TT_KEY_LEN];      /* server: the client's, if it has proven one */
    bool peer_known;
    uint64_t patience_us;       /* client: how long the last INIT was, or is, waited for */
    uint32_t failures;          /* client: INITs without an answer, in a row */
    uint32_t misroutes;         /* client: in a row ... */
    uint64_t first_misroute_us; /* ... since */
    struct tt_seal_stats stats;
};

/* Of one carrier. */
struct tt_carrier_seal {
    bool has_keys;
    bool init_due;           /* client: INIT is to be sent */
    bool asks;               /* client: it is, or was, a question (M-16) */
    bool answered;           /* server: its PONG came (M-12) */
    uint32_t sent, received; /* counters of the next packet */
    uint64_t until_us; /* client: an INIT or the first DATA waits for its answer, or TT_NEVER */
    struct tt_noise *noise;     /* client: owned: of the INIT that was sent, or is to be */
    struct tt_counters *window; /* owned: on a carrier that may disorder packets */
    uint8_t send_key[TT_KEY_LEN], receive_key[TT_KEY_LEN];
};

/* keys and sealer are borrowed. 0 or TT_E_NOMEM. */
int tt_seal_new_client(struct tt_seal **seal, struct tt_sealer *sealer,
                       const struct tt_client_keys *keys, const struct tt_alloc *alloc);

/* client_key: what the client has proven, or NULL. 0 or TT_E_NOMEM. */
int tt_seal_new_server(struct tt_seal **seal, struct tt_sealer *sealer,
                       const struct tt_secrets *secrets, const uint8_t *client_key,
                       const struct tt_alloc *alloc);

/* NULL: nothing. Keys are wiped (M-18). */
void tt_seal_free(struct tt_seal *seal, const struct tt_alloc *alloc);

/* What a carrier needs to open and to write packets. Client: of the number that it has. May fail
 * with TT_E_NOMEM, TT_E_SYSTEM; nothing is left then.
 */
int tt_carrier_seal_new(struct tt_carrier_seal **cs, const struct tt_carrier_limits *limits,
                        const struct tt_alloc *alloc);
int tt_carrier_seal_keys(struct tt_carrier_seal *cs, const struct tt_seal *seal, uint32_t number);
void tt_carrier_seal_free(struct tt_carrier_seal *cs, const struct tt_alloc *alloc);

/* Server: the first packet of a carrier opened: its number is taken, older epochs are over. */
int tt_seal_take_number(struct tt_seal *seal, uint32_t number);

/* A new ID for a client's next attempt (M-4); none when the session is confirmed. 0, TT_E_SYSTEM.
 */
int tt_sealed_new_id(struct tt_endpoint *e);

/* Client: c has opened; the session may be over for want of numbers. */
void tt_sealed_begin(struct tt_endpoint *e, struct tt_carrier *c);

/* c is over, whoever had it: frees what it had for sealing. */
void tt_sealed_end(struct tt_carrier *c, const struct tt_alloc *alloc);

/* A packet came on c, a carrier of e. Returns 0: plain is the control packet, or (first byte 0) the
 * KCP datagram behind that byte, in the packet's memory; TT_E_AGAIN: there is nothing more to do.
 */
int tt_sealed_receive(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                      struct tt_span packet, struct tt_span *plain);

/* Whether something can be sealed on c; whether an INIT is due, and that packet: as
 * tt_endpoint_next_packet.
 */
bool tt_sealed_can_speak(const struct tt_carrier *c);
bool tt_sealed_init_due(const struct tt_carrier *c);
int tt_sealed_next_init(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                        struct tt_gather *g, uint32_t *len);

/* Seals what stands in `plain` of the sealer, which is a control packet or a KCP datagram, into
 * room, which tt_gather_build gave for as much and TT_SEALED_OVERHEAD, and adds it to g. Returns 0,
 * or TT_E_AGAIN: the carrier is over.
 */
int tt_sealed_write(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us, bool is_control,
                    struct tt_gather *g, uint8_t *room, uint32_t *len);

/* Client: what c waits for while it is not proven; and whether something is done about it, instead
 * of taking it for dead (M-16).
 */
uint64_t tt_sealed_deadline(const struct tt_carrier *c);
void tt_sealed_handle_timeout(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);
bool tt_sealed_asks(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* Whether KCP may use the session's carriers, and several of them (M-4, R-6). */
static inline bool tt_sealed_is_confirmed(const struct tt_endpoint *e)
{
    return e->seal->phase == TT_SEAL_CONFIRMED;
}

/* Whether KCP may use c. As long as nothing was said in the session, nothing is said where the
 * server has not shown that it still has it: then the session can begin anew without a loss (M-16).
 */
bool tt_sealed_may_carry(const struct tt_endpoint *e, const struct tt_carrier *c);

#endif
