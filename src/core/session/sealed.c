#include "core/session/sealed.h"

#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/base/siphash.h"
#include "core/session/carriers.h"
#include "core/session/liveness.h"

#define FIRST_ATTEMPT_US  TT_SECOND /* M-4: an INIT is given 1, 2, 4, 8 s */
#define MOST_DOUBLINGS    3u
#define LEAST_QUESTION_US (200 * TT_MS) /* M-16 */
#define UNPROVEN_AT_MOST  16u           /* M-11 */
#define MISROUTES_AT_MOST 3u            /* M-16 ... */
#define MISROUTED_US      (10 * TT_SECOND)
#define MOST_FAILURES     UINT32_MAX /* M-10: one more, and the session ends */
#define NO_NUMBER         UINT32_MAX

/* --- sessions --- */

static int new_seal(struct tt_seal **seal, struct tt_sealer *sealer, const struct tt_alloc *alloc)
{
    struct tt_seal *s = alloc->get(alloc->ctx, sizeof *s);
    if (!s)
        return TT_E_NOMEM;
    *s = (struct tt_seal){.sealer = sealer};
    *seal = s;
    return TT_OK;
}

int tt_seal_new_client(struct tt_seal **seal, struct tt_sealer *sealer,
                       const struct tt_client_keys *keys, const struct tt_alloc *alloc)
{
    const int err = new_seal(seal, sealer, alloc);
    if (!err)
        (*seal)->client = keys;
    return err;
}

int tt_seal_new_server(struct tt_seal **seal, struct tt_sealer *sealer,
                       const struct tt_secrets *secrets, const uint8_t *client_key,
                       const struct tt_alloc *alloc)
{
    const int err = new_seal(seal, sealer, alloc);
    if (err)
        return err;
    struct tt_seal *s = *seal;
    s->phase = TT_SEAL_CONFIRMED;
    tt_keys_begin(&s->send, secrets->down);
    tt_keys_begin(&s->receive, secrets->up);
    memcpy(s->resume, secrets->h, sizeof s->resume);
    s->peer_known = client_key != NULL;
    if (client_key)
        memcpy(s->peer_key, client_key, sizeof s->peer_key);
    return TT_OK;
}

void tt_seal_free(struct tt_seal *seal, const struct tt_alloc *alloc)
{
    if (!seal)
        return;
    tt_crypto_wipe(seal, sizeof *seal);
    alloc->put(alloc->ctx, seal);
}

int tt_seal_take_number(struct tt_seal *seal, uint32_t number)
{
    tt_numbers_take(&seal->numbers, number);
    const int err = tt_keys_step(&seal->send, seal->sealer->crypto, seal->numbers.epoch);
    return err ? err : tt_keys_step(&seal->receive, seal->sealer->crypto, seal->numbers.epoch);
}

/* --- carriers --- */

int tt_carrier_seal_new(struct tt_carrier_seal **cs, const struct tt_carrier_limits *limits,
                        const struct tt_alloc *alloc)
{
    struct tt_carrier_seal *s = alloc->get(alloc->ctx, sizeof *s);
    if (!s)
        return TT_E_NOMEM;
    *s = (struct tt_carrier_seal){.until_us = TT_NEVER};
    if (!limits->ordered) {
        s->window = alloc->get(alloc->ctx, sizeof *s->window);
        if (!s->window) {
            tt_carrier_seal_free(s, alloc);
            return TT_E_NOMEM;
        }
        *s->window = (struct tt_counters){0};
    }
    *cs = s;
    return TT_OK;
}

static void drop_noise(struct tt_carrier_seal *cs, const struct tt_alloc *alloc)
{
    if (!cs->noise)
        return;
    tt_crypto_wipe(cs->noise, sizeof *cs->noise);
    alloc->put(alloc->ctx, cs->noise);
    cs->noise = NULL;
    cs->init_due = false;
}

void tt_carrier_seal_free(struct tt_carrier_seal *cs, const struct tt_alloc *alloc)
{
    if (!cs)
        return;
    drop_noise(cs, alloc);
    if (cs->window)
        alloc->put(alloc->ctx, cs->window);
    tt_crypto_wipe(cs, sizeof *cs);
    alloc->put(alloc->ctx, cs);
}

