#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "carrier/tcp.h"
#include "net/redial_packet_conn.h"
#include "net/resolve.h"

#define UNPROVEN_US      (10 * TT_SECOND) /* ended sooner without progress, it was no good */
#define REDIALS_A_SECOND 10u
#define REDIAL_PAUSE_US  (100 * TT_MS)
#define JITTER_PERCENT   20u

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0)                                                                          \
            (field) = (value);                                                                     \
    } while (0)

static struct tt_redial_packet_conn *of_session(struct tt_session *s)
{
    return TT_CONTAINER_OF(s, struct tt_redial_packet_conn, session);
}

static void report(struct tt_redial_packet_conn *r, enum tt_report_kind kind, const char *detail,
                   uint64_t wait_us)
{
    if (!r->options.report)
        return;
    r->options.report(r->options.report_ctx, &(struct tt_report){
                                                 .kind = kind,
                                                 .session = r->session.id_text,
                                                 .address = r->address_text,
                                                 .detail = detail,
                                                 .number = r->session.connections,
                                                 .wait_us = wait_us,
                                             });
}

/* --- the state --- */

static void begin_dial(struct tt_redial_packet_conn *r, uint64_t now_us);

static void enter_state(struct tt_redial_packet_conn *r, enum tt_redial_state state)
{
    r->state = state;
}

static uint64_t with_jitter(uint64_t us)
{
    uint32_t dice = 0;
    (void)tt_worker_random.fill(NULL, &dice, sizeof dice);
    const uint64_t spread_us = us * JITTER_PERCENT / 100;
    return us - spread_us + dice % (2 * spread_us + 1);
}

static uint64_t backoff_us(const struct tt_redial_packet_conn *r)
{
    uint64_t us = r->options.redial_first_us;
    for (uint32_t i = 1; i < r->failures && us < r->options.redial_most_us; i++)
        us *= 2;
    return us < r->options.redial_most_us ? us : with_jitter(r->options.redial_most_us);
}

static void wait_before_dial(struct tt_redial_packet_conn *r, uint64_t now_us, uint64_t wait_us)
{
    enter_state(r, TT_REDIAL_WAITING);
    tt_timer_set(r->session.worker, &r->dial_timer, tt_deadline_after(now_us, wait_us));
}

static void fill_in_why(struct tt_redial_packet_conn *r, int err, const char *what,
                        const char *reason)
{
    const char *advice = err == TT_E_RESOLVE       ? " (is the name right?)"
                         : err == TT_E_UNREACHABLE ? " (is the server running there?)"
                                                   : "";
    if (!r->session.endpoint->error)
        tt_why(&r->session.why, "%s %.100s: %s%s", what, r->address_text, reason, advice);
}

static void dial_failed(struct tt_redial_packet_conn *r, uint64_t now_us, int err, const char *what,
                        const char *reason)
{
    r->failures++;
    r->session.dials_failed++;
    fill_in_why(r, err, what, reason);
    if (r->fail_fast && !r->session.connected) {
        r->first_error = err;
        enter_state(r, TT_REDIAL_STOPPED);
        tt_worker_wake_all(r->session.worker, &r->session.change_waiters);
        return;
    }
    const uint64_t wait_us = backoff_us(r);
    report(r, TT_REPORT_DIAL_FAILED, reason, wait_us);
    wait_before_dial(r, now_us, wait_us);
}

/* --- the connection --- */

static struct tt_redial_packet_conn *of_conn(const struct tt_conn *c)
{
    return c->user;
}

static void conn_packet(struct tt_conn *c, uint64_t now_us, struct tt_span packet,
                        struct tt_slab *slab)
{
    (void)tt_endpoint_receive(&of_conn(c)->endpoint, now_us, &c->carrier, packet, slab);
}

static void conn_input_done(struct tt_conn *c, uint64_t now_us)
{
    (void)now_us;
    tt_worker_mark(c->worker, &of_conn(c)->chore);
}

static int conn_next_packet(struct tt_conn *c, uint64_t now_us, struct tt_gather *g, uint32_t *len)
{
    return tt_endpoint_next_packet(&of_conn(c)->endpoint, now_us, &c->carrier, g, len);
}

