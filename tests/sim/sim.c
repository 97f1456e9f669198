#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define MAX_STEPS       20000000u
#define MAX_SAME_MOMENT 100000u /* steps without time passing: somebody spins */

/* --- dice --- */

/* SplitMix64. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t sim_below(struct sim *sim, uint64_t n)
{
    sim->dice += UINT64_C(0x9e3779b97f4a7c15);
    return mix(sim->dice) % n;
}

uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most)
{
    return least + sim_below(sim, most - least + 1);
}

bool sim_chance(struct sim *sim, unsigned percent)
{
    return sim_below(sim, 100) < percent;
}

/* --- memory: counted, and sometimes refused --- */

union block {
    size_t size;
    max_align_t align;
};

static bool refuse(struct sim *sim)
{
    const struct sim_profile *p = &sim->profile;
    if (!sim->refusing || p->refused_alloc == 0 || sim->refused_allocs >= p->most_refused)
        return false;
    sim->allocs++;
    if (sim->allocs < p->refused_alloc)
        return false;
    const uint64_t after = sim->allocs - p->refused_alloc;
    return p->refused_alloc_step ? after % p->refused_alloc_step == 0 : after == 0;
}

static void *get(void *ctx, size_t size)
{
    struct sim *sim = ctx;
    if (refuse(sim)) {
        sim->refused_allocs++;
        sim_note(sim, "refused", size, sim->allocs);
        return NULL;
    }
    union block *b = malloc(sizeof *b + size);
    if (!b)
        abort();
    b->size = size;
    sim->live_blocks++;
    sim->live_bytes += size;
    memset(b + 1, 0xa5, size); /* what is used without being written shows, and repeats */
    return b + 1;
}

static void put(void *ctx, void *mem)
{
    struct sim *sim = ctx;
    union block *b = (union block *)mem - 1;
    sim->live_blocks--;
    sim->live_bytes -= b->size;
    free(b);
}

/* --- what happened --- */

static void digest(struct sim *sim, uint64_t value)
{
    sim->digest = mix(sim->digest ^ value) + UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t hash_of(struct tt_span bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; bytes.len >= 8; tt_span_skip(&bytes, 8))
        hash = (hash ^ tt_get_le64(bytes.ptr)) * UINT64_C(0x100000001b3) ^ hash >> 29;
    for (; bytes.len > 0; tt_span_skip(&bytes, 1))
        hash = (hash ^ bytes.ptr[0]) * UINT64_C(0x100000001b3);
    return hash;
}

void sim_note(struct sim *sim, const char *what, uint64_t a, uint64_t b)
{
    digest(sim, sim->now_us);
    digest(sim, hash_of(tt_span_of(what, strlen(what))));
    digest(sim, a);
    digest(sim, b);
    if (sim->trace)
        fprintf(sim->trace, "{\"t_us\":%llu,\"what\":\"%s\",\"a\":%llu,\"b\":%llu}\n",
                (unsigned long long)sim->now_us, what, (unsigned long long)a,
                (unsigned long long)b);
}

void sim_note_bytes(struct sim *sim, const char *what, uint64_t a, struct tt_span bytes)
{
    digest(sim, hash_of(bytes));
    sim_note(sim, what, a, bytes.len);
}

void sim_require(struct sim *sim, bool holds, const char *what)
{
    if (holds)
        return;
    fflush(stdout);
    fprintf(stderr, "seed %llu, t = %llu us: %s\n", (unsigned long long)sim->seed,
            (unsigned long long)sim->now_us, what);
    if (sim->trace)
        fflush(sim->trace);
    if (sim->trace || !sim->failed)
        sim_describe(sim, stderr);
    if (sim->failed)
        longjmp(*sim->failed, 1);
    abort();
}

/* --- events --- */

void sim_at(struct sim *sim, uint64_t at_us, void (*run)(struct sim *sim, uint64_t arg),
            uint64_t arg)
{
    sim_require(sim, sim->event_count < SIM_MAX_EVENTS, "too many events are scheduled");
    unsigned i = sim->event_count++;
    for (; i > 0 && sim->events[i - 1].at_us <= at_us; i--)
        sim->events[i] = sim->events[i - 1];
    sim->events[i] = (struct sim_event){.at_us = at_us, .arg = arg, .run = run};
}

/* The next one is the last of the array. */
static uint64_t next_event_us(const struct sim *sim)
{
    return sim->event_count > 0 ? sim->events[sim->event_count - 1].at_us : TT_NEVER;
}

static void run_events(struct sim *sim)
{
    while (next_event_us(sim) <= sim->now_us) {
        const struct sim_event e = sim->events[--sim->event_count];
        e.run(sim, e.arg);
    }
}

/* --- the world --- */

void sim_profile_default(struct sim_profile *p)
{
    *p = (struct sim_profile){
        .clients = 1,
        .start_us = TT_SECOND,
        .smux_version = 2,
        .shape = {.kind = SIM_BYTES,
                  .latency_us = 10 * TT_MS,
                  .buffer_bytes = 256u << 10,
                  .most_a_write = 65536,
                  .most_a_read = 65536,
                  .max_packet = 1400},
        .pool_bytes = 64u << 20,
        .stall_us = 2 * TT_SECOND,
    };
    tt_endpoint_tuning_default(&p->client);
    tt_endpoint_tuning_default(&p->server);
}

