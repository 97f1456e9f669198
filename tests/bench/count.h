/* count.h - kinds of work whose instructions are counted: core_count runs one under callgrind.
 *
 * Each is done `times` times, on something of a size (bytes, segments or entries; 0 where it has
 * none). Only what is called through counted() is in the count, so that what a network or a peer
 * would do meanwhile is not.
 */
#ifndef TESTS_BENCH_COUNT_H
#define TESTS_BENCH_COUNT_H

#include <stdint.h>

/* Calls step(ctx), which calls it no second time: the count would end there. */
void counted(void (*step)(void *ctx), void *ctx);

/* A segment is queued and leaves; or the oldest of `window` ones in flight is acknowledged; or one
 * comes in order, is taken, and its ack leaves.
 */
void count_kcp_sent(uint32_t window, uint32_t times);
void count_kcp_acked(uint32_t window, uint32_t times);
void count_kcp_received(uint32_t window, uint32_t times);

/* So much is written to a stream and given out as a frame; or comes as one and is read. */
void count_smux_sent(uint32_t payload_bytes, uint32_t times);
void count_smux_received(uint32_t payload_bytes, uint32_t times);

/* A packet gets its length in front; or is found in what was read, where it lies whole; or where
 * half of it had come before.
 */
void count_encapsulated(uint32_t packet_bytes, uint32_t times);
void count_decapsulated(uint32_t packet_bytes, uint32_t times);
void count_decapsulated_halves(uint32_t packet_bytes, uint32_t times);

/* COUNT_ROUND_BYTES are written to a stream of one endpoint and read from the other's, acks and
 * window updates included, in packets of that length at most.
 */
#define COUNT_ROUND_BYTES 256000u
void count_endpoints(uint32_t max_packet_bytes, uint32_t times);

/* An endpoint is handed PING, and gives PONG out. */
void count_ping(uint32_t unused, uint32_t times);

/* A remote is found and used; or the oldest one expires. */
void count_remote_found(uint32_t remotes, uint32_t times);
void count_remote_expired(uint32_t remotes, uint32_t times);

#endif
