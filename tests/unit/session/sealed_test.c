/* Both ends of sealed sessions, packet by packet (sealed.md). */
#include "core/session/sealed.h"

#include <stdlib.h>

#include <turbotunnel/error.h>

#include "core/session/carriers.h"
#include "core/session/liveness.h"
#include "core/smux/stream.h"
#include "session/sealed_world.h"

#define LATER                                                                                      \
    (200 * TT_MS) /* a carrier's first DATA is answered within it, or the server asked             \
                   */

static bool is_wiped(const void *memory, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((const uint8_t *)memory)[i] != 0)
            return false;
    return true;
}

static struct tt_span last_packet(const struct sealed_world *s)
{
    return tt_span_of(s->w.packet, s->w.packet_len);
}

/* A packet that was pulled before, to be given later. */
struct kept {
    uint8_t bytes[2048];
    uint32_t len;
};

static struct kept keep(const struct sealed_world *s)
{
    struct kept k = {.len = s->w.packet_len};
    assert_in_range(k.len, 1, sizeof(k.bytes));
    memcpy(k.bytes, s->w.packet, k.len);
    return k;
}

static struct tt_span span_of(const struct kept *k)
{
    return tt_span_of(k->bytes, k->len);
}

/* The INIT that was pulled last is answered by somebody who has the server's key. */
static void answer(struct sealed_world *s, struct tt_carrier *c, uint8_t state,
                   const uint8_t *instance)
{
    struct tt_server_keys keys = s->server_keys;
    struct tt_parameters said;
    struct tt_noise n;
    struct tt_span rest;
    struct kept init = keep(s);
    uint8_t out[TT_HANDSHAKE_MAX];
    uint32_t len;
    if (instance)
        memcpy(keys.instance, instance, TT_INSTANCE_LEN);
    assert_int_equal(tt_init_read(&n, &s->sealer, &keys, &s->w.id, span_of(&init), &rest), TT_OK);
    assert_int_equal(tt_init_accept(&n, &s->sealer, rest, &said), TT_OK);
    assert_int_equal(tt_response_write(&n, &s->sealer, &keys, state, out, &len, NULL), TT_OK);
    (void)give_client(&s->w, c, tt_span_of(out, len));
}

/* A connection of a session that the client has: its first DATA is lost, and it asks. */
static void ask(struct sealed_world *s, struct tt_carrier *c)
{
    sealed_dials(s, c, NULL);
    if (!tt_sealed_init_due(c)) { /* M-11: else it asks at once */
        lose_up(&s->w, c);
        client_waits(&s->w, LATER + LATER / 4);
    }
    assert_false(c->doomed);
    assert_int_equal(pull_up(&s->w, c), TT_OK);
    assert_int_equal(s->w.packet[0], TT_SEALED_INIT);
}

/* --- the phases of a client (M-4) --- */

static void test_nothing_of_kcp_leaves_before_the_server_has_shown_its_keys(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_carrier c, far;
    sealed_world_open(&s, NULL);
    sealed_dials(&s, &c, &far);
    struct tt_smux_stream *stream = client_stream(&s.w, 100);
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_NEW);
    assert_int_equal(pull_up(&s.w, &c), TT_OK);
    assert_int_equal(s.w.packet[0], TT_SEALED_INIT);
    give_server(&s.w, &far, last_packet(&s));
    assert_int_equal(pull_up(&s.w, &c), TT_E_AGAIN);
    assert_int_equal(s.w.server.sessions, 0); /* M-13 */

    assert_int_equal(pull_down(&s.w, &far), TT_OK);
    assert_int_equal(s.w.packet[0], TT_SEALED_RESPONSE);
    (void)give_client(&s.w, &c, last_packet(&s));
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_KEYED);
    assert_int_equal(pull_down(&s.w, &far), TT_E_AGAIN);

    assert_int_equal(pull_up(&s.w, &c), TT_OK); /* HELLO */
    assert_int_equal(s.w.packet[0], TT_SEALED_DATA);
    assert_int_equal(s.w.packet_len, TT_SEALED_OVERHEAD + 9);
    give_server(&s.w, &far, last_packet(&s));
    assert_int_equal(s.w.server.sessions, 1);
    assert_int_equal(pull_up(&s.w, &c), TT_E_AGAIN);
    assert_int_equal(s.w.client.kcp.send.nxt, 0);

    assert_int_equal(pull_down(&s.w, &far), TT_OK);
    assert_int_equal(s.w.packet[0], TT_SEALED_DATA);
    (void)give_client(&s.w, &c, last_packet(&s));
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_CONFIRMED);
    assert_int_equal(pull_up(&s.w, &c), TT_OK);
    assert_int_equal(s.w.client.kcp.send.nxt, 1);
    tt_smux_close(stream);
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

/* However far the one before has come without an answer of the server's to its DATA. */
static void test_each_dial_is_another_attempt(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps <= 3; steps++) {
        struct sealed_world s;
        struct tt_carrier c, far, again, far_again;
        sealed_world_open(&s, NULL);
        sealed_dials(&s, &c, &far);
        const struct tt_session_id id = s.w.client.config.id;
        if (steps >= 1)
            carry_up(&s.w, &c, &far);
        if (steps >= 2)
            carry_down(&s.w, &far, &c);
        if (steps >= 3)
            carry_up(&s.w, &c, &far);
        const struct tt_seal before = *s.w.client.seal;
        sealed_hangs_up(&s, &c, &far);
        sealed_dials(&s, &again, &far_again);
        assert_false(tt_session_id_equal(&id, &s.w.client.config.id));
        assert_int_equal(s.w.client.seal->phase, TT_SEAL_NEW);
        assert_true(is_wiped(&s.w.client.seal->send, sizeof(struct tt_keys)));
        carry_all(&s.w, &again, &far_again);
        assert_int_equal(s.w.client.seal->phase, TT_SEAL_CONFIRMED);
        assert_memory_not_equal(&before.send, &s.w.client.seal->send, sizeof(before.send));
        assert_int_equal(again.number, 0);
        assert_int_equal(s.w.client.next_carrier, 1);
        assert_int_equal(s.w.client.seal->stats.attempts, steps >= 1 ? 2 : 1);
        sealed_hangs_up(&s, &again, &far_again);
        sealed_world_close(&s);
    }
}

