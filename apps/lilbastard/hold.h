/* hold.h - the bytes that one direction holds between a read and a write.
 *
 * A ring of fixed size. Its memory is borrowed from a pool only while there are bytes in it, so ten
 * thousand idle connections hold no buffers, and a busy one reuses memory that is warm in the
 * cache. With a delay every byte knows when it is due.
 *
 * Reads from and writes to sockets, without blocking. It is told when "now" is (microseconds), but
 * reads the clock itself for the time of an arrival: bytes that came in after the caller had looked
 * at the clock would leave too early.
 *
 * Why no pipe and splice(): measured with bulk on loopback, splicing halves the proxy's own
 * processor time, but both programs pay more for it, since their pages do not come back warm; the
 * three together need a tenth to a quarter more, and forward that much less.
 */
#ifndef TT_LIL_HOLD_H
#define TT_LIL_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Idle buffers of one size. */
struct tt_lil_pool {
    size_t buffer_bytes;
    void *idle; /* owned: a list, through the first bytes of each buffer */
    unsigned idle_count;
};

/* Frees the idle buffers. All holds that use the pool must be empty. */
void tt_lil_pool_dispose(struct tt_lil_pool *pool);

struct tt_lil_mark;

struct tt_lil_hold {
    struct tt_lil_pool *pool; /* borrowed */
    uint8_t *ring;            /* owned, NULL while nothing is held */
    size_t start_bytes;       /* where in the ring the first held byte is */
    size_t held_bytes;
    size_t due_bytes; /* of those, how many may leave */
    uint64_t delay_us;
    uint64_t step_us;          /* due times are multiples of this: it bounds the marks */
    struct tt_lil_mark *marks; /* owned; a ring too, of what is not due yet. NULL without delay */
    size_t first_mark, mark_count;
};

/* Returns 0, or -ENOMEM; then there is nothing to dispose of. */
int tt_lil_hold_init(struct tt_lil_hold *hold, struct tt_lil_pool *pool, uint64_t delay_us);

/* Drops what is held. Safe on an object of all zeroes, and twice. */
void tt_lil_hold_dispose(struct tt_lil_hold *hold);

/* How many bytes more it can take. */
size_t tt_lil_hold_room(const struct tt_lil_hold *hold);

/* Reads once from fd, as much as there is room for; there must be some.
 * Returns the number of bytes, 0 at the end of the stream, or a negative errno.
 */
ssize_t tt_lil_hold_receive(struct tt_lil_hold *hold, int fd);

/* Describes the last `bytes` bytes that came in and are still held, in one piece or two, which are
 * valid until the next call. Returns how many.
 */
int tt_lil_hold_newest(const struct tt_lil_hold *hold, size_t bytes, struct iovec pieces[2]);

/* Writes once to fd: what is due, and at most max_bytes, of which there must be some.
 * Returns the number of bytes or a negative errno.
 */
ssize_t tt_lil_hold_send(struct tt_lil_hold *hold, int fd, size_t max_bytes);

/* How many bytes may leave at now_us. */
size_t tt_lil_hold_due_bytes(struct tt_lil_hold *hold, uint64_t now_us);

/* When more bytes become due, or UINT64_MAX. */
uint64_t tt_lil_hold_next_due_us(const struct tt_lil_hold *hold);

/* When something that has just arrived is due. */
uint64_t tt_lil_hold_arrival_due_us(const struct tt_lil_hold *hold);

#endif
