/* A sealed server's gate: what strangers get, which is nothing, and what each limit does (sealed.md
 * M-1, M-5, M-6, M-16).
 */
#include "core/gate.h"

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "failing_alloc.h"
#include "test.h"

#define WALL_S UINT64_C(1790000000)

static const struct tt_carrier_limits ordered = {.ordered = true, .max_packet = 1500};
static const struct tt_carrier_limits datagrams = {.ordered = false, .max_packet = 1400};

struct world {
    struct failing_alloc memory;
    struct tt_sealer sealer;
    struct tt_server_keys keys;
    struct tt_client_keys client;
    struct tt_gate gate;
    uint64_t seed, wall_s, now_us;
    bool welcome;
    uint8_t packet[2048]; /* the last one written */
    uint32_t len;
};

static int fill(void *ctx, void *out, size_t len)
{
    struct world *w = ctx;
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)test_random(&w->seed);
    return TT_OK;
}

static uint64_t wall_s(void *ctx)
{
    const struct world *w = ctx;
    return w->wall_s;
}

static bool is_welcome(void *ctx, const uint8_t client_key[TT_KEY_LEN])
{
    const struct world *w = ctx;
    return w->welcome && memcmp(client_key, w->client.public_key, TT_KEY_LEN) == 0;
}

static void make_pair(struct world *w, uint8_t *private_key, uint8_t *public_key)
{
    (void)fill(w, private_key, TT_KEY_LEN);
    assert_int_equal(tt_crypto_public(w->sealer.crypto, private_key, public_key), TT_OK);
}

static struct tt_gate_config config_of(struct world *w)
{
    return (struct tt_gate_config){.sealer = &w->sealer,
                                   .keys = &w->keys,
                                   .welcome_ctx = w,
                                   .max_half_open = 3,
                                   .max_seen = 64,
                                   .interval_s = 7200,
                                   .alloc = &w->memory.alloc};
}

static void open_bare(struct world *w)
{
    const struct tt_random random = {.fill = fill, .ctx = w};
    memset(w, 0, sizeof(*w));
    w->now_us = 100 * TT_SECOND;
    w->wall_s = WALL_S;
    w->welcome = true;
    failing_alloc_init(&w->memory, FAIL_NEVER);
    assert_int_equal(tt_sealer_init(&w->sealer, &random, wall_s, w), TT_OK);
    make_pair(w, w->keys.private_key, w->keys.public_key);
    memcpy(w->client.server_public, w->keys.public_key, TT_KEY_LEN);
    make_pair(w, w->client.private_key, w->client.public_key);
}

static void open_world(struct world *w)
{
    open_bare(w);
    const struct tt_gate_config config = config_of(w);
    assert_int_equal(tt_gate_init(&w->gate, &config), TT_OK);
}

static void close_world(struct world *w)
{
    tt_gate_dispose(&w->gate);
    tt_gate_dispose(&w->gate); /* twice is safe */
    tt_sealer_dispose(&w->sealer);
    assert_int_equal(w->memory.live, 0);
}

static struct tt_carrier carrier(unsigned session, const struct tt_carrier_limits *limits)
{
    struct tt_carrier c = {.limits = *limits, .id = {.bytes = {(uint8_t)session, 1}}};
    return c;
}

static void write_init(struct world *w, const struct tt_carrier *c, const uint8_t *resume)
{
    struct tt_noise n;
    assert_int_equal(tt_init_write(&n, &w->sealer, &w->client, &c->id, resume, w->packet, &w->len),
                     TT_OK);
    tt_crypto_wipe(&n, sizeof(n));
}

static void hear(struct world *w, struct tt_carrier *c, const struct tt_seal *open, bool full)
{
    uint8_t copy[sizeof(w->packet)];
    memcpy(copy, w->packet, sizeof(copy));
    tt_gate_hear_init(&w->gate, w->now_us, c, tt_span_of(copy, w->len), open, full);
}

