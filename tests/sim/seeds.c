#include "sim.h"

#include <stdlib.h>

/* --- what happens to connections --- */

/* One throw of the dice a statement, here as everywhere: C does not order the parts of an
 * expression, and a seed is to be the same run with every compiler.
 */
static struct sim_cut random_cut(struct sim *sim)
{
    const uint64_t most_us = sim->profile.may_time_out ? TT_SECOND : 20 * TT_MS;
    struct sim_cut cut;
    cut.client_learns_us = sim_below(sim, most_us);
    cut.server_learns_us = sim_below(sim, most_us);
    cut.in_flight_arrives = sim_chance(sim, 50);
    if (sim->profile.may_time_out && sim_chance(sim, 30))
        cut.server_learns_us = TT_NEVER;
    return cut;
}

void sim_cut_randomly(struct sim *sim, uint64_t arg)
{
    struct sim_client *c = &sim->clients[arg];
    if (c->link)
        sim_link_cut(sim, c->link, random_cut(sim));
}

void sim_freeze_randomly(struct sim *sim, uint64_t arg)
{
    struct sim_client *c = &sim->clients[arg];
    const uint64_t which = 1 + sim_below(sim, 3);
    if (c->link)
        sim_link_freeze(sim, c->link, which & 1, which & 2);
}

void sim_begin_outage(struct sim *sim, uint64_t duration_us)
{
    sim->outage_until_us = sim->now_us + duration_us;
    sim_note(sim, "outage", duration_us, 0);
    for (unsigned i = 0; i < sim->profile.clients; i++)
        sim_cut_randomly(sim, i);
}

static void redial(struct sim *sim, uint64_t arg)
{
    if (sim->clients[arg].running)
        sim_client_redial(sim, &sim->clients[arg]);
}

static void move(struct sim *sim, uint64_t arg)
{
    if (sim->clients[arg].running)
        sim_client_moves(sim, &sim->clients[arg]);
}

/* --- what a run is like --- */

