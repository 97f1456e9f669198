#include "tunnel/context.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* 0, or -1: what is wrong is in error. The private key stays: listeners have a copy of it, and whom
 * we have become (--user) need not be able to read it.
 */
static int read_again(struct tt_context *c, struct tt_tunnel_options *o, char error[TT_USAGE_TEXT])
{
    struct tt_key_list clients = {NULL, 0};
    struct tt_error_text why;
    if (tt_tunnel_options_parse(o, c->argc, c->argv, error))
        return -1;
    if (o->authorized_clients && tt_key_list_load(&clients, o->authorized_clients, &why)) {
        (void)snprintf(error, TT_USAGE_TEXT, "%s", why.text);
        return -1;
    }
    if (!c->keys.has_clients != !o->authorized_clients) {
        tt_key_list_dispose(&clients);
        (void)snprintf(error, TT_USAGE_TEXT, "--authorized-clients is new or gone: start again");
        return -1;
    }
    tt_key_list_dispose(&c->keys.clients);
    c->keys.clients = clients;
    return 0;
}

static void free_options(struct tt_tunnel_options *o)
{
    if (o)
        tt_tunnel_options_dispose(o);
    free(o);
}

void tt_context_read_lists(struct tt_context *c)
{
    char error[TT_USAGE_TEXT] = "no memory";
    struct tt_tunnel_options *o = calloc(1, sizeof *o);
    if (!o || read_again(c, o, error)) {
        tt_log(&c->log, TT_LOG_ERROR, "reload_failed", "the lists stay as they were: %s", error);
        free_options(o);
        return;
    }
    free_options(c->reread);
    c->reread = o;
    c->lists = o;
    tt_log(&c->log, TT_LOG_NOTICE, "reloaded",
           "lists read again: %zu rules of --allow, %zu of --allow-remote, %zu clients' keys",
           o->allow.count, o->allow_remote.count, c->keys.clients.count);
}

void tt_context_dispose(struct tt_context *c)
{
    free_options(c->reread);
    tt_tunnel_keys_dispose(&c->keys);
}

/* A server that is away for hours is told of once, not at each try. */
static void dial_failed(struct tt_context *c, const struct tt_report *r)
{
    char text[TT_ERROR_TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%s: %s", r->address, r->detail);
    const bool told = strcmp(text, c->last_failure) == 0;
    (void)snprintf(c->last_failure, sizeof c->last_failure, "%s", text);
    tt_log(&c->log, told ? TT_LOG_DETAIL : TT_LOG_NOTICE, "dial_failed",
           "connect to %s; next try in %" PRIu64 " ms", text, r->wait_us / TT_MS);
}

void tt_context_report(void *context, const struct tt_report *r)
{
    struct tt_context *c = context;
    tt_tally_report(&c->tally, r, tt_worker_now_us());
    if (r->kind == TT_REPORT_DIAL_FAILED) {
        dial_failed(c, r);
        return;
    }
    if (r->kind == TT_REPORT_CONNECTED) {
        c->last_failure[0] = '\0';
        (void)snprintf(c->peer, sizeof c->peer, "%s", r->address);
    }
    tt_log(&c->log, r->kind == TT_REPORT_REFUSED ? TT_LOG_NOTICE : TT_LOG_DETAIL, "carrier",
           "%s: %s%s%s%s%s", r->address, tt_report_name(r->kind), r->detail[0] ? ": " : "",
           r->detail, r->session[0] ? ", session " : "", r->session);
}

/* By the list as it is now: it may be read again. */
static bool is_authorized(void *ctx, const uint8_t client_key[TT_KEY_BYTES])
{
    const struct tt_context *c = ctx;
    return tt_key_list_has(&c->keys.clients, client_key);
}

static void add_keys(struct tt_context *c, struct tt_options *o)
{
    const struct tt_tunnel_keys *k = &c->keys;
    if (k->has_private)
        o->private_key = k->private_key;
    if (c->options->command != TT_COMMAND_SERVER) {
        o->server_key = k->server_key;
        return;
    }
    o->instance = k->instance;
    o->welcome = k->has_clients ? is_authorized : NULL;
    o->welcome_ctx = c;
}

struct tt_options tt_context_library(struct tt_context *c)
{
    struct tt_options o = c->options->library;
    o.loop = c->worker;
    o.report = tt_context_report;
    o.report_ctx = c;
    if (!c->options->insecure)
        add_keys(c, &o);
    return o;
}
