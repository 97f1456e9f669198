#include "tunnel/signals.h"

#include <signal.h>
#include <unistd.h>

#include "tunnel/service.h"
#include "tunnel/tunnel.h"

static const int numbers[TT_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

static void end(struct tt_signals *s)
{
    if (s->ends++ > 0 || s->over)
        _exit(TT_EXIT_FAILED);
    tt_service_notify(TT_SERVICE_STOPPING);
    if (s->server)
        tt_tunnel_server_drain(s->server);
    else if (!s->client)
        tt_context_over(s->context, TT_EXIT_FAILED);
    else
        tt_tunnel_client_stop(s->client,
                              s->context->options->stdio ? TT_EXIT_FAILED : TT_EXIT_DONE);
}

static void read_lists(struct tt_signals *s)
{
    tt_service_notify(TT_SERVICE_RELOADING);
    tt_context_read_lists(s->context);
    if (s->server)
        tt_tunnel_server_review_clients(s->server);
    tt_service_notify(TT_SERVICE_READY);
}

static void arrived(uv_signal_t *handle, int number)
{
    struct tt_signals *s = handle->data;
    tt_worker_turn(s->context->worker);
    if (number == SIGTERM || number == SIGINT)
        end(s);
    else if (s->over || (!s->server && !s->client))
        return;
    else if (number == SIGHUP)
        read_lists(s);
    else if (s->server)
        tt_tunnel_server_describe(s->server);
    else
        tt_tunnel_client_describe(s->client);
}

int tt_signals_begin(struct tt_signals *s)
{
    uv_loop_t *uv = &s->context->worker->uv;
    for (int i = 0; i < TT_SIGNALS; i++) {
        if (uv_signal_init(uv, &s->handles[i]) ||
            uv_signal_start(&s->handles[i], arrived, numbers[i]))
            return TT_E_SYSTEM;
        s->handles[i].data = s;
    }
    return TT_OK;
}

void tt_signals_over(struct tt_signals *s)
{
    const bool entered = tt_worker_enter(s->context->worker);
    s->over = true;
    tt_worker_leave(s->context->worker, entered);
}