/* An INIT for a new session. */
static void knock(struct world *w, struct tt_carrier *c)
{
    write_init(w, c, NULL);
    hear(w, c, NULL, false);
}

/* Whether there is a reply; it leaves. */
static bool is_answered(struct world *w, struct tt_carrier *c)
{
    static struct tt_gather g;
    uint32_t len = 0;
    const bool due = c->reply != NULL;
    tt_gather_reset(&g);
    assert_int_equal(tt_gate_next_reply(&w->gate, c, &g, &len), due ? TT_OK : TT_E_AGAIN);
    if (due) {
        uint8_t first;
        assert_int_equal(g.bytes, len);
        first = g.spans[0].ptr[0];
        assert_int_equal(first, TT_SEALED_RESPONSE);
    }
    assert_null(c->reply);
    return due;
}

static uint32_t half_open(const struct world *w)
{
    return (uint32_t)tt_remote_map_count(&w->gate.halves);
}

/* --- who is heard --- */

static void test_a_fresh_init_is_answered_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct world w;
        open_world(&w);
        struct tt_carrier c = carrier(1, i & 1 ? &ordered : &datagrams);
        w.client.has_identity = i & 2;
        knock(&w, &c);
        const struct tt_half_open *half = tt_gate_find(&w.gate, &c.id);
        assert_non_null(half);
        assert_int_equal(half->client_known, w.client.has_identity);
        if (half->client_known)
            assert_memory_equal(half->client_key, w.client.public_key, TT_KEY_LEN);
        assert_true(is_answered(&w, &c));
        assert_false(is_answered(&w, &c));
        assert_false(c.muted);
        assert_int_equal(w.gate.stats.half_opened, 1);
        assert_int_equal(w.gate.stats.inits, 1);
        close_world(&w);
    }
}

static void spoil_version(struct world *w)
{
    w->packet[1] = 2;
}

static void spoil_pattern(struct world *w)
{
    w->packet[2] = 3;
}

static void spoil_reserved(struct world *w)
{
    w->packet[3] = 1;
}

static void spoil_key(struct world *w)
{
    w->packet[4] ^= 1;
}

static void spoil_tag(struct world *w)
{
    w->packet[w->len - 1] ^= 1;
}

static void spoil_end(struct world *w)
{
    w->len--;
}

static void spoil_length(struct world *w)
{
    w->len = TT_SEALED_UNPROVEN_MAX + 1;
}

static void only_type(struct world *w)
{
    w->len = 1;
}

static void other_session(struct world *w)
{
    struct tt_carrier other = carrier(99, &ordered);
    write_init(w, &other, NULL);
}

static void other_server(struct world *w)
{
    struct tt_carrier c = carrier(1, &ordered);
    w->client.server_public[0] ^= 1;
    write_init(w, &c, NULL);
}

static void too_old(struct world *w)
{
    w->wall_s += 7200 + 1;
}

static void too_new(struct world *w)
{
    w->wall_s -= 7200 + 64;
}

static const struct {
    const char *name;
    void (*spoil)(struct world *w);
    uint64_t not_opened, wrong_time;
} mute[] = {
    {"another version", spoil_version, 1, 0},
    {"another pattern", spoil_pattern, 1, 0},
    {"a reserved byte", spoil_reserved, 1, 0},
    {"a key that is not the sender's", spoil_key, 1, 0},
    {"a wrong tag", spoil_tag, 1, 0},
    {"cut", spoil_end, 1, 0},
    {"too long", spoil_length, 1, 0},
    {"the type and nothing else", only_type, 1, 0},
    {"for another session", other_session, 1, 0},
    {"for another server", other_server, 1, 0},
    {"too old", too_old, 0, 1},
    {"of the future", too_new, 0, 1},
};

