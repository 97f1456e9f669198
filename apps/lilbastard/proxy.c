#include "proxy.h"

#include "connection.h"
#include "listener.h"
#include "log.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

/* Measured with bulk on loopback: 64K and 128K cost a fifth more of the proxy's processor time,
 * 512K gains nothing.
 */
#define BUFFER_BYTES (256u << 10)

/* What is on its way waits here, so a delay needs room: this carries 160 MB/s over 100 ms. */
#define DELAYED_BUFFER_BYTES (16u << 20)

struct list {
    struct tt_lil_connection *first, *last;
    uint64_t count;
};

struct proxy {
    uv_loop_t loop;
    const struct tt_lil_options *options;
    struct tt_lil_world world;
    struct tt_lil_listener listener;
    struct addrinfo *listen_on, *upstream; /* owned */
    struct tt_lil_dump dump;
    uv_signal_t signals[2];
    struct list active; /* those that --max-connections counts */
    struct list silent; /* those that only stay open; bounded by the same number */
    uint64_t opened;
    bool full; /* the limit was reached, and that was printed */
    bool stopping;
};

static void list_append(struct list *list, struct tt_lil_connection *c)
{
    struct tt_lil_link *link = tt_lil_connection_link(c);

    *link = (struct tt_lil_link){.previous = list->last};
    if (list->last)
        tt_lil_connection_link(list->last)->next = c;
    else
        list->first = c;
    list->last = c;
    list->count++;
}

static void list_remove(struct list *list, struct tt_lil_connection *c)
{
    const struct tt_lil_link *link = tt_lil_connection_link(c);

    if (link->previous)
        tt_lil_connection_link(link->previous)->next = link->next;
    else
        list->first = link->next;
    if (link->next)
        tt_lil_connection_link(link->next)->previous = link->previous;
    else
        list->last = link->previous;
    list->count--;
}

/* Room, or a descriptor, has become free. */
static void go_on_accepting(struct proxy *p)
{
    if (p->stopping || !p->listener.paused || p->active.count >= p->options->max_connections)
        return;
    p->full = false;
    tt_lil_listener_resume(&p->listener);
}

static void stop_accepting_if_full(struct proxy *p)
{
    if (p->active.count < p->options->max_connections)
        return;
    if (!p->full)
        tt_lil_log("limit of %" PRIu64
                   " connections reached; new ones wait until others end (--max-connections)",
                   p->options->max_connections);
    p->full = true;
    tt_lil_listener_pause(&p->listener);
}

static void became_silent(struct proxy *p, struct tt_lil_connection *c)
{
    list_remove(&p->active, c);
    list_append(&p->silent, c);
    if (p->silent.count > p->options->max_connections) {
        tt_lil_log("#%" PRIu64 " dropped: %" PRIu64 " silent connections are open already",
                   tt_lil_connection_number(p->silent.first), p->options->max_connections);
        tt_lil_connection_drop(p->silent.first);
    }
    go_on_accepting(p);
}

static void happened(void *ctx, struct tt_lil_connection *c, enum tt_lil_connection_event event)
{
    struct proxy *p = ctx;

    switch (event) {
    case TT_LIL_OPENED:
        list_append(&p->active, c);
        stop_accepting_if_full(p);
        return;
    case TT_LIL_TERMINATED:
        if (p->options->refuse_us > 0)
            tt_lil_listener_refuse(&p->listener, p->options->refuse_us);
        return;
    case TT_LIL_SILENT:
        became_silent(p, c);
        return;
    case TT_LIL_GONE:
        list_remove(tt_lil_connection_is_silent(c) ? &p->silent : &p->active, c);
        go_on_accepting(p);
        return;
    }
}

static void accepted(void *ctx, int fd, const char *peer)
{
    struct proxy *p = ctx;
    tt_lil_connection_start(&p->world, fd, ++p->opened, peer);
}

static void stop(uv_signal_t *handle, int signal_number)
{
    struct proxy *p = handle->data;

    (void)signal_number;
    p->stopping = true;
    tt_lil_listener_close(&p->listener);
    while (p->active.first)
        tt_lil_connection_drop(p->active.first);
    while (p->silent.first)
        tt_lil_connection_drop(p->silent.first);
    uv_close((uv_handle_t *)&p->signals[0], NULL);
    uv_close((uv_handle_t *)&p->signals[1], NULL);
}