static void test_an_attempt_ends_after_a_time_that_doubles(void **state)
{
    (void)state;
    static const unsigned seconds[] = {1, 2, 4, 8, 8, 8};
    const struct sealed_setup setup = sealed_datagrams();
    struct sealed_world s;
    sealed_world_open(&s, &setup);
    for (unsigned i = 0; i < ARRAY_LEN(seconds); i++) {
        struct tt_carrier c;
        sealed_dials(&s, &c, NULL);
        lose_up(&s.w, &c);
        assert_int_equal(c.seal->sent, 0);
        client_waits(&s.w, seconds[i] * TT_SECOND - 1);
        assert_int_equal(pull_up(&s.w, &c), TT_E_AGAIN); /* INIT is sent once */
        assert_false(c.doomed);
        client_waits(&s.w, 1);
        assert_true(c.doomed);
        assert_int_equal(s.w.client.seal->stats.unanswered, i + 1);
        sealed_hangs_up(&s, &c, NULL);
    }
    sealed_world_close(&s);
}

/* A dial fails behind the choice of its ID: the attempt under way is no other for it. */
static void test_the_session_has_the_id_under_which_it_was_made(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_carrier c, far;
    struct tt_session_id other;
    sealed_world_open(&s, NULL);
    sealed_dials(&s, &c, &far);
    const struct tt_session_id id = s.w.client.config.id;
    assert_int_equal(tt_endpoint_dial_id(&s.w.client, &other), TT_OK);
    carry_up(&s.w, &c, &far);
    carry_down(&s.w, &far, &c);
    assert_int_equal(tt_endpoint_dial_id(&s.w.client, &other), TT_OK);
    carry_all(&s.w, &c, &far);
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_CONFIRMED);
    assert_true(tt_session_id_equal(&id, &s.w.client.config.id));
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