static void test_whatever_is_wrong_has_one_effect(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(mute); i++) {
        for (unsigned is_ordered = 0; is_ordered < 2; is_ordered++) {
            struct world w;
            open_world(&w);
            struct tt_carrier c = carrier(1, is_ordered ? &ordered : &datagrams);
            const size_t live = w.memory.live, bytes = w.memory.live_bytes;
            write_init(&w, &c, NULL);
            mute[i].spoil(&w);
            hear(&w, &c, NULL, false);
            assert_false(is_answered(&w, &c));
            assert_int_equal(w.gate.stats.not_opened, mute[i].not_opened);
            assert_int_equal(w.gate.stats.wrong_time, mute[i].wrong_time);
            assert_int_equal(c.muted, is_ordered); /* of datagrams anybody can send one */
            assert_int_equal(w.gate.stats.muted, is_ordered);
            assert_int_equal(half_open(&w), 0);
            assert_int_equal(w.memory.live, live);
            assert_int_equal(w.memory.live_bytes, bytes);
            close_world(&w);
        }
    }
}

static void test_times_that_are_near_enough(void **state)
{
    (void)state;
    static const int64_t off_s[] = {-7200, -1, 0, 1, 7200};
    for (unsigned i = 0; i < ARRAY_LEN(off_s); i++) {
        struct world w;
        open_world(&w);
        struct tt_carrier c = carrier(1, &ordered);
        write_init(&w, &c, NULL);
        w.wall_s = (uint64_t)((int64_t)WALL_S + off_s[i]);
        hear(&w, &c, NULL, false);
        assert_true(is_answered(&w, &c));
        close_world(&w);
    }
}

static void test_what_came_before_is_not_answered_again(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct tt_carrier c = carrier(1, &ordered), again = carrier(1, &ordered);
    knock(&w, &c);
    tt_gate_leave(&w.gate, &c);
    hear(&w, &again, NULL, false); /* while it is half open, */
    assert_false(is_answered(&w, &again));
    assert_true(again.muted);
    w.now_us += 11 * TT_SECOND;
    tt_gate_handle_timeout(&w.gate, w.now_us);
    again = carrier(1, &ordered);
    hear(&w, &again, NULL, false); /* and afterwards */
    assert_false(is_answered(&w, &again));
    assert_int_equal(w.gate.stats.replayed, 2);
    assert_int_equal(half_open(&w), 0);
    close_world(&w);
}

static void test_a_datagram_that_comes_twice_is_answered_once(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct tt_carrier c = carrier(1, &datagrams);
    knock(&w, &c);
    assert_true(is_answered(&w, &c));
    for (unsigned i = 0; i < 5; i++)
        hear(&w, &c, NULL, false);
    assert_false(is_answered(&w, &c));
    assert_int_equal(w.gate.stats.replayed, 5);
    close_world(&w);
}

/* --- the list of clients (M-1) --- */

static const struct {
    const char *name;
    bool identity, welcome;
    uint64_t inits, not_welcome;
    bool answered;
} clients[] = {
    {"somebody without a key, untried", false, true, 0, 1, false},
    {"a key that is not listed", true, false, 1, 1, false},
    {"one that is", true, true, 1, 0, true},
};

static void test_with_a_list_those_on_it_alone_come_in(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
        struct world w;
        open_world(&w);
        w.gate.config.welcome = is_welcome;
        w.client.has_identity = clients[i].identity;
        w.welcome = clients[i].welcome;
        struct tt_carrier c = carrier(1, &ordered);
        knock(&w, &c);
        assert_int_equal(is_answered(&w, &c), clients[i].answered);
        assert_int_equal(c.muted, !clients[i].answered);
        assert_int_equal(w.gate.stats.inits, clients[i].inits);
        assert_int_equal(w.gate.stats.not_welcome, clients[i].not_welcome);
        assert_int_equal(half_open(&w), clients[i].answered);
        close_world(&w);
    }
}

