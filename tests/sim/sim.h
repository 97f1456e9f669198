/* sim.h - a whole world in one process: clients, a server, a hostile network and the clock.
 *
 * Both ends are the real core; what is simulated is what a driver, the operating system and the
 * path between do. The clock is virtual and jumps from event to event, so that an hour of outage
 * costs nothing. All chance comes from one seed: one seed is one run, to the byte.
 *
 *   sim.c      the world: clock, dice, scheduled events, memory, digest and trace
 *   network.c  what carries bytes: pipes with latency, rate and a bounded buffer; links that are
 *              cut
 *   client.c   a client's driver: dials, redials, backs off
 *   server.c   the server's driver
 *   plug.c     what both drivers do with one connection: encapsulation, partial writes
 *   talk.c     the applications: what they write, read, end and close
 *   sealing.c  keys and what else sealed sessions need
 *   attacker.c who reads, changes, replays and injects, and dials himself
 *   checks.c   what must hold at every step, and at the end
 *   seeds.c    what a random seed does
 *
 * Checks stand in the loop: sim_require() prints the seed and the time and ends the run. Nothing
 * here is thread-safe. Units: microseconds of virtual time, bytes.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/encapsulation.h"
#include "core/encapsulation_padded.h"
#include "core/queue_packet_conn.h"
#include "core/session/dialing.h"
#include "core/session/endpoint.h"
#include "core/session/sealed.h"

#define SIM_MAX_STREAMS    64u /* of a client */
#define SIM_MAX_EVENTS     256u
#define SIM_DEFAULTS       UINT64_MAX
#define SIM_SEALED_SEEDS   UINT64_C(1000000000) /* from this one on, sessions are sealed, ... */
#define SIM_ATTACKED_SEEDS UINT64_C(2000000000) /* ... and from this one on attacked */

struct sim;
struct sim_client;
struct sim_link;

/* --- the network (network.c) --- */

enum sim_kind {
    SIM_BYTES,     /* a byte stream, like TCP: in order, complete while it lives */
    SIM_DATAGRAMS, /* packets that get lost, repeated and out of order */
};

/* What connections are like. */
struct sim_shape {
    enum sim_kind kind;
    uint64_t latency_us;       /* one way */
    uint64_t jitter_us;        /* up to so much more; bytes stay in order all the same */
    uint32_t bytes_per_ms;     /* 0: no limit */
    uint32_t odd_bytes_per_ms; /* of every second connection; 0: as the others */
    uint64_t odd_latency_us;   /* the same */
    uint32_t buffer_bytes;     /* that fit into one direction */
    uint32_t most_a_write;     /* a write takes at most so much, and less by chance */
    uint32_t most_a_read;
    uint32_t lost_permille, repeated_permille; /* datagrams */
    uint32_t max_packet;
    bool padded; /* packets are framed as Snowflake does it, with padding between them */
    /* Somebody on the path lets no more pass after so many bytes, in either direction, and tells
     * nobody; 0: no limit. up, down, both directions together.
     */
    uint64_t freeze_up, freeze_down, freeze_sum;
};

/* One direction of a connection. */
struct sim_chunk;
struct sim_pipe {
    struct sim_chunk *first, *last; /* by arrival */
    uint32_t held_bytes;            /* in the buffer */
    uint64_t free_us;               /* when the last byte written so far has left */
    uint64_t latest_us;             /* when the last byte written so far arrives */
    bool dead;                      /* nothing that is written arrives any more */
    uint64_t passed;                /* bytes that were ever written while it was not */
    bool odd;                       /* of every second connection */
};

/* How many bytes could be written now. */
uint32_t sim_pipe_room(const struct sim *sim, const struct sim_pipe *pipe);
/* Takes what fits, and says how much it was. A datagram is always taken. */
uint32_t sim_pipe_write(struct sim *sim, struct sim_pipe *pipe, const uint8_t *data, uint32_t len);
/* What of len bytes may still pass before somebody freezes the link; that happens here. */
uint32_t sim_link_let_pass(struct sim *sim, struct sim_link *link, const struct sim_pipe *pipe,
                           uint32_t len);