static uint32_t pick(struct sim *dice, const uint32_t *from, unsigned count)
{
    return from[sim_below(dice, count)];
}
#define PICK(dice, ...)                                                                            \
    pick(dice, (const uint32_t[]){__VA_ARGS__},                                                    \
         sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void pick_tuning(struct sim *dice, struct tt_endpoint_tuning *t)
{
    t->snd_wnd = PICK(dice, 1, 4, 32, 128, 1024, 4096);
    t->rcv_wnd_first = PICK(dice, 32, 32, 128); /* what a peer takes for granted, or more */
    t->rcv_wnd = t->rcv_wnd_first + PICK(dice, 0, 0, 100, 4000);
    t->max_frame = PICK(dice, 1, 100, 1368, 8192, 32768, 64664, 65535);
    t->max_receive_buffer = PICK(dice, 4096, 65536, 1u << 20, 4u << 20);
    t->max_stream_buffer = PICK(dice, 1024, 16384, 65536, 1u << 20);
    if (t->max_stream_buffer > t->max_receive_buffer)
        t->max_stream_buffer = t->max_receive_buffer;
    t->max_send_buffer = PICK(dice, 1, 1000, 65536, 256u << 10);
    t->accept_backlog = PICK(dice, 1, 8, 1024);
    t->nodelay = sim_chance(dice, 70);
    t->interval_ms = PICK(dice, 10, 10, 50, 100);
    t->nocwnd = sim_chance(dice, 80);
}

/* What only a client decides. */
static void pick_carriers(struct sim *dice, struct sim_profile *p)
{
    struct tt_endpoint_tuning *t = &p->client;
    t->carriers = PICK(dice, 1, 1, 1, 1, 2, 3, 4);
    t->standby = PICK(dice, 0, 0, 0, 1);
    t->learn_limits = sim_chance(dice, 70);
    if (sim_chance(dice, 25))
        t->carrier_max_bytes = PICK(dice, 8192, 20000, 100000);
    if (sim_chance(dice, 15))
        t->carrier_max_age_us = PICK(dice, 300, 1000, 5000) * TT_MS;
    if (sim_chance(dice, 10))
        t->carrier_idle_us = PICK(dice, 1000, 5000) * TT_MS;
}

/* Somebody counts the bytes of each connection. */
static void pick_limit(struct sim *dice, struct sim_shape *s)
{
    const uint64_t limit = PICK(dice, 9000, 15000, 20000, 60000);
    switch (sim_below(dice, 3)) {
    case 0:
        s->freeze_up = limit;
        break;
    case 1:
        s->freeze_down = limit;
        break;
    default:
        s->freeze_sum = limit;
        break;
    }
}

static void pick_shape(struct sim *dice, struct sim_shape *s)
{
    s->kind = sim_chance(dice, 75) ? SIM_BYTES : SIM_DATAGRAMS;
    s->latency_us = PICK(dice, 0, 100, 1000, 10000, 40000);
    s->jitter_us = PICK(dice, 0, 0, 500, 5000);
    s->bytes_per_ms = PICK(dice, 0, 0, 1000, 10000);
    s->buffer_bytes = PICK(dice, 1500, 4096, 65536, 256u << 10);
    s->most_a_write = PICK(dice, 50, 1000, 65536, 65536);
    s->most_a_read = PICK(dice, 50, 1000, 65536, 65536);
    s->max_packet = s->kind == SIM_BYTES ? PICK(dice, 1400, 1400, 9000, 65535) : 1400;
    if (s->kind == SIM_BYTES) {
        s->padded = sim_chance(dice, 25);
        return;
    }
    s->buffer_bytes = 1u << 20;
    s->jitter_us = PICK(dice, 0, 1000, 20000);
    s->lost_permille = PICK(dice, 0, 10, 100);
    s->repeated_permille = PICK(dice, 0, 10, 100);
}

/* Answers come within 200 ms, however large the packets: where they do not, timers may fire. */
static void make_brisk(struct sim_shape *s)
{
    if (s->buffer_bytes < 5 * (s->latency_us + s->jitter_us))
        s->buffer_bytes = 256u << 10;
    if (s->bytes_per_ms)
        s->bytes_per_ms = 10000;
}

static void pick_profile(struct sim *dice, struct sim_profile *p)
{
    sim_profile_default(p);
    p->clients = 1 + (unsigned)sim_below(dice, 3);
    p->smux_version = (uint8_t)(1 + sim_below(dice, 2));
    if (sim_chance(dice, 60)) {
        pick_tuning(dice, &p->client);
        pick_tuning(dice, &p->server);
    }
    if (sim_chance(dice, 20)) /* KCP's clock of 32 bits wraps soon */
        p->start_us = (UINT64_C(1) << 32) * TT_MS - sim_below(dice, 2 * TT_SECOND);
    p->client.legacy = sim_chance(dice, 25);
    p->server.legacy = sim_chance(dice, 25);
    if (sim_chance(dice, 60))
        pick_carriers(dice, p);
    pick_shape(dice, &p->shape);
    p->may_time_out = p->shape.kind == SIM_DATAGRAMS || sim_chance(dice, 40);
    if (p->may_time_out)
        p->stall_us = 10 * TT_SECOND;
    if (!p->may_time_out)
        make_brisk(&p->shape);
    else if (p->shape.kind == SIM_BYTES && sim_chance(dice, 15))
        pick_limit(dice, &p->shape);
    if (sim_chance(dice, 20)) {
        p->may_time_out = true;
        p->stall_us = 10 * TT_SECOND;
        p->refused_alloc = 1 + sim_below(dice, 300);
        p->refused_alloc_step = PICK(dice, 0, 0, 7, 50);
        p->most_refused = 40;
    }
}

/* --- what is said --- */

/* One segment a round trip, or one byte a frame: little is to be said, or it takes for ever. */
static bool is_slow(const struct tt_endpoint_tuning *t)
{
    return t->snd_wnd <= 4 || t->max_frame < 100 || t->max_send_buffer < 1000 ||
           t->max_stream_buffer < 10000;
}

static uint64_t pick_bytes(struct sim *sim)
{
    const bool slow = is_slow(&sim->profile.client) || is_slow(&sim->profile.server);
    const uint32_t most =
        slow ? PICK(sim, 0, 1, 100, 500) : PICK(sim, 0, 1, 100, 5000, 50000, 200000);
    return sim_below(sim, most + 1u);
}

static void pick_speaker(struct sim *sim, struct sim_speaker_plan *s)
{
    s->bytes = pick_bytes(sim);
    s->most_a_write = PICK(sim, 10, 1000, 16384, 65536);
    s->most_a_read = PICK(sim, 100, 1000, 16384, 65536);
    if (s->bytes <= 5000) {
        s->write_pause_us = PICK(sim, 0, 100, 10000);
        s->read_pause_us = PICK(sim, 0, 100, 10000);
    } else {
        s->read_pause_us = s->most_a_read > 10000 ? PICK(sim, 0, 0, 1000, 20000) : 0;
        s->most_a_write = s->most_a_write < 1000 ? 1000 : s->most_a_write;
    }
}

/* Who closes a stream without reading on drops what comes, and once its end is acknowledged nothing
 * of it is left that could renew a window: in version 2 the other end's data must fit into one. A
 * reset tells it, if it understands.
 */
static void close_early(struct sim *sim, struct sim_speaker_plan *s,
                        const struct tt_endpoint_tuning *tuning, struct sim_speaker_plan *other)
{
    const uint32_t most = tuning->max_stream_buffer;
    const uint32_t window =
        most < TT_SMUX_INITIAL_WINDOW ? most : TT_SMUX_INITIAL_WINDOW; /* */
    s->ending = sim_chance(sim, 50) ? SIM_CLOSE_WHEN_SENT : SIM_RESET_WHEN_SENT;
    if (sim->profile.smux_version == 2 && other->bytes > window)
        other->bytes = window;
}

static void pick_talk(struct sim *sim, struct sim_client *c, uint64_t within_us)
{
    struct sim_talk *t = sim_add_talk(sim, c);
    /* Somebody must speak first, and it is the client: a session begins with its first packet. */
    t->by_server = c->talk_count > 1 && sim_chance(sim, 30);
    t->open_us = sim->now_us + (c->talk_count == 1 ? 0 : sim_below(sim, within_us));
    pick_speaker(sim, &t->client.plan);
    pick_speaker(sim, &t->server.plan);
    switch (sim_below(sim, 6)) {
    case 0:
        t->client.plan.ending = SIM_END_AFTER_PEER;
        break;
    case 1:
        t->server.plan.ending = SIM_END_AFTER_PEER;
        break;
    case 2:
        close_early(sim, &t->client.plan, &sim->profile.client, &t->server.plan);
        break;
    case 3:
        close_early(sim, &t->server.plan, &sim->profile.server, &t->client.plan);
        break;
    default:
        break;
    }
}

/* At some time within within_us, and with an argument below most_arg. */
static void plan(struct sim *sim, uint64_t within_us, void (*run)(struct sim *sim, uint64_t arg),
                 uint64_t most_arg)
{
    const uint64_t at_us = sim->now_us + sim_below(sim, within_us);
    sim_at(sim, at_us, run, sim_below(sim, most_arg));
}

static void plan_terminations(struct sim *sim, uint64_t within_us)
{
    for (uint64_t n = sim_below(sim, 12); n > 0; n--)
        plan(sim, within_us, sim_cut_randomly, sim->profile.clients);
    if (sim->profile.may_time_out) {
        for (uint64_t n = sim_chance(sim, 50) ? sim_below(sim, 5) : 0; n > 0; n--)
            plan(sim, within_us, sim_freeze_randomly, sim->profile.clients);
    }
    if (sim->profile.may_time_out && sim_chance(sim, 10))
        plan(sim, within_us, move, sim->profile.clients);
    for (uint64_t n = sim_below(sim, 3); n > 0; n--)
        plan(sim, within_us, redial, sim->profile.clients);
    if (sim_chance(sim, 20))
        plan(sim, within_us, sim_begin_outage, 30 * TT_SECOND);
}

static void plan_attacks(struct sim *sim, uint64_t within_us)
{
    const uint64_t during_us = within_us * (1 + sim_below(sim, 4));
    for (uint64_t n = 1 + sim_below(sim, 60); n > 0; n--)
        plan(sim, during_us, sim_attack, 1);
    sim_at(sim, sim->now_us + during_us, sim_attack_ends, 0);
}

/* --- the end --- */

/* Of datagrams HELLO and CLOSE may be lost. */
static bool all_know(const struct sim *sim)
{
    if (sim->profile.shape.kind == SIM_DATAGRAMS)
        return true;
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        if (!sim->clients[i].closed)
            return false;
    }
    return true;
}