/* A listed key in an INIT that its owner did not write: the rest of it does not open. */
static void test_a_listed_key_alone_opens_nothing(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.gate.config.welcome = is_welcome;
    w.client.has_identity = true;
    w.client.private_key[5] ^= 1; /* the thief knows the public one */
    struct tt_carrier c = carrier(1, &ordered);
    knock(&w, &c);
    assert_false(is_answered(&w, &c));
    assert_true(c.muted);
    assert_int_equal(w.gate.stats.not_opened, 1);
    assert_int_equal(half_open(&w), 0);
    close_world(&w);
}

/* --- limits --- */

static void test_two_inits_of_a_connection_are_tried(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct tt_carrier c = carrier(1, &ordered);
    struct tt_seal open = {.phase = TT_SEAL_CONFIRMED};
    for (unsigned i = 0; i < 4; i++) {
        write_init(&w, &c, open.resume);
        hear(&w, &c, &open, false);
        assert_int_equal(is_answered(&w, &c), i < 2);
    }
    assert_int_equal(w.gate.stats.inits, 2);
    assert_int_equal(w.gate.stats.too_many, 2);
    assert_false(c.muted);
    close_world(&w);
}

static void test_so_many_a_second_of_an_address_are_tried(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    w.gate.config.inits_per_second = 5;
    w.gate.config.max_half_open = 100;
    for (unsigned second = 0; second < 3; second++) {
        for (unsigned i = 0; i < 8; i++) {
            struct tt_carrier c = carrier(10 * second + i, &ordered);
            c.origin = 77;
            knock(&w, &c);
            assert_int_equal(is_answered(&w, &c), i < 5);
        }
        struct tt_carrier other = carrier(100 + second, &ordered);
        other.origin = 78; /* another address is not refused for that, */
        knock(&w, &other);
        assert_true(is_answered(&w, &other));
        other = carrier(200 + second, &ordered);
        other.origin = 0; /* nor is one that is not known */
        knock(&w, &other);
        assert_true(is_answered(&w, &other));
        w.now_us += TT_SECOND;
    }
    assert_int_equal(w.gate.stats.too_many, 9);
    close_world(&w);
}

static void test_at_the_limit_newcomers_are_refused_and_nobody_is_driven_out(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    for (unsigned i = 0; i < 6; i++) {
        struct tt_carrier c = carrier(i, &ordered);
        knock(&w, &c);
        assert_true(is_answered(&w, &c)); /* or told that the server is full */
        assert_int_equal(half_open(&w), i < 3 ? i + 1 : 3);
    }
    assert_int_equal(w.gate.stats.refused_full, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct tt_carrier c = carrier(i, &ordered);
        assert_non_null(tt_gate_find(&w.gate, &c.id));
    }
    close_world(&w);
}

static void test_a_server_that_is_full_says_so(void **state)
{
    (void)state;
    struct world w;
    struct tt_noise n;
    struct tt_parameters said;
    static struct tt_gather g;
    uint32_t len;
    open_world(&w);
    struct tt_carrier c = carrier(1, &ordered);
    assert_int_equal(tt_init_write(&n, &w.sealer, &w.client, &c.id, NULL, w.packet, &w.len), TT_OK);
    hear(&w, &c, NULL, true);
    assert_int_equal(w.gate.stats.refused_full, 1);
    assert_int_equal(half_open(&w), 0);
    tt_gather_reset(&g);
    assert_int_equal(tt_gate_next_reply(&w.gate, &c, &g, &len), TT_OK);
    assert_int_equal(tt_response_read(&n, &w.sealer, g.spans[0], &said, NULL), TT_OK);
    assert_int_equal(said.state, TT_SEAL_FULL);
    close_world(&w);
}

static void test_a_half_open_session_lives_ten_seconds(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct tt_carrier c = carrier(1, &ordered);
    assert_int_equal(tt_gate_deadline(&w.gate), TT_NEVER);
    knock(&w, &c);
    tt_gate_leave(&w.gate, &c);
    const uint64_t end_us = w.now_us + 10 * TT_SECOND;
    assert_in_range(tt_gate_deadline(&w.gate), end_us, end_us + 1);
    tt_gate_handle_timeout(&w.gate, end_us - 1);
    assert_int_equal(half_open(&w), 1);
    tt_gate_handle_timeout(&w.gate, end_us + 1);
    assert_int_equal(half_open(&w), 0);
    assert_int_equal(w.gate.stats.expired, 1);
    assert_int_equal(tt_gate_deadline(&w.gate), TT_NEVER);
    close_world(&w);
}

