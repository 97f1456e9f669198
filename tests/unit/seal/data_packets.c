#include "seal/data_packets.h"

unsigned check_data_packets(data_packet_check *check, void *env)
{
    struct tt_keys k = {0};
    struct vector_file v;
    struct data_packet p = {0};
    unsigned packets = 0;
    vector_file_open(&v, "seal/data.txt");
    while (vector_file_next(&v)) {
        if (vector_key_is(&v, "secret")) {
            tt_keys_begin(&k, vector_bytes(&v).ptr);
        } else if (vector_key_is(&v, "carrier")) {
            p.carrier = (uint32_t)vector_number(&v);
        } else if (vector_key_is(&v, "counter")) {
            p.counter = (uint32_t)vector_number(&v);
        } else if (vector_key_is(&v, "kind")) {
            p.kind = (uint8_t)vector_number(&v);
        } else if (vector_key_is(&v, "padding")) {
            p.padding = (size_t)vector_number(&v);
        } else if (vector_key_is(&v, "body")) {
            p.body = vector_bytes(&v);
        } else if (vector_key_is(&v, "plain")) {
            p.plain = vector_bytes(&v);
        } else if (vector_key_is(&v, "packet")) {
            p.packet = vector_bytes(&v);
            check(env, &k, &p);
            packets++;
        }
    }
    vector_file_close(&v);
    return packets;
}
