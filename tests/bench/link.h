/* link.h - plain TCP and sessions behind one table of functions, so that the same code measures
 * both.
 *
 * A link is what streams are opened in: a session, or nothing at all for plain TCP, where each
 * stream is a connection. A stream is an ordinary blocking one. Reading and writing a stream may go
 * on in two threads at once; all else is for one thread at a time. What cannot be set up ends the
 * program with a line on standard error.
 */
#ifndef TT_BENCH_LINK_H
#define TT_BENCH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tt_stream;
struct tt_session;

/* What is used of one end of a stream. */
struct tt_bench_stream {
    const struct tt_bench_kind *kind;
    int fd;                   /* plain */
    struct tt_stream *stream; /* turbotunnel */
};

struct tt_bench_link {
    const char *address;        /* plain; borrowed */
    struct tt_session *session; /* turbotunnel */
    uint64_t connections;       /* plain: made so far */
};

struct tt_bench_kind {
    const char *name;
    bool legacy;         /* turbotunnel: no control packets, packets of 1400 bytes */
    bool sealed;         /* turbotunnel: with keys, which everybody can read in keys.c */
    uint32_t max_packet; /* turbotunnel: bytes; 0: the library's default */
    uint32_t carriers;   /* turbotunnel: a client's connections at once; 0: one */

    /* Listens, says on standard error where, and gives each stream to handle, on a thread of its
     * own, which closes it afterwards. Does not return.
     */
    void (*serve)(const struct tt_bench_kind *kind, const char *address,
                  void (*handle)(struct tt_bench_stream *stream));

    void (*dial)(const struct tt_bench_kind *kind, struct tt_bench_link *link, const char *address);
    void (*open)(struct tt_bench_link *link, struct tt_bench_stream *stream);
    uint64_t (*connections)(const struct tt_bench_link *link); /* TCP connections so far */
    void (*end)(struct tt_bench_link *link); /* waits until what was sent has arrived */

    ssize_t (*read)(struct tt_bench_stream *stream, void *buf, size_t cap); /* 0: end, -1: error */
    bool (*write)(struct tt_bench_stream *stream, const void *data, size_t len); /* all of it */
    void (*shutdown)(struct tt_bench_stream *stream); /* ends our direction */
    void (*close)(struct tt_bench_stream *stream);
};

extern const struct tt_bench_kind tt_bench_plain;
extern const struct tt_bench_kind tt_bench_turbotunnel;
extern const struct tt_bench_kind tt_bench_turbotunnel_legacy;
extern const struct tt_bench_kind tt_bench_turbotunnel_sealed;

/* Reads exactly len bytes. False: the stream ended before, or failed. */
bool tt_bench_read_all(struct tt_bench_stream *stream, void *buf, size_t len);

#endif