static bool conn_wants_send(const struct tt_conn *c)
{
    return tt_endpoint_wants_send(&of_conn(c)->endpoint, &c->carrier);
}

static bool too_many_redials(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    if (now_us - r->second_began_us > TT_SECOND) {
        r->second_began_us = now_us;
        r->redials_this_second = 0;
    }
    return ++r->redials_this_second > REDIALS_A_SECOND;
}

static void conn_ended(struct tt_conn *c, uint64_t now_us, int why)
{
    struct tt_redial_packet_conn *r = of_conn(c);
    const bool good = tt_carrier_progressed(&c->carrier) || now_us - r->up_since_us >= UNPROVEN_US;
    const char *reason = tt_conn_reason(c, why);

    report(r, TT_REPORT_CARRIER_ENDED, reason, 0);
    tt_endpoint_carrier_close(&r->endpoint, now_us, &c->carrier);
    tt_conn_close(c);
    r->conn = NULL;
    tt_worker_mark(r->session.worker, &r->chore);
    if (r->state == TT_REDIAL_STOPPED)
        return;
    if (!good) {
        dial_failed(r, now_us, TT_E_UNREACHABLE, "connection to", reason);
    } else if (too_many_redials(r, now_us)) {
        wait_before_dial(r, now_us, REDIAL_PAUSE_US);
    } else {
        r->failures = 0;
        begin_dial(r, now_us);
    }
}

static const struct tt_conn_owner conn_owner = {
    .packet = conn_packet,
    .input_done = conn_input_done,
    .next_packet = conn_next_packet,
    .wants_send = conn_wants_send,
    .ended = conn_ended,
};

static const struct tt_carrier_limits tcp_limits = {.ordered = true,
                                                    .max_packet = TT_KCP_DEFAULT_MTU};

static void now_up(struct tt_redial_packet_conn *r, uint64_t now_us, int fd)
{
    int err = tt_conn_new(r->session.worker, fd, &r->endpoint.config.id, &conn_owner, r, &r->conn);
    if (err) {
        dial_failed(r, now_us, err, "connect to", tt_strerror(err));
        return;
    }
    enter_state(r, TT_REDIAL_UP);
    r->up_since_us = now_us;
    r->session.connections++;
    tt_endpoint_carrier_open(&r->endpoint, now_us, &r->conn->carrier, &tcp_limits);
    report(r, TT_REPORT_CONNECTED, "", 0);
    tt_conn_flush(r->conn, now_us); /* the session ID leaves at once, with or without a packet */
    if (!r->session.connected) {
        r->session.connected = true;
        tt_worker_wake_all(r->session.worker, &r->session.change_waiters);
        if (r->session.callbacks.connected)
            r->session.callbacks.connected(r->session.callbacks_ctx, &r->session);
    }
    tt_worker_mark(r->session.worker, &r->chore);
}

/* --- dialing --- */

static void free_dial(uv_handle_t *handle)
{
    struct tt_dial *d = handle->data;
    d->alloc->put(d->alloc->ctx, d);
}

/* Gives the dial's descriptor to the caller, and the rest up. Loop's thread. */
static int take_dial(struct tt_redial_packet_conn *r)
{
    struct tt_dial *d = r->dial;
    const int fd = d->fd;
    r->dial = NULL;
    uv_close((uv_handle_t *)&d->poll, free_dial);
    return fd;
}

static void try_next_address(struct tt_redial_packet_conn *r, uint64_t now_us, int err)
{
    if (r->next_found && r->next_found->ai_next) {
        r->next_found = r->next_found->ai_next;
        begin_dial(r, now_us);
        return;
    }
    r->next_found = r->found;
    dial_failed(r, now_us, TT_E_UNREACHABLE, "connect to", strerror(-err));
}

static void dial_done(struct tt_redial_packet_conn *r, uint64_t now_us, int err)
{
    const int fd = take_dial(r);
    tt_timer_set(r->session.worker, &r->dial_timer, TT_NEVER);
    if (err) {
        close(fd);
        try_next_address(r, now_us, err);
        return;
    }
    now_up(r, now_us, fd);
}

