#include "tunnel/context.h"

#include <errno.h>
#include <inttypes.h>

void tt_context_over(struct tt_context *c, int status)
{
    if (c->status >= 0)
        return;
    c->status = status;
    (void)sem_post(&c->over);
}

void tt_context_await(struct tt_context *c)
{
    while (sem_wait(&c->over) < 0 && errno == EINTR)
        continue;
}

static enum tt_log_level level_of(enum tt_report_kind kind)
{
    switch (kind) {
    case TT_REPORT_DIAL_FAILED:
    case TT_REPORT_REFUSED:
        return TT_LOG_NOTICE;
    case TT_REPORT_DIALING:
    case TT_REPORT_CONNECTED:
    case TT_REPORT_CARRIER_SUSPECT:
    case TT_REPORT_LIMIT_LEARNED:
    case TT_REPORT_CARRIER_ENDED:
    case TT_REPORT_SESSION_BEGUN:
    case TT_REPORT_SESSION_ENDED:
    default:
        return TT_LOG_DETAIL;
    }
}

void tt_context_report(void *context, const struct tt_report *r)
{
    struct tt_context *c = context;
    if (r->kind == TT_REPORT_DIAL_FAILED)
        tt_log(&c->log, level_of(r->kind), "dial_failed", "%s; next try in %" PRIu64 " ms",
               r->detail, r->wait_us / TT_MS);
    else
        tt_log(&c->log, level_of(r->kind), "carrier", "%s %s %s%s%s", r->address,
               r->session[0] ? r->session : "-", tt_report_name(r->kind), r->detail[0] ? ": " : "",
               r->detail);
}

struct tt_options tt_context_library(struct tt_context *c)
{
    struct tt_options o = c->options->library;
    o.loop = c->worker;
    o.report = tt_context_report;
    o.report_ctx = c;
    return o;
}