int tt_carrier_seal_keys(struct tt_carrier_seal *cs, const struct tt_seal *seal, uint32_t number)
{
    struct tt_crypto *crypto = seal->sealer->crypto;
    int err = tt_keys_of_carrier(&seal->send, crypto, number, cs->send_key);
    if (!err)
        err = tt_keys_of_carrier(&seal->receive, crypto, number, cs->receive_key);
    cs->has_keys = !err;
    return err;
}

void tt_sealed_end(struct tt_carrier *c, const struct tt_alloc *alloc)
{
    tt_carrier_seal_free(c->seal, alloc);
    c->seal = NULL;
}

/* --- a client's carriers --- */

int tt_sealed_new_id(struct tt_endpoint *e)
{
    struct tt_random *random;
    if (!e->seal || !e->seal->client || tt_sealed_is_confirmed(e))
        return TT_OK;
    random = &e->seal->sealer->random;
    return random->fill(random->ctx, e->config.id.bytes, sizeof e->config.id.bytes);
}

/* Secrets of the epochs before are not needed again. */
static int step_to(struct tt_seal *s, uint32_t number)
{
    struct tt_crypto *crypto = s->sealer->crypto;
    int err = tt_keys_step(&s->send, crypto, number / TT_EPOCH_CARRIERS);
    if (!err)
        err = tt_keys_step(&s->receive, crypto, number / TT_EPOCH_CARRIERS);
    tt_crypto_wipe(s->send.secret[0], TT_KEY_LEN);
    tt_crypto_wipe(s->receive.secret[0], TT_KEY_LEN);
    return err;
}

/* A number is never used twice, nor its keys; what is kept is what the next one needs (M-8). */
static int take_next_number(struct tt_endpoint *e, struct tt_carrier *c)
{
    struct tt_seal *s = e->seal;
    if (e->next_carrier > TT_CARRIERS_MAX) {
        e->error = TT_E_EXHAUSTED;
        return TT_E_EXHAUSTED;
    }
    c->number = e->next_carrier++;
    int err = step_to(s, c->number);
    if (!err)
        err = tt_carrier_seal_keys(c->seal, s, c->number);
    return err ? err : step_to(s, e->next_carrier);
}

static int want_init(struct tt_endpoint *e, struct tt_carrier *c, bool asks)
{
    const struct tt_alloc *alloc = e->config.alloc;
    c->seal->noise = alloc->get(alloc->ctx, sizeof *c->seal->noise);
    if (!c->seal->noise)
        return TT_E_NOMEM;
    *c->seal->noise = (struct tt_noise){.nonce = 0};
    c->seal->init_due = true;
    c->seal->asks = asks;
    c->seal->until_us = TT_NEVER;
    return TT_OK;
}

/* Of the session so far nothing is left: neither its keys nor, beside `except`, a carrier that has
 * some; and the next one's server is not told that its numbers are gone.
 */
static void forget_session(struct tt_endpoint *e, const struct tt_carrier *except)
{
    struct tt_seal *s = e->seal;
    s->phase = TT_SEAL_NEW;
    tt_keys_wipe(&s->send);
    tt_keys_wipe(&s->receive);
    e->next_carrier = 0;
    e->gone_count = e->gone_known = 0;
    TT_LIST_FOR_EACH(node, &e->carriers)
    {
        struct tt_carrier *c = TT_CONTAINER_OF(node, struct tt_carrier, node);
        if (c == except)
            continue;
        c->named_gone = true; /* what comes next has a number of its own like that */
        tt_carriers_doom(e, c);
    }
}

/* M-4: each dial is a new attempt; its carrier is number 0. */
static int begin_attempt(struct tt_endpoint *e, struct tt_carrier *c)
{
    forget_session(e, c);
    return want_init(e, c, false);
}