static void dial_ready(uv_poll_t *handle, int status, int events)
{
    struct tt_dial *d = handle->data;
    (void)events;
    if (!d->owner)
        return;
    tt_worker_turn(d->owner->session.worker);
    const int err = tt_tcp_connect_result(d->fd);
    dial_done(d->owner, tt_worker_now_us(), err ? err : status);
}

static int watch_dial(struct tt_redial_packet_conn *r, int fd)
{
    struct tt_loop *w = r->session.worker;
    struct tt_dial *d = w->alloc->get(w->alloc->ctx, sizeof *d);
    if (!d)
        return -ENOMEM;
    *d = (struct tt_dial){.owner = r, .alloc = w->alloc, .fd = fd};
    int err = uv_poll_init(&w->uv, &d->poll, fd);
    if (err) {
        w->alloc->put(w->alloc->ctx, d);
        return err;
    }
    d->poll.data = d;
    (void)uv_poll_start(&d->poll, UV_WRITABLE, dial_ready);
    r->dial = d;
    return 0;
}

static void begin_dial(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    const struct addrinfo *to = r->next_found;
    int fd;

    enter_state(r, TT_REDIAL_DIALING);
    report(r, TT_REPORT_DIALING, "", 0);
    int err = tt_tcp_connect_begin(to->ai_addr, to->ai_addrlen, &fd);
    if (!err) {
        err = watch_dial(r, fd);
        if (err)
            close(fd);
    }
    if (err) {
        try_next_address(r, now_us, err);
        return;
    }
    tt_timer_set(r->session.worker, &r->dial_timer,
                 tt_deadline_after(now_us, r->options.dial_timeout_us));
}

/* --- resolving --- */

static void forget_addresses(struct tt_redial_packet_conn *r)
{
    if (r->found && r->found_by_uv)
        uv_freeaddrinfo(r->found);
    else if (r->found)
        freeaddrinfo(r->found);
    r->found = NULL;
    r->next_found = NULL;
}

static void use_addresses(struct tt_redial_packet_conn *r, struct addrinfo *found, bool by_uv,
                          uint64_t now_us)
{
    r->found = found;
    r->next_found = found;
    r->found_by_uv = by_uv;
    begin_dial(r, now_us);
}

static void resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct tt_redial_packet_conn *r = request->data;
    const struct tt_alloc *alloc = &tt_alloc_malloc;

    alloc->put(alloc->ctx, request);
    if (!r) { /* the session is gone */
        uv_freeaddrinfo(found);
        return;
    }
    tt_worker_turn(r->session.worker);
    r->resolving = NULL;
    if (status)
        dial_failed(r, tt_worker_now_us(), TT_E_RESOLVE, "resolve", uv_strerror(status));
    else
        use_addresses(r, found, true, tt_worker_now_us());
}

static void resolve_name(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    /* It may outlive the session and its allocator. */
    uv_getaddrinfo_t *request = tt_alloc_malloc.get(NULL, sizeof *request);
    enter_state(r, TT_REDIAL_RESOLVING);
    if (!request) {
        dial_failed(r, now_us, TT_E_NOMEM, "resolve", tt_strerror(TT_E_NOMEM));
        return;
    }
    request->data = r;
    int err = uv_getaddrinfo(&r->session.worker->uv, request, resolved, r->address.host,
                             r->address.port, &hints);
    if (err) {
        tt_alloc_malloc.put(NULL, request);
        dial_failed(r, now_us, TT_E_RESOLVE, "resolve", uv_strerror(err));
        return;
    }
    r->resolving = request;
}

/* From IDLE, or after a wait: the next thing to do. */
static void go_on(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    struct addrinfo *found;
    /* A name is looked up again after a failure: the network may have changed. */
    if (r->found && r->found_by_uv && r->failures > 0)
        forget_addresses(r);
    if (r->found)
        begin_dial(r, now_us);
    else if (tt_resolve_numeric(&r->address, false, &found) == 0)
        use_addresses(r, found, false, now_us);
    else
        resolve_name(r, now_us);
}

static void step_chore(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_redial_packet_conn *r = TT_CONTAINER_OF(chore, struct tt_redial_packet_conn, step);
    if (r->state == TT_REDIAL_IDLE)
        go_on(r, now_us);
}

