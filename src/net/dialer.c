#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "carrier/tcp.h"
#include "net/dialer.h"
#include "net/resolve.h"

/* A socket that will become writable. It outlives its dialer by the turn that libuv needs to close
 * it. */
struct tt_attempt {
    uv_poll_t poll;
    struct tt_dialer *dialer; /* NULL: given up */
    struct tt_loop *worker;
    int fd;
};

/* --- one address --- */

static void try_address(struct tt_dialer *d, uint64_t now_us);

static void fail(struct tt_dialer *d, uint64_t now_us, int err, const char *what, const char *why)
{
    d->busy = false;
    d->failed(d, now_us, err, what, why);
}

static void free_attempt(uv_handle_t *handle)
{
    struct tt_attempt *a = handle->data;
    tt_worker_turn(a->worker);
    a->worker->alloc->put(a->worker->alloc->ctx, a);
}

/* Gives the attempt's descriptor to the caller, and the rest up. */
static int take_attempt(struct tt_dialer *d)
{
    struct tt_attempt *a = d->attempt;
    const int fd = a->fd;
    d->attempt = NULL;
    a->dialer = NULL;
    uv_close((uv_handle_t *)&a->poll, free_attempt);
    return fd;
}

static void try_next_address(struct tt_dialer *d, uint64_t now_us, int err)
{
    if (err != -EPERM || d->os_error == 0) /* an address that was tried says more */
        d->os_error = -err;
    if (d->next->ai_next) {
        d->next = d->next->ai_next;
        try_address(d, now_us);
        return;
    }
    d->next = d->found;
    fail(d, now_us, TT_E_UNREACHABLE, "connect to", strerror(d->os_error));
}

static void attempt_done(struct tt_dialer *d, uint64_t now_us, int err)
{
    const int fd = take_attempt(d);
    tt_timer_set(d->worker, &d->timer, TT_NEVER);
    if (!err) {
        d->busy = false;
        d->took_us = now_us - d->begun_us;
        d->connected(d, now_us, fd);
        return;
    }
    close(fd);
    try_next_address(d, now_us, err);
}

static void attempt_ready(uv_poll_t *handle, int status, int events)
{
    struct tt_attempt *a = handle->data;
    (void)events;
    if (!a->dialer)
        return;
    tt_worker_turn(a->dialer->worker);
    const int err = tt_tcp_connect_result(a->fd);
    attempt_done(a->dialer, tt_worker_now_us(), err ? err : status);
}

static void timer_due(struct tt_timer *timer, uint64_t now_us)
{
    struct tt_dialer *d = TT_CONTAINER_OF(timer, struct tt_dialer, timer);
    if (d->attempt)
        attempt_done(d, now_us, -ETIMEDOUT);
}

static int watch(struct tt_dialer *d, int fd)
{
    const struct tt_alloc *alloc = d->worker->alloc;
    struct tt_attempt *a = alloc->get(alloc->ctx, sizeof *a);
    if (!a)
        return -ENOMEM;
    *a = (struct tt_attempt){.dialer = d, .worker = d->worker, .fd = fd};
    const int err = uv_poll_init(&d->worker->uv, &a->poll, fd);
    if (err) {
        alloc->put(alloc->ctx, a);
        return err;
    }
    a->poll.data = a;
    (void)uv_poll_start(&a->poll, UV_WRITABLE, attempt_ready);
    d->attempt = a;
    return 0;
}

static void try_address(struct tt_dialer *d, uint64_t now_us)
{
    int fd;
    d->begun_us = now_us;
    int err = d->allows && !d->allows(d, d->next->ai_addr) ? -EPERM : TT_OK;
    if (!err)
        err = tt_tcp_connect_begin(d->next->ai_addr, d->next->ai_addrlen, &fd);
    if (!err) {
        err = watch(d, fd);
        if (err)
            close(fd);
    }
    if (err)
        try_next_address(d, now_us, err);
    else
        tt_timer_set(d->worker, &d->timer, tt_deadline_after(now_us, d->timeout_us));
}

/* --- names --- */

static void forget_addresses(struct tt_dialer *d)
{
    if (d->found == &d->path.info)
        d->found = NULL; /* ours */
    else if (d->found && d->found_by_uv)
        uv_freeaddrinfo(d->found);
    else if (d->found)
        freeaddrinfo(d->found);
    d->found = NULL;
    d->next = NULL;
}

static void use_addresses(struct tt_dialer *d, struct addrinfo *found, bool by_uv, uint64_t now_us)
{
    d->found = found;
    d->next = found;
    d->found_by_uv = by_uv;
    try_address(d, now_us);
}

static void resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct tt_dialer *d = request->data;
    tt_alloc_malloc.put(NULL, request);
    if (!d) { /* it is gone */
        uv_freeaddrinfo(found);
        return;
    }
    tt_worker_turn(d->worker);
    d->resolving = NULL;
    if (status)
        fail(d, tt_worker_now_us(), TT_E_RESOLVE, "resolve", uv_strerror(status));
    else
        use_addresses(d, found, true, tt_worker_now_us());
}

static void resolve_name(struct tt_dialer *d, uint64_t now_us)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    /* It may outlive the dialer and its allocator. */
    uv_getaddrinfo_t *request = tt_alloc_malloc.get(NULL, sizeof *request);
    if (!request) {
        fail(d, now_us, TT_E_NOMEM, "resolve", tt_strerror(TT_E_NOMEM));
        return;
    }
    request->data = d;
    const int err =
        uv_getaddrinfo(&d->worker->uv, request, resolved, d->address.host, d->address.port, &hints);
    if (err) {
        tt_alloc_malloc.put(NULL, request);
        fail(d, now_us, TT_E_RESOLVE, "resolve", uv_strerror(err));
        return;
    }
    d->resolving = request;
}

/* --- the whole --- */

int tt_dialer_init(struct tt_dialer *d, struct tt_loop *w)
{
    d->worker = w;
    return tt_timer_init(w, &d->timer, timer_due);
}

void tt_dialer_set_address(struct tt_dialer *d, const struct tt_address *address)
{
    forget_addresses(d);
    d->address = *address;
}

void tt_dialer_begin(struct tt_dialer *d, uint64_t now_us, bool anew)
{
    struct addrinfo *found;
    d->busy = true;
    d->os_error = 0;
    if (d->found && d->found_by_uv && anew)
        forget_addresses(d);
    if (d->address.is_path) {
        tt_resolve_path(&d->address, &d->path);
        d->found = NULL;
        use_addresses(d, &d->path.info, false, now_us);
    } else if (d->found)
        try_address(d, now_us);
    else if (tt_resolve_numeric(&d->address, false, &found) == 0)
        use_addresses(d, found, false, now_us);
    else
        resolve_name(d, now_us);
}

void tt_dialer_stop(struct tt_dialer *d)
{
    d->busy = false;
    tt_timer_set(d->worker, &d->timer, TT_NEVER);
    if (d->attempt)
        close(take_attempt(d));
    if (d->resolving) {
        d->resolving->data = NULL;
        (void)uv_cancel((uv_req_t *)d->resolving);
        d->resolving = NULL;
    }
}

void tt_dialer_dispose(struct tt_dialer *d)
{
    tt_dialer_stop(d);
    forget_addresses(d);
    tt_timer_dispose(d->worker, &d->timer);
}
