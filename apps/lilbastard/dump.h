/* dump.h - a file with all that the programs sent, for whoever wants to look for something in it.
 *
 * A record for each read: "#NUMBER up LENGTH" or "#NUMBER down LENGTH" and a newline, then LENGTH
 * bytes, then a newline. NUMBER is the connection's. Written at once, without a buffer of ours:
 * what was forwarded is in the file, however lilbastard ends.
 *
 * Dumping ends, with a line that says why, when the file is as large as was allowed, or when it
 * cannot be written; forwarding goes on.
 */
#ifndef TT_LIL_DUMP_H
#define TT_LIL_DUMP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct tt_lil_dump {
    int fd; /* owned; -1: nothing is dumped, or not any more */
    uint64_t left_bytes;
};

/* Opens (makes, or empties) the file; only its owner may read it. max_bytes bounds its size,
 * headers included. Returns 0 or a negative errno; d->fd is -1 then.
 */
int tt_lil_dump_open(struct tt_lil_dump *d, const char *path, uint64_t max_bytes);

/* Writes one record: what connection `number` has sent `direction` ("up", "down"), in one piece or
 * two. Does nothing when fd is -1.
 */
void tt_lil_dump_record(struct tt_lil_dump *d, uint64_t number, const char *direction,
                        const struct iovec *pieces, int count);

/* Safe when nothing is open, and twice. */
void tt_lil_dump_close(struct tt_lil_dump *d);

#endif