static void close_all(struct sim *sim)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        struct sim_client *c = &sim->clients[i];
        if (c->session && sim_chance(sim, 50))
            sim_server_close(sim, c);
        else
            sim_client_close(sim, c);
    }
    sim_run_until(sim, sim->now_us + 30 * TT_SECOND);
    if (sim->profile.client.legacy || sim->profile.server.legacy)
        return;
    sim_require(sim, all_know(sim), "a client does not know that its session is over");
    sim_require(sim, tt_list_empty(&sim->server.conn.closed) || sim->profile.may_time_out,
                "a server does not know that a session is over");
}

/* --- a run --- */

static void run_seed(struct sim *sim)
{
    const uint64_t within_us = sim_between(sim, 10 * TT_MS, 2 * TT_SECOND);
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        for (uint64_t n = 1 + sim_below(sim, sim_chance(sim, 20) ? 20 : 4); n > 0; n--)
            pick_talk(sim, &sim->clients[i], within_us);
    }
    plan_terminations(sim, within_us);
    if (sim->profile.attacked)
        plan_attacks(sim, within_us);
    sim->refusing = sim->profile.refused_alloc > 0;
    sim_run_talks(sim, sim->now_us + 3600 * TT_SECOND);
    sim->refusing = false;
    sim_run_settled(sim, sim->now_us + 600 * TT_SECOND);
    sim_run_until(sim, sim->now_us + 35 * TT_SECOND);
    /* A keepalive may be under way, and the connection may just have died under it. */
    sim_run_settled(sim, sim->now_us + (sim->profile.may_time_out ? 60 : 1) * TT_SECOND);
    sim_check_all_done(sim);
    sim_check_idle(sim);
    if (sim_chance(sim, 50))
        close_all(sim);
    sim_check_nothing_left(sim);
}

