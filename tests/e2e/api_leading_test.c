/* A thread that waits for a stream runs the loop meanwhile (src/net/lead.h): for all that live
 * there, and when it goes somebody else does. Nothing but the thread on which reports come tells a
 * program who it is.
 */
#include "api.h"

#include <stdatomic.h>
#include <unistd.h>

#define MS    UINT64_C(1000) /* microseconds */
#define ROUND 50             /* questions, by which a thread is known to be soon back */

static struct tt_loop *start_loop(void)
{
    struct tt_loop *loop;
    assert_int_equal(tt_loop_new(NULL, &loop), TT_OK);
    assert_int_equal(tt_loop_start(loop), TT_OK);
    return loop;
}

/* Questions of 64 bytes to somebody who echoes them, and their answers. */
static int ask(struct tt_stream *st, unsigned times)
{
    int err = TT_OK;
    for (unsigned i = 0; i < times && !err; i++) {
        err = api_write(st, 64, i);
        if (!err)
            err = api_read(st, 64, i);
    }
    return err;
}

/* A session, one end of which asks and the other echoes, in a thread of its own. */
struct talk {
    struct api_pair pair;
    struct tt_stream *c, *s;
    struct api_thread echo;
    struct api_job job;
};

static void begin_talk(struct talk *t, const struct tt_options *client)
{
    api_open(&t->pair, client, NULL);
    api_open_stream(&t->pair, &t->c, &t->s);
    t->job = (struct api_job){.stream = t->s};
    api_start(&t->echo, api_job_echo, &t->job);
}

static void end_talk(struct talk *t)
{
    assert_int_equal(tt_stream_shutdown(t->c), TT_OK);
    assert_int_equal(api_join(&t->echo), TT_OK);
    assert_int_equal(api_read_end(t->c), TT_E_END);
    tt_stream_close(t->c);
    tt_stream_close(t->s);
    api_close(&t->pair);
}

/* A thread that has often been soon back, and then waits for a byte. */
struct patient {
    struct talk talk;
    struct api_thread thread;
    atomic_bool waits; /* or is about to */
};

static int ask_and_wait(void *arg)
{
    struct patient *p = arg;
    const int err = ask(p->talk.c, ROUND);
    p->waits = true;
    return err ? err : api_read(p->talk.c, 1, 7);
}

static void begin_waiting(struct patient *p, struct tt_loop *loop)
{
    p->waits = false;
    begin_talk(&p->talk, &(struct tt_options){.loop = loop});
    api_start(&p->thread, ask_and_wait, p);
}

static void end_waiting(struct patient *p)
{
    assert_int_equal(api_write(p->talk.c, 1, 7), TT_OK); /* it is echoed */
    assert_int_equal(api_join(&p->thread), TT_OK);
    end_talk(&p->talk);
}

static bool is_waiting(void *patient)
{
    return ((struct patient *)patient)->waits;
}

/* --- a leader's work --- */

/* Where reports came: not on the patient's thread, or there too. */
struct witness {
    pthread_t thread;
    atomic_bool seen;
};

static void note_thread(void *ctx, const struct tt_report *report)
{
    struct witness *w = ctx;
    (void)report;
    if (pthread_equal(pthread_self(), w->thread))
        w->seen = true;
}

/* Dialling and all that follows for another session of the loop. */
static void visit(struct tt_loop *loop, struct witness *w)
{
    struct talk talk;
    begin_talk(&talk, &(struct tt_options){.loop = loop, .report = note_thread, .report_ctx = w});
    assert_int_equal(ask(talk.c, 3), TT_OK);
    end_talk(&talk);
}

static void test_a_thread_that_waits_works_for_other_sessions(void **state)
{
    (void)state;
    struct tt_loop *loop = start_loop();
    bool seen = false;
    /* On a busy machine it may come too late to be expected: then the loop's own thread leads. */
    for (unsigned i = 0; i < 200 && !seen; i++) {
        struct patient patient;
        begin_waiting(&patient, loop);
        api_wait_for(is_waiting, &patient);
        struct witness w = {.thread = patient.thread.thread};
        visit(loop, &w);
        visit(loop, &w);
        seen = w.seen;
        end_waiting(&patient);
    }
    assert_true(seen);
    tt_loop_free(loop);
}

