/* The DATA packets of the vectors (seal/data.txt), made by another implementation. */
#ifndef TT_TEST_DATA_PACKETS_H
#define TT_TEST_DATA_PACKETS_H

#include "core/seal/keys.h"
#include "vector_file.h"

/* `plain` is what `packet` holds sealed: kind, body, padding and its length (sealed.md M-14). */
struct data_packet {
    uint32_t carrier, counter;
    size_t padding;
    struct tt_span body, plain, packet;
    uint8_t kind;
};

/* `k` has only begun: its epoch is 0. Nothing outlives the call. */
typedef void data_packet_check(void *env, const struct tt_keys *k, const struct data_packet *p);

/* Has every packet of the file checked; returns how many they were. */
unsigned check_data_packets(data_packet_check *check, void *env);

#endif