/* Gives bytes that have arrived, or one whole datagram; 0: nothing there. */
uint32_t sim_pipe_read(struct sim *sim, struct sim_pipe *pipe, uint8_t *buf, uint32_t cap);
uint64_t sim_pipe_next_us(const struct sim_pipe *pipe);
/* Turns round one bit of what is under way; false: nothing is. */
bool sim_pipe_flip(struct sim *sim, struct sim_pipe *pipe);
void sim_pipe_clear(struct sim_pipe *pipe);

/* --- one end of a connection, with what a driver keeps for it (plug.c) --- */

struct sim_plug {
    bool open;
    uint64_t learns_us; /* when this end learns that the connection is over, or TT_NEVER */
    struct sim_link *link;
    struct sim_pipe *in, *out;
    struct tt_carrier carrier;
    struct tt_decap decap;
    struct tt_padded_decap padded_decap;
    uint8_t id[TT_SESSION_ID_LEN]; /* server: what came of it */
    uint32_t id_have;
    uint64_t sealed; /* packets of a sealed session that left here under its carrier's key */
    uint8_t *unsent; /* taken from the core, not yet from here */
    uint32_t unsent_at, unsent_len;
};

void sim_plug_open(struct sim *sim, struct sim_plug *p, struct sim_link *link, struct sim_pipe *in,
                   struct sim_pipe *out);
void sim_plug_close(struct sim_plug *p);

/* Reads all that has arrived and gives each packet to take. slab: where it lies, or NULL. Returns
 * whether anything came.
 */
typedef void sim_take_packet(struct sim *sim, struct sim_plug *p, struct tt_span packet,
                             struct tt_slab *slab);
bool sim_plug_receive(struct sim *sim, struct sim_plug *p, struct tt_slab_pool *slabs,
                      sim_take_packet *take);

/* Takes packets from next until it has none, or the connection takes no more. */
typedef int sim_next_packet(struct sim *sim, struct sim_plug *p, struct tt_gather *g,
                            uint32_t *len);
void sim_plug_flush(struct sim *sim, struct sim_plug *p, sim_next_packet *next);
void sim_plug_write(struct sim *sim, struct sim_plug *p, const uint8_t *data, uint32_t len);

/* Whether there are bytes to write, and now room for them. */
bool sim_plug_can_go_on(const struct sim *sim, const struct sim_plug *p);

struct sim_link {
    struct tt_list_node node;      /* in sim->links */
    struct tt_list_node of_client; /* in client->links */
    uint32_t number;
    struct sim_client *client;
    struct tt_session_id id; /* that the client says on it */
    struct sim_pipe up, down;
    struct sim_plug at_client, at_server;
    uint64_t accept_us;   /* when the server's end opens, or TT_NEVER */
    bool foreign;         /* the attacker's own: there is no client at its other end ... */
    bool may_be_answered; /* ... and he may have words for which he is answered, ... */
    bool may_prove;       /* ... or a client's that make it one of a session */
    bool cut;             /* nothing passes any more, whoever knows it */
    bool frozen;          /* the same in one direction at least, and nobody will ever know */
};

struct sim_link *sim_link_new(struct sim *sim, struct sim_client *client);

/* How a connection ends. */
struct sim_cut {
    uint64_t client_learns_us; /* after now; TT_NEVER: never */
    uint64_t server_learns_us;
    bool in_flight_arrives; /* FIN: what was written arrives before its end; RST: it does not */
};
void sim_link_cut(struct sim *sim, struct sim_link *link, struct sim_cut cut);

/* Nothing passes any more in those directions, what is under way included, and nobody learns of it.
 */
void sim_link_freeze(struct sim *sim, struct sim_link *link, bool up, bool down);

/* The client's program closes it: what was written still arrives, and then the server learns. */
void sim_link_hang_up(struct sim *sim, struct sim_link *link);

/* Frees the links that are over at both ends. */
void sim_bury_links(struct sim *sim);

/* --- the attacker of sealed sessions (attacker.c) --- */