void tt_sealed_begin(struct tt_endpoint *e, struct tt_carrier *c)
{
    int err = tt_carrier_seal_new(&c->seal, &c->limits, e->config.alloc);
    c->number = NO_NUMBER;
    if (err) {
        tt_carriers_doom(e, c);
        return;
    }
    if (!tt_sealed_is_confirmed(e))
        err = begin_attempt(e, c);
    else if (e->unproven_in_a_row >= UNPROVEN_AT_MOST)
        err = want_init(e, c, true);
    else
        err = take_next_number(e, c);
    if (err)
        tt_carriers_doom(e, c);
}

bool tt_sealed_can_speak(const struct tt_carrier *c)
{
    return c->seal && c->seal->has_keys && c->seal->sent < TT_SEALED_COUNTER_LIMIT;
}

bool tt_sealed_init_due(const struct tt_carrier *c)
{
    return c->seal && c->seal->init_due;
}

static uint64_t with_jitter(struct tt_endpoint *e, uint64_t us)
{
    return us + tt_siphash_u64(e->config.hash_key, ++e->tokens) % (us / 4 + 1);
}

/* How long the server may take to answer an INIT. */
static uint64_t patience_us(struct tt_endpoint *e, const struct tt_carrier *c)
{
    const uint32_t failures = e->seal->failures;
    uint64_t us = FIRST_ATTEMPT_US << (failures < MOST_DOUBLINGS ? failures : MOST_DOUBLINGS);
    if (us < 3 * c->limits.dial_us)
        us = 3 * c->limits.dial_us;
    return us;
}

/* How long the first DATA may take to be answered before the server is asked. */
static uint64_t first_answer_us(struct tt_endpoint *e, const struct tt_carrier *c)
{
    uint64_t rtt_us = e->rtt_us > c->limits.dial_us ? e->rtt_us : c->limits.dial_us;
    return with_jitter(e, 2 * rtt_us > LEAST_QUESTION_US ? 2 * rtt_us : LEAST_QUESTION_US);
}

int tt_sealed_next_init(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                        struct tt_gather *g, uint32_t *len)
{
    struct tt_seal *s = e->seal;
    struct tt_carrier_seal *cs = c->seal;
    uint8_t packet[TT_HANDSHAKE_MAX];
    if (!tt_gather_has_room(g, TT_HANDSHAKE_MAX))
        return TT_E_FULL;
    cs->init_due = false;
    s->patience_us = patience_us(e, c);
    cs->until_us = tt_deadline_after(now_us, s->patience_us);
    if (tt_init_write(cs->noise, s->sealer, s->client, &c->id, cs->asks ? s->resume : NULL, packet,
                      len)) {
        tt_carriers_doom(e, c);
        return TT_E_AGAIN;
    }
    if (cs->asks)
        s->stats.questions++;
    else
        s->stats.attempts++;
    memcpy(tt_gather_header(g, *len), packet, *len);
    return TT_OK;
}

/* --- what a client is answered --- */

static int open_session(struct tt_endpoint *e, struct tt_carrier *c,
                        const struct tt_parameters *said, const struct tt_secrets *secrets)
{
    struct tt_seal *s = e->seal;
    if (said->state)
        return TT_E_PROTO;
    tt_keys_begin(&s->send, secrets->up);
    tt_keys_begin(&s->receive, secrets->down);
    memcpy(s->resume, secrets->h, sizeof s->resume);
    memcpy(s->instance, said->instance, sizeof s->instance);
    s->phase = TT_SEAL_KEYED;
    return take_next_number(e, c);
}

/* Nothing was said in it: streams that were opened since can as well be opened in another. */
static bool never_used(const struct tt_endpoint *e)
{
    return e->kcp.send.nxt == 0 && e->kcp.receive.nxt == 0;
}

bool tt_sealed_may_carry(const struct tt_endpoint *e, const struct tt_carrier *c)
{
    return tt_sealed_is_confirmed(e) && (c->proven || !never_used(e));
}

/* The server that had the session has it no more. */
static void lose(struct tt_endpoint *e)
{
    if (!never_used(e)) {
        e->error = TT_E_LOST;
        return;
    }
    e->seal->stats.begun_anew++;
    forget_session(e, NULL);
}

