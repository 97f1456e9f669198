#include "tunnel/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/door.h"
#include "tunnel/open_stream.h"

struct remote {
    struct tt_list_node node;
    struct tt_remote_host host;
    struct tt_stream *stream; /* that asked for it */
    struct tt_door door;
    uint16_t number;
};

static void dispose(struct remote *r)
{
    tt_list_remove(&r->node);
    tt_door_dispose(&r->door);
    tt_alloc_malloc.put(NULL, r);
}

void tt_remote_abort_all(struct tt_list *remotes, uint32_t code)
{
    struct tt_list_node *node;
    while ((node = tt_list_first(remotes)) != NULL) {
        struct remote *r = TT_CONTAINER_OF(node, struct remote, node);
        tt_stream_reset(r->stream, code);
        dispose(r);
    }
}

static void guest(struct tt_door *door, int fd)
{
    struct remote *r = TT_CONTAINER_OF(door, struct remote, door);
    const struct tt_target target = {.kind = TT_TARGET_ARRIVED, .number = r->number};
    struct tt_stream *stream;
    if (tt_open_stream(r->host.session, &target, &stream)) {
        tt_close_with_reset(fd);
        return;
    }
    (void)tt_splice_begin(&(struct tt_splice_config){.worker = r->host.worker,
                                                     .list = r->host.splices,
                                                     .stream = stream,
                                                     .in_fd = fd,
                                                     .out_fd = fd,
                                                     .awaits_status = true,
                                                     .ended = r->host.splice_ended,
                                                     .ctx = r->host.ctx});
}

/* The client says nothing more: what comes is its end. */
static void stream_readable(void *ctx, struct tt_stream *st)
{
    struct remote *r = ctx;
    uint8_t byte;
    size_t len;
    if (tt_stream_try_read(st, &byte, 1, &len) == TT_E_AGAIN)
        return;
    tt_stream_reset(st, TT_RESET_NONE);
    dispose(r);
}

static const struct tt_stream_callbacks callbacks = {.readable = stream_readable};

static uint16_t port_of(const struct tt_door *door)
{
    return (uint16_t)strtoul(strrchr(door->address_text, ':') + 1, NULL, 10);
}

/* F-15: the status and the port. */
static int answer(const struct remote *r)
{
    uint8_t bytes[3] = {TT_TARGET_CONNECTED};
    size_t taken;
    tt_put_be16(bytes + 1, port_of(&r->door));
    return tt_stream_try_write(r->stream, bytes, sizeof bytes, &taken);
}

static int listen_for(struct remote *r, const struct tt_target *target)
{
    char address[TT_TARGET_HOST + 16];
    const char *host = target->host[0] ? target->host : "0.0.0.0";
    const bool is_v6 = strchr(host, ':') != NULL;
    (void)snprintf(address, sizeof address, "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
                   target->port);
    int err = tt_door_bind(&r->door, address, NULL);
    if (err)
        return err;
    err = answer(r);
    if (err)
        tt_door_dispose(&r->door);
    return err;
}

static unsigned length(const struct tt_list *list)
{
    unsigned n = 0;
    TT_LIST_FOR_EACH(node, list)
    {
        n++;
    }
    return n;
}

uint32_t tt_remote_begin(const struct tt_remote_host *host, struct tt_stream *stream,
                         const struct tt_target *target)
{
    const bool too_many = length(host->remotes) >= TT_MOST_REMOTES;
    struct remote *r = too_many ? NULL : tt_alloc_malloc.get(NULL, sizeof *r);
    int err = r ? TT_OK : TT_E_NOMEM;
    if (!err) {
        *r = (struct remote){.host = *host,
                             .stream = stream,
                             .number = target->number,
                             .door = {.worker = host->worker, .guest = guest}};
        err = listen_for(r, target);
    }
    if (err) {
        const uint32_t code = err == TT_E_ADDRESS ? TT_RESET_REFUSED : TT_RESET_LIMIT;
        if (r)
            tt_alloc_malloc.put(NULL, r);
        tt_stream_reset(stream, code);
        return code;
    }
    tt_list_push_back(host->remotes, &r->node);
    tt_stream_set_callbacks(stream, &callbacks, r);
    tt_door_open(&r->door);
    return TT_RESET_NONE;
}
