#include "sim.h"

#include <string.h>

#define RETRY_US    (10 * TT_MS) /* after a refusal for want of memory or of numbers */
#define MOST_A_TURN 64u          /* writes or reads of one stream */
#define BUFFER      65536u
#define SPANS       4u /* looked at in one read in place */

/* --- the bytes: each stream and direction has its own, and each byte its place --- */

static uint64_t word_at(uint64_t key, uint64_t index)
{
    uint64_t z = key + index * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ z >> 27;
}

static void fill(uint64_t key, uint64_t at, uint8_t *out, size_t len)
{
    uint64_t word = word_at(key, at / 8);
    for (size_t i = 0; i < len; i++, at++) {
        if (at % 8 == 0)
            word = word_at(key, at / 8);
        out[i] = (uint8_t)(word >> 8 * (at % 8));
    }
}

static bool is_right(uint64_t key, uint64_t at, const uint8_t *bytes, size_t len)
{
    static uint8_t expected[BUFFER];
    fill(key, at, expected, len);
    return memcmp(expected, bytes, len) == 0;
}

/* --- one end of one stream --- */

/* What one call of sim_talk_turn is about. */
struct turn {
    struct sim *sim;
    const struct sim_side *side;
    struct sim_talk *talk;
    struct sim_speaker *me, *peer;
    bool touched;
};

static uint64_t key_of(const struct turn *t, const struct sim_speaker *speaker)
{
    return t->talk->key + (speaker == &t->talk->server);
}

static uint64_t pause(const struct turn *t, uint64_t pause_us)
{
    return pause_us ? t->sim->now_us + 1 + sim_below(t->sim, 2 * pause_us) : t->sim->now_us;
}

/* Nothing more is to be said, whatever was still to be. */
static void got_reset(struct turn *t)
{
    struct sim_speaker *me = t->me;
    sim_require(t->sim, t->peer->closed && t->peer->plan.ending == SIM_RESET_WHEN_SENT,
                "a stream that nobody has reset");
    me->heard_end = me->ended = true;
    me->plan.bytes = me->sent;
    me->read_us = me->write_us = TT_NEVER;
    sim_note(t->sim, "reset", t->talk->sid, tt_smux_reset_code(me->stream));
    sim_progress(t->sim, t->side->client);
}

/* Half of the streams are written and read where their bytes lie, by the functions for that. */
static bool is_in_place(const struct turn *t)
{
    return t->talk->key & 1;
}

static int write_copy(const struct turn *t, size_t len, size_t *taken)
{
    static uint8_t buf[BUFFER];
    fill(key_of(t, t->me), t->me->sent, buf, len);
    return tt_smux_write(t->me->stream, buf, len, taken);
}

/* Asks for room, or fills what it got the time before: others may have written in between. */
static int write_in_place(const struct turn *t, size_t len, size_t *taken)
{
    struct sim_speaker *me = t->me;
    *taken = 0;
    if (!me->room)
        return tt_smux_write_room(me->stream, &me->room, &me->room_len);
    *taken = len < me->room_len ? len : me->room_len;
    fill(key_of(t, me), me->sent, me->room, *taken);
    tt_smux_write_commit(me->stream, *taken);
    me->room = NULL;
    return TT_OK;
}

static void write_some(struct turn *t)
{
    struct sim_speaker *me = t->me;

    for (unsigned i = 0; i < MOST_A_TURN && me->sent < me->plan.bytes; i++) {
        if (me->write_us > t->sim->now_us)
            return;
        uint64_t len = 1 + sim_below(t->sim, me->plan.most_a_write);
        size_t taken;
        if (len > me->plan.bytes - me->sent)
            len = me->plan.bytes - me->sent;
        int err = is_in_place(t) ? write_in_place(t, len, &taken) : write_copy(t, len, &taken);
        t->touched = true;
        me->sent += taken;
        if (err == TT_E_RESET) {
            got_reset(t);
            return;
        }
        if (err == TT_E_FULL)
            me->write_us = TT_NEVER;
        else if (err == TT_E_NOMEM)
            me->write_us = t->sim->now_us + RETRY_US;
        else
            me->write_us = pause(t, me->plan.write_pause_us);
        sim_require(t->sim, err == TT_OK || err == TT_E_FULL || err == TT_E_NOMEM,
                    "a write failed");
    }
}

static void got_end(struct turn *t)
{
    t->me->heard_end = true;
    t->me->read_us = TT_NEVER;
    sim_require(t->sim, t->peer->ended || t->peer->closed, "an end that nobody sent");
    sim_require(t->sim, t->me->received == t->peer->sent, "the end came before the last byte");
    sim_note(t->sim, "end", t->talk->sid, t->me->received);
    sim_progress(t->sim, t->side->client);
}

