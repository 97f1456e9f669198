#include "line.h"

#define NS_PER_S UINT64_C(1000000000)

bool tt_bad_line_has_room(const struct tt_bad_line *line, size_t len, uint64_t queue_bytes)
{
    return !line->first || line->waiting_bytes + len <= queue_bytes;
}

void tt_bad_line_push(struct tt_bad_line *line, struct tt_bad_packet *packet, uint64_t now_ns)
{
    packet->next = NULL;
    if (line->first) {
        line->last->next = packet;
        line->waiting_bytes += packet->len;
    } else {
        line->first = packet;
        line->started_ns = now_ns;
    }
    line->last = packet;
}

uint64_t tt_bad_line_sent_ns(const struct tt_bad_line *line, uint64_t rate_bytes_s)
{
    if (!line->first)
        return TT_BAD_NEVER;
    if (rate_bytes_s == 0)
        return line->started_ns;
    /* Rounded up: never faster than was asked. A packet has 16 bits of length, so nothing wraps. */
    return line->started_ns + (line->first->len * NS_PER_S + rate_bytes_s - 1) / rate_bytes_s;
}

struct tt_bad_packet *tt_bad_line_take(struct tt_bad_line *line, uint64_t now_ns)
{
    struct tt_bad_packet *p = line->first;

    if (!p)
        return NULL;
    line->first = p->next;
    line->started_ns = now_ns;
    if (line->first)
        line->waiting_bytes -= line->first->len;
    return p;
}

void tt_bad_line_restart(struct tt_bad_line *line, uint64_t now_ns)
{
    line->started_ns = now_ns;
}