static void dial_timer_due(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_redial_packet_conn *r =
        TT_CONTAINER_OF(timer, struct tt_redial_packet_conn, dial_timer);
    if (r->state == TT_REDIAL_DIALING)
        dial_done(r, now_us, -ETIMEDOUT);
    else if (r->state == TT_REDIAL_WAITING)
        go_on(r, now_us);
}

/* --- the session on it --- */

/* Lets go of everything that moves. Any thread with the lock; only chores touch libuv. */
static void stop(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    struct tt_loop *w = r->session.worker;
    enter_state(r, TT_REDIAL_STOPPED);
    tt_timer_set(w, &r->dial_timer, TT_NEVER);
    if (r->conn) {
        tt_endpoint_carrier_close(&r->endpoint, now_us, &r->conn->carrier);
        tt_conn_close(r->conn);
        r->conn = NULL;
    }
}

/* Frees all; the loop's thread, since handles may have to be closed. */
static void destroy(struct tt_redial_packet_conn *r)
{
    struct tt_loop *w = r->session.worker;
    stop(r, tt_worker_now_us());
    if (r->dial) {
        r->dial->owner = NULL;
        close(take_dial(r));
    }
    if (r->resolving) {
        r->resolving->data = NULL;
        (void)uv_cancel((uv_req_t *)r->resolving);
    }
    forget_addresses(r);
    tt_timer_dispose(w, &r->dial_timer);
    tt_timer_dispose(w, &r->session_timer);
    tt_list_remove(&r->chore.node);
    tt_list_remove(&r->step.node);
    tt_list_remove(&r->leftover.node);
    tt_endpoint_dispose(&r->endpoint);
    w->alloc->put(w->alloc->ctx, r);
}

static bool done_lingering(const struct tt_redial_packet_conn *r, uint64_t now_us)
{
    return r->endpoint.error || tt_endpoint_settled(&r->endpoint) || now_us >= r->linger_until_us ||
           !r->session.connected;
}

static void rearm(struct tt_redial_packet_conn *r)
{
    uint64_t deadline_us = tt_endpoint_deadline(&r->endpoint);
    if (r->abandoned)
        deadline_us = tt_min_u64(deadline_us, r->linger_until_us);
    tt_timer_set(r->session.worker, &r->session_timer, deadline_us);
}

static void destroy_chore(struct tt_chore *chore, uint64_t now_us)
{
    (void)now_us;
    destroy(TT_CONTAINER_OF(chore, struct tt_redial_packet_conn, step));
}

static void serve(struct tt_chore *chore, uint64_t now_us)
{
    struct tt_redial_packet_conn *r = TT_CONTAINER_OF(chore, struct tt_redial_packet_conn, chore);
    if (r->endpoint.error && r->state != TT_REDIAL_STOPPED) {
        report(r, TT_REPORT_SESSION_ENDED, tt_strerror(r->endpoint.error), 0);
        stop(r, now_us);
    }
    if (r->abandoned && done_lingering(r, now_us)) {
        r->step.run = destroy_chore;
        tt_worker_mark_for_loop(r->session.worker, &r->step);
        return;
    }
    rearm(r);
    tt_session_serve(&r->session, now_us);
    /* Serving sent something, or closed the session; in that case this chore is marked again. */
    if (!r->abandoned)
        rearm(r);
}

static void session_timer_due(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_redial_packet_conn *r =
        TT_CONTAINER_OF(timer, struct tt_redial_packet_conn, session_timer);
    (void)tt_endpoint_handle_timeout(&r->endpoint, now_us);
    tt_worker_mark(r->session.worker, &r->chore);
}

static void touch(struct tt_session *s, uint64_t now_us)
{
    (void)tt_endpoint_touched(s->endpoint, now_us);
    tt_worker_mark(s->worker, &of_session(s)->chore);
}

/* The loop's thread destroys; a thread of the program waits for that, and then frees the loop. */
struct ending {
    struct tt_chore chore;
    struct tt_redial_packet_conn *r;
    struct tt_list done; /* of struct tt_waiter */
};