#define SIM_SEEN   32u
#define SIM_STOLEN 4u

struct sim_seen;

/* A connection whose packets arrive on another. */
struct sim_stolen {
    uint32_t from, to; /* their numbers; 0 and 0: nothing */
};

struct sim_attacker {
    bool active;
    struct sim_seen *seen[SIM_SEEN]; /* owned */
    uint32_t seen_count;
    struct sim_stolen stolen[SIM_STOLEN];
    uint32_t stolen_count;
};

/* He does something, anything; and no more. Events. */
void sim_attack(struct sim *sim, uint64_t arg);
void sim_attack_ends(struct sim *sim, uint64_t arg);

/* A packet leaves one end; a client has dialled. */
void sim_attacker_sees(struct sim *sim, const struct sim_plug *p, struct tt_span packet);
void sim_attacker_meets(struct sim *sim, struct sim_link *link);

/* For stories: a connection of his own with that ID, and a packet on it. */
struct sim_link *sim_attacker_dials(struct sim *sim, struct sim_client *c,
                                    const struct tt_session_id *id);
void sim_attacker_write(struct sim *sim, struct sim_link *l, struct tt_span packet);

/* For stories: a handshake that he has begun himself; and all packets of that type that he saw
 * going up, once more. Returns how many there were.
 */
void sim_attacker_knocks(struct sim *sim, struct sim_link *l);
unsigned sim_attacker_replays(struct sim *sim, struct sim_link *l, uint8_t type);

/* The server writes on p: it must not be a stranger's. */
void sim_check_mute(struct sim *sim, const struct sim_plug *p);

/* A packet leaves p: no key is used on two connections, and no counter twice under it. */
void sim_check_nonce(struct sim *sim, struct sim_plug *p, struct tt_span packet);

void sim_attacker_stop(struct sim *sim);

/* --- the applications (talk.c) --- */

enum sim_ending {
    SIM_END_WHEN_SENT,   /* FIN behind the last byte */
    SIM_END_AFTER_PEER,  /* FIN when the peer has ended */
    SIM_CLOSE_WHEN_SENT, /* closes without reading on */
    SIM_RESET_WHEN_SENT, /* the same, and tells the peer, who stops as well */
};

/* What one end of one stream does. */
struct sim_speaker_plan {
    uint64_t bytes;
    uint32_t most_a_write, most_a_read;
    uint64_t write_pause_us, read_pause_us; /* after each; 0: none */
    enum sim_ending ending;
};

struct sim_speaker {
    struct sim_speaker_plan plan;
    struct tt_smux_stream *stream; /* NULL: not begun, or closed */
    uint8_t *room;                 /* reserved and not filled yet, or NULL */
    size_t room_len;
    uint64_t sent, received;
    uint64_t write_us, read_us; /* when next; TT_NEVER: an event will tell */
    bool begun, ended, heard_end, closed;
};

struct sim_talk {
    uint64_t key;     /* of the bytes */
    bool by_server;   /* who opens it */
    uint64_t open_us; /* when; TT_NEVER: it is open */
    uint32_t sid;
    struct sim_speaker client, server;
};

/* An end of a session, for talk.c. */
struct sim_side {
    struct sim_client *client; /* whose session */
    struct tt_endpoint *endpoint;
    bool is_server;
};

/* Opens, accepts, writes, reads and ends what is due; returns whether streams were touched. */
bool sim_talk_turn(struct sim *sim, const struct sim_side *side);
uint64_t sim_talk_next_us(const struct sim_client *c, bool is_server);
bool sim_talks_done(const struct sim_client *c);
struct sim_talk *sim_add_talk(struct sim *sim, struct sim_client *c);

/* --- the ends --- */

