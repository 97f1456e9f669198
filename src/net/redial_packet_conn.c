#include <unistd.h>

#include "net/redial_packet_conn.h"

#define UNPROVEN_US      (10 * TT_SECOND) /* ended sooner without progress, it was no good */
#define REDIALS_A_SECOND 10u
#define REDIAL_PAUSE_US  (100 * TT_MS)
#define JITTER_PERCENT   20u

static const struct tt_carrier_limits tcp_limits = {.ordered = true,
                                                    .max_packet = TT_KCP_DEFAULT_MTU};

/* --- when to dial --- */

static uint64_t with_jitter(uint64_t us)
{
    uint32_t dice = 0;
    (void)tt_worker_random.fill(NULL, &dice, sizeof dice);
    const uint64_t spread_us = us * JITTER_PERCENT / 100;
    return us - spread_us + dice % (2 * spread_us + 1);
}

static uint64_t backoff_us(const struct tt_redial_packet_conn *r)
{
    uint64_t us = r->options->redial_first_us;
    for (uint32_t i = 1; i < r->failures && us < r->options->redial_most_us; i++)
        us *= 2;
    return us < r->options->redial_most_us ? us : with_jitter(r->options->redial_most_us);
}

static void dial(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    r->state = TT_REDIAL_DIALING;
    r->report(r, TT_REPORT_DIALING, "", 0);
    tt_dialer_begin(&r->dialer, now_us, r->failures > 0);
}

static void wait_and_dial(struct tt_redial_packet_conn *r, uint64_t now_us, uint64_t wait_us)
{
    r->state = TT_REDIAL_WAITING;
    tt_timer_set(r->worker, &r->wait_timer, tt_deadline_after(now_us, wait_us));
}

static void wait_is_over(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_redial_packet_conn *r =
        TT_CONTAINER_OF(timer, struct tt_redial_packet_conn, wait_timer);
    if (r->state == TT_REDIAL_WAITING)
        dial(r, now_us);
}

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

static void failed(struct tt_redial_packet_conn *r, uint64_t now_us, int err, const char *what,
                   const char *why)
{
    if (r->state == TT_REDIAL_STOPPED)
        return;
    r->failures++;
    r->dials_failed++;
    tt_why(&r->why, "%s %.100s: %s%s", what, r->address_text, why, advice(err));
    if (r->fail_fast && r->connections == 0) {
        r->first_error = err;
        r->state = TT_REDIAL_STOPPED;
        r->changed(r, now_us);
        return;
    }
    const uint64_t wait_us = backoff_us(r);
    r->report(r, TT_REPORT_DIAL_FAILED, why, wait_us);
    wait_and_dial(r, now_us, wait_us);
    r->changed(r, now_us);
}

static bool too_many_redials(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    if (now_us - r->second_began_us > TT_SECOND) {
        r->second_began_us = now_us;
        r->redials_this_second = 0;
    }
    return ++r->redials_this_second > REDIALS_A_SECOND;
}

static void redial(struct tt_redial_packet_conn *r, uint64_t now_us, bool good, const char *why)
{
    if (!good) {
        failed(r, now_us, TT_E_UNREACHABLE, "connection to", why);
        return;
    }
    r->failures = 0;
    if (too_many_redials(r, now_us))
        wait_and_dial(r, now_us, REDIAL_PAUSE_US);
    else
        dial(r, now_us);
}

/* --- the connection --- */

static struct tt_redial_packet_conn *of_conn(const struct tt_conn *c)
{
    return c->user;
}

static void conn_packet(struct tt_conn *c, uint64_t now_us, struct tt_span packet,
                        struct tt_slab *slab)
{
    (void)tt_endpoint_receive(of_conn(c)->endpoint, now_us, &c->carrier, packet, slab);
}

static void conn_input_done(struct tt_conn *c, uint64_t now_us)
{
    of_conn(c)->changed(of_conn(c), now_us);
}

static int conn_next_packet(struct tt_conn *c, uint64_t now_us, struct tt_gather *g, uint32_t *len)
{
    return tt_endpoint_next_packet(of_conn(c)->endpoint, now_us, &c->carrier, g, len);
}

static bool conn_wants_send(const struct tt_conn *c)
{
    return tt_endpoint_wants_send(of_conn(c)->endpoint, &c->carrier);
}

static void drop_conn(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    tt_endpoint_carrier_close(r->endpoint, now_us, &r->conn->carrier);
    tt_conn_close(r->conn);
    r->conn = NULL;
}

static void conn_ended(struct tt_conn *c, uint64_t now_us, int why)
{
    struct tt_redial_packet_conn *r = of_conn(c);
    const bool good = tt_carrier_progressed(&c->carrier) || now_us - r->up_since_us >= UNPROVEN_US;
    const char *reason = tt_conn_reason(c, why);

    r->report(r, TT_REPORT_CARRIER_ENDED, reason, 0);
    drop_conn(r, now_us);
    redial(r, now_us, good, reason);
    r->changed(r, now_us);
}

static const struct tt_conn_owner conn_owner = {
    .packet = conn_packet,
    .input_done = conn_input_done,
    .next_packet = conn_next_packet,
    .wants_send = conn_wants_send,
    .ended = conn_ended,
};

static void connected(struct tt_dialer *d, uint64_t now_us, int fd)
{
    struct tt_redial_packet_conn *r = TT_CONTAINER_OF(d, struct tt_redial_packet_conn, dialer);
    if (r->state == TT_REDIAL_STOPPED) {
        close(fd);
        return;
    }
    const int err = tt_conn_new(r->worker, fd, &r->endpoint->config.id, &conn_owner, r, &r->conn);
    if (err) {
        failed(r, now_us, err, "connect to", tt_strerror(err));
        return;
    }
    r->state = TT_REDIAL_UP;
    r->up_since_us = now_us;
    r->connections++;
    tt_endpoint_carrier_open(r->endpoint, now_us, &r->conn->carrier, &tcp_limits);
    r->report(r, TT_REPORT_CONNECTED, "", 0);
    tt_conn_flush(r->conn, now_us); /* the session ID leaves at once, with or without a packet */
    r->changed(r, now_us);
}

static void dial_failed(struct tt_dialer *d, uint64_t now_us, int err, const char *what,
                        const char *why)
{
    failed(TT_CONTAINER_OF(d, struct tt_redial_packet_conn, dialer), now_us, err, what, why);
}

/* --- the whole --- */

int tt_redial_packet_conn_init(struct tt_redial_packet_conn *r)
{
    r->dialer.timeout_us = r->options->dial_timeout_us;
    r->dialer.connected = connected;
    r->dialer.failed = dial_failed;
    int err = tt_dialer_init(&r->dialer, r->worker);
    if (err)
        return err;
    err = tt_timer_init(r->worker, &r->wait_timer, wait_is_over);
    if (err)
        tt_dialer_dispose(&r->dialer);
    return err;
}

void tt_redial_packet_conn_dispose(struct tt_redial_packet_conn *r)
{
    tt_redial_packet_conn_stop(r, tt_worker_now_us());
    tt_dialer_dispose(&r->dialer);
    tt_timer_dispose(r->worker, &r->wait_timer);
}

void tt_redial_packet_conn_begin(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    if (r->state == TT_REDIAL_IDLE)
        dial(r, now_us);
}

/* A dial under way goes on: only the loop's thread may end it. What it brings is dropped. */
void tt_redial_packet_conn_stop(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    r->state = TT_REDIAL_STOPPED;
    tt_timer_set(r->worker, &r->wait_timer, TT_NEVER);
    if (r->conn)
        drop_conn(r, now_us);
}
