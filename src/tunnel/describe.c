#include "tunnel/describe.h"

#include <inttypes.h>
#include <stdio.h>

#include "net/session.h"

static unsigned length(const struct tt_list *list)
{
    unsigned n = 0;
    TT_LIST_FOR_EACH(node, list)
    {
        n++;
    }
    return n;
}

struct amount {
    char text[24];
};

static struct amount bytes(uint64_t n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)n;
    size_t unit = 0;
    struct amount a;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(a.text, sizeof a.text, "%.*f %s", unit > 0 && value < 100, value, units[unit]);
    return a;
}

void tt_describe_session(char text[TT_DESCRIPTION], struct tt_session *session,
                         const struct tt_list *streams)
{
    struct tt_session_stats s;
    tt_session_get_stats(session, &s);
    const unsigned carriers = length(&session->endpoint->carriers);
    const unsigned joined = length(streams);
    (void)snprintf(text, TT_DESCRIPTION,
                   "session %s: %u carrier%s, %u stream%s, round trip %.1f ms, sent %s, received "
                   "%s, recoveries %" PRIu64 ", longest gap %.1f s",
                   tt_session_id(session), carriers, carriers == 1 ? "" : "s", joined,
                   joined == 1 ? "" : "s", (double)s.srtt_us / 1000, bytes(s.bytes_sent).text,
                   bytes(s.bytes_received).text, s.connections > 0 ? s.connections - 1 : 0,
                   (double)s.longest_silence_us / 1000000);
}
