/* options.h - what a session, a listener or a loop is made with, and what it reports.
 *
 * A struct of all zeroes means the defaults, so that `&(struct tt_options){.smux_version = 1}` says
 * what differs. Strings and callbacks are borrowed for the life of the object.
 */
#ifndef TURBOTUNNEL_OPTIONS_H
#define TURBOTUNNEL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>
#include <turbotunnel/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tt_loop;

/* What went wrong, for a person: what was tried, on what, why it failed, what to try. One line. */
#define TT_ERROR_TEXT_SIZE 320
struct tt_error_text {
    char text[TT_ERROR_TEXT_SIZE];
};

/* What happens to carriers, for logs. The library itself never prints. */
#define TT_REPORT_MAP(X)                                                                           \
    X(TT_REPORT_DIALING, "dialing")                                                                \
    X(TT_REPORT_CONNECTED, "connected")                                                            \
    X(TT_REPORT_DIAL_FAILED, "dial failed")                                                        \
    X(TT_REPORT_CARRIER_SUSPECT, "connection gives no answer")                                     \
    X(TT_REPORT_LIMIT_LEARNED, "connections end alike")                                            \
    X(TT_REPORT_CARRIER_ENDED, "connection ended")                                                 \
    X(TT_REPORT_SESSION_BEGUN, "session begun")                                                    \
    X(TT_REPORT_SESSION_ENDED, "session ended")                                                    \
    X(TT_REPORT_REFUSED, "connection refused by a limit")

enum tt_report_kind {
#define X(name, text) name,
    TT_REPORT_MAP(X)
#undef X
};

struct tt_report {
    enum tt_report_kind kind;
    const char *session; /* 16 hexadecimal digits, or "" when not known yet */
    const char *address; /* of the other end */
    const char *detail;  /* why, or "" */
    uint64_t number;     /* connections of this session so far */
    uint64_t wait_us;    /* TT_REPORT_DIAL_FAILED: until the next try */
};

/* "dialing", "connected", ...; a static string. Any thread. */
TT_EXPORT const char *tt_report_name(enum tt_report_kind kind);

struct tt_options {
    unsigned smux_version;         /* client: 1 or 2; 0: 2. A server takes what comes. */
    uint64_t session_timeout_us;   /* a session that hears nothing for so long is lost; 0: 10 min */
    uint64_t linger_us;            /* how long closing waits for acknowledgements; 0: 5 s */
    uint64_t dial_timeout_us;      /* one dial, or (tt_dial) all handshakes before it gives up;
                                      0: 10 s */
    uint64_t redial_first_us;      /* wait after a failed dial, doubling ...; 0: 50 ms */
    uint64_t redial_most_us;       /* ... up to this, then +-20 %; 0: 2 s */
    uint64_t handshake_timeout_us; /* server: a connection's time for its 8 bytes; 0: 10 s */
    uint32_t max_connections;      /* server: at once; 0: 10,000 */
    uint32_t max_connections_per_address; /* server: of one address (IPv6: of one network of 2^64),
                                             at once; 0: no limit of its own */
    uint32_t max_sessions;                /* server: at once; 0: 10,000 */
    uint32_t accept_backlog;              /* server: sessions waiting to be accepted; 0: 128 */
    uint32_t workers;        /* server: threads for its sessions; 0: 1; see tt_listen */
    uint32_t max_streams;    /* of one session, at once; 0: 4096 */
    bool legacy;             /* the worked example's protocol alone: no control packets */
    uint32_t max_packet;     /* bytes of the longest packet, either way: 1400 (sealed: 1425)
                                to 65,535, and never above what the peer takes; 0: 65,535 */
    const char *const *also; /* client: other addresses of the same server, also_count (0 to
                                15) of them: when one is no good the next is tried, and
                                several connections are spread over all */
    uint32_t also_count;
    uint32_t carriers;           /* client: connections in use at once; 0: 1 */
    uint32_t standby;            /* client: connections kept ready beside them */
    uint64_t carrier_max_bytes;  /* client: a connection carries no more, in each direction, ... */
    uint64_t carrier_max_age_us; /* ... is used no longer ... */
    uint64_t
        carrier_idle_us; /* ... and not after such a silence; all up to 10 % less; 0: no limit */
    bool no_learning;    /* client: do not learn such limits from connections that died alike */
    uint64_t liveness_floor_us;   /* a connection has so long to answer at least; 0: 100 ms */
    uint64_t liveness_ceiling_us; /* and at most; 0: 30 s */
    size_t max_buffer_bytes;      /* of the loop, or of all workers: data held for all sessions, an
                                     eighth of it not for what is written; 0: 1 GiB */
    /* Sealed sessions: every packet is encrypted and authenticated (docs/spec/sealed.md). Keys
     * (keys.h) are copied, and wiped with the object.
     */
    const uint8_t *server_key;  /* client: the server's public key; NULL: plain sessions */
    const uint8_t *private_key; /* server: its key: all its sessions are sealed; NULL: plain ones;
                                   client: its own, beside server_key; NULL: it has none */
    const uint8_t *instance;    /* server: 8 bytes, the same after a restart, others at each server
                                   that has the same key; NULL: random ones */
    /* server: whether the client with this public key may come in; NULL: anybody may, with or
     * without a key. On a thread that runs the loop; must not call the library.
     */
    bool (*welcome)(void *ctx, const uint8_t client_key[32]);
    void *welcome_ctx;
    uint32_t max_half_open;       /* server: handshakes without a session yet, at once; 0: 1,000 */
    uint32_t inits_per_second;    /* server: handshakes tried, from one address, by one
                                     worker; 0: 20 */
    bool one_origin;              /* server: behind a balancer, all come from one address: no limits
                                     by address */
    uint32_t clock_off_s;         /* server: how far a client's clock may be off; 0: 2 h */
    const struct tt_alloc *alloc; /* NULL: malloc and free */
    struct tt_loop *loop;         /* where it lives; NULL: a loop and thread of its own */
    void (*report)(void *ctx, const struct tt_report *report); /* on the loop's thread or inside a
                                                                  call of the program's, one at a
                                                                  time; must not call the library;
                                                                  or NULL */
    void *report_ctx;
};

#ifdef __cplusplus
}
#endif

#endif