static void watch_signals(struct proxy *p)
{
    static const int numbers[] = {SIGINT, SIGTERM};

    signal(SIGPIPE, SIG_IGN); /* standard error may be a pipe that nobody reads any more */
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&p->loop, &p->signals[i]);
        p->signals[i].data = p;
        uv_signal_start(&p->signals[i], stop, numbers[i]);
    }
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int resolve(const char *what, const char *text, const struct tt_lil_endpoint *endpoint,
                   struct addrinfo **found)
{
    const char *why = tt_lil_endpoint_resolve(endpoint, found);

    if (why)
        tt_lil_log(
            "lilbastard: cannot resolve %s %.200s: %s; check the name, or give an IP address", what,
            text, why);
    return why ? -1 : 0;
}

static void init_world(struct proxy *p)
{
    const struct tt_lil_options *o = p->options;
    const size_t usual_bytes = o->delay_us > 0 ? DELAYED_BUFFER_BYTES : BUFFER_BYTES;

    p->world = (struct tt_lil_world){
        .loop = &p->loop,
        .options = o,
        .jitter = {.seed = o->seed, .percent = o->jitter_percent},
        .pool.buffer_bytes = o->buffer_bytes > 0 ? o->buffer_bytes : usual_bytes,
        .dump = &p->dump,
        .upstream = p->upstream,
        .happened = happened,
        .ctx = p,
    };
    if (!o->seed_given)
        uv_random(NULL, NULL, &p->world.jitter.seed, sizeof p->world.jitter.seed, 0, NULL);
}

static void announce(const struct proxy *p)
{
    char text[TT_LIL_ADDRESS_TEXT];
    const struct sockaddr *address = (const struct sockaddr *)&p->listener.address;

    tt_lil_log("listening on %s", tt_lil_address_text(address, p->listener.address_len, text));
    if (p->options->jitter_percent > 0)
        tt_lil_log("jitter seed %" PRIu64, p->world.jitter.seed);
}

static int open_dump(struct proxy *p)
{
    const struct tt_lil_options *o = p->options;
    const int err = o->dump_path ? tt_lil_dump_open(&p->dump, o->dump_path, o->dump_max_bytes) : 0;

    if (err < 0)
        tt_lil_log("lilbastard: cannot write --dump %.200s: %s; give a file in a folder that you "
                   "may write to",
                   o->dump_path, strerror(-err));
    return err;
}

/* Returns 0 when everything is ready for the loop, or -1 after saying why not. */
static int start(struct proxy *p)
{
    const struct tt_lil_options *o = p->options;
    char error[TT_LIL_LISTEN_ERROR_TEXT];

    if (resolve("LISTEN", o->listen_text, &o->listen, &p->listen_on) < 0 ||
        resolve("UPSTREAM", o->upstream_text, &o->upstream, &p->upstream) < 0 || open_dump(p) < 0)
        return -1;
    if (tt_lil_listener_open(&p->listener, &p->loop, p->listen_on, o->buffer_bytes, error) < 0) {
        tt_lil_log("lilbastard: %s", error);
        return -1;
    }
    raise_descriptor_limit();
    watch_signals(p);
    init_world(p);
    announce(p);
    tt_lil_listener_start(&p->listener, accepted, p);
    return 0;
}

int tt_lil_proxy_run(const struct tt_lil_options *options)
{
    struct proxy p = {.options = options, .dump.fd = -1};

    if (uv_loop_init(&p.loop) != 0) {
        tt_lil_log("lilbastard: cannot make an event loop; are there free file descriptors?");
        return -1;
    }
    int result = start(&p);
    uv_run(&p.loop, UV_RUN_DEFAULT);
    uv_loop_close(&p.loop);
    tt_lil_dump_close(&p.dump);
    tt_lil_pool_dispose(&p.world.pool);
    if (p.listen_on)
        freeaddrinfo(p.listen_on);
    if (p.upstream)
        freeaddrinfo(p.upstream);
    return result;
}