static void test_without_random_bytes_nothing_begins(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_session_id id;
    struct tt_carrier c, far;
    sealed_world_open(&s, NULL);
    s.no_random = true;
    assert_int_equal(tt_endpoint_dial_id(&s.w.client, &id), TT_E_SYSTEM);
    s.no_random = false;
    sealed_dials(&s, &c, &far);
    s.no_random = true;
    assert_int_equal(pull_up(&s.w, &c), TT_E_AGAIN);
    assert_true(c.doomed);
    sealed_hangs_up(&s, &c, &far);
    s.no_random = false;
    sealed_dials(&s, &c, &far);
    carry_up(&s.w, &c, &far); /* and at the server */
    sealed_hangs_up(&s, &c, &far);
    sealed_dials(&s, &c, &far);
    assert_int_equal(pull_up(&s.w, &c), TT_OK);
    s.no_random = true;
    give_server(&s.w, &far, last_packet(&s));
    assert_int_equal(pull_down(&s.w, &far), TT_E_AGAIN);
    assert_null(tt_gate_find(&s.gate, &s.w.id));
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

/* --- what a client is answered --- */

static void flip_first(struct kept *k)
{
    k->bytes[0] ^= 0x80;
}

static void flip_reserved(struct kept *k)
{
    k->bytes[3] ^= 1;
}

static void flip_key(struct kept *k)
{
    k->bytes[TT_SEALED_HEADER] ^= 1;
}

static void flip_tag(struct kept *k)
{
    k->bytes[k->len - 1] ^= 1;
}

static void cut(struct kept *k)
{
    k->len--;
}

static void lengthen(struct kept *k)
{
    k->bytes[k->len++] = 0;
}

static void empty(struct kept *k)
{
    k->len = 0;
}

static void no_key(struct kept *k)
{
    memset(k->bytes + TT_SEALED_HEADER, 0, TT_KEY_LEN);
}

static const struct {
    const char *name;
    void (*spoil)(struct kept *k);
} bad_responses[] = {
    {"another type", flip_first}, {"a reserved byte", flip_reserved},
    {"another key", flip_key},    {"another tag", flip_tag},
    {"too short", cut},           {"too long", lengthen},
    {"nothing at all", empty},    {"the key that is zero", no_key},
};

static void spoil_response(const struct sealed_setup *setup, unsigned i)
{
    struct sealed_world s;
    struct tt_carrier c, far;
    sealed_world_open(&s, setup);
    sealed_dials(&s, &c, &far);
    carry_up(&s.w, &c, &far);
    assert_int_equal(pull_down(&s.w, &far), TT_OK);
    const struct kept right = keep(&s);
    struct kept wrong = right;
    bad_responses[i].spoil(&wrong);
    const struct tt_noise before = *c.seal->noise;
    assert_int_equal(give_client(&s.w, &c, span_of(&wrong)), TT_OK);
    assert_int_equal(s.w.client.seal->stats.not_opened, 1);
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_NEW);
    assert_int_equal(c.doomed, c.limits.ordered); /* M-2 */
    assert_memory_equal(&before, c.seal->noise, sizeof(before));
    if (!c.doomed) { /* anybody could send one: the right one is still taken */
        assert_int_equal(give_client(&s.w, &c, span_of(&right)), TT_OK);
        assert_int_equal(s.w.client.seal->phase, TT_SEAL_KEYED);
        assert_int_equal(give_client(&s.w, &c, span_of(&right)), TT_OK);
        assert_int_equal(s.w.client.seal->stats.not_opened, 2); /* once */
        carry_all(&s.w, &c, &far);
        assert_int_equal(s.w.client.seal->phase, TT_SEAL_CONFIRMED);
    }
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

static void test_a_response_that_does_not_open(void **state)
{
    (void)state;
    const struct sealed_setup datagrams = sealed_datagrams();
    for (unsigned i = 0; i < ARRAY_LEN(bad_responses); i++) {
        spoil_response(NULL, i);
        spoil_response(&datagrams, i);
    }
}

static void test_a_second_response_ends_an_ordered_carrier(void **state)
{
    (void)state;
    struct sealed_world s;
    struct tt_carrier c, far;
    sealed_world_open(&s, NULL);
    sealed_dials(&s, &c, &far);
    carry_up(&s.w, &c, &far);
    assert_int_equal(pull_down(&s.w, &far), TT_OK);
    const struct kept response = keep(&s);
    (void)give_client(&s.w, &c, span_of(&response));
    const struct tt_keys keys = s.w.client.seal->send;
    (void)give_client(&s.w, &c, span_of(&response));
    assert_true(c.doomed);
    assert_memory_equal(&keys, &s.w.client.seal->send, sizeof(keys));
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

static const struct {
    const char *name;
    uint8_t state;
    enum tt_seal_phase phase;
    uint64_t full;
} first_answers[] = {
    {"a session", 0, TT_SEAL_KEYED, 0},
    {"an answer to no question", TT_SEAL_KNOWN, TT_SEAL_NEW, 0},
    {"the same", TT_SEAL_UNKNOWN, TT_SEAL_NEW, 0},
    {"no place", TT_SEAL_FULL, TT_SEAL_NEW, 1},
};

static void test_what_an_attempt_is_answered(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(first_answers); i++) {
        struct sealed_world s;
        struct tt_carrier c;
        sealed_world_open(&s, NULL);
        sealed_dials(&s, &c, NULL);
        assert_int_equal(pull_up(&s.w, &c), TT_OK);
        answer(&s, &c, first_answers[i].state, NULL);
        assert_int_equal(s.w.client.seal->phase, first_answers[i].phase);
        assert_int_equal(c.doomed, first_answers[i].phase == TT_SEAL_NEW);
        assert_int_equal(s.w.client.seal->stats.server_full, first_answers[i].full);
        assert_null(c.seal->noise);
        sealed_hangs_up(&s, &c, NULL);
        sealed_world_close(&s);
    }
}

/* --- asking for the session (M-16) --- */

static const uint8_t other_instance[TT_INSTANCE_LEN] = "another";

static const struct {
    const char *name;
    uint8_t state;
    bool other_instance, used;
    int error;
    uint64_t begun_anew, misroutes;
} answers[] = {
    {"known", TT_SEAL_KNOWN, false, true, 0, 0, 0},
    {"unknown where it was", TT_SEAL_UNKNOWN, false, true, TT_E_LOST, 0, 0},
    {"the same, and nothing was said in it", TT_SEAL_UNKNOWN, false, false, 0, 1, 0},
    {"unknown elsewhere", TT_SEAL_UNKNOWN, true, true, 0, 0, 1},
    {"unknown elsewhere, unused", TT_SEAL_UNKNOWN, true, false, 0, 0, 1},
    {"full", TT_SEAL_FULL, false, true, 0, 0, 0},
    {"nothing", 0, false, true, 0, 0, 0},
};

static void test_what_a_question_is_answered(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(answers); i++) {
        struct sealed_pair p;
        struct tt_carrier c;
        (answers[i].used ? open_sealed_pair : open_unused_pair)(&p, NULL);
        const struct tt_seal *const seal = p.s.w.client.seal;
        sealed_hangs_up(&p.s, &p.client, &p.server);
        ask(&p.s, &c);
        assert_int_equal(seal->stats.questions, 1);
        answer(&p.s, &c, answers[i].state, answers[i].other_instance ? other_instance : NULL);
        assert_int_equal(p.s.w.client.error, answers[i].error);
        assert_int_equal(seal->stats.begun_anew, answers[i].begun_anew);
        assert_int_equal(seal->stats.misroutes, answers[i].misroutes);
        assert_true(c.doomed || p.s.w.client.error);
        sealed_hangs_up(&p.s, &c, NULL);
        close_sealed_pair(&p);
    }
}

static void test_a_question_is_asked_once_and_not_where_the_answer_came(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c, far;
    open_sealed_pair(&p, NULL);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    sealed_dials(&p.s, &c, &far);
    carry_all(&p.s.w, &c, &far);
    client_waits(&p.s.w, TT_SECOND);
    assert_int_equal(p.s.w.client.seal->stats.questions, 0);
    sealed_hangs_up(&p.s, &c, &far);

    ask(&p.s, &c);
    client_waits(&p.s.w, TT_SECOND - 1);
    assert_int_equal(pull_up(&p.s.w, &c), TT_E_AGAIN);
    client_waits(&p.s.w, 1);
    assert_true(c.doomed);
    assert_int_equal(p.s.w.client.seal->stats.unanswered, 1);
    sealed_hangs_up(&p.s, &c, NULL);
    close_sealed_pair(&p);
}

static void be_misrouted(struct sealed_pair *p)
{
    struct tt_carrier c;
    ask(&p->s, &c);
    answer(&p->s, &c, TT_SEAL_UNKNOWN, other_instance);
    sealed_hangs_up(&p->s, &c, NULL);
    client_waits(&p->s.w, LATER);
}

static void test_misrouted_three_times_in_ten_seconds_is_lost(void **state)
{
    (void)state;
    struct sealed_pair p;
    open_sealed_pair(&p, NULL);
    const struct tt_endpoint *const e = &p.s.w.client;
    sealed_hangs_up(&p.s, &p.client, &p.server);
    be_misrouted(&p);
    const uint64_t first_us = e->seal->first_misroute_us;
    while (p.s.w.now_us + TT_SECOND < first_us + 10 * TT_SECOND) {
        be_misrouted(&p);
        assert_int_equal(e->error, 0);
    }
    client_waits(&p.s.w, TT_SECOND);
    be_misrouted(&p);
    assert_int_equal(e->error, TT_E_LOST);
    close_sealed_pair(&p);

    open_sealed_pair(&p, NULL); /* the third answer at the earliest, however long it takes */
    sealed_hangs_up(&p.s, &p.client, &p.server);
    be_misrouted(&p);
    client_waits(&p.s.w, 60 * TT_SECOND);
    be_misrouted(&p);
    assert_int_equal(e->error, 0);
    be_misrouted(&p);
    assert_int_equal(e->error, TT_E_LOST);
    close_sealed_pair(&p);
}

