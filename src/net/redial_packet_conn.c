#include "net/redial_packet_conn.h"

#include <unistd.h>

#include "core/session/sealed.h"

#define SLOW_DIAL_US (2 * TT_SECOND) /* */

/* --- what happens to a session's connections, for logs --- */

/* What to look at, for a person. */
static const char *advice(int err)
{
    switch (err) {
    case TT_E_RESOLVE:
        return " (is the name right?)";
    case TT_E_UNREACHABLE:
        return " (is the server running there?)";
    default:
        return "";
    }
}

/* Nothing has ever worked. A handshake may be slow, or lost with its connection: it gets 1, 2, 4
 * ... seconds, as long as all together may take what one dial may.
 */
static bool is_hopeless(const struct tt_redial_packet_conn *r, uint64_t now_us)
{
    const struct tt_seal *seal = r->endpoint->seal;
    if (r->dialing.failed < r->ways->count)
        return false; /* there is another address yet */
    if (!seal || r->connections == 0)
        return r->connections == 0;
    return seal->phase != TT_SEAL_CONFIRMED &&
           now_us - r->begun_us + 2 * seal->patience_us > r->options->dial_timeout_us;
}

/* A dial failed, or brought a connection of no use. */
static void no_good(struct tt_redial_packet_conn *r, uint64_t now_us, uint32_t way, int err,
                    const char *what, const char *why)
{
    tt_why(&r->why, "%s %.100s: %s%s", what, r->ways->ways[way].text, why, advice(err));
    tt_ways_failed(r->ways, way);
    r->way = way;
    if (r->fail_fast && is_hopeless(r, now_us)) {
        r->first_error = err;
        r->state = TT_REDIAL_STOPPED;
    } else {
        r->report(r, TT_REPORT_DIAL_FAILED, why, r->dialing.wait_us);
    }
    r->changed(r, now_us);
}

static void report_suspicions(struct tt_redial_packet_conn *r)
{
    if (r->suspicions_told == r->endpoint->stats.suspicions)
        return;
    r->suspicions_told = r->endpoint->stats.suspicions;
    r->report(r, TT_REPORT_CARRIER_SUSPECT, "", 0);
}

static void report_limits(struct tt_redial_packet_conn *r)
{
    const struct tt_budget *b = r->endpoint->budget;
    struct tt_error_text text;
    if (r->limits_told == b->learned)
        return;
    r->limits_told = b->learned;
    tt_why(&text,
           "each is used for at most %llu bytes up, %llu bytes down, %llu ms from now on (0: no "
           "limit)",
           (unsigned long long)tt_budget_limit(b, TT_BUDGET_UP, 0),
           (unsigned long long)tt_budget_limit(b, TT_BUDGET_DOWN, 0),
           (unsigned long long)(tt_budget_limit(b, TT_BUDGET_AGE, 0) / TT_MS));
    r->report(r, TT_REPORT_LIMIT_LEARNED, text.text, 0);
}

/* --- a connection --- */

static struct tt_redial_packet_conn *of_conn(const struct tt_conn *c)
{
    return c->user;
}

static void conn_packet(struct tt_conn *c, uint64_t now_us, struct tt_span packet,
                        struct tt_slab *slab)
{
    (void)tt_endpoint_receive(of_conn(c)->endpoint, now_us, &c->carrier, packet, slab);
}

static void conn_input_done(struct tt_conn *c, uint64_t now_us, bool much)
{
    struct tt_redial_packet_conn *r = of_conn(c);
    r->changed(r, now_us);
    if (much)
        r->serve(r, now_us);
}

static int conn_next_packet(struct tt_conn *c, uint64_t now_us, struct tt_gather *g, uint32_t *len)
{
    return tt_endpoint_next_packet(of_conn(c)->endpoint, now_us, &c->carrier, g, len);
}

static bool conn_wants_send(const struct tt_conn *c)
{
    return tt_endpoint_wants_send(of_conn(c)->endpoint, &c->carrier);
}