static void test_what_was_seen_is_bounded(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    const size_t bytes = w.memory.live_bytes;
    for (unsigned i = 0; i < 500; i++) {
        struct tt_carrier c = carrier(i, &ordered);
        c.id.bytes[2] = (uint8_t)(i >> 8);
        w.wall_s += 64;
        knock(&w, &c);
        (void)is_answered(&w, &c);
        w.now_us += 11 * TT_SECOND;
        tt_gate_handle_timeout(&w.gate, w.now_us);
        assert_in_range(w.gate.replay.count, 1, 64);
    }
    assert_int_equal(w.gate.stats.half_opened, 500);
    assert_in_range(w.memory.live_bytes, bytes, bytes + 1024); /* an empty map's table */
    close_world(&w);
}

/* --- a session that is there (M-5, M-16) --- */

static void test_a_second_init_for_a_session_is_none(void **state)
{
    (void)state;
    for (unsigned is_open = 0; is_open < 2; is_open++) {
        struct world w;
        struct tt_seal open = {.phase = TT_SEAL_CONFIRMED};
        open_world(&w);
        struct tt_carrier c = carrier(1, &ordered), second = carrier(1, &ordered);
        struct tt_secrets secrets = {.up = {0}};
        if (!is_open) {
            knock(&w, &c);
            secrets = tt_gate_find(&w.gate, &c.id)->secrets;
        }
        write_init(&w, &second, NULL);
        hear(&w, &second, is_open ? &open : NULL, false);
        assert_false(is_answered(&w, &second));
        assert_true(second.muted);
        if (!is_open)
            assert_memory_equal(&tt_gate_find(&w.gate, &c.id)->secrets, &secrets, sizeof(secrets));
        tt_gate_leave(&w.gate, &c);
        close_world(&w);
    }
}

static const struct {
    const char *name;
    bool is_open, same, full;
    uint8_t state;
} questions[] = {
    {"its session", true, true, false, TT_SEAL_KNOWN},
    {"the same, and no place for others", true, true, true, TT_SEAL_KNOWN},
    {"another's of that ID", true, false, false, TT_SEAL_UNKNOWN},
    {"none", false, false, false, TT_SEAL_UNKNOWN},
};

static void test_questions_and_answers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(questions); i++) {
        struct world w;
        struct tt_seal open = {.resume = {1, 2, 3, 4, 5, 6, 7, 8}};
        struct tt_noise n;
        struct tt_parameters said;
        static struct tt_gather g;
        uint8_t resume[TT_RESUME_LEN];
        uint32_t len;
        open_world(&w);
        const size_t live = w.memory.live;
        struct tt_carrier c = carrier(1, &ordered);
        memcpy(resume, open.resume, sizeof(resume));
        resume[7] ^= !questions[i].same;
        assert_int_equal(tt_init_write(&n, &w.sealer, &w.client, &c.id, resume, w.packet, &w.len),
                         TT_OK);
        hear(&w, &c, questions[i].is_open ? &open : NULL, questions[i].full);
        assert_int_equal(w.gate.stats.questions, 1);
        tt_gather_reset(&g);
        assert_int_equal(tt_gate_next_reply(&w.gate, &c, &g, &len), TT_OK);
        assert_int_equal(tt_response_read(&n, &w.sealer, g.spans[0], &said, NULL), TT_OK);
        assert_int_equal(said.state, questions[i].state);
        assert_int_equal(half_open(&w), 0);
        assert_int_equal(w.memory.live, live); /* it creates nothing */
        close_world(&w);
    }
}

/* --- DATA --- */

