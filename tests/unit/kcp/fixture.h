/* fixture.h - one end of a KCP conversation with all that it borrows, and packets as text.
 *
 * Packets are written and read as words, so that a test says what is on the wire:
 *
 *     push 3 "abc"     ack 7 @1000     wask     wins
 *
 * one segment after the other, separated by ", "; packets are separated by " | ". Of a push the
 * text has the sequence number, "/n" if fragments follow, and its data.
 */
#ifndef TESTS_UNIT_KCP_FIXTURE_H
#define TESTS_UNIT_KCP_FIXTURE_H

#include "core/kcp/kcp.h"
#include "failing_alloc.h"
#include "test.h"

#define END_CONV   UINT32_C(0x11223344)
#define END_PACKET 65535u
#define END_TEXT   65536u

struct kcp_end {
    struct failing_alloc memory;
    struct tt_slab_pool slabs;
    struct tt_slab_account account;
    struct tt_kcp_config config;
    struct tt_kcp kcp;
    struct tt_gather gather;
    uint64_t now_us;
    int settled;                /* what tt_kcp_settle returned behind the last packet */
    uint8_t packet[END_PACKET]; /* the last one pulled */
    uint32_t packet_len;
    char text[END_TEXT];
};

/* As a session has it: message mode, windows of 32, nothing delayed, no congestion window. */
struct tt_kcp_config end_config(void);

/* config's slabs, account and alloc are set here. The end must stay where it is. */
void end_open(struct kcp_end *e, const struct tt_kcp_config *config);

/* Disposes; fails the test if anything is still held. Paths must have been closed. */
void end_close(struct kcp_end *e);

void end_open_path(struct kcp_end *e, struct tt_kcp_path *path, bool ordered);

/* Pulls one packet into e->packet, in one piece. Returns what tt_kcp_next_packet returned; if that
 * is an error e->packet stays.
 */
int end_pull(struct kcp_end *e, struct tt_kcp_path *path, uint32_t max_packet);

/* The last pulled packet, or any other, as text (in e->text until the next call). */
const char *end_text(struct kcp_end *e);
const char *end_text_of(struct kcp_end *e, struct tt_span packet);

/* Pulls packets until there is nothing to send; all of them as text. Packets of the mtu. */
const char *end_flush(struct kcp_end *e, struct tt_kcp_path *path);

/* The header of segment number `index` of the last pulled packet. */
struct tt_kcp_header end_header(const struct kcp_end *e, unsigned index);

/* Queues one message (a text without its final NUL). */
void end_send(struct kcp_end *e, const char *message);

/* A packet comes in, in a slab of its own, and what is not read is settled. Returns what
 * tt_kcp_input returned, or TT_E_NOMEM: no slab to read it into.
 */
int end_input(struct kcp_end *e, struct tt_span packet);

/* The same for a packet of one segment. data may be NULL. */
struct tt_kcp_header end_segment(enum tt_kcp_cmd cmd, uint32_t sn, uint32_t ts, uint32_t una,
                                 uint16_t wnd);
int end_input_segment(struct kcp_end *e, struct tt_kcp_header h, const char *data);

/* Adds a segment to a packet being written at buf; returns its new length. */
size_t end_add_segment(uint8_t *buf, size_t len, struct tt_kcp_header h, const char *data);

/* Takes all that is in order, as text in e->text. */
const char *end_read(struct kcp_end *e);

#endif