static void drop_conn(struct tt_redial_packet_conn *r, uint64_t now_us, struct tt_conn *c,
                      const char *reason)
{
    const bool of_use = tt_dialing_ended(&r->dialing, &c->carrier, now_us);
    const uint32_t way = c->way;
    r->way = way;
    r->report(r, TT_REPORT_CARRIER_ENDED, reason, 0);
    tt_endpoint_carrier_close(r->endpoint, now_us, &c->carrier);
    tt_conn_close(c);
    if (!of_use)
        no_good(r, now_us, way, TT_E_UNREACHABLE, "connection to", reason);
}

static void conn_ended(struct tt_conn *c, uint64_t now_us, int why)
{
    struct tt_redial_packet_conn *r = of_conn(c);
    drop_conn(r, now_us, c, tt_conn_reason(c, why));
    r->changed(r, now_us);
}

static const struct tt_conn_owner conn_owner = {
    .packet = conn_packet,
    .input_done = conn_input_done,
    .next_packet = conn_next_packet,
    .wants_send = conn_wants_send,
    .ended = conn_ended,
};

/* --- dialling --- */

static void add_connection(struct tt_redial_packet_conn *r, uint64_t now_us, int fd, uint32_t way,
                           uint64_t dial_us)
{
    const struct tt_carrier_limits limits = {.ordered = true,
                                             .max_packet = r->options->max_packet,
                                             .framing = TT_ENCAP_HEADER,
                                             .prefix = TT_SESSION_ID_LEN,
                                             .dial_us = dial_us};
    struct tt_session_id id;
    struct tt_conn *c = NULL;
    int err = tt_endpoint_dial_id(r->endpoint, &id);
    if (err)
        close(fd);
    else
        err = tt_conn_new(r->worker, fd, &id, &conn_owner, r, &c);
    if (err) {
        tt_dialing_failed(&r->dialing, now_us);
        no_good(r, now_us, way, err, "connect to", tt_strerror(err));
        return;
    }
    c->way = (uint8_t)way;
    r->way = way;
    tt_dialing_up(&r->dialing);
    r->connections++;
    tt_endpoint_carrier_open(r->endpoint, now_us, &c->carrier, &limits);
    r->report(r, TT_REPORT_CONNECTED, "", 0);
    tt_conn_flush(c, now_us); /* the session ID leaves at once, with or without a packet */
    r->changed(r, now_us);
}

static uint32_t way_of(const struct tt_redial_packet_conn *r, const struct tt_dialer *d)
{
    return r->dialled[d - r->dialers];
}

static void connected(struct tt_dialer *d, uint64_t now_us, int fd)
{
    struct tt_redial_packet_conn *r = d->user;
    if (r->state == TT_REDIAL_STOPPED)
        close(fd);
    else
        add_connection(r, now_us, fd, way_of(r, d), d->took_us);
}

static void dial_failed(struct tt_dialer *d, uint64_t now_us, int err, const char *what,
                        const char *why)
{
    struct tt_redial_packet_conn *r = d->user;
    if (r->state == TT_REDIAL_STOPPED)
        return;
    tt_dialing_failed(&r->dialing, now_us);
    no_good(r, now_us, way_of(r, d), err, what, why);
}

static struct tt_dialer *idle_dialer(struct tt_redial_packet_conn *r)
{
    for (unsigned i = 0; i < TT_DIALS_AT_ONCE; i++) {
        if (!r->dialers[i].busy)
            return &r->dialers[i];
    }
    return NULL;
}

static void dial(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_redial_packet_conn *r =
        TT_CONTAINER_OF(chore, struct tt_redial_packet_conn, dial_chore);
    if (r->state != TT_REDIAL_RUNNING || !tt_dialing_is_due(&r->dialing, r->endpoint, now_us))
        return;
    struct tt_dialer *d = idle_dialer(r);
    if (!d)
        return;
    const uint32_t way = tt_ways_next(r->ways);
    tt_dialing_began(&r->dialing, now_us);
    if (way != way_of(r, d))
        tt_dialer_set_address(d, &r->ways->ways[way].address);
    r->dialled[d - r->dialers] = r->way = way;
    r->report(r, TT_REPORT_DIALING, "", 0);
    tt_dialer_begin(d, now_us, r->dialing.failures > 0);
    tt_redial_packet_conn_review(r, now_us);
}

