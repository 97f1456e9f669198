#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define PATH_SEGMENT 1448u /* bytes of TCP on Ethernet */

/* Bytes under way that arrive together. */
struct sim_chunk {
    struct sim_chunk *next;
    uint64_t at_us;
    uint32_t len, read;
    uint8_t bytes[];
};

/* --- pipes --- */

uint32_t sim_pipe_room(const struct sim *sim, const struct sim_pipe *pipe)
{
    const uint32_t most = sim->profile.shape.buffer_bytes;
    return pipe->held_bytes < most ? most - pipe->held_bytes : 0;
}

uint64_t sim_pipe_next_us(const struct sim_pipe *pipe)
{
    return pipe->first ? pipe->first->at_us : TT_NEVER;
}

static void insert(struct sim_pipe *pipe, struct sim_chunk *c)
{
    struct sim_chunk **at = &pipe->first;
    if (pipe->last && pipe->last->at_us <= c->at_us)
        at = &pipe->last->next;
    while (*at && (*at)->at_us <= c->at_us)
        at = &(*at)->next;
    c->next = *at;
    *at = c;
    if (!c->next)
        pipe->last = c;
}

static struct sim_chunk *take_first(struct sim_pipe *pipe)
{
    struct sim_chunk *c = pipe->first;
    pipe->first = c->next;
    if (!pipe->first)
        pipe->last = NULL;
    return c;
}

void sim_pipe_clear(struct sim_pipe *pipe)
{
    while (pipe->first) {
        struct sim_chunk *c = take_first(pipe);
        pipe->held_bytes -= c->len - c->read;
        free(c);
    }
}

bool sim_pipe_flip(struct sim *sim, struct sim_pipe *pipe)
{
    struct sim_chunk *c = pipe->first;
    for (uint64_t n = sim_below(sim, 4); c && c->next && n > 0; n--)
        c = c->next;
    if (!c || c->read == c->len)
        return false;
    c->bytes[c->read + sim_below(sim, c->len - c->read)] ^= (uint8_t)(1u << sim_below(sim, 8));
    return true;
}

/* When the last of len bytes that are written now arrives. */
static uint64_t arrival_us(struct sim *sim, struct sim_pipe *pipe, uint32_t len)
{
    const struct sim_shape *s = &sim->profile.shape;
    uint64_t at_us = pipe->free_us > sim->now_us ? pipe->free_us : sim->now_us;
    const uint32_t bytes_per_ms =
        pipe->odd && s->odd_bytes_per_ms ? s->odd_bytes_per_ms : s->bytes_per_ms;
    if (bytes_per_ms)
        at_us += (uint64_t)len * TT_MS / bytes_per_ms;
    pipe->free_us = at_us;
    at_us += (pipe->odd && s->odd_latency_us ? s->odd_latency_us : s->latency_us) +
             (s->jitter_us ? sim_below(sim, s->jitter_us) : 0);
    if (s->kind == SIM_BYTES && at_us < pipe->latest_us)
        at_us = pipe->latest_us;
    pipe->latest_us = at_us;
    return at_us;
}

static void add(struct sim *sim, struct sim_pipe *pipe, const uint8_t *data, uint32_t len)
{
    struct sim_chunk *c = malloc(sizeof *c + len);
    if (!c)
        abort();
    *c = (struct sim_chunk){.at_us = arrival_us(sim, pipe, len), .len = len};
    memcpy(c->bytes, data, len);
    pipe->held_bytes += len;
    insert(pipe, c);
}

static void write_datagram(struct sim *sim, struct sim_pipe *pipe, const uint8_t *data,
                           uint32_t len)
{
    const struct sim_shape *s = &sim->profile.shape;
    if (pipe->dead || sim_pipe_room(sim, pipe) < len || sim_below(sim, 1000) < s->lost_permille)
        return;
    add(sim, pipe, data, len);
    if (sim_below(sim, 1000) < s->repeated_permille)
        add(sim, pipe, data, len);
}

/* What takes time to pass arrives bit by bit: in the segments of a path, or in what passes within a
 * millisecond if that is more.
 */
static void add_in_pieces(struct sim *sim, struct sim_pipe *pipe, const uint8_t *data, uint32_t len)
{
    uint32_t most = len;
    if (sim->profile.shape.bytes_per_ms)
        most = sim->profile.shape.bytes_per_ms > PATH_SEGMENT ? sim->profile.shape.bytes_per_ms
                                                              : PATH_SEGMENT;
    for (uint32_t at = 0; at < len; at += most)
        add(sim, pipe, data + at, len - at < most ? len - at : most);
}

uint32_t sim_pipe_write(struct sim *sim, struct sim_pipe *pipe, const uint8_t *data, uint32_t len)
{
    const struct sim_shape *s = &sim->profile.shape;
    if (s->kind == SIM_DATAGRAMS) {
        write_datagram(sim, pipe, data, len);
        return len;
    }
    uint32_t most = sim_pipe_room(sim, pipe);
    if (most > s->most_a_write)
        most = s->most_a_write;
    if (len > most)
        len = most;
    if (len > 1 && sim_chance(sim, 20))
        len = 1 + (uint32_t)sim_below(sim, len);
    if (len == 0)
        return 0;
    if (pipe->dead) {
        pipe->held_bytes += len; /* the dead buffer fills up, and nobody empties it */
    } else {
        add_in_pieces(sim, pipe, data, len);
        pipe->passed += len;
    }
    return len;
}