/* Sealed sessions are native ones, and what seals costs bytes. */
static void seal(struct sim *dice, struct sim_profile *p)
{
    p->sealed = true;
    p->by_list = sim_chance(dice, 30);
    p->client.legacy = p->server.legacy = false;
    p->client.mtu = p->server.mtu = p->shape.max_packet < 1500 ? 1375 : 1400;
}

/* What works is disturbed at any time: it may take some tries. */
static void attack(struct sim_profile *p)
{
    p->attacked = true;
    p->may_time_out = true;
    p->stall_us = 60 * TT_SECOND;
}

bool sim_run_seed(uint64_t seed, FILE *trace, uint64_t *digest)
{
    struct sim dice = {.dice = seed};
    struct sim_profile profile;
    jmp_buf failed;

    pick_profile(&dice, &profile);
    if (seed >= SIM_SEALED_SEEDS)
        seal(&dice, &profile);
    if (seed >= SIM_ATTACKED_SEEDS)
        attack(&profile);
    struct sim *const sim = sim_new(seed, &profile);
    sim->trace = trace;
    sim->failed = &failed;
    if (setjmp(failed))
        return false; /* what it held is lost: the state is not to be trusted any more */
    run_seed(sim);
    *digest = sim->digest;
    sim_free(sim);
    return true;
}