/* Not in a row: the right server has answered in between. */
static void test_a_known_session_is_not_misrouted(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c;
    open_sealed_pair(&p, NULL);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    be_misrouted(&p);
    client_waits(&p.s.w, 60 * TT_SECOND);
    be_misrouted(&p);
    ask(&p.s, &c);
    answer(&p.s, &c, TT_SEAL_KNOWN, NULL);
    assert_int_equal(p.s.w.client.seal->misroutes, 0);
    sealed_hangs_up(&p.s, &c, NULL);
    be_misrouted(&p);
    assert_int_equal(p.s.w.client.error, 0);
    close_sealed_pair(&p);
}

/* --- a session that begins anew --- */

/* Of a session that the server has forgotten nothing may be left: not its keys, nor a carrier that
 * has them, nor the numbers of those that went.
 */
static void test_a_session_that_begins_anew_is_another_one(void **state)
{
    (void)state;
    struct sealed_setup setup = sealed_setup();
    struct sealed_pair p;
    struct tt_carrier second, far_second, c, far;
    setup.session.client.carriers = 2;
    open_unused_pair(&p, &setup);
    struct tt_endpoint *const e = &p.s.w.client;
    sealed_dials(&p.s, &second, &far_second);
    carry_all(&p.s.w, &second, &far_second);
    tt_liveness_want_answer(p.far, &p.server, p.s.w.now_us);
    assert_int_equal(pull_down(&p.s.w, &p.server), TT_OK); /* PING, and somebody holds it */
    const struct kept held = keep(&p.s);
    const struct tt_session_id id = e->config.id;

    sealed_server_restarts(&p.s);
    sealed_hangs_up(&p.s, &second, &far_second); /* it will not be told of this one */
    ask(&p.s, &c);
    server_attaches(&p.s.w, &far);
    give_server(&p.s.w, &far, last_packet(&p.s));
    carry_down(&p.s.w, &far, &c);
    assert_int_equal(e->seal->stats.begun_anew, 1);
    assert_int_equal(e->seal->phase, TT_SEAL_NEW);
    assert_true(p.client.doomed && c.doomed);
    assert_true(is_wiped(&e->seal->send, sizeof(e->seal->send)));
    assert_true(is_wiped(&e->seal->receive, sizeof(e->seal->receive)));
    (void)give_client(&p.s.w, &p.client, span_of(&held));
    assert_int_equal(e->seal->phase, TT_SEAL_NEW);
    sealed_hangs_up(&p.s, &p.client, NULL);
    sealed_hangs_up(&p.s, &c, &far);

    p.stream = client_stream(&p.s.w, 10);
    sealed_dials(&p.s, &p.client, &p.server);
    assert_false(tt_session_id_equal(&id, &e->config.id));
    carry_all(&p.s.w, &p.client, &p.server);
    assert_int_equal(e->seal->phase, TT_SEAL_CONFIRMED);
    p.far = &accept_session(&p.s.w)->endpoint;
    assert_int_equal(p.far->seal->numbers.seen[1], 1); /* number 0, and no other is gone */
    assert_int_equal(tt_smux_accept(&p.far->smux, &p.far_stream), TT_OK);
    close_sealed_pair(&p);
}

static void test_kcp_waits_for_proof_until_something_was_said(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c, far;
    open_unused_pair(&p, NULL);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    p.stream = client_stream(&p.s.w, 10);
    sealed_dials(&p.s, &c, &far);
    lose_up(&p.s.w, &c); /* HELLO, and who has gone */
    assert_int_equal(c.taken_packets, 2);
    assert_int_equal(p.s.w.client.kcp.send.nxt, 0);
    sealed_hangs_up(&p.s, &c, &far);
    sealed_dials(&p.s, &c, &far);
    carry_all(&p.s.w, &c, &far);
    assert_int_equal(p.s.w.client.kcp.send.una, 1);
    sealed_hangs_up(&p.s, &c, &far);
    write_bytes(p.stream, 10);
    sealed_dials(&p.s, &c, NULL); /* now it may */
    lose_up(&p.s.w, &c);
    assert_int_equal(p.s.w.client.kcp.send.nxt, 2);
    sealed_hangs_up(&p.s, &c, NULL);
    close_sealed_pair(&p);
}

/* --- numbers (M-8, M-11) --- */

static void test_carriers_are_numbered_and_none_is_left_out(void **state)
{
    (void)state;
    struct sealed_pair p;
    open_sealed_pair(&p, NULL);
    assert_int_equal(p.client.number, 0);
    for (uint32_t i = 1; i < 200; i++) {
        sealed_hangs_up(&p.s, &p.client, &p.server);
        sealed_dials(&p.s, &p.client, &p.server);
        carry_all(&p.s.w, &p.client, &p.server);
        assert_int_equal(p.client.number, i);
        assert_int_equal(p.server.number, i);
        assert_ptr_equal(p.server.endpoint, p.far);
        const struct tt_seal *near = p.s.w.client.seal;
        const struct tt_seal *far = p.far->seal;
        /* The client's are those of the number that comes next. */
        assert_int_equal(near->send.epoch, (i + 1) / TT_EPOCH_CARRIERS);
        assert_int_equal(near->receive.epoch, (i + 1) / TT_EPOCH_CARRIERS);
        assert_true(is_wiped(near->send.secret[0], TT_KEY_LEN));
        assert_true(is_wiped(near->receive.secret[0], TT_KEY_LEN));
        assert_int_equal(far->send.epoch, i / TT_EPOCH_CARRIERS);
        assert_int_equal(far->receive.epoch, i / TT_EPOCH_CARRIERS);
        if (near->send.epoch == far->send.epoch) {
            assert_memory_equal(near->send.secret[1], far->receive.secret[1], TT_KEY_LEN);
            assert_memory_equal(near->receive.secret[1], far->send.secret[1], TT_KEY_LEN);
        }
        write_bytes(p.stream, 10);
        carry_all(&p.s.w, &p.client, &p.server);
    }
    bool ended;
    assert_int_equal(read_bytes(p.far_stream, &ended), 10 + 199 * 10);
    close_sealed_pair(&p);
}