/* As a client whose keys are those of `secrets` says it on its carrier. */
static void write_data(struct world *w, const struct tt_secrets *secrets, uint32_t number,
                       uint32_t counter)
{
    struct tt_keys keys;
    uint8_t key[TT_KEY_LEN];
    const struct tt_sealed_header h = {.carrier = number, .counter = counter};
    tt_keys_begin(&keys, secrets->up);
    assert_int_equal(tt_keys_of_carrier(&keys, w->sealer.crypto, number, key), TT_OK);
    memcpy(w->packet + 9, "12345678", 8);
    assert_int_equal(tt_sealed_data_write(&w->sealer, key, &h, TT_CONTROL_PING, w->packet, 8),
                     TT_OK);
    w->len = 8 + TT_SEALED_OVERHEAD;
}

static const struct {
    const char *name;
    uint32_t number, counter;
    int epoch; /* of the numbers that were; -1: none */
    bool is_datagrams, opens;
} first_data[] = {
    {"the first", 0, 0, -1, false, true},
    {"a later counter", 0, 1, -1, false, false},
    {"a later counter of datagrams", 0, 1, -1, true, true},
    {"the last epoch that may come", 64 * 64 + 63, 0, -1, false, true},
    {"the next one", 65 * 64, 0, -1, false, false},
    {"the last number", TT_CARRIERS_MAX, 0, -1, false, false},
    {"of the epoch before", 64, 0, 2, false, true},
    {"of an epoch that is over", 63, 0, 2, false, false},
};

static void test_the_first_data_of_a_carrier(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(first_data); i++) {
        struct world w;
        struct tt_seal *seal;
        struct tt_secrets secrets;
        struct tt_span plain;
        open_world(&w);
        (void)fill(&w, &secrets, sizeof(secrets));
        assert_int_equal(tt_seal_new_server(&seal, &w.sealer, &secrets, NULL, &w.memory.alloc),
                         TT_OK);
        if (first_data[i].epoch >= 0)
            assert_int_equal(tt_seal_take_number(seal, 64u * (uint32_t)first_data[i].epoch), TT_OK);
        struct tt_carrier c = carrier(1, first_data[i].is_datagrams ? &datagrams : &ordered);
        write_data(&w, &secrets, first_data[i].number, first_data[i].counter);
        uint8_t copy[64];
        memcpy(copy, w.packet, w.len);
        const struct tt_seal before = *seal;
        int err = tt_gate_open_data(&w.gate, &c, seal, tt_span_of(copy, w.len), &plain);
        assert_int_equal(err, first_data[i].opens ? TT_OK : TT_E_PROTO);
        if (err) {
            assert_memory_equal(seal, &before, sizeof(before));
            assert_null(c.seal);
        } else {
            assert_int_equal(plain.len, 9);
            assert_int_equal(c.number, first_data[i].number);
            struct tt_carrier again = carrier(1, &c.limits); /* M-11: once */
            memcpy(copy, w.packet, w.len);
            assert_int_equal(
                tt_gate_open_data(&w.gate, &again, seal, tt_span_of(copy, w.len), &plain),
                TT_E_PROTO);
        }
        tt_carrier_seal_free(c.seal, &w.memory.alloc);
        tt_seal_free(seal, &w.memory.alloc);
        close_world(&w);
    }
}

