/* The client's sessions: tt_dial and what follows from it. */
#include <stdio.h>
#include <string.h>

#include "core/encapsulation.h"
#include "net/address.h"
#include "net/redial_packet_conn.h"
#include "net/sealing.h"
#include "net/session.h"

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0)                                                                          \
            (field) = (value);                                                                     \
    } while (0)

struct client {
    struct tt_session session;        /* what the program holds */
    struct tt_endpoint_tuning tuning; /* of the endpoint */
    struct tt_client_keys keys;       /* of a sealed session */
    struct tt_endpoint endpoint;
    struct tt_redial_packet_conn redial;
    struct tt_options options;
    struct tt_ways ways;
    bool abandoned;             /* closed without waiting: frees itself */
    struct tt_chore chore;      /* to serve the session */
    struct tt_chore loop_chore; /* to begin to dial, later to free: the loop's thread */
    struct tt_chore leftover;   /* while abandoned: to be freed with the loop */
    struct tt_timer timer;      /* the endpoint's deadline, or the end of lingering */
    uint64_t linger_until_us;
};

static struct client *of_session(struct tt_session *s)
{
    return TT_CONTAINER_OF(s, struct client, session);
}

static struct client *of_redial(struct tt_redial_packet_conn *r)
{
    return TT_CONTAINER_OF(r, struct client, redial);
}

/* --- serving --- */

static void report(struct tt_redial_packet_conn *r, enum tt_report_kind kind, const char *detail,
                   uint64_t wait_us)
{
    const struct client *c = of_redial(r);
    if (!c->options.report)
        return;
    c->options.report(c->options.report_ctx, &(struct tt_report){
                                                 .kind = kind,
                                                 .session = c->session.id_text,
                                                 .address = c->ways.ways[r->way].text,
                                                 .detail = detail,
                                                 .number = r->connections,
                                                 .wait_us = wait_us,
                                             });
}

static void carrier_changed(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    struct client *c = of_redial(r);
    (void)now_us;
    c->session.connections = r->connections;
    c->session.dials_failed = r->dialing.failed;
    tt_worker_mark(c->session.worker, &c->chore);
}

/* A sealed session stands when the server is known to have it. */
static bool stands(const struct client *c)
{
    return c->endpoint.seal ? tt_sealed_is_confirmed(&c->endpoint) : c->redial.connections > 0;
}

static void tell_connected(struct client *c)
{
    struct tt_session *s = &c->session;
    if (c->redial.first_error)
        tt_worker_wake_all(s->worker, &s->change_waiters);
    if (s->connected || !stands(c))
        return;
    s->connected = true;
    tt_session_id_format(s->id_text, &c->endpoint.config.id);
    tt_worker_wake_all(s->worker, &s->change_waiters);
    if (s->callbacks.connected)
        s->callbacks.connected(s->callbacks_ctx, s);
}

static void rearm(struct client *c)
{
    uint64_t deadline_us = tt_endpoint_deadline(&c->endpoint);
    if (c->abandoned)
        deadline_us = tt_min_u64(deadline_us, c->linger_until_us);
    tt_timer_set(c->session.worker, &c->timer, deadline_us);
}

static bool done_lingering(const struct client *c, uint64_t now_us)
{
    return c->endpoint.error || tt_endpoint_is_over(&c->endpoint) || now_us >= c->linger_until_us ||
           c->redial.connections == 0;
}

static void destroy(struct client *c)
{
    struct tt_loop *w = c->session.worker;
    tt_redial_packet_conn_dispose(&c->redial);
    tt_timer_dispose(w, &c->timer);
    tt_list_remove(&c->chore.node);
    tt_list_remove(&c->loop_chore.node);
    tt_list_remove(&c->leftover.node);
    tt_endpoint_dispose(&c->endpoint);
    tt_session_dispose(&c->session);
    tt_crypto_wipe(&c->keys, sizeof c->keys);
    tt_ways_dispose(&c->ways, w->alloc);
    w->alloc->put(w->alloc->ctx, c);
}

