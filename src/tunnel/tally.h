/* tally.h - what the tool counts beside the library, for --metrics. Counting costs nothing worth
 * an option. The loop's thread only.
 */
#ifndef TT_TUNNEL_TALLY_H
#define TT_TUNNEL_TALLY_H

#include <stdint.h>

#include <turbotunnel/session.h>

#define TT_COUNTED_CODES    8u  /* reset codes 0 to 6, and all others */
#define TT_HISTOGRAM_BOUNDS 10u /* 1 ms, 5 ms, 20 ms, 0.1 s, 0.5 s, 1 s, 2 s, 5 s, 20 s, 60 s */

/* How often something took so long. */
struct tt_histogram {
    uint64_t counts[TT_HISTOGRAM_BOUNDS + 1]; /* up to each bound and above the one before; above */
    uint64_t sum_us;
};

extern const uint64_t tt_histogram_bounds_us[TT_HISTOGRAM_BOUNDS];

void tt_histogram_observe(struct tt_histogram *h, uint64_t us);

/* Added up over sessions. */
struct tt_session_totals {
    uint64_t bytes_sent, bytes_received;
    uint64_t packets_sent, packets_received;
    uint64_t segments_sent;
    uint64_t retransmits_carrier, retransmits_fast, retransmits_timeout;
    uint64_t duplicates_received, packets_not_opened;
    uint64_t connections, connections_died, dials_failed;
    uint64_t handshakes, handshakes_unanswered, server_full;
};

void tt_session_totals_add(struct tt_session_totals *t, struct tt_session *session);

/* Why a session ended. */
enum tt_session_fate {
    TT_FATE_CLOSED,
    TT_FATE_TIMEOUT,
    TT_FATE_LOST,
    TT_FATE_PROTOCOL,
    TT_FATE_OTHER,
    TT_FATES,
};

enum tt_session_fate tt_session_fate_of(int err);

struct tt_tally {
    uint64_t streams[TT_COUNTED_CODES]; /* that were to be opened: by code, 0: connected */
    uint64_t sessions_begun;
    uint64_t sessions_ended[TT_FATES];
    uint64_t sessions_of_client_refused; /* for --max-sessions-per-client */
    uint64_t sessions_of_client_ended;   /* in favour of a newer one of the same client */
    uint64_t carriers_ended_by_peer;
    uint64_t carriers_broken; /* by an error of the system's or the protocol's */
    uint64_t carriers_suspect;
    uint64_t limits_learned;
    uint64_t probes;
    uint64_t max_streams_met;
    struct tt_session_totals ended;  /* of sessions that are over */
    struct tt_histogram longest_gap; /* of each session that is over: between two deliveries */
    struct tt_histogram redial;      /* client: from a connection's end to the next */
    struct tt_histogram lateness;    /* of a timer */
    uint64_t down_us;                /* client: since when there was no connection, or 0 */
};

void tt_tally_stream(struct tt_tally *c, uint32_t code);

/* Before the session is closed: what it counted is kept. */
void tt_tally_session_over(struct tt_tally *c, struct tt_session *session);

/* What the library reports. */
void tt_tally_report(struct tt_tally *c, const struct tt_report *report, uint64_t now_us);

#endif