/* An old carrier goes on under its own keys, whatever the epoch is by now. */
static void test_a_carrier_outlives_its_epoch(void **state)
{
    (void)state;
    struct sealed_setup setup = sealed_setup();
    struct sealed_pair p;
    setup.session.client.carriers = 2;
    open_sealed_pair(&p, &setup);
    for (uint32_t i = 0; i < 3 * TT_EPOCH_CARRIERS; i++) {
        struct tt_carrier c, far;
        sealed_dials(&p.s, &c, &far);
        carry_all(&p.s.w, &c, &far);
        sealed_hangs_up(&p.s, &c, &far);
        carry_all(&p.s.w, &p.client, &p.server);
    }
    assert_int_equal(p.far->seal->numbers.epoch, 3);
    write_bytes(p.stream, 10);
    carry_all(&p.s.w, &p.client, &p.server);
    bool ended;
    assert_int_equal(read_bytes(p.far_stream, &ended), 20);
    assert_false(p.client.doomed || p.server.doomed);
    close_sealed_pair(&p);
}

static void test_after_sixteen_silent_carriers_no_number_is_taken_unasked(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c, far;
    open_sealed_pair(&p, NULL);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    for (uint32_t i = 0; i < 16; i++) {
        sealed_dials(&p.s, &c, NULL);
        assert_int_equal(c.number, i + 1);
        assert_false(tt_sealed_init_due(&c));
        sealed_hangs_up(&p.s, &c, NULL);
    }
    for (uint32_t i = 0; i < 100; i++) {
        sealed_dials(&p.s, &c, NULL);
        assert_true(tt_sealed_init_due(&c));
        assert_false(tt_sealed_can_speak(&c));
        lose_up(&p.s.w, &c);
        client_waits(&p.s.w, 10 * TT_MS);
        sealed_hangs_up(&p.s, &c, NULL);
        assert_int_equal(p.s.w.client.next_carrier, 17);
    }
    sealed_dials(&p.s, &c, &far);
    carry_all(&p.s.w, &c, &far);
    assert_int_equal(c.number, 17);
    assert_ptr_equal(far.endpoint, p.far);
    assert_int_equal(p.s.gate.stats.questions, 1);
    assert_int_equal(p.s.w.client.unproven_in_a_row, 0);
    sealed_hangs_up(&p.s, &c, &far);
    close_sealed_pair(&p);
}

static void test_the_server_refuses_a_number_that_was(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c, far, rival;
    open_sealed_pair(&p, NULL);
    sealed_dials(&p.s, &c, &far);
    assert_int_equal(pull_up(&p.s.w, &c), TT_OK);
    const struct kept hello = keep(&p.s);
    server_attaches(&p.s.w, &rival); /* who has stolen it is first */
    give_server(&p.s.w, &rival, span_of(&hello));
    assert_ptr_equal(rival.endpoint, p.far);
    give_server(&p.s.w, &far, span_of(&hello));
    assert_null(far.endpoint);
    assert_int_equal(p.s.gate.stats.data_refused, 1);
    /* Named gone, it is ended; and the number is refused for ever, as one that never came. */
    sealed_hangs_up(&p.s, &c, &far);
    carry_all(&p.s.w, &p.client, &p.server);
    assert_true(rival.doomed);
    sealed_hangs_up(&p.s, NULL, &rival);
    sealed_dials(&p.s, &c, &far);
    assert_int_equal(pull_up(&p.s.w, &c), TT_OK);
    const struct kept unseen = keep(&p.s);
    sealed_hangs_up(&p.s, &c, NULL);
    carry_all(&p.s.w, &p.client, &p.server);
    give_server(&p.s.w, &far, span_of(&unseen));
    assert_null(far.endpoint);
    sealed_hangs_up(&p.s, NULL, &far);
    close_sealed_pair(&p);
}

static void test_behind_the_last_number_the_session_ends(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c;
    open_sealed_pair(&p, NULL);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    p.s.w.client.next_carrier = TT_CARRIERS_MAX;
    sealed_dials(&p.s, &c, NULL);
    assert_int_equal(c.number, TT_CARRIERS_MAX);
    assert_int_equal(pull_up(&p.s.w, &c), TT_OK);
    sealed_hangs_up(&p.s, &c, NULL);
    sealed_dials(&p.s, &c, NULL);
    assert_int_equal(p.s.w.client.error, TT_E_EXHAUSTED);
    assert_int_equal(pull_up(&p.s.w, &c), TT_E_EXHAUSTED);
    sealed_hangs_up(&p.s, &c, NULL);
    close_sealed_pair(&p);
}

/* --- counters (M-9, M-10) --- */

static void next_counter(struct kept *k)
{
    k->bytes[7]++;
}

static void next_number(struct kept *k)
{
    k->bytes[3]++;
}

static void only_header(struct kept *k)
{
    k->len = TT_SEALED_OVERHEAD - 1;
}

static void reserved_type(struct kept *k)
{
    k->bytes[0] = 0x04;
}

static const struct {
    const char *name;
    void (*spoil)(struct kept *k);
} bad_data[] = {
    {"another type", flip_first},
    {"the reserved type", reserved_type},
    {"the next counter", next_counter},
    {"another carrier", next_number},
    {"another tag", flip_tag},
    {"too short", cut},
    {"too long", lengthen},
    {"nothing at all", empty},
    {"shorter than any", only_header},
};

