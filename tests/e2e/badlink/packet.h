/* packet.h - one IP packet that is held: on the line, or under way. */
#ifndef TT_BAD_PACKET_H
#define TT_BAD_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TT_BAD_NEVER UINT64_MAX /* a time that does not come */

struct tt_bad_packet {
    struct tt_bad_packet *next; /* on the line */
    uint64_t number;            /* in its direction, from 0 */
    uint64_t due_ns;            /* under way: when it arrives */
    bool is_copy;               /* the second one of a packet that was duplicated */
    size_t len;
    uint8_t bytes[];
};

/* Copies the bytes. Returns NULL without memory; otherwise it is the caller's, to be given to
 * free().
 */
struct tt_bad_packet *tt_bad_packet_new(const uint8_t *bytes, size_t len);

/* Whether it is for a group: what kernels say unasked on any link (router solicitations, group
 * membership), and nobody here needs.
 */
bool tt_bad_is_multicast(const uint8_t *bytes, size_t len);

#endif