static void *must_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

struct sim *sim_new(uint64_t seed, const struct sim_profile *profile)
{
    struct sim *sim = must_alloc(1, sizeof *sim);
    sim->seed = seed;
    sim->dice = mix(seed + 1);
    if (profile)
        sim->profile = *profile;
    else
        sim_profile_default(&sim->profile);
    sim->now_us = sim->profile.start_us;
    sim->alloc = (struct tt_alloc){.get = get, .put = put, .ctx = sim};
    tt_list_init(&sim->links);
    sim_sealing_start(sim);
    sim->clients = must_alloc(sim->profile.clients, sizeof *sim->clients);
    sim_server_start(sim);
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        sim->clients[i].number = i;
        sim_client_start(sim, &sim->clients[i]);
    }
    return sim;
}

static void stop_all(struct sim *sim)
{
    sim->refusing = false;
    for (unsigned i = 0; i < sim->profile.clients; i++)
        sim_client_stop(sim, &sim->clients[i]);
    sim_server_stop(sim);
    sim_bury_links(sim);
}

void sim_check_nothing_left(struct sim *sim)
{
    stop_all(sim);
    sim_require(sim, tt_list_empty(&sim->links), "a connection is left");
    sim_require(sim, sim->live_blocks == 0, "memory was not given back");
}

void sim_free(struct sim *sim)
{
    stop_all(sim);
    sim_sealing_stop(sim);
    sim_attacker_stop(sim);
    free(sim->clients);
    free(sim);
}

static uint64_t next_link_us(const struct sim *sim)
{
    uint64_t next_us = TT_NEVER;
    TT_LIST_FOR_EACH(node, &sim->links)
    {
        const struct sim_link *l = TT_CONTAINER_OF(node, struct sim_link, node);
        const struct sim_plug *plugs[] = {&l->at_client, &l->at_server};
        next_us = tt_min_u64(next_us, l->accept_us);
        for (unsigned i = 0; i < 2; i++) {
            if (!plugs[i]->open)
                continue;
            next_us = tt_min_u64(next_us, plugs[i]->learns_us);
            next_us = tt_min_u64(next_us, sim_pipe_next_us(plugs[i]->in));
            if (sim_plug_can_go_on(sim, plugs[i]))
                next_us = sim->now_us;
        }
    }
    return next_us;
}

static uint64_t next_us(const struct sim *sim)
{
    const uint64_t busy_until_us = sim->server.busy_until_us;
    uint64_t next = next_link_us(sim);
    for (unsigned i = 0; i < sim->profile.clients; i++)
        next = tt_min_u64(next, sim_client_next_us(sim, &sim->clients[i]));
    next = tt_min_u64(next, sim_server_next_us(sim));
    if (busy_until_us >
        sim->now_us) /* what is due at the server waits: a look every ms is enough */
        next = tt_min_u64(next > sim->now_us + TT_MS ? next : sim->now_us + TT_MS, busy_until_us);
    return tt_min_u64(next, next_event_us(sim));
}

static void step(struct sim *sim)
{
    sim_require(sim, ++sim->steps < MAX_STEPS, "too many steps: somebody spins");
    run_events(sim);
    for (unsigned i = 0; i < sim->profile.clients; i++)
        sim_client_turn(sim, &sim->clients[i]);
    sim_server_turn(sim);
    sim_bury_links(sim);
    sim_check_step(sim);
}

static bool never(const struct sim *sim)
{
    (void)sim;
    return false;
}

static bool all_done(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        if (!sim_talks_done(&sim->clients[i]))
            return false;
    }
    return true;
}

static bool all_settled(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        const struct sim_client *c = &sim->clients[i];
        if (!tt_endpoint_settled(&c->endpoint) ||
            (c->session && !tt_endpoint_settled(&c->session->endpoint)))
            return false;
    }
    return true;
}

static uint64_t on_tick(const struct sim *sim, uint64_t at_us)
{
    const uint64_t tick_us = sim->profile.tick_us;
    if (tick_us == 0 || at_us <= sim->now_us || at_us == TT_NEVER)
        return at_us;
    return (at_us + tick_us - 1) / tick_us * tick_us;
}

/* Returns whether the end came before that time. */
static bool run(struct sim *sim, uint64_t until_us, bool (*is_end)(const struct sim *sim))
{
    unsigned same_moment = 0;
    for (;;) {
        step(sim);
        if (is_end(sim))
            return true;
        const uint64_t next = on_tick(sim, next_us(sim));
        if (next > until_us) {
            sim->now_us = until_us;
            return false;
        }
        /* A deadline may be 0, at once, but not for ever. */
        same_moment = next <= sim->now_us ? same_moment + 1 : 0;
        sim_require(sim, same_moment < MAX_SAME_MOMENT, "time stands still: somebody spins");
        if (next > sim->now_us)
            sim->now_us = next;
    }
}

void sim_run_until(struct sim *sim, uint64_t until_us)
{
    run(sim, until_us, never);
}

void sim_run_talks(struct sim *sim, uint64_t until_us)
{
    sim_require(sim, run(sim, until_us, all_done), "the talks did not end in time");
}

void sim_run_settled(struct sim *sim, uint64_t until_us)
{
    sim_require(sim, run(sim, until_us, all_settled), "something is left to say");
}
