#include "direction.h"

#include "dice.h"

#include <stdlib.h>

/* How long a reordered packet is held up: long enough that a few others overtake it at 1 Mbit/s. */
#define REORDER_NS 10000000u

/* What holding a packet costs beside its bytes: its struct, its place in the heap, malloc's own. */
#define OVERHEAD_BYTES 128u

void tt_bad_direction_init(struct tt_bad_direction *d, const struct tt_bad_settings *settings,
                           uint64_t seed, tt_bad_deliver *deliver, void *ctx)
{
    *d = (struct tt_bad_direction){
        .settings = *settings, .seed = seed, .deliver = deliver, .ctx = ctx};
}

/* Takes a packet that was held out of existence, and counts what became of it. */
static void let_go(struct tt_bad_direction *d, struct tt_bad_packet *p, struct tt_bad_tally *fate)
{
    d->counters.held.packets--;
    d->counters.held.bytes -= p->len;
    tt_bad_count(fate, p->len);
    free(p);
}

static void drop_all(struct tt_bad_direction *d, struct tt_bad_tally *fate)
{
    struct tt_bad_packet *p;

    while ((p = tt_bad_line_take(&d->line, 0)) != NULL)
        let_go(d, p, fate);
    while ((p = tt_bad_flight_take(&d->flight)) != NULL)
        let_go(d, p, fate);
}

void tt_bad_direction_dispose(struct tt_bad_direction *d)
{
    drop_all(d, &d->counters.blackholed);
    tt_bad_flight_dispose(&d->flight);
}

static uint64_t jitter_ns(const struct tt_bad_direction *d, const struct tt_bad_packet *p)
{
    const enum tt_bad_purpose purpose = p->is_copy ? TT_BAD_JITTER_OF_COPY : TT_BAD_JITTER;
    return tt_bad_draw(d->seed, p->number, purpose) % (d->settings.jitter_ns + 1);
}

/* The line has sent it. */
static void set_out(struct tt_bad_direction *d, struct tt_bad_packet *p, uint64_t sent_ns)
{
    p->due_ns = sent_ns + d->settings.delay_ns + jitter_ns(d, p);
    if (!p->is_copy &&
        tt_bad_chance(d->seed, p->number, TT_BAD_REORDER, d->settings.reorder_permille)) {
        tt_bad_count(&d->counters.reordered, p->len);
        p->due_ns += REORDER_NS;
    }
    if (!tt_bad_flight_add(&d->flight, p))
        let_go(d, p, &d->counters.overflowed);
}

/* Moves what has been sent by now off the line. By when it was sent, not by when we look: being
 * late must not slow the line down.
 */
static void send_due(struct tt_bad_direction *d, uint64_t now_ns)
{
    uint64_t sent_ns;

    while ((sent_ns = tt_bad_line_sent_ns(&d->line, d->settings.rate_bytes_s)) <= now_ns)
        set_out(d, tt_bad_line_take(&d->line, sent_ns), sent_ns);
}

static bool may_be_held(const struct tt_bad_direction *d, size_t len)
{
    const struct tt_bad_tally *held = &d->counters.held;
    return held->bytes + len + (held->packets + 1) * OVERHEAD_BYTES <= d->settings.hold_bytes;
}

/* Puts a packet, or its copy, on the line, if there is room for it. */
static void enter(struct tt_bad_direction *d, const uint8_t *bytes, size_t len, uint64_t number,
                  bool is_copy, uint64_t now_ns)
{
    send_due(d, now_ns);
    if (!tt_bad_line_has_room(&d->line, len, d->settings.queue_bytes)) {
        tt_bad_count(&d->counters.queue_dropped, len);
        return;
    }
    struct tt_bad_packet *p = may_be_held(d, len) ? tt_bad_packet_new(bytes, len) : NULL;
    if (!p) {
        tt_bad_count(&d->counters.overflowed, len);
        return;
    }
    p->number = number;
    p->is_copy = is_copy;
    tt_bad_count(&d->counters.held, len);
    tt_bad_line_push(&d->line, p, now_ns);
}

void tt_bad_direction_take(struct tt_bad_direction *d, const uint8_t *bytes, size_t len,
                           uint64_t now_ns)
{
    const struct tt_bad_settings *s = &d->settings;

    /* Kernels send them when they like to. If they counted, the fate of the others would hang on
     * it. */
    if (tt_bad_is_multicast(bytes, len)) {
        tt_bad_count(&d->counters.ignored, len);
        return;
    }
    const uint64_t number = d->counters.arrived.packets;
    tt_bad_count(&d->counters.arrived, len);
    if (s->blackhole) {
        tt_bad_count(&d->counters.blackholed, len);
        return;
    }
    if (tt_bad_chance(d->seed, number, TT_BAD_LOSS, s->loss_permille)) {
        tt_bad_count(&d->counters.lost, len);
        return;
    }
    enter(d, bytes, len, number, false, now_ns);
    if (tt_bad_chance(d->seed, number, TT_BAD_DUPLICATE, s->duplicate_permille)) {
        tt_bad_count(&d->counters.duplicated, len);
        enter(d, bytes, len, number, true, now_ns);
    }
}

static void arrive(struct tt_bad_direction *d, struct tt_bad_packet *p)
{
    const bool taken = d->deliver(d->ctx, p->bytes, p->len);
    let_go(d, p, taken ? &d->counters.forwarded : &d->counters.refused);
}

void tt_bad_direction_run(struct tt_bad_direction *d, uint64_t now_ns)
{
    send_due(d, now_ns);
    while (tt_bad_flight_next_ns(&d->flight) <= now_ns)
        arrive(d, tt_bad_flight_take(&d->flight));
}

uint64_t tt_bad_direction_deadline_ns(const struct tt_bad_direction *d)
{
    const uint64_t sent_ns = tt_bad_line_sent_ns(&d->line, d->settings.rate_bytes_s);
    const uint64_t next_ns = tt_bad_flight_next_ns(&d->flight);
    return sent_ns < next_ns ? sent_ns : next_ns;
}

void tt_bad_direction_change(struct tt_bad_direction *d, const struct tt_bad_settings *settings,
                             uint64_t now_ns)
{
    if (settings->blackhole && !d->settings.blackhole)
        drop_all(d, &d->counters.blackholed);
    if (settings->rate_bytes_s != d->settings.rate_bytes_s)
        tt_bad_line_restart(&d->line, now_ns);
    d->settings = *settings;
}
