/* world.h - two smux sessions and the wire between them, for the tests of core/smux.
 *
 * Nothing moves by itself: world_send takes what a session wants to send and puts it on the wire,
 * world_deliver hands it to the other one, cut as asked for, and acknowledges it to the first.
 * world_end() checks that nothing leaked: no block, no slab, no charge on an account.
 */
#ifndef TESTS_UNIT_SMUX_WORLD_H
#define TESTS_UNIT_SMUX_WORLD_H

#include "core/smux/frame.h"
#include "core/smux/smux.h"
#include "core/smux/stream.h"
#include "failing_alloc.h"

struct end {
    struct tt_smux m;
    struct tt_slab_pool slabs;
    struct tt_slab_account account;
    uint8_t *wire; /* what it sent and nobody has taken yet */
    size_t wire_len, wire_cap;
    uint64_t acked; /* bytes that were taken from the wire so far */
    struct end *peer;
    unsigned transient; /* 1: what arrives lies in memory that is read over at once */
};

struct world {
    struct failing_alloc alloc;
    struct end client, server;
    uint64_t now_us;
    size_t max_len; /* for tt_smux_next_frame */
    bool no_acks;   /* world_deliver acknowledges nothing */
};

/* The defaults of the Go library, keepalive off. */
struct tt_smux_config world_config(bool client, uint8_t version);

/* Two sessions with these defaults. */
void world_begin(struct world *w, uint8_t version);

/* Two sessions; slabs, account and alloc of the configurations are filled in. */
void world_begin_with(struct world *w, struct tt_smux_config client, struct tt_smux_config server);

void world_end(struct world *w);

/* Puts frames on the wire until there are none, or at least most bytes are there; returns how many
 * bytes were added.
 */
size_t world_send(struct world *w, struct end *e, size_t most);

/* Takes up to len bytes from e's wire to its peer, in pieces of up to step bytes; stops with the
 * peer. Returns what tt_smux_input said last.
 */
int world_deliver(struct world *w, struct end *e, size_t len, size_t step);

/* Gives bytes of the test's own to e. All must be taken unless there is an error. */
int world_feed(struct world *w, struct end *e, struct tt_span bytes);

/* Sends and delivers both ways until nothing moves any more. */
void world_settle(struct world *w);

/* The bytes on e's wire, which is empty afterwards; valid until the next call. */
struct tt_span world_take_wire(struct end *e);

/* A stream of the client and the same one at the server, accepted. */
void world_open(struct world *w, struct tt_smux_stream **client, struct tt_smux_stream **server);

/* Writes all of len bytes (byte i of the stream is pattern(at + i)), which must fit. */
void write_pattern(struct tt_smux_stream *s, uint64_t at, size_t len);

/* Reads len bytes, which must be there, and be the pattern from `at` on. */
void read_pattern(struct tt_smux_stream *s, uint64_t at, size_t len);

uint8_t pattern(uint64_t at);

/* The events that s has reported, taken from its session; other streams' events are lost. */
unsigned events_of(struct tt_smux_stream *s);

/* A frame's bytes. */
struct tt_span make_frame(uint8_t version, uint8_t cmd, uint16_t length, uint32_t sid);

/* The next frame on a wire: false at its end. Skips it. */
bool next_frame(struct tt_span *wire, struct tt_smux_frame *f, struct tt_span *payload);

/* All frames on e's wire as text, with ", " between: "SYN 3", "UPD 3 5/65536", "PSH 3 5"; PSHs of
 * one stream that follow each other are one there: how bytes are cut into frames is another matter.
 * Takes the wire.
 */
const char *wire_text(struct end *e);

#endif