/* A balancer has sent us to a server that has never had the session. */
static void note_misroute(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    struct tt_seal *s = e->seal;
    s->stats.misroutes++;
    if (s->misroutes++ == 0)
        s->first_misroute_us = now_us;
    if (s->misroutes >= MISROUTES_AT_MOST && now_us - s->first_misroute_us >= MISROUTED_US)
        e->error = TT_E_LOST;
    else
        tt_carriers_doom(e, c);
}

/* The answer to a question (M-16). On a carrier that has a number already, our first DATA did not
 * get through: another carrier is needed.
 */
static int take_answer(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                       const struct tt_parameters *said)
{
    if (said->state == TT_SEAL_KNOWN)
        e->seal->misroutes = 0;
    if (said->state == TT_SEAL_KNOWN && c->number == NO_NUMBER)
        return take_next_number(e, c);
    if (said->state == TT_SEAL_KNOWN)
        tt_carriers_doom(e, c);
    else if (said->state != TT_SEAL_UNKNOWN)
        return TT_E_PROTO;
    else if (memcmp(said->instance, e->seal->instance, sizeof said->instance) == 0)
        lose(e);
    else
        note_misroute(e, c, now_us);
    return TT_OK;
}

/* Returns 0, or why the carrier must end. */
static int take_response(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                         struct tt_span packet)
{
    struct tt_carrier_seal *cs = c->seal;
    struct tt_parameters said;
    struct tt_secrets secrets;
    int err;

    if (!cs->noise || cs->init_due)
        return TT_E_PROTO;
    err = tt_response_read(cs->noise, e->seal->sealer, packet, &said, &secrets);
    if (err == TT_E_PROTO)
        return err; /* where anybody can send one, the next may be the right one */
    if (err) {
        tt_crypto_wipe(&secrets, sizeof secrets);
        tt_carriers_doom(e, c); /* its state is wiped: with that it must not go on */
        return err;
    }
    drop_noise(cs, e->config.alloc);
    cs->until_us = TT_NEVER;
    e->seal->failures = 0;
    if (said.state == TT_SEAL_FULL && !cs->asks) {
        e->seal->stats.server_full++;
        tt_carriers_doom(e, c);
    } else if (cs->asks) {
        err = take_answer(e, c, now_us, &said);
    } else {
        err = open_session(e, c, &said, &secrets);
    }
    tt_crypto_wipe(&secrets, sizeof secrets);
    if (err) /* it was an answer, and there is none to wait for any more */
        tt_carriers_doom(e, c);
    return err;
}

/* --- DATA --- */

static bool may_come(const struct tt_carrier *c, const struct tt_sealed_header *h)
{
    if (h->carrier != c->number || !c->seal->has_keys || h->counter >= TT_SEALED_COUNTER_LIMIT)
        return false;
    return c->limits.ordered ? h->counter == c->seal->received
                             : tt_counters_may(c->seal->window, h->counter);
}

static void note_valid(struct tt_endpoint *e, struct tt_carrier *c,
                       const struct tt_sealed_header *h)
{
    if (c->limits.ordered)
        c->seal->received++;
    else
        tt_counters_take(c->seal->window, h->counter);
    if (!e->seal->client)
        return;
    if (!tt_sealed_is_confirmed(e))
        e->config.id = c->id; /* a dial that came to nothing may have chosen another since */
    e->seal->phase = TT_SEAL_CONFIRMED;
    e->seal->misroutes = 0;
    c->seal->until_us = TT_NEVER;
    drop_noise(c->seal, e->config.alloc); /* a question that is under way is answered */
}

/* Returns 0, or why the carrier must end, if it keeps the order. */
static int take_data(struct tt_endpoint *e, struct tt_carrier *c, struct tt_span packet,
                     struct tt_span *plain)
{
    struct tt_sealed_header h;
    if (!tt_sealed_header_read(&h, packet))
        return TT_E_PROTO;
    if (!may_come(c, &h)) {
        e->seal->stats.again += !c->limits.ordered;
        return TT_E_PROTO;
    }
    const int err = tt_sealed_data_read(e->seal->sealer, c->seal->receive_key, &h, packet, plain);
    if (!err)
        note_valid(e, c, &h);
    return err;
}