/* Nothing but time tells that a server is silent. */
static void test_timers_go_on_while_a_thread_of_the_program_leads(void **state)
{
    (void)state;
    struct tt_loop *loop = start_loop();
    const struct tt_options hasty = {.loop = loop, .session_timeout_us = 100 * MS};
    struct patient patient;
    struct tt_session *doomed;
    struct tt_stream *none;
    char address[64];
    const int silent = api_silent_listener(address);
    begin_waiting(&patient, loop);
    api_wait_for(is_waiting, &patient);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tt_dial(address, &hasty, &doomed, NULL), TT_OK);
        assert_int_equal(tt_session_accept_stream(doomed, &none), TT_E_TIMEOUT);
        assert_int_equal(tt_session_close(doomed), TT_E_TIMEOUT);
    }
    end_waiting(&patient);
    tt_loop_free(loop);
    close(silent);
}

static uint64_t packets_sent(struct tt_session *s)
{
    struct tt_session_stats stats;
    tt_session_get_stats(s, &stats);
    return stats.packets_sent;
}

static void test_an_answer_takes_its_acknowledgement_along(void **state)
{
    (void)state;
    struct talk talk;
    uint64_t least = UINT64_MAX;
    begin_talk(&talk, NULL);
    for (unsigned i = 0; i < 200 && least > ROUND + ROUND / 5; i++) {
        const uint64_t before = packets_sent(talk.pair.client);
        assert_int_equal(ask(talk.c, ROUND), TT_OK);
        const uint64_t packets = packets_sent(talk.pair.client) - before;
        least = packets < least ? packets : least;
    }
    assert_true(least <= ROUND + ROUND / 5); /* twice as many: each in a packet of its own */
    end_talk(&talk);
}

/* --- a leader that goes --- */

struct arrival {
    struct tt_session *session;
    uint64_t bytes;
};

static bool has_arrived(void *arg)
{
    const struct arrival *a = arg;
    struct tt_session_stats stats;
    tt_session_get_stats(a->session, &stats); /* this reads no socket */
    return stats.bytes_received >= a->bytes;
}

/* Whoever led does something else from now on, without a word to the loop. */
static void test_the_loop_goes_on_when_its_leader_has_gone(void **state)
{
    (void)state;
    struct talk talk;
    struct tt_stream *c, *s;
    begin_talk(&talk, NULL);
    api_open_stream(&talk.pair, &c, &s);
    for (unsigned i = 1; i <= 20; i++) {
        struct tt_session_stats stats;
        assert_int_equal(ask(talk.c, ROUND), TT_OK);
        tt_session_get_stats(talk.pair.client, &stats);
        struct arrival a = {talk.pair.client, stats.bytes_received + 1000};
        assert_int_equal(api_write(s, 1000, i), TT_OK);
        api_wait_for(has_arrived, &a);
        assert_int_equal(api_read(c, 1000, i), TT_OK);
    }
    tt_stream_close(c);
    tt_stream_close(s);
    end_talk(&talk);
}

struct asker {
    struct talk *talk;
    atomic_bool done;
};

static int ask_and_think(void *arg)
{
    struct asker *a = arg;
    int err = TT_OK;
    while (!a->done && !err) {
        err = ask(a->talk->c, 5);
        (void)usleep(3000);
    }
    return err;
}

/* One thread is now soon back and now not; the others of its session are served all the same. */
static void test_a_leader_that_thinks_holds_up_nobody(void **state)
{
    (void)state;
    struct talk talk;
    struct tt_stream *c, *s;
    struct api_thread thread, echo;
    begin_talk(&talk, NULL);
    api_open_stream(&talk.pair, &c, &s);
    struct asker asker = {.talk = &talk};
    struct api_job job = {.stream = s};
    api_start(&thread, ask_and_think, &asker);
    api_start(&echo, api_job_echo, &job);
    assert_int_equal(ask(c, 2000), TT_OK);
    asker.done = true;
    assert_int_equal(api_join(&thread), TT_OK);
    assert_int_equal(tt_stream_shutdown(c), TT_OK);
    assert_int_equal(api_join(&echo), TT_OK);
    tt_stream_close(c);
    tt_stream_close(s);
    end_talk(&talk);
}

#define THREADS 32

static int ask_often(void *st)
{
    return ask(st, 300);
}