/* M-8: an epoch far ahead is a stranger's wish until the packet opens. */
static void test_data_that_does_not_open_changes_nothing(void **state)
{
    (void)state;
    struct world w;
    struct tt_seal *seal;
    struct tt_secrets secrets;
    struct tt_span plain;
    open_world(&w);
    (void)fill(&w, &secrets, sizeof(secrets));
    assert_int_equal(tt_seal_new_server(&seal, &w.sealer, &secrets, NULL, &w.memory.alloc), TT_OK);
    const struct tt_seal before = *seal;
    const size_t live = w.memory.live;
    for (uint32_t number = 0; number < 64 * 66; number += 63) {
        struct tt_carrier c = carrier(1, &datagrams);
        write_data(&w, &secrets, number, 0);
        w.packet[w.len - 1] ^= 1;
        assert_int_equal(tt_gate_open_data(&w.gate, &c, seal, tt_span_of(w.packet, w.len), &plain),
                         TT_E_PROTO);
        assert_null(c.seal);
    }
    struct tt_carrier c = carrier(1, &ordered); /* too long */
    write_data(&w, &secrets, 0, 0);
    assert_int_equal(tt_gate_open_data(&w.gate, &c, seal,
                                       tt_span_of(w.packet, TT_SEALED_UNPROVEN_MAX + 1), &plain),
                     TT_E_PROTO);
    assert_memory_equal(seal, &before, sizeof(before));
    assert_int_equal(w.memory.live, live);
    tt_seal_free(seal, &w.memory.alloc);
    close_world(&w);
}

/* --- memory --- */

static void test_any_single_allocation_may_fail(void **state)
{
    (void)state;
    bool refused = true;
    for (size_t n = 0; refused; n++) {
        struct world w;
        open_bare(&w);
        struct tt_gate_config config = config_of(&w);
        w.memory.fail_at = n;
        struct tt_carrier c = carrier(1, &ordered);
        if (tt_gate_init(&w.gate, &config) == TT_OK) {
            knock(&w, &c);
            const bool begun = tt_gate_find(&w.gate, &c.id) != NULL;
            assert_int_equal(is_answered(&w, &c), begun); /* both or neither */
            assert_int_equal(w.gate.stats.no_memory, !begun);
            write_init(&w, &c, (const uint8_t *)"resumeit");
            hear(&w, &c, NULL, false);
            tt_gate_leave(&w.gate, &c);
        }
        refused = w.memory.refused;
        close_world(&w);
    }
}

static void test_a_replys_memory_goes_with_its_carrier(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct tt_carrier c = carrier(1, &ordered);
    knock(&w, &c);
    tt_gate_leave(&w.gate, &c);
    tt_gate_leave(&w.gate, &c);
    assert_false(is_answered(&w, &c));
    static struct tt_gather full;
    tt_gather_reset(&full);
    (void)tt_gather_header(&full, TT_GATHER_HEADER_BYTES - 10);
    struct tt_carrier other = carrier(2, &ordered);
    knock(&w, &other);
    uint32_t len;
    assert_int_equal(tt_gate_next_reply(&w.gate, &other, &full, &len), TT_E_FULL);
    assert_true(is_answered(&w, &other)); /* it waits */
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fresh_init_is_answered_once),
        cmocka_unit_test(test_whatever_is_wrong_has_one_effect),
        cmocka_unit_test(test_times_that_are_near_enough),
        cmocka_unit_test(test_what_came_before_is_not_answered_again),
        cmocka_unit_test(test_a_datagram_that_comes_twice_is_answered_once),
        cmocka_unit_test(test_with_a_list_those_on_it_alone_come_in),
        cmocka_unit_test(test_a_listed_key_alone_opens_nothing),
        cmocka_unit_test(test_two_inits_of_a_connection_are_tried),
        cmocka_unit_test(test_so_many_a_second_of_an_address_are_tried),
        cmocka_unit_test(test_at_the_limit_newcomers_are_refused_and_nobody_is_driven_out),
        cmocka_unit_test(test_a_server_that_is_full_says_so),
        cmocka_unit_test(test_a_half_open_session_lives_ten_seconds),
        cmocka_unit_test(test_what_was_seen_is_bounded),
        cmocka_unit_test(test_a_second_init_for_a_session_is_none),
        cmocka_unit_test(test_questions_and_answers),
        cmocka_unit_test(test_the_first_data_of_a_carrier),
        cmocka_unit_test(test_data_that_does_not_open_changes_nothing),
        cmocka_unit_test(test_any_single_allocation_may_fail),
        cmocka_unit_test(test_a_replys_memory_goes_with_its_carrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