/* Returns the counter of all that did not open at that end. */
static uint64_t spoil_data(struct sealed_pair *p, bool up, void (*spoil)(struct kept *k))
{
    struct tt_smux_stream *const stream = up ? p->stream : p->far_stream;
    const struct tt_seal *const seal = up ? p->far->seal : p->s.w.client.seal;
    write_bytes(stream, 10);
    assert_int_equal(up ? pull_up(&p->s.w, &p->client) : pull_down(&p->s.w, &p->server), TT_OK);
    struct kept k = keep(&p->s);
    if (spoil)
        spoil(&k);
    for (unsigned times = spoil ? 1 : 2; times > 0; times--) {
        if (up)
            give_server(&p->s.w, &p->server, span_of(&k));
        else
            (void)give_client(&p->s.w, &p->client, span_of(&k));
    }
    return seal->stats.not_opened;
}

static void check_goes_on(struct sealed_pair *p, bool up)
{
    bool ended;
    sealed_hangs_up(&p->s, &p->client, &p->server);
    sealed_dials(&p->s, &p->client, &p->server);
    carry_all(&p->s.w, &p->client, &p->server);
    assert_int_equal(p->s.w.client.error, 0);
    assert_int_equal(p->far->error, 0);
    /* 10 bytes of the beginning, and 10 now: once. */
    assert_int_equal(read_bytes(up ? p->far_stream : p->stream, &ended), up ? 20 : 10);
}

static void test_what_does_not_fit_ends_the_carrier_and_not_the_session(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= ARRAY_LEN(bad_data); i++) {
        for (unsigned up = 0; up < 2; up++) {
            struct sealed_pair p;
            open_sealed_pair(&p, NULL);
            /* The last round: the same twice. */
            assert_int_equal(spoil_data(&p, up, i < ARRAY_LEN(bad_data) ? bad_data[i].spoil : NULL),
                             1);
            assert_true(up ? p.server.doomed : p.client.doomed);
            check_goes_on(&p, up);
            close_sealed_pair(&p);
        }
    }
}

static void test_datagrams_that_do_not_fit_are_dropped(void **state)
{
    (void)state;
    const struct sealed_setup setup = sealed_datagrams();
    for (unsigned i = 0; i <= ARRAY_LEN(bad_data); i++) {
        for (unsigned up = 0; up < 2; up++) {
            struct sealed_pair p;
            open_sealed_pair(&p, &setup);
            assert_int_equal(spoil_data(&p, up, i < ARRAY_LEN(bad_data) ? bad_data[i].spoil : NULL),
                             1);
            assert_false(p.server.doomed || p.client.doomed);
            check_goes_on(&p, up);
            close_sealed_pair(&p);
        }
    }
}

static void test_a_datagram_comes_in_any_order_and_once(void **state)
{
    (void)state;
    const struct sealed_setup setup = sealed_datagrams();
    struct sealed_pair p;
    struct kept kept[5];
    open_sealed_pair(&p, &setup);
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
        write_bytes(p.stream, 10);
        assert_int_equal(pull_up(&p.s.w, &p.client), TT_OK);
        kept[i] = keep(&p.s);
    }
    for (unsigned i = ARRAY_LEN(kept); i > 0; i--)
        give_server(&p.s.w, &p.server, span_of(&kept[i - 1]));
    bool ended;
    assert_int_equal(read_bytes(p.far_stream, &ended), 60);
    assert_int_equal(p.far->seal->stats.again, 0);
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++)
        give_server(&p.s.w, &p.server, span_of(&kept[i]));
    assert_int_equal(p.far->seal->stats.again, ARRAY_LEN(kept));
    assert_int_equal(p.far->kcp.receive.duplicates, 0); /* KCP did not hear of it */
    close_sealed_pair(&p);
}

static void test_an_init_on_a_proven_carrier_is_dropped(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c;
    open_sealed_pair(&p, NULL);
    ask(&p.s, &c);
    give_server(&p.s.w, &p.server, last_packet(&p.s)); /* overtaken by its answer */
    assert_false(p.server.doomed);
    assert_int_equal(p.s.gate.stats.inits, 1); /* the session's own */
    assert_int_equal(p.far->seal->stats.not_opened, 0);
    sealed_hangs_up(&p.s, &c, NULL);
    close_sealed_pair(&p);
}

static void test_at_the_last_counter_the_carrier_is_retired(void **state)
{
    (void)state;
    struct sealed_pair p;
    open_sealed_pair(&p, NULL);
    p.client.seal->sent = p.server.seal->received = TT_SEALED_COUNTER_LIMIT - 1;
    write_bytes(p.stream, 10);
    assert_int_equal(pull_up(&p.s.w, &p.client), TT_OK);
    give_server(&p.s.w, &p.server, last_packet(&p.s));
    assert_false(p.server.doomed);
    assert_true(p.client.doomed);
    assert_false(tt_sealed_can_speak(&p.client));
    write_bytes(p.stream, 10);
    assert_int_equal(pull_up(&p.s.w, &p.client), TT_E_AGAIN);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    sealed_dials(&p.s, &p.client, &p.server);
    carry_all(&p.s.w, &p.client, &p.server);
    bool ended;
    assert_int_equal(read_bytes(p.far_stream, &ended), 30);
    close_sealed_pair(&p);
}