static void destroy_chore(struct tt_chore *chore, uint64_t now_us)
{
    (void)now_us;
    destroy(TT_CONTAINER_OF(chore, struct client, loop_chore));
}

static void destroy_leftover(struct tt_chore *chore, uint64_t now_us)
{
    (void)now_us;
    destroy(TT_CONTAINER_OF(chore, struct client, leftover));
}

static void serve(struct tt_chore *chore, uint64_t now_us)
{
    struct client *c = TT_CONTAINER_OF(chore, struct client, chore);
    if (c->endpoint.error && c->redial.state != TT_REDIAL_STOPPED) {
        report(&c->redial, TT_REPORT_SESSION_ENDED, tt_strerror(c->endpoint.error), 0);
        tt_redial_packet_conn_stop(&c->redial, now_us);
    }
    if (c->abandoned && done_lingering(c, now_us)) {
        c->loop_chore.run = destroy_chore;
        tt_worker_mark_for_loop(c->session.worker, &c->loop_chore);
        return;
    }
    tell_connected(c);
    tt_session_serve(&c->session, now_us);
    tt_redial_packet_conn_review(&c->redial, now_us);
    rearm(c); /* a callback may have closed the session, but it is still there */
}

/* For callbacks alone: as at a server. */
static void serve_now(struct tt_redial_packet_conn *r, uint64_t now_us)
{
    struct client *c = of_redial(r);
    if (!c->chore.calls_back || !tt_worker_is_own_turn(c->session.worker))
        return;
    tt_list_remove(&c->chore.node);
    serve(&c->chore, now_us);
}

static void timer_due(struct tt_timer *timer, uint64_t now_us)
{
    struct client *c = TT_CONTAINER_OF(timer, struct client, timer);
    (void)tt_endpoint_handle_timeout(&c->endpoint, now_us);
    tt_worker_mark(c->session.worker, &c->chore);
}

static void touch(struct tt_session *s, uint64_t now_us)
{
    (void)tt_endpoint_touched(s->endpoint, now_us);
    tt_worker_mark(s->worker, &of_session(s)->chore);
}

static struct tt_chore *chore_of(struct tt_session *s)
{
    return &of_session(s)->chore;
}

/* --- closing --- */

/* The loop's thread frees, since handles are closed; the thread that closed the session waits. */
struct ending {
    struct tt_chore chore;
    struct client *client;
    struct tt_list waiters;
};

static void destroy_for(struct tt_chore *chore, uint64_t now_us)
{
    struct ending *e = TT_CONTAINER_OF(chore, struct ending, chore);
    struct tt_loop *w = e->client->session.worker;
    (void)now_us;
    destroy(e->client);
    e->client = NULL;
    tt_worker_wake_all(w, &e->waiters);
}

static void destroy_and_wait(struct client *c)
{
    struct tt_loop *w = c->session.worker;
    struct ending e = {.chore = {.run = destroy_for}, .client = c};
    tt_list_init(&e.waiters);
    tt_worker_mark_for_loop(w, &e.chore);
    while (e.client)
        (void)tt_worker_wait(w, &e.waiters, TT_NEVER);
}

static void abandon(struct client *c)
{
    c->abandoned = true;
    c->leftover.run = destroy_leftover;
    tt_list_push_back(&c->session.worker->leftovers, &c->leftover.node);
}

/* the server need not keep for ten minutes what will never be asked for again. */
static void say_goodbye(struct client *c)
{
    tt_endpoint_abort(&c->endpoint);
    tt_session_flush(&c->endpoint, tt_worker_now_us());
}