static void destroy_for(struct tt_chore *chore, uint64_t now_us)
{
    struct ending *e = TT_CONTAINER_OF(chore, struct ending, chore);
    struct tt_loop *w = e->r->session.worker;
    (void)now_us;
    destroy(e->r);
    e->r = NULL;
    tt_worker_wake_all(w, &e->done);
}

static void destroy_and_wait(struct tt_redial_packet_conn *r)
{
    struct tt_loop *w = r->session.worker;
    struct ending e = {.chore = {.run = destroy_for}, .r = r};
    tt_list_init(&e.done);
    tt_worker_mark_for_loop(w, &e.chore);
    while (e.r)
        (void)tt_worker_wait(w, &e.done, TT_NEVER);
}

static void destroy_leftover(struct tt_chore *chore, uint64_t now_us)
{
    (void)now_us;
    destroy(TT_CONTAINER_OF(chore, struct tt_redial_packet_conn, leftover));
}

static int close_session(struct tt_session *s, bool may_wait)
{
    struct tt_redial_packet_conn *r = of_session(s);
    struct tt_loop *w = s->worker;

    r->linger_until_us = tt_deadline_after(tt_worker_now_us(), s->linger_us);
    tt_worker_mark(w, &r->chore);
    if (!may_wait || !w->running) {
        r->abandoned = true;
        r->leftover.run = destroy_leftover;
        tt_list_push_back(&w->leftovers, &r->leftover.node);
        return TT_OK;
    }
    while (!done_lingering(r, tt_worker_now_us()))
        (void)tt_worker_wait(w, &s->change_waiters, r->linger_until_us);
    const int err = r->endpoint.error                   ? r->endpoint.error
                    : tt_endpoint_settled(&r->endpoint) ? TT_OK
                                                        : TT_E_TIMEOUT;
    destroy_and_wait(r);
    return err;
}

static const struct tt_session_side client_side = {.touch = touch, .close = close_session};

/* --- making one --- */

static void fill_in_defaults(struct tt_options *o)
{
    DEFAULT(o->smux_version, 2);
    DEFAULT(o->session_timeout_us, 600 * TT_SECOND);
    DEFAULT(o->linger_us, 5 * TT_SECOND);
    DEFAULT(o->dial_timeout_us, 10 * TT_SECOND);
    DEFAULT(o->redial_first_us, 50 * TT_MS);
    DEFAULT(o->redial_most_us, 2 * TT_SECOND);
}

static int init_endpoint(struct tt_redial_packet_conn *r, struct tt_loop *w)
{
    struct tt_endpoint_config c = {.client = true,
                                   .smux_version = (uint8_t)r->options.smux_version,
                                   .slabs = &w->slabs,
                                   .alloc = w->alloc};
    tt_endpoint_tuning_default(&c.tuning);
    c.tuning.session_timeout_us = r->options.session_timeout_us;
    if (r->options.max_streams)
        c.tuning.max_streams = r->options.max_streams;
    memcpy(c.hash_key, w->hash_key, sizeof c.hash_key);
    int err = tt_session_id_generate(&c.id, &tt_worker_random);
    if (!err)
        err = tt_worker_random.fill(NULL, &c.conv, sizeof c.conv);
    if (!err)
        err = tt_endpoint_init(&r->endpoint, &c, tt_worker_now_us());
    return err;
}

static int init_timers(struct tt_redial_packet_conn *r, struct tt_loop *w)
{
    int err = tt_timer_init(w, &r->dial_timer, dial_timer_due);
    if (err)
        return err;
    err = tt_timer_init(w, &r->session_timer, session_timer_due);
    if (err)
        tt_timer_dispose(w, &r->dial_timer);
    return err;
}