/* Else the counters would begin anew with the same key. */
static void test_the_counter_behind_the_last_is_not_taken(void **state)
{
    (void)state;
    const struct sealed_setup datagrams = sealed_datagrams();
    for (unsigned ordered = 0; ordered < 2; ordered++) {
        struct sealed_pair p;
        open_sealed_pair(&p, ordered ? NULL : &datagrams);
        const uint64_t received = p.far->heard_us;
        p.server.seal->received = TT_SEALED_COUNTER_LIMIT;
        p.client.seal->sent = TT_SEALED_COUNTER_LIMIT; /* a peer that does not stop */
        uint8_t room[TT_SEALED_OVERHEAD + TT_CONTROL_MAX] = {0};
        const struct tt_sealed_header h = {.counter = TT_SEALED_COUNTER_LIMIT};
        assert_int_equal(tt_sealed_data_write(&p.s.sealer, p.client.seal->send_key, &h,
                                              TT_CONTROL_PING, room, TT_CONTROL_TOKEN),
                         TT_OK);
        p.s.w.now_us++;
        give_server(&p.s.w, &p.server, tt_span_of(room, TT_SEALED_OVERHEAD + TT_CONTROL_TOKEN));
        assert_int_equal(p.far->seal->stats.not_opened, 1);
        assert_int_equal(p.far->heard_us, received);
        assert_int_equal(p.server.doomed, ordered);
        close_sealed_pair(&p);
    }
}

static void test_after_two_to_the_32_failures_a_session_of_datagrams_ends(void **state)
{
    (void)state;
    const struct sealed_setup setup = sealed_datagrams();
    struct sealed_pair p;
    static const uint8_t garbage[40] = {TT_SEALED_DATA};
    open_sealed_pair(&p, &setup);
    p.far->seal->stats.not_opened = UINT32_MAX - UINT64_C(1);
    give_server(&p.s.w, &p.server, tt_span_of(garbage, sizeof(garbage)));
    assert_int_equal(p.far->error, 0);
    give_server(&p.s.w, &p.server, tt_span_of(garbage, sizeof(garbage)));
    assert_int_equal(p.far->error, TT_E_EXHAUSTED);
    close_sealed_pair(&p);
}

/* --- a carrier whose proof may be stolen (M-12) --- */

static uint64_t bytes_down(struct sealed_pair *p, struct tt_carrier *c)
{
    uint64_t bytes = 0;
    while (pull_down(&p->s.w, c) == TT_OK)
        bytes += p->s.w.packet_len;
    return bytes;
}

static void test_a_carrier_that_has_not_answered_is_given_little(void **state)
{
    (void)state;
    for (unsigned answered = 0; answered < 2; answered++) {
        struct sealed_setup setup = sealed_setup();
        struct sealed_pair p;
        struct tt_carrier c, far;
        setup.session.client.carriers = 2;
        open_sealed_pair(&p, &setup);
        assert_true(p.server.seal->answered);
        sealed_dials(&p.s, &c, &far);
        assert_int_equal(pull_up(&p.s.w, &c), TT_OK);
        give_server(&p.s.w, &far, last_packet(&p.s)); /* HELLO; its PING is not answered yet */
        assert_false(far.seal->answered);
        far.live.bytes_per_s = p.server.live.bytes_per_s = 1u << 30; /* brisk otherwise */
        far.path.allowance = TT_KCP_UNLIMITED;
        far.path.rtt.sampled = true;
        far.path.rtt.least_us = far.path.rtt.smoothed_us = 100 * TT_MS;
        p.far->kcp.send.edge = 10000;
        if (answered)
            carry_all(&p.s.w, &c, &far);
        assert_int_equal(far.seal->answered, answered);
        tt_carriers_review(p.far);
        for (unsigned i = 0; i < 60; i++)
            write_bytes(p.far_stream, 4000);
        tt_endpoint_carrier_blocked(p.far, p.s.w.now_us, &p.server, true);
        /* 64 KiB of KCP's, and what is around it. */
        assert_in_range(bytes_down(&p, &far), answered ? 100u << 10 : 64000,
                        answered ? 1u << 20 : 66u << 10);
        tt_carriers_review(p.far);
        if (!answered)
            assert_int_equal(bytes_down(&p, &far), 0);
        sealed_hangs_up(&p.s, &c, &far);
        close_sealed_pair(&p);
    }
}

/* --- sizes (M-15) --- */

static void test_no_sealed_packet_is_longer_than_the_carrier_takes(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1400, 1425, 1500, 2000, 4096, 9000, 65535};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        const struct tt_carrier_limits limits = {.ordered = true, .max_packet = sizes[i]};
        struct sealed_setup setup = sealed_setup();
        struct sealed_pair p;
        uint32_t longest = 0;
        setup.session.limits = &limits;
        if (sizes[i] < 1425)
            setup.session.client.mtu = setup.session.server.mtu = sizes[i] - TT_SEALED_OVERHEAD;
        open_sealed_pair(&p, &setup);
        for (unsigned n = 0; n < 60; n++)
            write_bytes(p.stream, 4000);
        for (unsigned n = 0; n < 10; n++) {
            while (pull_up(&p.s.w, &p.client) == TT_OK) {
                longest = p.s.w.packet_len > longest ? p.s.w.packet_len : longest;
                give_server(&p.s.w, &p.server, last_packet(&p.s));
            }
            carry_down(&p.s.w, &p.server, &p.client);
        }
        assert_in_range(longest, 1376, sizes[i]);
        close_sealed_pair(&p);
    }
}

static void test_a_peer_whose_packets_are_too_short_for_a_segment_is_refused(void **state)
{
    (void)state;
    const struct tt_carrier_limits limits = {.ordered = true, .max_packet = 1424};
    struct sealed_setup setup = sealed_setup();
    struct sealed_world s;
    struct tt_carrier c, far;
    setup.session.limits = &limits;
    sealed_world_open(&s, &setup);
    sealed_dials(&s, &c, &far);
    carry_all(&s.w, &c, &far);
    assert_true(far.doomed);
    assert_int_equal(s.w.client.seal->phase, TT_SEAL_KEYED);
    sealed_hangs_up(&s, &c, &far);
    sealed_world_close(&s);
}

/* --- keys (M-18) --- */

