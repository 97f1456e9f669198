#include "packet.h"

#include <stdlib.h>
#include <string.h>

#define IPV4_DESTINATION 16 /* where it begins in the header */
#define IPV6_DESTINATION 24

struct tt_bad_packet *tt_bad_packet_new(const uint8_t *bytes, size_t len)
{
    struct tt_bad_packet *p = malloc(sizeof *p + len);

    if (!p)
        return NULL;
    *p = (struct tt_bad_packet){.len = len};
    memcpy(p->bytes, bytes, len);
    return p;
}

bool tt_bad_is_multicast(const uint8_t *bytes, size_t len)
{
    const unsigned version = len > 0 ? bytes[0] >> 4 : 0;

    if (version == 4 && len > IPV4_DESTINATION)
        return bytes[IPV4_DESTINATION] >> 4 == 14; /* 224.0.0.0/4 */
    return version == 6 && len > IPV6_DESTINATION && bytes[IPV6_DESTINATION] == 0xff;
}
