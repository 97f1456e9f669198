/* Stories of fast paths, with every setting at its default: windows tune themselves, and queues
 * stay short (native.md, R-22; windows: src/core/smux/stream.h). TT_SEED=n runs them with another
 * seed.
 */
#include <stdlib.h>
#include <string.h>

#include "core/smux/stream.h"
#include "sim.h"
#include "test.h"

#define GIGABIT 125000u /* bytes a millisecond */

static struct sim_profile gigabit(uint64_t rtt_us)
{
    struct sim_profile p;
    sim_profile_default(&p);
    p.shape.latency_us = rtt_us / 2;
    p.shape.bytes_per_ms = GIGABIT;
    p.shape.max_packet = 65535;
    p.shape.buffer_bytes = 64u << 20; /* what is under way on the path is in it */
    p.shape.most_a_write = p.shape.most_a_read = 1u << 20;
    p.pool_bytes = 256u << 20;
    p.stall_us = 60 * TT_SECOND;
    return p;
}

static struct sim *new_sim(const struct sim_profile *p)
{
    const char *seed = getenv("TT_SEED");
    return sim_new(seed ? strtoull(seed, NULL, 10) : 1, p);
}

/* More than there is time for, in the direction that `down` says. */
static struct sim_talk *add_bulk(struct sim *sim, bool down)
{
    struct sim_talk *t = sim_add_talk(sim, &sim->clients[0]);
    struct sim_speaker_plan *from = down ? &t->server.plan : &t->client.plan;
    struct sim_speaker_plan *to = down ? &t->client.plan : &t->server.plan;
    from->bytes = UINT64_C(1) << 40;
    from->most_a_write = to->most_a_read = 65536;
    to->bytes = 1; /* which opens it */
    return t;
}

/* Within so long all windows have grown; in the second behind it so much is delivered of what the
 * path could carry.
 */
static void expect_a_full_path(uint64_t rtt_us, uint64_t within_us, bool down)
{
    const struct sim_profile p = gigabit(rtt_us);
    struct sim *sim = new_sim(&p);
    const struct sim_talk *bulk = add_bulk(sim, down);
    const uint64_t *received = down ? &bulk->client.received : &bulk->server.received;
    sim_run_until(sim, sim->now_us + within_us);
    const uint64_t before = *received;
    sim_run_until(sim, sim->now_us + TT_SECOND);
    assert_in_range((*received - before) * 100 / (1000 * GIGABIT), 90, 100);
    sim_free(sim);
}

static void test_a_gigabit_is_filled_at_100_us_and_at_100_ms(void **state)
{
    (void)state;
    expect_a_full_path(100, TT_SECOND / 2, true);
    expect_a_full_path(100, TT_SECOND / 2, false);
    expect_a_full_path(100 * TT_MS, 3 * TT_SECOND / 2, true);
    expect_a_full_path(100 * TT_MS, 3 * TT_SECOND / 2, false);
}

/* --- beside bulk --- */

#define MOST_WORDS 2000u

/* How long words took from one end to the other: those that were sent last, oldest first, and what
 * is known of the others.
 */
struct delays {
    uint64_t us[MOST_WORDS];
    uint64_t sent[MOST_WORDS], sent_us[MOST_WORDS];
    unsigned arrived, begun;
};

static void watch(struct delays *d, const struct sim_speaker *from, const struct sim_speaker *to,
                  uint64_t now_us)
{
    if (from->sent > (d->begun > 0 ? d->sent[d->begun - 1] : 0) && d->begun < MOST_WORDS) {
        d->sent[d->begun] = from->sent;
        d->sent_us[d->begun++] = now_us;
    }
    while (d->arrived < d->begun && to->received >= d->sent[d->arrived]) {
        d->us[d->arrived] = now_us - d->sent_us[d->arrived];
        d->arrived++;
    }
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t p99_us(struct delays *d)
{
    assert_true(d->arrived >= 100);
    qsort(d->us, d->arrived, sizeof d->us[0], compare);
    return d->us[d->arrived * 99 / 100];
}

/* There and back, a word beside a download takes less than two round trips and 20 ms. */
static void expect_short_queues(uint64_t rtt_us, uint32_t bytes_per_ms)
{
    static struct delays up, down;
    struct sim_profile p = gigabit(rtt_us);
    p.shape.bytes_per_ms = bytes_per_ms;
    struct sim *sim = new_sim(&p);
    add_bulk(sim, true);
    struct sim_talk *words = sim_add_talk(sim, &sim->clients[0]);
    words->client.plan = words->server.plan = (struct sim_speaker_plan){
        .bytes = 100000, .most_a_write = 64, .most_a_read = 65536, .write_pause_us = 10 * TT_MS};
    memset(&up, 0, sizeof up);
    memset(&down, 0, sizeof down);
    sim_run_until(sim, sim->now_us + TT_SECOND);
    for (unsigned i = 0; i < 3000; i++) {
        sim_run_until(sim, sim->now_us + TT_MS);
        watch(&up, &words->client, &words->server, sim->now_us);
        watch(&down, &words->server, &words->client, sim->now_us);
    }
    assert_in_range(p99_us(&up) + p99_us(&down), 0, 2 * rtt_us + 20 * TT_MS);
    sim_free(sim);
}

static void test_words_pass_a_download(void **state)
{
    (void)state;
    expect_short_queues(100, GIGABIT);
    expect_short_queues(100 * TT_MS, GIGABIT);
    expect_short_queues(50 * TT_MS, GIGABIT / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gigabit_is_filled_at_100_us_and_at_100_ms),
        cmocka_unit_test(test_words_pass_a_download),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
