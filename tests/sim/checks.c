#include "sim.h"

#include <inttypes.h>

#include "core/smux/stream.h"

/* --- progress --- */

void sim_progress(struct sim *sim, struct sim_client *c)
{
    c->progress++;
    c->progress_us = sim->now_us;
}

static bool has_working_link(const struct sim_client *c)
{
    const struct sim_link *l = c->link;
    return l && !l->cut && !l->frozen && l->at_client.open;
}

static bool has_begun_talk(const struct sim_client *c)
{
    for (unsigned i = 0; i < c->talk_count; i++) {
        const struct sim_talk *t = &c->talks[i];
        if ((t->client.begun || t->server.begun) && (!t->client.closed || !t->server.closed))
            return true;
    }
    return false;
}

/* Bytes that nobody reads any more are progress too; a keepalive of 8 bytes now and then is not. */
static void note_acked(struct sim *sim, struct sim_client *c)
{
    uint64_t acked = c->endpoint.kcp.send.acked_bytes;
    if (c->session)
        acked += c->session->endpoint.kcp.send.acked_bytes;
    if (acked - c->acked_bytes <= 16)
        return;
    c->acked_bytes = acked;
    c->progress_us = sim->now_us;
}

static void check_progress(struct sim *sim, struct sim_client *c)
{
    note_acked(sim, c);
    if (!has_working_link(c) || !has_begun_talk(c))
        c->progress_us = sim->now_us;
    sim_require(sim, sim->now_us - c->progress_us <= sim->profile.stall_us,
                "no progress on a working connection");
}

static void describe_speaker(FILE *out, const char *who, const struct sim_speaker *s)
{
    fprintf(out, "    %s: sent %" PRIu64 " of %" PRIu64 ", received %" PRIu64, who, s->sent,
            s->plan.bytes, s->received);
    fprintf(out, "%s%s%s%s", s->begun ? ", begun" : "", s->ended ? ", ended" : "",
            s->heard_end ? ", heard the end" : "", s->closed ? ", closed" : "");
    if (s->stream)
        fprintf(out, "; unsent %zu, unread %zu, ending %d", tt_smux_unsent_bytes(s->stream),
                tt_smux_readable_bytes(s->stream), s->stream->ending);
    fputc('\n', out);
}

static void describe_carrier(FILE *out, const struct sim *sim, const struct tt_carrier *c)
{
    const struct tt_liveness *l = &c->live;
    fprintf(out, "    carrier %u: role %d, rank %d, flying %u (%" PRIu64 " of %" PRIu64 " bytes)",
            c->number, c->role, c->rank, c->path.flying.count, c->path.flying_bytes,
            c->path.max_flying_bytes);
    fprintf(out, "%s%s%s%s%s%s%s%s", c->native ? ", native" : "", c->proven ? ", proven" : "",
            l->suspect ? ", suspect" : "", l->moved ? ", moved" : "", c->we_drain ? ", drains" : "",
            c->peer_drains ? ", is drained" : "", c->doomed ? ", doomed" : "",
            c->path.leaves_acks ? ", no acks" : "");
    fprintf(out, "; rtt %" PRIu64 " us, %" PRIu64 " bytes/s, took %" PRIu64 ", brought %" PRIu64,
            c->path.rtt.smoothed_us, l->bytes_per_s, c->taken_bytes, c->received_bytes);
    if (l->waiting_us != TT_NEVER)
        fprintf(out, ", waits for %" PRIu64 " us", sim->now_us - l->waiting_us);
    if (l->asked_us != TT_NEVER)
        fprintf(out, ", asked %" PRIu64 " us ago", sim->now_us - l->asked_us);
    fputc('\n', out);
}

static void describe_endpoint(FILE *out, const struct sim *sim, const char *who,
                              const struct tt_endpoint *e)
{
    const struct tt_kcp_send *send = &e->kcp.send;
    fprintf(out, "  %s: una %u, nxt %u, end %u, edge %u, lost %u; read %u, nxt %u, edge %u\n", who,
            send->una, send->nxt, send->end, send->edge, send->lost.count, e->kcp.receive.read,
            e->kcp.receive.nxt, e->kcp.receive.edge);
    fprintf(out,
            "    again: %u timeout, %u fast, %u died, %u left, %u discarded; suspicions %u; tokens "
            "%" PRId64 ", waiting %u, unsent %zu, charged %zu\n",
            send->retransmissions[TT_KCP_TIMEOUT], send->retransmissions[TT_KCP_FAST],
            send->retransmissions[TT_KCP_PATH_DIED], send->retransmissions[TT_KCP_PATH_LEFT],
            send->retransmissions[TT_KCP_DISCARDED], e->stats.suspicions, e->smux.receive_tokens,
            e->smux.accept_waiting, e->smux.unsent_bytes, e->account.bytes);
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        describe_carrier(out, sim, TT_CONTAINER_OF(node, struct tt_carrier, node));
    }
}