static int make(const char *address, const struct tt_options *options, struct tt_loop *w,
                struct tt_redial_packet_conn **made, struct tt_error_text *why)
{
    struct tt_redial_packet_conn *r = w->alloc->get(w->alloc->ctx, sizeof *r);
    if (!r)
        return TT_E_NOMEM;
    *r = (struct tt_redial_packet_conn){
        .options = *options, .chore = {.run = serve}, .step = {.run = step_chore}};
    fill_in_defaults(&r->options);
    int err = tt_address_parse(&r->address, address, why);
    if (!err && r->options.smux_version > 2) {
        tt_why(why, "smux version %u: only 1 and 2 exist", r->options.smux_version);
        err = TT_E_INVAL;
    }
    if (!err)
        err = init_endpoint(r, w);
    if (!err) {
        err = init_timers(r, w);
        if (err)
            tt_endpoint_dispose(&r->endpoint);
    }
    if (err) {
        w->alloc->put(w->alloc->ctx, r);
        return err;
    }
    (void)snprintf(r->address_text, sizeof r->address_text, "%s", address);
    tt_session_init(&r->session, w, &r->endpoint, &client_side, r->options.linger_us);
    *made = r;
    return TT_OK;
}

/* Makes it on the options' loop, and begins to dial. */
static int begin(const char *address, const struct tt_options *options, bool fail_fast,
                 const struct tt_session_callbacks *callbacks, void *ctx,
                 struct tt_redial_packet_conn **made, struct tt_error_text *why)
{
    struct tt_loop *w = options->loop;
    const bool entered = tt_worker_enter(w);
    int err = make(address, options, w, made, why);
    if (!err) {
        (*made)->fail_fast = fail_fast;
        if (callbacks)
            (*made)->session.callbacks = *callbacks;
        (*made)->session.callbacks_ctx = ctx;
        tt_worker_mark_for_loop(w, &(*made)->step);
        tt_worker_mark(w, &(*made)->chore);
    }
    tt_worker_leave(w, entered);
    return err;
}

int tt_session_begin(const char *address, const struct tt_options *options,
                     const struct tt_session_callbacks *callbacks, void *ctx,
                     struct tt_session **session, struct tt_error_text *why)
{
    struct tt_redial_packet_conn *r;
    *session = NULL;
    if (!options || !options->loop) {
        tt_why(why, "a session with callbacks needs options.loop");
        return TT_E_INVAL;
    }
    int err = begin(address, options, false, callbacks, ctx, &r, why);
    if (!err)
        *session = &r->session;
    else if (err != TT_E_INVAL)
        tt_why(why, "begin a session with %.100s: %s", address, tt_strerror(err));
    return err;
}

/* The first dial: until it stands or has failed. */
static int await_first(struct tt_redial_packet_conn *r, struct tt_error_text *why)
{
    struct tt_loop *w = r->session.worker;
    const bool entered = tt_worker_enter(w);
    while (!r->session.connected && !r->first_error)
        (void)tt_worker_wait(w, &r->session.change_waiters, TT_NEVER);
    const int err = r->session.connected ? TT_OK : r->first_error;
    if (err) {
        tt_why(why, "%s", r->session.why.text);
        destroy_and_wait(r);
    } else {
        r->fail_fast = false;
        r->session.why.text[0] = '\0';
    }
    tt_worker_leave(w, entered);
    return err;
}

static int make_loop(struct tt_options *o, struct tt_error_text *why)
{
    int err = tt_loop_new(o, &o->loop);
    if (err) {
        tt_why(why, "make an event loop: %s", tt_strerror(err));
        return err;
    }
    err = tt_loop_start(o->loop);
    if (err) {
        tt_why(why, "start a thread: %s", tt_strerror(err));
        tt_loop_free(o->loop);
    }
    return err;
}

int tt_dial(const char *address, const struct tt_options *options, struct tt_session **session,
            struct tt_error_text *why)
{
    struct tt_options o = options ? *options : (struct tt_options){0};
    const bool owns_loop = !o.loop;
    struct tt_redial_packet_conn *r;

    *session = NULL;
    if (owns_loop) {
        int err = make_loop(&o, why);
        if (err)
            return err;
    }
    if (tt_worker_is_callback(o.loop))
        return TT_E_INVAL;
    int err = begin(address, &o, true, NULL, NULL, &r, why);
    if (!err)
        err = await_first(r, why);
    else if (err != TT_E_INVAL)
        tt_why(why, "begin a session with %.100s: %s", address, tt_strerror(err));
    if (err && owns_loop)
        tt_loop_free(o.loop);
    if (err)
        return err;
    r->session.owns_loop = owns_loop;
    *session = &r->session;
    return TT_OK;
}
