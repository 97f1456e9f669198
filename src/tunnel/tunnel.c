#include "tunnel/tunnel.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tunnel/check.h"
#include "tunnel/client.h"
#include "tunnel/context.h"
#include "tunnel/options.h"
#include "tunnel/process.h"
#include "tunnel/server.h"
#include "tunnel/service.h"
#include "tunnel/signals.h"

static int usage_error(const char *error)
{
    (void)fprintf(stderr, "turbotunnel: %s\n", error);
    return TT_EXIT_USAGE;
}

/* Ports are bound, keys are read: what is left needs no privilege. */
static int become_user(struct tt_context *c)
{
    const char *user = c->options->user;
    const char *why = user ? tt_process_become(user) : NULL;
    if (why)
        tt_log(&c->log, TT_LOG_ERROR, "user", "become user %s: %s", user, why);
    if (!c->options->allow_core_dumps)
        tt_process_hide_memory(); /* the system forgets that with another user */
    return why ? TT_E_SYSTEM : TT_OK;
}

/* Signals are caught before anybody is told that we are there. */
static int run_server(struct tt_context *c, struct tt_signals *signals)
{
    signals->server = tt_tunnel_server_begin(c);
    if (!signals->server)
        return TT_EXIT_FAILED;
    if (become_user(c) || tt_loop_start(c->worker))
        tt_context_over(c, TT_EXIT_FAILED);
    else
        tt_service_notify(TT_SERVICE_READY);
    tt_context_await(c);
    tt_signals_over(signals);
    tt_tunnel_server_end(signals->server);
    return c->status;
}

static int run_client(struct tt_context *c, struct tt_signals *signals)
{
    signals->client = tt_tunnel_client_begin(c);
    if (!signals->client)
        return TT_EXIT_FAILED;
    if (tt_loop_start(c->worker))
        tt_context_over(c, TT_EXIT_FAILED);
    else
        tt_service_notify(TT_SERVICE_READY);
    tt_context_await(c);
    tt_signals_over(signals);
    tt_tunnel_client_end(signals->client);
    return c->status;
}

static int run_check(struct tt_context *c, struct tt_signals *signals)
{
    struct tt_tunnel_check *check = tt_tunnel_check_begin(c);
    if (!check)
        return TT_EXIT_FAILED;
    if (tt_loop_start(c->worker))
        tt_context_over(c, TT_EXIT_FAILED);
    tt_context_await(c);
    tt_signals_over(signals);
    tt_tunnel_check_end(check);
    return c->status;
}

static int run_on_loop(struct tt_context *c)
{
    struct tt_signals signals = {.context = c};
    int status = TT_EXIT_FAILED;
    if (tt_signals_begin(&signals))
        tt_log(&c->log, TT_LOG_ERROR, "failed", "catch signals: %s", tt_strerror(TT_E_SYSTEM));
    else if (c->options->command == TT_COMMAND_SERVER)
        status = run_server(c, &signals);
    else if (c->options->command == TT_COMMAND_CHECK)
        status = run_check(c, &signals);
    else
        status = run_client(c, &signals);
    tt_loop_free(c->worker); /* with the signals' handles */
    return status;
}

static int run(struct tt_context *c)
{
    int status = TT_EXIT_FAILED;
    (void)signal(SIGPIPE, SIG_IGN);
    tt_process_raise_descriptor_limit();
    (void)sem_init(&c->over, 0, 0);
    const int err = tt_loop_new(&c->options->library, &c->worker);
    if (err)
        tt_log(&c->log, TT_LOG_ERROR, "failed", "make an event loop: %s", tt_strerror(err));
    else
        status = run_on_loop(c);
    tt_log_status(&c->log, "");
    return status;
}

static int check_and_run(struct tt_context *c)
{
    struct tt_error_text why;
    if (tt_tunnel_keys_load(&c->keys, c->options, &why)) {
        tt_log(&c->log, TT_LOG_ERROR, "key", "%s", why.text);
        return TT_EXIT_FAILED;
    }
    if (c->options->check_config)
        return TT_EXIT_DONE;
    if (c->options->insecure)
        tt_log(
            &c->log, TT_LOG_ERROR, "insecure",
            "WARNING: --insecure: nothing is encrypted; anyone on the way can read and change all");
    return run(c);
}

static int run_with(const struct tt_tunnel_options *o, int argc, char **argv)
{
    struct tt_context c = {.options = o, .lists = o, .argc = argc, .argv = argv, .status = -1};
    c.log.json = o->json_log;
    c.log.live =
        o->command == TT_COMMAND_CLIENT && !o->json_log && !o->quiet && isatty(STDERR_FILENO);
    c.log.most = o->quiet || (o->command == TT_COMMAND_CHECK && !o->verbose) ? TT_LOG_ERROR
                 : o->verbose                                                ? TT_LOG_DETAIL
                                                                             : TT_LOG_NOTICE;
    const int status = check_and_run(&c);
    tt_context_dispose(&c);
    return status;
}

static int run_command(const struct tt_tunnel_options *o, int argc, char **argv)
{
    if (!o->allow_core_dumps)
        tt_process_hide_memory(); /* before a key is read */
    if (o->command == TT_COMMAND_KEYGEN)
        return tt_keygen(o->key);
    if (o->command == TT_COMMAND_PUBKEY)
        return tt_pubkey();
    return run_with(o, argc, argv);
}

int tt_tunnel_main(int argc, char **argv)
{
    struct tt_tunnel_options *o = calloc(1, sizeof *o);
    char error[TT_USAGE_TEXT];
    int status = TT_EXIT_DONE;
    if (!o)
        return TT_EXIT_FAILED;
    if (tt_tunnel_options_parse(o, argc, argv, error))
        status = usage_error(error);
    else if (o->help)
        tt_tunnel_options_print_help(stdout, o->command);
    else if (o->version)
        (void)puts("turbotunnel " TT_VERSION);
    else
        status = run_command(o, argc, argv);
    tt_tunnel_options_dispose(o);
    free(o);
    return status;
}