uint32_t sim_pipe_read(struct sim *sim, struct sim_pipe *pipe, uint8_t *buf, uint32_t cap)
{
    struct sim_chunk *c = pipe->first;
    if (!c || c->at_us > sim->now_us)
        return 0;
    uint32_t n = c->len - c->read;
    if (n > cap)
        n = cap;
    if (sim->profile.shape.kind == SIM_BYTES && n > sim->profile.shape.most_a_read)
        n = sim->profile.shape.most_a_read;
    memcpy(buf, c->bytes + c->read, n);
    c->read += n;
    pipe->held_bytes -= n;
    if (c->read == c->len || sim->profile.shape.kind == SIM_DATAGRAMS) {
        pipe->held_bytes -= c->len - c->read;
        free(take_first(pipe));
    }
    return n;
}

/* --- links --- */

struct sim_link *sim_link_new(struct sim *sim, struct sim_client *client)
{
    struct sim_link *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    l->number = sim->next_link++;
    l->up.odd = l->down.odd = l->number % 2 == 1;
    l->client = client;
    l->accept_us = sim->now_us + sim->profile.shape.latency_us;
    tt_list_push_back(&sim->links, &l->node);
    tt_list_push_back(&client->links, &l->of_client);
    sim_plug_open(sim, &l->at_client, l, &l->down, &l->up);
    sim_note(sim, "connected", client->number, l->number);
    return l;
}

static void kill_pipe(struct sim_pipe *pipe, bool in_flight_arrives)
{
    pipe->dead = true;
    if (in_flight_arrives)
        return;
    const uint32_t held = pipe->held_bytes; /* it stays in the sender's buffer */
    sim_pipe_clear(pipe);
    pipe->held_bytes = held;
}

void sim_link_cut(struct sim *sim, struct sim_link *link, struct sim_cut cut)
{
    if (link->cut)
        return;
    link->cut = true;
    sim->cuts++;
    kill_pipe(&link->up, cut.in_flight_arrives);
    kill_pipe(&link->down, cut.in_flight_arrives);
    link->accept_us = TT_NEVER;
    if (link->at_client.open)
        link->at_client.learns_us = tt_deadline_after(sim->now_us, cut.client_learns_us);
    if (link->at_server.open && cut.server_learns_us != TT_NEVER)
        link->at_server.learns_us = tt_deadline_after(sim->now_us, cut.server_learns_us);
    sim_note(sim, "cut", link->client->number, link->number);
}

void sim_link_freeze(struct sim *sim, struct sim_link *link, bool up, bool down)
{
    if (link->cut)
        return;
    if (up)
        kill_pipe(&link->up, false);
    if (down)
        kill_pipe(&link->down, false);
    link->frozen = true;
    sim_note(sim, "frozen", link->number, up + 2u * down);
}

static uint64_t left(uint64_t most, uint64_t passed)
{
    if (most == 0)
        return UINT64_MAX;
    return passed < most ? most - passed : 0;
}

uint32_t sim_link_let_pass(struct sim *sim, struct sim_link *link, const struct sim_pipe *pipe,
                           uint32_t len)
{
    const struct sim_shape *s = &sim->profile.shape;
    const uint64_t of_pipe =
        pipe == &link->up ? left(s->freeze_up, pipe->passed) : left(s->freeze_down, pipe->passed);
    const uint64_t of_link = left(s->freeze_sum, link->up.passed + link->down.passed);
    const uint64_t most = of_pipe < of_link ? of_pipe : of_link;
    if (len <= most || link->frozen)
        return len;
    if (most == 0) { /* what passed is on its way, and arrives */
        link->frozen = link->up.dead = link->down.dead = true;
        sim_note(sim, "frozen", link->number, 3);
        return len;
    }
    return (uint32_t)most;
}

void sim_link_hang_up(struct sim *sim, struct sim_link *link)
{
    const uint64_t arrives_us =
        link->up.latest_us > sim->now_us ? link->up.latest_us - sim->now_us : 0;
    sim_link_cut(sim, link,
                 (struct sim_cut){
                     .client_learns_us = TT_NEVER,
                     .server_learns_us =
                         link->up.dead ? TT_NEVER : arrives_us + sim->profile.shape.latency_us + 1,
                     .in_flight_arrives = true});
}

void sim_bury_links(struct sim *sim)
{
    struct tt_list_node *next = tt_list_first(&sim->links);
    while (next) {
        struct sim_link *l = TT_CONTAINER_OF(next, struct sim_link, node);
        next = tt_list_next(&sim->links, next);
        if (l->at_client.open || l->at_server.open || l->accept_us != TT_NEVER)
            continue;
        tt_list_remove(&l->node);
        tt_list_remove(&l->of_client);
        sim_pipe_clear(&l->up);
        sim_pipe_clear(&l->down);
        free(l);
    }
}
