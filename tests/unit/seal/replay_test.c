#include "core/seal/replay.h"

#include <stdlib.h>

#include <turbotunnel/error.h>

#include "failing_alloc.h"
#include "test.h"

#define NOW      UINT64_C(1800000000) /* where a bucket begins */
#define INTERVAL UINT64_C(7200)
#define BUCKET   TT_REPLAY_BUCKET_S

struct fixture {
    struct failing_alloc memory;
    struct tt_replay r;
};

static struct tt_replay_config config_of(struct fixture *f, uint32_t most)
{
    return (struct tt_replay_config){
        .most = most,
        .interval_s = INTERVAL,
        .hash_key = "sixteen secrets",
        .alloc = &f->memory.alloc,
    };
}

static void open_fixture(struct fixture *f, uint32_t most)
{
    failing_alloc_init(&f->memory, FAIL_NEVER);
    const struct tt_replay_config config = config_of(f, most);
    assert_int_equal(tt_replay_init(&f->r, &config), TT_OK);
}

static void close_fixture(struct fixture *f)
{
    assert_int_equal(f->memory.calls, 1); /* all in one go */
    tt_replay_dispose(&f->r);
    tt_replay_dispose(&f->r);
    assert_int_equal(f->memory.live, 0);
}

static int take(struct fixture *f, uint64_t now_s, uint64_t time_s, uint64_t number)
{
    uint8_t key[TT_KEY_LEN] = {0};
    const bool may = tt_replay_may(&f->r, now_s, time_s);
    tt_put_be64(key + 24, number);
    const int err = tt_replay_take(&f->r, now_s, time_s, key);
    if (!may)
        assert_int_equal(err, TT_E_PROTO);
    assert_in_range(f->r.count, 0, f->r.most);
    return err;
}

static void fill(struct fixture *f, uint64_t now_s, uint64_t time_s, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(take(f, now_s, time_s, first + i), TT_OK);
}

static void test_the_time_must_be_near_ours(void **state)
{
    (void)state;
    static const struct {
        uint64_t now_s, time_s;
        bool near;
    } cases[] = {
        {NOW, NOW, true},
        {NOW, NOW - INTERVAL, true},
        {NOW, NOW - INTERVAL - 1, false},
        {NOW, NOW + INTERVAL, true},
        {NOW, NOW + INTERVAL + 1, false},
        {NOW, 0, false},
        {NOW, UINT64_MAX, false},
        {0, 0, true}, /* a clock that was never set */
        {0, INTERVAL, true},
        {0, INTERVAL + 1, false},
        {UINT64_MAX, UINT64_MAX, false}, /* beyond what buckets can number */
    };
    struct fixture f;
    open_fixture(&f, 100);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(tt_replay_may(&f.r, cases[i].now_s, cases[i].time_s), cases[i].near);
        const int err = take(&f, cases[i].now_s, cases[i].time_s, i);
        assert_int_equal(err, cases[i].near ? TT_OK : TT_E_PROTO);
    }
    assert_int_equal(f.r.stats.late, 2);
    assert_int_equal(f.r.stats.early, 4);
    close_fixture(&f);
}

static void test_a_key_is_taken_once_whatever_its_time(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 1000);
    fill(&f, NOW, NOW, 0, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(take(&f, NOW + i, NOW + i, i), TT_E_PROTO);
    assert_int_equal(f.r.stats.again, 1000);
    close_fixture(&f);
}

static void test_expired_keys_make_room_first(void **state)
{
    (void)state;
    struct fixture f;
    const uint64_t later = NOW + INTERVAL + 2 * BUCKET;
    open_fixture(&f, 100);
    fill(&f, NOW, NOW, 0, 30);
    fill(&f, later, later, 100, 70);
    fill(&f, later, later, 200, 30);
    assert_int_equal(f.r.stats.forgotten, 0);
    assert_int_equal(f.r.count, 100);
    for (uint64_t i = 100; i < 170; i++)
        assert_int_equal(take(&f, later, later, i), TT_E_PROTO);
    /* The clock goes back: they are gone from the table, and still not taken. */
    for (uint64_t i = 0; i < 30; i++)
        assert_int_equal(take(&f, NOW + 600, NOW, i), TT_E_PROTO);
    assert_int_equal(f.r.stats.late, 30);
    close_fixture(&f);
}

static void test_without_room_the_interval_shrinks(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, 320);
    for (uint64_t i = 0; i < 32; i++) /* ten a bucket */
        fill(&f, NOW, NOW - (31 - i) * BUCKET, 10 * i, 10);
    assert_int_equal(take(&f, NOW, NOW, 1000), TT_OK);
    /* A sixteenth is 20, and one for whom it was done: three buckets. */
    assert_int_equal(f.r.stats.forgotten, 30);
    assert_int_equal(f.r.count, 291);
    for (uint64_t i = 0; i < 320;
         i++) /* whoever was forgotten is too old now, the others are known */
        assert_int_equal(take(&f, NOW, NOW - (31 - i / 10) * BUCKET, i), TT_E_PROTO);
    assert_int_equal(f.r.stats.late, 30);
    assert_int_equal(f.r.stats.again, 290);
    assert_false(tt_replay_may(&f.r, NOW, NOW - 28 * BUCKET - 1));
    assert_true(tt_replay_may(&f.r, NOW, NOW - 28 * BUCKET));
    fill(&f, NOW, NOW - 28 * BUCKET, 2000, 29);
    close_fixture(&f);
}

