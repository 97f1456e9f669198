/* endpoint_pair.h - two endpoints of one session, the connection between them, and an application
 * at each that reads all that comes. What the endpoints do is counted (count.h), what the
 * connection does is not.
 */
#ifndef TESTS_BENCH_ENDPOINT_PAIR_H
#define TESTS_BENCH_ENDPOINT_PAIR_H

#include <stdint.h>

#include "core/gather.h"
#include "core/session/endpoint.h"

#define PAIR_MOST_PACKETS 64u

struct pair_end {
    struct tt_endpoint_tuning tuning;
    struct tt_endpoint endpoint;
    struct tt_carrier carrier;
    struct tt_smux_stream *stream;
    uint64_t read_bytes; /* from the stream */
};

struct endpoint_pair {
    struct tt_slab_pool slabs;
    struct pair_end client, server;
    uint64_t now_us;
    uint32_t max_packet_bytes;
    struct tt_gather gather; /* the packet that leaves */
    struct pair_end *from;   /* who sends */
    struct pair_end *to;     /* who receives */
    struct tt_slab *arrived; /* by one read of the socket: packets, in the slab where they stay */
    struct tt_span packets[PAIR_MOST_PACKETS];
    uint32_t packet_count;
    uint8_t memory[65536]; /* the application's */
};

/* Both have greeted each other, and a stream is open. The connection carries packets of that length
 * at most.
 */
void endpoint_pair_open(struct endpoint_pair *p, uint32_t max_packet_bytes);
void endpoint_pair_close(struct endpoint_pair *p);

/* Packets go to and fro until nobody has any. */
void endpoint_pair_carry(struct endpoint_pair *p);

/* All packets that `from` has are taken out, and lost. Returns their number. */
unsigned endpoint_pair_pull(struct endpoint_pair *p, struct pair_end *from);

#endif