void sim_describe(const struct sim *sim, FILE *out)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        const struct sim_client *c = &sim->clients[i];
        fprintf(out, "client %u: connection %d\n", i, c->link ? (int)c->link->number : -1);
        fprintf(out, "  dials %" PRIu64 ", %u under way, %u failed in a row\n", c->dialing.begun,
                c->dialing.under_way, c->dialing.failures);
        describe_endpoint(out, sim, "client", &c->endpoint);
        if (c->session)
            describe_endpoint(out, sim, "server", &c->session->endpoint);
        for (unsigned k = 0; k < c->talk_count; k++) {
            const struct sim_talk *t = &c->talks[k];
            if (t->client.closed && t->server.closed)
                continue;
            fprintf(out, "  talk %u, stream %u, of the %s\n", k, t->sid,
                    t->by_server ? "server" : "client");
            describe_speaker(out, "client", &t->client);
            describe_speaker(out, "server", &t->server);
        }
    }
}

/* --- deadlines --- */

void sim_check_client_deadline(struct sim *sim, struct sim_client *c)
{
    sim_require(sim, tt_endpoint_deadline(&c->endpoint) > sim->now_us,
                "the client's deadline was handled and is still due: a real loop would spin");
}

void sim_check_server_deadline(struct sim *sim)
{
    sim_require(sim, tt_queue_packet_conn_deadline(&sim->server.conn) > sim->now_us,
                "the server's deadline was handled and is still due: a real loop would spin");
}

/* --- one end of a session --- */

void sim_count_in_flight(struct sim_client *c, const struct tt_endpoint *e,
                         const struct tt_carrier *dying)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *carrier = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (carrier->role == TT_CARRIER_ACTIVE && (!dying || dying == carrier))
            c->died_in_flight[e != &c->endpoint] += carrier->path.flying.count;
    }
}

/* A legacy server answers on the connection that came last, not on the one that was dialled last:
 * where two crossed, the client waits in vain on one that works.
 */
static bool may_be_suspected(const struct sim_client *c, const struct tt_endpoint *e)
{
    return c->crossed && !e->native;
}

static void check_retransmissions(struct sim *sim, const struct sim_client *c,
                                  const struct tt_endpoint *e)
{
    const uint64_t died = c->died_in_flight[e != &c->endpoint];
    const uint32_t *again = e->kcp.send.retransmissions;
    sim_require(sim, again[TT_KCP_PATH_DIED] <= died,
                "more was sent again than was in flight on connections that ended");
    sim_require(sim, again[TT_KCP_DISCARDED] == 0 || sim->server.discarded > 0,
                "something was taken for discarded by the peer");
    if (sim->profile.may_time_out)
        return;
    sim_require(sim, e->stats.suspicions == 0 || may_be_suspected(c, e),
                "a connection that works was suspected");
    sim_require(sim, again[TT_KCP_TIMEOUT] == 0,
                "a retransmission timer fired though connections only ended");
    sim_require(sim, again[TT_KCP_FAST] == 0, "a segment was taken for lost though none can be");
}

static void check_packets(struct sim *sim, const struct tt_endpoint *e)
{
    const struct tt_kcp_stats *s = &e->kcp.stats;
    sim_require(sim, s->short_packets + s->wrong_conv + s->wrong_len + s->wrong_cmd == 0,
                "a packet of our own made no sense");
    sim_require(sim, s->wrong_una == 0 || sim->profile.may_be_lost,
                "something was acknowledged that was not sent");
    sim_require(sim, e->kcp.receive.beyond_window == 0, "a segment was sent beyond the window");
}

/* What a session may hold: windows, buffers, and slabs that are only partly in use. */
static uint64_t most_bytes(const struct sim *sim, const struct tt_endpoint_tuning *t)
{
    const uint64_t received = t->max_receive_buffer + 65535 + (uint64_t)t->rcv_wnd * t->mtu;
    const uint64_t sent =
        (uint64_t)t->snd_wnd * t->mtu + SIM_MAX_STREAMS * (uint64_t)(t->max_send_buffer + 4096);
    return 2 * (received + sent) + (1u << 20) + sim->profile.shape.buffer_bytes;
}