static void test_of_the_future_only_a_quarter_of_the_room(void **state)
{
    (void)state;
    struct fixture f;
    const uint64_t ahead = NOW + BUCKET;
    open_fixture(&f, 400);
    fill(&f, NOW, ahead, 0, 100);
    assert_int_equal(take(&f, NOW, ahead, 100), TT_E_PROTO);
    assert_int_equal(take(&f, NOW, NOW + INTERVAL, 100), TT_E_PROTO);
    assert_int_equal(f.r.stats.early, 2);
    fill(&f, NOW, NOW + BUCKET - 1, 200, 10);
    /* Time goes on: what was the future is not any more. */
    fill(&f, NOW + 2 * BUCKET, NOW + INTERVAL, 300, 100);
    assert_int_equal(take(&f, NOW + 2 * BUCKET, NOW + INTERVAL, 400), TT_E_PROTO);
    close_fixture(&f);
}

/* The clock was a month ahead, when nearly all of the room was taken, and is set right. */
static void test_a_clock_that_was_ahead_shuts_nobody_out(void **state)
{
    (void)state;
    struct fixture f;
    const uint64_t wrong = NOW + UINT64_C(30) * 86400;
    open_fixture(&f, 100);
    fill(&f, NOW, NOW, 0, 40);
    fill(&f, wrong, wrong, 100, 100); /* the 40 are expired */
    for (uint64_t i = 1; i <= 10; i++)
        fill(&f, NOW + i * BUCKET, NOW + i * BUCKET, 1000 * i, 30);
    assert_int_equal(f.r.stats.forgotten, 100 + 210);
    /* What was taken then is not taken again when that time comes; what comes after it is. */
    for (uint64_t i = 100; i < 200; i++)
        assert_int_equal(take(&f, wrong, wrong, i), TT_E_PROTO);
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(take(&f, NOW, NOW, i), TT_E_PROTO);
    fill(&f, wrong + BUCKET, wrong + BUCKET, 20000, 100);
    close_fixture(&f);
}

#define STORY_KEYS 30000u

struct story {
    struct fixture f;
    uint64_t seed, now_s;
    uint64_t time_of[STORY_KEYS]; /* that each key was taken with; 0: not taken */
    size_t recorded;              /* keys that there are */
    unsigned taken, replayed;
};

static void move_clock(struct story *s)
{
    const uint64_t dice = test_random_below(&s->seed, 1000);
    if (dice < 300)
        s->now_s += test_random_below(&s->seed, 30);
    else if (dice < 303)
        s->now_s += test_random_below(&s->seed, 5 * INTERVAL);
    else if (dice < 306)
        s->now_s -= test_random_below(&s->seed, 5 * INTERVAL);
}

static void somebody_new(struct story *s)
{
    const size_t spread = test_random_below(&s->seed, 4) == 0 ? 2 * (size_t)INTERVAL : 200;
    const uint64_t time_s = s->now_s - spread / 2 + test_random_below(&s->seed, spread);
    const size_t key = s->recorded++;
    if (take(&s->f, s->now_s, time_s, key) == TT_OK) {
        s->time_of[key] = time_s;
        s->taken++;
    }
}

static void somebody_replays(struct story *s)
{
    const size_t key = test_random_below(&s->seed, s->recorded);
    if (s->time_of[key] == 0)
        return;
    if (take(&s->f, s->now_s, s->time_of[key], key) == TT_OK)
        fail_msg("key %u was taken twice", (unsigned)key);
    s->replayed++;
}

static void test_nothing_is_taken_twice_whatever_the_clock_does(void **state)
{
    (void)state;
    static const uint32_t rooms[] = {1, 7, 64, 1000, 5000};
    struct story *s = malloc(sizeof(*s));
    assert_non_null(s);
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
        memset(s, 0, sizeof(*s));
        s->seed = i;
        s->now_s = NOW;
        open_fixture(&s->f, rooms[i]);
        while (s->recorded < STORY_KEYS) {
            move_clock(s);
            somebody_new(s);
            for (unsigned n = 0; n < 3; n++)
                somebody_replays(s);
        }
        assert_in_range(s->taken, 100, STORY_KEYS);
        assert_in_range(s->replayed, 1000, UINT32_MAX);
        assert_in_range(s->f.r.stats.forgotten, 1, STORY_KEYS);
        close_fixture(&s->f);
    }
    free(s);
}

static void test_memory_is_refused_or_out_of_range(void **state)
{
    (void)state;
    struct fixture f;
    failing_alloc_init(&f.memory, 0);
    struct tt_replay_config config = config_of(&f, 1000);
    assert_int_equal(tt_replay_init(&f.r, &config), TT_E_NOMEM);
    assert_int_equal(tt_replay_init(&f.r, &config), TT_OK);
    assert_in_range(f.memory.live_bytes, 1000 * 13, 1000 * 14);
    tt_replay_dispose(&f.r);
    assert_int_equal(f.memory.live, 0);
    config.most = 0;
    assert_int_equal(tt_replay_init(&f.r, &config), TT_E_INVAL);
    config.most = TT_REPLAY_MOST + 1;
    assert_int_equal(tt_replay_init(&f.r, &config), TT_E_INVAL);
    config.most = 1;
    config.interval_s = TT_REPLAY_INTERVAL_S + 1;
    assert_int_equal(tt_replay_init(&f.r, &config), TT_E_INVAL);
    assert_int_equal(f.memory.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_time_must_be_near_ours),
        cmocka_unit_test(test_a_key_is_taken_once_whatever_its_time),
        cmocka_unit_test(test_expired_keys_make_room_first),
        cmocka_unit_test(test_without_room_the_interval_shrinks),
        cmocka_unit_test(test_of_the_future_only_a_quarter_of_the_room),
        cmocka_unit_test(test_a_clock_that_was_ahead_shuts_nobody_out),
        cmocka_unit_test(test_nothing_is_taken_twice_whatever_the_clock_does),
        cmocka_unit_test(test_memory_is_refused_or_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