static void wait_is_over(struct tt_timer *timer, uint64_t now_us)
{
    tt_redial_packet_conn_review(TT_CONTAINER_OF(timer, struct tt_redial_packet_conn, wait_timer),
                                 now_us);
}

/* --- the whole --- */

static void close_doomed(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    struct tt_carrier *c;
    bool any = false;
    for (; (c = tt_endpoint_next_doomed(r->endpoint)) != NULL; any = true)
        drop_conn(r, now_us, TT_CONTAINER_OF(c, struct tt_conn, carrier),
                  c->we_drain ? "no longer needed" : "no answer");
    if (any) /* without it the session may be over, or others may have more to do */
        r->changed(r, now_us);
}

void tt_redial_packet_conn_review(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    if (r->state != TT_REDIAL_RUNNING)
        return;
    report_suspicions(r);
    report_limits(r);
    close_doomed(r, now_us);
    const uint64_t deadline_us = tt_dialing_deadline(&r->dialing, r->endpoint, now_us);
    if (tt_dialing_is_due(&r->dialing, r->endpoint, now_us))
        tt_worker_mark_for_loop(r->worker, &r->dial_chore);
    else
        tt_timer_set(r->worker, &r->wait_timer, deadline_us);
}

static int init_dialers(struct tt_redial_packet_conn *r)
{
    int err = TT_OK;
    for (unsigned i = 0; i < TT_DIALS_AT_ONCE && !err; i++) {
        r->dialers[i] = (struct tt_dialer){.address = r->ways->ways[0].address,
                                           .timeout_us = r->options->dial_timeout_us,
                                           .connected = connected,
                                           .failed = dial_failed,
                                           .user = r};
        err = tt_dialer_init(&r->dialers[i], r->worker);
        if (err)
            r->dialers[i].worker = NULL;
    }
    return err;
}

static void dispose_dialers(struct tt_redial_packet_conn *r)
{
    for (unsigned i = 0; i < TT_DIALS_AT_ONCE; i++) {
        if (r->dialers[i].worker)
            tt_dialer_dispose(&r->dialers[i]);
    }
}

int tt_redial_packet_conn_init(struct tt_redial_packet_conn *r)
{
    struct tt_dialing_config dialing = {.first_us = r->options->redial_first_us,
                                        .most_us = r->options->redial_most_us,
                                        .slow_us = SLOW_DIAL_US};
    int err = tt_worker_random.fill(NULL, dialing.jitter_key, sizeof dialing.jitter_key);
    if (err)
        return err;
    tt_dialing_init(&r->dialing, &dialing);
    r->dial_chore.run = dial;
    err = init_dialers(r);
    if (!err)
        err = tt_timer_init(r->worker, &r->wait_timer, wait_is_over);
    if (err)
        dispose_dialers(r);
    return err;
}

void tt_redial_packet_conn_dispose(struct tt_redial_packet_conn *r)
{
    tt_redial_packet_conn_stop(r, tt_worker_now_us());
    dispose_dialers(r);
    tt_timer_dispose(r->worker, &r->wait_timer);
    tt_list_remove(&r->dial_chore.node);
}

void tt_redial_packet_conn_begin(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    if (r->state != TT_REDIAL_IDLE)
        return;
    r->state = TT_REDIAL_RUNNING;
    r->begun_us = now_us;
    tt_redial_packet_conn_review(r, now_us);
}

/* A dial under way goes on: only the loop's thread may end it. What it brings is dropped. */
void tt_redial_packet_conn_stop(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    struct tt_list_node *node;
    r->state = TT_REDIAL_STOPPED;
    tt_timer_set(r->worker, &r->wait_timer, TT_NEVER);
    while ((node = tt_list_first(&r->endpoint->carriers)) != NULL) {
        struct tt_conn *c = TT_CONTAINER_OF(node, struct tt_conn, carrier.node);
        tt_endpoint_carrier_close(r->endpoint, now_us, &c->carrier);
        tt_conn_close(c);
    }
}