static void note_delivery(const struct sim *sim, struct sim_client *c, bool at_server)
{
    const uint64_t last_us = c->delivered_us[at_server];
    c->delivered_us[at_server] = sim->now_us;
    if (last_us && sim->now_us - last_us > c->longest_silence_us[at_server])
        c->longest_silence_us[at_server] = sim->now_us - last_us;
}

static void got_bytes(struct turn *t, const uint8_t *bytes, size_t len)
{
    struct sim_speaker *me = t->me;
    sim_require(t->sim, len > 0 && me->received + len <= t->peer->sent,
                "bytes that nobody has sent");
    sim_require(t->sim, is_right(key_of(t, t->peer), me->received, bytes, len),
                "bytes are not what was sent");
    me->received += len;
    note_delivery(t->sim, t->side->client, t->side->is_server);
    sim_note_bytes(t->sim, t->side->is_server ? "server read" : "client read", t->talk->sid,
                   tt_span_of(bytes, len));
    sim_progress(t->sim, t->side->client);
}

static int read_copy(struct turn *t, size_t most)
{
    static uint8_t buf[BUFFER];
    size_t len;
    int err = tt_smux_read(t->me->stream, buf, most, &len);
    if (err == TT_OK)
        got_bytes(t, buf, len);
    return err;
}

static int read_in_place(struct turn *t, size_t most)
{
    struct tt_span spans[SPANS];
    size_t count = SPANS, done = 0;
    int err = tt_smux_peek(t->me->stream, spans, &count);
    for (size_t i = 0; !err && i < count && done < most; i++) {
        const size_t n = spans[i].len < most - done ? spans[i].len : most - done;
        got_bytes(t, spans[i].ptr, n);
        done += n;
    }
    tt_smux_consume(t->me->stream, done);
    return err;
}

static void read_some(struct turn *t)
{
    struct sim_speaker *me = t->me;

    for (unsigned i = 0; i < MOST_A_TURN && !me->heard_end; i++) {
        if (me->read_us > t->sim->now_us)
            return;
        const size_t most = 1 + sim_below(t->sim, me->plan.most_a_read);
        int err = is_in_place(t) ? read_in_place(t, most) : read_copy(t, most);
        t->touched = true;
        if (err == TT_E_END) {
            got_end(t);
        } else if (err == TT_E_RESET) {
            got_reset(t);
        } else if (err == TT_E_AGAIN) {
            me->read_us = TT_NEVER; /* TT_SMUX_READABLE will come */
        } else {
            sim_require(t->sim, err == TT_OK, "a read failed");
            me->read_us = pause(t, me->plan.read_pause_us);
        }
    }
}

static void end_if_due(struct turn *t)
{
    struct sim_speaker *me = t->me;
    if (me->ended || me->sent < me->plan.bytes ||
        (me->plan.ending == SIM_END_AFTER_PEER && !me->heard_end))
        return;
    me->ended = true;
    me->write_us = TT_NEVER;
    t->touched = true;
    if (me->plan.ending >= SIM_CLOSE_WHEN_SENT)
        return;
    const int err = tt_smux_shutdown(me->stream);
    if (err == TT_E_RESET)
        got_reset(t);
    else
        sim_require(t->sim, err == TT_OK, "a stream could not be ended");
}

static void close_if_done(struct turn *t)
{
    struct sim_speaker *me = t->me;
    if (!me->ended || (!me->heard_end && me->plan.ending < SIM_CLOSE_WHEN_SENT))
        return;
    if (me->plan.ending == SIM_RESET_WHEN_SENT)
        tt_smux_reset(me->stream, 1 + t->talk->sid % 6);
    else
        tt_smux_close(me->stream);
    me->stream = NULL;
    me->closed = true;
    me->write_us = me->read_us = TT_NEVER;
    t->touched = true;
    sim_note(t->sim, "closed", t->talk->sid, t->side->is_server);
    sim_progress(t->sim, t->side->client);
}

static void begin(struct turn *t, struct tt_smux_stream *stream)
{
    struct sim_speaker *me = t->me;
    me->begun = true;
    me->stream = stream;
    me->write_us = me->read_us = t->sim->now_us;
    tt_smux_stream_set_user(stream, t->talk);
    t->touched = true;
    sim_progress(t->sim, t->side->client);
}

/* --- all streams of one end --- */

static struct turn turn_of(struct sim *sim, const struct sim_side *side, struct sim_talk *talk)
{
    return (struct turn){.sim = sim,
                         .side = side,
                         .talk = talk,
                         .me = side->is_server ? &talk->server : &talk->client,
                         .peer = side->is_server ? &talk->client : &talk->server};
}

