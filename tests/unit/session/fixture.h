/* fixture.h - a client and a server, and packets that are carried between them by hand.
 *
 * Nothing moves by itself: pull_* takes one packet into w->packet, give_* hands bytes in, carry_*
 * does both until nothing is left. The memory is counted; session_world_close() fails the test if
 * any is left.
 */
#ifndef TESTS_UNIT_SESSION_FIXTURE_H
#define TESTS_UNIT_SESSION_FIXTURE_H

#include "core/base/clock.h"
#include "core/queue_packet_conn.h"
#include "core/session/endpoint.h"
#include "core/smux/smux.h"
#include "failing_alloc.h"
#include "test.h"

#define WORLD_CONV   UINT32_C(0x11223344)
#define WORLD_PACKET 65535u

struct session_world {
    struct failing_alloc memory;
    struct tt_slab_pool slabs;
    struct tt_endpoint_tuning client_tuning;
    struct tt_endpoint client;
    struct tt_queue_packet_conn server;
    struct tt_gather gather;
    struct tt_session_id id;                /* the client's */
    const struct tt_carrier_limits *limits; /* of carriers at both ends */
    uint64_t now_us;
    uint8_t packet[WORLD_PACKET]; /* the last one pulled */
    uint32_t packet_len;
    unsigned given; /* packets handed in */
};

struct session_setup {
    struct tt_endpoint_tuning client, server;
    uint8_t smux_version;
    uint32_t max_sessions, accept_backlog;
    struct tt_quota *sessions_quota, *waiting_quota; /* NULL: of its own */
    uint64_t closed_us;
    const struct tt_carrier_limits *limits; /* of carriers at both ends */
};

/* Defaults everywhere; version 2; 8 sessions, 4 waiting; closed ones are remembered for 60 s. Both
 * ends are legacy ones.
 */
struct session_setup usual_setup(void);

/* The same, but both ends speak control packets, and packets may be as long as they like. */
struct session_setup native_setup(void);

/* setup: NULL for the usual one. Memory is refused by w->memory from then on, if it is told so. */
void session_world_open(struct session_world *w, const struct session_setup *setup);
void session_world_close(struct session_world *w);

/* A native world whose client has opened its first carrier, and nothing was said yet. */
void open_native_world(struct session_world *w, struct tt_carrier *c);

extern const struct tt_carrier_limits ordered_limits; /* a byte stream; packets of 1400 */
extern const struct tt_carrier_limits datagram_limits;
extern const struct tt_carrier_limits wide_limits; /* a byte stream; packets of 65,535 */

/* --- carriers: one end each --- */

void client_opens(struct session_world *w, struct tt_carrier *c);
void server_attaches(struct session_world *w, struct tt_carrier *c);

/* --- packets --- */

/* The next packet into w->packet; 0 or TT_E_AGAIN. */
int pull_up(struct session_world *w, struct tt_carrier *c);
int pull_down(struct session_world *w, struct tt_carrier *c);

/* A packet comes in: by turns in memory of exactly its size that is gone afterwards, and in a slab
 * that is read over afterwards.
 */
int give_client(struct session_world *w, struct tt_carrier *c, struct tt_span packet);
void give_server(struct session_world *w, struct tt_carrier *c, struct tt_span packet);

/* All that the one end has for its carrier goes to the other end's. */
void carry_up(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to);
void carry_down(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to);
void carry_all(struct session_world *w, struct tt_carrier *client, struct tt_carrier *server);

/* All the packets that there are for the carrier are lost. */
void lose_up(struct session_world *w, struct tt_carrier *c);
void lose_down(struct session_world *w, struct tt_carrier *c);

/* The last packet, as words: "ack 3 wnd 128 una 2, push 7 [5]" (5 bytes), "wask", "wins". Every
 * segment's una and wnd are those of the first, which is the only one to show them. A control
 * packet: "hello 0 max 1400 flags 1", "ping", "pong", "close 1", "state 3 of 0", "limit 9 bytes 5
 * s". Valid until the next call.
 */
const char *packet_text(const struct session_world *w);
/* How many segments of that command the last packet has. */
unsigned packet_count(const struct session_world *w, enum tt_kcp_cmd cmd);

/* A packet of one segment, in w->packet. */
struct tt_span make_packet(struct session_world *w, struct tt_kcp_header h, struct tt_span data);

/* A control packet, in w->packet. */
struct tt_span make_control(struct session_world *w, const struct tt_control *c);

/* All that there is for the carrier, one packet after the other: ", "-joined control packets,
 * "data" for the rest. The packets are handed to `to`, unless it is NULL. Valid until the next
 * call.
 */
const char *words_up(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to);
const char *words_down(struct session_world *w, struct tt_carrier *from, struct tt_carrier *to);

/* --- sessions and streams --- */

/* The session that waits at the server; fails the test when there is none. */
struct tt_server_session *accept_session(struct session_world *w);

/* Handles all of the server's dirty sessions; returns how many there were. */
unsigned flush_dirty(struct session_world *w);

/* A stream of the client, with some bytes written to it. */
struct tt_smux_stream *client_stream(struct session_world *w, size_t len);

/* Writes len bytes, which must fit. */
void write_bytes(struct tt_smux_stream *s, size_t len);
/* Reads all that is there and says how much; *ended: whether the end came behind it. */
size_t read_bytes(struct tt_smux_stream *s, bool *ended);

/* Time passes: what was dropped for want of memory, or lost, is sent again. */
void catch_up(struct session_world *w, struct tt_carrier *c, struct tt_carrier *far);

/* --- a session that has begun --- */

/* A client's session with one carrier, begun by its first stream and accepted at the server. */
struct session_pair {
    struct session_world world;
    struct tt_carrier client, server;
    struct tt_endpoint *far; /* the server's end */
    struct tt_smux_stream *stream, *far_stream;
};

/* setup: as for session_world_open. Close its world afterwards. */
void open_pair_with(struct session_pair *s, const struct session_setup *setup);
void open_pair(struct session_pair *s);

/* The same for a native session: native_setup(). */
void open_native_pair(struct session_pair *s);

/* One more carrier of the session, greeted at both ends. */
void add_carrier(struct session_pair *s, struct tt_carrier *c, struct tt_carrier *far);

/* All that waits for the session's two carriers, in both directions, until nothing is left. */
void carry_two(struct session_pair *s, struct tt_carrier *c, struct tt_carrier *far);

/* A native session with two carriers in use: of `pair`, and `client` with `server`. */
struct two_carriers {
    struct session_pair pair;
    struct tt_carrier client, server;
};

/* setup: NULL for the native one, with two carriers wanted. */
void open_two(struct two_carriers *t, const struct session_setup *setup);
void carry_both(struct two_carriers *t);

/* Time passes at the client; what is due there is done when it is due, and nothing is carried. */
void client_waits(struct session_world *w, uint64_t us);

/* The connection ends at the client, which dials again; the server has not heard of it yet. */
void redial(struct session_pair *s, struct tt_carrier *c);

#endif
