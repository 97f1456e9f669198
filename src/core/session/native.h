/* native.h - what two ends of this project say to each other beside KCP: control packets that come
 * and leave (native.md sections 1 and 4). A legacy peer is sent HELLO by a client, and nothing
 * else.
 */
#ifndef TT_CORE_SESSION_NATIVE_H
#define TT_CORE_SESSION_NATIVE_H

#include <stdint.h>

#include "core/session/endpoint.h"

/* c is new, its limits are known; a client's first packet on it is HELLO. */
void tt_native_begin(struct tt_endpoint *e, struct tt_carrier *c);

/* A HELLO came on c, which has no session yet: what it says about the carrier is kept, and an
 * answer is due. Returns 0, or TT_E_PROTO: the carrier must end.
 */
int tt_native_greet(struct tt_carrier *c, const struct tt_control *hello, uint16_t answer_flags,
                    uint32_t mtu);

/* LIMIT came on c, which was greeted; it may have no session yet. */
void tt_native_limit(struct tt_carrier *c, const struct tt_control *limit);

/* c, greeted before, has joined e: what is known of it now holds. */
void tt_native_joined(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* A packet of at most TT_CONTROL_MAX bytes came on c, a carrier of e. */
void tt_native_receive(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                       struct tt_span packet);

/* Whether a control packet is due on c; and the next one, gathered into g: as
 * tt_endpoint_next_packet. e: NULL while c has no session.
 */
bool tt_native_wants_send(const struct tt_endpoint *e, const struct tt_carrier *c);
int tt_native_next_packet(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                          struct tt_gather *g, uint32_t *len);

/* Whether the end of the session is to be told on some carrier. */
bool tt_native_close_is_due(const struct tt_endpoint *e);

/* Client: it is time for HELLO again on a carrier that may have lost it. When it was repeated
 * enough, a carrier of a native session is given up: nobody could ask there whether it still lives
 * (R-2).
 */
void tt_native_hello_unanswered(struct tt_endpoint *e, struct tt_carrier *c);

/* CLOSE may have come on the last carrier that lacked it. */
void tt_native_review_close(struct tt_endpoint *e);

/* c has gone: the others may be told. */
void tt_native_note_gone(struct tt_endpoint *e, const struct tt_carrier *c);

#endif