static bool open_due(struct sim *sim, const struct sim_side *side)
{
    bool touched = false;
    for (unsigned i = 0; i < side->client->talk_count; i++) {
        struct sim_talk *talk = &side->client->talks[i];
        struct turn t = turn_of(sim, side, talk);
        struct tt_smux_stream *stream;
        if (talk->open_us > sim->now_us || talk->by_server != side->is_server)
            continue;
        int err = tt_smux_open(&side->endpoint->smux, &stream);
        sim_require(sim, err == TT_OK || err == TT_E_NOMEM || err == TT_E_FULL,
                    "a stream could not be opened");
        talk->open_us = err ? sim->now_us + RETRY_US : TT_NEVER;
        if (err)
            continue;
        talk->sid = tt_smux_stream_id(stream);
        begin(&t, stream);
        touched = true;
    }
    return touched;
}

static struct sim_talk *talk_of(struct sim *sim, const struct sim_side *side, uint32_t sid)
{
    for (unsigned i = 0; i < side->client->talk_count; i++) {
        struct sim_talk *talk = &side->client->talks[i];
        if (talk->sid == sid && talk->by_server != side->is_server)
            return talk;
    }
    sim_require(sim, false, "a stream that nobody opened");
    return NULL;
}

static bool accept_all(struct sim *sim, const struct sim_side *side)
{
    struct tt_smux_stream *stream;
    bool touched = false;
    while (tt_smux_accept(&side->endpoint->smux, &stream) == TT_OK) {
        struct turn t = turn_of(sim, side, talk_of(sim, side, tt_smux_stream_id(stream)));
        sim_require(sim, !t.me->begun, "a stream was opened twice");
        begin(&t, stream);
        touched = true;
    }
    return touched;
}

static void take_events(struct sim *sim, const struct sim_side *side)
{
    struct tt_smux_stream *stream;
    unsigned events;
    while (tt_smux_next_event(&side->endpoint->smux, &stream, &events)) {
        struct turn t = turn_of(sim, side, tt_smux_stream_user(stream));
        if ((events & TT_SMUX_READABLE) && t.me->read_us == TT_NEVER && !t.me->heard_end)
            t.me->read_us = sim->now_us;
        if ((events & TT_SMUX_WRITABLE) && t.me->write_us == TT_NEVER && !t.me->ended)
            t.me->write_us = sim->now_us;
    }
}

bool sim_talk_turn(struct sim *sim, const struct sim_side *side)
{
    bool touched = open_due(sim, side);
    touched |= accept_all(sim, side);
    take_events(sim, side);
    for (unsigned i = 0; i < side->client->talk_count; i++) {
        struct turn t = turn_of(sim, side, &side->client->talks[i]);
        if (!t.me->stream)
            continue;
        write_some(&t);
        read_some(&t);
        end_if_due(&t);
        close_if_done(&t);
        touched |= t.touched;
    }
    return touched;
}

/* Reading may have let more come up: a real application is told of that at once. */
static bool is_told_more(const struct sim_client *c, bool is_server)
{
    const struct tt_smux *m = &c->endpoint.smux;
    if (is_server && !c->session)
        return false;
    if (is_server)
        m = &c->session->endpoint.smux;
    return m->accept_waiting > 0 || !tt_list_empty(&m->events);
}

uint64_t sim_talk_next_us(const struct sim_client *c, bool is_server)
{
    uint64_t next_us = is_told_more(c, is_server) ? 0 : TT_NEVER;
    for (unsigned i = 0; i < c->talk_count; i++) {
        const struct sim_talk *talk = &c->talks[i];
        const struct sim_speaker *me = is_server ? &talk->server : &talk->client;
        if (talk->by_server == is_server)
            next_us = tt_min_u64(next_us, talk->open_us);
        if (!me->stream)
            continue;
        next_us = tt_min_u64(next_us, me->read_us);
        if (me->sent < me->plan.bytes)
            next_us = tt_min_u64(next_us, me->write_us);
    }
    return next_us;
}

bool sim_talks_done(const struct sim_client *c)
{
    for (unsigned i = 0; i < c->talk_count; i++) {
        if (!c->talks[i].client.closed || !c->talks[i].server.closed)
            return false;
    }
    return true;
}

struct sim_talk *sim_add_talk(struct sim *sim, struct sim_client *c)
{
    sim_require(sim, c->talk_count < SIM_MAX_STREAMS, "too many talks");
    struct sim_talk *talk = &c->talks[c->talk_count++];
    const struct sim_speaker_plan plan = {.most_a_write = BUFFER, .most_a_read = BUFFER};
    *talk = (struct sim_talk){.key = sim_below(sim, UINT64_MAX),
                              .open_us = sim->now_us,
                              .client.plan = plan,
                              .server.plan = plan};
    talk->client.write_us = talk->client.read_us = TT_NEVER;
    talk->server.write_us = talk->server.read_us = TT_NEVER;
    return talk;
}