/* All on one loop, both ends: 64 threads wait there, and each leads now and then. */
static void test_many_threads_take_turns(void **state)
{
    (void)state;
    struct tt_loop *loop = start_loop();
    const struct tt_options shared = {.loop = loop};
    struct api_pair p;
    struct tt_stream *c[THREADS], *s[THREADS];
    struct api_thread askers[THREADS], echoes[THREADS];
    struct api_job jobs[THREADS];
    api_open(&p, &shared, &shared);
    for (unsigned i = 0; i < THREADS; i++) {
        api_open_stream(&p, &c[i], &s[i]);
        jobs[i] = (struct api_job){.stream = s[i]};
        api_start(&echoes[i], api_job_echo, &jobs[i]);
        api_start(&askers[i], ask_often, c[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(api_join(&askers[i]), TT_OK);
        assert_int_equal(tt_stream_shutdown(c[i]), TT_OK);
        assert_int_equal(api_join(&echoes[i]), TT_OK);
        tt_stream_close(c[i]);
        tt_stream_close(s[i]);
    }
    api_close(&p);
    tt_loop_free(loop);
}

/* --- ends --- */

/* Another thread ends our side, and so the echo its own. */
static void test_a_leader_learns_of_the_end(void **state)
{
    (void)state;
    struct tt_loop *loop = start_loop();
    for (unsigned i = 0; i < 10; i++) {
        struct patient patient;
        begin_waiting(&patient, loop);
        api_wait_for(is_waiting, &patient);
        assert_int_equal(tt_stream_shutdown(patient.talk.c), TT_OK);
        assert_int_equal(api_join(&patient.thread), TT_E_END);
        assert_int_equal(api_join(&patient.talk.echo), TT_OK);
        tt_stream_close(patient.talk.c);
        tt_stream_close(patient.talk.s);
        api_close(&patient.talk.pair);
    }
    tt_loop_free(loop);
}

static void test_other_sessions_are_closed_under_a_leader(void **state)
{
    (void)state;
    struct tt_loop *loop = start_loop();
    struct patient patient;
    struct talk talks[5];
    begin_waiting(&patient, loop);
    for (unsigned i = 0; i < 5; i++)
        begin_talk(&talks[i], &(struct tt_options){.loop = loop});
    api_wait_for(is_waiting, &patient);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(ask(talks[i].c, 3), TT_OK);
        end_talk(&talks[i]);
    }
    end_waiting(&patient);
    tt_loop_free(loop);
}

/* --- callbacks --- */

struct listener {
    pthread_t main, reader;
    atomic_uint calls, elsewhere;
};

static void readable(void *ctx, struct tt_stream *st)
{
    struct listener *l = ctx;
    uint8_t buf[100];
    size_t len;
    while (tt_stream_try_read(st, buf, sizeof buf, &len) == TT_OK)
        l->calls += (unsigned)len;
    if (pthread_equal(pthread_self(), l->main) || pthread_equal(pthread_self(), l->reader))
        l->elsewhere++;
}

static bool was_called(void *listener)
{
    return ((struct listener *)listener)->calls >= 100;
}

/* They are set while a thread of the program leads, and are for the loop's own thread. */
static void test_callbacks_come_on_the_loops_thread(void **state)
{
    (void)state;
    const struct tt_stream_callbacks callbacks = {.readable = readable};
    for (unsigned i = 0; i < 20; i++) {
        struct tt_loop *loop = start_loop();
        struct patient patient;
        struct tt_stream *c, *s;
        begin_waiting(&patient, loop);
        api_open_stream(&patient.talk.pair, &c, &s);
        api_wait_for(is_waiting, &patient);
        struct listener l = {.main = pthread_self(), .reader = patient.thread.thread};
        assert_int_equal(api_write(s, 40, 0), TT_OK);
        tt_stream_set_callbacks(c, &callbacks, &l);
        assert_int_equal(api_write(s, 60, 0), TT_OK);
        api_wait_for(was_called, &l);
        assert_int_equal(l.elsewhere, 0);
        tt_stream_close(c);
        tt_stream_close(s);
        end_waiting(&patient);
        tt_loop_free(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_that_waits_works_for_other_sessions),
        cmocka_unit_test(test_timers_go_on_while_a_thread_of_the_program_leads),
        cmocka_unit_test(test_an_answer_takes_its_acknowledgement_along),
        cmocka_unit_test(test_the_loop_goes_on_when_its_leader_has_gone),
        cmocka_unit_test(test_a_leader_that_thinks_holds_up_nobody),
        cmocka_unit_test(test_many_threads_take_turns),
        cmocka_unit_test(test_a_leader_learns_of_the_end),
        cmocka_unit_test(test_other_sessions_are_closed_under_a_leader),
        cmocka_unit_test(test_callbacks_come_on_the_loops_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