static bool is_of_type(struct tt_span packet, enum tt_sealed_type type)
{
    return packet.len > 0 && packet.ptr[0] == type;
}

int tt_sealed_receive(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us,
                      struct tt_span packet, struct tt_span *plain)
{
    int err;
    if (!c->seal)
        return TT_E_AGAIN;
    if (e->seal->client && is_of_type(packet, TT_SEALED_RESPONSE)) {
        err = take_response(e, c, now_us, packet);
        if (!err)
            return TT_E_AGAIN;
    } else if (!e->seal->client && is_of_type(packet, TT_SEALED_INIT)) {
        return TT_E_AGAIN; /* a question that was overtaken by its answer (M-10) */
    } else {
        err = take_data(e, c, packet, plain);
        if (!err)
            return TT_OK;
    }
    if (e->seal->stats.not_opened++ >= MOST_FAILURES && !e->error)
        e->error = TT_E_EXHAUSTED;
    if (c->limits.ordered || e->error)
        tt_carriers_doom(e, c);
    return TT_E_AGAIN;
}

/* --- sending --- */

static uint32_t lay_out(struct tt_sealer *s, bool is_control, uint8_t *room, uint8_t *kind)
{
    const uint32_t len = (uint32_t)s->plain.bytes;
    uint8_t *const at = room + TT_SEALED_DATA_HEADER; /* where the kind goes */
    if (is_control) {                                 /* its type is the kind */
        tt_gather_copy(&s->plain, at);
        *kind = at[0];
        return len - 1;
    }
    tt_gather_copy(&s->plain, at + 1);
    *kind = TT_SEALED_KCP;
    return len;
}

int tt_sealed_write(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us, bool is_control,
                    struct tt_gather *g, uint8_t *room, uint32_t *len)
{
    struct tt_sealer *s = e->seal->sealer;
    struct tt_carrier_seal *cs = c->seal;
    const struct tt_sealed_header h = {.carrier = c->number, .counter = cs->sent++};
    uint8_t kind;
    const uint32_t body = lay_out(s, is_control, room, &kind);

    if (tt_sealed_data_write(s, cs->send_key, &h, kind, room, body)) {
        tt_carriers_doom(e, c);
        return TT_E_AGAIN;
    }
    *len = body + TT_SEALED_OVERHEAD;
    tt_gather_built(g, room, *len);
    if (e->seal->client && tt_sealed_is_confirmed(e) && !c->proven && !cs->asks &&
        cs->until_us == TT_NEVER)
        cs->until_us = tt_deadline_after(now_us, first_answer_us(e, c));
    if (cs->sent == TT_SEALED_COUNTER_LIMIT)
        tt_carriers_doom(e, c);
    return TT_OK;
}

/* --- time --- */

uint64_t tt_sealed_deadline(const struct tt_carrier *c)
{
    return c->seal && !c->doomed ? c->seal->until_us : TT_NEVER;
}

bool tt_sealed_asks(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (!e->seal || !e->seal->client || !c->seal || c->proven || c->seal->asks)
        return false;
    if (!tt_sealed_is_confirmed(e) || !c->seal->has_keys)
        return false;
    if (want_init(e, c, true))
        tt_carriers_doom(e, c);
    c->live.waiting_us = now_us; /* the question is given its own time */
    return true;
}

void tt_sealed_handle_timeout(struct tt_endpoint *e, struct tt_carrier *c, uint64_t now_us)
{
    if (tt_sealed_deadline(c) > now_us)
        return;
    c->seal->until_us = TT_NEVER;
    if (c->seal->noise) { /* an INIT that nobody answered */
        e->seal->stats.unanswered++;
        e->seal->failures++;
        tt_carriers_doom(e, c);
    } else {
        (void)tt_sealed_asks(e, c, now_us);
    }
}