static bool has_good(const struct tt_endpoint *e)
{
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c->rank == TT_RANK_GOOD)
            return true;
    }
    return false;
}

/* what overtook the packet that begins a session would be thrown away. */
static void check_one_at_a_time(struct sim *sim, const struct tt_endpoint *e)
{
    unsigned count = 0;
    if (!e->config.client || (e->native && e->kcp.stats.segments_in > 0) ||
        (e->seal && tt_sealed_is_confirmed(e)))
        return;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        count += !TT_CONTAINER_OF(node, struct tt_carrier, node)->doomed;
    }
    sim_require(sim, count <= 1 || e->config.tuning->legacy,
                "a second connection before the server has the session");
}

/* A suspect carrier is fed nothing while a better one lives. */
static void check_feeding(struct sim *sim, const struct tt_endpoint *e)
{
    const bool good = has_good(e);
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        const bool may_be_fed = c->path.max_flying_bytes > 0;
        sim_require(sim, !(good && c->live.suspect && may_be_fed), "a suspect carrier is fed");
        sim_require(sim, !(good && c->live.suspect && c->path.flying.count > 0),
                    "data was left on a suspect carrier");
        sim_require(sim, !(c->doomed || c->we_drain) || !may_be_fed || c->role != TT_CARRIER_ACTIVE,
                    "a carrier that is over is fed");
    }
}

/* of several carriers the newest is fed, and no other. */
static void check_roles(struct sim *sim, const struct tt_endpoint *e)
{
    check_one_at_a_time(sim, e);
    if (e->native) {
        check_feeding(sim, e);
        return;
    }
    if (e->seal)
        return;
    const struct tt_carrier *newest = NULL;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (!newest || c->attached >= newest->attached)
            newest = c;
    }
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        const struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        sim_require(sim, c->role == (c == newest ? TT_CARRIER_ACTIVE : TT_CARRIER_REPLACED),
                    "not the newest connection is the one in use");
    }
}

static void check_end(struct sim *sim, const struct sim_client *c, const struct tt_endpoint *e)
{
    check_retransmissions(sim, c, e);
    check_packets(sim, e);
    check_roles(sim, e);
    sim_require(sim, e->kcp.send.nxt - e->kcp.send.una <= e->config.tuning->snd_wnd,
                "more segments in flight than the window allows");
}

void sim_check_step(struct sim *sim)
{
    uint64_t server_most = 0;
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        struct sim_client *c = &sim->clients[i];
        server_most += most_bytes(sim, &sim->profile.server); /* it may outlive its client */
        if (!c->running)
            continue;
        check_progress(sim, c);
        check_end(sim, c, &c->endpoint);
        sim_require(sim, c->slabs.live_bytes <= most_bytes(sim, &sim->profile.client),
                    "the client holds more than its windows allow");
        if (c->session)
            check_end(sim, c, &c->session->endpoint);
    }
    sim_require(sim, sim->server.slabs.live_bytes <= server_most,
                "the server holds more than its windows allow");
}

/* --- the end --- */

static void check_settled(struct sim *sim, const struct tt_endpoint *e)
{
    sim_require(sim, tt_endpoint_settled(e), "all talks are done, but something is left to say");
    sim_require(sim, tt_list_empty(&e->smux.streams.all), "a stream is left at one end");
    sim_require(sim, e->account.bytes == 0, "an account is charged for nothing");
}

void sim_check_all_done(struct sim *sim)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        const struct sim_client *c = &sim->clients[i];
        sim_require(sim, sim_talks_done(c), "a talk is not done");
        check_settled(sim, &c->endpoint);
        if (c->session)
            check_settled(sim, &c->session->endpoint);
    }
}

static void check_idle_end(struct sim *sim, const struct tt_endpoint *e)
{
    sim_require(sim, tt_kcp_deadline(&e->kcp) == TT_NEVER, "an idle session has a KCP timer");
    sim_require(sim, e->smux.nop_due || tt_smux_deadline(&e->smux) > sim->now_us,
                "an idle session wants to be woken");
}

void sim_check_idle(struct sim *sim)
{
    for (unsigned i = 0; i < sim->profile.clients; i++) {
        const struct sim_client *c = &sim->clients[i];
        check_idle_end(sim, &c->endpoint);
        sim_require(sim, c->slabs.live_bytes == 0, "an idle client holds slabs");
        if (c->session)
            check_idle_end(sim, &c->session->endpoint);
    }
    sim_require(sim, sim->server.slabs.live_bytes == 0, "an idle server holds slabs");
}