static void test_a_number_in_hello_must_be_the_packets(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c, far;
    open_sealed_pair(&p, NULL);
    sealed_dials(&p.s, &c, &far);
    uint8_t room[TT_SEALED_OVERHEAD + TT_CONTROL_MAX];
    const struct tt_control hello = {
        .type = TT_CONTROL_HELLO,
        .hello = {.version = 1, .max_packet = 65535, .carrier = c.number + 1}};
    const struct tt_sealed_header h = {.carrier = c.number};
    const uint32_t len = tt_control_write(room + TT_SEALED_DATA_HEADER, &hello);
    assert_int_equal(
        tt_sealed_data_write(&p.s.sealer, c.seal->send_key, &h, TT_CONTROL_HELLO, room, len - 1),
        TT_OK);
    give_server(&p.s.w, &far, tt_span_of(room, len - 1 + TT_SEALED_OVERHEAD));
    assert_ptr_equal(far.endpoint, p.far);
    assert_true(far.doomed);
    sealed_hangs_up(&p.s, &c, &far);
    close_sealed_pair(&p);
}

static void test_the_first_data_of_an_ordered_carrier_is_hello(void **state)
{
    (void)state;
    struct sealed_pair p;
    struct tt_carrier c, far;
    open_sealed_pair(&p, NULL);
    sealed_hangs_up(&p.s, &p.client, &p.server);
    sealed_dials(&p.s, &c, &far);
    c.due.hello = false;
    p.s.w.client.gone_count = 0;
    write_bytes(p.stream, 10);
    assert_int_equal(pull_up(&p.s.w, &c), TT_OK);
    assert_int_equal(p.s.w.client.kcp.send.nxt, 2);
    give_server(&p.s.w, &far, last_packet(&p.s));
    assert_true(far.doomed);
    bool ended;
    assert_int_equal(read_bytes(p.far_stream, &ended), 10);
    sealed_hangs_up(&p.s, &c, &far);
    close_sealed_pair(&p);
}

/* --- memory --- */

/* Goes on until all is said, if nothing is refused any more. */
static void begin_without_memory(struct sealed_world *s)
{
    struct tt_carrier c, far;
    struct tt_smux_stream *stream = NULL;
    struct tt_server_session *session = NULL;
    for (unsigned tries = 0; tries < 10 && !session; tries++) {
        sealed_dials(s, &c, &far);
        if (!stream && tt_smux_open(&s->w.client.smux, &stream) == TT_OK) {
            size_t taken;
            (void)tt_smux_write(stream, (const uint8_t *)"hello", 5, &taken);
        }
        for (unsigned i = 0; i < 3; i++) {
            carry_all(&s->w, &c, &far);
            sealed_waits(s, 60 * TT_MS);
        }
        if (s->w.client.kcp.send.una == 0 ||
            tt_queue_packet_conn_accept(&s->w.server, &session) != TT_OK)
            session = NULL;
        flush_dirty(&s->w);
        sealed_hangs_up(s, &c, &far);
    }
    assert_non_null(session);
    assert_int_equal(s->w.client.seal->phase, TT_SEAL_CONFIRMED);
}

static void test_any_single_allocation_may_fail(void **state)
{
    (void)state;
    const struct sealed_setup setups[] = {sealed_setup(), sealed_datagrams()};
    for (unsigned i = 0; i < ARRAY_LEN(setups); i++) {
        bool refused = true;
        for (size_t n = 0; refused; n++) {
            struct sealed_world s;
            sealed_world_open(&s, &setups[i]);
            s.w.memory.fail_at = s.w.memory.calls + n;
            begin_without_memory(&s);
            refused = s.w.memory.refused;
            sealed_world_close(&s); /* nothing is left */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_of_kcp_leaves_before_the_server_has_shown_its_keys),
        cmocka_unit_test(test_each_dial_is_another_attempt),
        cmocka_unit_test(test_an_attempt_ends_after_a_time_that_doubles),
        cmocka_unit_test(test_the_session_has_the_id_under_which_it_was_made),
        cmocka_unit_test(test_without_random_bytes_nothing_begins),
        cmocka_unit_test(test_a_response_that_does_not_open),
        cmocka_unit_test(test_a_second_response_ends_an_ordered_carrier),
        cmocka_unit_test(test_what_an_attempt_is_answered),
        cmocka_unit_test(test_what_a_question_is_answered),
        cmocka_unit_test(test_a_question_is_asked_once_and_not_where_the_answer_came),
        cmocka_unit_test(test_misrouted_three_times_in_ten_seconds_is_lost),
        cmocka_unit_test(test_a_known_session_is_not_misrouted),
        cmocka_unit_test(test_a_session_that_begins_anew_is_another_one),
        cmocka_unit_test(test_kcp_waits_for_proof_until_something_was_said),
        cmocka_unit_test(test_carriers_are_numbered_and_none_is_left_out),
        cmocka_unit_test(test_a_carrier_outlives_its_epoch),
        cmocka_unit_test(test_after_sixteen_silent_carriers_no_number_is_taken_unasked),
        cmocka_unit_test(test_the_server_refuses_a_number_that_was),
        cmocka_unit_test(test_behind_the_last_number_the_session_ends),
        cmocka_unit_test(test_what_does_not_fit_ends_the_carrier_and_not_the_session),
        cmocka_unit_test(test_datagrams_that_do_not_fit_are_dropped),
        cmocka_unit_test(test_a_datagram_comes_in_any_order_and_once),
        cmocka_unit_test(test_an_init_on_a_proven_carrier_is_dropped),
        cmocka_unit_test(test_at_the_last_counter_the_carrier_is_retired),
        cmocka_unit_test(test_the_counter_behind_the_last_is_not_taken),
        cmocka_unit_test(test_after_two_to_the_32_failures_a_session_of_datagrams_ends),
        cmocka_unit_test(test_a_carrier_that_has_not_answered_is_given_little),
        cmocka_unit_test(test_no_sealed_packet_is_longer_than_the_carrier_takes),
        cmocka_unit_test(test_a_peer_whose_packets_are_too_short_for_a_segment_is_refused),
        cmocka_unit_test(test_a_number_in_hello_must_be_the_packets),
        cmocka_unit_test(test_the_first_data_of_an_ordered_carrier_is_hello),
        cmocka_unit_test(test_any_single_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