static int close_session(struct tt_session *s, bool may_wait)
{
    struct client *c = of_session(s);
    struct tt_loop *w = s->worker;

    c->linger_until_us = tt_deadline_after(tt_worker_now_us(), s->linger_us);
    tt_worker_mark(w, &c->chore);
    if (!may_wait || !tt_worker_runs_elsewhere(w)) {
        abandon(c);
        return TT_OK;
    }
    while (!done_lingering(c, tt_worker_now_us()))
        (void)tt_worker_wait(w, &s->change_waiters, c->linger_until_us);
    s->all_arrived |= tt_endpoint_data_arrived(&c->endpoint);
    int err = tt_session_end_result(s);
    if (!c->endpoint.error && !tt_endpoint_settled(&c->endpoint))
        err = TT_E_TIMEOUT;
    say_goodbye(c);
    destroy_and_wait(c);
    return err;
}

static void network_changed(struct tt_session *s, uint64_t now_us)
{
    struct client *c = of_session(s);
    tt_endpoint_network_changed(&c->endpoint, now_us);
    tt_dialing_forget(&c->redial.dialing);
    tt_worker_mark(s->worker, &c->chore);
}

static const struct tt_session_side client_side = {
    .touch = touch, .chore = chore_of, .network_changed = network_changed, .close = close_session};

/* --- making one --- */

static void fill_in_defaults(struct tt_options *o)
{
    DEFAULT(o->smux_version, 2);
    DEFAULT(o->session_timeout_us, 600 * TT_SECOND);
    DEFAULT(o->linger_us, 5 * TT_SECOND);
    DEFAULT(o->dial_timeout_us, 10 * TT_SECOND);
    DEFAULT(o->redial_first_us, 50 * TT_MS);
    DEFAULT(o->redial_most_us, 2 * TT_SECOND);
    DEFAULT(o->max_packet, TT_ENCAP_MAX_PACKET);
    DEFAULT(o->carriers, 1);
}

/* Keys are the object's own from now on: those of the options may go. */
static int init_seal(struct client *c, struct tt_loop *w, struct tt_seal **seal)
{
    if (!c->options.server_key)
        return TT_OK;
    const int err = tt_sealing_client_keys(w, &c->options, &c->keys);
    c->options.server_key = c->options.private_key = NULL;
    return err ? err : tt_seal_new_client(seal, w->sealer, &c->keys, w->alloc);
}

static int init_endpoint(struct client *c, struct tt_loop *w)
{
    struct tt_endpoint_config config = {.tuning = &c->tuning,
                                        .client = true,
                                        .smux_version = (uint8_t)c->options.smux_version,
                                        .slabs = &w->slabs,
                                        .hash_key = w->hash_key,
                                        .alloc = w->alloc};
    tt_endpoint_tuning_default(&c->tuning);
    c->tuning.session_timeout_us = c->options.session_timeout_us;
    tt_session_tune(&c->tuning, &c->options);
    int err = tt_session_id_generate(&config.id, &tt_worker_random);
    if (!err)
        err = tt_worker_random.fill(NULL, &config.conv, sizeof config.conv);
    if (!err)
        err = init_seal(c, w, &config.seal);
    if (config.seal)
        config.conv = 0; /* M-13 */
    if (!err)
        err = tt_endpoint_init(&c->endpoint, &config, tt_worker_now_us());
    return err;
}

static int init_redial(struct client *c, struct tt_loop *w)
{
    c->redial = (struct tt_redial_packet_conn){
        .worker = w,
        .endpoint = &c->endpoint,
        .options = &c->options,
        .ways = &c->ways,
        .changed = carrier_changed,
        .serve = serve_now,
        .report = report,
    };
    return tt_redial_packet_conn_init(&c->redial);
}

/* All that may fail. */
static int set_up(struct client *c, struct tt_loop *w)
{
    int err = init_endpoint(c, w);
    if (err)
        return err;
    err = init_redial(c, w);
    if (!err) {
        err = tt_timer_init(w, &c->timer, timer_due);
        if (err)
            tt_redial_packet_conn_dispose(&c->redial);
    }
    if (err)
        tt_endpoint_dispose(&c->endpoint);
    return err;
}

static void begin_to_dial(struct tt_chore *chore, uint64_t now_us)
{
    tt_redial_packet_conn_begin(&TT_CONTAINER_OF(chore, struct client, loop_chore)->redial, now_us);
}

