#include "tunnel/tally.h"

#include <string.h>

const uint64_t tt_histogram_bounds_us[TT_HISTOGRAM_BOUNDS] = {
    1000, 5000, 20000, 100000, 500000, 1000000, 2000000, 5000000, 20000000, 60000000};

void tt_histogram_observe(struct tt_histogram *h, uint64_t us)
{
    unsigned i = 0;
    while (i < TT_HISTOGRAM_BOUNDS && us > tt_histogram_bounds_us[i])
        i++;
    h->counts[i]++;
    h->sum_us += us;
}

void tt_session_totals_add(struct tt_session_totals *t, struct tt_session *session)
{
    struct tt_session_stats s;
    tt_session_get_stats(session, &s);
    t->bytes_sent += s.bytes_sent;
    t->bytes_received += s.bytes_received;
    t->packets_sent += s.packets_sent;
    t->packets_received += s.packets_received;
    t->segments_sent += s.segments_sent;
    t->retransmits_carrier += s.retransmits_carrier;
    t->retransmits_fast += s.retransmits_fast;
    t->retransmits_timeout += s.retransmits_timeout;
    t->duplicates_received += s.duplicates_received;
    t->packets_not_opened += s.packets_not_opened;
    t->connections += s.connections;
    t->connections_died += s.connections_died;
    t->dials_failed += s.dials_failed;
    t->handshakes += s.handshakes;
    t->handshakes_unanswered += s.handshakes_unanswered;
    t->server_full += s.server_full;
}

enum tt_session_fate tt_session_fate_of(int err)
{
    switch (err) {
    case TT_E_CLOSED:
        return TT_FATE_CLOSED;
    case TT_E_TIMEOUT:
        return TT_FATE_TIMEOUT;
    case TT_E_LOST:
        return TT_FATE_LOST;
    case TT_E_PROTO:
        return TT_FATE_PROTOCOL;
    default:
        return TT_FATE_OTHER;
    }
}

void tt_tally_stream(struct tt_tally *c, uint32_t code)
{
    c->streams[code < TT_COUNTED_CODES ? code : TT_COUNTED_CODES - 1]++;
}

void tt_tally_session_over(struct tt_tally *c, struct tt_session *session)
{
    struct tt_session_stats s;
    tt_session_get_stats(session, &s);
    tt_session_totals_add(&c->ended, session);
    tt_histogram_observe(&c->longest_gap, s.longest_silence_us);
}

void tt_tally_report(struct tt_tally *c, const struct tt_report *r, uint64_t now_us)
{
    switch (r->kind) {
    case TT_REPORT_CARRIER_ENDED:
        if (strcmp(r->detail, "closed by the other end") == 0)
            c->carriers_ended_by_peer++;
        else
            c->carriers_broken++;
        c->down_us = c->down_us ? c->down_us : now_us;
        break;
    case TT_REPORT_CARRIER_SUSPECT:
        c->carriers_suspect++;
        c->down_us = c->down_us ? c->down_us : now_us;
        break;
    case TT_REPORT_CONNECTED:
        if (c->down_us)
            tt_histogram_observe(&c->redial, now_us - c->down_us);
        c->down_us = 0;
        break;
    case TT_REPORT_LIMIT_LEARNED:
        c->limits_learned++;
        break;
    case TT_REPORT_SESSION_BEGUN:
    case TT_REPORT_SESSION_ENDED:
    case TT_REPORT_DIALING:
    case TT_REPORT_DIAL_FAILED:
    case TT_REPORT_REFUSED:
        break;
    }
}