struct sim_client {
    unsigned number;
    bool running;
    uint8_t hash_key[TT_SIPHASH_KEY];
    struct tt_endpoint endpoint;
    struct tt_slab_pool slabs;
    bool dirty;
    struct tt_dialing dialing;
    bool redial;            /* dial though nothing is missing */
    uint64_t dialled_us;    /* when the dial under way is answered, or TT_NEVER */
    bool closing;           /* its program is done with the session */
    bool may_be_closed;     /* the server's program is done with it */
    bool closed;            /* and the session has ended */
    struct tt_list links;   /* until both ends are over */
    struct sim_link *link;  /* the newest, or NULL */
    uint64_t last_attached; /* the highest number of its connections that the server has taken */
    uint32_t opened;        /* carriers so far */
    bool crossed;           /* one came to the server after one that was dialled later */
    struct sim_talk talks[SIM_MAX_STREAMS];
    unsigned talk_count;
    uint64_t progress;    /* grows with every byte delivered to an application, and every end */
    uint64_t progress_us; /* when it last grew, or when a working connection came */
    uint64_t acked_bytes; /* of both ends, when progress was last noted */
    uint64_t
        delivered_us[2]; /* when bytes were last delivered at the client, the server; 0: never */
    uint64_t longest_silence_us[2]; /* between two such deliveries */
    uint64_t died_in_flight[2];     /* segments that flew on carriers that died; client, server */
    struct tt_server_session *session; /* at the server, once accepted */
};

void sim_client_start(struct sim *sim, struct sim_client *c);
void sim_client_turn(struct sim *sim, struct sim_client *c);
uint64_t sim_client_next_us(const struct sim *sim, const struct sim_client *c);
void sim_client_stop(struct sim *sim, struct sim_client *c);
/* The program closes its session; the client stops when that has been told. */
void sim_client_close(struct sim *sim, struct sim_client *c);
/* Its network has another address: nothing passes on its connections any more, and it is told. */
void sim_client_moves(struct sim *sim, struct sim_client *c);
/* The client dials beside the connection that it has. */
void sim_client_redial(struct sim *sim, struct sim_client *c);

struct sim_server {
    bool running;
    uint64_t busy_until_us; /* the machine does other things: nothing is read or answered */
    unsigned discards;      /* packets with data that it is still to throw away, against R-11 ... */
    unsigned discarded;     /* ... and has */
    struct tt_queue_packet_conn conn;
    struct tt_gate gate; /* of a sealed one */
    struct tt_slab_pool slabs;
};

/* --- sealing (sealing.c) --- */

/* What both ends' sealed sessions are made with. */
struct sim_sealing {
    uint64_t *keys; /* owned: hashes of all keys that a packet left under */
    uint32_t key_count;
    struct tt_sealer sealer;
    struct tt_client_keys client;
    struct tt_server_keys server;
};

void sim_sealing_start(struct sim *sim);
void sim_sealing_stop(struct sim *sim);
struct tt_seal *sim_client_seal(struct sim *sim);
void sim_gate_start(struct sim *sim);

void sim_server_start(struct sim *sim);
void sim_server_turn(struct sim *sim);
uint64_t sim_server_next_us(const struct sim *sim);
void sim_server_stop(struct sim *sim);
/* The server's program closes the client's session. */
void sim_server_close(struct sim *sim, struct sim_client *c);

/* --- the world (sim.c) --- */

/* What a run is made with; sim_profile_default() fills it in. */
struct sim_profile {
    unsigned clients;
    uint64_t start_us; /* what the clock says at the beginning */
    uint8_t smux_version;
    bool sealed;
    bool attacked; /* sealed: somebody does what he can */
    bool by_list;  /* sealed: the server takes clients that it knows, alone */
    struct tt_endpoint_tuning client, server;
    struct sim_shape shape;
    size_t pool_bytes; /* of each end */
    uint64_t stall_us; /* no progress for so long on a working connection is a failure */
    uint64_t tick_us;  /* the clock moves in steps of this, so that what happens at about the same
                        * time is one step: for very many clients; 0: to the next event */
    bool may_be_lost;  /* sessions may reach their time limits */
    bool may_time_out; /* segments may be sent again for other reasons than cuts */
    uint64_t refused_alloc;      /* from the start of the talks on, counted from 1; 0: none */
    uint64_t refused_alloc_step; /* and then every so many; 0: no other */
    uint64_t most_refused;
};