static int check(const struct tt_options *options, struct tt_error_text *why)
{
    if (options->smux_version > 2) {
        tt_why(why, "smux version %u: only 1 and 2 exist", options->smux_version);
        return TT_E_INVAL;
    }
    if (options->private_key && !options->server_key) {
        tt_why(why, "a key of our own, but not the server's: sealed sessions need that");
        return TT_E_INVAL;
    }
    return tt_session_check(options, options->server_key != NULL, why);
}

/* Makes it on the options' loop, and begins to dial. */
static int begin(const char *address_text, const struct tt_options *options, bool fail_fast,
                 const struct tt_session_callbacks *callbacks, void *ctx, struct client **made,
                 struct tt_error_text *why)
{
    struct tt_loop *w = options->loop;
    int err = check(options, why);
    if (err)
        return err;
    const bool entered = tt_worker_enter(w);
    struct client *c = w->alloc->get(w->alloc->ctx, sizeof *c);
    err = c ? TT_OK : TT_E_NOMEM;
    if (!err) {
        *c = (struct client){
            .options = *options, .chore = {.run = serve}, .loop_chore = {.run = begin_to_dial}};
        fill_in_defaults(&c->options);
        err = tt_ways_init(&c->ways, address_text, &c->options, w->alloc, why);
        c->options.also = NULL; /* they were copied */
    }
    if (!err)
        err = set_up(c, w);
    if (!err) {
        tt_session_init(&c->session, w, &c->endpoint, &client_side, c->options.linger_us);
        if (callbacks)
            c->session.callbacks = *callbacks;
        c->session.callbacks_ctx = ctx;
        if (callbacks)
            tt_session_calls_back(&c->session);
        c->redial.fail_fast = fail_fast;
        tt_worker_mark_for_loop(w, &c->loop_chore);
        tt_worker_mark(w, &c->chore);
        *made = c;
    } else {
        if (c) {
            tt_crypto_wipe(&c->keys, sizeof c->keys);
            tt_ways_dispose(&c->ways, w->alloc);
            w->alloc->put(w->alloc->ctx, c);
        }
        if (err != TT_E_INVAL) /* which says more */
            tt_why(why, "begin a session with %.100s: %s", address_text, tt_strerror(err));
    }
    tt_worker_leave(w, entered);
    return err;
}

int tt_session_begin(const char *address, const struct tt_options *options,
                     const struct tt_session_callbacks *callbacks, void *ctx,
                     struct tt_session **session, struct tt_error_text *why)
{
    struct client *c;
    *session = NULL;
    if (!options || !options->loop) {
        tt_why(why, "a session with callbacks needs options.loop");
        return TT_E_INVAL;
    }
    int err = begin(address, options, false, callbacks, ctx, &c, why);
    if (!err)
        *session = &c->session;
    return err;
}

/* The first dial: until it stands or has failed. */
static int await_first(struct client *c, struct tt_error_text *why)
{
    struct tt_session *s = &c->session;
    struct tt_loop *w = s->worker;
    const bool entered = tt_worker_enter(w);
    while (!s->connected && !c->redial.first_error)
        (void)tt_worker_wait(w, &s->change_waiters, TT_NEVER);
    const int err = s->connected ? TT_OK : c->redial.first_error;
    if (err) {
        tt_why(why, "%s", c->redial.why.text);
        destroy_and_wait(c);
    } else {
        c->redial.fail_fast = false;
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
    struct client *c;
    int err = TT_OK;

    *session = NULL;
    if (owns_loop)
        err = make_loop(&o, why);
    else if (tt_worker_must_not_wait(o.loop))
        err = TT_E_INVAL;
    if (err)
        return err;
    err = begin(address, &o, true, NULL, NULL, &c, why);
    if (!err)
        err = await_first(c, why);
    if (err) {
        if (owns_loop)
            tt_loop_free(o.loop);
        return err;
    }
    c->session.owns_loop = owns_loop;
    *session = &c->session;
    return TT_OK;
}
