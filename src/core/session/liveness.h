/* liveness.h - whether a carrier answers (native.md ).
 *
 *              an answer is due for longer than the limit
 *   ANSWERS -------------------------------------------------> SUSPECT
 *      ^                                                          |
 *      '---------- an ack or a PONG for something sent there -----'
 *
 * The clock of a carrier runs only while something that was sent on it waits for an answer, and
 * starts anew with each answer. At half of the limit it is asked: PING, or a window probe when the
 * peer is a legacy one. What follows from a suspicion is in carriers.c.
 */
#ifndef TT_CORE_SESSION_LIVENESS_H
#define TT_CORE_SESSION_LIVENESS_H

#include <stdint.h>

#include "core/session/endpoint.h"

void tt_liveness_begin(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* The connection has stopped to take bytes, or takes them again. */
void tt_liveness_blocked(struct tt_carrier *c, uint64_t now_us);

/* What a KCP packet says of a legacy carrier: a window, so it answers; or data that we had already,
 * so that our acks may not arrive.
 */
void tt_liveness_heard_legacy(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                              bool window, bool again);

/* A packet came on c. data: it brought new data. */
void tt_liveness_heard(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us, bool data);

/* A KCP packet came on c. */
void tt_liveness_heard_state(const struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* The peer's clock said so when it made data that came on c now. */
void tt_liveness_heard_time(struct tt_carrier *c, uint64_t now_us, uint32_t ts_ms);

/* Around each packet that leaves on c. */
void tt_liveness_before_sending(const struct tt_endpoint *e, struct tt_carrier *c);
void tt_liveness_sent(struct tt_carrier *c, uint64_t now_us);

/* Acks may have come, for whatever carrier. */
void tt_liveness_review_arrivals(struct tt_endpoint *e, uint64_t now_us);

/* A PING is to be sent, or a window probe; the clock runs from when it leaves. */
void tt_liveness_want_answer(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* PING: leaves; and its answer: what is not the answer is ignored. */
void tt_liveness_ask(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);
void tt_liveness_pong(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                      const uint8_t *token);

/* How long an answer may take on c now. */
uint64_t tt_liveness_limit_us(const struct tt_endpoint *e, const struct tt_carrier *c);

uint64_t tt_liveness_deadline(const struct tt_endpoint *e, const struct tt_carrier *c);
void tt_liveness_handle_timeout(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* The clock has jumped, or the network has changed: c is suspect until it answers. */
void tt_liveness_doubt(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us);

/* How much may be outstanding on c, and in one packet. */
uint64_t tt_liveness_most_bytes(const struct tt_carrier *c);
uint64_t tt_liveness_most_packet(const struct tt_carrier *c);

#endif