void sim_profile_default(struct sim_profile *p);

struct sim_event {
    uint64_t at_us;
    uint64_t arg;
    void (*run)(struct sim *sim, uint64_t arg);
};

struct sim {
    uint64_t seed;
    uint64_t dice;
    uint64_t now_us;
    uint64_t steps;
    struct sim_profile profile;
    struct tt_alloc alloc;
    size_t live_blocks, live_bytes;
    uint64_t allocs;         /* since refusing began */
    uint64_t refused_allocs; /* how many were refused */
    bool refusing;
    struct sim_client *clients; /* owned: as many as the profile says */
    struct sim_server server;
    struct sim_sealing sealing;
    struct sim_attacker attacker;
    struct tt_list links;
    uint32_t next_link;
    uint64_t outage_until_us; /* dials are refused before it ... */
    bool black_hole;          /* ... or never answered */
    uint64_t cuts;
    uint64_t dials;
    unsigned lost_at_client, lost_at_server; /* sessions that reached their time limits */
    struct sim_event events[SIM_MAX_EVENTS];
    unsigned event_count;
    uint64_t digest; /* of all that was delivered and scheduled */
    FILE *trace;     /* JSON lines, or NULL */
    jmp_buf *failed; /* where sim_require goes; NULL: it aborts */
};

/* profile: NULL for the default one. */
struct sim *sim_new(uint64_t seed, const struct sim_profile *profile);
void sim_free(struct sim *sim);

/* Checks that nothing is left anywhere. The clients and the server are stopped before. */
void sim_check_nothing_left(struct sim *sim);

/* Dice: [0, n), n > 0; and true so often. */
uint64_t sim_below(struct sim *sim, uint64_t n);
uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most);
bool sim_chance(struct sim *sim, unsigned percent);

/* Has run() called at that time. */
void sim_at(struct sim *sim, uint64_t at_us, void (*run)(struct sim *sim, uint64_t arg),
            uint64_t arg);

/* Jumps from event to event; ends at until_us, whatever happens. */
void sim_run_until(struct sim *sim, uint64_t until_us);

/* The same, but ends when all talks are done; that must be before until_us. */
void sim_run_talks(struct sim *sim, uint64_t until_us);

/* The same, but ends when both ends of every session have nothing left to say. */
void sim_run_settled(struct sim *sim, uint64_t until_us);

/* Something happened: it goes into the digest, and into the trace. */
void sim_note(struct sim *sim, const char *what, uint64_t a, uint64_t b);
void sim_note_bytes(struct sim *sim, const char *what, uint64_t a, struct tt_span bytes);

/* Ends the run unless it holds; prints the seed. */
void sim_require(struct sim *sim, bool holds, const char *what);

/* --- checks (checks.c) --- */

void sim_check_step(struct sim *sim);
void sim_check_client_deadline(struct sim *sim, struct sim_client *c);
void sim_check_server_deadline(struct sim *sim);

/* Called before a carrier dies (NULL: before all are replaced) at that end. */
void sim_count_in_flight(struct sim_client *c, const struct tt_endpoint *e,
                         const struct tt_carrier *dying);

/* What is not done yet, for a person who looks for a bug. */
void sim_describe(const struct sim *sim, FILE *out);

/* Some progress at the client's session. */
void sim_progress(struct sim *sim, struct sim_client *c);

/* All talks are done: every byte came, and both ends agree that nothing is left to say. */
void sim_check_all_done(struct sim *sim);

/* Nobody wants to be woken for anything but keepalives and time limits. */
void sim_check_idle(struct sim *sim);

/* --- what a random seed does (seeds.c) --- */

/* Runs it. Returns whether it passed; *digest: of the run. trace may be NULL. */
bool sim_run_seed(uint64_t seed, FILE *trace, uint64_t *digest);

/* Scheduled by seeds and stories. arg: the client's number. */
void sim_cut_randomly(struct sim *sim, uint64_t arg);
void sim_freeze_randomly(struct sim *sim, uint64_t arg);
void sim_begin_outage(struct sim *sim, uint64_t duration_us);

#endif
