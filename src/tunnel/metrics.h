/* metrics.h - --metrics: the counters as text for Prometheus, over HTTP.
 *
 * The loop's thread, or before it runs.
 */
#ifndef TT_TUNNEL_METRICS_H
#define TT_TUNNEL_METRICS_H

#include "tunnel/context.h"
#include "tunnel/http.h"

/* What is asked for when somebody looks. */
struct tt_metrics_now {
    struct tt_session_totals live;     /* of sessions that there are */
    uint64_t sessions, streams;        /* that there are */
    uint64_t carriers;                 /* client: that there are */
    struct tt_listener_stats listener; /* server: added up over listeners */
    bool is_server;
};

struct tt_metrics {
    struct tt_http http;
    struct tt_context *context;
    void (*look)(void *owner, struct tt_metrics_now *now); /* fills it in; all zeroes before */
    void *owner;
    struct tt_timer timer; /* whose lateness is measured */
    uint64_t due_us;
    bool begun;
};

/* context, look and owner are set by the caller before. Does nothing without --metrics. 0, or an
 * error, of which one line is in the log.
 */
int tt_metrics_begin(struct tt_metrics *m);

/* Safe when not begun. Whoever has the lock, on the loop's thread or while it does not run. */
void tt_metrics_end(struct tt_metrics *m);

/* *sum += s, each field. */
void tt_metrics_add_listener(struct tt_listener_stats *sum, const struct tt_listener_stats *s);

#endif
